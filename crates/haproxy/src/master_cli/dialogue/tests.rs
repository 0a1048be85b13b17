use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::master_cli::processes::WorkerRow;
use crate::version::Version;

fn table() -> ProcessTable {
    let worker = |pid, reloads| WorkerRow {
        pid,
        uptime: Duration::from_secs(61),
        reloads,
        leaves: reloads > 0,
        version: String::new(),
    };
    ProcessTable { workers: vec![worker(10, 2), worker(20, 0)], ..ProcessTable::default() }
}

fn dialogue(major: u16, minor: u16) -> Dialogue {
    Dialogue::new(Dialect::of(Some(Version::release(major, minor, 0))), AccessLevel::Admin)
}

/// All steps up to the one that wants more.
fn steps(dialogue: &mut Dialogue, text: &str) -> Vec<DialogueStep> {
    dialogue.hear(text.as_bytes());
    let all = std::iter::repeat_with(|| dialogue.step(&table()));
    all.take_while(|step| *step != DialogueStep::More).collect()
}

fn say(text: &str) -> DialogueStep {
    DialogueStep::Say(text.to_owned())
}

fn ask(target: DialogueTarget, text: &str) -> DialogueStep {
    DialogueStep::Ask { target, bytes: text.as_bytes().to_vec(), payload: false }
}

#[test]
fn commands_go_to_the_master_unless_they_name_a_worker() {
    let mut one = dialogue(2, 6);
    let got = steps(&mut one, "show version;@1 show info\n@!10 show stat\n@master help\nhalf");
    let worker = |pid| DialogueTarget::Worker(pid);
    assert_eq!(
        got,
        [
            ask(DialogueTarget::Master, "@master show version\n"),
            ask(worker(20), "@!20 show info\n"),
            ask(worker(10), "@!10 show stat\n"),
            ask(DialogueTarget::Master, "@master help\n"),
        ]
    );
    assert_eq!(
        steps(&mut one, "\n@1\nshow info\n\n@\n")[1..],
        [say(""), ask(worker(20), "@!20 show info\n"), ask(worker(20), "@!20\n\n"), say(""),]
    );
}

#[test]
fn the_shells_own_commands_are_the_masters_only() {
    let mut one = dialogue(2, 6);
    let show = |debug| DialogueStep::Own(OwnCommand::ShowProcesses { debug });
    assert_eq!(
        steps(&mut one, "show proc\n show  proc debug\r\n@ show proc\n"),
        [show(false), show(true), show(false)]
    );
    assert_eq!(steps(&mut one, "reload\n"), [DialogueStep::Own(OwnCommand::Reload)]);
    assert_eq!(steps(&mut one, "show startup-logs\n"), [DialogueStep::Own(OwnCommand::ShowStartupLogs)]);
    assert_eq!(steps(&mut one, "@1 reload\n"), [ask(DialogueTarget::Worker(20), "@!20 reload\n")]);
    assert_eq!(steps(&mut one, "user;reload\n"), [say(""), say("Permission denied\n\n")]);
    let strict = "'show proc' only supports 'debug' as argument\n\n";
    assert_eq!(steps(&mut dialogue(3, 4), "show proc all\n"), [say(strict)]);
}

#[test]
fn the_prompt_says_where_one_is() {
    let mut one = dialogue(2, 6);
    let got = steps(
        &mut one,
        "prompt;@1;@;expert-mode on;experimental-mode on;mcli-debug-mode on;expert-mode;prompt\n",
    );
    let want =
        ["master> ", "20> ", "master> ", "master(e)> ", "master(xe)> ", "master(xed)> ", "master(xd)> ", ""];
    assert_eq!(got, want.map(say));
    let mut new = dialogue(3, 4);
    let want = ["", "master> ", "[0:00:00:00] master> ", "[0:00:01:01] 20> "];
    assert_eq!(steps(&mut new, "prompt i;prompt p;prompt timed;@1\n"), want.map(say));
    let usage = steps(&mut new, "prompt help; quit\n");
    assert!(matches!(&usage[..], [DialogueStep::Say(text)] if text.starts_with("Usage: ")), "{usage:?}");
    let failed =
        ProcessTable { master: super::super::MasterView { failed: 1, ..Default::default() }, ..table() };
    let mut one = dialogue(2, 6);
    one.hear(b"prompt\n");
    assert_eq!(one.step(&failed), say("master[ReloadFailed]> "));
}

