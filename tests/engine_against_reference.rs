//! The engine against the judge: the same scorecards and records through both, and no difference
//! in any report, at any time, nor in any verdict.
//!
//! ```text
//! BAROMETER_CASES=10000 BAROMETER_SEED=7 cargo test --release --test engine_against_reference
//! ```
//!
//! A plain `cargo test` takes ten thousand cases in all, most of them short. Bugs that this found have their own
//! short stories in `engine_cases.rs`.

mod histories;
mod judge;
mod reference;

use std::cell::RefCell;
use std::collections::BTreeMap;

use histories::harness::check;
use histories::{
    Arrival, Case, cases, cases_with_alerts, cases_with_outages, cases_with_overrides, crowds,
    stories,
};
use judge::Both;
use proptest::strategy::Strategy;
use reference::model::Decision;
use reference::{Card, Model};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Compares after every record and between them, and then while nothing comes any more.
fn agrees(case: &Case, every_hour: bool) -> Result<(), String> {
    let mut both = Both::new(&case.card);
    both.judge_every_hour(every_hour);
    agree(case, both, every_hour)
}

fn agree(case: &Case, mut both: Both, every_hour: bool) -> Result<(), String> {
    let mut choices = case.choices.iter().cycle().map(|byte| i64::from(*byte));
    let mut choice = || choices.next().unwrap_or(0);
    for (index, arrival) in case.arrivals.iter().enumerate() {
        both.feed(arrival)?;
        let next =
            case.arrivals.get(index + 1).map_or(arrival.record_time_ms, |a| a.record_time_ms);
        if choice() % 3 == 0 {
            both.compare()?;
        }
        if next > arrival.record_time_ms && choice() % 4 == 0 {
            both.advance_to(
                arrival.record_time_ms + (next - arrival.record_time_ms) * choice() / 256,
            );
            both.compare()?;
        }
    }
    let end = case.arrivals.last().map_or(0, |arrival| arrival.record_time_ms);
    let silence: &[i64] = match every_hour {
        true => &[0, HOUR_MS, 3 * DAY_MS],
        false => &[0, 1, HOUR_MS, DAY_MS, 8 * DAY_MS, 35 * DAY_MS, 130 * DAY_MS, 800 * DAY_MS],
    };
    for span in silence {
        both.advance_to(end + span + choice() * 7_919);
        both.compare()?;
    }
    Ok(())
}

#[test]
fn reports_and_verdicts_agree() {
    check(300, cases(60), |case| agrees(case, false));
}

#[test]
fn reports_and_verdicts_agree_on_short_histories() {
    check(6_500, cases(12), |case| agrees(case, false));
}

#[test]
fn reports_and_verdicts_agree_on_dense_histories() {
    check(40, cases(250), |case| agrees(case, false));
}

#[test]
fn reports_and_verdicts_agree_on_small_stories_of_alerts() {
    check(1_800, stories(), |case| agrees(case, false));
}

/// Publishing begins somewhere in the history: on a record, beside one, or between two.
#[test]
fn reports_and_verdicts_agree_after_a_quiet_start() {
    check(200, cases_with_alerts(1..=5, 60), |case| {
        let dice = |index: usize| usize::from(case.choices[index]);
        let at = case.arrivals[dice(0) % case.arrivals.len()].record_time_ms;
        let day = (at.div_euclid(DAY_MS) + 1) * DAY_MS;
        let publish_from = [at, at + 1, day, at + 5 * HOUR_MS, day + 30 * DAY_MS][dice(1) % 5];
        agree(case, Both::publishing_from(&case.card, publish_from), false)
    });
}

#[test]
fn reports_and_verdicts_agree_with_overrides() {
    check(300, cases_with_overrides(60), |case| agrees(case, false));
}

/// Compares while one source now and then falls silent.
#[test]
fn reports_and_verdicts_agree_through_outages() {
    check(60, cases_with_outages(), |case| {
        let mut both = Both::with_outage_guard(&case.card);
        let mut choices = case.choices.iter().cycle().map(|byte| i64::from(*byte));
        let mut choice = || choices.next().unwrap_or(0);
        for (index, arrival) in case.arrivals.iter().enumerate() {
            both.feed(arrival)?;
            let now = arrival.record_time_ms;
            let next = case.arrivals.get(index + 1).map_or(now, |next| next.record_time_ms);
            if index % 50 == 0 {
                both.compare()?;
            }
            if next - now > HOUR_MS {
                both.compare()?;
                both.advance_to(now + (next - now) * choice() / 256);
                both.compare()?;
            }
        }
        let end = case.arrivals.last().map_or(0, |arrival| arrival.record_time_ms);
        for span in [HOUR_MS, DAY_MS, 9 * DAY_MS, 100 * DAY_MS] {
            both.advance_to(end + span + choice() * 7_919);
            both.compare()?;
        }
        Ok(())
    });
}

