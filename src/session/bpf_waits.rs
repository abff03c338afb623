//! Time off the CPU by BPF programs: loaded, asked at the begin and at the end, and turned into rows.
//!
//! ```text
//! begin    threads that are off since before are listed, and their stacks read from outside
//!          (stacks come through the ring, as records, while it goes on)
//! end      threads that are still off are listed, and the programs stop
//! rows     waits that were added up are read
//! ```

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::{Component, Path};
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

use super::off_cpu::OffCpuOptions;
use super::plan::Subject;
use crate::error::Result;
use crate::model::StackEnd;
use crate::process::proc;
use crate::recorder::{
    Found, Processor, Recorder, Registers, StackOf, SummedWaits, ThreadTime, WaitingThread, WakerOf,
};
use crate::sampler::bpf::abi::{self, STACK_BEFORE, STACK_NEW, STATE_RUNNABLE, WaitKey, WaitValue};
use crate::sampler::bpf::{Bpf, OffTask, Request, Whom};

/// A thread that ran when the recording began.
#[derive(Clone, Debug)]
struct Ran {
    pid: u32,
    /// Of a cgroup: which it was in. Of one that has left meanwhile, the scheduler counts what it did elsewhere too.
    cgroups: Option<Vec<u8>>,
    /// Its time on the CPU until then, in nanoseconds.
    first: u64,
    /// And until the end, if it is there still.
    last: Option<u64>,
}

/// What is to be known at the end of what was at the begin.
#[derive(Debug)]
pub(super) struct BpfWaits {
    wakers: bool,
    /// How long waits are that are asked for, in nanoseconds.
    lengths: RangeInclusive<u64>,
    /// By thread: where it waited when the recording began.
    before: FxHashMap<u32, Found>,
    /// By thread that ran when the recording began.
    ran: FxHashMap<u32, Ran>,
    began: u64,
    /// The threads that are off when it ends, and when that was.
    still: (Vec<OffTask>, u64),
    /// Where those of them wait whose stacks were cut.
    found_again: FxHashMap<u32, Found>,
}

impl BpfWaits {
    pub fn new(waits: &OffCpuOptions) -> BpfWaits {
        let lengths = nanoseconds(waits.min_block)..=nanoseconds(waits.max_block);
        BpfWaits {
            wakers: waits.wakers,
            lengths,
            before: FxHashMap::default(),
            ran: FxHashMap::default(),
            began: 0,
            still: (Vec::new(), 0),
            found_again: FxHashMap::default(),
        }
    }

