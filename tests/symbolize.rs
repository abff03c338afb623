//! Names compared with other tools' on the same bytes.
//!
//! Programs are compiled here from `testdata/symbolize`; what the machine has no tool for is skipped aloud.

mod common;
#[path = "symbolize/files.rs"]
mod files;
#[path = "symbolize/jit.rs"]
mod jit;
#[path = "symbolize/languages.rs"]
mod languages;
#[path = "symbolize/reasons.rs"]
mod reasons;
#[path = "symbolize/stripped.rs"]
mod stripped;
#[path = "symbolize/told.rs"]
mod told;

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use flameprofile::image::{ElfImage, Images, Wanted};
use flameprofile::model::{FrameId, ImageId, ImageKind, Place, Profile, ProfileBuilder, Resolution, Unnamed};
use flameprofile::process::JitHost;
use flameprofile::symbolize::{KernelNames, Names, StoredSymbols, SymbolizeOptions};

use common::skip;

#[path = "symbolize/debug_info.rs"]
mod debug_info;

/// One frame: function as the file has it, file, line.
type NamedFrame = (String, String, u32);
type Named = Result<Vec<NamedFrame>, Unnamed>;

fn open(path: &Path, images: &mut Images, builder: &mut ProfileBuilder) -> (ImageId, Arc<ElfImage>) {
    let path_bytes = path.as_os_str().as_bytes();
    let wanted = Wanted::of_path(path_bytes);
    let id = images.intern(&wanted, |kind, path, build_id| builder.add_image(kind, path, build_id));
    let image = images.get(id).unwrap_or_else(|| panic!("{}: {:?}", path.display(), images.missing(id)));
    (id, Arc::clone(image))
}

/// Names frames as a recording that was just made does.
fn symbolize(profile: &mut Profile, images: &Images, jit_hosts: &[JitHost], options: &SymbolizeOptions) {
    let (kernel, stored) = (&KernelNames::Running, &StoredSymbols::default());
    flameprofile::symbolize::symbolize(profile, &Names { images, jit_hosts, kernel, stored }, options);
}

fn answer(profile: &Profile, frame: FrameId) -> Named {
    if let Resolution::Unknown { reason, .. } = profile.frames[frame.index()].resolution {
        return Err(reason);
    }
    let lines = profile.lines_of(frame).iter();
    Ok(lines
        .map(|line| {
            let function = profile.functions[line.function.index()];
            let name = profile.strings.get(function.raw_name).to_owned();
            (name, profile.strings.get(line.file).to_owned(), line.line)
        })
        .collect())
}

/// Our names for addresses that the file states.
fn ours(path: &Path, svmas: &[u64], options: &SymbolizeOptions) -> Vec<Named> {
    let (mut images, mut builder) = (Images::default(), ProfileBuilder::new());
    let (id, image) = open(path, &mut images, &mut builder);
    let offset = |svma: &u64| image.offset_of_svma(*svma).expect("the address is in the file");
    let frames: Vec<FrameId> = svmas.iter().map(|svma| builder.code_frame(id, offset(svma))).collect();
    let mut profile = builder.finish();
    let cpu_time = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let (started, before) = (Instant::now(), cpu_time());
    symbolize(&mut profile, &images, &[], options);
    println!("  {} addresses in {:?}, CPU time {:?}", svmas.len(), started.elapsed(), cpu_time() - before);
    profile.check().unwrap();
    frames.into_iter().map(|frame| answer(&profile, frame)).collect()
}

/// The names that `addr2line`, GNU's or LLVM's, has for the same addresses.
fn theirs(tool: &str, path: &Path, svmas: &[u64]) -> Option<Vec<Vec<NamedFrame>>> {
    let mut command = Command::new(tool);
    command.args(["-a", "-f", "-i", "-e"]).arg(path);
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let Ok(mut child) = spawned else {
        skip::here(&format!("no {tool} here"));
        return None;
    };
    let mut input = child.stdin.take().unwrap();
    let text: String = svmas.iter().map(|svma| format!("{svma:#x}\n")).collect();
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    writer.join().unwrap().unwrap();
    let mut answers = Vec::new();
    let mut lines = output.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("0x") {
            answers.push(Vec::new());
            continue;
        }
        let place = lines.next().unwrap().split(" (discriminator").next().unwrap();
        let (file, number) = place.rsplit_once(':').unwrap();
        answers.last_mut().unwrap().push((line.to_owned(), file.to_owned(), number.parse().unwrap_or(0)));
    }
    assert_eq!(answers.len(), svmas.len());
    Some(answers)
}

fn section_addresses(path: &Path, name: &str, step: usize) -> Vec<u64> {
    let image = ElfImage::from_bytes(std::fs::read(path).unwrap()).unwrap();
    let section = image.section(name).unwrap_or_else(|| panic!("{}: no {name}", path.display()));
    (section.svma..section.svma + section.size).step_by(step).collect()
}

