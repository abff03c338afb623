//! Rectangles and labels of a picture, whatever they stand for.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::escape::{Px, Text};
use super::{MARGIN, MONOSPACE, palette};
use crate::gate::{Fate, Row};
use crate::render::label;
use crate::render::name::columns;

/// From the top of one row to that of the next.
pub(super) const PITCH: f64 = 18.0;
/// Height of a frame.
const HEIGHT: f64 = 17.0;
/// Advance of a character of a label: that of the widest font of [`MONOSPACE`] (0.61 em of 12 px).
const ADVANCE: f64 = 7.32;
/// Space between a frame's edge and its label.
const INSET: f64 = 3.0;
/// Space between frames that are wide enough to spare it.
const GAP: f64 = 0.5;
/// Height of the bar at a frame's edge.
const EDGE: f64 = 3.0;
/// What is narrower cannot be pointed at, and has no words of its own.
const POINTED_AT: f64 = 0.8;

/// What has changed, in a sign that needs no colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sign {
    #[default]
    None,
    More,
    Less,
    New,
    Gone,
    /// It fails the gate.
    Regression,
    Suspect,
    /// From or to another place.
    Moved,
    Improved,
}

impl Sign {
    /// What became of a row, where the change has the direction of that.
    pub fn of(row: Option<&Row>, change: f64) -> Sign {
        match row.map(|row| &row.fate) {
            Some(Fate::Regression) if change > 0.0 => Sign::Regression,
            Some(Fate::Suspect) if change > 0.0 => Sign::Suspect,
            Some(Fate::Moved(_)) if change > 0.0 => Sign::Moved,
            Some(Fate::Improved) if change < 0.0 => Sign::Improved,
            _ => Sign::None,
        }
    }

    /// This one, or if it is none the other.
    pub fn or(self, other: Sign) -> Sign {
        if self == Sign::None { other } else { self }
    }

    pub fn text(self) -> &'static str {
        match self {
            Sign::None => "",
            Sign::More | Sign::Regression => "▲ ",
            Sign::Less | Sign::Improved => "▼ ",
            Sign::Suspect => "△ ",
            Sign::Moved => "⇄ ",
            Sign::New => "+ ",
            Sign::Gone => "× ",
        }
    }
}

/// One rectangle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark<'a> {
    /// From the left edge of the frames, in pixels.
    pub x: f64,
    /// In pixels.
    pub width: f64,
    /// From the top.
    pub row: u32,
    pub fill: &'a str,
    /// The colour of a bar at its upper edge.
    pub edge: Option<&'a str>,
    pub sign: Sign,
    /// What is on it, as it is shown.
    pub name: &'a str,
}

/// Paints marks from the top of the frames down.
#[derive(Debug)]
pub(super) struct Painter {
    top: f64,
    frames: String,
    labels: String,
    /// What is narrower than a pixel, by colour: a path each.
    slivers: BTreeMap<String, String>,
    details: String,
    axis: String,
}

impl Painter {
    pub fn new(top: f64) -> Painter {
        let (frames, labels, details, axis) = Default::default();
        Painter { top, frames, labels, slivers: BTreeMap::new(), details, axis }
    }

    /// Paints an axis of time in the first row: a line at each place, down to the last of `rows`, and what it says.
    pub fn axis(&mut self, ticks: &[(f64, String)], rows: u32, inner: f64) {
        let (top, height) = (Px(self.top), Px(f64::from(rows) * PITCH));
        let (mut lines, mut labels) = (String::new(), String::new());
        for (x, label) in ticks {
            let _ = write!(lines, "M{} {top}v{height}", Px(MARGIN + x));
            // The last one may have no room on the right of its line.
            let (x, anchor) = match x + INSET + columns(label) as f64 * ADVANCE > inner {
                true => (x - INSET, " text-anchor=\"end\""),
                false => (x + INSET, ""),
            };
            let (x, y) = (Px(MARGIN + x), Px(self.top + 11.0));
            let _ = writeln!(labels, "<text x=\"{x}\" y=\"{y}\"{anchor}>{}</text>", Text(label));
        }
        let _ = write!(
            self.axis,
            "<g data-part=\"axis\" font-size=\"11\" fill=\"#55555e\">\n\
             <path d=\"{lines}\" stroke=\"#d8d8de\" fill=\"none\"/>\n{labels}</g>\n"
        );
    }

