//! What one session owns on the host's side while its component runs: the data of its wasmtime store.

use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;
use wasmtime::component::ResourceTable;
use wasmtime::{CallHook, Store, StoreContextMut, UpdateDeadline};

use crate::call::Ended;
use crate::limiter::Limiter;
use crate::logs::Logs;
use crate::outcome::Failure;
use crate::recorder::Recorder;
use crate::request::{Facts, Limits, Listener, SessionRequest};
use crate::wasi::Wasi;
use inquisitor_substrate::batch::Source;

/// Host resources (streams, sockets, files, pollables, readers) that a session may hold at once. Programs use a few dozen;
/// each may be a file descriptor of the host.
pub(crate) const MAX_RESOURCES: usize = 1_024;

/// Handles that the guest's own resource tables may hold at once; they are memory of the host.
const MAX_HANDLES: usize = 10_000;

/// Bytes of all arguments of one call to the host: a chunk of a file or a request body, a kept state.
pub(crate) const MAX_ARGUMENT_BYTES: u64 = 4 << 20;

/// The data of a session's store.
pub(crate) struct Guest {
    pub(crate) table: ResourceTable,
    pub(crate) wasi: Wasi,
    pub(crate) limiter: Limiter,
    pub(crate) meter: Meter,
    pub(crate) recorder: Recorder,
    pub(crate) logs: Logs,
    pub(crate) facts: Facts,
    pub(crate) limits: Limits,
    pub(crate) cancel: CancellationToken,
    pub(crate) listener: Option<Arc<dyn Listener>>,
    pub(crate) last_progress: Option<Instant>,
    pub(crate) substrate: Option<Arc<dyn Source>>,
    /// Bytes kept from an earlier step.
    pub(crate) state: Option<Vec<u8>>,
    /// Whether the guest stored `state` in this session.
    pub(crate) stored: bool,
}

/// Counts of one session.
#[derive(Debug)]
pub(crate) struct Meter {
    /// Calls to the host so far, all calls of the guest together.
    pub(crate) host_calls: u64,
    /// Count at which the running call has had enough.
    host_calls_end: u64,
    /// Rows pulled from the substrate.
    pub(crate) rows: u64,
    /// When the running call has to end.
    pub(crate) deadline: Instant,
}

impl Guest {
    pub(crate) fn new(request: SessionRequest) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        let recorder = Recorder::new(request.nondeterminism);
        let wasi = Wasi::new(request.grants, &recorder);
        Self {
            table,
            wasi,
            limiter: Limiter::new(&request.limits),
            meter: Meter { host_calls: 0, host_calls_end: 0, rows: 0, deadline: Instant::now() },
            recorder,
            logs: Logs::new(request.listener.clone()),
            facts: request.facts,
            limits: request.limits,
            cancel: request.cancel,
            listener: request.listener,
            last_progress: None,
            substrate: request.substrate,
            state: request.state,
            stored: false,
        }
    }

    /// A call begins.
    pub(crate) fn begin(&mut self, deadline: Instant) {
        self.meter.deadline = deadline;
        self.meter.host_calls_end = self.meter.host_calls.saturating_add(self.limits.host_calls);
        self.logs.begin(self.limits.log_bytes);
        drop(self.limiter.take_refused());
        self.wasi.begin();
    }
}

/// A store with everything in it that watches over the guest.
pub(crate) fn store(engine: &wasmtime::Engine, guest: Guest) -> Store<Guest> {
    let result_bytes = bytes(guest.limits.result_bytes);
    let argument_bytes = bytes(MAX_ARGUMENT_BYTES.max(guest.limits.state_bytes.saturating_add(4096)));
    let mut store = Store::new(engine, guest);
    store.limiter(|guest| &mut guest.limiter);
    store.set_max_component_handles(MAX_HANDLES);
    store.set_hostcall_fuel(result_bytes);
    store.call_hook(move |mut context, hook| {
        match hook {
            CallHook::CallingHost => {
                // What wasmtime copies out of the guest is bounded before it is copied: here for arguments, and for
                // results again when the guest goes on.
                context.set_hostcall_fuel(argument_bytes);
                count_host_call(&mut context)?;
            }
            CallHook::ReturningFromHost => context.set_hostcall_fuel(result_bytes),
            CallHook::CallingWasm | CallHook::ReturningFromWasm => {}
        }
        Ok(())
    });
    store.epoch_deadline_callback(|context| {
        let guest = context.data();
        if Instant::now() >= guest.meter.deadline {
            let limit_ms = u64::try_from(guest.limits.wall.as_millis()).unwrap_or(u64::MAX);
            return Err(Ended(Failure::WallLimit { limit_ms }).into());
        }
        // Others on this thread get their turn, and whoever waits for the call sees cancellation.
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
    });
    store
}

fn count_host_call(context: &mut StoreContextMut<'_, Guest>) -> wasmtime::Result<()> {
    let guest = context.data_mut();
    if guest.meter.host_calls >= guest.meter.host_calls_end {
        return Err(Ended(Failure::HostCallLimit { limit: guest.limits.host_calls }).into());
    }
    guest.meter.host_calls += 1;
    Ok(())
}

fn bytes(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}
