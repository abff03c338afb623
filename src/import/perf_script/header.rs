//! The first line of a sample.
//!
//! ```text
//! comm   pid/tid [cpu] misc  time:  period event:  rest
//! V8 Worker 24/25 [000] 9456.109216:  250000 cycles:ppp:  ffffffff9aa3c8de [unknown] ([unknown])
//! ```
//! Every field may be missing (`perf script -F`); `tools/perf/builtin-script.c`, `perf_sample__fprintf_start` and
//! `process_event`.

/// The fields of a first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header<'a> {
    /// Everything before the CPU or what follows: name and ids, equal for all samples of a thread.
    pub task: &'a [u8],
    pub comm: &'a [u8],
    pub pid: Option<u32>,
    pub tid: u32,
    pub cpu: Option<u32>,
    /// Nanoseconds.
    pub time: Option<u64>,
    pub period: Option<u64>,
    /// With its modifiers, without the colon; empty if it is not there.
    pub event: &'a [u8],
    /// What stands behind: an address and symbol, a tracepoint's text, the fields of a record that is no sample.
    pub rest: &'a [u8],
}

/// Reads a first line; nothing if it is none.
pub(super) fn parse(line: &[u8]) -> Option<Header<'_>> {
    // A name may hold anything: what ends it is the first number (or two) behind which the rest makes sense.
    let mut comm_end = 0;
    for (begin, end) in (Words { line, at: 0 }) {
        if let Some((pid, tid)) = ids(&line[begin..end])
            && let Some(header) = behind(&line[end..])
        {
            return Some(Header { task: &line[..end], comm: line[..comm_end].trim_ascii(), pid, tid, ..header });
        }
        comm_end = end;
    }
    None
}

/// A thread's id, or the process's and the thread's.
fn ids(word: &[u8]) -> Option<(Option<u32>, u32)> {
    match word.iter().position(|byte| *byte == b'/') {
        Some(slash) => Some((Some(signed(&word[..slash])?), signed(&word[slash + 1..])?)),
        None => Some((None, signed(word)?)),
    }
}

/// An id; -1, which perf prints for what it does not know, is 0.
fn signed(word: &[u8]) -> Option<u32> {
    if word == b"-1" { Some(0) } else { number(word)?.try_into().ok() }
}

fn number(word: &[u8]) -> Option<u64> {
    if word.is_empty() {
        return None;
    }
    word.iter().try_fold(0u64, |sum, byte| {
        byte.is_ascii_digit().then_some(())?;
        sum.checked_mul(10)?.checked_add(u64::from(byte - b'0'))
    })
}

/// What stands behind the ids; nothing if it makes no sense, or if there is nothing.
fn behind(line: &[u8]) -> Option<Header<'_>> {
    let mut header =
        Header { task: b"", comm: b"", pid: None, tid: 0, cpu: None, time: None, period: None, event: b"", rest: b"" };
    let mut words = Words { line, at: 0 };
    let mut next = words.next();
    let word = |range: Option<(usize, usize)>| range.map_or(&b""[..], |(begin, end)| &line[begin..end]);
    if let Some(cpu) = word(next).strip_prefix(b"[").and_then(|inner| number(inner.strip_suffix(b"]")?)) {
        header.cpu = Some(cpu.try_into().ok()?);
        next = words.next();
    }
    // `-F misc` and latency flags: up to two short words, before a time.
    let before = (words.at, next);
    for _ in 0..3 {
        if let Some(time) = time(word(next)) {
            header.time = Some(time);
            next = words.next();
            break;
        }
        if !is_flag(word(next)) {
            break;
        }
        next = words.next();
    }
    if header.time.is_none() {
        (words.at, next) = before;
    }
    // The period is a number before an event.
    let after_time = (words.at, next);
    if let Some(period) = number(word(next)) {
        header.period = Some(period);
        next = words.next();
    }
    match word(next).strip_suffix(b":") {
        Some(event) if is_event(event) => {
            header.event = event;
            header.rest = line[words.at..].trim_ascii();
        }
        _ => {
            // No event, so no period either: an address may look like one.
            header.period = None;
            header.rest = after_time.1.map_or(&b""[..], |(begin, _)| line[begin..].trim_ascii());
        }
    }
    let is_one = header.cpu.is_some() || header.time.is_some() || !header.event.is_empty();
    is_one.then_some(header)
}

/// `U`, `KH` (`-F misc`), or `d..2.` (tracepoints): `tools/perf/builtin-script.c`, `tools/lib/traceevent`.
fn is_flag(word: &[u8]) -> bool {
    let is_misc = (1..=3).contains(&word.len()) && word.iter().all(u8::is_ascii_uppercase) || word == b"Sp";
    is_misc || (4..=6).contains(&word.len()) && word.contains(&b'.') && !word.ends_with(b":")
}

