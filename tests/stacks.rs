//! Stacks that are right: what CI asserts of `benches/stacks.rs`, on counts of samples, never on time.

mod common;
#[path = "stacks/mod.rs"]
mod stacks;

use stacks::truth::{Build, Sabotage, Tally};
use stacks::{peers, reach, rows, truth};
