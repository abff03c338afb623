//! The flame chart: a lane a thread, in order of time.

use std::fmt::Write;

use super::escape::shown;
use super::paint::{Mark, Painter, Sign};
use super::palette;
use crate::analyze::{Lane, Timeline};
use crate::model::{FrameKind, Unit};
use crate::render::name::printable;
use crate::render::number::{count_of, quantity};
use crate::render::picture::Palette;

/// How many rows all lanes take: a line for its name above each, and one free below.
pub(super) fn rows(timeline: &Timeline, max_rows: u32) -> u32 {
    shown_lanes(timeline, max_rows).map(|(_, _, rows)| rows + 2).sum()
}

/// The lanes that there is room for, where they begin, and how many of their rows are drawn.
fn shown_lanes(timeline: &Timeline, max_rows: u32) -> impl Iterator<Item = (&Lane, u32, u32)> {
    let mut top = 0;
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
    let mark = Mark { x: begin, width: end - begin, row, fill: palette::MERGED, sign: Sign::None, name: &name };
    painter.mark(mark, |_| {});
}

/// Paints the lanes; returns what is not drawn, in words.
pub(super) fn paint(
    timeline: &Timeline,
    painter: &mut Painter,
    inner: f64,
    palette: Palette,
    max_rows: u32,
) -> Vec<String> {
    let length = (timeline.end - timeline.start).max(1) as f64;
    let scale = inner / length;
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
            let fill = palette::fill(palette, span.kind, name, None, 0.0);
            let text = shown(name);
            let mark = Mark { x, width, row: top + 1 + span.row, fill: &fill, sign: Sign::None, name: &text };
            painter.mark(mark, |details| {
                let _ = write!(
                    details,
                    "{} from {}, {}",
                    quantity(span.end - span.start, Unit::Nanoseconds),
                    quantity(span.start, Unit::Nanoseconds),
                    count_of(span.samples, "sample")
                );
                if span.kind != FrameKind::User {
                    let _ = write!(details, "\n{}", palette::kind_name(span.kind));
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
