//! One attempt at a step: gather what it may use, call the instrument, keep what it brought.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use inquisitor_findings::reading::Observation;
use inquisitor_manifest::plan::{Action, PlannedInstrument, PlannedStep};
use inquisitor_manifest::spec::{self, Parameters, Substrate};
use inquisitor_runtime::outcome::Failure;
use inquisitor_runtime::request::{
    Facts, Grants, Limits, Listener, LogLine, Nondeterminism, Report, SessionRequest, Transcript, Usage,
};
use inquisitor_substrate::batch::Source;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::Engine;
use crate::confine::confined_substrate;
use crate::error::EngineError;
use crate::events::{Event, Observer};
use crate::gating::Origin;
use crate::journal::{Inquiry, MAX_INLINE_READINGS_BYTES, StepRecord, StepResult};
use crate::now;
use crate::secrets::{Resolver, strike_out};
use crate::text::bounded;

/// How much longer than the guest's own limit an attempt may take on the whole, for opening, calibrating and the host's
/// part of the work.
const ATTEMPT_CALLS: u32 = 3;

/// What an attempt needs beside the inquiry.
pub(crate) struct Attempt<'a> {
    pub(crate) inquiry: &'a Inquiry,
    pub(crate) step: &'a PlannedStep,
    pub(crate) number: u32,
    /// Which observation of the step.
    pub(crate) round: u32,
    /// State that the instrument kept in an earlier step.
    pub(crate) state: Option<Vec<u8>>,
    pub(crate) cancel: CancellationToken,
    pub(crate) observer: Arc<dyn Observer>,
}

impl Engine {
    /// Run one attempt. The failure of the instrument is part of the record; an error means that the journal could not
    /// keep what the attempt brought.
    pub(crate) async fn attempt(&self, attempt: Attempt<'_>) -> Result<StepRecord, EngineError> {
        let started = now();
        let report = match &attempt.step.action {
            Action::SelfTest { instrument } => Some(self.call(&attempt, instrument, None, started).await),
            Action::Observe { instrument, parameters, .. } => {
                Some(self.call(&attempt, instrument, Some(parameters), started).await)
            }
            // Phases without an instrument: the finding draws on the whole record and is made when it is complete, so
            // these steps mark in the ledger that their turn came.
            Action::Analyze | Action::Report | Action::Close => None,
        };
        match report {
            None => {
                let nothing = StepResult::Inline(Observation::default());
                Ok(StepRecord::without_call(nothing, started, now()))
            }
            Some(report) => self.keep(report, started).await,
        }
    }

    /// Call the instrument under the limits of the manifest and the host, and say so.
    async fn call(
        &self,
        attempt: &Attempt<'_>,
        id: &str,
        parameters: Option<&Parameters>,
        started: i64,
    ) -> Report {
        let Some(instrument) = attempt.inquiry.plan.instruments.get(id) else {
            return failed(Failure::Host { message: format!("the plan has no instrument `{id}`") });
        };
        // Moved to where the call has its place, so that waiting for one is not the plugin's time.
        let mut called = Instant::now();
        let report = self.call_admitted(attempt, id, instrument, parameters, started, &mut called).await;
        attempt.observer.event(
            &attempt.inquiry.id,
            Event::Called {
                step: attempt.step.name.clone(),
                instrument: id.to_owned(),
                plugin: instrument.plugin.clone(),
                version: instrument.version.clone(),
                outcome: report.result.as_ref().map_or_else(Failure::name, |_| "completed"),
                took_ns: nanoseconds(called.elapsed()),
                usage: report.usage,
                round: attempt.round,
                attempt: attempt.number,
            },
        );
        report
    }

