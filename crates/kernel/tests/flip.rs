//! Table flips against the real kernel: real clients, real listeners, and `nft -j` as the judge.

use clearway_core::hints::Hints;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clearway_kernel::flip::{Flip, FlipError, LOWEST, Way};
use clearway_kernel::nft::{self, NftLimits};
use clearway_kernel::plumbing::{self, Plumbing, PlumbingNeeds};
use clearway_lab::inside::{self, helper, run, same, state};
use clearway_lab::kernel::{as_nft_now, has_owner_tables};
use clearway_lab::load::{self, Plan};
use clearway_lab::namespace::Namespace;
use clearway_lab::server as lab;
use clearway_lab::sockets::{DEADLINE, Serving, listen, serve};
use clearway_lab::topology::{Gateway, beside};
use clearway_lab::wait::until;

fn main() -> ExitCode {
    inside::main(
        &[
            ("probing_changes_nothing", probing_changes_nothing),
            ("nft_reads_what_we_meant", nft_reads_what_we_meant),
            ("every_kind_of_way_is_gone", every_kind_of_way_is_gone),
            ("no_client_is_lost_in_flips", no_client_is_lost_in_flips),
            ("old_flows_go_on_where_they_began", old_flows_go_on_where_they_began),
            ("strangers_find_the_private_ports_closed", strangers_find_the_private_ports_closed),
            ("clients_elsewhere_are_redirected", clients_elsewhere_are_redirected),
            ("what_is_not_local_is_left_alone", what_is_not_local_is_left_alone),
            ("the_newer_table_wins", the_newer_table_wins),
            ("a_killed_process_leaves_nothing", a_killed_process_leaves_nothing),
            ("a_plain_table_is_swept", a_plain_table_is_swept),
            ("others_are_left_as_they_were", others_are_left_as_they_were),
            ("a_flip_is_no_sign_of_life_of_plumbing", a_flip_is_no_sign_of_life_of_plumbing),
            ("without_rights_it_says_so", without_rights_it_says_so),
        ],
        &[("hold", hold), ("powerless", powerless)],
    )
}

fn way(public: &str, private: u16) -> Result<Way> {
    Ok(Way { public: public.parse()?, private })
}

/// A server on a private port of an address, which answers each client with its name.
struct Server {
    _serving: Serving,
    port: u16,
}

fn server(address: &str, name: &str) -> Result<Server> {
    let listener = listen(address, address.starts_with('['))?;
    let port = listener.local_addr()?.port();
    Ok(Server { _serving: serve(&listener, name, Duration::ZERO)?, port })
}

/// The name of the server that answers.
fn ask(target: &str) -> std::io::Result<char> {
    let target: SocketAddr = target.parse().map_err(std::io::Error::other)?;
    let mut connection = TcpStream::connect_timeout(&target, DEADLINE)?;
    connection.set_read_timeout(Some(DEADLINE))?;
    let mut byte = [0];
    connection.read_exact(&mut byte)?;
    Ok(char::from(byte[0]))
}

fn refused(target: &str) -> Result<()> {
    match ask(target) {
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Ok(()),
        outcome => bail!("{target}: {outcome:?}"),
    }
}

fn answers(target: &str, name: char) -> Result<()> {
    let answered = ask(target).with_context(|| target.to_owned())?;
    ensure!(answered == name, "{target}: `{answered}` answers, not `{name}`");
    Ok(())
}

fn probing_changes_nothing() -> Result<()> {
    let before = state()?;
    match Flip::probe() {
        Ok(()) => ensure!(has_owner_tables(), "nothing would remove it after SIGKILL"),
        Err(FlipError::NoOwner) => ensure!(!has_owner_tables(), "the kernel has owner tables"),
        Err(error) => return Err(error.into()),
    }
    same(&before, &state()?, "probing left something")
}

