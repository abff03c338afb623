//! What is said where debug files are missing, closed or damaged.

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;

use flameprofile::image::{ElfImage, Images, Refusal};
use flameprofile::model::{ProfileBuilder, Unnamed};
use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, getuid, set_dumpable_behavior};
use rustix::thread::set_thread_res_uid;

use super::files::{Built, Looked, run, with_dwz};
use super::open;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Looks up as a user for whom closed folders are closed: on a thread of its own, which is not root's.
fn look_up_unprivileged(built: &Built, dir: &str) -> Looked {
    set_mode(built.folder.path(), 0o755);
    let sources = built.dir(dir);
    let work = || {
        if getuid().is_root() {
            let nobody = rustix::process::Uid::from_raw(65534);
            set_thread_res_uid(nobody, nobody, nobody).unwrap();
            // Another user makes the whole process one that others may not look into.
            set_dumpable_behavior(DumpableBehavior::Dumpable).unwrap();
        }
        Looked::up(&built.program, &sources, &built.svmas())
    };
    std::thread::scope(|scope| scope.spawn(work).join().unwrap())
}

#[test]
fn closed_folder_of_the_user_is_told_and_is_no_reason() {
    let Some(built) = Built::new(&["-Wl,--build-id=sha1"]) else { return };
    let closed = built.path("closed");
    fs::create_dir(&closed).unwrap();
    set_mode(&closed, 0);
    let looked = look_up_unprivileged(&built, "closed");
    set_mode(&closed, 0o755);
    let note = format!("cannot look into {}: Permission denied", closed.display());
    assert!(looked.notes.iter().any(|known| known.starts_with(&note)), "{:?}", looked.notes);
    assert!(!looked.files.denied);
    assert!(looked.named.iter().all(|named| matches!(named, Err(Unnamed::NoSymbols | Unnamed::NoMatch))));
}

#[test]
fn missing_file_of_dwz_is_told() {
    let Some((built, common)) = with_dwz(&[]) else { return };
    let there = Looked::up(&built.program, &built.no_sources(), &built.svmas());
    assert!(there.notes.is_empty() && there.refused.is_empty(), "{:?}", there.notes);
    fs::remove_file(common).unwrap();
    let gone = Looked::up(&built.program, &built.no_sources(), &built.svmas());
    let [Refusal::NotFound { wanted_by }] = &gone.refused[..] else { panic!("{:?}", gone.refused) };
    assert_eq!(Path::new(wanted_by), built.program);
    let expected =
        format!("not found: ../.dwz/common.debug, which has a part of the debug information of {wanted_by} (dwz)");
    assert_eq!(gone.notes, [expected]);
    assert_eq!(gone.skipped.get("files: not found"), Some(&1));
}

#[test]
fn what_has_come_is_not_missed_any_more() {
    let Some((built, common)) = with_dwz(&[]) else { return };
    let away = built.path("away");
    fs::rename(&common, &away).unwrap();
    let (mut images, mut builder) = (Images::default(), ProfileBuilder::new());
    let (id, _) = open(&built.program, &mut images, &mut builder);
    assert!(images.debug_files(id).supplementary.is_none() && images.refused().len() == 1);
    fs::rename(&away, &common).unwrap();
    assert!(images.debug_files(id).supplementary.is_some() && images.refused().is_empty());
}

