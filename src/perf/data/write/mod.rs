//! Writes a perf.data while it is being recorded.
//!
//! Records go out in large pieces; what stands behind them (features) and before them (sizes) is written at the end. When
//! a write fails, as on a full disk, no more is written, and the file is closed at the last place from which the features
//! still fit: what lies behind it is written over. So a file that could not be finished is a shorter one, not a broken one.

mod attr_bytes;
mod compress;
mod features;
mod made;

pub use attr_bytes::{ATTR_SIZE, attr_bytes};
pub use features::{BuildIdOf, ClockFacts, Features, Owner};
pub use made::{NewMapping, comm, fork, kernel_mmap, mmap2};

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Seek, SeekFrom, Write};

use self::compress::{PIECE, Packer};
use self::features::Packed;
use self::made::record;
use crate::perf::EventAttr;

/// The first bytes of both modes.
const MAGIC: &[u8; 8] = b"PERFILE2";
/// Size of the header of a file, and of a stream.
const FILE_HEADER: u64 = 104;
const PIPE_HEADER: u64 = 16;
/// Records that perf makes itself (`enum perf_user_event_type`, `tools/lib/perf/include/perf/event.h`).
const HEADER_ATTR: u32 = 64;
const HEADER_TRACING_DATA: u32 = 66;
const HEADER_BUILD_ID: u32 = 67;
const FINISHED_ROUND: u32 = 68;
const HEADER_FEATURE: u32 = 80;
/// The number behind the last feature; no feature has it, and in a stream it ends them.
const LAST_FEATURE: u64 = 32;
/// Most ids of an event in a stream, where they must fit into one record.
const MOST_IDS_IN_STREAM: usize = 8000;
/// So much is gathered before it is written.
const GATHERED: usize = 256 << 10;
/// How many places are remembered at which a file can be closed, and how far they lie apart at least.
const PLACES: usize = 512;
const APART: u64 = 4 << 10;

/// Where a perf.data goes.
pub enum Output {
    /// A file, written from its start.
    File(Box<dyn SeekableWrite>),
    /// A pipe, or whatever else cannot go back: the stream form.
    Pipe(Box<dyn Write + Send>),
}

/// Something to write to that can go back.
pub trait SeekableWrite: Write + Seek + Send {}

impl<W: Write + Seek + Send> SeekableWrite for W {}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Output::File(_) => "File",
            Output::Pipe(_) => "Pipe",
        })
    }
}

impl Output {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Output::File(file) => file.write_all(bytes),
            Output::Pipe(pipe) => pipe.write_all(bytes),
        }
    }
}

/// An event as the file describes it.
#[derive(Clone, Debug)]
pub struct RecordedEvent {
    /// Its name.
    pub name: String,
    /// Its attributes; all events of a file have `SAMPLE_ID_ALL` and the same identity fields.
    pub attr: EventAttr,
    /// The ids that its records carry.
    pub ids: Vec<u64>,
}

/// What the records that have been written add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Samples.
    pub samples: u64,
    /// The sum of their periods.
    pub value: u64,
}

/// How writing ended.
#[derive(Debug)]
pub struct Finished {
    /// What is in the file.
    pub tally: Tally,
    /// Its size in bytes; what lies behind that is no part of it.
    pub size: u64,
    /// Why it is not whole.
    pub failure: Option<io::Error>,
}

/// A place at which a file can be closed.
#[derive(Clone, Copy, Debug)]
struct Place {
    position: u64,
    tally: Tally,
}

/// A perf.data that is being written.
#[derive(Debug)]
pub struct Writer {
    /// What is said at the end of a file, and at the beginning of a stream.
    pub features: Features,
    output: Output,
    events: Vec<RecordedEvent>,
    packer: Option<Packer>,
    data_start: u64,
    gathered: Vec<u8>,
    packed: Vec<u8>,
    tally: Tally,
    /// The last one is where writing goes on; never empty.
    places: VecDeque<Place>,
    failure: Option<io::Error>,
}

