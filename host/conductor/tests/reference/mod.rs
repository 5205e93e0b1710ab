//! The journal as the trait's documentation describes it, in memory and without a thought for speed.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use inquisitor_engine::gating::{Bounds, DEFAULT_TENANT, KeyRecord, PluginRecord, Tenant};
use inquisitor_engine::journal::{
    Applied, Command, Inquiry, Interim, Refusal, Status, StepRecord, StepState, Token,
};
use inquisitor_manifest::plan::{Action, Plan};

/// A record with all that came with it.
type Given = (Token, StepRecord, bool);

#[derive(Default)]
pub struct Model {
    pub inquiries: BTreeMap<String, Inquiry>,
    pub order: Vec<String>,
    /// By inquiry, step, round and attempt; those that are still kept.
    records: BTreeMap<(String, usize, u32, u32), Given>,
    /// By tenant and idempotency key.
    made: BTreeMap<(String, String), String>,
    pub tenants: BTreeMap<String, Tenant>,
    /// Names that were tenants'.
    removed: BTreeSet<String>,
    pub keys: BTreeMap<String, KeyRecord>,
    pub plugins: BTreeMap<(Option<String>, String), PluginRecord>,
    /// Entries of the ledger.
    pub entries: u64,
}

impl Model {
    pub fn apply(&mut self, command: &Command, term: u64) -> Applied {
        let change = match command {
            Command::Decide { .. } => {
                self.entries += 1;
                return Applied::Done;
            }
            Command::Authorized { change, .. } => {
                self.entries += 1;
                change
            }
            plain => plain,
        };
        if let Some(token) = self.held_already(change, term) {
            return Applied::Leased(token);
        }
        let applied = self.change(change, term).unwrap_or_else(Applied::Refused);
        self.entries += u64::from(matches!(applied, Applied::Done | Applied::Leased(_)));
        applied
    }

    /// The lease that is asked for a second time by whoever has it.
    fn held_already(&self, command: &Command, term: u64) -> Option<Token> {
        let Command::Lease { inquiry, step, round, attempt, executor, .. } = command else { return None };
        let inquiry = self.inquiries.get(inquiry).filter(|one| one.status == Status::Running)?;
        let state = inquiry.steps.get(step).filter(|state| state.record.is_none())?;
        let token = Token { term, attempt: *attempt };
        let is_his = (state.token, state.round, &state.executor) == (token, *round, executor);
        let is_over = self.records.contains_key(&(inquiry.id.clone(), *step, *round, *attempt));
        (is_his && !is_over).then_some(token)
    }

    pub fn running(&self, tenant: Option<&str>) -> Vec<&Inquiry> {
        let all = self.order.iter().map(|id| &self.inquiries[id]);
        all.filter(|one| one.status == Status::Running)
            .filter(|one| tenant.is_none_or(|tenant| one.bounds.tenant == tenant))
            .collect()
    }

    fn exists(&self, tenant: &str) -> Result<(), Refusal> {
        if tenant == DEFAULT_TENANT || self.tenants.contains_key(tenant) {
            return Ok(());
        }
        Err(Refusal::NoSuchTenant { tenant: tenant.to_owned() })
    }

    fn change(&mut self, command: &Command, term: u64) -> Result<Applied, Refusal> {
        match command {
            Command::Submit { inquiry, plan, manifest, bounds, idempotency_key, .. } => {
                self.may_submit(inquiry, plan, bounds, idempotency_key.as_deref()).map(|before| {
                    before.unwrap_or_else(|| {
                        self.submit(command, inquiry, plan, manifest);
                        Applied::Done
                    })
                })
            }
            Command::Lease { .. }
            | Command::Record { .. }
            | Command::Update { .. }
            | Command::Cancel { .. }
            | Command::Conclude { .. }
            | Command::Abort { .. } => self.of_inquiry(command, term),
            _ => self.of_gating(command),
        }
    }

