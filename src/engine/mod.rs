//! The engine: events and time in, verdicts out.
//!
//! Pure: no clock, no threads, no Kafka, no files, no logging. Time is an argument, and the same
//! input gives the same output. Its inputs cannot fail; what cannot be decoded never gets here.
//!
//! Use: [`Engine::advance_to`] the task time, then [`Engine::handle_event`]s that were learnt of at
//! that time, then take what was decided with [`Engine::poll_verdict`].

pub mod aggregate;
pub mod event;
pub mod limits;
pub mod outage;
pub mod record;
pub mod report;
pub mod rules;
pub mod score;
pub mod scorecard;
pub mod snapshot;
pub mod stats;
pub mod time;
mod timers;
pub mod verdict;
pub mod wording;
pub mod yaml;

use std::collections::{HashSet, VecDeque};
use std::hint::black_box;
use std::sync::Arc;

use compact_str::CompactString;
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use self::aggregate::{Absence, Aggregate, Applied};
use self::event::{Body, Claim, Event, Feedback, Override, Source};
use self::limits::{Limits, Refusal, Room};
use self::outage::{Clocks, GUARDED, Guard, KeptGuard, OperatorAlert};
use self::report::Snapshot;
use self::rules::{RuleSet, Rules};
use self::score::{Breakdown, MeasureScore, MeasureStatus};
use self::scorecard::{AlertKind, Scorecard, StoreSet};
use self::snapshot::{KeptAccount, SnapshotError, Stamp, card_mark};
use self::stats::{Stats, no_card_stats};
use self::time::{EventTime, Span};
use self::timers::Timers;
use self::verdict::{
    AlertBook, AlertStep, BadVerdict, BandState, BandStep, Cause, Decision, Evidence, KeptOverride,
    Moment, Movement, Published, Verdict,
};

/// Most accounts [`Engine::warm_up`] takes at a time: enough waits to overlap, few enough that what
/// was read first is still in the cache when its event comes.
pub const WARM_UP_MAX: usize = 32;

/// How many accounts are looked at for the one that has been idle for the longest: few enough to do
/// for each new account, and the one chosen is among the idlest tenth nearly always.
const EVICTION_SAMPLE: usize = 32;

/// Accounts and their scores for one input partition number.
#[derive(Debug)]
pub struct Engine {
    rules: Arc<Rules>,
    /// While there are accounts that have yet to go over to the rules in force.
    rules_change: Option<RulesChange>,
    /// Verdicts of task times before this are taken in silence.
    publish_from: EventTime,
    limits: Limits,
    /// What is left of it counts down.
    room: Room,
    /// Where the next look for an idle account begins.
    eviction_hand: u32,
    /// Task time.
    now: EventTime,
    /// Every deadline up to here has been handled, and perhaps later ones too.
    settled: EventTime,
    /// The moment at which an account is looked at, and what outages make of it.
    clocks: Clocks,
    /// Watches for outages, where that is asked for.
    guard: Option<Box<Guard>>,
    operator_alerts: VecDeque<OperatorAlert>,
    /// Hash of the account's id, and its slot.
    slots: HashTable<(u64, u32)>,
    /// Slots of forgotten accounts stay, and go to accounts that come later.
    accounts: Vec<Account>,
    /// Slots that no account has.
    vacant: Vec<u32>,
    /// Accounts forgotten since the last call of [`Engine::drain_forgotten`], with the slots they had.
    forgotten: Vec<(Option<u32>, CompactString)>,
    timers: Timers,
    verdicts: VecDeque<Verdict>,
    /// Slots of accounts that may look different since they were drained, those with a decision first.
    /// One may be listed in both ways; its own mark says whether it still is to be drained.
    touched: VecDeque<u32>,
    /// Slots of accounts that checkpoints do not hold as they are since the last drain, each once.
    changed: Vec<u32>,
    stats: Stats,
    /// Filled anew for each score; kept for its memory.
    breakdown: Breakdown,
    /// The same for what alerts have to say.
    alert_steps: Vec<AlertStep>,
    /// Whether a measure has just been read for the first time since a change of rules.
    warmed: bool,
}

/// A change of rules that has not reached every account.
#[derive(Debug)]
struct RulesChange {
    /// Its task time.
    at: EventTime,
    /// The first slot that has not had its turn.
    next: u32,
}

#[derive(Debug)]
struct Account {
    id: CompactString,
    /// Which of the rules' cards judges it; one that is not in force until a change of rules has
    /// reached the account.
    set: u32,
    aggregate: Aggregate,
    /// One per measure of the card. Measures that are only watched are read for reports, not here.
    measures: Box<[MeasureScore]>,
    band: BandState,
    /// Only where somebody has overridden the band.
    overriding: Option<Box<Overriding>>,
    /// Only where the card has alerts.
    alerts: Option<Box<AlertBook>>,
    published: Option<Published>,
    /// Verdicts published so far.
    sequence: u64,
    /// Task time of its first event; `None` where a record of before version 2 began it.
    beginning: Option<EventTime>,
    /// The latest moment at which it was looked at.
    looked_at: EventTime,
    /// At or before the next moment at which score or band can change without an event.
    deadline: EventTime,
    /// The account's earliest entry in the timers.
    queued: EventTime,
    touched: Touched,
    /// `None` if the slot is not in `changed`.
    change: Option<Change>,
}

/// Whether an account is in the engine's list of those that may look different.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Touched {
    /// It is not, or in a place that counts no more.
    No,
    Listed,
    /// Before those about which nothing was decided.
    First,
}

/// What has become of an account since somebody last asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// What it did has changed: events that come again would bring the same.
    State,
    /// Something was decided or is under way, or its profile or card is another: that would not come
    /// again as it was.
    Verdict,
}

impl Change {
    /// What an event makes of its account, whatever is decided then.
    fn by(body: &Body<'_>) -> Change {
        match body {
            // Compaction may remove a profile's own record before anybody could replay it, and what
            // people say is not said again by a replay.
            Body::Profile(_)
            | Body::ProfileGone
            | Body::Forget
            | Body::Override(_)
            | Body::Feedback(_) => Change::Verdict,
            Body::Usage(_) | Body::Ticket(_) | Body::Payment(_) | Body::Survey(_) => Change::State,
        }
    }
}

/// What people said of an account's band.
#[derive(Debug, Default)]
struct Overriding {
    /// The latest override or withdrawal that had an effect when it came.
    latest: Option<Arc<Override>>,
    /// The override that holds the band.
    running: Option<Arc<Override>>,
}

impl Overriding {
    /// What is to hold the band at `now`.
    fn wanted(&self, now: EventTime) -> Option<&Arc<Override>> {
        let runs = |claim: &Claim| now < claim.expires_at;
        self.latest.as_ref().filter(|latest| latest.claim.as_ref().is_some_and(runs))
    }

    fn keep(&self) -> [Option<KeptOverride<'_>>; 2] {
        [&self.latest, &self.running].map(|said| said.as_deref().map(KeptOverride::new))
    }

    fn restore(kept: &[Option<KeptOverride<'_>>; 2]) -> Result<Option<Overriding>, BadVerdict> {
        let said = |kept: &Option<KeptOverride<'_>>| {
            kept.as_ref().map(KeptOverride::restore).transpose().map(|said| said.map(Arc::new))
        };
        let (latest, running) = (said(&kept[0])?, said(&kept[1])?);
        Ok((latest.is_some() || running.is_some()).then_some(Overriding { latest, running }))
    }

