//! The profile record: sent when an account enters, renews, buys more seats or leaves.

use std::fmt::Write;

use super::customer::Customer;
use super::names;
use crate::engine::event::ProfileStatus;
use crate::engine::time::EventTime;

/// What changes in a profile; the rest is the customer's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Profile {
    pub(super) seats: u16,
    pub(super) renewal_at: EventTime,
    pub(super) status: ProfileStatus,
}

impl Profile {
    pub(super) fn write_fields(&self, customer: &Customer, body: &mut String) {
        let (segment, tier) = match customer.users {
            0..12 => ("smb", "standard"),
            12..35 => ("mid-market", "plus"),
            _ => ("enterprise", "premium"),
        };
        let (owner, owner_email) = names::OWNERS[customer.index as usize % names::OWNERS.len()];
        let _ = write!(
            body,
            r#""name":"{}","segment":"{segment}","tier":"{tier}","seats":{},"arr_minor":{},"currency":"{}","owner":"{owner}","owner_email":"{owner_email}","started_at":"{}","renewal_at":"{}","status":"{}""#,
            names::display_name(customer.index),
            self.seats,
            12 * u64::from(self.seats) * u64::from(customer.seat_month_minor),
            customer.currency.as_str(),
            customer.started_at,
            self.renewal_at,
            self.status.name(),
        );
    }
}
