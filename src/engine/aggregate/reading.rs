//! One reading of a measure: its value, and until when it stands if no event comes.

use crate::engine::scorecard::Window;
use crate::engine::time::{EventTime, Span};

/// Why a measure has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// There is no data to say anything.
    NoData,
    /// Its data is older than `stale_after`.
    Stale,
    /// The rules are newer than the history kept for them: part of the window is not known.
    WarmingUp,
}

/// What a measure says at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// The value; `None` when there is nothing to say.
    pub value: Option<f64>,
    /// The value cannot change before this without an event (it need not change then).
    pub until: EventTime,
    /// Why there is no value, where there is none.
    pub absence: Absence,
}

impl Reading {
    /// A value that only an event can change.
    pub fn lasting(value: Option<f64>) -> Reading {
        Reading::until(value, EventTime::MAX)
    }

    /// A value that time alone may change at `until`, not before.
    pub fn until(value: Option<f64>, until: EventTime) -> Reading {
        Reading { value, until, absence: Absence::NoData }
    }
}

/// Collects what falls into a window, and when that changes next.
pub struct WindowScan {
    window: Window,
    now: EventTime,
    /// Earliest change among everything asked about so far.
    pub until: EventTime,
}

impl WindowScan {
    /// A scan of `window` as it stands at `now`.
    pub fn new(window: Window, now: EventTime) -> WindowScan {
        WindowScan { window, now, until: EventTime::MAX }
    }

    /// Whether something at `at` is in the window.
    pub fn covers(&mut self, at: EventTime) -> bool {
        self.until = self.until.min(self.window.next_change(at, self.now));
        self.window.covers(at, self.now)
    }

    /// The reading with `value`, valid until the scan's next change.
    pub fn reading(&self, value: Option<f64>) -> Reading {
        Reading::until(value, self.until)
    }
}

/// Whole elapsed `unit`s from `from` to `now` (0 if `from` is ahead), and when there is one more.
pub fn whole_elapsed(from: EventTime, now: EventTime, unit: Span) -> (i64, EventTime) {
    let units = now.since(from).as_millis().div_euclid(unit.as_millis()).max(0);
    (units, from + unit * (units + 1))
}

/// The mean of `sum` over `count` values, `None` of none.
pub fn mean(sum: f64, count: u64) -> Option<f64> {
    (count > 0).then(|| sum / count as f64)
}
