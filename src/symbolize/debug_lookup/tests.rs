//! The same addresses asked of the crate addr2line.

use std::path::{Path, PathBuf};

use crate::image::ElfImage;
use crate::symbolize::debug_info::DebugSections;

type Frames = Vec<(Option<String>, String, u32)>;

fn text(name: Option<&[u8]>) -> Option<String> {
    name.map(|name| String::from_utf8_lossy(name).into_owned())
}

fn ours(sections: &DebugSections<'_>, svmas: &[u64]) -> Vec<Frames> {
    let looked = sections.look_up(svmas);
    let mut frames = Vec::new();
    let frames_of = |index| {
        frames.clear();
        looked.frames(index, &mut frames);
        frames.drain(..).map(|frame| (text(frame.name), frame.file.to_owned(), frame.line)).collect()
    };
    (0..svmas.len()).map(frames_of).collect()
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

/// Compares every `step`th byte of the code, of which one part in `least` has lines.
fn compare(path: &Path, step: usize, least: usize) {
    let image = ElfImage::open(path).unwrap();
    let sections = DebugSections::load(&image);
    let section = image.section(".text").unwrap();
    let svmas: Vec<u64> = (section.svma..section.svma + section.size).step_by(step).collect();
    let (ours, theirs) = (ours(&sections, &svmas), theirs(&sections, &svmas));
    let mut different = 0;
    for ((svma, ours), theirs) in svmas.iter().zip(&ours).zip(&theirs) {
        if ours != theirs {
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

#[test]
fn this_program_is_as_addr2line_has_it() {
    let path = std::env::current_exe().unwrap();
    let size = ElfImage::open(&path).unwrap().section(".text").unwrap().size as usize;
    compare(&path, size / 150, 20);
}

#[test]
#[ignore = "takes a file: FILE=... STEP=... cargo test --release --lib -- --ignored named_file"]
fn named_file_is_as_addr2line_has_it() {
    let path = PathBuf::from(std::env::var_os("FILE").expect("FILE names an ELF file"));
    compare(&path, std::env::var("STEP").map_or(1, |step| step.parse().unwrap()), 20);
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
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/symbolize").join(source);
        let path = directory.path().join("program");
        let status = std::process::Command::new(compiler).args(arguments).arg("-o").arg(&path).arg(source).status();
        if !status.is_ok_and(|status| status.success()) {
            println!("SKIPPED: {compiler} {arguments:?} does not work here");
            continue;
        }
        // Of a static program nearly all is libc, which has none.
        let least = if arguments.contains(&"-static") { 2000 } else { 20 };
        compare(&path, if compiler == "rustc" { 211 } else { 3 }, least);
    }
}
