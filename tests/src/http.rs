//! Requests by hand, one connection for each: what came of a request is known to the byte, whatever happens to the host.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The most that is read of an answer.
const MOST_BYTES: u64 = 256 << 20;

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct Request<'a> {
    /// As `GET`.
    pub method: &'a str,
    /// With the query.
    pub path: &'a str,
    /// Beside those that every request has.
    pub headers: &'a [(&'a str, &'a str)],
    /// What is sent.
    pub body: &'a [u8],
}

impl<'a> Request<'a> {
    /// A request without headers and body.
    pub fn get(path: &'a str) -> Self {
        Self { method: "GET", path, headers: &[], body: b"" }
    }

    /// The same with headers.
    pub fn with(self, headers: &'a [(&'a str, &'a str)]) -> Self {
        Self { headers, ..self }
    }
}

/// What was answered, as far as it came.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Shorter than it was meant where `is_whole` says so.
    pub body: Vec<u8>,
    /// Whether the connection held until the end of the body.
    pub is_whole: bool,
}

impl Answer {
    /// The first header of this name, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Whether the status is one of 2xx.
    pub fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Ask the host at this address, as `127.0.0.2:8000`, and wait for its answer for so long.
///
/// # Errors
/// When there is no connection, or it ended before the head of an answer was there. The request may have been processed.
pub fn ask(address: &str, request: &Request<'_>, patience: Duration) -> io::Result<Answer> {
    let end = Instant::now() + patience;
    let socket: SocketAddr =
        address.parse().map_err(|_| io::Error::other(format!("`{address}` is no address")))?;
    let mut stream = TcpStream::connect_timeout(&socket, patience)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(patience))?;
    // In HTTP/1.0 the end of the connection is the end of the answer, and no body comes in chunks.
    let mut head = format!("{} {} HTTP/1.0\r\nHost: {address}\r\n", request.method, request.path);
    for (name, value) in request.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", request.body.len()));
    stream.write_all(head.as_bytes())?;
    stream.write_all(request.body)?;
    let mut bytes = Vec::new();
    let ended = read(&mut stream, &mut bytes, end);
    parse(&bytes, ended.is_ok()).ok_or_else(|| {
        ended.err().unwrap_or_else(|| {
            io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended before an answer")
        })
    })
}

fn read(stream: &mut TcpStream, bytes: &mut Vec<u8>, end: Instant) -> io::Result<()> {
    let mut stream = stream.take(MOST_BYTES);
    let mut part = [0; 16 << 10];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.get_ref().set_read_timeout(Some(left))?;
        match stream.read(&mut part)? {
            0 if stream.limit() == 0 => return Err(io::Error::other("more than is read of an answer")),
            0 => return Ok(()),
            length => bytes.extend_from_slice(&part[..length]),
        }
    }
}

/// None where the head is not whole.
fn parse(bytes: &[u8], ended_well: bool) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let body = bytes[end + 4..].to_vec();
    let mut answer = Answer { status, headers, body, is_whole: ended_well };
    if let Some(length) = answer.header("content-length") {
        answer.is_whole = length.parse() == Ok(answer.body.len());
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_was_cut_off_says_so() {
        let whole = b"HTTP/1.0 201 Created\r\nContent-Length: 2\r\nLocation: /x\r\n\r\n{}";
        let answer = parse(whole, true).unwrap();
        assert_eq!((answer.status, answer.header("location"), answer.is_whole), (201, Some("/x"), true));
        assert_eq!(answer.json(), serde_json::json!({}));
        // An acknowledgement of which the body is missing is one all the same.
        let cut = parse(&whole[..whole.len() - 1], false).unwrap();
        assert_eq!((cut.status, cut.is_whole, cut.json()), (201, false, Value::Null));
        assert!(parse(b"HTTP/1.0 201 Created\r\nContent-", false).is_none());
        // Without a length the end of the connection is the end.
        assert!(parse(b"HTTP/1.0 200 OK\r\n\r\nx", true).unwrap().is_whole);
        assert!(!parse(b"HTTP/1.0 200 OK\r\n\r\nx", false).unwrap().is_whole);
    }
}
