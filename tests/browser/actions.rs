//! Zoom, history, search, hover, copying, hiding, keys: what a reader does with frames.

use std::collections::BTreeMap;

use flameprofile::analyze::{CallTree, NodeId, View};
use flameprofile::model::{FoundBy, FoundBySet};
use flameprofile::render::number::{count_of, percent, quantity};
use flameprofile::render::{PictureOptions, label};
use serde_json::{Value, json};

use crate::driver::{BACKSPACE, Browser, DOWN, ENTER, ESCAPE, LEFT, RIGHT, SHIFT, UP};
use crate::page::{FORMATS, Page};
use crate::sketch::{every_kind, large};

fn tree() -> CallTree {
    CallTree::build(&every_kind(), &View::default())
}

/// The first node of that name.
fn node(tree: &CallTree, name: &str) -> NodeId {
    (0..tree.nodes.len() as NodeId).find(|id| tree.name(*id) == name).unwrap()
}

/// The numbers that are said of a node.
fn numbers(tree: &CallTree, id: NodeId) -> String {
    let node = &tree.nodes[id as usize];
    let mut said = vec![
        format!("{}, {}", percent(tree.share(node.total_value)), quantity(node.total_value, tree.unit)),
        count_of(node.total_samples, "sample"),
    ];
    let caller = &tree.nodes[node.parent as usize];
    if caller.total_value < tree.root().total_value {
        said.push(format!("{} of its caller", percent(node.total_value as f64 / caller.total_value as f64)));
    }
    match node.self_value {
        0 => {}
        own if own == node.total_value => said.push("all self".into()),
        own => said.push(format!("self {}", percent(tree.share(own)))),
    }
    said.join(" · ")
}

/// The share of the outermost frames that are wanted, and how many frames are.
fn matched(tree: &CallTree, is_wanted: impl Fn(&str) -> bool) -> (u64, usize) {
    let (mut sum, mut frames, mut skip) = (0, 0, 0);
    for (id, node) in tree.nodes.iter().enumerate().skip(1) {
        if is_wanted(tree.names.get(node.name)) {
            frames += 1;
            if id >= skip {
                sum += node.total_value;
                skip = node.end as usize;
            }
        }
    }
    (sum, frames)
}

fn said(tree: &CallTree, is_wanted: impl Fn(&str) -> bool) -> String {
    let (sum, frames) = matched(tree, is_wanted);
    format!("{} matched, {}", percent(tree.share(sum)), count_of(frames as u64, "frame"))
}

fn each(test: impl Fn(&Page)) {
    let Some(browser) = Browser::start(1200, 700) else { return };
    for format in FORMATS {
        test(&Page::of(&browser, format, "every_kind", &every_kind(), &PictureOptions::default()));
    }
}

#[test]
fn a_click_zooms_and_history_leads_back() {
    each(|page| {
        let browser = page.browser;
        browser.screenshot(&format!("every_kind_{}", page.format.ending()));
        let (before, full) = (page.width("tcp_recvmsg"), page.number("v.width"));
        assert!(before < full / 2.0);
        assert_eq!(page.get("part('reset').disabled"), true);
        page.click("server::accept_loop");
        assert_eq!(page.width("server::accept_loop"), full);
        assert_eq!(page.width("server::main"), full, "its callers fill the width");
        assert!(page.width("tcp_recvmsg") > before);
        assert!(!page.has("logger::flush"));
        assert_eq!(page.get("part('reset').disabled"), false);
        assert!(
            page.hash().contains("zoom=server/server%3A%3Amain/") || page.hash().contains("zoom=server%2F"),
            "{}",
            page.hash()
        );
        browser.screenshot(&format!("every_kind_zoomed_{}", page.format.ending()));
        page.click("tcp_recvmsg");
        assert_eq!(page.width("tcp_recvmsg"), full);
        let place = page.hash();
        // Back, forward.
        browser.back();
        browser.wait_for(
            "!document.querySelector('[data-flameprofile=live]').flameprofile.state.zoom.some(key => key.startsWith('tcp_recvmsg'))",
        );
        assert_eq!(page.width("server::accept_loop"), full);
        assert!(page.width("tcp_recvmsg") < full);
        browser.back();
        browser.wait_for("location.hash === ''");
        assert!((page.width("tcp_recvmsg") - before).abs() < 0.1);
        browser.forward();
        browser.forward();
        browser.wait_for(
            "document.querySelector('[data-flameprofile=live]').flameprofile.state.zoom.some(key => key.startsWith('tcp_recvmsg'))",
        );
        assert_eq!(page.width("tcp_recvmsg"), full);
        // A reload, and another reader with the same address.
        browser.reload();
        page.wait();
        assert_eq!(page.hash(), place);
        assert_eq!(page.width("tcp_recvmsg"), full);
        browser.new_tab();
        page.open(&place);
        assert_eq!(page.width("tcp_recvmsg"), full);
        // A click at a caller leads there; the root shows everything.
        page.click("server::main");
        assert!(page.width("tcp_recvmsg") < full && page.width("server::main") == full);
        page.click("all");
        assert!((page.width("tcp_recvmsg") - before).abs() < 0.1);
        // The button, and Esc.
        page.click("server::main");
        page.press("reset");
        assert!((page.width("tcp_recvmsg") - before).abs() < 0.1);
        page.click("server::main");
        page.keys(ESCAPE);
        assert!((page.width("tcp_recvmsg") - before).abs() < 0.1);
        assert_eq!(page.hash(), "");
    });
}

