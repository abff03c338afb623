//! Where no script runs the picture is whole, on paper too; and nothing is ever asked for.

use flameprofile::render::PictureOptions;
use serde_json::{Value, json};

use crate::driver::Browser;
use crate::page::{FORMATS, Format, Page, write_text};
use crate::server::Server;
use crate::sketch::{every_kind, large};

/// What GitHub sends with raw files, what Jenkins sends with artifacts, and one that leaves nothing.
const POLICIES: [&str; 3] = [
    "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "sandbox; default-src 'none'; img-src 'self'; style-src 'self'",
    "default-src 'none'; sandbox",
];

/// What is drawn of a still picture: frames, labels, lines of the legend, and whether all of it is in the window.
const SEEN: &str = r"(function () {
  var svg = document.querySelector('svg'), frames = svg.querySelectorAll('[data-part=frames] rect'), texts = svg.querySelectorAll('text');
  var seen = function (e) { var r = e.getBoundingClientRect(); return r.width > 0 && r.height > 0; };
  return [Array.from(frames).filter(seen).length, Array.from(texts).filter(seen).length, svg.querySelectorAll('title').length,
    getComputedStyle(frames[0]).fill, document.querySelectorAll('canvas, input, button, foreignObject').length,
    Math.round(frames[0].getBoundingClientRect().width)];
})()";

#[test]
fn the_picture_is_whole_under_policies_that_forbid_all() {
    let Some(browser) = Browser::start(1220, 800) else { return };
    let server = Server::start();
    let profile = every_kind();
    let texts = FORMATS.map(|format| format.text(&profile, &PictureOptions::default()));
    let mut seen = Vec::new();
    for (number, policy) in POLICIES.iter().enumerate() {
        for (format, text) in FORMATS.iter().zip(&texts) {
            let name = format!("policy{number}.{}", format.ending());
            server.put(&name, &[("Content-Security-Policy", policy), ("X-Content-Type-Options", "nosniff")], text);
            browser.requests();
            browser.open_url(&server.url(&name));
            browser.screenshot(&format!("policy{number}_{}", format.ending()));
            assert_eq!(browser.run("return document.querySelector('[data-flameprofile=live]')"), Value::Null);
            let found = browser.run(&format!("return {SEEN}"));
            assert!(found[0].as_u64().unwrap() >= 25 && found[1].as_u64().unwrap() > 20, "{policy}: {found}");
            assert_eq!(found[4], 0, "{policy}");
            seen.push(found);
            if *format == Format::Html {
                let rows = browser.run("return document.querySelectorAll('[data-part=fallback] tr').length");
                assert!(rows.as_u64().unwrap() > 12, "{rows}");
                let last =
                    browser.run("return getComputedStyle(document.querySelector('[data-part=fallback]')).display");
                assert_eq!(last, "block");
            }
            assert_eq!(server.asked(), [format!("/{name}")], "{policy}");
        }
    }
    assert!(seen.iter().step_by(2).all(|found| found == &seen[0]), "{seen:?}");
}

#[test]
fn the_picture_is_whole_without_script() {
    let Some(browser) = Browser::start(1220, 800) else { return };
    for format in FORMATS {
        let path = write_text(
            &format!("no_script.{}", format.ending()),
            &format.text(&every_kind(), &PictureOptions::default()),
        );
        browser.cdp("Emulation.setScriptExecutionDisabled", json!({"value": true}));
        browser.open(&path);
        browser.screenshot(&format!("no_script_{}", format.ending()));
        browser.cdp("Emulation.setScriptExecutionDisabled", json!({"value": false}));
        let found = browser.run(&format!("return {SEEN}"));
        assert!(found[0].as_u64().unwrap() >= 25, "{found}");
        assert_eq!(found[4], 0);
        if format == Format::Html {
            let text = browser.run("return document.querySelector('[data-part=fallback] table').innerText");
            assert!(text.as_str().unwrap().contains("_copy_to_iter"), "{text}");
        }
    }
    // As an image of a page.
    let page = write_text("image.html", "<!doctype html><body style='margin:0'><img src='no_script.svg'></body>");
    browser.open(&page);
    browser.wait_for("document.images[0].complete");
    assert_eq!(browser.run("return document.images[0].naturalWidth"), 1200);
    let colours = "var c = document.createElement('canvas'); c.width = 1200; c.height = 300; return document.images[0].naturalHeight";
    assert!(browser.run(colours).as_u64().unwrap() > 200);
    browser.screenshot("no_script_img");
    // Where a frame's sandbox forbids scripts.
    for format in FORMATS {
        browser.open(&write_text(
            "sandbox.html",
            &format!(
                "<!doctype html><iframe sandbox src=no_script.{} width=1210 height=500></iframe>",
                format.ending()
            ),
        ));
        browser.screenshot(&format!("no_script_sandbox_{}", format.ending()));
    }
}

