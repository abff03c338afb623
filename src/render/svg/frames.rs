//! The frames of a tree: where they are, what colour they have, what is said of them.

use std::borrow::Cow;
use std::fmt::Write;

use super::escape::shown;
use super::paint::{Mark, Painter, Sign};
use super::palette;
use crate::analyze::{CallTree, DiffTree, Node, NodeId};
use crate::model::FrameKind;
use crate::render::layout::{Content, Layout, LayoutOptions, Tile};
use crate::render::name::base_name;
use crate::render::number::{count_of, percent, quantity};
use crate::render::picture::{DiffWidth, Palette, PictureOptions, Subject};

/// The frames of one tree.
#[derive(Debug)]
pub(super) struct Frames<'a> {
    pub tree: Cow<'a, CallTree>,
    pub subject: Subject<'a>,
    pub layout: Layout,
    /// Pixels from the left to the right edge.
    pub inner: f64,
    pub palette: Palette,
}

impl<'a> Frames<'a> {
    pub fn new(tree: Cow<'a, CallTree>, subject: Subject<'a>, options: &PictureOptions, inner: f64) -> Frames<'a> {
        let limits = LayoutOptions {
            min_share: options.min_width.max(0.0) / inner,
            max_rows: options.max_rows,
            max_tiles: options.max_frames,
        };
        let layout = match subject {
            Subject::Profile { .. } => Layout::of(&tree, &limits),
            Subject::Diff { diff, .. } => {
                let widths = widths(diff, options.diff_width);
                Layout::by(&tree, &|id| widths[id as usize], &limits)
            }
        };
        Frames { tree, subject, layout, inner, palette: options.palette }
    }

    /// Paints them; `row_of` says which row of the picture one of the tree is.
    pub fn paint(&self, painter: &mut Painter, row_of: &dyn Fn(u32) -> u32) {
        let Some(root) = self.layout.tiles.first() else { return };
        let scale = self.inner / root.value as f64;
        // Each name is made fit to be shown once, however many frames have it.
        let mut names: Vec<Option<Box<str>>> = vec![None; self.tree.names.count()];
        for tile in &self.layout.tiles {
            let (x, width, row) = (tile.start as f64 * scale, tile.value as f64 * scale, row_of(tile.row));
            let Content::Frame(id) = tile.content else {
                let (name, rest) = self.merged(tile);
                let mark = Mark { x, width, row, fill: palette::MERGED, sign: Sign::None, name: &name };
                painter.mark(mark, |details| details.push_str(&rest));
                continue;
            };
            let node = &self.tree.nodes[id as usize];
            let raw_name = self.tree.names.get(node.name);
            let name = names[node.name.index()].get_or_insert_with(|| shown(raw_name).into());
            let (fill, sign) = self.colour(id, node, raw_name);
            painter.mark(Mark { x, width, row, fill: &fill, sign, name }, |details| self.details(details, id, node));
        }
    }

    fn colour(&self, id: NodeId, node: &Node, name: &str) -> (String, Sign) {
        let Subject::Diff { diff, .. } = self.subject else {
            let image = self.subject.image(&self.tree, id).map(base_name);
            let own = match node.total_value {
                0 => 0.0,
                total => node.self_value as f64 / total as f64,
            };
            return (palette::fill(self.palette, node.kind, name, image, own), Sign::None);
        };
        let change = change(diff, id);
        let sign = match (diff.is_added(id), diff.is_vanished(id)) {
            (true, false) => Sign::New,
            (false, true) => Sign::Gone,
            _ if change > 0.0 => Sign::More,
            _ if change < 0.0 => Sign::Less,
            _ => Sign::None,
        };
        (palette::change(change), sign)
    }

    /// The words for a frame, after its name: how much, and where it comes from.
    fn details(&self, out: &mut String, id: NodeId, node: &Node) {
        let tree = &*self.tree;
        match self.subject {
            Subject::Diff { diff, .. } => differences(out, diff, id),
            Subject::Profile { .. } => {
                let _ =
                    write!(out, "{}, {}", percent(tree.share(node.total_value)), quantity(node.total_value, tree.unit));
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
                            let _ = write!(out, ", self {}", percent(tree.share(node.self_value)));
                        }
                    }
                }
            }
        }
        let kind = (node.kind != FrameKind::User && node.depth > 0).then(|| palette::kind_name(node.kind).to_owned());
        let image = self.subject.image(tree, id).map(|path| shown(base_name(path)));
        let file = Some(tree.names.get(tree.place(id).file)).filter(|file| !file.is_empty());
        let file = file.map(|file| format!("{}{}", shown(tail(file)), lines(tree.place(id).lines)));
        for (at, part) in [kind, image, file].into_iter().flatten().enumerate() {
            let _ = write!(out, "{}{part}", if at == 0 { "\n" } else { ", " });
        }
    }

    /// The words for a merged tile; no name from outside is in them.
    fn merged(&self, tile: &Tile) -> (String, String) {
        let root = self.layout.tiles.first().map_or(1, |root| root.value);
        let share = percent(tile.value as f64 / root as f64);
        match tile.content {
            Content::Frame(_) => Default::default(),
            Content::Deeper { frames } => {
                (format!("{} deeper: {share}", count_of(frames.into(), "frame")), String::new())
            }
            Content::Smaller { siblings, frames } if siblings == frames => {
                (format!("{siblings} smaller: {share}"), String::new())
            }
            Content::Smaller { siblings, frames } => {
                (format!("{siblings} smaller: {share}"), format!("{} in all", count_of(frames.into(), "frame")))
            }
        }
    }
}

