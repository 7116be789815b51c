//! What happens to an account: the story it is dealt, its hidden health, and the risk that it
//! leaves.
//!
//! Health is a number from 0 to 1 that nobody sees. It is a function of the day alone, and every
//! source is drawn from it, more or less strongly by story. What shows and what threatens are two
//! things: many accounts look ill and stay, and some look well and leave. No scorecard is known
//! here, and no measure: what a score makes of the events is for the score to show.

use super::dice::Dice;

/// What happens to an account over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Story {
    /// Well, with mild noise.
    Healthy,
    /// Well and growing: more users and more seats over 300 days.
    Growing,
    /// Falls over 60 to 120 days; the users leave one by one.
    Bleeding,
    /// Usage stops from one day to the next.
    Silent,
    /// Pays later and later, with failed attempts and reminders; uses the product almost as before.
    LatePayer,
    /// Weeks of urgent, escalated tickets and bad answers, then a recovery.
    AngryThenRecovered,
    /// Hardly uses the product for some weeks, as every year, and comes back.
    Seasonal,
    /// Its heaviest user goes; the others take over within two months.
    ChampionLeft,
    /// Is bought or runs out of money: nothing shows, and it is about to leave.
    Unseen,
}

impl Story {
    /// Every variant with its name.
    pub const NAMES: [(&'static str, Story); 9] = [
        ("healthy", Story::Healthy),
        ("growing", Story::Growing),
        ("bleeding", Story::Bleeding),
        ("silent", Story::Silent),
        ("late_payer", Story::LatePayer),
        ("angry_then_recovered", Story::AngryThenRecovered),
        ("seasonal", Story::Seasonal),
        ("champion_left", Story::ChampionLeft),
        ("unseen", Story::Unseen),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }

    /// How strongly hidden health shows in each source: 0 not at all, 1 in full, more exaggerates.
    pub(super) fn coupling(self) -> Coupling {
        let (usage, tickets, payments, surveys) = match self {
            Story::Healthy | Story::Growing => (1.0, 1.0, 1.0, 1.0),
            Story::Bleeding => (1.0, 0.25, 0.5, 0.7),
            Story::Silent => (1.0, 0.0, 0.4, 0.6),
            Story::LatePayer => (0.25, 0.25, 1.6, 0.5),
            Story::AngryThenRecovered => (0.3, 1.0, 0.3, 1.0),
            Story::Seasonal => (1.0, 0.0, 0.0, 0.1),
            Story::ChampionLeft => (1.0, 0.3, 0.0, 0.4),
            Story::Unseen => (0.0, 0.0, 0.0, 0.0),
        };
        Coupling { usage, tickets, payments, surveys }
    }

    /// How many of the accounts stay all the same: what shows is real, and no reason to leave.
    pub(super) fn share_that_stays(self) -> f64 {
        match self {
            Story::Healthy | Story::Growing | Story::Unseen => 0.0,
            Story::Bleeding => 0.4,
            Story::Silent => 0.35,
            Story::LatePayer => 0.8,
            Story::AngryThenRecovered => 0.7,
            Story::Seasonal => 0.9,
            Story::ChampionLeft => 0.75,
        }
    }
}

/// How strongly hidden health shows in each source.
pub(super) struct Coupling {
    pub(super) usage: f64,
    pub(super) tickets: f64,
    pub(super) payments: f64,
    pub(super) surveys: f64,
}

/// How the stories are shared out, in parts: only the proportions count. All zero means everybody
/// is healthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoryShares {
    /// Parts of [`Story::Healthy`].
    pub healthy: u32,
    /// Parts of [`Story::Growing`].
    pub growing: u32,
    /// Parts of [`Story::Bleeding`].
    pub bleeding: u32,
    /// Parts of [`Story::Silent`].
    pub silent: u32,
    /// Parts of [`Story::LatePayer`].
    pub late_payer: u32,
    /// Parts of [`Story::AngryThenRecovered`].
    pub angry_then_recovered: u32,
    /// Parts of [`Story::Seasonal`].
    pub seasonal: u32,
    /// Parts of [`Story::ChampionLeft`].
    pub champion_left: u32,
    /// Parts of [`Story::Unseen`].
    pub unseen: u32,
}

