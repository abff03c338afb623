//! The picture as one SVG file, complete where no script and no style sheet is allowed.
//!
//! Every mark is a presentation attribute, so that the picture is whole as an `<img>`, in Markdown, on paper, and under a
//! content policy that forbids scripts and inline style. Where scripts run, the viewer takes the place of the picture
//! (`viewer/start.js`) and draws from the data that the file carries: of the picture it reads nothing.
//!
//! ```text
//! title                                   head: blocks of text
//! ! why the picture may be wrong
//! # user 60 %  # kernel 30 %  ...
//!             +-------+
//!         +---+-------+ +--+              frames: a <rect> each with its words in a <title>; what is narrower than a pixel
//!     +---+-----------+-+--+--------+     is part of one <path> for each colour
//!     | all                         |
//!     +-----------------------------+
//! event ..., samples ..., coverage ...    foot
//! data                                    <metadata>: see formats/picture.rs
//! ```
//!
//! Nothing from outside is ever in the script's text.

mod chart;
mod escape;
mod frames;
mod page;
mod paint;
mod palette;

use std::borrow::Cow;
use std::io::Write;

pub(super) use self::escape::Text;
use self::escape::{Px, shown};
use self::frames::Frames;
use self::page::Block;
use self::paint::Painter;
use super::difference::Difference;
use super::evidence::Evidence;
use super::layout::{Content, Layout};
use super::name::printable;
use super::number::{count_of, percent};
use super::picture::{Palette, PictureOptions, Shape, Subject};
use super::{beside, viewer};
use crate::analyze::{CallTree, Sandwich, Timeline, View, functions_like};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::picture::MARK;
use crate::model::Profile;

/// Distance of everything from the left and right edges.
const MARGIN: f64 = 10.0;
/// Fonts whose characters are all of one width, for labels; none of these is wider than `paint::ADVANCE`.
const MONOSPACE: &str = "'DejaVu Sans Mono',Menlo,Consolas,'Liberation Mono',monospace";
const SANS: &str = "system-ui,'DejaVu Sans','Segoe UI',Helvetica,Arial,sans-serif";

/// Writes what `view` selects of `profile`.
///
/// # Errors
///
/// [`ErrorKind::Usage`] if there is nothing of the shape that is asked for: no times for a chart, no such function for a sandwich; and
/// for a chart with [`Palette::Own`], as what is in order of time is not added up.
pub fn write(profile: &Profile, view: &View, options: &PictureOptions, out: &mut impl Write) -> Result<()> {
    write_subject(Subject::Profile { profile, view }, options, out)
}

/// Writes the difference of two profiles: as one tree, or for [`Shape::Chart`] both in order of time.
///
/// # Errors
///
/// [`ErrorKind::Usage`] for a chart if there are no times on a side.
pub fn write_diff(difference: &Difference<'_>, options: &PictureOptions, out: &mut impl Write) -> Result<()> {
    of_difference(difference, options, |subject| write_subject(subject, options, out))
}

