//! What stands above and below the frames: blocks of text that are wrapped to the width.
//!
//! No style sheet is needed: lines are broken here.

use std::collections::BTreeMap;

use super::MARGIN;
use super::escape::{Px, Text};
use super::paint::Sign;
use super::{chart, palette};
use crate::analyze::{CallTree, Node, Timeline};
use crate::gate::{Comparison, Outcome};
use crate::model::{FrameKind, NOT_ASKED_FOR, Profile, Unit};
use crate::render::evidence::{Evidence, Known, Strength};
use crate::render::layout::{Content, Layout};
use crate::render::name::{base_name, columns, head, shorten};
use crate::render::number::{count_of, percent, quantity};
use crate::render::picture::{Palette, Subject};
use crate::render::report::words;
use crate::render::verdict;

/// Mean advance of a character in the fonts for text, in em; on the safe side.
const ADVANCE: f64 = 0.6;
/// The same in bold.
const BOLD_ADVANCE: f64 = 0.7;
/// Longest title, in columns; the whole command line stands in the foot.
const LONGEST_TITLE: usize = 160;
/// Space below a block.
const GAP: f64 = 6.0;

/// A block of the page.
#[derive(Debug)]
pub(super) enum Block {
    Text {
        text: String,
        size: f64,
        color: &'static str,
        weight: u32,
    },
    /// In a box, with a sign that needs no colour.
    Boxed {
        text: String,
        look: BoxLook,
    },
    /// A line of a list, with a square of a colour.
    Item {
        color: String,
        text: String,
    },
    /// Squares of a colour, each with its words; words alone where there is no colour.
    Legend {
        keys: Vec<(String, String)>,
    },
}

impl Block {
    pub fn title(text: &str) -> Block {
        let text = shorten(text, LONGEST_TITLE).into_owned();
        Block::Text { text, size: 17.0, color: palette::INK, weight: 600 }
    }

    pub fn large(text: &str) -> Block {
        Block::Text { text: text.to_owned(), size: 15.0, color: palette::INK, weight: 600 }
    }

    pub fn small(text: &str) -> Block {
        Block::Text { text: text.to_owned(), size: 12.0, color: "#55555e", weight: 400 }
    }

    pub fn warning(text: &str) -> Block {
        Block::Boxed { text: text.to_owned(), look: WARNING }
    }

    /// What a comparison of runs says.
    pub fn verdict(comparison: &Comparison) -> Block {
        let look = match comparison.verdict.outcome {
            Outcome::Regression => REGRESSION,
            Outcome::NoChange => NO_CHANGE,
            Outcome::Inconclusive => INCONCLUSIVE,
        };
        Block::Boxed { text: verdict::line(comparison), look }
    }
}

/// Colours of a box, and the outline of its sign within 28 x 27 pixels, filled with that of its edge.
#[derive(Clone, Copy, Debug)]
pub(super) struct BoxLook {
    fill: &'static str,
    edge: &'static str,
    ink: &'static str,
    sign: &'static str,
}

const WARNING: BoxLook = BoxLook { fill: "#fff1c9", edge: "#b98500", ink: "#4a3200", sign: "M8 20l7-13 7 13z" };
const REGRESSION: BoxLook = BoxLook {
    fill: "#fde6e0",
    edge: "#a1320d",
    ink: "#4f1604",
    sign: "M9 9l2-2 4 4 4-4 2 2-4 4 4 4-2 2-4-4-4 4-2-2 4-4z",
};
const NO_CHANGE: BoxLook =
    BoxLook { fill: "#e2f1fb", edge: "#14629e", ink: "#0b3353", sign: "M8 14l2-2 3 3 7-8 2 2-9 10z" };
const INCONCLUSIVE: BoxLook =
    BoxLook { fill: "#ececf0", edge: "#55555e", ink: "#2c2c33", sign: "M8 8h14v3h-14zM8 15h14v3h-14z" };

