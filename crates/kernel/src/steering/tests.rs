use std::net::TcpListener;
use std::os::fd::AsFd;

use proptest::prelude::*;

use super::look::{KnownSocket, sort, sort_beside};
use super::program::{Instruction, NO_SYN, choose};
use super::*;
use crate::listeners::TcpSocket;

/// What the kernel does with a program, as far as ours go.
fn run(program: &[Instruction], random: u32, packet: &[u8]) -> u32 {
    let (mut accumulator, mut at) = (0, 0);
    loop {
        let step = program[at];
        at += 1;
        match step.code {
            0x20 => accumulator = random,
            0x30 => accumulator = packet[step.k as usize].into(),
            0x94 => accumulator %= step.k,
            0x15 | 0x45 => {
                let met = if step.code == 0x15 { accumulator == step.k } else { accumulator & step.k != 0 };
                at += usize::from(if met { step.if_true } else { step.if_false });
            }
            0x06 => return step.k,
            other => panic!("{other:#x}"),
        }
    }
}

proptest! {
    #[test]
    fn every_index_is_chosen_and_no_other(indices in proptest::collection::vec(any::<u16>(), 1..40)) {
        let program = choose(&indices);
        for (random, index) in (0_u32..).zip(&indices) {
            prop_assert_eq!(run(&program, random, &[]), u32::from(*index));
            let next_round = random + u32::try_from(indices.len()).unwrap();
            prop_assert_eq!(run(&program, next_round, &[]), u32::from(*index));
        }
    }

    #[test]
    fn only_what_begins_a_connection_is_dropped(flags: u8) {
        let mut packet = [0; 20];
        packet[13] = flags;
        prop_assert_eq!(run(&NO_SYN, 0, &packet) == 0, flags & 2 != 0);
    }
}

#[test]
fn without_an_index_the_kernel_chooses() {
    assert_eq!(run(&choose(&[]), 7, &[]), u32::MAX);
}

fn row(inode: u64, local: &str) -> TcpSocket {
    let local: SocketAddr = local.parse().unwrap();
    let remote = SocketAddr::new(local.ip(), 0);
    TcpSocket { local, remote, v6only: false, device: 0, inode, uid: 0, waiting: 0, limit: 0, drops: None }
}

const LEAVES: Option<Fate> = Some(Fate::Leaves);
const STAYS: Option<Fate> = Some(Fate::Stays);

/// One address with these sockets, inodes counted from 1.
fn one(fates: &[Option<Fate>], order: SocketOrder) -> Result<ReuseportGroup, NotSteerable> {
    let known: Vec<_> = (1..).zip(fates).map(|(inode, fate)| KnownSocket { inode, fate: *fate }).collect();
    let table: Vec<_> = known.iter().map(|known| row(known.inode, "10.0.0.1:80")).collect();
    sort(&table, &known, order).pop().unwrap()
}

#[test]
fn new_sockets_come_behind_the_old_ones() {
    let group = one(&[LEAVES, LEAVES, None, None], SocketOrder::Unknown).unwrap();
    assert_eq!((group.targets, group.held), (vec![2, 3], 2));
    assert!(one(&[LEAVES, LEAVES, None], SocketOrder::Unknown).unwrap().needs_seal());
    assert!(!one(&[LEAVES, None], SocketOrder::Unknown).unwrap().needs_seal());
}

/// The kernel's array while those that leave are closed in some order, after each `close`.
fn closing(fates: &[Option<Fate>], order: &[prop::sample::Index]) -> Vec<Vec<Option<Fate>>> {
    let mut array = fates.to_vec();
    let mut states = Vec::new();
    for pick in order {
        let leaving: Vec<_> = (0..array.len()).filter(|index| array[*index] == LEAVES).collect();
        if leaving.is_empty() {
            break;
        }
        array.swap_remove(*pick.get(&leaving));
        states.push(array.clone());
    }
    states
}

proptest! {
    #[test]
    fn a_firm_index_is_never_one_that_leaves(
        held in proptest::collection::vec(any::<bool>(), 1..8),
        fresh in 0_usize..8,
        order in proptest::collection::vec(any::<prop::sample::Index>(), 8),
    ) {
        let held = held.iter().map(|stays| if *stays { STAYS } else { LEAVES });
        let fates: Vec<_> = held.chain(std::iter::repeat_n(None, fresh)).collect();
        if fates.contains(&LEAVES) && let Ok(group) = one(&fates, SocketOrder::Known) {
            for state in closing(&fates, &order).iter().filter(|state| state.contains(&LEAVES)) {
                for index in &group.firm {
                    prop_assert!(state.get(usize::from(*index)).is_some_and(|fate| *fate != LEAVES));
                }
            }
            let leave = group.leaving.len();
            prop_assert!(fresh < leave || !group.needs_seal());
        }
    }
}