/// Compiles a source of `testdata/symbolize`; `None`, said aloud, if that cannot be done here.
fn compile(directory: &Path, compiler: &str, source: &str, arguments: &[&str]) -> Option<PathBuf> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/symbolize").join(source);
    let to = directory.join(format!("{source}{}", arguments.join("").replace('/', "_")));
    let mut command = Command::new(compiler);
    let out = if compiler == "ldc2" { format!("-of={}", to.display()) } else { format!("-o{}", to.display()) };
    command.args(arguments).arg(out).arg(from).stderr(Stdio::null());
    if command.status().is_ok_and(|status| status.success()) {
        return Some(to);
    }
    skip::here(&format!("{compiler} {arguments:?} {source} does not work here"));
    None
}

/// Shares of the addresses where all functions, and where all functions and lines are as `tool` has them.
///
/// Left out is what is no difference of opinion: padding between functions, to which the tools give the name of the
/// function before; and that llvm names the outer function by the symbol table (`main.cold`, one of several equal
/// functions, `D4Ev` for a destructor), and GNU the innermost one by it (`main` for what was inlined into it).
fn agreement(tool: &str, path: &Path, svmas: &[u64]) -> Option<(f64, f64)> {
    let (ours, theirs) = (ours(path, svmas, &SymbolizeOptions::default()), theirs(tool, path, svmas)?);
    let (mut padding, mut same_names, mut same_lines, mut shown) = (0, 0, 0, 0);
    for ((svma, ours), theirs) in svmas.iter().zip(&ours).zip(&theirs) {
        let named: Vec<&NamedFrame> = theirs.iter().filter(|frame| frame.0 != "??").collect();
        if *ours == Err(Unnamed::NoMatch) && named.len() <= 1 {
            padding += 1;
            continue;
        }
        let ours: Vec<&NamedFrame> = ours.iter().flatten().collect();
        let by_symbol = |index: usize| {
            let last = named.len() - 1;
            if tool.starts_with("llvm") {
                index == last && ours[index].2 > 0
            } else {
                index == 0 && last > 0 && named[0].0 == named[last].0
            }
        };
        // Neither of them says what is around a function that has no linkage name.
        let in_scope = |ours: &str, theirs: &str| ours.strip_suffix(theirs).is_some_and(|scope| scope.ends_with("::"));
        let same_name = |index: usize| {
            ours[index].0 == named[index].0 || by_symbol(index) || in_scope(&ours[index].0, &named[index].0)
        };
        let names_agree = ours.len() == named.len() && (0..named.len()).all(same_name);
        let lines_agree = names_agree && ours.iter().zip(&named).all(|(ours, theirs)| ours.2 == theirs.2);
        same_names += usize::from(names_agree);
        same_lines += usize::from(lines_agree);
        if !lines_agree && shown < 4 {
            shown += 1;
            println!("  {svma:#x}\n    ours   {ours:?}\n    theirs {named:?}");
        }
    }
    let share = |count: usize| count as f64 / (svmas.len() - padding) as f64;
    println!("{tool} {}: {} addresses, {padding} of them padding", path.display(), svmas.len());
    println!("  names {:.4}, names and lines {:.4}", share(same_names), share(same_lines));
    assert!(padding * 5 < svmas.len(), "{padding} addresses without a name");
    Some((share(same_names), share(same_lines)))
}

const ZSTD: &str = "-Wl,--compress-debug-sections=zstd";

fn check(compiler: &str, source: &str, arguments: &[&str], step: usize) {
    let directory = tempfile::tempdir().unwrap();
    let Some(path) = compile(directory.path(), compiler, source, arguments) else { return };
    let svmas = section_addresses(&path, ".text", step);
    // GNU addr2line 2.40 does not read its own older form of compression, nor lines of a unit in several pieces where DWARF 2
    // cannot say so, nor clang's inlined functions (`DW_FORM_rnglistx`).
    let is_lost =
        compiler.starts_with("clang") || arguments.iter().any(|kind| ["-gz=zlib-gnu", "-gstrict-dwarf"].contains(kind));
    // LLVM 14 is built without zstd, and GNU's compiler before 13 too: its linker packs.
    let llvm = if arguments.contains(&ZSTD) { None } else { Some("llvm-addr2line") };
    let gnu = if is_lost { None } else { Some("addr2line") };
    for tool in gnu.into_iter().chain(llvm) {
        let Some((names, lines)) = agreement(tool, &path, &svmas) else { continue };
        // The rest are aliases of one address (`C1Ed` and `C2Ed`), each as right.
        assert!(names >= 0.98 && lines >= 0.98, "{tool} {source} {arguments:?}: {names} {lines}");
    }
}

