//! How much is held at most, whatever arrives.

use super::time::Span;

/// How many statuses an account's tickets may have, for each ticket it may have; the same for invoices.
const STATUSES_PER_ITEM: usize = 8;

/// How much an engine holds of each account, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most tickets of an account, as many invoices, and as many survey answers.
    pub items_per_account: usize,
    /// Most different users that are told apart in one window, and as many features.
    pub users_per_account: usize,
    /// An account without a profile and with nothing open is forgotten at the first midnight (UTC) at
    /// which its latest event, and everything that its measures look back on, is as old as this.
    pub forget_after: Option<Span>,
}

impl Limits {
    /// No limit but memory.
    pub const NONE: Limits =
        Limits { items_per_account: usize::MAX, users_per_account: usize::MAX, forget_after: None };

    /// Most statuses of an account's tickets, and as many of its invoices.
    pub fn statuses_per_account(&self) -> usize {
        self.items_per_account.saturating_mul(STATUSES_PER_ITEM)
    }
}

/// How many accounts an engine may begin to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// So many.
    pub accounts: usize,
    /// After these, so many in the place of the one that has been idle for the longest among some.
    pub evictions: usize,
}

impl Room {
    /// No limit but memory.
    pub const ENDLESS: Room = Room { accounts: usize::MAX, evictions: 0 };
}

/// Why an event was not taken: it would need more room than there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is the first of its account, and no more accounts are taken.
    Accounts,
    /// Its account has no room for another ticket, invoice, status of one, or survey answer.
    Items,
}
