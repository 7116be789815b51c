//! The fields of a support ticket's change of status.

use super::decode::Origin;
use super::{Body, DecodeError, Event, Priority, Ticket, TicketStatus, object};

const NAMES: [&str; 7] =
    ["event_id", "account_id", "occurred_at", "ticket_id", "status", "priority", "category"];

pub(super) fn read<'a>(json: &'a str, origin: &Origin) -> Result<Event<'a>, DecodeError> {
    let [event_id, account_id, occurred_at, ticket_id, status, priority, category] =
        object::fields(json, &NAMES)?;
    origin.event([event_id, account_id, occurred_at], || {
        Ok(Body::Ticket(Ticket {
            ticket_id: ticket_id.required(|value| value.text())?,
            status: status.required(|value| value.one_of(&TicketStatus::NAMES))?,
            priority: priority.optional(|value| value.one_of(&Priority::NAMES))?,
            category: category.optional(|value| value.text())?,
        }))
    })
}
