//! The scorecards that come with the product, embedded: published models, ready to be copied.

use crate::engine::yaml::nearest;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// The scorecard's id, and its file's name without `.yaml`.
    pub name: &'static str,
    /// The whole file, comments and tests included.
    pub text: &'static str,
}

macro_rules! preset {
    ($name:literal) => {
        Preset { name: $name, text: include_str!(concat!("../config/scorecards/", $name, ".yaml")) }
    };
}

/// Every preset, the default one first.
pub const PRESETS: [Preset; 7] = [
    preset!("saas-default"),
    preset!("traffic-light"),
    preset!("three-dimensions"),
    preset!("ten-metrics"),
    preset!("three-prongs"),
    preset!("usage-first"),
    preset!("signed-actions"),
];

/// The preset of this name.
pub fn by_name(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

/// What to tell whoever asked for a preset that is not there: follows the place of the name.
pub fn no_such(name: &str) -> String {
    let names = PRESETS.map(|preset| preset.name);
    match nearest(name, names) {
        Some(near) => format!("is `{name}`, which is no preset; did you mean `{near}`?"),
        None => format!("is `{name}`, which is no preset; there are {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::scorecard::Scorecard;

    #[test]
    fn every_preset_reads_without_a_word_and_is_called_like_its_file() {
        for preset in &PRESETS {
            let parsed = Scorecard::parse(preset.name, preset.text).unwrap();
            assert_eq!(parsed.warnings, [], "{}", preset.name);
            assert_eq!(parsed.scorecard.id, preset.name);
            assert!(!parsed.scorecard.description.is_empty(), "{}", preset.name);
        }
    }

    #[test]
    fn a_name_that_is_no_preset_is_told_the_nearest() {
        assert_eq!(
            no_such("ten-metric"),
            "is `ten-metric`, which is no preset; did you mean `ten-metrics`?"
        );
        assert_eq!(
            no_such("mine"),
            "is `mine`, which is no preset; there are saas-default, traffic-light, \
             three-dimensions, ten-metrics, three-prongs, usage-first, signed-actions"
        );
    }
}
