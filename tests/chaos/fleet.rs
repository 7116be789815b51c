//! A small fleet that is always busy: seeded records of all five sources, among them late ones,
//! repeats and some that are no good.
//!
//! Every band, alert and override of [`CARD`] comes and goes within hours of record time, so that
//! there is always something half decided when a process dies.

use std::collections::BTreeSet;

use barometer::engine::event::Source;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::support::service::now_millis;

const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// Enough to have some in each partition.
pub const ACCOUNTS: usize = 120;
/// How long an account stays in one mood.
const MOOD_MS: i64 = 36 * HOUR_MS;
/// Longest mean wait between two records of a run that lives in record time.
const GAP_MAX_MS: i64 = 14 * SECOND_MS;
/// How many records of each source are written in one go, in the order of [`Source::ALL`].
const BATCH: [usize; 5] = [24, 6, 6, 8, 2];
/// Records of each source that may come once more.
const REMEMBERED: usize = 200;

/// Judges by all five sources. Where records drive the clock an hour passes in about a second.
pub const CARD: &str = "
scorecard: chaos
dimensions:
  - id: product_use
    weight: 40
    measures:
      - { id: active_users, measure: usage.active_users, window: 1d, weight: 2, curve: { linear: { from: 0, to: 8 } } }
      - { id: events, measure: usage.events, window: 12h, weight: 1, curve: { linear: { from: 0, to: 30 } } }
      - { id: trend, measure: usage.trend, window: 1d, baseline: 3d, weight: 0,
          curve: { piecewise: [[0.2, 0], [1.0, 100]] } }
      - { id: days_since_last, measure: usage.days_since_last, weight: 1, curve: { linear: { from: 2, to: 0 } } }
  - id: support
    weight: 20
    measures:
      - { id: open_tickets, measure: support.open, weight: 1, curve: { linear: { from: 8, to: 0 } } }
      - { id: escalated, measure: support.escalated, window: 1d, weight: 1, curve: { linear: { from: 3, to: 0 } } }
  - id: payment
    weight: 20
    measures:
      - { id: overdue_days, measure: payment.overdue_days, weight: 2, curve: { linear: { from: 4, to: 0 } } }
      - { id: failed, measure: payment.failed, window: 2d, weight: 1, curve: { linear: { from: 4, to: 0 } } }
  - id: survey
    weight: 20
    measures:
      - { id: mood, measure: survey.assessment, surveys: [mood], window: 2d, weight: 2,
          curve: { linear: { from: 0, to: 100 } } }
      - { id: nps, measure: survey.nps, window: 3d, weight: 1, curve: { linear: { from: -100, to: 100 } } }
gates:
  - { id: overdue_cap, cap: 45, when: { measure: overdue_days, at_least: 3 }, reason: an invoice is three days overdue }
bands:
  - { name: red, up_to: 50 }
  - { name: yellow, up_to: 65 }
  - { name: green, up_to: 100 }
anti_flap: { margin: 1, dwell: { worse: 5m, better: 30m }, bypass_drop: 25 }
min_coverage: 0.3
alerts:
  - { id: sharp_drop, score_drop: { points: { warning: 15, critical: 25 }, within: 1d }, cooldown: 2h }
  - { id: gone_quiet, silence: { for: { warning: 6h, critical: 12h } } }
  - { id: in_red, band_entered: red, hold: 2h, cooldown: 6h, severity: warning }
  - { id: unpaid, measure: overdue_days, at_least: { warning: 1, critical: 2 } }
";

/// The same where the wall clock counts: nothing waits longer than seconds.
pub fn card_of_seconds() -> String {
    CARD.replace("worse: 5m, better: 30m", "worse: 1s, better: 3s")
        .replace("cooldown: 2h", "cooldown: 2s")
        .replace("hold: 2h, cooldown: 6h", "hold: 2s, cooldown: 5s")
}

/// What the record times are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// Their own: an hour in about a second.
    Records,
    /// The wall clock's.
    Wall,
}

/// One record, ready to be written.
#[derive(Clone, Debug)]
pub struct FleetRecord {
    pub source: Source,
    pub account_id: String,
    pub time_ms: i64,
    /// Nothing for a tombstone.
    pub body: Option<String>,
}

