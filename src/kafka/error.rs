//! What a failed call of the client library means for the worker.
//!
//! The same code means different things in different calls: a time-out while sending offsets has
//! changed nothing, a time-out while committing may have changed everything. So a code is judged
//! together with the call it came from.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::broker::{BrokerError, ErrorClass};
use crate::config::is_secret;

/// A step in the life of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Registering the producer, which ends what a former one left open.
    Init,
    /// Opening a transaction.
    Begin,
    /// Writing the records.
    Records,
    /// Adding the consumer's offsets.
    Offsets,
    /// Making it all visible.
    Commit,
}

/// What the library says of an error, apart from its code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The producer cannot be used any more.
    pub(super) fatal: bool,
    /// The transaction must be aborted.
    pub(super) must_abort: bool,
}

/// Judges a failed step of a transaction.
pub(super) fn classify_step(step: Step, code: Code, verdict: Verdict) -> ErrorClass {
    if is_fenced(code) || (step == Step::Offsets && is_foreign_group(code)) {
        return ErrorClass::Fenced;
    }
    if is_hopeless(code) {
        return ErrorClass::Fatal;
    }
    match step {
        // Nothing can have been committed yet, so whatever it was, aborting puts it right: the sink
        // makes a new producer where the old one has died.
        Step::Begin | Step::Records | Step::Offsets => ErrorClass::Abortable,
        Step::Commit if verdict.must_abort => ErrorClass::Abortable,
        Step::Commit => ErrorClass::Unclear,
        Step::Init if verdict.fatal => ErrorClass::Fatal,
        Step::Init => ErrorClass::Retriable,
    }
}

/// Judges a failed call outside transactions (reading offsets, admin, producing).
///
/// A topic nobody knows counts as trouble that passes: a broker that has just started, or has not
/// heard of a new topic yet, says the same. Whether topics are there is checked before.
pub(super) fn classify(code: Code) -> ErrorClass {
    if is_hopeless(code) {
        return ErrorClass::Fatal;
    }
    match code {
        Code::Fatal
        | Code::FencedInstanceId
        | Code::AutoOffsetReset
        | Code::OffsetOutOfRange
        | Code::LogTruncation
        | Code::InvalidTopic
        | Code::InvalidArgument
        | Code::NotImplemented
        | Code::UnknownGroup
        | Code::InvalidGroupId
        | Code::InvalidSessionTimeout
        | Code::InconsistentGroupProtocol
        | Code::UnsupportedAssignor
        | Code::UnreleasedInstanceId
        | Code::GroupMaxSizeReached
        | Code::BadMessage
        | Code::BadCompression
        | Code::InvalidMessage
        | Code::UnsupportedCompressionType
        | Code::MessageSizeTooLarge
        | Code::InvalidConfig => ErrorClass::Fatal,
        Code::IllegalGeneration
        | Code::UnknownMemberId
        | Code::FencedMemberEpoch
        | Code::StaleMemberEpoch
        | Code::AssignmentLost
        | Code::PollExceeded => ErrorClass::Fenced,
        _ => ErrorClass::Retriable,
    }
}

/// Judges the failure of a synchronous offset commit (at least once only).
pub(super) fn classify_offset_commit(code: Code) -> ErrorClass {
    match code {
        Code::OperationTimedOut
        | Code::RequestTimedOut
        | Code::MessageTimedOut
        | Code::BrokerTransportFailure
        | Code::NetworkException => ErrorClass::Unclear,
        code => classify(code),
    }
}

/// An error that says what was tried, what came back and, where there is something, what to do.
pub(super) fn broker_error(class: ErrorClass, tried: &str, cause: &KafkaError) -> BrokerError {
    BrokerError { class, message: format!("{tried}: {}", describe(cause)) }
}

/// The cause in the broker's words, without the library's prefixes, and with its code.
pub(super) fn describe(cause: &KafkaError) -> String {
    match (cause, cause.rdkafka_error_code()) {
        (KafkaError::Transaction(error), _) => with_advice(&error.string(), error.code()),
        (KafkaError::AdminOp(code), None) => with_advice(&describe_code(*code), *code),
        (_, Some(code)) => with_advice(&describe_code(code), code),
        // The value may be a password, and so may what the library quotes of it.
        (KafkaError::ClientConfig(_, _, key, _), None) if is_secret(key) => {
            format!("property `{key}` has a value that the client library refuses")
        }
        (KafkaError::ClientConfig(_, reason, key, value), None) => {
            format!("property `{key}` = `{value}`: {reason}")
        }
        (other, None) => other.to_string(),
    }
}

/// The library's text for a code: `Broker: Unknown topic or partition` and the like.
pub(super) fn describe_code(code: Code) -> String {
    // The library's own text repeats the name of the code in front of it.
    let text = code.to_string();
    match text.split_once(" (") {
        Some((_, inner)) => inner.trim_end_matches(')').to_owned(),
        None => text,
    }
}

