//! Nodes in the order in which they were made become a tree in pre-order, its siblings sorted: sums, sizes and places in a few
//! passes over all nodes, none of which follows a chain from node to node, as each step of one waits for memory.

use super::node::NodeId;
use super::view::Weight;

/// A node of a tree that grows; parents stand before their children, number 0 is the root.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grown {
    /// What it weighs itself.
    pub weight: Weight,
    /// The node above it; the root is its own.
    pub parent: NodeId,
    /// What tells it from its siblings: a row of the ranks.
    pub label: u32,
}

/// A node that has found its place, as they come in pre-order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    /// Its number as a [`Grown`].
    pub grown: NodeId,
    pub label: u32,
    /// The node above it, by its new number; the root is its own.
    pub parent: NodeId,
    /// One past the last node of its subtree.
    pub end: NodeId,
    pub depth: u32,
    /// What it weighs with all below it.
    pub total: Weight,
}

/// Nodes that are fetched from all over memory at once, so that it is waited for once.
const NEAR: usize = 256;

/// What a node needs to find its place among its siblings.
#[derive(Clone, Copy, Debug, Default)]
struct Sibling {
    id: NodeId,
    parent: NodeId,
    size: u32,
}

/// Calls `place` with all nodes in pre-order, siblings by the rank of their label.
///
/// Says whether all siblings have different labels: where they do not, nodes that are to be one stand side by side.
pub(super) fn pre_order(mut grown: Vec<Grown>, ranks: &[u32], mut place: impl FnMut(Placed)) -> bool {
    let mut sizes: Vec<u32> = vec![1; grown.len()];
    let mut children: Vec<u8> = vec![0; grown.len()];
    for id in (1..grown.len()).rev() {
        let Grown { weight, parent, .. } = grown[id];
        let (above, size) = (&mut grown[parent as usize].weight, sizes[id]);
        above.value += weight.value;
        above.samples += weight.samples;
        sizes[parent as usize] += size;
        let children = &mut children[parent as usize];
        *children = children.saturating_add(1);
    }
    let places = places(&grown, &sizes, &children, ranks);
    drop(children);
    let mut order: Vec<NodeId> = vec![0; grown.len()];
    for (id, place) in places.into_iter().enumerate() {
        order[place as usize] = id as NodeId;
        // The parents are known by now from where nodes stand: sizes take their place, to lie beside what else is wanted.
        grown[id].parent = sizes[id];
    }
    drop(sizes);
    // The nodes above the next one, and the label of the last that came below each.
    let mut open: Vec<(NodeId, NodeId, u32)> = Vec::new();
    let mut is_distinct = true;
    let (mut at, mut near) = (0, Vec::with_capacity(NEAR));
    for ids in order.chunks(NEAR) {
        near.clear();
        near.extend(ids.iter().map(|id| grown[*id as usize]));
        for (id, Grown { weight: total, parent: size, label }) in ids.iter().zip(&near) {
            while open.pop_if(|(_, end, _)| *end <= at).is_some() {}
            let depth = open.len() as u32;
            let parent = open.last_mut().map_or(at, |(parent, _, last)| {
                is_distinct &= std::mem::replace(last, *label) != *label;
                *parent
            });
            let end = at + size;
            place(Placed { grown: *id, label: *label, parent, end, depth, total: *total });
            open.push((at, end, u32::MAX));
            at += 1;
        }
    }
    is_distinct
}

/// Where each node stands in pre-order.
fn places(grown: &[Grown], sizes: &[u32], children: &[u8], ranks: &[u32]) -> Vec<NodeId> {
    // How far behind its parent each stands: those before it have taken their part.
    let mut taken: Vec<u32> = vec![1; grown.len()];
    let mut places: Vec<NodeId> = vec![1; grown.len()];
    places[0] = 0;
    for Sibling { id, parent, size } in by_rank(grown, sizes, children, ranks) {
        let taken = &mut taken[parent as usize];
        places[id as usize] = *taken;
        *taken += size;
    }
    for id in 1..grown.len() {
        places[id] += places[grown[id].parent as usize];
    }
    places
}

/// All nodes that have siblings, by the rank of their labels.
fn by_rank(grown: &[Grown], sizes: &[u32], children: &[u8], ranks: &[u32]) -> Vec<Sibling> {
    let siblings = || grown.iter().enumerate().skip(1).filter(|(_, node)| children[node.parent as usize] > 1);
    let mut next: Vec<u32> = vec![0; ranks.len() + 1];
    for (_, node) in siblings() {
        next[ranks[node.label as usize] as usize + 1] += 1;
    }
    for rank in 1..next.len() {
        next[rank] += next[rank - 1];
    }
    let mut order = vec![Sibling::default(); next[ranks.len()] as usize];
    for (id, node) in siblings() {
        let next = &mut next[ranks[node.label as usize] as usize];
        order[*next as usize] = Sibling { id: id as NodeId, parent: node.parent, size: sizes[id] };
        *next += 1;
    }
    order
}
