//! Registers and stack bytes to code addresses.
//!
//! The seam is [`Unwinder::unwind`]; behind it stands, for now, the crate framehop. How each stack ended is part of the
//! answer: only [`Root`](crate::model::StackEnd::Root) is a complete stack.

mod framehop_adapter;
mod registers;

pub use framehop_adapter::Unwinder;
pub use registers::{REGISTERS_MASK, Registers, StackBytes};
