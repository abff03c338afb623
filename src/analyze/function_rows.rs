//! Which row of a table of functions a node of a tree belongs to, of one profile or of two.

use rustc_hash::FxHashMap;

use super::call_tree::CallTree;
use super::node::Node;
use super::waiter::{Outer, Waiter};
use crate::model::{FrameKind, StringId, off_cpu};

/// The rows that a walk of a tree has found. A function is one row, whether it was called or inlined; functions of the kernel, of a JIT and of
/// programs are apart.
pub(super) struct FunctionRows<'a> {
    tree: &'a CallTree,
    waiter: Waiter<'a>,
    rows: FxHashMap<(StringId, FrameKind), u32>,
    /// How often each function is on the path from the root to the node looked at.
    open: Vec<u32>,
    path: Vec<Step>,
}

/// Where the walk is: a node on the path from the root.
#[derive(Clone, Copy)]
struct Step {
    /// Its function, or that which waited.
    row: u32,
    group: FrameKind,
    /// Whose a wait is that ends here.
    outer: Outer,
    /// Whether that function is counted once more on this path.
    is_counted: bool,
    marks: u32,
}

/// The place of a node in the table.
pub(super) struct InRow {
    /// The row of its function; of the marks of a wait, that of the function which they follow.
    pub row: u32,
    /// The row of the function which has what ended in the node.
    pub own: u32,
    /// Whether `row` is one more than there were.
    pub is_new: bool,
    /// Whether the node is a function, and no mark that follows one.
    pub is_counted: bool,
    /// Whether the function is nowhere else on the path: a stack that has it twice counts once.
    pub is_outermost: bool,
    /// What sort of code that function is; what was inlined is of the sort of its caller.
    pub group: FrameKind,
    /// The marks of time off the CPU on the path, a bit each in the order of [`off_cpu::NAMES`]; 0 for none.
    pub marks: u32,
}

impl<'a> FunctionRows<'a> {
    /// No rows yet.
    pub fn new(tree: &'a CallTree) -> FunctionRows<'a> {
        let waiter = Waiter::new(tree);
        FunctionRows { tree, waiter, rows: FxHashMap::default(), open: Vec::new(), path: Vec::new() }
    }

    /// Whether what has no mark waited too.
    pub fn is_wait_unmarked(&self) -> bool {
        self.waiter.is_wait_unmarked
    }

    /// The place of the next node in pre-order; the root is left out.
    pub fn place(&mut self, node: &Node) -> InRow {
        while self.path.len() >= node.depth as usize {
            let left = self.path.pop().expect("the path is not shorter than its length");
            self.open[left.row as usize] -= u32::from(left.is_counted);
        }
        let caller = self.path.last().copied();
        let marks = caller.map_or(0, |caller| caller.marks) | mark_of(self.tree, node);
        let known = self.open.len();
        let step = match caller {
            // The wait is in the function that waited.
            Some(caller) if marks != 0 => Step { is_counted: false, marks, ..caller },
            _ => {
                let group = group_of(node, caller.map(|caller| caller.group));
                let row = *self.rows.entry((node.name, group)).or_insert(known as u32);
                if row as usize == known {
                    self.open.push(0);
                }
                let outer = self.waiter.outer(node, row, caller.map(|caller| (caller.group, caller.outer)));
                Step { row, group, outer, is_counted: true, marks }
            }
        };
        self.path.push(step);
        let open = &mut self.open[step.row as usize];
        let is_outermost = step.is_counted && *open == 0;
        *open += u32::from(step.is_counted);
        let is_wait = marks != 0 || self.waiter.is_wait_unmarked;
        let own = if is_wait { step.outer.of(step.row) } else { step.row };
        InRow {
            row: step.row,
            own,
            is_new: self.open.len() > known,
            is_counted: step.is_counted,
            is_outermost,
            group: step.group,
            marks,
        }
    }
}

/// The bit of the mark that a node is; 0 if it is none.
fn mark_of(tree: &CallTree, node: &Node) -> u32 {
    if node.kind != FrameKind::OffCpu {
        return 0;
    }
    bit(tree.names.get(node.name))
}

/// One that is not known is a wait all the same: it has the bit behind all others.
pub(super) fn bit(name: &str) -> u32 {
    1 << off_cpu::NAMES.iter().position(|known| *known == name).unwrap_or(off_cpu::NAMES.len())
}

/// Which code a function belongs to: what is inlined to that of its caller.
fn group_of(node: &Node, caller: Option<FrameKind>) -> FrameKind {
    match (node.kind, caller) {
        (FrameKind::Inlined, Some(caller @ (FrameKind::Kernel | FrameKind::Jit))) => caller,
        (FrameKind::Inlined, _) => FrameKind::User,
        (kind, _) => kind,
    }
}
