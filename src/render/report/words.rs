//! The words and numbers that all reports share: the verdict in a line, changes, intervals, fates.

use std::collections::HashMap;

use super::source::{in_repository, source_of};
use crate::gate::{
    Allowed, Check, Comparison, Estimate, Fate, Level, Method, Moved, Outcome, Part, Renamed, Row, Rule, Scale,
    Settings, Side, Which,
};
use crate::model::Unit;
use crate::render::name::{columns, printable, shorten};
use crate::render::number::{arrow, count_of, grouped, quantity};
use crate::render::top::fit;

/// A name from outside, in at most `width` columns and about as many signs.
///
/// A runner of GitHub Actions takes `##[` for a command wherever it stands in a line of output, and that of Azure `##vso[`
/// (`ActionCommand.cs` in actions/runner), so two such signs do not follow each other.
pub(in crate::render) fn shown(name: &str, width: usize) -> String {
    // Signs that take no column could make a name of any length.
    let ends = match (name.char_indices().nth(2 * width), name.char_indices().nth_back(2 * width)) {
        (Some((head, _)), Some((tail, _))) if head < tail => Some(format!("{}…{}", &name[..head], &name[tail..])),
        _ => None,
    };
    shorten(&printable(ends.as_deref().unwrap_or(name)), width).replace("##", "#\u{fffd}")
}

/// How what comes from outside is written in a format: a name, or a sentence that may have one in it, in so many columns at most.
#[derive(Clone, Copy, Debug)]
pub(in crate::render) struct Quote {
    /// A name.
    pub name: fn(&str, usize) -> String,
    /// A sentence.
    pub sentence: fn(&str, usize) -> String,
}

/// As text that nothing reads but people.
pub(in crate::render) const PLAIN: Quote = Quote { name: shown, sentence: shown };

/// How wide names are shown.
const NAME: usize = 100;
/// How wide sentences are.
const SENTENCE: usize = 240;

/// A share or change as percent, with as many decimals as say something: `4.8`, `0.42`, `137`.
fn digits(share: f64) -> String {
    let percent = share * 100.0;
    match percent.abs() {
        of if of >= 999.5 => grouped(of.round() as u64),
        of if of >= 99.95 => format!("{of:.0}"),
        of if of >= 0.995 => format!("{of:.1}"),
        of => format!("{of:.2}"),
    }
}

/// A change in percent, without its sign: `+4.8`.
pub(in crate::render) fn signed(share: f64) -> String {
    let digits = digits(share);
    match share {
        _ if share.is_nan() => "?".to_owned(),
        f64::INFINITY => "+∞".to_owned(),
        f64::NEG_INFINITY => "-∞".to_owned(),
        _ if digits == "0.00" => "0".to_owned(),
        _ if share < 0.0 => format!("-{digits}"),
        _ => format!("+{digits}"),
    }
}

/// A relative change: `+4.8 %`, `new`, `gone`.
pub(in crate::render) fn change(change: f64) -> String {
    match change {
        f64::INFINITY => "new".to_owned(),
        -1.0 => "gone".to_owned(),
        _ if change.is_nan() => "?".to_owned(),
        _ => format!("{} %", signed(change)),
    }
}

/// The 95 % interval of a change, in percent: `[+2.7, +6.9]`.
pub(in crate::render) fn interval(estimate: &Estimate) -> String {
    format!("[{}, {}]", signed(estimate.low), signed(estimate.high))
}

/// A change with its interval.
pub(super) fn with_interval(estimate: &Estimate) -> String {
    format!("{} {}", change(estimate.change), interval(estimate))
}

/// A share that has no sign: `3 %`, `0.2 %`.
pub(in crate::render) fn share(share: f64) -> String {
    let percent = share * 100.0;
    if !percent.is_finite() {
        return "?".to_owned();
    }
    let rounded = format!("{percent:.2}");
    let short = rounded.trim_end_matches('0').trim_end_matches('.');
    match short {
        "0" | "-0" if share > 0.0 => "<0.01 %".to_owned(),
        "-0" => "0 %".to_owned(),
        short => format!("{short} %"),
    }
}

/// What a rise has to be surely more than, if it is anything: `2 %`.
pub(in crate::render) fn margin(settings: &Settings) -> Option<String> {
    settings.margin.filter(|margin| *margin > 0.0).map(share)
}

