//! Where debug information is: programs are taken apart as distributions do it, and every address must have the names that it has in
//! the whole program; what is another build's, stale or broken must not be used, and that is said.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flameprofile::image::{DebugFiles, ElfImage, FileSources, Images, Refusal, Wanted};
use flameprofile::model::{FrameId, ImageId, ProfileBuilder, Unnamed};
use flameprofile::symbolize::SymbolizeOptions;
use tempfile::TempDir;

use super::{Named, answer, ours, symbolize};
use crate::common::skip;

/// Runs a tool; says aloud if that cannot be done here.
pub(super) fn run(program: &str, arguments: &[&str], paths: &[&Path]) -> bool {
    let status = Command::new(program).args(arguments).args(paths).stderr(Stdio::null()).status();
    let done = status.is_ok_and(|status| status.success());
    if !done {
        skip::here(&format!("{program} {arguments:?} does not work here"));
    }
    done
}

/// A program and the parts it is taken into.
pub(super) struct Built {
    pub folder: TempDir,
    /// As it was linked.
    pub whole: PathBuf,
    /// Without symbols and debug information.
    pub program: PathBuf,
    /// Those alone.
    pub debug: PathBuf,
}

impl Built {
    pub fn new(flags: &[&str]) -> Option<Built> {
        Built::of("names.c", flags)
    }

