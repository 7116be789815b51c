//! What the principal has to be allowed to do, asked before anything is read or written, so that
//! everything that is missing is told at once and by name.
//!
//! A broker without access control allows everything, and one that cannot say (before 2.3) is not
//! asked further: there each right is missed when it is used, by an error of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use rdkafka::admin::AdminClient;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, NoCustomPartitioner, Producer};

use super::client::{QuietContext, SinkContext};
use super::config::{Delivery, KafkaSettings};
use super::group::GroupProgress;
use super::native::describe::{Allowed, Operation, describe_group, describe_topics};
use crate::broker::OutputTopic;

/// How long one question may take. Who does not answer in it is asked nothing more: what is wrong
/// comes out when the right is used.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// Something that rights are given on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// A topic.
    Topic(String),
    /// A consumer group.
    Group(String),
    /// A producer's name.
    TransactionalId(String),
}

/// A right that the settings' principal needs and does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingRight {
    /// On what.
    pub resource: Resource,
    /// What it has to allow, in Kafka's word: `READ`, `WRITE`, `DESCRIBE`, `CREATE`.
    pub operation: &'static str,
    /// `User:name`, where the settings say who connects.
    pub principal: Option<String>,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Resource::Topic(name) => write!(f, "topic `{name}`"),
            Resource::Group(name) => write!(f, "consumer group `{name}`"),
            Resource::TransactionalId(name) => write!(f, "transactional id `{name}`"),
        }
    }
}

impl fmt::Display for MissingRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MissingRight { resource, operation, principal } = self;
        let who = principal.as_deref().unwrap_or("the principal");
        let (flag, name) = match resource {
            Resource::Topic(name) => ("--topic", name),
            Resource::Group(name) => ("--group", name),
            Resource::TransactionalId(name) => ("--transactional-id", name),
        };
        let named = principal.as_deref().unwrap_or("User:..");
        write!(
            f,
            "{resource}: {who} lacks the right {operation}; grant it with kafka-acls.sh --add \
             --allow-principal {named} --operation {operation} {flag} {name}"
        )
    }
}

/// What has to be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Looking at the topics.
    Look,
    /// Reading the input and writing the output.
    Run,
}

/// The rights that are missing on topics and on the group. Asks for nothing that changes anything.
pub(super) fn missing_rights(
    settings: &KafkaSettings,
    client: &AdminClient<QuietContext>,
    purpose: Purpose,
) -> Vec<MissingRight> {
    let topics = needed_on_topics(settings, purpose);
    let names: Vec<&str> = topics.iter().map(|(name, _)| *name).collect();
    let mut answers = match describe_topics(client.inner(), &names, ANSWER_TIMEOUT) {
        Ok(answers) => {
            answers.into_iter().map(|(name, allowed)| (Resource::Topic(name), allowed)).collect()
        }
        Err(code) => {
            tracing::debug!(%code, "the broker does not say what may be done with its topics");
            BTreeMap::new()
        }
    };
    let needed =
        topics.into_iter().map(|(name, operations)| (Resource::Topic(name.to_owned()), operations));
    let mut needed: Vec<_> = needed.collect();
    if purpose == Purpose::Run {
        let group = Resource::Group(settings.group_id.clone());
        match allowed_on_group(settings, client) {
            Ok(allowed) => drop(answers.insert(group.clone(), allowed)),
            Err(code) => tracing::debug!(%code, "the broker does not say who may be in the group"),
        }
        needed.push((group, [Operation::Read].into()));
    }
    missing(settings, &needed, &answers)
}

