//! Into which function of the program code was inlined that changed: `<u32>::wrapping_mul` alone tells nobody where to look.

use rustc_hash::FxHashMap;

use super::comparison::{Part, Row};
use super::table::{Table, facts};
use crate::analyze::{RunNode, RunTree};
use crate::model::FrameKind;

/// Nothing is around it: the stack is cut there.
const NONE: u32 = u32::MAX;

/// Says of `rows`, which are in the order of the table's lines, into which function that has most of their change they were inlined. Of each node
/// of the tree there is the mean of base and new, what ended there and with all below.
pub(super) fn place(tree: &RunTree, table: &Table<'_>, [own, inclusive]: [&[[f64; 2]]; 2], rows: &mut [Row]) {
    let nodes = &tree.nodes[..];
    let mut is_somewhere_inlined = vec![false; tree.functions.len()];
    nodes.iter().filter(|node| node.is_inlined).for_each(|node| is_somewhere_inlined[node.function as usize] = true);
    let around = around(tree);
    let mut changes: FxHashMap<(u32, Part), FxHashMap<u32, f64>> = FxHashMap::default();
    let mut add = |function: u32, part: Part, node: usize, [base, new]: [f64; 2]| {
        if is_somewhere_inlined[function as usize] && base + new > 0.0 {
            *changes.entry((function, part)).or_default().entry(around[node]).or_default() += new - base;
        }
    };
    for (at, node) in nodes.iter().enumerate().skip(1) {
        if node.is_outermost {
            add(node.function, Part::Inclusive, at, inclusive[at]);
        }
        if own[at] != [0.0; 2] {
            add(node.own, Part::Own, of_function(nodes, at, node.own), own[at]);
        }
    }
    for (row, line) in rows.iter_mut().zip(&table.lines) {
        let Some(function) = line.function else { continue };
        let Some(by_function) = changes.get(&(function, line.part)) else { continue };
        let sign = if row.of_total < 0.0 { -1.0 } else { 1.0 };
        let name = |of: u32| tree.functions.get(of as usize).map(|of| (tree.names.get(of.name), of.kind));
        let most = by_function.iter().max_by(|a, b| {
            let order = (sign * a.1).total_cmp(&(sign * b.1));
            order.then_with(|| name(*b.0).cmp(&name(*a.0)))
        });
        let of = most
            .and_then(|(of, _)| tree.functions.get(*of as usize))
            .filter(|_| most.map(|of| of.0) != Some(&function));
        row.inlined_into = of.map(|of| facts(tree, of));
    }
}

/// Of each node the function whose code it is: its own, or of what is inlined that of the first caller which is not.
fn around(tree: &RunTree) -> Vec<u32> {
    let mut around = vec![NONE; tree.nodes.len()];
    for (at, node) in tree.nodes.iter().enumerate().skip(1) {
        let kind = tree.functions[node.function as usize].kind;
        around[at] = match node.is_inlined {
            true => around[node.parent as usize],
            false if matches!(kind, FrameKind::User | FrameKind::Kernel | FrameKind::Jit) => node.function,
            false => NONE,
        };
    }
    around
}

/// The node of `function` in which `node` is: what waited is of another function than that in which it ended.
fn of_function(nodes: &[RunNode], node: usize, function: u32) -> usize {
    let mut at = node;
    while at > 0 && nodes[at].function != function {
        at = nodes[at].parent as usize;
    }
    at
}
