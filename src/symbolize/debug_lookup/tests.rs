//! The same addresses asked of the crate addr2line.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use super::Wanted;
use crate::image::{DebugFiles, ElfImage};
use crate::symbolize::debug_info::{DebugSections, OpenSplit};

type Frames = Vec<(Option<String>, String, u32)>;

fn text(name: Option<&[u8]>) -> Option<String> {
    name.map(|name| String::from_utf8_lossy(name).into_owned())
}

/// Our frames of addresses, and how many of these are in units whose functions are not there.
fn with_missing(sections: &DebugSections<'_>, svmas: &[u64]) -> (Vec<Frames>, usize) {
    let looked = sections.look_up(svmas, Wanted { lines: true }, 2);
    assert_eq!(looked.damaged(), 0, "sound units are read to their ends");
    let mut frames = Vec::new();
    let frames_of = |index| {
        frames.clear();
        looked.frames(index, &mut frames);
        frames.drain(..).map(|frame| (text(frame.name), frame.file.to_owned(), frame.line)).collect()
    };
    ((0..svmas.len()).map(frames_of).collect(), looked.without_split())
}

fn ours(sections: &DebugSections<'_>, svmas: &[u64]) -> Vec<Frames> {
    with_missing(sections, svmas).0
}

fn theirs(sections: &DebugSections<'_>, svmas: &[u64]) -> Vec<Frames> {
    let context = addr2line::Context::from_dwarf(sections.dwarf()).unwrap();
    let frames_of = |svma: &u64| {
        let addr2line::LookupResult::Output(Ok(mut frames)) = context.find_frames(*svma) else { return Frames::new() };
        let mut found = Frames::new();
        while let Ok(Some(frame)) = frames.next() {
            let location = frame.location.as_ref();
            found.push((
                text(frame.function.map(|function| function.name.slice())),
                location.and_then(|location| location.file).unwrap_or_default().to_owned(),
                location.and_then(|location| location.line).unwrap_or_default(),
            ));
        }
        found
    };
    svmas.iter().map(frames_of).collect()
}

/// Whether frames are the same, but for what is around a function without a linkage name, which addr2line does not say.
fn are_same(ours: &Frames, theirs: &Frames) -> bool {
    let in_scope = |ours: &str, theirs: &str| ours.strip_suffix(theirs).is_some_and(|scope| scope.ends_with("::"));
    let is_name = |ours: &Option<String>, theirs: &Option<String>| match (ours, theirs) {
        (Some(ours), Some(theirs)) => ours == theirs || in_scope(ours, theirs),
        (ours, theirs) => ours == theirs,
    };
    ours.len() == theirs.len()
        && ours
            .iter()
            .zip(theirs)
            .all(|(ours, theirs)| is_name(&ours.0, &theirs.0) && (&ours.1, ours.2) == (&theirs.1, theirs.2))
}

/// Compares every `step`th byte of the code, of which one part in `least` has lines.
fn compare(path: &Path, step: usize, least: usize) {
    let image = ElfImage::open(path).unwrap();
    let debug = DebugFiles::default();
    let sections = DebugSections::load(&image, &debug);
    let section = image.section(".text").unwrap();
    let svmas: Vec<u64> = (section.svma..section.svma + section.size).step_by(step).collect();
    let (ours, theirs) = (ours(&sections, &svmas), theirs(&sections, &svmas));
    let mut different = 0;
    for ((svma, ours), theirs) in svmas.iter().zip(&ours).zip(&theirs) {
        if !are_same(ours, theirs) {
            different += 1;
            if different <= 10 {
                println!("{svma:#x}\n  ours   {ours:?}\n  theirs {theirs:?}");
            }
        }
    }
    let inlined = ours.iter().filter(|frames| frames.len() > 1).count();
    println!("{}: {} addresses, {inlined} inlined, {different} different", path.display(), svmas.len());
    assert!(ours.iter().filter(|frames| frames.iter().any(|frame| frame.2 > 0)).count() > svmas.len() / least);
    assert_eq!(different, 0, "{}", path.display());
}

/// Compiles a source of `testdata/symbolize` to `program` in a folder; says aloud if that cannot be done here.
fn compile(folder: &Path, compiler: &str, source: &str, arguments: &[&str]) -> bool {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/symbolize").join(source);
    let mut command = Command::new(compiler);
    let status = command.args(arguments).args(["-o", "program"]).arg(source).current_dir(folder).status();
    let is_compiled = status.is_ok_and(|status| status.success());
    if !is_compiled {
        crate::skip::here(&format!("{compiler} {arguments:?} does not work here"));
    }
    is_compiled
}

fn run(folder: &Path, program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program).args(arguments).current_dir(folder).status();
    let is_done = status.is_ok_and(|status| status.success());
    if !is_done {
        crate::skip::here(&format!("{program} {arguments:?} does not work here"));
    }
    is_done
}

/// Every third byte of the code.
fn addresses_of(image: &ElfImage) -> Vec<u64> {
    let section = image.section(".text").unwrap();
    (section.svma..section.svma + section.size).step_by(3).collect()
}

