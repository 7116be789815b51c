//! Topics: making them with the right settings, looking at them, and checking that those the
//! settings name are there and agree.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::mpsc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::client::QuietContext;
use super::config::KafkaSettings;
use super::error::{broker_error, classify};
use super::native::describe::errors_heard;
use super::rights::{
    MissingRight, Purpose, Resource, missing_right_on_transactions, missing_rights, principal,
};
use crate::broker::{BrokerError, ErrorClass, OutputTopic};
use crate::engine::event::Source;
use crate::engine::time::Span;

/// How long the cluster may take to answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);

/// How long the cluster may take to name its topics: the first question of all, so that a wrong
/// address is heard of soon.
const FIRST_TIMEOUT: Duration = Duration::from_secs(5);

/// What a topic does with old records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// Deletes them by age.
    Delete,
    /// Keeps the newest of each key.
    Compact,
}

impl Cleanup {
    /// What an input topic needs: profiles are state, events are not.
    pub const fn of_input(source: Source) -> Cleanup {
        match source {
            Source::Profile => Cleanup::Compact,
            Source::Usage | Source::Ticket | Source::Payment | Source::Survey => Cleanup::Delete,
        }
    }

    /// What an output topic needs.
    pub const fn of_output(topic: OutputTopic) -> Cleanup {
        match topic {
            OutputTopic::Scores | OutputTopic::Changelog => Cleanup::Compact,
            OutputTopic::Events | OutputTopic::DeadLetters => Cleanup::Delete,
        }
    }

    const fn policy(self) -> &'static str {
        match self {
            Cleanup::Delete => "delete",
            Cleanup::Compact => "compact",
        }
    }
}

/// How long the topics of events keep what is in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// As the brokers are set; a week where nobody has set anything.
    OfTheBroker,
    /// For ever.
    Forever,
    /// By the records' timestamps.
    For(Span),
}

impl Retention {
    /// The topic's own setting, if it is to have one.
    fn millis(self) -> Option<String> {
        match self {
            Retention::OfTheBroker => None,
            Retention::Forever => Some("-1".to_owned()),
            Retention::For(span) => Some(span.as_millis().to_string()),
        }
    }
}

/// One topic as the cluster has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: i32,
    /// How many copies of each.
    pub replication: i32,
    /// How long it keeps records, by itself or by the cluster's default; `None` is for ever, or
    /// was not asked.
    pub retention: Option<Span>,
    /// Its settings that are not the cluster's defaults.
    pub settings: BTreeMap<String, String>,
}

/// The topics are there and agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicsFound {
    /// How many partitions the input topics and the changelog have.
    pub partitions: i32,
    /// The sources whose topics are there: all but, perhaps, the profiles.
    pub sources: Vec<Source>,
}

/// One thing wrong with the topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicProblem {
    /// The cluster has no such topic.
    Missing(String),
    /// Topics that must have the same number of partitions do not.
    UnequalPartitions(Vec<(String, i32)>),
    /// State would be deleted by age: the topic, and its clean-up policy.
    NotCompacted(String, String),
    /// Whoever connects may not do what is needed.
    NotAllowed(MissingRight),
}

/// Everything wrong with the topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicProblems(pub Vec<TopicProblem>);

impl std::error::Error for TopicProblems {}

impl fmt::Display for TopicProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            match problem {
                TopicProblem::Missing(topic) => write!(
                    f,
                    "topic `{topic}` does not exist; create what is missing with `barometer \
                     topics create --config ...`"
                )?,
                TopicProblem::NotAllowed(right) => write!(f, "{right}")?,
                TopicProblem::NotCompacted(topic, policy) => write!(
                    f,
                    "topic `{topic}` holds state and has cleanup.policy `{policy}`, expected \
                     `compact`: state would be deleted by age. Set it with kafka-configs.sh --alter \
                     --topic {topic} --add-config cleanup.policy=compact"
                )?,
                TopicProblem::UnequalPartitions(counts) => {
                    write!(f, "topics read together have unequal partition counts: ")?;
                    for (at, (topic, count)) in counts.iter().enumerate() {
                        let comma = if at > 0 { ", " } else { "" };
                        write!(f, "{comma}`{topic}` {count}")?;
                    }
                    write!(
                        f,
                        "; an account must be in the same partition of each. Make new topics with \
                         `barometer topics create --config ...` and move the data, partitions \
                         added to a topic in use put its accounts elsewhere"
                    )?;
                }
            }
        }
        Ok(())
    }
}

