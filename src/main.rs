//! `barometer`, the command.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// The system's allocator spends half of a restore on the many small stores of an account, and grows the
/// memory of every thread but the first by a system call for each few pages.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    barometer::cli::main()
}
