//! Time off the CPU, of tasks that run: waits and the stacks at which they began become rows, one for all that are alike.
//!
//! ```text
//! sample of a switch --> goes off, with its stack --.
//! SWITCH record, out --> preempted or not           |--> wait --> row: thread, stack, marks --> one more, so long
//! SWITCH record, in  --> comes on ------------------'        ^
//! waits that a BPF program has added up ---------------------'
//! ```

use std::time::Duration;

use rustc_hash::FxHashMap;

use super::on_cpu::OnCpu;
use super::waited::{Waited, Waker};
use super::waiting::Found;
use super::{Admitted, OUTSIDE, Recorder};
use crate::model::off_cpu::{self, OffCpuStats};
use crate::model::{
    EventId, FrameKind, ProcessId, ProfileBuilder, Sample, StackEnd, StackId, StringId, ThreadId, Timestamp, Truncation,
};
use crate::perf::record::Switch;
use crate::process::{OffCpu, ProcessMemory, clock, proc};

/// Which time off the CPU is kept, and how it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitOptions {
    /// Shorter waits are left out.
    pub shortest: Duration,
    /// Longer waits are left out.
    pub longest: Duration,
    /// Whether time is kept in which a thread could have run.
    pub runnable: bool,
    /// Whether time on the CPU is shown beside it, by the samples of the first event: then time off it is marked.
    pub beside_on_cpu: bool,
    /// Whether task switches come as records; else a BPF program sees them.
    pub has_switches: bool,
    /// Whether a sample is taken at each of those; else stacks are not known.
    pub has_stacks: bool,
    /// Whether threads of the kernel are kept.
    pub kernel_threads: bool,
}

impl Default for WaitOptions {
    fn default() -> WaitOptions {
        let (shortest, longest) = (Duration::ZERO, Duration::MAX);
        WaitOptions {
            shortest,
            longest,
            runnable: true,
            beside_on_cpu: false,
            has_switches: true,
            has_stacks: true,
            kernel_threads: true,
        }
    }
}

/// What is known of a wait when it begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    thread: ThreadId,
    stack: StackId,
    end: StackEnd,
    at: Timestamp,
    /// If the wait had begun before the recording: until when its stack was read.
    read_until: Option<u64>,
}

/// A row to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    thread: ThreadId,
    stack: StackId,
    end: StackEnd,
}

/// What is kept of a thread that has ended.
#[derive(Clone, Copy, Debug)]
struct Ended {
    id: Option<ThreadId>,
    process: Option<ProcessId>,
    name: StringId,
    process_name: StringId,
    time: u64,
}

/// Time off the CPU of a recording.
#[derive(Debug)]
pub(super) struct Waits {
    pub options: WaitOptions,
    event: EventId,
    pub off: OffCpu<Begun>,
    pub on: OnCpu,
    /// Nanoseconds, how often, and when first.
    rows: FxHashMap<Key, (u64, u64, Timestamp)>,
    /// By process and thread.
    ended: FxHashMap<(u32, u32), Ended>,
    /// Of ended processes that have got a row late.
    late_processes: FxHashMap<u32, ProcessId>,
    pub stacks: super::kernel_stacks::KernelStacks,
    pub memory: ProcessMemory,
    /// Whether a process is one of the kernel's threads.
    of_kernel: FxHashMap<u32, bool>,
    /// Since when threads are recorded that have not ended.
    lives: FxHashMap<(u32, u32), u64>,
    /// When threads began that did while it was recorded, and have not been on a CPU yet as far as is known.
    born: FxHashMap<(u32, u32), u64>,
    pub stats: OffCpuStats,
}

impl Waits {
    /// Time off the CPU, in rows of `event`.
    pub fn new(options: WaitOptions, event: EventId) -> Waits {
        Waits {
            options,
            event,
            off: OffCpu::default(),
            on: OnCpu::default(),
            rows: FxHashMap::default(),
            ended: FxHashMap::default(),
            late_processes: FxHashMap::default(),
            stacks: super::kernel_stacks::KernelStacks::default(),
            memory: ProcessMemory::default(),
            of_kernel: FxHashMap::default(),
            lives: FxHashMap::default(),
            born: FxHashMap::default(),
            stats: OffCpuStats::default(),
        }
    }
}

