//! See ../README.md.

#![no_main]

use flameprofile::import::Kind;

#[path = "../one.rs"]
mod one;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| one::import_one(Kind::PerfData, bytes));
