//! The rest of a stack that goes on on another one, of which there is no copy: the kernel has followed frame pointers there.
//!
//! ```text
//! frame pointer of the sample --> (read in the copy) --> ... --> the one that leads away
//! call chain:   ip   caller        caller                 |  what is behind is on the other stack
//! ```
//! The copy tells which entries of the chain are of the stack that is unwound already, so that nothing is there twice.

use super::walk::Walk;
use crate::model::{CodeAddress, FoundBy, ProfileBuilder, StackEnd, Truncation};
use crate::perf::record::{Sample, context};
use crate::process::AddressSpace;
use crate::unwind::{Registers, StackBytes, Unwinder, WalkedFrame};

impl Walk<'_> {
    /// Appends what the call chain has behind the frame pointer at which `unwinder` has left the stack; says how it ends.
    pub(super) fn other_stack(
        self,
        unwinder: &mut Unwinder,
        space: &AddressSpace,
        (registers, stack): (&Registers, &StackBytes<'_>),
        sample: &Sample<'_>,
        frames: &mut Vec<WalkedFrame>,
    ) -> StackEnd {
        let cut = StackEnd::Truncated(Truncation::OtherStack);
        let processor = registers.processor;
        let (Some((wanted, misses_one)), Some(mut fp)) = (unwinder.other_stack(), registers.get(processor.fp())) else {
            return cut;
        };
        let mut chain = sample.callchain.iter().skip_while(|word| *word != context::USER);
        let mut chain = chain.by_ref().skip(1).take_while(|word| *word < context::FIRST);
        // The first is the instruction pointer, the next one what the frame pointer leads to.
        if chain.next() != Some(registers.ip) {
            return cut;
        }
        while fp != wanted {
            let (Some(_), Some(next)) = (chain.next(), stack.read(fp, processor.word())) else { return cut };
            fp = next;
        }
        let mut last = None;
        for address in chain.filter_map(|word| CodeAddress::from_return(processor.address(word))) {
            frames.push(WalkedFrame::at(space, ProfileBuilder::UNMAPPED, address, FoundBy::CallChain));
            last = Some(address.lookup());
        }
        match last {
            _ if misses_one => cut,
            Some(last) if unwinder.is_root(space, self.images, processor, last) => StackEnd::Root,
            Some(_) => StackEnd::Truncated(Truncation::FramePointers),
            None => cut,
        }
    }
}
