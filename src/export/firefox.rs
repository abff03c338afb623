//! The Firefox Profiler's processed format, for <https://profiler.firefox.com>, which keeps a file that is opened there on the machine.
//!
//! ```text
//! {"meta": {"interval", "startTime", "categories", "extra", ...},
//!  "libs": [{"name", "path", "breakpadId", "codeId"}, ...],
//!  "threads": [{"pid", "tid", "processName", "name", "samples", "stackTable", "frameTable", "funcTable", "resourceTable",
//!               "stringArray", ...}, ...]}
//! ```
//! Each table is an object of columns of one length. Version 55 of the format, which later ones of the viewer convert; source: what
//! fxprof-processed-profile 0.8.1 writes, and `docs-developer/CHANGELOG-formats.md` of firefox-devtools/profiler. That crate itself cannot
//! say what must be said here: its frames with names have no file, line or library, its weights are whole numbers of 32 bits, and it keeps
//! a copy of the profile.
//!
//! - One thread for each thread and event that has samples, grouped by process; threads of further events have the event in their name.
//! - Weights are milliseconds of time with six decimals (`tracing-ms`), bytes, or counts: no digit of a value is lost.
//! - Times are those of samples, from the first of all. Where there are none (folded stacks, pprof) each stack is there once and its time
//!   is made up, a millisecond after the one before, as the viewer shows nothing without: `meta.extra`, which it shows as "More info", and a
//!   marker on each such thread say so. What has no time on a thread whose other samples have one (waits that were added up) is a thread
//!   of its own, "without times".
//! - `threadCPUDelta` is the CPU time that a sample of a clock (`cpu-clock`, `task-clock`, `wall-clock`) stands for, 0 for time off the
//!   CPU; other events do not know it.
//! - Functions that were inlined are frames with a category of their own. A stack that is cut has `[truncated: ...]` outermost.

use std::io::{BufWriter, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use rustc_hash::FxHashMap;
use serde_json::{Value, json};

use super::firefox_thread::{CATEGORIES, ThreadTables, column, is_waiting};
use super::rows::{ByThread, Group, merged};
use crate::error::{Error, Result};
use crate::model::{BuildId, ImageId, ImageKind, Origin, Profile, Sample, StackId, Timestamp, Unit};

/// Writes `profile` thread by thread; of each the tables are in memory, of its samples no copy.
pub fn write(profile: &Profile, out: &mut impl Write) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, out);
    let written = write_all(profile, &mut out).and_then(|()| out.flush());
    written.map_err(failed)
}

/// The same as gzip, which the viewer reads too.
pub fn write_gz(profile: &Profile, out: &mut impl Write) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, GzEncoder::new(out, Compression::fast()));
    let written = write_all(profile, &mut out).and_then(|()| {
        let encoder = out.into_inner().map_err(|error| error.into_error())?;
        encoder.finish().and_then(|out| out.flush())
    });
    written.map_err(failed)
}

fn failed(error: std::io::Error) -> Error {
    Error::io("cannot write the profile for the Firefox Profiler", error)
}

/// Nanoseconds between times that are made up.
const MADE_UP: u64 = 1_000_000;

fn write_all(profile: &Profile, out: &mut impl Write) -> std::io::Result<()> {
    let by_thread = ByThread::new(profile)?;
    // All times are relative to the first one there is.
    let timed = by_thread.groups.iter().filter(|group| group.has_times);
    let begin = timed.filter_map(|group| by_thread.samples(profile, group).next()).map(|sample| sample.time.0).min();
    let begin = begin.unwrap_or(0);
    let mut groups: Vec<&Group> = by_thread.groups.iter().collect();
    // Processes in the order of the table, each with its main thread first.
    groups.sort_by_key(|group| {
        let thread = &profile.threads[group.thread.index()];
        let is_main = thread.tid == profile.processes[thread.process.index()].pid;
        (group.event != profile.main, group.event, thread.process, !is_main, group.thread, !group.has_times)
    });
    write!(out, "{{\"meta\":{}", meta(profile, &groups))?;
    out.write_all(b",\n\"libs\":[")?;
    for (at, image) in libs(profile).enumerate() {
        write!(out, "{}{}", if at == 0 { "\n" } else { ",\n" }, lib(profile, image))?;
    }
    let pids = pids(profile);
    out.write_all(b"],\n\"threads\":[")?;
    for (at, group) in groups.iter().enumerate() {
        out.write_all(if at == 0 { b"\n" } else { b",\n" })?;
        let process = profile.threads[group.thread.index()].process;
        thread(profile, &by_thread, group, &pids[process.index()], begin, out)?;
    }
    out.write_all(b"],\n\"pages\":[],\"profilerOverhead\":[],\"counters\":[]}\n")
}

