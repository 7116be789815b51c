//! Made-up traffic for the benches: the same on every run, cheap to hold, ever moving forward.
//!
//! A [`Batch`] keeps the strings of its events in one text, in the order of the stream, so that
//! reading them costs about what reading records out of a fetch buffer does. Nothing here is
//! meant to look like customers; it has their proportions only.

#![allow(dead_code, reason = "each bench compiles all of this and uses its part")]

use std::borrow::Cow;
use std::fmt::Write;
use std::ops::Range;

use barometer::engine::event::{
    Body, Currency, Event, Payment, PaymentStatus, Source, Survey, Ticket, TicketStatus, Usage,
};
use barometer::engine::time::{EventTime, Span};

/// Days of history an account starts with.
const HISTORY_DAYS: i64 = 28;
/// Usage events in it: more than the ids that are remembered, and at least one every day.
const HISTORY_USAGE_EVENTS: i64 = 40;
/// Events an account has in a day, on average: what time does while events go by.
const EVENTS_PER_ACCOUNT_AND_DAY: i64 = 10;
/// Events that are no usage, in a thousand.
const SPARSE_PER_MILLE: u64 = 20;
/// Users of an account.
const USERS: u64 = 10;
/// Features of the product.
const FEATURES: [&str; 4] = ["reports.export", "board.open", "search", "invite.send"];
/// Noon of a day in 2026.
const START: EventTime = EventTime::from_millis(1_772_366_400_000);
/// What an account's people and its accounting do, over and over.
const SPARSE: [What; 7] = [
    What::Ticket(TicketStatus::Opened),
    What::Ticket(TicketStatus::Pending),
    What::Ticket(TicketStatus::Resolved),
    What::Payment(PaymentStatus::Issued),
    What::Payment(PaymentStatus::Paid),
    What::Survey("nps", 9_000, 0, 10_000),
    What::Survey("csat", 4_000, 1_000, 5_000),
];

/// Which accounts the events fall on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// All alike.
    Uniform,
    /// The k-th busiest account has a k-th of the usage of the busiest. Tickets, payments and
    /// answers fall on all alike even so: people make them, not programs.
    Zipf,
}

