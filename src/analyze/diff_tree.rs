//! Two profiles in one tree: what each function took before, and what it takes now.

use std::cmp::Ordering;

use super::call_tree::{CallTree, children};
use super::growth::ranks;
use super::node::{Node, NodeId, Place};
use super::view::View;
use crate::model::{EventId, Profile, StringId};

/// What a node of the base took; values in the event's unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// Value of the samples that ended there.
    pub self_value: u64,
    /// Value of the samples that ended there or below.
    pub total_value: u64,
    /// Number of samples that ended there.
    pub self_samples: u64,
    /// Number of samples that ended there or below.
    pub total_samples: u64,
}

impl Side {
    /// What `node` took.
    pub(super) fn of(node: &Node) -> Side {
        Side {
            self_value: node.self_value,
            total_value: node.total_value,
            self_samples: node.self_samples,
            total_samples: node.total_samples,
        }
    }
}

/// The union of the call trees of two profiles: a node for each that is in the base, the new one, or both.
///
/// ```text
///                                 base        tree (new)
/// all                           120 / 0        100 / 0        total / self
///   server                      120 / 0        100 / 0
///     handle_request             80 / 80        60 / 10
///       log                       0 / 0         50 / 50       added
///     parse                      40 / 40         0 / 0        vanished
///     reply                       0 / 0         40 / 40
/// ```
///
/// Nodes are the same if their names, kinds and parents are. Every node but the root has samples or a value on one side at least.
/// The base's numbers are as they were counted: what makes them comparable is [`DiffTree::scale`], which is never applied to a
/// whole number.
#[derive(Clone, Debug)]
pub struct DiffTree {
    /// The tree; its values and its event are the new profile's (the base's event, if the new profile has no samples). A node that has vanished has values of 0, and the base's image.
    /// Its period is that of both, and none if they differ: numbers of samples are then not comparable.
    pub tree: CallTree,
    /// What each node of the tree took in the base, in the same order.
    pub base: Vec<Side>,
    /// What a value of the base is multiplied by to be compared with one of the new profile.
    pub scale: f64,
    /// The value of all samples of the base.
    pub base_total: u64,
    /// The value of all samples of the new profile.
    pub new_total: u64,
}

impl DiffTree {
    /// Builds the union of what `view` selects of both.
    ///
    /// The event that the view names is one of the new profile; of the base it is that of the same name and unit. With `normalise`
    /// the base is scaled so that both have the same total: shares are compared. Where one of them is empty nothing can be, and
    /// the scale is 1.
    pub fn build(base: &Profile, new: &Profile, view: &View, normalise: bool) -> DiffTree {
        let base_view = View { event: view.event.map(|event| same_event(base, new, event)), ..view.clone() };
        let base = CallTree::build(base, &base_view);
        let new = CallTree::build(new, view);
        let (base_total, new_total) = (base.root().total_value, new.root().total_value);
        let scale = match normalise && base_total > 0 && new_total > 0 {
            true => new_total as f64 / base_total as f64,
            false => 1.0,
        };
        let (tree, base) = unite(&base, new);
        DiffTree { tree, base, scale, base_total, new_total }
    }

    /// Whether `node` is of the base alone.
    pub fn is_vanished(&self, node: NodeId) -> bool {
        let node = &self.tree.nodes[node as usize];
        node.total_value == 0 && node.total_samples == 0
    }

    /// Whether `node` is of the new profile alone.
    pub fn is_added(&self, node: NodeId) -> bool {
        let base = &self.base[node as usize];
        base.total_value == 0 && base.total_samples == 0
    }

    /// By how much `node` itself takes more than before, in the event's unit; less than 0 if it takes less.
    pub fn self_change(&self, node: NodeId) -> f64 {
        self.change(self.base[node as usize].self_value, self.tree.nodes[node as usize].self_value)
    }

    /// By how much `node` and all below it take more than before, in the event's unit; less than 0 if they take less.
    pub fn total_change(&self, node: NodeId) -> f64 {
        self.change(self.base[node as usize].total_value, self.tree.nodes[node as usize].total_value)
    }

    /// The difference of a value of the base and one of the new profile.
    ///
    /// Without a scale the difference of whole numbers is exact, however large they are.
    pub fn change(&self, base: u64, new: u64) -> f64 {
        match self.scale == 1.0 {
            true => (i128::from(new) - i128::from(base)) as f64,
            false => new as f64 - base as f64 * self.scale,
        }
    }

