//! The samples of a profile as a tree: who called whom, and how much each took.

use super::growth::Growth;
use super::node::{Node, NodeId, Place};
use super::view::{View, Weight, aggregate};
use crate::model::{EventId, Profile, StringTable, Unit};

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
///
/// Bottom-up ([`super::Direction::Callers`]) the same stacks are read from their other end: `all`, `handle_request`, `main`, `server`.
/// All that a stack counts is then self value of its process, where the path ends.
#[derive(Clone, Debug)]
pub struct CallTree {
    /// All names and source files.
    pub names: StringTable,
    /// All nodes; node 0 is the root.
    pub nodes: Vec<Node>,
    /// Where code is; row 0 says nothing.
    pub places: Vec<Place>,
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
        let tree = CallTree::grow(profile, view, true).or_else(|| CallTree::grow(profile, view, false));
        tree.expect("what is looked for is not there twice")
    }

    /// Grows it; whether stacks of bare names are taken for nodes is for [`Growth::add`].
    fn grow(profile: &Profile, view: &View, is_plain: bool) -> Option<CallTree> {
        let drawn = view.event.unwrap_or(profile.main);
        let mut growth = Growth::new(profile, view);
        growth.add(&aggregate(profile, drawn, view), is_plain);
        CallTree::of(growth, profile, drawn)
    }

    /// What has grown from samples of `event`; nothing if the same node is there twice.
    pub(super) fn of(mut growth: Growth<'_>, profile: &Profile, event: EventId) -> Option<CallTree> {
        let event = profile.events.get(event.index());
        let (nodes, places) = growth.finish()?;
        Some(CallTree {
            nodes,
            places,
            event: event.map_or_else(String::new, |event| profile.strings.get(event.name).to_owned()),
            unit: event.map_or(Unit::Count, |event| event.unit),
            period: event.and_then(|event| event.period),
            names: growth.frames.names,
        })
    }

    /// The root: everything.
    pub fn root(&self) -> &Node {
        &self.nodes[0]
    }

    /// The name of `node`.
    pub fn name(&self, node: NodeId) -> &str {
        self.names.get(self.nodes[node as usize].name)
    }

    /// Where the code of `node` is.
    pub fn place(&self, node: NodeId) -> Place {
        self.places[self.nodes[node as usize].place as usize]
    }

    /// The nodes below `node`, in order of name.
    pub fn children(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        children(&self.nodes, node)
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

/// The nodes below one of `nodes`, which are in pre-order.
pub(super) fn children(nodes: &[Node], node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
    let end = nodes[node as usize].end;
    let mut next = node + 1;
    std::iter::from_fn(move || {
        (next < end).then(|| {
            let child = next;
            next = nodes[child as usize].end;
            child
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::Direction;
    use super::super::made::{profile, text};
    use super::*;

    fn stacks() -> Profile {
        profile(&["srv/1;main;a;b 3", "srv/1;main;b 2", "srv/2;[truncated: too deep];b 1", "srv/1;main;a 4", "srv/1 1"])
    }

    fn check(view: &View, expected: &[&str]) {
        let profile = stacks();
        let tree = CallTree::build(&profile, view);
        assert_eq!(text(&tree), expected);
        assert_eq!(tree.root().total_value, profile.samples.iter().map(|sample| sample.value).sum::<u64>());
    }

    #[test]
    fn bottom_up_ends_at_the_process_and_says_before_it_what_is_cut() {
        let bottom_up = View { direction: Direction::Callers, ..View::default() };
        check(
            &bottom_up,
            &[
                "all 11",
                " a 4",
                "  main 4",
                "   srv 4 own 4",
                " b 6",
                "  [truncated: too deep] 1",
                "   srv 1 own 1",
                "  a 3",
                "   main 3",
                "    srv 3 own 3",
                "  main 2",
                "   srv 2 own 2",
                " srv 1 own 1",
            ],
        );
        let per_thread = View { per_thread: true, ..bottom_up };
        let tree = CallTree::build(&stacks(), &per_thread);
        let last = &text(&tree)[tree.nodes.len() - 2..];
        assert_eq!(last, [" srv-1 1", "  srv 1 own 1"], "the process is further out than its thread");
    }

    #[test]
    fn processes_of_one_name_are_told_apart() {
        check(
            &View { per_process: true, ..View::default() },
            &[
                "all 11",
                " srv-1 10 own 1",
                "  main 9",
                "   a 7 own 4",
                "    b 3 own 3",
                "   b 2 own 2",
                " srv-2 1",
                "  [truncated: too deep] 1",
                "   b 1 own 1",
            ],
        );
        let unknown = CallTree::build(&profile(&["p;f 1"]), &View { per_process: true, ..View::default() });
        assert_eq!(text(&unknown), ["all 1", " p 1", "  f 1 own 1"]);
    }

    /// Both trees are of the same stacks: turned round, the paths of one are those of the other.
    #[test]
    fn bottom_up_paths_are_paths_turned_round() {
        let paths = |direction: Direction| {
            let tree = CallTree::build(&stacks(), &View { direction, ..View::default() });
            let mut paths: Vec<(Vec<String>, u64)> = Vec::new();
            for (id, node) in tree.nodes.iter().enumerate().filter(|(_, node)| node.self_value > 0) {
                let (mut path, mut at) = (Vec::new(), id as NodeId);
                while at != 0 {
                    path.push(tree.name(at).to_owned());
                    at = tree.nodes[at as usize].parent;
                }
                if direction == Direction::Callers {
                    path.reverse();
                }
                paths.push((path, node.self_value));
            }
            paths.sort();
            paths
        };
        assert_eq!(paths(Direction::Callees), paths(Direction::Callers));
    }

    /// Stacks of bare names are taken for nodes: the tree is that in which each is looked for, and has each path once.
    #[test]
    fn plain_stacks_are_the_nodes() {
        let mut seed = 7u64;
        let mut random = |limit: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % limit
        };
        for round in 0..60 {
            let lines: Vec<String> = (0..1 + random(200))
                .map(|_| {
                    let task = ["srv/1", "srv/2", "/3", "[no name]", "cut/4;[truncated: too deep]"][random(5) as usize];
                    let names = ["main", "a", "b", "c_[k]", "c", "[not sampled]", "all", "srv"];
                    let path: Vec<&str> = (0..random(9)).map(|_| names[random(names.len() as u64) as usize]).collect();
                    format!("{};{} {}", task, path.join(";"), 1 + random(5)).replace("; ", " ")
                })
                .collect();
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let mut profile = profile(&lines);
            let view = View { per_thread: round % 3 == 0, per_process: round % 2 == 0, ..View::default() };
            let expected = CallTree::grow(&profile, &view, false).unwrap();
            let keys = |tree: &CallTree| {
                let key = |node: &Node| {
                    let name = tree.names.get(node.name).to_owned();
                    (name, node.kind, node.parent, node.end, node.depth, node.total_samples, node.self_samples)
                };
                tree.nodes.iter().map(key).collect::<Vec<_>>()
            };
            assert_eq!(keys(&CallTree::build(&profile, &view)), keys(&expected));
            for (id, node) in expected.nodes.iter().enumerate() {
                let children: Vec<_> = expected.children(id as NodeId).collect();
                let own = |id: &NodeId| &expected.nodes[*id as usize];
                let below: u64 = children.iter().map(|child| own(child).total_value).sum();
                assert_eq!(node.total_value, node.self_value + below);
                assert!(
                    children.iter().map(|child| (expected.name(*child), own(child).kind)).is_sorted_by(|a, b| a < b)
                );
            }
            // A table that has a stack twice is no reason to draw it twice.
            let first = profile.samples.iter().find(|sample| sample.stack.index() > 0);
            if let Some(twice) = first {
                profile.stacks.push(profile.stacks[twice.stack.index()]);
                let stack = crate::model::StackId::from_index(profile.stacks.len() - 1);
                profile.samples.push(crate::model::Sample { stack, ..twice });
                assert!(CallTree::grow(&profile, &view, true).is_none());
                let tree = CallTree::build(&profile, &view);
                assert_eq!(tree.nodes.len(), expected.nodes.len());
                assert_eq!(tree.root().total_samples, expected.root().total_samples + u64::from(twice.count));
            }
        }
    }
}
