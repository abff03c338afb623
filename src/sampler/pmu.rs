//! The performance-monitoring units that sysfs describes, and the words their events are spelled with.
//!
//! ```text
//! /sys/bus/event_source/devices/cpu_core/
//!     type             4                     what `EventAttr::kind` is
//!     cpus             0-7                   a core PMU's CPUs: its presence is what makes a PMU a core's
//!     cpumask          0                     an uncore PMU's CPUs: open there only
//!     format/event     config:0-7            which bits a term's value goes to
//!     events/NAME      event=0x3c,umask=0x0  a named event
//!     caps/max_precise 3                     the highest `precise_ip` (x86, Linux 4.14)
//! ```
//! The layout is documented in the kernel's `Documentation/ABI/testing/sysfs-bus-event_source-devices-*`.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::perf::EventAttr;

use super::cpus::CpuList;

/// Longest file that is read: sysfs gives a page, but a mount table may be long.
const MOST_BYTES: u64 = 1 << 20;

/// Where the kernel describes its events; a test gives a tree of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// Where sysfs is mounted.
    pub sysfs: PathBuf,
    /// Where tracefs may be mounted, best first.
    pub tracefs: Vec<PathBuf>,
}

impl Default for Sources {
    fn default() -> Sources {
        Sources {
            sysfs: "/sys".into(),
            tracefs: vec!["/sys/kernel/tracing".into(), "/sys/kernel/debug/tracing".into()],
        }
    }
}

impl Sources {
    /// All PMUs, by name; none where sysfs cannot be read.
    pub fn pmus(&self) -> Vec<Pmu> {
        names_in(&self.devices()).into_iter().filter_map(|name| self.pmu(&name)).collect()
    }

    /// The PMU of this name.
    pub fn pmu(&self, name: &str) -> Option<Pmu> {
        if !is_plain(name) {
            return None;
        }
        let path = self.devices().join(name);
        let kind = read_text(&path.join("type")).ok()?.trim().parse().ok()?;
        let list = |file| read_text(&path.join(file)).ok().and_then(|text| CpuList::parse(&text));
        let cpus = list("cpus");
        let core = cpus.is_some() || name == "cpu";
        Some(Pmu { name: name.to_owned(), kind, core, cpus: cpus.or_else(|| list("cpumask")), path })
    }

    /// The PMUs of the CPU's cores: one on most machines, one per core type on hybrid ones, none in many guests.
    pub fn core_pmus(&self) -> Vec<Pmu> {
        self.pmus().into_iter().filter(|pmu| pmu.core).collect()
    }

    fn devices(&self) -> PathBuf {
        self.sysfs.join("bus/event_source/devices")
    }
}

/// One performance-monitoring unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pmu {
    /// Its name in sysfs.
    pub name: String,
    /// Its number, for [`EventAttr::kind`].
    pub kind: u32,
    /// Whether it counts in the cores, not beside them.
    pub core: bool,
    /// The CPUs that its events can be opened on, if not on all.
    pub cpus: Option<CpuList>,
    path: PathBuf,
}

impl Pmu {
    /// The highest `precise_ip` that it says it takes; `None` where it does not say (no x86).
    pub fn max_precise(&self) -> Option<u8> {
        read_text(&self.path.join("caps/max_precise")).ok()?.trim().parse().ok()
    }

    /// The names of its named events.
    pub fn event_names(&self) -> Vec<String> {
        let mut names = names_in(&self.path.join("events"));
        // Beside `energy-pkg` lie `energy-pkg.scale` and `energy-pkg.unit`.
        names.retain(|name| !name.contains('.'));
        names
    }

    /// Whether it has a named event of this name.
    pub fn has_event(&self, name: &str) -> bool {
        is_plain(name) && !name.contains('.') && self.path.join("events").join(name).is_file()
    }

    /// The attributes of `terms`, as in `event=0x3c,umask=0x1` or as a named event.
    ///
    /// # Errors
    /// `Usage` where a term is not one of the PMU's, or its value does not fit.
    pub fn attr(&self, terms: &str) -> Result<EventAttr> {
        let mut attr = EventAttr::counting(self.kind, 0);
        self.add_terms(&mut attr, terms, true)?;
        Ok(attr)
    }

    fn add_terms(&self, attr: &mut EventAttr, terms: &str, named: bool) -> Result<()> {
        for term in terms.split(',').map(str::trim).filter(|term| !term.is_empty()) {
            let (word, value) = match term.split_once('=') {
                Some((word, value)) => (word.trim(), Some(value.trim())),
                None => (term, None),
            };
            if let (true, None, true) = (named, value, self.has_event(word)) {
                let definition = read_text(&self.path.join("events").join(word))
                    .map_err(|error| Error::io(format!("cannot read event {word} of PMU {}", self.name), error))?;
                // A definition is made of plain terms only, so this goes one level deep.
                self.add_terms(attr, &definition, false)?;
                continue;
            }
            let value = match value {
                None => 1,
                Some(value) => parse_number(value).ok_or_else(|| self.bad(format!("{value:?} is not a number")))?,
            };
            self.add_term(attr, word, value)?;
        }
        Ok(())
    }

