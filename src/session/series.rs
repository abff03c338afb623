//! Runs of several commands, recorded in turn on this machine: what a comparison of commands is made of.
//!
//! ```text
//! warm-up, not recorded     round 0        round 1        round 2        round 3
//!     base new              new base       base new       base new       new base
//! ```
//!
//! A machine drifts: it grows warm, and neighbours come and go. So each round has each command once, in random order, and the next round
//! has them the other way round: what changes steadily over four runs hits two commands alike. Rounds are whole or not there.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{FallocateFlags, MemfdFlags};
use rustix::process::{Pid, PidfdFlags, Signal};

use super::command;
use super::options::{CommandStreams, RecordOptions};
use super::record::{Recording, record};
use super::stop::Stop;
use super::wait::{Ended, LONG_TICK};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Profile;
use crate::sampler::Target;

/// One of the commands.
#[derive(Clone, Debug)]
pub struct SeriesCommand {
    /// What messages call it: `base`.
    pub name: String,
    /// The program and its arguments.
    pub words: Vec<OsString>,
    /// The folder that it is started in; ours if not given.
    pub folder: Option<PathBuf>,
}

/// What is run, and how it is recorded.
#[derive(Clone, Debug)]
pub struct SeriesOptions {
    /// How each run is recorded; its target is put there.
    pub record: RecordOptions,
    /// The commands.
    pub commands: Vec<SeriesCommand>,
    /// How many runs of each command are made before, and not recorded.
    pub warm_up: u32,
    /// What the order is drawn by.
    pub seed: u64,
    /// Whether what runs write is handed on.
    pub keeps_output: bool,
    /// Whether runs that fail count too.
    pub ignores_failure: bool,
    /// How long a run may take; as long as it wants if not given.
    pub timeout: Option<Duration>,
}

/// Which run begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeriesProgress {
    /// Which command's.
    pub command: usize,
    /// How many runs were recorded before.
    pub done: u32,
    /// Whether it is not recorded.
    pub is_warm_up: bool,
    /// How long the runs took so far, on average, with all that is done about them.
    pub mean: Option<Duration>,
}

/// A run that was recorded.
#[derive(Debug)]
pub struct SeriesRun {
    /// Which command's.
    pub command: usize,
    /// Which run of that command, from 0.
    pub round: u32,
    /// Which recorded run of all, from 0.
    pub order: u32,
    /// What was recorded.
    pub profile: Profile,
    /// The end of what it wrote to its standard output, if that is kept.
    pub output: Vec<u8>,
    /// The end of what it wrote to its standard error, if that is kept.
    pub errors: Vec<u8>,
}

/// What is kept of a run's output: the last bytes of each stream.
const LONGEST: u64 = 16 << 20;
/// The same of the standard error, where nothing is looked for in it: what a run says when it fails.
const LONGEST_ERRORS: u64 = 64 << 10;
/// How long a command may take to end once it was told to.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same of a command that took too long already.
const PATIENCE_OF_LATE: Duration = Duration::from_secs(1);

/// Runs of several commands; more can be asked for until there are enough.
#[derive(Debug)]
pub struct Series {
    options: SeriesOptions,
    random: Random,
    /// The commands in the order of the last round.
    order: Vec<usize>,
    rounds: u32,
    done: u32,
    took: Duration,
    is_warm: bool,
    is_late: bool,
}

impl Series {
    /// Prepares to run commands; nothing is started yet.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if there are no commands or one has no words, [`ErrorKind::NotFound`] for a folder that is not there.
    pub fn new(options: SeriesOptions) -> Result<Series> {
        if options.commands.is_empty() {
            return Err(Error::new(ErrorKind::Usage, "no commands are given"));
        }
        for SeriesCommand { name, words, folder } in &options.commands {
            if words.is_empty() {
                return Err(Error::new(ErrorKind::Usage, format!("{name} has no command")));
            }
            // Else it would seem that the program is not there.
            if let Some(folder) = folder.as_ref().filter(|folder| !folder.is_dir()) {
                let message = format!("{name} is to run in {}, which is no folder", folder.display());
                return Err(Error::new(ErrorKind::NotFound, message));
            }
        }
        let order = (0..options.commands.len()).collect();
        let random = Random(options.seed);
        Ok(Series { options, random, order, rounds: 0, done: 0, took: Duration::ZERO, is_warm: false, is_late: false })
    }

