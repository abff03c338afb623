//! Ctrl-C and its kin end a recording and keep its result.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use flameprofile::session::Stop;
use flameprofile::{Error, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// From now on the first of these signals presses `stop`; the second ends the program at once.
pub fn press_on_signal(stop: &Stop) -> Result<()> {
    let failed = |error| Error::io("cannot listen for signals", error);
    let pressed = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // In this order: the first signal finds the flag unset, and sets it.
        signal_hook::flag::register_conditional_default(signal, pressed.clone()).map_err(failed)?;
        signal_hook::flag::register(signal, pressed.clone()).map_err(failed)?;
        signal_hook::low_level::pipe::register(signal, stop.writer().map_err(failed)?).map_err(failed)?;
    }
    Ok(())
}
