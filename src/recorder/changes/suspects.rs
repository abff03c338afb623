//! What of epochs is not to be trusted: found out by the changes of a process, and kept for waits until their rows are made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::{ImageId, ImageKind};
use crate::process::AddressSpace;
use crate::recorder::aliases::Aliases;
use crate::recorder::code::{Change, Code, Listed};

/// What of an epoch is not to be trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::recorder) struct Suspects {
    /// All of it: what is known of it is not enough.
    pub(super) all: bool,
    /// The ranges whose code was not there any more, in order.
    pub(super) ranges: Vec<Listed>,
}

impl Suspects {
    /// All of an epoch.
    pub fn all() -> Suspects {
        Suspects { all: true, ranges: Vec::new() }
    }

    pub fn is_empty(&self) -> bool {
        !self.all && self.ranges.is_empty()
    }

    fn add(&mut self, others: &Suspects) {
        let place = |listed: &Listed| (listed.range.start, listed.range.end, listed.image);
        self.all |= others.all;
        self.ranges.extend_from_slice(&others.ranges);
        self.ranges.sort_by_key(place);
        self.ranges.dedup_by_key(|listed| place(listed));
    }

    /// Whether a frame is in what is not to be trusted; if that is known, with its address. `is_of`: whether an image has this number.
    pub fn at(
        &self,
        (image, kind, offset): (ImageId, ImageKind, u64),
        is_of: impl Fn(u32, ImageId) -> bool,
        space: &AddressSpace,
    ) -> Option<Option<u64>> {
        if kind == ImageKind::Kernel {
            return None;
        }
        for listed in &self.ranges {
            let is_in = |address: &u64| listed.range.contains(address);
            let found = match listed.code {
                Code::File { bias, .. } => {
                    is_of(listed.image, image).then(|| Some(offset.wrapping_add(bias)).filter(is_in))
                }
                Code::Vdso { start } => is_of(listed.image, image).then(|| offset.checked_add(start).filter(is_in)),
                Code::Other if kind == ImageKind::Unmapped => is_in(&offset).then_some(Some(offset)),
                // It is found by what is mapped there.
                Code::Other => space
                    .mappings()
                    .iter()
                    .filter(|mapping| mapping.image == image)
                    .filter_map(|mapping| {
                        let within = offset.checked_sub(mapping.offset)?;
                        (within < mapping.end - mapping.start).then_some(mapping.start + within)
                    })
                    .find(is_in)
                    .map(Some),
            };
            if found.is_some() {
                return found;
            }
        }
        self.all.then_some(None)
    }
}

/// By what an epoch is judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judge<'a> {
    /// In order of time.
    pub changes: &'a [Change],
    /// What of them is the same as listed, by other numbers.
    pub aliases: &'a Aliases,
    /// Changes until then count.
    pub until: u64,
    /// Of changes at one place the last one counts, not each.
    pub by_last: bool,
    /// Until when changes are not known.
    pub forgotten: u64,
}

impl Judge<'_> {
    /// What of ranges that are in order and apart was not there any more; and how many pairs of a range and a change that overlap were
    /// looked at: each range mostly once.
    pub fn judge(&self, ranges: &[Listed]) -> (Suspects, usize) {
        let (mut suspect, mut steps) = (Vec::new(), 0);
        let earliest = ranges.iter().map(|listed| listed.read).min().unwrap_or(u64::MAX);
        let mut later = self.changes.iter().rev().take_while(|change| change.time > earliest).peekable();
        let mut open = Open::default();
        if later.peek().is_some() {
            open = Open::new(ranges.len());
        }
        for change in later.filter(|change| change.time <= self.until) {
            let first = ranges.partition_point(|listed| listed.range.end <= change.start);
            let mut at = open.first_from(first);
            while let Some(listed) = ranges.get(at).filter(|listed| listed.range.start < change.end) {
                steps += 1;
                let is_of_before = change.time <= listed.read;
                if !is_of_before && !self.aliases.is_same(&change.code, &listed.code) {
                    suspect.push(at);
                    open.close(at);
                } else if is_of_before || self.by_last && change.covers(listed) {
                    open.close(at);
                }
                at = open.first_from(at + 1);
            }
        }
        suspect.sort_unstable();
        // What was forgotten came before what is kept: a range that something kept has settled does not mind.
        let is_lost = |(at, listed): (usize, &Listed)| self.forgotten > listed.read && open.has(at);
        let all = self.forgotten > earliest && ranges.iter().enumerate().any(is_lost);
        (Suspects { all, ranges: suspect.into_iter().map(|at: usize| ranges[at].clone()).collect() }, steps)
    }
}

