//! Runs the real binary: what it does with targets, signals, outputs and accounts, and what bad input gets.

mod common;

#[path = "cli/accounts.rs"]
mod accounts;
#[path = "cli/containers.rs"]
mod containers;
#[path = "cli/deep_stacks.rs"]
mod deep_stacks;
#[path = "cli/endings.rs"]
mod endings;
#[path = "cli/frame_pointers.rs"]
mod frame_pointers;
#[path = "cli/outputs.rs"]
mod outputs;
#[path = "cli/pressure.rs"]
mod pressure;
#[path = "cli/refusals.rs"]
mod refusals;
#[path = "cli/surroundings.rs"]
mod surroundings;
#[path = "cli/targets.rs"]
mod targets;