    /// Paints a mark; `details` writes the words for it, after its name, as they are.
    pub fn mark(&mut self, mark: Mark<'_>, details: impl FnOnce(&mut String)) {
        let x = MARGIN + mark.x;
        let y = self.top + f64::from(mark.row) * PITCH;
        if mark.width < POINTED_AT {
            if !self.slivers.contains_key(mark.fill) {
                self.slivers.insert(mark.fill.to_owned(), String::new());
            }
            let path = self.slivers.get_mut(mark.fill).expect("it was just put in");
            let width = Px(mark.width.max(0.01));
            let _ = write!(path, "M{} {}h{width}v{}h-{width}z", Px(x), Px(y), Px(HEIGHT));
            return;
        }
        let drawn = if mark.width > 3.0 * GAP { mark.width - GAP } else { mark.width };
        let _ = write!(
            self.frames,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\"{}><title>{}",
            Px(x),
            Px(y),
            Px(drawn),
            Px(HEIGHT),
            mark.fill,
            match mark.sign {
                Sign::New => " stroke=\"#8a3c00\"",
                Sign::Gone => " stroke=\"#143278\" stroke-dasharray=\"3 2\"",
                Sign::Regression => " stroke=\"#1b1b1f\" stroke-width=\"1.5\"",
                _ => "",
            },
            Text(mark.name),
        );
        self.details.clear();
        details(&mut self.details);
        if !self.details.is_empty() {
            let _ = write!(self.frames, "\n{}", Text(&self.details));
        }
        self.frames.push_str("</title></rect>\n");
        if let Some(edge) = mark.edge {
            let (x, y, width) = (Px(x), Px(y), Px(drawn));
            let _ = writeln!(
                self.frames,
                "<path d=\"M{x} {y}h{width}v{EDGE}h-{width}z\" fill=\"{edge}\" pointer-events=\"none\"/>"
            );
        }
        let sign = mark.sign.text();
        let room = ((mark.width - 2.0 * INSET).max(0.0) / ADVANCE) as usize;
        let Some(room) = room.checked_sub(columns(sign)) else { return };
        if let Some(text) = label::fit(mark.name, room) {
            self.write(x + INSET, y + 12.5, sign, &text);
        }
    }

    /// Writes a line in a row, where no mark is.
    pub fn line(&mut self, row: u32, text: &str, width: f64) {
        let room = (width / ADVANCE).max(0.0) as usize;
        let y = self.top + f64::from(row) * PITCH + 13.0;
        self.write(MARGIN, y, "", crate::render::name::head(text, room));
    }

    fn write(&mut self, x: f64, y: f64, sign: &str, text: &str) {
        let _ = writeln!(self.labels, "<text x=\"{}\" y=\"{}\">{sign}{}</text>", Px(x), Px(y), Text(text));
    }

    /// All that was painted.
    pub fn finish(self, out: &mut String) {
        out.push_str(&self.axis);
        out.push_str("<g data-part=\"frames\">\n");
        for (fill, path) in &self.slivers {
            let _ = writeln!(out, "<path fill=\"{fill}\" d=\"{path}\"/>");
        }
        out.push_str(&self.frames);
        let _ = writeln!(
            out,
            "</g>\n<g data-part=\"labels\" font-family=\"{MONOSPACE}\" fill=\"{}\" pointer-events=\"none\">\n{}</g>",
            palette::INK,
            self.labels
        );
    }
}
