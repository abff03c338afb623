//! Bytes to records.

use super::sample::{sample, time_offset};
use super::unwound::{self, STACK_KEY, UNWOUND};
use super::{Comm, CpuMode, Deferred, HEADER, Identity, Ksymbol, Layout, Mmap, Record, Switch, Task, kind};
use crate::model::BuildId;
use crate::perf::attr::SampleFields;
use crate::perf::fields::{ByteOrder, Fields, Words};

/// `PERF_RECORD_MISC_MMAP_DATA`: the mapping is not executable (of MMAP records; same bit as `COMM_EXEC`).
const MISC_MMAP_DATA: u16 = 1 << 13;
const MISC_COMM_EXEC: u16 = 1 << 13;
const MISC_SWITCH_OUT: u16 = 1 << 13;
/// `PERF_RECORD_MISC_SWITCH_OUT_PREEMPT`.
const MISC_SWITCH_OUT_PREEMPT: u16 = 1 << 14;
const MISC_MMAP_BUILD_ID: u16 = 1 << 14;
const PROT_EXEC: u32 = 4;
/// `PROT_JIT_SYMFILE_MAP` of simpleperf (map_flags in thread_tree.h): code made at run time, whose symbols are addresses.
const PROT_JIT: u32 = 0x4000;
/// `PERF_RECORD_KSYMBOL_FLAGS_UNREGISTER`.
const KSYMBOL_GONE: u16 = 1;
/// The pid of mappings of the kernel.
const KERNEL_PID: u32 = u32::MAX;

/// The type, `misc` and the size (header included) that a header states; nothing if it is cut or states less than a header.
pub fn header(bytes: &[u8], order: ByteOrder) -> Option<(u32, u16, usize)> {
    let header: &[u8; HEADER] = bytes.first_chunk()?;
    let kind = order.u32([header[0], header[1], header[2], header[3]]);
    let misc = order.u16([header[4], header[5]]);
    let size = usize::from(order.u16([header[6], header[7]]));
    (size >= HEADER).then_some((kind, misc, size))
}

/// Reads one whole record.
pub fn parse<'a>(bytes: &'a [u8], layout: &Layout) -> Record<'a> {
    let Some((kind, misc, size)) = header(bytes, layout.order) else { return Record::Malformed(0) };
    let Some(body) = bytes.get(HEADER..size) else { return Record::Malformed(kind) };
    if kind == kind::SAMPLE {
        let sample = sample(body, CpuMode::of(misc), layout);
        return sample.map_or(Record::Malformed(kind), Record::Sample);
    }
    let (body, identity) = split_identity(body, layout);
    let mut fields = Fields::new(body, layout.order);
    let record = match kind {
        kind::MMAP => mmap(&mut fields, misc, identity).map(Record::Mmap),
        kind::MMAP2 => mmap2(&mut fields, misc, identity, layout.order).map(Record::Mmap),
        kind::COMM => comm(&mut fields, misc, identity).map(Record::Comm),
        kind::FORK => task(&mut fields).map(Record::Fork),
        kind::EXIT => task(&mut fields).map(Record::Exit),
        kind::LOST => fields.u64().and_then(|_id| fields.u64()).map(Record::Lost),
        kind::LOST_SAMPLES => fields.u64().map(Record::LostSamples),
        kind::THROTTLE => Some(Record::Throttle),
        kind::UNTHROTTLE => Some(Record::Unthrottle),
        kind::SWITCH | kind::SWITCH_CPU_WIDE => {
            let (out, preempted) = (misc & MISC_SWITCH_OUT != 0, misc & MISC_SWITCH_OUT_PREEMPT != 0);
            Some(Record::Switch(Switch { identity, out, preempted: out && preempted }))
        }
        kind::KSYMBOL => ksymbol(&mut fields).map(Record::Ksymbol),
        kind::AUX => aux(&mut fields),
        kind::CALLCHAIN_DEFERRED => deferred(&mut fields, identity).map(Record::Deferred),
        STACK_KEY => unwound::stack(body, &mut fields, layout),
        UNWOUND => unwound::sample(&mut fields, identity),
        other => Some(Record::Other(other)),
    };
    record.unwrap_or(Record::Malformed(kind))
}

