//! Names of the kernel, its modules and BPF programs: blazesym's for the running kernel, by the list that it gives
//! (`/proc/kallsyms`); for that of a recording a saved list, or the kernel's ELF file.
//!
//! The list has no sizes, so a symbol would reach up to the next one however far that is; we believe it for as long as a
//! function can be. Which module an address is in is told by `/proc/modules`. (A reader of our own for the list was as fast,
//! 65 ms against 56 ms for 11,000 addresses, of which the kernel's own part is 40 ms.)

use std::fs::File;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use blazesym::MaybeDefault;
use blazesym::symbolize::source::{Kernel, Source};
use blazesym::symbolize::{Input, Reason, Symbolized, Symbolizer};

use super::answers::{AnswerLine, Answers};
use super::demangle::{bpf_name, in_module};
use super::elf_file::{self, Files};
use super::kallsyms::{self, MOST_DISTANCE, Place};
use super::{SymbolizeOptions, elf_symbols};
use crate::image::{DebugFiles, ElfImage};
use crate::model::{BuildId, Unnamed};

/// Where the names of the kernel come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelNames {
    /// From the kernel that runs, at the addresses where it is.
    Running,
    /// From the kernel that runs, which is the same build as the recorded one, at other addresses: those of the recording
    /// are this much higher, wrapping around. Modules were placed anew and are not named.
    Shifted(u64),
    /// From a saved copy of `/proc/kallsyms`.
    Kallsyms {
        /// The file.
        path: PathBuf,
        /// The recorded address of `_text` (or `_stext`), if it is known: the list may be of another start of the
        /// same kernel, and its modules are then not named.
        text: Option<u64>,
    },
    /// From the kernel's ELF file, with inlined functions and lines if it has debug information; modules are not in it.
    Vmlinux {
        /// The file.
        path: PathBuf,
        /// The recorded address of `_text` (or `_stext`), from which follows how far the kernel was moved when it
        /// started (KASLR). Without it the addresses are taken to be those of the file.
        text: Option<u64>,
        /// The recorded build id; a file with another one is not used.
        build_id: Option<BuildId>,
    },
    /// From nowhere, for this reason.
    Unknown(Unnamed),
}

impl KernelNames {
    /// What the running kernel can tell of a recording: all if it is the kernel that was recorded, started at the same
    /// time or at least at the same place; its own part if it is the same build at another place; else nothing.
    ///
    /// A recording tells the kernel's build id (of `/sys/kernel/notes`), its release (`uname -r`), and the address of its
    /// first symbol (perf's mapping `[kernel.kallsyms]_text`). Releases do not tell builds apart, so without a build id
    /// the address must be the same; without an address nothing is proven, as kernels are placed anew at each start.
    pub fn of_running(build_id: Option<BuildId>, release: Option<&str>, text: Option<u64>) -> KernelNames {
        let own_build_id = std::fs::read("/sys/kernel/notes").ok().and_then(|notes| build_id_of(&notes));
        let own_release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let mut own = RunningKernel { build_id: own_build_id, release: own_release.trim(), text: None };
        // The kernel makes that list anew for every reader; most recordings are of other kernels.
        if own.is_alike(build_id, release) {
            own.text = File::open("/proc/kallsyms").ok().and_then(kallsyms::text_address);
        }
        own.names_for(build_id, release, text)
    }
}

/// What tells one kernel, and one start of it, from another.
#[derive(Clone, Copy, Debug)]
struct RunningKernel<'a> {
    build_id: Option<BuildId>,
    release: &'a str,
    text: Option<u64>,
}

impl RunningKernel<'_> {
    fn is_alike(&self, build_id: Option<BuildId>, release: Option<&str>) -> bool {
        match build_id {
            Some(_) => build_id == self.build_id,
            None => release.is_some_and(|release| release == self.release),
        }
    }

    fn names_for(&self, build_id: Option<BuildId>, release: Option<&str>, text: Option<u64>) -> KernelNames {
        let proven = build_id.is_some() && build_id == self.build_id;
        match (self.is_alike(build_id, release), text, self.text) {
            (false, ..) | (true, None, Some(_)) => KernelNames::Unknown(Unnamed::OtherKernel),
            (true, _, None) => KernelNames::Unknown(Unnamed::KernelHidden),
            (true, Some(recorded), Some(own)) if recorded == own => KernelNames::Running,
            (true, Some(recorded), Some(own)) if proven => KernelNames::Shifted(recorded.wrapping_sub(own)),
            (true, Some(_), Some(_)) => KernelNames::Unknown(Unnamed::OtherKernel),
        }
    }
}

