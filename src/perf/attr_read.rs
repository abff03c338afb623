//! `struct perf_event_attr` out of a recording: of any size, in either byte order.

use super::attr::{AttrFlags, EventAttr, SampleFields, Sampling};
use super::fields::ByteOrder;

/// `PERF_ATTR_SIZE_VER0`: what the first kernels had, and what a stated size of 0 means.
pub const SMALLEST: usize = 64;

impl EventAttr {
    /// Reads an attribute, and says how many bytes it states to have.
    ///
    /// What is missing at the end is zero, as for the kernel, and what is beyond what we know is passed over: a newer perf has
    /// recorded something that does not change the meaning of what we read. Nothing if there are fewer than
    /// [`SMALLEST`] bytes.
    ///
    /// See `perf_event_open(2)` and `read_attr` of tools/perf/util/header.c.
    pub fn read(bytes: &[u8], order: ByteOrder) -> Option<(EventAttr, usize)> {
        if bytes.len() < SMALLEST {
            return None;
        }
        let stated = match order.u32(at(bytes, 4)) as usize {
            0 => SMALLEST,
            stated => stated,
        };
        let bytes = &bytes[..bytes.len().min(stated.max(SMALLEST))];
        let u64_at = |offset: usize| order.u64(at(bytes, offset));
        let u32_at = |offset: usize| order.u32(at(bytes, offset));
        let flags = AttrFlags(flags(at(bytes, 40), order));
        let number = u64_at(16);
        let sampling = match number {
            0 => Sampling::Count,
            rate if flags.has(AttrFlags::FREQ) => Sampling::Frequency(rate),
            period => Sampling::Period(period),
        };
        let attr = EventAttr {
            kind: u32_at(0),
            config: u64_at(8),
            config1: u64_at(56),
            config2: u64_at(64),
            sampling,
            sample_fields: SampleFields(u64_at(24)),
            read_format: u64_at(32),
            flags,
            wakeup_watermark: u32_at(48),
            branch_sample_type: u64_at(72),
            sample_regs_user: u64_at(80),
            sample_stack_user: u32_at(88),
            clockid: u32_at(92) as i32,
            sample_regs_intr: u64_at(96),
            sample_max_stack: order.u16(at(bytes, 108)),
        };
        Some((attr, stated))
    }
}

/// Bytes at an offset; zeros where there are none.
fn at<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    bytes.get(offset..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; N])
}

/// The bit-field of flags: its bits are numbered from the low end on machines that put the low byte first, from the high end on
/// others, so between them each byte is mirrored (`swap_bitfield` of tools/perf/util/session.c).
fn flags(bytes: [u8; 8], order: ByteOrder) -> u64 {
    if order.is_little_endian() { u64::from_le_bytes(bytes) } else { u64::from_le_bytes(bytes.map(u8::reverse_bits)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An attribute of 112 bytes in the order of this machine.
    fn bytes(flags: u64) -> Vec<u8> {
        let mut bytes = vec![0; 112];
        bytes[0..4].copy_from_slice(&2u32.to_ne_bytes());
        bytes[4..8].copy_from_slice(&112u32.to_ne_bytes());
        bytes[8..16].copy_from_slice(&77u64.to_ne_bytes());
        bytes[16..24].copy_from_slice(&4000u64.to_ne_bytes());
        bytes[24..32].copy_from_slice(&SampleFields::IP.with(SampleFields::TIME).0.to_ne_bytes());
        bytes[40..48].copy_from_slice(&flags.to_ne_bytes());
        bytes[80..88].copy_from_slice(&0xff_u64.to_ne_bytes());
        bytes[108..110].copy_from_slice(&127u16.to_ne_bytes());
        bytes
    }

    #[test]
    fn attribute_is_read() {
        let (attr, size) = EventAttr::read(&bytes(AttrFlags::FREQ.0), ByteOrder::Native).unwrap();
        assert_eq!((attr.kind, attr.config, attr.sampling, size), (2, 77, Sampling::Frequency(4000), 112));
        assert_eq!((attr.sample_regs_user, attr.sample_max_stack), (0xff, 127));
        assert!(attr.sample_fields.has(SampleFields::TIME) && !attr.flags.has(AttrFlags::INHERIT));
    }

    #[test]
    fn sizes_older_and_newer_than_ours_are_read() {
        let mut old = bytes(0);
        old[4..8].copy_from_slice(&0u32.to_ne_bytes());
        let (attr, size) = EventAttr::read(&old, ByteOrder::Native).unwrap();
        assert_eq!((attr.sampling, attr.sample_regs_user, size), (Sampling::Period(4000), 0, 64));
        let mut new = bytes(0);
        new[4..8].copy_from_slice(&400u32.to_ne_bytes());
        new.resize(400, 0xff);
        assert_eq!(
            EventAttr::read(&new, ByteOrder::Native).unwrap().0,
            EventAttr::read(&bytes(0), ByteOrder::Native).unwrap().0
        );
        assert_eq!(EventAttr::read(&new[..63], ByteOrder::Native), None);
    }

    #[test]
    fn other_byte_order_is_read() {
        // As a machine of the other order writes it: each number reversed, of the flags each byte mirrored.
        let native = bytes(AttrFlags::FREQ.with(AttrFlags::SAMPLE_ID_ALL).with(AttrFlags::NAMESPACES).0);
        let mut other = native.clone();
        for (start, end) in [(0, 4), (4, 8), (8, 16), (16, 24), (24, 32), (80, 88), (108, 110)] {
            other[start..end].reverse();
        }
        for byte in &mut other[40..48] {
            *byte = byte.reverse_bits();
        }
        assert_eq!(EventAttr::read(&other, ByteOrder::Swapped), EventAttr::read(&native, ByteOrder::Native));
    }
}
