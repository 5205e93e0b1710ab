//! A host of the real binary, on a free port, in a folder of its own.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Ended, inquisitor, plugin};

/// How long what must come may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The first administrator's key of hosts in tests.
pub const API_KEY: &str = "inq_key-of-the-tests-0123456789abcdef";

/// A host that ends with the test.
pub struct Server {
    child: Child,
    folder: tempfile::TempDir,
    url: String,
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
        Self::spawn(folder, plugins, options)
    }

    /// A host with the shipped plugins, on a folder that one ran on before.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn on(folder: tempfile::TempDir, options: &[&str]) -> Self {
        let echo = plugin("echo");
        Self::spawn(folder, echo.parent().unwrap_or(Path::new(".")), options)
    }

    fn spawn(folder: tempfile::TempDir, plugins: &Path, options: &[&str]) -> Self {
        let address_file = folder.path().join("address");
        // One that ran here before left its own.
        let _ = std::fs::remove_file(&address_file);
        let log = File::options()
            .create(true)
            .append(true)
            .open(folder.path().join("log"))
            .unwrap_or_else(|error| panic!("no log: {error}"));
        let child = inquisitor()
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
        let mut server = Self { child, folder, url: String::new() };
        server.url = server.until("an address", || {
            let text = std::fs::read_to_string(&address_file).ok()?;
            Some(text.trim().to_owned())
        });
        server.until("a host that is ready", || server.get("/ready"));
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

    /// The body of what is answered with 200 to anybody.
    pub fn get(&self, path: &str) -> Option<String> {
        let address = self.url.strip_prefix("http://")?;
        let mut stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.lines().next()?.contains(" 200").then(|| body.to_owned())
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
