//! What an account must keep so that a scorecard's measures can be read: nothing more.
//!
//! Measures that need the same thing (same panes, same filter) share one store. The plan is
//! compiled once from a scorecard; accounts hold bare data and are read through it.

use super::{AlertKind, Filter, Measure, MeasureKind, Scorecard, TOLERANCE};
use crate::engine::event::Source;
use crate::engine::time::{EventTime, Span};

/// A rolling window on the pane grid: `panes` panes of length `pane`, the last of which holds "now".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Length of a pane.
    pub pane: Span,
    /// How many; at least 1.
    pub panes: i64,
}

impl Window {
    /// The window of `length`, which `pane` divides evenly (the parser saw to that).
    pub fn new(length: Span, pane: Span) -> Window {
        let panes = length.divide_evenly(pane).expect("the parser checked that panes divide it");
        Window { pane, panes }
    }

    /// Whether something at `at` counts at `now`: its pane is in the window and has begun.
    pub fn covers(self, at: EventTime, now: EventTime) -> bool {
        let age = now.pane(self.pane) - at.pane(self.pane);
        (0..self.panes).contains(&age)
    }

    /// Whether the pane of `at` lies before the window at `now`, and so will never count again.
    pub fn has_left(self, at: EventTime, now: EventTime) -> bool {
        now.pane(self.pane) - at.pane(self.pane) >= self.panes
    }

    /// When `covers(at, _)` changes next after `now`, if ever: at the start of its pane, or when it
    /// leaves.
    pub fn next_change(self, at: EventTime, now: EventTime) -> EventTime {
        let pane = at.pane(self.pane);
        if pane > now.pane(self.pane) {
            self.pane_start(pane)
        } else if self.covers(at, now) {
            self.pane_start(pane + self.panes)
        } else {
            EventTime::MAX
        }
    }

    /// The first instant of a pane.
    pub fn pane_start(self, pane: i64) -> EventTime {
        EventTime::from_millis(pane * self.pane.as_millis())
    }
}

/// A counter or sum per pane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowStore {
    /// Features it counts; empty = all. Sorted.
    pub features: Vec<String>,
    /// Its window.
    pub window: Window,
}

/// Event counts in a window and in the baseline before it, over completed panes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrendStore {
    /// Features it counts; empty = all. Sorted.
    pub features: Vec<String>,
    /// Length of a pane.
    pub pane: Span,
    /// Completed panes of the window.
    pub recent_panes: i64,
    /// Panes of the baseline just before it.
    pub baseline_panes: i64,
}

/// What is told apart by a [`DistinctStore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DistinctOf {
    /// `user_id`s.
    Users,
    /// `feature`s.
    Features,
}

/// Distinct values in a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistinctStore {
    /// Of what.
    pub of: DistinctOf,
    /// Features it looks at; empty = all. Sorted.
    pub features: Vec<String>,
    /// Its window.
    pub window: Window,
}

/// How one measure is read. Indices point into the plan's stores.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each reads the measure of its name from the store it names")]
pub enum Read {
    Events { count: usize },
    Quantity { sum: usize },
    ActiveUsers { distinct: usize },
    SeatUtilisation { distinct: usize },
    FeaturesUsed { distinct: usize, out_of: Option<usize> },
    ActivePanes { count: usize },
    DaysSinceLast { last: usize },
    Trend { trend: usize, prior: f64 },
    TicketsOpened(Window),
    TicketsOpen,
    OldestOpenHours,
    TicketsReopened(Window),
    TicketsEscalated(Window),
    ResolutionHours(Window),
    OverdueDays,
    OverdueMinor,
    LateShare(Window),
    DaysToPay(Window),
    PaymentsFailed(Window),
    PaymentsReminded(Window),
    PaymentsDisputed(Window),
    Growth { recent: Window, before: Window },
    Nps(Window),
    MeanAnswer(Window),
    DaysToRenewal,
    AgeDays,
}