proptest! {
    /// Beside the kernel's rule: the last one fills the gap.
    #[test]
    fn the_order_is_kept_if_no_way_of_closing_changes_it(
        stays in proptest::collection::vec(any::<bool>(), 1..8),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 8),
    ) {
        let fates: Vec<Fate> = stays.iter().map(|s| if *s { Fate::Stays } else { Fate::Leaves }).collect();
        let mut array: Vec<usize> = (0..fates.len()).collect();
        for pick in &order {
            let leaving: Vec<_> = (0..array.len()).filter(|at| fates[array[*at]] == Fate::Leaves).collect();
            if leaving.is_empty() {
                break;
            }
            array.swap_remove(*pick.get(&leaving));
        }
        prop_assert!(!order_is_kept(&fates) || array.is_sorted(), "{:?}", array);
    }
}

#[test]
fn the_order_is_kept_if_the_last_leave_or_at_most_one_stays() {
    let (stays, leaves) = (Fate::Stays, Fate::Leaves);
    for kept in [&[stays, stays, leaves, leaves][..], &[leaves, leaves, stays], &[stays, stays], &[leaves]] {
        assert!(order_is_kept(kept), "{kept:?}");
    }
    for lost in [&[leaves, leaves, stays, stays][..], &[leaves, stays, stays], &[stays, leaves, stays]] {
        assert!(!order_is_kept(lost), "{lost:?}");
    }
}

#[test]
fn the_first_ones_in_some_order_are_steered_as_a_whole() {
    let first = HashSet::from([1, 2]);
    let order = SocketOrder::KnownBehind(&first);
    assert_eq!(one(&[STAYS, STAYS, LEAVES, STAYS, None], order).unwrap().targets, [0, 1, 3, 4]);
    assert_eq!(one(&[LEAVES, LEAVES, LEAVES, STAYS], order).unwrap().targets, [3]);
    assert_eq!(one(&[STAYS, LEAVES, STAYS, None], order).unwrap().targets, [3]);
    assert_eq!(one(&[STAYS, LEAVES, STAYS], order).unwrap_err().reason, Reason::OrderUnknown);
}

#[test]
fn sockets_that_stay_are_chosen_only_in_a_known_order() {
    assert_eq!(one(&[LEAVES, STAYS, None], SocketOrder::Known).unwrap().targets, [1, 2]);
    assert_eq!(one(&[LEAVES, STAYS, None], SocketOrder::Unknown).unwrap().targets, [2]);
    assert_eq!(one(&[LEAVES, STAYS], SocketOrder::Known).unwrap().targets, [1]);
    assert_eq!(one(&[LEAVES, STAYS], SocketOrder::Unknown).unwrap_err().reason, Reason::OrderUnknown);
}

/// What is said about a held socket beside a new one.
fn beside(held: TcpSocket, new: TcpSocket) -> Reason {
    let (old, fresh) =
        (KnownSocket { inode: held.inode, fate: LEAVES }, KnownSocket { inode: new.inode, fate: None });
    let mut outcomes = sort(&[held, new], &[old, fresh], SocketOrder::Unknown);
    assert_eq!(outcomes.len(), 1);
    outcomes.remove(0).unwrap_err().reason
}

#[test]
fn another_address_is_narrower_wider_or_nothing() {
    let cases = [
        ("0.0.0.0:80", "10.0.0.1:80", Reason::Narrower),
        ("10.0.0.1:80", "0.0.0.0:80", Reason::Wider),
        ("10.0.0.1:80", "[::]:80", Reason::Wider),
        ("[::]:80", "0.0.0.0:80", Reason::Narrower),
        ("10.0.0.1:80", "10.0.0.2:80", Reason::Unserved),
        ("10.0.0.1:80", "0.0.0.0:81", Reason::Unserved),
    ];
    for (held, new, reason) in cases {
        assert_eq!(beside(row(1, held), row(2, new)), reason, "{held} {new}");
    }
    let device = TcpSocket { device: 3, ..row(2, "0.0.0.0:80") };
    assert_eq!(beside(row(1, "0.0.0.0:80"), device.clone()), Reason::Narrower);
    assert_eq!(beside(device, row(1, "0.0.0.0:80")), Reason::Wider);
    assert_eq!(beside(row(1, "[::]:80"), TcpSocket { v6only: true, ..row(2, "[::]:80") }), Reason::Wider);
}

