//! Whom a rule is about, and until when; which rules and entries are of no use.

use super::comparison::{Check, FunctionFacts, Level};
use super::glob::Glob;
use super::settings::{Allowed, Day, FileGlob, Settings, Which};

impl From<&str> for FileGlob {
    fn from(pattern: &str) -> FileGlob {
        let may_be_anywhere = !pattern.starts_with(['/', '*']);
        let below = may_be_anywhere.then(|| Glob::new(&format!("*/{pattern}")));
        FileGlob { whole: Glob::new(pattern), below }
    }
}

impl FileGlob {
    fn matches(&self, file: &str) -> bool {
        self.whole.matches(file) || self.below.as_ref().is_some_and(|below| below.matches(file))
    }
}

impl Which {
    /// Whether all patterns that are given match. Everything, which has no name, is no function.
    pub fn matches(&self, function: &FunctionFacts) -> bool {
        let is = |pattern: &Option<Glob>, text: &str| pattern.as_ref().is_none_or(|one| one.matches(text));
        !function.name.is_empty()
            && is(&self.function, &function.name)
            && is(&self.module, &function.module)
            && self.file.as_ref().is_none_or(|file| file.matches(&function.file))
    }

    /// The patterns as they were written, each with its key: `function`, `module`, `file`.
    pub fn patterns(&self) -> [(&'static str, Option<&str>); 3] {
        [
            ("function", self.function.as_ref().map(Glob::pattern)),
            ("module", self.module.as_ref().map(Glob::pattern)),
            ("file", self.file.as_ref().map(|file| file.whole.pattern())),
        ]
    }

    /// Whether no pattern is given, so that it would be about everything.
    pub fn is_empty(&self) -> bool {
        self.function.is_none() && self.module.is_none() && self.file.is_none()
    }
}

impl std::fmt::Display for Which {
    /// As it was written: `function "codec::**", file "src/*"`.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut before = "";
        for (name, pattern) in self.patterns() {
            if let Some(pattern) = pattern {
                write!(out, "{before}{name} \"{pattern}\"")?;
                before = ", ";
            }
        }
        Ok(())
    }
}

impl Allowed {
    /// Whether its last day is over.
    pub fn expired(&self, today: Day) -> bool {
        today > self.until
    }
}

impl Day {
    /// The day of a time in seconds since 1970 (UTC); the last day of the year 9999 for what lies behind it.
    pub fn from_unix(seconds: u64) -> Day {
        // Howard Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`: years begin in March there, so that the
        // day that is not in each year is the last.
        const LAST_DAY: u64 = 2_932_896;
        let days = (seconds / 86_400).min(LAST_DAY) + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        Day { year: year as u16, month: month as u8, day: day as u8 }
    }
}

impl Settings {
    /// What of the configuration is of no use: entries whose last day is over, rules and entries that match none of `functions`.
    pub fn findings<'a>(&self, today: Day, functions: impl Iterator<Item = &'a FunctionFacts> + Clone) -> Vec<Check> {
        let at = |line: u32| match &self.config {
            Some(path) => format!("{}:{line}", path.display()),
            None => format!("line {line}"),
        };
        let mut found = Vec::new();
        let mut warn = |what, text| found.push(Check { level: Level::Warning, what, text });
        for Allowed { which, until, reason, line, .. } in self.allowed.iter().filter(|entry| entry.expired(today)) {
            let text =
                format!("{}: the entry for {which} ended on {until} and accepts nothing any more: {reason}", at(*line));
            warn("allow-list", text);
        }
        let matches = |which: &Which| functions.clone().any(|function| which.matches(function));
        for rule in self.rules.iter().filter(|rule| !matches(&rule.which)) {
            warn("rules", format!("{}: the rule for {} matches no function", at(rule.line), rule.which));
        }
        for entry in self.allowed.iter().filter(|entry| !entry.expired(today) && !matches(&entry.which)) {
            warn("allow-list", format!("{}: the entry for {} matches no function", at(entry.line), entry.which));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::settings::Rule;

    fn function(name: &str, module: &str, file: &str) -> FunctionFacts {
        FunctionFacts { name: name.into(), module: module.into(), file: file.into(), ..FunctionFacts::default() }
    }

    fn which(function: Option<&str>, module: Option<&str>, file: Option<&str>) -> Which {
        Which { function: function.map(Glob::new), module: module.map(Glob::new), file: file.map(FileGlob::from) }
    }

    #[test]
    fn all_patterns_must_match() {
        let crc = function("codec::crc", "app", "/build/src/codec/crc.rs");
        assert!(which(Some("codec::*"), None, None).matches(&crc));
        assert!(which(Some("codec::*"), Some("app"), Some("src/codec/*")).matches(&crc));
        assert!(!which(Some("codec::*"), Some("other"), None).matches(&crc));
        assert!(!which(None, None, Some("codec/src/*")).matches(&crc));
    }

    #[test]
    fn a_file_may_lie_in_any_folder_unless_its_pattern_says_where() {
        let deep = function("f", "app", "/build/a/src/db/x.c");
        assert!(which(None, None, Some("src/db/**")).matches(&deep));
        assert!(!which(None, None, Some("rc/db/**")).matches(&deep));
        assert!(!which(None, None, Some("/src/db/**")).matches(&deep));
        assert!(which(None, None, Some("*.c")).matches(&deep));
        assert!(which(None, None, Some("src/x.c")).matches(&function("f", "app", "src/x.c")));
    }

    #[test]
    fn everything_is_no_function() {
        assert!(!which(Some("*"), None, None).matches(&FunctionFacts::default()));
    }

    #[test]
    fn days_are_counted_as_the_calendar_does() {
        let check = |seconds: u64, expected: &str| assert_eq!(Day::from_unix(seconds).to_string(), expected);
        // `date -u -d @SECONDS +%F`
        check(0, "1970-01-01");
        check(951_782_399, "2000-02-28");
        check(951_782_400, "2000-02-29");
        check(1_709_251_199, "2024-02-29");
        check(1_709_251_200, "2024-03-01");
        check(4_107_542_400, "2100-03-01");
        check(253_402_300_799, "9999-12-31");
        check(u64::MAX, "9999-12-31");
    }

    #[test]
    fn what_is_of_no_use_is_told_with_its_line() {
        let allowed = |name: &str, line, year| Allowed {
            which: which(Some(name), None, None),
            up_to: 0.1,
            until: Day { year, month: 6, day: 30 },
            reason: "a fix".into(),
            line,
        };
        let settings = Settings {
            rules: vec![
                Rule { which: which(Some("f*"), None, None), line: 3, ..Rule::default() },
                Rule { which: which(None, Some("gone.so"), None), line: 7, ..Rule::default() },
            ],
            allowed: vec![allowed("f", 10, 2025), allowed("h", 14, 2027), allowed("f", 18, 2026)],
            config: Some("profile.toml".into()),
            ..Settings::default()
        };
        let functions = [function("f", "app", "")];
        let found = settings.findings(Day { year: 2026, month: 6, day: 30 }, functions.iter());
        let texts: Vec<&str> = found.iter().map(|check| check.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "profile.toml:10: the entry for function \"f\" ended on 2025-06-30 and accepts nothing any more: a fix",
                "profile.toml:7: the rule for module \"gone.so\" matches no function",
                "profile.toml:14: the entry for function \"h\" matches no function",
            ]
        );
    }
}
