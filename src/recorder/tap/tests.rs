use std::io::{Seek, SeekFrom, Write};
use std::sync::{Arc, Mutex};

use super::*;
use crate::model::Unit;
use crate::perf::data::write::{Features, Output};
use crate::perf::record::header;
use crate::process::Membership;
use crate::recorder::{Origin, RecordedEvent, UserStacks};

const LAYOUT: Layout = Layout {
    fields: SampleFields::IDENTIFIER
        .with(SampleFields::IP)
        .with(SampleFields::TID)
        .with(SampleFields::TIME)
        .with(SampleFields::CPU)
        .with(SampleFields::PERIOD),
    sample_id_all: true,
    ..Layout::NONE
};
/// TID, TIME, CPU, IDENTIFIER.
const IDENTITY: usize = 32;

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<std::io::Cursor<Vec<u8>>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Seek for Memory {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.0.lock().unwrap().seek(to)
    }
}

fn tap(membership: Membership, data_mappings: bool, memory: &Memory) -> Tap {
    let options = RecorderOptions {
        membership,
        events: vec![RecordedEvent::new("cpu-clock", Unit::Nanoseconds, None)],
        origin: Origin::Live,
        waits: None,
        threads: std::num::NonZeroUsize::MIN,
        streams: 8,
        user_stacks: UserStacks::Dwarf,
        stack_copy: 0,
        begins_with_exec_of: None,
    };
    let writer =
        Writer::create(Output::File(Box::new(memory.clone())), Vec::new(), Features::default(), false).unwrap();
    let mut tap = Tap::new(options, &LAYOUT, data_mappings, writer);
    tap.begin(10);
    tap
}

fn sample(pid: u32, time: u64, period: u64) -> Vec<u8> {
    let mut bytes = [9u32.to_ne_bytes().as_slice(), &[0, 0], &56u16.to_ne_bytes()].concat();
    for word in [1, 0x1000, u64::from(pid) << 32 | u64::from(pid), time, 0, period] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes
}

fn mapping(pid: u32, protection: u32, path: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let none = NewMapping {
        pid,
        start: 0x1000,
        end: 0x2000,
        offset: 0,
        protection,
        shared: false,
        device: (0, 0),
        inode: 0,
        build_id: None,
        path,
    };
    data::mmap2(&mut bytes, IDENTITY, &none);
    bytes
}

fn forked(pid: u32, parent: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    data::fork(&mut bytes, IDENTITY, pid, pid, parent);
    bytes
}

/// The records of the file that comes of `records`.
fn kept(tap: Tap, memory: &Memory, records: &[Vec<u8>]) -> (Vec<Vec<u8>>, Tapped) {
    let mut tap = tap;
    for record in records {
        tap.take(std::iter::once((record.as_slice(), &LAYOUT)));
    }
    let tapped = tap.finish();
    let bytes = memory.0.lock().unwrap().get_ref().clone();
    let word = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
    let mut data = &bytes[word(40)..word(40) + word(48)];
    let mut records = Vec::new();
    while let Some((kind, _, size)) = header(data, crate::perf::ByteOrder::Native) {
        if kind != 68 {
            records.push(data[..size].to_vec());
        }
        data = &data[size..];
    }
    (records, tapped)
}

#[test]
fn only_the_targets_records_are_kept() {
    let memory = Memory::default();
    let mut tap = tap(Membership::Tree, false, &memory);
    tap.processes.add(7);
    let records = [
        sample(7, 5, 80),
        sample(7, 20, 80),
        sample(3, 21, 80),
        mapping(3, 5, b"/bin/other"),
        mapping(7, 5, b"/bin/x"),
        forked(4, 3),
        sample(4, 22, 80),
        forked(8, 7),
        sample(8, 23, 160),
    ];
    let (kept, tapped) = kept(tap, &memory, &records);
    // What was sampled before the beginning is not kept; periods are those of the eight timers together.
    assert_eq!(kept, [sample(7, 20, 10), mapping(7, 5, b"/bin/x"), forked(8, 7), sample(8, 23, 20)]);
    assert_eq!((tapped.counters.samples, tapped.counters.value), (2, 30));
}

#[test]
fn data_is_told_where_unwind_tables_are_needed() {
    let records = [mapping(7, 1, b"/bin/x"), mapping(7, 3, b"//anon"), mapping(7, 5, b"//anon")];
    for (data_mappings, expected) in [(false, &records[2..]), (true, &[records[0].clone(), records[2].clone()][..])] {
        let memory = Memory::default();
        let tap = tap(Membership::All, data_mappings, &memory);
        assert_eq!(kept(tap, &memory, &records).0, expected);
    }
}

#[test]
fn recording_begins_with_the_commands_exec() {
    let memory = Memory::default();
    let mut tap = tap(Membership::Tree, false, &memory);
    tap.processes.add(7);
    tap.options.begins_with_exec_of = Some(7);
    let mut exec = Vec::new();
    data::comm(&mut exec, IDENTITY, 7, 7, "x");
    // `PERF_RECORD_MISC_COMM_EXEC`
    exec[4..6].copy_from_slice(&(1u16 << 13).to_ne_bytes());
    let (kept, _) = kept(tap, &memory, &[sample(7, 20, 8), exec.clone(), sample(7, 21, 8)]);
    assert_eq!(kept, [exec, sample(7, 21, 1)]);
}
