//! What an ELF file says about itself: segments, sections, build id. Nothing else of the file is read.

use std::fs::File;
use std::os::unix::fs::FileExt;

use object::Endianness;
use object::elf;
use object::pod;
use object::read::elf::{FileHeader, NoteIterator, ProgramHeader, SectionHeader};

use crate::model::BuildId;

/// A part of the file that is loaded (`PT_LOAD`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where in the file it begins.
    pub offset: u64,
    /// How many bytes of the file it takes.
    pub file_size: u64,
    /// Its address as the file states it.
    pub svma: u64,
    /// How many bytes of memory it takes.
    pub memory_size: u64,
    /// Whether it is code (`PF_X`).
    pub executable: bool,
}

/// A section's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its address as the file states it; 0 if it is not loaded.
    pub svma: u64,
    /// Where in the file its bytes are.
    pub file_offset: u64,
    /// How many bytes; none of them in the file if it is `SHT_NOBITS`, then `file_offset + size` may be past its end.
    pub size: u64,
    /// Whether its bytes are compressed (`SHF_COMPRESSED`, or the older `.zdebug_`).
    pub compressed: bool,
}

/// What the headers of one file say.
#[derive(Clone, Debug, Default)]
pub(super) struct ElfHeaders {
    pub is_64: bool,
    pub machine: u16,
    pub entry: u64,
    pub build_id: Option<BuildId>,
    /// All of it, if it is longer than the kernel, and we, take it: files by build id have the whole one as name.
    pub long_build_id: Option<Box<[u8]>>,
    pub segments: Vec<Segment>,
    /// Sections with bytes in the file, by name, first first.
    pub sections: Vec<(Box<[u8]>, Section)>,
    /// `PT_GNU_EH_FRAME`: svma, offset, size.
    pub eh_frame_hdr: Option<(u64, u64, u64)>,
    /// Whether its code was taken out: a file of symbols and debug information alone (`objcopy --only-keep-debug`,
    /// `eu-strip -f`), whose sections of code have no bytes (`SHT_NOBITS`).
    pub debug_only: bool,
    /// Whether it ends before the table of its sections does, or that makes no sense.
    pub is_cut: bool,
}

/// Where headers are read from.
pub(super) enum HeaderSource<'a> {
    /// By `pread`, which makes nothing of the file resident in our memory.
    File(&'a File),
    Bytes(&'a [u8]),
}

/// Bytes that begin at an address that every header may stand at.
struct Aligned {
    words: Vec<u64>,
    length: usize,
}

impl Aligned {
    fn bytes(&self) -> &[u8] {
        &pod::bytes_of_slice(&self.words)[..self.length]
    }
}

/// Most bytes read of one table: 65,536 section headers. A table that says it is larger is passed over.
const MOST_TABLE: u64 = 4 << 20;
/// Most bytes read of one segment or section of notes.
const MOST_NOTES: u64 = 64 << 10;

impl HeaderSource<'_> {
    fn read(&self, offset: u64, length: u64, most: u64) -> Option<Aligned> {
        if length > most {
            return None;
        }
        let length = usize::try_from(length).ok()?;
        let mut words = vec![0u64; length.div_ceil(8)];
        let buffer = &mut pod::bytes_of_slice_mut(&mut words)[..length];
        match self {
            HeaderSource::File(file) => file.read_exact_at(buffer, offset).ok()?,
            HeaderSource::Bytes(bytes) => {
                let start = usize::try_from(offset).ok()?;
                buffer.copy_from_slice(bytes.get(start..start.checked_add(length)?)?);
            }
        }
        Some(Aligned { words, length })
    }
}

impl ElfHeaders {
    /// Reads the headers; `None` if it is no ELF file, or one whose header makes no sense.
    ///
    /// Tables that are not where they should be are passed over, so that a cut file still gives what it has.
    pub fn read(source: &HeaderSource<'_>) -> Option<ElfHeaders> {
        let ident = source.read(0, 16, 16)?;
        match ident.bytes() {
            [0x7f, b'E', b'L', b'F', 2, ..] => read_as::<elf::FileHeader64<Endianness>>(source),
            [0x7f, b'E', b'L', b'F', 1, ..] => read_as::<elf::FileHeader32<Endianness>>(source),
            _ => None,
        }
    }