    pub fn of(source: &str, flags: &[&str]) -> Option<Built> {
        let folder = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/symbolize").join(source);
        let [whole, program, debug] = ["whole", "bin/program", "debug"].map(|name| folder.path().join(name));
        fs::create_dir(folder.path().join("bin")).unwrap();
        let compiler = if source.extension().is_some_and(|kind| kind == "cpp") { "c++" } else { "cc" };
        let flags = [&["-O2", "-g"], flags, &["-o"]].concat();
        let done = run(compiler, &flags, &[&whole, &source])
            && run("objcopy", &["--only-keep-debug"], &[&whole, &debug])
            && run("objcopy", &["--strip-all"], &[&whole, &program]);
        done.then_some(Built { folder, whole, program, debug })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a copy of a file somewhere.
    pub fn place(&self, from: &Path, to: &str) -> PathBuf {
        let to = self.path(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, &to).unwrap();
        to
    }

    /// Links the program to a file that has the checksum of `debug` now.
    pub fn link(&self, name: &str) -> bool {
        let named = self.place(&self.debug, &format!("link/{name}"));
        let link = format!("--add-gnu-debuglink={}", named.display());
        let done = run("objcopy", &[&link], &[&self.program]);
        fs::remove_file(named).unwrap();
        done
    }

    fn build_id(&self) -> String {
        ElfImage::open(&self.whole).unwrap().build_id().expect("it has one").to_string()
    }

    /// `.build-id/xx/yyyy`
    pub fn id_path(&self) -> String {
        let id = self.build_id();
        format!(".build-id/{}/{}", &id[..2], &id[2..])
    }

    pub fn no_sources(&self) -> FileSources {
        FileSources::default()
    }

    pub fn dir(&self, name: &str) -> FileSources {
        FileSources { debug_dirs: vec![self.path("not-there"), self.path(name)], ..FileSources::default() }
    }

    /// Addresses all over the code.
    pub fn svmas(&self) -> Vec<u64> {
        let text = ElfImage::open(&self.whole).unwrap().section(".text").unwrap();
        (text.svma..text.svma + text.size).step_by(3).collect()
    }

    /// What the whole program says.
    fn expected(&self) -> Vec<Named> {
        ours(&self.whole, &self.svmas(), &SymbolizeOptions::default())
    }

    /// The program has all names, inlined frames and lines.
    #[track_caller]
    pub fn is_whole(&self, sources: &FileSources, what: &str) {
        let found = Looked::up(&self.program, sources, &self.svmas());
        assert_eq!(found.named, self.expected(), "{what}: {:?}", found.notes);
        assert!(found.named.iter().filter(|named| named.is_ok()).count() * 2 > found.named.len());
    }

    /// What the program shares with others was found.
    #[track_caller]
    fn has_supplement(&self, sources: &FileSources, what: &str) {
        assert!(Looked::up(&self.program, sources, &[]).files.supplementary.is_some(), "{what}");
        self.is_whole(sources, what);
    }

    /// The program has no names beyond those that it has itself.
    #[track_caller]
    pub fn is_bare(&self, sources: &FileSources, what: &str) -> Looked {
        let found = Looked::up(&self.program, sources, &self.svmas());
        assert!(found.files.separate.is_none() && found.files.mini.is_none(), "{what}");
        assert!(found.named.iter().all(Result::is_err), "{what}: {:?}", found.named);
        found
    }
}

/// What a program came to.
pub(super) struct Looked {
    pub named: Vec<Named>,
    pub notes: Vec<String>,
    pub refused: Vec<Refusal>,
    pub files: DebugFiles,
    /// What was passed over, as the summary counts it.
    pub skipped: BTreeMap<String, u64>,
}

impl Looked {
    pub fn up(program: &Path, sources: &FileSources, svmas: &[u64]) -> Looked {
        let (mut images, mut builder) = (Images::running(sources.clone()), ProfileBuilder::new());
        let id = intern(&mut images, &mut builder, program);
        let image = images.get(id).unwrap_or_else(|| panic!("{}: {:?}", program.display(), images.missing(id))).clone();
        let offset = |svma: &u64| image.offset_of_svma(*svma).expect("the address is in the file");
        let frames: Vec<FrameId> = svmas.iter().map(|svma| builder.code_frame(id, offset(svma))).collect();
        let mut profile = builder.finish();
        let files = images.debug_files(id);
        symbolize(&mut profile, &images, &[], &SymbolizeOptions::default());
        let named = frames.into_iter().map(|frame| answer(&profile, frame)).collect();
        let refused = images.refused().into_iter().map(|(_, refused)| refused.why).collect();
        let mut skipped = profile.stats.skipped.clone();
        skipped.extend(images.skipped(&profile));
        Looked { named, notes: images.notes(&profile), refused, files, skipped }
    }
}

fn intern(images: &mut Images, builder: &mut ProfileBuilder, path: &Path) -> ImageId {
    let (path, pid) = (path.as_os_str().as_bytes(), std::process::id());
    let (build_id, device, inode) = (None, None, None);
    let wanted = Wanted { path, build_id, device, inode, pid, start: 0, end: 0, offset: 0, time: 0 };
    images.intern(&wanted, |kind, path, build_id| builder.add_image(kind, path, build_id))
}

/// Makes of a file another one with the same ELF content.
fn append(path: &Path) {
    fs::OpenOptions::new().append(true).open(path).unwrap().write_all(b"!").unwrap();
}

#[test]
fn debug_link_leads_to_names_by_its_checksum() {
    let Some(built) = Built::new(&["-Wl,--build-id=none"]) else { return };
    built.is_bare(&built.no_sources(), "stripped");
    if !built.link("other name.dbg") {
        return;
    }
    let folder = built.program.parent().unwrap().strip_prefix("/").unwrap().to_str().unwrap().to_owned();
    let in_dir = format!("dir/{folder}/other name.dbg");
    for (place, sources) in [
        ("bin/other name.dbg", built.no_sources()),
        ("bin/.debug/other name.dbg", built.no_sources()),
        (in_dir.as_str(), built.dir("dir")),
        ("dir/other name.dbg", built.dir("dir")),
    ] {
        let debug = built.place(&built.debug, place);
        built.is_whole(&sources, place);
        fs::remove_file(debug).unwrap();
        built.is_bare(&sources, place);
    }
}

#[test]
fn stale_debug_link_is_passed_over_and_said() {
    let Some(built) = Built::new(&["-Wl,--build-id=none"]) else { return };
    if !built.link("program.debug") {
        return;
    }
    let stale = built.place(&built.debug, "bin/program.debug");
    append(&stale);
    let bare = built.is_bare(&built.no_sources(), "stale");
    assert!(matches!(bare.refused[..], [Refusal::Checksum { wanted, found }] if wanted != found), "{:?}", bare.refused);
    assert_eq!(bare.notes.len(), 1);
    assert!(bare.notes[0].starts_with(&format!("not used: {} is stale", stale.display())), "{:?}", bare.notes);
    // The next place has the right one.
    built.place(&built.debug, "bin/.debug/program.debug");
    built.is_whole(&built.no_sources(), "stale beside, right in .debug");
}

#[test]
fn build_id_decides_where_both_have_one() {
    let Some(built) = Built::new(&["-Wl,--build-id=sha1"]) else { return };
    if !built.link("program.debug") {
        return;
    }
    // Packed after the link was made: another checksum, the same build.
    let debug = built.place(&built.debug, "bin/program.debug");
    if run("objcopy", &["--compress-debug-sections=zlib"], &[&debug]) {
        built.is_whole(&built.no_sources(), "packed later");
    }
    // Another build with the right checksum: the link was made to it by mistake.
    let Some(other) = Built::new(&["-Wl,--build-id=sha1", "-DOTHER", "-fno-inline"]) else { return };
    fs::copy(&other.debug, &debug).unwrap();
    fs::copy(&other.debug, &built.debug).unwrap();
    assert!(run("objcopy", &["--remove-section=.gnu_debuglink"], &[&built.program]) && built.link("program.debug"));
    let bare = built.is_bare(&built.no_sources(), "another build");
    let [note] = &bare.notes[..] else { panic!("{:?}", bare.notes) };
    for part in [debug.to_str().unwrap(), &built.build_id(), &other.build_id()] {
        assert!(note.contains(part), "{note}");
    }
}

#[test]
fn checksum_proves_a_debug_file_without_a_build_id() {
    let Some(built) = Built::new(&["-Wl,--build-id=sha1"]) else { return };
    if !run("objcopy", &["--remove-section=.note.gnu.build-id"], &[&built.debug]) || !built.link("program.debug") {
        return;
    }
    let debug = built.place(&built.debug, "bin/program.debug");
    built.is_whole(&built.no_sources(), "no build id in the debug file");
    append(&debug);
    built.is_bare(&built.no_sources(), "and stale");
}

#[test]
fn build_id_of_any_length_leads_to_names_without_a_link() {
    for length in [2, 3, 8, 20, 32] {
        let id = "a5".repeat(length);
        let Some(built) = Built::new(&[&format!("-Wl,--build-id=0x{id}")]) else { return };
        let name = format!("dir/.build-id/a5/{}.debug", &id[2..]);
        built.is_bare(&built.dir("dir"), "nothing there");
        built.place(&built.debug, &name);
        built.is_whole(&built.dir("dir"), &id);
        // A file of another build by that name is not used.
        let Some(other) = Built::new(&["-Wl,--build-id=0x123456"]) else { return };
        built.place(&other.debug, &name);
        let bare = built.is_bare(&built.dir("dir"), "another build");
        assert!(matches!(bare.refused[..], [Refusal::BuildId { .. }]), "{:?}", bare.refused);
    }
}

#[test]
fn whole_file_by_build_id_and_sysroot_serve_too() {
    let Some(built) = Built::new(&["-Wl,--build-id=sha1"]) else { return };
    built.place(&built.whole, &format!("dir/{}", built.id_path()));
    built.is_whole(&built.dir("dir"), "whole program by build id");
    built.place(&built.debug, &format!("root/usr/lib/debug/{}.debug", built.id_path()));
    let sysroot = FileSources { sysroot: Some(built.path("root")), ..FileSources::default() };
    built.is_whole(&sysroot, "debug file in the sysroot");
    built.place(&built.debug, "bin/program.debug");
    built.is_whole(&built.no_sources(), "beside the program, by its name, with the build id");
}

/// No byte of a build id or of a link gets into a path as it is.
#[test]
fn ids_and_links_do_not_lead_upwards() {
    let upwards: String = b"../../../../../x".iter().map(|byte| format!("{byte:02x}")).collect();
    let Some(built) = Built::new(&[&format!("-Wl,--build-id=0x{upwards}")]) else { return };
    // Where a path with its bytes would lead.
    for place in ["x", "dir/x", "dir/.build-id/x", "dir/.build-id/../x", "x.debug", "dir/x.debug"] {
        built.place(&built.debug, place);
    }
    built.is_bare(&built.dir("dir"), "build id with ../");
    built.place(&built.debug, &format!("dir/.build-id/2e/{}.debug", &upwards[2..]));
    built.is_whole(&built.dir("dir"), "the same, where it belongs");

    let Some(built) = Built::new(&["-Wl,--build-id=none"]) else { return };
    built.place(&built.debug, "up.debug");
    let checksum = crc32fast::hash(&fs::read(&built.debug).unwrap());
    let mut link = b"../up.debug\0".to_vec();
    link.extend(checksum.to_le_bytes());
    let section = built.path("section");
    fs::write(&section, link).unwrap();
    let add = format!("--add-section=.gnu_debuglink={}", section.display());
    if run("objcopy", &[&add], &[&built.program]) {
        built.is_bare(&built.no_sources(), "link with ../");
    }
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut writer = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(6)).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

/// Puts what is packed into `.gnu_debugdata` of the program.
fn add_mini(built: &Built, packed: &[u8]) -> bool {
    let section = built.path("packed");
    fs::write(&section, packed).unwrap();
    let add = format!("--add-section=.gnu_debugdata={}", section.display());
    run("objcopy", &["--remove-section=.gnu_debugdata"], &[&built.program])
        && run("objcopy", &[&add], &[&built.program])
}

#[test]
fn mini_debug_info_names_functions() {
    let Some(built) = Built::new(&["-Wl,--build-id=sha1"]) else { return };
    let symbols = built.path("symbols");
    if !run("objcopy", &["--strip-debug"], &[&built.debug, &symbols])
        || !add_mini(&built, &xz(&fs::read(&symbols).unwrap()))
    {
        return;
    }
    let found = Looked::up(&built.program, &built.no_sources(), &built.svmas());
    assert!(found.files.mini.is_some() && found.files.separate.is_none());
    let symbols = found.files.mini.as_ref().and_then(|mini| mini.section(".symtab"));
    assert!(symbols.is_some_and(|symbols| symbols.size > 0));
    let whole = built.expected();
    let outer = |named: &Named| named.as_ref().ok().map(|frames| frames.last().unwrap().0.clone());
    let (named, expected): (Vec<_>, Vec<_>) =
        (found.named.iter().map(outer).collect(), whole.iter().map(outer).collect());
    assert_eq!(named, expected);
    assert!(named.contains(&Some("local_outer".to_owned())));
    // A better table is there: it is not unpacked at all.
    built.place(&built.debug, &format!("dir/{}.debug", built.id_path()));
    assert!(Looked::up(&built.program, &built.dir("dir"), &[]).files.mini.is_none());
    built.is_whole(&built.dir("dir"), "both");
}

#[test]
fn hostile_mini_debug_info_costs_its_names_only() {
    let Some(built) = Built::new(&["-Wl,--build-id=sha1"]) else { return };
    let good = xz(&fs::read(&built.debug).unwrap());
    let bomb = xz(&vec![0; 1 << 20]);
    assert!(bomb.len() < 1 << 10);
    let mut broken = good.clone();
    let middle = broken.len() / 2;
    broken[middle] ^= 0x55;
    for (what, packed) in [
        ("broken", broken),
        ("cut", good[..good.len() / 2].to_vec()),
        ("bomb", bomb),
        ("no ELF", xz(b"#!/bin/sh\n")),
        ("nothing", b"x".to_vec()),
    ] {
        if add_mini(&built, &packed) {
            let bare = built.is_bare(&built.no_sources(), what);
            assert!(matches!(bare.refused[..], [Refusal::Packed(_)]), "{what}: {:?}", bare.refused);
        }
    }
}

/// Two programs whose debug information dwz has put into one file as far as it is the same; the first of them is `program`.
pub(super) fn with_dwz(flags: &[&str]) -> Option<(Built, PathBuf)> {
    let built = Built::of("names.cpp", &[&["-Wl,--build-id=sha1", "-gdwarf-4"], flags].concat())?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/symbolize/names.cpp");
    let second = built.path("second");
    let common = built.path("lib/.dwz/common.debug");
    fs::create_dir_all(common.parent().unwrap()).unwrap();
    fs::create_dir_all(built.path("lib/sub")).unwrap();
    let first = built.place(&built.whole, "lib/sub/first");
    let flags = [&["-O1", "-g", "-gdwarf-4", "-Wl,--build-id=sha1", "-DSECOND"], flags, &["-o"]].concat();
    let out = format!("-m{}", common.display());
    if !run("c++", &flags, &[&second, &source]) || !run("dwz", &[&out, "-M../.dwz/common.debug"], &[&first, &second]) {
        return None;
    }
    assert!(ElfImage::open(&first).unwrap().section(".gnu_debugaltlink").is_some());
    Some((Built { program: first, ..built }, common))
}

#[test]
fn what_dwz_has_put_together_is_found_and_proven() {
    let Some((built, common)) = with_dwz(&[]) else { return };
    built.has_supplement(&built.no_sources(), "dwz, relative to the program");
    let looked = Looked::up(&built.program, &built.no_sources(), &[]);
    let id =
        looked.files.supplementary.as_ref().and_then(|file| file.build_id()).expect("it has a build id").to_string();
    // In the folders that the user names: by name and by build id.
    let away = built.path("away");
    fs::rename(&common, &away).unwrap();
    assert!(Looked::up(&built.program, &built.no_sources(), &[]).files.supplementary.is_none());
    for place in ["dir/.dwz/common.debug".to_owned(), format!("dir/.build-id/{}/{}.debug", &id[..2], &id[2..])] {
        let placed = built.place(&away, &place);
        built.has_supplement(&built.dir("dir"), &place);
        fs::remove_file(placed).unwrap();
    }
    // Of a debug file that is reached by a link: relative to the file itself.
    fs::rename(&away, &common).unwrap();
    let mut split = Built { program: built.path("bin/stripped"), ..built };
    let debug = split.path("lib/sub/first");
    assert!(run("objcopy", &["--strip-all", "--remove-section=.gnu_debugaltlink"], &[&debug, &split.program]));
    let by_id = split.path(&format!("dir/{}.debug", split.id_path()));
    fs::create_dir_all(by_id.parent().unwrap()).unwrap();
    symlink(&debug, &by_id).unwrap();
    split.has_supplement(&split.dir("dir"), "debug file by a link");
    // Another build's is never used, and that is said.
    let other = fs::read(&common).unwrap();
    let id = ElfImage::open(&common).unwrap().build_id().unwrap();
    let at = other.windows(20).position(|window| window == id.as_bytes()).unwrap();
    let mut changed = other;
    changed[at] ^= 1;
    fs::write(&common, changed).unwrap();
    split.program = debug;
    let looked = Looked::up(&split.program, &split.no_sources(), &split.svmas());
    assert!(looked.files.supplementary.is_none());
    assert!(looked.notes.iter().any(|note| note.contains("common.debug has the build id")), "{:?}", looked.notes);
}

#[test]
fn dwarf_5_supplement_is_found_by_its_checksum() {
    let flags = ["-gdwarf-5"];
    let Some(built) = Built::of("names.cpp", &[&["-Wl,--build-id=sha1"][..], &flags].concat()) else { return };
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/symbolize/names.cpp");
    let (first, second, common) =
        (built.place(&built.whole, "lib/first"), built.path("second"), built.path("lib/common"));
    let out = format!("-m{}", common.display());
    let compiled = run("c++", &["-O1", "-g", "-gdwarf-5", "-Wl,--build-id=sha1", "-o"], &[&second, &source]);
    if !compiled || !run("dwz", &["--dwarf-5", &out, "-Mcommon"], &[&first, &second]) {
        return;
    }
    if ElfImage::open(&first).unwrap().section(".debug_sup").is_none() {
        return skip::here("this dwz writes no .debug_sup");
    }
    let built = Built { program: first, ..built };
    assert!(Looked::up(&built.program, &built.no_sources(), &[]).files.supplementary.is_some());
    built.has_supplement(&built.no_sources(), ".debug_sup");
}

#[test]
fn supplement_that_is_the_file_itself_is_refused() {
    let Some(built) = Built::new(&["-Wl,--build-id=sha1"]) else { return };
    let id = ElfImage::open(&built.whole).unwrap().build_id().unwrap();
    let section = built.path("section");
    fs::write(&section, [b"whole\0", id.as_bytes()].concat()).unwrap();
    let add = format!("--add-section=.gnu_debugaltlink={}", section.display());
    if run("objcopy", &[&add], &[&built.whole]) {
        let looked = Looked::up(&built.whole, &built.no_sources(), &built.svmas());
        assert!(looked.files.supplementary.is_none());
        assert!(looked.named.iter().any(Result::is_ok));
    }
}

#[test]
fn split_units_are_found_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/symbolize/names.c");
    let [build, bin] = ["build", "bin"].map(|name| folder.path().join(name));
    fs::create_dir(&build).unwrap();
    fs::create_dir(&bin).unwrap();
    // GNU dwp packs only DWARF 4; of DWARF 5 it writes a package without units.
    let compile = || {
        let mut command = Command::new("cc");
        command.args(["-O2", "-gdwarf-4", "-gsplit-dwarf"]).current_dir(&build);
        command.arg("-c").arg(&source).args(["-o", "unit.o"]);
        command.status().is_ok_and(|status| status.success())
            && run("cc", &["-o"], &[&build.join("program"), &build.join("unit.o")])
    };
    if !compile() || !build.join("unit.dwo").exists() {
        return skip::here("cc -gsplit-dwarf does not work here");
    }
    let sources = |dir: Option<&str>| FileSources {
        debug_dirs: dir.map(|dir| folder.path().join(dir)).into_iter().collect(),
        ..FileSources::default()
    };
    let opened = |program: &Path, dir: Option<&str>| {
        let files = Looked::up(program, &sources(dir), &[]).files;
        files.split.open(build.as_os_str().as_bytes(), b"unit.dwo")
    };
    let program = bin.join("program");
    fs::copy(build.join("program"), &program).unwrap();
    assert!(opened(&program, None).is_some_and(|unit| unit.section(".debug_info.dwo").is_some()), "as it was written");
    let away = folder.path().join("away.dwo");
    fs::rename(build.join("unit.dwo"), &away).unwrap();
    assert!(opened(&program, None).is_none(), "gone");
    let below = format!("dir{}/unit.dwo", build.display());
    for (place, dir) in [("bin/unit.dwo", None), ("dir/unit.dwo", Some("dir")), (below.as_str(), Some("dir"))] {
        let place = folder.path().join(place);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(&away, &place).unwrap();
        assert!(opened(&program, dir).is_some(), "{}", place.display());
        fs::remove_file(place).unwrap();
    }
    // What is no file of split units is not opened, be it what it may.
    for content in [&b"no ELF"[..], &fs::read(&program).unwrap()] {
        fs::write(build.join("unit.dwo"), content).unwrap();
        assert!(opened(&program, None).is_none());
    }
    // All in one file, beside the program or in the user's folder.
    if run("dwp", &["-o"], &[&folder.path().join("package"), &away]) {
        for (place, dir) in [("bin/program.dwp", None), ("dir/program.dwp", Some("dir"))] {
            fs::create_dir_all(folder.path().join("dir")).unwrap();
            fs::copy(folder.path().join("package"), folder.path().join(place)).unwrap();
            assert!(Looked::up(&program, &sources(dir), &[]).files.package.is_some(), "{place}");
            fs::remove_file(folder.path().join(place)).unwrap();
        }
    }
}

