//! Whether stacks are right: a judge that sees only what `profile` and perf write.
//!
//! `truth` judges each sample by what a register said at that moment; `rows` and `reach` judge by where stacks of many kinds of programs end.

// The test asserts a part, the bench prints all.
#![allow(dead_code)]

pub mod peers;
pub mod reach;
pub mod rows;
pub mod seen;
pub mod truth;
