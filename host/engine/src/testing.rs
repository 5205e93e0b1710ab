//! For tests: a journal in memory that keeps the contract's rules, and plans whose plugin is not installed, so that every
//! observation fails in good order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use inquisitor_manifest::plan::Plan;
use inquisitor_manifest::{PluginInfo, PluginReference, ResolveError};
use inquisitor_runtime::{CompilerCommand, Runtime, RuntimeConfig, compile_child_if_requested};

use crate::catalogue::Catalogue;
use crate::clock::Clock;
use crate::events::{Event, Observer};
use crate::gating::{Bounds, Origin};
use crate::journal::{
    Applied, BlobDigest, Checkpoint, Command, Inquiry, InquiryId, Interim, Journal, JournalError, Refusal,
    Status, StepState, Token,
};
use crate::{Engine, EngineConfig};

/// When the tests' inquiries are submitted.
pub(crate) const EPOCH: i64 = 1_800_000_000_000_000_000;

#[derive(Default)]
pub(crate) struct Memory {
    inquiries: Mutex<BTreeMap<InquiryId, Inquiry>>,
    blobs: Mutex<BTreeMap<BlobDigest, Vec<u8>>>,
    /// The commands that were applied, by name, with step and round.
    pub(crate) log: Mutex<Vec<String>>,
    /// So many proposals are answered with "no leader".
    pub(crate) unavailable: AtomicUsize,
}

impl Memory {
    fn inquiries(&self) -> MutexGuard<'_, BTreeMap<InquiryId, Inquiry>> {
        self.inquiries.lock().unwrap()
    }

    pub(crate) fn submit(&self, id: &str, tenant: &str, plan: Plan) {
        let inquiry = Inquiry {
            id: id.to_owned(),
            plan,
            manifest: String::new(),
            base_dir: None,
            bounds: Bounds { tenant: tenant.to_owned(), ..Bounds::of_host() },
            origin: Origin::Key { key: "k".to_owned() },
            submitted: EPOCH,
            cancel_requested: None,
            status: Status::Running,
            interim: None,
            steps: BTreeMap::new(),
        };
        self.inquiries().insert(id.to_owned(), inquiry);
    }

    pub(crate) fn get(&self, id: &str) -> Inquiry {
        self.inquiries()[id].clone()
    }

    pub(crate) fn count(&self, what: &str) -> usize {
        self.log.lock().unwrap().iter().filter(|line| line.starts_with(what)).count()
    }

    fn apply(&self, command: Command) -> Result<Applied, Refusal> {
        let (id, line) = match &command {
            Command::Lease { inquiry, step, round, .. } => {
                (inquiry, format!("lease {inquiry} {step} {round}"))
            }
            Command::Record { inquiry, step, round, .. } => {
                (inquiry, format!("record {inquiry} {step} {round}"))
            }
            Command::Update { inquiry, .. } => (inquiry, format!("update {inquiry}")),
            Command::Cancel { inquiry, .. } => (inquiry, format!("cancel {inquiry}")),
            Command::Conclude { inquiry, .. } => (inquiry, format!("conclude {inquiry}")),
            Command::Abort { inquiry, .. } => (inquiry, format!("abort {inquiry}")),
            other => panic!("the engine does not propose {other:?} here"),
        };
        let mut inquiries = self.inquiries();
        let inquiry = inquiries.get_mut(id).ok_or_else(|| Refusal::NoSuchInquiry { inquiry: id.clone() })?;
        if inquiry.status != Status::Running {
            return Err(Refusal::Ended);
        }
        let keep = inquiry.plan.execution.history as usize;
        let applied = match command {
            Command::Lease { step, round, attempt, executor, .. } => {
                let token = Token { term: 1, attempt };
                let state = inquiry.steps.entry(step).or_insert_with(|| StepState {
                    token: Token { term: 1, attempt: 0 },
                    executor: String::new(),
                    round: 0,
                    missed: 0,
                    earlier: Vec::new(),
                    record: None,
                    history: Vec::new(),
                });
                let last = state.token.attempt;
                if attempt != last + 1 {
                    return Err(Refusal::AttemptOutOfOrder { asked: attempt, last });
                }
                if round < state.round || (round > state.round && state.record.is_none()) {
                    return Err(Refusal::RoundOutOfOrder { asked: round, last: state.round });
                }
                if round == state.round && state.record.is_some() {
                    return Err(Refusal::StepDone);
                }
                if round > state.round {
                    state.missed += u64::from(round - state.round - 1);
                    if let Some(record) = state.record.take() {
                        state.history.push((state.round, record));
                        let excess = state.history.len().saturating_sub(keep);
                        state.history.drain(..excess);
                    }
                    state.earlier.clear();
                    state.round = round;
                }
                (state.token, state.executor) = (token, executor);
                Applied::Leased(token)
            }
            Command::Record { step, token, record, is_final, .. } => {
                let state = inquiry.steps.get_mut(&step).ok_or(Refusal::LeaseLost)?;
                if state.token != token || state.record.is_some() {
                    return Err(Refusal::LeaseLost);
                }
                if is_final {
                    state.record = Some(*record);
                } else {
                    state.earlier.push(*record);
                }
                Applied::Done
            }
            Command::Update { finding, at, .. } => {
                inquiry.interim = Some(Interim { finding: *finding, at });
                Applied::Done
            }
            Command::Cancel { at, .. } => {
                inquiry.cancel_requested = Some(at);
                Applied::Done
            }
            Command::Conclude { finding, artifacts, at, .. } => {
                let is_recorded = |step: &usize| {
                    inquiry
                        .steps
                        .get(step)
                        .is_some_and(|state| state.record.is_some() || !state.history.is_empty())
                };
                if let Some(step) = (0..inquiry.plan.steps.len()).find(|step| !is_recorded(step)) {
                    return Err(Refusal::StepsMissing { step });
                }
                inquiry.status = Status::Concluded { finding, artifacts, at };
                Applied::Done
            }
            Command::Abort { reason, at, .. } => {
                inquiry.status = Status::Aborted { reason, at };
                Applied::Done
            }
            _ => unreachable!("refused above"),
        };
        self.log.lock().unwrap().push(line);
        Ok(applied)
    }
}

