//! What tools around HAProxy do over the master CLI.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::clearway_program;
use clearway_lab::wait::eventually;

use super::{Answering, connect, listed};
use crate::stage::{CannotRun, SOON, Stage, assert_code, complained, haproxy_version, said};

crate::tests![
    a_payload_reaches_a_worker_as_it_is,
    the_client_library_of_the_data_plane_api_gets_its_answers,
    a_reload_of_a_quiet_haproxy_is_answered_with_a_line,
    the_deploy_hook_brings_a_certificate_into_use_or_puts_the_former_back,
    a_certificate_comes_into_use_without_a_reload,
    haproxy_finds_the_addresses_in_its_environment,
];

/// With a map of these entries, and what the map is called.
fn with_a_map(name: &str, entries: &str) -> Result<(Answering, String)> {
    let stage = Stage::new(name)?;
    let map = stage.path("x.map");
    std::fs::write(&map, entries)?;
    let rule = format!("    tcp-request connection reject if {{ src,map({}) -m found }}\n", map.display());
    let cli = Answering::with(stage, |stage| {
        stage.plain().replace("    server s", &format!("{rule}    server s"))
    })?;
    Ok((cli, map.display().to_string()))
}

fn a_payload_reaches_a_worker_as_it_is() -> Result<()> {
    let (cli, map) = with_a_map("mclipay", "")?;
    let rows: Vec<String> = (0..200).map(|number| format!("key{number} v;{number}\\ \u{e4}\n")).collect();
    let rows = rows.concat();
    let answer = cli.ask(&format!("@1 add map {map} <<\n{rows}\nshow version\n"))?;
    ensure!(answer.starts_with('\n') && answer.len() < 100, "{answer:?}");
    let shown = cli.ask(&format!("@1 show map {map}\n"))?;
    ensure!(shown.lines().filter(|line| line.contains(" key")).count() == 200, "{shown}");
    ensure!(shown.contains("key7 v;7\\ \u{e4}\n"), "{shown}");
    // Byte by byte, as a terminal sends it.
    let mut slow = cli.connect()?;
    for byte in format!("prompt\n@1 add map {map} <<\nslow one\n\nquit\n").bytes() {
        slow.write_all(&[byte])?;
    }
    let mut answer = String::new();
    slow.read_to_string(&mut answer)?;
    ensure!(answer == "master> + + \nmaster> master> ", "{answer:?}");
    ensure!(cli.ask(&format!("@1 show map {map}\n"))?.contains("slow one"), "the slow one");
    cli.end()
}

/// As `client-native` (`runtime/runtime_single_client.go`) does it: one write, then reads of 1,024 bytes until the end.
fn as_the_client_library(path: &Path, text: &str) -> Result<String> {
    let mut stream = connect(path)?;
    stream.write_all(text.as_bytes())?;
    let (mut answer, mut piece) = (Vec::new(), [0; 1024]);
    loop {
        match stream.read(&mut piece)? {
            0 => return Ok(String::from_utf8_lossy(&answer).into_owned()),
            length => answer.extend_from_slice(&piece[..length]),
        }
    }
}