#[test]
fn sources_fall_silent_and_come_back_in_the_generated_fleets() {
    let told = RefCell::new([0_u32; 2]);
    check(20, cases_with_outages(), |case| {
        let told_of = |pace: Option<i64>| {
            let mut model = Model::new(Card::parse(&case.card)).with_outage_guard();
            let mut now = case.arrivals.first().map_or(0, |arrival| arrival.record_time_ms);
            for arrival in &case.arrivals {
                while let Some(pace) = pace.filter(|pace| now + pace < arrival.record_time_ms) {
                    now += pace;
                    model.advance_to(now);
                }
                model.feed(&judge::record(arrival));
            }
            model.advance_to(now.max(case.arrivals.last().map_or(0, |a| a.record_time_ms)));
            model
        };
        let once = told_of(None);
        for outage in once.outages() {
            told.borrow_mut()[usize::from(!outage.firing)] += 1;
        }
        // How often time moves changes nothing in the judge either.
        let often = told_of(Some(5 * HOUR_MS + 7));
        judge::same("outages", &once.outages(), &often.outages())?;
        for account_id in once.account_ids() {
            judge::same("verdicts", &once.verdicts(&account_id), &often.verdicts(&account_id))?;
        }
        Ok(())
    });
    let [tripped, cleared] = told.into_inner();
    println!("tripped {tripped}, cleared {cleared}");
    assert!(tripped >= 10 && cleared >= 5, "tripped {tripped}, cleared {cleared}");
}

/// The judge names the instants at which anything can change; looking at every hour besides shows
/// that it forgot none.
#[test]
fn the_judge_overlooks_no_instant() {
    let too_long = |case: &Case| {
        let first = case.arrivals.first().map_or(0, |arrival| arrival.record_time_ms);
        let last = case.arrivals.last().map_or(0, |arrival| arrival.record_time_ms);
        last - first > 40 * DAY_MS
    };
    check(150, cases(15), |case| if too_long(case) { Ok(()) } else { agrees(case, true) });
}

#[test]
fn the_order_of_arrival_at_one_instant_changes_nothing() {
    check(400, crowds(40), |case| {
        let Some(last) = case.arrivals.last() else { return Ok(()) };
        let mut shuffled = case.arrivals.clone();
        shuffle(&mut shuffled, &case.choices);
        let reports = |arrivals: &[Arrival]| -> Result<_, String> {
            let mut both = Both::new(&case.card);
            for arrival in arrivals {
                both.feed(arrival)?;
            }
            let mut reports = Vec::new();
            for span in [0, HOUR_MS, 30 * DAY_MS] {
                both.advance_to(last.record_time_ms + span);
                reports.push(both.reports_but_for_bands());
            }
            Ok(reports)
        };
        judge::same("in this order", &reports(&case.arrivals)?, &reports(&shuffled)?)
    });
}

/// Fisher and Yates' shuffle, with bytes for dice.
fn shuffle<T>(items: &mut [T], dice: &[u8]) {
    for last in (1..items.len()).rev() {
        items.swap(last, usize::from(dice[last % dice.len()]) % (last + 1));
    }
}

#[test]
fn how_often_time_moves_and_who_asks_changes_nothing() {
    check(150, cases(30), |case| {
        let steps = case.choices.iter().cycle();
        let end = case.arrivals.last().map_or(0, |arrival| arrival.record_time_ms) + 60 * DAY_MS;
        let verdicts = |pace: &mut dyn FnMut() -> i64, ask: bool| -> Result<_, String> {
            let mut engine = judge::Judged::new(&case.card);
            let mut now = case.arrivals.first().map_or(0, |arrival| arrival.record_time_ms);
            let times = case.arrivals.iter().map(|arrival| arrival.record_time_ms).chain([end]);
            for (index, time) in times.enumerate() {
                while now < time {
                    now = now.saturating_add(pace()).min(time);
                    engine.advance_to(now);
                    if ask {
                        engine.reports();
                    }
                }
                if let Some(arrival) = case.arrivals.get(index) {
                    engine.feed(arrival)?;
                }
            }
            Ok(engine.all_verdicts())
        };
        let mut steps = steps.map(|byte| i64::from(*byte) * i64::from(*byte) * 5_501 + 1);
        let mut often = || steps.next().unwrap_or(DAY_MS);
        judge::same("verdicts", &verdicts(&mut || i64::MAX, false)?, &verdicts(&mut often, true)?)
    });
}

