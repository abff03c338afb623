//! What the viewer counts is what `analyze` counts: the same trees, tables and times, made in another language from the same samples.

use std::collections::BTreeMap;
use std::path::Path;

use flameprofile::analyze::{CallTree, DiffTree, Direction, NodeId, Sandwich, Timeline, Top, View};
use flameprofile::formats::picture::KINDS;
use flameprofile::import::{ImportOptions, Input, import};
use flameprofile::model::{FrameKind, Profile, Sample, Timestamp};
use flameprofile::render::name::printable;
use flameprofile::render::{Difference, Palette, PictureOptions, html, label, svg};
use serde_json::{Value, json};

use crate::driver::Browser;
use crate::page::{FORMATS, Format, Page, write_text};
use crate::sketch::{every_kind, hostile, large, steady, wall};

/// Path of names and kinds, own value, total value, own samples, total samples.
type Row = (String, [u64; 4]);

/// All nodes of a tree of the viewer that have a value, in pre-order.
const WALK: &str = r"(function (tree) {
  var out = [], stack = [[tree.root, '']];
  while (stack.length) {
    var at = stack.pop(), node = at[0], func = tree.func(node), path = at[1] + '\u0001' + v.model.names[func] + '\u0002' + v.model.kinds[func];
    out.push([path, tree.own(node), tree.value(node), tree.ownSamples(node), tree.samples(node)]);
    var below = [];
    for (var child = tree.first(node); child >= 0; child = tree.next(child)) if (tree.value(child) > 0) below.push([child, path]);
    while (below.length) stack.push(below.pop());
  }
  return out;
})";

fn walked(page: &Page, tree: &str) -> Vec<Row> {
    let rows = page.get(&format!("{WALK}({tree})"));
    rows.as_array()
        .unwrap()
        .iter()
        .map(|row| (row[0].as_str().unwrap().to_owned(), [1, 2, 3, 4].map(|at| whole(&row[at]))))
        .collect()
}

fn whole(value: &Value) -> u64 {
    value.as_f64().unwrap_or_else(|| panic!("{value}")) as u64
}

fn rows(tree: &CallTree) -> Vec<Row> {
    let mut paths: Vec<String> = Vec::new();
    for (id, node) in tree.nodes.iter().enumerate() {
        let above = if id == 0 { "" } else { &paths[node.parent as usize] };
        let kind = KINDS.iter().position(|kind| *kind == node.kind).unwrap();
        paths.push(format!("{above}\u{1}{}\u{2}{kind}", printable(tree.names.get(node.name))));
    }
    let numbers = |id: usize| {
        let node = &tree.nodes[id];
        [node.self_value, node.total_value, node.self_samples, node.total_samples]
    };
    let of_value = (0..paths.len()).filter(|id| tree.nodes[*id].total_value > 0);
    of_value.map(|id| (paths[id].clone(), numbers(id))).collect()
}

/// As in the viewer's outward trees, where a stack's own value is said at its end only if nothing called that.
fn without_own(rows: Vec<Row>) -> BTreeMap<String, Vec<[u64; 2]>> {
    let mut of: BTreeMap<String, Vec<[u64; 2]>> = BTreeMap::new();
    for (path, [_, total, _, samples]) in rows {
        of.entry(path).or_default().push([total, samples]);
    }
    of
}

fn recording(name: &str) -> Profile {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name);
    import(vec![Input::Path(path)], &ImportOptions::default(), &mut |_| {}).unwrap()
}

fn profiles() -> [(&'static str, Profile); 6] {
    [
        ("numbers_every_kind", every_kind()),
        ("numbers_large", large(3_000, 9_000)),
        ("numbers_dwarf", recording("perf_data/dwarf.data")),
        ("numbers_hostile", hostile()),
        // Waits beside time on the CPU, and waits alone.
        ("numbers_wall", wall()),
        ("numbers_switches", recording("perf_data/switches.data")),
    ]
}

fn same<T: PartialEq + std::fmt::Debug>(ours: &[T], theirs: &[T], what: &str) {
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert_eq!(ours, theirs, "{what}");
    }
    assert_eq!(ours.len(), theirs.len(), "{what}");
}