#[test]
fn keys_walk_and_zoom() {
    each(|page| {
        let browser = page.browser;
        page.keys(UP);
        assert_eq!(page.text("name"), "all");
        page.keys(UP);
        assert_eq!(page.text("name"), "server", "the widest");
        page.keys(LEFT);
        assert_eq!(page.text("name"), "logger");
        page.keys(RIGHT);
        assert_eq!(page.text("name"), "server");
        page.keys(UP);
        assert_eq!(page.text("name"), "server::main");
        page.keys(ENTER);
        let full = page.number("v.width");
        assert_eq!(page.width("server::main"), full);
        assert_eq!(page.text("name"), "server::main", "the walk goes on where it was");
        page.keys(UP);
        assert_eq!(page.text("name"), "server::accept_loop");
        page.keys(" ");
        assert_eq!(page.width("server::accept_loop"), full);
        page.keys(DOWN);
        assert_eq!(page.text("name"), "server::main");
        page.keys(BACKSPACE);
        browser.wait_for("!document.querySelector('[data-flameprofile=live]').flameprofile.state.zoom.includes('server::accept_loop')");
        assert!(page.width("server::accept_loop") < full);
        page.keys(ESCAPE);
        assert!(page.has("logger::flush"));
        // Every key of the list: what it does is tested where its action is.
        page.keys("?");
        let keys = page.text("help");
        for key in ["Backspace", "Enter", "Esc", "n, N", "c, C", "+ −"] {
            assert!(keys.contains(key), "{key}: {keys}");
        }
        browser.screenshot(&format!("help_{}", page.format.ending()));
        browser.keys(ESCAPE);
        assert_eq!(page.get("part('help')"), Value::Null);
        page.press("helping");
        assert_ne!(page.get("part('help')"), Value::Null);
        page.keys("?");
        assert_eq!(page.get("part('help')"), Value::Null);
        // Inverted, the arrows are as they are seen.
        page.keys("i");
        page.keys(DOWN);
        page.keys(DOWN);
        assert_eq!(page.text("name"), "server");
        page.keys("i");
        // A key with a modifier is the browser's.
        page.browser.control("i");
        assert_eq!(page.get("v.state.inverted"), false);
    });
}

