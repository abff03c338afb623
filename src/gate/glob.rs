//! Patterns of names: `*` is any text, `?` one character, `{a,b}` either; nothing else means anything but itself.
//!
//! A pattern is a small automaton whose states are all followed at once, so that the time is at most the pattern's length times the
//! text's: trying one way after the other takes exponential time for patterns like `*a*a*a*b` (<https://research.swtch.com/glob>).

/// A pattern that was read once and is held against many names.
///
/// Braces are a choice only with a comma between them and no brace inside, so that `{{closure}}` is what it says. A backslash takes
/// the meaning from the character behind it: `operator\*`, `\{lambda(int, int)#1\}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    /// As it was written.
    pattern: String,
    states: Vec<State>,
}

impl From<&str> for Glob {
    fn from(pattern: &str) -> Glob {
        Glob::new(pattern)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// This character, then the next state.
    Is(char),
    /// Any character, then the next state.
    One,
    /// Any character and stay, or the next state at once.
    Any,
    /// One of two states at once; both are further on.
    Either(usize, usize),
    /// Another state at once, further on.
    Go(usize),
    /// All of the pattern has been seen.
    End,
}

impl Glob {
    /// Reads a pattern; every text is one.
    pub fn new(pattern: &str) -> Glob {
        let mut states = Vec::with_capacity(pattern.len() + 1);
        let mut rest = pattern;
        while let Some(first) = rest.chars().next() {
            rest = match choice(rest) {
                Some((inside, behind)) => {
                    add_choice(inside, &mut states);
                    behind
                }
                None => add_one(first, &rest[first.len_utf8()..], &mut states),
            };
        }
        states.push(State::End);
        Glob { pattern: pattern.to_owned(), states }
    }

    /// As it was written.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Whether the whole of `text` is as the pattern says.
    pub fn matches(&self, text: &str) -> bool {
        let (mut now, mut next) = (States::new(self.states.len()), States::new(self.states.len()));
        self.reach(0, &mut now);
        for letter in text.chars() {
            for row in now.list.drain(..) {
                match self.states[row] {
                    State::Is(wanted) if wanted == letter => self.reach(row + 1, &mut next),
                    State::One => self.reach(row + 1, &mut next),
                    State::Any => self.reach(row, &mut next),
                    _ => {}
                }
            }
            now.is_in.fill(false);
            std::mem::swap(&mut now, &mut next);
            if now.list.is_empty() {
                return false;
            }
        }
        now.is_in[self.states.len() - 1]
    }

    /// Adds a state, and those that it is at once.
    fn reach(&self, row: usize, to: &mut States) {
        let mut open = vec![row];
        while let Some(row) = open.pop() {
            if std::mem::replace(&mut to.is_in[row], true) {
                continue;
            }
            to.list.push(row);
            match self.states[row] {
                State::Any => open.push(row + 1),
                State::Go(to) => open.push(to),
                State::Either(one, other) => open.extend([one, other]),
                State::Is(_) | State::One | State::End => {}
            }
        }
    }
}

/// A set of states.
struct States {
    list: Vec<usize>,
    is_in: Vec<bool>,
}

impl States {
    fn new(count: usize) -> States {
        States { list: Vec::with_capacity(count), is_in: vec![false; count] }
    }
}

/// What stands between braces that are a choice, and what is behind them; nothing if `text` does not begin with such.
fn choice(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('{')?;
    let (mut has_comma, mut is_escaped) = (false, false);
    for (at, letter) in inside.char_indices() {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            ',' => has_comma = true,
            '{' => return None,
            '}' => return has_comma.then(|| (&inside[..at], &inside[at + 1..])),
            _ => {}
        }
    }
    None
}

