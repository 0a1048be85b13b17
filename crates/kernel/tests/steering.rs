//! Steering, waiting and sealing, on real connections; and which other processes listen.

use std::collections::HashSet;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_kernel::queues::{Listener, Waiting, half_open, queues};
use clearway_kernel::steering::{
    Fate, NotSteerable, ReuseportGroup, SocketOrder, groups, hide, seal, unseal,
};
use clearway_lab::inside::{self, Named, run};
use clearway_lab::load::{self, Plan};
use clearway_lab::namespace::Namespace;
use clearway_lab::sockets::{
    DEADLINE, begin, connect, connected, drain, fds, inode, listen, serve, shares, take,
};
use clearway_lab::wait::until;

#[path = "steering/addresses.rs"]
mod addresses;
#[path = "steering/order.rs"]
mod order;

use addresses::{
    a_narrower_address_takes_over_at_once, a_stranger_in_the_group_is_found_by_name,
    a_wider_address_takes_over_after_sealing, no_capability_is_needed, powerless, squat,
};
use order::{
    beside_a_stranger_new_clients_are_ours, many_are_chosen_evenly,
    one_that_leaves_late_turns_old_and_new_round, ranks_are_by_listening_and_the_last_fills_the_gap,
    sockets_that_stay_are_chosen_by_their_rank, two_that_leave_first_leave_the_order_unknown,
};

macro_rules! tests {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), $name)),*] };
}

const TESTS: &[Named] = tests![
    unsteered_clients_that_wait_are_reset,
    steered_ipv4_loses_no_client,
    steered_specific_ipv6_loses_no_client,
    steered_dual_stack_loses_no_client,
    several_addresses_are_steered_at_once,
    two_old_and_one_new_lose_no_client,
    three_old_and_three_new_lose_no_client,
    closing_several_is_exact_in_any_order,
    many_are_chosen_evenly,
    sockets_that_stay_are_chosen_by_their_rank,
    ranks_are_by_listening_and_the_last_fills_the_gap,
    two_that_leave_first_leave_the_order_unknown,
    one_that_leaves_late_turns_old_and_new_round,
    a_new_generation_that_dies_leaves_the_old_ones_serving,
    a_new_generation_that_dies_while_held_is_reverted,
    from_closing_to_release_no_client_is_refused,
    hidden_sockets_get_no_clients_and_keep_their_place,
    half_open_requests_of_the_old_are_waited_for,
    sealed_sockets_make_clients_late_and_lose_none,
    a_narrower_address_takes_over_at_once,
    a_wider_address_takes_over_after_sealing,
    a_stranger_in_the_group_is_found_by_name,
    beside_a_stranger_new_clients_are_ours,
    no_capability_is_needed,
];

const HELPERS: &[Named] = &[("squat", squat), ("powerless", powerless)];

fn main() -> ExitCode {
    inside::main(TESTS, HELPERS)
}

/// All held sockets leave.
fn all_leave<'a>(old: &'a [&'a TcpListener]) -> Vec<(BorrowedFd<'a>, Fate)> {
    old.iter().map(|socket| (socket.as_fd(), Fate::Leaves)).collect()
}