    /// Records `rounds` more runs of each command and hands them to `each`, a whole round at a time; says how many rounds were made, which
    /// are fewer once `stop` is pressed.
    ///
    /// # Errors
    /// Those of [`record`], and if a command fails or takes too long, naming the run; those of `each`. Rounds that were handed on before count.
    pub fn run(
        &mut self,
        rounds: u32,
        stop: &Stop,
        progress: &mut dyn FnMut(SeriesProgress),
        each: &mut dyn FnMut(SeriesRun) -> Result<()>,
    ) -> Result<u32> {
        if !std::mem::replace(&mut self.is_warm, true) {
            let count = self.options.commands.len();
            for command in (0..self.options.warm_up).flat_map(|_| 0..count) {
                progress(SeriesProgress { command, done: 0, is_warm_up: true, mean: None });
                if !self.warm_up(command, stop)? {
                    return Ok(0);
                }
            }
        }
        for made in 0..rounds {
            self.draw();
            let began = Instant::now();
            let mut runs = Vec::with_capacity(self.order.len());
            for command in self.order.clone() {
                let done = self.done + runs.len() as u32;
                let mean = (self.done > 0).then(|| self.took / self.done);
                progress(SeriesProgress { command, done, is_warm_up: false, mean });
                match self.record(command, done, stop)? {
                    Some(run) => runs.push(run),
                    None => return Ok(made),
                }
            }
            self.done += runs.len() as u32;
            self.rounds += 1;
            self.took += began.elapsed();
            runs.into_iter().try_for_each(&mut *each)?;
        }
        Ok(rounds)
    }

    /// Whether the error that [`Series::run`] gave was that a run took too long.
    pub fn is_late(&self) -> bool {
        self.is_late
    }

    /// The order of the next round: drawn, or the other way round than the last one.
    fn draw(&mut self) {
        if self.rounds % 2 == 1 {
            self.order.reverse();
            return;
        }
        for last in (1..self.order.len()).rev() {
            let other = (self.random.next() % (last as u64 + 1)) as usize;
            self.order.swap(last, other);
        }
    }

    /// Runs a command as it is, with nobody watching; whether it came to its end.
    fn warm_up(&mut self, index: usize, stop: &Stop) -> Result<bool> {
        let SeriesCommand { name, words, folder } = &self.options.commands[index];
        let streams = streams(false)?;
        let (program, arguments) = words.split_first().expect("each command has a word");
        let errors = streams.errors.try_clone().map_err(no_place)?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        if let Some(folder) = folder {
            command.current_dir(folder);
        }
        if self.options.timeout.is_some() {
            command.process_group(0);
        }
        let which = format!("{name}, warm-up run");
        let started = command.spawn();
        let mut child = started.map_err(|error| of_run(&which, command::cannot_run(&target(words), error)))?;
        let end = self.options.timeout.map(|timeout| Instant::now() + timeout);
        let waited = wait(&mut child, stop, end, &mut || self.trim(&streams));
        match waited.map_err(|error| Error::io(format!("cannot wait for {which}"), error))? {
            Waited::Ended(status) => self.check(&which, index, status, &streams.errors, stop),
            Waited::Late => Err(self.late(&which, index, &mut child)),
            Waited::Stopped => {
                self.end_stopped(&mut child);
                Ok(false)
            }
        }
    }

    /// Records a run; nothing if `stop` was pressed before it ended.
    fn record(&mut self, index: usize, order: u32, stop: &Stop) -> Result<Option<SeriesRun>> {
        let SeriesCommand { name, words, folder } = &self.options.commands[index];
        let which = format!("{name}, run {}", self.rounds + 1);
        let streams = streams(self.options.keeps_output)?;
        let options = RecordOptions {
            target: target(words),
            command_streams: Some(streams.clone()),
            command_folder: folder.clone(),
            command_group: self.options.timeout.is_some(),
            duration: self.options.timeout,
            ..self.options.record.clone()
        };
        let recording = record(&options, stop, &mut |_| self.trim(&streams)).map_err(|error| of_run(&which, error))?;
        let Recording { profile, child, ended, .. } = recording;
        if let Some(mut child) = child {
            if ended == Ended::Time {
                return Err(self.late(&which, index, &mut child));
            }
            let waited = wait(&mut child, stop, None, &mut || self.trim(&streams));
            let waited = waited.map_err(|error| Error::io(format!("cannot wait for {which}"), error))?;
            let Waited::Ended(status) = waited else {
                self.end_stopped(&mut child);
                return Ok(None);
            };
            // What is cut counts no more, even if the command took it well.
            if ended == Ended::Stopped {
                self.end_stopped(&mut child);
                return Ok(None);
            }
            if !self.check(&which, index, status, &streams.errors, stop)? {
                return Ok(None);
            }
        }
        let read = |file: &Arc<File>| if self.options.keeps_output { end_of(file, LONGEST) } else { Vec::new() };
        let output = streams.output.as_ref().map(read).unwrap_or_default();
        let errors = read(&streams.errors);
        Ok(Some(SeriesRun { command: index, round: self.rounds, order, profile, output, errors }))
    }

