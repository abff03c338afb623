//! Finds the copy of the user stack in a sample without reading the rest of it.

use super::{HEADER, Layout};
use crate::perf::attr::SampleFields;

/// Where the copy of the user stack is in a sample, all offsets counted from the record's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackCopy {
    /// Where the word with the size of the copy is; the copy follows it.
    pub size_at: usize,
    /// Size of the copy as stored.
    pub size: usize,
    /// How much of it is valid.
    pub valid: usize,
}

/// To what size copies are cut where samples come faster than they can be taken in: first to the larger one. The kernel makes them a
/// little smaller than was asked for itself, where a record would be too long.
pub const TRIMMED: [usize; 2] = [8 << 10, 1 << 10];

/// Finds the copy of the user stack in a sample whose words `word` reads by offset from the record's first byte.
///
/// For the one that copies records out of a ring and leaves the invalid part of the copy behind; a copy that is shortened
/// so must stay longer than what is valid of it, as an equal size says that the stack goes on. Nothing if there is no
/// copy, or if the layout has fields behind it.
pub fn stack_copy(layout: &Layout, record_size: usize, mut word: impl FnMut(usize) -> u64) -> Option<StackCopy> {
    let fields = layout.fields;
    if !fields.has(SampleFields::STACK_USER) || fields.0 & (VARIABLE_BEFORE_STACK | AFTER_STACK) != 0 {
        return None;
    }
    let fixed = fields.0 & FIXED_BEFORE_STACK;
    let mut at = HEADER + fixed.count_ones() as usize * 8;
    if fields.has(SampleFields::CALLCHAIN) {
        if at + 8 > record_size {
            return None;
        }
        let count = usize::try_from(word(at)).ok().filter(|count| *count <= record_size / 8)?;
        at += 8 + count * 8;
    }
    if fields.has(SampleFields::REGS_USER) {
        if at + 8 > record_size {
            return None;
        }
        at += if word(at) == 0 { 8 } else { 8 + layout.regs_user.count_ones() as usize * 8 };
    }
    if at + 8 > record_size {
        return None;
    }
    let size = usize::try_from(word(at)).ok()?;
    if size == 0 || at + 8 + size + 8 > record_size || size % 8 != 0 {
        return None;
    }
    let valid = usize::try_from(word(at + 8 + size)).ok().filter(|valid| *valid <= size)?;
    Some(StackCopy { size_at: at, size, valid })
}

/// Fields of one word each that stand before the user stack (the identity at the front included).
const FIXED_BEFORE_STACK: u64 = SampleFields::IP.0
    | SampleFields::TID.0
    | SampleFields::TIME.0
    | SampleFields::ADDR.0
    | SampleFields::ID.0
    | SampleFields::CPU.0
    | SampleFields::PERIOD.0
    | SampleFields::STREAM_ID.0
    | SampleFields::IDENTIFIER.0;
/// Fields behind it.
const AFTER_STACK: u64 = !((SampleFields::STACK_USER.0 << 1) - 1) & !SampleFields::IDENTIFIER.0;
/// Fields of varying size before it, which [`stack_copy`] does not step over.
const VARIABLE_BEFORE_STACK: u64 = SampleFields::READ.0 | SampleFields::RAW.0 | SampleFields::BRANCH_STACK.0;
