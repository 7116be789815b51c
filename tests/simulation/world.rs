//! Everything that runs, in virtual time and on one thread: processes with their workers, the brokers,
//! the producers upstream, and what goes wrong.
//!
//! [`World::run_until`] is the whole scheduler. It is entered anew by calls that take time, so that
//! the others go on while one of them waits. All choices come from one generator: a seed is a run.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use barometer::broker::{Input, OutputTopic};
use barometer::checkpoint::{IN_PARTS, Marker};
use barometer::clock::Clock;
use barometer::engine::event::Source;
use barometer::engine::rules::Rules;
use barometer::engine::time::EventTime;
use barometer::in_force::InForce;
use barometer::partitioner::Partitioner;
use barometer::routing::Routing;
use barometer::task::TaskSettings;
use barometer::telemetry::metrics::Metrics;
use barometer::view::{Condition, View};
use barometer::worker::{Pace, Parking, Shared, Worker};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::cluster::{Cluster, Handed, Log, Place, Refused, Tx};
use super::group::Group;
use super::history::Batch;
use super::member::{Client, Member, Mistake, marker_of};
use super::seed::DELETED;
use super::weather::{Counts, Step, Weather};

/// How often the world looks around.
const LOOK_MS: i64 = 100;
/// A process that is well again has heard by then what became of its partitions.
const HEARD_WITHIN_MS: i64 = 2_000;
/// Lines of a trace that are kept.
const TRACE_LINES: usize = 4_000;

/// What a seed has decided beforehand.
pub struct Plan {
    pub partitions: i32,
    pub settings: Arc<TaskSettings>,
    pub rules: Arc<Rules>,
    pub pace: Pace,
    pub static_members: bool,
    /// The group's new protocol.
    pub incremental: bool,
    pub workers: usize,
    pub processes: usize,
    pub session_timeout: i64,
    pub rebalance_timeout: i64,
    pub transaction_timeout: i64,
    /// Longest time from a decision to its markers.
    pub markers_after: i64,
    pub weather: Weather,
    pub mistake: Option<Mistake>,
    /// Inputs are deleted that are still needed.
    pub forgets_inputs: bool,
}

pub struct World {
    pub plan: Plan,
    pub cluster: RefCell<Cluster>,
    pub group: RefCell<Group>,
    pub processes: RefCell<Vec<Rc<Process>>>,
    /// The brokers answer nobody until then.
    pub away_until: Cell<i64>,
    /// Nothing goes wrong any more.
    pub calm: Cell<bool>,
    pub counts: RefCell<Counts>,
    pub trace: RefCell<VecDeque<String>>,
    pub traces: bool,
    /// Why processes ended that nobody stopped.
    pub failures: RefCell<Vec<String>>,
    millis: Arc<AtomicI64>,
    dice: RefCell<ChaCha8Rng>,
    upstream: RefCell<Vec<Upstream>>,
    /// Requests to commit that are on their way though nobody waits for the answer any more.
    late: RefCell<Vec<(i64, String, i32)>>,
    /// Processes to be started: when, and under which name.
    starts: RefCell<Vec<(i64, String)>>,
    next_look: Cell<i64>,
    started: Cell<usize>,
    crashes: Cell<usize>,
    metrics: Arc<Metrics>,
}

/// The producers of one partition number of all inputs.
struct Upstream {
    partition: i32,
    batches: VecDeque<Batch>,
    /// More than the most batches that come at once.
    pace: i64,
    next_at: i64,
    /// When it ends, and how.
    open: Option<(i64, Tx, bool)>,
}

/// One process of the product.
pub struct Process {
    pub name: String,
    pub alive: Cell<bool>,
    pub shared: Shared,
    number: usize,
    /// It does nothing until then, its threads included.
    pub paused_until: Cell<i64>,
    /// It can reach nobody until then.
    cut_until: Cell<i64>,
    is_static: bool,
    seats: RefCell<Vec<Rc<Seat>>>,
}

