//! The 29 measures of section 4, each computed anew from an account's whole history.
//!
//! Also names the instants at which a measure may change with time alone: a superset is
//! enough, since every instant is judged from scratch. Knows no curves, weights or staleness
//! rules beyond when a reading was taken.

use std::collections::{BTreeMap, BTreeSet};

use super::account::{History, Item};
use super::card::{Card, Measure, Window};
use super::clock::Clock;
use super::event::{Answer, DAY_MS, HOUR_MS, Source, Status, Usage};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
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

impl Kind {
    pub fn parse(name: &str) -> Kind {
        match name {
            "usage.events" => Kind::UsageEvents,
            "usage.quantity" => Kind::UsageQuantity,
            "usage.active_users" => Kind::UsageActiveUsers,
            "usage.seat_utilisation" => Kind::UsageSeatUtilisation,
            "usage.features_used" => Kind::UsageFeaturesUsed,
            "usage.active_days" => Kind::UsageActiveDays,
            "usage.active_weeks" => Kind::UsageActiveWeeks,
            "usage.days_since_last" => Kind::UsageDaysSinceLast,
            "usage.trend" => Kind::UsageTrend,
            "support.opened" => Kind::SupportOpened,
            "support.open" => Kind::SupportOpen,
            "support.oldest_open_hours" => Kind::SupportOldestOpenHours,
            "support.reopened" => Kind::SupportReopened,
            "support.escalated" => Kind::SupportEscalated,
            "support.resolution_hours" => Kind::SupportResolutionHours,
            "payment.overdue_days" => Kind::PaymentOverdueDays,
            "payment.overdue_minor" => Kind::PaymentOverdueMinor,
            "payment.late_share" => Kind::PaymentLateShare,
            "payment.days_to_pay" => Kind::PaymentDaysToPay,
            "payment.failed" => Kind::PaymentFailed,
            "payment.reminders" => Kind::PaymentReminders,
            "payment.disputes" => Kind::PaymentDisputes,
            "payment.growth" => Kind::PaymentGrowth,
            "survey.nps" => Kind::SurveyNps,
            "survey.csat" => Kind::SurveyCsat,
            "survey.ces" => Kind::SurveyCes,
            "survey.assessment" => Kind::SurveyAssessment,
            "account.days_to_renewal" => Kind::AccountDaysToRenewal,
            "account.age_days" => Kind::AccountAgeDays,
            other => panic!("cannot read measure `{other}`"),
        }
    }

    pub fn source(self) -> Source {
        match self {
            Kind::UsageEvents
            | Kind::UsageQuantity
            | Kind::UsageActiveUsers
            | Kind::UsageSeatUtilisation
            | Kind::UsageFeaturesUsed
            | Kind::UsageActiveDays
            | Kind::UsageActiveWeeks
            | Kind::UsageDaysSinceLast
            | Kind::UsageTrend => Source::Usage,
            Kind::SupportOpened
            | Kind::SupportOpen
            | Kind::SupportOldestOpenHours
            | Kind::SupportReopened
            | Kind::SupportEscalated
            | Kind::SupportResolutionHours => Source::Ticket,
            Kind::PaymentOverdueDays
            | Kind::PaymentOverdueMinor
            | Kind::PaymentLateShare
            | Kind::PaymentDaysToPay
            | Kind::PaymentFailed
            | Kind::PaymentReminders
            | Kind::PaymentDisputes
            | Kind::PaymentGrowth => Source::Payment,
            Kind::SurveyNps | Kind::SurveyCsat | Kind::SurveyCes | Kind::SurveyAssessment => {
                Source::Survey
            }
            Kind::AccountDaysToRenewal | Kind::AccountAgeDays => Source::Profile,
        }
    }

    /// Only growth has a window of its own accord.
    pub fn default_window_ms(self) -> Option<i64> {
        (self == Kind::PaymentGrowth).then_some(364 * DAY_MS)
    }

    /// Active days and weeks count panes of their own length.
    pub fn own_pane_ms(self) -> Option<i64> {
        match self {
            Kind::UsageActiveDays => Some(DAY_MS),
            Kind::UsageActiveWeeks => Some(7 * DAY_MS),
            _ => None,
        }
    }
}