    /// The share of `value` in all of the base, 0..1.
    pub fn base_share(&self, value: u64) -> f64 {
        share(value as f64, self.base_total as f64)
    }

    /// The share of `value`, of the new profile, in what all of the base is worth there: if counts are normalised, in all of the
    /// new profile; else in all of the base, which may be more than 1.
    pub fn new_share(&self, value: u64) -> f64 {
        share(value as f64, self.base_total as f64 * self.scale)
    }
}

/// The event of `base` that is the same as `event` of `new`; a row that is not there, and so without samples, if it has none.
fn same_event(base: &Profile, new: &Profile, event: EventId) -> EventId {
    let found = new.events.get(event.index()).and_then(|wanted| {
        let name = new.strings.get(wanted.name);
        base.events.iter().position(|event| base.strings.get(event.name) == name && event.unit == wanted.unit)
    });
    EventId::from_index(found.unwrap_or(base.events.len()))
}

fn unite(base: &CallTree, new: CallTree) -> (CallTree, Vec<Side>) {
    let CallTree { mut names, nodes: new_nodes, mut places, event, unit, period } = new;
    let of_base: Vec<StringId> = base.names.iter().map(|name| names.intern(name)).collect();
    let rank = ranks(&names);
    let base_node = |id: NodeId| {
        let node = &base.nodes[id as usize];
        Node { name: of_base[node.name.index()], ..*node }
    };
    let base_place = |id: NodeId| {
        let place = base.place(id);
        Place { file: of_base[place.file.index()], ..place }
    };
    let (mut nodes, mut sides): (Vec<Node>, Vec<Side>) = (Vec::with_capacity(new_nodes.len()), Vec::new());
    // What is still to be put in, the next one last: where it is in either tree, and below what.
    let mut pending: Vec<(Option<NodeId>, Option<NodeId>, NodeId)> = vec![(Some(0), Some(0), 0)];
    while let Some((in_base, in_new, parent)) = pending.pop() {
        let id = nodes.len() as NodeId;
        let old = in_base.map(base_node);
        let mut node = match (in_new, old) {
            (Some(row), _) => new_nodes[row as usize],
            (None, Some(old)) => Node { self_value: 0, total_value: 0, self_samples: 0, total_samples: 0, ..old },
            (None, None) => continue,
        };
        let known = if in_new.is_some() { places[node.place as usize] } else { Place::default() };
        let place = match (in_base.map(base_place), in_new) {
            (Some(old), None) => old,
            (Some(Place { file, lines, .. }), Some(_)) if known.file == StringId(0) => Place { file, lines, ..known },
            _ => known,
        };
        if in_new.is_none() || place != known {
            node.place = if place == Place::default() { 0 } else { places.len() as u32 };
            places.extend((node.place > 0).then_some(place));
        }
        nodes.push(Node { parent, end: id + 1, ..node });
        sides.push(old.map_or_else(Side::default, |old| Side::of(&old)));
        let begin = pending.len();
        let mut olds = in_base.into_iter().flat_map(|id| counted(&base.nodes, id)).peekable();
        let mut news = in_new.into_iter().flat_map(|id| counted(&new_nodes, id)).peekable();
        let key = |node: &Node| (rank[node.name.index()], node.kind);
        loop {
            let order = match (olds.peek(), news.peek()) {
                (Some(old), Some(new)) => key(&base_node(*old)).cmp(&key(&new_nodes[*new as usize])),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => break,
            };
            let old = if order.is_le() { olds.next() } else { None };
            let new = if order.is_ge() { news.next() } else { None };
            pending.push((old, new, id));
        }
        pending[begin..].reverse();
    }
    for id in (1..nodes.len()).rev() {
        let Node { parent, end, .. } = nodes[id];
        let parent = &mut nodes[parent as usize];
        parent.end = parent.end.max(end);
    }
    let (event, unit, period) = match (counts(base.root()), counts(&new_nodes[0])) {
        (true, false) => (base.event.clone(), base.unit, base.period),
        (true, true) => (event, unit, period.filter(|period| base.period == Some(*period))),
        (false, _) => (event, unit, period),
    };
    (CallTree { names, nodes, places, event, unit, period }, sides)
}

/// The nodes below one of `nodes` that have samples or a value.
fn counted(nodes: &[Node], node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
    children(nodes, node).filter(|id| counts(&nodes[*id as usize]))
}

fn share(value: f64, all: f64) -> f64 {
    if all > 0.0 { value / all } else { 0.0 }
}

