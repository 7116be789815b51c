//! What happens in a case: events at relative times, repeated and spread over users and features.
//!
//! A field is only brought into the form of the record here. What it may hold is the decoder's to
//! say: each entry's first event is decoded while the file is read, and what the decoder finds is
//! told at the field's line.

use serde_json::{Map, Number, Value};

use crate::engine::event::{DecodeError, DecodeLimits, Event, Source, decode};
use crate::engine::time::{EventTime, Span};
use crate::engine::yaml::{Field, Fields};

/// The account of whatever names none.
pub const ACCOUNT: &str = "account";

/// Most events of one case. A year of a hundred users on ten features is a third of it.
const EVENTS_MAX: usize = 1_000_000;
/// Most repetitions of one entry.
const TIMES_MAX: i64 = 100_000;
/// Most users or respondents that are only counted.
const PEOPLE_MAX: i64 = 10_000;

/// One kind of event of one entry, as often as the entry says.
#[derive(Clone, Debug, PartialEq)]
pub struct Happening {
    account: String,
    source: Source,
    /// When it happens first, from the start of the case.
    at: Span,
    /// How long after it happened its record is written.
    late_by: Span,
    every: Span,
    /// At least 1.
    times: usize,
    /// `None` is a tombstone.
    fields: Option<Vec<(&'static str, Slot)>>,
    /// The field that takes one person each, and who. One `None` where nobody is named.
    person_key: &'static str,
    people: Vec<Option<String>>,
    /// What `feature` takes, one each. One `None` for sources that have no such field.
    features: Vec<Option<String>>,
    /// Unlike that of any other happening of the case: event ids are made with it.
    number: usize,
}

/// A field's content.
#[derive(Clone, Debug, PartialEq)]
enum Slot {
    Fixed(Value),
    /// Text in which `#` becomes the number of the repetition, from 1.
    Numbered(String),
    /// Milliseconds from the start of the case.
    FromStart(i64),
    /// Milliseconds from the event itself.
    FromEvent(i64),
}

/// One event of a happening: the record's time, and which of the happening's it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance {
    /// When the record is written.
    pub record_time: EventTime,
    /// Its topic.
    pub source: Source,
    repetition: usize,
    person: usize,
    feature: usize,
}

impl Happening {
    fn count(&self) -> usize {
        self.times.saturating_mul(self.people.len()).saturating_mul(self.features.len())
    }

    /// Every event of it, in order.
    pub fn instances(&self, start: EventTime) -> impl Iterator<Item = Instance> + '_ {
        (0..self.times).flat_map(move |repetition| {
            let record_time = self.occurs_at(start, repetition) + self.late_by;
            (0..self.people.len()).flat_map(move |person| {
                (0..self.features.len()).map(move |feature| Instance {
                    record_time,
                    source: self.source,
                    repetition,
                    person,
                    feature,
                })
            })
        })
    }

    fn occurs_at(&self, start: EventTime, repetition: usize) -> EventTime {
        start + self.at + self.every * repetition as i64
    }

    /// The record's value as a producer would write it; `None` is a tombstone.
    pub fn body(&self, start: EventTime, instance: &Instance) -> Option<Vec<u8>> {
        let fields = self.fields.as_ref()?;
        let occurred_at = self.occurs_at(start, instance.repetition);
        let numbered = |text: &str| text.replace('#', &(instance.repetition + 1).to_string());
        let mut body = Map::new();
        let mut put = |key: &str, value: Value| body.insert(key.to_owned(), value);
        let Instance { repetition, person, feature, .. } = instance;
        let event_id = format!("{}-{repetition}-{person}-{feature}", self.number);
        put("event_id", event_id.into());
        put("account_id", self.account.clone().into());
        put("occurred_at", occurred_at.to_string().into());
        for (key, slot) in fields {
            let value = match slot {
                Slot::Fixed(value) => value.clone(),
                Slot::Numbered(text) => numbered(text).into(),
                Slot::FromStart(millis) => (start + Span::from_millis(*millis)).to_string().into(),
                Slot::FromEvent(millis) => {
                    (occurred_at + Span::from_millis(*millis)).to_string().into()
                }
            };
            put(key, value);
        }
        if let Some(person) = &self.people[*person] {
            put(self.person_key, numbered(person).into());
        }
        if let Some(feature) = &self.features[*feature] {
            put("feature", feature.clone().into());
        }
        Some(serde_json::to_vec(&body).expect("texts and numbers always become JSON"))
    }
}

