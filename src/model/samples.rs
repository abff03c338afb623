//! The samples of a profile: 24 bytes each, as what many of them share is stored once.

use super::address::Timestamp;
use super::id::{EventId, StackId, ThreadId};
use super::intern::Interner;
use super::reason::StackEnd;

/// One sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When it was taken; [`Timestamp::UNKNOWN`] if that is not known, or if it is what was added up over all the time.
    pub time: Timestamp,
    /// On which thread.
    pub thread: ThreadId,
    /// On which CPU; [`Sample::NO_CPU`] if that is not known.
    pub cpu: u32,
    /// With which stack.
    pub stack: StackId,
    /// How that stack ends.
    pub end: StackEnd,
    /// What it counts.
    pub event: EventId,
    /// How much: the period, in the event's unit.
    pub value: u64,
    /// How many samples this row stands for: 1, more of stacks that another program had counted, or 0 if it is an estimate of
    /// what was not sampled.
    pub count: u32,
}

impl Sample {
    /// Stands for a CPU that is not known.
    pub const NO_CPU: u32 = u32::MAX;

    /// Whether it is known when it was taken.
    pub fn has_time(&self) -> bool {
        self.time != Timestamp::UNKNOWN
    }

    fn shared(&self) -> Shared {
        let count = (u64::from(self.count) != self.value).then_some(self.count);
        Shared { thread: self.thread, cpu: self.cpu, end: self.end, event: self.event, count }
    }
}

/// What samples have in common: a thread on a CPU has thousands that differ in time, stack and value only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Shared {
    thread: ThreadId,
    cpu: u32,
    end: StackEnd,
    event: EventId,
    /// Nothing if it is the value: stacks that another program had counted have many.
    count: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    time: Timestamp,
    value: u64,
    stack: StackId,
    shared: u32,
}

const _: () = assert!(size_of::<Row>() == 24, "a recording of hours has a row for each of its samples");

/// All samples of a profile, in rows that are numbered from 0.
#[derive(Clone, Debug, Default)]
pub struct SampleTable {
    rows: Vec<Row>,
    shared: Interner<Shared>,
}

impl SampleTable {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The sample of row `row`, which must be there.
    pub fn get(&self, row: usize) -> Sample {
        self.sample(&self.rows[row])
    }

    /// The last one.
    pub fn last(&self) -> Option<Sample> {
        self.rows.last().map(|row| self.sample(row))
    }

    /// All, in the order of the rows.
    pub fn iter(&self) -> Samples<'_> {
        Samples { rows: self.rows.iter(), shared: &self.shared }
    }

    /// Adds one at the end.
    pub fn push(&mut self, sample: Sample) {
        let row = self.row(&sample);
        self.rows.push(row);
    }

    /// Changes the sample of row `row`, which must be there.
    pub fn set(&mut self, row: usize, sample: Sample) {
        self.rows[row] = self.row(&sample);
    }

    /// Changes each, in the order of the rows.
    pub fn change(&mut self, mut change: impl FnMut(&mut Sample)) {
        for row in 0..self.rows.len() {
            let mut sample = self.get(row);
            change(&mut sample);
            self.set(row, sample);
        }
    }

    /// Keeps those that `keep` says.
    pub fn retain(&mut self, mut keep: impl FnMut(&Sample) -> bool) {
        let SampleTable { rows, shared } = self;
        rows.retain(|row| keep(&sample(row, shared)));
    }

    /// Puts them in order of time; those of one time keep theirs.
    pub fn sort_by_time(&mut self) {
        if !self.rows.is_sorted_by_key(|row| row.time) {
            self.rows.sort_by_key(|row| row.time);
        }
    }

    fn row(&mut self, sample: &Sample) -> Row {
        let Sample { time, value, stack, .. } = *sample;
        let shared = sample.shared();
        // Most are as the one before.
        let shared = match self.rows.last() {
            Some(last) if self.shared.values()[last.shared as usize] == shared => last.shared,
            _ => self.shared.intern(shared),
        };
        Row { time, value, stack, shared }
    }

    fn sample(&self, row: &Row) -> Sample {
        sample(row, &self.shared)
    }
}

fn sample(row: &Row, shared: &Interner<Shared>) -> Sample {
    let Shared { thread, cpu, end, event, count } = shared.values()[row.shared as usize];
    let count = count.unwrap_or(row.value as u32);
    Sample { time: row.time, thread, cpu, stack: row.stack, end, event, value: row.value, count }
}

/// All samples of a table, in the order of its rows.
#[derive(Clone, Debug)]
pub struct Samples<'a> {
    rows: std::slice::Iter<'a, Row>,
    shared: &'a Interner<Shared>,
}

impl Iterator for Samples<'_> {
    type Item = Sample;

    fn next(&mut self) -> Option<Sample> {
        self.rows.next().map(|row| sample(row, self.shared))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rows.size_hint()
    }
}

impl ExactSizeIterator for Samples<'_> {}

impl<'a> IntoIterator for &'a SampleTable {
    type Item = Sample;
    type IntoIter = Samples<'a>;

    fn into_iter(self) -> Samples<'a> {
        self.iter()
    }
}

impl Extend<Sample> for SampleTable {
    fn extend<I: IntoIterator<Item = Sample>>(&mut self, samples: I) {
        samples.into_iter().for_each(|sample| self.push(sample));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Truncation;

    fn sample(time: u64, thread: u32) -> Sample {
        Sample {
            time: Timestamp(time),
            thread: ThreadId(thread),
            cpu: thread % 4,
            stack: StackId(time as u32 / 2),
            end: if time.is_multiple_of(3) { StackEnd::Truncated(Truncation::StackCopy) } else { StackEnd::Root },
            event: EventId(thread / 2),
            value: time * 1000,
            count: u32::from(!time.is_multiple_of(5)),
        }
    }

    #[test]
    fn samples_come_out_as_they_went_in() {
        let samples: Vec<Sample> = (0..200).map(|number| sample(200 - number, number as u32 % 7)).collect();
        let mut table = SampleTable::default();
        table.extend(samples.iter().copied());
        assert_eq!(table.iter().collect::<Vec<_>>(), samples);
        assert!(table.shared.values().len() <= 7 * 2 * 2);
        table.sort_by_time();
        assert_eq!((table.get(0).time, table.last().map(|sample| sample.time)), (Timestamp(1), Some(Timestamp(200))));
        table.retain(|sample| sample.thread == ThreadId(3));
        table.change(|sample| sample.stack = StackId(9));
        assert!(
            table.len() < 40 && table.iter().all(|sample| sample.thread == ThreadId(3) && sample.stack == StackId(9))
        );
    }
}
