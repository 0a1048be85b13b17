//! The stream itself, as a client that is not ours has it: what it misses, how it is cut off, how many there may be.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clearway_lab::session::Session;
use clearway_lab::wait::{eventually, eventually_because, patience};
use rustix::process::Signal;
use serde_json::Value;

use super::{break_file, numbers};
use crate::stage::{SOON, Stage, assert_code};

crate::tests![
    a_client_that_comes_back_misses_nothing_and_is_told_nothing_twice,
    a_client_that_comes_too_late_is_told_how_much_it_has_missed,
    a_client_that_does_not_read_is_sent_away_and_holds_nothing_up,
    two_hundred_follow_and_there_is_a_limit,
    a_quiet_stream_says_that_it_is_alive,
    bad_questions_are_refused,
    the_api_has_the_same_stream_and_followers_keep_no_probe_out,
];

/// One connection to the admin socket.
struct Wire {
    stream: UnixStream,
    heard: Vec<u8>,
}

fn socket(stage: &Stage) -> Result<PathBuf> {
    let sockets = std::fs::read_dir(stage.run_directory())?.filter_map(Result::ok);
    let mut sockets = sockets.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_socket()));
    Ok(sockets.next().context("an admin socket")?.path())
}

impl Wire {
    /// Asks with these lines, and reads nothing.
    fn ask(stage: &Stage, lines: &[u8]) -> Result<Self> {
        Self::ask_at(&socket(stage)?, lines)
    }

    /// The same of this socket.
    fn ask_at(socket: &Path, lines: &[u8]) -> Result<Self> {
        let mut stream = UnixStream::connect(socket)?;
        stream.write_all(lines)?;
        stream.write_all(b"\r\nHost: clearway\r\n\r\n")?;
        Ok(Self { stream, heard: Vec::new() })
    }

    /// Follows, with this query and header.
    fn follow(stage: &Stage, query: &str, header: &str) -> Result<Self> {
        Self::ask(stage, format!("GET /v1/events{query} HTTP/1.1{header}").as_bytes())
    }

    /// What was heard, after what has come by now; whether more may come.
    fn hear(&mut self) -> Result<bool> {
        self.stream.set_nonblocking(true)?;
        let mut bytes = [0; 8192];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return Ok(false),
                Ok(number) => self.heard.extend_from_slice(&bytes[..number]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(false),
                Err(error) => return Err(error).context("reading events"),
            }
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.heard).into_owned()
    }

    /// The status line.
    fn status(&mut self) -> Result<String> {
        eventually_because(SOON, "an answer", || {
            self.hear()?;
            let text = self.text();
            let line =
                text.split_once("\r\n\r\n").and_then(|(header, _)| header.lines().next().map(str::to_owned));
            line.with_context(|| text)
        })
    }

    /// The events so far.
    fn events(&mut self) -> Result<Vec<Value>> {
        self.hear()?;
        let text = self.text();
        // What is not complete has no end yet; a chunk may have several lines.
        let complete = text.rfind("\n\n").map_or("", |end| &text[..end]);
        let data = complete.lines().filter_map(|line| line.strip_prefix("data: "));
        data.map(|data| serde_json::from_str(data).with_context(|| data.to_owned())).collect()
    }

    fn wait_for(&mut self, event: &str, generation: u64) -> Result<Vec<Value>> {
        eventually_because(SOON, &format!("{event} of generation {generation}"), || {
            let events = self.events()?;
            ensure!(
                events.iter().any(|one| one["event"] == event && one["generation"] == generation),
                "{}",
                self.text()
            );
            Ok(events)
        })
    }

    /// Reads to the end of the connection.
    fn read_to_end(&mut self, deadline: Duration) -> Result<()> {
        eventually_because(deadline, "the end of a connection", || {
            ensure!(!self.hear()?, "it goes on");
            Ok(())
        })
    }
}

