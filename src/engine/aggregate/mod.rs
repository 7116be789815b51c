//! Rolling aggregates per account: what happened, in the shape the plan asks for.
//!
//! `apply` takes events in any order; `read` answers one measure at one instant and says until when
//! the answer stands. Nothing here knows scores or bands.

mod answers;
mod dedup;
mod distinct;
mod invoices;
mod items;
mod kept;
mod panes;
mod reading;
mod tickets;
mod warming;

use std::hash::{BuildHasherDefault, Hasher};
use std::hint::black_box;

use xxhash_rust::xxh3::xxh3_64;

use self::answers::Answers;
use self::dedup::IdRings;
use self::distinct::DistinctPanes;
use self::invoices::Invoices;
use self::items::ItemOutcome;
pub use self::kept::{BadState, KeptAggregate, StoreKey, StoreKeys};
use self::panes::{PaneRing, TrendPanes};
use self::reading::whole_elapsed;
pub use self::reading::{Absence, Reading};
use self::tickets::{TicketChange, Tickets};
use self::warming::Warming;
use super::event::{Body, Event, PaymentStatus, Profile, Source, TicketStatus, Usage};
use super::limits::Limits;
use super::outage::Clocks;
use super::scorecard::{DistinctOf, Measure, Plan, Read, StoreSet};
use super::time::{EventTime, Span};

/// Hashes that are random already are used as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainHasher(u64);

impl Hasher for PlainHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only 64-bit hashes are keys here")
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// See [`PlainHasher`].
pub type PlainHash = BuildHasherDefault<PlainHasher>;

/// Everything an account's measures are read from.
#[derive(Clone, Debug)]
pub struct Aggregate {
    /// `occurred_at` of the earliest accepted event of any source; `MAX` before one.
    first_at: EventTime,
    /// `occurred_at` of the earliest accepted usage event; `MAX` before one.
    first_usage_at: EventTime,
    /// `occurred_at` of the latest accepted event of each source; `MIN` before one.
    last_at: [EventTime; 5],
    ids: IdRings,
    counts: Box<[PaneRing<u32>]>,
    sums: Box<[PaneRing<i64>]>,
    trends: Box<[TrendPanes]>,
    distincts: Box<[DistinctPanes]>,
    /// Latest usage per list of features; `MIN` before one.
    lasts: Box<[EventTime]>,
    /// Made with the first event that needs it: most accounts' sparse sources never come.
    items: Option<Box<ItemSources>>,
    profile: Option<Box<Profile>>,
    /// Only after a change of rules, until every window has filled again.
    warming: Option<Box<Warming>>,
}

#[derive(Clone, Debug, Default)]
struct ItemSources {
    tickets: Tickets,
    invoices: Invoices,
    answers: Answers,
    /// Items at the last sweep: the next one is due when there are twice as many.
    swept_len: usize,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It counts.
    Counted {
        /// It is the account's earliest so far: measures that look at the account's age may move.
        first_moved: bool,
        /// Only measures that are read from these stores can say anything else than before, as long
        /// as time has not changed what they say. All of them, unless it is usage.
        moved: StoreSet,
        /// A user or a feature had no room in a window, and is not told apart there.
        left_out: bool,
    },
    /// It would need more room than an account has: nothing changed.
    Refused,
    /// Its id is known: nothing changed.
    Duplicate,
    /// What it says is known from an event of another id: nothing changed.
    Repeated,
    /// What it says is known and counts once, but by its details: it is the later of two events
    /// that said so.
    Restated,
    /// It is too old for every window (or its item is forgotten); it only counts for "ever",
    /// "first" and "last".
    LateDropped {
        /// As above.
        first_moved: bool,
    },
}

/// Fewest items at which a sweep for forgotten ones is worth while.
const SWEEP_MIN: usize = 8;

