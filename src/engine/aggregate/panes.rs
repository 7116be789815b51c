//! Counts per pane: a rolling total, and a trend against the panes before.
//!
//! Panes are pairs (number, amount), oldest first, only those that hold something: a sparse account
//! pays for what it did. A pane that has not begun yet is kept but not counted.

use std::hint::black_box;

use super::kept::BadState;
use crate::engine::scorecard::{TrendStore, Window};
use crate::engine::time::EventTime;

/// What a pane can hold: small counts, or exact sums.
pub trait Amount: Copy + Into<i64> {
    /// Adds, stopping at the type's limit.
    fn plus(self, more: i64) -> Self;
}

impl Amount for u32 {
    fn plus(self, more: i64) -> u32 {
        u32::try_from(i64::from(self) + more).unwrap_or(u32::MAX)
    }
}

impl Amount for i64 {
    fn plus(self, more: i64) -> i64 {
        self.saturating_add(more)
    }
}

/// Amounts per pane with a rolling total over one window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PaneRing<A> {
    /// Oldest first, no two of the same pane, none that has left the window at `current`.
    cells: Vec<(i32, A)>,
    /// How many cells lie at or before `current`: those that count.
    begun: u32,
    /// The sum of those cells.
    total: i64,
    /// The pane that holds "now".
    current: i32,
}

/// A pane no instant of ours lies in: whoever is there has not been told what time it is.
pub const NO_PANE: i32 = i32::MIN;

impl<A: Amount> PaneRing<A> {
    /// What is kept of it: every cell that may still count.
    pub fn cells(&self) -> &[(i32, A)] {
        &self.cells
    }

    /// A ring with these cells, to be advanced before it is asked anything.
    pub fn restore(cells: Vec<(i32, A)>) -> Result<PaneRing<A>, BadState> {
        Ok(PaneRing { cells: in_order(cells)?, begun: 0, total: 0, current: NO_PANE })
    }

    /// Moves "now" forward: panes leave, panes begin.
    pub fn advance(&mut self, window: Window, now: EventTime) {
        let current = now.pane_near(self.current, window.pane);
        if current == self.current {
            return;
        }
        self.current = current;
        let oldest = current - window.panes as i32 + 1;
        let gone = self.cells.partition_point(|(pane, _)| *pane < oldest);
        self.cells.drain(..gone);
        let begun = self.cells.partition_point(|(pane, _)| *pane <= current);
        self.begun = begun as u32;
        let amounts = self.cells[..begun].iter().map(|(_, amount)| (*amount).into());
        self.total = amounts.fold(0, i64::saturating_add);
    }

    /// Adds to the pane of `at`, if that has not left the window; returns whether it has not. Call
    /// `advance` first.
    pub fn add(&mut self, window: Window, at: EventTime, amount: i64) -> bool
    where
        A: Default,
    {
        let pane = at.pane_near(self.current, window.pane);
        if pane <= self.current - window.panes as i32 {
            return false;
        }
        let begun = pane <= self.current;
        if add_to_cell(&mut self.cells, pane, amount) && begun {
            self.begun += 1;
        }
        if begun {
            self.total = self.total.saturating_add(amount);
        }
        true
    }

    /// The sum over the window.
    pub fn total(&self) -> i64 {
        self.total
    }

    /// How many panes of the window hold something.
    pub fn active_panes(&self) -> i64 {
        i64::from(self.begun)
    }

    /// When total or active panes change next without a new event.
    pub fn next_change(&self, window: Window) -> EventTime {
        let leaves = match self.cells.first() {
            Some((pane, _)) => window.pane_start(i64::from(*pane) + window.panes),
            None => EventTime::MAX,
        };
        match self.cells.get(self.begun as usize) {
            Some((pane, _)) => leaves.min(window.pane_start(i64::from(*pane))),
            None => leaves,
        }
    }
}

fn in_order<A>(cells: Vec<(i32, A)>) -> Result<Vec<(i32, A)>, BadState> {
    if cells.windows(2).all(|pair| pair[0].0 < pair[1].0) {
        Ok(cells)
    } else {
        Err(BadState("panes that are not in order"))
    }
}

/// Adds to the cell of `pane`, making it if needed; `true` if it was made.
fn add_to_cell<A: Amount + Default>(cells: &mut Vec<(i32, A)>, pane: i32, amount: i64) -> bool {
    // Nearly every event belongs to the newest pane: look from the end.
    let after = cells.iter().rposition(|(known, _)| *known <= pane).map_or(0, |i| i + 1);
    match after.checked_sub(1).map(|i| &mut cells[i]) {
        Some((known, held)) if *known == pane => {
            *held = held.plus(amount);
            false
        }
        _ => {
            cells.insert(after, (pane, A::default().plus(amount)));
            true
        }
    }
}

