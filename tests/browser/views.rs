//! All views and what chooses among samples: split, threads, time; themes; and what is told to who cannot see.

use std::collections::BTreeSet;

use flameprofile::analyze::{CallTree, Top, View};
use flameprofile::model::StackEnd;
use flameprofile::render::number::percent;
use flameprofile::render::{DiffWidth, Palette, PictureOptions, Shape};
use serde_json::{Value, json};

use crate::driver::{Browser, DOWN, ENTER, ESCAPE, RIGHT, UP};
use crate::page::{FORMATS, Page};
use crate::sketch::{Sketch, deep, every_kind, large};

fn each(test: impl Fn(&Page)) {
    let Some(browser) = Browser::start(1200, 800) else { return };
    for format in FORMATS {
        test(&Page::of(&browser, format, "views", &every_kind(), &PictureOptions::default()));
    }
}

/// Distance of a frame from the bottom of the picture, in rows; negative above.
fn row(page: &Page, name: &str) -> f64 {
    page.number(&format!("v.rowOf(box({}))", Value::from(name)))
}

#[test]
fn views_are_chosen_by_button_key_and_address() {
    each(|page| {
        let browser = page.browser;
        let shot = |name: &str| browser.screenshot(&format!("view_{name}_{}", page.format.ending()));
        // The root is below, in an icicle above.
        assert!(row(page, "all") > row(page, "server") && row(page, "server") > row(page, "server::main"));
        page.press("invert");
        assert!(row(page, "all") < row(page, "server") && row(page, "server") < row(page, "server::main"));
        shot("icicle");
        assert_eq!(page.hash(), "#inverted=1");
        page.keys("i");
        assert_eq!(page.hash(), "");
        // Bottom-up: callers below.
        page.keys("2");
        shot("bottom_up");
        assert!(row(page, "all") < row(page, "tcp_recvmsg") && row(page, "tcp_recvmsg") < row(page, "ksys_read"));
        page.click("_copy_to_iter");
        assert_eq!(page.width("_copy_to_iter"), page.number("v.width"));
        let place = page.hash();
        page.open(&place);
        assert_eq!(
            (page.get("v.state.view"), page.width("_copy_to_iter")),
            (json!("bottom-up"), page.number("v.width"))
        );
        // Sandwich: of what is pointed at; a click takes another.
        page.keys("1");
        page.press("reset");
        page.hover("server::http::parse_request");
        page.keys("s");
        shot("sandwich");
        assert_eq!(
            (page.get("v.state.view"), page.get("v.state.focus")),
            (json!("sandwich"), json!("server::http::parse_request"))
        );
        assert!(row(page, "server::accept_loop") < row(page, "server::http::parse_request"));
        assert!(row(page, "server::http::parse_request") < row(page, "alloc::vec::Vec<T, A>::push"));
        page.click("alloc::vec::Vec<T, A>::push");
        assert_eq!(page.get("v.state.focus"), "alloc::vec::Vec<T, A>::push");
        let place = page.hash();
        browser.back();
        browser.wait_for("document.querySelector('[data-flameprofile=live]').flameprofile.state.focus === 'server::http::parse_request'");
        page.open(&place);
        assert_eq!(page.get("v.state.focus"), "alloc::vec::Vec<T, A>::push");
        // Flame chart.
        page.keys("4");
        shot("chart");
        assert_eq!(page.get("v.laneNames.size"), 3);
        page.hover("logger::flush");
        let said = page.text("numbers");
        assert!(said.contains("28 samples") && said.contains("logger-8"), "{said}");
        let wide = page.width("logger::flush");
        page.click("logger::flush");
        assert!(page.width("logger::flush") > 10.0 * wide);
        browser.back();
        browser.wait_for("!document.querySelector('[data-flameprofile=live]').flameprofile.state.span");
        let range = |page: &Page| page.number("v.chartRange()[1] - v.chartRange()[0]");
        let whole = range(page);
        page.keys("+");
        assert!((range(page) / whole - 0.8).abs() < 0.01, "{}", range(page) / whole);
        page.keys("-");
        assert!((range(page) / whole - 1.0).abs() < 0.01, "{}", range(page) / whole);
        // Each view by its button.
        for view in ["flame", "bottom-up", "sandwich", "chart", "top"] {
            page.press(&format!("view-{view}"));
            assert_eq!(page.get("v.state.view"), view);
            assert_eq!(page.get(&format!("part('view-{view}').getAttribute('aria-pressed')")), "true");
            assert_eq!(page.get("place.querySelectorAll('.group [aria-pressed=true]').length"), 1);
        }
    });
}

