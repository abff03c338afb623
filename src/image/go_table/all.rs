//! What Go's table says of all its functions, for who wants them all: the same that [`GoTable::frame`] says of each address.

use std::ops::Range;

use super::{GoFrame, GoTable, MOST_STEPS, value_until};
use crate::image::elf_file::ElfFile;

/// Most steps of all functions together; a program of 100 MB has two million.
const MOST_STEPS_IN_ALL: usize = 16 << 20;

impl GoTable {
    /// What is known of each piece of code, with its function's name, from the lowest on, without overlap; what it says nothing
    /// about is left out.
    ///
    /// Returns whether that is all: not if the table is not sorted, or too long.
    pub fn each_frame<'a>(
        &self,
        image: &'a ElfFile,
        mut each: impl FnMut(Range<u64>, Option<&'a str>, &GoFrame),
    ) -> bool {
        let Some(table) = self.bytes(image) else { return false };
        let mut left = MOST_STEPS_IN_ALL;
        let mut last = 0;
        for row in 0..self.functions {
            let Some(start) = self.start(table, row).filter(|start| *start >= last) else { return false };
            last = start;
            let Some(function) = self.row(table, row).filter(|function| function.start < function.end) else {
                continue;
            };
            let Some(mut steps) = self.steps(table, &function) else { continue };
            let fields = self.fields(function.record);
            let name = fields.and_then(|fields| self.name(table, fields));
            let length = function.end - function.start;
            let (mut value, mut begin) = (None, 0);
            let mut left_here = MOST_STEPS.min(left);
            let before = left_here;
            while begin < length
                && let Some((depth, end)) = value_until(&mut steps, self.quantum, value, begin, &mut left_here)
            {
                if begin < end
                    && let Some(frame) = self.frame_in(table, &function, depth)
                {
                    each(function.start + begin..function.start + end.min(length), name, &frame);
                }
                (value, begin) = (Some(depth), end);
            }
            left -= before - left_here;
            if left == 0 {
                return false;
            }
        }
        true
    }
}
