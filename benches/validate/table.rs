//! The table of `docs/validation.md`: goal and measured, with intervals, of one gate on one pool.

use std::collections::BTreeMap;
use std::fs;

use super::cells::{Cell, Kind, SEED};
use super::comparisons::{Comparison, Design, comparisons};
use super::dice::Dice;
use super::found::{Evaluate, Found, Verdict, is_of};
use super::planted::risen;
use super::pool::{Pool, Run};
use super::rates::Rate;

/// What is demanded of a rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// The one-sided bound of 95 % is at most this.
    UpperAtMost(f64),
    /// It is at most this.
    AtMost(f64),
    /// It is at least this.
    AtLeast(f64),
    /// It lies between these.
    Between(f64, f64),
    /// It is shown only.
    None,
}

/// A row of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was tested.
    pub name: String,
    /// What is demanded.
    pub goal: Goal,
    /// What was measured.
    pub rate: Rate,
}

impl Row {
    fn new(name: impl Into<String>, goal: Goal, rate: Rate) -> Row {
        Row { name: name.into(), goal, rate }
    }

    /// Whether the goal is reached.
    pub fn holds(&self) -> bool {
        match self.goal {
            Goal::UpperAtMost(most) => self.rate.upper(0.95) <= most,
            Goal::AtMost(most) => self.rate.share() <= most,
            Goal::AtLeast(least) => self.rate.share() >= least,
            Goal::Between(low, high) => (low..=high).contains(&self.rate.share()),
            Goal::None => true,
        }
    }

    /// As a row of Markdown.
    pub fn line(&self) -> String {
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let goal = match self.goal {
            Goal::UpperAtMost(most) => format!("95 % bound <= {}", percent(most)),
            Goal::AtMost(most) => format!("<= {}", percent(most)),
            Goal::AtLeast(least) => format!(">= {}", percent(least)),
            Goal::Between(low, high) => format!("{} to {}", percent(low), percent(high)),
            Goal::None => String::new(),
        };
        let [low, high] = self.rate.interval();
        format!(
            "| {} | {goal} | {} of {} = {} | {} to {}, bound {} | {} |",
            self.name,
            self.rate.count,
            self.rate.of,
            percent(self.rate.share()),
            percent(low),
            percent(high),
            percent(self.rate.upper(0.95)),
            match self.goal {
                Goal::None => "",
                _ if self.holds() => "ok",
                _ => "MISS",
            }
        )
    }
}

/// The functions that a plant changes, or between which cost moves.
fn planted(cell: &Cell) -> &'static [&'static str] {
    match (cell.program.name(), cell.variant) {
        ("server", "crc20") => &["crc"],
        ("codec", "crc20") => &["codec::Crc"],
        ("threads", "hash20") => &["hash_words"],
        ("server", "small2") => &["parity"],
        // What its closure multiplies with is inlined into it, and a function of its own where debug information says so.
        ("codec", "small2") => &["codec::Parity", "wrapping_mul"],
        ("server", "win") => &["find_matches"],
        ("server", "move") => &["crc", "crc_rest"],
        ("server", "rename") => &["sort_records", "order_records"],
        ("server", "inline" | "inline-bare") => &["mix_block", "hash_path"],
        ("server", "outline" | "outline-bare") => &["sign_block", "sign"],
        _ => &[],
    }
}

