//! A checkpoint: how many entries there are, and the hash over all of them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Hash, LedgerError, empty_root};

/// First line of the text form.
const HEADER: &str = "inquisitor ledger 1";

/// Size and root of a ledger. Whoever has noted one down can later tell whether the ledger still has the same beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Number of entries.
    pub size: u64,
    /// Merkle tree hash of the entries (RFC 6962, section 2.1).
    pub root: Hash,
}

impl Checkpoint {
    /// The checkpoint of a ledger without entries.
    pub fn empty() -> Self {
        Self { size: 0, root: empty_root() }
    }
}

/// Three lines: a header with the format's version, the size, the root; each ends in a newline.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{HEADER}\n{}\n{}\n", self.size, self.root)
    }
}

impl FromStr for Checkpoint {
    type Err = LedgerError;

    /// Reads the text form. The last newline may be missing; nothing else may differ.
    fn from_str(text: &str) -> Result<Self, LedgerError> {
        let bad = |problem: &str| LedgerError::CheckpointText { problem: problem.to_owned() };
        let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
        if lines.next() != Some(HEADER) {
            return Err(bad("the first line is another"));
        }
        let size_text = lines.next().ok_or_else(|| bad("the size is missing"))?;
        let size: u64 = size_text.parse().map_err(|_| bad("the size is not a number"))?;
        if size.to_string() != size_text {
            return Err(bad("the size has a sign or leading zeros"));
        }
        let root = lines.next().ok_or_else(|| bad("the root is missing"))?.parse()?;
        if lines.next().is_some() {
            return Err(bad("there are lines after the root"));
        }
        Ok(Self { size, root })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips() {
        let checkpoint = Checkpoint { size: 12, root: empty_root() };
        let text = checkpoint.to_string();
        insta::assert_snapshot!(text, @r"
        inquisitor ledger 1
        12
        e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
        ");
        assert_eq!(text.parse::<Checkpoint>().unwrap(), checkpoint);
        assert_eq!(text.trim_end().parse::<Checkpoint>().unwrap(), checkpoint);
    }

    #[test]
    fn other_texts_are_refused() {
        let root = empty_root();
        for wrong in [
            String::new(),
            "inquisitor ledger 2\n1\n".to_owned() + &root.to_string(),
            format!("{HEADER}\n01\n{root}\n"),
            format!("{HEADER}\n-1\n{root}\n"),
            format!("{HEADER}\n99999999999999999999\n{root}\n"),
            format!("{HEADER}\n1\n"),
            format!("{HEADER}\n1\n{root}\nmore\n"),
            format!("{HEADER}\r\n1\r\n{root}\r\n"),
        ] {
            assert!(wrong.parse::<Checkpoint>().is_err(), "{wrong:?}");
        }
    }
}
