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
            let (piece, rest) = records.split_at(piece_of(records));
            self.pack_piece(piece, out)?;
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

/// How many of the bytes go into the next piece: as many whole records as fit.
fn piece_of(records: &[u8]) -> usize {
    let mut end = 0;
    let header = |rest| record::header(rest, ByteOrder::Native);
    while let Some((_, _, size)) = records.get(end..).and_then(header) {
        if end + size > PIECE {
            break;
        }
        end += size;
    }
    if end == 0 { records.len().min(PIECE) } else { end }
}
