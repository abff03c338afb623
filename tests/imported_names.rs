//! Files and names of a recording that was made elsewhere: what is found, by what proof, and what is refused.
//!
//! A program is compiled here, then taken apart and moved about as distributions, perf and people do.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use flameprofile::image::{ElfImage, FileSources, Images, Wanted};
use flameprofile::model::{BuildId, FrameId, ImageId, ImageKind, Place, Profile, ProfileBuilder, Resolution, Unnamed};
use flameprofile::symbolize::{KernelNames, Names, StoredSymbols, StoredTable, SymbolizeOptions, symbolize};

#[path = "common/skip.rs"]
mod skip;

const FAR_FUTURE: u64 = 1 << 40;

/// What an image of a recording came to.
#[derive(Debug, PartialEq)]
enum Came {
    /// Its own file was found; believed by its path only, or proven.
    File {
        unproven: usize,
    },
    /// Only its names were found.
    DebugFile,
    Missing(Unnamed),
}

fn intern(images: &mut Images, wanted: &Wanted<'_>) -> Came {
    let id = images.intern(wanted, |kind, _, _| {
        assert_eq!(kind, ImageKind::File);
        ImageId(9)
    });
    match (images.get(id), images.missing(id), images.debug_files(id).separate) {
        (Some(_), None, _) => Came::File { unproven: images.unproven() },
        (None, Some(_), Some(_)) => Came::DebugFile,
        (None, Some(reason), None) => Came::Missing(reason),
        state => panic!("{state:?}"),
    }
}

fn come(sources: &FileSources, wanted: &Wanted<'_>) -> Came {
    intern(&mut Images::recorded(sources.clone()), wanted)
}

/// A program, its parts, and its build id.
struct Program {
    directory: tempfile::TempDir,
    whole: PathBuf,
    stripped: PathBuf,
    debug: PathBuf,
    build_id: BuildId,
    /// The mapping of its code: offset and length.
    code: (u64, u64),
}

impl Program {
    fn new(arguments: &[&str]) -> Option<Program> {
        let directory = tempfile::tempdir().unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/symbolize/names.c");
        let [whole, stripped, debug] = ["whole", "stripped", "debug"].map(|name| directory.path().join(name));
        let run = |program: &str, arguments: &[&str], paths: &[&Path]| {
            let status = Command::new(program).args(arguments).args(paths).status();
            let done = status.is_ok_and(|status| status.success());
            if !done {
                skip::here(&format!("{program} {arguments:?} does not work here"));
            }
            done
        };
        let compile = [&["-O2", "-g", "-Wl,--build-id=sha1", source, "-o"], arguments].concat();
        let compile: Vec<&str> = compile.iter().filter(|word| **word != "-o").copied().chain(["-o"]).collect();
        if !run("cc", &compile, &[&whole])
            || !run("objcopy", &["--strip-all"], &[&whole, &stripped])
            || !run("objcopy", &["--only-keep-debug"], &[&whole, &debug])
        {
            return None;
        }
        let image = ElfImage::open(&whole).unwrap();
        let segment = image.segments().iter().find(|segment| segment.executable).unwrap();
        let begin = segment.offset & !4095;
        let code = (begin, (segment.offset + segment.file_size).next_multiple_of(4096) - begin);
        Some(Program {
            whole,
            stripped,
            debug,
            build_id: image.build_id().expect("it was linked with one"),
            code,
            directory,
        })
    }

    fn wanted<'a>(&self, path: &'a str, build_id: Option<BuildId>) -> Wanted<'a> {
        let (offset, length) = self.code;
        let start = 0x5555_5555_0000;
        // A process id that cannot be: nothing may be looked for in one.
        let pid = u32::MAX;
        let path = path.as_bytes();
        Wanted { path, build_id, device: None, inode: None, pid, start, end: start + length, offset, time: 0 }
    }

    fn place(&self, name: &str, from: &Path) -> PathBuf {
        let to = self.directory.path().join(name);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, &to).unwrap();
        to
    }

    fn split_id(&self) -> (String, String) {
        let id = self.build_id.to_string();
        (id[..2].to_owned(), id[2..].to_owned())
    }
}

