//! The published band of one account: margin, dwell, bypass and `unknown` (sections 5 and 9.7).
//!
//! Judges one instant at a time. Finding the instants to judge is the model's part.

use super::card::{Band, Card};
use super::event::Claim;
use super::score::TOLERANCE;

/// A place among the card's bands, or nothing for `unknown`.
pub type Place = Option<usize>;

#[derive(Clone, Debug)]
pub struct Machine {
    pub place: Place,
    pub previous: Option<Place>,
    pub since: i64,
    /// The score in the last band-change record.
    pub published_score: Option<f64>,
    pending: Option<Pending>,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    towards: Direction,
    since: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Worse,
    Better,
    Unknown,
}

impl Machine {
    pub fn new(since: i64) -> Machine {
        Machine { place: None, previous: None, since, published_score: None, pending: None }
    }

    /// When the dwell that runs will be over.
    pub fn deadline(&self, card: &Card) -> Option<i64> {
        self.pending.map(|pending| pending.since + dwell_ms(card, pending.towards))
    }

    /// Judges the score at `t`; true if another band was entered.
    pub fn judge(&mut self, card: &Card, t: i64, score: Option<f64>) -> bool {
        let Some(place) = self.place else {
            let Some(score) = score else { return false };
            self.enter(t, Some(band_of(&card.bands, score)), Some(score));
            return true;
        };
        let (towards, past_margin, target) = match score {
            None => (Direction::Unknown, true, None),
            Some(score) => {
                let target = band_of(&card.bands, score);
                if target == place {
                    self.pending = None;
                    return false;
                }
                let (towards, past_edge) = if target < place {
                    (Direction::Worse, card.bands[place - 1].edge - score)
                } else {
                    (Direction::Better, score - card.bands[place].edge)
                };
                (towards, past_edge >= card.anti_flap.margin - TOLERANCE, Some(target))
            }
        };
        let running = self.pending.filter(|pending| pending.towards == towards);
        self.pending = running.or(past_margin.then_some(Pending { towards, since: t }));
        let dwelt = self.deadline(card).is_some_and(|deadline| t >= deadline);
        let fallen = match (self.published_score, score) {
            (Some(published), Some(score)) => published - score,
            _ => 0.0,
        };
        let bypass = towards == Direction::Worse
            && past_margin
            && fallen >= card.anti_flap.bypass_drop - TOLERANCE;
        if dwelt || bypass {
            self.enter(t, target, score);
        }
        dwelt || bypass
    }

    /// Stands by the place that an override claims.
    pub fn impose(&mut self, t: i64, place: usize, score: Option<f64>) {
        self.enter(t, Some(place), score);
    }

    /// Enters the place that the score holds, whatever was before.
    pub fn start_afresh(&mut self, card: &Card, t: i64, score: Option<f64>) {
        self.enter(t, score.map(|score| band_of(&card.bands, score)), score);
    }

    /// A place that is entered from itself stays as it was: only the record of it is new.
    fn enter(&mut self, t: i64, place: Place, score: Option<f64>) {
        if self.place != place {
            self.previous = Some(self.place);
            self.place = place;
            self.since = t;
        }
        self.published_score = score;
        self.pending = None;
    }
}

fn dwell_ms(card: &Card, towards: Direction) -> i64 {
    match towards {
        Direction::Worse | Direction::Unknown => card.anti_flap.worse_ms,
        Direction::Better => card.anti_flap.better_ms,
    }
}

/// The band that holds an unrounded score.
pub fn band_of(bands: &[Band], score: f64) -> usize {
    let holds = |band: &Band| {
        if band.inclusive { score <= band.edge + TOLERANCE } else { score < band.edge - TOLERANCE }
    };
    bands.iter().position(holds).unwrap_or(bands.len() - 1)
}

impl Claim {
    /// Nothing if the card has no such band.
    pub fn place(&self, bands: &[Band]) -> Option<usize> {
        match &self.band {
            Some(name) => bands.iter().position(|band| band.name == *name),
            None => self.score.map(|score| band_of(bands, score)),
        }
    }
}

pub fn band_name(bands: &[Band], place: Place) -> String {
    place.map_or("unknown".to_string(), |place| bands[place].name.clone())
}