/// Makes of `difference` what a picture is of.
pub(super) fn of_difference<T>(
    difference: &Difference<'_>,
    options: &PictureOptions,
    draw: impl FnOnce(Subject<'_>) -> Result<T>,
) -> Result<T> {
    if options.shape != Shape::Chart {
        return draw(Subject::Diff(difference));
    }
    let view = View::default();
    for (profile, side) in [(difference.base, "base"), (difference.new, "new side")] {
        if Timeline::build(profile, &view).is_none() {
            let message = format!("samples without times cannot be drawn as a flame chart: those of the {side}");
            return Err(Error::new(ErrorKind::Usage, message).with_hint(WITH_TIMES));
        }
    }
    let both = beside::both(difference.base, difference.new);
    draw(Subject::Beside { difference, both: &both, view: &view })
}

/// What has times.
const WITH_TIMES: &str = "record with this program, or import a perf.data or the text of perf script";

fn write_subject(subject: Subject<'_>, options: &PictureOptions, out: &mut impl Write) -> Result<()> {
    let tree = subject.tree(options);
    let still = Still::of(subject, options, tree.as_ref())?;
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    still.open(&mut text, "still");
    text.push_str(&still.body);
    let data = subject.data(options, tree.as_ref(), &still.empty)?;
    drop(tree);
    let script = format!("</metadata>\n<script><![CDATA[\n{}]]></script>\n</svg>\n", viewer::script());
    let parts = [&text, &format!("<metadata {MARK}>"), &data, &script];
    let written = parts.into_iter().try_for_each(|part| out.write_all(part.as_bytes())).and_then(|()| out.flush());
    written.map_err(|error| Error::io("cannot write the picture", error))
}

/// A picture without script.
#[derive(Debug)]
pub(super) struct Still {
    title: String,
    description: String,
    width: f64,
    height: f64,
    /// Why there is nothing to be seen; empty if there is.
    pub empty: String,
    pub body: String,
}

impl Still {
    /// Draws what `options` say; `tree` is that of [`Subject::tree`].
    pub fn of(subject: Subject<'_>, options: &PictureOptions, tree: Option<&CallTree>) -> Result<Still> {
        let width = f64::from(options.width.max(320));
        let inner = width - 2.0 * MARGIN;
        let title = subject.title(options);
        let (facts, warnings) = subject.said();
        let drawing = Drawing::of(subject, options, tree, inner)?;
        let mut head = vec![Block::title(&title)];
        let comparison = subject.difference().and_then(|difference| difference.comparison);
        head.extend(comparison.map(Block::verdict));
        // That there is nothing to be seen is said below, with the reason.
        if !warnings.is_empty() && !drawing.is_empty() {
            head.push(Block::warning(&format!("Warning: {}.", printable(&warnings.join("; ")))));
        }
        // What is less than was asked for is no footnote.
        let notes: Vec<&str> =
            facts.iter().filter(|(about, _)| about.ends_with("note")).map(|(_, text)| text.as_str()).collect();
        if !notes.is_empty() {
            head.push(Block::small(&format!("Note: {}.", printable(&notes.join("; ")))));
        }
        let mut empty = String::new();
        match drawing.is_empty() {
            true => {
                let (event, why) = page::no_samples(subject.profile());
                empty = format!("{event} {why}");
                head.extend([Block::large(&event), Block::small(&why)]);
            }
            false => head.push(drawing.legend(subject, options)),
        }
        let mut body = String::new();
        let top = page::paint(&mut body, "head", &head, MARGIN, width);
        let mut painter = Painter::new(top);
        let left = drawing.paint(&mut painter, subject, inner, options);
        painter.finish(&mut body);
        let figures = facts.iter().filter(|(about, _)| !about.ends_with("note"));
        let mut figures: Vec<String> = figures.map(|(about, text)| format!("{about}: {text}")).collect();
        figures.push(version());
        let mut foot = Vec::new();
        if let Some(comparison) = comparison {
            foot.extend(page::causes(&Evidence::new(comparison)));
            let made: Vec<String> =
                super::verdict::facts(comparison).iter().map(|(about, text)| format!("{about}: {text}")).collect();
            foot.push(Block::small(&made.join(" · ")));
        }
        foot.push(Block::small(&printable(&figures.join(" · "))));
        foot.extend((!left.is_empty()).then(|| Block::small(&left.join(" · "))));
        let bottom = top + f64::from(drawing.rows(options)) * paint::PITCH;
        let height = page::paint(&mut body, "foot", &foot, bottom + 6.0, width) + 4.0;
        let facts: Vec<String> = facts.iter().map(|(about, text)| format!("{about}: {}\n", printable(text))).collect();
        let description = format!("{}version: {}", facts.concat(), version());
        Ok(Still { title, description, width, height, empty, body })
    }

    /// Opens the element, with its title and what it is of; the body and its end are to follow.
    pub fn open(&self, out: &mut String, state: &str) {
        out.push_str(&format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" preserveAspectRatio=\"xMinYMin meet\" role=\"img\" \
             aria-label=\"{2}\" font-family=\"{SANS}\" font-size=\"12\" fill=\"{3}\" data-flameprofile=\"{state}\">\n",
            Px(self.width),
            Px(self.height),
            Text(&self.title),
            palette::INK,
        ));
        out.push_str(&format!("<title>{}</title>\n<desc>{}</desc>\n", Text(&self.title), Text(&self.description)));
        out.push_str("<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n");
    }
}

