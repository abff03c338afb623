//! The functions of two profiles, whoever called them: what each took before, and takes now.

use std::cmp::Reverse;

use super::diff_tree::{DiffTree, Side};
use super::function_rows::FunctionRows;
use super::node::{NodeId, is_function};
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
/// Processes, threads and notes are listed only if samples ended in them. A wait is in the function that waited, as in [`super::Top`].
#[derive(Clone, Debug, PartialEq)]
pub struct DiffTop {
    /// All functions.
    pub functions: Vec<DiffFunction>,
}

impl DiffTop {
    /// Sums up `diff`.
    pub fn build(diff: &DiffTree) -> DiffTop {
        let mut functions: Vec<DiffFunction> = Vec::new();
        let mut rows = FunctionRows::new(&diff.tree);
        for (id, node) in diff.tree.nodes.iter().enumerate().skip(1) {
            let at = rows.place(node);
            if at.is_new {
                let (base, new) = (Side::default(), Side::default());
                functions.push(DiffFunction { name: node.name, kind: node.kind, node: id as NodeId, base, new });
            }
            let sides = [diff.base[id], Side::of(node)];
            let own = &mut functions[at.own as usize];
            for (sum, side) in [&mut own.base, &mut own.new].into_iter().zip(sides) {
                sum.self_value += side.self_value;
                sum.self_samples += side.self_samples;
            }
            if !at.is_counted {
                continue;
            }
            let function = &mut functions[at.row as usize];
            if at.is_outermost {
                for (sum, side) in [&mut function.base, &mut function.new].into_iter().zip(sides) {
                    sum.total_value += side.total_value;
                    sum.total_samples += side.total_samples;
                }
            }
            // An image of the new profile says more than one of the base.
            if diff.is_vanished(function.node) && !diff.is_vanished(id as NodeId) {
                function.node = id as NodeId;
            }
            if function.kind == FrameKind::Inlined {
                function.kind = node.kind;
            }
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

    #[test]
    fn a_wait_is_of_who_waited() {
        let waits = |lines: &[&str]| with_event(("off-cpu", Unit::Nanoseconds, None), lines);
        let base = waits(&[
            "p;main;read;pipe_read_[k];schedule_[k];__schedule_[k] 10",
            "p;main;lock;__schedule_[k];[runnable] 5",
        ]);
        let new = waits(&[
            "p;main;read;pipe_read_[k];schedule_[k];__schedule_[k] 30",
            "p;main;lock;__schedule_[k];[runnable] 5",
        ]);
        let diff = DiffTree::build(&base, &new, &View::default(), false);
        let own = DiffTop::build(&diff).functions;
        let own: Vec<_> = own.iter().filter(|of| of.base.self_value > 0).collect();
        let rows = own.iter().map(|of| (diff.tree.names.get(of.name), of.base.self_value, of.new.self_value));
        assert_eq!(rows.collect::<Vec<_>>(), [("pipe_read", 10, 30), ("lock", 5, 5)]);
    }
}
