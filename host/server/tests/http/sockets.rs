//! Clients that are slow, silent, many or gone.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::support::{API_KEY, Host, PATIENCE, Setup};

/// A connection on which a test says what it likes.
pub(crate) struct Raw(TcpStream);

pub(crate) async fn connect(host: &Host) -> Raw {
    Raw(TcpStream::connect(host.address).await.unwrap())
}

impl Raw {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// What comes until the first answer is whole, or the end.
    pub(crate) async fn answer(&mut self) -> String {
        let mut got = Vec::new();
        let read = async {
            loop {
                let mut buffer = [0; 4096];
                match self.0.read(&mut buffer).await {
                    Ok(0) | Err(_) => return,
                    Ok(read) => got.extend_from_slice(&buffer[..read]),
                }
                if is_whole(&got) {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, read).await.expect("an answer comes");
        String::from_utf8_lossy(&got).into_owned()
    }

    /// Waits until the other end closes.
    async fn closed(&mut self) {
        let read = async {
            let mut buffer = [0; 4096];
            while matches!(self.0.read(&mut buffer).await, Ok(read) if read > 0) {}
        };
        tokio::time::timeout(PATIENCE, read).await.expect("the host closes the connection");
    }
}

fn is_whole(got: &[u8]) -> bool {
    let text = String::from_utf8_lossy(got).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.is_some_and(|length| length.parse::<usize>().is_ok_and(|length| body.len() >= length))
}

fn impatient() -> Setup {
    Setup::new().configure(|config| {
        config.header_timeout = Duration::from_millis(300);
        config.body_timeout = Duration::from_millis(900);
    })
}

fn post(length: usize) -> String {
    format!(
        "POST /v1/tenants HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {API_KEY}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n"
    )
}

#[tokio::test]
async fn a_client_that_says_nothing_or_half_a_thing_is_left() {
    let host = impatient().start().await;
    for start in ["", "P", "PRI * HTTP/2.0\r\n", "GET /health HTTP/1.1\r\nhost: x\r\nslow: "] {
        let mut raw = connect(&host).await;
        raw.send(start.as_bytes()).await;
        raw.closed().await;
    }
}

#[tokio::test]
async fn a_connection_may_rest_between_two_requests_but_not_within_one() {
    let host = impatient().start().await;
    let mut raw = connect(&host).await;
    raw.send(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(raw.answer().await.starts_with("HTTP/1.1 200"));
    // Three times as long as the headers of a request may take.
    let rest = tokio::time::timeout(Duration::from_millis(900), raw.0.read_u8());
    assert!(rest.await.is_err(), "it was closed");
    raw.send(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(raw.answer().await.starts_with("HTTP/1.1 200"));
    raw.send(b"GET /health HTTP/1.1\r\nhalf: ").await;
    raw.closed().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_a_timeout() {
    let host = impatient().start().await;
    let mut raw = connect(&host).await;
    raw.send(format!("{}{{\"name\"", post(100)).as_bytes()).await;
    let answer = raw.answer().await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("urn:inquisitor:problem:timeout"), "{answer}");
}

#[tokio::test]
async fn a_body_that_drips_is_a_timeout_too() {
    let host = impatient().start().await;
    let mut raw = connect(&host).await;
    raw.send(post(100).as_bytes()).await;
    let began = Instant::now();
    let mut drip = tokio::time::interval(Duration::from_millis(100));
    let answer = loop {
        drip.tick().await;
        if raw.0.write_all(b" ").await.is_err() || began.elapsed() > Duration::from_millis(1200) {
            break raw.answer().await;
        }
    };
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn a_client_that_leaves_half_way_harms_nobody() {
    let host = Setup::new().start().await;
    for _ in 0..50 {
        let mut raw = connect(&host).await;
        raw.send(format!("{}{{\"name\": \"half", post(100)).as_bytes()).await;
    }
    assert_eq!(host.get("/v1/tenants/half").await.status, 404);
    assert_eq!(host.get("/v1/me").await.status, 200);
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    let host = Setup::new().start().await;
    let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(100_000));
    let many: String = (0..500).map(|n| format!("h{n}: v\r\n")).collect();
    let many = format!("GET /health HTTP/1.1\r\nhost: x\r\n{many}\r\n");
    for bytes in
        ["NONSENSE\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\0\0\0\0\r\n\r\n", long.as_str(), many.as_str()]
    {
        let mut raw = connect(&host).await;
        // The host may close before all of it is sent.
        let _ = raw.0.write_all(bytes.as_bytes()).await;
        let answer = raw.answer().await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    let smuggled = "POST /v1/tenants HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /health HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut raw = connect(&host).await;
    raw.send(smuggled.as_bytes()).await;
    assert!(!raw.answer().await.starts_with("HTTP/1.1 2"));
    assert_eq!(host.get("/v1/me").await.status, 200);
}

#[tokio::test]
async fn a_request_says_once_which_host_it_is_for() {
    let host = Setup::new().start().await;
    for (head, status) in [
        ("GET /health HTTP/1.1\r\n", 400),
        ("GET /health HTTP/1.1\r\nhost: a\r\nhost: b\r\n", 400),
        ("GET /health HTTP/1.1\r\nhost: a\r\nhost: a\r\n", 400),
        ("GET /health HTTP/1.0\r\n", 200),
        ("GET http://a/health HTTP/1.1\r\nhost: a\r\n", 200),
    ] {
        let mut raw = connect(&host).await;
        raw.send(format!("{head}\r\n").as_bytes()).await;
        let answer = raw.answer().await;
        assert_eq!(answer.split(' ').nth(1), Some(status.to_string().as_str()), "{head}: {answer}");
    }
}

#[tokio::test]
async fn where_others_wait_a_resting_connection_makes_room() {
    let host = Setup::new()
        .configure(|config| {
            config.max_connections = 4;
            config.header_timeout = Duration::from_millis(300);
        })
        .start()
        .await;
    let mut resting = Vec::new();
    for _ in 0..4 {
        let mut raw = connect(&host).await;
        raw.send(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(raw.answer().await.starts_with("HTTP/1.1 200"));
        resting.push(raw);
    }
    // They might rest for 75 seconds, which is longer than this waits.
    let mut raw = connect(&host).await;
    raw.send(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let answer = raw.answer().await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_their_turn() {
    let host = Setup::new()
        .configure(|config| {
            config.max_connections = 4;
            config.header_timeout = Duration::from_millis(500);
        })
        .start()
        .await;
    // All places are taken by clients that say nothing; they lose them, and the next one's turn comes.
    let mut silent = Vec::new();
    for _ in 0..12 {
        silent.push(connect(&host).await);
    }
    let mut raw = connect(&host).await;
    raw.send(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let answer = raw.answer().await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn one_connection_carries_many_requests_and_http_2_too() {
    let host = Setup::new().start().await;
    let mut raw = connect(&host).await;
    for _ in 0..100 {
        raw.send(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(raw.answer().await.starts_with("HTTP/1.1 200"));
    }
    let client = super::support::client_builder().http2_prior_knowledge().build().unwrap();
    for _ in 0..100 {
        let answer = client.get(format!("{}/v1/me", host.url)).bearer_auth(API_KEY).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, reqwest::Version::HTTP_2));
    }
}
