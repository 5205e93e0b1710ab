//! The network that tests with real processes have to themselves does what they rely on.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use inquisitor_tests::netns::{self, Network};

/// What the helper below is to do: `listen`, or `send NAME TEXT`.
const ROLE: &str = "INQUISITOR_TESTS_ROLE";
const PORT: u16 = 7777;

/// Run by the tests below as a program of its own, at a place: says each datagram that comes, or sends one.
#[test]
#[ignore = "the program that other tests of this file run"]
fn helper() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let words: Vec<&str> = role.split(' ').collect();
    if let [_, name, text] = words[..] {
        let socket = UdpSocket::bind(("0.0.0.0", 0)).unwrap();
        socket.send_to(text.as_bytes(), (name, PORT)).unwrap();
        return;
    }
    let socket = UdpSocket::bind(("0.0.0.0", PORT)).unwrap();
    let mut out = std::io::stdout();
    writeln!(out, "\nheard: listening").unwrap();
    let mut buffer = [0; 64];
    loop {
        let (length, _) = socket.recv_from(&mut buffer).unwrap();
        writeln!(out, "heard: {}", String::from_utf8_lossy(&buffer[..length])).unwrap();
    }
}

fn as_helper<'command>(command: &'command mut Command, role: &str) -> &'command mut Command {
    command.args(["helper", "--exact", "--ignored", "--nocapture"]).env(ROLE, role)
}

/// A listener at a place, and what it hears.
struct Listener {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Listener {
    fn at(network: &Network, name: &str) -> Self {
        let mut command = network.command(name, std::env::current_exe().unwrap());
        let mut child = as_helper(&mut command, "listen").stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut listener = Self { child, lines };
        assert_eq!(listener.next(), "listening");
        listener
    }

    fn next(&mut self) -> String {
        loop {
            let line = self.lines.next().unwrap().unwrap();
            if let Some(text) = line.strip_prefix("heard: ") {
                return text.to_owned();
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn send(network: &Network, from: &str, to: &str, text: &str) {
    let mut command = network.command(from, std::env::current_exe().unwrap());
    let sent = as_helper(&mut command, &format!("send {to} {text}")).stdout(Stdio::null()).status().unwrap();
    assert!(sent.success());
}

#[test]
fn places_know_each_other_by_name_and_are_kept_apart_and_joined() {
    if !netns::entered("places_know_each_other_by_name_and_are_kept_apart_and_joined") {
        return;
    }
    let mut network = Network::new();
    let (one, two) = (network.add("one"), network.add("two"));
    for name in ["one", "two"] {
        network.set_hosts(name, &format!("{one} one\n{two} two\n"));
    }
    let (mut at_one, mut at_two) = (Listener::at(&network, "one"), Listener::at(&network, "two"));
    let own = UdpSocket::bind((Network::OWN_ADDRESS, 0)).unwrap();
    let say = |text: &str| own.send_to(text.as_bytes(), (two, PORT)).unwrap();

    send(&network, "one", "two", "by-name");
    assert_eq!(at_two.next(), "by-name");

    // One way only. Datagrams keep their order here, so that what comes next shows what did not come.
    network.cut("one", "two");
    send(&network, "one", "two", "cut");
    send(&network, "two", "one", "the-other-way");
    assert_eq!(at_one.next(), "the-other-way");
    say("from-outside");
    assert_eq!(at_two.next(), "from-outside");

    network.rejoin("two");
    network.isolate("two");
    send(&network, "one", "two", "isolated");
    send(&network, "two", "one", "isolated");
    say("still-reached");
    assert_eq!(at_two.next(), "still-reached");

    network.heal();
    network.unplug("two");
    send(&network, "one", "two", "unplugged");
    say("unplugged");
    network.heal();
    send(&network, "one", "two", "healed");
    assert_eq!(at_two.next(), "healed");
    send(&network, "two", "one", "healed");
    assert_eq!(at_one.next(), "healed");

    // The next network of a process finds nothing of the last.
    drop((at_one, at_two));
    drop(network);
    let mut network = Network::new();
    assert_eq!(network.add("one"), one);
}

#[test]
fn the_hosts_file_is_seen_at_its_place_alone_and_may_change() {
    if !netns::entered("the_hosts_file_is_seen_at_its_place_alone_and_may_change") {
        return;
    }
    let before = std::fs::read_to_string("/etc/hosts").unwrap();
    let mut network = Network::new();
    network.add("one");
    network.set_hosts("one", "10.213.0.9 elsewhere\n");
    // It reads the file, says so, waits for a line, and reads it again.
    let mut child = network
        .command("one", "sh")
        .args(["-c", "cat /etc/hosts; echo done; read line; cat /etc/hosts"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    let first: Vec<String> = lines.by_ref().take_while(|line| line != "done").collect();
    assert_eq!(first, ["127.0.0.1 localhost", "10.213.0.9 elsewhere"]);
    network.set_hosts("one", "10.213.0.10 elsewhere\n");
    child.stdin.take().unwrap().write_all(b"on\n").unwrap();
    assert_eq!(lines.collect::<Vec<_>>(), ["127.0.0.1 localhost", "10.213.0.10 elsewhere"]);
    assert!(child.wait().unwrap().success());
    assert_eq!(std::fs::read_to_string("/etc/hosts").unwrap(), before);
}

#[test]
fn what_runs_within_ends_with_whoever_started_it() {
    if let Some(refusal) = netns::refusal() {
        assert!(!netns::required(), "{refusal}");
        let _ = writeln!(std::io::stderr(), "left out: {refusal}");
        return;
    }
    // A process within, and one that it leaves behind: both hold the pipe open.
    let mut child = netns::within("sh")
        .args(["-c", "sleep 100 & echo ready; exec sleep 100"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let killed = Instant::now();
    child.kill().unwrap();
    output.read_to_string(&mut line).unwrap();
    assert!(killed.elapsed() < Duration::from_secs(60), "they were not ended");
    child.wait().unwrap();
}
