//! What a whole fleet's events look like: order, identity, form, and each story in the data.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::Value;

use super::happening::LONGEST_DELAY;
use super::*;
use crate::engine::event::{PaymentStatus, Priority, TicketStatus};
use crate::engine::time::Span;

/// An event with its body read back.
struct Told {
    account_id: String,
    source: Source,
    occurred_at: EventTime,
    body: Value,
}

impl Told {
    fn text(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap_or_else(|| panic!("no `{field}` in {}", self.body))
    }

    /// The week since the fleet's start in which it happened.
    fn week(&self) -> i64 {
        self.occurred_at.since(FleetSettings::default().start).whole_days() / 7
    }
}

fn small_fleet() -> FleetSettings {
    FleetSettings { accounts: 30, events_per_account_day: 10.0, ..FleetSettings::default() }
}

/// 16 accounts that all have the story, which begins on day 40 of theirs.
fn fleet_of(story: Story) -> FleetSettings {
    FleetSettings {
        accounts: 16,
        stories: StoryShares::only(story),
        onset_days: 40..=40,
        ..small_fleet()
    }
}

fn after(days: i64) -> EventTime {
    FleetSettings::default().start + Span::days(days)
}

fn play(settings: FleetSettings, days: i64) -> (Fleet, Vec<Told>) {
    let mut fleet = Fleet::new(settings);
    let told = fleet
        .events(after(days))
        .map(|event| Told {
            body: serde_json::from_str(&event.body).expect("the body is JSON"),
            account_id: event.account_id,
            source: event.source,
            occurred_at: event.occurred_at,
        })
        .collect();
    (fleet, told)
}

/// The accounts that stay whatever shows.
fn stays(fleet: &Fleet) -> BTreeSet<String> {
    fleet.truth().filter(|truth| truth.stays).map(|truth| truth.account_id).collect()
}

fn lines(settings: FleetSettings, days: i64) -> Vec<u8> {
    let mut out = Vec::new();
    line::write_ndjson(&mut Fleet::new(settings), after(days), None, &mut out).unwrap();
    out
}

#[test]
fn the_same_seed_gives_the_same_lines_and_another_seed_others() {
    let first = lines(small_fleet(), 5);
    assert_eq!(first, lines(small_fleet(), 5));
    assert_ne!(first, lines(FleetSettings { seed: 2, ..small_fleet() }, 5));
}

#[test]
fn events_taken_in_pieces_are_the_events_taken_at_once() {
    let at_once: Vec<SimulatedEvent> = Fleet::new(small_fleet()).events(after(3)).collect();
    let mut fleet = Fleet::new(small_fleet());
    let mut in_pieces = Vec::new();
    for hours in 1..=72 {
        in_pieces.extend(fleet.events(small_fleet().start + Span::hours(hours)));
    }
    assert_eq!(in_pieces, at_once);
}

#[test]
fn events_come_in_record_time_order_and_never_before_they_occurred() {
    let mut last = EventTime::MIN;
    let mut late = 0;
    let events: Vec<_> = Fleet::new(small_fleet()).events(after(20)).collect();
    for event in &events {
        assert!(event.record_time >= last, "{event:?}");
        last = event.record_time;
        let delay = event.record_time.since(event.occurred_at);
        assert!(delay > Span::ZERO && delay <= LONGEST_DELAY, "{event:?}");
        assert!(event.occurred_at >= small_fleet().start, "{event:?}");
        late += usize::from(delay > Span::SECOND * 2);
    }
    let late_share = late as f64 / events.len() as f64;
    assert!((0.07..0.13).contains(&late_share), "{late_share}");
}

