//! What the user can do about frames without a name, image by image: what to install, what to type, how to build.
//!
//! Advice must be true on this system: a package is named only for a file that is its own, and a command only with words
//! that mean nothing else to a shell (see `packages`).

mod packages;

use std::path::Path;

use rustc_hash::FxHashMap;

use super::{KernelNames, Names};
use crate::image::{ElfImage, why_unused};
use crate::model::{ImageId, ImageKind, Profile, Unnamed};
use crate::process::JitHost;
use packages::Packages;

/// For how many images, those with the most weight, files and packages are looked at.
const MOST_ASKED: usize = 16;

/// Fills in the help of [`crate::model::CaptureStats::unnamed_images`], whose rows are there already.
pub(super) fn advise(profile: &mut Profile, names: &Names<'_>) {
    let mut rows = std::mem::take(&mut profile.stats.unnamed_images);
    let mut images: FxHashMap<String, ImageId> = FxHashMap::default();
    if !rows.is_empty() {
        for row in (0..profile.images.len()).rev() {
            let id = ImageId::from_index(row);
            images.insert(profile.image_label(id), id);
        }
    }
    let asked: Vec<Missing<'_>> = (rows.iter().enumerate())
        .take(MOST_ASKED)
        .filter(|(_, row)| row.help.is_empty())
        .filter_map(|(at, row)| Missing::of(profile, names, *images.get(&row.image)?, at, row.reason))
        .collect();
    let files: Vec<&str> = asked.iter().filter(|missing| missing.is_of_this_system).map(|it| it.path).collect();
    // Looked at only if some advice is about packages.
    let packages = asked.iter().any(Missing::is_about_packages).then(|| Packages::of(Path::new("/"), &files));
    let help: Vec<(usize, String)> = asked.iter().map(|it| (it.row, it.help(names, packages.as_ref()))).collect();
    help.into_iter().for_each(|(row, help)| rows[row].help = help);
    profile.stats.unnamed_images = rows;
}

/// What is known of the frames of one row.
struct Missing<'a> {
    row: usize,
    reason: Unnamed,
    kind: ImageKind,
    path: &'a str,
    has_build_id: bool,
    /// Whether the file has neither symbols of its own nor debug information, here or beside it.
    is_stripped: bool,
    /// Whether the file that this system has at that path is the one.
    is_of_this_system: bool,
    /// Of memory of no file: whose it is.
    host: Option<&'a JitHost>,
    /// Of memory of no file: what is wrong with the dump that its process has written.
    dump_fault: Option<String>,
}

