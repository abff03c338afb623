//! The data inside our pictures: the call tree and the samples, as an SVG or HTML file carries them.
//!
//! A picture is drawn from them by its script, and read back from them by `profile import`. They are columns of numbers, each as
//! LEB128 (7 bits a byte, least first; DWARF 5, section 7.6), one column after the other, zlib (RFC 1950), base64 (RFC 4648).
//!
//! ```text
//! "flameprofile-picture\n" | length of the header | header: JSON | column | column | ...
//!
//! header   {"format": 1, "columns": [[name, rows, bytes], ...], and what the picture is of}
//! text     the strings, the empty one first, each before a line feed: no name holds one
//! function name image file first_line line_count kind found_by     a row a function
//! node     up function self samples [base base_samples]            a row a node, in pre-order, node 0 is the root
//! thread   pid tid process name                                    a row a thread
//! sample   time thread node value count unplaced                   a row a sample, in order of time; unplaced: a sum, of no moment
//! ```
//!
//! `up` is how many levels lie between a node and the one before it: 0 for its callee. `time` is the distance from the sample before in
//! ticks; `node` is the distance from the sample before of the same thread, zigzag. A column that is not there is zero in all rows.
//!
//! The header of a difference of several runs has `comparison`, which readers of stacks pass over:
//!
//! ```text
//! version verdict line facts alpha warn_alpha min_relative min_absolute seed method noise visible work_unit robust_factor
//! scale    the gate's: "work", "share" or "robust"; scales: what the base is multiplied by on each
//! runs     [[side, label, work, samples, host], ...]   side: 0 base, 1 new
//! checks   [[level, what, text], ...]                  moved: [[to, [from], within, rise, rest, words], ...]
//! rows     [[name, kind, part, base, new, share of the total, estimates, visible, fate, words, [value of each run],
//!           into what it was inlined], ...]
//!          part: 0 everything, 1 self, 2 with what it calls; values per unit of work
//!          estimates: change, low, high, p, p of a fall, for each scale; null has no end
//! ```
//!
//! A flame chart of two sides has `beside` (the marks of both in the names of its processes) and, where no runs were compared, `changes`:
//! `[[name, kind, self, with what it calls], ...]`, each -1..1 of the larger side.

use std::borrow::Cow;
use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde_json::{Value, json};

use crate::error::{Error, ErrorKind, Result};
use crate::model::FrameKind;

/// What the data begin with.
const MAGIC: &[u8] = b"flameprofile-picture\n";
/// The version that is written and read.
pub const VERSION: u64 = 1;
/// The version of what the header says of a comparison.
pub const COMPARISON_VERSION: u64 = 1;
/// What an element of a picture that holds the data has: `name="value"` as it stands in the file.
///
/// No name from outside can look like it: quotes are escaped wherever one stands.
pub const MARK: &str = "data-flameprofile=\"data\"";
/// Data that are larger than this when inflated are refused: what a picture of 100 million frames takes.
const LARGEST: u64 = 2 << 30;
/// Pictures of real programs are packed to a fifth, those of one deep stack to a hundredth: what grows more when inflated is no picture.
const GROWTH: u64 = 100;
/// What any picture may take.
const LEAST: u64 = 4 << 20;

/// Data of fewer bytes are packed a little smaller.
const SMALL: usize = 6 << 20;

/// The kinds of frames by the numbers of the column `kind`.
pub const KINDS: [FrameKind; 7] = [
    FrameKind::User,
    FrameKind::Kernel,
    FrameKind::Inlined,
    FrameKind::Jit,
    FrameKind::Task,
    FrameKind::Note,
    FrameKind::OffCpu,
];

/// A column while it is written.
#[derive(Clone, Debug, Default)]
pub struct Column {
    bytes: Vec<u8>,
    rows: u64,
    is_zero: bool,
}

