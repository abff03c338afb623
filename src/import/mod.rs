//! Recordings and stacks of other programs become a profile.
//!
//! ```text
//! Input --> Source (first bytes) --> detect --> perf_data          records, by way of the recorder
//!                                          \--> perf_script, ...   stacks with names, straight into the model
//!                                   filter <--/
//! profiles of all inputs (a thread each) --> merge --> main event --> summary
//! ```
//!
//! All bytes are from strangers: a reader never panics, keeps what it could read of a file that is cut, counts what it
//! passed over (`CaptureStats::skipped`), and fails only if there is nothing of its format, saying where.

mod bpftrace;
mod by_inferno;
mod byte_table;
mod detect;
mod folded;
mod kind;
mod lines;
mod path_table;
mod perf_data;
mod perf_script;
mod picture;
mod pprof;
mod source;
mod tasks;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{self, EventId, Filter, Profile, ProfileBuilder};
use crate::process::own_cost;
use crate::recorder::UserStacks;
use crate::symbolize::SymbolizeOptions;

pub use kind::Kind;
pub use perf_data::records;
pub use source::Input;
use source::{Meter, Source};

/// What is read, and what is made of it.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// The format of all inputs; each is told by its first bytes if not given.
    pub from: Option<Kind>,
    /// Which names are wanted of code that is named here.
    pub names: SymbolizeOptions,
    /// The event that is drawn; else the first that has samples. All are kept.
    pub event: Option<String>,
    /// Which samples are kept, of each input by itself.
    pub filter: Filter,
    /// Folders of debug files by build id, searched first.
    pub debug_dirs: Vec<PathBuf>,
    /// The root of a copy of the recorded machine's file system.
    pub sysroot: Option<PathBuf>,
    /// A copy of the recorded machine's `/proc/kallsyms`.
    pub kallsyms: Option<PathBuf>,
    /// The recorded machine's kernel image with symbols.
    pub vmlinux: Option<PathBuf>,
    /// How user stacks are found, of recordings that hold several ways.
    pub user_stacks: UserStacks,
    /// Ends reading when it becomes true; what was read so far is kept, and a note says so.
    pub stop: Arc<AtomicBool>,
}

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportProgress {
    /// Bytes read so far, of all inputs.
    pub bytes: u64,
    /// Bytes there are, if all sizes are known.
    pub of: Option<u64>,
}

/// How often progress is told.
const BEAT: Duration = Duration::from_millis(100);

/// Reads all inputs, each in a thread, and merges them into one profile, in the order given.
///
/// `progress` is called ten times a second. Fails if one input cannot be read, naming it, and if there is no event of
/// the name asked for, listing those there are.
pub fn import(
    inputs: Vec<Input>,
    options: &ImportOptions,
    progress: &mut dyn FnMut(ImportProgress),
) -> Result<Profile> {
    let own_before = own_cost::own_cpu();
    let meter = Meter::new(options.stop.clone());
    let profiles = read_all(inputs, options, &meter, progress)?;
    let mut profile = model::merge(profiles);
    if let Some(event) = &options.event {
        let main = find_event(&profile, event)?;
        profile.stats.is_as_recorded &= main == profile.main;
        profile.main = main;
    }
    if meter.is_stopped() {
        profile.stats.notes.push("reading was stopped before the end".into());
    }
    count_by_event(&mut profile);
    let event = profile.main_event().to_owned();
    profile.stats.event = event;
    profile.summarize();
    profile.stats.own_cpu = own_cost::own_cpu().saturating_sub(own_before);
    profile.stats.peak_rss_bytes = own_cost::peak_rss_bytes();
    Ok(profile)
}

fn read_all(
    inputs: Vec<Input>,
    options: &ImportOptions,
    meter: &Meter,
    progress: &mut dyn FnMut(ImportProgress),
) -> Result<Vec<Profile>> {
    let count = inputs.len();
    let inputs: Vec<Mutex<Option<Input>>> = inputs.into_iter().map(|input| Mutex::new(Some(input))).collect();
    let results: Vec<Mutex<Option<Result<Profile>>>> = (0..count).map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let row = next.fetch_add(1, Ordering::Relaxed);
            let Some(input) = inputs.get(row) else { return };
            let input = input.lock().unwrap_or_else(PoisonError::into_inner).take();
            let result = input.map(|input| read(input, options, meter));
            *results[row].lock().unwrap_or_else(PoisonError::into_inner) = result;
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(count);
    std::thread::scope(|scope| {
        let (done, is_done) = std::sync::mpsc::channel::<()>();
        let mut started = 0;
        for _ in 0..threads {
            let done = done.clone();
            let worker = std::thread::Builder::new().spawn_scoped(scope, || {
                work();
                drop(done);
            });
            started += usize::from(worker.is_ok());
        }
        if started == 0 {
            work();
        }
        drop(done);
        while is_done.recv_timeout(BEAT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            progress(meter.progress());
        }
    });
    let result = |result: Mutex<Option<Result<Profile>>>| {
        let result = result.into_inner().unwrap_or_else(PoisonError::into_inner);
        result.unwrap_or_else(|| Err(Error::new(ErrorKind::Malformed, "an input was not read to its end")))
    };
    results.into_iter().map(result).collect()
}