impl Window {
    /// The window at `t` covers the pane that holds `t` and those before it.
    fn holds(&self, at: i64, t: i64) -> bool {
        self.held_before(at, t, 0)
    }

    /// The same, `skip` panes earlier.
    fn held_before(&self, at: i64, t: i64, skip: i64) -> bool {
        let newest = t.div_euclid(self.pane_ms) - skip;
        let pane = at.div_euclid(self.pane_ms);
        newest - self.panes < pane && pane <= newest
    }
}

impl Measure {
    fn window(&self) -> Window {
        self.window.unwrap_or_else(|| panic!("measure `{}` has no window", self.id))
    }
}

/// The measure by the clock, or nothing where there is no data to say anything.
pub fn value(measure: &Measure, history: &History, clock: &Clock) -> Option<f64> {
    let t = clock.of(measure.kind.source());
    match measure.kind {
        Kind::UsageEvents => {
            history.last(Source::Usage)?;
            Some(usage_in_window(measure, history, t).len() as f64)
        }
        Kind::UsageQuantity => {
            history.last(Source::Usage)?;
            let events = usage_in_window(measure, history, t);
            let sum: i64 = events.iter().map(|event| event.quantity_thousandths).sum();
            Some(sum as f64 / 1_000.0)
        }
        Kind::UsageActiveUsers => active_users(measure, history, t),
        Kind::UsageSeatUtilisation => {
            let seats = history.profile_field("seats")?.as_f64()?;
            let active = active_users(measure, history, t)?;
            (seats > 0.0).then(|| active / seats)
        }
        Kind::UsageFeaturesUsed => {
            history.last(Source::Usage)?;
            let events = usage_in_window(measure, history, t);
            let used: BTreeSet<&String> = events.iter().map(|event| &event.feature).collect();
            let Some(features) = &measure.features else {
                return Some(used.len() as f64);
            };
            let listed: BTreeSet<&String> = features.iter().collect();
            Some(used.len() as f64 / listed.len() as f64)
        }
        Kind::UsageActiveDays | Kind::UsageActiveWeeks => {
            history.last(Source::Usage)?;
            let pane_ms = measure.window().pane_ms;
            let events = usage_in_window(measure, history, t);
            let panes: BTreeSet<i64> =
                events.iter().map(|event| event.at.div_euclid(pane_ms)).collect();
            Some(panes.len() as f64)
        }
        Kind::UsageDaysSinceLast => {
            let last = last_matching_usage(measure, history)?;
            Some(whole(clock.elapsed(Source::Usage, last), DAY_MS))
        }
        Kind::UsageTrend => trend(measure, history, t),
        Kind::SupportOpened => {
            history.first_at?;
            let window = measure.window();
            let tickets = history.tickets.iter().filter_map(first_opened);
            let counted = tickets
                .filter(|opened| window.holds(opened.at, t) && status_matches(measure, opened));
            Some(counted.count() as f64)
        }
        Kind::SupportOpen => {
            history.first_at?;
            Some(open_tickets(measure, history).count() as f64)
        }
        Kind::SupportOldestOpenHours => {
            history.first_at?;
            let oldest = open_tickets(measure, history).map(opened_at).min();
            Some(oldest.map_or(0.0, |opened| whole(t - opened, HOUR_MS)))
        }
        Kind::SupportReopened => {
            history.first_at?;
            Some(statuses_in_window(measure, &history.tickets, "reopened", t))
        }
        Kind::SupportEscalated => {
            history.first_at?;
            Some(statuses_in_window(measure, &history.tickets, "escalated", t))
        }
        Kind::SupportResolutionHours => resolution_hours(measure, history, t),
        Kind::PaymentOverdueDays => {
            history.last(Source::Payment)?;
            let unpaid = invoices(history).filter(|invoice| invoice.state == InvoiceState::Unpaid);
            let due = unpaid.filter_map(|invoice| invoice.due_at).filter(|due| *due <= t).min();
            Some(due.map_or(0.0, |due| whole(t - due, DAY_MS)))
        }
        Kind::PaymentOverdueMinor => {
            history.last(Source::Payment)?;
            let currency = history.currency();
            let overdue = invoices(history).filter(|invoice| {
                invoice.state == InvoiceState::Unpaid
                    && invoice.due_at.is_some_and(|due| due <= t)
                    && Some(&invoice.currency) == currency.as_ref()
            });
            Some(overdue.map(|invoice| invoice.amount_minor).sum::<i64>() as f64)
        }
        Kind::PaymentLateShare => late_share(measure, history, t),
        Kind::PaymentDaysToPay => days_to_pay(measure, history, t),
        Kind::PaymentFailed => {
            history.last(Source::Payment)?;
            Some(statuses_in_window(measure, &history.invoices, "failed", t))
        }
        Kind::PaymentReminders => {
            history.last(Source::Payment)?;
            Some(statuses_in_window(measure, &history.invoices, "reminded", t))
        }
        Kind::PaymentDisputes => {
            history.last(Source::Payment)?;
            Some(statuses_in_window(measure, &history.invoices, "disputed", t))
        }
        Kind::PaymentGrowth => growth(measure, history, t),
        Kind::SurveyNps => {
            let answers = latest_answers(measure, history, t);
            let points = answers.iter().map(|answer| match answer.score_thousandths {
                9_000.. => 100.0,
                ..=6_000 => -100.0,
                _ => 0.0,
            });
            mean(points.collect())
        }
        Kind::SurveyCsat | Kind::SurveyCes | Kind::SurveyAssessment => {
            let answers = latest_answers(measure, history, t);
            mean(answers.iter().map(|answer| answer.percent()).collect())
        }
        Kind::AccountDaysToRenewal => {
            let renewal = history.profile_instant("renewal_at")?;
            Some((renewal - t).div_euclid(DAY_MS) as f64)
        }
        Kind::AccountAgeDays => {
            let started = history.profile_instant("started_at")?;
            Some(whole(t - started, DAY_MS))
        }
    }
}

