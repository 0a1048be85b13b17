//! Files and command lines that were written for other images and for Debian's package: they start as they are, or
//! Clearway says what is missing.

use std::process::Output;

use anyhow::{Context, Result, ensure};
use clearway_lab::container::Container;

use super::bridge::Bridge;
use super::engine::image;
use super::rig::{assert_ended, assert_said, documented};
use crate::stage::{SOON, said};

crate::tests![
    a_file_of_the_official_image_under_its_user,
    a_socket_where_its_user_may_not_write,
    a_socket_for_another_user_without_the_right_to_it,
    debians_own_file,
    check_and_doctor_look_for_directories_and_logs,
    a_script_that_ends_with_haproxy_is_supervised,
    a_haproxy_that_is_not_supervised_is_told_of,
];

/// Where the image looks for the configuration.
const FILE: &str = "/usr/local/etc/haproxy/haproxy.cfg";

/// What is common with the official image: its user, a socket in its directory, its error pages.
const OFFICIAL: &str = "global\n    stats socket /var/lib/haproxy/admin.sock mode 660 level admin\ndefaults\n    \
                        errorfile 503 /usr/local/etc/haproxy/errors/503.http\n";

/// What Debian's file has before its own `listen` sections, as far as it needs something of the host.
const DEBIANS: &str = "global\n    log /dev/log local0\n    log /dev/log local1 notice\n    chroot /var/lib/haproxy\n    \
                       stats socket /run/haproxy/admin.sock mode 660 level admin\n    stats timeout 30s\n    \
                       user haproxy\n    group haproxy\n    daemon\n    ca-base /etc/ssl/certs\n    \
                       crt-base /etc/ssl/private\ndefaults\n    log global\n    \
                       errorfile 503 /etc/haproxy/errors/503.http\n";

/// `--volume` for the file alone, so that the image's own directory stays.
fn file_only(bridge: &Bridge) -> String {
    format!("--volume={}:{FILE}:ro", bridge.path("haproxy.cfg").display())
}

fn run(bridge: &Bridge, options: &[&str], words: &[&str]) -> Result<Container> {
    let volume = file_only(bridge);
    let line: Vec<&str> = options.iter().copied().chain([volume.as_str()]).collect();
    Container::run(&bridge.engine, "official", &line, image(), words)
}

/// Runs it until it serves, reloads, and is told to end.
fn assert_supervised(bridge: &Bridge, options: &[&str], words: &[&str]) -> Result<()> {
    let mut container = run(bridge, options, words)?;
    container.wait_for_event(0, "generation.serving", &[], SOON)?;
    Bridge::assert_serving(&mut container)?;
    assert_said(&container.exec(&["clearway", "health"])?, 0)?;
    assert_said(&container.exec(&["clearway", "reload"])?, 0)?;
    // What is asked beside it goes to HAProxy.
    let version = said(&container.exec(&["haproxy", "-v"])?);
    ensure!(version.starts_with("HAProxy version "), "{version}");
    assert_said(&container.exec(&["haproxy", "-c", "-f", FILE])?, 0)?;
    ensure!(container.haproxies()?.len() == 1, "{:?}", container.haproxies()?);
    let code = container.stop(300)?;
    ensure!(code == 0, "exit code {code}: {}", container.log_for_people());
    Ok(())
}

fn a_file_of_the_official_image_under_its_user() -> Result<()> {
    let bridge = Bridge::new("ofuser")?;
    bridge.write(OFFICIAL, "")?;
    let user = "--user=haproxy";
    assert_supervised(&bridge, &[user], &[])?;
    assert_supervised(&bridge, &[user, "--entrypoint=docker-entrypoint.sh"], &["haproxy", "-f", FILE])?;
    assert_supervised(&bridge, &[user], &["docker-entrypoint.sh", "haproxy", "-f", FILE])?;
    // As root it goes as well.
    assert_supervised(&bridge, &[], &[])
}

fn a_socket_where_its_user_may_not_write() -> Result<()> {
    let bridge = Bridge::new("ofdenied")?;
    bridge.write("global\n    stats socket /etc/admin.sock\n", "")?;
    let mut container = run(&bridge, &["--user=haproxy"], &[])?;
    assert_ended(
        &mut container,
        77,
        &["hint: ", "/etc belongs to root (0), group root (0), mode 0755", "started as haproxy (99)"],
    )
}

