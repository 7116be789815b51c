//! `barometer`, the command.

use std::process::ExitCode;

fn main() -> ExitCode {
    barometer::cli::main()
}