#[test]
fn modes_and_levels_go_with_each_command() {
    let mut one = dialogue(3, 0);
    let lines =
        "expert-mode on;experimental-mode on;mcli-debug-mode on;set severity-output number;operator\n";
    assert_eq!(steps(&mut one, lines), [(); 5].map(|()| say("")));
    let worker = "experimental-mode on\nexpert-mode on\nset severity-output number\noperator\n@!20 x\n";
    assert_eq!(steps(&mut one, "@1 x\n"), [ask(DialogueTarget::Worker(20), worker)]);
    let master = format!("mcli-debug-mode on\n{}", worker.replace("!20", "master"));
    assert_eq!(steps(&mut one, "x\n"), [ask(DialogueTarget::Master, &master)]);
    assert_eq!(steps(&mut one, "user;operator;expert-mode on\n")[1..], [say("Permission denied!\n"),]);
}

#[test]
fn an_error_ends_the_connection_of_an_old_haproxy() {
    let words = "Can't find the target PID matching the prefix '@!99'\n".to_owned();
    assert_eq!(steps(&mut dialogue(2, 6), "@!99 show info\n")[0], DialogueStep::End(words.clone()));
    assert_eq!(steps(&mut dialogue(3, 0), "@!99 show info;show proc\n"), [DialogueStep::Say(words)]);
    assert!(matches!(steps(&mut dialogue(2, 6), "@2 x\n")[0], DialogueStep::End(_)));
    assert_eq!(steps(&mut dialogue(2, 6), "quit;show proc\n")[0], DialogueStep::End(String::new()));
}

#[test]
fn a_payload_is_passed_on_line_by_line() {
    let mut one = dialogue(2, 6);
    let target = DialogueTarget::Worker(20);
    let begin = DialogueStep::Ask { target, bytes: b"@!20 add map #1 <<\n".to_vec(), payload: true };
    let line = |text: &str, is_last| DialogueStep::Payload { bytes: text.as_bytes().to_vec(), is_last };
    let got = steps(&mut one, "prompt;@1 add map #1 <<\na;b \\\nquit\n\nshow proc\n");
    assert_eq!(
        got[1..],
        [
            begin,
            line("a;b \\\n", false),
            line("quit\n", false),
            line("\n", true),
            DialogueStep::Own(OwnCommand::ShowProcesses { debug: false }),
        ]
    );
    let got = steps(&mut dialogue(3, 0), "@1 x <<END\n\nEND \nEND\n");
    assert_eq!(got[1..], [line("\n", false), line("END \n", false), line("END\n", true)]);
    let got = steps(&mut dialogue(2, 6), "prompt;show proc <<\nx\n\n");
    assert_eq!(
        got[1..],
        [say("+ "), say("+ "), DialogueStep::Own(OwnCommand::ShowProcesses { debug: false })]
    );
    let mut long = dialogue(2, 6);
    let got = steps(&mut long, &format!("@1 x <<\n{}", "y".repeat(LONGEST_COMMAND)));
    assert!(got.len() == 2 && long.is_within_a_line());
    assert_eq!(steps(&mut long, "\n"), [line("\n", false)]);
    assert!(!long.is_within_a_line());
    assert_eq!(steps(&mut long, "\n"), [line("\n", true)]);
}

#[test]
fn a_conversation_with_a_worker_gets_everything() {
    let got = steps(&mut dialogue(3, 2), "user\n@@1 show info\nshow stat\n");
    let bytes = b"user\n@@!20 show info\nshow stat\n".to_vec();
    assert_eq!(got[1..], [DialogueStep::Speak { worker: 20, bytes }]);
    assert_eq!(steps(&mut dialogue(3, 2), " @@1 show info;show"), []);
    assert_eq!(steps(&mut dialogue(3, 2), "reload;quit"), [DialogueStep::Own(OwnCommand::Reload)]);
    let got = steps(&mut dialogue(3, 2), "@@1\n");
    assert_eq!(got, [DialogueStep::Speak { worker: 20, bytes: b"@@!20 prompt i\n".to_vec() }]);
    let words = "Can't find the target PID matching the prefix '@@1'\n".to_owned();
    assert_eq!(steps(&mut dialogue(2, 6), "@@1\n")[0], DialogueStep::End(words));
}

#[test]
fn what_is_too_long_is_answered_with_the_help() {
    let mut one = dialogue(2, 6);
    assert_eq!(
        steps(&mut one, &"x".repeat(LONGEST_COMMAND)),
        [ask(DialogueTarget::Master, "@master help\n")]
    );
    assert_eq!(one.input.len(), 0);
}

proptest! {
    #[test]
    fn no_bytes_confuse_it(bytes in proptest::collection::vec(any::<u8>(), 0..400), minor in 4_u16..10) {
        let mut one = dialogue(2, minor);
        one.hear(&bytes);
        for _ in 0..1000 {
            if matches!(one.step(&table()), DialogueStep::More) {
                prop_assert!(one.input.len() <= bytes.len());
                return Ok(());
            }
        }
        prop_assert!(false, "it never wants more");
    }
}