#[test]
fn the_first_view_is_the_one_that_was_asked_for() {
    let Some(browser) = Browser::start(1200, 800) else { return };
    for format in FORMATS {
        for (shape, view, inverted) in [
            (Shape::Flame, "flame", false),
            (Shape::Icicle, "flame", true),
            (Shape::Reverse, "bottom-up", false),
            (Shape::Chart, "chart", false),
            (Shape::Sandwich, "sandwich", false),
        ] {
            let options = PictureOptions {
                shape,
                function: Some("read".into()),
                palette: Palette::Hash,
                diff_width: DiffWidth::New,
                ..PictureOptions::default()
            };
            let page = Page::of(&browser, format, "first", &every_kind(), &options);
            assert_eq!(page.get("[v.state.view, v.state.inverted, v.state.palette]"), json!([view, inverted, "hash"]));
            assert_eq!(page.hash(), "");
            page.keys("5");
            page.press("reset");
            page.keys(ESCAPE);
            browser.back();
            browser.wait_for("location.hash === ''");
            assert_eq!(page.get("v.state.view"), view);
        }
    }
}

#[test]
fn the_table_is_the_top_and_sorts() {
    let tree = CallTree::build(&every_kind(), &View::default());
    let top = Top::build(&tree);
    each(|page| {
        page.press("view-top");
        page.browser.screenshot(&format!("view_top_{}", page.format.ending()));
        let names = |page: &Page| -> Vec<String> {
            let cells = page.get("Array.from(part('table').querySelectorAll('td.f')).map(c => c.textContent)");
            cells.as_array().unwrap().iter().map(|cell| cell.as_str().unwrap().to_owned()).collect()
        };
        let ours: Vec<_> = top.functions.iter().map(|f| tree.names.get(f.name).to_owned()).collect();
        assert_eq!(names(page), ours);
        let own = page.get(
            "Array.from(part('table').querySelectorAll('tbody tr')).map(r => r.children[0].textContent.split('  ')[0])",
        );
        let shares: Vec<_> = top.functions.iter().map(|f| percent(tree.share(f.self_value))).collect();
        assert_eq!(own, json!(shares));
        let sort = |page: &Page, column: usize| {
            page.browser.click(&format!("document.querySelectorAll('[data-part=table] th button')[{column}]"))
        };
        sort(page, 1);
        let mut by_total = top.functions.clone();
        by_total.sort_by(|one, other| {
            other
                .total_value
                .cmp(&one.total_value)
                .then_with(|| tree.names.get(one.name).cmp(tree.names.get(other.name)))
        });
        let by_total: Vec<_> = by_total.iter().map(|f| tree.names.get(f.name).to_owned()).collect();
        assert_eq!(names(page), by_total);
        assert_eq!(page.get("part('table').querySelectorAll('th')[1].getAttribute('aria-sort')"), "descending");
        sort(page, 1);
        assert_eq!(page.get("part('table').querySelectorAll('th')[1].getAttribute('aria-sort')"), "ascending");
        let least = names(page)[0].clone();
        assert_eq!(
            top.functions.iter().map(|f| f.total_value).min(),
            top.functions.iter().find(|f| tree.names.get(f.name) == least).map(|f| f.total_value)
        );
        sort(page, 3);
        let mut by_name = ours.clone();
        by_name.sort();
        assert_eq!(names(page), by_name);
        // A search is a choice of rows; a row leads to its callers and callees.
        page.search("tcp");
        assert_eq!(names(page), ["tcp_recvmsg"]);
        page.browser.click("document.querySelector('[data-part=table] td.f button')");
        assert_eq!((page.get("v.state.view"), page.get("v.state.focus")), (json!("sandwich"), json!("tcp_recvmsg")));
    });
}

