//! Debug information from debuginfod servers: which files are worth it, from where they come, and where they are kept.
//!
//! Nothing is asked of any server unless the user names one or says that those of his system are to be asked: a build id tells
//! a stranger what runs here. What comes is believed only if it is an ELF file with the build id that was asked for.
//!
//! ```text
//! Profile --hot--> Wanted (build id, share) --Downloads--> Client (one request) --> Part --> Cache --> images, by build id
//!                                               |  3 threads, largest share first         \-> not it: thrown away, counted
//!                                                \-> Report: what came, and why the rest did not
//! ```
//!
//! The cache is the one that elfutils and gdb have, so that each file is fetched once on a machine; it is read even if no
//! server may be asked, as its files prove themselves. Without the cargo feature `debuginfod` there is no HTTP, and
//! [`Settings::from_environment`] says so.

mod cache;
mod client;
mod downloads;
mod hot;
mod proof;
mod report;
mod settings;

pub use cache::{Cache, Kind};
pub use downloads::{Downloads, DownloadsProgress};
pub use hot::{Wanted, hot};
pub use report::{Failure, Report};
pub use settings::Settings;
