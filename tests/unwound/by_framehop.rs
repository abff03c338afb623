//! The crate framehop on the stacks of a recording, by maps of its own.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::rc::Rc;

use flameprofile::model::ImageId;
use flameprofile::perf::Record;
use flameprofile::process::{AddressSpace, Mapping};
use framehop::x86_64::{CacheX86_64, UnwindRegsX86_64, UnwinderX86_64};
use framehop::{ExplicitModuleSectionInfo, FrameAddress, MayAllocateDuringUnwind, Module, Unwinder};
use object::{Object, ObjectSection, ObjectSegment};

use crate::harness::{Stack, Theirs};

/// The same bytes as framehop's modules and our maps of them need them.
type Bytes = Rc<[u8]>;

/// What is mapped in one state of a process: unwinder, and its memory of rows.
type Space = (UnwinderX86_64<Bytes, MayAllocateDuringUnwind>, CacheX86_64<MayAllocateDuringUnwind>);

/// A file that somebody maps.
struct File {
    path: String,
    /// Code: offset, size, address.
    segments: Vec<(u64, u64, u64)>,
    sections: ExplicitModuleSectionInfo<Bytes>,
}

/// Files by number, which stands for an image's.
#[derive(Default)]
struct Files {
    all: Vec<Option<File>>,
    names: Vec<String>,
    by_path: HashMap<String, u32>,
}

impl Files {
    fn number(&mut self, path: &str) -> u32 {
        if let Some(number) = self.by_path.get(path) {
            return *number;
        }
        let number = self.all.len() as u32;
        self.all.push(if path == "[vdso]" { parse(path, &own_vdso()) } else { read(path) });
        self.names.push(path.to_owned());
        self.by_path.insert(path.to_owned(), number);
        number
    }

    fn space(&self, mappings: &AddressSpace) -> Space {
        let mut unwinder = UnwinderX86_64::new();
        for mapping in mappings.mappings() {
            let Some(file) = &self.all[mapping.image.0 as usize] else { continue };
            let length = mapping.end - mapping.start;
            let Some((offset, _, svma)) = file
                .segments
                .iter()
                .copied()
                .find(|(offset, size, _)| *offset < mapping.offset + length && mapping.offset < offset + size)
            else {
                continue;
            };
            let base = mapping.start.wrapping_add(offset).wrapping_sub(mapping.offset).wrapping_sub(svma);
            let sections = clone(&file.sections);
            unwinder.add_module(Module::new(file.path.clone(), mapping.start..mapping.end, base, sections));
        }
        (unwinder, CacheX86_64::new())
    }
}

/// `ExplicitModuleSectionInfo` is not `Clone` where its bytes are.
fn clone(of: &ExplicitModuleSectionInfo<Bytes>) -> ExplicitModuleSectionInfo<Bytes> {
    ExplicitModuleSectionInfo {
        text_svma: of.text_svma.clone(),
        got_svma: of.got_svma.clone(),
        eh_frame_svma: of.eh_frame_svma.clone(),
        eh_frame: of.eh_frame.clone(),
        eh_frame_hdr_svma: of.eh_frame_hdr_svma.clone(),
        eh_frame_hdr: of.eh_frame_hdr.clone(),
        debug_frame: of.debug_frame.clone(),
        ..ExplicitModuleSectionInfo::default()
    }
}

fn read(path: &str) -> Option<File> {
    // Anything may be mapped; only regular files are read.
    fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    parse(path, &fs::read(path).ok()?)
}

fn parse(path: &str, bytes: &[u8]) -> Option<File> {
    let file = object::File::parse(bytes).ok()?;
    let is_code = |segment: &object::Segment<'_, '_>| match segment.flags() {
        object::SegmentFlags::Elf { p_flags, .. } => p_flags.contains(object::elf::PF_X),
        _ => false,
    };
    let segments = file.segments().filter(is_code).map(|segment| {
        let (offset, size) = segment.file_range();
        (offset, size, segment.address())
    });
    let segments = segments.collect();
    let range = |name: &str| {
        let section = file.section_by_name(name)?;
        Some(section.address()..section.address() + section.size())
    };
    let data = |name: &str| Some(Rc::from(&*file.section_by_name(name)?.uncompressed_data().ok()?));
    let sections = ExplicitModuleSectionInfo {
        text_svma: range(".text"),
        got_svma: range(".got"),
        eh_frame_svma: range(".eh_frame"),
        eh_frame: data(".eh_frame"),
        eh_frame_hdr_svma: range(".eh_frame_hdr"),
        eh_frame_hdr: data(".eh_frame_hdr"),
        debug_frame: data(".debug_frame"),
        ..ExplicitModuleSectionInfo::default()
    };
    Some(File { path: path.to_owned(), segments, sections })
}

