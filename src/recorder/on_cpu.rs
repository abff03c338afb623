//! How long each thread was on the CPU, to the nanosecond, by its switches; and that time spread over the thread's samples.

use std::time::Duration;

use rustc_hash::FxHashMap;

use super::Recorder;
use crate::model::{EventId, FrameKind, Sample, StackEnd, StackId, ThreadId, Timestamp, off_cpu};

/// A thread's time on the CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadTime {
    /// Nanoseconds on the CPU.
    pub on: u64,
    /// Since when it is on one, if it is.
    pub since: Option<u64>,
    /// When it was seen first, and when last.
    pub seen: (u64, u64),
}

/// Time on the CPU by process and thread.
#[derive(Debug, Default)]
pub(super) struct OnCpu {
    threads: FxHashMap<(u32, u32), ThreadTime>,
    /// Since when a thread runs that was seen coming on only.
    running: FxHashMap<u32, u64>,
}

impl OnCpu {
    /// A thread went on a CPU.
    pub fn comes_on(&mut self, tid: u32, time: u64) {
        self.running.insert(tid, time);
    }

    /// A thread went off; if it was not seen coming on, it has run since `begin`.
    pub fn goes_off(&mut self, pid: u32, tid: u32, time: u64, begin: u64) {
        let known = self.threads.contains_key(&(pid, tid));
        let since = self.running.remove(&tid).or((!known).then_some(begin)).unwrap_or(time);
        let thread =
            self.threads.entry((pid, tid)).or_insert(ThreadTime { seen: (since, since), ..ThreadTime::default() });
        thread.on += time.saturating_sub(since);
        thread.seen.1 = time;
    }

    /// A thread was found running when the recording had just begun.
    pub fn runs(&mut self, pid: u32, tid: u32, begin: u64) {
        self.threads.insert((pid, tid), ThreadTime { seen: (begin, begin), ..ThreadTime::default() });
        self.running.insert(tid, begin);
    }

    /// A thread has ended.
    pub fn ends(&mut self, pid: u32, tid: u32, time: u64, begin: u64) {
        if self.running.contains_key(&tid) || !self.threads.contains_key(&(pid, tid)) {
            self.goes_off(pid, tid, time, begin);
        }
    }

    /// What is known of a thread from elsewhere.
    pub fn set(&mut self, pid: u32, tid: u32, time: ThreadTime) {
        self.threads.insert((pid, tid), time);
    }

    /// All threads together; nothing if none is known.
    pub fn sum(&self, end: u64) -> Option<Duration> {
        let sum = self.times(end).into_iter().fold(0u64, |sum, (_, on)| sum.saturating_add(on));
        (!self.threads.is_empty()).then_some(Duration::from_nanos(sum))
    }

    /// All threads, in the order of their numbers.
    fn times(&self, end: u64) -> Vec<((u32, u32), u64)> {
        let mut times: Vec<_> = self.threads.iter().map(|(ids, time)| (*ids, *time)).collect();
        times.sort_unstable_by_key(|(ids, _)| *ids);
        let running = |tid: u32, time: &ThreadTime| self.running.get(&tid).copied().or(time.since);
        let on = |((pid, tid), time): ((u32, u32), ThreadTime)| {
            let last = running(tid, &time).map_or(0, |since| end.saturating_sub(since));
            ((pid, tid), time.on + last)
        };
        times.into_iter().map(on).collect()
    }
}

/// Parts of `total` in proportion to `weights`, which add up to it: what is left by rounding down goes to the largest remainders.
pub(super) fn spread(total: u64, weights: &[u64]) -> Vec<u64> {
    let sum: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    if sum == 0 {
        return vec![0; weights.len()];
    }
    let product = |weight: &u64| u128::from(total) * u128::from(*weight);
    let mut parts: Vec<u64> = weights.iter().map(|weight| (product(weight) / sum) as u64).collect();
    let left = total - parts.iter().sum::<u64>();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|row| std::cmp::Reverse(product(&weights[*row]) % sum));
    order.iter().take(left as usize).for_each(|row| parts[*row] += 1);
    parts
}

impl Recorder {
    /// Says how long a thread was on the CPU, as a BPF program has added it up.
    pub fn add_on_cpu(&mut self, pid: u32, tid: u32, time: ThreadTime) {
        if let Some(waits) = &mut self.waits {
            waits.on.set(pid, tid, time);
        }
    }

    /// Gives the samples of each thread the time that it was on the CPU, and adds a row for that of threads without samples.
    ///
    /// The sum by thread is then exact; how it is shared among the stacks of a thread is by its samples.
    pub(super) fn settle_on_cpu(&mut self, end: u64) {
        let Some(waits) = &self.waits else { return };
        let times = waits.on.times(end);
        let mut of_thread: FxHashMap<ThreadId, Vec<usize>> = FxHashMap::default();
        for (row, sample) in self.builder.profile().samples.iter().enumerate() {
            of_thread.entry(sample.thread).or_default().push(row);
        }
        for ((pid, tid), on) in times {
            let Some(thread) = self.thread_of(pid, tid).filter(|_| on > 0) else { continue };
            let rows = of_thread.remove(&thread).unwrap_or_default();
            let samples = &self.builder.profile().samples;
            let weights: Vec<u64> = rows.iter().map(|row| samples.get(*row).value).collect();
            for (row, value) in rows.iter().zip(spread(on, &weights)) {
                self.builder.set_value(*row, value);
            }
            if rows.is_empty() {
                let frame = self.builder.name_frame(off_cpu::NOT_SAMPLED, FrameKind::Note);
                let stack = self.builder.stack(StackId(0), frame);
                let time = Timestamp::UNKNOWN;
                let (cpu, event) = (Sample::NO_CPU, EventId(0));
                let end = StackEnd::Root;
                self.builder.add_sample(Sample { time, thread, cpu, stack, end, event, value: on, count: 0 });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up() {
        assert_eq!(spread(10, &[1, 1, 1]), [4, 3, 3]);
        assert_eq!(spread(7, &[5, 0, 5]), [4, 0, 3]);
        assert!(spread(7, &[]).is_empty());
        assert_eq!(spread(7, &[0, 0]), [0, 0]);
        assert_eq!(
            spread(u64::MAX, &[u64::MAX, u64::MAX]).iter().map(|part| u128::from(*part)).sum::<u128>(),
            u128::from(u64::MAX)
        );
    }

    #[test]
    fn time_is_from_on_to_off() {
        let mut on = OnCpu::default();
        // It ran when the recording began.
        on.goes_off(1, 1, 130, 100);
        on.comes_on(1, 150);
        on.goes_off(1, 1, 160, 100);
        on.comes_on(2, 110);
        on.ends(1, 2, 115, 100);
        on.ends(1, 2, 119, 100);
        on.comes_on(1, 190);
        assert_eq!(on.times(200), [((1, 1), 50), ((1, 2), 5)]);
    }
}
