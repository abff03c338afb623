//! `profile.toml`: what a gate demands, written by hand and kept with the source.
//!
//! ```toml
//! [gate]
//! alpha = 0.01                  # the chance of a false alarm, of the whole comparison
//! min-relative = 0.03           # smaller changes of a function do not matter
//! min-absolute = 0.002          # nor do those that are less of everything
//! total = { max = 0.02 }        # everything, per unit of work
//! fail-on = ["regression"]
//! [[gate.rule]]                 # of rules that match, the last one holds
//! function = "codec::**"        # also: module = "libssl*", file = "src/db/**"
//! self = { max = 0.05 }
//! [[gate.allow]]                # a regression that is accepted for a time
//! function = "parser::validate"
//! up-to = 0.15
//! until = 2026-12-31
//! reason = "CVE fix, #812"
//! ```
//!
//! A typing error must not switch a gate off, so a key that nobody knows is an error; each names its line and column.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::glob::Glob;
use super::settings::{Allowed, Day, FileGlob, Rule, Scale, Settings, Which};
use crate::error::{Error, ErrorKind, Result};

/// Which outcomes give an exit status other than 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FailOn {
    /// A regression.
    Regression,
    /// Too little to say.
    Inconclusive,
    /// Any significant change, for the better too.
    Change,
}

impl FailOn {
    /// All there are.
    pub const ALL: [FailOn; 3] = [FailOn::Regression, FailOn::Inconclusive, FailOn::Change];

    /// As it is typed: `regression`.
    pub fn name(self) -> &'static str {
        match self {
            FailOn::Regression => "regression",
            FailOn::Inconclusive => "inconclusive",
            FailOn::Change => "change",
        }
    }
}

/// What a `profile.toml` says.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What a gate demands; what is not said is as it was in the settings that it was read over.
    pub settings: Settings,
    /// What fails, if that is said.
    pub fail_on: Option<Vec<FailOn>>,
}

/// Larger files are refused unread: nobody writes such by hand.
const LARGEST: u64 = 1 << 20;

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// That it cannot be read; else as [`Config::parse`].
    pub fn read(path: &Path, over: Settings) -> Result<Config> {
        let failed = |error| {
            Error::io(format!("cannot read the configuration {}", path.display()), error)
                .with_hint("--config names a profile.toml; without it, the one in this folder is read if there is one")
        };
        let file = std::fs::File::open(path).map_err(failed)?;
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(file, LARGEST + 1), &mut bytes).map_err(failed)?;
        let malformed = |what: String| Error::new(ErrorKind::Malformed, format!("{}{what}", path.display()));
        if bytes.len() as u64 > LARGEST {
            return Err(
                malformed(" is larger than 1 MiB".into()).with_hint("a configuration is text like docs/gate.md shows")
            );
        }
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
            malformed(format!(":{line}: the text is not UTF-8")).with_hint("TOML is UTF-8: save it as such")
        })?;
        Config::parse(text, path, over)
    }

    /// Reads the text of a file of this name.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] with line and column of the first mistake, and what was meant as far as that can be guessed.
    pub fn parse(text: &str, path: &Path, over: Settings) -> Result<Config> {
        let parsed = DeTable::parse(text);
        let mut reader = Reader { text, faults: Vec::new() };
        let mut config = Config { settings: Settings { config: Some(path.to_owned()), ..over }, fail_on: None };
        match &parsed {
            Ok(document) => reader.document(document.get_ref(), &mut config),
            Err(error) => {
                let hint = "strings stand in quotes, dates do not: function = \"codec::**\", until = 2026-12-31";
                reader.fault(error.span().unwrap_or_default(), error.message().to_owned(), hint);
            }
        }
        // Tables are sorted by key, and the reader of a message by line.
        let first = reader.faults.iter().min_by_key(|fault| fault.at);
        let Some(Fault { at, message, hint }) = first else { return Ok(config) };
        let more = match reader.faults.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        let place = reader.place(*at);
        let message = format!("{}:{place}: {message}{more}", path.display());
        Err(Error::new(ErrorKind::Malformed, message).with_hint(hint.clone()))
    }
}

/// A mistake, and where it stands.
struct Fault {
    at: usize,
    message: String,
    hint: String,
}

