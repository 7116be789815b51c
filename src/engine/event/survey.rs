//! The fields of a survey answer or an assessment, and the scales of the known surveys; overrides and
//! feedback, which come on the same topic.

use super::decode::Origin;
use super::error::ReasonCode;
use super::field::Field;
use super::{Body, Claim, ClaimedBand, DecodeError, Event, Feedback, FeedbackKind, Override};
use super::{Survey, object};

/// The scale of an assessment that names none.
const ASSESSMENT_SCALE_MILLI: (i64, i64) = (0, 100_000);

const NAMES: [&str; 17] = [
    "event_id",
    "account_id",
    "occurred_at",
    "survey",
    "score",
    "respondent_id",
    "role",
    "scale_min",
    "scale_max",
    "override",
    "band",
    "author",
    "reason",
    "expires_at",
    "cancel",
    "feedback",
    "rule",
];

/// `scale_min` and `scale_max` of a survey whose scale is known (`nps`, `csat`, `ces`) are ignored,
/// as unknown fields are: not even their type is looked at.
pub(super) fn read<'a>(json: &'a str, origin: &Origin) -> Result<Event<'a>, DecodeError> {
    let [
        event_id,
        account_id,
        occurred_at,
        survey,
        score,
        respondent_id,
        role,
        scale_min,
        scale_max,
        overrides,
        band,
        author,
        reason,
        expires_at,
        cancel,
        feedback,
        rule,
    ] = object::fields(json, &NAMES)?;
    origin.event([event_id, account_id, occurred_at], || {
        if overrides.optional(|value| value.boolean())?.unwrap_or(false) {
            let fields = Judgement { event_id, occurred_at, author, reason, expires_at };
            return read_override(fields, band, score, cancel);
        }
        if let Some(kind) = feedback.optional(|value| value.one_of(&FeedbackKind::NAMES))? {
            let rule = rule.optional(|value| value.owned_text())?;
            return Ok(Body::Feedback(Box::new(Feedback { kind, rule })));
        }
        let survey = survey.required(|value| value.text())?;
        let (scale_min_milli, scale_max_milli) = match known_scale_milli(&survey) {
            Some(scale) => scale,
            None => given_scale_milli(scale_min, scale_max)?,
        };
        let score_milli = score.required(|value| value.thousandths())?;
        if !(scale_min_milli..=scale_max_milli).contains(&score_milli) {
            let (min, max) = (decimal_text(scale_min_milli), decimal_text(scale_max_milli));
            return Err(score.unexpected(ReasonCode::OutOfRange, format!("{min} to {max}")));
        }
        Ok(Body::Survey(Survey {
            survey,
            score_milli,
            scale_min_milli,
            scale_max_milli,
            respondent_id: respondent_id.optional(|value| value.text())?,
            role: role.optional(|value| value.text())?,
        }))
    })
}

/// The fields of every override.
struct Judgement<'a> {
    event_id: Field<'a>,
    occurred_at: Field<'a>,
    author: Field<'a>,
    reason: Field<'a>,
    expires_at: Field<'a>,
}

fn read_override<'a>(
    fields: Judgement<'a>,
    band: Field<'a>,
    score: Field<'a>,
    cancel: Field<'a>,
) -> Result<Body<'a>, DecodeError> {
    let at = fields.occurred_at.required(|value| value.instant())?;
    let claim = match cancel.optional(|value| value.boolean())? {
        Some(true) => None,
        Some(false) | None => {
            let name = band.optional(|value| value.owned_text())?;
            let score_milli = score.optional(|value| value.thousandths())?;
            let band = match (name, score_milli) {
                (Some(name), None) => ClaimedBand::Name(name),
                (None, Some(milli)) if (0..=100_000).contains(&milli) => {
                    ClaimedBand::ScoreMilli(milli)
                }
                (None, Some(_)) => return Err(score.unexpected(ReasonCode::OutOfRange, "0 to 100")),
                (Some(_), Some(_)) => {
                    return Err(
                        score.unexpected(ReasonCode::OutOfRange, "no `score` beside a `band`")
                    );
                }
                (None, None) => return Err(band.missing()),
            };
            let until = fields.expires_at.required(|value| value.instant())?;
            if until <= at {
                let expected = "an instant later than `occurred_at`";
                return Err(fields.expires_at.unexpected(ReasonCode::OutOfRange, expected));
            }
            Some(Claim { band, expires_at: until })
        }
    };
    Ok(Body::Override(Box::new(Override {
        at,
        event_id: fields.event_id.required(|value| value.owned_text())?,
        author: fields.author.required(|value| value.owned_text())?,
        reason: fields.reason.required(|value| value.owned_text())?,
        claim,
    })))
}

fn known_scale_milli(survey: &str) -> Option<(i64, i64)> {
    match survey {
        "nps" => Some((0, 10_000)),
        "csat" => Some((1_000, 5_000)),
        "ces" => Some((1_000, 7_000)),
        _ => None,
    }
}

fn given_scale_milli(min: Field<'_>, max: Field<'_>) -> Result<(i64, i64), DecodeError> {
    let (min_default, max_default) = ASSESSMENT_SCALE_MILLI;
    let given_min = min.optional(|value| value.thousandths())?;
    let given_max = max.optional(|value| value.thousandths())?;
    let scale = (given_min.unwrap_or(min_default), given_max.unwrap_or(max_default));
    if scale.0 < scale.1 {
        return Ok(scale);
    }
    // Blame a field that is there: with `scale_min` 100 alone, the maximum is only our default.
    Err(match given_max {
        Some(_) => {
            let expected = format!("more than `scale_min` ({})", decimal_text(scale.0));
            max.unexpected(ReasonCode::OutOfRange, expected)
        }
        None => {
            let expected = format!("less than `scale_max` ({})", decimal_text(scale.1));
            min.unexpected(ReasonCode::OutOfRange, expected)
        }
    })
}

/// Thousandths as people write them: `7`, `0.5`, `-1.25`.
fn decimal_text(milli: i64) -> String {
    let sign = if milli < 0 { "-" } else { "" };
    let (whole, rest) = (milli.unsigned_abs() / 1_000, milli.unsigned_abs() % 1_000);
    match rest {
        0 => format!("{sign}{whole}"),
        rest => format!("{sign}{whole}.{}", format!("{rest:03}").trim_end_matches('0')),
    }
}
