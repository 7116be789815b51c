//! Names of accounts and of the people who look after them.
//!
//! All of them are made up, in ASCII without anything JSON would escape.

const WORDS: [&str; 64] = [
    "acme", "alder", "amber", "arbor", "aspen", "atlas", "aurora", "basalt", "beacon", "birch",
    "bramble", "brook", "canyon", "cedar", "cinder", "clover", "cobalt", "comet", "copper",
    "coral", "crane", "delta", "drift", "dune", "ember", "falcon", "fern", "fjord", "flint",
    "garnet", "glacier", "granite", "harbor", "hazel", "heron", "indigo", "ivory", "jasper",
    "juniper", "kestrel", "lagoon", "larch", "linden", "lumen", "maple", "marble", "meadow",
    "mistral", "nimbus", "nova", "onyx", "opal", "orchid", "osprey", "pine", "quartz", "raven",
    "ridge", "sable", "sierra", "summit", "tundra", "willow", "zephyr",
];

const TRADES: [&str; 11] = [
    "Logistics",
    "Foods",
    "Software",
    "Media",
    "Health",
    "Energy",
    "Retail",
    "Robotics",
    "Travel",
    "Finance",
    "Materials",
];

/// Owners with their addresses.
pub(super) const OWNERS: [(&str, &str); 6] = [
    ("Ana Lindt", "ana.lindt@example.com"),
    ("Ben Okafor", "ben.okafor@example.com"),
    ("Chiara Russo", "chiara.russo@example.com"),
    ("Dev Patel", "dev.patel@example.com"),
    ("Elif Kaya", "elif.kaya@example.com"),
    ("Finn Berg", "finn.berg@example.com"),
];

/// The id of the account with this index, such as `acme-042`: no two indexes share one.
pub(super) fn account_id(index: u32) -> String {
    let (word, round) = word_and_round(index);
    // 387 has no factor in common with 1,000, so each round of a word gets another number; from
    // round 1,000 on the numbers have four digits and cannot meet those.
    let number = if round < 1_000 { (round * 387 + word as u32 * 71 + 42) % 1_000 } else { round };
    format!("{}-{number:03}", WORDS[word])
}

/// The display name, such as `Acme Logistics`; names repeat in a large fleet.
pub(super) fn display_name(index: u32) -> String {
    let (word, round) = word_and_round(index);
    let (first, rest) = WORDS[word].split_at(1);
    let trade = TRADES[(word + round as usize) % TRADES.len()];
    format!("{}{rest} {trade}", first.to_ascii_uppercase())
}

fn word_and_round(index: u32) -> (usize, u32) {
    (index as usize % WORDS.len(), index / WORDS.len() as u32)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_hundred_thousand_accounts_have_as_many_ids() {
        assert_eq!(account_id(0), "acme-042");
        assert_eq!(display_name(0), "Acme Logistics");
        let ids: HashSet<String> = (0..100_000).map(account_id).collect();
        assert_eq!(ids.len(), 100_000);
    }
}