#[test]
fn trees_are_those_of_analyze() {
    let Some(browser) = Browser::start(1200, 700) else { return };
    for (name, profile) in profiles() {
        let page = Page::of(&browser, Format::Html, name, &profile, &PictureOptions::default());
        let tree = CallTree::build(&profile, &View::default());
        same(&rows(&tree), &walked(&page, "v.forward"), name);
        let view = View { direction: Direction::Callers, ..View::default() };
        let ours = without_own(rows(&CallTree::build(&profile, &view)));
        let theirs = without_own(walked(&page, "v.tree('bottom-up')"));
        let [ours, theirs] = [ours, theirs].map(|of| of.into_iter().collect::<Vec<_>>());
        same(&ours, &theirs, name);
        // By thread: there is a level more, as in ours.
        if page.get("v.base.threads.length > 1") == Value::Bool(true) {
            page.select("split", "threads");
            let view = View { per_thread: true, ..View::default() };
            let ours = without_own(rows(&CallTree::build(&profile, &view)));
            let theirs = without_own(walked(&page, "v.forward"));
            let [ours, theirs] = [ours, theirs].map(|of| of.into_iter().collect::<Vec<_>>());
            same(&ours, &theirs, name);
            page.select("split", "processes");
            assert_eq!(page.number("v.weights.total[0]") as u64, tree.root().total_value);
            page.select("split", "none");
        }
        // The table.
        page.press("view-top");
        let mut theirs: Vec<(String, [u64; 4])> = page
            .get("v.functionRows.rows.map(r => [v.model.names[r.func] + '\\u0002' + v.model.kinds[r.func], r.own, r.total, r.ownSamples, r.samples])")
            .as_array()
            .unwrap()
            .iter()
            .map(|row| (row[0].as_str().unwrap().to_owned(), [1, 2, 3, 4].map(|at| whole(&row[at]))))
            .collect();
        let kind = |kind: FrameKind| KINDS.iter().position(|known| *known == kind).unwrap();
        let mut ours: Vec<(String, [u64; 4])> = Top::build(&tree)
            .functions
            .iter()
            .map(|f| {
                (
                    format!("{}\u{2}{}", printable(tree.names.get(f.name)), kind(f.kind)),
                    [f.self_value, f.total_value, f.self_samples, f.total_samples],
                )
            })
            .filter(|(_, numbers)| numbers[1] > 0)
            .collect();
        theirs.sort();
        ours.sort();
        same(&ours, &theirs, name);
    }
}

#[test]
fn sandwiches_are_those_of_analyze() {
    let Some(browser) = Browser::start(1200, 700) else { return };
    for (name, profile) in profiles().into_iter().take(3) {
        let page = Page::of(&browser, Format::Svg, name, &profile, &PictureOptions::default());
        let tree = CallTree::build(&profile, &View::default());
        let functions = Top::build(&tree).functions;
        for function in
            functions.iter().filter(|function| function.kind != FrameKind::Task).step_by(1 + functions.len() / 12)
        {
            let focus = tree.names.get(function.name);
            page.get(&format!("(v.go({{view: 'sandwich', focus: {}}}), 0)", Value::from(focus)));
            let Sandwich { callers, callees } = Sandwich::build(&profile, &View::default(), focus).unwrap();
            for (ours, theirs) in [(callers, "callers"), (callees, "callees")] {
                let ours = without_own(rows(&ours));
                let theirs = without_own(walked(&page, &format!("v.tree('{theirs} ' + v.state.focus)")));
                let [ours, theirs] = [ours, theirs].map(|of| of.into_iter().collect::<Vec<_>>());
                same(&ours, &theirs, focus);
            }
        }
    }
}

/// The profile with those samples only that are wanted.
fn only(profile: &Profile, is_wanted: impl Fn(&Sample) -> bool) -> Profile {
    let mut part = profile.clone();
    part.samples.retain(is_wanted);
    part
}

