//! The data inside a picture: its tree, its samples, and what is said of them, packed (see [`crate::formats::picture`]).

use rustc_hash::FxHashMap;
use serde_json::{Value, json};

use super::name::{base_name, printable};
use crate::analyze::{CallTree, Leaves, Node, NodeId};
use crate::error::Result;
use crate::formats::picture::{Column, KINDS, Packer};
use crate::formats::stats_json;
use crate::model::{FoundBySet, FrameKind, Profile, StringId, Unit};

/// Distances between samples are given in so many nanoseconds.
const TICK: u64 = 1_000;
/// What the tree is compared with: self value and number of samples of a node.
pub(super) type Base<'a> = &'a dyn Fn(NodeId) -> (u64, u64);
/// The path of what the code of a node is in.
pub(super) type Image<'a, 'b> = &'a dyn Fn(NodeId) -> Option<&'b str>;

/// Packs what a picture is drawn from; `header` is an object that gets what every picture has.
///
/// `tree` has callees below callers and neither threads nor process ids; `leaves` are its samples.
pub(super) fn pack<'a>(
    tree: &'a CallTree,
    profile: &'a Profile,
    leaves: Option<&Leaves>,
    base: Option<Base>,
    image: Image<'_, 'a>,
    header: Value,
) -> Result<String> {
    let mut packer = Packer::default();
    let mut text = Text::new(tree);
    let function_of = functions(&mut packer, tree, image, leaves, &mut text);
    nodes(&mut packer, tree, base, &function_of);
    if let Some(leaves) = leaves {
        threads(&mut packer, profile, &mut text);
        samples(&mut packer, leaves);
    }
    packer.add_text(text.rows.iter().map(|text| printable(text)));
    packer.finish(complete(header, tree, profile, leaves))
}

/// The strings that are used, in the order in which they are needed: that of a picture of a picture is the same.
struct Text<'a> {
    tree: &'a CallTree,
    rows: Vec<&'a str>,
    /// By the tree's name.
    of_name: Vec<u32>,
    /// Those that are none of the tree's.
    of_text: FxHashMap<&'a str, u64>,
}

impl<'a> Text<'a> {
    fn new(tree: &'a CallTree) -> Text<'a> {
        Text { tree, rows: vec![""], of_name: vec![0; tree.names.count()], of_text: FxHashMap::default() }
    }

    /// The row of a name of the tree.
    fn name(&mut self, name: StringId) -> u64 {
        let text = self.tree.names.get(name);
        let row = &mut self.of_name[name.index()];
        if *row == 0 && !text.is_empty() {
            *row = self.rows.len() as u32;
            self.rows.push(text);
        }
        u64::from(*row)
    }

    fn row(&mut self, text: &'a str) -> u64 {
        if text.is_empty() {
            return 0;
        }
        *self.of_text.entry(text).or_insert_with(|| {
            self.rows.push(text);
            self.rows.len() as u64 - 1
        })
    }
}

struct Function<'a> {
    name: StringId,
    kind: FrameKind,
    /// What its image is called.
    image: Option<&'a str>,
    file: StringId,
    lines: (u32, u32),
}

/// Writes a row for each function; returns where they are by name and kind.
fn functions<'a>(
    packer: &mut Packer,
    tree: &CallTree,
    image_of: Image<'_, 'a>,
    leaves: Option<&Leaves>,
    text: &mut Text<'a>,
) -> Vec<u32> {
    let mut row_of = vec![u32::MAX; tree.names.count() * KINDS.len()];
    // The root has the first row for itself: a process may be called `all` too.
    let row =
        |node: &Node| Function { name: node.name, kind: node.kind, image: None, file: StringId(0), lines: (0, 0) };
    let mut rows = vec![row(tree.root())];
    for (id, node) in tree.nodes.iter().enumerate().skip(1) {
        let at = &mut row_of[slot(node.name.index(), node.kind)];
        if *at == u32::MAX {
            *at = rows.len() as u32;
            rows.push(row(node));
        }
        if node.place == 0 {
            continue;
        }
        let place = tree.place(id as NodeId);
        let Function { image, file, lines, .. } = &mut rows[*at as usize];
        if image.is_none() && place.image.is_some() {
            *image = image_of(id as NodeId).map(base_name);
        }
        if place.file != StringId(0) && (*file == StringId(0) || *file == place.file) {
            let (first, last) = if *file == StringId(0) { (u32::MAX, 0) } else { *lines };
            (*file, *lines) = (place.file, (first.min(place.lines.0), last.max(place.lines.1)));
        }
    }
    let mut columns: [Column; 7] = Default::default();
    for Function { name, kind, image, file, lines: (first, last) } in rows {
        let found = leaves.and_then(|leaves| leaves.found_by.get(&(name, kind)).copied());
        let numbers = [
            text.name(name),
            KINDS.iter().position(|known| *known == kind).unwrap_or(0) as u64,
            image.map_or(0, |image| text.row(image)),
            text.name(file),
            first.into(),
            last.saturating_sub(first).into(),
            found.map_or(0, bits),
        ];
        columns.iter_mut().zip(numbers).for_each(|(column, number)| column.push(number));
    }
    let names = ["name", "kind", "image", "file", "first_line", "line_count", "found_by"];
    names.into_iter().zip(columns).for_each(|(name, column)| packer.add(name, column));
    row_of
}