/// What the colours of all that is drawn say, each with its share of the self value of the last tree; what is in others only has none.
pub(super) fn legend(
    halves: &[(&CallTree, &Layout)],
    subject: Subject<'_>,
    palette: Palette,
    is_outwards: bool,
) -> Block {
    let Some(((tree, _), beside)) = halves.split_last() else { return Block::Legend { keys: Vec::new() } };
    // From the innermost function outwards, all that a stack took is that of the first.
    let own = |node: &Node| match is_outwards {
        true if node.depth == 1 => node.total_value,
        true => 0,
        false => node.self_value,
    };

    let mut merged = 0;
    let mut drawn = Vec::new();
    for (tree, layout) in halves {
        for tile in &layout.tiles {
            match tile.content {
                Content::Frame(id) => {
                    let kind = tree.nodes[id as usize].kind;
                    if !drawn.contains(&kind) {
                        drawn.push(kind);
                    }
                }
                Content::Smaller { .. } | Content::Deeper { .. } => merged += tile.value,
            }
        }
    }
    let mut keys = match palette {
        Palette::Type => of_kinds(tree, &drawn, &own, !beside.is_empty()),
        Palette::Binary => of_images(tree, beside, subject, &own),
        Palette::Hash => vec![],
        Palette::Own => [(1.0, "all self"), (0.0, "none self")]
            .map(|(own, text)| (palette::fill(palette, FrameKind::User, "", None, own), text.to_owned()))
            .into(),
    };
    if merged > 0 {
        let share = if beside.is_empty() { format!(" {}", percent(tree.share(merged))) } else { String::new() };
        keys.push((palette::MERGED.to_owned(), format!("merged{share}")));
    }
    Block::Legend { keys }
}

fn of_kinds(tree: &CallTree, drawn: &[FrameKind], own: &dyn Fn(&Node) -> u64, is_part: bool) -> Vec<(String, String)> {
    let own = |kind| tree.nodes.iter().filter(|node| node.kind == kind).map(own).sum::<u64>();
    ORDER
        .into_iter()
        .filter(|kind| drawn.contains(kind))
        .map(|kind| {
            // Processes, and notes under what is known, have no share of their own.
            let text = match (kind, own(kind)) {
                (FrameKind::Task | FrameKind::Note | FrameKind::OffCpu, 0) => palette::kind_name(kind).to_owned(),
                (kind, 0) if is_part => palette::kind_name(kind).to_owned(),
                (kind, own) => format!("{} {}", palette::kind_name(kind), percent(tree.share(own))),
            };
            (palette::key(kind), text)
        })
        .collect()
}

/// The order of kinds in the legend.
const ORDER: [FrameKind; 7] = [
    FrameKind::User,
    FrameKind::Inlined,
    FrameKind::Jit,
    FrameKind::Kernel,
    FrameKind::OffCpu,
    FrameKind::Note,
    FrameKind::Task,
];

/// So many programs and libraries have their line.
const MOST_IMAGES: usize = 8;

fn of_images(
    tree: &CallTree,
    beside: &[(&CallTree, &Layout)],
    subject: Subject<'_>,
    own: &dyn Fn(&Node) -> u64,
) -> Vec<(String, String)> {
    let sums_of = |tree: &CallTree, value: &dyn Fn(&Node) -> u64| {
        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        for (id, node) in tree.nodes.iter().enumerate().filter(|(_, node)| value(node) > 0) {
            if !matches!(node.kind, FrameKind::Task | FrameKind::Note) {
                let image = subject.image(tree, id as u32).map_or_else(|| palette::kind_name(node.kind), base_name);
                let sum = sums.entry(super::shown(image)).or_default();
                *sum = sum.saturating_add(value(node));
            }
        }
        sums
    };
    let sums = sums_of(tree, own);
    let mut others: Vec<(String, u64)> = Vec::new();
    for (tree, _) in beside {
        others
            .extend(sums_of(tree, &|node| node.total_value).into_iter().filter(|(image, _)| !sums.contains_key(image)));
    }
    others.sort_by_key(|(_, sum)| std::cmp::Reverse(*sum));
    let mut keys = keys_of_images(sums, &|sum| percent(tree.share(sum)));
    others.truncate(MOST_IMAGES.saturating_sub(keys.len()));
    keys.extend(others.iter().map(|(image, _)| (palette::of_image(image, 78), shorten(image, 40).into_owned())));
    keys
}

