//! The fuzz targets: each gives any bytes to a parser of one of the crates, and looks at how much memory that takes.
//!
//! What a parser promises beside not to panic stands with it, in the modules `fuzz` of the crates. How long an input may take,
//! libFuzzer knows (`-timeout`, scripts/fuzz.sh).

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

pub use libfuzzer_sys;

/// How many bytes an input may take at once: ten thousand times as many as the longest input has.
const MOST: usize = 48 << 20;

/// Counts what is allocated.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;
static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST_SO_FAR: AtomicUsize = AtomicUsize::new(0);

// SAFETY: it does what `System` does, and counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: what is promised of the layout is promised to `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: it was allocated by `System`, with this layout.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: it was allocated by `System`, with this layout, and what is promised of the size is promised to it.
        unsafe { System.realloc(place, layout, size) }
    }
}

fn count(size: usize) {
    let now = NOW.fetch_add(size, Ordering::Relaxed) + size;
    MOST_SO_FAR.fetch_max(now, Ordering::Relaxed);
}

/// Gives an input to the parser of this name.
pub fn run(name: &str, input: &[u8]) {
    let all = clearway_core::fuzz::PARSERS.iter();
    let all = all.chain(&clearway_haproxy::fuzz::PARSERS).chain(&clearway_kernel::fuzz::PARSERS);
    let parser = all.chain(&clearway::fuzz::PARSERS).find(|(known, _)| *known == name);
    let (_, parser) = parser.unwrap_or_else(|| panic!("no parser is called {name}"));
    let before = NOW.load(Ordering::Relaxed);
    MOST_SO_FAR.store(before, Ordering::Relaxed);
    parser(input);
    let taken = MOST_SO_FAR.load(Ordering::Relaxed).saturating_sub(before);
    assert!(taken <= MOST, "{} bytes of input have taken {taken} bytes of memory", input.len());
}

/// What libFuzzer calls.
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        $crate::libfuzzer_sys::fuzz_target!(|input: &[u8]| $crate::run(stringify!($name), input));
    };
}