    /// Whether the file has debug information of its own: the section with its entries, packed or not (GNU's `.zdebug_` is of before
    /// `SHF_COMPRESSED`).
    pub fn has_debug_info(&self) -> bool {
        self.has_section(b".debug_info") || self.has_section(b".zdebug_info")
    }

    /// Whether the file has symbols of its own, or debug information.
    pub fn has_symbols_or_debug_info(&self) -> bool {
        self.has_section(b".symtab") || self.has_debug_info()
    }

    fn set_build_id(&mut self, id: Option<Box<[u8]>>) {
        /// No hash in use is longer.
        const MOST: usize = 64;
        let Some(id) = id else { return };
        self.build_id = BuildId::new(&id);
        self.long_build_id = Some(id)
            .filter(|id| self.build_id.is_some_and(|short| id.len() > short.as_bytes().len()) && id.len() <= MOST);
    }

    /// Whether there is a section of this name with bytes in the file.
    pub fn has_section(&self, name: &[u8]) -> bool {
        self.sections.iter().any(|(known, section)| **known == *name && section.size > 0)
    }

    /// Puts the code of a file of debug information alone where the program's file has it: `length` bytes of that file
    /// are known to be mapped as code, from `offset` on.
    ///
    /// `objcopy` forgets where segments were in the program's file. A segment is mapped in whole pages around it, and
    /// its offset is its address within a page (System V ABI, "Program Loading"). Whose length does not fit so is left
    /// without a place.
    pub fn place_code(&mut self, offset: u64, length: u64) {
        /// Pages of x86, and the larger ones of arm64 and PowerPC.
        const PAGES: [u64; 3] = [4 << 10, 16 << 10, 64 << 10];
        // Of code all bytes are in a program's file; notes, which may be in the same segment, are in this one too.
        let forgotten = |segment: &&mut Segment| segment.executable && segment.file_size < segment.memory_size;
        for segment in self.segments.iter_mut().filter(forgotten) {
            let fits = |page: &u64| {
                let begin = segment.svma & !(page - 1);
                let end = segment.svma.checked_add(segment.memory_size)?.checked_next_multiple_of(*page)?;
                (end - begin == length && offset.is_multiple_of(*page)).then_some(*page)
            };
            let Some(page) = PAGES.iter().find_map(fits) else { continue };
            segment.offset = offset.saturating_add(segment.svma & (page - 1));
            segment.file_size = segment.memory_size;
            return;
        }
    }
}

fn read_as<Elf: FileHeader<Endian = Endianness>>(source: &HeaderSource<'_>) -> Option<ElfHeaders> {
    let bytes = source.read(0, size_of::<Elf>() as u64, MOST_TABLE)?;
    let (header, _) = pod::from_bytes::<Elf>(bytes.bytes()).ok()?;
    let endian = header.endian().ok()?;
    let mut headers = ElfHeaders {
        is_64: header.is_type_64(),
        machine: header.e_machine(endian).0,
        entry: header.e_entry(endian).into(),
        ..ElfHeaders::default()
    };
    let sections = section_headers(source, header, endian);
    headers.is_cut = sections.is_none() && header.e_shoff(endian).into() != 0;
    read_segments(source, header, endian, &mut headers);
    if let Some(bytes) = sections
        && let Ok(sections) = pod::slice_from_all_bytes::<Elf::SectionHeader>(bytes.bytes())
    {
        read_sections::<Elf>(source, header, endian, sections, &mut headers);
        let is_code = |section: &&Elf::SectionHeader| section.sh_flags(endian).contains(elf::SHF_EXECINSTR);
        let mut code = sections.iter().filter(is_code).peekable();
        headers.debug_only = code.peek().is_some() && code.all(|section| section.sh_type(endian) == elf::SHT_NOBITS);
    }
    if headers.debug_only {
        // What the header says of it is of the program's file; other bytes stand there in this one.
        headers.eh_frame_hdr = None;
    }
    Some(headers)
}

