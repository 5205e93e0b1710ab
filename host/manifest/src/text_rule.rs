//! Forms of text: what is right, what is wrong with one that is not, and the same as JSON Schema.

use crate::diagnostic::{nearest, quote};
use crate::secret;
use crate::shape::{MAX_NAME, TextRule};

/// Bytes of a path, a unit or an expression. Longer ones are no mistake of the eye but an attack on whoever compiles
/// them.
const MAX_LINE: usize = 4096;

/// What is wrong with a text.
pub(crate) struct Fault {
    /// What it is instead, to go after "the text `…` ".
    pub(crate) what: String,
    /// What would be right.
    pub(crate) help: String,
}

fn fault(what: impl Into<String>, help: impl Into<String>) -> Result<(), Fault> {
    Err(Fault { what: what.into(), help: help.into() })
}

impl TextRule {
    /// Judge a text.
    pub(crate) fn check(self, text: &str) -> Result<(), Fault> {
        match self {
            Self::Any => Ok(()),
            Self::Name => check_name(text),
            Self::Version => check_version(text),
            Self::Time => match text.parse::<jiff::Timestamp>() {
                Ok(_) => Ok(()),
                Err(_) => fault("is not a time", "write a time of RFC 3339, as `2026-02-16T00:00:00Z`"),
            },
            Self::Plugin => match text.parse::<crate::PluginReference>() {
                Ok(_) => Ok(()),
                Err(error) => fault(
                    format!("does not name a plugin: {error}"),
                    "write `name`, `name@1.2.3` or `name@sha256:` with 64 hexadecimal digits",
                ),
            },
            Self::Provider if text == "internal" => Ok(()),
            Self::Provider => {
                fault("is not a provider of this host", "only `internal`, the host's own plugins, is known")
            }
            Self::Location | Self::Unit | Self::Expression if text.is_empty() => {
                fault("is empty", "write something or leave the field out")
            }
            Self::Location | Self::Unit | Self::Expression if text.len() > MAX_LINE => {
                fault("is too long", format!("at most {MAX_LINE} bytes"))
            }
            Self::Location if text.contains('\0') => fault("holds a NUL character", "no path has one"),
            Self::Location | Self::Unit | Self::Expression => Ok(()),
            Self::AbsolutePath => check_absolute(text),
            Self::Authority => check_authority(text),
        }
    }

    /// Whether secret references are resolved in such a text.
    pub(crate) fn resolves_secrets(self) -> bool {
        self == Self::Location
    }

    /// A regular expression for JSON Schema that the right texts match (it may let a few wrong ones pass).
    pub(crate) fn pattern(self) -> Option<&'static str> {
        match self {
            Self::Any
            | Self::Name
            | Self::Location
            | Self::Unit
            | Self::Expression
            | Self::Provider
            | Self::Time => None,
            Self::Version => Some("^1\\.[0-9]+(\\.[0-9]+)?$"),
            Self::Plugin => Some("^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}(@.+)?$"),
            Self::AbsolutePath => Some("^/"),
            Self::Authority => Some("^[^\\s/@]+:[0-9]{1,5}$"),
        }
    }
}

fn check_name(text: &str) -> Result<(), Fault> {
    if text.trim().is_empty() {
        return fault("is empty", "a name has at least one character");
    }
    if text.chars().count() > MAX_NAME {
        return fault("is too long", format!("a name has at most {MAX_NAME} characters"));
    }
    if text.chars().any(char::is_control) {
        return fault("holds a control character", "a name is one line of text");
    }
    Ok(())
}

fn check_version(text: &str) -> Result<(), Fault> {
    let parts: Vec<&str> = text.split('.').collect();
    let numeric = parts
        .iter()
        .all(|part| !part.is_empty() && part.len() <= 9 && part.bytes().all(|b| b.is_ascii_digit()));
    if !numeric || !(2..=3).contains(&parts.len()) {
        return fault("is not a version", "write X.Y or X.Y.Z, as \"1.0.0\"");
    }
    match parts[0].parse() {
        Ok(1_u32) => Ok(()),
        _ => fault(
            "is a version that this host does not know",
            "this host reads version 1 of the schema, as \"1.0.0\"",
        ),
    }
}

fn check_absolute(text: &str) -> Result<(), Fault> {
    if !text.starts_with('/') {
        return fault("is not an absolute path", "begin with `/`");
    }
    if text.contains('\0') || text.len() > MAX_LINE {
        return fault("is not a path", format!("at most {MAX_LINE} bytes, without a NUL character"));
    }
    if text.split('/').any(|part| part == "..") {
        return fault("leads upwards", "write the path without `..`");
    }
    Ok(())
}

fn check_authority(text: &str) -> Result<(), Fault> {
    const HELP: &str = "write host and port, as `api.example.com:443` or `[::1]:502`";
    if text.contains("://") {
        return fault("is a URL", HELP);
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return fault("has no port", HELP);
    };
    if !matches!(port.parse::<u16>(), Ok(1..)) || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return fault("does not end in a port from 1 to 65535", HELP);
    }
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let right = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.len() <= 253
                && host
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.' || byte == b'_')
        }
    };
    if right { Ok(()) } else { fault("does not begin with a host's name or address", HELP) }
}

/// What to say of a word that is none of the known ones.
pub(crate) fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(word, known.clone()) {
        None if known.clone().into_iter().count() == 1 => {
            format!("write {}", known.into_iter().map(quote).collect::<String>())
        }
        Some(nearest) => format!("did you mean {}?", quote(nearest)),
        None => format!("known are {}", crate::diagnostic::list(known).replace(" or ", " and ")),
    }
}

/// What is wrong with the secret references of a text.
pub(crate) fn check_secrets(text: &str) -> Result<(), Fault> {
    match secret::parse(text) {
        Ok(_) => Ok(()),
        Err(error) => {
            fault(error.to_string(), "write `${NAME}` for a secret, `$${` for the two characters themselves")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right(rule: TextRule, text: &str) -> bool {
        rule.check(text).is_ok()
    }

    #[test]
    fn forms() {
        for version in ["1.0", "1.0.0", "1.12"] {
            assert!(right(TextRule::Version, version), "{version}");
        }
        for version in ["1", "2.0.0", "1.0.0.0", "v1.0", "1.", "1.0-a", ""] {
            assert!(!right(TextRule::Version, version), "{version}");
        }
        for authority in ["api.example.com:443", "10.0.0.5:502", "[::1]:80", "plc_1:502"] {
            assert!(right(TextRule::Authority, authority), "{authority}");
        }
        for authority in
            ["api.example.com", "https://a:443", "a:0", "a:70000", ":80", "::1:80", "a b:80", "a:+80"]
        {
            assert!(!right(TextRule::Authority, authority), "{authority}");
        }
        for path in ["data", "/a/../b", ""] {
            assert!(!right(TextRule::AbsolutePath, path), "{path}");
        }
        assert!(right(TextRule::AbsolutePath, "/data/..x"));
        assert!(right(TextRule::Time, "2026-02-16T00:00:00Z"));
        assert!(!right(TextRule::Time, "2026-02-16"));
        assert!(!right(TextRule::Name, " "));
        assert!(!right(TextRule::Name, &"n".repeat(MAX_NAME + 1)));
    }
}
