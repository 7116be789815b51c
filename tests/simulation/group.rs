//! The group's coordinator: generations, members, static instances, and the `range` assignor.
//!
//! By the classic protocol everybody gives everything back and joins anew whenever the membership
//! changes. By the new one (`group.protocol=consumer`) only what moves is taken away and given, and
//! nobody waits for anybody else; it is left without static members.

use std::collections::BTreeMap;

/// A member, by the number it got when it joined.
pub type MemberId = u64;

#[derive(Default)]
pub struct Group {
    generation: i32,
    /// How many there are to share out.
    partitions: i32,
    members: BTreeMap<MemberId, Member>,
    /// While members join: until when those who have not yet are waited for.
    joining_until: Option<i64>,
    joined_ever: MemberId,
    /// The new protocol.
    incremental: bool,
    /// Turns with every rebalance that nobody's coming or going has brought about, so that there is
    /// something to move.
    reversed: bool,
    /// How often the membership changed while everybody was joining anew already.
    pub overlaps: u64,
}

struct Member {
    /// The stable name of a static member.
    instance: Option<String>,
    heard: i64,
    /// Whether it has joined the generation to come.
    joined: bool,
    /// What it is to have.
    partitions: Vec<i32>,
    /// By the new protocol: what it has, or is being given.
    owned: Vec<i32>,
    /// By the new protocol: the generation up to which it has given back what it had to.
    epoch: i32,
}

/// What the coordinator answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// All is as it was.
    Steady,
    /// Give everything back and join anew.
    Rebalance,
    /// Wait for the others.
    Wait,
    /// These partition numbers, in this generation.
    Assigned(i32, Vec<i32>),
    /// By the new protocol: give these back.
    Take(Vec<i32>),
    /// By the new protocol: have these too. And the member's epoch.
    Give(i32, Vec<i32>),
    /// Nobody of that number is a member.
    Unknown,
    /// Another process has joined under the same instance name.
    InstanceFenced,
}

impl Group {
    /// A group that nobody has joined, with so many partition numbers to share out.
    pub fn new(partitions: i32, incremental: bool) -> Group {
        Group { partitions, incremental, ..Group::default() }
    }

    /// A newcomer. A static one takes the place of whoever had its name, without a rebalance where
    /// there is none already.
    pub fn join(&mut self, instance: Option<&str>, now: i64, timeout: i64) -> MemberId {
        self.joined_ever += 1;
        let id = self.joined_ever;
        let same = |member: &&Member| instance.is_some() && member.instance.as_deref() == instance;
        let former = self.members.iter().find(|(_, m)| same(m)).map(|(former, _)| *former);
        let mut member = Member {
            instance: instance.map(str::to_owned),
            heard: now,
            joined: true,
            partitions: Vec::new(),
            owned: Vec::new(),
            epoch: 0,
        };
        if self.incremental {
            self.members.insert(id, member);
            self.rebalance(now, timeout);
            return id;
        }
        match former.and_then(|former| self.members.remove(&former)) {
            Some(former) if self.joining_until.is_none() => member.partitions = former.partitions,
            Some(_) => self.overlaps += 1,
            None => self.rebalance(now, timeout),
        }
        self.members.insert(id, member);
        id
    }

    /// Has everybody join anew.
    pub fn rebalance(&mut self, now: i64, timeout: i64) {
        if self.incremental {
            let moving = |member: &Member| member.owned != member.partitions;
            self.overlaps += u64::from(self.members.values().any(moving));
            self.share_out();
            return;
        }
        if self.joining_until.is_none() {
            self.joining_until = Some(now + timeout);
            self.members.values_mut().for_each(|member| member.joined = false);
        } else {
            self.overlaps += 1;
        }
    }

    /// The same with nobody coming or going, so that others get what some have.
    pub fn shuffle(&mut self, now: i64, timeout: i64) {
        self.reversed = !self.reversed;
        self.rebalance(now, timeout);
    }

