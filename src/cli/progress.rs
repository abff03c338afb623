//! One line on the terminal while a recording runs or is read.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use flameprofile::debuginfod::DownloadsProgress;
use flameprofile::import::ImportProgress;
use flameprofile::model::Unit;
use flameprofile::render::name::printable;
use flameprofile::render::number::{grouped, percent, quantity};
use flameprofile::session::Progress;

/// Shows how far a recording is, on standard error if that is a terminal.
#[derive(Debug)]
pub struct ProgressLine {
    shown: bool,
    on: bool,
    whole: Option<Duration>,
    /// Where no terminal is: the file whose download has its line.
    told: Option<String>,
}

impl ProgressLine {
    /// For a recording of `whole` length, if that is known; shows nothing if it is not `wanted`.
    pub fn new(wanted: bool, whole: Option<Duration>) -> ProgressLine {
        ProgressLine { shown: false, on: wanted && std::io::stderr().is_terminal(), whole, told: None }
    }

    /// For downloads. `DEBUGINFOD_PROGRESS` asks for lines where no terminal is, too (`debuginfod_find_debuginfo(3)`).
    pub fn of_downloads(wanted: bool) -> ProgressLine {
        let line = ProgressLine::new(wanted, None);
        let told = (!line.on && std::env::var_os("DEBUGINFOD_PROGRESS").is_some()).then(String::new);
        ProgressLine { told, ..line }
    }

    /// Shows how far downloads are.
    pub fn show_downloads(&mut self, progress: &DownloadsProgress) {
        let DownloadsProgress { done, of, name, bytes, of_bytes } = progress;
        let name = printable(name);
        if self.on {
            let whole = of_bytes.map(|of| format!(" of {}", quantity(of, Unit::Bytes))).unwrap_or_default();
            let read = quantity(*bytes, Unit::Bytes);
            self.write(&format!("debug files: {done} of {of} done; {name}: {read}{whole} (Ctrl-C ends it)"));
        } else if let Some(told) = &mut self.told
            && *told != name
        {
            let _ = writeln!(std::io::stderr(), "debug files: {done} of {of} done; fetching that of {name}");
            *told = name.into_owned();
        }
    }

    /// Shows the state.
    pub fn show(&mut self, progress: Progress) {
        if !self.on {
            return;
        }
        let text = match progress {
            Progress::Recording { elapsed, samples, lost } => {
                let whole = self.whole.map_or(String::new(), |whole| format!(" of {}", seconds(whole)));
                let lost = if lost > 0 { format!(", {} lost", grouped(lost)) } else { String::new() };
                format!("recording {}{whole}: {} samples{lost} (Ctrl-C ends it)", seconds(elapsed), grouped(samples))
            }
            Progress::Naming => "looking up names".to_owned(),
        };
        self.write(&text);
    }

    /// Shows how far a series of recordings is.
    pub fn show_series(&mut self, text: &str) {
        if self.on {
            self.write(text);
        }
    }

    /// Shows how far reading is.
    pub fn show_import(&mut self, progress: ImportProgress) {
        if !self.on {
            return;
        }
        let read = quantity(progress.bytes, Unit::Bytes);
        // Of a compressed or mapped file, reading is not all of the work.
        self.write(&match progress.of {
            Some(all) if progress.bytes < all => {
                let share = percent(progress.bytes as f64 / all as f64);
                format!("reading: {read} ({share} of {}; Ctrl-C keeps what is read)", quantity(all, Unit::Bytes))
            }
            Some(_) => format!("read {read}, looking up names"),
            None => format!("reading: {read} (Ctrl-C keeps what is read)"),
        });
    }

    /// Shows how many runs of a comparison are read.
    pub fn show_runs(&mut self, done: usize, of: usize) {
        if self.on {
            self.write(&format!("reading: {done} of {of} runs"));
        }
    }

    fn write(&mut self, text: &str) {
        self.shown = true;
        let _ = write!(std::io::stderr(), "\r\x1b[K{text}");
    }

    /// Takes the line away.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{}:{:02} min", seconds as u64 / 60, seconds as u64 % 60)
    }
}
