//! Names of what has no symbols: Go's own table, stubs of a PLT, files with exported symbols alone.

use super::*;

/// Compiles `names.go`; `None`, said aloud, if that cannot be done here.
fn compile_go(directory: &Path, name: &str, arguments: &[&str]) -> Option<PathBuf> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/symbolize/names.go");
    let to = directory.join(name);
    let mut command = Command::new("go");
    command.args(["build", "-o"]).arg(&to).args(arguments).arg(from);
    if command.env("GO111MODULE", "off").env("GOTOOLCHAIN", "local").status().is_ok_and(|status| status.success()) {
        return Some(to);
    }
    skip::here(&format!("go build {arguments:?} does not work here"));
    None
}

/// Names by Go's table against those by DWARF, which the same compiler wrote of the same code.
fn check_go(kinds: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let Some(whole) = compile_go(directory.path(), "whole", kinds) else { return };
    let stripped_kinds: Vec<&str> = kinds.iter().copied().chain(["-ldflags=-s -w"]).collect();
    let Some(stripped) = compile_go(directory.path(), "stripped", &stripped_kinds) else { return };
    let svmas = section_addresses(&stripped, ".text", 7);
    assert_eq!(section_addresses(&whole, ".text", 7), svmas, "the linker places code alike");
    let options = SymbolizeOptions::default();
    let (by_dwarf, by_table) = (ours(&whole, &svmas, &options), ours(&stripped, &svmas, &options));
    let (mut compared, mut same_names, mut same, mut inlined, mut shown) = (0, 0, 0, 0, 0);
    for ((svma, dwarf), table) in svmas.iter().zip(&by_dwarf).zip(&by_table) {
        // DWARF leaves padding out, which the table counts to the function before.
        let (Ok(dwarf), Ok(table)) = (dwarf, table) else {
            let is_label = matches!(dwarf, Ok(frames) if frames[0].2 == 0);
            assert!(table.is_ok() || dwarf.is_err() || is_label, "{svma:#x}: {dwarf:?} {table:?}");
            continue;
        };
        let names = |frames: &[NamedFrame]| frames.iter().map(|frame| generic(&frame.0)).collect::<Vec<_>>();
        let lines = |frames: &[NamedFrame]| frames.iter().map(|frame| frame.2).collect::<Vec<_>>();
        compared += 1;
        inlined += usize::from(table.len() > 1);
        let alike = names(dwarf) == names(table);
        same_names += usize::from(alike);
        let alike = alike && lines(dwarf) == lines(table);
        same += usize::from(alike);
        if !alike && shown < 8 {
            shown += 1;
            println!("  {svma:#x}\n    dwarf {dwarf:?}\n    table {table:?}");
        }
    }
    println!("{compared} addresses, {inlined} inlined: names {same_names}, lines too {same}");
    assert!(compared > 10_000 && inlined > 1_000, "{compared} {inlined}");
    let share = |count: usize| count as f64 / compared as f64;
    assert!(share(same_names) > 0.98 && share(same) > 0.95, "{} {}", share(same_names), share(same));
    let names: std::collections::BTreeSet<&str> = by_table.iter().flatten().flatten().map(|frame| &*frame.0).collect();
    for name in ["main.(*circle).area", "main.square.area", "main.cold", "main.multiply", "main.add", "main.main.func1"]
    {
        assert!(names.contains(name), "{name}");
    }
    let shown = shown_at(&stripped, |name| name == "main.cold");
    assert_eq!(shown.as_deref(), Some("main.cold"), "no part of main");
    assert!(by_table.iter().flatten().flatten().any(|frame| frame.1.ends_with("symbolize/names.go") && frame.2 > 0));
}

/// Go's table says `[...]` where a symbol says for which types.
fn generic(name: &str) -> String {
    match (name.find('['), name.rfind(']')) {
        (Some(open), Some(close)) if open < close => format!("{}[...]{}", &name[..open], &name[close + 1..]),
        _ => name.to_owned(),
    }
}

