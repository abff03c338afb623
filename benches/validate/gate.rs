//! The gate that is judged, called as `profile diff --gate` calls it.

use flameprofile::gate::{Matching, RunInput, Runs, Settings, Side};
use flameprofile::import::{ImportOptions, Input, import};

use super::found::Found;
use super::pool::Run;

/// What `settings` say of these runs.
pub fn evaluate(settings: &Settings, base: &[&Run], new: &[&Run]) -> Found {
    let mut all: Vec<(Side, &Run)> = base.iter().map(|run| (Side::Base, *run)).collect();
    all.extend(new.iter().map(|run| (Side::New, *run)));
    // Folded stacks have no times: the order is that of the recordings.
    all.sort_by(|a, b| a.1.started.total_cmp(&b.1.started));
    let mut runs = Runs::new(Matching::default(), false);
    for (order, (side, run)) in all.into_iter().enumerate() {
        let input = Input::Path(run.file.clone());
        let profile = import(vec![input], &ImportOptions::default(), &mut |_| ()).expect("a run that we recorded");
        let label = run.file.display().to_string();
        runs.add(side, RunInput { label, profile, work: 1.0, order: Some(order as u32), series: String::new() });
    }
    Found::of(&runs.compare(settings, None))
}
