//! The frames: a rectangle each, and labels for those that are wide enough.

use std::fmt::Write;

use super::escape::{Px, Text, shown};
use super::page::kind_name;
use super::{MARGIN, MONOSPACE, palette};
use crate::analyze::{CallTree, Node};
use crate::model::{FrameKind, Profile};
use crate::render::label;
use crate::render::layout::{Content, Layout, Tile};
use crate::render::name::base_name;
use crate::render::number::{count_of, percent, quantity};

/// From the top of one row to that of the next.
const PITCH: f64 = 18.0;
/// Height of a frame.
const HEIGHT: f64 = 17.0;
/// Advance of a character of a label: that of the widest font of [`MONOSPACE`] (0.61 em of 12 px).
const ADVANCE: f64 = 7.32;
/// Space between a frame's edge and its label.
const INSET: f64 = 3.0;
/// Space between frames that are wide enough to spare it.
const GAP: f64 = 0.5;
/// Exact widths are given in parts of at most this many.
const FINEST: u64 = 1_000_000_000;

/// The frames of a picture.
#[derive(Debug)]
pub(super) struct Frames<'a> {
    pub tree: &'a CallTree,
    pub profile: &'a Profile,
    pub layout: &'a Layout,
    pub width: f64,
}

impl Frames<'_> {
    pub fn height(&self) -> f64 {
        f64::from(self.layout.rows) * PITCH
    }

    /// Paints them, root at the bottom.
    pub fn paint(&self, out: &mut String, top: f64) {
        let Some(root) = self.layout.tiles.first() else { return };
        let scale = (self.width - 2.0 * MARGIN) / root.value as f64;
        let mut labels = String::new();
        // Each name is made fit to be shown once, however many frames have it.
        let mut names: Vec<Option<Box<str>>> = vec![None; self.tree.names.count()];
        let _ = write!(
            out,
            "<g data-part=\"frames\" data-margin=\"{}\" data-pitch=\"{}\" data-advance=\"{}\" data-inset=\"{}\" data-gap=\"{}\" \
             data-weights=\"",
            Px(MARGIN),
            Px(PITCH),
            Px(ADVANCE),
            Px(INSET),
            Px(GAP)
        );
        self.weights(out, root.value);
        out.push_str("\">\n");
        for tile in &self.layout.tiles {
            let x = MARGIN + tile.start as f64 * scale;
            let width = tile.value as f64 * scale;
            let y = top + f64::from(self.layout.rows - 1 - tile.row) * PITCH;
            let drawn = if width > 3.0 * GAP { width - GAP } else { width };
            let _ = write!(
                out,
                "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"",
                Px(x),
                Px(y),
                Px(drawn.max(0.01)),
                Px(HEIGHT)
            );
            let Content::Frame(id) = tile.content else {
                let text = self.merged(tile);
                let fill = palette::MERGED;
                let _ = writeln!(out, " fill=\"{fill}\" data-merged=\"\"><title>{}</title></rect>", Text(&text));
                let name = text.lines().next().unwrap_or_default();
                if let Some(label) = label::fit(name, columns_in(width)) {
                    write_label(&mut labels, x, y, &label);
                }
                continue;
            };
            let node = &self.tree.nodes[id as usize];
            let raw_name = self.tree.names.get(node.name);
            let name = names[node.name.index()].get_or_insert_with(|| shown(raw_name).into());
            let _ = writeln!(out, " fill=\"{}\"><title>{}", palette::fill(node.kind, raw_name), Text(name));
            self.details(out, node);
            out.push_str("</title></rect>\n");
            if let Some(label) = label::fit(name, columns_in(width)) {
                write_label(&mut labels, x, y, &label);
            }
        }
        let _ = writeln!(
            out,
            "</g>\n<g data-part=\"labels\" font-family=\"{MONOSPACE}\" pointer-events=\"none\">\n{labels}</g>"
        );
    }

    /// The exact widths of all tiles in document order, as whole numbers without their common factor.
    fn weights(&self, out: &mut String, total: u64) {
        let tiles = &self.layout.tiles;
        let factor = tiles.iter().fold(0, |factor, tile| greatest_common_divisor(tile.value, factor)).max(1);
        let finest = total / factor;
        for (at, tile) in tiles.iter().enumerate() {
            let weight = tile.value / factor;
            let weight = match finest > FINEST {
                true => (u128::from(weight) * u128::from(FINEST) / u128::from(finest)) as u64,
                false => weight,
            };
            let _ = write!(out, "{}{weight}", if at == 0 { "" } else { " " });
        }
    }

    /// The words for a frame, after its name: how much, and where it comes from.
    fn details(&self, out: &mut String, node: &Node) {
        let tree = self.tree;
        // A share may be `<0.01 %`, which is markup as long as it is not escaped.
        let share = percent(tree.share(node.total_value));
        let _ = write!(out, "{}, {}", Text(&share), quantity(node.total_value, tree.unit));
        match node.total_samples {
            0 => out.push_str(", estimated"),
            samples => {
                let _ = write!(out, ", {}", count_of(samples, "sample"));
            }
        }
        if node.self_value > 0 {
            match node.self_value == node.total_value {
                true => out.push_str(", all self"),
                false => {
                    let _ = write!(out, ", self {}", Text(&percent(tree.share(node.self_value))));
                }
            }
        }
        let kind = (node.kind != FrameKind::User && node.depth > 0).then(|| kind_name(node.kind).to_owned());
        let image = node.image.and_then(|image| self.profile.images.get(image.index()));
        let image = image.map(|image| shown(base_name(self.profile.strings.get(image.path))));
        let file = Some(tree.names.get(node.file)).filter(|file| !file.is_empty());
        let file = file.map(|file| format!("{}{}", shown(tail(file)), lines(node.lines)));
        for (at, part) in [kind, image, file].into_iter().flatten().enumerate() {
            let _ = write!(out, "{}{}", if at == 0 { "\n" } else { ", " }, Text(&part));
        }
    }

    /// The words for a merged tile; no name from outside is in them.
    fn merged(&self, tile: &Tile) -> String {
        let share = percent(self.tree.share(tile.value));
        match tile.content {
            Content::Frame(_) => String::new(),
            Content::Deeper { frames } => format!("{} deeper: {share}", count_of(frames.into(), "frame")),
            Content::Smaller { siblings, frames } if siblings == frames => format!("{siblings} smaller: {share}"),
            Content::Smaller { siblings, frames } => {
                format!("{siblings} smaller: {share}\n{} in all", count_of(frames.into(), "frame"))
            }
        }
    }
}

fn write_label(labels: &mut String, x: f64, y: f64, label: &str) {
    let _ = writeln!(labels, "<text x=\"{}\" y=\"{}\">{}</text>", Px(x + INSET), Px(y + 12.5), Text(label));
}

fn columns_in(width: f64) -> usize {
    ((width - 2.0 * INSET).max(0.0) / ADVANCE) as usize
}

/// The last two parts of a path: `src/main.rs`.
fn tail(path: &str) -> &str {
    path.rmatch_indices('/').nth(1).map_or(path, |(at, _)| &path[at + 1..])
}

fn lines((first, last): (u32, u32)) -> String {
    match (first, last) {
        (0, 0) => String::new(),
        (first, last) if first == last || first == 0 => format!(":{last}"),
        (first, last) => format!(":{first}-{last}"),
    }
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
