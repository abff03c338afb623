//! Which names may be meant by a text that is none of them.

/// How many names are proposed.
const PROPOSED: usize = 5;

/// Names that may be meant by `text`: those that contain it whatever its case, else those of almost the same letters; at most five, in
/// the order in which they come, each once.
pub fn names_like<'a>(names: impl Iterator<Item = &'a str> + Clone, text: &str) -> Vec<&'a str> {
    let lower = text.to_lowercase();
    let passing = |pass: &dyn Fn(&str) -> bool| {
        let mut passing: Vec<&str> = Vec::new();
        for name in names.clone() {
            if passing.len() < PROPOSED && !passing.contains(&name) && pass(name) {
                passing.push(name);
            }
        }
        passing
    };
    let containing = passing(&|name| name.to_lowercase().contains(&lower));
    if !containing.is_empty() {
        return containing;
    }
    let wanted = last_part(&lower);
    let most = wanted.chars().count() / 3;
    passing(&|name| {
        let name = name.to_lowercase();
        let name = last_part(&name);
        // Of a name that is far longer no letter needs to be looked at.
        name.len().abs_diff(wanted.len()) <= 4 * most && differences(name, wanted) <= most
    })
}

/// What stands behind the last `::` or `.` of a name.
fn last_part(name: &str) -> &str {
    name.rsplit([':', '.']).find(|part| !part.is_empty()).unwrap_or(name)
}

/// How many letters must be put in, left out or changed to make one text of the other (Levenshtein's distance).
fn differences(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in one.chars().enumerate() {
        let mut next = vec![row + 1];
        for (column, of_other) in other.iter().enumerate() {
            let changed = last[column] + usize::from(letter != *of_other);
            next.push(changed.min(last[column + 1] + 1).min(next[column] + 1));
        }
        last = next;
    }
    last[other.len()]
}