/// Event counts in the completed panes of a window and of the baseline before it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrendPanes {
    /// Oldest first, no two of the same pane, none before the baseline.
    cells: Vec<(i32, u32)>,
    current: i32,
}

impl TrendPanes {
    /// What is kept of them: every cell that may still count.
    pub fn cells(&self) -> &[(i32, u32)] {
        &self.cells
    }

    /// Panes with these cells, to be advanced before they are asked anything.
    pub fn restore(cells: Vec<(i32, u32)>) -> Result<TrendPanes, BadState> {
        Ok(TrendPanes { cells: in_order(cells)?, current: NO_PANE })
    }

    /// Moves "now" forward; panes before the baseline leave.
    pub fn advance(&mut self, store: &TrendStore, now: EventTime) {
        let current = now.pane_near(self.current, store.pane);
        if current != self.current {
            self.current = current;
            let oldest = self.baseline_start(store);
            let gone = self.cells.partition_point(|(pane, _)| *pane < oldest);
            self.cells.drain(..gone);
        }
    }

    /// Counts one event in the pane of `at`, unless that lies before the baseline. Call `advance`
    /// first. Returns whether that is noticed before the next pane begins: the running one does not
    /// count yet, but it is not silence either.
    pub fn add(&mut self, store: &TrendStore, at: EventTime) -> bool {
        let pane = at.pane_near(self.current, store.pane);
        if pane < self.baseline_start(store) {
            return false;
        }
        let was_empty = self.cells.is_empty();
        add_to_cell(&mut self.cells, pane, 1);
        was_empty || pane < self.current
    }

    /// Reads what the next event will read first.
    pub fn warm_up(&self) {
        black_box(self.cells.last());
    }

    /// Events in the window's completed panes, and in the baseline.
    pub fn counts(&self, store: &TrendStore) -> (i64, i64) {
        let recent_start = self.current - store.recent_panes as i32;
        let (mut recent, mut baseline) = (0, 0);
        for (pane, count) in &self.cells {
            if *pane >= self.current {
                break;
            } else if *pane >= recent_start {
                recent += i64::from(*count);
            } else {
                baseline += i64::from(*count);
            }
        }
        (recent, baseline)
    }

    /// The pane with which the baseline starts.
    pub fn baseline_start(&self, store: &TrendStore) -> i32 {
        self.current - (store.recent_panes + store.baseline_panes) as i32
    }

    /// Whether neither window nor baseline nor the running pane holds anything.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// When the next pane begins: counts and baseline move then.
    pub fn next_edge(&self, store: &TrendStore) -> EventTime {
        EventTime::from_millis((i64::from(self.current) + 1) * store.pane.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::time::Span;

    const WINDOW: Window = Window { pane: Span::DAY, panes: 3 };

    fn day(day: i64) -> EventTime {
        EventTime::from_millis(0) + Span::days(day)
    }

    #[test]
    fn a_late_event_counts_in_its_own_pane_until_that_pane_leaves() {
        let mut ring = PaneRing::<u32>::default();
        ring.advance(WINDOW, day(10));
        for at in [10, 8, 7] {
            ring.add(WINDOW, day(at), 1);
        }
        assert_eq!((ring.total(), ring.active_panes()), (2, 2));
        assert_eq!(ring.next_change(WINDOW), day(11));
        ring.advance(WINDOW, day(11));
        assert_eq!((ring.total(), ring.active_panes()), (1, 1));
    }

    #[test]
    fn a_pane_that_has_not_begun_waits_for_its_time() {
        let mut ring = PaneRing::<u32>::default();
        ring.advance(WINDOW, day(10));
        ring.add(WINDOW, day(11), 1);
        assert_eq!((ring.total(), ring.next_change(WINDOW)), (0, day(11)));
        ring.advance(WINDOW, day(11));
        assert_eq!((ring.total(), ring.next_change(WINDOW)), (1, day(14)));
    }

    #[test]
    fn a_trend_leaves_out_the_pane_that_is_still_running() {
        let store = TrendStore {
            features: Vec::new(),
            pane: Span::DAY,
            recent_panes: 2,
            baseline_panes: 3,
        };
        let mut trend = TrendPanes::default();
        trend.advance(&store, day(10));
        for at in [10, 9, 8, 7, 6, 5, 4] {
            trend.add(&store, day(at));
        }
        assert_eq!(trend.counts(&store), (2, 3));
        trend.advance(&store, day(11));
        assert_eq!(trend.counts(&store), (2, 3));
        assert_eq!(trend.next_edge(&store), day(12));
    }
}
