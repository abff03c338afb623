//! How fast text becomes folded stacks: 200 MB of `perf script`, with 710 and with 64k unique stacks, on one core. And how fast folded
//! stacks become a picture: a million unique ones, about 500 MB.
//!
//! `cargo bench --bench import_text`. The text is made here, the same each time (`generate`). The peer is inferno's collapser with
//! one thread: `inferno-collapse-perf` if it is installed, else the same code of the crate, run in a process of its own (this
//! program, told `--fold`), so that its memory can be read. For pictures it is inferno's flame graph in the same way (`--draw`), with
//! its default options. Each is run three times; the least CPU time counts, which other
//! work on the machine moves less than the clock on the wall. `flamegraph.pl` draws them once, where it is installed (Debian has it in
//! `libdevel-nytprof-perl`).

#[path = "../tests/common/mod.rs"]
mod common;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use common::account;
use common::run::binary;
use inferno::collapse::Collapse;
use inferno::collapse::perf::{Folder, Options};

/// Megabytes of text.
const SIZE: usize = 200;
/// How many unique stacks, and the most memory we may take of what the peer takes.
const CASES: [(usize, f64); 2] = [(710, f64::INFINITY), (64_000, 0.5)];
/// Nanoseconds that each sample stands for.
const PERIOD: u64 = 10_101_010;
/// Times as fast as the peer.
const GOAL: f64 = 2.0;
/// Unique stacks of the picture, and the most that it may take of what the peer takes, of CPU time and of memory.
const PICTURE: (usize, f64) = (1_000_000, 0.5);

fn main() {
    let arguments: Vec<String> = env::args().collect();
    if let [_, command, file] = arguments.as_slice()
        && command == "--fold"
    {
        return fold(Path::new(file));
    }
    if let [_, command, file, stacks] = arguments.as_slice()
        && command == "--generate"
    {
        let stacks = stacks.parse().expect("the second argument is a number of stacks");
        return generate(Path::new(file), stacks, SIZE << 20).expect("the text can be written");
    }
    if let [_, command, file] = arguments.as_slice()
        && command == "--draw"
    {
        return draw(Path::new(file));
    }
    let folder = account::folder();
    picture(folder.path());
    let peer = peer();
    println!("perf script text of {SIZE} MB to folded stacks on one core; goal >= {GOAL} x {}", peer.0);
    for (stacks, share) in CASES {
        let text = folder.path().join(format!("{stacks}.txt"));
        generate(&text, stacks, SIZE << 20).expect("the text can be written");
        let mut ours = Command::new(binary());
        ours.args(["import", "-q", "-f", "folded", "--annotate", "-o"])
            .arg(folder.path().join("ours.folded"))
            .arg(&text);
        let ours = best(&mut ours, &folder.path().join("ours.folded"));
        let mut theirs = Command::new(&peer.1[0]);
        theirs.args(&peer.1[1..]).arg(&text);
        let theirs = best(&mut theirs, &folder.path().join("theirs.folded"));
        let rate = |seconds: f64| SIZE as f64 / seconds;
        println!(
            "  {stacks} stacks: {:.0} MB/s, {:.1} MiB; peer {:.0} MB/s, {:.1} MiB; {:.2} x as fast, {:.2} x the memory{}",
            rate(ours.0),
            ours.1,
            rate(theirs.0),
            theirs.1,
            theirs.0 / ours.0,
            ours.1 / theirs.1,
            if theirs.0 / ours.0 >= GOAL && ours.1 <= share * theirs.1 { "" } else { "  MISSED" }
        );
        let (ours, theirs) = (total(&folder.path().join("ours.folded")), total(&folder.path().join("theirs.folded")));
        // Samples of a fixed period: we count them, the peer sums their periods.
        assert_eq!(ours * PERIOD, theirs, "both fold the same samples");
        fs::remove_file(&text).expect("it is ours");
    }
}

