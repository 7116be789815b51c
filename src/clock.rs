//! The only `now()`: the wall clock, one that runs faster for the demo, one that is moved by hand, and
//! the machine's monotonic one for pauses and time-outs.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::engine::time::{EventTime, Span};

/// Where "now" comes from. Cheap to clone; clones agree.
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Wall,
    Simulated {
        start: EventTime,
        started: Instant,
        speed: f64,
    },
    /// Epoch milliseconds, and the instant that stands for the first of them that was shown.
    ByHand {
        millis: Arc<AtomicI64>,
        first: (i64, Instant),
    },
}

impl Clock {
    /// The machine's clock.
    pub fn wall() -> Clock {
        Clock(Kind::Wall)
    }

    /// A clock that shows `start` now and runs `speed` times as fast as the machine's.
    pub fn simulated(start: EventTime, speed: f64) -> Clock {
        Clock(Kind::Simulated { start, started: Instant::now(), speed })
    }

    /// A clock that stands still at what `millis` says, epoch milliseconds, until somebody moves it
    /// on; never back. Pauses and time-outs are measured by it too, and a sleep moves it on: nobody
    /// ever waits.
    pub fn by_hand(millis: Arc<AtomicI64>) -> Clock {
        let first = (millis.load(Ordering::Relaxed), Instant::now());
        Clock(Kind::ByHand { millis, first })
    }

    /// The present moment.
    pub fn now(&self) -> EventTime {
        match &self.0 {
            Kind::Wall => {
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                EventTime::from_millis(since_epoch.as_millis() as i64)
            }
            Kind::Simulated { start, started, speed } => {
                let simulated_millis = started.elapsed().as_secs_f64() * 1_000.0 * *speed;
                *start + Span::from_millis(simulated_millis as i64)
            }
            Kind::ByHand { millis, .. } => EventTime::from_millis(millis.load(Ordering::Relaxed)),
        }
    }

    /// The present moment for pauses and time-outs: no clock that is set moves it, and none that runs
    /// fast. Only a clock that is moved by hand has its own.
    pub fn monotonic(&self) -> Instant {
        match &self.0 {
            Kind::Wall | Kind::Simulated { .. } => monotonic(),
            Kind::ByHand { millis, first: (first, instant) } => {
                let passed = millis.load(Ordering::Relaxed) - first;
                *instant + Duration::from_millis(u64::try_from(passed).unwrap_or(0))
            }
        }
    }

    /// How long ago `instant` was, one of [`Clock::monotonic`]'s.
    pub fn since(&self, instant: Instant) -> Duration {
        self.monotonic().saturating_duration_since(instant)
    }

    /// Waits.
    pub fn sleep(&self, duration: Duration) {
        match &self.0 {
            Kind::Wall | Kind::Simulated { .. } => std::thread::sleep(duration),
            Kind::ByHand { millis, .. } => {
                millis.fetch_add(duration.as_millis() as i64, Ordering::Relaxed);
            }
        }
    }
}

/// The machine's monotonic clock: for pauses and time-outs, never for what counts.
pub fn monotonic() -> Instant {
    Instant::now()
}