/// Opens files of split units as the linker of the unit names them.
fn open_split(directory: &[u8], name: &[u8]) -> Option<Arc<ElfImage>> {
    let path = Path::new(OsStr::from_bytes(directory)).join(OsStr::from_bytes(name));
    ElfImage::open(&path).ok().map(Arc::new)
}

type Kind<'a> = (&'a str, &'a str, &'a [&'a str]);

/// Kinds of split debug information: compiler, source, how it is split.
const SPLIT: [Kind<'_>; 8] = [
    ("cc", "names.c", &["-gdwarf-4", "-gsplit-dwarf"]),
    ("cc", "names.c", &["-gdwarf-5", "-gsplit-dwarf"]),
    ("clang", "names.c", &["-gdwarf-4", "-gsplit-dwarf", "-fno-split-dwarf-inlining"]),
    ("c++", "names.cpp", &["-gdwarf-5", "-gsplit-dwarf", "-fdebug-types-section"]),
    ("c++", "names.cpp", &["-gdwarf-4", "-gsplit-dwarf"]),
    ("clang++", "names.cpp", &["-gdwarf-5", "-gsplit-dwarf", "-fno-split-dwarf-inlining"]),
    ("clang", "names.c", &["-gdwarf-5", "-gsplit-dwarf=single", "-fno-split-dwarf-inlining"]),
    ("clang++", "names.cpp", &["-gdwarf-5", "-gsplit-dwarf", "-fsplit-dwarf-inlining"]),
];

/// What the same code is called where its debug information is in one piece, and the program with its split one.
fn compile_both(folder: &Path, (compiler, source, how): Kind<'_>) -> Option<(ElfImage, Vec<u64>, Vec<Frames>)> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/symbolize/").to_owned() + source;
    // In two steps, so that the object file stays: one way of splitting leaves all in it.
    let build = |how: &[&str]| {
        let arguments: Vec<&str> = ["-O2", "-c", "-o", "unit.o", &source].iter().chain(how).copied().collect();
        run(folder, compiler, &arguments) && run(folder, compiler, &["-o", "program", "unit.o"])
    };
    if !build(&how[..1]) {
        return None;
    }
    let image = ElfImage::open(&folder.join("program")).unwrap();
    let (svmas, debug) = (addresses_of(&image), DebugFiles::default());
    let expected = ours(&DebugSections::load(&image, &debug), &svmas);
    assert!(expected.iter().filter(|frames| frames.len() > 1).count() > 10);
    if !build(how) {
        return None;
    }
    let image = ElfImage::open(&folder.join("program")).unwrap();
    assert_eq!(svmas, addresses_of(&image));
    Some((image, svmas, expected))
}

fn assert_same(what: &str, svmas: &[u64], ours: &[Frames], expected: &[Frames]) {
    for ((svma, ours), expected) in svmas.iter().zip(ours).zip(expected) {
        assert_eq!(ours, expected, "{what}: {svma:#x}");
    }
}

#[test]
fn split_units_are_as_whole_ones() {
    for kind in SPLIT {
        let folder = tempfile::tempdir().unwrap();
        let Some((image, svmas, expected)) = compile_both(folder.path(), kind) else { continue };
        let (debug, what) = (DebugFiles::default(), format!("{kind:?}"));
        let sections = DebugSections::load_with(&image, &debug, Box::new(open_split));
        let (frames, missing) = with_missing(&sections, &svmas);
        assert_eq!(missing, 0, "{kind:?}");
        assert_same(&what, &svmas, &frames, &expected);
        nobody_is_blamed(kind, folder.path(), &image, &svmas, &expected);
        // Packages of DWARF 4 are made by another program; what is in object files is in none.
        let packer = if kind.2[0] == "-gdwarf-4" { "dwp" } else { "llvm-dwp" };
        if kind.2.contains(&"-gsplit-dwarf=single")
            || !run(folder.path(), packer, &["-e", "program", "-o", "program.dwp"])
        {
            continue;
        }
        let package = ElfImage::open(&folder.path().join("program.dwp")).unwrap();
        let debug = DebugFiles { package: Some(Arc::new(package)), ..DebugFiles::default() };
        let (frames, missing) = with_missing(&DebugSections::load(&image, &debug), &svmas);
        assert_eq!(missing, 0, "{kind:?}");
        assert_same(&what, &svmas, &frames, &expected);
    }
}

/// Nobody gets the line of what only a file knows that is missing, or that is another one.
fn nobody_is_blamed(kind: Kind<'_>, folder: &Path, image: &ElfImage, svmas: &[u64], expected: &[Frames]) {
    let skeleton_has_inlined = kind.2.contains(&"-fsplit-dwarf-inlining");
    let debug = DebugFiles::default();
    let other = folder.join("other");
    std::fs::create_dir(&other).unwrap();
    // Of another source, so with another id.
    let arguments: Vec<&str> = ["-w", "-c", "-x", "c"].iter().chain(kind.2).copied().collect();
    assert!(compile(&other, kind.0, "functions.c", &arguments));
    let of_other = std::fs::read_dir(&other).unwrap().map(|entry| entry.unwrap().path());
    let of_other: Vec<Arc<ElfImage>> =
        of_other.filter_map(|path| Some(Arc::new(ElfImage::open(&path).ok()?))).collect();
    let of_other = of_other.into_iter().find(|image| image.section(".debug_info.dwo").is_some());
    assert!(of_other.is_some());
    let open_other = move |_: &[u8], _: &[u8]| of_other.clone();
    let nothing = |_: &[u8], _: &[u8]| None;
    for open in [Box::new(nothing) as Box<OpenSplit<'_>>, Box::new(open_other)] {
        let (frames, missing) = with_missing(&DebugSections::load_with(image, &debug, open), svmas);
        let mut without = 0;
        for ((svma, frames), expected) in svmas.iter().zip(&frames).zip(expected) {
            if frames.is_empty() {
                without += usize::from(!expected.is_empty());
            } else {
                assert!(skeleton_has_inlined, "{kind:?} {svma:#x}: {frames:?}");
                let places =
                    |frames: &Frames| frames.iter().map(|frame| (frame.1.clone(), frame.2)).collect::<Vec<_>>();
                assert_eq!(places(frames), places(expected), "{kind:?} {svma:#x}");
            }
        }
        assert!(missing >= without && without > 0, "{kind:?}: {missing} {without}");
    }
}

#[test]
fn supplementary_file_is_read() {
    for (compiler, source, version) in
        [("cc", "names.c", "-gdwarf-4"), ("c++", "names.cpp", "-gdwarf-4"), ("c++", "names.cpp", "-gdwarf-5")]
    {
        let folder = tempfile::tempdir().unwrap();
        if !compile(folder.path(), compiler, source, &["-O2", version]) {
            continue;
        }
        let whole = ElfImage::open(&folder.path().join("program")).unwrap();
        let (svmas, nothing) = (addresses_of(&whole), DebugFiles::default());
        let expected = ours(&DebugSections::load(&whole, &nothing), &svmas);
        drop(whole);
        // What two programs have in common goes to the third file.
        std::fs::copy(folder.path().join("program"), folder.path().join("twin")).unwrap();
        let arguments: &[&str] = if version == "-gdwarf-5" { &["-5"] } else { &[] };
        let files = ["-m", "common.debug", "program", "twin"];
        if !run(folder.path(), "dwz", &arguments.iter().chain(&files).copied().collect::<Vec<_>>()) {
            continue;
        }
        let image = ElfImage::open(&folder.path().join("program")).unwrap();
        assert!(image.section(".gnu_debugaltlink").or(image.section(".debug_sup")).is_some());
        let common = Arc::new(ElfImage::open(&folder.path().join("common.debug")).unwrap());
        let debug = DebugFiles { supplementary: Some(common), ..DebugFiles::default() };
        let frames = ours(&DebugSections::load(&image, &debug), &svmas);
        assert_same(&format!("{source} {version}"), &svmas, &frames, &expected);
        // Without it names are missing, and no other ones are there.
        let frames = ours(&DebugSections::load(&image, &nothing), &svmas);
        let mut missing = 0;
        for (frames, expected) in frames.iter().zip(&expected) {
            assert_eq!(frames.len(), expected.len());
            for (frame, expected) in frames.iter().zip(expected) {
                assert!(frame.0.is_none() || frame.0 == expected.0, "{frame:?} {expected:?}");
                missing += usize::from(frame.0 != expected.0);
            }
        }
        assert!(missing > 0);
    }
}

#[test]
fn this_program_is_as_addr2line_has_it() {
    let path = std::env::current_exe().unwrap();
    let size = ElfImage::open(&path).unwrap().section(".text").unwrap().size as usize;
    compare(&path, size / 150, 20);
}

#[test]
fn compiled_programs_are_as_addr2line_has_them() {
    let directory = tempfile::tempdir().unwrap();
    for (compiler, source, arguments) in [
        ("cc", "names.c", &["-O2", "-g"][..]),
        ("cc", "names.c", &["-O2", "-gdwarf-4", "-ffunction-sections"]),
        ("cc", "names.c", &["-O2", "-g", "-m32", "-static"]),
        ("clang", "names.c", &["-O2", "-g"]),
        ("clang", "names.c", &["-O2", "-gdwarf-4"]),
        ("clang", "names.c", &["-O2", "-gdwarf-5", "-gz=zlib"]),
        ("c++", "names.cpp", &["-O2", "-g"]),
        ("c++", "names.cpp", &["-O0", "-g"]),
        ("c++", "names.cpp", &["-O2", "-g", "-flto"]),
        ("clang++", "names.cpp", &["-O2", "-g"]),
        ("rustc", "names.rs", &["-O", "-g"]),
        ("rustc", "names.rs", &["-g", "-Ccodegen-units=1", "-Clto=fat", "-Copt-level=3"]),
    ] {
        let path = directory.path().join("program");
        if !compile(directory.path(), compiler, source, arguments) {
            continue;
        }
        // Of a static program nearly all is libc, which has none.
        let least = if arguments.contains(&"-static") { 2000 } else { 20 };
        compare(&path, if compiler == "rustc" { 211 } else { 3 }, least);
    }
}
