//! Everything accepted for one account, and what of it still takes late statuses.
//!
//! Keeps all events for ever: measures are computed anew from these lists at any instant. What
//! depends on the order of arrival is decided here (repeats, the item horizon, the profile).

use std::collections::VecDeque;

use serde_json::Value;

use super::card::Card;
use super::event::{Answer, Record, Source, Status, Usage, instant_ms, text};
use super::measures::older_than_every_window;

/// Distinct event ids remembered for each source (section 2).
const REMEMBERED_IDS: usize = 32;

#[derive(Clone, Debug, Default)]
pub struct History {
    pub usage: Vec<Usage>,
    pub tickets: Vec<Item>,
    pub invoices: Vec<Item>,
    pub answers: Vec<Answer>,
    pub profile: Option<Value>,
    /// Earliest `occurred_at` of any accepted record.
    pub first_at: Option<i64>,
    /// Latest `occurred_at` of each source, by `Source as usize`.
    pub last_at: [Option<i64>; 5],
    /// The payment record that comes last, with its currency.
    last_payment: Option<Status>,
    /// Usage older than every usage window, and statuses beyond the item horizon.
    pub late_dropped: u64,
    remembered: [VecDeque<String>; 5],
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    New,
    /// Its event id is remembered: it changes nothing.
    Known,
    /// The same status or answer was told by another event.
    Restated,
    TooLate,
}

/// One ticket or invoice from its creation until it is forgotten. The same id may come again
/// after that, as a new item; what the forgotten one counted stays counted.
#[derive(Clone, Debug)]
pub struct Item {
    pub id: String,
    /// Never empty, latest last.
    pub statuses: Vec<Status>,
    pub forgotten: bool,
}

impl Item {
    /// The status that decides the state: the latest that is not a mere reminder.
    pub fn deciding(&self) -> Option<&Status> {
        self.statuses.iter().rev().find(|status| status.status != "reminded")
    }

    /// From when on a settled item has been quiet: its latest status, a reminder too, so that
    /// none of its statuses can come again as a new item's.
    fn settled_since(&self) -> Option<i64> {
        let settled = matches!(
            self.deciding()?.status,
            "resolved" | "closed" | "paid" | "refunded" | "voided"
        );
        settled.then_some(self.statuses.last()?.at)
    }

    /// The same status at the same instant counts once; of two, the greater event id is kept,
    /// so that the order of arrival does not matter.
    fn add(&mut self, status: Status) -> Taken {
        let twin = self
            .statuses
            .iter_mut()
            .find(|known| known.status == status.status && known.at == status.at);
        let taken = if twin.is_some() { Taken::Restated } else { Taken::New };
        match twin {
            Some(known) if known.event_id < status.event_id => *known = status,
            Some(_) => {}
            None => self.statuses.push(status),
        }
        self.statuses.sort_by(|left, right| left.order().cmp(&right.order()));
        taken
    }
}

impl History {
    /// Takes one record at `now`, the time of its source.
    pub fn apply(&mut self, card: &Card, record: &Record, now: i64) -> Taken {
        if record.tombstone {
            self.profile = None;
            return Taken::New;
        }
        let body = &record.value;
        if let Some(event_id) = text(body, "event_id") {
            let ids = &mut self.remembered[record.source as usize];
            if ids.contains(&event_id) {
                return Taken::Known;
            }
            ids.push_back(event_id);
            if ids.len() > REMEMBERED_IDS {
                ids.pop_front();
            }
        }
        let at = if body["occurred_at"].is_null() {
            record.record_time_ms
        } else {
            instant_ms(&body["occurred_at"])
        };
        self.first_at = Some(self.first_at.map_or(at, |first| first.min(at)));
        let last = &mut self.last_at[record.source as usize];
        *last = Some(last.map_or(at, |known| known.max(at)));
        match record.source {
            Source::Usage => {
                self.late_dropped += u64::from(older_than_every_window(card, at, now));
                self.usage.push(Usage::read(body));
                Taken::New
            }
            Source::Ticket => {
                let status = Status::ticket(body);
                let taken = take(&mut self.tickets, status, now, card.item_horizon_ms);
                self.late_dropped += u64::from(taken == Taken::TooLate);
                taken
            }
            Source::Payment => {
                let status = Status::payment(body);
                if self.last_payment.as_ref().is_none_or(|last| last.order() < status.order()) {
                    self.last_payment = Some(status.clone());
                }
                let taken = take(&mut self.invoices, status, now, card.item_horizon_ms);
                self.late_dropped += u64::from(taken == Taken::TooLate);
                taken
            }
            // Overrides and feedback are no answers.
            Source::Survey if body["override"] == true || !body["feedback"].is_null() => Taken::New,
            Source::Survey => self.add_answer(Answer::read(body)),
            Source::Profile => {
                self.profile = Some(body.clone());
                Taken::New
            }
        }
    }

    /// A respondent's answers to one survey at one instant count once; the greater event id is
    /// kept, so that the order of arrival does not matter.
    fn add_answer(&mut self, answer: Answer) -> Taken {
        let whose = |answer: &Answer| match &answer.respondent_id {
            Some(respondent) => (true, respondent.clone()),
            None => (false, answer.event_id.clone()),
        };
        let twin = self.answers.iter_mut().find(|known| {
            known.survey == answer.survey && known.at == answer.at && whose(known) == whose(&answer)
        });
        match twin {
            Some(known) => {
                if known.event_id < answer.event_id {
                    *known = answer;
                }
                Taken::Restated
            }
            None => {
                self.answers.push(answer);
                Taken::New
            }
        }
    }

    pub fn last(&self, source: Source) -> Option<i64> {
        self.last_at[source as usize]
    }

    pub fn profile_field(&self, field: &str) -> Option<&Value> {
        self.profile.as_ref()?.get(field).filter(|value| !value.is_null())
    }

    pub fn profile_instant(&self, field: &str) -> Option<i64> {
        self.profile_field(field).map(instant_ms)
    }

    /// The first accepted record, or `started_at` if that is earlier.
    pub fn beginning(&self) -> Option<i64> {
        let started = self.profile_instant("started_at");
        [self.first_at, started].into_iter().flatten().min()
    }

    /// The one currency in which amounts are summed.
    pub fn currency(&self) -> Option<String> {
        let of_profile = self.profile_field("currency").and_then(Value::as_str);
        let of_payments = self.last_payment.as_ref().map(|last| last.currency.clone());
        of_profile.map(str::to_string).or(of_payments)
    }
}

/// Adds a status to its item, unless it is too old for one that is not known (any more).
fn take(items: &mut Vec<Item>, status: Status, now: i64, horizon_ms: i64) -> Taken {
    for item in items.iter_mut() {
        if item.settled_since().is_some_and(|since| now - since >= horizon_ms) {
            item.forgotten = true;
        }
    }
    let known = items.iter_mut().find(|item| !item.forgotten && item.id == status.item_id);
    if let Some(item) = known {
        return item.add(status);
    }
    if now - status.at >= horizon_ms {
        return Taken::TooLate;
    }
    items.push(Item { id: status.item_id.clone(), statuses: vec![status], forgotten: false });
    Taken::New
}
