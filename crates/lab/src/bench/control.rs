//! The idle control: how noisy is this machine right now?
//!
//! Two things that have nothing to do with what is measured: a fixed piece of arithmetic, and the slowest of many
//! round trips over the loopback of an otherwise empty namespace.

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use serde::Serialize;

use crate::namespace::Namespace;

/// How many round trips.
const TRIPS: usize = 500;

/// How the machine was at one moment, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Control {
    /// How long the arithmetic took.
    pub spin: f64,
    /// The median round trip.
    pub trip_p50: f64,
    /// The round trip that 99 of 100 did not exceed.
    pub trip_p99: f64,
}

impl Control {
    /// Looks for about a tenth of a second.
    pub(super) fn take() -> Result<Self> {
        let begun = Instant::now();
        let mut value = 1_u64;
        for round in 0..20_000_000_u64 {
            value = black_box(value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(round));
        }
        let spin = millis(begun.elapsed());
        let mut trips = Namespace::create("idle")?.enter(round_trips)??;
        trips.sort_unstable();
        let at = |part: usize| trips.get(TRIPS * part / 100).map_or(0.0, |trip| millis(*trip));
        Ok(Self { spin, trip_p50: at(50), trip_p99: at(99) })
    }
}

/// Both of a run, in a sentence.
pub(super) fn words([before, after]: [Control; 2]) -> String {
    format!(
        "The machine, idle, before and after: arithmetic {:.1} / {:.1} ms; loopback round trip p50 {:.3} / {:.3} ms, \
         p99 {:.3} / {:.3} ms.",
        before.spin, after.spin, before.trip_p50, after.trip_p50, before.trip_p99, after.trip_p99,
    )
}

fn round_trips() -> Result<Vec<Duration>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut near = TcpStream::connect(listener.local_addr()?)?;
    let (mut far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    near.set_read_timeout(Some(Duration::from_secs(5)))?;
    std::thread::scope(|scope| {
        let echo = scope.spawn(move || -> std::io::Result<()> {
            let mut byte = [0];
            while far.read(&mut byte)? == 1 {
                far.write_all(&byte)?;
            }
            Ok(())
        });
        let trips = (0..TRIPS).map(|_| {
            let begun = Instant::now();
            near.write_all(b".")?;
            near.read_exact(&mut [0])?;
            Ok(begun.elapsed())
        });
        let trips = trips.collect::<Result<Vec<_>>>();
        drop(near);
        echo.join().map_err(|_| anyhow!("the echo of the idle control panicked"))??;
        trips
    })
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
