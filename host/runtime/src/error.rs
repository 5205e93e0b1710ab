//! Why a runtime could not be made and why a component could not be loaded.

use std::path::PathBuf;

use crate::outcome::Failure;

/// Why a runtime could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// wasmtime refused the settings on this machine.
    #[error("cannot start the WebAssembly engine: {0}")]
    Engine(String),
    /// The cache folder cannot be used.
    #[error("cannot use the folder for compiled code {}: {message}", path.display())]
    CacheDir {
        /// The folder.
        path: PathBuf,
        /// What is wrong and what to do.
        message: String,
    },
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

/// Why a component could not be loaded.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LoadError {
    /// The file is larger than a component may be.
    #[error("the component has {bytes} bytes, {allowed} are allowed")]
    TooLarge {
        /// Bytes of the component.
        bytes: u64,
        /// Bytes allowed.
        allowed: u64,
    },
    /// The bytes are not WebAssembly at all.
    #[error("this is not a WebAssembly file: it does not start with the bytes `\\0asm`")]
    NotWasm,
    /// The bytes are a core module.
    #[error(
        "this is a core WebAssembly module, not a component; build it with `inquisitor plugin build`, for the target \
         wasm32-wasip2, or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    /// The bytes are a damaged component.
    #[error("the component is malformed: {message}")]
    Malformed {
        /// What is wrong and at which offset.
        message: String,
    },
    /// The component wants what no host of this contract has.
    #[error("the component imports what this host does not have: {}", list_unknown(.imports))]
    UnknownImport {
        /// Every such import, with the nearest name that the host has.
        imports: Vec<UnknownImport>,
    },
    /// The component is not an instrument.
    #[error(
        "the component does not export {}; an instrument exports the world `inquisitor:instrument/instrument-plugin@1`",
        .names.join(" and ")
    )]
    MissingExport {
        /// The missing interfaces.
        names: Vec<String>,
    },
    /// An import or export has another type than the contract says.
    #[error("an interface has another type than the contract says: {what}")]
    WrongType {
        /// Which one and how it differs.
        what: String,
    },
    /// The component is built for WASI 0.3.
    #[error(
        "the component imports `{import}` of WASI 0.3; this contract is on WASI 0.2: build for the target wasm32-wasip2"
    )]
    Wasi03 {
        /// The first such import.
        import: String,
    },
    /// The component starts with more memory than any session may have.
    #[error("the component needs {needed} bytes of memory to start, {allowed} are allowed")]
    MemoryTooLarge {
        /// Bytes that its memories have at the start.
        needed: u64,
        /// Bytes allowed.
        allowed: u64,
    },
    /// The component starts with larger tables than any session may have.
    #[error("the component needs {needed} table elements to start, {allowed} are allowed")]
    TableTooLarge {
        /// Elements that its tables have at the start.
        needed: u64,
        /// Elements allowed.
        allowed: u64,
    },
    /// Compiling took too long.
    #[error("compiling the component took longer than allowed ({limit})")]
    CompileTime {
        /// Which limit, as `90 s of CPU time`.
        limit: String,
    },
    /// Compiling took too much memory.
    #[error("compiling the component took more memory than the {limit} bytes allowed")]
    CompileMemory {
        /// Bytes allowed.
        limit: u64,
    },
    /// The compiler refused the component or failed.
    #[error("the component does not compile: {message}")]
    CompileFailed {
        /// The compiler's words.
        message: String,
    },
    /// The component did not describe itself.
    #[error("the component's `describe` did not answer: {0}")]
    Describe(Failure),
    /// The component's description of itself is not valid.
    #[error("the component's metadata are not valid: {message}")]
    BadMetadata {
        /// Which field, what is wrong, what would be right.
        message: String,
    },
    /// The host could not read or write a file, or start the compiler.
    #[error("{message}")]
    Io {
        /// What could not be done and why.
        message: String,
    },
}

/// An import that the host does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownImport {
    /// Name of the import.
    pub name: String,
    /// The nearest name that the host has, where one is near.
    pub nearest: Option<String>,
}

fn list_unknown(imports: &[UnknownImport]) -> String {
    let mut text = String::new();
    for import in imports {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push('`');
        text.push_str(&import.name);
        text.push('`');
        if let Some(nearest) = &import.nearest {
            text.push_str(" (did you mean `");
            text.push_str(nearest);
            text.push_str("`?)");
        }
    }
    text
}

impl LoadError {
    pub(crate) fn io(what: &str, error: impl std::fmt::Display) -> Self {
        Self::Io { message: format!("{what}: {error}") }
    }

    /// Short name for metrics, as `unknown-import`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too-large",
            Self::NotWasm => "not-wasm",
            Self::CoreModule => "core-module",
            Self::Malformed { .. } => "malformed",
            Self::UnknownImport { .. } => "unknown-import",
            Self::MissingExport { .. } => "missing-export",
            Self::WrongType { .. } => "wrong-type",
            Self::Wasi03 { .. } => "wasi-0.3",
            Self::MemoryTooLarge { .. } => "memory-too-large",
            Self::TableTooLarge { .. } => "table-too-large",
            Self::CompileTime { .. } => "compile-time",
            Self::CompileMemory { .. } => "compile-memory",
            Self::CompileFailed { .. } => "compile-failed",
            Self::Describe(_) => "describe",
            Self::BadMetadata { .. } => "bad-metadata",
            Self::Io { .. } => "io",
        }
    }
}
