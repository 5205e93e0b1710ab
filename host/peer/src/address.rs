//! Where a peer is said to live, and who turns that into addresses.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::str::FromStr;

use crate::error::{ErrorKind, PeerError};

/// `host:port`, the host a name, an IPv4 address or an IPv6 address in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    host: Box<str>,
    port: u16,
}

impl Address {
    /// The host, IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, never 0.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(formatter, "[{}]:{}", self.host, self.port),
            false => write!(formatter, "{}:{}", self.host, self.port),
        }
    }
}

impl FromStr for Address {
    type Err = PeerError;

    fn from_str(text: &str) -> Result<Self, PeerError> {
        let parse = || {
            let (host, port) = text.rsplit_once(':')?;
            let port = port.parse().ok().filter(|port| *port != 0)?;
            let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                Some(v6) => v6.parse::<std::net::Ipv6Addr>().ok()?.to_string(),
                None => host.to_owned(),
            };
            // Also excludes an IPv6 address that lacks its brackets.
            let known = host.parse::<std::net::IpAddr>().is_ok();
            let name = rustls_pki_types::DnsName::try_from(host.as_str()).is_ok();
            (known && (host.contains(':') == text.starts_with('[')) || name)
                .then(|| Self { host: host.into(), port })
        };
        parse().ok_or_else(|| {
            let shown: String = text.chars().take(300).collect();
            PeerError::new(ErrorKind::Invalid(format!(
                "`{}` is no address of a peer: write `host:port`, with IPv6 in brackets",
                shown.escape_debug()
            )))
        })
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string().into(), port: address.port() }
    }
}

/// What a [`Resolver`] returns.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;

/// Turns a host's name into addresses. Asked anew for each attempt to connect, never remembered: a member that was
/// restarted may have moved.
pub trait Resolver: Send + Sync + 'static {
    /// The addresses of `address`, best first. At most the first [`crate::MAX_RESOLVED`] are tried.
    ///
    /// # Errors
    /// Whatever kept the name from being resolved.
    fn resolve<'a>(&'a self, address: &'a Address) -> Resolving<'a>;
}

/// The operating system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve<'a>(&'a self, address: &'a Address) -> Resolving<'a> {
        Box::pin(
            async move { Ok(tokio::net::lookup_host((address.host(), address.port())).await?.collect()) },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_host_and_port() {
        for text in ["a:1", "a-0.a.svc.cluster.local:4321", "127.0.0.1:65535", "[::1]:4321"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "a",
            "a:",
            "a:0",
            "a:65536",
            ":1",
            "::1:4321",
            "[a]:1",
            "[127.0.0.1]:1",
            "a b:1",
            "a/b:1",
            "[::1:2",
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains("host:port"), "{text}: {error}");
        }
    }
}
