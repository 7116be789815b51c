//! The fleet: every account and one timeline of what comes next.
//!
//! The timeline is a heap that holds, for each account, its next wake and what it has already
//! planned: the usage of one stretch (about eight events, an hour at most) and the later statuses
//! of its open tickets and invoices. That is some five entries of 48 bytes for each account however
//! long the simulation runs; from thousands of events an account and day on, what sessions and
//! delays hold back for a minute comes on top. Nothing is sent anywhere from here.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::ops::RangeInclusive;

use super::customer::Customer;
use super::happening::{Happening, Outbox, What};
use super::story::{Story, StoryShares};
use super::{SimulatedEvent, names};
use crate::engine::event::ProfileStatus;
use crate::engine::time::{EventTime, Span};

/// What a fleet is made from. The same settings give the same events, byte for byte.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetSettings {
    /// How many accounts.
    pub accounts: usize,
    /// Where the randomness comes from.
    pub seed: u64,
    /// When the simulation begins: nothing occurs before.
    pub start: EventTime,
    /// Usage events of an account of mean size on the mean calendar day (a working day has 1.4
    /// times as many), while it is content. The other sources add about 0.4 a day. Taken within
    /// 0 to [`FleetSettings::MOST_EVENTS_PER_ACCOUNT_DAY`]; what is no number counts as 0.
    pub events_per_account_day: f64,
    /// How the stories are shared out.
    pub stories: StoryShares,
    /// How many days after the start an account's story may begin.
    pub onset_days: RangeInclusive<u32>,
}

/// 1,000 accounts from 2025-01-01, 60 usage events a day, stories that begin in the second to the
/// sixth month.
impl Default for FleetSettings {
    fn default() -> Self {
        FleetSettings {
            accounts: 1_000,
            seed: 1,
            start: EventTime::from_millis(1_735_689_600_000),
            events_per_account_day: 60.0,
            stories: StoryShares::default(),
            onset_days: 30..=180,
        }
    }
}

impl FleetSettings {
    /// Ten events a second for each account; beyond, a stretch would be shorter than a second.
    pub const MOST_EVENTS_PER_ACCOUNT_DAY: f64 = 864_000.0;

    /// Sets `events_per_account_day` so that the whole fleet gives about this many events in a
    /// second of *simulated* time, averaged over a week: `rate * 86,400 / accounts`. A demo whose
    /// clock runs `speed` times as fast as the machine's asks for `rate / speed`.
    pub fn for_rate(mut self, events_per_second: f64) -> Self {
        self.events_per_account_day = events_per_second * 86_400.0 / self.accounts.max(1) as f64;
        self
    }

    /// The setting, brought within its limits.
    pub(super) fn usage_per_account_day(&self) -> f64 {
        if self.events_per_account_day.is_nan() {
            return 0.0;
        }
        self.events_per_account_day.clamp(0.0, Self::MOST_EVENTS_PER_ACCOUNT_DAY)
    }
}

/// What really happened to an account, for comparing scores with.
#[derive(Clone, Debug, PartialEq)]
pub struct Truth {
    /// The account.
    pub account_id: String,
    /// What it was dealt.
    pub story: Story,
    /// Whether it is no likelier to leave than a content account, whatever shows.
    pub stays: bool,
    /// When it left, if the event that says so has been taken.
    pub churned_at: Option<EventTime>,
    /// The sum of its chances of leaving on each day so far: over a fleet, this is how many should
    /// have left.
    pub hazard: f64,
}

/// A fleet of simulated accounts and the events they cause.
#[derive(Debug)]
pub struct Fleet {
    settings: FleetSettings,
    customers: Vec<Customer>,
    /// Holds exactly one wake for each account that has not left.
    timeline: BinaryHeap<Reverse<Entry>>,
    /// Empty between wakes; kept for its memory.
    outbox: Outbox,
}

impl Fleet {
    /// A fleet at its start.
    pub fn new(settings: FleetSettings) -> Fleet {
        let accounts = u32::try_from(settings.accounts).expect("a fleet of at most 2^32 accounts");
        let customers: Vec<Customer> =
            (0..accounts).map(|index| Customer::new(index, &settings)).collect();
        // The first profiles come within ten seconds rather than all in the first millisecond.
        let timeline = (0..accounts)
            .map(|account| {
                let millis = 10_000 * i64::from(account) / i64::from(accounts);
                Reverse(Entry::wake(settings.start + Span::from_millis(millis), account))
            })
            .collect();
        Fleet { settings, customers, timeline, outbox: Outbox::default() }
    }