/// The lines of those with most.
fn keys_of_images(sums: BTreeMap<String, u64>, share: &dyn Fn(u64) -> String) -> Vec<(String, String)> {
    let mut sums: Vec<_> = sums.into_iter().filter(|(_, sum)| *sum > 0).collect();
    sums.sort_by_key(|(_, sum)| std::cmp::Reverse(*sum));
    sums.truncate(MOST_IMAGES);
    let text = |image: &str, sum| format!("{} {}", shorten(image, 40), share(sum));
    sums.iter().map(|(image, sum)| (palette::of_image(image, 78), text(image, *sum))).collect()
}

/// What the colours of a difference say.
pub(super) fn legend_of_changes(comparison: Option<&Comparison>) -> Block {
    let of = |change, strength| palette::change(change, strength);
    let Some(comparison) = comparison else {
        let keys =
            [(1.0, "▲ more"), (-1.0, "▼ less"), (0.0, "within 2 σ of the counts"), (1.0, "+ new"), (-1.0, "× gone")];
        return Block::Legend {
            keys: keys.map(|(change, text)| (of(change, Strength::Strong), text.to_owned())).into(),
        };
    };
    let [alpha, warn] =
        [comparison.settings.alpha, comparison.settings.warn_alpha].map(|alpha| format!("p ≤ {}", words::share(alpha)));
    let edge = palette::edge(0.5, Strength::Strong).unwrap_or_default();
    let keys = [
        (of(1.0, Strength::Strong), format!("self more, {alpha}")),
        (of(1.0, Strength::Weak), warn.clone()),
        (of(-1.0, Strength::Strong), format!("self less, {alpha}")),
        (of(-1.0, Strength::Weak), warn),
        (palette::UNCHANGED.to_owned(), "grey: cannot be told from chance, or not tested".to_owned()),
        (edge, "upper edge: with all that it calls".to_owned()),
        (String::new(), "▲ regression  △ suspect  ⇄ moved  ▼ improved  + new  × gone".to_owned()),
    ];
    Block::Legend { keys: keys.into() }
}

/// So many rows of a comparison stand below the frames.
const MOST_CAUSES: usize = 10;

/// What changed and why, the rows that matter most; nothing if none did.
pub(super) fn causes(evidence: &Evidence<'_>) -> Vec<Block> {
    let comparison = evidence.comparison;
    let mut blocks = Vec::new();
    let causes = evidence.causes();
    for row in causes.iter().take(MOST_CAUSES) {
        let (change, strength) = evidence.of_function(Some(row));
        let known = Known::only(row);
        let sentence = verdict::sentence(&known, comparison, comparison.settings.scale).unwrap_or_default();
        let (name, fate) = (verdict::row_name(row), verdict::fate(row, comparison));
        let text = format!("{}{fate}: {name}: {sentence}", Sign::of(Some(row), change).text());
        blocks.push(Block::Item { color: palette::change(change, strength), text });
    }
    if let Some(rest) = causes.len().checked_sub(MOST_CAUSES).filter(|rest| *rest > 0) {
        blocks.push(Block::small(&format!("{} more, each of less weight", count_of(rest as u64, "row"))));
    }
    if !blocks.is_empty() {
        blocks.insert(0, Block::large("What changed"));
    }
    blocks
}

