//! Everything that a comparison knows of one function: why it fails, or why it does not.

use super::ReportOptions;
use super::words::{self, PLAIN, aligned};
use crate::analyze::names_like;
use crate::error::{Error, ErrorKind, Result};
use crate::gate::{Comparison, Fate, Part, Row, Scale, Side};
use crate::model::Unit;
use crate::render::name::{columns, shorten};
use crate::render::number::{count_of, grouped};
use crate::render::top::{Color, TopOptions, push_lines, write_text};

/// How many functions are explained, if so many have the text in their names.
const EXPLAINED: usize = 10;
/// How wide the dots of a side are.
const DOTS: usize = 60;

/// What is known of the function of this name, else of those whose name has it in it; `total` is everything.
///
/// # Errors
///
/// If there is none; the hint lists names that may be meant.
pub fn explain(comparison: &Comparison, name: &str, options: &ReportOptions, style: &TopOptions) -> Result<String> {
    let of_name = |pass: &dyn Fn(&str) -> bool| -> Vec<&Row> {
        comparison.rows.iter().filter(|row| pass(&row.function.name)).collect()
    };
    let mut rows = of_name(&|function| function == name);
    if rows.is_empty() && ["total", "the whole"].contains(&name) {
        rows = vec![&comparison.total];
    }
    if rows.is_empty() && !name.is_empty() {
        rows = of_name(&|function| function.contains(name));
    }
    let mut names: Vec<&str> = Vec::new();
    rows.iter().map(|row| row.function.name.as_str()).for_each(|name| {
        if !names.contains(&name) {
            names.push(name);
        }
    });
    let page = Page { comparison, options, style, color: Color(style.color) };
    let mut text = String::new();
    for name in names.iter().take(EXPLAINED) {
        for row in rows.iter().filter(|row| row.function.name == *name) {
            text += &page.row(row);
        }
    }
    if names.len() > EXPLAINED {
        text += &format!("{} more have it in their names\n", grouped((names.len() - EXPLAINED) as u64));
    }
    if rows.is_empty() {
        text = untested(comparison, name).ok_or_else(|| unknown(comparison, name))?;
    }
    let mut out = Vec::new();
    write_text(&text, style, &mut out)?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// What is said of a function that one side has alone and that has too few samples.
fn untested(comparison: &Comparison, name: &str) -> Option<String> {
    let at = comparison.one_sided.iter().position(|names| names.iter().any(|of| of == name))?;
    let side = if at == 0 { "base" } else { "new side" };
    let shown = words::shown(name, 200);
    let mut text = format!("function {shown}: on the {side} only, and with too few samples to be tested\n");
    let renamed = comparison.renamed.iter().filter(|of| of.from == name || of.to == name);
    renamed.for_each(|renamed| text += &format!("  renamed?  {}\n", words::renamed(renamed, PLAIN)));
    Some(text)
}

fn unknown(comparison: &Comparison, name: &str) -> Error {
    let rows = comparison.rows.iter().map(|row| row.function.name.as_str());
    let one_sided = comparison.one_sided.iter().flatten().map(String::as_str);
    let names = |near: &[&str]| near.iter().map(|name| words::shown(name, 60)).collect::<Vec<_>>().join(", ");
    let near = names_like(rows.clone().chain(one_sided), name);
    let untested = match comparison.untested {
        0 => String::new(),
        count => format!("; {} had too few samples to be tested", count_of(u64::from(count), "function")),
    };
    let hint = match (near.is_empty(), comparison.rows.is_empty()) {
        (false, _) => format!("there are {}", names(&near)),
        (true, false) => {
            let mut first: Vec<&str> = Vec::new();
            rows.for_each(|name| {
                if first.len() < 5 && !first.contains(&name) {
                    first.push(name);
                }
            });
            format!("those that matter most are {}", names(&first))
        }
        (true, true) => "no function was tested at all; --explain total is about everything".to_owned(),
    };
    let message = format!("no function that was tested has {} in its name", words::shown(name, 200));
    Error::new(ErrorKind::NotFound, message).with_hint(hint + &untested)
}

struct Page<'a> {
    comparison: &'a Comparison,
    options: &'a ReportOptions,
    style: &'a TopOptions,
    color: Color,
}