/// When the data behind the measure was last refreshed, for `stale_after`.
pub fn read_at(measure: &Measure, history: &History, t: i64) -> Option<i64> {
    match (measure.kind, measure.kind.source()) {
        (Kind::UsageDaysSinceLast, _) => last_matching_usage(measure, history),
        (_, Source::Survey) => {
            latest_answers(measure, history, t).iter().map(|answer| answer.at).max()
        }
        (_, source) => history.last(source),
    }
}

/// Puts into `instants` all instants after the clock's time up to `to` at which the measure may
/// change by time alone, and perhaps others.
pub fn instants(
    measure: &Measure,
    history: &History,
    clock: &Clock,
    to: i64,
    instants: &mut BTreeSet<i64>,
) {
    let from = clock.now;
    let mut add = |at: i64| {
        if from < at && at <= to {
            instants.insert(at);
        }
    };
    let anchors = anchors(measure.kind.source(), history);
    if let Some(window) = measure.window {
        let (near, far) = (window.panes, window.panes + window.baseline_panes);
        for anchor in anchors.iter().chain(&history.beginning()) {
            let pane = anchor.div_euclid(window.pane_ms);
            for later in [0, 1, near, near + 1, far, far + 1] {
                add((pane + later) * window.pane_ms);
            }
        }
    }
    if let Some(stale_after_ms) = measure.stale_after_ms {
        for anchor in &anchors {
            add(clock.full_at(measure.kind.source(), *anchor, stale_after_ms));
        }
    }
    // Ages step at whole units after the one instant they count from.
    let mut step_from = |start: Option<i64>, unit_ms: i64| {
        let Some(start) = start else { return };
        let mut step = (from - start).div_euclid(unit_ms) - 1;
        while start + step * unit_ms <= to {
            add(start + step * unit_ms);
            step += 1;
        }
    };
    match measure.kind {
        Kind::UsageDaysSinceLast => {
            let Some(last) = last_matching_usage(measure, history) else { return };
            for day in 0.. {
                let at = clock.full_at(Source::Usage, last, day * DAY_MS);
                if at > to {
                    break;
                }
                add(at);
            }
        }
        Kind::SupportOldestOpenHours => {
            step_from(open_tickets(measure, history).map(opened_at).min(), HOUR_MS);
        }
        Kind::PaymentOverdueDays | Kind::PaymentOverdueMinor | Kind::PaymentLateShare => {
            let unpaid = invoices(history).filter(|invoice| invoice.state == InvoiceState::Unpaid);
            let dues: Vec<i64> = unpaid.filter_map(|invoice| invoice.due_at).collect();
            step_from(dues.iter().min().copied(), DAY_MS);
            for due in dues {
                add(due);
            }
        }
        Kind::AccountDaysToRenewal => {
            // Days that remain are rounded down too, so they step just after the whole day.
            step_from(history.profile_instant("renewal_at").map(|at| at + 1), DAY_MS);
        }
        Kind::AccountAgeDays => step_from(history.profile_instant("started_at"), DAY_MS),
        _ => {}
    }
}

