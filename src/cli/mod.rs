//! The command line: flags as data, one file per sub-command.

mod args;
mod baseline;
mod ci;
mod compare;
mod debuginfod;
mod diff;
mod doctor;
mod from;
mod gate;
mod import;
mod names;
mod output;
mod perf_data;
mod progress;
mod record;
mod render;
mod report_files;
mod runs;
mod sides;
mod signals;
mod style;
mod words;
mod work;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use flameprofile::{Error, Result};

use args::{Cli, Command};

/// Parses the command line and does what it says.
pub fn run() -> Result<ExitCode> {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.kind() == ErrorKind::UnknownArgument => {
            // As likely as not a command without the `--` before it.
            let _ = error.print();
            let _ = writeln!(
                std::io::stderr(),
                "\nA command to record stands behind `--`: profile -o out.svg -- ./prog arg"
            );
            return Ok(ExitCode::from(2));
        }
        Err(error) => error.exit(),
    };
    match cli.command {
        None => record::run(&cli.record),
        Some(Command::Record(args)) => record::run(&args),
        Some(Command::Import(args)) => import::run(&args),
        Some(Command::Diff(args)) => diff::run(&args),
        Some(Command::Compare(args)) => compare::run(&args),
        Some(Command::Baseline(args)) => baseline::run(&args),
        Some(Command::Doctor) => {
            let terminal = std::io::stdout().is_terminal();
            let width = style::terminal_width().unwrap_or(100);
            let abilities = flameprofile::session::doctor::doctor();
            let table = doctor::render(&abilities, style::Paint::new(terminal).is_on(), width);
            output::to_stdout(table.as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "profile", &mut script);
            output::to_stdout(&script)?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Man) => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command())
                .render(&mut page)
                .map_err(|error| Error::io("cannot make the manual page", error))?;
            output::to_stdout(&page)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Prints an error, what caused it, and what can be done.
pub fn report(error: &Error) {
    let paint = style::Paint::new(std::io::stderr().is_terminal());
    let printable = flameprofile::render::name::printable;
    let mut text = format!("{} {}\n", paint.bold_red("error:"), printable(&error.to_string()));
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        text += &format!("  caused by: {}\n", printable(&source.to_string()));
        cause = source.source();
    }
    if let Some(hint) = error.hint() {
        text += &format!("  {} {}\n", paint.bold("help:"), printable(hint));
    }
    // With stderr closed there is nobody to tell.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