/// Adds what to do about it, where that is known.
pub(super) fn with_advice(reason: &str, code: Code) -> String {
    match advice(code) {
        Some(advice) => format!("{reason}; {advice}"),
        None => reason.to_owned(),
    }
}

fn advice(code: Code) -> Option<&'static str> {
    match code {
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
            Some("create missing topics with `barometer topics create --config ...`")
        }
        Code::TransactionalIdAuthorizationFailed => {
            Some("the principal lacks the right WRITE on the transactional id")
        }
        Code::GroupAuthorizationFailed => {
            Some("the principal lacks the right READ on the consumer group")
        }
        Code::TopicAuthorizationFailed => {
            Some("the principal lacks the right READ on an input or WRITE on an output topic")
        }
        Code::InvalidTransactionTimeout => {
            Some("`kafka.transaction_timeout` is longer than the broker's limit")
        }
        Code::UnsupportedAssignor => {
            Some("the broker must have the `range` assignor in `group.consumer.assignors`")
        }
        Code::FencedInstanceId | Code::UnreleasedInstanceId => {
            Some("another process runs under the same `kafka.instance`")
        }
        _ => None,
    }
}

/// Another producer has taken this one's transactional id.
fn is_fenced(code: Code) -> bool {
    matches!(code, Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch)
}

/// The group no longer knows the member under the generation it sent.
fn is_foreign_group(code: Code) -> bool {
    matches!(
        code,
        Code::IllegalGeneration
            | Code::UnknownMemberId
            | Code::FencedInstanceId
            | Code::FencedMemberEpoch
            | Code::StaleMemberEpoch
    )
}

/// Trying again cannot help: somebody has to change a setting or a right.
pub(super) fn is_hopeless(code: Code) -> bool {
    matches!(
        code,
        Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState
            | Code::SSL
            | Code::SecurityDisabled
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::UnsupportedVersion
            | Code::UnsupportedFeature
            | Code::InvalidTransactionTimeout
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_out_is_judged_by_what_may_have_happened() {
        let judged = |step| classify_step(step, Code::OperationTimedOut, Verdict::default());
        assert_eq!(judged(Step::Init), ErrorClass::Retriable);
        assert_eq!(judged(Step::Begin), ErrorClass::Abortable);
        assert_eq!(judged(Step::Records), ErrorClass::Abortable);
        assert_eq!(judged(Step::Offsets), ErrorClass::Abortable);
        assert_eq!(judged(Step::Commit), ErrorClass::Unclear);
    }

    #[test]
    fn whoever_lost_its_partitions_or_its_id_is_fenced() {
        for code in [Code::Fenced, Code::ProducerFenced, Code::InvalidProducerEpoch] {
            for step in [Step::Init, Step::Begin, Step::Offsets, Step::Commit] {
                let fatal = Verdict { fatal: true, ..Verdict::default() };
                assert_eq!(classify_step(step, code, fatal), ErrorClass::Fenced, "{step:?}");
            }
        }
        let must_abort = Verdict { must_abort: true, ..Verdict::default() };
        for code in [Code::IllegalGeneration, Code::UnknownMemberId, Code::FencedInstanceId] {
            assert_eq!(classify_step(Step::Offsets, code, must_abort), ErrorClass::Fenced);
        }
    }

    #[test]
    fn a_missing_right_stops_the_process_and_a_missing_broker_does_not() {
        for code in [Code::Authentication, Code::TopicAuthorizationFailed, Code::SSL] {
            assert_eq!(classify(code), ErrorClass::Fatal, "{code}");
        }
        for code in [Code::AllBrokersDown, Code::BrokerTransportFailure, Code::Resolve] {
            assert_eq!(classify(code), ErrorClass::Retriable, "{code}");
        }
    }

    #[test]
    fn a_refused_secret_is_not_shown_in_the_refusal() {
        let refused = rdkafka::ClientConfig::new()
            .set("ssl.key.password.of.mine", "open-sesame")
            .create_native_config();
        let told = describe(&refused.err().expect("there is no such property"));
        assert!(told.contains("ssl.key.password.of.mine"), "{told}");
        assert!(!told.contains("open-sesame"), "{told}");
    }

    #[test]
    fn messages_say_what_was_tried_what_came_back_and_what_to_do() {
        let cause = KafkaError::MetadataFetch(Code::UnknownTopicOrPartition);
        assert_eq!(
            broker_error(ErrorClass::Fatal, "asking for the ends of `payments`", &cause).message,
            "asking for the ends of `payments`: Broker: Unknown topic or partition; create missing \
             topics with `barometer topics create --config ...`"
        );
    }
}