/// Reads one input; one whose gzip is cut gets a note.
fn read(input: Input, options: &ImportOptions, meter: &Meter) -> Result<Profile> {
    let source = Source::open(input, meter)?;
    let (name, is_cut) = (source.name.clone(), source.is_cut.clone());
    let mut profile = read_source(source, options, meter)?;
    if is_cut.load(Ordering::Relaxed) {
        let note = format!("{name} is cut, or its gzip is broken: what was read up to there is kept");
        profile.stats.is_cut = true;
        profile.stats.notes.push(note);
    }
    Ok(profile)
}

fn read_source(source: Source, options: &ImportOptions, meter: &Meter) -> Result<Profile> {
    if source.head.is_empty() && meter.is_stopped() {
        // What other inputs hold is kept; the note says that this one is not there.
        return Ok(ProfileBuilder::new().finish());
    }
    let kind = match options.from {
        Some(kind) => kind,
        None => detect::detect(&source)?,
    };
    let mut profile = match kind {
        // Filters for itself, before it looks names up.
        Kind::PerfData => return perf_data::read(source, options, meter),
        Kind::PerfScript => perf_script::read(&source.name, source.bytes)?,
        Kind::Folded => {
            let first = folded::First::of(&source.head);
            folded::read(&source.name, &source.head, source.bytes, first)?
        }
        Kind::Picture => picture::read(&source.name, source.bytes)?,
        Kind::Pprof => pprof::read(&source.name, source.bytes)?,
        Kind::Bpftrace => bpftrace::read(&source.name, source.bytes)?,
        Kind::Dtrace | Kind::Sample | Kind::Vtune | Kind::VsProf | Kind::Xctrace | Kind::GhcProf => {
            by_inferno::read(&source.name, kind, source.bytes)?
        }
    };
    if profile.stats.target.is_empty() {
        profile.stats.target = source.name;
    }
    options.filter.apply(&mut profile)?;
    Ok(profile)
}

/// Says how many samples each event has, if there are several: all are kept, and only one is drawn.
fn count_by_event(profile: &mut Profile) {
    let mut samples = vec![0u64; profile.events.len()];
    for sample in &profile.samples {
        let sum = &mut samples[sample.event.index()];
        *sum = sum.saturating_add(u64::from(sample.count));
    }
    if samples.iter().filter(|samples| **samples > 0).count() > 1 {
        for (event, samples) in profile.events.iter().zip(samples) {
            let name = profile.strings.get(event.name);
            *profile.stats.records.entry(format!("samples of {name}")).or_default() += samples;
        }
    }
}

/// The event of a name, or of a name without its modifiers and terms (`cycles` for `cycles:P` and `cycles/period=9/`); of several,
/// one that has samples.
fn find_event(profile: &Profile, wanted: &str) -> Result<EventId> {
    let mut samples = vec![0u64; profile.events.len()];
    profile.samples.iter().for_each(|sample| samples[sample.event.index()] += 1);
    let names: Vec<&str> = profile.events.iter().map(|event| profile.strings.get(event.name)).collect();
    let without_modifiers = |name: &str| name.split([':', '/']).next() == Some(wanted);
    let matching = |matches: &dyn Fn(&str) -> bool| {
        let rows = (0..names.len()).filter(|row| matches(names[*row]));
        rows.max_by_key(|row| (samples[*row] > 0, std::cmp::Reverse(*row)))
    };
    let row = matching(&|name| name == wanted).or_else(|| matching(&without_modifiers));
    row.map(EventId::from_index).ok_or_else(|| {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        names.iter().zip(&samples).for_each(|(name, samples)| *counts.entry(name).or_default() += samples);
        let list: Vec<String> = counts.iter().map(|(name, samples)| format!("{name} ({samples} samples)")).collect();
        let there =
            if list.is_empty() { "there are no events".into() } else { format!("recorded were {}", list.join(", ")) };
        Error::new(ErrorKind::Usage, format!("no event {wanted} was recorded")).with_hint(there)
    })
}
