//! An account as bytes, and back: what a checkpoint of it holds.
//!
//! ```text
//! version (1 byte) | checksum (4 bytes) | body (postcard)
//! ```
//!
//! The version says how to read the body; every version ever written is read for ever, and
//! `tests/snapshots/` holds one of each. The checksum is seeded with the record's key, so that bytes
//! under another account's name are as bad as bytes with a bit turned.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::aggregate::{BadState, KeptAggregate};
use super::time::EventTime;
use super::verdict::{BadVerdict, KeptAlerts, KeptBand, KeptOverride, KeptPublished};

/// The version that is written. Version 1 did not say when an account began; all else is the same.
pub const VERSION: u8 = 2;

/// What stands before the body.
const HEAD_BYTES: usize = 5;

/// Where the account's task stood when the account was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// By `Source as usize`: the first offset that the account has not seen.
    pub positions: [i64; 5],
    /// Which of the task's sets of topics these are offsets of.
    pub epoch: u32,
    /// Task time.
    pub at: EventTime,
}

/// Everything that is kept of an account. `B` is nothing in version 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptAccount<'a, B = Option<i64>> {
    positions: [i64; 5],
    epoch: u32,
    at: i64,
    /// Whether readers have yet to be told of its latest change.
    pub unreported: bool,
    /// The beginning of the hash of the scorecard it was judged by.
    pub card: [u8; 8],
    /// Verdicts published so far.
    pub sequence: u64,
    /// The band, and what is under way.
    #[serde(borrow)]
    pub band: KeptBand<'a>,
    /// What the next reasons compare with.
    pub published: Option<KeptPublished>,
    /// Where its alert rules stand, if the card had any.
    #[serde(borrow)]
    pub alerts: Option<KeptAlerts<'a>>,
    /// The latest override or withdrawal, and the override that holds the band.
    #[serde(borrow)]
    pub overriding: [Option<KeptOverride<'a>>; 2],
    /// What the account did.
    #[serde(borrow)]
    pub aggregate: KeptAggregate<'a>,
    /// Task time at which it began, epoch milliseconds, where that is known.
    pub beginning: B,
}

impl<B> KeptAccount<'_, B> {
    /// Where its task stood.
    pub fn stamp(&self) -> Stamp {
        Stamp { positions: self.positions, epoch: self.epoch, at: EventTime::from_millis(self.at) }
    }
}

impl<'a> KeptAccount<'a, ()> {
    /// As it is written today.
    fn renewed(self) -> KeptAccount<'a> {
        KeptAccount::new(
            &self.stamp(),
            self.unreported,
            self.card,
            self.sequence,
            self.band,
            self.published,
            self.alerts,
            self.overriding,
            self.aggregate,
            None,
        )
    }
}

impl<'a> KeptAccount<'a> {
    /// What is kept of an account whose task stands at `stamp`.
    #[expect(clippy::too_many_arguments, reason = "one for each thing that is kept")]
    pub fn new(
        stamp: &Stamp,
        unreported: bool,
        card: [u8; 8],
        sequence: u64,
        band: KeptBand<'a>,
        published: Option<KeptPublished>,
        alerts: Option<KeptAlerts<'a>>,
        overriding: [Option<KeptOverride<'a>>; 2],
        aggregate: KeptAggregate<'a>,
        beginning: Option<i64>,
    ) -> KeptAccount<'a> {
        let Stamp { positions, epoch, at } = *stamp;
        KeptAccount {
            positions,
            epoch,
            at: at.as_millis(),
            unreported,
            card,
            sequence,
            band,
            published,
            alerts,
            overriding,
            aggregate,
            beginning,
        }
    }

    /// What [`seal`] was given, by this version or an earlier one.
    ///
    /// # Errors
    /// When the version is not known, or the bytes are not as they were written.
    pub fn open(key: &[u8], bytes: &'a [u8]) -> Result<KeptAccount<'a>, SnapshotError> {
        let body = body(key, bytes)?;
        match bytes[0] {
            1 => read::<KeptAccount<'a, ()>>(body).map(KeptAccount::renewed),
            _ => read(body),
        }
    }
}

/// What is kept of an account that was forgotten, until nobody reads its events again: that nothing
/// before these positions is anything of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptGone {
    positions: [i64; 5],
    epoch: u32,
    at: i64,
}

impl KeptGone {
    /// Forgotten by a task that stands at `stamp`.
    pub fn new(stamp: &Stamp) -> KeptGone {
        let Stamp { positions, epoch, at } = *stamp;
        KeptGone { positions, epoch, at: at.as_millis() }
    }