#[test]
fn c_agrees_in_every_kind_of_debug_information() {
    for kind in ["-gdwarf-2", "-gdwarf-3", "-gdwarf-4", "-gdwarf-5", "-gz=zlib", ZSTD, "-gz=zlib-gnu", "-g1"] {
        let other = if kind == ZSTD || kind.starts_with("-gz") { "-g" } else { "-no-pie" };
        check("cc", "names.c", &["-O2", other, kind], 1);
    }
}

#[test]
fn symbols_agree() {
    check("cc", "names.c", &["-O2"], 1);
    check("c++", "names.cpp", &["-O2"], 1);
}

#[test]
fn cpp_agrees() {
    check("c++", "names.cpp", &["-O2", "-g"], 1);
}

#[test]
fn rust_agrees() {
    check("rustc", "names.rs", &["-O", "-Cdebuginfo=2"], 61);
}

/// The names, outermost last, of the function `symbol`'s first byte.
fn names_at(path: &Path, svma: u64) -> Result<Vec<String>, Unnamed> {
    let answer = ours(path, &[svma], &SymbolizeOptions::default()).remove(0);
    answer.map(|frames| frames.into_iter().map(|frame| frame.0).collect())
}

fn svma_of(path: &Path, symbol: &str) -> u64 {
    use object::{Object, ObjectSymbol};
    let data = std::fs::read(path).unwrap();
    let file = object::File::parse(&*data).unwrap();
    file.symbols().find(|known| known.name() == Ok(symbol)).unwrap().address()
}

#[test]
fn symbols_are_used_where_there_is_no_debug_information() {
    let directory = tempfile::tempdir().unwrap();
    let Some(path) = compile(directory.path(), "cc", "names.c", &["-O2", "-rdynamic"]) else { return };
    let [visible, local, label] =
        ["visible_outer", "local_outer", "assembly_label"].map(|symbol| svma_of(&path, symbol));
    assert_eq!(names_at(&path, visible), Ok(vec!["visible_outer".into()]));
    assert_eq!(names_at(&path, local), Ok(vec!["local_outer".into()]));
    assert_eq!(names_at(&path, label + 2), Ok(vec!["assembly_label".into()]));
    if !Command::new("strip").arg(&path).status().is_ok_and(|status| status.success()) {
        return skip::here("no strip here");
    }
    assert_eq!(names_at(&path, visible), Ok(vec!["visible_outer".into()]));
    assert_eq!(names_at(&path, label + 2), Ok(vec!["assembly_label".into()]));
    let Some(path) = compile(directory.path(), "cc", "names.c", &["-O2", "-s", "-static"]) else { return };
    let text = section_addresses(&path, ".text", 64);
    assert_eq!(names_at(&path, text[1]), Err(Unnamed::NoSymbols));
}

#[test]
fn less_is_given_when_less_is_asked() {
    let directory = tempfile::tempdir().unwrap();
    let Some(path) = compile(directory.path(), "c++", "names.cpp", &["-O2", "-g"]) else { return };
    let svmas = section_addresses(&path, ".text", 3);
    let all = SymbolizeOptions::default();
    let whole = ours(&path, &svmas, &all);
    let outer = ours(&path, &svmas, &SymbolizeOptions { inlines: false, ..all });
    let unlined = ours(&path, &svmas, &SymbolizeOptions { lines: false, ..all });
    let symbols = ours(&path, &svmas, &SymbolizeOptions { inlines: false, lines: false, ..all });
    assert!(whole.iter().flatten().any(|frames| frames.len() > 3));
    for (((whole, outer), unlined), symbols) in whole.iter().zip(&outer).zip(&unlined).zip(&symbols) {
        let Ok(whole) = whole else { continue };
        assert_eq!(outer.as_ref().unwrap()[..], whole[whole.len() - 1..]);
        let names = |frames: &[NamedFrame]| frames.iter().map(|frame| frame.0.clone()).collect::<Vec<_>>();
        assert_eq!(names(unlined.as_ref().unwrap()), names(whole));
        assert!(unlined.iter().flatten().all(|frame| frame.2 == 0 && frame.1.is_empty()));
        assert_eq!(symbols.as_ref().unwrap().len(), 1);
    }
}

