//! From a component's bytes to a plugin: look, compile unless it was compiled before, link, ask it who it is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::aot::{Cache, Key};
use crate::budget;
use crate::call::{self, Outcome};
use crate::check::{self, CheckReport};
use crate::compile;
use crate::config::RuntimeConfig;
use crate::engine::{self, MAX_CORE_INSTANCES, PoolSize};
use crate::error::{LoadError, RuntimeError};
use crate::guest::{self, Guest};
use crate::inspect::{Inspection, inspect};
use crate::outcome::Failure;
use crate::plugin::{Caps, Loaded, Plugin};
use crate::request::{Facts, Grants, Limits, Nondeterminism, SessionRequest};
use crate::ticker::Ticker;
use crate::{wasi, world_v1};

/// Wall time of `describe`, which only says who it is. Python starts an interpreter for it.
const DESCRIBE_WALL: Duration = Duration::from_secs(10);
/// Bytes of all that `describe` answers: two schemas of 256 KiB and some prose.
const DESCRIBE_BYTES: u64 = 4 << 20;
/// Calls to the host in `describe`: interpreters look at their environment while they start.
const DESCRIBE_HOST_CALLS: u64 = 100_000;

/// A compiler with less address space than this does not compile a component of an interpreter (360 MiB measured).
const LEAST_COMPILER_MEMORY: u64 = 512 << 20;

/// The sandbox. Clones share it.
#[derive(Clone)]
pub struct Runtime(Arc<Shared>);

struct Shared {
    config: RuntimeConfig,
    engine: Engine,
    pooled: bool,
    size: PoolSize,
    linker: Linker<Guest>,
    ticker: Ticker,
    cache: Cache,
    compilations: Semaphore,
    slots: Arc<Semaphore>,
    loaded: Mutex<LoadedPlugins>,
}

/// Plugins in memory, with the number of the use that was the last of each.
#[derive(Default)]
struct LoadedPlugins {
    uses: u64,
    plugins: HashMap<[u8; 32], (u64, Plugin)>,
}

/// How full the caches and the slots are: gauges for an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheStatus {
    /// Plugins ready in memory.
    pub loaded: usize,
    /// Files of compiled code on disk.
    pub disk_files: u64,
    /// Their bytes.
    pub disk_bytes: u64,
    /// Sessions open now.
    pub open_sessions: u32,
    /// Sessions that may be open at once.
    pub max_sessions: u32,
    /// Whether instances come from a pool.
    pub pooled: bool,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("config", &self.0.config)
            .field("size", &self.0.size)
            .finish_non_exhaustive()
    }
}

impl Runtime {
    /// Start the sandbox: an engine, its pool, the thread that interrupts, and the folder of compiled code.
    ///
    /// # Errors
    /// When the settings do not fit the machine or the folder cannot be used.
    pub fn new(mut config: RuntimeConfig) -> Result<Self, RuntimeError> {
        let engine_error = |error: wasmtime::Error| RuntimeError::Engine(format!("{error:#}"));
        let budget = config.memory_budget.unwrap_or_else(budget::detect);
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let size = PoolSize::derive(budget, u32::try_from(cores).unwrap_or(u32::MAX), config.max_sessions);
        // A session never gets more memory than the host has.
        config.max_memory = config.max_memory.min(budget) & !0xffff;
        let compiler = &mut config.compile_limits.memory_bytes;
        *compiler = (*compiler).min(budget.max(LEAST_COMPILER_MEMORY));
        let (engine, pooled) = engine::for_running(&config, size).map_err(engine_error)?;
        let ticker = Ticker::start(&engine).map_err(RuntimeError::Thread)?;
        let mut linker = Linker::new(&engine);
        wasi::link(&mut linker).map_err(engine_error)?;
        world_v1::link(&mut linker).map_err(engine_error)?;
        let cache = Cache::open(&config.cache_dir, config.disk_cache_bytes, &engine)?;
        tracing::debug!(budget, sessions = size.sessions, resident = size.resident, pooled, "sandbox ready");
        Ok(Self(Arc::new(Shared {
            compilations: Semaphore::new(config.concurrent_compilations.max(1)),
            slots: Arc::new(Semaphore::new(size.sessions as usize)),
            loaded: Mutex::default(),
            config,
            engine,
            pooled,
            size,
            linker,
            ticker,
            cache,
        })))
    }

