//! Everything of this crate that reads what others wrote, to be given any bytes: by the fuzz targets (`fuzz/`), and by the tests
//! with each input of the corpus (docs/decisions/0046-fuzzing.md).

/// The name of a fuzz target, and what it calls.
pub type Parser = (&'static str, fn(&[u8]));

/// Those of this crate.
pub const PARSERS: [Parser; 1] = [("settings", crate::settings::fuzz::settings)];

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[test]
fn every_input_of_the_corpus_is_taken_whole_and_cut_off() {
    replay::replay(&PARSERS);
}
