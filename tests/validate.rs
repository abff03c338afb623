//! The parts of `benches/validate.rs`: a bench has no tests of its own.

// Each part has its tests in it; what only the bench uses is not used here.
#![allow(dead_code)]

#[path = "../benches/validate/mod.rs"]
mod validate;
