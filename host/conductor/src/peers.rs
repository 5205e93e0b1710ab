//! The members that a cluster is formed of, as an operator lists them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use inquisitor_peer::{Address, MemberName};

use crate::error::ConductorError;

/// Members that a list may have. Raft works best with three, five or seven.
pub const MAX_PEERS: usize = 64;

/// Names of members and where they live: `host:port` or `name=host:port`, separated by commas. Without a name the first
/// label of the host is the member's name. The order does not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerList(BTreeMap<MemberName, Address>);

impl PeerList {
    /// Where the member lives; none where it is not listed.
    pub fn address(&self, name: &MemberName) -> Option<&Address> {
        self.0.get(name)
    }

    /// Names and addresses, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&MemberName, &Address)> {
        self.0.iter()
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody is listed, which [`PeerList::from_str`] refuses.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The normal form, by which two lists can be compared.
impl fmt::Display for PeerList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (name, address)) in self.0.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            write!(formatter, "{comma}{name}={address}")?;
        }
        Ok(())
    }
}

impl FromStr for PeerList {
    type Err = ConductorError;

    fn from_str(text: &str) -> Result<Self, ConductorError> {
        let mut peers = BTreeMap::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, address) = entry(part)?;
            if let Some((other, _)) = peers.iter().find(|(_, there)| **there == address) {
                return refuse(format!("`{other}` and `{name}` have the same address, {address}"));
            }
            if peers.insert(name.clone(), address).is_some() {
                return refuse(format!("`{name}` is listed twice"));
            }
            if peers.len() > MAX_PEERS {
                return refuse(format!("more than {MAX_PEERS} members"));
            }
        }
        if peers.is_empty() {
            return refuse("it is empty; list every member, this one included, as `host:port`".to_owned());
        }
        Ok(Self(peers))
    }
}

fn entry(text: &str) -> Result<(MemberName, Address), ConductorError> {
    let parse = |address: &str| -> Result<Address, ConductorError> {
        address.parse().map_err(|error: inquisitor_peer::PeerError| ConductorError::Peers(error.to_string()))
    };
    let (name, address) = match text.split_once('=') {
        Some((name, address)) => (name.trim().to_owned(), parse(address.trim())?),
        None => {
            let address = parse(text)?;
            if address.host().parse::<std::net::IpAddr>().is_ok() {
                return refuse(format!("`{text}` has no name; write `name={text}`"));
            }
            (address.host().split('.').next().unwrap_or_default().to_owned(), address)
        }
    };
    let name =
        name.parse().map_err(|error: inquisitor_peer::PeerError| ConductorError::Peers(error.to_string()))?;
    Ok((name, address))
}

fn refuse<T>(problem: String) -> Result<T, ConductorError> {
    Err(ConductorError::Peers(problem))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_come_from_the_host_or_stand_before_the_address() {
        let list: PeerList = " inq-1.inq.ns.svc:4321, inq-0.inq.ns.svc:4321 ,".parse().unwrap();
        assert_eq!(list.to_string(), "inq-0=inq-0.inq.ns.svc:4321,inq-1=inq-1.inq.ns.svc:4321");
        let list: PeerList = "b=127.0.0.2:4321,a=[::1]:4321".parse().unwrap();
        assert_eq!(list.to_string(), "a=[::1]:4321,b=127.0.0.2:4321");
        assert_eq!(list.address(&"b".parse().unwrap()).unwrap().to_string(), "127.0.0.2:4321");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, expected) in [
            ("", "it is empty"),
            ("a", "host:port"),
            ("127.0.0.1:4321", "write `name=127.0.0.1:4321`"),
            ("a.x:1,a.y:1", "`a` is listed twice"),
            ("a=h:1,b=h:1", "have the same address"),
            ("a b=h:1", "no name of a member"),
        ] {
            let error = text.parse::<PeerList>().unwrap_err().to_string();
            assert!(error.contains(expected) && error.starts_with("the list of members"), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_list_or_an_error_and_the_normal_form_is_stable(text in "[a-c=:.,0-9\\[\\] ]{0,40}") {
            if let Ok(list) = text.parse::<PeerList>() {
                prop_assert_eq!(list.to_string().parse::<PeerList>().unwrap(), list);
            }
        }
    }
}
