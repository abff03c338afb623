//! Symbols that a recording carries itself, for machines that keep their files (Android): simpleperf's `FILE` sections,
//! and programs that the kernel announces (`PERF_RECORD_KSYMBOL`).

use std::ops::Range;

use rustc_hash::FxHashMap;

use super::answers::Answers;
use crate::model::ImageId;

/// Symbols by image.
#[derive(Clone, Debug, Default)]
pub struct StoredSymbols {
    by_image: FxHashMap<ImageId, Vec<StoredTable>>,
}

/// Symbols of one file, or of one part of the kernel.
#[derive(Clone, Debug)]
pub struct StoredTable {
    /// What is added to an offset of the image, to have an address as the symbols state it; wraps around.
    bias: u64,
    /// Offsets of the image that the table is about.
    within: Range<u64>,
    module: Option<Box<str>>,
    symbols: Vec<Symbol>,
    names: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Symbol {
    start: u64,
    /// One past its last address; `start` until the table is sorted, if that is where the next one begins.
    end: u64,
    name: usize,
    name_length: u32,
}

/// How many symbols that end early are passed over to find the one around them.
const MOST_INSIDE: usize = 16;

impl StoredSymbols {
    /// Adds a table; an image may have several.
    pub fn insert(&mut self, image: ImageId, mut table: StoredTable) {
        table.sort();
        self.by_image.entry(image).or_default().push(table);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_image.is_empty()
    }

    pub(super) fn of(&self, image: ImageId) -> &[StoredTable] {
        self.by_image.get(&image).map_or(&[], Vec::as_slice)
    }
}

impl StoredTable {
    /// A table whose symbols state addresses that are `bias` more than offsets of the image, in wrapping arithmetic: 0 for
    /// the kernel and for JIT code with their addresses in memory.
    pub fn new(bias: u64) -> StoredTable {
        StoredTable { bias, within: 0..u64::MAX, module: None, symbols: Vec::new(), names: Vec::new() }
    }

    /// A table of an ELF file whose lowest address of code is `min_vaddr`, which stands at this offset of the file
    /// (simpleperf's `min_vaddr` and `file_offset_of_min_vaddr`; `ElfDso::IpToVaddrInFile` of its dso.cpp). Where a
    /// recording lacks the offset, it is that of the mapping.
    pub fn of_file(min_vaddr: u64, file_offset_of_min_vaddr: u64) -> StoredTable {
        StoredTable::new(min_vaddr.wrapping_sub(file_offset_of_min_vaddr))
    }

    /// The same for these offsets of the image only: where a kernel module is.
    pub fn within(self, offsets: Range<u64>) -> StoredTable {
        StoredTable { within: offsets, ..self }
    }

    /// The same with names shown as those of a kernel module.
    pub fn of_module(self, name: &str) -> StoredTable {
        StoredTable { module: Some(name.into()), ..self }
    }

    /// Adds a symbol: where it begins, as the table states addresses; its bytes, 0 if it ends where the next begins; its
    /// name, mangled if it is. One without a name is no symbol.
    pub fn push(&mut self, start: u64, length: u64, name: &[u8]) {
        let Some(name_length) = u32::try_from(name.len()).ok().filter(|length| *length > 0) else { return };
        self.symbols.push(Symbol { start, end: start.saturating_add(length), name: self.names.len(), name_length });
        self.names.extend_from_slice(name);
    }

    fn sort(&mut self) {
        self.symbols.sort_by_key(|symbol| (symbol.start, symbol.end));
        let mut next = u64::MAX;
        for at in (0..self.symbols.len()).rev() {
            let symbol = &mut self.symbols[at];
            if symbol.end == symbol.start {
                symbol.end = next;
            }
            if at.checked_sub(1).is_none_or(|before| self.symbols[before].start != self.symbols[at].start) {
                next = self.symbols[at].start;
            }
        }
    }

