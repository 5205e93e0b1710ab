//! The faults: how each is done to a cluster and undone.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::Run;
use super::history::Violation;
use crate::http::Request;
use crate::test_component;

/// How long a member may take to stop when it is asked to.
const STOP_PATIENCE: Duration = Duration::from_secs(60);
/// How long an upload may take: it is compiled.
const UPLOAD_PATIENCE: Duration = Duration::from_secs(120);
/// How long another member may take to know an uploaded plugin, and to run an inquiry with it.
const PLUGIN_PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// What is done to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    LeaderKilled,
    LeaderCutOff,
    FollowerCutOff,
    MajorityKilled,
    AllCutOff,
    AllKilled,
    DiskLost,
    RollingRestart,
    UploadThenKilled,
    LeaderMute,
    LeaderDeaf,
    OneLinkCut,
    LeaderFrozen,
}

impl Fault {
    pub(super) const ALL: [Self; 13] = [
        Self::LeaderKilled,
        Self::LeaderCutOff,
        Self::FollowerCutOff,
        Self::MajorityKilled,
        Self::AllCutOff,
        Self::AllKilled,
        Self::DiskLost,
        Self::RollingRestart,
        Self::UploadThenKilled,
        Self::LeaderMute,
        Self::LeaderDeaf,
        Self::OneLinkCut,
        Self::LeaderFrozen,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::LeaderKilled => "leader killed",
            Self::LeaderCutOff => "leader cut off",
            Self::FollowerCutOff => "follower cut off",
            Self::MajorityKilled => "majority killed",
            Self::AllCutOff => "all cut off",
            Self::AllKilled => "all killed",
            Self::DiskLost => "disk lost",
            Self::RollingRestart => "rolling restart",
            Self::UploadThenKilled => "upload, then killed",
            Self::LeaderMute => "leader not heard",
            Self::LeaderDeaf => "leader hears nobody",
            Self::OneLinkCut => "one link cut",
            Self::LeaderFrozen => "leader frozen",
        }
    }

    /// Whether it takes a network that can be cut.
    pub(super) fn takes_network(self) -> bool {
        matches!(
            self,
            Self::LeaderCutOff
                | Self::FollowerCutOff
                | Self::AllCutOff
                | Self::LeaderMute
                | Self::LeaderDeaf
                | Self::OneLinkCut
        )
    }
}

