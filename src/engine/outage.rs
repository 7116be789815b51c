//! The outage guard: when a whole source goes quiet for the fleet, silence is not the customers'
//! doing (domain page, section 6).
//!
//! A source learns how many events each hour of the week brings. When hours bring almost nothing of
//! what they should, the source's clock stands still for every account of the task, until events
//! come again and a backlog has had an hour to land.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::event::Source;
use super::time::{EventTime, Span};

/// The sources that are guarded; a profile may well stay as it is for years.
pub const GUARDED: [Source; 4] = [Source::Usage, Source::Ticket, Source::Payment, Source::Survey];

const HOURS_OF_WEEK: usize = 168;
/// So many of the last weeks are learnt from.
const WEEKS_LEARNT: usize = 4;
/// So long the guard only learns. After three days it tripped on every night of the first week.
const LEARNING: Span = Span::days(14);
/// So many of the last hours are looked at together.
const HOURS_TRAILING: usize = 24;
/// Fewer events to be expected say nothing by their absence.
const EXPECTED_MIN: f64 = 30.0;
/// At most this share of what was to be expected is an outage.
const SHARE_MAX: f64 = 0.1;
/// From this share of what was to be expected on, a source is back.
const SHARE_BACK: f64 = 0.5;
const SLACK: f64 = 1e-9;

/// Task time, and what outages make of it for each source.
#[derive(Clone, Debug)]
pub struct Clocks {
    /// Task time; never goes back.
    pub now: EventTime,
    /// Where a source's clock stands still; `MAX` where it runs. By `Source as usize`.
    frozen_at: [EventTime; 5],
    /// When there were outages that are over, in order. By `Source as usize`.
    outages: [Vec<(EventTime, EventTime)>; 5],
}

impl Default for Clocks {
    fn default() -> Self {
        Clocks { now: EventTime::MIN, frozen_at: [EventTime::MAX; 5], outages: Default::default() }
    }
}

impl Clocks {
    /// The time at which what comes of a source is read.
    pub fn of(&self, source: Source) -> EventTime {
        self.now.min(self.frozen_at[source as usize])
    }

    /// Whether a source's clock stands still.
    pub fn is_frozen(&self, source: Source) -> bool {
        self.frozen_at[source as usize] < EventTime::MAX
    }

    /// The sources whose clock stands still.
    pub fn frozen(&self) -> Degraded {
        let frozen = GUARDED.into_iter().filter(|source| self.is_frozen(*source));
        Degraded(frozen.fold(0, |set, source| set | 1 << source as u8))
    }

    /// No clock of a source is behind this.
    pub fn earliest(&self) -> EventTime {
        self.frozen_at.iter().copied().fold(self.now, EventTime::min)
    }

    /// `since`, later by as much of the time up to now as a source was out: what has elapsed from
    /// then on leaves the outages out.
    pub fn without_outages(&self, source: Source, since: EventTime) -> EventTime {
        let now = self.of(source);
        let out = self.outages[source as usize]
            .iter()
            .map(|(start, end)| (*end).min(now).since((*start).max(since)).max(Span::ZERO));
        out.fold(since, |at, out| at + out)
    }
}

/// Sources whose outage holds accounts' clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Degraded(u8);

impl Degraded {
    /// These.
    #[cfg(test)]
    pub fn of(sources: &[Source]) -> Degraded {
        Degraded(sources.iter().fold(0, |bits, source| bits | 1 << *source as u8))
    }

    /// Their names, as reports and records give them.
    pub fn names(self) -> Vec<&'static str> {
        let inside = |source: &Source| self.0 & 1 << *source as u8 != 0;
        GUARDED.into_iter().filter(inside).map(name).collect()
    }
}

/// The name of a guarded source in reports and records.
pub fn name(source: Source) -> &'static str {
    match source {
        Source::Usage => "usage",
        Source::Ticket => "support",
        Source::Payment => "payment",
        Source::Survey => "survey",
        Source::Profile => "account",
    }
}

