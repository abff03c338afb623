//! Which package of the system has the symbols of a file.
//!
//! Only files are read, and no program is run: os-release(5), and what the package manager writes down as text. Where it
//! keeps a data base (rpm), the command that asks it is given instead. Sources: Debian Policy 8.1 and the wiki's
//! "HowToGetABacktrace", Ubuntu's "Debug symbol packages", dnf's `debuginfo-install` plugin, apk(5) and the wiki's
//! "Debug packages" of Alpine, "Debugging/Getting traces" of Arch, the list of servers of <https://sourceware.org/elfutils/Debuginfod.html>.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustc_hash::{FxHashMap, FxHashSet};

/// The system whose packages the files are of.
#[derive(Debug)]
pub(super) struct Packages {
    root: PathBuf,
    family: Family,
    id: String,
    codename: String,
    /// Whose file each is, of those that were asked for.
    owners: FxHashMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Debian,
    Fedora,
    Suse,
    Arch,
    Alpine,
    Other,
}

/// Where the symbols of a packaged file are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DebugPackage {
    /// The command that installs them; empty if the system has no packages of symbols.
    pub command: String,
    /// What must be done before, if anything.
    pub first: String,
}

/// Most bytes read of os-release and of lists of sources.
const MOST_TEXT: u64 = 64 << 10;
/// Most bytes read of one package's list of files, and of all of them; a system of 2,000 packages has ten megabytes.
const MOST_LIST: u64 = 8 << 20;
const MOST_LISTS: u64 = 64 << 20;

impl Packages {
    /// Looks at the system whose root directory this is, and at who owns these files of it.
    pub fn of(root: &Path, files: &[&str]) -> Packages {
        let read = |path: &str| read_text(&root.join(path), MOST_TEXT);
        let release = read("etc/os-release").or_else(|| read("usr/lib/os-release")).unwrap_or_default();
        let field = |name: &str| field(&release, name).filter(|value| is_plain(value)).unwrap_or_default().to_owned();
        let (id, codename) = (field("ID"), field("VERSION_CODENAME"));
        let family = Family::of(&id, field_words(&release, "ID_LIKE"));
        let mut packages = Packages { root: root.to_owned(), family, id, codename, owners: FxHashMap::default() };
        // Paths stand in commands that somebody may copy into a shell: of a hostile one nothing is asked.
        let files: FxHashSet<&str> = files.iter().copied().filter(|file| is_plain(file)).collect();
        packages.owners = match family {
            Family::Debian => packages.owners_by_dpkg(&files),
            Family::Alpine => packages.owners_by_apk(&files),
            // Their data bases are not read: what stands where packages put things is taken to be of one.
            Family::Fedora | Family::Suse | Family::Arch => {
                let of_package = |file: &&&str| {
                    !file.starts_with("/usr/local/")
                        && ["/usr/", "/lib", "/bin/", "/sbin/"].iter().any(|place| file.starts_with(place))
                };
                files.iter().filter(of_package).map(|file| ((*file).to_owned(), String::new())).collect()
            }
            Family::Other => FxHashMap::default(),
        };
        packages
    }

    /// Where the symbols of a file are; nothing if it is of no package.
    pub fn debug_package(&self, file: &str) -> Option<DebugPackage> {
        let owner = self.owners.get(file)?;
        let (command, first) = match self.family {
            Family::Debian => self.debian(owner),
            Family::Fedora => (format!("sudo dnf debuginfo-install $(rpm -qf {file})"), String::new()),
            Family::Suse => (
                format!("sudo zypper --plus-content debug install $(rpm -qf --qf '%{{NAME}}' {file})-debuginfo"),
                String::new(),
            ),
            Family::Alpine => (format!("apk add {owner}-dbg"), String::new()),
            Family::Arch | Family::Other => (String::new(), String::new()),
        };
        Some(DebugPackage { command, first })
    }