impl Waits {
    /// Whether a process is none of those that are asked for: a thread of the kernel.
    fn leaves_out(&mut self, pid: u32) -> bool {
        !self.options.kernel_threads && *self.of_kernel.entry(pid).or_insert_with(|| proc::is_of_kernel(pid))
    }

    fn ends_life(&mut self, pid: u32, tid: u32, time: u64) {
        let Some(since) = self.lives.remove(&(pid, tid)) else { return };
        let life = Duration::from_nanos(time.saturating_sub(since));
        self.stats.wall = Some(self.stats.wall.unwrap_or_default().saturating_add(life));
    }
}

impl Recorder {
    /// A sample was taken as a task went off the CPU.
    pub(super) fn goes_off(&mut self, admitted: &Admitted<'_>, stack: StackId, end: StackEnd) {
        let Some(waits) = &mut self.waits else { return };
        let identity = admitted.sample.identity;
        if waits.leaves_out(identity.pid) {
            return;
        }
        let at = Timestamp(identity.time);
        // It was on one already.
        waits.born.remove(&(identity.pid, identity.tid));
        let begun = Begun { thread: admitted.thread, stack, end, at, read_until: None };
        waits.off.goes_off(identity.tid, begun, identity.time);
    }

    /// A task went on or off a CPU.
    pub(super) fn switches(&mut self, switch: &Switch) {
        let Switch { identity, out, preempted } = *switch;
        let (pid, tid, time) = (identity.pid, identity.tid, identity.time);
        if self.waits.is_none() {
            if !out {
                self.off_cpu.comes_on(tid, time);
            }
            return;
        }
        // Of what is outside nothing is known, and what is before is not kept.
        if pid == OUTSIDE || time < self.begin || self.processes.sampled(pid, tid).is_none() {
            return;
        }
        if self.waits.as_mut().is_some_and(|waits| waits.leaves_out(pid)) {
            return;
        }
        if !out {
            self.add_first_wait(pid, tid, time);
            let Some(waits) = &mut self.waits else { return };
            waits.on.comes_on(tid, time);
            waits.off.comes_on(tid, time);
            return self.add_ended_waits(time);
        }
        let begin = self.begin;
        let Some(waits) = &mut self.waits else { return };
        waits.on.goes_off(pid, tid, time, begin);
        waits.born.remove(&(pid, tid));
        // Without a sample of its own, as there are none, or as it was lost.
        if !waits.options.has_stacks {
            waits.off.is_seen(tid, time);
        }
        if !waits.off.is_off(tid) && !waits.off.has_ended(tid) {
            let Some(thread) = self.thread_of(pid, tid) else { return };
            let Some(waits) = &mut self.waits else { return };
            let end = StackEnd::Truncated(Truncation::NoRegisters);
            let begun = Begun { thread, stack: StackId(0), end, at: Timestamp(time), read_until: None };
            waits.off.goes_off(tid, begun, time);
        }
        if preempted && let Some(waits) = &mut self.waits {
            waits.off.was_preempted(tid);
        }
    }

    /// Says of the threads of a process that wait since before the recording at which stacks they do, as far as that can be seen from
    /// outside.
    pub fn add_waiting_threads(&mut self, pid: u32) {
        let begin = self.begin;
        if self.waits.as_mut().is_none_or(|waits| waits.leaves_out(pid)) {
            return;
        }
        for tid in proc::threads(pid).unwrap_or_default() {
            if self.processes.sampled(pid, tid).is_none() {
                continue;
            }
            let status = proc::status(tid).ok();
            if status.as_ref().is_some_and(proc::Status::has_ended) {
                continue;
            }
            if let Some(waits) = &mut self.waits {
                waits.lives.insert((pid, tid), begin);
            }
            if status.map_or('R', |status| status.state) == 'R' {
                if let Some(waits) = &mut self.waits {
                    waits.on.runs(pid, tid, begin);
                }
                continue;
            }
            let Some(thread) = self.thread_of(pid, tid) else { continue };
            let Found { stack, end } = self.stack_of_waiting(pid, tid);
            let begun = Begun { thread, stack, end, at: Timestamp(begin), read_until: Some(clock::now()) };
            if let Some(waits) = &mut self.waits {
                waits.off.may_be_off(tid, begun, begin);
            }
        }
    }