/// A scorecard's needs, compiled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Usage events counted per pane.
    pub counts: Vec<WindowStore>,
    /// Quantities summed per pane, in thousandths.
    pub sums: Vec<WindowStore>,
    /// Trends.
    pub trends: Vec<TrendStore>,
    /// Distinct users and features.
    pub distincts: Vec<DistinctStore>,
    /// Latest usage per list of features.
    pub lasts: Vec<Vec<String>>,
    /// Every window over usage, whatever its filter: what has left all of them came too late.
    pub usage_windows: Vec<Window>,
    /// The card's measures, through all dimensions in order.
    pub measures: Vec<Measure>,
    /// How each of them is read.
    pub reads: Vec<Read>,
    /// The source of each of them: whose clock it is read by.
    pub sources: Vec<Source>,
    /// Measures a source's events can change, by `Source as usize`.
    pub fed_by: [Vec<usize>; 5],
    /// For each measure the store of usage it is read from, as its bit in a [`StoreSet`]; every bit
    /// where more than that decides what it says.
    pub moved_by: Vec<StoreSet>,
    /// Measures whose value can matter to score, band or gates: they set deadlines. The others are
    /// read when a report wants them.
    pub scored: Vec<bool>,
    /// For measures that only grow with time: the value past which the score cannot notice.
    pub settled_from: Vec<f64>,
    /// For measures that only grow with time: up to which value the score cannot notice either, and
    /// the length of one step. Below 0 where there is no such value.
    pub flat_until: Vec<(f64, Span)>,
    /// The numbers that gates and alerts compare each measure's value with.
    pub thresholds: Vec<Vec<f64>>,
    /// How long settled tickets and invoices are kept for late statuses.
    pub item_horizon: Span,
    /// How far back tickets must be held for the windows over them.
    pub ticket_reach: Span,
    /// The same for invoices.
    pub invoice_reach: Span,
    /// The same for survey answers.
    pub answer_reach: Span,
}

impl Plan {
    /// Compiles what `card` needs.
    pub fn new(card: &Scorecard) -> Plan {
        let mut plan = Plan { item_horizon: card.item_horizon, ..Plan::default() };
        for (index, measure) in card.measures().enumerate() {
            let read = plan.read(measure);
            for source in fed_by(measure.kind) {
                plan.fed_by[*source as usize].push(index);
            }
            plan.keep_items(measure);
            if let (Some(Source::Usage), Some(length)) =
                (fed_by(measure.kind).first(), measure.window)
            {
                let window = Window::new(length, measure.pane);
                let before = measure.baseline.map(|length| Window::new(length, measure.pane));
                // A trend reads completed panes only: with its running one it reaches one back more.
                let panes = window.panes + before.map_or(0, |before| before.panes + 1);
                share(&mut plan.usage_windows, Window { panes, ..window });
            }
            plan.reads.push(read);
            plan.sources.push(fed_by(measure.kind)[0]);
            plan.measures.push(measure.clone());
            plan.scored.push(measure.weight != 0.0);
            plan.settled_from.push(settled_from(measure));
            plan.flat_until.push(flat_until(measure));
            plan.thresholds.push(Vec::new());
        }
        for rule in &card.alerts {
            match &rule.kind {
                AlertKind::Measure { measure, values, .. } => {
                    plan.thresholds[*measure].extend(values);
                }
                AlertKind::Opportunity { measure, value, .. } => {
                    plan.thresholds[*measure].push(*value);
                }
                AlertKind::ScoreDrop { .. }
                | AlertKind::BandEntered { .. }
                | AlertKind::Silence { .. }
                | AlertKind::RenewalAtRisk { .. }
                | AlertKind::Coverage { .. } => {}
            }
        }
        let alert_measures = card.alerts.iter().filter_map(|rule| rule.kind.measure());
        for (measure, threshold) in alert_measures {
            plan.scored[measure] = true;
            let settled_from = &mut plan.settled_from[measure];
            *settled_from = settled_from.max(threshold + 1.0);
        }
        for gate in &card.gates {
            gate.when.each_measure(&mut |measure, threshold| {
                plan.scored[measure] = true;
                // Past the threshold by a whole unit no comparison with it changes any more.
                let settled_from = &mut plan.settled_from[measure];
                *settled_from = settled_from.max(threshold + 1.0);
                plan.thresholds[measure].push(threshold);
            });
        }
        let moved_by = |(measure, read)| plan.moved_by(measure, read);
        plan.moved_by = plan.measures.iter().zip(&plan.reads).map(moved_by).collect();
        for ((until, _), thresholds) in plan.flat_until.iter_mut().zip(&plan.thresholds) {
            // Short of every threshold by a whole unit, as above.
            *until = thresholds.iter().fold(*until, |until, at| until.min(at - 1.0)).floor();
        }
        plan
    }

