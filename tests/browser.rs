//! The pictures in a real browser: what a reader does, what numbers say, what names and policies cannot do.
//!
//! Each action is done in SVG and HTML, which have one viewer. Numbers are compared with those of `analyze`, which the viewer does
//! not share. Needs Debian's `chromium` and `chromium-driver`; skips itself aloud without them. Screenshots are left in `target/tmp`.

#[path = "browser/actions.rs"]
mod actions;
#[path = "browser/beside.rs"]
mod beside;
#[path = "common/compared.rs"]
mod compared;
#[path = "browser/driver.rs"]
mod driver;
#[path = "browser/evidence.rs"]
mod evidence;
#[path = "browser/hostile.rs"]
mod hostile;
#[path = "browser/numbers.rs"]
mod numbers;
#[path = "browser/page.rs"]
mod page;
#[path = "browser/server.rs"]
mod server;
#[path = "common/sketch.rs"]
mod sketch;
#[path = "common/skip.rs"]
mod skip;
#[path = "browser/still.rs"]
mod still;
#[path = "browser/views.rs"]
mod views;
