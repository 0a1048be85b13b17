//! Any bytes, and many of them.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::runtime::batch::is_one_command;

proptest! {
    #[test]
    fn any_bytes_never_panic(old in prop::collection::vec(any::<u8>(), 0..300), new in prop::collection::vec(any::<u8>(), 0..300)) {
        let text = |bytes: &[u8]| format!("{HEAD}{}\n", String::from_utf8_lossy(bytes));
        against((3, 2), &text(&old), &text(&new));
    }

    #[test]
    fn likely_lines_never_panic_and_are_single_commands(
        lines in prop::collection::vec(r#"( (server|default-server|server-template|use-server|maxconn)( [ab1-3:.]{0,9}| id| weight| check| "|\\|'|;|\$X|<<){0,6}|backend [bc]|\.if x|listen d)"#, 0..8),
        changed in "[ab1-9:. ;\"]{0,12}",
        at in 0usize..8,
    ) {
        let mut new = lines.clone();
        if let Some(line) = new.get_mut(at) {
            line.push_str(&changed);
        }
        let (old, new) = both(&(lines.join("\n") + "\n"), &(new.join("\n") + "\n"));
        for minor in [(2, 6), (3, 4)] {
            if let ChangeVerdict::RunTime(plan) = against(minor, &old, &new).verdict {
                for order in plan.steps.iter().flat_map(|step| &step.orders) {
                    prop_assert!(is_one_command(&order.command), "{}", order.command);
                }
            }
        }
    }
}

#[test]
fn large_files_are_compared_at_once() {
    let long = format!("{HEAD} server s {}\n", "x".repeat(5 << 20));
    assert_eq!(refused(ONE, &long[HEAD.len()..]).len(), 1);
    let many = format!("{HEAD}{}", " server-template s 99999 10.0.0.1:80\n".repeat(3));
    assert_eq!(reasons(&format!("{HEAD}{ONE}"), &many), ["h.cfg:8: there are two servers `s1`"]);
    let lines: Vec<String> = (0..60).map(|n| format!(" server-template s{n}x 99999 10.0.0.1:80\n")).collect();
    assert_eq!(refused(ONE, &lines.concat()), ["h.cfg:9: there are more servers than are looked at"]);
}

#[test]
fn one_of_twenty_thousand() {
    let file = |changed: &str| {
        let mut text = HEAD.trim_end_matches("backend b\n").to_owned();
        for backend in 0..200 {
            let _ = writeln!(text, "backend b{backend}");
            for server in 0..100 {
                let address = if (backend, server) == (150, 50) { changed } else { "10.1.2.3" };
                let _ = writeln!(text, " server s{server} {address}:80 maxconn 100");
            }
        }
        scan(&text)
    };
    let (old, new) = (file("10.0.0.1"), file("10.0.0.2"));
    let can = Capabilities::new(Version::release(3, 2, 0), HELP);
    let begin = std::time::Instant::now();
    let verdict = compare(&old, &new, &can);
    let took = begin.elapsed();
    println!("compared in {took:?}");
    let ChangeVerdict::RunTime(plan) = verdict else { panic!("{verdict:?}") };
    assert_eq!((plan.steps.len(), plan.steps[0].object.as_str()), (1, "b150/s50"));
    assert!(cfg!(debug_assertions) || took.as_millis() < 10, "{took:?}");
}