impl Page<'_> {
    fn row(&self, row: &Row) -> String {
        let comparison = self.comparison;
        let settings = &comparison.settings;
        let mut text = String::new();
        let part = match row.part {
            Part::Everything => "everything".to_owned(),
            _ => format!("function {}", words::named(row)),
        };
        let place = words::place(row, self.options.workspace.as_deref(), PLAIN);
        text += &format!("{}\n", self.color.bold(shorten(&part, self.style.width.unwrap_or(240)).as_ref()));
        let mut fact = |about: &str, of: String| {
            if !of.is_empty() {
                push_lines(&mut text, &format!("- {about}: {of}"), self.style.width);
            }
        };
        fact("fate", words::fate(comparison, row, PLAIN));
        let into = row.inlined_into.as_ref().map(|into| words::shown(&into.name, 200));
        fact("inlined into", into.unwrap_or_default());
        fact("where", place);
        fact(
            "mean",
            format!(
                "{} {}; {} of the base",
                words::from_to(row, comparison.unit),
                words::measure(comparison, PLAIN),
                words::share(row.share),
            ),
        );
        fact("of all that the base takes", words::of_total(row));
        let [base, new] = row.samples;
        fact("filter", format!("tested, with {base:.0} and {new:.0} samples a run"));
        fact("limits", self.limits(row));
        fact("shift test", self.shift(row));
        if let Some(entry) = allowed(row).and_then(|at| settings.allowed.get(at)) {
            fact("accepted by", words::allowed(comparison, entry, PLAIN));
        }
        let visible = match row.visible {
            of if of.is_finite() => format!("+{} in four of five comparisons", words::share(of)),
            _ => "none, whatever its size".to_owned(),
        };
        fact("smallest rise that would have been seen", visible);
        text += &self.scales(row);
        text += &self.dots(row);
        text + "\n"
    }

    /// How much it would have to rise to fail, and which rule says so.
    fn limits(&self, row: &Row) -> String {
        let comparison = self.comparison;
        let settings = &comparison.settings;
        let rule = row.rule.and_then(|at| settings.rules.get(at));
        let of_rule = rule.and_then(|rule| match row.part {
            Part::Own => rule.self_max,
            Part::Inclusive => rule.inclusive_max,
            Part::Everything => None,
        });
        let least = match row.part {
            Part::Everything => settings.total_max.unwrap_or(settings.min_relative),
            _ => of_rule.unwrap_or(settings.min_relative),
        };
        let absolute = match row.part {
            Part::Everything => String::new(),
            _ => format!(" and {} of the whole", words::share(settings.min_absolute)),
        };
        let rule = match rule {
            Some(rule) => words::rule(comparison, rule, PLAIN),
            None => "no rule is about it".to_owned(),
        };
        let alpha = words::share(settings.alpha);
        let margin = words::margin(settings).map(|margin| format!(" of more than +{margin}")).unwrap_or_default();
        format!("it fails from +{}{absolute} at adjusted p ≤ {alpha}{margin}; {rule}", words::share(least))
    }

    /// Whether its rise is offset within a caller.
    fn shift(&self, row: &Row) -> String {
        let comparison = self.comparison;
        let by_fate = match row.fate {
            Fate::Moved(at) => comparison.moved.get(at),
            _ => None,
        };
        let moved = by_fate.or_else(|| comparison.moved.iter().find(|moved| moved.to == row.function.name));
        let gave = comparison.moved.iter().find(|moved| moved.from.contains(&row.function.name));
        match moved.or(gave) {
            Some(moved) => words::moved(moved, comparison.unit, PLAIN),
            None if row.part == Part::Everything => String::new(),
            None => "no caller in which a change of it is offset".to_owned(),
        }
    }

    fn scales(&self, row: &Row) -> String {
        let mut cells = vec![
            ["SCALE (* THE GATE'S)", "CHANGE", "95 %", "T", "P OF A RISE", "P OF A FALL"].map(str::to_owned).to_vec(),
        ];
        for scale in Scale::ALL {
            let of = row.on(scale);
            let mark = if scale == self.comparison.settings.scale { "*" } else { "" };
            cells.push(vec![
                words::scale_name(self.comparison, scale) + mark,
                words::change(of.change),
                words::interval(of),
                format!("{:.2}", of.t),
                words::chance(of.p),
                words::chance(of.p_less),
            ]);
        }
        self.table(&cells, &[1, 2, 3, 4, 5])
    }

    /// The value of each run, and where it lies among all.
    fn dots(&self, row: &Row) -> String {
        let comparison = self.comparison;
        let unit = comparison.unit;
        let of = |side: Side| -> Vec<(&str, f64)> {
            let runs = comparison.runs.iter().zip(&row.runs).filter(|((of, _), _)| *of == side);
            runs.map(|((_, run), value)| (run.label.as_str(), *value)).collect()
        };
        let sides = [Side::Base, Side::New].map(|side| (side, of(side)));
        let values =
            sides.iter().flat_map(|(_, runs)| runs.iter().map(|(_, value)| *value)).filter(|of| of.is_finite());
        let (least, most) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), of| (least.min(of), most.max(of)));
        if least > most {
            return String::new();
        }
        let width = self.style.width.map_or(DOTS, |width| width.saturating_sub(30).clamp(10, DOTS));
        let mut text = String::new();
        for (side, runs) in &sides {
            let mean = if *side == Side::Base { row.base } else { row.new };
            let plot = plot(runs.iter().map(|(_, value)| *value), least, most, width);
            text += &format!("{:4} |{plot}| {}\n", side.name(), words::value(mean, unit));
        }
        let (left, right) = (words::value(least, unit), words::value(most, unit));
        let gap = " ".repeat((width + 2).saturating_sub(columns(&left) + columns(&right)));
        text += &format!("     {left}{gap}{right}\n");
        for (side, runs) in &sides {
            let values = runs
                .iter()
                .take(100)
                .map(|(label, value)| format!("{} {}", words::shown(label, 40), number(*value, unit)));
            let more = runs.len().saturating_sub(100);
            let more = (more > 0).then(|| format!("{} more", grouped(more as u64)));
            let values: Vec<String> = values.chain(more).collect();
            push_lines(&mut text, &format!("{}: {}", side.name(), values.join(", ")), self.style.width);
        }
        text
    }

    fn table(&self, cells: &[Vec<String>], right: &[usize]) -> String {
        let lines = aligned(cells, right);
        let width = self.style.width.unwrap_or(usize::MAX);
        let lines = lines.iter().map(|line| crate::render::name::head(line, width).to_owned());
        lines.fold(String::new(), |text, line| format!("{text}{line}\n"))
    }
}

