//! What Go's own table (`pclntab`) says about a function: where it begins, how deep its frame is at each instruction.
//!
//! Go needs it for tracebacks, so it is in every program of Go's own compiler, stripped ones too; `.debug_frame`, which
//! says the same, goes with the debug information.
//!
//! ```text
//! header    magic, minimal instruction length, pointer size, counts, offsets of the parts below
//! functab   sorted: start of function -> offset of its record              binary search
//! record    start, name, pcsp, ..., special id, flags
//! pctab     pairs of (how much the value changes, how many instructions on)  one pass, for one function
//! ```
//!
//! Nothing is unpacked and nothing kept but offsets. Sources: Go's `src/runtime/symtab.go`, `src/runtime/runtime2.go`
//! (`_func`), `src/debug/gosym/pclntab.go` and `src/internal/abi/symtab.go`, Go 1.19 and 1.27.

mod all;
mod source;

use std::ops::Range;
use std::sync::OnceLock;

use super::elf_file::ElfFile;
use super::elf_headers::Segment;
pub use source::{GoSource, GoSources};

/// Where the parts of one file's Go table are; the file is handed in with each question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoTable {
    /// The table, as offsets in the file; all other offsets count from its begin.
    range: Range<usize>,
    version: Version,
    /// Length of the shortest instruction: 1 on x86, 4 on arm64.
    quantum: u8,
    /// Bytes of a pointer.
    pointer: u8,
    /// How many functions.
    functions: usize,
    /// The rows of (start, offset of record); offsets of records count from here, before Go 1.16 from the table's begin.
    functab: usize,
    names: usize,
    pctab: usize,
    /// The tables of files by unit, and of their paths; since Go 1.16.
    files: Option<(usize, usize)>,
    /// The address of `gofunc`, once somebody has asked for inlined functions.
    function_data: OnceLock<Option<u64>>,
    /// What starts of functions are relative to; 0 before Go 1.18.
    text: u64,
}

/// What the table says about one place in a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoFrame {
    /// Where the function begins, as the file states it.
    pub start: u64,
    /// Where the next one begins.
    pub end: u64,
    /// How many bytes the stack pointer is below its place at entry. On x86 the return address stands right there (the
    /// CFA is one word higher); on arm64 it is at the stack pointer if this is not 0, else in the link register.
    pub depth: i32,
    /// Whether nobody has called it: the end of a goroutine's stack, or of a thread's (`FuncFlagTopFrame`).
    pub outermost: bool,
    /// Whether it puts another stack in place: `depth` is that before (`FuncFlagSPWrite`).
    pub writes_stack_pointer: bool,
}

/// Layouts of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Version {
    /// Go 1.2 to 1.15: no header to speak of, addresses are absolute.
    Go12,
    /// Go 1.16 and 1.17: offsets of parts, addresses are absolute.
    Go116,
    /// Go 1.18 and 1.19: addresses are 32 bits, relative to `runtime.text`.
    Go118,
    /// Go 1.20 and later: records have one field more.
    Go120,
}

/// What has no caller: `topofstack` of Go 1.16's runtime, less `morestack`, which a function did call. Of these `mcall` has
/// no flag in later versions: it has left the goroutine's stack for good, and starts the scheduler on another.
const OUTERMOST: [&str; 5] = ["runtime.goexit", "runtime.mstart", "runtime.mcall", "runtime.rt0_go", "_rt0_go"];
/// Functions that the kernel enters with a signal. They have the flag, as Go stops there; but the code that the signal
/// has interrupted is further up.
const SIGNAL_ENTRIES: [&str; 3] = ["runtime.sigtramp", "runtime.cgoSigtramp", "runtime.sigprofNonGoWrapper"];
/// What Go 1.17's assembler marks in the runtime of Go 1.16.
const WRITE_STACK_POINTER: [&str; 6] = [
    "runtime.asmcgocall",
    "runtime.gogo",
    "runtime.mcall",
    "runtime.morestack",
    "runtime.rt0_go",
    "runtime.systemstack",
];
/// It changes stacks so that its frame is right on both (`resolveInternal` of Go's `src/runtime/traceback.go`).
const CALLBACK: &str = "runtime.cgocallback";

/// Most bytes that are searched where no section tells; a table of 32 MiB is a large one.
const MOST_SEARCHED: usize = 256 << 20;
/// Most steps of one function's table; functions of a megabyte have some thousand.
const MOST_STEPS: usize = 1 << 18;
/// Longest name of a function that is looked at.
const MOST_NAME: usize = 64 << 10;
/// Most places that look right at first and are looked at twice.
const MOST_CANDIDATES: usize = 16;
/// Which words of the module's data (`runtime.moduledata`) are `pcHeader`, `minpc` and `text`; so since Go 1.16.
const MODULE_WORDS: [u64; 3] = [0, 20, 22];