    /// Gives back the memory of what is not kept of a run's output.
    fn trim(&self, streams: &CommandStreams) {
        let errors = if self.options.keeps_output { LONGEST } else { LONGEST_ERRORS };
        trim(&streams.errors, errors);
        if let Some(output) = &streams.output {
            trim(output, LONGEST);
        }
    }

    /// Ends a run that took too long, and says so.
    fn late(&mut self, which: &str, index: usize, child: &mut Child) -> Error {
        command::end_group(child, PATIENCE_OF_LATE);
        self.is_late = true;
        let seconds = self.options.timeout.unwrap_or_default().as_secs_f64();
        let command = self.options.commands[index].words.join(" ".as_ref());
        let message = format!("{which}: {} took longer than {seconds} s and was ended", command.display());
        Error::new(ErrorKind::Io, message).with_hint("if it is to take so long, give it more: --timeout SECONDS")
    }

    /// Ends what is left of a command that was stopped: one in a group of its own had no signal of the terminal.
    fn end_stopped(&self, child: &mut Child) {
        if self.options.timeout.is_some() {
            command::end_group(child, PATIENCE);
        }
    }

    /// Whether a run counts: not one that ended of the same Ctrl-C that ends the series.
    fn check(&self, which: &str, index: usize, status: ExitStatus, errors: &File, stop: &Stop) -> Result<bool> {
        if status.success() {
            return Ok(true);
        }
        if is_by_user(status) {
            // The signal may have come to the command first.
            let end = Instant::now() + Duration::from_millis(200);
            while !stop.is_pressed() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        if stop.is_pressed() {
            return Ok(false);
        }
        if self.options.ignores_failure {
            return Ok(true);
        }
        let command = self.options.commands[index].words.join(" ".as_ref());
        let message = format!("{which}: {} failed, {status}", command.display());
        let error = Error::new(ErrorKind::Io, message)
            .with_hint("a run that fails is no measure; if it is always so and meant, --ignore-failure takes it");
        Err(match last_lines(&end_of(errors, 4096)) {
            text if text.is_empty() => error,
            text => error.with_source(format!("its standard error ends: {text}")),
        })
    }
}

fn target(words: &[OsString]) -> Target {
    Target::Command(words.to_vec())
}

/// An error of one run, with what was to be done about it.
fn of_run(which: &str, error: Error) -> Error {
    let hint = error.hint().map(str::to_owned);
    let outer = Error::new(error.kind(), format!("{which} cannot be recorded")).with_source(error);
    match hint {
        Some(hint) => outer.with_hint(hint),
        None => outer,
    }
}

/// Files in memory, as a command may write while and after it is watched, and a pipe that nobody reads would hold it up.
fn streams(keeps_output: bool) -> Result<CommandStreams> {
    let file = |name: &str| {
        let file = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC).map_err(|error| no_place(error.into()))?;
        Ok(Arc::new(File::from(file)))
    };
    Ok(CommandStreams { output: keeps_output.then(|| file("output")).transpose()?, errors: file("errors")? })
}

fn no_place(error: std::io::Error) -> Error {
    Error::io("cannot make a place for a command's output", error)
}

/// The last bytes of a file, wherever its offset is; nothing if it cannot be read.
fn end_of(file: &File, most: u64) -> Vec<u8> {
    let size = file.metadata().map_or(0, |facts| facts.len());
    let mut bytes = vec![0; size.min(most) as usize];
    match file.read_exact_at(&mut bytes, size.saturating_sub(most)) {
        Ok(()) => bytes,
        Err(_) => Vec::new(),
    }
}

/// The last lines of a text, in one.
fn last_lines(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(4)..];
    last.iter().map(|line| line.chars().take(200).collect::<String>()).collect::<Vec<_>>().join(" | ")
}

/// Whether a signal ended it that a user sends.
fn is_by_user(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    let by_user = [Signal::INT, Signal::TERM, Signal::HUP].map(Signal::as_raw);
    // A shell says so by its own status.
    let signal = status.signal().or_else(|| status.code().map(|code| code - 128));
    signal.is_some_and(|signal| by_user.contains(&signal))
}

/// What came of waiting for a command.
enum Waited {
    /// It ended.
    Ended(ExitStatus),
    /// It was not in time; it goes on.
    Late,
    /// It was told to end, as the series is to.
    Stopped,
}

