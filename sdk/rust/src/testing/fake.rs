//! The host of a bench.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use super::columns::Columns;
use super::logger::Lines;
use crate::context::Facts;
use crate::host::{BatchSource, Host};
use crate::substrate::{ColumnInfo, Selection, SubstrateError};

/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600_000_000_000;
/// Bytes of state that the host keeps unless it is told otherwise.
const STATE_BYTES: usize = 1 << 20;

/// A host that does what a test says and remembers what it was told.
pub(super) struct Fake {
    pub(super) facts: RefCell<Facts>,
    pub(super) wall: Cell<i64>,
    pub(super) cancelled: Cell<bool>,
    pub(super) state: RefCell<Option<Vec<u8>>>,
    pub(super) substrate: RefCell<Option<Columns>>,
    pub(super) logs: Lines,
    pub(super) progress: RefCell<Vec<(f64, String)>>,
    pub(super) sleeps: RefCell<Vec<Duration>>,
    /// Whether an observation is under way.
    observing: Cell<bool>,
    random: RefCell<ChaCha12Rng>,
    slept: Cell<u64>,
}

impl Fake {
    pub(super) fn new() -> Self {
        Self {
            facts: RefCell::new(Facts {
                inquiry: "bench".to_owned(),
                step: "bench".to_owned(),
                instrument: "bench".to_owned(),
                attempt: 1,
                started: START,
                deadline: None,
            }),
            wall: Cell::new(START),
            cancelled: Cell::new(false),
            state: RefCell::new(None),
            substrate: RefCell::new(None),
            logs: Rc::default(),
            progress: RefCell::default(),
            sleeps: RefCell::default(),
            observing: Cell::new(false),
            random: RefCell::new(ChaCha12Rng::seed_from_u64(0)),
            slept: Cell::new(0),
        }
    }

    /// Run a step as the contract has it: its name is known only meanwhile, and one that fails leaves the state as it was.
    pub(super) fn in_step<T, E>(&self, step: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let before = self.state.borrow().clone();
        self.observing.set(true);
        let result = step();
        self.observing.set(false);
        if result.is_err() {
            self.state.replace(before);
        }
        result
    }

    pub(super) fn seed(&self, seed: u64) {
        *self.random.borrow_mut() = ChaCha12Rng::seed_from_u64(seed);
    }
}

impl Host for Fake {
    fn facts(&self) -> Facts {
        let mut facts = self.facts.borrow().clone();
        if !self.observing.get() {
            facts.step.clear();
        }
        facts
    }

    fn now(&self) -> i64 {
        self.wall.get()
    }

    fn monotonic(&self) -> u64 {
        self.slept.get()
    }

    fn sleep(&self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.slept.set(self.slept.get().saturating_add(nanoseconds));
        self.wall.set(self.wall.get().saturating_add(i64::try_from(nanoseconds).unwrap_or(i64::MAX)));
        self.sleeps.borrow_mut().push(duration);
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.random.borrow_mut().fill_bytes(bytes);
    }

    fn progress(&self, fraction: f64, message: &str) {
        self.progress.borrow_mut().push((fraction, message.to_owned()));
    }

    fn cancelled(&self) -> bool {
        self.cancelled.get()
    }

    fn load_state(&self) -> Option<Vec<u8>> {
        self.state.borrow().clone()
    }

    fn store_state(&self, bytes: &[u8]) -> Result<(), u64> {
        if bytes.len() > STATE_BYTES {
            return Err(STATE_BYTES as u64);
        }
        *self.state.borrow_mut() = Some(bytes.to_vec());
        Ok(())
    }

    fn columns(&self) -> Result<Vec<ColumnInfo>, SubstrateError> {
        self.substrate.borrow().as_ref().map(Columns::infos).ok_or(SubstrateError::None)
    }

    fn rows(&self, selection: &Selection) -> Result<Box<dyn BatchSource>, SubstrateError> {
        match &*self.substrate.borrow() {
            Some(columns) => Ok(Box::new(columns.select(selection)?)),
            None => Err(SubstrateError::None),
        }
    }
}
