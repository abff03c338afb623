//! speedscope's own format, for <https://www.speedscope.app> and what reads its files.
//!
//! ```text
//! {"$schema", "name", "exporter", "activeProfileIndex": 0,
//!  "profiles": [{"type": "sampled", "name": "server/worker (7/9)", "unit", "startValue": 0, "endValue": sum,
//!                "samples": [[frame, ...], ...] outermost first, "weights": [...]}, ...],
//!  "shared": {"frames": [{"name", "file", "line"}, ...]}}
//! ```
//! Source: `src/lib/file-format-spec.ts` and `file-format-schema.json` of speedscope 1.25.
//!
//! - One profile for each thread and event that has samples, those of the main event first, the heaviest thread first. Weights are the
//!   values of samples, in the event's unit; samples that follow each other with the same stack are one.
//! - Samples stand in order of time. Where there are no times (folded stacks, pprof) each stack is there once with its sum, which keeps
//!   files small; "Time Order" then is no order of time, and the profile's name says so.
//! - A frame is a function in a file: one row in speedscope's tables, wherever in it samples were. Its line is the lowest that
//!   was seen; without a source file, `file` is what its code is in. Inlined functions are frames. A stack that is cut has `[truncated: ...]`
//!   as its outermost frame.

use std::io::{BufWriter, Write};

use rustc_hash::FxHashMap;
use serde_json::json;

use super::rows::{ByThread, Group, cut_of, merged, rows_of, thread_label};
use crate::error::{Error, Result};
use crate::model::{FrameId, Profile, Sample, StackId, Truncation, Unit};

/// Writes `profile` thread by thread; no copy of it is made.
pub fn write(profile: &Profile, out: &mut impl Write) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, out);
    let written = write_all(profile, &mut out).and_then(|()| out.flush());
    written.map_err(|error| Error::io("cannot write the profile for speedscope", error))
}

fn write_all(profile: &Profile, out: &mut impl Write) -> std::io::Result<()> {
    let by_thread = ByThread::new(profile)?;
    let mut groups: Vec<&Group> = by_thread.groups.iter().collect();
    groups.sort_by_key(|group| (group.event != profile.main, group.event, std::cmp::Reverse(group.value)));
    let has_events = groups.iter().any(|group| group.event != profile.main);
    let name = match profile.stats.target.as_str() {
        "" => profile.main_event(),
        target => target,
    };
    let exporter = concat!("flameprofile ", env!("CARGO_PKG_VERSION"));
    let schema = "https://www.speedscope.app/file-format-schema.json";
    write!(out, "{{\"$schema\":\"{schema}\",\"exporter\":\"{exporter}\",\"name\":{},", json!(name))?;
    write!(out, "\"activeProfileIndex\":0,\n\"profiles\":[")?;
    let mut frames = Frames::new(profile);
    for (at, group) in groups.iter().enumerate() {
        out.write_all(if at == 0 { b"\n" } else { b",\n" })?;
        let event = &profile.events[group.event.index()];
        let mut name = thread_label(profile, &profile.threads[group.thread.index()]);
        if has_events {
            name = format!("{name}, {}", profile.strings.get(event.name));
        }
        if !group.has_times {
            name += " [no times: by stack]";
        }
        let samples = || merged(by_thread.samples(profile, group));
        head(out, &name, event.unit, group.value)?;
        for (at, sample) in samples().enumerate() {
            out.write_all(if at == 0 { b"\n[" } else { b",\n[" })?;
            for (at, frame) in frames.of(&sample).iter().enumerate() {
                write!(out, "{}{frame}", if at == 0 { "" } else { "," })?;
            }
            out.write_all(b"]")?;
        }
        out.write_all(b"],\n\"weights\":[")?;
        for (at, sample) in samples().enumerate() {
            write!(out, "{}{}", if at == 0 { "" } else { "," }, sample.value)?;
        }
        out.write_all(b"]}")?;
    }
    if groups.is_empty() {
        // speedscope cannot open a file without profiles.
        let unit = profile.events.get(profile.main.index()).map_or(Unit::Count, |event| event.unit);
        head(out, "no samples", unit, 0)?;
        out.write_all(b"],\"weights\":[]}")?;
    }
    out.write_all(b"],\n\"shared\":{\"frames\":[")?;
    for (at, (name, file, line)) in frames.table.iter().enumerate() {
        out.write_all(if at == 0 { b"\n" } else { b",\n" })?;
        write!(out, "{{\"name\":{}", json!(name))?;
        if !file.is_empty() {
            write!(out, ",\"file\":{}", json!(file))?;
        }
        if *line > 0 {
            write!(out, ",\"line\":{line}")?;
        }
        out.write_all(b"}")?;
    }
    out.write_all(b"]}}\n")
}

