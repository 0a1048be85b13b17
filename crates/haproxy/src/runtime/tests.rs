use super::*;
use crate::version::Version;
use proptest::prelude::*;
use std::io::{Read, Write};
use std::thread;

const LIMIT: Duration = Duration::from_secs(5);

/// A HAProxy that expects one line and answers.
fn answering(expected: &'static str, answer: &'static [u8]) -> (UnixStream, thread::JoinHandle<()>) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let peer = thread::spawn(move || {
        let mut line = vec![0; expected.len()];
        theirs.read_exact(&mut line).unwrap();
        assert_eq!(line, expected.as_bytes());
        theirs.write_all(answer).unwrap();
    });
    (ours, peer)
}

fn ask(
    command: &CliCommand,
    channel: Channel,
    expected: &'static str,
    answer: &'static [u8],
) -> Result<CliResponse, RuntimeError> {
    let (connection, peer) = answering(expected, answer);
    let got = command.ask(&connection, channel, LIMIT);
    peer.join().unwrap();
    got
}

/// HAProxy 2.6.12, shortened.
const INFO: &[u8] =
    b"Name: HAProxy\nVersion: 2.6.12-1+deb12u4\nRelease_date: 2026/10/17\nNbthread: 2\nNbproc: 1\n\
Process_num: 1\nPid: 12526\nUptime: 0d 0h00m07s\nUptime_sec: 7\nMaxconn: 9980\nCurrConns: 3\nCumConns: 12\n\
Stopping: 1\nnode: box\n\n";

#[test]
fn reads_show_info() {
    let answer = ask(&CliCommand::show_info(), Channel::Worker, "show info\n", INFO).unwrap();
    let info = answer.info().unwrap();
    assert_eq!((info.pid, info.uptime_seconds, info.process_number), (12526, 7, 1));
    assert_eq!((info.stopping, info.current_connections, info.connections), (true, 3, 12));
    assert_eq!(info.version, Some(Version::release(2, 6, 12)));
    assert_eq!(info.get("node"), Some("box"));
}

#[test]
fn counters_are_told_from_other_answers() {
    let dump = |answer| {
        ask(&CliCommand::dump_stats_file(), Channel::Worker, "dump stats-file\n", answer)
            .unwrap()
            .statistics()
    };
    assert_eq!(dump(b"#fe guid,stot,\nweb,7,\n\n").unwrap(), "#fe guid,stot,\nweb,7,\n");
    assert!(
        dump(b"Unknown command: 'dump', but maybe one of the following ones is a better match:\n").is_err()
    );
}

