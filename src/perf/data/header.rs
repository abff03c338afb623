//! Where things are in a perf.data.

use std::ops::Range;

use crate::perf::attr::EventAttr;
use crate::perf::attr_read;
use crate::perf::fields::{ByteOrder, Fields};

/// Size of the header of a file (`struct perf_file_header`), and of a pipe (`struct perf_pipe_file_header`).
pub const FILE_HEADER: usize = 104;
/// See [`FILE_HEADER`].
pub const PIPE_HEADER: usize = 16;

/// What the first bytes of a recording say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// A file.
    File(FileHeader),
    /// A stream of records, which begins behind so many bytes.
    Pipe {
        /// The recording's byte order.
        order: ByteOrder,
        /// Size of the header.
        size: usize,
    },
}

/// The header of a file; ranges are of bytes of the file, as stated: they may lie outside of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileHeader {
    /// The recording's byte order.
    pub order: ByteOrder,
    /// Size of an entry of `attrs`.
    pub attr_size: u64,
    /// The attributes, each with the range of its ids.
    pub attrs: Range<u64>,
    /// The records; empty if the recording was never finished.
    pub data: Range<u64>,
    /// Names of events (perf before 3.0).
    pub event_types: Range<u64>,
    /// Which sections there are: bit numbers in four words.
    pub features: [u64; 4],
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHeader {
    /// Another magic number.
    OtherMagic,
    /// It ends before the header does.
    Short,
}

/// Reads the header; `bytes` begin with the recording, and need not be all of it.
///
/// The magic number is `PERFILE2`, its reverse in the other byte order, or `PERFFILE` of perf before 2.6.35, whose byte order
/// only the plausibility of the numbers tells (`try_all_file_abis`, tools/perf/util/header.c).
pub fn read(bytes: &[u8]) -> Result<Start, NoHeader> {
    let magic: &[u8; 8] = bytes.first_chunk().ok_or(NoHeader::Short)?;
    let size: [u8; 8] = bytes.get(8..16).ok_or(NoHeader::Short)?.try_into().expect("eight bytes");
    let order = match magic {
        // "PERFILE2" is stored as a number: as text it reads so on machines that put the low byte first.
        b"PERFILE2" if cfg!(target_endian = "little") => ByteOrder::Native,
        b"PERFILE2" => ByteOrder::Swapped,
        b"2ELIFREP" if cfg!(target_endian = "little") => ByteOrder::Swapped,
        b"2ELIFREP" => ByteOrder::Native,
        b"PERFFILE" if u64::from_ne_bytes(size) < 1 << 16 => ByteOrder::Native,
        b"PERFFILE" => ByteOrder::Swapped,
        _ => return Err(NoHeader::OtherMagic),
    };
    let size = order.u64(size);
    if size == PIPE_HEADER as u64 {
        return Ok(Start::Pipe { order, size: PIPE_HEADER });
    }
    let mut fields = Fields::new(bytes.get(16..FILE_HEADER).ok_or(NoHeader::Short)?, order);
    let mut word = || fields.u64().expect("the header is there");
    let attr_size = word();
    let mut range = || {
        let (start, size) = (word(), word());
        start..start.saturating_add(size)
    };
    let (attrs, data, event_types) = (range(), range(), range());
    let mut features = [word(), word(), word(), word()];
    if order == ByteOrder::Swapped {
        features = swapped_features(features);
    }
    Ok(Start::File(FileHeader { order, attr_size, attrs, data, event_types, features }))
}

/// The bitmap is made of the recording machine's `long`s, whose size is not known: on a 32-bit machine of the other byte order
/// the halves of each word stand the other way round. Every perf writes the host's name, so that bit tells.
fn swapped_features(features: [u64; 4]) -> [u64; 4] {
    const HOSTNAME: u64 = 1 << 3;
    let halves = features.map(|word| word.rotate_left(32));
    if features[0] & HOSTNAME == 0 && halves[0] & HOSTNAME != 0 { halves } else { features }
}

