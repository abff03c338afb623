//! Time off the CPU, beside what a program measured of its own waits (`testdata/programs/off_cpu.c`), and beside
//! `perf sched timehist` on a recording of the same run.

#[path = "common/mod.rs"]
mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock};

use common::account::{self, Account};
use common::folded::{Folded, Row};
use common::planted::{Place, Planted, Thread, Wait, of_thread};
use common::run::{self, Recording, Target, can_bpf};
use common::summary::Summary;
use common::{held, programs, skip};

/// Seconds of the planted waits, a fifth for each kind.
const SECONDS: &str = "10";

/// The error of time by stack.
const ERROR_GOAL: f64 = 0.03;

/// Nanoseconds of error of one wait.
const ERROR_OF_A_WAIT: f64 = 1e6;

/// Nanoseconds of one wait that the kernel counts as its thread's time on the CPU, and that are none: the thread is on its way off
/// it, or the CPU on its way out of idling. A thread that wakes up on an idle CPU is on it, for `sched_info` and its CPU clock, from
/// the wake-up on, as the clock of the run queue is not read again until the switch (`rq_clock_skip_update` in kernel/sched/core.c);
/// the tracepoint is at the switch. Measured: 14 to 25 us, the same with `perf sched record` beside.
const ERROR_OF_A_SWITCH: f64 = 5e4;

/// Nanoseconds of error of one wait by perf events: the kernel copies the stack after it has stopped the thread's clock.
const ERROR_OF_A_COPY: f64 = 1e5;

/// The share of time whose waker is named, and right.
const WAKER_GOAL: f64 = 0.99;

/// The error of sums by thread.
const THREAD_GOAL: f64 = 0.01;

/// Nanoseconds of error of what a thread says that it did before it began to count: its first wait for a CPU, which neither it nor perf has.
const FIRST_WAIT: f64 = 5e6;

/// Room for what a thread did before it began to count, in nanoseconds.
fn first_wait(thread: &Thread) -> f64 {
    FIRST_WAIT + thread.before as f64
}

/// Recordings that are judged by time, one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// One recording of all planted waits, with what perf says of the same run.
#[derive(Debug)]
struct Run {
    /// By perf events it is not known when a thread was woken: what it then waited for a CPU counts as blocked.
    is_by_bpf: bool,
    folded: Folded,
    summary: Summary,
    planted: Planted,
    /// By tid; empty without perf.
    timehist: BTreeMap<u32, Timehist>,
    said: String,
    /// Nanoseconds that the host took meanwhile: no CPU time of a thread, but no wait that the kernel knows of either.
    stolen: f64,
}

/// A thread as `perf sched timehist --summary` has it, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Timehist {
    /// On the CPU.
    on: u64,
    /// Off the CPU.
    off: u64,
    /// Of that: preempted, or woken and not yet on.
    runnable: u64,
}

fn planted() -> &'static Run {
    static RUN: OnceLock<Run> = OnceLock::new();
    RUN.get_or_init(|| {
        let _alone = alone();
        let folder = account::folder();
        let at = |name: &str| folder.path().join(name);
        let with_perf = account::is_root() && account::have("perf");
        let mut command = match with_perf {
            true => {
                let mut perf = Command::new("perf");
                perf.args(["sched", "record", "-m", "16M", "-o"]).arg(at("sched.data")).arg("--").arg(run::binary());
                perf
            }
            false => Command::new(run::binary()),
        };
        command.args(["--off-cpu", "--per-thread", "-f", "folded", "--annotate", "-o"]).arg(at("out.folded"));
        if can_bpf() {
            command.arg("--wakers");
        }
        command.arg("--stats").arg(at("stats.json")).arg("--").arg(programs::c("off_cpu")).args(["all", SECONDS]);
        let stolen = run::stolen();
        let output = run::finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
        let stolen = (run::stolen() - stolen) * 1e9;
        let said = run::stderr(&output);
        assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
        let read = |path: &Path| {
            fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}\n{said}", path.display()))
        };
        Run {
            is_by_bpf: !said.contains("without BPF"),
            folded: Folded::parse(&read(&at("out.folded"))),
            summary: Summary::parse(&read(&at("stats.json"))),
            planted: Planted::parse(&run::stdout(&output)),
            timehist: if with_perf { timehist(&at("sched.data")) } else { BTreeMap::new() },
            said,
            stolen,
        }
    })
}

