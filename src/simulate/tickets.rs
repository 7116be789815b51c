//! Support tickets: how many, how urgent and how long, by the account's mood.
//!
//! A ticket's whole life is drawn when it is opened; what would come after the account has left is
//! dropped by the fleet.

use std::fmt::Write;

use super::customer::{Customer, Today};
use super::dice::Dice;
use super::happening::{Outbox, What};
use super::surveys;
use crate::engine::event::{Priority, TicketStatus};
use crate::engine::time::{EventTime, Span};

/// A ticket takes a status.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    number: u32,
    status: TicketStatus,
    priority: Priority,
    category: u8,
}

const CATEGORIES: [&str; 5] = ["how-to", "bug", "access", "performance", "billing"];

/// Opens the tickets of one day.
pub(super) fn play_day(
    customer: &Customer,
    today: &Today,
    seed: u64,
    dice: &mut Dice,
    outbox: &mut Outbox,
) {
    let coupling = customer.course.story.coupling().tickets;
    let mood = customer.course.seen_through(coupling, f64::from(today.health));
    let often = 0.03 + 0.001 * f64::from(customer.users);
    // Whoever does not use the product has nothing to ask.
    let involved = 0.2 + 0.8 * f64::from(today.usage_level.min(1.0));
    let tickets =
        dice.count(often * (1.0 + 25.0 * anger_at(mood)) * involved * today.weekday.min(1.0));
    for _ in 0..tickets {
        let opened_at = customer.working_moment(today.day, dice);
        if opened_at >= outbox.not_before {
            let resolved_at = play_ticket(opened_at, mood, dice, outbox);
            surveys::play_after_ticket(customer, resolved_at, seed, dice, outbox);
        }
    }
}

/// Draws a ticket's life and returns when it was first resolved.
fn play_ticket(opened_at: EventTime, mood: f64, dice: &mut Dice, outbox: &mut Outbox) -> EventTime {
    let anger = anger_at(mood);
    let number = outbox.take_number();
    let category = dice.between(0, CATEGORIES.len() as i64 - 1) as u8;
    let mut priority = draw_priority(mood, dice);
    let mut at = opened_at;
    let mut put = |dice: &mut Dice, at, status, priority| {
        outbox.put(dice, at, What::Ticket(Ticket { number, status, priority, category }));
    };
    put(dice, at, TicketStatus::Opened, priority);
    if dice.chance(0.35) {
        at = at + dice.span(Span::MINUTE * 20, Span::hours(6));
        put(dice, at, TicketStatus::Pending, priority);
    }
    let escalates = if priority == Priority::Urgent { 0.1 + anger } else { 0.02 + 0.5 * anger };
    if dice.chance(escalates) {
        at = at + dice.span(Span::hours(1), Span::hours(12));
        priority = Priority::Urgent;
        put(dice, at, TicketStatus::Escalated, priority);
    }
    at = at + dice.span(Span::hours(1), Span::hours(24 + (140.0 * anger) as i64));
    put(dice, at, TicketStatus::Resolved, priority);
    let first_resolved_at = at;
    if dice.chance(0.05 + 0.25 * anger) {
        at = at + dice.span(Span::hours(2), Span::days(2));
        put(dice, at, TicketStatus::Reopened, priority);
        at = at + dice.span(Span::hours(2), Span::days(3));
        put(dice, at, TicketStatus::Resolved, priority);
    }
    if dice.chance(0.8) {
        at = at + dice.span(Span::days(1), Span::days(3));
        put(dice, at, TicketStatus::Closed, priority);
    }
    first_resolved_at
}

/// Grows faster than the mood falls: 0.02 at ease, 0.56 at a mood of 0.25.
fn anger_at(mood: f64) -> f64 {
    (1.0 - mood) * (1.0 - mood)
}

fn draw_priority(mood: f64, dice: &mut Dice) -> Priority {
    let anger = anger_at(mood);
    let urgent = 0.02 + 0.6 * anger;
    let high = 0.12 + 0.2 * anger;
    let low = 0.25 * mood;
    let place = dice.unit();
    if place < urgent {
        Priority::Urgent
    } else if place < urgent + high {
        Priority::High
    } else if place < urgent + high + low {
        Priority::Low
    } else {
        Priority::Normal
    }
}

impl Ticket {
    pub(super) fn write_fields(&self, account_id: &str, body: &mut String) {
        let _ = write!(
            body,
            r#""ticket_id":"{account_id}-t{}","status":"{}","priority":"{}","category":"{}""#,
            self.number,
            self.status.name(),
            self.priority.name(),
            CATEGORIES[usize::from(self.category)]
        );
    }
}
