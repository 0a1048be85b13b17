//! What goes wrong in containers only: networks, volumes and users. Each ends by itself, and says what mends it.

use std::os::unix::fs::{PermissionsExt, chown};

use anyhow::{Result, ensure};

use super::bridge::Bridge;
use super::rig::{Rig, assert_ended, volume};
use crate::stage::SOON;

crate::tests![
    transparent_in_a_network_of_its_own_is_warned_about,
    transparent_without_net_admin_in_a_network_of_its_own,
    a_directory_that_is_not_there,
    an_empty_directory,
    an_empty_file,
    a_file_that_is_not_there_and_became_a_directory,
    a_directory_that_its_user_may_not_enter,
    another_user_and_a_transparent_file,
];

/// Where the image looks for the configuration.
const FILE: &str = "/usr/local/etc/haproxy/haproxy.cfg";

const TRANSPARENT: &str = "source 0.0.0.0 usesrc clientip";

fn transparent_in_a_network_of_its_own_is_warned_about() -> Result<()> {
    let bridge = Bridge::new("warned")?;
    bridge.write("", TRANSPARENT)?;
    let mut container = bridge.run(&["--cap-add=NET_ADMIN"])?;
    container.wait_for_event(0, "generation.serving", &[], SOON)?;
    let warning = container.wait_for_event(0, "found.no-way-back", &[], SOON)?;
    ensure!(warning.to_string().contains("--network=host"), "{warning}");
    ensure!(container.stop(300)? == 0, "{}", container.log_for_people());
    Ok(())
}

fn transparent_without_net_admin_in_a_network_of_its_own() -> Result<()> {
    let bridge = Bridge::new("noadmin")?;
    bridge.write("", TRANSPARENT)?;
    assert_ended(&mut bridge.run(&[])?, 77, &["hint: ", "--cap-add=NET_ADMIN"])
}

fn a_directory_that_is_not_there() -> Result<()> {
    let bridge = Bridge::new("nodir")?;
    let directory = bridge.path("nowhere");
    // The engine makes it, empty, and says nothing.
    assert_ended(&mut bridge.run_with(&volume(&directory), &[])?, 66, &[FILE, "hint: "])
}

fn an_empty_directory() -> Result<()> {
    let bridge = Bridge::new("emptydir")?;
    let directory = bridge.path("empty");
    std::fs::create_dir(&directory)?;
    assert_ended(&mut bridge.run_with(&volume(&directory), &[])?, 66, &[FILE, "hint: "])
}

fn an_empty_file() -> Result<()> {
    let bridge = Bridge::new("emptyfile")?;
    std::fs::write(bridge.path("haproxy.cfg"), "")?;
    // HAProxy makes a process without listeners of it; so be it, as long as it ends when it is asked to.
    let mut container = bridge.run(&[])?;
    container.wait_for_event(0, "generation.serving", &[], SOON)?;
    ensure!(container.stop(300)? == 0, "{}", container.log_for_people());
    Ok(())
}

fn a_file_that_is_not_there_and_became_a_directory() -> Result<()> {
    let bridge = Bridge::new("nofile")?;
    let volume = format!("--volume={}:{FILE}", bridge.path("missing.cfg").display());
    let mut container = bridge.run_with(&volume, &[])?;
    assert_ended(&mut container, 66, &[FILE, "*.cfg"])
}

fn a_directory_that_its_user_may_not_enter() -> Result<()> {
    let bridge = Bridge::new("closed")?;
    let directory = bridge.path("closed");
    std::fs::create_dir(&directory)?;
    std::fs::write(directory.join("haproxy.cfg"), "listen f\n    bind :80\n")?;
    chown(&directory, Some(1234), None)?;
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o700))?;
    for option in ["--cap-drop=ALL", "--user=99"] {
        let mut container = bridge.run_with(&volume(&directory), &[option])?;
        assert_ended(&mut container, 66, &[FILE, "Permission denied", "hint: "])?;
    }
    Ok(())
}

fn another_user_and_a_transparent_file() -> Result<()> {
    let rig = Rig::new("user")?;
    rig.stage.write(&rig.stage.transparent())?;
    rig.assert_refused(rig.run(&["--user=99"], &[])?, 77, &["hint: ", "--user"])
}
