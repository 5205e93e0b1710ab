//! The keys of the applied state's rows. They sort as the reads need them: numbers are big-endian, and what belongs to a text
//! lies together behind the text and a zero byte, which no such text holds.

use crate::error::ConductorError;
use crate::record::Digest;

/// Key of everything of one inquiry in the tables that have several rows for it.
pub(crate) fn inquiry_prefix(inquiry: &str) -> Vec<u8> {
    text_key(&[inquiry])
}

/// Texts, each with a zero byte behind it, which none of them holds.
pub(crate) fn text_key(texts: &[&str]) -> Vec<u8> {
    // Room for a number behind them.
    let mut key = Vec::with_capacity(texts.iter().map(|text| text.len() + 1).sum::<usize>() + 12);
    for text in texts {
        key.extend_from_slice(text.as_bytes());
        key.push(0);
    }
    key
}

/// Key of a step.
pub(crate) fn step_key(inquiry: &str, step: u32) -> Vec<u8> {
    let mut key = inquiry_prefix(inquiry);
    key.extend_from_slice(&step.to_be_bytes());
    key
}

/// Key of everything that was recorded in a round of a step.
pub(crate) fn round_key(inquiry: &str, step: u32, round: u32) -> Vec<u8> {
    let mut key = step_key(inquiry, step);
    key.extend_from_slice(&round.to_be_bytes());
    key
}

/// Key of an attempt's record.
pub(crate) fn record_key(inquiry: &str, step: u32, round: u32, attempt: u32) -> Vec<u8> {
    let mut key = round_key(inquiry, step, round);
    key.extend_from_slice(&attempt.to_be_bytes());
    key
}

/// Key of something numbered that belongs to some texts.
pub(crate) fn numbered_key(texts: &[&str], number: u64) -> Vec<u8> {
    let mut key = text_key(texts);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// Key of everything that uses a plugin on behalf of a tenant, or of anybody.
pub(crate) fn plugin_use_prefix(plugin: &Digest, tenant: Option<&str>) -> Vec<u8> {
    let mut key = plugin.to_vec();
    if let Some(tenant) = tenant {
        key.extend_from_slice(&text_key(&[tenant]));
    }
    key
}

/// Key of the inquiry with this sequence number as a user of a plugin.
pub(crate) fn plugin_use_key(plugin: &Digest, tenant: &str, sequence: u64) -> Vec<u8> {
    let mut key = plugin_use_prefix(plugin, Some(tenant));
    key.extend_from_slice(&sequence.to_be_bytes());
    key
}

/// Key of an uploaded plugin. Everybody's are under the empty name, which no tenant has.
pub(crate) fn plugin_key(tenant: Option<&str>, digest: &str) -> Vec<u8> {
    let mut key = text_key(&[tenant.unwrap_or_default()]);
    key.extend_from_slice(digest.as_bytes());
    key
}

/// Key of a subtree of the ledger.
pub(crate) fn node_key(level: u8, index: u64) -> [u8; 9] {
    let mut key = [0; 9];
    key[0] = level;
    key[1..].copy_from_slice(&index.to_be_bytes());
    key
}

/// The last eight bytes of a key as a number.
pub(crate) fn number_of(key: &[u8]) -> Result<u64, ConductorError> {
    match key.last_chunk() {
        Some(bytes) => Ok(u64::from_be_bytes(*bytes)),
        None => Err(ConductorError::damaged("the state", "a key is too short")),
    }
}

/// The end of the keys that start with a prefix, exclusive.
pub(crate) fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.last_mut() {
        if *last < u8::MAX {
            *last += 1;
            return end;
        }
        end.pop();
    }
    // Longer than every key.
    vec![u8::MAX; 256]
}
