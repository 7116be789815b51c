//! Support tickets: every status of each, so that the order of arrival does not matter.

use compact_str::CompactString;

use super::items::{Change, Item, Items};
use super::kept::{BadState, KeptTicketChange, by_code, code};
use super::reading::{Reading, WindowScan, mean, whole_elapsed};
use crate::engine::event::{Priority, Ticket, TicketStatus};
use crate::engine::scorecard::{Filter, Window};
use crate::engine::time::{EventTime, Span};

/// The tickets of one account.
pub type Tickets = Items<TicketChange>;

/// One status that a ticket took.
#[derive(Clone, Debug, PartialEq)]
pub struct TicketChange {
    at: EventTime,
    status: TicketStatus,
    priority: Option<Priority>,
    category: Option<CompactString>,
    event_id: CompactString,
}

impl Change for TicketChange {
    type Status = TicketStatus;

    fn at(&self) -> EventTime {
        self.at
    }

    fn status(&self) -> TicketStatus {
        self.status
    }

    fn event_id(&self) -> &str {
        &self.event_id
    }

    fn settles(changes: &[TicketChange]) -> bool {
        let last = changes.last().map(|change| change.status);
        matches!(last, Some(TicketStatus::Resolved | TicketStatus::Closed))
    }
}

impl KeptTicketChange<'_> {
    /// The status again.
    pub fn restore(self) -> Result<TicketChange, BadState> {
        let unknown = BadState("an unknown status or priority of a ticket");
        let priority = |priority| by_code(&Priority::NAMES, priority, unknown);
        Ok(TicketChange {
            at: EventTime::from_millis(self.at),
            status: by_code(&TicketStatus::NAMES, self.status, unknown)?,
            priority: self.priority.map(priority).transpose()?,
            category: self.category.map(CompactString::from),
            event_id: self.event_id.into(),
        })
    }
}

impl TicketChange {
    /// What is kept of it.
    pub fn keep(&self) -> KeptTicketChange<'_> {
        KeptTicketChange {
            at: self.at.as_millis(),
            status: code(&TicketStatus::NAMES, &self.status),
            priority: self.priority.map(|priority| code(&Priority::NAMES, &priority)),
            category: self.category.as_deref(),
            event_id: &self.event_id,
        }
    }

    /// What a support event says.
    pub fn new(ticket: &Ticket<'_>, at: EventTime, event_id: &str) -> TicketChange {
        TicketChange {
            at,
            status: ticket.status,
            priority: ticket.priority,
            category: ticket.category.as_deref().map(CompactString::from),
            event_id: event_id.into(),
        }
    }

    /// By the record's own priority and category.
    fn passes(&self, filter: &Filter) -> bool {
        passes(filter, self.priority.unwrap_or_default(), self.category.as_deref())
    }
}

impl Tickets {
    /// Distinct tickets opened in the window, each by its earliest opening.
    pub fn opened(&self, window: Window, filter: &Filter, now: EventTime) -> Reading {
        let mut scan = WindowScan::new(window, now);
        let openings = self.all().filter_map(|item| item.first(TicketStatus::Opened));
        let count = openings.filter(|c| c.passes(filter) && scan.covers(c.at)).count();
        scan.reading(Some(count as f64))
    }

    /// Statuses of one kind in the window; each filters on its own record.
    pub fn statuses(
        &self,
        status: TicketStatus,
        window: Window,
        filter: &Filter,
        now: EventTime,
    ) -> Reading {
        let mut scan = WindowScan::new(window, now);
        let count = self
            .changes()
            .filter(|c| c.status == status && c.passes(filter) && scan.covers(c.at))
            .count();
        scan.reading(Some(count as f64))
    }

    /// Tickets open now.
    pub fn open(&self, filter: &Filter) -> Reading {
        Reading::lasting(Some(self.open_items(filter).count() as f64))
    }

    /// Age of the oldest open ticket in whole hours; 0 with none open.
    pub fn oldest_open_hours(&self, filter: &Filter, now: EventTime) -> Reading {
        match self.open_items(filter).map(Item::opened_at).min() {
            Some(opened_at) => {
                let (hours, until) = whole_elapsed(opened_at, now, Span::HOUR);
                Reading::until(Some(hours as f64), until)
            }
            None => Reading::lasting(Some(0.0)),
        }
    }

    /// Mean exact hours from the earliest opening to the latest resolution, over tickets resolved in
    /// the window.
    pub fn resolution_hours(&self, window: Window, filter: &Filter, now: EventTime) -> Reading {
        let mut scan = WindowScan::new(window, now);
        let (mut total_millis, mut count) = (0_i64, 0);
        for item in self.all().filter(|item| item.passes(filter)) {
            let ends = (item.first(TicketStatus::Opened), item.latest(TicketStatus::Resolved));
            if let (Some(opened), Some(resolved)) = ends
                && scan.covers(resolved.at)
            {
                total_millis += resolved.at.since(opened.at).as_millis();
                count += 1;
            }
        }
        let hours = total_millis as f64 / Span::HOUR.as_millis() as f64;
        scan.reading(mean(hours, count))
    }

    fn open_items<'a>(
        &'a self,
        filter: &'a Filter,
    ) -> impl Iterator<Item = &'a Item<TicketChange>> {
        self.unsettled().filter(|item| item.passes(filter))
    }
}

impl Item<TicketChange> {
    /// The earliest opening, or the earliest status where no opening is known.
    fn opened_at(&self) -> EventTime {
        self.first(TicketStatus::Opened).unwrap_or(&self.changes()[0]).at
    }

    /// By the ticket's own priority and category: the latest that was said.
    fn passes(&self, filter: &Filter) -> bool {
        let latest_first = || self.changes().iter().rev();
        let priority = latest_first().find_map(|c| c.priority).unwrap_or_default();
        let category = latest_first().find_map(|c| c.category.as_deref());
        passes(filter, priority, category)
    }
}

fn passes(filter: &Filter, priority: Priority, category: Option<&str>) -> bool {
    (filter.priorities.is_empty() || filter.priorities.contains(&priority))
        && (filter.categories.is_empty()
            || category.is_some_and(|own| filter.categories.iter().any(|c| c == own)))
}