#[test]
fn parts_are_those_of_a_profile_of_these_samples() {
    let Some(browser) = Browser::start(1200, 700) else { return };
    for (name, profile) in profiles() {
        let page = Page::of(&browser, Format::Html, name, &profile, &PictureOptions::default());
        let threads = page.number("v.base.threads.length") as usize;
        for chosen in (0..threads).step_by(1 + threads / 5) {
            page.get(&format!("(v.go({{threads: [{chosen}]}}), 0)"));
            let part = only(&profile, |sample| sample.thread.index() == chosen);
            let ours =
                without_own(rows(&CallTree::build(&part, &View { event: Some(profile.main), ..View::default() })));
            let theirs = without_own(walked(&page, "v.forward"));
            let [ours, theirs] =
                [ours, theirs].map(|of| of.into_iter().filter(|(path, _)| path.len() > 10).collect::<Vec<_>>());
            same(&ours, &theirs, name);
        }
        page.press("reset");
        if page.get("v.base.isTimed") == Value::Bool(false) {
            continue;
        }
        let of_event = |sample: &Sample| sample.event == profile.main;
        let first = profile.samples.iter().filter(of_event).map(|sample| sample.time.0).min().unwrap() / 1_000 * 1_000;
        let last = profile.samples.iter().filter(of_event).map(|sample| sample.time.0).max().unwrap();
        for (from, to) in [(0, 3), (2, 5), (5, 8), (8, 10)] {
            let [from, to] = [from, to].map(|tenth| (last - first) * tenth / 10 / 1_000 * 1_000);
            page.get(&format!("(v.go({{from: {from}, to: {to}}}), 0)"));
            // Times are kept in microseconds; what ends with the last sample has it in it.
            let past = if first + to + 1_000 > last { u64::MAX } else { first + to };
            let within = |time: Timestamp| (first + from..past).contains(&(time.0 / 1_000 * 1_000));
            // An estimate is of no moment.
            let part = only(&profile, |sample| sample.count > 0 && within(sample.time));
            let ours =
                without_own(rows(&CallTree::build(&part, &View { event: Some(profile.main), ..View::default() })));
            let theirs = without_own(walked(&page, "v.forward"));
            let [ours, theirs] =
                [ours, theirs].map(|of| of.into_iter().filter(|(path, _)| path.len() > 10).collect::<Vec<_>>());
            same(&ours, &theirs, name);
        }
    }
}

#[test]
fn differences_are_those_of_analyze() {
    let Some(browser) = Browser::start(1200, 700) else { return };
    let (base, new) = (every_kind(), only(&every_kind(), |sample| sample.stack.0 % 3 != 0 || sample.time.0 % 5 == 0));
    for (base, new, normalise) in
        [(&base, &new, true), (&new, &base, false), (&large(2_000, 6_000), &large(2_500, 6_000), true)]
    {
        let diff = DiffTree::build(base, new, &View::default(), normalise);
        for format in FORMATS {
            difference(&browser, format, base, new, &diff);
        }
    }
}

/// Two sides of which nothing is known but their counts.
fn plain<'a>(diff: &'a DiffTree, base: &'a Profile, new: &'a Profile) -> Difference<'a> {
    Difference { base, new, diff, comparison: None }
}

fn difference(browser: &Browser, format: Format, base: &Profile, new: &Profile, diff: &DiffTree) {
    let (mut out, options) = (Vec::new(), PictureOptions::default());
    match format {
        Format::Svg => svg::write_diff(&plain(diff, base, new), &options, &mut out).unwrap(),
        Format::Html => html::write_diff(&plain(diff, base, new), &options, &mut out).unwrap(),
    }
    let name = format!("difference.{}", format.ending());
    let page = Page::at(browser, format, &write_text(&name, &String::from_utf8(out).unwrap()));
    browser.screenshot(&format!("difference_{}", format.ending()));
    let theirs = page.get("Array.from({length: v.model.count}, (_, i) => [v.forward.value(i), v.forward.own(i), v.forward.samples(i), v.forward.base(i), v.forward.ownBase(i), v.forward.baseSamples(i), v.forward.width(i)])");
    assert_eq!(theirs.as_array().unwrap().len(), diff.tree.nodes.len());
    for (id, theirs) in theirs.as_array().unwrap().iter().enumerate() {
        let (node, side) = (&diff.tree.nodes[id], &diff.base[id]);
        let scaled = |value: u64| value as f64 * diff.scale;
        // A parent's width is the sum of those of its own part and of its callees: each of the larger side.
        let ours = [
            node.total_value as f64,
            node.self_value as f64,
            node.total_samples as f64,
            scaled(side.total_value),
            scaled(side.self_value),
            side.total_samples as f64,
        ];
        for (at, ours) in ours.into_iter().enumerate() {
            let theirs = theirs[at].as_f64().unwrap();
            assert!((ours - theirs).abs() <= 1e-9 * ours.abs().max(1.0), "{id} {at}: {ours}, {theirs}");
        }
        let wide = theirs[6].as_f64().unwrap();
        assert!(wide + 1e-6 >= (node.total_value as f64).max(scaled(side.total_value)));
    }
    // What is said of each: shares of both, by how many points, new, gone.
    for width in ["new", "base", "both"] {
        page.select("width", width);
        browser.screenshot(&format!("difference_{width}"));
    }
    let id = (1..diff.tree.nodes.len() as NodeId).find(|id| diff.is_vanished(*id) || diff.is_added(*id));
    if let Some(id) = id {
        let said = page.get(&format!("(v.go({{zoom: v.model.path({id})}}), v.describe(v.boxOf({id}))[1])"));
        let word = if diff.is_added(id) { "new" } else { "gone" };
        assert!(said.as_str().unwrap().starts_with(word), "{said}");
    }
}

