//! Entries found, and starts of functions compared with what `nm` says of the same program before it was stripped.

use super::super::function_starts;
use super::*;
use crate::image::ElfImage;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `testdata/symbolize/functions.c`, compiled; `None`, said aloud, if that cannot be done here.
fn compile(directory: &Path, compiler: &str, arguments: &[&str]) -> Option<PathBuf> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/symbolize/functions.c");
    let program = directory.join(format!("{compiler}{}", arguments.concat()));
    let compiled = Command::new(compiler).arg("-O2").args(arguments).arg(source).arg("-o").arg(&program).output();
    if compiled.is_ok_and(|output| output.status.success()) {
        return Some(program);
    }
    crate::skip::here(&format!("{compiler} {arguments:?} does not work here"));
    None
}

/// What is in the code of `functions.c`, by `nm`.
struct Functions {
    /// Start, size and name of each.
    rows: Vec<(u64, u64, String)>,
    /// Where bytes begin that are in none.
    between: u64,
}

fn functions(program: &Path) -> Functions {
    let listed = Command::new("nm").args(["-S", "--defined-only"]).arg(program).output().unwrap();
    let own = ["tiny", "looping", "complain", "with_cold_part", "with_cold_part.cold", "compare", "recursive", "main"];
    let number = |text| u64::from_str_radix(text, 16).unwrap();
    let (mut rows, mut between) = (Vec::new(), None);
    for line in String::from_utf8(listed.stdout).unwrap().lines() {
        match line.split_ascii_whitespace().collect::<Vec<_>>()[..] {
            [start, size, "t" | "T", name] if own.contains(&name) => {
                rows.push((number(start), number(size), name.to_owned()));
            }
            [start, "t", "between"] => between = Some(number(start)),
            _ => {}
        }
    }
    Functions { rows, between: between.unwrap() }
}

fn strip(program: &Path) -> ElfImage {
    let stripped = program.with_extension("stripped");
    assert!(Command::new("strip").arg("-o").arg(&stripped).arg(program).status().unwrap().success());
    ElfImage::from_bytes(std::fs::read(stripped).unwrap()).unwrap()
}

/// All addresses of a section.
fn addresses(image: &ElfImage, section: &str, step: usize) -> Vec<u64> {
    let section = image.section(section).unwrap();
    (section.svma..section.svma + section.size).step_by(step).collect()
}

/// Whether each address of each function, and none between them, has the start that `nm` says.
fn check(image: &ElfImage, functions: &Functions) {
    let all = addresses(image, ".text", 1);
    let starts = function_starts(image, &all);
    for (start, size, name) in &functions.rows {
        let first = all.partition_point(|svma| svma < start);
        let its = &starts[first..first + *size as usize];
        assert!(its.iter().all(|found| found == &Some(*start)), "{name} {start:#x}: {its:x?}");
    }
    let first = all.partition_point(|svma| *svma < functions.between);
    assert_eq!(starts[first..first + 64], [None; 64], "bytes between functions");
}

#[test]
fn every_address_of_a_function_gives_its_start() {
    let directory = tempfile::tempdir().unwrap();
    for (compiler, arguments) in [
        ("cc", &[][..]),
        ("cc", &["-no-pie"]),
        ("cc", &["-static"]),
        ("cc", &["-static-pie"]),
        ("musl-gcc", &[]),
        ("musl-gcc", &["-static"]),
        ("clang", &["-fasynchronous-unwind-tables", "-Wl,--no-eh-frame-hdr"]),
        ("cc", &["-fno-asynchronous-unwind-tables", "-g"]),
    ] {
        let Some(program) = compile(directory.path(), compiler, arguments) else { continue };
        let functions = functions(&program);
        // clang has no cold parts of its own accord, and drops `complain`.
        assert!(functions.rows.len() >= 6, "{:?}", functions.rows);
        let table = strip(&program).program_header_eh_frame_hdr().is_some();
        println!("{compiler} {arguments:?}: {} functions, table: {table}", functions.rows.len());
        if arguments.contains(&"-g") {
            let image = ElfImage::from_bytes(std::fs::read(&program).unwrap()).unwrap();
            assert!(image.section(".debug_frame").is_some());
            check(&image, &functions);
            // What is stripped here is all that there was.
            let image = strip(&program);
            let mut svmas: Vec<u64> = functions.rows.iter().flat_map(|(start, size, _)| *start..start + size).collect();
            svmas.sort_unstable();
            assert!(function_starts(&image, &svmas).iter().all(Option::is_none));
            continue;
        }
        let image = strip(&program);
        check(&image, &functions);
        // Without section headers: by the program headers alone.
        let mut bytes = image.data().to_vec();
        bytes[40..48].fill(0);
        bytes[58..64].fill(0);
        let bare = ElfImage::from_bytes(bytes).unwrap();
        assert!(bare.section(".text").is_none());
        if bare.program_header_eh_frame_hdr().is_some() {
            let all = addresses(&image, ".text", 1);
            assert_eq!(function_starts(&bare, &all), function_starts(&image, &all));
        }
    }
}

