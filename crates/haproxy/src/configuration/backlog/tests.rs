use super::super::{Configuration, SourceFile};
use super::*;

fn backlogs(text: &str) -> Vec<Backlog> {
    let file = SourceFile { name: "h.cfg".into(), path: "/h.cfg".into(), bytes: text.as_bytes().to_vec() };
    Configuration::scan(vec![file], &|_| None).binds.iter().map(|bind| bind.backlog).collect()
}

use Backlog::{Default as Unsaid, Number, Unknown};

#[test]
fn the_line_comes_before_the_section_and_backlog_before_maxconn() {
    for (text, want) in [
        ("listen a\n bind :80\n", Unsaid),
        ("listen a\n bind :80 backlog 7\n backlog 8\n", Number(7)),
        ("listen a\n bind :80 maxconn 5\n backlog 8\n", Number(8)),
        ("listen a\n bind :80 maxconn 5\n maxconn 6\n", Number(5)),
        ("listen a\n maxconn 6\n bind :80\n", Number(6)),
        ("listen a\n bind :80 name backlog maxconn 5\n", Number(5)),
        ("listen a\n bind :80 backlog 0\n backlog 8\n backlog 9\n", Number(9)),
        ("listen a\n bind :80 backlog 12x\n", Number(12)),
        ("listen a\n bind :80 backlog x\n maxconn 0\n", Unsaid),
        ("listen a\n bind :80\n backlog 99999999999\n", Unknown),
        ("listen a\n bind :80\n backlog -1\n", Unknown),
        ("global\n maxconn 3\nlisten a\n bind :80\n", Unsaid),
        ("log-forward l\n bind :80\n", Number(10)),
        ("defaults\n backlog 4\nlog-forward l\n bind :80\n maxconn 11\n", Number(11)),
        ("peers p\n default-bind backlog 5\n bind :80\n", Unknown),
        ("peers p\n bind :80 backlog 6\n", Number(6)),
    ] {
        assert_eq!(backlogs(text), [want], "{text}");
    }
}

#[test]
fn defaults_are_inherited_as_haproxy_does() {
    let text = "defaults one\n backlog 1\n maxconn 100\n\
                frontend a\n bind :80\n\
                defaults two from one\n backlog 2\n\
                frontend b\n bind :81\n maxconn 5\n\
                frontend c from one\n bind :82\n\
                defaults from two\n backlog 0\n\
                frontend d\n bind :83\n\
                defaults\n\
                frontend e\n bind :84\n bind :85\n\
                frontend f from nowhere\n bind :86\n";
    let want = [Number(1), Number(2), Number(1), Number(100), Unsaid, Unsaid, Unknown];
    assert_eq!(backlogs(text), want);
}

#[test]
fn what_a_condition_leaves_open_is_unknown() {
    for (text, want) in [
        ("listen a\n bind :80\n.if defined(X)\n backlog 5\n.endif\n", Unknown),
        ("listen a\n bind :80 backlog 4\n.if defined(X)\n backlog 5\n.endif\n", Number(4)),
        ("listen a\n bind :80\n.if defined(X)\n backlog 5\n.endif\n backlog 6\n", Number(6)),
        (".if defined(X)\nlisten a\n bind :80\n backlog 5\n.endif\n", Number(5)),
        (".if defined(X)\ndefaults\n backlog 5\n.endif\nlisten a\n bind :80\n", Unknown),
        (".if defined(X)\ndefaults\n backlog 5\n.endif\ndefaults\nlisten a\n bind :80\n", Unsaid),
    ] {
        assert_eq!(backlogs(text), [want], "{text}");
    }
}
