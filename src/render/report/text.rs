//! A comparison as a table, for a terminal or the log of a job.
//!
//! No line begins with a name: a runner of GitHub Actions takes one that begins with `::` for a command.

use std::io::Write;

use super::ReportOptions;
use super::words::{self, PLAIN, aligned};
use crate::error::Result;
use crate::gate::{Comparison, Fate, Level, Part, Row, Scale};
use crate::render::name::{columns, head};
use crate::render::number::{count_of, grouped};
use crate::render::top::{Color, TopOptions, pad, push_lines, write_text};

/// Rows of a list beside the regressions.
const LISTED: usize = 10;
/// How wide a name is where nothing is known of the terminal.
const WIDEST_NAME: usize = 80;

/// Writes what was found, the verdict first; of regressions as many as `style` limits, of all else ten.
pub fn write(comparison: &Comparison, options: &ReportOptions, style: &TopOptions, out: &mut impl Write) -> Result<()> {
    let table = Table { comparison, options, style, color: Color(style.color) };
    write_text(&table.text(), style, out)
}

struct Table<'a> {
    comparison: &'a Comparison,
    options: &'a ReportOptions,
    style: &'a TopOptions,
    color: Color,
}

impl Table<'_> {
    fn text(&self) -> String {
        let comparison = self.comparison;
        let mut text = String::new();
        let outcome = words::outcome(comparison);
        let first = format!("{outcome}{} · {}", words::why(comparison, PLAIN), words::headline(comparison, PLAIN));
        push_lines(&mut text, &first, self.style.width);
        text = format!("{}{}", self.color.bold(&outcome), &text[outcome.len()..]);
        for why in comparison.verdict.missing.iter().skip(1).take(LISTED) {
            self.line(&mut text, &format!("inconclusive too: {}", words::shown(why, 240)));
        }
        let checks: Vec<_> = comparison.checks.iter().filter(|check| check.level > Level::Note).collect();
        for check in checks.iter().take(LISTED) {
            self.line(&mut text, &format!("comparability: {}", words::check(check, PLAIN)));
        }
        self.rest(&mut text, checks.len(), LISTED);

        let causes = words::regressions(comparison);
        let most = self.style.limit.unwrap_or(usize::MAX);
        self.rows(&mut text, "regressions", &causes, most);
        if let Some(whole) = words::whole_too(comparison) {
            self.line(&mut text, &whole);
        }
        self.scales(&mut text, &causes, most);
        self.lines(&mut text, "moved, not a regression", comparison.moved.iter(), |moved| {
            words::moved(moved, comparison.unit, PLAIN)
        });
        self.lines(&mut text, "renamed? (compared as two functions)", comparison.renamed.iter(), |renamed| {
            words::renamed(renamed, PLAIN)
        });
        let of_fate = |pass: fn(&Fate) -> bool| words::rows(comparison, pass).collect::<Vec<&Row>>();
        let (suspects, others) = words::suspects(comparison);
        let title = format!("suspects (regressions at α {})", words::share(comparison.settings.warn_alpha));
        self.rows(&mut text, &title, &suspects, LISTED);
        if let Some(others) = others {
            if suspects.is_empty() {
                self.title(&mut text, &title);
            }
            self.line(&mut text, &others);
        }
        self.rows(&mut text, "accepted", &of_fate(|fate| matches!(fate, Fate::Allowed(_))), LISTED);
        self.rows(&mut text, "improvements", &of_fate(|fate| *fate == Fate::Improved), LISTED);
        text.push('\n');
        self.line(&mut text, &format!("could not have been seen: {}", words::visible(comparison, PLAIN)));
        if let Some(more) = words::more_runs(comparison) {
            self.line(&mut text, &more);
        }
        self.line(&mut text, &format!("chance: {}", words::method(&comparison.method)));
        self.line(&mut text, &self.others());
        text
    }

    fn title(&self, text: &mut String, title: &str) {
        let title = self.style.width.map_or(title, |width| head(title, width));
        *text += &format!("\n{}\n", self.color.bold(title));
    }

    fn line(&self, text: &mut String, line: &str) {
        push_lines(text, line, self.style.width);
    }

    /// Says how many rows are not listed.
    fn rest(&self, text: &mut String, count: usize, most: usize) {
        if count > most {
            self.line(text, &format!("{} more", grouped((count - most) as u64)));
        }
    }

    fn lines<T>(
        &self,
        text: &mut String,
        title: &str,
        of: impl ExactSizeIterator<Item = T>,
        line: impl Fn(T) -> String,
    ) {
        let count = of.len();
        if count > 0 {
            self.title(text, title);
            of.take(LISTED).for_each(|of| self.line(text, &format!("- {}", line(of))));
            self.rest(text, count, LISTED);
        }
    }

    /// Rows with their numbers, names and places, below a title.
    fn rows(&self, text: &mut String, title: &str, rows: &[&Row], most: usize) {
        if rows.is_empty() {
            return;
        }
        let comparison = self.comparison;
        let shown = &rows[..rows.len().min(most)];
        let per = format!("BASE → NEW PER {}", words::work_unit(comparison, PLAIN).to_uppercase());
        let mut numbers = vec![["CHANGE", "95 %", "OF TOTAL", &per, "P"].map(str::to_owned).to_vec()];
        let mut names = vec![("FUNCTION".to_owned(), "WHERE".to_owned())];
        for row in shown {
            let of = row.on(comparison.settings.scale);
            numbers.push(vec![
                words::change(of.change),
                words::interval(of),
                words::of_total(row),
                words::from_to(row, comparison.unit),
                words::chance(if of.change < 0.0 { of.p_less } else { of.p }),
            ]);
            let place = match row.fate {
                Fate::Allowed(_) => words::fate(comparison, row, PLAIN),
                _ => words::place(row, self.options.workspace.as_deref(), PLAIN),
            };
            names.push((words::named_whole(row, WIDEST_NAME), place));
        }
        self.title(text, title);
        let numbers = aligned(&numbers, &[0, 1, 2, 3, 4]);
        let width_of = |text: &dyn Fn(&(String, String)) -> usize| names.iter().map(text).max().unwrap_or(0);
        let of_numbers = numbers.iter().map(|line| columns(line)).max().unwrap_or(0) + 2;
        let free = self.style.width.map_or(usize::MAX, |width| width.saturating_sub(of_numbers));
        let of_place = match free {
            0..40 => 0,
            _ => width_of(&|(_, place)| columns(place)).min(free / 2),
        };
        let of_name = width_of(&|(name, _)| columns(name)).min(free.saturating_sub(of_place + 2)).min(WIDEST_NAME);
        for (at, (line, (name, place))) in numbers.iter().zip(&names).enumerate() {
            let gap = " ".repeat(of_numbers - columns(line));
            // A heading is right as it is; a name is cut where it says least.
            let name = at.checked_sub(1).map_or_else(|| name.clone(), |row| words::named_whole(shown[row], of_name));
            let place = crate::render::name::shorten(place, of_place);
            let line = format!("{line}{gap}{}  {place}", pad(&name, of_name));
            let line = self.style.width.map_or(line.as_str(), |width| head(&line, width)).trim_end().to_owned();
            let line = match at.checked_sub(1) {
                Some(row) => self.color.of_change(shown[row].of_total, &line),
                None => self.color.bold(&line),
            };
            *text += &format!("{line}\n");
        }
        self.rest(text, rows.len(), most);
    }

    /// What each scale says of the whole and of each regression.
    fn scales(&self, text: &mut String, causes: &[&Row], most: usize) {
        let comparison = self.comparison;
        let causes = causes.iter().filter(|row| row.part != Part::Everything);
        let rows: Vec<&Row> = std::iter::once(&comparison.total).chain(causes.copied().take(most)).collect();
        let mut cells: Vec<Vec<String>> = vec![Vec::new()];
        for scale in Scale::ALL {
            let mark = if scale == comparison.settings.scale { "*" } else { "" };
            cells[0].push(words::scale_name(comparison, scale).to_uppercase() + mark);
            cells[0].push("P".to_owned());
        }
        for row in &rows {
            let of = Scale::ALL.iter().flat_map(|scale| {
                let of = row.on(*scale);
                [words::with_interval(of), words::chance(of.p)]
            });
            cells.push(of.collect());
        }
        self.title(text, "scales (* the gate's)");
        let numbers = aligned(&cells, &[0, 1, 2, 3, 4, 5]);
        /// Columns that a name must have beside the numbers.
        const ROOM: usize = 24;
        let widest = numbers.iter().map(|line| columns(line)).max().unwrap_or(0);
        if self.style.width.is_some_and(|width| widest + ROOM > width) {
            for (row, cells) in rows.iter().zip(&cells[1..]) {
                let of = Scale::ALL.iter().zip(cells.chunks(2)).map(|(scale, of)| {
                    let mark = if *scale == comparison.settings.scale { "*" } else { "" };
                    format!("{}{mark} {} p {}", words::scale_name(comparison, *scale), of[0], of[1])
                });
                self.line(text, &format!("- {}: {}", words::named_whole(row, 400), of.collect::<Vec<_>>().join("; ")));
            }
            return;
        }
        for (at, line) in numbers.iter().enumerate() {
            let name = at
                .checked_sub(1)
                .map_or_else(|| "FUNCTION".to_owned(), |row| words::named_whole(rows[row], WIDEST_NAME));
            let line = format!("{line}  {name}");
            let line = self.style.width.map_or(line.as_str(), |width| head(&line, width)).to_owned();
            *text += &format!("{}\n", if at == 0 { self.color.bold(&line) } else { line });
        }
    }

    /// How many rows are not listed above, by why.
    fn others(&self) -> String {
        let comparison = self.comparison;
        let count = |pass: fn(&Fate) -> bool| comparison.rows.iter().filter(|row| pass(&row.fate)).count() as u64;
        let counts = [
            (count(|fate| matches!(fate, Fate::Explained(_))), "explained by what they call"),
            (count(|fate| matches!(fate, Fate::Moved(_))), "moved"),
            (count(|fate| matches!(fate, Fate::Ignored(_))), "not gated by rule"),
            (count(|fate| *fate == Fate::Small), "rose by less than matters"),
            (count(|fate| *fate == Fate::Unchanged), "not told from chance"),
            (u64::from(comparison.untested), "too few samples to be tested"),
            (comparison.one_sided[0].len() as u64, "gone"),
            (comparison.one_sided[1].len() as u64, "new"),
        ];
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        let counts: Vec<String> = counts.map(|(count, what)| format!("{} {what}", grouped(count))).collect();
        let all = count_of(comparison.rows.len() as u64, "row");
        if counts.is_empty() { format!("tested: {all}") } else { format!("tested: {all}; {}", counts.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::made::{golden, hostile, inconclusive, large, no_change, one_run, regression};
    use super::*;
    use crate::render::bar::Bars;

    fn text(comparison: &Comparison, style: &TopOptions) -> String {
        let options = ReportOptions { workspace: Some("/build".to_owned()), ..ReportOptions::default() };
        let mut out = Vec::new();
        write(comparison, &options, style, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn table_is_as_it_was_read() {
        golden("regression.txt", &text(&regression(), &TopOptions::default()));
        golden("inconclusive.txt", &text(&inconclusive(), &TopOptions { width: Some(80), ..TopOptions::default() }));
    }

    #[test]
    fn verdict_is_first() {
        let first =
            |comparison: &Comparison| text(comparison, &TopOptions::default()).lines().next().unwrap().to_owned();
        assert!(first(&regression()).starts_with("2 regressions · total +4.8 % [+1.8, +7.8]: "));
        assert!(first(&no_change(5)).starts_with("no change · total "));
        assert!(first(&one_run()).starts_with("inconclusive (one run a side says nothing"));
    }

    #[test]
    fn no_line_is_longer_than_the_terminal_is_wide() {
        for made in [regression(), hostile(), inconclusive()] {
            for width in [20, 60, 80, 120, 200] {
                let style = TopOptions { width: Some(width), limit: Some(30), ..TopOptions::default() };
                for line in text(&made, &style).lines() {
                    assert!(columns(line) <= width, "{width}: {line}");
                }
            }
        }
    }

    #[test]
    fn no_name_is_a_command_or_a_line() {
        for made in [hostile(), large()] {
            for line in text(&made, &TopOptions::default()).lines() {
                assert!(!line.trim_start().starts_with("::") && !line.contains("##"), "{line}");
                assert!(!line.chars().any(char::is_control), "{line}");
            }
        }
    }

    #[test]
    fn colours_only_if_asked() {
        assert!(!text(&regression(), &TopOptions::default()).contains('\x1b'));
        let painted = text(&regression(), &TopOptions { color: true, ..TopOptions::default() });
        assert!(painted.starts_with("\x1b[1m2 regressions\x1b[0m · total"));
        let ascii = text(&regression(), &TopOptions { bars: Bars::Ascii, ..TopOptions::default() });
        assert!(ascii.is_ascii(), "{ascii}");
    }
}
