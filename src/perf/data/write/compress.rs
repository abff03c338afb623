//! Records inside COMPRESSED records: one zstd stream through all of them.
//!
//! perf 6.1 knows only the first form (type 81: header, then zstd to the end of the record, not padded). It takes a record
//! that gives no output for an error, so each one is flushed, and holds at most [`PIECE`] bytes when decompressed: even
//! if nothing can be compressed, that fits a record.

use std::io;

use crate::perf::fields::ByteOrder;
use crate::perf::record;
use zstd::stream::raw::{Encoder, InBuffer, Operation, OutBuffer};

/// `PERF_RECORD_COMPRESSED`.
const COMPRESSED: u32 = 81;
/// Most bytes that go into one record. zstd adds less than 1 KiB to what it cannot compress (`ZSTD_COMPRESSBOUND`).
pub(super) const PIECE: usize = 60 << 10;
/// zstd's level; perf's own default too.
pub(super) const LEVEL: i32 = 1;

/// Packs records.
pub(super) struct Packer {
    encoder: Encoder<'static>,
    /// What came in, and what it has become.
    pub(super) taken: u64,
    pub(super) given: u64,
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packer").field("taken", &self.taken).field("given", &self.given).finish_non_exhaustive()
    }
}

impl Packer {
    pub(super) fn new() -> io::Result<Packer> {
        Ok(Packer { encoder: Encoder::new(LEVEL)?, taken: 0, given: 0 })
    }

    /// Appends whole `records` to `out` as COMPRESSED records; only one that is larger than a piece goes into two of them.
    pub(super) fn pack(&mut self, mut records: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        self.taken += records.len() as u64;
        let before = out.len();
        while !records.is_empty() {
            let (whole, rest) = records.split_at(whole_records(records));
            // What is left of a record larger than a piece is packed before the next header is looked for.
            for piece in whole.chunks(PIECE) {
                self.pack_piece(piece, out)?;
            }
            records = rest;
        }
        self.given += (out.len() - before) as u64;
        Ok(())
    }

    fn pack_piece(&mut self, piece: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let first = out.len();
        // As large as a record may be; what is not used is taken off again.
        out.resize(first + usize::from(u16::MAX), 0);
        let mut input = InBuffer::around(piece);
        let mut output = OutBuffer::around_pos(out.as_mut_slice(), first + 8);
        while input.pos() < piece.len() {
            let before = (input.pos(), output.pos());
            self.encoder.run(&mut input, &mut output)?;
            if (input.pos(), output.pos()) == before {
                return Err(io::Error::other("zstd takes no more input"));
            }
        }
        if self.encoder.flush(&mut output)? != 0 {
            return Err(io::Error::other("zstd gives more than it should"));
        }
        let end = output.pos();
        out.truncate(end);
        out[first..first + 4].copy_from_slice(&COMPRESSED.to_ne_bytes());
        out[first + 6..first + 8].copy_from_slice(&((end - first) as u16).to_ne_bytes());
        Ok(())
    }
}

/// The length of the records that are packed next: as many as fit a piece, or one that is larger. What has no header, or ends
/// before its record does, goes to the end.
fn whole_records(records: &[u8]) -> usize {
    let mut end = 0;
    let header = |rest| record::header(rest, ByteOrder::Native);
    while let Some((_, _, size)) = records.get(end..).and_then(header) {
        if end + size > PIECE {
            return if end == 0 { size.min(records.len()) } else { end };
        }
        end += size;
    }
    if end == 0 { records.len() } else { end.min(records.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perf::data::compressed::{self, Unpacker};

    /// Packs records of these sizes, with bytes in them that cannot be compressed and are no headers.
    fn check(sizes: &[u16], cut: usize) {
        let mut state = 1u64;
        let mut records = Vec::new();
        for size in sizes {
            records.extend(9u32.to_ne_bytes());
            records.extend([0, 0]);
            records.extend(size.to_ne_bytes());
            records.extend((8..*size).map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            }));
        }
        records.truncate(records.len() - cut);
        let mut packer = Packer::new().unwrap();
        let mut out = Vec::new();
        packer.pack(&records, &mut out).unwrap();
        assert_eq!((packer.taken, packer.given), (records.len() as u64, out.len() as u64));
        let (mut unpacker, mut unpacked) = (Unpacker::new().unwrap(), Vec::new());
        let mut rest = out.as_slice();
        while !rest.is_empty() {
            let (kind, _, size) = record::header(rest, ByteOrder::Native).expect("a record follows");
            let before = unpacked.len();
            let packed = compressed::packed(kind, &rest[..size], ByteOrder::Native).expect("it is compressed");
            unpacker.unpack(packed, &mut unpacked).unwrap();
            let piece = unpacked.len() - before;
            assert!((1..=PIECE).contains(&piece), "{piece} bytes in one record of {sizes:?}");
            rest = &rest[size..];
        }
        assert!(unpacked == records, "{sizes:?}");
    }

    #[test]
    fn records_larger_than_a_piece_come_back() {
        let piece = PIECE as u16;
        check(&[65_528, 48, 65_528, 65_528, 1000, 9, u16::MAX, 8], 0);
        check(&[piece, piece + 1, 8, piece - 8, 8, 8, piece + 8], 0);
        check(&[40, 65_528, 30_000, 30_000, 30_000], 0);
        check(&[100; 2000], 0);
    }

    #[test]
    fn record_that_is_cut_goes_to_the_end() {
        check(&[40, 65_528], 3000);
        check(&[65_528], 60_000);
        check(&[40, 1000], 500);
        check(&[40, 1000], 996);
    }
}
