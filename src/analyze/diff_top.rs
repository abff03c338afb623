//! The functions of two profiles, whoever called them: what each took before, and takes now.

use std::cmp::Reverse;

use rustc_hash::FxHashMap;

use super::diff_tree::{DiffTree, Side};
use super::node::{NodeId, is_function};
use super::top::group_of;
use crate::model::{FrameKind, StringId};

/// What one function took in either profile, over all places where it was called from; a stack with it twice counts once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiffFunction {
    /// Its name, in the names of [`DiffTree::tree`].
    pub name: StringId,
    /// What sort of code it is.
    pub kind: FrameKind,
    /// The first node of it, for its image: of the base's images, if [`DiffTree::is_vanished`] says so.
    pub node: NodeId,
    /// What it took in the base.
    pub base: Side,
    /// What it took in the new profile.
    pub new: Side,
}

impl DiffFunction {
    /// Whether it is of the base alone.
    pub fn is_vanished(&self) -> bool {
        self.new == Side::default()
    }

    /// Whether it is of the new profile alone.
    pub fn is_added(&self) -> bool {
        self.base == Side::default()
    }
}

/// The functions of both profiles, the one whose self value changed most first; then by the change of what they called too, and by name.
///
/// Processes, threads and notes are listed only if samples ended in them.
#[derive(Clone, Debug, PartialEq)]
pub struct DiffTop {
    /// All functions.
    pub functions: Vec<DiffFunction>,
}

impl DiffTop {
    /// Sums up `diff`.
    pub fn build(diff: &DiffTree) -> DiffTop {
        let mut rows: FxHashMap<(StringId, FrameKind), u32> = FxHashMap::default();
        let mut functions: Vec<DiffFunction> = Vec::new();
        // How often each function is on the path from the root to the node looked at.
        let mut open: Vec<u32> = Vec::new();
        let mut path: Vec<(u32, FrameKind)> = Vec::new();
        for (id, node) in diff.tree.nodes.iter().enumerate().skip(1) {
            while path.len() >= node.depth as usize {
                let left = path.pop().expect("the path is not shorter than its length");
                open[left.0 as usize] -= 1;
            }
            // That a compiler has inlined it is no change of what it took.
            let group = group_of(node, path.last().map(|(_, group)| *group));
            let row = *rows.entry((node.name, group)).or_insert_with(|| {
                let (base, new) = (Side::default(), Side::default());
                functions.push(DiffFunction { name: node.name, kind: node.kind, node: id as NodeId, base, new });
                open.push(0);
                functions.len() as u32 - 1
            });
            let function = &mut functions[row as usize];
            let is_outermost = open[row as usize] == 0;
            for (sum, side) in [(&mut function.base, diff.base[id]), (&mut function.new, Side::of(node))] {
                sum.self_value += side.self_value;
                sum.self_samples += side.self_samples;
                if is_outermost {
                    sum.total_value += side.total_value;
                    sum.total_samples += side.total_samples;
                }
            }
            // An image of the new profile says more than one of the base.
            if diff.is_vanished(function.node) && !diff.is_vanished(id as NodeId) {
                function.node = id as NodeId;
            }
            open[row as usize] += 1;
            if function.kind == FrameKind::Inlined {
                function.kind = node.kind;
            }
            path.push((row, group));
        }
        let own = |side: &Side| side.self_value > 0 || side.self_samples > 0;
        functions.retain(|function| is_function(function.kind) || own(&function.base) || own(&function.new));
        functions.sort_by(|a, b| {
            let change = |function: &DiffFunction| {
                let (base, new) = (&function.base, &function.new);
                let of_self = diff.change(base.self_value, new.self_value).abs();
                (of_self, diff.change(base.total_value, new.total_value).abs())
            };
            let name = |function: &DiffFunction| (diff.tree.names.get(function.name), function.kind);
            let ((a_self, a_total), (b_self, b_total)) = (change(a), change(b));
            let by_change = b_self.total_cmp(&a_self).then_with(|| b_total.total_cmp(&a_total));
            let size = |function: &DiffFunction| Reverse(function.base.total_value.max(function.new.total_value));
            by_change.then_with(|| size(a).cmp(&size(b))).then_with(|| name(a).cmp(&name(b)))
        });
        DiffTop { functions }
    }
}

#[cfg(test)]
mod tests {
    use super::super::View;
    use super::super::made::with_event;
    use super::*;
    use crate::model::Unit;

    #[test]
    fn functions_by_change_and_recursion_once() {
        let counts = |lines: &[&str]| with_event(("faults", Unit::Count, None), lines);
        let base = counts(&["p;main;a;b;a 10", "p;main;c 30", "p;main;same 60"]);
        let new = counts(&["p;main;a;b;a 25", "p;main;d 15", "p;main;same 60"]);
        let diff = DiffTree::build(&base, &new, &View::default(), true);
        let top = DiffTop::build(&diff);
        let rows: Vec<_> = top
            .functions
            .iter()
            .map(|of| {
                let values = (of.base.self_value, of.new.self_value, of.base.total_value, of.new.total_value);
                (diff.tree.names.get(of.name), values, of.is_vanished(), of.is_added())
            })
            .collect();
        assert_eq!(
            rows,
            [
                ("c", (30, 0, 30, 0), true, false),
                ("a", (10, 25, 10, 25), false, false),
                ("d", (0, 15, 0, 15), false, true),
                ("b", (0, 0, 10, 25), false, false),
                ("main", (0, 0, 100, 100), false, false),
                ("same", (60, 60, 60, 60), false, false),
            ]
        );
    }
}