fn nft_reads_what_we_meant() -> Result<()> {
    let ways =
        [way("0.0.0.0:80", 8000)?, way("127.0.0.1:81", 8001)?, way("[::]:80", 8000)?, way("[::1]:81", 8001)?];
    let instance = "edge".parse()?;
    let mut flip = Flip::install(Some(&instance), &ways)?;
    let name = flip.name().to_string();
    ensure!(name.starts_with("clearway_edge_flip_") && flip.is_owner() == has_owner_tables(), "{name}");
    let table = || -> Result<String> { run(&format!("nft list table inet {name}")) };
    // Which chains have names for their priorities is up to the version of nft.
    let text = table()?.replace("priority dstnat - 10;", "priority -110;");
    let text = as_nft_now(&text);
    for line in [
        "type nat hook prerouting priority -110; policy accept;",
        "type nat hook output priority -110; policy accept;",
        "type filter hook input priority filter; policy accept;",
        "tcp flags syn / fin,syn,rst,ack fib daddr type local goto ways",
        "map @ports4_a",
        "map @addresses4_a",
        "map @ports6_a",
        "map @addresses6_a",
        "elements = { 80 : 8000 }",
        "elements = { 127.0.0.1 . 81 : 8001 }",
        "elements = { ::1 . 81 : 8001 }",
        "elements = { 127.0.0.1 . 8001 }",
        "ct status dnat return",
        "reject with tcp reset",
    ] {
        ensure!(text.contains(line), "`{line}` is missing:\n{text}");
    }
    // As others read it, without an error.
    serde_json::from_str::<serde_json::Value>(&run("nft -j list ruleset")?)?;
    flip.flip(&[way("0.0.0.0:80", 9000)?])?;
    let text = table()?;
    ensure!(text.contains("map @ports4_b") && !text.contains("map @ports4_a"), "{text}");
    ensure!(
        text.contains("elements = { 8000, 9000 }") || text.contains("elements = { 9000, 8000 }"),
        "{text}"
    );
    for port in [9001, 9002] {
        flip.flip(&[way("0.0.0.0:80", port)?])?;
    }
    let text = table()?;
    ensure!(text.contains("map @ports4_b"), "{text}");
    ensure!(
        !text.contains("8000, ") && !text.contains(", 8000") && !text.contains("8001"),
        "still closed:\n{text}"
    );
    flip.remove()?;
    flip.remove()?;
    ensure!(run("nft list ruleset")?.is_empty());
    Ok(())
}

fn every_kind_of_way_is_gone() -> Result<()> {
    let (v4, v6) = (server("0.0.0.0:0", "4")?, server("[::]:0", "6")?);
    let (one4, one6) = (server("127.0.0.2:0", "a")?, server("[::1]:0", "b")?);
    let ways = [
        way("0.0.0.0:80", v4.port)?,
        way("[::]:80", v6.port)?,
        way("127.0.0.2:80", one4.port)?,
        way("127.0.0.2:81", one4.port)?,
        way("[::1]:81", one6.port)?,
    ];
    let mut flip = Flip::install(None, &ways)?;
    for (target, name) in [
        ("127.0.0.1:80", '4'),
        ("127.0.0.2:80", 'a'),
        ("127.0.0.2:81", 'a'),
        ("[::1]:80", '6'),
        ("[::1]:81", 'b'),
    ] {
        answers(target, name)?;
    }
    refused("127.0.0.1:81")?;
    flip.remove()?;
    refused("127.0.0.1:80")
}

