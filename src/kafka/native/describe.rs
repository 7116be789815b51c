//! Questions that rdkafka's safe API does not ask: what the principal may do with topics and groups,
//! and what went wrong on a client that answers nothing.

use std::collections::BTreeSet;
use std::ffi::{CString, c_char, c_int};
use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::bindings as raw;
use rdkafka::client::Client;
use rdkafka::error::RDKafkaErrorCode;

use super::text;

type Raw = raw::rd_kafka_resp_err_t;

/// What a principal may be allowed to do with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::kafka) enum Operation {
    Read,
    Write,
    Describe,
}

/// What may be done with a topic or group, `None` where the broker does not say; or why it says
/// nothing of it.
pub(in crate::kafka) type Allowed = Result<Option<BTreeSet<Operation>>, RDKafkaErrorCode>;

/// What may be done with these topics, by name. Asking makes no topic.
pub(in crate::kafka) fn describe_topics<C: ClientContext>(
    client: &Client<C>,
    names: &[&str],
    timeout: Duration,
) -> Result<Vec<(String, Allowed)>, RDKafkaErrorCode> {
    let names = Names::of(names)?;
    let op = raw::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    let answer = ask(client, op, timeout, |client, options, queue| {
        // SAFETY: client, options and queue are alive, the names are C strings; the collection
        // copies them and is destroyed once, after the call that reads it.
        unsafe {
            let mut pointers = names.pointers();
            let topics =
                raw::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
            raw::rd_kafka_DescribeTopics(client, topics, options, queue);
            raw::rd_kafka_TopicCollection_destroy(topics);
        }
    })?;
    // SAFETY: the event is alive and, by the question, the answer to it: everything read here is the
    // event's own. Counts come with their arrays.
    unsafe {
        let result = raw::rd_kafka_event_DescribeTopics_result(answer.0.as_ptr());
        if result.is_null() {
            return Err(RDKafkaErrorCode::Unknown);
        }
        let mut count = 0;
        let topics = raw::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        Ok(slice(topics, count)
            .iter()
            .map(|topic| {
                let mut allowed = 0;
                let operations =
                    raw::rd_kafka_TopicDescription_authorized_operations(*topic, &raw mut allowed);
                let error = raw::rd_kafka_TopicDescription_error(*topic);
                let name = text(raw::rd_kafka_TopicDescription_name(*topic));
                (name, judge(error, operations, allowed))
            })
            .collect())
    }
}

/// What may be done with this consumer group.
pub(in crate::kafka) fn describe_group<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    timeout: Duration,
) -> Result<Allowed, RDKafkaErrorCode> {
    let names = Names::of(&[group])?;
    let op = raw::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
    let answer = ask(client, op, timeout, |client, options, queue| {
        // SAFETY: client, options and queue are alive, and the name is a C string that is copied.
        unsafe {
            let mut pointers = names.pointers();
            raw::rd_kafka_DescribeConsumerGroups(
                client,
                pointers.as_mut_ptr(),
                pointers.len(),
                options,
                queue,
            );
        }
    })?;
    // SAFETY: as for topics.
    unsafe {
        let result = raw::rd_kafka_event_DescribeConsumerGroups_result(answer.0.as_ptr());
        if result.is_null() {
            return Err(RDKafkaErrorCode::Unknown);
        }
        let mut count = 0;
        let groups = raw::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
        let group = *slice(groups, count).first().ok_or(RDKafkaErrorCode::Unknown)?;
        let mut allowed = 0;
        let operations =
            raw::rd_kafka_ConsumerGroupDescription_authorized_operations(group, &raw mut allowed);
        let error = raw::rd_kafka_ConsumerGroupDescription_error(group);
        Ok(judge(error, operations, allowed))
    }
}

/// The errors that a client has heard of since it was asked last, each with the library's words.
/// For clients whose events nobody else takes.
pub(in crate::kafka) fn errors_heard<C: ClientContext>(
    client: &Client<C>,
) -> Vec<(RDKafkaErrorCode, String)> {
    let mut errors = Vec::new();
    // SAFETY: the client is alive; the reference to its queue is ours to destroy.
    let Some(queue) = NonNull::new(unsafe { raw::rd_kafka_queue_get_main(client.native_ptr()) })
    else {
        return errors;
    };
    let queue = OwnQueue(queue);
    // SAFETY: the queue is alive.
    while let Some(event) = NonNull::new(unsafe { raw::rd_kafka_queue_poll(queue.0.as_ptr(), 0) }) {
        let event = Event(event);
        // SAFETY: the event is alive, and its text as long as it is.
        unsafe {
            if raw::rd_kafka_event_type(event.0.as_ptr()) == raw::RD_KAFKA_EVENT_ERROR {
                let code = raw::rd_kafka_event_error(event.0.as_ptr()).into();
                errors.push((code, text(raw::rd_kafka_event_error_string(event.0.as_ptr()))));
            }
        }
    }
    errors
}

