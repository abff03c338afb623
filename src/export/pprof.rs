//! pprof's protocol buffers, for `go tool pprof` and all that reads what it reads.
//!
//! The first value is the number of samples of the main event, then each event has one. Samples of one thread and stack are one; their
//! times are lost, as pprof has none. Locations keep their address: as pprof wants mappings that do not overlap, each image gets a
//! range of its own, whose addresses less its start are the image's offsets; kernel addresses stay as they are. A stack that is cut has
//! `[truncated: ...]` as its outermost function. Of a run that is kept with others of its series a comment has all that is known of it.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use rustc_hash::FxHashMap;
use serde_json::json;

use crate::error::{Error, Result};
use crate::formats::pprof::{RUN, function, label, line, location, mapping, profile as field, sample, value_type};
use crate::formats::protobuf::Message;
use crate::formats::stats_json;
use crate::model::{
    CaptureStats, EventId, FrameId, FrameKey, ImageId, ImageKind, Profile, Resolution, StackEnd, StackId, StringId,
    ThreadId, Truncation, Unit,
};

/// Writes `profile` as gzip, as pprof's files are.
pub fn write(profile: &Profile, out: &mut impl Write) -> Result<()> {
    let mut encoder = GzEncoder::new(out, Compression::fast());
    let mut writer = Writer::new(profile);
    let written = writer.write(&mut encoder).and_then(|()| encoder.finish()).and_then(|out| out.flush());
    written.map_err(|error| Error::io("cannot write the profile for pprof", error))
}

/// Address space between two images: larger than any file.
const STEP: u64 = 1 << 40;
/// Where the kernel begins: the upper half of the address space.
const KERNEL: u64 = 1 << 63;

/// What samples are summed up by.
type Sum = (ThreadId, StackId, Option<Truncation>, EventId);

struct Writer<'a> {
    profile: &'a Profile,
    strings: FxHashMap<String, u64>,
    /// Each string, in the order of its row.
    table: Vec<String>,
    /// Mappings of images, in the order of their ids.
    mappings: Vec<ImageId>,
    of_image: FxHashMap<ImageId, u64>,
    /// By the name as shown, the raw name, and the file.
    functions: FxHashMap<(u64, u64, u64), u64>,
    of_frame: Vec<u64>,
    of_cut: FxHashMap<Truncation, u64>,
    locations: u64,
    /// Locations and functions, as they are made.
    tables: Message,
}

