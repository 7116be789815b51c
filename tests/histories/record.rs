//! Random records: late ones, early ones, repeats, and instants on the edges of panes.

use std::fmt;

use barometer::engine::event::Source;
use serde_json::{Map, Value, json};

use super::card::{ASSESSMENTS, CATEGORIES, FEATURES, PRIORITIES, ROLES, TIERS};
use super::genes::Genes;

/// How many bytes one record is made of.
pub const ARRIVAL_GENES: usize = 32;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// How far `occurred_at` may lie ahead of the record.
const SKEW_MS: i64 = 5 * MINUTE_MS;

/// One record as it arrives.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub source: Source,
    pub account_id: String,
    pub record_time_ms: i64,
    /// Nothing for a tombstone.
    pub body: Option<Value>,
}

impl Arrival {
    pub fn json(&self) -> Option<Vec<u8>> {
        self.body.as_ref().map(|body| body.to_string().into_bytes())
    }
}

impl fmt::Display for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = json!({
            "record_time": self.record_time_ms,
            "at": jiff::Timestamp::from_millisecond(self.record_time_ms).unwrap().to_string(),
            "source": self.source.name(),
            "key": self.account_id,
            "value": self.body,
        });
        write!(f, "{line}")
    }
}

/// What is the same for a whole history.
struct Climate {
    accounts: usize,
    /// The longest usual gap between two records.
    gap_max_ms: i64,
    sources: &'static [Source],
    /// How many users, tickets, invoices and respondents there are at most.
    names: usize,
    /// Share of records that come late.
    late_percent: usize,
    /// Share of surveys that are overrides.
    override_percent: usize,
}

/// A history in the order of arrival, with overrides among the answers or not.
pub fn history(climate: &[u8], arrivals: &[[u8; ARRIVAL_GENES]], overrides: bool) -> Vec<Arrival> {
    use Source::{Payment, Profile, Survey, Ticket, Usage};
    let mut genes = Genes::new(climate);
    let start = genes.of(&[
        1_767_571_200_000, // Monday, 2026-01-05, a midnight that begins a week
        1_709_078_400_000, // 2024-02-28, the day before a leap day
        86_400_000_000,
        1_740_812_399_999,
    ]);
    let climate = Climate {
        accounts: genes.of(&[1, 1, 2, 3]),
        gap_max_ms: genes.of(&[
            DAY_MS,
            HOUR_MS,
            5 * MINUTE_MS,
            6 * DAY_MS,
            6 * HOUR_MS,
            40 * DAY_MS,
        ]),
        sources: genes.of::<&[Source]>(&[
            &[Usage, Ticket, Payment, Survey, Profile],
            &[Usage, Usage, Usage, Usage, Ticket, Payment, Survey, Profile],
            &[Usage],
            &[Usage, Profile],
            &[Ticket, Ticket, Usage],
            &[Payment, Payment, Payment, Profile],
            &[Survey],
            &[Ticket, Payment],
        ]),
        names: genes.of(&[2, 4, 1, 16]),
        late_percent: genes.of(&[0, 20, 60]),
        override_percent: if overrides { 30 } else { 0 },
    };
    let mut past: Vec<Arrival> = Vec::new();
    let mut now = start + genes.wide() * 37;
    for bytes in arrivals {
        let mut genes = Genes::new(bytes);
        now = now.max(next_instant(now, past.last(), &climate, &mut genes));
        let arrival = one(now, &past, &climate, &mut genes);
        past.push(arrival);
    }
    past
}

