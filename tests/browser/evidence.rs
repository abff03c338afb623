//! Differences of several runs: what is grey, what is marked, the words, the table of causes, the dots, by mouse and by keys.

use flameprofile::gate::Scale;
use flameprofile::render::{PictureOptions, Shape};
use serde_json::{Value, json};

use crate::compared::{Compared, compared};
use crate::driver::{Browser, DOWN, ENTER, ESCAPE, UP};
use crate::page::{FORMATS, Format, Page, write_text};

fn text(compared: &Compared, format: Format, options: &PictureOptions) -> String {
    match format {
        Format::Svg => compared.svg(options),
        Format::Html => compared.html(options),
    }
}

fn page<'a>(browser: &'a Browser, format: Format, name: &str, compared: &Compared, shape: Shape) -> Page<'a> {
    let options = PictureOptions { shape, ..PictureOptions::default() };
    let path = write_text(&format!("{name}.{}", format.ending()), &text(compared, format, &options));
    Page::at(browser, format, &path)
}

fn said(page: &Page, name: &str) -> String {
    let said = page.get(&format!("v.describe(box({})).join('\\n')", Value::from(name)));
    said.as_str().unwrap().to_owned()
}

fn has_row_of(page: &Page, name: &str) -> bool {
    let rows = page.get("Array.from(v.causeList.querySelectorAll('tr[aria-current] button'), b => b.textContent)");
    rows.as_array().unwrap().contains(&name.into())
}

#[test]
fn what_is_chance_is_grey_and_the_verdict_is_said() {
    let Some(browser) = Browser::start(1200, 900) else { return };
    let compared = compared();
    for format in FORMATS {
        let page = page(&browser, format, "evidence", &compared, Shape::Flame);
        browser.screenshot(&format!("evidence_{}", format.ending()));
        // At its lower edge, which nothing is drawn on.
        let fill = |name: &str| {
            page.get(&format!(
                "(function () {{ var b = box({}); v.pointed = -1; v.show(b); v.paint(); \
                 var y = v.offset + v.rowOf(b) * 18 - v.stage.scrollTop + 13, x = v.boxes.x[b] + v.boxes.w[b] - 6; \
                 var of = v.canvas.getContext('2d').getImageData(Math.round(x * v.ratio), Math.round(y * v.ratio), 1, 1).data; \
                 return [of[0], of[1], of[2]]; }})()",
                Value::from(name)
            ))
        };
        let edge = |name: &str| page.get(&format!("pixel(box({}))", Value::from(name)));
        for name in ["layout", "main", "handle"] {
            assert_eq!(fill(name), json!([0xe4, 0xe4, 0xe8]), "{name}");
        }
        // More is orange, less is blue; half as sure has less colour.
        let [crc, hash, render] = ["crc", "hash", "render"].map(fill);
        let spread = |of: &Value| of[0].as_i64().unwrap() - of[2].as_i64().unwrap();
        assert!(spread(&crc) > 30 && spread(&hash) < -30, "{crc} {hash}");
        assert!(spread(&render) > 0 && spread(&render) * 2 < spread(&crc), "{render} {crc}");
        // What it calls is at the upper edge.
        assert_ne!(edge("handle"), "#e4e4e8");
        assert_eq!(edge("layout"), "#e4e4e8");
        let mark = |name: &str| {
            page.get(&format!(
                "v.gate.look(v.shown, v.boxes.node[box({0})], v.shown.func(v.boxes.node[box({0})]), true).mark",
                json!(name)
            ))
        };
        for (name, wanted) in [
            ("crc", "▲ "),
            ("scan", "⇄ "),
            ("parse", "⇄ "),
            ("hash", "▼ "),
            ("render", "△ "),
            ("arrived", "+ "),
            ("layout", ""),
        ] {
            assert_eq!(mark(name), wanted, "{name}");
        }
        let verdict = page.text("verdict");
        assert!(verdict.contains("1 regression · total +") && verdict.contains("α 1 % · scale work"), "{verdict}");
        for about in
            ["252 relabellings", "a change of the whole below", "kernels differ", "seed 1", "box, Linux 6.12.0"]
        {
            assert!(verdict.contains(about), "{about}");
        }
        assert_eq!(page.get("[window.hit === undefined, v.verdictPanel.open]"), json!([true, false]));
        assert!(!page.get("place.textContent").as_str().unwrap().contains('\u{202e}'));
        // It says that we read pixels often.
        assert!(browser.console().iter().all(|said| said.contains("willReadFrequently")));
    }
}

