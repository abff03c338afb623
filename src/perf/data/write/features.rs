//! What a perf.data says beside its records: the machine, the command, the events, the build ids.
//!
//! Layouts are those that `tools/perf/util/header.c` writes (`write_hostname`, `write_nrcpus`, ...); where
//! `perf.data-file-format.txt` differs (the order of the two numbers of CPUs), what perf does counts.

use super::RecordedEvent;
use super::attr_bytes::{ATTR_SIZE, attr_bytes};
use super::compress::LEVEL;
use super::made::{KERNEL_PID, MISC_KERNEL, MISC_USER, build_id_field};
use crate::model::BuildId;

/// Feature numbers: `enum` of `tools/perf/util/header.h`.
mod number {
    pub const TRACING_DATA: u8 = 1;
    pub const BUILD_ID: u8 = 2;
    pub const HOSTNAME: u8 = 3;
    pub const OSRELEASE: u8 = 4;
    pub const VERSION: u8 = 5;
    pub const ARCH: u8 = 6;
    pub const NRCPUS: u8 = 7;
    pub const CPUDESC: u8 = 8;
    pub const CPUID: u8 = 9;
    pub const TOTAL_MEM: u8 = 10;
    pub const CMDLINE: u8 = 11;
    pub const EVENT_DESC: u8 = 12;
    pub const PMU_MAPPINGS: u8 = 16;
    pub const SAMPLE_TIME: u8 = 21;
    pub const CLOCKID: u8 = 23;
    pub const COMPRESSED: u8 = 27;
    pub const CLOCK_DATA: u8 = 29;
}

/// `PERF_RECORD_MISC_BUILD_ID_SIZE`: the size of the build id is stated.
const MISC_BUILD_ID_SIZE: u16 = 1 << 15;
/// Strings are padded to multiples of this (`NAME_ALIGN`).
const NAME_ALIGN: usize = 64;
/// `PERF_COMP_ZSTD`.
const ZSTD: u32 = 1;

/// What a perf.data says beside its records; what is empty or none is left out.
#[derive(Clone, Debug, Default)]
pub struct Features {
    /// `uname -n`.
    pub hostname: String,
    /// `uname -r`.
    pub os_release: String,
    /// Who wrote it.
    pub version: String,
    /// `uname -m`.
    pub arch: String,
    /// CPUs that are there, and that are online.
    pub cpus: Option<(u32, u32)>,
    /// The CPU's name for people.
    pub cpu_description: String,
    /// The CPU's name for perf: `GenuineIntel,6,69,1`.
    pub cpu_id: String,
    /// Memory in KiB.
    pub total_memory_kib: Option<u64>,
    /// What was typed.
    pub command_line: Vec<String>,
    /// The PMUs of this machine by their type numbers.
    pub pmus: Vec<(u32, String)>,
    /// Which clock times are of.
    pub clock: Option<ClockFacts>,
    /// Times of the first and of the last sample.
    pub sample_times: Option<(u64, u64)>,
    /// Build ids of what was mapped.
    pub build_ids: Vec<BuildIdOf>,
    /// The description of tracepoints, as `tools/perf/util/trace-event-info.c` writes it.
    pub tracing_data: Vec<u8>,
}

/// The clock of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockFacts {
    /// `CLOCK_MONOTONIC` is 1.
    pub id: u32,
    /// Its resolution in nanoseconds.
    pub resolution: u64,
    /// The time of day, nanoseconds since 1970, at the moment when
    pub wall: u64,
    /// the clock showed this.
    pub time: u64,
}

/// Whose file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The kernel's: itself, or a module.
    Kernel,
    /// A program's.
    User,
}

/// The build id of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildIdOf {
    /// Whose file.
    pub owner: Owner,
    /// The build id.
    pub build_id: BuildId,
    /// The path, or perf's name: `[kernel.kallsyms]`, `[vdso]`.
    pub path: Vec<u8>,
}

impl BuildIdOf {
    /// A record of the table of build ids (`struct perf_record_header_build_id`).
    pub(super) fn record(&self, kind: u32) -> Vec<u8> {
        let mut path = self.path.clone();
        path.truncate(4096);
        path.resize((path.len() + 1).next_multiple_of(NAME_ALIGN), 0);
        let misc = MISC_BUILD_ID_SIZE | if self.owner == Owner::Kernel { MISC_KERNEL } else { MISC_USER };
        let mut bytes = Vec::with_capacity(36 + path.len());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(misc.to_ne_bytes());
        bytes.extend((36 + path.len() as u16).to_ne_bytes());
        bytes.extend(KERNEL_PID.to_ne_bytes());
        bytes.extend(build_id_field(self.build_id, 0));
        bytes.extend(path);
        bytes
    }
}