impl Column {
    /// Adds a row.
    #[inline]
    pub fn push(&mut self, mut number: u64) {
        self.is_zero = (self.rows == 0 || self.is_zero) && number == 0;
        self.rows += 1;
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    /// Adds a row that may be negative.
    pub fn push_signed(&mut self, number: i64) {
        self.push((number << 1 ^ number >> 63) as u64);
    }
}

/// Writes the data of a picture column by column.
#[derive(Debug, Default)]
pub struct Packer {
    columns: Vec<(&'static str, Column)>,
}

impl Packer {
    /// Adds a column of numbers; one of zeros only is left out.
    pub fn add(&mut self, name: &'static str, column: Column) {
        if column.rows > 0 && !column.is_zero {
            self.columns.push((name, column));
        }
    }

    /// Adds the strings, of which the first is the empty one. Line feeds in them become U+FFFD.
    pub fn add_text<'a>(&mut self, strings: impl Iterator<Item = Cow<'a, str>>) {
        let mut text = Column::default();
        for string in strings {
            match string.contains('\n') {
                true => text.bytes.extend_from_slice(string.replace('\n', "\u{fffd}").as_bytes()),
                false => text.bytes.extend_from_slice(string.as_bytes()),
            }
            text.bytes.push(b'\n');
            text.rows += 1;
        }
        self.columns.push(("text", text));
    }

    /// The data as text; `header` is an object that says what the picture is of.
    pub fn finish(self, mut header: Value) -> Result<String> {
        let list: Vec<Value> =
            self.columns.iter().map(|(name, column)| json!([name, column.rows, column.bytes.len()])).collect();
        header["format"] = json!(VERSION);
        header["columns"] = Value::Array(list);
        let header = serde_json::to_vec(&header).unwrap_or_default();
        let failed = |error| Error::io("cannot pack the picture's data", error);
        let mut length = Column::default();
        length.push(header.len() as u64);
        let base64 = base64::write::EncoderStringWriter::new(&STANDARD);
        // A higher level takes twice the time for a few percent: of what is small, that is nothing.
        let size: usize = self.columns.iter().map(|(_, column)| column.bytes.len()).sum();
        let level = if size < SMALL { 6 } else { 4 };
        let mut out = ZlibEncoder::new(base64, Compression::new(level));
        for part in [MAGIC, &length.bytes, &header] {
            out.write_all(part).map_err(failed)?;
        }
        for (_, column) in self.columns {
            out.write_all(&column.bytes).map_err(failed)?;
        }
        Ok(out.finish().map_err(failed)?.into_inner())
    }
}

/// The data of a picture as they were written.
#[derive(Clone, Debug)]
pub struct Unpacked {
    /// What the picture is of.
    pub header: Value,
    bytes: Vec<u8>,
    columns: Vec<(String, u64, std::ops::Range<usize>)>,
}

impl Unpacked {
    /// Reads what the element of [`MARK`] holds.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Malformed`] if it is damaged, of a later version, or larger than any picture.
    pub fn read(text: &[u8]) -> Result<Unpacked> {
        let broken = |why: &str| Error::new(ErrorKind::Malformed, format!("the picture's data are {why}"));
        let packed: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let packed = STANDARD.decode(packed).map_err(|_| broken("cut or damaged"))?;
        let mut bytes = Vec::new();
        let most = LARGEST.min(LEAST + GROWTH * packed.len() as u64);
        let mut inflated = ZlibDecoder::new(&packed[..]).take(most + 1);
        inflated.read_to_end(&mut bytes).map_err(|_| broken("cut or damaged"))?;
        if bytes.len() as u64 > most {
            return Err(broken("larger than those of any picture"));
        }
        let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| broken("not what this program writes"))?;
        let mut numbers = Numbers { bytes: rest };
        let length = numbers.next().and_then(|length| usize::try_from(length).ok());
        let header = length.and_then(|length| numbers.bytes.get(..length)).ok_or_else(|| broken("cut"))?;
        let mut at = bytes.len() - numbers.bytes.len() + header.len();
        let header: Value = serde_json::from_slice(header).map_err(|_| broken("damaged"))?;
        if header["format"] != json!(VERSION) {
            return Err(
                broken("of another version").with_hint("read it with the version of this program that wrote it")
            );
        }
        let mut columns = Vec::new();
        for column in header["columns"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let (name, rows, size) = (column[0].as_str(), column[1].as_u64(), column[2].as_u64());
            let (Some(name), Some(rows), Some(size)) = (name, rows, size) else { return Err(broken("damaged")) };
            let end = usize::try_from(size).ok().and_then(|size| at.checked_add(size));
            // Each row takes a byte at least.
            let end = end.filter(|end| *end <= bytes.len() && rows <= size).ok_or_else(|| broken("cut"))?;
            columns.push((name.to_owned(), rows, at..end));
            at = end;
        }
        Ok(Unpacked { header, bytes, columns })
    }