/// Each place where a file is looked for holds something that is none, or not a sound one.
#[test]
fn what_is_no_file_at_the_places_looked_at_is_passed_over() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let Some(built) = Built::new(&["-Wl,--build-id=sha1"]) else { return };
    if !built.link("program.debug") {
        return;
    }
    let places = [
        format!("dir/{}.debug", built.id_path()),
        "dir/program.debug".to_owned(),
        "bin/program.debug".to_owned(),
        "bin/.debug/program.debug".to_owned(),
    ];
    let whole = fs::read(&built.debug).unwrap();
    type Make<'a> = (&'a str, &'a dyn Fn(&Path));
    let make: [Make; 8] = [
        ("loop", &|path| symlink(path, path).unwrap()),
        ("pipe", &|path| mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap()),
        ("terminal", &|path| symlink("/dev/tty", path).unwrap()),
        ("endless", &|path| symlink("/dev/zero", path).unwrap()),
        ("made when read", &|path| symlink("/proc/kcore", path).unwrap()),
        ("folder", &|path| fs::create_dir(path).unwrap()),
        ("empty", &|path| fs::write(path, b"").unwrap()),
        ("no ELF", &|path| fs::write(path, vec![0x7f; 5000]).unwrap()),
    ];
    for (what, make) in make {
        for place in &places {
            let place = built.path(place);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            let _ = fs::remove_dir(&place);
            let _ = fs::remove_file(&place);
            make(&place);
        }
        built.is_bare(&built.dir("dir"), what);
    }
    // A file that was cut short, at any length: whatever is used of it, nothing is invented.
    let expected = built.expected();
    for length in (0..whole.len()).step_by(whole.len() / 20) {
        let place = built.path(&places[2]);
        let _ = fs::remove_dir(&place);
        let _ = fs::remove_file(&place);
        fs::write(&place, &whole[..length]).unwrap();
        let looked = Looked::up(&built.program, &built.no_sources(), &built.svmas());
        for (named, expected) in looked.named.iter().zip(&expected) {
            let (Ok(named), Ok(expected)) = (named, expected) else { continue };
            assert_eq!(named.last().map(|frame| &frame.0), expected.last().map(|frame| &frame.0), "cut at {length}");
        }
    }
}

