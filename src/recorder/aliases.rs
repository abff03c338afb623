//! Files that records of mappings know by other numbers than lists of mappings do.
//!
//! On a file system that is made of others (overlayfs, FUSE that passes files through), what is mapped is the file below.
//! `/proc/PID/maps` shows device and inode of the file that was opened (`file_user_inode`, since Linux 6.8); `PERF_RECORD_MMAP2` those
//! of the file below until 6.18, 6.17.5 and 6.12.55 ("perf/core: Fix MMAP2 event device with backing files"), and since 6.7 its path
//! from the root of its layer as well. The devices are others then, and after a copy-up the inodes are too. So the same code would
//! count as other code whenever it is mapped.
//!
//! ```text
//! record of a mapping at t       list, begun at read        done at seen       ...  all records up to here are known
//! 8:1 77 /bin/cat                0:40 77 /merged/bin/cat
//! ```
//! If nothing else was mapped there from `t` to `seen`, they are one mapping, and thus one file. That a record is missing (lost, or
//! for `mremap`, of which there is none) is not to join two files: so both must have the same name, without directories, begin at the
//! same place of the file, and be on two devices. A file that took the place of another of its name is on the same one.

use rustc_hash::FxHashSet;

use super::code::{Change, Code, Listed};

/// So many pairs are known at most.
const MOST: usize = 65_536;
/// So many pairs of a mapping and a range are looked at for one epoch.
const MOST_STEPS: usize = 20_000;

/// Device and inode.
type Numbers = ((u32, u32), u64);

/// Pairs of what a record says and what a list says.
#[derive(Clone, Debug, Default)]
pub(super) struct Aliases(FxHashSet<(Numbers, Numbers)>);

/// Both numbers of a file, if these may be of the same one, and are not.
fn numbers(recorded: &Code, listed: &Code) -> Option<(Numbers, Numbers)> {
    match (*recorded, *listed) {
        (
            Code::File { device: recorded, inode: its_inode, bias: its_bias },
            Code::File { device: listed, inode, bias },
        ) if recorded != listed && its_bias == bias => Some(((recorded, its_inode), (listed, inode))),
        _ => None,
    }
}

impl Aliases {
    /// Whether a record says the same code as a list.
    pub fn is_same(&self, recorded: &Code, listed: &Code) -> bool {
        recorded == listed || numbers(recorded, listed).is_some_and(|both| self.0.contains(&both))
    }

    /// How many are known.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    pub fn add(&mut self, more: &[(Code, Code)]) {
        let both = more.iter().filter_map(|(recorded, listed)| numbers(recorded, listed));
        self.0.extend(both.take(MOST.saturating_sub(self.0.len())));
    }

    /// What ranges of an epoch tell beside the changes of their process, in order of time, which are known up to `known_until`.
    pub fn found(&self, ranges: &[Listed], changes: &[Change], known_until: u64) -> Vec<(Code, Code)> {
        let mut found = Vec::new();
        let mut steps = 0;
        let mut is_open: Vec<bool> =
            ranges.iter().map(|listed| listed.name != 0 && listed.seen <= known_until).collect();
        for change in changes.iter().rev() {
            let first = ranges.partition_point(|listed| listed.range.end <= change.start);
            for (at, listed) in ranges.iter().enumerate().skip(first) {
                steps += 1;
                if listed.range.start >= change.end || steps > MOST_STEPS {
                    break;
                }
                if !is_open[at] || change.time > listed.seen {
                    continue;
                }
                is_open[at] = false;
                let is_it = change.time <= listed.read && change.name == listed.name && change.covers(listed);
                if is_it && numbers(&change.code, &listed.code).is_some() && !self.is_same(&change.code, &listed.code) {
                    found.push((change.code, listed.code));
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::code::name_of;

    const BELOW: (u32, u32) = (8, 1);
    const MERGED: (u32, u32) = (0, 40);

    fn change(time: u64, path: &[u8], device: (u32, u32), inode: u64) -> Change {
        let code = Code::of(path, device, inode, (0x5000, 0x1000));
        Change { time, start: 0x5000, end: 0x8000, code, name: name_of(path) }
    }

    /// Read from 100 to 110.
    fn listed(path: &[u8], device: (u32, u32), inode: u64) -> Listed {
        let code = Code::of(path, device, inode, (0x5000, 0x1000));
        Listed { range: 0x5000..0x8000, code, image: 1, name: name_of(path), read: 100, seen: 110 }
    }

    #[test]
    fn file_of_two_devices_is_learned_from_a_list_after_its_record() {
        let range = listed(b"/merged/bin/cat", MERGED, 77);
        let found = |changes: &[Change], range: &Listed, until| {
            Aliases::default().found(std::slice::from_ref(range), changes, until).len()
        };
        let first = change(50, b"/bin/cat", BELOW, 77);
        // After a copy-up the inode is another one too.
        for first in [first, change(50, b"/bin/cat", BELOW, 5)] {
            assert_eq!(found(&[first], &range, 200), 1);
        }
        // More was mapped elsewhere, before, and later.
        let elsewhere = Change { start: 0x9000, end: 0xa000, ..change(60, b"/other", BELOW, 3) };
        let (before, later) = (change(40, b"/other", BELOW, 3), change(120, b"/other", BELOW, 3));
        assert_eq!(found(&[before, first, elsewhere, later], &range, 200), 1);
        // Not: records are not known so far; something else was mapped since, or while it was read; only a part of it is its mapping.
        assert_eq!(found(&[first], &range, 109), 0);
        assert_eq!(found(&[first, change(90, b"/other", BELOW, 3)], &range, 200), 0);
        assert_eq!(found(&[first, change(105, b"/else/cat", (8, 2), 77)], &range, 200), 0);
        assert_eq!(found(&[Change { end: 0x7000, ..first }], &range, 200), 0);
        // Another name, another place of the file, the same device: another file took its place, and the record was lost.
        assert_eq!(found(&[change(50, b"/bin/tac", BELOW, 77)], &range, 200), 0);
        let moved = Code::of(b"/bin/cat", BELOW, 77, (0x5000, 0x2000));
        assert_eq!(found(&[Change { code: moved, ..first }], &range, 200), 0);
        assert_eq!(found(&[change(50, b"/merged/bin/cat", MERGED, 76)], &range, 200), 0);
        assert_eq!(found(&[first], &Listed { name: 0, ..range }, 200), 0);
    }

    #[test]
    fn only_what_was_learned_is_the_same() {
        let mut aliases = Aliases::default();
        let range = listed(b"/merged/bin/cat", MERGED, 77);
        let first = change(50, b"/bin/cat", BELOW, 77);
        assert!(!aliases.is_same(&first.code, &range.code));
        let found = aliases.found(std::slice::from_ref(&range), &[first], 200);
        aliases.add(&found);
        assert!(aliases.is_same(&first.code, &range.code));
        assert!(aliases.found(std::slice::from_ref(&range), &[first], 200).is_empty());
        // Others of these devices, the file elsewhere, and a file of its name in its place.
        let other = |device, inode, offset| Code::of(b"/bin/cat", device, inode, (0x5000, offset));
        assert!(!aliases.is_same(&other(BELOW, 78, 0x1000), &range.code));
        assert!(!aliases.is_same(&other(BELOW, 77, 0x2000), &range.code));
        assert!(!aliases.is_same(&other(MERGED, 78, 0x1000), &range.code));
        assert!(!aliases.is_same(&other((8, 2), 77, 0x1000), &range.code));
        assert!(aliases.is_same(&other(MERGED, 77, 0x1000), &range.code));
    }
}