/// A value in its place.
type Placed<'a> = Spanned<DeValue<'a>>;

/// Reads tables; what is wrong is noted and then as if it were not there.
struct Reader<'t> {
    text: &'t str,
    faults: Vec<Fault>,
}

const GATE: [&str; 14] = [
    "alpha",
    "warn-alpha",
    "min-relative",
    "min-absolute",
    "margin",
    "total",
    "scale",
    "runs",
    "fail-on",
    "seed",
    "strict-design",
    "assumed-noise",
    "rule",
    "allow",
];
const RULE: [&str; 6] = ["function", "module", "file", "self", "inclusive", "ignore"];
const ALLOW: [&str; 6] = ["function", "module", "file", "up-to", "until", "reason"];

impl Reader<'_> {
    fn document(&mut self, table: &DeTable<'_>, config: &mut Config) {
        self.keys(table, &["gate"], "the file");
        let Some(gate) = table.get("gate") else { return };
        let Some(gate) = self.table(gate, "gate", "[gate] begins it, on a line of its own") else { return };
        self.keys(gate, &GATE, "[gate]");
        let settings = &mut config.settings;
        if let Some(alpha) = self.number(gate, "alpha", Over::Zero(0.5), "0.01 is 1 %") {
            settings.alpha = alpha;
            settings.warn_alpha = settings.warn_alpha.max(alpha);
        }
        if let Some(alpha) = self.number(gate, "warn-alpha", Over::Zero(0.5), "0.05 is 5 %") {
            settings.warn_alpha = alpha;
            if alpha < settings.alpha
                && let Some(value) = gate.get("warn-alpha")
            {
                let message = format!(
                    "warn-alpha is less than alpha, {}: what fails would not be worth a warning",
                    settings.alpha
                );
                self.fault(value.span(), message, "warn-alpha = 0.05 warns of what alpha = 0.01 does not fail");
            }
        }
        let relative = self.number(gate, "min-relative", Over::OrZero(10.0), "0.03 is 3 %");
        settings.min_relative = relative.unwrap_or(settings.min_relative);
        let absolute = self.number(gate, "min-absolute", Over::OrZero(1.0), "0.002 is 0.2 % of everything");
        settings.min_absolute = absolute.unwrap_or(settings.min_absolute);
        let margin = self.number(gate, "margin", Over::OrZero(1.0), "0.01: a rise has to be surely more than 1 %");
        settings.margin = margin.or(settings.margin);
        settings.total_max = self.max(gate, "total").or(settings.total_max);
        let noise = self.number(gate, "assumed-noise", Over::OrZero(1.0), "0.05 is 5 % from run to run");
        settings.assumed_noise = noise.unwrap_or(settings.assumed_noise);
        if let Some(scale) = self.one_of(gate.get("scale"), "scale", Scale::ALL.map(|scale| (scale.name(), scale))) {
            settings.scale = scale;
        }
        let runs =
            self.whole(gate, "runs", 1..=10_000, "5 runs a side are the fewest that alpha = 0.01 can be had with");
        settings.runs = runs.map_or(settings.runs, |runs| runs as u32);
        let seed = self.whole(gate, "seed", 0..=i64::MAX as u64, "any number; the same one gives the same result");
        settings.seed = seed.unwrap_or(settings.seed);
        settings.is_design_strict = self.yes_or_no(gate, "strict-design").unwrap_or(settings.is_design_strict);
        config.fail_on = self.fail_on(gate).or(config.fail_on.take());
        let rules = self.tables(gate, "rule");
        settings.rules.extend(rules.into_iter().filter_map(|(table, span)| self.rule(table, span)));
        let allowed = self.tables(gate, "allow");
        settings.allowed.extend(allowed.into_iter().filter_map(|(table, span)| self.allow(table, span)));
        // They stand in the file's order, whatever the order of tables.
        settings.rules.sort_by_key(|rule| rule.line);
        settings.allowed.sort_by_key(|entry| entry.line);
    }

    fn rule(&mut self, table: &DeTable<'_>, span: Range<usize>) -> Option<Rule> {
        self.keys(table, &RULE, "[[gate.rule]]");
        let rule = Rule {
            which: self.which(table),
            self_max: self.max(table, "self"),
            inclusive_max: self.max(table, "inclusive"),
            ignore: self.yes_or_no(table, "ignore").unwrap_or(false),
            line: self.line(span.start),
        };
        if !self.has_pattern(&rule.which, table, &span, "a rule") {
            return None;
        }
        let says = table.contains_key("self") || table.contains_key("inclusive") || table.contains_key("ignore");
        if !says {
            let message = format!("the rule for {} says nothing", rule.which);
            self.fault(span, message, "add self = { max = 0.05 }, inclusive = { max = 0.03 }, or ignore = true");
            return None;
        }
        if rule.ignore && (rule.self_max.is_some() || rule.inclusive_max.is_some()) {
            let message = format!("the rule for {} ignores what it sets limits for", rule.which);
            self.fault(span, message, "leave out ignore, or self and inclusive");
        }
        Some(rule)
    }

    fn allow(&mut self, table: &DeTable<'_>, span: Range<usize>) -> Option<Allowed> {
        self.keys(table, &ALLOW, "[[gate.allow]]");
        let which = self.which(table);
        let faults = self.faults.len();
        self.has_pattern(&which, table, &span, "an entry of the allow-list");
        let of = if which.is_empty() { "the entry".to_owned() } else { format!("the entry for {which}") };
        let needed = [
            ("up-to", "how much of a rise is accepted: up-to = 0.15 is 15 %"),
            ("until", "the last day that it holds: until = 2026-12-31; what is accepted for ever belongs into a rule"),
            ("reason", "why it is accepted: reason = \"CVE fix, #812\""),
        ];
        for (key, hint) in needed.into_iter().filter(|(key, _)| !table.contains_key(*key)) {
            self.fault(span.clone(), format!("{of} has no `{key}`"), hint);
        }
        let up_to = self.number(table, "up-to", Over::Zero(1000.0), "0.15 is 15 %");
        let until = table.get("until").and_then(|value| self.day(value));
        let reason = self.string(table, "reason");
        if reason.as_ref().is_some_and(|reason| reason.trim().is_empty())
            && let Some(value) = table.get("reason")
        {
            self.fault(value.span(), format!("{of} has an empty `reason`"), "say why: reason = \"CVE fix, #812\"");
        }
        if self.faults.len() > faults {
            return None;
        }
        Some(Allowed { which, up_to: up_to?, until: until?, reason: reason?, line: self.line(span.start) })
    }

    fn which(&mut self, table: &DeTable<'_>) -> Which {
        let mut pattern = |key: &str| {
            let pattern = self.string(table, key)?;
            if pattern.is_empty()
                && let Some(value) = table.get(key)
            {
                self.fault(
                    value.span(),
                    format!("`{key}` is empty, which matches nothing"),
                    "\"*\" matches everything",
                );
            }
            Some(pattern)
        };
        let glob = |pattern: Option<String>| pattern.as_deref().map(Glob::new);
        let (function, module) = (glob(pattern("function")), glob(pattern("module")));
        Which { function, module, file: pattern("file").as_deref().map(FileGlob::from) }
    }

    fn has_pattern(&mut self, which: &Which, table: &DeTable<'_>, span: &Range<usize>, what: &str) -> bool {
        let is_tried = ["function", "module", "file"].into_iter().any(|key| table.contains_key(key));
        // A key that is not known says more: it was probably meant.
        let is_misspelt = table.iter().any(|(key, _)| {
            let key: &str = key.get_ref();
            !RULE.contains(&key) && !ALLOW.contains(&key)
        });
        if which.is_empty() && !is_tried && !is_misspelt {
            let hint = "add function = \"codec::**\", module = \"libssl*\" or file = \"src/db/**\"; function = \"*\" is for all";
            self.fault(span.clone(), format!("{what} needs a pattern"), hint);
        }
        !which.is_empty()
    }

    fn fail_on(&mut self, gate: &DeTable<'_>) -> Option<Vec<FailOn>> {
        let value = gate.get("fail-on")?;
        let names = FailOn::ALL.map(|one| (one.name(), one));
        let mut found = match value.get_ref() {
            DeValue::Array(list) if list.is_empty() => {
                let hint = "fail-on = [\"regression\"]; \"inconclusive\" and \"change\" may stand there too";
                self.fault(value.span(), "`fail-on` is empty: such a gate could never fail".to_owned(), hint);
                return None;
            }
            DeValue::Array(list) => {
                list.iter().filter_map(|one| self.one_of(Some(one), "fail-on", names)).collect::<Vec<FailOn>>()
            }
            DeValue::String(_) => vec![self.one_of(Some(value), "fail-on", names)?],
            _ => {
                self.wrong(
                    value,
                    "fail-on",
                    "a list",
                    "fail-on = [\"regression\"], and \"inconclusive\" or \"change\" besides",
                );
                return None;
            }
        };
        found.sort_unstable();
        found.dedup();
        Some(found)
    }

    /// The tables of `[[gate.NAME]]`, each with its place.
    fn tables<'a>(&mut self, gate: &'a DeTable<'_>, key: &str) -> Vec<(&'a DeTable<'a>, Range<usize>)> {
        let Some(value) = gate.get(key) else { return Vec::new() };
        let hint = format!("each begins with [[gate.{key}]], in double brackets");
        let DeValue::Array(list) = value.get_ref() else {
            self.wrong(value, key, "a list of tables", &hint);
            return Vec::new();
        };
        list.iter().filter_map(|one| Some((self.table(one, key, &hint)?, one.span()))).collect()
    }

    /// `{ max = 0.05 }`.
    fn max(&mut self, table: &DeTable<'_>, key: &str) -> Option<f64> {
        let value = table.get(key)?;
        let inner = self.table(value, key, &format!("{key} = {{ max = 0.05 }}; 0.05 is 5 %"))?;
        self.keys(inner, &["max"], &format!("`{key}`"));
        if !inner.contains_key("max") {
            self.fault(
                value.span(),
                format!("`{key}` has no `max`"),
                &format!("{key} = {{ max = 0.05 }}; 0.05 is 5 %"),
            );
        }
        self.number(inner, "max", Over::OrZero(1000.0), "0.05 is 5 %")
    }

    fn number(&mut self, table: &DeTable<'_>, key: &str, range: Over, hint: &str) -> Option<f64> {
        let value = table.get(key)?;
        let number: Option<f64> = match value.get_ref() {
            DeValue::Float(number) => number.as_str().parse().ok(),
            DeValue::Integer(number) => {
                i64::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number as f64)
            }
            _ => {
                self.wrong(value, key, "a number", hint);
                return None;
            }
        };
        let number = number.filter(|number| range.has(*number));
        if number.is_none() {
            self.fault(value.span(), format!("`{key}` is {range}, not {}", self.written(value)), hint);
        }
        number
    }

    fn whole(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        range: std::ops::RangeInclusive<u64>,
        hint: &str,
    ) -> Option<u64> {
        let value = table.get(key)?;
        let DeValue::Integer(number) = value.get_ref() else {
            self.wrong(value, key, "a whole number", hint);
            return None;
        };
        let number = u64::from_str_radix(number.as_str(), number.radix()).ok().filter(|number| range.contains(number));
        if number.is_none() {
            let (least, most) = (range.start(), range.end());
            self.fault(value.span(), format!("`{key}` is from {least} to {most}, not {}", self.written(value)), hint);
        }
        number
    }

    fn yes_or_no(&mut self, table: &DeTable<'_>, key: &str) -> Option<bool> {
        let value = table.get(key)?;
        if value.get_ref().as_bool().is_none() {
            self.wrong(value, key, "true or false", &format!("{key} = true, without quotes"));
        }
        value.get_ref().as_bool()
    }

    fn string(&mut self, table: &DeTable<'_>, key: &str) -> Option<String> {
        let value = table.get(key)?;
        if value.get_ref().as_str().is_none() {
            self.wrong(value, key, "a text", &format!("{key} = \"..\", in quotes"));
        }
        value.get_ref().as_str().map(str::to_owned)
    }

    fn day(&mut self, value: &Placed<'_>) -> Option<Day> {
        let hint = "a day without quotes and without a time: until = 2026-12-31";
        match value.get_ref() {
            DeValue::Datetime(moment) if moment.time.is_none() => {
                let date = moment.date?;
                Some(Day { year: date.year, month: date.month, day: date.day })
            }
            DeValue::Datetime(_) => {
                self.fault(value.span(), format!("`until` is a day, not {}", self.written(value)), hint);
                None
            }
            _ => {
                self.wrong(value, "until", "a day", hint);
                None
            }
        }
    }

    fn one_of<T: Copy, const N: usize>(
        &mut self,
        value: Option<&Placed<'_>>,
        key: &str,
        names: [(&str, T); N],
    ) -> Option<T> {
        let value = value?;
        let listed = names.map(|(name, _)| format!("\"{name}\"")).join(", ");
        let Some(text) = value.get_ref().as_str() else {
            self.wrong(value, key, "a text", &format!("one of {listed}"));
            return None;
        };
        let found = names.iter().find(|(name, _)| *name == text).map(|(_, one)| *one);
        if found.is_none() {
            let hint = match nearest(text, &names.map(|(name, _)| name)) {
                Some(name) => format!("did you mean \"{name}\"? there are {listed}"),
                None => format!("there are {listed}"),
            };
            self.fault(value.span(), format!("`{key}` is not \"{text}\""), &hint);
        }
        found
    }

    fn table<'a>(&mut self, value: &'a Placed<'_>, key: &str, hint: &str) -> Option<&'a DeTable<'a>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => {
                self.wrong(value, key, "a table", hint);
                None
            }
        }
    }

    /// Notes keys that nobody knows.
    fn keys(&mut self, table: &DeTable<'_>, known: &[&str], place: &str) {
        for key in table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let hint = match nearest(key.get_ref(), known) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("{place} has {}", known.join(", ")),
            };
            self.fault(key.span(), format!("unknown key `{}` in {place}", key.get_ref()), &hint);
        }
    }

    /// Notes a value of the wrong type.
    fn wrong(&mut self, value: &Placed<'_>, key: &str, wanted: &str, hint: &str) {
        let is = match value.get_ref() {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.fault(value.span(), format!("`{key}` is {wanted}, and this is {is}"), hint);
    }

    fn fault(&mut self, span: Range<usize>, message: String, hint: &str) {
        self.faults.push(Fault { at: span.start, message, hint: hint.to_owned() });
    }

    /// A value as it stands in the file.
    fn written(&self, value: &Placed<'_>) -> String {
        let text = self.text.get(value.span()).unwrap_or_default();
        text.chars().take(40).collect()
    }

    fn line(&self, at: usize) -> u32 {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        before.iter().filter(|byte| **byte == b'\n').count() as u32 + 1
    }

    /// `line:column`, both from 1; columns are characters.
    fn place(&self, at: usize) -> String {
        let before = self.text.get(..at).unwrap_or(self.text);
        let in_line = before.rsplit('\n').next().unwrap_or_default();
        format!("{}:{}", self.line(at), in_line.chars().count() + 1)
    }
}