#[test]
fn every_body_holds_what_its_source_requires() {
    let (_, told) = play(small_fleet(), 200);
    let mut event_ids = HashSet::new();
    let mut sources = BTreeSet::new();
    for event in &told {
        assert!(event_ids.insert(event.text("event_id").to_owned()), "{}", event.body);
        assert_eq!(event.text("account_id"), event.account_id);
        let occurred_at = EventTime::parse_rfc3339(event.text("occurred_at")).unwrap();
        assert_eq!(occurred_at, event.occurred_at);
        let number = |field: &str, low: f64, high: f64| {
            let number = event.body[field].as_f64().unwrap_or(f64::NAN);
            assert!((low..=high).contains(&number), "`{field}` of {}", event.body);
        };
        let instant = |field: &str| EventTime::parse_rfc3339(event.text(field)).unwrap();
        sources.insert(event.source);
        match event.source {
            Source::Usage => {
                event.text("user_id");
                event.text("feature");
                if event.body.get("quantity").is_some() {
                    number("quantity", 0.25, 500.0);
                }
            }
            Source::Ticket => {
                event.text("ticket_id");
                event.text("category");
                let status = event.text("status");
                assert!(TicketStatus::NAMES.iter().any(|(name, _)| *name == status));
                let priority = event.text("priority");
                assert!(Priority::NAMES.iter().any(|(name, _)| *name == priority));
            }
            Source::Payment => {
                event.text("invoice_id");
                let status = event.text("status");
                assert!(PaymentStatus::NAMES.iter().any(|(name, _)| *name == status));
                assert!(event.body["amount_minor"].as_i64().unwrap() > 0);
                assert_eq!(event.text("currency").len(), 3);
                assert_eq!(event.body.get("due_at").is_some(), status == "issued");
                if status == "issued" {
                    assert!(instant("due_at") > event.occurred_at);
                }
            }
            Source::Survey => {
                event.text("respondent_id");
                event.text("role");
                match event.text("survey") {
                    "nps" => number("score", 0.0, 10.0),
                    "csat" => number("score", 1.0, 5.0),
                    "ces" => number("score", 1.0, 7.0),
                    other => panic!("unknown survey `{other}`"),
                }
            }
            Source::Profile => {
                for field in ["name", "segment", "tier", "owner", "owner_email", "currency"] {
                    assert!(!event.text(field).is_empty());
                }
                number("seats", 2.0, 80.0);
                assert!(event.body["arr_minor"].as_i64().unwrap() > 0);
                assert!(instant("started_at") < small_fleet().start);
                assert!(instant("renewal_at") > event.occurred_at - Span::DAY);
                assert!(["active", "churned"].contains(&event.text("status")));
            }
        }
    }
    assert_eq!(sources.len(), Source::ALL.len());
}

#[test]
fn an_account_begins_with_its_profile_and_ends_with_churned() {
    let settings = FleetSettings { accounts: 60, ..fleet_of(Story::Bleeding) };
    let (fleet, told) = play(settings, 300);
    let mut of_account: BTreeMap<&str, Vec<&Told>> = BTreeMap::new();
    for event in &told {
        of_account.entry(&event.account_id).or_default().push(event);
    }
    assert_eq!(of_account.len(), 60);
    let mut churned = 0;
    for truth in fleet.truth() {
        let events = &of_account[truth.account_id.as_str()];
        assert_eq!(events[0].source, Source::Profile);
        let farewell = events
            .iter()
            .find(|event| event.source == Source::Profile && event.text("status") == "churned");
        assert_eq!(truth.churned_at, farewell.map(|event| event.occurred_at));
        if let Some(left_at) = truth.churned_at {
            churned += 1;
            assert!(events.iter().all(|event| event.occurred_at <= left_at), "{truth:?}");
        }
    }
    // Two fifths of them stay whatever shows.
    assert!((12..36).contains(&churned), "{churned} of 60 bleeding accounts left in 300 days");
}

#[test]
fn content_accounts_stay_and_give_the_rate_asked_for() {
    let settings = FleetSettings {
        accounts: 200,
        stories: StoryShares::only(Story::Healthy),
        ..FleetSettings::default()
    }
    .for_rate(200.0 * 8.0 / 86_400.0);
    let (fleet, told) = play(settings, 35);
    // The first week of the year is for holidays.
    let usage =
        told.iter().filter(|event| event.source == Source::Usage && event.occurred_at > after(7));
    let (weekend, working): (Vec<&Told>, Vec<&Told>) = usage.partition(|event| {
        // Local time is at most a working day away: noon in UTC decides well enough.
        matches!((event.occurred_at.as_millis() / 86_400_000 + 3) % 7, 5 | 6)
    });
    let per_account_day = (weekend.len() + working.len()) as f64 / (200.0 * 28.0);
    assert!((7.2..8.8).contains(&per_account_day), "{per_account_day}");
    assert!(weekend.len() * 10 < working.len(), "{} {}", weekend.len(), working.len());
    let stayed = fleet.truth().filter(|truth| truth.churned_at.is_none()).count();
    assert!(stayed >= 197, "{stayed}");
}