/// Decodes a body of a case as the record it would be.
///
/// # Errors
/// What the decoder finds wrong with it.
pub fn decode_body<'a>(
    happening: &'a Happening,
    instance: &Instance,
    body: Option<&'a [u8]>,
) -> Result<Event<'a>, DecodeError> {
    let limits = DecodeLimits::default();
    let key = Some(happening.account.as_bytes());
    decode(instance.source, key, body, instance.record_time, &limits)
}

/// Reads the events of a case.
pub fn read_given(field: &Field<'_>, start: EventTime) -> Option<Vec<Happening>> {
    let mut count = 0;
    let mut items = Vec::new();
    for item in field.list()? {
        // A list in the list is a history that several cases share by a YAML anchor.
        if item.is_list() { items.extend(item.list()?) } else { items.push(item) }
    }
    let entries: Vec<Option<Vec<Happening>>> = items
        .iter()
        .map(|item| item.mapping(|fields| read_entry(fields, start, &mut count)))
        .collect();
    let entries: Option<Vec<Vec<Happening>>> = entries.into_iter().collect();
    let given = entries?.concat();
    let events = given.iter().fold(0, |sum: usize, one| sum.saturating_add(one.count()));
    if events > EVENTS_MAX {
        return field.error(format!("makes {events} events, expected at most {EVENTS_MAX}"));
    }
    Some(given)
}

/// When, and how often.
#[derive(Clone, Copy)]
struct Frame<'a> {
    account: &'a str,
    start: EventTime,
    at: Span,
    late_by: Span,
    every: Span,
    times: usize,
}

/// Reads one entry: a time and one or more kinds of events.
fn read_entry(fields: &Fields<'_>, start: EventTime, count: &mut usize) -> Option<Vec<Happening>> {
    let account = fields.or("account", ACCOUNT, |field| field.text());
    let at = fields.require("at").and_then(|field| field.span());
    let late_by = fields.or("late_by", Span::ZERO, Field::span);
    let repeat = fields.or("repeat", (Span::ZERO, 1), |field| read_repeat(field, start, at));
    // A time in doubt is no reason not to look at the events.
    let (every, times) = repeat.unwrap_or((Span::ZERO, 1));
    let frame = Frame {
        account: account.unwrap_or(ACCOUNT),
        start,
        at: at.unwrap_or_default(),
        late_by: late_by.unwrap_or_default(),
        every,
        times,
    };
    let mut happenings: Vec<Option<Happening>> = Vec::new();
    for source in Source::ALL {
        let Some(field) = fields.optional(source.name()) else { continue };
        let bodies = if field.is_list() { field.full_list()? } else { vec![field] };
        for body in bodies {
            *count += 1;
            happenings.push(read_happening(&body, source, &frame, *count));
        }
    }
    if happenings.is_empty() {
        return fields.whole().error("needs `usage`, `ticket`, `payment`, `survey` or `profile`");
    }
    account.and(at).and(late_by).and(repeat)?;
    happenings.into_iter().collect()
}

/// `{ every: 1d, times: 30 }`: 30 in all, the first of them at `at`.
fn read_repeat(field: &Field<'_>, start: EventTime, at: Option<Span>) -> Option<(Span, usize)> {
    let (every, times) = field.mapping(|fields| {
        let every = fields.require("every").and_then(|field| field.positive_span());
        let times = fields.require("times").and_then(|field| field.integer_in(1..=TIMES_MAX));
        Some((every?, times?))
    })?;
    if start + at.unwrap_or_default() + every * times > EventTime::LAST_WRITABLE {
        return field.error("goes on beyond the year 9999");
    }
    Some((every, times as usize))
}

/// How a field of a record is written in a test.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    /// Text in which `#` becomes the number of the repetition.
    Id,
    Number,
    Boolean,
    /// RFC 3339; `30d` and `-400d` from the start of the case; `+30d` from the event.
    Instant,
    Texts,
}

