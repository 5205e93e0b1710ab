//! wasmtime's settings: those that shape the compiled code, the same in the host and in the compiling child, and those of
//! the pool of instances, derived from the memory there is.

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, RegallocAlgorithm,
    WasmFeatures,
};

use crate::config::RuntimeConfig;

/// Bytes of stack for a guest's own frames. Interpreters of Python and JavaScript overflow wasmtime's default of 512 KiB in
/// ordinary recursion; 1 MiB serves all toolchains that were tried.
pub(crate) const GUEST_STACK: usize = 1 << 20;

/// Bytes of stack of the fibre on which a call runs: the guest's frames and on top of them the host functions that it
/// calls. Only address space; pages are taken when touched.
const FIBRE_STACK: usize = 2 << 20;

/// Core instances that one component may have. Python components have about a dozen, one for each shared library.
pub(crate) const MAX_CORE_INSTANCES: u32 = 200;
/// Linear memories that one component may have. All known toolchains make one or two; adapters share them.
const MAX_MEMORIES: u32 = 8;
/// Tables that one component may have: one for each core module at most.
const MAX_TABLES: u32 = 64;
/// Bytes of one core instance's bookkeeping (globals, imports, one entry for each function). wasmtime's default, 1 MiB, holds
/// some 30,000 functions; interpreters come near.
const MAX_CORE_INSTANCE_BYTES: usize = 4 << 20;
/// The same for a component's own bookkeeping.
const MAX_COMPONENT_INSTANCE_BYTES: usize = 4 << 20;

/// Memory reckoned for each session open at once, to derive the number of slots: components in Rust take 1 to 2 MiB,
/// Python some 40 MiB.
const BYTES_PER_SESSION: u64 = 32 << 20;
/// Slots at most: each reserves some 10 GiB of address space, of which there are 128 TiB.
const MOST_SESSIONS: u64 = 1_000;
/// Slots at least, so that a small container still runs steps side by side.
const FEWEST_SESSIONS: u64 = 16;

/// The share of the budget that free slots may keep resident, as a divisor.
const RESIDENT_SHARE: u64 = 16;
/// Bytes of a linear memory that stay resident in a free slot at most. Measured best among 0, 256 KiB and 2 MiB: a fresh
/// instance finds its pages mapped and takes no page faults.
const MOST_RESIDENT: u64 = 2 << 20;

/// What the pool was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PoolSize {
    /// Sessions open at once.
    pub(crate) sessions: u32,
    /// Free slots that keep pages resident.
    pub(crate) warm: u32,
    /// Bytes that each of those keeps.
    pub(crate) resident: usize,
}

impl PoolSize {
    /// From the bytes of memory that the host may use and its cores.
    pub(crate) fn derive(budget: u64, cores: u32, asked: Option<u32>) -> Self {
        let derived = (budget / BYTES_PER_SESSION).clamp(FEWEST_SESSIONS, MOST_SESSIONS);
        let sessions = asked.map_or(derived, u64::from).clamp(1, MOST_SESSIONS);
        // More free slots than calls that can run at once bring nothing.
        let warm = (u64::from(cores) * 4).clamp(1, sessions);
        let resident = (budget / RESIDENT_SHARE / warm).min(MOST_RESIDENT);
        // Whole wasm pages; a tiny budget keeps nothing.
        let resident = resident & !0xffff;
        #[allow(clippy::cast_possible_truncation)]
        Self { sessions: sessions as u32, warm: warm as u32, resident: resident as usize }
    }
}

/// Settings that shape compiled code. The compiling child and the host must agree on all of them; wasmtime compares them
/// when it loads the code.
pub(crate) fn code_settings() -> Config {
    let mut config = Config::new();
    // Only what the toolchains emit by default. Each feature less is less of the compiler that a hostile component reaches.
    for feature in [
        WasmFeatures::THREADS,
        WasmFeatures::MEMORY64,
        WasmFeatures::TAIL_CALL,
        WasmFeatures::RELAXED_SIMD,
        WasmFeatures::MULTI_MEMORY,
        WasmFeatures::CUSTOM_PAGE_SIZES,
        WasmFeatures::WIDE_ARITHMETIC,
        WasmFeatures::STACK_SWITCHING,
    ] {
        config.wasm_features(feature, false);
    }
    config.wasm_component_model(true);
    // The contract is synchronous; wasmtime's support for concurrent tasks doubles the cost of a warm call. Async host
    // functions need fibres only, which stay.
    config.concurrency_support(false);
    config.epoch_interruption(true);
    // Free on measured work, and compiled code cannot be had both ways; who asks for no budget gets an endless one.
    config.consume_fuel(true);
    // The same bits of a NaN wherever it runs, so that a replay compares equal.
    config.cranelift_nan_canonicalization(true);
    // The faster register allocator's code is slower; compiling happens once.
    config.cranelift_regalloc_algorithm(RegallocAlgorithm::Backtracking);
    config.max_wasm_stack(GUEST_STACK);
    config.async_stack_size(FIBRE_STACK);
    config
}

