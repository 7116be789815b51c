//! A change of rules: what the old plan kept and the new one needs goes over, and what was never kept
//! is missing until its window has filled.

use std::mem;

use super::Aggregate;
use super::kept::{BadState, KeptWarming};
use crate::engine::event::Source;
use crate::engine::scorecard::{Measure, MeasureKind, Plan, Read, fed_by};
use crate::engine::time::{EventTime, Span};

/// From when on an account's history is whole, where it is not whole from the beginning.
#[derive(Clone, Debug)]
pub struct Warming {
    /// By measure of the plan; `MIN` where nothing is lacking.
    whole_since: Box<[EventTime]>,
    /// Of tickets, invoices and answers, by `Source as usize`.
    items_whole_since: [EventTime; 5],
}

impl Warming {
    /// What is kept of it over a restart.
    pub(super) fn keep(&self) -> KeptWarming {
        let written = |since: &EventTime| (*since > EventTime::MIN).then(|| since.as_millis());
        KeptWarming {
            whole_since: self.whole_since.iter().map(written).collect(),
            items_whole_since: self.items_whole_since.map(|since| written(&since)),
        }
    }

    /// The same again, for the plan it was kept under.
    pub(super) fn restore(kept: &KeptWarming, plan: &Plan) -> Result<Warming, BadState> {
        if kept.whole_since.len() != plan.measures.len() {
            return Err(BadState("measures warming up that are not of their card"));
        }
        let read_back = |since: &Option<i64>| since.map_or(EventTime::MIN, EventTime::from_millis);
        Ok(Warming {
            whole_since: kept.whole_since.iter().map(read_back).collect(),
            items_whole_since: kept.items_whole_since.map(|since| read_back(&since)),
        })
    }
}

impl Aggregate {
    /// Goes over to another plan at `now`. Stores that both have are kept.
    pub fn change_plan(&mut self, old: &Plan, new: &Plan, now: EventTime) {
        let before = self.warming.take();
        let whole_since = |measure: usize| {
            before.as_ref().map_or(EventTime::MIN, |warming| warming.whole_since[measure])
        };
        let mut items_whole_since =
            before.as_ref().map_or([EventTime::MIN; 5], |warming| warming.items_whole_since);
        // By another horizon other late statuses would have been taken.
        let kept = |reach: Span| {
            if old.item_horizon == new.item_horizon {
                reach.max(old.item_horizon)
            } else {
                old.item_horizon.min(new.item_horizon)
            }
        };
        let reaches = [
            (Source::Ticket, kept(old.ticket_reach)),
            (Source::Payment, kept(old.invoice_reach)),
            (Source::Survey, old.answer_reach),
        ];
        for (source, reach) in reaches {
            let forgotten_before = now - reach;
            let since = &mut items_whole_since[source as usize];
            if self.first_at < forgotten_before {
                *since = forgotten_before.max(*since);
            }
        }
        // Of an account without usage nothing has been missed. What was learnt so far may lie a
        // little ahead of the clock.
        let last_usage_at = self.last_at[Source::Usage as usize];
        let fresh = match last_usage_at {
            EventTime::MIN => EventTime::MIN,
            at => now.max(at + Span::from_millis(1)),
        };
        let since = |(index, measure): (usize, &Measure)| {
            let read = &new.reads[index];
            let same = old.reads.iter().position(|known| same_store(known, old, read, new));
            match fed_by(measure.kind).first() {
                Some(Source::Usage) => same.map_or(fresh, whole_since),
                Some(source) if measure.window.is_some() => items_whole_since[*source as usize],
                Some(_) | None => EventTime::MIN,
            }
        };
        let whole_since: Box<[EventTime]> = new.measures.iter().enumerate().map(since).collect();
        self.counts = carry(&mut self.counts, &old.counts, &new.counts);
        self.sums = carry(&mut self.sums, &old.sums, &new.sums);
        self.trends = carry(&mut self.trends, &old.trends, &new.trends);
        self.distincts = carry(&mut self.distincts, &old.distincts, &new.distincts);
        let last =
            |features: &Vec<String>| match old.lasts.iter().position(|known| known == features) {
                Some(known) => self.lasts[known],
                None if features.is_empty() => self.last_at[Source::Usage as usize],
                None => EventTime::MIN,
            };
        self.lasts = new.lasts.iter().map(last).collect();
        let lacks = |since: &EventTime| *since > EventTime::MIN;
        if whole_since.iter().chain(&items_whole_since).any(lacks) {
            self.warming = Some(Box::new(Warming { whole_since, items_whole_since }));
        }
    }

