//! The command that is started to be recorded.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};

use super::options::{CommandStreams, RecordOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::sampler::Target;
use crate::sampler::sys::{self, WaitingChild, Whose};

/// Starts a command that waits before it runs its program.
pub(super) fn spawn(words: &[std::ffi::OsString], options: &RecordOptions) -> Result<WaitingChild> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(Error::new(ErrorKind::Usage, "no command is given").with_hint("profile -- COMMAND [ARGUMENT ..]"));
    };
    let mut command = Command::new(program);
    command.args(arguments);
    let cannot_start = |error| Error::io(format!("cannot start {}", program.display()), error);
    if options.command_output_to_stderr {
        command.stdout(std::io::stderr());
    }
    if let Some(CommandStreams { output, errors }) = &options.command_streams {
        let copy = |file: &File| file.try_clone().map(Stdio::from).map_err(cannot_start);
        command.stdin(Stdio::null());
        command.stdout(output.as_deref().map_or_else(|| Ok(Stdio::null()), copy)?);
        command.stderr(copy(errors)?);
    }
    if let Some(folder) = &options.command_folder {
        command.current_dir(folder);
    }
    if options.command_group {
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
    }
    WaitingChild::spawn(command).map_err(cannot_start)
}

/// Explains why a command's program could not be run.
pub(super) fn cannot_run(target: &Target, error: std::io::Error) -> Error {
    let program = match target {
        Target::Command(words) => words.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default(),
        _ => String::new(),
    };
    let hint = match error.kind() {
        std::io::ErrorKind::NotFound => "is it installed, and in PATH? a file of this folder is ./NAME",
        std::io::ErrorKind::PermissionDenied => "is it executable? `ls -l` shows it; `chmod +x` makes it so",
        _ => "the command after -- is a program and its arguments",
    };
    Error::io(format!("cannot run {program}"), error).with_hint(hint)
}

/// Ends a command that still runs, or all of its group: we started it, so it does not stay behind.
pub(super) fn tell_to_end(child: &mut Option<Child>, is_group: bool) {
    if let Some(child) = child
        && matches!(child.try_wait(), Ok(None))
        && let Some(pid) = Pid::from_raw(child.id() as i32)
    {
        let _ = match is_group {
            true => kill_process_group(pid, Signal::TERM),
            false => kill_process(pid, Signal::TERM),
        };
    }
}

/// Ends a command and all of its process group: tells them to, and after `patience` makes them.
pub(super) fn end_group(child: &mut Child, patience: Duration) {
    let Some(group) = Pid::from_raw(child.id() as i32) else { return };
    // While one of them is there, no other group can have its number. One of another user is there, and may not be told anything.
    let is_there = || test_kill_process_group(group) != Err(rustix::io::Errno::SRCH);
    let _ = kill_process_group(group, Signal::TERM);
    let mut end = Instant::now() + patience;
    let mut is_killed = false;
    while matches!(child.try_wait(), Ok(None)) || is_there() {
        if Instant::now() >= end {
            if is_killed {
                // It is another user's, or does not come out of the kernel: nobody waits for that.
                break;
            }
            let _ = kill_process_group(group, Signal::KILL);
            (is_killed, end) = (true, Instant::now() + patience);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits for a command's own end, but no longer than `grace`.
pub(super) fn wait_for_child(child: &mut Option<Child>, grace: Duration) {
    let end = Instant::now() + grace;
    while let Some(child) = child
        && matches!(child.try_wait(), Ok(None))
        && Instant::now() < end
    {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// User and kernel time of the command, if it has ended; what it waited for is in it.
///
/// `before` is what children had used when it was started: a process that executed us may have had some.
pub(super) fn times_of_child(child: &mut Child, before: (Duration, Duration)) -> (Duration, Duration) {
    let _ = child.try_wait();
    let (user, kernel) = sys::cpu_times(Whose::Children);
    (user.saturating_sub(before.0), kernel.saturating_sub(before.1))
}