/// What the colours of a chart say: of files, with their share of the time that is in a lane.
pub(super) fn legend_of_chart(timeline: &Timeline, profile: &Profile, palette: Palette) -> Block {
    let has = |kind| timeline.lanes.iter().any(|lane| lane.spans.iter().any(|span| span.kind == kind));
    let of_kind = |kind| (palette::key(kind), palette::kind_name(kind).to_owned());
    let keys = match palette {
        Palette::Type => ORDER.into_iter().filter(|kind| has(*kind)).map(of_kind).collect(),
        Palette::Binary => {
            let mut sums: BTreeMap<String, u64> = BTreeMap::new();
            let mut all = 0u64;
            for (span, own) in chart::own_times(timeline) {
                all = all.saturating_add(own);
                if !matches!(span.kind, FrameKind::Task | FrameKind::Note) {
                    let image = chart::image(span, profile).unwrap_or_else(|| palette::kind_name(span.kind));
                    let sum = sums.entry(super::shown(image)).or_default();
                    *sum = sum.saturating_add(own);
                }
            }
            keys_of_images(sums, &|sum| percent(sum as f64 / all.max(1) as f64))
        }
        Palette::Hash | Palette::Own => Vec::new(),
    };
    Block::Legend { keys }
}

/// Says that there are no samples, and why.
pub(super) fn no_samples(profile: &Profile) -> (String, String) {
    let stats = &profile.stats;
    let event = match profile.main_event() {
        "" => stats.event.as_str(),
        event => event,
    };
    // Folded stacks have no name for what they count.
    let of = if matches!(event, "" | "samples") { String::new() } else { format!(" of {}", super::shown(event)) };
    let nanoseconds = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let duration = quantity(nanoseconds(stats.duration), Unit::Nanoseconds);
    let why = if stats.skipped.contains_key(NOT_ASKED_FOR) {
        "None of those that were read is what was asked for.".to_owned()
    } else if stats.lost > 0 {
        format!("{} lost, none was kept.", count_of(stats.lost, "sample"))
    } else if stats.samples > 0 {
        format!("The recording has {}, all of other events.", count_of(stats.samples, "sample"))
    } else if let Some(cpu) = stats.cpu_time {
        let cpu = quantity(nanoseconds(cpu), Unit::Nanoseconds);
        format!(
            "What was recorded used {cpu} of CPU time in {duration}; a sample is due only when enough has been used."
        )
    } else if stats.duration.is_zero() {
        "There are none in what was read.".to_owned()
    } else {
        format!("The event did not occur in {duration}: what was recorded slept, or had ended.")
    };
    (format!("No samples{of}."), why)
}

/// Paints `blocks` below each other from `top`; returns where they end.
pub(super) fn paint(out: &mut String, part: &str, blocks: &[Block], top: f64, width: f64) -> f64 {
    let mut y = top;
    out.push_str(&format!("<g data-part=\"{part}\">\n"));
    for block in blocks {
        y += paint_block(out, block, y, width) + GAP;
    }
    out.push_str("</g>\n");
    y
}

