//! Text line by line, without an allocation for each.

use std::io::{ErrorKind as IoErrorKind, Read};

use memchr::memchr;

use crate::error::{Error, Result};

/// Bytes asked for at once.
const CHUNK: usize = 1 << 20;

/// Reads lines of any bytes.
pub(super) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    /// The bytes of `buffer` that hold something, and of those the ones that are not handed out yet.
    end: usize,
    at: usize,
    line: u64,
    is_at_end: bool,
}

impl<R: Read> Lines<R> {
    pub fn new(reader: R) -> Lines<R> {
        Lines { reader, buffer: vec![0; CHUNK], end: 0, at: 0, line: 0, is_at_end: false }
    }

    /// The number of the line last handed out, from 1.
    pub fn number(&self) -> u64 {
        self.line
    }

    /// The next line, without its end (`\n` or `\r\n`).
    ///
    /// Memory grows with the longest line only. A reader that fails after the first bytes is taken for a file that is cut there.
    #[inline]
    pub fn next(&mut self) -> Result<Option<&[u8]>> {
        Ok(self.next_place()?.map(|place| self.line_at(place)))
    }

    /// The next lines, at least one unless there is none, as long as no more bytes must be read for them; `most` at most.
    pub fn next_few<'a>(
        &'a mut self,
        most: usize,
        places: &'a mut Vec<(usize, usize)>,
    ) -> Result<impl Iterator<Item = &'a [u8]>> {
        places.clear();
        places.extend(self.next_place()?);
        while !places.is_empty() && places.len() < most {
            let Some(found) = memchr(b'\n', &self.buffer[self.at..self.end]) else { break };
            places.push((self.at, self.at + found));
            self.at += found + 1;
            self.line += 1;
        }
        Ok(places.iter().map(|place| self.line_at(*place)))
    }

    #[inline]
    fn line_at(&self, (begin, end): (usize, usize)) -> &[u8] {
        let line = &self.buffer[begin..end];
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    /// Where in the buffer the next line is.
    #[inline]
    fn next_place(&mut self) -> Result<Option<(usize, usize)>> {
        let mut searched = self.at;
        let (begin, end) = loop {
            if let Some(found) = memchr(b'\n', &self.buffer[searched..self.end]) {
                let begin = std::mem::replace(&mut self.at, searched + found + 1);
                break (begin, searched + found);
            }
            if self.is_at_end {
                if self.at == self.end {
                    return Ok(None);
                }
                break (std::mem::replace(&mut self.at, self.end), self.end);
            }
            searched = self.end - self.at;
            self.fill()?;
        };
        self.line += 1;
        Ok(Some((begin, end)))
    }

    /// Moves what is left to the front and reads more behind it.
    #[cold]
    fn fill(&mut self) -> Result<()> {
        self.buffer.copy_within(self.at..self.end, 0);
        (self.end, self.at) = (self.end - self.at, 0);
        if self.buffer.len() - self.end < CHUNK / 2 {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        loop {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.is_at_end = true,
                Ok(read) => self.end += read,
                Err(error) if error.kind() == IoErrorKind::Interrupted => continue,
                Err(error) if self.line == 0 => return Err(Error::io("cannot read the text", error)),
                Err(_) => self.is_at_end = true,
            }
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives `step` bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let step = self.1.min(self.0.len()).min(buffer.len());
            buffer[..step].copy_from_slice(&self.0[..step]);
            self.0 = &self.0[step..];
            Ok(step)
        }
    }

    #[test]
    fn lines_are_whole_however_they_come() {
        let long = "x".repeat(3 << 20);
        let text = format!("a\n\nb\r\n{long}\nlast");
        for step in [1000, 7 << 10, 10 << 20] {
            let mut lines = Lines::new(Slow(text.as_bytes(), step));
            for (row, expected) in ["a", "", "b", &long, "last"].into_iter().enumerate() {
                assert_eq!(lines.next().unwrap().unwrap(), expected.as_bytes());
                assert_eq!(lines.number(), row as u64 + 1);
            }
            assert!(lines.next().unwrap().is_none());
            assert!(lines.next().unwrap().is_none());
            let (mut lines, mut places, mut all) = (Lines::new(Slow(text.as_bytes(), step)), Vec::new(), Vec::new());
            loop {
                let few: Vec<Vec<u8>> = lines.next_few(2, &mut places).unwrap().map(<[u8]>::to_vec).collect();
                assert!(few.len() <= 2);
                if few.is_empty() {
                    break;
                }
                all.extend(few);
            }
            assert!(all == ["a", "", "b", &long, "last"].map(|line| line.as_bytes().to_vec()));
            assert_eq!(lines.number(), 5);
        }
    }
}