const TICKET: &[(&str, Form)] = &[
    ("ticket_id", Form::Id),
    ("status", Form::Text),
    ("priority", Form::Text),
    ("category", Form::Text),
];
const PAYMENT: &[(&str, Form)] = &[
    ("invoice_id", Form::Id),
    ("status", Form::Text),
    ("amount_minor", Form::Number),
    ("currency", Form::Text),
    ("due_at", Form::Instant),
];
const SURVEY: &[(&str, Form)] = &[
    ("survey", Form::Text),
    ("score", Form::Number),
    ("scale_min", Form::Number),
    ("scale_max", Form::Number),
    ("respondent_id", Form::Id),
    ("role", Form::Text),
    ("override", Form::Boolean),
    ("band", Form::Text),
    ("author", Form::Text),
    ("reason", Form::Text),
    ("expires_at", Form::Instant),
    ("cancel", Form::Boolean),
    ("feedback", Form::Text),
    ("rule", Form::Text),
];
const USAGE: &[(&str, Form)] = &[("user_id", Form::Id), ("quantity", Form::Number)];
const PROFILE: &[(&str, Form)] = &[
    ("name", Form::Text),
    ("segment", Form::Text),
    ("tier", Form::Text),
    ("industry", Form::Text),
    ("size", Form::Text),
    ("lifecycle_stage", Form::Text),
    ("seats", Form::Number),
    ("arr_minor", Form::Number),
    ("currency", Form::Text),
    ("owner", Form::Text),
    ("owner_email", Form::Text),
    ("started_at", Form::Instant),
    ("renewal_at", Form::Instant),
    ("status", Form::Text),
    ("parent_account_id", Form::Text),
    ("recovery_path", Form::Boolean),
    ("tags", Form::Texts),
];

fn forms(source: Source) -> &'static [(&'static str, Form)] {
    match source {
        Source::Usage => USAGE,
        Source::Ticket => TICKET,
        Source::Payment => PAYMENT,
        Source::Survey => SURVEY,
        Source::Profile => PROFILE,
    }
}

/// What a test need not say although a record must, because most tests do not care.
fn defaults(source: Source, number: usize) -> Vec<(&'static str, Slot)> {
    let fixed = |value: Value| Slot::Fixed(value);
    match source {
        Source::Ticket => vec![("ticket_id", Slot::Numbered(format!("ticket-{number}-#")))],
        Source::Payment => vec![
            ("invoice_id", Slot::Numbered(format!("invoice-{number}-#"))),
            ("amount_minor", fixed(100_000.into())),
            ("currency", fixed("EUR".into())),
        ],
        Source::Usage | Source::Survey | Source::Profile => Vec::new(),
    }
}

fn read_happening(
    field: &Field<'_>,
    source: Source,
    frame: &Frame<'_>,
    number: usize,
) -> Option<Happening> {
    let mut happening = Happening {
        account: frame.account.to_owned(),
        source,
        at: frame.at,
        late_by: frame.late_by,
        every: frame.every,
        times: frame.times,
        fields: None,
        person_key: if source == Source::Usage { "user_id" } else { "respondent_id" },
        people: vec![None],
        features: vec![None],
        number,
    };
    if source == Source::Profile && field.as_text() == Some("gone") {
        return Some(happening);
    }
    if !field.is_mapping() {
        return field.expected(match source {
            Source::Profile => "a mapping of the profile's fields, or `gone`".to_owned(),
            _ => format!("a mapping of the {} event's fields", source.name()),
        });
    }
    field.mapping(|fields| {
        let mut slots = defaults(source, number);
        let mut good = true;
        for (key, form) in forms(source) {
            let Some(value) = fields.optional(key) else { continue };
            match read_slot(&value, *form) {
                Some(slot) => {
                    slots.retain(|(known, _)| known != key);
                    slots.push((*key, slot));
                }
                None => good = false,
            }
        }
        happening.fields = Some(slots);
        match source {
            Source::Usage => {
                happening.people = read_people(fields, "users", "user")?;
                if happening.people[0].is_some() {
                    fields.refuse("user_id", "`users` says who they are");
                }
                happening.features = read_features(fields)?;
            }
            Source::Survey => {
                happening.people = read_people(fields, "respondents", "respondent")?;
                if happening.people[0].is_some() {
                    fields.refuse("respondent_id", "`respondents` says who they are");
                }
            }
            Source::Ticket | Source::Payment | Source::Profile => {}
        }
        if !good {
            return None;
        }
        check(fields, &happening, frame.start)?;
        Some(happening)
    })
}

