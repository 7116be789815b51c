//! The alert machine: each rule of a card from inactive over pending to firing and resolved.
//!
//! Time is an argument, and whatever ends by time alone ends at its own moment: the engine wakes the
//! account at the book's deadline. Rules and their fine print: domain page, sections 6 and 9.8.

use std::collections::VecDeque;

use super::kept::{BadVerdict, KeptAlerts, KeptEpisode, KeptRule};
use crate::engine::event::{FeedbackKind, Profile};
use crate::engine::score::MeasureScore;
use crate::engine::scorecard::{AlertKind, AlertRule, Comparison, Scorecard, Severity, TOLERANCE};
use crate::engine::time::{EventTime, Span};

/// Most levels a rule can have: one for each severity.
const LEVELS_MAX: usize = 3;

/// What an account looks like at the moment its alerts are looked at.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// Task time.
    pub now: EventTime,
    /// Task time before which nothing is published.
    pub publish_from: EventTime,
    /// The score; `None` where there is none.
    pub score: Option<f64>,
    /// Share of weight backed by data, 0..=1.
    pub coverage: f64,
    /// The published band; `None` is `unknown`.
    pub band: Option<usize>,
    /// One per measure of the card.
    pub measures: &'a [MeasureScore],
    /// The profile, if one is known.
    pub profile: Option<&'a Profile>,
    /// `occurred_at` of the latest usage event; `MIN` before one.
    pub last_usage: EventTime,
    /// The same, later by as much as usage was out since.
    pub silent_since: EventTime,
    /// The clock of usage, if it stands still.
    pub usage_frozen_at: Option<EventTime>,
}

/// What happened to one rule, to be published.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AlertStep {
    /// Position in the card's alerts.
    pub rule: usize,
    /// When the episode began.
    pub since: EventTime,
    /// Its worst level so far.
    pub severity: Severity,
    /// What happened.
    pub change: AlertChange,
    /// What the rule looked at.
    pub evidence: Evidence,
    /// What somebody said of it last.
    pub feedback: Option<FeedbackKind>,
}

/// What can happen to an episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertChange {
    /// It began.
    Fired,
    /// A worse level was reached.
    Escalated {
        /// The severity before.
        from: Severity,
    },
    /// It ended.
    Resolved {
        /// The account's own number of the verdict that told of its beginning.
        firing_sequence: u64,
    },
}

/// The numbers behind an alert, for its words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Evidence {
    /// The highest score of the window, if it holds one still.
    High(Option<f64>),
    /// The measure's value, unless it is missing.
    Value(Option<f64>),
    /// The latest usage event.
    LastUsage(EventTime),
    /// The renewal.
    RenewalAt(Option<EventTime>),
    /// How long the band has been one of the rule's.
    InBandSince(EventTime),
    /// Nothing beyond what every verdict says.
    None,
}

/// One rule of an account's report: pending or firing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlertStanding {
    /// Position in the card's alerts.
    pub rule: usize,
    /// Whether it fires; else it is pending.
    pub firing: bool,
    /// Firing: the episode's. Pending: the worst level that holds.
    pub severity: Severity,
    /// Since when it fires, or its condition holds.
    pub since: EventTime,
    /// What somebody said of it last.
    pub feedback: Option<FeedbackKind>,
}

/// The state of all alert rules for one account.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlertBook {
    /// The score in force, and since when.
    score: Option<f64>,
    score_since: EventTime,
    /// Hourly samples of the score that can still be the highest of a window: later ones are lower.
    samples: VecDeque<Sample>,
    /// What is not as it was at first, by rule.
    rules: Vec<(usize, RuleState)>,
    /// One bit for each rule: whether there has been enough coverage for it to fall.
    covered: u64,
    /// At or before the next moment at which time alone can change anything.
    deadline: EventTime,
    /// Whether the next usage event can change anything.
    hears_usage: bool,
}

/// The score in force just before an hour ended.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sample {
    hour_end: EventTime,
    score: f64,
}

