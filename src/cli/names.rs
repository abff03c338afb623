//! What both `record` and `import` take about names: where the files are that have them.

use std::path::PathBuf;

use clap::Args;

/// Where names are looked for.
#[derive(Args, Debug)]
pub struct NamesArgs {
    /// A folder of debug files or binaries by build id, of perf's or the distribution's layout; may be repeated
    #[arg(long, value_name = "FOLDER", help_heading = "Names")]
    pub debug_dir: Vec<PathBuf>,
    /// The root of a copy of the files that the recorded programs saw
    #[arg(long, value_name = "FOLDER", help_heading = "Names")]
    pub sysroot: Option<PathBuf>,
}