/// Topics that were made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// Their names.
    pub names: Vec<String>,
    /// On how many brokers each partition is.
    pub replication: i32,
}

/// Copies of a partition where nobody says how many: one broker may die, and another one beside it be
/// restarted.
const COPIES: usize = 3;
/// From so many copies on, two have to hold a record before it counts as written.
const COPIES_FOR_TWO_IN_SYNC: i32 = 3;

/// Makes every topic of the settings that is not there yet. Without `replication` each partition has
/// three copies, or as many as there are brokers. `retention` is for the input topics of events: a first start, and a measure that is new to a
/// scorecard, know no more of the past than these hold.
///
/// # Errors
/// Every topic the cluster refuses.
pub fn create_topics(
    settings: &KafkaSettings,
    partitions: i32,
    replication: Option<i32>,
    retention: Retention,
) -> Result<Created, BrokerError> {
    let client = admin(settings)?;
    let replication = match replication {
        Some(replication) => replication,
        None => i32::try_from(broker_count(&client)?.clamp(1, COPIES)).expect("a few"),
    };
    let kept_millis = retention.millis();
    let new = |name, cleanup: Cleanup| {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replication))
            .set("cleanup.policy", cleanup.policy());
        match replication >= COPIES_FOR_TWO_IN_SYNC {
            true => topic.set("min.insync.replicas", "2"),
            false => topic,
        }
    };
    let inputs = settings.input_topics.iter().map(|(source, name)| {
        let cleanup = Cleanup::of_input(*source);
        match (&kept_millis, cleanup) {
            (Some(millis), Cleanup::Delete) => new(name, cleanup).set("retention.ms", millis),
            (Some(_), Cleanup::Compact) | (None, _) => new(name, cleanup),
        }
    });
    let outputs =
        settings.output_topics.iter().map(|(topic, name)| new(name, Cleanup::of_output(*topic)));
    let topics: Vec<NewTopic<'_>> = inputs.chain(outputs).collect();
    let tried = "creating topics";
    let answers = run(client.create_topics(&topics, &options()))
        .map_err(|error| admin_error(tried, &error))?;
    let (mut names, mut refused) = (Vec::new(), Vec::new());
    for answer in answers {
        match answer {
            Ok(name) => names.push(name),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => refused.push((name, code)),
        }
    }
    if let Some((_, code)) = refused.first() {
        let class = classify(*code);
        let told: Vec<String> =
            refused.iter().map(|(name, code)| not_created(settings, name, *code)).collect();
        return Err(BrokerError { class, message: told.join("\n") });
    }
    await_topics(settings, &names)?;
    Ok(Created { names, replication })
}

/// How many brokers the cluster has.
fn broker_count(client: &AdminClient<QuietContext>) -> Result<usize, BrokerError> {
    let tried = "asking for the cluster's brokers";
    let metadata = client.inner().fetch_metadata(None, FIRST_TIMEOUT).map_err(|error| {
        turned_away(client, tried).unwrap_or_else(|| admin_error(tried, &error))
    })?;
    Ok(metadata.brokers().len())
}

/// Why a topic was not made.
fn not_created(settings: &KafkaSettings, name: &str, code: RDKafkaErrorCode) -> String {
    if code == RDKafkaErrorCode::TopicAuthorizationFailed {
        let right = MissingRight {
            resource: Resource::Topic(name.to_owned()),
            operation: "CREATE",
            principal: principal(settings),
        };
        return right.to_string();
    }
    admin_error(&format!("creating topic `{name}`"), &KafkaError::AdminOp(code)).message
}

