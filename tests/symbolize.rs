//! Names compared with other tools' on the same bytes.
//!
//! Programs are compiled here from `testdata/symbolize`; what the machine has no tool for is skipped aloud.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use flameprofile::image::{ElfImage, Images, Wanted};
use flameprofile::model::{FrameId, ImageId, Profile, ProfileBuilder, Resolution, Unnamed};
use flameprofile::symbolize::{SymbolizeOptions, symbolize};

/// One frame: function as the file has it, file, line.
type NamedFrame = (String, String, u32);
type Named = Result<Vec<NamedFrame>, Unnamed>;

fn open(path: &Path, images: &mut Images, builder: &mut ProfileBuilder) -> (ImageId, Arc<ElfImage>) {
    let path_bytes = path.as_os_str().as_bytes();
    let pid = std::process::id();
    let wanted = Wanted { path: path_bytes, build_id: None, device: None, inode: None, pid, start: 0, end: 0 };
    let id = images.intern(&wanted, |kind, path, build_id| builder.add_image(kind, path, build_id));
    let image = images.get(id).unwrap_or_else(|| panic!("{}: {:?}", path.display(), images.missing(id)));
    (id, Arc::clone(image))
}

fn answer(profile: &Profile, frame: FrameId) -> Named {
    if let Resolution::Unknown(reason) = profile.frames[frame.index()].resolution {
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
    let started = Instant::now();
    symbolize(&mut profile, &images, &[], options);
    println!("  {} addresses in {:?}", svmas.len(), started.elapsed());
    profile.check().unwrap();
    frames.into_iter().map(|frame| answer(&profile, frame)).collect()
}

/// The names that `addr2line`, GNU's or LLVM's, has for the same addresses.
fn theirs(tool: &str, path: &Path, svmas: &[u64]) -> Option<Vec<Vec<NamedFrame>>> {
    let mut command = Command::new(tool);
    command.args(["-a", "-f", "-i", "-e"]).arg(path);
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let Ok(mut child) = spawned else {
        println!("SKIPPED: no {tool} here");
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
    command.args(arguments).arg("-o").arg(&to).arg(from).stderr(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => Some(to),
        result => {
            println!("SKIPPED: {compiler} {arguments:?} {source}: {result:?}");
            None
        }
    }
}

/// Shares of the addresses where all functions, and where all functions and lines are as `tool` has them.
///
/// Padding between functions is left out: the tools give it the name of the function before.
fn agreement(tool: &str, path: &Path, svmas: &[u64]) -> Option<(f64, f64)> {
    let (ours, theirs) = (ours(path, svmas, &SymbolizeOptions::default()), theirs(tool, path, svmas)?);
    let (mut padding, mut same_names, mut same_lines, mut shown) = (0, 0, 0, 0);
    for ((svma, ours), theirs) in svmas.iter().zip(&ours).zip(&theirs) {
        let named: Vec<&NamedFrame> = theirs.iter().filter(|frame| frame.0 != "??").collect();
        if *ours == Err(Unnamed::NoMatch) && named.iter().all(|frame| frame.2 == 0) {
            padding += 1;
            continue;
        }
        let frames = || ours.iter().flatten();
        let names_agree = frames().map(|frame| &frame.0).eq(named.iter().map(|frame| &frame.0));
        let lines_agree = names_agree && frames().map(|frame| frame.2).eq(named.iter().map(|frame| frame.2));
        same_names += usize::from(names_agree);
        same_lines += usize::from(lines_agree);
        if !lines_agree && shown < 4 {
            shown += 1;
            println!("  {svma:#x}\n    ours   {ours:?}\n    theirs {theirs:?}");
        }
    }
    let share = |count: usize| count as f64 / (svmas.len() - padding) as f64;
    println!("{tool} {}: {} addresses, {padding} of them padding", path.display(), svmas.len());
    println!("  names {:.4}, names and lines {:.4}", share(same_names), share(same_lines));
    Some((share(same_names), share(same_lines)))
}

fn check(compiler: &str, source: &str, arguments: &[&str], step: usize, least: (f64, f64)) {
    let directory = tempfile::tempdir().unwrap();
    let Some(path) = compile(directory.path(), compiler, source, arguments) else { return };
    let svmas = section_addresses(&path, ".text", step);
    for tool in ["addr2line", "llvm-addr2line"] {
        let Some((names, lines)) = agreement(tool, &path, &svmas) else { continue };
        assert!(names >= least.0 && lines >= least.1, "{tool} {source} {arguments:?}");
    }
}

#[test]
fn c_agrees_in_every_kind_of_debug_information() {
    for kind in ["-gdwarf-2", "-gdwarf-3", "-gdwarf-4", "-gdwarf-5", "-gz=zlib", "-gz=zstd", "-gz=zlib-gnu", "-g1"] {
        let other = if kind.starts_with("-gz") { "-g" } else { "-no-pie" };
        check("cc", "names.c", &["-O2", other, kind], 1, (0.99, 0.98));
    }
}

#[test]
fn cpp_agrees() {
    check("c++", "names.cpp", &["-O2", "-g"], 1, (0.95, 0.9));
}

#[test]
fn rust_agrees() {
    check("rustc", "names.rs", &["-O", "-Cdebuginfo=2"], 61, (0.9, 0.9));
}

#[test]
#[ignore = "prints figures about a large file: FILE=... cargo test --release --test symbolize -- --ignored figures"]
fn figures() {
    let path = PathBuf::from(std::env::var_os("FILE").expect("FILE names an ELF file"));
    let section = std::env::var("SECTION").unwrap_or(".text".into());
    let all = section_addresses(&path, &section, 1);
    let count = std::env::var("COUNT").map_or(10_000, |count| count.parse().unwrap());
    let svmas: Vec<u64> = all.iter().copied().step_by((all.len() / count).max(1)).collect();
    let ours = ours(&path, &svmas, &SymbolizeOptions::default());
    let unnamed = ours.iter().filter(|answer| answer.is_err()).count();
    println!("frames: {}, unnamed: {unnamed}", ours.iter().flatten().map(Vec::len).sum::<usize>());
    let started = Instant::now();
    for tool in std::env::var("TOOLS").unwrap_or_default().split_ascii_whitespace() {
        agreement(tool, &path, &svmas);
        println!("{tool}: {:?}", started.elapsed());
    }
}
