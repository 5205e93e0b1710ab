//! Load by `wrk`, and what it says.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A request to repeat.
pub(crate) struct Wrk {
    url: String,
    key: String,
    script: String,
}

/// What came of it.
pub(crate) struct Load {
    pub(crate) per_second: f64,
    pub(crate) requests: usize,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

impl Wrk {
    pub(crate) fn new(url: &str, key: &str) -> Self {
        Self { url: url.to_owned(), key: key.to_owned(), script: String::new() }
    }

    /// POST this file instead of GET; where it is to be `distinct`, with an id of its own for each in place of `load`: two
    /// manifests of one id cannot run at once.
    pub(crate) fn post(mut self, body: &Path, distinct: bool) -> Self {
        self.script = format!(
            "wrk.method = \"POST\"\n\
             wrk.headers[\"Content-Type\"] = \"application/yaml\"\n\
             local file = io.open({:?}, \"rb\")\n\
             wrk.body = file:read(\"*a\")\n\
             file:close()\n",
            body.display().to_string()
        );
        if distinct {
            // Every thread of wrk runs the script for itself; the address of a table of its own tells them apart.
            self.script.push_str(
                "local thread, count = tostring({}):gsub('[^%w]', ''), 0\n\
                 request = function()\n\
                   count = count + 1\n\
                   local id = 'id: load-' .. thread .. '-' .. count\n\
                   return wrk.format(nil, nil, nil, (wrk.body:gsub('id: load', id, 1)))\n\
                 end\n",
            );
        }
        self
    }

    /// # Panics
    /// When wrk is missing, or an answer was none of 2xx.
    pub(crate) fn run(&self, connections: usize, seconds: u64) -> Load {
        let script = tempfile::Builder::new().suffix(".lua").tempfile().unwrap();
        std::fs::write(script.path(), &self.script).unwrap();
        let threads = connections.min(2);
        let output = Command::new("wrk")
            .args(["--latency", "-t", &threads.to_string(), "-c", &connections.to_string()])
            .args(["-d", &format!("{seconds}s"), "-H", &format!("Authorization: Bearer {}", self.key), "-s"])
            .arg(script.path())
            .arg(&self.url)
            .output()
            .unwrap_or_else(|error| {
                panic!("wrk cannot be run ({error}); `cargo xtask bench server` installs it")
            });
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!text.contains("Non-2xx"), "{} was refused under load:\n{text}", self.url);
        let after = |mark: &str| {
            text.lines()
                .find_map(|line| line.trim().strip_prefix(mark).map(|rest| rest.trim().to_owned()))
                .unwrap_or_else(|| panic!("no `{mark}` in what wrk said:\n{text}"))
        };
        let requests = text
            .lines()
            .find_map(|line| {
                line.trim().split_once(" requests in ").and_then(|(count, _)| count.parse().ok())
            })
            .unwrap_or_else(|| panic!("no number of requests in what wrk said:\n{text}"));
        Load {
            per_second: after("Requests/sec:").parse().unwrap(),
            requests,
            p50: duration(&after("50%")),
            p99: duration(&after("99%")),
        }
    }
}

/// `1.23ms`, `456.00us`, `1.20s`, `2.00m`.
fn duration(text: &str) -> Duration {
    let unit = text.trim_start_matches(|character: char| character.is_ascii_digit() || character == '.');
    let number: f64 = text[..text.len() - unit.len()].parse().unwrap();
    Duration::from_secs_f64(match unit {
        "us" => number * 1e-6,
        "ms" => number * 1e-3,
        "s" => number,
        "m" => number * 60.0,
        other => panic!("wrk's unit `{other}`"),
    })
}
