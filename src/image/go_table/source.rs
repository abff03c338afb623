//! Which source line an instruction of Go is of, and which functions were inlined there: what Go's tracebacks say.
//!
//! ```text
//! record    ..., pcfile, pcln, npcdata, cuOffset, ..., nfuncdata, pcdata[], funcdata[]
//! cutab     cuOffset + number of file -> offset in filetab -> path
//! pcdata[2] instruction -> row of the tree of inlined calls, or -1                  (PCDATA_InlTreeIndex)
//! funcdata[3] the tree, from `gofunc` of the module's data: name, parentPc          (FUNCDATA_InlTree; Go 1.18 on)
//! ```
//!
//! A row's caller is what stands at `parentPc`, an instruction of the same function. Sources: Go's `src/runtime/symtab.go`
//! (`funcdata`, `funcline1`, `inlinedCall`) and `src/runtime/symtabinl.go`, Go 1.19, 1.21 and 1.23.

use super::{GoTable, MOST_NAME, Version, u32_at, value_at};
use crate::image::elf_file::ElfFile;

/// A function at a line of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoSource<'a> {
    /// As Go writes it: `main.(*T).Method`.
    pub function: &'a str,
    /// The path of the source file; empty if it is not known.
    pub file: &'a str,
    /// The line, from 1 on; 0 if it is not known.
    pub line: u32,
}

/// More than a compiler inlines into each other.
const MOST_INLINED: usize = 256;

/// Most steps of tables for one file, about a second's; a function of Go's own has some hundred.
const MOST_STEPS_IN_ALL: usize = 256 << 20;

/// Parts of a record, counted from behind the function's start.
const PC_FILE: usize = 16;
const PC_LINE: usize = 20;
const PC_DATA_COUNT: usize = 24;
const UNIT: usize = 28;

/// What stands at one place in a function.
struct Place<'t> {
    table: &'t [u8],
    /// Where the record's fields begin.
    fields: usize,
    start: u64,
    end: u64,
}

/// Answers about one file, with a bound on what they may cost together.
#[derive(Debug)]
pub struct GoSources<'a> {
    table: &'a GoTable,
    image: &'a ElfFile,
    /// How many more steps of tables may be looked at.
    steps_left: usize,
}

impl GoTable {
    /// What the table says of the sources of its file.
    pub fn sources<'a>(&'a self, image: &'a ElfFile) -> GoSources<'a> {
        GoSources { table: self, image, steps_left: MOST_STEPS_IN_ALL }
    }

    /// The address of `gofunc`, to which `funcdata` is relative: a word of the module's data.
    fn find_function_data(&self, image: &ElfFile) -> Option<u64> {
        // Go 1.20 added two words for counting coverage before it.
        let word = if self.version >= Version::Go120 { 40 } else { 38 };
        let module = self.find_module(image)?;
        let base = module.word(image, word, self.pointer)?;
        image.offset_of_svma(base).map(|_| base)
    }
}

