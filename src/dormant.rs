//! Accounts as their records hold them, until something becomes of them.
//!
//! Making an account of its record takes ten times as long as reading it, and whoever waits for a task
//! to go on waits for one account, not for all.

use std::collections::HashMap;

use compact_str::CompactString;

/// An account's latest record.
#[derive(Debug)]
pub struct DormantAccount {
    /// The account.
    pub account_id: CompactString,
    /// What the record holds.
    pub bytes: Box<[u8]>,
    /// Where it stands in the changelog.
    pub offset: i64,
}

/// The latest record of each account.
#[derive(Debug, Default)]
pub struct Dormant {
    /// In the order in which the accounts were first read, so that they are taken in the same order by
    /// whoever reads the same. Those that were taken leave a gap.
    rows: Vec<Option<DormantAccount>>,
    /// By account, its place in `rows`.
    places: HashMap<CompactString, usize>,
    /// All rows before this one are gaps.
    next: usize,
}

impl Dormant {
    /// How many accounts there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Holds a record, in the place of what was held of its account.
    pub fn put(&mut self, account: DormantAccount) {
        if let Some(place) = self.places.get(&account.account_id) {
            self.rows[*place] = Some(account);
            return;
        }
        self.places.insert(account.account_id.clone(), self.rows.len());
        self.rows.push(Some(account));
    }

    /// Takes an account's record out.
    pub fn take(&mut self, account_id: &str) -> Option<DormantAccount> {
        let place = self.places.remove(account_id)?;
        self.rows[place].take()
    }

    /// Takes the next one out.
    pub fn take_next(&mut self) -> Option<DormantAccount> {
        while self.next < self.rows.len() {
            self.next += 1;
            if let Some(account) = self.rows[self.next - 1].take() {
                self.places.remove(&account.account_id);
                return Some(account);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_record_of_each_account_is_taken_once_in_the_order_of_the_first() {
        let mut dormant = Dormant::default();
        let mut put = |account_id: &str, offset: i64| {
            let bytes = account_id.as_bytes().into();
            dormant.put(DormantAccount { account_id: account_id.into(), bytes, offset });
        };
        for (offset, account_id) in ["a", "b", "c", "a", "d"].into_iter().enumerate() {
            put(account_id, offset as i64);
        }
        assert_eq!((dormant.len(), dormant.take("b").map(|b| b.offset)), (3 + 1, Some(1)));
        assert!(dormant.take("b").is_none());
        let rest: Vec<(CompactString, i64)> = std::iter::from_fn(|| dormant.take_next())
            .map(|account| (account.account_id, account.offset))
            .collect();
        assert_eq!(rest, [("a".into(), 3), ("c".into(), 2), ("d".into(), 4)]);
        assert!(dormant.is_empty());
    }
}
