//! The only `now()`: the wall clock, one that runs faster for the demo, and the machine's monotonic
//! one for pauses and time-outs.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::engine::time::{EventTime, Span};

/// Where "now" comes from. Cheap to copy; copies agree.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Copy, Debug)]
enum Kind {
    Wall,
    Simulated { start: EventTime, started: Instant, speed: f64 },
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

    /// The present moment.
    pub fn now(&self) -> EventTime {
        match self.0 {
            Kind::Wall => {
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                EventTime::from_millis(since_epoch.as_millis() as i64)
            }
            Kind::Simulated { start, started, speed } => {
                let simulated_millis = started.elapsed().as_secs_f64() * 1_000.0 * speed;
                start + Span::from_millis(simulated_millis as i64)
            }
        }
    }
}

/// The machine's monotonic clock: for pauses and time-outs, never for what counts.
pub fn monotonic() -> Instant {
    Instant::now()
}
