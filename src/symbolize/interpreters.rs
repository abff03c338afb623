//! Time in an interpreter that does not show which functions of the program it runs, and what makes it show them.

use crate::model::{FrameKey, Profile};
use crate::process::Runtime;

/// CPython's interpreter loop, and the begin of the names that `-X perf` gives to Python's functions.
const PYTHON_LOOP: &str = "_PyEval_EvalFrameDefault";
const PYTHON_NAME: &str = "py::";
/// Of what is less it is not worth to speak.
const LEAST: f64 = 0.05;

/// What to say of a profile, whose frames have names: how much of it is in Python's interpreter without a Python function on its
/// stacks, and what to type.
pub fn interpreter_notes(profile: &Profile) -> Vec<String> {
    let mut runtime = None;
    let mut is_loop = vec![false; profile.frames.len()];
    let mut is_named = vec![false; profile.frames.len()];
    for (row, frame) in profile.frames.iter().enumerate() {
        for line in profile.lines_of(crate::model::FrameId::from_index(row)) {
            let name = profile.strings.get(profile.functions[line.function.index()].raw_name);
            is_loop[row] |= name == PYTHON_LOOP;
            is_named[row] |= name.starts_with(PYTHON_NAME);
        }
        if is_loop[row]
            && let FrameKey::Code { image, .. } = frame.key
        {
            let path = profile.strings.get(profile.images[image.index()].path);
            runtime = runtime.or_else(|| Runtime::of_path(path.as_bytes()));
        }
    }
    // Of each stack, whether the loop is on it, and whether a function of Python is.
    let mut on = vec![(false, false); profile.stacks.len()];
    for (row, stack) in profile.stacks.iter().enumerate().skip(1) {
        let (in_loop, has_name) = on[stack.parent.index()];
        on[row] = (in_loop || is_loop[stack.frame.index()], has_name || is_named[stack.frame.index()]);
    }
    let (mut all, mut nameless) = (0.0, 0.0);
    for sample in profile.samples.iter().filter(|sample| sample.event == profile.main && sample.count > 0) {
        all += sample.value as f64;
        nameless += if on[sample.stack.index()] == (true, false) { sample.value as f64 } else { 0.0 };
    }
    if nameless < LEAST * all || nameless == 0.0 {
        return Vec::new();
    }
    let runtime = runtime.unwrap_or(Runtime::Python(None));
    let (share, advice) = (nameless / all * 100.0, runtime.advice(None));
    vec![format!(
        "{share:.0} % is in {runtime}'s interpreter, but which functions of the Python program it ran is not shown; \
        to see them: {advice}"
    )]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EventId, Line, ProfileBuilder, Resolution, Sample, StackEnd, StackId, Timestamp, Unit};

    /// A profile of Python, some of whose stacks have a function of Python.
    fn check(path: &str, nameless: u64, named: u64, expected: &[&str]) {
        let mut builder = ProfileBuilder::new();
        builder.add_event("cpu-clock", Unit::Nanoseconds, None);
        let process = builder.add_process(1, "python");
        let thread = builder.add_thread(process, 1, "python");
        let image = builder.add_image(crate::model::ImageKind::File, path, None);
        let mut frame = |offset, name: &str| {
            let function = builder.function(name, name);
            let file = builder.string("");
            builder.resolved_frame(FrameKey::Code { image, offset }, &[Line { function, file, line: 0 }])
        };
        let (eval, hot) = (frame(1, "_PyEval_EvalFrameDefault"), frame(2, "py::hot:/a.py"));
        let plain = builder.stack(StackId(0), eval);
        let outer = builder.stack(StackId(0), hot);
        let inner = builder.stack(outer, eval);
        for (stack, value) in [(plain, nameless), (inner, named)] {
            let (time, cpu, end, event) = (Timestamp(1), Sample::NO_CPU, StackEnd::Root, EventId(0));
            builder.add_sample(Sample { time, thread, cpu, stack, end, event, value, count: 1 });
        }
        let profile = builder.finish();
        assert!(profile.frames.iter().all(|frame| matches!(frame.resolution, Resolution::Lines { .. })));
        assert_eq!(interpreter_notes(&profile), expected);
    }

    #[test]
    fn python_without_names_is_told_what_to_type() {
        check(
            "/usr/bin/python3.13",
            90,
            10,
            &["90 % is in Python 3.13's interpreter, but which functions of the Python program it ran is not \
               shown; to see them: `python3 -X perf`, or \
               `PYTHONPERFSUPPORT=1` in its environment"],
        );
        check(
            "/usr/bin/python3.11",
            100,
            0,
            &["100 % is in Python 3.11's interpreter, but which functions of the Python program it ran is not \
               shown; to see them: from Python 3.12 on \
               `python3 -X perf` names Python's functions; this one cannot"],
        );
        check("/usr/bin/python3.12", 4, 96, &[]);
        check("/usr/bin/python3.12", 0, 0, &[]);
    }
}