    /// Where its task stood.
    pub fn stamp(&self) -> Stamp {
        Stamp { positions: self.positions, epoch: self.epoch, at: EventTime::from_millis(self.at) }
    }
}

/// The beginning of a scorecard's hash, enough to tell one from another.
pub fn card_mark(hash: &str) -> [u8; 8] {
    let mut mark = [0; 8];
    for (byte, text) in mark.iter_mut().zip(hash.bytes()) {
        *byte = text;
    }
    mark
}

/// Why bytes are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Written by a later version of this program, or by something else.
    #[error("its format has version {0}, expected at most {VERSION}: a newer barometer wrote it")]
    UnknownVersion(u8),
    /// Not as it was written.
    #[error("its bytes are damaged: {0}")]
    Damaged(String),
}

impl From<BadState> for SnapshotError {
    fn from(bad: BadState) -> SnapshotError {
        SnapshotError::Damaged(bad.to_string())
    }
}

impl From<BadVerdict> for SnapshotError {
    fn from(bad: BadVerdict) -> SnapshotError {
        SnapshotError::Damaged(bad.to_string())
    }
}

/// `value` as bytes that can be written under `key`.
pub fn seal<T: Serialize + ?Sized>(key: &[u8], value: &T) -> Vec<u8> {
    let head = vec![VERSION, 0, 0, 0, 0];
    let mut bytes =
        postcard::to_extend(value, head).expect("plain data of known lengths always becomes bytes");
    let checksum = checksum(key, &bytes[HEAD_BYTES..]);
    bytes[1..HEAD_BYTES].copy_from_slice(&checksum);
    bytes
}

/// What [`seal`] was given; an account is [`KeptAccount::open`]ed.
///
/// # Errors
/// When the version is not known, or the bytes are not as they were written.
pub fn open<'a, T: Deserialize<'a>>(key: &[u8], bytes: &'a [u8]) -> Result<T, SnapshotError> {
    read(body(key, bytes)?)
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, SnapshotError> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(SnapshotError::Damaged(format!("{} bytes too many", rest.len()))),
        Err(error) => Err(SnapshotError::Damaged(error.to_string())),
    }
}

/// Whether bytes are as [`seal`] made them.
///
/// # Errors
/// When they are not, or their version is not known.
pub fn check(key: &[u8], bytes: &[u8]) -> Result<(), SnapshotError> {
    body(key, bytes).map(|_| ())
}

fn body<'a>(key: &[u8], bytes: &'a [u8]) -> Result<&'a [u8], SnapshotError> {
    let damaged = |what: &str| SnapshotError::Damaged(what.to_owned());
    match bytes.first() {
        Some(1..=VERSION) => {}
        Some(other) => return Err(SnapshotError::UnknownVersion(*other)),
        None => return Err(damaged("there are none")),
    }
    let Some((head, body)) = bytes.split_at_checked(HEAD_BYTES) else {
        return Err(damaged("they end before the checksum"));
    };
    if head[1..] != checksum(key, body) {
        return Err(damaged("the checksum is another"));
    }
    Ok(body)
}

fn checksum(key: &[u8], body: &[u8]) -> [u8; 4] {
    let seed = xxh3_64_with_seed(key, 0);
    let [a, b, c, d, ..] = xxh3_64_with_seed(body, seed).to_le_bytes();
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_bytes_are_told_by_what_is_wrong_with_them() {
        let bytes = seal(b"acme", &(7_u32, "text"));
        assert_eq!(open::<(u32, &str)>(b"acme", &bytes), Ok((7, "text")));
        let told =
            |key: &[u8], bytes: &[u8]| open::<(u32, &str)>(key, bytes).unwrap_err().to_string();
        assert_eq!(told(b"acme", b""), "its bytes are damaged: there are none");
        assert_eq!(
            told(b"acme", &bytes[..3]),
            "its bytes are damaged: they end before the checksum"
        );
        assert_eq!(told(b"other", &bytes), "its bytes are damaged: the checksum is another");
        let mut newer = bytes.clone();
        newer[0] = 9;
        assert_eq!(
            told(b"acme", &newer),
            "its format has version 9, expected at most 2: a newer barometer wrote it"
        );
        for byte in 1..bytes.len() {
            let mut turned = bytes.clone();
            turned[byte] ^= 0x10;
            assert_eq!(told(b"acme", &turned), "its bytes are damaged: the checksum is another");
        }
    }
}