impl Features {
    /// Each feature that there is, by its number, lowest first.
    pub(super) fn sections(&self, events: &[RecordedEvent], packed: Option<&Packed>) -> Vec<(u8, Vec<u8>)> {
        let mut sections = Vec::new();
        let mut section = |number, bytes: Vec<u8>| {
            if !bytes.is_empty() {
                sections.push((number, bytes));
            }
        };
        section(number::TRACING_DATA, self.tracing_data.clone());
        section(number::BUILD_ID, self.build_ids.iter().flat_map(|file| file.record(0)).collect());
        for (number, text) in [
            (number::HOSTNAME, &self.hostname),
            (number::OSRELEASE, &self.os_release),
            (number::VERSION, &self.version),
            (number::ARCH, &self.arch),
        ] {
            section(number, optional(text));
        }
        let cpus = self.cpus.map(|(there, online)| [there.to_ne_bytes(), online.to_ne_bytes()].concat());
        section(number::NRCPUS, cpus.unwrap_or_default());
        section(number::CPUDESC, optional(&self.cpu_description));
        section(number::CPUID, optional(&self.cpu_id));
        section(number::TOTAL_MEM, self.total_memory_kib.map(|kib| kib.to_ne_bytes().to_vec()).unwrap_or_default());
        section(number::CMDLINE, strings(&self.command_line));
        section(number::EVENT_DESC, event_description(events));
        section(number::PMU_MAPPINGS, pmu_mappings(&self.pmus));
        let times = self.sample_times.map(|(first, last)| [first.to_ne_bytes(), last.to_ne_bytes()].concat());
        section(number::SAMPLE_TIME, times.unwrap_or_default());
        if let Some(clock) = self.clock {
            section(number::CLOCKID, clock.resolution.to_ne_bytes().to_vec());
        }
        if let Some(packed) = packed {
            let words = [1, ZSTD, LEVEL as u32, packed.ratio, packed.piece];
            section(number::COMPRESSED, words.into_iter().flat_map(u32::to_ne_bytes).collect());
        }
        if let Some(clock) = self.clock {
            let mut bytes = [1u32.to_ne_bytes(), clock.id.to_ne_bytes()].concat();
            bytes.extend(clock.wall.to_ne_bytes());
            bytes.extend(clock.time.to_ne_bytes());
            section(number::CLOCK_DATA, bytes);
        }
        sections
    }
}

/// How records were packed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packed {
    /// Size before by size after, rounded.
    pub ratio: u32,
    /// Most bytes that one record gives: readers make room for so many.
    pub piece: u32,
}

/// A text as perf writes it: its size, the text, zeros.
pub(super) fn string(text: &str) -> Vec<u8> {
    let size = (text.len() + 1).next_multiple_of(NAME_ALIGN);
    let mut bytes = (size as u32).to_ne_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes.resize(4 + size, 0);
    bytes
}

fn optional(text: &str) -> Vec<u8> {
    if text.is_empty() { Vec::new() } else { string(text) }
}

fn strings(texts: &[String]) -> Vec<u8> {
    if texts.is_empty() {
        return Vec::new();
    }
    let mut bytes = (texts.len() as u32).to_ne_bytes().to_vec();
    bytes.extend(texts.iter().flat_map(|text| string(text)));
    bytes
}

fn event_description(events: &[RecordedEvent]) -> Vec<u8> {
    let mut bytes = [(events.len() as u32).to_ne_bytes(), (ATTR_SIZE as u32).to_ne_bytes()].concat();
    for event in events {
        bytes.extend(attr_bytes(&event.attr));
        bytes.extend((event.ids.len() as u32).to_ne_bytes());
        bytes.extend(string(&event.name));
        bytes.extend(event.ids.iter().flat_map(|id| id.to_ne_bytes()));
    }
    bytes
}

fn pmu_mappings(pmus: &[(u32, String)]) -> Vec<u8> {
    if pmus.is_empty() {
        return Vec::new();
    }
    let mut bytes = (pmus.len() as u32).to_ne_bytes().to_vec();
    for (kind, name) in pmus {
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(string(name));
    }
    bytes
}
