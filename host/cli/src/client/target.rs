//! Which host to ask, with which key: from options, environment and contexts. Pure, save for reading a key file.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use reqwest::Url;

use crate::args::remote::Remote;
use crate::secret::Secret;
use crate::settings::{Context, Settings};

/// The host that is asked where nothing was said.
const DEFAULT_SERVER: &str = "http://127.0.0.1:8000";

/// A host, and how to ask it.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) server: Url,
    pub(crate) key: Option<Secret>,
    pub(crate) ca_file: Option<PathBuf>,
}

/// The host to ask. A context's key goes to another server only where both were named.
///
/// # Errors
/// When the context is not there, the address is none, or the key file cannot be read.
pub(crate) fn resolve(remote: &Remote, settings: &Settings) -> anyhow::Result<Target> {
    let unnamed = Context::default();
    let context = match (&remote.context, &remote.server, &settings.context) {
        (Some(name), _, _) => settings.context(name)?,
        (None, None, Some(name)) => settings.context(name).context("the context in use")?,
        (None, _, _) => &unnamed,
    };
    let server = remote.server.as_deref().or(context.server.as_deref()).unwrap_or(DEFAULT_SERVER);
    let key = match (&remote.key, &remote.key_file, &context.key, &context.key_file) {
        (Some(key), ..) => Some(key.clone()),
        (None, Some(file), ..) => Some(Secret::read(file)?),
        (None, None, Some(key), _) => Some(key.clone()),
        (None, None, None, Some(file)) => Some(Secret::read(file)?),
        (None, None, None, None) => None,
    };
    let ca_file = remote.ca_file.clone().or_else(|| context.ca_file.clone());
    Ok(Target { server: address(server)?, key, ca_file })
}

/// Check the address of a host.
///
/// # Errors
/// When it is no HTTP address, or holds what such an address does not.
pub(crate) fn address(text: &str) -> anyhow::Result<Url> {
    const EXAMPLE: &str = "write it as `https://inquisitor.example:8000`";
    let url = Url::parse(text).with_context(|| format!("`{text}` is no address of a host; {EXAMPLE}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        bail!("`{text}` is no address of a host; {EXAMPLE}");
    }
    if !url.username().is_empty() || url.password().is_some() {
        bail!("an address holds no key; {EXAMPLE}, and give the key with --key-file or INQUISITOR_KEY");
    }
    if url.query().is_some() || url.fragment().is_some() {
        bail!("`{text}`: an address of a host ends before `?` and `#`; {EXAMPLE}");
    }
    Ok(url)
}

/// Whether a key would go over the network for everybody on the way to read.
pub(crate) fn is_exposed(server: &Url) -> bool {
    let loopback = match server.host_str() {
        Some("localhost") => true,
        Some(host) => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        None => false,
    };
    server.scheme() == "http" && !loopback
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        toml::from_str(
            "context = 'lab'\n\
             [contexts.lab]\nserver = 'http://lab:8000'\nkey = 'of-lab'\n\
             [contexts.prod]\nserver = 'https://prod'\nkey = 'of-prod'\nca-file = '/ca.pem'\n",
        )
        .unwrap()
    }

    fn shown(remote: &Remote, settings: &Settings) -> (String, Option<String>) {
        let target = resolve(remote, settings).unwrap();
        (target.server.to_string(), target.key.map(|key| key.expose().to_owned()))
    }

    #[test]
    fn nothing_said_is_this_machine() {
        assert_eq!(
            shown(&Remote::default(), &Settings::default()),
            ("http://127.0.0.1:8000/".to_owned(), None)
        );
    }

    #[test]
    fn the_context_in_use_serves_where_no_server_is_named() {
        assert_eq!(
            shown(&Remote::default(), &settings()),
            ("http://lab:8000/".to_owned(), Some("of-lab".to_owned()))
        );
        let prod = Remote { context: Some("prod".to_owned()), ..Remote::default() };
        assert_eq!(shown(&prod, &settings()), ("https://prod/".to_owned(), Some("of-prod".to_owned())));
        let keyed = Remote { key: Some("mine".parse().unwrap()), ..prod };
        assert_eq!(shown(&keyed, &settings()).1.as_deref(), Some("mine"));
    }

    #[test]
    fn the_key_of_a_context_does_not_go_to_another_server() {
        let other = Remote { server: Some("http://other".to_owned()), ..Remote::default() };
        assert_eq!(shown(&other, &settings()), ("http://other/".to_owned(), None));
    }

    #[test]
    fn what_is_no_address_is_refused_with_an_example() {
        for text in ["prod:8000", "ftp://x", "", "https://", "https://h/?a=1", "http://me:secret@h"] {
            let error = format!("{:#}", address(text).unwrap_err());
            assert!(error.contains("https://inquisitor.example:8000"), "{error}");
            assert!(!error.contains("me:secret"), "{error}");
        }
        assert_eq!(address("https://h/behind/a/proxy").unwrap().path(), "/behind/a/proxy");
    }

    #[test]
    fn a_key_in_the_clear_is_noticed() {
        for (text, exposed) in [
            ("http://127.0.0.1:8000", false),
            ("http://[::1]:8000", false),
            ("http://localhost", false),
            ("https://inquisitor.example", false),
            ("http://inquisitor.example", true),
            ("http://10.0.0.1", true),
        ] {
            assert_eq!(is_exposed(&address(text).unwrap()), exposed, "{text}");
        }
    }
}
