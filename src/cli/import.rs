//! `profile import`: read, then write.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use flameprofile::import::{ImportOptions, Input, import};
use flameprofile::model::Filter;
use flameprofile::{Error, ErrorKind, Result};

use super::args::ImportArgs;
use super::progress::ProgressLine;
use super::render::Outlet;
use super::signals;

/// Imports as the arguments say, and writes the result.
pub fn run(args: &ImportArgs) -> Result<ExitCode> {
    let outlet = Outlet::open(&args.output)?;
    outlet.refuse_records()?;
    outlet.refuse_inputs(&args.files)?;
    if args.files.iter().filter(|file| **file == Path::new("-")).count() > 1 {
        return Err(
            Error::new(ErrorKind::Usage, "standard input is named twice").with_hint("- may stand once among the files")
        );
    }
    let options = ImportOptions {
        from: args.from,
        names: args.output.names(),
        event: args.event.clone(),
        filter: Filter {
            time: args.time.unwrap_or_default(),
            pids: args.pid.clone(),
            tids: args.tid.clone(),
            comms: args.comm.clone(),
            cpus: args.cpu.as_ref().map(|cpus| cpus.as_slice().to_vec()).unwrap_or_default(),
        },
        debug_dirs: args.names.debug_dir.clone(),
        sysroot: args.names.sysroot.clone(),
        kallsyms: args.kallsyms.clone(),
        vmlinux: args.vmlinux.clone(),
        user_stacks: args.unwind.into(),
        ..ImportOptions::default()
    };
    signals::set_on_signal(&options.stop)?;
    let input = |path: &PathBuf| match path == Path::new("-") {
        true => Input::stdin(),
        false => Input::Path(path.clone()),
    };
    let inputs = args.files.iter().map(input).collect();
    let mut progress = ProgressLine::new(!args.output.quiet, None);
    let profile = import(inputs, &options, &mut |state| progress.show_import(state));
    progress.clear();
    outlet.write(&profile?, None)?;
    Ok(ExitCode::SUCCESS)
}
