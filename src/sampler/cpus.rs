//! Lists of CPUs as the kernel and its tools write them: `0-3,8,10-11`.

use std::fmt;

/// More CPUs than any kernel supports (`NR_CPUS` is at most 8,192 on x86); keeps a hostile list short.
const MOST_CPUS: u32 = 1 << 16;

/// A set of CPUs, ascending, without repeats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuList(Vec<u32>);

impl CpuList {
    /// Reads a list as sysfs and `-C` write it; `None` where it is not one, or names a CPU above 65,535.
    ///
    /// An empty text is an empty list: sysfs writes one where all CPUs of a kind are offline.
    pub fn parse(text: &str) -> Option<CpuList> {
        let mut cpus = Vec::new();
        for part in text.trim().split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last || cpus.len() > MOST_CPUS as usize {
                return None;
            }
            cpus.extend(first..=last);
        }
        Some(cpus.into_iter().collect())
    }

    /// The CPUs, lowest first.
    pub fn as_slice(&self) -> &[u32] {
        &self.0
    }

    /// Whether the list has this CPU.
    pub fn contains(&self, cpu: u32) -> bool {
        self.0.binary_search(&cpu).is_ok()
    }

    /// The CPUs that are in both lists.
    #[must_use]
    pub fn intersection(&self, other: &CpuList) -> CpuList {
        CpuList(self.0.iter().copied().filter(|cpu| other.contains(*cpu)).collect())
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<u32> for CpuList {
    fn from_iter<I: IntoIterator<Item = u32>>(cpus: I) -> CpuList {
        let mut cpus: Vec<u32> = cpus.into_iter().collect();
        cpus.sort_unstable();
        cpus.dedup();
        CpuList(cpus)
    }
}

impl fmt::Display for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_slice();
        while let [first, ..] = rest {
            let run = rest.iter().zip(*first..).take_while(|(cpu, expected)| *cpu == expected).count();
            match run {
                1 => write!(f, "{first}")?,
                _ => write!(f, "{first}-{}", rest[run - 1])?,
            }
            rest = &rest[run..];
            if !rest.is_empty() {
                f.write_str(",")?;
            }
        }
        Ok(())
    }
}

fn number(text: &str) -> Option<u32> {
    text.trim().parse().ok().filter(|cpu| *cpu < MOST_CPUS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&[u32]>, written: &str) {
        let list = CpuList::parse(text);
        assert_eq!(list.as_ref().map(CpuList::as_slice), expected, "{text}");
        assert_eq!(list.map(|list| list.to_string()).unwrap_or_default(), written, "{text}");
    }

    #[test]
    fn lists_read_and_write() {
        check("0-3,8,10-11\n", Some(&[0, 1, 2, 3, 8, 10, 11]), "0-3,8,10-11");
        check("3,1,1-2", Some(&[1, 2, 3]), "1-3");
        check("\n", Some(&[]), "");
        check("7", Some(&[7]), "7");
    }

    #[test]
    fn junk_is_no_list() {
        for text in ["a", "3-1", "0-4294967295", "-1", "1-", "99999", "0-0-0"] {
            check(text, None, "");
        }
    }
}