/// Whether no window over usage reaches back to `at` any more.
pub fn older_than_every_window(card: &Card, at: i64, now: i64) -> bool {
    let usage = card.measures().filter(|measure| measure.kind.source() == Source::Usage);
    let mut windows = usage.filter_map(|measure| Some((measure.kind, measure.window?))).peekable();
    windows.peek().is_some()
        && windows.all(|(kind, window)| {
            let reach = match kind {
                Kind::UsageTrend => window.panes + window.baseline_panes,
                _ => window.panes - 1,
            };
            at.div_euclid(window.pane_ms) < now.div_euclid(window.pane_ms) - reach
        })
}

/// Whole elapsed units, rounded down; never negative, whatever the clocks said.
fn whole(elapsed_ms: i64, unit_ms: i64) -> f64 {
    elapsed_ms.max(0).div_euclid(unit_ms) as f64
}

fn mean(values: Vec<f64>) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn allows(filter: &Option<Vec<String>>, value: Option<&String>) -> bool {
    match filter {
        None => true,
        Some(allowed) => value.is_some_and(|value| allowed.contains(value)),
    }
}

/// Every instant of a source's events (and due dates), from which its panes are reckoned.
fn anchors(source: Source, history: &History) -> Vec<i64> {
    let statuses = |items: &[Item]| -> Vec<i64> {
        let all = items.iter().flat_map(|item| &item.statuses);
        all.flat_map(|status| [Some(status.at), status.due_at]).flatten().collect()
    };
    let mut anchors: Vec<i64> = match source {
        Source::Usage => history.usage.iter().map(|event| event.at).collect(),
        Source::Ticket => statuses(&history.tickets),
        Source::Payment => statuses(&history.invoices),
        Source::Survey => history.answers.iter().map(|answer| answer.at).collect(),
        Source::Profile => Vec::new(),
    };
    anchors.extend(history.last(source));
    anchors
}

// Usage.

fn usage_matches(measure: &Measure, event: &Usage) -> bool {
    allows(&measure.features, Some(&event.feature))
}

fn usage_in_window<'a>(measure: &Measure, history: &'a History, t: i64) -> Vec<&'a Usage> {
    let window = measure.window();
    let events = history.usage.iter();
    events.filter(|event| window.holds(event.at, t) && usage_matches(measure, event)).collect()
}

fn active_users(measure: &Measure, history: &History, t: i64) -> Option<f64> {
    history.last(Source::Usage)?;
    let events = usage_in_window(measure, history, t);
    let users: BTreeSet<&String> = events.iter().filter_map(|e| e.user_id.as_ref()).collect();
    Some(users.len() as f64)
}

fn last_matching_usage(measure: &Measure, history: &History) -> Option<i64> {
    let events = history.usage.iter().filter(|event| usage_matches(measure, event));
    events.map(|event| event.at).max()
}