fn counts(node: &Node) -> bool {
    node.total_value > 0 || node.total_samples > 0
}

#[cfg(test)]
mod tests {
    use super::super::Direction;
    use super::super::made::{profile, with_event};
    use super::*;
    use crate::model::{FrameKind, ProfileBuilder, Unit};

    const COUNTS: (&str, Unit, Option<u64>) = ("faults", Unit::Count, None);

    /// The tree as lines: indented names, totals and values of their own, base and new.
    fn text(diff: &DiffTree) -> Vec<String> {
        let lines = (0..diff.tree.nodes.len() as NodeId).map(|id| {
            let (base, new) = (&diff.base[id as usize], &diff.tree.nodes[id as usize]);
            let mark = match (diff.is_vanished(id), diff.is_added(id)) {
                (true, _) => " vanished",
                (_, true) => " added",
                _ => "",
            };
            let (name, depth) = (diff.tree.name(id), new.depth as usize);
            let (totals, own) = ((base.total_value, new.total_value), (base.self_value, new.self_value));
            format!("{}{name} {}/{} own {}/{}{mark}", " ".repeat(depth), totals.0, totals.1, own.0, own.1)
        });
        lines.collect()
    }

    fn check_tree(diff: &DiffTree) {
        let tree = &diff.tree;
        assert_eq!(diff.base.len(), tree.nodes.len());
        let mut below = vec![(0, 0); tree.nodes.len()];
        for (id, node) in tree.nodes.iter().enumerate().skip(1) {
            assert!(
                (node.parent as usize) < id
                    && id < node.end as usize
                    && node.end <= tree.nodes[node.parent as usize].end
            );
            assert_eq!(node.depth, tree.nodes[node.parent as usize].depth + 1);
            assert!(!(diff.is_vanished(id as NodeId) && diff.is_added(id as NodeId)));
            let sum = &mut below[node.parent as usize];
            *sum = (sum.0 + diff.base[id].total_value, sum.1 + node.total_value);
        }
        for (id, (base, new)) in below.into_iter().enumerate() {
            assert_eq!(diff.base[id].self_value + base, diff.base[id].total_value);
            assert_eq!(tree.nodes[id].self_value + new, tree.nodes[id].total_value);
            let keys: Vec<_> =
                tree.children(id as NodeId).map(|child| (tree.name(child), tree.nodes[child as usize].kind)).collect();
            assert!(keys.is_sorted_by(|a, b| a < b), "siblings are sorted and distinct: {keys:?}");
        }
        assert_eq!((diff.base[0].total_value, tree.root().total_value), (diff.base_total, diff.new_total));
    }

    #[test]
    fn what_vanished_and_what_was_added_is_there() {
        let base = with_event(COUNTS, &["srv;handle 80", "srv;parse;zeta 40", "old 5", "srv;f_[k] 1"]);
        let new = with_event(COUNTS, &["srv;handle;log 50", "srv;handle 10", "srv;reply 40", "srv;f 1"]);
        let diff = DiffTree::build(&base, &new, &View::default(), false);
        check_tree(&diff);
        assert_eq!(
            text(&diff),
            [
                "all 126/101 own 0/0",
                " old 5/0 own 5/0 vanished",
                " srv 121/101 own 0/0",
                "  f 0/1 own 0/1 added",
                "  f 1/0 own 1/0 vanished",
                "  handle 80/60 own 80/10",
                "   log 0/50 own 0/50 added",
                "  parse 40/0 own 0/0 vanished",
                "   zeta 40/0 own 40/0 vanished",
                "  reply 0/40 own 0/40 added",
            ]
        );
        assert_eq!(diff.tree.nodes[4].kind, FrameKind::Kernel, "another kind is another function");
        assert_eq!((diff.scale, diff.self_change(5), diff.total_change(5)), (1.0, -70.0, -20.0));
    }

    #[test]
    fn counts_are_scaled_and_never_rounded() {
        let base = with_event(COUNTS, &["p;a 1", "p;b 2"]);
        let new = with_event(COUNTS, &["p;a 300", "p;b 700"]);
        let diff = DiffTree::build(&base, &new, &View::default(), true);
        check_tree(&diff);
        assert_eq!(diff.scale, 1000.0 / 3.0);
        assert!((diff.self_change(2) + 100.0 / 3.0).abs() < 1e-9 && (diff.self_change(3) - 100.0 / 3.0).abs() < 1e-9);
        assert!(diff.total_change(0).abs() < 1e-9, "all is all");
        assert_eq!((diff.base[2].self_value, diff.base[3].self_value), (1, 2));
        assert!((diff.base_share(2) - 2.0 / 3.0).abs() < 1e-12 && (diff.new_share(700) - 0.7).abs() < 1e-12);
    }