fn the_client_library_of_the_data_plane_api_gets_its_answers() -> Result<()> {
    let (cli, map) = with_a_map("mclidata", "old value\n")?;
    // A master before 3.0 does not know the former, which the library writes since 2024.
    let severity = if haproxy_version()? >= (3, 0) { "" } else { "@1 " };
    let worker = |text: &str| {
        let text = format!("{severity}set severity-output number;@1 {text};quit\n");
        as_the_client_library(&cli.path, &text)
    };
    ensure!(worker("show info")?.contains("\nPid: "), "{}", worker("show info")?);
    ensure!(worker("show stat")?.contains("f0,FRONTEND,"), "{}", worker("show stat")?);
    ensure!(worker("set server f0/s weight 50%")?.trim().is_empty(), "weight");
    ensure!(worker("show servers state f0")?.contains(" f0 1 s "), "state");
    ensure!(worker(&format!("show map {map}"))?.contains(" old value\n"), "a map");
    ensure!(worker(&format!("set map {map} old new"))?.trim().is_empty(), "set map");
    let added = as_the_client_library(&cli.path, &format!("@1 add map {map} <<\na b\nc d\n\nquit\n"))?;
    ensure!(added.trim().is_empty(), "add map: {added}");
    let shown = worker(&format!("show map {map}"))?;
    ensure!(["old new", "a b", "c d"].iter().all(|row| shown.contains(row)), "{shown}");
    ensure!(worker(&format!("del map {map} a"))?.trim().is_empty(), "del map");
    let created = worker("new ssl cert /nowhere/x.pem")?;
    ensure!(created.contains("New empty certificate store '/nowhere/x.pem'!"), "{created}");
    ensure!(worker("show ssl cert")?.contains("/nowhere/x.pem"), "a certificate");
    ensure!(worker("del ssl cert /nowhere/x.pem")?.contains("deleted"), "del ssl cert");
    // For the master there is no newline at the end.
    let answer = as_the_client_library(&cli.path, "reload;quit")?;
    ensure!(answer.starts_with("Success=1\n--\n"), "{answer}");
    let shown = as_the_client_library(&cli.path, "show proc;quit\n")?;
    ensure!(
        shown.contains("master          1 [failed: 0]") && listed(&shown, "# workers").len() == 1,
        "{shown}"
    );
    cli.stage.write("nonsense\n")?;
    ensure!(as_the_client_library(&cli.path, "reload;quit")?.starts_with("Success=0\n--\n"), "a broken file");
    cli.end()
}

/// Its client library takes an answer without a line below `--` for a reload that failed, and puts the former file back.
fn a_reload_of_a_quiet_haproxy_is_answered_with_a_line() -> Result<()> {
    let cli =
        Answering::with(Stage::new("mcliquiet")?, |stage| format!("global\n    quiet\n{}", stage.plain()))?;
    let answer = cli.ask("reload;quit\n")?;
    ensure!(answer.starts_with("Success=1\n--\n[NOTICE]"), "{answer:?}");
    cli.end()
}

/// The commands of the how-to page behind this line of it.
fn from_the_page(begin: &str) -> Result<&'static str> {
    let page = include_str!("../../../docs/how-to/certbot.md");
    let (_, rest) = page.split_once(begin).with_context(|| format!("no {begin:?} in the page"))?;
    Ok(rest.split_once("```").context("no end")?.0)
}

/// A certificate and its key, of which the first has this name; as certbot leaves them.
fn renew(lineage: &Path, name: &str) -> Result<String> {
    std::fs::create_dir_all(lineage)?;
    let (chain, key) = (lineage.join("fullchain.pem"), lineage.join("privkey.pem"));
    let made = Command::new("openssl")
        .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj".split(' '))
        .arg(format!("/CN={name}"))
        .args(["-out".as_ref(), chain.as_os_str(), "-keyout".as_ref(), key.as_os_str()])
        .output();
    let Ok(made) = made else { return Err(CannotRun("`openssl` is not installed".to_owned()).into()) };
    ensure!(made.status.success(), "{}", complained(&made));
    Ok(std::fs::read_to_string(chain)? + &std::fs::read_to_string(key)?)
}

/// With a frontend that has the certificates of a directory, in which one has this name.
fn with_a_certificate(name: &str, first: &str) -> Result<Answering> {
    let stage = Stage::new(name)?;
    let certificates = stage.path("certs");
    std::fs::create_dir(&certificates)?;
    let both = renew(&stage.path("live/www.example.com"), first)?;
    std::fs::write(certificates.join("www.example.com.pem"), both)?;
    let (socket, certificates) = (stage.path("tls.sock"), certificates.display().to_string());
    let tls = format!("frontend tls\n    bind unix@{} ssl crt {certificates}/\n", socket.display());
    Answering::with(stage, |stage| stage.plain() + &tls)
}

/// The name in the certificate that a client sees.
fn seen(cli: &Answering) -> Result<String> {
    let socket = cli.stage.path("tls.sock");
    let command = "openssl s_client -unix \"$1\" </dev/null 2>/dev/null | openssl x509 -noout -subject";
    let output = Command::new("sh").args(["-c", command, "sh"]).arg(socket).output()?;
    let text = said(&output);
    text.trim().rsplit("CN = ").next().map(str::to_owned).with_context(|| complained(&output))
}

