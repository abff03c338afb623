//! Goes through a recording record by record: what is the kernel's goes to the feed, what is perf's is used here.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::Range;

use rustc_hash::FxHashMap;

use super::events::Event;
use super::files::Files;
use crate::error::{Error, ErrorKind, Result};
use crate::import::source::Meter;
use crate::perf::data::compressed::{self, Unpacker};
use crate::perf::data::features::{self, Features, number};
use crate::perf::data::walk::{self, Next};
use crate::perf::data::{kind, simpleperf};
use crate::perf::record::{HEADER, header, kind_name};
use crate::perf::{AttrFlags, ByteOrder, EventAttr, Layout, Layouts, Words};
use crate::recorder::{Feed, Processor, RecordedEvent, Sink};

/// So many bytes are read before memory is given back and progress is told.
const BEAT: u64 = 16 << 20;
/// So many bytes of a stream are held before their records are handed over.
const CHUNK: usize = 1 << 20;

/// What was found in a recording.
#[derive(Debug)]
pub(super) struct Scanned<S> {
    /// Who took in the records.
    pub sink: S,
    pub features: Features,
    pub events: Vec<Event>,
    /// Records by type.
    pub counts: FxHashMap<u32, u64>,
    /// What was passed over, by reason.
    pub skipped: BTreeMap<String, u64>,
    pub notes: Vec<String>,
    /// Whether the file ended before its records did.
    pub is_cut: bool,
}

/// What is known of a recording when its first record comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub order: ByteOrder,
    pub features: &'a Features,
    pub events: &'a [Event],
    pub types: &'a [(u64, String)],
}

impl Known<'_> {
    /// The events, as a recorder wants them.
    pub fn recorded_events(&self) -> Vec<RecordedEvent> {
        let events = self.events.iter().enumerate();
        events.map(|(row, event)| event.recorded(row, self.features, self.types)).collect()
    }

    /// Whether times are those of `CLOCK_MONOTONIC`.
    pub fn is_monotonic(&self) -> bool {
        const CLOCK_MONOTONIC: i32 = 1;
        let attrs = self.events.iter().map(|event| &event.attr);
        attrs.clone().count() > 0
            && attrs.into_iter().all(|attr| attr.flags.has(AttrFlags::USE_CLOCKID) && attr.clockid == CLOCK_MONOTONIC)
    }

    /// Of which processor its stack copies are; nothing if of one whose stacks are not unwound.
    pub fn processor(&self) -> Option<Processor> {
        match &self.features.arch {
            _ if self.order == ByteOrder::Swapped => None,
            Some(arch) => Processor::of_machine(arch),
            // Nobody says: it is ours if its registers are.
            None => Processor::HERE.filter(|here| {
                self.events.iter().all(|event| event.attr.sample_regs_user & !here.registers_mask() == 0)
            }),
        }
    }
}

/// A walk through a recording.
pub(super) struct Scan<'f, S> {
    name: &'f str,
    order: ByteOrder,
    meter: &'f Meter,
    files: Option<&'f Files>,
    features: Features,
    events: Vec<Event>,
    /// Names of events by `config`, of perf before 3.0.
    types: Vec<(u64, String)>,
    /// Made when the first record for it comes: by then it is known what the machine was.
    feed: Option<Feed<'f, S>>,
    make: &'f dyn Fn(&Known<'_>) -> S,
    unpacker: Option<Unpacker>,
    unpacked: Chunk,
    unpacking: bool,
    counts: FxHashMap<u32, u64>,
    skipped: BTreeMap<String, u64>,
    notes: Vec<String>,
    is_cut: bool,
}

/// Bytes that came one after the other, not all of which are whole records yet.
#[derive(Debug, Default)]
struct Chunk {
    bytes: Vec<u8>,
    /// Where the kernel's records begin.
    offsets: Vec<u32>,
    /// Up to here there are whole records.
    walked: usize,
}

/// Why a walk through a chunk stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopped {
    /// More bytes are needed.
    More,
    /// So many bytes that follow the chunk are no records.
    Skip(u64),
}

