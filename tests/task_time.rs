//! Task time and the merge of a task's topics, on records in memory: no broker, no waiting.

mod task_bench;

use std::collections::BTreeSet;
use std::sync::Arc;

use barometer::broker::{OutputRecord, OutputTopic};
use barometer::capacity::Capacity;
use barometer::engine::Engine;
use barometer::engine::event::{DecodeLimits, Source, decode};
use barometer::engine::limits::Limits;
use barometer::engine::record;
use barometer::engine::scorecard::Scorecard;
use barometer::engine::snapshot::{self, KeptAccount, Stamp};
use barometer::engine::time::{EventTime, Span};
use barometer::engine::verdict::Verdict;
use barometer::task::TaskTime;
use task_bench::{Bench, SOURCES, Stored, hour};

/// Silence alone makes this card's band: green for two days after the last use, then red.
const CARD: &str = r##"
scorecard: silence
dimensions:
  - id: use
    weight: 1
    measures:
      - { id: quiet_days, measure: usage.days_since_last, weight: 1, curve: { steps: [[0, 90], [2, 0]] } }
bands:
  - { name: red, up_to: 50 }
  - { name: green, up_to: 100 }
anti_flap: { margin: 0, dwell: { worse: 1h, better: 1h }, bypass_drop: 100 }
"##;

fn bench(task_time: TaskTime) -> Bench {
    Bench::new(CARD, task_time, Limits::NONE, Capacity::endless())
}

fn change(account: &str, from: &str, to: &str, hours: f64) -> (String, String, String, f64) {
    (account.to_owned(), from.to_owned(), to.to_owned(), hours)
}

#[test]
fn records_of_all_topics_are_taken_in_record_time_order() {
    let mut bench = bench(TaskTime::Records);
    let late = bench.usage("a", hour(5));
    let early = bench.ticket("a", hour(1));
    bench.fetch(Source::Usage, &[late], hour(100));
    // The tickets' record is there but not fetched yet: nothing may overtake it.
    bench.reach_end(Source::Payment, hour(100));
    bench.reach_end(Source::Survey, hour(100));
    assert_eq!(bench.work(hour(100)), 0);
    bench.fetch(Source::Ticket, &[early], hour(100));
    assert_eq!(bench.work(hour(100)), 2);
    assert_eq!(bench.now(), hour(5));
}

#[test]
fn an_idle_topic_holds_nobody_back() {
    let mut bench = bench(TaskTime::Wall);
    let only = bench.usage("a", hour(5));
    bench.fetch(Source::Usage, &[only], hour(6));
    assert_eq!(bench.work(hour(6)), 1, "the other topics are known to be empty");
    assert_eq!(bench.now(), hour(6));
}

#[test]
fn caught_up_silence_counts_up_to_the_last_answered_question_and_no_further() {
    let mut bench = bench(TaskTime::Wall);
    let only = bench.usage("a", hour(0));
    bench.fetch(Source::Usage, &[only], hour(1));
    bench.work(hour(1));
    assert_eq!(bench.changes(), [change("a", "unknown", "green", 0.0)]);
    bench.work(hour(48));
    assert_eq!(bench.changes().len(), 1, "the dwell has only begun");
    bench.work(hour(60));
    assert_eq!(bench.now(), hour(60));
    assert_eq!(bench.changes()[1], change("a", "green", "red", 49.0), "at its own time");
}

#[test]
fn an_open_transaction_upstream_stops_the_clock_but_not_the_other_topics() {
    let mut bench = bench(TaskTime::Wall);
    let first = bench.usage("a", hour(0));
    bench.fetch(Source::Usage, &[first], hour(0));
    bench.work(hour(0));
    // Somebody writes a ticket and does not commit: it has an offset, and nobody may see it.
    bench.topics.insert(Source::Ticket, (1, 0));
    bench.work(hour(72));
    assert_eq!(bench.now(), hour(0), "three days of what may be no silence at all");
    let second = bench.usage("b", hour(3));
    bench.fetch(Source::Usage, &[second], hour(72));
    assert_eq!(bench.work(hour(73)), 1, "what can be seen goes on");
    assert_eq!(bench.now(), hour(3));
}

