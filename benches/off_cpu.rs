//! What recording of time off the CPU costs at each context switch, and what sampling of all CPUs costs, beside their peers.
//!
//! `cargo bench --bench off_cpu`, as root; `PROFILE_BENCH_ROUNDS` (5) is how often each way is measured, in turns, the median
//! counts. Peers: `offcputime` of libbpf-tools and `perf sched record`; `perf record -g` by frame pointers and by copies of
//! stacks.
//!
//! The time of a program in the kernel is the kernel's own count (`kernel.bpf_stats_enabled`, which is put back at the end).

#[path = "../tests/common/mod.rs"]
mod common;

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use common::account::{self, Account};
use common::run::{Target, binary, truth};
use common::summary::Summary;
use common::{held, programs};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Microseconds a context switch.
const SWITCH_GOAL: f64 = 2.0;

/// Own CPU time at 999 Hz on all CPUs, as a share of one core.
const CPU_GOAL: f64 = 0.01;

/// Seconds that each ping-pong plays.
const SECONDS: f64 = 2.0;

/// Whether the kernel counts the time of BPF programs; put back when dropped.
struct KernelCounts(String);

const COUNTS: &str = "/proc/sys/kernel/bpf_stats_enabled";

impl KernelCounts {
    fn begin() -> KernelCounts {
        let before = fs::read_to_string(COUNTS).unwrap_or_default();
        let _ = fs::write(COUNTS, "1");
        KernelCounts(before)
    }
}

impl Drop for KernelCounts {
    fn drop(&mut self) {
        let _ = fs::write(COUNTS, &self.0);
    }
}

fn main() {
    if !account::is_root() {
        return println!("needs root");
    }
    let rounds = env::var("PROFILE_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    handlers();
    slowdown(rounds);
    sampling(rounds);
}

/// Time of the programs in the kernel at each switch, at several rates.
fn handlers() {
    let _counts = KernelCounts::begin();
    println!(
        "time in the kernel a context switch, by the kernel's count of the programs' time (with what counting costs)"
    );
    for rate in [4_000, 20_000, 100_000] {
        for way in [Way::Profile, Way::ProfileWakers, Way::Offcputime] {
            let Some(played) = play(way, rate) else { continue };
            let Some((nanoseconds, runs)) = played.programs else {
                println!("     {}: no programs", way.name());
                continue;
            };
            let each = nanoseconds / played.switches / 1e3;
            let goal = if way == Way::Offcputime { f64::INFINITY } else { SWITCH_GOAL };
            let name = format!("{} at {:.0} switches/s", way.name(), played.switches / played.seconds);
            row(&name, goal, each, "us");
            println!("       {runs:.0} runs of programs, {:.0} switches{}", played.switches, played.own_words());
        }
    }
}

/// How much slower a ping-pong is that plays as fast as it can: by its CPU time, in which the programs at its switches are, and
/// in which other load is not.
fn slowdown(rounds: usize) {
    let ways = [Way::Alone, Way::Profile, Way::ProfileWakers, Way::Offcputime, Way::PerfSched];
    let mut each = vec![vec![]; ways.len()];
    for _ in 0..rounds {
        for (way, each) in ways.iter().zip(&mut each) {
            each.extend(play(*way, 0).map(|played| played.cpu / played.switches * 1e6));
        }
    }
    println!("\nslowdown of a ping-pong through pipes, two threads on one CPU, median of {rounds}");
    let alone = median(&mut each[0]);
    let peer = median(&mut each[3]) - alone;
    for (way, each) in ways.iter().zip(&mut each) {
        let time = median(each);
        let goal = if matches!(way, Way::Profile) { peer } else { f64::INFINITY };
        row(&format!("{}: {time:.2} us a switch", way.name()), goal, time - alone, "us more");
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Alone,
    Profile,
    ProfileWakers,
    Offcputime,
    PerfSched,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Way::Alone => "alone",
            Way::Profile => "profile --off-cpu",
            Way::ProfileWakers => "profile --off-cpu --wakers",
            Way::Offcputime => "offcputime (frame pointers)",
            Way::PerfSched => "perf sched record",
        }
    }

    /// The command that records a process until it is told to end.
    fn command(self, pid: u32, folder: &Path) -> Option<Command> {
        let mut command = match self {
            Way::Alone => return None,
            Way::Profile | Way::ProfileWakers => Command::new(binary()),
            Way::Offcputime => Command::new("offcputime"),
            Way::PerfSched => Command::new("perf"),
        };
        let pid = pid.to_string();
        match self {
            Way::Alone => {}
            Way::Profile | Way::ProfileWakers => {
                command
                    .args(["--off-cpu", "-p", &pid, "-f", "folded", "--annotate", "-o"])
                    .arg(folder.join("out.folded"));
                command.arg("--stats").arg(folder.join("stats.json"));
                if self == Way::ProfileWakers {
                    command.arg("--wakers");
                }
            }
            Way::Offcputime => {
                command.args(["-p", &pid, "--stack-storage-size", "16384", "600"]);
            }
            Way::PerfSched => {
                command.args(["sched", "record", "-o"]).arg(folder.join("sched.data"));
            }
        }
        Some(command)
    }
}

