//! What is held at most, whatever arrives: accounts of a process, tickets and users of an account, and
//! for how long. What has no room goes to the dead letters, and a new life goes on with what had some.

mod task_bench;

use std::collections::BTreeSet;

use barometer::broker::{OutputRecord, OutputTopic};
use barometer::capacity::Capacity;
use barometer::engine::event::Source;
use barometer::engine::limits::Limits;
use barometer::engine::time::{EventTime, Span};
use barometer::task::TaskTime;
use serde_json::{Value, json};
use task_bench::{Bench, Stored, hour};

/// Silence makes this card's band, and fires its alert.
const CARD: &str = r##"
scorecard: limits
dimensions:
  - id: use
    weight: 1
    measures:
      - { id: users, measure: usage.active_users, window: 7d, weight: 0, curve: { linear: { from: 0, to: 10 } } }
      - { id: quiet_days, measure: usage.days_since_last, weight: 1, curve: { steps: [[0, 90], [2, 0]] } }
      - { id: open, measure: support.open, weight: 0, curve: { linear: { from: 10, to: 0 } } }
bands:
  - { name: red, up_to: 50 }
  - { name: green, up_to: 100 }
anti_flap: { margin: 0, dwell: { worse: 1h, better: 1h }, bypass_drop: 100 }
item_horizon: 7d
alerts:
  - { id: gone_quiet, silence: { for: 3d } }
"##;

fn bench(limits: Limits, capacity: Capacity) -> Bench {
    Bench::new(CARD, TaskTime::Records, limits, capacity)
}

/// Hands records of one topic over, and has them taken.
fn take(bench: &mut Bench, source: Source, records: &[Stored]) {
    let now = records.last().expect("some records").timestamp;
    bench.fetch(source, records, now);
    bench.work(now + Span::SECOND);
}

fn user(bench: &mut Bench, account: &str, user: &str, at: EventTime) -> Stored {
    let event_id = format!("{user}-{}", at.as_millis());
    let body = json!({
        "event_id": event_id, "account_id": account, "occurred_at": at.as_millis(),
        "feature": "reports", "user_id": user,
    });
    bench.store(Source::Usage, account, at, &body)
}

fn ticket(bench: &mut Bench, account: &str, id: &str, status: &str, at: EventTime) -> Stored {
    let body = json!({
        "event_id": format!("{id}-{status}"), "account_id": account,
        "occurred_at": at.as_millis(), "ticket_id": id, "status": status,
    });
    bench.store(Source::Ticket, account, at, &body)
}

fn of(outputs: &[OutputRecord], topic: OutputTopic) -> impl Iterator<Item = &OutputRecord> {
    outputs.iter().filter(move |record| record.topic == topic)
}

/// The class and the account of every dead letter.
fn dead_letters(outputs: &[OutputRecord]) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    of(outputs, OutputTopic::DeadLetters)
        .map(|record| {
            let class = "__connect.errors.exception.class.name";
            let (_, value) = record.headers.iter().find(|(name, _)| name == class).unwrap();
            (text(value.as_ref().unwrap()), text(record.key.as_ref().unwrap()))
        })
        .collect()
}