/// A chance: `0.004`, `<0.0001`.
pub(in crate::render) fn chance(p: f64) -> String {
    match p {
        _ if p.is_nan() => "?".to_owned(),
        _ if p < 0.0001 => "<0.0001".to_owned(),
        _ if p < 0.001 => format!("{p:.4}"),
        _ if p < 0.1 => format!("{p:.3}"),
        _ => format!("{p:.2}"),
    }
}

/// A mean value in its unit: `390 ms`, `0.35`.
pub(in crate::render) fn value(value: f64, unit: Unit) -> String {
    match value {
        _ if !value.is_finite() => "?".to_owned(),
        0.0 => "0".to_owned(),
        _ if value >= 999.5 || value == value.trunc() => quantity(value.round().max(0.0) as u64, unit),
        _ => {
            let number = match value.abs() {
                of if of >= 99.95 => format!("{value:.0}"),
                of if of >= 9.995 => format!("{value:.1}"),
                of if of >= 0.01 => format!("{value:.2}"),
                _ => format!("{value:.1e}"),
            };
            match unit {
                Unit::Nanoseconds => format!("{number} ns"),
                Unit::Bytes => format!("{number} B"),
                Unit::Count => number,
            }
        }
    }
}

/// Base and new value; the unit is said once where both have it: `390 → 471 ms`.
pub(super) fn from_to(row: &Row, unit: Unit) -> String {
    arrow(value(row.base, unit), value(row.new, unit))
}

/// A difference of values: `+190 ms`.
pub(super) fn difference(of: f64, unit: Unit) -> String {
    let sign = if of < 0.0 { "-" } else { "+" };
    format!("{sign}{}", value(of.abs(), unit))
}

/// A plain number, with no more decimals than it needs: `1,000`, `0.5`.
pub(super) fn plain(number: f64) -> String {
    match number {
        _ if number.is_finite() && number >= 0.0 && number == number.trunc() => grouped(number as u64),
        _ => format!("{number:.3}"),
    }
}

/// A row's change in shares of all that the base takes.
pub(super) fn of_total(row: &Row) -> String {
    format!("{} %", signed(row.of_total))
}

/// What is counted, by unit of work: `CPU time per request`.
pub(super) fn measure(comparison: &Comparison, quote: Quote) -> String {
    let event = comparison.event.trim_end_matches(":u").trim_end_matches(":k");
    let what = match event {
        "cpu-clock" | "task-clock" => "CPU time".to_owned(),
        "" => "value".to_owned(),
        event => (quote.sentence)(event, 40),
    };
    format!("{what} per {}", work_unit(comparison, quote))
}

/// What a unit of work is called.
pub(in crate::render) fn work_unit(comparison: &Comparison, quote: Quote) -> String {
    match comparison.work_unit.as_str() {
        "" => "run".to_owned(),
        unit => (quote.sentence)(unit, 40),
    }
}

/// The outcome as it stands in a line: `2 regressions`, `no change`, `inconclusive`; `no regression` where something changed that fails nothing.
pub(in crate::render) fn outcome(comparison: &Comparison) -> String {
    let has_changed = || comparison.rows.iter().chain([&comparison.total]).any(|row| row.fate != Fate::Unchanged);
    match comparison.verdict.outcome {
        Outcome::Regression => count_of(regressions(comparison).len() as u64, "regression"),
        Outcome::NoChange if has_changed() => "no regression".to_owned(),
        other => other.name().to_owned(),
    }
}

/// The regressions as they are counted and listed. Everything is one only where no function is: else those are its causes.
pub(in crate::render) fn regressions(comparison: &Comparison) -> Vec<&Row> {
    let causes: Vec<&Row> = comparison.rows.iter().filter(|row| row.fate == Fate::Regression).collect();
    if causes.is_empty() { comparison.regressions().collect() } else { causes }
}

/// That everything together fails too, where it is not listed as it has causes: `the whole fails too: +4.8 % [+2.7, +6.9], adjusted p 0.004`.
pub(in crate::render) fn whole_too(comparison: &Comparison) -> Option<String> {
    let total = &comparison.total;
    let is_left_out =
        total.fate == Fate::Regression && regressions(comparison).iter().all(|row| row.part != Part::Everything);
    let of = total.on(comparison.settings.scale);
    is_left_out.then(|| format!("the whole fails too: {}, adjusted p {}", with_interval(of), chance(of.p)))
}

