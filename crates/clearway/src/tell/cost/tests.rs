use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use clearway_core::names::Generation;
use clearway_core::supervisor::{AttemptResult, Attempted, Carried, Cause, Source, Steps};
use clearway_haproxy::getsocks::ReceivedSocket;
use clearway_kernel::queues;

use super::*;
use crate::custody::Custody;

const ENTRY: u64 = 7;

fn attempted() -> Action {
    Action::Attempted(Box::new(Attempted {
        generation: Generation::FIRST,
        cause: Cause::Reload,
        by: Vec::new(),
        takes_over: false,
        result: AttemptResult::Took,
        end: None,
        failure: None,
        moved: Vec::new(),
        applied: None,
        proof: None,
        carried: Carried::default(),
        steps: Steps::default(),
        took: Duration::ZERO,
        at: Duration::ZERO,
    }))
}

fn prepare() -> Action {
    Action::Prepare(Generation::FIRST, Source::Disk)
}

/// A socket at which one client may wait, in custody and here.
fn held() -> (Custody, TcpListener, SocketAddr) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    queues::set_limit(std::os::fd::AsFd::as_fd(&socket), 0).unwrap();
    let address = socket.local_addr().unwrap();
    let fd = socket.try_clone().unwrap().into();
    let mut custody = Custody::new();
    custody.inherit(vec![ReceivedSocket { fd, namespace: String::new(), interface: String::new() }]).unwrap();
    (custody, socket, address)
}

fn next(record: &mut CostRecord) -> CostNews {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(30), record.next()).await.unwrap() })
}

#[test]
fn a_client_that_waits_and_one_that_is_dropped_are_seen() {
    let (custody, socket, address) = held();
    let mut record = CostRecord::new(custody.subscribe());
    record.hear(&prepare(), 0);
    // The first look is over: what is made after it is new.
    std::thread::sleep(Duration::from_millis(100));
    let begun = Instant::now();
    let _waits = TcpStream::connect(address).unwrap();
    let dropped = TcpStream::connect_timeout(&address, Duration::from_millis(300));
    assert!(dropped.is_err(), "there was room for two");
    let (_client, _) = socket.accept().unwrap();
    let waited = begun.elapsed();
    record.hear(&attempted(), ENTRY);
    let CostNews { entry, cost, generation, is_over } = next(&mut record);
    assert!(!is_over);
    assert_eq!((entry, generation, cost.after), (ENTRY, Generation::FIRST, None));
    let window = cost.window;
    assert_eq!((window.dropped, window.reset, window.refused), (Some(1), Some(0), Some(0)), "{window:?}");
    assert!(window.waited > Some(Duration::ZERO) && window.waited <= Some(waited), "{window:?}, {waited:?}");
    assert!(window.waited_at_most >= window.waited, "{window:?}");
    assert!(window.network.listen_drops >= Some(1), "{window:?}");
    // The next window begins: what comes after this one is told now.
    record.hear(&prepare(), ENTRY);
    let CostNews { entry, cost, .. } = next(&mut record);
    assert_eq!(entry, ENTRY);
    assert_eq!(cost.window, window);
    assert_eq!(cost.after.map(|after| after.dropped), Some(Some(0)));
}

#[test]
fn clients_of_a_socket_that_is_closed_are_seen_in_the_second_after() {
    let (mut custody, socket, address) = held();
    let mut record = CostRecord::new(custody.subscribe());
    let _waits = TcpStream::connect(address).unwrap();
    record.hear(&prepare(), 0);
    record.hear(&attempted(), ENTRY);
    assert_eq!(next(&mut record).cost.window.reset, Some(0));
    custody.release();
    drop(socket);
    let after = next(&mut record).cost.after.unwrap();
    assert_eq!((after.reset, after.refused), (Some(1), None), "{after:?}");
    assert!(after.seconds >= Duration::from_secs(1), "{after:?}");
}

#[test]
fn an_answer_has_what_the_window_cost_and_waits_for_nothing_that_never_comes() {
    let (custody, _socket, _) = held();
    let mut record = CostRecord::new(custody.subscribe());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(runtime.block_on(record.promise().kept()), None, "nothing has happened");
    record.hear(&prepare(), 0);
    let promise = record.promise();
    record.hear(&attempted(), ENTRY);
    let begun = Instant::now();
    let cost = runtime.block_on(promise.kept()).unwrap();
    assert!(cost.after.is_none() && begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
    // One that is given up tells nothing.
    record.hear(&prepare(), ENTRY);
    record.hear(&Action::ReleaseCustody, ENTRY);
    assert_eq!(runtime.block_on(record.promise().kept()), None);
    // Nor is what was told of another one the cost of an attempt without a window.
    record.hear(&prepare(), ENTRY);
    record.hear(&attempted(), ENTRY);
    let known = record.promise();
    assert!(runtime.block_on(known.kept()).is_some());
    record.hear(&attempted(), ENTRY);
    assert_eq!(runtime.block_on(record.promise().kept()), None);
}

#[test]
fn nothing_is_looked_at_where_nothing_is_held() {
    let custody = Custody::new();
    let mut record = CostRecord::new(custody.subscribe());
    record.hear(&prepare(), 0);
    record.hear(&attempted(), ENTRY);
    assert!(record.orders.is_none() && record.news.try_recv().is_err());
}

#[test]
fn a_gate_belongs_to_its_window_whenever_it_is_opened() {
    let (custody, _socket, _) = held();
    let mut record = CostRecord::new(custody.subscribe());
    let gate = CostGate {
        by: clearway_core::strategy::Means::Plug,
        seconds: Duration::from_millis(5),
        held: Some(2),
        dropped: None,
    };
    record.hear(&prepare(), 0);
    record.gate_reports().tell(Generation::FIRST, gate);
    record.hear(&attempted(), ENTRY);
    assert_eq!(next(&mut record).cost.gate, Some(gate));
    record.hear(&Action::ReleaseCustody, ENTRY);
    let after = next(&mut record);
    assert!(after.is_over && after.cost.gate == Some(gate), "{after:?}");
    // One that is opened later is told once more, but not as something new.
    let later = CostGate { held: Some(3), ..gate };
    record.gate_reports().tell(Generation::FIRST, later);
    let told = next(&mut record);
    assert!(!told.is_over && told.cost.gate == Some(later) && told.entry == ENTRY, "{told:?}");
}
