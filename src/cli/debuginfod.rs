//! `--debuginfod`: the first picture is not waited with; a second one has the names that came.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use flameprofile::Result;
use flameprofile::debuginfod::{Downloads, Report, hot};
use flameprofile::model::{BuildId, Profile};

use super::progress::ProgressLine;
use super::render::Outlet;

/// How long standard output, which is written once, is kept waiting.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked whether to go on waiting.
const BEAT: Duration = Duration::from_millis(100);

/// Has what would tell more of a profile fetched, and has `name_again` name its frames with that; the picture as it is now is written
/// before, if it can be written twice and there is something to wait for. Ends early once `stop` is set.
///
/// That no picture can be written fails; that no debug information comes, or that frames cannot be named with it, is a note in the
/// profile's figures: what was recorded is there all the same.
pub fn complete(
    profile: &mut Profile,
    downloads: &Downloads,
    outlet: &Outlet<'_>,
    stop: &AtomicBool,
    name_again: impl FnOnce(&mut Profile, &Report) -> Result<()>,
) -> Result<()> {
    let hot = hot(profile);
    let wanted: BTreeSet<BuildId> = hot.iter().map(|wanted| wanted.build_id).collect();
    if let Err(error) = downloads.add(hot) {
        profile.stats.notes.push(format!("debuginfod: {error}"));
        downloads.finish().tell(&mut profile.stats);
        return Ok(());
    }
    let before = downloads.progress();
    if before.of == 0 {
        let note = "debuginfod: nothing was asked for: what is hot has debug information, or no build id";
        profile.stats.notes.push(note.into());
        return Ok(());
    }
    if before.done < before.of && !wanted.is_empty() {
        wait(profile, downloads, outlet, stop)?;
    }
    let report = downloads.finish();
    // What came before the end was found when names were looked up.
    if report.arrived.iter().any(|arrived| wanted.contains(&arrived.build_id))
        && let Err(error) = name_again(profile, &report)
    {
        profile.stats.notes.push(format!("debuginfod: frames were not named with what came: {error}"));
    }
    report.tell(&mut profile.stats);
    Ok(())
}

fn wait(profile: &Profile, downloads: &Downloads, outlet: &Outlet<'_>, stop: &AtomicBool) -> Result<()> {
    let patience = match outlet.write_before(profile)? {
        Some(path) => {
            if !outlet.is_quiet() {
                let path = flameprofile::render::name::printable(&path);
                let servers = downloads.servers().join(" ");
                let said = format!("wrote {path}; debug files are asked for at {servers} (Ctrl-C keeps it as it is)\n");
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
    Ok(())
}
