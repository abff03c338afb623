//! Records that nobody's ring holds: what was there before the recording, told in the kernel's own records.
//!
//! Their shape is perf's (`tools/perf/util/synthetic-events.c`): where records end with an identity it is all zeros, and
//! time 0 stands before all others.

use crate::model::BuildId;

const MMAP: u32 = 1;
const COMM: u32 = 3;
const FORK: u32 = 7;
const MMAP2: u32 = 10;

/// `PERF_RECORD_MISC_KERNEL` and `_USER`: whose memory.
pub(super) const MISC_KERNEL: u16 = 1;
pub(super) const MISC_USER: u16 = 2;
/// `PERF_RECORD_MISC_FORK_EXEC`: perf's own mark of a made FORK, whose memory is not that of its parent.
const MISC_FORK_EXEC: u16 = 1 << 13;
/// `PERF_RECORD_MISC_MMAP_DATA`: no code may run there. The same bit.
const MISC_MMAP_DATA: u16 = 1 << 13;
/// `PERF_RECORD_MISC_MMAP_BUILD_ID`: a build id stands where device and inode would.
const MISC_MMAP_BUILD_ID: u16 = 1 << 14;
/// The "process" that the kernel's own mappings are of (`HOST_KERNEL_ID`).
pub(super) const KERNEL_PID: u32 = u32::MAX;
/// The longest path that a record is made with (`PATH_MAX`).
const LONGEST_PATH: usize = 4096;

/// Appends a record, whose `body` is padded to a multiple of 8 bytes and followed by an identity of `identity` zeros.
pub(super) fn record(out: &mut Vec<u8>, kind: u32, misc: u16, identity: usize, body: &[u8]) {
    let padded = body.len().next_multiple_of(8);
    let size = 8 + padded + identity;
    out.extend(kind.to_ne_bytes());
    out.extend(misc.to_ne_bytes());
    out.extend((size as u16).to_ne_bytes());
    out.extend(body);
    out.resize(out.len() + padded - body.len() + identity, 0);
}

/// Appends a COMM: the thread's name.
pub fn comm(out: &mut Vec<u8>, identity: usize, pid: u32, tid: u32, name: &str) {
    let mut body = Vec::with_capacity(32);
    body.extend(pid.to_ne_bytes());
    body.extend(tid.to_ne_bytes());
    // The kernel's names have at most 15 bytes (`TASK_COMM_LEN`).
    let name = name.as_bytes();
    body.extend(&name[..name.len().min(15)]);
    body.push(0);
    record(out, COMM, 0, identity, &body);
}

/// Appends a FORK: thread `tid` of process `pid` began; a process's first thread is begun by its parent's, others by that.
pub fn fork(out: &mut Vec<u8>, identity: usize, pid: u32, tid: u32, parent_process: u32) {
    let parent = if pid == tid { parent_process } else { pid };
    let mut body = Vec::with_capacity(24);
    for id in [pid, parent, tid, parent] {
        body.extend(id.to_ne_bytes());
    }
    body.extend(0u64.to_ne_bytes());
    record(out, FORK, MISC_FORK_EXEC, identity, &body);
}

/// A mapping of a process as it was found.
#[derive(Clone, Copy, Debug)]
pub struct NewMapping<'a> {
    /// Whose.
    pub pid: u32,
    /// First address.
    pub start: u64,
    /// One past the last address.
    pub end: u64,
    /// File offset of the first address.
    pub offset: u64,
    /// `PROT_READ` 1, `PROT_WRITE` 2, `PROT_EXEC` 4.
    pub protection: u32,
    /// Whether it is shared.
    pub shared: bool,
    /// Device and inode of the file; zeros where there is none.
    pub device: (u32, u32),
    /// See `device`.
    pub inode: u64,
    /// The file's build id; stands in the record in the place of device and inode.
    pub build_id: Option<BuildId>,
    /// The path, or `[vdso]`, `//anon`.
    pub path: &'a [u8],
}

/// Appends an MMAP2.
pub fn mmap2(out: &mut Vec<u8>, identity: usize, mapping: &NewMapping<'_>) {
    let mut body = Vec::with_capacity(72 + mapping.path.len());
    body.extend(mapping.pid.to_ne_bytes());
    body.extend(mapping.pid.to_ne_bytes());
    body.extend(mapping.start.to_ne_bytes());
    body.extend(mapping.end.saturating_sub(mapping.start).to_ne_bytes());
    body.extend(mapping.offset.to_ne_bytes());
    let mut misc = if mapping.protection & 4 != 0 { MISC_USER } else { MISC_USER | MISC_MMAP_DATA };
    if let Some(id) = mapping.build_id {
        misc |= MISC_MMAP_BUILD_ID;
        body.extend(build_id_field(id, 4));
    } else {
        body.extend(mapping.device.0.to_ne_bytes());
        body.extend(mapping.device.1.to_ne_bytes());
        body.extend(mapping.inode.to_ne_bytes());
        body.extend(0u64.to_ne_bytes());
    }
    body.extend(mapping.protection.to_ne_bytes());
    // `MAP_SHARED`, `MAP_PRIVATE`.
    body.extend(if mapping.shared { 1u32 } else { 2 }.to_ne_bytes());
    body.extend(&mapping.path[..mapping.path.len().min(LONGEST_PATH)]);
    body.push(0);
    record(out, MMAP2, misc, identity, &body);
}