/// When the next record comes.
fn next_instant(now: i64, last: Option<&Arrival>, climate: &Climate, genes: &mut Genes) -> i64 {
    let (how, amount) = (genes.below(16), genes.wide());
    match how {
        0..=2 => now,
        3 => now + amount % 1_000,
        4 => now + amount * 10,
        // On, just before or just after the edge of a pane.
        5..=7 => {
            let unit = [DAY_MS, HOUR_MS, 6 * HOUR_MS, 7 * DAY_MS][amount as usize % 4];
            (now.div_euclid(unit) + 1) * unit + amount / 4 % 3 - 1
        }
        // On an instant that follows from the last record: its due date, or a time after it.
        8 => {
            let field = |name: &str| last?.body.as_ref()?[name].as_i64();
            field("due_at").or_else(|| field("renewal_at")).unwrap_or(now + DAY_MS)
        }
        9 => {
            let occurred = last.and_then(|last| last.body.as_ref()?["occurred_at"].as_i64());
            let spans = [DAY_MS, HOUR_MS, 14 * DAY_MS, 5 * DAY_MS, 30 * DAY_MS, 90 * DAY_MS];
            occurred.unwrap_or(now) + spans[amount as usize % 6] + amount / 6 % 2
        }
        _ => now + climate.gap_max_ms * amount / 65_536,
    }
}

/// When what arrives at `now` happened.
fn occurred_at(now: i64, climate: &Climate, genes: &mut Genes) -> i64 {
    let (late, how, amount) = (genes.chance(climate.late_percent), genes.byte(), genes.wide());
    let spread = |most: i64| most * amount / 65_536;
    let at = if late {
        match how % 5 {
            0 => now - spread(2 * HOUR_MS),
            1 => now - spread(3 * DAY_MS),
            2 => now - spread(40 * DAY_MS),
            3 => now - spread(400 * DAY_MS),
            _ => (now - spread(30 * DAY_MS)).div_euclid(DAY_MS) * DAY_MS + amount % 3 - 1,
        }
    } else {
        match how % 8 {
            // Clocks differ: ahead of the record, over the edge of a pane when there is one near.
            1 => now + spread(SKEW_MS),
            2 => {
                let edge = (now.div_euclid(HOUR_MS) + 1) * HOUR_MS;
                if edge - now <= SKEW_MS { edge } else { now + SKEW_MS }
            }
            3 => now.div_euclid(HOUR_MS) * HOUR_MS,
            4 => now - spread(5 * MINUTE_MS),
            _ => now,
        }
    };
    at.clamp(0, now + SKEW_MS)
}

fn one(now: i64, past: &[Arrival], climate: &Climate, genes: &mut Genes) -> Arrival {
    let (kind, back) = (genes.byte(), genes.byte());
    let earlier = past.len().checked_sub(1 + back % 80).map(|index| &past[index]);
    match earlier {
        // The very same record once more; beyond 32 others of its source it counts again.
        Some(earlier) if kind >= 235 => Arrival { record_time_ms: now, ..earlier.clone() },
        Some(earlier) if kind >= 215 => twin(now, past.len(), earlier, genes),
        // A known id on something else: not believed while the id is held.
        Some(Arrival { body: Some(body), source, account_id, .. }) if kind >= 210 => {
            let mut arrival = fresh(now, past.len(), climate, genes);
            let same_stream = arrival.source == *source && arrival.account_id == *account_id;
            if let Some(fresh) = arrival.body.as_mut().filter(|_| same_stream) {
                fresh["event_id"] = body["event_id"].clone();
            }
            arrival
        }
        _ => fresh(now, past.len(), climate, genes),
    }
}

/// The same thing said by another event: another id, perhaps other details.
fn twin(now: i64, index: usize, earlier: &Arrival, genes: &mut Genes) -> Arrival {
    let mut arrival = Arrival { record_time_ms: now, ..earlier.clone() };
    let Some(body) = &mut arrival.body else { return arrival };
    // Ids of either order: which of the two is kept must not depend on which came first.
    body["event_id"] = json!(format!("{}-twin-{index}", genes.of(&["a", "z"])));
    match arrival.source {
        Source::Usage | Source::Profile => {}
        Source::Ticket => {
            body["priority"] = json!(genes.of(&PRIORITIES));
            body["category"] = json!(genes.of(&CATEGORIES));
        }
        Source::Payment => {
            body["amount_minor"] = json!(genes.wide());
            body["currency"] = json!(genes.of(&["EUR", "USD"]));
            if body["status"] == "issued" {
                let at = body["occurred_at"].as_i64().expect("instants are numbers here");
                body["due_at"] = json!(due_at(at, genes));
            }
        }
        Source::Survey => {
            body["role"] = json!(genes.of(&ROLES));
            if body["survey"] == "nps" {
                body["score"] = json!(genes.below(11));
            }
        }
    }
    arrival
}

