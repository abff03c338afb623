//! Ctrl-C and its kin end a recording and keep its result.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use flameprofile::session::Stop;
use flameprofile::{Error, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::output;

/// What comes within this time of the first signal is the same request: `timeout(1)` and service managers signal a process, and then
/// its group.
const SAME: Duration = Duration::from_secs(1);

/// From now on the first of these signals presses `stop` and sets the flag that is returned; a later one that finds it set ends the
/// program at once.
pub fn press_on_signal(stop: &Stop) -> Result<Arc<AtomicBool>> {
    let (pressed, stop) = (Arc::new(AtomicBool::new(false)), stop.clone());
    listen(&pressed, move || stop.press())?;
    Ok(pressed)
}

/// From now on the first of these signals sets `flag`; a later one ends the program at once.
pub fn set_on_signal(flag: &Arc<AtomicBool>) -> Result<()> {
    listen(flag, || {})
}

fn listen(flag: &Arc<AtomicBool>, press: impl Fn() + Send + 'static) -> Result<()> {
    let failed = |error| Error::io("cannot listen for signals", error);
    let ignored = ignored_signals();
    // `nohup` and the like: what we were told to ignore stays ignored, for a command too.
    let ours = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| ignored & (1 << (signal - 1)) == 0);
    let mut signals = Signals::new(ours).map_err(failed)?;
    let flag = flag.clone();
    let work = move || {
        let mut first = Instant::now();
        for signal in signals.forever() {
            if !flag.swap(true, Ordering::Relaxed) {
                first = Instant::now();
                press();
            } else if first.elapsed() >= SAME {
                output::abandon();
                let _ = std::io::stderr()
                    .write_all(b"profile: ended at once by a second signal; the result is not written\n");
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(work).map(drop).map_err(failed)
}

/// The signals that whoever started us had us ignore: `SigIgn` of `/proc/self/status` (`proc_pid_status(5)`).
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
