//! Where each sample stands in a call tree: what a picture needs to divide its tree by thread and by time.

use rustc_hash::FxHashMap;

use super::call_tree::CallTree;
use super::frame_names::FrameNames;
use super::node::NodeId;
use super::timeline::has_place;
use crate::model::{
    EventId, FoundBySet, FrameKind, Profile, StackEnd, StackId, StringId, StringTable, Thread, ThreadId,
};

/// One sample, or several that are alike in all but their time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// When it was taken, in nanoseconds of the profile's clock; 0 if nobody knows, or it is of no moment.
    pub time: u64,
    /// On which thread.
    pub thread: ThreadId,
    /// Where it ends.
    pub node: NodeId,
    /// How much, in the tree's unit.
    pub value: u64,
    /// How many samples; 0 for an estimate.
    pub count: u64,
    /// Whether its time is that of a moment: sums of waits, and of several samples, have none.
    pub is_placed: bool,
}

/// The samples of a tree.
#[derive(Clone, Debug, Default)]
pub struct Leaves {
    /// Those without a moment first, the others in order of time; without times, a row for each thread and node.
    pub leaves: Vec<Leaf>,
    /// Whether they have times of their own.
    pub is_timed: bool,
    /// How the code of each function was found, by name (in [`CallTree::names`]) and kind.
    pub found_by: FxHashMap<(StringId, FrameKind), FoundBySet>,
}

impl Leaves {
    /// The samples of `tree`, which was built from `profile` for this event with callees below callers and without threads or process
    /// ids; nothing if they would tell no more than the tree: no times, and no two threads of one process name.
    pub fn of(profile: &Profile, tree: &CallTree, event: Option<EventId>) -> Option<Leaves> {
        let event = event.unwrap_or(profile.main);
        let samples = || profile.samples.iter().filter(|sample| sample.event == event);
        samples().next()?;
        let mut times = samples().filter(has_place).map(|sample| sample.time);
        let first = times.next();
        let is_timed = times.any(|time| Some(time) != first);
        if !is_timed && threads_are_processes(&profile.threads, profile) {
            return None;
        }
        let mut places = Places::new(profile, tree);
        let mut leaves = Vec::new();
        let mut sum = 0u64;
        for sample in samples() {
            let node = places.node(sample.thread, sample.end, sample.stack);
            // As the tree cuts them.
            let value = sample.value.min(u64::MAX - sum);
            sum += value;
            let is_placed = is_timed && has_place(&sample);
            let time = if is_placed { sample.time.0 } else { 0 };
            leaves.push(Leaf { time, thread: sample.thread, node, value, count: sample.count.into(), is_placed });
        }
        if is_timed {
            leaves.sort_by_key(|leaf| leaf.time);
        } else {
            leaves.sort_unstable_by_key(|leaf| (leaf.thread, leaf.node));
            leaves.dedup_by(|leaf, kept| {
                let is_same = (leaf.thread, leaf.node) == (kept.thread, kept.node);
                if is_same {
                    kept.value += leaf.value;
                    kept.count += leaf.count;
                }
                is_same
            });
        }
        Some(Leaves { leaves, is_timed, found_by: places.found_by })
    }
}

/// Whether no process name has more than one thread.
fn threads_are_processes(threads: &[Thread], profile: &Profile) -> bool {
    let mut names: Vec<StringId> =
        threads.iter().map(|thread| profile.processes[thread.process.index()].name).collect();
    names.sort_unstable();
    names.windows(2).all(|pair| pair[0] != pair[1])
}

/// Finds the nodes of stacks in a tree.
struct Places<'a> {
    profile: &'a Profile,
    tree: &'a CallTree,
    frames: FrameNames<'a>,
    /// The tree's name of each name of `frames`.
    names: Vec<Option<StringId>>,
    ids: FxHashMap<&'a str, StringId>,
    children: FxHashMap<(NodeId, StringId, FrameKind), NodeId>,
    known: FxHashMap<(Option<StringId>, StackEnd, StackId), NodeId>,
    found_by: FxHashMap<(StringId, FrameKind), FoundBySet>,
}