#[test]
fn without_an_answer_time_stands_still() {
    let mut bench = bench(TaskTime::Wall);
    let first = bench.usage("a", hour(0));
    bench.fetch(Source::Usage, &[first], hour(0));
    bench.work(hour(0));
    // The broker is away for six days; the next answer is of the present, and shows what came.
    let missed = bench.usage("a", hour(30));
    let missed_too = bench.usage("a", hour(70));
    let last = bench.usage("a", hour(118));
    bench.fetch(Source::Usage, &[missed, missed_too, last], hour(144));
    bench.work(hour(144));
    assert_eq!(bench.now(), hour(144));
    assert_eq!(
        bench.changes().len(),
        1,
        "what looked like silence was none: {:?}",
        bench.changes()
    );
}

#[test]
fn a_backlog_gives_the_verdicts_of_live_processing_at_the_same_times() {
    let times = [0, 1, 2, 30, 100, 101, 180, 230];
    let mut live = bench(TaskTime::Wall);
    for at in times {
        let record = live.usage("a", hour(at));
        live.fetch(Source::Usage, &[record], hour(at));
        live.work(hour(at));
        live.work(hour(at) + Span::MINUTE * 30);
    }
    live.work(hour(300));
    let mut behind = bench(TaskTime::Wall);
    let backlog: Vec<Stored> = times.iter().map(|at| behind.usage("a", hour(*at))).collect();
    behind.fetch(Source::Usage, &backlog, hour(300));
    behind.work(hour(300));
    assert_eq!(live.changes(), behind.changes());
    assert!(live.changes().len() >= 5, "{:?}", live.changes());
}

#[test]
fn a_producer_whose_clock_is_ahead_does_not_pull_time_along() {
    let mut bench = bench(TaskTime::Wall);
    let ahead = bench.usage("a", hour(500));
    bench.fetch(Source::Usage, &[ahead], hour(1));
    bench.work(hour(1));
    assert_eq!(bench.now(), hour(1));
}

#[test]
fn a_question_older_than_a_record_does_not_let_it_pass() {
    let mut bench = bench(TaskTime::Wall);
    let record = bench.usage("a", hour(2));
    bench.fetch(Source::Usage, &[record], hour(2));
    assert_eq!(bench.work(hour(1)), 0, "another topic may hold an earlier one by now");
    assert_eq!(bench.work(hour(2)), 1);
}

#[test]
fn with_record_time_alone_too_a_question_older_than_a_record_does_not_let_it_pass() {
    let mut bench = bench(TaskTime::Records);
    // Asked at 1: all topics are empty. Then a ticket is written, after it a usage event, and the
    // usage event is fetched first.
    bench.work(hour(1));
    let before = bench.topics.clone();
    let ticket = bench.ticket("a", hour(5));
    let usage = bench.usage("a", hour(6));
    bench.fetch(Source::Usage, &[usage], hour(2));
    let now = std::mem::replace(&mut bench.topics, before);
    assert_eq!(bench.work(hour(1)), 0, "the ticket may be there by now");
    bench.topics = now;
    assert_eq!(bench.work(hour(3)), 0, "it is");
    bench.fetch(Source::Ticket, &[ticket], hour(3));
    assert_eq!(bench.work(hour(3)), 2);
    assert_eq!(bench.now(), hour(6));
}

#[test]
fn with_record_time_alone_what_an_earlier_answer_knew_of_need_not_wait_for_the_next() {
    let mut bench = bench(TaskTime::Records);
    let backlog: Vec<Stored> = (0..3).map(|at| bench.usage("a", hour(at))).collect();
    bench.work(hour(1));
    bench.work(hour(2));
    // Fetched after the last question was asked, and written before the one before it.
    bench.fetch(Source::Usage, &backlog, hour(3));
    assert_eq!(bench.work(hour(2)), 3);
}

#[test]
fn with_record_time_alone_the_clock_stays_at_the_last_record() {
    let mut bench = bench(TaskTime::Records);
    let only = bench.usage("a", hour(0));
    bench.fetch(Source::Usage, &[only], hour(0));
    bench.work(hour(900));
    assert_eq!(bench.now(), hour(0));
}

