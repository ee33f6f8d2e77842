//! The word that was probably meant.

/// The one of `words` with the fewest slips of the finger (a letter more, less, wrong, or two
/// swapped) to `typed`; none where that would be more than a third of its letters.
pub fn nearest<'a>(typed: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (typed.chars().count() / 3).max(1);
    words
        .into_iter()
        .map(|word| (slips(typed, word), word))
        .filter(|(slips, _)| *slips <= limit)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, word)| word)
}

/// How many slips of the finger make the one of the other: their optimal string alignment distance.
pub fn slips(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    // Rows i-2, i-1 and i of the table.
    let mut before = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let wrong = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + wrong);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                let two_back: &Vec<usize> = &before;
                best = best.min(two_back[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_seen_through() {
        let words = ["name", "network", "rm", "restart", "entrypoint"];
        for (typed, meant) in [
            ("nmae", Some("name")),
            ("nam", Some("name")),
            ("netwrok", Some("network")),
            ("restrat", Some("restart")),
            ("entry-point", Some("entrypoint")),
            ("mr", Some("rm")),
            ("publish", None),
            ("xyz", None),
        ] {
            assert_eq!(nearest(typed, words), meant, "{typed}");
        }
    }
}
