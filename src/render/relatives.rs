//! Who called a function, or what it called, as a tree of text.
//!
//! ```text
//! callees of work: 51.20 % of all, 2.54 s
//!     OF IT    OF ALL      TIME              FUNCTION
//!     100 %   51.20 %    2.54 s  ██████████  work
//!   60.00 %   30.72 %    1.52 s  ██████        parse
//!   40.00 %   20.48 %    1.02 s  ████          (itself)
//! ```
//! A function that is the only one to follow stands below the one before, not further in: most of a stack is a straight line.

use std::io::Write;

use super::bar::{self, Bars};
use super::name::{columns, head, printable};
use super::number::{grouped, percent, quantity};
use super::top::{Color, TopOptions, fit, push_lines, quantity_name, right, widths, write_text};
use crate::analyze::{CallTree, Direction, Relatives};
use crate::error::Result;
use crate::model::{FrameKind, StringId};

/// Relatives of less than this share of the function's value are summed up.
const LEAST: f64 = 0.005;
/// Columns that names are moved in, at most.
const FURTHEST_IN: usize = 40;
/// Rows for each function that a table would have: a tree has several to a function.
const ROWS_EACH: usize = 2;

/// Writes the relatives of the function of this name, as [`super::top::find`] gives it.
pub fn write(
    tree: &CallTree,
    function: StringId,
    direction: Direction,
    options: &TopOptions,
    out: &mut impl Write,
) -> Result<()> {
    write_text(&text(tree, function, direction, options), options, out)
}

/// How wide columns of numbers are at least.
const LEAST_WIDTHS: [usize; 3] = [9, 10, 10];

/// A row that is still to be written.
enum Row {
    Function { row: usize, indent: usize },
    Itself { value: u64, indent: usize },
    Rest { count: usize, value: u64, indent: usize },
}

fn text(tree: &CallTree, function: StringId, direction: Direction, options: &TopOptions) -> String {
    let relatives = Relatives::build(tree, function, direction);
    let nodes = &relatives.nodes;
    let all = nodes[0].value;
    let of_it = |value: u64| if all == 0 { 0.0 } else { value as f64 / all as f64 };
    let color = Color(options.color);
    let word = match direction {
        Direction::Callers => "callers",
        Direction::Callees => "callees",
    };
    let mut text = String::new();
    let name = printable(tree.names.get(function));
    let shown_name = options.width.map_or(name.clone().into_owned(), |width| fit(&name, width.max(12)));
    let share = percent(tree.share(all));
    let line = format!("{word} of {shown_name}: {share} of all, {}", quantity(all, tree.unit));
    push_lines(&mut text, &line, options.width);
    let has_bar = options.bars != Bars::None && options.width.is_none_or(|width| width >= 60);
    let most_rows = options.limit.map_or(usize::MAX, |limit| limit.saturating_mul(ROWS_EACH));
    let (mut rows, mut left_out) = (Vec::new(), 0);
    let mut pending = vec![Row::Function { row: 0, indent: 0 }];
    while let Some(next) = pending.pop() {
        if rows.len() >= most_rows {
            left_out += 1;
            continue;
        }
        let (kind, indent, value, name) = match next {
            Row::Function { row, indent } => {
                let node = &nodes[row];
                follow(&relatives, row, indent, of_it, direction, &mut pending);
                (node.kind, indent, node.value, printable(tree.names.get(node.name)).into_owned())
            }
            Row::Itself { value, indent } => (FrameKind::Note, indent, value, "(itself)".to_owned()),
            Row::Rest { count, value, indent } => {
                (FrameKind::Note, indent, value, format!("({} more)", grouped(count as u64)))
            }
        };
        let numbers = [percent(of_it(value)), percent(tree.share(value)), quantity(value, tree.unit)];
        rows.push((numbers, kind, indent.min(FURTHEST_IN), of_it(value), name));
    }
    let widths = widths(LEAST_WIDTHS, rows.iter().map(|(numbers, ..)| numbers));
    let line = |numbers: &[String; 3], bar: &str| {
        let numbers: String = numbers.iter().zip(widths).map(|(number, width)| right(number, width)).collect();
        if has_bar { format!("{numbers}  {bar}  ") } else { numbers + "  " }
    };
    let title = ["OF IT", "OF ALL", quantity_name(tree)].map(str::to_owned);
    let title = line(&title, &" ".repeat(bar::WIDTH));
    let before = columns(&title);
    let title = title + "FUNCTION";
    text.push_str(&format!("{}\n", color.bold(options.width.map_or(&*title, |width| head(&title, width)))));
    for (numbers, kind, indent, share, name) in rows {
        let name = match options.width {
            None => name,
            Some(width) => fit(&name, width.saturating_sub(before + indent)),
        };
        let bar = color.of(kind, &bar::bar(share, share, options.bars));
        let row = format!("{}{:indent$}{}", line(&numbers, &bar), "", color.of(kind, &name));
        match options.width {
            Some(width) if before + indent + columns(&name) > width => {
                text.push_str(&format!("{}\n", head(&numbers[0], width)));
            }
            _ => text.push_str(&format!("{}\n", row.trim_end())),
        }
    }
    if left_out > 0 {
        push_lines(&mut text, &format!("{} more rows, with what follows on them", grouped(left_out)), options.width);
    }
    text
}

/// Adds what follows on a row, the first to be written last.
fn follow(
    relatives: &Relatives,
    row: usize,
    indent: usize,
    of_it: impl Fn(u64) -> f64,
    direction: Direction,
    pending: &mut Vec<Row>,
) {
    let node = &relatives.nodes[row];
    let shown = node.next.iter().take_while(|next| of_it(relatives.nodes[**next].value) >= LEAST).count();
    let rest = &node.next[shown..];
    let has_own = direction == Direction::Callees && node.own_value > 0 && !node.next.is_empty();
    let is_straight = shown == 1 && rest.is_empty() && !has_own && row != 0;
    let indent = if is_straight { indent } else { indent + 2 };
    if !rest.is_empty() {
        let value = rest.iter().map(|next| relatives.nodes[*next].value).sum();
        pending.push(Row::Rest { count: rest.len(), value, indent });
    }
    // In order of value, as the others.
    let own_at = node.next[..shown].partition_point(|next| relatives.nodes[*next].value >= node.own_value);
    for at in (0..=shown).rev() {
        if at < shown {
            pending.push(Row::Function { row: node.next[at], indent });
        }
        if has_own && at == own_at {
            pending.push(Row::Itself { value: node.own_value, indent });
        }
    }
}