    /// Load a component: check it, compile it in a child process unless its code is in the cache, link it, and ask it to
    /// describe itself. The same bytes a second time cost a digest.
    ///
    /// # Errors
    /// Why it cannot be loaded.
    pub async fn load(&self, component: &[u8]) -> Result<Plugin, LoadError> {
        // Before anything is hashed.
        if component.len() > crate::inspect::MAX_COMPONENT_BYTES {
            return inspect(component).and(Err(LoadError::NotWasm));
        }
        let digest: [u8; 32] = Sha256::digest(component).into();
        if let Some(plugin) = self.0.loaded().get(&digest) {
            return Ok(plugin);
        }
        let found = inspect(component)?;
        let caps = self.0.caps();
        if let Some(problem) = found.problems(caps.memory, caps.table_elements).into_iter().next() {
            return Err(problem);
        }
        let code = self.0.compiled(component, &digest).await?;
        let plugin = self.0.link(&digest, &found, &code).await?;
        self.0.loaded().put(digest, plugin.clone(), self.0.config.loaded_plugins);
        Ok(plugin)
    }

    /// All that can be said of a component: every problem, and its description where it can be loaded.
    pub async fn check(&self, component: &[u8]) -> CheckReport {
        let caps = self.0.caps();
        let digest = hex::encode(Sha256::digest(component));
        match inspect(component) {
            Err(error) => check::report(component.len(), digest, None, &[error], None),
            Ok(found) => {
                let problems = found.problems(caps.memory, caps.table_elements);
                if problems.is_empty() {
                    let (problems, plugin) = match self.load(component).await {
                        Ok(plugin) => (Vec::new(), Some(plugin)),
                        Err(error) => (vec![error], None),
                    };
                    let description = plugin.as_ref().map(|plugin| plugin.description().clone());
                    check::report(component.len(), digest, Some(&found), &problems, description)
                } else {
                    check::report(component.len(), digest, Some(&found), &problems, None)
                }
            }
        }
    }

    /// How full the caches and the slots are.
    pub fn status(&self) -> CacheStatus {
        let fill = self.0.cache.fill();
        let free = u32::try_from(self.0.slots.available_permits()).unwrap_or(u32::MAX);
        CacheStatus {
            loaded: self.0.loaded().plugins.len(),
            disk_files: fill.files,
            disk_bytes: fill.bytes,
            open_sessions: self.0.size.sessions.saturating_sub(free),
            max_sessions: self.0.size.sessions,
            pooled: self.0.pooled,
        }
    }
}

impl LoadedPlugins {
    fn get(&mut self, digest: &[u8; 32]) -> Option<Plugin> {
        self.uses += 1;
        let (used, plugin) = self.plugins.get_mut(digest)?;
        *used = self.uses;
        Some(plugin.clone())
    }

    fn put(&mut self, digest: [u8; 32], plugin: Plugin, bound: usize) {
        self.uses += 1;
        self.plugins.insert(digest, (self.uses, plugin));
        while self.plugins.len() > bound.max(1) {
            let Some(oldest) =
                self.plugins.iter().min_by_key(|(_, (used, _))| *used).map(|(digest, _)| *digest)
            else {
                return;
            };
            self.plugins.remove(&oldest);
        }
    }
}

