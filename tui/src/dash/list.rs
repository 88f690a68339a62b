//! A cursor in a list of rows.

/// The selected row, and the first one on the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct List {
    pub(super) at: usize,
    pub(super) top: usize,
}

impl List {
    /// Keeps the cursor in a list of `count` rows, and on a screen of `height`.
    pub(super) fn keep(&mut self, count: usize, height: usize) {
        let height = height.max(1);
        self.at = self.at.min(count.saturating_sub(1));
        let lowest = (self.at + 1).saturating_sub(height);
        self.top = self.top.clamp(lowest, self.at);
        self.top = self.top.min(count.saturating_sub(height));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_stays_in_the_list_and_on_the_screen() {
        let mut list = List { at: 9, top: 0 };
        list.keep(20, 4);
        assert_eq!(list, List { at: 9, top: 6 });
        list.at = 2;
        list.keep(20, 4);
        assert_eq!(list, List { at: 2, top: 2 });
        list.keep(3, 4);
        assert_eq!(list, List { at: 2, top: 0 });
        list.keep(0, 0);
        assert_eq!(list, List::default());
    }
}
