//! What was found out of code without call frame information.

use rustc_hash::FxHashMap;

use super::flow::{self, Place, Return, Starts};
use crate::image::ElfImage;
use crate::model::ImageId;

/// What is known of code without call frame information, by its place.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Where the return address is by the instructions that follow.
    pub returns: FxHashMap<(ImageId, u64), Return>,
    /// The same by those from the function's begin on.
    pub precedents: FxHashMap<(ImageId, u64), Option<Place>>,
    pub starts: FxHashMap<ImageId, Starts>,
    /// Whether something may return to what is behind a place.
    pub returned_to: FxHashMap<(ImageId, u64), bool>,
    /// Whether the call before a return address, of its image, leads to a place.
    pub calls: FxHashMap<(ImageId, u64, ImageId, u64), bool>,
}

/// How many places are known at most; then it begins anew.
const MOST_KNOWN: usize = 1 << 15;

impl Places {
    /// Where the return address is by the instructions that follow.
    pub fn ahead(&mut self, (id, image, svma): Code<'_>) -> Return {
        bounded(&mut self.returns).entry((id, svma)).or_insert_with(|| flow::to_return(image, svma)).to_owned()
    }

    /// The same by those from the function's begin on.
    pub fn behind(&mut self, (id, image, svma): Code<'_>) -> Option<Place> {
        let starts = &mut self.starts;
        *bounded(&mut self.precedents).entry((id, svma)).or_insert_with(|| {
            let starts = starts.entry(id).or_insert_with(|| Starts::of(image));
            flow::from_start(image, starts.before(svma)?, svma)
        })
    }
}

/// A table that begins anew when it is full.
pub(super) fn bounded<Key, Value>(known: &mut FxHashMap<Key, Value>) -> &mut FxHashMap<Key, Value> {
    if known.len() >= MOST_KNOWN {
        known.clear();
    }
    known
}

/// An address of a file: what the file states for it.
pub(super) type Code<'a> = (ImageId, &'a ElfImage, u64);
