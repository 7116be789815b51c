//! The life of one alert rule for one account (section 6): what holds since when, what fires.
//!
//! Looks at one instant at a time, after the band was judged at it, and names the instants at which
//! it has to be asked again. The past of the score is handed in whole; nothing is kept of it here.

use super::account::History;
use super::band::Place;
use super::card::{AlertKind, AlertRule, Severity};
use super::clock::Clock;
use super::event::{HOUR_MS, Source};
use super::score::{Evaluation, TOLERANCE, holds};

/// What a rule sees of its account at one instant.
pub struct Sight<'a> {
    pub t: i64,
    /// At `t`.
    pub clock: &'a Clock,
    pub history: &'a History,
    pub evaluation: &'a Evaluation,
    /// The published band.
    pub place: Place,
    pub past: &'a Past,
    /// From when on verdicts are published.
    pub publish_from: i64,
}

/// Every score there was and from when on it was in force, oldest first; null scores too.
#[derive(Clone, Debug, Default)]
pub struct Past {
    steps: Vec<(i64, Option<f64>)>,
}

#[derive(Clone, Debug)]
pub struct Alert {
    /// By level: since when it has held without interruption.
    held_since: Vec<Option<i64>>,
    episode: Option<Episode>,
    fired_at: Option<i64>,
    /// Only hours that end later count for a drop.
    window_start: i64,
    /// Since when the published band has been one of an opportunity's.
    in_bands_since: Option<i64>,
    /// Whether the data was there at some time.
    was_covered: bool,
}

#[derive(Clone, Debug)]
struct Episode {
    since: i64,
    severity: Severity,
    /// The lowest score since the firing, and when it came.
    low: f64,
    low_at: i64,
    /// Begun before anything was published, and not told yet.
    silent: bool,
}

/// What is published of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Fired { severity: Severity, since: i64, escalated_from: Option<Severity> },
    Resolved { severity: Severity, since: i64 },
}

impl Past {
    pub fn push(&mut self, t: i64, score: Option<f64>) {
        if self.steps.last().is_none_or(|(_, known)| *known != score) {
            self.steps.push((t, score));
        }
    }

    /// The hourly samples with ends in `from..=to`, as (end, score): of each score the last hour that
    /// ended under it, for that one leaves the window last.
    fn samples(&self, from: i64, to: i64) -> Vec<(i64, f64)> {
        let ends = self.steps.iter().skip(1).map(|(end, _)| *end).chain([i64::MAX]);
        let steps = self.steps.iter().zip(ends);
        steps
            .filter_map(|((start, score), end)| {
                let hour_end = end.min(to).div_euclid(HOUR_MS) * HOUR_MS;
                (hour_end > *start && hour_end >= from).then_some((hour_end, (*score)?))
            })
            .collect()
    }
}

impl Alert {
    pub fn new(rule: &AlertRule) -> Alert {
        Alert {
            held_since: vec![None; rule.levels.len()],
            episode: None,
            fired_at: None,
            window_start: i64::MIN,
            in_bands_since: None,
            was_covered: false,
        }
    }

    /// Status, severity and since when, unless the rule is inactive. What is pending has the severity
    /// of the worst level that holds.
    pub fn status(&self, rule: &AlertRule) -> Option<(&'static str, Severity, i64)> {
        if let Some(episode) = &self.episode {
            return Some(("firing", episode.severity, episode.since));
        }
        let held = self
            .held_since
            .iter()
            .zip(&rule.levels)
            .filter_map(|(since, level)| Some((level.severity, (*since)?)));
        let (severity, _) = held.clone().next_back()?;
        Some(("pending", severity, held.map(|(_, since)| since).min()?))
    }

