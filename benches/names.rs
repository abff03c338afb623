//! Prints whether frames have the names that were planted, of each kind of language, for `profile` and for perf in its best way.
//!
//! `cargo bench --bench names [-- WORD..] [--ours]`; words choose the rows whose name has one of them; with `--ours` perf is not
//! measured. `EXAMPLES=1` shows what is not named.
//!
//! Of the busy threads' samples in user mode, after the first half second: `leaf` is the share whose innermost frame has a name,
//! `path` the share in which the planted functions stand in their order, `both` both. A name is one if it is neither `[unknown]` nor an
//! address; a planted function is found by its word (`hot` in `JS:*hot`, `planted::hot<unsigned long>`, `Nested.hot`).
//! perf gives an address between two symbols the name of the one before; where the symbol's size says that it does not cover the
//! address, that is no name, and counted as `wrong`.

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/stacks/mod.rs"]
mod stacks;

use std::collections::{BTreeMap, HashMap};
use std::env;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::account::{Account, folder, have};
use common::programs;
use common::run::{finish, profile, stderr};
use stacks::peers::{RATE, Words};
use stacks::rows;
use stacks::seen::{Frame, Place, Seen};

/// A kind of program.
struct Row {
    name: &'static str,
    program: fn(&str) -> Result<Words, String>,
    /// The planted functions, innermost first; `a|b` is either.
    path: &'static [&'static str],
    /// What is done with a program that runs, before it is recorded; else it is recorded from its start.
    attach: Option<fn(u32)>,
    /// perf's ways.
    ways: &'static [Way],
    /// Whether the innermost frame may be the kernel's.
    in_kernel: bool,
}

/// How perf records and reads.
#[derive(Clone, Copy, Debug)]
enum Way {
    FramePointers,
    Dwarf,
    /// The same with inlined functions.
    DwarfInline,
    /// With a JIT's dump put in by `perf inject`; needs a clock that the JIT has too.
    InjectFramePointers,
    /// Copies of 16 KiB.
    InjectDwarf,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Way::FramePointers => "fp",
            Way::Dwarf => "dwarf",
            Way::DwarfInline => "dwarf, inline",
            Way::InjectFramePointers => "fp, inject",
            Way::InjectDwarf => "dwarf, inject",
        }
    }

    fn injects(self) -> bool {
        matches!(self, Way::InjectFramePointers | Way::InjectDwarf)
    }
}

const BOTH: &[Way] = &[Way::FramePointers, Way::Dwarf];
const INJECT: &[Way] = &[Way::FramePointers, Way::InjectFramePointers, Way::InjectDwarf];

