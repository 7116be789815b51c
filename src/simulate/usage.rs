//! Product usage: sessions of an account's users, a short stretch of the day at a time.
//!
//! A stretch is a full hour for ordinary accounts and shorter for busy ones, so that only a handful
//! of events of each account wait at any time however high the rate.

use std::fmt::Write;

use super::customer::{Customer, Today};
use super::dice::{Dice, Purpose};
use super::fleet::FleetSettings;
use super::happening::{Outbox, What};
use super::story::Story;
use crate::engine::time::{EventTime, Span};

/// One use of one feature by one user.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    user: u16,
    feature: u8,
    /// In quarters; 0 means the record names none.
    quantity_quarters: u16,
}

const FEATURES: [&str; 12] = [
    "dashboards",
    "reports",
    "search",
    "exports",
    "api",
    "alerts",
    "sharing",
    "integrations",
    "forecasts",
    "mobile",
    "automations",
    "audit-log",
];
/// Used in bulk: the record says how many.
const COUNTED: [&str; 2] = ["exports", "api"];
/// Used by the hour, in quarters.
const TIMED: [&str; 1] = ["forecasts"];

/// How many features there are to choose from.
pub(super) const FEATURE_COUNT: usize = FEATURES.len();

/// A working day's usage by local hour from [`FIRST_HOUR`], in thousandths.
const HOURS_MILLI: [u16; 12] = [20, 70, 130, 140, 120, 70, 100, 130, 110, 70, 30, 10];
const FIRST_HOUR: i64 = 7;
const BUSIEST_HOUR_MILLI: f64 = 140.0;

/// How many events of one account a stretch should hold on a working day.
const STRETCH_EVENTS: f64 = 8.0;
/// How often an hour can be cut: whole milliseconds each time.
const STRETCHES_PER_HOUR: [i64; 11] = [1, 2, 4, 6, 12, 30, 60, 120, 360, 900, 3_600];

/// The share of a day's usage in the given local hour, in thousandths; 0 outside working hours.
pub(super) fn hour_milli(local_hour: i64) -> u16 {
    usize::try_from(local_hour - FIRST_HOUR)
        .ok()
        .and_then(|place| HOURS_MILLI.get(place))
        .copied()
        .unwrap_or(0)
}

/// How long a stretch is for an account with this many events a day.
pub(super) fn stretch(events_per_day: f64) -> Span {
    // A working day has 1.4 times the events of the mean day.
    let busiest_hour = events_per_day * 1.4 * BUSIEST_HOUR_MILLI / 1_000.0;
    let parts = STRETCHES_PER_HOUR
        .iter()
        .find(|parts| busiest_hour / **parts as f64 <= STRETCH_EVENTS)
        .unwrap_or(&STRETCHES_PER_HOUR[STRETCHES_PER_HOUR.len() - 1]);
    Span::from_millis(Span::HOUR.as_millis() / parts)
}

/// Plays one stretch that begins at `start`.
pub(super) fn play_stretch(
    customer: &Customer,
    today: &Today,
    settings: &FleetSettings,
    start: EventTime,
    length: Span,
    outbox: &mut Outbox,
) {
    let share_of_hour = length.as_millis() as f64 / Span::HOUR.as_millis() as f64;
    let hour_milli = hour_milli(customer.local_hour(start));
    let mean = f64::from(today.usage_events) * f64::from(hour_milli) / 1_000.0 * share_of_hour;
    if mean <= 0.0 || today.active_users == 0 {
        return;
    }
    let mut dice = Dice::new(settings.seed, customer.index, Purpose::Usage, start.as_millis());
    let mut events_left = dice.count(mean);
    while events_left > 0 {
        let session_events = events_left.min(dice.between(1, 5) as u32);
        events_left -= session_events;
        let user = draw_user(&mut dice, customer, today);
        let mut at = start + dice.span(Span::ZERO, length + Span::from_millis(-1));
        let favourite = draw_feature(&mut dice, customer, today.features_in_use);
        for _ in 0..session_events {
            let feature = if dice.chance(0.6) {
                favourite
            } else {
                draw_feature(&mut dice, customer, today.features_in_use)
            };
            let quantity_quarters = draw_quantity(&mut dice, feature);
            outbox.put(&mut dice, at, What::Usage(Usage { user, feature, quantity_quarters }));
            at = at + dice.span(Span::SECOND * 2, Span::SECOND * 90);
        }
    }
}

/// Half of the sessions are spread evenly, half lean towards the keenest users. A champion is the
/// first of them and as busy as all others together, until it goes.
fn draw_user(dice: &mut Dice, customer: &Customer, today: &Today) -> u16 {
    let keen = if dice.chance(0.5) { dice.unit() } else { 1.0 };
    let user = (f64::from(today.active_users) * dice.unit() * keen) as u16;
    if customer.course.has_lost_its_champion_on(today.day) {
        return user + 1;
    }
    let is_champion = customer.course.story == Story::ChampionLeft && dice.chance(0.5);
    if is_champion { 0 } else { user }
}

/// One of the first `in_use` of the account's features, the earlier the likelier.
fn draw_feature(dice: &mut Dice, customer: &Customer, in_use: u8) -> u8 {
    let place = (f64::from(in_use) * dice.unit() * (0.4 + 0.6 * dice.unit())) as usize;
    let mut owned = (0..FEATURE_COUNT as u8).filter(|feature| customer.has_feature(*feature));
    owned.nth(place).unwrap_or(0)
}

fn draw_quantity(dice: &mut Dice, feature: u8) -> u16 {
    let name = FEATURES[usize::from(feature)];
    if COUNTED.contains(&name) {
        4 * dice.between(1, 500) as u16
    } else if TIMED.contains(&name) {
        dice.between(1, 16) as u16
    } else {
        0
    }
}

impl Usage {
    pub(super) fn write_fields(&self, body: &mut String) {
        let feature = FEATURES[usize::from(self.feature)];
        let _ = write!(body, r#""user_id":"u{:03}","feature":"{feature}""#, self.user + 1);
        if self.quantity_quarters > 0 {
            let _ = write!(body, r#","quantity":{}"#, f64::from(self.quantity_quarters) / 4.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hours_share_out_the_whole_day() {
        let day: u32 = (0..24).map(|hour| u32::from(hour_milli(hour))).sum();
        assert_eq!(day, 1_000);
    }

    #[test]
    fn busy_accounts_are_played_in_shorter_stretches() {
        for (events_per_day, length) in [
            (10.0, Span::HOUR),
            (60.0, Span::MINUTE * 30),
            (200.0, Span::MINUTE * 10),
            (5_000.0, Span::SECOND * 10),
            (1e9, Span::SECOND),
        ] {
            assert_eq!(stretch(events_per_day), length, "{events_per_day}");
        }
    }
}
