//! Words for complaints, and what a mistyped name was meant to be.

use std::collections::BTreeSet;

/// `; did you mean x?`, if one of the names is near.
pub(super) fn meant<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, names).map_or_else(String::new, |near| format!("; did you mean {near}?"))
}

/// The name that is nearest, if it is near: a third of its letters may be wrong.
fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = names.into_iter().filter(|other| *other != name).map(|other| (distance(name, other), other));
    let most = (name.chars().count() / 3).clamp(1, 3);
    near.filter(|(distance, _)| *distance <= most).min().map(|(_, other)| other)
}

/// How many letters must be changed, added, removed or swapped with their neighbour.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=other.len()).collect()];
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let mut best = (rows[i][j] + usize::from(a != b)).min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == other[j - 1] && one[i - 1] == *b {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows.last().and_then(|row| row.last()).copied().unwrap_or_default()
}

/// `1 argument`, `2 or 3 arguments`, `no argument`.
pub(super) fn arguments(counts: &BTreeSet<usize>) -> String {
    let words: Vec<String> = counts.iter().map(|n| if *n == 0 { "no".to_owned() } else { n.to_string() }).collect();
    let plural = if counts.iter().all(|n| *n <= 1) { "" } else { "s" };
    match words.split_last() {
        Some((last, [])) => format!("{last} argument{plural}"),
        Some((last, before)) => format!("{} or {last} argument{plural}", before.join(", ")),
        None => "nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_is_found() {
        assert_eq!(meant("tpye", ["kind", "type", "to"]), "; did you mean type?");
        assert_eq!(meant("on_mesage", ["on_iq", "on_message"]), "; did you mean on_message?");
        assert_eq!(meant("colour", ["kind", "type", "to"]), "");
        assert_eq!((distance("", "abc"), distance("abc", "abc"), distance("abcd", "abdc")), (3, 0, 1));
        assert_eq!(arguments(&BTreeSet::from([1, 2, 3])), "1, 2 or 3 arguments");
        assert_eq!(arguments(&BTreeSet::from([0, 1])), "no or 1 argument");
    }
}