const fn row(name: &'static str, path: &'static [&'static str], program: fn(&str) -> Result<Words, String>) -> Row {
    Row { name, program, path, attach: None, ways: BOTH, in_kernel: false }
}

const C: &[&str] = &["hot_a|hot_b", "middle_a|middle_b", "outer", "main"];
const RUST: &[&str] = &["generic_work|closure_work", "main"];
const SCRIPT: &[&str] = &["outer", "main"];

/// `main` and `outer` are interpreted, which perf maps do not tell by name.
const JAVA: &[&str] = &["middle|sorts", "JavaMain"];
/// Interpreted functions have one name, but for `--interpreted-frames-native-stack`.
const NODE: &[&str] = &["hot|middle|sorts|compare|outer", "Builtins_JSEntry"];

const ROWS: &[Row] = &[
    row("C", C, |s| rows::nested(s, &[])),
    row("C with frame pointers", C, |s| rows::nested(s, &["-fno-omit-frame-pointer"])),
    row("C static", C, |s| rows::nested(s, &["-static"])),
    row("C stripped", C, |s| rows::nested(s, &["-s"])),
    row("C in libc", &["libc_work", "main"], |s| rows::c("libc_heavy", &[], &[s])),
    row("C++", &["hot", "middle", "outer", "main"], |s| {
        Ok(Words::new([programs::cpp_with("nested", &[])]).arguments(&[s]))
    }),
    row("Rust, legacy names", RUST, |s| rows::rust(s, &[])),
    row("Rust, v0 names", RUST, |s| rows::rust(s, &["-Csymbol-mangling-version=v0"])),
    row("Rust stripped", RUST, |s| rows::rust(s, &["-Cstrip=symbols"])),
    Row {
        ways: &[Way::DwarfInline],
        ..row("inlined functions, C", &["hidden_turn", "hidden_work", "main"], |s| rows::c("hidden", &["-g"], &[s]))
    },
    Row {
        ways: &[Way::DwarfInline],
        ..row("inlined functions, Rust", &["turn|fold|call", "generic_work|closure_work", "main"], |s| {
            rows::rust(s, &["-g"])
        })
    },
    row("Go", &["middle|sorts", "outer", "goexit"], |s| rows::go(s, &[])),
    row("Go -s -w", &["middle|sorts", "outer", "goexit"], |s| rows::go(s, &["-ldflags=-s -w"])),
    row("Node", NODE, |s| rows::script("node", &[], "nested.js", s)),
    row("Node --perf-basic-prof", NODE, |s| rows::script("node", &["--perf-basic-prof"], "nested.js", s)),
    row("Node, interpreted frames apart", SCRIPT, |s| {
        rows::script("node", &["--perf-basic-prof", "--interpreted-frames-native-stack"], "nested.js", s)
    }),
    Row { ways: INJECT, ..row("Node --perf-prof", NODE, |s| rows::script("node", &["--perf-prof"], "nested.js", s)) },
    row("Java 17", JAVA, |s| java(s, &[])),
    Row { attach: Some(jcmd), ..row("Java 17, jcmd PID Compiler.perfmap", JAVA, |s| java(s, &[])) },
    Row {
        attach: Some(jcmd),
        ..row("Java 17 PreserveFramePointer, jcmd", JAVA, |s| java(s, &["-XX:+PreserveFramePointer"]))
    },
    row("Python 3.11", SCRIPT, |s| rows::python("3.11", s, &[])),
    row("Python 3.12 -X perf", SCRIPT, |s| rows::python("3.12", s, &["-X", "perf"])),
    row("Python 3.13 -X perf", SCRIPT, |s| rows::python("3.13", s, &["-X", "perf"])),
    Row { ways: INJECT, ..row("Python 3.13 -X perf_jit", SCRIPT, |s| rows::python("3.13", s, &["-X", "perf_jit"])) },
    row("Ruby", &["outer"], |s| rows::script("ruby", &[], "nested.rb", s)),
    row("PHP", &["outer"], |s| rows::script("php", &[], "nested.php", s)),
    row("LuaJIT", &["outer"], |s| rows::script("luajit", &[], "nested.lua", s)),
    Row { in_kernel: true, ..row("kernel", &["reads", "main"], |s| rows::c("in_kernel", &[], &[s])) },
    row("signal handler", &["in_handler|late_work|in_library|interrupted", "main"], rows::handlers),
    row("handler's interrupted function", &["in_handler", "interrupted", "main"], rows::handlers),
];

/// Java without a map of its own.
fn java(seconds: &str, flags: &[&str]) -> Result<Words, String> {
    if !have("javac") || !have("java") {
        return Err("no JDK".into());
    }
    let classes = programs::java("Nested");
    let words = Words::new(["java"]).arguments(flags);
    Ok(words.arguments(&["-cp", classes.to_str().expect("test paths are UTF-8"), "Nested", seconds]))
}

/// Has a JVM write down what it has compiled, as `/tmp/perf-PID.map`.
fn jcmd(pid: u32) {
    let done = Command::new("jcmd").args([&pid.to_string(), "Compiler.perfmap"]).output().expect("a JDK has jcmd");
    assert!(done.status.success(), "jcmd: {}", stderr(&done));
}

fn main() {
    // Cargo adds `--bench`.
    let words: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let with_perf = have("perf") && !env::args().any(|argument| argument == "--ours");
    println!("{:4} {:36} {:>6} {:>7} {:>7} {:>7} | perf's ways", "", "row", "n", "leaf", "path", "both");
    let (mut kept, mut all) = (0, 0);
    for row in ROWS.iter().filter(|row| words.is_empty() || words.iter().any(|word| row.name.contains(word.as_str()))) {
        match measure(row, with_perf) {
            Ok(holds) => {
                kept += usize::from(holds);
                all += 1;
            }
            Err(why) => println!("SKIPPED {}: {why}", row.name),
        }
    }
    if !have("wasmtime") {
        println!("SKIPPED wasm: no wasmtime");
    }
    println!("{kept} of {all} rows are as good as perf's best way, or better");
}

fn measure(row: &Row, with_perf: bool) -> Result<bool, String> {
    const SECONDS: &str = "2.5";
    let mut symbols = Symbols::default();
    let words = (row.program)(if row.attach.is_some() { "60" } else { SECONDS })?;
    let ours = Named::of(&record(row, &words, None)?, row, &mut symbols);
    let mut theirs: Vec<(Way, Result<Named, String>)> = Vec::new();
    for way in row.ways.iter().filter(|_| with_perf) {
        theirs.push((*way, record(row, &words, Some(*way)).map(|seen| Named::of(&seen, row, &mut symbols))));
    }
    let best = |share: fn(&Named) -> f64| {
        theirs.iter().filter_map(|(_, named)| named.as_ref().ok()).map(share).fold(0.0, f64::max)
    };
    let holds = [Named::leaf as fn(&Named) -> f64, Named::path, Named::both].into_iter().all(|share| {
        let best = best(share);
        // Two runs: both shares are counted.
        let noise = 330.0 * (2.0 * best / 100.0 * (1.0 - best / 100.0) / ours.samples.max(1) as f64).sqrt();
        share(&ours) >= best - noise.max(1.0)
    });
    let verdict = if holds { "ok  " } else { "MISS" };
    let figures = |named: &Named| {
        let wrong = if named.wrong > 0 { format!(" wrong {:.2}", named.share(named.wrong)) } else { String::new() };
        format!("{:7.2} {:7.2} {:7.2}{wrong}", named.leaf(), named.path(), named.both())
    };
    print!("{verdict} {:36} {:6} {}", row.name, ours.samples, figures(&ours));
    for (way, named) in &theirs {
        match named {
            Ok(named) => print!(" | {} ({})", figures(named).trim_start(), way.name()),
            Err(why) => print!(" | {why} ({})", way.name()),
        }
    }
    println!();
    if !holds || env::var_os("EXAMPLES").is_some() {
        print!("{}", ours.worst(4));
    }
    Ok(holds)
}

/// Records by `profile`, or by perf in one way.
fn record(row: &Row, words: &Words, way: Option<Way>) -> Result<Seen, String> {
    let folder = folder();
    let mut command = match way {
        None => profile(Account::Own),
        Some(_) => Command::new("perf"),
    };
    let (json, data) = (folder.path().join("out.json"), folder.path().join("perf.data"));
    match way {
        None => command.args(["record", "-F", RATE, "-f", "json", "-o"]).arg(&json),
        Some(way) => {
            command.args(["record", "-q", "--buildid-mmap", "-N", "-F", RATE, "-m", "1024", "-e", "cpu-clock", "-o"]);
            command.arg(&data).args(if way.injects() { &["-k", "1"][..] } else { &[] });
            match way {
                Way::FramePointers | Way::InjectFramePointers => command.arg("-g"),
                Way::Dwarf | Way::DwarfInline => command.args(["--call-graph", "dwarf"]),
                Way::InjectDwarf => command.args(["--call-graph", "dwarf,16384"]),
            }
        }
    };
    let target = row.attach.map(|prepare| Target::start(words, folder.path(), prepare));
    match &target {
        Some(Target(child)) => {
            command.args(["-p", &child.id().to_string()]);
            command.args(if way.is_some() { ["--", "sleep", "2"] } else { ["-d", "2", "-q"] });
        }
        None => {
            command.arg("--").args(&words.words).envs(words.environment.iter().map(|(name, value)| (name, value)));
        }
    }
    run(command.current_dir(folder.path()))?;
    drop(target);
    let Some(way) = way else { return Ok(Seen::of_json(&json)) };
    let mut read = data;
    if way.injects() {
        let injected = folder.path().join("injected.data");
        run(Command::new("perf").args(["inject", "-j", "-i"]).arg(&read).arg("-o").arg(&injected))?;
        read = injected;
    }
    let inline = if matches!(way, Way::DwarfInline) { "--inline" } else { "--no-inline" };
    let mut script = Command::new("perf");
    let text = run(script.args(["script", "--ns", inline, "-F", "tid,time,ip,sym,symoff,dso", "-i"]).arg(&read))?;
    Ok(Seen::of_perf_script(&text))
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => {
            Err(format!("{:?} failed: {}", command.get_program(), stderr(&output).lines().last().unwrap_or_default()))
        }
    }
}

