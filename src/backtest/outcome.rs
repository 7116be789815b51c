//! The numbers of a backtest, made from what was written down on the way.
//!
//! Nothing is concluded from what nobody can know: an alert, a sample or a day of an account counts
//! towards a chance of leaving only if the truth reaches a whole horizon beyond it.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::{Backtest, Episode, Life, Options};
use crate::compare::{MONTH, Watched, share};
use crate::engine::scorecard::{AlertKind, UNKNOWN_BAND};
use crate::engine::time::{EventTime, Span};
use crate::engine::verdict::band_name;

/// An episode of the same rule on the same account within this time of the one before is a repeat.
const REPEAT_WITHIN: Span = Span::days(28);

/// What came of it. Shares are 0 to 1, and `null` where there is nothing to share.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// The card's id.
    pub scorecard: String,
    /// The hash of its content.
    pub scorecard_hash: String,
    /// Record time of the first record.
    pub from: Option<EventTime>,
    /// Task time of the end.
    pub to: EventTime,
    /// Until when the truth is known: the latest instant in it or in the history.
    pub known_until: EventTime,
    /// The setting, in days.
    pub lead_days: f64,
    /// How early an alert may come to count as in time, in days.
    pub lead_at_most_days: f64,
    /// The setting, in days.
    pub horizon_days: f64,
    /// Accounts of the truth that are in the history.
    pub accounts: u64,
    /// Accounts of the truth that are not.
    pub accounts_unseen: u64,
    /// Accounts of the history that are not in the truth; they are left out.
    pub accounts_without_truth: u64,
    /// Records of accounts that had left or were over; they are left out.
    pub records_after_end: u64,
    /// Sum over the accounts of the time they were watched, in months of 30 days.
    pub account_months: f64,
    /// Accounts of the truth, in the history or not, that left before its end.
    pub churners: u64,
    /// Those of them that were known for at least `lead` by then.
    pub churners_reachable: u64,
    /// Accounts in the history that did not leave before its end.
    pub stayers: u64,
    /// Those of them that had a risk alert.
    pub stayers_alerted: u64,
    /// The chance that an account leaves within the horizon, at a random moment of a random account.
    pub base_rate: Option<f64>,
    /// All risk rules together, a departure or a stayer counted once.
    pub risk: RuleOutcome,
    /// Each rule, in the order of the card.
    pub rules: Vec<RuleOutcome>,
    /// Changes of band, from and to `unknown` too.
    pub band_changes: u64,
    /// The same per 100 accounts a month; `null` where the history is too short to tell.
    pub band_changes_per_100_accounts_month: Option<f64>,
    /// Those from one band of the card to another.
    pub between_bands: u64,
    /// Those of them that the account's next change took back within 14 days.
    pub reversed: u64,
    /// Their share.
    pub flap_rate: Option<f64>,
    /// Mean of the last scores of those who left, just before they did.
    pub mean_score_of_churners: Option<f64>,
    /// Mean of the last scores of the others.
    pub mean_score_of_stayers: Option<f64>,
    /// The chance that of two accounts of one day, one of which leaves within the horizon, that one
    /// has the lower score; ties count half. 0.5 is a coin.
    pub auc: Option<f64>,
    /// By band, worst first, `unknown` last.
    pub bands: Vec<BandOutcome>,
}

/// What a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It warns of a loss.
    Risk,
    /// It sees a chance.
    Opportunity,
    /// It says that data is missing.
    Coverage,
}

/// What came of one rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleOutcome {
    /// Its id.
    pub rule: String,
    /// What it is for.
    pub kind: Kind,
    /// How often it fired.
    pub episodes: u64,
    /// The same per 100 accounts a month; `null` where the history is too short to tell.
    pub episodes_per_100_accounts_month: Option<f64>,
    /// Those of them whose horizon is known.
    pub judged: u64,
    /// Those of these whose account left within it.
    pub followed: u64,
    /// Share of the judged that were followed.
    pub precision: Option<f64>,
    /// Precision over base rate: 1 is chance.
    pub lift: Option<f64>,
    /// Episodes within 28 days of the rule's one before on the same account.
    pub repeats: u64,
    /// Churners for whom it fired in time: from 120 days to `lead` before they left.
    pub churners_alerted: u64,
    /// Share of all churners.
    pub recall: Option<f64>,
}

/// What a band says about the time after: every account is looked at every 28 days.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BandOutcome {
    /// Its name.
    pub band: String,
    /// How often an account was found in it, while the horizon is known.
    pub samples: u64,
    /// How often it then left within the horizon.
    pub followed: u64,
    /// The share.
    pub churn_rate: Option<f64>,
}

/// The truth, asked about moments.
struct Judge {
    options: Options,
    to: EventTime,
    known_until: EventTime,
}

