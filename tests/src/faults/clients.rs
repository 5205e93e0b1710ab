//! Clients that submit and read through all members, all the time, and note what they were told.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use inquisitor_ledger::Checkpoint;
use serde_json::Value;

use super::history::{Acknowledgement, History, Violation};
use crate::http::{Answer, Request, ask};
use crate::server::API_KEY;

/// How long a submission waits for its answer.
const SUBMIT_PATIENCE: Duration = Duration::from_secs(10);
/// How long a read waits for its answer: the host gives up after five seconds.
const READ_PATIENCE: Duration = Duration::from_secs(7);
/// What a client does nothing for between two things, so that the machine keeps up.
const PAUSE: Duration = Duration::from_millis(40);
/// The same after something was refused.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Clients of each kind for each member.
const WRITERS_WITH_KEYS: usize = 2;

/// What the names of clients' manifests begin with.
const OF_CLIENTS: &str = "client-";

const AUTHORIZATION: &str = "Authorization";
/// How long the first step of an inquiry takes, in turns: some are under way when a fault comes.
const STEPS_TAKE_MS: [u64; 4] = [0, 0, 40, 250];

/// Where members are asked, and how often each was started.
pub(super) struct Addresses {
    pub(super) names: Vec<String>,
    pub(super) http: Vec<String>,
    /// Counts up whenever a member ends.
    pub(super) starts: Vec<AtomicU64>,
}

/// What all clients share.
pub(super) struct Clients {
    pub(super) members: Addresses,
    pub(super) history: History,
    stop: AtomicBool,
    /// Whether nobody is to begin a submission.
    is_closed: Mutex<bool>,
    opened: Condvar,
    /// Submissions that are under way.
    busy: AtomicUsize,
    bearer: String,
}

/// What came of a request.
enum Outcome {
    Answered(Answer),
    Refused,
    /// There was no answer, or none that is whole.
    Unanswered,
}

/// Whether clients submit this manifest: all of them ask the same.
pub(super) fn is_of_clients(manifest: &str) -> bool {
    manifest.starts_with(OF_CLIENTS)
}

impl Clients {
    pub(super) fn new(members: Addresses) -> Self {
        Self {
            members,
            history: History::default(),
            stop: AtomicBool::new(false),
            is_closed: Mutex::new(false),
            opened: Condvar::new(),
            busy: AtomicUsize::new(0),
            bearer: format!("Bearer {API_KEY}"),
        }
    }

