//! The thread that turns chunks of records into a profile, or writes them down.

use std::sync::atomic::{AtomicU64, Ordering};

use super::early::Early;
use super::keeper::Keeper;
use super::stop::Stop;
use crate::recorder::Feed;
use crate::sampler::Chunks;

/// What the thread has done so far, for progress.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub samples: AtomicU64,
    pub lost: AtomicU64,
}

/// Takes all chunks in until the drain thread has ended; presses `stop` when going on is of no use.
pub(super) fn run(
    chunks: &Chunks,
    mut feed: Feed<'_, Keeper>,
    mut early: Option<Early>,
    done: &Done,
    stop: &Stop,
) -> Keeper {
    let mut pressed = false;
    let mut wanted = 0;
    if matches!(feed.recorder(), Keeper::Profile(_)) {
        // Nothing is known yet of how large the stacks are.
        chunks.hasten();
    }
    while let Some(chunk) = chunks.next() {
        if chunk.bytes.is_empty() {
            chunks.recycle(chunk.bytes);
        } else {
            feed.take(chunk.bytes);
        }
        if chunk.ends_round {
            feed.recorder().watch_jit_code();
            feed.end_round(|bytes| chunks.recycle(bytes));
            let counters = feed.recorder().counters();
            done.samples.store(counters.samples, Ordering::Relaxed);
            done.lost.store(counters.lost, Ordering::Relaxed);
            let wanted_before = std::mem::replace(&mut wanted, feed.recorder().stacks_wanted());
            if wanted > wanted_before {
                chunks.hasten();
            }
            if let (Some(early), Keeper::Profile(recorder)) = (&mut early, feed.recorder()) {
                early.look(recorder);
            }
            if !pressed && feed.recorder().has_failed() {
                pressed = true;
                stop.press();
            }
        }
    }
    feed.finish(&mut |_| true)
}
