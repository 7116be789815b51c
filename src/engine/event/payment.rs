//! The fields of an invoice's change of status.

use super::decode::Origin;
use super::{Body, DecodeError, Event, Payment, PaymentStatus, object};

const NAMES: [&str; 8] = [
    "event_id",
    "account_id",
    "occurred_at",
    "invoice_id",
    "status",
    "amount_minor",
    "currency",
    "due_at",
];

pub(super) fn read<'a>(json: &'a str, origin: &Origin) -> Result<Event<'a>, DecodeError> {
    let [event_id, account_id, occurred_at, invoice_id, status, amount_minor, currency, due_at] =
        object::fields(json, &NAMES)?;
    origin.event([event_id, account_id, occurred_at], || {
        let payment = Payment {
            invoice_id: invoice_id.required(|value| value.text())?,
            status: status.required(|value| value.one_of(&PaymentStatus::NAMES))?,
            amount_minor: amount_minor.required(|value| value.integer_not_negative())?,
            currency: currency.required(|value| value.currency())?,
            due_at: due_at.optional(|value| value.instant())?,
        };
        if payment.status == PaymentStatus::Issued && payment.due_at.is_none() {
            return Err(due_at.missing());
        }
        Ok(Body::Payment(payment))
    })
}