    /// Adds rows for the waits that have ended by `time`.
    pub(super) fn add_ended_waits(&mut self, time: u64) {
        let Some(waits) = &mut self.waits else { return };
        let ended: Vec<_> = waits.off.take_waits().collect();
        for wait in ended {
            self.add_wait_of(&wait, time, false);
        }
    }

    fn add_wait_of(&mut self, wait: &crate::process::Wait<Begun>, time: u64, still: bool) {
        let Some(waits) = &mut self.waits else { return };
        let length = Duration::from_nanos(wait.time);
        let Begun { thread, mut stack, mut end, at, read_until } = wait.sample;
        if length < waits.options.shortest || length > waits.options.longest {
            waits.stats.left_out += 1;
            return;
        }
        // It has gone on before its stack was read: that is of a later wait.
        if read_until.is_some_and(|until| time < until) {
            (stack, end) = (StackId(0), StackEnd::Truncated(Truncation::Unreadable));
        }
        self.add_wait(&Waited {
            thread,
            stack,
            end,
            waker: None,
            runnable: wait.runnable,
            before: read_until.is_some(),
            still,
            time: wait.time,
            count: 1,
            at,
        });
    }

    /// Adds waits that are alike.
    pub fn add_wait(&mut self, waited: &Waited) {
        let Some(waits) = &mut self.waits else { return };
        let Waited { thread, mut stack, end, runnable, time, count, .. } = *waited;
        let options = waits.options;
        let stats = &mut waits.stats;
        if runnable && !options.runnable {
            stats.left_out = stats.left_out.saturating_add(count);
            return;
        }
        let length = Duration::from_nanos(time);
        let (sum, waits_sum) = match runnable {
            true => (&mut stats.runnable, &mut stats.runnable_waits),
            false => (&mut stats.blocked, &mut stats.waits),
        };
        *sum = sum.saturating_add(length);
        *waits_sum = waits_sum.saturating_add(count);
        stats.blocked_before += if waited.before { count } else { 0 };
        stats.still_blocked += if waited.still && !runnable { count } else { 0 };
        let mut marks = vec![];
        match runnable {
            true => marks.push(off_cpu::RUNNABLE),
            false if options.beside_on_cpu => marks.push(off_cpu::OFF_CPU),
            false => {}
        }
        marks.extend(waited.before.then_some(off_cpu::BLOCKED_BEFORE));
        marks.extend(waited.still.then_some(off_cpu::STILL_BLOCKED));
        for mark in marks {
            let frame = self.builder.name_frame(mark, FrameKind::OffCpu);
            stack = self.builder.stack(stack, frame);
        }
        if let Some(waker) = waited.waker.filter(|_| !runnable && !waited.still) {
            stack = self.with_waker(stack, waker, count);
        }
        let Some(waits) = &mut self.waits else { return };
        let row = waits.rows.entry(Key { thread, stack, end }).or_insert((0, 0, waited.at));
        row.0 = row.0.saturating_add(time);
        row.1 = row.1.saturating_add(count);
        row.2 = row.2.min(waited.at);
    }

    /// Puts who woke a thread above the stack at which it blocked: the waker's stack from its innermost frame outward, as it leads
    /// from the one to the other, and its name.
    fn with_waker(&mut self, blocked: StackId, waker: Waker, count: u64) -> StackId {
        let Some(waits) = &mut self.waits else { return blocked };
        let known = waits.stats.wakers_known.get_or_insert(0);
        *known = known.saturating_add(if waker == Waker::Unknown { 0 } else { count });
        let builder = &mut self.builder;
        let push = |builder: &mut ProfileBuilder, stack: StackId, name: &str, kind: FrameKind| {
            let frame = builder.name_frame(name, kind);
            builder.stack(stack, frame)
        };
        let mut stack = push(builder, blocked, off_cpu::WOKEN_BY, FrameKind::OffCpu);
        let (of, frames) = match waker {
            Waker::Unknown => return push(builder, stack, off_cpu::UNKNOWN_WAKER, FrameKind::OffCpu),
            Waker::Thread(of, ..) => (of, usize::MAX),
            Waker::Interrupt(of, count) => {
                stack = push(builder, stack, off_cpu::INTERRUPT, FrameKind::OffCpu);
                (of, count)
            }
        };
        let frames: Vec<_> = builder.profile().frames_of(of).take(frames).collect();
        for frame in frames {
            stack = builder.stack(stack, frame);
        }
        if let Waker::Thread(_, end, name) = waker {
            if let StackEnd::Truncated(reason) = end {
                stack = push(builder, stack, &reason.note(), FrameKind::Note);
            }
            let name = builder.profile().strings.get(name).to_owned();
            stack = push(builder, stack, &name, FrameKind::Task);
        }
        stack
    }

