//! A list with one selected row.

/// Where a list is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct List {
    /// The selected row.
    pub(crate) selected: usize,
}

impl List {
    /// It has so many rows now.
    pub(crate) fn rows(&mut self, rows: usize) {
        self.selected = self.selected.min(rows.saturating_sub(1));
    }

    /// Goes so many rows down, or up.
    pub(crate) fn go(&mut self, by: isize, rows: usize) {
        self.selected = self.selected.saturating_add_signed(by);
        self.rows(rows);
    }

    /// The first row that is shown, where so many fit: whole pages, so that rows stay where they are while one goes through them.
    pub(crate) fn first(&self, fit: usize) -> usize {
        let fit = fit.max(1);
        self.selected / fit * fit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_stays_on_its_rows() {
        let mut list = List::default();
        list.go(-1, 3);
        assert_eq!(list.selected, 0);
        list.go(9, 3);
        assert_eq!(list.selected, 2);
        list.rows(0);
        assert_eq!((list.selected, list.first(0)), (0, 0));
        list.go(7, 100);
        assert_eq!(list.first(5), 5);
    }
}
