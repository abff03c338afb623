//! Puts records that came in another order into order of time, and feeds the recorder.

use crate::perf::record::{self, parse};
use crate::perf::{Layout, Layouts, RoundSorter};

use super::{RecordedEvent, Recorder};

/// A chunk whose records are not all released yet.
#[derive(Debug, Default)]
struct Held {
    bytes: Vec<u8>,
    records: u32,
}

/// Where a record is: in which file or held chunk (upper 24 bits), and at which byte of it (lower 40).
///
/// One word, as a recording without rounds keeps one for each of its records.
#[derive(Clone, Copy, Debug)]
struct Place(u64);

impl Place {
    const OFFSET_BITS: u32 = 40;

    fn new(chunk: usize, offset: usize) -> Option<Place> {
        let (chunk, offset) = (chunk as u64, offset as u64);
        (chunk < 1 << (64 - Place::OFFSET_BITS) && offset < 1 << Place::OFFSET_BITS)
            .then_some(Place(chunk << Place::OFFSET_BITS | offset))
    }

    fn chunk(self) -> usize {
        (self.0 >> Place::OFFSET_BITS) as usize
    }

    fn offset(self) -> usize {
        (self.0 & ((1 << Place::OFFSET_BITS) - 1)) as usize
    }
}

/// Records of a recording that are handed over together: enough to share among CPUs, and with stack copies of 64 KiB
/// still no more than 32 MiB to be in memory.
const BATCH: usize = 512;

/// Who takes in records that are in order.
pub trait Sink {
    /// Takes in the next records.
    ///
    /// Each is given as its bytes, header first and whole, and its layout.
    fn take<'a>(&mut self, records: impl Iterator<Item = (&'a [u8], &'a Layout)>);

    /// A record has come in, out of order; its turn comes later. Only told of what comes from rings.
    fn arrives(&mut self, _record: &[u8], _layout: &Layout) {}

    /// An event became known while records came; the samples of event `n` are of the `n`th.
    fn add_event(&mut self, _event: RecordedEvent) {}

    /// All that could be put into order has been taken.
    fn end_round(&mut self) {}

    /// All has been taken; so many records came later than one of a later time.
    fn end(&mut self, _late: u64) {}
}

impl Sink for Recorder {
    fn take<'a>(&mut self, records: impl Iterator<Item = (&'a [u8], &'a Layout)>) {
        self.record_all(records.map(|(bytes, layout)| parse(bytes, layout)));
    }

    fn arrives(&mut self, record: &[u8], layout: &Layout) {
        Recorder::arrives(self, record, layout);
    }

    fn add_event(&mut self, event: RecordedEvent) {
        Recorder::add_event(self, event);
    }

    fn end(&mut self, late: u64) {
        self.counters.late = late;
    }
}

/// Feeds records to a recorder, in order of time.
///
/// A record is in a file, which is there for as long as the feed is, or in a chunk, which is held until all its records are
/// released and then given back.
#[derive(Debug)]
pub struct Feed<'f, S = Recorder> {
    recorder: S,
    layouts: Layouts,
    sorter: RoundSorter<Place>,
    files: Vec<&'f [u8]>,
    held: Vec<Held>,
    free: Vec<usize>,
    released: Vec<Place>,
    /// So many records are released at a time, if not all.
    batch: usize,
    unknown_ids: u64,
    beyond: u64,
}

impl<S: Sink> Feed<'static, S> {
    /// Feeds `recorder` with what comes from rings, all of one layout.
    pub fn of_rings(recorder: S, layout: Layout) -> Feed<'static, S> {
        Feed::of_rings_with(recorder, Layouts::single(layout))
    }

    /// The same, of several events.
    pub fn of_rings_with(recorder: S, layouts: Layouts) -> Feed<'static, S> {
        Feed { batch: 1, ..Feed::new(recorder, layouts, Vec::new()) }
    }
}

