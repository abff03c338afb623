//! Names that try to be more than names run no script anywhere, and the page's own policy holds.

use flameprofile::render::PictureOptions;
use serde_json::{Value, json};

use crate::driver::Browser;
use crate::page::{FORMATS, Format, Page, write_text};
use crate::sketch::{Sketch, every_kind, hostile, hostile_names};

/// All that a name could have changed if it had run.
const HARM: &str = "[typeof window.hit, window.alerted || 0, document.querySelectorAll('img, image, iframe, object, embed, a[href], base, form, link').length, \
    document.querySelectorAll('script').length, document.querySelectorAll('[onload], [onclick], [onmouseover], [onerror], [onfocus]').length]";

fn harm(page: &Page) -> Value {
    page.get(HARM)
}

#[test]
fn no_name_runs_script() {
    let Some(browser) = Browser::start(1200, 900) else { return };
    let profile = hostile();
    for format in FORMATS {
        let page = Page::of(&browser, format, "hostile", &profile, &PictureOptions::default());
        let scripts = if format == Format::Html { 2 } else { 1 };
        let unharmed = json!(["undefined", 0, 0, scripts, 0]);
        page.get("(window.alert = window.confirm = window.prompt = () => { window.alerted = 1; }, 0)");
        assert_eq!(harm(&page), unharmed);
        browser.screenshot(&format!("hostile_{}", format.ending()));
        let functions = page.number("v.model.functions") as usize;
        assert!(functions > hostile_names().len(), "{functions}");
        // Each frame: the bar, the tooltip, the menu, the zoom and the address of it.
        page.get(
            "(function () { \
               for (var node = 1; node < v.base.count; node++) { \
                 v.go({zoom: v.model.path(node)}); \
                 var b = v.boxOf(node); if (b < 0) throw Error('no box ' + node); \
                 v.report(b, {clientX: 300, clientY: 300}); v.showTip(v.describe(b), {}); v.report(b); v.menu({clientX: 5, clientY: 5}); v.closeMenu(); \
               } v.reset(); return 0; })()",
        );
        assert_eq!(harm(&page), unharmed, "zoomed and pointed at");
        // Each name as a search, a term, a filter, a focus: chips, table, twin.
        page.get(
            "(function () { v.base.names.slice(0, 60).forEach(function (name) { \
               v.go({query: name.slice(0, 2000)}); v.nextMatch(1); v.go({terms: [name.slice(0, 500), 'x'], plain: true}); v.go({hiddenFunctions: [name]}); v.go({only: name, hiddenFunctions: []}); \
               v.go({view: 'sandwich', focus: name, only: null}); v.go({view: 'top'}); v.go({view: 'bottom-up'}); v.go({view: 'flame'}); v.reset(); }); return 0; })()",
        );
        assert_eq!(harm(&page), unharmed, "searched and filtered");
        for view in ["bottom-up", "chart", "top", "sandwich", "flame"] {
            page.press(&format!("view-{view}"));
            for split in ["threads", "processes", "none"] {
                page.select("split", split);
                browser.screenshot(&format!("hostile_{view}_{split}_{}", format.ending()));
                assert_eq!(harm(&page), unharmed, "{view} {split}");
            }
        }
        page.press("choose");
        assert_eq!(harm(&page), unharmed, "threads");
        page.press("choose");
        assert_eq!(browser.console(), Vec::<String>::new());
    }
}