/// The threads of a recording of `perf sched record`.
///
/// A row is `comm[tid/pid] parent sched-in run-time sleep iowait preempt delay`, in milliseconds; `delay`, from the wake-up on, is
/// part of `sleep` and `iowait` (`timehist_update_runtime_stats` in tools/perf/builtin-sched.c).
fn timehist(recording: &Path) -> BTreeMap<u32, Timehist> {
    let output = Command::new("perf").args(["sched", "timehist", "-s", "--state", "-i"]).arg(recording).output();
    let output = output.expect("perf can be started");
    let mut threads = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Some((name, numbers)) = line.rsplit_once(']') else { continue };
        let Some(tid) = name.rsplit_once('[').and_then(|(_, ids)| ids.split('/').next()?.parse().ok()) else {
            continue;
        };
        let numbers: Vec<f64> = numbers.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let &[_, _, on, sleep, iowait, preempt, delay] = numbers.as_slice() else { continue };
        let nanoseconds = |milliseconds: f64| (milliseconds * 1e6) as u64;
        // A thread that ends has a second row.
        let thread: &mut Timehist = threads.entry(tid).or_default();
        thread.on += nanoseconds(on);
        thread.off += nanoseconds(sleep + iowait + preempt);
        thread.runnable += nanoseconds(preempt + delay);
    }
    threads
}

