//! What is kept of an aggregate over a restart: plain data, in the order in which it is written.
//!
//! These shapes are version 1 of the format (`engine/snapshot.rs`): a field is never moved or
//! dropped, whatever the aggregate itself comes to look like. Positions of statuses are those in
//! their `NAMES`. Stores are known by what they hold, so that another scorecard finds those it
//! still needs and begins the others empty.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::answers::Answers;
use super::dedup::IdRings;
use super::distinct::DistinctPanes;
use super::invoices::Invoices;
use super::items::Items;
use super::panes::{PaneRing, TrendPanes};
use super::warming::Warming;
use super::{Aggregate, ItemSources};
use crate::engine::event::{Currency, Profile, ProfileStatus, Source};
use crate::engine::scorecard::{DistinctOf, Plan, Window};
use crate::engine::time::EventTime;

/// What cannot have been written by this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadState(pub &'static str);

/// Says what a store holds: a hash of source, filter and panes.
pub type StoreKey = [u8; 4];

/// The keys of a plan's stores, in the plan's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreKeys {
    counts: Vec<StoreKey>,
    sums: Vec<StoreKey>,
    trends: Vec<StoreKey>,
    distincts: Vec<StoreKey>,
    lasts: Vec<StoreKey>,
}

impl StoreKeys {
    /// The keys of the stores of `plan`.
    pub fn new(plan: &Plan) -> StoreKeys {
        let windowed = |what: &str, features: &[String], window: Window| {
            key(what, features, &[window.pane.as_millis(), window.panes])
        };
        let of = |of: DistinctOf| match of {
            DistinctOf::Users => "users",
            DistinctOf::Features => "features",
        };
        StoreKeys {
            counts: plan.counts.iter().map(|s| windowed("count", &s.features, s.window)).collect(),
            sums: plan.sums.iter().map(|s| windowed("sum", &s.features, s.window)).collect(),
            trends: plan
                .trends
                .iter()
                .map(|s| {
                    let panes = [s.pane.as_millis(), s.recent_panes, s.baseline_panes];
                    key("trend", &s.features, &panes)
                })
                .collect(),
            distincts: plan
                .distincts
                .iter()
                .map(|s| windowed(of(s.of), &s.features, s.window))
                .collect(),
            lasts: plan.lasts.iter().map(|features| key("last", features, &[])).collect(),
        }
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = StoreKey> {
        let windowed = self.counts.iter().chain(&self.sums).chain(&self.trends);
        windowed.chain(&self.distincts).chain(&self.lasts).copied()
    }
}

fn key(what: &str, features: &[String], numbers: &[i64]) -> StoreKey {
    let mut text = what.to_owned();
    for feature in features {
        text.push('\n');
        text.push_str(feature);
    }
    for number in numbers {
        text.push_str(&format!("\n{number}"));
    }
    let [a, b, c, d, ..] = xxh3_64(text.as_bytes()).to_le_bytes();
    [a, b, c, d]
}

/// See [`Aggregate`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptAggregate<'a> {
    first_at: Option<i64>,
    first_usage_at: Option<i64>,
    last_at: [Option<i64>; 5],
    /// By source: how many ids, and where the oldest is among them.
    ids_held: [(u8, u8); 5],
    id_hashes: Vec<[u8; 8]>,
    counts: Vec<(StoreKey, Vec<(i32, u32)>)>,
    sums: Vec<(StoreKey, Vec<(i32, i64)>)>,
    trends: Vec<(StoreKey, Vec<(i32, u32)>)>,
    distincts: Vec<(StoreKey, KeptDistinct)>,
    lasts: Vec<(StoreKey, Option<i64>)>,
    #[serde(borrow)]
    items: Option<Box<KeptItems<'a>>>,
    #[serde(borrow)]
    profile: Option<Box<KeptProfile<'a>>>,
    /// In the order of the card's measures.
    warming: Option<Box<KeptWarming>>,
}

/// From when on history is whole, where it is not from the beginning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptWarming {
    pub(super) whole_since: Vec<Option<i64>>,
    pub(super) items_whole_since: [Option<i64>; 5],
}

impl KeptAggregate<'_> {
    /// The profile, if one is known.
    ///
    /// # Errors
    /// When it says what no profile can.
    pub fn profile(&self) -> Result<Option<Profile>, BadState> {
        self.profile.as_ref().map(|profile| profile.restore()).transpose()
    }
}

/// Each value with its latest pane: of those that have begun, and of those that have not.
pub type KeptDistinct = (Vec<([u8; 8], i32)>, Vec<([u8; 8], i32)>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct KeptItems<'a> {
    #[serde(borrow)]
    tickets: Vec<KeptItem<'a, KeptTicketChange<'a>>>,
    #[serde(borrow)]
    invoices: Vec<KeptItem<'a, KeptPaymentChange<'a>>>,
    /// Instant, status, event id and currency of the latest payment record.
    #[serde(borrow)]
    latest_currency: Option<(i64, u8, &'a str, [u8; 3])>,
    #[serde(borrow)]
    answers: Vec<KeptAnswer<'a>>,
    swept_len: u32,
}

/// A ticket or an invoice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptItem<'a, C> {
    pub(super) id: &'a str,
    pub(super) forgotten: bool,
    pub(super) changes: Vec<C>,
}