fn slot(name: usize, kind: FrameKind) -> usize {
    name * KINDS.len() + kind as usize
}

fn bits(found: FoundBySet) -> u64 {
    found.iter().fold(0, |bits, by| bits | 1 << by as u64)
}

fn nodes(packer: &mut Packer, tree: &CallTree, base: Option<Base>, function_of: &[u32]) {
    let mut columns: [Column; 6] = Default::default();
    let mut depth_before = 0;
    for (id, node) in tree.nodes.iter().enumerate() {
        let up = if id == 0 { 0 } else { depth_before + 1 - node.depth };
        depth_before = node.depth;
        columns[0].push(up.into());
        let function = if id == 0 { 0 } else { function_of[slot(node.name.index(), node.kind)] };
        columns[1].push(function.into());
        columns[2].push(node.self_value);
        columns[3].push(node.self_samples);
        if let Some(base) = base {
            let (value, samples) = base(id as NodeId);
            columns[4].push(value);
            columns[5].push(samples);
        }
    }
    // Of folded stacks both are the same.
    let names = ["up", "function", "self", "samples", "base", "base_samples"];
    names.into_iter().zip(columns).for_each(|(name, column)| packer.add(name, column));
}

fn threads<'a>(packer: &mut Packer, profile: &'a Profile, text: &mut Text<'a>) {
    let mut columns: [Column; 4] = Default::default();
    for thread in &profile.threads {
        let process = &profile.processes[thread.process.index()];
        columns[0].push(process.pid.into());
        columns[1].push(thread.tid.into());
        columns[2].push(text.row(profile.strings.get(process.name)));
        columns[3].push(text.row(profile.strings.get(thread.name)));
    }
    let names = ["pid", "tid", "process", "thread_name"];
    names.into_iter().zip(columns).for_each(|(name, column)| packer.add(name, column));
}

fn samples(packer: &mut Packer, leaves: &Leaves) {
    let mut columns: [Column; 6] = Default::default();
    let mut node_before: FxHashMap<u32, i64> = FxHashMap::default();
    let mut time_before = begin(leaves) / TICK;
    for leaf in &leaves.leaves {
        // What is of no moment stands first, at the begin.
        let time = (leaf.time / TICK).max(time_before);
        columns[0].push(time - time_before);
        time_before = time;
        columns[1].push(leaf.thread.0.into());
        let before = node_before.insert(leaf.thread.0, i64::from(leaf.node)).unwrap_or(0);
        columns[2].push_signed(i64::from(leaf.node) - before);
        columns[3].push(leaf.value);
        columns[4].push(leaf.count);
        columns[5].push(u64::from(leaves.is_timed && !leaf.is_placed));
    }
    let names = ["time", "thread", "node", "value", "count", "unplaced"];
    names.into_iter().zip(columns).for_each(|(name, column)| packer.add(name, column));
}

/// When the first sample was taken that has a time.
fn begin(leaves: &Leaves) -> u64 {
    leaves.leaves.iter().find(|leaf| leaf.is_placed).map_or(0, |leaf| leaf.time)
}

fn complete(mut header: Value, tree: &CallTree, profile: &Profile, leaves: Option<&Leaves>) -> Value {
    let stats = &profile.stats;
    header["event"] = json!(printable(&tree.event));
    header["unit"] = json!(match tree.unit {
        Unit::Nanoseconds => "ns",
        Unit::Count => "count",
        Unit::Bytes => "bytes",
    });
    header["period"] = json!(tree.period);
    header["stats"] = stats_json(stats);
    header["tick"] = json!(TICK);
    header["timed"] = json!(leaves.is_some_and(|leaves| leaves.is_timed));
    header["start"] = json!(leaves.map_or(0, begin));
    header["version"] = json!(env!("CARGO_PKG_VERSION"));
    header
}