    /// Looks at the account, and says what is to be published.
    pub fn look(&mut self, rule: &AlertRule, sight: &Sight) -> Option<Told> {
        let t = sight.t;
        let allowed = rule
            .only_where
            .as_ref()
            .is_none_or(|condition| holds(condition, sight.history, &sight.evaluation.dimensions));
        self.remember(rule, sight);
        for index in 0..rule.levels.len() {
            let held = allowed
                && (self.episode.is_some() || may_begin(rule, sight))
                && self.level_holds(rule, index, sight);
            let since = &mut self.held_since[index];
            *since = if held { since.or(Some(t)) } else { None };
        }
        let told = match self.episode.take() {
            Some(episode) if self.is_over(rule, &episode, allowed, sight) => {
                self.held_since.fill(None);
                self.window_start = t;
                let Episode { severity, since, silent, .. } = episode;
                return (!silent).then_some(Told::Resolved { severity, since });
            }
            Some(episode) => self.go_on(rule, episode, t),
            None => self.begin(rule, sight),
        };
        self.publish(told, sight)
    }

    /// Keeps what conditions ask of the past, but for the score.
    fn remember(&mut self, rule: &AlertRule, sight: &Sight) {
        match &rule.kind {
            AlertKind::Opportunity { bands, .. } => {
                let inside = sight.place.is_some_and(|place| bands.contains(&place));
                self.in_bands_since =
                    if inside { self.in_bands_since.or(Some(sight.t)) } else { None };
            }
            AlertKind::Coverage => {
                self.was_covered |= sight.evaluation.coverage >= rule.levels[0].number - TOLERANCE;
            }
            AlertKind::ScoreDrop { .. } => {
                let Some(score) = sight.evaluation.score else { return };
                if let Some(episode) = &mut self.episode
                    && score < episode.low - TOLERANCE
                {
                    (episode.low, episode.low_at) = (score, sight.t);
                }
            }
            AlertKind::BandEntered { .. }
            | AlertKind::Measure { .. }
            | AlertKind::Silence
            | AlertKind::RenewalAtRisk { .. } => {}
        }
    }

    fn level_holds(&self, rule: &AlertRule, index: usize, sight: &Sight) -> bool {
        let (t, number) = (sight.t, rule.levels[index].number);
        let in_bands = |bands: &[usize]| sight.place.is_some_and(|place| bands.contains(&place));
        match &rule.kind {
            AlertKind::ScoreDrop { within_ms, .. } => {
                self.drop_leaves_at(*within_ms, number, sight).is_some()
            }
            AlertKind::BandEntered { bands } => in_bands(bands),
            AlertKind::Measure { id, test } => {
                let reading = sight.evaluation.readings().find(|reading| reading.id == *id);
                let reading = reading.unwrap_or_else(|| panic!("no measure `{id}`"));
                reading.value.is_some_and(|value| test(number).holds(value))
            }
            AlertKind::Silence => {
                let last = sight.history.last(Source::Usage);
                last.is_some_and(|last| sight.clock.elapsed(Source::Usage, last) >= number as i64)
            }
            AlertKind::RenewalAtRisk { bands } => {
                let renewal_at = sight.history.profile_instant("renewal_at");
                let near = renewal_at.is_some_and(|at| at - number as i64 <= t && t < at);
                near && in_bands(bands)
            }
            AlertKind::Opportunity { for_ms, rising, .. } => {
                self.in_bands_since.is_some_and(|since| t >= since + for_ms)
                    && holds(rising, sight.history, &sight.evaluation.dimensions)
            }
            AlertKind::Coverage => {
                self.was_covered && sight.evaluation.coverage < number - TOLERANCE
            }
        }
    }

    /// When the last sample that makes the present score a drop by `points` will have left the
    /// window; nothing where there is none.
    fn drop_leaves_at(&self, within_ms: i64, points: f64, sight: &Sight) -> Option<i64> {
        let score = sight.evaluation.score?;
        let from = (sight.t - within_ms).max(self.window_start.saturating_add(1));
        let samples = sight.past.samples(from, sight.t).into_iter();
        let high = samples.filter(|(_, sample)| sample - score >= points - TOLERANCE);
        high.map(|(end, _)| end + within_ms + 1).max()
    }

    fn is_over(&self, rule: &AlertRule, episode: &Episode, allowed: bool, sight: &Sight) -> bool {
        let AlertKind::ScoreDrop { within_ms, .. } = rule.kind else {
            return self.held_since.iter().all(Option::is_none);
        };
        let regained = episode.low + rule.levels[0].number / 2.0;
        let recovered = sight.evaluation.score.is_some_and(|score| score >= regained - TOLERANCE);
        recovered || !allowed || sight.t >= episode.low_at + within_ms
    }

