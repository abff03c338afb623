//! Tables made by hand for each layout, and those of real programs against the `.debug_frame` that the same linker wrote.

use super::*;
use crate::image::ElfImage;
use gimli::{CfaRule, DebugFrame, EndianSlice, LittleEndian, UnwindContext};
use gimli::{CieOrFde, UnwindSection};
use std::path::Path;
use std::process::Command;

/// Where the code of hand-made files is.
const TEXT: u64 = 0x40_1000;
/// Where their table is in the file.
const TABLE_AT: usize = 0x340;

/// What a hand-made function has: length, name, (depth, bytes that it holds for), special flags.
type Made = (u64, &'static str, &'static [(i32, u32)], u8);

const FUNCTIONS: [Made; 8] = [
    (0x20, "main.leaf", &[(0, 0x20)], 0),
    (0x40, "main.main", &[(0, 4), (0x88, 0x38), (-8, 4)], 0),
    (0x10, "runtime.goexit", &[(0, 0x10)], 1),
    (0x30, "runtime.mcall", &[(0, 8), (8, 0x28)], 2),
    (0x20, "runtime.sigtramp", &[(0x18, 0x20)], 1),
    (0x20, "runtime.cgocallback", &[(0x18, 0x20)], 2),
    (0x20, "runtime.systemstack", &[(0, 4), (8, 0x1c)], 2),
    (0x20, "runtime.morestack", &[(0, 0x20)], 2),
];

/// How a hand-made file is.
#[derive(Clone, Copy, Debug)]
struct Layout {
    magic: u32,
    is_64: bool,
    quantum: u8,
    /// Where the table is said to be: a section's name, or no section headers at all.
    section: Option<&'static str>,
    /// Whether the header says where the code begins, or only the module's data.
    text_in_header: bool,
}

const GO_12: u32 = 0xffff_fffb;
const GO_116: u32 = 0xffff_fffa;
const GO_118: u32 = 0xffff_fff0;
const GO_120: u32 = 0xffff_fff1;

struct Writer {
    bytes: Vec<u8>,
    is_64: bool,
}

impl Writer {
    fn word(&mut self, value: u64) {
        let bytes = value.to_le_bytes();
        self.bytes.extend(&bytes[..if self.is_64 { 8 } else { 4 }]);
    }

    fn u32(&mut self, value: u32) {
        self.bytes.extend(value.to_le_bytes());
    }

    fn u16(&mut self, value: u16) {
        self.bytes.extend(value.to_le_bytes());
    }

    fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    fn align(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }
}

