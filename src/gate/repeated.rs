//! Which suspects say again what others have said: `main`, `run` and `serve` rose because one function did, and are three more rows of a list.

use super::comparison::{Fate, Part, Row};
use super::table::Table;
use crate::analyze::RunTree;

/// A caller is worth a row of its own if what is known below it has less than this part of its rise.
const MOST: f64 = 0.5;

/// Marks those of `rows`, which are in the order of the table's lines, that others explain. Of each node there is what ended in it, the mean of
/// base and new.
pub(super) fn mark(tree: &RunTree, table: &Table<'_>, own: &[[f64; 2]], rows: &mut [Row]) {
    if rows.iter().any(|row| row.fate == Fate::Suspect && row.part != Part::Own) {
        repeated(tree, table, own, rows).into_iter().for_each(|row| rows[row].is_repeated = true);
    }
}

fn repeated(tree: &RunTree, table: &Table<'_>, own: &[[f64; 2]], rows: &[Row]) -> Vec<usize> {
    let nodes = &tree.nodes[..];
    let is_known = |row: &Row| matches!(row.fate, Fate::Regression | Fate::Suspect);
    let of = |part: Part| (0..rows.len()).filter(move |at| rows[*at].part == part && is_known(&rows[*at]));
    let function = |at: usize| table.lines[at].function;
    let mut is_cause = vec![false; tree.functions.len()];
    of(Part::Own).filter_map(function).for_each(|function| is_cause[function as usize] = true);
    let mut covered: Vec<bool> =
        nodes.iter().enumerate().map(|(at, node)| at > 0 && is_cause[node.own as usize]).collect();
    // How far from the root a function is: of a caller that takes nothing itself and what it calls, that is what tells the inner one.
    let mut depths = vec![0u32; nodes.len()];
    let mut least = vec![u32::MAX; is_cause.len()];
    for at in 1..nodes.len() {
        depths[at] = depths[nodes[at].parent as usize] + 1;
        let least = &mut least[nodes[at].function as usize];
        *least = (*least).min(depths[at]);
    }
    let mut callers: Vec<(usize, u32)> = of(Part::Inclusive).filter_map(|at| Some((at, function(at)?))).collect();
    callers.sort_by(|a, b| {
        let size = |row: &Row| row.base.max(row.new);
        let order = size(&rows[a.0]).total_cmp(&size(&rows[b.0]));
        order.then(least[b.1 as usize].cmp(&least[a.1 as usize])).then(a.0.cmp(&b.0))
    });
    let rise = |is_wanted: &dyn Fn(usize) -> bool| -> f64 {
        (0..nodes.len()).filter(|at| is_wanted(*at)).map(|at| own[at][1] - own[at][0]).sum()
    };
    let is_explained = |all: f64, known: f64| all > 0.0 && known >= MOST * all;
    let mut repeated = Vec::new();
    for (row, function) in callers {
        let under = tree.under(function);
        let known = rise(&|at| under[at] && covered[at]);
        match rows[row].fate == Fate::Suspect && is_explained(rise(&|at| under[at]), known) {
            true => repeated.push(row),
            false => covered.iter_mut().zip(under).for_each(|(covered, under)| *covered |= under),
        }
    }
    let everything = rows.iter().position(|row| row.part == Part::Everything && row.fate == Fate::Suspect);
    repeated.extend(everything.filter(|_| is_explained(rise(&|_| true), rise(&|at| covered[at]))));
    repeated
}