impl Shared {
    fn loaded(&self) -> std::sync::MutexGuard<'_, LoadedPlugins> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn caps(&self) -> Caps {
        Caps {
            memory: self.config.max_memory,
            table_elements: self.config.max_table_elements,
            instances: MAX_CORE_INSTANCES,
        }
    }

    /// Compiled code from the cache, else from the compiler.
    async fn compiled(self: &Arc<Self>, component: &[u8], digest: &[u8; 32]) -> Result<Component, LoadError> {
        let key = self.cache.key(digest);
        if let Some(code) = self.cached(&key).await? {
            return Ok(code);
        }
        let _permit = self
            .compilations
            .acquire()
            .await
            .map_err(|error| LoadError::io("the runtime is shutting down", error))?;
        // Whoever waited behind the compilation of the same bytes finds them done.
        if let Some(code) = self.cached(&key).await? {
            return Ok(code);
        }
        let config = &self.config;
        compile::compile(&self.cache, &key, component, &config.compiler, config.compile_limits).await?;
        self.cached(&key).await?.ok_or_else(|| LoadError::Io {
            message: "the compiled code could not be read back; the log says why".to_owned(),
        })
    }

    /// Compiled code from the cache. Reads and digests a file of up to tens of megabytes, so on a thread that may block.
    async fn cached(self: &Arc<Self>, key: &Key) -> Result<Option<Component>, LoadError> {
        let (shared, key) = (Arc::clone(self), key.clone());
        tokio::task::spawn_blocking(move || shared.cache.load(&shared.engine, &key))
            .await
            .map_err(|error| LoadError::io("cannot read compiled code", error))
    }

    async fn link(
        &self,
        digest: &[u8; 32],
        found: &Inspection,
        code: &Component,
    ) -> Result<Plugin, LoadError> {
        let wrong_type = |error: wasmtime::Error| LoadError::WrongType { what: format!("{error:#}") };
        let pre = self.linker.instantiate_pre(code).map_err(wrong_type)?;
        let pre = world_v1::Pre::new(pre).map_err(wrong_type)?;
        let description = self.describe(&pre, found).await?;
        Ok(Plugin(Arc::new(Loaded {
            digest_hex: hex::encode(digest),
            description,
            pre,
            engine: self.engine.clone(),
            ticker: self.ticker.clone(),
            slots: Arc::clone(&self.slots),
            caps: self.caps(),
        })))
    }

    /// Ask who it is, with nothing granted and a tight limit.
    async fn describe(
        &self,
        pre: &world_v1::Pre,
        found: &Inspection,
    ) -> Result<crate::description::Description, LoadError> {
        let caps = self.caps();
        let request = SessionRequest {
            parameters: serde_json::Map::new(),
            facts: Facts::default(),
            limits: Limits {
                memory: caps.memory,
                table_elements: caps.table_elements,
                instances: caps.instances,
                wall: DESCRIBE_WALL,
                host_calls: DESCRIBE_HOST_CALLS,
                result_bytes: DESCRIBE_BYTES,
                ..Limits::default()
            },
            grants: Grants::default(),
            substrate: None,
            state: None,
            nondeterminism: Nondeterminism::Live,
            cancel: CancellationToken::new(),
            listener: None,
        };
        let _slot = Arc::clone(&self.slots)
            .acquire_owned()
            .await
            .map_err(|error| LoadError::io("the runtime is shutting down", error))?;
        let mut store = guest::store(&self.engine, Guest::new(request));
        let call = call::begin(&mut store, &self.ticker)
            .map_err(|error| LoadError::io("cannot set the limits of a call", error))?;
        let described =
            call.drive(async { pre.instantiate(&mut store).await?.describe(&mut store, found).await }).await;
        let ended = match described {
            Outcome::Returned(answer) => return answer.map_err(|message| LoadError::BadMetadata { message }),
            Outcome::Error(error) => Outcome::Error(error),
            Outcome::OutOfTime => Outcome::OutOfTime,
            Outcome::Cancelled => Outcome::Cancelled,
        };
        Err(LoadError::Describe(with_last_words(call::failure(&mut store, ended), &store)))
    }
}

/// A trap with the last line that the guest wrote, which is its panic message where it has one: `describe` has no log that
/// anyone would look at.
fn with_last_words(failure: Failure, store: &wasmtime::Store<Guest>) -> Failure {
    match (failure, store.data().logs.take().pop()) {
        (Failure::Trap { message }, Some(line)) => {
            Failure::Trap { message: format!("{message}: {}", line.message) }
        }
        (failure, _) => failure,
    }
}
