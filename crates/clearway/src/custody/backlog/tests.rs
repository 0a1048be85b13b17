use super::*;

#[test]
fn lines_that_disagree_change_nothing() {
    use Backlog::{Default as Unsaid, Number, Unknown};
    for (lines, want) in [
        (vec![], None),
        (vec![Number(5)], Some(5)),
        (vec![Number(5), Number(5)], Some(5)),
        (vec![Number(5), Number(6)], None),
        (vec![Number(5), Unknown], None),
        (vec![Unknown, Unknown], None),
        (vec![Unsaid], Some(9)),
        (vec![Unsaid, Number(9)], None),
    ] {
        assert_eq!(number(lines.iter().copied(), Some(9)), want, "{lines:?}");
    }
    assert_eq!(number([Unsaid].into_iter(), None), None);
}

mod noting {
    use std::net::TcpListener;
    use std::os::fd::AsFd;

    use clearway_haproxy::configuration::{Configuration, SourceFile};

    use super::*;

    fn held(socket: &TcpListener) -> Held {
        Held::made(socket.try_clone().unwrap().into(), "").unwrap()
    }

    fn noted(socket: &TcpListener, known: &Known, words: &str) -> Held {
        let text = format!("listen a\n bind {} {words}\n", socket.local_addr().unwrap());
        let file = SourceFile { name: "h.cfg".into(), path: "/h.cfg".into(), bytes: text.into_bytes() };
        let configuration = Configuration::scan(vec![file], &|_| None);
        let mut sockets = [held(socket)];
        note(&mut sockets, known, &BindLines::of(&configuration), None);
        let [held] = sockets;
        held
    }

    #[test]
    fn only_what_was_taken_over_and_is_different_changes() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        queues::set_limit(socket.as_fd(), 7).unwrap();
        let inode = held(&socket).identity.inode.0;
        let change = |to| Some(Change { from: 7, to });
        for (before, words, limit, wanted) in [
            // HAProxy has made it and listens as it wants to.
            (None, "backlog 9", Some(9), None),
            (Some(Some(7)), "backlog 9", Some(9), change(9)),
            (Some(Some(7)), "backlog 7", Some(7), None),
            // It was not known, and the kernel says that it is right.
            (Some(None), "backlog 7", Some(7), None),
            (Some(None), "backlog 3", Some(3), change(3)),
            // Nothing is said, and nothing is known of the process.
            (Some(Some(7)), "", Some(7), None),
            (Some(None), "", None, None),
        ] {
            let known: Known = before.map(|before| (inode, before)).into_iter().collect();
            let found = noted(&socket, &known, words);
            assert_eq!((found.limit, found.change), (limit, wanted), "{before:?}, {words}");
        }
    }
}
