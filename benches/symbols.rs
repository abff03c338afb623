//! What names cost beside other symbolizers, and whether they are the same.
//!
//! `cargo bench --bench symbols`. Of ripgrep and of cppcheck, both built with full debug information: 10,000 distinct addresses,
//! drawn uniformly over the bytes of functions, and a million look-ups of them in the order of a profile (the address of rank n
//! is asked for 1/n as often as the first). Ours are the frames of a profile of as many samples, interned and symbolized by the
//! library; the peers, which know addresses only, name one after the other. Each run is a process of its own, programs take
//! turns, medians count; CPU time is that of the whole process, on all its threads.
//!
//! `PROFILE_SYMBOLS_RG` and `PROFILE_SYMBOLS_CPP` name the two programs. Without the first, ripgrep is built from the registry.
//! cppcheck is built from its sources: `make cppcheck CXXFLAGS="-g -O2"`.

#[path = "symbols/agreement.rs"]
mod agreement;
#[path = "../tests/common/mod.rs"]
mod common;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;
use std::{env, fs};

use common::account;
use flameprofile::image::{Images, Wanted};
use flameprofile::model::{FrameId, Profile, ProfileBuilder, Sample, StackEnd, StackId, Timestamp, Unit};
use flameprofile::process::own_cost::peak_rss_bytes;
use flameprofile::symbolize::{KernelNames, Names, StoredSymbols, SymbolizeOptions, symbolize};
use object::{Object, ObjectSection, ObjectSymbol};

/// Distinct addresses.
const COUNT: usize = 10_000;
/// Look-ups in the order of a profile.
const LOOK_UPS: usize = 1_000_000;
/// Rounds of all programs.
const ROUNDS: usize = 3;

fn main() {
    let words: Vec<OsString> = env::args_os().skip(1).collect();
    if let [flag, mode, file, addresses] = &words[..]
        && flag == "--ours"
    {
        return ours(mode.to_str().expect("it is ours"), Path::new(file), Path::new(addresses));
    }
    let peers = match build_peers() {
        Ok(peers) => peers,
        Err(reason) => return println!("SKIPPED symbols: {reason}"),
    };
    for (name, variable) in [("ripgrep", "PROFILE_SYMBOLS_RG"), ("cppcheck", "PROFILE_SYMBOLS_CPP")] {
        let file =
            env::var_os(variable).map(PathBuf::from).or_else(|| (name == "ripgrep").then(build_ripgrep).flatten());
        match file.filter(|file| file.is_file()) {
            Some(file) => measure(name, &file, &peers),
            None => println!("SKIPPED symbols, {name}: {variable} does not name it"),
        }
    }
}