/// The suspects that are listed, and what is said of those that are not, as others explain them: `and 4 callers of these`.
pub(super) fn suspects(comparison: &Comparison) -> (Vec<&Row>, Option<String>) {
    let (left_out, listed): (Vec<&Row>, Vec<&Row>) =
        rows(comparison, |fate| *fate == Fate::Suspect).partition(|row| row.is_repeated);
    let has_whole = left_out.iter().any(|row| row.part == Part::Everything);
    let by = if listed.is_empty() { "what fails" } else { "these" };
    let callers = left_out.len() - usize::from(has_whole);
    let said = match (callers, has_whole) {
        (0, false) => return (listed, None),
        (0, true) => format!("and the whole, with {by}"),
        (callers, _) => {
            let whole = if has_whole { ", and the whole" } else { "" };
            format!("and {} of {by}{whole}", count_of(callers as u64, "caller"))
        }
    };
    (listed, Some(said))
}

/// The first reason for which there is no verdict, ` (3 runs a side, ..)`; nothing if there is one.
pub(in crate::render) fn why(comparison: &Comparison, quote: Quote) -> String {
    match (comparison.verdict.outcome, comparison.verdict.missing.as_slice()) {
        (Outcome::Inconclusive, [only]) => format!(" ({})", (quote.sentence)(only, 160)),
        (Outcome::Inconclusive, [first, rest @ ..]) => {
            format!(" ({}, and {} more)", (quote.sentence)(first, 160), grouped(rest.len() as u64))
        }
        _ => String::new(),
    }
}

/// What stands behind the outcome in the first line: the total, the runs, the error rate, the scale; joined by ` · `.
pub(in crate::render) fn headline(comparison: &Comparison, quote: Quote) -> String {
    let settings = &comparison.settings;
    let total = &comparison.total;
    let [base, new] = counts(comparison);
    let runs = if base == 1 && new == 1 { "1 run a side".to_owned() } else { format!("{base} vs {new} runs") };
    // Of what p is the chance.
    let margin = margin(settings).map(|margin| format!(" · margin {margin}"));
    format!(
        "total {}: {} {} · {runs} · α {}{} · scale {}",
        with_interval(total.on(settings.scale)),
        from_to(total, comparison.unit),
        measure(comparison, quote),
        share(settings.alpha),
        margin.unwrap_or_default(),
        settings.scale.name(),
    )
}

/// Runs of the base and of the new side.
pub(in crate::render) fn counts(comparison: &Comparison) -> [usize; 2] {
    [Side::Base, Side::New].map(|side| comparison.count(side))
}

/// Which part of the cost a row is about, in words; nothing for everything.
fn part(part: Part) -> &'static str {
    match part {
        Part::Everything => "",
        Part::Own => "self",
        Part::Inclusive => "with callees",
    }
}

/// What a row is about: `crc (self)`, `the whole`. The same from one comparison to the next, for whoever knows a row by it.
pub(super) fn named(row: &Row) -> String {
    match row.part {
        Part::Everything => "the whole".to_owned(),
        of => format!("{} ({})", shown(&row.function.name, 200), part(of)),
    }
}

/// The name of a row's function, and into what it was inlined: `<u32>::wrapping_mul inlined into codec::Crc::update`.
pub(in crate::render) fn function(row: &Row, width: usize, quote: Quote) -> String {
    let name = (quote.name)(&row.function.name, width);
    match &row.inlined_into {
        Some(into) => format!("{name} inlined into {}", (quote.name)(&into.name, width)),
        None => name,
    }
}

/// The same with the part that a row is about, `crc (self)`, in at most `width` columns, as far as there is room for anything.
pub(super) fn named_whole(row: &Row, width: usize) -> String {
    if row.part == Part::Everything {
        return named(row);
    }
    let part = part(row.part);
    let whole = format!("{} ({part})", function(row, 200, PLAIN));
    let Some(into) = row.inlined_into.as_ref().filter(|_| columns(&whole) > width) else {
        return fit(&whole, width);
    };
    // Of two names neither is to take the other's room, but may have what that leaves.
    let room = width.saturating_sub(columns(&format!(" in  ({part})")));
    let other = fit(&shown(&into.name, 200), room / 2);
    let one = fit(&shown(&row.function.name, 200), room - columns(&other));
    if room < 8 { fit(&whole, width) } else { format!("{one} in {other} ({part})") }
}

