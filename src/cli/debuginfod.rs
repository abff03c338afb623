//! `--debuginfod`: the first picture is not waited with; a second one has the names that came.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use flameprofile::Result;
use flameprofile::debuginfod::{Downloads, Report, Settings, hot};
use flameprofile::model::Profile;

use super::progress::ProgressLine;
use super::render::Outlet;

/// How long standard output, which is written once, is kept waiting.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked whether to go on waiting.
const BEAT: Duration = Duration::from_millis(100);

/// Fetches what would tell more of a profile, and has `name_again` name its frames with that; the picture as it is now is written
/// before, if it can be written twice. Ends early once `stop` is set.
///
/// That no picture can be written fails; that no debug information comes is a note in the profile's figures.
pub fn complete(
    profile: &mut Profile,
    settings: Settings,
    outlet: &Outlet<'_>,
    stop: &AtomicBool,
    name_again: impl FnOnce(&mut Profile, &Report) -> Result<()>,
) -> Result<()> {
    let wanted = hot(profile);
    if wanted.is_empty() {
        profile
            .stats
            .notes
            .push("debuginfod: nothing was asked for: all that is hot has debug information, or no build id".into());
        return Ok(());
    }
    let count = wanted.len();
    let servers = settings.servers.join(" ");
    let downloads = Downloads::start(settings, wanted)?;
    let patience = match outlet.write_before(profile)? {
        Some(path) => {
            if !outlet.is_quiet() {
                let files = if count == 1 { "debug file is" } else { "debug files are" };
                let said = format!("wrote {path}; {count} {files} asked for at {servers} (Ctrl-C keeps it as it is)\n");
                let _ = std::io::stderr().write_all(said.as_bytes());
            }
            None
        }
        None => Some(PATIENCE),
    };
    let mut progress = ProgressLine::of_downloads(!outlet.is_quiet());
    let began = Instant::now();
    while !downloads.wait(BEAT) {
        progress.show_downloads(&downloads.progress());
        if stop.load(Ordering::Relaxed) || patience.is_some_and(|patience| began.elapsed() >= patience) {
            break;
        }
    }
    progress.clear();
    let report = downloads.finish();
    if !report.arrived.is_empty() {
        name_again(profile, &report)?;
    }
    report.tell(&mut profile.stats);
    Ok(())
}
