//! All of WASI 0.2, interface by interface. Everything links, whatever is granted; what was not granted is empty or refuses
//! at the call, and the refusal is remembered by name.
//!
//! Clocks, randomness, standard streams, exit and environment are ours, because they are recorded, bounded or empty. The
//! mechanics of streams, files, sockets and HTTP are wasmtime's, behind our gate.

mod cli;
mod clocks;
mod gate;
mod http;
mod random;
mod sockets;

use std::collections::HashMap;
use std::sync::Arc;

use wasmtime::component::{HasData, HasSelf, Linker, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings as p2;
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::bindings as p2_http;
use wasmtime_wasi_http::{WasiHttp, WasiHttpCtx, WasiHttpView};

use crate::guest::Guest;
use crate::inspect::serves;
use crate::outcome::Failure;
use crate::recorder::Recorder;
use crate::request::Grants;
use gate::Gate;
use http::HttpGate;

/// Bytes of random data in one call. Programs ask for seeds and keys; who wants more may ask again.
const MAX_RANDOM_BYTES: u64 = 64 << 10;

/// The interfaces of WASI 0.2 that link.
const INTERFACES: [&str; 29] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:http/outgoing-handler",
    "wasi:http/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// Names of all interfaces that link, with the version that toolchains ask for at least.
pub(crate) fn interfaces() -> impl Iterator<Item = String> {
    INTERFACES.iter().map(|interface| format!("{interface}@0.2.0"))
}

/// Whether an import is one of them.
pub(crate) fn provides(import: &str) -> bool {
    INTERFACES.iter().any(|interface| serves(import, interface, (0, 2)))
}

/// Whether an import is of WASI 0.3, which a synchronous contract cannot have.
pub(crate) fn is_wasi_03(import: &str) -> bool {
    import.starts_with("wasi:")
        && import
            .split_once('@')
            .and_then(|(_, version)| semver::Version::parse(version).ok())
            .is_some_and(|version| (version.major, version.minor) == (0, 3))
}

/// What one session has of WASI.
pub(crate) struct Wasi {
    gate: Arc<Gate>,
    /// Files and sockets, made when the guest first reaches for them: most never do, and making them costs as much as a
    /// small observation.
    context: Option<WasiCtx>,
    http: WasiHttpCtx,
    http_gate: HttpGate,
    /// The name that each lookup in progress asks for, by its resource.
    lookups: HashMap<u32, String>,
}

impl Wasi {
    pub(crate) fn new(grants: Grants, recorder: &Recorder) -> Self {
        // An earlier session is run again without touching the world: what it did there is not in its record.
        let grants = if recorder.replays() { Grants::default() } else { grants };
        let gate = Arc::new(Gate::new(grants));
        let http_gate = HttpGate::new(Arc::clone(&gate), recorder.network());
        Self { gate, context: None, http: WasiHttpCtx::new(), http_gate, lookups: HashMap::new() }
    }

    /// Open the directories that were granted, so that one which is not there is told at the start.
    ///
    /// # Errors
    /// When a directory cannot be opened.
    pub(crate) fn open_files(&mut self) -> Result<(), Failure> {
        if self.gate.grants().files.is_empty() {
            return Ok(());
        }
        let mut builder = WasiCtx::builder();
        for file in &self.gate.grants().files {
            let perms = if file.read_only { FsPerms::ReadOnly } else { FsPerms::ReadWrite };
            builder.preopened_dir(&file.path, &file.path, perms).map_err(|error| Failure::Host {
                message: format!("cannot open the granted directory {}: {error:#}", file.path),
            })?;
        }
        self.context = Some(sockets::allow(&mut builder, &self.gate).build());
        Ok(())
    }

    /// A call begins.
    pub(crate) fn begin(&mut self) {
        self.gate.begin();
    }

    /// What was refused last in the running call.
    pub(crate) fn denied_in_call(&self) -> Option<String> {
        self.gate.denied_in_call()
    }

    /// All that was refused in the session.
    pub(crate) fn denials(&self) -> Vec<String> {
        self.gate.denials()
    }

    /// Whether the guest reached something outside that no record holds.
    pub(crate) fn reached_out(&self) -> bool {
        self.gate.reached_out()
    }

    fn context(&mut self) -> &mut WasiCtx {
        let gate = &self.gate;
        self.context.get_or_insert_with(|| sockets::allow(&mut WasiCtx::builder(), gate).build())
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: self.wasi.context(), table: &mut self.table }
    }
}