/// What stands between head and foot.
enum Drawing<'a> {
    Tree { frames: Box<Frames<'a>>, is_root_below: bool },
    Sandwich(Box<[Frames<'a>; 2]>),
    Chart(Box<Timeline>),
}

impl<'a> Drawing<'a> {
    fn of(
        subject: Subject<'a>,
        options: &PictureOptions,
        tree: Option<&'a CallTree>,
        inner: f64,
    ) -> Result<Drawing<'a>> {
        let frames = |tree: Cow<'a, CallTree>| Frames::new(tree, subject, options, inner);
        let upright = |tree: &'a CallTree| {
            // Who wants every frame drawn gets it.
            let rows = if options.min_width > 0.0 { rows_that_matter(tree) } else { options.max_rows };
            let max_rows = options.max_rows.min(rows);
            let options = PictureOptions { max_rows, ..options.clone() };
            let frames = Box::new(Frames::new(Cow::Borrowed(tree), subject, &options, inner));
            Drawing::Tree { frames, is_root_below: true }
        };
        let hanging = |tree: &'a CallTree| {
            let frames = Box::new(frames(Cow::Borrowed(tree)));
            Drawing::Tree { frames, is_root_below: false }
        };
        match subject {
            Subject::Diff(Difference { diff, .. }) if options.shape == Shape::Icicle => Ok(hanging(&diff.tree)),
            Subject::Diff(Difference { diff, .. }) => Ok(upright(&diff.tree)),
            Subject::Beside { both: profile, view, .. } | Subject::Profile { profile, view } => {
                match (options.shape, tree) {
                    (Shape::Flame, Some(tree)) => Ok(upright(tree)),
                    (Shape::Icicle | Shape::Reverse, Some(tree)) => Ok(hanging(tree)),
                    (Shape::Chart, _) if options.palette == Palette::Own => Err(Error::new(
                        ErrorKind::Usage,
                        "the palette self is not of a chart: its spans are not added up",
                    )
                    .with_hint("type, binary and hash are")),
                    (Shape::Chart, _) if profile.samples.is_empty() => Ok(Drawing::Chart(Box::new(Timeline {
                        names: Default::default(),
                        start: 0,
                        end: 0,
                        lanes: Vec::new(),
                        event: String::new(),
                        unit: crate::model::Unit::Count,
                        without_time: 0,
                    }))),
                    (Shape::Chart, _) => {
                        let timeline = Timeline::build(profile, view).map(|mut timeline| {
                            if matches!(subject, Subject::Beside { .. }) {
                                beside::pair(&mut timeline);
                            }
                            Drawing::Chart(Box::new(timeline))
                        });
                        timeline.ok_or_else(|| {
                            Error::new(ErrorKind::Usage, "samples without times cannot be drawn as a flame chart")
                                .with_hint(WITH_TIMES)
                        })
                    }
                    _ => {
                        let Sandwich { callers, callees } = sandwich(profile, view, options)?;
                        let [callers, callees] = [callers, callees].map(|tree| frames(Cow::Owned(tree)));
                        Ok(Drawing::Sandwich(Box::new([callers, callees])))
                    }
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Drawing::Tree { frames, .. } => frames.layout.tiles.is_empty(),
            Drawing::Sandwich(_) => false,
            Drawing::Chart(timeline) => timeline.lanes.is_empty(),
        }
    }

    fn rows(&self, options: &PictureOptions) -> u32 {
        match self {
            Drawing::Tree { frames, .. } => frames.layout.rows,
            Drawing::Sandwich(halves) => halves[0].layout.rows - 1 + halves[1].layout.rows,
            Drawing::Chart(timeline) => chart::rows(timeline, options.max_rows),
        }
    }

    fn legend(&self, subject: Subject<'_>, options: &PictureOptions) -> Block {
        match self {
            _ if subject.difference().is_some() => {
                page::legend_of_changes(subject.difference().and_then(|difference| difference.comparison))
            }
            Drawing::Tree { frames, .. } => {
                let drawn = [(&*frames.tree, &frames.layout)];
                page::legend(&drawn, subject, options.palette, options.shape == Shape::Reverse)
            }
            Drawing::Sandwich(halves) => {
                let halves = halves.each_ref().map(|half| (&*half.tree, &half.layout));
                page::legend(&halves, subject, options.palette, false)
            }
            Drawing::Chart(timeline) => page::legend_of_chart(timeline, subject.profile(), options.palette),
        }
    }

    /// Paints it; returns what is not drawn one by one, in words.
    fn paint(&self, painter: &mut Painter, subject: Subject<'_>, inner: f64, options: &PictureOptions) -> Vec<String> {
        match self {
            Drawing::Tree { frames, is_root_below } => {
                let last = frames.layout.rows.saturating_sub(1);
                frames.paint(painter, &|row| if *is_root_below { last - row } else { row });
                merged(&frames.layout, inner).into_iter().collect()
            }
            Drawing::Sandwich(halves) => {
                let [callers, callees] = &**halves;
                let middle = callers.layout.rows.saturating_sub(1);
                callers.paint(painter, &|row| middle - row);
                callees.paint(painter, &|row| middle + row);
                [merged(&callers.layout, inner), merged(&callees.layout, inner)].into_iter().flatten().collect()
            }
            Drawing::Chart(timeline) => {
                chart::paint(timeline, subject, painter, inner, options.palette, options.max_rows)
            }
        }
    }
}

/// A picture with the root below begins, for who opens it, with its highest row: spires of a few samples would be all that is seen. So
/// rows that hold less than this share of the width together are gathered, as what is too deep is.
const SPIRES: f64 = 0.01;
/// So many rows fit on a screen.
const ROWS_OF_A_SCREEN: u32 = 40;

fn rows_that_matter(tree: &CallTree) -> u32 {
    let deepest = tree.nodes.iter().map(|node| node.depth).max().unwrap_or(0);
    let mut widths = vec![0u64; deepest as usize + 1];
    for node in &tree.nodes {
        let width = &mut widths[node.depth as usize];
        *width = width.saturating_add(node.total_value);
    }
    let least = (SPIRES * tree.root().total_value as f64) as u64;
    let rows = widths.iter().rposition(|width| *width > least).map_or(1, |depth| depth as u32 + 1);
    // One more holds what is gathered.
    (rows + 1).max(ROWS_OF_A_SCREEN)
}

/// Both halves around the function that is asked for.
fn sandwich(profile: &Profile, view: &View, options: &PictureOptions) -> Result<Sandwich> {
    let name = options.function.as_deref().unwrap_or_default();
    Sandwich::build(profile, view, name).ok_or_else(|| {
        let tree = CallTree::build(profile, view);
        let near: Vec<String> = functions_like(&tree, name).into_iter().take(5).map(shown).collect();
        let hint = match (name, near.is_empty()) {
            ("", _) => "name one: --function NAME".to_owned(),
            (_, true) => "`-f top` lists the functions that there are".to_owned(),
            (_, false) => format!("there are {}", near.join(", ")),
        };
        let what = if name.is_empty() {
            "a sandwich is of a function".into()
        } else {
            format!("no function {} was sampled", shown(name))
        };
        Error::new(ErrorKind::Usage, what).with_hint(hint)
    })
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