fn starts(tables: &FrameTables, image: &ElfImage, svmas: &[u64]) -> Vec<Option<u64>> {
    svmas.iter().map(|svma| tables.find(image, *svma).map(|entry| entry.start())).collect()
}

#[test]
fn table_and_index_agree() {
    let vdso = super::super::vdso::read_own();
    let own = ElfImage::from_bytes(std::fs::read(std::env::current_exe().unwrap()).unwrap());
    for image in [vdso, own].into_iter().flatten() {
        let all = addresses(&image, ".text", 31);
        let by_table = function_starts(&image, &all);
        let tables = FrameTables { header: None, ..FrameTables::of(&image) };
        assert_eq!(by_table, starts(&tables, &image, &all));
        assert!(by_table.iter().flatten().count() * 2 > all.len());
    }
}

#[test]
fn tables_of_other_encodings_are_searched() {
    let number = |value: u64, size: usize| value.to_le_bytes()[..size].to_vec();
    // Of two functions, 0x10 and 0x20 bytes long, at 0x1000 and 0x1020; addresses are absolute (`udata4`).
    let mut eh_frame = Vec::new();
    for part in [number(12, 4), number(0, 4), b"\x01zR\0\x01\x78\x10\x01\x03".to_vec()] {
        eh_frame.extend(part);
    }
    eh_frame[0] = eh_frame.len() as u8 - 4;
    let mut entries = Vec::new();
    for (start, size) in [(0x1000, 0x10), (0x1020, 0x20)] {
        entries.push(0x3000 + eh_frame.len() as u64);
        eh_frame.extend(number(13, 4));
        eh_frame.extend(number(eh_frame.len() as u64, 4));
        eh_frame.extend([number(start, 4), number(size, 4), vec![0]].concat());
    }
    // `sdata4`, `sdata8`, `udata2` and `udata4`, relative to the table, to themselves, or absolute.
    for (encoding, size) in [(0x3b, 4), (0x3c, 8), (0x1b, 4), (0x02, 2), (0x03, 4)] {
        let mut header = [vec![1, 0x03, 0x03, encoding], number(0x3000, 4), number(2, 4)].concat();
        for value in [0x1000, entries[0], 0x1020, entries[1]] {
            let base = match encoding & 0x70 {
                0x30 => 0x2000,
                0x10 => 0x2000 + header.len() as u64,
                _ => 0,
            };
            header.extend(number(value.wrapping_sub(base), size));
        }
        // An ELF file without anything, and both behind its header.
        let mut file = vec![0; 64];
        file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        let header_range = file.len()..file.len() + header.len();
        let eh_frame_range = header_range.end..header_range.end + eh_frame.len();
        let image = ElfImage::from_bytes([file, header, eh_frame.clone()].concat()).unwrap();
        let tables = FrameTables {
            header: Some(header_range),
            eh_frame: Some(eh_frame_range),
            bases: BaseAddresses::default().set_eh_frame_hdr(0x2000).set_eh_frame(0x3000),
            ..FrameTables::of(&image)
        };
        let asked = [0xfff, 0x1000, 0x100f, 0x1010, 0x101f, 0x1020, 0x103f, 0x1040, u64::MAX];
        let (first, second) = (Some(0x1000), Some(0x1020));
        let expected = vec![None, first, first, None, None, second, second, None, None];
        assert_eq!(starts(&tables, &image, &asked), expected, "{encoding:#x}");
        assert_eq!(starts(&FrameTables { header: None, ..tables }, &image, &asked), expected);
    }
}

