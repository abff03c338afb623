//! An event's attributes as the bytes of `struct perf_event_attr`.

use crate::perf::attr::{AttrFlags, EventAttr, Sampling};

/// `PERF_ATTR_SIZE_VER5`: up to `sample_max_stack`, all that [`EventAttr`] has. perf refuses a file whose attributes are
/// larger than its own ("uses a more recent and unsupported ABI"), so no more is written than is needed (Linux 4.8).
pub const ATTR_SIZE: usize = 112;

/// The attributes as `struct perf_event_attr` in this machine's byte order.
///
/// Offsets are those of `include/uapi/linux/perf_event.h`.
pub fn attr_bytes(attr: &EventAttr) -> [u8; ATTR_SIZE] {
    let mut bytes = [0; ATTR_SIZE];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    let mut flags = attr.flags.without(AttrFlags::FREQ);
    let period = match attr.sampling {
        Sampling::Count => 0,
        Sampling::Period(period) => period,
        Sampling::Frequency(rate) => {
            flags = flags.with(AttrFlags::FREQ);
            rate
        }
    };
    put(0, &attr.kind.to_ne_bytes());
    put(4, &(ATTR_SIZE as u32).to_ne_bytes());
    put(8, &attr.config.to_ne_bytes());
    put(16, &period.to_ne_bytes());
    put(24, &attr.sample_fields.0.to_ne_bytes());
    put(32, &attr.read_format.to_ne_bytes());
    put(40, &flag_bits(flags.0).to_ne_bytes());
    put(48, &attr.wakeup_watermark.to_ne_bytes());
    put(56, &attr.config1.to_ne_bytes());
    put(64, &attr.config2.to_ne_bytes());
    put(72, &attr.branch_sample_type.to_ne_bytes());
    put(80, &attr.sample_regs_user.to_ne_bytes());
    put(88, &attr.sample_stack_user.to_ne_bytes());
    put(92, &attr.clockid.to_ne_bytes());
    put(108, &attr.sample_max_stack.to_ne_bytes());
    bytes
}

/// The flags are C bit fields: the first one is the lowest bit on little-endian machines, the highest on big-endian ones.
fn flag_bits(flags: u64) -> u64 {
    if cfg!(target_endian = "little") { flags } else { flags.reverse_bits() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perf::SampleFields;

    #[test]
    fn fields_stand_where_the_header_says() {
        let attr = EventAttr {
            config1: 0x11,
            sampling: Sampling::Frequency(99),
            sample_fields: SampleFields::IP,
            flags: AttrFlags::DISABLED.with(AttrFlags::SAMPLE_ID_ALL),
            clockid: 1,
            sample_max_stack: 127,
            ..EventAttr::counting(1, 9)
        };
        let bytes = attr_bytes(&attr);
        let u64_at = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
        let u32_at = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!((u32_at(0), u32_at(4), u64_at(8)), (1, 112, 9));
        assert_eq!((u64_at(16), u64_at(24), u64_at(56)), (99, 1, 0x11));
        assert_eq!(u64_at(40), flag_bits(1 | 1 << 10 | 1 << 18));
        assert_eq!((u32_at(92), bytes[108]), (1, 127));
    }
}