impl FileHeader {
    /// The attributes with the ranges of their ids, out of the whole file; those that are not all there are left out.
    pub fn attrs(&self, file: &[u8]) -> Vec<(EventAttr, Vec<u64>)> {
        /// The range of ids behind each attribute.
        const IDS: usize = 16;
        let Some(table) = slice(file, &self.attrs) else { return Vec::new() };
        let entry = usize::try_from(self.attr_size).unwrap_or(usize::MAX);
        if entry < attr_read::SMALLEST + IDS {
            return Vec::new();
        }
        let mut attrs = Vec::new();
        for entry in table.chunks_exact(entry) {
            let (attr, ids) = entry.split_at(entry.len() - IDS);
            let Some((attr, _)) = EventAttr::read(attr, self.order) else { continue };
            let mut fields = Fields::new(ids, self.order);
            let (start, size) = (fields.u64().unwrap_or(0), fields.u64().unwrap_or(0));
            let ids = slice(file, &(start..start.saturating_add(size))).unwrap_or_default();
            attrs.push((attr, words(ids, self.order)));
        }
        attrs
    }

    /// The sections that stand behind the records: number and bytes, as far as they are in the file.
    pub fn sections<'a>(&self, file: &'a [u8]) -> Vec<(u32, &'a [u8])> {
        let mut at = self.data.end;
        let mut sections = Vec::new();
        for bit in (0..256).filter(|bit| self.features[bit / 64] >> (bit % 64) & 1 == 1) {
            let Some(place) = slice(file, &(at..at.saturating_add(16))) else { break };
            at += 16;
            let mut fields = Fields::new(place, self.order);
            let (start, size) = (fields.u64().unwrap_or(0), fields.u64().unwrap_or(0));
            if let Some(bytes) = slice(file, &(start..start.saturating_add(size))) {
                sections.push((bit as u32, bytes));
            }
        }
        sections
    }

    /// How many sections the header announces.
    pub fn announced_sections(&self) -> usize {
        self.features.iter().map(|word| word.count_ones() as usize).sum()
    }
}

/// The bytes of a range, if they are all there.
pub fn slice<'a>(file: &'a [u8], range: &Range<u64>) -> Option<&'a [u8]> {
    file.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
}

/// All whole words of `bytes`.
pub(super) fn words(bytes: &[u8], order: ByteOrder) -> Vec<u64> {
    bytes.chunks_exact(8).map(|word| order.u64(word.try_into().expect("eight bytes"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(magic: &[u8; 8], words: &[u64]) -> Vec<u8> {
        let mut bytes = magic.to_vec();
        bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        bytes.resize(FILE_HEADER, 0);
        bytes
    }

    #[test]
    fn kinds_of_recordings_are_told_apart() {
        let is_pipe = |bytes: &[u8]| matches!(read(bytes), Ok(Start::Pipe { .. }));
        assert!(is_pipe(&header(b"PERFILE2", &[16])));
        let file = header(b"PERFILE2", &[104, 144, 104, 144, 248, 1000, 0, 0, 8]);
        let Ok(Start::File(read_file)) = read(&file) else { panic!("a file") };
        assert_eq!((read_file.attrs, read_file.data, read_file.features[0]), (104..248, 248..1248, 8));
        assert!(matches!(read(&header(b"PERFFILE", &[104, 144])), Ok(Start::File(_))));
        assert_eq!(read(b"PERFILE2"), Err(NoHeader::Short));
        assert_eq!(read(&file[..50]), Err(NoHeader::Short));
        assert_eq!(read(b"GIF89a.........."), Err(NoHeader::OtherMagic));
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn features_of_a_32_bit_machine_of_the_other_order_are_found() {
        // Bit 3 of the first long of 32 bits, in a word that is stored with the high byte first.
        let mut bytes = header(b"2ELIFREP", &[]);
        bytes[15] = 104;
        bytes[72..76].copy_from_slice(&8u32.to_be_bytes());
        let Ok(Start::File(file)) = read(&bytes) else { panic!("a file") };
        assert_eq!((file.order, file.features[0]), (ByteOrder::Swapped, 8));
    }

    #[test]
    fn ranges_that_lie_are_survived() {
        let bytes = header(b"PERFILE2", &[104, u64::MAX, 0, u64::MAX, u64::MAX, u64::MAX, 5, 5, u64::MAX]);
        let Ok(Start::File(file)) = read(&bytes) else { panic!("a file") };
        assert!(file.attrs(&bytes).is_empty() && file.sections(&bytes).is_empty());
        let bytes = header(b"PERFILE2", &[104, 80, 0, 104, 0, 8, 0, 0, u64::MAX]);
        let Ok(Start::File(file)) = read(&bytes) else { panic!("a file") };
        assert_eq!(file.attrs(&bytes).len(), 1);
        file.sections(&bytes);
    }
}
