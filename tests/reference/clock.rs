//! What time it is: task time, and for a source whose clock stands still or stood still, its own.

use super::event::Source;

/// Task time, and what the outage guard made of it for each source.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    pub now: i64,
    /// By `Source as usize`.
    pub sources: [SourceClock; 5],
}

#[derive(Clone, Debug, Default)]
pub struct SourceClock {
    /// Where it stands still.
    pub frozen_at: Option<i64>,
    /// From and until when there were outages that are over; in order, and apart from each other.
    pub outages: Vec<(i64, i64)>,
}

impl Clock {
    /// That of a task without an outage.
    pub fn plain(now: i64) -> Clock {
        Clock { now, ..Clock::default() }
    }

    /// The same at another time.
    pub fn at(&self, now: i64) -> Clock {
        Clock { now, ..self.clone() }
    }

    /// The time at which what comes of a source is read.
    pub fn of(&self, source: Source) -> i64 {
        self.sources[source as usize].frozen_at.unwrap_or(self.now)
    }

    /// How long ago `since` was, without the outages of the source.
    pub fn elapsed(&self, source: Source, since: i64) -> i64 {
        let now = self.of(source);
        let outages = self.sources[source as usize].outages.iter();
        let out: i64 =
            outages.map(|(start, end)| ((*end).min(now) - (*start).max(since)).max(0)).sum();
        now - since - out
    }

    /// When `span` will have elapsed, unless the clock stands still before.
    pub fn full_at(&self, source: Source, since: i64, span: i64) -> i64 {
        let mut at = since + span;
        for (start, end) in &self.sources[source as usize].outages {
            let start = (*start).max(since);
            if start < at && start < *end {
                at += end - start;
            }
        }
        at
    }
}

#[test]
fn outages_do_not_elapse() {
    let mut clock = Clock::plain(100);
    clock.sources[Source::Usage as usize].outages = vec![(10, 20), (50, 60)];
    for (since, elapsed) in [(0, 80), (15, 70), (20, 70), (55, 40), (70, 30), (110, -10)] {
        assert_eq!(clock.elapsed(Source::Usage, since), elapsed, "{since}");
        assert_eq!(clock.elapsed(Source::Survey, since), 100 - since);
    }
    for (since, span, at) in [(0, 10, 10), (0, 11, 21), (15, 5, 25), (0, 40, 50), (0, 41, 61)] {
        assert_eq!(clock.full_at(Source::Usage, since, span), at, "{since} {span}");
        assert_eq!(clock.at(at).elapsed(Source::Usage, since), span);
    }
}