/// The table of `FUNCTIONS` as the linker of that time lays it out.
fn table(layout: Layout) -> Vec<u8> {
    let writer = || Writer { bytes: vec![0; 4], is_64: layout.is_64 };
    let pointer = if layout.is_64 { 8 } else { 4 };
    let (mut names, mut pctab) = (writer(), writer());
    let mut places = Vec::new();
    for (_, name, steps, _) in FUNCTIONS {
        places.push((names.bytes.len() as u32, pctab.bytes.len() as u32));
        names.bytes.extend(name.as_bytes());
        names.bytes.push(0);
        let mut before = -1;
        for (depth, length) in steps {
            let change = depth - before;
            pctab.varint(((change << 1) ^ (change >> 31)) as u32);
            pctab.varint(length / u32::from(layout.quantum));
            before = *depth;
        }
        pctab.bytes.push(0);
    }
    names.align(8);
    pctab.align(8);
    let relative = layout.magic == GO_118 || layout.magic == GO_120;
    let field = if relative { 4 } else { pointer };
    let header = match layout.magic {
        GO_12 => 8 + pointer,
        GO_116 => 8 + 7 * pointer,
        _ => 8 + 8 * pointer,
    };
    let rows = (FUNCTIONS.len() * 2 + 1) * field;
    let record = field + 44;
    // Before Go 1.16 all offsets are of the whole table, whose functab comes first.
    let (functab, names_at, pctab_at) = if layout.magic == GO_12 {
        let names_at = header + rows + FUNCTIONS.len() * record;
        (header, names_at, names_at + names.bytes.len())
    } else {
        (header + names.bytes.len() + pctab.bytes.len(), header, header + names.bytes.len())
    };
    let mut all = Writer { bytes: Vec::new(), is_64: layout.is_64 };
    all.u32(layout.magic);
    all.bytes.extend([0, 0, layout.quantum, pointer as u8]);
    all.word(FUNCTIONS.len() as u64);
    if layout.magic != GO_12 {
        all.word(0);
        if relative {
            all.word(if layout.text_in_header { TEXT } else { 0 });
        }
        for offset in [names_at, 0, 0, pctab_at, functab] {
            all.word(offset as u64);
        }
        all.bytes.extend(&names.bytes);
        all.bytes.extend(&pctab.bytes);
    }
    assert_eq!(all.bytes.len(), functab);
    let mut start = if relative { 0 } else { TEXT };
    let address = |all: &mut Writer, value: u64| if relative { all.u32(value as u32) } else { all.word(value) };
    let base = if layout.magic == GO_12 { functab } else { 0 };
    for (index, (length, ..)) in FUNCTIONS.iter().enumerate() {
        address(&mut all, start);
        address(&mut all, (base + rows + index * record) as u64);
        start += length;
    }
    address(&mut all, start);
    let mut start = if relative { 0 } else { TEXT };
    let absolute = if layout.magic == GO_12 { [names_at as u32, pctab_at as u32] } else { [0, 0] };
    for ((length, _, _, flags), (name, pcsp)) in FUNCTIONS.iter().zip(places) {
        let end = all.bytes.len() + record;
        address(&mut all, start);
        for value in [absolute[0] + name, 0, 0, absolute[1] + pcsp, 0, 0, 0, 0] {
            all.u32(value);
        }
        if layout.magic == GO_120 {
            all.u32(77);
        }
        // The id; the flags, unless they are younger than the layout.
        all.bytes.extend([9, if layout.magic == GO_12 { 0 } else { *flags }]);
        all.bytes.resize(end, 0);
        start += length;
    }
    if layout.magic == GO_12 {
        all.bytes.extend(&names.bytes);
        all.bytes.extend(&pctab.bytes);
    }
    all.bytes
}

