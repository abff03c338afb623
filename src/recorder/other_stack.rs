//! The rest of a stack that goes on where there is no copy, on another stack or behind the end: the kernel has followed frame
//! pointers there.
//!
//! ```text
//! frame pointer of the sample --> (read in the copy) --> ... --> the one that leads away
//! call chain:   ip   caller        caller                 |  what is behind is on the other stack
//! ```
//! The copy tells which entries of the chain are of the stack that is unwound already, so that nothing is there twice.

use super::late::Cut;
use super::walk::Walk;
use crate::model::{CodeAddress, FoundBy, ProfileBuilder, StackEnd, Truncation};
use crate::perf::record::{Sample, context};
use crate::unwind::{Unwinder, WalkedFrame};

impl Walk<'_> {
    /// Appends what the call chain has behind the frame pointer at which `unwinder` has left the stack; says how it ends.
    pub(super) fn other_stack(self, unwinder: &mut Unwinder, cut: &Cut<'_>, frames: &mut Vec<WalkedFrame>) -> StackEnd {
        let end = StackEnd::Truncated(Truncation::OtherStack);
        let Some((wanted, misses_one)) = unwinder.other_stack() else { return end };
        let Some(chain) = behind(cut, wanted) else { return end };
        let before = frames.len();
        match self.push_chain(unwinder, cut, chain, frames) {
            true if misses_one => end,
            true => StackEnd::Root,
            false if frames.len() > before => StackEnd::Truncated(Truncation::FramePointers),
            false => end,
        }
    }

    /// Appends what the call chain has behind the end of the copy, if `unwinder` has stopped for want of the very return address that
    /// is the next one of the chain, and if the chain leads to a root; says whether it does.
    ///
    /// A chain skips the callers of functions that keep no frame pointer: one that is cut is left out, and one that is not
    /// proven to be the continuation too.
    pub(super) fn behind_copy(self, unwinder: &mut Unwinder, cut: &Cut<'_>, frames: &mut Vec<WalkedFrame>) -> bool {
        let word = cut.registers.processor.word();
        let Some(wanted) = unwinder.missing().and_then(|missing| missing.checked_sub(word)) else { return false };
        let Some(chain) = behind(cut, wanted) else { return false };
        let before = frames.len();
        let is_whole = self.push_chain(unwinder, cut, chain, frames);
        if !is_whole {
            frames.truncate(before);
        }
        is_whole
    }

    /// Appends return addresses of a chain, up to one that is in no mapping: no frame pointer has led there. Says whether nobody has
    /// called the last one's code.
    fn push_chain(
        self,
        unwinder: &mut Unwinder,
        cut: &Cut<'_>,
        chain: impl Iterator<Item = u64>,
        frames: &mut Vec<WalkedFrame>,
    ) -> bool {
        let processor = cut.registers.processor;
        let mut last = None;
        for address in chain.filter_map(|word| CodeAddress::from_return(processor.address(word))) {
            let frame = WalkedFrame::at(cut.space, ProfileBuilder::UNMAPPED, address, FoundBy::CallChain);
            if frame.image == ProfileBuilder::UNMAPPED {
                return false;
            }
            frames.push(frame);
            last = Some(address.lookup());
        }
        last.is_some_and(|last| unwinder.is_root(cut.space, self.images, processor, last))
    }

    /// Inserts the caller of the innermost function into a chain of frame pointers, if that function has not set up a frame of its
    /// own: then the frame pointer is still its caller's, and leads to who called that one.
    pub(super) fn insert_caller(
        self,
        unwinder: &mut Unwinder,
        cut: &Cut<'_>,
        (frames, first): (&mut Vec<WalkedFrame>, usize),
    ) {
        let Cut { sample, space, registers, stack, .. } = *cut;
        let chain = &mut user_part(sample);
        if chain.next() != Some(registers.ip) {
            return;
        }
        let Some((caller, fp)) = unwinder.caller(space, self.images, registers, stack) else { return };
        if registers.get(registers.processor.fp()) == Some(fp) {
            frames.insert(first + 1, WalkedFrame::at(space, ProfileBuilder::UNMAPPED, caller, FoundBy::UnwindInfo));
        }
    }
}

/// What the call chain has behind the frame pointer `wanted`, to which frame pointers in the copy lead.
fn behind<'s>(cut: &Cut<'s>, wanted: u64) -> Option<impl Iterator<Item = u64> + use<'s>> {
    let Cut { sample, registers, stack, .. } = *cut;
    let processor = registers.processor;
    let mut fp = registers.get(processor.fp())?;
    let mut chain = user_part(sample);
    // The first is the instruction pointer, the next one what the frame pointer leads to.
    if chain.next() != Some(registers.ip) {
        return None;
    }
    while fp != wanted {
        chain.next()?;
        fp = stack.read(fp, processor.word())?;
    }
    Some(chain)
}

fn user_part<'s>(sample: &Sample<'s>) -> impl Iterator<Item = u64> + use<'s> {
    let chain = sample.callchain.iter().skip_while(|word| *word != context::USER);
    chain.skip(1).take_while(|word| *word < context::FIRST)
}
