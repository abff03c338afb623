//! The flame chart: a lane a thread, in order of time.
//!
//! ```text
//! |0          |200 ms     |400 ms     |600 ms       an axis, whose lines go down to the last lane
//! worker-4122: 1.20 s, 119 samples                  a lane: whose it is, its spans, a free row
//! [main                             ] [main    ]
//! [read_all   ][parse               ] [read_all]
//! ```

use std::fmt::Write;

use rustc_hash::FxHashMap;

use super::escape::shown;
use super::frames::tell;
use super::paint::{Mark, Painter, Sign};
use super::palette;
use crate::analyze::{Lane, Span, Timeline};
use crate::model::{FrameKind, Profile, Unit};
use crate::render::comparison_data;
use crate::render::difference::Difference;
use crate::render::evidence::{Evidence, Strength};
use crate::render::name::{base_name, printable};
use crate::render::number::{count_of, quantity};
use crate::render::picture::{Palette, Subject};

/// The row of the axis is the first.
const AXIS: u32 = 1;
/// So far apart, in pixels, are the lines of the axis at least: a label has room between them.
const TICK: f64 = 90.0;

/// How many rows the axis and all lanes take: a line for its name above each lane, and one free below.
pub(super) fn rows(timeline: &Timeline, max_rows: u32) -> u32 {
    let lanes = shown_lanes(timeline, max_rows).map(|(_, _, rows)| rows + 2).sum::<u32>();
    if lanes == 0 { 0 } else { AXIS + lanes }
}

/// The file that the code of a span is in.
pub(super) fn image<'a>(span: &Span, profile: &'a Profile) -> Option<&'a str> {
    let image = profile.images.get(span.image?.index())?;
    Some(base_name(profile.strings.get(image.path)))
}

/// What the span of each lane has that none further in has, in nanoseconds.
pub(super) fn own_times(timeline: &Timeline) -> impl Iterator<Item = (&Span, u64)> {
    timeline.lanes.iter().flat_map(|lane| {
        let mut own: Vec<u64> = lane.spans.iter().map(|span| span.end - span.start).collect();
        // The span that is open in each row.
        let mut open = vec![0; lane.rows as usize];
        for (at, span) in lane.spans.iter().enumerate() {
            if let Some(outer) = span.row.checked_sub(1) {
                let outer = &mut own[open[outer as usize]];
                *outer = outer.saturating_sub(span.end - span.start);
            }
            open[span.row as usize] = at;
        }
        lane.spans.iter().zip(own)
    })
}

/// Where the lines of an axis over so many nanoseconds are, in pixels, and what they say.
fn ticks(length: u64, inner: f64) -> Vec<(f64, String)> {
    let most = (inner / TICK).max(1.0);
    let mut step = 1u64;
    // 1, 2, 5, 10, 20, 50, ...
    for factor in [2.0, 2.5, 2.0].into_iter().cycle() {
        if length as f64 / step as f64 <= most || step > u64::MAX / 3 {
            break;
        }
        step = (step as f64 * factor) as u64;
    }
    let at = |number: u64| (number * step) as f64 * inner / length.max(1) as f64;
    let label = |number| if number == 0 { "0".to_owned() } else { quantity(number * step, Unit::Nanoseconds) };
    (0..=length / step).map(|number| (at(number), label(number))).collect()
}

/// The lanes that there is room for, where they begin, and how many of their rows are drawn.
fn shown_lanes(timeline: &Timeline, max_rows: u32) -> impl Iterator<Item = (&Lane, u32, u32)> {
    let mut top = AXIS;
    timeline.lanes.iter().map_while(move |lane| {
        let begin = top;
        let rows = lane.rows.min(max_rows.saturating_sub(begin + 2));
        top += rows + 2;
        (rows > 0).then_some((lane, begin, rows))
    })
}

/// Spans of fewer pixels are gathered with their neighbours: a long recording has millions.
const SHORT: f64 = 0.8;

fn gather(painter: &mut Painter, (begin, end, count): (f64, f64, u64), row: u32) {
    let name = count_of(count, "short span");
    let (width, fill) = (end - begin, palette::MERGED);
    let mark = Mark { x: begin, width, row, fill, edge: None, sign: Sign::None, name: &name };
    painter.mark(mark, |_| {});
}

/// What is known of how functions changed, where both sides are drawn.
enum Changes<'a> {
    Nothing,
    Tested(Evidence<'a>),
    /// Own and inclusive, -1..1, by name and kind.
    Counted(FxHashMap<(String, FrameKind), (f64, f64)>),
}