/// A row in a line: `crc (self): 390 → 471 ms CPU time per request, +20.8 % [+15.1, +26.9], +4.0 % of the whole, adjusted p 0.004`.
pub(super) fn sentence_of(comparison: &Comparison, row: &Row) -> String {
    let of = row.on(comparison.settings.scale);
    let of_total = match row.part {
        Part::Everything => String::new(),
        _ => format!(", {} of the whole", of_total(row)),
    };
    format!(
        "{}: {} {}, {}{of_total}, adjusted p {}",
        named_whole(row, 400),
        from_to(row, comparison.unit),
        measure(comparison, PLAIN),
        with_interval(of),
        chance(of.p),
    )
}

/// Where a row's function stands, or that into which it was inlined: `src/crc.c:12`, from the repository's top if it is in that; else its module.
pub(super) fn place(row: &Row, workspace: Option<&str>, quote: Quote) -> String {
    let function = source_of(row, workspace);
    let place = match (in_repository(function, workspace), function.file.as_str(), function.line) {
        (Some(place), ..) => format!("{}:{}", shown(&place.path, NAME), place.line),
        (None, "", _) => shown(&function.module, NAME),
        (None, file, 0) => shown(file, NAME),
        (None, file, line) => format!("{}:{line}", shown(file, NAME)),
    };
    if place.is_empty() { place } else { (quote.name)(&place, NAME + 11) }
}

/// Which functions are meant: `function codec::**, file src/db/**`.
fn which(which: &Which, quote: Quote) -> String {
    let patterns = which.patterns().into_iter();
    let given = patterns.filter_map(|(what, of)| Some(format!("{what} {}", (quote.name)(of?, NAME))));
    let given = given.collect::<Vec<_>>().join(", ");
    if given.is_empty() { "every function".to_owned() } else { given }
}

/// A place in the configuration: `profile.toml:12`, `line 12`.
pub(super) fn config_line(comparison: &Comparison, line: u32, quote: Quote) -> String {
    match (&comparison.settings.config, line) {
        (_, 0) => "the command line".to_owned(),
        (Some(path), line) => (quote.name)(&format!("{}:{line}", shown(&path.to_string_lossy(), NAME)), NAME + 11),
        (None, line) => format!("line {line}"),
    }
}

/// What a rule demands: `self at most +5 %`.
fn demand(rule: &Rule) -> String {
    if rule.ignore {
        return "not gated".to_owned();
    }
    let limits = [("self", rule.self_max), ("with callees", rule.inclusive_max)];
    let limits = limits.into_iter().filter_map(|(what, most)| Some(format!("{what} at most +{}", share(most?))));
    let limits = limits.collect::<Vec<_>>().join(", ");
    if limits.is_empty() { "no other limits".to_owned() } else { limits }
}

/// A rule in words: `profile.toml:12: function codec::**: self at most +5 %`.
pub(in crate::render) fn rule(comparison: &Comparison, rule: &Rule, quote: Quote) -> String {
    let line = config_line(comparison, rule.line, quote);
    format!("rule {line}: {}: {}", which(&rule.which, quote), demand(rule))
}

/// An accepted regression in words.
pub(in crate::render) fn allowed(comparison: &Comparison, entry: &Allowed, quote: Quote) -> String {
    let line = config_line(comparison, entry.line, quote);
    let (which, most) = (which(&entry.which, quote), share(entry.up_to));
    format!("allowed {line}: {which}: up to +{most} until {}{}", entry.until, reason(entry, quote))
}

fn reason(entry: &Allowed, quote: Quote) -> String {
    match entry.reason.as_str() {
        "" => String::new(),
        reason => format!(": {}", (quote.sentence)(reason, SENTENCE)),
    }
}

/// Why a row is no regression, or is one, in words.
pub(in crate::render) fn fate(comparison: &Comparison, row: &Row, quote: Quote) -> String {
    let settings = &comparison.settings;
    match &row.fate {
        Fate::Regression if row.part == Part::Everything && whole_too(comparison).is_some() => "fails too".to_owned(),
        Fate::Regression => "regression".to_owned(),
        Fate::Explained(by) => format!("explained by {}", list(by, 3, quote)),
        Fate::Moved(at) => {
            let caller = comparison.moved.get(*at).map_or("", |moved| moved.within.as_str());
            format!("moved within {}", within(caller, quote))
        }
        Fate::Allowed(at) => match settings.allowed.get(*at) {
            Some(entry) => {
                let line = config_line(comparison, entry.line, quote);
                format!("allowed up to +{} until {} by {line}{}", share(entry.up_to), entry.until, reason(entry, quote))
            }
            None => "allowed".to_owned(),
        },
        Fate::Ignored(at) => match settings.rules.get(*at) {
            Some(rule) => format!("not gated, by {}", config_line(comparison, rule.line, quote)),
            None => "not gated".to_owned(),
        },
        Fate::Suspect => format!("suspect: it would be a regression at α {}", share(settings.warn_alpha)),
        Fate::Small => "rose by less than matters".to_owned(),
        Fate::Improved => "improved".to_owned(),
        Fate::Unchanged => "not told from chance".to_owned(),
    }
}

