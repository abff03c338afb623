//! A comparison as pictures say it: the verdict, a function, and what it was made with; in the words of reports.
//!
//! The script says functions in the same words (`viewer/gate.js`); the browser's tests compare both.

use super::evidence::Known;
use super::name::printable;
use super::number::{arrow, count_of, grouped, percent, quantity, utc};
use super::report::words::{self, PLAIN};
use crate::gate::{Comparison, Estimate, Fate, Level, Moved, Part, Row, Scale, Side};

/// So many names of a list are told.
const MOST_NAMES: usize = 8;

/// The scale that a row is said on: the whole has no share, and its own change is what the robust scale takes away.
fn scale_of(row: &Row, scale: Scale) -> Scale {
    if row.part == Part::Everything { Scale::Work } else { scale }
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
    let text = |number: f64| match scale {
        Scale::Share => words::share(number),
        _ => words::value(number, comparison.unit),
    };
    arrow(text(base), text(new))
}

/// How much of all that the base takes a row changed by.
fn of_total(row: &Row, comparison: &Comparison, scale: Scale) -> f64 {
    let (base, new) = values(row, comparison, scale);
    if scale == Scale::Share { new - base } else { (new - base) / comparison.total.base }
}

/// How many runs there are: `5 vs 5 runs`.
fn runs(comparison: &Comparison) -> String {
    let [base, new] = words::counts(comparison);
    if base == 1 && new == 1 { "1 run a side".to_owned() } else { format!("{base} vs {new} runs") }
}

/// The p of the direction in which it changed.
pub(super) fn chance(estimate: &Estimate) -> String {
    words::chance(if estimate.change < 0.0 { estimate.p_less } else { estimate.p })
}

/// What is known of a function, without its name: `390 → 471 ms per run (+20.8 %, 95 % [+15.0, +27.0]), adjusted p 0.004, ...`.
pub(super) fn sentence(known: &Known<'_>, comparison: &Comparison, scale: Scale) -> Option<String> {
    let row = known.inclusive.or(known.own)?;
    let scale = scale_of(row, scale);
    let per = match scale {
        Scale::Share => " of all".to_owned(),
        _ => format!(" per {}", words::work_unit(comparison, PLAIN)),
    };
    let change = |row: &Row, per: &str| {
        let estimate = row.on(scale);
        let (values, change) = (from_to(row, comparison, scale), words::change(estimate.change));
        format!("{values}{per} ({change}, 95 % {}), adjusted p {}", words::interval(estimate), chance(estimate))
    };
    let self_ = if known.inclusive.is_none() { "self " } else { "" };
    let total = words::signed(of_total(row, comparison, scale));
    let mut text = format!("{self_}{}, {total} % of total", change(row, &per));
    if let (Some(_), Some(own)) = (known.inclusive, known.own) {
        text += &format!("; self {}", change(own, ""));
    }
    Some(format!("{text}; {}", runs(comparison)))
}

/// What became of a row: `moved: scan +182 ms ⇆ parse, within handle, which changed by -10 ms`.
pub(super) fn fate(row: &Row, comparison: &Comparison) -> String {
    match &row.fate {
        Fate::Moved(at) => match comparison.moved.get(*at) {
            Some(moved) => self::moved(moved, comparison),
            None => "moved".to_owned(),
        },
        _ => words::fate(comparison, row, PLAIN),
    }
}

/// Cost that changed its place, as both its ends say it.
pub(super) fn moved(moved: &Moved, comparison: &Comparison) -> String {
    format!("moved: {}", words::moved(moved, comparison.unit, PLAIN))
}

/// The move of which a function is an end that fell.
pub(super) fn moved_from<'a>(name: &str, comparison: &'a Comparison) -> Option<&'a Moved> {
    comparison.moved.iter().find(|moved| moved.from.iter().any(|from| from == name))
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

/// What a row is about: a function's name, with that of the function into which it was inlined, or everything.
pub(super) fn row_name(row: &Row) -> String {
    match row.function.kind {
        None if row.function.name.is_empty() => "everything".into(),
        _ => words::function(row, 120, PLAIN),
    }
}

/// The verdict in one line.
pub(super) fn line(comparison: &Comparison) -> String {
    let (outcome, why) = (words::outcome(comparison), words::why(comparison, PLAIN));
    let more = words::more_runs(comparison).filter(|_| !why.is_empty()).map(|more| format!(" · {more}"));
    format!("{outcome}{why} · {}{}", words::headline(comparison, PLAIN), more.unwrap_or_default())
}

