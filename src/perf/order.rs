//! Time order across rings.
//!
//! Each ring is in order of time; several rings read one after the other are not. One pass over all rings is a round.
//! What came in up to the end of the *previous* round cannot be preceded by anything that is still to come, as every
//! ring has been read since:
//!
//! ```text
//! round 1:  ring 0  a....c        ring 1  ..b...d     in: a c b d
//! round 2:  ring 0        e..g    ring 1        .f.   in: e g f    out: a b c d   (all up to d, round 1's latest)
//! ```
//! The kernel stamps a record shortly before it is visible; a record that is late by more than a round comes out late,
//! and is counted.
//!
//! See `tools/perf/Documentation/perf.data-file-format.txt`, `PERF_RECORD_FINISHED_ROUND`.

/// Sorts what several rings bring, round by round.
#[derive(Clone, Debug)]
pub struct RoundSorter<T> {
    /// In order of arrival; equal times keep it.
    pending: Vec<(u64, T)>,
    /// The latest time of this round, and of the previous one.
    latest: u64,
    limit: u64,
    released: u64,
    late: u64,
}

impl<T> Default for RoundSorter<T> {
    fn default() -> Self {
        RoundSorter { pending: Vec::new(), latest: 0, limit: 0, released: 0, late: 0 }
    }
}

impl<T: Copy> RoundSorter<T> {
    /// Takes in one item.
    pub fn push(&mut self, time: u64, item: T) {
        self.latest = self.latest.max(time);
        // What has no time is not late.
        if time != 0 && time < self.released {
            self.late += 1;
        }
        self.pending.push((time, item));
    }

    /// Ends a round, and moves to `out` what nothing can precede any more.
    pub fn finish_round(&mut self, out: &mut Vec<T>) {
        self.release(self.limit, out);
        self.limit = self.latest;
    }

    /// Moves all that is left to `out`.
    pub fn finish(&mut self, out: &mut Vec<T>) {
        self.release(u64::MAX, out);
    }

    /// How many items came in later than a later one had gone out.
    pub fn late(&self) -> u64 {
        self.late
    }

    fn release(&mut self, limit: u64, out: &mut Vec<T>) {
        self.pending.sort_by_key(|(time, _)| *time);
        let count = self.pending.partition_point(|(time, _)| *time <= limit);
        if let Some((time, _)) = self.pending[..count].last() {
            self.released = self.released.max(*time);
        }
        out.extend(self.pending.drain(..count).map(|(_, item)| item));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_come_out_in_order() {
        let mut sorter = RoundSorter::default();
        let mut out = Vec::new();
        for time in [1, 5, 3, 7] {
            sorter.push(time, time);
        }
        sorter.finish_round(&mut out);
        assert!(out.is_empty());
        for time in [8, 12, 6, 10] {
            sorter.push(time, time);
        }
        sorter.finish_round(&mut out);
        assert_eq!(out, [1, 3, 5, 6, 7]);
        sorter.finish(&mut out);
        assert_eq!(out, [1, 3, 5, 6, 7, 8, 10, 12]);
        assert_eq!(sorter.late(), 0);
    }

    #[test]
    fn equal_times_keep_their_order() {
        let mut sorter = RoundSorter::default();
        let mut out = Vec::new();
        for item in 0..50 {
            sorter.push(9, item);
        }
        sorter.finish(&mut out);
        assert_eq!(out, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn late_items_are_counted() {
        let mut sorter = RoundSorter::default();
        let mut out = Vec::new();
        sorter.push(10, 10);
        sorter.finish_round(&mut out);
        sorter.push(20, 20);
        sorter.finish_round(&mut out);
        sorter.push(5, 5);
        assert_eq!((out.as_slice(), sorter.late()), ([10].as_slice(), 1));
    }
}
