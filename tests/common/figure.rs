//! The figures that `profile` promises, each measured on a program that knows its own truth.
//!
//! A figure is judged by counts and standard deviations, or by ratios of CPU time within one run, never by wall time.
//! `tests/figures.rs` asserts them, `benches/accuracy.rs` prints them.

use std::process::Command;

use super::account::Account;
use super::run::{Recording, record, truth};
use super::{programs, sigma};

/// The planted leaves of `leaves.h`.
pub const LEAVES: [&str; 6] = ["leaf_40", "leaf_25", "leaf_15", "leaf_10", "leaf_07", "leaf_03"];

/// A promise and what was measured.
#[derive(Clone, Debug)]
pub struct Figure {
    /// What was measured, of which program, as whom.
    pub name: String,
    /// What is promised.
    pub goal: String,
    /// What was found.
    pub measured: String,
    /// Whether the promise is kept.
    pub holds: bool,
}

impl Figure {
    fn new(name: impl Into<String>, goal: impl Into<String>, measured: impl Into<String>, holds: bool) -> Figure {
        Figure { name: name.into(), goal: goal.into(), measured: measured.into(), holds }
    }

    /// The line in which it is printed.
    pub fn line(&self) -> String {
        let verdict = if self.holds { "ok  " } else { "MISS" };
        format!("{verdict} {:<52} goal {:<34} measured {}", self.name, self.goal, self.measured)
    }
}

/// How events reach the target, by what the account may do.
fn road(account: Account) -> &'static str {
    match account {
        Account::Own if super::account::is_root() => "per CPU",
        _ => "per task",
    }
}

/// How many samples are due, least and most: CPU time does not hold what the host stole, but timers run through it, and
/// of what was stolen an unknown part fell on the program.
fn due(hertz: u32, run: &Recording) -> (f64, f64) {
    let (hertz, cpu) = (f64::from(hertz), run.truth("CPU"));
    (hertz * cpu, hertz * (cpu + run.stolen))
}

/// The one of the counts that may be due which is nearest to what was sampled.
fn nearest((least, most): (f64, f64), samples: u64) -> f64 {
    (samples as f64).clamp(least, most)
}

/// What the host stole, where that is worth a word.
fn stolen(run: &Recording) -> String {
    if run.stolen > 0.0 { format!(", {:.2} s stolen", run.stolen) } else { String::new() }
}

/// The six planted shares in a number of threads, and the path from leaf to root.
pub fn shares(account: Account, threads: u64) -> Vec<Figure> {
    let program = programs::c("shares");
    // Fixed work: first how long a round takes here, then as many as 6,000 samples need (a busy host may
    // have slowed the trial).
    let trial = Command::new(&program).args(["1", "60"]).output().expect("the program runs");
    let seconds_a_round = truth(&String::from_utf8_lossy(&trial.stdout), "CPU") / 60.0;
    let rounds = (6.0 / seconds_a_round / threads as f64).ceil().max(1.0);
    let run = record(account, &["-F", "999"], &program, &[&threads.to_string(), &rounds.to_string()]);

    let hits: Vec<u64> = LEAVES.iter().map(|leaf| run.folded.total_of(leaf)).collect();
    let truths: Vec<f64> = LEAVES.iter().map(|leaf| run.truth(&format!("TRUTH {leaf}"))).collect();
    let samples: u64 = hits.iter().sum();
    let sigmas: Vec<f64> =
        hits.iter().zip(&truths).map(|(&hits, &truth)| sigma::of_share(hits, samples, truth)).collect();
    let worst = sigmas.iter().fold(0.0_f64, |worst, sigma| worst.max(sigma.abs()));
    let (chi, chi_limit) = sigma::chi_square(&hits, &truths);
    let percents: Vec<String> =
        hits.iter().map(|&hits| format!("{:.1}", hits as f64 * 100.0 / samples.max(1) as f64)).collect();
    let of = format!("shares, {threads} threads, {}", road(account));

    // leaf < dispatch < one_round < work < main or thread_main
    let root = if threads == 1 { "main" } else { "thread_main" };
    let path = ["dispatch", "one_round", "work", root];
    let is_right = |frames: &[String]| {
        let leaf = frames.iter().rposition(|frame| LEAVES.contains(&frame.as_str()));
        leaf.is_some_and(|leaf| {
            let callers: Vec<&str> = frames[..leaf].iter().rev().map(String::as_str).take(path.len()).collect();
            callers == path
        })
    };
    let in_leaves = |row: &super::folded::Row| LEAVES.iter().any(|leaf| row.has(leaf));
    let right = run.folded.weight(|row| in_leaves(row) && is_right(&row.frames)) as f64 / samples.max(1) as f64;
    if right < 0.995 {
        eprintln!(
            "{of}: paths that are wrong:\n{}",
            run.folded.counterexamples(|row| !in_leaves(row) || is_right(&row.frames))
        );
    }
    vec![
        Figure::new(format!("{of}: samples"), ">= 4000", samples.to_string(), samples >= 4000),
        Figure::new(
            format!("{of}: worst error"),
            "<= 3.3 sigma",
            format!("{worst:.2} sigma ({})", percents.join("/")),
            worst <= sigma::LIMIT,
        ),
        Figure::new(
            format!("{of}: chi square"),
            format!("<= {chi_limit:.1} (p > 0.001)"),
            format!("{chi:.1}"),
            chi <= chi_limit,
        ),
        Figure::new(format!("{of}: whole path right"), ">= 99.5 %", percent(right), right >= 0.995),
        lost(&of, &run),
    ]
}

