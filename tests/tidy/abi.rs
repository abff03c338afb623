//! What BPF programs and their loader exchange is stated twice, in C and in Rust: the numbers and structures must be the same.

use std::collections::BTreeMap;

/// Names of numbers and of structures, with what they are.
type Stated = BTreeMap<String, String>;

/// A number as either language writes it: `-1`, `0x10`, `(1ULL << 63)`.
fn number(text: &str) -> Option<i128> {
    let text = text.trim().trim_matches(['(', ')']).trim();
    if let Some((number_of, by)) = text.split_once("<<") {
        return Some(number(number_of)? << number(by)?);
    }
    if let Some(text) = text.strip_prefix('-') {
        return number(text).map(|number| -number);
    }
    let text = text.trim_end_matches("ULL").replace('_', "");
    match text.strip_prefix("0x") {
        Some(digits) => i128::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// The text without comments of either language.
fn without_comments(text: &str) -> String {
    let mut rest = text;
    let mut kept = String::new();
    while let Some(start) = rest.find("/*") {
        kept.push_str(&rest[..start]);
        let end = rest[start..].find("*/").expect("the comment ends");
        rest = &rest[start + end + 2..];
    }
    kept.push_str(rest);
    kept.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// What stands between a begin and the next end, again and again.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> Vec<&'a str> {
    text.split(begin).skip(1).filter_map(|rest| rest.split_once(end)).map(|(inside, _)| inside).collect()
}

/// What a header states.
pub fn of_c(text: &str) -> Stated {
    let text = without_comments(text);
    let mut stated = Stated::new();
    let mut add = |name: &str, value: &str| {
        let value = number(value).unwrap_or_else(|| panic!("{name}: {value} is no number"));
        assert!(stated.insert(name.trim().to_owned(), value.to_string()).is_none(), "{name} is stated twice");
    };
    for line in text.lines() {
        if let Some((name, value)) = line.strip_prefix("#define ").and_then(|rest| rest.split_once(' ')) {
            add(name, value);
        }
    }
    for inside in between(&text, "enum ", "}") {
        for each in inside.split_once('{').expect("an enum has a list").1.split(',') {
            if let Some((name, value)) = each.split_once('=') {
                add(name, value);
            }
        }
    }
    for inside in between(&text, "struct ", "}") {
        let (name, fields) = inside.split_once('{').expect("a structure has fields");
        let name: String = name.trim().split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect();
        let fields: Vec<String> = fields
            .split(';')
            .filter_map(|field| field.trim().split_once(' '))
            .flat_map(|(number, names)| names.split(',').map(move |name| format!("{} {number}", name.trim())))
            .collect();
        stated.insert(name, fields.join(", "));
    }
    stated
}

/// What files of Rust state.
pub fn of_rust(text: &str) -> Stated {
    let text = without_comments(text);
    let mut stated = Stated::new();
    for inside in between(&text, "pub const ", ";") {
        let (name, rest) = inside.split_once(':').expect("a constant has a type");
        let Some(value) = rest.split_once('=').and_then(|(_, value)| number(value)) else { continue };
        stated.insert(name.to_owned(), value.to_string());
    }
    for inside in between(&text, "pub struct ", "}") {
        let (name, fields) = inside.split_once('{').expect("a structure has fields");
        if name.contains('$') {
            continue;
        }
        let fields: Vec<String> = fields
            .split(',')
            .filter_map(|field| field.trim().strip_prefix("pub ")?.split_once(':'))
            .map(|(name, number)| format!("{} {}", name.trim(), number.trim()))
            .collect();
        stated.insert(name.trim().to_owned(), fields.join(", "));
    }
    stated
}

#[test]
fn differences_are_seen() {
    let c = "/* a\n b */\n#define ONE 1 /* x */\n#define BIT (1ULL << 63)\nenum k { A = 0, B = -32768, };\nstruct some_thing { u32 a; u64 b, c; };";
    let rust = "/// `1`\npub const ONE: u32 = 1;\npub const BIT: u64 = 1 << 63;\npub const A: u32 = 0;\npub const B: i16 = -32_768;\npub struct SomeThing {\n    /// x\n    pub a: u32,\n    pub b: u64,\n    pub c: u64,\n}";
    assert_eq!(of_c(c), of_rust(rust));
    assert_eq!(of_c(c).len(), 5);
    for (from, to) in [("1;", "2;"), ("<< 63", "<< 62"), ("a: u32", "a: u64"), ("b: u64", "d: u64"), ("A:", "AB:")] {
        assert_ne!(of_c(c), of_rust(&rust.replacen(from, to, 1)), "{from}");
    }
}