/// How the first function is shown whose raw name is one of these.
fn shown_at(path: &Path, wanted: impl Fn(&str) -> bool) -> Option<String> {
    let (mut images, mut builder) = (Images::default(), ProfileBuilder::new());
    let (id, image) = open(path, &mut images, &mut builder);
    for svma in section_addresses(path, ".text", 7) {
        builder.code_frame(id, image.offset_of_svma(svma).unwrap());
    }
    let mut profile = builder.finish();
    symbolize(&mut profile, &images, &[], &SymbolizeOptions::default());
    let found = profile.functions.iter().find(|function| wanted(profile.strings.get(function.raw_name)))?;
    Some(profile.strings.get(found.name).to_owned())
}

#[test]
fn go_names_itself_when_stripped() {
    check_go(&[]);
}

#[test]
fn go_names_itself_when_position_independent() {
    check_go(&["-buildmode=pie"]);
}

/// The stubs of a file that objdump knows: address of each, and its name.
fn stubs_by_objdump(path: &Path) -> Option<Vec<(u64, String)>> {
    let output =
        Command::new("objdump").args(["-d", "-j", ".plt", "-j", ".plt.sec", "-j", ".plt.got"]).arg(path).output();
    let Ok(output) = output else {
        skip::here("no objdump here");
        return None;
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let stub = |line: &str| {
        let (address, name) = line.strip_suffix(">:")?.split_once(" <")?;
        Some((u64::from_str_radix(address, 16).ok()?, name.to_owned())).filter(|(_, name)| name.ends_with("@plt"))
    };
    Some(text.lines().filter_map(stub).collect())
}

/// A library without symbols of its own is enough: it calls two functions, and takes the address of one.
const CALLER: &str = "extern int outside(int); extern int other_one(int); int (*volatile taken)(int);\n\
    int inside(int x) { taken = other_one; return outside(x) + other_one(x) + 1; }\n";

/// Compiles `CALLER` as a library.
fn compile_caller(directory: &Path, compiler: &str, arguments: &[&str]) -> Option<PathBuf> {
    let (from, to) = (directory.join("caller.c"), directory.join("caller.so"));
    std::fs::write(&from, CALLER).unwrap();
    let mut command = Command::new(compiler);
    command.args(["-O1", "-shared", "-fPIC", "-nostdlib", "-s"]).args(arguments).arg("-o").arg(&to).arg(&from);
    if command.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        return Some(to);
    }
    skip::here(&format!("{compiler} {arguments:?} does not work here"));
    None
}

#[test]
fn stubs_are_named_by_what_they_call() {
    let directory = tempfile::tempdir().unwrap();
    let ibt = "-fcf-protection=full";
    let (mut kinds, mut checked) = (vec![vec![]], 0);
    if cfg!(target_arch = "x86_64") {
        kinds.extend([
            vec![ibt, "-Wl,-z,ibtplt"],
            vec![ibt, "-Wl,-z,ibtplt", "-Wl,-z,now"],
            vec!["-Wl,-z,now"],
            vec!["-fuse-ld=gold"],
            vec!["-fuse-ld=lld"],
            vec!["-fuse-ld=lld", ibt, "-Wl,-z,force-ibt"],
            vec!["-m32"],
            vec!["-m32", "-Wl,-z,now"],
            vec!["-m32", ibt, "-Wl,-z,ibtplt"],
        ]);
    }
    for arguments in kinds {
        let Some(path) = compile_caller(directory.path(), "cc", &arguments) else { continue };
        let Some(stubs) = stubs_by_objdump(&path) else { continue };
        // The second half of each stub is asked for too.
        let svmas: Vec<u64> = stubs.iter().flat_map(|(svma, _)| [*svma, svma + 6]).collect();
        let found = ours(&path, &svmas, &SymbolizeOptions::default());
        for ((svma, name), answers) in stubs.iter().zip(found.chunks(2)) {
            for answer in answers {
                assert_eq!(*answer, Ok(vec![(name.clone(), String::new(), 0)]), "{arguments:?} {svma:#x}");
            }
            checked += 1;
        }
        let names: Vec<&str> = stubs.iter().map(|(_, name)| &**name).collect();
        // gold and lld of 32 bits are not all known to objdump.
        assert!(names.contains(&"outside@plt") || arguments.len() > 1 || names.is_empty(), "{arguments:?} {names:?}");
    }
    assert!(checked > 0 || Command::new("objdump").output().is_err(), "no stub was compared");
}