/// A worker and when it has its next turn.
struct Seat {
    client: Rc<Client>,
    /// Taken out while it has its turn.
    worker: RefCell<Option<Worker<Member>>>,
    wake: Cell<i64>,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.name, self.number)
    }
}

impl Process {
    /// The instance name of one of its members.
    pub fn instance(&self, worker: usize) -> Option<String> {
        self.is_static.then(|| format!("{}-{worker}", self.name))
    }

    pub fn unreachable_until(&self) -> i64 {
        self.cut_until.get()
    }

    /// What the client library's threads do now and then.
    pub fn beat(&self, world: &World, client: &Client) {
        let now = world.now();
        let away = world.away_until.get() > now;
        if self.paused_until.get() <= now && !away {
            let reachable = self.cut_until.get() <= now;
            client.beat(world, self.instance(client.number).as_deref(), reachable);
        }
    }

    fn die(&self) {
        self.alive.set(false);
        // A worker that has its turn at this moment drops out of it by itself.
        for seat in self.seats.borrow().iter() {
            seat.worker.borrow_mut().take();
        }
    }
}

/// What happens to a process at a step of a call.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    Crash,
    Pause(i64),
    Delay(i64),
}

impl Fate {
    pub fn meet(self, world: &Rc<World>, process: &Rc<Process>, name: &str, step: Step) {
        match self {
            Fate::Crash => {
                world.count(format!("crash at {step:?}"));
                world.note(|| format!("{name}: crashes at {step:?}"));
                world.crash(process);
            }
            Fate::Pause(millis) => {
                world.count(format!("pause at {step:?}"));
                world.note(|| format!("{name}: stands still for {millis} ms at {step:?}"));
                world.pause(process, millis);
                world.run_until(world.now() + millis);
            }
            Fate::Delay(millis) => world.run_until(world.now() + millis),
        }
    }
}

impl World {
    pub fn new(plan: Plan, dice: ChaCha8Rng, batches: Vec<Vec<Batch>>, traces: bool) -> Rc<World> {
        const START: i64 = 1_800_000_000_000;
        thread_local! {
            // Nobody reads them, and a registry of many metrics takes its time.
            static METRICS: Arc<Metrics> = Arc::new(Metrics::new());
        }
        let upstream = |(partition, batches): (i32, Vec<Batch>)| Upstream {
            partition,
            pace: 4 + batches.len() as i64 / 12,
            batches: batches.into(),
            next_at: START,
            open: None,
        };
        let world = World {
            cluster: RefCell::default(),
            group: RefCell::new(Group::new(plan.partitions, plan.incremental)),
            processes: RefCell::default(),
            away_until: Cell::new(0),
            calm: Cell::new(false),
            counts: RefCell::default(),
            trace: RefCell::default(),
            traces,
            failures: RefCell::default(),
            millis: Arc::new(AtomicI64::new(START)),
            dice: RefCell::new(dice),
            upstream: RefCell::new((0..).zip(batches).map(upstream).collect()),
            late: RefCell::default(),
            starts: RefCell::default(),
            next_look: Cell::new(START),
            started: Cell::new(0),
            crashes: Cell::new(0),
            metrics: METRICS.with(Arc::clone),
            plan,
        };
        Rc::new(world)
    }

    // --- time and chance

    pub fn now(&self) -> i64 {
        self.millis.load(Ordering::Relaxed)
    }

    pub fn roll(&self, range: Range<i64>) -> i64 {
        self.dice.borrow_mut().random_range(range)
    }

    /// Whether something happens that this seed's weather has so many times in a million.
    pub fn rolls(&self, rate: impl Fn(&Weather) -> u32) -> bool {
        let rate = rate(&self.plan.weather);
        !self.calm.get() && rate > 0 && self.dice.borrow_mut().random_range(0..1_000_000) < rate
    }

    pub fn count(&self, what: impl Into<String>) {
        self.counts.borrow_mut().add(what);
    }

