//! Invoices: every status of each, so that the order of arrival does not matter.

use compact_str::CompactString;

use super::items::{Change, Item, ItemOutcome, Items};
use super::kept::{self, BadState, KeptItem, KeptPaymentChange, by_code, code};
use super::reading::{Reading, WindowScan, mean, whole_elapsed};
use crate::engine::event::{Currency, Payment, PaymentStatus};
use crate::engine::scorecard::Window;
use crate::engine::time::{EventTime, Span};

/// The invoices of one account.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Invoices {
    items: Items<PaymentChange>,
    /// The latest payment record, as statuses are ordered, and its currency: the account's where
    /// the profile names none.
    latest_currency: Option<(EventTime, PaymentStatus, CompactString, Currency)>,
}

/// One status that an invoice took.
#[derive(Clone, Debug, PartialEq)]
struct PaymentChange {
    at: EventTime,
    status: PaymentStatus,
    amount_minor: i64,
    currency: Currency,
    due_at: Option<EventTime>,
    event_id: CompactString,
}

/// Where an invoice stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unpaid,
    Paid,
    Voided,
}

impl Change for PaymentChange {
    type Status = PaymentStatus;

    fn at(&self) -> EventTime {
        self.at
    }

    fn status(&self) -> PaymentStatus {
        self.status
    }

    fn event_id(&self) -> &str {
        &self.event_id
    }

    fn settles(changes: &[PaymentChange]) -> bool {
        state(changes) != State::Unpaid
    }

    /// `payment.late_share` counts an invoice in the window of its due date, which may come long
    /// after it was paid.
    fn matters_at(&self) -> EventTime {
        self.due_at.map_or(self.at, |due_at| due_at.max(self.at))
    }
}

fn state(changes: &[PaymentChange]) -> State {
    let deciding = changes.iter().rfind(|c| c.status != PaymentStatus::Reminded);
    match deciding.map(|c| c.status) {
        Some(PaymentStatus::Paid | PaymentStatus::Refunded) => State::Paid,
        Some(PaymentStatus::Voided) => State::Voided,
        Some(PaymentStatus::Issued | PaymentStatus::Failed | PaymentStatus::Disputed)
        // Only reminders are known: somebody was reminded of something unpaid.
        | Some(PaymentStatus::Reminded)
        | None => State::Unpaid,
    }
}

const UNKNOWN_STATUS: BadState = BadState("an unknown status of an invoice");

impl PaymentChange {
    fn keep(&self) -> KeptPaymentChange<'_> {
        KeptPaymentChange {
            at: self.at.as_millis(),
            status: code(&PaymentStatus::NAMES, &self.status),
            amount_minor: self.amount_minor,
            currency: self.currency.0,
            due_at: self.due_at.map(EventTime::as_millis),
            event_id: &self.event_id,
        }
    }

    fn restore(kept: KeptPaymentChange<'_>) -> Result<PaymentChange, BadState> {
        Ok(PaymentChange {
            at: EventTime::from_millis(kept.at),
            status: by_code(&PaymentStatus::NAMES, kept.status, UNKNOWN_STATUS)?,
            amount_minor: kept.amount_minor,
            currency: kept::currency(kept.currency)?,
            due_at: kept.due_at.map(EventTime::from_millis),
            event_id: kept.event_id.into(),
        })
    }
}

/// Instant, status, event id and currency of the latest payment record, as they are kept.
type KeptLatest<'a> = Option<(i64, u8, &'a str, [u8; 3])>;

impl Invoices {
    /// See [`Items::has_room`].
    pub fn has_room(&self, id: &str, items_max: usize, statuses_max: usize) -> bool {
        self.items.has_room(id, items_max, statuses_max)
    }

    /// Whether any is neither paid nor voided.
    pub fn any_unsettled(&self) -> bool {
        self.items.unsettled().next().is_some()
    }

    /// What is kept of each.
    pub fn keep(&self) -> Vec<KeptItem<'_, KeptPaymentChange<'_>>> {
        self.items.keep_each(PaymentChange::keep)
    }

