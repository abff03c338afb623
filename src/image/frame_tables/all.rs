//! All entries of a file from the lowest address on, for who wants them all: the same that [`FrameTables::find`] finds for each
//! address alone.

use std::ops::Range;

use gimli::{EhFrameHdr, FrameDescriptionEntry, UnwindContext, UnwindSection, UnwindTable, UnwindTableRow};

use super::{
    Bytes, Cies, FrameEntry, FrameTables, Index, MOST_ENTRY, Section, Table, address_size, bytes_of, debug_frame_of,
    eh_frame_of,
};
use crate::image::elf_file::ElfFile;

/// Code for which an entry is asked, if it covers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramePiece {
    /// First address, as the file states it.
    pub start: u64,
    /// One past the last.
    pub end: u64,
    /// Where in its section the entry is.
    entry: usize,
}

/// The entries of one section, sorted by their code, which does not overlap.
#[derive(Debug)]
pub struct FrameLayer<'a> {
    tables: &'a FrameTables,
    section: Section<'a>,
    pieces: Vec<FramePiece>,
    cies: Cies<'a>,
    bytes: u64,
}

impl FrameTables {
    /// The sections' entries, in the order in which they are asked for an address; nothing if their index is damaged.
    ///
    /// `image` must be the one whose tables these are.
    pub fn layers<'a>(&'a self, image: &'a ElfFile) -> Option<Vec<FrameLayer<'a>>> {
        let mut layers = Vec::new();
        if let Some(range) = self.eh_frame.clone() {
            let bytes = bytes_of(image, range);
            let section = eh_frame_of(image, bytes);
            let pieces = match self.pieces_by_header(image)? {
                Some(pieces) => pieces,
                None => self.eh_index.get_or_init(|| Index::of(&section, bytes, &self.bases)).pieces(),
            };
            layers.push(FrameLayer::of(self, Section::Eh(section), bytes, pieces));
        }
        if let Some((packed, index)) = self.debug_index(image) {
            let bytes = packed.bytes(image);
            let section = Section::Debug(debug_frame_of(image, bytes));
            layers.push(FrameLayer::of(self, section, bytes, index.pieces()));
        }
        Some(layers)
    }

    /// What the sorted table says; `Some(None)` if there is none, nothing if it cannot be read whole or is not sorted.
    fn pieces_by_header(&self, image: &ElfFile) -> Option<Option<Vec<FramePiece>>> {
        let Some(range) = self.header.clone() else { return Some(None) };
        let header = bytes_of(image, range);
        let parsed = EhFrameHdr::from(header).parse(&self.bases, address_size(image));
        let Some(rows) = parsed.as_ref().ok().and_then(|parsed| parsed.table()) else { return Some(None) };
        let table = Table { rows, bases: &self.bases, most_rows: header.len() / 4 };
        if table.row(0).is_none() {
            return Some(None);
        }
        let mut rows = table.rows.iter(&self.bases);
        let count = rows.size_hint().0.min(table.most_rows);
        let mut pieces: Vec<FramePiece> = Vec::with_capacity(count);
        for _ in 0..count {
            let (start, entry) = rows.next().ok()??;
            let (start, entry) = (start.direct().ok()?, entry.direct().ok()?);
            if let Some(before) = pieces.last_mut() {
                if before.start > start {
                    return None;
                }
                before.end = start;
            }
            // One that is none is asked for nothing, but it ends the one before.
            let entry = entry.checked_sub(self.bases.eh_frame.section?).and_then(|entry| usize::try_from(entry).ok());
            pieces.push(FramePiece { start, end: u64::MAX, entry: entry.unwrap_or(usize::MAX) });
        }
        pieces.retain(|piece| piece.start < piece.end);
        Some(Some(pieces))
    }
}

impl Index {
    fn pieces(&self) -> Vec<FramePiece> {
        let ends = self.0.iter().skip(1).map(|row| row.start).chain([u64::MAX]);
        let piece = |(row, end): (&super::IndexRow, u64)| FramePiece {
            start: row.start,
            end: row.start.saturating_add(row.length.into()).min(end),
            entry: row.entry as usize,
        };
        self.0.iter().zip(ends).map(piece).filter(|piece| piece.start < piece.end).collect()
    }
}

impl<'a> FrameLayer<'a> {
    fn of(tables: &'a FrameTables, section: Section<'a>, bytes: Bytes<'a>, pieces: Vec<FramePiece>) -> FrameLayer<'a> {
        FrameLayer { tables, section, pieces, cies: Cies::of(bytes), bytes: bytes.len() as u64 }
    }

    /// The pieces of code, from the lowest on.
    pub fn pieces(&self) -> &[FramePiece] {
        &self.pieces
    }

    /// How large the section is, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The entry that is asked for a piece; it may cover less of it, or more. Nothing if it makes no sense.
    pub fn entry(&mut self, piece: FramePiece) -> Option<FrameEntry<'a>> {
        let (bases, cies) = (&self.tables.bases, &mut self.cies);
        let entry = match &self.section {
            Section::Eh(section) => parse_by(section, bases, cies, gimli::EhFrameOffset(piece.entry)),
            Section::Debug(section) => parse_by(section, bases, cies, gimli::DebugFrameOffset(piece.entry)),
        }?;
        Some(FrameEntry { entry, section: self.section, tables: self.tables })
    }
}

fn parse_by<'a, Section: UnwindSection<Bytes<'a>>>(
    section: &Section,
    bases: &gimli::BaseAddresses,
    cies: &mut Cies<'a>,
    offset: Section::Offset,
) -> Option<FrameDescriptionEntry<Bytes<'a>>> {
    let get = |section: &Section, bases: &gimli::BaseAddresses, offset| cies.get(section, bases, offset);
    let entry = section.fde_from_offset(bases, offset, get).ok()?;
    (entry.entry_len() <= MOST_ENTRY).then_some(entry)
}

impl<'a> FrameEntry<'a> {
    /// How many bytes it has; to read its rows takes as long as it is.
    pub fn entry_bytes(&self) -> u64 {
        self.entry.entry_len() as u64
    }

    /// The code that it covers.
    pub fn range(&self) -> Range<u64> {
        self.entry.initial_address()..self.entry.end_address()
    }

    /// All rows from the first on, as far as they make sense, with the code that each is for; it may lie outside of the entry's.
    pub fn rows(&self, context: &mut UnwindContext<usize>, each: impl FnMut(Range<u64>, &UnwindTableRow<usize>)) {
        let bases = &self.tables.bases;
        let table = match &self.section {
            Section::Eh(section) => self.entry.rows(section, bases, context),
            Section::Debug(section) => self.entry.rows(section, bases, context),
        };
        each_row(table, each);
    }
}

fn each_row(
    table: gimli::Result<UnwindTable<'_, '_, Bytes<'_>>>,
    mut each: impl FnMut(Range<u64>, &UnwindTableRow<usize>),
) {
    let Ok(mut table) = table else { return };
    while let Ok(Some(row)) = table.next_row() {
        each(row.start_address()..row.end_address(), row);
    }
}
