//! A network of its own for tests with real processes: addresses, names, and cuts between them.
//!
//! A test that needs one runs itself again within namespaces ([`entered`]): of the network, of mounts and of processes. There
//! it makes a [`Network`], a bridge that it sits on itself, with a place for each process: a namespace with one address on the
//! bridge. Nothing of it is seen on the machine, whose links, names and folders stay as they were, and nothing can be left
//! over: the kernel ends a namespace of processes with its first process, that one ends with whoever started it, and what was
//! mounted and linked goes with the last of them. So it is even if the test is killed.
//!
//! Root may do this everywhere, others where the system lets them have user namespaces. It takes `unshare`, `nsenter` and
//! `setpriv` (util-linux), `ip` and `bridge` (iproute2) and `nft` (nftables); `cargo xtask test` installs the last. What does
//! not work is said by [`refusal`].

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Set for what runs within namespaces of its own.
const WITHIN: &str = "INQUISITOR_TESTS_WITHIN";
/// Programs that this module runs.
const PROGRAMS: [&str; 7] = ["unshare", "nsenter", "setpriv", "mount", "ip", "bridge", "nft"];
/// The bridge.
const HUB: &str = "hub";
/// The most places of one network: the last byte of the address.
const MOST_PLACES: usize = 250;

/// Whether this process has namespaces of its own already.
pub fn is_within() -> bool {
    std::env::var_os(WITHIN).is_some()
}

/// Why a process cannot have namespaces of its own here, with what to do; none where it can.
pub fn refusal() -> Option<String> {
    for program in PROGRAMS {
        let mut found = Command::new("sh");
        found.args(["-c", "command -v \"$0\"", program]).env("PATH", path());
        if !found.output().is_ok_and(|output| output.status.success()) {
            let package = match program {
                "nft" => "nftables",
                "ip" | "bridge" => "iproute2",
                _ => "util-linux",
            };
            return Some(format!("`{program}` is missing; install {package}"));
        }
    }
    let trial = format!("ip link add {HUB} type bridge && nft add table bridge trial");
    let output = match within("sh").args(["-c", &trial]).stdin(Stdio::null()).output() {
        Ok(output) => output,
        Err(error) => return Some(format!("`unshare` cannot be run: {error}")),
    };
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    (!output.status.success()).then(|| {
        format!(
            "namespaces are not allowed here ({said}); run as root, or let users have user namespaces with networks"
        )
    })
}

/// Whether nothing that takes namespaces may be left out: `INQUISITOR_REQUIRE_PEERS` is in the environment, and this is root,
/// whom no setting of the system keeps from having them.
pub fn required() -> bool {
    is_root() && std::env::var_os("INQUISITOR_REQUIRE_PEERS").is_some()
}