/// The one group of these sockets.
fn group(
    held: &[(BorrowedFd<'_>, Fate)],
    new: &[&TcpListener],
    order: SocketOrder<'_>,
) -> Result<ReuseportGroup> {
    let mut outcomes = groups(held, &fds(new), order)?;
    ensure!(outcomes.len() == 1, "{outcomes:?}");
    Ok(outcomes.remove(0)?)
}

fn refused(old: &[&TcpListener], new: &[&TcpListener]) -> Result<NotSteerable> {
    let mut outcomes = groups(&all_leave(old), &fds(new), SocketOrder::Unknown)?;
    ensure!(outcomes.len() == 1, "{outcomes:?}");
    outcomes.remove(0).err().context("it is steerable")
}

fn unsteered_clients_that_wait_are_reset() -> Result<()> {
    for (address, target) in
        [("127.0.0.1:8000", "127.0.0.1:8000"), ("[::1]:8000", "[::1]:8000"), ("[::]:8000", "127.0.0.1:8000")]
    {
        let (old, new) = (listen(address, false)?, listen(address, false)?);
        let clients = connect(target, 64)?;
        let mut served = 0;
        let inodes = HashSet::from([inode(old.as_fd())?]);
        let mut at_old = 0;
        until("all to wait or be served", || {
            served += drain(&new);
            at_old = queues(&inodes)?[0].waiting as usize;
            Ok(served + at_old == clients.len())
        })?;
        ensure!(at_old > 0, "no client at the old socket, of 64");
        drop(old);
        let mut reset = 0;
        until("those at the old socket to be reset", || {
            reset += clients.iter().filter(|client| client.take_error().is_ok_and(|e| e.is_some())).count();
            Ok(reset == at_old)
        })?;
    }
    Ok(())
}

/// Two generations under load: `old` and `new` sockets on each of the addresses.
fn switch(addresses: &[&str], targets: &[&str], old: usize, new: usize) -> Result<()> {
    let make = |count: usize| -> Result<Vec<TcpListener>> {
        addresses.iter().flat_map(|address| (0..count).map(|_| listen(address, false))).collect()
    };
    let old = make(old)?;
    let mut serving = Vec::new();
    for socket in &old {
        serving.push(serve(socket, "old", Duration::from_millis(2))?);
    }
    let targets: Vec<SocketAddr> = targets.iter().map(|target| target.parse()).collect::<Result<_, _>>()?;
    let clients = 8 * targets.len();
    let plan = Plan::closed(&targets, clients, Duration::from_mins(5)).patient_for(DEADLINE);
    let load = load::start(&Namespace::host()?, plan)?;
    // Those that are under way do not count.
    let more_clients = || {
        let wanted = load.progress().0 + clients as u64 + 500;
        until("more clients", || Ok(load.progress().0 > wanted))
    };
    let inodes = old.iter().map(|socket| inode(socket.as_fd())).collect::<Result<HashSet<_>>>()?;
    until("a queue", || Ok(queues(&inodes)?.iter().all(|queue| queue.waiting > 0)))?;

    let new = make(new)?;
    let _new = new.iter().map(|socket| serve(socket, "new", Duration::ZERO)).collect::<Result<Vec<_>>>()?;
    let (old_refs, new_refs): (Vec<_>, Vec<_>) = (old.iter().collect(), new.iter().collect());
    let groups: Vec<ReuseportGroup> = groups(&all_leave(&old_refs), &fds(&new_refs), SocketOrder::Unknown)?
        .into_iter()
        .collect::<Result<_, _>>()?;
    ensure!(groups.len() == addresses.len());
    let via = |group: &ReuseportGroup| {
        let is_its = |socket: &&TcpListener| socket.local_addr().is_ok_and(|ip| ip == group.address());
        new.iter().find(is_its).context("no socket for the group")
    };
    for group in &groups {
        group.steer(via(group)?.as_fd())?;
    }
    let started = std::time::Instant::now();
    let mut waiting = Waiting::begin(groups.iter().flat_map(ReuseportGroup::leaving).copied().collect())?;
    let first = (started.elapsed(), waiting.poll()?);
    until("the old queues to empty", || Ok(waiting.poll()?.is_nothing()))?;
    println!("{first:?}, nothing after {:?}", started.elapsed());
    // The load goes on, and no client comes to the old sockets any more.
    more_clients()?;
    ensure!(waiting.poll()?.is_nothing());

    for group in &groups {
        group.narrow(via(group)?.as_fd())?;
    }
    if groups.iter().any(ReuseportGroup::needs_seal) {
        old.iter().try_for_each(|socket| seal(socket.as_fd()))?;
    }
    old.iter().try_for_each(|socket| hide(socket.as_fd()))?;
    drop(serving);
    drop(old);
    until("the old sockets to be gone", || Ok(waiting.poll()?.listening == 0))?;
    more_clients()?;
    for group in &groups {
        group.release(via(group)?.as_fd())?;
        group.release(via(group)?.as_fd())?;
    }
    more_clients()?;
    let report = load.finish()?;
    let came = |name: &str| report.total.answers.get(name).copied().unwrap_or(0);
    ensure!(report.total.failed() == 0 && came("old") > 0 && came("new") > 1500, "{report}");
    Ok(())
}

fn steered_ipv4_loses_no_client() -> Result<()> {
    switch(&["127.0.0.1:8000"], &["127.0.0.1:8000"], 1, 1)
}

fn steered_specific_ipv6_loses_no_client() -> Result<()> {
    switch(&["[::1]:8000"], &["[::1]:8000"], 1, 1)
}

fn steered_dual_stack_loses_no_client() -> Result<()> {
    switch(&["[::]:8000"], &["[::1]:8000", "127.0.0.1:8000"], 1, 1)
}

fn several_addresses_are_steered_at_once() -> Result<()> {
    let addresses = ["127.0.0.1:8000", "[::1]:8000", "127.0.0.2:8001"];
    switch(&addresses, &addresses, 1, 2)
}

fn two_old_and_one_new_lose_no_client() -> Result<()> {
    switch(&["127.0.0.1:8000"], &["127.0.0.1:8000"], 2, 1)
}

fn three_old_and_three_new_lose_no_client() -> Result<()> {
    switch(&["[::1]:8000"], &["[::1]:8000"], 3, 3)
}

fn closing_several_is_exact_in_any_order() -> Result<()> {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let make = || (0..3).map(|_| listen("127.0.0.1:8000", false)).collect::<Result<Vec<_>>>();
        let (old, new) = (make()?, make()?);
        let group = group(&all_leave(&refs(&old)), &refs(&new), SocketOrder::Unknown)?;
        ensure!(!group.needs_seal());
        group.steer(new[0].as_fd())?;
        group.narrow(new[0].as_fd())?;
        let mut old: Vec<_> = old.into_iter().map(Some).collect();
        for closed in order {
            old[closed] = None;
            let all: Vec<&TcpListener> = old.iter().flatten().chain(&new).collect();
            let shares = shares("127.0.0.1:8000", &all)?;
            ensure!(shares.iter().take(all.len() - 3).sum::<usize>() == 0, "{order:?}: {shares:?}");
        }
        group.release(new[0].as_fd())?;
    }
    Ok(())
}

fn refs(sockets: &[TcpListener]) -> Vec<&TcpListener> {
    sockets.iter().collect()
}

fn a_new_generation_that_dies_leaves_the_old_ones_serving() -> Result<()> {
    let old = [listen("[::1]:8000", false)?, listen("[::1]:8000", false)?];
    let new = listen("[::1]:8000", false)?;
    let group = group(&all_leave(&old.each_ref()), &[&new], SocketOrder::Unknown)?;
    group.steer(new.as_fd())?;
    ensure!(shares("[::1]:8000", &[&old[0], &old[1], &new])? == [0, 0, 40]);
    drop(new);
    ensure!(shares("[::1]:8000", &old.each_ref())?.iter().all(|share| *share > 0));
    group.release(old[0].as_fd())?;
    ensure!(shares("[::1]:8000", &old.each_ref())?.iter().all(|share| *share > 0));
    Ok(())
}

fn a_new_generation_that_dies_while_held_is_reverted() -> Result<()> {
    let old = [listen("127.0.0.1:8000", false)?, listen("127.0.0.1:8000", false)?];
    let new = listen("127.0.0.1:8000", false)?;
    let group = group(&all_leave(&old.each_ref()), &[&new], SocketOrder::Unknown)?;
    group.steer(new.as_fd())?;
    group.revert(new.as_fd())?;
    let shares_now = shares("127.0.0.1:8000", &[&old[0], &old[1], &new])?;
    ensure!(shares_now[0] > 0 && shares_now[1] > 0 && shares_now[2] == 0, "{shares_now:?}");
    Ok(())
}

fn from_closing_to_release_no_client_is_refused() -> Result<()> {
    for address in ["127.0.0.1:8000", "[::1]:8000"] {
        let old = listen(address, false)?;
        let new = [listen(address, false)?, listen(address, false)?];
        let group = group(&all_leave(&[&old]), &new.each_ref(), SocketOrder::Unknown)?;
        for _ in 0..2 {
            group.steer(new[1].as_fd())?;
            ensure!(shares(address, &[&old, &new[0], &new[1]])?[0] == 0);
        }
        drop(old);
        for _ in 0..5 {
            ensure!(shares(address, &new.each_ref())?.iter().all(|share| *share > 0));
        }
        for _ in 0..2 {
            group.release(new[0].as_fd())?;
            ensure!(shares(address, &new.each_ref())?.iter().all(|share| *share > 0));
        }
    }
    Ok(())
}

fn hidden_sockets_get_no_clients_and_keep_their_place() -> Result<()> {
    for address in ["127.0.0.1:8000", "[::1]:8000"] {
        let old = listen(address, false)?;
        let waits = connect(address, 1)?;
        let new = listen(address, false)?;
        let steered = group(&all_leave(&[&old]), &[&new], SocketOrder::Unknown)?;
        steered.steer(new.as_fd())?;
        for _ in 0..2 {
            hide(old.as_fd())?;
        }
        ensure!(group(&all_leave(&[&old]), &[&new], SocketOrder::Unknown)? == steered, "another group");
        ensure!(shares(address, &[&new])? == [40]);
        // What came before is still served.
        take(&[&old], 1)?;
        drop((waits, new));
        let target: SocketAddr = address.parse()?;
        let refused = std::net::TcpStream::connect_timeout(&target, DEADLINE).err();
        let kind = refused.map(|error| error.kind());
        ensure!(kind == Some(std::io::ErrorKind::ConnectionRefused), "{kind:?}");
    }
    Ok(())
}

fn half_open_requests_of_the_old_are_waited_for() -> Result<()> {
    run("nft add table inet silence")?;
    run("nft add chain inet silence out { type filter hook output priority 0 ; }")?;
    for (address, target) in
        [("127.0.0.1:8000", "127.0.0.1:8000"), ("[::1]:8000", "[::1]:8000"), ("[::]:8000", "127.0.0.1:8000")]
    {
        let old = listen(address, false)?;
        // The answer to the SYN gets lost: the request stays half open, and is answered again after a second.
        run("nft add rule inet silence out tcp sport 8000 tcp flags & (syn|ack) == syn|ack drop")?;
        let early = begin(target)?;
        // On a busy machine the SYN is received a little later.
        let at_old = [Listener { inode: 0, address: address.parse()?, v6only: false }];
        until("a request", || Ok(half_open(&at_old)?.len() == 1))?;
        let new = listen(address, false)?;
        let group = group(&all_leave(&[&old]), &[&new], SocketOrder::Unknown)?;
        group.steer(new.as_fd())?;
        let mut waiting = Waiting::begin(group.leaving().to_vec())?;
        let remaining = waiting.poll()?;
        ensure!((remaining.half_open, remaining.queued) == (1, 0), "{remaining:?}");
        let late = begin(target)?;
        until("another request", || Ok(half_open(&at_old)?.len() == 2))?;
        let remaining = waiting.poll()?;
        ensure!((remaining.half_open, remaining.queued) == (1, 0), "{remaining:?}");
        run("nft flush chain inet silence out")?;
        until("both to connect", || Ok(connected(&early)? && connected(&late)?))?;
        // It never looks as if no client waited.
        until("the request to become a connection", || {
            let remaining = waiting.poll()?;
            ensure!(!remaining.is_nothing(), "{remaining:?}");
            Ok(remaining.half_open == 0)
        })?;
        take(&[&old], 1)?;
        take(&[&new], 1)?;
        ensure!(waiting.poll()?.is_nothing());
    }
    Ok(())
}

fn sealed_sockets_make_clients_late_and_lose_none() -> Result<()> {
    let old = [listen("127.0.0.1:8000", false)?, listen("127.0.0.1:8000", false)?];
    let new = listen("127.0.0.1:8000", false)?;
    let group = group(&all_leave(&old.each_ref()), &[&new], SocketOrder::Unknown)?;
    ensure!(group.needs_seal());
    group.steer(new.as_fd())?;
    // Sealing has an end.
    for socket in &old {
        seal(socket.as_fd())?;
        seal(socket.as_fd())?;
    }
    let [first, second] = old;
    drop(first);
    // Now the hash chooses between the second and the new one, until the second is closed too.
    let between = (0..40).map(|_| begin("127.0.0.1:8000")).collect::<Result<Vec<_>>>()?;
    let mut late = 40;
    until("some to connect at once", || {
        late = between.iter().filter(|client| !connected(client).unwrap_or(true)).count();
        Ok(late < 40)
    })?;
    ensure!(late > 0 && drain(&second) == 0, "{late} of 40 are late");
    drop(second);
    until("all to connect", || between.iter().try_fold(true, |all, client| Ok(all && connected(client)?)))?;
    take(&[&new], 40)?;
    seal(new.as_fd())?;
    let client = begin("127.0.0.1:8000")?;
    unseal(new.as_fd())?;
    unseal(new.as_fd())?;
    until("the seal to be gone", || connected(&client))?;
    Ok(())
}
