//! `clearway-lab`: the servers, the load generator, the benchmarks and the demo as one program.

use std::process::ExitCode;

fn main() -> ExitCode {
    clearway_lab::cli::main()
}
