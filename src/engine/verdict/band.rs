//! The band machine: margin, dwell, bypass; `unknown` left at once and entered slowly.
//!
//! Time is an argument, and a dwell ends at its own moment: the engine wakes the account for it.

use super::kept::{BadVerdict, KeptBand};
use crate::engine::scorecard::{AntiFlap, Scorecard, TOLERANCE};
use crate::engine::time::EventTime;

/// Which way a band change that has not happened yet would go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Worse,
    Better,
    Unknown,
}

/// A change that waits for its dwell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pending {
    direction: Direction,
    since: EventTime,
}

/// An account's band as published, and what is under way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BandState {
    /// Position in the card's bands; `None` is `unknown`.
    current: Option<usize>,
    /// The band before, if there was a change.
    previous: Option<Option<usize>>,
    /// When the current band was entered; `None` before the first change.
    since: Option<EventTime>,
    /// The score in the last band change.
    changed_at_score: Option<f64>,
    pending: Option<Pending>,
}

/// A band change that has just happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BandStep {
    /// The band left.
    pub from: Option<usize>,
    /// The band entered.
    pub to: Option<usize>,
}

impl BandState {
    /// An account that has no band yet.
    pub fn new() -> BandState {
        BandState {
            current: None,
            previous: None,
            since: None,
            changed_at_score: None,
            pending: None,
        }
    }

    /// What is kept of it over a restart.
    pub fn keep<'a>(&self, card: &'a Scorecard) -> KeptBand<'a> {
        let name = |band: Option<usize>| band.map(|band| card.bands[band].name.as_str());
        let direction = |direction| match direction {
            Direction::Worse => 0,
            Direction::Better => 1,
            Direction::Unknown => 2,
        };
        KeptBand {
            current: name(self.current),
            previous: self.previous.map(name),
            since: self.since.map(EventTime::as_millis),
            changed_at_score: self.changed_at_score,
            pending: self.pending.map(|p| (direction(p.direction), p.since.as_millis())),
        }
    }

    /// The state again. A band that the card does not have any more is `unknown`, and nothing is
    /// under way towards or from it.
    ///
    /// # Errors
    /// When `kept` says what no state can.
    pub fn restore(kept: &KeptBand<'_>, card: &Scorecard) -> Result<BandState, BadVerdict> {
        let position = |name: Option<&str>| {
            name.and_then(|name| card.bands.iter().position(|band| band.name == name))
        };
        let current = position(kept.current);
        let pending = match kept.pending {
            Some((direction, since)) => Some(Pending {
                direction: match direction {
                    0 => Direction::Worse,
                    1 => Direction::Better,
                    2 => Direction::Unknown,
                    _ => return Err(BadVerdict("an unknown direction of a band change")),
                },
                since: EventTime::from_millis(since),
            }),
            None => None,
        };
        Ok(BandState {
            current,
            previous: kept.previous.map(position),
            since: kept.since.map(EventTime::from_millis),
            changed_at_score: kept.changed_at_score,
            pending: pending.filter(|_| current.is_some()),
        })
    }

    /// The published band; `None` is `unknown`.
    pub fn current(&self) -> Option<usize> {
        self.current
    }

    /// The band before it, if the band ever changed.
    pub fn previous(&self) -> Option<Option<usize>> {
        self.previous
    }

    /// When the band was entered, if it ever changed.
    pub fn since(&self) -> Option<EventTime> {
        self.since
    }

    /// When the pending change comes about if the score stays as it is; `MAX` if none is pending.
    pub fn deadline(&self, card: &Scorecard) -> EventTime {
        let ends = |pending: Pending| pending.ends(&card.anti_flap);
        self.pending.map_or(EventTime::MAX, ends)
    }

    /// Judges `score` at `now`; returns the change if one comes about at this moment.
    pub fn step(
        &mut self,
        card: &Scorecard,
        score: Option<f64>,
        now: EventTime,
    ) -> Option<BandStep> {
        let target = score.map(|score| card.band_of(score));
        if target == self.current {
            self.pending = None;
            return None;
        }
        let direction = match (self.current, target) {
            (None, _) => return Some(self.enter(target, score, now)),
            (Some(_), None) => Direction::Unknown,
            (Some(current), Some(target)) if target < current => Direction::Worse,
            (Some(_), Some(_)) => Direction::Better,
        };
        let pending = match self.pending {
            Some(pending) if pending.direction == direction => pending,
            Some(_) | None => {
                self.pending = None;
                if !self.past_margin(card, score, direction) {
                    return None;
                }
                *self.pending.insert(Pending { direction, since: now })
            }
        };
        let fallen = match (direction, self.changed_at_score, score) {
            (Direction::Worse, Some(before), Some(score)) => before - score,
            _ => 0.0,
        };
        let bypassed =
            direction == Direction::Worse && fallen >= card.anti_flap.bypass_drop - TOLERANCE;
        if bypassed || pending.ends(&card.anti_flap) <= now {
            Some(self.enter(target, score, now))
        } else {
            None
        }
    }

    /// Enters the band that holds `score` at once, without margin or dwell: it was not the account
    /// that moved. With `always`, it is entered even if it is the current one.
    pub fn settle(
        &mut self,
        card: &Scorecard,
        score: Option<f64>,
        always: bool,
        now: EventTime,
    ) -> Option<BandStep> {
        let target = score.map(|score| card.band_of(score));
        self.pending = None;
        (always || target != self.current).then(|| self.enter(target, score, now))
    }

    /// Stands by the band that somebody claims, whatever the score. Only the record is new where it is
    /// the current one.
    pub fn impose(&mut self, to: Option<usize>, score: Option<f64>, now: EventTime) -> BandStep {
        let from = self.current;
        if to != from {
            return self.enter(to, score, now);
        }
        self.pending = None;
        self.changed_at_score = score;
        BandStep { from, to }
    }

    /// The same bands by their names in another card; one that is not there becomes `unknown`.
    pub fn in_bands_of(&mut self, old: &Scorecard, new: &Scorecard) {
        let there = |band: usize| new.bands.iter().position(|b| b.name == old.bands[band].name);
        self.current = self.current.and_then(there);
        self.previous = self.previous.map(|previous| previous.and_then(there));
        self.pending = None;
    }

    fn enter(&mut self, to: Option<usize>, score: Option<f64>, now: EventTime) -> BandStep {
        let from = self.current;
        *self = BandState {
            current: to,
            previous: Some(from),
            since: Some(now),
            changed_at_score: score,
            pending: None,
        };
        BandStep { from, to }
    }

    /// Whether the score is at least the margin past the edge of the current band.
    fn past_margin(&self, card: &Scorecard, score: Option<f64>, direction: Direction) -> bool {
        let (Some(current), Some(score)) = (self.current, score) else { return true };
        let margin = card.anti_flap.margin;
        match direction {
            Direction::Worse => {
                let edge = card.bands[..current].last().map_or(0.0, |below| below.upper);
                score <= edge - margin + TOLERANCE
            }
            Direction::Better => score >= card.bands[current].upper + margin - TOLERANCE,
            Direction::Unknown => true,
        }
    }
}

impl Default for BandState {
    fn default() -> Self {
        BandState::new()
    }
}

impl Pending {
    fn ends(&self, anti_flap: &AntiFlap) -> EventTime {
        let dwell = match self.direction {
            Direction::Better => anti_flap.dwell_better,
            Direction::Worse | Direction::Unknown => anti_flap.dwell_worse,
        };
        self.since + dwell
    }
}
