//! A sampling profiler and flame-graph generator for Linux.

#![deny(unsafe_code)]

pub mod analyze;
pub mod error;
pub mod export;
pub mod formats;
pub mod image;
pub mod model;
pub mod perf;
pub mod process;
pub mod recorder;
pub mod render;
pub mod sampler;
pub mod session;
pub mod symbolize;
pub mod unwind;

pub use error::{Error, ErrorKind, Result};
