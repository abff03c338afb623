//! Who is off the CPU since when: what a recording of task switches tells about time spent waiting.

use rustc_hash::{FxHashMap, FxHashSet};

/// A stay off the CPU, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait<S = usize> {
    /// What was known when it began: the caller's number of the sample that was taken then, or what else there is.
    pub sample: S,
    /// Nanoseconds.
    pub time: u64,
    /// Whether the thread could have run all the while: it was preempted.
    pub runnable: bool,
}

/// A stay that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Open<S> {
    sample: S,
    since: u64,
    runnable: bool,
    /// Whether it is only supposed, see [`OffCpu::may_be_off`].
    supposed: bool,
}

/// Threads that are off the CPU.
#[derive(Debug)]
pub struct OffCpu<S = usize> {
    /// By thread.
    since: FxHashMap<u32, Open<S>>,
    waits: Vec<Wait<S>>,
    by_next_sample: u64,
    /// Threads that have ended, and switch for the last time after that.
    ended: FxHashSet<u32>,
}

impl<S> Default for OffCpu<S> {
    fn default() -> OffCpu<S> {
        OffCpu { since: FxHashMap::default(), waits: Vec::new(), by_next_sample: 0, ended: FxHashSet::default() }
    }
}

impl<S: Copy> OffCpu<S> {
    /// A thread went off the CPU, at which a sample was taken.
    pub fn goes_off(&mut self, tid: u32, sample: S, time: u64) {
        if !self.ended.contains(&tid) {
            self.since.insert(tid, Open { sample, since: time, runnable: false, supposed: false });
        }
    }

    /// The thread that went off was preempted: it could have gone on.
    pub fn was_preempted(&mut self, tid: u32) {
        if let Some(open) = self.since.get_mut(&tid) {
            open.runnable = true;
        }
    }

    /// Whether a thread has ended.
    pub fn has_ended(&self, tid: u32) -> bool {
        self.ended.contains(&tid)
    }

    /// Whether it is known of a thread that it went off.
    pub fn is_off(&self, tid: u32) -> bool {
        self.since.contains_key(&tid)
    }

    /// A thread was found waiting when the recording had just begun. Should the first news of it be that it goes off, it was not.
    pub fn may_be_off(&mut self, tid: u32, sample: S, since: u64) {
        self.since.insert(tid, Open { sample, since, runnable: false, supposed: true });
    }

    /// A thread went on a CPU; gives its wait.
    pub fn comes_on(&mut self, tid: u32, time: u64) {
        if let Some(Open { sample, since, runnable, .. }) = self.since.remove(&tid) {
            self.waits.push(Wait { sample, time: time.saturating_sub(since), runnable });
        }
    }

    /// A thread begins: its number may have been another's.
    pub fn begins(&mut self, tid: u32) {
        self.ended.remove(&tid);
    }

    /// A thread has ended: what looked like a wait was its end.
    pub fn ends(&mut self, tid: u32) {
        self.since.remove(&tid);
        self.ended.insert(tid);
    }

    /// A thread was seen running, so it must have come on a CPU at some time before.
    ///
    /// Where a recording has no other news of that (`sched_switch` of single tasks, without the tasks that ran in between),
    /// this is the best there is, and is counted: the wait includes the time from coming on to now.
    pub fn is_seen(&mut self, tid: u32, time: u64) {
        match self.since.get(&tid) {
            Some(Open { supposed: true, .. }) => {
                self.since.remove(&tid);
            }
            Some(_) => {
                self.by_next_sample += 1;
                self.comes_on(tid, time);
            }
            None => {}
        }
    }

    /// The stays that have ended, in the order in which they did.
    pub fn waits(&self) -> &[Wait<S>] {
        &self.waits
    }

    /// The same, which are forgotten with that.
    pub fn take_waits(&mut self) -> std::vec::Drain<'_, Wait<S>> {
        self.waits.drain(..)
    }

    /// How many ended only with the thread's next sample.
    pub fn by_next_sample(&self) -> u64 {
        self.by_next_sample
    }

    /// How many have not ended.
    pub fn open(&self) -> usize {
        self.since.len()
    }

    /// The stays that have not ended by `time`, in the order of the threads' numbers; they are forgotten with that.
    pub fn take_open(&mut self, time: u64) -> Vec<Wait<S>> {
        let mut open: Vec<_> = self.since.drain().collect();
        open.sort_unstable_by_key(|(tid, _)| *tid);
        let wait = |open: Open<S>| Wait {
            sample: open.sample,
            time: time.saturating_sub(open.since),
            runnable: open.runnable,
        };
        open.into_iter().map(|(_, open)| wait(open)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(sample: usize, time: u64) -> Wait {
        Wait { sample, time, runnable: false }
    }

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
        assert_eq!(off.waits(), [wait(0, 40), wait(1, 50)]);
        assert_eq!((off.by_next_sample(), off.open()), (1, 1));
        assert_eq!(off.take_open(100), [wait(2, 20)]);
    }

    #[test]
    fn last_switch_of_a_thread_is_no_wait() {
        let mut off = OffCpu::default();
        off.ends(7);
        off.goes_off(7, 0, 10);
        assert!(!off.is_off(7));
        off.begins(7);
        off.goes_off(7, 1, 20);
        off.comes_on(7, 25);
        assert_eq!(off.waits(), [wait(1, 5)]);
    }

    #[test]
    fn what_was_supposed_gives_way_to_what_is_known() {
        let mut off = OffCpu::default();
        off.may_be_off(1, 0, 10);
        off.may_be_off(2, 1, 10);
        off.comes_on(1, 30);
        off.is_seen(2, 40);
        off.goes_off(2, 2, 40);
        off.was_preempted(2);
        off.was_preempted(3);
        off.comes_on(2, 60);
        assert_eq!(off.waits(), [wait(0, 20), Wait { sample: 2, time: 20, runnable: true }]);
        assert_eq!(off.by_next_sample(), 0);
    }
}
