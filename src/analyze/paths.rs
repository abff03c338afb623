//! The stacks of a profile by what their frames are called, as small as can be: what folded stacks are written from.
//!
//! A [`super::CallTree`] knows more of each node and takes several times the memory.

use std::borrow::Cow;

use rustc_hash::{FxHashMap, FxHashSet};

use super::frame_names::{FrameNames, Row};
use super::view::{Direction, View, Weight, aggregate};
use crate::model::{FrameKind, Profile, StackId, StringId, off_cpu};

/// A row of the trie; 0 is the root.
type Node = u32;

/// All paths that have a weight, as a trie of labels.
#[derive(Debug)]
pub struct Paths {
    /// Parent and label of each node; parents stand before.
    nodes: Vec<(Node, u32)>,
    labels: Vec<Box<str>>,
    weights: FxHashMap<Node, Weight>,
    period: Option<u64>,
}

/// How to call a frame: its name, its kind, and whether it is of who woke the thread, to a label. Frames of one label are one.
pub type Label<'a> = dyn FnMut(&str, FrameKind, bool) -> Box<str> + 'a;

impl Paths {
    /// Sums up the samples that `view` selects.
    pub fn build(profile: &Profile, view: &View, label: &mut Label<'_>) -> Paths {
        let drawn = view.event.unwrap_or(profile.main);
        let mut growth = Growth {
            profile,
            frames: FrameNames::new(profile),
            label,
            paths: Paths {
                nodes: vec![(0, 0)],
                labels: vec!["".into()],
                weights: FxHashMap::default(),
                period: profile.events.get(drawn.index()).and_then(|event| event.period),
            },
            first_child: vec![0],
            children: FxHashMap::default(),
            label_rows: FxHashMap::default(),
            label_of: FxHashMap::default(),
            wakers: FxHashSet::default(),
            of_stack: vec![0; profile.stacks.len()],
            touched: Vec::new(),
            walk: Vec::new(),
        };
        // Rows of one base stand together.
        let mut last = None;
        let mut base = Vec::new();
        let mut foot = 0;
        for (key, weight) in aggregate(profile, drawn, view) {
            if last != Some((key.thread, key.end)) {
                last = Some((key.thread, key.end));
                base = growth.frames.rows_of_base(key, view);
                if view.direction == Direction::Callees {
                    foot = base.iter().fold(0, |node, row| growth.child(node, *row));
                }
                for stack in growth.touched.drain(..) {
                    growth.of_stack[stack.index()] = 0;
                }
            }
            let node = match view.direction {
                Direction::Callees => growth.stack(foot, key.stack),
                Direction::Callers => growth.outwards(key.stack, &base),
            };
            let sum = growth.paths.weights.entry(node).or_default();
            sum.value += weight.value;
            sum.samples += weight.samples;
        }
        growth.paths
    }

    /// Nominal value of one sample, if weights are numbers of samples.
    pub fn period(&self) -> Option<u64> {
        self.period
    }

    /// Makes values the weights, and not numbers of samples: those of another length cannot be compared with them.
    pub fn weigh_by_value(&mut self) {
        self.period = None;
    }

    /// Calls `each` with every path of a weight above 0, its labels with `;` between, in order of bytes, and its weight: samples
    /// for an event with a fixed period, else the event's value. `last` makes the innermost label's text.
    pub fn for_each<E>(
        &self,
        last: impl Fn(&str) -> Cow<'_, str>,
        mut each: impl FnMut(&str, u64) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut first_child: Vec<Node> = vec![0; self.nodes.len()];
        let mut next_sibling: Vec<Node> = vec![0; self.nodes.len()];
        for (node, (parent, _)) in self.nodes.iter().enumerate().skip(1) {
            next_sibling[node] = std::mem::replace(&mut first_child[*parent as usize], node as Node);
        }
        // What is still to be written, the next one last: a node, whether only its own weight or what it called, and how much of
        // the path stands before it.
        let mut pending: Vec<(Node, bool, usize)> = Vec::new();
        let mut path = String::new();
        let open = |node: Node, pending: &mut Vec<(Node, bool, usize)>, length: usize| {
            let begin = pending.len();
            let mut child = first_child[node as usize];
            while child != 0 {
                if self.weight(child) > 0 {
                    pending.push((child, true, length));
                }
                if first_child[child as usize] != 0 {
                    pending.push((child, false, length));
                }
                child = next_sibling[child as usize];
            }
            let label = |node: Node| &*self.labels[self.nodes[node as usize].1 as usize];
            // A weight stands behind a blank, what is called behind a semicolon: as lines are compared.
            pending[begin..].sort_unstable_by(|a, b| {
                let text = |(node, own, _): &(Node, bool, usize)| match own {
                    true => (last(label(*node)), b' '),
                    false => (Cow::Borrowed(label(*node)), b';'),
                };
                let ((a, a_end), (b, b_end)) = (text(a), text(b));
                b.bytes().chain([b_end]).cmp(a.bytes().chain([a_end]))
            });
        };
        open(0, &mut pending, 0);
        while let Some((node, own, length)) = pending.pop() {
            path.truncate(length);
            let label = &self.labels[self.nodes[node as usize].1 as usize];
            if own {
                path.push_str(&last(label));
                each(&path, self.weight(node))?;
            } else {
                path.push_str(label);
                path.push(';');
                open(node, &mut pending, path.len());
            }
        }
        Ok(())
    }

