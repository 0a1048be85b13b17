//! Gives the inputs of the corpus to parsers. The tests of each crate include this file, so that `make test` tries again what a
//! fuzzer has once found, without one.

use std::fs;
use std::path::Path;

/// Into so many beginnings a longer input is cut.
const CUTS: usize = 16;

/// Gives each parser all inputs in its directory of `fuzz/corpus`, whole and cut off.
#[allow(clippy::type_complexity)]
pub fn replay(parsers: &[(&str, fn(&[u8]))]) {
    for (name, parser) in parsers {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
        let inputs =
            fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        let mut count = 0;
        for path in inputs.map(|entry| entry.unwrap().path()) {
            // What is to be seen of a test that fails.
            println!("{}", path.display());
            let input = fs::read(&path).unwrap();
            parser(&input);
            for end in (0..input.len()).step_by(input.len().div_ceil(CUTS).max(1)) {
                parser(&input[..end]);
            }
            count += 1;
        }
        assert!(count > 0, "{}: no input", directory.display());
    }
}