impl GoTable {
    /// Finds the table of a file; `None` if it has none, or one that is of no known version or makes no sense.
    ///
    /// It has a section of its own. Where the system's linker has put it elsewhere (`-buildmode=pie` with cgo), or where
    /// there are no section headers, segments are searched for its header. Big-endian files are refused.
    pub fn of(image: &ElfFile) -> Option<GoTable> {
        if image.data().get(5) != Some(&1) {
            return None;
        }
        let by_name = [".gopclntab", ".data.rel.ro.gopclntab"].iter().find_map(|name| image.section(name));
        if let Some(section) = by_name.filter(|section| !section.compressed) {
            return GoTable::at(image, clamp(image, section.file_offset, section.size)?);
        }
        let is_go = || [".go.buildinfo", ".note.go.buildid"].iter().any(|name| image.section(name).is_some());
        // A file with section headers has a section of their names.
        (image.section(".shstrtab").is_none() || is_go()).then(|| GoTable::search(image)).flatten()
    }

    /// What it says about the function that covers an address; `None` if none does, or if nothing is known about its
    /// frame, as of functions that the linker made.
    pub fn frame(&self, image: &ElfFile, svma: u64) -> Option<GoFrame> {
        let table = self.bytes(image)?;
        let function = self.function(table, svma)?;
        let steps = self.steps(table, &function)?;
        let depth = value_at(steps, self.quantum, svma - function.start, &mut { MOST_STEPS })?;
        self.frame_in(table, &function, depth)
    }

    /// The steps of a function's depth, see [`value_at`].
    fn steps<'a>(&self, table: &'a [u8], function: &Function) -> Option<&'a [u8]> {
        let pcsp = u32_at(table, self.fields(function.record)?.checked_add(12)?)?;
        if pcsp == 0 {
            return None;
        }
        table.get(self.pctab.checked_add(usize::try_from(pcsp).ok()?)?..)
    }

    /// What is said of a function where it is so deep.
    fn frame_in(&self, table: &[u8], function: &Function, depth: i32) -> Option<GoFrame> {
        let fields = self.fields(function.record)?;
        let flags = match self.version {
            Version::Go12 => 0,
            // Behind `pcsp`: pcfile, pcln, npcdata, the compilation unit, since 1.20 the line, and the special id.
            Version::Go116 | Version::Go118 => *table.get(fields.checked_add(33)?)?,
            Version::Go120 => *table.get(fields.checked_add(37)?)?,
        };
        let (mut outermost, mut writes_stack_pointer) = (flags & 1 != 0, flags & 2 != 0);
        // Flags came with Go 1.17, whose table has the magic of 1.16.
        if outermost || writes_stack_pointer || self.version < Version::Go118 {
            let name = self.name(table, fields)?;
            outermost = outermost && !SIGNAL_ENTRIES.contains(&name) || OUTERMOST.contains(&name);
            writes_stack_pointer = (writes_stack_pointer || WRITE_STACK_POINTER.contains(&name)) && name != CALLBACK;
        }
        Some(GoFrame { start: function.start, end: function.end, depth, outermost, writes_stack_pointer })
    }

    /// The name of the function that covers an address, as Go writes it: `main.(*T).Method`.
    pub fn function_name<'a>(&self, image: &'a ElfFile, svma: u64) -> Option<&'a str> {
        let table = self.bytes(image)?;
        let function = self.function(table, svma)?;
        self.name(table, self.fields(function.record)?)
    }

    fn bytes<'a>(&self, image: &'a ElfFile) -> Option<&'a [u8]> {
        image.data().get(self.range.clone())
    }
}

/// One row of the functab.
struct Function {
    start: u64,
    end: u64,
    /// Where its record is in the table.
    record: usize,
}

/// Where the module's data (`runtime.moduledata`) are.
struct Module {
    svma: u64,
    /// Whether its words are those of relocations.
    relocated: bool,
    text: u64,
}

impl Module {
    fn word(&self, image: &ElfFile, index: u64, pointer: u8) -> Option<u64> {
        let place = word_of(self.svma, index, pointer)?;
        if self.relocated { Relocations::of(image).value_at(place) } else { word_of_file(image, place, pointer) }
    }
}

