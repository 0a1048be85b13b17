use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{TableEntry, TableHeading, Unsettable, as_word, same_numbers, unescaped};
use crate::runtime::state::ServersState;

fn heading(name: &str, keys: &str) -> TableHeading {
    TableHeading::of(&format!("# table: {name}, type: {keys}, size:102400, used:2")).unwrap()
}

/// HAProxy 2.6.12, 3.4.7.
const OLD: &str = r"0x5576642d7360: key=a;b\ c use=0 exp=3584968 server_id=1 gpt0=0 gpc0=7 gpc0_rate(10000)=2 conn_cur=1 http_req_cnt=9";
const NEW: &str =
    r"0x7f839ea2d2c0: key=2001:db8::1 use=0 exp=0 shard=0 gpc0=3 server_key=s1 bytes_out_rate(60000)=217";

fn command(line: &str, refused: &[&str]) -> Result<String, Unsettable> {
    let refused: BTreeSet<String> = refused.iter().map(|&name| name.to_owned()).collect();
    TableEntry::of(line).unwrap().command("t", &refused)
}

#[test]
fn counters_pass_and_rates_and_sessions_do_not() {
    assert_eq!(
        command(OLD, &[]).unwrap(),
        r"set table t key a\;b\ c data.server_id 1 data.gpc0 7 data.http_req_cnt 9"
    );
    assert_eq!(
        command(OLD, &["server_id"]).unwrap(),
        r"set table t key a\;b\ c data.gpc0 7 data.http_req_cnt 9"
    );
    assert_eq!(command(NEW, &[]).unwrap(), "set table t key 2001:db8::1 data.gpc0 3");
    let each = TableEntry::of(OLD).unwrap().each("t").unwrap();
    let names: Vec<_> = each.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["server_id", "gpt0", "gpc0", "http_req_cnt"]);
    assert_eq!(each[1].1, r"set table t key a\;b\ c data.gpt0 0");
    for other in ["", "# table: t, type: ip, size:1, used:0", "0x1:", "0x1: use=0", "Unknown command"] {
        assert_eq!(TableEntry::of(other), None, "{other}");
    }
}

#[test]
fn what_is_no_number_is_no_data() {
    let line = r"0x1: key=a use=0 exp=0 gpc0=1;shutdown gpc1=a\ b gpt0= gpc2=3 gp;c=4 http_req_cnt=-1";
    assert_eq!(command(line, &[]).unwrap(), "set table t key a data.gpc2 3");
}

#[test]
fn keys_are_words_of_a_command() {
    for (written, word) in [
        ("10.0.0.1", "10.0.0.1"),
        (r"a;b\ c", r"a\;b\ c"),
        (r"back\\slash\=1", r"back\\slash=1"),
        (r#"q"x'y"#, r#"q"x'y"#),
        (r"tab\there", "tab\\\there"),
        (r"\xC3\xA4\ uml", r"ä\ uml"),
    ] {
        assert_eq!(as_word(written).as_deref(), Ok(word), "{written}");
    }
    for written in [r"\xFF", r"a\nb", r"\e", r"\x00"] {
        assert_eq!(as_word(written), Err(Unsettable::NoText), "{written}");
    }
    assert_eq!(command("0x1: key= use=0 exp=0 gpc0=1", &[]), Err(Unsettable::Empty));
}

#[test]
fn a_table_that_is_another_one_is_left() {
    let table = TableHeading::all(
        "# table: t, type: string, size:102400, used:2\n# table: u, type: ip, size:1, used:0\n\n",
    );
    assert_eq!(table.len(), 2);
    assert_eq!((table[0].name.as_str(), table[0].size, table[0].used), ("t", 102_400, 2));
    assert_eq!(heading("t", "ip").cannot_become(Some(&heading("t", "ip"))), None);
    assert!(heading("t", "ip").cannot_become(None).is_some());
    assert!(heading("t", "ip").cannot_become(Some(&heading("t", "ipv6"))).is_some());
    assert!(heading("t", "binary").cannot_become(Some(&heading("t", "binary"))).is_some());
}

#[test]
fn numbers_of_servers_mean_the_same_unless_one_has_anothers() {
    let heading =
        "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight\n";
    let text = |rows: &str| format!("{heading}{rows}");
    let same = |old: &str, new: &str| {
        same_numbers(ServersState::of(&text(old)).unwrap(), ServersState::of(&text(new)).unwrap())
    };
    let (a, b) = ("3 b 1 a 10.0.0.1 2 0 1 1\n", "3 b 2 b 10.0.0.2 2 0 1 1\n");
    assert!(same(&format!("{a}{b}"), a) && same(a, &format!("{a}{b}")));
    assert!(!same(&format!("{a}{b}"), "3 b 1 b 10.0.0.2 2 0 1 1\n"));
}

proptest! {
    #[test]
    fn nothing_that_haproxy_says_panics(line in r"(0x1: )?(key=)?[ -~\\ä]{0,40}") {
        if let Some(entry) = TableEntry::of(&line) {
            let _ = entry.command("t", &BTreeSet::new());
        }
        let _ = (TableHeading::of(&line), unescaped(&line));
    }

    /// What HAProxy's command line makes of it: the key, and one word.
    #[test]
    fn a_key_comes_back_as_it_was(key in r"[ -~]{1,40}") {
        let written: String = key.chars().flat_map(|c| match c {
            ' ' | '\\' | '=' => vec!['\\', c],
            c => vec![c],
        }).collect();
        let word = as_word(&written).unwrap();
        let mut read = String::new();
        let mut rest = word.chars();
        while let Some(c) = rest.next() {
            prop_assert!(c != ' ' && c != ';');
            read.push(if c == '\\' { rest.next().unwrap() } else { c });
        }
        prop_assert_eq!(read, key);
    }
}
