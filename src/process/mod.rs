//! Who runs what, and when: `/proc` readers, address spaces, the table of processes.

pub mod proc;
mod space;
mod table;

pub use space::{AddressSpace, Mapping};
pub use table::{Membership, ProcessState, ProcessTable, ThreadState};
