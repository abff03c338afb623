//! The frames of a tree: where they are, what colour they have, what is said of them.

use std::borrow::Cow;
use std::fmt::Write;

use super::escape::shown;
use super::paint::{Mark, Painter, Sign};
use super::palette;
use crate::analyze::{CallTree, Node, NodeId};
use crate::gate::Fate;
use crate::model::FrameKind;
use crate::render::comparison_data::beyond_noise;
use crate::render::difference::Difference;
use crate::render::evidence::{Evidence, Known, Strength};
use crate::render::layout::{Content, Layout, LayoutOptions, Tile};
use crate::render::name::base_name;
use crate::render::number::{count_of, percent, quantity};
use crate::render::picture::{DiffWidth, Palette, PictureOptions, Subject};
use crate::render::verdict;

/// The frames of one tree.
#[derive(Debug)]
pub(super) struct Frames<'a> {
    pub tree: Cow<'a, CallTree>,
    pub subject: Subject<'a>,
    pub layout: Layout,
    /// Pixels from the left to the right edge.
    pub inner: f64,
    pub palette: Palette,
    /// What runs say of its functions.
    pub evidence: Option<Evidence<'a>>,
}

/// How a frame looks.
#[derive(Debug)]
struct Look {
    fill: String,
    /// The colour of its upper edge: what it called.
    edge: Option<String>,
    sign: Sign,
}

impl Look {
    fn plain(fill: String) -> Look {
        Look { fill, edge: None, sign: Sign::None }
    }
}

