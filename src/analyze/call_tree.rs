//! The samples of a profile as a tree: who called whom, and how much each took.

use rustc_hash::FxHashMap;

use super::frame_names::{FrameNames, Row};
use crate::model::{
    EventId, FrameKind, ImageId, Profile, StackEnd, StackId, StringId, StringTable, ThreadId, Truncation, Unit,
};

/// Which samples of a profile are shown, and how they are grouped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// A level for each thread below that of its process.
    pub per_thread: bool,
    /// The event whose samples are counted, the profile's main one if not given; the others are left out.
    pub event: Option<EventId>,
}

/// A row of [`CallTree::nodes`].
pub type NodeId = u32;

/// A function where it was called from one particular stack.
///
/// Values are in the event's unit. `self_*` is what was found with this node innermost, `total_*` adds all below it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Node {
    /// Its name, in [`CallTree::names`].
    pub name: StringId,
    /// What sort of code it is.
    pub kind: FrameKind,
    /// Its caller; the root is its own.
    pub parent: NodeId,
    /// One past the last node of its subtree.
    pub end: NodeId,
    /// How far from the root, which has depth 0.
    pub depth: u32,
    /// Value of the samples that ended here.
    pub self_value: u64,
    /// Value of the samples that ended here or below.
    pub total_value: u64,
    /// Number of samples that ended here; 0 with a value is an estimate of what was not sampled.
    pub self_samples: u64,
    /// Number of samples that ended here or below.
    pub total_samples: u64,
    /// What its code is in; the first, if functions of several images share the name.
    pub image: Option<ImageId>,
    /// Its source file, in [`CallTree::names`]; the empty string if unknown, the first seen in order of name if several.
    pub file: StringId,
    /// First and last line seen in that file; 0 if unknown.
    pub lines: (u32, u32),
}

/// The call tree of one event of a profile.
///
/// ```text
/// node 0: all                                   nodes are in pre-order: a subtree is one range,
///   node 1: process "server" (Task)             parent < self, siblings sorted by name and kind
///     node 2: [truncated: stack copy] (Note)      the base of stacks whose callers are missing
///       node 3: handle_request
///     node 4: main
///       node 5: handle_request                    the same function, called from elsewhere
/// ```
#[derive(Clone, Debug)]
pub struct CallTree {
    /// All names and source files.
    pub names: StringTable,
    /// All nodes; node 0 is the root.
    pub nodes: Vec<Node>,
    /// The event's name; empty if the profile has none.
    pub event: String,
    /// What values count.
    pub unit: Unit,
    /// Nominal value of one sample, for events sampled at a fixed period.
    pub period: Option<u64>,
}

impl CallTree {
    /// Builds the tree of what `view` selects.
    ///
    /// Should the values of all samples together exceed 2^64 - 1, those beyond are cut, so that every sum in the tree holds.
    pub fn build(profile: &Profile, view: &View) -> CallTree {
        let drawn = view.event.unwrap_or(profile.main);
        let mut growth = Growth::new(profile);
        for (key, weight) in aggregate(profile, drawn, view.per_thread) {
            growth.add(key, weight, view.per_thread);
        }
        let event = profile.events.get(drawn.index());
        CallTree {
            nodes: growth.finish(),
            event: event.map_or_else(String::new, |event| profile.strings.get(event.name).to_owned()),
            unit: event.map_or(Unit::Count, |event| event.unit),
            period: event.and_then(|event| event.period),
            names: growth.frames.names,
        }
    }

    /// The root: everything.
    pub fn root(&self) -> &Node {
        &self.nodes[0]
    }

    /// The name of `node`.
    pub fn name(&self, node: NodeId) -> &str {
        self.names.get(self.nodes[node as usize].name)
    }

    /// The nodes that `node` called, in order of name.
    pub fn children(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let end = self.nodes[node as usize].end;
        let mut next = node + 1;
        std::iter::from_fn(move || {
            (next < end).then(|| {
                let child = next;
                next = self.nodes[child as usize].end;
                child
            })
        })
    }

    /// The share of `value` in all, 0..1.
    pub fn share(&self, value: u64) -> f64 {
        match self.root().total_value {
            0 => 0.0,
            total => value as f64 / total as f64,
        }
    }

    /// The weight of `node` itself as a whole number: samples for an event with a fixed period, else its value.
    ///
    /// An estimate of what was not sampled counts as the samples that its value would have been.
    pub fn self_weight(&self, node: NodeId) -> u64 {
        let node = &self.nodes[node as usize];
        Weight { value: node.self_value, samples: node.self_samples }.whole(self.period)
    }
}

/// What samples must share to be counted as one before any name is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    /// The thread, or, if threads are not told apart, the first one seen of a process of that name.
    pub thread: ThreadId,
    /// 0 for a stack that is not known to be cut, else one more than the row of [`Truncation::ALL`].
    pub end: u8,
    pub stack: StackId,
}

/// Value and number of samples.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weight {
    pub value: u64,
    pub samples: u64,
}