#[test]
fn deadlines_left_open_while_events_go_on_change_nothing() {
    check(150, cases_with_alerts(1..=5, 60), |case| {
        let end = case.arrivals.last().map_or(0, |arrival| arrival.record_time_ms) + 60 * DAY_MS;
        let mut steps = case.choices.iter().cycle().map(|byte| usize::from(*byte));
        let run = |looks: &mut dyn FnMut() -> usize| -> Result<judge::Judged, String> {
            let mut engine = judge::Judged::new(&case.card);
            for arrival in &case.arrivals {
                engine.feed_after(arrival, looks())?;
            }
            engine.advance_to(end);
            Ok(engine)
        };
        let mut all_first = run(&mut || usize::MAX)?;
        let mut in_slices = run(&mut || steps.next().unwrap_or(0) % 3)?;
        judge::same("reports", &all_first.reports(), &in_slices.reports())?;
        for account_id in all_first.account_ids() {
            let (one, other) =
                (all_first.verdicts_of(&account_id), in_slices.verdicts_of(&account_id));
            judge::same(&account_id, &one, &other)?;
        }
        Ok(())
    });
}

#[test]
fn accounts_do_not_influence_each_other() {
    check(200, cases(40), |case| {
        let end = case.arrivals.last().map_or(0, |arrival| arrival.record_time_ms) + 40 * DAY_MS;
        let run = |only: Option<&str>| -> Result<_, String> {
            let mut engine = judge::Judged::new(&case.card);
            for arrival in &case.arrivals {
                engine.advance_to(arrival.record_time_ms);
                if only.is_none_or(|only| only == arrival.account_id) {
                    engine.feed(arrival)?;
                }
            }
            engine.advance_to(end);
            Ok(engine)
        };
        let mut together = run(None)?;
        for account_id in together.account_ids() {
            let mut alone = run(Some(&account_id))?;
            let (one, all) = (alone.report(&account_id), together.report(&account_id));
            judge::same(&account_id, &one, &all)?;
            let (one, all) = (alone.verdicts_of(&account_id), together.verdicts_of(&account_id));
            judge::same(&account_id, &one, &all)?;
        }
        Ok(())
    });
}

/// Generators that write rules which never fire would compare nothing.
#[test]
fn every_kind_of_alert_fires_grows_worse_and_is_resolved() {
    let wide = lives_of_alerts(250, cases_with_alerts(1..=5, 60));
    let narrow = lives_of_alerts(250, stories());
    for (told, enough) in [(wide, 1), (narrow, 10)] {
        println!("fired, grown worse, resolved: {told:?}");
        assert_eq!(told.len(), 7, "{told:?}");
        for [fired, _, resolved] in told.values() {
            assert!(*fired >= enough && *resolved >= enough, "{told:?}");
        }
        for kind in ["measure", "silence", "renewal_at_risk"] {
            assert!(told[kind][1] >= 1, "{told:?}");
        }
        assert!(enough == 1 || told["score_drop"][1] >= enough, "{told:?}");
    }
}

/// How often each kind of rule fired, grew worse and was resolved, by the model.
fn lives_of_alerts(
    count: u32,
    cases: impl Strategy<Value = Case>,
) -> BTreeMap<&'static str, [u32; 3]> {
    let told = RefCell::new(BTreeMap::<_, [u32; 3]>::new());
    check(count, cases, |case| {
        let card = Card::parse(&case.card);
        let mut model = Model::new(card.clone());
        for arrival in &case.arrivals {
            model.feed(&judge::record(arrival));
        }
        model.advance_to(case.arrivals.last().map_or(0, |a| a.record_time_ms) + 800 * DAY_MS);
        for account_id in model.account_ids() {
            for verdict in model.verdicts(&account_id) {
                let (rule, what) = match &verdict.decision {
                    Decision::BandChange { .. } => continue,
                    Decision::AlertFired { rule, escalated_from: None, .. } => (rule, 0),
                    Decision::AlertFired { rule, .. } => (rule, 1),
                    Decision::AlertResolved { rule, .. } => (rule, 2),
                };
                let rule = card.alerts.iter().find(|known| known.id == *rule).unwrap();
                told.borrow_mut().entry(rule.kind.name()).or_default()[what] += 1;
            }
        }
        Ok(())
    });
    told.into_inner()
}