#[test]
fn names_of_properties_are_names() {
    let Some(browser) = Browser::start(1200, 900) else { return };
    let names = [
        "__proto__",
        "constructor",
        "toString",
        "hasOwnProperty",
        "valueOf",
        "prototype",
        "undefined",
        "null",
        "NaN",
        "0",
        "-1",
        "a/b",
        "a\\b",
        "\\",
        "/",
        "//",
        "100%",
        "%41",
        "%",
        "a%2Fb",
        "#hash",
        "a&b=c",
        "a=b",
        "\u{fffd}",
        "${window.hit=1}",
        "`${window.hit=1}`",
        "javascript:window.hit=1",
        "\u{202e}evil",
        "e\u{301}",
        "👩‍👩‍👧",
        "\u{1f468}\u{200d}\u{1f469}",
    ];
    let mut sketch = Sketch::new();
    let main = sketch.frame("main");
    for (number, name) in names.iter().enumerate() {
        let (frame, inner) = (sketch.frame(name), sketch.frame(&format!("below {number}")));
        sketch.sample(&[main, frame, inner], 3);
        sketch.sample(&[frame], 1);
    }
    let huge = "huge::".repeat(180_000);
    let frame = sketch.frame(&huge);
    sketch.sample(&[main, frame], 5);
    let profile = sketch.finish();
    for format in FORMATS {
        let page = Page::of(&browser, format, "properties", &profile, &PictureOptions::default());
        browser.screenshot(&format!("properties_{}", format.ending()));
        for (number, name) in names.iter().enumerate() {
            // Chromium takes 200 changes of the address in ten seconds from one document.
            if number % 10 == 9 {
                page.open("");
            }
            let shown = Value::from(flameprofile::render::name::printable(name).into_owned());
            // To the frame, and by its address back again.
            let node = format!(
                "(function () {{ for (var i = 0; i < v.model.count; i++) if (v.model.name(i) === {shown} && v.model.depth[i] === 3) return i; return -1; }})()"
            );
            assert!(page.number(&node) > 0.0, "{name}: {}", page.get(&node));
            let there =
                page.get(&format!("(v.reset(), v.go({{zoom: v.model.path({node})}}), [v.zoomed, location.hash])"));
            let back = page.get("(v.readHash(), v.rebuild(), [v.zoomed, location.hash])");
            assert_eq!(there, back, "{name}");
            assert_eq!(page.number("v.zoomed"), page.number(&node), "{name}");
            // What is hidden by it, and only it.
            let total = page.number("(v.reset(), v.weights.total[0])");
            let hidden = page.number(&format!("(v.go({{hiddenFunctions: [{shown}]}}), v.weights.total[0])"));
            let kept = page.number(&format!("(v.go({{hiddenFunctions: [], only: {shown}}}), v.weights.total[0])"));
            assert!((total - hidden - kept).abs() < 1.0, "{name}: {total} - {hidden} - {kept}");
            let again = page.number("(v.readHash(), v.rebuild(), v.weights.total[0])");
            assert_eq!(kept, again, "{name}");
            let callees = page.number(&format!(
                "(v.reset(), v.go({{view: 'sandwich', focus: {shown}}}), v.tree('callees ' + v.state.focus).value(0))"
            ));
            assert_eq!(callees, kept, "{name}");
            page.get("(v.reset(), v.go({view: 'flame'}), 0)");
        }
        // A name of a megabyte: in the bar, as a place, in the table.
        page.get("(function () { var b = -1; for (var i = 0; i < v.boxes.x.length; i++) if (nameOf(i) && nameOf(i).length > 10000) b = i; if (b < 0) throw Error('none'); v.report(b); v.menu({}); v.closeMenu(); v.go({view: 'top'}); v.go({view: 'flame'}); v.go({zoom: v.model.path(v.boxes.node[b])}); return 0; })()");
        assert!(page.number("place.outerHTML.length").is_finite());
        let length = page.number("part('app').innerHTML.length");
        assert!(length < 200_000.0, "{length}");
        browser.screenshot(&format!("megabyte_{}", format.ending()));
        assert_eq!(page.get("typeof window.hit"), "undefined");
        assert_eq!(browser.console(), Vec::<String>::new());
    }
}

#[test]
fn no_address_runs_script_or_breaks_the_viewer() {
    let Some(browser) = Browser::start(1200, 900) else { return };
    for format in FORMATS {
        let page = Page::of(&browser, format, "addresses", &every_kind(), &PictureOptions::default());
        for hash in [
            "#",
            "##",
            "#zoom=",
            "#zoom=%",
            "#zoom=%ff",
            "#zoom=/////",
            "#zoom=\\",
            "#view=__proto__",
            "#view=constructor",
            "#palette=toString",
            "#zoom=<img src=x onerror=window.hit=1>",
            "#search=%3Cscript%3Ewindow.hit%3D1%3C/script%3E",
            "#search=(((",
            "#search=(a%2B)%2B%24",
            "#term=%3Cimg%20src%3Dx%20onerror%3Dwindow.hit%3D1%3E&term=b",
            "#only=%3Csvg%20onload%3Dwindow.hit%3D1%3E",
            "#without=__proto__",
            "#hide=__proto__/constructor",
            "#time=5-1",
            "#time=NaN-NaN",
            "#time=-1-5",
            "#time=0-99999999999999999",
            "#time=1e3-1e9",
            "#span=0-0",
            "#span=7-3",
            "#view=chart&span=0-1",
            "#view=chart&span=99999999999999-999999999999999",
            "#threads=0.0.0",
            "#threads=99",
            "#threads=",
            "#threads=a.b",
            "#threads=0.5",
            "#theme=javascript:window.hit=1",
            "#view=sandwich&focus=%22%3E%3Cscript%3E",
            "#split=threads&zoom=a/b",
            "#inverted=__proto__",
            "#width=base",
            "#palette=change",
            "#__proto__=1&constructor=2&zoom=server",
            "#=&&&==&zoom",
            "#javascript:window.hit=1",
            "#focus=%00%01",
            "#case=1&plain=1&search=%F0%9F",
        ] {
            page.open(hash);
            // Whatever is done then works.
            page.get("(v.go({view: 'flame'}), v.go({view: 'chart'}), v.go({view: 'top'}), v.reset(), v.go({view: 'flame'}), 0)");
            assert_eq!(harm(&page)[0], "undefined", "{hash}");
            assert_eq!(harm(&page)[2], 0, "{hash}");
            assert_eq!(
                page.number("v.weights.total[0]"),
                page.number("v.base.ownValue.reduce((a, b) => a + b, 0)"),
                "{hash}"
            );
            assert!(page.has("tcp_recvmsg"), "{hash}");
        }
        let long = format!("#zoom={}&search={}", "a/".repeat(50_000), "x".repeat(20_000));
        page.open(&long);
        assert_eq!(page.number("v.zoomed"), 0.0);
        assert_eq!(browser.console(), Vec::<String>::new());
    }
}

