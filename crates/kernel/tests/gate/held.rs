//! SYNs that are held, and let go in order.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clearway_kernel::gate::{BoundAddress, Gate, GateLimits, Manner, Opened};
use clearway_lab::namespace::Namespace;
use clearway_lab::sockets::{DEADLINE, begin, connected};
use clearway_lab::topology::{Gateway, beside};
use clearway_lab::wait::until;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use socket2::Socket;

use super::{address, all_connected, everywhere, retransmissions, retransmissions_here, waiting};

/// Holds clients and lets them go before they have sent anything again; a machine that was too slow for that tries again.
pub fn hold(
    limits: GateLimits,
    addresses: &[SocketAddr],
    sent_again: impl Fn() -> Result<u64>,
    mut during: impl FnMut() -> Result<()>,
    mut after: impl FnMut() -> Result<()>,
) -> Result<Opened> {
    let deadline = Instant::now() + DEADLINE;
    let addresses: Vec<BoundAddress> = addresses.iter().copied().map(BoundAddress::from).collect();
    loop {
        let before = sent_again()?;
        let gate = Gate::close_within(None, Manner::Hold, &addresses, &[], limits)?;
        during()?;
        let opened = gate.open()?;
        after()?;
        // The first retransmission is due after a second.
        if opened.closed_for < Duration::from_millis(900) {
            ensure!(sent_again()? == before, "a client has sent again: {opened:?}");
            return Ok(opened);
        }
        ensure!(Instant::now() < deadline, "too slow for a test: {opened:?}");
    }
}

pub fn held_here() -> Result<()> {
    let (_listener, port) = everywhere()?;
    for (own, target) in [("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("::", "::1"), ("::1", "::1")] {
        let target = address(target, port)?.to_string();
        let mut client = None;
        let mut during = || {
            let begun = begin(&target)?;
            until("the client is held", || Ok(waiting()? == 1))?;
            ensure!(!connected(&begun)?, "{own}: a SYN came through");
            client = Some(begun);
            Ok(())
        };
        let gate_opened = hold(
            GateLimits::default(),
            &[address(own, port)?],
            retransmissions_here,
            &mut during,
            || Ok(()),
        )?;
        ensure!(gate_opened.held == 1 && !gate_opened.lapsed, "{gate_opened:?}");
        let client = client.context("no client")?;
        until("the client connects", || connected(&client))?;
    }
    Ok(())
}

pub fn held_outside() -> Result<()> {
    let host = beside(&Namespace::host()?, 7, Gateway::None)?;
    let (_listener, port) = everywhere()?;
    let sent_again = || retransmissions(&host.run("cat /proc/net/snmp")?);
    for (own, target) in [("0.0.0.0", "10.7.0.1"), ("::", "fd07::1"), ("10.7.0.1", "10.7.0.1")] {
        let target = address(target, port)?.to_string();
        let client = std::cell::RefCell::new(None);
        let during = || {
            *client.borrow_mut() = Some(host.enter(|| begin(&target))??);
            until("the client is held", || Ok(waiting()? == 1))
        };
        let after = || until("the client connects", || client.borrow().as_ref().map_or(Ok(false), connected));
        let opened = hold(GateLimits::default(), &[address(own, port)?], sent_again, during, after)?;
        ensure!(opened.held == 1, "{opened:?}");
    }
    Ok(())
}

pub fn iptables_target_holds_as_well() -> Result<()> {
    let (_listener, port) = everywhere()?;
    let limits = GateLimits { expression: false, ..GateLimits::default() };
    Gate::probe_within(Manner::Hold, limits)?;
    let mut clients = Vec::new();
    let during = || {
        clients = vec![begin(&format!("127.0.0.1:{port}"))?, begin(&format!("[::1]:{port}"))?];
        until("both are held", || Ok(waiting()? == 2))
    };
    hold(limits, &[address("::", port)?], retransmissions_here, during, || Ok(()))?;
    until("they connect", || all_connected(&clients))
}

pub fn hundreds_are_held_and_let_go_in_order() -> Result<()> {
    const CLIENTS: usize = 400;
    // On one processor, so that no packet overtakes another on the way into the queue.
    let mut first = CpuSet::new();
    let all = sched_getaffinity(None)?;
    first.set((0..CpuSet::MAX_CPU).find(|cpu| all.is_set(*cpu)).context("no processor")?);
    sched_setaffinity(None, &first)?;
    let (listener, port) = everywhere()?;
    let target = format!("127.0.0.1:{port}");
    let mut clients = Vec::new();
    let during = || {
        clients = (0..CLIENTS).map(|_| begin(&target)).collect::<Result<Vec<_>>>()?;
        Ok(())
    };
    let mut came = Vec::new();
    let after = || {
        came.clear();
        until("all are accepted", || {
            came.extend(std::iter::from_fn(|| listener.accept().ok()).map(|(_, from)| from.port()));
            Ok(came.len() >= CLIENTS)
        })
    };
    let opened =
        hold(GateLimits::default(), &[address("0.0.0.0", port)?], retransmissions_here, during, after)?;
    ensure!(opened.held == CLIENTS as u64 && !opened.lapsed, "{opened:?}");
    let ports =
        clients.iter().map(|client| Ok(client.local_addr()?.as_socket().context("no address")?.port()));
    ensure!(came == ports.collect::<Result<Vec<_>>>()?, "they were let go in another order");
    Ok(())
}

pub fn what_does_not_fit_into_the_queue_passes() -> Result<()> {
    let (_listener, port) = everywhere()?;
    let limits = GateLimits { length: 10, ..GateLimits::default() };
    let gate = Gate::close_within(None, Manner::Hold, &[address("::", port)?.into()], &[], limits)?;
    let clients = (0..30).map(|_| begin(&format!("127.0.0.1:{port}"))).collect::<Result<Vec<_>>>()?;
    let through = |clients: &[Socket]| -> Result<usize> {
        clients.iter().map(|client| Ok(usize::from(connected(client)?))).sum()
    };
    until("clients that do not fit to pass", || Ok(through(&clients)? >= 20))?;
    ensure!(waiting()? == 10, "{} wait", waiting()?);
    let opened = gate.open()?;
    ensure!(opened.lapsed && opened.held >= 10, "{opened:?}");
    until("all connect", || all_connected(&clients))
}
