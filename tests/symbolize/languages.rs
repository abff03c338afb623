//! The names that programs of each language are shown with.

use std::collections::BTreeSet;
use std::io::BufRead;

use flameprofile::model::ProfileBuilder;

use super::*;
use crate::common::account::have;

/// Names as they are shown, and as the file has them, of a program's code.
fn names_of(path: &Path, options: &SymbolizeOptions) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut images, mut builder) = (Images::default(), ProfileBuilder::new());
    let (id, image) = open(path, &mut images, &mut builder);
    for svma in section_addresses(path, ".text", 4) {
        builder.code_frame(id, image.offset_of_svma(svma).unwrap());
    }
    let mut profile = builder.finish();
    symbolize(&mut profile, &images, &[], options);
    profile.check().unwrap();
    let name = |id| profile.strings.get(id).to_owned();
    let shown = profile.functions.iter().map(|function| name(function.name)).collect();
    (shown, profile.functions.iter().map(|function| name(function.raw_name)).collect())
}

/// Compiles a source, and looks for names that are shown by default, and with `full_names`.
fn check_names(compiler: &str, source: &str, arguments: &[&str], short: &[&str], full: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let Some(path) = compile(directory.path(), compiler, source, arguments) else { return };
    let options = SymbolizeOptions::default();
    let (shown, raw) = names_of(&path, &options);
    for name in short {
        assert!(shown.contains(*name), "{source} {arguments:?}: no {name} in {shown:#?}");
    }
    let full_names = names_of(&path, &SymbolizeOptions { full_names: true, ..options }).0;
    for name in full {
        let name = name.split('*').collect::<Vec<_>>();
        let is_so = |known: &String| known.starts_with(name[0]) && known.ends_with(name[name.len() - 1]);
        assert!(full_names.iter().any(is_so), "{source} {arguments:?}: no {name:?} in {full_names:#?}");
    }
    let plain = SymbolizeOptions { demangle: false, ..options };
    assert_eq!(names_of(&path, &plain), (raw.clone(), raw), "nothing is demangled if that is not asked for");
}

#[test]
fn c_is_shown_without_parts() {
    check_names("cc", "functions.c", &["-O2"], &["with_cold_part", "looping", "main"], &["with_cold_part.cold"]);
    let directory = tempfile::tempdir().unwrap();
    let Some(path) = compile(directory.path(), "cc", "functions.c", &["-O2"]) else { return };
    let (shown, raw) = names_of(&path, &SymbolizeOptions::default());
    assert!(raw.contains("with_cold_part.cold") && !shown.contains("with_cold_part.cold"), "{raw:?} {shown:?}");
}

#[test]
fn cpp_is_shown_without_parameters() {
    let short = ["shapes::Circle::area", "shapes::Circle::Circle", "main"];
    let full = ["shapes::Circle::area() const", "shapes::Circle::Circle(double)"];
    for arguments in [&["-O2"][..], &["-O2", "-g"]] {
        check_names("c++", "names.cpp", arguments, &short, &full);
    }
}

#[test]
fn rust_is_shown_without_hashes() {
    let short = ["names::main", "<names::Word as names::Weigh>::weigh"];
    // The older mangling is the default of rustc 1.95, and has a hash as its last part.
    let legacy = ["names::main::h*", "<names::Word as names::Weigh>::weigh::h*"];
    check_names("rustc", "names.rs", &["-O"], &short, &legacy);
    check_names("rustc", "names.rs", &["-O", "-Cdebuginfo=1"], &short, &legacy);
    let v0 = ["names[*]::main", "<names[*]::Word as names[*]::Weigh>::weigh"];
    check_names("rustc", "names.rs", &["-O", "-Csymbol-mangling-version=v0"], &short, &v0);
}

#[test]
fn d_is_shown_as_it_is() {
    for compiler in [if have("gdc") { "gdc" } else { "gdc-12" }, "ldc2"] {
        let directory = tempfile::tempdir().unwrap();
        let Some(path) = compile(directory.path(), compiler, "names.d", &["-O1"]) else { continue };
        let shown = names_of(&path, &SymbolizeOptions::default()).0;
        assert!(shown.iter().any(|name| name.starts_with("_D5names6Square4area")), "{compiler}: {shown:#?}");
        assert!(shown.iter().any(|name| name.starts_with("_D5names__T5twice")), "{compiler}: {shown:#?}");
    }
}

#[test]
fn bpf_programs_have_names_and_lines() {
    let directory = tempfile::tempdir().unwrap();
    let include = format!("-I/usr/include/{}-linux-gnu", std::env::consts::ARCH);
    let arguments = ["-g", "-O2", "-target", "bpf", &include, "-c"];
    let Some(object) = compile(directory.path(), "clang", "planted.bpf.c", &arguments) else { return };
    let loader = directory.path().join("load");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/symbolize/load_bpf.c");
    let compiled = Command::new("cc").arg(source).arg("-o").arg(&loader).arg("-lbpf").stderr(Stdio::null()).status();
    if !compiled.is_ok_and(|status| status.success()) {
        return skip::here("no libbpf here");
    }
    let mut command = Command::new(&loader);
    command.arg(&object).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let list = std::fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    let start = |name: &str| {
        let line =
            list.lines().rfind(|line| line.contains("bpf_prog_") && line.contains(&format!("_{name}\t[bpf]")))?;
        u64::from_str_radix(line.split(' ').next()?, 16).ok().filter(|start| *start > 0)
    };
    let starts = [("planted_enter", 17..21), ("mixing", 8..14)].map(|(name, lines)| (name, lines, start(name)));
    let mut builder = ProfileBuilder::new();
    let mut frames = Vec::new();
    for (name, lines, start) in &starts {
        let Some(start) = start else { continue };
        let frame = builder.code_frame(ProfileBuilder::KERNEL, start + 40);
        frames.push((name, lines, frame));
    }
    let mut profile = builder.finish();
    symbolize(&mut profile, &Images::default(), &[], &SymbolizeOptions::default());
    drop(child.stdin.take());
    child.wait().unwrap();
    if line.trim() != "loaded" || frames.len() < 2 {
        return skip::here("no BPF program can be loaded here, or kallsyms does not show it");
    }
    for (name, lines, frame) in frames {
        let found = profile.lines_of(frame);
        assert_eq!(found.len(), 1, "{name}");
        let function = profile.functions[found[0].function.index()];
        assert_eq!(profile.strings.get(function.name), format!("{name} [bpf]"));
        assert!(profile.strings.get(function.raw_name).starts_with("bpf_prog_"));
        assert!(profile.strings.get(found[0].file).ends_with("planted.bpf.c"), "{name}");
        assert!(lines.contains(&found[0].line), "{name}: line {}", found[0].line);
    }
}
