//! What members decide by, taken from a command by its proposer so that nobody has to decode plans, records and policies again.

use bytes::Bytes;
use inquisitor_engine::gating::{Bounds, Origin, Tenant};
use inquisitor_engine::journal::{BlobDigest, StepRecord, StepResult};
use inquisitor_ledger::Hash;
use inquisitor_manifest::plan::{Action, Plan};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::error::ConductorError;
use crate::record::{Digest, OriginRow, Rounds, digest, encode};

/// What the state machine needs of a submission without decoding it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlanFacts {
    pub(crate) manifest_id: String,
    /// SHA-256 of the manifest's text, as the plan says it.
    pub(crate) manifest_digest: String,
    pub(crate) name: String,
    /// The one that the inquiry belongs to, whatever the manifest names.
    pub(crate) tenant: String,
    pub(crate) kind: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) steps: u32,
    /// Where the inquiry is continuous.
    pub(crate) rounds: Option<Rounds>,
    /// The components that the plan names, ascending.
    pub(crate) plugins: Vec<Digest>,
    /// SHA-256 of the plan's JSON.
    pub(crate) plan: Digest,
    /// SHA-256 over all that was submitted, save for the time.
    pub(crate) content: Digest,
    /// SHA-256 of the tenant, a zero byte and the idempotency key.
    pub(crate) idempotency: Option<Digest>,
}

/// What the ledger and the search for unused blobs need of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordFacts {
    /// `readings`, the failure's name, or `skipped`.
    pub(crate) outcome: String,
    /// SHA-256 of the observation's JSON and the number of readings, where there are any: the same digest whether the
    /// readings lie in the record or in a blob.
    pub(crate) readings: Option<(String, u64)>,
    pub(crate) transcript: Option<BlobDigest>,
    /// All blobs that it names.
    pub(crate) blobs: Vec<Digest>,
    pub(crate) ended: i64,
}

/// A tenant, with what the state machine decides by beside its policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TenantFacts {
    pub(crate) name: String,
    pub(crate) description: String,
    /// JSON of the policy.
    pub(crate) policy: Bytes,
    /// Inquiries that may be unfinished.
    pub(crate) limit: Option<u32>,
    pub(crate) created: i64,
}

/// All that was submitted, save for the id and the time.
pub(crate) struct Submitted<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) plan_json: &'a [u8],
    pub(crate) manifest: &'a str,
    pub(crate) base_dir: Option<&'a str>,
    pub(crate) bounds: &'a Bounds,
    pub(crate) bounds_json: &'a [u8],
    pub(crate) origin: &'a Origin,
    pub(crate) idempotency_key: Option<&'a str>,
}

impl PlanFacts {
    pub(crate) fn of(submitted: &Submitted<'_>) -> Result<Self, ConductorError> {
        let plan = submitted.plan;
        let mut plugins = plan
            .instruments
            .values()
            .map(|instrument| digest(&instrument.digest))
            .collect::<Result<Vec<_>, _>>()?;
        plugins.sort_unstable();
        plugins.dedup();
        let tenant = &submitted.bounds.tenant;
        let idempotency = submitted.idempotency_key.map(|key| idempotency(tenant, key)).transpose()?;
        let digest = Hash::digest(submitted.plan_json).0;
        let origin = OriginRow::from(submitted.origin);
        let content =
            (digest, submitted.manifest, submitted.base_dir, submitted.bounds_json, origin, idempotency);
        Ok(Self {
            manifest_id: plan.manifest_id.clone(),
            manifest_digest: plan.manifest_digest.clone(),
            name: plan.name.clone(),
            tenant: tenant.clone(),
            kind: plan.kind.clone(),
            tags: plan.tags.clone(),
            steps: number("steps", plan.steps.len())?,
            rounds: rounds(plan),
            plugins,
            plan: digest,
            content: Hash::digest(&encode(&content)?).0,
            idempotency,
        })
    }
}

