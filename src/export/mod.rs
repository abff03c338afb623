//! A profile in formats for other programs.
//!
//! Names are written as they are: escaped for the format, but neither shortened nor made fit for a terminal.

pub mod firefox;
mod firefox_thread;
pub mod json;
pub mod perf_script;
pub mod pprof;
mod rows;
pub mod speedscope;
