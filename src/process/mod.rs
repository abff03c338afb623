//! Who runs what, and when: `/proc` readers, address spaces, the table of processes.

mod jit_host;
pub mod proc;
mod space;
mod table;

pub use jit_host::JitHost;
pub use space::{AddressSpace, Mapping};
pub use table::{Membership, ProcessState, ProcessTable, ThreadState};
