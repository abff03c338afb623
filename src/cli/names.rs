//! What both `record` and `import` take about names: where the files are that have them.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use flameprofile::Result;
use flameprofile::debuginfod::{Downloads, Settings};

/// Where names are looked for.
#[derive(Args, Debug)]
pub struct NamesArgs {
    /// A folder of debug files or binaries by build id, of perf's or the distribution's layout; may be repeated
    #[arg(long, value_name = "FOLDER", help_heading = "Names")]
    pub debug_dir: Vec<PathBuf>,
    /// The root of a copy of the files that the recorded programs saw
    #[arg(long, value_name = "FOLDER", help_heading = "Names")]
    pub sysroot: Option<PathBuf>,
    /// Fetch debug files of hot programs and libraries from these servers, which are told their build ids [default servers:
    /// those of DEBUGINFOD_URLS, else of /etc/debuginfod/*.urls]. A file given by -o is written at once and again when they are
    /// here; for standard output they are waited for, 30 s at most. Ctrl-C ends the waiting
    #[arg(
        long,
        value_name = "URL ..",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        help_heading = "Names"
    )]
    pub debuginfod: Option<String>,
}

impl NamesArgs {
    /// Who fetches debug files; nobody unless that is asked for.
    pub fn downloads(&self) -> Result<Option<Arc<Downloads>>> {
        let settings = self.debuginfod.as_deref().map(Settings::from_environment).transpose()?;
        Ok(settings.map(|settings| Arc::new(Downloads::new(settings))))
    }
}