/// A file with code, that table, and the module's data.
fn file(layout: Layout) -> Vec<u8> {
    const DATA: u64 = 0x50_0000;
    let table = table(layout);
    let mut all = Writer { bytes: Vec::new(), is_64: layout.is_64 };
    let (header, program_header, section_header) = if layout.is_64 { (64, 56, 64) } else { (52, 32, 40) };
    let names = b"\0.shstrtab\0.gopclntab\0.data.rel.ro.gopclntab\0.go.buildinfo\0";
    let text_at = 0x200;
    let table_at = TABLE_AT;
    let module_at = (table_at + table.len()).next_multiple_of(8);
    let pointer = if layout.is_64 { 8 } else { 4 };
    let names_at = module_at + 24 * pointer;
    let sections_at = (names_at + names.len()).next_multiple_of(8);
    all.bytes.extend([0x7f, b'E', b'L', b'F', if layout.is_64 { 2 } else { 1 }, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    all.u16(2);
    all.u16(if layout.is_64 { 62 } else { 3 });
    all.u32(1);
    all.word(TEXT);
    all.word(header as u64);
    all.word(if layout.section.is_some() { sections_at as u64 } else { 0 });
    all.u32(0);
    let sections = if layout.section.is_some() { 3 } else { 0 };
    for value in [header, program_header, 2, section_header, sections, if sections > 0 { 1 } else { 0 }] {
        all.u16(value as u16);
    }
    assert_eq!(all.bytes.len(), header);
    let length: u64 = FUNCTIONS.iter().map(|(length, ..)| length).sum();
    let data = (names_at - table_at) as u64;
    for (offset, svma, size, flags) in [(text_at, TEXT, length, 5), (table_at as u64, DATA, data, 4)] {
        all.u32(1);
        if layout.is_64 {
            all.u32(flags);
        }
        for word in [offset, svma, svma, size, size] {
            all.word(word);
        }
        if !layout.is_64 {
            all.u32(flags);
        }
        all.word(8);
    }
    all.bytes.resize(table_at, 0x90);
    all.bytes.extend(&table);
    all.bytes.resize(module_at, 0);
    for index in 0..24 {
        all.word(match index {
            0 => DATA,
            20 | 22 => TEXT,
            _ => 0,
        });
    }
    all.bytes.extend(names);
    all.align(8);
    let name_at = |name: &str| {
        let with_zeros = [b"\0", name.as_bytes(), b"\0"].concat();
        names.windows(with_zeros.len()).position(|it| it == with_zeros).unwrap() as u32 + 1
    };
    if let Some(name) = layout.section {
        let rows = [
            ("", 0u32, 0u64, 0usize, 0usize),
            (".shstrtab", 3, 0, names_at, names.len()),
            (name, 1, DATA, table_at, if name == ".go.buildinfo" { 1 } else { table.len() }),
        ];
        for (name, kind, svma, offset, size) in rows {
            all.u32(if name.is_empty() { 0 } else { name_at(name) });
            all.u32(kind);
            for word in [0, svma, offset as u64, size as u64] {
                all.word(word);
            }
            all.u32(0);
            all.u32(0);
            all.word(0);
            all.word(0);
        }
    }
    all.bytes
}

/// Layouts of which all must be read alike.
fn layouts() -> Vec<Layout> {
    let mut layouts = Vec::new();
    for magic in [GO_12, GO_116, GO_118, GO_120] {
        for is_64 in [true, false] {
            for section in [Some(".gopclntab"), Some(".data.rel.ro.gopclntab"), Some(".go.buildinfo"), None] {
                for quantum in [1, 4] {
                    for text_in_header in [true, false] {
                        layouts.push(Layout { magic, is_64, quantum, section, text_in_header });
                    }
                }
            }
        }
    }
    layouts
}

#[test]
fn every_layout_says_the_same() {
    for layout in layouts() {
        let image = ElfImage::from_bytes(file(layout)).unwrap();
        let table = GoTable::of(&image).unwrap_or_else(|| panic!("{layout:?}"));
        let mut start = TEXT;
        for (length, name, steps, flags) in FUNCTIONS {
            // As flags say, but for what has or has not its caller elsewhere.
            let outermost = matches!(name, "runtime.goexit" | "runtime.mcall");
            let mut at = start;
            for (depth, holds) in steps {
                for svma in [at, at + u64::from(*holds) - 1] {
                    let found = table.frame(&image, svma);
                    let end = start + length;
                    let writes_stack_pointer = flags == 2 && name != "runtime.cgocallback";
                    let expected = GoFrame { start, end, depth: *depth, outermost, writes_stack_pointer };
                    assert_eq!(found, Some(expected), "{layout:?} {svma:#x}");
                    assert_eq!(table.function_name(&image, svma), Some(name), "{layout:?}");
                }
                at += u64::from(*holds);
            }
            start += length;
        }
        for outside in [0, TEXT - 1, start, u64::MAX] {
            assert_eq!(table.frame(&image, outside), None, "{layout:?} {outside:#x}");
        }
    }
}

#[test]
fn what_is_no_go_program_has_no_table() {
    let own = ElfImage::from_bytes(std::fs::read(std::env::current_exe().unwrap()).unwrap()).unwrap();
    assert_eq!(GoTable::of(&own), None);
    let layout = Layout { magic: GO_120, is_64: true, quantum: 1, section: None, text_in_header: true };
    let mut bytes = file(layout);
    bytes[TABLE_AT] = 0xf3;
    assert_eq!(GoTable::of(&ElfImage::from_bytes(bytes).unwrap()), None, "magic of the future");
    let mut bytes = file(layout);
    bytes[TABLE_AT + 7] = 4;
    assert_eq!(GoTable::of(&ElfImage::from_bytes(bytes).unwrap()), None, "pointers of another class");
}

#[test]
fn corrupt_tables_are_survived() {
    let mut random = 1u64;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) as usize % below
    };
    let mut found = 0;
    for layout in layouts() {
        let good = file(layout);
        for _ in 0..200 {
            let mut changed = good.clone();
            for _ in 0..=next(4) {
                let at = if next(4) == 0 { next(0x100) } else { TABLE_AT + next(good.len() - TABLE_AT) };
                let value = if next(2) == 0 { 0xff } else { next(256) as u8 };
                changed[at] = value;
            }
            if next(4) == 0 {
                changed.truncate(next(good.len()));
            }
            let Some(image) = ElfImage::from_bytes(changed) else { continue };
            let Some(table) = GoTable::of(&image) else { continue };
            found += 1;
            let mut sources = table.sources(&image);
            for svma in (TEXT - 8..TEXT + 0x130).step_by(4).chain([0, u64::MAX]) {
                sources.at(svma, true);
                table.frame(&image, svma);
                table.function_name(&image, svma);
            }
        }
    }
    assert!(found > 1000, "{found} tables were looked into");
}

