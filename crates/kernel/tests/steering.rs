//! Steering, waiting and sealing, on real connections; and which other processes listen.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_kernel::capabilities::{Capability, effective};
use clearway_kernel::listeners::{Managed, strangers};
use clearway_kernel::queues::{Listener, Waiting, half_open, queues};
use clearway_kernel::steering::{
    Fate, NotSteerable, Present, Reason, ReuseportGroup, SocketOrder, crowded, groups, order_is_kept, seal,
    unseal,
};
use clearway_lab::inside::{self, Named, helper, run};
use clearway_lab::load::{self, Plan};
use clearway_lab::namespace::Namespace;
use clearway_lab::sockets::{
    DEADLINE, begin, bind, connect, connected, drain, fds, inode, listen, serve, shares, take,
};
use clearway_lab::wait::until;

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

fn many_are_chosen_evenly() -> Result<()> {
    let make = |count| (0..count).map(|_| listen("[::1]:8000", false)).collect::<Result<Vec<_>>>();
    // More than the kernel's array has at first (128): it is copied when it grows.
    let (old, new) = (make(3)?, make(150)?);
    let (old_refs, new_refs): (Vec<_>, Vec<_>) = (old.iter().collect(), new.iter().collect());
    group(&all_leave(&old_refs), &new_refs, SocketOrder::Unknown)?.steer(old[0].as_fd())?;
    let _clients = connect("[::1]:8000", 3000)?;
    let mut counts = vec![0; new.len()];
    until("every client to be in some queue", || {
        counts.iter_mut().zip(&new).for_each(|(count, socket)| *count += drain(socket));
        Ok(counts.iter().sum::<usize>() == 3000)
    })?;
    counts.sort_unstable();
    // 20 each: none or 60 is a chance of less than one in a million.
    ensure!(counts[0] > 0 && counts[149] < 60, "{counts:?}");
    Ok(())
}

fn sockets_that_stay_are_chosen_by_their_rank() -> Result<()> {
    for stays in 0..3 {
        let sockets = [listen("[::]:8000", false)?, listen("[::]:8000", false)?, listen("[::]:8000", false)?];
        let held: Vec<_> = (0..)
            .zip(&sockets)
            .map(|(rank, socket)| (socket.as_fd(), if rank == stays { Fate::Stays } else { Fate::Leaves }))
            .collect();
        let unknown = groups(&held, &[], SocketOrder::Unknown)?.remove(0);
        ensure!(unknown.is_err_and(|error| error.reason == Reason::OrderUnknown));
        group(&held, &[], SocketOrder::Known)?.steer(sockets[0].as_fd())?;
        let mut expected = vec![0; 3];
        expected[stays] = 40;
        for target in ["127.0.0.1:8000", "[::1]:8000"] {
            ensure!(shares(target, &sockets.each_ref())? == expected, "{stays}");
        }
    }
    Ok(())
}

fn ranks_are_by_listening_and_the_last_fills_the_gap() -> Result<()> {
    let (late, early) = (bind("127.0.0.1:8000", false)?, bind("127.0.0.1:8000", false)?);
    early.listen(100)?;
    late.listen(100)?;
    let (early, late): (TcpListener, TcpListener) = (early.into(), late.into());
    let held = [(early.as_fd(), Fate::Stays), (late.as_fd(), Fate::Leaves)];
    group(&held, &[], SocketOrder::Known)?.steer(late.as_fd())?;
    ensure!(shares("127.0.0.1:8000", &[&early, &late])? == [40, 0]);
    // early, late, last -> last, late
    let last = listen("127.0.0.1:8000", false)?;
    drop(early);
    let held = [(last.as_fd(), Fate::Leaves), (late.as_fd(), Fate::Stays)];
    group(&held, &[], SocketOrder::Known)?.steer(late.as_fd())?;
    ensure!(shares("127.0.0.1:8000", &[&late, &last])? == [40, 0]);
    let held = [(last.as_fd(), Fate::Stays), (late.as_fd(), Fate::Leaves)];
    group(&held, &[], SocketOrder::Known)?.steer(late.as_fd())?;
    ensure!(shares("127.0.0.1:8000", &[&late, &last])? == [0, 40]);
    Ok(())
}

