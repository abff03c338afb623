//! pprof's protocol buffers.
//!
//! Every value type is an event. A location with an address in a mapping is code of that image; one without is a bare name, of as
//! many rows as it has lines. Labels say the thread, the process and the time, by the names that Go's runtime, Google's tools,
//! Datadog's and ours give them. What contradicts itself is passed over and counted.

use std::io::Read;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::source::{read_whole, refused};
use super::tasks::Tasks;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::pprof::{RUN, function, label, line, location, mapping, profile, sample, value_type};
use crate::formats::protobuf::{Fields, Value};
use crate::formats::{StatsRead, read_stats};
use crate::model::{
    BuildId, CaptureStats, EventId, FrameId, FrameKey, FrameKind, ImageId, ImageKind, Line, Origin, Profile,
    ProfileBuilder, Sample, StackEnd, StackId, Timestamp, Truncation, Unit, Unnamed,
};

/// A message holds at most 2 GiB (<https://protobuf.dev/programming-guides/proto-limits/>).
const MOST: u64 = 2 << 30;
/// More rows than any stack has.
const DEEPEST: usize = 1 << 16;

/// Whether bytes begin with the value types of a profile.
pub(super) fn is_applicable(head: &[u8]) -> bool {
    let mut fields = Fields::new(head);
    let first = match fields.next() {
        Some(Ok((1, Value::Bytes(first)))) => first,
        _ => return false,
    };
    let is_type = |field| matches!(field, Ok((1 | 2, Value::Number(_))));
    Fields::new(first).all(is_type) && fields.all(|field| !matches!(field, Ok((number, _)) if number > 15))
}

/// Reads a profile; `name` is what errors call it.
pub(super) fn read(name: &str, mut bytes: impl Read) -> Result<Profile> {
    let bytes = read_whole(&mut bytes, name, MOST)?;
    let tables = Tables::read(&bytes).map_err(|offset| {
        let message = format!("{name} is no profile of pprof: what stands at byte {offset} is no field");
        refused(name, &Error::new(ErrorKind::Malformed, message))
    })?;
    if tables.types.is_empty() {
        return Err(Error::new(ErrorKind::Malformed, format!("{name} is no profile of pprof: it has no value types")));
    }
    let mut reader = Reader::new(tables);
    for field in Fields::new(&bytes) {
        if let Ok((number, Value::Bytes(message))) = field
            && number == u64::from(profile::SAMPLE)
        {
            reader.sample(message);
        }
    }
    Ok(reader.finish())
}

/// All of a profile but its samples.
#[derive(Default)]
struct Tables<'a> {
    strings: Vec<&'a [u8]>,
    /// Name and unit.
    types: Vec<(u64, u64)>,
    mappings: FxHashMap<u64, Mapping>,
    first_mapping: u64,
    functions: FxHashMap<u64, Function>,
    locations: FxHashMap<u64, Location>,
    main: u64,
    /// The name of what happens between two samples, and how much of it.
    period: (u64, u64),
    time: u64,
    duration: u64,
    comments: Vec<u64>,
    /// Where the message is cut, if it is.
    cut_at: Option<usize>,
}

#[derive(Clone, Copy, Default)]
struct Mapping {
    start: u64,
    offset: u64,
    file: u64,
    build_id: u64,
}

#[derive(Clone, Copy, Default)]
struct Function {
    name: u64,
    raw_name: u64,
    file: u64,
}

#[derive(Clone, Default)]
struct Location {
    mapping: u64,
    address: u64,
    /// Function and line.
    lines: Vec<(u64, u64)>,
}