    /// When what holds the band ends by itself.
    fn deadline(&self) -> EventTime {
        let claim = self.running.as_ref().and_then(|running| running.claim.as_ref());
        claim.map_or(EventTime::MAX, |claim| claim.expires_at)
    }
}

impl Engine {
    /// An engine that knows no account yet and judges every one by `card`. Verdicts of task times
    /// before `publish_from` set bands and alerts in silence.
    pub fn new(card: Arc<Scorecard>, publish_from: EventTime) -> Engine {
        Engine::with_rules(Arc::new(Rules::one(card)), publish_from)
    }

    /// The same with several cards to choose from.
    pub fn with_rules(rules: Arc<Rules>, publish_from: EventTime) -> Engine {
        Engine {
            stats: Stats { cards: no_card_stats(&rules), ..Stats::default() },
            rules,
            rules_change: None,
            publish_from,
            limits: Limits::NONE,
            room: Room::ENDLESS,
            eviction_hand: 0,
            now: EventTime::MIN,
            settled: EventTime::MIN,
            clocks: Clocks::default(),
            guard: None,
            operator_alerts: VecDeque::new(),
            slots: HashTable::new(),
            accounts: Vec::new(),
            vacant: Vec::new(),
            forgotten: Vec::new(),
            timers: Timers::default(),
            verdicts: VecDeque::new(),
            touched: VecDeque::new(),
            changed: Vec::new(),
            breakdown: Breakdown::default(),
            alert_steps: Vec::new(),
            warmed: false,
        }
    }

    /// Has the engine watch for outages of whole sources.
    pub fn with_outage_guard(mut self) -> Engine {
        self.guard = Some(Box::default());
        self
    }

    /// Has the engine hold no more of each account than `limits`, and not for longer.
    pub fn with_limits(mut self, limits: Limits) -> Engine {
        self.limits = limits;
        self
    }

    /// How many more accounts may be known from now on.
    pub fn set_room(&mut self, room: Room) {
        self.room = room;
    }

    /// The rules in force.
    pub fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// Judges every account by other rules from now on. Accounts whose card says the same as before
    /// notice nothing; the others are judged at once, and what changes is put down to the rules.
    pub fn change_rules(&mut self, rules: &Rules) {
        self.begin_rules(rules);
        self.go_over(&mut usize::MAX.clone());
    }

    /// The same, but the accounts are left to [`Engine::go_over`]: each is told the same, at the same
    /// task time, only not all in one row. One that something becomes of goes over before that.
    pub fn begin_rules(&mut self, rules: &Rules) {
        self.go_over(&mut usize::MAX.clone());
        let old = Arc::clone(&self.rules);
        let says_the_same =
            |one: usize, other: usize| old.sets()[one].card.hash == rules.sets()[other].card.hash;
        // Where the old cards stand among the new ones, as far as an account is judged by them.
        let mut former: Vec<Option<usize>> = vec![None; old.sets().len()];
        let mut kept: Vec<RuleSet> = Vec::new();
        for slot in self.taken_slots() {
            let account = &mut self.accounts[slot as usize];
            let before = account.set as usize;
            let chosen = rules.choose(account.aggregate.profile());
            let set = if says_the_same(before, chosen) {
                chosen
            } else {
                *former[before].get_or_insert_with(|| {
                    kept.push(old.sets()[before].clone());
                    rules.sets().len() + kept.len() - 1
                })
            };
            account.set = set as u32;
        }
        if !kept.is_empty() {
            self.rules_change = Some(RulesChange { at: self.now, next: 0 });
        }
        self.rules = Arc::new(rules.with_former(kept));
        self.stats.cards = no_card_stats(&self.rules);
        for slot in self.taken_slots() {
            let account = &self.accounts[slot as usize];
            let stats = &mut self.stats.cards[account.set as usize];
            stats.note_account(account.band.current(), account.firing_set());
        }
    }

    /// Takes up to `looks` accounts over to the rules in force, which counts down.
    pub fn go_over(&mut self, looks: &mut usize) {
        while let Some(change) = &mut self.rules_change {
            let slot = change.next;
            if slot as usize >= self.accounts.len() {
                self.rules_change = None;
            } else if *looks == 0 {
                return;
            } else {
                change.next += 1;
                if self.has_to_go_over(slot) {
                    *looks -= 1;
                    self.go_over_to_chosen(slot);
                }
            }
        }
    }

    /// Whether there may be accounts that have yet to go over to the rules in force.
    pub fn is_going_over(&self) -> bool {
        self.rules_change.is_some()
    }

    /// The next task time at which outages are looked for: what is found out there is about all
    /// accounts. `MAX` if nobody looks for any.
    pub fn next_outage_look(&self) -> EventTime {
        let guard = self.guard.as_ref();
        guard.map_or(EventTime::MAX, |guard| guard.next_look(self.now, self.publish_from))
    }

    fn has_to_go_over(&self, slot: u32) -> bool {
        self.rules_change.is_some()
            && self.accounts[slot as usize].set as usize >= self.rules.in_force()
    }

    /// Takes an account over to the rules in force, at the time of their change and with everything
    /// told that it had yet to be told by then.
    fn go_over_to_chosen(&mut self, slot: u32) {
        let Some(RulesChange { at, .. }) = self.rules_change else { return };
        if self.handle_own_deadlines(slot, at) {
            self.choose_card(slot, at);
            self.open_again(slot);
        }
    }

    /// Task time.
    pub fn now(&self) -> EventTime {
        self.now
    }

    /// Up to here everything has been decided that time alone decides: task time, unless
    /// [`Engine::advance_within`] has left deadlines open.
    pub fn handled_to(&self) -> EventTime {
        match self.timers.next() {
            Some(open) if open <= self.now => self.settled.max(open - Span::from_millis(1)),
            _ => self.now,
        }
    }

    /// How many accounts are known.
    pub fn account_count(&self) -> usize {
        self.accounts.len() - self.vacant.len()
    }

    /// The slots that accounts have.
    pub fn taken_slots(&self) -> impl Iterator<Item = u32> + use<> {
        let vacant: HashSet<u32> = self.vacant.iter().copied().collect();
        (0..self.accounts.len() as u32).filter(move |slot| !vacant.contains(slot))
    }

    /// Counts since the start.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Moves task time forward, handling every deadline on the way at its own time and in order.
    /// A time before the present one changes nothing.
    pub fn advance_to(&mut self, now: EventTime) {
        self.advance_within(now, &mut usize::MAX.clone());
    }

    /// The same, with at most `looks` accounts looked at, which counts down. The deadlines that are
    /// left open are handled by later calls, at their own times all the same, and an account's own
    /// before anything else becomes of it: each account is told the same, only not all in one row.
    /// Nothing is left open across the end of an hour for which outages are watched, a change of rules
    /// neither.
    pub fn advance_within(&mut self, now: EventTime, looks: &mut usize) {
        while let Some(guard) = &self.guard {
            let look_at = guard.next_look(self.now, self.publish_from);
            if look_at > now {
                break;
            }
            // An outage is noticed before anything falls by it.
            self.now = look_at - Span::from_millis(1);
            self.settle();
            self.now = look_at;
            self.look_for_outages();
        }
        self.now = now.max(self.now);
        self.handle_deadlines(looks);
    }