fn no_client_is_lost_in_flips() -> Result<()> {
    const CLIENTS: u64 = 4;
    let (old4, new4) = (server("0.0.0.0:0", "o")?, server("0.0.0.0:0", "n")?);
    let (old6, new6) = (server("[::]:0", "o")?, server("[::]:0", "n")?);
    let of =
        |a: &Server, b: &Server| -> Result<_> { Ok([way("0.0.0.0:80", a.port)?, way("[::]:80", b.port)?]) };
    let (old, new) = (of(&old4, &old6)?, of(&new4, &new6)?);
    let mut flip = Flip::install(None, &old)?;
    let targets = ["127.0.0.1:80".parse()?, "[::1]:80".parse()?];
    let plan =
        Plan::closed(&targets, usize::try_from(CLIENTS)?, Duration::from_mins(5)).patient_for(DEADLINE);
    let working = load::start(&Namespace::host()?, plan)?;
    for round in 0..40 {
        flip.flip(if round % 2 == 0 { &new } else { &old })?;
        let before = working.progress().0;
        // Those that were under way are not counted as clients after the flip.
        until("clients after a flip", || Ok(working.progress().0 >= before + CLIENTS + 20))?;
    }
    let report = working.finish()?;
    let came = |name: &str| report.total.answers.get(name).copied().unwrap_or(0);
    ensure!(report.total.failed() == 0, "{report}");
    ensure!(came("o") >= 20 * 20 && came("n") >= 20 * 20, "{report}");
    // The last flip was to the old ones: no new client goes elsewhere.
    for _ in 0..20 {
        answers("127.0.0.1:80", 'o')?;
        answers("[::1]:80", 'o')?;
    }
    Ok(())
}

fn old_flows_go_on_where_they_began() -> Result<()> {
    let (old, new) = (listen("127.0.0.1:0", false)?, server("127.0.0.1:0", "n")?);
    let public = "127.0.0.1:80";
    let mut flip = Flip::install(None, &[way(public, old.local_addr()?.port())?])?;
    let mut client = TcpStream::connect(public)?;
    let mut accepted = accept(&old)?;
    ensure!(accepted.local_addr()?.ip() == client.peer_addr()?.ip(), "the address is translated too");
    ensure!(accepted.peer_addr()? == client.local_addr()?, "the client is hidden");
    flip.flip(&[way(public, new.port)?])?;
    answers(public, 'n')?;
    // The old generation closes its listening socket, as HAProxy does on SIGUSR1; two more flips follow.
    drop(old);
    flip.flip(&[way(public, new.port)?])?;
    flip.flip(&[way(public, new.port)?])?;
    client.write_all(b"?")?;
    client.set_read_timeout(Some(DEADLINE))?;
    accepted.set_read_timeout(Some(DEADLINE))?;
    let mut byte = [0];
    accepted.read_exact(&mut byte)?;
    accepted.write_all(b"!")?;
    client.read_exact(&mut byte)?;
    ensure!(byte == *b"!");
    Ok(())
}

fn accept(listener: &TcpListener) -> Result<TcpStream> {
    let mut accepted = None;
    until("a connection to accept", || {
        accepted = listener.accept().ok();
        Ok(accepted.is_some())
    })?;
    let (stream, _) = accepted.context("no connection")?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}

fn strangers_find_the_private_ports_closed() -> Result<()> {
    let (old, new) = (server("0.0.0.0:0", "o")?, server("0.0.0.0:0", "n")?);
    let new6 = server("[::1]:0", "6")?;
    let private = |server: &Server| format!("127.0.0.1:{}", server.port);
    answers(&private(&old), 'o')?;
    let mut flip = Flip::install(None, &[way("0.0.0.0:80", old.port)?])?;
    refused(&private(&old))?;
    answers("127.0.0.1:80", 'o')?;
    answers(&private(&new), 'n')?;
    let next = [way("0.0.0.0:80", new.port)?, way("[::1]:80", new6.port)?];
    flip.prepare(&next)?;
    refused(&private(&new))?;
    refused(&format!("[::1]:{}", new6.port))?;
    answers("127.0.0.1:80", 'o')?;
    flip.flip(&next)?;
    for server in [&old, &new] {
        refused(&private(server))?;
    }
    answers("127.0.0.1:80", 'n')?;
    answers("[::1]:80", '6')?;
    flip.flip(&next)?;
    refused(&private(&old)).context("HAProxy may still listen there")?;
    flip.flip(&next)?;
    answers(&private(&old), 'o').context("a port of no way any more")
}

