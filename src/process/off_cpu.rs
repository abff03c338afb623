//! Who is off the CPU since when: what a recording of task switches tells about time spent waiting.

use rustc_hash::FxHashMap;

/// A stay off the CPU, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The sample that was taken when it began, by the caller's number.
    pub sample: usize,
    /// Nanoseconds.
    pub time: u64,
}

/// Threads that are off the CPU.
#[derive(Debug, Default)]
pub struct OffCpu {
    /// By thread: the sample at which it went off, and when.
    since: FxHashMap<u32, (usize, u64)>,
    waits: Vec<Wait>,
    by_next_sample: u64,
}

impl OffCpu {
    /// A thread went off the CPU, at which a sample was taken.
    pub fn goes_off(&mut self, tid: u32, sample: usize, time: u64) {
        self.since.insert(tid, (sample, time));
    }

    /// A thread went on a CPU.
    pub fn comes_on(&mut self, tid: u32, time: u64) {
        if let Some((sample, began)) = self.since.remove(&tid) {
            self.waits.push(Wait { sample, time: time.saturating_sub(began) });
        }
    }

    /// A thread has ended: what looked like a wait was its end.
    pub fn ends(&mut self, tid: u32) {
        self.since.remove(&tid);
    }

    /// A thread was seen running, so it must have come on a CPU at some time before.
    ///
    /// Where a recording has no other news of that (`sched_switch` of single tasks, without the tasks that ran in between),
    /// this is the best there is, and is counted: the wait includes the time from coming on to now.
    pub fn is_seen(&mut self, tid: u32, time: u64) {
        if self.since.contains_key(&tid) {
            self.by_next_sample += 1;
            self.comes_on(tid, time);
        }
    }

    /// The stays that have ended, in the order in which they did.
    pub fn waits(&self) -> &[Wait] {
        &self.waits
    }

    /// How many ended only with the thread's next sample.
    pub fn by_next_sample(&self) -> u64 {
        self.by_next_sample
    }

    /// How many have not ended.
    pub fn open(&self) -> usize {
        self.since.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_from_off_to_on() {
        let mut off = OffCpu::default();
        off.comes_on(1, 5);
        off.goes_off(1, 0, 10);
        off.goes_off(2, 1, 20);
        off.comes_on(1, 50);
        off.is_seen(1, 60);
        off.is_seen(2, 70);
        off.goes_off(3, 2, 80);
        off.goes_off(4, 3, 90);
        off.ends(4);
        assert_eq!(off.waits(), [Wait { sample: 0, time: 40 }, Wait { sample: 1, time: 50 }]);
        assert_eq!((off.by_next_sample(), off.open()), (1, 1));
    }
}
