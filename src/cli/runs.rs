//! The files of two sides, each read as a run of its own.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};

use flameprofile::gate::{Runs, Side};
use flameprofile::import::{ImportOptions, Input, import};
use flameprofile::model::Profile;
use flameprofile::{Error, ErrorKind, Result};

use super::gate;
use super::progress::ProgressLine;

/// One file, which is one run.
#[derive(Clone, Debug)]
pub struct RunFile {
    pub side: Side,
    pub path: PathBuf,
    /// Units of work, if they were typed.
    pub work: Option<f64>,
}

/// Reads all of them, on all CPUs, and adds them in their order; `check` may refuse one.
///
/// # Errors
///
/// Those of the import, and that it was stopped: a part of the runs says nothing.
pub fn read(
    files: &[RunFile],
    options: &ImportOptions,
    runs: &mut Runs,
    progress: &mut ProgressLine,
    check: &mut dyn FnMut(&RunFile, &Profile) -> Result<()>,
) -> Result<()> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(files.len()).max(1);
    let next = AtomicUsize::new(0);
    let (sender, receiver) = channel();
    // Who reads one has a permit, which comes back when it is added: few wait for that, as each is a whole profile.
    let (permits, permit) = channel();
    let permit = Mutex::new(permit);
    for _ in 0..workers + 2 {
        let _ = permits.send(());
    }
    std::thread::scope(|scope| {
        // It goes with an error: whoever waits for a permit then ends.
        let permits = permits;
        for _ in 0..workers {
            let (sender, next, permit) = (sender.clone(), &next, &permit);
            scope.spawn(move || {
                while permit.lock().unwrap_or_else(PoisonError::into_inner).recv().is_ok() {
                    let row = next.fetch_add(1, Ordering::Relaxed);
                    let Some(file) = files.get(row) else { break };
                    let input = match file.path == Path::new("-") {
                        true => Input::stdin(),
                        false => Input::Path(file.path.clone()),
                    };
                    // Without an answer the others would wait for ever.
                    let import = || import(vec![input], options, &mut |_| ());
                    let read = catch_unwind(AssertUnwindSafe(import)).unwrap_or_else(|_| {
                        let message = format!("{} could not be read: a mistake of ours", file.path.display());
                        Err(Error::new(ErrorKind::Malformed, message).with_hint("please report it, with the file"))
                    });
                    if sender.send((row, read)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut early: BTreeMap<usize, Result<Profile>> = BTreeMap::new();
        for row in 0..files.len() {
            let profile = loop {
                if let Some(profile) = early.remove(&row) {
                    break profile?;
                }
                let Ok((of, read)) = receiver.recv() else {
                    return Err(Error::new(ErrorKind::Io, "not all files were read"));
                };
                early.insert(of, read);
            };
            if options.stop.load(Ordering::Relaxed) {
                progress.clear();
                return Err(Error::new(ErrorKind::Io, "stopped before all runs were read")
                    .with_hint("a part of the runs says nothing of both sides"));
            }
            let file = &files[row];
            check(file, &profile)?;
            gate::add(runs, file.side, file.path.display().to_string(), profile, file.work);
            // Nobody waits any more if all are read.
            let _ = permits.send(());
            progress.show_runs(row + 1, files.len());
        }
        progress.clear();
        Ok(())
    })
}