fn fresh(now: i64, index: usize, climate: &Climate, genes: &mut Genes) -> Arrival {
    let source = genes.of(climate.sources);
    let account_id = format!("account-{}", genes.below(climate.accounts));
    let at = occurred_at(now, climate, genes);
    if source == Source::Profile && genes.chance(15) {
        return Arrival { source, account_id, record_time_ms: now, body: None };
    }
    let mut body = Map::new();
    body.insert("event_id".into(), json!(format!("{}{index}", genes.of(&["e", "b", "x"]))));
    body.insert("account_id".into(), json!(account_id));
    body.insert("occurred_at".into(), json!(at));
    match source {
        Source::Usage => usage(&mut body, climate, genes),
        Source::Ticket => ticket(&mut body, climate, genes),
        Source::Payment => payment(&mut body, at, climate, genes),
        Source::Survey if genes.chance(climate.override_percent) => {
            claim(&mut body, now, at, genes);
        }
        Source::Survey => survey(&mut body, climate, genes),
        Source::Profile => profile(&mut body, at, genes),
    }
    Arrival { source, account_id, record_time_ms: now, body: Some(Value::Object(body)) }
}

fn usage(body: &mut Map<String, Value>, climate: &Climate, genes: &mut Genes) {
    body.insert("feature".into(), json!(genes.of(&FEATURES)));
    if !genes.chance(15) {
        body.insert("user_id".into(), json!(format!("user-{}", genes.below(climate.names))));
    }
    match genes.below(6) {
        0..=2 => {}
        3 => drop(body.insert("quantity".into(), json!(genes.below(9)))),
        4 => drop(body.insert("quantity".into(), json!(genes.wide() as f64 / 10_000.0))),
        _ => drop(body.insert("quantity".into(), Value::Null)),
    }
}

fn ticket(body: &mut Map<String, Value>, climate: &Climate, genes: &mut Genes) {
    let statuses =
        ["opened", "resolved", "opened", "reopened", "closed", "escalated", "pending", "resolved"];
    body.insert("ticket_id".into(), json!(format!("ticket-{}", genes.below(climate.names))));
    body.insert("status".into(), json!(genes.of(&statuses)));
    if genes.chance(50) {
        body.insert("priority".into(), json!(genes.of(&PRIORITIES)));
    }
    if genes.chance(50) {
        body.insert("category".into(), json!(genes.of(&CATEGORIES)));
    }
}

fn payment(body: &mut Map<String, Value>, at: i64, climate: &Climate, genes: &mut Genes) {
    let statuses = [
        "issued", "paid", "issued", "paid", "failed", "reminded", "refunded", "disputed", "voided",
    ];
    let status = genes.of(&statuses);
    body.insert("invoice_id".into(), json!(format!("invoice-{}", genes.below(climate.names))));
    body.insert("status".into(), json!(status));
    body.insert("amount_minor".into(), json!(genes.of(&[1_000, 2_500, 0, 9_999])));
    body.insert("currency".into(), json!(genes.of(&["EUR", "EUR", "EUR", "USD"])));
    if status == "issued" || genes.chance(10) {
        body.insert("due_at".into(), json!(due_at(at, genes)));
    }
}

fn due_at(at: i64, genes: &mut Genes) -> i64 {
    let days = genes.of(&[10, 0, 1, 30, -2, 60, 5]);
    let due_at = at + days * DAY_MS;
    // On a midnight, the edge of most panes, every other time.
    (if genes.chance(50) { due_at.div_euclid(DAY_MS) * DAY_MS } else { due_at }).max(0)
}