/// A program that was there before the recording, and is ended after it.
struct Target(Child);

impl Target {
    fn start(words: &Words, folder: &Path, prepare: fn(u32)) -> Target {
        let mut command = Command::new(&words.words[0]);
        command.args(&words.words[1..]).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(Stdio::null()).spawn().expect("it can be started");
        // Until what is hot has been compiled.
        std::thread::sleep(Duration::from_millis(2500));
        prepare(child.id());
        Target(child)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How much of a recording has its names.
#[derive(Debug, Default)]
struct Named {
    samples: usize,
    leaves: usize,
    paths: usize,
    boths: usize,
    /// Innermost frames with the name of another function.
    wrong: usize,
    /// Stacks that have not, with how often.
    examples: BTreeMap<String, usize>,
}

impl Named {
    fn of(seen: &Seen, row: &Row, symbols: &mut Symbols) -> Named {
        /// Nanoseconds that programs take to start.
        const START: u64 = 500_000_000;
        let first = seen.samples.iter().map(|sample| sample.time).min().unwrap_or(0);
        let start = if row.attach.is_some() { first } else { first + START };
        let mut by_thread: HashMap<u32, usize> = HashMap::new();
        seen.samples.iter().for_each(|sample| *by_thread.entry(sample.tid).or_default() += 1);
        let busiest = by_thread.values().copied().max().unwrap_or(0);
        let mut named = Named::default();
        for sample in seen.samples.iter().filter(|sample| sample.time >= start && by_thread[&sample.tid] * 5 >= busiest)
        {
            let stack = seen.stack(sample);
            let user: Vec<&Frame> = stack.iter().copied().filter(|frame| frame.place != Place::Kernel).collect();
            let is_loader = user.iter().all(|frame| frame.file().starts_with("ld-linux"));
            let leaf = if row.in_kernel { stack.first() } else { user.first() };
            let Some(leaf) = leaf else { continue };
            if user.is_empty() || is_loader {
                continue;
            }
            named.samples += 1;
            let is_wrong = symbols.contradict(leaf);
            named.wrong += usize::from(is_wrong);
            let has_leaf = leaf.names.first().is_some_and(|name| is_name(name)) && !is_wrong;
            let names: Vec<&str> = user.iter().flat_map(|frame| frame.names.iter().map(String::as_str)).collect();
            let has_path = has_in_order(&names, row.path);
            named.leaves += usize::from(has_leaf);
            named.paths += usize::from(has_path);
            named.boths += usize::from(has_leaf && has_path);
            if !(has_leaf && has_path) {
                // Of a leaf without a name it tells who called it.
                let shown: Vec<String> =
                    user.iter().take(if has_leaf { 8 } else { 2 }).map(|frame| show(frame)).collect();
                *named.examples.entry(shown.join(" < ")).or_default() += 1;
            }
        }
        named
    }

    fn share(&self, count: usize) -> f64 {
        count as f64 * 100.0 / self.samples.max(1) as f64
    }

    fn leaf(&self) -> f64 {
        self.share(self.leaves)
    }

    fn path(&self) -> f64 {
        self.share(self.paths)
    }

    fn both(&self) -> f64 {
        self.share(self.boths)
    }

    fn worst(&self, most: usize) -> String {
        let mut examples: Vec<_> = self.examples.iter().collect();
        examples.sort_by_key(|(what, count)| (std::cmp::Reverse(**count), (*what).clone()));
        examples.iter().take(most).map(|(what, count)| format!("     {count:5} x {what}\n")).collect()
    }
}

/// The sizes of symbols, by file and name: the largest of a name.
#[derive(Debug, Default)]
struct Symbols(HashMap<String, HashMap<String, u64>>);

impl Symbols {
    /// Whether perf's `NAME+0xOFFSET` is behind the symbol's end.
    fn contradict(&mut self, frame: &Frame) -> bool {
        let Some((name, offset)) = frame.name().rsplit_once("+0x") else { return false };
        let Ok(offset) = u64::from_str_radix(offset, 16) else { return false };
        if frame.names.len() > 1 || !frame.image.starts_with('/') {
            return false;
        }
        let sizes = self.0.entry(frame.image.clone()).or_insert_with(|| sizes(&frame.image));
        sizes.get(name).is_some_and(|size| *size > 0 && offset >= *size)
    }
}

/// What `nm` says of a file: `ADDRESS SIZE KIND NAME[@VERSION]`.
fn sizes(path: &str) -> HashMap<String, u64> {
    let mut sizes: HashMap<String, u64> = HashMap::new();
    for table in [&["-S", "-C"][..], &["-D", "-S", "-C"]] {
        let Ok(output) = Command::new("nm").args(table).arg(path).output() else { continue };
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let mut words = line.splitn(4, ' ');
            let (Some(size), Some(name)) = (words.nth(1), words.nth(1)) else { continue };
            let Ok(size) = u64::from_str_radix(size, 16) else { continue };
            let name = name.split('@').next().unwrap_or(name);
            let known = sizes.entry(name.to_owned()).or_default();
            *known = size.max(*known);
        }
    }
    sizes
}

fn show(frame: &Frame) -> String {
    match frame.name() {
        "[unknown]" => format!("[{}+{:x}]", frame.file(), frame.offset.unwrap_or(0)),
        _ => frame.names.join("+").chars().take(50).collect(),
    }
}

/// Whether it is a name, and not what stands for one.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('[') && !name.starts_with("0x")
}

/// Whether names have planted functions as words, in this order; paths behind a name are none of it.
fn has_in_order(names: &[&str], planted: &[&str]) -> bool {
    let is = |name: &str, wanted: &str| {
        let end = [" /", ":/", " file:"].iter().filter_map(|mark| name.find(mark)).min().unwrap_or(name.len());
        let mut words = name[..end].split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        words.any(|word| wanted.split('|').any(|wanted| wanted == word))
    };
    let mut rest = names.iter();
    planted.iter().all(|wanted| rest.any(|name| is_name(name) && is(name, wanted)))
}