struct HasTable;

impl HasData for HasTable {
    type Data<'a> = &'a mut ResourceTable;
}

/// Link every interface.
pub(crate) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let l = linker;
    fn ours(guest: &mut Guest) -> &mut Guest {
        guest
    }
    type Ours = HasSelf<Guest>;

    // Ours.
    p2::clocks::wall_clock::add_to_linker::<Guest, Ours>(l, ours)?;
    p2::clocks::monotonic_clock::add_to_linker::<Guest, Ours>(l, ours)?;
    p2::random::random::add_to_linker::<Guest, Ours>(l, ours)?;
    p2::random::insecure::add_to_linker::<Guest, Ours>(l, ours)?;
    p2::random::insecure_seed::add_to_linker::<Guest, Ours>(l, ours)?;
    p2::cli::exit::add_to_linker::<Guest, Ours>(l, ours)?;
    p2::cli::environment::add_to_linker::<Guest, Ours>(l, ours)?;
    p2::cli::stdin::add_to_linker::<Guest, Ours>(l, ours)?;
    p2::cli::stdout::add_to_linker::<Guest, Ours>(l, ours)?;
    p2::cli::stderr::add_to_linker::<Guest, Ours>(l, ours)?;
    p2::filesystem::preopens::add_to_linker::<Guest, Ours>(l, ours)?;
    p2::sockets::ip_name_lookup::add_to_linker::<Guest, Ours>(l, ours)?;
    p2::sockets::tcp_create_socket::add_to_linker::<Guest, Ours>(l, ours)?;
    p2::sockets::udp_create_socket::add_to_linker::<Guest, Ours>(l, ours)?;

    // wasmtime's mechanics. A list of pollables is bounded by what one call may bring as arguments, the futures made of
    // it by the resources that a session may hold.
    p2::io::error::add_to_linker::<Guest, HasTable>(l, |guest| &mut guest.table)?;
    p2::io::poll::add_to_linker::<Guest, HasTable>(l, |guest| &mut guest.table)?;
    p2::io::streams::add_to_linker::<Guest, HasTable>(l, |guest| &mut guest.table)?;
    p2::cli::terminal_input::add_to_linker::<Guest, WasiCli>(l, Guest::cli)?;
    p2::cli::terminal_output::add_to_linker::<Guest, WasiCli>(l, Guest::cli)?;
    p2::cli::terminal_stdin::add_to_linker::<Guest, WasiCli>(l, Guest::cli)?;
    p2::cli::terminal_stdout::add_to_linker::<Guest, WasiCli>(l, Guest::cli)?;
    p2::cli::terminal_stderr::add_to_linker::<Guest, WasiCli>(l, Guest::cli)?;
    p2::filesystem::types::add_to_linker::<Guest, WasiFilesystem>(l, Guest::filesystem)?;
    p2::sockets::instance_network::add_to_linker::<Guest, WasiSockets>(l, Guest::sockets)?;
    let network = p2::sockets::network::LinkOptions::default();
    p2::sockets::network::add_to_linker::<Guest, WasiSockets>(l, &network, Guest::sockets)?;
    p2::sockets::tcp::add_to_linker::<Guest, WasiSockets>(l, Guest::sockets)?;
    p2::sockets::udp::add_to_linker::<Guest, WasiSockets>(l, Guest::sockets)?;
    p2_http::http::outgoing_handler::add_to_linker::<Guest, WasiHttp>(l, Guest::http)?;
    let types = p2_http::http::types::LinkOptions::default();
    p2_http::http::types::add_to_linker::<Guest, WasiHttp>(l, &types, Guest::http)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_wasi() {
        for known in
            ["wasi:io/poll@0.2.0", "wasi:sockets/udp@0.2.9", "wasi:http/types@0.2.10", "wasi:cli/exit@0.2.12"]
        {
            assert!(provides(known), "{known}");
        }
        for unknown in ["wasi:io/poll@0.3.0", "wasi:io/polls@0.2.0", "wasi:nn/graph@0.2.0", "wasi:io/poll"] {
            assert!(!provides(unknown), "{unknown}");
        }
        assert!(is_wasi_03("wasi:cli/environment@0.3.0"));
        assert!(!is_wasi_03("wasi:cli/environment@0.2.3"));
        assert!(!is_wasi_03("acme:cli/environment@0.3.0"));
    }
}