#[test]
fn file_with_the_build_id_is_found_wherever_the_user_says() {
    let Some(program) = Program::new(&[]) else { return };
    let (first, rest) = program.split_id();
    let wanted = program.wanted("/opt/app/bin/app", Some(program.build_id));
    let root = program.directory.path();
    let none = FileSources::default();
    assert_eq!(come(&none, &wanted), Came::Missing(Unnamed::NoFile));
    let found = Came::File { unproven: 0 };
    // Directories of files: by build id, by path, by name.
    for (directory, name) in [
        ("ids", format!("ids/.build-id/{first}/{rest}")),
        ("debugs", format!("debugs/.build-id/{first}/{rest}.debug")),
        ("paths", "paths/opt/app/bin/app".to_owned()),
        ("names", "names/app".to_owned()),
    ] {
        program.place(&name, &program.stripped);
        let sources = FileSources { debug_dirs: vec![root.join("empty"), root.join(directory)], ..none.clone() };
        assert_eq!(come(&sources, &wanted), found, "{name}");
    }
    // perf's cache: a link to a directory of files, or of old perf to the file; `perf archive` packs the same.
    let cache = FileSources { build_id_cache: Some(root.join("cache")), ..none.clone() };
    let id = program.build_id.to_string();
    program.place(&format!("cache/opt/app/bin/app/{id}/elf"), &program.stripped);
    fs::create_dir_all(root.join(format!("cache/.build-id/{first}"))).unwrap();
    symlink(format!("../../opt/app/bin/app/{id}"), root.join(format!("cache/.build-id/{first}/{rest}"))).unwrap();
    assert_eq!(come(&cache, &wanted), found);
    let old = FileSources { build_id_cache: Some(root.join("old")), ..none.clone() };
    program.place(&format!("old/opt/app/bin/app/{id}"), &program.stripped);
    fs::create_dir_all(root.join(format!("old/.build-id/{first}"))).unwrap();
    symlink(format!("../../opt/app/bin/app/{id}"), root.join(format!("old/.build-id/{first}/{rest}"))).unwrap();
    assert_eq!(come(&old, &wanted), found);
    // A sysroot, and the path itself.
    program.place("root/opt/app/bin/app", &program.stripped);
    let sysroot = FileSources { sysroot: Some(root.join("root")), ..none.clone() };
    assert_eq!(come(&sysroot, &wanted), found);
    let path = program.whole.to_str().unwrap();
    assert_eq!(come(&none, &program.wanted(path, Some(program.build_id))), found);
    assert_eq!(come(&none, &program.wanted(&format!("{path} (deleted)"), Some(program.build_id))), found);
    // Old recordings fill the id up with zeros.
    let short = BuildId::new(&[5; 16]).unwrap();
    let padded = BuildId::new(&[&[5; 16][..], &[0; 4]].concat());
    let with_short = program.directory.path().join("short");
    let bytes = fs::read(&program.whole).unwrap();
    let at = bytes.windows(20).position(|window| window == program.build_id.as_bytes()).unwrap();
    let mut changed = bytes.clone();
    changed[at - 12] = 16;
    changed[at..at + 16].copy_from_slice(short.as_bytes());
    fs::write(&with_short, changed).unwrap();
    let path = with_short.to_str().unwrap();
    for (id, expected) in
        [(Some(short), &found), (padded, &found), (BuildId::new(&[5; 20]), &Came::Missing(Unnamed::FileChanged))]
    {
        assert_eq!(come(&none, &program.wanted(path, id)), *expected, "{id:?}");
    }
}

#[test]
fn file_with_another_build_id_is_never_used() {
    let Some(program) = Program::new(&[]) else { return };
    let root = program.directory.path();
    let other = BuildId::new(&[7; 20]);
    let hex = "07".repeat(19);
    let changed = Came::Missing(Unnamed::FileChanged);
    let path = program.place("root/opt/app", &program.whole);
    program.place(&format!("dir/.build-id/07/{hex}"), &program.whole);
    program.place(&format!("dir/.build-id/07/{hex}.debug"), &program.debug);
    program.place(&format!("cache/.build-id/07/{hex}/elf"), &program.whole);
    program.place(&format!("cache/.build-id/07/{hex}/debug"), &program.debug);
    let sources = FileSources {
        sysroot: Some(root.join("root")),
        debug_dirs: vec![root.join("dir")],
        build_id_cache: Some(root.join("cache")),
        own_machine: true,
        recorded_unix: Some(FAR_FUTURE),
        ..FileSources::default()
    };
    assert_eq!(come(&sources, &program.wanted("/opt/app", other)), changed);
    assert_eq!(come(&sources, &program.wanted(path.to_str().unwrap(), other)), changed);
    // It is said, with both ids.
    let mut images = Images::recorded(sources.clone());
    intern(&mut images, &program.wanted("/opt/app", other));
    let said: Vec<String> = images.refused().iter().map(|(_, refused)| refused.to_string()).collect();
    let own = program.build_id.to_string();
    assert!(
        said.iter().any(|said| said.contains("/opt/app") && said.contains(&own) && said.contains(&hex)),
        "{said:?}"
    );
    // What is no ELF file has no build id.
    fs::write(root.join("root/opt/script"), "#!/bin/sh\n").unwrap();
    assert_eq!(come(&sources, &program.wanted("/opt/script", other)), changed);
}