fn measure(name: &str, file: &Path, peers: &Path) {
    let folder = account::folder();
    let sorted = addresses(file);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut shuffled = sorted.clone();
    for at in (1..shuffled.len()).rev() {
        shuffled.swap(at, random.below(at + 1));
    }
    let distinct = write(&folder.path().join("distinct"), &shuffled);
    let million = write(&folder.path().join("million"), &in_order_of_a_profile(&shuffled, &mut random));
    let one = write(&folder.path().join("one"), &shuffled[..1]);
    let size = fs::metadata(file).expect("it is there").len();
    println!("{name}: {} MB, {COUNT} distinct addresses, drawn uniformly over functions", size / 1_000_000);

    let own = |mode: &str, addresses: &Path| {
        let mut command = Command::new(env::current_exe().expect("this program has a path"));
        command.args(["--ours", mode]).arg(file).arg(addresses);
        command
    };
    let peer = |engine: &str, addresses: &Path| {
        let mut command = Command::new(peers);
        command.arg(engine).arg(file).arg(addresses);
        command
    };
    let mut runs = vec![
        Run::new("ours", own("all", &distinct)),
        Run::new("ours, mangled", own("mangled", &distinct)),
        Run::new("ours, names with parameters", own("full", &distinct)),
        Run::new("ours, without lines", own("inlines", &distinct)),
        Run::new("ours, outer names alone", own("names", &distinct)),
        Run::new("addr2line crate", peer("addr2line", &distinct)),
        Run::new("addr2line crate, mangled", peer("addr2line-mangled", &distinct)),
        Run::new("blazesym", peer("blazesym", &distinct)),
    ];
    let text: String = shuffled.iter().map(|address| format!("{address:#x}\n")).collect();
    let listed = folder.path().join("listed");
    fs::write(&listed, &text).expect("it is ours");
    let few = folder.path().join("few");
    fs::write(&few, text.lines().take(100).map(|line| format!("{line}\n")).collect::<String>()).expect("it is ours");
    for (tool, arguments, input) in [
        ("llvm-symbolizer", &["-f", "-i", "--output-style=GNU", "-e"][..], &listed),
        ("addr2line", &["-f", "-i", "-C", "-e"], &listed),
        ("eu-addr2line", &["-f", "-i", "-C", "-e"], &few),
    ] {
        if account::have(tool) {
            let mut command = Command::new(tool);
            command.args(arguments).arg(file);
            let name = if input == &few { format!("{tool} (100 addresses)") } else { tool.to_owned() };
            runs.push(Run { input: Some(input.clone()), ..Run::new(&name, command) });
        } else {
            println!("SKIPPED symbols, peer: there is no {tool}");
        }
    }
    rounds(&mut runs, ROUNDS);
    let [cpu, wall, base_cpu, base_wall] = [runs[0].cpu(), runs[0].wall(), runs[5].cpu(), runs[5].wall()];
    for run in &runs {
        println!(
            "  {:>7.3} s CPU {:>7.3} s wall  {:>5.2} x ours  {}  {}",
            run.cpu(),
            run.wall(),
            run.cpu() / cpu,
            run.name,
            run.said
        );
    }
    row("times the CPU of addr2line, demangled", 0.7, cpu / base_cpu);
    row("times the CPU of addr2line, both mangled", 0.7, runs[1].cpu() / runs[6].cpu());
    row("times the CPU of blazesym", 0.7, cpu / runs[7].cpu());
    row("times the wall of addr2line, on all CPUs", 0.4, wall / base_wall);

    let mut runs = vec![
        Run::new("ours", own("all", &million)),
        Run::new("addr2line crate", peer("addr2line", &million)),
        Run::new("blazesym", peer("blazesym", &million)),
    ];
    rounds(&mut runs, 1);
    let cpu = runs[0].cpu();
    for run in &runs {
        println!(
            "  {:>7.3} s CPU {:>7.3} s wall  {:>5.1} x ours  a million look-ups, {}",
            run.cpu(),
            run.wall(),
            run.cpu() / cpu,
            run.name
        );
    }
    at_least("times cheaper than addr2line, a million", 25.0, runs[1].cpu() / cpu);
    at_least("times cheaper than blazesym, a million", 25.0, runs[2].cpu() / cpu);

    let mut runs = vec![Run::new("ours", own("first", &one)), Run::new("blazesym", peer("blazesym", &one))];
    rounds(&mut runs, 9);
    println!(
        "  {:>7.1} ms wall, {:.1} ms CPU  first name, ours: {}",
        runs[0].wall() * 1e3,
        runs[0].cpu() * 1e3,
        runs[0].said
    );
    println!("  {:>7.1} ms wall, {:.1} ms CPU  first name, blazesym", runs[1].wall() * 1e3, runs[1].cpu() * 1e3);
    // The least, as other work on the machine is not ours.
    let least = runs[0].took.iter().map(|took| took.1).fold(f64::INFINITY, f64::min);
    row("ms to the first name, with the process", 10.0, least * 1e3);
    let memory = runs[0].said.split_whitespace().last().and_then(|last| last.parse().ok()).unwrap_or(f64::NAN);
    row("MiB to the first name", 20.0, memory);

    match agreement::with_llvm(file, &sorted) {
        Some(share) => at_least("frames and names equal to llvm-symbolizer's, %", 99.9, 100.0 * share),
        None => println!("SKIPPED symbols, agreement: there is no llvm-symbolizer"),
    }
}

