//! The functions of a profile, whoever called them.

use rustc_hash::FxHashMap;

use super::call_tree::{CallTree, Node};
use crate::model::{FrameKind, ImageId, StringId};

/// What one function took, over all places where it was called from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Function {
    /// Its name, in [`CallTree::names`].
    pub name: StringId,
    /// What sort of code it is.
    pub kind: FrameKind,
    /// Value of the samples that were in it.
    pub self_value: u64,
    /// Value of the samples that were in it or in what it called; a stack with it twice counts once.
    pub total_value: u64,
    /// Number of samples that were in it.
    pub self_samples: u64,
    /// Number of samples that were in it or in what it called.
    pub total_samples: u64,
    /// What its code is in; the first, if functions of several images share the name.
    pub image: Option<ImageId>,
}

/// The functions of a call tree, the one with the most self value first, equal ones by name.
///
/// Processes, threads and notes are no functions; they are listed only if samples ended in them.
#[derive(Clone, Debug, PartialEq)]
pub struct Top {
    /// All functions.
    pub functions: Vec<Function>,
}

impl Top {
    /// Sums up `tree`.
    pub fn build(tree: &CallTree) -> Top {
        let mut rows: FxHashMap<(StringId, FrameKind), u32> = FxHashMap::default();
        let mut functions: Vec<Function> = Vec::new();
        // How often each function is on the path from the root to the node looked at.
        let mut open: Vec<u32> = Vec::new();
        let mut path: Vec<u32> = Vec::new();
        for node in &tree.nodes[1..] {
            while path.len() >= node.depth as usize {
                let left = path.pop().expect("the path is not shorter than its length");
                open[left as usize] -= 1;
            }
            let row = *rows.entry((node.name, node.kind)).or_insert_with(|| {
                functions.push(function(node));
                open.push(0);
                functions.len() as u32 - 1
            });
            let function = &mut functions[row as usize];
            function.self_value += node.self_value;
            function.self_samples += node.self_samples;
            if open[row as usize] == 0 {
                function.total_value += node.total_value;
                function.total_samples += node.total_samples;
            }
            function.image = function.image.into_iter().chain(node.image).min();
            open[row as usize] += 1;
            path.push(row);
        }
        functions.retain(|function| is_function(function.kind) || function.self_value > 0 || function.self_samples > 0);
        functions.sort_unstable_by(|a, b| {
            let name = |function: &Function| (tree.names.get(function.name), function.kind);
            b.self_value.cmp(&a.self_value).then_with(|| name(a).cmp(&name(b)))
        });
        Top { functions }
    }
}

/// Whether code is shown, and no task or note.
pub(super) fn is_function(kind: FrameKind) -> bool {
    match kind {
        FrameKind::Task | FrameKind::Note | FrameKind::OffCpu => false,
        FrameKind::User | FrameKind::Kernel | FrameKind::Inlined | FrameKind::Jit => true,
    }
}

fn function(node: &Node) -> Function {
    Function {
        name: node.name,
        kind: node.kind,
        self_value: 0,
        total_value: 0,
        self_samples: 0,
        total_samples: 0,
        image: node.image,
    }
}
