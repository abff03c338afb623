//! A comparison in words, as pictures have them: the verdict, a row, and what it was made with.
//!
//! The script says rows in the same words (`viewer/gate.js`); the browser's tests compare both.

use super::evidence::Known;
use super::name::{printable, shorten};
use super::number::{count_of, grouped, percent, quantity, utc};
use crate::gate::{Comparison, Estimate, Fate, Level, Method, Outcome, Row, Scale, Side, Which};
use crate::model::Unit;

/// Longest name in a sentence, in columns.
const LONGEST: usize = 120;
/// So many names of a list are told.
const MOST_NAMES: usize = 8;

/// A change with its sign: `+20.8 %`.
pub(super) fn signed(change: f64) -> String {
    let sign = if change < 0.0 { '−' } else { '+' };
    let size = change.abs() * 100.0;
    match change {
        change if change.is_nan() => "?".to_owned(),
        change if change.is_infinite() => format!("{sign}∞"),
        _ if size < 0.095 && size > 0.0 => format!("{sign}{size:.2} %"),
        _ => format!("{sign}{size:.1} %"),
    }
}

/// A part of all as percent, with no more digits than it needs: `1 %`, `0.2 %`.
pub(super) fn part(share: f64) -> String {
    let text = format!("{:.3}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A p with two digits: `0.0042`.
pub(super) fn p_text(p: f64) -> String {
    match p {
        p if p.is_nan() => "?".to_owned(),
        p if p < 1e-4 => "<0.0001".to_owned(),
        p => {
            let digits = (1.0 - p.log10().floor()).clamp(0.0, 6.0) as usize;
            let text = format!("{p:.digits$}");
            if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
        }
    }
}

/// A value per unit of work; of what is counted there may be parts.
fn amount(value: f64, unit: Unit) -> String {
    let value = if value.is_finite() { value.max(0.0) } else { 0.0 };
    match unit {
        _ if value < 99.95 && value.fract() > 0.005 => {
            let text = format!("{value:.2}");
            let text = text.trim_end_matches('0').trim_end_matches('.');
            match unit {
                Unit::Nanoseconds => format!("{text} ns"),
                Unit::Bytes => format!("{text} B"),
                Unit::Count => text.to_owned(),
            }
        }
        _ => quantity(value.round() as u64, unit),
    }
}

/// A name from outside in a sentence.
fn named(name: &str) -> String {
    shorten(&printable(name), LONGEST).into_owned()
}

fn list<'a>(names: impl ExactSizeIterator<Item = &'a String>) -> String {
    let rest = names.len().saturating_sub(MOST_NAMES);
    let mut names: Vec<String> = names.take(MOST_NAMES).map(|name| named(name)).collect();
    if rest > 0 {
        names.push(format!("{} more", grouped(rest as u64)));
    }
    names.join(", ")
}

/// `+20.8 %, 95 % +15.0 % .. +27.0 %`; what has come or gone has no interval that says more.
fn change(estimate: &Estimate) -> String {
    if estimate.change == f64::INFINITY {
        return "new".to_owned();
    }
    if estimate.change <= -1.0 {
        return "gone".to_owned();
    }
    format!("{}, 95 % {} .. {}", signed(estimate.change), signed(estimate.low), signed(estimate.high))
}

/// A row's values on a scale, base and new: shares on that of shares, else values per unit of work.
fn values(row: &Row, comparison: &Comparison, scale: Scale) -> (f64, f64) {
    match scale {
        Scale::Work => (row.base, row.new),
        Scale::Share => (row.base / comparison.total.base, row.new / comparison.total.new),
        Scale::Robust => (row.base, row.new / comparison.robust_factor),
    }
}

fn from_to(row: &Row, comparison: &Comparison, scale: Scale) -> String {
    let (base, new) = values(row, comparison, scale);
    match scale {
        Scale::Share => format!("{} → {}", percent(base.max(0.0)), percent(new.max(0.0))),
        _ => format!("{} → {}", amount(base, comparison.unit), amount(new, comparison.unit)),
    }
}

/// How much of all that the base takes a row changed by.
fn of_total(row: &Row, comparison: &Comparison, scale: Scale) -> f64 {
    let (base, new) = values(row, comparison, scale);
    if scale == Scale::Share { new - base } else { (new - base) / comparison.total.base }
}

/// How many runs there are: `5 vs 5 runs`.
pub(super) fn runs(comparison: &Comparison) -> String {
    let [base, new] = [Side::Base, Side::New].map(|side| comparison.count(side));
    format!("{base} vs {new} run{}", if base == 1 && new == 1 { "" } else { "s" })
}

/// What is known of a function, without its name: `390 ms → 471 ms per run (+20.8 %, 95 % +15.0 % .. +27.0 %), ...`.
pub(super) fn sentence(known: &Known<'_>, comparison: &Comparison, scale: Scale) -> Option<String> {
    let row = known.inclusive.or(known.own)?;
    let per = if scale == Scale::Share { "all".to_owned() } else { named(&comparison.work_unit) };
    let per = if scale == Scale::Share { format!(" of {per}") } else { format!(" per {per}") };
    let estimate = row.on(scale);
    let p = |estimate: &Estimate| p_text(if estimate.change < 0.0 { estimate.p_less } else { estimate.p });
    let mut text = format!(
        "{}{per} ({}), adjusted p {}, {} of total",
        from_to(row, comparison, scale),
        change(estimate),
        p(estimate),
        signed(of_total(row, comparison, scale))
    );
    match (known.inclusive, known.own) {
        (Some(_), Some(own)) => {
            let estimate = own.on(scale);
            let (values, p) = (from_to(own, comparison, scale), p(estimate));
            text += &format!("; self {values} ({}), adjusted p {p}", change(estimate));
        }
        (None, Some(_)) => text.insert_str(0, "self "),
        _ => {}
    }
    Some(format!("{text}; {}", runs(comparison)))
}

/// What became of a row: `moved within handle from parse`.
pub(super) fn fate(fate: &Fate, comparison: &Comparison) -> String {
    let settings = &comparison.settings;
    match fate {
        Fate::Regression => "regression".to_owned(),
        Fate::Explained(by) if by.is_empty() => "explained by what it calls".to_owned(),
        Fate::Explained(by) => format!("explained by {}", list(by.iter())),
        Fate::Moved(at) => match comparison.moved.get(*at) {
            None => "moved".to_owned(),
            Some(moved) => {
                let from =
                    if moved.from.is_empty() { String::new() } else { format!(" from {}", list(moved.from.iter())) };
                format!("moved{from}{}", within(&moved.within))
            }
        },
        Fate::Allowed(at) => match settings.allowed.get(*at) {
            None => "allowed".to_owned(),
            Some(entry) => {
                format!("allowed up to {} until {}: {}", signed(entry.up_to), entry.until, named(&entry.reason))
            }
        },
        Fate::Ignored(at) => match settings.rules.get(*at) {
            None => "ignored".to_owned(),
            Some(rule) => format!("ignored by the rule for {}", which(&rule.which)),
        },
        Fate::Suspect => "suspect".to_owned(),
        Fate::Small => "small".to_owned(),
        Fate::Improved => "improved".to_owned(),
        Fate::Unchanged => "unchanged".to_owned(),
    }
}

fn within(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(" within {}", named(name)) }
}