fn accounts(bench: &Bench) -> BTreeSet<String> {
    bench.task.engine().account_ids().map(str::to_owned).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// What the events say, in order: type, then the text fields asked for.
fn told(outputs: &[OutputRecord], fields: &[&str]) -> Vec<Vec<String>> {
    of(outputs, OutputTopic::Events)
        .map(|record| {
            let body: Value = serde_json::from_slice(record.value.as_ref().unwrap()).unwrap();
            fields.iter().map(|field| body[*field].as_str().unwrap_or("-").to_owned()).collect()
        })
        .collect()
}

#[test]
fn past_the_limit_new_accounts_go_to_the_dead_letters_and_known_ones_go_on() {
    let mut bench = bench(Limits::NONE, Capacity::new(2, false));
    let names = ["a", "b", "c", "a", "d", "b"];
    let records: Vec<Stored> =
        names.iter().zip(0..).map(|(name, n)| bench.usage(name, hour(n))).collect();
    take(&mut bench, Source::Usage, &records);
    assert_eq!(accounts(&bench), set(&["a", "b"]));
    let outputs = bench.commit(hour(6));
    let refused = ["c", "d"].map(|account| ("account_limit".to_owned(), account.to_owned()));
    assert_eq!(dead_letters(&outputs), refused);
    assert_eq!(bench.task.engine().stats().counted[Source::Usage as usize], 4);
}

/// The events of an account that had no room come again in a replay, where others may have gone since.
#[test]
fn what_had_no_room_has_none_in_a_replay_either() {
    let mut bench = bench(Limits::NONE, Capacity::new(2, false));
    let mut log = Vec::new();
    let records: Vec<Stored> =
        ["a", "b", "c"].iter().zip(0..).map(|(name, n)| bench.usage(name, hour(n))).collect();
    take(&mut bench, Source::Usage, &records);
    log.extend(bench.commit(hour(2)));
    let first_marker = of(&log, OutputTopic::Changelog).count();
    assert!(first_marker >= 3, "both accounts and the marker are written at once");
    // More of the same is out of date in the changelog when the process dies.
    let again: Vec<Stored> = ["a", "c"].iter().map(|name| bench.usage(name, hour(3))).collect();
    take(&mut bench, Source::Usage, &again);
    log.extend(bench.commit(hour(3)));
    let read: Vec<Stored> = records.into_iter().chain(again).collect();
    bench.crash_and_replay(&log, &[(Source::Usage, &read)]);
    assert_eq!(accounts(&bench), set(&["a", "b"]));
    let more = [bench.usage("c", hour(4)), bench.usage("a", hour(4))];
    take(&mut bench, Source::Usage, &more);
    let outputs = bench.commit(hour(4));
    assert_eq!(dead_letters(&outputs), [("account_limit".to_owned(), "c".to_owned())]);
}

#[test]
fn where_idle_accounts_make_room_the_idlest_goes_with_a_last_word() {
    let mut bench = bench(Limits::NONE, Capacity::new(3, true));
    let names = ["a", "b", "c", "a", "d"];
    let records: Vec<Stored> =
        names.iter().zip(0..).map(|(name, n)| bench.usage(name, hour(n))).collect();
    take(&mut bench, Source::Usage, &records);
    assert_eq!(accounts(&bench), set(&["a", "c", "d"]));
    bench.task.write_all();
    let outputs = bench.commit(hour(5));
    assert_eq!(dead_letters(&outputs), []);
    let forgotten: Vec<Vec<String>> = told(&outputs, &["account_id", "from", "to", "cause"]);
    assert!(forgotten.contains(&["b", "green", "unknown", "forgotten"].map(str::to_owned).into()));
    let tombstones = of(&outputs, OutputTopic::Scores).filter(|record| record.value.is_none());
    assert_eq!(tombstones.map(|record| record.key.clone().unwrap()).collect::<Vec<_>>(), [b"b"]);
    bench.crash(&outputs);
    assert_eq!(accounts(&bench), set(&["a", "c", "d"]));
}

#[test]
fn an_account_with_a_profile_or_with_something_open_makes_no_room() {
    let mut bench = bench(Limits::NONE, Capacity::new(1, true));
    let open = ticket(&mut bench, "a", "T-1", "opened", hour(0));
    take(&mut bench, Source::Ticket, &[open]);
    let other = bench.usage("b", hour(1));
    take(&mut bench, Source::Usage, &[other]);
    assert_eq!(accounts(&bench), set(&["a"]));
    let closed = ticket(&mut bench, "a", "T-1", "closed", hour(2));
    take(&mut bench, Source::Ticket, &[closed]);
    let other = bench.usage("c", hour(3));
    take(&mut bench, Source::Usage, &[other]);
    assert_eq!(accounts(&bench), set(&["c"]));
    assert_eq!(dead_letters(bench.task.outputs()), [("account_limit".to_owned(), "b".to_owned())]);
}

#[test]
fn an_account_has_so_many_tickets_and_the_statuses_of_those_it_has() {
    let limits = Limits { items_per_account: 2, ..Limits::NONE };
    let mut bench = bench(limits, Capacity::endless());
    let records = [
        ticket(&mut bench, "a", "T-1", "opened", hour(0)),
        ticket(&mut bench, "a", "T-2", "opened", hour(1)),
        ticket(&mut bench, "a", "T-3", "opened", hour(2)),
        ticket(&mut bench, "a", "T-1", "closed", hour(3)),
        ticket(&mut bench, "b", "T-3", "opened", hour(4)),
        // Another try is another dead letter, and no repeat of a record that was taken.
        ticket(&mut bench, "a", "T-3", "opened", hour(5)),
        // By then the first one is forgotten.
        ticket(&mut bench, "a", "T-4", "opened", hour(24 * 8)),
    ];
    take(&mut bench, Source::Ticket, &records);
    let refused = ("item_limit".to_owned(), "a".to_owned());
    assert_eq!(dead_letters(bench.task.outputs()), [refused.clone(), refused]);
    let open = |bench: &mut Bench, account: &str| {
        let value = bench.report(account)["dimensions"][0]["measures"][2]["value"].clone();
        value.as_f64().unwrap()
    };
    assert_eq!((open(&mut bench, "a"), open(&mut bench, "b")), (2.0, 1.0));
}

#[test]
fn users_past_the_limit_are_not_told_apart_and_their_events_count() {
    let limits = Limits { users_per_account: 3, ..Limits::NONE };
    let mut bench = bench(limits, Capacity::endless());
    let records: Vec<Stored> = (0..5)
        .chain(0..5)
        .zip(0..)
        .map(|(n, minutes)| {
            let at = hour(0) + Span::MINUTE * minutes;
            user(&mut bench, "a", &format!("u{n}"), at)
        })
        .collect();
    take(&mut bench, Source::Usage, &records);
    assert_eq!(bench.report("a")["dimensions"][0]["measures"][0]["value"], json!(3.0));
    let stats = bench.task.engine().stats();
    assert_eq!((stats.counted[Source::Usage as usize], stats.left_out), (10, 4));
}

#[test]
fn an_idle_account_is_forgotten_at_midnight_and_its_alerts_are_over() {
    let limits = Limits { forget_after: Some(Span::days(30)), ..Limits::NONE };
    let mut bench = bench(limits, Capacity::endless());
    let first = bench.usage("a", hour(5));
    take(&mut bench, Source::Usage, &[first]);
    let before = bench.usage("b", hour(24 * 30 + 23));
    take(&mut bench, Source::Usage, &[before]);
    assert_eq!(accounts(&bench), set(&["a", "b"]), "30 days are over, and midnight is to come");
    let mut outputs = bench.commit(hour(24 * 30 + 23));
    let after = bench.usage("b", hour(24 * 31 + 1));
    take(&mut bench, Source::Usage, &[after]);
    assert_eq!(accounts(&bench), set(&["b"]));
    bench.task.write_all();
    outputs.extend(bench.commit(hour(24 * 31 + 1)));
    let mut told = told(&outputs, &["account_id", "from", "to", "status", "cause"]);
    told.retain(|fields| fields[0] == "a");
    let expected = [
        ["a", "unknown", "green", "-", "score"],
        ["a", "green", "red", "-", "score"],
        ["a", "-", "-", "firing", "score"],
        ["a", "red", "unknown", "-", "forgotten"],
        ["a", "-", "-", "resolved", "forgotten"],
    ];
    assert_eq!(told, expected.map(|fields| fields.map(str::to_owned).to_vec()));
    assert_eq!(bench.task.engine().stats().forgotten, 1);
    bench.crash(&outputs);
    assert_eq!(accounts(&bench), set(&["b"]));
}

/// An event may be of the very account whose time is over at that moment.
#[test]
fn an_event_after_the_midnight_begins_a_new_account() {
    let limits = Limits { forget_after: Some(Span::days(30)), ..Limits::NONE };
    let mut bench = bench(limits, Capacity::endless());
    let records = [bench.usage("a", hour(5)), bench.usage("a", hour(24 * 40))];
    take(&mut bench, Source::Usage, &records);
    let changes = told(bench.task.outputs(), &["from", "to", "cause"]);
    let expected = [
        ["unknown", "green", "score"],
        ["green", "red", "score"],
        ["-", "-", "score"],
        ["red", "unknown", "forgotten"],
        ["-", "-", "forgotten"],
        ["unknown", "green", "score"],
    ];
    assert_eq!(changes, expected.map(|fields| fields.map(str::to_owned).to_vec()));
}

#[test]
fn an_account_at_rest_is_kept_for_as_long_as_it_has_a_profile_or_anything_open() {
    let limits = Limits { forget_after: Some(Span::days(30)), ..Limits::NONE };
    let mut bench = bench(limits, Capacity::endless());
    let open = ticket(&mut bench, "open", "T-1", "opened", hour(0));
    take(&mut bench, Source::Ticket, &[open]);
    let other = bench.usage("other", hour(24 * 100));
    take(&mut bench, Source::Usage, &[other]);
    assert_eq!(accounts(&bench), set(&["open", "other"]));
    let closed = ticket(&mut bench, "open", "T-1", "closed", hour(24 * 100 + 1));
    take(&mut bench, Source::Ticket, &[closed]);
    let other = bench.usage("other", hour(24 * 140));
    take(&mut bench, Source::Usage, &[other]);
    assert_eq!(accounts(&bench), set(&["other"]));
}

/// History that is told late, in its own order, comes to the same account.
#[test]
fn old_events_that_come_together_find_their_account() {
    let limits = Limits { forget_after: Some(Span::days(30)), ..Limits::NONE };
    let mut bench = bench(limits, Capacity::endless());
    let records: Vec<Stored> = (0..4)
        .map(|n| {
            let at = hour(24 * 300) + Span::MINUTE * n;
            let occurred_at = hour(24 * 50 * n);
            let body = json!({
                "event_id": format!("e{n}"), "account_id": "a", "feature": "reports",
                "occurred_at": occurred_at.as_millis(),
            });
            bench.store(Source::Usage, "a", at, &body)
        })
        .collect();
    take(&mut bench, Source::Usage, &records);
    let (stats, count) = (bench.task.engine().stats(), bench.task.engine().account_count());
    assert_eq!((stats.forgotten, count), (0, 1));
    let next_day = bench.usage("b", hour(24 * 301));
    take(&mut bench, Source::Usage, &[next_day]);
    assert_eq!(accounts(&bench), set(&["b"]));
}

#[test]
fn however_many_accounts_come_no_more_are_held_than_the_limit() {
    for evicts in [false, true] {
        let mut bench = bench(Limits::NONE, Capacity::new(500, evicts));
        let mut taken = 0;
        for batch in 0..10 {
            let records: Vec<Stored> = (0..1_000)
                .map(|n| {
                    let at = hour(0) + Span::from_millis(batch * 1_000 + n);
                    bench.usage(&format!("account-{batch}-{n}"), at)
                })
                .collect();
            take(&mut bench, Source::Usage, &records);
            assert!(bench.task.engine().account_count() <= 500);
            let outputs = bench.commit(hour(1));
            taken += 1_000 - dead_letters(&outputs).len();
        }
        assert_eq!(taken, if evicts { 10_000 } else { 500 });
    }
}
