//! A tree of functions while it grows, from either end of each stack.

use rustc_hash::FxHashMap;

use super::frame_names::{FrameNames, Row};
use super::node::{Node, NodeId, Place, is_of_library};
use super::pre_order::{Grown, pre_order};
use super::view::{Direction, Key, View, Weight};
use crate::model::{FrameId, FrameKind, Profile, StackId, StringId, StringTable, ThreadId};

/// The tree while it grows: nodes in the order in which they were first needed.
pub(super) struct Growth<'a> {
    profile: &'a Profile,
    view: &'a View,
    pub frames: FrameNames<'a>,
    nodes: Vec<Grown>,
    /// Where the code of each is, as far as it is known of any so far.
    places: Vec<Place>,
    labels: Vec<(StringId, FrameKind)>,
    of_label: FxHashMap<(StringId, FrameKind), u32>,
    /// The first child of each node, the only one of most; 0 for none. Not of all nodes: nobody may have asked for one.
    first_child: Vec<NodeId>,
    /// All other children, by label.
    children: FxHashMap<(NodeId, u32), NodeId>,
    /// The node of each stack above its base, so that callers shared by stacks are walked once; 0 for none.
    of_stack: Vec<NodeId>,
    of_base: FxHashMap<(ThreadId, u8), NodeId>,
    base_rows: FxHashMap<(ThreadId, u8), Vec<Row>>,
    walk: Vec<StackId>,
}

