//! What a session may reach outside, and what it was refused.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::request::Grants;

/// Different refusals that are remembered in one session.
const MAX_DENIALS: usize = 64;
/// Bytes of one refusal that are kept; what was asked for comes from the guest.
const MAX_DENIAL_BYTES: usize = 300;
/// Addresses that names may resolve to in one session.
const MAX_RESOLVED: usize = 256;

/// Decides and remembers. Shared with what runs beside the guest.
pub(crate) struct Gate {
    grants: Grants,
    tcp: Vec<Authority>,
    http: Vec<Authority>,
    reached_out: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    denials: Vec<String>,
    in_call: Option<String>,
    resolved: Vec<SocketAddr>,
}

/// A host (name or address, lower case, without brackets) and a port; none means any that the scheme has by default.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Authority {
    host: String,
    port: Option<u16>,
}

impl Authority {
    fn parse(text: &str) -> Self {
        let text = text.trim();
        let (host, port) = match text.rsplit_once(':') {
            // `::1` without brackets is an address, not a host and a port.
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => match port.parse() {
                Ok(port) => (host, Some(port)),
                Err(_) => (text, None),
            },
            _ => (text, None),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Self { host: normal(host), port }
    }
}

/// Lower case, and without the dot that ends an absolute name.
fn normal(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

impl Gate {
    pub(crate) fn new(grants: Grants) -> Self {
        let tcp = grants.tcp.iter().map(|text| Authority::parse(text)).collect();
        let http = grants.http.iter().map(|text| Authority::parse(text)).collect();
        Self { grants, tcp, http, reached_out: AtomicBool::new(false), state: Mutex::default() }
    }

    pub(crate) fn grants(&self) -> &Grants {
        &self.grants
    }

    /// Whether TCP to this address is granted: by the address itself, or by a name that resolved to it.
    pub(crate) fn allows_tcp(&self, address: SocketAddr) -> bool {
        let granted = self.tcp.iter().any(|authority| {
            authority.port == Some(address.port())
                && authority
                    .host
                    .parse::<IpAddr>()
                    .is_ok_and(|ip| ip.to_canonical() == address.ip().to_canonical())
        });
        granted || self.state().resolved.contains(&canonical(address))
    }

    /// Whether this name may be looked up: it is the host of a granted address.
    pub(crate) fn allows_lookup(&self, name: &str) -> bool {
        let name = normal(name);
        self.tcp.iter().any(|authority| authority.host == name)
    }

    /// A granted name resolved to an address.
    pub(crate) fn resolved(&self, name: &str, ip: IpAddr) {
        let name = normal(name);
        let mut state = self.state();
        for authority in self.tcp.iter().filter(|authority| authority.host == name) {
            let Some(port) = authority.port else { continue };
            let address = canonical(SocketAddr::new(ip, port));
            if state.resolved.len() < MAX_RESOLVED && !state.resolved.contains(&address) {
                state.resolved.push(address);
            }
        }
    }

    /// Whether HTTP to this host is granted. `default` is the port of the scheme.
    pub(crate) fn allows_http(&self, host: &str, port: u16, default: u16) -> bool {
        let host = normal(host);
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
        self.http.iter().any(|authority| authority.host == host && authority.port.unwrap_or(default) == port)
    }

    /// Remember a refusal.
    pub(crate) fn deny(&self, what: &str) {
        let what = crate::logs::escape(what, MAX_DENIAL_BYTES);
        let mut state = self.state();
        if state.denials.len() < MAX_DENIALS && !state.denials.contains(&what) {
            state.denials.push(what.clone());
        }
        state.in_call = Some(what);
    }

    /// The guest reached something that no record holds.
    pub(crate) fn reach_out(&self) {
        self.reached_out.store(true, Ordering::Relaxed);
    }

    pub(crate) fn reached_out(&self) -> bool {
        self.reached_out.load(Ordering::Relaxed)
    }

    pub(crate) fn begin(&self) {
        self.state().in_call = None;
    }

    pub(crate) fn denied_in_call(&self) -> Option<String> {
        self.state().in_call.clone()
    }

    pub(crate) fn denials(&self) -> Vec<String> {
        self.state().denials.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(http: &[&str], tcp: &[&str]) -> Gate {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Gate::new(Grants { http: own(http), tcp: own(tcp), files: Vec::new() })
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn tcp_is_granted_by_address_and_port() {
        let gate = gate(&[], &["10.0.0.5:502", "[2001:db8::1]:502"]);
        assert!(gate.allows_tcp(address("10.0.0.5:502")));
        assert!(gate.allows_tcp(address("[2001:db8::1]:502")));
        assert!(gate.allows_tcp(address("[::ffff:10.0.0.5]:502")), "the same address in its other spelling");
        assert!(!gate.allows_tcp(address("10.0.0.5:503")));
        assert!(!gate.allows_tcp(address("10.0.0.6:502")));
    }

    #[test]
    fn a_name_grants_what_it_resolved_to() {
        let gate = gate(&[], &["plc.example:502"]);
        assert!(gate.allows_lookup("PLC.example."));
        assert!(!gate.allows_lookup("other.example"));
        assert!(!gate.allows_tcp(address("192.0.2.7:502")));
        gate.resolved("plc.example", "192.0.2.7".parse().unwrap());
        assert!(gate.allows_tcp(address("192.0.2.7:502")));
        assert!(!gate.allows_tcp(address("192.0.2.7:80")), "only the granted port");
        gate.resolved("other.example", "192.0.2.8".parse().unwrap());
        assert!(!gate.allows_tcp(address("192.0.2.8:502")));
    }

    #[test]
    fn http_is_granted_by_authority() {
        let gate = gate(&["api.example:443", "plain.example", "[::1]:8080"], &[]);
        assert!(gate.allows_http("API.example", 443, 443));
        assert!(!gate.allows_http("api.example", 80, 80));
        assert!(gate.allows_http("plain.example", 80, 80));
        assert!(gate.allows_http("plain.example", 443, 443));
        assert!(!gate.allows_http("plain.example", 8443, 443));
        assert!(gate.allows_http("[::1]", 8080, 80));
        assert!(!gate.allows_http("api.example.evil", 443, 443));
    }

    #[test]
    fn refusals_are_remembered_once_and_in_bounds() {
        let gate = gate(&[], &[]);
        for port in 0..1000 {
            gate.deny(&format!("tcp 10.0.0.1:{}", port % 100));
        }
        assert_eq!(gate.denials().len(), MAX_DENIALS);
        assert_eq!(gate.denied_in_call().unwrap(), "tcp 10.0.0.1:99");
        gate.begin();
        assert_eq!(gate.denied_in_call(), None);
    }
}