#[test]
fn without_a_build_id_only_proof_or_the_user_counts() {
    let Some(program) = Program::new(&[]) else { return };
    let root = program.directory.path();
    let path = program.whole.to_str().unwrap();
    let facts = fs::metadata(&program.whole).unwrap();
    let (inode, time) = (facts.ino(), facts.mtime() as u64);
    let elsewhere = FileSources { recorded_unix: Some(FAR_FUTURE), ..FileSources::default() };
    let here = |recorded_unix| FileSources { own_machine: true, recorded_unix, ..FileSources::default() };
    let proven = Came::File { unproven: 0 };
    let missing = Came::Missing;
    for (sources, inode, path, expected) in [
        (elsewhere.clone(), Some(inode), path, missing(Unnamed::NoBuildId)),
        (elsewhere, None, "/no/such/file", missing(Unnamed::NoFile)),
        (here(Some(FAR_FUTURE)), None, path, Came::File { unproven: 0 }),
        (here(Some(time - 10)), None, path, missing(Unnamed::FileChanged)),
        (here(None), None, path, missing(Unnamed::NoBuildId)),
        (here(Some(FAR_FUTURE)), Some(inode), path, Came::File { unproven: 0 }),
        (here(None), Some(inode), path, proven),
        (here(Some(time - 10)), Some(inode), path, missing(Unnamed::FileChanged)),
        (here(Some(FAR_FUTURE)), Some(inode + 1), path, missing(Unnamed::FileChanged)),
        (here(Some(FAR_FUTURE)), None, &format!("{path} (deleted)"), missing(Unnamed::NoFile)),
    ] {
        let wanted = Wanted { inode, ..program.wanted(path, None) };
        assert_eq!(come(&sources, &wanted), expected, "{sources:?} {inode:?} {path}");
    }
    // The user's word is counted, once for each image.
    program.place("root/opt/app", &program.whole);
    program.place("dir/other", &program.whole);
    let debug_dirs = vec![root.join("dir")];
    let mut images =
        Images::recorded(FileSources { sysroot: Some(root.join("root")), debug_dirs, ..FileSources::default() });
    assert_eq!(intern(&mut images, &program.wanted("/opt/app", None)), Came::File { unproven: 1 });
    assert_eq!(intern(&mut images, &program.wanted("/opt/app", None)), Came::File { unproven: 1 });
    assert_eq!(intern(&mut images, &program.wanted("/usr/other", None)), Came::File { unproven: 2 });
    // An image that was found has its build id from then on: it is the same one.
    assert_eq!(intern(&mut images, &program.wanted("/opt/app", Some(program.build_id))), Came::File { unproven: 2 });
}

