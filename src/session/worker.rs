//! The thread that turns chunks of records into a profile.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::recorder::{Feed, Recorder};
use crate::sampler::Chunks;

/// What the thread has done so far, for progress.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub samples: AtomicU64,
    pub lost: AtomicU64,
}

/// Takes all chunks in until the drain thread has ended.
pub(super) fn run(chunks: &Chunks, mut feed: Feed<'_>, done: &Done) -> Recorder {
    while let Some(chunk) = chunks.next() {
        if chunk.bytes.is_empty() {
            chunks.recycle(chunk.bytes);
        } else {
            feed.take(chunk.bytes);
        }
        if chunk.ends_round {
            feed.end_round(|bytes| chunks.recycle(bytes));
            let counters = feed.recorder().counters();
            done.samples.store(counters.samples, Ordering::Relaxed);
            done.lost.store(counters.lost, Ordering::Relaxed);
        }
    }
    feed.finish(&mut |_| true)
}
