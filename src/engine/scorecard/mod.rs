//! The rules as data: what a scorecard says once it has been read and checked.
//!
//! `parse` turns YAML into a [`Scorecard`] and refuses whatever does not hold; whoever holds a
//! `Scorecard` holds a good one. `plan` says what the aggregates must keep to answer it.

mod alert;
mod curve;
mod measure;
mod parse;
mod plan;

pub use alert::{ALERT_RULES_MAX, AlertKind, AlertRule, Severity};
pub use curve::{Curve, TOLERANCE};
pub use measure::{Filter, MeasureKind, PANE_MIN, PANES_MAX, WindowUse, default_pane};
pub use parse::{Parsed, profile_condition};
#[cfg(test)]
pub(crate) use parse::{known_keys, mistakes};

pub use plan::{
    DistinctOf, DistinctStore, Plan, Read, StoreSet, TrendStore, Window, WindowStore, fed_by,
};

use std::sync::Arc;

use super::event::{ClaimedBand, Profile, ProfileStatus};
use super::time::Span;

/// The name of the band of accounts that have no score; no card may define it.
pub const UNKNOWN_BAND: &str = "unknown";

/// A scorecard: the whole declarative model of one kind of account.
#[derive(Clone, Debug, PartialEq)]
pub struct Scorecard {
    /// Its name, as in `scorecard: saas-default`.
    pub id: String,
    /// For people.
    pub description: String,
    /// Content hash in hex: xxh3-128 of the file's text.
    pub hash: String,
    /// The file's text.
    pub text: Arc<str>,
    /// How dimensions make the score.
    pub combine: Combine,
    /// Where the weight of a missing measure goes.
    pub redistribute: Redistribute,
    /// At least one. Ids are unique in the card, across dimensions and measures apart.
    pub dimensions: Vec<Dimension>,
    /// Applied in this order to the combined score.
    pub gates: Vec<Gate>,
    /// Worst first. At least one; edges rise strictly; the last one ends at 100.
    pub bands: Vec<Band>,
    /// What keeps the band from flapping.
    pub anti_flap: AntiFlap,
    /// Share of weight that must be backed by data, 0..=1.
    pub min_coverage: f64,
    /// Time after the account's start in which it has no score.
    pub grace: Span,
    /// How long settled tickets and invoices are kept for late statuses.
    pub item_horizon: Span,
    /// In the order in which they are looked at.
    pub alerts: Vec<AlertRule>,
    /// Who looks after accounts whose profile names nobody.
    pub owner: Option<String>,
}

/// How a card combines its parts into one score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Combine {
    /// By weights, normalised.
    Weighted,
    /// All dimensions alike.
    Mean,
    /// Each measure is worth its weight in points; the points total 100.
    Points,
    /// `start` plus and minus points, clamped to 0..=100.
    Signed {
        /// The score before any action counts.
        start: f64,
    },
}

/// Where a missing measure's weight goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redistribute {
    /// To the rest of its dimension; a dimension with nothing shares with the other dimensions.
    Dimension,
    /// To all measures of the card.
    Card,
}

/// A named group of measures.
#[derive(Clone, Debug, PartialEq)]
pub struct Dimension {
    /// Its name in reports.
    pub id: String,
    /// Weight in the card, not negative. Under `points`, the sum of its measures' points; under
    /// `signed`, the sum of their sizes, the sign left out; under `mean`, 1. 0 where it only
    /// watches: none of its measures counts, or the card gives it weight 0.
    pub weight: f64,
    /// `true` where every counted measure weighs the same (`combine: mean` in the dimension).
    pub mean: bool,
    /// At least one.
    pub measures: Vec<Measure>,
}

/// One measure of a scorecard: what to read and what it is worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// Its name in reasons, outputs and tests; unique in the card.
    pub id: String,
    /// What is read.
    pub kind: MeasureKind,
    /// Which events it reads.
    pub filter: Filter,
    /// The window; always there for kinds that need one.
    pub window: Option<Span>,
    /// The window before, for `usage.trend` and `payment.growth`.
    pub baseline: Option<Span>,
    /// Length of a pane. Divides window and baseline; they hold at most 192 panes each.
    pub pane: Span,
    /// `usage.trend` only: events added to both sides.
    pub prior: f64,
    /// Weight in its dimension; 0 = watched, not counted. Negative only under `signed`.
    pub weight: f64,
    /// Value to sub-score.
    pub curve: Curve,
    /// What a missing value counts as.
    pub missing: Missing,
    /// A reading older than this is missing.
    pub stale_after: Option<Span>,
}

/// What a missing measure counts as.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Missing {
    /// Not at all: its weight goes to the others.
    Redistribute,
    /// This sub-score, 0..=100 (`zero` is 0, `neutral` is 50).
    CountAs(f64),
}