/// One status of a ticket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptTicketChange<'a> {
    pub(super) at: i64,
    pub(super) status: u8,
    pub(super) priority: Option<u8>,
    #[serde(borrow)]
    pub(super) category: Option<&'a str>,
    pub(super) event_id: &'a str,
}

/// One status of an invoice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptPaymentChange<'a> {
    pub(super) at: i64,
    pub(super) status: u8,
    pub(super) amount_minor: i64,
    pub(super) currency: [u8; 3],
    pub(super) due_at: Option<i64>,
    pub(super) event_id: &'a str,
}

/// One answer; without a respondent it is known by its event's id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptAnswer<'a> {
    pub(super) survey: &'a str,
    #[serde(borrow)]
    pub(super) respondent: Option<&'a str>,
    pub(super) at: i64,
    pub(super) event_id: &'a str,
    pub(super) score_milli: i64,
    pub(super) scale_min_milli: i64,
    pub(super) scale_max_milli: i64,
    #[serde(borrow)]
    pub(super) role: Option<&'a str>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct KeptProfile<'a> {
    #[serde(borrow)]
    name: Option<&'a str>,
    #[serde(borrow)]
    segment: Option<&'a str>,
    #[serde(borrow)]
    tier: Option<&'a str>,
    #[serde(borrow)]
    industry: Option<&'a str>,
    #[serde(borrow)]
    size: Option<&'a str>,
    #[serde(borrow)]
    lifecycle_stage: Option<&'a str>,
    seats: Option<i64>,
    arr_minor: Option<i64>,
    currency: Option<[u8; 3]>,
    #[serde(borrow)]
    owner: Option<&'a str>,
    #[serde(borrow)]
    owner_email: Option<&'a str>,
    started_at: Option<i64>,
    renewal_at: Option<i64>,
    status: Option<u8>,
    #[serde(borrow)]
    parent_account_id: Option<&'a str>,
    recovery_path: Option<bool>,
    #[serde(borrow)]
    tags: Vec<&'a str>,
}

impl Aggregate {
    /// What is kept of it.
    pub fn keep(&self, keys: &StoreKeys) -> KeptAggregate<'_> {
        let (ids_held, id_hashes) = self.ids.keep();
        KeptAggregate {
            first_at: written(self.first_at),
            first_usage_at: written(self.first_usage_at),
            last_at: self.last_at.map(written),
            ids_held,
            id_hashes,
            counts: keyed(&keys.counts, &self.counts, |ring| ring.cells().to_vec()),
            sums: keyed(&keys.sums, &self.sums, |ring| ring.cells().to_vec()),
            trends: keyed(&keys.trends, &self.trends, |trend| trend.cells().to_vec()),
            distincts: keyed(&keys.distincts, &self.distincts, DistinctPanes::keep),
            lasts: keyed(&keys.lasts, &self.lasts, |last| written(*last)),
            items: self.items.as_deref().map(|items| Box::new(items.keep())),
            profile: self.profile().map(|profile| Box::new(KeptProfile::of(profile))),
            warming: self.warming.as_ref().map(|warming| Box::new(warming.keep())),
        }
    }

    /// The aggregate again, in the shape `plan` asks for, which is `same_plan` as it was kept under
    /// or not. Stores that were not kept begin empty.
    ///
    /// # Errors
    /// When `kept` says what no aggregate can.
    pub fn restore(
        kept: KeptAggregate<'_>,
        plan: &Plan,
        keys: &StoreKeys,
        same_plan: bool,
    ) -> Result<Aggregate, BadState> {
        let mut aggregate = Aggregate::new(plan);
        aggregate.first_at = kept.first_at.map_or(EventTime::MAX, EventTime::from_millis);
        aggregate.first_usage_at =
            kept.first_usage_at.map_or(EventTime::MAX, EventTime::from_millis);
        aggregate.last_at = kept.last_at.map(read_back);
        aggregate.ids = IdRings::restore(kept.ids_held, &kept.id_hashes)?;
        fill(&keys.counts, &mut aggregate.counts, kept.counts, PaneRing::restore)?;
        fill(&keys.sums, &mut aggregate.sums, kept.sums, PaneRing::restore)?;
        fill(&keys.trends, &mut aggregate.trends, kept.trends, TrendPanes::restore)?;
        fill(&keys.distincts, &mut aggregate.distincts, kept.distincts, |kept| {
            Ok(DistinctPanes::restore(kept))
        })?;
        // The latest use of any feature is known whether a store was kept for it or not.
        for (features, last) in plan.lasts.iter().zip(&mut aggregate.lasts) {
            if features.is_empty() {
                *last = aggregate.last_at[Source::Usage as usize];
            }
        }
        fill(&keys.lasts, &mut aggregate.lasts, kept.lasts, |last| Ok(read_back(last)))?;
        if let Some(items) = kept.items {
            aggregate.items = Some(Box::new(ItemSources::restore(*items)?));
        }
        if let Some(warming) = kept.warming.filter(|_| same_plan) {
            aggregate.warming = Some(Box::new(Warming::restore(&warming, plan)?));
        }
        if let Some(profile) = kept.profile {
            aggregate.profile = Some(Box::new(profile.restore()?));
        }
        Ok(aggregate)
    }
}