impl<'a> Changes<'a> {
    fn of(subject: Subject<'a>) -> Changes<'a> {
        match subject.difference() {
            None => Changes::Nothing,
            Some(Difference { comparison: Some(comparison), .. }) => Changes::Tested(Evidence::new(comparison)),
            Some(difference) => {
                let changes = comparison_data::changes(difference);
                Changes::Counted(changes.into_iter().map(|(name, kind, own, all)| ((name, kind), (own, all))).collect())
            }
        }
    }

    /// The fill and the edge of a span, and its sign; nothing where only one side is drawn.
    fn look(&self, name: &str, kind: FrameKind) -> Option<(String, Option<String>, Sign)> {
        match self {
            Changes::Nothing => None,
            Changes::Tested(evidence) => {
                let known = evidence.of(name, kind);
                let ((own, strength), (all, edge)) =
                    (evidence.of_function(known.own), evidence.of_function(known.inclusive));
                let sign = Sign::of(known.own, own).or(Sign::of(known.inclusive, all));
                Some((palette::change(own, strength), palette::edge(all, edge), sign))
            }
            Changes::Counted(changes) => {
                let kind = if kind == FrameKind::Inlined { FrameKind::User } else { kind };
                let (own, all) = changes.get(&(name.to_owned(), kind)).copied().unwrap_or_default();
                Some((palette::change(own, Strength::Strong), palette::edge(all, Strength::Strong), Sign::None))
            }
        }
    }
}

/// Paints the lanes; returns what is not drawn, in words.
pub(super) fn paint(
    timeline: &Timeline,
    subject: Subject<'_>,
    painter: &mut Painter,
    inner: f64,
    palette: Palette,
    max_rows: u32,
) -> Vec<String> {
    let length = (timeline.end - timeline.start).max(1) as f64;
    let scale = inner / length;
    let (profile, changes) = (subject.profile(), Changes::of(subject));
    if !timeline.lanes.is_empty() {
        painter.axis(&ticks(timeline.end - timeline.start, inner), rows(timeline, max_rows), inner);
    }
    let (mut lanes, mut deeper) = (0, 0u64);
    for (lane, top, rows) in shown_lanes(timeline, max_rows) {
        lanes += 1;
        let of = match lane.name.starts_with(&lane.process) {
            true => String::new(),
            false => format!(" ({})", lane.process),
        };
        let text =
            format!("{}{of}: {}, {}", lane.name, quantity(lane.value, timeline.unit), count_of(lane.samples, "sample"));
        painter.line(top, &printable(&text), inner);
        // What is too short to be pointed at, by row: where it began and ends, and how many there are.
        let mut short: Vec<(f64, f64, u64)> = vec![(0.0, 0.0, 0); rows as usize];
        for span in &lane.spans {
            if span.row >= rows {
                deeper += 1;
                continue;
            }
            let name = timeline.names.get(span.name);
            let (x, width) = (span.start as f64 * scale, (span.end - span.start) as f64 * scale);
            let run = &mut short[span.row as usize];
            if run.2 > 0 && (width >= SHORT || x - run.1 > SHORT) {
                gather(painter, *run, top + 1 + span.row);
                run.2 = 0;
            }
            if width < SHORT {
                *run = (if run.2 == 0 { x } else { run.0 }, x + width, run.2 + 1);
                continue;
            }
            let (fill, edge, sign) = changes.look(name, span.kind).unwrap_or_else(|| {
                (palette::fill(palette, span.kind, name, image(span, profile), 0.0), None, Sign::None)
            });
            let text = shown(name);
            let (row, edge) = (top + 1 + span.row, edge.as_deref());
            let mark = Mark { x, width, row, fill: &fill, edge, sign, name: &text };
            painter.mark(mark, |details| {
                if let Changes::Tested(evidence) = &changes {
                    tell(details, evidence, &evidence.of(name, span.kind), name);
                }
                let _ = write!(
                    details,
                    "{} from {}, {}",
                    quantity(span.end - span.start, Unit::Nanoseconds),
                    quantity(span.start, Unit::Nanoseconds),
                    count_of(span.samples, "sample")
                );
                let kind = (span.kind != FrameKind::User).then(|| palette::kind_name(span.kind).to_owned());
                for (at, part) in kind.into_iter().chain(image(span, profile).map(shown)).enumerate() {
                    let _ = write!(details, "{}{part}", if at == 0 { "\n" } else { ", " });
                }
            });
        }
        for (row, run) in short.into_iter().enumerate().filter(|(_, run)| run.2 > 0) {
            gather(painter, run, top + 1 + row as u32);
        }
    }
    let mut left = Vec::new();
    if lanes < timeline.lanes.len() {
        left.push(format!("{} not drawn, each with less", count_of((timeline.lanes.len() - lanes) as u64, "thread")));
    }
    if deeper > 0 {
        left.push(format!("{} deeper than the picture not drawn", count_of(deeper, "span")));
    }
    if timeline.without_time > 0 {
        left.push(format!("{} without a place in time", quantity(timeline.without_time, timeline.unit)));
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_have_room() {
        let check = |length: u64, inner: f64, expected: &[&str]| {
            let ticks = ticks(length, inner);
            assert_eq!(ticks.iter().map(|(_, label)| label.as_str()).collect::<Vec<_>>(), expected);
            assert!(ticks.windows(2).all(|two| two[1].0 - two[0].0 >= TICK - 1e-9));
            assert!(ticks.iter().all(|(x, _)| (0.0..=inner).contains(x)));
        };
        check(
            1_000_000_000,
            1_180.0,
            &["0", "100 ms", "200 ms", "300 ms", "400 ms", "500 ms", "600 ms", "700 ms", "800 ms", "900 ms", "1.00 s"],
        );
        check(1_000_000_000, 300.0, &["0", "500 ms", "1.00 s"]);
        check(7_300, 300.0, &["0", "5.00 µs"]);
        check(1, 300.0, &["0", "1 ns"]);
        check(0, 300.0, &["0"]);
        assert!(ticks(u64::MAX, 1_180.0).len() > 3);
    }
}
