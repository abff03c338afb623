//! The runs of both sides to what they say: estimates on three scales, what is chance, causes, the verdict.

use super::causes;
use super::check;
use super::comparison::{Comparison, Estimate, Fate, Method, Part, Row, Verdict};
use super::math::{t_above, t_quantile, t_quantiles};
use super::moderate::{Prior, blind_variances};
use super::noise::Noise;
use super::relabel::{MOST_RUNS, Relabellings, Seen, Tests};
use super::rename;
use super::rise::limits;
use super::runs::Runs;
use super::settings::{Scale, Settings};
use super::table::{Line, Table, mean};
use super::verdict::verdict;
use crate::analyze::Sum;
use crate::model::Unit;

/// What is to be seen in so many of a hundred comparisons.
const POWER: f64 = 0.8;

/// Everything has the same share of everything: all of it.
const SHARE_OF_ALL: Estimate = Estimate { change: 0.0, low: 0.0, high: 0.0, t: 0.0, p: 1.0, p_less: 1.0 };

/// Compares `runs`.
pub(super) fn compare(runs: &Runs, settings: &Settings, history: Option<&Noise>) -> Comparison {
    let table = Table::new(runs, settings);
    let fewer = table.base.min(table.runs.len() - table.base);
    let settings = &Settings { margin: Some(settings.margin_of(fewer)), ..settings.clone() };
    let judged = judge(&table, settings, history);
    let mut rows: Vec<Row> =
        table.lines.iter().enumerate().map(|(at, line)| row(&table, line, at, &judged, settings)).collect();
    let mut checks = check::checks(&table, &runs.tree, settings);
    let (moved, mut renamed) = causes::decide(runs, &table, &judged, settings, &mut rows);
    for alike in rename::renamed(&table, &runs.tree) {
        if !renamed.iter().any(|of| of.from == alike.from && of.to == alike.to) {
            renamed.push(alike);
        }
    }
    let mut power = t_quantiles(1.0 - POWER);
    for (at, of) in rows.iter_mut().enumerate() {
        of.visible = visible(of, judged.errors[at], power(judged.df[at]), (&judged, settings));
    }
    let total = rows.remove(0);
    let untested = (table.untested, table.untested_share);
    let event = table.runs.first().map_or_else(String::new, |run| run.facts.event.clone());
    let unit = table.runs.first().map_or(Unit::Count, |run| run.unit);
    check::too_few_names(&mut checks, &table);
    if let Some(today) = settings.today {
        let functions = table.functions(runs);
        checks.extend(settings.findings(today, functions.iter()));
    }
    let mut comparison = Comparison {
        settings: settings.clone(),
        event,
        unit,
        work_unit: "run".to_owned(),
        robust_factor: table.robust_factor(),
        one_sided: table.one_sided.clone(),
        runs: table.runs.iter().map(|run| (run.side, run.facts.clone())).collect(),
        checks,
        matched: runs.names.counts(),
        method: judged.method,
        noise: judged.noise,
        total,
        rows,
        untested: untested.0,
        untested_share: untested.1,
        moved,
        renamed,
        verdict: Verdict { outcome: super::Outcome::Inconclusive, missing: Vec::new(), more_runs: None },
    };
    comparison.rows.sort_by(|a, b| causes::order(a).cmp(&causes::order(b)).then_with(|| by_size(a, b)));
    comparison.verdict = verdict(&comparison);
    comparison
}

fn by_size(a: &Row, b: &Row) -> std::cmp::Ordering {
    let size = |row: &Row| row.of_total.abs();
    let key = |row: &Row| (row.function.name.clone(), row.function.kind, row.part);
    size(b).total_cmp(&size(a)).then_with(|| key(a).cmp(&key(b)))
}

/// What the tests said of each line of a table.
pub(super) struct Judged {
    pub method: Method,
    pub noise: f64,
    /// On each scale, for each line.
    pub estimates: [Vec<Estimate>; 3],
    /// Standard errors of the logarithms on the gate's scale.
    pub errors: Vec<f64>,
    /// Degrees of freedom of each line.
    pub df: Vec<f64>,
    /// The t that must be reached.
    pub critical: f64,
    /// What variances are moderated with on the gate's scale.
    pub prior: Prior,
    /// What a rise has to be more than, in the logarithm.
    pub margin: f64,
}