/// Where one rule stands.
#[derive(Clone, Copy, Debug, PartialEq)]
struct RuleState {
    /// By level, since when its condition holds without interruption; `MAX` where it does not.
    held_since: [EventTime; LEVELS_MAX],
    episode: Option<Episode>,
    /// When the latest episode began, until its cooldown is over.
    fired_at: Option<EventTime>,
    /// `score_drop`: only samples of hours that ended later count.
    samples_after: EventTime,
    /// `opportunity`: since when the band is one of the rule's; `MAX` where it is not.
    in_band_since: EventTime,
}

/// An alert while it fires.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Episode {
    since: EventTime,
    /// The worst level reached.
    level: usize,
    /// The account's own number of the verdict that told of it; `None` while it has been kept quiet.
    sequence: Option<u64>,
    /// It came up with a change of rules, and is not told unless it becomes worse.
    muted: bool,
    /// `score_drop`: the lowest score since it began, and when it was new.
    low: f64,
    low_at: EventTime,
    /// What somebody said of it last.
    feedback: Option<FeedbackKind>,
}

impl Episode {
    /// Its end without its condition having had a say, if it was published.
    fn broken_off(self, rule: usize, known: &AlertRule) -> Option<AlertStep> {
        Some(AlertStep {
            rule,
            since: self.since,
            severity: known.severities[self.level],
            change: AlertChange::Resolved { firing_sequence: self.sequence? },
            evidence: Evidence::None,
            feedback: self.feedback,
        })
    }
}

/// No level's condition holds.
const NOT_HELD: [EventTime; LEVELS_MAX] = [EventTime::MAX; LEVELS_MAX];

/// An instant, or nothing where one end of time stands for "none".
fn written(at: EventTime) -> Option<i64> {
    (at > EventTime::MIN && at < EventTime::MAX).then(|| at.as_millis())
}

impl RuleState {
    fn keep(&self) -> KeptRule {
        KeptRule {
            held_since: self.held_since.map(written),
            episode: self.episode.map(|episode| KeptEpisode {
                since: episode.since.as_millis(),
                level: episode.level as u8,
                sequence: episode.sequence,
                low: episode.low,
                low_at: episode.low_at.as_millis(),
                muted: episode.muted,
                feedback: episode.feedback.map(|feedback| feedback as u8),
            }),
            fired_at: self.fired_at.map(EventTime::as_millis),
            samples_after: written(self.samples_after),
            in_band_since: written(self.in_band_since),
        }
    }

    /// The state again, of a rule with so many levels.
    fn restore(kept: KeptRule, levels: usize) -> Result<RuleState, BadVerdict> {
        let read_back = |at: Option<i64>, none| at.map_or(none, EventTime::from_millis);
        let feedback = |kept: u8| {
            let known = FeedbackKind::NAMES.get(usize::from(kept));
            known.map(|(_, kind)| *kind).ok_or(BadVerdict("a feedback that there is not"))
        };
        let episode = |kept: KeptEpisode| {
            if usize::from(kept.level) >= LEVELS_MAX {
                return Err(BadVerdict("an alert of a level that no rule has"));
            }
            Ok(Episode {
                since: EventTime::from_millis(kept.since),
                level: usize::from(kept.level).min(levels - 1),
                sequence: kept.sequence,
                low: kept.low,
                low_at: EventTime::from_millis(kept.low_at),
                muted: kept.muted,
                feedback: kept.feedback.map(feedback).transpose()?,
            })
        };
        Ok(RuleState {
            held_since: kept.held_since.map(|at| read_back(at, EventTime::MAX)),
            episode: kept.episode.map(episode).transpose()?,
            fired_at: kept.fired_at.map(EventTime::from_millis),
            samples_after: read_back(kept.samples_after, EventTime::MIN),
            in_band_since: read_back(kept.in_band_since, EventTime::MAX),
        })
    }

    const IDLE: RuleState = RuleState {
        held_since: [EventTime::MAX; LEVELS_MAX],
        episode: None,
        fired_at: None,
        samples_after: EventTime::MIN,
        in_band_since: EventTime::MAX,
    };

