//! One container as processes: the image's files, the rendered mounts, user, rights and environment, in namespaces of its own.
//!
//! The image is put together from what this machine has: its programs and libraries for those of the distribution, the debug
//! binary and the plugins at their places. The root is a file system in memory that is read-only where the pod says so.
//! Not done as a cluster would: the seccomp profile, and limits of processor and memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::described::Container as Described;
use crate::netns::Network;
use crate::{binary, plugin};

/// How often a process is asked whether it has ended.
const GLANCE: Duration = Duration::from_millis(20);

/// What `deployments/docker/Dockerfile` sets with `ENV`, and what every container engine sets.
pub const IMAGE_ENV: [(&str, &str); 6] = [
    ("DATA_DIR", "/app/data"),
    ("ARTIFACT_DIR", "/app/artifacts"),
    ("MANIFEST_DIR", "/app/manifests"),
    ("INQUISITOR_CACHE_DIR", "/var/cache/inquisitor"),
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("HOME", "/nonexistent"),
];

/// The image's folders that belong to its user.
const IMAGE_FOLDERS: [&str; 4] = ["app/data", "app/artifacts", "app/manifests", "var/cache/inquisitor"];

/// Whose rights the processes have.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The user.
    pub user: u32,
    /// The first group.
    pub group: u32,
    /// The group of the volumes.
    pub volumes: Option<u32>,
}

/// What a container needs beside its own description.
pub struct Place<'a> {
    /// The network namespace, by its name in the network.
    pub network: &'a str,
    /// The host name.
    pub hostname: &'a str,
    /// `/etc/hosts`.
    pub hosts: String,
    /// `/etc/resolv.conf`.
    pub resolver: String,
    /// A folder of this container alone.
    pub folder: &'a Path,
    /// Where the folder of each volume lies.
    pub volumes: BTreeMap<String, PathBuf>,
    /// Its processes' rights.
    pub identity: Identity,
}

/// A container that runs, or ran. It ends with this value.
pub struct Container {
    child: Child,
    /// The container's first process, as this process sees it.
    first: u32,
    identity: Identity,
    env: BTreeMap<String, String>,
    confined: Confined,
}

/// How far processes are kept from becoming more than they are.
#[derive(Debug, Clone, Copy)]
struct Confined {
    may_gain: bool,
    no_capabilities: bool,
}