/// The build id among ELF notes in this machine's byte order; see elf(5), "Notes".
fn build_id_of(mut notes: &[u8]) -> Option<BuildId> {
    const NT_GNU_BUILD_ID: u32 = 3;
    loop {
        let (header, rest) = notes.split_first_chunk::<12>()?;
        let word = |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (name_length, length) = (word(0) as usize, word(4) as usize);
        let start = name_length.checked_next_multiple_of(4)?;
        let note = rest.get(start..start.checked_add(length)?)?;
        if word(8) == NT_GNU_BUILD_ID && rest.get(..name_length)? == b"GNU\0" {
            return BuildId::new(note);
        }
        notes = rest.get(start + length.checked_next_multiple_of(4)?..)?;
    }
}

/// Names addresses of the kernel, which are sorted.
pub(super) fn name(names: &KernelNames, addresses: &[u64], options: &SymbolizeOptions) -> Answers {
    let by_list = |path: &Path, place| match File::open(path) {
        Ok(list) => kallsyms::name(list, place, addresses, options),
        Err(_) => Answers::unnamed(addresses.len(), Unnamed::NoFile),
    };
    match names {
        KernelNames::Running => name_running(addresses, options),
        KernelNames::Shifted(shift) => by_list(Path::new("/proc/kallsyms"), Place::Shifted(*shift)),
        KernelNames::Kallsyms { path, text } => {
            let own = text.and_then(|text| Some((text, kallsyms::text_address(File::open(path).ok()?)?)));
            let shift = own.map_or(0, |(recorded, own)| recorded.wrapping_sub(own));
            by_list(path, if shift == 0 { Place::Same } else { Place::Shifted(shift) })
        }
        KernelNames::Vmlinux { path, text, build_id } => match open_vmlinux(path, *build_id) {
            Ok(image) => name_by_vmlinux(&image, *text, addresses, options),
            Err(reason) => Answers::unnamed(addresses.len(), reason),
        },
        KernelNames::Unknown(reason) => Answers::unnamed(addresses.len(), *reason),
    }
}

fn open_vmlinux(path: &Path, build_id: Option<BuildId>) -> Result<ElfImage, Unnamed> {
    let image = ElfImage::open(path).map_err(|_| Unnamed::NoFile)?;
    match build_id.is_none_or(|build_id| image.build_id() == Some(build_id)) {
        true => Ok(image),
        false => Err(Unnamed::FileChanged),
    }
}

fn name_by_vmlinux(image: &ElfImage, text: Option<u64>, addresses: &[u64], options: &SymbolizeOptions) -> Answers {
    let mut answers = Answers::unnamed(addresses.len(), Unnamed::NoMatch);
    let own = || ["_text", "_stext"].iter().find_map(|name| elf_symbols::value_of(image.data(), name.as_bytes()));
    let slide = match text {
        None => 0,
        Some(text) => match own() {
            Some(own) => text.wrapping_sub(own),
            // How far it was moved cannot be known.
            None => return Answers::unnamed(addresses.len(), Unnamed::NoSymbols),
        },
    };
    let mut asked: Vec<(u64, usize)> =
        addresses.iter().enumerate().map(|(index, address)| (address.wrapping_sub(slide), index)).collect();
    asked.sort_unstable();
    let debug = DebugFiles::default();
    let files = Files { image, debug: &debug };
    elf_file::name_svmas(&files, &asked, options, 1, &mut answers);
    // What stands for a name is in no file that the profile knows of.
    answers.forget_places();
    answers
}