/// A limit on the score while a condition holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    /// Its name in reports.
    pub id: String,
    /// What it does.
    pub effect: GateEffect,
    /// When.
    pub when: Condition,
    /// For people.
    pub reason: String,
}

/// What a gate does to the score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GateEffect {
    /// At most this.
    Cap(f64),
    /// At least this.
    Floor(f64),
}

/// A condition on one account.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// On a measure of the card; false while it is missing.
    Measure {
        /// Position among the card's measures, counted through all dimensions in order.
        measure: usize,
        /// How the value is compared.
        comparison: Comparison,
        /// With what.
        value: f64,
    },
    /// On a profile field; false while it is not known.
    Profile(ProfileCondition),
    /// All of these hold.
    All(Vec<Condition>),
    /// Any of these holds.
    Any(Vec<Condition>),
    /// This does not hold.
    Not(Box<Condition>),
}

/// How a measured number is compared with a given one. Within 1e-9 is equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `>=`
    AtLeast,
    /// `<=`
    AtMost,
    /// `>`
    Above,
    /// `<`
    Below,
    /// `=`
    Equals,
}

/// A condition on one profile field.
#[derive(Clone, Debug, PartialEq)]
pub enum ProfileCondition {
    /// A text field is one of these.
    Text {
        /// Which.
        field: ProfileText,
        /// Any of these, byte for byte.
        one_of: Vec<String>,
    },
    /// A number field compares so.
    Number {
        /// Which.
        field: ProfileNumber,
        /// How.
        comparison: Comparison,
        /// With what.
        value: f64,
    },
    /// `status` is one of these.
    Status(Vec<ProfileStatus>),
    /// `recovery_path` is this.
    RecoveryPath(bool),
    /// `tags` holds this one.
    Tag(String),
}

/// Profile fields that hold text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the profile field of that name")]
pub enum ProfileText {
    Name,
    Segment,
    Tier,
    Industry,
    Size,
    LifecycleStage,
    Owner,
    OwnerEmail,
    Currency,
    ParentAccountId,
}

/// Profile fields that hold numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the profile field of that name")]
pub enum ProfileNumber {
    Seats,
    ArrMinor,
}

impl Comparison {
    /// Whether `found` compares so with `given`; within the tolerance they are equal.
    pub fn holds(self, found: f64, given: f64) -> bool {
        match self {
            Comparison::AtLeast => found >= given - TOLERANCE,
            Comparison::AtMost => found <= given + TOLERANCE,
            Comparison::Above => found > given + TOLERANCE,
            Comparison::Below => found < given - TOLERANCE,
            Comparison::Equals => (found - given).abs() <= TOLERANCE,
        }
    }
}

impl ProfileCondition {
    fn holds(&self, profile: &Profile) -> bool {
        match self {
            ProfileCondition::Text { field, one_of } => {
                field.of(profile).is_some_and(|own| one_of.iter().any(|text| text == own))
            }
            ProfileCondition::Number { field, comparison, value } => {
                let own = match field {
                    ProfileNumber::Seats => profile.seats,
                    ProfileNumber::ArrMinor => profile.arr_minor,
                };
                own.is_some_and(|own| comparison.holds(own as f64, *value))
            }
            ProfileCondition::Status(statuses) => {
                profile.status.is_some_and(|own| statuses.contains(&own))
            }
            ProfileCondition::RecoveryPath(wanted) => profile.recovery_path == Some(*wanted),
            ProfileCondition::Tag(tag) => profile.tags.contains(tag),
        }
    }
}

impl ProfileText {
    fn of(self, profile: &Profile) -> Option<&str> {
        match self {
            ProfileText::Name => profile.name.as_deref(),
            ProfileText::Segment => profile.segment.as_deref(),
            ProfileText::Tier => profile.tier.as_deref(),
            ProfileText::Industry => profile.industry.as_deref(),
            ProfileText::Size => profile.size.as_deref(),
            ProfileText::LifecycleStage => profile.lifecycle_stage.as_deref(),
            ProfileText::Owner => profile.owner.as_deref(),
            ProfileText::OwnerEmail => profile.owner_email.as_deref(),
            ProfileText::Currency => profile.currency.as_ref().map(|code| code.as_str()),
            ProfileText::ParentAccountId => profile.parent_account_id.as_deref(),
        }
    }
}

impl Condition {
    /// Whether the condition holds for these measure values (by position) and this profile.
    pub fn holds(
        &self,
        value_of: &impl Fn(usize) -> Option<f64>,
        profile: Option<&Profile>,
    ) -> bool {
        match self {
            Condition::Measure { measure, comparison, value } => {
                value_of(*measure).is_some_and(|found| comparison.holds(found, *value))
            }
            Condition::Profile(condition) => profile.is_some_and(|own| condition.holds(own)),
            Condition::All(parts) => parts.iter().all(|part| part.holds(value_of, profile)),
            Condition::Any(parts) => parts.iter().any(|part| part.holds(value_of, profile)),
            Condition::Not(part) => !part.holds(value_of, profile),
        }
    }