/// The time of waits at a place that pass.
fn time_at(folded: &Folded, place: &Place, mut pass: impl FnMut(&Wait<'_>) -> bool) -> u64 {
    let waits = folded.rows.iter().map(Wait::of).filter(|wait| wait.is_at(place));
    waits.filter(|wait| pass(wait)).map(|wait| wait.time).sum()
}

/// Whether the host took so much of the CPUs meanwhile that a thread's time is not what anybody says: half a percent.
fn is_robbed(stolen: f64, nanoseconds: f64) -> bool {
    let cpus = std::thread::available_parallelism().map_or(1.0, |count| count.get() as f64);
    stolen > 0.005 * nanoseconds * cpus
}

/// Fails with all that is wrong, and the heaviest rows; where the host was busy, it is a skip.
fn judge(run: &Run, wrong: &[String]) {
    let rows = run.folded.counterexamples(|_| false);
    let said = format!("{}\n{rows}{}\n{}", wrong.join("\n"), run.said, run.summary.json());
    if !wrong.is_empty() && is_robbed(run.stolen, run.summary.number("duration_seconds") * 1e9) {
        println!("{said}");
        return skip::here(ROBBED);
    }
    assert!(wrong.is_empty(), "{said}\n{} ms stolen", run.stolen / 1e6);
}

/// Why a test of times says nothing.
const ROBBED: &str = "the host took CPU time away";

#[test]
fn time_blocked_is_at_the_planted_places() {
    let run = planted();
    for missing in &run.planted.missing {
        skip::skip("time_blocked_is_at_the_planted_places", missing);
    }
    let mut wrong = vec![];
    for place in run.planted.places.iter().filter(|place| place.times > 0) {
        let truth = place.blocked as f64 + if run.is_by_bpf { 0.0 } else { place.runnable as f64 };
        let ours = time_at(&run.folded, place, |wait| !wait.is_runnable || !run.is_by_bpf) as f64;
        let (share, of_a_wait) = ((ours - truth) / truth, (ours - truth) / place.times as f64);
        println!(
            "{:20} {:10.3} ms in {:5} waits, measured {:10.3} ms, {:+.2} %, {:+.1} us a wait",
            place.path[0],
            truth / 1e6,
            place.times,
            ours / 1e6,
            share * 100.0,
            of_a_wait / 1e3
        );
        let is_right = share.abs() <= ERROR_GOAL && of_a_wait.abs() <= ERROR_OF_A_WAIT;
        let room = if run.is_by_bpf { ERROR_OF_A_SWITCH } else { ERROR_OF_A_COPY };
        if !is_right && of_a_wait.abs() > room && (ours - truth).abs() > run.stolen {
            wrong.push(format!("{}: {ours} ns for {truth} ns ({:+.2} %)", place.path.join(";"), share * 100.0));
        }
    }
    assert!(run.planted.places.len() >= 10, "{:?}", run.planted);
    judge(run, &wrong);
}

/// Of the busy threads it is nearly all; of the others little, and it must not be blocked time.
#[test]
fn waiting_for_a_cpu_is_runnable_at_its_place() {
    let run = planted();
    let mut wrong = vec![];
    for place in run.planted.places.iter().filter(|place| place.path[0].starts_with("busy_")) {
        let ours = time_at(&run.folded, place, |wait| wait.is_runnable);
        let share = (ours as f64 - place.runnable as f64) / place.runnable as f64;
        println!("{:40} {:10.3} ms, {:+.2} %", place.path[0], place.runnable as f64 / 1e6, share * 100.0);
        if share.abs() > ERROR_GOAL {
            wrong.push(format!("{}: {ours} ns for {} ns", place.path.join(";"), place.runnable));
        }
        let blocked = time_at(&run.folded, place, |wait| !wait.is_runnable);
        if blocked as f64 > place.runnable as f64 * 0.001 {
            wrong.push(format!("{}: {blocked} ns blocked, and it never blocked", place.path.join(";")));
        }
    }
    judge(run, &wrong);
}

#[test]
fn blocked_stacks_end_where_threads_wait() {
    let run = planted();
    let leaves: [(&str, &[&str]); 7] = [
        ("nap_", &["nanosleep"]),
        ("writer_", &["nanosleep"]),
        ("holder_", &["nanosleep"]),
        ("deliver_", &["nanosleep"]),
        ("pipe_", &["read"]),
        // What is inlined there is known where libc's debug information is.
        ("lock_", &["lock", "futex"]),
        ("fault_", &["fault_inner"]),
    ];
    let mut wrong = vec![];
    for place in run.planted.places.iter().filter(|place| place.times > 0) {
        let (_, leaf) =
            leaves.iter().find(|(begin, _)| place.path[0].starts_with(begin)).expect("every place has a leaf");
        for wait in run.folded.rows.iter().map(Wait::of).filter(|wait| wait.is_at(place) && !wait.is_runnable) {
            let user = wait.user_leaf().unwrap_or_default();
            let kernel = wait.stack.last().map(String::as_str).unwrap_or_default();
            let ends_there = leaf.iter().any(|name| user.contains(name));
            let is_off = kernel.contains("schedule") && kernel.ends_with("_[k]");
            if !(ends_there && is_off) {
                // A write that had to wait for the pipe's lock, and the like.
                let share = wait.time as f64 / place.blocked as f64;
                if share > 0.01 {
                    wrong.push(format!("{}: {:.1} % end in {user}, {kernel}", place.path.join(";"), share * 100.0));
                }
            }
        }
    }
    judge(run, &wrong);
}

#[test]
fn wakers_are_named() {
    need!(can_bpf(), "wakers_are_named", "no BPF program can be loaded here");
    let run = planted();
    let (mut wrong, mut times) = (vec![], [0; 2]);
    for place in run.planted.places.iter().filter(|place| place.times > 0) {
        let waker = place.waker.as_deref();
        let all = time_at(&run.folded, place, |wait| !wait.is_runnable);
        // What is said to be not known is not wrong; one of few long waits would be more than a hundredth of its place.
        let known = time_at(&run.folded, place, |wait| !wait.is_runnable && wait.waker_name() != Some("[not known]"));
        let right = time_at(&run.folded, place, |wait| !wait.is_runnable && wait.waker_name() == waker);
        let share = right as f64 / known.max(1) as f64;
        println!("{:40} by {:16} {:.2} %", place.path[0], waker.unwrap_or_default(), share * 100.0);
        times = [times[0] + all, times[1] + known];
        if share < WAKER_GOAL {
            let mut said: BTreeMap<&str, u64> = BTreeMap::new();
            for wait in run.folded.rows.iter().map(Wait::of).filter(|wait| wait.is_at(place) && !wait.is_runnable) {
                *said.entry(wait.waker_name().unwrap_or("nobody")).or_default() += wait.time;
            }
            wrong.push(format!("{}: {:.2} % by {waker:?}; {said:?}", place.path.join(";"), share * 100.0));
        }
    }
    let [all, known] = times;
    if (known as f64) < WAKER_GOAL * all as f64 {
        wrong.push(format!("known of {known} of {all} ns"));
    }
    judge(run, &wrong);
}

/// The main thread was there before it ran this program, so perf has more of it: its own count stands for it alone.
#[test]
fn sums_by_thread_agree_with_the_kernel_and_with_perf() {
    let run = planted();
    let (mut wrong, mut sums, mut compared) = (vec![], [0u64; 3], 0);
    for thread in &run.planted.threads {
        let off = of_thread(&run.folded, thread.tid, |_| true);
        let runnable = of_thread(&run.folded, thread.tid, |row| Wait::of(row).is_runnable);
        let perf = run.timehist.get(&thread.tid).copied();
        println!(
            "{:16} {:10.3} ms, by itself {:10.3} ms, by perf {:10.3} ms; could have run {:.3}, {:.3}, {:.3} ms",
            thread.name,
            off as f64 / 1e6,
            thread.off as f64 / 1e6,
            perf.unwrap_or_default().off as f64 / 1e6,
            runnable as f64 / 1e6,
            thread.runnable as f64 / 1e6,
            perf.unwrap_or_default().runnable as f64 / 1e6,
        );
        let mut compare = |what: &str, ours: u64, theirs: u64, room: f64, more: f64| {
            let error = ours as f64 - theirs as f64;
            if error < -room || error > room + more {
                wrong.push(format!("{}: {what}: {ours} ns for {theirs} ns", thread.name));
            }
        };
        // Perf events copy a stack at each switch, when the thread's clock has stopped.
        let goal = if run.is_by_bpf { THREAD_GOAL } else { 2.0 * THREAD_GOAL };
        let first = first_wait(thread);
        let room = thread.off as f64 * goal + first + run.stolen;
        let switches = thread.times as f64 * ERROR_OF_A_SWITCH;
        compare("itself", off, thread.off, room, switches);
        // The kernel's own count of it. Of what is short, a hundredth of the thread's time is room enough.
        if run.is_by_bpf {
            compare("schedstat", runnable, thread.runnable, room.max(thread.runnable as f64 * ERROR_GOAL), switches);
        }
        if let Some(perf) = perf.filter(|_| thread.name != "off_cpu") {
            // On a busy machine perf loses switches: it then takes waits for time on the CPU, or has less than the thread's life.
            let on = thread.lived.saturating_sub(thread.off) as f64;
            let has_all = (perf.off + perf.on) as f64 >= 0.98 * thread.lived as f64;
            if has_all && perf.on as f64 <= 1.05 * on + first + run.stolen {
                compare("perf sched timehist", off, perf.off, perf.off as f64 * goal + first + run.stolen, 0.0);
                compared += 1;
            }
            sums[2] += perf.off;
        }
        sums[0] += off;
        sums[1] += thread.off;
    }
    println!("all: {:.3} ms, by themselves {:.3} ms", sums[0] as f64 / 1e6, sums[1] as f64 / 1e6);
    if compared == 0 {
        skip::skip(
            "sums_by_thread_agree_with_the_kernel_and_with_perf",
            "perf is not here, or has lost events of every thread",
        );
    }
    assert!(run.planted.threads.len() >= 7, "{:?}", run.planted.threads);
    judge(run, &wrong);
}

#[test]
fn nothing_is_lost_of_the_planted_waits() {
    let run = planted();
    let waits = &run.summary.json()["off_cpu"];
    assert_eq!(waits["lost_waits"].as_u64(), Some(0), "{waits}");
    let incomplete = run.folded.weight(|row| row.mentions("[truncated"));
    let all = run.folded.weight(|_| true);
    assert!(incomplete as f64 <= 0.01 * all as f64, "{incomplete} of {all} ns with cut stacks\n{}", run.said);
}

#[test]
fn wall_is_time_on_and_off_the_cpu() {
    let _alone = alone();
    let recording = run::record(Account::Own, &["--wall", "--per-thread"], &programs::c("off_cpu"), &["all", "5"]);
    let planted = Planted::parse(&recording.printed);
    let mut wrong = vec![];
    for thread in &planted.threads {
        let ours = of_thread(&recording.folded, thread.tid, |_| true);
        let share = ours as f64 / thread.lived as f64 - 1.0;
        println!("{:16} {:10.3} ms, {:+.2} %", thread.name, thread.lived as f64 / 1e6, share * 100.0);
        if (ours as f64 - thread.lived as f64).abs() > THREAD_GOAL * thread.lived as f64 + first_wait(thread) {
            wrong.push(format!("{}: {ours} ns of {} ns", thread.name, thread.lived));
        }
    }
    if !wrong.is_empty() && is_robbed(recording.stolen * 1e9, recording.summary.number("duration_seconds") * 1e9) {
        println!("{}", wrong.join("\n"));
        return skip::here(ROBBED);
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), recording.said);
}