fn meta(profile: &Profile, groups: &[&Group]) -> Value {
    let stats = &profile.stats;
    let event = profile.events.get(profile.main.index());
    // Milliseconds; what a sample is nominally worth, or how often there was to be one.
    let interval = match (event.and_then(|event| event.period.filter(|_| event.unit == Unit::Nanoseconds)), stats.rate)
    {
        (Some(period), _) => period as f64 / 1e6,
        (None, Some(rate)) if rate > 0.0 => 1e3 / rate,
        _ => 1.0,
    };
    let heaviest = (0..groups.len())
        .max_by_key(|at| (groups[*at].event == profile.main, groups[*at].value, std::cmp::Reverse(*at)));
    let categories =
        CATEGORIES.map(|(_, name, color)| json!({"name": name, "color": color, "subcategories": ["Other"]}));
    let has_made_up = groups.iter().any(|group| !group.has_times);
    json!({
        "categories": categories,
        "debug": false,
        "extensions": {"length": 0, "baseURL": [], "id": [], "name": []},
        "interval": interval,
        "preprocessedProfileVersion": 55,
        "processType": 0,
        "product": if stats.target.is_empty() { "profile" } else { &stats.target },
        "importedFrom": concat!("flameprofile ", env!("CARGO_PKG_VERSION")),
        "oscpu": stats.host,
        "sampleUnits": {"time": "ms", "eventDelay": "ms", "threadCPUDelta": "µs"},
        "startTime": stats.started_unix.saturating_mul(1_000),
        "symbolicated": true,
        "pausedRanges": [],
        "version": 24,
        "usesOnlyOneStackType": true,
        "doesNotUseFrameImplementation": true,
        "sourceCodeIsNotOnSearchfox": true,
        "markerSchema": [{
            "name": NOTE, "tooltipLabel": NOTE, "tableLabel": "{marker.data.text}", "chartLabel": "{marker.data.text}",
            "display": ["marker-chart", "marker-table"], "fields": [{"key": "text", "label": "Text", "format": "string"}],
        }],
        "initialSelectedThreads": heaviest.into_iter().collect::<Vec<_>>(),
        "keepProfileThreadOrder": true,
        "extra": extra(profile, has_made_up),
    })
}

/// What the viewer shows as "More info": what this recording missed.
fn extra(profile: &Profile, has_made_up: bool) -> Value {
    let stats = &profile.stats;
    let mut entries = vec![("Event", profile.main_event().to_owned()), ("Samples", stats.samples.to_string())];
    // Of stacks that another program wrote, it is not known.
    if stats.origin != Origin::Stacks {
        entries.push(("Lost", stats.lost.to_string()));
        entries.extend(stats.coverage.map(|coverage| ("Coverage", format!("{coverage:.4}"))));
        entries.push(("Complete stacks", format!("{:.4}", stats.complete)));
        entries.push(("Truncated stacks", format!("{:.4}", stats.truncated_total())));
    }
    entries.push(("Frames without a name", format!("{:.4}", stats.unnamed_total())));
    entries.extend(has_made_up.then(|| ("Times", MADE_UP_NOTE.to_owned())));
    entries.extend(stats.notes.iter().map(|note| ("Note", note.clone())));
    let entries: Vec<Value> =
        entries.into_iter().map(|(label, value)| json!({"label": label, "format": "string", "value": value})).collect();
    json!([{"label": "Recording", "entries": entries}])
}