impl Run<'_> {
    /// Do it, let it last, and undo it. `round` counts how often it was done before.
    pub(super) fn inject(&mut self, fault: Fault, round: usize) -> Result<(), String> {
        let leader = self.leader()?;
        let follower = (leader + 1 + round % 2) % self.size();
        let other =
            (0..self.size()).find(|member| *member != leader && *member != follower).unwrap_or(leader);
        match fault {
            Fault::LeaderKilled => {
                self.kill(leader);
                self.last();
                self.start(leader);
            }
            Fault::LeaderCutOff => self.cut(&[(leader, follower), (leader, other)], true),
            Fault::FollowerCutOff => self.cut(&[(follower, leader), (follower, other)], true),
            Fault::OneLinkCut => self.cut(&[(leader, follower)], true),
            Fault::LeaderMute => self.cut(&[(leader, follower), (leader, other)], false),
            Fault::LeaderDeaf => self.cut(&[(follower, leader), (other, leader)], false),
            Fault::MajorityKilled => {
                // Once with the leader among them, once without.
                let killed = if round.is_multiple_of(2) { [leader, follower] } else { [follower, other] };
                killed.iter().for_each(|member| self.kill(*member));
                let left = if round.is_multiple_of(2) { other } else { leader };
                self.last_without_quorum(&[left]);
                killed.iter().for_each(|member| self.start(*member));
            }
            Fault::AllCutOff => {
                self.set_cuts(&[(leader, follower), (leader, other), (follower, other)], true);
                self.last_without_quorum(&[leader, follower, other]);
                self.heal();
            }
            Fault::AllKilled => {
                (0..self.size()).for_each(|member| self.kill(member));
                (0..self.size()).for_each(|member| self.start(member));
            }
            Fault::DiskLost => {
                let member = if round.is_multiple_of(2) { follower } else { leader };
                self.kill(member);
                self.lose_disk(member);
                self.last();
                self.start(member);
            }
            Fault::RollingRestart => {
                for member in 0..self.size() {
                    self.stop(member)?;
                    self.start(member);
                    self.until_whole()?;
                }
            }
            Fault::UploadThenKilled => self.upload_and_kill(follower, other, round)?,
            Fault::LeaderFrozen => {
                self.cluster.signal(leader, "STOP");
                self.last();
                self.cluster.signal(leader, "CONT");
            }
        }
        Ok(())
    }

    /// Cut these ways while the rest is a majority, and heal them.
    fn cut(&mut self, ways: &[(usize, usize)], both: bool) {
        self.set_cuts(ways, both);
        self.last();
        self.heal();
    }

    fn set_cuts(&mut self, ways: &[(usize, usize)], both: bool) {
        let names: Vec<(String, String)> = ways
            .iter()
            .map(|(from, to)| (self.cluster.name(*from).to_owned(), self.cluster.name(*to).to_owned()))
            .collect();
        let Some(network) = self.cluster.network() else { return };
        for (from, to) in &names {
            network.cut(from, to);
            if both {
                network.cut(to, from);
            }
        }
    }

    fn heal(&mut self) {
        if let Some(network) = self.cluster.network() {
            network.heal();
        }
    }

    fn kill(&mut self, member: usize) {
        self.cluster.kill(member);
        self.ended(member);
    }

    fn start(&mut self, member: usize) {
        self.cluster.start_member(member);
    }

    fn lose_disk(&mut self, member: usize) {
        self.cluster.lose_disk(member);
        self.checks.forget(member);
    }

    /// Ask a member to stop, and wait until it has.
    fn stop(&mut self, member: usize) -> Result<(), String> {
        self.cluster.signal(member, "TERM");
        let end = Instant::now() + STOP_PATIENCE;
        let name = self.cluster.name(member).to_owned();
        loop {
            if let Some(status) = self.cluster.ended_by_itself(member) {
                // Takes note that it does not run.
                self.kill(member);
                return if status.success() { Ok(()) } else { Err(format!("{name} stopped with {status}")) };
            }
            if Instant::now() >= end {
                return Err(format!("{name} does not stop within {} s", STOP_PATIENCE.as_secs()));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Let a fault last that leaves a majority: at least for so long as is set, and until something is acknowledged again.
    fn last(&mut self) {
        let begun = Instant::now();
        let (lasts, end) = (begun + self.lasts, begun + super::PROGRESS_PATIENCE);
        while Instant::now() < lasts || !self.clients.history.acknowledged_since(begun) {
            if Instant::now() >= end {
                let text = format!(
                    "a majority is connected, and nothing was acknowledged for {} s",
                    super::PROGRESS_PATIENCE.as_secs()
                );
                self.clients.history.violation(Violation::Unusable, text);
                return;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Let a fault last that leaves no majority, see that nothing is acknowledged and that these members, which run, still say
    /// what lies on them.
    fn last_without_quorum(&mut self, run: &[usize]) {
        let begun = Instant::now();
        for member in run {
            if let Err(problem) = self.clients.local(*member, "/v1/inquiries?limit=1") {
                let text = format!("without a quorum a local read is not answered: {problem}");
                self.clients.history.violation(Violation::Unusable, text);
            }
        }
        // Longer than requests wait for a leader, so that refusals are seen too.
        let lasts = self.lasts.max(super::WITHOUT_QUORUM);
        std::thread::sleep(lasts.saturating_sub(begun.elapsed()));
        self.clients.history.check_window(begun, Instant::now(), super::EDGE);
    }

    /// Upload a component to a member and kill it as soon as it has said 201; another one runs the plugin.
    fn upload_and_kill(&mut self, taker: usize, other: usize, round: usize) -> Result<(), String> {
        let component = test_component("plain");
        let component =
            std::fs::read(&component).map_err(|error| format!("{}: {error}", component.display()))?;
        let headers = [("Content-Type", "application/wasm")];
        let upload = Request { method: "POST", path: "/v1/plugins", headers: &headers, body: &component };
        let answer = self.clients.ask(taker, &upload, UPLOAD_PATIENCE);
        self.kill(taker);
        let answer = answer.map_err(|error| format!("an upload is not answered: {error}"))?;
        if answer.status != 201 {
            let said = String::from_utf8_lossy(&answer.body).into_owned();
            return Err(format!("an upload was answered with {} {said}", answer.status));
        }
        if round.is_multiple_of(2) {
            self.lose_disk(taker);
        }
        let digest = answer.json()["digest"].as_str().unwrap_or_default().to_owned();
        let ran = self.run_plugin(other, round);
        self.start(taker);
        ran?;
        self.until_whole()?;
        // The next time it is uploaded anew.
        let path = format!("/v1/plugins/{digest}");
        let removed = self.clients.ask(
            other,
            &Request { method: "DELETE", path: &path, ..Request::default() },
            super::PROGRESS_PATIENCE,
        );
        match removed {
            Ok(answer) if answer.is_good() => Ok(()),
            Ok(answer) => {
                Err(format!("the plugin cannot be removed: {}", String::from_utf8_lossy(&answer.body)))
            }
            Err(error) => Err(format!("the plugin cannot be removed: {error}")),
        }
    }

    /// Run an inquiry with the uploaded plugin through a member.
    fn run_plugin(&self, member: usize, round: usize) -> Result<(), String> {
        let manifest = format!(
            "version: '1.0'\nid: uploaded-{round}\nname: A question\nmetadata: {{author: tests}}\nprotocol: {{type: sequential, phases: [execution]}}\ninstruments: [{{type: plain, id: one}}]\n"
        );
        let key = format!("uploaded-{round}");
        let headers = [("Content-Type", "application/yaml"), ("Idempotency-Key", key.as_str())];
        let submit =
            Request { method: "POST", path: "/v1/inquiries", headers: &headers, body: manifest.as_bytes() };
        let end = Instant::now() + PLUGIN_PATIENCE;
        let (mut id, mut last) = (None, String::new());
        while Instant::now() < end {
            let inquiry = match &id {
                None => self.clients.ask(member, &submit, super::PROGRESS_PATIENCE),
                Some(id) => {
                    let path = format!("/v1/inquiries/{id}");
                    self.clients.ask(member, &Request::get(&path), super::PROGRESS_PATIENCE)
                }
            };
            match inquiry {
                Ok(answer) if answer.is_good() => {
                    let inquiry: Value = answer.json();
                    id = inquiry["id"].as_str().map(str::to_owned);
                    last = inquiry["status"].to_string();
                    if inquiry["status"] == "concluded" {
                        return Ok(());
                    }
                }
                // It may not know the plugin yet, or wait for a leader.
                Ok(answer) => last = String::from_utf8_lossy(&answer.body).into_owned(),
                Err(error) => last = error.to_string(),
            }
            std::thread::sleep(LOOK);
        }
        let name = self.cluster.name(member);
        Err(format!("{name} does not run a plugin whose upload was acknowledged elsewhere: {last}"))
    }
}