impl Aggregate {
    /// An account of which nothing is known.
    pub fn new(plan: &Plan) -> Aggregate {
        Aggregate {
            first_at: EventTime::MAX,
            first_usage_at: EventTime::MAX,
            last_at: [EventTime::MIN; 5],
            ids: IdRings::default(),
            counts: plan.counts.iter().map(|_| PaneRing::default()).collect(),
            sums: plan.sums.iter().map(|_| PaneRing::default()).collect(),
            trends: plan.trends.iter().map(|_| TrendPanes::default()).collect(),
            distincts: plan.distincts.iter().map(|_| DistinctPanes::default()).collect(),
            lasts: plan.lasts.iter().map(|_| EventTime::MIN).collect(),
            items: None,
            profile: None,
            warming: None,
        }
    }

    /// The profile, if one is known.
    pub fn profile(&self) -> Option<&Profile> {
        self.profile.as_deref()
    }

    /// `occurred_at` of the latest accepted event of a source; `MIN` before one.
    pub fn last_at(&self, source: Source) -> EventTime {
        self.last_at[source as usize]
    }

    /// The earlier of the first event and the profile's `started_at`; `MAX` before either.
    pub fn started_at(&self) -> EventTime {
        let by_profile = self.profile().and_then(|profile| profile.started_at);
        by_profile.map_or(self.first_at, |started_at| started_at.min(self.first_at))
    }

    /// Reads the account's own memory, and says nothing of it: whoever is about to give events to many
    /// accounts has the waits for it overlap so. [`Aggregate::warm_up_stores`] goes on from there.
    pub fn warm_up(&self) {
        black_box((self.first_at, self.last_at[4], self.ids.len()));
        black_box((self.distincts.len(), self.trends.len(), self.lasts.len()));
    }

    /// Reads what [`Aggregate::warm_up`] has made known the places of.
    pub fn warm_up_stores(&self) {
        self.ids.warm_up();
        black_box((self.lasts.first(), self.trends.first(), self.counts.first()));
        self.trends.iter().for_each(TrendPanes::warm_up);
        self.distincts.iter().for_each(DistinctPanes::warm_up);
        black_box(self.items.as_ref().map(|items| items.len()));
    }

    /// After [`Aggregate::warm_up_stores`]: reads what only a look at every measure reads.
    pub fn warm_up_items(&self) {
        if let Some(items) = &self.items {
            for item in items.tickets.all() {
                black_box(item.changes().first());
            }
        }
    }

    /// Takes an event at task time.
    pub fn apply(
        &mut self,
        event: &Event<'_>,
        plan: &Plan,
        clocks: &Clocks,
        limits: &Limits,
    ) -> Applied {
        let source = event.body.source();
        let now = clocks.of(source);
        // (An account that is to be forgotten never gets here.)
        if let Body::ProfileGone | Body::Forget = event.body {
            self.profile = None;
            return Applied::Counted { first_moved: false, moved: StoreSet::ALL, left_out: false };
        }
        if let Some(items) = &mut self.items
            && !items.has_room(&event.body, limits)
        {
            if self.ids.contains(source, &event.event_id) {
                return Applied::Duplicate;
            }
            items.sweep(plan, clocks);
            if !items.has_room(&event.body, limits) {
                return Applied::Refused;
            }
        }
        if !self.ids.insert(source, &event.event_id) {
            return Applied::Duplicate;
        }
        let at = event.occurred_at;
        let (mut moved, mut left_out) = (StoreSet::ALL, false);
        let taken = match &event.body {
            Body::Usage(usage) => match self.apply_usage(usage, at, plan, now, limits) {
                Some(stores) => {
                    (moved, left_out) = stores;
                    ItemOutcome::Taken
                }
                None => ItemOutcome::TooOld,
            },
            Body::Ticket(ticket) => {
                let change = TicketChange::new(ticket, at, &event.event_id);
                let items = self.items_mut(plan, clocks);
                items.tickets.apply(&ticket.ticket_id, change, now, plan.item_horizon)
            }
            Body::Payment(payment) => {
                let items = self.items_mut(plan, clocks);
                items.invoices.apply(payment, at, &event.event_id, now, plan.item_horizon)
            }
            Body::Survey(survey) => {
                let items = self.items_mut(plan, clocks);
                items.answers.apply(survey, at, &event.event_id)
            }
            // Not an answer; what it says is the engine's to take.
            Body::Override(_) | Body::Feedback(_) => ItemOutcome::Taken,
            Body::Profile(profile) => {
                self.profile = Some(profile.clone());
                ItemOutcome::Taken
            }
            Body::ProfileGone | Body::Forget => unreachable!("handled above"),
        };
        // A repeat has the instant of what it repeats: first and last stay as they are.
        match taken {
            ItemOutcome::Repeated => return Applied::Repeated,
            ItemOutcome::Restated => return Applied::Restated,
            ItemOutcome::Taken | ItemOutcome::TooOld => {}
        }
        let first_moved = at < self.first_at;
        self.first_at = self.first_at.min(at);
        let last_at = &mut self.last_at[source as usize];
        *last_at = at.max(*last_at);
        if taken == ItemOutcome::TooOld {
            Applied::LateDropped { first_moved }
        } else {
            Applied::Counted { first_moved, moved, left_out }
        }
    }