impl Weight {
    /// As one whole number, see [`CallTree::self_weight`].
    pub fn whole(self, period: Option<u64>) -> u64 {
        match period {
            Some(_) if self.samples > 0 => self.samples,
            Some(period) if period > 0 => self.value / period + u64::from(self.value % period >= period.div_ceil(2)),
            _ => self.value,
        }
    }
}

pub(super) fn aggregate(profile: &Profile, event: EventId, per_thread: bool) -> Vec<(Key, Weight)> {
    let mut of_name: FxHashMap<StringId, ThreadId> = FxHashMap::default();
    let thread_of: Vec<ThreadId> = (0..profile.threads.len())
        .map(|row| {
            let thread = ThreadId::from_index(row);
            if per_thread {
                return thread;
            }
            let name = profile.processes[profile.threads[row].process.index()].name;
            *of_name.entry(name).or_insert(thread)
        })
        .collect();
    let mut rows: FxHashMap<Key, Weight> = FxHashMap::default();
    let mut sum = 0u64;
    for sample in profile.samples.iter().filter(|sample| sample.event == event) {
        let end = match sample.end {
            StackEnd::Root | StackEnd::Unstated => 0,
            StackEnd::Truncated(reason) => {
                1 + Truncation::ALL.iter().position(|known| *known == reason).expect("ALL holds all") as u8
            }
        };
        let key = Key { thread: thread_of[sample.thread.index()], end, stack: sample.stack };
        let value = sample.value.min(u64::MAX - sum);
        sum += value;
        let weight = rows.entry(key).or_default();
        weight.value += value;
        weight.samples += u64::from(sample.count);
    }
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_unstable_by_key(|(key, _)| *key);
    rows
}

/// The tree while it grows: nodes in the order in which they were first needed.
struct Growth<'a> {
    profile: &'a Profile,
    frames: FrameNames<'a>,
    nodes: Vec<Node>,
    of_name: FxHashMap<(NodeId, StringId, FrameKind), NodeId>,
    /// The node of a stack above its base, so that callers shared by stacks are walked once.
    of_stack: FxHashMap<(NodeId, StackId), NodeId>,
    of_base: FxHashMap<(ThreadId, u8), NodeId>,
    walk: Vec<StackId>,
}

impl<'a> Growth<'a> {
    fn new(profile: &'a Profile) -> Growth<'a> {
        let mut frames = FrameNames::new(profile);
        let name = frames.names.intern("all");
        let root = node(Row { name, kind: FrameKind::Task, image: None, file: StringId(0), line: 0 }, 0, 0);
        Growth {
            profile,
            frames,
            nodes: vec![root],
            of_name: FxHashMap::default(),
            of_stack: FxHashMap::default(),
            of_base: FxHashMap::default(),
            walk: Vec::new(),
        }
    }

    fn add(&mut self, key: Key, weight: Weight, per_thread: bool) {
        let base = self.base(key, per_thread);
        let top = self.stack(base, key.stack);
        let node = &mut self.nodes[top as usize];
        node.self_value += weight.value;
        node.self_samples += weight.samples;
    }

    /// The node that stacks of this thread and end stand on.
    fn base(&mut self, key: Key, per_thread: bool) -> NodeId {
        if let Some(base) = self.of_base.get(&(key.thread, key.end)) {
            return *base;
        }
        let thread = &self.profile.threads[key.thread.index()];
        let process = self.frames.name(self.profile.processes[thread.process.index()].name);
        let mut base = self.child(0, named(process, FrameKind::Task));
        if per_thread {
            let name = self.frames.thread_name(thread);
            base = self.child(base, named(name, FrameKind::Task));
        }
        if let Some(row) = usize::from(key.end).checked_sub(1) {
            let name = self.frames.names.intern(&Truncation::ALL[row].note());
            base = self.child(base, named(name, FrameKind::Note));
        }
        self.of_base.insert((key.thread, key.end), base);
        base
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

    fn child(&mut self, parent: NodeId, row: Row) -> NodeId {
        let next = NodeId::try_from(self.nodes.len()).expect("a tree holds fewer than 2^32 nodes");
        let id = *self.of_name.entry((parent, row.name, row.kind)).or_insert(next);
        if id == next {
            self.nodes.push(node(row, parent, self.nodes[parent as usize].depth + 1));
            return id;
        }
        let node = &mut self.nodes[id as usize];
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
        id
    }

    /// Sums up, sorts siblings and puts the nodes into pre-order.
    fn finish(&mut self) -> Vec<Node> {
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
        let rank = self.ranks();
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

    /// The place of each name among all, so that sorting compares numbers.
    fn ranks(&self) -> Vec<u32> {
        let names: Vec<&str> = self.frames.names.iter().collect();
        let mut order: Vec<u32> = (0..names.len() as u32).collect();
        order.sort_unstable_by_key(|id| names[*id as usize]);
        let mut rank = vec![0; names.len()];
        for (place, id) in order.into_iter().enumerate() {
            rank[id as usize] = place as u32;
        }
        rank
    }
}

fn named(name: StringId, kind: FrameKind) -> Row {
    Row { name, kind, image: None, file: StringId(0), line: 0 }
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