    fn may_submit(
        &self,
        id: &str,
        plan: &Plan,
        bounds: &Bounds,
        key: Option<&str>,
    ) -> Result<Option<Applied>, Refusal> {
        if let Some(there) = self.inquiries.get(id) {
            let key_was = self.made.iter().find(|(_, made)| *made == id).map(|((_, key), _)| key.as_str());
            let same = there.plan == *plan && there.bounds == *bounds && key_was == key;
            return if same { Ok(Some(Applied::AlreadyDone)) } else { Err(Refusal::IdTaken) };
        }
        self.exists(&bounds.tenant)?;
        if let Some(key) = key
            && let Some(made) = self.made.get(&(bounds.tenant.clone(), key.to_owned()))
        {
            let inquiry = made.clone();
            return if self.inquiries[made].plan.manifest_digest == plan.manifest_digest {
                Ok(Some(Applied::Earlier(inquiry)))
            } else {
                Err(Refusal::IdempotencyKeyReused { inquiry })
            };
        }
        let running = self.running(Some(&bounds.tenant));
        if let Some(other) = running.iter().find(|one| one.plan.manifest_id == plan.manifest_id)
            && other.plan.manifest_digest != plan.manifest_digest
        {
            return Err(Refusal::ManifestIdInUse { id: plan.manifest_id.clone(), inquiry: other.id.clone() });
        }
        let limit = self.tenants.get(&bounds.tenant).and_then(|t| t.policy.rates.unfinished_inquiries);
        if let Some(limit) = limit
            && running.len() >= limit as usize
        {
            let what = format!("inquiries of the tenant `{}` that have not ended", bounds.tenant);
            return Err(Refusal::TooMany { what, limit: limit as usize });
        }
        Ok(None)
    }

    fn submit(&mut self, command: &Command, id: &str, plan: &Plan, manifest: &str) {
        let Command::Submit { base_dir, bounds, origin, idempotency_key, at, .. } = command else { return };
        if let Some(key) = idempotency_key {
            self.made.insert((bounds.tenant.clone(), key.clone()), id.to_owned());
        }
        let inquiry = Inquiry {
            id: id.to_owned(),
            plan: plan.clone(),
            manifest: manifest.to_owned(),
            base_dir: base_dir.clone(),
            bounds: (**bounds).clone(),
            origin: origin.clone(),
            submitted: *at,
            cancel_requested: None,
            status: Status::Running,
            interim: None,
            steps: BTreeMap::new(),
        };
        self.order.push(id.to_owned());
        self.inquiries.insert(id.to_owned(), inquiry);
    }

    fn of_inquiry(&mut self, command: &Command, term: u64) -> Result<Applied, Refusal> {
        let id = match command {
            Command::Lease { inquiry, .. }
            | Command::Record { inquiry, .. }
            | Command::Update { inquiry, .. }
            | Command::Cancel { inquiry, .. }
            | Command::Conclude { inquiry, .. }
            | Command::Abort { inquiry, .. } => inquiry.clone(),
            other => panic!("{other:?} is about no inquiry"),
        };
        let Some(inquiry) = self.inquiries.get_mut(&id) else {
            return Err(Refusal::NoSuchInquiry { inquiry: id });
        };
        let running = inquiry.status == Status::Running;
        let ended = if running { Ok(()) } else { Err(Refusal::Ended) };
        let end = |inquiry: &mut Inquiry, status: Status| {
            if inquiry.status == status {
                return Ok(Applied::AlreadyDone);
            }
            if inquiry.status != Status::Running {
                return Err(Refusal::Ended);
            }
            inquiry.status = status;
            inquiry.interim = None;
            Ok(Applied::Done)
        };
        match command {
            Command::Lease { step, round, attempt, executor, .. } => {
                lease(inquiry, *step, *round, Token { term, attempt: *attempt }, executor)
            }
            Command::Record { step, round, token, record, is_final, .. } => {
                let given = (*token, (**record).clone(), *is_final);
                self.record(&id, *step, *round, given)
            }
            Command::Update { finding, at, .. } => {
                ended?;
                let interim = Some(Interim { finding: (**finding).clone(), at: *at });
                let same = inquiry.interim == interim;
                inquiry.interim = interim;
                Ok(if same { Applied::AlreadyDone } else { Applied::Done })
            }
            Command::Cancel { at, .. } => {
                ended?;
                let was = inquiry.cancel_requested;
                inquiry.cancel_requested = was.or(Some(*at));
                Ok(if was.is_some() { Applied::AlreadyDone } else { Applied::Done })
            }
            Command::Conclude { finding, artifacts, at, .. } => {
                let missing = (0..inquiry.plan.steps.len()).find(|step| {
                    !inquiry.steps.get(step).is_some_and(|state| state.round > 0 || state.record.is_some())
                });
                if running && let Some(step) = missing {
                    return Err(Refusal::StepsMissing { step });
                }
                let (finding, artifacts) = (finding.clone(), artifacts.clone());
                end(inquiry, Status::Concluded { finding, artifacts, at: *at })
            }
            Command::Abort { reason, at, .. } => {
                end(inquiry, Status::Aborted { reason: reason.clone(), at: *at })
            }
            other => panic!("{other:?} is about no inquiry"),
        }
    }