impl<'a> Places<'a> {
    fn new(profile: &'a Profile, tree: &'a CallTree) -> Places<'a> {
        let ids_of = |names: &'a StringTable| {
            names.iter().enumerate().map(|(row, name)| (name, StringId::from_index(row))).collect()
        };
        let nodes = tree.nodes.iter().enumerate().skip(1);
        Places {
            profile,
            tree,
            frames: FrameNames::new(profile),
            names: Vec::new(),
            ids: ids_of(&tree.names),
            children: nodes.map(|(id, node)| ((node.parent, node.name, node.kind), id as NodeId)).collect(),
            known: FxHashMap::default(),
            found_by: FxHashMap::default(),
        }
    }

    fn node(&mut self, thread: ThreadId, end: StackEnd, stack: StackId) -> NodeId {
        let process = &self.profile.processes[self.profile.threads[thread.index()].process.index()];
        let process = self.frames.is_shown(process).then_some(process.name);
        if let Some(known) = self.known.get(&(process, end, stack)) {
            return *known;
        }
        let parent = self.profile.stacks[stack.index()].parent;
        let node = if stack == StackId(0) {
            self.base(process, end)
        } else {
            // As deep as stacks are: callers are found first.
            let mut missing = vec![stack];
            let mut at = parent;
            while at != StackId(0) && !self.known.contains_key(&(process, end, at)) {
                missing.push(at);
                at = self.profile.stacks[at.index()].parent;
            }
            let mut node = match self.known.get(&(process, end, at)) {
                Some(known) => *known,
                None => self.base(process, end),
            };
            while let Some(at) = missing.pop() {
                let frame = self.profile.stacks[at.index()].frame;
                let found_by = self.profile.frames[frame.index()].found_by;
                for row in self.frames.rows_of(frame) {
                    let row = self.frames.row(row);
                    let name = self.name(row.name);
                    node = self.child(node, name, row.kind);
                    let found = self.found_by.entry((name, row.kind)).or_default();
                    *found = found.union(found_by);
                }
                self.known.insert((process, end, at), node);
            }
            node
        };
        self.known.insert((process, end, stack), node);
        node
    }

    fn base(&mut self, process: Option<StringId>, end: StackEnd) -> NodeId {
        let node = process.map_or(0, |process| {
            let name = match self.profile.strings.get(process) {
                "" => self.frames.names.intern("[no name]"),
                name => self.frames.names.intern(name),
            };
            let name = self.name(name);
            self.child(0, name, FrameKind::Task)
        });
        let StackEnd::Truncated(reason) = end else { return node };
        let note = self.ids.get(reason.note().as_str()).copied();
        note.map_or(node, |note| self.child(node, note, FrameKind::Note))
    }

    fn name(&mut self, name: StringId) -> StringId {
        if self.names.len() <= name.index() {
            self.names.resize(name.index() + 1, None);
        }
        if let Some(known) = self.names[name.index()] {
            return known;
        }
        let found = self.ids.get(self.frames.names.get(name)).copied().unwrap_or_default();
        self.names[name.index()] = Some(found);
        found
    }

    /// A frame that the tree has not counts for its caller; a tree of the same profile has all.
    fn child(&self, parent: NodeId, name: StringId, kind: FrameKind) -> NodeId {
        debug_assert!(self.children.contains_key(&(parent, name, kind)), "the tree is of this profile");
        debug_assert!((parent as usize) < self.tree.nodes.len());
        self.children.get(&(parent, name, kind)).copied().unwrap_or(parent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyze::View;
    use crate::model::{ProfileBuilder, Sample, Timestamp, Truncation, Unit};

    fn profile(times: [u64; 4]) -> Profile {
        let mut builder = ProfileBuilder::new();
        let event = builder.add_event("cpu-clock", Unit::Nanoseconds, Some(10));
        let process = builder.add_process(1, "p");
        let threads = [builder.add_thread(process, 1, "a"), builder.add_thread(process, 2, "b")];
        let frames = ["f", "g", "h"].map(|name| builder.name_frame(name, FrameKind::User));
        let outer = builder.stack(StackId(0), frames[0]);
        let stacks = [outer, builder.stack(outer, frames[1]), builder.stack(outer, frames[2]), StackId(0)];
        for (row, time) in times.into_iter().enumerate() {
            builder.add_sample(Sample {
                time: Timestamp(time),
                thread: threads[row % 2],
                cpu: 0,
                stack: stacks[row],
                end: if row == 1 { StackEnd::Truncated(Truncation::TooDeep) } else { StackEnd::Root },
                event,
                value: 10,
                count: 1,
            });
        }
        builder.finish()
    }

    #[test]
    fn sums_by_node_are_those_of_the_tree() {
        for times in [[1, 2, 3, 4], [0; 4]] {
            let profile = profile(times);
            let tree = CallTree::build(&profile, &View::default());
            let leaves = Leaves::of(&profile, &tree, None).unwrap();
            assert_eq!(leaves.is_timed, times[0] > 0);
            let mut sums = vec![0; tree.nodes.len()];
            leaves.leaves.iter().for_each(|leaf| sums[leaf.node as usize] += leaf.value);
            let own: Vec<u64> = tree.nodes.iter().map(|node| node.self_value).collect();
            assert_eq!(sums, own);
        }
    }
}