#[test]
fn a_silent_account_is_not_used_after_its_day() {
    let (fleet, told) = play(fleet_of(Story::Silent), 90);
    let stays = stays(&fleet);
    let last_usage: BTreeMap<&str, EventTime> = told
        .iter()
        .filter(|event| event.source == Source::Usage && !stays.contains(&event.account_id))
        .map(|event| (event.account_id.as_str(), event.occurred_at))
        .collect();
    assert_eq!(last_usage.len(), 16 - stays.len());
    for (account_id, at) in last_usage {
        // Day 40 of the account's own calendar begins up to 14 hours off; then comes a weekend.
        assert!((after(35)..after(41)).contains(&at), "{account_id} {at}");
    }
}

#[test]
fn some_silent_accounts_come_back() {
    let (fleet, told) = play(fleet_of(Story::Silent), 150);
    let stays = stays(&fleet);
    assert!((3..9).contains(&stays.len()), "{stays:?}");
    for account_id in &stays {
        let used = |days: std::ops::Range<i64>| {
            told.iter().any(|event| {
                event.source == Source::Usage
                    && event.account_id == *account_id
                    && (after(days.start)..after(days.end)).contains(&event.occurred_at)
            })
        };
        assert!(used(0..39) && !used(42..59) && used(112..150), "{account_id}");
    }
}

#[test]
fn an_unseen_account_looks_as_well_as_ever_and_leaves() {
    let settings = FleetSettings { accounts: 60, ..fleet_of(Story::Unseen) };
    let (fleet, told) = play(settings, 150);
    let left = fleet.truth().filter(|truth| truth.churned_at.is_some()).count();
    assert!((15..50).contains(&left), "{left} of 60");
    let used = |days: std::ops::Range<i64>| {
        let gone: HashSet<String> = fleet
            .truth()
            .filter(|truth| truth.churned_at.is_some())
            .map(|truth| truth.account_id)
            .collect();
        told.iter()
            .filter(|event| event.source == Source::Usage && !gone.contains(&event.account_id))
            .filter(|event| (after(days.start)..after(days.end)).contains(&event.occurred_at))
            .count()
    };
    let (before, later) = (used(11..39), used(60..88));
    assert!(later * 10 > before * 8, "{before} {later}");
}

#[test]
fn a_seasonal_account_dips_and_comes_back() {
    let (_, told) = play(fleet_of(Story::Seasonal), 150);
    let weekly = |weeks: std::ops::Range<i64>| {
        let length = weeks.end - weeks.start;
        let usage = told
            .iter()
            .filter(|event| event.source == Source::Usage && weeks.contains(&event.week()));
        usage.count() as i64 / length
    };
    let (before, dip, later) = (weekly(1..5), weekly(7..9), weekly(17..21));
    assert!(dip * 2 < before && later * 10 > before * 7, "{before} {dip} {later}");
}

#[test]
fn a_champion_goes_and_the_account_is_used_on() {
    let (_, told) = play(fleet_of(Story::ChampionLeft), 150);
    let uses = |weeks: std::ops::Range<i64>, champion: bool| {
        let usage = told
            .iter()
            .filter(|event| event.source == Source::Usage && weeks.contains(&event.week()))
            .filter(|event| (event.text("user_id") == "u001") == champion);
        usage.count()
    };
    assert!(uses(1..5, true) > uses(1..5, false), "{} {}", uses(1..5, true), uses(1..5, false));
    assert_eq!(uses(7..21, true), 0);
    assert!(uses(16..20, false) > uses(1..5, false), "the others do the champion's work");
}

