//! Keys: what they look like, and whose a request has.

use axum::extract::Request;
use http::{HeaderMap, HeaderName, header};
use inquisitor_conductor::Registry;
use inquisitor_engine::gating::{KeyRecord, Role};
use rand::Rng as _;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

use super::Principal;
use crate::problem::{Kind, Problem};

/// Id of the key of the environment, in the ledger.
const BOOTSTRAP: &str = "bootstrap";
/// Id of whoever asks a host that asks nobody for a key.
const LOCAL: &str = "local";

/// What every key that a host draws begins with, so that scanners for leaked secrets know it.
const PREFIX: &str = "inq_";
/// Characters after the prefix: 62^43 is just more than 2^256.
const DRAWN: usize = 43;
/// Characters of a key that is looked at at all; the key of the environment may have any form.
const MAX_KEY: usize = 512;

/// What is said of a key that is missing, malformed, unknown, revoked or expired: always the same.
pub(super) const NO_GOOD_KEY: &str =
    "send a key that is good here, as `Authorization: Bearer KEY` or `X-Inquisitor-Key: KEY`";

static KEY_HEADER: HeaderName = HeaderName::from_static("x-inquisitor-key");

/// SHA-256 of a key.
pub(crate) struct SecretHash([u8; 32]);

impl SecretHash {
    pub(crate) fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    fn hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Compares in a time that tells nothing.
    fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// Draw a new key. It is shown once and never kept.
pub(crate) fn draw_secret() -> String {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut rng = rand::rng();
    let mut secret = String::with_capacity(PREFIX.len() + DRAWN);
    secret.push_str(PREFIX);
    while secret.len() < PREFIX.len() + DRAWN {
        // Six bits, thrown away where they are past the alphabet, so that every character is as likely.
        let drawn = (rng.next_u32() >> 26) as usize;
        if let Some(&character) = ALPHABET.get(drawn) {
            secret.push(char::from(character));
        }
    }
    secret
}

/// The hash of a key as it is kept: lower-case hex.
pub(crate) fn hash_secret(secret: &str) -> String {
    SecretHash::of(secret).hex()
}

/// Why nobody is let in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AuthError {
    /// No key, or none that is good.
    NoGoodKey,
    /// Keys that contradict each other.
    TwoKeys,
    /// A page of somebody else's site asks a host that asks for no key.
    ForeignSite,
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::NoGoodKey => Self::new(Kind::Unauthorized, NO_GOOD_KEY),
            AuthError::TwoKeys => {
                Self::bad_request("the request has two keys that are not the same; send one")
            }
            AuthError::ForeignSite => Self::forbidden(
                "this host asks for no key and so answers only what is addressed to it by a loopback name and not sent by \
                 another site's page; set API_KEY to open it to others",
            ),
        }
    }
}

/// Whose request this is.
pub(super) fn authenticate(
    sent: &Request,
    bootstrap: Option<&SecretHash>,
    registry: &Registry,
    now: i64,
    request: &str,
) -> Result<Principal, AuthError> {
    let principal = |key: &str, role, tenant: Option<&str>| Principal {
        key: key.to_owned(),
        role,
        tenant: tenant.map(str::to_owned),
        request: request.to_owned(),
    };
    let secret = match sent_key(sent.headers())? {
        Sent::Key(secret) => SecretHash::of(secret),
        Sent::None if bootstrap.is_some() => return Err(AuthError::NoGoodKey),
        Sent::None if !is_of_this_machine(sent) => return Err(AuthError::ForeignSite),
        Sent::None => return Ok(principal(LOCAL, Role::Admin, None)),
    };
    if bootstrap.is_some_and(|bootstrap| bootstrap.is(&secret)) {
        return Ok(principal(BOOTSTRAP, Role::Admin, None));
    }
    let hash = secret.hex();
    let record = registry.key_by_hash(&hash).filter(|record| is_good(record, &hash, now));
    let record = record.ok_or(AuthError::NoGoodKey)?;
    Ok(principal(&record.id, record.role, record.tenant.as_deref()))
}

/// Whether the key works now.
fn is_good(record: &KeyRecord, hash: &str, now: i64) -> bool {
    let same: bool = record.secret_hash.as_bytes().ct_eq(hash.as_bytes()).into();
    same && still_good(record, now)
}

/// Whether a key is neither revoked nor expired.
fn still_good(record: &KeyRecord, now: i64) -> bool {
    record.revoked.is_none() && record.expires.is_none_or(|expires| now < expires)
}

/// Whether the key of a principal opens the host as it did when the principal came.
pub(super) fn still_holds(id: &str, registry: &Registry, now: i64) -> bool {
    id == BOOTSTRAP || id == LOCAL || registry.key(id).is_some_and(|record| still_good(record, now))
}

enum Sent<'a> {
    None,
    Key(&'a str),
}