#[test]
fn seeds_are_what_is_made_here() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/go_table");
    for (name, magic, section) in
        [("go12", GO_12, Some(".gopclntab")), ("go116", GO_116, None), ("go120", GO_120, Some(".go.buildinfo"))]
    {
        let made = file(Layout { magic, is_64: name != "go116", quantum: 1, section, text_in_header: false });
        let seed = seeds.join(name);
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&seed, &made).unwrap();
        }
        assert_eq!(std::fs::read(&seed).unwrap(), made, "{}", seed.display());
    }
}

#[test]
fn steps_end_where_they_are_cut_or_stand_still() {
    // Never on: a change, no instruction.
    assert_eq!(value_at(&[2, 0].repeat(1 << 20), 1, 5, &mut { MOST_STEPS }), None);
    assert_eq!(value_at(&[2, 0x80, 0x80], 1, 5, &mut 9), None);
    assert_eq!(value_at(&[0x80; 100], 1, 5, &mut 9), None);
    // No change at first is a value of -1, later it is the end.
    assert_eq!(value_at(&[0, 4, 2, 4, 0, 9], 1, 3, &mut 9), Some(-1));
    assert_eq!(value_at(&[0, 4, 2, 4, 0, 9], 1, 7, &mut 9), Some(0));
    assert_eq!(value_at(&[0, 4, 2, 4, 0, 9], 1, 8, &mut 9), None);
    assert_eq!(value_at(&[0, 4, 2, 4, 0, 9], 4, 31, &mut 9), Some(0));
}

/// Builds a program of `testdata/go_table`; `None`, said aloud, if that cannot be done here.
fn build(directory: &Path, name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Option<ElfImage> {
    let program = directory.join("program");
    let mut go = Command::new("go");
    go.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/go_table")).env("GOTOOLCHAIN", "local");
    go.args(["build", "-buildvcs=false"])
        .args(arguments)
        .arg("-o")
        .arg(&program)
        .arg(name)
        .envs(variables.iter().copied());
    match go.output() {
        Ok(output) if output.status.success() => Some(ElfImage::from_bytes(std::fs::read(program).unwrap()).unwrap()),
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ");
            crate::skip::here(&format!("go build {arguments:?} {variables:?} does not work here: {why}"));
            None
        }
        Err(_) => {
            crate::skip::here("no go here");
            None
        }
    }
}