    /// Leaves nothing open: neither a change of rules nor a deadline.
    fn settle(&mut self) {
        self.go_over(&mut usize::MAX.clone());
        self.handle_deadlines(&mut usize::MAX.clone());
    }

    fn look_for_outages(&mut self) {
        let Some(guard) = &mut self.guard else { return };
        let frozen_before = self.clocks.frozen();
        self.clocks.now = self.now;
        let goes_on = guard.look(&mut self.clocks, self.publish_from, &mut self.operator_alerts);
        if goes_on {
            for slot in self.taken_slots() {
                if self.look_at_present(slot) {
                    self.read_scored(slot);
                    self.judge(slot);
                    self.schedule(slot);
                }
            }
            self.settled = self.now;
        }
        self.note_outages();
        if self.clocks.frozen() != frozen_before {
            self.touch_all();
        }
    }

    fn note_outages(&mut self) {
        self.stats.out = Source::ALL.map(|source| self.clocks.is_frozen(source));
    }

    /// The next thing the operators of the sources are to be told.
    pub fn poll_operator_alert(&mut self) -> Option<OperatorAlert> {
        self.operator_alerts.pop_front()
    }

    fn handle_deadlines(&mut self, looks: &mut usize) {
        // Asked with every event, nearly always in vain.
        if *looks > 0 && self.timers.is_quiet_at(self.now) {
            self.settled = self.now;
            return;
        }
        let mut coming = [0; WARM_UP_MAX];
        while *looks > 0 {
            let count = self.timers.take_coming(self.now, &mut coming);
            self.warm_up_slots(&coming[..count], true);
            let Some((at, slot)) = self.timers.pop_due(self.now) else {
                self.settled = self.now;
                return;
            };
            let account = &mut self.accounts[slot as usize];
            if account.queued != at {
                continue; // An earlier entry took this one's place.
            }
            account.queued = EventTime::MAX;
            if account.deadline <= at {
                *looks -= 1;
                if self.has_to_go_over(slot) {
                    self.go_over_to_chosen(slot);
                } else {
                    self.look_at(slot, at);
                    self.wake(slot);
                }
            }
            self.schedule(slot);
        }
    }

    /// Has the clock show `at`, or the moment at which the account was looked at last if that is later.
    fn look_at(&mut self, slot: u32, at: EventTime) {
        let account = &mut self.accounts[slot as usize];
        account.looked_at = at.max(account.looked_at);
        self.clocks.now = account.looked_at;
    }

    /// Handles those of the account's deadlines that are still open, and has the clock show the
    /// present. Returns whether the account is still there then.
    fn look_at_present(&mut self, slot: u32) -> bool {
        if self.has_to_go_over(slot) {
            self.go_over_to_chosen(slot);
        }
        let is_there = self.handle_own_deadlines(slot, self.now);
        if is_there {
            self.look_at(slot, self.now);
        }
        is_there
    }

    /// Handles those of the account's deadlines that are still open up to `until`, each at its own time.
    /// Returns whether the account is still there then.
    fn handle_own_deadlines(&mut self, slot: u32, until: EventTime) -> bool {
        while self.accounts[slot as usize].deadline <= until {
            self.look_at(slot, self.accounts[slot as usize].deadline);
            self.wake(slot);
        }
        !self.accounts[slot as usize].id.is_empty()
    }

    /// Up to when everything has been decided about an account that time alone decides.
    pub fn account_time(&self, slot: u32) -> EventTime {
        let account = &self.accounts[slot as usize];
        let all = if account.deadline <= self.now { self.handled_to() } else { self.now };
        let all = match &self.rules_change {
            Some(change) if self.has_to_go_over(slot) => all.min(change.at),
            _ => all,
        };
        all.max(account.looked_at)
    }

    /// At or before the next moment at which time alone can change anything.
    pub fn next_deadline(&self) -> Option<EventTime> {
        let next = self.timers.next().unwrap_or(EventTime::MAX).min(self.next_outage_look());
        (next < EventTime::MAX).then_some(next)
    }

    /// Takes an event that was learnt of at the present task time. Returns why not, where it has not:
    /// then no measure says anything else than before.
    pub fn handle_event(&mut self, event: &Event<'_>) -> Option<Refusal> {
        if let Body::Forget = event.body {
            // What was due until then is told, as if all deadlines had been handled.
            if let Some(slot) = self.slot_of(&event.account_id) {
                self.look_at_present(slot);
            }
            self.forget(&event.account_id);
            return None;
        }
        let source = event.body.source();
        let known = self.slot_of(&event.account_id);
        let (slot, created) = match known.filter(|slot| self.look_at_present(*slot)) {
            Some(slot) => (slot, false),
            // Not known, or forgotten at a moment that has passed since.
            None if matches!(event.body, Body::ProfileGone) => return None,
            None if self.make_room() => (self.begin(event, self.now), true),
            None => {
                self.note_alive(source);
                return Some(Refusal::Accounts);
            }
        };
        let account = &mut self.accounts[slot as usize];
        let plan = &self.rules.sets()[account.set as usize].plan;
        let applied = account.aggregate.apply(event, plan, &self.clocks, &self.limits);
        // Whatever is no mere repeat of a record shows that its source is alive. Whether what it says
        // is known already depends on what is still held of it.
        if applied != Applied::Duplicate {
            self.note_alive(source);
        }
        let (first_moved, moved_stores, count) = match applied {
            Applied::Refused => {
                // What was looked for to make room may have gone.
                self.note_change(slot, Change::State);
                return Some(Refusal::Items);
            }
            Applied::Duplicate | Applied::Repeated => {
                self.stats.duplicates[source as usize] += 1;
                if applied == Applied::Repeated {
                    // Its id is held from now on.
                    self.note_change(slot, Change::State);
                }
                return None;
            }
            // Counted before; what depends on its details may move all the same.
            Applied::Restated => (false, StoreSet::ALL, &mut self.stats.duplicates),
            Applied::LateDropped { first_moved } => {
                (first_moved, StoreSet::ALL, &mut self.stats.late_dropped)
            }
            Applied::Counted { first_moved, moved, left_out } => {
                self.stats.left_out += u64::from(left_out);
                (first_moved, moved, &mut self.stats.counted)
            }
        };
        count[source as usize] += 1;
        // That an account is known is a decision where there is not room for all: a replay does not
        // take it again.
        self.note_change(slot, if created { Change::Verdict } else { Change::by(&event.body) });
        let told = match &event.body {
            Body::Override(told) => self.take_override(slot, told),
            Body::Feedback(told) => {
                self.take_feedback(slot, told);
                false
            }
            _ => false,
        };
        if source == Source::Profile && self.choose_card(slot, self.now) {
            // Judged anew by the card that the profile asks for.
        } else if created || first_moved || told || source == Source::Profile {
            self.read_scored(slot);
            self.judge(slot);
        } else {
            // The deadline may now be earlier than anything asks for; waking finds out.
            let mut deadline = self.accounts[slot as usize].deadline;
            let mut moved = false;
            let fed = self.set_of(slot).plan.fed_by[source as usize].len();
            for nth in 0..fed {
                let plan = &self.set_of(slot).plan;
                let measure = plan.fed_by[source as usize][nth];
                // Any other says what it said, and until when is in the deadline already.
                if plan.scored[measure] && plan.moved_by[measure].meets(moved_stores) {
                    let (until, measure_moved) = self.read(slot, measure);
                    deadline = deadline.min(until);
                    moved |= measure_moved;
                }
            }
            if let Source::Ticket | Source::Payment = source {
                // With what was open the account may have come to rest.
                deadline = deadline.min(self.idle_look(slot));
            }
            self.accounts[slot as usize].deadline = deadline;
            // Most events say what was known already. Then the score is what it was, and as
            // deadlines up to now have been handled, time has nothing new to say to the band.
            let alerts = &self.accounts[slot as usize].alerts;
            let heard = source == Source::Usage
                && alerts.as_ref().is_some_and(|alerts| alerts.hears_usage());
            if moved || heard {
                self.judge(slot);
            }
        }
        self.touch(slot);
        self.schedule(slot);
        None
    }