fn the_deploy_hook_brings_a_certificate_into_use_or_puts_the_former_back() -> Result<()> {
    let cli = with_a_certificate("mclihook", "first")?;
    let hook = from_the_page("deploy/haproxy` (executable):\n\n```sh\n")?;
    ensure!(hook.contains("docker exec balancer clearway reload"), "{hook}");
    let hook = hook
        .replace("docker exec balancer clearway", &clearway_program()?.display().to_string())
        .replace("/etc/haproxy", &cli.stage.path("").display().to_string());
    let lineage = cli.stage.path("live/www.example.com");
    let deploy = || {
        let mut command = cli.stage.hosts.balancer.command("sh");
        command.args(["-c", &hook]).env("RENEWED_LINEAGE", &lineage);
        command.env("CLEARWAY_RUN_DIRECTORY", cli.stage.run_directory()).output().context("the hook")
    };
    ensure!(seen(&cli)? == "first", "{}", seen(&cli)?);
    renew(&lineage, "second")?;
    let output = deploy()?;
    assert_code(output.status, 0).with_context(|| complained(&output))?;
    ensure!(seen(&cli)? == "second", "{}", seen(&cli)?);
    let place = cli.stage.path("certs/www.example.com.pem");
    let before = std::fs::read(&place)?;
    std::fs::write(lineage.join("privkey.pem"), "no key\n")?;
    assert_code(deploy()?.status, 1)?;
    ensure!(seen(&cli)? == "second" && std::fs::read(&place)? == before, "the former one was not put back");
    cli.reload()?;
    cli.end()
}

fn a_certificate_comes_into_use_without_a_reload() -> Result<()> {
    let cli = with_a_certificate("mclihot", "first")?;
    let page = from_the_page("# cli=/run/haproxy/master.sock pem=")?;
    let pem = cli.stage.path("certs/www.example.com.pem").display().to_string();
    for command in ["show ssl cert", "set ssl cert %s <<\\n%s\\n\\n", "commit ssl cert $pem"] {
        ensure!(page.contains(&format!("@1 {command}")), "the page does not have {command:?}");
    }
    let shown = cli.ask("@1 show ssl cert\n")?;
    ensure!(shown.contains(&format!("# filename\n{pem}\n")), "{shown}");
    let both = renew(&cli.stage.path("live/www.example.com"), "second")?;
    let created = cli.ask(&format!("@1 set ssl cert {pem} <<\n{}\n\n", both.trim_end()))?;
    ensure!(created.contains(&format!("Transaction created for certificate {pem}!\n")), "{created}");
    let committed = cli.ask(&format!("@1 commit ssl cert {pem}\n"))?;
    ensure!(committed.contains("\nSuccess!\n"), "{committed}");
    ensure!(seen(&cli)? == "second", "{}", seen(&cli)?);
    let lost = cli.ask(&format!("@1 commit ssl cert {pem}\n"))?;
    ensure!(lost.contains("No ongoing transaction"), "{lost}");
    cli.end()
}

/// Not those of the private socket pair between HAProxy and Clearway.
fn haproxy_finds_the_addresses_in_its_environment() -> Result<()> {
    let stage = Stage::new("mclienv")?;
    let (socket, script) = (stage.path("env.sock"), stage.path("e.lua"));
    std::fs::write(
        &script,
        "core.register_fetches(\"mastercli\", function(txn) return os.getenv(\"HAPROXY_MASTER_CLI\") end)\n",
    )?;
    let text = format!(
        "global\n    lua-load {}\n{}frontend env\n    mode http\n    bind unix@{}\n    http-request return status 200 \
         content-type text/plain lf-string \"%[env(HAPROXY_MASTER_CLI)] %[lua.mastercli]\"\n",
        script.display(),
        stage.plain(),
        socket.display(),
    );
    let cli = Answering::with(stage, |_| text.clone())?;
    let page = || {
        let mut stream = UnixStream::connect(&socket).ok()?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.split_once("\r\n\r\n").map(|(_, page)| page.to_owned())
    };
    let wanted = format!("unix@{0} unix@{0}", cli.path.display());
    for when in ["at first", "after a reload"] {
        let seen = eventually(SOON, "an answer", page)?;
        ensure!(seen == wanted, "{when}: {seen}");
        cli.reload()?;
    }
    cli.end()
}
