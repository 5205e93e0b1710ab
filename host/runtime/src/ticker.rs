//! The clock of interruption: raises the engine's epoch while calls run, so that a guest that never returns is stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use wasmtime::{Engine, EngineWeak};

/// How often a running guest is interrupted to look at its deadline: the precision of the wall-time limit for a guest that
/// only computes. Shorter costs more switches, longer lets a loop overrun more.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Without a call for so long the thread sleeps until the next one, so that an idle host wakes no core.
const IDLE: Duration = Duration::from_secs(2);

/// Counts running calls; the thread ends with the engine, of which it holds a weak handle.
#[derive(Clone)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

struct Shared {
    running: AtomicUsize,
    parked: AtomicBool,
}

/// A call is running as long as this lives.
pub(crate) struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Ticker {
    /// Start the thread.
    ///
    /// # Errors
    /// When the system starts no thread.
    pub(crate) fn start(engine: &Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { running: AtomicUsize::new(0), parked: AtomicBool::new(false) });
        let weak = engine.weak();
        let of_thread = Arc::clone(&shared);
        let handle =
            thread::Builder::new().name("wasm-ticker".to_owned()).spawn(move || tick(&weak, &of_thread))?;
        Ok(Self { shared, thread: handle.thread().clone() })
    }

    /// Say that a call runs. Costs two atomic operations, and a wake-up only after an idle spell.
    pub(crate) fn run(&self) -> Running {
        // The order is the point: the thread says that it sleeps before it looks at the counter again, a caller raises
        // the counter before it looks whether the thread sleeps. One of the two sees the other.
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        if self.shared.parked.swap(false, Ordering::SeqCst) {
            self.thread.unpark();
        }
        Running(Arc::clone(&self.shared))
    }
}

fn tick(engine: &EngineWeak, shared: &Shared) {
    let mut idle_since = Instant::now();
    loop {
        if shared.running.load(Ordering::SeqCst) > 0 {
            idle_since = Instant::now();
        } else if idle_since.elapsed() >= IDLE {
            shared.parked.store(true, Ordering::SeqCst);
            if shared.running.load(Ordering::SeqCst) == 0 {
                // A timeout, so that the thread notices the end of an engine that nobody called again.
                thread::park_timeout(Duration::from_secs(60));
            }
            shared.parked.store(false, Ordering::SeqCst);
        }
        thread::sleep(TICK);
        match engine.upgrade() {
            Some(engine) => engine.increment_epoch(),
            None => return,
        }
    }
}