fn which(which: &Which) -> String {
    let parts = [("function", &which.function), ("module", &which.module), ("file", &which.file)];
    let parts = parts.iter().filter_map(|(what, pattern)| Some(format!("{what} {}", named(pattern.as_deref()?))));
    parts.collect::<Vec<_>>().join(", ")
}

/// Where to a function's cost moved, for one that fell: `moved to checksum within handle`.
pub(super) fn moved_to(name: &str, comparison: &Comparison) -> Option<String> {
    let moved = comparison.moved.iter().find(|moved| moved.from.iter().any(|from| from == name))?;
    Some(format!("moved to {}{}", named(&moved.to), within(&moved.within)))
}

/// One word for a fate; the script tells rows by it.
pub(super) fn fate_name(fate: &Fate) -> &'static str {
    match fate {
        Fate::Regression => "regression",
        Fate::Explained(_) => "explained",
        Fate::Moved(_) => "moved",
        Fate::Allowed(_) => "allowed",
        Fate::Ignored(_) => "ignored",
        Fate::Suspect => "suspect",
        Fate::Small => "small",
        Fate::Improved => "improved",
        Fate::Unchanged => "unchanged",
    }
}

/// What a row is about: a function's name, or everything.
pub(super) fn row_name(row: &Row) -> String {
    if row.function.kind.is_none() && row.function.name.is_empty() {
        "everything".into()
    } else {
        named(&row.function.name)
    }
}

