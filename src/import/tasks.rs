//! Processes and threads as text names them: by name and ids, of which some may be missing.

use rustc_hash::FxHashMap;

use crate::model::{ProcessId, ProfileBuilder, ThreadId};

/// Finds the row of a thread, making one when it is first named.
///
/// Text has no exec and no rename: a thread of another name is another row, and a process is a new one when its main thread (whose
/// id is the process's) has another name. Where no process id is given (0), all threads of a name are one process, whose id is not
/// known.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    threads: FxHashMap<(u32, u32, Box<str>), ThreadId>,
    /// Where processes have names of their own.
    of_named: FxHashMap<(u32, Box<str>, u32, Box<str>), ThreadId>,
    /// The process of this id and name of its main thread.
    processes: FxHashMap<(u32, Box<str>), ProcessId>,
    /// The process that now has an id, and whether its main thread was seen.
    current: FxHashMap<u32, (ProcessId, bool)>,
}

impl Tasks {
    /// The thread of these ids and name.
    pub fn thread(&mut self, builder: &mut ProfileBuilder, pid: u32, tid: u32, comm: &str) -> ThreadId {
        let key = (pid, tid, comm.into());
        if let Some(known) = self.threads.get(&key) {
            return *known;
        }
        let process = self.process(builder, pid, pid == tid, comm);
        let thread = builder.add_thread(process, tid, comm);
        self.threads.insert(key, thread);
        thread
    }

    /// The thread of an id and name, of a process of an id and a name of its own.
    pub fn thread_of(
        &mut self,
        builder: &mut ProfileBuilder,
        (pid, process): (u32, &str),
        (tid, comm): (u32, &str),
    ) -> ThreadId {
        let key = (pid, process.into(), tid, comm.into());
        if let Some(known) = self.of_named.get(&key) {
            return *known;
        }
        let named = (pid, process.into());
        let process = *self.processes.entry(named).or_insert_with(|| builder.add_process(pid, process));
        let thread = builder.add_thread(process, tid, comm);
        self.of_named.insert(key, thread);
        thread
    }

    fn process(&mut self, builder: &mut ProfileBuilder, pid: u32, is_main: bool, comm: &str) -> ProcessId {
        let by_name = pid == 0 || is_main;
        match self.current.get_mut(&pid) {
            Some((process, _)) if !by_name => return *process,
            // Threads came before the main one: only now the name is known.
            Some((process, named @ false)) if pid != 0 => {
                *named = true;
                builder.rename_process(*process, comm);
                self.processes.insert((pid, comm.into()), *process);
                return *process;
            }
            _ => {}
        }
        let process = match by_name {
            true => *self.processes.entry((pid, comm.into())).or_insert_with(|| builder.add_process(pid, comm)),
            false => builder.add_process(pid, comm),
        };
        self.current.insert(pid, (process, is_main));
        process
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_find_their_process() {
        let mut builder = ProfileBuilder::new();
        let mut tasks = Tasks::default();
        let mut seen = Vec::new();
        let order = [
            (7, 8, "worker"),
            (7, 7, "server"),
            (7, 8, "worker"),
            (7, 9, "other"),
            (0, 5, "a"),
            (0, 6, "a"),
            (7, 7, "ls"),
        ];
        for (pid, tid, comm) in order {
            seen.push(tasks.thread(&mut builder, pid, tid, comm));
        }
        let profile = builder.finish();
        profile.check().unwrap();
        let process = |row: usize| {
            let process = &profile.processes[profile.threads[seen[row].index()].process.index()];
            (process.pid, profile.strings.get(process.name))
        };
        assert_eq!(process(0), (7, "server"));
        assert_eq!(process(1), (7, "server"));
        assert_eq!(seen[0], seen[2]);
        assert_eq!(process(3), (7, "server"));
        assert_eq!((process(4), process(5)), ((0, "a"), (0, "a")));
        assert_eq!(process(6), (7, "ls"), "a main thread of another name is another program");
        assert_eq!((profile.processes.len(), profile.threads.len()), (3, 6));
    }
}