/// Which ranges are not settled yet: by each, the next one that may be so.
#[derive(Default)]
struct Open {
    next: Vec<u32>,
}

impl Open {
    fn new(count: usize) -> Open {
        Open { next: (0..=count as u32).collect() }
    }

    fn has(&self, at: usize) -> bool {
        self.next.get(at).is_none_or(|next| *next as usize == at)
    }

    fn close(&mut self, at: usize) {
        self.next[at] += 1;
    }

    /// The first one from `at` on; the way to it is shorter the next time.
    fn first_from(&mut self, mut at: usize) -> usize {
        while self.next[at] as usize != at {
            self.next[at] = self.next[self.next[at] as usize];
            at = self.next[at] as usize;
        }
        at
    }
}

/// What is not to be trusted of stacks of waits, whose rows are made at the end.
#[derive(Debug, Default)]
pub(super) struct OfWaits {
    known: BTreeMap<u32, Arc<Suspects>>,
    /// Of `known`: epochs and ranges.
    size: usize,
    /// Epochs of which all counts, as there was no room.
    whole: BTreeSet<u32>,
    /// The last one of all epochs up to which all counts, as there was no room for their numbers.
    whole_until: u32,
}

impl OfWaits {
    /// So many epochs and ranges are kept; one takes 64 bytes.
    const MOST: usize = 100_000;
    /// So many numbers of epochs are kept of which all counts.
    const MOST_WHOLE: usize = 1_000_000;

    /// Adds to what is not to be trusted of an epoch; says of how many epochs all is not any more, as there is no room.
    pub fn add(&mut self, epoch: u32, suspects: &Suspects) -> u64 {
        self.add_within(epoch, suspects, (OfWaits::MOST, OfWaits::MOST_WHOLE))
    }

    fn add_within(&mut self, epoch: u32, suspects: &Suspects, (most, most_whole): (usize, usize)) -> u64 {
        if self.is_whole(epoch) {
            return 0;
        }
        let known = self.known.entry(epoch).or_insert_with(|| {
            self.size += 1;
            Arc::default()
        });
        self.size -= known.ranges.len();
        Arc::make_mut(known).add(suspects);
        self.size += known.ranges.len();
        let mut dropped = 0;
        while self.size > most
            && let Some((epoch, suspects)) = self.known.pop_first()
        {
            self.size -= 1 + suspects.ranges.len();
            self.whole.insert(epoch);
            dropped += 1;
        }
        while self.whole.len() > most_whole
            && let Some(epoch) = self.whole.pop_first()
        {
            self.whole_until = self.whole_until.max(epoch);
        }
        dropped
    }

    fn is_whole(&self, epoch: u32) -> bool {
        epoch <= self.whole_until || self.whole.contains(&epoch)
    }