    async fn call_admitted(
        &self,
        attempt: &Attempt<'_>,
        id: &str,
        instrument: &PlannedInstrument,
        parameters: Option<&Parameters>,
        started: i64,
        called: &mut Instant,
    ) -> Report {
        if let Err(wait) = self.breakers.admit(&instrument.digest, Instant::now()) {
            return failed(Failure::Unavailable {
                message: format!(
                    "plugin {} {} failed too often in a row and is left alone for another {} s",
                    instrument.plugin,
                    instrument.version,
                    wait.as_secs() + 1
                ),
                retry_after: Some(nanoseconds(wait)),
            });
        }
        // The semaphore is never closed, so the error cannot come; an attempt without a permit would only be unbounded.
        let _permit = self.calls.acquire().await.ok();
        *called = Instant::now();
        let report = match self.prepare(attempt, id, instrument, parameters, started).await {
            Err(failure) => failed(failure),
            Ok(prepared) => self.call_prepared(attempt, instrument, prepared).await,
        };
        self.breakers.record(&instrument.digest, report.result.as_ref().err(), Instant::now());
        report
    }

    async fn call_prepared(
        &self,
        attempt: &Attempt<'_>,
        instrument: &PlannedInstrument,
        prepared: Prepared,
    ) -> Report {
        let plugin =
            match self.catalogue.plugin(&self.runtime, self.journal.as_ref(), &instrument.digest).await {
                Ok(plugin) => plugin,
                Err(message) => return failed(Failure::Host { message }),
            };
        let limit =
            attempt.inquiry.plan.execution.attempt_timeout.map_or_else(
                || prepared.request.limits.wall.saturating_mul(ATTEMPT_CALLS),
                Duration::from_secs,
            );
        let call = async {
            match &prepared.step_parameters {
                Some(parameters) => plugin.run(prepared.request, parameters).await,
                None => plugin.self_test(prepared.request).await,
            }
        };
        let mut report = match tokio::time::timeout(limit, call).await {
            Ok(report) => report,
            Err(_) => {
                failed(Failure::WallLimit { limit_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX) })
            }
        };
        strike_out(&mut report, &prepared.secrets);
        report
    }

    /// Everything that the session may use, secrets resolved.
    async fn prepare(
        &self,
        attempt: &Attempt<'_>,
        id: &str,
        instrument: &PlannedInstrument,
        step_parameters: Option<&Parameters>,
        started: i64,
    ) -> Result<Prepared, Failure> {
        let plan = &attempt.inquiry.plan;
        let mut resolver = self.resolver(attempt.inquiry);
        let invalid = |message| Failure::InvalidParameters { pointer: "/parameters".to_owned(), message };
        let parameters = resolver.parameters(&instrument.parameters).map_err(invalid)?;
        let step_parameters =
            step_parameters.map(|parameters| resolver.parameters(parameters)).transpose().map_err(invalid)?;
        let substrate = self.source(attempt.inquiry, attempt.round, &mut resolver).await?;
        let secrets = resolver.used;
        let seed = seed(&plan.manifest_digest, id, &attempt.step.name, attempt.round);
        Ok(Prepared {
            request: SessionRequest {
                parameters,
                facts: Facts {
                    inquiry: attempt.inquiry.id.clone(),
                    step: attempt.step.name.clone(),
                    instrument: id.to_owned(),
                    attempt: attempt.number,
                    started,
                },
                limits: self.limits(attempt.inquiry),
                grants: Grants {
                    http: plan.capabilities.http.clone(),
                    tcp: plan.capabilities.tcp.clone(),
                    files: plan.capabilities.files.clone(),
                },
                substrate,
                state: attempt.state.clone(),
                nondeterminism: Nondeterminism::Seeded(seed),
                cancel: attempt.cancel.clone(),
                listener: Some(Arc::new(Forward {
                    observer: attempt.observer.clone(),
                    inquiry: attempt.inquiry.id.clone(),
                    step: attempt.step.name.clone(),
                    secrets: secrets.clone(),
                })),
            },
            step_parameters,
            secrets,
        })
    }

    pub(crate) fn resolver<'a>(&'a self, inquiry: &'a Inquiry) -> Resolver<'a> {
        Resolver::new(self.config.secrets.as_ref(), &inquiry.bounds)
    }

    /// The manifest's limits, none above the tenant's or the host's.
    pub(crate) fn limits(&self, inquiry: &Inquiry) -> Limits {
        capped(&self.config.limits, &[&inquiry.bounds.limits, &inquiry.plan.limits], attempt_timeout(inquiry))
    }

    /// The inquiry's substrate, opened off the async threads: a source may read files to learn its columns. Secrets that its
    /// path and parameters refer to are noted by the resolver.
    pub(crate) async fn source(
        &self,
        inquiry: &Inquiry,
        round: u32,
        secrets: &mut Resolver<'_>,
    ) -> Result<Option<Arc<dyn Source>>, Failure> {
        let Some(mut substrate) = inquiry.plan.substrate.clone() else { return Ok(None) };
        let refused =
            |pointer: &str, message| Failure::InvalidParameters { pointer: pointer.to_owned(), message };
        match &mut substrate {
            Substrate::File { path, parameters } => {
                *path = secrets.text(path).map_err(|message| refused("/substrate/source/path", message))?;
                *parameters = secrets
                    .parameters(parameters)
                    .map_err(|message| refused("/substrate/source/parameters", message))?;
            }
            Substrate::Synthetic { parameters, .. } => {
                *parameters = secrets
                    .parameters(parameters)
                    .map_err(|message| refused("/substrate/source/parameters", message))?;
            }
        }
        let base = inquiry.base_dir.as_ref().map(Path::new);
        let base = self.substrate_folder(&inquiry.origin, base).map(Path::to_owned);
        let confined = inquiry.origin != Origin::Local;
        let seed = seed(&inquiry.plan.manifest_digest, "", "substrate", round);
        let opened =
            tokio::task::spawn_blocking(move || open(substrate, base.as_deref(), confined, seed)).await;
        match opened {
            Ok(Ok(source)) => Ok(Some(source)),
            Ok(Err(mut failure)) => {
                crate::secrets::strike_failure(&mut failure, &secrets.used);
                Err(failure)
            }
            Err(error) => Err(Failure::Host { message: format!("opening the substrate: {error}") }),
        }
    }

    /// Put what the attempt brought where it belongs: small readings into the record, the rest into blobs.
    async fn keep(&self, report: Report, started: i64) -> Result<StepRecord, EngineError> {
        let result = match report.result {
            Err(failure) => StepResult::Failed(failure),
            Ok(observation) => {
                let json = encode("readings", &observation)?;
                if json.len() <= MAX_INLINE_READINGS_BYTES {
                    StepResult::Inline(observation)
                } else {
                    let readings = observation.len();
                    StepResult::Blob { digest: self.journal.put_blob(json).await?, readings }
                }
            }
        };
        let transcript = self.journal.put_blob(encode("transcript", &report.transcript)?).await?;
        let logs = match report.logs.as_slice() {
            [] => None,
            lines => Some(self.journal.put_blob(encode("log lines", &lines)?).await?),
        };
        let state = match report.state {
            None => None,
            Some(state) => Some(self.journal.put_blob(state).await?),
        };
        Ok(StepRecord {
            result,
            usage: report.usage,
            transcript: Some(transcript),
            logs,
            state,
            denials: report.denials,
            started,
            ended: now(),
        })
    }
}