fn clients_elsewhere_are_redirected() -> Result<()> {
    let outside = beside(&Namespace::host()?, 5, Gateway::None)?;
    let (old, new) = (server("0.0.0.0:0", "o")?, server("0.0.0.0:0", "n")?);
    let (old6, new6) = (server("[fd05::1]:0", "o")?, server("[fd05::1]:0", "n")?);
    let mut flip = Flip::install(None, &[way("0.0.0.0:80", old.port)?, way("[fd05::1]:80", old6.port)?])?;
    let says = |target: &str, port: u16, expected: &str| -> Result<()> {
        let target = format!("{target}:{port}");
        let said = match outside.enter(|| ask(&target))? {
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => "refused".to_owned(),
            outcome => outcome.with_context(|| target.clone())?.to_string(),
        };
        ensure!(said == expected, "{target}: `{said}`");
        Ok(())
    };
    for target in ["10.5.0.1", "[fd05::1]"] {
        says(target, 80, "o")?;
    }
    flip.flip(&[way("0.0.0.0:80", new.port)?, way("[fd05::1]:80", new6.port)?])?;
    for target in ["10.5.0.1", "[fd05::1]"] {
        says(target, 80, "n")?;
    }
    for (target, port) in [("10.5.0.1", new.port), ("10.5.0.1", old.port), ("[fd05::1]", new6.port)] {
        says(target, port, "refused")?;
    }
    Ok(())
}

fn what_is_not_local_is_left_alone() -> Result<()> {
    let other = beside(&Namespace::host()?, 6, Gateway::None)?;
    let _server = lab::Server::start(&other, "other", &["10.6.0.2:80".parse()?], lab::Mode::Line)?;
    let here = server("0.0.0.0:0", "h")?;
    let mut flip = Flip::install(None, &[way("0.0.0.0:80", here.port)?, way("10.6.0.2:80", here.port)?])?;
    let before = connections(&other)?;
    let stream = TcpStream::connect("10.6.0.2:80")?;
    ensure!(stream.peer_addr()?.to_string() == "10.6.0.2:80");
    until("the connection at the other host", || Ok(connections(&other)? > before))?;
    flip.remove()?;
    Ok(())
}

fn connections(host: &Namespace) -> Result<usize> {
    Ok(host.run("ss -Htn state established sport = :80")?.lines().count())
}

fn the_newer_table_wins() -> Result<()> {
    for usual in [-110, LOWEST] {
        let (first, second, third) =
            (server("127.0.0.1:0", "1")?, server("127.0.0.1:0", "2")?, server("127.0.0.1:0", "3")?);
        let install = |server: &Server| -> Result<Flip> {
            let ways = [way("127.0.0.1:80", server.port)?];
            Ok(Flip::install_within(Some(&"edge".parse()?), &ways, NftLimits::default(), usual)?)
        };
        let mut one = install(&first)?;
        answers("127.0.0.1:80", '1')?;
        let mut two = install(&second)?;
        answers("127.0.0.1:80", '2')?;
        // The old one reloads once more: it must not get the new clients back.
        one.flip(&[way("127.0.0.1:80", first.port)?])?;
        answers("127.0.0.1:80", '2')?;
        one.remove()?;
        answers("127.0.0.1:80", '2')?;
        let mut three = install(&third)?;
        answers("127.0.0.1:80", '3')?;
        three.remove()?;
        answers("127.0.0.1:80", '2')?;
        two.remove()?;
    }
    Ok(())
}

/// The helper: has a table, owned or plain (`plain` on its input), until it is killed.
fn hold() -> Result<()> {
    let mut word = String::new();
    std::io::stdin().read_line(&mut word)?;
    let limits = NftLimits { owner: word.trim() != "plain", ..NftLimits::default() };
    let flip = Flip::install_within(Some(&"edge".parse()?), &[way("0.0.0.0:80", 8000)?], limits, -110)?;
    println!("{}", flip.name());
    std::io::stdin().read_line(&mut word)?;
    bail!("not killed")
}