/// Blocked before the recording began, and still when it ended.
#[test]
fn threads_that_block_all_the_time_are_there() {
    need!(can_bpf(), "threads_that_block_all_the_time_are_there", "no BPF program can be loaded here");
    const THREADS: usize = 100;
    let target = Target::start(Account::Own, &programs::c("off_cpu"), &["threads", "100", "60"]);
    let folder = account::folder();
    let (stacks, stats) = (folder.path().join("out.folded"), folder.path().join("stats.json"));
    let mut command = Command::new(run::binary());
    command.args(["--off-cpu", "-p", &target.pid_text(), "-d", "2", "-f", "folded", "--annotate", "-o"]).arg(&stacks);
    let output = command.arg("--stats").arg(&stats).output().expect("profile can be started");
    assert!(output.status.success(), "{}", run::stderr(&output));
    let folded = Folded::parse(&fs::read_to_string(&stacks).expect("stacks were written"));
    let summary = Summary::parse(&fs::read_to_string(&stats).expect("--stats was written"));
    let waits = &summary.json()["off_cpu"];
    let all = waits["blocked_before"].as_u64().unwrap_or_default();
    assert_eq!(all, THREADS as u64 + 1, "with the main thread; {waits}");
    assert_eq!(waits["still_blocked"].as_u64(), Some(all), "{waits}");
    // Each has a stack of its own, as long as the recording.
    let duration = summary.number("duration_seconds") * 1e9;
    let rows: Vec<&Row> = folded.rows.iter().filter(|row| row.has("waits_forever")).collect();
    assert_eq!(rows.len(), THREADS, "{}", folded.counterexamples(|_| false));
    for row in rows {
        assert!((row.weight as f64 / duration - 1.0).abs() < 0.01, "{row:?}, of {duration} ns");
        let bits = row.frames.iter().filter(|frame| frame.starts_with("bit_")).count();
        assert_eq!(bits, 7, "{row:?}");
    }
}