/// The verdict in one line: `regression: 1 function, total +4.8 % (95 % +2.7 % .. +6.9 %) · 5 vs 5 runs · alpha 1 % · scale work`.
pub(super) fn line(comparison: &Comparison) -> String {
    let Comparison { settings, verdict, total, .. } = comparison;
    let mut text = verdict.outcome.name().to_owned();
    let functions = comparison.rows.iter().filter(|row| row.fate == Fate::Regression).map(|row| &row.function.name);
    let functions: std::collections::BTreeSet<&String> = functions.collect();
    if verdict.outcome == Outcome::Inconclusive && !verdict.missing.is_empty() {
        text += &format!(": {}", printable(&verdict.missing.join("; ")));
    }
    if !functions.is_empty() {
        let found = count_of(functions.len() as u64, "function");
        text += &match verdict.outcome {
            Outcome::Regression => format!(": {found}"),
            _ => format!("; {found} would fail"),
        };
    }
    if total.fate == Fate::Regression {
        text += if functions.is_empty() { ": the whole" } else { " and the whole" };
    }
    let estimate = total.on(settings.scale);
    let [all, low, high] = [estimate.change, estimate.low, estimate.high].map(signed);
    text += &format!(" · total {all} (95 % {low} .. {high})");
    text += &format!(" · {} · alpha {} · scale {}", runs(comparison), part(settings.alpha), settings.scale.name());
    if let (Outcome::Inconclusive, Some(more)) = (verdict.outcome, verdict.more_runs) {
        text += &format!(" · {} a side would probably do", count_of(more.into(), "more run"));
    }
    text
}

/// What is to be warned of before the numbers are read.
pub(super) fn warnings(comparison: &Comparison) -> Vec<String> {
    let weighty = comparison.checks.iter().filter(|check| check.level >= Level::Warning);
    weighty.map(|check| printable(&format!("{}: {}", check.what, check.text)).into_owned()).collect()
}

/// What the comparison was made with and of, each with what it is about.
pub(super) fn facts(comparison: &Comparison) -> Vec<(String, String)> {
    let Comparison { settings, verdict, .. } = comparison;
    let mut facts: Vec<(String, String)> = Vec::new();
    let mut fact = |about: &str, text: String| facts.push((about.to_owned(), printable(&text).into_owned()));
    for missing in &verdict.missing {
        fact("inconclusive", missing.clone());
    }
    let config = settings.config.as_ref().map(|path| format!(", {}", path.display())).unwrap_or_default();
    fact(
        "settings",
        format!(
            "alpha {}, warned of up to {}; a function fails from {} of itself and {} of the total, the whole from {}; scale {}; {} a side demanded; \
             seed {}; {}, {} allowed{config}",
            part(settings.alpha),
            part(settings.warn_alpha),
            signed(settings.min_relative),
            signed(settings.min_absolute),
            signed(settings.total_max.unwrap_or(settings.min_relative)),
            settings.scale.name(),
            count_of(settings.runs.into(), "run"),
            settings.seed,
            count_of(settings.rules.len() as u64, "rule"),
            grouped(settings.allowed.len() as u64),
        ),
    );
    fact("method", method(&comparison.method));
    fact("noise", format!("between runs {}, beside that of counting", part(comparison.noise)));
    fact(
        "visible",
        format!(
            "a rise of the whole from {} on would have been seen in four of five comparisons",
            signed(comparison.total.visible)
        ),
    );
    fact("robust", format!("the new side is divided by {:.4} on the robust scale", comparison.robust_factor));
    for check in &comparison.checks {
        fact(check.what, check.text.clone());
    }
    for moved in &comparison.moved {
        let (rise, rest) = (amount(moved.rise, comparison.unit), amount(moved.rest.abs(), comparison.unit));
        let from = if moved.from.is_empty() { String::new() } else { format!(" ⇆ {}", list(moved.from.iter())) };
        let sign = if moved.rest < 0.0 { '−' } else { '+' };
        fact("moved", format!("{} +{rise}{from}{} ({sign}{rest})", named(&moved.to), within(&moved.within)));
    }
    for renamed in &comparison.renamed {
        fact("renamed?", format!("{} → {}: {}", named(&renamed.from), named(&renamed.to), renamed.why));
    }
    for (about, names) in ["gone", "come"].into_iter().zip(&comparison.one_sided) {
        if !names.is_empty() {
            fact(about, list(names.iter()));
        }
    }
    let matched: Vec<String> = comparison
        .matched
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(step, count)| format!("{step} {}", grouped(*count)))
        .collect();
    if !matched.is_empty() {
        fact("names", format!("normalised: {}", matched.join(", ")));
    }
    if comparison.untested > 0 {
        let [base, new] = comparison.untested_share.map(percent);
        let functions = count_of(comparison.untested.into(), "function");
        fact("untested", format!("{functions} with too few samples: {base} of the base, {new} of the new side"));
    }
    for side in [Side::Base, Side::New] {
        fact(side.name(), runs_of(comparison, side));
    }
    facts
}

