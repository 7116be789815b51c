//! Input events: what one record says, after decoding. `decode` turns bytes into these.
//!
//! Strings borrow from the record's bytes where they hold no JSON escape. Numbers that may have
//! decimals are in thousandths (`_milli`), rounded half up, so that sums are exact in any order.

mod bare;
mod decimal;
mod decode;
mod error;
mod field;
mod flat;
mod judgement;
mod object;
mod payment;
mod profile;
mod survey;
mod ticket;
mod usage;

use std::borrow::Cow;

pub use bare::{Bare, BareHead, bare};
pub use decode::{DecodeLimits, check_size, decode, decode_bare};
pub use error::{DecodeError, ReasonCode};
pub use judgement::{Claim, ClaimedBand, Feedback, FeedbackKind, Override};

use super::time::EventTime;

/// Most bytes of an account's id, which is its records' key.
pub const ACCOUNT_ID_BYTES_MAX: usize = field::TEXT_BYTES_MAX;

/// One input topic's kind, in the order in which records of one instant are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// Product usage.
    Usage,
    /// Support tickets.
    Ticket,
    /// Payments.
    Payment,
    /// Surveys and assessments.
    Survey,
    /// Account profiles.
    Profile,
}

impl Source {
    /// Every source, in the order in which records of one instant are taken.
    pub const ALL: [Source; 5] =
        [Source::Usage, Source::Ticket, Source::Payment, Source::Survey, Source::Profile];

    /// The name used in `"source"` fields, metrics and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Source::Usage => "usage",
            Source::Ticket => "ticket",
            Source::Payment => "payment",
            Source::Survey => "survey",
            Source::Profile => "profile",
        }
    }

    /// The topic this source is read from unless the settings say otherwise.
    pub const fn default_topic(self) -> &'static str {
        match self {
            Source::Usage => "product-usage",
            Source::Ticket => "support-tickets",
            Source::Payment => "payments",
            Source::Survey => "surveys",
            Source::Profile => "accounts",
        }
    }
}

/// One input record, decoded and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Event<'a> {
    /// The customer; 1 to 256 bytes.
    pub account_id: Cow<'a, str>,
    /// Unique per source; at most 256 bytes. Empty for [`Body::ProfileGone`].
    pub event_id: Cow<'a, str>,
    /// Event time: says in which pane the event counts.
    pub occurred_at: EventTime,
    /// What happened.
    pub body: Body<'a>,
}

/// What happened, by source.
#[derive(Clone, Debug, PartialEq)]
pub enum Body<'a> {
    /// A user did something in the product.
    Usage(Usage<'a>),
    /// A support ticket took a status.
    Ticket(Ticket<'a>),
    /// An invoice took a status.
    Payment(Payment<'a>),
    /// Somebody answered a survey, or a manager gave an assessment.
    Survey(Survey<'a>),
    /// A manager says what the band is, or takes that back.
    Override(Box<Override>),
    /// Somebody says what came of an alert.
    Feedback(Box<Feedback>),
    /// The account's profile, replacing the one before.
    Profile(Box<Profile>),
    /// A tombstone on the accounts topic: forget the profile.
    ProfileGone,
    /// Somebody wants the account erased: everything that is known of it.
    Forget,
}

impl Body<'_> {
    /// The source this body came from.
    pub const fn source(&self) -> Source {
        match self {
            Body::Usage(_) => Source::Usage,
            Body::Ticket(_) => Source::Ticket,
            Body::Payment(_) => Source::Payment,
            Body::Survey(_) | Body::Override(_) | Body::Feedback(_) => Source::Survey,
            Body::Profile(_) | Body::ProfileGone | Body::Forget => Source::Profile,
        }
    }
}

/// Product usage.
#[derive(Clone, Debug, PartialEq)]
pub struct Usage<'a> {
    /// Who, if known.
    pub user_id: Option<Cow<'a, str>>,
    /// What was used.
    pub feature: Cow<'a, str>,
    /// How much, in thousandths, not negative.
    pub quantity_milli: i64,
}

/// A support ticket's change of status.
#[derive(Clone, Debug, PartialEq)]
pub struct Ticket<'a> {
    /// The ticket.
    pub ticket_id: Cow<'a, str>,
    /// Its status from `occurred_at` on.
    pub status: TicketStatus,
    /// Priority; `None` where the record names none (it leaves the ticket's as it was).
    pub priority: Option<Priority>,
    /// Category; `None` where the record names none.
    pub category: Option<Cow<'a, str>>,
}

/// A ticket's status. The order decides between statuses of the same instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TicketStatus {
    /// Newly opened.
    Opened,
    /// Waiting.
    Pending,
    /// Handed up.
    Escalated,
    /// Solved, from the vendor's side.
    Resolved,
    /// Opened again.
    Reopened,
    /// Done.
    Closed,
}

