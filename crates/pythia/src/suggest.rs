//! Close names, for those who mistyped one.

/// Most names that are suggested.
const SUGGESTIONS_MAX: usize = 3;
/// Longest name that is compared: the cost is the product of both lengths.
const NAME_CHARS_MAX: usize = 64;

/// Known names within a third of the name's length, those that contain it, and those that begin as it does (`variance`:
/// `var_pop`); closest first.
pub(crate) fn closest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Vec<String> {
    let name: Vec<char> = name.to_lowercase().chars().take(NAME_CHARS_MAX).collect();
    let far = (name.len() / 3).max(1);
    let mut found: Vec<(usize, &str)> = known
        .map(|candidate| (distance(&name, candidate), candidate))
        .filter(|(distance, candidate)| {
            let within: String = name.iter().collect();
            let begins = candidate.split('_').next().is_some_and(|word| word.len() >= 3 && within.starts_with(word));
            let begins = begins && !within.contains('.');
            *distance <= far || begins || (within.len() >= 3 && candidate.contains(&within))
        })
        .collect();
    found.sort_unstable();
    found.dedup_by(|a, b| a.1 == b.1);
    found.into_iter().take(SUGGESTIONS_MAX).map(|(_, name)| name.to_string()).collect()
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from one to the other (optimal string
/// alignment).
fn distance(a: &[char], b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().take(NAME_CHARS_MAX).collect();
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
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