/// Bytes of memory that this thread's process has resident.
fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * rustix::param::page_size() as u64
}

#[test]
fn four_gigabytes_of_holes_cost_nothing() {
    let Some(built) = Built::new(&["-Wl,--build-id=sha1"]) else { return };
    let place = built.place(&built.debug, &format!("dir/{}.debug", built.id_path()));
    fs::OpenOptions::new().write(true).open(&place).unwrap().set_len(4 << 30).unwrap();
    let before = resident();
    let bare = built.is_bare(&built.dir("dir"), "holes");
    assert!(matches!(bare.refused[..], [Refusal::Hollow]), "{:?}", bare.refused);
    assert!(resident() < before + (64 << 20));
    // Nor the program's own file.
    let program = built.place(&built.whole, "hollow");
    fs::OpenOptions::new().write(true).open(&program).unwrap().set_len(4 << 30).unwrap();
    let (mut images, mut builder) = (Images::default(), ProfileBuilder::new());
    let id = intern(&mut images, &mut builder, &program);
    assert_eq!(images.missing(id), Some(Unnamed::NoSymbols));
    assert!(matches!(&images.refused()[..], [(_, refused)] if refused.why == Refusal::Hollow));
    // By its checksum neither.
    let Some(built) = Built::new(&["-Wl,--build-id=none"]) else { return };
    if built.link("program.debug") {
        let place = built.place(&built.debug, "bin/program.debug");
        fs::OpenOptions::new().write(true).open(&place).unwrap().set_len(4 << 30).unwrap();
        let bare = built.is_bare(&built.no_sources(), "holes");
        assert!(matches!(bare.refused[..], [Refusal::Hollow]), "{:?}", bare.refused);
    }
}

#[test]
fn folder_that_cannot_be_looked_into_is_told() {
    let Some(built) = Built::new(&["-Wl,--build-id=sha1"]) else { return };
    let looked = Looked::up(&built.program, &built.dir("dir"), &built.svmas());
    assert!(looked.notes.iter().any(|note| note.contains("not-there: No such file")), "{:?}", looked.notes);
    assert!(looked.named.iter().all(|named| matches!(named, Err(Unnamed::NoSymbols | Unnamed::NoMatch))));
}