#[test]
fn search_counts_a_stack_once() {
    let tree = tree();
    each(|page| {
        let contains = |text: &'static str| move |name: &str| name.to_lowercase().contains(text);
        assert_eq!(page.search("render"), said(&tree, contains("render")));
        assert_eq!(
            page.search("tcp_recvmsg|_copy"),
            said(&tree, |name| name.contains("tcp_recvmsg") || name.contains("_copy"))
        );
        // Recursion: the inner one is not counted again, but is a frame.
        let render = "server::template::Template<'_>::render";
        assert_eq!(page.search("^server::template::template<'_>::RENDER$"), said(&tree, |name| name == render));
        let (sum, frames) = matched(&tree, |name| name == render);
        assert_eq!((sum, frames), {
            let nodes = tree.nodes.iter().filter(|node| tree.names.get(node.name) == render);
            (
                nodes
                    .clone()
                    .filter(|node| tree.names.get(tree.nodes[node.parent as usize].name) != render)
                    .map(|node| node.total_value)
                    .sum(),
                nodes.count(),
            )
        });
        assert_eq!(page.search("all$"), "0 % matched, 0 frames", "the root is no frame");
        assert_eq!(page.search("samples"), "0 % matched, 0 frames", "numbers are no names");
        assert_eq!(page.search("."), said(&tree, |_| true));
        assert!(page.search(".").starts_with("100 %"));
        // A term that is none is said, and taken as text.
        let bad = page.search("a(b");
        assert!(
            bad.starts_with("not a regular expression, taken as text (") && bad.ends_with("): 0 % matched, 0 frames"),
            "{bad}"
        );
        let bad = page.search("LazyCompile:*");
        assert!(bad.ends_with(&said(&tree, |name| name.starts_with("LazyCompile:"))), "{bad}");
        // Plain text, and case.
        assert_eq!(page.search("<'_>"), said(&tree, contains("<'_>")));
        page.press("regex");
        assert_eq!(page.get("v.state.plain"), true);
        assert_eq!(page.search("."), said(&tree, contains(".")));
        assert_eq!(page.search("MEMMOVE"), said(&tree, contains("memmove")));
        page.press("case");
        assert_eq!(page.text("match"), "0 % matched, 0 frames");
        assert_eq!(page.search("memmove"), said(&tree, contains("memmove")));
        page.press("regex");
        page.press("case");
        page.browser.screenshot(&format!("searched_{}", page.format.ending()));
        // What matches has another colour; the numbers say its share of it.
        assert_eq!(page.search("memmove"), said(&tree, contains("memmove")));
        assert_eq!(page.get("pixel(box('__memmove_avx_unaligned_erms'))"), "#ea72e0");
        page.hover("__memmove_avx_unaligned_erms");
        let (sum, _) = matched(&tree, contains("memmove"));
        let first = page.number("v.boxes.node[v.pointed]") as NodeId;
        let share = percent(tree.nodes[first as usize].total_value as f64 / sum as f64);
        assert!(page.text("numbers").contains(&format!("{share} of what matches")), "{}", page.text("numbers"));
        // It is in the address, and Esc ends it.
        let place = page.hash();
        assert!(place.contains("search=memmove"), "{place}");
        page.open(&place);
        assert_eq!(page.text("match"), said(&tree, contains("memmove")));
        page.press("search");
        page.browser.keys(ESCAPE);
        assert_eq!((page.text("match").as_str(), page.hash().as_str()), ("", ""));
        assert_ne!(page.get("pixel(box('__memmove_avx_unaligned_erms'))"), "#ea72e0");
        // `/` and Ctrl-F lead into the field.
        page.keys("/tcp");
        page.browser.wait_for("document.querySelector('[data-part=match]').textContent !== ''");
        assert_eq!(page.text("match"), said(&tree, contains("tcp")));
        page.keys(ESCAPE);
        page.browser.control("f");
        assert_eq!(page.get("document.activeElement === v.input"), true);
    });
}

#[test]
fn several_terms_have_colours_and_shares_of_their_own() {
    let tree = tree();
    each(|page| {
        page.search("parse");
        page.press("pin");
        assert_eq!(page.get("v.input.value"), "");
        page.search("memmove");
        page.press("pin");
        let both = page.search("tcp");
        let wanted = ["parse", "memmove", "tcp"];
        assert_eq!(both, said(&tree, |name| wanted.iter().any(|term| name.contains(term))));
        let chips = page.get("Array.from(part('terms').children).map(c => c.firstChild.textContent)");
        let shares =
            wanted.map(|term| format!("{term} {}", percent(tree.share(matched(&tree, |name| name.contains(term)).0))));
        assert_eq!(chips, json!(shares));
        let names = ["server::http::parse_request", "__memmove_avx_unaligned_erms", "tcp_recvmsg"];
        let colours = names.map(|name| page.get(&format!("pixel(box('{name}'))")).as_str().unwrap().to_owned());
        assert_eq!(colours, ["#ea72e0", "#56d364", "#58c7f3"]);
        page.browser.screenshot(&format!("terms_{}", page.format.ending()));
        let place = page.hash();
        page.open(&place);
        assert_eq!(page.get("v.state.terms"), json!(["parse", "memmove"]));
        // One is taken away.
        page.browser.click("document.querySelector('[data-part=terms] button')");
        assert_eq!(page.text("match"), said(&tree, |name| name.contains("memmove") || name.contains("tcp")));
        page.press("reset");
        assert_eq!(page.text("match"), "");
        assert_eq!(page.get("part('terms').children.length"), 0);
    });
}