impl Writer {
    /// Begins a file or stream of `events`, its records packed with zstd if `compress` says so.
    ///
    /// # Errors
    /// If it cannot be written to.
    pub fn create(
        output: Output,
        events: Vec<RecordedEvent>,
        features: Features,
        compress: bool,
    ) -> io::Result<Writer> {
        let packer = compress.then(Packer::new).transpose()?;
        let mut writer = Writer {
            features,
            output,
            events,
            packer,
            data_start: 0,
            gathered: Vec::with_capacity(GATHERED + 2 * PIECE),
            packed: Vec::new(),
            tally: Tally::default(),
            places: VecDeque::new(),
            failure: None,
        };
        let start = match writer.output {
            Output::File(_) => {
                let sections = writer.sections_before_data();
                writer.data_start = FILE_HEADER + sections.len() as u64;
                let header = writer.header(0, 0);
                [header, sections].concat()
            }
            Output::Pipe(_) => writer.stream_start(),
        };
        writer.output.write_all(&start)?;
        writer.places.push_back(Place { position: start.len() as u64, tally: Tally::default() });
        Ok(writer)
    }

    /// Adds whole records, after which the tally is `tally`. A failure is kept until [`Writer::finish`].
    pub fn append(&mut self, records: &[u8], tally: Tally) {
        if self.failure.is_some() {
            return;
        }
        self.gathered.extend_from_slice(records);
        self.tally = tally;
        if self.gathered.len() >= GATHERED {
            self.write_out(false);
        }
    }

    /// Ends a round: nothing that is still to come is earlier than what was added before the round before it ended.
    pub fn end_round(&mut self) {
        if self.failure.is_none() {
            self.write_out(true);
        }
    }

    /// Why nothing is written any more.
    pub fn failure(&self) -> Option<&io::Error> {
        self.failure.as_ref()
    }

    /// Writes the rest.
    pub fn finish(mut self) -> Finished {
        if self.failure.is_none() {
            self.write_out(true);
        }
        match self.output {
            Output::File(_) => self.close_file(),
            Output::Pipe(_) => self.close_stream(),
        }
    }

    fn write_out(&mut self, ends_round: bool) {
        let mut round = Vec::new();
        if ends_round {
            record(&mut round, FINISHED_ROUND, 0, 0, &[]);
        }
        let written = match &mut self.packer {
            Some(packer) => {
                self.packed.clear();
                packer.pack(&self.gathered, &mut self.packed).and_then(|()| {
                    self.packed.extend(&round);
                    self.output.write_all(&self.packed)
                })
            }
            None => {
                self.gathered.extend(&round);
                self.output.write_all(&self.gathered)
            }
        };
        let size = if self.packer.is_some() { self.packed.len() } else { self.gathered.len() } as u64;
        self.gathered.clear();
        match written {
            Ok(()) => self.note_place(self.position() + size),
            Err(error) => self.failure = Some(error),
        }
    }

    fn position(&self) -> u64 {
        self.places.back().map_or(0, |place| place.position)
    }

    /// Remembers where the file could be closed; of places that lie close together only the last.
    fn note_place(&mut self, position: u64) {
        let before = self.places.len().checked_sub(2).and_then(|row| self.places.get(row));
        if before.is_some_and(|before| position - before.position < APART) {
            self.places.pop_back();
        }
        self.places.push_back(Place { position, tally: self.tally });
        if self.places.len() > PLACES {
            self.places.pop_front();
        }
    }

    /// Closes the file at the last place from which the features can be written; without them if there is none.
    fn close_file(mut self) -> Finished {
        let packed = self.packed();
        let sections = self.features.sections(&self.events, packed.as_ref());
        let places: Vec<Place> = self.places.iter().copied().collect();
        for place in places.iter().rev() {
            match self.close_at(place.position, &sections) {
                Ok(size) => return Finished { tally: place.tally, size, failure: self.failure },
                Err(error) => self.failure = self.failure.or(Some(error)),
            }
        }
        let last = places.last().copied().unwrap_or(Place { position: self.data_start, tally: Tally::default() });
        if let Err(error) = self.close_at(last.position, &[]) {
            self.failure = self.failure.or(Some(error));
        }
        Finished { tally: last.tally, size: last.position, failure: self.failure }
    }

