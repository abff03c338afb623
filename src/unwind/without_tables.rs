//! From a frame to its caller where there is no call frame information: what makes sense is taken, the rest is not guessed.

use super::unwinder::{Frame, Stop, Walk};
use crate::model::FoundBy;

/// The caller of a frame whose code, at `offset` of its image, has no call frame information.
pub(super) fn caller(walk: &Walk<'_, '_>, here: &Frame, offset: u64) -> Result<Frame, Stop> {
    by_frame_pointer(walk, here).ok_or(Stop::End(walk.end_without_tables(offset)))
}

/// A frame pointer makes sense if it leads up the stack, to a frame whose return address is in code.
fn by_frame_pointer(walk: &Walk<'_, '_>, here: &Frame) -> Option<Frame> {
    let word = walk.processor.word();
    if here.fp < here.sp || !here.fp.is_multiple_of(word) {
        return None;
    }
    let fp = walk.read(here.fp).ok()?;
    let ra = walk.read(here.fp.checked_add(word)?).ok()?;
    let sp = here.fp.checked_add(2 * word)?;
    let caller = walk.called(ra, sp, fp, FoundBy::FramePointer).ok()?;
    walk.space.find(caller.address.lookup())?;
    Some(caller)
}
