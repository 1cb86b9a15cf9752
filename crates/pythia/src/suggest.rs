//! Close names, for those who mistyped one.

use strsim::osa_distance;

/// Most names that are suggested.
const SUGGESTIONS_MAX: usize = 3;
/// Longest name that is compared: the cost is the product of both lengths.
const NAME_CHARS_MAX: usize = 64;

/// Returns known names within a third of the name's length, those that contain it, and those that begin as it does (`variance`:
/// `var_pop`); closest first.
pub(crate) fn closest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Vec<String> {
    let name: String = name.to_lowercase().chars().take(NAME_CHARS_MAX).collect();
    let far = (name.chars().count() / 3).max(1);
    let mut found: Vec<(usize, &str)> = known
        .map(|candidate| {
            let letters: String = candidate.to_lowercase().chars().take(NAME_CHARS_MAX).collect();
            (osa_distance(&name, &letters), candidate)
        })
        .filter(|(distance, candidate)| {
            let begins = candidate.split('_').next().is_some_and(|word| word.len() >= 3 && name.starts_with(word));
            let begins = begins && !name.contains('.');
            *distance <= far || begins || (name.len() >= 3 && candidate.contains(&name))
        })
        .collect();
    found.sort_unstable();
    found.dedup_by(|a, b| a.1 == b.1);
    found.into_iter().take(SUGGESTIONS_MAX).map(|(_, name)| name.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistyped_names_are_found() {
        let known = ["trades", "tickers", "book_levels", "mark_prices", "index_prices"];
        let closest = |name| closest(name, known.into_iter());
        assert_eq!(closest("trade"), ["trades"]);
        assert_eq!(closest("TARDES"), ["trades"]);
        assert_eq!(closest("prices"), ["mark_prices", "index_prices"]);
        assert_eq!(closest("book_depth"), ["book_levels"]);
        assert!(closest("zebra").is_empty());
        assert!(closest(&"x".repeat(100_000)).is_empty());
    }
}
