//! Reading the directory, asking what runs, and doing what the plan says.
//!
//! The whole directory is read after a change, after a change of tenants or plugins, and every [`EVERY`] whatever happens. What
//! runs is compared with it every [`TICK`] when the ledger grew or something was left to do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::act::{Deputy, Outcome};
use super::check::Checked;
use super::files::{self, Identity};
use super::look::{self, Found};
use super::past::Pasts;
use super::plan::{self, End, Live, Standing};
use super::watch::Watch;
use super::{Board, Declaration, State};
use crate::app::{App, now};

/// After tenants or plugins changed, the directory is read at once and again after so long: a plugin is known before it can be
/// used.
const SOON: Duration = Duration::from_secs(5);
/// The directory is read at least so often.
const EVERY: Duration = Duration::from_secs(30);
/// How often it is seen whether something is to be done.
const TICK: Duration = Duration::from_secs(2);
/// A change is looked at once nothing has changed for so long: a file may still be being written.
const QUIET: Duration = Duration::from_millis(300);
/// A directory that never rests is looked at after so long all the same.
const MAX_UNREST: Duration = Duration::from_secs(3);
/// Rounds of planning and doing in one go; what is left waits for the next tick.
const MAX_ROUNDS: usize = 4;
/// Wait before an inquiry is submitted again that failed or could not be submitted; doubles up to [`MAX_HOLD`].
const HOLD: Duration = Duration::from_secs(10);
const MAX_HOLD: Duration = Duration::from_secs(300);

/// What reconciles until `stop`; none where no directory is declared.
pub(crate) fn start(
    app: &Arc<App>,
    stop: CancellationToken,
) -> Option<impl Future<Output = ()> + Send + use<>> {
    let directory = app.config.manifest_dir.clone()?;
    tracing::info!(directory = %directory.display(), "declared manifests are followed");
    let reconciler = Reconciler::new(app.clone(), directory);
    Some(async move {
        tokio::select! {
            () = reconciler.run() => {}
            () = stop.cancelled() => {}
        }
    })
}

struct Reconciler {
    app: Arc<App>,
    directory: PathBuf,
    wake: Arc<Notify>,
    /// None while the directory is being read.
    watch: Option<Watch>,
    /// The directory that was last read.
    identity: Option<Identity>,
    problem: Option<String>,
    looked: Option<i64>,
    checks: BTreeMap<String, Checked>,
    pasts: Pasts,
    /// Files whose text was refused: by a policy, most of all.
    refused: BTreeMap<String, Refused>,
    holds: BTreeMap<String, Hold>,
    /// What the log was last told of each file.
    said: BTreeMap<String, String>,
    unsettled: bool,
}

/// A text that was refused, for as long as neither it nor the registry changes.
struct Refused {
    digest: String,
    registry: u64,
    message: String,
}

/// A text that is not submitted for a while.
struct Hold {
    digest: String,
    times: u32,
    until: Instant,
    message: String,
}

impl Reconciler {
    fn new(app: Arc<App>, directory: PathBuf) -> Self {
        let watch = Watch::new();
        Self {
            app,
            directory,
            wake: watch.wake(),
            watch: Some(watch),
            identity: None,
            problem: None,
            looked: None,
            checks: BTreeMap::new(),
            pasts: Pasts::default(),
            refused: BTreeMap::new(),
            holds: BTreeMap::new(),
            said: BTreeMap::new(),
            unsettled: false,
        }
    }

    async fn run(mut self) {
        let mut registry = self.app.hub.registry_changes();
        let mut applied = self.app.conductor.subscribe();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let wake = self.wake.clone();
        let mut wait = EVERY;
        loop {
            self.look().await;
            let next = Instant::now() + wait;
            wait = EVERY;
            loop {
                tokio::select! {
                    () = wake.notified() => {
                        quiet(&wake).await;
                        break;
                    }
                    Ok(()) = registry.changed() => {
                        wait = SOON;
                        break;
                    }
                    () = tokio::time::sleep_until(next) => break,
                    _ = tick.tick() => {
                        if self.unsettled || applied.has_changed().unwrap_or(false) {
                            applied.borrow_and_update();
                            self.reconcile().await;
                        }
                    }
                }
            }
        }
    }

    /// Read the directory, then do what is to be done.
    async fn look(&mut self) {
        let mut watch = self.watch.take().unwrap_or_else(Watch::new);
        let directory = self.directory.clone();
        let (app, registry) = (self.app.clone(), self.app.conductor.registry());
        let known = std::mem::take(&mut self.checks);
        let read = tokio::task::spawn_blocking(move || {
            // First, so that what changes while it is read is looked at again.
            watch.follow(&directory);
            let found = look::read(&directory, &known, &registry, &app.catalogue);
            (watch, known, found)
        });
        match read.await {
            Ok((watch, known, found)) => {
                self.watch = Some(watch);
                self.take_in(known, found);
            }
            Err(error) => tracing::error!(%error, "reading the declared manifests failed"),
        }
        self.reconcile().await;
    }