#[test]
fn hostile_paths_lead_nowhere() {
    let Some(program) = Program::new(&[]) else { return };
    let root = program.directory.path();
    program.place("outside/app", &program.whole);
    fs::create_dir_all(root.join("root/inside")).unwrap();
    symlink("../../outside/app", root.join("root/inside/link")).unwrap();
    symlink(root.join("outside/app"), root.join("root/inside/absolute")).unwrap();
    let fifo = root.join("root/fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let sources =
        FileSources { sysroot: Some(root.join("root")), debug_dirs: vec![root.join("root")], ..FileSources::default() };
    let long = format!("/{}", "x/".repeat(50_000));
    for path in [
        "/../outside/app",
        "/inside/../../outside/app",
        "/inside/link",
        "/inside/absolute",
        "/fifo",
        "/dev/zero",
        "/dev/tty",
        "/proc/self/exe/..",
        "/proc/kmsg",
        "/proc/self/maps",
        "/sys/kernel/notes",
        "/inside",
        "/",
        "//anon",
        "[heap]",
        "relative/app",
        "..",
        "",
        "/a\0b",
        &long,
    ] {
        for build_id in [None, Some(program.build_id)] {
            let came = come(&sources, &program.wanted(path, build_id));
            assert!(matches!(came, Came::Missing(_)), "{path:.40} {came:?}");
        }
    }
}

fn names_of(profile: &Profile, frame: FrameId) -> Result<Vec<String>, Unnamed> {
    match profile.frames[frame.index()].resolution {
        Resolution::Unknown { reason, .. } => Err(reason),
        _ => Ok(profile
            .lines_of(frame)
            .iter()
            .map(|line| {
                let name = profile.strings.get(profile.functions[line.function.index()].name);
                let file = profile.strings.get(line.file).rsplit('/').next().unwrap_or_default().to_owned();
                if line.line > 0 { format!("{name} {file}:{}", line.line) } else { name.to_owned() }
            })
            .collect()),
    }
}

/// The names at all offsets of the program's code that have one, with `sources`.
fn names_with(program: &Program, sources: &FileSources, path: &str) -> Vec<Result<Vec<String>, Unnamed>> {
    let mut images = Images::recorded(sources.clone());
    let mut builder = ProfileBuilder::new();
    let wanted = program.wanted(path, Some(program.build_id));
    let id = images.intern(&wanted, |kind, path, build_id| builder.add_image(kind, path, build_id));
    let text = ElfImage::open(&program.whole).unwrap().section(".text").unwrap();
    let offsets = (text.file_offset..text.file_offset + text.size).step_by(3);
    let frames: Vec<FrameId> = offsets.map(|offset| builder.code_frame(id, offset)).collect();
    let mut profile = builder.finish();
    let (kernel, stored) = (&KernelNames::Unknown(Unnamed::OtherKernel), &StoredSymbols::default());
    let names = Names { images: &images, jit_hosts: &[], kernel, stored };
    symbolize(&mut profile, &names, &SymbolizeOptions::default());
    profile.check().unwrap();
    frames.into_iter().map(|frame| names_of(&profile, frame)).collect()
}

#[test]
fn debug_files_name_what_is_stripped_or_gone() {
    for arguments in [&[][..], &["-no-pie", "-static"], &["-Wl,-z,noseparate-code"], &["-Wl,-Ttext-segment=0x7000000"]]
    {
        let Some(program) = Program::new(arguments) else { continue };
        let (first, rest) = program.split_id();
        let root = program.directory.path();
        program.place("whole-root/app", &program.whole);
        program.place("root/app", &program.stripped);
        program.place(&format!("dir/.build-id/{first}/{rest}.debug"), &program.debug);
        program.place("by-name/app.debug", &program.debug);
        program.place(&format!("cache/.build-id/{first}/{rest}/debug"), &program.debug);
        program.place(&format!("root2/usr/lib/debug/.build-id/{first}/{rest}.debug"), &program.debug);
        let linked = program.place("root3/app", &program.stripped);
        let debug = program.place("root3/.debug/app.dbg", &program.debug);
        let link = format!("--add-gnu-debuglink={}", debug.display());
        assert!(Command::new("objcopy").arg(link).arg(linked).status().is_ok_and(|status| status.success()));
        let sysroot = |name: &str| FileSources { sysroot: Some(root.join(name)), ..FileSources::default() };
        let whole = names_with(&program, &sysroot("whole-root"), "/app");
        let named = whole.iter().flatten().filter(|names| names.iter().any(|name| name.contains("names.c:"))).count();
        assert!(named > 20, "{named}");
        assert!(names_with(&program, &sysroot("root"), "/app").iter().all(Result::is_err));
        for (what, sources) in [
            ("stripped", FileSources { debug_dirs: vec![root.join("dir")], ..sysroot("root") }),
            ("stripped, by name", FileSources { debug_dirs: vec![root.join("by-name")], ..sysroot("root") }),
            ("gone", FileSources { debug_dirs: vec![root.join("dir")], ..FileSources::default() }),
            ("gone, cache", FileSources { build_id_cache: Some(root.join("cache")), ..FileSources::default() }),
            ("gone, sysroot", sysroot("root2")),
            ("stripped, by debug link", sysroot("root3")),
        ] {
            let names = names_with(&program, &sources, "/app");
            let same =
                names.iter().zip(&whole).filter(|(ours, whole)| ours.as_ref().ok() == whole.as_ref().ok()).count();
            assert_eq!(same, whole.len(), "{arguments:?}, {what}");
        }
    }
}

#[test]
fn debug_file_is_no_code() {
    let Some(program) = Program::new(&[]) else { return };
    let (first, rest) = program.split_id();
    program.place(&format!("dir/.build-id/{first}/{rest}.debug"), &program.debug);
    let debug_dirs = vec![program.directory.path().join("dir")];
    let sources = FileSources { debug_dirs, ..FileSources::default() };
    assert_eq!(come(&sources, &program.wanted("/app", Some(program.build_id))), Came::DebugFile);
    let debug = ElfImage::open(&program.debug).unwrap();
    assert!(debug.section(".eh_frame").is_none() && debug.program_header_eh_frame_hdr().is_none());
    assert!(debug.section(".debug_info").is_some());
    // By its path alone it would be taken for the program.
    program.place("root/app", &program.debug);
    let sysroot = Some(program.directory.path().join("root"));
    let sources = FileSources { sysroot, ..FileSources::default() };
    assert_eq!(come(&sources, &program.wanted("/app", None)), Came::Missing(Unnamed::NoFile));
    // A mapping that is not the whole segment does not say where the segment was.
    let mut images = Images::recorded(FileSources {
        debug_dirs: vec![program.directory.path().join("dir")],
        ..FileSources::default()
    });
    let wanted = program.wanted("/app", Some(program.build_id));
    let part = Wanted { end: wanted.end + 0x20_0000, ..wanted };
    let id = images.intern(&part, |_, _, _| ImageId(2));
    assert_eq!(images.debug_files(id).separate.unwrap().svma_of_offset(wanted.offset + 0x40), None);
}

/// A vdso where those of 64-bit processes are, or of 32-bit ones.
fn vdso(build_id: Option<BuildId>, start: u64) -> Wanted<'static> {
    let (path, pid, end) = (b"[vdso]", u32::MAX, start + 0x2000);
    Wanted { path, build_id, device: None, inode: None, pid, start, end, offset: 0, time: 0 }
}

