//! Samples whose stacks were walked in the kernel by a program of ours. No kernel writes such records: they are made as the
//! program's own ring is read, so that they take their place in the order of time like all others.
//!
//! ```text
//! STACK_KEY  key u64, end u32, kernel frames u32, frames u64...      once, before all samples of that key; it has no time
//! UNWOUND    key u64, period u64, event u32, 0 u32                   its identity says whose, when and where
//! ```

use super::{HEADER, Identity, Layout, Record};
use crate::model::{FoundBy, StackEnd, Truncation};
use crate::perf::attr::SampleFields;
use crate::perf::fields::{Fields, Words};

/// Type of the record of a stack: far from those of the kernel and of other tools.
pub const STACK_KEY: u32 = 0x7072_0001;
/// Type of the record of a sample.
pub const UNWOUND: u32 = 0x7072_0002;

/// Bit of a frame: the lower 56 bits are an address itself, not a place in an image.
const FRAME_RAW: u64 = 1 << 63;
const FRAME_BY_SHIFT: u32 = 59;
const FRAME_IMAGE_SHIFT: u32 = 40;
const FRAME_ADDRESS_BITS: u32 = 40;
/// The layout of a frame's word, for who must have the same.
pub const SAME_AS_PROGRAMS: (u64, u32, u32, u32) = (FRAME_RAW, FRAME_BY_SHIFT, FRAME_IMAGE_SHIFT, FRAME_ADDRESS_BITS);

/// Where a frame of user mode is, in the program's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At an address of the process: to look names up with, inside the call if it is a return address.
    Address(u64),
    /// At an address of a table.
    InTable {
        /// The number of the table's image.
        image: u32,
        /// The address, from the table's begin on.
        address: u64,
    },
}

/// Where a frame is, and how it was found (`FRAME_*` and `enum found_by` of `sampler/bpf/c/abi.h`).
pub fn frame(word: u64) -> (Place, FoundBy) {
    let by = match word >> FRAME_BY_SHIFT & 0xf {
        0 => FoundBy::Sample,
        1 => FoundBy::UnwindInfo,
        2 => FoundBy::FramePointer,
        _ => FoundBy::GoTable,
    };
    let place = if word & FRAME_RAW != 0 {
        Place::Address(word & ((1 << 56) - 1))
    } else {
        let image = (word >> FRAME_IMAGE_SHIFT & 0xffff) as u32;
        Place::InTable { image, address: word & ((1 << FRAME_ADDRESS_BITS) - 1) }
    };
    (place, by)
}

/// How a stack ends (`enum stack_end` of `sampler/bpf/c/abi.h`).
pub fn end(end: u32) -> StackEnd {
    StackEnd::Truncated(match end {
        // A thread of the kernel misses nothing.
        0 | 13 => return StackEnd::Root,
        1 => Truncation::NotMapped,
        2 => Truncation::NoUnwindInfo,
        3 | 9 | 10 => Truncation::NoTableYet,
        4 => Truncation::Unreadable,
        5 => Truncation::TooDeep,
        6 => Truncation::NoProgress,
        8 => Truncation::OtherStack,
        11 => Truncation::OtherProcessor,
        7 | 12 => Truncation::NoRegisters,
        _ => Truncation::NotAsked,
    })
}

/// A stack that samples name.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct KeyedStack<'a> {
    /// Its name.
    pub key: u64,
    /// How its user part ends, in the program's words.
    pub end: u32,
    /// How many of the frames are the kernel's.
    pub kernel_frames: u32,
    /// The frames in the program's words, innermost first.
    pub frames: Words<'a>,
}

/// A sample whose stack came before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unwound {
    /// Whose, when and where.
    pub identity: Identity,
    /// The name of its stack.
    pub key: u64,
    /// What it counts for.
    pub period: u64,
    /// Which event it is of.
    pub event: u32,
    /// By which epoch of the process's address space its user frames were found; 0 if it has none.
    pub epoch: u32,
}

/// Appends the record of a stack whose frames have 8 bytes each; says whether it fits into one.
pub fn push_stack(
    layout: &Layout,
    (key, end, kernel_frames): (u64, u32, u32),
    frames: &[u8],
    out: &mut Vec<u8>,
) -> bool {
    push(layout, STACK_KEY, &Identity::default(), out, |out| {
        out.extend(key.to_ne_bytes());
        out.extend(end.to_ne_bytes());
        out.extend(kernel_frames.to_ne_bytes());
        out.extend(frames);
    })
}