    /// Calls `visit` with every measure the condition looks at, and what it compares it with.
    pub fn each_measure(&self, visit: &mut impl FnMut(usize, f64)) {
        match self {
            Condition::Measure { measure, value, .. } => visit(*measure, *value),
            Condition::Profile(_) => {}
            Condition::All(parts) | Condition::Any(parts) => {
                for part in parts {
                    part.each_measure(visit);
                }
            }
            Condition::Not(part) => part.each_measure(visit),
        }
    }
}

/// One band of the traffic light.
#[derive(Clone, Debug, PartialEq)]
pub struct Band {
    /// Its name; `unknown` is taken.
    pub name: String,
    /// Upper edge.
    pub upper: f64,
    /// Whether a score on the edge is in this band (`up_to`) or the next (`below`).
    pub inclusive: bool,
    /// CSS colour.
    pub color: Option<String>,
    /// What to do with an account here.
    pub action: Option<String>,
    /// How soon.
    pub urgency: Option<Urgency>,
    /// Parts of it with recommendations of their own; the first that holds an account counts.
    pub sub_bands: Vec<SubBand>,
}

/// A part of a band.
#[derive(Clone, Debug, PartialEq)]
pub struct SubBand {
    /// Its name in records.
    pub name: String,
    /// Upper edge, and whether a score on it is inside; `None` for the whole band.
    pub edge: Option<(f64, bool)>,
    /// Which accounts it is for: a condition on profile fields.
    pub when: Option<Condition>,
    /// What to do with an account here.
    pub action: Option<String>,
    /// How soon.
    pub urgency: Option<Urgency>,
}

/// How soon something is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// When there is time.
    Low,
    /// In the usual course.
    Normal,
    /// Before other things.
    High,
    /// Now.
    Immediate,
}

impl Urgency {
    /// Every urgency with the name scorecards and records give it.
    pub const NAMES: [(&'static str, Urgency); 4] = [
        ("low", Urgency::Low),
        ("normal", Urgency::Normal),
        ("high", Urgency::High),
        ("immediate", Urgency::Immediate),
    ];

    /// The name scorecards and records give it.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }
}

impl Band {
    /// The first part of the band that holds an account of this score and profile.
    pub fn sub_band(&self, score: Option<f64>, profile: Option<&Profile>) -> Option<usize> {
        self.sub_bands.iter().position(|part| {
            let by_score = part.edge.is_none_or(|(edge, inclusive)| match score {
                Some(score) if inclusive => score <= edge + TOLERANCE,
                Some(score) => score < edge - TOLERANCE,
                None => false,
            });
            let asks_no_measure = |_| None;
            by_score && part.when.as_ref().is_none_or(|when| when.holds(&asks_no_measure, profile))
        })
    }
}

/// What keeps the band from flapping.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AntiFlap {
    /// Points past its edge before a band is left.
    pub margin: f64,
    /// How long before a worse band (or `unknown`) is entered.
    pub dwell_worse: Span,
    /// How long before a better band is entered.
    pub dwell_better: Span,
    /// A fall of this many points from the last band change skips the dwell.
    pub bypass_drop: f64,
}

impl Default for AntiFlap {
    /// The defaults of the domain page, section 5, chosen on a year of real behaviour.
    fn default() -> Self {
        AntiFlap {
            margin: 5.0,
            dwell_worse: Span::HOUR,
            dwell_better: Span::days(14),
            bypass_drop: 25.0,
        }
    }
}

impl Scorecard {
    /// All measures, through all dimensions in order: the numbering that conditions use.
    pub fn measures(&self) -> impl Iterator<Item = &Measure> {
        self.dimensions.iter().flat_map(|dimension| &dimension.measures)
    }

    /// The measure at `index` of [`Scorecard::measures`].
    ///
    /// # Panics
    /// If there is none.
    pub fn measure(&self, index: usize) -> &Measure {
        self.measures().nth(index).expect("the index counts through this card's measures")
    }

    /// The position of the band that somebody claims, if there is one.
    pub fn claimed_band(&self, claimed: &ClaimedBand) -> Option<usize> {
        match claimed {
            ClaimedBand::Name(name) => self.bands.iter().position(|band| band.name == *name),
            ClaimedBand::ScoreMilli(milli) => Some(self.band_of(*milli as f64 / 1_000.0)),
        }
    }

    /// The position of the band that holds `score`; within the tolerance of an edge is on it.
    pub fn band_of(&self, score: f64) -> usize {
        let holds = |band: &Band| match band.inclusive {
            true => score <= band.upper + TOLERANCE,
            false => score < band.upper - TOLERANCE,
        };
        self.bands.iter().position(holds).unwrap_or(self.bands.len() - 1)
    }
}