    fn record(&mut self, id: &str, step: usize, round: u32, given: Given) -> Result<Applied, Refusal> {
        let inquiry = self.inquiries.get_mut(id).unwrap();
        if step >= inquiry.plan.steps.len() {
            return Err(Refusal::NoSuchStep { step });
        }
        let (token, record, is_final) = given.clone();
        let key = (id.to_owned(), step, round, token.attempt);
        if self.records.get(&key) == Some(&given) {
            return Ok(Applied::AlreadyDone);
        }
        if inquiry.status != Status::Running {
            return Err(Refusal::Ended);
        }
        let history = inquiry.plan.execution.history as usize;
        let state = inquiry.steps.get_mut(&step).ok_or(Refusal::LeaseLost)?;
        if round > state.round {
            return Err(Refusal::RoundOutOfOrder { asked: round, last: state.round });
        }
        if round < state.round || state.record.is_some() {
            return Err(Refusal::StepDone);
        }
        if state.token != token || self.records.contains_key(&key) {
            return Err(Refusal::LeaseLost);
        }
        self.records.insert(key, given);
        if !is_final {
            state.earlier.push(record);
            return Ok(Applied::Done);
        }
        state.record = Some(record);
        if state.history.len() + 1 > history {
            let (oldest, _) = state.history.remove(0);
            self.records.retain(|(of, at, round, _), _| of != id || *at != step || *round != oldest);
        }
        Ok(Applied::Done)
    }

    fn of_gating(&mut self, command: &Command) -> Result<Applied, Refusal> {
        match command {
            Command::CreateTenant { tenant, .. } => {
                if self.tenants.get(&tenant.name) == Some(&**tenant) {
                    return Ok(Applied::AlreadyDone);
                }
                if self.exists(&tenant.name).is_ok() {
                    return Err(Refusal::TenantExists { tenant: tenant.name.clone() });
                }
                if self.removed.contains(&tenant.name) {
                    return Err(Refusal::TenantRemoved { tenant: tenant.name.clone() });
                }
                self.tenants.insert(tenant.name.clone(), (**tenant).clone());
            }
            Command::UpdateTenant { tenant, .. } => {
                self.exists(&tenant.name)?;
                let created = self.tenants.get(&tenant.name).map_or(0, |there| there.created);
                let new = Tenant { created, ..(**tenant).clone() };
                let before = self.tenants.insert(tenant.name.clone(), new.clone());
                if before == Some(new) {
                    return Ok(Applied::AlreadyDone);
                }
            }
            Command::RemoveTenant { tenant, .. } => self.remove_tenant(tenant)?,
            Command::CreateKey { key, .. } => {
                key.tenant.as_deref().map_or(Ok(()), |tenant| self.exists(tenant))?;
                if self.keys.get(&key.id) == Some(&**key) {
                    return Ok(Applied::AlreadyDone);
                }
                let is_taken = |one: &KeyRecord| one.id == key.id || one.secret_hash == key.secret_hash;
                if self.keys.values().any(is_taken) {
                    return Err(Refusal::KeyTaken);
                }
                self.keys.insert(key.id.clone(), (**key).clone());
            }
            Command::RevokeKey { id, at } => {
                let key = self.keys.get_mut(id).ok_or(Refusal::NoSuchKey { id: id.clone() })?;
                if key.revoked.is_some() {
                    return Ok(Applied::AlreadyDone);
                }
                key.revoked = Some(*at);
            }
            Command::InstallPlugin { plugin, .. } => return self.install(plugin),
            Command::RemovePlugin { digest, tenant, .. } => self.remove_plugin(digest, tenant)?,
            other => panic!("{other:?} is not about gating"),
        }
        Ok(Applied::Done)
    }

