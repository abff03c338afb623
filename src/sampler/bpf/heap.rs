//! Which blocks of the programs' heap are taken, by what, and since when nobody has used it: numbers only, no system calls.
//!
//! ```text
//! block 0   1    2 ... 6     7 ... 9      10 ...           limit
//!       |  free | table    | mappings   | free ...        |
//!                 run: consecutive blocks, also across segments
//! ```
//! A program may be reading what is taken away. So blocks are first [retired](Heap::retire): nobody is led there any more; and are
//! free again when the loader says that every program that was running then has ended ([`Heap::reclaim`]).

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::abi::{SEGMENT_BLOCKS, SEGMENTS};

/// A run of consecutive blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Run {
    /// The first block; never 0.
    pub first: u32,
    /// How many, at least one.
    pub blocks: u32,
}

impl Run {
    /// The parts of it that lie in one segment each: segment, first block there, how many.
    pub fn parts(self) -> impl Iterator<Item = (u32, u32, u32)> {
        let end = self.first.saturating_add(self.blocks);
        let mut at = self.first;
        std::iter::from_fn(move || {
            let (segment, within) = (at / SEGMENT_BLOCKS, at % SEGMENT_BLOCKS);
            let count = (SEGMENT_BLOCKS - within).min(end.checked_sub(at).filter(|left| *left > 0)?);
            at += count;
            Some((segment, within, count))
        })
    }
}

/// The heap's blocks.
///
/// Free runs never touch each other, and no block is in two runs.
#[derive(Debug)]
pub struct Heap {
    /// Blocks that may be used, with block 0, which never is.
    limit: u32,
    /// By first block, how many.
    free: BTreeMap<u32, u32>,
    /// By first block.
    taken: FxHashMap<u32, Taken>,
    retired: Vec<Run>,
    clock: u64,
    highest: u32,
}

#[derive(Clone, Copy, Debug)]
struct Taken {
    blocks: u32,
    used: u64,
}

impl Heap {
    /// Blocks that the programs can address.
    pub const MOST_BLOCKS: u32 = SEGMENT_BLOCKS * SEGMENTS;

    /// A heap of at most `limit` blocks, one of which is never used.
    pub fn new(limit: u32) -> Heap {
        let limit = limit.min(Heap::MOST_BLOCKS);
        let free = (limit > 1).then_some((1, limit.saturating_sub(1)));
        Heap {
            limit,
            free: free.into_iter().collect(),
            taken: FxHashMap::default(),
            retired: Vec::new(),
            clock: 0,
            highest: 0,
        }
    }

    /// Takes so many consecutive blocks, those with the lowest numbers that are free; nothing if there are none, or for 0.
    pub fn take(&mut self, blocks: u32) -> Option<Run> {
        let (&first, &count) = self.free.iter().find(|(_, count)| blocks > 0 && **count >= blocks)?;
        self.free.remove(&first);
        if count > blocks {
            self.free.insert(first + blocks, count - blocks);
        }
        self.clock += 1;
        self.taken.insert(first, Taken { blocks, used: self.clock });
        self.highest = self.highest.max(first + blocks - 1);
        Some(Run { first, blocks })
    }

    /// Says that a run was just used; one that is not taken is passed over.
    pub fn touch(&mut self, first: u32) {
        if let Some(taken) = self.taken.get_mut(&first) {
            self.clock += 1;
            taken.used = self.clock;
        }
    }

    /// Gives a run back, by its first block, while programs may still read it; nothing if it is not taken.
    pub fn retire(&mut self, first: u32) -> Option<Run> {
        let Taken { blocks, .. } = self.taken.remove(&first)?;
        let run = Run { first, blocks };
        self.retired.push(run);
        Some(run)
    }

    /// What was retired is free: no program reads it any more. Returns how many blocks that are.
    pub fn reclaim(&mut self) -> u32 {
        let retired = std::mem::take(&mut self.retired);
        retired.iter().for_each(|run| self.put_back(*run));
        retired.iter().map(|run| run.blocks).sum()
    }

    /// Which runs are to be given back, those first that nobody has used for longest, so that so many consecutive blocks are free:
    /// of those that `may_go`. Nothing if that does not help; none if they are free already.
    ///
    /// What is retired counts as free.
    pub fn to_evict(&self, blocks: u32, may_go: impl Fn(u32) -> bool) -> Option<Vec<Run>> {
        let mut later = Heap { free: self.free.clone(), ..Heap::new(self.limit) };
        self.retired.iter().for_each(|run| later.put_back(*run));
        let fits = |heap: &Heap| heap.free.values().any(|count| *count >= blocks);
        let mut oldest: Vec<_> = self.taken.iter().filter(|(first, _)| may_go(**first)).collect();
        oldest.sort_unstable_by_key(|(_, taken)| taken.used);
        let mut oldest = oldest.into_iter();
        let mut evicted = Vec::new();
        while !fits(&later) {
            let (&first, &Taken { blocks, .. }) = oldest.next()?;
            let run = Run { first, blocks };
            later.put_back(run);
            evicted.push(run);
        }
        // Those that do not lie beside what was made free have gone for nothing: the last one counts, and all that it needs.
        let &found = later.free.iter().find(|(_, count)| **count >= blocks).map(|(first, _)| first)?;
        let end = found + later.free[&found];
        evicted.retain(|run| (found..end).contains(&run.first));
        Some(evicted)
    }

    /// How many blocks are taken, those that are retired with them.
    pub fn used(&self) -> u32 {
        let taken: u32 = self.taken.values().map(|taken| taken.blocks).sum();
        taken + self.retired()
    }

    /// How many are retired.
    pub fn retired(&self) -> u32 {
        self.retired.iter().map(|run| run.blocks).sum()
    }

