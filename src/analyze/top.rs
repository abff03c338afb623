//! The functions of a profile, whoever called them.
//!
//! A function is one row, whether it was called or inlined: who looks for where time goes has written it once. Functions of the kernel,
//! of a JIT and of programs are apart; what was inlined belongs to the code that it is in.
//!
//! A wait is in the function that waited: the marks of time off the CPU (`[runnable]`, `[off-CPU]`, ...) are no functions, neither are
//! those of who woke the thread, and the kernel's scheduler, in which every wait ends, passes it on to its caller (`analyze/waiter.rs`).
//! How the time divides by the marks is [`Top::waits`].

use rustc_hash::FxHashMap;

use super::call_tree::CallTree;
use super::function_rows::{FunctionRows, bit};
use super::node::{Node, is_function};
use crate::model::{FrameKind, ImageId, StringId, off_cpu};

/// What one function took, over all places where it was called from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Function {
    /// Its name, in [`CallTree::names`].
    pub name: StringId,
    /// What sort of code it is: [`FrameKind::Inlined`] if it was nowhere called.
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

/// What a thread did, or waited for, in a part of the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Waiting {
    /// It ran.
    OnCpu,
    /// It waited for something, and got it.
    Blocked,
    /// It could have run, and waited for a CPU.
    Runnable,
    /// It waited when the recording began.
    BlockedBefore,
    /// It waited when the recording ended.
    StillBlocked,
}

impl Waiting {
    /// It in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Waiting::OnCpu => "on the CPU",
            Waiting::Blocked => "blocked",
            Waiting::Runnable => "waiting for a CPU",
            Waiting::BlockedBefore => "blocked since before",
            Waiting::StillBlocked => "still blocked at the end",
        }
    }
}

/// The functions of a call tree, the one with the most self value first, equal ones by name.
///
/// Processes, threads and notes are no functions; they are listed only if samples ended in them.
#[derive(Clone, Debug, PartialEq)]
pub struct Top {
    /// All functions.
    pub functions: Vec<Function>,
    /// How the value divides by what threads did, without parts of nothing; empty if the tree shows no time off the CPU.
    pub waits: Vec<(Waiting, u64)>,
}

impl Top {
    /// Sums up `tree`.
    pub fn build(tree: &CallTree) -> Top {
        let mut functions: Vec<Function> = Vec::new();
        let mut by_marks: FxHashMap<u32, u64> = FxHashMap::default();
        let mut rows = FunctionRows::new(tree);
        for node in &tree.nodes[1..] {
            let at = rows.place(node);
            if at.is_new {
                functions.push(function(node));
            }
            *by_marks.entry(at.marks).or_default() += node.self_value;
            let own = &mut functions[at.own as usize];
            own.self_value += node.self_value;
            own.self_samples += node.self_samples;
            if !at.is_counted {
                continue;
            }
            let function = &mut functions[at.row as usize];
            if at.is_outermost {
                function.total_value += node.total_value;
                function.total_samples += node.total_samples;
            }
            let image = tree.places[node.place as usize].image;
            function.image = function.image.into_iter().chain(image).min();
            if function.kind == FrameKind::Inlined {
                function.kind = node.kind;
            }
        }
        functions.retain(|function| is_function(function.kind) || function.self_value > 0 || function.self_samples > 0);
        functions.sort_unstable_by(|a, b| {
            let name = |function: &Function| (tree.names.get(function.name), function.kind);
            b.self_value.cmp(&a.self_value).then_with(|| name(a).cmp(&name(b)))
        });
        Top { functions, waits: waits(rows.is_wait_unmarked(), &by_marks) }
    }
}

fn waits(is_wait_unmarked: bool, by_marks: &FxHashMap<u32, u64>) -> Vec<(Waiting, u64)> {
    if !is_wait_unmarked && by_marks.keys().all(|marks| *marks == 0) {
        return Vec::new();
    }
    let has = |marks: u32, name: &str| marks & bit(name) != 0;
    let mut sums = std::collections::BTreeMap::new();
    for (marks, value) in by_marks {
        let waiting = match *marks {
            0 if !is_wait_unmarked => Waiting::OnCpu,
            marks if has(marks, off_cpu::RUNNABLE) => Waiting::Runnable,
            marks if has(marks, off_cpu::STILL_BLOCKED) => Waiting::StillBlocked,
            marks if has(marks, off_cpu::BLOCKED_BEFORE) => Waiting::BlockedBefore,
            _ => Waiting::Blocked,
        };
        *sums.entry(waiting).or_insert(0) += value;
    }
    sums.into_iter().filter(|(_, value)| *value > 0).collect()
}

fn function(node: &Node) -> Function {
    Function {
        name: node.name,
        kind: node.kind,
        self_value: 0,
        total_value: 0,
        self_samples: 0,
        total_samples: 0,
        image: None,
    }
}