    pub fn note(&self, line: impl FnOnce() -> String) {
        if self.traces {
            let mut trace = self.trace.borrow_mut();
            if trace.len() == TRACE_LINES {
                trace.pop_front();
            }
            trace.push_back(format!("{:>8} ms  {}", self.now() % 100_000_000, line()));
        }
    }

    /// Lets everything happen that happens until then. Whoever calls it from within a call of its
    /// broker waits, and the others do not.
    pub fn run_until(self: &Rc<World>, until: i64) {
        loop {
            let look = self.next_look.get();
            let seat = self.next_seat();
            let wake = seat.as_ref().map_or(i64::MAX, |seat| seat.wake.get());
            let next = look.min(wake);
            if next > until {
                break;
            }
            self.millis.fetch_max(next, Ordering::Relaxed);
            match seat {
                Some(seat) if wake < look => self.turn(&seat),
                _ => {
                    self.next_look.set(self.now() + LOOK_MS);
                    self.look_around();
                }
            }
        }
        self.millis.fetch_max(until, Ordering::Relaxed);
    }

    fn next_seat(&self) -> Option<Rc<Seat>> {
        let now = self.now();
        let mut next: Option<Rc<Seat>> = None;
        for process in self.processes.borrow().iter() {
            if !process.alive.get() || process.paused_until.get() > now {
                continue;
            }
            for seat in process.seats.borrow().iter() {
                let idle = seat.worker.try_borrow().is_ok_and(|worker| worker.is_some());
                if idle && next.as_ref().is_none_or(|next| seat.wake.get() < next.wake.get()) {
                    next = Some(Rc::clone(seat));
                }
            }
        }
        next
    }

    fn turn(self: &Rc<World>, seat: &Rc<Seat>) {
        let Some(process) = seat.client.process.upgrade() else { return };
        let Some(mut worker) = seat.worker.borrow_mut().take() else { return };
        let outcome = worker.turn();
        if !process.alive.get() {
            return;
        }
        match outcome {
            Ok(()) => {
                *seat.worker.borrow_mut() = Some(worker);
                // As long as the worker's poll would have waited.
                let nap = if seat.client.news.get() { self.roll(1..4) } else { self.roll(5..60) };
                seat.wake.set(self.now() + nap);
            }
            Err(error) => {
                self.note(|| format!("{process}: ends: {error}"));
                self.failures.borrow_mut().push(error.to_string());
                worker.stop(false);
                process.die();
                // Three of one name may end all three of them; then a supervisor starts one again.
                let none_left = self.running().is_empty() && self.starts.borrow().is_empty();
                if self.calm.get() && none_left {
                    self.start_again(&process);
                }
            }
        }
    }

    // --- processes

    pub fn start(self: &Rc<World>, name: &str) {
        self.start_counting(name, &self.metrics);
    }

    /// Starts a process that counts into metrics of its own.
    pub fn start_counting(self: &Rc<World>, name: &str, metrics: &Arc<Metrics>) {
        let plan = &self.plan;
        let number = self.started.get();
        self.started.set(number + 1);
        let settings =
            Arc::new(TaskSettings { owner: name.to_owned(), ..(*plan.settings).clone() });
        let topics = settings.topics.clone();
        let shared = Shared {
            settings,
            rules: Arc::new(InForce::new((*plan.rules).clone())),
            routing: Arc::new(Routing::new(plan.partitions, Some(Partitioner::Murmur2), topics)),
            view: Arc::new(View::new(plan.workers)),
            metrics: Arc::clone(metrics),
            clock: Clock::by_hand(Arc::clone(&self.millis)),
            stop: Arc::new(AtomicBool::new(false)),
            stop_timeout: Duration::from_secs(20),
            publish_from: Some(EventTime::MIN),
            pace: plan.pace,
        };
        let process = Rc::new(Process {
            name: name.to_owned(),
            alive: Cell::new(true),
            shared,
            number,
            paused_until: Cell::new(0),
            cut_until: Cell::new(0),
            is_static: plan.static_members,
            seats: RefCell::default(),
        });
        self.note(|| format!("{process}: starts"));
        let parking: Parking<Handed> = Parking::default();
        for worker in 0..plan.workers {
            let client = Rc::new(Client::new(worker, Rc::downgrade(&process), self.now()));
            let member = Member { world: Rc::clone(self), client: Rc::clone(&client) };
            let made = Worker::new(worker, member, process.shared.clone(), parking.clone());
            let wake = Cell::new(self.now() + self.roll(0..50));
            let seat = Seat { client, worker: RefCell::new(Some(made)), wake };
            process.seats.borrow_mut().push(Rc::new(seat));
        }
        let mut processes = self.processes.borrow_mut();
        processes.retain(|process| process.alive.get());
        processes.push(process);
    }