impl Judged {
    /// What a further row is on the gate's scale, of these sums.
    pub fn seen(&self, table: &Table<'_>, sums: &[Sum], settings: &Settings) -> Seen {
        let logs = table.logarithms_of(sums, settings.scale);
        let seen = match self.method {
            Method::OneRun { noise, .. } => one_run_seen(table, &logs, sums, noise),
            Method::Relabelled { .. } | Method::Holm => {
                let samples = mean(sums.iter().map(|sum| sum.samples));
                Tests::new(&[(&logs, self.prior.variance(samples), self.prior.df)], table.base).seen()[0]
            }
        };
        beyond(&seen, self.margin)
    }
}

/// How surely a row has risen by more than `margin`, in the logarithm.
fn beyond(seen: &Seen, margin: f64) -> Seen {
    Seen { t: (seen.difference - margin) / seen.error, ..*seen }
}

fn judge(table: &Table<'_>, settings: &Settings, history: Option<&Noise>) -> Judged {
    let (runs, base) = (table.runs.len(), table.base);
    let (new, margin) = (runs - base, settings.margin_of(0).ln_1p());
    if base == 1 && new == 1 {
        return one_run(table, settings, history);
    }
    if base == 0 || new == 0 {
        return nothing(table);
    }
    let can_relabel = base >= 2 && new >= 2 && runs <= MOST_RUNS;
    let relabellings = can_relabel.then(|| Relabellings::new(runs, base, settings.seed));
    // Too few runs to be surer than that by relabelling: what is assumed of t then has to do.
    let relabellings = relabellings.filter(|ways| ways.least_p() <= settings.alpha);
    let mut method = Method::Holm;
    let (mut noise, mut errors, mut df, mut critical) = (0.0, Vec::new(), Vec::new(), 0.0);
    let mut used = Prior { dispersion: 1.0, between: 0.0, df: 1.0 };
    let estimates = Scale::ALL.map(|scale| {
        let logs = table.logarithms(scale);
        let prior = fit(&logs, table);
        // What functions do by themselves, everything has the mean of.
        let spread: f64 = table.lines.iter().filter(|line| line.part == Part::Own).map(|line| line.share.powi(2)).sum();
        let of_all = Prior { between: prior.between * spread, df: Prior::DF_OF_ALL.min(prior.df), ..prior };
        let rows: Vec<(&[f64], f64, f64)> = logs
            .iter()
            .zip(&table.lines)
            .map(|(logs, line)| {
                let prior = if line.part == Part::Everything { &of_all } else { &prior };
                (&logs[..], prior.variance(line.samples), prior.df)
            })
            .collect();
        let tests = Tests::new(&rows, base);
        let seen = tests.seen();
        let above = |row: usize, t: f64| t_above(t, tests.df(row));
        let mut p = match &relabellings {
            Some(ways) => tests.adjusted(ways),
            None => holm(&seen, above),
        };
        if margin > 0.0 {
            // The new runs less the margin: whether they have risen even so ("TREAT", McCarthy and Smyth 2009).
            let beyond = match &relabellings {
                Some(ways) => tests.less(margin).adjusted(ways),
                None => holm(&seen.iter().map(|row| beyond(row, margin)).collect::<Vec<Seen>>(), above),
            };
            p.iter_mut().zip(beyond).for_each(|(p, beyond)| p.0 = beyond.0);
        }
        if scale == settings.scale {
            (noise, used) = (prior.between.sqrt(), prior);
            errors = seen.iter().map(|row| row.error).collect();
            df = (0..seen.len()).map(|row| tests.df(row)).collect();
            critical = match &relabellings {
                Some(ways) => {
                    let quiet: Vec<usize> =
                        (0..p.len()).filter(|row| p[*row].0.min(p[*row].1) > settings.alpha).collect();
                    let all: Vec<usize> = (0..p.len()).collect();
                    tests.critical(ways, if quiet.is_empty() { &all } else { &quiet }, settings.alpha)
                }
                None => t_quantile(settings.alpha / seen.len() as f64, prior.df + runs as f64 - 2.0),
            };
        }
        let mut reach = t_quantiles(0.025 / f64::from(settings.looks.max(1)));
        seen.iter().zip(p).enumerate().map(|(row, (seen, p))| estimate(seen, reach(tests.df(row)), p)).collect()
    });
    if let Some(ways) = &relabellings {
        method =
            Method::Relabelled { relabellings: ways.count() as u32, is_exact: ways.is_exact, least_p: ways.least_p() };
    }
    let mut estimates = estimates.map(|estimates| with_nothing(estimates, table));
    estimates[Scale::Share as usize][0] = SHARE_OF_ALL;
    Judged { method, noise, estimates, errors, df, critical, prior: used, margin }
}

