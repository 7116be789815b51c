//! Which scorecard judges which account.

use std::sync::Arc;

use super::aggregate::StoreKeys;
use super::event::Profile;
use super::scorecard::{Condition, Plan, Scorecard};

/// A scorecard and what it needs kept.
#[derive(Clone, Debug)]
pub struct RuleSet {
    /// The card.
    pub card: Arc<Scorecard>,
    /// Its needs, compiled.
    pub plan: Plan,
    /// Of the plan's stores, as checkpoints name them.
    pub store_keys: StoreKeys,
}

impl RuleSet {
    /// What a card needs, worked out.
    pub fn new(card: Arc<Scorecard>) -> RuleSet {
        let plan = Plan::new(&card);
        RuleSet { store_keys: StoreKeys::new(&plan), plan, card }
    }
}

/// The scorecards in force, and the conditions on profile fields that choose among them.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The card that judges accounts for which no condition holds comes after those with one. Cards
    /// after it judge no new account.
    sets: Vec<RuleSet>,
    /// Of the first sets, one each; the first that holds chooses.
    conditions: Vec<Condition>,
    alert_on_change: bool,
}

impl Rules {
    /// One card for every account.
    pub fn one(card: Arc<Scorecard>) -> Rules {
        Rules::selecting(Vec::new(), card)
    }

    /// The first of `choices` whose condition holds, else `otherwise`.
    pub fn selecting(
        choices: Vec<(Condition, Arc<Scorecard>)>,
        otherwise: Arc<Scorecard>,
    ) -> Rules {
        let (conditions, cards): (Vec<_>, Vec<_>) = choices.into_iter().unzip();
        let cards = cards.into_iter().chain([otherwise]);
        Rules { sets: cards.map(RuleSet::new).collect(), conditions, alert_on_change: false }
    }

    /// The same, and cards by which accounts were judged before.
    pub fn with_former(&self, former: impl IntoIterator<Item = RuleSet>) -> Rules {
        let mut rules = self.clone();
        rules.sets.extend(former);
        rules
    }

    /// The same, and a card by which accounts may have been judged before, unless it is known.
    pub fn knowing(&self, card: Arc<Scorecard>) -> Rules {
        match self.cards().any(|known| known.hash == card.hash) {
            true => self.clone(),
            false => self.with_former([RuleSet::new(card)]),
        }
    }

    /// Whether risks that come up with a change of rules raise alerts; as a rule they do not.
    pub fn with_alerts_on_change(mut self, alert_on_change: bool) -> Rules {
        self.alert_on_change = alert_on_change;
        self
    }

    /// See [`Rules::with_alerts_on_change`].
    pub fn alerts_on_change(&self) -> bool {
        self.alert_on_change
    }

    /// Whether other rules say the same: the same cards, chosen by the same conditions.
    pub fn says_the_same_as(&self, other: &Rules) -> bool {
        let mut pairs = self.cards_in_force().zip(other.cards_in_force());
        self.conditions == other.conditions && pairs.all(|(own, other)| own.hash == other.hash)
    }

    /// All cards with their plans; an account's card is known by its position here.
    pub fn sets(&self) -> &[RuleSet] {
        &self.sets
    }

    /// All cards, those by which accounts were judged before at the end.
    pub fn cards(&self) -> impl Iterator<Item = &Arc<Scorecard>> {
        self.sets.iter().map(|set| &set.card)
    }

    /// How many cards are in force: those that [`Rules::choose`] chooses from.
    pub fn in_force(&self) -> usize {
        self.conditions.len() + 1
    }

    /// The cards in force.
    pub fn cards_in_force(&self) -> impl Iterator<Item = &Arc<Scorecard>> {
        self.cards().take(self.in_force())
    }

    /// The position of the card for an account with this profile.
    pub fn choose(&self, profile: Option<&Profile>) -> usize {
        let no_measure = |_| None;
        let holds = |condition: &Condition| condition.holds(&no_measure, profile);
        self.conditions.iter().position(holds).unwrap_or(self.conditions.len())
    }
}
