//! One function, and who called it or what it called, as a tree of its own.
//!
//! ```text
//! main         main                  callers of work         callees of work
//!   serve        batch                 work 5                  work 5, itself 2
//!     work 2       work                  batch 3                 log 3
//!                    log 3                 main 3
//!                                        serve 2
//! ```
//! Each stack counts once, at its outermost frame of the function: where that calls itself, the inner frames are among the callees.
//! Who woke a thread has called nothing, so their frames are not looked for.

use rustc_hash::FxHashMap;

use super::call_tree::CallTree;
use super::node::NodeId;
use super::view::Direction;
use crate::model::{FrameKind, StringId, off_cpu};

/// One relative: a function on one particular way from the root.
#[derive(Clone, Debug, PartialEq)]
pub struct Relative {
    /// Its name, in [`CallTree::names`].
    pub name: StringId,
    /// What sort of code it is.
    pub kind: FrameKind,
    /// The value of the stacks that lead through it.
    pub value: u64,
    /// The value of those that end in it; of callers, of those that begin with it.
    pub own_value: u64,
    /// Rows of [`Relatives::nodes`]: the heaviest first, equal ones by name.
    pub next: Vec<usize>,
}

/// The relatives of one function.
#[derive(Clone, Debug, PartialEq)]
pub struct Relatives {
    /// All; row 0 is the function itself, with all its value.
    pub nodes: Vec<Relative>,
}

impl Relatives {
    /// Those of the function of this name, of whatever kind; its value is 0 if no stack has it.
    pub fn build(tree: &CallTree, function: StringId, direction: Direction) -> Relatives {
        let mut growth = Growth { nodes: Vec::new(), of: FxHashMap::default() };
        growth.nodes.push(Relative { name: function, kind: FrameKind::User, value: 0, own_value: 0, next: Vec::new() });
        let mut at = 1;
        while let Some(node) = tree.nodes.get(at) {
            // Whatever stands above the mark is who woke the thread.
            let is_waker = node.kind == FrameKind::OffCpu && tree.names.get(node.name) == off_cpu::WOKEN_BY;
            if is_waker {
                at = node.end as usize;
            } else if node.name == function && node.kind != FrameKind::Task {
                if growth.nodes[0].value == 0 {
                    growth.nodes[0].kind = node.kind;
                }
                match direction {
                    Direction::Callers => growth.callers(tree, at as NodeId),
                    Direction::Callees => growth.callees(tree, at as NodeId),
                }
                at = node.end as usize;
            } else {
                at += 1;
            }
        }
        let mut nodes = growth.nodes;
        for row in 0..nodes.len() {
            let mut next = std::mem::take(&mut nodes[row].next);
            next.sort_by(|a, b| {
                let name = |row: usize| (tree.names.get(nodes[row].name), nodes[row].kind);
                nodes[*b].value.cmp(&nodes[*a].value).then_with(|| name(*a).cmp(&name(*b)))
            });
            nodes[row].next = next;
        }
        Relatives { nodes }
    }
}

struct Growth {
    nodes: Vec<Relative>,
    of: FxHashMap<(usize, StringId, FrameKind), usize>,
}

impl Growth {
    fn callers(&mut self, tree: &CallTree, node: NodeId) {
        let value = tree.nodes[node as usize].total_value;
        self.nodes[0].value += value;
        let (mut row, mut at) = (0, tree.nodes[node as usize].parent);
        // The root of all is nobody's caller.
        while at != 0 {
            row = self.next(row, tree, at);
            self.nodes[row].value += value;
            at = tree.nodes[at as usize].parent;
        }
        self.nodes[row].own_value += value;
    }

    fn callees(&mut self, tree: &CallTree, first: NodeId) {
        let end = tree.nodes[first as usize].end;
        let mut rows: Vec<usize> = Vec::new();
        for at in first..end {
            let node = &tree.nodes[at as usize];
            let row = match at {
                at if at == first => 0,
                _ => self.next(rows[(node.parent - first) as usize], tree, at),
            };
            self.nodes[row].value += node.total_value;
            self.nodes[row].own_value += node.self_value;
            rows.push(row);
        }
    }

    fn next(&mut self, row: usize, tree: &CallTree, at: NodeId) -> usize {
        let node = &tree.nodes[at as usize];
        *self.of.entry((row, node.name, node.kind)).or_insert_with(|| {
            let new = self.nodes.len();
            self.nodes.push(Relative { name: node.name, kind: node.kind, value: 0, own_value: 0, next: Vec::new() });
            self.nodes[row].next.push(new);
            new
        })
    }
}
