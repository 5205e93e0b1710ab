//! A client of HTTP/1.1 that does as little as it can, so that it takes little of the machine from what is measured: one
//! connection, one request at a time, answers with a length.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::load::Client;

/// Bytes of an answer that are taken.
const MAX_ANSWER: usize = 1 << 20;

/// A connection that is made when it is first needed.
pub(crate) struct Connection {
    address: String,
    stream: Option<TcpStream>,
    answer: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(address: &str) -> Self {
        Self { address: address.to_owned(), stream: None, answer: Vec::new() }
    }

    /// Send a whole request; the body of an answer of 2xx.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<&[u8], String> {
        let asked = self.answer(request).await;
        if asked.is_err() {
            self.stream = None;
        }
        let (status, body) = asked.map_err(|problem| format!("{}: {problem}", self.address))?;
        let body = &self.answer[body..];
        if (200..300).contains(&status) {
            return Ok(body);
        }
        Err(format!("{}: status {status}, {}", self.address, String::from_utf8_lossy(body)))
    }

    /// The status, and where the body begins in what was read.
    async fn answer(&mut self, request: &[u8]) -> Result<(u16, usize), String> {
        let io = |error: std::io::Error| error.to_string();
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let stream = TcpStream::connect(&self.address).await.map_err(io)?;
                stream.set_nodelay(true).map_err(io)?;
                none.insert(stream)
            }
        };
        stream.write_all(request).await.map_err(io)?;
        self.answer.clear();
        loop {
            if stream.read_buf(&mut self.answer).await.map_err(io)? == 0 {
                return Err("the connection was closed".to_owned());
            }
            let Some(end) = self.answer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&self.answer[..end]).to_ascii_lowercase();
            let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            let (Some(status), Some(length)) = (status, length) else {
                return Err(format!("an answer without status or length: {head}"));
            };
            let body: usize = end + 4;
            let whole = body + usize::min(length, MAX_ANSWER);
            while self.answer.len() < whole {
                if stream.read_buf(&mut self.answer).await.map_err(io)? == 0 {
                    return Err("the connection was closed amid an answer".to_owned());
                }
            }
            return Ok((status, body));
        }
    }
}

/// The bytes of a request with a body.
pub(crate) fn post(path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: bench\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// The bytes of a request without.
pub(crate) fn get(path: &str, headers: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: bench\r\n{headers}\r\n").into_bytes()
}

/// Makes a request of the client's number and the request's.
type Request = Arc<dyn Fn(usize, u64) -> Vec<u8> + Send + Sync>;

/// A client that sends requests made by a function.
pub(crate) struct HttpClient {
    pub(crate) connection: Connection,
    pub(crate) client: usize,
    pub(crate) request: Request,
}

impl Client for HttpClient {
    async fn ask(&mut self, number: u64) -> Result<(), String> {
        let request = (self.request)(self.client, number);
        self.connection.exchange(&request).await.map(drop)
    }
}

impl HttpClient {
    /// One client for each of the members named, which may be named more than once.
    pub(crate) fn all(
        addresses: &[&str],
        members: &[usize],
        request: impl Fn(usize, u64) -> Vec<u8> + Send + Sync + 'static,
    ) -> Vec<Self> {
        let request: Request = Arc::new(request);
        let client = |(client, member): (usize, &usize)| Self {
            connection: Connection::new(addresses[*member]),
            client,
            request: request.clone(),
        };
        members.iter().enumerate().map(client).collect()
    }
}