    /// The worst level whose condition has held for `hold` at `now`.
    fn reached(&self, hold: Span, now: EventTime) -> Option<usize> {
        let held = |since: &EventTime| *since < EventTime::MAX && *since + hold <= now;
        self.held_since.iter().rposition(held)
    }

    /// The worst level whose condition holds.
    fn holding(&self) -> Option<usize> {
        self.held_since.iter().rposition(|since| *since < EventTime::MAX)
    }
}

impl AlertBook {
    /// No rule has anything to say yet.
    pub fn new() -> AlertBook {
        AlertBook {
            score_since: EventTime::MIN,
            deadline: EventTime::MAX,
            hears_usage: true,
            ..AlertBook::default()
        }
    }

    /// At or before the next moment at which the book must be looked at.
    pub fn deadline(&self) -> EventTime {
        self.deadline
    }

    /// Whether a usage event makes a look necessary whatever it does to the score.
    pub fn hears_usage(&self) -> bool {
        self.hears_usage
    }

    /// The rules that are not inactive, in the card's order.
    pub fn standing<'a>(&'a self, card: &'a Scorecard) -> impl Iterator<Item = AlertStanding> + 'a {
        let mut rules: Vec<&(usize, RuleState)> = self.rules.iter().collect();
        rules.sort_unstable_by_key(|(rule, _)| *rule);
        rules.into_iter().filter_map(|(rule, state)| {
            let severities = &card.alerts[*rule].severities;
            match (state.episode, state.holding()) {
                (Some(episode), _) => Some(AlertStanding {
                    rule: *rule,
                    firing: true,
                    severity: severities[episode.level],
                    since: episode.since,
                    feedback: episode.feedback,
                }),
                (None, Some(level)) => Some(AlertStanding {
                    rule: *rule,
                    firing: false,
                    severity: severities[level],
                    // The mildest level has held the longest.
                    since: state.held_since[0],
                    feedback: None,
                }),
                (None, None) => None,
            }
        })
    }

    /// The rules that fire, published or not: one bit for each.
    pub fn firing_set(&self) -> u64 {
        let firing = self.rules.iter().filter(|(_, state)| state.episode.is_some());
        firing.fold(0, |set, (rule, _)| set | 1 << rule)
    }

    /// Keeps what somebody says with the alerts that fire: of one rule, or of all. Returns the rules,
    /// each a bit of a set.
    pub fn note_feedback(&mut self, rule: Option<usize>, feedback: FeedbackKind) -> u64 {
        let mut noted = 0;
        for (index, state) in &mut self.rules {
            if rule.is_none_or(|rule| rule == *index)
                && let Some(episode) = &mut state.episode
            {
                episode.feedback = Some(feedback);
                noted |= 1 << *index;
            }
        }
        noted
    }

    /// Notes the number under which the beginning of an episode was published.
    pub fn fired_as(&mut self, rule: usize, sequence: u64) {
        let state = self.rules.iter_mut().find(|(known, _)| *known == rule);
        if let Some(episode) = state.and_then(|(_, state)| state.episode.as_mut()) {
            episode.sequence.get_or_insert(sequence);
        }
    }