#[test]
fn an_image_in_a_page_is_drawn() {
    let Some(browser) = Browser::start(1220, 800) else { return };
    let server = Server::start();
    server.put("a.svg", &[], &Format::Svg.text(&every_kind(), &PictureOptions::default()));
    server.put("a.html", &[], "<!doctype html><img src=a.svg>");
    browser.open_url(&server.url("a.html"));
    browser.wait_for("document.images[0].complete && document.images[0].naturalWidth");
    // As many colours as frames of every kind have.
    let colours = browser.run(
        "var i = document.images[0], c = document.createElement('canvas'); c.width = i.naturalWidth; c.height = i.naturalHeight; \
         var x = c.getContext('2d'); x.drawImage(i, 0, 0); var d = x.getImageData(0, 0, c.width, c.height).data, of = {}; \
         for (var n = 0; n < d.length; n += 4) of[d[n] << 16 | d[n + 1] << 8 | d[n + 2]] = 1; return Object.keys(of).length",
    );
    assert!(colours.as_u64().unwrap() > 30, "{colours}");
    assert_eq!(server.asked(), ["/a.html", "/a.svg"]);
}

#[test]
fn nothing_is_asked_for() {
    let Some(browser) = Browser::start(1200, 800) else { return };
    // The page of a new tab asks for its own parts.
    browser.open_url("about:blank");
    for format in FORMATS {
        browser.requests();
        let page = Page::of(&browser, format, "network", &every_kind(), &PictureOptions::default());
        for view in ["bottom-up", "sandwich", "chart", "top", "flame"] {
            page.press(&format!("view-{view}"));
        }
        page.search("tcp");
        page.click("tcp_recvmsg");
        page.keys("?");
        page.press("reset");
        page.keys("d");
        let asked: Vec<_> = browser.requests().into_iter().filter(|(_, url)| url != "about:blank").collect();
        let file = format!("file://{}", page.path.display());
        assert_eq!(asked, [("Document".to_owned(), file)]);
        assert_eq!(browser.console(), Vec::<String>::new());
    }
    // Nor from a server, where a picture could ask for more.
    let server = Server::start();
    for format in FORMATS {
        let name = format!("asked.{}", format.ending());
        server.put(&name, &[], &format.text(&large(2_000, 5_000), &PictureOptions::default()));
        browser.open_url(&server.url(&name));
        browser.wait_for("document.querySelector('[data-flameprofile=live]')");
        browser.wait_for("document.querySelector('[data-flameprofile=live]').flameprofile");
        assert_eq!(server.asked(), [format!("/{name}")]);
    }
}

#[test]
fn paper_shows_the_still() {
    let Some(browser) = Browser::start(1200, 800) else { return };
    for format in FORMATS {
        let page = Page::of(&browser, format, "print", &every_kind(), &PictureOptions::default());
        page.click("server::accept_loop");
        let still =
            if format == Format::Svg { "place.querySelector('[data-part=frames]')" } else { "part('fallback')" };
        let is_shown = format!("{still}.style.display !== 'none' && {still}.getBoundingClientRect().width > 0");
        assert_eq!(page.get(&is_shown), false);
        page.get("(window.dispatchEvent(new Event('beforeprint')), 0)");
        browser.cdp("Emulation.setEmulatedMedia", json!({"media": "print"}));
        assert_eq!(page.get(&is_shown), true);
        assert_eq!(page.get("part('app') ? getComputedStyle(part('app')).display : 'none'"), "none");
        browser.screenshot(&format!("paper_{}", format.ending()));
        browser.cdp("Emulation.setEmulatedMedia", json!({"media": ""}));
        page.get("(window.dispatchEvent(new Event('afterprint')), 0)");
        assert_eq!(page.get(&is_shown), false);
        assert_eq!(page.width("server::accept_loop"), page.number("v.width"), "the reader is where he was");
        // A real print: one or two pages with text, and for an SVG the event that puts the still in the viewer's place; the style of a page does.
        page.get(&format!(
            "(window.printed = [], addEventListener('beforeprint', () => {{ window.printed.push({is_shown}); }}), 0)"
        ));
        let paper = browser.cdp("Page.printToPDF", json!({"landscape": true, "printBackground": true}));
        assert!(paper["data"].as_str().unwrap().len() > 10_000);
        let bytes = crate::driver::base64(paper["data"].as_str().unwrap());
        std::fs::write(format!("{}/paper_{}.pdf", env!("CARGO_TARGET_TMPDIR"), format.ending()), bytes).unwrap();
        if format == Format::Svg {
            assert_eq!(page.get("window.printed"), json!([true]));
        }
        page.click("server::main");
        assert_eq!(page.width("server::main"), page.number("v.width"));
    }
}
