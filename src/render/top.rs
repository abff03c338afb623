//! The top table, for a terminal: the functions that took most, or who called one and what it called.

use std::io::Write;

use super::bar::{self, Bars};
use super::label;
use super::name::{base_name, columns, head, printable, shorten};
use super::number::{grouped, percent, quantity};
use super::summary::warnings;
use crate::analyze::{CallTree, Function, Top, functions_like};
use crate::error::{Error, Result};
use crate::model::{CaptureStats, FrameKind, Origin, Profile, StringId, Unit};

/// How the table is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopOptions {
    /// The terminal's width; no line is longer, names are shortened to it. Without one they are written whole.
    pub width: Option<usize>,
    /// Colours, by escape sequences.
    pub color: bool,
    /// At most so many functions; the rest is summed up in a line.
    pub limit: Option<usize>,
    /// What bars are drawn with; with [`Bars::Ascii`] nothing but names has other signs than ASCII's.
    pub bars: Bars,
}

/// Writes the functions of `tree`, those with the most self value first.
pub fn write(tree: &CallTree, profile: &Profile, options: &TopOptions, out: &mut impl Write) -> Result<()> {
    write_text(&table(tree, profile, options), options, out)
}

pub(super) fn write_text(text: &str, options: &TopOptions, out: &mut impl Write) -> Result<()> {
    let ascii = (options.bars == Bars::Ascii).then(|| ascii(text));
    out.write_all(ascii.as_deref().unwrap_or(text).as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Error::io("cannot write the table", error))
}

/// Signs that not every terminal has, by such as do.
fn ascii(text: &str) -> String {
    const SIGNS: [(char, &str); 9] = [
        ('…', "~"),
        ('µ', "u"),
        ('→', "->"),
        ('·', "-"),
        ('α', "alpha"),
        ('÷', "/"),
        ('⇆', "<->"),
        ('≤', "<="),
        ('∞', "inf"),
    ];
    SIGNS.iter().fold(text.to_owned(), |text, (sign, ascii)| text.replace(*sign, ascii))
}

/// The function that is meant by `name`: that of this very name, else the only one whose name has it in it.
///
/// # Errors
///
/// If there is none, or are several: the hint lists those that it may mean, those that took most first.
pub fn find(tree: &CallTree, name: &str) -> Result<StringId> {
    /// How many are listed.
    const LISTED: usize = 8;
    let mut functions = Top::build(tree).functions;
    functions.retain(|function| function.kind != FrameKind::Task);
    functions.sort_by_key(|function| std::cmp::Reverse(function.total_value));
    let mut names: Vec<StringId> = Vec::new();
    for function in functions.iter().map(|function| function.name) {
        let text = tree.names.get(function);
        if text == name {
            return Ok(function);
        }
        if text.contains(name) && !names.contains(&function) {
            names.push(function);
        }
    }
    let list = |names: &[StringId]| {
        let listed = names.iter().take(LISTED).map(|name| shorten(&printable(tree.names.get(*name)), 60).into_owned());
        let more = names.len().saturating_sub(LISTED);
        let more = (more > 0).then(|| format!("and {} more", grouped(more as u64)));
        listed.chain(more).collect::<Vec<_>>().join(", ")
    };
    match names[..] {
        [only] => Ok(only),
        [] => {
            let all: Vec<StringId> = functions.iter().map(|function| function.name).collect();
            let kind = crate::error::ErrorKind::NotFound;
            let error = Error::new(kind, format!("no function has {name:.200} in its name"));
            let near = functions_like(tree, name);
            let near =
                near.iter().map(|name| shorten(&printable(name), 60).into_owned()).collect::<Vec<_>>().join(", ");
            Err(match (all.is_empty(), near.is_empty()) {
                (true, _) => error.with_hint("there are no functions at all"),
                (_, false) => error.with_hint(format!("there are {near}")),
                _ => error.with_hint(format!("those that took most are {}", list(&all))),
            })
        }
        _ => {
            let count = grouped(names.len() as u64);
            let message = format!("{count} functions have {name:.200} in their names, and none has it for its name");
            Err(Error::new(crate::error::ErrorKind::Usage, message).with_hint(format!("say which: {}", list(&names))))
        }
    }
}

/// Which columns stand before the name: as many as leave room for it.
#[derive(Clone, Copy, Debug)]
struct Columns {
    total: bool,
    value: bool,
    samples: bool,
    bar: bool,
    /// How wide those of numbers are, shown or not: self, total, value, samples.
    widths: [usize; 4],
}

