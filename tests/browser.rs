//! The SVG in a real browser: with its script, and where scripts are forbidden.
//!
//! Needs Debian's `chromium` and `chromium-driver`; skips itself aloud without them. Screenshots are left in `target/tmp`.

#[path = "browser/driver.rs"]
mod driver;
#[path = "common/sketch.rs"]
mod sketch;
#[path = "common/skip.rs"]
mod skip;

use std::path::PathBuf;
use std::time::Instant;

use flameprofile::analyze::View;
use flameprofile::model::Profile;
use flameprofile::render::label;
use flameprofile::render::{PictureOptions, svg};
use serde_json::Value;

use driver::{Browser, DOWN, ENTER, ESCAPE, RIGHT, UP};

/// Writes the picture to a file of this test and returns its path.
fn write(name: &str, profile: &Profile, options: &PictureOptions) -> PathBuf {
    let mut out = Vec::new();
    svg::write(profile, &View::default(), options, &mut out).unwrap();
    write_text(name, std::str::from_utf8(&out).unwrap())
}

fn write_text(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// The first frame whose name begins so.
fn frame(name: &str) -> String {
    format!(
        "Array.from(document.querySelectorAll('[data-part=frames] rect')).find(r => \
         r.firstChild.textContent.startsWith({}))",
        Value::from(name)
    )
}

fn part(name: &str) -> String {
    format!("document.querySelector('[data-part={name}]')")
}

fn text_of(browser: &Browser, name: &str) -> String {
    browser.run(&format!("return {}.textContent", part(name))).as_str().unwrap().to_owned()
}

fn width_of(browser: &Browser, name: &str) -> f64 {
    browser.run(&format!("return {}.getBoundingClientRect().width", frame(name))).as_f64().unwrap()
}

#[test]
fn a_reader_zooms_searches_and_walks() {
    let Some(browser) = Browser::start(1200, 700) else { return };
    let path = write("every_kind.svg", &sketch::every_kind(), &PictureOptions::default());
    browser.open(&path);
    browser.wait_for("document.documentElement.getAttribute('data-flameprofile') === 'live'");
    browser.screenshot("every_kind");

    // Hover.
    browser.hover(&frame("tcp_recvmsg"));
    assert_eq!(text_of(&browser, "name"), "tcp_recvmsg");
    assert_eq!(text_of(&browser, "numbers"), "18.07 %, 899 ms, 89 samples, self 6.29 % · kernel, [kernel]");

    // Click: the frame fills the width, its callers stay, others go.
    let before = width_of(&browser, "tcp_recvmsg");
    browser.click(&frame("server::accept_loop"));
    let full = browser.run("return innerWidth").as_f64().unwrap() - 20.5;
    assert!((width_of(&browser, "server::accept_loop") - full).abs() < 1.0);
    assert!((width_of(&browser, "server::main") - full).abs() < 1.0);
    assert!(width_of(&browser, "tcp_recvmsg") > before);
    assert_eq!(width_of(&browser, "logger::flush"), 0.0);
    browser.screenshot("every_kind_zoomed");
    browser.click(&part("reset"));
    assert!((width_of(&browser, "tcp_recvmsg") - before).abs() < 0.1);
    assert!(width_of(&browser, "logger::flush") > 0.0);
    browser.click(&frame("server::main"));
    browser.keys(ESCAPE);
    assert!((width_of(&browser, "tcp_recvmsg") - before).abs() < 0.1);

    // Search: on the bare name, ignoring case, without counting a frame below a match again.
    let search = |pattern: &str| {
        browser.control("f");
        browser.keys(pattern);
        browser.keys(ENTER);
        let text = text_of(&browser, "match");
        browser.keys(ESCAPE);
        assert_eq!(text_of(&browser, "match"), "");
        text
    };
    assert_eq!(search("^server::template::template<'_>::RENDER$"), "22.13 % matched, 4 frames");
    assert_eq!(search("tcp_recvmsg|_copy"), "18.07 % matched, 2 frames");
    assert_eq!(search("render"), "22.13 % matched, 4 frames");
    assert_eq!(search("samples"), "0 % matched, 0 frames");
    assert_eq!(search("all$"), "0 % matched, 0 frames");
    assert!(search("a(b").starts_with("Not a regular expression: "), "{}", search("a(b"));
    assert_eq!(search("."), "100 % matched, 26 frames");
    browser.control("f");
    browser.keys("MEMMOVE");
    browser.keys(ENTER);
    assert_eq!(text_of(&browser, "match"), "11.78 % matched, 2 frames");
    browser.click(&part("case"));
    assert_eq!(text_of(&browser, "match"), "0 % matched, 0 frames");
    browser.click(&part("case"));
    browser.screenshot("every_kind_searched");
    let fill = browser.run(&format!("return {}.getAttribute('fill')", frame("__memmove")));
    assert_eq!(fill, "#ea72e0");
    browser.click(&part("search"));
    browser.keys(ESCAPE);
    let fill = browser.run(&format!("return {}.getAttribute('fill')", frame("__memmove")));
    assert_ne!(fill, "#ea72e0");

    // Keys: from the root up to the widest callee, to its neighbour, and down again.
    browser.run(&format!("{}.blur(); {}.focus()", part("search"), part("frames")));
    browser.keys(ESCAPE);
    browser.keys(UP);
    assert_eq!(text_of(&browser, "name"), "all");
    browser.keys(UP);
    assert_eq!(text_of(&browser, "name"), "server");
    browser.keys(UP);
    browser.keys(RIGHT);
    assert_eq!(text_of(&browser, "name"), "server::main");
    browser.keys(ENTER);
    assert!((width_of(&browser, "server::main") - full).abs() < 1.0);
    browser.keys(DOWN);
    assert_eq!(text_of(&browser, "name"), "server");
    browser.keys(ESCAPE);

    // The window changes: everything is fitted again.
    browser.resize(420, 600);
    browser.wait_for("document.documentElement.viewBox.baseVal.width <= 420");
    browser.screenshot("every_kind_narrow");
    let over = "Array.from(document.querySelectorAll('text')).filter(t => t.getBoundingClientRect().right > innerWidth).length";
    assert_eq!(browser.run(&format!("return {over}")), 0);
}

#[test]
fn labels_are_cut_by_the_script_as_they_are_by_us() {
    let Some(browser) = Browser::start(1200, 700) else { return };
    let profile = sketch::large(300, 4_000);
    let path = write("labels.svg", &profile, &PictureOptions::default());
    let still = std::fs::read_to_string(&path).unwrap();
    let document = roxmltree::Document::parse(&still).unwrap();
    let labels = document.descendants().find(|node| node.attribute("data-part") == Some("labels")).unwrap();
    let ours: Vec<_> =
        labels.children().filter(|node| node.is_element()).map(|node| node.text().unwrap_or("")).collect();
    browser.open(&path);
    // The same width as the still picture.
    browser.run("document.documentElement.setAttribute('width', 1200)");
    let width = browser.run("return innerWidth").as_u64().unwrap();
    browser.resize(1200 + (1200 - width as u32), 700);
    browser.wait_for("document.documentElement.viewBox.baseVal.width === 1200");
    let theirs = browser.run(&format!("return Array.from({}.children).map(t => t.textContent)", part("labels")));
    let theirs: Vec<_> = theirs.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    assert_eq!(ours, theirs);
    assert!(ours.len() > 60, "{}", ours.len());
    assert_eq!(label::fit("main", 4).as_deref(), Some("main"));
    // No label is wider than its frame in a real font.
    let over = "var over = 0, rects = Array.from(document.querySelectorAll('[data-part=frames] rect')); \
        Array.from(document.querySelectorAll('[data-part=labels] text')).forEach(t => { var b = t.getBoundingClientRect(); \
        if (!rects.some(r => { var c = r.getBoundingClientRect(); return c.left <= b.left && b.right <= c.right + 1 && \
        c.top <= b.top + 4 && b.bottom <= c.bottom + 4; })) over++; }); return over";
    assert_eq!(browser.run(over), 0);
}

#[test]
fn no_name_runs_script() {
    let Some(browser) = Browser::start(1200, 900) else { return };
    let path = write("hostile.svg", &sketch::hostile(), &PictureOptions::default());
    browser.open(&path);
    browser.wait_for("document.documentElement.getAttribute('data-flameprofile') === 'live'");
    browser.screenshot("hostile");
    let count = "return document.querySelectorAll('[data-part=frames] rect').length";
    let frames = browser.run(count).as_u64().unwrap();
    assert!(frames > 100);
    browser.run(
        "document.querySelectorAll('[data-part=frames] rect').forEach(r => { \
         r.dispatchEvent(new MouseEvent('mouseover', {bubbles: true})); r.dispatchEvent(new MouseEvent('click', {bubbles: true})); })",
    );
    assert_eq!(browser.run("return typeof window.hit"), "undefined");
    assert_eq!(browser.run("return document.querySelectorAll('image, img, iframe, a').length"), 0);
    // The same, inside a page of HTML, whose parser is another one; twice, to see that two do not clash.
    let picture = std::fs::read_to_string(&path).unwrap();
    let picture = picture.split_once("?>").unwrap().1;
    let page = format!("<!doctype html><meta charset=utf-8><title>two</title>{picture}<hr>{picture}");
    browser.open(&write_text("hostile.html", &page));
    browser.wait_for("document.querySelectorAll('[data-flameprofile=live]').length === 2");
    assert_eq!(browser.run(count).as_u64().unwrap(), 2 * frames);
    assert_eq!(browser.run("return typeof window.hit"), "undefined");
    assert_eq!(browser.run("return document.querySelectorAll('script').length"), 2);
    browser.click("document.querySelectorAll('[data-part=frames]')[0].children[1]");
    let resets = "return Array.from(document.querySelectorAll('[data-part=reset]')).map(b => b.disabled)";
    assert_eq!(browser.run(resets), serde_json::json!([false, true]));
}

#[test]
fn the_picture_is_whole_without_script() {
    let Some(browser) = Browser::start(1220, 700) else { return };
    write("still.svg", &sketch::every_kind(), &PictureOptions::default());
    browser.open(&write_text("img.html", "<!doctype html><body style='margin:0'><img src='still.svg'></body>"));
    browser.wait_for("document.images[0].complete");
    assert_eq!(browser.run("return document.images[0].naturalWidth"), 1200);
    browser.screenshot("no_script_img");
    // A policy that forbids scripts and inline style, as CI servers set it for artifacts.
    let still = std::fs::read_to_string(write("still.svg", &sketch::every_kind(), &PictureOptions::default())).unwrap();
    let policy = "default-src 'none'; img-src 'self'; style-src 'self'";
    let inline = still.split_once("?>").unwrap().1;
    let page = format!(
        "<!doctype html><meta charset=utf-8><meta http-equiv=Content-Security-Policy content=\"{policy}\"><title>x</title>{inline}"
    );
    browser.open(&write_text("policy.html", &page));
    assert_eq!(browser.run("return document.querySelector('svg').getAttribute('data-flameprofile')"), "still");
    assert_eq!(browser.run("return document.querySelectorAll('input, button, foreignObject').length"), 0);
    assert!(browser.run("return document.querySelectorAll('[data-part=labels] text').length").as_u64().unwrap() > 10);
    browser.screenshot("no_script_policy");
    let size = browser.run("var b = document.querySelector('svg').getBoundingClientRect(); return [b.width, b.height]");
    assert_eq!(size[0], 1200);
    browser.open(&write_text(
        "sandbox.html",
        "<!doctype html><iframe sandbox src=still.svg width=1210 height=400></iframe>",
    ));
    browser.screenshot("no_script_sandbox");
}

#[test]
fn a_large_picture_stays_quick() {
    let Some(browser) = Browser::start(1200, 900) else { return };
    let options = PictureOptions { min_width: 0.0, ..PictureOptions::default() };
    let path = write("large.svg", &sketch::large(20_000, 60_000), &options);
    let began = Instant::now();
    browser.open(&path);
    browser.wait_for("document.documentElement.getAttribute('data-flameprofile') === 'live'");
    let load = began.elapsed();
    browser.screenshot("large");
    let time = |act: &str| {
        let script = format!(
            "var t = performance.now(); {act}; document.documentElement.getBoundingClientRect(); return performance.now() - t"
        );
        browser.run(&script).as_f64().unwrap()
    };
    let click = "dispatchEvent(new MouseEvent('click', {bubbles: true}))";
    let zoom = time(&format!("document.querySelectorAll('[data-part=frames] rect')[2].{click}"));
    browser.screenshot("large_zoomed");
    let reset = time(&format!("{}.click()", part("reset")));
    let search = time(&format!(
        "var i = {}; i.value = 'vec::.*push'; i.dispatchEvent(new KeyboardEvent('keydown', {{key: 'Enter', bubbles: true}}))",
        part("search")
    ));
    browser.screenshot("large_searched");
    assert!(text_of(&browser, "match").contains(" % matched"));
    let frames = browser.run("return document.querySelectorAll('[data-part=frames] rect').length");
    println!(
        "{frames} frames, {} kB: load {load:?}, zoom {zoom:.0} ms, reset {reset:.0} ms, search {search:.0} ms",
        std::fs::metadata(&path).unwrap().len() / 1000
    );
    // The bar is in the window although the picture is taller.
    let bar = browser.run(&format!("return {}.getBoundingClientRect().bottom - innerHeight", part("bar")));
    assert!(bar.as_f64().unwrap().abs() < 1.5, "{bar}");
    browser.run("window.scrollTo(0, 100)");
    let seen = format!("Math.abs({}.getBoundingClientRect().bottom - innerHeight) < 1.5", part("bar"));
    browser.wait_for(&seen);
}

#[test]
fn stacks_of_50_000_frames_open() {
    let Some(browser) = Browser::start(1200, 900) else { return };
    browser.open(&write("deep.svg", &sketch::deep(50_000), &PictureOptions::default()));
    browser.wait_for("document.documentElement.getAttribute('data-flameprofile') === 'live'");
    browser.screenshot("deep");
    browser.run("window.scrollTo(0, 0)");
    browser.screenshot("deep_top");
    assert!(browser.run("return document.documentElement.textContent").as_str().unwrap().contains("frames deeper: "));
}