/// Over completed panes only: the pane that holds `t` is not looked at.
fn trend(measure: &Measure, history: &History, t: i64) -> Option<f64> {
    history.last(Source::Usage)?;
    let window = measure.window();
    let window_start = t.div_euclid(window.pane_ms) - window.panes;
    let window_end = window_start + window.panes;
    let baseline_start = window_start - window.baseline_panes;
    if history.beginning()? > baseline_start * window.pane_ms {
        return None;
    }
    let count = |start: i64, end: i64| {
        let events = history.usage.iter().filter(|event| usage_matches(measure, event));
        let panes = events.map(|event| event.at.div_euclid(window.pane_ms));
        panes.filter(|pane| start <= *pane && *pane < end).count() as f64
    };
    let recent = count(window_start, window_end);
    let before = count(baseline_start, window_start);
    if before == 0.0 {
        let past_ms = baseline_start * window.pane_ms;
        let used_in_the_past = history.usage.iter().any(|event| event.at < past_ms);
        return (recent == 0.0 && used_in_the_past).then_some(0.0);
    }
    let daily = |count: f64, panes: i64| {
        (count + measure.prior) / ((panes * window.pane_ms) as f64 / DAY_MS as f64)
    };
    Some(daily(recent, window.panes) / daily(before, window.baseline_panes))
}

// Support.

/// A count of statuses looks at the record's own priority and category.
fn status_matches(measure: &Measure, status: &Status) -> bool {
    let normal = "normal".to_string();
    allows(&measure.priorities, Some(status.priority.as_ref().unwrap_or(&normal)))
        && allows(&measure.categories, status.category.as_ref())
}

/// A ticket as a whole has the priority and category last given to it.
fn ticket_matches(measure: &Measure, ticket: &Item) -> bool {
    let normal = "normal".to_string();
    let latest_first = || ticket.statuses.iter().rev();
    let priority = latest_first().find_map(|status| status.priority.as_ref());
    let category = latest_first().find_map(|status| status.category.as_ref());
    allows(&measure.priorities, Some(priority.unwrap_or(&normal)))
        && allows(&measure.categories, category)
}

fn first_opened(ticket: &Item) -> Option<&Status> {
    ticket.statuses.iter().find(|status| status.status == "opened")
}

/// The earliest `opened`, else the earliest status known.
fn opened_at(ticket: &Item) -> i64 {
    first_opened(ticket).unwrap_or(&ticket.statuses[0]).at
}

fn open_tickets<'a>(
    measure: &'a Measure,
    history: &'a History,
) -> impl Iterator<Item = &'a Item> + 'a {
    history.tickets.iter().filter(|ticket| {
        let latest = ticket.deciding().expect("a ticket has a status").status;
        !matches!(latest, "resolved" | "closed") && ticket_matches(measure, ticket)
    })
}

fn statuses_in_window(measure: &Measure, items: &[Item], status: &str, t: i64) -> f64 {
    let window = measure.window();
    let statuses = items.iter().flat_map(|item| &item.statuses);
    let counted = statuses.filter(|known| {
        let matches = measure.kind.source() == Source::Payment || status_matches(measure, known);
        known.status == status && window.holds(known.at, t) && matches
    });
    counted.count() as f64
}

fn resolution_hours(measure: &Measure, history: &History, t: i64) -> Option<f64> {
    let window = measure.window();
    let mut hours = Vec::new();
    for ticket in history.tickets.iter().filter(|ticket| ticket_matches(measure, ticket)) {
        let resolved = ticket.statuses.iter().rev().find(|status| status.status == "resolved");
        let (Some(opened), Some(resolved)) = (first_opened(ticket), resolved) else { continue };
        if window.holds(resolved.at, t) {
            hours.push((resolved.at - opened.at) as f64 / HOUR_MS as f64);
        }
    }
    mean(hours)
}

// Payment.

#[derive(Clone, Copy, Debug, PartialEq)]
enum InvoiceState {
    Unpaid,
    Settled,
    Voided,
}

struct Invoice {
    state: InvoiceState,
    due_at: Option<i64>,
    paid_at: Option<i64>,
    amount_minor: i64,
    currency: String,
}