/// When the record was made, without reading the rest of it; 0 if it does not say.
pub fn time(bytes: &[u8], layout: &Layout) -> u64 {
    let Some((kind, _, size)) = header(bytes, layout.order) else { return 0 };
    let Some(body) = bytes.get(HEADER..size) else { return 0 };
    if kind != kind::SAMPLE {
        return split_identity(body, layout).1.time;
    }
    match time_offset(layout.fields) {
        Some(offset) => Words::new(body, layout.order).get(offset / 8).unwrap_or(0),
        None => 0,
    }
}

/// The id of the event that a record is of, without reading the rest of it: where all events of a recording put it at the same
/// place, this says which layout the record has.
///
/// See `evlist__event2id` of tools/perf/util/evlist.c: `PERF_SAMPLE_IDENTIFIER` is the first field of a sample and the last of
/// the identity; `PERF_SAMPLE_ID` has its place among the others.
pub fn identifier(bytes: &[u8], layout: &Layout) -> Option<u64> {
    let (kind, _, size) = header(bytes, layout.order)?;
    let body = Words::new(bytes.get(HEADER..size)?, layout.order);
    let fields = layout.fields;
    if kind == kind::SAMPLE {
        if fields.has(SampleFields::IDENTIFIER) {
            return body.get(0);
        }
        let before = [SampleFields::IP, SampleFields::TID, SampleFields::TIME, SampleFields::ADDR];
        return fields
            .has(SampleFields::ID)
            .then(|| body.get(before.into_iter().filter(|field| fields.has(*field)).count()))?;
    }
    if !layout.sample_id_all {
        return None;
    }
    let behind = if fields.has(SampleFields::IDENTIFIER) {
        0
    } else if fields.has(SampleFields::ID) {
        let behind = [SampleFields::STREAM_ID, SampleFields::CPU, SampleFields::IDENTIFIER];
        behind.into_iter().filter(|field| fields.has(*field)).count()
    } else {
        return None;
    };
    body.get(body.count().checked_sub(behind + 1)?)
}

/// The identity at the end of a record that is no sample, and the body before it.
fn split_identity<'a>(body: &'a [u8], layout: &Layout) -> (&'a [u8], Identity) {
    let order = [
        SampleFields::TID,
        SampleFields::TIME,
        SampleFields::ID,
        SampleFields::STREAM_ID,
        SampleFields::CPU,
        SampleFields::IDENTIFIER,
    ];
    let mut identity = Identity::default();
    if !layout.sample_id_all {
        return (body, identity);
    }
    let carried = order.into_iter().filter(|field| layout.fields.has(*field));
    let size = carried.clone().count() * 8;
    // What is too short for it is one that a tool has made up, without.
    let Some(start) = body.len().checked_sub(size) else { return (body, identity) };
    let mut from = Fields::new(&body[start..], layout.order);
    for field in carried {
        match field {
            SampleFields::TID => {
                identity.pid = from.u32().unwrap_or(0);
                identity.tid = from.u32().unwrap_or(0);
            }
            SampleFields::CPU => {
                identity.cpu = from.u32().unwrap_or(0);
                from.u32();
            }
            field => {
                let word = from.u64().unwrap_or(0);
                match field {
                    SampleFields::TIME => identity.time = word,
                    SampleFields::ID | SampleFields::IDENTIFIER => identity.id = word,
                    _ => {}
                }
            }
        }
    }
    (&body[..start], identity)
}

fn mmap<'a>(from: &mut Fields<'a>, misc: u16, identity: Identity) -> Option<Mmap<'a>> {
    let (pid, _tid) = (from.u32()?, from.u32()?);
    let (start, length, offset) = (from.u64()?, from.u64()?, from.u64()?);
    let path = from.text()?;
    let mode = mmap_mode(misc, pid);
    let executable = misc & MISC_MMAP_DATA == 0;
    Some(Mmap { identity, pid, mode, start, length, offset, executable, path, ..Mmap::default() })
}

