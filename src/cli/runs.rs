//! The files of two sides, each read as a run of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;

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
    // Few wait to be added: each is a whole profile.
    let (sender, receiver) = sync_channel(1);
    std::thread::scope(|scope| {
        // It goes with an error: whoever waits to hand over a profile then ends.
        let receiver = receiver;
        for _ in 0..workers {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let row = next.fetch_add(1, Ordering::Relaxed);
                    let Some(file) = files.get(row) else { break };
                    let input = match file.path == Path::new("-") {
                        true => Input::stdin(),
                        false => Input::Path(file.path.clone()),
                    };
                    let read = import(vec![input], options, &mut |_| ());
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
            progress.show_runs(row + 1, files.len());
        }
        progress.clear();
        Ok(())
    })
}
