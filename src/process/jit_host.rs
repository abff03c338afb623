//! What is needed to name a process's JIT code later, even when the process is gone.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use super::Runtime;
use crate::error::{Error, ErrorKind, Result};
use crate::model::ImageId;

/// A process that runs code which no file holds, and which may leave a perf map (`/tmp/perf-PID.map`).
#[derive(Debug)]
pub struct JitHost {
    pid: u32,
    namespace_pid: u32,
    uid: u32,
    root: Option<OwnedFd>,
    /// When it began, in seconds since 1970.
    began: Option<u64>,
    image: Option<ImageId>,
    runtime: Option<Runtime>,
}

impl JitHost {
    /// Notes down who the process is, and keeps its root directory reachable.
    ///
    /// # Errors
    /// `NotFound` if there is no such process any more, `Permission` if its root may not be looked into.
    pub fn open(pid: u32) -> Result<JitHost> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))
            .map_err(|error| Error::io(format!("cannot read the status of process {pid}"), error))?;
        let (namespace_pid, uid) = parse_status(&status).ok_or_else(|| {
            Error::new(ErrorKind::Malformed, format!("the status of process {pid} names no pid or no owner"))
        })?;
        let root = rustix::fs::open(
            format!("/proc/{pid}/root"),
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|error| Error::io(format!("cannot look into the root directory of process {pid}"), error.into()))?;
        let began = when_began(pid).ok();
        Ok(JitHost { pid, namespace_pid, uid, root: Some(root), began, image: None, runtime: None })
    }

    /// A process that is gone already, and was begun by us at `unix` or later, in seconds since 1970: as far as it lived
    /// where we do, its map can be had.
    pub fn gone(pid: u32, unix: u64) -> JitHost {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open("/", flags, Mode::empty()).ok();
        let uid = rustix::process::geteuid().as_raw();
        JitHost { uid, root, began: Some(unix), ..JitHost::recorded(pid) }
    }

    /// A process of a recording.
    pub fn recorded(pid: u32) -> JitHost {
        JitHost { pid, namespace_pid: pid, uid: 0, root: None, began: None, image: None, runtime: None }
    }

    /// The same once more; nothing if no more files can be open.
    pub fn try_clone(&self) -> Option<JitHost> {
        let root = self.root.as_ref().map(OwnedFd::try_clone).transpose().ok()?;
        Some(JitHost { root, ..*self })
    }

    /// The same, with the image that stands for its memory.
    #[must_use]
    pub fn of_image(self, image: ImageId) -> JitHost {
        JitHost { image: Some(image), ..self }
    }

    /// Says which runtime it is.
    #[must_use]
    pub fn of_runtime(self, runtime: Option<Runtime>) -> JitHost {
        JitHost { runtime, ..self }
    }

    /// The same for a process that began before `unix`, in seconds since 1970: process ids come round, and what runs now
    /// by an id of a recording need not be what was recorded.
    ///
    /// # Errors
    /// As [`JitHost::open`]; `NotFound` too if the process began later.
    pub fn open_older(pid: u32, unix: u64) -> Result<JitHost> {
        let host = JitHost::open(pid)?;
        if when_began(pid)? > unix {
            let message = format!("process {pid} began after what was recorded by that id");
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        Ok(host)
    }

    /// Its id in our pid namespace.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its id as it sees it itself, in its innermost pid namespace.
    pub fn namespace_pid(&self) -> u32 {
        self.namespace_pid
    }

    /// The user that it acts as, in our user namespace.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Its root directory, opened with `O_PATH`; nothing if the process is of a recording.
    pub fn root(&self) -> Option<BorrowedFd<'_>> {
        self.root.as_ref().map(OwnedFd::as_fd)
    }

    /// The image that stands for its memory of no file.
    pub fn image(&self) -> Option<ImageId> {
        self.image
    }

    /// Which runtime it is, as far as the files tell that it has mapped.
    pub fn runtime(&self) -> Option<Runtime> {
        self.runtime
    }

    /// Whether it still runs; one of a recording is not known to.
    pub fn is_running(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        // A zombie has ended, and has only not been waited for.
        let has_ended = stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']));
        self.root.is_some() && !has_ended && self.began.is_some() && when_began(self.pid).ok() == self.began
    }

    /// Whether a file that was last written to at `unix` may be of this process: not if that was before it began, give or take
    /// the second that both are rounded to.
    pub fn may_have_written(&self, unix: i64) -> bool {
        self.began.is_none_or(|began| u64::try_from(unix).is_ok_and(|unix| unix.saturating_add(2) >= began))
    }
}

