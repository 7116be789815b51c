//! Which account has to be looked at next, and when.
//!
//! An account whose deadline moves later keeps its old entry: it is looked at once too often, finds
//! nothing due, and is put back. So an event that only pushes a deadline away costs nothing here.
//!
//! Time is cut into slices of about a minute. Entries of a slice lie on a pile of their own, in no
//! order, until the slice begins: a deadline in a month costs an append now and a place in a short
//! sort then, however many accounts there are.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::time::EventTime;

/// The length of a slice as a power of two, in milliseconds: short enough that the entries of one
/// stay in the cache while they are handled, long enough that there are not too many slices.
const SLICE_BITS: u32 = 16;

/// Accounts (by slot) ordered by their next deadline, then by slot.
#[derive(Debug)]
pub struct Timers {
    /// Entries of the slice that has begun last, the earliest at the end.
    due: Vec<(EventTime, u32)>,
    /// Entries that came into a slice after it had begun.
    soon: BinaryHeap<Reverse<(EventTime, u32)>>,
    /// The slice that has begun last. All entries in `later` are of later ones.
    slice: i64,
    /// By slice, each entry as the time since the slice's start and the account.
    later: BTreeMap<i64, Vec<(u32, u32)>>,
    /// At or before the earliest entry: asked with every event, nearly always in vain.
    quiet_until: EventTime,
    /// How many of the next entries of `due` have been handed out by [`Timers::take_coming`].
    announced: usize,
}

impl Default for Timers {
    fn default() -> Self {
        Timers {
            due: Vec::new(),
            soon: BinaryHeap::new(),
            slice: i64::MIN,
            later: BTreeMap::new(),
            quiet_until: EventTime::MIN,
            announced: 0,
        }
    }
}

impl Timers {
    /// Has account `slot` looked at at `at`. `queued` is the account's own note of its earliest
    /// entry here.
    pub fn schedule(&mut self, slot: u32, at: EventTime, queued: &mut EventTime) {
        if at >= *queued {
            return;
        }
        *queued = at;
        self.quiet_until = self.quiet_until.min(at);
        let slice = at.as_millis() >> SLICE_BITS;
        if slice <= self.slice {
            self.soon.push(Reverse((at, slot)));
        } else {
            let since_start = at.since(slice_start(slice)).as_millis() as u32;
            self.later.entry(slice).or_default().push((since_start, slot));
        }
    }

    /// At or before the earliest entry, which may turn out to be superseded.
    pub fn next(&self) -> Option<EventTime> {
        let begun = self.earliest_begun();
        begun.or_else(|| self.later.first_key_value().map(|(slice, _)| slice_start(*slice)))
    }

    /// Whether it is known at a glance that nothing is due at `now`.
    pub fn is_quiet_at(&self, now: EventTime) -> bool {
        now < self.quiet_until
    }

    /// Takes the earliest entry if it is due at `now`.
    pub fn pop_due(&mut self, now: EventTime) -> Option<(EventTime, u32)> {
        if !self.begin_slices(now) {
            return None;
        }
        let first = self.due.last().copied();
        let soon = self.soon.peek().map(|Reverse(entry)| *entry);
        if first.is_some_and(|first| soon.is_none_or(|soon| first <= soon)) {
            self.announced = self.announced.saturating_sub(1);
            self.due.pop()
        } else {
            self.soon.pop().map(|Reverse(entry)| entry)
        }
    }

    /// If something is due at `now`: the accounts that are likely to come up next, at most as many
    /// as `into` holds and each once. Returns how many.
    pub fn take_coming(&mut self, now: EventTime, into: &mut [u32]) -> usize {
        if !self.begin_slices(now) || self.announced > 0 {
            return 0;
        }
        let mut count = 0;
        for (place, (_, slot)) in into.iter_mut().zip(self.due.iter().rev()) {
            *place = *slot;
            count += 1;
        }
        self.announced = count;
        count
    }

    /// Begins slices until one holds what is due at `now`; `false` if nothing is.
    fn begin_slices(&mut self, now: EventTime) -> bool {
        if now < self.quiet_until {
            return false;
        }
        let due = self.begin_slices_up_to(now);
        if !due {
            self.quiet_until = self.next().unwrap_or(EventTime::MAX);
        }
        due
    }

    fn begin_slices_up_to(&mut self, now: EventTime) -> bool {
        loop {
            if let Some(at) = self.earliest_begun() {
                return at <= now;
            }
            match self.later.first_entry() {
                Some(first) if slice_start(*first.key()) <= now => {
                    let (slice, entries) = first.remove_entry();
                    let start = slice_start(slice).as_millis();
                    let at = |since_start| EventTime::from_millis(start + i64::from(since_start));
                    self.due.extend(entries.into_iter().map(|(since, slot)| (at(since), slot)));
                    self.due.sort_unstable_by_key(|entry| Reverse(*entry));
                    self.slice = slice;
                    self.announced = 0;
                }
                Some(_) | None => return false,
            }
        }
    }

    fn earliest_begun(&self) -> Option<EventTime> {
        let first = self.due.last().map(|(at, _)| *at);
        let soon = self.soon.peek().map(|Reverse((at, _))| *at);
        match (first, soon) {
            (Some(first), Some(soon)) => Some(first.min(soon)),
            (first, soon) => first.or(soon),
        }
    }
}

fn slice_start(slice: i64) -> EventTime {
    EventTime::from_millis(slice << SLICE_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_in_the_order_of_their_times_and_none_early() {
        let mut timers = Timers::default();
        // Times that step back and forth over several slices, a few of them alike.
        let times = (0..1_000).map(|n: i64| EventTime::from_millis(n * 7_919 % 500_000 / 10 * 10));
        for (slot, at) in times.clone().enumerate() {
            timers.schedule(slot as u32, at, &mut EventTime::MAX.clone());
        }
        let mut expected: Vec<(EventTime, u32)> = times.zip(0..).collect();
        expected.sort_unstable();
        let mut came = Vec::new();
        for now in (0..=500_000).step_by(1_000).map(EventTime::from_millis) {
            while let Some((at, slot)) = timers.pop_due(now) {
                assert!(at <= now);
                came.push((at, slot));
            }
            assert!(timers.next().is_none_or(|next| next > now), "asked for again at once");
        }
        assert_eq!(came, expected);
    }

    #[test]
    fn an_entry_that_comes_into_a_slice_that_has_begun_takes_its_place_there() {
        let mut timers = Timers::default();
        let at = EventTime::from_millis;
        timers.schedule(1, at(10), &mut EventTime::MAX.clone());
        timers.schedule(2, at(30), &mut EventTime::MAX.clone());
        assert_eq!(timers.pop_due(at(10)), Some((at(10), 1)));
        timers.schedule(3, at(20), &mut EventTime::MAX.clone());
        timers.schedule(4, at(40), &mut EventTime::MAX.clone());
        assert_eq!(timers.next(), Some(at(20)));
        let came: Vec<u32> =
            std::iter::from_fn(|| timers.pop_due(at(50)).map(|entry| entry.1)).collect();
        assert_eq!(came, [3, 2, 4]);
    }
}
