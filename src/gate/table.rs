//! What is tested: rows of functions, columns of runs.

use super::comparison::{FunctionFacts, Part, Side};
use super::math::weighted_median;
use super::runs::{Run, Runs};
use super::settings::{Scale, Settings};
use crate::analyze::{RunFunction, RunTree, Sum};
use crate::model::FrameKind;

/// A function needs so many samples a run, on average over all runs, to be tested.
const LEAST_SAMPLES: f64 = 10.0;

/// Rows that are tested at most, those that take most: each is looked at under each relabelling.
const MOST_LINES: usize = 6_000;

/// One thing that is tested.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// A row of the tree's functions; nothing for everything.
    pub function: Option<u32>,
    pub part: Part,
    pub facts: FunctionFacts,
    /// What it took in each run.
    pub sums: Vec<Sum>,
    /// Its share of all runs together.
    pub share: f64,
    /// Samples a run, on average over all.
    pub samples: f64,
}

/// Rows and columns of a comparison.
#[derive(Clone, Debug)]
pub(super) struct Table<'a> {
    /// The runs: the base's, then the new ones, each in their own order.
    pub runs: Vec<&'a Run>,
    /// How many are of the base.
    pub base: usize,
    /// Whether the orders of the runs are places in one series.
    pub is_ordered: bool,
    /// Everything, and then what is tested in order of name.
    pub lines: Vec<Line>,
    /// What one sample of each run is worth.
    pub worth: Vec<f64>,
    pub untested: u32,
    pub untested_share: [f64; 2],
    pub one_sided: [Vec<String>; 2],
    /// On each scale, what is taken from the logarithms of each run.
    offsets: [Vec<f64>; 3],
}

