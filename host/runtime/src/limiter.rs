//! Memory and tables of one session, counted over all memories and tables of all its instances.

use wasmtime::ResourceLimiter;

use crate::outcome::Failure;
use crate::request::Limits;

/// Linear memories and tables that a session may have at most. Counts, not sizes; the pool has the same bounds for one
/// component.
const MOST_MEMORIES: usize = 32;
const MOST_TABLES: usize = 256;

/// Counts and refuses. A refused growth is answered as wasm says (-1), so that a guest may get over it; it is remembered,
/// so that a guest which does not is said to have ended by its limit and not by an unnamed trap.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory_limit: u64,
    table_limit: u64,
    instance_limit: u32,
    memory: u64,
    table_elements: u64,
    peak_memory: u64,
    refused: Option<Failure>,
}

impl Limiter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            memory_limit: limits.memory,
            table_limit: limits.table_elements,
            instance_limit: limits.instances,
            memory: 0,
            table_elements: 0,
            peak_memory: 0,
            refused: None,
        }
    }

    /// The largest total of linear memory so far, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.peak_memory
    }

    /// The growth that was refused last in this call, if any.
    pub(crate) fn take_refused(&mut self) -> Option<Failure> {
        self.refused.take()
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let asked = (self.memory + desired as u64).saturating_sub(current as u64);
        if asked > self.memory_limit {
            self.refused = Some(Failure::MemoryLimit { limit: self.memory_limit, asked });
            return Ok(false);
        }
        // The memory's own maximum: wasmtime refuses the growth, and nothing is to be counted.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.memory = asked;
        self.peak_memory = self.peak_memory.max(asked);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let asked = (self.table_elements + desired as u64).saturating_sub(current as u64);
        if asked > self.table_limit {
            self.refused = Some(Failure::TableLimit { limit: self.table_limit, asked });
            return Ok(false);
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.table_elements = asked;
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.instance_limit as usize
    }

    fn memories(&self) -> usize {
        MOST_MEMORIES
    }

    fn tables(&self) -> usize {
        MOST_TABLES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(memory: u64, table_elements: u64) -> Limiter {
        Limiter::new(&Limits { memory, table_elements, ..Limits::default() })
    }

    #[test]
    fn memories_are_counted_together() {
        let mut limiter = limiter(100, 10);
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(0, 40, None).unwrap());
        assert!(!limiter.memory_growing(40, 41, None).unwrap());
        assert_eq!(limiter.take_refused(), Some(Failure::MemoryLimit { limit: 100, asked: 101 }));
        assert_eq!(limiter.take_refused(), None);
        assert_eq!(limiter.peak_memory(), 100);
    }

    #[test]
    fn a_memorys_own_maximum_is_not_our_limit() {
        let mut limiter = limiter(100, 10);
        assert!(!limiter.memory_growing(0, 60, Some(50)).unwrap());
        assert_eq!(limiter.take_refused(), None);
        assert_eq!(limiter.peak_memory(), 0);
    }

    #[test]
    fn tables_are_counted_together() {
        let mut limiter = limiter(100, 10);
        assert!(limiter.table_growing(0, 8, None).unwrap());
        assert!(!limiter.table_growing(0, 3, None).unwrap());
        assert_eq!(limiter.take_refused(), Some(Failure::TableLimit { limit: 10, asked: 11 }));
    }
}