    /// What is kept of the latest payment record.
    pub fn keep_latest_currency(&self) -> KeptLatest<'_> {
        let (at, status, event_id, currency) = self.latest_currency.as_ref()?;
        Some((at.as_millis(), code(&PaymentStatus::NAMES, status), event_id, currency.0))
    }

    /// The invoices again.
    pub fn restore(
        items: Vec<KeptItem<'_, KeptPaymentChange<'_>>>,
        latest: KeptLatest<'_>,
    ) -> Result<Invoices, BadState> {
        let latest_currency = match latest {
            Some((at, status, event_id, currency)) => Some((
                EventTime::from_millis(at),
                by_code(&PaymentStatus::NAMES, status, UNKNOWN_STATUS)?,
                event_id.into(),
                kept::currency(currency)?,
            )),
            None => None,
        };
        Ok(Invoices { items: Items::restore_each(items, PaymentChange::restore)?, latest_currency })
    }

    /// Takes one status.
    pub fn apply(
        &mut self,
        payment: &Payment<'_>,
        at: EventTime,
        event_id: &str,
        now: EventTime,
        horizon: Span,
    ) -> ItemOutcome {
        let newer = match &self.latest_currency {
            Some((known_at, known_status, known_id, _)) => {
                (*known_at, *known_status, known_id.as_str()) < (at, payment.status, event_id)
            }
            None => true,
        };
        if newer {
            self.latest_currency = Some((at, payment.status, event_id.into(), payment.currency));
        }
        let change = PaymentChange {
            at,
            status: payment.status,
            amount_minor: payment.amount_minor,
            currency: payment.currency,
            due_at: payment.due_at,
            event_id: event_id.into(),
        };
        self.items.apply(&payment.invoice_id, change, now, horizon)
    }

    /// Drops settled invoices that neither a late status nor a window can want any more.
    pub fn forget(&mut self, horizon: Span, reach: Span, now: EventTime) {
        self.items.forget(horizon, reach, now);
    }

    /// How many are held.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whole days past due of the oldest unpaid invoice; 0 if none is.
    pub fn overdue_days(&self, now: EventTime) -> Reading {
        match self.unpaid().filter_map(Item::due_at).min() {
            Some(due_at) => {
                let (days, until) = whole_elapsed(due_at, now, Span::DAY);
                Reading::until(Some(days as f64), until)
            }
            None => Reading::lasting(Some(0.0)),
        }
    }

    /// The sum of unpaid, past-due amounts in the account's currency, minor units.
    pub fn overdue_minor(&self, profile: Option<Currency>, now: EventTime) -> Reading {
        let currency = self.currency(profile);
        let (mut sum, mut until) = (0_i64, EventTime::MAX);
        for item in self.unpaid() {
            let (Some(due_at), Some(issued)) = (item.due_at(), item.issued()) else { continue };
            if now < due_at {
                until = until.min(due_at);
            } else if Some(issued.currency) == currency {
                sum = sum.saturating_add(issued.amount_minor);
            }
        }
        Reading::until(Some(sum as f64), until)
    }

    /// Of the invoices whose due date lies in the window, the share paid late or overdue now.
    pub fn late_share(&self, window: Window, now: EventTime) -> Reading {
        let mut scan = WindowScan::new(window, now);
        let (mut due, mut late) = (0_u64, 0_u64);
        let mut becomes_overdue = EventTime::MAX;
        for item in self.items.all() {
            let Some(due_at) = item.due_at() else { continue };
            if item.state() == State::Voided || !scan.covers(due_at) {
                continue;
            }
            due += 1;
            late += u64::from(match item.state() {
                State::Paid => item.paid_at().is_some_and(|paid_at| paid_at > due_at),
                State::Unpaid => {
                    // Becomes late at its due date, within the pane that holds it already.
                    if now < due_at {
                        becomes_overdue = becomes_overdue.min(due_at);
                    }
                    now >= due_at
                }
                State::Voided => unreachable!("left out above"),
            });
        }
        let value = mean(late as f64, due);
        Reading::until(value, scan.until.min(becomes_overdue))
    }

    /// Mean days from due date to payment over invoices paid in the window; negative is early.
    pub fn days_to_pay(&self, window: Window, now: EventTime) -> Reading {
        let mut scan = WindowScan::new(window, now);
        let (mut total_millis, mut count) = (0_i64, 0);
        for item in self.items.all().filter(|item| item.state() == State::Paid) {
            if let (Some(due_at), Some(paid_at)) = (item.due_at(), item.paid_at())
                && scan.covers(paid_at)
            {
                total_millis += paid_at.since(due_at).as_millis();
                count += 1;
            }
        }
        let days = total_millis as f64 / Span::DAY.as_millis() as f64;
        scan.reading(mean(days, count))
    }

    /// Statuses of one kind in the window.
    pub fn statuses(&self, status: PaymentStatus, window: Window, now: EventTime) -> Reading {
        let mut scan = WindowScan::new(window, now);
        let count =
            self.items.changes().filter(|c| c.status == status && scan.covers(c.at)).count();
        scan.reading(Some(count as f64))
    }

    /// Paid amount in `recent` over that in the window `before` it, refunds taken off in the pane
    /// of the refund, in the account's currency.
    pub fn growth(
        &self,
        recent: Window,
        before: Window,
        profile: Option<Currency>,
        now: EventTime,
    ) -> Reading {
        let currency = self.currency(profile);
        let both = Window { pane: recent.pane, panes: recent.panes + before.panes };
        let (mut in_recent, mut in_both) =
            (WindowScan::new(recent, now), WindowScan::new(both, now));
        let (mut recent_minor, mut before_minor, mut any_before) = (0_i64, 0_i64, false);
        for item in self.items.all().filter(|item| item.state() != State::Voided) {
            for change in item.changes() {
                let amount = match change.status {
                    PaymentStatus::Paid => change.amount_minor,
                    PaymentStatus::Refunded => -change.amount_minor,
                    PaymentStatus::Issued
                    | PaymentStatus::Failed
                    | PaymentStatus::Reminded
                    | PaymentStatus::Disputed
                    | PaymentStatus::Voided => continue,
                };
                if Some(change.currency) != currency {
                    continue;
                }
                let (recently, at_all) = (in_recent.covers(change.at), in_both.covers(change.at));
                if recently {
                    recent_minor = recent_minor.saturating_add(amount);
                } else if at_all {
                    before_minor = before_minor.saturating_add(amount);
                    any_before = true;
                }
            }
        }
        let comparable = any_before && before_minor > 0;
        let value = comparable.then(|| recent_minor as f64 / before_minor as f64);
        Reading::until(value, in_recent.until.min(in_both.until))
    }

    fn currency(&self, profile: Option<Currency>) -> Option<Currency> {
        profile.or(self.latest_currency.as_ref().map(|(_, _, _, currency)| *currency))
    }

    fn unpaid(&self) -> impl Iterator<Item = &Item<PaymentChange>> {
        self.items.unsettled()
    }
}

impl Item<PaymentChange> {
    fn state(&self) -> State {
        state(self.changes())
    }

    fn issued(&self) -> Option<&PaymentChange> {
        self.latest(PaymentStatus::Issued)
    }

    fn due_at(&self) -> Option<EventTime> {
        self.issued().and_then(|issued| issued.due_at)
    }

    fn paid_at(&self) -> Option<EventTime> {
        self.latest(PaymentStatus::Paid).map(|paid| paid.at)
    }
}
