//! When timers that take turns change (see [`crate::sampler::Streams::taking_turns`]).

use std::hash::{BuildHasher, Hasher, RandomState};

/// When events that take turns change: two turns in a row are of the same length, so that both have the same share.
#[derive(Debug)]
pub(super) struct Turns {
    takers: usize,
    length: usize,
    left: usize,
    is_second: bool,
}

impl Turns {
    /// For so many events that take turns.
    pub(super) fn new(takers: usize) -> Turns {
        Turns { takers, length: 2, left: 2, is_second: false }
    }

    /// Called ten times a second; says whether the turn changes now.
    pub(super) fn is_over(&mut self) -> bool {
        /// So many changes in a tick cost next to nothing.
        const CHANGES: usize = 50;
        if self.takers == 0 {
            return false;
        }
        self.left -= 1;
        if self.left > 0 {
            return false;
        }
        if self.is_second {
            // Of 100 or 200 ms, in an order that no program has.
            let odd = RandomState::new().build_hasher().finish().is_multiple_of(2);
            self.length = self.takers.div_ceil(CHANGES).max(1) + usize::from(odd);
        }
        self.is_second = !self.is_second;
        self.left = self.length;
        true
    }
}