fn mmap2<'a>(from: &mut Fields<'a>, misc: u16, identity: Identity, order: ByteOrder) -> Option<Mmap<'a>> {
    let (pid, _tid) = (from.u32()?, from.u32()?);
    let (start, length, mut offset) = (from.u64()?, from.u64()?, from.u64()?);
    let (mut build_id, mut device_inode) = (None, None);
    let file = from.bytes(24)?;
    if misc & MISC_MMAP_BUILD_ID != 0 && is_build_id(file) {
        build_id = BuildId::new(&file[4..4 + usize::from(file[0])]);
    } else {
        let mut file = Fields::new(file, order);
        let (major, minor, inode) = (file.u32()?, file.u32()?, file.u64()?);
        device_inode = (inode != 0).then_some(((major, minor), inode));
    }
    let (protection, _flags) = (from.u32()?, from.u32()?);
    let path = from.text()?;
    let mode = mmap_mode(misc, pid);
    if protection & PROT_JIT != 0 {
        offset = start;
    }
    // What perf makes up for the kernel and its modules has no protection.
    let executable = protection & PROT_EXEC != 0 || matches!(mode, CpuMode::Kernel | CpuMode::GuestKernel);
    Some(Mmap { identity, pid, mode, start, length, offset, executable, build_id, device_inode, path })
}

/// Whether the union in MMAP2 is a build id, where `misc` says that it is.
///
/// The kernel (5.12 to 6.18 at least) sets that bit in a header that it uses for all events that hear of a mapping, and does not
/// take it back: an event that did not ask for build ids gets device and inode under it as soon as another profiler that did
/// runs beside (`perf_event_mmap_output`, kernel/events/core.c; perf 6.1 takes the device for a size and crashes). A build id is
/// filled up with zeros; a device has a minor number below 2^16, and an inode one below 2^32, where a build id has anything.
fn is_build_id(file: &[u8]) -> bool {
    let (size, reserved, id) = (file[0], &file[1..4], &file[4..]);
    let is_device = id[2..4] == [0; 2] && id[8..12] == [0; 4];
    matches!(size, 1..=20) && reserved == [0; 3] && id[usize::from(size)..].iter().all(|byte| *byte == 0) && !is_device
}

/// A mapping of the kernel by perf before 3.0 has only the pid to tell it by.
fn mmap_mode(misc: u16, pid: u32) -> CpuMode {
    match CpuMode::of(misc) {
        CpuMode::Unknown if pid == KERNEL_PID => CpuMode::Kernel,
        mode => mode,
    }
}

fn comm<'a>(from: &mut Fields<'a>, misc: u16, identity: Identity) -> Option<Comm<'a>> {
    let (pid, tid) = (from.u32()?, from.u32()?);
    Some(Comm { identity, pid, tid, exec: misc & MISC_COMM_EXEC != 0, name: from.text()? })
}

fn task(from: &mut Fields<'_>) -> Option<Task> {
    let (pid, parent_pid, tid, parent_tid) = (from.u32()?, from.u32()?, from.u32()?, from.u32()?);
    Some(Task { pid, parent_pid, tid, parent_tid, time: from.u64()? })
}

fn ksymbol<'a>(from: &mut Fields<'a>) -> Option<Ksymbol<'a>> {
    let (address, length) = (from.u64()?, from.u32()?);
    let (_kind, flags) = (from.u16()?, from.u16()?);
    Some(Ksymbol { address, length, gone: flags & KSYMBOL_GONE != 0, name: from.text()? })
}

fn aux<'a>(from: &mut Fields<'_>) -> Option<Record<'a>> {
    let (_offset, size, flags) = (from.u64()?, from.u64()?, from.u64()?);
    Some(Record::Aux { size, flags })
}

fn deferred<'a>(from: &mut Fields<'a>, identity: Identity) -> Option<Deferred<'a>> {
    let cookie = from.u64()?;
    let count = from.u64()?;
    Some(Deferred { identity, cookie, callchain: from.words(count)? })
}