/// Of one side alone nothing can be said.
fn nothing(table: &Table<'_>) -> Judged {
    let lines = table.lines.len();
    let estimate = Estimate { p: 1.0, p_less: 1.0, ..Estimate::default() };
    Judged {
        method: Method::Holm,
        noise: 0.0,
        estimates: [vec![estimate; lines], vec![estimate; lines], vec![estimate; lines]],
        errors: vec![0.0; lines],
        df: vec![f64::INFINITY; lines],
        critical: f64::INFINITY,
        prior: Prior { dispersion: 1.0, between: 0.0, df: 1.0 },
        margin: 0.0,
    }
}

/// The prior of the variances of what functions took themselves, but for those that are in some runs alone: they came, or have gone, and what
/// that is among few functions would be taken for noise. Which runs those are has no say.
fn fit(rows: &[Vec<f64>], table: &Table<'_>) -> Prior {
    let runs = table.runs.len();
    let is_in_all = |line: &Line| line.sums.iter().all(|sum| sum.samples > 0.0);
    let is_fit = |line: &Line| line.part == Part::Own && is_in_all(line);
    let own = || rows.iter().zip(&table.lines).filter(|(_, line)| is_fit(line));
    let variances = blind_variances(own().map(|(logs, _)| &logs[..]), table.base);
    let variances: Vec<(f64, f64)> =
        variances.into_iter().zip(own()).map(|(of, (_, line))| (of, line.samples)).collect();
    Prior::fit(&variances, runs)
}

fn estimate(seen: &Seen, reach: f64, (p, p_less): (f64, f64)) -> Estimate {
    let change = |log: f64| log.exp_m1();
    Estimate {
        change: change(seen.difference),
        low: change(seen.difference - reach * seen.error),
        high: change(seen.difference + reach * seen.error),
        t: seen.t,
        p,
        p_less,
    }
}

/// What came from nothing has risen without bound, and what has gone has fallen by all.
fn with_nothing(mut estimates: Vec<Estimate>, table: &Table<'_>) -> Vec<Estimate> {
    for (estimate, line) in estimates.iter_mut().zip(&table.lines) {
        let is_nothing = |sums: &[Sum]| sums.iter().all(|sum| sum.value == 0.0);
        if is_nothing(&line.sums[..table.base]) {
            (estimate.change, estimate.high) = (f64::INFINITY, f64::INFINITY);
        } else if is_nothing(&line.sums[table.base..]) {
            (estimate.change, estimate.low) = (-1.0, -1.0);
        }
    }
    estimates
}

/// Holm's adjusted p (1979) of each row, for a rise and for a fall.
fn holm(seen: &[Seen], above: impl Fn(usize, f64) -> f64) -> Vec<(f64, f64)> {
    let adjusted = |sign: f64| {
        let raw: Vec<f64> = seen.iter().enumerate().map(|(row, of)| above(row, sign * of.t)).collect();
        let mut order: Vec<usize> = (0..raw.len()).collect();
        order.sort_by(|a, b| raw[*a].total_cmp(&raw[*b]));
        let mut p = vec![1.0; raw.len()];
        let mut least = 0.0f64;
        for (rank, row) in order.iter().enumerate() {
            least = least.max((raw[*row] * (raw.len() - rank) as f64).min(1.0));
            p[*row] = least;
        }
        p
    };
    adjusted(1.0).into_iter().zip(adjusted(-1.0)).collect()
}