#[test]
fn threads_and_processes_are_told_apart_and_chosen() {
    each(|page| {
        let browser = page.browser;
        page.select("split", "threads");
        for name in ["main-7", "worker-9", "logger-8"] {
            assert!(page.has(name), "{name}");
        }
        browser.screenshot(&format!("split_threads_{}", page.format.ending()));
        page.click("worker-9");
        let place = page.hash();
        page.select("split", "processes");
        for name in ["server-7", "server-9", "logger-8"] {
            assert!(page.has(name), "{name}");
        }
        browser.screenshot(&format!("split_processes_{}", page.format.ending()));
        page.open(&place);
        assert_eq!((page.get("v.state.split"), page.width("worker-9")), (json!("threads"), page.number("v.width")));
        page.press("reset");
        assert_eq!(page.get("v.state.split"), "none");
        // Chosen ones.
        page.keys("t");
        browser.screenshot(&format!("threads_{}", page.format.ending()));
        let labels = page.get("Array.from(part('threads').querySelectorAll('label')).map(l => l.textContent)");
        assert_eq!(labels.as_array().unwrap().len(), 3);
        assert!(labels[0].as_str().unwrap().starts_with(" main-7 of server: "), "{labels}");
        browser.click("document.querySelectorAll('[data-part=threads] input')[0]");
        assert!(!page.has("tcp_recvmsg") && page.has("logger::flush"));
        browser.keys(" ");
        assert!(page.has("tcp_recvmsg"), "the space bar checks the box");
        browser.keys(" ");
        assert_eq!(page.text("filters").trim_end_matches('×'), "2 threads of 3");
        browser.click("document.querySelectorAll('[data-part=threads] button')[1]");
        assert_eq!(page.number("v.weights.total[0]"), 0.0);
        browser.screenshot(&format!("no_threads_{}", page.format.ending()));
        browser.click("document.querySelectorAll('[data-part=threads] button')[0]");
        assert!(page.has("tcp_recvmsg"));
        browser.keys(ESCAPE);
        assert_eq!(page.get("part('threads')"), Value::Null);
        let second = page.get("v.base.threads[1].pid + '.' + v.base.threads[1].tid");
        page.open(&format!("#threads={}", second.as_str().unwrap()));
        assert!(!page.has("tcp_recvmsg"));
        browser.click("document.querySelector('[data-part=filters] button')");
        assert!(page.has("tcp_recvmsg"));
    });
}

#[test]
fn a_range_of_time_is_dragged() {
    each(|page| {
        let browser = page.browser;
        // What is chosen is said above the strip, which may move it.
        let drag = |from: f64, to: f64| {
            let strip =
                page.get("(r => [r.left, r.top + r.height / 2, r.width])(part('strip').getBoundingClientRect())");
            let [left, top, width] = [0, 1, 2].map(|at| strip[at].as_f64().unwrap());
            browser.drag((left + width * from, top), (left + width * to, top));
        };
        let total = page.number("v.weights.total[0]");
        drag(0.25, 0.75);
        let chosen = page.get("[v.state.from / v.base.duration, v.state.to / v.base.duration]");
        assert!(
            (chosen[0].as_f64().unwrap() - 0.25).abs() < 0.01 && (chosen[1].as_f64().unwrap() - 0.75).abs() < 0.01,
            "{chosen}"
        );
        let part = page.number("v.weights.total[0]");
        assert!((part / total - 0.5).abs() < 0.05, "{part} of {total}");
        browser.screenshot(&format!("range_{}", page.format.ending()));
        let place = page.hash();
        assert!(place.contains("time="), "{place}");
        page.open(&place);
        assert_eq!(page.number("v.weights.total[0]"), part);
        // In every view.
        for view in ["bottom-up", "top", "chart"] {
            page.press(&format!("view-{view}"));
            assert_eq!(page.number("v.weights.total[0]"), part);
        }
        assert_eq!(page.get("v.chartRange()"), page.get("[v.state.from, v.state.to]"));
        // Backwards, and a click for everything.
        drag(0.6, 0.1);
        assert!((page.number("v.state.from / v.base.duration") - 0.1).abs() < 0.01);
        drag(0.5, 0.5);
        assert_eq!(page.number("v.weights.total[0]"), total);
        // The chip undoes it, too.
        drag(0.5, 0.6);
        browser.click("document.querySelector('[data-part=filters] button')");
        assert_eq!(page.number("v.weights.total[0]"), total);
    });
}

