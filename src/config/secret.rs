//! What must never be printed, and how it is kept from it.

use std::collections::BTreeMap;
use std::fmt;

use crate::engine::yaml::{Content, Node};

/// What stands in for a secret.
const HIDDEN: &str = "(hidden)";

/// Parts of a key that say its value is secret, in lower case.
const SECRET_PARTS: [&str; 8] =
    ["password", "passwd", "passphrase", "secret", "token", "credential", "key.pem", "sasl.jaas"];

/// Whether the value of this key must not be printed. Errs on the side of hiding.
pub fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    // OAUTHBEARER's `sasl.oauthbearer.config` holds claims for the unsecured token.
    SECRET_PARTS.iter().any(|part| key.contains(part)) || key == "sasl.oauthbearer.config"
}

/// Properties that go to the client library as they are. Printing them, with `{}` or `{:?}`, hides
/// the secret ones.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(BTreeMap<String, String>);

impl Properties {
    /// Keys and values by key, secrets and all.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// The value of `key`, secret or not.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Keys and values by key, with secret values hidden.
    pub fn shown(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter().map(|(key, value)| (key, if is_secret(key) { HIDDEN } else { value }))
    }
}

impl FromIterator<(String, String)> for Properties {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(entries: I) -> Self {
        Properties(entries.into_iter().collect())
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.shown()).finish()
    }
}

impl fmt::Display for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, value)) in self.shown().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{key}={value}")?;
        }
        Ok(())
    }
}

/// Keeps the values of secret keys out of messages about them.
pub(super) fn hide_secrets(node: &mut Node) {
    match &mut node.content {
        Content::Scalar(_) => {}
        Content::List(items) => items.iter_mut().for_each(hide_secrets),
        Content::Mapping(entries) => {
            for entry in entries {
                match &mut entry.value.content {
                    Content::Scalar(scalar) if is_secret(&entry.key) => {
                        scalar.shown_as.get_or_insert_with(|| HIDDEN.to_string());
                    }
                    _ => hide_secrets(&mut entry.value),
                }
            }
        }
    }
}
