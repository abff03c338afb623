//! Debug information as compilers and linkers of many kinds make it.

use flameprofile::image::Images;
use flameprofile::model::{FrameId, ProfileBuilder};
use flameprofile::symbolize::SymbolizeOptions;

use super::{answer, check, compile, open, ours, section_addresses, svma_of, symbolize};

#[test]
fn c_of_other_compilers_agrees() {
    for kind in ["-gdwarf-2", "-gdwarf-3", "-gdwarf-4", "-gdwarf-5"] {
        check("clang", "names.c", &["-O2", "-no-pie", kind], 1);
        check("cc", "names.c", &["-O2", "-no-pie", "-gstrict-dwarf", kind], 1);
    }
    check("clang", "names.c", &["-O2", "-g", "-gz=zlib"], 1);
}

#[test]
fn cpp_agrees_however_it_is_put_together() {
    check("c++", "names.cpp", &["-O2", "-g", "-fdebug-types-section", "-gdwarf-4"], 3);
    check("c++", "names.cpp", &["-O2", "-g", "-ffunction-sections", "-Wl,--gc-sections"], 3);
    check("c++", "names.cpp", &["-O2", "-g", "-flto"], 3);
    check("clang++", "names.cpp", &["-O2", "-g", "-fdebug-types-section"], 3);
    check("clang++", "names.cpp", &["-O2", "-gdwarf-4", "-ffunction-sections", "-Wl,--gc-sections"], 3);
}

/// A function has one name wherever it is inlined, and if it is not: symbols are the second opinion.
#[test]
fn functions_of_one_file_have_their_namespaces_and_classes() {
    let names = |compiler: &str, arguments: &[&str]| {
        let directory = tempfile::tempdir().unwrap();
        let path = compile(directory.path(), compiler, "scopes.cpp", arguments)?;
        let svmas = section_addresses(&path, ".text", 1);
        let (mut images, mut builder) = (Images::default(), ProfileBuilder::new());
        let (id, image) = open(&path, &mut images, &mut builder);
        for svma in svmas {
            builder.code_frame(id, image.offset_of_svma(svma).unwrap());
        }
        let mut profile = builder.finish();
        symbolize(&mut profile, &images, &[], &SymbolizeOptions::default());
        let named = profile.functions.iter().map(|function| profile.strings.get(function.name).to_owned());
        let mut names: Vec<String> = named.collect();
        names.sort_unstable();
        names.dedup();
        Some(names)
    };
    let Some(symbols) = names("c++", &["-O0"]) else { return };
    let of_file = ["app::(anonymous namespace)::Box::step", "app::(anonymous namespace)::hidden", "app::inner::other"];
    for name in of_file.into_iter().chain(["of_c", "outside"]) {
        assert!(symbols.iter().any(|symbol| symbol == name), "{name}: {symbols:?}");
    }
    let kinds = [
        ("c++", &["-O2", "-g"][..]),
        ("c++", &["-O2", "-gdwarf-2"]),
        ("c++", &["-O2", "-gdwarf-4", "-fdebug-types-section"]),
        ("c++", &["-O2", "-g", "-flto"]),
        ("clang++", &["-O2", "-g"]),
    ];
    for (compiler, arguments) in kinds {
        let Some(inlined) = names(compiler, arguments) else { continue };
        for name in of_file.into_iter().chain(["of_c", "outside"]) {
            assert!(inlined.iter().any(|found| found == name), "{compiler} {arguments:?}: {name}: {inlined:?}");
        }
        let bare = ["step", "hidden", "other", "operator()", "app::of_c"];
        assert!(inlined.iter().any(|name| name.ends_with("::operator()")), "{compiler} {arguments:?}: {inlined:?}");
        assert!(!inlined.iter().any(|name| bare.contains(&&name[..])), "{compiler} {arguments:?}: {inlined:?}");
    }
}

#[test]
fn outer_function_is_not_blamed_for_what_a_split_file_knows() {
    for version in ["-gdwarf-4", "-gdwarf-5"] {
        let directory = tempfile::tempdir().unwrap();
        let Some(path) = compile(directory.path(), "cc", "names.c", &["-O2", version, "-gsplit-dwarf"]) else { return };
        for entry in std::fs::read_dir(directory.path()).unwrap() {
            let file = entry.unwrap().path();
            if file.extension().is_some_and(|end| end == "dwo") {
                std::fs::remove_file(file).unwrap();
            }
        }
        let svma = svma_of(&path, "visible_outer");
        let svmas = [svma, svma + 8, svma + 16];
        for answer in ours(&path, &svmas, &SymbolizeOptions::default()) {
            assert_eq!(answer, Ok(vec![("visible_outer".into(), String::new(), 0)]));
        }
        let (mut images, mut builder) = (Images::default(), ProfileBuilder::new());
        let (id, image) = open(&path, &mut images, &mut builder);
        let frames: Vec<FrameId> =
            svmas.iter().map(|svma| builder.code_frame(id, image.offset_of_svma(*svma).unwrap())).collect();
        let mut profile = builder.finish();
        symbolize(&mut profile, &images, &[], &SymbolizeOptions::default());
        assert!(frames.iter().all(|frame| answer(&profile, *frame).is_ok()));
        let counted: Vec<_> = profile.stats.skipped.iter().collect();
        assert!(matches!(counted[..], [(what, 3)] if what.contains(".dwo")), "{counted:?}");
    }
}

#[test]
fn no_line_is_looked_for_where_none_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let Some(path) = compile(directory.path(), "cc", "names.c", &["-O2", "-g"]) else { return };
    let svmas = section_addresses(&path, ".text", 1);
    let whole = ours(&path, &svmas, &SymbolizeOptions::default());
    // A line program that cannot be read costs lines only.
    let mut bytes = std::fs::read(&path).unwrap();
    let image = flameprofile::image::ElfImage::open(&path).unwrap();
    let lines = image.section(".debug_line").unwrap();
    bytes[lines.file_offset as usize..][..lines.size as usize].fill(0xff);
    drop(image);
    std::fs::write(&path, bytes).unwrap();
    let broken = ours(&path, &svmas, &SymbolizeOptions::default());
    assert!(whole.iter().flatten().any(|frames| frames.len() > 1));
    for (whole, broken) in whole.iter().zip(&broken) {
        let names = |answer: &super::Named| {
            answer.clone().map(|frames| frames.into_iter().map(|frame| frame.0).collect::<Vec<_>>())
        };
        assert_eq!(names(whole), names(broken));
    }
}
