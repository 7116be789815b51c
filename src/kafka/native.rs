//! The raw side: queues, batches and records of librdkafka. All `unsafe` of this crate is here and in
//! `describe`, which asks what the principal may do.
//!
//! rdkafka's safe API hands out one record a call through an event, at 250 ns each; a batch taken
//! from a partition's own queue costs 60 to 90 ns a record. What is wrapped here is that, the
//! wake-up callback of a queue, and the metadata beside a committed offset as bytes (rdkafka's
//! accessor panics on what is not UTF-8, and anybody can commit anything).

pub(super) mod describe;

use std::ffi::{CStr, CString, c_char, c_void};
use std::fmt;
use std::ptr::{self, NonNull};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as raw;
use rdkafka::error::RDKafkaErrorCode;

use crate::broker::InputRecord;
use crate::engine::time::EventTime;

/// A native client that queues and records live in: it must outlive both.
pub(super) trait Client: Send + Sync + 'static {
    /// The `rd_kafka_t` of this client, valid as long as `self` lives.
    fn native(&self) -> *mut raw::rd_kafka_t;
}

/// Wakes one sleeping thread; a signal given while nobody sleeps is kept.
#[derive(Default)]
pub(super) struct Waker {
    signalled: Mutex<bool>,
    changed: Condvar,
}

impl Waker {
    /// Forgets signals given so far. Call it before looking for work, so that none is missed
    /// between the look and the sleep.
    pub(super) fn clear(&self) {
        *self.lock() = false;
    }

    /// Wakes the sleeper.
    pub(super) fn wake(&self) {
        *self.lock() = true;
        self.changed.notify_one();
    }

    /// Sleeps until a signal, at most `timeout`. `false` when the time ran out.
    pub(super) fn wait(&self, timeout: Duration) -> bool {
        let (mut signalled, _) = self
            .changed
            .wait_timeout_while(self.lock(), timeout, |signalled| !*signalled)
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *signalled)
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        // A bool cannot be left half written, so a poisoned lock is still good.
        self.signalled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A queue of the client library that wakes a thread when it stops being empty.
pub(super) struct Queue<C: Client> {
    /// Not null; ours to destroy.
    queue: NonNull<raw::rd_kafka_queue_t>,
    /// The library holds a bare pointer to it while the callback is enabled.
    _waker: Arc<Waker>,
    client: Arc<C>,
}

// SAFETY: librdkafka's queues may be used from any thread, and `Waker` and `C` are `Send + Sync`.
unsafe impl<C: Client> Send for Queue<C> {}

impl<C: Client> Queue<C> {
    /// The queue on which a group member hears of rebalances and errors.
    pub(super) fn of_group(client: &Arc<C>, waker: &Arc<Waker>) -> Option<Queue<C>> {
        // SAFETY: the client is alive; the function returns a new reference or null.
        let queue = unsafe { raw::rd_kafka_queue_get_consumer(client.native()) };
        Queue::adopt(queue, client, waker)
    }

    /// The queue on which any client hears of errors, logs and deliveries.
    pub(super) fn of_client(client: &Arc<C>, waker: &Arc<Waker>) -> Option<Queue<C>> {
        // SAFETY: as above.
        let queue = unsafe { raw::rd_kafka_queue_get_main(client.native()) };
        Queue::adopt(queue, client, waker)
    }

    /// Splits one partition off the consumer's queue. Done before the partition is assigned, the
    /// library never forwards it again, so none of its records can reach the consumer's queue.
    pub(super) fn of_partition(
        client: &Arc<C>,
        topic: &str,
        partition: i32,
        waker: &Arc<Waker>,
    ) -> Option<Queue<C>> {
        let topic = CString::new(topic).ok()?;
        // SAFETY: the client is alive and the topic is a C string for the length of the call.
        let queue = unsafe {
            raw::rd_kafka_queue_get_partition(client.native(), topic.as_ptr(), partition)
        };
        let queue = Queue::adopt(queue, client, waker)?;
        // SAFETY: the queue is alive; a null destination ends forwarding.
        unsafe { raw::rd_kafka_queue_forward(queue.queue.as_ptr(), ptr::null_mut()) };
        Some(queue)
    }

    fn adopt(
        queue: *mut raw::rd_kafka_queue_t,
        client: &Arc<C>,
        waker: &Arc<Waker>,
    ) -> Option<Queue<C>> {
        let queue = NonNull::new(queue)?;
        let waker = Arc::clone(waker);
        // SAFETY: the pointer stays good until the callback is disabled in `drop`, because `self`
        // holds an `Arc` of the same waker.
        unsafe {
            raw::rd_kafka_queue_cb_event_enable(
                queue.as_ptr(),
                Some(wake),
                Arc::as_ptr(&waker).cast::<c_void>().cast_mut(),
            );
        }
        Some(Queue { queue, _waker: waker, client: Arc::clone(client) })
    }