    fn take_in(&mut self, known: BTreeMap<String, Checked>, found: Result<Found, String>) {
        match found {
            // What was declared stays declared until the directory says otherwise.
            Err(message) => {
                self.checks = known;
                self.complain(message);
            }
            Ok(found) if self.replaced_by_an_empty_one(&found.names, &known) => {
                self.checks = known;
                self.identity = Some(found.names.identity);
                self.complain("an empty directory has taken the place of the one before; nothing is ended unless it stays".to_owned());
            }
            Ok(found) => {
                self.identity = Some(found.names.identity);
                self.looked = Some(now());
                for valid in found.validations {
                    self.app.metrics.validation(valid);
                }
                self.checks = found.checks;
                match found.names.beyond {
                    0 => self.problem = None,
                    beyond => self.complain(format!(
                        "{beyond} files are left out: only the first {} by name are looked at",
                        files::MAX_FILES
                    )),
                }
            }
        }
    }

    /// A volume that went away leaves an empty directory where it was mounted.
    fn replaced_by_an_empty_one(&self, names: &files::Names, known: &BTreeMap<String, Checked>) -> bool {
        names.files.is_empty()
            && !known.is_empty()
            && self.identity.is_some_and(|identity| identity != names.identity)
    }

    fn complain(&mut self, message: String) {
        if self.problem.as_ref() != Some(&message) {
            tracing::warn!(directory = %self.directory.display(), "declared manifests: {message}");
        }
        self.problem = Some(message);
    }

