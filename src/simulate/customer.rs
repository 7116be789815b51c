//! One simulated account: what it is like, its local time, and what it does when it wakes.
//!
//! A customer wakes at every local midnight to plan the day, and at the start of every stretch of
//! usage on the days it works. Everything else is a function of the seed and the day, so the state
//! is some 130 bytes.

use super::dice::{Dice, Purpose};
use super::fleet::FleetSettings;
use super::happening::{Outbox, What};
use super::profile::Profile;
use super::story::{Course, draw_length, hazard_per_day};
use super::{payments, surveys, tickets, usage};
use crate::engine::event::{Currency, ProfileStatus};
use crate::engine::time::{EventTime, Span};

/// One simulated account.
#[derive(Clone, Debug)]
pub(super) struct Customer {
    pub(super) index: u32,
    /// Users once fully grown, 3 to 60.
    pub(super) users: u16,
    pub(super) seats: u16,
    /// What a seat costs a month.
    pub(super) seat_month_minor: u32,
    pub(super) currency: Currency,
    /// 1 to 28.
    pub(super) billing_day: i8,
    pub(super) terms_days: u8,
    pub(super) survey_phase: u8,
    pub(super) started_at: EventTime,
    pub(super) course: Course,
    renewal_at: EventTime,
    utc_offset: Span,
    works_weekends: bool,
    /// One bit a feature.
    features: u16,
    standing: Standing,
    sequence: u32,
    /// Sum of the chances of leaving of all days so far.
    hazard: f32,
    today: Today,
}

/// Whether the account stays.
#[derive(Clone, Copy, Debug)]
enum Standing {
    Active,
    /// It leaves today; the record that says so has not been sent yet.
    Leaving {
        at: EventTime,
    },
    Gone {
        at: EventTime,
    },
}

/// The plan of one local day.
#[derive(Clone, Copy, Debug)]
pub(super) struct Today {
    /// The local day since 1970.
    pub(super) day: i32,
    pub(super) day_of_month: i8,
    /// Usage of this weekday against the mean day.
    pub(super) weekday: f64,
    pub(super) health: f32,
    /// Usage against a content account's, 0 to 1.2.
    pub(super) usage_level: f32,
    /// Events to be expected today.
    pub(super) usage_events: f32,
    pub(super) active_users: u16,
    pub(super) features_in_use: u8,
}

/// Usage of each weekday from Monday against the mean day; each row adds up to 7.
const OFFICE_WEEK: [f64; 7] = [1.40, 1.46, 1.44, 1.41, 1.17, 0.06, 0.06];
const OPEN_WEEK: [f64; 7] = [0.98, 0.98, 0.98, 1.00, 1.06, 1.08, 0.92];

/// Local time and the currency that goes with it.
const PLACES: [(i64, &str); 13] = [
    (-480, "USD"),
    (-360, "USD"),
    (-300, "USD"),
    (-300, "USD"),
    (0, "GBP"),
    (0, "GBP"),
    (60, "EUR"),
    (60, "EUR"),
    (60, "CHF"),
    (120, "EUR"),
    (330, "USD"),
    (480, "USD"),
    (570, "USD"),
];

/// How far hidden health wobbles around its course from week to week.
const WOBBLE: f64 = 0.1;
/// How often a week is quiet (a holiday, a trade fair), and how much usage is left then.
const QUIET_WEEK_CHANCE: f64 = 0.03;
const QUIET_WEEK_USAGE: f64 = 0.4;
/// How much usage is left on days on which most offices are closed, and in a summer holiday.
const HOLIDAY_USAGE: f64 = 0.1;
const AUGUST_USAGE: f64 = 0.3;
/// How much of the users and the usage a growing account has at first.
const GROWTH_FROM: f64 = 0.55;
/// How often a growing account looks at its seats.
const SEAT_CYCLE_DAYS: i32 = 60;
/// Seats for each user.
const SEATS_PER_USER: f64 = 1.2;
/// The mean of `users`, which is skewed to the small.
const MEAN_USERS: f64 = 21.8;
/// Contracts run for a year.
const CONTRACT: Span = Span::days(365);

