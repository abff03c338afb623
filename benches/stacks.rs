//! Prints whether stacks are right: by the truth in a register, and by where the stacks of every kind of program end, for
//! `profile` and for perf's two modes.
//!
//! `cargo bench --bench stacks [-- WORD..] [--ours]`; words choose the rows whose name has one of them (`truth` is the register's);
//! with `--ours` perf is not measured.

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/stacks/mod.rs"]
mod stacks;

use std::env;

use common::account::have;
use stacks::peers::{self, Peer, Recorded};
use stacks::reach::{self, Ends};
use stacks::rows::{Goal, ROWS, Row};
use stacks::truth::{self, Build, Sabotage, Tally};

fn main() {
    // Cargo adds `--bench`.
    let words: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    let with_perf = have("perf") && !env::args().any(|argument| argument == "--ours");
    let mut figures = Figures::default();
    if wanted("truth") {
        by_register(&mut figures, with_perf);
    }
    let mut is_first = true;
    for row in ROWS.iter().filter(|row| wanted(row.name)) {
        if std::mem::take(&mut is_first) {
            heading();
        }
        by_end(row, &mut figures, with_perf);
    }
    println!("{} of {} figures hold, {} rows skipped", figures.kept, figures.all, figures.skipped);
}

#[derive(Debug, Default)]
struct Figures {
    kept: usize,
    all: usize,
    skipped: usize,
}

impl Figures {
    fn judge(&mut self, holds: bool) -> &'static str {
        self.kept += usize::from(holds);
        self.all += 1;
        if holds { "ok  " } else { "MISS" }
    }
}

/// The truth in a register: no statistics, each sample is right or wrong.
fn by_register(figures: &mut Figures, with_perf: bool) {
    println!("The truth in a register: goal wrong <= 0.1 %, cut and marked <= 0.5 %, none cut and unsaid");
    let words = truth::words(Build::Plain, "4");
    let ours = peers::by_perf_data(&words);
    let tally = truth::judge(&ours, Sabotage::None);
    println!("{} profile                {}", figures.judge(tally.holds()), tally.line());
    print!("{}", tally.worst(12));
    let unseen = truth::Paths::parse(&ours.printed).unseen(&tally);
    println!("     {} paths have samples; none: {}", tally.by_path.len(), unseen.join(" "));
    for (name, sabotage) in [("drops frame 1", Sabotage::DropFrameOne), ("cuts the root", Sabotage::CutRoot)] {
        let spoilt = truth::judge(&ours, sabotage);
        println!("{} canary: {name:14} {}", figures.judge(!spoilt.holds()), spoilt.line());
    }
    for (name, build) in [("FP build", Build::FramePointers), ("no unwind tables", Build::NoTables)] {
        let tally = truth::judge(&peers::by_perf_data(&truth::words(build, "4")), Sabotage::None);
        // Without tables a stack may be cut; it may not be wrong.
        let holds = tally.wrong_of_1000() <= truth::MOST_WRONG && (build == Build::NoTables || tally.holds());
        println!("{} {name:22} {}", figures.judge(holds), tally.line());
        print!("{}", tally.worst(8));
    }
    if !with_perf {
        return println!("SKIPPED perf: not here, or not asked for");
    }
    let peer = |name: &str, peer: Peer, build: Build| match peers::by_perf(peer, &truth::words(build, "4")) {
        Ok(recorded) => {
            let tally: Tally = truth::judge(&recorded, Sabotage::None);
            println!("     {name:22} {}", tally.line());
        }
        Err(why) => println!("     {name:22} {why}"),
    };
    peer("perf dwarf", Peer::Dwarf, Build::Plain);
    peer("perf fp, FP build", Peer::FramePointers, Build::FramePointers);
}

fn heading() {
    println!();
    println!(
        "Where stacks end. Of samples after the program's start: reached = % that reach the entry; caller = % of leaves with their"
    );
    println!(
        "caller; said whole, cut = what profile says; unsaid = said to be whole, and no root; bogus = frames where nothing is mapped;"
    );
    println!(
        "wrong = calls that the program does not make, and other depths; start, none = samples in the dynamic loader, and without user part, which are left out."
    );
    println!(
        "{:4} {:36} {:>6} {:>5} {:>5} {:>8} {:>7} {:>7} {:>7} {:>6} {:>5} {:>5} | {:>7} {:>7} {:>5} | {:>7} {:>7} {:>5}",
        "",
        "row",
        "n",
        "start",
        "none",
        "reached",
        "caller",
        "whole",
        "cut",
        "unsaid",
        "bogus",
        "wrong",
        "perf fp",
        "caller",
        "bogus",
        "dwarf",
        "caller",
        "bogus"
    );
}

fn by_end(row: &Row, figures: &mut Figures, with_perf: bool) {
    let words = match (row.program)("2") {
        Ok(words) => words,
        Err(why) => {
            figures.skipped += 1;
            return println!("SKIPPED {}: {why}", row.name);
        }
    };
    let ours: Recorded = peers::live(row.flags, &words);
    let ends = reach::ends(&ours, row);
    let theirs: Vec<Result<Ends, String>> = if with_perf {
        Peer::ALL.iter().map(|peer| Ok(reach::ends(&peers::by_perf(*peer, &words)?, row))).collect()
    } else {
        Vec::new()
    };
    let best = theirs.iter().flatten().map(Ends::reached_percent).fold(0.0, f64::max);
    let verdict = figures.judge(ends.holds(row, best, 200));
    let share = |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{share:.1}"));
    print!(
        "{verdict} {:36} {:6} {:5} {:5} {:8.2} {:>7} {:7.2} {:7.2} {:6} {:5} {:5}",
        row.name,
        ends.samples,
        ends.startup,
        ends.no_user,
        ends.reached_percent(),
        share(ends.leaves_percent()),
        ends.percent(ends.complete),
        ends.percent(ends.marked),
        ends.unmarked,
        ends.bogus,
        ends.wrong,
    );
    for theirs in &theirs {
        match theirs {
            Ok(theirs) => {
                print!(" | {:7.2} {:>7} {:5}", theirs.reached_percent(), share(theirs.leaves_percent()), theirs.bogus);
            }
            Err(why) => print!(" | {why:21}"),
        }
    }
    println!();
    if verdict == "MISS" || env::var_os("EXAMPLES").is_some() {
        print!("{}", ends.worst(4));
        if let Some(goal) = (row.goal == Goal::AsPerf).then_some(best) {
            println!("          goal {goal:.1} %");
        }
    }
}