#[test]
fn words_and_colours_are_those_of_the_still_picture() {
    let Some(browser) = Browser::start(1200, 900) else { return };
    for scale in Scale::ALL {
        let mut compared = compared();
        compared.comparison.settings.scale = scale;
        let still = compared.svg(&PictureOptions::default());
        let page = page(&browser, Format::Svg, "evidence_words", &compared, Shape::Flame);
        for name in
            ["all", "crc", "handle", "main", "scan", "parse", "hash", "retired", "arrived", "log", "tests::setup"]
        {
            let at = still.find(&format!("><title>{name}\n")).unwrap();
            let ours: Vec<&str> = still[at + 8..].split("</title>").next().unwrap().lines().collect();
            let theirs = said(&page, name);
            let theirs: Vec<&str> = theirs.lines().collect();
            let unescaped = ours[..2].iter().map(|line| line.replace("&lt;", "<").replace("&gt;", ">"));
            assert_eq!(unescaped.collect::<Vec<_>>(), theirs[..2], "{}", scale.name());
            let fill = still[..at].rsplit("fill=\"").next().unwrap().split('"').next().unwrap();
            let look = format!(
                "v.gate.look(v.shown, v.boxes.node[box({0})], v.shown.func(v.boxes.node[box({0})]), true)",
                json!(name)
            );
            assert_eq!(page.get(&format!("{look}.fill")), fill, "{name}");
            let after = &still[at..][still[at..].find("</rect>").unwrap()..];
            let edge =
                after.split('\n').nth(1).unwrap().strip_prefix("<path").and_then(|path| path.split("fill=\"").nth(1));
            assert_eq!(page.get(&format!("{look}.edge")), json!(edge.map(|edge| &edge[..7])), "{name}");
        }
    }
}

#[test]
fn widths_and_scales_are_switched() {
    let Some(browser) = Browser::start(1200, 900) else { return };
    let compared = compared();
    for format in FORMATS {
        let page = page(&browser, format, "evidence_switch", &compared, Shape::Flame);
        let retired = page.width("retired");
        page.select("width", "delta");
        assert!(page.width("retired") > 2.0 * retired && !page.has("layout"));
        // The sum of what came and went, whichever way.
        let sum = page.get("(function () { var s = 0; for (var i = 0; i < v.model.count; i++) s += Math.abs(v.weights.own[i] - v.weights.ownBase[i]); return [s, v.forward.width(0)]; })()");
        assert!((sum[0].as_f64().unwrap() / sum[1].as_f64().unwrap() - 1.0).abs() < 1e-9, "{sum}");
        assert!(page.hash().contains("width=delta"));
        page.keys("w");
        assert_eq!(page.get("v.state.width"), "both");
        page.select("width", "new");
        assert!(!page.has("retired") && page.has("arrived"));
        page.select("width", "base");
        assert!(page.has("retired") && !page.has("arrived"));
        page.select("width", "both");

        assert!(page.text("scale").contains("robust: new ÷ 1.021"));
        let on_work = said(&page, "crc");
        assert_eq!(page.get("v.model.scale"), 1);
        page.select("scale", "robust");
        let on_robust = said(&page, "crc");
        assert!(on_work.contains("(+29.") && on_robust.contains("(+27."), "{on_work} {on_robust}");
        assert!((page.number("v.model.scale") - 1.021).abs() < 1e-9);
        assert!(page.text("causes").contains("+27."));
        assert!(page.hash().contains("scale=robust"));
        page.keys("l");
        assert_eq!(page.get("[v.state.scale, part('scale').value]"), json!(["work", "work"]));
        page.keys("l");
        assert!(said(&page, "crc").contains("% of all (+"));
        page.open("#scale=robust&width=delta");
        assert_eq!(page.get("[v.gate.scaleName, v.state.width]"), json!(["robust", "delta"]));
    }
}

#[test]
fn the_table_and_the_frames_lead_to_each_other() {
    let Some(browser) = Browser::start(1200, 900) else { return };
    let compared = compared();
    for format in FORMATS {
        let page = page(&browser, format, "evidence_table", &compared, Shape::Flame);
        assert_eq!(page.get("v.causes.open"), true);
        let rows = page.text("causes");
        assert!(
            rows.contains("▲ regression")
                && rows.contains("⇄ moved")
                && rows.contains("crc self")
                && !rows.contains("explainedcrc"),
            "{rows}"
        );
        let button = |name: &str| {
            format!("Array.from(v.causeList.querySelectorAll('button')).find(b => b.textContent === {})", json!(name))
        };
        page.get(&format!("({}.click(), 0)", button("crc")));
        assert_eq!(page.get("nameOf(v.pointed)"), "crc");
        assert!(has_row_of(&page, "crc") && !has_row_of(&page, "hash"));
        page.hover("hash");
        assert!(has_row_of(&page, "hash") && !has_row_of(&page, "crc"));
        // In words, which cost moved where.
        page.hover("scan");
        assert!(page.text("numbers").contains("moved: scan +182 ms ⇆ parse, within handle"));
        page.hover("parse");
        assert!(page.text("tip").contains("moved: scan +182 ms ⇆ parse, within handle"));
        // A run is a dot, of both sides on one axis.
        let dots = page.get("[part('dots').querySelectorAll('circle.base').length, part('dots').querySelectorAll('circle.new').length, part('dots').getAttribute('aria-label')]");
        assert_eq!((&dots[0], &dots[1]), (&json!(5), &json!(5)));
        let label = dots[2].as_str().unwrap();
        assert!(label.starts_with("Runs of parse. base: ") && label.contains("; new: "), "{label}");
        page.get("(v.stage.dispatchEvent(new PointerEvent('pointerleave')), 0)");
        assert_eq!(page.get("part('dots').querySelectorAll('circle').length"), 0);
        // From another view it leads to the flame graph, and into what is too small to be seen.
        page.press("view-top");
        page.get(&format!("({}.click(), 0)", button("tests::setup")));
        assert_eq!(page.get("[v.state.view, nameOf(v.pointed)]"), json!(["flame", "tests::setup"]));
    }
}

