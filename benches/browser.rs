//! How long a picture takes in headless Chromium until it is drawn, and each thing that a reader does with it.
//!
//! `cargo bench --bench browser`. Medians of five. Times are from the call until the second frame of animation after it, which alone
//! takes 17 to 33 ms at 60 Hz; in brackets the time of the script itself, without what the browser paints. A load counts from the begin
//! of the navigation. The peer is inferno's SVG of the same stacks, nothing left out of either, in the same browser. flamegraph.pl's
//! (Debian has one in `libdevel-nytprof-perl`) is none: three minutes were not enough to load it.

#[path = "../tests/browser/driver.rs"]
mod driver;
#[path = "../tests/common/sketch.rs"]
mod sketch;
#[path = "../tests/common/skip.rs"]
mod skip;

use std::path::{Path, PathBuf};

use flameprofile::analyze::{CallTree, View};
use flameprofile::import::{ImportOptions, Input, import};
use flameprofile::model::Profile;
use flameprofile::render::folded::{self, FoldedOptions};
use flameprofile::render::{PictureOptions, html, svg};
use serde_json::{Value, json};

use driver::Browser;

/// Rounds of each.
const ROUNDS: usize = 5;

/// Notes when the picture was drawn: ours when its viewer says so, any other at its load event; both two frames later.
const WATCH: &str = "(function () { \
    var done = function (name) { requestAnimationFrame(function () { requestAnimationFrame(function () { window[name] = performance.now(); }); }); }; \
    addEventListener('load', function () { done('loadedAt'); }); \
    (function poll() { \
      var is = function (e) { return e && e.hasAttribute && e.hasAttribute('data-loaded'); }; \
      if (is(document.documentElement) || is(document.body)) done('drawnAt'); else requestAnimationFrame(poll); })(); })()";

fn main() {
    // The driver says why there is none.
    let Some(browser) = Browser::start(1200, 900) else { return };
    browser.cdp("Page.addScriptToEvaluateOnNewDocument", json!({"source": WATCH}));
    let options = PictureOptions { min_width: 0.0, max_frames: usize::MAX, ..PictureOptions::default() };

    let profile = sketch::large_of(8, 41_000, 100_000);
    let mut out = Vec::new();
    svg::write(&profile, &View::default(), &options, &mut out).unwrap();
    let file = write("bench.svg", &out);
    println!(
        "SVG of {} frames, {} samples (goals: load 1,000 ms, click 150 ms, 4,000 kB)",
        nodes(&profile),
        profile.samples.len()
    );
    ours(&browser, &file, out.len(), true);
    let mut stacks = Vec::new();
    folded::write(&profile, &View::default(), &FoldedOptions::default(), &mut stacks).unwrap();
    peer(&browser, "inferno", &inferno(&stacks));

    let profile = sketch::large_of(8, 250_000, 500_000);
    large(&browser, &profile, " with their times", true);
    stacks.clear();
    folded::write(&profile, &View::default(), &FoldedOptions::default(), &mut stacks).unwrap();
    let inputs = vec![Input::Path(write("bench.folded", &stacks))];
    large(&browser, &import(inputs, &ImportOptions::default(), &mut |_| {}).unwrap(), ", folded stacks", false);

    let profile = sketch::deep(3_000);
    for format in ["svg", "html"] {
        out.clear();
        match format {
            "svg" => svg::write(&profile, &View::default(), &options, &mut out).unwrap(),
            _ => html::write(&profile, &View::default(), &options, &mut out).unwrap(),
        }
        println!("{format} of {} rows", nodes(&profile));
        let file = write(&format!("bench_deep.{format}"), &out);
        load(&browser, &file, "drawnAt", out.len());
        act(&browser, "scroll to the end", "v.stage.scrollTop = 0", "v.stage.scrollTop = 1e9");
        act(&browser, "scroll to the root", "v.stage.scrollTop = 1e9", "v.stage.scrollTop = 0");
    }
}

fn large(browser: &Browser, profile: &Profile, with: &str, is_timed: bool) {
    let mut out = Vec::new();
    html::write(profile, &View::default(), &PictureOptions::default(), &mut out).unwrap();
    let (frames, samples) = (nodes(profile), profile.samples.len());
    println!("HTML of {frames} frames, {samples} samples{with} (goals: load 500 ms, any action 50 ms, 3,000 kB)");
    ours(browser, &write("bench.html", &out), out.len(), is_timed);
}

fn nodes(profile: &Profile) -> usize {
    CallTree::build(profile, &View::default()).nodes.len()
}

