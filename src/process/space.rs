//! What is mapped where in one process.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::ImageId;

/// A range of a process's memory that code may run in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// One past the last address.
    pub end: u64,
    /// Where in the image `start` is: a file offset for files; for JIT memory the address itself.
    pub offset: u64,
    /// What is mapped.
    pub image: ImageId,
}

impl Mapping {
    /// The offset in the image of `address`, which must be in the mapping.
    pub fn offset_of(&self, address: u64) -> u64 {
        // The offset is whatever a recording says.
        self.offset.wrapping_add(address - self.start)
    }
}

/// The executable mappings of one process at one moment: sorted, and without overlap, as a later mapping cuts an
/// earlier one.
#[derive(Clone, Debug, Default)]
pub struct AddressSpace {
    mappings: Vec<Mapping>,
    stamp: u64,
}

impl AddressSpace {
    /// A number that changes with every change of a mapping; equal stamps are equal mappings, in all processes.
    ///
    /// For caches: a forked child shares its parent's until one of them maps something.
    pub fn stamp(&self) -> u64 {
        self.stamp
    }

    /// Maps a range, and cuts what was mapped there before; empty and inverted ranges are passed over.
    pub fn insert(&mut self, mapping: Mapping) {
        if mapping.start >= mapping.end {
            return;
        }
        if self.find(mapping.start) == Some(&mapping) {
            return;
        }
        self.remove(mapping.start, mapping.end);
        let at = self.mappings.partition_point(|known| known.start < mapping.start);
        self.mappings.insert(at, mapping);
        self.stamp = next_stamp();
    }

    /// Unmaps a range.
    pub fn remove(&mut self, start: u64, end: u64) {
        let first = self.mappings.partition_point(|known| known.end <= start);
        let last = self.mappings.partition_point(|known| known.start < end);
        if first >= last {
            return;
        }
        let (left, right) = (self.mappings[first], self.mappings[last - 1]);
        let before = (left.start < start).then_some(Mapping { end: start, ..left });
        let after = (right.end > end).then(|| Mapping { start: end, offset: right.offset_of(end), ..right });
        self.mappings.splice(first..last, before.into_iter().chain(after));
        self.stamp = next_stamp();
    }

    /// Whether anything is mapped in a range.
    pub fn overlaps(&self, start: u64, end: u64) -> bool {
        let first = self.mappings.partition_point(|known| known.end <= start);
        self.mappings.get(first).is_some_and(|known| known.start < end)
    }

    /// The mapping that `address` is in.
    pub fn find(&self, address: u64) -> Option<&Mapping> {
        let at = self.mappings.partition_point(|mapping| mapping.end <= address);
        self.mappings.get(at).filter(|mapping| mapping.start <= address)
    }

    /// All mappings, lowest first.
    pub fn mappings(&self) -> &[Mapping] {
        &self.mappings
    }
}

fn next_stamp() -> u64 {
    static STAMP: AtomicU64 = AtomicU64::new(1);
    STAMP.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(inserts: &[(u64, u64, u32)], expected: &[(u64, u64, u64, u32)]) {
        let mut space = AddressSpace::default();
        for (start, end, image) in inserts {
            space.insert(Mapping { start: *start, end: *end, offset: start * 10, image: ImageId(*image) });
        }
        let got: Vec<_> = space
            .mappings()
            .iter()
            .map(|mapping| (mapping.start, mapping.end, mapping.offset, mapping.image.0))
            .collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn later_mapping_cuts_earlier() {
        check(&[(10, 20, 1), (20, 30, 2)], &[(10, 20, 100, 1), (20, 30, 200, 2)]);
        check(&[(10, 20, 1), (10, 20, 2)], &[(10, 20, 100, 2)]);
        check(&[(10, 40, 1), (20, 30, 2)], &[(10, 20, 100, 1), (20, 30, 200, 2), (30, 40, 120, 1)]);
        check(&[(10, 20, 1), (20, 30, 2), (15, 25, 3)], &[(10, 15, 100, 1), (15, 25, 150, 3), (25, 30, 205, 2)]);
        check(&[(10, 20, 1), (30, 40, 2), (5, 50, 3)], &[(5, 50, 50, 3)]);
    }

    #[test]
    fn inverted_mapping_is_passed_over() {
        check(&[(20, 10, 1), (5, 5, 2)], &[]);
    }

    #[test]
    fn find_is_half_open() {
        let mut space = AddressSpace::default();
        space.insert(Mapping { start: 10, end: 20, offset: 0, image: ImageId(1) });
        assert!(space.find(9).is_none() && space.find(20).is_none());
        assert_eq!(space.find(10).map(|mapping| mapping.offset_of(15)), Some(5));
    }
}
