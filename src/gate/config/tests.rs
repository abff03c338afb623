//! What is read, and what each mistake is told as.

use super::*;

fn parse(text: &str) -> Result<Config> {
    Config::parse(text, Path::new("profile.toml"), Settings::default())
}

/// Message and hint of what is refused.
fn refused(text: &str) -> (String, String) {
    let error = parse(text).expect_err(text);
    assert_eq!(error.kind(), ErrorKind::Malformed);
    (error.to_string(), error.hint().unwrap_or_default().to_owned())
}

fn check(text: &str, message: &str, hint: &str) {
    let (said, help) = refused(text);
    assert_eq!(said, message, "{text}");
    assert!(help.contains(hint), "{text}: {help}");
}

const WHOLE: &str = r#"
[gate]
alpha = 0.02
warn-alpha = 0.1
min-relative = 0
margin = 0.01
min-absolute = 1e-3
total = { max = 0.02 }
scale = "robust"
runs = 8
fail-on = ["inconclusive", "regression"]
seed = 7
strict-design = false
assumed-noise = 0.04

[[gate.rule]]
function = "codec::**"
module = "libcodec*"
self = { max = 0.05 }
inclusive = { max = 0.03 }
[[gate.rule]]
file = "{tests,bench}/**"
ignore = true

[[gate.allow]]
function = "parser::validate"
up-to = 0.15
until = 2026-12-31
reason = "CVE fix, #812"
"#;

#[test]
fn all_that_can_be_said_is_read() {
    let config = parse(WHOLE).unwrap();
    let settings = &config.settings;
    assert_eq!((settings.alpha, settings.warn_alpha), (0.02, 0.1));
    assert_eq!((settings.min_relative, settings.min_absolute, settings.total_max), (0.0, 0.001, Some(0.02)));
    assert_eq!((settings.scale, settings.runs, settings.seed), (Scale::Robust, 8, 7));
    assert_eq!((settings.is_design_strict, settings.assumed_noise, settings.margin), (false, 0.04, Some(0.01)));
    assert_eq!(config.fail_on, Some(vec![FailOn::Regression, FailOn::Inconclusive]));
    let [codec, tests] = settings.rules.as_slice() else { panic!("{:?}", settings.rules) };
    assert_eq!(codec.which.to_string(), "function \"codec::**\", module \"libcodec*\"");
    assert_eq!((codec.self_max, codec.inclusive_max, codec.ignore, codec.line), (Some(0.05), Some(0.03), false, 16));
    assert_eq!((tests.ignore, tests.line), (true, 21));
    let [allowed] = settings.allowed.as_slice() else { panic!("{:?}", settings.allowed) };
    assert_eq!((allowed.up_to, allowed.until.to_string().as_str(), allowed.line), (0.15, "2026-12-31", 25));
    assert_eq!(allowed.reason, "CVE fix, #812");
    assert_eq!(settings.config.as_deref(), Some(Path::new("profile.toml")));
}

#[test]
fn what_is_not_said_is_as_it_was() {
    let over = Settings { alpha: 0.2, warn_alpha: 0.2, runs: 9, ..Settings::default() };
    let config = Config::parse("[gate]\nmin-relative = 0.5", Path::new("x"), over).unwrap();
    assert_eq!((config.settings.alpha, config.settings.runs, config.settings.min_relative), (0.2, 9, 0.5));
    assert_eq!(config.fail_on, None);
    assert_eq!(parse("").unwrap().settings.alpha, Settings::default().alpha);
}

#[test]
fn a_larger_alpha_lifts_the_one_of_warnings() {
    assert_eq!(parse("[gate]\nalpha = 0.1").unwrap().settings.warn_alpha, 0.1);
}

#[test]
fn unknown_keys_are_told_with_the_nearest_known_one() {
    check("[gate]\n  alhpa = 0.01", "profile.toml:2:3: unknown key `alhpa` in [gate]", "did you mean `alpha`?");
    check("gate.min_relative = 1", "profile.toml:1:6: unknown key `min_relative` in [gate]", "`min-relative`");
    check("[gat]", "profile.toml:1:2: unknown key `gat` in the file", "`gate`");
    check("[gate]\nrules = 1", "profile.toml:2:1: unknown key `rules` in [gate]", "did you mean");
    check("[gate]\nfavourite = 1", "profile.toml:2:1: unknown key `favourite` in [gate]", "min-absolute");
    let rule = "[[gate.rule]]\nfunction = \"f\"\nself = { mx = 1 }";
    check(rule, "profile.toml:3:8: `self` has no `max` (and 1 more)", "self = { max = 0.05 }");
}

#[test]
fn wrong_types_are_told() {
    check("[gate]\nalpha = \"1%\"", "profile.toml:2:9: `alpha` is a number, and this is a text", "0.01 is 1 %");
    check("[gate]\ntotal = 0.02", "profile.toml:2:9: `total` is a table, and this is a number", "{ max = 0.05 }");
    check("[gate]\nruns = 5.0", "profile.toml:2:8: `runs` is a whole number, and this is a number", "5 runs");
    check(
        "[gate.rule]\nfunction = \"f\"",
        "profile.toml:1:1: `rule` is a list of tables, and this is a table",
        "[[gate.rule]]",
    );
    check("[gate]\nfail-on = 1", "profile.toml:2:11: `fail-on` is a list, and this is a number", "[\"regression\"]");
    check(
        "[gate]\nstrict-design = \"yes\"",
        "profile.toml:2:17: `strict-design` is true or false, and this is a text",
        "true",
    );
    check("gate = 1", "profile.toml:1:8: `gate` is a table, and this is a number", "[gate]");
}

