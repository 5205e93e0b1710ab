//! One attempt at a step: gather what it may use, call the instrument, keep what it brought.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use inquisitor_findings::reading::Observation;
use inquisitor_manifest::plan::{Action, PlannedInstrument, PlannedStep};
use inquisitor_manifest::secret;
use inquisitor_manifest::spec::{Parameters, Substrate};
use inquisitor_runtime::outcome::Failure;
use inquisitor_runtime::request::{
    Facts, Grants, Limits, Listener, LogLine, Nondeterminism, Report, SessionRequest, Transcript, Usage,
};
use inquisitor_substrate::batch::Source;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::Engine;
use crate::error::EngineError;
use crate::events::{Event, Observer};
use crate::journal::{Inquiry, MAX_INLINE_READINGS_BYTES, StepRecord, StepResult};
use crate::now;
use crate::secrets::strike_out;

/// How much longer than the guest's own limit an attempt may take on the whole, for opening, calibrating and the host's
/// part of the work.
const ATTEMPT_CALLS: u32 = 3;

/// What an attempt needs beside the inquiry.
pub(crate) struct Attempt<'a> {
    pub(crate) inquiry: &'a Inquiry,
    pub(crate) step: &'a PlannedStep,
    pub(crate) number: u32,
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

    /// Call the instrument under the limits of the manifest and the host.
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
        let mut secrets = Vec::new();
        let parameters = self.resolve(&instrument.parameters, &mut secrets)?;
        let step_parameters =
            step_parameters.map(|parameters| self.resolve(parameters, &mut secrets)).transpose()?;
        let seed = seed(&plan.manifest_digest, id, &attempt.step.name);
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
                substrate: self.source(attempt.inquiry, &mut secrets).await?,
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

    fn resolve(&self, parameters: &Parameters, used: &mut Vec<String>) -> Result<Parameters, Failure> {
        let mut reason = None;
        let mut lookup = |name: &str| match self.config.secrets.get(name) {
            Ok(secret) => {
                used.push(secret.clone());
                Some(secret)
            }
            Err(why) => {
                reason = Some(why);
                None
            }
        };
        let resolved = secret::resolve(parameters, &mut lookup);
        resolved.map(|resolved| resolved.value).map_err(|error| Failure::InvalidParameters {
            pointer: "/parameters".to_owned(),
            message: reason.unwrap_or_else(|| error.to_string()),
        })
    }

    /// A text with its secret references resolved; the secrets are added to `used`.
    ///
    /// # Errors
    /// A message without a secret, when there is none by a name or it is not allowed.
    pub(crate) fn resolve_text(&self, text: &str, used: &mut Vec<String>) -> Result<String, String> {
        let mut reason = None;
        let resolved = secret::resolve_text(text, &mut |name| match self.config.secrets.get(name) {
            Ok(secret) => {
                used.push(secret.clone());
                Some(secret)
            }
            Err(why) => {
                reason = Some(why);
                None
            }
        });
        resolved.map(|resolved| resolved.value).map_err(|error| reason.unwrap_or_else(|| error.to_string()))
    }

    /// The manifest's limits, none above the host's.
    pub(crate) fn limits(&self, inquiry: &Inquiry) -> Limits {
        let asked = &inquiry.plan.limits;
        let host = &self.config.limits;
        let wall = asked.wall.map_or(host.wall, Duration::from_nanos).min(host.wall);
        let attempt = inquiry.plan.execution.attempt_timeout.map_or(wall, Duration::from_secs);
        Limits {
            memory: asked.memory.unwrap_or(host.memory).min(host.memory),
            fuel: match (asked.fuel, host.fuel) {
                (Some(asked), Some(host)) => Some(asked.min(host)),
                (asked, host) => asked.or(host),
            },
            wall: wall.min(attempt),
            ..host.clone()
        }
    }

    /// The inquiry's substrate, opened off the async threads: a source may read files to learn its columns.
    ///
    /// Secrets that its path and parameters refer to are added to `used`.
    pub(crate) async fn source(
        &self,
        inquiry: &Inquiry,
        used: &mut Vec<String>,
    ) -> Result<Option<Arc<dyn Source>>, Failure> {
        let Some(mut substrate) = inquiry.plan.substrate.clone() else { return Ok(None) };
        match &mut substrate {
            Substrate::File { path, parameters } => {
                *path = self.resolve_text(path, used).map_err(|message| Failure::InvalidParameters {
                    pointer: "/substrate/source/path".to_owned(),
                    message,
                })?;
                *parameters = self.resolve(parameters, used)?;
            }
            Substrate::Synthetic { parameters, .. } => *parameters = self.resolve(parameters, used)?,
        }
        let base = inquiry.base_dir.as_ref().map(PathBuf::from);
        let seed = seed(&inquiry.plan.manifest_digest, "", "substrate");
        let opened = tokio::task::spawn_blocking(move || {
            inquisitor_substrate::open(&substrate, base.as_deref(), seed)
        })
        .await;
        match opened {
            Ok(Ok(source)) => Ok(Some(source)),
            Ok(Err(error)) => {
                let mut message = format!("substrate: {error}");
                crate::secrets::strike_text(&mut message, used);
                Err(Failure::Unavailable { message, retry_after: None })
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

/// The seed of a step's randomness. It depends on the manifest alone, so that the same manifest brings the same readings
/// from instruments that draw no other input, on any host and after any number of interruptions.
fn seed(manifest_digest: &str, instrument: &str, step: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [manifest_digest, instrument, step] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
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
        let message = self.strike(message);
        self.observer
            .event(&self.inquiry, Event::StepProgress { step: self.step.clone(), fraction, message });
    }
}