#[test]
fn dark_and_light_follow_the_system_and_the_key() {
    each(|page| {
        let browser = page.browser;
        let dark = |page: &Page| {
            page.get("[v.app.dataset.theme, getComputedStyle(v.app).backgroundColor, v.canvas.getContext('2d').getImageData(5, 5, 1, 1).data[0] < 60]")
        };
        let (is_light, is_dark) =
            (json!(["light", "rgb(255, 255, 255)", false]), json!(["dark", "rgb(23, 23, 27)", true]));
        assert_eq!(dark(page), is_light);
        browser.cdp(
            "Emulation.setEmulatedMedia",
            json!({"features": [{"name": "prefers-color-scheme", "value": "dark"}]}),
        );
        browser.wait_for("document.querySelector('[data-part=app]').dataset.theme === 'dark'");
        assert_eq!(dark(page), is_dark);
        browser.screenshot(&format!("dark_{}", page.format.ending()));
        page.keys("d");
        assert_eq!(dark(page), is_light);
        let place = page.hash();
        page.open(&place);
        assert_eq!(dark(page), is_light);
        page.press("theme");
        assert_eq!(dark(page), is_dark);
        for view in ["bottom-up", "sandwich", "chart", "top"] {
            page.press(&format!("view-{view}"));
            browser.screenshot(&format!("dark_{view}_{}", page.format.ending()));
        }
        page.keys("?");
        browser.screenshot(&format!("dark_help_{}", page.format.ending()));
        browser.cdp("Emulation.setEmulatedMedia", json!({"features": []}));
    });
}

/// What the tree beside the canvas says, a line an item, and the one that is active.
const TWIN: &str = "[Array.from(part('twin').children).map(i => [i.getAttribute('role'), Number(i.getAttribute('aria-level')), i.textContent.split(', ')[0], i.getAttribute('aria-selected')]), \
    (document.getElementById(v.stage.getAttribute('aria-activedescendant')) || {textContent: ''}).textContent]";

#[test]
fn who_cannot_see_is_told() {
    let tree = CallTree::build(&every_kind(), &View::default());
    each(|page| {
        let browser = page.browser;
        let wait = |name: &str| {
            let active = "document.getElementById(document.querySelector('[data-flameprofile=live]').flameprofile.stage.getAttribute('aria-activedescendant'))";
            browser
                .wait_for(&format!("({active} || {{textContent: ''}}).textContent.startsWith({})", Value::from(name)));
        };
        page.keys(UP);
        wait("all, ");
        page.keys(UP);
        wait("server, ");
        page.keys(UP);
        page.keys(RIGHT);
        wait("server::main, ");
        let said = page.get(TWIN);
        let items = said[0].as_array().unwrap();
        assert_eq!(items[0], json!(["treeitem", 1, "all", "false"]));
        assert_eq!(items[1], json!(["treeitem", 2, "server", "false"]));
        assert_eq!(items[2], json!(["treeitem", 3, "server::main", "true"]));
        let below: BTreeSet<_> = items[3..].iter().map(|item| item[2].as_str().unwrap().to_owned()).collect();
        let main = (0..tree.nodes.len() as u32).find(|id| tree.name(*id) == "server::main").unwrap();
        // A name may have a comma.
        let callees: BTreeSet<_> =
            tree.children(main).map(|id| tree.name(id).split(", ").next().unwrap().to_owned()).collect();
        assert_eq!(below, callees);
        let share = percent(tree.share(tree.nodes[main as usize].total_value));
        assert!(said[1].as_str().unwrap().starts_with(&format!("server::main, {share}, self ")), "{said}");
        page.keys(ENTER);
        wait("server::main, ");
        page.keys(DOWN);
        wait("server, ");
        // Every control has a name, and the roles are those of the browser's own tree.
        for (view, role) in [("flame", "tree"), ("top", "table"), ("chart", "tree")] {
            page.press(&format!("view-{view}"));
            page.get("new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)))");
            let nodes = browser.cdp("Accessibility.getFullAXTree", json!({}));
            let mut roles = BTreeSet::new();
            for node in nodes["nodes"].as_array().unwrap().iter().filter(|node| node["ignored"] == false) {
                let role = node["role"]["value"].as_str().unwrap_or("");
                roles.insert(role.to_owned());
                let is_control = [
                    "button",
                    "textbox",
                    "searchbox",
                    "combobox",
                    "listbox",
                    "checkbox",
                    "tree",
                    "treeitem",
                    "toolbar",
                    "dialog",
                    "image",
                    "img",
                    "group",
                ]
                .contains(&role);
                // The picture itself is a group of what is in it.
                if is_control && !(role == "group" && node["name"]["value"] == "") {
                    assert_ne!(node["name"]["value"], "", "{view}: {node:#}");
                }
            }
            for wanted in ["button", "searchbox", "toolbar", role] {
                assert!(roles.contains(wanted), "{view}: {wanted} of {roles:?}");
            }
        }
    });
}