    /// The debuginfod server of the distribution.
    pub fn server(&self) -> Option<&'static str> {
        match (&*self.id, self.family) {
            ("debian", _) => Some("https://debuginfod.debian.net"),
            ("ubuntu", _) => Some("https://debuginfod.ubuntu.com"),
            ("fedora", _) => Some("https://debuginfod.fedoraproject.org"),
            ("centos", _) => Some("https://debuginfod.centos.org"),
            ("arch", _) => Some("https://debuginfod.archlinux.org"),
            (_, Family::Suse) => Some("https://debuginfod.opensuse.org"),
            _ => None,
        }
    }

    fn debian(&self, owner: &str) -> (String, String) {
        let (name, architecture) = owner.split_once(':').map_or((owner, ""), |(name, rest)| (name, rest));
        // libc's is older than the rule and in the main archive (it provides `libc6-dbgsym`); none has its 32-bit variants.
        let (is_in_main, mut debug) = match name {
            "libc6" => (true, "libc6-dbg".to_owned()),
            "libc6-i386" | "libc6-x32" => return (String::new(), String::new()),
            name => (false, format!("{name}-dbgsym")),
        };
        let lists = self.root.join("var/lib/dpkg/info");
        let is_installed = [format!("{debug}.list"), format!("{debug}:{architecture}.list")]
            .iter()
            .any(|list| lists.join(list).exists());
        // Of a file of the machine's other architecture, so is the package of its symbols.
        if !architecture.is_empty() && architecture != native_architecture() {
            debug = format!("{debug}:{architecture}");
        }
        if is_installed {
            // What is here has not helped.
            return (format!("sudo apt install {owner} {debug}"), "the one installed is of another build".into());
        }
        let archive = match &*self.id {
            _ if is_in_main || self.has_debug_archive() => None,
            "debian" if !self.codename.is_empty() => {
                let name = &self.codename;
                Some(format!("deb http://deb.debian.org/debian-debug {name}-debug main"))
            }
            "ubuntu" if !self.codename.is_empty() => {
                let name = &self.codename;
                Some(format!("deb http://ddebs.ubuntu.com {name} main restricted universe multiverse"))
            }
            _ => None,
        };
        (format!("sudo apt install {debug}"), archive.map_or(String::new(), |line| format!("of the archive `{line}`")))
    }

    /// Whether apt knows an archive of debug symbols.
    fn has_debug_archive(&self) -> bool {
        let directory = self.root.join("etc/apt");
        let more = std::fs::read_dir(directory.join("sources.list.d")).ok();
        let more = more.into_iter().flatten().take(1000).filter_map(|entry| Some(entry.ok()?.path()));
        let is_read = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "list" || kind == "sources");
        let mut files = more.filter(is_read).chain([directory.join("sources.list")]);
        files.any(|path| {
            let text = read_text(&path, MOST_TEXT).unwrap_or_default();
            let mut lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
            lines.any(|line| ["debian-debug", "ddebs.ubuntu.com"].iter().any(|archive| line.contains(archive)))
        })
    }

    /// `/var/lib/dpkg/info/PACKAGE[:ARCHITECTURE].list` has the path of each file of a package on a line (dpkg(1)).
    fn owners_by_dpkg(&self, files: &FxHashSet<&str>) -> FxHashMap<String, String> {
        // Packages may still say `/lib` of what is in `/usr/lib` (merged-/usr).
        let mut wanted: FxHashMap<&[u8], &str> = FxHashMap::default();
        for file in files {
            wanted.insert(file.as_bytes(), file);
            if let Some(short) = file.strip_prefix("/usr").filter(|short| short.starts_with('/')) {
                wanted.insert(short.as_bytes(), file);
            }
        }
        let mut owners = FxHashMap::default();
        let Ok(entries) = std::fs::read_dir(self.root.join("var/lib/dpkg/info")) else { return owners };
        let (mut left, mut text) = (MOST_LISTS, Vec::new());
        for entry in entries.flatten() {
            if owners.len() == files.len() || left == 0 {
                break;
            }
            let name = entry.file_name();
            let Some(package) = name.to_str().and_then(|name| name.strip_suffix(".list")) else { continue };
            text.clear();
            let Ok(file) = File::open(entry.path()) else { continue };
            let read = file.take(MOST_LIST.min(left)).read_to_end(&mut text).unwrap_or(0);
            left -= (read as u64).min(left);
            if !is_plain(package) {
                continue;
            }
            for line in text.split(|byte| *byte == b'\n') {
                if let Some(file) = wanted.get(line) {
                    owners.insert((*file).to_owned(), package.to_owned());
                }
            }
        }
        owners
    }

    /// `/lib/apk/db/installed` has blocks of lines: `P:` package, `F:` folder, `R:` file in it (apk's data base).
    fn owners_by_apk(&self, files: &FxHashSet<&str>) -> FxHashMap<String, String> {
        let text = ["lib/apk/db/installed", "usr/lib/apk/db/installed"]
            .iter()
            .find_map(|path| read_text(&self.root.join(path), MOST_LISTS))
            .unwrap_or_default();
        let (mut package, mut folder) = ("", "");
        let mut owners = FxHashMap::default();
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("P:") {
                (package, folder) = (name, "");
            } else if let Some(name) = line.strip_prefix("F:") {
                folder = name;
            } else if let Some(name) = line.strip_prefix("R:")
                && is_plain(package)
                && let Some(file) = files.get(&*format!("/{folder}/{name}"))
            {
                owners.insert((*file).to_owned(), package.to_owned());
            }
        }
        owners
    }
}

