//! How fast a recording with stack copies becomes a picture with inlined frames, and in how much memory.
//!
//! `cargo bench --bench import`. perf records `testdata/programs/parse_load` (50 MB of debug information, built here) as
//! cargo-flamegraph does, with copies of 8 KiB and of 64 KiB. The peers read the same files: `samply import --save-only`, which unwinds
//! and names nothing; `perf script --no-inline`, which names without inlined frames; `hotspot-perfparser`, which does all. They
//! are skipped aloud where they are not installed (`PROFILE_PEERS` adds a folder to the path). Rounds are interleaved, so that
//! other work on the machine hits all alike; the least time counts.

#[path = "../tests/common/mod.rs"]
mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;
use std::{env, fs};

use common::account;
use common::run::binary;
use common::summary::Summary;

/// Rounds of each program on each file.
const ROUNDS: usize = 7;
/// Seconds for 113 MB with copies of 8 KiB.
const GOAL: (f64, f64) = (0.4, 113e6);
/// Most memory, in MB, for the file with copies of 64 KiB, whatever its size.
const MEMORY_GOAL: f64 = 150.0;

fn main() {
    if !account::have("perf") {
        return println!("SKIPPED import: there is no perf");
    }
    let program = match build() {
        Ok(program) => program,
        Err(reason) => return println!("SKIPPED import: {reason}"),
    };
    let folder = account::folder();
    for (name, stack, seconds) in [("8 KiB", "dwarf", "12"), ("64 KiB", "dwarf,65528", "15")] {
        let recording = folder.path().join(format!("{stack}.data"));
        let mut command = Command::new("perf");
        command.args(["record", "-q", "-F", "997", "-e", "cpu-clock", "--call-graph", stack, "-o"]).arg(&recording);
        command.arg(&program).arg(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).args([seconds, "4"]);
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("perf can be started");
        if !status.success() {
            return println!("SKIPPED import: perf record: {status}");
        }
        measure(name, &recording, folder.path());
        fs::remove_file(&recording).expect("it is ours");
    }
}

fn measure(name: &str, recording: &Path, folder: &Path) {
    let size = fs::metadata(recording).expect("perf wrote it").len() as f64;
    let stats = folder.join("stats.json");
    let ours = || {
        let mut command = Command::new(binary());
        command.args(["import", "-q", "-o"]).arg(folder.join("out.svg")).arg("--stats").arg(&stats).arg(recording);
        command
    };
    let mut programs: Vec<(&str, Command)> = vec![("profile import, to SVG with inlined frames", ours())];
    for (words, what) in [
        (&["samply", "import", "--save-only", "-o", "/dev/null"][..], "samply import (unwinds, names nothing)"),
        (&["perf", "script", "--no-inline", "-i"][..], "perf script --no-inline (to /dev/null)"),
        (
            &["/usr/lib/x86_64-linux-gnu/libexec/hotspot-perfparser", "--output", "/dev/null", "--input"][..],
            "hotspot-perfparser",
        ),
    ] {
        match found(words[0]) {
            Some(path) => {
                let mut command = Command::new(path);
                command.args(&words[1..]).arg(recording);
                programs.push((what, command));
            }
            None => println!("SKIPPED import, peer: there is no {}", words[0]),
        }
    }
    let mut best = vec![(f64::INFINITY, 0.0f64); programs.len()];
    for _ in 0..ROUNDS {
        for ((_, command), best) in programs.iter_mut().zip(&mut best) {
            let begin = Instant::now();
            let memory = run(command);
            best.0 = best.0.min(begin.elapsed().as_secs_f64());
            best.1 = best.1.max(memory);
        }
    }
    let summary = Summary::parse(&fs::read_to_string(&stats).expect("--stats was written"));
    println!("recording with copies of {name}: {:.0} MB, {} samples", size / 1e6, summary.count("samples"));
    for ((what, _), (seconds, memory)) in programs.iter().zip(&best) {
        println!("  {seconds:.3} s {memory:>6.0} MB  {what}");
    }
    let verdict = |met: bool| if met { "ok  " } else { "MISS" };
    let ours = best[0];
    if name == "8 KiB" {
        let scaled = ours.0 * GOAL.1 / size;
        println!(
            "{} time for 113 MB                        goal <= {} s measured {scaled:.3} s",
            verdict(scaled <= GOAL.0),
            GOAL.0
        );
        if let Some(row) = programs.iter().position(|(what, _)| what.starts_with("samply")) {
            let ratio = ours.0 / best[row].0;
            println!(
                "{} times samply's time                    goal <= 1.0 measured {ratio:.2}",
                verdict(ratio <= 1.0)
            );
        }
    } else {
        println!(
            "{} memory                                 goal <= {MEMORY_GOAL} MB measured {:.0} MB",
            verdict(ours.1 <= MEMORY_GOAL),
            ours.1
        );
    }
}

/// Runs a program to its end; its largest resident memory in MB.
#[expect(clippy::zombie_processes, reason = "wait4 waits for it, and tells its memory")]
fn run(command: &mut Command) -> f64 {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it was found");
    let mut status = 0;
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are to whole structures that live through the call, and the child is ours and not waited for yet.
    let pid = unsafe { libc::wait4(child.id() as i32, &raw mut status, 0, usage.as_mut_ptr()) };
    assert_eq!(pid, child.id() as i32, "the child is ours");
    // SAFETY: all-zero bytes are a valid `rusage`, and the call has filled it in.
    let usage = unsafe { usage.assume_init() };
    usage.ru_maxrss as f64 * 1024.0 / 1e6
}

/// Where a program is.
fn found(program: &str) -> Option<PathBuf> {
    if program.starts_with('/') {
        return Some(PathBuf::from(program)).filter(|path| path.exists());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let peers = env::var_os("PROFILE_PEERS").map(PathBuf::from);
    env::split_paths(&path).chain(peers).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Builds the load; its crates come from the registry.
fn build() -> Result<PathBuf, String> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/programs/parse_load/Cargo.toml");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("parse_load");
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--release", "--quiet", "--manifest-path", manifest, "--target-dir"]).arg(&target);
    match command.status() {
        Ok(status) if status.success() => Ok(target.join("release/parse_load")),
        Ok(status) => Err(format!("cargo build of testdata/programs/parse_load: {status}")),
        Err(error) => Err(format!("cargo cannot be started: {error}")),
    }
}
