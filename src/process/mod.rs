//! Who runs what, and when: `/proc` readers, address spaces, the table of processes.

pub mod clock;
mod jit_host;
pub mod kernel;
mod kernel_places;
mod memory;
mod off_cpu;
pub mod own_cost;
pub mod proc;
mod runtime;
mod space;
mod table;

pub use jit_host::JitHost;
pub use kernel_places::KernelPlaces;
pub use memory::ProcessMemory;
pub use off_cpu::{OffCpu, Wait};
pub use runtime::Runtime;
pub use space::{AddressSpace, Mapping};
pub use table::{KernelMaps, Membership, ProcessState, ProcessTable, ThreadState};
