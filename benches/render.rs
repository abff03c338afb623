//! How long a tree, an SVG and folded stacks take, of sketches of many frames.
//!
//! `cargo bench --bench render`. The least of five times is printed; there is no peer, so it is the growth that tells.

#[path = "../tests/common/sketch.rs"]
mod sketch;

use std::time::{Duration, Instant};

use flameprofile::analyze::{CallTree, View};
use flameprofile::render::folded::{self, FoldedOptions};
use flameprofile::render::{PictureOptions, svg};

/// Rounds of each.
const ROUNDS: usize = 5;

fn main() {
    for (frames, samples) in [(5_000, 20_000), (20_000, 20_000), (41_000, 100_000), (250_000, 500_000)] {
        let profile = sketch::large(frames, samples);
        let view = View::default();
        let tree = CallTree::build(&profile, &view);
        let build = best(|| drop(CallTree::build(&profile, &view)));
        let text = best(|| folded::write(&profile, &view, &FoldedOptions::default(), &mut Vec::new()).unwrap());
        println!("{} nodes, {samples} samples: tree {build:?}, folded {text:?}", tree.nodes.len());
        for min_width in [0.1, 0.0] {
            let options = PictureOptions { min_width, ..PictureOptions::default() };
            let mut out = Vec::new();
            let draw = best(|| {
                out.clear();
                svg::write(&profile, &View::default(), &options, &mut out).unwrap();
            });
            println!("  svg, min width {min_width}: {draw:?}, {} kB", out.len() / 1000);
        }
    }
}

fn best(mut act: impl FnMut()) -> Duration {
    let time = |_| {
        let began = Instant::now();
        act();
        began.elapsed()
    };
    (0..ROUNDS).map(time).min().unwrap_or_default()
}