/// A plan is continuous when one of its instruments is observed at an interval; the steps that observe such a one have rounds.
fn rounds(plan: &Plan) -> Option<Rounds> {
    let probed = |id: &str| plan.instruments.get(id).is_some_and(|found| found.probe_interval.is_some());
    if !plan.instruments.values().any(|instrument| instrument.probe_interval.is_some()) {
        return None;
    }
    let observing = plan.steps.iter().enumerate().filter_map(|(position, step)| match &step.action {
        Action::Observe { instrument, .. } if probed(instrument) => Some(position),
        _ => None,
    });
    Some(Rounds::new(plan.execution.history, observing))
}

/// Bytes of an idempotency key.
pub const MAX_IDEMPOTENCY_KEY_BYTES: usize = 255;

fn idempotency(tenant: &str, key: &str) -> Result<Digest, ConductorError> {
    if key.is_empty() || key.len() > MAX_IDEMPOTENCY_KEY_BYTES {
        return Err(ConductorError::Command(format!(
            "an idempotency key has 1 to {MAX_IDEMPOTENCY_KEY_BYTES} bytes, this one {}",
            key.len()
        )));
    }
    let hash = Sha256::new().chain_update(tenant).chain_update([0]).chain_update(key).finalize();
    Ok(hash.into())
}

impl RecordFacts {
    pub(crate) fn of(record: &StepRecord) -> Result<Self, ConductorError> {
        let (outcome, readings) = match &record.result {
            StepResult::Inline(observation) => {
                let digest = Hash::digest(&to_json("the readings", observation)?).to_string();
                ("completed", Some((digest, observation.len() as u64)))
            }
            StepResult::Blob { digest, readings } => ("completed", Some((digest.clone(), *readings as u64))),
            StepResult::Failed(failure) => (failure.name(), None),
            StepResult::Skipped { .. } => ("skipped", None),
        };
        Ok(Self {
            outcome: outcome.to_owned(),
            readings,
            transcript: record.transcript.clone(),
            blobs: record_blobs(record).map(|text| digest(text)).collect::<Result<_, _>>()?,
            ended: record.ended,
        })
    }
}

impl TenantFacts {
    pub(crate) fn of(tenant: &Tenant) -> Result<Self, ConductorError> {
        Ok(Self {
            name: tenant.name.clone(),
            description: tenant.description.clone(),
            policy: to_json("the policy", &tenant.policy)?,
            limit: tenant.policy.rates.unfinished_inquiries,
            created: tenant.created,
        })
    }
}

pub(crate) fn record_blobs(record: &StepRecord) -> impl Iterator<Item = &BlobDigest> {
    let readings = match &record.result {
        StepResult::Blob { digest, .. } => Some(digest),
        StepResult::Inline(_) | StepResult::Failed(_) | StepResult::Skipped { .. } => None,
    };
    [readings, record.transcript.as_ref(), record.logs.as_ref(), record.state.as_ref()].into_iter().flatten()
}

/// JSON that reads back as the same value.
pub(crate) fn to_json<T: Serialize + DeserializeOwned>(
    what: &str,
    value: &T,
) -> Result<Bytes, ConductorError> {
    let cannot = |error: serde_json::Error| {
        ConductorError::Command(format!(
            "{what} has no JSON, perhaps for a number that is not finite: {error}"
        ))
    };
    let bytes = serde_json::to_vec(value).map_err(cannot)?;
    // Not finite numbers are written as null without an error; read back here, not where it would stop a member.
    serde_json::from_slice::<T>(&bytes).map_err(cannot)?;
    Ok(bytes.into())
}

/// A unit variant's name as serde writes it.
pub(crate) fn word<T: Serialize>(value: &T) -> Result<String, ConductorError> {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => Ok(word),
        Ok(other) => Err(ConductorError::Command(format!("{other} is not a word"))),
        Err(error) => Err(ConductorError::Command(error.to_string())),
    }
}

pub(crate) fn number(what: &str, value: usize) -> Result<u32, ConductorError> {
    u32::try_from(value)
        .map_err(|_| ConductorError::Command(format!("{what} {value}; at most {} are possible", u32::MAX)))
}