/// A range of numbers from 0.
#[derive(Clone, Copy)]
enum Over {
    /// More than 0.
    Zero(f64),
    /// 0 too.
    OrZero(f64),
}

impl Over {
    fn has(self, number: f64) -> bool {
        match self {
            Over::Zero(most) => number > 0.0 && number <= most,
            Over::OrZero(most) => (0.0..=most).contains(&number),
        }
    }
}

impl std::fmt::Display for Over {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Over::Zero(most) => write!(out, "more than 0 and at most {most}"),
            Over::OrZero(most) => write!(out, "from 0 to {most}"),
        }
    }
}

/// The known word that `word` is likely to mean.
fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase().replace('_', "-");
    if word.len() > 40 {
        return None;
    }
    let best = known.iter().map(|one| (distance(&word, one), *one)).min()?;
    (best.0 <= 1 + best.1.chars().count() / 4).then_some(best.1)
}

/// How many letters must be added, taken or changed, or change places with the next one (optimal string alignment).
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows = vec![(0..=other.len()).collect::<Vec<usize>>()];
    for (row, letter) in one.iter().enumerate() {
        let mut next = vec![row + 1];
        for (column, wanted) in other.iter().enumerate() {
            let changed = rows[row][column] + usize::from(letter != wanted);
            let mut least = changed.min(rows[row][column + 1] + 1).min(next[column] + 1);
            if row > 0 && column > 0 && one[row - 1] == *wanted && other[column - 1] == *letter {
                least = least.min(rows[row - 1][column - 1] + 1);
            }
            next.push(least);
        }
        rows.push(next);
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests;