    fn find(&self, offset: u64) -> Option<&[u8]> {
        if !self.within.contains(&offset) {
            return None;
        }
        let svma = offset.wrapping_add(self.bias);
        let at = self.symbols.partition_point(|symbol| symbol.start <= svma);
        let mut before = self.symbols[..at].iter().rev().take(MOST_INSIDE);
        let symbol = before.find(|symbol| svma < symbol.end)?;
        self.names.get(symbol.name..symbol.name + symbol.name_length as usize)
    }
}

/// The table and the name in it of an offset.
pub(super) fn find(tables: &[StoredTable], offset: u64) -> Option<(&StoredTable, &[u8])> {
    tables.iter().find_map(|table| Some((table, table.find(offset)?)))
}

/// Names those of the offsets that have no name yet.
pub(super) fn fill_in(tables: &[StoredTable], offsets: &[u64], answers: &mut Answers) {
    for (index, offset) in offsets.iter().enumerate() {
        if answers.is_named(index) {
            continue;
        }
        if let Some((table, name)) = find(tables, *offset) {
            let shown = table.module.as_ref().map(|module| format!("{} [{module}]", String::from_utf8_lossy(name)));
            answers.set_name(index, name, shown.as_deref());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Unnamed;

    fn names(tables: &[StoredTable], offsets: &[u64]) -> Vec<Option<String>> {
        let mut symbols = StoredSymbols::default();
        tables.iter().for_each(|table| symbols.insert(ImageId(3), table.clone()));
        let mut answers = Answers::unnamed(offsets.len(), Unnamed::NoFile);
        fill_in(symbols.of(ImageId(3)), offsets, &mut answers);
        assert!(symbols.of(ImageId(4)).is_empty());
        let names: Vec<_> = answers.names().collect();
        let shown = |row: u32| {
            let name = &names[row as usize];
            name.shown.as_deref().map_or_else(|| String::from_utf8_lossy(&name.raw).into_owned(), str::to_owned)
        };
        answers.answers().map(|answer| answer.ok().map(|lines| shown(lines[0].name))).collect()
    }

    fn check(tables: &[StoredTable], expected: &[(u64, Option<&str>)]) {
        let offsets: Vec<u64> = expected.iter().map(|(offset, _)| *offset).collect();
        let wanted: Vec<_> = expected.iter().map(|(_, name)| name.map(str::to_owned)).collect();
        assert_eq!(names(tables, &offsets), wanted);
    }

    #[test]
    fn offset_is_named_through_its_segment() {
        let mut table = StoredTable::of_file(0x2000, 0x1000);
        table.push(0x2100, 0x10, b"later");
        table.push(0x2000, 0x20, b"_Z5firstv");
        check(
            &[table],
            &[
                (0xfff, None),
                (0x1000, Some("_Z5firstv")),
                (0x101f, Some("_Z5firstv")),
                (0x1020, None),
                (0x1100, Some("later")),
                (0x1110, None),
            ],
        );
    }

    #[test]
    fn symbol_without_length_ends_at_the_next_and_inner_one_wins() {
        let mut table = StoredTable::new(0);
        for (start, length, name) in
            [(10, 0, "a"), (20, 100, "outer"), (30, 5, "inner"), (200, 0, "last"), (200, 1, "x")]
        {
            table.push(start, length, name.as_bytes());
        }
        let last = Some("last");
        check(
            &[table],
            &[
                (9, None),
                (19, Some("a")),
                (20, Some("outer")),
                (34, Some("inner")),
                (35, Some("outer")),
                (120, None),
                (1000, last),
            ],
        );
    }

    #[test]
    fn module_speaks_of_its_own_range_only() {
        let mut kernel = StoredTable::new(0).within(0x1000..0x2000);
        kernel.push(0, 0, b"vfs_read");
        let mut module = StoredTable::new(0u64.wrapping_sub(0x5000)).within(0x5000..0x6000).of_module("ext4");
        module.push(0, 0x100, b"ext4_read");
        check(
            &[kernel, module],
            &[(0x1500, Some("vfs_read")), (0x5010, Some("ext4_read [ext4]")), (0x5100, None), (0x7000, None)],
        );
    }

    #[test]
    fn addresses_at_the_ends_are_survived() {
        let mut table = StoredTable::new(u64::MAX);
        table.push(u64::MAX, u64::MAX, b"top");
        table.push(0, u64::MAX, b"all");
        table.push(5, 0, b"");
        check(&[table], &[(0, None), (1, Some("all")), (u64::MAX - 1, Some("all"))]);
    }
}
