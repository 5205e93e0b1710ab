//! A cluster of real processes under load and faults, and what must hold all the same: `cargo xtask test cluster`.
//!
//! Clients submit and read through all members, all the time (`clients`). One fault after the other is done to the members and
//! undone (`inject`). Then the clients' submissions pause, and what they were told is compared with what every member has
//! (`check`):
//! - Every acknowledged inquiry is on every member and has ended.
//! - No manifest made two inquiries, no attempt at a step was recorded twice, no step has two final records, nothing ended
//!   twice; and inquiries that ask the same ended the same.
//! - Every member's ledger, made again from its entries by the ledger's own code, has the root that anybody ever said for any of
//!   its sizes; and the members prove that each checkpoint that was seen continues the one before.
//! - Members that applied as much have the same hash of their state. It is looked at all the time.
//! - While less than a majority was connected, nothing was acknowledged.
//! - No linearizable read, of whichever member, missed what was acknowledged or read before it began.
//!
//! Members are on places of a network of their own ([`crate::netns`]). Clients reach all of them all the time: a leader that is
//! cut off from the others is still asked.

mod check;
mod clients;
mod history;
mod inject;
mod report;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub use self::history::Violation;
pub use self::report::{Counts, Report, Row};

use self::check::Checks;
use self::clients::{Addresses, Clients};
use self::inject::Fault;
use crate::cluster::Cluster;
use crate::netns::Network;
use crate::server::get;

/// Members of the cluster.
const MEMBERS: usize = 3;
/// How long the members may take until all of them are voters and ready after a fault.
const WHOLE_PATIENCE: Duration = Duration::from_secs(600);
/// How long it may take until something is acknowledged where it can be.
const PROGRESS_PATIENCE: Duration = Duration::from_secs(30);
/// How long a loss of the majority lasts at least: longer than requests wait for a leader, which is five seconds.
const WITHOUT_QUORUM: Duration = Duration::from_secs(7);
/// How long an answer to what was committed before the majority was lost may be on its way.
const EDGE: Duration = Duration::from_secs(2);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// What is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Begin no further round of faults after so long; none: one round.
    pub lasts: Option<Duration>,
    /// How long a fault lasts at least before it is undone.
    pub fault: Duration,
    /// Which faults, as [`names`] has them; all of them where none is named.
    pub faults: Vec<String>,
    /// An empty folder for what the members have and log.
    pub folder: PathBuf,
}

/// Names of the faults, as `leader-killed`.
pub fn names() -> Vec<String> {
    Fault::ALL.iter().map(|fault| fault.name().replace(", ", "-").replace(' ', "-")).collect()
}

/// Run faults on a cluster on this network, or on loopback addresses where there is none and for this reason. `tell` hears of
/// each step.
///
/// # Panics
/// When the binary cannot be run.
pub fn run(options: &Options, network: Result<Network, String>, tell: &mut dyn FnMut(&str)) -> Report {
    let begun = Instant::now();
    let mut report = Report { network: "namespaces", ..Report::default() };
    let is_wanted = |name: &String| options.faults.is_empty() || options.faults.contains(name);
    let mut faults: Vec<Fault> =
        names().iter().zip(Fault::ALL).filter(|(name, _)| is_wanted(name)).map(|(_, fault)| fault).collect();
    let mut cluster = match network {
        Ok(network) => Cluster::prepare_on(network, &options.folder, MEMBERS),
        Err(why) => {
            report.network = "loopback";
            faults.retain(|fault| {
                if fault.takes_network() {
                    report.left_out.push((fault.name(), why.clone()));
                }
                !fault.takes_network()
            });
            Cluster::prepare_in(&options.folder, MEMBERS)
        }
    };
    for member in 0..MEMBERS {
        cluster.start_member(member);
    }
    let clients = Clients::new(Addresses {
        names: (0..MEMBERS).map(|member| cluster.name(member).to_owned()).collect(),
        http: (0..MEMBERS).map(|member| cluster.address(member).to_owned()).collect(),
        starts: (0..MEMBERS).map(|_| AtomicU64::new(0)).collect(),
    });
    let mut run = Run { cluster, clients: &clients, checks: Checks::new(MEMBERS), lasts: options.fault };
    std::thread::scope(|scope| {
        let ends = Ends(&clients);
        match run.until_whole() {
            Ok(()) => {
                clients.start(scope);
                run.all(options, &faults, &mut report, tell);
            }
            Err(problem) => {
                clients.history.violation(Violation::Unusable, format!("at the start: {problem}"));
            }
        }
        run.find_panics();
        let checks = &run.checks;
        report.entries = checks.entries();
        report.proofs = checks.proofs;
        report.verdicts = checks.verdicts();
        drop(ends);
    });
    report.took = begun.elapsed();
    report.states = clients.history.states();
    let (violations, texts) = clients.history.violations();
    report.violations = violations.into_iter().map(|(what, times)| (what.name(), times)).collect();
    report.texts = texts;
    if !report.is_good() {
        report.logs = Some(options.folder.clone());
    }
    report
}

/// Lets the clients end, also when a panic does.
struct Ends<'clients>(&'clients Clients);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// A cluster under load.
struct Run<'clients> {
    cluster: Cluster,
    clients: &'clients Clients,
    checks: Checks,
    /// How long a fault lasts at least.
    lasts: Duration,
}

