//! Everything of this crate that reads what others wrote, to be given any bytes: by the fuzz targets (`fuzz/`), and by the tests
//! with each input of the corpus (docs/decisions/0046-fuzzing.md).

/// The name of a fuzz target, and what it calls.
pub type Parser = (&'static str, fn(&[u8]));

/// Those of this crate.
pub const PARSERS: [Parser; 7] = [
    ("admin_answers", crate::command::fuzz::admin_answers),
    ("admin_requests", crate::front::fuzz::admin_requests),
    ("api_requests", crate::front::public::fuzz::api_requests),
    ("log_lines", crate::fleet::fuzz::log_lines),
    ("own_command_line", crate::cli::fuzz::own_command_line),
    ("surroundings", surroundings),
    ("takeover", crate::peers::fuzz::takeover),
];

/// A file of the system, or a variable that systemd has set: of each only a few words are read.
fn surroundings(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    crate::ground::fuzz::users(&text);
    crate::peers::fuzz::mounts_and_groups(&text);
    crate::front::fuzz::unix_sockets(&text);
    crate::tell::fuzz::names_of_sockets(&text);
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[test]
fn every_input_of_the_corpus_is_taken_whole_and_cut_off() {
    replay::replay(&PARSERS);
}
