//! What an operator may set.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of a [`Runtime`](crate::Runtime). [`RuntimeConfig::new`] gives defaults that suit a server; every field may be
/// changed before the runtime is made.
#[derive(Debug, Clone)]
pub struct RuntimeConfig {
    /// Folder for compiled code. Made with mode 0700 if absent; refused if others may write to it.
    pub cache_dir: PathBuf,
    /// Bytes of memory that the host may use for sessions. None takes the limit of the container (cgroup), else the
    /// machine's memory.
    pub memory_budget: Option<u64>,
    /// The program that compiles in a child process.
    pub compiler: CompilerCommand,
    /// Limits of one compilation.
    pub compile_limits: CompileLimits,
    /// Compilations at once. One keeps the other cores for the steps that run.
    pub concurrent_compilations: usize,
    /// Bytes that compiled code may take on disk; the least recently used goes first.
    pub disk_cache_bytes: u64,
    /// Plugins kept ready in memory; the least recently used goes first.
    pub loaded_plugins: usize,
    /// Largest linear memory of one session in bytes, whatever the request says. A multiple of 64 KiB.
    pub max_memory: u64,
    /// Most table elements of one session, whatever the request says.
    pub max_table_elements: u64,
    /// Sessions open at once; more wait. None derives it from the memory budget.
    pub max_sessions: Option<u32>,
    /// Whether instances come from a pool of preallocated slots. Falls back by itself to memory on demand where the
    /// address space is too short (`ulimit -v`).
    pub pooling: bool,
}

impl RuntimeConfig {
    /// Defaults, with compiled code in `cache_dir` and this very program as the compiler.
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        Self {
            cache_dir: cache_dir.into(),
            memory_budget: None,
            compiler: CompilerCommand::this_program(),
            compile_limits: CompileLimits::default(),
            concurrent_compilations: 1,
            // Some thirty Python components of 34 MB, or thousands written in Rust.
            disk_cache_bytes: 1 << 30,
            loaded_plugins: 64,
            max_memory: 1 << 30,
            max_table_elements: 1_000_000,
            max_sessions: None,
            pooling: true,
        }
    }
}

/// A program with leading arguments. It must call [`compile_child_main`](crate::compile_child_main) and end with its exit
/// code; everything else reaches it through its environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompilerCommand {
    /// Path of the program; none is the running program itself.
    pub program: Option<PathBuf>,
    /// Arguments before anything else.
    pub arguments: Vec<OsString>,
}

impl CompilerCommand {
    /// The running program with the hidden subcommand `__compile`.
    pub fn this_program() -> Self {
        Self { program: None, arguments: vec!["__compile".into()] }
    }
}

/// Limits of one compilation. An uploaded component is hostile to the compiler too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileLimits {
    /// Seconds of CPU time, all threads together.
    pub cpu_seconds: u64,
    /// Bytes of address space; lowered to the memory budget, but not below 512 MiB.
    pub memory_bytes: u64,
    /// Time until the child is killed.
    pub wall: Duration,
}

impl Default for CompileLimits {
    fn default() -> Self {
        // A Python component of 18 MB takes 6 to 13 seconds of CPU and 360 MiB. The wall time is long, because the child yields
        // to everything else: on a busy machine it took ten times its CPU time.
        Self { cpu_seconds: 90, memory_bytes: 2 << 30, wall: Duration::from_secs(600) }
    }
}