/// What the operators of the sources are told. The same for all tasks but for the numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OperatorAlert {
    /// The task's own count of these, from 1.
    pub sequence: u64,
    /// Which source.
    pub source: Source,
    /// Task time.
    pub at: EventTime,
    /// The first hour of the outage begins here.
    pub started_at: EventTime,
    /// When it was noticed.
    pub detected_at: EventTime,
    /// When events came again; `None` while they do not.
    pub ended_at: Option<EventTime>,
    /// How many events were to be expected in the hours that settled it.
    pub expected: f64,
    /// How many came.
    pub came: u64,
}

/// Watches all guarded sources of a task.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    watches: [Watch; GUARDED.len()],
    sequence: u64,
    /// Whether anything but the count of the hour that runs has changed since it was kept last.
    changed: bool,
}

#[derive(Clone, Debug)]
struct Watch {
    /// The start of the hour of the first event; `MAX` before one.
    learning_since: EventTime,
    /// Events in the hour that runs.
    came: u64,
    /// The last counts of each hour of the week, the latest first.
    learnt: Vec<[Option<u32>; WEEKS_LEARNT]>,
    /// What the last hours since a clearing should have brought, and brought, oldest first.
    trail: VecDeque<(f64, u64)>,
    outage: Option<Outage>,
}

#[derive(Clone, Copy, Debug)]
struct Outage {
    started_at: EventTime,
    detected_at: EventTime,
    /// In the hours that showed it.
    expected: f64,
    came: u64,
    /// The same for the hour that showed that it is over.
    back: (f64, u64),
    /// Whether the operators have been told.
    told: bool,
    /// When the clock goes on; `None` while nothing comes.
    thaws_at: Option<EventTime>,
}

impl Default for Watch {
    fn default() -> Self {
        Watch {
            learning_since: EventTime::MAX,
            came: 0,
            learnt: Vec::new(),
            trail: VecDeque::new(),
            outage: None,
        }
    }
}

