//! What nobody would send, sent to a running host: mutated components to the upload, and whatever schemathesis makes of the
//! host's own description of its API. Short here; `cargo xtask fuzz upload|api --seconds N` runs them for longer.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use inquisitor_tests::server::{API_KEY, PATIENCE, Server};
use inquisitor_tests::{plugin, repository, target};

/// How long each runs.
fn duration(short: u64) -> Duration {
    let asked = std::env::var("FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(asked.unwrap_or(short))
}

/// A generator that needs nothing: xorshift, by a fixed seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }
}

/// Changes a component in one of the ways in which files go bad, or are made bad.
fn mutate(random: &mut Random, component: &[u8]) -> Vec<u8> {
    let mut bytes = component.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(7) {
            0 => bytes.truncate(at),
            1 => bytes[at] ^= 1 << random.below(8),
            2 => bytes[at] = random.next() as u8,
            // Lengths are LEB128 numbers near the start of sections.
            3 => {
                let end = (at + 5).min(bytes.len());
                bytes.splice(at..end, [0xff, 0xff, 0xff, 0xff, 0x0f]);
            }
            4 => {
                let end = (at + random.below(4096)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            5 => {
                let end = (at + random.below(4096)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                let near = random.below(64).min(bytes.len() - 1);
                bytes[near] = random.next() as u8;
            }
        }
        if bytes.is_empty() {
            bytes.push(0);
        }
    }
    bytes
}

fn post(server: &Server, body: &[u8]) -> u16 {
    let address = server.url().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "POST /v1/plugins HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {API_KEY}\r\nContent-Type: application/wasm\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )
    .unwrap();
    // The host may answer and close before it has read everything.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let head = String::from_utf8_lossy(&answer[..answer.len().min(64)]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("no answer but `{head}`; the host's log:\n{}", server.log()))
}

#[test]
fn upload() {
    let server = Server::start();
    let component = std::fs::read(plugin("echo")).unwrap();
    let mut random = Random(0x5e_ed0f_c0de);
    let end = Instant::now() + duration(10);
    let (mut sent, mut taken) = (0_u32, 0_u32);
    while Instant::now() < end {
        let bytes = mutate(&mut random, &component);
        let status = post(&server, &bytes);
        sent += 1;
        taken += u32::from(status < 300);
        // A change in a custom section or in data leaves a good component, of a version that is taken.
        let expected = matches!(status, 200 | 201 | 409 | 413 | 422 | 429);
        assert!(expected, "{status} to upload {sent}; the host's log:\n{}", server.log());
    }
    assert!(server.get("/health").is_some());
    assert!(!server.log().contains("panicked"), "{}", server.log());
    println!("{sent} uploads, {taken} taken");
}

#[test]
fn api() {
    let program = target().join("python/schemathesis/bin/schemathesis");
    if !program.is_file() {
        assert!(std::env::var_os("INQUISITOR_REQUIRE_PEERS").is_none(), "{} is missing", program.display());
        println!("schemathesis is not installed; `cargo xtask test` installs it");
        return;
    }
    let server = Server::with(&["--max-requests", "4096"]);
    // Something to find behind the identifiers.
    let hello = repository().join("tests/fixtures/hello-world.yaml");
    assert_eq!(server.run(["submit", hello.to_str().unwrap(), "--watch"]).code, 0);
    let seconds = duration(25).as_secs();
    let description = server.file("openapi.json", &server.get("/openapi.json").unwrap());
    let validator = target().join("python/schemathesis/bin/openapi-spec-validator");
    let valid = Command::new(validator).arg(&description).output().unwrap();
    assert!(valid.status.success(), "{}", String::from_utf8_lossy(&valid.stdout));
    let output = Command::new(program)
        .current_dir(server.folder())
        .args(["run", &format!("{}/openapi.json", server.url()), "--max-time", &seconds.to_string()])
        .args(["--header", &format!("Authorization: Bearer {API_KEY}"), "--seed", "20261124", "--no-color"])
        .args([
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        ])
        .args(["--continue-on-failure", "--suppress-health-check", "all", "--warnings", "off"])
        // Its requests would never come to an end, which is what they are for.
        .args(["--exclude-path-regex", "/events$"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(!server.log().contains("panicked"), "{}", server.log());
    println!("{said}");
}