/// Sends a question, and waits for its answer.
fn ask<C: ClientContext>(
    client: &Client<C>,
    op: raw::rd_kafka_admin_op_t,
    timeout: Duration,
    send: impl FnOnce(
        *mut raw::rd_kafka_t,
        *const raw::rd_kafka_AdminOptions_t,
        *mut raw::rd_kafka_queue_t,
    ),
) -> Result<Event, RDKafkaErrorCode> {
    /// The library answers by itself when the time is out; this is for its last millisecond.
    const MARGIN: Duration = Duration::from_secs(1);
    let millis = |time: Duration| c_int::try_from(time.as_millis()).unwrap_or(c_int::MAX);
    let native = client.native_ptr();
    // SAFETY: the client is alive. Options and queue are ours, and destroyed once: options after the
    // question that copies them, the queue when the answer has been taken from it. What a setter
    // refuses stays at its default.
    unsafe {
        let queue = NonNull::new(raw::rd_kafka_queue_new(native)).map(OwnQueue);
        let queue = queue.ok_or(RDKafkaErrorCode::Unknown)?;
        let options = raw::rd_kafka_AdminOptions_new(native, op);
        raw::rd_kafka_AdminOptions_set_request_timeout(
            options,
            millis(timeout),
            ptr::null_mut(),
            0,
        );
        let refused = raw::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1);
        if !refused.is_null() {
            raw::rd_kafka_error_destroy(refused);
        }
        send(native, options, queue.0.as_ptr());
        raw::rd_kafka_AdminOptions_destroy(options);
        let answer = raw::rd_kafka_queue_poll(queue.0.as_ptr(), millis(timeout + MARGIN));
        let answer = NonNull::new(answer).map(Event).ok_or(RDKafkaErrorCode::OperationTimedOut)?;
        match raw::rd_kafka_event_error(answer.0.as_ptr()) {
            Raw::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(answer),
            code => Err(code.into()),
        }
    }
}

/// # Safety
/// `error` is null or alive; `operations` is null or the start of `count` operations that are.
unsafe fn judge(
    error: *const raw::rd_kafka_error_t,
    operations: *const raw::rd_kafka_AclOperation_t,
    count: usize,
) -> Allowed {
    // SAFETY: the caller's promise. Operations are read as numbers: a broker may name one that this
    // library has no name for.
    unsafe {
        if !error.is_null() {
            match raw::rd_kafka_error_code(error) {
                Raw::RD_KAFKA_RESP_ERR_NO_ERROR => {}
                code => return Err(code.into()),
            }
        }
        if operations.is_null() {
            return Ok(None);
        }
        let numbers = slice(operations.cast::<u32>(), count);
        Ok(Some(numbers.iter().filter_map(|number| operation(*number)).collect()))
    }
}

/// An operation by its number in Kafka's protocol; `None` for those that nothing here needs.
fn operation(number: u32) -> Option<Operation> {
    use raw::rd_kafka_AclOperation_t as acl;
    const NAMED: [(acl, Operation); 3] = [
        (acl::RD_KAFKA_ACL_OPERATION_READ, Operation::Read),
        (acl::RD_KAFKA_ACL_OPERATION_WRITE, Operation::Write),
        (acl::RD_KAFKA_ACL_OPERATION_DESCRIBE, Operation::Describe),
    ];
    NAMED.into_iter().find(|(named, _)| *named as u32 == number).map(|(_, operation)| operation)
}

/// # Safety
/// `start` is null or the start of `count` values that live for `'a` and do not change.
unsafe fn slice<'a, T>(start: *const T, count: usize) -> &'a [T] {
    if start.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(start, count) }
}

/// Names as C strings.
struct Names(Vec<CString>);

impl Names {
    fn of(names: &[&str]) -> Result<Names, RDKafkaErrorCode> {
        let names = names.iter().map(|name| CString::new(*name)).collect::<Result<_, _>>();
        names.map(Names).map_err(|_| RDKafkaErrorCode::InvalidArgument)
    }

    /// Good for as long as `self`.
    fn pointers(&self) -> Vec<*const c_char> {
        self.0.iter().map(|name| name.as_ptr()).collect()
    }
}

/// A reference to a queue that is given back.
struct OwnQueue(NonNull<raw::rd_kafka_queue_t>);

impl Drop for OwnQueue {
    fn drop(&mut self) {
        // SAFETY: ours alone, destroyed once.
        unsafe { raw::rd_kafka_queue_destroy(self.0.as_ptr()) };
    }
}

/// An event that is given back.
struct Event(NonNull<raw::rd_kafka_event_t>);

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: ours alone, destroyed once.
        unsafe { raw::rd_kafka_event_destroy(self.0.as_ptr()) };
    }
}