/// A million folded stacks to SVG, by us and by inferno.
fn picture(folder: &Path) {
    let (stacks, goal) = PICTURE;
    let text = folder.join("stacks.folded");
    generate_folded(&text, stacks).expect("the text can be written");
    let megabytes = fs::metadata(&text).map_or(0, |metadata| metadata.len()) as f64 / 1e6;
    let mut ours = Command::new(binary());
    ours.args(["import", "-q", "-o"]).arg(folder.join("ours.svg")).arg(&text);
    let mut theirs = Command::new(env::current_exe().expect("this program has a path"));
    theirs.arg("--draw").arg(&text);
    // In turns, as what else the machine does changes by the minute.
    let (mut least, mut least_theirs) = ((f64::INFINITY, f64::INFINITY), (f64::INFINITY, f64::INFINITY));
    for _ in 0..3 {
        for (command, least) in [(&mut ours, &mut least), (&mut theirs, &mut least_theirs)] {
            let (seconds, memory) = run(command, &folder.join("theirs.svg"));
            *least = (least.0.min(seconds), least.1.min(memory));
        }
    }
    let (time, memory) = (least.0 / least_theirs.0, least.1 / least_theirs.1);
    println!(
        "{stacks} folded stacks ({megabytes:.0} MB) to SVG; goal <= {goal} x inferno's CPU time and memory\n  \
         {:.2} s, {:.1} MiB; peer {:.2} s, {:.1} MiB; {time:.2} x the time, {memory:.2} x the memory{}",
        least.0,
        least.1,
        least_theirs.0,
        least_theirs.1,
        if time <= goal && memory <= goal { "" } else { "  MISSED" }
    );
    match flamegraph_pl() {
        Some(script) => {
            let (seconds, memory) = run(Command::new("perl").arg(script).arg(&text), &folder.join("theirs.svg"));
            println!("  flamegraph.pl {seconds:.1} s, {memory:.1} MiB: {:.0} x our time", seconds / least.0);
        }
        None => println!("SKIPPED flamegraph.pl: not installed"),
    }
    fs::remove_file(&text).expect("it is ours");
}

/// Where the peer in Perl is.
fn flamegraph_pl() -> Option<PathBuf> {
    let paths = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&paths).chain([PathBuf::from("/usr/share/perl5/Devel/NYTProf")]);
    folders.map(|folder| folder.join("flamegraph.pl")).find(|path| path.is_file())
}

/// What `inferno-flamegraph` does.
fn draw(file: &Path) {
    let text = File::open(file).expect("the text is there");
    let out = BufWriter::new(std::io::stdout().lock());
    let mut options = inferno::flamegraph::Options::default();
    inferno::flamegraph::from_reader(&mut options, text, out).expect("inferno reads the text");
}

/// The peer's name and command line.
fn peer() -> (String, Vec<String>) {
    let installed = "inferno-collapse-perf";
    let paths = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&paths).map(|folder| folder.join(installed)).find(|path| path.is_file());
    match found {
        Some(path) => (installed.into(), vec![path.to_string_lossy().into_owned(), "-n".into(), "1".into()]),
        None => {
            println!("SKIPPED {installed}: not installed; the same code of the crate stands for it");
            let own = env::current_exe().expect("this program has a path").to_string_lossy().into_owned();
            ("inferno's collapser".into(), vec![own, "--fold".into()])
        }
    }
}

/// What `inferno-collapse-perf -n 1` does.
fn fold(file: &Path) {
    let mut options = Options::default();
    options.nthreads = 1;
    let out = std::io::stdout().lock();
    Folder::from(options).collapse_file(Some(file), BufWriter::new(out)).expect("inferno reads the text");
}

/// Seconds of CPU time and MiB of the fastest of three runs on one CPU.
fn best(command: &mut Command, output: &Path) -> (f64, f64) {
    let runs = (0..3).map(|_| run(command, output));
    runs.fold((f64::INFINITY, f64::INFINITY), |least, (seconds, memory)| (least.0.min(seconds), least.1.min(memory)))
}

/// Seconds of CPU time and MiB of a run on one CPU.
fn run(command: &mut Command, output: &Path) -> (f64, f64) {
    let mut pinned = Command::new("taskset");
    pinned
        .args(["-c", "0", "/usr/bin/env", "time", "-f", "%U %S %M"])
        .arg(command.get_program())
        .args(command.get_args());
    let is_ours = command.get_args().any(|argument| argument == "import");
    let out = if is_ours { Stdio::null() } else { File::create(output).expect("the folder is ours").into() };
    let run = pinned.stdout(out).stderr(Stdio::piped()).output().expect("taskset can be started");
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{command:?}: {said}");
    let numbers: Vec<f64> =
        said.lines().last().unwrap_or_default().split(' ').filter_map(|word| word.parse().ok()).collect();
    let [user, system, memory] = numbers[..] else { panic!("time printed {said}") };
    (user + system, memory / 1024.0)
}

/// The sum of the weights of folded stacks.
fn total(file: &Path) -> u64 {
    let text = fs::read_to_string(file).expect("the folded stacks were written");
    text.lines().map(|line| line.rsplit(' ').next().and_then(|word| word.parse::<u64>().ok()).expect("a weight")).sum()
}