/// The engine of a compiling child: nothing runs in it, so it reserves nothing.
pub(crate) fn for_compiling() -> wasmtime::Result<Engine> {
    let mut config = code_settings();
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    Engine::new(&config)
}

/// The engine of the host, and whether its instances come from a pool.
pub(crate) fn for_running(settings: &RuntimeConfig, size: PoolSize) -> wasmtime::Result<(Engine, bool)> {
    if settings.pooling {
        let mut config = code_settings();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(settings, size)));
        match Engine::new(&config) {
            Ok(engine) => return Ok((engine, true)),
            Err(error) => {
                tracing::warn!(%error, "no address space for a pool of instances, memory is taken on demand");
            }
        }
    }
    let mut config = code_settings();
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    Ok((Engine::new(&config)?, false))
}

fn pool(settings: &RuntimeConfig, size: PoolSize) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    // One component, one fibre for each session; `Runtime` lets no more than this many in at once, so that a session
    // waits for its slot and is not refused.
    pool.total_component_instances(size.sessions);
    pool.total_stacks(size.sessions);
    // Counters without memory behind them: room for every session at its own limit.
    pool.total_core_instances(size.sessions.saturating_mul(MAX_CORE_INSTANCES));
    // Address space, so not every session can have as many as one may: on average two memories and eight tables. A
    // session beyond that ends as a failure of the host that is worth another attempt.
    pool.total_memories(size.sessions.saturating_mul(2));
    pool.total_tables(size.sessions.saturating_mul(8));
    pool.max_core_instances_per_component(MAX_CORE_INSTANCES);
    pool.max_memories_per_component(MAX_MEMORIES);
    pool.max_tables_per_component(MAX_TABLES);
    pool.max_memories_per_module(1);
    pool.max_tables_per_module(16);
    pool.max_core_instance_size(MAX_CORE_INSTANCE_BYTES);
    pool.max_component_instance_size(MAX_COMPONENT_INSTANCE_BYTES);
    // How far a slot can grow at all; the limits of a session are checked at each growth.
    pool.max_memory_size(usize::try_from(settings.max_memory).unwrap_or(usize::MAX));
    pool.table_elements(usize::try_from(settings.max_table_elements).unwrap_or(usize::MAX));
    pool.max_unused_warm_slots(size.warm);
    pool.linear_memory_keep_resident(size.resident);
    // A table's first 64 KiB: 8,000 elements, more than most components have.
    pool.table_keep_resident(64 << 10);
    // Only pages that a guest dirtied are put back, found by one system call; Linux 6.7 and later.
    pool.pagemap_scan(Enabled::Auto);
    pool
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_follow_the_memory() {
        assert_eq!(
            PoolSize::derive(512 << 20, 2, None),
            PoolSize { sessions: 16, warm: 8, resident: 2 << 20 }
        );
        assert_eq!(
            PoolSize::derive(24 << 30, 2, None),
            PoolSize { sessions: 768, warm: 8, resident: 2 << 20 }
        );
        assert_eq!(PoolSize::derive(1 << 40, 64, None).sessions, 1_000);
        // 64 MiB on 16 cores: 4 MiB may stay resident, shared by 16 slots.
        assert_eq!(
            PoolSize::derive(64 << 20, 16, None),
            PoolSize { sessions: 16, warm: 16, resident: 256 << 10 }
        );
        assert_eq!(PoolSize::derive(24 << 30, 2, Some(3)).sessions, 3);
        assert_eq!(PoolSize::derive(0, 1, Some(0)), PoolSize { sessions: 1, warm: 1, resident: 0 });
    }

    #[test]
    fn the_child_compiles_what_the_host_loads() {
        fn digest(engine: &Engine) -> [u8; 32] {
            crate::aot::settings_digest(engine)
        }
        let settings = RuntimeConfig::new("unused");
        let (host, pooled) = for_running(&settings, PoolSize::derive(1 << 30, 2, None)).unwrap();
        assert!(pooled);
        assert_eq!(digest(&host), digest(&for_compiling().unwrap()));
    }
}
