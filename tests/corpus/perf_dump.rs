//! Reads what `perf script -D` prints of samples: the raw numbers as perf parsed and ordered them, before it leaves out frames that it
//! finds no mapping for, cuts chains at `--max-stack`, or takes the start of a mapping off an address.
//!
//! ```text
//! CPU TIME 0xOFFSET [0xSIZE]: PERF_RECORD_SAMPLE(IP, 0xMISC): PID/TID: 0xIP period: PERIOD addr: ADDRESS
//! ... FP chain: nr:2
//! .....  0: fffffffffffffe00
//! .....  1: 0000000000400513
//! ... branch stack: nr:1
//! .....  0: ffffffff81068283 -> ffffffff8106827e 0 cycles  P   0
//! ```
//! See `dump_sample` and `perf_session__print_tstamp`, tools/perf/util/session.c.

use flameprofile::perf::record::Sample;

/// A sample, as far as perf dumps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dumped {
    /// CPU and time, as far as perf prints them.
    pub stamp: Vec<u64>,
    pub pid: i64,
    pub tid: i64,
    pub ip: u64,
    pub period: u64,
    pub chain: Vec<u64>,
    pub branches: Vec<(u64, u64)>,
    /// Of a call stack taken by the hardware, perf prints where the latest call went to and where all came from.
    pub call_stack: Vec<u64>,
}

impl Dumped {
    /// A sample as it was read here.
    pub fn of(sample: &Sample<'_>) -> Dumped {
        let identity = &sample.identity;
        let branches: Vec<(u64, u64)> = sample.branches.iter().collect();
        let mut dumped = Dumped {
            stamp: vec![u64::from(identity.cpu), identity.time],
            pid: i64::from(identity.pid as i32),
            tid: i64::from(identity.tid as i32),
            ip: sample.ip,
            period: sample.period,
            chain: sample.callchain.iter().collect(),
            ..Dumped::default()
        };
        if sample.branches.is_call_stack {
            dumped.call_stack.extend(branches.first().map(|(_, to)| *to));
            dumped.call_stack.extend(branches.iter().map(|(from, _)| *from));
        } else {
            dumped.branches = branches;
        }
        dumped
    }
}

/// What differs, if it is not by one of the rules that stand here.
pub fn compare(ours: &Dumped, theirs: &Dumped) -> Result<(), String> {
    let same = |what: &str, same: bool| if same { Ok(()) } else { Err(format!("{what} differs")) };
    // Which of the two perf prints depends on the recording. Where some events carry the CPU and this one does not, perf says -1.
    let stamps: [&[u64]; 5] =
        [&ours.stamp, &ours.stamp[..1], &ours.stamp[1..], &[u64::from(u32::MAX), ours.stamp[1]], &[]];
    same("CPU or time", stamps.contains(&theirs.stamp.as_slice()))?;
    same("process", ours.pid == theirs.pid)?;
    same("thread", ours.tid == theirs.tid)?;
    same("instruction pointer", ours.ip == theirs.ip)?;
    same("period", ours.period == theirs.period)?;
    same("call chain", ours.chain == theirs.chain)?;
    same("branch stack", ours.branches == theirs.branches)?;
    same("call stack of the hardware", ours.call_stack == theirs.call_stack)
}

/// Where the numbered lines that follow belong to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Nothing,
    Chain,
    Branches,
    CallStack,
}

/// All samples of a dump, in its order.
pub fn samples(text: &str) -> Vec<Dumped> {
    let mut samples: Vec<Dumped> = Vec::new();
    let mut part = Part::Nothing;
    for line in text.lines() {
        if let Some((stamp, rest)) = line.split_once("]: PERF_RECORD_SAMPLE(") {
            samples.push(sample(stamp, rest).unwrap_or_else(|| panic!("not understood: {line}")));
            part = Part::Nothing;
        } else if let Some(row) = line.strip_prefix("..... ") {
            let Some(sample) = samples.last_mut() else { continue };
            let Some((_, numbers)) = row.split_once(": ") else { panic!("not understood: {line}") };
            let mut words = numbers.split_whitespace();
            let mut number =
                || hex(words.next().unwrap_or_default()).unwrap_or_else(|| panic!("not understood: {line}"));
            match part {
                Part::Chain => sample.chain.push(number()),
                Part::CallStack => sample.call_stack.push(number()),
                Part::Branches => {
                    let from = number();
                    assert_eq!(words.next(), Some("->"), "not understood: {line}");
                    let to = words.next().and_then(hex).unwrap_or_else(|| panic!("not understood: {line}"));
                    sample.branches.push((from, to));
                }
                Part::Nothing => {}
            }
        } else {
            part = match line.strip_prefix("... ") {
                Some(what) if what.starts_with("FP chain: nr:") => Part::Chain,
                Some(what) if what.starts_with("branch stack: nr:") => Part::Branches,
                Some(what) if what.starts_with("branch callstack: nr:") => Part::CallStack,
                _ => Part::Nothing,
            };
        }
    }
    samples
}

/// `CPU TIME 0xOFFSET [0xSIZE` and `IP, 0xMISC): PID/TID: 0xIP period: PERIOD addr: ADDRESS`.
fn sample(stamp: &str, rest: &str) -> Option<Dumped> {
    let words: Vec<&str> = stamp.split_whitespace().collect();
    let stamp =
        words.get(..words.len().checked_sub(2)?)?.iter().map(|word| word.parse().ok()).collect::<Option<_>>()?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    let [_ip, _misc, task, ip, "period:", period, "addr:", _address] = words[..] else { return None };
    let (pid, tid) = task.strip_suffix(':')?.split_once('/')?;
    Some(Dumped {
        stamp,
        pid: pid.parse().ok()?,
        tid: tid.parse().ok()?,
        ip: hex(ip)?,
        period: period.parse().ok()?,
        ..Dumped::default()
    })
}

fn hex(word: &str) -> Option<u64> {
    u64::from_str_radix(word.strip_prefix("0x").unwrap_or(word), 16).ok()
}

#[test]
fn dumps_are_read() {
    let text = "2 55 0x43f8 [0x78]: PERF_RECORD_SAMPLE(IP, 0x2): 26083/26084: 0x400513 period: 1985264 addr: 0\n\
                ... FP chain: nr:2\n.....  0: fffffffffffffe00\n.....  1: 0000000000400513\n\
                ... branch stack: nr:1\n.....  0: ffffffff81068283 -> ffffffff8106827e 0 cycles  P   0 \n ... thread: elf:26083\n";
    let [sample] = &samples(text)[..] else { panic!("one sample") };
    assert_eq!((sample.stamp.as_slice(), sample.pid, sample.tid), ([2, 55].as_slice(), 26083, 26084));
    assert_eq!((sample.chain.as_slice(), sample.period), ([0xfffffffffffffe00, 0x400513].as_slice(), 1985264));
    assert_eq!(sample.branches, [(0xffffffff81068283, 0xffffffff8106827e)]);
    assert!(compare(sample, sample).is_ok());
    let mut other = sample.clone();
    other.chain.pop();
    assert!(compare(sample, &other).is_err());
}
