//! The `profile` command.
fn main() {}
