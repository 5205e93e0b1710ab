//! A real Prometheus reads a real host.

#![allow(clippy::unwrap_used)]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use inquisitor_tests::server::{PATIENCE, Server};
use serde_json::Value;

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether the program is here. Where it must be and is not, the test fails.
fn is_here(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let here = found.is_ok_and(|status| status.success());
    let required = std::env::var_os("INQUISITOR_REQUIRE_PEERS").is_some();
    assert!(here || !required, "{program} is required and not installed");
    if !here {
        let _ = writeln!(std::io::stderr(), "left out: {program} is not installed");
    }
    here
}

fn prometheus(folder: &Path, target: &str) -> (Running, String) {
    let config = format!(
        "global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: inquisitor\n    static_configs:\n      - targets: [\"{target}\"]\n"
    );
    let file = folder.join("prometheus.yml");
    std::fs::write(&file, config).unwrap();
    // A port that was free a moment ago: Prometheus does not tell which one it drew.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let child = Command::new("prometheus")
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()))
        .arg(format!("--web.listen-address={free}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    (Running(child), free)
}

/// The body of what Prometheus answers with 200.
fn get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.lines().next()?.contains(" 200").then(|| body.to_owned())
}

/// The values of an instant query, one for each series.
fn query(prometheus: &str, series: &str) -> Vec<String> {
    let escaped: String = series
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect();
    let Some(text) = get(prometheus, &format!("/api/v1/query?query={escaped}")) else { return Vec::new() };
    let answer: Value = serde_json::from_str(&text).unwrap();
    let result = answer["data"]["result"].as_array().unwrap();
    result.iter().map(|series| series["value"][1].as_str().unwrap().to_owned()).collect()
}

#[test]
fn prometheus_reads_a_host() {
    if !is_here("prometheus") {
        return;
    }
    let host = Server::start();
    let address = host.url().trim_start_matches("http://");
    let (_prometheus, prometheus) = prometheus(host.folder(), address);
    let build = format!("inquisitor_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    for (series, value) in [
        ("up{job=\"inquisitor\"}", "1"),
        (build.as_str(), "1"),
        ("inquisitor_raft_leader", "1"),
        ("inquisitor_manifest_validations_total", "0"),
        ("inquisitor_inquiry_executions_total{outcome=\"verified\"}", "0"),
        ("inquisitor_instrument_executions_total{plugin=~\"echo@.*\",outcome=\"completed\"}", "0"),
    ] {
        host.until(series, || query(&prometheus, series).iter().any(|found| found == value).then_some(()));
    }
    // The histogram is one to Prometheus too.
    host.until("a quantile", || {
        let quantile =
            "histogram_quantile(0.5, sum by (le) (inquisitor_http_request_duration_seconds_bucket))";
        query(&prometheus, quantile)
            .iter()
            .any(|value| value.parse::<f64>().is_ok_and(f64::is_finite))
            .then_some(())
    });
}