/// Compares each row of `.debug_frame` with the table; how many rows were equal.
///
/// The system's linker adds functions of C, which only `.debug_frame` knows.
fn agree(image: &ElfImage, what: &str) -> usize {
    let table = GoTable::of(image).unwrap_or_else(|| panic!("{what}: no table"));
    let section = image.section(".debug_frame").unwrap();
    assert!(!section.compressed);
    let bytes = &image.data()[section.file_offset as usize..][..section.size as usize];
    let mut frames = DebugFrame::from(EndianSlice::new(bytes, LittleEndian));
    frames.set_address_size(if image.is_64() { 8 } else { 4 });
    // On arm64 no call has pushed anything.
    let pushed = match image.machine() {
        62 => 8,
        3 => 4,
        _ => 0,
    };
    let bases = gimli::BaseAddresses::default();
    let mut entries = frames.entries(&bases);
    let mut context = UnwindContext::new();
    let (mut equal, mut foreign) = (0, 0);
    while let Some(entry) = entries.next().unwrap() {
        let CieOrFde::Fde(entry) = entry else { continue };
        let entry = entry.parse(DebugFrame::cie_from_offset).unwrap();
        if table.function(table.bytes(image).unwrap(), entry.initial_address()).is_none() {
            foreign += 1;
            continue;
        }
        let mut rows = entry.rows(&frames, &bases, &mut context).unwrap();
        while let Some(row) = rows.next_row().unwrap() {
            let CfaRule::RegisterAndOffset { offset, .. } = *row.cfa() else { panic!("{what}: {row:?}") };
            // One byte less than the function has, for the last row (`writeframes` of Go's `cmd/link`).
            let last = row.end_address().max(row.start_address() + 1) - 1;
            if row.start_address() >= entry.end_address() {
                continue;
            }
            for svma in [row.start_address(), row.start_address().midpoint(last), last] {
                let frame = table.frame(image, svma).unwrap_or_else(|| panic!("{what}: nothing for {svma:#x}"));
                assert_eq!(frame.start, entry.initial_address(), "{what} {svma:#x}");
                assert_eq!(i64::from(frame.depth) + pushed, offset, "{what} {svma:#x} {frame:?} {row:?}");
            }
            equal += 1;
        }
    }
    let name = |wanted: &str| {
        let functions = (0..table.functions).filter_map(|row| table.row(table.bytes(image)?, row));
        let mut starts = functions.map(|function| function.start);
        let start = starts.find(|start| table.function_name(image, *start) == Some(wanted));
        table.frame(image, start.unwrap_or_else(|| panic!("{what}: no {wanted}"))).unwrap()
    };
    assert!(name("runtime.goexit").outermost && !name("main.main").outermost, "{what}");
    assert!(name("runtime.mcall").writes_stack_pointer && !name("main.main").writes_stack_pointer, "{what}");
    println!("{what}: {equal} rows equal, {foreign} functions not of Go");
    equal
}

#[test]
fn real_tables_agree_with_debug_frame() {
    let directory = tempfile::tempdir().unwrap();
    let plain = ("CGO_ENABLED", "0");
    let cgo = ("CGO_ENABLED", "1");
    let flags = "-ldflags=-compressdwarf=false";
    let external = "-ldflags=-compressdwarf=false -linkmode=external";
    for (name, arguments, variables) in [
        (".", &[flags][..], &[plain][..]),
        (".", &[flags, "-buildmode=pie"], &[plain]),
        (".", &[flags], &[plain, ("GOARCH", "arm64")]),
        (".", &[flags], &[plain, ("GOARCH", "386")]),
        ("./cgo", &[external], &[cgo]),
        ("./cgo", &[external, "-buildmode=pie"], &[cgo]),
    ] {
        let Some(image) = build(directory.path(), name, arguments, variables) else { continue };
        let what = format!("{name} {arguments:?} {variables:?}");
        assert!(agree(&image, &what) > 5000, "{what}");
        let expected = GoTable::of(&image).unwrap();
        let same = |bytes: &[u8]| {
            let image = ElfImage::from_bytes(bytes).unwrap();
            GoTable::of(&image).map(|found| (found.text, found.functions, found.functab))
                == Some((expected.text, expected.functions, expected.functab))
        };
        let without_sections = |mut bytes: Vec<u8>| {
            let field = if image.is_64() { 40..48 } else { 32..36 };
            bytes[field].fill(0);
            bytes
        };
        assert!(same(&without_sections(image.data().to_vec())), "{what}");
        // Not all linkers write a value where the dynamic linker will write it again.
        let mut unrelocated = image.data().to_vec();
        for (place, _) in Relocations::of(&image).each() {
            let place = image.offset_of_svma(place).unwrap() as usize;
            unrelocated[place..place + 8].fill(0);
        }
        assert!(same(&unrelocated), "{what}");
        if unrelocated != image.data() {
            assert!(!same(&without_sections(unrelocated)), "{what}: nobody can know");
        }
    }
}