fn paint_block(out: &mut String, block: &Block, y: f64, width: f64) -> f64 {
    match block {
        Block::Text { text, size, color, weight } => {
            let flow = Flow { left: MARGIN, padding: 0.0, size: *size, color, weight: *weight };
            let lines = flow.lines(text, width);
            flow.open(out, y);
            flow.text(out, &lines);
            out.push_str("</g>\n");
            flow.height(lines.len())
        }
        Block::Boxed { text, look } => {
            let flow = Flow { left: MARGIN + 28.0, padding: 6.0, size: 12.0, color: look.ink, weight: 400 };
            let lines = flow.lines(text, width);
            flow.open(out, y);
            out.push_str(&format!(
                "<rect x=\"{0}\" width=\"{1}\" height=\"{2}\" rx=\"4\" fill=\"{3}\" stroke=\"{4}\"/>\n\
                 <path transform=\"translate({0} 0)\" d=\"{5}\" fill=\"{4}\"/>\n",
                Px(MARGIN),
                Px(width - 2.0 * MARGIN),
                Px(flow.height(lines.len())),
                look.fill,
                look.edge,
                look.sign,
            ));
            flow.text(out, &lines);
            out.push_str("</g>\n");
            flow.height(lines.len())
        }
        Block::Item { color, text } => {
            let flow = Flow { left: MARGIN + 18.0, padding: 0.0, size: 12.0, color: palette::INK, weight: 400 };
            let lines = flow.lines(text, width);
            flow.open(out, y);
            out.push_str(&format!(
                "<rect x=\"{}\" y=\"1.5\" width=\"12\" height=\"12\" rx=\"2\" fill=\"{color}\" stroke=\"#8a8a92\" stroke-width=\".5\"/>\n",
                Px(MARGIN)
            ));
            flow.text(out, &lines);
            out.push_str("</g>\n");
            flow.height(lines.len())
        }
        Block::Legend { keys } => {
            out.push_str(&format!("<g data-part=\"keys\" transform=\"translate(0 {})\">\n", Px(y)));
            let (mut x, mut line) = (MARGIN, 0.0);
            for (color, text) in keys {
                let (lead, is_plain) = if color.is_empty() { (0.0, true) } else { (17.0, false) };
                let key_width = lead + columns(text) as f64 * ADVANCE * 12.0 + 12.0;
                if x > MARGIN && x + key_width > width - MARGIN {
                    (x, line) = (MARGIN, line + 18.0);
                }
                let square = format!(
                    "<rect width=\"12\" height=\"12\" rx=\"2\" fill=\"{color}\" stroke=\"#8a8a92\" stroke-width=\".5\"/>"
                );
                out.push_str(&format!(
                    "<g transform=\"translate({} {})\">{}<text x=\"{}\" y=\"10.5\">{}</text></g>\n",
                    Px(x),
                    Px(line),
                    if is_plain { "" } else { &square },
                    Px(lead),
                    Text(text)
                ));
                x += key_width;
            }
            out.push_str("</g>\n");
            line + 14.0
        }
    }
}

/// How a block's text flows.
struct Flow {
    left: f64,
    padding: f64,
    size: f64,
    color: &'static str,
    weight: u32,
}

impl Flow {
    fn line_height(&self) -> f64 {
        (self.size * 1.35).round()
    }

    fn advance(&self) -> f64 {
        if self.weight > 400 { BOLD_ADVANCE } else { ADVANCE }
    }

    fn height(&self, lines: usize) -> f64 {
        2.0 * self.padding + lines as f64 * self.line_height()
    }

    fn lines(&self, text: &str, width: f64) -> Vec<String> {
        let room = (width - self.left - MARGIN - self.padding) / (self.size * self.advance());
        wrap(text, room.max(10.0) as usize)
    }

    fn open(&self, out: &mut String, y: f64) {
        out.push_str(&format!("<g transform=\"translate(0 {})\">\n", Px(y)));
    }

    fn text(&self, out: &mut String, lines: &[String]) {
        let Flow { size, color, weight, .. } = self;
        out.push_str(&format!("<text font-size=\"{}\" font-weight=\"{weight}\" fill=\"{color}\">", Px(*size)));
        for (row, line) in lines.iter().enumerate() {
            let y = self.padding + size + row as f64 * self.line_height();
            out.push_str(&format!("<tspan x=\"{}\" y=\"{}\">{}</tspan>", Px(self.left), Px(y), Text(line)));
        }
        out.push_str("</text>\n");
    }
}

/// Breaks `text` at blanks into lines of at most `width` columns; longer words are broken anywhere.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for mut word in text.split(' ') {
        if !line.is_empty() && columns(&line) + 1 + columns(word) > width {
            lines.push(std::mem::take(&mut line));
        }
        while columns(word) > width {
            let (begin, rest) = word.split_at(head(word, width).len());
            lines.push(begin.to_owned());
            word = rest;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_at_blanks() {
        let check = |text: &str, width: usize, expected: &[&str]| assert_eq!(wrap(text, width), expected);
        check("one two three", 20, &["one two three"]);
        check("one two three", 7, &["one two", "three"]);
        check("abcdefghij kl", 4, &["abcd", "efgh", "ij", "kl"]);
        check("", 4, &[""]);
    }
}
