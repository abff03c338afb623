//! The functions of two profiles by how much their share changed, for a terminal.
//!
//! ```text
//!      BASE       NEW    CHANGE  IN TOTAL        FUNCTION
//!   30.00 %       0 %    -30.00    -30.00  gone  parse       it is in no stack of the new profile
//!   10.00 %   25.00 %    +15.00    +15.00        copy
//! ```
//!
//! `BASE` and `NEW` are shares of self value, `CHANGE` is the one less the other in percentage points, and `IN TOTAL` is that of the
//! function with all that it called. If counts are normalised, each side's shares are of its own total; else all are of the base's.

use std::io::Write;

use crate::analyze::{DiffFunction, DiffTop, DiffTree, Side};
use crate::error::{Error, Result};
use crate::model::Profile;
use crate::render::name::{base_name, columns, printable, shorten};
use crate::render::number::{count_of, grouped, percent, quantity};
use crate::render::top::{Color, TopOptions, pad, right, widths};
use crate::render::warnings;

/// How wide columns of numbers are at least.
const LEAST_WIDTHS: [usize; 4] = [9, 10, 10, 10];
/// Columns between these and the name.
const MARK: usize = 2 + 4 + 2;
/// A name's column is as wide as the longest name, but no wider than this if nothing is known of the terminal.
const WIDEST_NAME: usize = 80;
const NARROWEST_NAME: usize = 12;

/// Writes the functions of `diff`, those whose share of self value changed most first.
pub fn write(diff: &DiffTree, base: &Profile, new: &Profile, options: &TopOptions, out: &mut impl Write) -> Result<()> {
    let text = table(diff, base, new, options);
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Error::io("cannot write the table", error))
}

fn table(diff: &DiffTree, base: &Profile, new: &Profile, options: &TopOptions) -> String {
    let top = DiffTop::build(diff);
    let shown = &top.functions[..top.functions.len().min(options.limit.unwrap_or(usize::MAX))];
    let cells: Vec<(String, String)> = shown.iter().map(|function| cells(diff, base, new, function)).collect();
    let widest = |texts: &mut dyn Iterator<Item = &String>| texts.map(|text| columns(text)).max().unwrap_or(0);
    let mut name_width = widest(&mut cells.iter().map(|(name, _)| name)).clamp(8, WIDEST_NAME);
    let mut module_width = widest(&mut cells.iter().map(|(_, module)| module));
    let rows = shown.iter().map(|function| {
        let changes = [|side: &Side| side.self_value, |side: &Side| side.total_value];
        let [in_self, in_total] = changes.map(|value| points(change(diff, value, function)));
        let shares = (diff.base_share(function.base.self_value), diff.new_share(function.new.self_value));
        [percent(shares.0), percent(shares.1), in_self, in_total]
    });
    let rows: Vec<[String; 4]> = rows.collect();
    let widths = widths(LEAST_WIDTHS, rows.iter());
    let before_name = widths.iter().sum::<usize>() + MARK;
    if let Some(width) = options.width {
        let free = width.saturating_sub(before_name).max(NARROWEST_NAME);
        module_width = module_width.min(free / 3);
        name_width = name_width.max(free).min(free.saturating_sub(module_width + 2)).max(NARROWEST_NAME);
    }
    let color = Color(options.color);
    let mut text = String::new();
    for line in header(diff, base, new) {
        let line = options.width.map_or(line.clone(), |width| shorten(&line, width).into_owned());
        text.push_str(&format!("{line}\n"));
    }
    let title = ["BASE", "NEW", "CHANGE", "IN TOTAL"];
    let title: String = title.iter().zip(widths).map(|(name, width)| right(name, width)).collect();
    let head = format!("{title}{:MARK$}{}", "", pad("FUNCTION", name_width));
    text.push_str(&format!("{}\n", color.bold(format!("{head}  MODULE").trim_end())));
    for ((function, numbers), (name, module)) in shown.iter().zip(&rows).zip(&cells) {
        let whole = options.width.is_none();
        let name = if whole { name.into() } else { shorten(name, name_width) };
        let module = if whole { module.into() } else { shorten(module, module_width) };
        let in_self = change(diff, |side| side.self_value, function);
        let mark = match (function.is_vanished(), function.is_added()) {
            (true, _) => "gone",
            (_, true) => "new",
            _ => "",
        };
        text.push_str(&format!(
            "{}{}{}{}  {mark:4}  {}\n",
            right(&numbers[0], widths[0]),
            right(&numbers[1], widths[1]),
            color.of_change(in_self, &right(&numbers[2], widths[2])),
            right(&numbers[3], widths[3]),
            color.of(function.kind, format!("{}  {module}", pad(&name, name_width)).trim_end()),
        ));
    }
    if let Some(first) = top.functions.get(shown.len()) {
        let rest = (top.functions.len() - shown.len()) as u64;
        let most = points(change(diff, |side| side.self_value, first).abs());
        let most = most.trim_start_matches('+');
        text.push_str(&format!("{:before_name$}{} more, which changed by {most} or less\n", "", grouped(rest)));
    }
    text
}

/// By how much a function's share changed, as a part of the whole.
fn change(diff: &DiffTree, value: impl Fn(&Side) -> u64, function: &DiffFunction) -> f64 {
    let (base, new) = (value(&function.base), value(&function.new));
    let all = diff.base_total as f64 * diff.scale;
    if all > 0.0 { diff.change(base, new) / all } else { 0.0 }
}

/// A change of a share in percentage points, `+1.23`; what is not nothing is not shown as nothing.
fn points(change: f64) -> String {
    let shown = format!("{:+.2}", change * 100.0);
    match shown.as_str() {
        // The sum of values in floating point: less than one sample of any recording is.
        "+0.00" | "-0.00" if change.abs() < 1e-12 => "0".to_owned(),
        "+0.00" => "+<0.01".to_owned(),
        "-0.00" => "-<0.01".to_owned(),
        _ => shown,
    }
}

fn cells(diff: &DiffTree, base: &Profile, new: &Profile, function: &DiffFunction) -> (String, String) {
    let profile = if diff.is_vanished(function.node) { base } else { new };
    let image = diff.tree.place(function.node).image.and_then(|image| profile.images.get(image.index()));
    let module = image.map_or("", |image| base_name(profile.strings.get(image.path)));
    (printable(diff.tree.names.get(function.name)).into_owned(), printable(module).into_owned())
}

fn header(diff: &DiffTree, base: &Profile, new: &Profile) -> Vec<String> {
    let tree = &diff.tree;
    let side = |value: u64, samples: u64| format!("{} in {}", quantity(value, tree.unit), count_of(samples, "sample"));
    let (old, root) = (&diff.base[0], tree.root());
    let mut lines = vec![format!(
        "{}: base {}, new {}",
        printable(if tree.event.is_empty() { "no event" } else { &tree.event }),
        side(old.total_value, old.total_samples),
        side(root.total_value, root.total_samples),
    )];
    for (name, profile) in [("base", base), ("new", new)] {
        lines.extend(warnings(&profile.stats).into_iter().map(|warning| format!("warning: {name}: {warning}")));
        lines.extend(profile.stats.notes.iter().map(|note| format!("note: {name}: {}", printable(note))));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::points;

    #[test]
    fn a_change_is_not_shown_as_none() {
        let check = |change: f64, expected: &str| assert_eq!(points(change), expected);
        check(0.1234, "+12.34");
        check(-1.0, "-100.00");
        check(0.00001, "+<0.01");
        check(-0.00001, "-<0.01");
        check(0.0, "0");
        check(-1e-15, "0");
    }
}