#[test]
fn vdso_is_that_of_the_recording() {
    const HIGH: u64 = 0x7ffc_1234_5000;
    const LOW: u64 = 0xf7f1_2000;
    let own = {
        let mut images = Images::default();
        let id = images.intern_vdso(&vdso(None, HIGH), |_, _, _| ImageId(2));
        images.get(id).cloned()
    };
    let Some(own) = own else { return skip::here("no vdso here") };
    let build_id = own.build_id().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let come_at = |start, sources: FileSources, build_id: Option<BuildId>| {
        let mut images = Images::recorded(sources);
        let id = images.intern_vdso(&vdso(build_id, start), |kind, path, known| {
            assert_eq!((kind, path), (ImageKind::Vdso, "[vdso]"));
            assert!(build_id.is_none() || known == build_id);
            ImageId(2)
        });
        assert_eq!(images.intern_vdso(&vdso(build_id, start), |_, _, _| panic!("it is known")), id);
        images.missing(id)
    };
    let come = |sources, build_id| come_at(HIGH, sources, build_id);
    let here = FileSources { own_machine: true, ..FileSources::default() };
    let elsewhere = FileSources::default();
    assert_eq!(come(here.clone(), None), None);
    assert_eq!(come(elsewhere.clone(), None), Some(Unnamed::NoBuildId));
    assert_eq!(come(elsewhere, Some(build_id)), None);
    let other = BuildId::new(&[0x0a; 20]).unwrap();
    assert_eq!(come(here.clone(), Some(other)), Some(Unnamed::NoFile));
    // That of 32-bit processes is another one, whatever build id perf states of it: of its own.
    assert_eq!(come_at(LOW, here.clone(), None), Some(Unnamed::NoBuildId));
    assert_eq!(come_at(LOW, here, Some(build_id)), Some(Unnamed::NoFile));
    // perf's copy of another one.
    let mut bytes = own.data().to_vec();
    let at = bytes.windows(20).position(|window| window == build_id.as_bytes()).unwrap();
    bytes[at..at + 20].copy_from_slice(other.as_bytes());
    let place = directory.path().join(format!(".build-id/0a/{}", "0a".repeat(19)));
    fs::create_dir_all(&place).unwrap();
    fs::write(place.join("vdso"), bytes).unwrap();
    let cache = FileSources { build_id_cache: Some(directory.path().to_owned()), ..FileSources::default() };
    assert_eq!(come(cache, Some(other)), None);
}

#[test]
fn kernel_files_are_found_by_build_id() {
    let Some(program) = Program::new(&[]) else { return };
    let root = program.directory.path();
    let id = program.build_id.to_string();
    let (first, rest) = program.split_id();
    let cache = |name: &str| FileSources { build_id_cache: Some(root.join(name)), ..FileSources::default() };
    let list = root.join("list");
    fs::write(&list, "ffffffff81000000 T _text\n").unwrap();
    let new = program.place(&format!("new/[kernel.kallsyms]/{id}/kallsyms"), &list);
    let old = program.place(&format!("old/[kernel.kallsyms]/{id}"), &list);
    let by_id = program.place(&format!("by-id/.build-id/{first}/{rest}/kallsyms"), &list);
    assert_eq!(cache("new").kallsyms(program.build_id), Some(new));
    assert_eq!(cache("old").kallsyms(program.build_id), Some(old));
    assert_eq!(cache("by-id").kallsyms(program.build_id), Some(by_id));
    assert_eq!(cache("none").kallsyms(program.build_id), None);
    assert_eq!(cache("new").kallsyms(BuildId::new(&[1; 20]).unwrap()), None);
    let debug = program.place(&format!("dir/.build-id/{first}/{rest}.debug"), &program.whole);
    let sources = FileSources { debug_dirs: vec![root.join("dir")], ..FileSources::default() };
    assert_eq!(sources.vmlinux(program.build_id), Some(debug));
    assert_eq!(sources.vmlinux(BuildId::new(&[1; 20]).unwrap()), None);
}

