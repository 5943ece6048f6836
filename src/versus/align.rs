//! Lays two lists side by side: what is in both, in order, and what is in one only.
//!
//! Takes what is known of each member as two numbers, gives steps. Exactly the same counts most, the same kind of thing a little, so
//! that one that is missing is told as missing, and not as all that follow being different. The best way is found where there is not too
//! much; of long lists it is found between places that are the same. Must not look at anything but the numbers.

/// What is known of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Equal for members that say the same.
    pub(super) whole: u64,
    /// Equal for members that may stand side by side.
    pub(super) kind: u64,
}

/// A step through both lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// These two stand side by side.
    Both(usize, usize),
    /// Only the left list has this.
    Left(usize),
    /// Only the right list has this.
    Right(usize),
}

/// The best way is looked for in tables of at most so many cells.
const MOST_CELLS: usize = 4_000_000;
/// How far ahead a place is looked for where both lists are the same again.
const AHEAD: usize = 500;
/// What it is worth that two are the same, and of one kind. A pair of another content is never worth a same one.
const SAME: u32 = 1000;
const KIN: u32 = 1;

/// Lays two lists side by side.
pub(super) fn align(left: &[Shape], right: &[Shape]) -> Vec<Step> {
    let same = |(one, other): &(&Shape, &Shape)| one.whole == other.whole;
    let before = left.iter().zip(right).take_while(same).count();
    let (left_rest, right_rest) = (left.get(before..).unwrap_or_default(), right.get(before..).unwrap_or_default());
    let after = left_rest.iter().rev().zip(right_rest.iter().rev()).take_while(same).count();
    let (left_end, right_end) = (left.len() - after, right.len() - after);
    let mut steps: Vec<Step> = (0..before).map(|at| Step::Both(at, at)).collect();
    between(left, right, (before, left_end), (before, right_end), &mut steps);
    steps.extend((0..after).map(|at| Step::Both(left_end + at, right_end + at)));
    steps
}

/// What lies between these bounds.
fn between(left: &[Shape], right: &[Shape], (mut i, i_end): Range, (mut j, j_end): Range, steps: &mut Vec<Step>) {
    while (i_end - i).saturating_mul(j_end - j) > MOST_CELLS {
        let (di, dj) = same_again(left, right, (i, i_end), (j, j_end));
        table(left, right, (i, i + di), (j, j + dj), steps);
        (i, j) = (i + di, j + dj);
        while i < i_end && j < j_end && is_same(left, right, i, j) {
            steps.push(Step::Both(i, j));
            (i, j) = (i + 1, j + 1);
        }
    }
    table(left, right, (i, i_end), (j, j_end), steps);
}

type Range = (usize, usize);

fn is_same(left: &[Shape], right: &[Shape], i: usize, j: usize) -> bool {
    matches!((left.get(i), right.get(j)), (Some(one), Some(other)) if one.whole == other.whole)
}

/// How far on both lists are the same again, or as far as anybody looks.
fn same_again(left: &[Shape], right: &[Shape], (i, i_end): Range, (j, j_end): Range) -> (usize, usize) {
    let (far_i, far_j) = ((i_end - i).min(AHEAD), (j_end - j).min(AHEAD));
    for sum in 0..far_i + far_j {
        let first = sum.saturating_sub(far_j.saturating_sub(1));
        let found = (first..=sum.min(far_i.saturating_sub(1))).find(|di| is_same(left, right, i + di, j + sum - di));
        if let Some(di) = found {
            return (di, sum - di);
        }
    }
    (far_i, far_j)
}

