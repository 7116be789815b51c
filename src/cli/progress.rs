//! How far a long command has got, for whoever watches: on standard error, on a terminal only, and
//! only when it takes longer than a second.

use std::fmt::Write;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::clock;

/// What is done sooner needs no bar.
const PATIENCE: Duration = Duration::from_secs(1);
/// Steps between two looks at the clock: a look costs more than most steps.
const STEPS_A_LOOK: u64 = 1_024;

/// One stretch of work. Dropped, it leaves nothing on the screen.
pub struct Progress {
    bar: ProgressBar,
    began: Instant,
    /// `None` once it is settled whether the bar is shown.
    waiting: Option<()>,
}

impl Progress {
    /// Work of `total` steps, 0 where nobody knows how many. `printing` is whether standard output
    /// is written to meanwhile: on a terminal a bar would run into it.
    pub fn new(what: &'static str, total: u64, printing: bool) -> Progress {
        let (length, template) = match total {
            0 => (None, "{msg} {human_pos} ({rate})"),
            total => (Some(total), "{msg} [{bar:32}] {percent}% ({rate}, {eta} to go)"),
        };
        let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template(template).expect("the template is one");
        bar.set_style(style.with_key("rate", |state: &ProgressState, out: &mut dyn Write| {
            let rate = HumanCount(state.per_sec() as u64);
            write!(out, "{rate}/s").expect("text in memory can always be written");
        }));
        bar.set_message(what);
        let watched = std::io::stderr().is_terminal();
        let disturbs = printing && std::io::stdout().is_terminal();
        Progress { bar, began: clock::monotonic(), waiting: (watched && !disturbs).then_some(()) }
    }

    /// So many steps are done.
    pub fn at(&mut self, steps: u64) {
        if steps.is_multiple_of(STEPS_A_LOOK) {
            self.now_at(steps);
        }
    }

    /// The same for steps that are few and long.
    pub fn now_at(&mut self, steps: u64) {
        if self.waiting.is_some() && self.began.elapsed() >= PATIENCE {
            self.waiting = None;
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.set_position(steps);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