/// A JIT's dump with one function, `compiled`, of 32 bytes at 0x7000.
fn dump(pid: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [0x4a69_5444u32, 1, 40, 62, 0, pid] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend([0; 16]);
    for word in [0u32, 16 + 40 + 9 + 32] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(5u64.to_le_bytes());
    bytes.extend(pid.to_le_bytes());
    bytes.extend(pid.to_le_bytes());
    for word in [0x7000u64, 0x7000, 32, 1] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(b"compiled\0");
    bytes.extend([0xcc; 32]);
    bytes
}

#[test]
fn jit_code_is_named_by_dump_and_map_of_the_recording() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    for folder in ["root/tmp", "beside", "live"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::write(root.join("root/tmp/jit-77.dump"), dump(77)).unwrap();
    fs::write(root.join("beside/jit-77.dump"), dump(77)).unwrap();
    fs::write(root.join("beside/jit-78.dump"), dump(1)).unwrap();
    fs::write(root.join("beside/perf-77.map"), "9000 10 mapped\n").unwrap();
    let live = root.join("live/jit-77.dump");
    fs::write(&live, dump(77)).unwrap();
    let inode = Some(fs::metadata(&live).unwrap().ino());
    let sysroot = FileSources { sysroot: Some(root.join("root")), ..FileSources::default() };
    let beside = FileSources { beside: Some(root.join("beside")), ..FileSources::default() };
    let here = FileSources { own_machine: true, ..FileSources::default() };
    let live = live.to_str().unwrap();
    for (sources, path, inode, expected) in [
        (&sysroot, "/tmp/jit-77.dump", None, true),
        (&beside, "/home/user/.debug/jit/x/jit-77.dump", None, true),
        (&beside, "/tmp/jit-78.dump", None, false),
        (&beside, "/tmp/other", None, false),
        (&here, live, inode, true),
        (&here, live, inode.map(|inode| inode + 1), false),
        (&here, live, None, false),
        (&FileSources::default(), live, inode, false),
    ] {
        let mut images = Images::recorded(sources.clone());
        let mut builder = ProfileBuilder::new();
        let wanted = Wanted {
            path: Path::new(path).as_os_str().as_bytes(),
            build_id: None,
            device: None,
            inode,
            pid: 77,
            start: 0,
            end: 4096,
            offset: 0,
            time: 0,
        };
        let found = images.intern_jit_dump(&wanted, |kind, path, id| builder.add_image(kind, path, id));
        assert_eq!(found.is_some(), expected, "{sources:?} {path}");
        let Some((id, dump)) = found else { continue };
        let load = dump.loads().next().unwrap();
        assert_eq!((load.address, load.size), (0x7000, 32));
        let jit = builder.add_image(ImageKind::Jit(77), "[anonymous]", None);
        let (inside, outside) = (builder.code_frame(id, load.offset + 31), builder.code_frame(id, load.offset + 32));
        let by_map = builder.code_frame(jit, 0x9005);
        let mut profile = builder.finish();
        let (kernel, stored) = (&KernelNames::Unknown(Unnamed::OtherKernel), &StoredSymbols::default());
        let names = Names { images: &images, jit_hosts: &[], kernel, stored };
        symbolize(&mut profile, &names, &SymbolizeOptions::default());
        profile.check().unwrap();
        assert_eq!(profile.images[id.index()].kind, ImageKind::JitDump);
        assert_eq!(names_of(&profile, inside), Ok(vec!["compiled".to_owned()]));
        assert_eq!(names_of(&profile, outside), Err(Unnamed::NoMatch));
        let has_map = sources.beside.is_some();
        assert_eq!(names_of(&profile, by_map).is_ok(), has_map);
    }
}