impl Columns {
    /// `100.00 %  100.00 %  1,234 ms  1,234,567  ██████████  `.
    fn width(self) -> usize {
        let [own, total, value, samples] = self.widths;
        let bar = if self.bar { bar::WIDTH + 2 } else { 0 };
        let part = |is_shown: bool, width: usize| width * usize::from(is_shown);
        own + part(self.total, total) + part(self.value, value) + part(self.samples, samples) + bar + 2
    }

    fn choose(options: &TopOptions, widths: [usize; 4]) -> Columns {
        let all = Columns { total: true, value: true, samples: true, bar: options.bars != Bars::None, widths };
        let fewer = [
            all,
            Columns { samples: false, ..all },
            Columns { samples: false, value: false, ..all },
            Columns { samples: false, value: false, bar: false, ..all },
        ];
        let Some(width) = options.width else { return all };
        let room = |columns: &Columns| if columns.samples { ROOM_BESIDE_SAMPLES } else { ROOM };
        let fitting = fewer.into_iter().find(|columns| columns.width() + room(columns) <= width);
        fitting.unwrap_or(Columns { total: false, value: false, samples: false, bar: false, ..all })
    }

    /// The numbers of a row, and the bar.
    fn line(self, numbers: &[String; 4], bar: &str) -> String {
        let mut line = String::new();
        for ((is_shown, width), cell) in
            [true, self.total, self.value, self.samples].into_iter().zip(self.widths).zip(numbers)
        {
            if is_shown {
                line.push_str(&right(cell, width));
            }
        }
        if self.bar {
            line.push_str(&format!("  {bar}"));
        }
        line + "  "
    }
}

/// How wide columns of numbers are at least, with what is between them.
const LEAST_WIDTHS: [usize; 4] = [9, 10, 10, 11];

/// How wide columns of numbers are: as wide as their widest with two blanks before it, and no narrower than `least`.
pub(super) fn widths<'a, const N: usize>(least: [usize; N], rows: impl Iterator<Item = &'a [String; N]>) -> [usize; N] {
    rows.fold(least, |widths, row| {
        std::array::from_fn(|column| widths[column].max(columns(&row[column]) + 2 * usize::from(column > 0)))
    })
}

/// A number at the right of its column.
pub(super) fn right(number: &str, width: usize) -> String {
    format!("{number:>width$}")
}

/// Columns that a name and its module must have before another number is shown.
const ROOM: usize = 36;
/// The same for the number that says least.
const ROOM_BESIDE_SAMPLES: usize = 56;
/// A name's column is as wide as the longest name, but no wider than this if nothing is known of the terminal.
const WIDEST_NAME: usize = 80;

fn table(tree: &CallTree, profile: &Profile, options: &TopOptions) -> String {
    let top = Top::build(tree);
    let shown = &top.functions[..top.functions.len().min(options.limit.unwrap_or(usize::MAX))];
    let cells: Vec<(String, String)> = shown.iter().map(|function| cells(tree, profile, function)).collect();
    let widest = |texts: &mut dyn Iterator<Item = &String>| texts.map(|text| columns(text)).max().unwrap_or(0);
    let mut name_width = widest(&mut cells.iter().map(|(name, _)| name)).clamp(8, WIDEST_NAME);
    let mut module_width = widest(&mut cells.iter().map(|(_, module)| module));
    let numbers = |own: f64, total: Option<f64>, value: u64, samples: u64| {
        [percent(own), total.map_or_else(String::new, percent), quantity(value, tree.unit), grouped(samples)]
    };
    let rows = shown.iter().map(|function| {
        let (own, total) = (tree.share(function.self_value), tree.share(function.total_value));
        numbers(own, Some(total), function.self_value, function.self_samples)
    });
    let rows: Vec<[String; 4]> = rows.collect();
    let rest = &top.functions[shown.len()..];
    let of_rest = rest.iter().fold((0, 0), |(value, samples), function| {
        (u64::saturating_add(value, function.self_value), u64::saturating_add(samples, function.self_samples))
    });
    let of_rest = numbers(tree.share(of_rest.0), None, of_rest.0, of_rest.1);
    let title = ["SELF", "TOTAL", quantity_name(tree), "SAMPLES"].map(str::to_owned);
    let shape = Columns::choose(options, widths(LEAST_WIDTHS, rows.iter().chain([&of_rest])));
    if let Some(width) = options.width {
        let free = width.saturating_sub(shape.width());
        module_width = if free < ROOM { 0 } else { module_width.min(free / 3) };
        let behind = if module_width > 0 { module_width + 2 } else { 0 };
        name_width = name_width.max(free).min(free.saturating_sub(behind));
    }
    let color = Color(options.color);
    let mut text = String::new();
    for line in header(tree, &profile.stats, &top) {
        push_lines(&mut text, &line, options.width);
    }
    let fits = |line: String| options.width.map_or(line.clone(), |width| head(&line, width).to_owned());
    let bar_head = pad("SELF+TOTAL", bar::WIDTH);
    let names = shape.line(&title, &bar_head) + &pad("FUNCTION", name_width);
    let names = if module_width > 0 || options.width.is_none() { names + "  MODULE" } else { names };
    text.push_str(&format!("{}\n", color.bold(fits(names).trim_end())));
    for ((function, numbers), (name, module)) in shown.iter().zip(&rows).zip(&cells) {
        let (name, module) = match options.width {
            None => (name.clone(), module.clone()),
            Some(_) => (fit(name, name_width), shorten(module, module_width).into_owned()),
        };
        let (own, total) = (tree.share(function.self_value), tree.share(function.total_value));
        let bar = color.of(function.kind, &bar::bar(own, total, options.bars));
        let named = format!("{}  {module}", pad(&name, name_width));
        let row = match options.width {
            // Too narrow for anything but numbers.
            Some(width) if name_width == 0 => head(&right(&numbers[0], shape.widths[0]), width).to_owned(),
            _ => format!("{}{}", shape.line(numbers, &bar), color.of(function.kind, named.trim_end())),
        };
        text.push_str(&format!("{}\n", row.trim_end()));
    }
    if !rest.is_empty() {
        let bar = pad("", if shape.bar { bar::WIDTH } else { 0 });
        let line = format!("{}{} more", shape.line(&of_rest, &bar), grouped(rest.len() as u64));
        text.push_str(&format!("{}\n", fits(line)));
    }
    text
}

