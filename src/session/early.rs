//! Has debug files fetched while a recording goes on, so that they are here when it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashSet;

use crate::debuginfod::{Downloads, hot};
use crate::model::BuildId;
use crate::recorder::Recorder;

/// Looks now and then which images are hot and have no debug information.
#[derive(Debug)]
pub(super) struct Early {
    downloads: Arc<Downloads>,
    /// Builds that were looked at: they have debug information, or are asked for.
    known: FxHashSet<BuildId>,
    next: Instant,
}

/// How often it is looked at the least.
const BEAT: Duration = Duration::from_secs(1);
/// Looking takes as much of the time at most: 1 / this.
const SPARING: u32 = 100;
/// With fewer samples everything that was seen is hot.
const LEAST_SAMPLES: usize = 50;

impl Early {
    pub fn new(downloads: Arc<Downloads>) -> Early {
        Early { downloads, known: FxHashSet::default(), next: Instant::now() + BEAT }
    }

    /// Asks for what has become hot, if it is time to look.
    pub fn look(&mut self, recorder: &Recorder) {
        let now = Instant::now();
        let (profile, images) = recorder.so_far();
        if now < self.next || profile.samples.len() < LEAST_SAMPLES {
            return;
        }
        let mut wanted = hot(profile);
        wanted.retain(|wanted| self.known.insert(wanted.build_id) && !images.has_debug_info(wanted.image));
        // At the end it is tried once more, and said if that fails.
        let _ = self.downloads.add(wanted);
        self.next = Instant::now() + BEAT.max(now.elapsed() * SPARING);
    }
}