/// A caller that has both ends of a move.
fn within(name: &str, quote: Quote) -> String {
    if name.is_empty() { "the whole".to_owned() } else { (quote.name)(name, NAME) }
}

/// Names, `most` of them at most.
pub(in crate::render) fn list(names: &[String], most: usize, quote: Quote) -> String {
    let listed = names.iter().take(most).map(|name| (quote.name)(name, 60));
    let rest = names.len().saturating_sub(most);
    let more = (rest > 0).then(|| format!("{} more", grouped(rest as u64)));
    listed.chain(more).collect::<Vec<_>>().join(", ")
}

/// A move in words: `a +190 ms ⇆ b, within c, which changed by -3 ms`.
pub(in crate::render) fn moved(moved: &Moved, unit: Unit, quote: Quote) -> String {
    let from = if moved.from.is_empty() { "many".to_owned() } else { list(&moved.from, 5, quote) };
    format!(
        "{} {} ⇆ {from}, within {}, which changed by {}",
        (quote.name)(&moved.to, NAME),
        difference(moved.rise, unit),
        within(&moved.within, quote),
        difference(moved.rest, unit),
    )
}

/// A renaming that is suggested: `a → b: same callers`.
pub(in crate::render) fn renamed(renamed: &Renamed, quote: Quote) -> String {
    let [from, to] = [&renamed.from, &renamed.to].map(|name| (quote.name)(name, NAME));
    format!("{from} → {to}: {}", (quote.sentence)(&renamed.why, SENTENCE))
}

/// What a check found, behind what it looked at.
pub(in crate::render) fn check(check: &Check, quote: Quote) -> String {
    let level = match check.level {
        Level::Note => "",
        Level::Warning => " (warning)",
        Level::Cap => " (cannot pass)",
    };
    format!("{}{level}: {}", check.what, (quote.sentence)(&check.text, SENTENCE))
}

/// How it was told what is chance.
pub(in crate::render) fn method(method: &Method) -> String {
    match method {
        Method::Relabelled { relabellings, is_exact, least_p } => format!(
            "largest moderated t under {} relabellings of the runs ({}), smallest p possible {}",
            grouped(u64::from(*relabellings)),
            if *is_exact { "all that there are" } else { "drawn" },
            chance(*least_p),
        ),
        Method::Holm => "moderated t with Holm's correction, as there are too few runs for relabellings".to_owned(),
        Method::OneRun { noise, history_runs: 0 } => {
            format!("one run a side: {} of noise between runs is assumed, not measured", share(*noise))
        }
        Method::OneRun { noise, history_runs } => format!(
            "one run a side: {} of noise between runs, learned from {} of a history",
            share(*noise),
            count_of(u64::from(*history_runs), "run")
        ),
    }
}

/// The smallest changes that would have been seen: of the whole, and of functions that take about 20, 5 and 1 % of it.
pub(in crate::render) fn visible(comparison: &Comparison, quote: Quote) -> String {
    let least = |visible: f64| match visible {
        of if !of.is_finite() => "any size".to_owned(),
        // At least what the gate demands anyway.
        of => format!("+{}", share((of * 1000.0).round() / 1000.0)),
    };
    let mut text = format!("a change of the whole below {}", least(comparison.total.visible));
    let mut seen: Vec<&str> = Vec::new();
    for share_of in [0.2, 0.05, 0.01_f64] {
        let distance = |row: &Row| (row.share / share_of).ln().abs();
        let near = comparison.rows.iter().filter(|row| distance(row) < std::f64::consts::LN_2);
        let Some(row) = near.min_by(|one, other| distance(one).total_cmp(&distance(other))) else { continue };
        if !seen.contains(&row.function.name.as_str()) {
            seen.push(&row.function.name);
            let share = share((row.share * 1000.0).round() / 1000.0);
            let name = (quote.name)(&row.function.name, NAME);
            text += &format!(", of {name} ({share} of the whole) below {}", least(row.visible));
        }
    }
    text
}