    /// A source has brought something, whatever became of it.
    fn note_alive(&mut self, source: Source) {
        if let Some(guard) = &mut self.guard {
            guard.count(source, self.now);
        }
    }

    /// Reads what events of these accounts (by the bytes of their ids) will need, as far as they are
    /// among the first [`WARM_UP_MAX`] and known. Changes nothing and promises nothing: with more
    /// accounts than a cache holds, an event waits for memory most of its time, and here the waits
    /// for many accounts overlap.
    pub fn warm_up<'a>(&self, account_ids: impl Iterator<Item = &'a [u8]>) {
        let mut found = [0; WARM_UP_MAX];
        let mut count = 0;
        for account_id in account_ids.take(WARM_UP_MAX) {
            let hash = xxh3_64(account_id);
            // Another account with the same hash would be warmed up in vain, no more.
            if let Some((_, slot)) = self.slots.find(hash, |(known, _)| *known == hash) {
                found[count] = *slot;
                count += 1;
            }
        }
        self.warm_up_slots(&found[..count], false);
    }

    /// The next decision that was published, in the order in which they were taken.
    pub fn poll_verdict(&mut self) -> Option<Verdict> {
        self.verdicts.pop_front()
    }

    /// Whether there is nothing to poll for.
    pub fn is_silent(&self) -> bool {
        self.verdicts.is_empty() && self.operator_alerts.is_empty()
    }

    /// Everything about one account at the present task time.
    pub fn snapshot(&mut self, account_id: &str) -> Option<Snapshot> {
        let slot = self.slot_of(account_id)?;
        Some(self.snapshot_of(slot))
    }

    /// The ids of all accounts, in the order in which they were first seen.
    pub fn account_ids(&self) -> impl Iterator<Item = &str> {
        let ids = self.accounts.iter().map(|account| account.id.as_str());
        ids.filter(|id| !id.is_empty())
    }

    /// Snapshots of up to `max` of the accounts that may look different since they were handed out
    /// last, first those about which something was decided.
    pub fn drain_touched(&mut self, max: usize, mut each: impl FnMut(Snapshot)) {
        let mut slots = Vec::with_capacity(WARM_UP_MAX);
        let mut left = max;
        while left > 0 && !self.touched.is_empty() {
            slots.clear();
            while slots.len() < WARM_UP_MAX.min(left)
                && let Some(slot) = self.touched.pop_front()
            {
                let touched = &mut self.accounts[slot as usize].touched;
                if std::mem::replace(touched, Touched::No) != Touched::No {
                    slots.push(slot);
                }
            }
            left -= slots.len();
            self.warm_up_slots(&slots, true);
            for slot in &slots {
                each(self.snapshot_of(*slot));
            }
        }
    }

    /// Whether [`Engine::drain_touched`] has anything left to hand out.
    pub fn has_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// Has [`Engine::drain_touched`] hand out every account once more.
    pub fn touch_all(&mut self) {
        for slot in self.taken_slots() {
            self.touch(slot);
        }
    }

    /// Hands out, by slot, the accounts that have changed since the last call, each once.
    pub fn drain_changed(&mut self, mut each: impl FnMut(u32, Change)) {
        for slot in self.changed.drain(..) {
            if let Some(change) = self.accounts[slot as usize].change.take() {
                each(slot, change);
            }
        }
    }

    /// The id of the account in a slot.
    pub fn account_id(&self, slot: u32) -> &CompactString {
        &self.accounts[slot as usize].id
    }

    /// The slot of an account, if it is known.
    pub fn find(&self, account_id: &str) -> Option<u32> {
        self.slot_of(account_id)
    }

    /// What a checkpoint of the account in a slot holds.
    pub fn keep(&self, slot: u32, stamp: &Stamp, unreported: bool) -> KeptAccount<'_> {
        let account = &self.accounts[slot as usize];
        let RuleSet { card, store_keys, .. } = self.set_of(slot);
        KeptAccount::new(
            stamp,
            unreported,
            card_mark(&card.hash),
            account.sequence,
            account.band.keep(card),
            account.published.as_ref().map(Published::keep),
            account.alerts.as_ref().map(|alerts| alerts.keep(card)),
            account.overriding.as_ref().map_or([None, None], |said| said.keep()),
            account.aggregate.keep(store_keys),
            account.beginning.map(EventTime::as_millis),
        )
    }

    /// What is to be kept of the outage guard, if there is one and it has changed since the last call.
    pub fn keep_guard(&mut self) -> Option<KeptGuard> {
        self.guard.as_mut()?.keep(&self.clocks)
    }

    /// The guard's counts of the hour that runs, which are not in [`Engine::keep_guard`].
    pub fn guard_came(&self) -> Option<[u64; GUARDED.len()]> {
        self.guard.as_ref().map(|guard| guard.came())
    }

    /// Goes on with an outage guard as it was kept.
    pub fn restore_guard(&mut self, kept: KeptGuard, came: [u64; GUARDED.len()]) {
        self.guard = Some(Box::new(Guard::restore(kept, came, &mut self.clocks)));
        self.note_outages();
    }

    /// Puts an account back as it was kept; returns its slot. Until [`Engine::thaw`], or
    /// [`Engine::thaw_account`] after that, nothing of it is judged. One whose card is not known goes
    /// over to the one its profile asks for as far as names say the same.
    ///
    /// # Errors
    /// When `kept` says what no account can.
    pub fn put_back(
        &mut self,
        account_id: &str,
        kept: KeptAccount<'_>,
    ) -> Result<u32, SnapshotError> {
        let rules = Arc::clone(&self.rules);
        let kept_at = kept.stamp().at;
        let own = rules.cards().position(|card| card_mark(&card.hash) == kept.card);
        let set = match own {
            Some(own) => own,
            None => rules.choose(kept.aggregate.profile()?.as_ref()),
        };
        let RuleSet { card, plan, store_keys } = &rules.sets()[set];
        let same_rules = own.is_some();
        let aggregate = Aggregate::restore(kept.aggregate, plan, store_keys, same_rules)?;
        let band = BandState::restore(&kept.band, card)?;
        let alerts = match (kept.alerts, card.alerts.is_empty()) {
            (Some(kept), false) => Some(AlertBook::restore(kept, card, same_rules)?),
            (None, false) => Some(AlertBook::new()),
            (_, true) => None,
        };
        let overriding = Overriding::restore(&kept.overriding)?;
        // By other rules the parts of the score were others: they cannot be compared with.
        let comparable = kept.published.filter(|_| same_rules);
        let published = comparable.map(|kept| Published::restore(kept, card)).transpose()?;
        let beginning = kept.beginning.map(EventTime::from_millis);
        let slot =
            self.slot_of(account_id).unwrap_or_else(|| self.create(account_id, set, beginning));
        let account = &mut self.accounts[slot as usize];
        let stats = &mut self.stats.cards[account.set as usize];
        stats.drop_account(account.band.current(), account.firing_set());
        account.set = set as u32;
        account.measures = no_measures(card);
        account.aggregate = aggregate;
        account.band = band;
        account.alerts = alerts.map(Box::new);
        account.overriding = overriding.map(Box::new);
        account.published = published;
        account.sequence = kept.sequence;
        account.beginning = beginning;
        account.looked_at = kept_at;
        let stats = &mut self.stats.cards[set];
        stats.note_account(account.band.current(), account.firing_set());
        Ok(slot)
    }

    /// Takes an event again that was taken at `at` in an earlier life, and decides nothing. Only
    /// before [`Engine::thaw`].
    pub fn replay(&mut self, event: &Event<'_>, at: EventTime) {
        if let Body::Forget = event.body {
            return; // Whatever is known now has been learnt since.
        }
        let slot = match self.slot_of(&event.account_id) {
            Some(slot) => slot,
            None if matches!(event.body, Body::ProfileGone) => return,
            None => self.begin(event, at),
        };
        self.look_at(slot, at);
        let account = &mut self.accounts[slot as usize];
        let plan = &self.rules.sets()[account.set as usize].plan;
        let applied = account.aggregate.apply(event, plan, &self.clocks, &self.limits);
        match applied {
            Applied::Duplicate => {}
            Applied::Repeated | Applied::Refused => self.note_change(slot, Change::State),
            Applied::Restated | Applied::LateDropped { .. } | Applied::Counted { .. } => {
                self.note_change(slot, Change::by(&event.body));
                self.touch(slot);
            }
        }
    }

    /// Goes on at `now` with the accounts that were put back: reads every measure, and judges, which
    /// by the rules they were kept under decides nothing new. Deadlines after `handled_to` are still
    /// open, so each account stands where it was looked at last, if that is later than `handled_to`:
    /// because of what it has seen since, or because it was kept ahead of the others. Decisions before
    /// `publish_from` are taken in silence.
    pub fn thaw(&mut self, handled_to: EventTime, now: EventTime, publish_from: EventTime) {
        self.publish_from = publish_from;
        self.now = now.max(self.now);
        self.settled = handled_to.min(self.now);
        for slot in self.taken_slots() {
            self.thaw_account(slot, self.settled);
        }
    }

    /// Goes on with one account that was put back, which for all that is known stood at `at` like the
    /// others: the same as if it had been among them.
    pub fn thaw_account(&mut self, slot: u32, at: EventTime) {
        self.look_at(slot, at);
        self.read_scored(slot);
        self.fill_breakdown(slot);
        if let Some(alerts) = &mut self.accounts[slot as usize].alerts {
            alerts.go_on_with(self.breakdown.score, self.clocks.now);
        }
        self.judge_for(slot, Cause::Score, None);
        self.schedule(slot);
        self.open_again(slot);
    }

    /// An account came to the present late: what has been due since has yet to be handled.
    fn open_again(&mut self, slot: u32) {
        let open = self.accounts[slot as usize].deadline;
        self.settled = self.settled.min(open - Span::from_millis(1));
    }

    /// A snapshot of an account, unless [`Engine::drain_touched`] would hand it out.
    pub fn untouched(&mut self, slot: u32) -> Option<Snapshot> {
        (self.accounts[slot as usize].touched == Touched::No).then(|| self.snapshot_of(slot))
    }

    /// Each round reads at places that the round before made known.
    fn warm_up_slots(&self, slots: &[u32], wholly: bool) {
        let accounts = || slots.iter().map(|slot| &self.accounts[*slot as usize]);
        for account in accounts() {
            black_box((account.id.len(), account.band.since(), account.sequence));
            black_box((account.deadline, account.measures.len()));
            account.aggregate.warm_up();
        }
        for account in accounts() {
            black_box((account.measures.first(), account.measures.get(3)));
            account.aggregate.warm_up_stores();
        }
        if wholly {
            for account in accounts() {
                black_box((account.measures.get(6), account.measures.last()));
                account.aggregate.warm_up_items();
            }
        }
    }

    fn slot_of(&self, account_id: &str) -> Option<u32> {
        let hash = xxh3_64(account_id.as_bytes());
        let is_it = |(known, slot): &(u64, u32)| {
            *known == hash && self.accounts[*slot as usize].id == account_id
        };
        self.slots.find(hash, is_it).map(|(_, slot)| *slot)
    }

    /// Has an account found no more; returns the slot it has.
    fn unlist(&mut self, account_id: &str) -> Option<u32> {
        let slot = self.slot_of(account_id)?;
        let hash = xxh3_64(account_id.as_bytes());
        if let Ok(entry) = self.slots.find_entry(hash, |(_, known)| *known == slot) {
            entry.remove();
        }
        Some(slot)
    }

    /// Begins to know the account that an event is about, at the present; its card is chosen by the
    /// profile that the event may bring. Returns its slot.
    fn begin(&mut self, event: &Event<'_>, at: EventTime) -> u32 {
        let profile = match &event.body {
            Body::Profile(profile) => Some(&**profile),
            _ => None,
        };
        let slot = self.create(&event.account_id, self.rules.choose(profile), Some(at));
        self.look_at(slot, self.now);
        slot
    }

    /// Whether there is room for another account, if need be in the place of one that is idle.
    fn make_room(&mut self) -> bool {
        if self.room.accounts > 0 {
            self.room.accounts -= 1;
            return true;
        }
        if self.room.evictions == 0 {
            return false;
        }
        let Some(slot) = self.idlest() else { return false };
        self.room.evictions -= 1;
        if self.look_at_present(slot) {
            self.forget_idle(slot);
        }
        self.room.accounts -= 1; // The one that has just been left.
        true
    }

    /// The account at rest of which nothing has been heard for the longest, among the next few.
    fn idlest(&mut self) -> Option<u32> {
        let count = self.accounts.len() as u32;
        let mut idlest: Option<(EventTime, u32)> = None;
        for _ in 0..(EVICTION_SAMPLE as u32).min(count) {
            self.eviction_hand = (self.eviction_hand + 1) % count;
            let slot = self.eviction_hand;
            let Some(since) = self.accounts[slot as usize].rests_since() else { continue };
            if idlest.is_none_or(|(longest, _)| since < longest) {
                idlest = Some((since, slot));
            }
        }
        idlest.map(|(_, slot)| slot)
    }

    fn create(&mut self, account_id: &str, set: usize, beginning: Option<EventTime>) -> u32 {
        let slot = self.vacant.pop().unwrap_or_else(|| {
            u32::try_from(self.accounts.len()).expect("memory ends before 2^32 accounts")
        });
        let hash = xxh3_64(account_id.as_bytes());
        self.slots.insert_unique(hash, (hash, slot), |(hash, _)| *hash);
        let RuleSet { card, plan, .. } = &self.rules.sets()[set];
        let account = Account {
            id: account_id.into(),
            set: set as u32,
            aggregate: Aggregate::new(plan),
            measures: no_measures(card),
            band: BandState::new(),
            overriding: None,
            alerts: (!card.alerts.is_empty()).then(|| Box::new(AlertBook::new())),
            published: None,
            sequence: 0,
            beginning,
            looked_at: EventTime::MIN,
            deadline: EventTime::MAX,
            queued: EventTime::MAX,
            touched: Touched::No,
            change: None,
        };
        match self.accounts.get_mut(slot as usize) {
            Some(vacant) => *vacant = account,
            None => self.accounts.push(account),
        }
        self.stats.cards[set].note_account(None, 0);
        slot
    }

    /// Forgets everything about an account, without another word on it.
    fn forget(&mut self, account_id: &str) {
        let slot = self.unlist(account_id);
        // Where nothing is known somebody else may still hold something: all are told.
        self.forgotten.push((slot, account_id.into()));
        let Some(slot) = slot else { return };
        let account = &mut self.accounts[slot as usize];
        let stats = &mut self.stats.cards[account.set as usize];
        stats.drop_account(account.band.current(), account.firing_set());
        // What lists the slot finds nothing to do there: no deadline, no change, nothing to show.
        let plan = &self.rules.sets()[account.set as usize].plan;
        account.id = CompactString::default();
        account.aggregate = Aggregate::new(plan);
        account.measures = Box::default();
        (account.overriding, account.alerts, account.published) = (None, None, None);
        (account.deadline, account.queued) = (EventTime::MAX, EventTime::MAX);
        (account.touched, account.change) = (Touched::No, None);
        self.vacant.push(slot);
        self.room.accounts = self.room.accounts.saturating_add(1);
    }

    /// Since when an account at rest is old enough to be forgotten; `MAX` for all others.
    fn idle_from(&self, slot: u32) -> EventTime {
        let Some(after) = self.limits.forget_after else { return EventTime::MAX };
        let account = &self.accounts[slot as usize];
        let reach = self.rules.sets()[account.set as usize].plan.reach();
        account.rests_since().map_or(EventTime::MAX, |since| since + after.max(reach))
    }

    /// When an account is to be looked at because it may be idle: at the first midnight from which on
    /// it is. An old event that is learnt of only now has it stay until the next, so that others as old
    /// find it there.
    fn idle_look(&self, slot: u32) -> EventTime {
        let idle_from = self.idle_from(slot);
        if idle_from == EventTime::MAX {
            return EventTime::MAX;
        }
        let midnight = idle_from.floor_to(Span::DAY);
        let midnight = if midnight < idle_from { midnight + Span::DAY } else { midnight };
        midnight.max(self.clocks.now.floor_to(Span::DAY) + Span::DAY)
    }

    /// Forgets an account because it is idle, after a last word to whoever knows of its band or alerts.
    fn forget_idle(&mut self, slot: u32) {
        self.read_scored(slot);
        self.fill_breakdown(slot);
        let now = self.clocks.now;
        let account = &mut self.accounts[slot as usize];
        let card = &self.rules.sets()[account.set as usize].card;
        if let Some(alerts) = &mut account.alerts {
            self.alert_steps.extend(alerts.end_all(card));
        }
        let is_known = account.band.current().is_some();
        let step = is_known.then(|| account.band.impose(None, self.breakdown.score, now));
        if step.is_some() || !self.alert_steps.is_empty() {
            self.decide(slot, step, (BandCause(Cause::Forgotten, None), Cause::Forgotten), None);
        }
        let account_id = self.accounts[slot as usize].id.clone();
        self.forget(&account_id);
        self.stats.forgotten += 1;
    }

    /// The accounts that somebody wanted forgotten since the last call, with the slots they had.
    pub fn drain_forgotten(&mut self) -> impl Iterator<Item = (Option<u32>, CompactString)> {
        self.forgotten.drain(..)
    }

    /// The card and plan by which an account is judged.
    fn set_of(&self, slot: u32) -> &RuleSet {
        &self.rules.sets()[self.accounts[slot as usize].set as usize]
    }

    /// Takes an override, unless it has no effect; returns whether the band has to be looked at.
    fn take_override(&mut self, slot: u32, told: &Override) -> bool {
        let card = &self.rules.sets()[self.accounts[slot as usize].set as usize].card;
        let works = told.claim.as_ref().is_none_or(|claim| {
            self.clocks.now < claim.expires_at && card.claimed_band(&claim.band).is_some()
        });
        let overriding = self.accounts[slot as usize].overriding.get_or_insert_default();
        let known = overriding.latest.as_ref();
        if !works || known.is_some_and(|known| told.order() <= known.order()) {
            self.stats.overrides_ignored += 1;
            return false;
        }
        overriding.latest = Some(Arc::new(told.clone()));
        true
    }

    fn take_feedback(&mut self, slot: u32, told: &Feedback) {
        let account = &mut self.accounts[slot as usize];
        let card = &self.rules.sets()[account.set as usize].card;
        let stats = &mut self.stats.cards[account.set as usize].alerts;
        let rule = told.rule.as_ref().map(|id| card.alerts.iter().position(|r| r.id == *id));
        let noted = match (rule, &mut account.alerts) {
            // A rule the card does not have.
            (Some(None), _) | (_, None) => 0,
            (Some(Some(rule)), Some(alerts)) => {
                alerts.note_feedback(Some(rule), told.kind);
                1 << rule // Its last alert may be over already: it counts all the same.
            }
            (None, Some(alerts)) => alerts.note_feedback(None, told.kind),
        };
        if noted == 0 {
            self.stats.feedback_on_none[told.kind as usize] += 1;
        }
        for (rule, stats) in stats.iter_mut().enumerate() {
            stats.feedback[told.kind as usize] += u64::from(noted & (1 << rule) != 0);
        }
    }

    /// Has the account judged by the card that its profile asks for, as of `at`; `false` if it is
    /// already.
    fn choose_card(&mut self, slot: u32, at: EventTime) -> bool {
        let account = &mut self.accounts[slot as usize];
        let chosen = self.rules.choose(account.aggregate.profile());
        if chosen == account.set as usize {
            return false;
        }
        let rules = Arc::clone(&self.rules);
        let before = account.set as usize;
        account.set = chosen as u32;
        self.stats.cards[before].drop_account(account.band.current(), account.firing_set());
        self.change_card(slot, &rules.sets()[before], at);
        true
    }

    /// Takes an account over from the card `before` to the one it has now, and judges it as of `at`.
    fn change_card(&mut self, slot: u32, before: &RuleSet, at: EventTime) {
        self.look_at(slot, at);
        let account = &mut self.accounts[slot as usize];
        let set = &self.rules.sets()[account.set as usize];
        let (old, new) = (&before.card, &set.card);
        let band_before = account.band.current();
        account.aggregate.change_plan(&before.plan, &set.plan, self.clocks.now);
        account.measures = no_measures(new);
        account.band.in_bands_of(old, new);
        let is_gone = band_before.is_some() && account.band.current().is_none();
        let left = band_before.filter(|_| is_gone).map(|band| old.bands[band].name.as_str().into());
        if let Some(published) = &mut account.published {
            *published = published.in_parts_of(old, new);
        }
        let mut alerts = account.alerts.take().unwrap_or_default();
        let ended = alerts.change_card(old, new, self.clocks.now);
        account.alerts = (!new.alerts.is_empty()).then_some(alerts);
        let stats = &mut self.stats.cards[account.set as usize];
        stats.note_account(account.band.current(), account.firing_set());
        self.note_change(slot, Change::Verdict);
        self.read_scored(slot);
        self.judge_for(slot, Cause::Rules, left);
        for step in ended {
            self.publish(slot, Decision::Alert(step), Cause::Rules, None, Vec::new());
            let verdict = self.verdicts.back_mut().expect("it has just been added");
            verdict.card = Arc::clone(old);
            verdict.band = band_before;
            verdict.sub_band = None;
        }
        self.touch(slot);
        self.schedule(slot);
    }

    /// Looks at an account whose deadline has come.
    fn wake(&mut self, slot: u32) {
        let now = self.clocks.now;
        if self.idle_from(slot) <= now && now.floor_to(Span::DAY) == now {
            return self.forget_idle(slot);
        }
        let moved = self.read_scored(slot);
        let account = &mut self.accounts[slot as usize];
        let card = &self.rules.sets()[account.set as usize].card;
        let verdict_deadline = account.verdict_deadline(card);
        // Where no measure moved, only the end of a grace, of a dwell or of an alert's clock has
        // anything to say. Most looks are of the kind that an event in the meantime has made
        // unnecessary.
        let grace_was_on = self.clocks.now <= account.grace_ends(card);
        if moved || verdict_deadline <= self.clocks.now || grace_was_on {
            self.judge(slot);
        } else {
            account.deadline = account.deadline.min(verdict_deadline);
        }
        self.touch(slot);
    }

    /// Reads every measure that can matter to score, band or gates, and sets the deadline by them.
    /// Returns whether any has changed.
    fn read_scored(&mut self, slot: u32) -> bool {
        let mut deadline = self.idle_look(slot);
        let mut moved = false;
        for measure in 0..self.set_of(slot).plan.reads.len() {
            if self.set_of(slot).plan.scored[measure] {
                let (until, measure_moved) = self.read(slot, measure);
                deadline = deadline.min(until);
                moved |= measure_moved;
            }
        }
        self.accounts[slot as usize].deadline = deadline;
        moved
    }

    /// Reads one measure; returns when it can change without an event, and whether it has changed, as
    /// far as score, gates or alerts can notice.
    fn read(&mut self, slot: u32, measure: usize) -> (EventTime, bool) {
        let account = &mut self.accounts[slot as usize];
        let plan = &self.rules.sets()[account.set as usize].plan;
        let reading = account.aggregate.read(measure, plan, &self.clocks);
        let until = plan.unnoticed_until(measure, reading.value, reading.until);
        let known = &mut account.measures[measure];
        // The same value has the same sub-score: no need to ask the curve.
        if reading.value.is_some() && reading.value == known.value() {
            return (until, false);
        }
        let rule = &plan.measures[measure];
        let found = MeasureScore::new(rule, reading.value, reading.absence);
        let moved = match (found.value(), known.value()) {
            // What is only compared with thresholds moves when it passes one.
            (Some(now), Some(before)) => {
                (rule.weight != 0.0 && found.sub_score() != known.sub_score())
                    || !plan.on_same_sides(measure, now, before)
            }
            _ => found != *known,
        };
        self.warmed |= moved && known.status() == MeasureStatus::WarmingUp;
        *known = found;
        (until, moved)
    }

    /// Reads all measures, the watched ones too, for whoever names their values. It decides nothing,
    /// so a window that turns out to have filled is nobody's doing.
    fn read_all(&mut self, slot: u32) {
        let warmed = self.warmed;
        for measure in 0..self.set_of(slot).plan.reads.len() {
            self.read(slot, measure);
        }
        self.warmed = warmed;
    }

    /// Works out score and band at the present task time, and the deadline left.
    fn judge(&mut self, slot: u32) {
        let cause = if self.warmed { Cause::Rules } else { Cause::Score };
        self.judge_for(slot, cause, None);
    }

    /// The same, and whose doing it is. `left` names the account's band where the card has none of
    /// that name: then it is left whatever the score.
    fn judge_for(&mut self, slot: u32, cause: Cause, left: Option<CompactString>) {
        self.warmed = false;
        let grace_ends = self.fill_breakdown(slot);
        let rules = &*self.rules;
        let card = &*rules.sets()[self.accounts[slot as usize].set as usize].card;
        let in_grace = self.clocks.now < grace_ends;
        let account = &mut self.accounts[slot as usize];
        let band_before = account.band;
        let (step, band_cause) =
            account.step_band(card, self.breakdown.score, self.clocks.now, cause, left.is_some());
        let mut decided = account.band != band_before || step.is_some();
        if let Some(alerts) = &mut account.alerts {
            let last_usage = account.aggregate.last_at(Source::Usage);
            let moment = Moment {
                now: self.clocks.now,
                publish_from: self.publish_from,
                score: self.breakdown.score,
                coverage: self.breakdown.coverage,
                band: account.band.current(),
                measures: &account.measures,
                profile: account.aggregate.profile(),
                last_usage,
                silent_since: self.clocks.without_outages(Source::Usage, last_usage),
                usage_frozen_at: self
                    .clocks
                    .is_frozen(Source::Usage)
                    .then(|| self.clocks.of(Source::Usage)),
            };
            let fired_before = alerts.firing_set();
            let muted = cause == Cause::Rules && !rules.alerts_on_change();
            decided |= alerts.step(card, &moment, muted, &mut self.alert_steps);
            let stats = &mut self.stats.cards[account.set as usize];
            stats.note_firing(fired_before, alerts.firing_set());
        }
        account.deadline = account.deadline.min(account.verdict_deadline(card));
        if in_grace {
            account.deadline = account.deadline.min(grace_ends);
        }
        debug_assert!(
            account.deadline > self.clocks.now,
            "a deadline that is over comes again for ever"
        );
        if decided {
            self.note_change(slot, Change::Verdict);
        }
        if step.is_some() || !self.alert_steps.is_empty() {
            self.decide(slot, step, (band_cause, cause), left);
        }
    }

    /// Works out the score at the present task time; returns when the account's grace ends.
    fn fill_breakdown(&mut self, slot: u32) -> EventTime {
        let account = &self.accounts[slot as usize];
        let card = &self.rules.sets()[account.set as usize].card;
        let grace_ends = account.grace_ends(card);
        let value_of = |measure: usize| account.measures[measure].value();
        let profile = account.aggregate.profile();
        let gate_holds = |gate: usize| card.gates[gate].when.holds(&value_of, profile);
        self.breakdown.fill(card, &account.measures, gate_holds, self.clocks.now < grace_ends);
        grace_ends
    }

    /// Publishes what was decided at this look, as far as it is to be published. All of it is told
    /// against the verdicts published before.
    fn decide(
        &mut self,
        slot: u32,
        step: Option<BandStep>,
        (band_cause, cause): (BandCause, Cause),
        left: Option<CompactString>,
    ) {
        // Reasons name values. Those that could not move their sub-scores any more were let be, and so
        // were those that are only watched: by other rules they may be reasons of the next verdict.
        self.read_all(slot);
        let card = Arc::clone(&self.set_of(slot).card);
        let account = &self.accounts[slot as usize];
        let movements = Published::movements(
            account.published.as_ref(),
            &card,
            &account.measures,
            &self.breakdown,
        );
        if let Some(BandStep { from, to }) = step {
            let silent = self.clocks.now < self.publish_from;
            self.stats.cards[account.set as usize].note_band_change(from, to, silent);
            if !silent {
                let decision = Decision::BandChange { from, to };
                self.publish(slot, decision, band_cause.0, left, movements.clone());
                let verdict = self.verdicts.back_mut().expect("it has just been added");
                verdict.overridden = band_cause.1;
            }
        }
        let mut steps = std::mem::take(&mut self.alert_steps);
        for mut step in steps.drain(..) {
            let account = &self.accounts[slot as usize];
            if let AlertKind::Measure { measure, .. } = card.alerts[step.rule].kind {
                step.evidence = Evidence::Value(account.measures[measure].value());
            }
            self.stats.cards[account.set as usize].note_alert(&step);
            let decision = Decision::Alert(step);
            let sequence = self.publish(slot, decision, cause, None, movements.clone());
            if let Some(alerts) = &mut self.accounts[slot as usize].alerts {
                alerts.fired_as(step.rule, sequence);
            }
        }
        self.alert_steps = steps;
        let account = &mut self.accounts[slot as usize];
        account.published = Some(Published::new(&account.measures, &self.breakdown));
        if account.touched != Touched::First {
            account.touched = Touched::First;
            self.touched.push_front(slot);
        }
    }

    /// Adds a verdict on the account as it is now, and returns its number.
    fn publish(
        &mut self,
        slot: u32,
        decision: Decision,
        cause: Cause,
        left: Option<CompactString>,
        movements: Vec<Movement>,
    ) -> u64 {
        let card = Arc::clone(&self.set_of(slot).card);
        let account = &mut self.accounts[slot as usize];
        account.sequence += 1;
        let profile = account.aggregate.profile();
        let band = account.band.current();
        let score = self.breakdown.score;
        self.verdicts.push_back(Verdict {
            account_id: account.id.clone(),
            beginning: account.beginning,
            sequence: account.sequence,
            at: self.clocks.now,
            decision,
            cause,
            left,
            overridden: None,
            score,
            band,
            sub_band: band.and_then(|band| card.bands[band].sub_band(score, profile)),
            previous_score: account.published.as_ref().and_then(|published| published.score),
            coverage: self.breakdown.coverage,
            degraded: self.clocks.frozen(),
            movements,
            name: profile.and_then(|profile| profile.name.clone()),
            owner: profile.and_then(|profile| profile.owner.clone()).or_else(|| card.owner.clone()),
            card,
        });
        account.sequence
    }

    fn note_change(&mut self, slot: u32, change: Change) {
        let account = &mut self.accounts[slot as usize];
        if account.change.is_none() {
            self.changed.push(slot);
        }
        account.change = account.change.max(Some(change));
    }

    /// Has the account looked at at its deadline.
    fn schedule(&mut self, slot: u32) {
        let account = &mut self.accounts[slot as usize];
        self.timers.schedule(slot, account.deadline, &mut account.queued);
    }

    /// Has [`Engine::drain_touched`] hand out the account.
    pub fn touch(&mut self, slot: u32) {
        let account = &mut self.accounts[slot as usize];
        if account.touched == Touched::No {
            account.touched = Touched::Listed;
            self.touched.push_back(slot);
        }
    }

    /// An account whose deadline is still open is shown as it was before it.
    fn snapshot_of(&mut self, slot: u32) -> Snapshot {
        self.look_at(slot, self.account_time(slot));
        // What moved in between has had its deadline already.
        self.read_all(slot);
        let card = &self.set_of(slot).card;
        let account = &self.accounts[slot as usize];
        let value_of = |measure: usize| account.measures[measure].value();
        let profile = account.aggregate.profile();
        Snapshot {
            card: Arc::clone(card),
            account_id: account.id.clone(),
            as_of: self.clocks.now,
            measures: account.measures.clone(),
            gate_holds: card.gates.iter().map(|g| g.when.holds(&value_of, profile)).collect(),
            in_grace: self.clocks.now < account.grace_ends(card),
            band: account.band,
            alerts: account
                .alerts
                .as_ref()
                .map_or_else(Vec::new, |alerts| alerts.standing(card).collect()),
            degraded: self.clocks.frozen(),
            overridden: account.overriding.as_ref().and_then(|said| said.running.clone()),
        }
    }
}

