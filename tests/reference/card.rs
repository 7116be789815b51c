//! The scorecard, read from YAML into plain structs.
//!
//! Checks nothing: what cannot be read panics. Leaves out tests, colours and actions.

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value};

use super::event::{DAY_MS, HOUR_MS, MINUTE_MS};
use super::measures::Kind;

#[derive(Clone, Debug)]
pub struct Card {
    pub name: String,
    pub dimensions: Vec<Dimension>,
    pub combine: Combine,
    pub redistribute: Redistribute,
    pub gates: Vec<Gate>,
    /// Worst first.
    pub bands: Vec<Band>,
    pub anti_flap: AntiFlap,
    pub alerts: Vec<AlertRule>,
    pub min_coverage: f64,
    pub grace_ms: i64,
    pub item_horizon_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Combine {
    Weighted,
    Mean,
    Points,
    Signed { start: f64 },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Redistribute {
    Dimension,
    Card,
}

#[derive(Clone, Debug)]
pub struct Dimension {
    pub id: String,
    pub weight: f64,
    /// `combine: mean`: its counted measures weigh the same.
    pub mean: bool,
    pub measures: Vec<Measure>,
}

#[derive(Clone, Debug)]
pub struct Measure {
    pub id: String,
    pub name: String,
    pub kind: Kind,
    pub window_text: Option<String>,
    pub window: Option<Window>,
    pub prior: f64,
    /// The weight, or under `points` and `signed` the points.
    pub weight: f64,
    pub curve: Curve,
    pub missing: Missing,
    pub stale_after_ms: Option<i64>,
    pub features: Option<Vec<String>>,
    pub categories: Option<Vec<String>>,
    pub priorities: Option<Vec<String>>,
    pub surveys: Option<Vec<String>>,
    pub roles: Option<Vec<String>>,
}

/// A window of whole panes, and the baseline just before it (as long as the window unless the
/// measure says otherwise).
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub pane_ms: i64,
    pub panes: i64,
    pub baseline_panes: i64,
}

#[derive(Clone, Debug)]
pub enum Curve {
    /// The value itself, kept within 0 to 100.
    Identity,
    Linear {
        from: f64,
        to: f64,
    },
    Piecewise(Vec<(f64, f64)>),
    Steps(Vec<(f64, f64)>),
    Map(Vec<(f64, f64)>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Missing {
    Redistribute,
    Counted(f64),
}

#[derive(Clone, Debug)]
pub struct Gate {
    pub id: String,
    pub cap: Option<f64>,
    pub floor: Option<f64>,
    pub when: Condition,
    pub reason: String,
}

#[derive(Clone, Debug)]
pub enum Condition {
    Measure { id: String, test: NumberTest },
    ProfileNumber { field: String, test: NumberTest },
    ProfileIn { field: String, values: Vec<Value> },
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
}

#[derive(Clone, Copy, Debug)]
pub enum NumberTest {
    AtLeast(f64),
    AtMost(f64),
    Above(f64),
    Below(f64),
    Equals(f64),
}

/// A comparison whose number is still to come.
pub type Compare = fn(f64) -> NumberTest;

#[derive(Clone, Debug)]
pub struct Band {
    pub name: String,
    pub edge: f64,
    /// `up_to` holds its edge, `below` does not.
    pub inclusive: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct AntiFlap {
    pub margin: f64,
    pub worse_ms: i64,
    pub better_ms: i64,
    pub bypass_drop: f64,
}

#[derive(Clone, Debug)]
pub struct AlertRule {
    pub id: String,
    pub kind: AlertKind,
    /// Never empty, mildest first: a rule without levels has the one of its severity.
    pub levels: Vec<Level>,
    /// Asks about profile fields only.
    pub only_where: Option<Condition>,
    pub hold_ms: i64,
    pub cooldown_ms: i64,
}

/// One severity, and the number from which on it holds: points, a value, milliseconds, or a
/// share of the weight. A `band_entered` or an `opportunity` asks for no number.
#[derive(Clone, Copy, Debug)]
pub struct Level {
    pub severity: Severity,
    pub number: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

#[derive(Clone, Debug)]
pub enum AlertKind {
    ScoreDrop { within_ms: i64, at_most: Option<f64> },
    BandEntered { bands: Vec<usize> },
    Measure { id: String, test: Compare },
    Silence,
    RenewalAtRisk { bands: Vec<usize> },
    Opportunity { bands: Vec<usize>, for_ms: i64, rising: Condition },
    Coverage,
}

impl AlertKind {
    pub fn name(&self) -> &'static str {
        match self {
            AlertKind::ScoreDrop { .. } => "score_drop",
            AlertKind::BandEntered { .. } => "band_entered",
            AlertKind::Measure { .. } => "measure",
            AlertKind::Silence => "silence",
            AlertKind::RenewalAtRisk { .. } => "renewal_at_risk",
            AlertKind::Opportunity { .. } => "opportunity",
            AlertKind::Coverage => "coverage",
        }
    }

    /// Says that an account is at risk, and so does not begin where there is no score.
    pub fn is_risk(&self) -> bool {
        match self {
            AlertKind::ScoreDrop { .. }
            | AlertKind::BandEntered { .. }
            | AlertKind::Measure { .. }
            | AlertKind::Silence
            | AlertKind::RenewalAtRisk { .. } => true,
            AlertKind::Opportunity { .. } | AlertKind::Coverage => false,
        }
    }
}

impl Severity {
    pub fn name(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

impl Card {
    pub fn parse(yaml: &str) -> Card {
        let documents = Yaml::load_from_str(yaml).expect("the scorecard is YAML");
        read_card(&to_json(documents.first().expect("the scorecard is not empty")))
    }

    pub fn measures(&self) -> impl Iterator<Item = &Measure> {
        self.dimensions.iter().flat_map(|dimension| &dimension.measures)
    }
}

fn to_json(node: &Yaml) -> Value {
    match node {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(flag)) => Value::from(*flag),
        Yaml::Value(Scalar::Integer(number)) => Value::from(*number),
        Yaml::Value(Scalar::FloatingPoint(number)) => Value::from(number.into_inner()),
        Yaml::Value(Scalar::String(text)) => Value::from(text.as_ref()),
        Yaml::Sequence(nodes) => Value::Array(nodes.iter().map(to_json).collect()),
        Yaml::Mapping(pairs) => {
            let mut object = Map::new();
            for (key, value) in pairs {
                let key = match to_json(key) {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                object.insert(key, to_json(value));
            }
            Value::Object(object)
        }
        other => panic!("cannot read this YAML node: {other:?}"),
    }
}

fn read_card(card: &Value) -> Card {
    let combine = match &card["combine"] {
        Value::Null => Combine::Weighted,
        Value::String(name) => match name.as_str() {
            "weighted" => Combine::Weighted,
            "mean" => Combine::Mean,
            "points" => Combine::Points,
            _ => panic!("cannot read combine `{name}`"),
        },
        signed => Combine::Signed { start: number(&signed["signed"]["start"]) },
    };
    let redistribute = match card["redistribute"].as_str() {
        None | Some("dimension") => Redistribute::Dimension,
        Some("card") => Redistribute::Card,
        Some(other) => panic!("cannot read redistribute `{other}`"),
    };
    let bands: Vec<Band> = list(&card["bands"]).iter().map(read_band).collect();
    Card {
        name: string(&card["scorecard"]),
        dimensions: list(&card["dimensions"]).iter().map(read_dimension).collect(),
        combine,
        redistribute,
        gates: list(&card["gates"]).iter().map(read_gate).collect(),
        alerts: list(&card["alerts"]).iter().map(|rule| read_alert(rule, &bands)).collect(),
        bands,
        anti_flap: read_anti_flap(&card["anti_flap"]),
        min_coverage: optional_number(&card["min_coverage"]).unwrap_or(0.5),
        grace_ms: duration(&card["grace"]).unwrap_or(0),
        item_horizon_ms: duration(&card["item_horizon"]).unwrap_or(90 * DAY_MS),
    }
}

fn read_dimension(dimension: &Value) -> Dimension {
    Dimension {
        id: string(&dimension["id"]),
        weight: optional_number(&dimension["weight"]).unwrap_or(1.0),
        mean: dimension["combine"].as_str() == Some("mean"),
        measures: list(&dimension["measures"]).iter().map(read_measure).collect(),
    }
}

fn read_measure(measure: &Value) -> Measure {
    let name = string(&measure["measure"]);
    let kind = Kind::parse(&name);
    let weight = optional_number(&measure["weight"]).or(optional_number(&measure["points"]));
    let window_ms = duration(&measure["window"]).or(kind.default_window_ms());
    let missing = match &measure["missing"] {
        Value::Null => Missing::Redistribute,
        Value::String(name) => match name.as_str() {
            "redistribute" => Missing::Redistribute,
            "zero" => Missing::Counted(0.0),
            "neutral" => Missing::Counted(50.0),
            _ => panic!("cannot read missing `{name}`"),
        },
        other => Missing::Counted(number(other)),
    };
    Measure {
        id: string(&measure["id"]),
        window_text: window_ms.map(in_largest_unit),
        window: window_ms.map(|window_ms| read_window(measure, kind, window_ms)),
        name,
        kind,
        prior: optional_number(&measure["prior"]).unwrap_or(0.0),
        weight: weight.unwrap_or(1.0),
        curve: read_curve(&measure["curve"]),
        missing,
        stale_after_ms: duration(&measure["stale_after"]),
        features: strings(&measure["features"]),
        categories: strings(&measure["categories"]),
        priorities: strings(&measure["priorities"]),
        surveys: strings(&measure["surveys"]),
        roles: strings(&measure["roles"]),
    }
}

fn read_window(measure: &Value, kind: Kind, window_ms: i64) -> Window {
    let baseline_ms = duration(&measure["baseline"]).unwrap_or(window_ms);
    let pane_ms = kind
        .own_pane_ms()
        .or(duration(&measure["pane"]))
        .unwrap_or_else(|| default_pane_ms(window_ms.max(baseline_ms)));
    let whole = window_ms % pane_ms == 0 && baseline_ms % pane_ms == 0;
    assert!(whole, "`{}` has a window that is not whole panes", measure["id"]);
    Window { pane_ms, panes: window_ms / pane_ms, baseline_panes: baseline_ms / pane_ms }
}

fn default_pane_ms(window_ms: i64) -> i64 {
    if window_ms <= 32 * HOUR_MS {
        HOUR_MS
    } else if window_ms <= 8 * DAY_MS {
        6 * HOUR_MS
    } else if window_ms <= 128 * DAY_MS {
        DAY_MS
    } else {
        7 * DAY_MS
    }
}

fn read_curve(curve: &Value) -> Curve {
    let Value::Object(object) = curve else {
        assert!(curve.is_null(), "cannot read curve `{curve}`");
        return Curve::Identity;
    };
    let (name, value) = object.iter().next().expect("a curve has a shape");
    match name.as_str() {
        "linear" => Curve::Linear { from: number(&value["from"]), to: number(&value["to"]) },
        "piecewise" => Curve::Piecewise(points(value)),
        "steps" => Curve::Steps(points(value)),
        "map" => Curve::Map(points(value)),
        _ => panic!("cannot read curve `{name}`"),
    }
}

/// Pairs, as a list or as a mapping, in rising order of their first number.
fn points(value: &Value) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = match value {
        Value::Object(object) => object
            .iter()
            .map(|(key, value)| (key.parse().expect("a mapped value is a number"), number(value)))
            .collect(),
        other => list(other).iter().map(|pair| (number(&pair[0]), number(&pair[1]))).collect(),
    };
    points.sort_by(|left, right| left.0.total_cmp(&right.0));
    points
}

fn read_gate(gate: &Value) -> Gate {
    Gate {
        id: string(&gate["id"]),
        cap: optional_number(&gate["cap"]),
        floor: optional_number(&gate["floor"]),
        when: read_condition(&gate["when"]),
        reason: gate["reason"].as_str().unwrap_or_default().to_string(),
    }
}

fn read_condition(condition: &Value) -> Condition {
    let parts = |value: &Value| list(value).iter().map(read_condition).collect();
    if let Some(id) = condition["measure"].as_str() {
        let test = number_test(condition).expect("a condition on a measure compares it");
        return Condition::Measure { id: id.to_string(), test };
    }
    if let Some(field) = condition["profile"].as_str().map(str::to_string) {
        if let Some(test) = number_test(condition) {
            return Condition::ProfileNumber { field, test };
        }
        let values = match &condition["in"] {
            Value::Null => vec![condition["is"].clone()],
            several => list(several).to_vec(),
        };
        return Condition::ProfileIn { field, values };
    }
    if !condition["all"].is_null() {
        return Condition::All(parts(&condition["all"]));
    }
    if !condition["any"].is_null() {
        return Condition::Any(parts(&condition["any"]));
    }
    assert!(!condition["not"].is_null(), "cannot read condition `{condition}`");
    Condition::Not(Box::new(read_condition(&condition["not"])))
}

fn number_test(condition: &Value) -> Option<NumberTest> {
    let of = |key: &str| optional_number(&condition[key]);
    of("at_least")
        .map(NumberTest::AtLeast)
        .or(of("at_most").map(NumberTest::AtMost))
        .or(of("above").map(NumberTest::Above))
        .or(of("below").map(NumberTest::Below))
        .or(of("equals").map(NumberTest::Equals))
}

fn read_band(band: &Value) -> Band {
    let up_to = optional_number(&band["up_to"]);
    let below = optional_number(&band["below"]);
    Band {
        name: string(&band["name"]),
        edge: up_to.or(below).expect("a band has an upper edge"),
        inclusive: up_to.is_some(),
    }
}

fn read_anti_flap(anti_flap: &Value) -> AntiFlap {
    let dwell = &anti_flap["dwell"];
    AntiFlap {
        margin: optional_number(&anti_flap["margin"]).unwrap_or(5.0),
        worse_ms: duration(&dwell["worse"]).unwrap_or(HOUR_MS),
        better_ms: duration(&dwell["better"]).unwrap_or(14 * DAY_MS),
        bypass_drop: optional_number(&anti_flap["bypass_drop"]).unwrap_or(25.0),
    }
}

fn read_alert(rule: &Value, bands: &[Band]) -> AlertRule {
    let places = |names: &Value| -> Vec<usize> {
        let place = |name: &Value| bands.iter().position(|band| name == band.name.as_str());
        let names = if names.is_array() { list(names) } else { std::slice::from_ref(names) };
        names.iter().map(|name| place(name).expect("a band of the card")).collect()
    };
    let (kind, numbers) = if let Some(id) = rule["measure"].as_str() {
        let tests: [(&str, Compare); 4] = [
            ("above", NumberTest::Above),
            ("below", NumberTest::Below),
            ("at_least", NumberTest::AtLeast),
            ("at_most", NumberTest::AtMost),
        ];
        let written = tests.iter().find(|(key, _)| !rule[*key].is_null());
        let (key, test) = written.expect("a rule on a measure compares it");
        (AlertKind::Measure { id: id.to_string(), test: *test }, &rule[*key])
    } else if let Value::Object(drop) = &rule["score_drop"] {
        let within_ms = duration(&drop["within"]).expect("a drop has a window");
        let at_most = drop.get("at_most").and_then(optional_number);
        (AlertKind::ScoreDrop { within_ms, at_most }, &drop["points"])
    } else if !rule["band_entered"].is_null() {
        (AlertKind::BandEntered { bands: places(&rule["band_entered"]) }, &Value::Null)
    } else if !rule["silence"].is_null() {
        (AlertKind::Silence, &rule["silence"]["for"])
    } else if !rule["renewal_at_risk"].is_null() {
        let renewal = &rule["renewal_at_risk"];
        (AlertKind::RenewalAtRisk { bands: places(&renewal["bands"]) }, &renewal["within"])
    } else if !rule["opportunity"].is_null() {
        let opportunity = &rule["opportunity"];
        let kind = AlertKind::Opportunity {
            bands: places(&opportunity["band"]),
            for_ms: duration(&opportunity["for"]).expect("an opportunity has its time"),
            rising: read_condition(&opportunity["rising"]),
        };
        (kind, &Value::Null)
    } else {
        assert!(!rule["coverage"].is_null(), "cannot read alert `{rule}`");
        (AlertKind::Coverage, &rule["coverage"]["below"])
    };
    let usual = match kind {
        AlertKind::Opportunity { .. } => Severity::Info,
        _ => Severity::Warning,
    };
    let of_rule = rule["severity"].as_str().map_or(usual, severity);
    let mut levels: Vec<Level> = match numbers {
        Value::Object(levels) => levels
            .iter()
            .map(|(name, number)| Level { severity: severity(name), number: threshold(number) })
            .collect(),
        Value::Null => vec![Level { severity: of_rule, number: 0.0 }],
        one => vec![Level { severity: of_rule, number: threshold(one) }],
    };
    levels.sort_by_key(|level| level.severity);
    let condition = &rule["where"];
    AlertRule {
        id: string(&rule["id"]),
        kind,
        levels,
        only_where: (!condition.is_null()).then(|| read_condition(condition)),
        hold_ms: duration(&rule["hold"]).unwrap_or(0),
        cooldown_ms: duration(&rule["cooldown"]).unwrap_or(0),
    }
}

/// A number, or a duration in milliseconds.
fn threshold(value: &Value) -> f64 {
    value.as_f64().or_else(|| Some(duration(value)? as f64)).expect("a level has its number")
}

fn severity(name: &str) -> Severity {
    let all = [Severity::Info, Severity::Warning, Severity::Critical];
    let found = all.into_iter().find(|severity| severity.name() == name);
    found.unwrap_or_else(|| panic!("`{name}` is no severity"))
}

/// `28d`, `6h`, `90m`, `1d12h`; a bare 0 is no time at all.
fn duration(value: &Value) -> Option<i64> {
    if value.is_null() {
        return None;
    }
    if value.as_i64() == Some(0) {
        return Some(0);
    }
    let text = value.as_str().unwrap_or_else(|| panic!("`{value}` is not a duration"));
    let mut total_ms = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).expect("a duration has a unit");
        let count: i64 = rest[..digits].parse().expect("a duration has a number");
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total_ms += count
            * match &rest[..end] {
                "w" => 7 * DAY_MS,
                "d" => DAY_MS,
                "h" => HOUR_MS,
                "m" => MINUTE_MS,
                "s" => 1_000,
                "ms" => 1,
                unit => panic!("`{text}`: cannot read the unit `{unit}`"),
            };
        rest = &rest[end..];
    }
    Some(total_ms)
}

/// `60m` is written `1h`, and two weeks `14d`.
fn in_largest_unit(ms: i64) -> String {
    let units = [("d", DAY_MS), ("h", HOUR_MS), ("m", MINUTE_MS), ("s", 1_000), ("ms", 1)];
    let (unit, size) = units.into_iter().find(|(_, size)| ms % size == 0).expect("ms divide all");
    format!("{}{unit}", ms / size)
}

fn list(value: &Value) -> &[Value] {
    match value {
        Value::Null => &[],
        Value::Array(values) => values,
        other => panic!("`{other}` is not a list"),
    }
}

fn strings(value: &Value) -> Option<Vec<String>> {
    (!value.is_null()).then(|| list(value).iter().map(string).collect())
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("`{value}` is not text")).to_string()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("`{value}` is not a number"))
}

fn optional_number(value: &Value) -> Option<f64> {
    (!value.is_null()).then(|| number(value))
}

#[test]
fn durations_add_up() {
    let of = |text: &str| duration(&Value::from(text));
    assert_eq!(of("1d12h"), Some(36 * HOUR_MS));
    assert_eq!(of("90m"), Some(90 * MINUTE_MS));
    assert_eq!(duration(&Value::Null), None);
}
