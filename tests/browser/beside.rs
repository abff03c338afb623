//! Several pictures on one page: each works for itself.

use flameprofile::render::PictureOptions;
use serde_json::json;

use crate::driver::Browser;
use crate::page::{Format, write_text};
use crate::server::Server;
use crate::sketch::{every_kind, large};

fn inline(text: &str) -> &str {
    text.split_once("?>").unwrap().1
}

#[test]
fn two_in_one_page_do_not_clash() {
    let Some(browser) = Browser::start(1200, 1000) else { return };
    let [one, other] =
        [every_kind(), large(500, 2_000)].map(|profile| Format::Svg.text(&profile, &PictureOptions::default()));
    let page = format!(
        "<!doctype html><meta charset=utf-8><title>two</title><p>Before.</p>{}<hr><input id=own>{}",
        inline(&one),
        inline(&other)
    );
    browser.open(&write_text("two.html", &page));
    let both = "document.querySelectorAll('[data-flameprofile=live][data-loaded]')";
    browser.wait_for(&format!("{both}.length === 2"));
    browser.screenshot("two");
    let viewers = format!("var v = Array.from({both}).map(p => p.flameprofile); ");
    let get = |expression: &str| browser.run(&format!("{viewers} return {expression}"));
    assert_eq!(get("v.map(v => v.state.zoom.length)"), json!([0, 0]));
    // A click in one is none in the other, and the address is the page's.
    let place = get(
        "(function (v) { var b = v.boxes.rows[v.boxes.rows.length - 3][0], c = v.canvas.getBoundingClientRect(); \
        return [c.left + v.boxes.x[b] + v.boxes.w[b] / 2, c.top + v.offset + v.rowOf(b) * 18 - v.stage.scrollTop + 8]; })(v[0])",
    );
    browser.click_at((place[0].as_f64().unwrap(), place[1].as_f64().unwrap()), 0);
    let zoomed = get("v.map(v => v.state.zoom.length)");
    assert!(zoomed[0].as_u64().unwrap() > 0 && zoomed[1] == 0, "{zoomed}");
    assert_eq!(get("location.hash"), "");
    // Keys are those of the one that has them; a page's own field keeps its keys.
    browser.click("document.getElementById('own')");
    browser.keys("i/?");
    assert_eq!(get("document.getElementById('own').value"), "i/?");
    assert_eq!(get("v.map(v => v.state.inverted)"), json!([false, false]));
    get("(v[1].stage.focus(), 0)");
    browser.keys("i");
    assert_eq!(get("v.map(v => v.state.inverted)"), json!([false, true]));
    browser.keys("/tokio");
    browser.wait_for(&format!("{both}[1].flameprofile.state.query === 'tokio'"));
    assert_eq!(get("v.map(v => v.state.query)"), json!(["", "tokio"]));
    assert_eq!(get("v[0].match.textContent"), "");
    // Ids are not used twice.
    browser.run("return 0");
    let ids = "(function () { var all = Array.from(document.querySelectorAll('[id]')).map(e => e.id); return all.length - new Set(all).size; })()";
    assert_eq!(get(ids), 0);
    // Both keep their size and the page flows on.
    let sizes = get("v.map(v => { var r = v.app.getBoundingClientRect(); return [r.width > 1000, r.height >= 290]; })");
    assert_eq!(sizes, json!([[true, true], [true, true]]));
    // Backspace takes a step back in the picture, not in the page.
    get("(v[0].stage.focus(), 0)");
    browser.keys(crate::driver::BACKSPACE);
    let after = get("v[0].state.zoom.length");
    assert_eq!(after.as_u64().unwrap() + 1, zoomed[0].as_u64().unwrap());
    assert_eq!(get("document.title"), "two");
}

#[test]
fn objects_and_frames_have_their_own() {
    let Some(browser) = Browser::start(1200, 1000) else { return };
    let server = Server::start();
    server.put("a.svg", &[], &Format::Svg.text(&every_kind(), &PictureOptions::default()));
    server.put("b.html", &[], &Format::Html.text(&large(500, 2_000), &PictureOptions::default()));
    server.put(
        "page.html",
        &[],
        "<!doctype html><title>x</title><object data=a.svg type=image/svg+xml width=1100 height=400></object>\
         <iframe src=b.html width=1100 height=400></iframe><embed src=a.svg width=600 height=300>",
    );
    browser.open_url(&server.url("page.html"));
    let documents = "[document.querySelector('object').contentDocument, document.querySelector('iframe').contentDocument, document.querySelector('embed').getSVGDocument()]";
    let viewers = format!(
        "{documents}.map(d => d && d.querySelector('[data-flameprofile=live][data-loaded]')).map(p => p && p.flameprofile)"
    );
    browser.wait_for(&format!("{viewers}.every(Boolean)"));
    browser.screenshot("objects");
    let get = |expression: &str| browser.run(&format!("var v = {viewers}; return {expression}"));
    get("(v[0].go({view: 'top'}), v[1].go({view: 'bottom-up'}), 0)");
    assert_eq!(get("v.map(v => v.state.view)"), json!(["top", "bottom-up", "flame"]));
    assert_eq!(get("v.map(v => v.app.getBoundingClientRect().width)"), json!([1100, 1100, 600]));
    assert_eq!(get("v.map(v => v.boxes.x.length > 10)"), json!([true, true, true]));
    assert_eq!(get("location.hash"), "");
}