    fn remove_tenant(&mut self, tenant: &str) -> Result<(), Refusal> {
        let in_use =
            |reason: &str| Err(Refusal::TenantInUse { tenant: tenant.to_owned(), reason: reason.to_owned() });
        if tenant == DEFAULT_TENANT {
            return in_use("it is the one that always exists");
        }
        self.exists(tenant)?;
        match self.running(Some(tenant)).len() {
            0 => {}
            1 => return in_use("one of its inquiries has not ended"),
            many => return in_use(&format!("{many} of its inquiries have not ended")),
        }
        self.tenants.remove(tenant);
        self.removed.insert(tenant.to_owned());
        self.keys.retain(|_, key| key.tenant.as_deref() != Some(tenant));
        self.plugins.retain(|(of, _), _| of.as_deref() != Some(tenant));
        Ok(())
    }

    fn install(&mut self, plugin: &PluginRecord) -> Result<Applied, Refusal> {
        plugin.tenant.as_deref().map_or(Ok(()), |tenant| self.exists(tenant))?;
        let mut seen = vec![plugin.tenant.clone()];
        seen.extend(plugin.tenant.is_some().then_some(None));
        for tenant in &seen {
            if self.plugins.contains_key(&(tenant.clone(), plugin.digest.clone())) {
                return Ok(Applied::AlreadyDone);
            }
        }
        for tenant in seen {
            let same = |one: &&PluginRecord| {
                one.tenant == tenant && one.name == plugin.name && one.version == plugin.version
            };
            if let Some(there) = self.plugins.values().find(same) {
                return Err(Refusal::VersionTaken {
                    name: there.name.clone(),
                    version: there.version.clone(),
                    digest: there.digest.clone(),
                });
            }
        }
        self.plugins.insert((plugin.tenant.clone(), plugin.digest.clone()), plugin.clone());
        Ok(Applied::Done)
    }

    fn remove_plugin(&mut self, digest: &str, tenant: &Option<String>) -> Result<(), Refusal> {
        tenant.as_deref().map_or(Ok(()), |tenant| self.exists(tenant))?;
        let key = (tenant.clone(), digest.to_owned());
        if !self.plugins.contains_key(&key) {
            return Err(Refusal::NoSuchPlugin { plugin: digest.to_owned() });
        }
        let uses = |one: &&Inquiry| one.plan.instruments.values().any(|used| used.digest == digest);
        // By tenant, then in the order of submission.
        let mut users: Vec<_> = self.running(tenant.as_deref()).into_iter().filter(uses).collect();
        users.sort_by_key(|one| one.bounds.tenant.clone());
        if let Some(user) = users.first() {
            return Err(Refusal::PluginInUse { inquiry: user.id.clone() });
        }
        self.plugins.remove(&key);
        Ok(())
    }
}

fn lease(
    inquiry: &mut Inquiry,
    step: usize,
    round: u32,
    token: Token,
    executor: &str,
) -> Result<Applied, Refusal> {
    if step >= inquiry.plan.steps.len() {
        return Err(Refusal::NoSuchStep { step });
    }
    if inquiry.status != Status::Running {
        return Err(Refusal::Ended);
    }
    let has_rounds = match &inquiry.plan.steps[step].action {
        Action::Observe { instrument, .. } => inquiry.plan.instruments[instrument].probe_interval.is_some(),
        _ => false,
    };
    let current = inquiry.steps.get(&step);
    let last_round = current.map_or(0, |state| state.round);
    let recorded = current.is_some_and(|state| state.record.is_some());
    if round == last_round && recorded {
        return Err(Refusal::StepDone);
    }
    if round < last_round || round > last_round && !(recorded && has_rounds) {
        return Err(Refusal::RoundOutOfOrder { asked: round, last: last_round });
    }
    let last = current.map_or(0, |state| state.token.attempt);
    if token.attempt != last + 1 {
        return Err(Refusal::AttemptOutOfOrder { asked: token.attempt, last });
    }
    let state = inquiry.steps.entry(step).or_insert_with(|| StepState {
        token,
        executor: executor.to_owned(),
        round,
        missed: 0,
        earlier: Vec::new(),
        record: None,
        history: Vec::new(),
    });
    state.token = token;
    if round > state.round {
        state.missed += u64::from(round - state.round - 1);
        state.history.extend(state.record.take().map(|record| (state.round, record)));
        state.earlier.clear();
        state.round = round;
    }
    Ok(Applied::Leased(token))
}
