//! Which socket of a group has which index, as the running kernel has it.

use std::collections::HashSet;
use std::net::TcpListener;
use std::os::fd::AsFd;

use anyhow::{Result, ensure};
use clearway_kernel::steering::{Fate, Present, Reason, SocketOrder, crowded, groups, order_is_kept};
use clearway_lab::sockets::{bind, connect, drain, inode, listen, shares};
use clearway_lab::wait::until;

use super::{all_leave, group};

pub fn many_are_chosen_evenly() -> Result<()> {
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

pub fn sockets_that_stay_are_chosen_by_their_rank() -> Result<()> {
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

pub fn ranks_are_by_listening_and_the_last_fills_the_gap() -> Result<()> {
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

pub fn two_that_leave_first_leave_the_order_unknown() -> Result<()> {
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

pub fn beside_a_stranger_new_clients_are_ours() -> Result<()> {
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

pub fn one_that_leaves_late_turns_old_and_new_round() -> Result<()> {
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