impl<'a> Table<'a> {
    pub fn new(runs: &'a Runs, settings: &Settings) -> Table<'a> {
        let mut columns: Vec<&Run> = runs.runs.iter().collect();
        let is_of_first = |run: &&Run| run.series == columns[0].series && run.facts.order.is_some();
        let is_ordered = !columns.is_empty() && columns.iter().all(is_of_first);
        columns.sort_by(|a, b| {
            let order = |run: &Run| run.facts.order.filter(|_| is_ordered);
            let key = |run: &Run| (run.side, order(run), run.facts.started_unix);
            key(a).cmp(&key(b)).then_with(|| a.facts.label.cmp(&b.facts.label))
        });
        let tree = &runs.tree;
        let totals: Vec<Sum> = columns.iter().map(|run| tree.total(run.row)).collect();
        let (mut own, mut inclusive) = (Vec::new(), Vec::new());
        for run in &columns {
            let (of_own, of_inclusive) = tree.sums(run.row);
            own.push(of_own);
            inclusive.push(of_inclusive);
        }
        let all: f64 = totals.iter().map(|sum| sum.value).sum();
        let base = columns.iter().filter(|run| run.side == Side::Base).count();
        let everything = Line {
            function: None,
            part: Part::Everything,
            facts: FunctionFacts::default(),
            share: 1.0,
            samples: mean(totals.iter().map(|sum| sum.samples)),
            sums: totals.clone(),
        };
        let mut table = Table {
            base,
            is_ordered,
            lines: vec![everything],
            worth: totals.iter().map(|sum| if sum.samples > 0.0 { sum.value / sum.samples } else { 1.0 }).collect(),
            untested: 0,
            untested_share: [0.0; 2],
            one_sided: [Vec::new(), Vec::new()],
            offsets: Default::default(),
            runs: columns,
        };
        let mut untested = [0.0; 2];
        let totals_of = {
            let sum = |sums: &[Sum]| sums.iter().map(|sum| sum.value).sum::<f64>();
            [sum(&totals[..base]), sum(&totals[base..])]
        };
        for (row, function) in tree.functions.iter().enumerate() {
            // In none of the functions, and not of the program.
            if tree.aside() == Some(row as u32) {
                continue;
            }
            let is_note = matches!(function.kind, FrameKind::Note | FrameKind::Task | FrameKind::OffCpu);
            let facts = facts(tree, function);
            let of = |sums: &[Vec<Sum>]| -> Vec<Sum> { sums.iter().map(|of_run| of_run[row]).collect() };
            let (of_own, of_inclusive) = (of(&own), of(&inclusive));
            let value = |sums: &[Sum]| sums.iter().map(|sum| sum.value).sum::<f64>();
            let sides = |sums: &[Sum]| [value(&sums[..base]), value(&sums[base..])];
            let [before, after] = sides(&of_inclusive);
            // Half of what would matter: of what is rare nobody can tell whether it has gone.
            let is_large = before + after >= settings.min_absolute / 2.0 * totals_of[usize::from(before == 0.0)];
            if !is_note && is_large && (before == 0.0) != (after == 0.0) {
                table.one_sided[usize::from(before == 0.0)].push(facts.name.clone());
            }
            let has_callees = value(&of_inclusive) > value(&of_own) * 1.001;
            for (part, sums) in [(Part::Own, of_own), (Part::Inclusive, of_inclusive)] {
                if part == Part::Inclusive && (is_note || !has_callees) {
                    continue;
                }
                let share = value(&sums) / all;
                let samples = mean(sums.iter().map(|sum| sum.samples));
                // What one side alone has is in as many runs as that side has: of so many runs those that have most of it count, whichever
                // side they are of.
                let most = base.min(sums.len() - base).max(1);
                let of_most = |mut values: Vec<f64>| {
                    values.sort_by(|a, b| b.total_cmp(a));
                    mean(values.into_iter().take(2 * most))
                };
                let seen_share =
                    of_most(sums.iter().zip(&totals).map(|(sum, all)| sum.value / all.value.max(1e-300)).collect());
                let seen_samples = of_most(sums.iter().map(|sum| sum.samples).collect());
                // What rises by the least that matters from nothing has half of it over both sides.
                if seen_share >= settings.min_absolute / 2.0 && seen_samples >= LEAST_SAMPLES {
                    let facts = facts.clone();
                    table.lines.push(Line { function: Some(row as u32), part, facts, sums, share, samples });
                } else if part == Part::Own && value(&sums) > 0.0 {
                    table.untested += 1;
                    let [before, after] = sides(&sums);
                    untested[0] += before;
                    untested[1] += after;
                }
            }
        }
        if table.lines.len() > MOST_LINES {
            table.lines[1..].sort_by(|a, b| b.share.total_cmp(&a.share).then_with(|| a.facts.name.cmp(&b.facts.name)));
            let left_out = table.lines.split_off(MOST_LINES);
            table.untested += left_out.iter().filter(|line| line.part == Part::Own).count() as u32;
        }
        table.lines[1..]
            .sort_by(|a, b| (&a.facts.name, a.facts.kind, a.part).cmp(&(&b.facts.name, b.facts.kind, b.part)));
        for names in &mut table.one_sided {
            names.sort();
            names.dedup();
        }
        for side in 0..2 {
            table.untested_share[side] = if totals_of[side] > 0.0 { untested[side] / totals_of[side] } else { 0.0 };
        }
        let nothing = vec![0.0; table.runs.len()];
        table.offsets = [nothing.clone(), nothing.clone(), nothing];
        table.offsets[Scale::Share as usize] = table.logarithms_of(&table.lines[0].sums, Scale::Work);
        table.offsets[Scale::Robust as usize] = table.factors();
        table
    }

    /// All functions, tested or not.
    pub fn functions(&self, runs: &Runs) -> Vec<FunctionFacts> {
        runs.tree.functions.iter().map(|function| facts(&runs.tree, function)).collect()
    }

    /// Units of work of each run.
    pub fn work(&self, run: usize) -> f64 {
        self.runs[run].facts.work
    }

    /// Value per unit of work of each run.
    pub fn per_work(&self, sums: &[Sum]) -> Vec<f64> {
        sums.iter().enumerate().map(|(run, sum)| sum.value / self.work(run)).collect()
    }

    /// The logarithms that are compared on `scale`, a row of runs for each line. Everything is always compared by work: of shares it is 1,
    /// and what the robust scale takes away is what it is about.
    pub fn logarithms(&self, scale: Scale) -> Vec<Vec<f64>> {
        let of = |line: &Line| match line.part {
            Part::Everything => self.logarithms_of(&line.sums, Scale::Work),
            Part::Own | Part::Inclusive => self.logarithms_of(&line.sums, scale),
        };
        self.lines.iter().map(of).collect()
    }

    /// The logarithms of what something took in each run. Half a sample is added, so that nothing has a logarithm.
    pub fn logarithms_of(&self, sums: &[Sum], scale: Scale) -> Vec<f64> {
        let log = |run: usize| ((sums[run].value + 0.5 * self.worth[run]) / self.work(run)).ln();
        (0..sums.len()).map(|run| log(run) - self.offsets[scale as usize][run]).collect()
    }

    /// What something took in each run, on `scale`, in units of the base's mean total: shares of it.
    pub fn scaled(&self, sums: &[Sum], scale: Scale) -> Vec<f64> {
        let values = sums
            .iter()
            .enumerate()
            .map(|(run, sum)| sum.value / self.work(run) / self.offsets[scale as usize][run].exp());
        let values: Vec<f64> = values.collect();
        let whole = |run: usize| match scale {
            Scale::Share => 1.0,
            Scale::Work | Scale::Robust => self.lines[0].sums[run].value / self.work(run),
        };
        let all = mean((0..self.base).map(whole));
        values.into_iter().map(|value| if all > 0.0 { value / all } else { 0.0 }).collect()
    }

    /// By how much each run is above all runs, in the logarithm: the weighted median over functions, as for counts of RNA ("median of
    /// ratios", Anders and Huber 2010).
    fn factors(&self) -> Vec<f64> {
        let by_work = self.logarithms(Scale::Work);
        let means: Vec<f64> = by_work.iter().map(|logs| mean(logs.iter().copied())).collect();
        let own = || self.lines.iter().enumerate().filter(|(_, line)| line.part == Part::Own);
        let of_run = |run: usize| {
            let mut logs: Vec<(f64, f64)> =
                own().map(|(row, line)| (by_work[row][run] - means[row], line.share)).collect();
            match logs.is_empty() {
                true => by_work[0][run] - means[0],
                false => weighted_median(&mut logs),
            }
        };
        (0..self.runs.len()).map(of_run).collect()
    }

    /// What the new side's work is divided by on the robust scale.
    pub fn robust_factor(&self) -> f64 {
        let factors = &self.offsets[Scale::Robust as usize];
        (mean(factors[self.base..].iter().copied()) - mean(factors[..self.base].iter().copied())).exp()
    }
}

pub(super) fn facts(tree: &RunTree, function: &RunFunction) -> FunctionFacts {
    let module = tree.names.get(function.module);
    FunctionFacts {
        name: tree.names.get(function.name).to_owned(),
        kind: Some(function.kind),
        module: module.rsplit('/').next().unwrap_or(module).to_owned(),
        file: tree.names.get(function.file).to_owned(),
        line: function.line,
    }
}

/// The mean; 0 of none.
pub(super) fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0u32);
    for value in values {
        sum += value;
        count += 1;
    }
    if count == 0 { 0.0 } else { sum / f64::from(count) }
}
