//! `profile doctor`: what this machine and user allow, as a table.

use std::fmt::Write;

use flameprofile::session::doctor::{Ability, Verdict};

/// Narrowest column of explanations; a narrower terminal wraps by itself.
const NARROWEST: usize = 24;

/// Writes the abilities as a table of lines of up to `width` letters, with colours if wanted.
///
/// ```text
/// yes     own processes  a timer opens on this process
/// no      kernel frames  Permission denied (os error 13)
///                        to fix: kernel.perf_event_paranoid is 2 ...
/// ```
pub fn render(abilities: &[Ability], colour: bool, width: usize) -> String {
    let names = abilities.iter().map(|ability| ability.name.chars().count()).max().unwrap_or(0);
    let indent = VERDICT_WIDTH + 2 + names + 2;
    let room = width.saturating_sub(indent).max(NARROWEST);
    let mut text = String::new();
    for ability in abilities {
        let (word, code) = match ability.verdict {
            Verdict::Yes => ("yes", 32),
            Verdict::Partly => ("partly", 33),
            Verdict::No => ("no", 31),
        };
        let verdict = format!("{word:VERDICT_WIDTH$}");
        let verdict = if colour { format!("\x1b[{code}m{verdict}\x1b[0m") } else { verdict };
        let fix = ability.fix.iter().flat_map(|fix| wrap(&format!("to fix: {fix}"), room));
        for (at, line) in wrap(&ability.why, room).into_iter().chain(fix).enumerate() {
            // Writing to a string does not fail.
            let _ = match at {
                0 => writeln!(text, "{verdict}  {:names$}  {line}", ability.name),
                _ => writeln!(text, "{:indent$}{line}", ""),
            };
        }
    }
    text
}

const VERDICT_WIDTH: usize = 6;

/// Breaks a text between words; there is always a first line, and what is to be typed is broken no more than needed.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_whitespace() {
        let letters = word.chars().count();
        if used > 0 && used + 1 + letters > width {
            lines.push(String::new());
            used = 0;
        }
        let line = lines.last_mut().expect("there is always a line");
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        line.push_str(word);
        used += letters;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn abilities() -> Vec<Ability> {
        let ability = |name, verdict, why: &str, fix: Option<&str>| Ability {
            name,
            verdict,
            why: why.to_owned(),
            fix: fix.map(str::to_owned),
        };
        vec![
            ability("own processes", Verdict::Yes, "it opens", None),
            ability("BPF", Verdict::No, "not permitted", Some("run with sudo, or type a rather long line")),
        ]
    }

    #[test]
    fn columns_are_aligned_and_lines_wrapped() {
        let expected = "yes     own processes  it opens\n\
                        no      BPF            not permitted\n\
                        \x20                      to fix: run with sudo,\n\
                        \x20                      or type a rather long\n\
                        \x20                      line\n";
        assert_eq!(render(&abilities(), false, 47), expected);
        assert_eq!(render(&[], false, 80), "");
    }

    #[test]
    fn colours_do_not_move_columns() {
        let coloured = render(&abilities(), true, 80);
        assert!(coloured.starts_with("\x1b[32myes   \x1b[0m  own processes  it opens\n"));
        let plain = coloured.replace("\x1b[32m", "").replace("\x1b[31m", "").replace("\x1b[0m", "");
        assert_eq!(plain, render(&abilities(), false, 80));
    }
}