    /// How many entries wait, records and others.
    pub(super) fn waiting(&self) -> usize {
        // SAFETY: the queue is alive.
        unsafe { raw::rd_kafka_queue_length(self.queue.as_ptr()) }
    }

    /// Takes up to `max` entries that wait, without waiting for more. Only for partition queues: on
    /// the consumer's queue this would swallow rebalances.
    pub(super) fn take(&self, max: usize, mut each: impl FnMut(Taken)) {
        let mut batch: Vec<*mut raw::rd_kafka_message_t> = Vec::with_capacity(max);
        // SAFETY: `batch` has room for `max` pointers; the library writes the first `taken` of
        // them, each to a message that is then ours to destroy. -1 stands for an error, of which
        // the documentation knows none for a queue that exists.
        let taken = unsafe {
            let taken =
                raw::rd_kafka_consume_batch_queue(self.queue.as_ptr(), 0, batch.as_mut_ptr(), max);
            let taken = usize::try_from(taken).unwrap_or(0);
            batch.set_len(taken);
            taken
        };
        debug_assert!(taken <= max);
        for message in batch {
            let message = NonNull::new(message).expect("the library fills in no null messages");
            let record = KafkaRecord { message, _client: Arc::clone(&self.client) as Arc<_> };
            each(Taken::of(record));
        }
    }
}

impl<C: Client> Drop for Queue<C> {
    fn drop(&mut self) {
        // SAFETY: the queue is alive and destroyed once. The library calls back under the queue's
        // lock, which disabling takes too: after it no call is under way that holds the waker.
        unsafe {
            raw::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
            raw::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

/// Called by the library's threads when a queue stops being empty.
unsafe extern "C" fn wake(_client: *mut raw::rd_kafka_t, waker: *mut c_void) {
    // SAFETY: `Queue` gave a pointer to a waker that it keeps alive while this callback is enabled.
    unsafe { (*waker.cast::<Waker>()).wake() };
}

/// One entry of a partition's queue.
pub(super) enum Taken {
    /// A record.
    Record(KafkaRecord),
    /// The partition was read up to this offset and held nothing more.
    End(i64),
    /// Fetching went wrong at this offset.
    Failed {
        /// The error's code.
        code: RDKafkaErrorCode,
        /// Where.
        offset: i64,
        /// The library's words.
        reason: String,
    },
}

impl Taken {
    fn of(record: KafkaRecord) -> Taken {
        let message = record.message();
        match message.err {
            raw::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Taken::Record(record),
            raw::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF => {
                Taken::End(message.offset)
            }
            err => {
                // SAFETY: the message is alive; the text is null or a C string that lives as long.
                let reason = unsafe { text(raw::rd_kafka_message_errstr(record.message.as_ptr())) };
                Taken::Failed { code: err.into(), offset: message.offset, reason }
            }
        }
    }
}

/// A record in the client library's memory; given back when dropped.
pub struct KafkaRecord {
    /// Ours alone until dropped; `err` is none, or the record never leaves this module.
    message: NonNull<raw::rd_kafka_message_t>,
    /// The message lives in memory that counts against its client.
    _client: Arc<dyn Send + Sync>,
}

// SAFETY: a message is owned by one `KafkaRecord`, and librdkafka lets any thread read and destroy
// it.
unsafe impl Send for KafkaRecord {}

impl KafkaRecord {
    fn message(&self) -> &raw::rd_kafka_message_t {
        // SAFETY: the message is alive until `drop`, and nothing writes to its fields.
        unsafe { self.message.as_ref() }
    }
}

impl InputRecord for KafkaRecord {
    fn offset(&self) -> i64 {
        self.message().offset
    }

    fn timestamp(&self) -> Option<EventTime> {
        let mut kind = raw::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive and `kind` is writable.
        let millis =
            unsafe { raw::rd_kafka_message_timestamp(self.message.as_ptr(), &raw mut kind) };
        let known = kind != raw::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        (known && millis >= 0).then(|| EventTime::from_millis(millis))
    }

    fn key(&self) -> Option<&[u8]> {
        let message = self.message();
        // SAFETY: the key is null or `key_len` bytes that live as long as the message.
        unsafe { bytes(message.key, message.key_len) }
    }

    fn value(&self) -> Option<&[u8]> {
        let message = self.message();
        // SAFETY: the payload is null or `len` bytes that live as long as the message.
        unsafe { bytes(message.payload, message.len) }
    }

    fn headers(&self) -> Vec<(String, Option<Vec<u8>>)> {
        let mut headers = ptr::null_mut();
        // SAFETY: the message is alive; the list stays the message's. Parsing it is a write inside
        // the library, which is why `KafkaRecord` is not `Sync`.
        let found =
            unsafe { raw::rd_kafka_message_headers(self.message.as_ptr(), &raw mut headers) };
        let mut list = Vec::new();
        if found != raw::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return list;
        }
        loop {
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            // SAFETY: the list is alive with its message, the three places are writable, and an
            // index past the end is answered with an error.
            let found = unsafe {
                raw::rd_kafka_header_get_all(
                    headers,
                    list.len(),
                    &raw mut name,
                    &raw mut value,
                    &raw mut size,
                )
            };
            if found != raw::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return list;
            }
            // SAFETY: the name is a C string and the value null or `size` bytes, both the list's.
            let header = unsafe { (text(name), bytes(value, size).map(<[u8]>::to_vec)) };
            list.push(header);
        }
    }
}

impl fmt::Debug for KafkaRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaRecord")
            .field("partition", &self.message().partition)
            .field("offset", &self.message().offset)
            .finish_non_exhaustive()
    }
}