    pub fn crash(&self, process: &Rc<Process>) {
        process.die();
        self.crashes.set(self.crashes.get() + 1);
        self.start_again(process);
    }

    /// Comes back soon or late, mostly under the name it had.
    fn start_again(&self, process: &Process) {
        let at = self.now()
            + if self.roll(0..3) == 0 { self.roll(10..300) } else { self.roll(300..9_000) };
        let name = match self.roll(0..4) {
            0 => self.new_name(),
            _ => process.name.clone(),
        };
        self.starts.borrow_mut().push((at, name));
    }

    fn new_name(&self) -> String {
        format!("new{}", self.roll(0..1_000))
    }

    pub fn pause(&self, process: &Process, millis: i64) {
        process.paused_until.set(process.paused_until.get().max(self.now() + millis));
        // Somebody may start another one in its place.
        if self.roll(0..4) == 0 {
            let at = self.now() + self.roll(100..1_000 + millis);
            self.starts.borrow_mut().push((at, process.name.clone()));
            self.count("double started");
        }
    }

    fn stop(self: &Rc<World>, process: &Rc<Process>) {
        self.note(|| format!("{process}: is stopped"));
        self.count("stopped");
        process.shared.stop.store(true, Ordering::Relaxed);
        let seats = process.seats.borrow().clone();
        for seat in seats {
            let worker = seat.worker.borrow_mut().take();
            if let Some(worker) = worker {
                worker.stop(true);
            }
        }
        if process.alive.get() {
            process.die();
            self.start_again(process);
        }
    }

    fn running(&self) -> Vec<Rc<Process>> {
        self.processes.borrow().iter().filter(|process| process.alive.get()).cloned().collect()
    }

    /// All processes are stopped, and none comes back.
    pub fn stop_all(self: &Rc<World>) {
        self.running().iter().for_each(|process| self.stop(process));
        self.crash_all();
    }

    /// The latest record of each account in the changelog, where it is not in parts.
    pub fn state(&self) -> BTreeMap<String, Vec<u8>> {
        let cluster = self.cluster.borrow();
        let mut state = BTreeMap::new();
        for record in cluster.outputs(OutputTopic::Changelog).flat_map(Log::committed) {
            let key = record.key.as_deref().unwrap_or_default();
            let Ok(account) = std::str::from_utf8(key) else { continue };
            let value = record.value.as_deref().unwrap_or_default();
            match value.first() {
                Some(&IN_PARTS) => state.remove(account),
                _ => state.insert(account.to_owned(), value.to_vec()),
            };
        }
        state
    }

    /// All processes die at once, and none comes back.
    pub fn crash_all(&self) {
        self.running().iter().for_each(|process| process.die());
        self.processes.borrow_mut().clear();
        self.starts.borrow_mut().clear();
    }

    /// Whether every process there is says that it is ready, and everything has an owner.
    pub fn is_ready(&self) -> bool {
        let running = self.running();
        let held = |process: &Rc<Process>| -> usize {
            process.seats.borrow().iter().map(|seat| seat.client.held()).sum()
        };
        let held: usize = running.iter().map(held).sum();
        if held != self.plan.partitions as usize * Source::ALL.len() {
            return false;
        }
        let ready = |process: &Rc<Process>| {
            process.shared.view.conditions().iter().all(|condition| *condition == Condition::Ready)
        };
        running.iter().all(ready)
    }