/// The address of a word of what begins at `svma`.
fn word_of(svma: u64, index: u64, pointer: u8) -> Option<u64> {
    svma.checked_add(index * u64::from(pointer))
}

fn word_of_file(image: &ElfFile, svma: u64, pointer: u8) -> Option<u64> {
    word_at(image.data(), usize::try_from(image.offset_of_svma(svma)?).ok()?, pointer)
}

/// Making sense of the header.
impl GoTable {
    /// The table in this part of the file, if it makes sense.
    fn at(image: &ElfFile, range: Range<usize>) -> Option<GoTable> {
        let table = image.data().get(range.clone())?;
        let (version, quantum, pointer) = magic(table)?;
        if (pointer == 8) != image.is_64() {
            return None;
        }
        let word = |index: usize| word_at(table, 8 + index * usize::from(pointer), pointer);
        let offset = |index: usize| usize::try_from(word(index)?).ok();
        let (names, files, pctab, functab) = match version {
            Version::Go12 => (0, None, 0, 8 + usize::from(pointer)),
            Version::Go116 => (offset(2)?, offset(3).zip(offset(4)), offset(5)?, offset(6)?),
            Version::Go118 | Version::Go120 => (offset(3)?, offset(4).zip(offset(5)), offset(6)?, offset(7)?),
        };
        let (functions, function_data, text) = (offset(0)?, OnceLock::new(), 0);
        let mut found =
            GoTable { range, version, quantum, pointer, functions, functab, names, pctab, files, function_data, text };
        if !found.has_rows(table) {
            return None;
        }
        if version >= Version::Go118 {
            found.text = found.find_text(image, word(2)?)?;
        }
        found.is_of_code(image, table).then_some(found)
    }

    /// Whether functions ascend and have records, as far as a few of them tell.
    fn has_rows(&self, table: &[u8]) -> bool {
        let rows = self.functions.checked_mul(2).and_then(|fields| fields.checked_add(1));
        let size = rows.and_then(|rows| rows.checked_mul(self.row_field()));
        let fits = size.and_then(|size| table.len().checked_sub(self.functab)?.checked_sub(size)).is_some();
        if self.functions == 0 || !fits {
            return false;
        }
        // A record says again where its function begins.
        let good = |row: usize| {
            let function = self.row(table, row)?;
            let start = if self.version >= Version::Go118 {
                u64::from(u32_at(table, function.record)?)
            } else {
                word_at(table, function.record, self.pointer)?
            };
            (start == self.start(table, row)? && function.end >= function.start).then_some(start)
        };
        let starts = self.some_rows().map(good);
        starts.iter().all(Option::is_some) && starts.is_sorted()
    }

    /// Whether its functions are code of this file.
    fn is_of_code(&self, image: &ElfFile, table: &[u8]) -> bool {
        let is_code = |svma| image.segments().iter().any(|segment| segment.executable && covers(segment, svma));
        let inside = |row| {
            self.row(table, row).is_some_and(|it| is_code(it.start) && it.end.checked_sub(1).is_some_and(is_code))
        };
        self.some_rows().into_iter().all(inside)
    }

    /// First, last, and some between.
    fn some_rows(&self) -> [usize; 4] {
        let last = self.functions - 1;
        [0, last / 3, last / 2, last]
    }

    /// The address of `runtime.text`. The header has it, up to Go 1.25, if nobody had to relocate it: what the system's
    /// linker makes position independent has a zero there. The module's data have it always, or their relocation.
    fn find_text(&self, image: &ElfFile, in_header: u64) -> Option<u64> {
        if in_header != 0 {
            return Some(in_header);
        }
        Some(self.find_module(image)?.text)
    }

