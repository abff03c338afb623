//! The call trees of several runs in one: what each function took in each of them.

use rustc_hash::FxHashMap;

use super::call_tree::CallTree;
use super::function_rows::FunctionRows;
use super::node::{NodeId, Place, is_of_library};
use crate::model::{FrameKind, Profile, StringId, StringTable};

/// A function, whoever called it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunFunction {
    /// Its name, in [`RunTree::names`].
    pub name: StringId,
    /// What sort of code it is; what was inlined is of the sort of its caller.
    pub kind: FrameKind,
    /// What its code is in, in [`RunTree::names`]: a path; the empty string if unknown.
    pub module: StringId,
    /// Its source file, in [`RunTree::names`]; the empty string if unknown.
    pub file: StringId,
    /// The first line seen in it; 0 if unknown.
    pub line: u32,
    /// Whether file and line, and the module, are of a preferred run.
    is_preferred: bool,
    is_module_preferred: bool,
}

/// A function where it was called from one particular stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunNode {
    /// Its caller; the root is its own. A parent stands before its children.
    pub parent: u32,
    /// Its function, a row of [`RunTree::functions`]; of the root 0, which says nothing.
    pub function: u32,
    /// The function that has what ended here: another one where a thread waited.
    pub own: u32,
    /// Whether the function is nowhere else on the path from the root: a stack that has it twice counts once.
    pub is_outermost: bool,
    /// Whether the function is inlined here; what waited in such a one is too.
    pub is_inlined: bool,
}

/// What something took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum {
    /// In the event's unit.
    pub value: f64,
    /// Number of samples.
    pub samples: f64,
}

impl std::ops::AddAssign for Sum {
    fn add_assign(&mut self, other: Sum) {
        self.value += other.value;
        self.samples += other.samples;
    }
}

/// What ended in a node, in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ended {
    node: u32,
    value: u64,
    samples: u64,
}

/// No node of a tree: what is put aside has one in the end, if there is any.
const ASIDE: u32 = u32::MAX;

/// The union of the call trees of several runs, without their processes and threads: those have other names on either side, and the
/// functions are the same.
#[derive(Clone, Debug, Default)]
pub struct RunTree {
    /// All names.
    pub names: StringTable,
    /// All functions, in the order in which they were first seen.
    pub functions: Vec<RunFunction>,
    /// All nodes; node 0 is the root.
    pub nodes: Vec<RunNode>,
    /// The name and kind of each node, by which it is found below its parent, if it is.
    labels: Vec<Option<(StringId, FrameKind)>>,
    runs: Vec<Vec<Ended>>,
    children: FxHashMap<(u32, StringId, FrameKind), u32>,
    /// Where what is put aside has ended, if there is any.
    aside: Option<u32>,
    rows: FxHashMap<(StringId, FrameKind), u32>,
}

impl RunTree {
    /// Adds a run: the tree of its profile. Runs are numbered from 0. Where functions stand is said of preferred runs, if they have them.
    /// What is below functions (of the program or the kernel) that are `put_aside` is in [`RunTree::aside`], and in none of the functions.
    pub fn add(
        &mut self,
        tree: &CallTree,
        profile: &Profile,
        is_preferred: bool,
        put_aside: impl Fn(&str, FrameKind) -> bool,
    ) {
        if self.nodes.is_empty() {
            self.push(RunNode { parent: 0, function: 0, own: 0, is_outermost: true, is_inlined: false }, None);
        }
        // The node found last: runs of one program have most nodes in one order, so that the next is the one behind it.
        let mut last = 0;
        let mut ended = Vec::new();
        let mut aside = Ended { node: ASIDE, value: 0, samples: 0 };
        // Of the names of the tree, of a program's function and of the kernel's.
        let mut is_aside: Vec<[Option<bool>; 2]> = vec![[None; 2]; tree.names.count()];
        let mut names: Vec<Option<StringId>> = vec![None; tree.names.count()];
        // Of the tree's nodes and rows of functions those here.
        let mut at = vec![0; tree.nodes.len()];
        let mut functions: Vec<u32> = Vec::new();
        let mut finder = FunctionRows::new(tree);
        for (id, node) in tree.nodes.iter().enumerate() {
            if id > 0 {
                let place = finder.place(node);
                if place.is_new {
                    functions.push(self.function(tree, profile, (id as NodeId, place.group), is_preferred, &mut names));
                }
                let parent = at[node.parent as usize];
                let ends = node.self_value > 0 || node.self_samples > 0;
                let slot = &mut is_aside[node.name.index()][usize::from(node.kind == FrameKind::Kernel)];
                let is_code = matches!(node.kind, FrameKind::Kernel | FrameKind::User);
                let is_entry = is_code && *slot.get_or_insert_with(|| put_aside(tree.names.get(node.name), node.kind));
                if parent == ASIDE || is_entry {
                    at[id] = ASIDE;
                    aside.value = aside.value.saturating_add(node.self_value);
                    aside.samples = aside.samples.saturating_add(node.self_samples);
                    continue;
                }
                if node.kind == FrameKind::Task && !ends {
                    at[id] = parent;
                    continue;
                }
                let name = self.name(tree, node.name, &mut names);
                let next = self.nodes.len() as u32;
                at[id] = match self.is_node(last + 1, parent, (name, node.kind)) {
                    true => last + 1,
                    false => *self.children.entry((parent, name, node.kind)).or_insert(next),
                };
                last = at[id];
                if at[id] == next {
                    let is_inlined = match node.kind {
                        FrameKind::OffCpu => self.nodes[parent as usize].is_inlined,
                        kind => kind == FrameKind::Inlined,
                    };
                    let (function, own) = (functions[place.row as usize], functions[place.own as usize]);
                    let new = RunNode { parent, function, own, is_outermost: place.is_outermost, is_inlined };
                    self.push(new, Some((name, node.kind)));
                }
            }
            if node.self_value > 0 || node.self_samples > 0 {
                ended.push(Ended { node: at[id], value: node.self_value, samples: node.self_samples });
            }
        }
        if aside.value > 0 || aside.samples > 0 {
            ended.push(Ended { node: self.aside_node(), ..aside });
        }
        // It stays until all runs are there.
        ended.shrink_to_fit();
        self.runs.push(ended);
    }