impl Container {
    /// Start it. Output goes to `log` in its folder, behind that of earlier ones.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(network: &Network, described: &Described, place: &Place<'_>) -> Self {
        let mut env: BTreeMap<String, String> =
            IMAGE_ENV.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        env.insert("HOSTNAME".to_owned(), place.hostname.to_owned());
        env.extend(described.env.clone());
        let confined = Confined {
            may_gain: described.may_gain_privileges,
            no_capabilities: described.drops_all_capabilities,
        };
        let command: Vec<String> = match &described.command {
            Some(command) => command.iter().chain(&described.args).cloned().collect(),
            // The image's own entry point, and its command where there are no arguments.
            None if described.args.is_empty() => vec!["/usr/local/bin/inquisitor".into(), "serve".into()],
            None => ["/usr/local/bin/inquisitor".to_owned()].iter().chain(&described.args).cloned().collect(),
        };
        let script = place.folder.join("start.sh");
        write(&script, &start(described, place, &privileges(&place.identity, confined), &command));
        let log = |name: &str| {
            File::options()
                .create(true)
                .append(true)
                .open(place.folder.join(name))
                .unwrap_or_else(|error| panic!("no log for a container: {error}"))
        };
        let mut child = network
            .command(place.network, "unshare")
            .args(["--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--", "sh", "-eu"])
            .arg(&script)
            .env_clear()
            .envs(&env)
            .stdin(Stdio::null())
            .stdout(log("log"))
            .stderr(log("log"))
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start a container: {error}"));
        let first = first_process(&mut child, place.folder);
        Self { child, first, identity: place.identity.clone(), env, confined }
    }

    /// How it ended, if it has.
    ///
    /// # Panics
    /// When the system does not tell.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap_or_else(|error| panic!("cannot wait for a container: {error}"))
    }

    /// A command that runs in the container, with its user, rights and environment, as `kubectl exec` does.
    pub fn exec(&self, command: &[String]) -> Command {
        let mut enter = Command::new("nsenter");
        enter
            .args(["--target", &self.first.to_string()])
            .args(["--mount", "--uts", "--ipc", "--net", "--pid", "--wdns=/", "--"])
            .args(privileges(&self.identity, self.confined))
            .args(command)
            .env_clear()
            .envs(&self.env)
            .stdin(Stdio::null());
        enter
    }

    /// Send a signal to its first process, as `TERM`. One that has ended gets none.
    pub fn signal(&mut self, name: &str) {
        if self.ended().is_none() {
            let pid = self.first.to_string();
            // It may end at this moment.
            let _ = Command::new("kill").args([format!("-{name}"), pid]).stderr(Stdio::null()).status();
        }
    }

    /// Wait until it ends, at most until then; none if it has not.
    pub fn wait(&mut self, until: Instant) -> Option<ExitStatus> {
        loop {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            if Instant::now() >= until {
                return None;
            }
            std::thread::sleep(GLANCE);
        }
    }

    /// End it now.
    pub fn kill(&mut self) {
        self.signal("KILL");
        if self.wait(Instant::now() + Duration::from_secs(5)).is_none() {
            // The helper kills what it started when it ends.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Run a command to its end, at most for so long; none where it had to be killed.
///
/// # Panics
/// When it cannot be started.
pub fn within(command: &mut Command, time: Duration) -> Option<ExitStatus> {
    let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let end = Instant::now() + time;
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if Instant::now() >= end {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(GLANCE);
    }
}

/// The process that a helper started in its namespaces, as soon as it is there.
fn first_process(helper: &mut Child, folder: &Path) -> u32 {
    let children = format!("/proc/{0}/task/{0}/children", helper.id());
    let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let own = namespace("self");
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let read = std::fs::read_to_string(&children).unwrap_or_default();
        // The helper's own preparations have processes too, which are not in a namespace of their own.
        let first = read.split_whitespace().find(|pid| namespace(pid).is_some_and(|it| Some(it) != own));
        if let Some(pid) = first.and_then(|pid| pid.parse().ok()) {
            return pid;
        }
        let ended = helper.try_wait().ok().flatten();
        let log = || std::fs::read_to_string(folder.join("log")).unwrap_or_default();
        assert!(ended.is_none(), "a container did not start ({ended:?}): {}", log());
        assert!(Instant::now() < end, "a container did not start: {}", log());
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The command line before a command that gives it these rights.
fn privileges(identity: &Identity, confined: Confined) -> Vec<String> {
    let mut words = vec!["setpriv".to_owned()];
    words.push(format!("--reuid={}", identity.user));
    words.push(format!("--regid={}", identity.group));
    match identity.volumes {
        Some(group) => words.push(format!("--groups={group}")),
        None => words.push("--clear-groups".to_owned()),
    }
    if confined.no_capabilities {
        words.extend(["--inh-caps=-all", "--bounding-set=-all"].map(str::to_owned));
    }
    if !confined.may_gain {
        words.push("--no-new-privs".to_owned());
    }
    // The shell that prepares the mounts sets these; a container engine does not.
    words.extend(["env", "-u", "PWD", "-u", "OLDPWD"].map(str::to_owned));
    words
}

/// The script that the first process begins with: it makes the root file system and becomes the command.
fn start(described: &Described, place: &Place<'_>, privileges: &[String], command: &[String]) -> String {
    let root = place.folder.join("root");
    let etc = place.folder.join("etc");
    for folder in [&root, &etc] {
        std::fs::create_dir_all(folder).unwrap_or_else(|error| panic!("no folder for a container: {error}"));
    }
    write(&etc.join("hosts"), &place.hosts);
    write(&etc.join("hostname"), &format!("{}\n", place.hostname));
    write(&etc.join("resolv.conf"), &place.resolver);
    write(&etc.join("nsswitch.conf"), "passwd: files\ngroup: files\nhosts: files dns\n");
    let user = "10001:10001::/nonexistent:/usr/sbin/nologin";
    write(&etc.join("passwd"), &format!("root:x:0:0::/root:/bin/sh\ninquisitor:x:{user}\n"));
    write(&etc.join("group"), "root:x:0:\ninquisitor:x:10001:\n");
    let echo = plugin("echo");
    let plugins = echo.parent().unwrap_or(Path::new("."));
    let mut script = include_str!("image.sh")
        .replace("@ROOT@", &quoted(&root.to_string_lossy()))
        .replace("@ETC@", &quoted(&etc.to_string_lossy()))
        .replace("@BINARY@", &quoted(&binary().to_string_lossy()))
        .replace("@PLUGINS@", &quoted(&plugins.to_string_lossy()))
        .replace("@HOSTNAME@", &quoted(place.hostname))
        .replace("@FOLDERS@", &IMAGE_FOLDERS.join(" "));
    for mount in &described.mounts {
        let source = place.volumes.get(&mount.volume).unwrap_or_else(|| panic!("no volume {}", mount.volume));
        let target = mount.path.strip_prefix("/").unwrap_or(&mount.path);
        let (source, target) = (quoted(&source.to_string_lossy()), quoted(&target.to_string_lossy()));
        script.push_str(&format!("mkdir -p {target}\nmount --bind {source} {target}\n"));
        let mode = if mount.read_only { "ro," } else { "" };
        script.push_str(&format!("mount -o remount,bind,{mode}nosuid,nodev {target}\n"));
    }
    script.push_str("pivot_root . mnt\ncd /\numount -l /mnt\n");
    if described.read_only_root {
        script.push_str("mount -o remount,ro /\n");
    }
    let words: Vec<String> = privileges.iter().chain(command).map(|word| quoted(word)).collect();
    script.push_str(&format!("exec {}\n", words.join(" ")));
    script
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}