impl<'a> Tables<'a> {
    /// Fails with the offset of what is no field, if there was none before.
    fn read(bytes: &'a [u8]) -> std::result::Result<Tables<'a>, usize> {
        let mut tables = Tables::default();
        for field in Fields::new(bytes) {
            let (number, value) = match field {
                Ok(field) => field,
                Err(0) => return Err(0),
                // What is before it is read.
                Err(offset) => {
                    tables.cut_at = Some(offset);
                    break;
                }
            };
            tables.field(number as u32, value);
        }
        Ok(tables)
    }

    fn field(&mut self, number: u32, value: Value<'a>) {
        let message = || Fields::new(value.bytes()).map_while(std::result::Result::ok);
        let get = |wanted: u32| {
            message().filter(|(field, _)| *field == u64::from(wanted)).last().map_or(0, |(_, value)| value.number())
        };
        match number {
            profile::SAMPLE_TYPE => self.types.push((get(value_type::TYPE), get(value_type::UNIT))),
            profile::STRING_TABLE => self.strings.push(value.bytes()),
            profile::MAPPING => {
                let id = get(mapping::ID);
                if self.mappings.is_empty() {
                    self.first_mapping = id;
                }
                let (start, offset) = (get(mapping::START), get(mapping::OFFSET));
                let (file, build_id) = (get(mapping::FILENAME), get(mapping::BUILD_ID));
                self.mappings.insert(id, Mapping { start, offset, file, build_id });
            }
            profile::FUNCTION => {
                let (name, raw_name) = (get(function::NAME), get(function::SYSTEM_NAME));
                self.functions.insert(get(function::ID), Function { name, raw_name, file: get(function::FILENAME) });
            }
            profile::LOCATION => {
                let lines = message().filter(|(field, _)| *field == u64::from(location::LINE));
                let lines = lines.map(|(_, of)| {
                    let part = |wanted: u32| {
                        let fields = Fields::new(of.bytes()).map_while(std::result::Result::ok);
                        fields.filter(|(field, _)| *field == u64::from(wanted)).last().map_or(0, |(_, of)| of.number())
                    };
                    (part(line::FUNCTION_ID), part(line::LINE))
                });
                let (mapping, address) = (get(location::MAPPING_ID), get(location::ADDRESS));
                let found = Location { mapping, address, lines: lines.collect() };
                self.locations.insert(get(location::ID), found);
            }
            profile::PERIOD_TYPE => self.period.0 = get(value_type::TYPE),
            profile::PERIOD => self.period.1 = value.number(),
            profile::TIME_NANOS => self.time = value.number(),
            profile::DURATION_NANOS => self.duration = value.number(),
            profile::DEFAULT_SAMPLE_TYPE => self.main = value.number(),
            profile::COMMENT => {
                let comments = &mut self.comments;
                value.numbers(|number| comments.push(number));
            }
            _ => {}
        }
    }

    fn string(&self, row: u64) -> String {
        let bytes = usize::try_from(row).ok().and_then(|row| self.strings.get(row)).copied().unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    }
}

/// What a location stands for.
#[derive(Clone, Copy)]
enum Place {
    Frame(FrameId, u32),
    /// The stack is cut here.
    End(Truncation),
}

struct Reader<'a> {
    tables: Tables<'a>,
    builder: ProfileBuilder,
    tasks: Tasks,
    main: EventId,
    /// Each with what its values are multiplied by.
    events: Vec<(EventId, u64)>,
    /// The value that says how many samples a sample stands for.
    counts: Option<usize>,
    images: FxHashMap<u64, ImageId>,
    places: FxHashMap<u64, Place>,
    strings: FxHashMap<u64, String>,
    process: String,
    samples: u64,
    skipped: FxHashMap<&'static str, u64>,
}