/// What `profile` says of itself as it records a program for a second.
fn said(flags: &[&str], of: &[&str]) -> Summary {
    let folder = account::folder();
    let stats = folder.path().join("stats.json");
    let mut command = Command::new(run::binary());
    command
        .args(flags)
        .args(["-d", "1", "-f", "folded", "--annotate", "-o", "/dev/null", "--stats"])
        .arg(&stats)
        .args(of);
    let output = command.output().expect("profile can be started");
    assert!(output.status.success(), "{}", run::stderr(&output));
    Summary::parse(&fs::read_to_string(&stats).expect("--stats was written"))
}

/// Threads that run when the recording begins and still when it ends have been on the CPU for no longer than it took; those of which
/// only others are asked for are not counted.
#[test]
fn time_on_the_cpu_is_that_of_the_recording() {
    need!(can_bpf(), "time_on_the_cpu_is_that_of_the_recording", "no BPF program can be loaded here");
    let _alone = alone();
    let target = Target::start_silent(Account::Own, &programs::c("shares"), &["3", "20000"]);
    let pid = target.pid_text();
    run::wait_until("its threads run", || fs::read_dir(format!("/proc/{pid}/task")).is_ok_and(|all| all.count() >= 4));
    for (flags, of) in [("--off-cpu", "-p"), ("--wall", "-p"), ("--off-cpu", "-t"), ("--wall", "-t")] {
        let summary = said(&[flags], &[of, &pid]);
        let coverage = summary.number("coverage");
        assert!((0.97..1.01).contains(&coverage), "{flags} {of}: {coverage}; {}", summary.json()["off_cpu"]);
    }
}

/// What a command waits for from its first moment on has its stack, if it waits until the end.
#[test]
fn early_waits_that_last_have_their_stacks() {
    need!(can_bpf(), "early_waits_that_last_have_their_stacks", "no BPF program can be loaded here");
    // It outlives its shell, and holds our pipes.
    let summary = said(&["--off-cpu"], &["--", "sh", "-c", "sleep 3; :"]);
    let complete = summary.number("complete");
    assert!(complete >= 0.9, "{complete}: {}", summary.json());
}