    /// What is kept of it over a restart.
    pub fn keep<'a>(&self, card: &'a Scorecard) -> KeptAlerts<'a> {
        let id = |rule: usize| card.alerts[rule].id.as_str();
        let covered = (0..card.alerts.len()).filter(|rule| self.covered & (1 << rule) != 0);
        let sample = |sample: &Sample| (sample.hour_end.as_millis(), sample.score);
        KeptAlerts {
            score: self.score,
            score_since: written(self.score_since),
            samples: self.samples.iter().map(sample).collect(),
            covered: covered.map(id).collect(),
            rules: self.rules.iter().map(|(rule, state)| (id(*rule), state.keep())).collect(),
        }
    }

    /// The book again. Rules that the card does not have any more are forgotten; so is the score's
    /// past, unless the card is the same: by other rules it would have been another.
    ///
    /// # Errors
    /// When `kept` says what no book can.
    pub fn restore(
        kept: KeptAlerts<'_>,
        card: &Scorecard,
        same_card: bool,
    ) -> Result<AlertBook, BadVerdict> {
        let position = |id: &str| card.alerts.iter().position(|rule| rule.id == id);
        let mut book = AlertBook::new();
        if same_card {
            let sample =
                |(hour_end, score)| Sample { hour_end: EventTime::from_millis(hour_end), score };
            book.score = kept.score;
            book.score_since = kept.score_since.map_or(EventTime::MIN, EventTime::from_millis);
            book.samples = kept.samples.into_iter().map(sample).collect();
        }
        for rule in kept.covered.into_iter().filter_map(position) {
            book.covered |= 1 << rule;
        }
        for (id, state) in kept.rules {
            if let Some(rule) = position(id) {
                let levels = card.alerts[rule].severities.len();
                let state = RuleState::restore(state, levels)?;
                // The same rule may have become another one; what it held then says nothing now.
                let state = RuleState {
                    held_since: if same_card { state.held_since } else { NOT_HELD },
                    ..state
                };
                book.rules.push((rule, state));
            }
        }
        Ok(book)
    }

    /// Goes on with the score as it is: since the book was kept it has changed within one hour only,
    /// or that would have been written.
    pub fn go_on_with(&mut self, score: Option<f64>, now: EventTime) {
        if self.score.is_none() {
            self.score_since = now;
        }
        self.score = score;
    }

    /// Ends every episode; returns the ends of those that were published.
    pub fn end_all(&mut self, card: &Scorecard) -> Vec<AlertStep> {
        let mut rules = std::mem::take(&mut self.rules);
        rules.sort_unstable_by_key(|(rule, _)| *rule);
        let ended = rules.into_iter().filter_map(|(rule, state)| {
            state.episode.and_then(|episode| episode.broken_off(rule, &card.alerts[rule]))
        });
        ended.collect()
    }

    /// Goes over to another card: rules of the same id and kind go on. Returns the ends of published
    /// episodes whose rules are gone, in the old card's numbering.
    pub fn change_card(
        &mut self,
        old: &Scorecard,
        new: &Scorecard,
        now: EventTime,
    ) -> Vec<AlertStep> {
        let mut ended = Vec::new();
        for (rule, mut state) in std::mem::take(&mut self.rules) {
            let known = &old.alerts[rule];
            let same =
                |other: &AlertRule| other.id == known.id && other.kind.name() == known.kind.name();
            if let Some(there) = new.alerts.iter().position(same) {
                let levels = new.alerts[there].severities.len();
                state.held_since[levels..].fill(EventTime::MAX);
                if let Some(episode) = &mut state.episode {
                    episode.level = episode.level.min(levels - 1);
                    episode.low = f64::INFINITY;
                }
                self.rules.push((there, state));
            } else {
                ended.extend(state.episode.and_then(|episode| episode.broken_off(rule, known)));
            }
        }
        // Scores by other rules are no measure for a fall, and coverage has to be there first.
        self.samples.clear();
        self.score = None;
        self.score_since = now;
        self.covered = 0;
        ended.sort_unstable_by_key(|step| step.rule);
        ended
    }

    /// Looks at every rule; what is to be published is added to `steps`, in the card's order. With
    /// `muted`, a risk that comes up at this very look is the rules' doing and not the account's: it
    /// is kept quiet until it becomes worse. Returns whether anything has changed that a later look at
    /// the same events would not bring again.
    pub fn step(
        &mut self,
        card: &Scorecard,
        moment: &Moment<'_>,
        muted: bool,
        steps: &mut Vec<AlertStep>,
    ) -> bool {
        let covered_before = self.covered;
        let mut changed = self.note_score(card, moment);
        self.deadline = EventTime::MAX;
        self.hears_usage = false;
        for (index, rule) in card.alerts.iter().enumerate() {
            let known = self.rules.iter().position(|(known, _)| *known == index);
            let mut state = known.map_or(RuleState::IDLE, |known| self.rules[known].1);
            let before = state;
            let step = self.step_rule(index, rule, &mut state, moment, muted);
            changed |= state != before;
            steps.extend(step);
            match known {
                Some(known) if state == RuleState::IDLE => drop(self.rules.swap_remove(known)),
                Some(known) => self.rules[known].1 = state,
                None if state == RuleState::IDLE => {}
                None => self.rules.push((index, state)),
            }
        }
        changed || self.covered != covered_before
    }

    /// Takes the samples of the score that was in force up to now. Returns whether there was one, or
    /// the score came or went.
    fn note_score(&mut self, card: &Scorecard, moment: &Moment<'_>) -> bool {
        if self.score == moment.score {
            return false;
        }
        let longest = card.alerts.iter().filter_map(|rule| match rule.kind {
            AlertKind::ScoreDrop { within, .. } => Some(within),
            _ => None,
        });
        let longest = longest.max();
        let mut changed = longest.is_some() && self.score.is_some() != moment.score.is_some();
        if let (Some(score), Some(longest)) = (self.score, longest) {
            let hour_end = moment.now.floor_to(Span::HOUR);
            if hour_end > self.score_since {
                changed = true;
                while self.samples.back().is_some_and(|sample| sample.score <= score) {
                    self.samples.pop_back();
                }
                self.samples.push_back(Sample { hour_end, score });
            }
            let reach = moment.now - longest;
            while self.samples.front().is_some_and(|sample| sample.hour_end < reach) {
                self.samples.pop_front();
            }
        }
        self.score = moment.score;
        self.score_since = moment.now;
        changed
    }

    /// The highest sample of a window that ends now.
    fn high(&self, now: EventTime, within: Span, after: EventTime) -> Option<Sample> {
        let in_window =
            |sample: &&Sample| sample.hour_end >= now - within && sample.hour_end > after;
        self.samples.iter().find(in_window).copied()
    }

    fn step_rule(
        &mut self,
        index: usize,
        rule: &AlertRule,
        state: &mut RuleState,
        moment: &Moment<'_>,
        muted: bool,
    ) -> Option<AlertStep> {
        let now = moment.now;
        let firing = state.episode.is_some();
        let no_measure = |_| None;
        let is_for = rule.only.as_ref().is_none_or(|only| only.holds(&no_measure, moment.profile));
        let may_begin = !rule.kind.is_risk() || moment.score.is_some();
        if let AlertKind::Opportunity { bands, .. } = &rule.kind {
            let in_band = moment.band.is_some_and(|band| bands.contains(&band));
            state.in_band_since =
                if in_band { state.in_band_since.min(now) } else { EventTime::MAX };
        }
        let mut look = Look { rule, moment, high: None, covered: false, until: EventTime::MAX };
        if let AlertKind::ScoreDrop { within, .. } = rule.kind {
            look.high = self.high(now, within, state.samples_after);
        }
        if let AlertKind::Coverage { below } = &rule.kind {
            look.covered = self.covered & (1 << index) != 0;
            if !Comparison::Below.holds(moment.coverage, below[0]) {
                self.covered |= 1 << index;
            }
        }
        for level in 0..rule.severities.len() {
            let holds = is_for && (firing || may_begin) && look.holds(level, state);
            let held_since = &mut state.held_since[level];
            *held_since = if holds { (*held_since).min(now) } else { EventTime::MAX };
        }
        if muted && rule.kind.is_risk() && state.episode.is_none() {
            let came_up = state.holding().filter(|level| state.held_since[*level] == now);
            state.episode = came_up.map(|level| Episode {
                since: now,
                level,
                sequence: None,
                muted: true,
                low: moment.score.unwrap_or(f64::INFINITY),
                low_at: now,
                feedback: None,
            });
        }
        let reached = state.reached(rule.hold, now);
        let published = now >= moment.publish_from;
        let change = match &mut state.episode {
            Some(episode) => {
                if moment.score.is_some_and(|score| score < episode.low - TOLERANCE) {
                    episode.low = moment.score.unwrap_or(episode.low);
                    episode.low_at = now;
                }
                let over = match &rule.kind {
                    AlertKind::ScoreDrop { points, within, .. } => {
                        let regained = episode.low + points[0] / 2.0;
                        !is_for
                            || moment.score.is_some_and(|score| score >= regained - TOLERANCE)
                            || episode.low_at + *within <= now
                    }
                    _ => state.held_since[0] == EventTime::MAX,
                };
                let (before, sequence) = (episode.level, episode.sequence);
                if over {
                    let ended = *episode;
                    state.episode = None;
                    if let AlertKind::ScoreDrop { .. } = rule.kind {
                        state.samples_after = now;
                        state.held_since = RuleState::IDLE.held_since;
                    }
                    sequence
                        .map(|firing_sequence| (ended, AlertChange::Resolved { firing_sequence }))
                } else {
                    episode.level = before.max(reached.unwrap_or(0));
                    episode.muted &= episode.level == before;
                    let change = if episode.muted {
                        None
                    } else if sequence.is_none() {
                        published.then_some(AlertChange::Fired)
                    } else if episode.level > before {
                        Some(AlertChange::Escalated { from: rule.severities[before] })
                    } else {
                        None
                    };
                    change.map(|change| (*episode, change))
                }
            }
            None => {
                let cool = state.fired_at.is_none_or(|fired_at| fired_at + rule.cooldown <= now);
                reached.filter(|_| cool).and_then(|level| {
                    let low = moment.score.unwrap_or(f64::INFINITY);
                    let episode = Episode {
                        since: now,
                        level,
                        sequence: None,
                        muted: false,
                        low,
                        low_at: now,
                        feedback: None,
                    };
                    state.episode = Some(episode);
                    state.fired_at = Some(now);
                    published.then_some((episode, AlertChange::Fired))
                })
            }
        };
        self.forget(rule, state, now);
        self.deadline = self.deadline.min(look.until).min(deadline(rule, state, &look));
        if let AlertKind::Silence { .. } = rule.kind {
            self.hears_usage |= state.episode.is_some()
                || state.holding().is_some()
                || moment.last_usage == EventTime::MIN;
        }
        change.map(|(episode, change)| AlertStep {
            rule: index,
            since: episode.since,
            severity: rule.severities[episode.level],
            change,
            evidence: look.evidence(state),
            feedback: episode.feedback,
        })
    }

    /// Drops what can matter no more, so that a rule at rest takes no room.
    fn forget(&self, rule: &AlertRule, state: &mut RuleState, now: EventTime) {
        if state.episode.is_none()
            && state.fired_at.is_some_and(|fired_at| fired_at + rule.cooldown <= now)
        {
            state.fired_at = None;
        }
        if let AlertKind::ScoreDrop { within, .. } = rule.kind
            && state.samples_after < now - within
        {
            state.samples_after = EventTime::MIN;
        }
    }
}