#[test]
fn stubs_of_other_linkers_and_processors_are_named() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [
        &["--target=x86_64-linux-gnu", "-fuse-ld=lld"][..],
        &["--target=x86_64-linux-gnu", "-fuse-ld=lld", "-fcf-protection=full", "-Wl,-z,force-ibt"],
        &["--target=i386-linux-gnu", "-fuse-ld=lld"],
        &["--target=aarch64-linux-gnu", "-fuse-ld=lld"],
        &["--target=aarch64-linux-gnu", "-fuse-ld=lld", "-mbranch-protection=standard", "-Wl,-z,force-bti"],
    ] {
        let Some(path) = compile_caller(directory.path(), "clang", arguments) else { continue };
        let image = ElfImage::open(&path).unwrap();
        let sections = [".plt", ".plt.sec"].into_iter().filter(|name| image.section(name).is_some());
        let mut names = std::collections::BTreeMap::<String, usize>::new();
        for section in sections {
            let svmas = section_addresses(&path, section, 4);
            for answer in ours(&path, &svmas, &SymbolizeOptions::default()).into_iter().flatten() {
                *names.entry(answer[0].0.clone()).or_default() += 1;
            }
        }
        // 16 bytes each at least, and the first stub of all, which looks symbols up, is no function's.
        let of = |name: &str| names.get(name).copied().unwrap_or(0);
        assert!(of("outside@plt") >= 4 && of("other_one@plt") >= 4 && names.len() == 2, "{arguments:?} {names:?}");
        assert_eq!(of("outside@plt"), of("other_one@plt"), "{arguments:?}");
    }
}

#[test]
fn stubs_of_a_static_program_are_named_by_what_is_chosen() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [&["-O2", "-static"][..], &["-O2", "-static-pie"]] {
        let Some(path) = compile(directory.path(), "cc", "names.c", arguments) else { continue };
        let data = std::fs::read(&path).unwrap();
        if ElfImage::from_bytes(data).unwrap().section(".plt").is_none() {
            skip::here(&format!("{arguments:?}: no stubs"));
            continue;
        }
        let answers = ours(&path, &section_addresses(&path, ".plt", 8), &SymbolizeOptions::default());
        let names: Vec<String> = answers.iter().flatten().map(|frames| frames[0].0.clone()).collect();
        assert!(names.len() * 10 > answers.len() * 8, "{} of {}: {names:?}", names.len(), answers.len());
        assert!(
            names.iter().all(|name| name.ends_with("@plt")) && names.iter().any(|name| name.contains("mem")),
            "{names:?}"
        );
    }
}

