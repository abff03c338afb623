//! A tree of functions while it grows, from either end of each stack.

use rustc_hash::FxHashMap;

use super::call_tree::{Node, NodeId};
use super::frame_names::{FrameNames, Row};
use super::view::{Direction, Key, View, Weight};
use crate::model::{FrameKind, Profile, StackId, StringId, StringTable, ThreadId};

/// The tree while it grows: nodes in the order in which they were first needed.
pub(super) struct Growth<'a> {
    profile: &'a Profile,
    view: &'a View,
    pub frames: FrameNames<'a>,
    nodes: Vec<Node>,
    of_name: FxHashMap<(NodeId, StringId, FrameKind), NodeId>,
    /// The node of a stack above its base, so that callers shared by stacks are walked once.
    of_stack: FxHashMap<(NodeId, StackId), NodeId>,
    of_base: FxHashMap<(ThreadId, u8), NodeId>,
    base_rows: FxHashMap<(ThreadId, u8), Vec<Row>>,
    walk: Vec<StackId>,
}

impl<'a> Growth<'a> {
    /// A root, `all`.
    pub fn new(profile: &'a Profile, view: &'a View) -> Growth<'a> {
        let mut frames = FrameNames::new(profile);
        let name = frames.names.intern("all");
        let root = node(Row { name, kind: FrameKind::Task, image: None, file: StringId(0), line: 0 }, 0, 0);
        Growth {
            profile,
            view,
            frames,
            nodes: vec![root],
            of_name: FxHashMap::default(),
            of_stack: FxHashMap::default(),
            of_base: FxHashMap::default(),
            base_rows: FxHashMap::default(),
            walk: Vec::new(),
        }
    }

    /// Adds what samples of one thread, end and stack weigh.
    pub fn add(&mut self, key: Key, weight: Weight) {
        let last = match self.view.direction {
            Direction::Callees => {
                let base = self.base(key);
                self.stack(base, key.stack)
            }
            Direction::Callers => self.outwards(key),
        };
        self.put(last, weight);
    }

    /// Adds to what `node` weighs itself.
    pub fn put(&mut self, node: NodeId, weight: Weight) {
        let node = &mut self.nodes[node as usize];
        node.self_value += weight.value;
        node.self_samples += weight.samples;
    }

    /// The node that stacks of this thread and end stand on.
    fn base(&mut self, key: Key) -> NodeId {
        if let Some(base) = self.of_base.get(&(key.thread, key.end)) {
            return *base;
        }
        let mut base = 0;
        for row in self.frames.rows_of_base(key, self.view) {
            base = self.child(base, row);
        }
        self.of_base.insert((key.thread, key.end), base);
        base
    }

    /// The node of a stack below the root, from its innermost function to its process.
    fn outwards(&mut self, key: Key) -> NodeId {
        let profile = self.profile;
        let (mut at, mut node) = (key.stack, 0);
        while at != StackId(0) {
            for row in self.frames.rows_of(profile.stacks[at.index()].frame).rev() {
                node = self.child(node, self.frames.row(row));
            }
            at = profile.stacks[at.index()].parent;
        }
        self.base_outwards(node, key)
    }

    /// The rows of a stack without what it stands on, innermost first, in place of what `rows` holds.
    pub fn rows_outwards(&mut self, stack: StackId, rows: &mut Vec<Row>) {
        rows.clear();
        let mut at = stack;
        while at != StackId(0) {
            let range = self.frames.rows_of(self.profile.stacks[at.index()].frame);
            rows.extend(range.rev().map(|row| self.frames.row(row)));
            at = self.profile.stacks[at.index()].parent;
        }
    }

    /// Makes `row` the root in place of `all`, or adds to what the root knows of its image and lines.
    pub fn be_root(&mut self, row: Row, is_first: bool) {
        match is_first {
            true => self.nodes[0] = node(row, 0, 0),
            false => self.merge(0, row),
        }
    }

    /// The node of what the stacks of this thread and end stand on, below `node`: the process comes last.
    pub fn base_outwards(&mut self, mut node: NodeId, key: Key) -> NodeId {
        let known = self.base_rows.remove(&(key.thread, key.end));
        let rows = known.unwrap_or_else(|| self.frames.rows_of_base(key, self.view));
        for row in rows.iter().rev() {
            node = self.child(node, *row);
        }
        self.base_rows.insert((key.thread, key.end), rows);
        node
    }

    /// The node of `stack` above `base`.
    fn stack(&mut self, base: NodeId, stack: StackId) -> NodeId {
        let mut walk = std::mem::take(&mut self.walk);
        let (mut at, mut node) = (stack, base);
        while at != StackId(0) {
            if let Some(known) = self.of_stack.get(&(base, at)) {
                node = *known;
                break;
            }
            walk.push(at);
            at = self.profile.stacks[at.index()].parent;
        }
        while let Some(at) = walk.pop() {
            for row in self.frames.rows_of(self.profile.stacks[at.index()].frame) {
                node = self.child(node, self.frames.row(row));
            }
            self.of_stack.insert((base, at), node);
        }
        self.walk = walk;
        node
    }

    /// The node of `row` below `parent`.
    pub fn child(&mut self, parent: NodeId, row: Row) -> NodeId {
        let next = NodeId::try_from(self.nodes.len()).expect("a tree holds fewer than 2^32 nodes");
        let id = *self.of_name.entry((parent, row.name, row.kind)).or_insert(next);
        if id == next {
            self.nodes.push(node(row, parent, self.nodes[parent as usize].depth + 1));
            return id;
        }
        self.merge(id, row);
        id
    }

    /// Adds to what `node` knows of its image and lines.
    fn merge(&mut self, node: NodeId, row: Row) {
        let node = &mut self.nodes[node as usize];
        node.image = node.image.into_iter().chain(row.image).min();
        if row.file != StringId(0) {
            let names = &self.frames.names;
            let replaces = node.file == StringId(0) || names.get(row.file) < names.get(node.file);
            if row.file == node.file {
                node.lines = (node.lines.0.min(row.line), node.lines.1.max(row.line));
            } else if replaces {
                (node.file, node.lines) = (row.file, (row.line, row.line));
            }
        }
    }

    /// Sums up, sorts siblings and puts the nodes into pre-order.
    pub fn finish(&mut self) -> Vec<Node> {
        let mut grown = std::mem::take(&mut self.nodes);
        let mut first_child = vec![NodeId::MAX; grown.len()];
        let mut next_sibling = vec![NodeId::MAX; grown.len()];
        for id in (0..grown.len()).rev() {
            let Node { self_value, self_samples, .. } = grown[id];
            grown[id].total_value += self_value;
            grown[id].total_samples += self_samples;
            if id > 0 {
                let Node { parent, total_value, total_samples, .. } = grown[id];
                let parent = parent as usize;
                grown[parent].total_value += total_value;
                grown[parent].total_samples += total_samples;
                next_sibling[id] = std::mem::replace(&mut first_child[parent], id as NodeId);
            }
        }
        let rank = ranks(&self.frames.names);
        let mut sorted: Vec<Node> = Vec::with_capacity(grown.len());
        let mut pending = vec![(0, 0)];
        while let Some((id, parent)) = pending.pop() {
            let new_id = sorted.len() as NodeId;
            sorted.push(Node { parent, end: new_id + 1, ..grown[id as usize] });
            let first = pending.len();
            let mut child = first_child[id as usize];
            while child != NodeId::MAX {
                pending.push((child, new_id));
                child = next_sibling[child as usize];
            }
            pending[first..].sort_unstable_by_key(|(child, _)| {
                let node = &grown[*child as usize];
                std::cmp::Reverse((rank[node.name.index()], node.kind))
            });
        }
        for id in (1..sorted.len()).rev() {
            let Node { parent, end, .. } = sorted[id];
            let parent = &mut sorted[parent as usize];
            parent.end = parent.end.max(end);
        }
        sorted
    }
}

/// The place of each name among all, so that sorting compares numbers.
pub(super) fn ranks(names: &StringTable) -> Vec<u32> {
    let names: Vec<&str> = names.iter().collect();
    let mut order: Vec<u32> = (0..names.len() as u32).collect();
    order.sort_unstable_by_key(|id| names[*id as usize]);
    let mut rank = vec![0; names.len()];
    for (place, id) in order.into_iter().enumerate() {
        rank[id as usize] = place as u32;
    }
    rank
}

fn node(row: Row, parent: NodeId, depth: u32) -> Node {
    Node {
        name: row.name,
        kind: row.kind,
        parent,
        end: 0,
        depth,
        self_value: 0,
        total_value: 0,
        self_samples: 0,
        total_samples: 0,
        image: row.image,
        file: row.file,
        lines: (row.line, row.line),
    }
}
