//! Records that were compressed: `PERF_RECORD_COMPRESSED` and `PERF_RECORD_COMPRESSED2`.
//!
//! All of them together are one stream of Zstandard: a compressed record may end in the middle of a block, and a block in the
//! middle of a record. See `zstd_compress_stream_to_records` of tools/perf/util/zstd.c.

use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

use super::kind;
use crate::perf::fields::{ByteOrder, Fields};
use crate::perf::record::HEADER;

/// Unpacks the stream.
pub struct Unpacker {
    decoder: Decoder<'static>,
}

impl std::fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unpacker").finish_non_exhaustive()
    }
}

impl Unpacker {
    /// At the beginning of a stream.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new() -> std::io::Result<Unpacker> {
        Ok(Unpacker { decoder: Decoder::new()? })
    }

    /// Appends to `out` what the next compressed record holds.
    ///
    /// # Errors
    /// If it is no Zstandard; what was unpacked before that is there.
    pub fn unpack(&mut self, packed: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
        /// What a byte can unpack to at most, beside a first megabyte. Stack copies of zeros come to some hundreds; what is
        /// packed more tightly is so to hurt.
        const MOST_RATIO: usize = 1000;
        /// Room for what is unpacked at a time: a block is at most so large.
        const ROOM: usize = 128 << 10;
        let start = out.len();
        let most = (packed.len() * MOST_RATIO).saturating_add(1 << 20);
        let mut input = InBuffer::around(packed);
        loop {
            let filled = out.len();
            if filled - start > most {
                return Err(std::io::Error::other(format!("it unpacks to more than {MOST_RATIO} times its size")));
            }
            out.resize(filled + ROOM, 0);
            let mut output = OutBuffer::around_pos(out, filled);
            let result = self.decoder.run(&mut input, &mut output);
            let end = output.pos();
            out.truncate(end);
            result?;
            // A decoder that left room has given all it has.
            if input.pos() == packed.len() && end < filled + ROOM {
                return Ok(());
            }
        }
    }
}

/// The compressed bytes in the body of a record of this type.
pub fn packed(kind: u32, record: &[u8], order: ByteOrder) -> Option<&[u8]> {
    let body = record.get(HEADER..)?;
    if kind == kind::COMPRESSED {
        return Some(body);
    }
    let mut fields = Fields::new(body, order);
    let size = usize::try_from(fields.u64()?).ok()?;
    fields.bytes(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_is_unpacked_wherever_it_was_cut() {
        let plain: Vec<u8> = (0..300_000u32).flat_map(|number| (number / 7).to_ne_bytes()).collect();
        let packed = zstd::bulk::compress(&plain, 1).unwrap();
        for piece in [1000, 65_527, packed.len()] {
            let mut unpacker = Unpacker::new().unwrap();
            let mut out = Vec::new();
            for piece in packed.chunks(piece) {
                unpacker.unpack(piece, &mut out).unwrap();
            }
            assert!(out == plain, "{piece}");
        }
        assert!(Unpacker::new().unwrap().unpack(b"no Zstandard at all", &mut Vec::new()).is_err());
    }

    #[test]
    fn size_of_the_newer_form_is_bounded() {
        let mut record = vec![0; 32];
        record[8] = 11;
        assert_eq!(super::packed(kind::COMPRESSED2, &record, ByteOrder::Native).map(<[u8]>::len), Some(11));
        record[8] = 200;
        assert_eq!(super::packed(kind::COMPRESSED2, &record, ByteOrder::Native), None);
        assert_eq!(super::packed(kind::COMPRESSED, &record, ByteOrder::Native).map(<[u8]>::len), Some(24));
    }
}
