//! Puts what several rings bring into order of time, and feeds the recorder.

use crate::perf::RoundSorter;
use crate::perf::record::{self, Layout, parse};

use super::Recorder;

/// A chunk whose records are not all released yet.
#[derive(Debug, Default)]
struct Held {
    bytes: Vec<u8>,
    records: u32,
}

/// Where a record is: in which held chunk, and at which byte of it.
#[derive(Clone, Copy, Debug)]
struct Place {
    chunk: u32,
    offset: u32,
}

/// Feeds chunks of records to a recorder, in order of time.
#[derive(Debug)]
pub struct Feed {
    recorder: Recorder,
    layout: Layout,
    sorter: RoundSorter<Place>,
    held: Vec<Held>,
    free: Vec<usize>,
    released: Vec<Place>,
}

impl Feed {
    /// Feeds `recorder` with records of `layout`.
    pub fn new(recorder: Recorder, layout: Layout) -> Feed {
        let (held, free, released) = (Vec::new(), Vec::new(), Vec::new());
        Feed { recorder, layout, sorter: RoundSorter::default(), held, free, released }
    }

    /// Takes in whole records, one after the other; what is cut at the end is left out.
    pub fn take(&mut self, bytes: Vec<u8>) {
        let slot = self.free.pop().unwrap_or(self.held.len());
        let (mut records, mut offset) = (0, 0);
        while let Some((_, size)) = bytes.get(offset..).and_then(record::header) {
            let Some(record) = bytes.get(offset..offset + size) else { break };
            let place = Place { chunk: slot as u32, offset: offset as u32 };
            self.sorter.push(record::time(record, &self.layout), place);
            records += 1;
            offset += size;
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

    /// Ends a round: all rings have been read since the last one ended. Chunks that are done with go to `recycle`.
    pub fn end_round(&mut self, recycle: impl FnMut(Vec<u8>)) {
        self.sorter.finish_round(&mut self.released);
        self.release(recycle);
    }

    /// The recorder, which has now taken in everything.
    pub fn finish(mut self) -> Recorder {
        self.sorter.finish(&mut self.released);
        self.release(drop);
        self.recorder.counters.late = self.sorter.late();
        self.recorder
    }

    /// The recorder as far as it is.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    fn release(&mut self, mut recycle: impl FnMut(Vec<u8>)) {
        for place in self.released.drain(..) {
            let chunk = &mut self.held[place.chunk as usize];
            self.recorder.record(&parse(&chunk.bytes[place.offset as usize..], &self.layout));
            chunk.records -= 1;
            if chunk.records == 0 {
                recycle(std::mem::take(&mut chunk.bytes));
                self.free.push(place.chunk as usize);
            }
        }
    }
}