    fn push(&mut self, node: RunNode, label: Option<(StringId, FrameKind)>) {
        self.nodes.push(node);
        self.labels.push(label);
    }

    /// Whether there is a node `id`, and it is the one of that name and kind below `parent`.
    fn is_node(&self, id: u32, parent: u32, label: (StringId, FrameKind)) -> bool {
        let id = id as usize;
        self.nodes.get(id).is_some_and(|node| node.parent == parent) && self.labels[id] == Some(label)
    }

    /// The node of what is put aside, below the root.
    fn aside_node(&mut self) -> u32 {
        if let Some(known) = self.aside {
            return known;
        }
        let (name, empty) = (self.names.intern("[interrupt]"), self.names.intern(""));
        let (function, node) = (self.functions.len() as u32, self.nodes.len() as u32);
        let (kind, module, file) = (FrameKind::Note, empty, empty);
        self.functions.push(RunFunction {
            name,
            kind,
            module,
            file,
            line: 0,
            is_preferred: false,
            is_module_preferred: false,
        });
        self.push(RunNode { parent: 0, function, own: function, is_outermost: true, is_inlined: false }, None);
        self.aside = Some(node);
        node
    }

    /// The function, a row of [`RunTree::functions`], that stands for what is put aside, if there is any.
    pub fn aside(&self) -> Option<u32> {
        self.aside.map(|node| self.nodes[node as usize].function)
    }

    fn name(&mut self, tree: &CallTree, name: StringId, known: &mut [Option<StringId>]) -> StringId {
        *known[name.index()].get_or_insert_with(|| self.names.intern(tree.names.get(name)))
    }

    fn function(
        &mut self,
        tree: &CallTree,
        profile: &Profile,
        (node, kind): (NodeId, FrameKind),
        is_preferred: bool,
        known: &mut [Option<StringId>],
    ) -> u32 {
        let name = self.name(tree, tree.nodes[node as usize].name, known);
        let Place { image, file, lines } = tree.place(node);
        let module = image.map_or("", |image| profile.strings.get(profile.images[image.index()].path));
        let (module, file) = (self.names.intern(module), self.name(tree, file, known));
        let next = self.functions.len() as u32;
        let row = *self.rows.entry((name, kind)).or_insert(next);
        if row == next {
            self.functions.push(RunFunction {
                name,
                kind,
                module,
                file,
                line: lines.0,
                is_preferred,
                is_module_preferred: is_preferred,
            });
            return row;
        }
        // Of several the first in order of name and line, so that the order of the runs has no say.
        let of = &self.functions[row as usize];
        let text = |id: StringId| self.names.get(id);
        let rank = |file: StringId, line: u32, is_preferred: bool| {
            let file = text(file);
            (file.is_empty(), is_of_library(file), !is_preferred, file.to_owned(), line)
        };
        let is_better = rank(file, lines.0, is_preferred) < rank(of.file, of.line, of.is_preferred);
        let is_better_module = (text(module).is_empty(), !is_preferred, text(module))
            < (text(of.module).is_empty(), !of.is_module_preferred, text(of.module));
        let of = &mut self.functions[row as usize];
        if is_better_module {
            (of.module, of.is_module_preferred) = (module, is_preferred);
        }
        if is_better {
            (of.file, of.line, of.is_preferred) = (file, lines.0, is_preferred);
        }
        row
    }