    /// What is not to be trusted of an epoch; mostly nothing.
    pub fn get(&self, epoch: u32) -> Option<Arc<Suspects>> {
        match self.known.get(&epoch) {
            Some(known) => Some(known.clone()),
            None => self.is_whole(epoch).then(|| Arc::new(Suspects::all())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(start: u64, end: u64, inode: u64, read: u64) -> Listed {
        let code = Code::File { device: (8, 1), inode, bias: 0 };
        Listed { range: start..end, code, image: inode as u32, name: 1, read, seen: read }
    }

    fn change(time: u64, start: u64, end: u64, inode: u64) -> Change {
        Change { time, start, end, code: Code::File { device: (8, 1), inode, bias: 0 }, name: 1 }
    }

    /// Each change beside each range.
    fn slowly(judge: &Judge<'_>, ranges: &[Listed]) -> Suspects {
        let mut suspects = Suspects::default();
        for listed in ranges {
            let overlaps = |change: &&Change| change.start < listed.range.end && listed.range.start < change.end;
            let later = judge.changes.iter().rev().filter(|change| change.time > listed.read);
            let mut later = later.filter(|change| change.time <= judge.until).filter(overlaps);
            let settles = |change: &&Change| change.code != listed.code || judge.by_last && change.covers(listed);
            match later.find(settles) {
                Some(change) if change.code != listed.code => suspects.ranges.push(listed.clone()),
                Some(_) => {}
                None => suspects.all |= judge.forgotten > listed.read,
            }
        }
        suspects
    }

    #[test]
    fn what_is_found_is_what_each_change_beside_each_range_says() {
        // A generator of Knuth's (MMIX).
        let mut state = 1u64;
        let mut random = move |below: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % below
        };
        for round in 0..3000 {
            let mut ranges = Vec::new();
            let mut end = 0;
            for _ in 0..random(12) {
                let start = end + random(3);
                end = start + 1 + random(4);
                ranges.push(listed(start, end, random(3), random(20)));
            }
            let mut changes: Vec<Change> = (0..random(12))
                .map(|_| {
                    let start = random(40);
                    change(1 + random(30), start, start + 1 + random(10), random(3))
                })
                .collect();
            changes.sort_by_key(|change| change.time);
            // Before all that is kept.
            let forgotten = random(2) * changes.first().map_or(5, |change| change.time - 1);
            let until = if random(2) == 0 { u64::MAX } else { random(30) };
            let judge =
                Judge { changes: &changes, aliases: &Aliases::default(), until, by_last: random(2) == 0, forgotten };
            assert_eq!(judge.judge(&ranges).0, slowly(&judge, &ranges), "{round}: {judge:?} {ranges:?}");
        }
    }

    #[test]
    fn many_ranges_and_changes_take_few_steps() {
        let ranges: Vec<Listed> = (0..10_000).map(|at| listed(at * 16, at * 16 + 8, 1, 5)).collect();
        let steps = |changes: &[Change], by_last| {
            let judge = Judge { changes, aliases: &Aliases::default(), until: u64::MAX, by_last, forgotten: 0 };
            let (suspects, steps) = judge.judge(&ranges);
            (suspects.ranges.len(), steps)
        };
        // One range each, of other code and of the same.
        let other: Vec<Change> = (0..1000).map(|at| change(10 + at, at * 160, at * 160 + 8, 2)).collect();
        let same: Vec<Change> = other.iter().map(|change| Change { code: ranges[0].code, ..*change }).collect();
        for by_last in [false, true] {
            assert_eq!(steps(&other, by_last), (1000, 1000));
            assert_eq!(steps(&same, by_last), (0, 1000));
        }
        // All ranges each.
        let all: Vec<Change> = other.iter().map(|change| Change { start: 0, end: u64::MAX, ..*change }).collect();
        assert_eq!((steps(&all, false), steps(&all, true)), ((10_000, 10_000), (10_000, 10_000)));
        // Nothing has come since they were read.
        let before: Vec<Change> = all.iter().map(|change| Change { time: 5, ..*change }).collect();
        assert_eq!(steps(&before, true), (0, 0));
    }

    #[test]
    fn of_what_finds_no_room_nothing_is_trusted() {
        let mut of_waits = OfWaits::default();
        let mut dropped = 0;
        for epoch in 1..=10 {
            let range = |at| Suspects { all: false, ranges: vec![listed(at, at + 1, 1, 5)] };
            for suspects in [range(3), range(1), range(3)] {
                dropped += of_waits.add_within(epoch, &suspects, (9, 5));
            }
        }
        assert_eq!(dropped, 7);
        assert_eq!((of_waits.size, of_waits.known.len(), of_waits.whole.len(), of_waits.whole_until), (9, 3, 5, 2));
        let starts = |suspects: &Suspects| suspects.ranges.iter().map(|listed| listed.range.start).collect::<Vec<_>>();
        for epoch in 8..=10 {
            assert!(of_waits.get(epoch).is_some_and(|suspects| !suspects.all && starts(&suspects) == [1, 3]));
        }
        for epoch in 1..=7 {
            assert!(of_waits.get(epoch).is_some_and(|suspects| suspects.all), "{epoch}");
        }
        assert_eq!(of_waits.get(11), None);
        // It is so already.
        assert_eq!(of_waits.add(7, &Suspects::all()) + of_waits.add(1, &Suspects::all()), 0);
    }
}