    /// The row of a thread that is recorded, which may have ended; nothing if it is not.
    pub(super) fn thread_of(&mut self, pid: u32, tid: u32) -> Option<ThreadId> {
        let waits = self.waits.as_mut()?;
        if let Some(ended) = waits.ended.get_mut(&(pid, tid)) {
            if let Some(id) = ended.id {
                return Some(id);
            }
            let builder = &mut self.builder;
            let process = match ended.process.or_else(|| waits.late_processes.get(&pid).copied()) {
                Some(process) => process,
                None => {
                    let name = builder.profile().strings.get(ended.process_name).to_owned();
                    *waits.late_processes.entry(pid).or_insert(builder.add_process(pid, &name))
                }
            };
            let name = builder.profile().strings.get(ended.name).to_owned();
            return Some(*ended.id.insert(builder.add_thread(process, tid, &name)));
        }
        self.row_of_thread(pid, tid).map(|(id, _)| id)
    }

    /// What a thread is or was called, if it is or was recorded.
    pub(super) fn kept_name(&self, tid: u32) -> Option<String> {
        let waits = self.waits.as_ref()?;
        let (pid, tid) = waits.lives.keys().chain(waits.ended.keys()).find(|(_, known)| *known == tid).copied()?;
        match waits.ended.get(&(pid, tid)) {
            Some(ended) => Some(self.builder.profile().strings.get(ended.name).to_owned()),
            None => proc::comm(pid, tid).ok(),
        }
    }

    /// Which process a thread is of that is or was recorded.
    pub fn process_of(&self, tid: u32) -> Option<u32> {
        let waits = self.waits.as_ref()?;
        waits.lives.keys().chain(waits.ended.keys()).find(|(_, known)| *known == tid).map(|(pid, _)| *pid)
    }

    /// When a thread ended that was recorded, if it has.
    pub fn end_of(&self, pid: u32, tid: u32) -> Option<u64> {
        Some(self.waits.as_ref()?.ended.get(&(pid, tid))?.time)
    }

    /// Whether it is known since when a thread is recorded.
    pub fn has_life(&self, pid: u32, tid: u32) -> bool {
        let ids = (pid, tid);
        self.waits.as_ref().is_some_and(|waits| waits.lives.contains_key(&ids) || waits.ended.contains_key(&ids))
    }

    /// A thread is recorded that was there at `time`.
    pub fn add_life(&mut self, pid: u32, tid: u32, time: u64) {
        if self.processes.sampled(pid, tid).is_none() {
            return;
        }
        if let Some(waits) = &mut self.waits
            && !waits.leaves_out(pid)
        {
            waits.lives.insert((pid, tid), time);
        }
    }

    /// Counts waits that have no rows.
    pub fn add_missing_waits(&mut self, lost: (u64, u64), left_out: u64) {
        if let Some(waits) = &mut self.waits {
            let stats = &mut waits.stats;
            stats.lost_waits = stats.lost_waits.saturating_add(lost.0);
            stats.lost = stats.lost.saturating_add(Duration::from_nanos(lost.1));
            stats.left_out = stats.left_out.saturating_add(left_out);
        }
    }

    /// A thread has ended: its name is kept for the rows that it gets later.
    pub(super) fn keep_name(&mut self, pid: u32, tid: u32, time: u64) {
        let begin = self.begin;
        let Some(waits) = &mut self.waits else { return };
        // On whole CPUs anyone's end is told.
        let Some(process) = self.processes.sampled(pid, tid) else { return };
        if waits.options.has_switches {
            waits.on.ends(pid, tid, time, begin);
        }
        waits.off.ends(tid);
        waits.ends_life(pid, tid, time);
        let (process_name, process_id) = (process.name.clone(), process.id);
        let thread = process.thread(tid);
        let (id, name) = (thread.id, if thread.name.is_empty() { &process_name } else { &thread.name });
        let name = self.builder.string(name);
        let process_name = self.builder.string(&process_name);
        waits.ended.insert((pid, tid), Ended { id, process: process_id, name, process_name, time });
    }

