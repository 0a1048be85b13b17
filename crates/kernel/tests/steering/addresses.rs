//! Where there is no group: a narrower or wider address, a stranger, and no capability.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use clearway_kernel::capabilities::{Capability, effective};
use clearway_kernel::listeners::{Managed, strangers};
use clearway_kernel::queues::Waiting;
use clearway_kernel::steering::{Reason, seal};
use clearway_lab::inside::helper;
use clearway_lab::sockets::{begin, connect, connected, inode, listen, shares, take};
use clearway_lab::wait::until;

use super::{
    a_new_generation_that_dies_while_held_is_reverted, closing_several_is_exact_in_any_order,
    from_closing_to_release_no_client_is_refused, refused,
};

pub fn a_narrower_address_takes_over_at_once() -> Result<()> {
    let (old, new) = (listen("0.0.0.0:8000", false)?, listen("127.0.0.1:8000", false)?);
    let refused = refused(&[&old], &[&new])?;
    ensure!(refused.reason == Reason::Narrower, "{refused}");
    ensure!(shares("127.0.0.1:8000", &[&old, &new])? == [0, 40]);
    ensure!(shares("127.0.0.2:8000", &[&old, &new])? == [40, 0]);
    let _waits = connect("127.0.0.2:8000", 1)?;
    let mut waiting = Waiting::begin(refused.leaving)?;
    until("it to wait", || Ok(waiting.poll()?.queued == 1))?;
    take(&[&old], 1)?;
    ensure!(waiting.poll()?.is_nothing());
    Ok(())
}

pub fn a_wider_address_takes_over_after_sealing() -> Result<()> {
    for (address, wider) in [("127.0.0.1:8000", "0.0.0.0:8000"), ("[::1]:8001", "[::]:8001")] {
        let (old, new) = (listen(address, false)?, listen(wider, false)?);
        let refused = refused(&[&old], &[&new])?;
        ensure!(refused.reason == Reason::Wider, "{refused}");
        ensure!(shares(address, &[&old, &new])? == [40, 0]);
        let early = connect(address, 3)?;
        seal(old.as_fd())?;
        let mut waiting = Waiting::begin(refused.leaving)?;
        let late = begin(address)?;
        until("them to wait", || Ok(waiting.poll()?.queued == 3))?;
        take(&[&old], 3)?;
        ensure!(waiting.poll()?.is_nothing());
        ensure!(!connected(&late)?);
        drop(old);
        until("the late one to connect", || connected(&late))?;
        take(&[&new], 1)?;
        ensure!(early.iter().all(|client| client.take_error().is_ok_and(|error| error.is_none())));
    }
    Ok(())
}

/// Listens where others do, until standard input ends.
pub fn squat() -> Result<()> {
    let _sockets = [listen("127.0.0.1:8000", false)?, listen("[::]:8001", false)?];
    println!("here");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

pub fn a_stranger_in_the_group_is_found_by_name() -> Result<()> {
    let old = [listen("127.0.0.1:8000", false)?, listen("127.0.0.1:8001", false)?];
    let ours = old.iter().map(|socket| inode(socket.as_fd())).collect::<Result<HashSet<_>>>()?;
    let managed = old
        .iter()
        .map(|socket| Ok(Managed { address: socket.local_addr()?, v6only: false }))
        .collect::<Result<Vec<_>>>()?;
    ensure!(strangers(&managed, &ours)?.is_empty());
    let mut squatter = helper("squat", &[])?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(squatter.stdout.take().context("no output")?).read_line(&mut line)?;
    let new = listen("127.0.0.1:8000", false)?;
    let refused = refused(&[&old[0]], &[&new])?;
    ensure!(matches!(refused.reason, Reason::Stranger { uid: 0, .. }), "{refused}");

    let ours: HashSet<u64> = ours.into_iter().chain([inode(new.as_fd())?]).collect();
    let told: Vec<String> = strangers(&managed, &ours)?.iter().map(ToString::to_string).collect();
    let (pid, name) = (squatter.id(), std::fs::read_to_string(format!("/proc/{}/comm", squatter.id()))?);
    let name = name.trim();
    let expected = [
        format!("127.0.0.1:8000 held by {name} (pid {pid}) takes clients of 127.0.0.1:8000"),
        format!("[::]:8001 held by {name} (pid {pid}) takes clients of 127.0.0.1:8001"),
    ];
    ensure!(told == expected, "{told:?}");
    drop(squatter.stdin.take());
    squatter.wait()?;
    Ok(())
}

/// Steers, narrows, reverts and releases without any of the capabilities that the network knows.
pub fn powerless() -> Result<()> {
    let wanted = [Capability::NetAdmin, Capability::NetRaw, Capability::NetBindService];
    ensure!(effective()?.missing(&wanted).len() == wanted.len());
    from_closing_to_release_no_client_is_refused()?;
    closing_several_is_exact_in_any_order()?;
    a_new_generation_that_dies_while_held_is_reverted()?;
    a_narrower_address_takes_over_at_once()?;
    // Linux 6.18.44 wants `NET_ADMIN` for this one.
    match seal(listen("127.0.0.1:8002", false)?.as_fd()) {
        Err(error) if error.source.kind() != std::io::ErrorKind::PermissionDenied => Err(error.into()),
        _ => Ok(()),
    }
}

pub fn no_capability_is_needed() -> Result<()> {
    let output = helper("powerless", &["setpriv", "--bounding-set=-all", "--inh-caps=-all"])?.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