/// Of 100 accounts 58 are well.
impl Default for StoryShares {
    fn default() -> Self {
        StoryShares {
            healthy: 45,
            growing: 13,
            bleeding: 12,
            silent: 5,
            late_payer: 7,
            angry_then_recovered: 7,
            seasonal: 5,
            champion_left: 4,
            unseen: 2,
        }
    }
}

impl StoryShares {
    /// Every account has the one story: for tests of a scorecard.
    pub const fn only(story: Story) -> Self {
        let mut shares = StoryShares {
            healthy: 0,
            growing: 0,
            bleeding: 0,
            silent: 0,
            late_payer: 0,
            angry_then_recovered: 0,
            seasonal: 0,
            champion_left: 0,
            unseen: 0,
        };
        match story {
            Story::Healthy => shares.healthy = 1,
            Story::Growing => shares.growing = 1,
            Story::Bleeding => shares.bleeding = 1,
            Story::Silent => shares.silent = 1,
            Story::LatePayer => shares.late_payer = 1,
            Story::AngryThenRecovered => shares.angry_then_recovered = 1,
            Story::Seasonal => shares.seasonal = 1,
            Story::ChampionLeft => shares.champion_left = 1,
            Story::Unseen => shares.unseen = 1,
        }
        shares
    }

    /// The story that holds `place`, where 0 to 1 is shared out in the order of [`Story::NAMES`].
    pub(super) fn at(&self, place: f64) -> Story {
        let parts = [
            self.healthy,
            self.growing,
            self.bleeding,
            self.silent,
            self.late_payer,
            self.angry_then_recovered,
            self.seasonal,
            self.champion_left,
            self.unseen,
        ];
        let all: f64 = parts.iter().map(|part| f64::from(*part)).sum();
        let mut left = place * all;
        for (part, (_, story)) in parts.iter().zip(Story::NAMES) {
            left -= f64::from(*part);
            if left < 0.0 {
                return story;
            }
        }
        Story::Healthy
    }
}

/// An account's story with its dates. Days are local days since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    pub(super) story: Story,
    /// Health while nothing happens, 0.72 to 0.95.
    pub(super) base: f32,
    /// The day on which the account enters the simulation.
    pub(super) first_day: i32,
    /// The day on which the story begins.
    pub(super) onset_day: i32,
    /// How long the story's main part takes.
    pub(super) length_days: u16,
    /// Whatever shows, the account is no likelier to leave than a content one.
    pub(super) stays: bool,
}

/// Where a bleeding account ends.
const BLED_HEALTH: f64 = 0.12;
/// Where one ends that bleeds and stays: a smaller customer.
const SHRUNK_HEALTH: f64 = 0.35;
/// Where a silent account is at once.
const SILENT_HEALTH: f64 = 0.15;
/// Where a late payer ends.
const LATE_HEALTH: f64 = 0.45;
/// Where an angry account is while it is angry.
const ANGRY_HEALTH: f64 = 0.25;
/// From content to angry.
const ANGERING_DAYS: f64 = 5.0;
/// From angry back to content.
const RECOVERY_DAYS: f64 = 45.0;
/// Where a seasonal account is out of season.
const OUT_OF_SEASON_HEALTH: f64 = 0.22;
/// From the season to its end, and back.
const SEASON_ENDS_DAYS: f64 = 7.0;
/// Where an account is when its heaviest user has just gone.
const WITHOUT_CHAMPION_HEALTH: f64 = 0.45;
/// Until the others have taken over.
const TAKE_OVER_DAYS: f64 = 60.0;
/// Where an account is that nothing can be seen of.
const UNSEEN_HEALTH: f64 = 0.1;
/// From the first to the last user of a growing account.
const GROWTH_DAYS: f64 = 300.0;