#[test]
fn waits_are_chosen_by_length_and_state() {
    let _alone = alone();
    let program = programs::c("off_cpu");
    // Behind a long wait a short one for a CPU may stand, which is a wait of its own.
    let at = |recording: &Recording, name: &str| {
        recording.folded.weight(|row| row.has(name) && !Wait::of(row).is_runnable) > 0
    };
    // Where the host takes the CPU away, a nap of 0.2 ms can be one of 38 ms: it is tried again.
    let record_long = || run::record(Account::Own, &["--off-cpu", "--min-block", "4ms"], &program, &["naps", "1"]);
    let mut long = record_long();
    for _ in 0..3 {
        if at(&long, "nap_brief_outer") {
            long = record_long();
        }
    }
    if at(&long, "nap_brief_outer") && is_robbed(long.stolen * 1e9, long.summary.number("duration_seconds") * 1e9) {
        return skip::here(ROBBED);
    }
    assert!(at(&long, "nap_middle_outer") && at(&long, "nap_long_outer"), "{:?}", long.folded);
    assert!(!at(&long, "nap_brief_outer"), "{:?}", long.folded);
    let brief = run::record(Account::Own, &["--off-cpu", "--max-block", "900us"], &program, &["naps", "1"]);
    assert!(at(&brief, "nap_brief_outer"), "{:?}", brief.folded);
    // Of some 100 and 700 ms: what delays a thread on its way to sleep makes the sleep shorter than it asked for.
    let rest = brief.folded.weight(|row| row.has("nap_short_outer") || row.has("nap_long_outer"));
    assert!(rest < 20_000_000, "{:?}", brief.folded);
    if !can_bpf() {
        return skip::here("states of tasks need BPF");
    }
    let deep = run::record(Account::Own, &["--off-cpu", "--state", "D"], &program, &["naps", "1"]);
    assert!(!at(&deep, "nap_long_outer"), "{:?}", deep.folded);
    let queued = run::record(Account::Own, &["--off-cpu", "--state", "R"], &program, &["runqueue", "1"]);
    assert!(queued.folded.total_of("busy_a_outer") > 0, "{:?}", queued.folded);
    assert!(queued.folded.rows.iter().all(|row| Wait::of(row).is_runnable), "{:?}", queued.folded);
}

/// One call in user mode, different waits in the kernel: whatever is kept of a stack, the kernel's part is that of each wait.
#[test]
fn waits_of_one_call_are_told_apart_by_the_kernels_functions() {
    const NAME: &str = "waits_of_one_call_are_told_apart_by_the_kernels_functions";
    need!(can_bpf(), NAME, "no BPF program can be loaded here");
    // By kernel: pipe_read is anon_pipe_read from 6.15 on, timerfd_read is timerfd_read_iter from 6.10 on.
    let functions: [(&str, &[&str]); 5] = [
        ("pipe", &["pipe_read_[k]", "anon_pipe_read_[k]"]),
        ("timer", &["timerfd_read_[k]", "timerfd_read_iter_[k]"]),
        ("event", &["eventfd_read_[k]"]),
        ("socket", &["unix_stream_read_generic_[k]"]),
        ("nap", &["do_nanosleep_[k]"]),
    ];
    let _alone = alone();
    let flags = ["--off-cpu", "--wakers", "--per-thread"];
    let recording = run::record(Account::Own, &flags, &programs::c("one_call"), &["5"]);
    let planted = Planted::parse(&recording.printed);
    let waits: Vec<Wait<'_>> = recording.folded.rows.iter().map(Wait::of).filter(|wait| !wait.is_runnable).collect();
    let time_of = |pass: &dyn Fn(&Wait<'_>) -> bool| -> f64 {
        waits.iter().filter(|wait| pass(wait)).map(|wait| wait.time).sum::<u64>() as f64
    };
    let is_at = |wait: &Wait<'_>, names: &[&str]| wait.stack.iter().any(|frame| names.contains(&frame.as_str()));
    // Before its tables are there, its stacks are cut, and say so.
    let is_cut = |wait: &Wait<'_>| {
        let is_main = wait.stack.get(1).is_some_and(|thread| thread.starts_with("one_call-"));
        is_main && wait.stack.iter().any(|frame| frame.starts_with("[truncated"))
    };
    let is_of_call = |wait: &Wait<'_>| is_at(wait, &["same_inner"]);
    let (mut wrong, mut times, mut known) = (vec![], 0, 0.0);
    for place in &planted.places {
        let kind = &place.path[0];
        let (_, names) = functions.iter().find(|(name, _)| name == kind).expect("it is one of these");
        let truth = place.blocked as f64;
        let ours = time_of(&|wait| is_of_call(wait) && is_at(wait, names));
        let cut = time_of(&|wait| is_cut(wait) && is_at(wait, names));
        // Of one in a thousand nobody is known.
        let is_by_others = |wait: &Wait<'_>| {
            let waker = wait.waker_name();
            waker != place.waker.as_deref() && waker != Some("[not known]")
        };
        let by_others = time_of(&|wait| is_of_call(wait) && is_at(wait, names) && is_by_others(wait));
        let (off, of_a_wait) = (ours - truth, (ours - truth) / place.times as f64);
        println!(
            "{kind:8} {:10.3} ms in {:4} waits, measured {:10.3} ms, {:+.2} %, {:+.1} us a wait; cut {:.3} ms, woken by others {:.3} ms",
            truth / 1e6,
            place.times,
            ours / 1e6,
            off / truth * 100.0,
            of_a_wait / 1e3,
            cut / 1e6,
            by_others / 1e6,
        );
        let is_right = off.abs() <= ERROR_GOAL * truth && of_a_wait.abs() <= ERROR_OF_A_WAIT;
        if !is_right && of_a_wait.abs() > ERROR_OF_A_SWITCH && off.abs() > recording.stolen * 1e9 + cut {
            wrong.push(format!("{kind}: {ours} ns for {truth} ns"));
        }
        if by_others > (1.0 - WAKER_GOAL) * ours {
            wrong.push(format!("{kind}: {by_others} of {ours} ns were ended by others than {:?}", place.waker));
        }
        (times, known) = (times + place.times, known + ours);
    }
    let all = time_of(&is_of_call);
    if all - known > 0.01 * all {
        wrong.push(format!("{} of {all} ns are at none of these functions", all - known));
    }
    // Else nothing is tried here.
    let reused = recording.summary.json()["bpf"]["counts"]["stacks_reused"].as_u64().unwrap_or_default();
    println!("{reused} stacks were not walked again; {times} waits of this thread");
    assert!(planted.places.len() == functions.len() && reused > times, "{reused} reused; {planted:?}");
    let rows = recording.folded.counterexamples(|_| false);
    assert!(wrong.is_empty(), "{}\n{rows}{}\n{} s stolen", wrong.join("\n"), recording.said, recording.stolen);
}