/// What one ping-pong gave.
struct Played {
    switches: f64,
    seconds: f64,
    /// CPU seconds of both players.
    cpu: f64,
    /// Nanoseconds and runs of the recorder's programs meanwhile.
    programs: Option<(f64, f64)>,
    summary: Option<Summary>,
}

impl Played {
    /// The recorder's own count of its programs' time, if it has one.
    fn own_words(&self) -> String {
        let Some(summary) = &self.summary else { return String::new() };
        let json = summary.json();
        let lost = json["off_cpu"]["lost_waits"].as_u64().unwrap_or_default();
        format!("; lost {lost} waits; {}", json.get("bpf").unwrap_or(&Value::Null))
    }
}

/// Plays while it is recorded; nothing if the recorder is not here.
fn play(way: Way, rate: u32) -> Option<Played> {
    let folder = account::folder();
    let program = programs::c("off_cpu");
    let arguments = ["pingpong", &rate.to_string(), &SECONDS.to_string(), "8", "threads", "wait"];
    let mut target = Target::start(Account::Own, &program, &arguments);
    let mut recorder = None;
    if let Some(mut command) = way.command(target.pid(), folder.path()) {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let Ok(child) = child else {
            println!("     {}: not here", way.name());
            return None;
        };
        // `perf` and a `profile` that may not load programs have none.
        let begin = Instant::now();
        while way != Way::PerfSched && programs_of(child.id()).is_empty() && begin.elapsed() < Duration::from_secs(4) {
            thread::sleep(Duration::from_millis(50));
        }
        // From when they are there until they are attached.
        thread::sleep(Duration::from_millis(1500));
        recorder = Some(child);
    }
    let before = recorder.as_ref().map(|child| programs_of(child.id()));
    target.go();
    let printed = target.rest();
    let after = recorder.as_ref().map(|child| programs_of(child.id()));
    if let Some(child) = recorder {
        end(child);
    }
    let programs = before.zip(after).filter(|(_, after)| !after.is_empty()).map(|(before, after)| {
        let sum = |of: &[(f64, f64)]| of.iter().fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        (sum(&after).0 - sum(&before).0, sum(&after).1 - sum(&before).1)
    });
    let stats = fs::read_to_string(folder.path().join("stats.json")).ok();
    Some(Played {
        switches: truth(&printed, "SWITCHES"),
        seconds: truth(&printed, "SECONDS"),
        cpu: truth(&printed, "CPU"),
        programs,
        summary: stats.map(|text| Summary::parse(&text)),
    })
}

/// Asks a recorder to end, and waits until it has.
fn end(mut child: Child) {
    // It has not been waited for, so the pid is still its own.
    let _ = kill_process(Pid::from_child(&child), Signal::INT);
    let _ = child.wait();
}