/// The key in the headers. The same one twice is one; two different ones are a mistake that should not be guessed about.
fn sent_key(headers: &HeaderMap) -> Result<Sent<'_>, AuthError> {
    let mut found: Option<&str> = None;
    let bearer = headers.get_all(header::AUTHORIZATION).iter().map(|value| {
        let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    let plain = headers.get_all(&KEY_HEADER).iter().map(|value| value.to_str().ok().map(str::trim));
    for key in bearer.chain(plain) {
        let key = key.filter(|key| (1..=MAX_KEY).contains(&key.len())).ok_or(AuthError::NoGoodKey)?;
        if found.is_some_and(|found| found != key) {
            return Err(AuthError::TwoKeys);
        }
        found = Some(key);
    }
    Ok(found.map_or(Sent::None, Sent::Key))
}

/// Whether the request was addressed to this machine, and not by the page of another site: a browser would carry a stranger's
/// request to a host on loopback, and a name of the stranger's can point there.
fn is_of_this_machine(request: &Request) -> bool {
    let headers = request.headers();
    // HTTP/2 has the name in the URI.
    let host = match (request.uri().authority(), headers.get(header::HOST)) {
        (Some(authority), _) => authority.as_str(),
        (None, Some(host)) => match host.to_str() {
            Ok(host) => host,
            Err(_) => return false,
        },
        (None, None) => return false,
    };
    let same_site = headers.get_all(header::ORIGIN).iter().all(|origin| {
        origin.to_str().is_ok_and(|origin| origin.split_once("://").is_some_and(|(_, site)| site == host))
    });
    same_site && is_loopback_name(host)
}

fn is_loopback_name(authority: &str) -> bool {
    let Ok(authority) = authority.parse::<http::uri::Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn request(pairs: &[(&'static str, &'static str)]) -> Request {
        let mut request = Request::default();
        *request.headers_mut() = headers(pairs);
        request
    }

    fn key(pairs: &[(&'static str, &'static str)]) -> Result<Option<String>, AuthError> {
        match sent_key(&headers(pairs)) {
            Ok(Sent::Key(key)) => Ok(Some(key.to_owned())),
            Ok(Sent::None) => Ok(None),
            Err(error) => Err(error),
        }
    }

    #[test]
    fn a_key_is_found_in_either_header() {
        assert_eq!(key(&[]), Ok(None));
        assert_eq!(key(&[("authorization", "Bearer a")]), Ok(Some("a".into())));
        assert_eq!(key(&[("authorization", "bearer  a ")]), Ok(Some("a".into())));
        assert_eq!(key(&[("x-inquisitor-key", "a")]), Ok(Some("a".into())));
        assert_eq!(key(&[("authorization", "Bearer a"), ("x-inquisitor-key", "a")]), Ok(Some("a".into())));
    }

    #[test]
    fn contradicting_keys_and_other_schemes_are_refused() {
        assert_eq!(key(&[("authorization", "Bearer a"), ("x-inquisitor-key", "b")]), Err(AuthError::TwoKeys));
        assert_eq!(
            key(&[("authorization", "Bearer a"), ("authorization", "Bearer b")]),
            Err(AuthError::TwoKeys)
        );
        assert_eq!(key(&[("authorization", "Basic YTpi")]), Err(AuthError::NoGoodKey));
        assert_eq!(key(&[("authorization", "Bearer ")]), Err(AuthError::NoGoodKey));
        assert_eq!(key(&[("x-inquisitor-key", "")]), Err(AuthError::NoGoodKey));
    }

    #[test]
    fn drawn_keys_are_new_and_of_one_form() {
        let (one, other) = (draw_secret(), draw_secret());
        assert_ne!(one, other);
        assert_eq!(one.len(), 47);
        assert!(
            one.starts_with("inq_") && one[4..].bytes().all(|byte| byte.is_ascii_alphanumeric()),
            "{one}"
        );
        assert_eq!(hash_secret("a"), "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb");
    }

    #[test]
    fn pages_of_other_sites_are_not_of_this_machine() {
        let ours = [
            &[("host", "127.0.0.1:8000")][..],
            &[("host", "localhost:8000"), ("origin", "http://localhost:8000")],
            &[("host", "[::1]:8000")],
        ];
        for pairs in ours {
            assert!(is_of_this_machine(&request(pairs)), "{pairs:?}");
        }
        let theirs = [
            &[("host", "rebound.example:8000")][..],
            &[("host", "localhost:8000"), ("origin", "https://evil.example")],
            &[("host", "localhost:8000"), ("origin", "null")],
            &[("host", "localhost.evil.example")],
            &[],
        ];
        for pairs in theirs {
            assert!(!is_of_this_machine(&request(pairs)), "{pairs:?}");
        }
    }

    #[test]
    fn expired_and_revoked_keys_are_no_good() {
        let hash = hash_secret("a");
        let record = KeyRecord {
            id: "k".into(),
            name: "n".into(),
            secret_hash: hash.clone(),
            role: Role::Admin,
            tenant: None,
            created: 0,
            expires: Some(10),
            revoked: None,
        };
        assert!(is_good(&record, &hash, 9));
        assert!(!is_good(&record, &hash, 10));
        assert!(!is_good(&record, &hash_secret("b"), 9));
        assert!(!is_good(&KeyRecord { revoked: Some(1), ..record }, &hash, 9));
    }
}
