//! Surveys: an NPS wave every 13 weeks, a CSAT pulse every 30 days, and a question or two after a
//! ticket.
//!
//! Managers' assessments (business reviews, intention to renew) are left out.

use std::fmt::Write;

use super::customer::{Customer, Today};
use super::dice::Dice;
use super::happening::{Outbox, What};
use crate::engine::time::{EventTime, Span};

/// An answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Survey {
    kind: Kind,
    score: u8,
    respondent: u16,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Nps,
    Csat,
    Ces,
}

/// The days after which the NPS wave and the CSAT pulse come back.
const NPS_CYCLE_DAYS: i32 = 91;
const CSAT_CYCLE_DAYS: i32 = 30;
/// How long people take to answer.
const ANSWER_DAYS: i64 = 9;

/// Sends out the surveys that are due today and collects the answers.
pub(super) fn play_day(
    customer: &Customer,
    today: &Today,
    seed: u64,
    dice: &mut Dice,
    outbox: &mut Outbox,
) {
    let phase = today.day + i32::from(customer.survey_phase);
    let nps = phase.rem_euclid(NPS_CYCLE_DAYS) == 0;
    let csat = phase.rem_euclid(CSAT_CYCLE_DAYS) == 0;
    for respondent in 0..respondents(customer) {
        for (asked, kind, wills) in [(nps, Kind::Nps, 1.0), (csat, Kind::Csat, 0.6)] {
            if !asked {
                continue;
            }
            let day = today.day + dice.between(0, ANSWER_DAYS) as i32;
            let mood = mood_on(customer, day, seed);
            let involved = 0.1 + 0.9 * f64::from(today.usage_level.min(1.0));
            if dice.chance((0.3 + 0.5 * mood) * involved * wills) {
                let answered_at = customer.working_moment(day, dice);
                put_answer(kind, mood, respondent, answered_at, dice, outbox);
            }
        }
    }
}

/// Asks whoever opened a ticket how it went.
pub(super) fn play_after_ticket(
    customer: &Customer,
    resolved_at: EventTime,
    seed: u64,
    dice: &mut Dice,
    outbox: &mut Outbox,
) {
    let mood = mood_on(customer, customer.local_day(resolved_at), seed);
    let respondent = dice.between(0, i64::from(respondents(customer)) - 1) as u16;
    for (kind, wills) in [(Kind::Csat, 0.4), (Kind::Ces, 0.15)] {
        if dice.chance(wills) {
            let answered_at = resolved_at + dice.span(Span::MINUTE * 5, Span::hours(20));
            put_answer(kind, mood, respondent, answered_at, dice, outbox);
        }
    }
}

/// How many of the account's users are asked.
fn respondents(customer: &Customer) -> u16 {
    (2 + customer.users / 8).min(customer.users)
}

fn mood_on(customer: &Customer, day: i32, seed: u64) -> f64 {
    let coupling = customer.course.story.coupling().surveys;
    customer.course.seen_through(coupling, customer.health_on(day, seed))
}

fn put_answer(
    kind: Kind,
    mood: f64,
    respondent: u16,
    answered_at: EventTime,
    dice: &mut Dice,
    outbox: &mut Outbox,
) {
    let (lowest, highest, answer) = match kind {
        Kind::Nps => (0.0, 10.0, 10.5 * mood + 3.0 * dice.bell()),
        Kind::Csat => (1.0, 5.0, 1.0 + 4.0 * mood + 1.5 * dice.bell()),
        Kind::Ces => (1.0, 7.0, 1.0 + 6.0 * mood + 2.0 * dice.bell()),
    };
    let score = answer.round().clamp(lowest, highest) as u8;
    outbox.put(dice, answered_at, What::Survey(Survey { kind, score, respondent }));
}

impl Survey {
    pub(super) fn write_fields(&self, body: &mut String) {
        let survey = match self.kind {
            Kind::Nps => "nps",
            Kind::Csat => "csat",
            Kind::Ces => "ces",
        };
        let role = match self.respondent {
            0 => "champion",
            1 => "executive",
            2 => "admin",
            _ => "user",
        };
        let _ = write!(
            body,
            r#""survey":"{survey}","score":{},"respondent_id":"u{:03}","role":"{role}""#,
            self.score,
            self.respondent + 1
        );
    }
}
