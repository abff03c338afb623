//! Which layout each record of a recording has.

use rustc_hash::FxHashMap;

use super::record::{self, Layout};

/// The layouts of a recording's events, by the ids that its records carry.
///
/// A live ring has one. In a perf.data events may have different layouts; then all of them put their id at the same place
/// (perf sees to that: `evlist__valid_sample_type`, tools/perf/util/evlist.c).
#[derive(Clone, Debug, Default)]
pub struct Layouts {
    layouts: Vec<Layout>,
    by_id: FxHashMap<u64, u32>,
}

impl Layouts {
    /// One layout for all records.
    pub fn single(layout: Layout) -> Layouts {
        Layouts { layouts: vec![layout], by_id: FxHashMap::default() }
    }

    /// Adds the layout of the next event, whose records carry one of these ids.
    pub fn add(&mut self, layout: Layout, ids: impl IntoIterator<Item = u64>) {
        let row = self.layouts.len() as u32;
        self.layouts.push(layout);
        self.add_ids(row, ids);
    }

    /// More ids of event number `event`.
    pub fn add_ids(&mut self, event: u32, ids: impl IntoIterator<Item = u64>) {
        self.by_id.extend(ids.into_iter().map(|id| (id, event)));
    }

    /// The layouts, in the order of the events.
    pub fn all(&self) -> &[Layout] {
        &self.layouts
    }

    /// The event that has an id.
    pub fn event_of(&self, id: u64) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    /// The layout of a record; nothing if its id is unknown, or there are no events at all.
    pub fn of(&self, record: &[u8]) -> Option<&Layout> {
        let first = self.layouts.first()?;
        if self.layouts.len() == 1 || self.by_id.is_empty() {
            return Some(first);
        }
        match record::identifier(record, first) {
            // What a tool has made up has no id, and the first event's layout.
            None | Some(0) => Some(first),
            Some(id) => self.by_id.get(&id).map(|row| &self.layouts[*row as usize]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perf::attr::SampleFields;
    use crate::perf::record::{Record, kind, parse};

    #[test]
    fn records_are_read_by_the_layout_of_their_event() {
        let plain = SampleFields::IDENTIFIER.with(SampleFields::IP);
        let mut layouts = Layouts::default();
        let layout = |fields, event| Layout { fields, event, sample_id_all: true, ..Layout::default() };
        layouts.add(layout(plain, 0), [7, 8]);
        layouts.add(layout(plain.with(SampleFields::PERIOD), 1), [9]);
        let record = |id: u64| {
            let mut bytes = kind::SAMPLE.to_ne_bytes().to_vec();
            bytes.extend([0, 0]);
            bytes.extend(32u16.to_ne_bytes());
            bytes.extend([id, 0x1000, 55].iter().flat_map(|word| word.to_ne_bytes()));
            bytes
        };
        for (id, expected) in [(8, Some((0, 1))), (9, Some((1, 55))), (10, None)] {
            let bytes = record(id);
            let sample = layouts.of(&bytes).map(|layout| match parse(&bytes, layout) {
                Record::Sample(sample) => (sample.event, sample.period),
                other => panic!("{other:?}"),
            });
            assert_eq!(sample, expected, "{id}");
        }
    }
}