struct Prepared {
    request: SessionRequest,
    step_parameters: Option<Parameters>,
    /// Secrets that the parameters hold, to be struck out of what comes back.
    secrets: Vec<String>,
}

fn encode<T: serde::Serialize>(what: &'static str, value: &T) -> Result<Vec<u8>, EngineError> {
    serde_json::to_vec(value).map_err(|source| EngineError::Encode { what, source })
}

/// A report of an attempt that did not get as far as the instrument.
pub(crate) fn failed(failure: Failure) -> Report {
    Report {
        result: Err(failure),
        logs: Vec::new(),
        usage: Usage::default(),
        transcript: Transcript::default(),
        state: None,
        denials: Vec::new(),
    }
}

/// The seed of a step's randomness in one round. It depends on the manifest and the round alone, so that the same manifest brings the same readings
/// from instruments that draw no other input, on any host and after any number of interruptions.
fn seed(manifest_digest: &str, instrument: &str, step: &str, round: u32) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [manifest_digest, instrument, step] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    // The first round is that of an inquiry that runs once.
    if round > 0 {
        hash.update(round.to_le_bytes());
    }
    hash.finalize().into()
}

/// Opens a substrate. A confined one is opened by the path that was checked, which holds no symbolic links.
fn open(
    mut substrate: Substrate,
    base: Option<&Path>,
    confined: bool,
    seed: [u8; 32],
) -> Result<Arc<dyn Source>, Failure> {
    if let (Substrate::File { path, .. }, true) = (&mut substrate, confined) {
        let denied = |message| Failure::CapabilityDenied { asked: format!("substrate: {message}") };
        let checked = confined_substrate(path, base).map_err(denied)?;
        *path = checked
            .into_os_string()
            .into_string()
            .map_err(|_| denied(format!("the path of `{path}` is not UTF-8")))?;
    }
    inquisitor_substrate::open(&substrate, base, seed)
        .map_err(|error| Failure::Unavailable { message: format!("substrate: {error}"), retry_after: None })
}