fn write(name: &str, bytes: &[u8]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// `is_timed`: whether there are threads and times to choose from.
fn ours(browser: &Browser, file: &Path, bytes: usize, is_timed: bool) {
    load(browser, file, "drawnAt", bytes);
    browser.run("window.v = document.querySelector('[data-flameprofile=live]').flameprofile; return 0");
    let wide = "(function () { var at = 0; for (var n = 0; n < 3; n++) { var best = -1; for (var c = v.forward.first(at); c >= 0; c = v.forward.next(c)) \
        if (best < 0 || v.forward.width(c) > v.forward.width(best)) best = c; at = best; } return at; })()";
    browser
        .run(&format!("window.wide = {wide}; window.leaf = v.model.names[v.model.func[v.model.count - 1]]; return 0"));
    let reset = "v.state.view = 'flame'; v.reset()";
    for (what, before, action) in [
        ("zoom", reset, "v.zoomTo(v.forward, wide)"),
        ("unzoom", "v.zoomTo(v.forward, wide)", "v.go({zoom: []})"),
        ("search", reset, "v.go({query: 'vec::.*push'}, true)"),
        ("next match", "", "v.nextMatch(1)"),
        ("invert", reset, "v.go({inverted: !v.state.inverted})"),
        ("bottom-up", "v.trees = {}; v.state.view = 'flame'; v.reset()", "v.go({view: 'bottom-up'})"),
        ("sandwich", "v.trees = {}; v.state.view = 'flame'; v.reset()", "v.go({view: 'sandwich', focus: leaf})"),
        ("flame chart", "v.laneList = null; v.state.view = 'flame'; v.reset()", "v.go({view: 'chart'})"),
        (
            "top",
            "v.functionRows = null; v.table.stamp = null; v.state.view = 'flame'; v.reset()",
            "v.go({view: 'top'})",
        ),
        ("hide", reset, "v.hide(v.model.path(wide))"),
        ("only stacks with", reset, "v.go({only: leaf, zoom: []})"),
        ("range of time", reset, "v.go({from: v.base.duration / 3, to: v.base.duration / 2, span: null})"),
        ("a thread", reset, "v.go({threads: [2]})"),
        ("split by thread", "v.models = {none: v.base}; v.state.view = 'flame'; v.reset()", "v.go({split: 'threads'})"),
        ("split, again", reset, "v.go({split: 'threads'})"),
        ("palette", "v.go({palette: 'type'}, true)", "v.go({palette: 'hash'}, true)"),
        ("theme", reset, "v.switchTheme()"),
        ("point at", reset, "v.report(v.boxOf(wide))"),
        ("reset", "v.go({only: leaf, zoom: []})", "v.reset()"),
    ] {
        let is_of_time =
            ["flame chart", "range of time", "a thread", "split by thread", "split, again"].contains(&what);
        if is_timed || !is_of_time {
            act(browser, what, before, action);
        }
    }
}

/// inferno's SVG of stacks.
fn inferno(stacks: &[u8]) -> Vec<u8> {
    let mut options = inferno::flamegraph::Options::default();
    options.min_width = 0.0;
    let mut out = Vec::new();
    inferno::flamegraph::from_reader(&mut options, stacks, &mut out).unwrap();
    out
}

/// Another's picture: both have the same frames and functions of the same names.
fn peer(browser: &Browser, name: &str, picture: &[u8]) {
    println!("  peer: {name}'s SVG of the same");
    load(browser, &write("bench_peer.svg", picture), "loadedAt", picture.len());
    let click = "dispatchEvent(new MouseEvent('click', {bubbles: true}))";
    browser.run("window.frame_ = document.querySelectorAll('#frames > *, g.func_g')[2]; frame_ = frame_.querySelector('rect') || frame_; return 0");
    act(browser, "zoom", "unzoom()", &format!("frame_.{click}"));
    act(browser, "unzoom", &format!("frame_.{click}"), "unzoom()");
    act(browser, "search", "reset_search()", "search('vec::.*push')");
}

fn load(browser: &Browser, file: &Path, when: &str, bytes: usize) {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            browser.open_url("about:blank");
            browser.open(file);
            browser.wait_for(&format!("window.{when}"));
            browser.run(&format!("return {when}")).as_f64().unwrap()
        })
        .collect();
    println!("  {:<20}{:>8.0} ms{:>12} kB", "load", median(&mut times), bytes / 1000);
}

fn act(browser: &Browser, what: &str, before: &str, action: &str) {
    let script = format!(
        "var done = arguments[0], v = window.v || (document.querySelector('[data-flameprofile=live]') || {{}}).flameprofile; {before}; \
         var settle = function (then) {{ requestAnimationFrame(function () {{ requestAnimationFrame(function () {{ setTimeout(then, 30); }}); }}); }}; \
         settle(function () {{ var t = performance.now(); {action}; var own = performance.now() - t; \
           requestAnimationFrame(function () {{ requestAnimationFrame(function () {{ done([performance.now() - t, own]); }}); }}); }});"
    );
    let rounds: Vec<Value> = (0..ROUNDS).map(|_| browser.run_async(&script)).collect();
    let [mut whole, mut own] =
        [0, 1].map(|at| rounds.iter().map(|round| round[at].as_f64().unwrap()).collect::<Vec<_>>());
    println!("  {what:<20}{:>8.0} ms ({:.0} ms)", median(&mut whole), median(&mut own));
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
