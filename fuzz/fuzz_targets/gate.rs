//! See ../README.md.

#![no_main]

#[path = "../one.rs"]
mod one;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| one::compare_runs(bytes));