#[test]
fn deep_stacks_scroll_to_their_end() {
    let Some(browser) = Browser::start(1000, 700) else { return };
    for format in FORMATS {
        for depth in [3_000, 50_000] {
            let page = Page::of(&browser, format, &format!("deep_{depth}"), &deep(depth), &PictureOptions::default());
            assert_eq!(page.number("v.rowCount") as usize, depth + 3, "all, the process, and where it is cut");
            assert_eq!(
                page.get("pixel(box('all'))"),
                page.get("v.fillOf(v.forward, 0, v.forward.func(0))"),
                "the root is seen first"
            );
            browser.screenshot(&format!("deep_{depth}_{}", format.ending()));
            page.get("(v.stage.scrollTop = 0, v.paint(), 0)");
            let first = page.get("(b => [v.boxes.node[b], v.forward.depthOf(v.boxes.node[b])])(v.boxes.at(0, 5))");
            assert_eq!(first[1].as_u64().unwrap() as usize, depth + 2, "{first}");
            assert!(page.number("v.canvas.height") < 2_000.0, "the canvas is as tall as the window");
            browser.screenshot(&format!("deep_{depth}_end_{}", format.ending()));
            page.keys("i");
            assert_eq!(page.number("v.stage.scrollTop"), 0.0);
            page.get("(v.stage.scrollTop = 1e9, v.paint(), 0)");
            let last = page.get("v.forward.depthOf(v.boxes.node[v.boxes.at(Math.floor((v.stage.scrollTop + v.stage.clientHeight - 4 - v.offset) / 18), 5)])");
            assert_eq!(last.as_u64().unwrap() as usize, depth + 2);
        }
    }
}

#[test]
fn edges_are_said() {
    let Some(browser) = Browser::start(1000, 500) else { return };
    for format in FORMATS {
        // Nothing.
        let page = Page::of(&browser, format, "nothing", &Sketch::new().finish(), &PictureOptions::default());
        browser.screenshot(&format!("nothing_{}", format.ending()));
        assert!(page.get("v.base.header.empty").as_str().unwrap().len() > 10);
        for key in ["1", "2", "3", "5", UP, "i", ENTER, "?", "?", "d", ESCAPE] {
            page.keys(key);
        }
        page.search("x");
        assert_eq!(page.text("match"), "0 % matched, 0 frames");
        // One sample; without a time there is no chart.
        let mut one = Sketch::new();
        let main = one.frame("main");
        one.sample(&[main], 1);
        let page = Page::of(&browser, format, "one", &one.finish(), &PictureOptions::default());
        assert_eq!(page.get("part('view-chart')"), Value::Null);
        page.keys("4");
        assert_eq!(page.get("v.state.view"), "flame");
        page.hover("main");
        assert!(page.text("numbers").starts_with("100 %, 10.1 ms · 1 sample"), "{}", page.text("numbers"));
        // Weights near 2^63.
        let mut heavy = Sketch::new();
        let (main, other) = (heavy.frame("main"), heavy.frame("other"));
        let stacks = [heavy.stack(&[main]), heavy.stack(&[main, other])];
        for stack in stacks {
            heavy.row(heavy.thread, stack, StackEnd::Root, i64::MAX as u64, 1);
        }
        let page = Page::of(&browser, format, "heavy", &heavy.finish(), &PictureOptions::default());
        assert!((page.width("other") / page.number("v.width") - 0.5).abs() < 1e-6);
        page.hover("other");
        assert!(page.text("numbers").starts_with("50.00 %"), "{}", page.text("numbers"));
        assert_eq!(browser.console(), Vec::<String>::new());
    }
}

#[test]
fn sizes_and_themes_to_be_looked_at() {
    let Some(browser) = Browser::start(1200, 800) else { return };
    for (name, profile) in [("small", every_kind()), ("deep", deep(3_000)), ("large", large(20_000, 60_000))] {
        for format in FORMATS {
            let page = Page::of(&browser, format, &format!("look_{name}"), &profile, &PictureOptions::default());
            for width in [1200, 400] {
                browser.resize(width, 800);
                for theme in ["light", "dark"] {
                    page.get(&format!("(v.state.theme = '{theme}', v.applyTheme(), 0)"));
                    browser.screenshot(&format!("look_{name}_{width}_{theme}_{}", format.ending()));
                    // Nothing reaches out of the window.
                    assert_eq!(page.get("document.documentElement.scrollWidth <= innerWidth"), true, "{name} {width}");
                    assert!(
                        page.number("v.stage.getBoundingClientRect().height") > 200.0,
                        "{name} {width}: frames have room"
                    );
                }
            }
        }
    }
}