#[test]
fn stripped_functions_are_one_place_each() {
    let directory = tempfile::tempdir().unwrap();
    let Some(path) = compile(directory.path(), "cc", "functions.c", &["-O2", "-no-pie", "-Wl,-z,separate-code"]) else {
        return;
    };
    let whole = ours(&path, &section_addresses(&path, ".text", 1), &SymbolizeOptions::default());
    let stripped = directory.path().join("stripped");
    assert!(Command::new("strip").arg("-o").arg(&stripped).arg(&path).status().unwrap().success());
    let svmas = section_addresses(&stripped, ".text", 1);
    let (mut images, mut builder) = (Images::default(), ProfileBuilder::new());
    let (id, image) = open(&stripped, &mut images, &mut builder);
    let offset = |svma: &u64| image.offset_of_svma(*svma).unwrap();
    let frames: Vec<FrameId> = svmas.iter().map(|svma| builder.code_frame(id, offset(svma))).collect();
    let mut profile = builder.finish();
    symbolize(&mut profile, &images, &[], &SymbolizeOptions::default());
    profile.check().unwrap();
    let mut places = std::collections::BTreeMap::new();
    for ((frame, svma), whole) in frames.iter().zip(&svmas).zip(&whole) {
        let Resolution::Unknown { reason, place } = profile.frames[frame.index()].resolution else {
            panic!("{svma:#x} has a name");
        };
        assert_eq!(reason, Unnamed::NoSymbols);
        match (place, whole) {
            (Place::Function(start), Ok(lines)) => {
                assert!(start <= *svma);
                assert_eq!(*places.entry(lines[0].0.clone()).or_insert(start), start, "{svma:#x}");
            }
            (Place::Address(address), _) => assert_eq!(address, *svma),
            (Place::Function(_), Err(_)) => {}
            (Place::Offset, _) => panic!("{svma:#x} has no address"),
        }
    }
    for name in ["tiny", "looping", "with_cold_part", "compare", "recursive", "main"] {
        assert!(places.contains_key(name), "{name}: {places:x?}");
    }
}

#[test]
fn vdso_and_perf_map_and_nobody() {
    let (mut images, mut builder) = (Images::default(), ProfileBuilder::new());
    let (path, pid) = (b"[vdso]", std::process::id());
    let wanted = Wanted { path, build_id: None, device: None, inode: None, pid, start: 0, end: 0, offset: 0, time: 0 };
    let vdso = images.intern_vdso(&wanted, |kind, path, build_id| builder.add_image(kind, path, build_id));
    let text = images.get(vdso).and_then(|image| image.section(".text"));
    let in_vdso: Vec<FrameId> = text
        .iter()
        .flat_map(|text| (text.file_offset..text.file_offset + text.size).step_by(16))
        .map(|offset| builder.code_frame(vdso, offset))
        .collect();
    let pid = std::process::id();
    let jit = builder.add_image(ImageKind::Jit(pid), "[jit]", None);
    let other = builder.add_image(ImageKind::Jit(pid + 1), "[jit]", None);
    let compiled = builder.code_frame(jit, 0x7000_0010);
    let unknown = builder.code_frame(jit, 0x8000_0010);
    let without_host = builder.code_frame(other, 0x7000_0010);
    let unmapped = builder.code_frame(ProfileBuilder::UNMAPPED, 5);
    let map = PathBuf::from(format!("/tmp/perf-{pid}.map"));
    let host = JitHost::open(pid).unwrap();
    let written =
        host.namespace_pid() == pid && std::fs::write(&map, "70000000 100 LazyCompile:*work a.js:1\n").is_ok();
    let mut profile = builder.finish();
    symbolize(&mut profile, &images, &[host], &SymbolizeOptions::default());
    profile.check().unwrap();
    let _ = std::fs::remove_file(&map);
    assert_eq!(answer(&profile, without_host), Err(Unnamed::Anonymous));
    assert_eq!(answer(&profile, unmapped), Err(Unnamed::NotMapped));
    if written {
        assert_eq!(answer(&profile, compiled).unwrap()[0].0, "LazyCompile:*work a.js:1");
        assert_eq!(answer(&profile, unknown), Err(Unnamed::NoMatch));
    } else {
        skip::here("no perf map can be written for this process");
    }
    let names: Vec<String> = in_vdso.iter().flat_map(|frame| answer(&profile, *frame)).flatten().map(|f| f.0).collect();
    assert!(names.len() * 3 >= in_vdso.len() * 2 && names.iter().all(|name| name.starts_with("__vdso_")), "{names:?}");
}

#[test]
fn file_cut_while_open_costs_its_names_only() {
    let directory = tempfile::tempdir().unwrap();
    let Some(path) = compile(directory.path(), "c++", "names.cpp", &["-O2", "-g"]) else { return };
    let svmas = section_addresses(&path, ".text", 7);
    let (mut images, mut builder) = (Images::default(), ProfileBuilder::new());
    let (id, image) = open(&path, &mut images, &mut builder);
    let offset = |svma: &u64| image.offset_of_svma(*svma).unwrap();
    let frames: Vec<FrameId> = svmas.iter().map(|svma| builder.code_frame(id, offset(svma))).collect();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(5000).unwrap();
    let mut profile = builder.finish();
    symbolize(&mut profile, &images, &[], &SymbolizeOptions::default());
    assert!(image.was_cut());
    for frame in frames {
        assert_eq!(answer(&profile, frame), Err(Unnamed::FileChanged));
    }
}