/// What is kept of a guard over a restart, but for [`Guard::came`]: version 1 of the format, see
/// `snapshot`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptGuard {
    sequence: u64,
    watches: Vec<KeptWatch>,
    /// By `Source as usize`, as in [`Clocks`].
    frozen_at: [Option<i64>; 5],
    outages: [Vec<(i64, i64)>; 5],
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct KeptWatch {
    learning_since: Option<i64>,
    learnt: Vec<[Option<u32>; 4]>,
    trail: Vec<(f64, u64)>,
    outage: Option<KeptOutage>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct KeptOutage {
    started_at: i64,
    detected_at: i64,
    expected: f64,
    came: u64,
    back: (f64, u64),
    told: bool,
    thaws_at: Option<i64>,
}

impl Guard {
    /// Events in the hour that runs, in the order of [`GUARDED`].
    pub fn came(&self) -> [u64; GUARDED.len()] {
        std::array::from_fn(|source| self.watches[source].came)
    }

    /// What is to be kept, if it has changed since the last call.
    pub fn keep(&mut self, clocks: &Clocks) -> Option<KeptGuard> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let outage = |outage: &Outage| KeptOutage {
            started_at: outage.started_at.as_millis(),
            detected_at: outage.detected_at.as_millis(),
            expected: outage.expected,
            came: outage.came,
            back: outage.back,
            told: outage.told,
            thaws_at: outage.thaws_at.map(EventTime::as_millis),
        };
        let watch = |watch: &Watch| KeptWatch {
            learning_since: written(watch.learning_since),
            learnt: watch.learnt.clone(),
            trail: watch.trail.iter().copied().collect(),
            outage: watch.outage.as_ref().map(outage),
        };
        Some(KeptGuard {
            sequence: self.sequence,
            watches: self.watches.iter().map(watch).collect(),
            frozen_at: clocks.frozen_at.map(written),
            outages: std::array::from_fn(|source| {
                let outages = clocks.outages[source].iter();
                outages.map(|(from, to)| (from.as_millis(), to.as_millis())).collect()
            }),
        })
    }

    /// The guard as it was kept, with the events of the hour that ran. Sets the clocks of sources.
    pub fn restore(kept: KeptGuard, came: [u64; GUARDED.len()], clocks: &mut Clocks) -> Guard {
        let at = EventTime::from_millis;
        let outage = |kept: KeptOutage| Outage {
            started_at: at(kept.started_at),
            detected_at: at(kept.detected_at),
            expected: kept.expected,
            came: kept.came,
            back: kept.back,
            told: kept.told,
            thaws_at: kept.thaws_at.map(at),
        };
        let mut guard = Guard { sequence: kept.sequence, ..Guard::default() };
        for ((watch, kept), came) in guard.watches.iter_mut().zip(kept.watches).zip(came) {
            *watch = Watch {
                learning_since: kept.learning_since.map_or(EventTime::MAX, at),
                came,
                learnt: kept.learnt,
                trail: kept.trail.into(),
                outage: kept.outage.map(outage),
            };
            watch.learnt.resize(
                if watch.learning_since == EventTime::MAX { 0 } else { HOURS_OF_WEEK },
                [None; WEEKS_LEARNT],
            );
        }
        clocks.frozen_at = kept.frozen_at.map(|frozen| frozen.map_or(EventTime::MAX, at));
        clocks.outages = kept
            .outages
            .map(|outages| outages.into_iter().map(|(from, to)| (at(from), at(to))).collect());
        guard
    }
    /// An event of `source` was accepted at task time `now`.
    pub fn count(&mut self, source: Source, now: EventTime) {
        let Some(watch) = self.watches.get_mut(source as usize) else { return };
        if watch.learning_since == EventTime::MAX {
            watch.learning_since = now.floor_to(Span::HOUR);
            watch.learnt = vec![[None; WEEKS_LEARNT]; HOURS_OF_WEEK];
            self.changed = true;
        }
        watch.came += 1;
    }

    /// The next instant after `now` at which the guard has something to do; `MAX` if none.
    pub fn next_look(&self, now: EventTime, publish_from: EventTime) -> EventTime {
        let began = self.watches.iter().map(|watch| watch.learning_since).min();
        let Some(began) = began.filter(|began| *began < EventTime::MAX) else {
            return EventTime::MAX;
        };
        // At least once, a new life may begin before anything that its guard has learnt from.
        let hour_end = now.max(began).floor_to(Span::HOUR) + Span::HOUR;
        let untold = self.watches.iter().filter_map(|watch| watch.outage).any(|out| !out.told);
        if untold && publish_from > now { hour_end.min(publish_from) } else { hour_end }
    }

    /// Looks at all sources at `clocks.now`, an instant named by [`Guard::next_look`]. Returns
    /// whether a clock goes on after having stood still.
    pub fn look(
        &mut self,
        clocks: &mut Clocks,
        publish_from: EventTime,
        alerts: &mut VecDeque<OperatorAlert>,
    ) -> bool {
        let now = clocks.now;
        self.changed = true;
        let is_hour_end = now.floor_to(Span::HOUR) == now;
        let mut thawed = false;
        for (watch, source) in self.watches.iter_mut().zip(GUARDED) {
            let index = source as usize;
            if is_hour_end {
                if let Some(started_at) = watch.thaw(now) {
                    clocks.frozen_at[index] = EventTime::MAX;
                    clocks.outages[index].push((started_at, now));
                    thawed = true;
                }
                watch.hour_ends(now);
                if watch.outage.is_some() && clocks.frozen_at[index] == EventTime::MAX {
                    clocks.frozen_at[index] = now;
                }
            }
            let Some(outage) = &mut watch.outage else { continue };
            let Outage { started_at, detected_at, .. } = *outage;
            let mut tell = |ended_at: Option<EventTime>, (expected, came): (f64, u64)| {
                self.sequence += 1;
                alerts.push_back(OperatorAlert {
                    sequence: self.sequence,
                    source,
                    at: now,
                    started_at,
                    detected_at,
                    ended_at,
                    expected,
                    came,
                });
            };
            if now < publish_from {
                continue;
            }
            let cleared = outage.thaws_at.map(|thaws_at| thaws_at - Span::HOUR);
            if !outage.told && cleared.is_none_or(|cleared| cleared == now) {
                outage.told = true;
                tell(None, (outage.expected, outage.came));
            }
            if outage.told && cleared == Some(now) {
                tell(cleared, outage.back);
            }
        }
        thawed
    }
}

