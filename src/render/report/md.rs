//! The comment of a pull request, and the summary of a job, in GitHub-flavoured Markdown.
//!
//! ```text
//! ❌ **profile: 1 regression** · total +4.8 % [+2.7, +6.9]: ..     the first line alone suffices
//! why it is inconclusive; what limits the comparison
//! | cause | self, base → new | change (95 %) | of total | adj. p | where |
//! | scales: work, share, robust, of the total and of each cause |
//! moved, renamed?, suspects
//! the smallest change that could have been seen
//! <details> improvements, accepted, explained, one side only, comparability, runs, how to reproduce </details>
//! <!-- flameprofile-gate: NAME -->                                 by which the comment is found again
//! ```
//!
//! A comment has room for 65,536 signs, a summary for 1 MiB: lists are cut, with a line that says how many rows are left out, until all
//! of it has room.

use super::ReportOptions;
use super::quote::{MARKDOWN, block, code, sentence};
use super::words;
use crate::gate::{Comparison, Fate, Level, Outcome, Part, Row, Scale, Side};
use crate::render::number::{count_of, grouped, utc};

/// Bytes that a comment has at most.
pub const COMMENT: usize = 60_000;
/// Bytes that the summary of a step of GitHub Actions has at most, all that the step writes together.
pub const STEP_SUMMARY: usize = 1 << 20;

/// How wide names are shown.
const NAME: usize = 100;
/// How wide sentences are.
const SENTENCE: usize = 240;
/// How wide a command line is.
const COMMAND: usize = 2_000;

/// How many rows lists have: of causes, of all else.
const ROOM: [(usize, usize); 8] = [(1_000, 1_000), (300, 100), (100, 50), (50, 25), (30, 10), (15, 4), (5, 1), (1, 0)];

/// The comment, in [`COMMENT`] bytes at most.
pub fn comment(comparison: &Comparison, options: &ReportOptions) -> String {
    within(comparison, options, COMMENT)
}

/// The same in `bytes` at most, as far as its first line and the marker have room.
pub fn within(comparison: &Comparison, options: &ReportOptions, bytes: usize) -> String {
    let texts = ROOM.iter().map(|room| Page { comparison, options, causes: room.0, others: room.1 }.text());
    let mut fitting = texts.filter(|text| text.len() <= bytes);
    fitting.next().unwrap_or_else(|| format!("{}\n\n{}\n", first_line(comparison, options), marker(&options.name)))
}

/// The line by which a comment is found again to be updated: `<!-- flameprofile-gate: NAME -->`.
pub fn marker(name: &str) -> String {
    // Two `-` would end the HTML comment.
    let slug: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' }).take(60).collect();
    format!("<!-- flameprofile-gate: {} -->", if slug.is_empty() { "profile" } else { &slug })
}

fn first_line(comparison: &Comparison, options: &ReportOptions) -> String {
    let sign = match comparison.verdict.outcome {
        Outcome::Regression => "❌",
        Outcome::NoChange => "✅",
        Outcome::Inconclusive => "⚠️",
    };
    let name = if options.name.is_empty() { String::new() } else { format!(" {}", sentence(&options.name, 60)) };
    let (outcome, why) = (words::outcome(comparison), words::why(comparison, MARKDOWN));
    format!("{sign} **profile**{name}: **{outcome}**{why} · {}", words::headline(comparison, MARKDOWN))
}

/// The page, with so many rows a list.
struct Page<'a> {
    comparison: &'a Comparison,
    options: &'a ReportOptions,
    causes: usize,
    others: usize,
}