/// One rule while it is looked at.
struct Look<'a> {
    rule: &'a AlertRule,
    moment: &'a Moment<'a>,
    /// `score_drop`: the highest sample in the window.
    high: Option<Sample>,
    /// `coverage`: whether there was enough before.
    covered: bool,
    /// When a condition can turn by time alone, as far as the levels looked at say.
    until: EventTime,
}

impl Look<'_> {
    /// Whether the condition of a level holds.
    fn holds(&mut self, level: usize, state: &RuleState) -> bool {
        let Moment { now, score, coverage, band, measures, profile, .. } = *self.moment;
        let Moment { last_usage, silent_since, usage_frozen_at, .. } = *self.moment;
        let in_bands = |bands: &[usize]| band.is_some_and(|band| bands.contains(&band));
        match &self.rule.kind {
            AlertKind::ScoreDrop { points, at_most, .. } => {
                let (Some(score), Some(high)) = (score, self.high) else { return false };
                let low_enough = state.episode.is_some()
                    || at_most.is_none_or(|most| Comparison::AtMost.holds(score, most));
                low_enough && Comparison::AtLeast.holds(high.score - score, points[level])
            }
            AlertKind::BandEntered { bands } => in_bands(bands),
            AlertKind::Measure { measure, comparison, values } => {
                let value = measures[*measure].value();
                value.is_some_and(|value| comparison.holds(value, values[level]))
            }
            AlertKind::Silence { lasting } => {
                if last_usage == EventTime::MIN {
                    return false;
                }
                let silent_at = silent_since + lasting[level];
                if let Some(frozen_at) = usage_frozen_at {
                    return silent_at <= frozen_at;
                }
                self.turns_at(silent_at);
                silent_at <= now
            }
            AlertKind::RenewalAtRisk { within, bands } => {
                let Some(renewal_at) = profile.and_then(|profile| profile.renewal_at) else {
                    return false;
                };
                let from = renewal_at - within[level];
                self.turns_at(from);
                self.turns_at(renewal_at);
                from <= now && now < renewal_at && in_bands(bands)
            }
            AlertKind::Opportunity { lasting, measure, comparison, value, .. } => {
                if state.in_band_since == EventTime::MAX {
                    return false;
                }
                let from = state.in_band_since + *lasting;
                self.turns_at(from);
                let rising = measures[*measure].value();
                from <= now && rising.is_some_and(|found| comparison.holds(found, *value))
            }
            AlertKind::Coverage { below } => {
                self.covered && Comparison::Below.holds(coverage, below[level])
            }
        }
    }

    fn turns_at(&mut self, at: EventTime) {
        if at > self.moment.now {
            self.until = self.until.min(at);
        }
    }

    fn evidence(&self, state: &RuleState) -> Evidence {
        let Moment { measures, profile, last_usage, .. } = *self.moment;
        match &self.rule.kind {
            AlertKind::ScoreDrop { .. } => Evidence::High(self.high.map(|high| high.score)),
            AlertKind::Measure { measure, .. } => Evidence::Value(measures[*measure].value()),
            AlertKind::Silence { .. } => Evidence::LastUsage(last_usage),
            AlertKind::RenewalAtRisk { .. } => {
                Evidence::RenewalAt(profile.and_then(|profile| profile.renewal_at))
            }
            AlertKind::Opportunity { .. } => Evidence::InBandSince(state.in_band_since),
            AlertKind::BandEntered { .. } | AlertKind::Coverage { .. } => Evidence::None,
        }
    }
}

