//! How long the parts of a commit take, for the metrics: told when the commit has come through, so that
//! the parts of all commits add up to the time of all commits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock;
use crate::telemetry::metrics::{CommitStep, Metrics};

/// The stopwatch of one producer.
pub(super) struct Steps {
    metrics: Option<Arc<Metrics>>,
    /// By `CommitStep as usize`.
    spent: [Duration; CommitStep::ALL.len()],
    /// The end of the last step.
    since: Instant,
}

impl Steps {
    /// One that tells nobody.
    pub(super) fn untold() -> Steps {
        Steps { metrics: None, spent: Default::default(), since: clock::monotonic() }
    }

    /// Tells these metrics from now on.
    pub(super) fn tell(&mut self, metrics: Arc<Metrics>) {
        self.metrics = Some(metrics);
    }

    /// A commit begins.
    pub(super) fn start(&mut self) {
        self.spent = Default::default();
        self.since = clock::monotonic();
    }

    /// What has passed since the last call went into this step.
    pub(super) fn end(&mut self, step: CommitStep) {
        let now = clock::monotonic();
        self.spent[step as usize] += now - self.since;
        self.since = now;
    }

    /// The commit has come through.
    pub(super) fn finish(&self) {
        let Some(metrics) = &self.metrics else { return };
        // What comes before is not the broker's.
        for step in CommitStep::ALL.into_iter().filter(|step| *step != CommitStep::Prepare) {
            metrics.observe_commit_step(step, self.spent[step as usize].as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_once_the_commit_has_come_through() {
        let metrics = Arc::new(Metrics::new());
        let told = |step: &str| {
            let text = String::from_utf8(metrics.text()).unwrap();
            let count = format!("barometer_commit_step_seconds_count{{step=\"{step}\"}} ");
            text.lines().find_map(|line| line.strip_prefix(&count)).unwrap().to_owned()
        };
        let mut steps = Steps::untold();
        steps.tell(Arc::clone(&metrics));
        steps.start();
        steps.end(CommitStep::Begin);
        // That one failed, and is tried again.
        steps.start();
        steps.end(CommitStep::Begin);
        assert_eq!(told("begin"), "0");
        steps.finish();
        assert_eq!(
            (told("begin"), told("commit"), told("prepare")),
            ("1".into(), "1".into(), "0".into())
        );
    }
}