#[test]
fn an_event_does_not_wait_for_the_deadlines_of_all_accounts() {
    let mut bench = bench(TaskTime::Wall);
    bench.fleet(500);
    for source in SOURCES {
        bench.reach_end(source, hour(0));
    }
    bench.commit(hour(0));
    // Silent for two days and an hour, all of them, when another account is used.
    let event = bench.usage("late", hour(50));
    bench.fetch(Source::Usage, &[event], hour(50));
    assert_eq!(bench.work_with(hour(50), 10), 1, "taken at once");
    assert!(bench.task.has_open_deadlines());
    let mut turns = 1;
    while bench.task.has_open_deadlines() {
        assert!(bench.commit(hour(50)).len() < 50, "a commit has a turn's work in it, not all");
        bench.work_with(hour(50), 10);
        turns += 1;
    }
    // Two looks at each at least: the score falls after two days, and an hour later the band.
    assert!(turns >= 500 * 2 / 10, "{turns} turns");
    assert_eq!(bench.now(), hour(50));
}

#[test]
fn what_overtook_the_deadlines_of_others_changes_none_of_them() {
    let run = |looks: usize| {
        let mut bench = bench(TaskTime::Wall);
        bench.fleet(300);
        for source in SOURCES {
            bench.reach_end(source, hour(0));
        }
        // Just before, just after and long after the band changes at hour 49.
        for at in [48, 49, 50, 100] {
            let event = bench.usage(&format!("a{at}"), hour(at));
            bench.fetch(Source::Usage, &[event], hour(at));
            bench.work_with(hour(at), looks);
        }
        while bench.task.has_open_deadlines() {
            bench.work_with(hour(100), looks);
        }
        let mut changes = bench.changes();
        changes.sort_by(|a, b| a.partial_cmp(b).unwrap());
        changes
    };
    assert_eq!(run(usize::MAX), run(7));
}