impl<'a> Frames<'a> {
    pub fn new(tree: Cow<'a, CallTree>, subject: Subject<'a>, options: &PictureOptions, inner: f64) -> Frames<'a> {
        let limits = LayoutOptions {
            min_share: options.min_width.max(0.0) / inner,
            max_rows: options.max_rows,
            max_tiles: options.max_frames,
        };
        let layout = match subject {
            Subject::Profile { .. } | Subject::Beside { .. } => Layout::of(&tree, &limits),
            Subject::Diff(difference) => {
                let widths = widths(difference, options.diff_width);
                Layout::by(&tree, &|id| widths[id as usize], &limits)
            }
        };
        let comparison = subject.difference().and_then(|difference| difference.comparison);
        let evidence = comparison.map(Evidence::new);
        Frames { tree, subject, layout, inner, palette: options.palette, evidence }
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
                let mark = Mark { x, width, row, fill: palette::MERGED, edge: None, sign: Sign::None, name: &name };
                painter.mark(mark, |details| details.push_str(&rest));
                continue;
            };
            let node = &self.tree.nodes[id as usize];
            let raw_name = self.tree.names.get(node.name);
            let name = names[node.name.index()].get_or_insert_with(|| shown(raw_name).into());
            let Look { fill, edge, sign } = self.look(id, node, raw_name);
            let mark = Mark { x, width, row, fill: &fill, edge: edge.as_deref(), sign, name };
            painter.mark(mark, |details| self.details(details, id, node));
        }
    }

    fn look(&self, id: NodeId, node: &Node, name: &str) -> Look {
        let Subject::Diff(difference) = self.subject else {
            let image = self.subject.image(&self.tree, id).map(base_name);
            let own = match node.total_value {
                0 => 0.0,
                total => node.self_value as f64 / total as f64,
            };
            return Look::plain(palette::fill(self.palette, node.kind, name, image, own));
        };
        let diff = difference.diff;
        let come_or_gone = match (diff.is_added(id), diff.is_vanished(id)) {
            (true, false) => Some(Sign::New),
            (false, true) => Some(Sign::Gone),
            _ => None,
        };
        let Some(evidence) = &self.evidence else {
            let change = change(difference, id);
            let sign = come_or_gone.unwrap_or(match change {
                change if change > 0.0 => Sign::More,
                change if change < 0.0 => Sign::Less,
                _ => Sign::None,
            });
            return Look { sign, ..Look::plain(palette::change(change, Strength::Strong)) };
        };
        let known = self.known(evidence, id, node);
        let scale = difference.scale();
        let (own, total) = (difference.own(id, scale), difference.total(id, scale));
        let (change, strength) = evidence.at_place(known.own, own.0, own.1);
        let (of_all, edge) = evidence.at_place(known.inclusive, total.0, total.1);
        // A function fails or wins at the places that did.
        let sign = Sign::of(known.own, own.1 - own.0).or(Sign::of(known.inclusive, total.1 - total.0));
        let has_left = sign == Sign::Improved && verdict::moved_from(name, evidence.comparison).is_some();
        let sign = if has_left { Sign::Moved } else { sign };
        Look {
            fill: palette::change(change, strength),
            edge: palette::edge(of_all, edge),
            sign: sign.or(come_or_gone.unwrap_or(Sign::None)),
        }
    }

    fn known<'s>(&'s self, evidence: &'s Evidence<'a>, id: NodeId, node: &Node) -> Known<'s> {
        if id == 0 { evidence.of_all() } else { evidence.of(self.tree.names.get(node.name), node.kind) }
    }

    /// The words for a frame, after its name: how much, and where it comes from.
    fn details(&self, out: &mut String, id: NodeId, node: &Node) {
        let tree = &*self.tree;
        match self.subject {
            Subject::Diff(difference) => {
                if let Some(evidence) = &self.evidence {
                    tell(out, evidence, &self.known(evidence, id, node), tree.names.get(node.name));
                }
                differences(out, difference, id, self.evidence.is_none());
            }
            Subject::Profile { .. } | Subject::Beside { .. } => {
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

/// What runs say of a function, what became of it and its numbers.
pub(super) fn tell(out: &mut String, evidence: &Evidence<'_>, known: &Known<'_>, name: &str) {
    let comparison = evidence.comparison;
    match (known.telling(), verdict::sentence(known, comparison, comparison.settings.scale)) {
        (Some(row), Some(sentence)) => {
            // Both ends of a move tell of it.
            let left = verdict::moved_from(name, comparison).filter(|_| !matches!(row.fate, Fate::Moved(_)));
            let left = left.map(|moved| format!("; {}", verdict::moved(moved, comparison))).unwrap_or_default();
            let _ = writeln!(out, "{}{left}: {sentence}", verdict::fate(row, comparison));
        }
        _ => out.push_str("not tested: too few samples\n"),
    }
}

/// The widths of the frames of a difference, as whole numbers whose sums hold.
fn widths(difference: &Difference<'_>, mode: DiffWidth) -> Vec<u64> {
    let nodes = &difference.diff.tree.nodes;
    let scale = difference.scale();
    let mut totals: Vec<f64> = (0..nodes.len() as NodeId)
        .map(|id| {
            let (base, new) = difference.own(id, scale);
            match mode {
                DiffWidth::Both => new.max(base),
                DiffWidth::New => new,
                DiffWidth::Base => base,
                DiffWidth::Delta => (new - base).abs(),
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
fn change(difference: &Difference<'_>, id: NodeId) -> f64 {
    let (node, base) = (&difference.diff.tree.nodes[id as usize], &difference.diff.base[id as usize]);
    let (old, new) = ((base.total_value, base.total_samples), (node.total_value, node.total_samples));
    beyond_noise(difference.diff, old, new)
}

/// The numbers of one place; `is_judged`: with a word for what they say, where nothing else says it.
fn differences(out: &mut String, difference: &Difference<'_>, id: NodeId, is_judged: bool) {
    let diff = difference.diff;
    let (node, base) = (&diff.tree.nodes[id as usize], &diff.base[id as usize]);
    let what = match is_judged.then(|| change(difference, id)) {
        _ if diff.is_added(id) => "new",
        _ if diff.is_vanished(id) => "gone",
        None => "here",
        Some(change) if change > 0.0 => "more",
        Some(change) if change < 0.0 => "less",
        Some(_) => "within noise",
    };
    let whole = diff.base_total as f64 * difference.scale();
    let share = |base: u64, new: u64| {
        let (base, new) = (diff.base_share(base), if whole > 0.0 { new as f64 / whole } else { 0.0 });
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