#[test]
fn numbers_out_of_range_are_told() {
    check("[gate]\nalpha = 0", "profile.toml:2:9: `alpha` is more than 0 and at most 0.5, not 0", "1 %");
    check("[gate]\nalpha = 0.51", "profile.toml:2:9: `alpha` is more than 0 and at most 0.5, not 0.51", "1 %");
    check("[gate]\nmin-relative = -0.1", "profile.toml:2:16: `min-relative` is from 0 to 10, not -0.1", "3 %");
    check("[gate]\nmin-relative = nan", "profile.toml:2:16: `min-relative` is from 0 to 10, not nan", "3 %");
    check("[gate]\nmin-absolute = inf", "profile.toml:2:16: `min-absolute` is from 0 to 1, not inf", "0.2 %");
    check("[gate]\nruns = 0", "profile.toml:2:8: `runs` is from 1 to 10000, not 0", "5 runs");
    check(
        "[gate]\nwarn-alpha = 0.001",
        "profile.toml:2:14: warn-alpha is less than alpha, 0.01: what fails would not be worth a warning",
        "0.05",
    );
}

#[test]
fn unknown_words_are_told() {
    check("[gate]\nscale = \"shares\"", "profile.toml:2:9: `scale` is not \"shares\"", "did you mean \"share\"?");
    check(
        "[gate]\nfail-on = []",
        "profile.toml:2:11: `fail-on` is empty: such a gate could never fail",
        "fail-on = [\"regression\"]",
    );
    check("[gate]\nfail-on = [\"regresion\"]", "profile.toml:2:12: `fail-on` is not \"regresion\"", "\"regression\"");
}

#[test]
fn rules_need_a_pattern_and_something_to_say() {
    check("[[gate.rule]]\nignore = true", "profile.toml:1:1: a rule needs a pattern", "function = ");
    check(
        "[[gate.rule]]\nfunction = \"f\"",
        "profile.toml:1:1: the rule for function \"f\" says nothing",
        "ignore = true",
    );
    check(
        "[[gate.rule]]\nfunction = \"\"\nignore = true",
        "profile.toml:2:12: `function` is empty, which matches nothing",
        "\"*\"",
    );
    let both = "[[gate.rule]]\nfunction = \"f\"\nignore = true\nself = { max = 1 }";
    check(both, "profile.toml:1:1: the rule for function \"f\" ignores what it sets limits for", "leave out");
}

#[test]
fn entries_of_the_allow_list_must_end_and_say_why() {
    let entry = |rest: &str| format!("[[gate.allow]]\nfunction = \"f\"\n{rest}");
    let whole = "up-to = 0.1\nuntil = 2026-01-01\nreason = \"x\"";
    assert!(parse(&entry(whole)).is_ok());
    let without = |line: &str| entry(&whole.replace(line, ""));
    let at = "profile.toml:1:1: the entry for function \"f\" has no";
    check(&without("until = 2026-01-01"), &format!("{at} `until`"), "until = 2026-12-31");
    check(&without("reason = \"x\""), &format!("{at} `reason`"), "reason = ");
    check(&without("up-to = 0.1"), &format!("{at} `up-to`"), "up-to = ");
    check(
        &entry(&whole.replace("\"x\"", "\" \"")),
        "profile.toml:5:10: the entry for function \"f\" has an empty `reason`",
        "why",
    );
    let day = |text: &str| entry(&whole.replace("2026-01-01", text));
    check(&day("\"2026-01-01\""), "profile.toml:4:9: `until` is a day, and this is a text", "without quotes");
    check(
        &day("2026-01-01T00:00:00Z"),
        "profile.toml:4:9: `until` is a day, not 2026-01-01T00:00:00Z",
        "without a time",
    );
    let (said, _) = refused(&day("2026-02-30"));
    assert!(said.starts_with("profile.toml:4:"), "{said}");
    check(
        "[[gate.allow]]\nup-to = 1",
        "profile.toml:1:1: an entry of the allow-list needs a pattern (and 2 more)",
        "function = ",
    );
}

#[test]
fn what_is_no_toml_is_told_by_place() {
    for (text, place) in
        [("[gate", "1:6"), ("[gate]\nalpha = = 1", "2:9"), ("[gate]\nalpha = 1\nalpha = 2", "3:1"), ("\u{1}", "1:2")]
    {
        let (said, _) = refused(text);
        assert!(said.starts_with(&format!("profile.toml:{place}: ")), "{said}");
    }
    // Columns are characters.
    check("[gate]\n\"é\" = 1", "profile.toml:2:1: unknown key `é` in [gate]", "");
    let deep = format!("a = {}", "[".repeat(100_000));
    refused(&deep);
}

#[test]
fn rules_keep_the_order_of_the_file() {
    let text: String = (0..12).map(|row| format!("[[gate.rule]]\nfunction = \"f{row}\"\nignore = true\n")).collect();
    let rules = parse(&text).unwrap().settings.rules;
    let names: Vec<_> = rules.iter().filter_map(|rule| rule.which.patterns()[0].1).collect();
    assert_eq!(names, (0..12).map(|row| format!("f{row}")).collect::<Vec<_>>());
}
