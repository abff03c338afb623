//! Whether stacks that were walked in the kernel were walked by what was mapped: records of mappings beside what was listed.
//!
//! ```text
//! list of a process, read at time r:  [ A at 1000 ]            epoch E
//! record of a mapping at time t:                  [ B at 1000 ]
//! stack by E, at time s:               r <= s < t: A is A      s >= t > r: what is said to be in A is not to be trusted
//! ```
//! Mostly nothing is mapped over what is listed. Then all of this costs one look-up for each sample.

mod suspects;

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::aliases::Aliases;
use super::code::Change;
use super::epochs::{Epoch, Epochs};
use crate::perf::record;
use crate::process::{clock, proc};
pub(super) use suspects::Suspects;
use suspects::{Judge, OfWaits};

/// So many mappings are remembered of a process.
const MOST_CHANGES: usize = 1024;
/// So many processes are remembered whose first thread has ended, before it is looked whether others run on.
const KEPT_ENDED: usize = 1024;

/// Of one process.
#[derive(Clone, Debug, Default)]
struct Process {
    /// In order of time.
    changes: Arc<Vec<Change>>,
    /// Changes were forgotten up to this time.
    forgotten: u64,
    /// Epochs of waits for which those were looked at before.
    judged_before: Vec<u32>,
    /// How many of the changes are its parent's.
    of_parent: usize,
    /// The epochs that it may have had from its parent.
    from_parent: Vec<u32>,
    /// Whether its first thread has ended, and nothing has come of it since.
    has_ended: bool,
    /// The last epoch of samples from which was learned what records and lists call by other numbers, and its version then.
    learned: (u32, u32),
    judged: Option<Judged>,
}

/// What was found out last, of samples.
#[derive(Clone, Debug)]
struct Judged {
    number: u32,
    epoch: Option<Arc<Epoch>>,
    version: u32,
    aliases: usize,
    /// By samples of before.
    good_until: u64,
    suspects: Option<Arc<Suspects>>,
}

impl Process {
    /// What of an epoch was not there any more, by changes up to `until`; `by_last`: of changes at one place the last one counts.
    /// `forgotten`: until when changes are not known.
    fn judge(
        &self,
        epoch: Option<&Epoch>,
        aliases: &Aliases,
        (until, by_last): (u64, bool),
        forgotten: u64,
    ) -> Suspects {
        let Some(epoch) = epoch else { return Suspects::all() };
        Judge { changes: &self.changes, aliases, until, by_last, forgotten }.judge(&epoch.ranges()).0
    }

    /// The same of an epoch of waits, of which some changes may have been looked at before.
    fn judge_waits(&self, number: u32, epoch: Option<&Epoch>, aliases: &Aliases, until: u64) -> Suspects {
        let forgotten = if self.judged_before.contains(&number) { 0 } else { self.forgotten };
        self.judge(epoch, aliases, (until, false), forgotten)
    }

    /// Forgets half of the changes.
    fn forget(&mut self) {
        let gone = self.changes.len() / 2;
        let Some(last) = gone.checked_sub(1) else { return };
        self.forgotten = self.changes[last].time;
        self.of_parent = self.of_parent.saturating_sub(gone);
        Arc::make_mut(&mut self.changes).drain(..gone);
    }

    fn push(&mut self, change: Change) {
        (self.judged, self.has_ended) = (None, false);
        let changes = Arc::make_mut(&mut self.changes);
        // Records come in order of time, but for a few that come late.
        let at = changes.iter().rposition(|before| before.time <= change.time).map_or(0, |at| at + 1);
        changes.insert(at, change);
    }
}

/// How it is found out whether a thread of a process runs.
#[derive(Debug)]
struct Runs(fn(u32) -> bool);

impl Default for Runs {
    fn default() -> Runs {
        fn is_running(tid: u32) -> bool {
            proc::status(tid).is_ok_and(|status| !status.has_ended())
        }
        Runs(|pid| proc::threads(pid).is_ok_and(|threads| threads.into_iter().any(is_running)))
    }
}