impl Page<'_> {
    fn text(&self) -> String {
        let comparison = self.comparison;
        let mut text = format!("{}\n\n", first_line(comparison, self.options));
        text += &self.limits();
        text += &self.causes();
        text += &self.scales();
        text += &self.moved();
        text += &self.renamed();
        text += &self.suspects();
        text += &self.visible();
        text += &self.details();
        text + &marker(&self.options.name) + "\n"
    }

    /// Why there is no verdict, and what may explain a difference.
    fn limits(&self) -> String {
        let missing = self.comparison.verdict.missing.iter();
        let checks = self.comparison.checks.iter().filter(|check| check.level > Level::Note);
        let count = missing.len() + checks.clone().count();
        let missing = missing.map(|why| format!("inconclusive: {}", sentence(why, SENTENCE)));
        list(missing.chain(checks.map(|check| words::check(check, MARKDOWN))), count, self.causes.min(12))
    }

    /// The table of what fails.
    fn causes(&self) -> String {
        let rows = words::regressions(self.comparison);
        let cell = |row: &Row| {
            let rule = row.rule.and_then(|at| self.comparison.settings.rules.get(at));
            let rule =
                rule.map(|rule| format!(" by rule {}", words::config_line(self.comparison, rule.line, MARKDOWN)));
            self.place(row) + &rule.unwrap_or_default()
        };
        let whole = words::whole_too(self.comparison).map_or_else(String::new, |whole| format!("{whole}\n\n"));
        if rows.is_empty() { String::new() } else { self.table(["cause", "where"], &rows, self.causes, cell) + &whole }
    }

    /// What each scale says of the whole and of each cause.
    fn scales(&self) -> String {
        let comparison = self.comparison;
        let mut text = "| scale |".to_owned();
        for scale in Scale::ALL {
            let name = words::scale_name(comparison, scale);
            let gated = if scale == comparison.settings.scale { " (gate)" } else { "" };
            text += &format!(" {name}{gated} |");
        }
        text += "\n| --- | --- | --- | --- |\n";
        let total = std::iter::once(&comparison.total);
        let causes: Vec<&Row> = comparison.rows.iter().filter(|row| row.fate == Fate::Regression).collect();
        for row in total.chain(causes.iter().take(self.causes).copied()) {
            text += &format!("| {} |", named(row));
            for scale in Scale::ALL {
                let of = row.on(scale);
                text += &format!(" {}, p {} |", words::with_interval(of), words::chance(of.p));
            }
            text += "\n";
        }
        text + &left_out(causes.len(), self.causes) + "\n"
    }

    fn moved(&self) -> String {
        let moved = self.comparison.moved.iter();
        let count = moved.len();
        let lines = moved.map(|moved| words::moved(moved, self.comparison.unit, MARKDOWN));
        titled("Moved, not a regression", list(lines, count, self.others))
    }

    fn renamed(&self) -> String {
        let renamed = self.comparison.renamed.iter();
        let count = renamed.len();
        let lines = renamed.map(|renamed| words::renamed(renamed, MARKDOWN));
        titled("Renamed? (compared as two functions)", list(lines, count, self.others))
    }

    fn suspects(&self) -> String {
        let (rows, others) = words::suspects(self.comparison);
        let others = others.map_or_else(String::new, |others| format!("{others}\n\n"));
        let title = format!("Suspects (they would fail at α {})", words::share(self.comparison.settings.warn_alpha));
        let table = match rows.is_empty() {
            true => String::new(),
            false => self.table(["function", "where"], &rows, self.others, |row| self.place(row)),
        };
        titled(&title, table + &others)
    }

    fn visible(&self) -> String {
        let comparison = self.comparison;
        let visible = words::visible(comparison, MARKDOWN);
        let more = words::more_runs(comparison).map(|more| format!(" {more}.")).unwrap_or_default();
        let untested = match comparison.untested {
            0 => String::new(),
            count => format!(
                " {} had too few samples to be tested ({} of the base, {} of the new side).",
                count_of(u64::from(count), "function"),
                words::share(comparison.untested_share[0]),
                words::share(comparison.untested_share[1]),
            ),
        };
        format!("Could not have been seen (in four of five comparisons): {visible}.{more}{untested}\n\n")
    }

    fn details(&self) -> String {
        let comparison = self.comparison;
        let section = |title: &str, count: usize, body: String| match count {
            0 => String::new(),
            _ => format!("<details><summary>{title} ({})</summary>\n\n{body}</details>\n\n", grouped(count as u64)),
        };
        let of_fate = |title: &str, last: &str, pass: &dyn Fn(&Fate) -> bool| {
            let rows: Vec<&Row> = words::rows(comparison, pass).collect();
            let cell = |row: &Row| match &row.fate {
                Fate::Improved | Fate::Small => self.place(row),
                _ => words::fate(comparison, row, MARKDOWN),
            };
            section(title, rows.len(), self.table(["function", last], &rows, self.others, cell))
        };
        let mut text = of_fate("Improvements", "where", &|fate| *fate == Fate::Improved);
        text += &of_fate("Accepted or not gated, by rule", "why", &|fate| {
            matches!(fate, Fate::Allowed(_) | Fate::Ignored(_))
        });
        text +=
            &of_fate("Rose, explained or moved", "why", &|fate| matches!(fate, Fate::Explained(_) | Fate::Moved(_)));
        text += &of_fate("Rose by less than matters", "where", &|fate| *fate == Fate::Small);
        for (side, title) in ["Vanished functions", "New functions"].into_iter().enumerate() {
            let names = words::one_sided(comparison, side);
            let lines = names.iter().map(|(name, value)| match value {
                Some(value) => format!("{} {}", code(name, NAME), words::value(*value, comparison.unit)),
                None => code(name, NAME),
            });
            text += &section(title, names.len(), list(lines, names.len(), self.others));
        }
        let matched = comparison.matched.iter().filter(|(_, count)| *count > 0);
        let count = comparison.checks.len() + matched.clone().count();
        let checks = comparison.checks.iter().map(|check| words::check(check, MARKDOWN));
        let steps = matched.map(|(step, count)| format!("names: {step} in {}", count_of(*count, "name")));
        text += &section("Comparability", count, list(checks.chain(steps), count, self.others));
        text += &section("Runs", comparison.runs.len(), self.runs());
        text + &format!(
            "<details><summary>Settings, and how to reproduce</summary>\n\n{}</details>\n\n",
            self.settings()
        )
    }

    fn runs(&self) -> String {
        let comparison = self.comparison;
        let mut text = format!(
            "| run | {} | samples | work | order | begun | lost, cut, unnamed | host |\n| --- | ---: | ---: | ---: | ---: | --- | --- | --- |\n",
            words::measure(comparison, MARKDOWN),
        );
        for (at, (side, run)) in comparison.runs.iter().enumerate().take(self.others) {
            let value =
                comparison.total.runs.get(at).map_or_else(String::new, |value| words::value(*value, comparison.unit));
            text += &format!(
                "| {}: {} | {value} | {} | {} | {} | {} | {}, {}, {} | {} |\n",
                side.name(),
                code(&run.label, 60),
                grouped(run.samples),
                words::plain(run.work),
                run.order.map_or_else(String::new, |order| (u64::from(order) + 1).to_string()),
                if run.started_unix == 0 { String::new() } else { utc(run.started_unix) },
                grouped(run.lost),
                words::share(run.truncated),
                words::share(run.unnamed),
                if run.host.is_empty() { String::new() } else { code(&run.host, 60) },
            );
        }
        text += &left_out(comparison.runs.len(), self.others);
        text += "\n";
        for side in [Side::Base, Side::New] {
            let Some((_, first)) = comparison.runs.iter().find(|(of, _)| *of == side) else { continue };
            let builds = first.builds.iter().filter(|(_, build_id)| !build_id.is_empty()).take(5);
            let builds: Vec<String> =
                builds.map(|(file, build_id)| format!("{} {}", code(file, 60), code(build_id, 40))).collect();
            if !first.target.is_empty() {
                text += &format!("- {}: {}\n", side.name(), code(&first.target, 200));
            }
            if !builds.is_empty() {
                text += &format!("- builds of {}: {}\n", side.name(), builds.join(", "));
            }
        }
        text + "\n"
    }

    fn settings(&self) -> String {
        let comparison = self.comparison;
        let settings = &comparison.settings;
        let mut lines = vec![
            format!(
                "- fails: adjusted p ≤ {} for a rise of at least {} of the function and {} of the whole; the whole itself by {}",
                words::share(settings.alpha),
                words::share(settings.min_relative),
                words::share(settings.min_absolute),
                words::share(settings.total_max.unwrap_or(settings.min_relative)),
            ),
            format!("- chance: {}; seed {}", words::method(&comparison.method), settings.seed),
            format!("- noise between runs: {}", words::share(comparison.noise)),
            format!("- runs demanded: {} a side", settings.runs),
        ];
        if let Some(margin) = words::margin(settings) {
            lines.push(format!("- margin: a rise has to be surely more than {margin}"));
        }
        if let Some(config) = &settings.config {
            lines.push(format!("- configuration: {}", code(&config.to_string_lossy(), NAME)));
        }
        lines.push(format!("- profile {}", env!("CARGO_PKG_VERSION")));
        let mut text = lines.join("\n") + "\n\n";
        let rules = settings.rules.iter().map(|rule| words::rule(comparison, rule, MARKDOWN));
        let allowed = settings.allowed.iter().map(|entry| words::allowed(comparison, entry, MARKDOWN));
        text += &list(rules.chain(allowed), settings.rules.len() + settings.allowed.len(), self.others);
        if !self.options.command.is_empty() {
            text += &block(&words::shown(&self.options.command, COMMAND));
        }
        text + "\n"
    }

    fn place(&self, row: &Row) -> String {
        words::place(row, self.options.workspace.as_deref(), MARKDOWN)
    }

    /// A table of rows; the titles are those of its first and last column, `cell` makes the last.
    fn table(&self, titles: [&str; 2], rows: &[&Row], most: usize, cell: impl Fn(&Row) -> String) -> String {
        let unit = words::work_unit(self.comparison, MARKDOWN);
        let mut text = format!(
            "| {} | base → new per {unit} | change (95 %) | of total | adj. p | {} |\n| --- | ---: | ---: | ---: | ---: | --- |\n",
            titles[0], titles[1],
        );
        for row in rows.iter().take(most) {
            let of = row.on(self.comparison.settings.scale);
            // Of a fall, the chance of such a fall.
            let p = if of.change < 0.0 { of.p_less } else { of.p };
            text += &format!(
                "| {} | {} | {} | {} | {} | {} |\n",
                named(row),
                words::from_to(row, self.comparison.unit),
                words::with_interval(of),
                words::of_total(row),
                words::chance(p),
                cell(row),
            );
        }
        text + &left_out(rows.len(), most) + "\n"
    }
}