#[test]
fn perf_map_of_this_machine_counts_if_it_is_old() {
    // No process has this id, so the map can only be one that was left.
    let pid = 0x7fff_fff0;
    let map = PathBuf::from(format!("/tmp/perf-{pid}.map"));
    if fs::write(&map, "1000 10 x\n").is_err() {
        return skip::here("no perf map can be written here");
    }
    let time = fs::metadata(&map).unwrap().mtime() as u64;
    let open = |own_machine, recorded_unix| {
        FileSources { own_machine, recorded_unix, ..FileSources::default() }.perf_map(pid).is_some()
    };
    let opened = [open(true, Some(time)), open(true, Some(time - 1)), open(true, None), open(false, Some(time))];
    fs::remove_file(&map).unwrap();
    assert_eq!(opened, [true, false, false, false]);
}

#[test]
fn stored_symbols_name_what_no_file_does() {
    let Some(program) = Program::new(&[]) else { return };
    let mut builder = ProfileBuilder::new();
    let mut images = Images::recorded(FileSources::default());
    let path = program.whole.to_str().unwrap();
    let mut add = |images: &mut Images, wanted: &Wanted<'_>| {
        images.intern(wanted, |kind, path, build_id| builder.add_image(kind, path, build_id))
    };
    let gone = add(&mut images, &program.wanted("/system/lib64/libx.so", BuildId::new(&[3; 20])));
    let here = add(&mut images, &program.wanted(path, Some(program.build_id)));
    let kernel = ImageId(0);
    let jit = builder.add_image(ImageKind::Jit(5), "[anonymous]", None);
    let mut stored = StoredSymbols::default();
    let table = |bias: u64, start: u64, name: &str| {
        let mut table = StoredTable::new(bias);
        table.push(start, 0x100, name.as_bytes());
        table
    };
    let text = images.get(here).unwrap().section(".text").unwrap();
    let mut of_file = StoredTable::of_file(0x4000, 0x1000);
    of_file.push(0x4010, 16, b"_ZN7android6Looper8pollOnceEi");
    stored.insert(gone, of_file);
    stored.insert(here, table(0, text.file_offset, "not_believed"));
    stored.insert(kernel, table(0, 0xffff_ffff_8100_0000, "stored_kernel"));
    stored.insert(jit, table(0, 0x9000, "java.lang.Object.wait"));
    let asked = [
        (gone, 0x1018, Ok("android::Looper::pollOnce")),
        (gone, 0x1020, Err(Unnamed::NoFile)),
        (kernel, 0xffff_ffff_8100_0010, Ok("stored_kernel")),
        (kernel, 0xffff_ffff_8200_0010, Err(Unnamed::OtherKernel)),
        (jit, 0x9010, Ok("java.lang.Object.wait")),
        (jit, 0xa010, Err(Unnamed::Anonymous)),
    ];
    let frames: Vec<FrameId> = asked.iter().map(|(image, offset, _)| builder.code_frame(*image, *offset)).collect();
    let in_file = builder.code_frame(here, text.file_offset + 4);
    let mut profile = builder.finish();
    let names =
        Names { images: &images, jit_hosts: &[], kernel: &KernelNames::Unknown(Unnamed::OtherKernel), stored: &stored };
    symbolize(&mut profile, &names, &SymbolizeOptions::default());
    profile.check().unwrap();
    for (frame, (_, offset, expected)) in frames.into_iter().zip(asked) {
        assert_eq!(names_of(&profile, frame), expected.map(|name| vec![name.to_owned()]), "{offset:#x}");
    }
    assert!(names_of(&profile, in_file).is_ok_and(|names| !names[0].contains("not_believed")));
}