    fn read(&mut self, measure: &Measure) -> Read {
        let features = &measure.filter.features;
        // The parser requires a window wherever the kind needs one.
        let window = || {
            let length = measure.window.expect("the parser checked that there is a window");
            Window::new(length, measure.pane)
        };
        let before = || {
            let length = measure.baseline.expect("the parser checked that there is a baseline");
            Window::new(length, measure.pane)
        };
        let window_store = || WindowStore { features: features.clone(), window: window() };
        let distinct_store =
            |of| DistinctStore { of, features: features.clone(), window: window() };
        match measure.kind {
            MeasureKind::UsageEvents => {
                Read::Events { count: share(&mut self.counts, window_store()) }
            }
            MeasureKind::UsageQuantity => {
                Read::Quantity { sum: share(&mut self.sums, window_store()) }
            }
            MeasureKind::UsageActiveUsers => Read::ActiveUsers {
                distinct: share(&mut self.distincts, distinct_store(DistinctOf::Users)),
            },
            MeasureKind::UsageSeatUtilisation => Read::SeatUtilisation {
                distinct: share(&mut self.distincts, distinct_store(DistinctOf::Users)),
            },
            MeasureKind::UsageFeaturesUsed => Read::FeaturesUsed {
                distinct: share(&mut self.distincts, distinct_store(DistinctOf::Features)),
                out_of: (!features.is_empty()).then_some(features.len()),
            },
            MeasureKind::UsageActiveDays | MeasureKind::UsageActiveWeeks => {
                Read::ActivePanes { count: share(&mut self.counts, window_store()) }
            }
            MeasureKind::UsageDaysSinceLast => {
                Read::DaysSinceLast { last: share(&mut self.lasts, features.clone()) }
            }
            MeasureKind::UsageTrend => {
                let store = TrendStore {
                    features: features.clone(),
                    pane: measure.pane,
                    recent_panes: window().panes,
                    baseline_panes: before().panes,
                };
                Read::Trend { trend: share(&mut self.trends, store), prior: measure.prior }
            }
            MeasureKind::SupportOpened => Read::TicketsOpened(window()),
            MeasureKind::SupportOpen => Read::TicketsOpen,
            MeasureKind::SupportOldestOpenHours => Read::OldestOpenHours,
            MeasureKind::SupportReopened => Read::TicketsReopened(window()),
            MeasureKind::SupportEscalated => Read::TicketsEscalated(window()),
            MeasureKind::SupportResolutionHours => Read::ResolutionHours(window()),
            MeasureKind::PaymentOverdueDays => Read::OverdueDays,
            MeasureKind::PaymentOverdueMinor => Read::OverdueMinor,
            MeasureKind::PaymentLateShare => Read::LateShare(window()),
            MeasureKind::PaymentDaysToPay => Read::DaysToPay(window()),
            MeasureKind::PaymentFailed => Read::PaymentsFailed(window()),
            MeasureKind::PaymentReminders => Read::PaymentsReminded(window()),
            MeasureKind::PaymentDisputes => Read::PaymentsDisputed(window()),
            MeasureKind::PaymentGrowth => Read::Growth { recent: window(), before: before() },
            MeasureKind::SurveyNps => Read::Nps(window()),
            MeasureKind::SurveyCsat | MeasureKind::SurveyCes | MeasureKind::SurveyAssessment => {
                Read::MeanAnswer(window())
            }
            MeasureKind::AccountDaysToRenewal => Read::DaysToRenewal,
            MeasureKind::AccountAgeDays => Read::AgeDays,
        }
    }