/// An instant, or nothing where one end of time stands for "none".
fn written(at: EventTime) -> Option<i64> {
    (at > EventTime::MIN && at < EventTime::MAX).then(|| at.as_millis())
}

/// An instant of which none was the beginning of time.
fn read_back(at: Option<i64>) -> EventTime {
    at.map_or(EventTime::MIN, EventTime::from_millis)
}

/// Where something stands among the names of its kind.
pub(super) fn code<T: PartialEq>(names: &[(&str, T)], value: &T) -> u8 {
    let position = names.iter().position(|(_, known)| known == value);
    position.expect("`NAMES` lists every variant") as u8
}

/// What stands there.
pub(super) fn by_code<T: Copy>(
    names: &[(&str, T)],
    code: u8,
    otherwise: BadState,
) -> Result<T, BadState> {
    names.get(usize::from(code)).map(|(_, value)| *value).ok_or(otherwise)
}

/// Three upper-case letters.
pub(super) fn currency(code: [u8; 3]) -> Result<Currency, BadState> {
    let text = std::str::from_utf8(&code).ok();
    text.and_then(Currency::parse).ok_or(BadState("a currency that is not three letters"))
}

fn keyed<'a, S, K>(
    keys: &[StoreKey],
    stores: &'a [S],
    keep: impl Fn(&'a S) -> K,
) -> Vec<(StoreKey, K)> {
    keys.iter().copied().zip(stores.iter().map(keep)).collect()
}

fn fill<S, K>(
    keys: &[StoreKey],
    stores: &mut [S],
    kept: Vec<(StoreKey, K)>,
    restore: impl Fn(K) -> Result<S, BadState>,
) -> Result<(), BadState> {
    for (key, kept) in kept {
        if let Some(index) = keys.iter().position(|known| *known == key) {
            stores[index] = restore(kept)?;
        }
    }
    Ok(())
}

impl ItemSources {
    fn keep(&self) -> KeptItems<'_> {
        KeptItems {
            tickets: self.tickets.keep_each(|change| change.keep()),
            invoices: self.invoices.keep(),
            latest_currency: self.invoices.keep_latest_currency(),
            answers: self.answers.keep(),
            swept_len: u32::try_from(self.swept_len).unwrap_or(u32::MAX),
        }
    }

    fn restore(kept: KeptItems<'_>) -> Result<ItemSources, BadState> {
        Ok(ItemSources {
            tickets: Items::restore_each(kept.tickets, KeptTicketChange::restore)?,
            invoices: Invoices::restore(kept.invoices, kept.latest_currency)?,
            answers: Answers::restore(kept.answers),
            swept_len: kept.swept_len as usize,
        })
    }
}

impl KeptProfile<'_> {
    fn of(profile: &Profile) -> KeptProfile<'_> {
        KeptProfile {
            name: profile.name.as_deref(),
            segment: profile.segment.as_deref(),
            tier: profile.tier.as_deref(),
            industry: profile.industry.as_deref(),
            size: profile.size.as_deref(),
            lifecycle_stage: profile.lifecycle_stage.as_deref(),
            seats: profile.seats,
            arr_minor: profile.arr_minor,
            currency: profile.currency.map(|currency| currency.0),
            owner: profile.owner.as_deref(),
            owner_email: profile.owner_email.as_deref(),
            started_at: profile.started_at.map(EventTime::as_millis),
            renewal_at: profile.renewal_at.map(EventTime::as_millis),
            status: profile.status.map(|status| code(&ProfileStatus::NAMES, &status)),
            parent_account_id: profile.parent_account_id.as_deref(),
            recovery_path: profile.recovery_path,
            tags: profile.tags.iter().map(String::as_str).collect(),
        }
    }

    fn restore(&self) -> Result<Profile, BadState> {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let status = |status| {
            by_code(&ProfileStatus::NAMES, status, BadState("an unknown status of a profile"))
        };
        Ok(Profile {
            name: owned(self.name),
            segment: owned(self.segment),
            tier: owned(self.tier),
            industry: owned(self.industry),
            size: owned(self.size),
            lifecycle_stage: owned(self.lifecycle_stage),
            seats: self.seats,
            arr_minor: self.arr_minor,
            currency: self.currency.map(currency).transpose()?,
            owner: owned(self.owner),
            owner_email: owned(self.owner_email),
            started_at: self.started_at.map(EventTime::from_millis),
            renewal_at: self.renewal_at.map(EventTime::from_millis),
            status: self.status.map(status).transpose()?,
            parent_account_id: owned(self.parent_account_id),
            recovery_path: self.recovery_path,
            tags: self.tags.iter().copied().map(str::to_owned).collect(),
        })
    }
}