/// A title, and what is below it if there is anything.
fn titled(title: &str, body: String) -> String {
    if body.is_empty() { body } else { format!("{title}:\n\n{body}") }
}

/// The first of `count` lines, and how many are left out.
fn list(lines: impl Iterator<Item = String>, count: usize, most: usize) -> String {
    if count == 0 {
        return String::new();
    }
    let mut text = String::new();
    for line in lines.take(most) {
        text += &format!("- {line}\n");
    }
    text + &left_out(count, most) + "\n"
}

/// The line that says what a list does not show.
fn left_out(count: usize, most: usize) -> String {
    match count.saturating_sub(most) {
        0 => String::new(),
        rest => format!("\n{} left out here; the JSON has all\n", count_of(rest as u64, "more row")),
    }
}

fn named(row: &Row) -> String {
    match row.part {
        Part::Everything => "**the whole**".to_owned(),
        Part::Own => format!("{} self", words::function(row, NAME, MARKDOWN)),
        Part::Inclusive => format!("{} with callees", words::function(row, NAME, MARKDOWN)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::made::golden;
    use super::super::made::{HOSTILE, hostile, inconclusive, large, no_change, one_run, regression};
    use super::*;

    fn options() -> ReportOptions {
        ReportOptions {
            command: "profile diff base new --gate".to_owned(),
            workspace: Some("/build".to_owned()),
            ..ReportOptions::default()
        }
    }

    fn text(comparison: &Comparison) -> String {
        comment(comparison, &options())
    }

    #[test]
    fn first_line_suffices() {
        let check =
            |comparison: &Comparison, expected: &str| assert_eq!(text(comparison).lines().next(), Some(expected));
        check(
            &regression(),
            "❌ **profile**: **2 regressions** · total +4.8 % [+1.8, +7.8]: 2.00 → 2.10 s CPU time per request · 5 vs 5 runs · α 1 % · scale work",
        );
        check(
            &no_change(8),
            "✅ **profile**: **no change** · total +0.20 % [-2.8, +3.2]: 2.00 → 2.00 s CPU time per request · 8 vs 8 runs · α 1 % · scale work",
        );
        assert!(
            text(&inconclusive()).starts_with(
                "⚠️ **profile**: **inconclusive** (3 runs a side, and 5 are demanded, and 1 more) · total"
            )
        );
        assert!(text(&one_run()).lines().next().unwrap().contains(" · 1 run a side · "));
    }

    #[test]
    fn comment_is_as_it_was_read() {
        golden("regression.md", &text(&regression()));
        golden("inconclusive.md", &text(&inconclusive()));
    }

    #[test]
    fn comment_has_room_whatever_comes() {
        for made in [large(), hostile(), regression()] {
            let text = text(&made);
            assert!(text.len() <= COMMENT, "{}", text.len());
            assert!(text.ends_with("<!-- flameprofile-gate: profile -->\n"));
        }
        let text = text(&large());
        assert!(text.contains("left out here"));
        assert!(text.len() > COMMENT / 4, "{}", text.len());
        let summary = within(&large(), &options(), STEP_SUMMARY);
        assert!(summary.len() <= STEP_SUMMARY && summary.len() > COMMENT);
        assert_eq!(within(&large(), &options(), 10).lines().count(), 3);
    }

    #[test]
    fn names_are_no_markup() {
        let text = text(&hostile());
        let mut code_blocks = false;
        for line in text.lines() {
            code_blocks ^= line.starts_with("```");
            if code_blocks || line.starts_with("```") {
                continue;
            }
            // What is left when code is taken out has nothing of the names.
            let outside = without_code(line);
            for sign in ["@", "](", "##", "script", "http", "\\", "-->"] {
                let is_marker = sign == "-->" && line == marker("");
                assert!(!outside.contains(sign) || is_marker, "{sign} in {outside}");
            }
            assert!(!line.starts_with("::") && !line.chars().any(char::is_control), "{line:?}");
        }
        // Each row of a table has as many cells as its head.
        let mut cells = 0;
        for line in text.lines().filter(|line| line.is_empty() || line.starts_with('|')) {
            let bars = line.matches('|').count();
            assert!(line.is_empty() || cells == 0 || bars == cells, "{line}");
            cells = bars;
        }
        assert!(HOSTILE.len() < text.len());
    }

    /// A line without its spans and elements of code.
    fn without_code(line: &str) -> String {
        let mut outside = String::new();
        let mut rest = line;
        while let Some(at) = rest.find('`').into_iter().chain(rest.find("<code>")).min() {
            outside += &rest[..at];
            let (mark, end) = if rest[at..].starts_with('`') { (1, "`") } else { (6, "</code>") };
            let inside = &rest[at + mark..];
            let close = inside.find(end).unwrap_or_else(|| panic!("code without an end: {line}"));
            assert!(end == "`" || !inside[..close].contains(['<', '`', '@', '|']), "{inside}");
            rest = &inside[close + end.len()..];
        }
        outside + rest
    }

    #[test]
    fn marker_cannot_be_ended_by_a_name() {
        assert_eq!(marker(""), "<!-- flameprofile-gate: profile -->");
        assert_eq!(marker("a --> b\n"), "<!-- flameprofile-gate: a_____b_ -->");
    }
}