/// When clocks that run now end, if nothing else happens.
fn deadline(rule: &AlertRule, state: &RuleState, look: &Look<'_>) -> EventTime {
    let now = look.moment.now;
    let mut deadline = EventTime::MAX;
    let mut at = |at: EventTime| {
        if at > now {
            deadline = deadline.min(at);
        }
    };
    let best = state.episode.map(|episode| episode.level);
    // Levels that would still change something once they are reached.
    let waiting =
        state.held_since.iter().enumerate().filter(|(level, since)| {
            **since < EventTime::MAX && best.is_none_or(|best| *level > best)
        });
    let mut waits = false;
    for (_, since) in waiting {
        waits = true;
        at(*since + rule.hold);
        if let (None, Some(fired_at)) = (best, state.fired_at) {
            at(fired_at + rule.cooldown);
        }
    }
    if let AlertKind::ScoreDrop { within, .. } = rule.kind {
        if let Some(episode) = state.episode {
            at(episode.low_at + within);
        }
        // The high may leave the window before the hold is over.
        if let Some(high) = look.high.filter(|_| waits) {
            at(high.hour_end + within + Span::from_millis(1));
        }
    }
    if state.episode.is_some_and(|episode| episode.sequence.is_none() && !episode.muted) {
        at(look.moment.publish_from);
    }
    deadline
}