    /// By the new protocol: a sign of life of a member that holds `owned`.
    pub fn hear_of(&mut self, id: MemberId, owned: &[i32], now: i64) -> Answer {
        let Some(member) = self.members.get_mut(&id) else { return Answer::Unknown };
        member.heard = now;
        member.owned = owned.to_vec();
        let lacks = |list: &[i32], number: &i32| !list.contains(number);
        let take: Vec<i32> =
            owned.iter().filter(|number| lacks(&member.partitions, number)).copied().collect();
        if !take.is_empty() {
            return Answer::Take(take);
        }
        member.epoch = self.generation;
        let wanted = member.partitions.clone();
        let others = |number: &i32| {
            self.members.iter().any(|(other, m)| *other != id && m.owned.contains(number))
        };
        let free = |number: &i32| lacks(owned, number) && !others(number);
        let give: Vec<i32> = wanted.into_iter().filter(free).collect();
        let member = self.members.get_mut(&id).expect("it was there before");
        member.owned.extend(&give);
        member.owned.sort_unstable();
        Answer::Give(member.epoch, give)
    }

    /// A member that has given everything back.
    pub fn rejoin(&mut self, id: MemberId, now: i64) -> Answer {
        let Some(member) = self.members.get_mut(&id) else { return Answer::Unknown };
        (member.heard, member.joined) = (now, true);
        Answer::Wait
    }

    /// A sign of life of a member whose instance name is `instance`, and which waits for the
    /// generation to come if `waits`.
    pub fn hear(&mut self, id: MemberId, instance: Option<&str>, waits: bool, now: i64) -> Answer {
        let joining = self.joining_until.is_some();
        let Some(member) = self.members.get_mut(&id) else {
            let same = |m: &Member| instance.is_some() && m.instance.as_deref() == instance;
            let taken = self.members.values().any(same);
            return if taken { Answer::InstanceFenced } else { Answer::Unknown };
        };
        member.heard = now;
        match (waits, joining) {
            (true, false) => Answer::Assigned(self.generation, member.partitions.clone()),
            (true, true) if member.joined => Answer::Wait,
            (_, true) => Answer::Rebalance,
            (false, false) => Answer::Steady,
        }
    }

    /// A member that says goodbye.
    pub fn leave(&mut self, id: MemberId, now: i64, timeout: i64) {
        if self.members.remove(&id).is_some() {
            self.rebalance(now, timeout);
        }
    }

    /// Whether offsets of this member and generation may be committed.
    pub fn is_current(&self, id: MemberId, generation: i32) -> bool {
        let epoch = |member: &Member| if self.incremental { member.epoch } else { self.generation };
        self.members.get(&id).is_some_and(|member| epoch(member) == generation)
    }

    /// The coordinator was away: nobody could be heard.
    pub fn forgive(&mut self, now: i64) {
        self.members.values_mut().for_each(|member| member.heard = now);
    }

    /// Lets time pass: gives up members that were not heard of for `session`, and begins the next
    /// generation when everybody has joined. Returns how many were given up.
    pub fn pass(&mut self, now: i64, session: i64, timeout: i64) -> usize {
        let before = self.members.len();
        self.members.retain(|_, member| member.heard + session > now);
        let mut gone = before - self.members.len();
        if gone > 0 {
            self.rebalance(now, timeout);
        }
        let Some(until) = self.joining_until else { return gone };
        if until <= now {
            let before = self.members.len();
            self.members.retain(|_, member| member.joined);
            gone += before - self.members.len();
        }
        if self.members.values().all(|member| member.joined) {
            self.joining_until = None;
            self.share_out();
        }
        gone
    }

    /// `range`: the same numbers of every topic to the same member.
    fn share_out(&mut self) {
        self.generation += 1;
        let partitions = self.partitions;
        let mut order: Vec<(Option<String>, MemberId)> =
            self.members.iter().map(|(id, member)| (member.instance.clone(), *id)).collect();
        order.sort();
        if self.reversed {
            order.reverse();
        }
        let count = order.len() as i32;
        let mut next = 0;
        for (place, (_, id)) in (0..).zip(order) {
            let share = partitions / count + i32::from(place < partitions % count);
            let member = self.members.get_mut(&id).expect("just listed");
            member.partitions = (next..next + share).collect();
            next += share;
        }
    }
}