impl<'a> Growth<'a> {
    /// A root, `all`.
    pub fn new(profile: &'a Profile, view: &'a View) -> Growth<'a> {
        let mut frames = FrameNames::new(profile);
        let name = frames.names.intern("all");
        let mut growth = Growth {
            profile,
            view,
            frames,
            nodes: Vec::new(),
            places: Vec::new(),
            labels: Vec::new(),
            of_label: FxHashMap::default(),
            first_child: Vec::new(),
            children: FxHashMap::default(),
            of_stack: Vec::new(),
            of_base: FxHashMap::default(),
            base_rows: FxHashMap::default(),
            walk: Vec::new(),
        };
        let label = growth.label(Row { name, kind: FrameKind::Task, image: None, file: StringId(0), line: 0 });
        growth.push(0, label);
        growth
    }

    /// Adds what samples of one thread, end and stack weigh, those of one thread and end side by side.
    ///
    /// Where each frame is a bare name and no other is the same, each stack is a node of its own. If that `is_plain` is taken for
    /// granted, none is looked for among its siblings, and [`Growth::finish`] says whether one was there twice.
    pub fn add(&mut self, rows: &[(Key, Weight)], is_plain: bool) {
        if self.view.direction == Direction::Callers {
            for (key, weight) in rows {
                let last = self.outwards(*key);
                self.put(last, *weight);
            }
            return;
        }
        let bare = if is_plain { self.bare_names() } else { None };
        self.of_stack = vec![0; self.profile.stacks.len()];
        let groups = rows.chunk_by(|(one, _), (other, _)| (one.thread, one.end) == (other.thread, other.end));
        let mut last: &[(Key, Weight)] = &[];
        for group in groups {
            for (key, _) in last {
                self.forget(key.stack);
            }
            let base = self.base(group[0].0);
            for (key, weight) in group {
                let node = self.stack(base, key.stack, bare.as_deref());
                self.put(node, *weight);
            }
            last = group;
        }
        self.of_stack = Vec::new();
    }

    /// The label of each frame, if each is a bare name that no other is.
    fn bare_names(&mut self) -> Option<Vec<u32>> {
        let mut labels = Vec::with_capacity(self.profile.frames.len());
        for frame in 0..self.profile.frames.len() {
            let rows = self.frames.rows_of(FrameId::from_index(frame));
            if rows.len() != 1 {
                return None;
            }
            let row = self.frames.row(rows.start);
            let is_bare = row.image.is_none() && row.file == StringId(0) && row.line == 0;
            let known = self.labels.len();
            let label = self.label(row);
            if !is_bare || (label as usize) < known {
                return None;
            }
            labels.push(label);
        }
        Some(labels)
    }

    /// Adds to what `node` weighs itself.
    pub fn put(&mut self, node: NodeId, weight: Weight) {
        let known = &mut self.nodes[node as usize].weight;
        known.value += weight.value;
        known.samples += weight.samples;
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
            true => {
                self.nodes[0].label = self.label(row);
                self.places.clear();
                self.note_place(0, row);
            }
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
    fn stack(&mut self, base: NodeId, stack: StackId, bare: Option<&[u32]>) -> NodeId {
        let profile = self.profile;
        let (mut at, mut node) = (stack, base);
        while at != StackId(0) {
            match self.of_stack[at.index()] {
                0 => self.walk.push(at),
                known => {
                    node = known;
                    break;
                }
            }
            at = profile.stacks[at.index()].parent;
        }
        while let Some(at) = self.walk.pop() {
            let frame = profile.stacks[at.index()].frame;
            match bare {
                Some(labels) => node = self.push(node, labels[frame.index()]),
                None => {
                    for row in self.frames.rows_of(frame) {
                        node = self.child(node, self.frames.row(row));
                    }
                }
            }
            self.of_stack[at.index()] = node;
        }
        node
    }

    /// Forgets the nodes of a stack and its callers.
    fn forget(&mut self, stack: StackId) {
        let mut at = stack;
        while at != StackId(0) && std::mem::take(&mut self.of_stack[at.index()]) != 0 {
            at = self.profile.stacks[at.index()].parent;
        }
    }

    /// The node of `row` below `parent`.
    pub fn child(&mut self, parent: NodeId, row: Row) -> NodeId {
        let label = self.label(row);
        let next = NodeId::try_from(self.nodes.len()).expect("a tree holds fewer than 2^32 nodes");
        if self.first_child.len() <= parent as usize {
            self.first_child.resize(self.nodes.len(), 0);
        }
        let first = &mut self.first_child[parent as usize];
        let id = match *first {
            0 => {
                *first = next;
                next
            }
            first if self.nodes[first as usize].label == label => first,
            _ => *self.children.entry((parent, label)).or_insert(next),
        };
        if id == next {
            self.push(parent, label);
            self.note_place(id, row);
            return id;
        }
        self.merge(id, row);
        id
    }

    /// A new node below `parent`.
    fn push(&mut self, parent: NodeId, label: u32) -> NodeId {
        let id = NodeId::try_from(self.nodes.len()).expect("a tree holds fewer than 2^32 nodes");
        self.nodes.push(Grown { weight: Weight::default(), parent, label });
        id
    }

    fn label(&mut self, row: Row) -> u32 {
        let labels = &mut self.labels;
        *self.of_label.entry((row.name, row.kind)).or_insert_with(|| {
            labels.push((row.name, row.kind));
            labels.len() as u32 - 1
        })
    }

    /// The first that is known of where `node` is.
    fn note_place(&mut self, node: NodeId, row: Row) {
        if row.image.is_some() || row.file != StringId(0) || row.line != 0 {
            *self.place(node) = Place { image: row.image, file: row.file, lines: (row.line, row.line) };
        }
    }

    fn place(&mut self, node: NodeId) -> &mut Place {
        if self.places.len() <= node as usize {
            self.places.resize(self.nodes.len(), Place::default());
        }
        &mut self.places[node as usize]
    }

    /// Adds to what `node` knows of its image and lines.
    fn merge(&mut self, node: NodeId, row: Row) {
        if row.image.is_none() && row.file == StringId(0) {
            return;
        }
        let Place { image, file, lines } = *self.place(node);
        let names = &self.frames.names;
        let rank = |file: StringId| (is_of_library(names.get(file)), names.get(file));
        let (file, lines) = match row.file {
            StringId(0) => (file, lines),
            same if same == file => (file, (lines.0.min(row.line), lines.1.max(row.line))),
            other if file == StringId(0) || rank(other) < rank(file) => (other, (row.line, row.line)),
            _ => (file, lines),
        };
        *self.place(node) = Place { image: image.into_iter().chain(row.image).min(), file, lines };
    }

    /// The nodes, summed up, in pre-order, siblings sorted, and where their code is; nothing if some are not told apart by name and kind, which is so only where
    /// something was wrongly taken for granted.
    pub fn finish(&mut self) -> Option<(Vec<Node>, Vec<Place>)> {
        (self.first_child, self.children) = (Vec::new(), FxHashMap::default());
        let name_ranks = ranks(&self.frames.names);
        let mut by_name: Vec<u32> = (0..self.labels.len() as u32).collect();
        by_name.sort_unstable_by_key(|label| {
            let (name, kind) = self.labels[*label as usize];
            (name_ranks[name.index()], kind)
        });
        let mut ranks = vec![0; by_name.len()];
        for (rank, label) in by_name.into_iter().enumerate() {
            ranks[label as usize] = rank as u32;
        }
        let grown = std::mem::take(&mut self.nodes);
        let mut nodes: Vec<Node> = Vec::with_capacity(grown.len());
        let mut places = vec![Place::default()];
        let is_distinct = pre_order(grown, &ranks, |placed| {
            let (name, kind) = self.labels[placed.label as usize];
            let place = match self.places.get(placed.grown as usize) {
                Some(known) if *known != Place::default() => {
                    places.push(*known);
                    places.len() as u32 - 1
                }
                _ => 0,
            };
            let Weight { value, samples } = placed.total;
            if placed.depth > 0 {
                let parent = &mut nodes[placed.parent as usize];
                parent.self_value -= value;
                parent.self_samples -= samples;
            }
            nodes.push(Node {
                name,
                kind,
                parent: placed.parent,
                end: placed.end,
                depth: placed.depth,
                self_value: value,
                total_value: value,
                self_samples: samples,
                total_samples: samples,
                place,
            });
        });
        is_distinct.then_some((nodes, places))
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