#[test]
fn next_and_previous_reach_every_match() {
    let Some(browser) = Browser::start(1000, 700) else { return };
    let profile = large(3_000, 9_000);
    let tree = CallTree::build(&profile, &View::default());
    for format in FORMATS {
        let page = Page::of(&browser, format, "next", &profile, &PictureOptions::default());
        let text = page.search("Handle::send");
        // Those that are not below another.
        let (mut outermost, mut skip) = (Vec::new(), 0);
        for (id, node) in tree.nodes.iter().enumerate() {
            if id >= skip && tree.names.get(node.name).to_lowercase().contains("handle::send") {
                outermost.push(id);
                skip = node.end as usize;
            }
        }
        assert!((8..60).contains(&outermost.len()), "{}", outermost.len());
        let small = page.number("boxes('x').length + v.foundNodes.filter(n => v.boxOf(n) < 0).length");
        assert!(small > 0.0, "none is too small to be drawn");
        for (nth, id) in outermost.iter().enumerate() {
            page.keys("n");
            assert_eq!(page.number("v.boxes.node[v.pointed]") as usize, *id);
            let width = page.number("v.boxes.w[v.pointed]");
            assert!(width >= 0.5, "{width}");
            assert_eq!(page.text("match"), format!("{text} · {} of {}", nth + 1, outermost.len()));
            let seen = page.get("(function (m) { var r = v.stage.getBoundingClientRect(); return m[1] >= r.top && m[1] <= r.bottom; })(middle(v.pointed))");
            assert_eq!(seen, true);
        }
        page.keys("n");
        assert_eq!(page.number("v.boxes.node[v.pointed]") as usize, outermost[0], "from the last to the first");
        page.keys("N");
        assert_eq!(page.number("v.boxes.node[v.pointed]") as usize, outermost[outermost.len() - 1]);
        page.press("previous");
        assert_eq!(page.number("v.boxes.node[v.pointed]") as usize, outermost[outermost.len() - 2]);
        page.press("following");
        assert_eq!(page.number("v.boxes.node[v.pointed]") as usize, outermost[outermost.len() - 1]);
        // In the field.
        page.press("search");
        browser.keys(ENTER);
        assert_eq!(page.number("v.boxes.node[v.pointed]") as usize, outermost[0]);
        browser.keys(&format!("{SHIFT}{ENTER}"));
    }
}

#[test]
fn the_bar_says_all_that_is_known() {
    let tree = tree();
    each(|page| {
        for (name, more) in [
            ("tcp_recvmsg", "kernel · [kernel]"),
            ("server::http::parse_request", "server · /src/server/src/http.rs:77-93"),
            ("alloc::vec::Vec<T, A>::push", "inlined · server · /rust/alloc/vec/mod.rs:2440"),
            ("__memmove_avx_unaligned_erms", "libc.so.6"),
            ("LazyCompile:*route /srv/app.js:14", "JIT · [anonymous]"),
            ("server::main", "server · /src/server/src/main.rs:12"),
        ] {
            page.hover(name);
            let id = page.number("v.boxes.node[v.pointed]") as NodeId;
            assert_eq!(tree.name(id), name);
            assert_eq!(page.text("name"), name);
            let expected = format!("{} · {more}", numbers(&tree, id));
            assert_eq!(page.text("numbers"), expected, "{name}");
            // The tooltip says the same, a line each, and is in the window.
            let tip = page.text("tip").replace('\n', " · ");
            assert_eq!(tip, format!("{name}{expected}"));
            let inside = "(function (r) { return !part('tip').hidden && r.left >= 0 && r.top >= 0 && r.right <= innerWidth && r.bottom <= innerHeight; })(part('tip').getBoundingClientRect())";
            assert_eq!(page.get(inside), true);
        }
        let id = node(&tree, "[not sampled]");
        assert_eq!(tree.nodes[id as usize].total_samples, 0);
        page.hover("[not sampled]");
        assert!(page.text("numbers").contains("estimated"), "{}", page.text("numbers"));
        page.browser.screenshot(&format!("hovered_{}", page.format.ending()));
        // The bar is in the window, whatever its size.
        let below = "part('bar').getBoundingClientRect().bottom <= innerHeight + 0.5 && part('bar').getBoundingClientRect().top > 0";
        for (width, height) in [(1200, 700), (400, 700), (1200, 300)] {
            page.browser.resize(width, height);
            page.browser.screenshot(&format!("size_{width}_{height}_{}", page.format.ending()));
            assert_eq!(page.get(below), true, "{width} x {height}");
        }
        page.browser.resize(1200, 700);
    });
}

