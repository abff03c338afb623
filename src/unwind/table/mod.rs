//! The rules of a file in words that a program in the kernel can search.

pub mod format;