/// Names addresses of the kernel that runs, which are sorted.
fn name_running(addresses: &[u64], options: &SymbolizeOptions) -> Answers {
    let mut answers = Answers::unnamed(addresses.len(), Unnamed::KernelHidden);
    let symbolizer_of_names = symbolizer(false);
    let Ok(symbols) = symbolizer_of_names.symbolize(&running_kernel(), Input::AbsAddr(addresses)) else {
        return answers;
    };
    // Lines of BPF programs are the kernel's to give, to whoever may see all of them (CAP_SYS_ADMIN).
    let is_bpf = |symbol: &Symbolized<'_>| symbol.as_sym().is_some_and(|it| bpf_name(it.name.as_bytes()).is_some());
    let mut bpf: Vec<(u64, String, u32)> = Vec::new();
    if options.lines {
        let found = symbols.iter().zip(addresses).filter(|(symbol, _)| is_bpf(symbol));
        let asked: Vec<u64> = found.map(|(_, address)| *address).collect();
        // It asserts what it reads of the kernel; lines are not worth the kernel's names.
        let lines = catch_unwind(|| lines_of_bpf(&asked)).unwrap_or_default();
        bpf.extend(lines);
    }
    let modules = std::fs::read_to_string("/proc/modules").map(|list| Modules::parse(&list)).unwrap_or_default();
    for (index, (symbol, address)) in symbols.iter().zip(addresses).enumerate() {
        match symbol {
            Symbolized::Sym(symbol) if address.saturating_sub(symbol.addr) < MOST_DISTANCE => {
                let shown = modules.find(*address).map(|module| in_module(symbol.name.as_bytes(), module, options));
                let line = bpf.binary_search_by_key(address, |(address, ..)| *address).ok().map(|row| &bpf[row]);
                let (file, line) = line.map_or((0, 0), |(_, file, line)| (answers.file(file), *line));
                let name = answers.name(symbol.name.as_bytes(), shown.as_deref());
                answers.set_lines(index, &[AnswerLine { name, file, line }]);
            }
            // The kernel gives zeros, which blazesym passes over, to those who may not see addresses
            // (`kernel.kptr_restrict`, or no CAP_SYSLOG).
            Symbolized::Unknown(Reason::MissingSyms) => {}
            _ => answers.set_reason(index, Unnamed::NoMatch),
        }
    }
    answers
}

/// The list of the running kernel, without its `vmlinux`, which is some hundred megabytes.
fn running_kernel() -> Source<'static> {
    Source::Kernel(Kernel {
        kallsyms: MaybeDefault::Default,
        vmlinux: MaybeDefault::None,
        kaslr_offset: Some(0),
        debug_syms: false,
        ..Kernel::default()
    })
}

/// With `lines`, what the kernel knows of the sources of BPF programs is asked too.
fn symbolizer(lines: bool) -> Symbolizer {
    Symbolizer::builder().enable_code_info(lines).enable_inlined_fns(false).enable_demangling(false).build()
}

/// Address, file and line of those addresses of BPF programs, sorted, that were compiled with BTF.
fn lines_of_bpf(addresses: &[u64]) -> Vec<(u64, String, u32)> {
    if addresses.is_empty() {
        return Vec::new();
    }
    let symbolizer = symbolizer(true);
    let symbols = symbolizer.symbolize(&running_kernel(), Input::AbsAddr(addresses)).unwrap_or_default();
    let line = |(symbol, address): (&Symbolized<'_>, &u64)| {
        let code = symbol.as_sym()?.code_info.as_ref()?;
        Some((*address, code.to_path().to_string_lossy().into_owned(), code.line?))
    };
    symbols.iter().zip(addresses).filter_map(line).collect()
}

/// Where modules are: start, end, name; sorted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Modules(Vec<(u64, u64, String)>);

impl Modules {
    /// Each line is `NAME SIZE USERS USED_BY STATE 0xADDRESS`; see proc_modules(5).
    fn parse(list: &str) -> Modules {
        let mut modules: Vec<_> = list.lines().filter_map(parse_module).collect();
        modules.sort_unstable();
        Modules(modules)
    }

    fn find(&self, address: u64) -> Option<&str> {
        let at = self.0.partition_point(|(start, ..)| *start <= address).checked_sub(1)?;
        let (_, end, name) = &self.0[at];
        (address < *end).then_some(name)
    }
}