/// All rows of a gate on a pool.
pub fn rows(pool: &Pool, cells: &[Cell], alpha: f64, evaluate: &Evaluate) -> Vec<Row> {
    let found = |cell: &Cell, k, design| -> Vec<Found> {
        let evaluate = |each: &Comparison| evaluate(&each.base, &each.new);
        let found: Vec<Found> = comparisons(pool, cell, k, design).iter().map(evaluate).collect();
        if cell.kind == Kind::Planted && std::env::var_os("VALIDATE_SHOW").is_some() {
            for (block, of) in found.iter().enumerate() {
                eprintln!(
                    "{}, k = {k}, block {block}: {:?} {:?} moved {:?}",
                    cell.name, of.verdict, of.gated, of.moved
                );
            }
        }
        if cell.kind == Kind::Same && design == Design::Interleaved && found.iter().any(|of| !of.intervals.is_empty()) {
            for (block, of) in found.iter().enumerate().filter(|(_, of)| !of.gated.is_empty()) {
                eprintln!("{}, k = {k}, {design:?}, block {block}: {:?}", cell.name, of.gated);
            }
        }
        found
    };
    let is_gated = |found: &Found| !found.gated.is_empty();
    let mut rows = Vec::new();
    for k in [5, 8] {
        let same: Vec<&Cell> = cells.iter().filter(|cell| cell.kind == Kind::Same).collect();
        let (mut all, mut covered) = (Rate::default(), Rate::default());
        for cell in &same {
            let found = found(cell, k, Design::Interleaved);
            let rate = Rate::of(found.iter().map(is_gated));
            let intervals = found.iter().flat_map(|found| &found.intervals);
            covered = covered.and(Rate::of(intervals.map(|[low, high]| (*low..=*high).contains(&0.0))));
            all = all.and(rate);
            rows.push(Row::new(format!("same, {}, k = {k}", cell.name), Goal::None, rate));
        }
        rows.push(Row::new(format!("same against same, all, k = {k}"), Goal::UpperAtMost(1.5 * alpha), all));
        rows.push(Row::new(format!("95 % intervals that cover, k = {k}"), Goal::Between(0.93, 0.97), covered));
        let behind: Vec<Found> = same.iter().flat_map(|cell| found(cell, k, Design::BaseThenNew)).collect();
        let failed = Rate::of(behind.iter().map(|found| found.verdict == Verdict::Regression));
        rows.push(Row::new(
            format!("same, base then new, flagged before the cap, k = {k}"),
            Goal::None,
            Rate::of(behind.iter().map(is_gated)),
        ));
        rows.push(Row::new(format!("same, base then new, fails, k = {k}"), Goal::AtMost(0.0), failed));
        for cell in cells.iter().filter(|cell| cell.kind != Kind::Same) {
            rows.extend(rows_of(cell, k, alpha, &found(cell, k, Design::Interleaved)));
        }
    }
    // What nothing was recorded for.
    rows.retain(|row| row.rate.of > 0);
    rows
}

fn rows_of(cell: &Cell, k: usize, alpha: f64, found: &[Found]) -> Vec<Row> {
    let name = |what: &str| format!("{}, {what}, k = {k}", cell.name);
    let rate = |is_so: &dyn Fn(&Found) -> bool| Rate::of(found.iter().map(is_so));
    let functions = planted(cell);
    let is_it = |name: &String| functions.iter().any(|function| is_of(name, function));
    // Everything together is no function: it rises with its cause.
    let first = |found: &Found| found.gated.iter().find(|name| !name.is_empty()).is_some_and(is_it);
    let gated = rate(&|found| !found.gated.is_empty());
    match (cell.kind, cell.variant) {
        (Kind::Layout, _) => vec![Row::new(name("flagged"), Goal::AtMost(alpha + 0.04), gated)],
        (Kind::Drift, _) => vec![
            Row::new(name("flagged before the cap"), Goal::None, gated),
            Row::new(name("order seen"), Goal::AtLeast(1.0), rate(&|found| found.is_order_seen)),
            Row::new(name("fails"), Goal::AtMost(0.0), rate(&|found| found.verdict == Verdict::Regression)),
        ],
        (_, "win") => vec![Row::new(name("anything flagged"), Goal::AtMost(alpha), gated)],
        (_, "crc20" | "hash20" | "small2") => {
            let hit = |found: &Found| found.verdict == Verdict::Regression && found.gated.iter().any(is_it);
            let named = Rate::of(found.iter().filter(|found| hit(found)).map(first));
            let others =
                |found: &Found| first(found) && found.gated.iter().skip(1).any(|name| !name.is_empty() && !is_it(name));
            vec![
                Row::new(name("found"), Goal::AtLeast(0.95), rate(&hit)),
                Row::new(name("named first"), Goal::AtLeast(0.99), named),
                Row::new(name("others named too"), Goal::None, rate(&others)),
            ]
        }
        _ => {
            // Matched: nothing is on one side only, nothing is gated.
            let shown = |found: &Found| {
                let moved = found.moved.iter().any(is_it);
                let renamed = found.renamed.iter().any(|(from, to)| is_it(from) && is_it(to));
                let matched = !found.one_sided.iter().any(is_it);
                if cell.variant == "rename" { renamed } else { moved || renamed || (cell.variant != "move" && matched) }
            };
            vec![
                Row::new(name("gated"), Goal::AtMost(alpha), gated),
                Row::new(name("shown as moved or matched"), Goal::AtLeast(0.95), rate(&shown)),
            ]
        }
    }
}