/// Appends the record of a sample.
pub fn push_sample(layout: &Layout, sample: &Unwound, out: &mut Vec<u8>) {
    push(layout, UNWOUND, &sample.identity, out, |out| {
        out.extend(sample.key.to_ne_bytes());
        out.extend(sample.period.to_ne_bytes());
        out.extend(sample.event.to_ne_bytes());
        out.extend(sample.epoch.to_ne_bytes());
    });
}

fn push(layout: &Layout, kind: u32, identity: &Identity, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) -> bool {
    let begin = out.len();
    out.extend(kind.to_ne_bytes());
    out.extend([0; 4]);
    body(out);
    let pair = |first: u32, second: u32| {
        let mut both = [0; 8];
        both[..4].copy_from_slice(&first.to_ne_bytes());
        both[4..].copy_from_slice(&second.to_ne_bytes());
        both
    };
    // In the order in which records that are no samples end (`perf_event_open(2)`, `sample_id`).
    for (field, word) in [
        (SampleFields::TID, pair(identity.pid, identity.tid)),
        (SampleFields::TIME, identity.time.to_ne_bytes()),
        (SampleFields::ID, identity.id.to_ne_bytes()),
        (SampleFields::STREAM_ID, [0; 8]),
        (SampleFields::CPU, pair(identity.cpu, 0)),
        (SampleFields::IDENTIFIER, identity.id.to_ne_bytes()),
    ] {
        if layout.sample_id_all && layout.fields.has(field) {
            out.extend(word);
        }
    }
    let Ok(size) = u16::try_from(out.len() - begin) else {
        out.truncate(begin);
        return false;
    };
    out[begin + HEADER - 2..begin + HEADER].copy_from_slice(&size.to_ne_bytes());
    true
}

pub(super) fn stack<'a>(body: &'a [u8], from: &mut Fields<'a>, layout: &Layout) -> Option<Record<'a>> {
    let (key, end, kernel_frames) = (from.u64()?, from.u32()?, from.u32()?);
    Some(Record::KeyedStack(KeyedStack { key, end, kernel_frames, frames: Words::new(body.get(16..)?, layout.order) }))
}

pub(super) fn sample<'a>(from: &mut Fields<'a>, identity: Identity) -> Option<Record<'a>> {
    let (key, period, event, epoch) = (from.u64()?, from.u64()?, from.u32()?, from.u32()?);
    Some(Record::Unwound(Unwound { identity, key, period, event, epoch }))
}

#[cfg(test)]
mod tests {
    use super::super::{parse, time};
    use super::*;

    #[test]
    fn what_is_made_is_read() {
        let fields =
            [SampleFields::IP, SampleFields::TID, SampleFields::TIME, SampleFields::CPU, SampleFields::IDENTIFIER];
        let fields = fields.into_iter().fold(SampleFields(0), SampleFields::with);
        let layout = Layout { fields, sample_id_all: true, ..Layout::default() };
        let identity = Identity { pid: 1, tid: 2, time: 3, cpu: 4, id: 0 };
        let sample = Unwound { identity, key: 5, period: 6, event: 7, epoch: 8 };
        let mut bytes = Vec::new();
        push_sample(&layout, &sample, &mut bytes);
        assert_eq!((parse(&bytes, &layout), time(&bytes, &layout)), (Record::Unwound(sample), 3));
        bytes.clear();
        let frames: Vec<u8> = [7u64, 8, 9].iter().flat_map(|word| word.to_ne_bytes()).collect();
        assert!(push_stack(&layout, (5, 1, 2), &frames, &mut bytes));
        let Record::KeyedStack(stack) = parse(&bytes, &layout) else { panic!("it is a stack") };
        assert_eq!((stack.key, stack.end, stack.kernel_frames), (5, 1, 2));
        assert_eq!(stack.frames.iter().collect::<Vec<_>>(), [7, 8, 9]);
        assert_eq!(time(&bytes, &layout), 0);
        let before = bytes.clone();
        assert!(!push_stack(&layout, (5, 1, 2), &vec![0; 65_536], &mut bytes));
        assert_eq!(bytes, before);
    }
}