fn survey(body: &mut Map<String, Value>, climate: &Climate, genes: &mut Genes) {
    let steps = genes.below(21) as i64;
    let (survey, score) = match genes.below(6) {
        0 | 1 => ("nps", json!(steps % 11)),
        2 => ("csat", json!(1.0 + 0.2 * steps as f64)),
        3 => ("ces", json!(1 + steps % 7)),
        _ => {
            let survey = genes.of(&ASSESSMENTS);
            if genes.chance(40) {
                body.insert("scale_min".into(), json!(-1));
                body.insert("scale_max".into(), json!(2.5));
                (survey, json!(steps as f64 * 0.175 - 1.0))
            } else {
                (survey, json!(steps * 5))
            }
        }
    };
    body.insert("survey".into(), json!(survey));
    body.insert("score".into(), score);
    if !genes.chance(20) {
        let respondent = format!("respondent-{}", genes.below(climate.names));
        body.insert("respondent_id".into(), json!(respondent));
    }
    if genes.chance(60) {
        body.insert("role".into(), json!(genes.of(&ROLES)));
    }
}

/// An override, or its withdrawal; some are over when they come.
fn claim(body: &mut Map<String, Value>, now: i64, at: i64, genes: &mut Genes) {
    body.insert("override".into(), json!(true));
    body.insert("author".into(), json!(genes.of(&["ann", "bob"])));
    body.insert("reason".into(), json!("because"));
    let band = |name: &str| ("band".into(), json!(name));
    let (key, value) = match genes.below(8) {
        0 => band("best"),
        1 => band("b0"),
        2 => band("b1"),
        3 => band("b3"),
        4..=6 => ("score".into(), json!(genes.below(41) as f64 * 2.5)),
        _ => ("cancel".into(), json!(true)),
    };
    if key != "cancel" {
        let spans = [DAY_MS, HOUR_MS, 10 * DAY_MS, 1, 30 * DAY_MS, 90 * 60_000];
        let end = (if genes.chance(30) { at } else { now }) + genes.of(&spans);
        body.insert("expires_at".into(), json!(end.max(at + 1)));
    }
    body.insert(key, value);
}

fn profile(body: &mut Map<String, Value>, at: i64, genes: &mut Genes) {
    let mut maybe = |field: &str, value: Value, left_out: bool| {
        if !left_out {
            body.insert(field.into(), value);
        }
    };
    maybe("seats", json!(genes.of(&[5, 3, 10, 0])), genes.chance(25));
    maybe("tier", json!(genes.of(&TIERS)), genes.chance(25));
    maybe("currency", json!(genes.of(&["EUR", "USD"])), genes.chance(60));
    let days = |genes: &mut Genes, first: i64| (genes.wide() % 500 + first) * DAY_MS;
    maybe("started_at", json!((at + days(genes, -460)).max(0)), genes.chance(40));
    maybe("renewal_at", json!((at + days(genes, -50)).max(0)), genes.chance(40));
    maybe("recovery_path", json!(genes.chance(50)), genes.chance(50));
    maybe("status", json!(genes.of(&["active", "trial", "churned"])), genes.chance(50));
    maybe("tags", json!(genes.some_of(&["vip", "pilot", "west"])), genes.chance(50));
}

/// Makes everything arrive at the last instant, each event id meaning one event only.
pub fn gather(arrivals: &mut Vec<Arrival>) {
    let last = arrivals.iter().map(|arrival| arrival.record_time_ms).max().unwrap_or(0);
    let mut held = std::collections::HashMap::<(Source, String, String), usize>::new();
    let mut ids = std::collections::HashMap::<(Source, String), usize>::new();
    let mut kept: Vec<Arrival> = Vec::new();
    for arrival in arrivals.drain(..) {
        let Some(body) = arrival.body.clone().filter(|_| arrival.source != Source::Profile) else {
            continue;
        };
        let owner = (arrival.source, arrival.account_id.clone());
        let id = (arrival.source, arrival.account_id.clone(), body["event_id"].to_string());
        match held.get(&id) {
            Some(known) if kept[*known].body != arrival.body => continue,
            Some(_) => {}
            None if *ids.entry(owner.clone()).or_default() >= 32 => continue,
            None => {
                *ids.entry(owner).or_default() += 1;
                held.insert(id, kept.len());
            }
        }
        kept.push(Arrival { record_time_ms: last, ..arrival });
    }
    *arrivals = kept;
}