/// A name in `width` columns, by the rules of pictures: what tells functions apart goes last.
pub(super) fn fit(name: &str, width: usize) -> String {
    match label::fit(name, width) {
        Some(label) => label.into_owned(),
        None => shorten(name, width).into_owned(),
    }
}

/// A line, or several if it is longer than the terminal is wide: it breaks between words, and goes on further in.
pub(super) fn push_lines(text: &mut String, line: &str, width: Option<usize>) {
    let Some(width) = width else { return text.push_str(&format!("{line}\n")) };
    /// A note can be megabytes long.
    const MOST_LINES: usize = 6;
    let line = shorten(line, (width * MOST_LINES).saturating_sub(2 * width / 3));
    let mut current = String::new();
    // A number stays with its unit.
    let is_unit = |word: &str| matches!(word.trim_end_matches([',', ')', ';']), "%" | "s" | "ms" | "µs" | "ns");
    let mut words: Vec<String> = Vec::new();
    for word in line.split(' ') {
        match words.last_mut() {
            Some(last) if is_unit(word) => *last += &format!(" {word}"),
            _ => words.push(word.to_owned()),
        }
    }
    for word in &words {
        let word = shorten(word, width.saturating_sub(2));
        if !current.is_empty() && columns(&current) + 1 + columns(&word) > width {
            text.push_str(&format!("{current}\n"));
            current = format!("  {word}");
        } else {
            current = if current.is_empty() { word.into_owned() } else { format!("{current} {word}") };
        }
    }
    text.push_str(&format!("{}\n", head(&current, width)));
}

fn cells(tree: &CallTree, profile: &Profile, function: &Function) -> (String, String) {
    let image = function.image.and_then(|image| profile.images.get(image.index()));
    let module = image.map_or("", |image| base_name(profile.strings.get(image.path)));
    (printable(tree.names.get(function.name)).into_owned(), printable(module).into_owned())
}

fn header(tree: &CallTree, stats: &CaptureStats, top: &Top) -> Vec<String> {
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
    if !top.waits.is_empty() {
        let part = |(what, value): &(crate::analyze::Waiting, u64)| {
            format!("{} {} ({})", percent(tree.share(*value)), what.as_str(), quantity(*value, tree.unit))
        };
        lines.push(format!("threads were: {}", top.waits.iter().map(part).collect::<Vec<_>>().join(", ")));
    }
    lines.extend(warnings(stats).into_iter().map(|warning| format!("warning: {warning}")));
    lines.extend(stats.notes.iter().map(|note| format!("note: {}", printable(note))));
    lines
}

pub(super) fn quantity_name(tree: &CallTree) -> &'static str {
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