#[test]
fn holidays_are_quiet() {
    let start = EventTime::parse_rfc3339("2025-12-01T00:00:00Z").unwrap();
    let mut fleet = Fleet::new(FleetSettings { start, ..small_fleet() });
    let mut days = [0; 31];
    for event in fleet.events(start + Span::days(31)) {
        if event.source == Source::Usage {
            days[event.occurred_at.since(start).whole_days() as usize] += 1;
        }
    }
    // A Thursday, a fortnight before Christmas and at Christmas.
    assert!(days[24] * 10 < days[10], "{days:?}");
}

#[test]
fn as_many_leave_as_their_hazards_say() {
    let settings = FleetSettings { accounts: 600, events_per_account_day: 0.0, ..small_fleet() };
    let (fleet, _) = play(settings, 240);
    let left = fleet.truth().filter(|truth| truth.churned_at.is_some()).count() as f64;
    let hazard: f64 = fleet.truth().map(|truth| truth.hazard).sum();
    // The difference is a sum of independent draws whose variance is the hazard.
    assert!((left - hazard).abs() < 3.0 * hazard.sqrt(), "{left} left, {hazard} were to");
    let of = |is_of: &dyn Fn(&Truth) -> bool| {
        let (mut all, mut left) = (0, 0);
        for truth in fleet.truth().filter(is_of) {
            all += 1;
            left += usize::from(truth.churned_at.is_some());
        }
        left as f64 / f64::from(all)
    };
    // Looking ill says something and not everything; some leave who look well.
    let is_well = |truth: &Truth| matches!(truth.story, Story::Healthy | Story::Growing);
    let bleeds = |truth: &Truth| matches!(truth.story, Story::Bleeding | Story::Silent);
    let (well, bleeding) = (of(&is_well), of(&bleeds));
    assert!((0.01..0.08).contains(&well), "{well}");
    assert!((0.15..0.45).contains(&bleeding), "{bleeding}");
}

#[test]
fn a_bleeding_account_loses_its_users_one_by_one() {
    let (fleet, told) = play(fleet_of(Story::Bleeding), 200);
    let churned: HashSet<String> = fleet
        .truth()
        .filter(|truth| truth.stays || truth.churned_at.is_some_and(|at| at < after(100)))
        .map(|truth| truth.account_id)
        .collect();
    let mut users: [BTreeSet<(&str, &str)>; 28] = Default::default();
    for event in &told {
        if event.source == Source::Usage
            && !churned.contains(&event.account_id)
            && let Some(week) = users.get_mut(event.week() as usize)
        {
            week.insert((&event.account_id, event.text("user_id")));
        }
    }
    let weekly = |week: usize| users[week].len();
    let before = weekly(4);
    assert!(weekly(9) < before * 9 / 10, "week 9: {} of {before}", weekly(9));
    assert!(weekly(13) < weekly(9) * 9 / 10, "week 13: {} of {before}", weekly(13));
    assert!(weekly(25) < before / 4, "week 25: {} of {before}", weekly(25));
}

#[test]
fn a_growing_account_gains_users_and_seats() {
    let (_, told) = play(fleet_of(Story::Growing), 200);
    let users = |weeks: std::ops::Range<i64>| {
        told.iter()
            .filter(|event| event.source == Source::Usage && weeks.contains(&event.week()))
            .map(|event| (&event.account_id, event.text("user_id")))
            .collect::<BTreeSet<_>>()
            .len()
    };
    assert!(users(24..28) * 10 > users(0..4) * 12, "{} {}", users(0..4), users(24..28));
    let seats = |account_id: &str| -> Vec<i64> {
        told.iter()
            .filter(|event| event.source == Source::Profile && event.account_id == account_id)
            .map(|event| event.body["seats"].as_i64().unwrap())
            .collect()
    };
    let grown = told.iter().filter(|event| event.source == Source::Profile).filter(|event| {
        let seats = seats(&event.account_id);
        seats.is_sorted() && seats.last() > seats.first()
    });
    assert!(grown.count() > 16);
}