    /// The latest event of any source; `None` while a profile is known or anything is open: then the
    /// account is not at rest, however long nothing has come.
    pub fn rests_since(&self) -> Option<EventTime> {
        let is_open = |items: &ItemSources| {
            items.tickets.unsettled().next().is_some() || items.invoices.any_unsettled()
        };
        let rests = self.profile.is_none() && !self.items.as_deref().is_some_and(is_open);
        rests.then(|| self.last_at.into_iter().max().expect("there are sources"))
    }

    /// Returns the stores whose measures may say something else now, and whether a window had no room
    /// for a user or feature; `None` where the event is too old for every window.
    fn apply_usage(
        &mut self,
        usage: &Usage<'_>,
        at: EventTime,
        plan: &Plan,
        now: EventTime,
        limits: &Limits,
    ) -> Option<(StoreSet, bool)> {
        let wanted = |features: &[String]| {
            features.is_empty()
                || features.binary_search_by(|f| f.as_str().cmp(&usage.feature)).is_ok()
        };
        // Trends ask when usage began, and what warms up has more to it than its store.
        let all_move = at < self.first_usage_at || self.warming.is_some();
        let mut moved = if all_move { StoreSet::ALL } else { StoreSet::NONE };
        let mut position = 0;
        let mut note = |has_moved: bool| {
            if has_moved {
                moved.add(StoreSet::of(position));
            }
            position += 1;
        };
        self.first_usage_at = self.first_usage_at.min(at);
        for (features, last) in plan.lasts.iter().zip(&mut self.lasts) {
            let is_later = at > *last && wanted(features);
            if is_later {
                *last = at;
            }
            note(is_later);
        }
        let windows = &plan.usage_windows;
        if !windows.is_empty() && windows.iter().all(|window| window.has_left(at, now)) {
            return None;
        }
        for (store, ring) in plan.counts.iter().zip(&mut self.counts) {
            ring.advance(store.window, now);
            note(wanted(&store.features) && ring.add(store.window, at, 1));
        }
        for (store, ring) in plan.sums.iter().zip(&mut self.sums) {
            ring.advance(store.window, now);
            note(wanted(&store.features) && ring.add(store.window, at, usage.quantity_milli));
        }
        for (store, trend) in plan.trends.iter().zip(&mut self.trends) {
            trend.advance(store, now);
            note(wanted(&store.features) && trend.add(store, at));
        }
        let mut left_out = false;
        for (store, distinct) in plan.distincts.iter().zip(&mut self.distincts) {
            distinct.advance(store.window, now);
            let value = match store.of {
                DistinctOf::Users => usage.user_id.as_deref(),
                DistinctOf::Features => Some(usage.feature.as_ref()),
            };
            let value = value.filter(|_| wanted(&store.features));
            note(value.map(|value| xxh3_64(value.as_bytes())).is_some_and(|value| {
                let has_room = distinct.has_room(value, limits.users_per_account);
                left_out |= !has_room;
                has_room && distinct.add(store.window, at, value)
            }));
        }
        Some((moved, left_out))
    }

