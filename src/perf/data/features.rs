//! Sections about the machine and the recording.

use super::header::words;
use crate::model::BuildId;
use crate::perf::attr::EventAttr;
use crate::perf::fields::{ByteOrder, Fields};
use crate::perf::record::{CpuMode, HEADER, header};

/// Numbers of sections: `enum` of tools/perf/util/header.h, and of simpleperf's record_file_format.h from 128 on.
pub mod number {
    /// Formats of tracepoints.
    pub const TRACING_DATA: u32 = 1;
    /// Build ids of files.
    pub const BUILD_ID: u32 = 2;
    /// Name of the machine.
    pub const HOSTNAME: u32 = 3;
    /// Release of its kernel.
    pub const OSRELEASE: u32 = 4;
    /// Version of perf.
    pub const VERSION: u32 = 5;
    /// The machine's architecture, as `uname -m` says.
    pub const ARCH: u32 = 6;
    /// The command line.
    pub const CMDLINE: u32 = 11;
    /// Events with their names and ids.
    pub const EVENT_DESC: u32 = 12;
    /// Times of the first and the last sample.
    pub const SAMPLE_TIME: u32 = 21;
    /// A time on the recording's clock and on the wall's.
    pub const CLOCK_DATA: u32 = 29;
    /// simpleperf: symbols (up to Android 12).
    pub const SIMPLEPERF_FILE: u32 = 128;
    /// simpleperf: pairs of key and value.
    pub const SIMPLEPERF_META: u32 = 129;
    /// simpleperf: symbols.
    pub const SIMPLEPERF_FILE2: u32 = 132;
}

/// The build id of a file, as a recording has it apart from the mappings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileBuildId {
    /// The process, or `u32::MAX` for all of the machine.
    pub pid: u32,
    /// Whether it is of the kernel or a module of it.
    pub is_kernel: bool,
    /// Its build id.
    pub build_id: BuildId,
    /// Its path.
    pub path: Vec<u8>,
}

/// An event as `EVENT_DESC` has it.
#[derive(Clone, Debug, PartialEq)]
pub struct DescribedEvent {
    /// What it is.
    pub attr: EventAttr,
    /// Its name.
    pub name: String,
    /// Its ids.
    pub ids: Vec<u64>,
}

/// What the sections say, as far as it is of use.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Features {
    /// Name of the machine.
    pub hostname: Option<String>,
    /// Release of its kernel.
    pub osrelease: Option<String>,
    /// Version of perf.
    pub version: Option<String>,
    /// `x86_64`, `aarch64`, `i686`, ...
    pub arch: Option<String>,
    /// The words of the command line.
    pub cmdline: Vec<String>,
    /// Events with names.
    pub events: Vec<DescribedEvent>,
    /// Build ids of files.
    pub build_ids: Vec<FileBuildId>,
    /// Nanoseconds since 1970 minus nanoseconds of the recording's clock, if both are known.
    pub wall_offset: Option<i128>,
    /// Formats of tracepoints.
    pub tracing: super::tracing::Tracing,
    /// What simpleperf says.
    pub simpleperf: super::simpleperf::Meta,
}

impl Features {
    /// Reads one section; says whether it is one that we know. What is broken in it is left out.
    pub fn add(&mut self, section: u32, bytes: &[u8], order: ByteOrder) -> bool {
        let fields = &mut Fields::new(bytes, order);
        match section {
            number::HOSTNAME => self.hostname = string(fields),
            number::OSRELEASE => self.osrelease = string(fields),
            number::VERSION => self.version = string(fields),
            number::ARCH => self.arch = string(fields),
            number::CMDLINE => {
                let count = fields.u32().unwrap_or(0);
                self.cmdline = (0..count).map_while(|_| string(fields)).collect();
            }
            number::EVENT_DESC => self.events = events(fields, order).unwrap_or_default(),
            number::BUILD_ID => self.build_ids = build_ids(bytes, order),
            number::CLOCK_DATA => self.wall_offset = wall_offset(fields),
            number::TRACING_DATA => self.tracing = super::tracing::Tracing::read(bytes),
            number::SIMPLEPERF_META => self.simpleperf.add_pairs(bytes),
            number::SIMPLEPERF_FILE => self.simpleperf.add_files(bytes, order),
            number::SIMPLEPERF_FILE2 => self.simpleperf.add_files_2(bytes, order),
            _ => return false,
        }
        true
    }
}

/// `struct perf_header_string`: a length that includes padding, and text that ends with a zero byte.
fn string(fields: &mut Fields<'_>) -> Option<String> {
    let length = fields.u32()? as usize;
    let text = fields.bytes(length)?;
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(length);
    Some(String::from_utf8_lossy(&text[..end]).into_owned())
}

fn events(fields: &mut Fields<'_>, order: ByteOrder) -> Option<Vec<DescribedEvent>> {
    let (count, attr_size) = (fields.u32()?, fields.u32()? as usize);
    let mut events = Vec::new();
    for _ in 0..count {
        let Some(attr) = fields.bytes(attr_size).and_then(|bytes| EventAttr::read(bytes, order)) else { break };
        let Some(ids) = fields.u32() else { break };
        let Some(name) = string(fields) else { break };
        let Some(ids) = fields.words(u64::from(ids)) else { break };
        events.push(DescribedEvent { attr: attr.0, name, ids: ids.iter().collect() });
    }
    Some(events)
}

