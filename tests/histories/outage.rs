//! Histories in which a whole source falls silent: the same hour of every day brings many events of
//! it, until it does not.

use barometer::engine::event::Source;
use serde_json::json;

use super::genes::Genes;
use super::record::Arrival;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// On these days all is well, so that there is something to learn.
const LEARNING_DAYS: usize = 14;
/// Enough for one hour to show an outage.
const USUAL: usize = 33;

/// Puts the events of one source, a gene for each day, among `arrivals`.
pub fn add_fleet(arrivals: &mut Vec<Arrival>, climate: &[u8], days: &[u8]) {
    let mut genes = Genes::new(climate);
    let source = genes.of(&[
        Source::Usage,
        Source::Usage,
        Source::Usage,
        Source::Survey,
        Source::Payment,
        Source::Ticket,
    ]);
    let hour = genes.below(24) as i64;
    let accounts = 1 + genes.below(3);
    let spread = genes.of(&[30 * MINUTE_MS, 0, HOUR_MS - 1, 3 * HOUR_MS]);
    let first = arrivals.first().map_or(0, |arrival| arrival.record_time_ms);
    let start = first.div_euclid(DAY_MS) * DAY_MS + hour * HOUR_MS;
    let mut late = 0;
    for (day, gene) in days.iter().enumerate() {
        let begin = start + day as i64 * DAY_MS;
        let well = day < LEARNING_DAYS;
        let (count, backlog) = match gene % 10 {
            _ if well => (USUAL, false),
            0..=3 => (USUAL, false),
            4 | 5 => (0, false),
            6 => (0, true),
            // About a tenth, about a half, and a little more than usual.
            7 => (3 + usize::from(gene / 10 % 2), false),
            8 => (16 + usize::from(gene / 10 % 2), false),
            _ => (USUAL + 7, false),
        };
        for index in 0..count {
            let now = begin + spread * index as i64 / USUAL as i64;
            arrivals.push(event(source, now, now, day, index, accounts));
        }
        // What was held up comes with the next day's, but belongs where it occurred.
        for index in 0..late {
            let now = begin + 40 * MINUTE_MS;
            arrivals.push(event(source, now, now - DAY_MS, day, USUAL + 10 + index, accounts));
        }
        late = if backlog { USUAL } else { 0 };
    }
    arrivals.sort_by_key(|arrival| arrival.record_time_ms);
}

fn event(source: Source, now: i64, at: i64, day: usize, index: usize, accounts: usize) -> Arrival {
    let account_id = format!("account-{}", index % accounts);
    let name = index % 7;
    let mut body = json!({
        "account_id": account_id, "event_id": format!("fleet-{day}-{index}"), "occurred_at": at,
    });
    let fields = match source {
        Source::Usage => json!({"feature": "reports", "user_id": format!("user-{name}")}),
        Source::Ticket => {
            let status = ["opened", "resolved"][day % 2];
            json!({"ticket_id": format!("ticket-{index}"), "status": status})
        }
        Source::Payment => json!({
            "invoice_id": format!("invoice-{name}"), "status": (["failed", "reminded"][day % 2]),
            "amount_minor": 100, "currency": "EUR",
        }),
        Source::Survey | Source::Profile => {
            json!({"survey": "nps", "score": index % 11, "respondent_id": format!("r-{name}")})
        }
    };
    for (key, value) in fields.as_object().expect("fields are an object") {
        body[key] = value.clone();
    }
    Arrival { source, account_id, record_time_ms: now, body: Some(body) }
}
