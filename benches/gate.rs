//! How long a comparison of many runs takes: 10 runs a side of 100,000 unique stacks each.
//!
//! `cargo bench --bench gate`. The runs are folded stacks that are made here, the same each time: a random tree of 6 to 26 calls deep, each
//! stack with its own mean, counts that vary by chance. The peer is `inferno-diff-folded` (the same code of the crate, run in a process of
//! its own) on the runs of each side put together: it subtracts, and tests nothing. Each is run three times; the least counts.

#[path = "../tests/common/mod.rs"]
mod common;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use common::account;
use common::run::binary;
use flameprofile::gate::Random;

const RUNS: usize = 10;
const STACKS: usize = 100_000;
/// Seconds on the clock, and MiB.
const GOALS: (f64, f64) = (3.0, 400.0);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, command, base, new] = arguments.as_slice()
        && command == "--peer"
    {
        let out = BufWriter::new(std::io::stdout().lock());
        return inferno::differential::from_files(Default::default(), base, new, out).expect("inferno reads the text");
    }
    let folder = account::folder();
    let megabytes = generate(folder.path()).expect("the text can be written");
    println!(
        "{RUNS} runs a side of {STACKS} unique stacks ({megabytes:.0} MB); goal <= {} s, <= {} MiB",
        GOALS.0, GOALS.1
    );
    let mut theirs = Command::new(std::env::current_exe().expect("this program has a path"));
    theirs.arg("--peer").args(["base.folded", "new.folded"].map(|name| folder.path().join(name)));
    let peer = best(&mut theirs);
    for (format, is_gated) in [("json", true), ("md", true), ("html", false), ("svg", false)] {
        let mut ours = Command::new(binary());
        ours.args(["diff", "--gate", "--warn-only", "-q", "-f", format, "-o"]).arg(folder.path().join("out"));
        ours.args(["base", "new"].map(|side| folder.path().join(side)));
        let (elapsed, cpu, memory) = best(&mut ours);
        let is_met = elapsed <= GOALS.0 && memory <= GOALS.1;
        println!(
            "  -f {format}: {elapsed:.2} s ({cpu:.2} s of CPU time), {memory:.0} MiB; peer {:.2} s ({:.2}), {:.0} MiB; {:.2} x the time, {:.2} x the memory{}",
            peer.0,
            peer.1,
            peer.2,
            elapsed / peer.0,
            memory / peer.2,
            if is_met || !is_gated { "" } else { "  MISSED" }
        );
    }
}

/// Seconds on the clock, of CPU time, and MiB: the least of three runs.
fn best(command: &mut Command) -> (f64, f64, f64) {
    let mut least = (f64::INFINITY, f64::INFINITY, f64::INFINITY);
    for _ in 0..3 {
        let mut timed = Command::new("/usr/bin/env");
        timed.args(["time", "-f", "%e %U %S %M"]).arg(command.get_program()).args(command.get_args());
        let run = timed.stdout(Stdio::null()).stderr(Stdio::piped()).output().expect("time is installed");
        let said = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "{said}");
        let numbers = said.lines().last().unwrap_or_default().split(' ').filter_map(|word| word.parse().ok());
        let [elapsed, user, system, memory] = numbers.collect::<Vec<f64>>()[..] else { panic!("time printed {said}") };
        least = (least.0.min(elapsed), least.1.min(user + system), least.2.min(memory / 1024.0));
    }
    least
}

/// Writes the runs, and those of each side put together; how many megabytes the runs are.
fn generate(folder: &Path) -> std::io::Result<f64> {
    let mut random = Random::new(8);
    let name = |id: u64| format!("server::{}::function_{id}", ["parser", "store", "net", "codec"][id as usize % 4]);
    // Each stack goes some way with the one before it, as in a tree.
    let mut stacks: Vec<(String, f64)> = Vec::new();
    let mut path: Vec<u64> = Vec::new();
    while stacks.len() < STACKS {
        path.truncate(path.len().saturating_sub(1 + random.below(6) as usize).max(4));
        for _ in 0..1 + random.below(8) {
            path.push(random.below(3_000));
        }
        path.truncate(24);
        let text = path.iter().map(|id| name(*id)).collect::<Vec<String>>().join(";");
        stacks.push((format!("server;{text};end_{}", stacks.len() % 5_000), 1.0 + random.unit() * 8.0));
    }
    let mut bytes = 0;
    for side in ["base", "new"] {
        fs::create_dir(folder.join(side))?;
        let mut all = BufWriter::new(File::create(folder.join(format!("{side}.folded")))?);
        for run in 0..RUNS {
            let file = folder.join(side).join(format!("{run:02}.folded"));
            let mut out = BufWriter::new(File::create(&file)?);
            for (stack, mean) in &stacks {
                let count = (mean + mean.sqrt() * random.normal()).round().max(1.0);
                writeln!(out, "{stack} {count}")?;
                writeln!(all, "{stack} {count}")?;
            }
            out.flush()?;
            bytes += fs::metadata(&file)?.len();
        }
        all.flush()?;
    }
    Ok(bytes as f64 / 1e6)
}
