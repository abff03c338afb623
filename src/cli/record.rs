//! `profile record`: sample, then write.

use std::io::{IsTerminal, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitCode};
use std::time::{Duration, Instant};

use flameprofile::analyze::{CallTree, View};
use flameprofile::model::{EventId, Profile};
use flameprofile::recorder::UserStacks;
use flameprofile::render::folded::FoldedOptions;
use flameprofile::render::svg::SvgOptions;
use flameprofile::render::top::TopOptions;
use flameprofile::render::{folded, summary, svg, top, warnings};
use flameprofile::sampler::choose::Side;
use flameprofile::sampler::{Sampling, Target};
use flameprofile::session::{Ended, RecordOptions, Stop, record};
use flameprofile::symbolize::SymbolizeOptions;
use flameprofile::{Error, ErrorKind, Result, export};

use super::args::{Format, RecordArgs, Unwind};
use super::output::{self, OutputFile};
use super::progress::ProgressLine;
use super::signals;
use super::style::{self, Paint};

/// Records as the arguments say, and writes the result.
pub fn run(args: &RecordArgs) -> Result<ExitCode> {
    let target = target(args)?;
    let named = args.output.as_deref().filter(|path| !output::is_stdout(path));
    let to_terminal = args.output.is_none() && std::io::stdout().is_terminal();
    let format =
        args.format.or_else(|| Format::of_path(named?)).unwrap_or(if to_terminal { Format::Top } else { Format::Svg });
    if let (Some(path), None) = (named, args.format)
        && path.extension().is_some()
        && Format::of_path(path).is_none()
    {
        return Err(Error::new(ErrorKind::Usage, format!("the name {} says no format", path.display()))
            .with_hint("name it .svg, .folded, .txt or .json, or say the format with -f"));
    }
    if named.is_some() && named == args.stats.as_deref() {
        return Err(Error::new(ErrorKind::Usage, "-o and --stats name the same file").with_hint("give them two names"));
    }
    // A wrong path is to be known before the recording, not after it.
    let file = named.map(OutputFile::create).transpose()?;
    let stats_file = args.stats.as_deref().map(OutputFile::create).transpose()?;

    let mut options = RecordOptions::new(target);
    options.cpus.clone_from(&args.cpu);
    options.event.clone_from(&args.event);
    options.sampling = args.count.map(Sampling::Period).or(args.freq.map(Sampling::Frequency));
    options.duration = args.duration;
    options.side = match (args.user, args.kernel) {
        (true, _) => Side::User,
        (_, true) => Side::Kernel,
        _ => Side::Both,
    };
    options.user_stacks = match args.unwind {
        Unwind::Auto => UserStacks::Auto,
        Unwind::Fp => UserStacks::FramePointers,
        Unwind::Dwarf => UserStacks::Dwarf,
        Unwind::None => UserStacks::None,
    };
    options.names = SymbolizeOptions {
        inlines: !args.no_inline,
        demangle: !args.no_demangle,
        full_names: args.full_names,
        ..SymbolizeOptions::default()
    };
    let is_command = matches!(options.target, Target::Command(_));
    // Our result goes to standard output: the command's own output must not get into it.
    options.command_output_to_stderr = is_command && file.is_none() && !to_terminal;

    let stop = Stop::new().map_err(|error| Error::io("cannot make a pipe", error))?;
    signals::press_on_signal(&stop)?;
    // A command writes to the terminal itself; a line of ours would get into its output.
    let mut progress = ProgressLine::new(!args.quiet && !is_command, args.duration);
    let recording = record(&options, &stop, &mut |state| progress.show(state));
    progress.clear();
    let recording = recording?;

    let bytes = rendered(&recording.profile, args, format, to_terminal)?;
    match file {
        Some(file) => file.finish(&bytes)?,
        None => output::to_stdout(&bytes)?,
    }
    let stats = &recording.profile.stats;
    if let Some(file) = stats_file {
        let mut json = serde_json::to_vec_pretty(&flameprofile::render::stats_json(stats)).unwrap_or_default();
        json.push(b'\n');
        file.finish(&json)?;
    }
    let paint = Paint::new(std::io::stderr().is_terminal());
    let mut text = if args.quiet { String::new() } else { summary(stats) };
    for warning in warnings(stats) {
        text += &format!("{} {warning}\n", paint.yellow("warning:"));
    }
    if let (Some(path), false) = (named, args.quiet) {
        text += &format!("wrote {}\n", path.display());
    }
    // With standard error closed there is nobody to tell.
    let _ = std::io::stderr().write_all(text.as_bytes());
    match recording.child {
        Some(child) => command_status(child, recording.ended),
        None => Ok(ExitCode::SUCCESS),
    }
}

fn target(args: &RecordArgs) -> Result<Target> {
    if !args.pid.is_empty() {
        return Ok(Target::Processes(args.pid.clone()));
    }
    if !args.tid.is_empty() {
        return Ok(Target::Threads(args.tid.clone()));
    }
    if let Some(cgroup) = &args.cgroup {
        return Ok(Target::Cgroup(cgroup.clone()));
    }
    if !args.command.is_empty() {
        return Ok(Target::Command(args.command.clone()));
    }
    if args.all || args.cpu.is_some() {
        return Ok(Target::System);
    }
    Err(Error::new(ErrorKind::Usage, "nothing to record is named").with_hint(
        "profile -p PID, profile -o out.svg -- COMMAND, or profile -a for the whole machine; profile --help has examples",
    ))
}

fn rendered(profile: &Profile, args: &RecordArgs, format: Format, to_terminal: bool) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if format == Format::Json {
        export::json::write(profile, &mut bytes)?;
        return Ok(bytes);
    }
    let tree = CallTree::build(profile, &View { per_thread: args.per_thread, event: EventId(0) });
    match format {
        Format::Svg => {
            let title = args.title.clone().unwrap_or_default();
            let default = SvgOptions::default();
            let options = SvgOptions { title, min_width: args.min_width.unwrap_or(default.min_width), ..default };
            svg::write(&tree, profile, &options, &mut bytes)?;
        }
        Format::Folded => folded::write(&tree, &FoldedOptions::default(), &mut bytes)?,
        Format::Top => {
            let width = if to_terminal { style::terminal_width() } else { None };
            let limit = to_terminal.then_some(30);
            let options = TopOptions { width, color: Paint::new(to_terminal).is_on(), limit };
            top::write(&tree, profile, &options, &mut bytes)?;
        }
        Format::Json => {}
    }
    Ok(bytes)
}

/// The command's own status, as a shell gives it: 128 and the signal's number if one ended it.
fn command_status(mut child: Child, ended: Ended) -> Result<ExitCode> {
    let failed = |error| Error::io("cannot wait for the command", error);
    let patience = Instant::now() + Duration::from_secs(1);
    let status = loop {
        match child.try_wait().map_err(failed)? {
            Some(status) => break status,
            None if Instant::now() < patience => std::thread::sleep(Duration::from_millis(10)),
            None => {
                let _ = writeln!(
                    std::io::stderr(),
                    "waiting for the command (process {}), which was told to end; Ctrl-C leaves it",
                    child.id()
                );
                break child.wait().map_err(failed)?;
            }
        }
    };
    if ended == Ended::Time {
        // It was we who ended it, as we were asked to.
        return Ok(ExitCode::SUCCESS);
    }
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(2);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(2)))
}