/// Where the records come from.
pub struct Fleet {
    dice: ChaCha8Rng,
    time: Time,
    now_ms: i64,
    /// Numbers of events, tickets and invoices.
    count: u64,
    tickets: Vec<(usize, u64)>,
    invoices: Vec<(usize, u64)>,
    /// By source, what was written last.
    past: [Vec<FleetRecord>; 5],
}

impl Fleet {
    pub fn new(seed: u64, time: Time) -> Fleet {
        // 2026-03-02T00:00:00Z.
        let now_ms = 1_772_409_600_000;
        Fleet {
            dice: ChaCha8Rng::seed_from_u64(seed),
            time,
            now_ms,
            count: 0,
            tickets: Vec::new(),
            invoices: Vec::new(),
            past: Default::default(),
        }
    }

    /// The next records of one source, each later than everything before it.
    pub fn next(&mut self, source: Source) -> Vec<FleetRecord> {
        (0..BATCH[source as usize]).map(|_| self.record(source)).collect()
    }

    /// A last event of every account: after it nothing is due that no report has shown.
    pub fn last(&mut self) -> Vec<FleetRecord> {
        let all = 0..ACCOUNTS;
        all.map(|account| {
            self.tick();
            self.finish(Source::Usage, account, |event| event["feature"] = json!("farewell"))
        })
        .collect()
    }

    fn record(&mut self, source: Source) -> FleetRecord {
        self.tick();
        let account = self.dice.random_range(0..ACCOUNTS);
        if let Some(bad_or_old) = self.odd(source, account) {
            return bad_or_old;
        }
        let record = match source {
            Source::Usage => self.usage(account),
            Source::Ticket => self.ticket(account),
            Source::Payment => self.payment(account),
            Source::Survey => self.survey(account),
            Source::Profile => self.profile(account),
        };
        let past = &mut self.past[source as usize];
        match past.len() < REMEMBERED {
            true => past.push(record.clone()),
            false => past[self.dice.random_range(0..REMEMBERED)] = record.clone(),
        }
        record
    }

    fn tick(&mut self) {
        self.now_ms = match self.time {
            Time::Records => self.now_ms + self.dice.random_range(1..GAP_MAX_MS),
            Time::Wall => self.now_ms.max(now_millis()),
        };
    }

    /// Now and then something that is no good, or that has come before.
    fn odd(&mut self, source: Source, account: usize) -> Option<FleetRecord> {
        match self.dice.random_range(0..100) {
            0 => Some(FleetRecord {
                source,
                account_id: account_id(account),
                time_ms: self.now_ms,
                body: Some(format!("{{ no record: {}", self.count)),
            }),
            // Profiles are no events: the latest record counts, not the first.
            1 | 2 if source != Source::Profile && !self.past[source as usize].is_empty() => {
                let past = &self.past[source as usize];
                let mut again = past[self.dice.random_range(0..past.len())].clone();
                again.time_ms = self.now_ms;
                Some(again)
            }
            _ => None,
        }
    }

    /// Whether the account is in a good mood at this time; one in four is silent as well.
    fn mood(&self, account: usize) -> (bool, bool) {
        let stretch = (self.now_ms + account as i64 * HOUR_MS) / MOOD_MS;
        let hash = (stretch as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (account as u64 * 7_919);
        let hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93) >> 32;
        (hash.is_multiple_of(2), hash.is_multiple_of(4))
    }

    fn usage(&mut self, mut account: usize) -> FleetRecord {
        // The silent are silent: somebody else is at work.
        for _ in 0..8 {
            if !self.mood(account).1 {
                break;
            }
            account = self.dice.random_range(0..ACCOUNTS);
        }
        let users = if self.mood(account).0 { 9 } else { 2 };
        let user = self.dice.random_range(0..users);
        let feature = ["reports", "exports", "search", "api"][self.dice.random_range(0..4)];
        self.finish(Source::Usage, account, |event| {
            event["user_id"] = json!(format!("user-{user}"));
            event["feature"] = json!(feature);
        })
    }

