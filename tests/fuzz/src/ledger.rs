//! Any bytes as an exported ledger, a checkpoint and a proof: what is verified comes from strangers.
#![no_main]

use inquisitor_ledger::{Checkpoint, verify_export};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = text.parse::<Checkpoint>();
    }
    let _ = verify_export(bytes.split(|byte| *byte == b'\n'), None);
});