fn row(what: &str, goal: f64, measured: f64) {
    let verdict = if measured <= goal { "ok  " } else { "MISS" };
    println!("{verdict} {what:<50} goal <= {goal} measured {measured:.2}");
}

fn at_least(what: &str, goal: f64, measured: f64) {
    let verdict = if measured >= goal { "ok  " } else { "MISS" };
    println!("{verdict} {what:<50} goal >= {goal} measured {measured:.2}");
}

/// A program that is run once a round.
struct Run {
    name: String,
    command: Command,
    input: Option<PathBuf>,
    /// CPU and wall seconds of each round.
    took: Vec<(f64, f64)>,
    said: String,
}

impl Run {
    fn new(name: &str, command: Command) -> Run {
        Run { name: name.to_owned(), command, input: None, took: Vec::new(), said: String::new() }
    }

    fn once(&mut self) {
        let input = self.input.as_ref().map(|path| fs::File::open(path).expect("it is ours"));
        self.command.stdin(input.map_or(Stdio::null(), Stdio::from)).stdout(Stdio::piped()).stderr(Stdio::null());
        let (begin, before) = (Instant::now(), cpu_of_children());
        let output = self.command.output().expect("it can be started");
        assert!(output.status.success(), "{}: {}", self.name, output.status);
        self.took.push((cpu_of_children() - before, begin.elapsed().as_secs_f64()));
        // Those of commands are thousands of lines.
        self.said = if output.stdout.len() < 100 {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        } else {
            String::new()
        };
    }

    fn cpu(&self) -> f64 {
        median(self.took.iter().map(|took| took.0).collect())
    }

    fn wall(&self) -> f64 {
        median(self.took.iter().map(|took| took.1).collect())
    }
}

fn rounds(runs: &mut [Run], rounds: usize) {
    for _ in 0..rounds {
        runs.iter_mut().for_each(Run::once);
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// CPU seconds of all children that have ended (`getrusage(2)`).
fn cpu_of_children() -> f64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to a whole structure that lives through the call.
    assert_eq!(unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr()) }, 0);
    // SAFETY: all-zero bytes are a valid `rusage`, and the call has filled it in.
    let usage = unsafe { usage.assume_init() };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// Names addresses by the library, as a recording does, and says how many frames there were and how much memory it took.
fn ours(mode: &str, file: &Path, addresses: &Path) {
    let bytes = fs::read(addresses).expect("it is ours");
    let addresses = bytes.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
    let all = SymbolizeOptions::default();
    let options = match mode {
        "all" => all,
        "mangled" => SymbolizeOptions { demangle: false, ..all },
        "full" => SymbolizeOptions { full_names: true, ..all },
        "inlines" | "first" => SymbolizeOptions { lines: false, ..all },
        "names" => SymbolizeOptions { lines: false, inlines: false, ..all },
        other => panic!("no mode {other}"),
    };
    let (profile, frames) = named(file, addresses, &options);
    let frames: usize = frames.iter().map(|frame| profile.lines_of(*frame).len()).sum();
    println!("{frames} frames, MiB {:.1}", peak_rss_bytes() as f64 / f64::from(1 << 20));
}

/// A profile with a sample at each address, with names, and the frame of each sample.
fn named(file: &Path, svmas: impl Iterator<Item = u64>, options: &SymbolizeOptions) -> (Profile, Vec<FrameId>) {
    let (mut images, mut builder) = (Images::default(), ProfileBuilder::new());
    let wanted = Wanted::of_path(file.as_os_str().as_bytes());
    let id = images.intern(&wanted, |kind, path, build_id| builder.add_image(kind, path, build_id));
    let image = images.get(id).expect("it is an ELF file");
    let event = builder.add_event("cpu-clock", Unit::Nanoseconds, None);
    let process = builder.add_process(1, "program");
    let thread = builder.add_thread(process, 1, "program");
    let mut frames = Vec::new();
    for (at, svma) in svmas.enumerate() {
        let frame = builder.code_frame(id, image.offset_of_svma(svma).expect("the address is in the file"));
        let stack = builder.stack(StackId(0), frame);
        let (time, end, cpu) = (Timestamp(at as u64), StackEnd::Root, Sample::NO_CPU);
        builder.add_sample(Sample { time, thread, cpu, stack, end, event, value: 1, count: 1 });
        frames.push(frame);
    }
    let mut profile = builder.finish();
    let (kernel, stored) = (&KernelNames::Running, &StoredSymbols::default());
    symbolize(&mut profile, &Names { images: &images, jit_hosts: &[], kernel, stored }, options);
    (profile, frames)
}