/// The best way through a part of both lists.
fn table(left: &[Shape], right: &[Shape], (i, i_end): Range, (j, j_end): Range, steps: &mut Vec<Step>) {
    let (rows, columns) = (left.get(i..i_end).unwrap_or_default(), right.get(j..j_end).unwrap_or_default());
    let width = columns.len() + 1;
    // How much the best way from here on is worth, from the back.
    let mut worth = vec![0_u32; (rows.len() + 1) * width];
    let value = |one: &Shape, other: &Shape| match (one.whole == other.whole, one.kind == other.kind) {
        (true, _) => SAME,
        (false, true) => KIN,
        (false, false) => 0,
    };
    let at = |worth: &[u32], row: usize, column: usize| worth.get(row * width + column).copied().unwrap_or_default();
    for (row, one) in rows.iter().enumerate().rev() {
        for (column, other) in columns.iter().enumerate().rev() {
            let pair = match value(one, other) {
                0 => 0,
                value => value + at(&worth, row + 1, column + 1),
            };
            let best = pair.max(at(&worth, row + 1, column)).max(at(&worth, row, column + 1));
            if let Some(cell) = worth.get_mut(row * width + column) {
                *cell = best;
            }
        }
    }
    let (mut row, mut column) = (0, 0);
    loop {
        match (rows.get(row), columns.get(column)) {
            (None, None) => return,
            (Some(one), Some(other)) => {
                let (here, value) = (at(&worth, row, column), value(one, other));
                if value > 0 && here == value + at(&worth, row + 1, column + 1) {
                    steps.push(Step::Both(i + row, j + column));
                    (row, column) = (row + 1, column + 1);
                } else if here == at(&worth, row + 1, column) {
                    steps.push(Step::Left(i + row));
                    row += 1;
                } else {
                    steps.push(Step::Right(j + column));
                    column += 1;
                }
            }
            (Some(_), None) => {
                steps.push(Step::Left(i + row));
                row += 1;
            }
            (None, Some(_)) => {
                steps.push(Step::Right(j + column));
                column += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A letter is a member, its kind is whether it is a capital.
    fn told(left: &str, right: &str) -> String {
        let shapes = |text: &str| -> Vec<Shape> {
            text.chars().map(|c| Shape { whole: u64::from(c), kind: u64::from(c.is_uppercase()) }).collect()
        };
        let (one, other) = (shapes(left), shapes(right));
        let letter = |text: &str, at: usize| text.chars().nth(at).unwrap();
        let word = |step: &Step| match *step {
            Step::Both(i, j) if letter(left, i) == letter(right, j) => letter(left, i).to_string(),
            Step::Both(i, j) => format!("({}{})", letter(left, i), letter(right, j)),
            Step::Left(i) => format!("-{}", letter(left, i)),
            Step::Right(j) => format!("+{}", letter(right, j)),
        };
        align(&one, &other).iter().map(word).collect()
    }

    #[test]
    fn what_is_missing_is_told_as_missing() {
        for (left, right, steps) in [
            ("", "", ""),
            ("abc", "abc", "abc"),
            ("abcd", "acd", "a-bcd"),
            ("acd", "abcd", "a+bcd"),
            ("abcd", "axcd", "a(bx)cd"),
            ("aBcd", "axcd", "a-B+xcd"),
            ("abc", "", "-a-b-c"),
            ("", "AB", "+A+B"),
            ("xaby", "xbay", "x-ab+ay"),
        ] {
            assert_eq!(told(left, right), steps, "{left} {right}");
        }
    }

    /// Long lists, of which the best way through would be too much, lose one here and there.
    #[test]
    fn long_lists_are_laid_side_by_side_too() {
        let left: Vec<Shape> = (0..20_000).map(|n| Shape { whole: n, kind: n % 3 }).collect();
        let lacks = |n: &u64| n % 997 == 1;
        let right: Vec<Shape> = left.iter().copied().filter(|shape| !lacks(&shape.whole)).collect();
        let steps = align(&left, &right);
        let missing: Vec<u64> = steps
            .iter()
            .filter_map(|step| if let Step::Left(i) = step { Some(left[*i].whole) } else { None })
            .collect();
        assert_eq!(missing, (0..20_000).filter(lacks).collect::<Vec<_>>());
        assert_eq!(steps.len(), 20_000);
        assert!(steps.iter().all(|step| !matches!(step, Step::Right(_))));
    }

    /// Nothing is left out and nothing told twice, whatever the lists.
    #[test]
    fn every_member_has_its_place() {
        let mut seed = 1_u64;
        let mut dice = |most: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % most
        };
        for _ in 0..200 {
            let mut list =
                |len: u64| -> Vec<Shape> { (0..dice(len)).map(|_| Shape { whole: dice(6), kind: dice(2) }).collect() };
            let (left, right) = (list(40), list(40));
            let (mut i, mut j) = (0, 0);
            for step in align(&left, &right) {
                match step {
                    Step::Both(one, other) => {
                        assert_eq!((one, other), (i, j));
                        (i, j) = (i + 1, j + 1);
                    }
                    Step::Left(one) => {
                        assert_eq!(one, i);
                        i += 1;
                    }
                    Step::Right(other) => {
                        assert_eq!(other, j);
                        j += 1;
                    }
                }
            }
            assert_eq!((i, j), (left.len(), right.len()));
        }
    }
}