#[test]
fn the_policy_of_the_page_holds() {
    let Some(browser) = Browser::start(1200, 900) else { return };
    let text = Format::Html.text(&every_kind(), &PictureOptions::default());
    let policy =
        text.split_once("http-equiv=\"Content-Security-Policy\" content=\"").unwrap().1.split_once('"').unwrap().0;
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
    assert!(
        !policy.contains("unsafe-eval")
            && !policy.split_once("script-src").unwrap().1.split_once(';').unwrap().0.contains("unsafe")
    );
    // What a fault of ours would let in: it does not run, while the viewer does.
    let script = "<script>window.hit=1</script><img src=x onerror='window.hit=2'><svg onload='window.hit=3'></svg><a id=link href='javascript:window.hit=4'>a</a>\
                  <iframe srcdoc='<script>parent.hit=5</script>'></iframe><script src='http://127.0.0.1:9/x.js'></script>";
    for place in ["<main data-part=\"fallback\">", "</main>\n"] {
        let injected = text.replacen(place, &format!("{place}{script}"), 1);
        assert_ne!(injected, text);
        browser.requests();
        let page = Page::at(&browser, Format::Html, &write_text("injected.html", &injected));
        page.get("(document.getElementById('link').click(), 0)");
        let asked: Vec<_> = browser
            .requests()
            .into_iter()
            .filter(|(_, url)| !url.starts_with("file:") && !url.starts_with("about:"))
            .collect();
        assert_eq!(page.get("typeof window.hit"), "undefined");
        let said = browser.console();
        assert!(said.iter().filter(|line| line.contains("Content Security Policy")).count() >= 3, "{said:#?}");
        assert!(asked.is_empty() || said.iter().any(|line| line.contains("127.0.0.1:9")), "{asked:?}");
        page.click("server::accept_loop");
        assert_eq!(page.width("server::accept_loop"), page.number("v.width"));
        page.get("(setTimeout(() => { try { eval('1'); window.made = 'run'; } catch (error) { window.made = 'refused'; } }), 0)");
        browser.wait_for("window.made");
        assert_eq!(page.get("window.made"), "refused");
    }
}

#[test]
fn names_are_harmless_in_other_pages_and_without_script() {
    let Some(browser) = Browser::start(1200, 900) else { return };
    let profile = hostile();
    let texts = FORMATS.map(|format| format.text(&profile, &PictureOptions::default()));
    for (format, text) in FORMATS.iter().zip(&texts) {
        let path = write_text(&format!("hostile_still.{}", format.ending()), text);
        browser.cdp("Emulation.setScriptExecutionDisabled", json!({"value": true}));
        browser.open(&path);
        browser.cdp("Emulation.setScriptExecutionDisabled", json!({"value": false}));
        assert_eq!(browser.run(&format!("var f = {HARM}; return [f[0], f[2], f[4]]")), json!(["undefined", 0, 0]));
        browser.screenshot(&format!("hostile_still_{}", format.ending()));
    }
    // Inside a page of HTML, whose parser is another one.
    let picture = texts[0].split_once("?>").unwrap().1;
    let page = format!("<!doctype html><meta charset=utf-8><title>two</title>{picture}<hr>{picture}<p id=end>end</p>");
    browser.open(&write_text("hostile_two.html", &page));
    browser.wait_for("document.querySelectorAll('[data-flameprofile=live][data-loaded]').length === 2");
    assert_eq!(browser.run(&format!("return {HARM}")), json!(["undefined", 0, 0, 2, 0]));
    assert_eq!(browser.run("return document.getElementById('end').parentNode === document.body"), true);
}