/// Waits until topics just made are known: a broker hears of them a moment after the controller has
/// answered, and `run` must not miss what `topics create` has promised.
fn await_topics(settings: &KafkaSettings, created: &[String]) -> Result<(), BrokerError> {
    const ATTEMPTS: usize = 100;
    const PAUSE: Duration = Duration::from_millis(50);
    let client = admin(settings)?;
    for _ in 0..ATTEMPTS {
        let known = partition_counts(&client)?;
        if created.iter().all(|name| known.iter().any(|topic| topic.name == *name)) {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
    tracing::warn!("the broker does not know all topics yet that were made; wait before you go on");
    Ok(())
}

/// The topics of the settings as the cluster has them; those that are missing are left out.
///
/// # Errors
/// When the cluster does not answer.
pub fn list_topics(settings: &KafkaSettings) -> Result<Vec<TopicInfo>, BrokerError> {
    let names: Vec<&String> =
        settings.input_topics.values().chain(settings.output_topics.values()).collect();
    let client = admin(settings)?;
    let mut topics = partition_counts(&client)?;
    topics.retain(|topic| names.contains(&&topic.name));
    let resources: Vec<ResourceSpecifier<'_>> =
        topics.iter().map(|topic| ResourceSpecifier::Topic(&topic.name)).collect();
    if resources.is_empty() {
        return Ok(topics);
    }
    let tried = "reading the settings of topics";
    // A look, not a change: who does not answer soon (an embedded broker never does) will not.
    let options = options().request_timeout(Some(FIRST_TIMEOUT));
    let answers = run(client.describe_configs(&resources, &options))
        .map_err(|error| admin_error(tried, &error))?;
    for (topic, answer) in topics.iter_mut().zip(answers) {
        let resource = answer.map_err(|code| admin_error(tried, &KafkaError::AdminOp(code)))?;
        let own =
            |name: &str| resource.entries.iter().find(|entry| entry.name == name)?.value.as_deref();
        // Compacted topics keep the newest of each key whatever its age.
        let deletes = own("cleanup.policy").is_some_and(|policy| policy.contains("delete"));
        topic.retention = own("retention.ms")
            .and_then(|millis| millis.parse().ok())
            .filter(|millis| deletes && *millis >= 0)
            .map(Span::from_millis);
        topic.settings = resource
            .entries
            .into_iter()
            .filter(|entry| !entry.is_default && !entry.is_sensitive)
            .filter_map(|entry| Some((entry.name, entry.value?)))
            .collect();
    }
    Ok(topics)
}

/// Checks that the topics of the settings are there, that those read together agree, and that all of
/// it is allowed. Only the profile topic may be missing.
///
/// # Errors
/// The outer error when the cluster does not answer; the inner one names everything that is wrong.
pub fn check_topics(
    settings: &KafkaSettings,
    purpose: Purpose,
) -> Result<Result<TopicsFound, TopicProblems>, BrokerError> {
    let client = admin(settings)?;
    let found = partition_counts(&client)?;
    let mut judged = judge_topics(settings, &found);
    let lacking = missing_rights(settings, &client, purpose);
    if !lacking.is_empty() {
        judged = Err(TopicProblems(with_rights(judged, lacking)));
    }
    let changelog = settings.output_topic(OutputTopic::Changelog);
    if judged.is_ok()
        && let Some(policy) = cleanup_policy(settings, changelog)?
        && policy != Cleanup::Compact.policy()
    {
        let problem = TopicProblem::NotCompacted(changelog.to_owned(), policy);
        return Ok(Err(TopicProblems(vec![problem])));
    }
    Ok(judged)
}

/// [`check_topics`] for a process that starts now under the settings' name, and ends what an earlier
/// one of that name has left open.
///
/// # Errors
/// As for [`check_topics`].
pub fn check_start(
    settings: &KafkaSettings,
) -> Result<Result<TopicsFound, TopicProblems>, BrokerError> {
    let judged = check_topics(settings, Purpose::Run)?;
    Ok(match missing_right_on_transactions(settings) {
        None => judged,
        Some(lacking) => Err(TopicProblems(with_rights(judged, vec![lacking]))),
    })
}

/// What was found wrong before, and the rights that are missing. A broker hides the topics that one
/// may not see, so of those nobody knows whether they are there.
fn with_rights(
    judged: Result<TopicsFound, TopicProblems>,
    lacking: Vec<MissingRight>,
) -> Vec<TopicProblem> {
    let mut problems = judged.err().map_or(Vec::new(), |problems| problems.0);
    let hidden = |topic: &String| {
        lacking.iter().any(|right| right.resource == Resource::Topic(topic.clone()))
    };
    problems.retain(|problem| !matches!(problem, TopicProblem::Missing(topic) if hidden(topic)));
    problems.extend(lacking.into_iter().map(TopicProblem::NotAllowed));
    problems
}

/// What a topic does with old records; `None` where nobody may tell us.
fn cleanup_policy(settings: &KafkaSettings, topic: &str) -> Result<Option<String>, BrokerError> {
    let client = admin(settings)?;
    let (tell, told) = mpsc::channel();
    let name = topic.to_owned();
    // A right that is missing, or a broker that does not answer such questions, is no reason not to
    // start; nor is a client that does not come to an end.
    std::thread::spawn(move || {
        let asked = [ResourceSpecifier::Topic(&name)];
        let options = AdminOptions::new().request_timeout(Some(FIRST_TIMEOUT));
        let answers = run(client.describe_configs(&asked, &options)).unwrap_or_default();
        // Whoever asked may have gone on.
        let _ = tell.send(answers.into_iter().next());
    });
    let answer = told.recv_timeout(FIRST_TIMEOUT + Duration::from_secs(1));
    let resource = match answer {
        Ok(Some(Ok(resource))) => resource,
        Ok(Some(Err(RDKafkaErrorCode::TopicAuthorizationFailed))) => {
            tracing::warn!(
                topic,
                "the right DESCRIBE_CONFIGS is missing: nobody checks that it is compacted"
            );
            return Ok(None);
        }
        Ok(_) | Err(_) => {
            tracing::warn!(
                topic,
                "its settings cannot be read: nobody checks that it is compacted"
            );
            return Ok(None);
        }
    };
    let policy = resource.entries.into_iter().find(|entry| entry.name == "cleanup.policy");
    Ok(policy.and_then(|entry| entry.value))
}

fn judge_topics(
    settings: &KafkaSettings,
    found: &[TopicInfo],
) -> Result<TopicsFound, TopicProblems> {
    let count = |name: &str| found.iter().find(|topic| topic.name == name).map(|t| t.partitions);
    let mut problems = Vec::new();
    let mut together: Vec<(String, i32)> = Vec::new();
    let mut sources = Vec::new();
    for (source, name) in &settings.input_topics {
        match count(name) {
            Some(partitions) => {
                together.push((name.clone(), partitions));
                sources.push(*source);
            }
            None if *source == Source::Profile => {}
            None => problems.push(TopicProblem::Missing(name.clone())),
        }
    }
    for topic in OutputTopic::ALL {
        let name = settings.output_topic(topic);
        match count(name) {
            // State is kept in the partition of the same number.
            Some(partitions) if topic == OutputTopic::Changelog => {
                together.push((name.to_owned(), partitions));
            }
            Some(_) => {}
            None => problems.push(TopicProblem::Missing(name.to_owned())),
        }
    }
    if together.windows(2).any(|pair| pair[0].1 != pair[1].1) {
        problems.push(TopicProblem::UnequalPartitions(together.clone()));
    }
    match together.first() {
        Some((_, partitions)) if problems.is_empty() => {
            Ok(TopicsFound { partitions: *partitions, sources })
        }
        _ => Err(TopicProblems(problems)),
    }
}

/// Every topic of the cluster, without settings.
fn partition_counts(client: &AdminClient<QuietContext>) -> Result<Vec<TopicInfo>, BrokerError> {
    let tried = "asking for the cluster's topics";
    // All of them: asking for one by name may create it.
    let metadata = client.inner().fetch_metadata(None, FIRST_TIMEOUT).map_err(|error| {
        turned_away(client, tried).unwrap_or_else(|| admin_error(tried, &error))
    })?;
    Ok(metadata
        .topics()
        .iter()
        .filter(|topic| topic.error().is_none())
        .map(|topic| TopicInfo {
            name: topic.name().to_owned(),
            partitions: i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX),
            replication: topic.partitions().first().map_or(0, |partition| {
                i32::try_from(partition.replicas().len()).unwrap_or(i32::MAX)
            }),
            retention: None,
            settings: BTreeMap::new(),
        })
        .collect())
}

/// Why no broker answers, where they let nobody in: a password or a certificate is wrong, and waiting
/// mends neither. The library tries again for ever, and its calls only say that they timed out.
fn turned_away(client: &AdminClient<QuietContext>, tried: &str) -> Option<BrokerError> {
    let heard = errors_heard(client.inner());
    let (_, reason) = heard.into_iter().find(|(code, _)| {
        matches!(code, RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL)
    })?;
    Some(BrokerError { class: ErrorClass::Fatal, message: format!("{tried}: {reason}") })
}

fn admin(settings: &KafkaSettings) -> Result<AdminClient<QuietContext>, BrokerError> {
    settings
        .admin_config()
        .create_with_context(QuietContext)
        .map_err(|error| broker_error(ErrorClass::Fatal, "making a Kafka admin client", &error))
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT))
}

