//! The top table: the functions that took most, for a terminal.

use std::io::Write;

use super::name::{base_name, columns, printable, shorten};
use super::number::{grouped, percent, quantity};
use super::summary::warnings;
use crate::analyze::{CallTree, Function, Top};
use crate::error::{Error, Result};
use crate::model::{CaptureStats, FrameKind, Origin, Profile, Unit};

/// How the table is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopOptions {
    /// The terminal's width; names are shortened to it. Without one they are written whole.
    pub width: Option<usize>,
    /// Colours, by escape sequences.
    pub color: bool,
    /// At most so many functions; the rest is summed up in a line.
    pub limit: Option<usize>,
}

/// Writes the functions of `tree`, those with the most self value first.
pub fn write(tree: &CallTree, profile: &Profile, options: &TopOptions, out: &mut impl Write) -> Result<()> {
    let text = table(tree, profile, options);
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Error::io("cannot write the table", error))
}

/// Columns before the name: `100.00 %  100.00 %  1,234 ms  1,234,567  `.
const BEFORE_NAME: usize = 9 + 10 + 10 + 11 + 2;
/// A name's column is as wide as the longest name, but no wider than this if nothing is known of the terminal.
const WIDEST_NAME: usize = 80;
const NARROWEST_NAME: usize = 12;

fn table(tree: &CallTree, profile: &Profile, options: &TopOptions) -> String {
    let top = Top::build(tree);
    let shown = &top.functions[..top.functions.len().min(options.limit.unwrap_or(usize::MAX))];
    let cells: Vec<(String, String)> = shown.iter().map(|function| cells(tree, profile, function)).collect();
    let widest = |texts: &mut dyn Iterator<Item = &String>| texts.map(|text| columns(text)).max().unwrap_or(0);
    let mut name_width = widest(&mut cells.iter().map(|(name, _)| name)).clamp(8, WIDEST_NAME);
    let mut module_width = widest(&mut cells.iter().map(|(_, module)| module));
    if let Some(width) = options.width {
        let free = width.saturating_sub(BEFORE_NAME).max(NARROWEST_NAME);
        module_width = module_width.min(free / 3);
        name_width = name_width.max(free).min(free.saturating_sub(module_width + 2)).max(NARROWEST_NAME);
    }
    let color = Color(options.color);
    let mut text = String::new();
    for line in header(tree, &profile.stats) {
        let line = options.width.map_or(line.clone(), |width| shorten(&line, width).into_owned());
        text.push_str(&format!("{line}\n"));
    }
    let unit = quantity_name(tree);
    let head = format!("{:>9}{:>10}{unit:>10}{:>11}  {}", "SELF", "TOTAL", "SAMPLES", pad("FUNCTION", name_width));
    text.push_str(&format!("{}\n", color.bold(format!("{head}  MODULE").trim_end())));
    for (function, (name, module)) in shown.iter().zip(&cells) {
        let whole = options.width.is_none();
        let name = if whole { name.into() } else { shorten(name, name_width) };
        let module = if whole { module.into() } else { shorten(module, module_width) };
        text.push_str(&format!(
            "{:>9}{:>10}{:>10}{:>11}  {}\n",
            percent(tree.share(function.self_value)),
            percent(tree.share(function.total_value)),
            quantity(function.self_value, tree.unit),
            grouped(function.self_samples),
            color.of(function.kind, format!("{}  {module}", pad(&name, name_width)).trim_end()),
        ));
    }
    let rest = &top.functions[shown.len()..];
    if !rest.is_empty() {
        let value = rest.iter().map(|function| function.self_value).sum();
        let samples = rest.iter().map(|function| function.self_samples).sum();
        text.push_str(&format!(
            "{:>9}{:>10}{:>10}{:>11}  {} more\n",
            percent(tree.share(value)),
            "",
            quantity(value, tree.unit),
            grouped(samples),
            grouped(rest.len() as u64),
        ));
    }
    text
}

fn cells(tree: &CallTree, profile: &Profile, function: &Function) -> (String, String) {
    let image = function.image.and_then(|image| profile.images.get(image.index()));
    let module = image.map_or("", |image| base_name(profile.strings.get(image.path)));
    (printable(tree.names.get(function.name)).into_owned(), printable(module).into_owned())
}

fn header(tree: &CallTree, stats: &CaptureStats) -> Vec<String> {
    let root = tree.root();
    let mut lines = vec![format!(
        "{}: {} in {} samples; {} lost, coverage {}, complete {}, unnamed {}",
        printable(if tree.event.is_empty() { "no event" } else { &tree.event }),
        quantity(root.total_value, tree.unit),
        grouped(root.total_samples),
        grouped(stats.lost),
        stats.coverage.map_or("not known".to_owned(), percent),
        if stats.origin == Origin::Stacks { "not known".to_owned() } else { percent(stats.complete) },
        percent(stats.unnamed_total()),
    )];
    lines.extend(warnings(stats).into_iter().map(|warning| format!("warning: {warning}")));
    lines.extend(stats.notes.iter().map(|note| format!("note: {}", printable(note))));
    lines
}

fn quantity_name(tree: &CallTree) -> &'static str {
    match tree.unit {
        Unit::Nanoseconds => "TIME",
        Unit::Count => "COUNT",
        Unit::Bytes => "BYTES",
    }
}

pub(super) fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(columns(text))))
}

/// Escape sequences, if they are wanted.
pub(super) struct Color(pub bool);

impl Color {
    pub fn bold(&self, text: &str) -> String {
        self.sequence("1", text)
    }

    pub fn of(&self, kind: FrameKind, text: &str) -> String {
        match kind {
            FrameKind::User => text.to_owned(),
            FrameKind::Kernel => self.sequence("34", text),
            FrameKind::Inlined => self.sequence("33", text),
            FrameKind::Jit => self.sequence("32", text),
            FrameKind::OffCpu => self.sequence("35", text),
            FrameKind::Task | FrameKind::Note => self.sequence("2", text),
        }
    }

    /// More is orange, less is blue.
    pub fn of_change(&self, change: f64, text: &str) -> String {
        match change {
            _ if change > 0.0 => self.sequence("33", text),
            _ if change < 0.0 => self.sequence("34", text),
            _ => text.to_owned(),
        }
    }

    fn sequence(&self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
