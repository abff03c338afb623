//! What is drawn and written from profiles made by hand.

#[path = "common/sketch.rs"]
mod sketch;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use flameprofile::analyze::{CallTree, Direction, Top, View};
use flameprofile::export::json;
use flameprofile::formats::picture::{Column, Packer, Unpacked};
use flameprofile::import::{ImportOptions, Input, import};
use flameprofile::model::off_cpu::OffCpuStats;
use flameprofile::model::{
    CaptureStats, Filter, FoundBy, FoundBySet, FrameId, FrameKind, KernelWalks, Profile, Sample, StackId, Timestamp,
};
use flameprofile::render::folded::{self, FoldedOptions};
use flameprofile::render::top::{self, TopOptions};
use flameprofile::render::{Palette, PictureOptions, Shape, html, svg};
use flameprofile::render::{stats_json, summary, warnings};

use sketch::{PERIOD, Sketch, deep, every_kind, hostile, hostile_names, large};

fn tree_of(profile: &Profile) -> CallTree {
    CallTree::build(profile, &View::default())
}

fn folded_of(profile: &Profile) -> String {
    let mut out = Vec::new();
    folded::write(profile, &View::default(), &FoldedOptions::default(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn svg_of(profile: &Profile) -> String {
    let mut out = Vec::new();
    svg::write(profile, &View::default(), &PictureOptions::default(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn top_of(profile: &Profile, options: &TopOptions) -> String {
    let mut out = Vec::new();
    top::write(&tree_of(profile), profile, options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn json_of(profile: &Profile) -> String {
    let mut out = Vec::new();
    json::write(profile, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// Compares with `testdata/render/NAME`, or rewrites it if `BLESS` is set.
fn golden(name: &str, text: &str) {
    let path = format!("{}/testdata/render/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("BLESS").is_some() {
        return std::fs::write(path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert!(text == expected, "{name} differs; if it should, run with BLESS=1 and read the diff");
}

/// The script and the data have tests of their own and would be in the way of reading the difference.
fn without_script(picture: &str) -> String {
    let (before, rest) = picture.split_once("<![CDATA[").unwrap();
    let (_, after) = rest.rsplit_once("]]>").unwrap();
    let (before, rest) = before.split_once("\"data\">").unwrap();
    let (_, between) = rest.split_once("</metadata>").unwrap();
    format!("{before}\"data\"></metadata>{between}<![CDATA[]]>{after}")
}

fn check_tree(tree: &CallTree, profile: &Profile) {
    let mut sums = vec![(0, 0); tree.nodes.len()];
    for (id, node) in tree.nodes.iter().enumerate().skip(1) {
        assert!((node.parent as usize) < id && id < node.end as usize);
        let parent = &tree.nodes[node.parent as usize];
        assert!(node.end <= parent.end && node.depth == parent.depth + 1);
        let sum = &mut sums[node.parent as usize];
        *sum = (sum.0 + node.total_value, sum.1 + node.total_samples);
    }
    for (node, sum) in tree.nodes.iter().zip(sums) {
        assert_eq!((node.self_value + sum.0, node.self_samples + sum.1), (node.total_value, node.total_samples));
    }
    let value: u64 = profile.samples.iter().map(|sample| sample.value).sum();
    let samples: u64 = profile.samples.iter().map(|sample| u64::from(sample.count)).sum();
    assert_eq!((tree.root().total_value, tree.root().total_samples), (value, samples));
    for id in 0..tree.nodes.len() as u32 {
        let children: Vec<u32> = tree.children(id).collect();
        assert!(children.iter().all(|child| tree.nodes[*child as usize].parent == id));
        let keys: Vec<_> = children.iter().map(|child| (tree.name(*child), tree.nodes[*child as usize].kind)).collect();
        assert!(keys.is_sorted_by(|a, b| a < b), "siblings are sorted and distinct: {keys:?}");
    }
}

#[test]
fn sums_hold_in_every_tree() {
    for profile in [every_kind(), hostile(), large(3_000, 9_000), deep(3_000), Sketch::new().finish()] {
        for (per_thread, direction) in [
            (false, Direction::Callees),
            (true, Direction::Callees),
            (false, Direction::Callers),
            (true, Direction::Callers),
        ] {
            let view = View { per_thread, per_process: per_thread, direction, event: None };
            check_tree(&CallTree::build(&profile, &view), &profile);
        }
    }
}

#[test]
fn values_near_the_limit_do_not_overflow() {
    let mut s = Sketch::new();
    let main = s.frame("main");
    let stack = s.stack(&[main]);
    for _ in 0..3 {
        s.builder.add_sample(flameprofile::model::Sample {
            time: flameprofile::model::Timestamp(1),
            thread: s.thread,
            cpu: 0,
            stack,
            end: flameprofile::model::StackEnd::Root,
            event: flameprofile::model::EventId(0),
            value: u64::MAX / 2,
            count: 1,
        });
    }
    // `Profile::summarize` is the model's; what is drawn must hold without it.
    let profile = s.builder.finish();
    let tree = tree_of(&profile);
    assert_eq!(tree.root().total_value, u64::MAX);
    assert_eq!(tree.nodes.last().unwrap().self_value, u64::MAX);
    assert!(svg_of(&profile).contains("100 %"));
}

#[test]
fn processes_of_one_name_share_a_node_and_threads_have_their_own() {
    let mut s = Sketch::new();
    let main = s.frame("main");
    let other = s.thread(8, "server", 9, "worker");
    s.sample(&[main], 1);
    s.sample_as(other, &[main], flameprofile::model::StackEnd::Root, 2);
    let profile = s.finish();
    let names = |tree: &CallTree| (0..tree.nodes.len() as u32).map(|id| tree.name(id).to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&tree_of(&profile)), ["all", "server", "main"]);
    let tree = CallTree::build(&profile, &View { per_thread: true, ..View::default() });
    assert_eq!(names(&tree), ["all", "server", "main-7", "main", "worker-9", "main"]);
}

#[test]
fn a_node_knows_the_lines_that_were_seen() {
    let profile = every_kind();
    let tree = tree_of(&profile);
    let parse = tree.nodes.iter().find(|node| tree.names.get(node.name) == "server::http::parse_request").unwrap();
    let place = tree.places[parse.place as usize];
    assert_eq!((tree.names.get(place.file), place.lines), ("/src/server/src/http.rs", (77, 93)));
    assert_eq!(parse.kind, FrameKind::User);
}

#[test]
fn recursion_counts_once_in_the_top_table() {
    let profile = every_kind();
    let tree = tree_of(&profile);
    let top = Top::build(&tree);
    let render = top.functions.iter().find(|f| tree.names.get(f.name).ends_with("render")).unwrap();
    assert_eq!((render.self_samples, render.total_samples), (64 + 6 + 17, 64 + 22 + 6 + 17));
    let own: u64 = top.functions.iter().map(|function| function.self_value).sum();
    assert_eq!(own, tree.root().total_value);
    assert!(top.functions.is_sorted_by(|a, b| a.self_value >= b.self_value));
    assert!(top.functions.iter().all(|function| function.total_value <= tree.root().total_value));
}

#[test]
fn goldens() {
    let profile = every_kind();
    golden("every_kind.folded", &folded_of(&profile));
    golden("every_kind.svg", &without_script(&svg_of(&profile)));
    golden(
        "every_kind.top",
        &top_of(&profile, &TopOptions { width: Some(100), limit: Some(12), ..TopOptions::default() }),
    );
    golden("every_kind.summary", &summary(&profile.stats));
    golden("every_kind.json", &json_of(&profile));
    let hostile: String = folded_of(&hostile()).lines().map(|line| format!("{line:.120}\n")).collect();
    golden("hostile.folded", &hostile);
    golden("empty.svg", &without_script(&svg_of(&Sketch::new().finish())));
}

#[test]
fn the_same_profile_gives_the_same_bytes() {
    for make in [every_kind, hostile, || large(3_000, 9_000)] {
        assert_eq!(svg_of(&make()), svg_of(&make()));
        assert_eq!(folded_of(&make()), folded_of(&make()));
        assert_eq!(json_of(&make()), json_of(&make()));
    }
}

/// inferno's picture of `folded`: its frames' names and sample counts, added up by name.
fn inferno_counts(folded: &str) -> BTreeMap<String, u64> {
    let mut options = inferno::flamegraph::Options::default();
    options.min_width = 0.0;
    let mut picture = Vec::new();
    inferno::flamegraph::from_lines(&mut options, folded.lines(), &mut picture).unwrap();
    let picture = String::from_utf8(picture).unwrap();
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let document = roxmltree::Document::parse_with_options(&picture, options).unwrap();
    let titles = document.descendants().filter(|node| node.has_tag_name("g") && node.first_element_child().is_some());
    let titles = titles.filter_map(|node| node.first_element_child().filter(|child| child.has_tag_name("title")));
    let mut counts = BTreeMap::new();
    for text in titles.filter_map(|title| title.text()) {
        let Some((name, rest)) = text.rsplit_once(" (") else { continue };
        let count = rest.split(' ').next().unwrap().replace(',', "");
        *counts.entry(name.to_owned()).or_default() += count.parse::<u64>().unwrap();
    }
    counts
}

#[test]
fn inferno_counts_the_same_samples() {
    for profile in [every_kind(), large(2_000, 6_000)] {
        let tree = tree_of(&profile);
        let theirs = inferno_counts(&folded_of(&profile));
        let mut weights: Vec<u64> = (0..tree.nodes.len() as u32).map(|id| tree.self_weight(id)).collect();
        let mut ours: BTreeMap<String, u64> = BTreeMap::new();
        for id in (0..tree.nodes.len()).rev() {
            if id > 0 {
                weights[tree.nodes[id].parent as usize] += weights[id];
            }
            *ours.entry(tree.name(id as u32).to_owned()).or_default() += weights[id];
        }
        assert_eq!(ours, theirs);
    }
}

/// Folded bottom-up is every line turned round.
#[test]
fn folded_stacks_bottom_up() {
    let bottom_up = View { direction: Direction::Callers, ..View::default() };
    for profile in [every_kind(), large(2_000, 6_000)] {
        let mut out = Vec::new();
        folded::write(&profile, &bottom_up, &FoldedOptions::default(), &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(out.lines().is_sorted());
        let forwards = folded_of(&profile);
        let turned = forwards.lines().map(|line| {
            let (path, weight) = line.rsplit_once(' ').unwrap();
            format!("{} {weight}", path.split(';').rev().collect::<Vec<_>>().join(";"))
        });
        let turned: BTreeSet<String> = turned.collect();
        assert_eq!(turned, out.lines().map(str::to_owned).collect());
    }
}

#[test]
fn inferno_takes_hostile_names_for_names() {
    let profile = hostile();
    let tree = tree_of(&profile);
    let folded = folded_of(&profile);
    let weight: u64 = (0..tree.nodes.len() as u32).map(|id| tree.self_weight(id)).sum();
    // inferno's XML of control characters is not ours to judge: none is left in what it gets.
    assert!(folded.chars().all(|c| c == '\n' || !c.is_control()));
    assert_eq!(inferno_counts(&folded)["all"], weight);
    for line in folded.lines() {
        let (stack, weight) = line.rsplit_once(' ').unwrap();
        assert!(weight.parse::<u64>().is_ok() && (2..=3).contains(&stack.split(';').count()), "{line:.80}");
    }
}

fn html_of(profile: &Profile) -> String {
    let mut out = Vec::new();
    html::write(profile, &View::default(), &PictureOptions::default(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn read_back(picture: String) -> Profile {
    let input = Input::Stream { name: "picture".into(), reader: Box::new(std::io::Cursor::new(picture.into_bytes())) };
    let profile = import(vec![input], &ImportOptions::default(), &mut |_| {}).unwrap();
    profile.check().unwrap();
    profile
}

#[test]
fn what_a_picture_was_drawn_from_is_read_back() {
    for profile in [every_kind(), hostile(), large(3_000, 9_000), deep(3_000)] {
        let folded = folded_of(&profile);
        for picture in [svg_of(&profile), html_of(&profile)] {
            assert_eq!(folded_of(&read_back(picture)), folded);
        }
        // Also those that were drawn of what was read.
        let again = read_back(svg_of(&profile));
        assert_eq!(folded_of(&read_back(html_of(&again))), folded);
    }
    let empty = read_back(svg_of(&Sketch::new().finish()));
    assert!(empty.samples.is_empty());
}

fn unpacked(picture: &str) -> Unpacked {
    let (_, data) = picture.split_once("data-flameprofile=\"data\">").unwrap();
    Unpacked::read(data.split_once('<').unwrap().0.as_bytes()).unwrap()
}

/// Every kind of frame, with how each was found, waits that were added up, and one whose end is not stated.
fn every_kind_and_waits() -> Profile {
    let mut profile = every_kind();
    for (row, frame) in profile.frames.iter_mut().enumerate() {
        let ways = [FoundBy::Sample, FoundBy::UnwindInfo, FoundBy::FramePointer];
        frame.found_by = FoundBySet::default().with(ways[row % 3]).with(ways[row % 2]);
    }
    for row in [0, 150, 300, 301, 420] {
        let wait = Sample { time: Timestamp::UNKNOWN, value: 7, ..profile.samples.get(row) };
        profile.samples.push(Sample { count: 1 + row as u32 % 2, ..wait });
    }
    profile.samples.sort_by_time();
    profile.stats.off_cpu = Some(OffCpuStats { waits: 5, ..OffCpuStats::default() });
    profile.summarize();
    profile
}

/// All but the last line of a function: a frame has one line. And of the header, what it cost to read and to draw.
#[test]
fn a_picture_of_a_picture_holds_the_same() {
    let columns = [
        "name",
        "kind",
        "image",
        "file",
        "first_line",
        "found_by",
        "up",
        "function",
        "self",
        "samples",
        "pid",
        "tid",
        "process",
        "thread_name",
        "time",
        "thread",
        "node",
        "value",
        "count",
        "unplaced",
    ];
    for (what, profile) in [
        ("every kind", every_kind()),
        ("waits", every_kind_and_waits()),
        ("large", large(3_000, 9_000)),
        ("deep", deep(500)),
        // Names are in a picture as they are shown, and stand in that order.
        ("hostile", read_back(svg_of(&hostile()))),
    ] {
        let first = svg_of(&profile);
        let second = html_of(&read_back(first.clone()));
        let [one, other] = [&first, &second].map(|picture| unpacked(picture));
        assert!(one.text().unwrap() == other.text().unwrap(), "{what}");
        for column in columns {
            assert_eq!(one.rows(column), other.rows(column), "{what}: {column}");
            let rows = one.rows(column) as usize;
            let [one, other] = [&one, &other].map(|data| data.numbers(column).take(rows).collect::<Vec<_>>());
            assert!(one == other, "{what}: {column}: {one:?} {other:?}");
        }
        let mut headers = [one.header, other.header];
        for header in &mut headers {
            header.as_object_mut().unwrap().remove("columns");
            let facts = header["facts"].as_array_mut().unwrap();
            facts.retain(|fact| fact[0] != "profiler" && fact[0] != "records");
            let stats = header["stats"].as_object_mut().unwrap();
            for cost in ["own_cpu_seconds", "peak_rss_bytes", "records"] {
                stats.remove(cost);
            }
        }
        assert_eq!(headers[0], headers[1], "{what}");
    }
}

#[test]
fn modules_lines_and_figures_come_back() {
    let mut profile = every_kind();
    profile.stats.unnamed_images[0].help = "sudo apt install libblob-dbg".into();
    let again = read_back(svg_of(&profile));
    let table = |profile: &Profile| {
        // Paths are not in a picture.
        top_of(profile, &TopOptions::default()).replace("/opt/vendor/", "").replace("/usr/bin/", "")
    };
    assert_eq!(table(&again), table(&profile));
    for (what, stats) in [("first", &profile.stats), ("again", &again.stats)] {
        assert!((stats.unnamed_total() - 0.015067).abs() < 1e-6, "{what}: {}", stats.unnamed_total());
    }
    let compared = |stats: &CaptureStats| CaptureStats {
        own_cpu: Duration::ZERO,
        peak_rss_bytes: 0,
        records: BTreeMap::new(),
        is_as_recorded: false,
        ..stats.clone()
    };
    assert_eq!(compared(&again.stats), compared(&profile.stats));
    assert_eq!(
        again.stats.records["frames of the picture"],
        CallTree::build(&profile, &View::default()).nodes.len() as u64
    );
    let tree = tree_of(&again);
    let parse = tree.nodes.iter().position(|node| tree.names.get(node.name) == "server::http::parse_request").unwrap();
    let place = tree.place(parse as u32);
    assert_eq!((tree.names.get(place.file), place.lines.0), ("/src/server/src/http.rs", 77));
    let image = &again.images[place.image.unwrap().index()];
    assert_eq!(again.strings.get(image.path), "server");
    // What was inlined is a line of the frame that it was inlined into.
    let inlined = again.frames.iter().enumerate().map(|(row, _)| again.lines_of(FrameId::from_index(row)).len());
    assert_eq!(inlined.max(), Some(3));
    // Of a part, shares follow from what is there.
    let input = Input::Stream { name: "picture".into(), reader: Box::new(std::io::Cursor::new(svg_of(&profile))) };
    let filter = Filter { pids: vec![8], ..Filter::default() };
    let part = import(vec![input], &ImportOptions { filter, ..ImportOptions::default() }, &mut |_| {}).unwrap();
    assert_eq!((part.stats.samples, part.stats.unnamed_total(), part.stats.truncated_total()), (28, 0.0, 0.0));
    let both = |picture: String| Input::Stream { name: "one".into(), reader: Box::new(std::io::Cursor::new(picture)) };
    let inputs = vec![both(svg_of(&profile)), both(svg_of(&profile))];
    let both = import(inputs, &ImportOptions::default(), &mut |_| {}).unwrap();
    assert_eq!(both.stats.samples, 2 * profile.stats.samples);
    assert!((both.stats.unnamed_total() - profile.stats.unnamed_total()).abs() < 1e-9);
    assert!((both.stats.complete - profile.stats.complete).abs() < 1e-9);
    assert_eq!(both.stats.unnamed, profile.stats.unnamed);
}

/// A picture whose header somebody has written by hand: one process, `main`, three samples.
fn crafted(header: serde_json::Value) -> String {
    let mut packer = Packer::default();
    packer.add_text(["", "all", "prog", "main"].into_iter().map(Cow::from));
    for (name, numbers) in [
        ("name", [1, 2, 3]),
        ("kind", [4, 4, 0]),
        ("up", [0, 0, 0]),
        ("function", [0, 1, 2]),
        ("self", [0, 0, 30]),
        ("samples", [0, 0, 3]),
    ] {
        let mut column = Column::default();
        numbers.into_iter().for_each(|number| column.push(number));
        packer.add(name, column);
    }
    format!("<svg><metadata data-flameprofile=\"data\">{}</metadata></svg>", packer.finish(header).unwrap())
}

#[test]
fn figures_that_cannot_be_are_not_drawn() {
    let honest = stats_json(&CaptureStats { complete: 1.0, coverage: Some(1.5), ..CaptureStats::default() });
    let header = |key: &str, value: &serde_json::Value| {
        let mut header = serde_json::json!({"event": "cpu-clock", "unit": "ns", "period": 10, "tick": 1_000});
        header["stats"] = honest.clone();
        *header.pointer_mut(key).unwrap() = value.clone();
        header
    };
    let whole = read_back(crafted(header("/unit", &"ns".into())));
    assert!(whole.stats.notes.is_empty() && whole.stats.is_as_recorded && whole.stats.complete == 1.0);
    for value in [serde_json::json!(-5.0), serde_json::json!(1e300), "NaN".into(), "-500 %".into(), [7].into()] {
        for key in
            ["coverage", "complete", "unnamed", "unnamed_innermost", "truncated", "lost", "rate", "duration_seconds"]
        {
            let profile = read_back(crafted(header(&format!("/stats/{key}"), &value)));
            let notes = format!("figures in the picture that cannot be are left out: {key}");
            assert_eq!(profile.stats.notes, [notes.as_str()], "{value}");
            assert_eq!((profile.stats.samples, profile.stats.complete), (3, 1.0), "{key} follows from the tables");
            for text in [summary(&profile.stats), without_script(&svg_of(&profile))] {
                assert!(
                    !["500", "NaN", "−5", "-5", "inf", "e300"].iter().any(|odd| text.contains(odd)),
                    "{key}: {text}"
                );
                assert!(text.contains(&notes));
            }
        }
        for key in ["period", "tick"] {
            let profile = read_back(crafted(header(&format!("/{key}"), &value)));
            assert_eq!(profile.stats.notes, [format!("figures in the picture that cannot be are left out: {key}")]);
        }
    }
    // What is not even an object.
    let profile = read_back(crafted(header("/stats", &"all is well".into())));
    assert_eq!((profile.stats.samples, profile.stats.is_as_recorded), (3, false));
    assert_eq!(profile.stats.notes, ["figures in the picture that cannot be are left out: stats"]);
}

#[test]
fn damaged_pictures_are_refused() {
    let whole = svg_of(&every_kind());
    let begin = whole.find("data-flameprofile=\"data\">").unwrap() + 26;
    let read = |text: String| {
        let input = Input::Stream { name: "picture".into(), reader: Box::new(std::io::Cursor::new(text.into_bytes())) };
        import(vec![input], &ImportOptions::default(), &mut |_| {})
    };
    for (cut, by) in [(begin + 10, 4), (begin + 300, 1), (begin + 1_000, 8)] {
        let text = format!("{}{}", &whole[..cut], &whole[cut + by..]);
        assert!(read(text).unwrap_err().to_string().contains("damaged"));
    }
    let other = "<?xml version=\"1.0\"?><svg xmlns=\"http://www.w3.org/2000/svg\"></svg>".to_owned();
    assert!(read(other).unwrap_err().to_string().contains("holds no data of a picture of this program"));
}

/// What the picture shows, as a strict parser of XML sees it.
fn frames_in(picture: &str) -> Vec<(String, f64, f64, f64)> {
    let document = roxmltree::Document::parse(picture).unwrap();
    let number = |node: &roxmltree::Node, name: &str| node.attribute(name).unwrap().parse::<f64>().unwrap();
    let frames = document.descendants().find(|node| node.attribute("data-part") == Some("frames")).unwrap();
    let rects = frames.children().filter(|node| node.has_tag_name("rect"));
    let rects = rects.map(|rect| {
        let title = rect.first_element_child().unwrap().text().unwrap().lines().next().unwrap_or("").to_owned();
        (title, number(&rect, "x"), number(&rect, "y"), number(&rect, "width"))
    });
    rects.collect()
}

/// How many frames are too narrow to be pointed at, and are parts of paths.
fn slivers_in(picture: &str) -> usize {
    let document = roxmltree::Document::parse(picture).unwrap();
    let frames = document.descendants().find(|node| node.attribute("data-part") == Some("frames")).unwrap();
    let paths = frames.children().filter(|node| node.has_tag_name("path"));
    paths.map(|path| path.attribute("d").unwrap().matches('M').count()).sum()
}

#[test]
fn the_picture_is_xml_without_style_and_with_one_script() {
    for profile in [every_kind(), hostile(), large(3_000, 9_000), Sketch::new().finish()] {
        let picture = svg_of(&profile);
        let document = roxmltree::Document::parse(&picture).unwrap();
        let elements: Vec<_> = document.descendants().filter(|node| node.is_element()).collect();
        let known = ["svg", "title", "desc", "g", "rect", "path", "text", "tspan", "metadata", "script"];
        for element in &elements {
            assert!(known.contains(&element.tag_name().name()), "{:?}", element.tag_name());
            for attribute in element.attributes() {
                let name = attribute.name();
                assert!(!name.starts_with("on") && !["style", "href", "id", "class"].contains(&name), "{name}");
            }
        }
        assert_eq!(elements.iter().filter(|element| element.has_tag_name("script")).count(), 1);
        let script = elements.iter().find(|element| element.has_tag_name("script")).unwrap();
        assert!(script.text().unwrap().trim_start().starts_with("(function () {\n'use strict';"));
        assert!(!script.text().unwrap().contains("window.hit"));
    }
}

#[test]
fn hostile_names_are_shown_as_what_they_are() {
    let titles: Vec<String> = frames_in(&svg_of(&hostile())).into_iter().map(|(title, ..)| title).collect();
    for name in hostile_names() {
        let name = if name.is_empty() { "[no name]" } else { &name };
        let shown = flameprofile::render::name::printable(name);
        let shown = flameprofile::render::name::shorten(&shown, 1_000);
        assert!(titles.iter().any(|title| *title == shown), "{shown:.100}");
    }
}

#[test]
fn frames_lie_within_their_callers() {
    let frames = frames_in(&svg_of(&every_kind()));
    let mut open: Vec<(f64, f64, f64)> = Vec::new();
    for (title, x, y, width) in frames {
        while open.last().is_some_and(|(_, below, _)| *below <= y) {
            open.pop();
        }
        if let Some((caller_x, _, caller_width)) = open.last() {
            assert!(x >= caller_x - 0.02 && x + width <= caller_x + caller_width + 0.02, "{title}");
        }
        open.push((x, y, width));
    }
}

#[test]
fn nothing_small_is_hidden() {
    let profile = large(8_000, 20_000);
    let tree = tree_of(&profile);
    let mut out = Vec::new();
    let options = PictureOptions { min_width: 2.0, ..PictureOptions::default() };
    svg::write(&profile, &View::default(), &options, &mut out).unwrap();
    let picture = String::from_utf8(out).unwrap();
    assert!(picture.contains(" smaller: ") && picture.contains("narrower than 2.00 px drawn merged"));
    let mut out = Vec::new();
    svg::write(&profile, &View::default(), &PictureOptions { min_width: 0.0, ..PictureOptions::default() }, &mut out)
        .unwrap();
    let drawn = tree.nodes.iter().filter(|node| node.total_value > 0).count();
    let picture = std::str::from_utf8(&out).unwrap();
    assert_eq!(frames_in(picture).len() + slivers_in(picture), drawn);
    let mut out = Vec::new();
    svg::write(&profile, &View::default(), &PictureOptions { max_frames: 500, ..PictureOptions::default() }, &mut out)
        .unwrap();
    let picture = std::str::from_utf8(&out).unwrap();
    let frames = frames_in(picture).len() + slivers_in(picture);
    assert!(frames <= 500 && frames > 100, "{frames}");
}

#[test]
fn stacks_of_50_000_frames_are_drawn_and_cheap() {
    let profile = deep(50_000);
    let began = Instant::now();
    let tree = tree_of(&profile);
    check_tree(&tree, &profile);
    let picture = svg_of(&profile);
    assert!(picture.contains("49,001 frames deeper: ") || picture.contains("frames deeper: "));
    assert!(picture.len() < 1_000_000, "{}", picture.len());
    assert_eq!(frames_in(&picture).len(), 1_001);
    assert_eq!(folded_of(&profile).lines().count(), 2);
    assert!(top_of(&profile, &TopOptions::default()).contains("even"));
    assert!(json_of(&profile).len() < 10_000_000);
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}

#[test]
fn an_empty_profile_says_why() {
    let mut profile = Sketch::new().finish();
    profile.stats.cpu_time = Some(std::time::Duration::from_millis(3));
    let picture = svg_of(&profile);
    assert!(picture.contains("No samples of cpu-clock.") && picture.contains("used 3.00 ms of CPU time"));
    assert!(folded_of(&profile).is_empty());
    assert!(top_of(&profile, &TopOptions::default()).contains("0 samples"));
    // A profile without any table row at all.
    svg_of(&Profile::default());
}

fn chart_of(profile: &Profile, palette: Palette) -> flameprofile::Result<String> {
    let options = PictureOptions { shape: Shape::Chart, palette, ..PictureOptions::default() };
    let mut out = Vec::new();
    svg::write(profile, &View::default(), &options, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

/// The words of the legend.
fn legend_of(picture: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(picture).unwrap();
    let keys = document.descendants().find(|node| node.attribute("data-part") == Some("keys")).unwrap();
    keys.descendants().filter(|node| node.has_tag_name("text")).map(|key| key.text().unwrap().to_owned()).collect()
}

#[test]
fn a_still_chart_has_an_axis_of_time() {
    let chart = chart_of(&every_kind(), Palette::Type).unwrap();
    let document = roxmltree::Document::parse(&chart).unwrap();
    let axis = document.descendants().find(|node| node.attribute("data-part") == Some("axis")).unwrap();
    let texts = axis.children().filter(|node| node.has_tag_name("text"));
    let ticks: Vec<(&str, f64)> =
        texts.map(|text| (text.text().unwrap(), text.attribute("x").unwrap().parse().unwrap())).collect();
    assert_eq!(
        ticks.iter().map(|(label, _)| *label).collect::<Vec<_>>(),
        ["0", "500 ms", "1.00 s", "1.50 s", "2.00 s", "2.50 s", "3.00 s", "3.50 s", "4.00 s", "4.50 s"]
    );
    assert!(ticks.windows(2).all(|two| two[1].1 > two[0].1 + 90.0));
    // Lines go down to the last lane, and nothing of a lane is on the axis.
    let path = axis.children().find(|node| node.has_tag_name("path")).unwrap().attribute("d").unwrap();
    assert_eq!(path.matches('M').count(), ticks.len());
    let top: f64 = path.split_once(' ').unwrap().1.split_once('v').unwrap().0.parse().unwrap();
    assert!(frames_in(&chart).iter().all(|(_, _, y, _)| *y >= top + 2.0 * 18.0));
    // What has no frames has no axis either.
    assert!(!chart_of(&Sketch::new().finish(), Palette::Type).unwrap().contains("\"axis\""));
}

#[test]
fn a_chart_obeys_the_palette() {
    let profile = every_kind();
    let fills = |palette| {
        let chart = chart_of(&profile, palette).unwrap();
        let document = roxmltree::Document::parse(&chart).unwrap();
        let frames = document.descendants().find(|node| node.attribute("data-part") == Some("frames")).unwrap();
        let of = |node: roxmltree::Node| {
            let name = node.first_element_child().unwrap().text().unwrap().lines().next().unwrap().to_owned();
            (name, node.attribute("fill").unwrap().to_owned())
        };
        (
            frames.children().filter(|node| node.has_tag_name("rect")).map(of).collect::<BTreeMap<_, _>>(),
            legend_of(&chart),
        )
    };
    let (by_type, types) = fills(Palette::Type);
    let (by_binary, binaries) = fills(Palette::Binary);
    assert_eq!(types, ["user", "inlined", "JIT", "kernel", "missing"]);
    assert!(
        binaries.len() == 5 && binaries[0].starts_with("server ") && binaries[1].starts_with("[kernel] "),
        "{binaries:?}"
    );
    // One library has one hue, whatever its functions are called.
    assert_ne!(by_type["__memmove_avx_unaligned_erms"], by_binary["__memmove_avx_unaligned_erms"]);
    let flame = svg_of(&read_back(svg_of(&profile)));
    assert!(!flame.contains("axis"));
    let error = chart_of(&profile, Palette::Own).unwrap_err();
    assert!(error.to_string().contains("palette self is not of a chart"), "{error}");
    // Also of a picture that is read back.
    let again = legend_of(&chart_of(&read_back(svg_of(&profile)), Palette::Binary).unwrap());
    assert_eq!(again, binaries);
}

/// Kinds that are among the callers only are in the legend too.
#[test]
fn the_legend_of_a_sandwich_is_of_both_halves() {
    let of = |function: &str, palette| {
        let options = PictureOptions {
            shape: Shape::Sandwich,
            function: Some(function.to_owned()),
            palette,
            ..PictureOptions::default()
        };
        let mut out = Vec::new();
        svg::write(&every_kind(), &View::default(), &options, &mut out).unwrap();
        legend_of(std::str::from_utf8(&out).unwrap())
    };
    assert_eq!(of("tcp_recvmsg", Palette::Type), ["user", "kernel 100 %", "process or thread"]);
    assert_eq!(of("__memmove_avx_unaligned_erms", Palette::Type), ["user 100 %", "inlined", "process or thread"]);
    assert_eq!(of("tcp_recvmsg", Palette::Binary), ["[kernel] 100 %", "server", "libc.so.6"]);
}

#[test]
fn nothing_to_be_seen_is_said_in_words_that_fit() {
    let words = |profile: &Profile| {
        let picture = without_script(&svg_of(profile));
        let head = picture.split_once("data-part=\"head\"").unwrap().1.split_once("data-part=\"frames\"").unwrap().0;
        let document = format!("<svg{head}<g>");
        document
            .split("<tspan")
            .skip(1)
            .map(|part| part.split_once('>').unwrap().1.split_once('<').unwrap().0.to_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let folded = |text: &str, filter: Filter| {
        let input = Input::Stream {
            name: "x.folded".into(),
            reader: Box::new(std::io::Cursor::new(text.to_owned().into_bytes())),
        };
        import(vec![input], &ImportOptions { filter, ..ImportOptions::default() }, &mut |_| {}).unwrap()
    };
    let none = folded("a;b 0\n", Filter::default());
    assert_eq!(words(&none), "Flame graph of x.folded No samples. There are none in what was read.");
    let filter = || Filter { comms: vec!["other".into()], ..Filter::default() };
    let other = folded("a;b 3\n", filter());
    assert!(
        words(&other).ends_with("No samples. None of those that were read is what was asked for."),
        "{}",
        words(&other)
    );
    let input = Input::Stream { name: "picture".into(), reader: Box::new(std::io::Cursor::new(svg_of(&every_kind()))) };
    let part =
        import(vec![input], &ImportOptions { filter: filter(), ..ImportOptions::default() }, &mut |_| {}).unwrap();
    assert!(words(&part).ends_with("No samples of cpu-clock. None of those that were read is what was asked for."));
}

/// Waits whose end the kernel has not told are always said, and warned of if they may matter.
#[test]
fn waits_without_end_are_said() {
    use std::time::Duration;
    let mut profile = Sketch::new().finish();
    let blocked = Duration::from_secs(10);
    profile.stats.off_cpu = Some(OffCpuStats { blocked, ..OffCpuStats::default() });
    for (nanoseconds, is_warned) in [(11_000_000, false), (1_100_000_000, true)] {
        let counts = [("waits_without_end", 4), ("waits_without_end_ns", nanoseconds)];
        let counts = counts.map(|(name, count)| (name.to_owned(), count)).into();
        profile.stats.kernel_walks = Some(KernelWalks { counts, ..KernelWalks::default() });
        let said = summary(&profile.stats);
        assert!(said.contains("4 waits missing, of 1") && said.contains("the kernel has not told"), "{said}");
        let warnings = warnings(&profile.stats);
        assert_eq!(warnings.iter().any(|warning| warning.contains("1.10 s together")), is_warned, "{warnings:?}");
    }
}

#[test]
fn a_picture_that_may_be_wrong_says_so() {
    let mut profile = every_kind();
    assert!(svg_of(&profile).contains("Warning: 3 samples lost"));
    profile.stats.lost = 0;
    profile.stats.truncated.clear();
    profile.stats.unnamed.clear();
    assert!(warnings(&profile.stats).is_empty());
    assert!(!without_script(&svg_of(&profile)).contains("Warning"));
    profile.stats.coverage = Some(0.7);
    profile.stats.notes.push("no kernel frames (paranoid level 2)".into());
    assert!(svg_of(&profile).contains("Warning: the samples cover only 70.00 % of what ran."));
    assert!(svg_of(&profile).contains(">Note: no kernel frames (paranoid level 2).<"));
}

#[test]
fn no_escape_sequence_reaches_a_terminal() {
    let profile = hostile();
    for width in [None, Some(0), Some(40), Some(80), Some(200)] {
        let table = top_of(&profile, &TopOptions { width, ..TopOptions::default() });
        assert!(table.chars().all(|c| c == '\n' || !c.is_control()));
        assert!(!table.contains('\u{202e}'));
        if let Some(width) = width {
            let widest = table.lines().map(flameprofile::render::name::columns).max();
            assert!(widest <= Some(width), "{widest:?} of {width}");
        }
    }
    assert!(top_of(&profile, &TopOptions { color: true, ..TopOptions::default() }).contains("\x1b[1m"));
    assert!(summary(&profile.stats).chars().all(|c| c == '\n' || !c.is_control()));
}

#[test]
fn statistics_have_the_promised_keys() {
    let value = stats_json(&every_kind().stats);
    let keys = "event rate duration_seconds samples lost throttled coverage complete truncated no_unwind_info \
                frames unnamed unnamed_images own_cpu_seconds peak_rss_bytes";
    for key in keys.split(' ') {
        assert!(value.get(key).is_some(), "{key}");
    }
    assert!(value["truncated"]["no unwind info"].as_f64().unwrap() > 0.0);
}

#[test]
fn exported_json_has_every_sample_and_name() {
    for profile in [every_kind(), hostile(), Profile::default()] {
        let value: serde_json::Value = serde_json::from_str(&json_of(&profile)).unwrap();
        assert_eq!(value["samples"].as_array().unwrap().len(), profile.samples.len());
        assert_eq!(value["stacks"].as_array().unwrap().len(), profile.stacks.len().max(1) - 1);
        let sum: u64 = value["samples"].as_array().unwrap().iter().map(|row| row["value"].as_u64().unwrap()).sum();
        assert_eq!(sum, profile.samples.iter().map(|sample| sample.value).sum::<u64>());
        for (row, sample) in value["samples"].as_array().unwrap().iter().zip(profile.samples.iter()) {
            let mut at = row["stack"].as_u64();
            let mut depth = 0;
            while let Some(id) = at {
                let stack = &value["stacks"][id as usize];
                assert!(!value["frames"][stack["frame"].as_u64().unwrap() as usize].is_null());
                at = stack["parent"].as_u64();
                depth += 1;
            }
            assert_eq!(depth, profile.frames_of(sample.stack).count());
        }
    }
    assert_eq!(PERIOD, 10_101_010);
    assert_eq!(StackId(0).index(), 0);
}