impl<'a> Missing<'a> {
    fn of(profile: &'a Profile, names: &Names<'a>, id: ImageId, row: usize, reason: Unnamed) -> Option<Missing<'a>> {
        let image = &profile.images[id.index()];
        let path = profile.strings.get(image.path);
        let (mut is_stripped, mut is_of_this_system) = (false, false);
        if image.kind == ImageKind::File && matches!(reason, Unnamed::NoSymbols | Unnamed::NoMatch) {
            let file = names.images.get(id);
            is_stripped = !file.is_some_and(|file| file.has_symbols_or_debug_info())
                && names.images.debug_files(id).separate.is_none();
            is_of_this_system = is_stripped && file.is_some_and(|file| is_the_same(file, Path::new(path)));
        } else if image.kind == ImageKind::File {
            let here = || ElfImage::open(Path::new(path)).ok()?.build_id();
            is_of_this_system = image.build_id.is_some_and(|build_id| here() == Some(build_id));
        }
        let has_build_id = image.build_id.is_some();
        // By its process, as a perf map that was written anew makes several images of its memory.
        let hosts = || names.jit_hosts.iter().filter(|host| image.kind == ImageKind::Jit(host.pid()));
        let host = hosts().rfind(|host| host.runtime().is_some()).or_else(|| hosts().next_back());
        let dump_fault = dump_fault(profile, names, id, image.kind);
        let kind = image.kind;
        Some(Missing { row, reason, kind, path, has_build_id, is_stripped, is_of_this_system, host, dump_fault })
    }

    fn is_about_packages(&self) -> bool {
        self.is_stripped || self.is_of_this_system
    }

    fn help(&self, names: &Names<'_>, packages: Option<&Packages>) -> String {
        let is_recorded = names.images.sources().is_some();
        match (self.kind, self.reason) {
            (ImageKind::File, Unnamed::NoSymbols | Unnamed::NoMatch) if self.is_stripped => self.symbols(packages),
            (ImageKind::File, Unnamed::NoFile | Unnamed::FileChanged) if is_recorded => {
                let mut ways = vec!["`--sysroot DIR` or `--debug-dir DIR` with the files of that build".to_owned()];
                ways.extend(self.debuginfod(None));
                ways.join(", or ")
            }
            (ImageKind::File, Unnamed::NoFile) => "the file was gone: keep it until the recording has ended".into(),
            (ImageKind::File, Unnamed::FileChanged) => {
                "another file stands at its path now: start the program anew".into()
            }
            (ImageKind::File, Unnamed::Permission) => {
                "the file, its debug file or the process's root may not be read: run with sudo, or as its user".into()
            }
            (ImageKind::File, Unnamed::NoBuildId) => {
                "record with build ids (`perf record --buildid-mmap`), or `--sysroot DIR` with the files of that machine".into()
            }
            (ImageKind::Jit(pid), Unnamed::Anonymous | Unnamed::NoMatch) => self.generated(pid, names),
            (ImageKind::Kernel, Unnamed::KernelHidden) => kernel_hidden(),
            (ImageKind::Kernel, Unnamed::OtherKernel) => "`--kallsyms FILE` (a copy of /proc/kallsyms, made by root), or \
                `--vmlinux FILE`, of the recorded machine"
                .into(),
            (ImageKind::Kernel, Unnamed::NoMatch) if matches!(names.kernel, KernelNames::Vmlinux { .. }) => {
                "modules are not in a vmlinux: `--kallsyms FILE` has them".into()
            }
            _ => String::new(),
        }
    }

    /// For code that process `pid` has made.
    fn generated(&self, pid: u32, names: &Names<'_>) -> String {
        if let Some(fault) = &self.dump_fault {
            return fault.clone();
        }
        if self.reason == Unnamed::Anonymous
            && let Some(unused) = self.host.and_then(unused_map)
        {
            return unused;
        }
        if let Some(runtime) = self.host.and_then(JitHost::runtime) {
            let is_running = self.host.is_some_and(JitHost::is_running) || is_recorded_running(pid, names);
            return format!("{runtime}: {}", runtime.advice(is_running.then_some(pid)));
        }
        if self.reason == Unnamed::NoMatch {
            return String::new();
        }
        let own = self.host.map_or(pid, JitHost::namespace_pid);
        format!(
            "code that process {pid} has made: its JIT must write /tmp/perf-{own}.map (a line `START SIZE NAME` for each \
            function, in hex), or a jitdump"
        )
    }

    /// For a file without symbols of its own.
    fn symbols(&self, packages: Option<&Packages>) -> String {
        if !self.is_of_this_system {
            let mut ways = vec!["`--debug-dir DIR` with its debug file (it is not a file of this system)".to_owned()];
            ways.extend(self.debuginfod(None));
            return ways.join(", or ");
        }
        let Some(package) = packages.and_then(|packages| packages.debug_package(self.path)) else {
            return "it was stripped: build it with `-g` and do not strip it, or `--debug-dir DIR` with its debug file"
                .into();
        };
        let mut ways = Vec::new();
        if !package.command.is_empty() {
            let first = if package.first.is_empty() { String::new() } else { format!(" ({})", package.first) };
            ways.push(format!("`{}`{first}", package.command));
        }
        ways.extend(self.debuginfod(packages.and_then(Packages::server)));
        if ways.is_empty() { "`--debug-dir DIR` with its debug file".into() } else { ways.join(", or ") }
    }

    /// How a server gives it, if one may have it.
    fn debuginfod(&self, server: Option<&str>) -> Option<String> {
        if !cfg!(feature = "debuginfod") || !self.has_build_id {
            return None;
        }
        match server {
            _ if has_servers() => Some("`--debuginfod`".to_owned()),
            Some(server) => Some(format!("`--debuginfod={server}`")),
            None => None,
        }
    }
}