    /// The worst level that has held for the rule's `hold`.
    fn reached(&self, rule: &AlertRule, t: i64) -> Option<Severity> {
        let levels = rule.levels.iter().zip(&self.held_since);
        let reached =
            levels.filter(|(_, since)| since.is_some_and(|since| t >= since + rule.hold_ms));
        reached.map(|(level, _)| level.severity).max()
    }

    fn begin(&mut self, rule: &AlertRule, sight: &Sight) -> Option<Told> {
        let severity = self.reached(rule, sight.t)?;
        if self.cooldown_ends(rule).is_some_and(|end| sight.t < end) {
            return None;
        }
        self.fired_at = Some(sight.t);
        self.episode = Some(Episode {
            since: sight.t,
            severity,
            low: sight.evaluation.score.unwrap_or(0.0),
            low_at: sight.t,
            silent: true,
        });
        Some(Told::Fired { severity, since: sight.t, escalated_from: None })
    }

    fn go_on(&mut self, rule: &AlertRule, episode: Episode, t: i64) -> Option<Told> {
        let (before, since) = (episode.severity, episode.since);
        let severity = self.reached(rule, t).map_or(before, |reached| reached.max(before));
        self.episode = Some(Episode { severity, ..episode });
        (severity > before).then_some(Told::Fired { severity, since, escalated_from: Some(before) })
    }

    /// What was begun in silence is told once, as it is then, when publishing begins.
    fn publish(&mut self, told: Option<Told>, sight: &Sight) -> Option<Told> {
        if sight.t < sight.publish_from {
            return None;
        }
        match &mut self.episode {
            Some(episode) if episode.silent => {
                episode.silent = false;
                let Episode { severity, since, .. } = *episode;
                Some(Told::Fired { severity, since, escalated_from: None })
            }
            _ => told,
        }
    }

    fn cooldown_ends(&self, rule: &AlertRule) -> Option<i64> {
        Some(self.fired_at? + rule.cooldown_ms)
    }

    /// The instants, some of them past, at which time alone may change what the rule says.
    pub fn deadlines(&self, rule: &AlertRule, sight: &Sight) -> Vec<i64> {
        let mut instants: Vec<i64> = self.cooldown_ends(rule).into_iter().collect();
        instants.extend(self.held_since.iter().flatten().map(|since| since + rule.hold_ms));
        let numbers = || rule.levels.iter().map(|level| level.number);
        match &rule.kind {
            AlertKind::ScoreDrop { within_ms, .. } => {
                instants.extend(
                    numbers().filter_map(|points| self.drop_leaves_at(*within_ms, points, sight)),
                );
                instants.extend(self.episode.as_ref().map(|episode| episode.low_at + within_ms));
            }
            AlertKind::Silence => {
                if let Some(last) = sight.history.last(Source::Usage) {
                    let full_at =
                        |for_ms: f64| sight.clock.full_at(Source::Usage, last, for_ms as i64);
                    instants.extend(numbers().map(full_at));
                }
            }
            AlertKind::RenewalAtRisk { .. } => {
                if let Some(at) = sight.history.profile_instant("renewal_at") {
                    instants.extend(numbers().map(|within_ms| at - within_ms as i64));
                    instants.push(at);
                }
            }
            AlertKind::Opportunity { for_ms, .. } => {
                instants.extend(self.in_bands_since.map(|since| since + for_ms));
            }
            AlertKind::BandEntered { .. } | AlertKind::Measure { .. } | AlertKind::Coverage => {}
        }
        instants
    }
}

/// Whether a rule that does not fire may be pending: one about a risk only while there is a score,
/// and a drop only at or below its `at_most`.
fn may_begin(rule: &AlertRule, sight: &Sight) -> bool {
    let Some(score) = sight.evaluation.score else { return !rule.kind.is_risk() };
    match rule.kind {
        AlertKind::ScoreDrop { at_most: Some(at_most), .. } => score <= at_most + TOLERANCE,
        _ => true,
    }
}