impl<'a> Reader<'a> {
    fn new(tables: Tables<'a>) -> Reader<'a> {
        let mut builder = ProfileBuilder::new();
        let mut counts = None;
        let mut events = Vec::with_capacity(tables.types.len());
        for (row, (name, unit)) in tables.types.iter().enumerate() {
            let (name, unit_name) = (tables.string(*name), tables.string(*unit));
            let (unit, scale) = unit_of(&unit_name);
            if name == "samples" && unit == Unit::Count {
                counts = Some(row);
            }
            events.push((builder.add_event(&name, unit, None), scale));
        }
        // Where none is named, pprof shows the last.
        let main = tables
            .types
            .iter()
            .position(|(name, _)| tables.main != 0 && tables.string(*name) == tables.string(tables.main));
        let main = EventId::from_index(main.unwrap_or(events.len() - 1));
        let program = tables.mappings.get(&tables.first_mapping).map(|mapping| tables.string(mapping.file));
        let process = program.map(|file| file.rsplit('/').next().unwrap_or_default().to_owned());
        let process = process.filter(|name| !name.is_empty()).unwrap_or_else(|| "program".to_owned());
        Reader {
            tables,
            builder,
            tasks: Tasks::default(),
            main,
            events,
            counts,
            images: FxHashMap::default(),
            places: FxHashMap::default(),
            strings: FxHashMap::default(),
            process,
            samples: 0,
            skipped: FxHashMap::default(),
        }
    }

    fn sample(&mut self, message: &[u8]) {
        let (mut locations, mut values, mut labels, mut is_whole) = (Vec::new(), Vec::new(), Labels::default(), true);
        for field in Fields::new(message) {
            match field {
                Ok((number, value)) => match number as u32 {
                    sample::LOCATION_ID => is_whole &= value.numbers(|id| locations.push(id)),
                    sample::VALUE => is_whole &= value.numbers(|number| values.push(number as i64)),
                    sample::LABEL => self.label(value.bytes(), &mut labels),
                    _ => {}
                },
                Err(_) => is_whole = false,
            }
        }
        if !is_whole || values.len() != self.events.len() {
            return *self.skipped.entry("samples that are malformed").or_default() += 1;
        }
        let (mut end, mut rows, mut stack) = (StackEnd::Root, 0, StackId(0));
        for id in locations.iter().rev() {
            match self.place(*id) {
                Some(Place::Frame(frame, count)) => {
                    rows += count as usize;
                    if rows > DEEPEST {
                        return *self.skipped.entry("samples of absurd depth").or_default() += 1;
                    }
                    stack = self.builder.stack(stack, frame);
                }
                Some(Place::End(reason)) => end = StackEnd::Truncated(reason),
                None => return *self.skipped.entry("samples of locations that are not there").or_default() += 1,
            }
        }
        let comm = labels.process.as_deref().unwrap_or(&self.process);
        let process = comm.to_owned();
        let (pid, tid) = (labels.pid.unwrap_or(0), labels.tid.unwrap_or(labels.pid.unwrap_or(0)));
        let name = labels.thread.as_deref().unwrap_or(&process);
        let thread = self.tasks.thread_of(&mut self.builder, (pid, &process), (tid, name));
        self.samples += 1;
        let count = self.counts.and_then(|row| u32::try_from(values[row]).ok()).unwrap_or(1);
        for ((event, scale), value) in self.events.iter().zip(&values) {
            let Ok(value) = u64::try_from(*value) else {
                *self.skipped.entry("values below zero").or_default() += 1;
                continue;
            };
            if value == 0 {
                continue;
            }
            // What other events count is not what the samples of the main one do; of that, a value without samples is an estimate.
            let count = if *event == self.main { count } else { count.max(1) };
            let (time, cpu, value) = (Timestamp(labels.time), Sample::NO_CPU, value.saturating_mul(*scale));
            self.builder.add_sample(Sample { time, thread, cpu, stack, end, event: *event, value, count });
        }
    }

    fn label(&mut self, message: &[u8], labels: &mut Labels) {
        let (mut key, mut text, mut number) = (0, 0, 0);
        for (field, value) in Fields::new(message).map_while(std::result::Result::ok) {
            match field as u32 {
                label::KEY => key = value.number(),
                label::STR => text = value.number(),
                label::NUM => number = value.number(),
                _ => {}
            }
        }
        let tables = &self.tables;
        let key = self.strings.entry(key).or_insert_with(|| tables.string(key));
        let as_text = || Some(tables.string(text)).filter(|text| !text.is_empty());
        let as_id = || match text {
            0 => u32::try_from(number).ok(),
            text => tables.string(text).parse().ok(),
        };
        match key.as_str() {
            "pid" | "process_id" | "process id" => labels.pid = as_id(),
            "tid" | "thread_id" | "thread id" => labels.tid = as_id(),
            "thread" | "thread_name" | "thread name" => labels.thread = as_text(),
            "process" | "process_name" | "comm" => labels.process = as_text(),
            "time" | "timestamp" | "timestamp_ns" | "end_timestamp_ns" => labels.time = number,
            _ => {}
        }
    }

    fn place(&mut self, id: u64) -> Option<Place> {
        if let Some(known) = self.places.get(&id) {
            return Some(*known);
        }
        let Location { mapping, address, lines } = self.tables.locations.get(&id)?.clone();
        let mut rows: Vec<(Line, String)> = Vec::with_capacity(lines.len());
        for (function, number) in lines {
            let Function { name, raw_name, file } = *self.tables.functions.get(&function)?;
            let (name, raw_name) = (self.tables.string(name), self.tables.string(raw_name));
            let raw_name = if raw_name.is_empty() { &name } else { &raw_name };
            let function = self.builder.function(&name, raw_name);
            let file = self.builder.string(&self.tables.string(file));
            rows.push((Line { function, file, line: u32::try_from(number).unwrap_or(0) }, name));
        }
        let place = match (self.image(mapping), rows.last()) {
            (_, Some((_, name))) if rows.len() == 1 && Truncation::of_note(name).is_some() => {
                Place::End(Truncation::of_note(name)?)
            }
            (image, Some((_, outermost))) => {
                let lines: Vec<Line> = rows.iter().map(|(line, _)| *line).collect();
                let key = match image {
                    Some((image, base)) if address != 0 => FrameKey::Code { image, offset: address.wrapping_sub(base) },
                    _ => FrameKey::Name { name: self.builder.string(outermost), kind: FrameKind::User },
                };
                Place::Frame(self.builder.resolved_frame(key, &lines), lines.len() as u32)
            }
            (Some((image, base)), None) if address != 0 => Place::Frame(
                self.builder.nameless_code_frame(image, address.wrapping_sub(base), Unnamed::NotInInput),
                1,
            ),
            (_, None) => {
                Place::Frame(self.builder.nameless_frame("[unknown]", FrameKind::User, Unnamed::NotInInput), 1)
            }
        };
        self.places.insert(id, place);
        Some(place)
    }

    /// The image of a mapping, and what to take off an address to get the offset in it.
    fn image(&mut self, id: u64) -> Option<(ImageId, u64)> {
        let Mapping { start, offset, file, build_id } = *self.tables.mappings.get(&id)?;
        let path = self.tables.string(file);
        if path.starts_with("[kernel") {
            return Some((ProfileBuilder::KERNEL, 0));
        }
        let build_id = BuildId::new(&hex(&self.tables.string(build_id)));
        let kind = if path.starts_with("[vdso") { ImageKind::Vdso } else { ImageKind::File };
        let builder = &mut self.builder;
        let image = *self.images.entry(id).or_insert_with(|| builder.add_image(kind, &path, build_id));
        Some((image, start.wrapping_sub(offset)))
    }

    fn finish(self) -> Profile {
        let tables = self.tables;
        let mut profile = self.builder.finish();
        profile.main = self.main;
        let (name, period) = (tables.string(tables.period.0), tables.period.1);
        for (row, event) in profile.events.iter_mut().enumerate() {
            let is_of = |sample: &Sample| sample.event.index() == row;
            // An estimate stands for no samples.
            let is_whole =
                |sample: Sample| sample.count == 0 || Some(sample.value) == period.checked_mul(u64::from(sample.count));
            // A clock at a fixed rate, as in recordings of perf: its samples can be counted.
            if event.unit == Unit::Nanoseconds
                && period > 1
                && profile.strings.get(event.name) == name
                && profile.samples.iter().filter(is_of).all(is_whole)
            {
                event.period = Some(period);
            }
        }
        let comments: Vec<String> = tables.comments.iter().map(|row| tables.string(*row)).collect();
        let stats = &mut profile.stats;
        if let Some(run) = comments.iter().find_map(|text| text.strip_prefix(RUN)) {
            let (read, period) = run_of(run);
            *stats = read;
            if let Some(event) = profile.events.get_mut(profile.main.index()) {
                event.period = period.or(event.period);
            }
        } else {
            stats.origin = Origin::Stacks;
            stats.duration = Duration::from_nanos(tables.duration);
            stats.started_unix = tables.time / 1_000_000_000;
            stats.records.insert("samples".into(), self.samples);
            stats.records.insert("locations".into(), tables.locations.len() as u64);
            stats.notes.extend(comments.into_iter().filter(|text| !text.is_empty()));
        }
        stats.skipped.extend(self.skipped.into_iter().map(|(what, count)| (what.to_owned(), count)));
        if let Some(offset) = tables.cut_at {
            (stats.is_as_recorded, stats.is_cut) = (false, true);
            stats.notes.push(format!("the file is cut or broken at byte {offset}: what is before it was read"));
        }
        profile
    }
}

/// What a comment of ours says of the run that the profile is, and the nominal value of its samples.
fn run_of(text: &str) -> (CaptureStats, Option<u64>) {
    let json: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let StatsRead { mut stats, refused } = read_stats(&json["stats"]);
    if !refused.is_empty() {
        stats.notes.push(format!("figures of the run that cannot be are left out: {}", refused.join(", ")));
    }
    (stats, json["period"].as_u64().filter(|period| *period > 0))
}

#[derive(Default)]
struct Labels {
    pid: Option<u32>,
    tid: Option<u32>,
    thread: Option<String>,
    process: Option<String>,
    time: u64,
}

/// Units by pprof's names, and what to multiply values by.
fn unit_of(name: &str) -> (Unit, u64) {
    match name {
        "nanoseconds" | "nanosecond" | "ns" => (Unit::Nanoseconds, 1),
        "microseconds" | "microsecond" | "us" => (Unit::Nanoseconds, 1_000),
        "milliseconds" | "millisecond" | "ms" => (Unit::Nanoseconds, 1_000_000),
        "seconds" | "second" | "s" => (Unit::Nanoseconds, 1_000_000_000),
        "bytes" | "byte" | "b" => (Unit::Bytes, 1),
        "kilobytes" | "kilobyte" | "kb" => (Unit::Bytes, 1 << 10),
        "megabytes" | "megabyte" | "mb" => (Unit::Bytes, 1 << 20),
        _ => (Unit::Count, 1),
    }
}

/// Bytes of hexadecimal digits; none if there are others.
fn hex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pairs = text.as_bytes().chunks_exact(2);
    pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect::<Option<_>>().unwrap_or_default()
}
