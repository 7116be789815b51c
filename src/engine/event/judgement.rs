//! What people say over the head of the score: overrides of the band, and feedback on alerts. Both come
//! on the survey topic, and neither is an answer.

use crate::engine::time::EventTime;

/// A manager's word on an account's band, or its withdrawal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// When it was given; the latest holds.
    pub at: EventTime,
    /// Decides between two of one instant: the greater one.
    pub event_id: String,
    /// Whose word it is.
    pub author: String,
    /// Why.
    pub reason: String,
    /// `None` is a withdrawal (`cancel`).
    pub claim: Option<Claim>,
}

/// What an override says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Which band.
    pub band: ClaimedBand,
    /// Until when.
    pub expires_at: EventTime,
}

/// A band by its name, or by a score it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimedBand {
    /// As in the card.
    Name(String),
    /// In thousandths, 0 to 100,000.
    ScoreMilli(i64),
}

impl Override {
    /// What decides which of two is the later.
    pub fn order(&self) -> (EventTime, &str) {
        (self.at, &self.event_id)
    }
}

/// What somebody says of an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feedback {
    /// What.
    pub kind: FeedbackKind,
    /// On which rule's alert; `None` is every alert that fires.
    pub rule: Option<String>,
}

/// What can be said of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FeedbackKind {
    /// Somebody has seen it.
    Acknowledged,
    /// There was nothing to it.
    FalseAlarm,
    /// The customer left.
    Churned,
    /// The customer stayed.
    Renewed,
}

impl FeedbackKind {
    /// Every kind with the name records give it.
    pub const NAMES: [(&'static str, FeedbackKind); 4] = [
        ("acknowledged", FeedbackKind::Acknowledged),
        ("false_alarm", FeedbackKind::FalseAlarm),
        ("churned", FeedbackKind::Churned),
        ("renewed", FeedbackKind::Renewed),
    ];

    /// The name records give it.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }
}