    /// The sparse sources, swept of what is past when they have doubled since the last sweep.
    fn items_mut(&mut self, plan: &Plan, clocks: &Clocks) -> &mut ItemSources {
        let items = self.items.get_or_insert_default();
        if items.len() >= SWEEP_MIN.max(2 * items.swept_len) {
            items.sweep(plan, clocks);
        }
        items
    }

    /// Reads the plan's measure at `index` by the clock of its source. Time may not go back between
    /// calls.
    pub fn read(&mut self, index: usize, plan: &Plan, clocks: &Clocks) -> Reading {
        let source = plan.sources[index];
        let mut reading = self.read_by(index, plan, clocks, source);
        if clocks.is_frozen(source) {
            reading.until = EventTime::MAX; // Whoever starts the clock again looks at everybody.
        }
        reading
    }

    fn read_by(&mut self, index: usize, plan: &Plan, clocks: &Clocks, source: Source) -> Reading {
        let now = clocks.of(source);
        let (measure, read) = (&plan.measures[index], &plan.reads[index]);
        if let Some(until) = self.warms_up_until(index, plan, now) {
            return Reading { value: None, until, absence: Absence::WarmingUp };
        }
        let reading = match *read {
            Read::DaysSinceLast { last } => self.read_days_since_last(last, clocks),
            _ => self.read_fresh(measure, read, plan, now),
        };
        let Some(stale_after) = measure.stale_after else { return reading };
        match self.last_reading_at(measure, read, now) {
            Some(last_at) if reading.value.is_some() => {
                let stale_at = clocks.without_outages(source, last_at) + stale_after;
                if stale_at <= now {
                    Reading { value: None, until: reading.until, absence: Absence::Stale }
                } else {
                    Reading::until(reading.value, reading.until.min(stale_at))
                }
            }
            _ => reading,
        }
    }

    fn read_days_since_last(&self, last: usize, clocks: &Clocks) -> Reading {
        match self.lasts[last] {
            EventTime::MIN => Reading::lasting(None),
            last_at => {
                let now = clocks.of(Source::Usage);
                let since = clocks.without_outages(Source::Usage, last_at);
                let (days, until) = whole_elapsed(since, now, Span::DAY);
                Reading::until(Some(days as f64), until)
            }
        }
    }

    /// `occurred_at` of the latest event a measure is read from: of its source, but for the measures
    /// that look at single events.
    fn last_reading_at(&self, measure: &Measure, read: &Read, now: EventTime) -> Option<EventTime> {
        let source = super::scorecard::fed_by(measure.kind).first()?;
        let last_at = match read {
            Read::DaysSinceLast { last } => self.lasts[*last],
            Read::Nps(window) | Read::MeanAnswer(window) => {
                let answers = &self.items.as_ref()?.answers;
                answers.latest_at(measure.kind, *window, &measure.filter, now)?
            }
            _ => self.last_at[*source as usize],
        };
        (last_at > EventTime::MIN).then_some(last_at)
    }