/// Where the functions of `functions.c` begin by the frames of a stripped copy: one place for each.
fn check_places(compiler: &str, arguments: &[&str], strip: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let Some(path) = compile(directory.path(), compiler, "functions.c", arguments) else { return };
    let svmas: Vec<u64> = ["tiny", "looping", "with_cold_part", "compare", "recursive", "main", "complain"]
        .iter()
        .flat_map(|name| bytes_of(&path, name))
        .collect();
    let whole = ours(&path, &svmas, &SymbolizeOptions::default());
    let stripped = directory.path().join("stripped");
    let status = Command::new("objcopy").args(strip).arg(&path).arg(&stripped).status();
    if !status.is_ok_and(|status| status.success()) {
        return skip::here(&format!("objcopy {strip:?} does not work here"));
    }
    let (mut images, mut builder) = (Images::default(), ProfileBuilder::new());
    let (id, image) = open(&stripped, &mut images, &mut builder);
    let frames: Vec<FrameId> =
        svmas.iter().map(|svma| builder.code_frame(id, image.offset_of_svma(*svma).unwrap())).collect();
    let mut profile = builder.finish();
    symbolize(&mut profile, &images, &[], &SymbolizeOptions::default());
    let mut places = std::collections::BTreeMap::<String, std::collections::BTreeSet<u64>>::new();
    for ((frame, svma), whole) in frames.iter().zip(&svmas).zip(&whole) {
        let Resolution::Unknown { place, .. } = profile.frames[frame.index()].resolution else {
            panic!("{arguments:?} {svma:#x}: {:?}", profile.frames[frame.index()].resolution);
        };
        let Place::Function(start) = place else { panic!("{arguments:?} {svma:#x}: {place:?}") };
        places.entry(whole.as_ref().unwrap()[0].0.clone()).or_default().insert(start);
    }
    assert!(places.len() >= 7, "{arguments:?} {places:x?}");
    for (name, starts) in &places {
        // What is hardly run stands elsewhere.
        assert_eq!(starts.len(), 1, "{arguments:?} {name}: {starts:x?}");
    }
    let starts: std::collections::BTreeSet<u64> = places.values().flatten().copied().collect();
    assert_eq!(starts.len(), places.len(), "{arguments:?}: two functions are one place");
}

/// Every fourth byte of a function, by its symbol.
fn bytes_of(path: &Path, name: &str) -> Vec<u64> {
    use object::{Object, ObjectSymbol};
    let data = std::fs::read(path).unwrap();
    let file = object::File::parse(&*data).unwrap();
    let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name)).unwrap_or_else(|| panic!("no {name}"));
    (symbol.address()..symbol.address() + symbol.size()).step_by(4).collect()
}

#[test]
fn stripped_functions_are_one_place_each_in_every_kind_of_program() {
    let all = ["--strip-all"];
    for arguments in [
        &["-O2"][..],
        &["-O2", "-Wl,--no-eh-frame-hdr"],
        &["-O2", "-static"],
        &["-O2", "-static-pie"],
        &["-O2", "-m32"],
        &["-O2", "-m32", "-static"],
        &["-O2", "-fuse-ld=lld"],
    ] {
        check_places("cc", arguments, &all);
    }
    check_places("musl-gcc", &["-O2", "-static"], &all);
    check_places("musl-gcc", &["-O2"], &all);
    // No section is there that the system's compilers keep for exceptions.
    let debug_frame = ["-O2", "-g", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables"];
    let without_names =
        ["--strip-all", "--keep-section=.debug_frame", "--remove-section=.eh_frame", "--remove-section=.eh_frame_hdr"];
    check_places("cc", &debug_frame, &without_names);
}

#[test]
fn symbol_without_a_size_does_not_name_what_follows() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["-O2", "-shared", "-fPIC", "-nostdlib", "-fno-toplevel-reorder"];
    let Some(whole) = compile(directory.path(), "cc", "exported.c", &arguments) else { return };
    let [label, hidden, last] = ["exported_label", "hidden", "exported_last"].map(|name| svma_of(&whole, name));
    assert!(label < hidden && hidden < last, "they stand in their order");
    let stripped = directory.path().join("stripped");
    let status = Command::new("strip").arg("-o").arg(&stripped).arg(&whole).status();
    if !status.is_ok_and(|status| status.success()) {
        return skip::here("no strip here");
    }
    assert_eq!(names_at(&stripped, label + 2), Ok(vec!["exported_label".into()]));
    assert_eq!(names_at(&stripped, hidden + 4), Err(Unnamed::NoMatch));
    assert_eq!(names_at(&stripped, last + 1), Ok(vec!["exported_last".into()]));
    assert_eq!(names_at(&whole, hidden + 4), Ok(vec!["hidden".into()]));
}