/// Each kind of thing that may stand where a debug file is looked for, and is none.
#[test]
fn unusable_debug_file_is_told() {
    use rustix::fs::{CWD, FileType, mknodat};
    let Some(built) = Built::new(&["-Wl,--build-id=sha1"]) else { return };
    if !built.link("program.debug") {
        return;
    }
    let whole = fs::read(&built.debug).unwrap();
    type Make<'a> = (&'a str, &'a str, &'a dyn Fn(&Path));
    let make: [Make; 9] = [
        ("is a loop of links", "no regular file", &|path| symlink(path, path).unwrap()),
        ("is a pipe", "no regular file", &|path| mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0).unwrap()),
        ("is a device", "no regular file", &|path| symlink("/dev/zero", path).unwrap()),
        ("is made when it is read", "no regular file", &|path| symlink("/proc/version", path).unwrap()),
        ("is a folder", "no regular file", &|path| fs::create_dir(path).unwrap()),
        ("is no ELF file", "no ELF file", &|path| fs::write(path, b"").unwrap()),
        ("is no ELF file", "no ELF file", &|path| fs::write(path, vec![0x7f; 5000]).unwrap()),
        ("is cut short", "cut", &|path| fs::write(path, &whole[..whole.len() / 2]).unwrap()),
        ("has neither symbols nor debug information", "without symbols", &|path| {
            fs::copy(&built.program, path).map(drop).unwrap();
        }),
    ];
    for place in ["bin/program.debug".to_owned(), format!("dir/{}.debug", built.id_path())] {
        let place = built.path(&place);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        for (what, count, make) in make {
            make(&place);
            let bare = built.is_bare(&built.dir("dir"), what);
            let expected = format!("not used: {} {what}", place.display());
            assert!(bare.notes.contains(&expected), "{expected}: {:?}", bare.notes);
            assert_eq!(bare.skipped.get(&format!("files: {count}")), Some(&1), "{what}: {:?}", bare.skipped);
            let _ = fs::remove_dir(&place).or_else(|_| fs::remove_file(&place));
        }
    }
    // At most three are named.
    for place in ["bin/program.debug", "bin/.debug/program.debug", "dir/program.debug", "dir/.build-id"] {
        let place = if place == "dir/.build-id" { format!("dir/{}.debug", built.id_path()) } else { place.to_owned() };
        fs::create_dir_all(built.path(&place)).unwrap();
    }
    let bare = built.is_bare(&built.dir("dir"), "folders");
    let named = bare.notes.iter().filter(|note| note.ends_with("is a folder")).count();
    assert!(named == 3 && bare.notes.iter().any(|note| note.starts_with("1 more files are")), "{:?}", bare.notes);
}

/// Some link to a debug file by the program's own name, which then stands where the link leads first.
#[test]
fn program_itself_is_no_bad_debug_file() {
    let Some(built) = Built::new(&["-Wl,--build-id=sha1"]) else { return };
    if built.link("program") {
        let bare = built.is_bare(&built.no_sources(), "link to itself");
        assert!(bare.notes.is_empty(), "{:?}", bare.notes);
        built.place(&built.debug, "bin/.debug/program");
        built.is_whole(&built.no_sources(), "in .debug");
    }
}

#[test]
fn closed_debug_file_of_the_user_is_told() {
    let Some(built) = Built::new(&["-Wl,--build-id=sha1"]) else { return };
    let closed = built.place(&built.debug, &format!("dir/{}.debug", built.id_path()));
    set_mode(&closed, 0);
    let looked = look_up_unprivileged(&built, "dir");
    let note = format!("not used: {} may not be opened", closed.display());
    assert!(looked.notes.contains(&note) && !looked.files.denied, "{:?}", looked.notes);
}

/// Overwrites the last one of so many parts of a section.
fn damage(path: &Path, section: &str, parts: u64, byte: u8) {
    let place = ElfImage::open(path).unwrap().section(section).unwrap();
    let skipped = place.size - place.size / parts;
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&vec![byte; (place.size - skipped) as usize], place.file_offset + skipped).unwrap();
}

#[test]
fn damaged_debug_information_is_counted() {
    for version in ["-gdwarf-4", "-gdwarf-5"] {
        let Some(built) = Built::new(&["-Wl,--build-id=sha1", version]) else { return };
        let place = built.place(&built.debug, &format!("dir/{}.debug", built.id_path()));
        let what = format!("units of the debug information of {} that are damaged", built.program.display());
        let sound = Looked::up(&built.program, &built.dir("dir"), &built.svmas());
        assert_eq!(sound.skipped.get(&what), None, "{version}");
        assert!(sound.named.iter().any(Result::is_ok));
        let check = |how: &str| {
            let looked = Looked::up(&built.program, &built.dir("dir"), &built.svmas());
            assert_eq!(looked.skipped.get(&what), Some(&1), "{version} {how}: {:?}", looked.skipped);
        };
        for (section, parts, byte) in [
            (".debug_info", 1, 0xff),
            (".debug_info", 2, 0xff),
            (".debug_abbrev", 1, 0xff),
            (".debug_line", 1, 0xff),
            // An instruction of no length.
            (".debug_line", 2, 0),
        ] {
            fs::copy(&built.debug, &place).unwrap();
            damage(&place, section, parts, byte);
            check(&format!("{section}, the last of {parts} parts"));
        }
        fs::copy(&built.debug, &place).unwrap();
        if run("objcopy", &["--compress-debug-sections=zlib"], &[&place]) {
            damage(&place, ".debug_info", 2, 0xff);
            check("packed");
        }
    }
}