#[test]
fn all_of_it_by_keys() {
    let Some(browser) = Browser::start(1200, 900) else { return };
    let page = page(&browser, Format::Html, "evidence_keys", &compared(), Shape::Flame);
    page.keys("v");
    assert_eq!(page.get("v.verdictPanel.open"), true);
    browser.screenshot("evidence_verdict");
    page.keys("v");
    page.keys("e");
    let focused = "document.activeElement.textContent";
    let first = page.get(focused);
    browser.keys(&format!("{DOWN}{DOWN}"));
    assert_ne!(page.get(focused), first);
    browser.keys(&format!("{UP}{UP}"));
    assert_eq!((page.get(focused), first), ("crc".into(), "crc".into()));
    browser.keys(ENTER);
    assert_eq!(page.get("nameOf(v.pointed)"), "crc");
    browser.keys(ESCAPE);
    assert_eq!(page.get("document.activeElement === v.stage"), true);
    // Walking marks rows as pointing does.
    page.keys(DOWN);
    assert_eq!(page.get("nameOf(v.pointed)"), "handle");
    assert!(has_row_of(&page, "handle"));
    page.keys("?");
    assert!(page.text("help").contains("the next scale"));
    for part in ["verdict", "causes", "dots", "width", "scale"] {
        let name = format!("part('{part}').getAttribute('aria-label') || part('{part}').firstChild.textContent");
        assert!(!page.get(&name).as_str().unwrap().is_empty(), "{part}");
    }
}

#[test]
fn charts_have_both_sides() {
    let Some(browser) = Browser::start(1200, 900) else { return };
    for format in FORMATS {
        let page = page(&browser, format, "evidence_chart", &compared(), Shape::Chart);
        browser.screenshot(&format!("evidence_chart_{}", format.ending()));
        let lanes = page.get("Array.from(v.laneNames.values(), n => n.split(' \\u00b7')[0])");
        let lanes: Vec<&str> = lanes.as_array().unwrap().iter().map(|lane| lane.as_str().unwrap()).collect();
        let wanted = [
            "base: main-7 (base: server)",
            "new: main-7 (new: server)",
            "base: worker-8 (base: server)",
            "new: worker-8 (new: server)",
        ];
        assert_eq!(lanes, wanted);
        assert_eq!(page.get("v.state.palette"), "change");
        let told = page.get("v.describe(v.boxes.x.findIndex((_, b) => nameOf(b) === 'crc'))[1]");
        assert!(told.as_str().unwrap().contains("per request (+29."), "{told}");
        assert!(page.text("notes").contains("the first run is drawn, base/0.data"));
        page.get("(Array.from(v.causeList.querySelectorAll('button')).find(b => b.textContent === 'crc').click(), 0)");
        assert_eq!(page.get("nameOf(v.pointed)"), "crc");
        assert_eq!(browser.console(), Vec::<String>::new());
    }
}

#[test]
fn it_has_room_on_a_phone_and_in_the_dark() {
    let Some(browser) = Browser::start(1200, 900) else { return };
    let compared = compared();
    for (width, height) in [(1200, 900), (400, 800), (700, 300)] {
        browser.resize(width, height);
        let page = page(&browser, Format::Html, &format!("evidence_{width}"), &compared, Shape::Flame);
        for theme in ["light", "dark"] {
            page.get("(v.report(box('crc')), 0)");
            browser.screenshot(&format!("evidence_{width}_{theme}"));
            page.keys("d");
        }
        assert_eq!(page.get("document.documentElement.scrollWidth <= innerWidth"), true);
        assert!(page.number("v.stage.clientHeight") >= 60.0);
    }
    // Without a script.
    for (width, height) in [(1200, 900), (400, 900)] {
        browser.resize(width, height);
        for format in FORMATS {
            let options = PictureOptions { width, ..PictureOptions::default() };
            let path = write_text(&format!("evidence_still.{}", format.ending()), &text(&compared, format, &options));
            browser.cdp("Emulation.setScriptExecutionDisabled", json!({"value": true}));
            browser.open(&path);
            browser.screenshot(&format!("evidence_still_{width}_{}", format.ending()));
            browser.cdp("Emulation.setScriptExecutionDisabled", json!({"value": false}));
            let seen = browser.run("return document.documentElement.textContent");
            assert!(seen.as_str().unwrap().contains("What changed"));
            assert_eq!(
                browser.run("return [typeof hit, document.querySelectorAll('canvas').length]"),
                json!(["undefined", 0])
            );
        }
    }
}
