//! Monthly invoices: issued on the account's billing day, due after its terms, paid in time or not.
//!
//! When an invoice is issued, its whole life is drawn from the health the account will have when it
//! is due; what would come after the account has left is dropped by the fleet.

use std::fmt::Write;

use super::customer::{Customer, Today};
use super::dice::Dice;
use super::fleet::FleetSettings;
use super::happening::{Outbox, What};
use crate::engine::event::PaymentStatus;
use crate::engine::time::{EventTime, Span};

/// An invoice takes a status.
#[derive(Clone, Copy, Debug)]
pub(super) struct Payment {
    number: u32,
    amount_minor: u32,
    due_at: EventTime,
    status: PaymentStatus,
}

/// Below this, a customer begins to pay late.
const PROMPT_HEALTH: f64 = 0.62;
/// How late a customer without any health left would pay.
const LATEST_DAYS: f64 = 75.0;

/// Issues the month's invoice if today is the day.
pub(super) fn play_day(
    customer: &Customer,
    today: &Today,
    settings: &FleetSettings,
    dice: &mut Dice,
    outbox: &mut Outbox,
) {
    if today.day_of_month != customer.billing_day {
        return;
    }
    let issued_at = customer.midnight(today.day) + dice.span(Span::hours(1), Span::hours(6));
    if issued_at < outbox.not_before {
        return;
    }
    let number = outbox.take_number();
    let amount_minor = u32::from(customer.seats) * customer.seat_month_minor;
    let terms = Span::days(i64::from(customer.terms_days));
    let due_at = issued_at + terms;
    let mut put = |dice: &mut Dice, at, status| {
        outbox.put(dice, at, What::Payment(Payment { number, amount_minor, due_at, status }));
    };
    put(dice, issued_at, PaymentStatus::Issued);

    let due_day = customer.local_day(due_at);
    let coupling = customer.course.story.coupling().payments;
    let means = customer.course.seen_through(coupling, customer.health_on(due_day, settings.seed));
    let late = draw_lateness(means, terms, dice);
    let paid_at = due_at + late;
    let tickets = customer.course.story.coupling().tickets;
    let anger = 1.0 - customer.course.seen_through(tickets, f64::from(today.health));
    if anger > 0.6 && dice.chance(0.15) {
        let disputed_at = issued_at + dice.span(Span::days(1), Span::days(4));
        if disputed_at < paid_at {
            put(dice, disputed_at, PaymentStatus::Disputed);
        }
    }
    for days in [0, 6, 13, 27, 41] {
        let tried_at = due_at + Span::days(days) + dice.span(Span::hours(2), Span::hours(8));
        if tried_at < paid_at && dice.chance(0.5) {
            put(dice, tried_at, PaymentStatus::Failed);
        }
    }
    for days in [3, 10, 20, 30, 45, 60] {
        let reminded_at = due_at + Span::days(days) + dice.span(Span::hours(8), Span::hours(10));
        if reminded_at < paid_at {
            put(dice, reminded_at, PaymentStatus::Reminded);
        }
    }
    put(dice, paid_at, PaymentStatus::Paid);
}

/// How long after the due date the invoice is paid; negative is early, never before it is issued.
fn draw_lateness(means: f64, terms: Span, dice: &mut Dice) -> Span {
    if means >= PROMPT_HEALTH {
        return if dice.chance(0.05) {
            dice.span(Span::hours(4), Span::days(4))
        } else {
            let early = dice.span(Span::hours(1), Span::days(9)).min(terms + Span::days(-1));
            early * -1
        };
    }
    let days = (PROMPT_HEALTH - means) / PROMPT_HEALTH * LATEST_DAYS * (0.85 + 0.3 * dice.unit());
    Span::from_millis((days * Span::DAY.as_millis() as f64) as i64)
}

impl Payment {
    pub(super) fn write_fields(&self, customer: &Customer, account_id: &str, body: &mut String) {
        let _ = write!(
            body,
            r#""invoice_id":"{account_id}-i{}","status":"{}","amount_minor":{},"currency":"{}""#,
            self.number,
            self.status.name(),
            self.amount_minor,
            customer.currency.as_str()
        );
        match self.status {
            PaymentStatus::Issued => {
                let _ = write!(body, r#","due_at":"{}""#, self.due_at);
            }
            PaymentStatus::Paid
            | PaymentStatus::Failed
            | PaymentStatus::Reminded
            | PaymentStatus::Refunded
            | PaymentStatus::Disputed
            | PaymentStatus::Voided => {}
        }
    }
}