    fn moved_by(&self, measure: &Measure, read: &Read) -> StoreSet {
        // Any event of its source makes a measure fresh that goes stale.
        if measure.stale_after.is_some() {
            return StoreSet::ALL;
        }
        // In the order in which the aggregate goes through them.
        let counts = self.lasts.len();
        let sums = counts + self.counts.len();
        let trends = sums + self.sums.len();
        let distincts = trends + self.trends.len();
        StoreSet::of(match *read {
            Read::DaysSinceLast { last } => last,
            Read::Events { count } | Read::ActivePanes { count } => counts + count,
            Read::Quantity { sum } => sums + sum,
            Read::Trend { trend, .. } => trends + trend,
            Read::ActiveUsers { distinct }
            | Read::SeatUtilisation { distinct }
            | Read::FeaturesUsed { distinct, .. } => distincts + distinct,
            Read::TicketsOpened(_)
            | Read::TicketsOpen
            | Read::OldestOpenHours
            | Read::TicketsReopened(_)
            | Read::TicketsEscalated(_)
            | Read::ResolutionHours(_)
            | Read::OverdueDays
            | Read::OverdueMinor
            | Read::LateShare(_)
            | Read::DaysToPay(_)
            | Read::PaymentsFailed(_)
            | Read::PaymentsReminded(_)
            | Read::PaymentsDisputed(_)
            | Read::Growth { .. }
            | Read::Nps(_)
            | Read::MeanAnswer(_)
            | Read::DaysToRenewal
            | Read::AgeDays => return StoreSet::ALL,
        })
    }

    /// How far back anything is looked at: what is older has no say in a score.
    pub fn reach(&self) -> Span {
        let usage = self.usage_windows.iter().map(|window| window.pane * window.panes);
        let others = [self.item_horizon, self.ticket_reach, self.invoice_reach, self.answer_reach];
        usage.chain(others).max().expect("there are some")
    }

    fn keep_items(&mut self, measure: &Measure) {
        // One pane more: the window covers whole panes, the oldest of them wholly.
        let reach = measure.window.unwrap_or_default()
            + measure.baseline.unwrap_or_default()
            + measure.pane;
        let reach = reach.max(measure.stale_after.unwrap_or_default());
        match fed_by(measure.kind).first() {
            Some(Source::Ticket) => self.ticket_reach = self.ticket_reach.max(reach),
            Some(Source::Payment) => self.invoice_reach = self.invoice_reach.max(reach),
            Some(Source::Survey) => self.answer_reach = self.answer_reach.max(reach),
            Some(Source::Usage | Source::Profile) | None => {}
        }
    }
}

/// Some of a plan's stores of usage, by their position: lists of features, then counts, sums, trends
/// and distinct values. Past the 62nd they are taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreSet(u64);

impl StoreSet {
    /// No store, and yet what any event changes: when there was one last.
    pub const NONE: StoreSet = StoreSet(1);
    /// Every store.
    pub const ALL: StoreSet = StoreSet(u64::MAX);

    /// The store at this position.
    pub fn of(position: usize) -> StoreSet {
        StoreSet(2 << position.min(62))
    }

    /// Adds the stores of another set.
    pub fn add(&mut self, other: StoreSet) {
        self.0 |= other.0;
    }

    /// Whether any store is in both; [`StoreSet::ALL`] has something in common with every set.
    pub fn meets(self, other: StoreSet) -> bool {
        self.0 & other.0 != 0
    }
}

