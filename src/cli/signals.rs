//! Ctrl-C and its kin end a recording and keep its result.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use flameprofile::session::Stop;
use flameprofile::{Error, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// From now on the first of these signals presses `stop` and sets the flag that is returned; one that finds it set ends the program
/// at once.
pub fn press_on_signal(stop: &Stop) -> Result<Arc<AtomicBool>> {
    let failed = |error| Error::io("cannot listen for signals", error);
    let pressed = Arc::new(AtomicBool::new(false));
    let ignored = ignored_signals();
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // `nohup` and the like: what we were told to ignore stays ignored, for a command too.
        if ignored & (1 << (signal - 1)) != 0 {
            continue;
        }
        // In this order: the first signal finds the flag unset, and sets it.
        signal_hook::flag::register_conditional_default(signal, pressed.clone()).map_err(failed)?;
        signal_hook::flag::register(signal, pressed.clone()).map_err(failed)?;
        signal_hook::low_level::pipe::register(signal, stop.writer().map_err(failed)?).map_err(failed)?;
    }
    Ok(pressed)
}

/// From now on the first of these signals sets `flag`; the second ends the program at once.
pub fn set_on_signal(flag: &Arc<AtomicBool>) -> Result<()> {
    let failed = |error| Error::io("cannot listen for signals", error);
    let ignored = ignored_signals();
    for signal in [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| ignored & (1 << (signal - 1)) == 0) {
        // In this order: the first signal finds the flag unset, and sets it.
        signal_hook::flag::register_conditional_default(signal, flag.clone()).map_err(failed)?;
        signal_hook::flag::register(signal, flag.clone()).map_err(failed)?;
    }
    Ok(())
}

/// The signals that whoever started us had us ignore: `SigIgn` of `/proc/self/status` (`proc_pid_status(5)`).
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