#[test]
fn an_answer_of_any_length_is_read_by_line_until_it_is_enough() {
    let command = CliCommand::show_table("t");
    let read = |most: usize| {
        let (ours, peer) = answering("show table t\n", b"# table: t\n0x1: key=a\n0x2: key=b\n\n");
        let mut lines = Vec::new();
        let read = command.ask_by_line(&ours, Channel::Worker, LIMIT, |line| {
            lines.push(line.to_owned());
            if lines.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        peer.join().unwrap();
        read.unwrap();
        lines
    };
    assert_eq!(read(9), ["# table: t", "0x1: key=a", "0x2: key=b", ""]);
    assert_eq!(read(2), ["# table: t", "0x1: key=a"]);
}

#[test]
fn an_answer_by_line_that_is_cut_off_is_no_answer() {
    for cut in [&b""[..], b"# table: t\n", b"# table: t\n0x1: key=", b"# table: t\n\n0x1:"] {
        let (ours, peer) = answering("show table t\n", cut);
        let read = CliCommand::show_table("t")
            .ask_by_line(&ours, Channel::Worker, LIMIT, |_| ControlFlow::Continue(()));
        peer.join().unwrap();
        assert!(matches!(read, Err(RuntimeError::CutOff { .. })), "{cut:?}: {read:?}");
    }
}

/// HAProxy 3.2.26, and a master that reloaded by itself (3.0).
const PROC: &[u8] = b"#<PID>          <type>          <reloads>       <uptime>        <version>      \n\
12631           master          1 [failed: 0]   0d00h00m09s     3.2.26-1       \n# workers\n\
12633           worker          0               0d00h00m01s     3.2.26-1       \n# old workers\n\
12600           worker          1               0d00h00m09s     3.2.26-1       \n# programs\n\
12700           mydog           0               0d00h00m09s     -              \n\n";

#[test]
fn reads_show_proc() {
    let answer = ask(&CliCommand::show_proc(), Channel::Master, "show proc\n", PROC).unwrap();
    let processes = answer.processes().unwrap();
    let kinds: Vec<_> = processes.all.iter().map(|p| (p.pid, p.kind)).collect();
    assert_eq!(
        kinds,
        [
            (12631, ProcessKind::Master),
            (12633, ProcessKind::Worker),
            (12600, ProcessKind::OldWorker),
            (12700, ProcessKind::Program),
        ]
    );
    assert_eq!(processes.all[0].uptime, "0d00h00m09s");
    assert_eq!(processes.workers().collect::<Vec<_>>(), [12633]);
}

#[test]
fn an_answer_that_is_none_is_an_error() {
    let command = CliCommand::show_info().at_worker(999_999);
    let answer = ask(
        &command,
        Channel::Master,
        "@!999999 show info\n",
        b"Can't find the target PID matching the prefix '@!999999'\n",
    )
    .unwrap();
    assert_eq!(
        answer.info().unwrap_err().to_string(),
        "asking HAProxy `@!999999 show info`: it answered `Can't find the target PID matching the prefix '@!999999'`"
    );
    let change = CliCommand::new("set maxconn global 5").unwrap();
    assert!(ask(&change, Channel::Worker, "set maxconn global 5\n", b"\n").unwrap().done().is_ok());
    assert!(
        ask(&change, Channel::Worker, "set maxconn global 5\n", b"Permission denied\n\n")
            .unwrap()
            .done()
            .is_err()
    );
    assert!(matches!(
        ask(&change, Channel::Worker, "set maxconn global 5\n", b""),
        Err(RuntimeError::Ended { .. })
    ));
    for text in ["", "a\nb", "a;b", "a\0"] {
        assert!(matches!(CliCommand::new(text), Err(RuntimeError::NotOneCommand(_))));
    }
}

#[test]
fn a_master_that_knows_no_such_worker_need_not_close() {
    let (connection, mut master) = UnixStream::pair().unwrap();
    master.write_all(b"Can't find the target PID matching the prefix '@!1'\n").unwrap();
    let answer = CliCommand::show_info().at_worker(1).ask(&connection, Channel::Master, LIMIT).unwrap();
    assert!(answer.info().is_err());
}

#[test]
fn waits_no_longer_than_told() {
    let (connection, _silent) = UnixStream::pair().unwrap();
    let limit = Duration::from_millis(30);
    let error = CliCommand::show_info().ask(&connection, Channel::Worker, limit).unwrap_err();
    assert_eq!(error, RuntimeError::TimedOut { command: CliCommand::show_info(), limit });
}

#[test]
fn reads_no_more_than_it_should() {
    let (connection, mut peer) = UnixStream::pair().unwrap();
    let flood = thread::spawn(move || while peer.write_all(&[b'x'; 8192]).is_ok() {});
    let error = CliCommand::show_info().ask(&connection, Channel::Worker, LIMIT).unwrap_err();
    assert!(matches!(error, RuntimeError::TooLong { .. }));
    drop(connection);
    flood.join().unwrap();
}

proptest! {
    #[test]
    fn never_panics(text in "([#A-Za-z_ 0-9:]{0,30}\n){0,6}") {
        let _ = Info::parse(&text);
        let _ = Processes::parse(&text);
    }
}
