//! Which processes and threads there are, and which of them are being recorded.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::space::{AddressSpace, Mapping};
use crate::model::{BuildId, ProcessId, ThreadId};

/// How many ended processes are kept, for records that come late.
const KEPT_ENDED: usize = 256;

/// Which tasks are recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Membership {
    /// All whose records come in: the kernel has chosen already.
    All,
    /// The processes that are added as members, and what they start.
    Tree,
    /// These threads only.
    Threads(Vec<u32>),
}

/// A process whose samples are kept.
#[derive(Clone, Debug, Default)]
pub struct ProcessState {
    /// Its name; the last one seen.
    pub name: String,
    /// What is mapped in it now; whoever needs it as it was at one moment keeps a clone.
    pub space: Arc<AddressSpace>,
    /// Its row in the profile, once it has a sample.
    pub id: Option<ProcessId>,
    /// The image of its JIT's memory, once there is some.
    pub jit: Option<crate::model::ImageId>,
    /// The image of its JIT's dump, of a process that runs.
    pub dump: Option<crate::model::ImageId>,
    /// Which runtime it is, as far as its files tell.
    pub runtime: Option<super::Runtime>,
    /// Code that a JIT will put into memory, the next one last: time, and where.
    code: Vec<(u64, Mapping)>,
    threads: FxHashMap<u32, ThreadState>,
}

/// A thread of such a process.
#[derive(Clone, Debug, Default)]
pub struct ThreadState {
    /// Its name; the last one seen.
    pub name: String,
    /// Its row in the profile, once it has a sample.
    pub id: Option<ThreadId>,
}

impl ProcessState {
    /// Says which code a JIT puts into memory when; what was said before is forgotten.
    pub fn set_code(&mut self, mut code: Vec<(u64, Mapping)>) {
        // Of two at the same time, the later row is the later code.
        code.reverse();
        code.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
        self.code = code;
    }

    /// Maps the code that was put into memory up to `time`.
    pub fn map_code(&mut self, time: u64) {
        while let Some((_, mapping)) = self.code.pop_if(|(at, _)| *at <= time) {
            self.map(mapping);
        }
    }

    /// Unmaps a range.
    pub fn unmap(&mut self, start: u64, end: u64) {
        if self.space.overlaps(start, end) {
            Arc::make_mut(&mut self.space).remove(start, end);
        }
    }

    /// Maps a range.
    pub fn map(&mut self, mapping: Mapping) {
        // Made anew only if somebody holds the old one, and if it changes.
        if self.space.find(mapping.start) != Some(&mapping) {
            Arc::make_mut(&mut self.space).insert(mapping);
        }
    }

    /// The ids of its threads that are known.
    pub fn threads(&self) -> impl Iterator<Item = u32> {
        self.threads.keys().copied()
    }

    /// The thread `tid`; an unknown one begins with the process's name.
    pub fn thread(&mut self, tid: u32) -> &mut ThreadState {
        self.threads.entry(tid).or_insert_with(|| ThreadState { name: self.name.clone(), id: None })
    }
}

/// Where the kernel and its modules are, as a recording says.
#[derive(Clone, Debug, Default)]
pub struct KernelMaps {
    /// Modules, and what else the kernel has mapped that has a name of its own.
    pub modules: AddressSpace,
    /// The address of a symbol of the kernel as it ran, and the symbol's name (`_text`, `_stext`).
    pub reference: Option<(u64, String)>,
    /// The kernel's build id.
    pub build_id: Option<BuildId>,
}

/// All processes whose samples are kept, by pid. What is not recorded is not in it.
#[derive(Debug)]
pub struct ProcessTable {
    /// The kernel.
    pub kernel: KernelMaps,
    membership: Membership,
    processes: FxHashMap<u32, ProcessState>,
    ended: VecDeque<u32>,
}

impl ProcessTable {
    /// An empty table.
    pub fn new(membership: Membership) -> ProcessTable {
        ProcessTable {
            kernel: KernelMaps::default(),
            membership,
            processes: FxHashMap::default(),
            ended: VecDeque::new(),
        }
    }

    /// Adds a member, or finds it.
    pub fn add(&mut self, pid: u32) -> &mut ProcessState {
        self.processes.entry(pid).or_default()
    }

    /// The process, if its mappings and names are to be followed.
    pub fn followed(&mut self, pid: u32) -> Option<&mut ProcessState> {
        match self.membership {
            Membership::All => Some(self.processes.entry(pid).or_default()),
            Membership::Tree | Membership::Threads(_) => self.processes.get_mut(&pid),
        }
    }