/// Whether a word can be an event's name: it has a letter, and is not the `0x10:` of some text.
fn is_event(word: &[u8]) -> bool {
    word.iter().any(u8::is_ascii_alphabetic) && !word.starts_with(b"0x") && !word.starts_with(b"(")
}

/// `12345.678901:` in nanoseconds.
fn time(word: &[u8]) -> Option<u64> {
    let word = word.strip_suffix(b":")?;
    let dot = word.iter().position(|byte| *byte == b'.')?;
    let (seconds, fraction) = (number(&word[..dot])?, &word[dot + 1..]);
    if fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let nanoseconds = number(fraction)? * 10u64.pow(9 - fraction.len() as u32);
    seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds)
}

/// Words between blanks, as ranges.
struct Words<'a> {
    line: &'a [u8],
    at: usize,
}

impl Iterator for Words<'_> {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<(usize, usize)> {
        let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let begin = self.at + self.line[self.at..].iter().position(|byte| !is_blank(byte))?;
        let end = self.line[begin..].iter().position(is_blank).map_or(self.line.len(), |length| begin + length);
        self.at = end;
        Some((begin, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_variants_of_fields() {
        let check = |line: &str, expected: &str| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let found = parse(line.as_bytes()).map_or("none".to_owned(), |h| {
                format!(
                    "{}|{:?}|{}|{:?}|{:?}|{:?}|{}|{}",
                    text(h.comm),
                    h.pid,
                    h.tid,
                    h.cpu,
                    h.time,
                    h.period,
                    text(h.event),
                    text(h.rest)
                )
                .replace("None", "-")
                .replace("Some(", "")
                .replace(')', "")
            });
            assert_eq!(found, expected, "{line}");
        };
        check("java 25607 4794564.109216: cycles:", "java|-|25607|-|4794564109216000|-|cycles|");
        check("java 12688 [002] 6544038.708352: cpu-clock:", "java|-|12688|2|6544038708352000|-|cpu-clock|");
        check("V8 Worker 1/2 [000] 9.109216: cycles:", "V8 Worker|1|2|0|9109216000|-|cycles|");
        check("vote   913    72.176760:     257597 cycles:uppp:", "vote|-|913|-|72176760000|257597|cycles:uppp|");
        check(
            "           false 64414 20110.539270:      34467 cycles:u:  ffffffff9aa3c8de [unknown] ([unknown]",
            "false|-|64414|-|20110539270000|34467|cycles:u|ffffffff9aa3c8de [unknown] ([unknown]",
        );
        check("sleep 12 cycles:", "sleep|-|12|-|-|-|cycles|");
        check("12/13 [001] 1.5:  7 cycles:P:", "|12|13|1|1500000000|7|cycles:P|");
        check("a 1 2 b 33 1.000000001: x:", "a 1 2 b|-|33|-|1000000001|-|x|");
        check("6 7 [000] 1.0: x:", "6|-|7|0|1000000000|-|x|");
        check("foo -1/-1 [003] 1.0: x:", "foo|0|0|3|1000000000|-|x|");
        check(
            "sshd 5 [000] d..2. 1.250000: sched:sched_switch: prev_comm=a prev_pid=5",
            "sshd|-|5|0|1250000000|-|sched:sched_switch|prev_comm=a prev_pid=5",
        );
        check("perf 9 [000] U 1.25: 10 cycles: ", "perf|-|9|0|1250000000|10|cycles|");
        check("comm 7 [000] 1.25:", "comm|-|7|0|1250000000|-||");
        check("comm 7 [000] 1.25:  ffff8800 do_it (x", "comm|-|7|0|1250000000|-||ffff8800 do_it (x");
        check("comm 7 1.25: 400500 main (x", "comm|-|7|-|1250000000|-||400500 main (x");
        check(
            "perf 1 [000] 2.0: PERF_RECORD_MMAP2 1/1: [0x1(0x2) @ 0]: r-xp /bin/x",
            "perf|-|1|0|2000000000|-||PERF_RECORD_MMAP2 1/1: [0x1(0x2 @ 0]: r-xp /bin/x",
        );
        for none in ["", "# comment", "Warning:", "just text", "text with 12 numbers", "\t  40 main (/bin/x)", "1 2 3"]
        {
            check(none, "none");
        }
        check("big 99999999999 1.0: x:", "none");
        check("big 1 99999999999999999999.0: x:", "none");
    }
}
