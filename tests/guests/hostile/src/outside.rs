//! Reaches for the outside: clocks, randomness, files, the network, the process.

use wasip2::cli::environment::{get_arguments, get_environment};
use wasip2::clocks::{monotonic_clock, wall_clock};
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, OutgoingRequest, Scheme};
use wasip2::random::{insecure, insecure_seed, random as secure};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp_create_socket::create_udp_socket;

use crate::bindings::inquisitor::instrument::types::Error;

fn failed(what: &str, error: impl std::fmt::Debug) -> Error {
    Error::Failed(format!("{what}: {error:?}"))
}

/// The clocks, read so many times.
pub fn clocks(count: u64) -> Result<String, Error> {
    let mut text = String::new();
    for _ in 0..count {
        let wall = wall_clock::now();
        text.push_str(&format!("{}.{:09}/{} ", wall.seconds, wall.nanoseconds, monotonic_clock::now()));
    }
    Ok(text)
}

pub fn random() -> String {
    let bytes = secure::get_random_bytes(8);
    format!(
        "{bytes:?} {} {} {:?}",
        secure::get_random_u64(),
        insecure::get_insecure_random_u64(),
        insecure_seed::insecure_seed()
    )
}

pub fn environment() -> String {
    format!("{:?} {:?} {}", get_environment(), get_arguments(), get_directories().len())
}

/// `a.b.c.d:port`.
fn address(target: &str) -> Result<IpSocketAddress, Error> {
    let address: std::net::SocketAddrV4 = target.parse().map_err(|error| failed("target", error))?;
    let [a, b, c, d] = address.ip().octets();
    Ok(IpSocketAddress::Ipv4(Ipv4SocketAddress { port: address.port(), address: (a, b, c, d) }))
}

/// Connect, send a line, read what comes.
pub fn tcp(target: &str) -> Result<String, Error> {
    let socket = create_tcp_socket(IpAddressFamily::Ipv4).map_err(|error| failed("create", error))?;
    let network = instance_network();
    socket.start_connect(&network, address(target)?).map_err(|error| failed("start-connect", error))?;
    let (input, output) = loop {
        match socket.finish_connect() {
            Ok(streams) => break streams,
            Err(ErrorCode::WouldBlock) => socket.subscribe().block(),
            Err(error) => return Err(failed("finish-connect", error)),
        }
    };
    output.blocking_write_and_flush(b"ping\n").map_err(|error| failed("write", error))?;
    let bytes = input.blocking_read(64).map_err(|error| failed("read", error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

pub fn udp(target: &str) -> Result<String, Error> {
    let socket = create_udp_socket(IpAddressFamily::Ipv4).map_err(|error| failed("create", error))?;
    let network = instance_network();
    let any = IpSocketAddress::Ipv4(Ipv4SocketAddress { port: 0, address: (0, 0, 0, 0) });
    socket.start_bind(&network, any).map_err(|error| failed("start-bind", error))?;
    socket.finish_bind().map_err(|error| failed("finish-bind", error))?;
    socket.stream(Some(address(target)?)).map_err(|error| failed("stream", error))?;
    Ok("connected".to_owned())
}

/// How many sockets could be made and held.
pub fn sockets(count: u64) -> usize {
    let hoard: Vec<_> = (0..count).map_while(|_| create_tcp_socket(IpAddressFamily::Ipv4).ok()).collect();
    hoard.len()
}

pub fn lookup(name: &str) -> Result<String, Error> {
    let stream = resolve_addresses(&instance_network(), name).map_err(|error| failed("resolve", error))?;
    loop {
        match stream.resolve_next_address() {
            Ok(Some(address)) => return Ok(format!("{address:?}")),
            Ok(None) => return Ok("none".to_owned()),
            Err(ErrorCode::WouldBlock) => stream.subscribe().block(),
            Err(error) => return Err(failed("next", error)),
        }
    }
}

/// GET `http://target/`.
pub fn http(target: &str) -> Result<String, Error> {
    let request = OutgoingRequest::new(Fields::new());
    let _ = request.set_scheme(Some(&Scheme::Http));
    let _ = request.set_authority(Some(target));
    let _ = request.set_path_with_query(Some("/"));
    let future = outgoing_handler::handle(request, None).map_err(|error| failed("handle", error))?;
    future.subscribe().block();
    let response = match future.get() {
        Some(Ok(Ok(response))) => response,
        other => return Err(failed("response", other)),
    };
    let status = response.status();
    let body = response.consume().map_err(|()| failed("consume", ()))?;
    let stream = body.stream().map_err(|()| failed("stream", ()))?;
    let mut bytes = Vec::new();
    while let Ok(more) = stream.blocking_read(4096) {
        bytes.extend(more);
    }
    Ok(format!("{status} {}", String::from_utf8_lossy(&bytes)))
}

/// The directory that was granted, whose guest path is the start of `path`, and the rest of it.
fn in_granted(path: &str) -> Result<(wasip2::filesystem::types::Descriptor, String), Error> {
    for (descriptor, granted) in get_directories() {
        if let Some(rest) = path.strip_prefix(&granted) {
            return Ok((descriptor, rest.trim_start_matches('/').to_owned()));
        }
    }
    Err(Error::Failed("no directory was granted".to_owned()))
}

pub fn read_file(path: &str) -> Result<String, Error> {
    let (directory, rest) = in_granted(path)?;
    let file = directory
        .open_at(PathFlags::empty(), &rest, OpenFlags::empty(), DescriptorFlags::READ)
        .map_err(|error| failed("open", error))?;
    let (bytes, _) = file.read(1000, 0).map_err(|error| failed("read", error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

pub fn write_file(path: &str) -> Result<String, Error> {
    let (directory, rest) = in_granted(path)?;
    let file = directory
        .open_at(PathFlags::empty(), &rest, OpenFlags::CREATE, DescriptorFlags::WRITE)
        .map_err(|error| failed("open", error))?;
    file.write(b"written", 0).map_err(|error| failed("write", error))?;
    Ok("written".to_owned())
}

pub fn exit(code: u64) -> ! {
    wasip2::cli::exit::exit(if code == 0 { Ok(()) } else { Err(()) });
    unreachable!("exit came back")
}