/// Writes `bytes` of text with so many unique stacks: random walks in a program of 4,000 functions, in 12 libraries and the kernel,
/// each called from a few places, half of the samples in a tenth of the stacks.
fn generate(path: &Path, stacks: usize, bytes: usize) -> std::io::Result<()> {
    let mut random = Random(0x5eed);
    let libraries =
        ["/usr/bin/server", "/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/x86_64-linux-gnu/libstdc++.so.6.0.30"];
    let line = |function: usize, site: usize| {
        let address = 0x55d0_c000_0000u64 + function as u64 * 0x240 + site as u64 * 0x17;
        let offset = 0x10 + site * 0x17;
        match function % 12 {
            0 => format!("\tffffffff{:08x} sys_part_{function}+{offset:#x} ([kernel.kallsyms])\n", address as u32),
            1..=4 => {
                format!("\t    {address:x} lib_function_{function}+{offset:#x} ({})\n", libraries[1 + function % 2])
            }
            5 => format!("\t    {address:x} [unknown] ({})\n", libraries[1]),
            _ => format!(
                "\t    {address:x} server::module_{}::Handler<alloc::string::String>::step_{function}+{offset:#x} ({})\n",
                function % 37,
                libraries[0]
            ),
        }
    };
    let mut all: Vec<Vec<String>> = Vec::with_capacity(stacks);
    for stack in 0..stacks {
        // Outermost first; most of a stack is that of another.
        let shared = if stack == 0 { 0 } else { random.below(stack) };
        let mut lines: Vec<String> = match all.get(shared) {
            Some(other) => other[..random.below(other.len()).max(3)].to_vec(),
            None => vec![line(6, 0), line(7, 0), line(8, 0)],
        };
        let depth = 12 + random.below(28);
        while lines.len() < depth {
            lines.push(line(random.below(4_000), random.below(4)));
        }
        all.push(lines);
    }
    // Innermost first, as perf writes them.
    let all: Vec<String> = all.into_iter().map(|lines| lines.into_iter().rev().collect()).collect();
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let (mut written, mut time) = (0, 5_000_000_000u64);
    // Each stack once, then by chance.
    for row in 0.. {
        let stack = match row {
            row if row < stacks => row,
            row if row % 2 == 0 => random.below(stacks / 10),
            _ => random.below(stacks),
        };
        time += 1_000 + random.below(9_000) as u64;
        let header = format!(
            "server {}/{} [{:03}] {}.{:06}:   10101010 cpu-clock:pppH: \n",
            4121,
            4121 + stack % 16,
            row % 8,
            time / 1_000_000,
            time % 1_000_000
        );
        out.write_all(header.as_bytes())?;
        out.write_all(all[stack].as_bytes())?;
        out.write_all(b"\n")?;
        written += header.len() + all[stack].len() + 1;
        if written >= bytes && row >= stacks {
            break;
        }
    }
    out.flush()
}

/// Writes so many unique stacks: each goes on from some point of one before, by one to four of 9,000 functions, a ninth of them the
/// kernel's; 40 frames at most.
fn generate_folded(path: &Path, stacks: usize) -> std::io::Result<()> {
    const WORDS: [&str; 24] = [
        "alloc", "vec", "push", "render", "draw", "parse", "token", "tree", "node", "hash", "map", "insert", "find",
        "write", "poll", "spawn", "queue", "lock", "page", "buffer", "serde", "value", "http", "server",
    ];
    let mut random = Random(0x5eed);
    let names: Vec<String> = (0..9_000)
        .map(|number| {
            let words: Vec<&str> = (0..1 + random.below(4)).map(|_| WORDS[random.below(WORDS.len())]).collect();
            let kernel = if number % 9 == 0 { "_[k]" } else { "" };
            format!("{}_{number}{kernel}", words.join("::"))
        })
        .collect();
    // The caller, depth and name of each frame; the first is the process.
    let mut frames: Vec<(u32, u8, u16)> = vec![(0, 0, 0)];
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut line: Vec<u32> = Vec::new();
    for _ in 0..stacks {
        let mut at = loop {
            let at = random.below(frames.len());
            if frames[at].1 < 40 {
                break at;
            }
        };
        for _ in 0..1 + random.below(4) {
            frames.push((at as u32, frames[at].1 + 1, random.below(names.len()) as u16));
            at = frames.len() - 1;
        }
        line.clear();
        while at != 0 {
            line.push(at as u32);
            at = frames[at].0 as usize;
        }
        out.write_all(b"server")?;
        for frame in line.iter().rev() {
            out.write_all(b";")?;
            out.write_all(names[usize::from(frames[*frame as usize].2)].as_bytes())?;
        }
        writeln!(out, " {}", 1 + 40 / (1 + random.below(80)))?;
    }
    out.flush()
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize) % limit.max(1)
    }
}
