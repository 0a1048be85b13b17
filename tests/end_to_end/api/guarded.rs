//! What the API does not let in: other hosts without the token, pages in browsers, nonsense, and too many at once.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clearway_lab::kernel::listeners;
use clearway_lab::load;
use clearway_lab::wait::eventually;
use rustix::process::Signal;

use super::http::At;
use super::{ADMIN, LOOPBACK, PORT, wait_for};
use crate::stage::{SOON, Stage, assert_code, assert_no_client_lost, complained};

crate::tests![
    another_address_than_loopback_needs_a_token,
    without_the_token_other_hosts_are_turned_away,
    files_are_told_at_a_path_and_not_over_loopback_without_a_token,
    a_page_in_a_browser_can_do_nothing,
    nonsense_is_refused_with_a_sentence,
    slow_and_many_clients_hold_nothing_up,
];

const TOKEN_FILE: &str = "CLEARWAY_ADMIN_TOKEN_FILE";
const TOKEN: &str = "the-token-of-this-test-0123456789";

fn another_address_than_loopback_needs_a_token() -> Result<()> {
    let stage = Stage::new("apitoken")?;
    stage.write(&stage.plain())?;
    let short = stage.path("short");
    std::fs::write(&short, "short\n")?;
    let short = short.display().to_string();
    for (variables, words) in [
        (vec![(ADMIN, "0.0.0.0:9100")], "CLEARWAY_ADMIN_TOKEN_FILE"),
        (vec![(ADMIN, "127.0.0.1:9100 [::]:9100")], "[::]:9100, which other hosts may reach"),
        (vec![(ADMIN, "0.0.0.0:9100"), (TOKEN_FILE, "/nowhere/token")], "/nowhere/token: No such file"),
        (vec![(ADMIN, "127.0.0.1:9100"), (TOKEN_FILE, &*short)], "it has 5 characters"),
        (vec![(ADMIN, "localhost:9100")], "`localhost:9100` is neither a path"),
    ] {
        let mut balancer = stage.launch(&[], &variables)?;
        assert_code(balancer.wait_exit(SOON)?, 64).with_context(|| format!("{variables:?}"))?;
        ensure!(balancer.raw_stderr()?.contains(words), "{variables:?}: {}", balancer.raw_stderr()?);
    }
    ensure!(listeners(&stage.hosts.balancer)?.is_empty());
    stage.assert_clean()
}