/// The widths of the frames of a difference, as whole numbers whose sums hold.
fn widths(diff: &DiffTree, mode: DiffWidth) -> Vec<u64> {
    let nodes = &diff.tree.nodes;
    let mut totals: Vec<f64> = nodes
        .iter()
        .zip(&diff.base)
        .map(|(node, base)| {
            let (new, base) = (node.self_value as f64, base.self_value as f64 * diff.scale);
            match mode {
                DiffWidth::Both => new.max(base),
                DiffWidth::New => new,
                DiffWidth::Base => base,
            }
        })
        .collect();
    for id in (1..totals.len()).rev() {
        let total = totals[id];
        totals[nodes[id].parent as usize] += total;
    }
    let whole = totals.first().copied().unwrap_or(0.0);
    let fine = if whole > 0.0 { (1u64 << 48) as f64 / whole } else { 0.0 };
    // Rounding up could make callees wider than their caller, and down they are a 2^48th of the picture narrower.
    totals.into_iter().map(|total| (total * fine) as u64).collect()
}

/// How much a frame has changed, -1..1, relative to the larger side; 0 if that is within two standard deviations of the counts.
pub(super) fn change(diff: &DiffTree, id: NodeId) -> f64 {
    let (node, base) = (&diff.tree.nodes[id as usize], &diff.base[id as usize]);
    let (new, old) = (node.total_value as f64, base.total_value as f64 * diff.scale);
    let (new_samples, old_samples) = (node.total_samples as f64, base.total_samples as f64);
    let difference = diff.total_change(id);
    if difference == 0.0 {
        return 0.0;
    }
    let counted = new_samples + old_samples * diff.scale;
    let per_sample = if counted > 0.0 { (new + old) / counted } else { 0.0 };
    let noise = 2.0 * per_sample * (new_samples + old_samples * diff.scale * diff.scale).sqrt();
    if difference.abs() <= noise { 0.0 } else { (difference / new.max(old)).clamp(-1.0, 1.0) }
}

fn differences(out: &mut String, diff: &DiffTree, id: NodeId) {
    let (node, base) = (&diff.tree.nodes[id as usize], &diff.base[id as usize]);
    let what = match change(diff, id) {
        _ if diff.is_added(id) => "new",
        _ if diff.is_vanished(id) => "gone",
        change if change > 0.0 => "more",
        change if change < 0.0 => "less",
        _ => "within noise",
    };
    let share = |base: u64, new: u64| {
        let (base, new) = (diff.base_share(base), diff.new_share(new));
        let points = (new - base) * 100.0;
        let sign = if points < 0.0 { '−' } else { '+' };
        format!("{} → {} ({sign}{:.2} points)", percent(base), percent(new), points.abs())
    };
    let _ = write!(
        out,
        "{what}: total {}, self {}\n{} → {} samples",
        share(base.total_value, node.total_value),
        share(base.self_value, node.self_value),
        base.total_samples,
        node.total_samples
    );
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