/// Has the decoder look at the first event, and tells what it says at the field it is about.
fn check(fields: &Fields<'_>, happening: &Happening, start: EventTime) -> Option<()> {
    let first = happening.instances(start).next().expect("it happens at least once");
    let body = happening.body(start, &first);
    let Err(error) = decode_body(happening, &first, body.as_deref()) else { return Some(()) };
    let at_fault = forms(happening.source)
        .iter()
        .find(|(key, _)| Some(*key) == error.field)
        .and_then(|(key, _)| fields.optional(key));
    match (at_fault, error.field) {
        (Some(field), _) => field.error(error.detail),
        (None, Some(key)) => {
            let path = fields.whole().path();
            fields.whole().error_about(format!("{path}.{key} {}", error.detail))
        }
        (None, None) => fields.whole().error(format!("makes no event: {error}")),
    }
}

fn read_slot(field: &Field<'_>, form: Form) -> Option<Slot> {
    match form {
        Form::Text => field.text().map(|text| Slot::Fixed(text.into())),
        Form::Id => field.text().map(|text| Slot::Numbered(text.to_owned())),
        Form::Number => {
            let number = field.number()?;
            // Whole numbers as they are written: `5.0` would be no integer to the decoder.
            let whole = field.as_text().and_then(|text| text.parse::<i64>().ok());
            let number = whole.map(Number::from).or_else(|| Number::from_f64(number));
            number.map(|number| Slot::Fixed(Value::Number(number)))
        }
        Form::Boolean => field.boolean().map(|value| Slot::Fixed(value.into())),
        Form::Instant => read_instant(field),
        Form::Texts => {
            let texts = field.list()?;
            let texts: Vec<Option<Value>> =
                texts.iter().map(|item| item.text().map(Value::from)).collect();
            let texts: Option<Vec<Value>> = texts.into_iter().collect();
            texts.map(|texts| Slot::Fixed(texts.into()))
        }
    }
}

fn read_instant(field: &Field<'_>) -> Option<Slot> {
    let text = field.as_text().unwrap_or_default();
    let span = |text: &str| text.parse::<Span>().ok().map(Span::as_millis);
    let slot = if let Some(after) = text.strip_prefix('+') {
        span(after).map(Slot::FromEvent)
    } else if let Some(before) = text.strip_prefix('-') {
        span(before).map(|millis| Slot::FromStart(-millis))
    } else if let Some(millis) = span(text) {
        Some(Slot::FromStart(millis))
    } else {
        EventTime::parse_rfc3339(text).ok().map(|_| Slot::Fixed(text.into()))
    };
    slot.or_else(|| {
        field.expected(
            "an instant such as `2026-01-01T00:00:00Z`, or a time from the start of the test \
             (`30d`, `-400d`) or from the event (`+30d`)",
        )
    })
}

/// `12` or `[ann, bob]`; one nobody where the key is absent.
fn read_people(fields: &Fields<'_>, key: &'static str, name: &str) -> Option<Vec<Option<String>>> {
    fields.or(key, vec![None], |field| {
        if field.is_list() {
            return field.each(|item| item.text().map(|text| Some(text.to_owned())));
        }
        let as_number = field.as_text().is_some_and(|text| text.parse::<f64>().is_ok());
        if !as_number {
            return field.expected("how many, or a list of their ids");
        }
        let count = field.integer_in(1..=PEOPLE_MAX)?;
        Some((1..=count).map(|number| Some(format!("{name}-{number}"))).collect())
    })
}

/// `feature: reports` or `features: [reports, exports]`; `product` where neither is given.
fn read_features(fields: &Fields<'_>) -> Option<Vec<Option<String>>> {
    let text = |field: &Field<'_>| field.text().map(|text| Some(text.to_owned()));
    if let Some(field) = fields.optional("features") {
        fields.refuse("feature", "`features` already lists them");
        return field.each(text);
    }
    fields.or("feature", vec![Some("product".to_owned())], |field| {
        text(field).map(|feature| vec![feature])
    })
}