impl TicketStatus {
    /// Every variant with the name records and scorecards give it, in order.
    pub const NAMES: [(&'static str, TicketStatus); 6] = [
        ("opened", TicketStatus::Opened),
        ("pending", TicketStatus::Pending),
        ("escalated", TicketStatus::Escalated),
        ("resolved", TicketStatus::Resolved),
        ("reopened", TicketStatus::Reopened),
        ("closed", TicketStatus::Closed),
    ];

    /// The name records and scorecards give it.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }
}

/// A ticket's priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Low.
    Low,
    /// Normal, where nothing is said.
    #[default]
    Normal,
    /// High.
    High,
    /// Urgent.
    Urgent,
}

impl Priority {
    /// Every variant with the name records and scorecards give it, in order.
    pub const NAMES: [(&'static str, Priority); 4] = [
        ("low", Priority::Low),
        ("normal", Priority::Normal),
        ("high", Priority::High),
        ("urgent", Priority::Urgent),
    ];

    /// The name records and scorecards give it.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }
}

/// An invoice's change of status.
#[derive(Clone, Debug, PartialEq)]
pub struct Payment<'a> {
    /// The invoice.
    pub invoice_id: Cow<'a, str>,
    /// Its status from `occurred_at` on.
    pub status: PaymentStatus,
    /// The amount, in the currency's minor units (cents).
    pub amount_minor: i64,
    /// ISO 4217 code: three upper-case letters.
    pub currency: Currency,
    /// When the invoice is due; always present on `issued`.
    pub due_at: Option<EventTime>,
}

/// An invoice's status. The order decides between statuses of the same instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PaymentStatus {
    /// Sent to the customer.
    Issued,
    /// Settled.
    Paid,
    /// A payment attempt failed.
    Failed,
    /// The customer was reminded; never changes the invoice's state.
    Reminded,
    /// Paid back, in part or whole.
    Refunded,
    /// Contested.
    Disputed,
    /// Taken back; as if never issued.
    Voided,
}

impl PaymentStatus {
    /// Every variant with the name records and scorecards give it, in order.
    pub const NAMES: [(&'static str, PaymentStatus); 7] = [
        ("issued", PaymentStatus::Issued),
        ("paid", PaymentStatus::Paid),
        ("failed", PaymentStatus::Failed),
        ("reminded", PaymentStatus::Reminded),
        ("refunded", PaymentStatus::Refunded),
        ("disputed", PaymentStatus::Disputed),
        ("voided", PaymentStatus::Voided),
    ];

    /// The name records and scorecards give it.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }
}

/// An ISO 4217 currency code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency(pub [u8; 3]);

impl Currency {
    /// Reads three upper-case ASCII letters.
    pub fn parse(text: &str) -> Option<Currency> {
        let code: [u8; 3] = text.as_bytes().try_into().ok()?;
        code.iter().all(u8::is_ascii_uppercase).then_some(Currency(code))
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("built from ASCII letters only")
    }
}

/// A survey answer or an assessment.
#[derive(Clone, Debug, PartialEq)]
pub struct Survey<'a> {
    /// `nps`, `csat`, `ces`, or the id of an assessment.
    pub survey: Cow<'a, str>,
    /// The answer in thousandths, on its scale.
    pub score_milli: i64,
    /// Lowest answer, in thousandths: 0 for `nps`, 1,000 for `csat` and `ces`.
    pub scale_min_milli: i64,
    /// Highest answer, in thousandths; more than the lowest.
    pub scale_max_milli: i64,
    /// Who answered, if known; without it the answer is a respondent of its own.
    pub respondent_id: Option<Cow<'a, str>>,
    /// The respondent's role, if known.
    pub role: Option<Cow<'a, str>>,
}

/// What is known of an account apart from its behaviour. Every field is optional.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// Display name.
    pub name: Option<String>,
    /// Segment.
    pub segment: Option<String>,
    /// Tier.
    pub tier: Option<String>,
    /// Industry.
    pub industry: Option<String>,
    /// Size class.
    pub size: Option<String>,
    /// Stage of the customer's life.
    pub lifecycle_stage: Option<String>,
    /// Seats bought; not negative.
    pub seats: Option<i64>,
    /// Yearly recurring revenue, minor units.
    pub arr_minor: Option<i64>,
    /// Currency of every amount of the account.
    pub currency: Option<Currency>,
    /// Who looks after the account.
    pub owner: Option<String>,
    /// Their address.
    pub owner_email: Option<String>,
    /// When the relationship began.
    pub started_at: Option<EventTime>,
    /// When the contract is up for renewal.
    pub renewal_at: Option<EventTime>,
    /// Where the relationship stands.
    pub status: Option<ProfileStatus>,
    /// The account above this one.
    pub parent_account_id: Option<String>,
    /// Whether a recovery plan is under way.
    pub recovery_path: Option<bool>,
    /// Free labels.
    pub tags: Vec<String>,
}

/// Where the relationship stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProfileStatus {
    /// A paying customer.
    Active,
    /// On trial.
    Trial,
    /// Gone.
    Churned,
}

impl ProfileStatus {
    /// Every variant with the name records and scorecards give it, in order.
    pub const NAMES: [(&'static str, ProfileStatus); 3] = [
        ("active", ProfileStatus::Active),
        ("trial", ProfileStatus::Trial),
        ("churned", ProfileStatus::Churned),
    ];

    /// The name records and scorecards give it.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }
}
