//! Stacks unwound in the kernel, and time off the CPU, by BPF programs.

pub mod abi;
pub mod heap;
pub mod mappings;
