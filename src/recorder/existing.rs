//! What runs already when the recording begins.

use crate::image::Wanted;
use crate::process::proc;

use super::Recorder;

impl Recorder {
    /// Adds a child that has not run its program yet: what it maps until then is not its own.
    pub fn add_waiting(&mut self, pid: u32) {
        self.processes.add(pid);
    }

    /// Adds a process as it is now: its threads' names, and its mappings if they can be read.
    ///
    /// The events must be running already, so that what happens while `/proc` is read comes as records, later and with the
    /// last word. Returns whether the mappings could be read; a process that is gone is no failure.
    pub fn add_existing(&mut self, pid: u32) -> bool {
        let Ok(name) = proc::comm(pid, pid) else { return true };
        let process = self.processes.add(pid);
        process.name = name;
        for tid in proc::threads(pid).unwrap_or_default() {
            if let Ok(name) = proc::comm(pid, tid) {
                process.thread(tid).name = name;
            }
        }
        let lines = match proc::maps(pid) {
            Ok(lines) => lines,
            Err(error) => return error.kind() == std::io::ErrorKind::NotFound,
        };
        for line in lines {
            let on_file = line.inode != 0;
            let wanted = Wanted {
                path: if line.path.is_empty() { b"//anon" } else { &line.path },
                build_id: None,
                device: on_file.then_some(line.device),
                inode: on_file.then_some(line.inode),
                pid,
                start: line.start,
                end: line.end,
                offset: line.offset,
                time: 0,
            };
            self.map(&wanted, line.offset);
        }
        true
    }
    /// Adds a process that came to those that are recorded by no record that tells, as one that was moved into a cgroup; unless it is
    /// there, or strangers are not recorded.
    pub fn add_missed(&mut self, pid: u32) {
        if self.processes.followed(pid).is_some_and(|process| process.name.is_empty()) {
            self.add_existing(pid);
        }
    }
}
