//! Epochs of address spaces: what was listed of a process when stacks of it were walked in the kernel.
//!
//! A program in the kernel walks by lists of mappings that were read from `/proc/PID/maps` some time before. A list has an *epoch*,
//! which stays the same as long as each range of addresses that was in it has the same code in it. So all that is to be known of an
//! epoch is which code was listed where, and when that was read first; by the records of mappings it can be told then whether other
//! code was there when a stack was walked ([`super::changes`]).

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustc_hash::FxHashMap;

use super::aliases::Aliases;
use super::code::{Change, Code, Listed};

/// So many ranges of epochs are kept that are not used any more: the last stacks of those may still be on their way, and waits are
/// judged at the end. A range takes 72 bytes.
const MOST_RETIRED: usize = 100_000;

/// What was listed in an epoch.
#[derive(Debug)]
pub struct Epoch {
    ranges: RwLock<Arc<Vec<Listed>>>,
    version: AtomicU32,
    until: AtomicU64,
}

impl Epoch {
    /// A number that changes whenever a range comes.
    pub fn version(&self) -> u32 {
        self.version.load(Ordering::Acquire)
    }

    /// Until when it may have been used, in nanoseconds of `CLOCK_MONOTONIC`, by the process that it was made for.
    pub fn until(&self) -> u64 {
        self.until.load(Ordering::Relaxed)
    }