/// The id that a client has had last: of the last event that was complete, or what it was told at the beginning.
fn last_id(wire: &Wire) -> Result<String> {
    let text = wire.text();
    let complete = text.rfind("\n\n").map_or("", |end| &text[..end]);
    let last =
        complete.rsplit_once("\nid: ").and_then(|(_, rest)| rest.split('\n').next().map(str::to_owned));
    last.with_context(|| text.clone())
}

fn a_client_that_comes_back_misses_nothing_and_is_told_nothing_twice() -> Result<()> {
    let stage = Stage::new("evback")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let mut wire = Wire::follow(&stage, "?from=0", "")?;
    ensure!(wire.status()? == "HTTP/1.1 200 OK", "{}", wire.text());
    ensure!(wire.text().to_lowercase().contains("content-type: text/event-stream\r\n"), "{}", wire.text());
    let mut all = wire.wait_for("generation.serving", 1)?;
    for generation in 2..8 {
        let id = last_id(&wire)?;
        // While it is away, and while it is there.
        drop(wire);
        assert_code(stage.clearway(&["reload"])?.status, 0)?;
        // A browser comes back to the same address.
        wire = Wire::follow(&stage, "?from=0", &format!("\r\nLast-Event-ID: {id}"))?;
        all.extend(wire.wait_for("generation.serving", generation)?);
    }
    let told = numbers(&all)?;
    ensure!(told == (1..=told.len() as u64).collect::<Vec<_>>(), "{told:?}");
    // One that wants new ones only knows from the beginning where it is, and comes back to there.
    let mut new = Wire::follow(&stage, "", "")?;
    ensure!(new.status()? == "HTTP/1.1 200 OK", "{}", new.text());
    eventually(SOON, "an id before any event", || new.hear().ok().filter(|_| last_id(&new).is_ok()))?;
    let id = last_id(&new)?;
    ensure!(new.events()?.is_empty(), "{}", new.text());
    drop(new);
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    let mut back = Wire::follow(&stage, &format!("?from={id}"), "")?;
    let missed = back.wait_for("generation.serving", 8)?;
    ensure!(missed.iter().any(|event| event["event"] == "reload.requested"), "{missed:?}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_client_that_comes_too_late_is_told_how_much_it_has_missed() -> Result<()> {
    let stage = Stage::new("evlate")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    break_file(&stage)?;
    let missed = eventually_because(Duration::from_mins(2), "more events than are kept", || {
        assert_code(stage.clearway(&["reload"])?.status, 65)?;
        let mut wire = Wire::follow(&stage, "?from=1", "")?;
        let first = eventually(SOON, "an event", || wire.events().ok()?.into_iter().next())?;
        ensure!(first["event"] == "events.missed", "{first}");
        Ok((first, wire))
    });
    let (first, mut wire) = missed?;
    let number = first["number"].as_u64().context("how many")?;
    let told = eventually_because(SOON, "what is kept", || {
        let events = wire.events()?;
        ensure!(events.last().is_some_and(|last| last["event"] == "generation.failed"), "{}", events.len());
        numbers(&events)
    })?;
    // From 1 on: its id is that of the last one that is missed.
    ensure!(told[0] == number + 1, "{number} are missed, and then comes {told:?}");
    ensure!(told == (told[0]..told[0] + told.len() as u64).collect::<Vec<_>>(), "{told:?}");
    ensure!((200..=513).contains(&told.len()), "{} are kept", told.len());
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_client_that_does_not_read_is_sent_away_and_holds_nothing_up() -> Result<()> {
    let stage = Stage::new("evstall")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let before = balancer.facts()?.resident_kib;
    let mut stalled = Wire::follow(&stage, "?from=0", "")?;
    let mut reads = Wire::follow(&stage, "?from=0", "")?;
    break_file(&stage)?;
    let told = eventually_because(Duration::from_mins(3), "it to be sent away", || {
        assert_code(stage.clearway(&["reload"])?.status, 65)?;
        let begun = Instant::now();
        assert_code(stage.clearway(&["status"])?.status, 0)?;
        ensure!(begun.elapsed() < Duration::from_secs(3) * patience(), "status took {:?}", begun.elapsed());
        // That one is not sent away.
        ensure!(reads.hear()?, "the one that reads has lost its connection: {}", reads.text());
        let told = balancer.events("admin-socket.not-read", &[])?;
        told.into_iter().next().context("not yet")
    })?;
    ensure!(told["pid"].as_u64() == Some(std::process::id().into()) && told["level"] == "WARN", "{told}");
    // What was in the kernel is still there, and then the connection ends without the end of the answer.
    stalled.read_to_end(SOON)?;
    ensure!(!stalled.heard.ends_with(b"\r\n0\r\n\r\n"), "it looks like the whole answer");
    ensure!(stalled.text().contains("generation.failed"), "{}", stalled.text().len());
    let grown = balancer.facts()?.resident_kib.saturating_sub(before);
    ensure!(grown < 4096, "Clearway has grown by {grown} KiB");
    let events = eventually_because(SOON, "the one that reads to be told of it", || {
        let events = reads.events()?;
        ensure!(events.iter().any(|one| one["event"] == "admin-socket.not-read"), "not yet");
        Ok(events)
    })?;
    let numbers = numbers(&events)?;
    ensure!(
        numbers == (1..=numbers.len() as u64).collect::<Vec<_>>(),
        "it has missed something: {numbers:?}"
    );
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn two_hundred_follow_and_there_is_a_limit() -> Result<()> {
    let stage = Stage::new("evmany")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let mut wires = (0..200).map(|_| Wire::follow(&stage, "?from=0", "")).collect::<Result<Vec<_>>>()?;
    for wire in &mut wires {
        wire.wait_for("generation.serving", 1)?;
    }
    let begun = Instant::now();
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    ensure!(begun.elapsed() < Duration::from_secs(10) * patience(), "a reload took {:?}", begun.elapsed());
    for wire in &mut wires {
        wire.wait_for("generation.serving", 2)?;
    }
    // As many as there may be, and one more.
    while wires.len() < 256 {
        let mut wire = Wire::follow(&stage, "", "")?;
        ensure!(wire.status()? == "HTTP/1.1 200 OK", "number {}: {}", wires.len() + 1, wire.text());
        wires.push(wire);
    }
    let mut one_more = Wire::follow(&stage, "", "")?;
    ensure!(one_more.status()? == "HTTP/1.1 503 Service Unavailable", "{}", one_more.text());
    eventually(SOON, "a reason", || {
        one_more.hear().ok().filter(|_| one_more.text().contains("256 clients follow"))
    })?;
    let output = stage.clearway(&["events"])?;
    assert_code(output.status, 68)?;
    // Nothing else is refused for that; and there is room when one goes.
    assert_code(stage.clearway(&["status"])?.status, 0)?;
    drop(wires.swap_remove(0));
    let again = eventually_because(SOON, "room for another one", || {
        let mut wire = Wire::follow(&stage, "", "")?;
        let status = wire.status()?;
        if status == "HTTP/1.1 200 OK" { Ok(wire) } else { bail!("{status}") }
    })?;
    wires.push(again);
    // The end: each has the last event and the end of the answer, and none of them holds Clearway up by not going.
    let session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    balancer.signal(Signal::TERM)?;
    balancer.wait_for_event(0, "stop.requested", &[], SOON)?;
    drop(session);
    balancer.wait_for_event(0, "clearway.leaving", &[], SOON)?;
    let begun = Instant::now();
    assert_code(balancer.wait_exit(SOON)?, 0)?;
    ensure!(begun.elapsed() < Duration::from_secs(3) * patience(), "it waited for {:?}", begun.elapsed());
    for wire in &mut wires {
        wire.read_to_end(SOON)?;
        let last = wire.events()?.pop().context("no event")?;
        ensure!(last["event"] == "clearway.leaving", "{last}");
        ensure!(wire.heard.ends_with(b"\r\n0\r\n\r\n"), "it was cut off: {}", wire.text());
    }
    stage.assert_clean()
}

fn a_quiet_stream_says_that_it_is_alive() -> Result<()> {
    let stage = Stage::new("evquiet")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let mut wire = Wire::follow(&stage, "", "")?;
    // One every 15 s.
    eventually(Duration::from_secs(30), "a comment", || {
        wire.hear().ok().filter(|_| wire.text().contains("\n:\n\n"))
    })?;
    ensure!(wire.events()?.is_empty(), "{}", wire.text());
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn bad_questions_are_refused() -> Result<()> {
    let stage = Stage::new("evrefuse")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let ask = |lines: &[u8], status: &str| -> Result<()> {
        let mut wire = Wire::ask(&stage, lines)?;
        let answered = wire.status()?;
        ensure!(answered.contains(status), "{:?}: {}", String::from_utf8_lossy(lines), wire.text());
        Ok(())
    };
    let long = format!("?from={}", "9".repeat(4000));
    for query in
        ["?from=", "?from=abc", "?from=-1", "?from=+1", "?from=18446744073709551616", "?from=1%00", &long]
    {
        ask(format!("GET /v1/events{query} HTTP/1.1").as_bytes(), " 400 ")?;
    }
    for number in ["100000", "18446744073709551615"] {
        ask(format!("GET /v1/events?from={number} HTTP/1.1").as_bytes(), " 400 ")?;
    }
    for id in [&b"abc"[..], b"\xff\xfe", b"-1", b"00000000-"] {
        ask(&[b"GET /v1/events?from=0 HTTP/1.1\r\nLast-Event-ID: ", id].concat(), " 400 ")?;
    }
    ask(b"POST /v1/events HTTP/1.1\r\nContent-Length: 0", " 405 ")?;
    // Of another Clearway, whatever its number: no mistake of the client.
    ask(b"GET /v1/events?from=00000000-18446744073709551615 HTTP/1.1", " 200 ")?;
    ask(b"GET /v1/events HTTP/1.1\r\nLast-Event-ID:", " 200 ")?;
    // A head is asked for, and nothing is left of its question.
    for _ in 0..300 {
        ask(b"HEAD /v1/events?from=0 HTTP/1.1", " 200 ")?;
    }
    let mut wire = Wire::follow(&stage, "?from=0", "")?;
    wire.wait_for("generation.serving", 1)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn the_api_has_the_same_stream_and_followers_keep_no_probe_out() -> Result<()> {
    let stage = Stage::new("evapi")?;
    stage.write(&stage.plain())?;
    let api = stage.path("api.sock");
    let mut balancer = stage.start_with(&[], &[("CLEARWAY_ADMIN", &api.display().to_string())])?;
    let ask = |line: &str| -> Result<Wire> {
        let asked = || Wire::ask_at(&api, format!("GET {line} HTTP/1.1").as_bytes()).ok();
        eventually(SOON, "the API to listen", asked)
    };
    let mut wire = ask("/v1/events?from=0")?;
    let all = wire.wait_for("generation.serving", 1)?;
    ensure!(all == Wire::follow(&stage, "?from=0", "")?.wait_for("generation.serving", 1)?, "{all:?}");
    ensure!(ask("/v1/events?from=abc")?.status()?.contains(" 400 "));
    ensure!(ask("/v1/events?form=0")?.status()?.contains(" 400 "));
    // More than there are places: some of the followers go, and come back.
    let mut more = (0..80).map(|_| ask("/v1/events?from=0")).collect::<Result<Vec<_>>>()?;
    ensure!(ask("/healthz")?.status()?.contains(" 200 "), "a probe is not answered");
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    let newest = more.last_mut().context("a follower")?;
    newest.wait_for("generation.serving", 2)?;
    let begun = Instant::now();
    balancer.signal(Signal::TERM)?;
    assert_code(balancer.wait_exit(SOON)?, 0)?;
    ensure!(begun.elapsed() < Duration::from_secs(5) * patience(), "the end took {:?}", begun.elapsed());
    newest.read_to_end(SOON)?;
    let last = newest.events()?.pop().context("no event")?;
    ensure!(last["event"] == "clearway.leaving", "{last}");
    ensure!(newest.heard.ends_with(b"\r\n0\r\n\r\n"), "it was cut off: {}", newest.text());
    stage.assert_clean()
}