/// The changes of all processes.
#[derive(Debug, Default)]
pub(super) struct Changes {
    epochs: Arc<Epochs>,
    /// Whether stacks are walked in the kernel at all.
    is_on: bool,
    with_waits: bool,
    processes: FxHashMap<u32, Process>,
    /// Processes whose first thread has ended: of others, and of the last moment, something may still come.
    ended: VecDeque<u32>,
    /// By those: when it was seen that none of their threads runs any more.
    gone: FxHashMap<u32, Option<u64>>,
    runs: Runs,
    /// How often there was no room for all changes of a process, or for what they said of an epoch of waits.
    pub forgotten: u64,
    /// Of processes that have ended or run another program.
    of_waits: OfWaits,
}

impl Changes {
    pub fn new(epochs: Arc<Epochs>) -> Changes {
        Changes { with_waits: epochs.with_waits(), epochs, is_on: true, ..Changes::default() }
    }

    /// Code was mapped.
    pub fn mapped(&mut self, mmap: &record::Mmap<'_>) {
        if self.is_on
            && let Some(change) = Change::of(mmap)
        {
            let process = self.processes.entry(mmap.pid).or_default();
            process.push(change);
            if process.changes.len() >= MOST_CHANGES {
                self.forget_some(mmap.pid);
            }
        }
    }

    /// A process was forked: what is mapped in it is what is mapped in its parent.
    pub fn forked(&mut self, parent: u32, pid: u32, time: u64) {
        if !self.is_on || parent == pid {
            return;
        }
        self.ended(pid, time);
        // Of waits it is to be known which epochs it may have, also where nothing has been mapped yet.
        let unchanged = Process::default();
        let from = match self.processes.get(&parent) {
            Some(from) => from,
            None if self.with_waits => &unchanged,
            None => return,
        };
        let mut from_parent = Vec::new();
        if self.with_waits {
            let (its_own, has_own) = self.epochs.told_at(parent, time);
            from_parent = its_own;
            if !has_own {
                from_parent.extend(&from.from_parent);
            }
        }
        let changes = from.changes.clone();
        let process = Process {
            of_parent: changes.len(),
            changes,
            forgotten: from.forgotten,
            judged_before: from.judged_before.clone(),
            from_parent,
            ..Process::default()
        };
        self.processes.insert(pid, process);
    }

    /// A process runs another program, or has ended: nothing of what was mapped is any more.
    pub fn ended(&mut self, pid: u32, time: u64) {
        if !self.is_on {
            return;
        }
        self.gone.remove(&pid);
        let process = self.processes.remove(&pid);
        if self.with_waits {
            self.settle(pid, process.as_ref(), time);
        }
    }

    /// The first thread of a process has ended; others may run on.
    pub fn leader_ended(&mut self, pid: u32, time: u64) {
        /// Each is looked at twice, mostly: so it does not grow.
        const LOOKS: usize = 3;
        if !self.is_on {
            return;
        }
        if let Some(process) = self.processes.get_mut(&pid) {
            process.has_ended = true;
        } else if !self.with_waits {
            return;
        }
        self.ended.push_back(pid);
        self.gone.insert(pid, None);
        for _ in 0..LOOKS {
            if self.ended.len() > KEPT_ENDED
                && let Some(pid) = self.ended.pop_front()
            {
                self.look_at_ended(pid, time);
            }
        }
    }

    /// Forgets a process of which nothing comes any more: it was gone at a time up to which all records have come.
    fn look_at_ended(&mut self, pid: u32, time: u64) {
        // Its number may be another process's since.
        let Some(gone) = self.gone.get_mut(&pid) else { return };
        // Or something has come of it since it was looked at.
        if let Some(process) = self.processes.get_mut(&pid)
            && !std::mem::replace(&mut process.has_ended, true)
        {
            *gone = None;
        }
        match gone {
            Some(gone) if *gone < time => return self.ended(pid, u64::MAX),
            None if !(self.runs.0)(pid) => *gone = Some(clock::now()),
            Some(_) | None => {}
        }
        self.ended.push_back(pid);
    }

    /// Finds out which stacks of waits of a process are not to be trusted.
    fn settle(&mut self, pid: u32, process: Option<&Process>, time: u64) {
        let told = self.epochs.take_told(pid, time);
        let Some(process) = process else { return };
        self.learn(&told, process, time);
        for (number, _) in &told {
            self.settle_epoch(*number, process, true);
        }
        // Until it had a list of its own.
        if process.changes.len() > process.of_parent {
            for number in &process.from_parent {
                self.settle_epoch(*number, process, false);
            }
        }
    }