impl Judge {
    /// Whether the account leaves within the horizon after `at`; `None` if nobody can know.
    fn is_followed(&self, life: &Life, at: EventTime) -> Option<bool> {
        let until = at + self.options.horizon;
        let churns = |churned_at| at < churned_at && churned_at <= until;
        (until <= self.known_until).then(|| life.fate.churned_at.is_some_and(churns))
    }

    /// Whether an alert at `at` came in time for the account's departure.
    fn is_in_time(&self, life: &Life, at: EventTime) -> bool {
        self.churned_at(life).is_some_and(|churned_at| {
            let ahead = churned_at.since(at);
            self.options.lead <= ahead && ahead <= self.options.lead_at_most
        })
    }

    /// When the account left, if that is within the history.
    fn churned_at(&self, life: &Life) -> Option<EventTime> {
        life.fate.churned_at.filter(|churned_at| *churned_at <= self.to)
    }

    /// The time in which the account is watched.
    fn watched(&self, life: &Life) -> Option<(EventTime, EventTime)> {
        let end = life.fate.ends_at().map_or(self.to, |end| end.min(self.to));
        life.first.map(|first| (first, end.max(first)))
    }
}

pub(super) fn outcome(run: &Backtest, to: EventTime) -> Outcome {
    let latest = |life: &Life| life.fate.churned_at.max(life.fate.last_seen);
    let known_until = run.lives.iter().filter_map(latest).fold(to, EventTime::max);
    let judge = Judge { options: run.options, to, known_until };
    let months = |millis: i64| millis as f64 / MONTH.as_millis() as f64;
    let times = run.lives.iter().filter_map(|life| judge.watched(life));
    let watched_millis: i64 = times.map(|(from, to)| to.since(from).as_millis()).sum();
    let from = run.span.map(|(first, _)| first);
    let span = from.map_or(Span::ZERO, |from| to.since(from));
    let watched = Watched { span, account_months: months(watched_millis) };
    let base_rate = base_rate(&judge, &run.lives);
    // Who left before the history began could not have been warned of by anything in it.
    let churners: Vec<&Life> = run
        .lives
        .iter()
        .filter(|life| judge.churned_at(life).is_some_and(|at| from.is_some_and(|from| at > from)))
        .collect();
    let is_reachable = |life: &&&Life| {
        let known_for = life.first.zip(life.fate.churned_at).map(|(first, at)| at.since(first));
        known_for.is_some_and(|known_for| known_for >= run.options.lead)
    };
    let stays = |life: &Life| life.first.is_some() && judge.churned_at(life).is_none();

    let context = Context { run, judge: &judge, watched, base_rate, churners: churners.len() };
    let kind = |rule: usize| match run.card.alerts[rule].kind {
        AlertKind::Opportunity { .. } => Kind::Opportunity,
        AlertKind::Coverage { .. } => Kind::Coverage,
        AlertKind::ScoreDrop { .. }
        | AlertKind::BandEntered { .. }
        | AlertKind::Measure { .. }
        | AlertKind::Silence { .. }
        | AlertKind::RenewalAtRisk { .. } => Kind::Risk,
    };
    let rules = (0..run.card.alerts.len()).map(|rule| {
        context.rule(&run.card.alerts[rule].id, kind(rule), |episode| episode.rule == rule)
    });
    let is_risk = |episode: &Episode| kind(episode.rule) == Kind::Risk;
    let alerted: HashSet<usize> = run
        .episodes
        .iter()
        .filter(|episode| is_risk(episode) && stays(&run.lives[episode.life]))
        .map(|episode| episode.life)
        .collect();

    let counts = run.tally.counts();
    let score_of = |churned: bool| {
        let of = |life: &&Life| life.first.is_some() && judge.churned_at(life).is_some() == churned;
        mean(run.lives.iter().filter(of).filter_map(|life| life.last_score))
    };
    let days = |span: Span| span.as_millis() as f64 / Span::DAY.as_millis() as f64;
    let accounts = run.begun.len() as u64;
    Outcome {
        scorecard: run.card.id.clone(),
        scorecard_hash: run.card.hash.clone(),
        from,
        to,
        known_until,
        lead_days: days(run.options.lead),
        lead_at_most_days: days(run.options.lead_at_most),
        horizon_days: days(run.options.horizon),
        accounts,
        accounts_unseen: run.lives.len() as u64 - accounts,
        accounts_without_truth: run.without_truth.len() as u64,
        records_after_end: run.records_after_end,
        account_months: watched.account_months,
        churners: churners.len() as u64,
        churners_reachable: churners.iter().filter(is_reachable).count() as u64,
        stayers: run.lives.iter().filter(|life| stays(life)).count() as u64,
        stayers_alerted: alerted.len() as u64,
        base_rate,
        risk: context.rule("any risk rule", Kind::Risk, is_risk),
        rules: rules.collect(),
        band_changes: counts.band_changes,
        band_changes_per_100_accounts_month: watched.per_100_accounts_month(counts.band_changes),
        between_bands: counts.between_bands,
        reversed: counts.reversed,
        flap_rate: counts.flap_rate(),
        mean_score_of_churners: score_of(true),
        mean_score_of_stayers: score_of(false),
        auc: auc(run, &judge),
        bands: bands(run, &judge),
    }
}