/// Kills a process that has a table, and says how that was called.
fn killed(kind: &str) -> Result<String> {
    let mut child = helper("hold", &[])?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    writeln!(child.stdin.as_mut().context("no input")?, "{kind}")?;
    let mut output = std::io::BufReader::new(child.stdout.take().context("no output")?);
    let mut name = String::new();
    std::io::BufRead::read_line(&mut output, &mut name)?;
    let name = name.trim().to_owned();
    ensure!(run("nft list tables")?.contains(&name), "`{name}` is not there");
    ensure!(plumbing::residue()?.contains(&format!("table inet {name}")));
    ensure!(plumbing::sweep().map_err(anyhow::Error::msg)?.removed.is_empty(), "a living table was swept");
    child.kill()?;
    child.wait()?;
    Ok(name)
}

fn a_killed_process_leaves_nothing() -> Result<()> {
    killed("owned")?;
    if !has_owner_tables() {
        plumbing::sweep().map_err(anyhow::Error::msg)?;
    }
    until("the table to be gone", || Ok(run("nft list ruleset")?.is_empty()))
}

fn a_plain_table_is_swept() -> Result<()> {
    let name = killed("plain")?;
    ensure!(run("nft list tables")?.contains(&name), "a plain table stays");
    let swept = plumbing::sweep().map_err(anyhow::Error::msg)?;
    ensure!(swept.removed == [format!("table inet {name}")], "{swept:?}");
    ensure!(run("nft list ruleset")?.is_empty());
    Ok(())
}

fn others_are_left_as_they_were() -> Result<()> {
    run("nft add table inet other")?;
    run("nft add chain inet other pre { type nat hook prerouting priority dstnat ; }")?;
    run("nft add rule inet other pre tcp dport 8080 redirect to :80")?;
    run("nft add table ip clearway_edge_flip_00000001")?;
    let before = state()?;
    for _ in 0..2 {
        let mut flip = Flip::install(Some(&"edge".parse()?), &[way("0.0.0.0:80", 8000)?])?;
        let during = state()?;
        for line in before.lines() {
            ensure!(during.lines().any(|known| known == line), "`{line}` is gone");
        }
        flip.flip(&[way("0.0.0.0:80", 8001)?])?;
        flip.remove()?;
        flip.remove()?;
        same(&before, &state()?, "something of others has changed")?;
    }
    Ok(())
}

fn a_flip_is_no_sign_of_life_of_plumbing() -> Result<()> {
    let instance = "edge".parse()?;
    let server = server("127.0.0.1:0", "s")?;
    let mut flip = Flip::install(Some(&instance), &[way("127.0.0.1:80", server.port)?])?;
    let (mut plumbing, _) =
        Plumbing::install(Some(&instance), None, &PlumbingNeeds { own: true, ..PlumbingNeeds::default() })?;
    answers("127.0.0.1:80", 's')?;
    let mut client = nft::open()?;
    ensure!(nft::list(&mut client)?.len() == 2);
    let before = run("ip rule")?;
    plumbing.remove().map_err(anyhow::Error::msg)?;
    ensure!(run("ip rule")? != before, "the flip kept rules of plumbing alive");
    answers("127.0.0.1:80", 's')?;
    flip.remove()?;
    ensure!(plumbing::residue()?.is_empty());
    Ok(())
}

/// The helper: without any capability.
fn powerless() -> Result<()> {
    let error = Flip::probe().err().context("it is allowed")?;
    ensure!(matches!(error, FlipError::Table(nft::NftError::Denied(_))), "{error:?}");
    ensure!(error.hints().concat().contains("NET_ADMIN"), "{error}");
    Ok(())
}

fn without_rights_it_says_so() -> Result<()> {
    let bounds = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"];
    let output = helper("powerless", &bounds)?.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