impl Customer {
    pub(super) fn new(index: u32, settings: &FleetSettings) -> Customer {
        let mut dice = Dice::new(settings.seed, index, Purpose::Traits, 0);
        let (offset_minutes, currency) = *dice.pick(&PLACES);
        let utc_offset = Span::MINUTE * offset_minutes;
        let skewed = dice.unit();
        let users = 3 + (58.0 * skewed * skewed) as u16;
        let first_day = day_at(settings.start + utc_offset);
        let story = settings.stories.at(place_of(index, settings.seed));
        let length_days = draw_length(story, &mut dice) as u16;
        let stays =
            Dice::new(settings.seed, index, Purpose::Fate, 0).chance(story.share_that_stays());
        let onset_days = &settings.onset_days;
        let onset_after = dice.between(
            i64::from(*onset_days.start()),
            i64::from(*onset_days.end()).max(i64::from(*onset_days.start())),
        );
        let age_days = dice.between(30, 3 * 365);
        let started_at = settings.start - Span::days(age_days);
        let contracts = age_days / 365 + 1;
        let mut customer = Customer {
            index,
            users,
            seats: 0,
            seat_month_minor: 100 * dice.between(19, 89) as u32,
            currency: Currency::parse(currency).expect("the list holds ISO 4217 codes"),
            billing_day: dice.between(1, 28) as i8,
            terms_days: *dice.pick(&[14, 30]),
            survey_phase: dice.between(0, 90) as u8,
            started_at,
            course: Course {
                story,
                base: (0.72 + 0.23 * dice.unit()) as f32,
                first_day,
                onset_day: first_day + onset_after as i32,
                length_days,
                stays,
            },
            renewal_at: started_at + CONTRACT * contracts,
            utc_offset,
            works_weekends: dice.chance(0.1),
            features: draw_features(&mut dice),
            standing: Standing::Active,
            sequence: 0,
            hazard: 0.0,
            today: Today::NONE,
        };
        customer.seats = customer.seats_on(first_day);
        customer
    }

    /// Lives until the next wake, whose time it returns; `None` when the account has left.
    pub(super) fn wake(
        &mut self,
        now: EventTime,
        settings: &FleetSettings,
        outbox: &mut Outbox,
    ) -> Option<EventTime> {
        outbox.not_before = now;
        outbox.sequence = self.sequence;
        let day = self.local_day(now);
        if day != self.today.day {
            self.play_day(day, now, settings, outbox);
        }
        let length = usage::stretch(self.events_per_day(settings));
        let start = self.stretch_start(now, length);
        usage::play_stretch(self, &self.today, settings, start, length, outbox);
        self.sequence = outbox.sequence;
        let next = self.next_wake(start, length);
        match self.standing {
            Standing::Active => Some(next),
            Standing::Leaving { at } | Standing::Gone { at } => (next < at).then_some(next),
        }
    }

    fn play_day(
        &mut self,
        day: i32,
        now: EventTime,
        settings: &FleetSettings,
        outbox: &mut Outbox,
    ) {
        let mut dice = Dice::new(settings.seed, self.index, Purpose::Day, i64::from(day));
        let is_first_day = self.today.day == Today::NONE.day;
        self.today = self.plan_day(day, settings);
        if is_first_day {
            self.put_profile(now, ProfileStatus::Active, &mut dice, outbox);
        }
        let days_to_renewal = self.renewal_at.since(now).whole_days();
        let at_risk = self.course.at_risk(f64::from(self.today.health));
        let hazard = hazard_per_day(at_risk, days_to_renewal);
        self.hazard += hazard as f32;
        if dice.chance(hazard) {
            let at = self.working_moment(day, &mut dice).max(now + Span::SECOND);
            self.standing = Standing::Leaving { at };
            self.put_profile(at, ProfileStatus::Churned, &mut dice, outbox);
        } else {
            self.play_contract(day, &mut dice, outbox);
        }
        tickets::play_day(self, &self.today, settings.seed, &mut dice, outbox);
        payments::play_day(self, &self.today, settings, &mut dice, outbox);
        surveys::play_day(self, &self.today, settings.seed, &mut dice, outbox);
    }

    /// Renews the contract and buys seats where it is time.
    fn play_contract(&mut self, day: i32, dice: &mut Dice, outbox: &mut Outbox) {
        let noon = self.midnight(day) + Span::hours(12);
        let renews = noon >= self.renewal_at;
        let looks_at_seats = (day - self.course.first_day) % SEAT_CYCLE_DAYS == 0;
        let seats = if looks_at_seats { self.seats_on(day).max(self.seats) } else { self.seats };
        if noon >= outbox.not_before && (renews || seats != self.seats) {
            self.seats = seats;
            if renews {
                self.renewal_at = self.renewal_at + CONTRACT;
            }
            self.put_profile(noon, ProfileStatus::Active, dice, outbox);
        }
    }

