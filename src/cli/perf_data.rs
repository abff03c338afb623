//! `-f perf-data`: where a perf.data goes while it is recorded, and how it is closed.

use std::fs::File;
use std::io::{self, IsTerminal, Seek};
use std::os::fd::AsFd;

use flameprofile::model::CaptureStats;
use flameprofile::perf::data::write::Output;
use flameprofile::session::{PerfData, Written};
use flameprofile::{Error, ErrorKind, Result};
use rustix::fs::OFlags;

use super::output::OutputFile;

/// Opens what the records go to: the file, or standard output.
pub fn open(file: Option<&OutputFile>, compress: bool) -> Result<PerfData> {
    let handle = match file {
        Some(file) => file.handle()?,
        None if io::stdout().is_terminal() => {
            return Err(Error::new(ErrorKind::Usage, "a perf.data is not for a terminal")
                .with_hint("name a file: -o perf.data; or send it on: profile -f perf-data .. | perf report -i -"));
        }
        None => {
            let stdout = io::stdout().as_fd().try_clone_to_owned();
            File::from(stdout.map_err(|error| Error::io("cannot write to standard output", error))?)
        }
    };
    let output = match can_go_back(&handle) {
        true => Output::File(Box::new(handle)),
        false if compress => {
            // perf 6.1 fails on its own too: "Couldn't decompress data".
            return Err(Error::new(ErrorKind::Usage, "perf cannot read a packed perf.data from a pipe")
                .with_hint("name a file with -o, or leave out -z and pack the stream: | zstd"));
        }
        false => Output::Pipe(Box::new(handle)),
    };
    let command_line = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    Ok(PerfData { output, compress, command_line })
}

/// Puts the file in its place, and says why it is not whole if it is not.
pub fn close(file: Option<OutputFile>, written: Written, stats: &CaptureStats) -> Result<()> {
    let name = match &file {
        Some(file) => file.path().display().to_string(),
        None => "standard output".to_owned(),
    };
    let kept = match file {
        Some(file) => file.keep(written.size),
        None => {
            let stdout = io::stdout().as_fd().try_clone_to_owned().map(File::from);
            // What was written behind the end is no part of it; of a pipe there is nothing to cut.
            let _ = stdout.map(|stdout| can_go_back(&stdout) && stdout.set_len(written.size).is_ok());
            Ok(())
        }
    };
    match written.failure {
        // Whoever read it has seen enough.
        Some(failure) if failure.kind() == io::ErrorKind::BrokenPipe => kept,
        Some(failure) => {
            let hint = match &kept {
                Ok(()) => format!("the recording ended there, and {} samples are in {name}", stats.samples),
                Err(_) => "free some space, or name a file on another disk with -o".into(),
            };
            Err(Error::io(format!("cannot write all of {name}"), failure).with_hint(hint))
        }
        None => kept,
    }
}

/// Whether it is a file that can be written from its start: not a pipe, and nothing that is appended to.
fn can_go_back(file: &File) -> bool {
    let is_file = file.metadata().is_ok_and(|known| known.is_file());
    let appends = rustix::fs::fcntl_getfl(file).is_ok_and(|flags| flags.contains(OFlags::APPEND));
    let mut file = file;
    is_file && !appends && file.stream_position().is_ok_and(|position| position == 0)
}
