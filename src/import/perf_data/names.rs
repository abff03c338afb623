//! Names for what was recorded, perhaps on another machine: where its files are, and which kernel's symbols are its own.

use std::path::Path;
use std::time::UNIX_EPOCH;

use crate::debuginfod::Cache;
use crate::image::{FileSources, Images};
use crate::import::ImportOptions;
use crate::model::{BuildId, ImageId, Profile, ProfileBuilder};
use crate::perf::data::features::Features;
use crate::perf::data::simpleperf::{FileKind, SymbolFile};
use crate::process::{JitHost, KernelMaps};
use crate::recorder::KernelSymbol;
use crate::symbolize::{KernelNames, Names, StoredSymbols, StoredTable, interpreter_notes, symbolize};

/// What is known of where code is.
#[derive(Debug)]
pub(super) struct Code {
    pub images: Images,
    /// Its processes whose code is in no file.
    pub jit_hosts: Vec<JitHost>,
    pub kernel: KernelMaps,
    pub kernel_symbols: Vec<KernelSymbol>,
}

/// Where the files of a recording at `path` are looked for.
pub(super) fn sources(features: &Features, path: Option<&Path>, options: &ImportOptions) -> FileSources {
    let system = rustix::system::uname();
    let is = |recorded: &Option<String>, own: &std::ffi::CStr| {
        recorded.as_ref().is_some_and(|recorded| recorded.as_bytes() == own.to_bytes())
    };
    let changed = path.and_then(|path| path.metadata().ok()?.modified().ok());
    FileSources {
        sysroot: options.sysroot.clone(),
        debug_dirs: options.debug_dirs.clone(),
        downloads: Cache::of_user().map(|cache| cache.directory().to_owned()),
        build_id_cache: std::env::home_dir().map(|home| home.join(".debug")),
        beside: path
            .map(|path| path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new(".")).into()),
        own_machine: is(&features.hostname, system.nodename()) && is(&features.osrelease, system.release()),
        recorded_unix: changed.and_then(|time| Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs())),
    }
}

/// Names the frames of a profile; returns what there is to say about it.
pub(super) fn name(profile: &mut Profile, code: &Code, features: &Features, options: &ImportOptions) -> Vec<String> {
    let stored = stored_symbols(profile, code, features);
    let kernel = kernel_names(code, features, options);
    let names = Names { images: &code.images, jit_hosts: &code.jit_hosts, kernel: &kernel, stored: &stored };
    symbolize(profile, &names, &options.names);
    let mut notes = code.images.notes(profile);
    notes.extend(interpreter_notes(profile));
    profile.stats.skipped.extend(code.images.skipped(profile));
    if features.simpleperf.broken_files > 0 {
        notes.push(format!(
            "the symbols of {} files in the recording could not be read",
            features.simpleperf.broken_files
        ));
    }
    notes
}

/// Whose symbols are those of the recorded kernel: the user's word first, then what perf has kept, then the kernel that runs, if
/// it is the one.
fn kernel_names(code: &Code, features: &Features, options: &ImportOptions) -> KernelNames {
    let text = code.kernel.reference.as_ref().map(|(address, _)| *address);
    let build_id = code.kernel.build_id.or_else(|| kernel_build_id(features));
    if let Some(path) = &options.vmlinux {
        return KernelNames::Vmlinux { path: path.clone(), text, build_id };
    }
    let kept = |build_id: BuildId| code.images.sources().and_then(|sources| sources.kallsyms(build_id));
    if let Some(path) = options.kallsyms.clone().or_else(|| build_id.and_then(kept)) {
        return KernelNames::Kallsyms { path, text };
    }
    match KernelNames::of_running(build_id, features.osrelease.as_deref(), text) {
        KernelNames::Unknown(reason) => {
            let found = code.images.sources().and_then(|sources| sources.vmlinux(build_id?));
            found.map_or(KernelNames::Unknown(reason), |path| KernelNames::Vmlinux { path, text, build_id })
        }
        names => names,
    }
}

fn kernel_build_id(features: &Features) -> Option<BuildId> {
    let kernel = features.build_ids.iter().find(|file| file.path.starts_with(b"[kernel.kallsyms]"));
    kernel.map(|file| file.build_id)
}

/// The symbols that the recording itself has: simpleperf's, and programs that the kernel announced.
fn stored_symbols(profile: &Profile, code: &Code, features: &Features) -> StoredSymbols {
    let mut stored = StoredSymbols::default();
    if !code.kernel_symbols.is_empty() {
        let mut table = StoredTable::new(0);
        for symbol in &code.kernel_symbols {
            table.push(symbol.address, u64::from(symbol.length), symbol.name.as_bytes());
        }
        stored.insert(ProfileBuilder::KERNEL, table);
    }
    if !features.simpleperf.kernel_symbols.is_empty() {
        stored.insert(ProfileBuilder::KERNEL, kallsyms_table(&features.simpleperf.kernel_symbols));
    }
    for (row, image) in profile.images.iter().enumerate() {
        let path = profile.strings.get(image.path);
        let id = ImageId::from_index(row);
        let is_kernel = id == ProfileBuilder::KERNEL;
        let file = |file: &&SymbolFile| match file.kind {
            FileKind::Kernel => is_kernel,
            _ => file.path == path && !is_kernel,
        };
        for file in features.simpleperf.files.iter().filter(file) {
            stored.insert(id, table_of(file));
        }
    }
    stored
}

/// The symbols of a file; how its addresses follow from offsets in the image is simpleperf's `IpToVaddrInFile` (dso.cpp).
fn table_of(file: &SymbolFile) -> StoredTable {
    let mut table = match file.kind {
        FileKind::Elf => StoredTable::of_file(file.min_address, file.offset_of_min_address),
        // Of these the image's offsets are addresses, as the symbols' are, or both are offsets in the file.
        FileKind::Kernel | FileKind::SymbolMap | FileKind::Dex | FileKind::Unknown => StoredTable::new(0),
        FileKind::KernelModule => StoredTable::new(0).of_module(&file.path),
    };
    for (address, size, name) in &file.symbols {
        table.push(*address, u64::from(*size), name.as_bytes());
    }
    table
}

/// A copy of `/proc/kallsyms`: `ADDRESS TYPE NAME [MODULE]` in each line.
fn kallsyms_table(text: &[u8]) -> StoredTable {
    let mut table = StoredTable::new(0);
    for line in text.split(|byte| *byte == b'\n') {
        let mut words = line.split(|byte| byte.is_ascii_whitespace());
        let (Some(address), Some(kind), Some(name)) = (words.next(), words.next(), words.next()) else { continue };
        let address = std::str::from_utf8(address).ok().and_then(|address| u64::from_str_radix(address, 16).ok());
        // Functions: `t` and `T` of the text section, `w` and `W` weak ones.
        if let (Some(address @ 1..), [b't' | b'T' | b'w' | b'W']) = (address, kind) {
            table.push(address, 0, name);
        }
    }
    table
}