fn settled_from(measure: &Measure) -> f64 {
    let grows = matches!(
        measure.kind,
        MeasureKind::UsageDaysSinceLast
            | MeasureKind::SupportOldestOpenHours
            | MeasureKind::PaymentOverdueDays
            | MeasureKind::AccountAgeDays
    );
    match measure.curve.flat_from() {
        Some(value) if grows && measure.stale_after.is_none() => value,
        _ => f64::INFINITY,
    }
}

/// See [`Plan::flat_until`]; thresholds not yet minded.
fn flat_until(measure: &Measure) -> (f64, Span) {
    let unit = match measure.kind {
        MeasureKind::UsageDaysSinceLast
        | MeasureKind::PaymentOverdueDays
        | MeasureKind::AccountAgeDays => Span::DAY,
        MeasureKind::SupportOldestOpenHours => Span::HOUR,
        _ => return (-1.0, Span::ZERO),
    };
    match measure.curve.flat_until() {
        Some(value) if measure.stale_after.is_none() => (value.min(100_000.0), unit),
        _ => (-1.0, unit),
    }
}

/// The sources whose events can change a measure's value; the first holds its events. A change of
/// profile, or of the account's first event, has everything read again and is not listed here.
pub fn fed_by(kind: MeasureKind) -> &'static [Source] {
    use MeasureKind::*;
    match kind {
        UsageEvents | UsageQuantity | UsageActiveUsers | UsageSeatUtilisation
        | UsageFeaturesUsed | UsageActiveDays | UsageActiveWeeks | UsageDaysSinceLast
        | UsageTrend => &[Source::Usage],
        SupportOpened
        | SupportOpen
        | SupportOldestOpenHours
        | SupportReopened
        | SupportEscalated
        | SupportResolutionHours => &[Source::Ticket],
        PaymentOverdueDays | PaymentOverdueMinor | PaymentLateShare | PaymentDaysToPay
        | PaymentFailed | PaymentReminders | PaymentDisputes | PaymentGrowth => &[Source::Payment],
        SurveyNps | SurveyCsat | SurveyCes | SurveyAssessment => &[Source::Survey],
        AccountDaysToRenewal | AccountAgeDays => &[Source::Profile],
    }
}

impl Plan {
    /// Whether score, gates and alerts see two values of a measure alike, as far as thresholds go.
    pub fn on_same_sides(&self, measure: usize, one: f64, other: f64) -> bool {
        let side = |value: f64, at: f64| (value < at - TOLERANCE, value > at + TOLERANCE);
        // Values that lie nearer to a threshold's rim than rounding reaches are told apart.
        self.thresholds[measure].iter().all(|at| {
            let far = |value: f64| ((value - at).abs() - TOLERANCE).abs() > TOLERANCE / 1e3;
            side(one, *at) == side(other, *at) && far(one) && far(other)
        })
    }

    /// Until when score, gates and alerts cannot notice that a measure grows which has this
    /// value until then.
    pub fn unnoticed_until(
        &self,
        measure: usize,
        value: Option<f64>,
        until: EventTime,
    ) -> EventTime {
        let (flat_until, unit) = self.flat_until[measure];
        match value {
            Some(value) if value >= self.settled_from[measure] => EventTime::MAX,
            Some(value) if value <= flat_until => until + unit * (flat_until - value) as i64,
            _ => until,
        }
    }
}

impl Filter {
    /// The survey ids a survey measure reads: its filter's, else the one its kind names.
    pub fn reads_survey(&self, kind: MeasureKind, survey: &str) -> bool {
        match kind {
            MeasureKind::SurveyNps => survey == "nps",
            MeasureKind::SurveyCsat => survey == "csat",
            MeasureKind::SurveyCes => survey == "ces",
            _ => self.surveys.iter().any(|id| id == survey),
        }
    }
}

fn share<S: PartialEq>(stores: &mut Vec<S>, store: S) -> usize {
    match stores.iter().position(|known| *known == store) {
        Some(index) => index,
        None => {
            stores.push(store);
            stores.len() - 1
        }
    }
}