    fn column(&self, name: &str) -> Option<(u64, &[u8])> {
        let (_, rows, range) = self.columns.iter().find(|column| column.0 == name)?;
        Some((*rows, &self.bytes[range.clone()]))
    }

    /// How many rows a column has; none if it is not there.
    pub fn rows(&self, name: &str) -> u64 {
        self.column(name).map_or(0, |(rows, _)| rows)
    }

    /// The numbers of a column; of one that is not there, zeros without end.
    pub fn numbers(&self, name: &str) -> impl Iterator<Item = u64> + '_ {
        let column = self.column(name);
        let mut numbers = Numbers { bytes: column.map_or(&[], |(_, bytes)| bytes) };
        std::iter::from_fn(move || match column {
            Some(_) => numbers.next(),
            None => Some(0),
        })
    }

    /// All strings.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Malformed`] if they are not UTF-8.
    pub fn text(&self) -> Result<Vec<&str>> {
        let (rows, bytes) = self.column("text").unwrap_or((1, b"\n"));
        // Each function has a name, an image and a file at most, each thread two names.
        let most =
            1 + 3 * self.rows("name").max(self.rows("kind")) + 2 * self.rows("tid").max(self.rows("thread_name"));
        if rows > most.max(16) {
            return Err(Error::new(ErrorKind::Malformed, "the picture's data hold more names than functions"));
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|_| Error::new(ErrorKind::Malformed, "the names in the picture's data are not text"))?;
        Ok(text.strip_suffix('\n').unwrap_or(text).split('\n').collect())
    }
}

/// A number that may be negative, see [`Column::push_signed`].
pub fn signed(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// Reads LEB128 numbers; ends where one is cut or larger than 64 bits.
struct Numbers<'a> {
    bytes: &'a [u8],
}

impl Iterator for Numbers<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let (mut number, mut shift) = (0, 0);
        loop {
            let (byte, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            if shift > 63 || (shift == 63 && *byte > 1) {
                return None;
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
            shift += 7;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed() -> String {
        let mut packer = Packer::default();
        packer.add_text(["", "main", "a\nb"].into_iter().map(Cow::from));
        let mut column = Column::default();
        [0, 127, 128, u64::MAX].into_iter().for_each(|number| column.push(number));
        packer.add("values", column);
        let mut column = Column::default();
        [0, -1, i64::MAX, i64::MIN].into_iter().for_each(|number| column.push_signed(number));
        packer.add("signed", column);
        let mut zeros = Column::default();
        (0..9).for_each(|_| zeros.push(0));
        packer.add("zeros", zeros);
        packer.finish(json!({"title": "x"})).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let read = Unpacked::read(packed().as_bytes()).unwrap();
        assert_eq!(read.header["title"], "x");
        assert_eq!(read.text().unwrap(), ["", "main", "a\u{fffd}b"]);
        assert_eq!(read.numbers("values").collect::<Vec<_>>(), [0, 127, 128, u64::MAX]);
        assert_eq!(read.numbers("signed").map(signed).collect::<Vec<_>>(), [0, -1, i64::MAX, i64::MIN]);
        assert_eq!((read.rows("values"), read.rows("zeros")), (4, 0));
        assert_eq!(read.numbers("zeros").take(3).collect::<Vec<_>>(), [0, 0, 0]);
    }

    #[test]
    fn damage_is_refused() {
        let whole = packed();
        let same = Unpacked::read(whole.as_bytes()).unwrap();
        for length in 0..whole.len() {
            assert!(Unpacked::read(&whole.as_bytes()[..length]).is_err(), "{length}");
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone().into_bytes();
            damaged[at] ^= 4;
            // The sum at the end (Adler-32) tells, but of the bits between it and what it is the sum of.
            assert!(Unpacked::read(&damaged).map_or(true, |read| read.bytes == same.bytes), "{at}");
        }
    }
}
