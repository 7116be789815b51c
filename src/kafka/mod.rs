//! Kafka behind [`Broker`]: everything that knows the client library.
//!
//! ```text
//! config ─► source (group member, one queue an input) ─► records
//!      └──► sink (transactional producer) ◄───────────── output + offsets
//!           ends (a thread asking where the inputs end)
//!           changelog (state, read back when partitions come)
//!           steps (how long the parts of a commit take)
//! rights: what the principal must be allowed to do, asked before the start
//! admin, writer, mock: topics, events for `generate` and `demo`, and a cluster in this process
//! ```

mod admin;
mod changelog;
mod client;
mod config;
mod ends;
mod error;
mod group;
mod mock;
mod native;
mod reader;
mod rights;
mod sink;
mod source;
mod steps;
mod writer;

use std::sync::Arc;
use std::time::Duration;

pub use admin::{
    Cleanup, Created, Retention, TopicInfo, TopicProblem, TopicProblems, TopicsFound, check_start,
    check_topics, create_topics, list_topics,
};
pub use config::{Delivery, GroupProtocol, KafkaSettings, refused_keys};
pub use group::GroupProgress;
pub use mock::MockKafka;
pub use native::KafkaRecord;
pub use reader::TopicReader;
pub use rights::{MissingRight, Purpose, Resource};
pub use writer::{EventWriter, WriteError};

use crate::broker::{
    Broker, BrokerError, Change, Committed, EndOffsets, Fetched, Input, OutputRecord, OutputTopic,
    Processed,
};
use crate::clock::Clock;
use crate::telemetry::metrics::{CommitStep, Metrics};
use changelog::ChangelogReader;
use sink::Sink;
use source::GroupSource;
use steps::Steps;

/// One group member with one producer, on a real cluster.
pub struct KafkaBroker {
    delivery: Delivery,
    source: GroupSource,
    sink: Sink,
    settings: KafkaSettings,
    /// While there is something to restore.
    changelog: Option<ChangelogReader>,
    /// Where the last record went.
    sent_to: Option<OutputTopic>,
    steps: Steps,
}

impl KafkaBroker {
    /// Joins the group as worker number `worker` of this process. Returns without having reached
    /// any broker: what is wrong with the cluster comes out of the calls that need it.
    ///
    /// # Errors
    /// `Fatal` when the client library refuses a setting.
    pub fn connect(
        settings: &KafkaSettings,
        worker: usize,
        clock: Clock,
    ) -> Result<KafkaBroker, BrokerError> {
        Ok(KafkaBroker {
            delivery: settings.delivery,
            source: GroupSource::join(settings, worker, clock)?,
            sink: Sink::new(settings, worker),
            settings: settings.clone(),
            changelog: None,
            sent_to: None,
            steps: Steps::untold(),
        })
    }

    /// The same, and `metrics` are told how long the parts of its commits take.
    pub fn with_metrics(mut self, metrics: Arc<Metrics>) -> KafkaBroker {
        self.steps.tell(metrics);
        self
    }
}

impl Broker for KafkaBroker {
    type Record = KafkaRecord;

    fn poll(&mut self, timeout: Duration) -> Result<Vec<Change>, BrokerError> {
        self.sink.serve();
        self.source.poll(timeout)
    }

    fn committed(
        &mut self,
        inputs: &[Input],
        timeout: Duration,
    ) -> Result<Vec<Option<Committed>>, BrokerError> {
        // A transaction that this worker's last producer left open would hold the answer back until
        // it times out; a new producer ends it at once.
        self.sink.settle(timeout)?;
        self.source.committed(inputs, timeout)
    }

    fn watermarks(&mut self, input: Input, timeout: Duration) -> Result<(i64, i64), BrokerError> {
        self.source.watermarks(input, timeout)
    }

    fn changelog_open(&mut self, partition: i32, timeout: Duration) -> Result<(), BrokerError> {
        let reader = match &mut self.changelog {
            Some(reader) => reader,
            none => none.insert(ChangelogReader::connect(&self.settings)?),
        };
        reader.open(partition, timeout)
    }

    fn changelog_read(
        &mut self,
        partition: i32,
        max: usize,
        timeout: Duration,
        into: &mut Vec<KafkaRecord>,
    ) -> Result<bool, BrokerError> {
        let reader = self.changelog.as_mut();
        reader.map_or(Ok(true), |reader| reader.read(partition, max, timeout, into))
    }

    fn changelog_close(&mut self, partition: i32) {
        if self.changelog.as_mut().is_none_or(|reader| reader.close(partition)) {
            self.changelog = None;
            self.source.close_asker();
        }
    }

    fn accept(&mut self, start: &[(Input, i64)]) -> Result<(), BrokerError> {
        self.source.accept(start)
    }

    fn release(&mut self, inputs: &[Input]) -> Result<(), BrokerError> {
        self.source.release(inputs)
    }

    fn fetch(
        &mut self,
        input: Input,
        max: usize,
        into: &mut Vec<Fetched<KafkaRecord>>,
    ) -> Result<(), BrokerError> {
        self.source.fetch(input, max, into)
    }

    fn end_offsets(&mut self) -> Option<EndOffsets> {
        self.source.end_offsets()
    }

    fn begin(&mut self) -> Result<(), BrokerError> {
        self.steps.start();
        self.sink.begin()?;
        self.steps.end(CommitStep::Begin);
        Ok(())
    }

    fn send(&mut self, record: &OutputRecord) -> Result<(), BrokerError> {
        // Without a transaction the order is what counts: state that is ahead of the output would
        // leave out, after a crash, what was never published.
        let turns_to_state = record.topic == OutputTopic::Changelog
            && self.sent_to.replace(record.topic) != Some(OutputTopic::Changelog);
        if turns_to_state && self.delivery == Delivery::AtLeastOnce {
            self.steps.end(CommitStep::Send);
            self.sink.drain()?;
            self.steps.end(CommitStep::Flush);
        }
        self.sent_to = Some(record.topic);
        self.sink.send(record)
    }

    fn commit(&mut self, processed: &[Processed]) -> Result<(), BrokerError> {
        let offsets = self.source.offsets(processed);
        self.steps.end(CommitStep::Send);
        self.sink.drain()?;
        self.steps.end(CommitStep::Flush);
        match self.delivery {
            Delivery::ExactlyOnce => {
                self.sink.add_offsets(&offsets, self.source.member())?;
                self.steps.end(CommitStep::Offsets);
                self.sink.commit()?;
            }
            Delivery::AtLeastOnce => {
                if !processed.is_empty() {
                    self.source.commit(&offsets)?;
                }
                self.steps.end(CommitStep::Offsets);
            }
        }
        self.steps.end(CommitStep::Commit);
        self.steps.finish();
        Ok(())
    }

    fn abort(&mut self) -> Result<(), BrokerError> {
        self.sink.abort()
    }

    fn close(&mut self, timeout: Duration) {
        self.sink.close(timeout);
        self.source.close(timeout);
    }
}