#[test]
fn a_late_payer_pays_after_the_due_date_and_later_each_time() {
    let (_, told) = play(fleet_of(Story::LatePayer), 330);
    let mut due_at = BTreeMap::new();
    let mut days_late: [Vec<i64>; 3] = Default::default();
    let (mut failed, mut reminded) = (0, 0);
    for event in told.iter().filter(|event| event.source == Source::Payment) {
        let invoice_id = event.text("invoice_id");
        match event.text("status") {
            "issued" => {
                due_at.insert(invoice_id, EventTime::parse_rfc3339(event.text("due_at")).unwrap());
            }
            "failed" => failed += 1,
            "reminded" => reminded += 1,
            "paid" => {
                let due_at = due_at[invoice_id];
                let phase = match due_at.since(after(0)).whole_days() {
                    0..45 => 0,
                    110..150 => 1,
                    220.. => 2,
                    _ => continue,
                };
                days_late[phase].push(event.occurred_at.since(due_at).whole_days());
            }
            _ => {}
        }
    }
    let mean = |days: &Vec<i64>| days.iter().sum::<i64>() as f64 / days.len() as f64;
    let [at_first, later, at_last] = [0, 1, 2].map(|phase| mean(&days_late[phase]));
    assert!(at_first < 0.0 && later > 7.0 && at_last > later + 10.0, "{days_late:?}");
    assert!(days_late[2].iter().all(|days| *days > 0), "{days_late:?}");
    assert!(failed > 30 && reminded > 60, "{failed} {reminded}");
}

#[test]
fn an_angry_account_escalates_and_is_content_again_later() {
    let (fleet, told) = play(fleet_of(Story::AngryThenRecovered), 200);
    let stayed: Vec<String> = fleet
        .truth()
        .filter(|truth| truth.churned_at.is_none_or(|at| at > after(70)))
        .map(|truth| truth.account_id)
        .collect();
    assert!(stayed.len() >= 8, "{stayed:?}");
    for account_id in &stayed {
        let escalated = told.iter().filter(|event| {
            event.source == Source::Ticket
                && event.account_id == *account_id
                && event.text("status") == "escalated"
                && event.text("priority") == "urgent"
                && (after(38)..after(85)).contains(&event.occurred_at)
        });
        assert!(escalated.count() >= 1, "{account_id} escalated nothing");
    }
    let csat = |days: std::ops::Range<i64>| {
        let scores: Vec<f64> = told
            .iter()
            .filter(|event| event.source == Source::Survey && event.text("survey") == "csat")
            .filter(|event| (after(days.start)..after(days.end)).contains(&event.occurred_at))
            .map(|event| event.body["score"].as_f64().unwrap())
            .collect();
        scores.iter().sum::<f64>() / scores.len() as f64
    };
    let (before, angry, after) = (csat(0..38), csat(46..56), csat(120..200));
    assert!(before > 3.8 && angry < 2.6 && after > 3.8, "{before} {angry} {after}");
}

#[test]
fn a_thousand_accounts_wait_with_few_entries_each() {
    for events_per_account_day in [60.0, 300.0] {
        let settings = FleetSettings { events_per_account_day, ..FleetSettings::default() };
        let mut fleet = Fleet::new(settings);
        let mut most = 0;
        // Until the evening of the first day, a Wednesday: the peak of most time zones is in there.
        while fleet.next_event_before(after(0) + Span::hours(18)).is_some() {
            most = most.max(fleet.waiting());
        }
        assert!(most < 12 * 1_000, "{most} entries at {events_per_account_day} a day");
        assert!(most > 1_000);
    }
}

#[test]
fn a_small_fleet_too_shows_every_story() {
    for seed in 0..20 {
        let fleet = Fleet::new(FleetSettings { seed, accounts: 200, ..small_fleet() });
        let stories: BTreeSet<Story> = fleet.truth().map(|truth| truth.story).collect();
        assert_eq!(stories.len(), Story::NAMES.len(), "seed {seed}");
    }
}

#[test]
fn settings_out_of_range_are_brought_within_it() {
    let odd = FleetSettings {
        accounts: 2,
        events_per_account_day: f64::NAN,
        #[expect(clippy::reversed_empty_ranges, reason = "what a careless caller may pass")]
        onset_days: 50..=10,
        ..small_fleet()
    };
    let (_, told) = play(odd, 3);
    assert!(told.iter().all(|event| event.source != Source::Usage));
    let nobody = FleetSettings { accounts: 0, ..small_fleet() };
    assert_eq!(Fleet::new(nobody).next_event(), None);
}
