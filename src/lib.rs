//! A sampling profiler and flame-graph generator for Linux.
//!
//! [`session::record`] samples processes, threads, cgroups, the whole machine, or a command, through the kernel's perf
//! events; user stacks are unwound from copies of the stack, so that programs without frame pointers have right stacks too.
//! What comes back is a [`model::Profile`]: interned tables, samples, and [`model::CaptureStats`], which say what was
//! missed. From it come call trees ([`analyze`]), folded stacks, flame graphs and tables ([`render`]), and JSON
//! ([`export`]).
//!
//! # Example
//!
//! Records this process for a moment, and writes folded stacks:
//!
//! ```
//! use std::time::Duration;
//! use flameprofile::analyze::View;
//! use flameprofile::render::folded;
//! use flameprofile::sampler::Target;
//! use flameprofile::session::{RecordOptions, Stop, record};
//!
//! # fn main() -> flameprofile::Result<()> {
//! # std::thread::spawn(|| loop { std::hint::spin_loop() });
//! let mut options = RecordOptions::new(Target::Processes(vec![std::process::id()]));
//! options.duration = Some(Duration::from_millis(300));
//! let stop = Stop::new().expect("a pipe");
//! let recording = record(&options, &stop, &mut |_progress| {})?;
//! let mut text = Vec::new();
//! folded::write(&recording.profile, &View::default(), &folded::FoldedOptions::default(), &mut text)?;
//! println!("{}", String::from_utf8_lossy(&text));
//! assert!(recording.profile.stats.samples > 0);
//! # Ok(())
//! # }
//! ```
//!
//! # Shape
//!
//! Arrows fall: a room imports only rooms below it. `ARCHITECTURE.md` has the table.

#![deny(unsafe_code)]

pub mod analyze;
pub mod baseline;
pub mod debuginfod;
pub mod error;
pub mod export;
pub mod formats;
pub mod gate;
pub mod image;
pub mod import;
pub mod model;
pub mod perf;
pub mod process;
pub mod recorder;
pub mod render;
pub mod sampler;
pub mod session;
pub mod symbolize;
pub mod unwind;

#[cfg(test)]
#[path = "../tests/common/skip.rs"]
mod skip;

pub use error::{Error, ErrorKind, Result};
