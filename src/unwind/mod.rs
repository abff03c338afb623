//! Registers and stack bytes to frames.
//!
//! The seam is [`Unwinder::unwind`]. Each frame is found by the call frame information of the code that it called; where there is
//! none, by what there is instead (`without_tables`), and if nothing makes sense, the stack is cut there and says why: only
//! [`Root`](crate::model::StackEnd::Root) is a complete stack.
//!
//! ```text
//! unwinder         the walk
//! rule, cache      how to get from a frame to its caller, in 8 bytes, and those that are known already
//! row              the same the slow way, for rows that no rule covers
//! go               for code of Go, by its own table
//! flow, x86        where code without call frame information has its return address, by its instructions
//! without_tables   for code without call frame information
//! table            all rules of a file, for programs in the kernel
//! arm64_signal     out of a signal handler on arm64
//! registers        what a walk begins with
//! ```

mod arm64_signal;
mod cache;
mod flow;
mod go;
mod places;
mod registers;
mod row;
mod rule;
pub mod table;
mod unwinder;
mod walk;
mod without_tables;
mod x86;

pub use registers::{Processor, REGISTERS_MASK, Registers, StackBytes};
pub use rule::{Base, Rule, Saved, Slot, Switch};
pub use unwinder::{Unwinder, WalkedFrame, WithoutTables};