    /// Make what runs the same as what is declared, as far as that is possible now.
    async fn reconcile(&mut self) {
        for _ in 0..MAX_ROUNDS {
            match self.round().await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    self.unsettled = true;
                    tracing::warn!(
                        error = error.as_ref(),
                        "declared manifests: the state cannot be read now"
                    );
                    break;
                }
            }
        }
    }

    /// Plan and act once. Whether something was done.
    async fn round(&mut self) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
        let leads = self.app.conductor.status().await?.role == "leader";
        // Without having seen the directory once, nothing is known to be wanted or not.
        if self.looked.is_none() {
            self.unsettled = false;
            self.app.declared.show(Board { leads, problem: self.problem.clone(), ..Board::default() });
            return Ok(false);
        }
        let live: Vec<Live> =
            self.app.conductor.declared().await?.iter().filter_map(super::past::live).collect();
        let files = self.wanted();
        for (file, end) in self.pasts.refresh(&self.app.conductor, &files, &live).await? {
            if end == End::Failed {
                self.hold(&file, "its inquiry failed; it begins again".to_owned());
            }
        }
        let plan = plan::plan(&files, &live, &self.pasts.ended(), &self.held());
        self.unsettled = plan.drift > 0;
        self.show(leads, &plan);
        if !leads {
            return Ok(false);
        }
        self.act(plan).await
    }

    /// What each file wants; none for those that cannot be used.
    fn wanted(&mut self) -> BTreeMap<String, Option<plan::Wanted>> {
        let registry = self.app.conductor.registry().version;
        let checks = &self.checks;
        let same = |file: &String, digest: &String| {
            checks.get(file).is_some_and(|checked| checked.digest.as_ref() == Some(digest))
        };
        self.refused.retain(|file, refused| same(file, &refused.digest) && refused.registry == registry);
        self.holds.retain(|file, hold| same(file, &hold.digest));
        self.said.retain(|file, _| checks.contains_key(file));
        checks
            .iter()
            .map(|(file, checked)| {
                let usable = !self.refused.contains_key(file);
                (file.clone(), checked.wanted.as_ref().ok().filter(|_| usable).cloned())
            })
            .collect()
    }

    fn held(&self) -> BTreeSet<String> {
        let now = Instant::now();
        self.holds.iter().filter(|(_, hold)| hold.until > now).map(|(file, _)| file.clone()).collect()
    }

    fn hold(&mut self, file: &str, message: String) {
        let Some(digest) = self.checks.get(file).and_then(|checked| checked.digest.clone()) else { return };
        let times = self.holds.get(file).map_or(0, |hold| hold.times.saturating_add(1));
        let wait = HOLD.saturating_mul(2_u32.saturating_pow(times.min(16))).min(MAX_HOLD);
        tracing::warn!(file, wait_s = wait.as_secs(), "declared manifest: {message}");
        self.holds.insert(file.to_owned(), Hold { digest, times, until: Instant::now() + wait, message });
    }

    async fn act(&mut self, plan: plan::Plan) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
        let mut acted = false;
        let deputy = Deputy::new();
        for (inquiry, tenant) in plan.cancel {
            match deputy.cancel(&self.app, &inquiry, &tenant).await {
                Ok(()) => {
                    tracing::info!(
                        inquiry,
                        tenant,
                        "declared manifest: the inquiry is ended, its file changed or went away"
                    );
                    acted = true;
                }
                Err(problem) => tracing::warn!(
                    inquiry,
                    tenant,
                    "declared manifest: cannot end the inquiry: {}",
                    problem.detail
                ),
            }
        }
        for (file, standing) in plan.files {
            let Standing::Due { after } = standing else { continue };
            let Some(Ok(wanted)) = self.checks.get(&file).map(|checked| checked.wanted.clone()) else {
                continue;
            };
            let outcome = deputy.submit(&self.app, &self.directory, &file, &wanted, after.as_deref()).await;
            acted |= matches!(outcome, Outcome::Submitted { .. });
            self.take_outcome(&file, &wanted, outcome).await?;
        }
        Ok(acted)
    }

    async fn take_outcome(
        &mut self,
        file: &str,
        wanted: &plan::Wanted,
        outcome: Outcome,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        match outcome {
            Outcome::Submitted { inquiry, earlier } => {
                if !earlier {
                    tracing::info!(file, inquiry, tenant = wanted.tenant, "declared manifest: submitted");
                }
                self.pasts.submitted(&self.app.conductor, file, &wanted.digest, inquiry).await?;
            }
            // It is looked at again, and checked whatever is known of the text.
            Outcome::Changed => {
                if let Some(checked) = self.checks.get_mut(file) {
                    checked.registry = None;
                }
                self.wake.notify_one();
            }
            Outcome::Refused(message) => {
                let registry = self.app.conductor.registry().version;
                let refused = Refused { digest: wanted.digest.clone(), registry, message };
                self.refused.insert(file.to_owned(), refused);
            }
            Outcome::NotNow(message) => self.hold(file, message),
        }
        Ok(())
    }

    /// Say in the API, the metrics and the log how things stand.
    fn show(&mut self, leads: bool, plan: &plan::Plan) {
        let mut files = BTreeMap::new();
        for (file, standing) in &plan.files {
            let Some(checked) = self.checks.get(file) else { continue };
            let (state, inquiry, message) = self.words(leads, file, checked, standing);
            if state == State::Broken {
                let message = message.clone().unwrap_or_default();
                say_broken(&mut self.said, file, checked, &message);
            } else {
                self.said.remove(file);
            }
            let declaration = Declaration {
                state,
                tenant: checked.tenant.clone(),
                manifest_id: checked.manifest_id.clone(),
                digest: checked.digest.clone(),
                inquiry,
                message,
                diagnostics: checked.diagnostics.clone(),
                errors: checked.errors,
                warnings: checked.warnings,
            };
            files.insert(file.clone(), declaration);
        }
        let count =
            |state| files.values().filter(|declaration: &&Declaration| declaration.state == state).count();
        let states: Vec<(State, usize)> = State::ALL.into_iter().map(|state| (state, count(state))).collect();
        self.app.metrics.declared(&states, if leads { plan.drift } else { 0 });
        self.app.declared.show(Board { leads, problem: self.problem.clone(), looked: self.looked, files });
    }

    fn words(
        &self,
        leads: bool,
        file: &str,
        checked: &Checked,
        standing: &Standing,
    ) -> (State, Option<String>, Option<String>) {
        match standing {
            Standing::Running(inquiry) => (State::Running, Some(inquiry.clone()), None),
            Standing::Ended(inquiry) => (State::Ended, Some(inquiry.clone()), None),
            Standing::Due { .. } if leads => (State::Pending, None, Some("it is being submitted".to_owned())),
            Standing::Due { .. } => {
                (State::Pending, None, Some("not the leader: the leader submits it".to_owned()))
            }
            Standing::Held => (State::Pending, None, self.holds.get(file).map(|hold| hold.message.clone())),
            Standing::Waiting(inquiry) => {
                let message = format!("it is submitted once inquiry {inquiry} has ended");
                (State::Pending, Some(inquiry.clone()), Some(message))
            }
            Standing::Duplicate { of } => {
                let id = checked.manifest_id.as_deref().unwrap_or_default();
                let message = format!(
                    "`{of}` declares the manifest id `{id}` for the same tenant; give this one another id"
                );
                (State::Broken, None, Some(message))
            }
            Standing::Broken(inquiry) => {
                let refused = self.refused.get(file).map(|refused| refused.message.clone());
                (State::Broken, inquiry.clone(), refused.or_else(|| checked.wanted.clone().err()))
            }
        }
    }
}

/// Tell the log once for each change.
fn say_broken(said: &mut BTreeMap<String, String>, file: &str, checked: &Checked, message: &str) {
    let key = format!("{message}\0{}", checked.digest.as_deref().unwrap_or_default());
    if said.get(file) == Some(&key) {
        return;
    }
    tracing::warn!(file, "declared manifest: {message}\n{}", checked.rendered);
    said.insert(file.to_owned(), key);
}

/// Until nothing has changed for a while.
async fn quiet(wake: &Notify) {
    let latest = Instant::now() + MAX_UNREST;
    while Instant::now() < latest {
        if tokio::time::timeout(QUIET, wake.notified()).await.is_err() {
            return;
        }
    }
}