    /// All ranges that were listed, in order and apart.
    pub fn ranges(&self) -> Arc<Vec<Listed>> {
        self.ranges.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes in what is listed now; says whether that can be: nothing of it is where other code was.
    fn grow(&self, listed: &[Listed]) -> bool {
        let mut ranges = self.ranges.write().unwrap_or_else(PoisonError::into_inner);
        if listed.iter().any(|new| ranges[overlapping(&ranges, &new.range)].iter().any(|known| known.code != new.code))
        {
            return false;
        }
        let mut has_grown = false;
        // Who judges by it has it as it was.
        let ranges = Arc::make_mut(&mut ranges);
        for new in listed {
            has_grown |= add(ranges, new);
        }
        if has_grown {
            self.version.fetch_add(1, Ordering::Release);
        }
        true
    }
}

/// Which of ranges that are in order and apart overlap with one.
fn overlapping(ranges: &[Listed], with: &Range<u64>) -> Range<usize> {
    let first = ranges.partition_point(|known| known.range.end <= with.start);
    first..first + ranges[first..].partition_point(|known| known.range.start < with.end)
}

/// Puts a range where others of the same code may be already: one of all them, since the earliest was read. Says whether that is more.
fn add(ranges: &mut Vec<Listed>, new: &Listed) -> bool {
    let there = overlapping(ranges, &new.range);
    let known = &ranges[there.clone()];
    let mut all = new.clone();
    if let (Some(first), Some(last)) = (known.first(), known.last()) {
        all.range = all.range.start.min(first.range.start)..all.range.end.max(last.range.end);
        if let Some(earliest) = known.iter().min_by_key(|known| known.read).filter(|known| known.read <= new.read) {
            (all.read, all.seen, all.name) = (earliest.read, earliest.seen, earliest.name);
        }
        if known.len() > 1 || all.range != first.range {
            all.name = 0;
        }
        if known.len() == 1 && all == *first {
            return false;
        }
    }
    ranges.splice(there, [all]);
    true
}

/// The epochs, by their numbers; shared between who reads lists and who judges stacks.
#[derive(Debug, Default)]
pub struct Epochs {
    known: Mutex<Known>,
    /// What lists and records call by other numbers, and how much that is.
    aliases: RwLock<Arc<Aliases>>,
    alias_count: AtomicUsize,
}

#[derive(Debug, Default)]
struct Known {
    last: u32,
    epochs: FxHashMap<u32, Arc<Epoch>>,
    /// By process, of recordings of waits: its epochs, with the time at which each was read first.
    told: Option<FxHashMap<u32, Vec<(u32, u64)>>>,
    retired: VecDeque<(u32, usize)>,
    retired_ranges: usize,
}

impl Epochs {
    /// None yet. `with_waits`: it is to be known which epochs a process had.
    pub fn new(with_waits: bool) -> Epochs {
        let told = with_waits.then(FxHashMap::default);
        Epochs { known: Mutex::new(Known { told, ..Known::default() }), ..Epochs::default() }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The epoch of a process whose mappings were read anew: `before`, if no other code is where some was listed in that, or a new
    /// one. It is to be told to the kernel after this only.
    pub fn of_list(&self, pid: u32, before: Option<u32>, listed: &[Listed]) -> u32 {
        if let Some(before) = before
            && let Some(epoch) = self.get(before)
            && epoch.grow(listed)
        {
            return before;
        }
        let mut known = self.known();
        known.last += 1;
        let number = known.last;
        let mut ranges = Vec::with_capacity(listed.len());
        for listed in listed {
            add(&mut ranges, listed);
        }
        let epoch = Epoch {
            ranges: RwLock::new(Arc::new(ranges)),
            version: AtomicU32::new(0),
            until: AtomicU64::new(u64::MAX),
        };
        known.epochs.insert(number, Arc::new(epoch));
        if let Some(told) = &mut known.told {
            let read = listed.iter().map(|listed| listed.read).min().unwrap_or_default();
            told.entry(pid).or_default().push((number, read));
        }
        number
    }

    /// An epoch is not that of its process any more, since now.
    pub fn retire(&self, number: u32, now: u64) {
        let mut known = self.known();
        let Some(epoch) = known.epochs.get(&number) else { return };
        epoch.until.store(now, Ordering::Relaxed);
        let ranges = epoch.ranges.read().unwrap_or_else(PoisonError::into_inner).len() + 1;
        known.retired.push_back((number, ranges));
        known.retired_ranges += ranges;
        while known.retired_ranges > MOST_RETIRED
            && let Some((oldest, ranges)) = known.retired.pop_front()
        {
            known.epochs.remove(&oldest);
            known.retired_ranges -= ranges;
        }
    }

    /// What was listed in an epoch; nothing if that was long ago.
    pub fn get(&self, number: u32) -> Option<Arc<Epoch>> {
        self.known().epochs.get(&number).cloned()
    }

    /// The epochs of a process that were read first by then, with the time of that; they are not told again.
    pub(super) fn take_told(&self, pid: u32, by: u64) -> Vec<(u32, u64)> {
        let mut known = self.known();
        let Some(told) = &mut known.told else { return Vec::new() };
        let Some(all) = told.get_mut(&pid) else { return Vec::new() };
        let (taken, left) = all.iter().partition(|(_, read)| *read <= by);
        *all = left;
        if all.is_empty() {
            told.remove(&pid);
        }
        taken
    }

    /// The epochs of a process that were not taken yet.
    pub(super) fn told_of(&self, pid: u32) -> Vec<(u32, u64)> {
        let known = self.known();
        known.told.as_ref().and_then(|told| told.get(&pid).cloned()).unwrap_or_default()
    }

    /// The epochs of a process that ended before that time are not told again.
    pub(super) fn forget_told(&self, pid: u32, time: u64) {
        let mut known = self.known();
        let Known { told: Some(told), epochs, .. } = &mut *known else { return };
        if let Some(all) = told.get_mut(&pid) {
            all.retain(|(number, _)| epochs.get(number).is_some_and(|epoch| epoch.until() >= time));
        }
    }

    /// The epochs that programs may have known a process by when it forked another, which was at that time or a moment later, as the
    /// record comes before programs are told of it; and whether it had a list of its own for certain.
    ///
    /// An epoch is told to programs some time after it was read, when all that were read before have been told: of the last one it is
    /// not certain.
    pub(super) fn told_at(&self, pid: u32, time: u64) -> (Vec<u32>, bool) {
        let known = self.known();
        let Some(all) = known.told.as_ref().and_then(|told| told.get(&pid)) else { return (Vec::new(), false) };
        let was_over = |number: &u32| known.epochs.get(number).is_some_and(|epoch| epoch.until() < time);
        let may_be = all.iter().map(|(number, _)| *number).filter(|number| !was_over(number)).collect();
        (may_be, all.iter().filter(|(_, read)| *read <= time).count() > 1)
    }

    /// Whether a record of a mapping says the same code as a list.
    pub fn is_same(&self, recorded: &Code, listed: &Code) -> bool {
        recorded == listed || self.aliases().is_same(recorded, listed)
    }

    pub(super) fn aliases(&self) -> Arc<Aliases> {
        self.aliases.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A number that changes whenever more records are known to say the same as lists.
    pub(super) fn alias_count(&self) -> usize {
        self.alias_count.load(Ordering::Relaxed)
    }

    /// Learns what an epoch tells beside the changes of its process, which are known up to `known_until`. Gives when its list was read
    /// that is the last one to have more.
    pub(super) fn learn(&self, epoch: &Epoch, changes: &[Change], known_until: u64) -> u64 {
        let ranges = epoch.ranges();
        let found = self.aliases().found(&ranges, changes, known_until);
        if !found.is_empty() {
            let mut aliases = self.aliases.write().unwrap_or_else(PoisonError::into_inner);
            Arc::make_mut(&mut aliases).add(&found);
            self.alias_count.store(aliases.count(), Ordering::Relaxed);
        }
        ranges.iter().map(|listed| listed.seen).max().unwrap_or_default()
    }

    /// Whether it is known which epochs a process had.
    pub(super) fn with_waits(&self) -> bool {
        self.known().told.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(start: u64, inode: u64, read: u64) -> Listed {
        let code = Code::of(b"/lib/x.so", (8, 1), inode, (start, 0x1000));
        Listed { range: start..start + 0x1000, code, image: inode as u32, name: 1, read, seen: read }
    }

    #[test]
    fn epoch_lasts_until_other_code_is_where_some_was() {
        let epochs = Epochs::new(true);
        let first = epochs.of_list(7, None, &[listed(0x1000, 1, 10)]);
        let version = epochs.get(first).expect("it is there").version();
        assert_eq!(epochs.of_list(7, Some(first), &[listed(0x1000, 1, 20), listed(0x3000, 2, 20)]), first);
        let epoch = epochs.get(first).expect("it is there");
        assert_ne!(epoch.version(), version);
        assert_eq!(epoch.ranges()[..], [listed(0x1000, 1, 10), listed(0x3000, 2, 20)]);
        // A larger one was not read to be there before.
        let large = Listed { range: 0x1000..0x2800, ..listed(0x1000, 1, 25) };
        assert_eq!(epochs.of_list(7, Some(first), &[large]), first);
        assert_eq!(epoch.ranges()[0], Listed { range: 0x1000..0x2800, name: 0, ..listed(0x1000, 1, 10) });
        // What is not listed any more is still that of the epoch.
        assert_eq!(epochs.of_list(7, Some(first), &[listed(0x1000, 1, 30)]), first);
        assert_eq!(epochs.told_at(7, 30), (vec![first], false));
        let second = epochs.of_list(7, Some(first), &[listed(0x1000, 1, 40), listed(0x3000, 3, 40)]);
        assert_ne!(second, first);
        assert_eq!(epochs.get(second).expect("it is there").ranges()[0].read, 40);
        assert_eq!(epochs.told_at(7, 30), (vec![first, second], false));
        assert_eq!(epochs.told_at(7, 40), (vec![first, second], true));
        assert_eq!(epochs.take_told(7, 30), [(first, 10)]);
        assert_eq!(epochs.take_told(7, 40), [(second, 40)]);
        assert_eq!(epochs.told_at(7, 50), (Vec::new(), false));
        assert_eq!((epoch.until(), epochs.retire(first, 50), epoch.until()), (u64::MAX, (), 50));
        assert_eq!(Epochs::new(false).told_at(7, 50), (Vec::new(), false));
    }

    #[test]
    fn epochs_of_long_ago_are_forgotten() {
        let epochs = Epochs::new(false);
        let first = epochs.of_list(1, None, &[listed(0x1000, 1, 1)]);
        epochs.retire(first, 2);
        for pid in 0..MOST_RETIRED as u32 / 2 {
            assert!(epochs.get(first).is_some(), "{pid}");
            let next = epochs.of_list(pid, None, &[listed(0x1000, 1, 1)]);
            epochs.retire(next, 2);
        }
        assert!(epochs.get(first).is_none());
        assert!(epochs.known().retired_ranges <= MOST_RETIRED);
    }
}