impl Family {
    fn of<'a>(id: &'a str, like: impl Iterator<Item = &'a str>) -> Family {
        for word in [id].into_iter().chain(like) {
            match word {
                "debian" | "ubuntu" => return Family::Debian,
                "fedora" | "rhel" | "centos" => return Family::Fedora,
                "suse" | "opensuse" => return Family::Suse,
                "arch" => return Family::Arch,
                "alpine" => return Family::Alpine,
                _ => {}
            }
        }
        Family::Other
    }
}

/// Debian's name of this machine's architecture.
fn native_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "i386",
        other => other,
    }
}

fn read_text(path: &Path, most: u64) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(most).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The value of a line `NAME=value`, without quotes.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(line.trim().trim_matches(['"', '\'']))
}

fn field_words<'a>(text: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    field(text, name).unwrap_or_default().split_ascii_whitespace()
}

/// Whether a word means nothing else to a shell.
pub(super) fn is_plain(word: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._+-:~".contains(&byte);
    !word.is_empty() && !word.starts_with('-') && word.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    fn check(system_files: &[(&str, &str)], file: &str, expected: Option<(&str, &str)>) {
        let root = system(system_files);
        let found = Packages::of(root.path(), &[file]).debug_package(file);
        let expected = expected.map(|(command, first)| DebugPackage { command: command.into(), first: first.into() });
        assert_eq!(found, expected, "{file}");
    }

    const BOOKWORM: (&str, &str) = ("etc/os-release", "NAME=\"Debian\"\nID=debian\nVERSION_CODENAME=bookworm\n");

    #[test]
    fn debian_names_packages_by_its_lists() {
        let libc = ("var/lib/dpkg/info/libc6:amd64.list", "/.\n/lib\n/lib/x86_64-linux-gnu/libc.so.6\n");
        let bash = ("var/lib/dpkg/info/bash.list", "/.\n/bin\n/bin/bash\n/usr/share/doc/bash\n");
        let native = std::env::consts::ARCH == "x86_64";
        let libc_command = if native { "sudo apt install libc6-dbg" } else { "sudo apt install libc6-dbg:amd64" };
        check(&[BOOKWORM, libc, bash], "/usr/lib/x86_64-linux-gnu/libc.so.6", Some((libc_command, "")));
        let archive = "of the archive `deb http://deb.debian.org/debian-debug bookworm-debug main`";
        check(&[BOOKWORM, libc, bash], "/usr/bin/bash", Some(("sudo apt install bash-dbgsym", archive)));
        check(&[BOOKWORM, libc, bash], "/usr/bin/bas", None);
        check(&[BOOKWORM, libc, bash], "/opt/own", None);
        let apt = ("etc/apt/sources.list.d/debug.list", "deb http://deb.debian.org/debian-debug bookworm-debug main\n");
        check(&[BOOKWORM, bash, apt], "/bin/bash", Some(("sudo apt install bash-dbgsym", "")));
        let off = ("etc/apt/sources.list", "# deb http://deb.debian.org/debian-debug bookworm-debug main\n");
        check(&[BOOKWORM, bash, off], "/bin/bash", Some(("sudo apt install bash-dbgsym", archive)));
        let there = ("var/lib/dpkg/info/bash-dbgsym.list", "/.\n");
        let other = "the one installed is of another build";
        check(&[BOOKWORM, bash, there], "/bin/bash", Some(("sudo apt install bash bash-dbgsym", other)));
        let jammy = ("usr/lib/os-release", "ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME='jammy'\n");
        let archive = "of the archive `deb http://ddebs.ubuntu.com jammy main restricted universe multiverse`";
        check(&[jammy, bash], "/usr/bin/bash", Some(("sudo apt install bash-dbgsym", archive)));
    }

    #[test]
    fn other_systems_have_their_own_words() {
        let fedora = ("etc/os-release", "ID=fedora\n");
        let rocky = ("etc/os-release", "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n");
        for system in [fedora, rocky] {
            let command = "sudo dnf debuginfo-install $(rpm -qf /usr/lib64/libc.so.6)";
            check(&[system], "/usr/lib64/libc.so.6", Some((command, "")));
            check(&[system], "/usr/local/bin/own", None);
            check(&[system], "/home/me/own", None);
        }
        let alpine = ("etc/os-release", "ID=alpine\nVERSION_ID=3.19.1\n");
        let installed = "P:musl\nV:1.2\nF:lib\nR:ld-musl-x86_64.so.1\nZ:x\n\nP:busybox\nF:bin\nR:busybox\n";
        let installed = ("lib/apk/db/installed", installed);
        check(&[alpine, installed], "/bin/busybox", Some(("apk add busybox-dbg", "")));
        check(&[alpine, installed], "/lib/ld-musl-x86_64.so.1", Some(("apk add musl-dbg", "")));
        check(&[alpine, installed], "/bin/other", None);
        check(&[("etc/os-release", "ID=arch\n")], "/usr/bin/bash", Some(("", "")));
        check(&[("etc/os-release", "ID=gentoo\n")], "/usr/bin/bash", None);
        check(&[], "/usr/bin/bash", None);
    }

    #[test]
    fn no_word_of_a_stranger_reaches_a_shell() {
        let fedora = ("etc/os-release", "ID=fedora\n");
        for hostile in
            ["/usr/bin/$(reboot)", "/usr/bin/a b", "/usr/bin/`x`", "/usr/bin/a;b", "/usr/bin/a'b", "/usr/bin/\u{202e}a"]
        {
            check(&[fedora], hostile, None);
        }
        let odd = ("etc/os-release", "ID=debian\nVERSION_CODENAME=x`reboot`\n");
        let bash = ("var/lib/dpkg/info/bash.list", "/bin/bash\n");
        check(&[odd, bash], "/bin/bash", Some(("sudo apt install bash-dbgsym", "")));
        let list = ("var/lib/dpkg/info/$(reboot).list", "/bin/bash\n");
        check(&[BOOKWORM, list], "/bin/bash", None);
    }

    #[test]
    fn own_shell_is_of_a_package() {
        let shell = std::fs::canonicalize("/bin/sh").unwrap();
        let shell = shell.to_str().unwrap();
        let packages = Packages::of(Path::new("/"), &[shell]);
        if packages.family != Family::Debian {
            return crate::skip::here("this is no Debian");
        }
        let owner = packages.owners.get(shell).map(String::as_str);
        let asked = std::process::Command::new("dpkg").args(["-S", shell]).output();
        // dpkg may know the file under its older path only.
        let asked = asked.ok().filter(|asked| asked.status.success()).or_else(|| {
            let old = shell.strip_prefix("/usr")?;
            std::process::Command::new("dpkg").args(["-S", old]).output().ok()
        });
        if let Some(asked) = asked.filter(|asked| asked.status.success()) {
            let text = String::from_utf8_lossy(&asked.stdout).into_owned();
            assert_eq!(text.rsplit_once(": ").map(|(owner, _)| owner), owner);
        }
        assert!(owner.is_some(), "{packages:?}");
    }
}