#[test]
fn what_was_due_is_told_before_an_account_is_forgotten() {
    let mut engine = engine();
    let all = usize::MAX;
    let first = said(&mut engine, Source::Usage, hour(0), &mut all.clone(), r#""feature":"f""#);
    assert_eq!(first.iter().map(|verdict| verdict.at).collect::<Vec<_>>(), [hour(0)]);
    // Nobody has looked at it since.
    let last = said(&mut engine, Source::Profile, hour(50), &mut 0, r#""forget":true"#);
    assert_eq!(last.iter().map(|verdict| verdict.at).collect::<Vec<_>>(), [hour(49)]);
    assert_eq!(engine.account_count(), 0);
}

#[test]
fn an_account_that_is_forgotten_and_comes_again_gives_no_id_twice() {
    let mut engine = engine();
    let mut ids = Vec::new();
    let mut take = |engine: &mut Engine, source: Source, hours: i64, more: &str| {
        let verdicts = said(engine, source, hour(hours), &mut usize::MAX.clone(), more);
        ids.extend(verdicts.iter().map(|verdict| {
            let headers = record::encode(verdict, "/barometer/test").headers;
            let (_, id) = headers.iter().find(|(name, _)| *name == "ce_id").expect("an id");
            (verdict.sequence, id.clone())
        }));
    };
    take(&mut engine, Source::Usage, 0, r#""feature":"f""#);
    take(&mut engine, Source::Profile, 1, r#""forget":true"#);
    take(&mut engine, Source::Usage, 2, r#""feature":"f""#);
    // It goes on under the same ids after a restore.
    let slot = engine.find("acme").expect("it is known again");
    let bytes = snapshot::seal(b"acme", &engine.keep(slot, &Stamp::default(), false));
    let mut engine = self::engine();
    let kept = KeptAccount::open(b"acme", &bytes).expect("as it was written");
    engine.put_back("acme", kept).expect("as it was written");
    engine.thaw(hour(2), hour(2), EventTime::MIN);
    take(&mut engine, Source::Usage, 60, r#""feature":"f""#);
    let id = |began: i64, sequence: u64| {
        (sequence, format!("acme:{}:{sequence}", hour(began).as_millis()))
    };
    assert_eq!(ids[..2], [id(0, 1), id(2, 1)]);
    assert_eq!(ids[2..], [id(2, 2)], "red for its silence");
}

fn engine() -> Engine {
    let parsed = Scorecard::parse("card.yaml", CARD).expect("the test's card is a good one");
    Engine::new(Arc::new(parsed.scorecard), EventTime::MIN)
}

/// What is said of `acme` by an event with `more` fields, and by what was due before it.
fn said(
    engine: &mut Engine,
    source: Source,
    at: EventTime,
    looks: &mut usize,
    more: &str,
) -> Vec<Verdict> {
    let body = format!(r#"{{"event_id":"{at}","account_id":"acme","occurred_at":"{at}",{more}}}"#,);
    let (key, value) = (Some(&b"acme"[..]), Some(body.as_bytes()));
    let event = decode(source, key, value, at, &DecodeLimits::default());
    engine.advance_within(at, looks);
    engine.handle_event(&event.expect("a good event"));
    std::iter::from_fn(|| engine.poll_verdict()).collect()
}

#[test]
fn a_crash_amid_a_burst_of_deadlines_leaves_no_account_without_its_report() {
    let mut bench = bench(TaskTime::Wall);
    bench.fleet(2_500);
    let mut written = bench.write_all();
    // Every score falls, and no band yet: that takes another hour.
    bench.work(hour(48));
    let first = bench.commit(hour(48));
    written.extend_from_slice(&first);
    bench.crash(&written);
    let mut reported: BTreeSet<Vec<u8>> = BTreeSet::new();
    let mut outputs = first;
    while !outputs.is_empty() {
        let scores = outputs.iter().filter(|record| record.topic == OutputTopic::Scores);
        reported.extend(scores.map(|record| record.key.clone().unwrap()));
        outputs = if bench.task.is_dirty() { bench.commit(hour(48)) } else { Vec::new() };
    }
    assert_eq!(reported.len(), 2_500);
}

#[test]
fn a_crash_loses_no_report_that_waited_for_what_time_alone_had_changed() {
    let reports = |outputs: &[OutputRecord]| {
        outputs.iter().filter(|record| record.topic == OutputTopic::Scores).count()
    };
    let mut bench = bench(TaskTime::Wall);
    bench.fleet(1);
    for source in SOURCES {
        bench.reach_end(source, hour(0));
    }
    bench.work(hour(0));
    bench.task.write_all();
    let mut written = bench.commit(hour(24) - Span::SECOND * 30);
    assert_eq!(reports(&written), 1);
    // A quiet day more, which decides nothing, and the last report was half a minute ago.
    bench.work(hour(24));
    let held_back = bench.commit(hour(24));
    assert_eq!(reports(&held_back), 0);
    written.extend(held_back);
    bench.crash(&written);
    assert!(bench.task.is_dirty(), "there is something to say");
    assert_eq!(reports(&bench.commit(hour(24))), 1);
}

#[test]
fn an_event_after_a_restore_does_not_wait_for_all_accounts() {
    let mut bench = bench(TaskTime::Wall);
    bench.fleet(300);
    let written = bench.write_all();
    bench.crash_to_sleep(&written, &[]);
    assert_eq!((bench.task.account_count(), bench.task.engine().account_count()), (300, 0));
    let event = bench.usage("a7", hour(50));
    bench.fetch(Source::Usage, &[event], hour(50));
    for source in SOURCES {
        bench.reach_end(source, hour(50));
    }
    assert_eq!(bench.work(hour(50)), 1);
    assert_eq!(bench.task.engine().account_count(), 1);
    assert_eq!(bench.changes(), [change("a7", "green", "red", 49.0)], "what was due comes first");
    let mut woken = 0;
    while bench.task.is_waking() {
        bench.task.wake(10, hour(50)).expect("state as it was written");
        bench.work_with(hour(50), 10);
        woken += bench.task.drain_woken().count();
    }
    while bench.task.has_open_deadlines() {
        bench.work(hour(50));
    }
    // However late each of them woke up: all at the time it was due.
    let changes = bench.changes();
    let red: BTreeSet<&String> = changes.iter().map(|(account, ..)| account).collect();
    assert!(changes.iter().all(|(_, _, to, hours)| (to.as_str(), *hours) == ("red", 49.0)));
    assert_eq!((changes.len(), red.len(), woken), (300, 300, 300));
}

#[test]
fn a_record_that_no_account_can_be_made_of_is_named_when_its_account_is_woken() {
    let mut bench = bench(TaskTime::Wall);
    bench.fleet(3);
    let mut written = bench.write_all();
    let last = written.iter_mut().rfind(|record| record.key.as_deref() == Some(b"a1"));
    last.expect("it was written").value = Some(snapshot::seal(b"a1", &"no account"));
    bench.crash_to_sleep(&written, &[]);
    let event = bench.usage("a2", hour(1));
    bench.fetch(Source::Usage, &[event], hour(1));
    bench.work(hour(1));
    let error = bench.task.wake(10, hour(1)).expect_err("it is no account");
    let told = error.to_string();
    let place = "topic `test-changelog`, partition 0, offset 0, key `a1`: its bytes are damaged: ";
    assert!(told.starts_with(place), "{told}");
}