/// What may be done with the group.
///
/// The library ends the whole process (an assertion in its queue of requests to coordinators) where the
/// coordinator comes back after such a question has timed out. So the question is only asked when the
/// coordinator has just answered another one, which is free of that.
fn allowed_on_group(
    settings: &KafkaSettings,
    client: &AdminClient<QuietContext>,
) -> Result<Allowed, Code> {
    let changelog = settings.output_topic(OutputTopic::Changelog);
    let group = GroupProgress::of(settings, changelog, 1).map_err(|_| Code::InvalidArgument)?;
    match group.answers(ANSWER_TIMEOUT) {
        Err(code @ Code::GroupAuthorizationFailed) => Ok(Err(code)),
        // Nobody may see that topic, which is told by its own name.
        Ok(()) | Err(Code::TopicAuthorizationFailed) => {
            describe_group(client.inner(), &settings.group_id, ANSWER_TIMEOUT)
        }
        Err(code) => Err(code),
    }
}

fn missing(
    settings: &KafkaSettings,
    needed: &[(Resource, BTreeSet<Operation>)],
    answers: &BTreeMap<Resource, Allowed>,
) -> Vec<MissingRight> {
    let lacks = |resource: &Resource, operation: &Operation| match answers.get(resource) {
        Some(Ok(Some(allowed))) => !allowed.contains(operation),
        Some(Err(code)) => {
            matches!(code, Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed)
        }
        // It does not say: it is too old, or nobody controls access.
        Some(Ok(None)) | None => false,
    };
    let mut missing = Vec::new();
    for (resource, operations) in needed {
        for operation in operations.iter().filter(|operation| lacks(resource, operation)) {
            missing.push(MissingRight {
                resource: resource.clone(),
                operation: operation.name(),
                principal: principal(settings),
            });
        }
    }
    missing
}

/// Whether the first worker's transactional id may be used. Registers it, which ends what an earlier
/// process of this name has left open, as the worker itself will do next.
pub(super) fn missing_right_on_transactions(settings: &KafkaSettings) -> Option<MissingRight> {
    match settings.delivery {
        Delivery::ExactlyOnce => {}
        Delivery::AtLeastOnce => return None,
    }
    let producer: BaseProducer<SinkContext, NoCustomPartitioner> =
        settings.sink_config(0).create_with_context(SinkContext::default()).ok()?;
    let error = producer.init_transactions(ANSWER_TIMEOUT).err()?;
    let code = match &error {
        KafkaError::Transaction(error) => error.code(),
        other => other.rdkafka_error_code()?,
    };
    (code == Code::TransactionalIdAuthorizationFailed).then(|| MissingRight {
        resource: Resource::TransactionalId(settings.transactional_id(0)),
        operation: Operation::Write.name(),
        principal: principal(settings),
    })
}

/// Each topic, with what has to be allowed on it. A right to read or write includes the one to
/// describe.
fn needed_on_topics(
    settings: &KafkaSettings,
    purpose: Purpose,
) -> Vec<(&str, BTreeSet<Operation>)> {
    let inputs = settings.input_topics.values().map(|name| (name.as_str(), Operation::Read));
    let outputs = OutputTopic::ALL.map(|topic| (settings.output_topic(topic), Operation::Write));
    let mut needed: Vec<(&str, BTreeSet<Operation>)> = inputs
        .chain(outputs)
        .map(|(name, operation)| match purpose {
            Purpose::Look => (name, [Operation::Describe].into()),
            Purpose::Run => (name, [operation].into()),
        })
        .collect();
    if purpose == Purpose::Run {
        // State is read back.
        let changelog = settings.output_topic(OutputTopic::Changelog);
        let found = needed.iter_mut().find(|(name, _)| *name == changelog);
        found.expect("it is one of the outputs").1.insert(Operation::Read);
    }
    needed
}

/// Who connects, in the words of the broker's access control; its administrators may have set that
/// another name is made of it.
pub(super) fn principal(settings: &KafkaSettings) -> Option<String> {
    settings.properties.get("sasl.username").map(|name| format!("User:{name}"))
}

impl Operation {
    /// Kafka's word.
    fn name(self) -> &'static str {
        match self {
            Operation::Read => "READ",
            Operation::Write => "WRITE",
            Operation::Describe => "DESCRIBE",
        }
    }
}