/// A switch that is not there is counted.
#[test]
fn no_switch_is_lost_at_100_000_a_second() {
    need!(can_bpf(), "no_switch_is_lost_at_100_000_a_second", "no BPF program can be loaded here");
    let _alone = alone();
    let recording =
        run::record(Account::Own, &["--off-cpu", "--wakers"], &programs::c("off_cpu"), &["pingpong", "100000", "3"]);
    let switches = recording.truth("SWITCHES");
    let waits = &recording.summary.json()["off_cpu"];
    let count = |key: &str| waits[key].as_f64().unwrap_or_else(|| panic!("no {key} in {waits}"));
    println!("{:.0} switches/s: {waits}", switches / recording.truth("SECONDS"));
    // Runs for a CPU after a wait are counted as waits of their own.
    let seen = count("waits") + count("lost_waits");
    assert!(seen + count("runnable_waits") >= 0.999 * switches, "{switches} switches; {waits}");
    assert!(count("lost_waits") == 0.0, "{waits}");
}

#[test]
fn a_killed_profile_leaves_no_programs_and_no_maps() {
    const NAME: &str = "a_killed_profile_leaves_no_programs_and_no_maps";
    need!(can_bpf(), NAME, "no BPF program can be loaded here");
    need!(account::have("bpftool"), NAME, "needs bpftool");
    let folder = account::folder();
    let mut child = Command::new(run::binary())
        .args(["--off-cpu", "-a", "-d", "60", "-f", "folded", "--annotate", "-o"])
        .arg(folder.path().join("out.folded"))
        .stderr(Stdio::null())
        .spawn()
        .expect("profile can be started");
    let mut held = BTreeSet::new();
    run::wait_until("programs are attached", || {
        held = held::by(child.id());
        ["prog", "map", "link"].iter().all(|kind| held.iter().any(|(of, _)| of == kind))
    });
    child.kill().expect("it is ours");
    child.wait().expect("it is ours");
    // The kernel lets go of them after it has waited for all CPUs.
    run::wait_until("nothing is left", || !held.iter().any(|&(kind, id)| held::is_there(kind, id)));
}
