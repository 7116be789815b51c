//! Survey answers: the latest of each respondent counts, so all within reach are held.

use compact_str::CompactString;

use super::items::{ItemOutcome, make_room};
use super::kept::KeptAnswer;
use super::reading::{Reading, WindowScan, mean};
use crate::engine::event::Survey;
use crate::engine::scorecard::{Filter, MeasureKind, Window};
use crate::engine::time::{EventTime, Span};

/// The survey answers of one account.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answers {
    /// By (survey, respondent, instant), each once.
    answers: Vec<Answer>,
}

#[derive(Clone, Debug, PartialEq)]
struct Answer {
    survey: CompactString,
    respondent: Respondent,
    at: EventTime,
    event_id: CompactString,
    score_milli: i64,
    scale_min_milli: i64,
    scale_max_milli: i64,
    role: Option<CompactString>,
}

/// Who answered. An answer without a name is a respondent of its own, known by the event's id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Respondent {
    Named(CompactString),
    Unnamed(CompactString),
}

impl Answers {
    /// What is kept of each.
    pub fn keep(&self) -> Vec<KeptAnswer<'_>> {
        fn kept(answer: &Answer) -> KeptAnswer<'_> {
            KeptAnswer {
                survey: &answer.survey,
                respondent: match &answer.respondent {
                    Respondent::Named(id) => Some(id),
                    Respondent::Unnamed(_) => None,
                },
                at: answer.at.as_millis(),
                event_id: &answer.event_id,
                score_milli: answer.score_milli,
                scale_min_milli: answer.scale_min_milli,
                scale_max_milli: answer.scale_max_milli,
                role: answer.role.as_deref(),
            }
        }
        self.answers.iter().map(kept).collect()
    }

    /// The answers again.
    pub fn restore(kept: Vec<KeptAnswer<'_>>) -> Answers {
        let restored = |kept: KeptAnswer<'_>| Answer {
            survey: kept.survey.into(),
            respondent: match kept.respondent {
                Some(id) => Respondent::Named(id.into()),
                None => Respondent::Unnamed(kept.event_id.into()),
            },
            at: EventTime::from_millis(kept.at),
            event_id: kept.event_id.into(),
            score_milli: kept.score_milli,
            scale_min_milli: kept.scale_min_milli,
            scale_max_milli: kept.scale_max_milli,
            role: kept.role.map(CompactString::from),
        };
        let mut answers: Vec<Answer> = kept.into_iter().map(restored).collect();
        answers.sort_by(|a, b| a.key().cmp(&b.key()));
        Answers { answers }
    }

    /// Takes one answer; the same respondent's of the same instant counts once.
    pub fn apply(&mut self, survey: &Survey<'_>, at: EventTime, event_id: &str) -> ItemOutcome {
        let answer = Answer {
            survey: survey.survey.as_ref().into(),
            respondent: match &survey.respondent_id {
                Some(id) => Respondent::Named(id.as_ref().into()),
                None => Respondent::Unnamed(event_id.into()),
            },
            at,
            event_id: event_id.into(),
            score_milli: survey.score_milli,
            scale_min_milli: survey.scale_min_milli,
            scale_max_milli: survey.scale_max_milli,
            role: survey.role.as_deref().map(CompactString::from),
        };
        match self.answers.binary_search_by(|known| known.key().cmp(&answer.key())) {
            Ok(same) => {
                // Which of the two stays must not depend on which came first.
                if self.answers[same].event_id >= answer.event_id {
                    return ItemOutcome::Repeated;
                }
                self.answers[same] = answer;
                ItemOutcome::Restated
            }
            Err(place) => {
                make_room(&mut self.answers);
                self.answers.insert(place, answer);
                ItemOutcome::Taken
            }
        }
    }

    /// Drops answers that no window reaches any more.
    pub fn forget(&mut self, reach: Span, now: EventTime) {
        self.answers.retain(|answer| answer.at + reach >= now);
    }

    /// How many are held.
    pub fn len(&self) -> usize {
        self.answers.len()
    }

    /// Net promoter score, -100 to 100: the share of 9 and 10 minus the share of 0 to 6.
    pub fn nps(&self, window: Window, filter: &Filter, now: EventTime) -> Reading {
        let mut scan = WindowScan::new(window, now);
        let (mut balance, mut count) = (0_i64, 0);
        for answer in self.latest(MeasureKind::SurveyNps, filter, &mut scan) {
            count += 1;
            balance += match answer.score_milli {
                9_000.. => 1,
                ..=6_000 => -1,
                _ => 0,
            };
        }
        scan.reading(mean(100.0 * balance as f64, count))
    }

    /// The mean answer, each scaled from its own scale to 0..=100.
    pub fn mean_answer(
        &self,
        kind: MeasureKind,
        window: Window,
        filter: &Filter,
        now: EventTime,
    ) -> Reading {
        let mut scan = WindowScan::new(window, now);
        let (mut sum, mut count) = (0.0, 0);
        for answer in self.latest(kind, filter, &mut scan) {
            sum += answer.percent();
            count += 1;
        }
        scan.reading(mean(sum, count))
    }

    /// The instant of the latest answer that a measure reads at `now`.
    pub fn latest_at(
        &self,
        kind: MeasureKind,
        window: Window,
        filter: &Filter,
        now: EventTime,
    ) -> Option<EventTime> {
        let read = self.answers.iter().filter(|a| a.passes(kind, filter));
        read.map(|a| a.at).filter(|at| window.covers(*at, now)).max()
    }

    /// The latest answer of each respondent to each survey among those in the window, in a fixed
    /// order, so that sums of fractions come out the same however the answers arrived.
    fn latest<'a>(
        &'a self,
        kind: MeasureKind,
        filter: &Filter,
        scan: &mut WindowScan,
    ) -> Vec<&'a Answer> {
        let mut latest: Vec<&Answer> = Vec::new();
        for answer in &self.answers {
            if !answer.passes(kind, filter) || !scan.covers(answer.at) {
                continue;
            }
            match latest.last_mut() {
                Some(last)
                    if last.survey == answer.survey && last.respondent == answer.respondent =>
                {
                    *last = answer;
                }
                _ => latest.push(answer),
            }
        }
        latest
    }
}

impl Answer {
    fn key(&self) -> (&str, &Respondent, EventTime) {
        (&self.survey, &self.respondent, self.at)
    }

    /// The score, from its own scale to 0..=100.
    fn percent(&self) -> f64 {
        // A scale may reach from one end of 64 bits to the other.
        let above_min = |milli: i64| (i128::from(milli) - i128::from(self.scale_min_milli)) as f64;
        100.0 * above_min(self.score_milli) / above_min(self.scale_max_milli)
    }

    fn passes(&self, kind: MeasureKind, filter: &Filter) -> bool {
        filter.reads_survey(kind, &self.survey)
            && (filter.roles.is_empty()
                || self.role.as_deref().is_some_and(|own| filter.roles.iter().any(|r| r == own)))
    }
}
