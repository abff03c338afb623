//! A call tree as tiles: where each frame is, in values and rows; nothing of pixels or colours.
//!
//! What is too small or too deep to be drawn is merged into one tile for each parent and stays in the picture.

use crate::analyze::{CallTree, NodeId};

/// How much of a tree is laid out frame by frame.
#[derive(Clone, Debug, PartialEq)]
pub struct LayoutOptions {
    /// Frames with a smaller share of all, 0..1, are merged.
    pub min_share: f64,
    /// At most so many rows, of which the last holds what is merged because it is too deep.
    pub max_rows: u32,
    /// At most so many tiles: `min_share` is doubled until they suffice.
    pub max_tiles: usize,
}

/// What a tile stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// One frame.
    Frame(NodeId),
    /// Frames of one parent that are too small to be drawn, and all that they called.
    Smaller {
        /// How many of the parent's frames.
        siblings: u32,
        /// How many frames with those that they called.
        frames: u32,
    },
    /// All frames of one parent, because the picture ends there.
    Deeper {
        /// How many frames.
        frames: u32,
    },
}

/// One tile of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    /// What it stands for.
    pub content: Content,
    /// Where it begins, in the tree's unit.
    pub start: u64,
    /// How wide it is, in the tree's unit.
    pub value: u64,
    /// Its row; the root's is 0.
    pub row: u32,
}

/// The tiles of a picture, in pre-order: a tile's callees follow it, each within its caller.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// All tiles, of which the first is the root; none if nothing was sampled.
    pub tiles: Vec<Tile>,
    /// How many rows they take.
    pub rows: u32,
    /// Frames with a smaller share of all were merged.
    pub min_share: f64,
}

impl Layout {
    /// Lays out `tree`: callees above (or below) their callers, in order of name, what is left of the width is self value.
    pub fn of(tree: &CallTree, options: &LayoutOptions) -> Layout {
        Layout::by(tree, &|id| tree.nodes[id as usize].total_value, options)
    }

    /// The same with other widths: those of callees together are not more than their caller's.
    pub fn by(tree: &CallTree, width: &dyn Fn(NodeId) -> u64, options: &LayoutOptions) -> Layout {
        let mut min_share = options.min_share.max(0.0);
        loop {
            // With a share above 1 only the root and one merged tile are left; that is as few as can be.
            let last = min_share > 1.0;
            let limit = if last { usize::MAX } else { options.max_tiles };
            if let Some((tiles, rows)) = place(tree, width, min_share, options.max_rows.max(2), limit) {
                return Layout { tiles, rows, min_share };
            }
            min_share = (min_share * 2.0).max(1e-9);
        }
    }
}

/// The tiles and rows, or nothing if there are more than `limit`.
fn place(
    tree: &CallTree,
    width: &dyn Fn(NodeId) -> u64,
    min_share: f64,
    max_rows: u32,
    limit: usize,
) -> Option<(Vec<Tile>, u32)> {
    let total = width(0);
    let mut tiles = Vec::new();
    let mut rows = 0;
    let mut pending = Vec::new();
    if total > 0 {
        pending.push(Tile { content: Content::Frame(0), start: 0, value: total, row: 0 });
    }
    let min_value = min_share * total as f64;
    while let Some(next) = pending.pop() {
        if tiles.len() == limit {
            return None;
        }
        tiles.push(next);
        rows = rows.max(next.row + 1);
        let Content::Frame(id) = next.content else { continue };
        let row = next.row + 1;
        let (mut siblings, mut frames, mut merged) = (0, 0, 0);
        let deeper = row + 1 >= max_rows;
        let first = pending.len();
        let mut start = next.start;
        for child in tree.children(id) {
            let node = &tree.nodes[child as usize];
            let value = width(child);
            if deeper || (value as f64) < min_value {
                siblings += 1;
                frames += node.end - child;
                merged += value;
            } else if value > 0 {
                pending.push(Tile { content: Content::Frame(child), start, value, row });
                start += value;
            }
        }
        if merged > 0 {
            let content = if deeper { Content::Deeper { frames } } else { Content::Smaller { siblings, frames } };
            pending.push(Tile { content, start, value: merged, row });
        }
        pending[first..].reverse();
    }
    Some((tiles, rows))
}
