//! One entry of the ledger: a typed header and a body.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::canonical::{check_object, write_canonical};
use crate::{LedgerError, MAX_ENTRY_BYTES, MAX_SAFE_INTEGER};

/// The format that this crate writes and reads, the `v` of each entry.
pub const FORMAT: u32 = 1;

/// One entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Format of the entry; [`FORMAT`].
    pub v: u32,
    /// Position in the ledger, from 0. Inside the hashed bytes, so that an entry says where it belongs.
    pub index: u64,
    /// What happened, as `inquiry-submitted`.
    pub kind: String,
    /// When, as [`crate::rfc3339`] writes it.
    pub time: String,
    /// The inquiry that it is about.
    pub inquiry: String,
    /// What there is to say of this kind: small values and digests.
    pub body: Map<String, Value>,
}

impl Entry {
    /// The bytes that are hashed and stored: canonical JSON.
    ///
    /// # Errors
    /// When the body has no canonical form or the entry is larger than [`MAX_ENTRY_BYTES`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, LedgerError> {
        // As `canonical_bytes`, without a second copy of the body: a ledger's keeper does this for each entry.
        if self.index > MAX_SAFE_INTEGER {
            return Err(LedgerError::BadEntry {
                index: self.index,
                problem: "no JSON number is so large".into(),
            });
        }
        check_object(&self.body)?;
        write_canonical(self)
    }

    /// Reads the entry at a position from its bytes. Only the canonical bytes are taken: another spelling of the same
    /// value would have another hash.
    ///
    /// # Errors
    /// When the bytes are no entry of this format, not canonical, too large, or say another position.
    pub fn parse(bytes: &[u8], index: u64) -> Result<Self, LedgerError> {
        let bad = |problem: String| LedgerError::BadEntry { index, problem };
        if bytes.len() > MAX_ENTRY_BYTES {
            return Err(LedgerError::EntryTooLarge { bytes: bytes.len(), limit: MAX_ENTRY_BYTES });
        }
        let entry: Self = serde_json::from_slice(bytes).map_err(|error| bad(error.to_string()))?;
        if entry.v != FORMAT {
            return Err(bad(format!("it has format {}, this program reads format {FORMAT}", entry.v)));
        }
        if entry.index != index {
            return Err(bad(format!("it says that it is entry {}", entry.index)));
        }
        let canonical = entry.to_bytes().map_err(|error| bad(error.to_string()))?;
        if canonical != bytes {
            let at = canonical.iter().zip(bytes).take_while(|(a, b)| a == b).count();
            return Err(bad(format!("its bytes are not canonical JSON (RFC 8785), from byte {at} on")));
        }
        Ok(entry)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry() -> Entry {
        let Value::Object(body) = json!({ "plan": "ab", "steps": 3 }) else { unreachable!() };
        Entry {
            v: FORMAT,
            index: 7,
            kind: "inquiry-submitted".into(),
            time: crate::rfc3339(1),
            inquiry: "q".into(),
            body,
        }
    }

    #[test]
    fn bytes_are_stable() {
        insta::assert_snapshot!(
            String::from_utf8(entry().to_bytes().unwrap()).unwrap(),
            @r#"{"body":{"plan":"ab","steps":3},"index":7,"inquiry":"q","kind":"inquiry-submitted","time":"1970-01-01T00:00:00.000000001Z","v":1}"#
        );
    }

    #[test]
    fn an_entry_without_a_canonical_form_is_refused() {
        let mut large = entry();
        large.body.insert("n".into(), json!([0, u64::MAX]));
        let error = large.to_bytes().unwrap_err();
        assert!(matches!(&error, LedgerError::NotCanonical { pointer, .. } if pointer == "/n/1"), "{error}");
        let beyond = Entry { index: MAX_SAFE_INTEGER + 1, ..entry() };
        assert!(beyond.to_bytes().is_err());
    }

    #[test]
    fn only_the_canonical_bytes_at_their_place_are_an_entry() {
        let bytes = entry().to_bytes().unwrap();
        assert_eq!(Entry::parse(&bytes, 7).unwrap(), entry());
        assert_eq!(crate::canonical_bytes(&entry()).unwrap(), bytes);
        let text = String::from_utf8(bytes).unwrap();
        for (wrong, index, problem) in [
            (text.clone(), 8, "says that it is entry 7"),
            (text.replace(":3", ": 3"), 7, "not canonical"),
            (text.replace(":3", ":3.0"), 7, "not canonical"),
            (text.replace("\"v\":1", "\"v\":2"), 7, "format 2"),
            (text.replace("\"v\":1", "\"v\":1,\"w\":1"), 7, "unknown field"),
            (text.replace(":3", ":9007199254740993"), 7, "decimal string"),
            (String::new(), 7, "EOF"),
        ] {
            let error = Entry::parse(wrong.as_bytes(), index).unwrap_err().to_string();
            assert!(error.contains(problem), "{wrong}: {error}");
        }
    }
}