/// Distinct addresses, drawn uniformly over the bytes of functions with a size, sorted.
fn addresses(file: &Path) -> Vec<u64> {
    let bytes = fs::read(file).expect("it can be read");
    let elf = object::File::parse(&*bytes).expect("it is an ELF file");
    let text: Vec<_> = elf.sections().filter(|section| section.kind() == object::SectionKind::Text).collect();
    let is_code = |address: u64| {
        text.iter().any(|section| address >= section.address() && address < section.address() + section.size())
    };
    let mut functions: Vec<(u64, u64)> = elf
        .symbols()
        .filter(|symbol| symbol.kind() == object::SymbolKind::Text && symbol.size() > 0 && is_code(symbol.address()))
        .map(|symbol| (symbol.address(), symbol.size()))
        .collect();
    functions.sort_unstable();
    functions.dedup_by_key(|function| function.0);
    let total: u64 = functions.iter().map(|function| function.1).sum();
    let mut ends = Vec::new();
    functions.iter().fold(0, |end, function| {
        ends.push(end + function.1);
        end + function.1
    });
    let mut random = Random(0x5851_f42d_4c95_7f2d);
    let mut drawn = BTreeSet::new();
    while drawn.len() < COUNT.min(total as usize) {
        let at = random.below(total as usize) as u64;
        let row = ends.partition_point(|end| *end <= at);
        drawn.insert(functions[row].0 + functions[row].1 - (ends[row] - at));
    }
    drawn.into_iter().collect()
}

/// The address of rank n, counted from 1, with a probability of 1/n times that of the first.
fn in_order_of_a_profile(ranked: &[u64], random: &mut Random) -> Vec<u64> {
    let mut ends = Vec::new();
    (1..=ranked.len()).fold(0.0, |end, rank| {
        ends.push(end + 1.0 / rank as f64);
        end + 1.0 / rank as f64
    });
    let total = ends[ends.len() - 1];
    let draw = |_| {
        let at = random.below(1 << 31) as f64 / f64::from(1u32 << 31) * total;
        ranked[ends.partition_point(|end| *end <= at).min(ranked.len() - 1)]
    };
    (0..LOOK_UPS).map(draw).collect()
}

fn write(path: &Path, addresses: &[u64]) -> PathBuf {
    let bytes: Vec<u8> = addresses.iter().flat_map(|address| address.to_le_bytes()).collect();
    fs::write(path, bytes).expect("it is ours");
    path.to_owned()
}

/// xorshift64*
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit.max(1)
    }
}

/// Builds the crates that we are compared with.
fn build_peers() -> Result<PathBuf, String> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/symbol_peers/Cargo.toml");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("symbol_peers");
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--release", "--quiet", "--manifest-path", manifest, "--target-dir"]).arg(&target);
    match command.status() {
        Ok(status) if status.success() => Ok(target.join("release/symbol_peers")),
        Ok(status) => Err(format!("cargo build of benches/symbol_peers: {status}")),
        Err(error) => Err(format!("cargo cannot be started: {error}")),
    }
}

/// Builds ripgrep with full debug information from the registry.
fn build_ripgrep() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ripgrep");
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["install", "--quiet", "--locked", "ripgrep", "--version", "14.1.1", "--root"]).arg(&root);
    let status = command.env("CARGO_PROFILE_RELEASE_DEBUG", "2").status();
    status.is_ok_and(|status| status.success()).then(|| root.join("bin/rg"))
}