/// What is wrong with the dump of the process whose memory an image is, if it has one: the dump that it has mapped, or of a
/// recording the one that names it.
fn dump_fault(profile: &Profile, names: &Names<'_>, id: ImageId, kind: ImageKind) -> Option<String> {
    let ImageKind::Jit(pid) = kind else { return None };
    let recorded = || {
        let dumps = (0..profile.images.len()).map(ImageId::from_index);
        dumps.filter_map(|id| Some((id, &**names.images.jit_dump(id)?))).find(|(_, dump)| dump.pid() == pid)
    };
    let (dump, read) = names.images.dump_of(id).or_else(recorded)?;
    let path = profile.strings.get(profile.images[dump.index()].path);
    Some(format!("{} {}", path.rsplit('/').next().unwrap_or(path), read.fault()?))
}

/// Why the perf map of a process that runs, or ran, here is not used, if there is one.
fn unused_map(host: &JitHost) -> Option<String> {
    let lived = |unix| host.may_have_written(unix);
    why_unused(host.root()?, host.namespace_pid(), host.pid(), host.uid(), lived)
}

/// Whether a process of a recording of this machine still runs.
fn is_recorded_running(pid: u32, names: &Names<'_>) -> bool {
    let sources = names.images.sources().filter(|sources| sources.own_machine);
    let recorded = sources.and_then(|sources| sources.recorded_unix);
    recorded.is_some_and(|recorded| JitHost::open_older(pid, recorded).is_ok_and(|host| host.is_running()))
}

/// Whether the system names servers, as `--debuginfod` reads them.
fn has_servers() -> bool {
    if std::env::var_os("DEBUGINFOD_URLS").is_some_and(|urls| !urls.is_empty()) {
        return true;
    }
    let entries = std::fs::read_dir("/etc/debuginfod").into_iter().flatten().flatten();
    entries.take(1000).any(|entry| entry.path().extension().is_some_and(|kind| kind == "urls"))
}

/// Whether the file at a path is this one: of the same build id, or if it has none, of the same bytes at its begin and end.
fn is_the_same(file: &ElfImage, path: &Path) -> bool {
    /// Enough for headers, and for the table of sections at the end.
    const COMPARED: usize = 64 << 10;
    let Ok(here) = ElfImage::open(path) else { return false };
    match (file.build_id(), here.build_id()) {
        (None, None) => {
            let (one, other) = (file.data(), here.data());
            let head = one.len().min(COMPARED);
            let tail = one.len() - head;
            one.len() == other.len() && one[..head] == other[..head] && one[tail..] == other[tail..]
        }
        (one, other) => one == other,
    }
}

