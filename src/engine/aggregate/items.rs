//! Tickets and invoices alike: items that take statuses, late ones too, and are forgotten once
//! settled for long enough.
//!
//! All statuses of an item are held, so that neither their order of arrival nor a repeat matters.

use compact_str::CompactString;

use super::kept::{BadState, KeptItem};
use crate::engine::time::{EventTime, Span};

/// One status that an item took.
pub trait Change: Sized {
    /// The kind of status; its order decides between statuses of one instant.
    type Status: Copy + Ord;
    /// When.
    fn at(&self) -> EventTime;
    /// Which.
    fn status(&self) -> Self::Status;
    /// The event that said so.
    fn event_id(&self) -> &str;
    /// Whether an item with these changes is settled.
    fn settles(changes: &[Self]) -> bool;
    /// The latest instant that windows may ask about because of this change.
    fn matters_at(&self) -> EventTime {
        self.at()
    }
}

/// What became of an event of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemOutcome {
    /// It took effect.
    Taken,
    /// The same status at the same instant is known.
    Repeated,
    /// The same, but of the two events this one decides what else is known of it.
    Restated,
    /// Its item is unknown and the status is as old as the horizon.
    TooOld,
}

/// The items of one kind of one account.
#[derive(Clone, Debug, PartialEq)]
pub struct Items<C> {
    items: Vec<Item<C>>,
}

/// One item.
#[derive(Clone, Debug, PartialEq)]
pub struct Item<C> {
    id: CompactString,
    /// By (instant, status), each pair once. Never empty.
    changes: Vec<C>,
    /// Was settled for longer than the horizon when a new item of the same id came: only its past
    /// counts still.
    forgotten: bool,
}

impl<C> Default for Items<C> {
    fn default() -> Self {
        Items { items: Vec::new() }
    }
}

impl<C: Change> Items<C> {
    /// What is kept of each item, its changes by `keep`.
    pub fn keep_each<'a, K>(&'a self, keep: impl Fn(&'a C) -> K) -> Vec<KeptItem<'a, K>> {
        let kept = |item: &'a Item<C>| KeptItem {
            id: &item.id,
            forgotten: item.forgotten,
            changes: item.changes.iter().map(&keep).collect(),
        };
        self.items.iter().map(kept).collect()
    }

    /// The items again.
    pub fn restore_each<K>(
        kept: Vec<KeptItem<'_, K>>,
        restore: impl Fn(K) -> Result<C, BadState>,
    ) -> Result<Items<C>, BadState> {
        let mut items = Vec::with_capacity(kept.len());
        for item in kept {
            let changes: Vec<C> =
                item.changes.into_iter().map(&restore).collect::<Result<_, _>>()?;
            let keys = || changes.iter().map(|change| (change.at(), change.status()));
            if changes.is_empty() || keys().zip(keys().skip(1)).any(|(a, b)| a >= b) {
                return Err(BadState("an item whose statuses are not in order"));
            }
            items.push(Item { id: item.id.into(), changes, forgotten: item.forgotten });
        }
        Ok(Items { items })
    }

    /// Takes one status of the item `id`.
    pub fn apply(&mut self, id: &str, change: C, now: EventTime, horizon: Span) -> ItemOutcome {
        let known = self.items.iter_mut().find(|item| !item.forgotten && item.id == id);
        if let Some(item) = known {
            if !item.is_past(horizon, now) {
                return item.insert(change);
            }
            item.forgotten = true;
        }
        if change.at() + horizon <= now {
            return ItemOutcome::TooOld;
        }
        make_room(&mut self.items);
        self.items.push(Item { id: id.into(), changes: vec![change], forgotten: false });
        ItemOutcome::Taken
    }

    /// Whether there is room for a status of the item `id`: for as many statuses as `statuses_max`,
    /// and unless the item is known, for as many items as `items_max`.
    pub fn has_room(&self, id: &str, items_max: usize, statuses_max: usize) -> bool {
        // Counted anew each time: taking the status looks through the items all the same.
        let statuses = || self.items.iter().map(|item| item.changes.len()).sum::<usize>();
        let is_known = || self.items.iter().any(|item| !item.forgotten && item.id == id);
        (self.items.len() < items_max || is_known()) && statuses() < statuses_max
    }

    /// Drops settled items that neither a late status nor a window of `reach` can want any more.
    pub fn forget(&mut self, horizon: Span, reach: Span, now: EventTime) {
        self.items.retain(|item| !item.is_past(horizon, now) || item.matters_at() + reach >= now);
    }

    /// How many are held.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// All that are held, forgotten ones too: their past counts in windows.
    pub fn all(&self) -> impl Iterator<Item = &Item<C>> {
        self.items.iter()
    }

    /// Those that are not settled.
    pub fn unsettled(&self) -> impl Iterator<Item = &Item<C>> {
        self.items.iter().filter(|item| !item.forgotten && !C::settles(&item.changes))
    }

    /// Every status of every item.
    pub fn changes(&self) -> impl Iterator<Item = &C> {
        self.items.iter().flat_map(|item| &item.changes)
    }
}

impl<C: Change> Item<C> {
    /// Its statuses by (instant, status); never empty.
    pub fn changes(&self) -> &[C] {
        &self.changes
    }

    /// Its earliest status of this kind.
    pub fn first(&self, status: C::Status) -> Option<&C> {
        self.changes.iter().find(|change| change.status() == status)
    }

    /// Its latest status of this kind.
    pub fn latest(&self, status: C::Status) -> Option<&C> {
        self.changes.iter().rfind(|change| change.status() == status)
    }

    fn insert(&mut self, change: C) -> ItemOutcome {
        let key = (change.at(), change.status());
        match self.changes.binary_search_by_key(&key, |c| (c.at(), c.status())) {
            Ok(same) => {
                // Counts once; which of the two stays must not depend on which came first.
                if self.changes[same].event_id() >= change.event_id() {
                    return ItemOutcome::Repeated;
                }
                self.changes[same] = change;
                ItemOutcome::Restated
            }
            Err(place) => {
                make_room(&mut self.changes);
                self.changes.insert(place, change);
                ItemOutcome::Taken
            }
        }
    }

    /// Settled, and without any status for as long as the horizon: counted from the latest status
    /// of any kind, so that none that is held can come again and be taken for a new item's.
    fn is_past(&self, horizon: Span, now: EventTime) -> bool {
        let last = self.changes.last().expect("an item is made with its first change");
        C::settles(&self.changes) && last.at() + horizon <= now
    }

    fn matters_at(&self) -> EventTime {
        let latest = self.changes.iter().map(C::matters_at).max();
        latest.expect("an item is made with its first change")
    }
}

/// Has room for one more, and little more than that: an account has one ticket far more often than
/// the four for which a vector would make room at once.
pub fn make_room<T>(list: &mut Vec<T>) {
    if list.len() == list.capacity() {
        list.reserve_exact(1 + list.len() / 4);
    }
}