    fn put_profile(
        &self,
        at: EventTime,
        status: ProfileStatus,
        dice: &mut Dice,
        outbox: &mut Outbox,
    ) {
        let profile = Profile { seats: self.seats, renewal_at: self.renewal_at, status };
        outbox.put_promptly(dice, at, What::Profile(profile));
    }

    fn plan_day(&self, day: i32, settings: &FleetSettings) -> Today {
        let date = jiff::civil::date(1970, 1, 1)
            .checked_add(jiff::Span::new().days(day))
            .expect("the simulation ends before the year 9999");
        let week = if self.works_weekends { OPEN_WEEK } else { OFFICE_WEEK };
        let weekday = week[usize::from(date.weekday().to_monday_zero_offset().unsigned_abs())];
        let coupling = self.course.story.coupling().usage;
        let health = self.health_on(day, settings.seed);
        let level_of = |health| {
            if self.course.is_silent_on(day) {
                0.0
            } else {
                // A base of 0.835, the middle of the fleet's, is a level of 1.
                ((self.course.seen_through(coupling, health) - 0.1) / 0.735).clamp(0.0, 1.2)
            }
        };
        let usage_level = level_of(health);
        let growth = GROWTH_FROM + (1.0 - GROWTH_FROM) * self.course.growth_on(day);
        // Without the wobble: whoever has left does not come back with next week's mood.
        let users_left = level_of(self.course.health_on(day)).min(1.0) * growth;
        let week_number = i64::from(day.div_euclid(7));
        let quiet = Dice::new(settings.seed, self.index, Purpose::QuietWeek, week_number)
            .chance(QUIET_WEEK_CHANCE);
        let quietness = if quiet { QUIET_WEEK_USAGE } else { 1.0 };
        let quietness = quietness * self.left_by_holidays(date, settings.seed);
        let usage_events =
            self.events_per_day(settings) * weekday * usage_level * growth * quietness;
        Today {
            day,
            day_of_month: date.day(),
            weekday,
            health: health as f32,
            usage_level: usage_level as f32,
            usage_events: usage_events as f32,
            active_users: (f64::from(self.users) * users_left).ceil() as u16,
            features_in_use: self.features_in_use(usage_level),
        }
    }

    /// The share of usage that holidays leave on a local day.
    fn left_by_holidays(&self, date: jiff::civil::Date, seed: u64) -> f64 {
        // The turn of the year belongs to the year that ends.
        let year = if date.month() == 1 { date.year() - 1 } else { date.year() };
        let mut dice = Dice::new(seed, self.index, Purpose::Holidays, i64::from(year));
        let (from, until) = (dice.between(19, 24), dice.between(1, 6));
        let turn_of_year = match (date.month(), i64::from(date.day())) {
            (12, day) => day >= from,
            (1, day) => day <= until,
            _ => false,
        };
        // Europe goes on holiday in August, some offices all at once.
        let weeks = dice.between(1, 3);
        let first = dice.between(1, 31 - 7 * weeks);
        let is_european = Span::ZERO <= self.utc_offset && self.utc_offset <= Span::hours(2);
        let in_august = is_european
            && dice.chance(0.5)
            && date.month() == 8
            && (first..first + 7 * weeks).contains(&i64::from(date.day()));
        match (date.month(), date.day()) {
            (12, 25 | 26) | (1, 1) => 0.02,
            _ if turn_of_year => HOLIDAY_USAGE,
            (5, 1) => HOLIDAY_USAGE,
            _ if in_august => AUGUST_USAGE,
            _ => 1.0,
        }
    }

    /// Hidden health on a local day, with the noise of the week.
    pub(super) fn health_on(&self, day: i32, seed: u64) -> f64 {
        let wobble_at = |week: i32| {
            Dice::new(seed, self.index, Purpose::Wobble, i64::from(week)).bell() * WOBBLE
        };
        let week = day.div_euclid(7);
        let share = f64::from(day.rem_euclid(7)) / 7.0;
        let wobble = wobble_at(week) * (1.0 - share) + wobble_at(week + 1) * share;
        (self.course.health_on(day) + wobble).clamp(0.02, 0.98)
    }