#[async_trait]
impl Journal for Memory {
    async fn propose(&self, command: Command) -> Result<Applied, JournalError> {
        let down =
            self.unavailable.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if down.is_ok() {
            return Err(JournalError::Unavailable("no leader".to_owned()));
        }
        Ok(self.apply(command).unwrap_or_else(Applied::Refused))
    }

    async fn inquiry(&self, id: &str) -> Result<Option<Inquiry>, JournalError> {
        Ok(self.inquiries().get(id).cloned())
    }

    async fn unfinished(&self) -> Result<Vec<InquiryId>, JournalError> {
        let inquiries = self.inquiries();
        let running = inquiries.values().filter(|inquiry| inquiry.status == Status::Running);
        Ok(running.map(|inquiry| inquiry.id.clone()).collect())
    }

    async fn checkpoint(&self) -> Result<Checkpoint, JournalError> {
        Ok(Checkpoint { size: 0, root: String::new() })
    }

    async fn put_blob(&self, bytes: Vec<u8>) -> Result<BlobDigest, JournalError> {
        let digest = inquisitor_manifest::digest(&bytes);
        self.blobs.lock().unwrap().insert(digest.clone(), bytes);
        Ok(digest)
    }

    async fn blob(&self, digest: &str) -> Result<Vec<u8>, JournalError> {
        self.blobs.lock().unwrap().get(digest).cloned().ok_or_else(|| JournalError::Blob {
            digest: digest.to_owned(),
            message: "is not there".to_owned(),
        })
    }
}

/// The compiling child, when the test program is started as one.
#[test]
fn compile_child() {
    compile_child_if_requested();
}

pub(crate) fn runtime(cache: &Path) -> Runtime {
    let mut config = RuntimeConfig::new(cache);
    let arguments = ["testing::compile_child", "--exact", "--nocapture", "--test-threads=1"];
    config.compiler = CompilerCommand { program: None, arguments: arguments.map(Into::into).into() };
    Runtime::new(config).unwrap()
}

/// The component `plain` of the tests' guests, with this mark, which changes its digest and nothing else.
pub(crate) fn component(mark: u8) -> Vec<u8> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
    let path = target.join("test-components/plain.wasm");
    let mut bytes = std::fs::read(&path)
        .unwrap_or_else(|error| panic!("run `cargo xtask plugins` first: {}: {error}", path.display()));
    // A custom section of one byte whose name is one letter.
    bytes.extend([0, 3, 1, b'm', mark]);
    bytes
}

/// An engine on a journal in memory whose schedule follows the paused clock.
pub(crate) fn engine(cache: &Path) -> (Arc<Memory>, Engine) {
    engine_of(Runtime::new(RuntimeConfig::new(cache)).unwrap(), Arc::default(), Catalogue::default())
}

/// The same with these plugins.
pub(crate) fn engine_of(
    runtime: Runtime,
    journal: Arc<Memory>,
    catalogue: Catalogue,
) -> (Arc<Memory>, Engine) {
    let mut engine = Engine::new(journal.clone(), runtime, Arc::new(catalogue), EngineConfig::new("test"));
    engine.clock = Clock::Timer { epoch: EPOCH, start: tokio::time::Instant::now() };
    (journal, engine)
}

/// A plan of one instrument with these fields, and more sections.
pub(crate) fn plan(instrument: &str, more: &str) -> Plan {
    struct Any;
    impl inquisitor_manifest::Catalogue for Any {
        fn resolve(&self, reference: &PluginReference) -> Result<Arc<PluginInfo>, ResolveError> {
            Ok(Arc::new(PluginInfo {
                name: reference.name.clone(),
                version: "1.0.0".to_owned(),
                digest: "0".repeat(64),
                aliases: Vec::new(),
                parameters_schema: serde_json::Value::Bool(true).into(),
                step_parameters_schema: serde_json::Value::Bool(true).into(),
                quantities: Vec::new(),
                capabilities: Vec::new(),
                minimum_memory: 0,
            }))
        }
        fn check_unit(&self, _: &str) -> Result<(), String> {
            Ok(())
        }
        fn check_expression(&self, _: &str) -> Result<(), String> {
            Ok(())
        }
    }
    let text = format!(
        "version: \"1.0\"\nid: it\nname: It\nmetadata: {{ author: Tests }}\nprotocol: {{ type: sequential, phases: [initialization, execution, analysis, cleanup] }}\ninstruments:\n  - {{ type: gone, id: probe{instrument} }}\n{more}\n"
    );
    let validated = inquisitor_manifest::validate("it.yaml", &text, &Any);
    validated.plan.unwrap_or_else(|| panic!("{:?}", validated.diagnostics))
}

/// Keeps what it hears.
#[derive(Default)]
pub(crate) struct Heard(pub(crate) Mutex<Vec<Event>>);

impl Observer for Heard {
    fn event(&self, _: &str, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}
