//! The rules of a whole file, in words that a program in the kernel can search: what [`Unwinder`](super::Unwinder) would make for
//! each address, made at once.
//!
//! ```text
//! Go's table       where there is none of it:
//! .eh_frame        where there is none of it:
//! .debug_frame     else the code has no rule
//!   |  rows, by `Rule::of_row` alone
//!   v
//! compile --> rules (shared by all tables)
//!         --> pages: rows of 4 bytes, in blocks
//! ```
//! Equal neighbours are one row. What a rule cannot say, or cannot say exactly, is `RULE_ROW`, at which the walk in the kernel ends:
//! there the walk in user space, which has all registers, goes on instead.

mod compile;
pub mod format;
mod pages;
mod rules;

pub use rules::{RulePool, encode};

use crate::image::ElfImage;
use crate::unwind::Processor;
use format::{BLOCK_WORDS, PAGE_SHIFT_OF_TABLE, ROW_RULE_BITS, RULE_NO_INFO, TABLE_GO, TABLE_HEADER_WORDS};

/// Why a file has no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is of no processor whose tables are read in the kernel, or has no code.
    Code,
    /// The index of its call frame information is damaged.
    Damaged,
    /// It would take more blocks than it may, or more time than a file of its size should.
    TooLarge,
}

/// What a table may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Blocks of 8 KiB.
    pub blocks: u32,
}

impl Default for Limits {
    /// A quarter of what programs can address: 64 MiB, or 16 million rows.
    fn default() -> Limits {
        Limits { blocks: 8192 }
    }
}

/// The rules of a file, as programs in the kernel read them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The address, as the file states it, that the table's addresses count from; a multiple of its pages (8 KiB).
    pub base: u64,
    /// Whole blocks of [`BLOCK_WORDS`] words. The first word is 0: the number of the image is put there by who loads it.
    pub blocks: Vec<u32>,
    /// How many rows it has.
    pub rows: usize,
    /// How many pages of code have more rows than fit; their code has `RULE_ROW`.
    pub pages_left_out: usize,
}

impl Table {
    /// The table of a file; rules that are not there yet are put into the pool.
    ///
    /// # Errors
    /// The file has no such table, or a larger one than it may have. Some of its rules may be in the pool then.
    pub fn compile(image: &ElfImage, pool: &mut RulePool, limits: Limits) -> Result<Table, Refused> {
        compile::compile(image, pool, limits)
    }

    /// The rule at an address, as the file states it: found as programs in the kernel do (`rule_of` in
    /// `sampler/bpf/c/unwind.h`).
    pub fn rule_at(&self, svma: u64, pool: &RulePool) -> u64 {
        const NO_INFO: u64 = RULE_NO_INFO as u64;
        let Some(in_table) = svma.checked_sub(self.base) else { return NO_INFO };
        let word = |at: u64| usize::try_from(at).ok().and_then(|at| self.blocks.get(at)).copied();
        let page = in_table >> PAGE_SHIFT_OF_TABLE;
        if page >= u64::from(word(1).unwrap_or(0)) {
            return NO_INFO;
        }
        let index = u64::from(TABLE_HEADER_WORDS) + 2 * page;
        let (Some(block), Some(place)) = (word(index), word(index + 1)) else { return NO_INFO };
        let (first, count) = (u64::from(place & 0xffff), u64::from(place >> 16));
        if count == 0 {
            return NO_INFO;
        }
        let row = |at: u64| word(u64::from(block) * u64::from(BLOCK_WORDS) + (first + at) % u64::from(BLOCK_WORDS));
        let within = in_table & ((1 << PAGE_SHIFT_OF_TABLE) - 1);
        let (mut at, mut half) = (0, u64::from(BLOCK_WORDS) / 2);
        while half > 0 {
            let next = at + half;
            if next < count && row(next).is_some_and(|row| u64::from(row >> ROW_RULE_BITS) <= within) {
                at = next;
            }
            half /= 2;
        }
        let rule = row(at).map_or(0, |row| row & ((1 << ROW_RULE_BITS) - 1));
        pool.rules().get(rule as usize).copied().unwrap_or(NO_INFO)
    }

    /// Whether its code is Go's.
    pub fn is_go(&self) -> bool {
        self.blocks.get(2).is_some_and(|flags| flags & TABLE_GO != 0)
    }

    /// How much memory it takes in the kernel, in bytes.
    pub fn bytes(&self) -> usize {
        self.blocks.len() * size_of::<u32>()
    }
}

/// The processor that a file's code is for, if its tables are read in the kernel.
fn processor_of(image: &ElfImage) -> Option<Processor> {
    let known = [Processor::X86_64, Processor::Aarch64].into_iter().find(|known| known.machine() == image.machine());
    known.filter(|_| image.is_64() && !image.is_big_endian())
}

#[cfg(test)]
mod tests;