/// Samples per CPU second of one busy process.
pub fn rate(account: Account, hertz: u32) -> Vec<Figure> {
    let seconds = if hertz < 500 { "10" } else { "5" };
    // Stack copies at 4,999 Hz are 40 MB a second and more: promised without.
    let unwind: &[&str] = if hertz > 1000 { &["--unwind", "fp"] } else { &[] };
    let rate = hertz.to_string();
    let flags = [&["-F", rate.as_str()], unwind].concat();
    let run = record(account, &flags, &programs::c("busy"), &[seconds]);
    let samples = run.summary.count("samples");
    let expected = nearest(due(hertz, &run), samples);
    let (ratio, stolen) = (samples as f64 / expected, stolen(&run));
    let of = format!("rate, {hertz} Hz, {}", road(account));
    let judged = if road(account) == "per task" {
        Figure::new(
            &of,
            "within 1 % of F x CPU time",
            format!("{ratio:.4} ({samples} samples{stolen})"),
            (ratio - 1.0).abs() <= 0.01,
        )
    } else {
        let off = sigma::of_count(samples, expected);
        Figure::new(
            &of,
            "within 3.3 sigma of F x CPU time",
            format!("{ratio:.4}, {off:+.2} sigma{stolen}"),
            off.abs() <= sigma::LIMIT,
        )
    };
    let folded = run.folded.sampled();
    vec![
        judged,
        Figure::new(format!("{of}: folded weight"), "= samples", format!("{folded} of {samples}"), folded == samples),
        lost(&of, &run),
    ]
}

/// Programs that frame pointers do not get through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordinary {
    /// `gcc -O2`.
    C,
    /// `rustc -O`.
    Rust,
    /// Its time is spent inside libc.
    Libc,
}

/// How many samples reach `main`.
pub fn main_reached(account: Account, ordinary: Ordinary) -> Vec<Figure> {
    let (program, main, what): (_, _, _) = match ordinary {
        Ordinary::C => (programs::c("busy"), "main", "gcc -O2"),
        Ordinary::Rust => (programs::rust_with("rust_prog", &[]), "rust_prog::main", "Rust release"),
        Ordinary::Libc => (programs::c("libc_heavy"), "main", "time in libc"),
    };
    let run = record(account, &["-F", "999"], &program, &["2"]);
    let samples = run.folded.sampled();
    let reached = run.folded.weight(|row| !row.is_missing() && row.has(main)) as f64 / samples.max(1) as f64;
    let of = format!("`main` reached, {what}, {}", road(account));
    if reached < 0.99 {
        eprintln!("{of}: stacks without it:\n{}", run.folded.counterexamples(|row| row.is_missing() || row.has(main)));
    }
    let complete = run.summary.number("complete");
    vec![
        Figure::new(&of, ">= 99 %", format!("{} of {samples}", percent(reached)), reached >= 0.99 && samples >= 1000),
        Figure::new(format!("{of}: said to be complete"), ">= 99 %", percent(complete), complete >= 0.99),
        lost(&of, &run),
    ]
}