    /// Start them in this scope; they go on until [`Clients::end`].
    pub(super) fn start<'scope>(&'scope self, scope: &'scope std::thread::Scope<'scope, '_>) {
        for member in 0..self.members.http.len() {
            for writer in 0..WRITERS_WITH_KEYS {
                scope.spawn(move || self.submit_with_keys(member, writer));
            }
            scope.spawn(move || self.submit_without_keys(member));
            scope.spawn(move || self.read(member));
            scope.spawn(move || self.read_locally(member));
            scope.spawn(move || self.watch(member));
        }
    }

    /// Let them end.
    pub(super) fn end(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.set_closed(false);
    }

    /// Let nobody begin a submission, or anybody again.
    pub(super) fn set_closed(&self, is_closed: bool) {
        *self.is_closed.lock().unwrap_or_else(PoisonError::into_inner) = is_closed;
        self.opened.notify_all();
    }

    /// Submissions that are under way.
    pub(super) fn busy(&self) -> usize {
        self.busy.load(Ordering::SeqCst)
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Wait until submissions may begin, and count one as begun.
    fn begin(&self) {
        let mut is_closed = self.is_closed.lock().unwrap_or_else(PoisonError::into_inner);
        while *is_closed {
            is_closed = self.opened.wait(is_closed).unwrap_or_else(PoisonError::into_inner);
        }
        // Under the lock: whoever closes sees it.
        self.busy.fetch_add(1, Ordering::SeqCst);
    }

    fn finish(&self) {
        self.busy.fetch_sub(1, Ordering::SeqCst);
    }

    /// Ask a member with the administrator's key.
    pub(super) fn ask(
        &self,
        member: usize,
        request: &Request<'_>,
        patience: Duration,
    ) -> std::io::Result<Answer> {
        let mut headers = vec![(AUTHORIZATION, self.bearer.as_str())];
        headers.extend_from_slice(request.headers);
        ask(&self.members.http[member], &Request { headers: &headers, ..request.clone() }, patience)
    }

    /// Ask for what a member has of its own accord, as JSON.
    pub(super) fn local(&self, member: usize, path: &str) -> Result<Value, String> {
        let mark = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{mark}consistency=local");
        let answer = self.ask(member, &Request::get(&path), READ_PATIENCE);
        let answer = answer.map_err(|error| format!("{}: {path}: {error}", self.members.names[member]))?;
        if answer.status == 200 && answer.is_whole {
            return Ok(answer.json());
        }
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        Err(format!("{}: {path}: {} {said}", self.members.names[member], answer.status))
    }

    /// What a member says of consensus; none where it does not answer.
    pub(super) fn status(&self, member: usize) -> Option<Value> {
        let answer = ask(&self.members.http[member], &Request::get("/raft/status"), READ_PATIENCE).ok()?;
        (answer.status == 200 && answer.is_whole).then(|| answer.json())
    }

    /// Note which state a member says to have at which index; both.
    pub(super) fn note_state(&self, member: usize) -> Option<(u64, String)> {
        let status = self.status(member)?;
        let (index, hash) = (status["applied_index"].as_u64()?, status["state_hash"].as_str()?);
        self.history.state_hash(index, hash, &self.members.names[member]);
        Some((index, hash.to_owned()))
    }

    fn outcome(&self, member: usize, asked: &str, answer: std::io::Result<Answer>) -> Outcome {
        match answer {
            Err(_) => Outcome::Unanswered,
            Ok(answer) => match answer.status {
                503 => Outcome::Refused,
                500 => {
                    let said = String::from_utf8_lossy(&answer.body).into_owned();
                    let name = &self.members.names[member];
                    self.history.violation(Violation::Unusable, format!("{name}: {asked}: {said}"));
                    Outcome::Refused
                }
                _ => Outcome::Answered(answer),
            },
        }
    }

    /// Submit with a key to each inquiry: first through a member, and where that does not do, through the others in turn, until
    /// it is acknowledged. Then read it at once through another one.
    fn submit_with_keys(&self, home: usize, writer: usize) {
        let size = self.members.http.len();
        let mut number = 0;
        while !self.is_over() {
            self.begin();
            number += 1;
            let manifest = format!("{OF_CLIENTS}keyed-{home}-{writer}-{number}");
            let mut member = home;
            let acknowledged = loop {
                if let Some(id) = self.submit(member, &manifest, number, Some(&manifest)) {
                    break Some(id);
                }
                if self.is_over() {
                    break None;
                }
                member = (member + 1) % size;
                std::thread::sleep(BACK_OFF);
            };
            if let Some(id) = acknowledged {
                self.read_back(&id, (member + 1 + number as usize % (size - 1)) % size);
            }
            self.finish();
            std::thread::sleep(PAUSE);
        }
    }

    /// Submit once each: what is not acknowledged may be there or not, but not twice.
    fn submit_without_keys(&self, home: usize) {
        let mut number = 0;
        while !self.is_over() {
            self.begin();
            number += 1;
            let acknowledged = self.submit(home, &format!("{OF_CLIENTS}once-{home}-{number}"), number, None);
            self.finish();
            std::thread::sleep(if acknowledged.is_some() { PAUSE } else { BACK_OFF });
        }
    }

    /// Submit a manifest of two steps; the inquiry's id if it was acknowledged.
    fn submit(&self, member: usize, manifest: &str, number: u64, key: Option<&str>) -> Option<String> {
        let delay = STEPS_TAKE_MS[(number % STEPS_TAKE_MS.len() as u64) as usize];
        let body = format!(
            "version: '1.0'\nid: {manifest}\nname: A question\nmetadata: {{author: tests}}\nprotocol: {{type: sequential, phases: [execution]}}\ninstruments: [{{type: echo, id: one, parameters: {{response_delay_ms: {delay}}}}}, {{type: echo, id: two}}]\n"
        );
        let mut headers = vec![("Content-Type", "application/yaml")];
        headers.extend(key.map(|key| ("Idempotency-Key", key)));
        let request =
            Request { method: "POST", path: "/v1/inquiries", headers: &headers, body: body.as_bytes() };
        let sent = Instant::now();
        let answer = self.ask(member, &request, SUBMIT_PATIENCE);
        let answered = Instant::now();
        match self.outcome(member, "a submission", answer) {
            Outcome::Answered(answer) if answer.is_good() => {
                // The head is the acknowledgement, even if the body was cut off.
                let id =
                    answer.header("location").and_then(|path| path.rsplit('/').next()).map(str::to_owned);
                let Some(id) = id else {
                    let name = &self.members.names[member];
                    self.history
                        .violation(Violation::Unusable, format!("{name} acknowledged without a name"));
                    return None;
                };
                if answer.header("idempotent-replayed").is_some() {
                    self.history.count(|counts| counts.replayed += 1);
                }
                self.history.acknowledged(&id, manifest, Acknowledgement { sent, answered, member });
                Some(id)
            }
            Outcome::Answered(answer) => {
                let said = String::from_utf8_lossy(&answer.body).into_owned();
                let text = format!(
                    "{} answered {manifest} with {} {said}",
                    self.members.names[member], answer.status
                );
                self.history.violation(Violation::Unusable, text);
                None
            }
            Outcome::Refused => {
                self.history.count(|counts| counts.refused += 1);
                None
            }
            Outcome::Unanswered => {
                self.history.count(|counts| counts.unanswered += 1);
                None
            }
        }
    }

    /// Read an inquiry that was acknowledged before, linearizably.
    fn read_back(&self, id: &str, member: usize) {
        let had_ended = self.history.has_ended(id);
        let path = format!("/v1/inquiries/{id}");
        let answer = self.ask(member, &Request::get(&path), READ_PATIENCE);
        let name = &self.members.names[member];
        match self.outcome(member, &path, answer) {
            Outcome::Answered(answer) if answer.status == 200 && answer.is_whole => {
                self.history.count(|counts| counts.reads += 1);
                match answer.json()["status"].as_str() {
                    Some("running") if had_ended => {
                        let text = format!("{name} said that {id} runs, after its end was read");
                        self.history.violation(Violation::Stale, text);
                    }
                    Some("running") => {}
                    Some("concluded") => self.history.ended(id),
                    other => {
                        let text = format!("{name} said of {id} that it is {other:?}");
                        self.history.violation(Violation::Lost, text);
                    }
                }
            }
            Outcome::Answered(answer) if answer.status == 404 => {
                let text = format!("{name} did not find {id}, which was acknowledged");
                self.history.violation(Violation::Stale, text);
            }
            Outcome::Answered(answer) if answer.is_whole => {
                let text = format!("{name} answered {path} with {}", answer.status);
                self.history.violation(Violation::Unusable, text);
            }
            Outcome::Answered(_) | Outcome::Refused | Outcome::Unanswered => {
                self.history.count(|counts| counts.reads_refused += 1);
            }
        }
    }

    /// Read linearizably: inquiries that were acknowledged, most of them lately, and the ledger's checkpoint, which must not be
    /// older than one that any client had before it asked.
    fn read(&self, member: usize) {
        let mut number = 0_usize;
        while !self.is_over() {
            number += 1;
            // Each fifth lies further back.
            let before = if number.is_multiple_of(5) { number * 37 % 5000 } else { number % 4 };
            if let Some(id) = self.history.recent(before) {
                self.read_back(&id, member);
            }
            let newest = self.history.newest();
            let answer = self.ask(member, &Request::get("/v1/ledger/checkpoint"), READ_PATIENCE);
            match self.outcome(member, "the checkpoint", answer) {
                Outcome::Answered(answer) if answer.status == 200 && answer.is_whole => {
                    self.history.count(|counts| counts.reads += 1);
                    if let Some(checkpoint) = self.checkpoint(member, &answer, true)
                        && checkpoint.size < newest
                    {
                        let text = format!(
                            "{} said that the ledger has {} entries, after {newest} were read",
                            self.members.names[member], checkpoint.size
                        );
                        self.history.violation(Violation::Stale, text);
                    }
                }
                _ => self.history.count(|counts| counts.reads_refused += 1),
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Read what lies on a member: it need not be new, but it does not go back as long as the member runs.
    fn read_locally(&self, member: usize) {
        let mut last = (0, 0);
        while !self.is_over() {
            let starts = self.members.starts[member].load(Ordering::SeqCst);
            let path = "/v1/ledger/checkpoint?consistency=local";
            if let Ok(answer) = self.ask(member, &Request::get(path), READ_PATIENCE)
                && answer.status == 200
                && answer.is_whole
            {
                self.history.count(|counts| counts.local_reads += 1);
                let checkpoint = self.checkpoint(member, &answer, false);
                let size = checkpoint.map_or(0, |checkpoint| checkpoint.size);
                let is_the_same = starts == self.members.starts[member].load(Ordering::SeqCst);
                if is_the_same && last.0 == starts && size < last.1 {
                    let name = &self.members.names[member];
                    let text =
                        format!("{name} had {} entries and then {size}, without an end between", last.1);
                    self.history.violation(Violation::Ledger, text);
                }
                if is_the_same {
                    last = (starts, size);
                }
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn checkpoint(&self, member: usize, answer: &Answer, is_linearizable: bool) -> Option<Checkpoint> {
        let name = &self.members.names[member];
        match serde_json::from_slice::<Checkpoint>(&answer.body) {
            Ok(checkpoint) => {
                self.history.checkpoint(checkpoint, name, is_linearizable);
                Some(checkpoint)
            }
            Err(error) => {
                let text = format!("{name} answered with a checkpoint that cannot be read: {error}");
                self.history.violation(Violation::Unusable, text);
                None
            }
        }
    }

    /// Note which state a member says to have at which index.
    fn watch(&self, member: usize) {
        while !self.is_over() {
            self.note_state(member);
            std::thread::sleep(PAUSE);
        }
    }
}