    /// The data of the module that this is the table of.
    fn find_module(&self, image: &ElfFile) -> Option<Module> {
        let header = svma_of_data(image, self.range.start)?;
        let first = self.start(image.data().get(self.range.clone())?, 0)?;
        // `text` is `minpc` less the offset of the first function; that and `pcHeader` tell the module's data apart.
        let check = |svma: u64, relocated: bool, words: [Option<u64>; 3]| {
            let [Some(its_header), Some(lowest), Some(text)] = words else { return None };
            let fits = its_header == header && text.checked_add(first) == Some(lowest);
            fits.then_some(Module { svma, relocated, text })
        };
        let pointer = self.pointer;
        let in_file = |svma| {
            check(svma, false, MODULE_WORDS.map(|index| word_of_file(image, word_of(svma, index, pointer)?, pointer)))
        };
        if let Some(module) = image.section(".go.module").and_then(|section| in_file(section.svma)) {
            return Some(module);
        }
        let relocations = Relocations::of(image);
        let relocated =
            |svma| check(svma, true, MODULE_WORDS.map(|index| relocations.value_at(word_of(svma, index, pointer)?)));
        if let Some(module) = relocations.places_of(header).take(MOST_CANDIDATES).find_map(relocated) {
            return Some(module);
        }
        let data = image.segments().iter().filter(|segment| !segment.executable);
        let mut modules = data.flat_map(|segment| {
            let range = clamp(image, segment.offset, segment.file_size).unwrap_or_default();
            let range = range.start..range.end.min(range.start.saturating_add(MOST_SEARCHED));
            let words = image.data()[range].chunks_exact(pointer.into()).zip(0u64..);
            let places = words.filter(move |(bytes, _)| word_at(bytes, 0, pointer) == Some(header));
            places.filter_map(move |(_, index)| word_of(segment.svma, index, pointer))
        });
        modules.by_ref().take(MOST_CANDIDATES).find_map(in_file)
    }

    /// Looks for the header where no section says where it is.
    fn search(image: &ElfFile) -> Option<GoTable> {
        let step = if image.is_64() { 8 } else { 4 };
        let relro = image.section(".data.rel.ro").map(|section| (section.file_offset, section.size));
        let segments = image.segments().iter().map(|segment| (segment.offset, segment.file_size));
        let mut left = MOST_SEARCHED;
        for (offset, size) in relro.into_iter().chain(segments) {
            let Some(range) = clamp(image, offset, size) else { continue };
            // The linker aligns it to a pointer at least.
            let begin = range.start.next_multiple_of(step);
            let bytes = image.data().get(begin..range.end).unwrap_or_default();
            let words = bytes.chunks_exact(step).take(left / step);
            left -= words.len() * step;
            let places = words.zip(0..).filter(|(word, _)| word[1..4] == [0xff; 3]).map(|(_, index)| index * step);
            let places = places.filter(|at| magic(&bytes[*at..]).is_some()).map(|at| begin + at);
            // Hardly a word looks like it; a hostile file may be full of them.
            let found = places.take(MOST_CANDIDATES).find_map(|start| GoTable::at(image, start..range.end));
            if found.is_some() {
                return found;
            }
        }
        None
    }
}

/// Looking functions up.
impl GoTable {
    /// Bytes of each of the two fields of a row.
    fn row_field(&self) -> usize {
        if self.version >= Version::Go118 { 4 } else { self.pointer.into() }
    }

    fn field(&self, table: &[u8], index: usize) -> Option<u64> {
        let field = self.row_field();
        word_at(table, self.functab.checked_add(index.checked_mul(field)?)?, field as u8)
    }

    /// Where a function begins, counted from `text`; of the row behind the last one: where the last one ends.
    fn start(&self, table: &[u8], row: usize) -> Option<u64> {
        self.field(table, row.checked_mul(2)?)
    }

    fn row(&self, table: &[u8], row: usize) -> Option<Function> {
        let record = usize::try_from(self.field(table, row * 2 + 1)?).ok()?;
        let base = if self.version == Version::Go12 { 0 } else { self.functab };
        Some(Function {
            start: self.text.checked_add(self.start(table, row)?)?,
            end: self.text.checked_add(self.start(table, row + 1)?)?,
            record: base.checked_add(record)?,
        })
    }

    /// The function that covers an address.
    fn function(&self, table: &[u8], svma: u64) -> Option<Function> {
        let wanted = svma.checked_sub(self.text)?;
        let (mut low, mut high) = (0, self.functions);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.start(table, middle)? <= wanted { low = middle + 1 } else { high = middle }
        }
        let function = self.row(table, low.checked_sub(1)?)?;
        (function.start..function.end).contains(&svma).then_some(function)
    }

    /// Where the fields of a record begin, behind its function's start.
    fn fields(&self, record: usize) -> Option<usize> {
        record.checked_add(self.row_field())
    }

    fn name<'a>(&self, table: &'a [u8], fields: usize) -> Option<&'a str> {
        let name = table.get(self.names.checked_add(u32_at(table, fields)? as usize)?..)?;
        let name = &name[..name.len().min(MOST_NAME)];
        let end = name.iter().position(|byte| *byte == 0)?;
        std::str::from_utf8(&name[..end]).ok().filter(|name| !name.is_empty())
    }
}

/// The relocations of an `ElfFile` that put an address of the file itself somewhere (`R_*_RELATIVE`), 64-bit files only:
/// in others the value is in its place already.
struct Relocations<'a>(&'a [u8]);

