//! Taking an inquiry in.

use inquisitor_engine::gating::DEFAULT_TENANT;
use inquisitor_engine::journal::{Applied, Refusal};

use super::{Outcome, Progress, already_done, done, inquiry_row, put_inquiry, refused};
use crate::change::Change;
use crate::error::ConductorError;
use crate::facts::PlanFacts;
use crate::keys::{numbered_key, plugin_use_key, text_key};
use crate::record::{
    InquiryRow, MadeRow, OriginRow, PlanRow, Stage, TenantUseRow, UnfinishedRow, decode, encode,
};
use crate::rows::{ReadRows, Table, Writer};

pub(super) fn submit(
    rows: &mut Writer<'_>,
    progress: &mut Progress,
    change: &Change,
) -> Result<Outcome, ConductorError> {
    let Change::Submit { inquiry: id, plan, facts, manifest, base_dir, bounds, origin, at } = change else {
        return Err(ConductorError::damaged("a command in the log", "it is no submission"));
    };
    if let Some(there) = inquiry_row(rows, id)? {
        // The time may differ: whoever got no answer asks again later.
        return if there.content == facts.content { already_done() } else { refused(Refusal::IdTaken) };
    }
    let Some(mut tenant) = tenant_use(rows, &facts.tenant)? else {
        return refused(Refusal::NoSuchTenant { tenant: facts.tenant.clone() });
    };
    if let Some(answer) = made_before(rows, facts)? {
        return Ok(answer);
    }
    let manifest_prefix = text_key(&[&facts.tenant, &facts.manifest_id]);
    if let Some((_, running)) = rows.starting_with(Table::ManifestUse, &manifest_prefix, 1)?.pop() {
        let running: MadeRow = decode("a manifest that is in use", &running)?;
        // The same manifest may run any number of times beside itself; those that run are all of one manifest.
        if running.manifest_digest != facts.manifest_digest {
            let id = facts.manifest_id.clone();
            return refused(Refusal::ManifestIdInUse { id, inquiry: running.inquiry });
        }
    }
    if let Some(limit) = tenant.limit
        && tenant.unfinished >= u64::from(limit)
    {
        let what = format!("inquiries of the tenant `{}` that have not ended", facts.tenant);
        return refused(Refusal::TooMany { what, limit: limit as usize });
    }

    let row = InquiryRow {
        sequence: progress.next_sequence,
        submitted: *at,
        manifest: manifest.clone(),
        manifest_digest: facts.manifest_digest.clone(),
        content: facts.content,
        steps: facts.steps,
        recorded: 0,
        missed: 0,
        manifest_id: facts.manifest_id.clone(),
        name: facts.name.clone(),
        tenant: facts.tenant.clone(),
        kind: facts.kind.clone(),
        tags: facts.tags.clone(),
        origin: origin.clone(),
        rounds: facts.rounds.clone(),
        cancel_requested: None,
        stage: Stage::Running,
    };
    progress.next_sequence += 1;
    let sequence = row.sequence.to_be_bytes();
    put_inquiry(rows, id, &row)?;
    let plan = PlanRow {
        plugins: facts.plugins.clone(),
        base_dir: base_dir.clone(),
        bounds: bounds.clone(),
        plan: plan.clone(),
    };
    rows.put(Table::Plans, id.as_bytes(), &encode(&plan)?)?;
    rows.put_quietly(Table::Order, &sequence, id.as_bytes())?;
    rows.put_quietly(Table::TenantOrder, &numbered_key(&[&row.tenant], row.sequence), id.as_bytes())?;
    let unfinished = UnfinishedRow {
        inquiry: id.clone(),
        declared: matches!(origin, OriginRow::Declared(_)),
        plugins: facts.plugins.clone(),
    };
    rows.put(Table::Unfinished, &sequence, &encode(&unfinished)?)?;

    let made = MadeRow { manifest_digest: facts.manifest_digest.clone(), inquiry: id.clone() };
    let made = encode(&made)?;
    rows.put(Table::ManifestUse, &manifest_use_key(&row), &made)?;
    for plugin in &facts.plugins {
        rows.put(Table::PluginUse, &plugin_use_key(plugin, &row.tenant, row.sequence), id.as_bytes())?;
    }
    if let Some(key) = &facts.idempotency {
        rows.put(Table::Idempotency, key, &made)?;
    }
    tenant.unfinished += 1;
    put_tenant_use(rows, &row.tenant, &tenant)?;
    done()
}

/// The answer where the idempotency key was used before.
fn made_before(rows: &impl ReadRows, facts: &PlanFacts) -> Result<Option<Outcome>, ConductorError> {
    let Some(key) = &facts.idempotency else { return Ok(None) };
    let Some(made) = rows.get(Table::Idempotency, key)? else { return Ok(None) };
    let made: MadeRow = decode("an idempotency key", &made)?;
    if made.manifest_digest == facts.manifest_digest {
        return Ok(Some(Applied::Earlier(made.inquiry).into()));
    }
    refused(Refusal::IdempotencyKeyReused { inquiry: made.inquiry }).map(Some)
}

/// Gives back what the inquiry held while it had not ended.
pub(super) fn release(rows: &mut Writer<'_>, row: &InquiryRow) -> Result<(), ConductorError> {
    let sequence = row.sequence.to_be_bytes();
    let unfinished = rows
        .get(Table::Unfinished, &sequence)?
        .ok_or_else(|| ConductorError::damaged("the state", "an inquiry runs and is not listed as such"))?;
    let unfinished: UnfinishedRow = decode("an unfinished inquiry", &unfinished)?;
    rows.delete(Table::Unfinished, &sequence)?;
    rows.delete(Table::ManifestUse, &manifest_use_key(row))?;
    for plugin in &unfinished.plugins {
        rows.delete(Table::PluginUse, &plugin_use_key(plugin, &row.tenant, row.sequence))?;
    }
    // It cannot be missing: a tenant with an unfinished inquiry is not removed.
    let mut tenant = tenant_use(rows, &row.tenant)?.unwrap_or_default();
    tenant.unfinished = tenant.unfinished.saturating_sub(1);
    put_tenant_use(rows, &row.tenant, &tenant)
}

fn manifest_use_key(row: &InquiryRow) -> Vec<u8> {
    numbered_key(&[&row.tenant, &row.manifest_id], row.sequence)
}

/// How many inquiries of a tenant have not ended; none where there is no such tenant.
pub(super) fn tenant_use(rows: &impl ReadRows, tenant: &str) -> Result<Option<TenantUseRow>, ConductorError> {
    match rows.get(Table::TenantUse, tenant.as_bytes())? {
        Some(bytes) => Ok(Some(decode("a tenant's use", &bytes)?)),
        None if tenant == DEFAULT_TENANT => Ok(Some(TenantUseRow::default())),
        None => Ok(None),
    }
}

pub(super) fn put_tenant_use(
    rows: &mut Writer<'_>,
    tenant: &str,
    row: &TenantUseRow,
) -> Result<(), ConductorError> {
    rows.put(Table::TenantUse, tenant.as_bytes(), &encode(row)?)
}
