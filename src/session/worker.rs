//! The thread that turns chunks of records into a profile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::perf::record::{self, Layout};
use crate::perf::{RoundSorter, record::parse};
use crate::recorder::Recorder;
use crate::sampler::Chunks;

/// What the thread has done so far, for progress.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub samples: AtomicU64,
    pub lost: AtomicU64,
}

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

/// Takes all chunks in, in order of time, until the drain thread has ended.
pub(super) fn run(chunks: &Chunks, mut recorder: Recorder, layout: &Layout, done: &Arc<Done>) -> Recorder {
    let mut sorter = RoundSorter::default();
    let mut held: Vec<Held> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut released: Vec<Place> = Vec::new();
    let mut release = |held: &mut Vec<Held>, free: &mut Vec<usize>, released: &mut Vec<Place>, chunks: &Chunks| {
        for place in released.drain(..) {
            let chunk = &mut held[place.chunk as usize];
            recorder.record(&parse(&chunk.bytes[place.offset as usize..], layout));
            chunk.records -= 1;
            if chunk.records == 0 {
                chunks.recycle(std::mem::take(&mut chunk.bytes));
                free.push(place.chunk as usize);
            }
        }
        let counters = recorder.counters();
        done.samples.store(counters.samples, Ordering::Relaxed);
        done.lost.store(counters.lost, Ordering::Relaxed);
    };
    while let Some(chunk) = chunks.next() {
        if chunk.bytes.is_empty() {
            chunks.recycle(chunk.bytes);
        } else {
            let slot = free.pop().unwrap_or(held.len());
            let mut records = 0;
            let mut offset = 0;
            while let Some((_, size)) = chunk.bytes.get(offset..).and_then(record::header) {
                let Some(bytes) = chunk.bytes.get(offset..offset + size) else { break };
                sorter.push(record::time(bytes, layout), Place { chunk: slot as u32, offset: offset as u32 });
                records += 1;
                offset += size;
            }
            let taken = Held { bytes: chunk.bytes, records };
            if slot == held.len() {
                held.push(taken);
            } else {
                held[slot] = taken;
            }
        }
        if chunk.ends_round {
            sorter.finish_round(&mut released);
            release(&mut held, &mut free, &mut released, chunks);
        }
    }
    sorter.finish(&mut released);
    release(&mut held, &mut free, &mut released, chunks);
    recorder
}