    /// Lists the threads that are off since before `began`, when the programs began, and reads their stacks; those that run are noted.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub fn begin(
        &mut self,
        bpf: &Bpf,
        recorder: &mut Recorder,
        (subject, is_command): (&Subject, bool),
        began: u64,
    ) -> Result<()> {
        self.began = began;
        // What the child waits for until it runs the command is none of the command's.
        if is_command {
            return Ok(());
        }
        let off = bpf.tasks()?;
        let mut pids: Vec<u32> = subject.pids.clone();
        pids.extend(off.iter().map(|task| task.record.tgid));
        pids.sort_unstable();
        pids.dedup();
        let is_off: FxHashSet<u32> = off.iter().map(|task| task.record.tid).collect();
        for pid in pids {
            for tid in proc::running_threads(pid) {
                recorder.add_life(pid, tid, self.began);
                // Of a process some threads may be recorded only.
                if recorder.has_life(pid, tid)
                    && !is_off.contains(&tid)
                    && let Some(time) = proc::time_on_cpu(pid, tid)
                {
                    let cgroups = subject.cgroup.as_ref().and_then(|_| proc::cgroups(pid, tid));
                    self.ran.insert(tid, Ran { pid, cgroups, first: time, last: None });
                }
            }
        }
        // Others have gone off since the begin, and have their stacks from there.
        for task in off.iter().filter(|task| task.record.stack == STACK_BEFORE) {
            let found = recorder.stack_of_waiting_at(&waiting(task));
            self.before.insert(task.record.tid, found);
        }
        Ok(())
    }

    /// Ends it: what comes later does not count. `now` is when.
    ///
    /// # Errors
    /// If the threads cannot be listed, or the programs not be stopped.
    pub fn end(&mut self, bpf: &mut Bpf, now: u64) -> Result<()> {
        for (tid, ran) in &mut self.ran {
            let has_left = ran.cgroups.is_some() && proc::cgroups(ran.pid, *tid) != ran.cgroups;
            ran.last = if has_left { None } else { proc::time_on_cpu(ran.pid, *tid) };
        }
        self.still = (bpf.end()?, now);
        Ok(())
    }

    /// Reads the stacks of threads that have gone off when what is mapped in their process was not known yet, and are off since.
    /// All stacks of before must be there, and the threads as well.
    pub fn find_again(&mut self, recorder: &mut Recorder) {
        for task in &self.still.0 {
            let record = &task.record;
            if record.stack > STACK_NEW && recorder.came_too_early(record.stack, record.tgid) {
                let found = recorder.stack_of_waiting_at(&waiting(task));
                if found.end == StackEnd::Root {
                    self.found_again.insert(record.tid, found);
                }
            }
        }
    }

    /// Adds the rows.
    ///
    /// # Errors
    /// If what was added up cannot be read.
    pub fn add_rows(&self, bpf: &Bpf, recorder: &mut Recorder) -> Result<()> {
        let (still, now) = &self.still;
        let counters = bpf.counters();
        let mut lost = (counters.get(abi::WAITS_FULL), counters.get(abi::WAITS_FULL_TIME));
        let mut left_out: u64 =
            [abi::BELOW_MIN, abi::ABOVE_MAX, abi::OTHER_STATE].into_iter().map(|number| counters.get(number)).sum();
        let mut add = |recorder: &mut Recorder, summed: &SummedWaits| {
            if !recorder.add_summed_waits(summed) {
                lost = (lost.0 + summed.count, lost.1 + summed.time);
            }
        };
        let mut waits = bpf.waits()?;
        waits.sort_unstable_by_key(|(key, _)| (key.tgid, key.tid, key.state, key.stack, key.waker, key.waker_tid));
        let mut processes: FxHashMap<u32, u32> = FxHashMap::default();
        let seen: BTreeSet<u32> = waits.iter().map(|(key, _)| key.tgid).collect();
        seen.into_iter().for_each(|pid| recorder.add_missed(pid));
        for (key, value) in &waits {
            processes.insert(key.tid, key.tgid);
            add(recorder, &self.summed(key, value));
        }
        for task in still {
            processes.insert(task.record.tid, task.record.tgid);
            for summed in self.still(task, *now) {
                match self.lengths.contains(&summed.time) {
                    true => add(recorder, &summed),
                    false => left_out += 1,
                }
            }
        }
        recorder.add_missing_waits(lost, left_out);
        self.add_on_cpu(bpf, recorder, &processes, *now)
    }

    fn stack_of(&self, tid: u32, key: u64) -> StackOf {
        match key {
            STACK_BEFORE => self.before.get(&tid).map_or(StackOf::Lost, |found| StackOf::Found(*found)),
            STACK_NEW => StackOf::Empty,
            0 => StackOf::Lost,
            key => StackOf::Key(key),
        }
    }

    fn summed(&self, key: &WaitKey, value: &WaitValue) -> SummedWaits {
        let runnable = key.state == STATE_RUNNABLE;
        // 1: nobody was seen.
        let waker = WakerOf { stack: (key.waker > 1).then_some(key.waker), epoch: key.waker_epoch, tid: key.waker_tid };
        SummedWaits {
            pid: key.tgid,
            tid: key.tid,
            stack: self.stack_of(key.tid, key.stack),
            epoch: key.epoch,
            waker: (self.wakers && !runnable).then_some(waker),
            runnable,
            before: key.stack == STACK_BEFORE && !runnable,
            still: false,
            time: value.time,
            count: value.count,
            at: self.began,
        }
    }

    /// The waits of a thread that is still off the CPU: blocked until it was woken, if it was, and from then on for a CPU.
    fn still(&self, task: &OffTask, now: u64) -> impl Iterator<Item = SummedWaits> + use<> {
        let record = task.record;
        let found = self.found_again.get(&record.tid).copied();
        let end = now.max(record.since);
        let woken = match record.state {
            STATE_RUNNABLE => record.since,
            _ if record.woken > record.since => record.woken.min(end),
            _ => end,
        };
        let summed = SummedWaits {
            pid: record.tgid,
            tid: record.tid,
            stack: found.map_or_else(|| self.stack_of(record.tid, record.stack), StackOf::Found),
            epoch: record.epoch,
            waker: None,
            runnable: false,
            before: record.stack == STACK_BEFORE,
            still: woken == end,
            time: woken - record.since,
            count: 1,
            at: record.since,
        };
        let runnable = SummedWaits { runnable: true, before: false, still: true, time: end - woken, ..summed };
        [summed, runnable].into_iter().filter(|summed| summed.time > 0)
    }

    /// The time on the CPU of each thread. Of one that ran when the recording began, and has run on, it is the scheduler's own figure.
    fn add_on_cpu(&self, bpf: &Bpf, recorder: &mut Recorder, processes: &FxHashMap<u32, u32>, now: u64) -> Result<()> {
        let mut times: FxHashMap<u32, (u32, ThreadTime)> = FxHashMap::default();
        for (tid, on) in bpf.on_cpu()? {
            let Some(pid) = processes.get(&tid).copied().or_else(|| recorder.process_of(tid)) else { continue };
            if !recorder.has_life(pid, tid) {
                recorder.add_life(pid, tid, on.first);
            }
            let since = (on.since > 0).then_some(on.since);
            // The programs do not follow the last thread of a process through its end.
            let time = match since.zip(recorder.end_of(pid, tid)) {
                Some((since, end)) => {
                    let on = on.time + end.saturating_sub(since);
                    ThreadTime { on, since: None, seen: (0, end) }
                }
                None => ThreadTime { on: on.time, since, seen: (on.first, now) },
            };
            times.insert(tid, (pid, time));
        }
        for (tid, ran) in &self.ran {
            if let Some(last) = ran.last {
                // The scheduler's figures were read a moment after the begin, and before the end.
                let on = last.saturating_sub(ran.first).min(now.saturating_sub(self.began));
                times.insert(*tid, (ran.pid, ThreadTime { on, since: None, seen: (self.began, now) }));
            }
        }
        for (tid, (pid, time)) in times {
            recorder.add_on_cpu(pid, tid, time);
        }
        Ok(())
    }
}

