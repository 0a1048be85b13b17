//! In the place of other images, with their command lines as they are.

use anyhow::{Result, ensure};
use clearway_lab::container::Container;

use super::bridge::Bridge;
use super::engine::{engine, image};
use super::rig::{ANOTHER_USER, Rig, assert_said};
use crate::stage::{SOON, assert_no_client_lost, said};

crate::tests![
    in_the_place_of_the_shell_script_image,
    a_shell_in_the_place_of_haproxy,
    in_the_place_of_the_official_image,
    in_the_place_of_the_official_image_under_its_user,
    a_check_by_the_official_command_line,
];

/// What the shell-script image needed, and Clearway does not: the right to load modules, a sysctl.
const SHELL_SCRIPT_LINE: [&str; 6] = [
    "--net=host",
    "--cap-add=SYS_MODULE",
    "--cap-add=NET_ADMIN",
    "--cap-add=NET_RAW",
    "--volume=/proc/sys/net/ipv4/ip_nonlocal_bind:/var/proc/sys/net/ipv4/ip_nonlocal_bind",
    "--env=HAPROXY_PORTS=1234,5678",
];

fn in_the_place_of_the_shell_script_image() -> Result<()> {
    let rig = Rig::new("script")?;
    rig.stage.write(&(ANOTHER_USER.to_owned() + &rig.stage.transparent()))?;
    let sysctl = || std::fs::read_to_string("/proc/sys/net/ipv4/ip_nonlocal_bind");
    let before = sysctl()?;
    let volume = format!("--volume={}:/usr/local/etc/haproxy/haproxy.cfg", rig.stage.file().display());
    let line: Vec<&str> = SHELL_SCRIPT_LINE.into_iter().chain([volume.as_str()]).collect();
    let file = "/usr/local/etc/haproxy/haproxy.cfg";
    for words in [&[] as &[&str], &["haproxy", "-f", file], &["-f", file]] {
        let mut container = rig.start_line(&line, words)?;
        let load = rig.load()?;
        container.signal("HUP")?;
        container.wait_for_event(0, "generation.serving", &[("generation", &2)], SOON)?;
        assert_no_client_lost(&load.finish_after(20)?)?;
        ensure!(sysctl()? == before, "ip_nonlocal_bind was changed");
        rig.stop_and_assert_clean(&mut container)?;
    }
    ensure!(sysctl()? == before, "ip_nonlocal_bind was changed");
    Ok(())
}

fn a_shell_in_the_place_of_haproxy() -> Result<()> {
    let engine = engine()?;
    let options = ["--tty", "--network=none"];
    let output =
        Container::run_to_end(&engine, "shell", &options, image(), &["bash", "-c", "echo hi; tty; exit 7"])?;
    ensure!(output.status.code() == Some(7), "{}", output.status);
    let said = said(&output);
    ensure!(said.starts_with("hi\r\n/dev/"), "a shell at a terminal: {said:?}");
    Ok(())
}

const OFFICIAL_OPTION: &str = "--sysctl=net.ipv4.ip_unprivileged_port_start=0";

fn in_the_place_of_the_official_image() -> Result<()> {
    let bridge = Bridge::new("official")?;
    bridge.write("", "")?;
    let mut container = bridge.start(&[OFFICIAL_OPTION])?;
    let load = bridge.load(&container)?;
    container.signal("HUP")?;
    container.wait_for_event(0, "generation.serving", &[("generation", &2)], SOON)?;
    assert_no_client_lost(&load.finish_after(20)?)?;
    container.signal("USR1")?;
    let code = container.wait_exit(SOON)?;
    ensure!(code == 0, "exit code {code}: {}", container.log_for_people());
    Ok(())
}

fn in_the_place_of_the_official_image_under_its_user() -> Result<()> {
    let bridge = Bridge::new("user")?;
    bridge.write("", "")?;
    let mut container = bridge.start(&[OFFICIAL_OPTION, "--user=haproxy"])?;
    let load = bridge.load(&container)?;
    container.signal("HUP")?;
    container.wait_for_event(0, "generation.serving", &[("generation", &2)], SOON)?;
    assert_said(&container.exec(&["clearway", "reload"])?, 0)?;
    assert_no_client_lost(&load.finish_after(20)?)?;
    let code = container.stop(300)?;
    ensure!(code == 0, "exit code {code}: {}", container.log_for_people());
    Ok(())
}

fn a_check_by_the_official_command_line() -> Result<()> {
    let bridge = Bridge::new("check")?;
    let volume = bridge.volume();
    let check = || {
        let words = ["haproxy", "-c", "-f", "/usr/local/etc/haproxy/haproxy.cfg"];
        Container::run_to_end(&bridge.engine, "check", &["--rm", &volume], image(), &words)
    };
    bridge.write("", "")?;
    assert_said(&check()?, 0)?;
    bridge.write("nonsense\n", "")?;
    let words = assert_said(&check()?, 1)?;
    ensure!(words.contains("unknown keyword 'nonsense'"), "{words}");
    Ok(())
}