impl<'a> Writer<'a> {
    fn new(profile: &'a Profile) -> Writer<'a> {
        let mut writer = Writer {
            profile,
            strings: FxHashMap::default(),
            table: Vec::new(),
            mappings: Vec::new(),
            of_image: FxHashMap::default(),
            functions: FxHashMap::default(),
            of_frame: vec![0; profile.frames.len()],
            of_cut: FxHashMap::default(),
            locations: 0,
            tables: Message::default(),
        };
        writer.string("");
        writer
    }

    fn write(&mut self, out: &mut impl Write) -> std::io::Result<()> {
        let profile = self.profile;
        let mut head = Message::default();
        let main = profile.events.get(profile.main.index());
        let names: Vec<(String, &str)> = profile
            .events
            .iter()
            .map(|event| (profile.strings.get(event.name).to_owned(), unit_name(event.unit)))
            .collect();
        let has_samples = !names.iter().any(|(name, unit)| name == "samples" && *unit == "count");
        let counted = has_samples.then(|| ("samples".to_owned(), "count"));
        for (name, unit) in counted.iter().chain(&names) {
            let value_type = self.value_type(name, unit);
            head.bytes(field::SAMPLE_TYPE, value_type.as_bytes());
        }
        out.write_all(head.as_bytes())?;
        self.samples(has_samples, out)?;
        self.write_mappings(out)?;
        out.write_all(self.tables.as_bytes())?;

        let mut tail = Message::default();
        tail.number(field::TIME_NANOS, profile.stats.started_unix.saturating_mul(1_000_000_000));
        tail.number(field::DURATION_NANOS, u64::try_from(profile.stats.duration.as_nanos()).unwrap_or(0));
        if let Some(main) = main {
            let name = profile.strings.get(main.name).to_owned();
            let period_type = self.value_type(&name, unit_name(main.unit));
            tail.bytes(field::PERIOD_TYPE, period_type.as_bytes());
            tail.number(field::PERIOD, main.period.unwrap_or(1));
            let name = self.string(&name);
            tail.number(field::DEFAULT_SAMPLE_TYPE, name);
        }
        let mut notes: Vec<u64> = profile.stats.notes.iter().map(|note| self.string(note)).collect();
        notes.extend(run(profile).map(|run| self.string(&run)));
        tail.numbers(field::COMMENT, notes);
        self.table.iter().for_each(|string| tail.bytes(field::STRING_TABLE, string.as_bytes()));
        out.write_all(tail.as_bytes())
    }

    fn samples(&mut self, has_samples: bool, out: &mut impl Write) -> std::io::Result<()> {
        let profile = self.profile;
        let mut sums: FxHashMap<Sum, (u64, u64)> = FxHashMap::default();
        for row in &profile.samples {
            let cut = match row.end {
                StackEnd::Root | StackEnd::Unstated => None,
                StackEnd::Truncated(reason) => Some(reason),
            };
            let (value, count) = sums.entry((row.thread, row.stack, cut, row.event)).or_default();
            *value = value.saturating_add(row.value);
            *count += u64::from(row.count);
        }
        let mut sums: Vec<_> = sums.into_iter().collect();
        sums.sort_unstable_by_key(|(key, _)| *key);
        let labels: Vec<Message> = (0..profile.threads.len()).map(|row| self.labels(row)).collect();
        let (mut message, mut whole) = (Message::default(), Message::default());
        for group in sums.chunk_by(|(a, _), (b, _)| (a.0, a.1, a.2) == (b.0, b.1, b.2)) {
            let (thread, stack, cut, _) = group[0].0;
            let frames: Vec<FrameId> = profile.frames_of(stack).collect();
            let mut locations: Vec<u64> = frames.into_iter().map(|frame| self.location(frame)).collect();
            locations.extend(cut.map(|reason| self.cut(reason)));
            let mut values = vec![0; usize::from(has_samples) + profile.events.len()];
            for ((.., event), (value, count)) in group {
                if has_samples && *event == profile.main {
                    values[0] = *count;
                }
                // What does not fit into their signed numbers is cut.
                values[usize::from(has_samples) + event.index()] = (*value).min(i64::MAX as u64);
            }
            message.clear();
            message.numbers(sample::LOCATION_ID, locations);
            message.numbers(sample::VALUE, values);
            for label in split(&labels[thread.index()]) {
                message.bytes(sample::LABEL, label);
            }
            whole.clear();
            whole.bytes(field::SAMPLE, message.as_bytes());
            out.write_all(whole.as_bytes())?;
        }
        Ok(())
    }

    /// The labels of a thread, as fields of a message.
    fn labels(&mut self, row: usize) -> Message {
        let profile = self.profile;
        let thread = &profile.threads[row];
        let process = &profile.processes[thread.process.index()];
        let mut labels = Message::default();
        let numbers = [("pid", process.pid), ("tid", thread.tid)].into_iter().filter(|(_, id)| *id != 0);
        for (key, id) in numbers {
            let mut label = Message::default();
            label.number(label::KEY, self.string(key));
            label.number(label::NUM, u64::from(id));
            labels.bytes(1, label.as_bytes());
        }
        for (key, name) in [("process", process.name), ("thread", thread.name)] {
            let mut label = Message::default();
            label.number(label::KEY, self.string(key));
            label.number(label::STR, self.string(profile.strings.get(name)));
            labels.bytes(1, label.as_bytes());
        }
        labels
    }

    fn location(&mut self, id: FrameId) -> u64 {
        if self.of_frame[id.index()] != 0 {
            return self.of_frame[id.index()];
        }
        let profile = self.profile;
        let frame = profile.frames[id.index()];
        let mut message = Message::default();
        self.locations += 1;
        message.number(location::ID, self.locations);
        if let FrameKey::Code { image, offset } = frame.key {
            let (mapping, base) = self.mapping(image);
            message.number(location::MAPPING_ID, mapping);
            // Within its mapping, even if a broken recording has it elsewhere.
            let address = match base {
                0 if mapping == 0 => offset,
                0 => (offset | KERNEL).min(u64::MAX - 1),
                base => base + offset.min(STEP - 1),
            };
            message.number(location::ADDRESS, address);
        }
        match (frame.resolution, frame.key) {
            (Resolution::Lines { .. }, _) => {
                for row in profile.lines_of(id) {
                    let of = profile.functions[row.function.index()];
                    self.line(&mut message, of.name, of.raw_name, row.file, row.line);
                }
            }
            (_, FrameKey::Name { name, .. }) => self.line(&mut message, name, name, StringId(0), 0),
            // pprof shows the file and address.
            (_, FrameKey::Code { .. }) => {}
        }
        self.tables.bytes(field::LOCATION, message.as_bytes());
        self.of_frame[id.index()] = self.locations;
        self.locations
    }

    fn line(&mut self, location: &mut Message, name: StringId, raw_name: StringId, file: StringId, number: u32) {
        let text = |id| self.profile.strings.get(id);
        let function = self.function(text(name), text(raw_name), text(file));
        let mut message = Message::default();
        message.number(line::FUNCTION_ID, function);
        message.number(line::LINE, u64::from(number));
        location.bytes(location::LINE, message.as_bytes());
    }

    fn function(&mut self, name: &str, raw_name: &str, file: &str) -> u64 {
        let key = (self.string(name), self.string(raw_name), self.string(file));
        let next = self.functions.len() as u64 + 1;
        let id = *self.functions.entry(key).or_insert(next);
        if id == next {
            let mut message = Message::default();
            message.number(function::ID, id);
            message.number(function::NAME, key.0);
            message.number(function::SYSTEM_NAME, key.1);
            message.number(function::FILENAME, key.2);
            self.tables.bytes(field::FUNCTION, message.as_bytes());
        }
        id
    }

    /// The location that stands for the callers that are missing.
    fn cut(&mut self, reason: Truncation) -> u64 {
        if let Some(known) = self.of_cut.get(&reason) {
            return *known;
        }
        let note = reason.note();
        let function = self.function(&note, &note, "");
        self.locations += 1;
        let (mut line, mut message) = (Message::default(), Message::default());
        line.number(line::FUNCTION_ID, function);
        message.number(location::ID, self.locations);
        message.bytes(location::LINE, line.as_bytes());
        self.tables.bytes(field::LOCATION, message.as_bytes());
        self.of_cut.insert(reason, self.locations);
        self.locations
    }

    /// The mapping of an image, and what to add to its offsets; none (0) of what is no file.
    fn mapping(&mut self, image: ImageId) -> (u64, u64) {
        let kind = self.profile.images[image.index()].kind;
        if matches!(kind, ImageKind::Jit(_) | ImageKind::Unmapped) {
            return (0, 0);
        }
        let next = self.mappings.len() as u64 + 1;
        let id = *self.of_image.entry(image).or_insert(next);
        if id == next {
            self.mappings.push(image);
        }
        (id, if kind == ImageKind::Kernel { 0 } else { id * STEP })
    }

    fn write_mappings(&mut self, out: &mut impl Write) -> std::io::Result<()> {
        let profile = self.profile;
        let mut all = Message::default();
        for (row, image) in self.mappings.clone().into_iter().enumerate() {
            let id = row as u64 + 1;
            let image = &profile.images[image.index()];
            let is_kernel = image.kind == ImageKind::Kernel;
            let (start, limit) = if is_kernel { (KERNEL, u64::MAX) } else { (id * STEP, (id + 1) * STEP) };
            let path = if is_kernel { "[kernel.kallsyms]" } else { profile.strings.get(image.path) };
            let mut message = Message::default();
            message.number(mapping::ID, id);
            message.number(mapping::START, start);
            message.number(mapping::LIMIT, limit);
            // An address less the start, plus this, is what is asked of the file: for the kernel, the address.
            message.number(mapping::OFFSET, if is_kernel { KERNEL } else { 0 });
            message.number(mapping::FILENAME, self.string(path));
            message.number(mapping::BUILD_ID, image.build_id.map_or(0, |id| self.string(&id.to_string())));
            mapping::HAS.into_iter().for_each(|what| message.number(what, 1));
            all.bytes(field::MAPPING, message.as_bytes());
        }
        out.write_all(all.as_bytes())
    }

    fn value_type(&mut self, name: &str, unit: &str) -> Message {
        let mut message = Message::default();
        message.number(value_type::TYPE, self.string(name));
        message.number(value_type::UNIT, self.string(unit));
        message
    }

    fn string(&mut self, text: &str) -> u64 {
        if let Some(known) = self.strings.get(text) {
            return *known;
        }
        let row = self.table.len() as u64;
        self.table.push(text.to_owned());
        self.strings.insert(text.to_owned(), row);
        row
    }
}

/// The comment that keeps what pprof has no place for, of a run of a series; without what the recording happened to cost.
fn run(profile: &Profile) -> Option<String> {
    profile.stats.run.as_ref()?;
    let stats = CaptureStats { own_cpu: Duration::ZERO, peak_rss_bytes: 0, ..profile.stats.clone() };
    let period = profile.events.get(profile.main.index()).and_then(|event| event.period);
    Some(format!("{RUN}{}", json!({"format": 1, "period": period, "stats": stats_json(&stats)})))
}

/// The fields of bytes of a message that holds nothing else.
fn split(message: &Message) -> impl Iterator<Item = &[u8]> {
    crate::formats::protobuf::Fields::new(message.as_bytes()).map_while(|field| Some(field.ok()?.1.bytes()))
}

fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Nanoseconds => "nanoseconds",
        Unit::Count => "count",
        Unit::Bytes => "bytes",
    }
}