    fn read_fresh(
        &mut self,
        measure: &Measure,
        read: &Read,
        plan: &Plan,
        now: EventTime,
    ) -> Reading {
        let ever = |source: Source| self.last_at[source as usize] > EventTime::MIN;
        let (any_usage, any_payment) = (ever(Source::Usage), ever(Source::Payment));
        let currency = self.profile.as_ref().and_then(|profile| profile.currency);
        let reading = match *read {
            Read::Events { count } => self.read_count(count, plan, now, PaneRing::total),
            Read::ActivePanes { count } => {
                self.read_count(count, plan, now, PaneRing::active_panes)
            }
            Read::Quantity { sum } => {
                let window = plan.sums[sum].window;
                self.sums[sum].advance(window, now);
                let total = self.sums[sum].total() as f64 / 1_000.0;
                Reading::until(Some(total), self.sums[sum].next_change(window))
            }
            Read::ActiveUsers { distinct } => self.read_distinct(distinct, plan, now, 1.0),
            Read::SeatUtilisation { distinct } => {
                match self.profile.as_ref().and_then(|profile| profile.seats) {
                    Some(seats) if seats > 0 => {
                        self.read_distinct(distinct, plan, now, seats as f64)
                    }
                    _ => Reading::lasting(None),
                }
            }
            Read::FeaturesUsed { distinct, out_of } => {
                self.read_distinct(distinct, plan, now, out_of.unwrap_or(1) as f64)
            }
            Read::DaysSinceLast { .. } => unreachable!("read by the clock of its source"),
            Read::Trend { trend, prior } => self.read_trend(trend, prior, plan, now),
            Read::DaysToRenewal => {
                let renewal_at = self.profile.as_ref().and_then(|profile| profile.renewal_at);
                renewal_at.map_or(Reading::lasting(None), |renewal_at| {
                    let days = renewal_at.since(now).whole_days();
                    // One millisecond after a whole day is left, one day less is.
                    let until = renewal_at - Span::days(days) + Span::from_millis(1);
                    Reading::until(Some(days as f64), until)
                })
            }
            Read::AgeDays => {
                let started_at = self.profile.as_ref().and_then(|profile| profile.started_at);
                started_at.map_or(Reading::lasting(None), |started_at| {
                    let (days, until) = whole_elapsed(started_at, now, Span::DAY);
                    Reading::until(Some(days as f64), until)
                })
            }
            ref read => match self.items.as_deref() {
                Some(items) => items.read(measure, read, currency, now),
                None => ItemSources::default().read(measure, read, currency, now),
            },
        };
        let known = match super::scorecard::fed_by(measure.kind).first() {
            Some(Source::Usage) => any_usage,
            Some(Source::Payment) => any_payment,
            Some(Source::Ticket) => self.first_at < EventTime::MAX,
            Some(Source::Survey | Source::Profile) | None => true,
        };
        if known { reading } else { Reading::lasting(None) }
    }

    fn read_count(
        &mut self,
        count: usize,
        plan: &Plan,
        now: EventTime,
        of: fn(&PaneRing<u32>) -> i64,
    ) -> Reading {
        let (window, ring) = (plan.counts[count].window, &mut self.counts[count]);
        ring.advance(window, now);
        Reading::until(Some(of(ring) as f64), ring.next_change(window))
    }

    fn read_distinct(
        &mut self,
        distinct: usize,
        plan: &Plan,
        now: EventTime,
        out_of: f64,
    ) -> Reading {
        let (window, values) = (plan.distincts[distinct].window, &mut self.distincts[distinct]);
        values.advance(window, now);
        let share = values.count() as f64 / out_of;
        Reading::until(Some(share), values.next_change(window))
    }

    fn read_trend(&mut self, trend: usize, prior: f64, plan: &Plan, now: EventTime) -> Reading {
        let started_at = self.started_at();
        let (store, panes) = (&plan.trends[trend], &mut self.trends[trend]);
        panes.advance(store, now);
        let (recent, baseline) = panes.counts(store);
        let pane_millis = store.pane.as_millis();
        let baseline_start =
            EventTime::from_millis(i64::from(panes.baseline_start(store)) * pane_millis);
        let value = if started_at > baseline_start || (baseline == 0 && recent > 0) {
            None
        } else if baseline == 0 {
            (self.first_usage_at < baseline_start).then_some(0.0)
        } else {
            let recent_rate = (recent as f64 + prior) / store.recent_panes as f64;
            let baseline_rate = (baseline as f64 + prior) / store.baseline_panes as f64;
            Some(recent_rate / baseline_rate)
        };
        if value.is_some() && panes.is_empty() {
            return Reading::lasting(value); // Silence has been told; only an event ends it.
        }
        // With nothing held there may still be no value yet: the baseline has to pass the start.
        Reading::until(value, panes.next_edge(store))
    }
}

