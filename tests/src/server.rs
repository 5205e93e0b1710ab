//! A host of the real binary, on a free port, in a folder of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::http::{Request, ask};
use crate::{Ended, inquisitor, plugin, released};

/// How long what must come may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The first administrator's key of hosts in tests.
pub const API_KEY: &str = "inq_key-of-the-tests-0123456789abcdef";

/// A host that ends with the test.
pub struct Server {
    child: Child,
    folder: tempfile::TempDir,
    url: String,
    came_up: Duration,
}

impl Server {
    /// Start a host with the shipped plugins and [`API_KEY`], and wait until it is ready.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// The same with more options.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn with(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        Self::on(folder, options)
    }

    /// A host with the plugins of this folder and more options.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn from_plugins(plugins: &Path, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        Self::spawn(inquisitor(), folder, plugins, options)
    }

    /// A host of the release binary with the shipped plugins, in a folder below this one: for benchmarks.
    ///
    /// # Panics
    /// When it was not built or does not come up.
    pub fn release(below: &Path, options: &[&str]) -> Self {
        let folder =
            tempfile::tempdir_in(below).unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let echo = plugin("echo");
        Self::spawn(released(), folder, echo.parent().unwrap_or(Path::new(".")), options)
    }

    /// A host with the shipped plugins, on a folder that one ran on before.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn on(folder: tempfile::TempDir, options: &[&str]) -> Self {
        let echo = plugin("echo");
        Self::spawn(inquisitor(), folder, echo.parent().unwrap_or(Path::new(".")), options)
    }

    fn spawn(mut command: Command, folder: tempfile::TempDir, plugins: &Path, options: &[&str]) -> Self {
        let address_file = folder.path().join("address");
        // One that ran here before left its own.
        let _ = std::fs::remove_file(&address_file);
        let log = File::options()
            .create(true)
            .append(true)
            .open(folder.path().join("log"))
            .unwrap_or_else(|error| panic!("no log: {error}"));
        let began = Instant::now();
        let child = command
            .args(["serve", "--http-listen", "127.0.0.1:0"])
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .arg("--address-file")
            .arg(&address_file)
            .arg("--plugin-dir")
            .arg(plugins)
            .args(options)
            .env("API_KEY", API_KEY)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run the binary: {error}"));
        let mut server = Self { child, folder, url: String::new(), came_up: Duration::ZERO };
        server.url = server.until("an address", || {
            let text = std::fs::read_to_string(&address_file).ok()?;
            Some(text.trim().to_owned())
        });
        server.until("a host that is ready", || server.get("/ready"));
        server.came_up = began.elapsed();
        server
    }

    /// Ask again until there is an answer that will do.
    ///
    /// # Panics
    /// When none comes in time, with the host's log.
    pub fn until<T>(&self, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            assert!(Instant::now() < end, "{what} did not come; the host's log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The host's address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The folder that is the host's own; `data` in it is its data directory.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the host logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The time from its start until it was ready, give or take how often it was asked (20 ms).
    pub fn came_up(&self) -> Duration {
        self.came_up
    }

    /// The body of what is answered with 200 to anybody.
    pub fn get(&self, path: &str) -> Option<String> {
        get(self.url.strip_prefix("http://")?, path)
    }

    /// The body of what the administrator is answered with a status of 2xx.
    pub fn ask(&self, method: &str, path: &str, body: &[u8]) -> Option<Vec<u8>> {
        exchange(self.url.strip_prefix("http://")?, method, path, &[("X-Inquisitor-Key", API_KEY)], body)
    }

    /// Submit a manifest and wait until its inquiry has ended; its id.
    ///
    /// # Panics
    /// When it is not taken in or does not end.
    pub fn submit_and_finish(&self, manifest: &str) -> String {
        let read = |body: Vec<u8>| serde_json::from_slice::<serde_json::Value>(&body).ok();
        let submitted = self.ask("POST", "/v1/inquiries", manifest.as_bytes()).and_then(read);
        let id = submitted.as_ref().and_then(|inquiry| inquiry["id"].as_str());
        let id = id.unwrap_or_else(|| panic!("not taken in; the host's log:\n{}", self.log())).to_owned();
        self.until("the inquiry's end", || {
            let inquiry = self.ask("GET", &format!("/v1/inquiries/{id}"), b"").and_then(read)?;
            (inquiry["status"] != "running").then_some(())
        });
        id
    }

    /// The sum of a metric's series as they are now.
    ///
    /// # Panics
    /// When there is none of this name.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").unwrap_or_default();
        let values: Vec<f64> = text
            .lines()
            .filter(|line| {
                line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ') || rest.starts_with('{'))
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
            .collect();
        assert!(!values.is_empty(), "there is no metric {name}");
        values.iter().sum()
    }

    /// Memory of the host that is resident, in MiB.
    ///
    /// # Panics
    /// Where the system does not tell (it is read from `/proc`).
    pub fn resident_mib(&self) -> f64 {
        let path = format!("/proc/{}/status", self.child.id());
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {path}: {error}"));
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
        kib.unwrap_or_else(|| panic!("no VmRSS in {path}")) / 1024.0
    }

    /// A command that asks this host with the administrator's key, and keeps its configuration in the host's folder.
    pub fn client(&self) -> Command {
        let mut command = inquisitor();
        command
            .env("INQUISITOR_SERVER", &self.url)
            .env("INQUISITOR_KEY", API_KEY)
            .env("XDG_CONFIG_HOME", self.folder.path().join("config"));
        command
    }

    /// Run a command that asks this host to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(&self, arguments: I) -> Ended {
        ended(self.client().args(arguments))
    }

    /// Send a signal, as `TERM`.
    ///
    /// # Panics
    /// When it cannot be sent.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "cannot send {name}");
    }

    /// Wait until the host has ended; its exit code and its folder.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn ended(mut self) -> (Option<i32>, tempfile::TempDir) {
        let end = Instant::now() + PATIENCE;
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(20)),
                other => panic!("the host does not end ({other:?}); its log:\n{}", self.log()),
            }
        };
        let empty = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        (status.code(), std::mem::replace(&mut self.folder, empty))
    }

    /// Write a file into the host's folder.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap_or_else(|error| panic!("cannot write {name}: {error}"));
        path
    }
}

/// The body of what the host at this address answers with 200 to anybody.
pub fn get(address: &str, path: &str) -> Option<String> {
    String::from_utf8(exchange(address, "GET", path, &[], b"")?).ok()
}

fn exchange(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Option<Vec<u8>> {
    let answer = ask(address, &Request { method, path, headers, body }, PATIENCE).ok()?;
    (answer.is_good() && answer.is_whole).then_some(answer.body)
}

/// What a command left.
///
/// # Panics
/// When it cannot be started.
pub fn ended(command: &mut Command) -> Ended {
    command.output().unwrap_or_else(|error| panic!("cannot run the binary: {error}")).into()
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
