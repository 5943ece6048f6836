//! A list of row numbers in order of age, from which any row can be taken out at once.
//!
//! Takes and gives numbers below the most rows there ever were. Must not hold a number twice.

/// No row.
pub(super) const NONE: u32 = u32::MAX;

/// Doubly linked, through one array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct List {
    links: Vec<Link>,
    first: u32,
    last: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Link {
    before: u32,
    after: u32,
}

impl Default for List {
    fn default() -> Self {
        Self { links: Vec::new(), first: NONE, last: NONE }
    }
}

impl List {
    /// What a row costs.
    pub(super) const LINK_BYTES: usize = size_of::<Link>();

    /// The oldest.
    pub(super) fn first(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }

    /// Appends a row that is not in the list.
    pub(super) fn push(&mut self, row: u32) {
        let place = row as usize;
        if self.links.len() <= place {
            self.links.resize(place + 1, Link { before: NONE, after: NONE });
        }
        self.set(row, Link { before: self.last, after: NONE });
        self.join(self.last, row);
        self.last = row;
    }

    /// Takes out a row that is in the list.
    pub(super) fn remove(&mut self, row: u32) {
        let Some(Link { before, after }) = self.links.get(row as usize).copied() else { return };
        self.join(before, after);
        if self.last == row {
            self.last = before;
        }
    }

    /// From the oldest to the youngest.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        std::iter::successors(self.first(), |row| {
            self.links.get(*row as usize).map(|link| link.after).filter(|after| *after != NONE)
        })
    }

    fn set(&mut self, row: u32, link: Link) {
        if let Some(place) = self.links.get_mut(row as usize) {
            *place = link;
        }
    }

    /// Makes two rows neighbours; either may be none.
    fn join(&mut self, before: u32, after: u32) {
        match self.links.get_mut(before as usize) {
            Some(link) => link.after = after,
            None => self.first = after,
        }
        if let Some(link) = self.links.get_mut(after as usize) {
            link.before = before;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_order_whichever_is_taken_out() {
        let mut list = List::default();
        for row in [3, 0, 7, 1] {
            list.push(row);
        }
        let all = |list: &List| list.iter().collect::<Vec<_>>();
        assert_eq!(all(&list), [3, 0, 7, 1]);
        list.remove(0);
        assert_eq!(all(&list), [3, 7, 1]);
        list.remove(3);
        list.push(0);
        assert_eq!(all(&list), [7, 1, 0]);
        list.remove(0);
        list.push(3);
        assert_eq!((all(&list), list.first()), (vec![7, 1, 3], Some(7)));
        for row in [1, 7, 3] {
            list.remove(row);
        }
        assert_eq!((all(&list), list.first()), (vec![], None));
        list.push(5);
        assert_eq!(all(&list), [5]);
    }
}