/// A profile up to its samples.
fn head(out: &mut impl Write, name: &str, unit: Unit, sum: u64) -> std::io::Result<()> {
    let unit = match unit {
        Unit::Nanoseconds => "nanoseconds",
        Unit::Count => "none",
        Unit::Bytes => "bytes",
    };
    write!(out, "{{\"type\":\"sampled\",\"name\":{},\"unit\":\"{unit}\",", json!(name))?;
    write!(out, "\"startValue\":0,\"endValue\":{sum},\"samples\":[")
}

/// speedscope's frames, numbered as they are needed.
struct Frames<'a> {
    profile: &'a Profile,
    /// The rows of each of the profile's frames in `rows`; empty if it was not needed yet.
    of_frame: Vec<(u32, u32)>,
    rows: Vec<u32>,
    known: FxHashMap<(String, &'a str), u32>,
    /// Name, file and line.
    table: Vec<(String, &'a str, u32)>,
    cuts: FxHashMap<Truncation, u32>,
    /// The last stack that was asked for.
    stack: Vec<u32>,
}

impl<'a> Frames<'a> {
    fn new(profile: &'a Profile) -> Frames<'a> {
        Frames {
            profile,
            of_frame: vec![(0, 0); profile.frames.len()],
            rows: Vec::new(),
            known: FxHashMap::default(),
            table: Vec::new(),
            cuts: FxHashMap::default(),
            stack: Vec::new(),
        }
    }

    /// The frames of a sample's stack, outermost first.
    fn of(&mut self, sample: &Sample) -> &[u32] {
        self.stack.clear();
        let mut at = sample.stack;
        while at != StackId(0) {
            let of = self.profile.stacks[at.index()];
            let (first, end) = self.rows_of(of.frame);
            self.stack.extend(self.rows[first as usize..end as usize].iter().rev());
            at = of.parent;
        }
        if let Some(reason) = cut_of(sample) {
            let row = match self.cuts.get(&reason) {
                Some(known) => *known,
                None => self.row(reason.note(), "", 0),
            };
            self.cuts.insert(reason, row);
            self.stack.push(row);
        }
        self.stack.reverse();
        &self.stack
    }

    fn rows_of(&mut self, frame: FrameId) -> (u32, u32) {
        let known = self.of_frame[frame.index()];
        if known.0 < known.1 {
            return known;
        }
        let profile = self.profile;
        let first = self.rows.len() as u32;
        for row in rows_of(profile, frame) {
            let image = row.image.map_or("", |image| profile.strings.get(profile.images[image.index()].path));
            let (file, line) = if row.file.is_empty() { (image, 0) } else { (row.file, row.line) };
            let row = self.row(row.name.into_owned(), file, line);
            self.rows.push(row);
        }
        let range = (first, self.rows.len() as u32);
        self.of_frame[frame.index()] = range;
        range
    }

    fn row(&mut self, name: String, file: &'a str, line: u32) -> u32 {
        let next = self.table.len() as u32;
        let id = *self.known.entry((name, file)).or_insert_with_key(|(name, _)| {
            self.table.push((name.clone(), file, line));
            next
        });
        let first = &mut self.table[id as usize].2;
        if line > 0 && (*first == 0 || line < *first) {
            *first = line;
        }
        id
    }
}