#[test]
fn the_flame_chart_is_the_timeline() {
    let Some(browser) = Browser::start(1200, 900) else { return };
    for (name, profile) in profiles().into_iter().filter(|(name, _)| *name != "numbers_large") {
        let Some(timeline) = Timeline::build(&profile, &View::default()) else { continue };
        let page = Page::of(&browser, Format::Svg, name, &profile, &PictureOptions::default());
        page.press("view-chart");
        browser.screenshot(&format!("chart_{name}"));
        let lanes = page.get("v.lanes().map(l => [v.base.threads[l.thread].name + '-' + v.base.threads[l.thread].tid, l.samples.length])");
        let lanes = lanes.as_array().unwrap();
        assert_eq!(lanes.len(), timeline.lanes.len(), "{name}");
        let mut compared = 0;
        for lane in &timeline.lanes {
            assert!(lanes.contains(&json!([printable(&lane.name), lane.samples])), "{name}: {}", lane.name);
        }
        // Spans, a piece of time after the other, each so short that every span is drawn.
        let offset = profile.samples.iter().filter(|s| s.event == profile.main).map(|s| s.time.0).min().unwrap() as f64
            - timeline.start as f64;
        let pieces = 12;
        let whole = (timeline.end - timeline.start) as f64;
        for piece in 0..pieces {
            let [from, to] = [piece, piece + 1].map(|at| (whole * f64::from(at) / f64::from(pieces) - offset).max(0.0));
            page.get(&format!("(v.go({{span: [{from}, {to}]}}), 0)"));
            let spans = page.get("v.spans.filter(Boolean).map(s => s.lane.whole(s)).filter(s => s.from >= v.state.span[0] && s.to <= v.state.span[1]).map(s => [v.model.names[v.model.func[s.node]], v.model.depth[s.node] - 2, s.from, s.to, s.samples, s.value])");
            for span in spans.as_array().unwrap() {
                let [row, start, end, samples, value] = [1, 2, 3, 4, 5].map(|at| span[at].as_f64().unwrap());
                let found = timeline.lanes.iter().flat_map(|lane| &lane.spans).any(|ours| {
                    printable(timeline.names.get(ours.name)) == span[0].as_str().unwrap()
                        && f64::from(ours.row) == row
                        && (ours.start as f64 - offset - start).abs() <= 2_000.0
                        && (ours.end as f64 - offset - end).abs() <= 2_000.0
                        && ours.samples as f64 == samples
                        && ours.value as f64 == value
                });
                assert!(found, "{name}: {span}");
                compared += 1;
            }
        }
        println!("{name}: {compared} spans");
        assert!(compared > 0, "{name}");
    }
}

#[test]
fn a_steady_lane_is_one_span() {
    let Some(browser) = Browser::start(1200, 900) else { return };
    let page = Page::of(&browser, Format::Svg, "steady", &steady(10_000), &PictureOptions::default());
    page.press("view-chart");
    let boxes = "Array.from(v.boxes.x, (_, b) => [nameOf(b), v.boxes.count[b]])";
    assert_eq!(page.get(boxes), json!([["main", 0]]));
    // Zoomed in, what began before and goes on is as wide as the view.
    page.get("(v.go({span: [v.base.duration / 3, v.base.duration / 2]}), 0)");
    assert_eq!(page.get(boxes), json!([["main", 0]]));
    assert!(page.number("v.boxes.x[0] + v.boxes.w[0]") <= page.number("v.width") + 4.0);
}