fn parse_module(line: &str) -> Option<(u64, u64, String)> {
    let mut words = line.split_ascii_whitespace();
    let name = words.next()?;
    let size: u64 = words.next()?.parse().ok()?;
    let start = u64::from_str_radix(words.nth(3)?.strip_prefix("0x")?, 16).ok().filter(|start| *start != 0)?;
    Some((start, start.checked_add(size)?, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn running_kernel_speaks_for_itself_only() {
        let id = |byte| BuildId::new(&[byte; 20]);
        let own = RunningKernel { build_id: id(1), release: "6.1.0", text: Some(0x8100_0000) };
        let hidden = RunningKernel { text: None, ..own };
        let other = KernelNames::Unknown(Unnamed::OtherKernel);
        for (build_id, release, text, expected) in [
            (id(1), None, Some(0x8100_0000), KernelNames::Running),
            (id(1), Some("x"), Some(0x8320_0000), KernelNames::Shifted(0x220_0000)),
            (id(1), Some("6.1.0"), None, other.clone()),
            (id(2), Some("6.1.0"), Some(0x8100_0000), other.clone()),
            (None, Some("6.1.0"), Some(0x8100_0000), KernelNames::Running),
            (None, Some("6.1.0"), Some(0x8320_0000), other.clone()),
            (None, None, Some(0x8100_0000), other.clone()),
        ] {
            assert_eq!(own.names_for(build_id, release, text), expected, "{build_id:?} {release:?} {text:?}");
        }
        let is_hidden = KernelNames::Unknown(Unnamed::KernelHidden);
        assert_eq!(hidden.names_for(id(1), None, Some(0x8100_0000)), is_hidden);
        assert_eq!(hidden.names_for(id(2), None, None), other);
    }

    #[test]
    fn recording_of_this_boot_is_named_by_the_running_kernel() {
        let Some(text) = File::open("/proc/kallsyms").ok().and_then(kallsyms::text_address) else {
            return crate::skip::here("/proc/kallsyms shows no addresses");
        };
        let build_id = std::fs::read("/sys/kernel/notes").ok().and_then(|notes| build_id_of(&notes));
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        assert_eq!(KernelNames::of_running(None, Some(release.trim()), Some(text)), KernelNames::Running);
        if build_id.is_some() {
            assert_eq!(KernelNames::of_running(build_id, None, Some(text)), KernelNames::Running);
            assert_eq!(KernelNames::of_running(build_id, None, Some(text + 4096)), KernelNames::Shifted(4096));
        }
    }

    #[test]
    fn build_id_is_found_among_notes() {
        let note = |kind: u32, name: &[u8], body: &[u8]| {
            let mut bytes = Vec::new();
            for word in [name.len() as u32, body.len() as u32, kind] {
                bytes.extend(word.to_ne_bytes());
            }
            for part in [name, body] {
                bytes.extend(part);
                bytes.resize(bytes.len().next_multiple_of(4), 0);
            }
            bytes
        };
        let notes = [note(6, b"Xen\0", &[1; 5]), note(3, b"GNU\0", &[7; 20])].concat();
        assert_eq!(build_id_of(&notes), BuildId::new(&[7; 20]));
        for length in 0..notes.len() {
            assert_eq!(build_id_of(&notes[..length]), None);
        }
        assert_eq!(build_id_of(&[0xff; 64]), None);
        if let Ok(notes) = std::fs::read("/sys/kernel/notes") {
            assert!(build_id_of(&notes).is_some(), "all kernels since 2.6.23 have one");
        }
    }

    #[test]
    fn kernel_file_is_moved_to_where_the_kernel_was() {
        // Any program will do that begins with `_text`, and has a symbol that is known.
        let directory = tempfile::tempdir().unwrap();
        let (source, path) = (directory.path().join("k.c"), directory.path().join("vmlinux"));
        let text = "void _text(void) {} int vfs_read(int x) { return x * 7; } void _start(void) { vfs_read(1); }";
        std::fs::write(&source, text).unwrap();
        let arguments = ["-g", "-O0", "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=0x0102030405060708", "-o"];
        let compiled = std::process::Command::new("cc").args(arguments).arg(&path).arg(&source).status();
        if !compiled.is_ok_and(|status| status.success()) {
            return crate::skip::here("cc does not work here");
        }
        let image = ElfImage::open(&path).unwrap();
        let value = |name: &str| elf_symbols::value_of(image.data(), name.as_bytes()).unwrap();
        let (begin, read) = (value("_text"), value("vfs_read"));
        let slide = 0x7f00_0000u64;
        let names = |names: &KernelNames| {
            let answers = name(names, &[read + slide + 4, u64::MAX], &SymbolizeOptions::default());
            let rows: Vec<_> = answers.names().map(|name| String::from_utf8_lossy(&name.raw).into_owned()).collect();
            let of = |answer: Result<&[super::super::answers::AnswerLine], super::super::answers::Nameless>| {
                answer.map(|lines| (rows[lines[0].name as usize].clone(), lines[0].line)).map_err(|why| why.reason)
            };
            answers.answers().map(of).collect::<Vec<_>>()
        };
        let build_id = BuildId::new(&[1, 2, 3, 4, 5, 6, 7, 8]);
        let vmlinux = |text, build_id| KernelNames::Vmlinux { path: path.clone(), text, build_id };
        let found = [Ok(("vfs_read".to_owned(), 1)), Err(Unnamed::NoMatch)];
        assert_eq!(names(&vmlinux(Some(begin + slide), build_id)), found);
        assert_eq!(names(&vmlinux(Some(begin + slide), None)), found);
        assert_eq!(names(&vmlinux(None, build_id)), [Err(Unnamed::NoMatch), Err(Unnamed::NoMatch)]);
        let other = vmlinux(Some(begin + slide), BuildId::new(&[9]));
        assert_eq!(names(&other), [Err(Unnamed::FileChanged), Err(Unnamed::FileChanged)]);
        let list = directory.path().join("kallsyms");
        std::fs::write(&list, format!("{begin:x} T _text\n{read:x} T vfs_read\n")).unwrap();
        let kallsyms = |text| KernelNames::Kallsyms { path: list.clone(), text };
        let by_list = [Ok(("vfs_read".to_owned(), 0)), Err(Unnamed::OtherKernel)];
        assert_eq!(names(&kallsyms(Some(begin + slide))), by_list);
        assert_eq!(names(&kallsyms(None)), [Err(Unnamed::NoMatch), Err(Unnamed::NoMatch)]);
        let gone = KernelNames::Kallsyms { path: directory.path().join("gone"), text: None };
        assert_eq!(names(&gone)[0], Err(Unnamed::NoFile));
    }

    #[test]
    fn module_is_found_by_address() {
        let modules = Modules::parse(
            "nf_tables 356352 1 - Live 0xffffffffc0100000\next4 4096 2 jbd2,mbcache, Live 0xffffffffc0000000 (E)\n\
             hidden 4096 0 - Live 0x0000000000000000\nshort 1\n",
        );
        for (address, expected) in [
            (0xffff_ffff_bfff_ffff, None),
            (0xffff_ffff_c000_0000, Some("ext4")),
            (0xffff_ffff_c000_1000, None),
            (0xffff_ffff_c010_0001, Some("nf_tables")),
        ] {
            assert_eq!(modules.find(address), expected, "{address:#x}");
        }
    }

    #[test]
    fn names_are_those_of_the_list() {
        let list = std::fs::read_to_string("/proc/kallsyms").unwrap_or_default();
        let mut starts: Vec<(u64, &str)> = Vec::new();
        for line in list.lines() {
            let mut words = line.split_ascii_whitespace();
            let (Some(start), Some("t" | "T"), Some(name)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            starts.push((u64::from_str_radix(start, 16).unwrap(), name));
        }
        starts.retain(|(start, _)| *start != 0);
        starts.sort_unstable();
        if starts.is_empty() {
            return crate::skip::here("/proc/kallsyms shows no addresses");
        }
        let mut asked: Vec<u64> = starts.iter().step_by(11).map(|(start, _)| *start).collect();
        asked.dedup();
        let options = SymbolizeOptions::default();
        let running = |addresses: &[u64]| name_running(addresses, &options);
        let by_list =
            |addresses: &[u64]| kallsyms::name(File::open("/proc/kallsyms").unwrap(), Place::Same, addresses, &options);
        for (what, answerer) in [("running", &running as &dyn Fn(&[u64]) -> Answers), ("list", &by_list)] {
            let started = Instant::now();
            let answers = answerer(&asked);
            println!("{what}: {} addresses in {:?}", asked.len(), started.elapsed());
            let names: Vec<_> = answers.names().map(|name| String::from_utf8_lossy(&name.raw)).collect();
            for (start, lines) in asked.iter().zip(answers.answers()) {
                let name = &*names[lines.unwrap()[0].name as usize];
                // Aliases begin at the same address; each is right.
                let aliases = &starts[starts.partition_point(|(known, _)| known < start)..];
                assert!(
                    aliases.iter().take_while(|(known, _)| known == start).any(|(_, known)| *known == name),
                    "{what}: {start:#x}"
                );
            }
        }
        // Nobody's code.
        let nobody = running(&[0x1000, u64::MAX]);
        assert!(nobody.answers().all(|answer| answer.is_err_and(|nameless| nameless.reason == Unnamed::NoMatch)));
    }
}