    /// Writes the features at `position`, and the header; gives the file's size.
    fn close_at(&mut self, position: u64, sections: &[(u8, Vec<u8>)]) -> io::Result<u64> {
        let mut offset = position + 16 * sections.len() as u64;
        let (mut table, mut flags) = (Vec::new(), 0);
        for (number, bytes) in sections {
            table.extend(offset.to_ne_bytes());
            table.extend((bytes.len() as u64).to_ne_bytes());
            offset += bytes.len() as u64;
            flags |= 1u64 << number;
        }
        table.extend(sections.iter().flat_map(|(_, bytes)| bytes));
        let header = self.header(position - self.data_start, flags);
        let Output::File(file) = &mut self.output else { return Ok(position) };
        file.seek(SeekFrom::Start(position))?;
        file.write_all(&table)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&header)?;
        file.flush()?;
        Ok(offset)
    }

    /// Writes the build ids, which are known only now.
    fn close_stream(mut self) -> Finished {
        let build_ids: Vec<u8> = self.features.build_ids.iter().flat_map(|file| file.record(HEADER_BUILD_ID)).collect();
        let mut size = self.position();
        if self.failure.is_none() {
            let written = self.output.write_all(&build_ids);
            let Output::Pipe(pipe) = &mut self.output else { unreachable!("only a stream is closed as one") };
            match written.and_then(|()| pipe.flush()) {
                Ok(()) => size += build_ids.len() as u64,
                Err(error) => self.failure = Some(error),
            }
        }
        let tally = self.places.back().map_or(Tally::default(), |place| place.tally);
        Finished { tally, size, failure: self.failure }
    }

    /// `struct perf_file_header`, `tools/perf/util/header.h`.
    fn header(&self, data_size: u64, flags: u64) -> Vec<u8> {
        let attrs = self.events.len() * (ATTR_SIZE + 16);
        let mut bytes = MAGIC.to_vec();
        let words = [
            FILE_HEADER,
            ATTR_SIZE as u64 + 16,
            // The attributes stand right before the records.
            self.data_start - attrs as u64,
            attrs as u64,
            self.data_start,
            data_size,
            0,
            0,
            flags,
            0,
            0,
            0,
        ];
        bytes.extend(words.into_iter().flat_map(u64::to_ne_bytes));
        bytes
    }

    /// The ids of all events, then the attributes, each with the place of its ids.
    fn sections_before_data(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> =
            self.events.iter().flat_map(|event| &event.ids).flat_map(|id| id.to_ne_bytes()).collect();
        let mut offset = FILE_HEADER;
        for event in &self.events {
            let size = event.ids.len() as u64 * 8;
            bytes.extend(attr_bytes(&event.attr));
            bytes.extend(offset.to_ne_bytes());
            bytes.extend(size.to_ne_bytes());
            offset += size;
        }
        bytes
    }

    /// Everything that a stream says before its records.
    fn stream_start(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(PIPE_HEADER.to_ne_bytes());
        let mut events = self.events.clone();
        for event in &mut events {
            event.ids.truncate(MOST_IDS_IN_STREAM);
            let mut body = attr_bytes(&event.attr).to_vec();
            body.extend(event.ids.iter().flat_map(|id| id.to_ne_bytes()));
            record(&mut bytes, HEADER_ATTR, 0, 0, &body);
        }
        let features = Features { build_ids: Vec::new(), tracing_data: Vec::new(), ..self.features.clone() };
        for (number, section) in features.sections(&events, self.packed().as_ref()) {
            // What is too long for a record is left out: the command line of thousands of words.
            if section.len() <= usize::from(u16::MAX) - 16 - 8 {
                let body = [u64::from(number).to_ne_bytes().as_slice(), &section].concat();
                record(&mut bytes, HEADER_FEATURE, 0, 0, &body);
            }
        }
        record(&mut bytes, HEADER_FEATURE, 0, 0, &LAST_FEATURE.to_ne_bytes());
        if !self.features.tracing_data.is_empty() {
            let padded = self.features.tracing_data.len().next_multiple_of(8);
            // The data follows the record, and is no part of it.
            let body = [(padded as u32).to_ne_bytes().as_slice(), &[0; 4]].concat();
            record(&mut bytes, HEADER_TRACING_DATA, 0, 0, &body);
            let end = bytes.len() + padded;
            bytes.extend(&self.features.tracing_data);
            bytes.resize(end, 0);
        }
        bytes
    }

    fn packed(&self) -> Option<Packed> {
        let packer = self.packer.as_ref()?;
        let ratio = (packer.taken + packer.given / 2).checked_div(packer.given).unwrap_or(1);
        Some(Packed { ratio: ratio as u32, piece: (PIECE as u32).next_multiple_of(4096) + 4096 })
    }
}

#[cfg(test)]
mod tests;