/// Whose doing a change of band is, and the override that begins or ends with it.
struct BandCause(Cause, Option<Arc<Override>>);

/// Nothing read yet.
fn no_measures(card: &Scorecard) -> Box<[MeasureScore]> {
    card.measures().map(|measure| MeasureScore::new(measure, None, Absence::NoData)).collect()
}

impl Account {
    /// The latest event, if nothing is open and nobody has said what the band is.
    fn rests_since(&self) -> Option<EventTime> {
        let is_held = self.id.is_empty()
            || self.overriding.as_ref().is_some_and(|said| said.running.is_some());
        self.aggregate.rests_since().filter(|since| !is_held && *since > EventTime::MIN)
    }

    /// The rules that fire for it, each a bit of a set.
    fn firing_set(&self) -> u64 {
        self.alerts.as_ref().map_or(0, |alerts| alerts.firing_set())
    }

    /// At or before the next moment at which band or alerts change by time alone.
    fn verdict_deadline(&self, card: &Scorecard) -> EventTime {
        let alerts = self.alerts.as_ref().map_or(EventTime::MAX, |alerts| alerts.deadline());
        let overriding = self.overriding.as_ref().map_or(EventTime::MAX, |said| said.deadline());
        self.band.deadline(card).min(alerts).min(overriding)
    }

