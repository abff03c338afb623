//! `profile import`: read, then write.

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use flameprofile::import::{ImportOptions, Input, import};
use flameprofile::model::Filter;
use flameprofile::{Error, ErrorKind, Result};

use super::args::ImportArgs;
use super::debuginfod;
use super::diff;
use super::progress::ProgressLine;
use super::render::Outlet;
use super::signals;

/// Imports as the arguments say, and writes the result.
pub fn run(args: &ImportArgs) -> Result<ExitCode> {
    let downloads = args.names.downloads()?;
    let outlet = Outlet::open(&args.output)?;
    outlet.refuse_records()?;
    outlet.refuse_comparisons()?;
    outlet.refuse_inputs(&args.files)?;
    if args.files.iter().filter(|file| **file == Path::new("-")).count() > 1 {
        return Err(
            Error::new(ErrorKind::Usage, "standard input is named twice").with_hint("- may stand once among the files")
        );
    }
    let options = ImportOptions {
        from: args.from,
        names: outlet.names(),
        event: args.event.clone(),
        filter: Filter {
            time: args.time.unwrap_or_default(),
            pids: args.pid.clone(),
            tids: args.tid.clone(),
            comms: args.comm.clone(),
            cpus: args.cpu.as_ref().map(|cpus| cpus.as_slice().to_vec()).unwrap_or_default(),
        },
        debug_dirs: args.names.debug_dir.clone(),
        sysroot: args.names.sysroot.clone(),
        kallsyms: args.kallsyms.clone(),
        vmlinux: args.vmlinux.clone(),
        user_stacks: args.unwind.into(),
        ..ImportOptions::default()
    };
    signals::set_on_signal(&options.stop)?;
    // What is read a second time is there a second time.
    let kept = match downloads.is_some() && args.files.iter().any(|file| file == Path::new("-")) {
        true => Some(Kept::create()?),
        false => None,
    };
    let first = |path: &PathBuf| match (path == Path::new("-"), &kept) {
        (false, _) => Ok(Input::Path(path.clone())),
        (true, None) => Ok(Input::stdin()),
        (true, Some(kept)) => kept.copy_of(Input::stdin()),
    };
    let inputs = args.files.iter().map(first).collect::<Result<Vec<Input>>>()?;
    let mut progress = ProgressLine::new(!args.output.quiet, None);
    let profile = import(inputs, &options, &mut |state| progress.show_import(state));
    progress.clear();
    let mut profile = profile?;
    // Who has ended the reading wants what is there.
    if let Some(downloads) = downloads.filter(|_| !options.stop.load(Ordering::Relaxed)) {
        debuginfod::complete(&mut profile, &downloads, &outlet, &options.stop, |profile, _| {
            options.stop.store(false, Ordering::Relaxed);
            let again = |path: &PathBuf| match (path == Path::new("-"), &kept) {
                (true, Some(kept)) => kept.again(),
                _ => Ok(Input::Path(path.clone())),
            };
            let inputs = args.files.iter().map(again).collect::<Result<Vec<Input>>>()?;
            // Programs that are here now also lead to callers that were not found before.
            let complete = import(inputs, &options, &mut |_| {})?;
            if !options.stop.load(Ordering::Relaxed) {
                *profile = complete;
            }
            Ok(())
        })?;
    }
    profile.stats.notes.extend(diff::note_on_half(&profile).map(str::to_owned));
    outlet.write(&profile, None)?;
    Ok(ExitCode::SUCCESS)
}

/// What came by standard input, for a second reading.
#[derive(Debug)]
struct Kept {
    file: File,
}

impl Kept {
    fn create() -> Result<Kept> {
        let failed = |error| Error::io("cannot keep standard input for a second reading", error);
        let name = format!(".profile-{:016x}", RandomState::new().build_hasher().finish());
        let path = std::env::temp_dir().join(name);
        let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
        std::fs::remove_file(&path).map_err(failed)?;
        Ok(Kept { file })
    }

    /// An input that is written down while it is read.
    fn copy_of(&self, input: Input) -> Result<Input> {
        let copy = self.file.try_clone().map_err(|error| Error::io("cannot keep standard input", error))?;
        Ok(match input {
            Input::Stream { name, reader } => Input::Stream { name, reader: Box::new(Copied { reader, copy }) },
            path => path,
        })
    }

    /// What was written down, from its begin.
    fn again(&self) -> Result<Input> {
        let failed = |error| Error::io("cannot read standard input a second time", error);
        let mut file = self.file.try_clone().map_err(failed)?;
        file.rewind().map_err(failed)?;
        Ok(Input::Stream { name: "standard input".into(), reader: Box::new(file) })
    }
}

struct Copied {
    reader: Box<dyn Read + Send>,
    copy: File,
}

impl Read for Copied {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.copy.write_all(&buffer[..read])?;
        Ok(read)
    }
}