/// Drives one answer of the admin client, whose own thread does the work.
fn run<F: Future>(answer: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime without drivers needs nothing that can fail")
        .block_on(answer)
}

fn admin_error(tried: &str, error: &KafkaError) -> BrokerError {
    let class = match error {
        KafkaError::AdminOp(code) => classify(*code),
        other => other.rdkafka_error_code().map_or(ErrorClass::Fatal, classify),
    };
    broker_error(class, tried, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(counts: &[(&str, i32)]) -> Vec<TopicInfo> {
        counts
            .iter()
            .map(|(name, partitions)| TopicInfo {
                name: (*name).to_owned(),
                partitions: *partitions,
                replication: 1,
                retention: None,
                settings: BTreeMap::new(),
            })
            .collect()
    }

    const GOOD: [(&str, i32); 9] = [
        ("product-usage", 8),
        ("support-tickets", 8),
        ("payments", 8),
        ("surveys", 8),
        ("accounts", 8),
        ("account-health-events", 3),
        ("account-health-scores", 3),
        ("barometer-dead-letters", 1),
        ("barometer-changelog", 8),
    ];

    #[test]
    fn profiles_are_used_when_they_are_there() {
        let settings = KafkaSettings::new("localhost:9092", "health");
        let all = judge_topics(&settings, &cluster(&GOOD)).unwrap();
        assert_eq!((all.partitions, all.sources.len()), (8, 5));
        let without: Vec<_> = GOOD.into_iter().filter(|(name, _)| *name != "accounts").collect();
        let found = judge_topics(&settings, &cluster(&without)).unwrap();
        assert!(!found.sources.contains(&Source::Profile));
    }

    #[test]
    fn everything_that_is_wrong_is_named_at_once() {
        let settings = KafkaSettings::new("localhost:9092", "health");
        let found = cluster(&[
            ("product-usage", 8),
            ("payments", 8),
            ("surveys", 8),
            ("accounts", 4),
            ("account-health-scores", 1),
            ("barometer-dead-letters", 1),
            ("barometer-changelog", 8),
        ]);
        assert_eq!(
            judge_topics(&settings, &found).unwrap_err().to_string(),
            "topic `support-tickets` does not exist; create what is missing with `barometer topics \
             create --config ...`\n\
             topic `account-health-events` does not exist; create what is missing with `barometer \
             topics create --config ...`\n\
             topics read together have unequal partition counts: `product-usage` 8, `payments` 8, \
             `surveys` 8, `accounts` 4, `barometer-changelog` 8; an account must be in the same \
             partition of each. Make new topics with `barometer topics create --config ...` and \
             move the data, partitions added to a topic in use put its accounts elsewhere"
        );
    }

    #[test]
    fn refusals_name_the_topic() {
        let error = admin_error(
            "creating topic `payments`",
            &KafkaError::AdminOp(RDKafkaErrorCode::InvalidReplicationFactor),
        );
        assert_eq!(error.message, "creating topic `payments`: Broker: Invalid replication factor");
    }
}