/// The vdso that all processes of this kernel have.
fn own_vdso() -> Vec<u8> {
    use std::os::unix::fs::FileExt;
    let maps = fs::read_to_string("/proc/self/maps").expect("/proc is there");
    let Some(line) = maps.lines().find(|line| line.ends_with("[vdso]")) else { return Vec::new() };
    let (start, end) = line.split(' ').next().and_then(|range| range.split_once('-')).expect("a range");
    let number = |text| u64::from_str_radix(text, 16).expect("a number");
    let mut bytes = vec![0; (number(end) - number(start)) as usize];
    fs::File::open("/proc/self/mem").and_then(|file| file.read_exact_at(&mut bytes, number(start))).expect("our own");
    bytes
}

/// Unwinds all samples of a recording.
pub fn unwind(recording: &Path) -> Vec<Theirs> {
    let mut files = Files::default();
    let mut processes: HashMap<u32, AddressSpace> = HashMap::new();
    let mut spaces: HashMap<u64, Space> = HashMap::new();
    let mut stacks = Vec::new();
    let each = |record: &Record<'_>| match record {
        Record::Mmap(mmap) if mmap.pid != u32::MAX => {
            let space = processes.entry(mmap.pid).or_default();
            let (start, end) = (mmap.start, mmap.start + mmap.length);
            if !mmap.executable {
                return space.remove(start, end);
            }
            let path = String::from_utf8_lossy(mmap.path);
            let offset = if path == "[vdso]" { 0 } else { mmap.offset };
            space.insert(Mapping { start, end, offset, image: ImageId(files.number(&path)) });
        }
        Record::Comm(comm) if comm.exec => drop(processes.remove(&comm.pid)),
        Record::Fork(task) if task.pid != task.parent_pid => {
            let of_parent = processes.get(&task.parent_pid).cloned().unwrap_or_default();
            processes.insert(task.pid, of_parent);
        }
        Record::Sample(sample) if !sample.user_stack.is_empty() => {
            let Some(registers) = sample.user_registers else { return };
            let [sp, fp, ip] = [7, 6, 8].map(|number| registers.get(number).expect("all were asked for"));
            let mappings = processes.entry(sample.identity.pid).or_default();
            let (unwinder, cache) = spaces.entry(mappings.stamp()).or_insert_with(|| files.space(mappings));
            let mut word = |address: u64| {
                let at = usize::try_from(address.wrapping_sub(sp)).map_err(drop)?;
                let bytes = sample.user_stack.get(at..at.checked_add(8).ok_or(())?).ok_or(())?;
                Ok(u64::from_le_bytes(bytes.try_into().expect("eight bytes")))
            };
            let mut frames = Stack::new();
            let mut iterator = unwinder.iter_frames(ip, UnwindRegsX86_64::new(ip, sp, fp), cache, &mut word);
            let end = loop {
                let lookup = match iterator.next() {
                    Ok(Some(FrameAddress::InstructionPointer(ip))) => ip,
                    Ok(Some(FrameAddress::ReturnAddress(address))) => address.get() - 1,
                    Ok(None) => break "end".to_owned(),
                    Err(error) => break error.to_string(),
                };
                frames.push(match mappings.find(lookup) {
                    Some(mapping) => (files.names[mapping.image.0 as usize].clone(), mapping.offset_of(lookup)),
                    None => ("-".to_owned(), lookup),
                });
            };
            stacks.push(Theirs { tid: sample.identity.tid, time: sample.identity.time, frames, end });
        }
        _ => {}
    };
    flameprofile::import::records(recording, each).unwrap_or_else(|error| panic!("{}: {error}", recording.display()));
    stacks
}