impl Spread {
    /// Every variant with its name in the results.
    pub const NAMES: [(&'static str, Spread); 2] =
        [("uniform", Spread::Uniform), ("zipf", Spread::Zipf)];
}

/// A stream of events of `accounts` accounts.
pub struct Traffic {
    accounts: u64,
    random: Random,
    /// Events so far: makes their ids.
    sequence: u64,
    /// Events since `START`, which set the time.
    events: i64,
    /// Sparse events so far of each account.
    sparse: Vec<u32>,
}

/// Some events in the order of the stream.
#[derive(Default)]
pub struct Batch {
    text: String,
    entries: Vec<Entry>,
}

/// One event; its strings follow one another in the batch's text from `start` on.
#[derive(Clone, Copy)]
struct Entry {
    start: u32,
    event_id_len: u8,
    account_id_len: u8,
    /// User, ticket, invoice or respondent.
    who_len: u8,
    feature_len: u8,
    what: What,
    time: EventTime,
    occurred_at: EventTime,
}

#[derive(Clone, Copy)]
enum What {
    Usage,
    Ticket(TicketStatus),
    Payment(PaymentStatus),
    /// Survey, answer and scale in thousandths.
    Survey(&'static str, i64, i64, i64),
}

impl Traffic {
    /// A stream that has not begun.
    pub fn new(accounts: u32) -> Traffic {
        Traffic {
            accounts: u64::from(accounts),
            random: Random(0x5EED),
            sequence: 0,
            events: 0,
            sparse: vec![0; accounts as usize],
        }
    }

    /// The past of the `index`-th account, as learnt of at the start: ten users and four features
    /// over four weeks, a ticket with three statuses, a paid invoice and two answers.
    pub fn history(&mut self, index: u32, into: &mut Batch) {
        for nth in 0..HISTORY_USAGE_EVENTS {
            let ago = Span::from_millis(
                Span::days(HISTORY_DAYS).as_millis() * (HISTORY_USAGE_EVENTS - nth)
                    / (HISTORY_USAGE_EVENTS + 1),
            );
            self.add(u64::from(index), What::Usage, nth as u64, START - ago, START, into);
        }
        for nth in 0..SPARSE.len() as i64 {
            let ago = Span::days(2 * (SPARSE.len() as i64 - nth));
            self.add_sparse(u64::from(index), START - ago, START, into);
        }
    }

    /// The next `events` events.
    pub fn fill(&mut self, into: &mut Batch, events: usize, spread: Spread) {
        into.clear();
        for _ in 0..events {
            let time = self.now();
            self.events += 1;
            let occurred_at = time - Span::from_millis(self.random.below(60_000) as i64);
            let anybody = self.random.below(self.accounts);
            if self.random.below(1_000) < SPARSE_PER_MILLE {
                self.add_sparse(anybody, occurred_at, time, into);
            } else {
                let account = match spread {
                    Spread::Uniform => anybody,
                    Spread::Zipf => self.random.zipf(self.accounts),
                };
                let detail = self.random.below(USERS * FEATURES.len() as u64);
                self.add(account, What::Usage, detail, occurred_at, time, into);
            }
        }
    }

    /// The time of the next event.
    pub fn now(&self) -> EventTime {
        let per_day = EVENTS_PER_ACCOUNT_AND_DAY * self.accounts as i64;
        START + Span::from_millis(self.events * Span::DAY.as_millis() / per_day)
    }

    fn add_sparse(
        &mut self,
        account: u64,
        occurred_at: EventTime,
        time: EventTime,
        into: &mut Batch,
    ) {
        let nth = self.sparse[account as usize];
        self.sparse[account as usize] += 1;
        let (round, step) = (u64::from(nth) / SPARSE.len() as u64, nth as usize % SPARSE.len());
        self.add(account, SPARSE[step], round, occurred_at, time, into);
    }

    fn add(
        &mut self,
        account: u64,
        what: What,
        detail: u64,
        occurred_at: EventTime,
        time: EventTime,
        into: &mut Batch,
    ) {
        let start = into.text.len();
        let mut ends = [0; 4];
        let text = &mut into.text;
        write!(text, "01JQ8Z3V9T{:016X}", self.sequence).expect("strings take all");
        ends[0] = text.len();
        write!(text, "acct-{account:07}").expect("strings take all");
        ends[1] = text.len();
        let (users, features) = (USERS, FEATURES.len() as u64);
        match what {
            What::Usage => write!(text, "user-{:06}", detail % users),
            What::Ticket(_) => write!(text, "T-{detail:05}"),
            What::Payment(_) => write!(text, "INV-2026-{detail:04}"),
            What::Survey(..) => write!(text, "user-{:06}", detail % users),
        }
        .expect("strings take all");
        ends[2] = text.len();
        text.push_str(FEATURES[(detail / users % features) as usize]);
        ends[3] = text.len();
        self.sequence += 1;
        into.entries.push(Entry {
            start: u32::try_from(start).expect("a batch is smaller than 4 GiB"),
            event_id_len: (ends[0] - start) as u8,
            account_id_len: (ends[1] - ends[0]) as u8,
            who_len: (ends[2] - ends[1]) as u8,
            feature_len: (ends[3] - ends[2]) as u8,
            what,
            time,
            occurred_at,
        });
    }
}

impl Batch {
    /// Forgets all events and keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.entries.clear();
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Every event with the time at which it is learnt of.
    pub fn events(&self) -> impl Iterator<Item = (EventTime, Event<'_>)> {
        self.events_in(0..self.len())
    }

    /// The same of a part of the batch.
    pub fn events_in(&self, part: Range<usize>) -> impl Iterator<Item = (EventTime, Event<'_>)> {
        self.entries[part].iter().map(|entry| (entry.time, self.event(entry)))
    }

    /// The accounts of a part of the batch's events.
    pub fn account_ids_in(&self, part: Range<usize>) -> impl Iterator<Item = &[u8]> {
        self.entries[part].iter().map(|entry| {
            let start = entry.start as usize + usize::from(entry.event_id_len);
            &self.text.as_bytes()[start..start + usize::from(entry.account_id_len)]
        })
    }

    fn event(&self, entry: &Entry) -> Event<'_> {
        let mut rest = &self.text[entry.start as usize..];
        let mut next = |len: u8| {
            let (head, tail) = rest.split_at(usize::from(len));
            rest = tail;
            Cow::Borrowed(head)
        };
        let event_id = next(entry.event_id_len);
        let account_id = next(entry.account_id_len);
        let who = next(entry.who_len);
        let body = match entry.what {
            What::Usage => Body::Usage(Usage {
                user_id: Some(who),
                feature: next(entry.feature_len),
                quantity_milli: 1_000,
            }),
            What::Ticket(status) => {
                Body::Ticket(Ticket { ticket_id: who, status, priority: None, category: None })
            }
            What::Payment(status) => Body::Payment(Payment {
                invoice_id: who,
                status,
                amount_minor: 1_250_000,
                currency: Currency(*b"EUR"),
                due_at: (status == PaymentStatus::Issued)
                    .then(|| entry.occurred_at + Span::days(30)),
            }),
            What::Survey(survey, score_milli, scale_min_milli, scale_max_milli) => {
                Body::Survey(Survey {
                    survey: Cow::Borrowed(survey),
                    score_milli,
                    scale_min_milli,
                    scale_max_milli,
                    respondent_id: Some(who),
                    role: None,
                })
            }
        };
        Event { account_id, event_id, occurred_at: entry.occurred_at, body }
    }
}

/// An event as a record's value, as the sources write it.
pub fn json(event: &Event<'_>, into: &mut String) -> Source {
    let Event { account_id, event_id, occurred_at, body } = event;
    write!(
        into,
        r#"{{"event_id":"{event_id}","account_id":"{account_id}","occurred_at":"{occurred_at}","#
    )
    .expect("strings take all");
    match body {
        Body::Usage(usage) => write!(
            into,
            r#""user_id":"{}","feature":"{}","quantity":1,"app_version":"8.14.2"}}"#,
            usage.user_id.as_deref().unwrap_or_default(),
            usage.feature
        ),
        Body::Ticket(ticket) => write!(
            into,
            r#""ticket_id":"{}","status":"{}"}}"#,
            ticket.ticket_id,
            ticket.status.name()
        ),
        Body::Payment(payment) => {
            let due_at = payment.due_at.map(|due_at| format!(r#","due_at":"{due_at}""#));
            write!(
                into,
                r#""invoice_id":"{}","status":"{}","amount_minor":{},"currency":"EUR"{}}}"#,
                payment.invoice_id,
                payment.status.name(),
                payment.amount_minor,
                due_at.unwrap_or_default()
            )
        }
        Body::Survey(survey) => write!(
            into,
            r#""survey":"{}","score":{},"respondent_id":"{}"}}"#,
            survey.survey,
            survey.score_milli / 1_000,
            survey.respondent_id.as_deref().unwrap_or_default()
        ),
        Body::Profile(_)
        | Body::ProfileGone
        | Body::Forget
        | Body::Override(_)
        | Body::Feedback(_) => unreachable!("the traffic has none of these"),
    }
    .expect("strings take all");
    body.source()
}

/// SplitMix64: small, and random enough to spread load.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Evenly from 0 to `end`, without it.
    fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// From 0 to `end`, without it, by Zipf's law with exponent 1: rank k, counted from 1, comes
    /// with probability ln((k + 1) / k) / ln(end + 1), about 1 / (k ln end). Ranks are strewn over
    /// the numbers, so that the busy ones are no neighbours.
    fn zipf(&mut self, end: u64) -> u64 {
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        let rank = (unit * ((end + 1) as f64).ln()).exp() as u64;
        // A prime that divides no round number of accounts, so that no two ranks meet.
        (rank.clamp(1, end) * 2_654_435_761) % end
    }
}