    /// Learns which files records and lists call by other numbers; all changes up to `time` are known.
    fn learn(&self, told: &[(u32, u64)], process: &Process, time: u64) {
        if process.changes.is_empty() {
            return;
        }
        for epoch in told.iter().filter_map(|(number, _)| self.epochs.get(*number)) {
            self.epochs.learn(&epoch, &process.changes, time);
        }
    }

    fn settle_epoch(&mut self, number: u32, process: &Process, is_own: bool) {
        let epoch = self.epochs.get(number);
        // A process that it has forked may have it for longer.
        let until = epoch.as_ref().filter(|_| is_own).map_or(u64::MAX, |epoch| epoch.until());
        let suspects = process.judge_waits(number, epoch.as_deref(), &self.epochs.aliases(), until);
        if !suspects.is_empty() {
            self.forgotten += self.of_waits.add(number, &suspects);
        }
    }

    /// There is no room for more changes of a process: what they say of waits is found out now.
    fn forget_some(&mut self, pid: u32) {
        let Some(mut process) = self.processes.remove(&pid) else { return };
        if self.with_waits {
            let all = self.epochs.told_of(pid);
            let known_until = process.changes.last().map_or(0, |change| change.time);
            self.learn(&all, &process, known_until);
            for (number, _) in &all {
                self.settle_epoch(*number, &process, true);
            }
            for number in process.from_parent.clone() {
                self.settle_epoch(number, &process, false);
            }
            process.judged_before = all.iter().map(|(number, _)| *number).chain(process.from_parent.clone()).collect();
            // Of those that ended before what is kept, nothing else will be found.
            let kept = process.changes[process.changes.len() / 2].time;
            self.epochs.forget_told(pid, kept);
        }
        process.forget();
        self.forgotten += 1;
        self.processes.insert(pid, process);
    }

    /// No more records come.
    fn settle_all(&mut self) {
        for (pid, process) in &self.processes {
            self.learn(&self.epochs.told_of(*pid), process, u64::MAX);
        }
        for (pid, process) in std::mem::take(&mut self.processes) {
            self.settle(pid, Some(&process), u64::MAX);
        }
    }

    /// What is not to be trusted of an epoch's waits, when all records have come; mostly nothing.
    pub fn of_wait(&mut self, epoch: u32) -> Option<Arc<Suspects>> {
        self.settle_all();
        self.of_waits.get(epoch)
    }

    /// What is not to be trusted of a sample that is the next one in order of time; mostly nothing.
    pub fn of_sample(&mut self, pid: u32, number: u32, time: u64) -> Option<Arc<Suspects>> {
        let process = self.processes.get_mut(&pid)?;
        process.has_ended = false;
        if let Some(judged) = &process.judged
            && judged.number == number
            && judged.epoch.as_ref().is_none_or(|epoch| epoch.version() == judged.version)
            && judged.aliases == self.epochs.alias_count()
            && time < judged.good_until
        {
            return judged.suspects.clone();
        }
        let epoch = self.epochs.get(number);
        let version = epoch.as_ref().map_or(0, |epoch| epoch.version());
        let mut good_until = u64::MAX;
        if let Some(epoch) = epoch.as_ref().filter(|_| process.learned != (number, version)) {
            let seen = self.epochs.learn(epoch, &process.changes, time);
            match seen <= time {
                true => process.learned = (number, version),
                // It was read anew since the sample was taken: what is beside it has not come yet.
                false => good_until = seen,
            }
        }
        let aliases = (self.epochs.alias_count(), self.epochs.aliases());
        let suspects = process.judge(epoch.as_deref(), &aliases.1, (u64::MAX, true), process.forgotten);
        let suspects = (!suspects.is_empty()).then(|| Arc::new(suspects));
        let judged = Judged { number, epoch, version, aliases: aliases.0, good_until, suspects: suspects.clone() };
        process.judged = Some(judged);
        suspects
    }
}

#[cfg(test)]
mod tests;
