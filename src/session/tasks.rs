//! Which processes and threads a target is now.

use crate::error::{Error, ErrorKind, Result};
use crate::process::proc;

/// Checks that every process is there and not a zombie.
///
/// # Errors
/// [`ErrorKind::NotFound`] with what to do.
pub(super) fn check_processes(pids: &[u32]) -> Result<()> {
    for &pid in pids {
        match proc::status(pid) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(gone("process", pid).with_source(error));
            }
            Err(_) => {}
            Ok(status) if status.tgid != pid => {
                return Err(Error::new(ErrorKind::NotFound, format!("{pid} is a thread, not a process"))
                    .with_hint(format!("use -t {pid} for that thread, or -p {} for its process", status.tgid)));
            }
            // The first thread may well end before the others.
            Ok(status) if status.has_ended() && other_threads(pid).is_empty() => {
                return Err(Error::new(
                    ErrorKind::NotFound,
                    format!("process {pid} has ended already: it is a zombie"),
                )
                .with_hint(format!("its parent {} has not collected it; sample that one", status.parent)));
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

/// The processes that `tids` are threads of.
///
/// # Errors
/// [`ErrorKind::NotFound`] for a thread that is not there.
pub(super) fn processes_of_threads(tids: &[u32]) -> Result<Vec<u32>> {
    let mut pids = Vec::new();
    for &tid in tids {
        let status = proc::status(tid).map_err(|error| gone("thread", tid).with_source(error))?;
        if status.has_ended() {
            let others = other_threads(tid);
            let ended = Error::new(ErrorKind::NotFound, format!("thread {tid} has ended already: it is a zombie"));
            return Err(match others.as_slice() {
                [] => ended.with_hint(format!("its parent {} has not collected it; sample that one", status.parent)),
                [other, ..] => ended.with_hint(format!(
                    "-p {tid} for its process, which runs on; -t {other} for another of its threads"
                )),
            });
        }
        if !pids.contains(&status.tgid) {
            pids.push(status.tgid);
        }
    }
    Ok(pids)
}

/// The threads of a process that run besides its first one.
fn other_threads(pid: u32) -> Vec<u32> {
    let mut threads = proc::threads(pid).unwrap_or_default();
    threads.retain(|tid| *tid != pid && proc::status(*tid).is_ok_and(|status| !status.has_ended()));
    threads
}

fn gone(what: &str, id: u32) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no {what} {id}"))
        .with_hint("`ps -eLf` lists processes and threads; one of another container or pid namespace is not seen here")
}
