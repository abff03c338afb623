//! `profile record`: sample, then write.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitCode};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use flameprofile::sampler::choose::Side;
use flameprofile::sampler::{Sampling, Target};
use flameprofile::session::{Ended, OffCpuOptions, RecordOptions, RecordedTime, Stop, record, record_perf_data};
use flameprofile::{Error, ErrorKind, Result};

use super::args::{RecordArgs, Unwind};
use super::debuginfod;
use super::progress::ProgressLine;
use super::render::Outlet;
use super::signals;

/// Records as the arguments say, and writes the result.
pub fn run(args: &RecordArgs) -> Result<ExitCode> {
    let target = target(args)?;
    let downloads = args.names.downloads()?;
    // A wrong path is to be known before the recording, not after it.
    let outlet = Outlet::open(&args.output)?;
    outlet.refuse_servers(downloads.is_some())?;
    outlet.refuse_comparisons()?;

    let time = time(args, &target)?;
    let mut options = RecordOptions::new(target);
    options.time = time;
    options.cpus.clone_from(&args.cpu);
    options.event.clone_from(&args.event);
    options.sampling = args.count.map(Sampling::Period).or(args.freq.map(Sampling::Frequency));
    options.duration = args.duration;
    options.side = match (args.user, args.kernel) {
        (true, _) => Side::User,
        (_, true) => Side::Kernel,
        _ => Side::Both,
    };
    options.user_stacks = args.unwind.into();
    if args.stack_size.is_some() && !matches!(args.unwind, Unwind::Auto | Unwind::Dwarf) {
        return Err(Error::new(
            ErrorKind::Usage,
            "--stack-size is for copies of the stack, which this --unwind takes none of",
        )
        .with_hint("leave one of them out, or use --unwind dwarf"));
    }
    options.stack_size = args.stack_size;
    options.bpf = args.bpf.into();
    options.names = outlet.names();
    options.debug_dirs.clone_from(&args.names.debug_dir);
    options.sysroot.clone_from(&args.names.sysroot);
    options.downloads.clone_from(&downloads);
    let is_command = matches!(options.target, Target::Command(_));
    // Our result goes to standard output: the command's own output must not get into it.
    options.command_output_to_stderr = is_command && outlet.is_piped();

    let stop = Stop::new().map_err(|error| Error::io("cannot make a pipe", error))?;
    let pressed = signals::press_on_signal(&stop)?;
    // A command writes to the terminal itself; a line of ours would get into its output.
    let mut progress = ProgressLine::new(!args.output.quiet && !is_command, args.duration);
    let mut show = |state| progress.show(state);
    let recording = match outlet.records(args.compress)? {
        Some(_) if options.time != RecordedTime::OnCpu => return Err(no_records()),
        Some(records) => record_perf_data(&options, records, &stop, &mut show),
        None => record(&options, &stop, &mut show),
    };
    progress.clear();
    let mut recording = recording?;

    if let (Some(downloads), Some(late_names)) = (downloads, recording.late_names.take()) {
        // The Ctrl-C that ended the recording is not the one that ends the waiting.
        pressed.store(false, Ordering::Relaxed);
        debuginfod::complete(&mut recording.profile, &downloads, &outlet, &pressed, |profile, report| {
            late_names.name_again(profile, &report.builds());
            Ok(())
        })?;
    }
    outlet.write(&recording.profile, recording.written)?;
    match recording.child {
        Some(child) => command_status(child, recording.ended),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// What of the targets' time is to be recorded.
fn time(args: &RecordArgs, target: &Target) -> Result<RecordedTime> {
    let usage = |what: &str, hint: &str| Err(Error::new(ErrorKind::Usage, what.to_owned()).with_hint(hint.to_owned()));
    if !args.off_cpu && !args.wall {
        let given = [
            (args.wakers, "--wakers"),
            (args.min_block.is_some(), "--min-block"),
            (args.max_block.is_some(), "--max-block"),
            (args.state.is_some(), "--state"),
            (args.kernel_threads, "--kernel-threads"),
        ];
        return match given.iter().find(|(is_given, _)| *is_given) {
            None => Ok(RecordedTime::OnCpu),
            Some((_, option)) => usage(
                &format!("{option} is about time off the CPU, which is not recorded"),
                &format!("profile --off-cpu {option} .., or --wall for time on the CPU beside it"),
            ),
        };
    }
    let default = OffCpuOptions::default();
    let options = OffCpuOptions {
        min_block: args.min_block.unwrap_or(default.min_block),
        max_block: args.max_block.unwrap_or(default.max_block),
        states: args.state.unwrap_or(default.states),
        wakers: args.wakers,
        kernel_threads: args.kernel_threads,
    };
    if args.cpu.is_some() {
        return usage("a thread that waits is on no CPU: -C says nothing of time off the CPU", "leave -C out");
    }
    if options.max_block.is_zero() {
        return usage("--max-block 0 leaves all waits out", "the longest wait that is of interest: --max-block 1ms");
    }
    if options.min_block > options.max_block {
        return usage("--min-block is longer than --max-block: no wait is both", "change places, or leave one out");
    }
    if options.kernel_threads && !matches!(target, Target::System | Target::Cgroup(_)) {
        return usage(
            "--kernel-threads adds threads of the kernel, of which this target has none",
            "with -a or -G; one of them by its number with -t",
        );
    }
    let leaves_out = args.min_block.is_some() || args.max_block.is_some() || args.state.is_some();
    if args.wall && leaves_out {
        return usage(
            "--wall shows all time, and --min-block, --max-block and --state leave some out",
            "--off-cpu takes them",
        );
    }
    Ok(if args.wall { RecordedTime::Wall(options) } else { RecordedTime::OffCpu(options) })
}

fn no_records() -> Error {
    Error::new(ErrorKind::Usage, "time off the CPU is added up as it is recorded: there are no records for a perf.data")
        .with_hint(
            "for records: profile -e sched:sched_switch -f perf-data ..; for other tools: --off-cpu with -f pprof, folded or \
             perf-script",
        )
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