/// A 25/75 split inside a 10 ms loop, six runs.
pub fn lockstep(account: Account, hertz: u32) -> Vec<Figure> {
    let program = programs::c("lockstep");
    let runs: Vec<f64> = (0..6)
        .map(|_| {
            let run = record(account, &["-F", &hertz.to_string()], &program, &["2.5"]);
            let (in_25, in_75) = (run.folded.total_of("phase_25"), run.folded.total_of("phase_75"));
            sigma::of_share(in_25, in_25 + in_75, run.truth("TRUTH phase_25"))
        })
        .collect();
    let worst = runs.iter().fold(0.0_f64, |worst, sigma| worst.max(sigma.abs()));
    let all: Vec<String> = runs.iter().map(|sigma| format!("{sigma:+.1}")).collect();
    vec![Figure::new(
        format!("lockstep with a 10 ms loop, {hertz} Hz, {}", road(account)),
        "every error of 6 runs <= 4 sigma",
        format!("{worst:.1} ({})", all.join(" ")),
        worst <= 4.0 && !worst.is_nan(),
    )]
}

/// Many tasks that each live for less than a period, or for a few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storm {
    /// 1,300 threads.
    Threads,
    /// 2,000 forked processes.
    Forks,
    /// 2,000 forked processes that execute.
    Execs,
}

/// How much of the CPU time of a storm is sampled; without privilege, how much is sampled or said to be missing.
pub fn storm(account: Account, storm: Storm, hertz: u32) -> Vec<Figure> {
    let (program, arguments): (_, &[&str]) = match storm {
        Storm::Threads => (programs::c("storm_threads"), &["1300"]),
        Storm::Forks => (programs::c("storm_procs"), &["fork", "2000"]),
        Storm::Execs => (programs::c("storm_procs"), &["exec", "2000"]),
    };
    let run = record(account, &["-F", &hertz.to_string()], &program, arguments);
    let due = due(hertz, &run);
    let (sampled, missing) = (run.folded.sampled(), run.folded.missing());
    let said = run.summary.number("coverage");
    let of = format!("storm of {storm:?}, {hertz} Hz, {}", road(account));
    let stolen = stolen(&run);
    if road(account) == "per task" {
        let expected = nearest(due, sampled + missing);
        let off = sigma::of_count(sampled + missing, expected);
        return vec![
            Figure::new(
                format!("{of}: sampled + missing"),
                "within 3.3 sigma of F x CPU time",
                format!("{sampled} + {missing} of {expected:.0}, {off:+.2} sigma{stolen}"),
                off.abs() <= sigma::LIMIT,
            ),
            lost(&of, &run),
        ];
    }
    let expected = nearest(due, sampled);
    let off = sigma::of_count(sampled, expected);
    let (coverage, coverage_most) = (sampled as f64 / due.1, sampled as f64 / due.0);
    let at_least = if hertz >= 999 { 0.95 } else { 0.0 };
    vec![
        Figure::new(
            format!("{of}: coverage"),
            format!("1 within 3.3 sigma{}", if at_least > 0.0 { ", >= 0.95" } else { "" }),
            format!("{:.3}, {off:+.2} sigma{stolen}", sampled as f64 / expected),
            off.abs() <= sigma::LIMIT && coverage_most >= at_least,
        ),
        // What the summary says is the same thing by the kernel's own count of CPU time.
        Figure::new(
            format!("{of}: coverage as said"),
            "within 0.03 of the measured",
            format!("{said:.3}"),
            (coverage - 0.03..=coverage_most + 0.03).contains(&said),
        ),
        lost(&of, &run),
    ]
}

fn lost(of: &str, run: &Recording) -> Figure {
    let lost = run.summary.count("lost");
    Figure::new(format!("{of}: lost"), "0", lost.to_string(), lost == 0)
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}
