//! Everything of this crate that reads what others wrote, to be given any bytes: by the fuzz targets (`fuzz/`), and by the tests
//! with each input of the corpus (docs/decisions/0046-fuzzing.md).
//!
//! Each takes bytes, and panics where one of its promises is broken. Some ask more of a parser than not to panic: what is
//! written and read again is the same, a place stands in the text, a command is one command.

/// The name of a fuzz target, and what it calls.
pub type Parser = (&'static str, fn(&[u8]));

/// Those of this crate.
pub const PARSERS: [Parser; 10] = [
    ("command_line", crate::command_line::fuzz::command_line),
    ("configuration", crate::configuration::fuzz::configuration),
    ("getsocks", crate::getsocks::fuzz::getsocks),
    ("master_cli", crate::master_cli::fuzz::master_cli),
    ("mountinfo", crate::drift::fuzz::mountinfo),
    ("runtime_api", crate::runtime::fuzz::runtime_api),
    ("servers_state", crate::carry::fuzz::servers_state),
    ("show_stat", crate::statistics::fuzz::show_stat),
    ("standard_error", crate::complaint::fuzz::standard_error),
    ("stick_tables", crate::carry::fuzz::stick_tables),
];

/// The parts of an input that is more than one text: 0xff, which no text has, stands between.
pub(crate) fn parts<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    let mut parts = data.splitn(N, |byte| *byte == 0xff);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[test]
fn every_input_of_the_corpus_is_taken_whole_and_cut_off() {
    replay::replay(&PARSERS);
}