impl Drop for KafkaRecord {
    fn drop(&mut self) {
        // SAFETY: ours alone, destroyed once, and the client it belongs to is still alive.
        unsafe { raw::rd_kafka_message_destroy(self.message.as_ptr()) };
    }
}

/// The generation (or, in the new protocol, the epoch) in which a consumer is a member of its group.
/// `None` when it is none at the moment.
pub(super) fn group_generation(client: &impl Client) -> Option<i32> {
    // SAFETY: the client is alive; the metadata are null or ours to destroy, once, after the read.
    let generation = unsafe {
        let metadata = raw::rd_kafka_consumer_group_metadata(client.native());
        if metadata.is_null() {
            return None;
        }
        let generation = raw::rd_kafka_consumer_group_metadata_generation_id(metadata);
        raw::rd_kafka_consumer_group_metadata_destroy(metadata);
        generation
    };
    (generation >= 0).then_some(generation)
}

/// Whether a consumer has the id of a member, given by the group's coordinator.
pub(super) fn has_member_id(client: &impl Client) -> bool {
    // SAFETY: the client is alive; the text is null or ours to free, once, after the read.
    unsafe {
        let id = raw::rd_kafka_memberid(client.native());
        if id.is_null() {
            return false;
        }
        let is_empty = *id == 0;
        raw::rd_kafka_mem_free(client.native(), id.cast());
        !is_empty
    }
}

/// What stands in one row of a list of partitions.
pub(super) struct Row {
    pub(super) topic: String,
    pub(super) partition: i32,
    /// As the library writes it: negative values are names (`END`, `INVALID`, ...).
    pub(super) offset: i64,
    /// What was committed beside the offset; bytes that are not UTF-8 are replaced.
    pub(super) metadata: String,
    /// What went wrong with this row.
    pub(super) error: Option<RDKafkaErrorCode>,
}

/// Reads a list of partitions.
pub(super) fn rows(list: &TopicPartitionList) -> Vec<Row> {
    // SAFETY: the list is alive and nobody else changes it: `elems` points to `cnt` rows (or is
    // null when there are none), whose topic is a C string and whose metadata are null or
    // `metadata_size` bytes.
    unsafe {
        let list = &*list.ptr();
        if list.elems.is_null() {
            return Vec::new();
        }
        let rows = std::slice::from_raw_parts(list.elems, usize::try_from(list.cnt).unwrap_or(0));
        rows.iter()
            .map(|row| Row {
                topic: text(row.topic),
                partition: row.partition,
                offset: row.offset,
                metadata: bytes(row.metadata, row.metadata_size)
                    .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
                    .unwrap_or_default(),
                error: (row.err != raw::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR)
                    .then(|| row.err.into()),
            })
            .collect()
    }
}

/// # Safety
/// `text` is null or a C string that is alive.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// # Safety
/// `start` is null or the start of `len` bytes that live for `'a` and do not change.
unsafe fn bytes<'a>(start: *const c_void, len: usize) -> Option<&'a [u8]> {
    if start.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    Some(unsafe { std::slice::from_raw_parts(start.cast::<u8>(), len) })
}

/// Sets how long groups of the embedded cluster wait for more members before they start.
pub(super) fn set_mock_join_delay<C: rdkafka::ClientContext>(
    client: &rdkafka::client::Client<C>,
    delay: Duration,
) {
    let millis = i32::try_from(delay.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the handle is that of a living client. The cluster it has in it, if it has one, lives
    // as long as the client, and the call only stores a number under the cluster's own lock.
    unsafe {
        let cluster = raw::rd_kafka_handle_mock_cluster(client.native_ptr());
        if !cluster.is_null() {
            raw::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, millis);
        }
    }
}
