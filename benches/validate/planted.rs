//! A change planted in folded stacks that were recorded: for how small a change is seen, any size can be had without new recordings.

/// Folded stacks in which a function itself takes `1 + rise` times as much.
///
/// What a stack gains is rounded by chance, so that no count is favoured; its noise from run to run grows with it, as it would.
pub fn risen(folded: &str, function: &str, rise: f64, mut share: impl FnMut() -> f64) -> String {
    let mut text = String::with_capacity(folded.len() + 64);
    for line in folded.lines() {
        let parsed = line.rsplit_once(' ').and_then(|(stack, weight)| Some((stack, weight.parse::<u64>().ok()?)));
        let Some((stack, weight)) = parsed else { continue };
        let is_it = stack.rsplit(';').next().is_some_and(|leaf| super::found::is_of(leaf, function));
        let gain = if is_it { (weight as f64 * rise + share()).floor() as u64 } else { 0 };
        text.push_str(&format!("{stack} {}\n", weight + gain));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::risen;
    use crate::validate::dice::Dice;

    #[test]
    fn only_the_function_rises_and_by_as_much() {
        let mut dice = Dice::new(1, "a");
        let folded: String = (0..1000).map(|i| format!("p;main;f{i};crc 7\np;main;crc;other 7\n")).collect();
        let text = risen(&folded, "crc", 0.1, || dice.share());
        let sum = |leaf: &str| -> u64 {
            let of = text.lines().filter(|line| line.contains(leaf));
            of.map(|line| line.rsplit(' ').next().and_then(|weight| weight.parse::<u64>().ok()).unwrap_or(0)).sum()
        };
        assert_eq!(sum("other"), 7000);
        assert!((7600..7800).contains(&sum(";crc ")), "{}", sum(";crc "));
    }
}
