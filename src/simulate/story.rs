//! What happens to an account: the story it is dealt, its hidden health, and the risk that it
//! leaves.
//!
//! Health is a number from 0 to 1 that nobody sees. It is a function of the day alone, and every
//! source is drawn from it, more or less strongly by story. No scorecard is known here, and no
//! measure: what a score makes of the events is for the score to show.

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
}

impl Story {
    /// Every variant with its name.
    pub const NAMES: [(&'static str, Story); 6] = [
        ("healthy", Story::Healthy),
        ("growing", Story::Growing),
        ("bleeding", Story::Bleeding),
        ("silent", Story::Silent),
        ("late_payer", Story::LatePayer),
        ("angry_then_recovered", Story::AngryThenRecovered),
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
        };
        Coupling { usage, tickets, payments, surveys }
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
}

/// Of 100 accounts 65 are well.
impl Default for StoryShares {
    fn default() -> Self {
        StoryShares {
            healthy: 50,
            growing: 15,
            bleeding: 12,
            silent: 6,
            late_payer: 9,
            angry_then_recovered: 8,
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
        };
        match story {
            Story::Healthy => shares.healthy = 1,
            Story::Growing => shares.growing = 1,
            Story::Bleeding => shares.bleeding = 1,
            Story::Silent => shares.silent = 1,
            Story::LatePayer => shares.late_payer = 1,
            Story::AngryThenRecovered => shares.angry_then_recovered = 1,
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
}

/// Where a bleeding account ends.
const BLED_HEALTH: f64 = 0.12;
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
            Story::Bleeding => toward(base, BLED_HEALTH, since / length),
            Story::Silent if since < 0.0 => base,
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
        }
    }

    /// The share of the later growth that has happened, 0 to 1; 1 for whoever does not grow.
    pub(super) fn growth_on(&self, day: i32) -> f64 {
        match self.story {
            Story::Growing => toward(0.0, 1.0, f64::from(day - self.first_day) / GROWTH_DAYS),
            Story::Healthy
            | Story::Bleeding
            | Story::Silent
            | Story::LatePayer
            | Story::AngryThenRecovered => 1.0,
        }
    }

    /// Whether the product is not used at all any more.
    pub(super) fn is_silent_on(&self, day: i32) -> bool {
        self.story == Story::Silent && day >= self.onset_day
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

/// The chance that an account of this hidden health leaves today.
///
/// A content account (0.85) leaves with 1.5 % a year, one at 0.45 with 5 % a month, one at 0.15
/// with 27 % a month; three times as much in the last 30 days of its contract.
pub(super) fn hazard_per_day(health: f64, days_to_renewal: i64) -> f64 {
    let distress = (1.0 - health) * (1.0 - health);
    let hazard = 0.000_03 + 0.02 * distress * distress;
    if (0..=30).contains(&days_to_renewal) { 3.0 * hazard } else { hazard }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(story: Story) -> Course {
        Course { story, base: 0.85, first_day: 0, onset_day: 100, length_days: 80 }
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
        assert!((0.01..0.02).contains(&a_year(0.85)), "{}", a_year(0.85));
        let a_month = |health| 1.0 - (1.0 - hazard_per_day(health, 200)).powi(30);
        assert!((0.04..0.07).contains(&a_month(0.45)), "{}", a_month(0.45));
        assert!((0.22..0.32).contains(&a_month(0.15)), "{}", a_month(0.15));
        assert!(hazard_per_day(0.5, 30) > 2.9 * hazard_per_day(0.5, 31));
    }

    #[test]
    fn shares_count_in_proportion() {
        let dealt = |shares: StoryShares, story| {
            (0..1_000).filter(|place| shares.at(f64::from(*place) / 1_000.0) == story).count()
        };
        let shares = StoryShares::default();
        assert_eq!(dealt(shares, Story::Healthy), 500);
        assert_eq!(dealt(shares, Story::AngryThenRecovered), 80);
        assert_eq!(dealt(StoryShares::only(Story::Silent), Story::Silent), 1_000);
        let nobody = StoryShares { silent: 0, ..StoryShares::only(Story::Silent) };
        assert_eq!(dealt(nobody, Story::Healthy), 1_000);
    }
}