/// The entry that accepts a row.
fn allowed(row: &Row) -> Option<usize> {
    match row.fate {
        Fate::Allowed(at) => Some(at),
        _ => None,
    }
}

/// A run's value with a digit more than a mean has: runs are to be told apart.
fn number(of: f64, unit: Unit) -> String {
    match (unit, of) {
        (Unit::Nanoseconds, of) if (1e6..1e9).contains(&of) => format!("{:.2} ms", of / 1e6),
        (Unit::Nanoseconds, of) if of >= 1e9 => format!("{:.4} s", of / 1e9),
        _ => words::value(of, unit),
    }
}

/// Dots at their places between `least` and `most`; where several are, their number.
fn plot(values: impl Iterator<Item = f64>, least: f64, most: f64, width: usize) -> String {
    let mut counts = vec![0_usize; width];
    for value in values.filter(|value| value.is_finite()) {
        let share = if most > least { (value - least) / (most - least) } else { 0.5 };
        let at = (share * (width - 1) as f64).round() as usize;
        counts[at.min(width - 1)] += 1;
    }
    let sign = |count: &usize| match *count {
        0 => ' ',
        1 => 'o',
        count => u32::try_from(count).ok().and_then(|count| char::from_digit(count, 10)).unwrap_or('#'),
    };
    counts.iter().map(sign).collect()
}

#[cfg(test)]
mod tests {
    use super::super::made::{HOSTILE, golden, hostile, large, regression};
    use super::*;

    fn explained(comparison: &Comparison, name: &str) -> Result<String> {
        explain(comparison, name, &ReportOptions::default(), &TopOptions::default())
    }

    #[test]
    fn a_function_is_told_of_whole() {
        golden("explain.txt", &explained(&regression(), "crc").unwrap());
        let check = |name: &str, says: &str| {
            let text = explained(&regression(), name).unwrap();
            assert!(text.contains(says), "{name}: {text}");
        };
        check(
            "codec::decode<T>",
            "rule profile.toml:12: function codec::**: self at most +5 %, with callees at most +3 %",
        );
        check("codec::decode<T>", "it fails from +3 % and 0.2 % of the whole at adjusted p ≤ 1 %");
        check("sum_in_parent", "- shift test: sum_in_parent +190 ms ⇆ sum, within handle");
        check(
            "parser::validate",
            "- accepted by: allowed profile.toml:21: function parser::validate: up to +15 % until 2026-12-31: CVE fix, #812",
        );
        check("tests::slow", "- fate: not gated, by profile.toml:17");
        check("handle", "- fate: explained by crc");
        check("total", "everything\n- fate: explained by crc");
        check("tiny_old", "on the base only, and with too few samples to be tested");
        check("decode", "function codec::decode<T> (with callees)");
    }

    #[test]
    fn near_names_are_suggested() {
        let error = explained(&regression(), "handel").unwrap_err();
        assert_eq!(error.to_string(), "no function that was tested has handel in its name");
        assert_eq!(error.hint(), Some("there are handle; 14 functions had too few samples to be tested"));
        let error = explained(&regression(), "xyzzy").unwrap_err();
        assert!(error.hint().unwrap().starts_with("those that matter most are crc, codec::decode<T>, "));
    }

    #[test]
    fn names_are_no_lines_of_their_own() {
        let made = hostile();
        for name in HOSTILE {
            let text = explained(&made, name).unwrap();
            for line in text.lines() {
                assert!(
                    !line.starts_with("::") && !line.contains("##") && !line.chars().any(char::is_control),
                    "{line}"
                );
            }
        }
        let text = explained(&large(), "a").unwrap();
        assert!(text.contains(" more have it in their names"));
    }

    #[test]
    fn dots_are_where_runs_are() {
        assert_eq!(plot([1.0, 2.0, 2.0, 3.0].into_iter(), 1.0, 3.0, 5), "o 2 o");
        assert_eq!(plot([2.0; 12].into_iter(), 2.0, 2.0, 3), " # ");
        assert_eq!(plot([f64::NAN, f64::INFINITY].into_iter(), 0.0, 1.0, 2), "  ");
    }
}
