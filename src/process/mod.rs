//! Who runs what, and when: `/proc` readers, address spaces, the table of processes.

mod space;

pub use space::{AddressSpace, Mapping};