/// Each that leaves compared with each that came would be 2,500,000,000 comparisons.
#[test]
fn of_many_addresses_on_one_port_each_is_compared_with_its_own() {
    let at = |index: u32| SocketAddr::new(std::net::Ipv4Addr::from(0x0a00_0000 + index).into(), 80);
    let half = 50_000;
    let table: Vec<TcpSocket> = (1..=2 * half)
        .map(|index| TcpSocket { local: at(index), ..row(index.into(), "10.0.0.1:80") })
        .collect();
    let fate = |inode| if inode <= u64::from(half) { LEAVES } else { None };
    let known: Vec<KnownSocket> =
        table.iter().map(|row| KnownSocket { inode: row.inode, fate: fate(row.inode) }).collect();
    let outcomes = sort(&table, &known, SocketOrder::Unknown);
    assert_eq!(outcomes.len(), 50_000);
    assert!(outcomes.iter().all(|one| one.as_ref().is_err_and(|cannot| cannot.reason == Reason::Unserved)));
}

#[test]
fn strangers_and_other_users_make_it_impossible() {
    let known = [KnownSocket { inode: 1, fate: LEAVES }, KnownSocket { inode: 2, fate: None }];
    let mut table = vec![row(1, "10.0.0.1:80"), row(2, "10.0.0.1:80"), row(3, "10.0.0.1:81")];
    assert!(sort(&table, &known, SocketOrder::Unknown)[0].is_ok());
    table[2] = TcpSocket { uid: 33, ..row(3, "10.0.0.1:80") };
    let refused = sort(&table, &known, SocketOrder::Unknown).remove(0).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "10.0.0.1:80: another socket (inode 3, uid 33) listens on the same address"
    );
    assert_eq!(refused.leaving.len(), 1);
    table.pop();
    table[1].uid = 33;
    let refused = sort(&table, &known, SocketOrder::Unknown).remove(0).unwrap_err();
    assert_eq!(refused.reason, Reason::SeveralUsers);
}

#[test]
fn what_does_not_listen_is_told_and_other_kinds_are_left_out() {
    let bound = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    bound.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let (unix, _) = std::os::unix::net::UnixStream::pair().unwrap();
    let held = [bound.as_fd(), udp.as_fd(), unix.as_fd()].map(|fd| (fd, Fate::Leaves));
    let outcomes = groups(&held, &[], SocketOrder::Unknown).unwrap();
    assert_eq!(outcomes.len(), 1);
    assert_eq!(outcomes[0].as_ref().unwrap_err().reason, Reason::NotListening);
}

#[test]
fn a_socket_of_another_group_cannot_be_used() {
    let group = one(&[LEAVES, None], SocketOrder::Unknown).unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let error = group.steer(other.as_fd()).unwrap_err().to_string();
    assert_eq!(
        error,
        "steering new connections away from the old sockets of 10.0.0.1:80: the socket given to do it with is not \
         one of the group"
    );
}

#[test]
fn beside_others_the_places_above_theirs_are_ours() {
    let before = [row(1, "10.0.0.1:80"), row(2, "10.0.0.1:81"), row(3, "0.0.0.0:80")];
    let mut table = before.to_vec();
    table.extend([row(8, "10.0.0.1:80"), row(9, "10.0.0.1:80"), row(10, "[::1]:80")]);
    let found = sort_beside(&before, &table, &HashSet::from([8, 9, 10]));
    assert_eq!(found.len(), 1, "{found:?}");
    let group = found[0].as_ref().unwrap();
    assert_eq!((group.address.to_string().as_str(), &group.targets[..]), ("10.0.0.1:80", &[1, 2][..]));
    assert!([8, 1].iter().all(|inode| group.members().contains(inode)) && !group.members().contains(&3));
}

#[test]
fn beside_others_that_come_and_go_no_place_is_known() {
    let before = [row(1, "10.0.0.1:80"), row(2, "10.0.0.1:80")];
    let ours = row(8, "10.0.0.1:80");
    let reason = |table: &[TcpSocket]| {
        let found = sort_beside(&before, table, &HashSet::from([8]));
        found.into_iter().map(|one| one.map_err(|refused| refused.reason).err()).collect::<Vec<_>>()
    };
    let [first, second] = before.clone();
    assert_eq!(reason(&[first.clone(), second.clone(), ours.clone()]), [None]);
    assert_eq!(reason(&[first.clone(), ours.clone()]), [Some(Reason::OtherGone)]);
    let comes = Reason::Stranger { inode: 3, uid: 0 };
    assert_eq!(reason(&[first, second, row(3, "10.0.0.1:80"), ours.clone()]), [Some(comes)]);
    assert_eq!(reason(&[ours]), [], "alone");
}