    /// The process of a sample, if the sample is to be kept.
    pub fn sampled(&mut self, pid: u32, tid: u32) -> Option<&mut ProcessState> {
        if let Membership::Threads(tids) = &self.membership
            && !tids.contains(&tid)
        {
            return None;
        }
        self.followed(pid)
    }

    /// A thread began, or a process: that one begins with its parent's memory and name.
    pub fn fork(&mut self, parent_pid: u32, parent_tid: u32, pid: u32, tid: u32) {
        let follows_children = !matches!(self.membership, Membership::Threads(_));
        let Some(parent) = self.followed(parent_pid) else { return };
        let name = parent.thread(parent_tid).name.clone();
        if parent_pid == pid {
            // A new thread; if the number was used before, that thread is gone.
            parent.threads.insert(tid, ThreadState { name, id: None });
            return;
        }
        if !follows_children {
            return;
        }
        let (space, runtime) = (parent.space.clone(), parent.runtime);
        let mut threads = FxHashMap::default();
        threads.insert(tid, ThreadState { name: name.clone(), id: None });
        self.ended.retain(|known| *known != pid);
        self.processes.insert(pid, ProcessState { name, space, threads, runtime, ..ProcessState::default() });
    }

    /// A thread has a new name; with `exec` its process runs another program from now on.
    pub fn rename(&mut self, pid: u32, tid: u32, name: &str, exec: bool) -> Option<&mut ProcessState> {
        let process = self.followed(pid)?;
        if exec {
            // All other threads are gone, and the one that is left has the pid as its id (execve(2)).
            *process = ProcessState { name: name.to_owned(), ..ProcessState::default() };
        }
        if pid == tid {
            name.clone_into(&mut process.name);
        }
        name.clone_into(&mut process.thread(tid).name);
        Some(process)
    }

    /// A thread ended.
    pub fn exit(&mut self, pid: u32, tid: u32) {
        let Some(process) = self.processes.get_mut(&pid) else { return };
        if process.threads.len() > 1 {
            // The first thread may well end before the others.
            process.threads.remove(&tid);
            return;
        }
        // Its last samples may carry a later time than its end: a state that is still there names them.
        if !self.ended.contains(&pid) {
            self.ended.push_back(pid);
            if self.ended.len() > KEPT_ENDED
                && let Some(pid) = self.ended.pop_front()
            {
                self.processes.remove(&pid);
            }
        }
    }

    /// How many processes are in it.
    pub fn count(&self) -> usize {
        self.processes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::space::Mapping;
    use super::*;
    use crate::model::ImageId;

    fn tree() -> ProcessTable {
        let mut table = ProcessTable::new(Membership::Tree);
        let process = table.add(10);
        process.name = "shell".into();
        process.map(Mapping { start: 0, end: 100, offset: 0, image: ImageId(5) });
        table
    }

    #[test]
    fn child_begins_with_its_parents_memory_and_name() {
        let mut table = tree();
        table.fork(10, 10, 11, 11);
        let child = table.sampled(11, 11).expect("a child of a member is one");
        assert_eq!((child.name.as_str(), child.space.mappings().len()), ("shell", 1));
    }

    #[test]
    fn exec_begins_with_nothing() {
        let mut table = tree();
        table.fork(10, 10, 11, 11);
        table.rename(11, 11, "cc1", true);
        let child = table.sampled(11, 11).expect("still a member");
        assert_eq!((child.name.as_str(), child.space.mappings().len()), ("cc1", 0));
        assert_eq!(table.sampled(10, 10).expect("parent").space.mappings().len(), 1);
    }

    #[test]
    fn strangers_are_not_followed() {
        let mut table = tree();
        table.fork(20, 20, 21, 21);
        table.rename(20, 20, "other", true);
        assert!(table.sampled(21, 21).is_none() && table.sampled(20, 20).is_none());
    }

    #[test]
    fn only_the_named_threads_are_sampled() {
        let mut table = ProcessTable::new(Membership::Threads(vec![12]));
        table.add(10);
        assert!(table.sampled(10, 12).is_some() && table.sampled(10, 10).is_none());
        assert!(table.followed(10).is_some());
    }

    #[test]
    fn table_does_not_grow_with_ended_processes() {
        let mut table = tree();
        for pid in (100..4000).step_by(2) {
            table.fork(10, 10, pid, pid);
            table.fork(pid, pid, pid, pid + 1);
            // Now the first thread ends before the other, now after it.
            let (first, second) = if pid % 4 == 0 { (pid, pid + 1) } else { (pid + 1, pid) };
            table.exit(pid, first);
            table.exit(pid, second);
        }
        assert!(table.count() <= KEPT_ENDED + 1);
    }
}