    #[test]
    fn a_side_may_be_empty() {
        let full = profile(&["p;a 2"]);
        let nothing = ProfileBuilder::new().finish();
        for (base, new, expected) in
            [(&full, &nothing, (20, 0)), (&nothing, &full, (0, 20)), (&nothing, &nothing, (0, 0))]
        {
            let diff = DiffTree::build(base, new, &View::default(), true);
            check_tree(&diff);
            assert_eq!(((diff.base_total, diff.new_total), diff.scale), (expected, 1.0));
            assert_eq!(diff.tree.nodes.len(), if expected == (0, 0) { 1 } else { 3 });
            assert!(expected == (0, 0) || diff.tree.period == Some(10), "a side without samples has no say");
            assert!((1..diff.tree.nodes.len() as NodeId).all(|id| diff.is_vanished(id) == (expected.1 == 0)));
        }
    }

    #[test]
    fn values_near_the_limit() {
        let large = u64::MAX / 2;
        let base = with_event(COUNTS, &[&format!("p;a {large}"), &format!("p;b {large}"), "p;c 9"]);
        let new = with_event(COUNTS, &[&format!("p;a {}", large - 3), &format!("p;b {large}"), "p;c 1"]);
        for normalise in [false, true] {
            let diff = DiffTree::build(&base, &new, &View::default(), normalise);
            check_tree(&diff);
            assert_eq!(diff.base_total, u64::MAX, "what is beyond is cut");
            let changes: Vec<f64> = (0..diff.tree.nodes.len() as NodeId).map(|id| diff.self_change(id)).collect();
            assert!(changes.iter().all(|change| change.is_finite() && change.abs() < 1e6), "{changes:?}");
            assert!(normalise || changes[2] == -3.0, "{changes:?}");
        }
        let diff = DiffTree::build(&base, &with_event(COUNTS, &["p;c 1"]), &View::default(), false);
        assert_eq!(diff.self_change(2), -(large as f64));
        assert_eq!(diff.total_change(0), 1.0 - u64::MAX as f64);
    }

    #[test]
    fn samples_of_another_length_are_not_added_up() {
        let base = profile(&["p;a 3"]);
        let new = with_event(("cpu-clock", Unit::Nanoseconds, Some(20)), &["p;a 3"]);
        assert_eq!(DiffTree::build(&base, &new, &View::default(), false).tree.period, None);
        assert_eq!(DiffTree::build(&base, &base, &View::default(), false).tree.period, Some(10));
    }

    #[test]
    fn the_event_is_found_by_its_name() {
        let mut base = profile(&["p;a 3"]);
        let new = profile(&["p;a 4"]);
        let view = View { event: Some(EventId(0)), ..View::default() };
        let diff = DiffTree::build(&base, &new, &view, true);
        assert_eq!((diff.base_total, diff.new_total), (30, 40));
        base.events[0].unit = Unit::Bytes;
        assert_eq!(DiffTree::build(&base, &new, &view, true).base_total, 0, "of another unit it is another event");
    }

    /// The same two profiles, the other way round and bottom-up: the same functions with the same numbers.
    #[test]
    fn directions_agree() {
        let base = profile(&["srv;main;a 5", "srv;main;b 7", "srv;[truncated: too deep];b 1"]);
        let new = profile(&["srv;main;a 9", "srv;main;c;b 2"]);
        let forwards = DiffTree::build(&base, &new, &View::default(), true);
        let backwards = DiffTree::build(&new, &base, &View::default(), true);
        check_tree(&backwards);
        assert_eq!(forwards.tree.nodes.len(), backwards.tree.nodes.len());
        for (id, (node, side)) in backwards.tree.nodes.iter().zip(&backwards.base).enumerate() {
            let (other, other_side) = (&forwards.tree.nodes[id], &forwards.base[id]);
            assert_eq!((node.total_value, side.total_value), (other_side.total_value, other.total_value));
        }
        let view = View { direction: Direction::Callers, ..View::default() };
        let bottom_up = DiffTree::build(&base, &new, &view, true);
        check_tree(&bottom_up);
        let names: Vec<&str> = bottom_up.tree.children(0).map(|id| bottom_up.tree.name(id)).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
