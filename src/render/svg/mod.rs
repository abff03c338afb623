//! The flame graph as one SVG file, complete where no script and no style sheet is allowed.
//!
//! Every mark is a presentation attribute, so that the picture is whole as an `<img>`, in Markdown, on paper, and under a
//! content policy that forbids scripts and inline style. The script adds zoom, search and details; it makes its own
//! controls, so that none is seen where it may not run.
//!
//! ```text
//! title                                   head: blocks of text, refitted by the script when the window changes
//! ! why the picture may be wrong
//! # user 60 %  # kernel 30 %  ...
//!             +-------+
//!         +---+-------+ +--+              frames: one <rect> each, in pre-order, its <title> the words for it
//!     +---+-----------+-+--+--------+     labels: <text>, apart from the frames, so that the script can replace them all
//!     | all                         |
//!     +-----------------------------+
//! event ..., samples ..., coverage ...    foot
//! ```
//!
//! Between the Rust and the script stand only these: pre-order and `y` (which give the tree), `data-weights` (exact widths,
//! from which zooming computes), the first line of each `<title>` (the name), and `data-part`/`data-flow` marks.
//! Nothing from outside is ever in the script's text.

mod escape;
mod frames;
mod page;
mod palette;

use std::io::Write;

use self::escape::{Px, Text, shown};
use self::frames::Frames;
use self::page::Block;
use super::layout::{Content, Layout, LayoutOptions};
use super::number::{count_of, percent};
use super::summary::{Fact, facts, warnings};
use crate::analyze::CallTree;
use crate::error::{Error, Result};
use crate::model::Profile;

/// How the picture is made.
#[derive(Clone, Debug, PartialEq)]
pub struct SvgOptions {
    /// The title; what was recorded, if it is empty.
    pub title: String,
    /// Width in pixels, as long as no script changes it to that of the window; at least 320.
    pub width: u32,
    /// Frames narrower than this many pixels are merged.
    pub min_width: f64,
    /// At most so many rows; deeper frames are merged.
    pub max_rows: u32,
    /// At most so many frames are drawn: `min_width` is doubled until they suffice.
    pub max_frames: usize,
}

impl Default for SvgOptions {
    fn default() -> Self {
        SvgOptions { title: String::new(), width: 1200, min_width: 0.1, max_rows: 1_000, max_frames: 50_000 }
    }
}

/// Distance of everything from the left and right edges.
const MARGIN: f64 = 10.0;
/// Fonts whose characters are all of one width, for labels; none of these is wider than `frames::ADVANCE`.
const MONOSPACE: &str = "'DejaVu Sans Mono',Menlo,Consolas,'Liberation Mono',monospace";
const SANS: &str = "system-ui,'DejaVu Sans','Segoe UI',Helvetica,Arial,sans-serif";

const SCRIPT: &str = include_str!("script.js");

/// Writes the flame graph of `tree`, which was built from `profile`.
pub fn write(tree: &CallTree, profile: &Profile, options: &SvgOptions, out: &mut impl Write) -> Result<()> {
    let text = picture(tree, profile, options);
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| Error::io("cannot write the picture", error))
}