    fn add_term(&self, attr: &mut EventAttr, word: &str, value: u64) -> Result<()> {
        match word {
            "config" => attr.config = value,
            "config1" => attr.config1 = value,
            "config2" => attr.config2 = value,
            _ => {
                let format = is_plain(word).then(|| read_text(&self.path.join("format").join(word)).ok()).flatten();
                let Some(format) = format else {
                    let known = names_in(&self.path.join("format")).join(", ");
                    let error = self.bad(format!("it has no term or event {word:?}"));
                    return Err(if known.is_empty() {
                        error
                    } else {
                        error.with_hint(format!("its terms are: {known}"))
                    });
                };
                let (field, ranges) =
                    parse_format(&format).ok_or_else(|| self.bad(format!("its format of {word:?} is not known")))?;
                let target = match field {
                    "config" => &mut attr.config,
                    "config1" => &mut attr.config1,
                    "config2" => &mut attr.config2,
                    _ => return Err(self.bad(format!("term {word:?} goes to {field}, which is not supported"))),
                };
                spread(target, &ranges, value)
                    .ok_or_else(|| self.bad(format!("the value {value:#x} does not fit in term {word:?}")))?;
            }
        }
        Ok(())
    }

    fn bad(&self, why: String) -> Error {
        Error::new(ErrorKind::Usage, format!("PMU {}: {why}", self.name))
    }
}

/// Reads `config1:0-7,32-35`: the field, and the bits that a value goes to, lowest first.
fn parse_format(text: &str) -> Option<(&str, Vec<(u32, u32)>)> {
    let (field, bits) = text.trim().split_once(':')?;
    let ranges = bits.split(',').map(|range| {
        let (low, high) = range.split_once('-').unwrap_or((range, range));
        let (low, high) = (low.trim().parse::<u32>().ok()?, high.trim().parse::<u32>().ok()?);
        (low <= high && high < 64).then_some((low, high))
    });
    Some((field, ranges.collect::<Option<Vec<_>>>()?))
}

/// Puts the bits of `value` into `ranges` of `target`, clearing what was there; `None` where it is too wide.
fn spread(target: &mut u64, ranges: &[(u32, u32)], mut value: u64) -> Option<()> {
    for (low, high) in ranges {
        let width = high - low + 1;
        let mask = if width == 64 { u64::MAX } else { (1 << width) - 1 };
        *target = *target & !(mask << low) | (value & mask) << low;
        value = value.checked_shr(width).unwrap_or(0);
    }
    (value == 0).then_some(())
}

fn parse_number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Whether a word from the command line may be used as a file name: it must not lead out of its directory.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0'])
}

/// The names in a directory, sorted; none where it cannot be read.
pub(super) fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

/// Reads a small text file of sysfs, tracefs or procfs; bytes that are no text become U+FFFD.
pub(super) fn read_text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pmu() -> (tempfile::TempDir, Pmu) {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("bus/event_source/devices/cpu");
        for (file, text) in [
            ("type", "4\n"),
            ("format/event", "config:0-7\n"),
            ("format/umask", "config:8-15\n"),
            ("format/edge", "config:18\n"),
            ("format/split", "config1:0-3,32-35\n"),
            ("format/odd", "config9:0-3\n"),
            ("events/mem-stores", "event=0xd0,umask=0x82\n"),
            ("events/mem-stores.unit", "B\n"),
        ] {
            let file = path.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let sources = Sources { sysfs: root.path().into(), tracefs: Vec::new() };
        let pmu = sources.pmu("cpu").unwrap();
        (root, pmu)
    }

    fn check(terms: &str, expected: std::result::Result<(u64, u64), &str>) {
        let (_root, pmu) = pmu();
        let got = pmu.attr(terms).map(|attr| (attr.config, attr.config1)).map_err(|error| error.to_string());
        assert_eq!(got, expected.map_err(str::to_owned), "{terms}");
    }

    #[test]
    fn terms_go_to_the_bits_of_their_format() {
        check("event=0x3c,umask=0x1", Ok((0x13c, 0)));
        check("event=60,edge", Ok((0x4_003c, 0)));
        check("split=0xab", Ok((0, 0xa_0000_000b)));
        check("config=0x1ff,config1=7", Ok((0x1ff, 7)));
        check("mem-stores", Ok((0x82d0, 0)));
        check("mem-stores,umask=1", Ok((0x1d0, 0)));
    }

    #[test]
    fn wrong_terms_are_said() {
        check("event=0x1ff", Err("PMU cpu: the value 0x1ff does not fit in term \"event\""));
        check("nosuch=1", Err("PMU cpu: it has no term or event \"nosuch\""));
        check("event=x", Err("PMU cpu: \"x\" is not a number"));
        check("odd=1", Err("PMU cpu: term \"odd\" goes to config9, which is not supported"));
        check("../type=1", Err("PMU cpu: it has no term or event \"../type\""));
    }

    #[test]
    fn units_and_scales_are_no_events() {
        let (_root, pmu) = pmu();
        assert_eq!(pmu.event_names(), ["mem-stores"]);
        assert!(pmu.core && pmu.cpus.is_none());
    }
}