#[test]
fn labels_are_cut_by_the_viewer_as_they_are_by_us() {
    let Some(browser) = Browser::start(1200, 900) else { return };
    let mut all = 0;
    for (name, profile) in profiles() {
        let page = Page::of(&browser, Format::Html, name, &profile, &PictureOptions::default());
        let drawn = "(function () { \
            var of = CanvasRenderingContext2D.prototype, fill = of.fillText, seen = []; \
            of.fillText = function (text, x, y) { seen.push([text, x, y, this.measureText(text).width]); fill.apply(this, arguments); }; \
            v.canvas.getContext('2d').fillText === of.fillText; v.stage.scrollTop = v.stage.scrollHeight; v.paint(); of.fillText = fill; \
            var top = v.stage.scrollTop; \
            return v.boxes.x.map((x, b) => { \
              var y = v.offset + v.rowOf(b) * 18 - top + 12.5, text = seen.find(s => s[1] === x + 3 && s[2] === y); \
              return [nameOf(b), v.boxes.w[b], text ? text[0] : null, text ? text[3] : 0, y > 0 && y < v.stage.clientHeight]; }); })()";
        for found in page.get(drawn).as_array().unwrap().iter().filter(|found| found[4] == true) {
            let (Some(function), wide) = (found[0].as_str(), found[1].as_f64().unwrap()) else { continue };
            let room = ((wide - 6.0) / 7.32).floor();
            let ours = if room < 2.0 { None } else { label::fit(function, room as usize) };
            assert_eq!(found[2].as_str(), ours.as_deref().filter(|text| !text.is_empty()), "{function:?} in {room}");
            // Not wider than its frame in a real font, for the letters that it has.
            if function.is_ascii() {
                assert!(found[3].as_f64().unwrap() <= wide, "{found}");
            }
            all += usize::from(ours.is_some());
        }
    }
    assert!(all > 100, "{all}");
}

#[test]
fn colours_are_those_of_the_still() {
    let Some(browser) = Browser::start(1200, 900) else { return };
    let profile = every_kind();
    for palette in [Palette::Type, Palette::Binary, Palette::Hash, Palette::Own] {
        let options = PictureOptions { palette, ..PictureOptions::default() };
        let mut out = Vec::new();
        svg::write(&profile, &View::default(), &options, &mut out).unwrap();
        let still = String::from_utf8(out).unwrap();
        let document = roxmltree::Document::parse(&still).unwrap();
        let frames = document.descendants().find(|node| node.attribute("data-part") == Some("frames")).unwrap();
        // From left to right in each row, so that frames of one name are told apart.
        let mut ours: Vec<(i64, f64, String, String)> = Vec::new();
        for rect in frames.children().filter(|node| node.has_tag_name("rect")) {
            let [x, y] = ["x", "y"].map(|name| rect.attribute(name).unwrap().parse::<f64>().unwrap());
            let title = rect.first_element_child().unwrap().text().unwrap();
            let name = title.lines().next().unwrap().to_owned();
            ours.push((-y as i64, x, name, rect.attribute("fill").unwrap().to_owned()));
        }
        ours.sort_by(|one, other| one.0.cmp(&other.0).then(one.1.total_cmp(&other.1)));
        let ours: Vec<_> = ours.into_iter().map(|(_, _, name, fill)| json!([name, fill])).collect();
        for format in FORMATS {
            let page = Page::of(&browser, format, "colours", &profile, &options);
            let theirs = page.get("v.boxes.rows.slice().reverse().flatMap(row => row.filter(b => !v.boxes.count[b]).map(b => [nameOf(b), pixel(b)]))");
            same(&ours, theirs.as_array().unwrap(), &format!("{palette:?}"));
            browser.screenshot(&format!("palette_{palette:?}_{}", format.ending()));
        }
        // Chosen in the viewer.
        let page = Page::of(&browser, Format::Svg, "colours", &profile, &PictureOptions::default());
        let value = ["type", "binary", "hash", "self"][palette as usize];
        page.select("palette", value);
        let theirs = page.get("v.boxes.rows.slice().reverse().flatMap(row => row.filter(b => !v.boxes.count[b]).map(b => [nameOf(b), pixel(b)]))");
        same(&ours, theirs.as_array().unwrap(), &format!("{palette:?}"));
        assert_eq!(page.hash(), if value == "type" { String::new() } else { format!("#palette={value}") });
    }
}
