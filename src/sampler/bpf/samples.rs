//! What comes through the ring while samples are taken, as records that take their place among those of the events' rings.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::abi;
use super::ring::{Event, Ring};
use crate::perf::Layout;
use crate::perf::record::unwound::{self, push_sample, push_stack};
use crate::perf::record::{Identity, Unwound};
use crate::sampler::{Beside, Pace};

/// The ring, read beside those of the events.
pub struct Samples {
    ring: Ring,
    /// Told of processes whose mappings are to be read anew.
    stale: Box<dyn FnMut(u32) + Send>,
    /// Stacks that fit into no record.
    unfit: Arc<AtomicU64>,
    pace: Pace,
    /// Whether little was in it when it was read last.
    is_at_ease: bool,
}

/// A ring that holds less than a part like this when it is read may be read less often.
const LITTLE: u64 = 32;

impl std::fmt::Debug for Samples {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Samples").field("ring", &self.ring).finish_non_exhaustive()
    }
}

impl Samples {
    /// Reads `ring`, and tells `stale` which processes' mappings are not those that programs know.
    pub fn new(ring: Ring, pace: Pace, stale: impl FnMut(u32) + Send + 'static) -> Samples {
        Samples { ring, stale: Box::new(stale), unfit: Arc::default(), pace, is_at_ease: false }
    }

    /// How many stacks fitted into no record so far; none do not, as long as stacks have so many frames at most.
    pub fn unfit(&self) -> Arc<AtomicU64> {
        self.unfit.clone()
    }
}

impl Beside for Samples {
    fn drain(&mut self, layout: &Layout, limit: usize, out: &mut Vec<u8>) -> bool {
        self.is_at_ease = self.ring.used() < self.ring.size() / LITTLE;
        let Samples { ring, stale, unfit, .. } = self;
        // A record is at most as large as twice its event: an event of a sample has 48 bytes and 8 more, its record 56.
        let most = (limit.saturating_sub(out.len()) / 2) as u64;
        if most == 0 {
            return false;
        }
        ring.read_some(most, &mut |event| match event {
            Event::Stack(stack) => {
                let named = (stack.head.key, stack.head.end, stack.head.kernel_frames);
                if !push_stack(layout, named, stack.frames, out) {
                    unfit.fetch_add(1, Ordering::Relaxed);
                }
            }
            Event::Sample(sample) => {
                let (pid, tid, time, cpu) = (sample.tgid, sample.tid, sample.time, sample.cpu);
                let identity = Identity { pid, tid, time, cpu, id: 0 };
                let (key, period, event, epoch) = (sample.stack, sample.period, sample.event, sample.epoch);
                let unwound = Unwound { identity, key, period, event, epoch };
                push_sample(layout, &unwound, out);
            }
            Event::Stale(tgid) => stale(tgid),
        });
        // One that is being written is for the next round, and so is what lies behind it.
        ring.was_all_read()
    }

    fn wakes(&self) -> BorrowedFd<'_> {
        self.ring.descriptor()
    }

    fn pace(&self) -> Pace {
        if self.is_at_ease { Pace { sleep: self.pace.at_ease, ..self.pace } } else { self.pace }
    }
}

/// What records say of frames and ends is what programs say of them.
const _: () = {
    assert!(unwound::SAME_AS_PROGRAMS.0 == abi::FRAME_RAW);
    assert!(unwound::SAME_AS_PROGRAMS.1 == abi::FRAME_BY_SHIFT);
    assert!(unwound::SAME_AS_PROGRAMS.2 == abi::FRAME_IMAGE_SHIFT);
    assert!(unwound::SAME_AS_PROGRAMS.3 == abi::FRAME_ADDRESS_BITS);
    assert!(abi::BY_SAMPLE == 0 && abi::BY_RULE == 1 && abi::BY_FRAME_POINTER == 2 && abi::BY_GO_TABLE == 3);
    assert!(abi::END_ROOT == 0 && abi::END_NOT_MAPPED == 1 && abi::END_NO_INFO == 2 && abi::END_NO_TABLE == 3);
    assert!(abi::END_UNREADABLE == 4 && abi::END_TOO_DEEP == 5 && abi::END_NO_PROGRESS == 6 && abi::END_ROW == 7);
    assert!(abi::END_OTHER_STACK == 8 && abi::END_NOT_KNOWN == 9 && abi::END_STALE == 10);
    assert!(abi::END_OTHER_PROCESSOR == 11 && abi::END_NO_REGISTERS == 12 && abi::END_KERNEL_THREAD == 13);
};