    // --- what happens at each step of a call

    pub fn fate_at(&self, step: Step) -> Option<Fate> {
        const CRASHES_MAX: usize = 12;
        // The steps of a commit are where it hurts most, and polls are many.
        let share = if Step::OF_A_COMMIT.contains(&step) { 1 } else { 8 };
        let share = if step == Step::Poll { 100 } else { share };
        if self.crashes.get() < CRASHES_MAX && self.rolls(|weather| weather.crash / share) {
            Some(Fate::Crash)
        } else if self.rolls(|weather| weather.pause / share) {
            Some(Fate::Pause(self.roll(100..16_000)))
        } else if self.rolls(|weather| weather.delay / share) {
            let long = self.roll(0..20) == 0;
            Some(Fate::Delay(if long { self.roll(500..6_000) } else { self.roll(1..60) }))
        } else {
            None
        }
    }

    // --- what clients ask of the coordinators

    fn marker_delay(&self) -> impl FnMut() -> i64 + '_ {
        let most = self.plan.markers_after.max(1);
        move || if self.roll(0..3) == 0 { self.roll(0..most) } else { 0 }
    }

    pub fn init(&self, id: &str) -> Result<i32, Refused> {
        let now = self.now();
        self.cluster.borrow_mut().pass(now, self.plan.transaction_timeout, self.marker_delay());
        self.cluster.borrow_mut().init(id, now, self.marker_delay())
    }

    pub fn end(&self, id: &str, epoch: i32, committed: bool) -> Result<(), Refused> {
        let mut cluster = self.cluster.borrow_mut();
        cluster.end(id, epoch, committed, self.now(), self.marker_delay())?;
        // What is due at once is done before anybody looks.
        cluster.pass(self.now(), self.plan.transaction_timeout, self.marker_delay());
        Ok(())
    }

    pub fn end_late(&self, id: &str, epoch: i32, after: i64) {
        self.late.borrow_mut().push((self.now() + after, id.to_owned(), epoch));
    }

    /// The latest marker of a partition number's changelog.
    pub fn marker(&self, partition: i32) -> Option<Marker> {
        let mut cluster = self.cluster.borrow_mut();
        let log = cluster.log(Place::Output(OutputTopic::Changelog, partition));
        log.committed().filter_map(|record| marker_of(record)).last()
    }

    // --- ten times a second

    fn look_around(self: &Rc<World>) {
        let now = self.now();
        self.feed(now);
        let late: Vec<_> = self.late.borrow_mut().extract_if(.., |(at, ..)| *at <= now).collect();
        for (_, id, epoch) in late {
            let came = self.end(&id, epoch, true).is_ok();
            self.count(if came { "late commit took effect" } else { "late commit refused" });
            self.note(|| {
                format!("the late commit of {id} {}", if came { "counts" } else { "is refused" })
            });
        }
        let timed_out =
            self.cluster.borrow_mut().pass(now, self.plan.transaction_timeout, self.marker_delay());
        for id in timed_out {
            self.count("transaction timed out");
            self.note(|| format!("the transaction of {id} times out"));
        }
        if self.away_until.get() <= now {
            for process in self.running() {
                for seat in process.seats.borrow().iter() {
                    process.beat(self, &seat.client);
                }
            }
            let (session, rebalance) = (self.plan.session_timeout, self.plan.rebalance_timeout);
            let gone = self.group.borrow_mut().pass(now, session, rebalance);
            for _ in 0..gone {
                self.count("session timed out");
            }
        }
        let due: Vec<_> = self.starts.borrow_mut().extract_if(.., |(at, _)| *at <= now).collect();
        for (_, name) in due {
            self.start(&name);
        }
        if !self.calm.get() {
            self.make_trouble(now);
        }
    }

    fn make_trouble(self: &Rc<World>, now: i64) {
        let running = self.running();
        let one = || {
            let count = running.len() as i64;
            (count > 0).then(|| Rc::clone(&running[self.roll(0..count) as usize]))
        };
        if self.rolls(|weather| weather.kill)
            && let Some(process) = one()
        {
            self.count("killed");
            self.note(|| format!("{process}: is killed"));
            self.crash(&process);
        }
        if self.rolls(|weather| weather.stop)
            && let Some(process) = one()
        {
            self.stop(&process);
        }
        if self.rolls(|weather| weather.freeze)
            && let Some(process) = one()
        {
            let millis = self.roll(200..16_000);
            self.count("frozen");
            self.note(|| format!("{process}: stands still for {millis} ms"));
            self.pause(&process, millis);
        }
        if self.rolls(|weather| weather.cut_off)
            && let Some(process) = one()
        {
            let millis = self.roll(200..10_000);
            self.count("cut off");
            self.note(|| format!("{process}: is cut off for {millis} ms"));
            process.cut_until.set(now + millis);
        }
        if self.rolls(|weather| weather.brokers_away) && self.away_until.get() <= now {
            let millis = self.roll(200..6_000);
            self.count("brokers away");
            self.note(|| format!("the brokers are away for {millis} ms"));
            self.away_until.set(now + millis);
            self.group.borrow_mut().forgive(now + millis);
        }
        if self.rolls(|weather| weather.rebalance) {
            self.count("rebalance for no reason");
            self.group.borrow_mut().shuffle(now, self.plan.rebalance_timeout);
        }
        if self.rolls(|weather| weather.newcomer) && running.len() < 3 {
            let name = self.new_name();
            self.start(&name);
        }
        if self.rolls(|weather| weather.compaction) {
            self.compact();
        }
        if self.rolls(|weather| weather.retention) {
            self.delete_old_inputs();
        }
    }

    fn compact(&self) {
        let partition = self.roll(0..i64::from(self.plan.partitions)) as i32;
        let mut cluster = self.cluster.borrow_mut();
        let log = cluster.log(Place::Output(OutputTopic::Changelog, partition));
        let horizon = self.roll(0..log.next + 1);
        if log.compact(horizon) > 0 {
            self.count("changelog compacted");
        }
        // Profiles are compacted too, as far as they have been taken.
        let profiles = Input { source: Source::Profile, partition };
        let taken = cluster.committed(profiles).map_or(0, |committed| committed.offset);
        if taken > 0 && cluster.input(profiles).compact(self.roll(0..taken + 1)) > 0 {
            self.count("profiles compacted");
        }
    }

    /// Deletes inputs: what is not needed any more, or, where that is this seed's trouble, what is.
    fn delete_old_inputs(&self) {
        let partition = self.roll(0..i64::from(self.plan.partitions)) as i32;
        let Some(marker) = self.marker(partition) else { return };
        // Inputs are kept for days, and whoever was held up hears of it within seconds: nobody is to
        // find them gone from where it stood before.
        let up_to_date = |process: &Rc<Process>| {
            let held_up = process.paused_until.get().max(process.cut_until.get());
            let idle = |seat: &Rc<Seat>| seat.worker.try_borrow().is_ok_and(|w| w.is_some());
            held_up + HEARD_WITHIN_MS <= self.now() && process.seats.borrow().iter().all(idle)
        };
        if !self.plan.forgets_inputs && !self.running().iter().all(up_to_date) {
            return;
        }
        for source in Source::ALL {
            let input = Input { source, partition };
            let mut cluster = self.cluster.borrow_mut();
            let taken = cluster.committed(input).map_or(0, |committed| committed.offset);
            let needed = marker.positions[source as usize].min(taken);
            let from = match self.plan.forgets_inputs {
                true => cluster.input(input).stable(),
                false => needed,
            };
            if cluster.input(input).retain_from(from) {
                self.count(if from > needed { DELETED } else { "inputs deleted" });
                drop(cluster);
                self.note(|| format!("{input:?} begins at {from} now"));
            }
        }
    }

    // --- upstream

    fn feed(&self, now: i64) {
        for upstream in self.upstream.borrow_mut().iter_mut() {
            let partition = upstream.partition;
            let inputs = Source::ALL.map(|source| Input { source, partition });
            let mut cluster = self.cluster.borrow_mut();
            if let Some((_, tx, committed)) = upstream.open.take_if(|(ends, ..)| *ends <= now) {
                cluster.end_upstream(tx, &inputs, committed);
            }
            if upstream.next_at > now {
                continue;
            }
            let waits =
                if self.roll(0..4) == 0 { self.roll(500..2_500) } else { self.roll(0..400) };
            upstream.next_at = now + waits;
            // All of it comes in some ten seconds, however much there is.
            for _ in 0..self.roll(1..upstream.pace) {
                let Some(batch) = upstream.batches.pop_front() else { break };
                let tx = match (&batch.transaction, &upstream.open) {
                    (Some(committed), None) => {
                        let tx = cluster.begin_upstream();
                        let ends = now + self.roll(50..3_000);
                        upstream.open = Some((ends, tx, *committed));
                        self.count(if *committed {
                            "upstream committed"
                        } else {
                            "upstream aborted"
                        });
                        Some(tx)
                    }
                    // What would be aborted is left out where it cannot be.
                    (Some(false), Some(_)) => continue,
                    _ => None,
                };
                for (source, record) in batch.records {
                    cluster.append_input(Input { source, partition }, tx, record);
                }
            }
        }
    }

    /// Whether everything has come that was to come.
    pub fn is_fed(&self) -> bool {
        self.upstream.borrow().iter().all(|up| up.batches.is_empty() && up.open.is_none())
    }

    /// Whether everything that came is committed.
    pub fn is_done(&self) -> bool {
        let mut cluster = self.cluster.borrow_mut();
        let numbers = 0..self.plan.partitions;
        cluster.is_settled()
            && numbers.flat_map(|p| Source::ALL.map(|source| Input { source, partition: p })).all(
                |input| {
                    let end = cluster.input(input).next;
                    cluster.committed(input).map_or(0, |committed| committed.offset) >= end
                },
            )
    }

    /// From now on all is well: whoever was away is back.
    pub fn calm_down(self: &Rc<World>) {
        self.calm.set(true);
        self.note(|| "from now on all is well".to_owned());
        self.away_until.set(self.now());
        for process in self.running() {
            process.paused_until.set(0);
            process.cut_until.set(0);
        }
        if self.running().is_empty() && self.starts.borrow().is_empty() {
            self.start("last");
        }
    }

    /// What a reader of one of its processes sees of an account.
    pub fn shown(&self, account: &str) -> Option<barometer::engine::report::Snapshot> {
        self.running().iter().find_map(|process| process.shared.view.snapshot(account))
    }

    /// Where everything stands, for people.
    pub fn standing(&self) -> String {
        let mut lines = Vec::new();
        for process in self.running() {
            lines.push(format!("{process}: {:?}", process.shared.view.conditions()));
        }
        let held: Vec<usize> = self
            .running()
            .iter()
            .flat_map(|process| process.seats.borrow().clone())
            .map(|seat| seat.client.held())
            .collect();
        lines.push(format!("all fed: {}, inputs held: {held:?}", self.is_fed()));
        let mut cluster = self.cluster.borrow_mut();
        lines.push(format!("transactions settled: {}", cluster.is_settled()));
        for partition in 0..self.plan.partitions {
            for source in Source::ALL {
                let input = Input { source, partition };
                let taken = cluster.committed(input).map(|committed| committed.offset);
                let log = cluster.input(input);
                let (stable, next) = (log.stable(), log.next);
                if taken != Some(next) {
                    lines.push(format!("{input:?}: {taken:?} of {stable}, {next}"));
                }
            }
        }
        lines.join("\n")
    }
}