/// The type of our markers.
const NOTE: &str = "Note";
const MADE_UP_NOTE: &str = "not known; those of samples without are made up, a millisecond apart, by stack";

/// Images that can be a library: what has a path or a name of its own.
fn libs(profile: &Profile) -> impl Iterator<Item = ImageId> + '_ {
    (0..profile.images.len()).map(ImageId::from_index)
}

fn lib(profile: &Profile, image: ImageId) -> Value {
    let image = &profile.images[image.index()];
    let path = profile.strings.get(image.path);
    let name = match path.rsplit('/').next() {
        Some(name) if !name.is_empty() => name,
        _ => path,
    };
    let name = match image.kind {
        ImageKind::Jit(pid) => format!("{name} of {pid}"),
        _ => name.to_owned(),
    };
    json!({
        "arch": null,
        "name": name,
        "path": path,
        "debugName": name,
        "debugPath": path,
        "breakpadId": image.build_id.as_ref().map_or_else(|| "0".repeat(33), breakpad_id),
        "codeId": image.build_id.map(|id| id.to_string()),
    })
}

/// A build id as symbol servers of Mozilla's kind have it: its first 16 bytes as a little-endian GUID, and an age of 0.
///
/// <https://chromium.googlesource.com/breakpad/breakpad/+/HEAD/docs/symbol_files.md>, "MODULE records".
fn breakpad_id(id: &BuildId) -> String {
    let mut bytes = [0; 16];
    let given = id.as_bytes();
    let length = given.len().min(16);
    bytes[..length].copy_from_slice(&given[..length]);
    let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    let mut text: String = order.iter().map(|at: &usize| format!("{:02X}", bytes[*at])).collect();
    text.push('0');
    text
}