/// A command that runs this program within namespaces of its own. It ends with the thread that starts it.
pub fn within(program: impl AsRef<OsStr>) -> Command {
    let mut command;
    // Who is not root becomes root of a namespace of users first. The wish to end with its parent comes after: the kernel
    // forgets it when rights change.
    if is_root() {
        command = Command::new("setpriv");
    } else {
        command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--", "setpriv"]);
    }
    command
        .args(["--pdeathsig", "KILL", "--"])
        .args(["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        // The first process of a namespace does not notice Ctrl-C and has to collect orphans: the shell does for the program.
        .args(["sh", "-c", "ip link set lo up && \"$@\"; exit $?", "sh"])
        .arg(program)
        .env("PATH", path())
        .env(WITHIN, "1");
    command
}

/// Whether this test goes on here. It does within namespaces of its own; outside of them it runs itself there, by its name
/// (as `module::name` where it lies in one), fails if that failed, and is done.
///
/// Where namespaces are not allowed the test is left out, which it says; where they are [`required`] it fails.
///
/// ```no_run
/// # fn test() {
/// if !inquisitor_tests::netns::entered("members_that_lose_each_other") {
///     return;
/// }
/// let mut network = inquisitor_tests::netns::Network::new();
/// # }
/// ```
///
/// # Panics
/// When the test failed there.
pub fn entered(test: &str) -> bool {
    if is_within() {
        return true;
    }
    if let Some(refusal) = refusal() {
        assert!(!required(), "{test} is required and cannot run: {refusal}");
        let _ = writeln!(std::io::stderr(), "left out: {test}: {refusal}");
        return false;
    }
    let program = std::env::current_exe().unwrap_or_else(|error| panic!("no path of this test: {error}"));
    let mut again = within(program);
    again.args([test, "--exact", "--nocapture", "--include-ignored"]).stdin(Stdio::null());
    let output = again.output().unwrap_or_else(|error| panic!("cannot run the test again: {error}"));
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "within its own network:\n{said}\n{complained}");
    // A name that no test has would pass as well.
    assert!(said.contains("1 passed"), "there is no test `{test}`:\n{said}\n{complained}");
    false
}

/// A bridge with places on it. The process that makes it sits on the bridge and reaches every place, as `10.213.0.1`.
pub struct Network {
    folder: tempfile::TempDir,
    places: Vec<Place>,
    /// Pairs of places: nothing gets from the first to the second.
    cuts: BTreeSet<(usize, usize)>,
}

struct Place {
    name: String,
    address: Ipv4Addr,
}

impl Network {
    /// The address of the process that makes a network, on its bridge.
    pub const OWN_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 213, 0, 1);

    /// A network without places. One process has one at a time.
    ///
    /// # Panics
    /// When this process has no namespaces of its own (see [`entered`] and [`within`]), or a bridge cannot be made.
    pub fn new() -> Self {
        assert!(is_within(), "networks are made within namespaces; see `netns::entered`");
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let network = Self { folder, places: Vec::new(), cuts: BTreeSet::new() };
        network.ip(&[
            format!("link add {HUB} type bridge"),
            format!("address add {}/24 dev {HUB}", Self::OWN_ADDRESS),
            format!("link set {HUB} up"),
        ]);
        network
    }

    /// A place with an address of its own, which is returned. No place knows a name yet, see [`Network::set_hosts`].
    ///
    /// # Panics
    /// When there is one of this name, or it cannot be made.
    pub fn add(&mut self, name: &str) -> Ipv4Addr {
        let number = self.places.len();
        assert!(number < MOST_PLACES, "a network has at most {MOST_PLACES} places");
        assert!(self.places.iter().all(|place| place.name != name), "there is a place `{name}`");
        let last = u8::try_from(number + 2).unwrap_or(u8::MAX);
        let address = Ipv4Addr::new(10, 213, 0, last);
        self.places.push(Place { name: name.to_owned(), address });
        self.set_hosts(name, "");
        let namespace = self.namespace(number);
        File::create(&namespace).unwrap_or_else(|error| panic!("no file for a namespace: {error}"));
        done(Command::new("unshare").arg(option("--net", &namespace)).arg("true"), "");
        self.ip(&[
            format!("link add port-{number} type veth peer name eth0 netns {}", namespace.display()),
            format!("link set port-{number} master {HUB} up"),
        ]);
        let inside = format!("link set lo up\naddress add {address}/24 dev eth0\nlink set eth0 up\n");
        done(self.enter(number).args(["ip", "-batch", "-"]), &inside);
        address
    }

    /// The address of a place.
    ///
    /// # Panics
    /// When there is none of this name.
    pub fn address(&self, name: &str) -> Ipv4Addr {
        self.places[self.number(name)].address
    }

    /// Say what `/etc/hosts` has for processes of this place, after the line of `localhost`. It may be changed while they
    /// run: the file stays the same and gets another content.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn set_hosts(&self, name: &str, lines: &str) {
        let text = format!("127.0.0.1 localhost\n{lines}");
        std::fs::write(self.hosts(self.number(name)), text)
            .unwrap_or_else(|error| panic!("no hosts file for {name}: {error}"));
    }

    /// A command that runs this program at a place. It has mounts of its own too, and the id of the process that is started
    /// is the program's.
    ///
    /// # Panics
    /// When there is none of this name.
    pub fn command(&self, name: &str, program: impl AsRef<OsStr>) -> Command {
        let number = self.number(name);
        let mut command = self.enter(number);
        command
            .args(["unshare", "--mount", "--", "sh", "-c", "mount --bind \"$0\" /etc/hosts && exec \"$@\""])
            .arg(self.hosts(number))
            .arg(program);
        command
    }

    /// Let nothing get from one place to the other any more. The other way stays open, and so do the ways to and from the
    /// process that made the network. What is on its way is lost without a word to the sender.
    ///
    /// # Panics
    /// When there is no place of such a name, or it cannot be done.
    pub fn cut(&mut self, from: &str, to: &str) {
        let cut = (self.number(from), self.number(to));
        self.cuts.insert(cut);
        self.apply_cuts();
    }

    /// [`Network::cut`] between one place and all others, both ways. The process that made the network still reaches it.
    ///
    /// # Panics
    /// When there is no place of such a name, or it cannot be done.
    pub fn isolate(&mut self, name: &str) {
        let alone = self.number(name);
        for other in (0..self.places.len()).filter(|other| *other != alone) {
            self.cuts.extend([(alone, other), (other, alone)]);
        }
        self.apply_cuts();
    }

    /// Let nothing at all get to or from a place, not even with the process that made the network. The place does not notice:
    /// its link stays up.
    ///
    /// # Panics
    /// When there is no place of such a name, or it cannot be done.
    pub fn unplug(&mut self, name: &str) {
        self.set_port(self.number(name), "disabled");
    }

    /// Undo [`Network::unplug`] and every cut from or to this place.
    ///
    /// # Panics
    /// When there is no place of such a name, or it cannot be done.
    pub fn rejoin(&mut self, name: &str) {
        let number = self.number(name);
        self.cuts.retain(|(from, to)| *from != number && *to != number);
        self.apply_cuts();
        self.set_port(number, "forwarding");
    }

    /// Undo everything that keeps places apart.
    ///
    /// # Panics
    /// When it cannot be done.
    pub fn heal(&mut self) {
        self.cuts.clear();
        self.apply_cuts();
        for number in 0..self.places.len() {
            self.set_port(number, "forwarding");
        }
    }

    fn set_port(&self, number: usize, state: &str) {
        // By number: older versions of the program do not know every state by its name.
        let code = if state == "disabled" { "0" } else { "3" };
        done(
            Command::new("bridge").args(["link", "set", "dev", &format!("port-{number}"), "state", code]),
            "",
        );
    }

    /// Put the rules in place that make the cuts, all at once. Only IP is dropped: places go on finding each other's hardware
    /// addresses, without which no cut would have one direction for long.
    fn apply_cuts(&self) {
        // Naming the table first makes deleting it no error where there is none.
        let mut rules = String::from("table bridge cuts\ndelete table bridge cuts\n");
        if !self.cuts.is_empty() {
            rules.push_str(
                "table bridge cuts {\nchain forward {\ntype filter hook forward priority 0; policy accept;\n",
            );
            for (from, to) in &self.cuts {
                rules.push_str(&format!(
                    "iifname \"port-{from}\" oifname \"port-{to}\" ether type {{ ip, ip6 }} drop\n"
                ));
            }
            rules.push_str("}\n}\n");
        }
        done(Command::new("nft").args(["-f", "-"]), &rules);
    }

    fn number(&self, name: &str) -> usize {
        let number = self.places.iter().position(|place| place.name == name);
        number.unwrap_or_else(|| panic!("there is no place `{name}`"))
    }

    fn enter(&self, number: usize) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(option("--net", &self.namespace(number))).arg("--");
        command
    }

    fn ip(&self, lines: &[String]) {
        done(Command::new("ip").args(["-batch", "-"]), &format!("{}\n", lines.join("\n")));
    }

    fn namespace(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("namespace-{number}"))
    }

    fn hosts(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("hosts-{number}"))
    }
}