    /// The settings it was made from.
    pub fn settings(&self) -> &FleetSettings {
        &self.settings
    }

    /// The next event in record-time order; `None` once every account has left.
    pub fn next_event(&mut self) -> Option<SimulatedEvent> {
        self.next_event_before(EventTime::MAX)
    }

    /// The next event with a record time before `until`. Where it returns `None`, a later call
    /// with a later `until` goes on.
    pub fn next_event_before(&mut self, until: EventTime) -> Option<SimulatedEvent> {
        while self.timeline.peek().is_some_and(|Reverse(entry)| entry.at < until) {
            let Reverse(entry) = self.timeline.pop()?;
            match entry.happening() {
                None => self.wake(entry.account, entry.at),
                Some(happening) => {
                    if let Some(event) = self.take(entry.account, &happening) {
                        return Some(event);
                    }
                }
            }
        }
        None
    }

    /// The events with a record time before `until`, in record-time order. What the iterator has
    /// given is gone: the next one goes on from there.
    pub fn events(&mut self, until: EventTime) -> impl Iterator<Item = SimulatedEvent> + '_ {
        std::iter::from_fn(move || self.next_event_before(until))
    }

    /// What really happened to each account in the events taken so far.
    pub fn truth(&self) -> impl Iterator<Item = Truth> + '_ {
        self.customers.iter().map(|customer| Truth {
            account_id: names::account_id(customer.index),
            story: customer.course.story,
            stays: customer.course.stays,
            churned_at: customer.churned_at(),
            hazard: customer.hazard(),
        })
    }

    /// How many entries wait in the timeline: what the memory of a running fleet depends on.
    pub fn waiting(&self) -> usize {
        self.timeline.len()
    }

    fn wake(&mut self, account: u32, now: EventTime) {
        let customer = &mut self.customers[account as usize];
        let next = customer.wake(now, &self.settings, &mut self.outbox);
        let planned = self.outbox.happenings.drain(..);
        self.timeline.extend(planned.map(|happening| Reverse(Entry::event(account, happening))));
        self.timeline.extend(next.map(|at| Reverse(Entry::wake(at, account))));
    }

    /// Writes the event out, unless the account has left before it.
    fn take(&mut self, account: u32, happening: &Happening) -> Option<SimulatedEvent> {
        let customer = &mut self.customers[account as usize];
        if !customer.is_there_at(happening.occurred_at) {
            return None;
        }
        if let What::Profile(profile) = &happening.what
            && profile.status == ProfileStatus::Churned
        {
            customer.announce_churn(happening.occurred_at);
        }
        let account_id = names::account_id(account);
        let body = happening.body(customer, &account_id);
        Some(SimulatedEvent {
            source: happening.what.source(),
            account_id,
            occurred_at: happening.occurred_at,
            record_time: happening.record_time,
            body,
        })
    }
}

/// A wake or an event; ordered by time, then account, then the account's own count.
#[derive(Clone, Copy, Debug)]
struct Entry {
    at: EventTime,
    account: u32,
    /// 0 for a wake; events count from 1.
    sequence: u32,
    event: Option<(EventTime, What)>,
}

impl Entry {
    fn wake(at: EventTime, account: u32) -> Entry {
        Entry { at, account, sequence: 0, event: None }
    }

    fn event(account: u32, happening: Happening) -> Entry {
        let Happening { record_time, occurred_at, sequence, what } = happening;
        Entry { at: record_time, account, sequence, event: Some((occurred_at, what)) }
    }

    fn happening(&self) -> Option<Happening> {
        let (occurred_at, what) = self.event?;
        Some(Happening { record_time: self.at, occurred_at, sequence: self.sequence, what })
    }

    fn rank(&self) -> (EventTime, u32, u32) {
        (self.at, self.account, self.sequence)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_accounts_fit_into_a_gigabyte() {
        let account = size_of::<Customer>();
        let entry = size_of::<Entry>();
        assert!(account + 12 * entry <= 1_000, "{account} bytes an account, {entry} an entry");
    }
}