/// What a side is of: its runs, what they have, where and when they were made.
fn runs_of(comparison: &Comparison, side: Side) -> String {
    let runs: Vec<_> = comparison.runs.iter().filter(|(of, _)| *of == side).map(|(_, run)| run).collect();
    let labels: Vec<&String> = runs.iter().map(|run| &run.label).collect();
    let value = runs.iter().fold(0u64, |sum, run| sum.saturating_add(run.value));
    let samples = runs.iter().fold(0u64, |sum, run| sum.saturating_add(run.samples));
    let mut text = format!(
        "{}, {} in {}: {}",
        count_of(runs.len() as u64, "run"),
        quantity(value, comparison.unit),
        count_of(samples, "sample"),
        list(labels.into_iter())
    );
    let mut hosts: Vec<&String> = runs.iter().map(|run| &run.host).filter(|host| !host.is_empty()).collect();
    hosts.sort();
    hosts.dedup();
    if !hosts.is_empty() {
        text += &format!("; on {}", list(hosts.into_iter()));
    }
    let times = || runs.iter().map(|run| run.started_unix).filter(|time| *time > 0);
    if let (Some(first), Some(last)) = (times().min(), times().max()) {
        text += &format!("; {}", utc(first));
        if last > first {
            text += &format!(" to {}", utc(last));
        }
    }
    text
}

fn method(method: &Method) -> String {
    match method {
        Method::Relabelled { relabellings, is_exact, least_p } => format!(
            "the largest moderated t under {} relabellings of the runs{}; the smallest p there can be is {}",
            grouped((*relabellings).into()),
            if *is_exact { ", which are all" } else { ", drawn" },
            p_text(*least_p)
        ),
        Method::Holm => "moderated t, corrected as Holm does: too few runs a side for relabellings".to_owned(),
        Method::OneRun { noise, history_runs } => format!(
            "one run a side: counting noise and {} between runs ({}), corrected as Holm does",
            part(*noise),
            match history_runs {
                0 => "assumed".to_owned(),
                runs => format!("of a history of {}", count_of((*runs).into(), "run")),
            }
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let check = |text: String, expected: &str| assert_eq!(text, expected);
        check(signed(0.2084), "+20.8 %");
        check(signed(-0.5), "−50.0 %");
        check(signed(0.0002), "+0.02 %");
        check(signed(f64::INFINITY), "+∞");
        check(signed(f64::NAN), "?");
        check(part(0.01), "1 %");
        check(part(0.002), "0.2 %");
        check(p_text(0.00397), "0.004");
        check(p_text(0.0314), "0.031");
        check(p_text(1.0), "1");
        check(p_text(0.0), "<0.0001");
        check(amount(471_200_000.0, Unit::Nanoseconds), "471 ms");
        check(amount(0.25, Unit::Count), "0.25");
        check(amount(f64::NAN, Unit::Bytes), "0 B");
    }
}