impl<'a> Relocations<'a> {
    fn of(image: &'a ElfFile) -> Relocations<'a> {
        let section = [".rela.dyn", ".rela"].iter().find_map(|name| image.section(name)).filter(|_| image.is_64());
        let range = section.and_then(|section| clamp(image, section.file_offset, section.size));
        Relocations(range.map_or(&[], |range| &image.data()[range]))
    }

    /// Place and value of each; see elf(5), `Elf64_Rela`.
    fn each(&self) -> impl Iterator<Item = (u64, u64)> + use<'a> {
        /// `R_X86_64_RELATIVE` and `R_AARCH64_RELATIVE`.
        const RELATIVE: [u64; 2] = [8, 1027];
        self.0.chunks_exact(24).filter_map(|entry| {
            let (place, info, value) = (word_at(entry, 0, 8)?, word_at(entry, 8, 8)?, word_at(entry, 16, 8)?);
            RELATIVE.contains(&info).then_some((place, value))
        })
    }

    fn places_of(&self, value: u64) -> impl Iterator<Item = u64> + use<'a> {
        self.each().filter(move |(_, its)| *its == value).map(|(place, _)| place)
    }

    fn value_at(&self, place: u64) -> Option<u64> {
        self.each().find(|(its, _)| *its == place).map(|(_, value)| value)
    }
}

/// What a table of steps says for the instruction `distance` bytes into the function: each step is a change of the value
/// and the number of instructions for which it holds then; see `pcvalue` and `step` of Go's `src/runtime/symtab.go`.
/// At most so many steps are taken as are left, of which those taken are subtracted.
fn value_at(mut steps: &[u8], quantum: u8, distance: u64, left: &mut usize) -> Option<i32> {
    let (mut value, mut end) = (None, 0);
    loop {
        let (next, its_end) = value_until(&mut steps, quantum, value, end, left)?;
        if distance < its_end {
            return Some(next);
        }
        (value, end) = (Some(next), its_end);
    }
}

/// Takes one step from the value before, which there is unless it is the first: the value, and the end of where it holds.
fn value_until(
    steps: &mut &[u8],
    quantum: u8,
    before: Option<i32>,
    begin: u64,
    left: &mut usize,
) -> Option<(i32, u64)> {
    *left = left.checked_sub(1)?;
    let change = varint(steps)?;
    if change == 0 && before.is_some() {
        return None;
    }
    let value = before.unwrap_or(-1).wrapping_add((change >> 1) as i32 ^ -((change & 1) as i32));
    Some((value, begin + u64::from(varint(steps)?) * u64::from(quantum)))
}

/// Takes a number of seven bits a byte, the lowest first.
fn varint(bytes: &mut &[u8]) -> Option<u32> {
    let mut value = 0;
    for shift in (0..35).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u32::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Version, length of the shortest instruction, bytes of a pointer.
fn magic(table: &[u8]) -> Option<(Version, u8, u8)> {
    let version = match u32_at(table, 0)? {
        0xffff_fffb => Version::Go12,
        0xffff_fffa => Version::Go116,
        0xffff_fff0 => Version::Go118,
        0xffff_fff1 => Version::Go120,
        _ => return None,
    };
    match table.get(4..8)? {
        [0, 0, quantum @ (1 | 2 | 4), pointer @ (4 | 8)] => Some((version, *quantum, *pointer)),
        _ => None,
    }
}

/// The part of the file that a header speaks of, as far as it is there.
fn clamp(image: &ElfFile, offset: u64, size: u64) -> Option<Range<usize>> {
    let start = usize::try_from(offset).ok().filter(|start| *start < image.data().len())?;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    Some(start..start.saturating_add(size).min(image.data().len()))
}

fn covers(segment: &Segment, svma: u64) -> bool {
    svma.checked_sub(segment.svma).is_some_and(|distance| distance < segment.file_size)
}

/// The address that the file states for a byte of it, code or not.
fn svma_of_data(image: &ElfFile, offset: usize) -> Option<u64> {
    let offset = offset as u64;
    image.segments().iter().find_map(|segment| {
        let distance = offset.checked_sub(segment.offset).filter(|distance| *distance < segment.file_size)?;
        segment.svma.checked_add(distance)
    })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

/// A word of 4 or 8 bytes.
fn word_at(bytes: &[u8], at: usize, size: u8) -> Option<u64> {
    if size == 4 {
        return u32_at(bytes, at).map(u64::from);
    }
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests;