    fn weight(&self, node: Node) -> u64 {
        self.weights.get(&node).map_or(0, |weight| weight.whole(self.period))
    }
}

struct Growth<'a, 'b> {
    profile: &'a Profile,
    frames: FrameNames<'a>,
    label: &'b mut Label<'b>,
    paths: Paths,
    /// The first child of each node, the only one of most; 0 for none.
    first_child: Vec<Node>,
    /// All other children.
    children: FxHashMap<(Node, u32), Node>,
    label_rows: FxHashMap<Box<str>, u32>,
    label_of: FxHashMap<(StringId, FrameKind, bool), u32>,
    /// The nodes from `[woken by]` on; most profiles have none.
    wakers: FxHashSet<Node>,
    /// The node of each stack above the current base; 0 if there is none yet.
    of_stack: Vec<Node>,
    /// Those that have one.
    touched: Vec<StackId>,
    walk: Vec<StackId>,
}

impl Growth<'_, '_> {
    fn stack(&mut self, base: Node, stack: StackId) -> Node {
        let (mut at, mut node) = (stack, base);
        while at != StackId(0) {
            match self.of_stack[at.index()] {
                0 => self.walk.push(at),
                known => {
                    node = known;
                    break;
                }
            }
            at = self.profile.stacks[at.index()].parent;
        }
        while let Some(at) = self.walk.pop() {
            for row in self.frames.rows_of(self.profile.stacks[at.index()].frame) {
                let row = self.frames.row(row);
                let parent = node;
                node = self.child(parent, row);
                let begins = row.kind == FrameKind::OffCpu && self.frames.names.get(row.name) == off_cpu::WOKEN_BY;
                if begins || (!self.wakers.is_empty() && self.wakers.contains(&parent)) {
                    self.wakers.insert(node);
                }
            }
            self.of_stack[at.index()] = node;
            self.touched.push(at);
        }
        node
    }

    /// The node of a stack read from its innermost function to its process.
    fn outwards(&mut self, stack: StackId, base: &[Row]) -> Node {
        let profile = self.profile;
        let (mut at, mut node) = (stack, 0);
        while at != StackId(0) {
            for row in self.frames.rows_of(profile.stacks[at.index()].frame).rev() {
                node = self.child(node, self.frames.row(row));
            }
            at = profile.stacks[at.index()].parent;
        }
        base.iter().rev().fold(node, |node, row| self.child(node, *row))
    }

    fn child(&mut self, parent: Node, Row { name, kind, .. }: Row) -> Node {
        let is_waker = !self.wakers.is_empty() && self.wakers.contains(&parent);
        let label = match self.label_of.get(&(name, kind, is_waker)) {
            Some(known) => *known,
            None => {
                let text = (self.label)(self.frames.names.get(name), kind, is_waker);
                let labels = &mut self.paths.labels;
                let row = *self.label_rows.entry(text).or_insert_with_key(|text| {
                    labels.push(text.clone());
                    labels.len() as u32 - 1
                });
                self.label_of.insert((name, kind, is_waker), row);
                row
            }
        };
        let nodes = &mut self.paths.nodes;
        let first = &mut self.first_child[parent as usize];
        if *first == 0 {
            *first = Node::try_from(nodes.len()).expect("a trie holds fewer than 2^32 nodes");
            let new = *first;
            nodes.push((parent, label));
            self.first_child.push(0);
            return new;
        }
        if nodes[*first as usize].1 == label {
            return *first;
        }
        let first_child = &mut self.first_child;
        *self.children.entry((parent, label)).or_insert_with(|| {
            nodes.push((parent, label));
            first_child.push(0);
            Node::try_from(nodes.len() - 1).expect("a trie holds fewer than 2^32 nodes")
        })
    }
}
