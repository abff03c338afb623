//! Numbers as people read them.

use crate::model::Unit;

/// A share of 0..1 as percent with two decimals: `12.34 %`.
///
/// What is not nothing is not shown as nothing, and what is not all is not shown as all: `<0.01 %`, `>99.99 %`.
pub fn percent(share: f64) -> String {
    // The sum of no numbers is -0.0, which would be shown with its sign.
    let shown = format!("{:.2} %", share * 100.0 + 0.0);
    match shown.as_str() {
        "0.00 %" if share > 0.0 => "<0.01 %".to_owned(),
        "100.00 %" if share < 1.0 - 1e-12 => ">99.99 %".to_owned(),
        "0.00 %" => "0 %".to_owned(),
        "100.00 %" => "100 %".to_owned(),
        _ => shown,
    }
}

/// A whole number with its thousands set apart: `12,345`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A value in its unit, with three significant digits: `1.23 s`, `1.23 M`, `1.23 MB`.
pub fn quantity(value: u64, unit: Unit) -> String {
    match unit {
        Unit::Nanoseconds => scaled(value, &["ns", "µs", "ms", "s"]),
        Unit::Count => scaled(value, &["", "k", "M", "G", "T", "P", "E"]),
        Unit::Bytes => scaled(value, &["B", "kB", "MB", "GB", "TB", "PB", "EB"]),
    }
}

/// Divides by 1000 as often as there are prefixes for it.
fn scaled(value: u64, prefixes: &[&str]) -> String {
    let (mut number, mut prefix) = (value as f64, 0);
    // 999.5 would be shown as 1000 of the smaller unit.
    while number >= 999.5 && prefix + 1 < prefixes.len() {
        number /= 1000.0;
        prefix += 1;
    }
    let digits = match number {
        _ if prefix == 0 => value.to_string(),
        _ if number < 9.995 => format!("{number:.2}"),
        _ if number < 99.95 => format!("{number:.1}"),
        _ => grouped(number.round() as u64),
    };
    format!("{digits} {}", prefixes[prefix]).trim_end().to_owned()
}

/// A number of things: `1 sample`, `12,345 samples`.
pub fn count_of(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// A moment in seconds since 1970 as `2026-11-21 07:35:09 UTC`.
pub fn utc(unix: u64) -> String {
    let (days, second) = (unix / 86_400, unix % 86_400);
    // Counted in eras of 400 years (146,097 days) from 0000-03-01, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day_of_month:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// What it was and what it is; the unit is said once where both have it: `390 → 471 ms`.
pub fn arrow(base: String, new: String) -> String {
    match (base.rsplit_once(' '), new.rsplit_once(' ')) {
        (Some((number, of_base)), Some((_, of_new))) if of_base == of_new => format!("{number} → {new}"),
        _ => format!("{base} → {new}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_is_neither_nothing_nor_all_by_rounding() {
        let check = |share: f64, expected: &str| assert_eq!(percent(share), expected);
        check(0.0, "0 %");
        check(-0.0, "0 %");
        check(1.0, "100 %");
        check(0.00001, "<0.01 %");
        check(0.99999, ">99.99 %");
        check(0.123_456, "12.35 %");
    }

    #[test]
    fn values_have_three_digits_and_a_unit() {
        let check = |value: u64, unit: Unit, expected: &str| assert_eq!(quantity(value, unit), expected);
        check(0, Unit::Nanoseconds, "0 ns");
        check(999, Unit::Nanoseconds, "999 ns");
        check(1_234_567_890, Unit::Nanoseconds, "1.23 s");
        check(999_999_999, Unit::Nanoseconds, "1.00 s");
        check(12_345_678_900_000, Unit::Nanoseconds, "12,346 s");
        check(7, Unit::Count, "7");
        check(99_960, Unit::Count, "100 k");
        check(u64::MAX, Unit::Count, "18.4 E");
        check(2_500_000, Unit::Bytes, "2.50 MB");
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(count_of(1, "sample"), "1 sample");
        assert_eq!(count_of(12_345_678, "sample"), "12,345,678 samples");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(utc(1_795_246_509), "2026-11-21 07:35:09 UTC");
    }
}