/// What is to be warned of before the numbers are read.
pub(super) fn warnings(comparison: &Comparison) -> Vec<String> {
    let weighty = comparison.checks.iter().filter(|check| check.level >= Level::Warning);
    weighty.map(|check| format!("{}: {}", check.what, words::shown(&check.text, 240))).collect()
}

/// What the comparison was made with and of, each with what it is about.
pub(super) fn facts(comparison: &Comparison) -> Vec<(String, String)> {
    let settings = &comparison.settings;
    let mut facts: Vec<(String, String)> = Vec::new();
    let mut fact = |about: &str, text: String| facts.push((about.to_owned(), printable(&text).into_owned()));
    for missing in &comparison.verdict.missing {
        fact("inconclusive", missing.clone());
    }
    let config = settings.config.as_ref().map(|path| format!("; from {}", path.display())).unwrap_or_default();
    let whole = settings.total_max.unwrap_or(settings.min_relative);
    let margin = words::margin(settings).map(|margin| format!(", of rises of surely more than {margin}"));
    fact(
        "settings",
        format!(
            "α {}, warned of up to {}{}; a function fails from +{} of itself and +{} of the whole on, the whole from +{} on; scale {}; \
             {} a side demanded; seed {}; {}, {} allowed{config}",
            words::share(settings.alpha),
            words::share(settings.warn_alpha),
            margin.unwrap_or_default(),
            words::share(settings.min_relative),
            words::share(settings.min_absolute),
            words::share(whole),
            settings.scale.name(),
            count_of(settings.runs.into(), "run"),
            settings.seed,
            count_of(settings.rules.len() as u64, "rule"),
            grouped(settings.allowed.len() as u64),
        ),
    );
    if let Some(whole) = words::whole_too(comparison) {
        fact("whole", whole);
    }
    fact("method", words::method(&comparison.method));
    fact("noise", format!("between runs {}, beside that of counting", words::share(comparison.noise)));
    fact("not seen", words::visible(comparison, PLAIN));
    fact("scales", Scale::ALL.map(|scale| words::scale_name(comparison, scale)).join(", "));
    for check in &comparison.checks {
        fact("check", words::check(check, PLAIN));
    }
    for rule in &settings.rules {
        fact("rule", behind("rule ", words::rule(comparison, rule, PLAIN)));
    }
    for entry in &settings.allowed {
        fact("allowed", behind("allowed ", words::allowed(comparison, entry, PLAIN)));
    }
    for moved in &comparison.moved {
        fact("moved", words::moved(moved, comparison.unit, PLAIN));
    }
    for renamed in &comparison.renamed {
        fact("renamed?", words::renamed(renamed, PLAIN));
    }
    for (side, about) in ["gone", "come"].into_iter().enumerate() {
        let names: Vec<String> =
            words::one_sided(comparison, side).into_iter().map(|(name, _)| name.to_owned()).collect();
        if !names.is_empty() {
            fact(about, words::list(&names, MOST_NAMES, PLAIN));
        }
    }
    let matched = comparison.matched.iter().filter(|(_, count)| *count > 0);
    let matched: Vec<String> = matched.map(|(step, count)| format!("{step} {}", grouped(*count))).collect();
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

/// A sentence without the word that stands before it already.
fn behind(word: &str, sentence: String) -> String {
    sentence.strip_prefix(word).map_or_else(|| sentence.clone(), str::to_owned)
}

/// What a side is of: its runs, what they have, where and when they were made.
fn runs_of(comparison: &Comparison, side: Side) -> String {
    let runs: Vec<_> = comparison.runs.iter().filter(|(of, _)| *of == side).map(|(_, run)| run).collect();
    let labels: Vec<String> = runs.iter().map(|run| run.label.clone()).collect();
    let value = runs.iter().fold(0u64, |sum, run| sum.saturating_add(run.value));
    let samples = runs.iter().fold(0u64, |sum, run| sum.saturating_add(run.samples));
    let mut text = format!(
        "{}, {} in {}: {}",
        count_of(runs.len() as u64, "run"),
        quantity(value, comparison.unit),
        count_of(samples, "sample"),
        words::list(&labels, MOST_NAMES, PLAIN)
    );
    let mut hosts: Vec<String> = runs.iter().map(|run| run.host.clone()).filter(|host| !host.is_empty()).collect();
    hosts.sort();
    hosts.dedup();
    if !hosts.is_empty() {
        text += &format!("; on {}", words::list(&hosts, MOST_NAMES, PLAIN));
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
