//! What the tests of the real binary and the benches share: programs to watch, a way to run `profile`, the reading of its
//! answers, and the statistics that judge them.

// Each test binary uses its own part of this.
#![allow(dead_code)]

pub mod account;
pub mod figure;
pub mod folded;
pub mod held;
pub mod planted;
pub mod programs;
pub mod run;
pub mod sigma;
pub mod skip;
pub mod summary;
