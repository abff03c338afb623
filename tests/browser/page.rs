//! A picture in the browser: the viewer, its parts, and its frames, which are drawn on a canvas.

#![allow(dead_code)]

use std::path::{Path, PathBuf};

use flameprofile::analyze::View;
use flameprofile::model::Profile;
use flameprofile::render::{PictureOptions, html, svg};
use serde_json::Value;

use super::driver::Browser;

/// The formats of a picture; all that a reader does is done in both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Format {
    Svg,
    Html,
}

pub const FORMATS: [Format; 2] = [Format::Svg, Format::Html];

impl Format {
    pub fn ending(self) -> &'static str {
        match self {
            Format::Svg => "svg",
            Format::Html => "html",
        }
    }

    pub fn text(self, profile: &Profile, options: &PictureOptions) -> String {
        let (view, mut out) = (View::default(), Vec::new());
        match self {
            Format::Svg => svg::write(profile, &view, options, &mut out).unwrap(),
            Format::Html => html::write(profile, &view, options, &mut out).unwrap(),
        }
        String::from_utf8(out).unwrap()
    }
}

/// Writes a file of a test and returns its path.
pub fn write_text(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// What scripts of the tests have: `v` is the viewer, boxes are looked up by name.
const PRELUDE: &str = r"
var place = document.querySelector('[data-flameprofile=live]'), v = place.flameprofile;
function nameOf(b) {
  var t = v.drawnTrees[v.boxes.tree[b]], n = v.boxes.node[b];
  return v.boxes.count[b] || (!t && n < 0) ? null : v.model.names[t ? t.func(n) : v.model.func[n]];
}
function boxes(name) {
  var out = [];
  for (var b = 0; b < v.boxes.x.length; b++) if (nameOf(b) === name) out.push(b);
  return out;
}
function box(name, nth) {
  var b = boxes(name)[nth || 0];
  if (b === undefined) throw Error('no frame ' + name);
  return b;
}
function middle(b) {
  v.show(b);
  var c = v.canvas.getBoundingClientRect();
  return [c.left + v.boxes.x[b] + v.boxes.w[b] / 2, c.top + v.offset + v.rowOf(b) * 18 - v.stage.scrollTop + 8];
}
function part(name) { return place.querySelector('[data-part=' + name + ']'); }
function pixel(b) {
  v.pointed = -1;
  v.show(b);
  v.paint();
  var x = v.boxes.x[b] + Math.min(2, v.boxes.w[b] / 2), y = v.offset + v.rowOf(b) * 18 - v.stage.scrollTop + 1;
  var of = v.canvas.getContext('2d').getImageData(Math.round(x * v.ratio), Math.round(y * v.ratio), 1, 1).data;
  return '#' + [of[0], of[1], of[2]].map(function (c) { return ('0' + c.toString(16)).slice(-2); }).join('');
}
";

pub struct Page<'a> {
    pub browser: &'a Browser,
    pub format: Format,
    pub path: PathBuf,
}

impl<'a> Page<'a> {
    /// Writes the picture of `profile` to a file named `name` and opens it.
    pub fn of(
        browser: &'a Browser,
        format: Format,
        name: &str,
        profile: &Profile,
        options: &PictureOptions,
    ) -> Page<'a> {
        let path = write_text(&format!("{name}.{}", format.ending()), &format.text(profile, options));
        let page = Page { browser, format, path };
        page.open("");
        page
    }

    /// The picture in a file that is there.
    pub fn at(browser: &'a Browser, format: Format, path: &Path) -> Page<'a> {
        let page = Page { browser, format, path: path.to_owned() };
        page.open("");
        page
    }

    /// Opens the picture anew, at a place.
    pub fn open(&self, hash: &str) {
        // Another address of the same file would only move within it.
        self.browser.open_url("about:blank");
        self.browser.open_url(&format!("file://{}{hash}", self.path.display()));
        self.wait();
    }

    /// Waits until the viewer has drawn.
    pub fn wait(&self) {
        self.browser.wait_for(
            "(document.querySelector('[data-flameprofile=live]') || {}).flameprofile && \
             document.querySelector('[data-flameprofile=live]').hasAttribute('data-loaded')",
        );
    }

    /// The value of an expression.
    pub fn get(&self, expression: &str) -> Value {
        self.browser.run(&format!("{PRELUDE}\nreturn ({expression})"))
    }

    pub fn text(&self, part: &str) -> String {
        self.get(&format!("part('{part}').textContent")).as_str().unwrap().to_owned()
    }

    pub fn number(&self, expression: &str) -> f64 {
        let value = self.get(expression);
        value.as_f64().unwrap_or_else(|| panic!("{expression}: {value}"))
    }

    /// Whether a frame of that name is drawn.
    pub fn has(&self, name: &str) -> bool {
        self.number(&format!("boxes({}).length", Value::from(name))) > 0.0
    }

    /// How wide the first frame of that name is drawn, in pixels.
    pub fn width(&self, name: &str) -> f64 {
        self.number(&format!("v.boxes.w[box({})]", Value::from(name)))
    }

    fn place(&self, name: &str) -> (f64, f64) {
        let place = self.get(&format!("middle(box({}))", Value::from(name)));
        (place[0].as_f64().unwrap(), place[1].as_f64().unwrap())
    }

    pub fn hover(&self, name: &str) {
        self.browser.move_to(self.place(name));
    }

    pub fn click(&self, name: &str) {
        self.browser.click_at(self.place(name), 0);
    }

    pub fn right_click(&self, name: &str) {
        self.browser.click_at(self.place(name), 2);
    }

    /// Clicks one of the viewer's own parts.
    pub fn press(&self, part: &str) {
        self.browser.click(&format!("document.querySelector('[data-flameprofile=live] [data-part={part}]')"));
    }

    /// Chooses an entry of the menu that is open.
    pub fn choose(&self, entry: &str) {
        let entry = Value::from(entry);
        self.browser.click(&format!(
            "Array.from(document.querySelectorAll('[data-part=menu] button')).find(b => b.textContent === {entry})"
        ));
    }

    /// Chooses an option of one of the viewer's lists.
    pub fn select(&self, part: &str, value: &str) {
        self.get(&format!(
            "(part('{part}').value = '{value}', part('{part}').dispatchEvent(new Event('change', {{bubbles: true}})))"
        ));
    }

    /// Types `keys` where the frames are, not into a field.
    pub fn keys(&self, keys: &str) {
        self.get("v.stage.hidden ? v.table.focus() : v.stage.focus()");
        self.browser.keys(keys);
    }

    /// Types a search; returns what is said of it.
    pub fn search(&self, term: &str) -> String {
        // The same term again is searched anew too.
        self.get("(v.state.query = null, v.input.focus(), v.input.select())");
        self.browser.keys(&format!("{}{term}", super::driver::BACKSPACE));
        self.browser.wait_for(&format!(
            "document.querySelector('[data-flameprofile=live]').flameprofile.state.query === {}",
            Value::from(term)
        ));
        self.text("match")
    }

    /// The part of the address behind `#`.
    pub fn hash(&self) -> String {
        self.get("location.hash").as_str().unwrap().to_owned()
    }
}
