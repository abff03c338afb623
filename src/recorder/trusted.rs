//! What of stacks that were walked in the kernel is kept: all up to the first frame in code that was not there any more.

use std::sync::Arc;

use super::Recorder;
use super::changes::Suspects;
use crate::model::{CodeAddress, FoundBy, FrameKey, ProfileBuilder, StackEnd, StackId, Truncation};
use crate::process::AddressSpace;
use crate::unwind::WalkedFrame;

impl Recorder {
    /// What is not to be trusted of a sample's stack; mostly nothing.
    pub(super) fn suspects_of_sample(&mut self, pid: u32, epoch: u32, time: u64) -> Option<Arc<Suspects>> {
        if epoch == 0 { None } else { self.changes.of_sample(pid, epoch, time) }
    }

    /// What is not to be trusted of the stack of a wait, when all records have come; mostly nothing.
    pub(super) fn suspects_of_wait(&mut self, epoch: u32) -> Option<Arc<Suspects>> {
        self.changes.of_wait(epoch)
    }

    /// A stack up to the first frame that is not to be trusted. That one is where the stack says, but of what is mapped there by
    /// `space`, and left out if that is not of the same time; who called it is not known. Nothing if all of it is to be trusted.
    pub(super) fn trusted(
        &mut self,
        stack: StackId,
        suspects: &Suspects,
        (space, is_of_then): (&AddressSpace, bool),
    ) -> Option<(StackId, StackEnd)> {
        let mut kept = Vec::new();
        let mut cut = None;
        let profile = self.builder.profile();
        let is_of = |number, image| self.unwound.is_of(number, image);
        for frame in profile.frames_of(stack) {
            if let FrameKey::Code { image, offset } = profile.frames[frame.index()].key {
                let kind = profile.images[image.index()].kind;
                if let Some(address) = suspects.at((image, kind, offset), is_of, space) {
                    cut = Some((frame, address));
                    break;
                }
            }
            kept.push(frame);
        }
        let (frame, address) = cut?;
        let mut trusted = StackId(0);
        if let Some(address) = address.filter(|_| is_of_then) {
            let there = WalkedFrame::at(space, ProfileBuilder::UNMAPPED, CodeAddress::Ip(address), FoundBy::Sample);
            let frame = self.builder.frame_in(frame, there.image, there.offset);
            trusted = self.builder.stack(trusted, frame);
        }
        for frame in kept.into_iter().rev() {
            trusted = self.builder.stack(trusted, frame);
        }
        Some((trusted, StackEnd::Truncated(Truncation::MappingsChanged)))
    }
}
