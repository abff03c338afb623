//! Stacks from the calls that the processor has recorded (LBR), and what goes on behind the last one that it holds.

use super::walk::{Walk, call_stack, stack_of, user_chain};
use crate::model::{CodeAddress, FoundBy, ProfileBuilder, StackEnd, Truncation};
use crate::perf::record::{CpuMode, Sample};
use crate::process::AddressSpace;
use crate::unwind::{Registers, Unwinder, WalkedFrame};

/// The longest call instruction in bytes (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, 2.3.11: the limit
/// of all instructions).
const LONGEST_CALL: u64 = 15;

impl Walk<'_> {
    /// Appends the user part of a stack as the processor has it; says how it ends.
    pub(super) fn by_call_stack(
        self,
        unwinder: &mut Unwinder,
        sample: &Sample<'_>,
        space: &AddressSpace,
        registers: Option<&Registers>,
        frames: &mut Vec<WalkedFrame>,
    ) -> StackEnd {
        let cut = StackEnd::Truncated(Truncation::CallStack);
        let first = frames.len();
        if !sample.branches.is_call_stack || sample.branches.count() == 0 {
            let ip = registers.map_or(sample.ip, |registers| registers.ip);
            // Of a sample in the kernel the program's own part is not known at all.
            if ip != 0 && (registers.is_some() || sample.mode != CpuMode::Kernel) {
                frames.push(WalkedFrame::at(space, ProfileBuilder::UNMAPPED, CodeAddress::Ip(ip), FoundBy::Sample));
            }
            return cut;
        }
        call_stack(sample, space, frames);
        let Some(outermost) = frames[first..].last().copied() else { return cut };
        let mut others = Vec::new();
        let end = match registers.filter(|_| !sample.user_stack.is_empty()) {
            Some(registers) => {
                let stack = &stack_of(sample, registers);
                unwinder.unwind(space, self.images, registers, stack, &mut others)
            }
            None => {
                user_chain(sample.callchain.iter(), space, &mut others);
                self.options.origin.end_of_chain()
            }
        };
        // The last byte of a call, which stands for its return address, is a few behind its first.
        let is_it = |frame: &WalkedFrame| {
            let distance = frame.offset.wrapping_sub(outermost.offset);
            frame.image == outermost.image && distance < LONGEST_CALL && frame.by != FoundBy::Sample
        };
        let mut places = (0..others.len()).filter(|row| is_it(&others[*row]));
        // In a recursion nobody knows which of the calls it is.
        let (Some(place), None) = (places.next(), places.next()) else { return cut };
        frames.extend_from_slice(&others[place + 1..]);
        end
    }
}