fn picture(tree: &CallTree, profile: &Profile, options: &SvgOptions) -> String {
    let width = f64::from(options.width.max(320));
    let inner = width - 2.0 * MARGIN;
    let layout = Layout::of(
        tree,
        &LayoutOptions {
            min_share: options.min_width.max(0.0) / inner,
            max_rows: options.max_rows,
            max_tiles: options.max_frames,
        },
    );
    let stats = &profile.stats;
    let title = match (options.title.as_str(), stats.target.as_str()) {
        ("", "") => "Flame graph".to_owned(),
        ("", target) => format!("Flame graph of {}", shown(&target.replace(['\n', '\t'], " "))),
        (title, _) => shown(title),
    };

    let mut head = vec![Block::title(&title)];
    let warnings = warnings(stats);
    // That there is nothing to be seen is said below, with the reason.
    if !warnings.is_empty() && !layout.tiles.is_empty() {
        head.push(Block::warning(&format!("Warning: {}.", warnings.join("; "))));
    }
    // What is less than was asked for is no footnote.
    let facts = facts(stats);
    let notes: Vec<&str> = facts.iter().filter(|fact| fact.about == "note").map(|fact| fact.text.as_str()).collect();
    if !notes.is_empty() {
        head.push(Block::small(&format!("Note: {}.", notes.join("; "))));
    }
    let frames = Frames { tree, profile, layout: &layout, width };
    match layout.tiles.is_empty() {
        true => head.extend(page::no_samples(tree, stats)),
        false => head.push(page::legend(tree, &layout)),
    }
    let mut foot = vec![Block::small(&figures(&facts))];
    foot.extend(merged(&layout, inner).map(|text| Block::small(&text)));

    let mut body = String::new();
    let top = page::paint(&mut body, "head", &head, MARGIN, width);
    let bottom = top + frames.height();
    frames.paint(&mut body, top);
    let height = page::paint(&mut body, "foot", &foot, bottom + 6.0, width) + 4.0;

    let mut text = String::with_capacity(body.len() + SCRIPT.len() + 4_000);
    text.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    text.push_str(&format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" preserveAspectRatio=\"xMinYMin meet\" role=\"img\" \
         aria-label=\"{2}\" font-family=\"{SANS}\" font-size=\"12\" fill=\"{3}\" data-flameprofile=\"still\">\n",
        Px(width),
        Px(height),
        Text(&title),
        palette::INK,
    ));
    text.push_str(&format!("<title>{}</title>\n<desc>", Text(&title)));
    for Fact { about, text: figure } in &facts {
        text.push_str(&format!("{about}: {}\n", Text(figure)));
    }
    text.push_str(&format!("version: {}</desc>\n", version()));
    text.push_str("<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n");
    text.push_str(&body);
    text.push_str(&format!("<script><![CDATA[\n{SCRIPT}]]></script>\n</svg>\n"));
    text
}

/// The facts in one paragraph; the notes among them stand above the frames already.
fn figures(facts: &[Fact]) -> String {
    let figures = facts.iter().filter(|fact| fact.about != "note");
    let mut figures: Vec<String> = figures.map(|Fact { about, text }| format!("{about}: {text}")).collect();
    figures.push(version());
    figures.join(" · ")
}

fn version() -> String {
    format!("{} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
}

/// What is not drawn frame by frame, in words.
fn merged(layout: &Layout, inner: f64) -> Option<String> {
    let total = layout.tiles.first()?.value as f64;
    let (mut small, mut deep) = ((0u64, 0u64), (0u64, 0u64));
    for tile in &layout.tiles {
        let (sum, frames) = match tile.content {
            Content::Frame(_) => continue,
            Content::Smaller { frames, .. } => (&mut small, frames),
            Content::Deeper { frames } => (&mut deep, frames),
        };
        *sum = (sum.0 + u64::from(frames), sum.1 + tile.value);
    }
    let mut parts = Vec::new();
    if small.0 > 0 {
        let (frames, share) = (count_of(small.0, "frame"), percent(small.1 as f64 / total));
        let width = format!("{:.2}", layout.min_share * inner);
        parts.push(format!("{frames} narrower than {width} px drawn merged, in grey ({share} of the width)"));
    }
    if deep.0 > 0 {
        let (frames, share) = (count_of(deep.0, "frame"), percent(deep.1 as f64 / total));
        parts.push(format!("{frames} beyond row {} drawn merged, in grey ({share} of the width)", layout.rows));
    }
    (!parts.is_empty()).then(|| parts.join(" · "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_ends_only_where_it_ends() {
        assert!(!SCRIPT.contains("]]>"));
        // The parser of HTML, in which the picture may stand, ends a script there.
        assert!(!SCRIPT.to_lowercase().contains("</script"));
        assert!(SCRIPT.is_ascii());
    }
}