    /// A process runs another program. The thread that does has the process's number from then on (execve(2)); that its own is gone
    /// nobody tells.
    pub(super) fn runs_program(&mut self, pid: u32, time: u64) {
        let Some(waits) = &self.waits else { return };
        let has_switches = waits.options.has_switches;
        let Some(process) = self.processes.followed(pid) else { return };
        let others: Vec<u32> = process.threads().filter(|tid| *tid != pid).collect();
        for tid in &others {
            self.keep_name(pid, *tid, time);
        }
        if !others.is_empty() {
            self.begins(pid, pid, time, false);
            if let Some(waits) = self.waits.as_mut().filter(|_| has_switches) {
                waits.on.comes_on(pid, time);
            }
        }
    }

    /// A thread begins, whose number may have been that of another; or a command that is to be recorded, which runs already.
    pub(super) fn begins(&mut self, pid: u32, tid: u32, time: u64, is_new: bool) {
        let Some(waits) = &mut self.waits else { return };
        if self.processes.sampled(pid, tid).is_none() || waits.leaves_out(pid) {
            return;
        }
        waits.off.begins(tid);
        waits.ended.remove(&(pid, tid));
        waits.lives.entry((pid, tid)).or_insert(time.max(self.begin));
        if is_new && time >= self.begin {
            waits.born.insert((pid, tid), time);
        }
    }

    /// A thread that is new was on a CPU first at `time`: until then it waited for one, at no stack.
    pub fn add_first_wait(&mut self, pid: u32, tid: u32, time: u64) {
        let Some(born) = self.waits.as_mut().and_then(|waits| waits.born.remove(&(pid, tid))) else { return };
        let Some(waits) = &self.waits else { return };
        let time = time.saturating_sub(born);
        let length = Duration::from_nanos(time);
        if time == 0 || length < waits.options.shortest || length > waits.options.longest {
            return;
        }
        let Some(thread) = self.thread_of(pid, tid) else { return };
        self.add_wait(&Waited {
            thread,
            stack: StackId(0),
            end: StackEnd::Root,
            waker: None,
            runnable: true,
            before: false,
            still: false,
            time,
            count: 1,
            at: Timestamp(born),
        });
    }

    /// Ends the waits that have not ended by `end`, adds the rows of all, and says what there was.
    pub fn settle_waits(&mut self, end: u64) -> Option<OffCpuStats> {
        self.add_ended_waits(end);
        let open = self.waits.as_mut()?.off.take_open(end);
        for wait in open {
            self.add_wait_of(&wait, end, true);
        }
        if let Some(waits) = &mut self.waits {
            waits.stats.on_cpu = waits.on.sum(end);
        }
        if self.waits.as_ref()?.options.beside_on_cpu {
            self.settle_on_cpu(end);
        }
        let waits = self.waits.as_mut()?;
        let alive: Vec<_> = waits.lives.keys().copied().collect();
        alive.into_iter().for_each(|(pid, tid)| waits.ends_life(pid, tid, end));
        let mut rows: Vec<_> = waits.rows.drain().collect();
        rows.sort_unstable_by_key(|(key, _)| *key);
        let event = waits.event;
        let stats = waits.stats.clone();
        for (Key { thread, stack, end }, (value, mut count, time)) in rows {
            // A row stands for at most 2^32 - 1 of them.
            let mut value = Some(value);
            loop {
                let some = u32::try_from(count).unwrap_or(u32::MAX);
                let value = value.take().unwrap_or(0);
                self.builder.add_sample(Sample {
                    time,
                    thread,
                    cpu: Sample::NO_CPU,
                    stack,
                    end,
                    event,
                    value,
                    count: some,
                });
                count -= u64::from(some);
                if count == 0 {
                    break;
                }
            }
        }
        Some(stats)
    }
}

#[cfg(test)]
mod tests;
