//! `wasi:random`: one seeded generator for all three interfaces, so that one seed in the record is enough.

use rand::Rng;
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};

use super::MAX_RANDOM_BYTES;
use crate::call::Ended;
use crate::guest::Guest;
use crate::outcome::Failure;

impl Guest {
    fn random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        if length > MAX_RANDOM_BYTES {
            let what = "random bytes".to_owned();
            return Err(Ended(Failure::ResultLimit { what, limit: MAX_RANDOM_BYTES, asked: length }).into());
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        self.recorder.random().fill_bytes(&mut bytes);
        Ok(bytes)
    }

    fn random_u64(&mut self) -> u64 {
        self.recorder.random().next_u64()
    }
}

impl random::Host for Guest {
    fn get_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(length)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.random_u64())
    }
}

impl insecure::Host for Guest {
    fn get_insecure_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(length)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.random_u64())
    }
}

impl insecure_seed::Host for Guest {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((self.random_u64(), self.random_u64()))
    }
}