#[test]
fn corrupt_sections_are_survived() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [&[][..], &["-fno-asynchronous-unwind-tables", "-g"]] {
        let Some(program) = compile(directory.path(), "cc", arguments) else { continue };
        survive_corruption(&std::fs::read(program).unwrap());
    }
}

fn survive_corruption(good: &[u8]) {
    let image = ElfImage::from_bytes(good).unwrap();
    let mut svmas = vec![0, 1];
    svmas.extend(addresses(&image, ".text", 9));
    svmas.extend([u64::MAX - 1, u64::MAX]);
    let names = [".eh_frame_hdr", ".eh_frame", ".debug_frame"];
    let sections: Vec<_> = names.iter().filter_map(|name| image.section(name)).collect();
    let mut random = 1u64;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % below
    };
    let began = std::time::Instant::now();
    for round in 0..2000 {
        let mut changed = good.to_vec();
        for _ in 0..=next(8) {
            let section = sections[next(sections.len() as u64) as usize];
            // The head of a section says how the rest is read.
            let size = if next(3) == 0 { section.size.min(48) } else { section.size };
            let at = (section.file_offset + next(size)) as usize;
            changed[at] = if next(4) == 0 { 0xff } else { next(256) as u8 };
        }
        if round % 16 == 0 {
            changed.truncate(next(good.len() as u64) as usize);
        }
        if let Some(image) = ElfImage::from_bytes(changed) {
            assert_eq!(function_starts(&image, &svmas).len(), svmas.len());
        }
    }
    assert!(began.elapsed().as_secs() < 120);
}

#[test]
fn long_entries_are_run_for_a_bounded_time() {
    let number = |value: u64| (value as u32).to_le_bytes().to_vec();
    // The row is kept and taken back, again and again: nothing that is run takes longer for a byte.
    let instructions = [0x0a, 0x0b].repeat(50_000);
    let mut eh_frame = [number(12), number(0), b"\x01zR\0\x01\x78\x10\x01\x03".to_vec()].concat();
    eh_frame[0] = eh_frame.len() as u8 - 4;
    let mut starts = Vec::new();
    for instructions in [&instructions[..], &[]] {
        starts.push(0x1000 * (1 + starts.len() as u64));
        let at = eh_frame.len() as u64 + 4;
        let body =
            [number(at), number(starts[starts.len() - 1]), number(0x1000), vec![0], instructions.to_vec()].concat();
        eh_frame.extend([number(body.len() as u64), body].concat());
    }
    let mut file = vec![0; 64];
    file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    let range = file.len()..file.len() + eh_frame.len();
    let image = ElfImage::from_bytes([file, eh_frame].concat()).unwrap();
    let bases = BaseAddresses::default().set_eh_frame(0x3000);
    // Ten are left.
    let left = 10 * (100_000 - BYTES_A_ROW);
    let bytes_more = AtomicI64::new(MOST_BYTES_MORE - left);
    let tables = FrameTables { eh_frame: Some(range), bases, bytes_more, ..FrameTables::of(&image) };
    let mut context = UnwindContext::new();
    let mut rows = |svma: u64, times: usize| {
        let mut row = || tables.find(&image, svma).unwrap().row(svma, &mut context).is_some();
        (0..times).filter(|_| row()).count()
    };
    let begin = std::time::Instant::now();
    let ran = rows(starts[0], 100_000);
    println!("{ran} long entries in {:?}", begin.elapsed());
    assert!((9..=10).contains(&ran), "{ran} of ten");
    // Others of the file are as they were, and bring time back.
    assert_eq!(rows(starts[1], 1000), 1000);
    assert!((4..=6).contains(&rows(starts[0], 1000)));
}