fn section_headers<Elf: FileHeader>(source: &HeaderSource<'_>, header: &Elf, endian: Elf::Endian) -> Option<Aligned> {
    let offset: u64 = header.e_shoff(endian).into();
    let size = size_of::<Elf::SectionHeader>() as u64;
    if offset == 0 || u64::from(header.e_shentsize(endian)) != size {
        return None;
    }
    let count = match u64::from(header.e_shnum(endian)) {
        // More than fit into the field: the number stands in the first section header (elf(5), `e_shnum`).
        0 => {
            let first = source.read(offset, size, MOST_TABLE)?;
            let (first, _) = pod::from_bytes::<Elf::SectionHeader>(first.bytes()).ok()?;
            first.sh_size(endian).into()
        }
        count => count,
    };
    source.read(offset, count.checked_mul(size)?, MOST_TABLE)
}

fn read_segments<Elf: FileHeader<Endian = Endianness>>(
    source: &HeaderSource<'_>,
    header: &Elf,
    endian: Endianness,
    into: &mut ElfHeaders,
) {
    let size = size_of::<Elf::ProgramHeader>() as u64;
    if u64::from(header.e_phentsize(endian)) != size {
        return;
    }
    let count = u64::from(header.e_phnum(endian));
    let Some(bytes) = source.read(header.e_phoff(endian).into(), count * size, MOST_TABLE) else { return };
    let Ok(segments) = pod::slice_from_all_bytes::<Elf::ProgramHeader>(bytes.bytes()) else { return };
    for segment in segments {
        let (offset, file_size) = segment.file_range(endian);
        let svma: u64 = segment.p_vaddr(endian).into();
        match segment.p_type(endian) {
            elf::PT_LOAD => into.segments.push(Segment {
                offset,
                file_size,
                svma,
                memory_size: segment.p_memsz(endian).into(),
                executable: segment.p_flags(endian).contains(elf::PF_X),
            }),
            elf::PT_GNU_EH_FRAME => into.eh_frame_hdr = Some((svma, offset, file_size)),
            elf::PT_NOTE if into.build_id.is_none() => {
                into.set_build_id(build_id::<Elf>(source, endian, offset, file_size, segment.p_align(endian)));
            }
            _ => {}
        }
    }
}

fn read_sections<Elf: FileHeader<Endian = Endianness>>(
    source: &HeaderSource<'_>,
    header: &Elf,
    endian: Endianness,
    sections: &[Elf::SectionHeader],
    into: &mut ElfHeaders,
) {
    let index = match header.e_shstrndx(endian) {
        elf::SHN_XINDEX => sections.first().map_or(0, |first| first.sh_link(endian)),
        index => u32::from(index.0),
    };
    let names = sections.get(index as usize).and_then(|section| {
        let (offset, size) = section.file_range(endian)?;
        source.read(offset, size, MOST_TABLE)
    });
    for section in sections {
        let Some((file_offset, size)) = section.file_range(endian) else { continue };
        if into.build_id.is_none() && section.sh_type(endian) == elf::SHT_NOTE {
            into.set_build_id(build_id::<Elf>(source, endian, file_offset, size, section.sh_addralign(endian)));
        }
        let name = names.as_ref().and_then(|names| {
            let name = names.bytes().get(section.sh_name(endian) as usize..)?;
            // Bounded, as all sections of a hostile file may share one long name.
            let name = &name[..name.len().min(256)];
            name.split(|byte| *byte == 0).next()
        });
        let Some(name) = name.filter(|name| !name.is_empty()) else { continue };
        let compressed = section.sh_flags(endian).contains(elf::SHF_COMPRESSED) || name.starts_with(b".zdebug_");
        into.sections
            .push((name.into(), Section { svma: section.sh_addr(endian).into(), file_offset, size, compressed }));
    }
}

fn build_id<Elf: FileHeader>(
    source: &HeaderSource<'_>,
    endian: Elf::Endian,
    offset: u64,
    size: u64,
    align: Elf::Word,
) -> Option<Box<[u8]>> {
    let bytes = source.read(offset, size.min(MOST_NOTES), MOST_NOTES)?;
    let mut notes = NoteIterator::<Elf>::new(endian, align, bytes.bytes()).ok()?;
    while let Ok(Some(note)) = notes.next() {
        if note.name() == elf::ELF_NOTE_GNU && note.n_type(endian) == elf::NT_GNU_BUILD_ID {
            return Some(note.desc().into());
        }
    }
    None
}
