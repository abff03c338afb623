//! The views of a profile against each other: trees from either end, a function's two sides, the time line, a difference.
//!
//! Of profiles made by hand and of recordings of perf: what two views say of one thing must be the same.

#[path = "common/sketch.rs"]
mod sketch;

use std::collections::BTreeMap;
use std::path::Path;

use flameprofile::analyze::{CallTree, DiffTree, Direction, NodeId, Sandwich, Timeline, Top, View};
use flameprofile::import::{ImportOptions, Input, import};
use flameprofile::model::{EventId, FrameKind, Profile, Sample, StackEnd, StackId};

use sketch::{deep, every_kind, hostile, large};

fn recording(name: &str) -> Profile {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name);
    import(vec![Input::Path(path)], &ImportOptions::default(), &mut |_| {}).unwrap()
}

/// Profiles, with the rows of the events that have samples.
fn profiles() -> Vec<(&'static str, Profile, Vec<EventId>)> {
    let all = [
        ("every kind", every_kind()),
        ("hostile", hostile()),
        ("large", large(1_000, 3_000)),
        ("deep", deep(2_000)),
        ("dwarf.data", recording("perf_data/dwarf.data")),
        ("three_events.data", recording("perf_data/three_events.data")),
        ("switches.data", recording("perf_data/switches.data")),
        ("perf script", recording("import/perf_script_default.txt")),
    ];
    let events = |profile: &Profile| {
        let rows = (0..profile.events.len()).map(EventId::from_index);
        rows.filter(|event| profile.samples.iter().any(|sample| sample.event == *event)).collect()
    };
    let with_events = |(name, profile)| {
        let events = events(&profile);
        (name, profile, events)
    };
    all.into_iter().map(with_events).collect()
}

fn view(event: EventId, direction: Direction) -> View {
    View { event: Some(event), direction, ..View::default() }
}

#[test]
fn innermost_functions_have_their_self_value_bottom_up() {
    for (name, profile, events) in profiles() {
        for event in events {
            let forwards = CallTree::build(&profile, &view(event, Direction::Callees));
            let mut own: BTreeMap<(String, FrameKind), (u64, u64)> = BTreeMap::new();
            let top = Top::build(&forwards);
            let sum: u64 = top.functions.iter().map(|function| function.self_value).sum();
            assert_eq!(sum, forwards.root().total_value, "{name}");
            // The innermost function of a wait is the kernel's scheduler, which is not who waited.
            if !top.waits.is_empty() {
                continue;
            }
            for function in top.functions.iter().filter(|function| function.self_samples > 0) {
                let key = (forwards.names.get(function.name).to_owned(), function.kind);
                own.insert(key, (function.self_value, function.self_samples));
            }
            let tree = CallTree::build(&profile, &view(event, Direction::Callers));
            let found =
                tree.children(0).map(|id| (id, tree.nodes[id as usize])).filter(|(_, node)| node.total_samples > 0);
            let found: BTreeMap<_, _> = found
                .map(|(id, node)| ((tree.name(id).to_owned(), node.kind), (node.total_value, node.total_samples)))
                .collect();
            assert_eq!(found, own, "{name}");
            assert_eq!(tree.root().total_value, forwards.root().total_value);
        }
    }
}

#[test]
fn both_sides_of_a_function_have_its_total() {
    for (name, profile, events) in profiles() {
        for event in events {
            let view = view(event, Direction::Callees);
            let tree = CallTree::build(&profile, &view);
            let top = Top::build(&tree);
            for function in top.functions.iter().filter(|function| function.kind != FrameKind::Task).take(30) {
                let text = tree.names.get(function.name);
                if top.functions.iter().filter(|other| other.name == function.name).count() > 1 {
                    continue;
                }
                // Notes of the tree's own are no frames.
                let Some(sandwich) = Sandwich::build(&profile, &view, text) else {
                    assert_eq!(function.kind, FrameKind::Note, "{name}: {text:.80}");
                    continue;
                };
                for side in [&sandwich.callers, &sandwich.callees] {
                    let root = side.root();
                    assert_eq!(side.name(0), text);
                    assert_eq!(
                        (root.total_value, root.total_samples),
                        (function.total_value, function.total_samples),
                        "{name}: {text:.80}"
                    );
                }
            }
        }
    }
}