/// The smallest change that is seen in four of five comparisons: what the gate predicts, and what is.
#[derive(Clone, Copy, Debug)]
pub struct Visible {
    /// The median of what it said.
    pub predicted: f64,
    /// What was found by planting.
    pub observed: f64,
}

/// Plants changes of one function in a same-against-same cell until four of five are found; nothing where none of this size is, or
/// where the gate predicts nothing.
pub fn visible(pool: &Pool, cell: &Cell, function: &str, k: usize, evaluate: &Evaluate) -> Option<Visible> {
    let all = comparisons(pool, cell, k, Design::Interleaved);
    let of_function =
        |found: Found| found.visible.into_iter().find(|(name, _)| is_of(name, function)).map(|(_, rise)| rise);
    let mut predicted: Vec<f64> = all.iter().filter_map(|each| of_function(evaluate(&each.base, &each.new))).collect();
    predicted.sort_by(f64::total_cmp);
    let predicted = *predicted.get(predicted.len() / 2)?;
    let folder = tempfile::tempdir().ok()?;
    let found_at = |rise: f64| {
        let mut dice = Dice::new(SEED, function);
        let is_found = all.iter().map(|each| {
            let new: Vec<Run> =
                each.new.iter().map(|run| plant(run, folder.path(), function, rise, &mut dice)).collect();
            let new: Vec<&Run> = new.iter().collect();
            evaluate(&each.base, &new).gated.iter().any(|name| is_of(name, function))
        });
        Rate::of(is_found.collect::<Vec<_>>()).share()
    };
    let (mut low, mut high) = (0.0, 1.0);
    if found_at(high) < 0.8 {
        return None;
    }
    while high - low > 0.02 * high {
        let middle = (low + high) / 2.0;
        if found_at(middle) < 0.8 { low = middle } else { high = middle }
    }
    Some(Visible { predicted, observed: high })
}

fn plant(run: &Run, folder: &std::path::Path, function: &str, rise: f64, dice: &mut Dice) -> Run {
    let text = fs::read_to_string(&run.file).unwrap_or_else(|error| panic!("{}: {error}", run.file.display()));
    let file = folder.join(format!("{}-{:05}.folded", run.cell, run.sequence));
    fs::write(&file, risen(&text, function, rise, || dice.share())).expect("a planted file can be written");
    Run { file, ..run.clone() }
}

/// How long and how busy the runs of a pool were, a line for each cell.
pub fn summary(pool: &Pool) -> String {
    let mut cells: BTreeMap<&str, Vec<&Run>> = BTreeMap::new();
    pool.runs.iter().for_each(|run| cells.entry(&run.cell).or_default().push(run));
    let mut text = "| cell | runs | CPU s, base | new | samples | complete | wall s a run |\n| --- | --- | --- | --- | --- | --- | --- |\n".to_owned();
    for (cell, runs) in cells {
        let mean = |of: &dyn Fn(&Run) -> f64, side: Option<bool>| {
            let values: Vec<f64> =
                runs.iter().filter(|run| side.is_none_or(|side| run.is_new == side)).map(|run| of(run)).collect();
            values.iter().sum::<f64>() / values.len() as f64
        };
        let cpu = |side| {
            let mean_cpu = mean(&|run| run.cpu_seconds, Some(side));
            let deviation = mean(&|run| (run.cpu_seconds / mean_cpu - 1.0).powi(2), Some(side)).sqrt();
            if mean_cpu.is_nan() { "-".to_owned() } else { format!("{mean_cpu:.4} +- {:.1} %", 100.0 * deviation) }
        };
        text.push_str(&format!(
            "| {cell} | {} | {} | {} | {:.0} | {:.2} % | {:.3} |\n",
            runs.len(),
            cpu(false),
            cpu(true),
            mean(&|run| run.samples as f64, None),
            100.0 * mean(&|run| run.complete, None),
            mean(&|run| run.seconds, None),
        ));
    }
    text
}