fn when_began(pid: u32) -> Result<u64> {
    let read =
        |path: &str| std::fs::read_to_string(path).map_err(|error| Error::io(format!("cannot read {path}"), error));
    began(&read(&format!("/proc/{pid}/stat"))?, &read("/proc/stat")?).ok_or_else(|| {
        Error::new(ErrorKind::Malformed, format!("the state of process {pid} does not say when it began"))
    })
}

/// The innermost pid and the effective uid; see `proc_pid_status(5)`. Kernels before 4.1 give no `NSpid`, only `Pid`.
fn parse_status(status: &str) -> Option<(u32, u32)> {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let pid = field("NSpid:").or_else(|| field("Pid:"))?.split_ascii_whitespace().last()?.parse().ok()?;
    let uid = field("Uid:")?.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some((pid, uid))
}

/// When a process began, in seconds since 1970, out of its `stat` and the system's: its field 22 counts ticks since the
/// system began, at `btime`; a tick is a hundredth of a second on all processors that we know (`USER_HZ`,
/// `proc_pid_stat(5)`, `proc_stat(5)`).
fn began(process: &str, system: &str) -> Option<u64> {
    // The name stands in parentheses, and may hold anything.
    let (_, rest) = process.rsplit_once(") ")?;
    let ticks: u64 = rest.split(' ').nth(22 - 3)?.parse().ok()?;
    let boot: u64 = system.lines().find_map(|line| line.strip_prefix("btime "))?.parse().ok()?;
    boot.checked_add(ticks / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn innermost_pid_and_effective_user_are_taken() {
        let status = "Name:\tnode\nPid:\t4121\nUid:\t0\t1000\t0\t0\nNSpid:\t4121\t77\t1\n";
        assert_eq!(parse_status(status), Some((1, 1000)));
        assert_eq!(parse_status("Pid:\t12\nUid:\t5\t6\t7\t8\n"), Some((12, 6)));
        assert_eq!(parse_status("Pid:\tx\nUid:\t5\n"), None);
    }

    #[test]
    fn own_process_is_a_host() {
        let host = JitHost::open(std::process::id()).unwrap();
        assert_eq!(host.uid(), rustix::process::geteuid().as_raw());
        assert_eq!(host.pid(), std::process::id());
        assert!(host.is_running() && !JitHost::recorded(std::process::id()).is_running());
    }

    #[test]
    fn ended_process_does_not_run() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let host = JitHost::open(child.id()).unwrap();
        assert!(host.is_running());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!host.is_running());
    }

    #[test]
    fn what_was_written_before_is_of_another_process() {
        let host = JitHost::gone(std::process::id(), 1000);
        assert!(host.root().is_some());
        assert!(host.may_have_written(1000) && host.may_have_written(998) && !host.may_have_written(997));
        assert!(!host.may_have_written(-1));
        assert!(JitHost::recorded(1).may_have_written(0) && JitHost::recorded(1).root().is_none());
    }

    #[test]
    fn process_that_began_later_is_another_one() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let own = std::process::id();
        assert!(JitHost::open_older(own, now + 1).is_ok());
        assert_eq!(JitHost::open_older(own, now - 7 * 86_400).unwrap_err().kind(), ErrorKind::NotFound);
        let stat = "12 (a) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 250 20 21";
        assert_eq!(began(stat, "cpu 1 2\nbtime 1000\n"), Some(1002));
        assert_eq!((began("12 (a) S 1", "btime 1\n"), began(stat, "")), (None, None));
    }

    #[test]
    fn missing_process_is_not_found() {
        assert_eq!(JitHost::open(u32::MAX).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
