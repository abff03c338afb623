//! How much work a run did: what its cost is divided by.

/// What `--work` says.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// Each run of the base did so many units, and each new run.
    Known([f64; 2]),
    /// Each run says it itself: the number behind this text, the last one if there are several.
    Printed {
        /// Where it is printed.
        stream: Stream,
        /// What stands before the number.
        pattern: String,
    },
}

/// What a command writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Output,
    Errors,
}

impl Stream {
    /// It in words.
    pub fn name(self) -> &'static str {
        match self {
            Stream::Output => "standard output",
            Stream::Errors => "standard error",
        }
    }
}

impl Default for Work {
    fn default() -> Work {
        Work::Known([1.0; 2])
    }
}

impl Work {
    /// Reads `1000`, `1000,1200` (base, new), `stdout:requests` or `stderr:requests`.
    pub fn parse(text: &str) -> Result<Work, String> {
        let streams = [("stdout:", Stream::Output), ("stderr:", Stream::Errors)];
        for (name, stream) in streams {
            if let Some(pattern) = text.strip_prefix(name) {
                return match pattern.is_empty() {
                    true => Err(format!("{name} needs the text that stands before the number: {name}requests")),
                    false => Ok(Work::Printed { stream, pattern: pattern.to_owned() }),
                };
            }
        }
        let hint = "units of work of each run: 1000; of base and new: 1000,1200; or what stands before the number that the command prints: \
                    stdout:requests, stderr:requests";
        let number = |text: &str| {
            let number: f64 = text.trim().parse().map_err(|_| hint.to_owned())?;
            match (1.0 / MOST..=MOST).contains(&number) {
                true => Ok(number),
                false => Err("units of work are more than 0, and less than 1e18".to_owned()),
            }
        };
        match text.split_once(',') {
            Some((base, new)) => Ok(Work::Known([number(base)?, number(new)?])),
            None => Ok(Work::Known([number(text)?; 2])),
        }
    }
}

/// Nobody counts more than nanoseconds.
const MOST: f64 = 1e18;

/// The number that follows the last `pattern` that a number follows; spaces, `:` and `=` may stand between.
pub fn number_behind(text: &[u8], pattern: &str) -> Option<f64> {
    let text = String::from_utf8_lossy(text);
    let places = text.rmatch_indices(pattern).map(|(at, _)| &text[at + pattern.len()..]);
    places.filter_map(|rest| number(rest.trim_start_matches([' ', '\t', ':', '=']))).next()
}

/// The number at the begin of a text, more than 0: digits in groups of three too, `1,234,567` and `1_234`; a fraction; an exponent.
fn number(text: &str) -> Option<f64> {
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut end = digits(0);
    let mut written = text[..end].to_owned();
    if end == 0 {
        return None;
    }
    while matches!(bytes.get(end), Some(b',' | b'_' | b'\'')) && digits(end + 1) == 3 {
        written += &text[end + 1..end + 4];
        end += 4;
    }
    if bytes.get(end) == Some(&b'.') && digits(end + 1) > 0 {
        let fraction = digits(end + 1) + 1;
        written += &text[end..end + fraction];
        end += fraction;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        if digits((end + 1 + sign).min(bytes.len())) > 0 {
            written += &text[end..end + 1 + sign + digits(end + 1 + sign)];
        }
    }
    written.parse().ok().filter(|number| (f64::MIN_POSITIVE..=MOST).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read() {
        assert_eq!(Work::parse("1000"), Ok(Work::Known([1000.0; 2])));
        assert_eq!(Work::parse("1000,1e3"), Ok(Work::Known([1000.0; 2])));
        assert_eq!(Work::parse("10, 20"), Ok(Work::Known([10.0, 20.0])));
        let printed = Work::Printed { stream: Stream::Errors, pattern: "done: ".into() };
        assert_eq!(Work::parse("stderr:done: "), Ok(printed));
        for wrong in ["", "0", "-1", "nan", "inf", "1,", "1,2,3", "stdout:", "requests", "1e19"] {
            assert!(Work::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_are_found_behind_their_text() {
        let check = |text: &str, expected: Option<f64>| {
            assert_eq!(number_behind(text.as_bytes(), "requests"), expected, "{text}");
        };
        check("requests 12", Some(12.0));
        check("requests: 12\nrequests = 1500\n", Some(1500.0));
        check("requests 7\nrequests failed", Some(7.0));
        check("12 requests", None);
        check("requests: 1,234,567", Some(1_234_567.0));
        check("requests: 1,2", Some(1.0));
        check("requests 1_000.5e1x", Some(10_005.0));
        check("requests 3e", Some(3.0));
        check("requests 3.", Some(3.0));
        check("requests -3", None);
        check("requests 0", None);
        check("requests 1e999", None);
        check("requests", None);
    }
}