/// The time from which a departure lies within the horizon, over all time of which that is known.
fn base_rate(judge: &Judge, lives: &[Life]) -> Option<f64> {
    let (mut followed, mut all) = (0_i64, 0_i64);
    for life in lives {
        let Some((from, to)) = judge.watched(life) else { continue };
        let to = to.min(judge.known_until - judge.options.horizon);
        all += to.since(from).as_millis().max(0);
        if let Some(churned_at) = life.fate.churned_at {
            let from = from.max(churned_at - judge.options.horizon);
            followed += to.min(churned_at).since(from).as_millis().max(0);
        }
    }
    (all > 0).then(|| followed as f64 / all as f64)
}

/// What every rule's numbers are made with.
struct Context<'a> {
    run: &'a Backtest,
    judge: &'a Judge,
    watched: Watched,
    base_rate: Option<f64>,
    churners: usize,
}

impl Context<'_> {
    /// The numbers of the episodes that `is_of` chooses.
    fn rule(&self, name: &str, kind: Kind, is_of: impl Fn(&Episode) -> bool) -> RuleOutcome {
        let (mut episodes, mut judged, mut followed, mut repeats) = (0, 0, 0, 0);
        let mut alerted = HashSet::new();
        let mut last_of: HashMap<(usize, usize), EventTime> = HashMap::new();
        for episode in self.run.episodes.iter().filter(|episode| is_of(episode)) {
            let life = &self.run.lives[episode.life];
            episodes += 1;
            if let Some(is_followed) = self.judge.is_followed(life, episode.at) {
                judged += 1;
                followed += u64::from(is_followed);
            }
            if self.judge.is_in_time(life, episode.at) {
                alerted.insert(episode.life);
            }
            let before = last_of.insert((episode.rule, episode.life), episode.at);
            repeats += u64::from(before.is_some_and(|at| episode.at.since(at) <= REPEAT_WITHIN));
        }
        let precision = share(followed, judged);
        let lift = precision.zip(self.base_rate).filter(|(_, base_rate)| *base_rate > 0.0);
        RuleOutcome {
            rule: name.to_owned(),
            kind,
            episodes,
            episodes_per_100_accounts_month: self.watched.per_100_accounts_month(episodes),
            judged,
            followed,
            precision,
            lift: lift.map(|(precision, base_rate)| precision / base_rate),
            repeats,
            churners_alerted: alerted.len() as u64,
            recall: share(alerted.len() as u64, self.churners as u64),
        }
    }
}

fn bands(run: &Backtest, judge: &Judge) -> Vec<BandOutcome> {
    let bands = run.card.bands.len();
    let mut counts = vec![(0, 0); bands + 1];
    for sample in &run.samples {
        if let Some(is_followed) = judge.is_followed(&run.lives[sample.life], sample.at) {
            let (samples, followed) = &mut counts[sample.band.unwrap_or(bands)];
            *samples += 1;
            *followed += u64::from(is_followed);
        }
    }
    let name = |place| if place < bands { band_name(&run.card, Some(place)) } else { UNKNOWN_BAND };
    let band = |(place, (samples, followed)): (usize, (u64, u64))| BandOutcome {
        band: name(place).to_owned(),
        samples,
        followed,
        churn_rate: share(followed, samples),
    };
    counts.into_iter().enumerate().map(band).collect()
}

/// Over the pairs of each sampling day, as the field is named.
fn auc(run: &Backtest, judge: &Judge) -> Option<f64> {
    let scored = |sample: &super::Sample| {
        let is_followed = judge.is_followed(&run.lives[sample.life], sample.at)?;
        Some((sample.at, sample.score?, is_followed))
    };
    let scored: Vec<(EventTime, f64, bool)> = run.samples.iter().filter_map(scored).collect();
    let (mut right, mut pairs) = (0.0, 0.0);
    // Samples were taken a day after the other, so those of a day stand together.
    for day in scored.chunk_by(|(one, ..), (other, ..)| one == other) {
        let mut day = day.to_vec();
        day.sort_by(|(_, one, _), (_, other, _)| one.total_cmp(other));
        let mut leavers_below = 0.0;
        for ties in day.chunk_by(|(_, one, _), (_, other, _)| one == other) {
            let leavers = ties.iter().filter(|(.., is_followed)| *is_followed).count() as f64;
            let others = ties.len() as f64 - leavers;
            right += others * (leavers_below + leavers / 2.0);
            leavers_below += leavers;
        }
        pairs += leavers_below * (day.len() as f64 - leavers_below);
    }
    (pairs > 0.0).then(|| right / pairs)
}

fn mean(scores: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = scores.fold((0.0, 0.0), |(sum, count), score| (sum + score, count + 1.0));
    (count > 0.0).then(|| sum / count)
}
