//! Fills a pool with runs.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use std::{fs, io};

use serde_json::Value;

use super::cells::{Cell, Slot};
use super::load::Load;
use super::pool::{Pool, Run};

/// Records what a pool does not have yet, cell by cell.
pub fn record(pool: &mut Pool, cells: &[Cell], profile: &Path) -> io::Result<()> {
    let builds = pool.folder.join("builds");
    let todo: usize = cells.iter().map(|cell| cell.runs.saturating_sub(pool.of(&cell.name).len())).sum();
    println!("{todo} runs to record into {}", pool.folder.display());
    // All is built before anything is recorded: compilers are a load.
    for cell in cells {
        cell.slots().iter().for_each(|slot| _ = slot.build.command(&builds));
    }
    for cell in cells {
        let begin = Instant::now();
        let done = pool.of(&cell.name).len();
        let mut load = None;
        fs::create_dir_all(pool.folder.join(&cell.name))?;
        for (sequence, slot) in cell.slots().iter().enumerate().skip(done) {
            if slot.is_loaded != load.is_some() {
                load = slot.is_loaded.then(Load::begin);
            }
            let run = one(pool, cell, sequence, slot, profile)?;
            pool.add(run)?;
        }
        let made = pool.of(&cell.name).len() - done;
        if made > 0 {
            print_cell(pool, cell, made, begin.elapsed().as_secs_f64());
        }
    }
    Ok(())
}

fn one(pool: &Pool, cell: &Cell, sequence: usize, slot: &Slot, profile: &Path) -> io::Result<Run> {
    let file = pool.file(&cell.name, sequence, slot.is_new);
    let (unfinished, stats) = (pool.folder.join("unfinished"), pool.folder.join("stats.json"));
    let mut command = Command::new(profile);
    // Copies of stacks, walked with the tables: complete without frame pointers too, and of the same cost. Programs of BPF would
    // take 0.2 s more to load for each run.
    command.args(["record", "-q", "-e", "cpu-clock", "--bpf", "never", "--unwind", "dwarf", "-f", "folded"]);
    command.args(["-F", &cell.rate.to_string()]).args(cell.program.record_options());
    command.arg("-o").arg(&unfinished).arg("--stats").arg(&stats).arg("--");
    command.args(slot.build.command(&pool.folder.join("builds"))).args(cell.work.map(|work| work.to_string()));
    if slot.environment > 0 {
        command.env("VALIDATE_PADDING", "x".repeat(slot.environment));
    }
    let (began, at) = (Instant::now(), SystemTime::now());
    let output = command.stdin(Stdio::null()).output()?;
    let seconds = began.elapsed().as_secs_f64();
    if !output.status.success() {
        return Err(io::Error::other(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr))));
    }
    let summary: Value = serde_json::from_slice(&fs::read(&stats)?).map_err(io::Error::other)?;
    fs::rename(&unfinished, &file)?;
    Ok(Run {
        cell: cell.name.clone(),
        sequence,
        build: slot.build.name.clone(),
        is_new: slot.is_new,
        is_loaded: slot.is_loaded,
        started: at.duration_since(UNIX_EPOCH).map_err(io::Error::other)?.as_secs_f64(),
        seconds,
        cpu_seconds: summary["cpu_seconds"].as_f64().unwrap_or_default(),
        samples: summary["samples"].as_u64().unwrap_or_default(),
        lost: summary["lost"].as_u64().unwrap_or_default(),
        complete: summary["complete"].as_f64().unwrap_or_default(),
        rate: cell.rate,
        file,
    })
}

/// How a cell went: what is strange should be seen at once.
fn print_cell(pool: &Pool, cell: &Cell, made: usize, seconds: f64) {
    let runs = pool.of(&cell.name);
    let mean = |of: fn(&Run) -> f64| runs.iter().map(|run| of(run)).sum::<f64>() / runs.len() as f64;
    let cpu = mean(|run| run.cpu_seconds);
    let spread = runs.iter().map(|run| (run.cpu_seconds / cpu - 1.0).powi(2)).sum::<f64>() / runs.len() as f64;
    println!(
        "{:<28} {made:>4} runs in {seconds:>6.1} s, {:.3} s a run; {:.3} s CPU +- {:.1} %, {:.0} samples, {:.2} % complete, {} lost",
        cell.name,
        seconds / made as f64,
        cpu,
        100.0 * spread.sqrt(),
        mean(|run| run.samples as f64),
        100.0 * mean(|run| run.complete),
        runs.iter().map(|run| run.lost).sum::<u64>(),
    );
}
