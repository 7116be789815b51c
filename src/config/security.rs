//! Whether the properties that let a client in fit together, and whether this build can do what they
//! ask. librdkafka would say the same much later, and of the wrong key.

use super::{Properties, Surroundings};
use crate::engine::yaml::Field;

/// What has to be done for a build that can do TLS.
const BUILD_WITH_TLS: &str = "build it with `cargo build --release --features tls`";

/// Properties by which a client is let in.
fn is_about_security(key: &str) -> bool {
    key == "security.protocol"
        || key == "enable.ssl.certificate.verification"
        || key == "https.ca.location"
        || ["ssl.", "sasl.", "enable.sasl."].iter().any(|start| key.starts_with(start))
}

/// Refuses them for consumers or producers alone: the clients that look at topics, read the state
/// back and ask for ends would not be let in.
pub(super) fn is_for_every_client(key: &str, value: &Field<'_>) -> Option<()> {
    if is_about_security(key) {
        return value
            .error("belongs under `kafka.properties`: every client has to be let in alike");
    }
    Some(())
}

/// Checks the properties of every client.
pub(super) fn check_security(
    section: &Field<'_>,
    properties: &Properties,
    surroundings: &Surroundings<'_>,
) -> Option<()> {
    let field = |key: &str| {
        let entries = section.entries().unwrap_or_default();
        entries.into_iter().find(|(name, _)| *name == key).map(|(_, field)| field)
    };
    let protocol = properties.value("security.protocol").unwrap_or("plaintext").to_lowercase();
    let (tls, sasl) = match protocol.as_str() {
        "plaintext" => (false, false),
        "ssl" => (true, false),
        "sasl_plaintext" => (false, true),
        "sasl_ssl" => (true, true),
        _ => {
            return field("security.protocol")?
                .expected("`PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`");
        }
    };
    if tls && !surroundings.tls {
        return field("security.protocol")?.error(format!(
            "is `{}`, which this build cannot do: it was built without TLS; {BUILD_WITH_TLS}",
            protocol.to_uppercase()
        ));
    }
    if sasl {
        return check_sasl(section, &field, properties, tls, surroundings);
    }
    // Settings that look as if they protected something and do not.
    let unused = properties.iter().find(|(key, _)| key.starts_with("sasl."));
    if let Some((key, _)) = unused {
        field(key)?.warning(format!(
            "has no effect while security.protocol is `{}`",
            protocol.to_uppercase()
        ));
    }
    if !tls && let Some((key, _)) = properties.iter().find(|(key, _)| key.starts_with("ssl.")) {
        if !surroundings.tls {
            return field(key)?
                .error(format!("cannot be used: this build has no TLS; {BUILD_WITH_TLS}"));
        }
        field(key)?.warning("has no effect while security.protocol is `PLAINTEXT`");
    }
    Some(())
}

fn check_sasl<'a>(
    section: &Field<'a>,
    field: &dyn Fn(&str) -> Option<Field<'a>>,
    properties: &Properties,
    tls: bool,
    surroundings: &Surroundings<'_>,
) -> Option<()> {
    // The library knows both names, and takes the last.
    let key = ["sasl.mechanism", "sasl.mechanisms"].into_iter().find(|key| field(key).is_some());
    let Some(key) = key else {
        return section.error_about(format!(
            "{}.sasl.mechanism is missing, expected `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`",
            section.path()
        ));
    };
    let mechanism = properties.value(key)?.to_uppercase();
    match mechanism.as_str() {
        "PLAIN" => {
            if !tls {
                field(key)?
                    .warning("is `PLAIN` without TLS: whoever sees the network sees the password");
            }
        }
        "SCRAM-SHA-256" | "SCRAM-SHA-512" => {
            if !surroundings.tls {
                return field(key)?.error(format!(
                    "is `{mechanism}`, which this build cannot do: SCRAM needs the library that TLS \
                     does; {BUILD_WITH_TLS}"
                ));
            }
        }
        _ => return field(key)?.expected("`PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`"),
    }
    let mut complete = Some(());
    for key in ["sasl.username", "sasl.password"] {
        if properties.value(key).is_none_or(str::is_empty) {
            complete = section.error_about(format!(
                "{}.{key} is missing: {mechanism} needs a user and a password (`${{VARIABLE}}` and \
                 `${{file:PATH}}` take them from elsewhere)",
                section.path()
            ));
        }
    }
    complete
}