/// Nanoseconds and runs of each program that a process holds.
fn programs_of(pid: u32) -> Vec<(f64, f64)> {
    let number = |program: &Value, key: &str| program[key].as_f64().unwrap_or(0.0);
    let programs = held::programs(&held::by(pid));
    programs.iter().map(|program| (number(program, "run_time_ns"), number(program, "run_cnt"))).collect()
}

/// How much longer a fixed work takes on all CPUs, and what the recorder uses itself, at 999 Hz.
fn sampling(rounds: usize) {
    let cpus = thread::available_parallelism().map_or(1, usize::from).to_string();
    let program = programs::c("shares");
    let folder = account::folder();
    let ways: [(&str, &[&str]); 5] = [
        ("alone", &[]),
        ("profile", &["-a", "-F", "999", "-d", "600", "-f", "folded", "--annotate", "-q", "-o"]),
        (
            "profile --bpf samples",
            &["-a", "-F", "999", "-d", "600", "--bpf", "samples", "-f", "folded", "--annotate", "-q", "-o"],
        ),
        ("perf record -g", &["record", "-q", "-a", "-F", "999", "-g", "-o"]),
        ("perf record --call-graph dwarf", &["record", "-q", "-a", "-F", "999", "--call-graph", "dwarf", "-o"]),
    ];
    let (mut times, mut owns, mut sizes) = (vec![vec![]; 5], vec![vec![]; 5], [0; 5]);
    for _ in 0..rounds {
        for (at, (name, arguments)) in ways.iter().enumerate() {
            let output = folder.path().join("recorded");
            let recorder = (!arguments.is_empty()).then(|| {
                let is_own = name.starts_with("profile");
                let mut command = if is_own { Command::new(binary()) } else { Command::new("perf") };
                command.args(*arguments).arg(&output).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                let child = command.spawn().expect("the recorder can be started");
                thread::sleep(Duration::from_millis(1500));
                child
            });
            let (before, begin) = (recorder.as_ref().map(|child| used(child.id())), Instant::now());
            let mut work = Command::new(&program).args([cpus.as_str(), "2000"]).stdout(Stdio::piped()).spawn();
            let work = work.as_mut().expect("the load runs");
            let mut printed = String::new();
            work.stdout.as_mut().expect("it is piped").read_to_string(&mut printed).expect("it prints text");
            work.wait().expect("it is ours");
            let wall = begin.elapsed().as_secs_f64();
            times[at].push(truth(&printed, "CPU"));
            if let (Some(child), Some(before)) = (recorder, before) {
                owns[at].push((used(child.id()) - before) / wall);
                end(child);
            }
            sizes[at] = fs::metadata(&output).map_or(0, |file| file.len());
        }
    }
    println!(
        "\nsampling at 999 Hz on all {cpus} CPUs, each at work: CPU time of a fixed work, own CPU, median of {rounds}"
    );
    let alone = median(&mut times[0]);
    let peer = (median(&mut times[3]) / alone - 1.0) * 100.0;
    for (at, (name, _)) in ways.iter().enumerate().skip(1) {
        let goal = |goal: f64| if name.starts_with("profile") { goal } else { f64::INFINITY };
        row(&format!("{name}: slowdown"), goal(peer), (median(&mut times[at]) / alone - 1.0) * 100.0, "%");
        row(&format!("{name}: own CPU"), goal(CPU_GOAL * 100.0), median(&mut owns[at]) * 100.0, "% of a core");
        println!("       {:.1} MB written", sizes[at] as f64 / 1e6);
    }
}

/// CPU seconds that a process has used, by the scheduler's own count of each thread.
fn used(pid: u32) -> f64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let each = threads.filter_map(|thread| {
        fs::read_to_string(thread.path().join("schedstat")).ok()?.split(' ').next()?.parse::<f64>().ok()
    });
    each.sum::<f64>() / 1e9
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn row(name: &str, goal: f64, measured: f64, unit: &str) {
    let verdict = match goal.is_finite() {
        true if measured <= goal => "ok  ",
        true => "MISS",
        false => "    ",
    };
    let goal = if goal.is_finite() { format!("goal <= {goal:.2}") } else { String::new() };
    println!("{verdict} {name:<52} {goal:<16} measured {measured:.3} {unit}");
}