/// How many more runs would help; nothing if that is not known.
pub(in crate::render) fn more_runs(comparison: &Comparison) -> Option<String> {
    let more = comparison.verdict.more_runs.filter(|more| *more > 0)?;
    let least = share(comparison.settings.total_max.unwrap_or(comparison.settings.min_relative));
    Some(format!("{} more a side would probably show +{least} of the whole", count_of(u64::from(more), "run")))
}

/// The robust scale with its factor: `robust (÷ 1.013)`.
pub(in crate::render) fn scale_name(comparison: &Comparison, scale: Scale) -> String {
    match scale {
        Scale::Robust if comparison.robust_factor.is_finite() => format!("robust (÷ {:.3})", comparison.robust_factor),
        _ => scale.name().to_owned(),
    }
}

/// Rows whose fate passes, in their order, the whole first if it does.
pub(super) fn rows<'a>(comparison: &'a Comparison, pass: impl Fn(&Fate) -> bool + 'a) -> impl Iterator<Item = &'a Row> {
    std::iter::once(&comparison.total).chain(&comparison.rows).filter(move |row| pass(&row.fate))
}

/// The functions of one side only, each with what it takes if it was tested: most first, then by name.
pub(in crate::render) fn one_sided(comparison: &Comparison, side: usize) -> Vec<(&str, Option<f64>)> {
    let mut tested: HashMap<&str, f64> = HashMap::new();
    for row in &comparison.rows {
        let value = if side == 0 { row.base } else { row.new };
        let known = tested.entry(&row.function.name).or_insert(value);
        *known = known.max(value);
    }
    let names = comparison.one_sided[side].iter().map(|name| (name.as_str(), tested.get(name.as_str()).copied()));
    let mut names: Vec<_> = names.collect();
    names.sort_by(|one, other| {
        let value = |of: &Option<f64>| of.unwrap_or(-1.0);
        value(&other.1).total_cmp(&value(&one.1)).then_with(|| one.0.cmp(other.0))
    });
    names
}

/// Cells of a text table, each column as wide as its widest; the numbers given are columns that stand at the right.
pub(super) fn aligned(rows: &[Vec<String>], right: &[usize]) -> Vec<String> {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> =
        (0..count).map(|at| rows.iter().filter_map(|row| Some(columns(row.get(at)?))).max().unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            let blanks = " ".repeat(widths[at] - columns(cell));
            let gap = if at == 0 { "" } else { "  " };
            match right.contains(&at) {
                true => line += &format!("{gap}{blanks}{cell}"),
                false => line += &format!("{gap}{cell}{blanks}"),
            }
        }
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_at_a_glance() {
        let check = |of: f64, expected: &str| assert_eq!(change(of), expected);
        check(0.0482, "+4.8 %");
        check(-0.5, "-50.0 %");
        check(0.0042, "+0.42 %");
        check(1.371, "+137 %");
        check(123.0, "+12,300 %");
        check(-0.000_01, "0 %");
        check(f64::INFINITY, "new");
        check(-1.0, "gone");
        check(f64::NAN, "?");
        assert_eq!(interval(&Estimate { low: -0.01, high: f64::INFINITY, ..Estimate::default() }), "[-1.0, +∞]");
    }

    #[test]
    fn numbers_have_the_decimals_that_say_something() {
        assert_eq!(share(0.01), "1 %");
        assert_eq!(share(0.002), "0.2 %");
        assert_eq!(share(0.000_001), "<0.01 %");
        assert_eq!(share(f64::INFINITY), "?");
        assert_eq!(chance(0.0039), "0.004");
        assert_eq!(chance(0.000_01), "<0.0001");
        assert_eq!(chance(1.0), "1.00");
        assert_eq!(value(0.354, Unit::Count), "0.35");
        assert_eq!(value(390_123_456.7, Unit::Nanoseconds), "390 ms");
        assert_eq!(value(f64::NAN, Unit::Bytes), "?");
    }

    #[test]
    fn names_are_bounded_and_no_command_of_a_runner() {
        assert_eq!(shown("a##[error]b\n", 80), "a#\u{fffd}[error]b\u{fffd}");
        let endless = "a".to_owned() + &"\u{301}".repeat(1 << 20);
        assert!(shown(&endless, 80).len() < 1_000);
        assert!(columns(&shown(&"大".repeat(1 << 20), 80)) <= 80);
    }
}