/// Waits until a child ends, or until `end`; once `stop` is pressed it is told to end. `tick` is called now and then.
fn wait(child: &mut Child, stop: &Stop, end: Option<Instant>, tick: &mut dyn FnMut()) -> std::io::Result<Waited> {
    if let Some(status) = child.try_wait()? {
        return Ok(Waited::Ended(status));
    }
    if let Some(pid) = Pid::from_raw(child.id() as i32)
        && let Ok(pidfd) = rustix::process::pidfd_open(pid, PidfdFlags::empty())
    {
        let pressed = stop.pressed();
        let mut ends = [PollFd::new(&pidfd, PollFlags::IN), PollFd::from_borrowed_fd(pressed.as_fd(), PollFlags::IN)];
        loop {
            tick();
            let left = end.map_or(LONG_TICK, |end| end.saturating_duration_since(Instant::now()).min(LONG_TICK));
            let ready = rustix::event::poll(&mut ends, Some(&left.try_into().expect("it is less than a second")));
            if ready.is_ok_and(|count| count > 0) {
                break;
            }
            if end.is_some_and(|end| Instant::now() >= end) {
                return Ok(child.try_wait()?.map_or(Waited::Late, Waited::Ended));
            }
        }
        if !ends[1].revents().is_empty() && child.try_wait()?.is_none() {
            let _ = rustix::process::kill_process(pid, Signal::TERM);
            let ended = rustix::event::poll(
                &mut [PollFd::new(&pidfd, PollFlags::IN)],
                Some(&PATIENCE.try_into().expect("seconds fit")),
            );
            if ended.is_ok_and(|count| count == 0) {
                child.kill()?;
            }
            child.wait()?;
            return Ok(Waited::Stopped);
        }
    }
    child.wait().map(Waited::Ended)
}

/// Gives back the memory of all of a file but its last `most` bytes, once there is as much of that.
fn trim(file: &File, most: u64) {
    let size = file.metadata().map_or(0, |facts| facts.len());
    // As many blocks as are whole; where the file system cannot do that, the file is as long as it is.
    if let Some(rest) = size.checked_sub(most).filter(|rest| *rest >= most) {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let _ = rustix::fs::fallocate(file, flags, 0, rest);
    }
}

/// Numbers that look random, the same for the same seed (SplitMix64, Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
/// generators").
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(commands: usize, seed: u64) -> Series {
        let command = SeriesCommand { name: "base".into(), words: vec!["true".into()], folder: None };
        Series::new(SeriesOptions {
            record: RecordOptions::new(Target::System),
            commands: vec![command; commands],
            warm_up: 0,
            seed,
            keeps_output: false,
            ignores_failure: false,
            timeout: None,
        })
        .unwrap()
    }

    /// The orders of so many rounds.
    fn orders(commands: usize, seed: u64, rounds: u32) -> Vec<Vec<usize>> {
        let mut series = series(commands, seed);
        let round = |_| {
            series.draw();
            series.rounds += 1;
            series.order.clone()
        };
        (0..rounds).map(round).collect()
    }

    #[test]
    fn a_steady_drift_hits_both_alike() {
        for seed in 0..50 {
            let places = orders(2, seed, 8).concat();
            let sum =
                |command| places.iter().enumerate().filter(|(_, of)| **of == command).map(|(at, _)| at).sum::<usize>();
            assert_eq!(sum(0), sum(1), "{places:?}");
        }
    }

    #[test]
    fn orders_are_random_and_repeatable() {
        let firsts: Vec<usize> = (0..200).map(|seed| orders(2, seed, 1)[0][0]).collect();
        let of_one = firsts.iter().filter(|first| **first == 1).count();
        assert!((70..130).contains(&of_one), "{of_one}");
        assert_eq!(orders(3, 7, 20), orders(3, 7, 20));
        assert_ne!(orders(2, 7, 20), orders(2, 8, 20));
        assert!(orders(3, 7, 20).iter().all(|order| order.iter().sum::<usize>() == 3));
    }

    #[test]
    fn last_lines_are_one_line() {
        assert_eq!(last_lines(b"a\nb\n\nc\n d \ne\n"), "b | c | d | e");
        assert_eq!(last_lines(b""), "");
    }

    #[test]
    fn of_what_a_run_writes_the_end_is_kept() {
        use std::os::unix::fs::MetadataExt;
        let file = File::from(rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC).unwrap());
        let bytes: Vec<u8> = (0..1u32 << 20).map(|row| (row % 251) as u8 + 1).collect();
        file.write_all_at(&bytes, 0).unwrap();
        trim(&file, LONGEST_ERRORS);
        assert_eq!(file.metadata().unwrap().len(), 1 << 20);
        assert!(file.metadata().unwrap().blocks() * 512 <= 2 * LONGEST_ERRORS, "{:?}", file.metadata());
        assert_eq!(end_of(&file, LONGEST_ERRORS), bytes[bytes.len() - LONGEST_ERRORS as usize..]);
    }
}