impl<'a> GoSources<'a> {
    /// The function that an address is in, and before it those that were inlined there, innermost first, if they are
    /// wanted; nothing if Go has no function there.
    pub fn at(&mut self, svma: u64, inlines: bool) -> Vec<GoSource<'a>> {
        self.find(svma, inlines).unwrap_or_default()
    }

    fn find(&mut self, svma: u64, inlines: bool) -> Option<Vec<GoSource<'a>>> {
        let table = self.table.bytes(self.image)?;
        let function = self.table.function(table, svma)?;
        let fields = self.table.fields(function.record)?;
        let name = self.table.name(table, fields)?;
        let place = Place { table, fields, start: function.start, end: function.end };
        let mut found = Vec::new();
        let mut at = svma;
        if self.table.version >= Version::Go118
            && let Some(tree) = self.inline_tree(&place)
        {
            while found.len() < MOST_INLINED
                && let Some((function, parent)) = self.inlined(&place, tree, at)
            {
                let (file, line) = self.file_and_line(&place, at);
                found.push(GoSource { function, file, line });
                at = parent;
            }
        }
        if !inlines {
            found.clear();
        }
        let (file, line) = self.file_and_line(&place, at);
        found.push(GoSource { function: name, file, line });
        Some(found)
    }

    /// The value of one of the function's tables of instructions; `None` if it has no such table, or nothing is known there.
    fn value(&mut self, place: &Place<'_>, table: u32, svma: u64) -> Option<u32> {
        if table == 0 {
            return None;
        }
        let steps = place.table.get(self.table.pctab.checked_add(usize::try_from(table).ok()?)?..)?;
        let distance = svma.checked_sub(place.start)?;
        u32::try_from(value_at(steps, self.table.quantum, distance, &mut self.steps_left)?).ok()
    }

    fn file_and_line(&mut self, place: &Place<'a>, svma: u64) -> (&'a str, u32) {
        let field = |at: usize| u32_at(place.table, place.fields.checked_add(at)?);
        let line = field(PC_LINE).and_then(|table| self.value(place, table, svma));
        let number = field(PC_FILE).and_then(|table| self.value(place, table, svma));
        let file = || {
            // Before Go 1.16 files are of the whole program.
            let (units, files) = self.table.files?;
            let row = (field(UNIT)? as usize).checked_add(number? as usize)?;
            let offset = u32_at(place.table, units.checked_add(row.checked_mul(4)?)?)?;
            text_at(place.table, files.checked_add(offset as usize)?)
        };
        match (file(), line) {
            (Some(file), Some(line)) => (file, line),
            _ => ("", 0),
        }
    }

    /// The function that was inlined at an address, and the address in the same function from where it would be called.
    fn inlined(&mut self, place: &Place<'a>, tree: &'a [u8], svma: u64) -> Option<(&'a str, u64)> {
        const INDEX: usize = 2;
        let count = u32_at(place.table, place.fields.checked_add(PC_DATA_COUNT)?)? as usize;
        let data = self.data_of(place)?;
        let table = (INDEX < count).then(|| u32_at(place.table, data + INDEX * 4)).flatten()?;
        let row = self.value(place, table, svma)? as usize;
        // Up to 1.19: parent, kind, file, line, name, parentPc; then kind, name, parentPc, line of the function.
        let (size, name, parent) = if self.table.version >= Version::Go120 { (16, 4, 8) } else { (20, 12, 16) };
        let row = tree.get(row.checked_mul(size)?..)?.get(..size)?;
        let name = text_at(place.table, self.table.names.checked_add(u32_at(row, name)? as usize)?)?;
        let parent = place.start.checked_add(u32_at(row, parent)?.into()).filter(|svma| *svma < place.end)?;
        Some((name, parent))
    }

    /// Where the array of `pcdata` begins, which that of `funcdata` follows.
    fn data_of(&self, place: &Place<'_>) -> Option<usize> {
        place.fields.checked_add(if self.table.version >= Version::Go120 { 40 } else { 36 })
    }

    /// The tree of inlined calls of a function, from its first row on.
    fn inline_tree(&self, place: &Place<'a>) -> Option<&'a [u8]> {
        const TREE: usize = 3;
        let data = self.data_of(place)?;
        // `nfuncdata` is the byte before.
        let count = usize::from(*place.table.get(data - 1)?);
        let before = u32_at(place.table, place.fields.checked_add(PC_DATA_COUNT)?)? as usize;
        let at = data.checked_add(before.checked_add(TREE)?.checked_mul(4)?)?;
        let offset = (TREE < count).then(|| u32_at(place.table, at)).flatten().filter(|offset| *offset != u32::MAX)?;
        let base = *self.table.function_data.get_or_init(|| self.table.find_function_data(self.image));
        let file_offset = self.image.offset_of_svma(base?.checked_add(offset.into())?)?;
        self.image.data().get(usize::try_from(file_offset).ok()?..)
    }
}

/// The text that ends with a zero.
fn text_at(table: &[u8], at: usize) -> Option<&str> {
    let text = table.get(at..)?;
    let text = &text[..text.len().min(MOST_NAME)];
    let end = text.iter().position(|byte| *byte == 0)?;
    std::str::from_utf8(&text[..end]).ok().filter(|text| !text.is_empty())
}