/// The names of a sample's stack, outermost first; nothing for code without a name.
fn names(profile: &Profile, sample: &Sample) -> Vec<Option<String>> {
    use flameprofile::model::FrameKey;
    let mut names = Vec::new();
    for frame in profile.frames_of(sample.stack) {
        let lines = profile.lines_of(frame).iter().map(|line| profile.functions[line.function.index()].name);
        let lines: Vec<_> = lines.map(|name| Some(profile.strings.get(name).to_owned())).collect();
        match profile.frames[frame.index()].key {
            _ if !lines.is_empty() => names.extend(lines),
            FrameKey::Name { name, .. } => names.push(Some(profile.strings.get(name).to_owned())),
            FrameKey::Code { .. } => names.push(None),
        }
    }
    if let StackEnd::Truncated(reason) = sample.end {
        names.push(Some(reason.note()));
    } else if sample.stack == StackId(0) {
        names.push(None);
    }
    names.reverse();
    names
}

#[test]
fn at_the_time_of_a_sample_its_thread_is_in_its_stack() {
    for (name, profile, events) in profiles() {
        for event in events {
            let view = view(event, Direction::Callees);
            let timeline = Timeline::build(&profile, &view).unwrap_or_else(|| panic!("{name} has times"));
            let tree = CallTree::build(&profile, &view);
            let placed: u64 = timeline.lanes.iter().map(|lane| lane.value).sum();
            assert_eq!(placed + timeline.without_time, tree.root().total_value, "{name}");
            let is_wait = timeline.event == "off-cpu";
            let samples: Vec<Sample> = profile.samples.iter().filter(|sample| sample.event == event).collect();
            for (row, sample) in samples.iter().enumerate().filter(|(_, sample)| sample.count == 1).step_by(7) {
                let thread = &profile.threads[sample.thread.index()];
                let name_of = match profile.strings.get(thread.name) {
                    "" => "[no name]",
                    name => name,
                };
                let lane_name = format!("{name_of}-{}", thread.tid as i32);
                let lane = timeline.lanes.iter().find(|lane| lane.name == lane_name).unwrap();
                let at = sample.time.0 - timeline.start;
                // Of two at one time neither is alone then; waits that end at once have no length.
                let twin = |other: &Sample| other.thread == sample.thread && other.time == sample.time;
                if samples.iter().enumerate().any(|(other, of)| other != row && twin(of))
                    || (is_wait && sample.value == 0)
                {
                    continue;
                }
                let open = lane.spans.iter().filter(|span| span.start <= at && at < span.end);
                let open: Vec<&str> = open.map(|span| timeline.names.get(span.name)).collect();
                let expected = names(&profile, sample);
                assert_eq!(open.len(), expected.len(), "{name} at {at}: {open:.60?} {expected:.60?}");
                for (open, expected) in open.into_iter().zip(expected) {
                    assert!(expected.is_none_or(|expected| expected == open || expected.is_empty()), "{name} at {at}");
                }
            }
        }
    }
}

#[test]
fn a_profile_does_not_differ_from_itself() {
    for (name, profile, events) in profiles() {
        for (event, direction) in events
            .iter()
            .flat_map(|event| [Direction::Callees, Direction::Callers].map(|direction| (*event, direction)))
        {
            let view = view(event, direction);
            let (tree, diff) = (CallTree::build(&profile, &view), DiffTree::build(&profile, &profile, &view, true));
            let counted = tree.nodes.iter().filter(|node| node.total_value > 0 || node.total_samples > 0).count();
            assert_eq!(diff.tree.nodes.len(), counted.max(1), "{name}");
            for id in 1..diff.tree.nodes.len() as NodeId {
                assert!(!diff.is_added(id) && !diff.is_vanished(id), "{name}");
                assert_eq!((diff.self_change(id), diff.total_change(id)), (0.0, 0.0), "{name}");
            }
        }
    }
}
