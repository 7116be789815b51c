//! The kinds of measures and the filters on what they read. Their meaning is in `aggregate`.

use super::Measure;
use crate::engine::event::Priority;
use crate::engine::time::Span;

/// What a measure reads from an account's history (domain page, section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the measure of that name, see `NAMES`")]
pub enum MeasureKind {
    UsageEvents,
    UsageQuantity,
    UsageActiveUsers,
    UsageSeatUtilisation,
    UsageFeaturesUsed,
    UsageActiveDays,
    UsageActiveWeeks,
    UsageDaysSinceLast,
    UsageTrend,
    SupportOpened,
    SupportOpen,
    SupportOldestOpenHours,
    SupportReopened,
    SupportEscalated,
    SupportResolutionHours,
    PaymentOverdueDays,
    PaymentOverdueMinor,
    PaymentLateShare,
    PaymentDaysToPay,
    PaymentFailed,
    PaymentReminders,
    PaymentDisputes,
    PaymentGrowth,
    SurveyNps,
    SurveyCsat,
    SurveyCes,
    SurveyAssessment,
    AccountDaysToRenewal,
    AccountAgeDays,
}

/// Whether a kind of measure takes a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowUse {
    /// It has none.
    None,
    /// One window.
    Window,
    /// A window and the baseline just before it.
    WindowAndBaseline,
}

impl MeasureKind {
    /// Every kind with the name scorecards give it.
    pub const NAMES: [(&'static str, MeasureKind); 29] = [
        ("usage.events", MeasureKind::UsageEvents),
        ("usage.quantity", MeasureKind::UsageQuantity),
        ("usage.active_users", MeasureKind::UsageActiveUsers),
        ("usage.seat_utilisation", MeasureKind::UsageSeatUtilisation),
        ("usage.features_used", MeasureKind::UsageFeaturesUsed),
        ("usage.active_days", MeasureKind::UsageActiveDays),
        ("usage.active_weeks", MeasureKind::UsageActiveWeeks),
        ("usage.days_since_last", MeasureKind::UsageDaysSinceLast),
        ("usage.trend", MeasureKind::UsageTrend),
        ("support.opened", MeasureKind::SupportOpened),
        ("support.open", MeasureKind::SupportOpen),
        ("support.oldest_open_hours", MeasureKind::SupportOldestOpenHours),
        ("support.reopened", MeasureKind::SupportReopened),
        ("support.escalated", MeasureKind::SupportEscalated),
        ("support.resolution_hours", MeasureKind::SupportResolutionHours),
        ("payment.overdue_days", MeasureKind::PaymentOverdueDays),
        ("payment.overdue_minor", MeasureKind::PaymentOverdueMinor),
        ("payment.late_share", MeasureKind::PaymentLateShare),
        ("payment.days_to_pay", MeasureKind::PaymentDaysToPay),
        ("payment.failed", MeasureKind::PaymentFailed),
        ("payment.reminders", MeasureKind::PaymentReminders),
        ("payment.disputes", MeasureKind::PaymentDisputes),
        ("payment.growth", MeasureKind::PaymentGrowth),
        ("survey.nps", MeasureKind::SurveyNps),
        ("survey.csat", MeasureKind::SurveyCsat),
        ("survey.ces", MeasureKind::SurveyCes),
        ("survey.assessment", MeasureKind::SurveyAssessment),
        ("account.days_to_renewal", MeasureKind::AccountDaysToRenewal),
        ("account.age_days", MeasureKind::AccountAgeDays),
    ];

    /// The name scorecards give it.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }

    /// Whether it takes a window.
    pub fn window_use(self) -> WindowUse {
        use MeasureKind::*;
        match self {
            UsageTrend | PaymentGrowth => WindowUse::WindowAndBaseline,
            UsageEvents
            | UsageQuantity
            | UsageActiveUsers
            | UsageSeatUtilisation
            | UsageFeaturesUsed
            | UsageActiveDays
            | UsageActiveWeeks
            | SupportOpened
            | SupportReopened
            | SupportEscalated
            | SupportResolutionHours
            | PaymentLateShare
            | PaymentDaysToPay
            | PaymentFailed
            | PaymentReminders
            | PaymentDisputes
            | SurveyNps
            | SurveyCsat
            | SurveyCes
            | SurveyAssessment => WindowUse::Window,
            UsageDaysSinceLast
            | SupportOpen
            | SupportOldestOpenHours
            | PaymentOverdueDays
            | PaymentOverdueMinor
            | AccountDaysToRenewal
            | AccountAgeDays => WindowUse::None,
        }
    }
}

/// Which events a measure reads. An empty list lets everything pass; lists are sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Usage: these features only. `usage.features_used` becomes the share of this list.
    pub features: Vec<String>,
    /// Tickets: these categories only.
    pub categories: Vec<String>,
    /// Tickets: these priorities only.
    pub priorities: Vec<Priority>,
    /// Surveys: these ids only. Always given for `survey.assessment`.
    pub surveys: Vec<String>,
    /// Surveys: these respondents' roles only.
    pub roles: Vec<String>,
}

/// Most panes a window may have.
pub const PANES_MAX: i64 = 192;

/// The shortest pane. Accounts hold a pane's number in 32 bits; shorter ones would soon overflow.
pub const PANE_MIN: Span = Span::MINUTE;

/// The length of a pane where the scorecard gives none: a pane that leaves takes at most a small
/// share of the window with it (domain page, section 3).
pub fn default_pane(kind: MeasureKind, longest_window: Span) -> Span {
    match kind {
        MeasureKind::UsageActiveDays => Span::DAY,
        MeasureKind::UsageActiveWeeks => Span::days(7),
        _ if longest_window <= Span::hours(32) => Span::HOUR,
        _ if longest_window <= Span::days(8) => Span::hours(6),
        _ if longest_window <= Span::days(128) => Span::DAY,
        _ => Span::days(7),
    }
}

impl Measure {
    /// The least and the most it can be, as far as its kind says.
    pub fn possible_values(&self) -> (f64, f64) {
        use MeasureKind::*;
        let panes = |length: Span| {
            self.window
                .map_or(f64::INFINITY, |window| (window.as_millis() / length.as_millis()) as f64)
        };
        match self.kind {
            UsageFeaturesUsed if !self.filter.features.is_empty() => (0.0, 1.0),
            UsageEvents
            | UsageQuantity
            | UsageActiveUsers
            | UsageSeatUtilisation
            | UsageFeaturesUsed
            | UsageDaysSinceLast
            | UsageTrend
            | SupportOpened
            | SupportOpen
            | SupportOldestOpenHours
            | SupportReopened
            | SupportEscalated
            | SupportResolutionHours
            | PaymentOverdueDays
            | PaymentOverdueMinor
            | PaymentFailed
            | PaymentReminders
            | PaymentDisputes => (0.0, f64::INFINITY),
            UsageActiveDays => (0.0, panes(Span::DAY)),
            UsageActiveWeeks => (0.0, panes(Span::days(7))),
            PaymentLateShare => (0.0, 1.0),
            SurveyNps => (-100.0, 100.0),
            SurveyCsat | SurveyCes | SurveyAssessment => (0.0, 100.0),
            PaymentDaysToPay | PaymentGrowth | AccountDaysToRenewal | AccountAgeDays => {
                (f64::NEG_INFINITY, f64::INFINITY)
            }
        }
    }
}