    /// Until when a measure has no value because its window is not filled; `None` if it is.
    pub(super) fn warms_up_until(
        &mut self,
        index: usize,
        plan: &Plan,
        now: EventTime,
    ) -> Option<EventTime> {
        let warming = self.warming.as_mut()?;
        let since = warming.whole_since[index];
        if since == EventTime::MIN {
            return None;
        }
        let measure = &plan.measures[index];
        let ready_at = if let Read::DaysSinceLast { last } = plan.reads[index] {
            // Only the next event can say, and it must be later than all that was not noted.
            let heard = self.lasts[last] >= since || plan.lasts[last].is_empty();
            if heard { EventTime::MIN } else { EventTime::MAX }
        } else {
            ready_at(measure, since)
        };
        if ready_at > now {
            return Some(ready_at);
        }
        warming.whole_since[index] = EventTime::MIN;
        if warming.whole_since.iter().all(|since| *since == EventTime::MIN) {
            self.warming = None;
        }
        None
    }
}

/// When everything a measure reads lies after `since`.
fn ready_at(measure: &Measure, since: EventTime) -> EventTime {
    let pane = measure.pane;
    let panes = |length: Option<Span>| {
        length.and_then(|length| length.divide_evenly(pane)).unwrap_or_default()
    };
    // A trend reads completed panes only: with its running one it reaches one back more.
    let running = i64::from(measure.kind == MeasureKind::UsageTrend);
    let reach = panes(measure.window) + panes(measure.baseline) + running;
    let first_whole = (since + pane - Span::from_millis(1)).floor_to(pane);
    first_whole + pane * (reach - 1)
}

/// Whether two measures of different plans are read from the same history.
fn same_store(known: &Read, old: &Plan, read: &Read, new: &Plan) -> bool {
    use Read::{ActivePanes, ActiveUsers, DaysSinceLast, Events, FeaturesUsed};
    use Read::{Quantity, SeatUtilisation, Trend};
    match (known, read) {
        (
            Events { count: a } | ActivePanes { count: a },
            Events { count: b } | ActivePanes { count: b },
        ) => old.counts[*a] == new.counts[*b],
        (Quantity { sum: a }, Quantity { sum: b }) => old.sums[*a] == new.sums[*b],
        (
            ActiveUsers { distinct: a }
            | SeatUtilisation { distinct: a }
            | FeaturesUsed { distinct: a, .. },
            ActiveUsers { distinct: b }
            | SeatUtilisation { distinct: b }
            | FeaturesUsed { distinct: b, .. },
        ) => old.distincts[*a] == new.distincts[*b],
        (DaysSinceLast { last: a }, DaysSinceLast { last: b }) => old.lasts[*a] == new.lasts[*b],
        (Trend { trend: a, .. }, Trend { trend: b, .. }) => old.trends[*a] == new.trends[*b],
        _ => false,
    }
}

/// The stores of the new plan: those that the old one has too with what they hold.
fn carry<S: PartialEq, T: Default>(held: &mut [T], old: &[S], new: &[S]) -> Box<[T]> {
    let take = |store: &S| match old.iter().position(|known| known == store) {
        Some(known) => mem::take(&mut held[known]),
        None => T::default(),
    };
    new.iter().map(take).collect()
}