/// What the programs are asked for, besides whom.
pub(super) fn ask(request: &mut Request, waits: &OffCpuOptions, is_wide: bool) {
    request.programs.off_cpu = true;
    request.kernel_threads = waits.kernel_threads;
    request.wakers = waits.wakers;
    request.state_mask = waits.states.bits;
    request.min_block = nanoseconds(waits.min_block);
    request.max_block = nanoseconds(waits.max_block);
    // Where each waker has a row, or each process of a machine, there are many.
    request.waits = if waits.wakers || is_wide { 1 << 18 } else { 1 << 16 };
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A cgroup as programs know it: by the number of its directory, and how deep it is below the root of all.
///
/// # Errors
/// Why it cannot be told to them.
pub(super) fn cgroup(path: &Path) -> std::result::Result<Whom, String> {
    use std::os::unix::fs::MetadataExt;
    /// `PROC_CGROUP_INIT_INO`, include/linux/proc_ns.h.
    const OF_MACHINE: u64 = 0xEFFF_FFFB;
    let inode = |path: &Path| std::fs::metadata(path).map(|directory| directory.ino());
    let id = inode(path).map_err(|error| format!("the cgroup cannot be read: {error}"))?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let is_whole = inode(Path::new("/proc/self/ns/cgroup")).map_or(true, |inode| inode == OF_MACHINE);
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    match level(&path, &mounts).filter(|_| is_whole) {
        Some(level) => Ok(Whom::Cgroup { id, level }),
        None => Err("how deep a cgroup is cannot be told in a cgroup namespace; on the host it can".into()),
    }
}

/// How many cgroups are above one, by where their file system is mounted (`proc_pid_mountinfo(5)`).
fn level(path: &Path, mounts: &str) -> Option<u32> {
    let mounted = mounts.lines().filter_map(|line| {
        let (fields, rest) = line.split_once(" - ")?;
        let mut fields = rest.starts_with("cgroup2 ").then(|| fields.split(' ').skip(3))?;
        let (root, place) = (Path::new(fields.next()?), Path::new(fields.next()?));
        Some((root, path.strip_prefix(place).ok()?))
    });
    let (root, below) = mounted.min_by_key(|(_, below)| below.components().count())?;
    let count = |path: &Path| path.components().filter(|part| matches!(part, Component::Normal(_))).count() as u32;
    let is_outside = root.components().any(|part| part == Component::ParentDir);
    (!is_outside).then(|| count(root) + count(below))
}

fn waiting(task: &OffTask) -> WaitingThread<'_> {
    let record = &task.record;
    WaitingThread { pid: record.tgid, tid: record.tid, kernel: &task.kernel, registers: registers(task) }
}

/// A thread's registers of user mode, by DWARF's numbers; nothing of a thread of the kernel.
fn registers(task: &OffTask) -> Option<Registers> {
    // `PERF_SAMPLE_REGS_ABI_32` and `_64`.
    let processor = Processor::HERE?.with_abi(if task.record.is_64 == 1 { 2 } else { 1 })?;
    let numbers = Processor::HERE.map_or(0, |here| usize::from(here == Processor::Aarch64) * 16 + 16);
    let (ip, sp) = (task.registers[numbers], task.registers[usize::from(Processor::HERE?.sp())]);
    // In a 32-bit program they have other numbers.
    let mut registers = Registers::new(processor, ip, sp);
    if Processor::HERE == Some(processor) {
        for (number, value) in task.registers[..numbers].iter().enumerate() {
            registers.set(number as u16, Some(*value));
        }
    }
    (ip != 0).then_some(registers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_cgroups_are_counted_from_the_root_of_all() {
        let mounts = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
                      60 1 0:38 /pods/one /mnt rw - cgroup2 none rw\n61 1 0:38 /.. /up rw - cgroup2 none rw\n";
        let level = |path: &str| level(Path::new(path), mounts);
        assert_eq!(level("/sys/fs/cgroup/unified"), Some(0));
        assert_eq!(level("/sys/fs/cgroup/unified/a/b"), Some(2));
        assert_eq!(level("/mnt"), Some(2));
        assert_eq!(level("/mnt/c"), Some(3));
        assert_eq!(level("/up/c"), None);
        assert_eq!(level("/elsewhere"), None);
    }
}