    fn ticket(&mut self, account: usize) -> FleetRecord {
        let is_new = self.tickets.is_empty() || self.dice.random_bool(0.4);
        let (account, ticket, status) = if is_new {
            self.tickets.push((account, self.count));
            (account, self.count, "opened")
        } else {
            let place = self.dice.random_range(0..self.tickets.len());
            let (account, ticket) = self.tickets[place];
            let status = ["escalated", "resolved", "resolved", "closed", "reopened"]
                [self.dice.random_range(0..5)];
            if status == "closed" || self.tickets.len() > 4 * ACCOUNTS {
                self.tickets.swap_remove(place);
            }
            (account, ticket, status)
        };
        self.finish(Source::Ticket, account, |event| {
            event["ticket_id"] = json!(format!("T-{ticket}"));
            event["status"] = json!(status);
        })
    }

    fn payment(&mut self, account: usize) -> FleetRecord {
        let is_new = self.invoices.is_empty() || self.dice.random_bool(0.3);
        let due_at = self.now_ms + 12 * HOUR_MS;
        let (account, invoice, status) = if is_new {
            self.invoices.push((account, self.count));
            (account, self.count, "issued")
        } else {
            let place = self.dice.random_range(0..self.invoices.len());
            let (account, invoice) = self.invoices[place];
            let status = ["paid", "paid", "failed", "reminded"][self.dice.random_range(0..4)];
            if status == "paid" || self.invoices.len() > 4 * ACCOUNTS {
                self.invoices.swap_remove(place);
            }
            (account, invoice, status)
        };
        self.finish(Source::Payment, account, |event| {
            event["invoice_id"] = json!(format!("I-{invoice}"));
            event["status"] = json!(status);
            event["amount_minor"] = json!(1_000 + invoice % 977);
            event["currency"] = json!("EUR");
            if status == "issued" {
                event["due_at"] = json!(due_at);
            }
        })
    }

    fn survey(&mut self, account: usize) -> FleetRecord {
        let (good, _) = self.mood(account);
        let score = self.dice.random_range(0..5) + if good { 6 } else { 1 };
        let respondent = self.dice.random_range(0..3);
        let expires_at = self.now_ms + 3 * HOUR_MS;
        let kind = self.dice.random_range(0..100);
        self.finish(Source::Survey, account, |event| match kind {
            0..2 => {
                event["override"] = json!(true);
                event["band"] = json!(["red", "green"][kind]);
                event["author"] = json!("dana");
                event["reason"] = json!("a word with the sponsor");
                event["expires_at"] = json!(instant(expires_at));
            }
            2..4 => event["feedback"] = json!("acknowledged"),
            _ => {
                let nps = kind % 3 == 0;
                event["survey"] = json!(if nps { "nps" } else { "mood" });
                event["score"] = json!(if nps { score } else { 10 * score });
                event["respondent_id"] = json!(format!("person-{respondent}"));
            }
        })
    }

    fn profile(&mut self, account: usize) -> FleetRecord {
        if self.dice.random_bool(0.1) {
            self.count += 1;
            let time_ms = self.now_ms;
            let account_id = account_id(account);
            return FleetRecord { source: Source::Profile, account_id, time_ms, body: None };
        }
        let seats = self.dice.random_range(5..50);
        self.finish(Source::Profile, account, |event| {
            event["name"] = json!(format!("Account {account}"));
            event["owner"] = json!(["dana", "kim"][account % 2]);
            event["seats"] = json!(seats);
        })
    }

    fn finish(
        &mut self,
        source: Source,
        account: usize,
        fill: impl FnOnce(&mut Value),
    ) -> FleetRecord {
        self.count += 1;
        // Some have been on their way for hours.
        let late_ms = match self.dice.random_range(0..20) {
            0 => self.dice.random_range(0..6 * HOUR_MS),
            _ => 0,
        };
        let account_id = account_id(account);
        let mut event = json!({
            "event_id": format!("e-{}", self.count),
            "account_id": account_id,
            "occurred_at": self.now_ms - late_ms,
        });
        fill(&mut event);
        FleetRecord { source, account_id, time_ms: self.now_ms, body: Some(event.to_string()) }
    }
}

/// So many of the accounts.
pub fn some_accounts(count: usize) -> BTreeSet<String> {
    (0..ACCOUNTS).step_by(ACCOUNTS.div_ceil(count)).map(account_id).collect()
}

fn account_id(account: usize) -> String {
    format!("account-{account:03}")
}

fn instant(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis).expect("an instant of the tests").to_string()
}