    /// Usage events on the mean day of this account while it is content.
    fn events_per_day(&self, settings: &FleetSettings) -> f64 {
        let size = 0.3 + 0.7 * f64::from(self.users) / MEAN_USERS;
        settings.usage_per_account_day() * size
    }

    fn seats_on(&self, day: i32) -> u16 {
        let growth = GROWTH_FROM + (1.0 - GROWTH_FROM) * self.course.growth_on(day);
        (f64::from(self.users) * growth * SEATS_PER_USER).ceil() as u16
    }

    fn features_in_use(&self, usage_level: f64) -> u8 {
        let owned = f64::from(self.features.count_ones());
        (owned * (0.4 + 0.6 * usage_level.min(1.0))).ceil() as u8
    }

    pub(super) fn has_feature(&self, feature: u8) -> bool {
        self.features & (1 << feature) != 0
    }

    /// The local day, counted since 1970, that holds `at`.
    pub(super) fn local_day(&self, at: EventTime) -> i32 {
        day_at(at + self.utc_offset)
    }

    pub(super) fn local_hour(&self, at: EventTime) -> i64 {
        (at + self.utc_offset).pane(Span::HOUR).rem_euclid(24)
    }

    /// When the local day begins.
    pub(super) fn midnight(&self, day: i32) -> EventTime {
        EventTime::from_millis(0) + Span::days(i64::from(day)) + self.utc_offset * -1
    }

    /// A moment between eight in the morning and six in the evening, local time.
    pub(super) fn working_moment(&self, day: i32, dice: &mut Dice) -> EventTime {
        self.midnight(day) + dice.span(Span::hours(8), Span::hours(18))
    }

    fn stretch_start(&self, at: EventTime, length: Span) -> EventTime {
        let since_midnight = at.since(self.midnight(self.local_day(at))).as_millis();
        at - Span::from_millis(since_midnight % length.as_millis())
    }

    /// The start of the next stretch with usage today, or the next midnight.
    fn next_wake(&self, start: EventTime, length: Span) -> EventTime {
        let midnight = self.midnight(self.today.day + 1);
        if self.today.usage_events <= 0.0 {
            return midnight;
        }
        let mut next = start + length;
        while next < midnight && usage::hour_milli(self.local_hour(next)) == 0 {
            next = self.stretch_start(next, Span::HOUR) + Span::HOUR;
        }
        next.min(midnight)
    }

    /// Whether something that happens at `at` still happens.
    pub(super) fn is_there_at(&self, at: EventTime) -> bool {
        match self.standing {
            Standing::Active => true,
            Standing::Leaving { at: left_at } | Standing::Gone { at: left_at } => at <= left_at,
        }
    }

    /// The record that says the account has left has been sent.
    pub(super) fn announce_churn(&mut self, at: EventTime) {
        self.standing = Standing::Gone { at };
    }

    /// Sum of the chances of leaving of all days so far.
    pub(super) fn hazard(&self) -> f64 {
        f64::from(self.hazard)
    }

    /// When the account left, once the record that says so has been sent.
    pub(super) fn churned_at(&self) -> Option<EventTime> {
        match self.standing {
            Standing::Active | Standing::Leaving { .. } => None,
            Standing::Gone { at } => Some(at),
        }
    }
}

impl Today {
    /// Before the first day.
    const NONE: Today = Today {
        day: i32::MIN,
        day_of_month: 0,
        weekday: 0.0,
        health: 0.0,
        usage_level: 0.0,
        usage_events: 0.0,
        active_users: 0,
        features_in_use: 0,
    };
}

fn day_at(local: EventTime) -> i32 {
    local.pane(Span::DAY) as i32
}

/// Where the account stands between 0 and 1 when stories are dealt. Steps of the golden ratio
/// spread any number of accounts evenly, so that a small fleet too shows every story.
fn place_of(index: u32, seed: u64) -> f64 {
    let first = Dice::new(seed, 0, Purpose::Traits, 1).unit();
    (first + f64::from(index) * 0.618_033_988_749_894_9).fract()
}

/// Four to nine features; the first two everybody has.
fn draw_features(dice: &mut Dice) -> u16 {
    let count = dice.between(4, 9) as u32;
    let mut features: u16 = 0b11;
    while features.count_ones() < count {
        features |= 1 << dice.between(0, usage::FEATURE_COUNT as i64 - 1);
    }
    features
}