/// Adds `either(a, either(b, c))`, each of which goes to the end.
fn add_choice(inside: &str, states: &mut Vec<State>) {
    let mut ends = Vec::new();
    let mut rest = Some(inside);
    while let Some(text) = rest {
        let (mut one, comma) = first_of(text);
        rest = comma;
        let fork = states.len();
        if rest.is_some() {
            states.push(State::Go(0));
        }
        while let Some(first) = one.chars().next() {
            one = add_one(first, &one[first.len_utf8()..], states);
        }
        if rest.is_some() {
            ends.push(states.len());
            states.push(State::Go(0));
            states[fork] = State::Either(fork + 1, states.len());
        }
    }
    let end = states.len();
    ends.into_iter().for_each(|row| states[row] = State::Go(end));
}

/// What stands before the first comma that means one, and what behind it.
fn first_of(text: &str) -> (&str, Option<&str>) {
    let mut is_escaped = false;
    for (at, letter) in text.char_indices() {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            ',' => return (&text[..at], Some(&text[at + 1..])),
            _ => {}
        }
    }
    (text, None)
}

/// Adds what `first` means, and gives the rest.
fn add_one<'a>(first: char, rest: &'a str, states: &mut Vec<State>) -> &'a str {
    match (first, rest.chars().next()) {
        ('\\', Some(escaped)) => {
            states.push(State::Is(escaped));
            return &rest[escaped.len_utf8()..];
        }
        // Two are no more than one.
        ('*', Some('*')) => {}
        ('*', _) => states.push(State::Any),
        ('?', _) => states.push(State::One),
        (letter, _) => states.push(State::Is(letter)),
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        let glob = Glob::new(pattern);
        yes.iter().for_each(|text| assert!(glob.matches(text), "{pattern} {text}"));
        no.iter().for_each(|text| assert!(!glob.matches(text), "not {pattern} {text}"));
    }

    #[test]
    fn stars_and_question_marks() {
        check("codec::**", &["codec::", "codec::a::b"], &["codec:", "my::codec::a", ""]);
        check("libssl*", &["libssl", "libssl.so.3"], &["libs", "/lib/libssl.so"]);
        check("*.rs", &["a.rs", ".rs", "src/a.rs.rs"], &["a.rsx", "rs"]);
        check("a?c", &["abc", "aéc"], &["ac", "abbc"]);
        check("", &[""], &["a"]);
        check("*", &["", "anything, of\nlines"], &[]);
    }

    #[test]
    fn either_of_several() {
        check("{tests,bench}::**", &["tests::a", "bench::b"], &["test::a", "{tests,bench}::a", "testsbench::a"]);
        check("a{,b,c*}d", &["ad", "abd", "acd", "acxxd"], &["abcd", "axd"]);
        check("{a,b}{c,d}{*,?x}", &["ac", "bdyx", "adanything"], &["a", "cc"]);
        check("x{*,}y", &["xy", "xay"], &["xa"]);
        check("{x,y*}*", &["xz", "yz"], &["z"]);
    }

    #[test]
    fn braces_without_a_choice_are_themselves() {
        check("main::{{closure}}", &["main::{{closure}}"], &["main::closure"]);
        check("{a", &["{a"], &["a"]);
        check("a}", &["a}"], &["a"]);
        check("{a,b", &["{a,b"], &["a"]);
        check("f{lambda()#1}", &["f{lambda()#1}"], &["f"]);
    }

    #[test]
    fn backslash_takes_the_meaning() {
        check("operator\\*", &["operator*"], &["operatorx"]);
        check("\\{a,b\\}", &["{a,b}"], &["a"]);
        check("{a\\,b,c}", &["a,b", "c"], &["a", "b"]);
        check("a\\", &["a\\"], &["a"]);
    }

    #[test]
    fn hostile_patterns_take_no_exponential_time() {
        let text = "a".repeat(20_000);
        assert!(!Glob::new(&format!("{}b", "*a".repeat(100))).matches(&text));
        assert!(!Glob::new(&format!("{}b", "{a,a*,*a}".repeat(60))).matches(&text));
        assert!(Glob::new(&"*".repeat(100_000)).matches(&text));
    }
}