impl Default for Network {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // For the next network of this process; all that is missed goes with the process.
        let mut commands =
            vec![vec!["ip".to_owned(), "link".to_owned(), "delete".to_owned(), HUB.to_owned()]];
        for number in 0..self.places.len() {
            commands.push(["ip", "link", "delete", &format!("port-{number}")].map(str::to_owned).to_vec());
            commands.push(vec!["umount".to_owned(), self.namespace(number).display().to_string()]);
        }
        commands.push(["nft", "delete", "table", "bridge", "cuts"].map(str::to_owned).to_vec());
        for command in commands {
            let _ = Command::new(&command[0]).args(&command[1..]).stderr(Stdio::null()).status();
        }
    }
}

/// Run to the end, with this on standard input.
fn done(command: &mut Command, input: &str) {
    let shown = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {shown}: {error}"));
    // Closed at the end of the statement, which is the end of the input.
    let written = child.stdin.take().map(|mut pipe| pipe.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap_or_else(|error| panic!("cannot wait for {shown}: {error}"));
    assert!(
        output.status.success() && written.is_none_or(|written| written.is_ok()),
        "{shown} failed ({}):\n{}{input}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

fn option(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}

/// Where programs are looked for: those of the administrator are not on everybody's path.
fn path() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{path}:/usr/local/sbin:/usr/sbin:/sbin")
}

fn is_root() -> bool {
    // The owner of a process's own folder is its effective user.
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}
