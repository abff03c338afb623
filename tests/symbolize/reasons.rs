//! What is said of frames without a name: why, how much, and what helps.

use std::path::Path;

use flameprofile::model::{Sample, StackEnd, StackId, Timestamp, Unit, UnnamedImage};

use super::*;

/// A profile with a sample at each of these addresses of files, named.
fn profile_of(files: &[(&Path, &[u64])]) -> Profile {
    let (mut images, mut builder) = (Images::default(), ProfileBuilder::new());
    let event = builder.add_event("cpu-clock", Unit::Nanoseconds, None);
    let process = builder.add_process(7, "prog");
    let thread = builder.add_thread(process, 7, "prog");
    for (path, svmas) in files {
        let (id, image) = open(path, &mut images, &mut builder);
        for svma in *svmas {
            let frame = builder.code_frame(id, image.offset_of_svma(*svma).unwrap());
            let stack = builder.stack(StackId(0), frame);
            let (time, end) = (Timestamp(1), StackEnd::Root);
            builder.add_sample(Sample { time, thread, cpu: 0, stack, end, event, value: 10, count: 1 });
        }
    }
    let mut profile = builder.finish();
    symbolize(&mut profile, &images, &[], &SymbolizeOptions::default());
    profile.check().unwrap();
    profile
}

fn row_of<'a>(profile: &'a Profile, path: &Path) -> Option<&'a UnnamedImage> {
    profile.stats.unnamed_images.iter().find(|row| Path::new(&row.image) == path)
}

#[test]
fn own_stripped_program_is_to_be_built_with_symbols() {
    let directory = tempfile::tempdir().unwrap();
    let Some(named) = compile(directory.path(), "cc", "functions.c", &["-O2"]) else { return };
    let Some(stripped) = compile(directory.path(), "cc", "functions.c", &["-O2", "-s"]) else { return };
    let svma = svma_of(&named, "looping");
    let profile = profile_of(&[(&named, &[svma]), (&stripped, &[svma, svma + 4, svma + 8])]);
    let row = row_of(&profile, &stripped).unwrap_or_else(|| panic!("{:?}", profile.stats.unnamed_images));
    assert!((row.share - 0.75).abs() < 1e-9, "{row:?}");
    assert!(row.help.contains("build it with `-g`"), "{row:?}");
    assert_eq!(row_of(&profile, &named), None);
    let summary = flameprofile::render::summary(&profile.stats);
    assert!(summary.contains("unnamed   75.00 % ") && summary.contains("do not strip it"), "{summary}");
    let json = flameprofile::render::stats_json(&profile.stats);
    assert_eq!(json["unnamed_images"][0]["help"].as_str(), Some(&*row.help));
    assert_eq!(json["unnamed_images"][0]["share"].as_f64(), Some(row.share));
}

#[test]
fn system_library_without_symbols_is_to_be_installed_by_package() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let mut seen = Vec::new();
    // Those of this program: valgrind, for one, brings the symbols of libc along.
    for (name, package) in [("/libc.so", "libc6-dbg`"), ("/libgcc_s.so", "libgcc-s1-dbgsym`")] {
        let path = maps.lines().filter_map(|line| line.split_whitespace().nth(5)).find(|path| path.contains(name));
        let Some(path) = path.map(Path::new) else { continue };
        // Between the functions that it exports, which have names.
        let profile = profile_of(&[(path, &section_addresses(path, ".text", 512))]);
        match row_of(&profile, path) {
            None => {}
            Some(row) if release.contains("\nID=debian\n") => {
                assert!(row.help.contains("apt install") && row.help.contains(package), "{row:?}");
                assert!(row.share > 0.05 && row.share < 1.0, "{row:?}");
                return;
            }
            Some(row) => seen.push(format!("no Debian; the advice is {:?}", row.help)),
        }
    }
    skip::here(
        &seen.pop().unwrap_or_else(|| "the symbols of libc and libgcc_s are installed, or neither is used".to_owned()),
    )
}