impl ItemSources {
    /// Whether there is room for what an event brings. What is known takes statuses where nothing new
    /// has room any more: what is open must be able to end.
    fn has_room(&self, body: &Body<'_>, limits: &Limits) -> bool {
        let (items_max, statuses_max) = (limits.items_per_account, limits.statuses_per_account());
        match body {
            Body::Ticket(ticket) => {
                self.tickets.has_room(&ticket.ticket_id, items_max, statuses_max)
            }
            Body::Payment(payment) => {
                self.invoices.has_room(&payment.invoice_id, items_max, statuses_max)
            }
            Body::Survey(_) => self.answers.len() < items_max,
            Body::Usage(_)
            | Body::Profile(_)
            | Body::ProfileGone
            | Body::Override(_)
            | Body::Feedback(_)
            | Body::Forget => true,
        }
    }

    /// Forgets what neither a late status nor a window can want any more.
    fn sweep(&mut self, plan: &Plan, clocks: &Clocks) {
        let (horizon, now) = (plan.item_horizon, clocks.earliest());
        self.tickets.forget(horizon, plan.ticket_reach, now);
        self.invoices.forget(horizon, plan.invoice_reach, now);
        self.answers.forget(plan.answer_reach, now);
        self.swept_len = self.len();
    }

    fn len(&self) -> usize {
        self.tickets.len() + self.invoices.len() + self.answers.len()
    }

    fn read(
        &self,
        measure: &Measure,
        read: &Read,
        currency: Option<super::event::Currency>,
        now: EventTime,
    ) -> Reading {
        let filter = &measure.filter;
        match *read {
            Read::TicketsOpened(window) => self.tickets.opened(window, filter, now),
            Read::TicketsOpen => self.tickets.open(filter),
            Read::OldestOpenHours => self.tickets.oldest_open_hours(filter, now),
            Read::TicketsReopened(window) => {
                self.tickets.statuses(TicketStatus::Reopened, window, filter, now)
            }
            Read::TicketsEscalated(window) => {
                self.tickets.statuses(TicketStatus::Escalated, window, filter, now)
            }
            Read::ResolutionHours(window) => self.tickets.resolution_hours(window, filter, now),
            Read::OverdueDays => self.invoices.overdue_days(now),
            Read::OverdueMinor => self.invoices.overdue_minor(currency, now),
            Read::LateShare(window) => self.invoices.late_share(window, now),
            Read::DaysToPay(window) => self.invoices.days_to_pay(window, now),
            Read::PaymentsFailed(window) => {
                self.invoices.statuses(PaymentStatus::Failed, window, now)
            }
            Read::PaymentsReminded(window) => {
                self.invoices.statuses(PaymentStatus::Reminded, window, now)
            }
            Read::PaymentsDisputed(window) => {
                self.invoices.statuses(PaymentStatus::Disputed, window, now)
            }
            Read::Growth { recent, before } => self.invoices.growth(recent, before, currency, now),
            Read::Nps(window) => self.answers.nps(window, filter, now),
            Read::MeanAnswer(window) => self.answers.mean_answer(measure.kind, window, filter, now),
            Read::Events { .. }
            | Read::Quantity { .. }
            | Read::ActiveUsers { .. }
            | Read::SeatUtilisation { .. }
            | Read::FeaturesUsed { .. }
            | Read::ActivePanes { .. }
            | Read::DaysSinceLast { .. }
            | Read::Trend { .. }
            | Read::DaysToRenewal
            | Read::AgeDays => unreachable!("read from the panes and the profile"),
        }
    }
}
