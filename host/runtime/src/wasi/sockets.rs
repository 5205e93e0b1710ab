//! `wasi:sockets`: TCP to what was granted, names of what was granted, and no UDP. A socket can always be made, so that the
//! refusal names the address and not only that there was one.

use std::net::SocketAddr;
use std::sync::Arc;

use wasmtime::component::Resource;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{self, ResolveAddressStream};
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddress, IpAddressFamily, Network};
use wasmtime_wasi::p2::bindings::sockets::{tcp_create_socket, udp_create_socket};
use wasmtime_wasi::p2::{DynPollable, SocketError, SocketResult, TcpSocket, UdpSocket};
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsView};

use super::gate::Gate;
use crate::guest::Guest;

/// Sockets that a session may hold at once. Each is a file descriptor of the host.
const MAX_SOCKETS: usize = 32;

/// Set up sockets behind the gate.
pub(super) fn allow<'a>(builder: &'a mut WasiCtxBuilder, gate: &Arc<Gate>) -> &'a mut WasiCtxBuilder {
    let gate = Arc::clone(gate);
    builder.allow_tcp(true).allow_udp(true).allow_ip_name_lookup(true).socket_addr_check(
        move |address, used_for| {
            let allowed = check(&gate, address, used_for);
            Box::pin(async move { allowed })
        },
    )
}

fn check(gate: &Gate, address: SocketAddr, used_for: SocketAddrUse) -> bool {
    match used_for {
        SocketAddrUse::TcpConnect if gate.allows_tcp(address) => {
            gate.reach_out();
            true
        }
        // What the system does by itself before it connects: any address, any port. Nothing is reachable by it.
        SocketAddrUse::TcpBind | SocketAddrUse::UdpBind
            if address.ip().is_unspecified() && address.port() == 0 =>
        {
            true
        }
        // Drops the datagram; the guest asked for nothing.
        SocketAddrUse::UdpReceive => false,
        SocketAddrUse::TcpConnect | SocketAddrUse::TcpAccept => refuse(gate, "tcp", address),
        SocketAddrUse::TcpBind | SocketAddrUse::TcpListen => refuse(gate, "tcp-listen", address),
        SocketAddrUse::UdpBind | SocketAddrUse::UdpSend => refuse(gate, "udp", address),
    }
}

fn refuse(gate: &Gate, protocol: &str, address: SocketAddr) -> bool {
    gate.deny(&format!("{protocol} {address}"));
    false
}

impl Guest {
    /// Whether another socket may be made. Counted over what is there, so that closing one makes room.
    fn room_for_socket(&mut self) -> SocketResult<()> {
        let sockets =
            self.table.iter_mut().filter(|entry| entry.is::<TcpSocket>() || entry.is::<UdpSocket>()).count();
        if sockets < MAX_SOCKETS { Ok(()) } else { Err(ErrorCode::NewSocketLimit.into()) }
    }
}

impl tcp_create_socket::Host for Guest {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        self.room_for_socket()?;
        tcp_create_socket::Host::create_tcp_socket(&mut self.sockets(), family)
    }
}

impl udp_create_socket::Host for Guest {
    async fn create_udp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<UdpSocket>> {
        self.room_for_socket()?;
        udp_create_socket::Host::create_udp_socket(&mut self.sockets(), family).await
    }
}

impl network::Host for Guest {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn network_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        network::Host::network_error_code(&mut self.sockets(), error)
    }
}

impl network::HostNetwork for Guest {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        network::HostNetwork::drop(&mut self.sockets(), network)
    }
}

impl ip_name_lookup::Host for Guest {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> SocketResult<Resource<ResolveAddressStream>> {
        if !self.wasi.gate.allows_lookup(&name) {
            self.wasi.gate.deny(&format!("lookup {name}"));
            return Err(ErrorCode::AccessDenied.into());
        }
        self.wasi.gate.reach_out();
        let stream = ip_name_lookup::Host::resolve_addresses(&mut self.sockets(), network, name.clone())?;
        self.wasi.lookups.insert(stream.rep(), name);
        Ok(stream)
    }
}

impl ip_name_lookup::HostResolveAddressStream for Guest {
    fn resolve_next_address(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> SocketResult<Option<IpAddress>> {
        let rep = stream.rep();
        let next =
            ip_name_lookup::HostResolveAddressStream::resolve_next_address(&mut self.sockets(), stream)?;
        if let (Some(address), Some(name)) = (&next, self.wasi.lookups.get(&rep)) {
            self.wasi.gate.resolved(name, address_of(address));
        }
        Ok(next)
    }

    fn subscribe(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        ip_name_lookup::HostResolveAddressStream::subscribe(&mut self.sockets(), stream)
    }

    fn drop(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<()> {
        self.wasi.lookups.remove(&stream.rep());
        ip_name_lookup::HostResolveAddressStream::drop(&mut self.sockets(), stream)
    }
}

fn address_of(address: &IpAddress) -> std::net::IpAddr {
    match *address {
        IpAddress::Ipv4((a, b, c, d)) => std::net::Ipv4Addr::new(a, b, c, d).into(),
        IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => std::net::Ipv6Addr::new(a, b, c, d, e, f, g, h).into(),
    }
}