/// One run a side: the variance of counting, and noise between runs that is known of a history or assumed.
fn one_run(table: &Table<'_>, settings: &Settings, history: Option<&Noise>) -> Judged {
    let noise = history.map_or(settings.assumed_noise, |noise| noise.deviation);
    let margin = settings.margin_of(0).ln_1p();
    // Few runs do not know it well.
    let df = history.map_or(f64::INFINITY, |noise| f64::from(noise.runs.max(2) - 1));
    let mut errors = Vec::new();
    let estimates = Scale::ALL.map(|scale| {
        let logs = table.logarithms(scale);
        let seen: Vec<Seen> =
            logs.iter().zip(&table.lines).map(|(logs, line)| one_run_seen(table, logs, &line.sums, noise)).collect();
        if scale == settings.scale {
            errors = seen.iter().map(|row| row.error).collect();
        }
        let falls = holm(&seen, |_, t| t_above(t, df));
        let beyond: Vec<Seen> = seen.iter().map(|row| beyond(row, margin)).collect();
        let rises = holm(&beyond, |_, t| t_above(t, df));
        let p = rises.into_iter().zip(falls).map(|(rises, falls)| (rises.0, falls.1));
        let reach = t_quantile(0.025, df);
        seen.iter().zip(p).map(|(seen, p)| estimate(seen, reach, p)).collect()
    });
    let critical = t_quantile(settings.alpha / table.lines.len() as f64, df);
    let mut estimates = estimates.map(|estimates| with_nothing(estimates, table));
    estimates[Scale::Share as usize][0] = SHARE_OF_ALL;
    let prior = Prior { dispersion: 1.0, between: noise * noise, df: 1.0 };
    let method = Method::OneRun { noise, history_runs: history.map_or(0, |noise| noise.runs) };
    Judged { method, noise, estimates, df: vec![df; errors.len()], errors, critical, prior, margin }
}

fn one_run_seen(table: &Table<'_>, logs: &[f64], sums: &[Sum], noise: f64) -> Seen {
    let counting = |run: usize| table.runs[run].dispersion / (sums[run].samples + 0.5);
    let error = (counting(0) + counting(1) + 2.0 * noise * noise).sqrt();
    let difference = logs[1] - logs[0];
    Seen { difference, error, t: difference / error }
}

fn row(table: &Table<'_>, line: &Line, at: usize, judged: &Judged, settings: &Settings) -> Row {
    let runs = table.per_work(&line.sums);
    let sides =
        |values: &[f64]| [mean(values[..table.base].iter().copied()), mean(values[table.base..].iter().copied())];
    let [base, new] = sides(&runs);
    let samples: Vec<f64> = line.sums.iter().map(|sum| sum.samples).collect();
    let all = sides(&table.per_work(&table.lines[0].sums));
    let of_total = match settings.scale {
        _ if all[0] == 0.0 => 0.0,
        Scale::Share if line.part == Part::Everything => 0.0,
        Scale::Share if all[1] > 0.0 => new / all[1] - base / all[0],
        Scale::Robust if line.part != Part::Everything => (new / table.robust_factor() - base) / all[0],
        _ => (new - base) / all[0],
    };
    Row {
        function: line.facts.clone(),
        part: line.part,
        inlined_into: None,
        base,
        new,
        share: if all[0] > 0.0 { base / all[0] } else { 0.0 },
        samples: sides(&samples),
        by_scale: [0, 1, 2].map(|scale| judged.estimates[scale][at]),
        of_total,
        runs,
        visible: 0.0,
        rule: None,
        fate: Fate::Unchanged,
        rest_high: None,
        is_repeated: false,
    }
}

/// The smallest relative rise of `row`, whose standard error is `error`, that would have failed in [`POWER`] of comparisons like this one:
/// `power` is the t that as many are below.
fn visible(row: &Row, error: f64, power: f64, (judged, settings): (&Judged, &Settings)) -> f64 {
    let limits = limits(row, settings);
    let least = (judged.margin + judged.critical * error).max(limits.relative.ln_1p());
    let relative = (least + power * error).exp_m1();
    if row.share > 0.0 { relative.max(limits.absolute / row.share) } else { relative }
}
