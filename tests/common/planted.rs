//! What `testdata/programs/off_cpu.c` prints of its waits, and how a recording of them is read.

use super::folded::{Folded, Row};

/// A path of functions at which one thread waited.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Place {
    /// The functions, outermost first.
    pub path: Vec<String>,
    /// Nanoseconds blocked.
    pub blocked: u64,
    /// How often it blocked.
    pub times: u64,
    /// Nanoseconds that it could have run, and waited for a CPU.
    pub runnable: u64,
    /// The name of the thread that ended the waits, or `[interrupt]`.
    pub waker: Option<String>,
}

/// A thread of the program.
#[derive(Clone, Debug, PartialEq)]
pub struct Thread {
    /// Its name.
    pub name: String,
    /// Its id.
    pub tid: u32,
    /// Nanoseconds that it was not on a CPU.
    pub off: u64,
    /// Nanoseconds of them that it waited for a CPU (`/proc/TID/schedstat`).
    pub runnable: u64,
    /// Nanoseconds from its begin to its end.
    pub lived: u64,
    /// How often it blocked.
    pub times: u64,
    /// Nanoseconds that it was on a CPU, or waited for one, before its begin.
    pub before: u64,
}

/// All that the program printed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Planted {
    /// The places, in the order of the program.
    pub places: Vec<Place>,
    /// The threads, in the order of their ends.
    pub threads: Vec<Thread>,
    /// Modes that cannot be had here, with the reason.
    pub missing: Vec<String>,
}

impl Planted {
    /// Reads what the program printed; a line of another form fails the test.
    pub fn parse(printed: &str) -> Planted {
        let mut planted = Planted::default();
        for line in printed.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let number = |at: usize| -> u64 {
                words[at].parse().unwrap_or_else(|_| panic!("no number at {at} of {line:?} of the program"))
            };
            match words[0] {
                "TRUTH" => {
                    let place = planted.place(words[1]);
                    (place.blocked, place.times) = (number(2), number(3));
                }
                "RUNNABLE" => planted.place(words[1]).runnable = number(2),
                "WAKER" => planted.place(words[1]).waker = Some(words[2].to_owned()),
                "THREAD" => planted.threads.push(Thread {
                    name: words[1].to_owned(),
                    tid: number(2) as u32,
                    off: number(3),
                    runnable: number(4),
                    lived: number(5),
                    times: number(6),
                    before: number(7),
                }),
                "NONE" => planted.missing.push(words[1..].join(" ")),
                _ => panic!("the program printed {line:?}"),
            }
        }
        planted
    }

    /// The row of a path, which is made if there is none.
    fn place(&mut self, path: &str) -> &mut Place {
        let path: Vec<String> = path.split(';').map(str::to_owned).collect();
        let at = self.places.iter().position(|place| place.path == path).unwrap_or_else(|| {
            self.places.push(Place { path, ..Place::default() });
            self.places.len() - 1
        });
        &mut self.places[at]
    }
}

/// A row of time off the CPU, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Wait<'a> {
    /// The stack at which it blocked, outermost first, with what stands above the stack: process, thread.
    pub stack: &'a [String],
    /// Whether the thread could have run.
    pub is_runnable: bool,
    /// What stands behind `[woken by]`: the waker's frames from the innermost to its name.
    pub waker: Option<&'a [String]>,
    /// Nanoseconds.
    pub time: u64,
}

/// Frames that say what kind of wait it was.
const MARKS: [&str; 4] = ["[runnable]", "[off-CPU]", "[still blocked]", "[blocked before]"];

impl<'a> Wait<'a> {
    /// Reads a row of a recording of time off the CPU.
    pub fn of(row: &'a Row) -> Wait<'a> {
        let woken = row.frames.iter().position(|frame| frame == "[woken by]");
        let (blocked, waker) = match woken {
            Some(at) => (&row.frames[..at], Some(&row.frames[at + 1..])),
            None => (&row.frames[..], None),
        };
        let end = blocked.iter().position(|frame| MARKS.contains(&frame.as_str())).unwrap_or(blocked.len());
        Wait {
            stack: &blocked[..end],
            is_runnable: blocked[end..].iter().any(|mark| mark == "[runnable]"),
            waker,
            time: row.weight,
        }
    }

    /// Whether it was at this path.
    pub fn is_at(&self, place: &Place) -> bool {
        self.stack.windows(place.path.len()).any(|frames| frames == place.path)
    }

    /// Who is said to have ended it: a thread's name, `[interrupt]`, `[not known]`.
    pub fn waker_name(&self) -> Option<&'a str> {
        let waker = self.waker?;
        match waker.first().map(String::as_str) {
            Some("[interrupt]") => Some("[interrupt]"),
            _ => waker.last().map(String::as_str),
        }
    }

    /// The innermost frame of user mode, without what stands for the stack as a whole.
    pub fn user_leaf(&self) -> Option<&'a str> {
        self.stack.iter().rfind(|frame| !frame.ends_with("_[k]")).map(String::as_str)
    }
}

/// Time off the CPU of one thread: rows of `--per-thread` have a level `NAME-TID`.
pub fn of_thread(folded: &Folded, tid: u32, mut pass: impl FnMut(&Row) -> bool) -> u64 {
    let ending = format!("-{tid}");
    folded.weight(|row| row.frames.get(1).is_some_and(|frame| frame.ends_with(&ending)) && pass(row))
}

#[test]
fn waits_are_taken_apart() {
    let folded = Folded::parse(
        "a;a-1;main;outer;inner;read;schedule_[k] 5\n\
         a;a-1;main;outer;inner;read;schedule_[k];[runnable] 6\n\
         a;a-1;main;outer;inner;read;schedule_[k];[woken by];wake_[k];write;main;writer 7\n\
         a;a-1;main;outer;inner;read;schedule_[k];[woken by];[interrupt];timer_[k] 8\n",
    );
    let waits: Vec<_> = folded.rows.iter().map(Wait::of).collect();
    let planted = Planted::parse("TRUTH outer;inner 5 1\nRUNNABLE outer;inner 6\nWAKER outer;inner writer\n");
    assert!(waits.iter().all(|wait| wait.is_at(&planted.places[0]) && wait.user_leaf() == Some("read")));
    assert_eq!(waits.iter().map(|wait| wait.is_runnable).collect::<Vec<_>>(), [false, true, false, false]);
    let wakers: Vec<_> = waits.iter().map(Wait::waker_name).collect();
    assert_eq!(wakers, [None, None, Some("writer"), Some("[interrupt]")]);
    assert_eq!(of_thread(&folded, 1, |_| true), 26);
}