/// A row of records `struct perf_record_header_build_id`.
fn build_ids(mut bytes: &[u8], order: ByteOrder) -> Vec<FileBuildId> {
    let mut found = Vec::new();
    while let Some((_, misc, size)) = header(bytes, order) {
        let Some(record) = bytes.get(..size) else { break };
        found.extend(build_id(record, misc, order));
        bytes = &bytes[size..];
    }
    found
}

/// One record with the build id of a file, header included.
pub fn build_id(record: &[u8], misc: u16, order: ByteOrder) -> Option<FileBuildId> {
    /// `PERF_RECORD_MISC_BUILD_ID_SIZE`: the size of the build id is given (perf 5.12).
    const WITH_SIZE: u16 = 1 << 15;
    let mut fields = Fields::new(record.get(HEADER..)?, order);
    let pid = fields.u32()?;
    let id = fields.bytes(24)?;
    let size = match id[20] {
        size @ 1..=20 if misc & WITH_SIZE != 0 => usize::from(size),
        // A shorter one (16 bytes of `--build-id=md5`) is filled up with zeros.
        _ if id[16..20] == [0; 4] => 16,
        _ => 20,
    };
    let path = fields.text()?.to_vec();
    let build_id = BuildId::new(&id[..size])?;
    let is_kernel = matches!(mode(misc), CpuMode::Kernel | CpuMode::GuestKernel);
    Some(FileBuildId { pid, is_kernel, build_id, path })
}

fn mode(misc: u16) -> CpuMode {
    match misc & 7 {
        1 => CpuMode::Kernel,
        4 => CpuMode::GuestKernel,
        _ => CpuMode::User,
    }
}

fn wall_offset(fields: &mut Fields<'_>) -> Option<i128> {
    let (_version, _clock) = (fields.u32()?, fields.u32()?);
    Some(i128::from(fields.u64()?) - i128::from(fields.u64()?))
}

/// The names of events by their `config`, as perf before 3.0 stored them: `struct perf_trace_event_type`.
pub fn event_types(bytes: &[u8], order: ByteOrder) -> Vec<(u64, String)> {
    bytes.chunks_exact(EVENT_TYPE).filter_map(|entry| event_type(entry, order)).collect()
}

/// Size of `struct perf_trace_event_type`.
pub const EVENT_TYPE: usize = 72;

/// One such name.
pub fn event_type(entry: &[u8], order: ByteOrder) -> Option<(u64, String)> {
    let mut fields = Fields::new(entry, order);
    let config = fields.u64()?;
    Some((config, String::from_utf8_lossy(fields.text()?).into_owned()))
}

/// The body of an `ATTR` record: an attribute and its ids.
pub fn attr(body: &[u8], order: ByteOrder) -> Option<(EventAttr, Vec<u64>)> {
    let (attr, size) = EventAttr::read(body, order)?;
    Some((attr, words(body.get(size..).unwrap_or_default(), order)))
}

/// The body of an `EVENT_UPDATE` record that gives a name: the event's id and the name.
pub fn event_name(body: &[u8], order: ByteOrder) -> Option<(u64, String)> {
    /// `PERF_EVENT_UPDATE__NAME`.
    const NAME: u64 = 2;
    let mut fields = Fields::new(body, order);
    let (update, id) = (fields.u64()?, fields.u64()?);
    (update == NAME).then_some(())?;
    Some((id, String::from_utf8_lossy(fields.text()?).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        let mut bytes = 64u32.to_ne_bytes().to_vec();
        bytes.extend(text.bytes());
        bytes.resize(68, 0);
        bytes
    }

    #[test]
    fn strings_are_read() {
        let mut features = Features::default();
        assert!(features.add(number::HOSTNAME, &text("build-7"), ByteOrder::Native));
        let mut words = 2u32.to_ne_bytes().to_vec();
        words.extend(text("perf"));
        words.extend(text("record"));
        assert!(features.add(number::CMDLINE, &words, ByteOrder::Native));
        assert!(!features.add(200, &[], ByteOrder::Native));
        assert_eq!(features.hostname.as_deref(), Some("build-7"));
        assert_eq!(features.cmdline, ["perf", "record"]);
        // Cut short, or with a length that lies.
        for length in 0..words.len() {
            features.add(number::CMDLINE, &words[..length], ByteOrder::Native);
            features.add(number::EVENT_DESC, &words[..length], ByteOrder::Native);
            features.add(number::BUILD_ID, &words[..length], ByteOrder::Native);
        }
    }

    #[test]
    fn build_ids_have_their_own_length() {
        let record = |misc: u16, id: [u8; 24]| {
            let mut bytes = 67u32.to_ne_bytes().to_vec();
            bytes.extend(misc.to_ne_bytes());
            bytes.extend(48u16.to_ne_bytes());
            bytes.extend(u32::MAX.to_ne_bytes());
            bytes.extend(id);
            bytes.extend(b"/lib/a.so\0\0\0");
            bytes
        };
        let mut id = [0; 24];
        id[..8].fill(7);
        id[20] = 8;
        let read = |bytes: &[u8]| build_ids(bytes, ByteOrder::Native).remove(0);
        let with_size = read(&record(1 << 15 | 1, id));
        assert_eq!((with_size.build_id.as_bytes(), with_size.is_kernel), (&[7; 8][..], true));
        assert_eq!((with_size.path.as_slice(), with_size.pid), (&b"/lib/a.so"[..], u32::MAX));
        assert_eq!(read(&record(2, id)).build_id.as_bytes().len(), 16);
        id[..20].fill(9);
        assert_eq!(read(&record(2, id)).build_id.as_bytes().len(), 20);
    }
}