#[test]
fn how_a_frame_was_found_is_said() {
    let Some(browser) = Browser::start(1200, 700) else { return };
    let mut profile = every_kind();
    for frame in &mut profile.frames {
        frame.found_by = FoundBySet::default().with(FoundBy::CallChain).with(FoundBy::UnwindInfo);
    }
    for format in FORMATS {
        let page = Page::of(&browser, format, "found", &profile, &PictureOptions::default());
        page.hover("server::accept_loop");
        let said = page.text("numbers");
        assert!(said.ends_with(" · found by unwind info, call chain"), "{said}");
    }
}

#[test]
fn names_and_stacks_are_copied() {
    let Some(browser) = Browser::start(1200, 700) else { return };
    for format in FORMATS {
        let page = Page::of(&browser, format, "copied", &every_kind(), &PictureOptions::default());
        let stack = "server;server::main;server::accept_loop;read;entry_SYSCALL_64_after_hwframe;ksys_read;tcp_recvmsg";
        // A page on https or this machine has the clipboard.
        page.get("(Object.defineProperty(navigator, 'clipboard', {configurable: true, value: {writeText: t => { window.copied = t; return Promise.resolve(); }}}), 0)");
        page.right_click("tcp_recvmsg");
        page.choose("Copy name");
        assert_eq!(page.get("window.copied"), "tcp_recvmsg");
        browser.wait_for("document.querySelector('[data-part=match]').textContent === 'Copied: tcp_recvmsg'");
        page.hover("tcp_recvmsg");
        page.keys("C");
        assert_eq!(page.get("window.copied"), stack);
        page.hover("tcp_recvmsg");
        page.keys("c");
        assert_eq!(page.get("window.copied"), "tcp_recvmsg");
        // Others have not, or say no: then it is copied as from a field.
        for refusal in ["undefined", "{writeText: t => Promise.reject(Error('no'))}"] {
            page.get(&format!(
                "(Object.defineProperty(navigator, 'clipboard', {{configurable: true, value: {refusal}}}), 0)"
            ));
            page.get("(window.field = null, document.execCommand = c => { window.field = [c, document.activeElement.value || getSelection().toString()]; return true; }, 0)");
            page.hover("tcp_recvmsg");
            page.keys("C");
            browser.wait_for("window.field");
            assert_eq!(page.get("window.field"), json!(["copy", stack]), "{refusal}");
            assert_eq!(page.get("document.querySelectorAll('textarea').length"), 0);
        }
        // Nothing is claimed that has not happened.
        page.get("(document.execCommand = c => false, 0)");
        page.hover("tcp_recvmsg");
        page.keys("c");
        browser.wait_for("document.querySelector('[data-part=match]').textContent.includes('does not allow')");
        // After copying, keys go on.
        page.browser.keys("i");
        assert_eq!(page.get("v.state.inverted"), true);
        // Bottom-up, a stack is what is below in the picture, in the order of calls.
        page.open("#view=bottom-up");
        page.get("(Object.defineProperty(navigator, 'clipboard', {configurable: true, value: {writeText: t => { window.copied = t; return Promise.resolve(); }}}), 0)");
        page.click("tcp_recvmsg");
        page.hover("ksys_read");
        page.keys("C");
        assert_eq!(page.get("window.copied"), "ksys_read;tcp_recvmsg");
        // The browser's own clipboard, where it is granted.
        page.open("");
        browser
            .cdp("Browser.grantPermissions", json!({"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}));
        page.hover("tcp_recvmsg");
        page.keys("C");
        browser.wait_for("document.querySelector('[data-part=match]').textContent.startsWith('Copied: ')");
        let pasted = browser
            .run_async("navigator.clipboard.readText().then(arguments[0], error => arguments[0](String(error)))");
        assert_eq!(pasted, stack);
        browser.cdp("Browser.resetPermissions", json!({}));
    }
}

#[test]
fn the_menu_does_what_keys_do() {
    each(|page| {
        page.right_click("server::accept_loop");
        let entries = page.get("Array.from(part('menu').children).map(b => b.textContent)");
        assert_eq!(
            entries,
            json!([
                "Zoom",
                "Copy name",
                "Copy stack",
                "Callers and callees (sandwich)",
                "Hide it and all above",
                "Hide the function everywhere",
                "Only stacks with it",
                "Search for it"
            ])
        );
        page.browser.screenshot(&format!("menu_{}", page.format.ending()));
        assert_eq!(page.get("document.activeElement.textContent"), "Zoom");
        page.browser.keys(DOWN);
        assert_eq!(page.get("document.activeElement.textContent"), "Copy name");
        page.browser.keys(UP);
        page.browser.keys(UP);
        assert_eq!(page.get("document.activeElement.textContent"), "Search for it");
        page.browser.keys(ENTER);
        assert_eq!(page.get("v.state.query"), "^server::accept_loop$");
        assert!(page.text("match").ends_with("matched, 1 frame"), "{}", page.text("match"));
        page.right_click("server::accept_loop");
        page.browser.keys(ESCAPE);
        assert_eq!(page.get("part('menu')"), Value::Null);
        assert_eq!(page.get("v.state.query"), "^server::accept_loop$", "Esc closed the menu, no more");
        // By key, at the frame that was walked to; a click elsewhere closes it.
        page.hover("server::main");
        page.keys("m");
        assert_ne!(page.get("part('menu')"), Value::Null);
        page.press("name");
        assert_eq!(page.get("part('menu')"), Value::Null);
        page.right_click("server::main");
        page.choose("Zoom");
        assert_eq!(page.width("server::main"), page.number("v.width"));
    });
}

#[test]
fn what_is_hidden_is_said_and_comes_back() {
    let tree = tree();
    each(|page| {
        let total = |page: &Page| page.number("v.weights.total[0]") as u64;
        let all = tree.root().total_value;
        let chips = |page: &Page| {
            page.get("Array.from(part('filters').querySelectorAll('.chip span')).map(c => c.textContent)")
        };
        assert_eq!(total(page), all);
        // A frame where it is.
        let render = "server::template::Template<'_>::render";
        let before: BTreeMap<_, _> = [("all", all)].into();
        let first = page.number(&format!("v.boxes.node[box(\"{render}\")]")) as NodeId;
        let of_frame = tree.nodes[first as usize].total_value;
        page.hover(render);
        page.keys("h");
        assert_eq!(total(page), before["all"] - of_frame);
        assert_eq!(page.text("hidden-share"), format!("{} hidden", percent(tree.share(of_frame))));
        assert_eq!(chips(page), json!([format!("without {}", label::fit(render, 30).unwrap())]));
        // The function, wherever it is.
        let (of_function, _) = matched(&tree, |name| name == render);
        page.hover("server::main");
        page.press("reset");
        page.right_click(render);
        page.choose("Hide the function everywhere");
        assert_eq!(total(page), all - of_function);
        assert!(!page.has(render));
        page.hover("__memmove_avx_unaligned_erms");
        page.keys("H");
        let both = |name: &str| name == render || name == "__memmove_avx_unaligned_erms";
        assert_eq!(total(page), all - matched(&tree, both).0);
        page.browser.screenshot(&format!("hidden_{}", page.format.ending()));
        // The address leads there; the Back button leads back; a chip undoes one.
        let place = page.hash();
        page.open(&place);
        assert_eq!(total(page), all - matched(&tree, both).0);
        page.browser.click("document.querySelector('[data-part=filters] button')");
        assert_eq!(total(page), all - matched(&tree, |name| name == "__memmove_avx_unaligned_erms").0);
        page.browser.back();
        page.browser.wait_for("document.querySelectorAll('[data-part=filters] .chip').length === 2");
        assert_eq!(total(page), all - matched(&tree, both).0);
        page.press("reset");
        assert_eq!(total(page), all);
        // Only stacks with it.
        page.hover("tcp_recvmsg");
        page.keys("f");
        assert_eq!(total(page), matched(&tree, |name| name == "tcp_recvmsg").0);
        assert_eq!(chips(page), json!(["only with tcp_recvmsg"]));
        assert!(!page.has("logger::flush") && page.has("server::accept_loop"));
        page.browser.back();
        page.browser.wait_for("document.querySelectorAll('[data-part=filters] .chip').length === 0");
        assert_eq!(total(page), all);
        // What is hidden inside of what is zoomed to.
        page.click("server::accept_loop");
        page.hover("read");
        page.keys("h");
        assert_eq!(page.width("server::accept_loop"), page.number("v.width"));
        assert!(!page.has("tcp_recvmsg"));
        // All of it can be hidden; it is said that nothing is left, and undone.
        page.press("reset");
        page.hover("all");
        page.keys("H");
        page.hover("server");
        page.keys("h");
        page.hover("logger");
        page.keys("h");
        page.browser.screenshot(&format!("all_hidden_{}", page.format.ending()));
        // What was pointed at is no more: neither bar nor tooltip speak of it.
        assert_eq!(page.text("name"), page.get("v.base.header.title").as_str().unwrap());
        assert_eq!(page.get("part('tip').hidden"), true);
        page.press("reset");
        assert_eq!(total(page), all);
    });
}

#[test]
fn what_is_too_small_is_gathered_and_summed() {
    let Some(browser) = Browser::start(1000, 800) else { return };
    let profile = large(6_000, 20_000);
    let tree = CallTree::build(&profile, &View::default());
    for format in FORMATS {
        let page = Page::of(&browser, format, "gathered", &profile, &PictureOptions::default());
        let boxes = page.get("v.boxes.rows.map((row, at) => row.map(b => [v.boxes.node[b], v.boxes.count[b], v.boxes.x[b], v.boxes.w[b]])).reverse()");
        let width = page.number("v.width");
        let scale = width / tree.root().total_value as f64;
        let mut drawn: BTreeMap<NodeId, (f64, f64)> = BTreeMap::new();
        let mut sums: BTreeMap<NodeId, (f64, u64)> = BTreeMap::new();
        for row in boxes.as_array().unwrap() {
            for found in row.as_array().unwrap() {
                let [id, count, x, wide] = [0, 1, 2, 3].map(|at| found[at].as_f64().unwrap());
                let id = id as NodeId;
                let parent = if count > 0.0 {
                    id
                } else {
                    let node = &tree.nodes[id as usize];
                    assert!((wide - node.total_value as f64 * scale).abs() < 1e-6);
                    drawn.insert(id, (x, wide));
                    if id == 0 {
                        continue;
                    }
                    node.parent
                };
                let sum = sums.entry(parent).or_default();
                sum.0 += wide;
                sum.1 += if count > 0.0 { count as u64 } else { 1 };
            }
        }
        let mut gathered = 0;
        for id in drawn.keys() {
            let node = &tree.nodes[*id as usize];
            let (sum, count) = sums.get(id).copied().unwrap_or_default();
            let below = (node.total_value - node.self_value) as f64 * scale;
            // Less than a fiftieth of a pixel is not drawn.
            assert!((sum - below).abs() < 0.02 + 1e-6, "{}: {sum} of {below}", tree.name(*id));
            if below >= 0.02 {
                assert_eq!(count, tree.children(*id).count() as u64, "{}", tree.name(*id));
            }
            gathered += count - tree.children(*id).filter(|child| drawn.contains_key(child)).count() as u64;
        }
        assert!(gathered > 500, "{gathered}");
        browser.screenshot(&format!("gathered_{}", format.ending()));
        // What is said of one.
        let widest = "(function () { var best = -1; for (var b = 0; b < v.boxes.x.length; b++) if (v.boxes.count[b] && (best < 0 || v.boxes.w[b] > v.boxes.w[best])) best = b; return best; })()";
        let found = page.get(&format!("[v.boxes.count[{widest}], v.boxes.w[{widest}], middle({widest})]"));
        browser.move_to((found[2][0].as_f64().unwrap(), found[2][1].as_f64().unwrap()));
        let share = percent(found[1].as_f64().unwrap() / width);
        assert_eq!(page.text("name"), format!("{} smaller: {share}", found[0]));
    }
}