/// An ELF file with one function, `work`, of 16 bytes at 0x10100, which is offset 0x100.
fn elf(is_64: bool, big: bool, machine: u16, thumb: bool) -> Vec<u8> {
    struct Writer {
        bytes: Vec<u8>,
        is_64: bool,
        big: bool,
    }
    impl Writer {
        fn number(&mut self, value: u64, size: usize) {
            let bytes =
                if self.big { value.to_be_bytes()[8 - size..].to_vec() } else { value.to_le_bytes()[..size].to_vec() };
            self.bytes.extend(bytes);
        }
        fn numbers(&mut self, values: &[(u64, usize)]) {
            values.iter().for_each(|(value, size)| self.number(*value, *size));
        }
        fn word(&self) -> usize {
            if self.is_64 { 8 } else { 4 }
        }
        fn section(&mut self, name: u64, kind: u64, flags: u64, svma: u64, place: (u64, u64), tail: (u64, u64)) {
            let word = self.word();
            self.numbers(&[(name, 4), (kind, 4), (flags, word), (svma, word), (place.0, word), (place.1, word)]);
            self.numbers(&[(tail.0, 4), (1, 4), (8, word), (tail.1, word)]);
        }
        fn symbol(&mut self, name: u64, value: u64, size: u64, info: u64, section: u64) {
            if self.is_64 {
                self.numbers(&[(name, 4), (info, 1), (0, 1), (section, 2), (value, 8), (size, 8)]);
            } else {
                self.numbers(&[(name, 4), (value, 4), (size, 4), (info, 1), (0, 1), (section, 2)]);
            }
        }
    }
    let mut writer = Writer { bytes: b"\x7fELF".to_vec(), is_64, big };
    let word = writer.word();
    let (header, program, section, symbol) = if is_64 { (64, 56, 64, 24) } else { (52, 32, 40, 16) };
    writer.bytes.extend([1 + u8::from(is_64), 1 + u8::from(big), 1]);
    writer.bytes.resize(16, 0);
    writer.numbers(&[(3, 2), (u64::from(machine), 2), (1, 4), (0, word), (header, word), (0x400, word), (0, 4)]);
    writer.numbers(&[(header, 2), (program, 2), (1, 2), (section, 2), (4, 2), (3, 2)]);
    if is_64 {
        writer.numbers(&[(1, 4), (5, 4), (0, 8), (0x10000, 8), (0x10000, 8), (0x200, 8), (0x200, 8), (4096, 8)]);
    } else {
        writer.numbers(&[(1, 4), (0, 4), (0x10000, 4), (0x10000, 4), (0x200, 4), (0x200, 4), (5, 4), (4096, 4)]);
    }
    writer.bytes.resize(0x200, 0);
    writer.symbol(0, 0, 0, 0, 0);
    writer.symbol(1, 0x10100 + u64::from(thumb), 16, 0x12, 1);
    writer.symbol(6, 0x10108, 0, 0, 1);
    writer.bytes.resize(0x300, 0);
    writer.bytes.extend(b"\0work\0$x\0.text\0.symtab\0.strtab\0");
    writer.bytes.resize(0x400, 0);
    writer.section(0, 0, 0, 0, (0, 0), (0, 0));
    writer.section(9, 1, 6, 0x10100, (0x100, 0x100), (0, 0));
    writer.section(15, 2, 0, 0, (0x200, 3 * symbol), (3, symbol));
    writer.section(23, 3, 0, 0, (0x300, 0x40), (0, 0));
    writer.bytes
}

#[test]
fn files_of_other_processors_have_names() {
    const EM_386: u16 = 3;
    const EM_MIPS: u16 = 8;
    const EM_PPC64: u16 = 21;
    const EM_ARM: u16 = 40;
    const EM_AARCH64: u16 = 183;
    for (is_64, big, machine, thumb) in [
        (true, false, EM_AARCH64, false),
        (false, false, EM_ARM, true),
        (false, false, EM_386, false),
        (true, true, EM_PPC64, false),
        (false, true, EM_MIPS, false),
    ] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("lib.so"), elf(is_64, big, machine, thumb)).unwrap();
        let sources = FileSources { sysroot: Some(directory.path().to_owned()), ..FileSources::default() };
        let (mut images, mut builder) = (Images::recorded(sources), ProfileBuilder::new());
        let path = b"/lib.so";
        let wanted = Wanted {
            path,
            build_id: None,
            device: None,
            inode: None,
            pid: 5,
            start: 0x1000,
            end: 0x2000,
            offset: 0,
            time: 0,
        };
        let id = images.intern(&wanted, |kind, path, build_id| builder.add_image(kind, path, build_id));
        assert_eq!(images.get(id).map(|image| image.machine()), Some(machine));
        let frames: Vec<FrameId> =
            [0x100, 0x10c, 0x110].into_iter().map(|offset| builder.code_frame(id, offset)).collect();
        let mut profile = builder.finish();
        let (kernel, stored) = (&KernelNames::Unknown(Unnamed::OtherKernel), &StoredSymbols::default());
        let names = Names { images: &images, jit_hosts: &[], kernel, stored };
        symbolize(&mut profile, &names, &SymbolizeOptions::default());
        let work = Ok(vec!["work".to_owned()]);
        assert_eq!(names_of(&profile, frames[0]), work, "{machine}");
        assert_eq!(names_of(&profile, frames[1]), work, "{machine}");
        assert_eq!(names_of(&profile, frames[2]).is_err(), [EM_ARM, EM_AARCH64].contains(&machine), "{machine}");
        if let Resolution::Unknown { place, .. } = profile.frames[frames[2].index()].resolution {
            assert_eq!(place, Place::Address(0x10110));
        }
    }
}