impl<'f, S: Sink> Scan<'f, S> {
    /// At the beginning of a recording, whose files are there, or which comes as a stream.
    pub fn new(
        name: &'f str,
        order: ByteOrder,
        meter: &'f Meter,
        files: Option<&'f Files>,
        make: &'f dyn Fn(&Known<'_>) -> S,
    ) -> Scan<'f, S> {
        Scan {
            name,
            order,
            meter,
            files,
            features: Features::default(),
            events: Vec::new(),
            types: Vec::new(),
            feed: None,
            make,
            unpacker: None,
            unpacked: Chunk::default(),
            unpacking: false,
            counts: FxHashMap::default(),
            skipped: BTreeMap::new(),
            notes: Vec::new(),
            is_cut: false,
        }
    }

    /// Notes what is less than could be expected.
    pub fn note(&mut self, note: &str) {
        self.notes.push(note.to_owned());
    }

    /// Says that the file ended before its records did.
    pub fn note_cut(&mut self, note: &str) {
        self.note(note);
        self.is_cut = true;
    }

    /// Takes in a section about the machine.
    pub fn add_section(&mut self, number: u32, bytes: &[u8]) {
        self.features.add(number, bytes, self.order);
    }

    /// Takes in names of events by `config`.
    pub fn add_event_types(&mut self, bytes: &[u8]) {
        self.types.extend(features::event_types(bytes, self.order));
    }

    /// Takes in an event.
    pub fn add_attr(&mut self, attr: EventAttr, ids: Vec<u64>) {
        let row = self.events.len();
        let event = Event { attr, ids, name: None };
        if let Some(feed) = &mut self.feed {
            feed.layouts().add(Layout::of(&event.attr, row as u32, self.order), event.ids.iter().copied());
            feed.recorder().add_event(event.recorded(row, &self.features, &self.types));
        }
        self.events.push(event);
    }

    /// Goes through a range of file number `number`.
    pub fn file(&mut self, number: usize, range: Range<u64>) {
        let Some(files) = self.files else { return };
        let bytes = files.bytes(number);
        let end = usize::try_from(range.end).map_or(bytes.len(), |end| end.min(bytes.len()));
        let mut at = usize::try_from(range.start).map_or(end, |start| start.min(end));
        let mut told = at;
        while at < end {
            match walk::next(&bytes[at..end], self.order) {
                Next::Record { kind, size, payload } => {
                    let behind = at + size;
                    let next = behind.saturating_add(usize::try_from(payload).unwrap_or(usize::MAX));
                    *self.counts.entry(kind).or_default() += 1;
                    if kind < kind::FIRST {
                        self.feed().take_from_file(number, at);
                    } else {
                        self.own(kind, &bytes[at..behind], &bytes[behind..next.min(end)]);
                    }
                    at = next;
                }
                Next::Cut(_) => {
                    self.skip("bytes of a record that is cut at the end", (end - at) as u64);
                    at = end;
                }
                Next::Broken => at = self.resume(&bytes[..end], at),
            }
            if (at - told) as u64 >= BEAT {
                self.meter.add((at - told) as u64);
                told = at;
                files.forget();
                if self.meter.is_stopped() {
                    break;
                }
            }
        }
        self.end_of_records();
    }

    /// Goes through a stream of records.
    ///
    /// # Errors
    /// If reading fails before there was anything.
    pub fn stream(&mut self, reader: &mut dyn Read) -> Result<()> {
        const READ: usize = 256 << 10;
        let mut chunk = Chunk::default();
        let mut at_end = false;
        while !at_end {
            let filled = chunk.bytes.len();
            chunk.bytes.resize(filled + READ, 0);
            let result = loop {
                match reader.read(&mut chunk.bytes[filled..]) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    result => break result,
                }
            };
            chunk.bytes.truncate(filled + *result.as_ref().unwrap_or(&0));
            match result {
                Ok(count) => at_end = count == 0,
                Err(error) if self.feed.is_none() => {
                    return Err(Error::io(format!("cannot read {}", self.name), error));
                }
                Err(error) => {
                    self.note_cut(&format!("reading ended before the recording did: {error}"));
                    at_end = true;
                }
            }
            match self.walk(&mut chunk, at_end) {
                Stopped::More if chunk.walked >= CHUNK => self.hand_over(&mut chunk),
                Stopped::More => {}
                Stopped::Skip(count) => {
                    self.hand_over(&mut chunk);
                    let skipped = io::copy(&mut reader.take(count), &mut io::sink());
                    at_end = skipped.is_err();
                }
            }
        }
        self.hand_over(&mut chunk);
        if !chunk.bytes.is_empty() {
            self.skip("bytes of a record that is cut at the end", chunk.bytes.len() as u64);
        }
        self.end_of_records();
        Ok(())
    }

    /// Goes through what is whole in a chunk.
    fn walk(&mut self, chunk: &mut Chunk, at_end: bool) -> Stopped {
        /// So far is looked for records behind a broken place.
        const SIGHT: usize = 1 << 20;
        loop {
            let at = chunk.walked;
            match walk::next(&chunk.bytes[at..], self.order) {
                Next::Record { kind, size, payload } if kind < kind::FIRST || payload == 0 => {
                    *self.counts.entry(kind).or_default() += 1;
                    chunk.walked += size;
                    match kind {
                        0..kind::FIRST => chunk.offsets.push(at as u32),
                        kind::FINISHED_ROUND => {
                            self.hand_over(chunk);
                            self.end_round();
                        }
                        kind => {
                            let record = chunk.bytes[at..at + size].to_vec();
                            self.own(kind, &record, &[]);
                        }
                    }
                }
                Next::Record { kind: kind @ kind::AUXTRACE, size, payload } => {
                    *self.counts.entry(kind).or_default() += 1;
                    chunk.walked += size;
                    let there = (chunk.bytes.len() - chunk.walked) as u64;
                    self.skip(AUX, payload);
                    if payload > there {
                        chunk.bytes.truncate(chunk.walked);
                        return Stopped::Skip(payload - there);
                    }
                    chunk.walked += payload as usize;
                }
                Next::Record { kind, size, payload } => {
                    let end = (at + size).saturating_add(usize::try_from(payload).unwrap_or(usize::MAX));
                    if end > chunk.bytes.len() {
                        return Stopped::More;
                    }
                    *self.counts.entry(kind).or_default() += 1;
                    chunk.walked = end;
                    let bytes = chunk.bytes[at..end].to_vec();
                    self.own(kind, &bytes[..size], &bytes[size..]);
                }
                Next::Cut(_) => return Stopped::More,
                Next::Broken if !at_end && chunk.bytes.len() - at < SIGHT => return Stopped::More,
                Next::Broken => chunk.walked = self.resume(&chunk.bytes, at),
            }
        }
    }

    /// Gives the whole records of a chunk to the feed, and keeps the rest.
    fn hand_over(&mut self, chunk: &mut Chunk) {
        if chunk.walked == 0 {
            return;
        }
        let rest = chunk.bytes.split_off(chunk.walked);
        let bytes = std::mem::replace(&mut chunk.bytes, rest);
        chunk.walked = 0;
        if !chunk.offsets.is_empty() {
            self.feed().take_records(bytes, &chunk.offsets);
            chunk.offsets.clear();
        }
    }

    /// Where records go on behind a place where there is none; what is passed over is counted.
    fn resume(&mut self, bytes: &[u8], at: usize) -> usize {
        let next = walk::resume(&bytes[at..], self.order).map_or(bytes.len(), |distance| at + distance);
        self.skip("bytes that are no records", (next - at) as u64);
        next
    }

    /// Takes in a record that a tool has written, not the kernel, with what follows it.
    fn own(&mut self, kind: u32, record: &[u8], payload: &[u8]) {
        let order = self.order;
        let body = record.get(HEADER..).unwrap_or_default();
        let word = |offset: usize| Words::new(body.get(offset..).unwrap_or_default(), order).get(0);
        match kind {
            kind::ATTR => {
                if let Some((attr, ids)) = features::attr(body, order) {
                    self.add_attr(attr, ids);
                }
            }
            kind::EVENT_TYPE => self.types.extend(features::event_type(body, order)),
            kind::TRACING_DATA => self.add_section(number::TRACING_DATA, payload),
            kind::BUILD_ID => {
                let misc = header(record, order).map_or(0, |(_, misc, _)| misc);
                self.features.build_ids.extend(features::build_id(record, misc, order));
            }
            kind::FINISHED_ROUND => self.end_round(),
            kind::EVENT_UPDATE => {
                if let Some((id, name)) = features::event_name(body, order)
                    && let Some(event) = self.events.iter_mut().find(|event| event.ids.contains(&id))
                {
                    event.name = Some(name);
                }
            }
            kind::FEATURE => {
                let number = word(0).and_then(|number| u32::try_from(number).ok());
                if let (Some(number), Some(bytes)) = (number, body.get(8..)) {
                    self.add_section(number, bytes);
                }
            }
            kind::COMPRESSED | kind::COMPRESSED2 => self.unpack(kind, record),
            kind::AUXTRACE => self.skip(AUX, payload.len() as u64),
            simpleperf::kind::KERNEL_SYMBOL => self.features.simpleperf.add_kernel_symbols(body, order),
            simpleperf::kind::TRACING_DATA => self.add_section(number::TRACING_DATA, body.get(4..).unwrap_or_default()),
            simpleperf::kind::EVENT_ID => {
                let pairs = Words::new(body.get(8..).unwrap_or_default(), order).iter().collect::<Vec<_>>();
                let count = word(0).unwrap_or(0);
                for pair in pairs.chunks_exact(2).take(usize::try_from(count).unwrap_or(usize::MAX)) {
                    let Some(event) = usize::try_from(pair[0]).ok().filter(|row| *row < self.events.len()) else {
                        continue;
                    };
                    self.events[event].ids.push(pair[1]);
                    if let Some(feed) = &mut self.feed {
                        feed.layouts().add_ids(event as u32, [pair[1]]);
                    }
                }
            }
            other if kind_name(other).starts_with("type ") => {
                self.skip(&format!("records of unknown {}", kind_name(other)), 1)
            }
            _ => {}
        }
    }

    /// Unpacks the records of a compressed one.
    fn unpack(&mut self, kind: u32, record: &[u8]) {
        let failed = "compressed records that cannot be unpacked";
        if std::mem::replace(&mut self.unpacking, true) {
            return self.skip("compressed records within compressed records", 1);
        }
        let Some(packed) = compressed::packed(kind, record, self.order) else {
            self.unpacking = false;
            return self.skip(failed, 1);
        };
        let unpacker = match &mut self.unpacker {
            Some(unpacker) => unpacker,
            None => match Unpacker::new() {
                Ok(unpacker) => self.unpacker.insert(unpacker),
                Err(_) => {
                    self.unpacking = false;
                    return self.skip(failed, 1);
                }
            },
        };
        let mut chunk = std::mem::take(&mut self.unpacked);
        if unpacker.unpack(packed, &mut chunk.bytes).is_err() {
            self.skip(failed, 1);
        }
        // What is no record within is passed over as anywhere.
        while let Stopped::Skip(_) = self.walk(&mut chunk, false) {}
        if chunk.walked >= CHUNK {
            self.hand_over(&mut chunk);
        }
        self.unpacked = chunk;
        self.unpacking = false;
    }

    fn end_round(&mut self) {
        let mut chunk = std::mem::take(&mut self.unpacked);
        self.hand_over(&mut chunk);
        self.unpacked = chunk;
        self.feed().end_round(drop);
    }

    /// At the end of a file or stream: what is packed in the next one begins anew.
    fn end_of_records(&mut self) {
        let mut chunk = std::mem::take(&mut self.unpacked);
        self.walk(&mut chunk, true);
        self.hand_over(&mut chunk);
        if !chunk.bytes.is_empty() {
            self.skip("bytes of a record that is cut at the end", chunk.bytes.len() as u64);
        }
        self.unpacker = None;
    }

    fn skip(&mut self, what: &str, count: u64) {
        let sum = self.skipped.entry(what.to_owned()).or_default();
        *sum = sum.saturating_add(count);
    }

    fn feed(&mut self) -> &mut Feed<'f, S> {
        if self.feed.is_none() {
            self.feed = Some(self.new_feed());
        }
        self.feed.as_mut().expect("made above")
    }

    fn new_feed(&self) -> Feed<'f, S> {
        let mut layouts = Layouts::default();
        for (row, event) in self.events.iter().enumerate() {
            layouts.add(Layout::of(&event.attr, row as u32, self.order), event.ids.iter().copied());
        }
        let known = Known { order: self.order, features: &self.features, events: &self.events, types: &self.types };
        Feed::new((self.make)(&known), layouts, self.files.map(Files::all).unwrap_or_default())
    }

    /// Takes in what is left.
    ///
    /// # Errors
    /// If the recording does not say what its events are.
    pub fn finish(mut self) -> Result<Scanned<S>> {
        if self.events.is_empty() {
            let records: u64 = self.counts.values().sum();
            return Err(Error::new(
                ErrorKind::Malformed,
                format!("{} describes no events, so that none of its {records} records can be read", self.name),
            )
            .with_hint("a perf.data that was cut short, or was not written by perf record: record again"));
        }
        self.feed();
        let feed = self.feed.take().expect("made above");
        let (unknown, beyond) = (feed.unknown_ids(), feed.beyond());
        for (what, count) in [("records of no known event", unknown), ("records beyond 1 TiB", beyond)] {
            if count > 0 {
                self.skip(what, count);
            }
        }
        let (mut read, files, meter) = (0, self.files, self.meter);
        let sink = feed.finish(&mut |bytes| {
            read += bytes;
            if read >= BEAT {
                read = 0;
                files.inspect(|files| files.forget());
            }
            !meter.is_stopped()
        });
        Ok(Scanned {
            sink,
            features: self.features,
            events: self.events,
            counts: self.counts,
            skipped: self.skipped,
            notes: self.notes,
            is_cut: self.is_cut,
        })
    }
}

const AUX: &str = "bytes of hardware trace (not decoded)";