impl<'f, S: Sink> Feed<'f, S> {
    /// Feeds `recorder` with records of `layouts`, some of which are in `files`.
    pub fn new(recorder: S, layouts: Layouts, files: Vec<&'f [u8]>) -> Feed<'f, S> {
        Feed {
            recorder,
            layouts,
            sorter: RoundSorter::default(),
            files,
            held: Vec::new(),
            free: Vec::new(),
            released: Vec::new(),
            batch: BATCH,
            unknown_ids: 0,
            beyond: 0,
        }
    }

    /// The layouts, to which events may be added that become known later.
    pub fn layouts(&mut self) -> &mut Layouts {
        &mut self.layouts
    }

    /// Takes in whole records, one after the other; what is cut at the end is left out.
    pub fn take(&mut self, bytes: Vec<u8>) {
        let mut offsets = Vec::new();
        let mut offset = 0;
        let order = self.layouts.all().first().map(|layout| layout.order).unwrap_or_default();
        while let Some((_, _, size)) = bytes.get(offset..).and_then(|rest| record::header(rest, order)) {
            if bytes.len() - offset < size {
                break;
            }
            offsets.push(offset as u32);
            offset += size;
        }
        for offset in &offsets {
            let record = &bytes[*offset as usize..];
            if let (Some(layout), Some((_, _, size))) = (self.layouts.of(record), record::header(record, order)) {
                self.recorder.arrives(&record[..size], layout);
            }
        }
        self.take_records(bytes, &offsets);
    }

    /// Takes in the records that begin at `offsets` of `bytes`, all of which are whole.
    pub fn take_records(&mut self, bytes: Vec<u8>, offsets: &[u32]) {
        let slot = self.free.pop().unwrap_or(self.held.len());
        let mut records = 0;
        for offset in offsets {
            let offset = *offset as usize;
            records += u32::from(self.push(&bytes[offset..], self.files.len() + slot, offset));
        }
        if slot == self.held.len() {
            self.held.push(Held::default());
        }
        if records == 0 {
            self.free.push(slot);
            return;
        }
        self.held[slot] = Held { bytes, records };
    }

    /// Takes in the record that begins at `offset` of file number `file`, and is whole.
    pub fn take_from_file(&mut self, file: usize, offset: usize) {
        let record = &self.files[file][offset..];
        self.push(record, file, offset);
    }

    fn push(&mut self, record: &[u8], chunk: usize, offset: usize) -> bool {
        let Some(layout) = self.layouts.of(record) else {
            self.unknown_ids += 1;
            return false;
        };
        let Some(place) = Place::new(chunk, offset) else {
            self.beyond += 1;
            return false;
        };
        // What has no time was so when it was read (`ordered_events__queue`, tools/perf/util/ordered-events.c).
        let time = record::time(record, layout);
        self.sorter.push(if time == u64::MAX { 0 } else { time }, place);
        true
    }

    /// How many records were of no known event.
    pub fn unknown_ids(&self) -> u64 {
        self.unknown_ids
    }

    /// How many records were further back in a file than 1 TiB, and are left out.
    pub fn beyond(&self) -> u64 {
        self.beyond
    }

    /// Ends a round: all rings have been read since the last one ended. Chunks that are done with go to `recycle`.
    pub fn end_round(&mut self, recycle: impl FnMut(Vec<u8>)) {
        self.sorter.finish_round(&mut self.released);
        if self.released.len() >= self.batch {
            self.release(recycle, &mut |_| true);
        }
    }

    /// The recorder, which has now taken in everything.
    ///
    /// `go_on` is told now and then how many bytes were taken in since the last time, and says whether to go on.
    pub fn finish(mut self, go_on: &mut dyn FnMut(u64) -> bool) -> S {
        self.sorter.finish(&mut self.released);
        self.release(drop, go_on);
        self.recorder.end(self.sorter.late());
        self.recorder
    }

    /// The recorder as far as it is.
    pub fn recorder(&mut self) -> &mut S {
        &mut self.recorder
    }

    fn release(&mut self, mut recycle: impl FnMut(Vec<u8>), go_on: &mut dyn FnMut(u64) -> bool) {
        let Feed { recorder, layouts, files, held, .. } = self;
        for group in self.released.chunks(BATCH) {
            let mut bytes = 0;
            let records = group.iter().filter_map(|place| {
                let source = match place.chunk().checked_sub(files.len()) {
                    None => files[place.chunk()],
                    Some(slot) => &held[slot].bytes,
                };
                let record = &source[place.offset()..];
                let layout = layouts.of(record)?;
                let (_, _, size) = record::header(record, layout.order)?;
                bytes += size as u64;
                Some((record.get(..size)?, layout))
            });
            recorder.take(records);
            for place in group {
                let Some(slot) = place.chunk().checked_sub(files.len()) else { continue };
                let chunk = &mut held[slot];
                chunk.records -= 1;
                if chunk.records == 0 {
                    recycle(std::mem::take(&mut chunk.bytes));
                    self.free.push(slot);
                }
            }
            if !go_on(bytes) {
                break;
            }
        }
        self.released.clear();
        recorder.end_round();
    }
}
