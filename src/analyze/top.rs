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
use super::node::{Node, is_function};
use super::waiter::{Outer, Waiter};
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
    /// The marks on the path, a bit each in the order of [`off_cpu::NAMES`]; 0 for none.
    marks: u32,
}

impl Top {
    /// Sums up `tree`.
    pub fn build(tree: &CallTree) -> Top {
        let mut rows: FxHashMap<(StringId, FrameKind), u32> = FxHashMap::default();
        let mut functions: Vec<Function> = Vec::new();
        // How often each function is on the path from the root to the node looked at.
        let mut open: Vec<u32> = Vec::new();
        let mut path: Vec<Step> = Vec::new();
        let mut by_marks: FxHashMap<u32, u64> = FxHashMap::default();
        let waiter = Waiter::new(tree);
        for node in &tree.nodes[1..] {
            while path.len() >= node.depth as usize {
                let left = path.pop().expect("the path is not shorter than its length");
                open[left.row as usize] -= u32::from(left.is_counted);
            }
            let caller = path.last().copied();
            let mark = mark_of(tree, node);
            let marks = caller.map_or(0, |caller| caller.marks) | mark;
            let step = match caller {
                // The wait is in the function that waited.
                Some(caller) if marks != 0 => Step { is_counted: false, marks, ..caller },
                _ => {
                    let group = group_of(node, caller.map(|caller| caller.group));
                    let row = *rows.entry((node.name, group)).or_insert_with(|| {
                        functions.push(function(node));
                        open.push(0);
                        functions.len() as u32 - 1
                    });
                    let outer = waiter.outer(node, row, caller.map(|caller| (caller.group, caller.outer)));
                    Step { row, group, outer, is_counted: true, marks }
                }
            };
            *by_marks.entry(marks).or_default() += node.self_value;
            let is_wait = marks != 0 || waiter.is_wait_unmarked;
            let own = &mut functions[if is_wait { step.outer.of(step.row) } else { step.row } as usize];
            own.self_value += node.self_value;
            own.self_samples += node.self_samples;
            let function = &mut functions[step.row as usize];
            if step.is_counted {
                if open[step.row as usize] == 0 {
                    function.total_value += node.total_value;
                    function.total_samples += node.total_samples;
                }
                let image = tree.places[node.place as usize].image;
                function.image = function.image.into_iter().chain(image).min();
                if function.kind == FrameKind::Inlined {
                    function.kind = node.kind;
                }
                open[step.row as usize] += 1;
            }
            path.push(step);
        }
        functions.retain(|function| is_function(function.kind) || function.self_value > 0 || function.self_samples > 0);
        functions.sort_unstable_by(|a, b| {
            let name = |function: &Function| (tree.names.get(function.name), function.kind);
            b.self_value.cmp(&a.self_value).then_with(|| name(a).cmp(&name(b)))
        });
        Top { functions, waits: waits(&waiter, &by_marks) }
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
fn bit(name: &str) -> u32 {
    1 << off_cpu::NAMES.iter().position(|known| *known == name).unwrap_or(off_cpu::NAMES.len())
}

/// Which code a function belongs to: what is inlined to that of its caller.
pub(super) fn group_of(node: &Node, caller: Option<FrameKind>) -> FrameKind {
    match (node.kind, caller) {
        (FrameKind::Inlined, Some(caller @ (FrameKind::Kernel | FrameKind::Jit))) => caller,
        (FrameKind::Inlined, _) => FrameKind::User,
        (kind, _) => kind,
    }
}

fn waits(waiter: &Waiter<'_>, by_marks: &FxHashMap<u32, u64>) -> Vec<(Waiting, u64)> {
    if !waiter.is_wait_unmarked && by_marks.keys().all(|marks| *marks == 0) {
        return Vec::new();
    }
    let has = |marks: u32, name: &str| marks & bit(name) != 0;
    let mut sums = std::collections::BTreeMap::new();
    for (marks, value) in by_marks {
        let waiting = match *marks {
            0 if !waiter.is_wait_unmarked => Waiting::OnCpu,
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
