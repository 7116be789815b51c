//! The fields of a product usage event.

use super::decode::Origin;
use super::field::Field;
use super::{Body, DecodeError, Event, Usage, object};

/// The quantity of an event that names none: it happened once.
const QUANTITY_MILLI_DEFAULT: i64 = 1_000;

pub(super) const NAMES: [&str; 6] =
    ["event_id", "account_id", "occurred_at", "user_id", "feature", "quantity"];

pub(super) fn read<'a>(json: &'a str, origin: &Origin) -> Result<Event<'a>, DecodeError> {
    event(object::fields(json, &NAMES)?, origin)
}

/// The event that these fields make, which are those of [`NAMES`].
#[inline]
pub(super) fn event<'a>(
    [event_id, account_id, occurred_at, user_id, feature, quantity]: [Field<'a>; NAMES.len()],
    origin: &Origin,
) -> Result<Event<'a>, DecodeError> {
    origin.event([event_id, account_id, occurred_at], || {
        Ok(Body::Usage(Usage {
            user_id: user_id.optional(|value| value.text())?,
            feature: feature.required(|value| value.text())?,
            quantity_milli: quantity
                .optional(|value| value.thousandths_not_negative())?
                .unwrap_or(QUANTITY_MILLI_DEFAULT),
        }))
    })
}