impl Course {
    /// Hidden health on a day, without noise.
    pub(super) fn health_on(&self, day: i32) -> f64 {
        let base = f64::from(self.base);
        let since = f64::from(day - self.onset_day);
        let length = f64::from(self.length_days);
        match self.story {
            Story::Healthy => base,
            Story::Growing => base + (0.96 - base) * self.growth_on(day),
            Story::Bleeding if self.stays => toward(base, SHRUNK_HEALTH, since / length),
            Story::Bleeding => toward(base, BLED_HEALTH, since / length),
            Story::Silent if since < 0.0 || self.is_back_on(day) => base,
            Story::Silent => SILENT_HEALTH,
            Story::LatePayer => toward(base, LATE_HEALTH, since / length),
            Story::AngryThenRecovered => {
                let recovering = since - ANGERING_DAYS - length;
                if recovering <= 0.0 {
                    toward(base, ANGRY_HEALTH, since / ANGERING_DAYS)
                } else {
                    toward(ANGRY_HEALTH, base, recovering / RECOVERY_DAYS)
                }
            }
            Story::Seasonal if since < length => {
                toward(base, OUT_OF_SEASON_HEALTH, since / SEASON_ENDS_DAYS)
            }
            Story::Seasonal => {
                toward(OUT_OF_SEASON_HEALTH, base, (since - length) / SEASON_ENDS_DAYS)
            }
            Story::ChampionLeft if since < 0.0 => base,
            Story::ChampionLeft => toward(WITHOUT_CHAMPION_HEALTH, base, since / TAKE_OVER_DAYS),
            Story::Unseen => toward(base, UNSEEN_HEALTH, since),
        }
    }

    /// The health that decides whether the account leaves, where `health` is its health of the day.
    pub(super) fn at_risk(&self, health: f64) -> f64 {
        if self.stays { health.max(f64::from(self.base)) } else { health }
    }

    /// Whether the heaviest user, who was there before, has gone.
    pub(super) fn has_lost_its_champion_on(&self, day: i32) -> bool {
        self.story == Story::ChampionLeft && day >= self.onset_day
    }

    /// A silent account that stays comes back, as from a project that had ended.
    fn is_back_on(&self, day: i32) -> bool {
        self.stays && day >= self.onset_day + i32::from(self.length_days)
    }

    /// The share of the later growth that has happened, 0 to 1; 1 for whoever does not grow.
    pub(super) fn growth_on(&self, day: i32) -> f64 {
        match self.story {
            Story::Growing => toward(0.0, 1.0, f64::from(day - self.first_day) / GROWTH_DAYS),
            Story::Healthy
            | Story::Bleeding
            | Story::Silent
            | Story::LatePayer
            | Story::AngryThenRecovered
            | Story::Seasonal
            | Story::ChampionLeft
            | Story::Unseen => 1.0,
        }
    }

    /// Whether the product is not used at all any more.
    pub(super) fn is_silent_on(&self, day: i32) -> bool {
        self.story == Story::Silent && day >= self.onset_day && !self.is_back_on(day)
    }

    /// What one source shows of a health of `health`.
    pub(super) fn seen_through(&self, coupling: f64, health: f64) -> f64 {
        let base = f64::from(self.base);
        (base + coupling * (health - base)).clamp(0.02, 0.98)
    }
}

/// Straight from `from` to `to` while `share` goes from 0 to 1, level before and after.
fn toward(from: f64, to: f64, share: f64) -> f64 {
    from + (to - from) * share.clamp(0.0, 1.0)
}

/// How long the main part of a story takes, in days.
pub(super) fn draw_length(story: Story, dice: &mut Dice) -> i64 {
    match story {
        Story::Bleeding => dice.between(60, 120),
        Story::LatePayer => dice.between(120, 180),
        Story::AngryThenRecovered => dice.between(12, 24),
        Story::Silent => dice.between(20, 70),
        Story::Seasonal => dice.between(28, 56),
        Story::Healthy | Story::Growing | Story::ChampionLeft | Story::Unseen => 1,
    }
}

