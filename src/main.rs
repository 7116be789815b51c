//! `barometer`, the command.

fn main() {}