fn a_socket_for_another_user_without_the_right_to_it() -> Result<()> {
    let bridge = Bridge::new("ofowner")?;
    bridge.write("global\n    stats socket /run/haproxy/admin.sock user haproxy group haproxy\n", "")?;
    let line = ["--cap-drop=ALL", "--cap-add=SETUID", "--cap-add=SETGID", "--cap-add=KILL"];
    assert_ended(&mut run(&bridge, &line, &[])?, 77, &["hint: ", "`--cap-add=CHOWN`"])?;
    assert_supervised(&bridge, &[&line[..], &["--cap-add=CHOWN"]].concat(), &[])
}

fn debians_own_file() -> Result<()> {
    let bridge = Bridge::new("ofdebian")?;
    bridge.write(DEBIANS, "")?;
    assert_supervised(&bridge, &[], &[])?;
    let line = documented(&[]);
    let line: Vec<&str> = line.iter().map(String::as_str).filter(|word| *word != "--network=host").collect();
    let tmpfs = "--tmpfs=/run/haproxy";
    let without: Vec<&str> = line.iter().copied().filter(|word| *word != tmpfs).collect();
    ensure!(without.len() < line.len(), "the documented line has no {tmpfs}");
    assert_supervised(&bridge, &line, &[])?;
    let mut container = run(&bridge, &without, &[])?;
    assert_ended(&mut container, 65, &["hint: ", "`--tmpfs /run/haproxy`"])
}

fn ask(bridge: &Bridge, options: &[&str], words: &[&str]) -> Result<Output> {
    let volume = file_only(bridge);
    let line: Vec<&str> = ["--rm", volume.as_str()].into_iter().chain(options.iter().copied()).collect();
    Container::run_to_end(&bridge.engine, "ask", &line, image(), words)
}

fn check_and_doctor_look_for_directories_and_logs() -> Result<()> {
    let bridge = Bridge::new("ofcheck")?;
    bridge.write(DEBIANS, "")?;
    let log = "`log /dev/log` (/usr/local/etc/haproxy/haproxy.cfg:2): there is no such socket (below";
    let socket = "`stats socket /run/haproxy/admin.sock` (/usr/local/etc/haproxy/haproxy.cfg:5): /run/haproxy is on a \
                  file system that is read-only";
    for words in [&["check", "haproxy", "-f", FILE] as &[&str], &["doctor", "haproxy", "-f", FILE]] {
        let found = assert_said(&ask(&bridge, &["--read-only"], words)?, 2)?;
        ensure!(found.contains(log) && found.contains(socket), "{words:?}: {found}");
        ensure!(found.contains("--tmpfs /run/haproxy"), "{words:?}: {found}");
    }
    let found = assert_said(&ask(&bridge, &[], &["check", "haproxy", "-f", FILE])?, 0)?;
    ensure!(found.contains(&format!("note: {log}")) && !found.contains("read-only"), "{found}");
    Ok(())
}

fn a_script_that_ends_with_haproxy_is_supervised() -> Result<()> {
    let bridge = Bridge::new("ofscript")?;
    bridge.write("", "")?;
    let script = format!("set -e; echo made > /tmp/made; exec haproxy -W -db -f {FILE}");
    assert_supervised(&bridge, &[], &["sh", "-c", &script])?;
    assert_supervised(&bridge, &["--init"], &["sh", "-c", &script])?;
    assert_supervised(&bridge, &["--entrypoint=sh"], &["-c", &script])?;
    let path = script.replace("haproxy -W", "/usr/local/sbin/haproxy -W");
    assert_supervised(&bridge, &["--entrypoint=bash"], &["-lc", &path])
}

fn a_haproxy_that_is_not_supervised_is_told_of() -> Result<()> {
    let bridge = Bridge::new("ofplain")?;
    bridge.write("", "")?;
    let cases = [
        (format!("haproxy -W -db -f {FILE} & wait"), "HAProxy is not supervised: it is process "),
        (
            format!("exec /usr/sbin/haproxy -W -db -f {FILE}"),
            "/usr/sbin/haproxy is HAProxy itself and is not supervised",
        ),
    ];
    for (script, line) in cases {
        let mut container = run(&bridge, &[], &["sh", "-c", &script])?;
        container.wait_for_log(0, line, SOON).with_context(|| script.clone())?;
        Bridge::assert_serving(&mut container)?;
    }
    Ok(())
}