fn attempt_timeout(inquiry: &Inquiry) -> Option<Duration> {
    inquiry.plan.execution.attempt_timeout.map(Duration::from_secs)
}

/// The host's limits, lowered to what others ask for.
fn capped(host: &Limits, asked: &[&spec::Limits], wall: Option<Duration>) -> Limits {
    let least = |of: fn(&spec::Limits) -> Option<u64>| asked.iter().filter_map(|limits| of(limits)).min();
    let walls = [least(|limits| limits.wall).map(Duration::from_nanos), wall];
    Limits {
        memory: least(|limits| limits.memory).map_or(host.memory, |memory| memory.min(host.memory)),
        fuel: least(|limits| limits.fuel).into_iter().chain(host.fuel).min(),
        wall: walls.into_iter().flatten().fold(host.wall, Duration::min),
        ..host.clone()
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Passes what a guest says on to the observer of its inquiry.
struct Forward {
    observer: Arc<dyn Observer>,
    inquiry: String,
    step: String,
    secrets: Vec<String>,
}

impl Forward {
    fn strike(&self, text: &str) -> String {
        let mut text = text.to_owned();
        crate::secrets::strike_text(&mut text, &self.secrets);
        text
    }
}

impl Listener for Forward {
    fn log(&self, line: &LogLine) {
        let line = LogLine {
            level: line.level,
            message: self.strike(&line.message),
            attributes: line
                .attributes
                .iter()
                .map(|(name, value)| (name.clone(), self.strike(value)))
                .collect(),
        };
        self.observer.event(&self.inquiry, Event::StepLog { step: self.step.clone(), line });
    }

    fn progress(&self, fraction: f64, message: &str) {
        let message = bounded(self.strike(message));
        self.observer
            .event(&self.inquiry, Event::StepProgress { step: self.step.clone(), fraction, message });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_is_above_the_hosts_or_the_tenants() {
        let host = Limits { memory: 100, fuel: None, wall: Duration::from_secs(10), ..Limits::default() };
        let asked = |memory, fuel, wall| spec::Limits { memory, fuel, wall };
        let manifest = asked(Some(500), Some(7), Some(3_000_000_000));
        let tenant = asked(Some(50), Some(9), Some(5_000_000_000));
        let capped_by = |asked: &[&spec::Limits], wall| {
            let limits = capped(&host, asked, wall);
            (limits.memory, limits.fuel, limits.wall.as_secs())
        };
        assert_eq!(capped_by(&[], None), (100, None, 10));
        assert_eq!(capped_by(&[&manifest], None), (100, Some(7), 3));
        assert_eq!(capped_by(&[&tenant, &manifest], None), (50, Some(7), 3));
        assert_eq!(capped_by(&[&tenant, &asked(None, None, None)], None), (50, Some(9), 5));
        assert_eq!(capped_by(&[&tenant, &manifest], Some(Duration::from_secs(1))), (50, Some(7), 1));
    }

    #[test]
    fn every_round_draws_from_a_seed_of_its_own() {
        let first = seed("digest", "instrument", "step", 0);
        assert_ne!(first, seed("digest", "instrument", "step", 1));
        assert_ne!(seed("digest", "instrument", "step", 1), seed("digest", "instrument", "step", 2));
    }
}