/// An instant, or nothing for the end of time.
fn written(at: EventTime) -> Option<i64> {
    (at < EventTime::MAX).then(|| at.as_millis())
}

impl Watch {
    /// Whether the clock goes on at `end`; then this is where the outage began.
    fn thaw(&mut self, end: EventTime) -> Option<EventTime> {
        let outage = self.outage.filter(|outage| outage.thaws_at == Some(end))?;
        self.outage = None;
        Some(outage.started_at)
    }

    /// Takes the hour that ends at `end`. An outage may begin and end with it.
    fn hour_ends(&mut self, end: EventTime) {
        let came = std::mem::take(&mut self.came);
        if self.learning_since == EventTime::MAX {
            return;
        }
        let hour = (end.pane(Span::HOUR) - 1).rem_euclid(HOURS_OF_WEEK as i64) as usize;
        let (sum, weeks) = self.learnt[hour]
            .iter()
            .flatten()
            .fold((0.0, 0.0), |(sum, weeks), count| (sum + f64::from(*count), weeks + 1.0));
        let expected = if weeks > 0.0 { sum / weeks } else { 0.0 };
        self.trail.push_back((expected, came));
        if self.trail.len() > HOURS_TRAILING {
            self.trail.pop_front();
        }
        if self.outage.is_none() && end >= self.learning_since + LEARNING {
            self.outage = self.outage_at(end);
        }
        if let Some(outage) = &mut self.outage
            && outage.thaws_at.is_none()
            && expected > 0.0
            && came as f64 >= SHARE_BACK * expected - SLACK
        {
            outage.thaws_at = Some(end + Span::HOUR);
            outage.back = (expected, came);
            self.trail.clear();
        }
        // What an outage brings is no lesson.
        if self.outage.is_none_or(|outage| outage.thaws_at.is_some()) {
            let learnt = &mut self.learnt[hour];
            learnt.rotate_right(1);
            learnt[0] = Some(u32::try_from(came).unwrap_or(u32::MAX));
        }
    }

    /// Whether the last hours, as few as show it, brought almost nothing of what they should.
    fn outage_at(&self, end: EventTime) -> Option<Outage> {
        let (mut expected, mut came) = (0.0, 0);
        for (hours, (should, did)) in (1..).zip(self.trail.iter().rev()) {
            expected += should;
            came += did;
            if expected >= EXPECTED_MIN - SLACK && came as f64 <= SHARE_MAX * expected + SLACK {
                return Some(Outage {
                    started_at: end - Span::HOUR * hours,
                    detected_at: end,
                    expected,
                    came,
                    back: (0.0, 0),
                    told: false,
                    thaws_at: None,
                });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found as a start that never ended: at least once, with state written and no offset yet.
    #[test]
    fn a_guard_whose_task_starts_over_looks_at_no_hour_before_its_first() {
        let mut guard = Guard::default();
        let at = EventTime::from_millis(1_772_409_600_000);
        guard.count(Source::Usage, at);
        let look = guard.next_look(EventTime::MIN, EventTime::MIN);
        assert_eq!(look, at + Span::HOUR);
    }
}
