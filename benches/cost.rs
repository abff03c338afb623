//! What recording costs: the profiler's own CPU time and memory at 99 Hz while the machine is busy for a minute.
//!
//! `cargo bench --bench cost`; `PROFILE_BENCH_SECONDS` shortens it. The whole system as root, one process otherwise.
//! The load is of different kinds, so that tables of many programs are read: loops, libc, Rust, processes that come and go.

#[path = "../tests/common/mod.rs"]
mod common;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use common::account;
use common::programs;
use common::run::{binary, text};
use common::summary::Summary;

/// Own CPU time, as a share of one core.
const CPU_GOAL: f64 = 0.005;

/// Own memory, in MiB.
const MEMORY_GOAL: f64 = 64.0;

/// Programs that run while the recording lasts, and are killed at its end.
struct Load(Vec<Child>);

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn main() {
    let seconds: u64 = env::var("PROFILE_BENCH_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let storms = text(&programs::c("storm_procs"));
    let start = |command: &mut Command| command.stdout(Stdio::null()).spawn().expect("the load runs");
    let load = Load(vec![
        start(Command::new(programs::c("busy")).arg("100000")),
        start(Command::new(programs::c("libc_heavy")).arg("100000")),
        start(Command::new(programs::rust_with("rust_prog", &[])).arg("100000")),
        start(Command::new("sh").args(["-c", &format!("while '{storms}' exec 500 2; do :; done")])),
    ]);

    let folder = account::folder();
    let stats = folder.path().join("stats.json");
    let mut command = Command::new(binary());
    command.args(["-F", "99", "-d", &seconds.to_string(), "-o"]).arg(folder.path().join("out.svg"));
    command.arg("--stats").arg(&stats).stderr(Stdio::null());
    if account::is_root() {
        command.arg("-a");
    } else {
        command.args(["-p", &load.0[1].id().to_string()]);
    }
    let mut child = command.spawn().expect("profile can be started");
    let begin = Instant::now();
    // What it has used shortly before the end is the cost of recording; the rest is the cost of the picture.
    thread::sleep(Duration::from_millis(seconds * 1000 - 500));
    let (recording, resident) = used(child.id());
    let watched = begin.elapsed().as_secs_f64();
    let status = child.wait().expect("it is ours");
    drop(load);
    assert!(status.success(), "profile: {status}");
    let summary = Summary::parse(&fs::read_to_string(&stats).expect("--stats was written"));

    let what = if account::is_root() { "whole system" } else { "one process" };
    println!(
        "cost of recording at 99 Hz, {what}, {seconds} s, {} samples, lost {}",
        summary.count("samples"),
        summary.count("lost")
    );
    row("own CPU while recording", CPU_GOAL * 100.0, recording / watched * 100.0, "% of a core");
    row("own memory while recording", MEMORY_GOAL, resident, "MiB");
    let whole = summary.number("own_cpu_seconds");
    println!("  (with symbols and picture: {whole:.3} CPU s, {:.1} MiB)", summary.number("peak_rss_bytes") / 1048576.0);
}

fn row(name: &str, goal: f64, measured: f64, unit: &str) {
    let verdict = if measured <= goal { "ok  " } else { "MISS" };
    println!(
        "{verdict} {name:<28} goal <= {goal:<6} measured {measured:.3} {unit} ({:.2} of the goal)",
        measured / goal
    );
}

/// CPU seconds that a process has used, by the scheduler's own count of each thread, and its largest resident memory in MiB.
fn used(pid: u32) -> (f64, f64) {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("it still records");
    let nanoseconds: f64 = threads
        .filter_map(|thread| {
            fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?.split(' ').next()?.parse::<f64>().ok()
        })
        .sum();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it still records");
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    (nanoseconds / 1e9, peak.unwrap_or(f64::NAN) / 1024.0)
}