/// Appends an MMAP of the kernel or of a module: `start..end`, by the name that perf knows it by.
///
/// For the kernel itself `offset` is the address of the symbol that the name ends with, `[kernel.kallsyms]_text`: what a
/// kernel at another address is moved by.
pub fn kernel_mmap(out: &mut Vec<u8>, identity: usize, start: u64, end: u64, offset: u64, name: &str) {
    let mut body = Vec::with_capacity(40 + name.len());
    body.extend(KERNEL_PID.to_ne_bytes());
    body.extend(0u32.to_ne_bytes());
    body.extend(start.to_ne_bytes());
    body.extend(end.saturating_sub(start).to_ne_bytes());
    body.extend(offset.to_ne_bytes());
    body.extend(&name.as_bytes()[..name.len().min(LONGEST_PATH)]);
    body.push(0);
    record(out, MMAP, MISC_KERNEL, identity, &body);
}

/// A build id in 24 bytes: its size stands first in MMAP2 (`before` 4: size and padding), behind it in the table of build
/// ids (`before` 0).
pub(super) fn build_id_field(id: BuildId, before: usize) -> [u8; 24] {
    let mut field = [0; 24];
    let bytes = id.as_bytes();
    field[before..before + bytes.len()].copy_from_slice(bytes);
    field[if before == 0 { 20 } else { 0 }] = bytes.len() as u8;
    field
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perf::ByteOrder;
    use crate::perf::SampleFields;
    use crate::perf::record::{Layout, Record, parse};

    const LAYOUT: Layout =
        Layout { fields: SampleFields::IDENTIFIER.with(SampleFields::TIME), sample_id_all: true, ..Layout::NONE };

    fn made(make: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        make(&mut out);
        assert_eq!(crate::perf::record::header(&out, ByteOrder::Native).map(|(_, _, size)| size), Some(out.len()));
        assert_eq!(out.len() % 8, 0);
        out
    }

    #[test]
    fn made_records_read_back() {
        let bytes = made(|out| comm(out, 16, 7, 8, "a name that is too long"));
        let Record::Comm(read) = parse(&bytes, &LAYOUT) else { panic!("a COMM") };
        assert_eq!((read.pid, read.tid, read.exec, read.name), (7, 8, false, b"a name that is ".as_slice()));
        let bytes = made(|out| fork(out, 16, 7, 8, 1));
        let Record::Fork(read) = parse(&bytes, &LAYOUT) else { panic!("a FORK") };
        assert_eq!((read.pid, read.tid, read.parent_pid, read.parent_tid, read.time), (7, 8, 7, 7, 0));
        let bytes = made(|out| fork(out, 16, 7, 7, 1));
        let Record::Fork(read) = parse(&bytes, &LAYOUT) else { panic!("a FORK") };
        assert_eq!((read.pid, read.tid, read.parent_pid, read.parent_tid), (7, 7, 1, 1));
    }

    #[test]
    fn made_mappings_read_back() {
        let build_id = BuildId::new(&[0xab; 20]);
        let new = NewMapping {
            pid: 7,
            start: 0x1000,
            end: 0x3000,
            offset: 0x400,
            protection: 5,
            shared: false,
            device: (254, 1),
            inode: 99,
            build_id: None,
            path: b"/bin/x",
        };
        for new in [new, NewMapping { build_id, ..new }, NewMapping { protection: 1, ..new }] {
            let bytes = made(|out| mmap2(out, 16, &new));
            let Record::Mmap(read) = parse(&bytes, &LAYOUT) else { panic!("an MMAP2") };
            assert_eq!((read.pid, read.start, read.length, read.offset), (7, 0x1000, 0x2000, 0x400));
            assert_eq!(
                (read.executable, read.build_id, read.path),
                (new.protection == 5, new.build_id, b"/bin/x".as_slice())
            );
            assert_eq!(read.device_inode, new.build_id.is_none().then_some(((254, 1), 99)));
        }
        let bytes = made(|out| kernel_mmap(out, 16, 0xffff_ffff_8100_0000, 0xffff_ffff_8200_0000, 5, "[k]_text"));
        let Record::Mmap(read) = parse(&bytes, &LAYOUT) else { panic!("an MMAP") };
        assert_eq!((read.pid, read.length, read.offset, read.path), (u32::MAX, 0x100_0000, 5, b"[k]_text".as_slice()));
    }
}