fn without_the_token_other_hosts_are_turned_away() -> Result<()> {
    let stage = Stage::new("apiother")?;
    stage.write(&stage.plain())?;
    let file = stage.path("token");
    std::fs::write(&file, format!("{TOKEN}\n"))?;
    let named = file.display().to_string();
    let variables = [
        (ADMIN, "0.0.0.0:9100 127.0.0.1:9101"),
        (TOKEN_FILE, named.as_str()),
        ("CLEARWAY_LOG", "json,debug"),
    ];
    let mut balancer = stage.start_with(&[], &variables)?;
    let front = stage.fronts()[0].ip();
    let at = At::Tcp(&stage.hosts.client, (front, PORT).into());
    wait_for(&At::Tcp(&stage.hosts.client, (front, PORT).into()))?;
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let none = at.assert_status("GET", "/v1/status", "", 401)?;
    ensure!(none.head.contains("www-authenticate: bearer") && none.body.contains("Bearer TOKEN"), "{none:?}");
    for wrong in [&TOKEN[1..], &format!("{TOKEN}0"), "", &TOKEN.to_uppercase(), "\u{e9}"] {
        at.assert_status("GET", "/v1/status", &bearer(wrong), 401)?;
        at.assert_status("POST", "/v1/drain", &(bearer(wrong) + "X-Clearway: 1\r\n"), 401)?;
    }
    let told = at.assert_status("GET", "/v1/status", &bearer(TOKEN), 200)?;
    ensure!(!told.body.contains(TOKEN), "the token is told: {}", told.body);
    at.assert_status("GET", "/metrics", &format!("Host: balancer.example\r\n{}", bearer(TOKEN)), 200)?;
    at.assert_status("GET", "/readyz", "", 200)?;
    at.assert_status("GET", "/v1/config", "", 401)?;
    let files = at.assert_status("GET", "/v1/config", &bearer(TOKEN), 200)?;
    ensure!(files.json()?["files"][0]["content"] == stage.plain(), "{files:?}");
    at.assert_status("POST", "/v1/reload", &bearer(TOKEN), 403)?;
    at.assert_status("POST", "/v1/reload", &(bearer(TOKEN) + "X-Clearway: 1\r\n"), 200)?;
    // Over loopback too, where there is one.
    At::loopback(&stage, 9101).assert_status("GET", "/v1/status", "", 401)?;

    // It is replaced, and then gone.
    let next = TOKEN.replace("the", "another");
    std::fs::write(stage.path("token.new"), &next)?;
    std::fs::rename(stage.path("token.new"), &file)?;
    eventually(SOON, "the new token to count", || {
        at.ask("GET", "/v1/status", &bearer(&next)).ok().filter(|reply| reply.status == 200)
    })?;
    at.assert_status("GET", "/v1/status", &bearer(TOKEN), 401)?;
    std::fs::remove_file(&file)?;
    eventually(SOON, "it to be said that the file is gone", || {
        let reply = at.ask("GET", "/v1/status", &bearer(&next)).ok()?;
        let said = balancer.events("api.token-not-read", &[]).ok()?;
        (reply.status == 200 && said.len() == 1).then_some(())
    })?;
    ensure!(!balancer.raw_stderr()?.contains("-token-of-this-test"), "the token is in the log");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn files_are_told_at_a_path_and_not_over_loopback_without_a_token() -> Result<()> {
    let stage = Stage::new("apifiles")?;
    stage.write(&stage.plain())?;
    let path = stage.path("api.sock");
    let addresses = format!("{} 127.0.0.1:{PORT}", path.display());
    let mut balancer = stage.start_with(&[], &[(ADMIN, &addresses)])?;
    let loopback = At::loopback(&stage, PORT);
    wait_for(&loopback)?;
    let path = At::Path(path);
    wait_for(&path)?;
    stage.write(&(stage.plain() + "# the end\n"))?;
    for asked in ["/v1/config", "/v1/config?generation=1", "/v1/config/diff", "/v1/config?nonsense"] {
        let refused = loopback.assert_status("GET", asked, "", 403)?;
        ensure!(
            refused.body.contains("may hold passwords") && refused.body.contains("TOKEN_FILE"),
            "{refused:?}"
        );
    }
    let files = path.json("/v1/config?generation=1")?;
    ensure!(files["files"][0]["content"] == stage.plain(), "{files}");
    let different = path.json("/v1/config/diff")?;
    let lines = different["files"][0]["diff"].as_str().context("no lines")?;
    ensure!(different["same"] == false && lines.contains("+# the end\n"), "{different}");
    path.assert_status("GET", "/v1/config?generation=9", "", 404)?;
    path.assert_status("GET", "/v1/config?generation=x", "", 400)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_page_in_a_browser_can_do_nothing() -> Result<()> {
    let stage = Stage::new("apipage")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start_with(&[], &[LOOPBACK])?;
    let at = At::loopback(&stage, PORT);
    wait_for(&at)?;
    // Its own name, which it lets lead here.
    for host in ["evil.example:9100", "evil.example", "10.0.0.1:9100", "localhost.evil.example", ""] {
        at.assert_status("GET", "/v1/status", &format!("Host: {host}\r\n"), 421)?;
        at.assert_status("GET", "/healthz", &format!("Host: {host}\r\n"), 421)?;
        at.assert_status("POST", "/v1/drain", &format!("Host: {host}\r\nX-Clearway: 1\r\n"), 421)?;
    }
    at.assert_status("GET", "http://evil.example/v1/status", "", 421)?;
    for host in ["localhost:9100", "127.0.0.1:9100", "[::1]:9100", "127.0.0.1"] {
        at.assert_status("GET", "/v1/status", &format!("Host: {host}\r\n"), 200)?;
    }
    // A form, and a request for the leave to send a header.
    let form = "Content-Type: application/x-www-form-urlencoded\r\nOrigin: http://evil.example\r\nContent-Length: 0\r\n";
    at.assert_status("POST", "/v1/drain", form, 403)?;
    let asked = "Origin: http://evil.example\r\nAccess-Control-Request-Method: POST\r\n\
                 Access-Control-Request-Headers: x-clearway\r\n";
    let leave = at.assert_status("OPTIONS", "/v1/drain", asked, 405)?;
    ensure!(!leave.head.contains("access-control-allow"), "{leave:?}");
    ensure!(at.json("/v1/generations")?["generations"][0]["state"] == "serving");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn nonsense_is_refused_with_a_sentence() -> Result<()> {
    let stage = Stage::new("apijunk")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start_with(&[], &[LOOPBACK])?;
    let at = At::loopback(&stage, PORT);
    wait_for(&at)?;
    let unknown = at.assert_status("GET", "/v1/nowhere", "", 404)?;
    ensure!(
        unknown.body.contains("/openapi.json") && unknown.head.contains("content-type: text/plain"),
        "{unknown:?}"
    );
    for path in ["/v1", "/v1/status/", "//v1/status", "/v1/%73tatus", "/..%2f", "/v1/status%00"] {
        at.assert_status("GET", path, "", 404)?;
    }
    for (method, path) in
        [("DELETE", "/v1/status"), ("BREW", "/v1/reload"), ("PUT", "/metrics"), ("TRACE", "/healthz")]
    {
        at.assert_status(method, path, "", 405)?;
    }
    ensure!(at.assert_status("HEAD", "/v1/status", "", 200)?.body.is_empty());
    // Bytes that are no text, no HTTP, and too many.
    ensure!(
        at.send(b"GET /\xff\xfe\xc3( HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?.status
            >= 400
    );
    ensure!(
        at.send(b"GET /v1/status HTTP/1.1\r\nHost: \xff\xfe\r\nConnection: close\r\n\r\n")?.status == 421
    );
    ensure!(at.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")?.status == 400);
    ensure!(at.send(b"GET /v1/status HTTP/9.9\r\n\r\n")?.status == 400);
    // It is closed without an answer.
    ensure!(at.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").is_err());
    ensure!(
        at.send(b"CONNECT example.com:443 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?.status
            >= 400
    );
    let long =
        format!("GET /v1/status HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", "x".repeat(1 << 20));
    let before = balancer.facts()?.resident_kib;
    for _ in 0..20 {
        // The answer may be lost in the reset that follows what was not read.
        if let Ok(reply) = at.send(long.as_bytes()) {
            ensure!(reply.status == 431, "{reply:?}");
        }
    }
    let many = "X-Many: 1\r\n".repeat(1000);
    at.assert_status("GET", "/v1/status", &many, 431)?;
    let grown = balancer.facts()?.resident_kib.saturating_sub(before);
    ensure!(grown < 1024, "{grown} KiB more are resident");
    at.json("/v1/status")?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn slow_and_many_clients_hold_nothing_up() -> Result<()> {
    let stage = Stage::new("apislow")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start_with(&[], &[LOOPBACK])?;
    let at = At::loopback(&stage, PORT);
    wait_for(&at)?;
    let plan = stage.load(200.0, Duration::from_mins(2)).expecting(load::Expect::Anything);
    let clients = load::start(&stage.hosts.client, plan)?;
    let before = balancer.facts()?.resident_kib;
    let mut held = Vec::new();
    for number in 0..1000 {
        let mut stream = at.connect()?;
        // Silent ones, ones in the middle of a request, and ones that do not read what they have asked for.
        match number % 10 {
            0 => drop(stream.write_all(b"GET /v1/status HTTP/1.1\r\nHost: loc")),
            1 => drop(stream.write_all(&b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(50))),
            _ => {}
        }
        held.push(stream);
    }
    for _ in 0..5 {
        let output = stage.clearway(&["reload"])?;
        assert_code(output.status, 0).with_context(|| complained(&output))?;
        let begun = Instant::now();
        let reloaded = at.post("/v1/reload")?;
        ensure!(reloaded.status == 200, "{reloaded:?}");
        println!("a reload over the API took {:?} beside 1,000 clients that do nothing", begun.elapsed());
        // Those that ask are answered, and come before those that are silent.
        at.json("/v1/status")?;
    }
    let grown = balancer.facts()?.resident_kib.saturating_sub(before);
    println!("{grown} KiB more are resident than before the 1,000 clients");
    ensure!(grown < 8 * 1024, "{grown} KiB more are resident");
    // The first ones were sent away when others came.
    let first = held.first_mut().context("no client")?;
    let ended = first.read_to_end(&mut Vec::new());
    let is_open = |error: &std::io::Error| error.kind() == ErrorKind::WouldBlock;
    ensure!(!ended.as_ref().is_err_and(is_open), "a client that sent half a request long ago is still there");
    drop(held);
    assert_no_client_lost(&clients.finish_after(100)?)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