/// The chance that an account of this health leaves today.
///
/// A content account (0.85) leaves with 4 % a year, one at 0.45 with 2 % a month, one at 0.15 with
/// 12 % a month; three times as much in the last 30 days of its contract.
pub(super) fn hazard_per_day(health: f64, days_to_renewal: i64) -> f64 {
    let distress = (1.0 - health) * (1.0 - health);
    let hazard = 0.000_1 + 0.008 * distress * distress;
    if (0..=30).contains(&days_to_renewal) { 3.0 * hazard } else { hazard }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(story: Story) -> Course {
        Course { story, base: 0.85, first_day: 0, onset_day: 100, length_days: 80, stays: false }
    }

    #[test]
    fn health_takes_the_course_of_the_story() {
        for (story, at_50, at_140, at_400) in [
            (Story::Healthy, 0.85, 0.85, 0.85),
            (Story::Growing, 0.868, 0.901, 0.96),
            (Story::Bleeding, 0.85, 0.485, 0.12),
            (Story::Silent, 0.85, 0.15, 0.15),
            (Story::LatePayer, 0.85, 0.65, 0.45),
            (Story::AngryThenRecovered, 0.85, 0.25, 0.85),
            (Story::Seasonal, 0.85, 0.22, 0.85),
            (Story::ChampionLeft, 0.85, 0.717, 0.85),
            (Story::Unseen, 0.85, 0.1, 0.1),
        ] {
            let course = course(story);
            for (day, health) in [(50, at_50), (140, at_140), (400, at_400)] {
                let found = course.health_on(day);
                assert!((found - health).abs() < 0.001, "{story:?} on {day}: {found}");
            }
        }
    }

    #[test]
    fn the_risk_of_leaving_grows_as_health_falls_and_towards_renewal() {
        let a_year = |health| 1.0 - (1.0 - hazard_per_day(health, 200)).powi(365);
        assert!((0.03..0.05).contains(&a_year(0.85)), "{}", a_year(0.85));
        let a_month = |health| 1.0 - (1.0 - hazard_per_day(health, 200)).powi(30);
        assert!((0.02..0.03).contains(&a_month(0.45)), "{}", a_month(0.45));
        assert!((0.1..0.14).contains(&a_month(0.15)), "{}", a_month(0.15));
        assert!(hazard_per_day(0.5, 30) > 2.9 * hazard_per_day(0.5, 31));
    }

    #[test]
    fn whoever_stays_looks_ill_and_is_not() {
        for (_, story) in Story::NAMES {
            let course = Course { stays: true, ..course(story) };
            assert!(course.at_risk(course.health_on(140)) >= 0.85 - 1e-6, "{story:?}");
        }
        let silent = Course { stays: true, ..course(Story::Silent) };
        assert!(silent.is_silent_on(179) && !silent.is_silent_on(180));
        let bleeding = Course { stays: true, ..course(Story::Bleeding) };
        assert!((bleeding.health_on(400) - 0.35).abs() < 1e-6);
    }

    #[test]
    fn shares_count_in_proportion() {
        let dealt = |shares: StoryShares, story| {
            (0..1_000).filter(|place| shares.at(f64::from(*place) / 1_000.0) == story).count()
        };
        let shares = StoryShares::default();
        assert_eq!(dealt(shares, Story::Healthy), 450);
        assert_eq!(dealt(shares, Story::AngryThenRecovered), 70);
        assert_eq!(dealt(StoryShares::only(Story::Silent), Story::Silent), 1_000);
        let nobody = StoryShares { silent: 0, ..StoryShares::only(Story::Silent) };
        assert_eq!(dealt(nobody, Story::Healthy), 1_000);
    }
}