/// Due date and amount are those of the latest `issued`.
fn invoices(history: &History) -> impl Iterator<Item = Invoice> + '_ {
    history.invoices.iter().map(|item| {
        let latest = |wanted: &str| item.statuses.iter().rev().find(|s| s.status == wanted);
        let issued = latest("issued");
        Invoice {
            state: match item.deciding().map(|status| status.status) {
                Some("paid" | "refunded") => InvoiceState::Settled,
                Some("voided") => InvoiceState::Voided,
                _ => InvoiceState::Unpaid,
            },
            due_at: issued.and_then(|status| status.due_at),
            paid_at: latest("paid").map(|status| status.at),
            amount_minor: issued.map_or(0, |status| status.amount_minor),
            currency: issued.map(|status| status.currency.clone()).unwrap_or_default(),
        }
    })
}

fn late_share(measure: &Measure, history: &History, t: i64) -> Option<f64> {
    let window = measure.window();
    let mut late = Vec::new();
    for invoice in invoices(history) {
        let Some(due) = invoice.due_at.filter(|due| window.holds(*due, t)) else { continue };
        match invoice.state {
            InvoiceState::Voided => {}
            InvoiceState::Settled => {
                late.push(f64::from(invoice.paid_at.is_some_and(|paid| paid > due)));
            }
            InvoiceState::Unpaid => late.push(f64::from(due <= t)),
        }
    }
    mean(late)
}

fn days_to_pay(measure: &Measure, history: &History, t: i64) -> Option<f64> {
    let window = measure.window();
    let mut days = Vec::new();
    for invoice in invoices(history) {
        let (Some(due), Some(paid)) = (invoice.due_at, invoice.paid_at) else { continue };
        if invoice.state == InvoiceState::Settled && window.holds(paid, t) {
            days.push((paid - due) as f64 / DAY_MS as f64);
        }
    }
    mean(days)
}

/// Money paid less money refunded, each in its own pane, in the account's currency.
fn growth(measure: &Measure, history: &History, t: i64) -> Option<f64> {
    let window = measure.window();
    let before = Window { panes: window.baseline_panes, ..window };
    let currency = history.currency()?;
    let mut sums = BTreeMap::from([("recent", 0), ("before", 0)]);
    let voided = |item: &&Item| item.deciding().is_some_and(|status| status.status == "voided");
    let invoices = history.invoices.iter().filter(|item| !voided(item));
    for status in invoices.flat_map(|item| &item.statuses) {
        let amount = match status.status {
            "paid" => status.amount_minor,
            "refunded" => -status.amount_minor,
            _ => 0,
        };
        if status.currency != currency {
            continue;
        }
        if window.holds(status.at, t) {
            *sums.get_mut("recent").expect("just made") += amount;
        } else if before.held_before(status.at, t, window.panes) {
            *sums.get_mut("before").expect("just made") += amount;
        }
    }
    (sums["before"] > 0).then(|| sums["recent"] as f64 / sums["before"] as f64)
}

// Surveys.

/// The latest answer of each respondent to each survey, among those in the window that pass
/// the filters.
fn latest_answers<'a>(measure: &Measure, history: &'a History, t: i64) -> Vec<&'a Answer> {
    let window = measure.window();
    let mut latest: BTreeMap<(&str, Option<&str>, &str), &Answer> = BTreeMap::new();
    for answer in &history.answers {
        let wanted = match measure.kind {
            Kind::SurveyNps => answer.survey == "nps",
            Kind::SurveyCsat => answer.survey == "csat",
            Kind::SurveyCes => answer.survey == "ces",
            _ => !matches!(answer.survey.as_str(), "nps" | "csat" | "ces"),
        };
        let wanted = wanted
            && window.holds(answer.at, t)
            && allows(&measure.surveys, Some(&answer.survey))
            && allows(&measure.roles, answer.role.as_ref());
        if !wanted {
            continue;
        }
        let respondent = answer.respondent_id.as_deref();
        // An answer that names nobody is a respondent of its own.
        let nobody = if respondent.is_none() { answer.event_id.as_str() } else { "" };
        let known = latest.entry((&answer.survey, respondent, nobody)).or_insert(answer);
        if (known.at, &known.event_id) < (answer.at, &answer.event_id) {
            *known = answer;
        }
    }
    latest.into_values().collect()
}
