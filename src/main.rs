//! The `profile` command: parses, runs, prints the error chain with its hint, and sets the exit status.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(status) => status,
        Err(error) => {
            cli::report(&error);
            ExitCode::from(2)
        }
    }
}