    /// How many segments must be there for all blocks that were ever taken.
    pub fn segments(&self) -> u32 {
        if self.highest == 0 { 0 } else { self.highest / SEGMENT_BLOCKS + 1 }
    }

    fn put_back(&mut self, run: Run) {
        let Run { mut first, mut blocks } = run;
        if let Some((&before, &count)) = self.free.range(..first).next_back()
            && before + count == first
        {
            self.free.remove(&before);
            (first, blocks) = (before, count + blocks);
        }
        if let Some(count) = self.free.remove(&(first + blocks)) {
            blocks += count;
        }
        self.free.insert(first, blocks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look random and are the same each time.
    fn random(seed: u64) -> impl FnMut(u32) -> u32 {
        let mut state = seed;
        move |below| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u32 % below
        }
    }

    /// Each block is free, taken, retired, or block 0; free runs are whole.
    fn check(heap: &Heap) {
        let mut owner = vec![0u8; heap.limit as usize];
        let mut put = |first: u32, blocks: u32, by: u8| {
            for block in first..first + blocks {
                assert_eq!(std::mem::replace(&mut owner[block as usize], by), 0, "block {block} belongs to two");
            }
        };
        heap.free.iter().for_each(|(first, blocks)| put(*first, *blocks, 1));
        heap.taken.iter().for_each(|(first, taken)| put(*first, taken.blocks, 2));
        heap.retired.iter().for_each(|run| put(run.first, run.blocks, 3));
        assert_eq!(owner.iter().position(|by| *by == 0), Some(0));
        assert_eq!(owner.iter().filter(|by| **by == 0).count(), 1, "no block is lost");
        let ends: Vec<_> = heap.free.iter().map(|(first, blocks)| first + blocks).collect();
        assert!(ends.iter().all(|end| !heap.free.contains_key(end)), "free runs are merged");
        assert_eq!(heap.used() as usize, owner.iter().filter(|by| **by > 1).count());
    }

    #[test]
    fn no_block_is_lost_or_given_twice() {
        for seed in 0..40 {
            let mut random = random(seed);
            let mut heap = Heap::new(2 + random(300));
            let mut held: Vec<Run> = Vec::new();
            for _ in 0..600 {
                match random(8) {
                    0..4 => {
                        let blocks = 1 + random(20);
                        match heap.take(blocks) {
                            Some(run) => {
                                assert!(run.first > 0 && run.blocks == blocks);
                                held.push(run);
                            }
                            None => {
                                assert!(heap.free.values().all(|count| *count < blocks));
                                // With all that may go there is room, if there can be any.
                                let evicted = heap.to_evict(blocks, |_| true);
                                assert_eq!(evicted.is_some(), blocks < heap.limit);
                                for run in evicted.unwrap_or_default() {
                                    held.retain(|its| *its != run);
                                    assert_eq!(heap.retire(run.first), Some(run));
                                }
                                heap.reclaim();
                                held.extend(heap.take(blocks));
                            }
                        }
                    }
                    4..7 if !held.is_empty() => {
                        let run = held.swap_remove(random(held.len() as u32) as usize);
                        assert_eq!(heap.retire(run.first), Some(run));
                        assert_eq!(heap.retire(run.first), None);
                    }
                    _ => drop(heap.reclaim()),
                }
                check(&heap);
            }
            held.iter().for_each(|run| assert!(heap.retire(run.first).is_some()));
            heap.reclaim();
            assert_eq!((heap.free.len(), heap.used()), (1, 0), "all is one run again");
        }
    }

    #[test]
    fn what_was_used_longest_ago_goes() {
        let mut heap = Heap::new(101);
        let runs: Vec<Run> = (0..10).map(|_| heap.take(10).unwrap()).collect();
        assert_eq!(heap.take(1), None);
        assert_eq!(heap.to_evict(10, |_| true), Some(vec![runs[0]]));
        heap.touch(runs[0].first);
        assert_eq!(heap.to_evict(10, |_| true), Some(vec![runs[1]]));
        assert_eq!(heap.to_evict(10, |first| first != runs[1].first), Some(vec![runs[2]]));
        assert_eq!(heap.to_evict(11, |_| true), Some(vec![runs[1], runs[2]]));
        assert_eq!(heap.to_evict(101, |_| true), None);
        assert_eq!(heap.to_evict(10, |_| false), None);
        heap.retire(runs[5].first);
        assert_eq!(heap.take(10), None, "somebody may read it");
        assert_eq!(heap.to_evict(10, |_| false), Some(Vec::new()), "it is free soon");
        // What does not lie beside it stays.
        heap.touch(runs[6].first);
        runs[1..4].iter().for_each(|run| heap.touch(run.first));
        assert_eq!(heap.to_evict(20, |_| true), Some(vec![runs[4]]));
        assert_eq!((heap.reclaim(), heap.take(10)), (10, Some(runs[5])));
    }

    #[test]
    fn runs_go_across_segments() {
        let mut heap = Heap::new(u32::MAX);
        assert_eq!((heap.limit, heap.segments()), (Heap::MOST_BLOCKS, 0));
        let first = heap.take(500).unwrap();
        assert_eq!((first.first, heap.segments()), (1, 1));
        let run = heap.take(1000).unwrap();
        assert_eq!(run.parts().collect::<Vec<_>>(), [(0, 501, 11), (1, 0, 512), (2, 0, 477)]);
        assert_eq!(heap.segments(), 3);
        assert_eq!(heap.take(Heap::MOST_BLOCKS), None);
        assert_eq!((heap.take(0), Heap::new(0).take(1), Heap::new(1).take(1)), (None, None, None));
        assert_eq!(heap.take(Heap::MOST_BLOCKS - 1501).unwrap().first, 1501);
    }
}