impl Run<'_> {
    /// Run faults in turns, until the time is over or something happened that must not.
    fn all(&mut self, options: &Options, faults: &[Fault], report: &mut Report, tell: &mut dyn FnMut(&str)) {
        let begun = Instant::now();
        if let Err(problem) = self.until_used(begun) {
            self.clients.history.violation(Violation::Unusable, format!("before any fault: {problem}"));
            return;
        }
        for round in 0.. {
            for fault in faults {
                self.one(*fault, round, report, tell);
                let is_over = options.lasts.is_some_and(|lasts| begun.elapsed() >= lasts);
                // What comes after a violation would only hide where it began.
                if is_over || !self.clients.history.violations().0.is_empty() {
                    return;
                }
            }
            // Without a network there may be none left.
            if options.lasts.is_none() || faults.is_empty() {
                return;
            }
        }
    }

    /// A member that panics may go on as if nothing had happened; its log says so.
    fn find_panics(&self) {
        for member in 0..self.size() {
            let log = self.cluster.log(member);
            if let Some(line) = log.lines().find(|line| line.contains("panicked at")) {
                let text = format!("{}: {line}", self.cluster.name(member));
                self.clients.history.violation(Violation::Unusable, text);
            }
        }
    }

    /// Do one fault, wait until it is over, and compare.
    fn one(&mut self, fault: Fault, round: usize, report: &mut Report, tell: &mut dyn FnMut(&str)) {
        let history = &self.clients.history;
        let begun = Instant::now();
        let injected = self.inject(fault, round);
        let undone = Instant::now();
        let healed =
            injected.and_then(|()| self.until_whole()).and_then(|()| self.until_used(Instant::now()));
        if let Err(problem) = healed {
            history.violation(Violation::Unusable, format!("{}: {problem}", fault.name()));
        }
        let whole = Instant::now();
        let gap = history.longest_gap(begun, whole);
        let mut counts = history.take_counts();
        self.compare(&mut counts);
        tell(&format!(
            "{}: {} acknowledged, {} lost, {} doubled, longest gap {:.1} s; lasted {:.0} s, whole again after {:.0} s, compared in \
             {:.0} s",
            fault.name(),
            counts.acknowledged,
            counts.lost,
            counts.doubled,
            gap.as_secs_f64(),
            (undone - begun).as_secs_f64(),
            (whole - undone).as_secs_f64(),
            whole.elapsed().as_secs_f64()
        ));
        report.add(fault.name(), &counts, gap);
    }

    /// Let submissions pause, and compare.
    fn compare(&mut self, counts: &mut Counts) {
        self.clients.set_closed(true);
        let end = Instant::now() + PROGRESS_PATIENCE;
        while self.clients.busy() > 0 && Instant::now() < end {
            std::thread::sleep(LOOK);
        }
        if self.clients.busy() > 0 {
            let text =
                format!("{} submissions come to no end in a cluster that is whole", self.clients.busy());
            self.clients.history.violation(Violation::Unusable, text);
        }
        // Those that were under way until now.
        let late = self.clients.history.take_counts();
        counts.acknowledged += late.acknowledged;
        self.checks.all(self.clients, counts);
        self.clients.set_closed(false);
    }

    fn size(&self) -> usize {
        self.cluster.size()
    }

    /// A member has ended: what was read of it before is no bound for what is read later.
    fn ended(&self, member: usize) {
        self.clients.members.starts[member].fetch_add(1, Ordering::SeqCst);
    }

    /// The member that leads.
    fn leader(&self) -> Result<usize, String> {
        self.until("a leader", PROGRESS_PATIENCE, || {
            (0..self.size())
                .find(|member| self.clients.status(*member).is_some_and(|status| status["role"] == "leader"))
        })
    }

    /// Wait until all members are ready and voters.
    fn until_whole(&mut self) -> Result<(), String> {
        for member in 0..self.size() {
            if let Some(status) = self.cluster.ended_by_itself(member) {
                return Err(format!("{} ended by itself: {status}", self.cluster.name(member)));
            }
        }
        let whole = |status: serde_json::Value| {
            let members = status["members"].as_array().cloned().unwrap_or_default();
            members.len() == self.size() && members.iter().all(|member| member["voter"] == true)
        };
        self.until("a cluster that is whole", WHOLE_PATIENCE, || {
            let is_whole = (0..self.size()).all(|member| {
                get(self.cluster.address(member), "/ready").is_some()
                    && self.clients.status(member).is_some_and(whole)
            });
            is_whole.then_some(())
        })
    }

    /// Wait until every member has acknowledged something that was sent to it since this moment.
    fn until_used(&self, since: Instant) -> Result<(), String> {
        self.until("an acknowledgement by every member", PROGRESS_PATIENCE, || {
            self.clients.history.acknowledged_by_all(self.size(), since).then_some(())
        })
    }

    fn until<T>(
        &self,
        what: &str,
        patience: Duration,
        mut look: impl FnMut() -> Option<T>,
    ) -> Result<T, String> {
        let end = Instant::now() + patience;
        loop {
            if let Some(found) = look() {
                return Ok(found);
            }
            if Instant::now() >= end {
                let states: Vec<String> = (0..self.size())
                    .map(|member| {
                        let said = self.clients.status(member).map_or_else(
                            || "does not answer".to_owned(),
                            |status| {
                                format!(
                                    "{} of term {}, obstacles {}",
                                    status["role"], status["term"], status["obstacles"]
                                )
                            },
                        );
                        format!("{}: {said}", self.cluster.name(member))
                    })
                    .collect();
                return Err(format!(
                    "{what} did not come within {} s: {}",
                    patience.as_secs(),
                    states.join("; ")
                ));
            }
            std::thread::sleep(LOOK);
        }
    }
}