/// What makes the kernel show its symbols; see `kallsyms_show_value` in the kernel's kernel/ksyms_common.c.
fn kernel_hidden() -> String {
    let number = |name: &str| -> Option<i32> {
        std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).ok()?.trim().parse().ok()
    };
    match number("kptr_restrict").unwrap_or(1) {
        2.. => "`sudo sysctl kernel.kptr_restrict=1`, and run with sudo".into(),
        _ => "run with sudo (CAP_SYSLOG), or `sudo sysctl kernel.kptr_restrict=0 kernel.perf_event_paranoid=1`".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Runtime;

    fn missing(kind: ImageKind, reason: Unnamed) -> Missing<'static> {
        let path = "/usr/bin/prog";
        let (is_stripped, is_of_this_system, host) = (false, false, None);
        let dump_fault = None;
        Missing { row: 0, reason, kind, path, has_build_id: true, is_stripped, is_of_this_system, host, dump_fault }
    }

    #[test]
    fn every_reason_that_can_be_helped_is() {
        use crate::image::{FileSources, Images};
        let (live, recorded) = (Images::default(), Images::recorded(FileSources::default()));
        let (kernel, stored) = (KernelNames::Running, crate::symbolize::StoredSymbols::default());
        let names = |images| Names { images, jit_hosts: &[], kernel: &kernel, stored: &stored };
        for (kind, reason, is_recorded, told) in [
            (ImageKind::File, Unnamed::NoFile, false, "the file was gone"),
            (ImageKind::File, Unnamed::NoFile, true, "--sysroot DIR"),
            (ImageKind::File, Unnamed::FileChanged, false, "start the program anew"),
            (ImageKind::File, Unnamed::FileChanged, true, "--debug-dir DIR"),
            (ImageKind::File, Unnamed::NoBuildId, true, "--buildid-mmap"),
            (ImageKind::File, Unnamed::Permission, false, "run with sudo"),
            (ImageKind::Jit(7), Unnamed::Anonymous, false, "/tmp/perf-7.map"),
            (ImageKind::Kernel, Unnamed::KernelHidden, false, "kernel.kptr_restrict="),
            (ImageKind::Kernel, Unnamed::OtherKernel, true, "--kallsyms FILE"),
        ] {
            let help = missing(kind, reason).help(&names(if is_recorded { &recorded } else { &live }), None);
            assert!(help.contains(told), "{reason:?}: {help}");
        }
        let nothing = missing(ImageKind::Unmapped, Unnamed::NotMapped).help(&names(&live), None);
        assert_eq!(nothing, "", "nothing is known to help");
    }

    #[test]
    fn code_of_a_runtime_has_its_own_advice() {
        use crate::image::Images;
        let mut builder = crate::model::ProfileBuilder::new();
        let java = builder.add_image(ImageKind::Jit(8), "[anonymous]", None);
        let hosts = [(7, Runtime::Node), (8, Runtime::Java(Some(17)))];
        let hosts = hosts.map(|(pid, runtime)| JitHost::recorded(pid).of_runtime(Some(runtime)));
        let profile = builder.finish();
        let (images, kernel) = (Images::default(), KernelNames::Running);
        let stored = crate::symbolize::StoredSymbols::default();
        let names = Names { images: &images, jit_hosts: &hosts, kernel: &kernel, stored: &stored };
        let missing = Missing::of(&profile, &names, java, 0, Unnamed::Anonymous).expect("an image is something");
        let help = missing.help(&names, None);
        assert!(help.starts_with("Java 17: ") && help.contains("-XX:+DumpPerfMapAtExit"), "{help}");
        assert!(!help.contains("jcmd"), "a process that has ended can be told nothing: {help}");
    }

    #[test]
    fn faulty_dump_is_told_instead_of_a_flag() {
        let live = crate::image::Images::default();
        let (kernel, stored) = (KernelNames::Running, crate::symbolize::StoredSymbols::default());
        let host = JitHost::recorded(9920).of_runtime(Some(Runtime::Node));
        let names = Names { images: &live, jit_hosts: &[], kernel: &kernel, stored: &stored };
        let fault = "jit-9920.dump ends early: its record at byte 40 is not whole";
        let of_node = Missing { host: Some(&host), ..missing(ImageKind::Jit(9920), Unnamed::Anonymous) };
        assert!(of_node.help(&names, None).contains("--perf-basic-prof"));
        assert_eq!(Missing { dump_fault: Some(fault.into()), ..of_node }.help(&names, None), fault);
    }

    #[test]
    fn own_programs_are_to_be_built_with_symbols() {
        let stripped = Missing { is_stripped: true, ..missing(ImageKind::File, Unnamed::NoSymbols) };
        assert!(stripped.symbols(None).contains("not a file of this system"));
        let own = Missing { is_of_this_system: true, ..stripped };
        assert!(own.symbols(None).contains("`-g`"), "{}", own.symbols(None));
    }
}