    /// Has the band follow the score, or what somebody said of it; returns the change and whose
    /// doing it is. With `always` it is left whatever comes.
    fn step_band(
        &mut self,
        card: &Scorecard,
        score: Option<f64>,
        now: EventTime,
        cause: Cause,
        always: bool,
    ) -> (Option<BandStep>, BandCause) {
        let claimed = |said: &Arc<Override>| {
            said.claim.as_ref().and_then(|claim| card.claimed_band(&claim.band))
        };
        if let Some(overriding) = &mut self.overriding {
            // Other rules may not know the band.
            let wanted = overriding.wanted(now).filter(|said| claimed(said).is_some()).cloned();
            let running = std::mem::replace(&mut overriding.running, wanted.clone());
            match (running, wanted) {
                (running, Some(said)) => {
                    let goes_on = running.is_some_and(|running| running == said);
                    if goes_on && !always {
                        return (None, BandCause(cause, None));
                    }
                    let to = claimed(&said);
                    let cause = if goes_on { cause } else { Cause::Override };
                    return (Some(self.band.impose(to, score, now)), BandCause(cause, Some(said)));
                }
                (Some(ended), None) => {
                    let to = score.map(|score| card.band_of(score));
                    let step = self.band.impose(to, score, now);
                    return (Some(step), BandCause(Cause::OverrideEnded, Some(ended)));
                }
                (None, None) => {}
            }
        }
        let step = match cause {
            // Where the rules moved, the account has nothing to prove.
            Cause::Rules => self.band.settle(card, score, always, now),
            Cause::Score | Cause::Override | Cause::OverrideEnded | Cause::Forgotten => {
                self.band.step(card, score, now)
            }
        };
        (step, BandCause(cause, None))
    }

    /// The end of the account's grace; the earliest time of all where the card grants none.
    fn grace_ends(&self, card: &Scorecard) -> EventTime {
        if card.grace == Span::ZERO {
            return EventTime::MIN;
        }
        self.aggregate.started_at() + card.grace
    }
}