fn thread(
    profile: &Profile,
    all: &ByThread,
    group: &Group,
    pid: &str,
    begin: u64,
    out: &mut impl Write,
) -> std::io::Result<()> {
    let thread = &profile.threads[group.thread.index()];
    let process = &profile.processes[thread.process.index()];
    let event = &profile.events[group.event.index()];
    let process_name = profile.strings.get(process.name);
    let mut name = profile.strings.get(if thread.name.0 == 0 { process.name } else { thread.name }).to_owned();
    if group.event != profile.main {
        name = format!("{name}, {}", profile.strings.get(event.name));
    }
    // Beside the samples of the same thread that have their times.
    if !group.has_times && begin > 0 {
        name += ", without times";
    }
    let mut tables = ThreadTables::new(profile);
    // Without times each stack is there once; its time is its place.
    let samples = || -> Box<dyn Iterator<Item = Sample> + '_> {
        if group.has_times {
            return Box::new(all.samples(profile, group));
        }
        let by_stack = merged(all.samples(profile, group)).enumerate();
        Box::new(by_stack.map(move |(at, sample)| Sample { time: Timestamp(begin + at as u64 * MADE_UP), ..sample }))
    };
    let (first, last) =
        samples().fold((u64::MAX, 0), |(first, last), sample| (first.min(sample.time.0), last.max(sample.time.0)));
    let since = |time: u64| millis(time.saturating_sub(begin));
    write!(out, "{{\"name\":{},\"processName\":{}", json!(name), json!(process_name))?;
    write!(out, ",\"pid\":{},\"tid\":{}", json!(pid), json!(thread.tid.to_string()))?;
    write!(
        out,
        ",\"isMainThread\":{}",
        thread.tid == process.pid && group.event == profile.main && (group.has_times || begin == 0)
    )?;
    write!(out, ",\"processType\":\"default\",\"processStartupTime\":0,\"processShutdownTime\":null")?;
    write!(out, ",\"registerTime\":{},\"unregisterTime\":{}", since(first), since(last))?;
    write!(out, ",\"pausedRanges\":[],\"showMarkersInTimeline\":{}", !group.has_times)?;

    let count = samples().count();
    let weight_type = match event.unit {
        Unit::Nanoseconds => "tracing-ms",
        Unit::Count => "samples",
        Unit::Bytes => "bytes",
    };
    write!(out, ",\n\"samples\":{{\"length\":{count},\"weightType\":\"{weight_type}\"")?;
    column(out, "stack", samples(), |sample, out| match tables.stack(sample) {
        Some(stack) => write!(out, "{stack}"),
        None => out.write_all(b"null"),
    })?;
    let mut before = begin;
    column(out, "timeDeltas", samples(), |sample, out| {
        let delta = sample.time.0.saturating_sub(before);
        before = before.max(sample.time.0);
        write!(out, "{}", millis(delta))
    })?;
    column(out, "weight", samples(), |sample, out| match event.unit {
        Unit::Nanoseconds => write!(out, "{}", millis(sample.value)),
        Unit::Count | Unit::Bytes => write!(out, "{}", sample.value),
    })?;
    if event.unit == Unit::Nanoseconds && group.has_times && profile.strings.get(event.name).contains("clock") {
        let mut waiting: FxHashMap<StackId, bool> = FxHashMap::default();
        column(out, "threadCPUDelta", samples(), |sample, out| {
            let waits = *waiting.entry(sample.stack).or_insert_with(|| is_waiting(profile, sample.stack));
            write!(out, "{}", decimal(if waits { 0 } else { sample.value }, 1_000))
        })?;
    }
    out.write_all(b"}")?;
    let note = (!group.has_times).then(|| tables.string("Times are made up"));
    let (data, names): (Vec<_>, Vec<_>) =
        note.map(|name| (json!({"type": NOTE, "text": format!("Times are {MADE_UP_NOTE}")}), name)).into_iter().unzip();
    let zeros = vec![0; names.len()];
    let markers = json!({"length": names.len(), "category": zeros, "data": data, "endTime": vec![Value::Null; names.len()],
        "name": names, "phase": zeros, "startTime": zeros});
    write!(out, ",\n\"markers\":{markers}")?;
    tables.write(out)?;
    out.write_all(b"}")
}

/// The number that each process has in the viewer, which takes all threads of one number for one process: a new program of the same
/// process is another, and so is each name where numbers are not known.
fn pids(profile: &Profile) -> Vec<String> {
    let mut seen: FxHashMap<u32, u32> = FxHashMap::default();
    let number = |pid: u32| {
        let before = seen.entry(pid).or_default();
        *before += 1;
        match *before - 1 {
            0 => format!("{}", pid as i32),
            before => format!("{}.{before}", pid as i32),
        }
    };
    profile.processes.iter().map(|process| process.pid).map(number).collect()
}

/// Nanoseconds as milliseconds, to the last digit.
fn millis(nanoseconds: u64) -> String {
    decimal(nanoseconds, 1_000_000)
}

/// `number / unit` as a decimal number without an end of zeros; `unit` is a power of ten.
fn decimal(number: u64, unit: u64) -> String {
    let digits = unit.ilog10() as usize;
    let text = format!("{}.{:0digits$}", number / unit, number % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_digit_of_a_time_is_lost() {
        let check = |nanoseconds: u64, expected: &str| assert_eq!(millis(nanoseconds), expected);
        check(0, "0");
        check(1, "0.000001");
        check(10_101_010, "10.10101");
        check(3_000_000_000, "3000");
        check(u64::MAX, "18446744073709.551615");
    }

    #[test]
    fn build_ids_are_guids() {
        // As `dump_syms` has the one of this build id.
        let id = BuildId::new(&[0xd3, 0x86, 0x8d, 0xda, 0x55, 0x41, 0x35, 0x6c, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        assert_eq!(breakpad_id(&id.unwrap()), "DA8D86D341556C3501020304050607080");
    }
}
