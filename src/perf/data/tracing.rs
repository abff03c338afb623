//! Formats of tracepoints, as far as we use them: which number has which name, and where `sched_switch` keeps the tasks.

/// What a recording says about tracepoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracing {
    /// Number, and `system:name` or the bare name where the system is not found.
    pub names: Vec<(u64, String)>,
    /// Where in the raw data of `sched_switch` the next thread's id is: offset in bytes.
    pub next_pid: Option<usize>,
}

impl Tracing {
    /// Reads the section: the text of each tracepoint's `format` file stands in it as it was (`trace-cmd.dat(5)`, "EVENT
    /// FORMATS"), and only that text is looked for.
    pub fn read(bytes: &[u8]) -> Tracing {
        let mut tracing = Tracing::default();
        let mut rest = bytes;
        while let Some(start) = find(rest, b"name: ") {
            rest = &rest[start + 6..];
            let name = line(rest);
            let Some(after) = rest.get(name.len() + 1..).and_then(|rest| rest.strip_prefix(b"ID: ")) else { continue };
            let Ok(name) = std::str::from_utf8(name) else { continue };
            let Some(number) = std::str::from_utf8(line(after)).ok().and_then(|number| number.parse().ok()) else {
                continue;
            };
            let end = find(after, b"name: ").unwrap_or(after.len());
            if name == "sched_switch" {
                tracing.next_pid = field_offset(&after[..end], b" next_pid;");
            }
            tracing.names.push((number, name.to_owned()));
        }
        tracing
    }

    /// The name of tracepoint `number`.
    pub fn name(&self, number: u64) -> Option<&str> {
        self.names.iter().find(|(known, _)| *known == number).map(|(_, name)| name.as_str())
    }
}

/// Where the next thread's id is in the raw data of `sched_switch` if the recording does not say, by the size of the data.
///
/// The layout has been the same since Linux 2.6.32: 8 bytes common to all, the previous task's name (16), id (4), priority (4),
/// state (a `long`), the next one's name (16) and id (include/trace/events/sched.h).
pub fn usual_next_pid(raw: &[u8]) -> Option<usize> {
    match raw.len() {
        // With a `long` of 8 bytes all is 64 bytes, and 4 to fill up a word behind the size.
        64.. => Some(56),
        60..64 => Some(52),
        _ => None,
    }
}

fn line(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len())]
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// A line like `field:pid_t next_pid; offset:56; size:4; signed:1;`, with tabs between.
fn field_offset(format: &[u8], field: &[u8]) -> Option<usize> {
    let rest = &format[find(format, field)? + field.len()..];
    let rest = line(rest);
    let rest = &rest[find(rest, b"offset:")? + 7..];
    let digits = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_fields_are_found() {
        let text = b"\x17\x08Dtracing0.6\0junk name: other\nname: sched_wakeup\nID: 12\nformat:\n\tfield:pid_t pid;\toffset:24;\n\
            name: sched_switch\nID: 314\nformat:\n\tfield:pid_t prev_pid;\toffset:24;\tsize:4;\tsigned:1;\n\
            \tfield:pid_t next_pid;\toffset:56;\tsize:4;\tsigned:1;\n";
        let tracing = Tracing::read(text);
        assert_eq!(
            (tracing.name(314), tracing.name(12), tracing.name(1)),
            (Some("sched_switch"), Some("sched_wakeup"), None)
        );
        assert_eq!(tracing.next_pid, Some(56));
        for length in 0..text.len() {
            Tracing::read(&text[..length]);
        }
    }
}
