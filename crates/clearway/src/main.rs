//! The program is the library's: see `lib.rs`.

fn main() -> std::process::ExitCode {
    clearway::main()
}
