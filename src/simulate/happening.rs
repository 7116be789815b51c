//! Something that happens to an account, kept small until it is written out as JSON.
//!
//! Millions of these may wait at once, so they hold numbers only; ids and names are made when the
//! event is taken.

use std::fmt::Write;

use super::customer::Customer;
use super::dice::Dice;
use super::payments::Payment;
use super::profile::Profile;
use super::surveys::Survey;
use super::tickets::Ticket;
use super::usage::Usage;
use crate::engine::event::Source;
use crate::engine::time::{EventTime, Span};

/// What happened, when, and when the record of it is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Happening {
    pub(super) record_time: EventTime,
    pub(super) occurred_at: EventTime,
    /// The account's own count of events, which makes the event id.
    pub(super) sequence: u32,
    pub(super) what: What,
}

/// What happened, by source.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    Usage(Usage),
    Ticket(Ticket),
    Payment(Payment),
    Survey(Survey),
    Profile(Profile),
}

impl What {
    pub(super) fn source(&self) -> Source {
        match self {
            What::Usage(_) => Source::Usage,
            What::Ticket(_) => Source::Ticket,
            What::Payment(_) => Source::Payment,
            What::Survey(_) => Source::Survey,
            What::Profile(_) => Source::Profile,
        }
    }
}

impl Happening {
    /// The record's value. Everything written is ASCII that JSON does not escape.
    pub(super) fn body(&self, customer: &Customer, account_id: &str) -> String {
        let mut body = String::with_capacity(256);
        let _ = write!(
            body,
            r#"{{"event_id":"{account_id}-{}","account_id":"{account_id}","occurred_at":"{}","#,
            self.sequence, self.occurred_at
        );
        match &self.what {
            What::Usage(usage) => usage.write_fields(&mut body),
            What::Ticket(ticket) => ticket.write_fields(account_id, &mut body),
            What::Payment(payment) => payment.write_fields(customer, account_id, &mut body),
            What::Survey(survey) => survey.write_fields(&mut body),
            What::Profile(profile) => profile.write_fields(customer, &mut body),
        }
        body.push('}');
        body
    }
}

/// Takes what a customer does, numbers it and gives it the time at which its record is sent.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// What happened before is not told: the simulation had not begun.
    pub(super) not_before: EventTime,
    /// The last sequence number given out; the caller sets it to the customer's.
    pub(super) sequence: u32,
    pub(super) happenings: Vec<Happening>,
}

impl Outbox {
    /// Tells of something, as late as producers are.
    pub(super) fn put(&mut self, dice: &mut Dice, occurred_at: EventTime, what: What) {
        let delay = producer_delay(dice);
        self.push(occurred_at, occurred_at + delay, what);
    }

    /// Tells of something within two seconds.
    pub(super) fn put_promptly(&mut self, dice: &mut Dice, occurred_at: EventTime, what: What) {
        let delay = dice.span(PROMPT.0, PROMPT.1);
        self.push(occurred_at, occurred_at + delay, what);
    }

    /// A number no event of the account has: for tickets and invoices.
    pub(super) fn take_number(&mut self) -> u32 {
        self.sequence += 1;
        self.sequence
    }

    fn push(&mut self, occurred_at: EventTime, record_time: EventTime, what: What) {
        if occurred_at >= self.not_before {
            let sequence = self.take_number();
            self.happenings.push(Happening { record_time, occurred_at, sequence, what });
        }
    }
}

const PROMPT: (Span, Span) = (Span::from_millis(20), Span::from_millis(2_000));

/// The longest a record may be behind what it tells of.
#[cfg(test)]
pub(super) const LONGEST_DELAY: Span = Span::from_millis(75 * 60_000);

/// 90 % within two seconds, 8.5 % within a minute, 1.4 % within a quarter of an hour (a batch that
/// was retried), 0.1 % up to 75 minutes late (a device that was offline).
fn producer_delay(dice: &mut Dice) -> Span {
    let minutes = |count: i64| Span::MINUTE * count;
    let (low, high) = match dice.between(0, 999) {
        0..900 => PROMPT,
        900..985 => (Span::SECOND * 2, minutes(1)),
        985..999 => (minutes(1), minutes(15)),
        _ => (minutes(15), minutes(75)),
    };
    dice.span(low, high)
}
