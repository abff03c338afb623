//! From one record of a stream to the next.

use super::kind;
use crate::perf::fields::{ByteOrder, Fields};
use crate::perf::record::{self, HEADER};

/// What stands at a place of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A record.
    Record {
        /// Its type.
        kind: u32,
        /// Its size, header included.
        size: usize,
        /// How many bytes that belong to it follow it, which are no records: hardware trace, formats of tracepoints.
        payload: u64,
    },
    /// Fewer bytes than the record says; so many are needed to go on.
    Cut(usize),
    /// No record: the size that it states is none.
    Broken,
}

/// Looks at what stands at the beginning of `bytes`.
///
/// A header's size has 16 bits. simpleperf's own records (types above 32768) use the 16 bits of `misc` as the upper half of it
/// (`struct simpleperf_record_header`).
pub fn next(bytes: &[u8], order: ByteOrder) -> Next {
    if bytes.len() < HEADER {
        return Next::Cut(HEADER);
    }
    let Some((kind, misc, mut size)) = record::header(bytes, order) else { return Next::Broken };
    if kind > super::simpleperf::FIRST {
        size |= usize::from(misc) << 16;
    }
    let Some(body) = bytes.get(HEADER..size) else { return Next::Cut(size) };
    let mut fields = Fields::new(body, order);
    let payload = match kind {
        kind::AUXTRACE => fields.u64().unwrap_or(0),
        // Padded to whole words.
        kind::TRACING_DATA => u64::from(fields.u32().unwrap_or(0)).next_multiple_of(8),
        _ => 0,
    };
    Next::Record { kind, size, payload }
}

/// How far behind a broken place the next records seem to begin; nothing if they do not.
///
/// Records are whole words. A place is believed if records of known types follow one another from there.
pub fn resume(bytes: &[u8], order: ByteOrder) -> Option<usize> {
    /// So many records in a row, or as many as there are up to the end.
    const IN_A_ROW: usize = 8;
    /// How far to look.
    const FURTHEST: usize = 1 << 20;
    let plausible = |mut at: usize| {
        for _ in 0..IN_A_ROW {
            match next(&bytes[at..], order) {
                Next::Record { kind, size, payload: 0 } if is_known(kind) && size % 8 == 0 => at += size,
                _ => return false,
            }
            if at == bytes.len() {
                return true;
            }
        }
        true
    };
    (8..bytes.len().min(FURTHEST)).step_by(8).find(|at| plausible(*at))
}

fn is_known(kind: u32) -> bool {
    matches!(kind, 1..=record::kind::CALLCHAIN_DEFERRED | kind::FIRST..=kind::COMPRESSED2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u32, size: u16) -> Vec<u8> {
        let mut bytes = kind.to_ne_bytes().to_vec();
        bytes.extend([0, 0]);
        bytes.extend(size.to_ne_bytes());
        bytes.resize(usize::from(size), 0);
        bytes
    }

    #[test]
    fn sizes_are_found() {
        let bytes = record(9, 24);
        assert_eq!(next(&bytes, ByteOrder::Native), Next::Record { kind: 9, size: 24, payload: 0 });
        assert_eq!(next(&bytes[..20], ByteOrder::Native), Next::Cut(24));
        assert_eq!(next(&bytes[..3], ByteOrder::Native), Next::Cut(8));
        let mut none = bytes.clone();
        none[6] = 0;
        assert_eq!(next(&none, ByteOrder::Native), Next::Broken);
        let mut traced = record(kind::AUXTRACE, 48);
        traced[8] = 200;
        assert_eq!(next(&traced, ByteOrder::Native), Next::Record { kind: 71, size: 48, payload: 200 });
    }

    #[test]
    fn records_behind_a_broken_place_are_found() {
        let mut bytes = vec![0; 40];
        for _ in 0..10 {
            bytes.extend(record(9, 24));
        }
        assert_eq!(resume(&bytes, ByteOrder::Native), Some(40));
        assert_eq!(resume(&[0; 4096], ByteOrder::Native), None);
        assert_eq!(resume(&[], ByteOrder::Native), None);
    }
}