    /// Whether each node is of `function` or below it.
    pub fn under(&self, function: u32) -> Vec<bool> {
        let mut under = vec![false; self.nodes.len()];
        for at in 1..self.nodes.len() {
            under[at] = self.nodes[at].function == function || under[self.nodes[at].parent as usize];
        }
        under
    }

    /// How many runs there are.
    pub fn run_count(&self) -> usize {
        self.runs.len()
    }

    /// Whether two runs have the same in each node.
    pub fn is_same(&self, run: usize, other: usize) -> bool {
        self.runs[run] == self.runs[other]
    }

    /// Everything in `run`.
    pub fn total(&self, run: usize) -> Sum {
        let mut sum = Sum::default();
        self.for_each(run, |_, of| sum += of);
        sum
    }

    /// What ended in each node in `run`; nodes come in no order that means anything, each once at most.
    pub fn for_each(&self, run: usize, mut each: impl FnMut(u32, Sum)) {
        for ended in &self.runs[run] {
            each(ended.node, Sum { value: ended.value as f64, samples: ended.samples as f64 });
        }
    }

    /// What each function took in `run`: itself, and with all that it called.
    pub fn sums(&self, run: usize) -> (Vec<Sum>, Vec<Sum>) {
        let mut own = vec![Sum::default(); self.functions.len()];
        let mut inclusive = own.clone();
        let mut totals = vec![Sum::default(); self.nodes.len()];
        self.for_each(run, |node, sum| {
            totals[node as usize] += sum;
            if node > 0 {
                own[self.nodes[node as usize].own as usize] += sum;
            }
        });
        for id in (1..self.nodes.len()).rev() {
            let (sum, node) = (totals[id], self.nodes[id]);
            if sum.samples == 0.0 && sum.value == 0.0 {
                continue;
            }
            totals[node.parent as usize] += sum;
            if node.is_outermost {
                inclusive[node.function as usize] += sum;
            }
        }
        (own, inclusive)
    }
}

#[cfg(test)]
mod tests {
    use super::super::View;
    use super::super::made::profile;
    use super::*;

    #[test]
    fn runs_stay_apart_and_processes_do_not() {
        let mut tree = RunTree::default();
        for lines in [["old;main;a;b 3", "old;main;b;b 2"], ["new;main;c 4", "new;main;a;b 1"]] {
            let profile = profile(&lines);
            tree.add(&CallTree::build(&profile, &View::default()), &profile, false, |_, _| false);
        }
        assert_eq!(tree.run_count(), 2);
        let name = |row: usize| tree.names.get(tree.functions[row].name).to_owned();
        let mut rows: Vec<_> = (0..tree.functions.len())
            .map(|row| {
                let of = |run: usize| (tree.sums(run).0[row].samples, tree.sums(run).1[row].samples);
                (name(row), of(0), of(1))
            })
            .collect();
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        rows.retain(|row| row.0.len() < 2 || row.0 == "main");
        let expected = [
            ("a", (0.0, 3.0), (0.0, 1.0)),
            ("b", (5.0, 5.0), (1.0, 1.0)),
            ("c", (0.0, 0.0), (4.0, 4.0)),
            ("main", (0.0, 5.0), (0.0, 5.0)),
        ];
        assert_eq!(rows, expected.map(|(name, base, new)| (name.to_owned(), base, new)));
        assert_eq!((tree.total(0).samples, tree.total(1).samples), (5.0, 5.0));
    }
    #[test]
    fn what_is_put_aside_is_in_the_total_alone() {
        let mut tree = RunTree::default();
        for lines in [["p;main;a;irq;a;timer 3", "p;main;a 2"], ["p;main;b;irq 4", "p;irq;timer 1"]] {
            let profile = profile(&lines);
            tree.add(&CallTree::build(&profile, &View::default()), &profile, false, |name, _| name == "irq");
        }
        let row_of = |name: &str| tree.functions.iter().position(|of| tree.names.get(of.name) == name).unwrap();
        let of = |run: usize, name: &str| {
            let (own, inclusive) = tree.sums(run);
            (own[row_of(name)].samples, inclusive[row_of(name)].samples)
        };
        assert_eq!(tree.aside(), Some(row_of("[interrupt]") as u32));
        assert_eq!((of(0, "[interrupt]"), of(1, "[interrupt]")), ((3.0, 3.0), (5.0, 5.0)));
        assert_eq!((of(0, "a"), of(0, "main"), of(1, "main")), ((2.0, 2.0), (0.0, 2.0), (0.0, 0.0)));
        assert_eq!((tree.total(0).samples, tree.total(1).samples), (5.0, 5.0));
    }
}
