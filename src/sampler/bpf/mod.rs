//! Stacks unwound in the kernel, and time off the CPU, by BPF programs.
//!
//! ```text
//! load         what is asked --> programs, maps
//! object_file  programs as they are compiled, what of the kernel's types they name --> what the kernel is told
//! tables       rules of files, mappings of processes --> the heap that programs search
//! samples      those of the ring as records, in their place among the others
//! ring         stacks, samples, what is to be read anew <-- programs
//! sys          bpf(2), and memory that is shared
//! ```
//! The programs are in `c/`; what they are compiled to is checked in beside it. What is loaded and attached is held by descriptors
//! only: nothing stays when this process ends, in whatever way.

pub mod abi;
mod counters;
pub mod heap;
mod kernel_types;
mod load;
pub mod mappings;
mod namespace;
mod object_file;
mod ring;
mod samples;
mod sys;
mod tables;

pub use counters::Counters;
pub use load::{Bpf, OffTask, Programs, Request, Whom};
pub use ring::{Event, Ring, Stack};
pub use samples::Samples;
pub use sys::ProgramInfo;
pub use tables::Tables;
// What tables are made by.
pub use crate::unwind::table::{Limits, Refused, RulePool, Table};
