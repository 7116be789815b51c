//! The fields of an account profile. All but the common ones are optional. With `forget` the record is
//! no profile, but asks for the account to be erased.

use super::decode::Origin;
use super::{Body, DecodeError, Event, Profile, ProfileStatus, object};

const NAMES: [&str; 21] = [
    "event_id",
    "account_id",
    "occurred_at",
    "name",
    "segment",
    "tier",
    "industry",
    "size",
    "lifecycle_stage",
    "seats",
    "arr_minor",
    "currency",
    "owner",
    "owner_email",
    "started_at",
    "renewal_at",
    "status",
    "parent_account_id",
    "recovery_path",
    "tags",
    "forget",
];

pub(super) fn read<'a>(json: &'a str, origin: &Origin) -> Result<Event<'a>, DecodeError> {
    let [
        event_id,
        account_id,
        occurred_at,
        name,
        segment,
        tier,
        industry,
        size,
        lifecycle_stage,
        seats,
        arr_minor,
        currency,
        owner,
        owner_email,
        started_at,
        renewal_at,
        status,
        parent_account_id,
        recovery_path,
        tags,
        forget,
    ] = object::fields(json, &NAMES)?;
    origin.event([event_id, account_id, occurred_at], || {
        if forget.optional(|value| value.boolean())? == Some(true) {
            return Ok(Body::Forget);
        }
        Ok(Body::Profile(Box::new(Profile {
            name: name.optional(|value| value.owned_text())?,
            segment: segment.optional(|value| value.owned_text())?,
            tier: tier.optional(|value| value.owned_text())?,
            industry: industry.optional(|value| value.owned_text())?,
            size: size.optional(|value| value.owned_text())?,
            lifecycle_stage: lifecycle_stage.optional(|value| value.owned_text())?,
            seats: seats.optional(|value| value.integer_not_negative())?,
            arr_minor: arr_minor.optional(|value| value.integer_not_negative())?,
            currency: currency.optional(|value| value.currency())?,
            owner: owner.optional(|value| value.owned_text())?,
            owner_email: owner_email.optional(|value| value.owned_text())?,
            started_at: started_at.optional(|value| value.instant())?,
            renewal_at: renewal_at.optional(|value| value.instant())?,
            status: status.optional(|value| value.one_of(&ProfileStatus::NAMES))?,
            parent_account_id: parent_account_id.optional(|value| value.owned_text())?,
            recovery_path: recovery_path.optional(|value| value.boolean())?,
            tags: tags.optional(|value| value.tags())?.unwrap_or_default(),
        })))
    })
}