fn two_that_leave_first_leave_the_order_unknown() -> Result<()> {
    const ADDRESS: &str = "127.0.0.1:8000";
    let mut as_they_came = Vec::new();
    for closing in [[0, 1], [1, 0]] {
        let mut old = [Some(listen(ADDRESS, false)?), Some(listen(ADDRESS, false)?)];
        let new = [listen(ADDRESS, false)?, listen(ADDRESS, false)?];
        for which in closing {
            old[which] = None;
        }
        let one_leaves = [(new[0].as_fd(), Fate::Stays), (new[1].as_fd(), Fate::Leaves)];
        group(&one_leaves, &[], SocketOrder::Known)?.steer(new[0].as_fd())?;
        as_they_came.push(shares(ADDRESS, &new.each_ref())? == [40, 0]);

        let first = new.iter().map(|socket| inode(socket.as_fd())).collect::<Result<HashSet<_>>>()?;
        let order = SocketOrder::KnownBehind(&first);
        let refused = groups(&one_leaves, &[], order)?.remove(0);
        ensure!(refused.is_err_and(|error| error.reason == Reason::OrderUnknown));
        // A socket that comes later is behind both.
        let later = listen(ADDRESS, false)?;
        let held = [&new[0], &new[1], &later].map(TcpListener::as_fd);
        let fates = [Fate::Stays, Fate::Stays, Fate::Leaves];
        let held: Vec<_> = held.into_iter().zip(fates).collect();
        group(&held, &[], order)?.steer(later.as_fd())?;
        let shares = shares(ADDRESS, &[&new[0], &new[1], &later])?;
        ensure!(shares[0] > 0 && shares[1] > 0 && shares[2] == 0, "{shares:?}");
    }
    let fates = [Fate::Leaves, Fate::Leaves, Fate::Stays, Fate::Stays];
    ensure!(!order_is_kept(&fates));
    // It depends on which of the two was closed first.
    ensure!(as_they_came == [false, true], "{as_they_came:?}");
    Ok(())
}

fn beside_a_stranger_new_clients_are_ours() -> Result<()> {
    for address in ["127.0.0.1:8000", "[::1]:8000", "[::]:8000"] {
        let target = address.replace("[::]", "[::1]");
        let stranger = listen(address, false)?;
        let before = Present::now()?;
        let (first, second) = (listen(address, false)?, listen(address, false)?);
        let group =
            before.beside(&HashSet::from([inode(first.as_fd())?, inode(second.as_fd())?]))?.remove(0)?;
        group.steer(first.as_fd())?;
        let [none, some, others] = shares(&target, &[&stranger, &first, &second])?[..] else {
            unreachable!()
        };
        ensure!(none == 0 && some > 0 && others > 0, "{address}: {none} {some} {others}");
        // The one that was there first has all clients again when ours are gone.
        drop((first, second));
        ensure!(shares(&target, &[&stranger])? == [40], "{address}");
        let before = Present::now()?;
        let late = listen(address, false)?;
        drop(stranger);
        ensure!(
            before.beside(&HashSet::from([inode(late.as_fd())?]))?.is_empty(),
            "{address}: no other one is there any more"
        );
    }
    Ok(())
}

fn one_that_leaves_late_turns_old_and_new_round() -> Result<()> {
    for address in ["127.0.0.1:8000", "[::1]:8000", "[::]:8000"] {
        let (going, held) = (listen(address, false)?, listen(address, false)?);
        let _elsewhere = [listen("127.0.0.2:8000", false)?, listen("127.0.0.1:8001", false)?];
        ensure!(crowded(&[held.as_fd()])? == HashSet::from([address.parse()?]));
        ensure!(crowded(&[going.as_fd(), held.as_fd()])?.is_empty());
        let new = listen(address, false)?;
        drop(going);
        // going, held, new -> new, held: nothing shows it any more.
        group(&all_leave(&[&held]), &[&new], SocketOrder::Known)?.steer(new.as_fd())?;
        let target = address.replace("[::]", "[::1]");
        ensure!(shares(&target, &[&held, &new])? == [40, 0], "{address}");
    }
    Ok(())
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

fn a_narrower_address_takes_over_at_once() -> Result<()> {
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

fn a_wider_address_takes_over_after_sealing() -> Result<()> {
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
fn squat() -> Result<()> {
    let _sockets = [listen("127.0.0.1:8000", false)?, listen("[::]:8001", false)?];
    println!("here");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn a_stranger_in_the_group_is_found_by_name() -> Result<()> {
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
fn powerless() -> Result<()> {
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

fn no_capability_is_needed() -> Result<()> {
    let output = helper("powerless", &["setpriv", "--bounding-set=-all", "--inh-caps=-all"])?.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
