//! What holds after each fault: all that was acknowledged is on every member, once, and their ledgers are one.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use inquisitor_ledger::{Auditor, Checkpoint, Entry, Hash, canonical_bytes, leaf_hash, verify_consistency};
use serde_json::Value;

use super::clients::{self, Clients};
use super::history::Violation;
use super::report::Counts;

/// How long the members may take to come to rest when nobody submits any more.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);
/// Entries and inquiries of one page, the most that the host gives.
const PAGE: usize = 500;

/// The ledger of one member as it was read, entry by entry, and what it says.
#[derive(Default)]
pub(super) struct Copy {
    auditor: Auditor,
    facts: Facts,
}

/// What a ledger says of inquiries.
#[derive(Default)]
struct Facts {
    /// The inquiry that a manifest made; every manifest of these tests has a name of its own.
    by_manifest: HashMap<String, String>,
    /// Inquiries and their manifests.
    submitted: HashMap<String, String>,
    ended: HashMap<String, String>,
    attempts: HashSet<[String; 5]>,
    finals: HashSet<[String; 3]>,
    verdicts: BTreeMap<String, u64>,
}

impl Facts {
    /// Take an entry in; what it does for a second time, if it does.
    fn add(&mut self, entry: &Entry) -> Option<String> {
        let word = |name: &str| entry.body.get(name).map(Value::to_string).unwrap_or_default();
        let id = entry.inquiry.clone();
        match entry.kind.as_str() {
            "inquiry-submitted" => {
                let manifest = entry.body.get("manifest_id").and_then(Value::as_str).unwrap_or_default();
                if self.submitted.insert(id.clone(), manifest.to_owned()).is_some() {
                    return Some(format!("{id} was submitted twice"));
                }
                if let Some(other) = self.by_manifest.insert(manifest.to_owned(), id.clone()) {
                    return Some(format!("the manifest {manifest} made both {other} and {id}"));
                }
            }
            "step-recorded" => {
                let (step, round) = (word("step"), word("round"));
                let attempt = [id.clone(), step.clone(), round.clone(), word("term"), word("attempt")];
                if !self.attempts.insert(attempt) {
                    return Some(format!("an attempt at step {step} of {id} was recorded twice"));
                }
                let is_final = entry.body.get("final") == Some(&Value::Bool(true));
                if is_final && !self.finals.insert([id.clone(), step.clone(), round]) {
                    return Some(format!("step {step} of {id} has two final records"));
                }
            }
            "inquiry-concluded" | "inquiry-aborted" => {
                let end = match entry.body.get("verdict").and_then(Value::as_str) {
                    Some(verdict) => verdict.to_owned(),
                    None => format!("aborted: {}", word("reason")),
                };
                // The others do not ask the same.
                if self.submitted.get(&id).is_some_and(|manifest| clients::is_of_clients(manifest)) {
                    *self.verdicts.entry(end.clone()).or_default() += 1;
                }
                if let Some(before) = self.ended.insert(id.clone(), end) {
                    return Some(format!("{id} ended twice, first as {before}"));
                }
            }
            _ => {}
        }
        None
    }
}

/// What is kept from one check to the next.
pub(super) struct Checks {
    copies: Vec<Copy>,
    /// Inquiries that were acknowledged and found so far.
    checked: usize,
    /// The newest checkpoint of which proofs were asked.
    proved: Checkpoint,
    /// Proofs of consistency that were verified.
    pub(super) proofs: u64,
    doubled: u64,
}

impl Checks {
    pub(super) fn new(members: usize) -> Self {
        Self {
            copies: (0..members).map(|_| Copy::default()).collect(),
            checked: 0,
            proved: Checkpoint::empty(),
            proofs: 0,
            doubled: 0,
        }
    }

    /// A member has another disk: its ledger is read from the beginning.
    pub(super) fn forget(&mut self, member: usize) {
        self.copies[member] = Copy::default();
    }

    /// Entries that were read of all members' ledgers, as of one.
    pub(super) fn entries(&self) -> u64 {
        self.copies.iter().map(|copy| copy.auditor.checkpoint().size).max().unwrap_or_default()
    }

    /// How inquiries ended.
    pub(super) fn verdicts(&self) -> BTreeMap<String, u64> {
        self.copies.first().map(|copy| copy.facts.verdicts.clone()).unwrap_or_default()
    }

    /// Compare what clients were told with what every member has. Nobody submits meanwhile; reads go on.
    pub(super) fn all(&mut self, clients: &Clients, counts: &mut Counts) {
        let acknowledged = clients.history.since(self.checked);
        let noted = clients.history.checkpoints_from(0);
        self.rest(clients, &acknowledged, &noted);
        let doubled = self.doubled;
        for (member, copy) in self.copies.iter().enumerate() {
            let name = &clients.members.names[member];
            for (id, manifest) in &acknowledged {
                let lost = if !copy.facts.submitted.contains_key(id) {
                    format!("{name} does not have {id} ({manifest}), which was acknowledged")
                } else if copy.facts.by_manifest.get(manifest) != Some(id) {
                    format!("{name} has another inquiry for {manifest} than {id}, which was acknowledged")
                } else if !copy.facts.ended.contains_key(id) {
                    format!("on {name} {id} ({manifest}), which was acknowledged, does not end")
                } else {
                    continue;
                };
                counts.lost += 1;
                clients.history.violation(Violation::Lost, lost);
            }
        }
        counts.doubled += doubled;
        self.doubled = 0;
        if self.verdicts().len() > 1 {
            let text = format!("inquiries that ask the same came to different ends: {:?}", self.verdicts());
            clients.history.violation(Violation::Unusable, text);
        }
        for member in 0..self.copies.len() {
            if let Err(problem) = listed(clients, member, &acknowledged) {
                counts.lost += 1;
                clients.history.violation(Violation::Lost, problem);
            }
        }
        if let Err(problem) = self.prove(clients) {
            clients.history.violation(Violation::Ledger, problem);
        }
        self.checked += acknowledged.len();
    }

    /// Read on in every member's ledger until all of them are the same and every inquiry has ended.
    fn rest(&mut self, clients: &Clients, acknowledged: &[(String, String)], noted: &BTreeMap<u64, Hash>) {
        let end = Instant::now() + PATIENCE;
        loop {
            let mut problem = None;
            for member in 0..self.copies.len() {
                match self.follow(clients, member, noted) {
                    Ok(()) => {}
                    Err(Followed::NotNow(why)) => problem = Some(why),
                    Err(Followed::Wrong(why)) => {
                        clients.history.violation(Violation::Ledger, why);
                        return;
                    }
                }
            }
            let sizes: BTreeSet<u64> =
                self.copies.iter().map(|copy| copy.auditor.checkpoint().size).collect();
            let open = |copy: &Copy| {
                let facts = &copy.facts;
                let is_open = |id: &String| !facts.ended.contains_key(id);
                acknowledged.iter().filter(|(id, _)| is_open(id)).count()
                    + facts.submitted.keys().filter(|id| is_open(id)).count()
            };
            let open = self.copies.iter().map(open).max().unwrap_or_default();
            if problem.is_none() && sizes.len() == 1 && open == 0 {
                match agree(clients) {
                    Ok(()) => return,
                    Err(why) => problem = Some(why),
                }
            }
            if Instant::now() >= end {
                let problem =
                    problem.unwrap_or_else(|| format!("{open} inquiries do not end; entries: {sizes:?}"));
                let text =
                    format!("the members do not come to rest within {} s: {problem}", PATIENCE.as_secs());
                clients.history.violation(Violation::Unusable, text);
                return;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Read on in a member's ledger, and compare it with every checkpoint that was seen of whichever member.
    fn follow(
        &mut self,
        clients: &Clients,
        member: usize,
        noted: &BTreeMap<u64, Hash>,
    ) -> Result<(), Followed> {
        let name = &clients.members.names[member];
        let wrong = |text: String| Followed::Wrong(format!("{name}: {text}"));
        let copy = &mut self.copies[member];
        loop {
            let from = copy.auditor.checkpoint().size;
            let page = clients
                .local(member, &format!("/v1/ledger/entries?from={from}&limit={PAGE}"))
                .map_err(Followed::NotNow)?;
            let items = page["items"].as_array().cloned().unwrap_or_default();
            for item in &items {
                let bytes = canonical_bytes(&item["entry"]).map_err(|error| wrong(error.to_string()))?;
                if item["leaf_hash"] != leaf_hash(&bytes).to_string() {
                    return Err(wrong(format!(
                        "the leaf hash of entry {} is not the entry's",
                        item["index"]
                    )));
                }
                let entry = copy.auditor.entry(&bytes).map_err(|error| wrong(error.to_string()))?;
                if let Some(twice) = copy.facts.add(&entry) {
                    self.doubled += 1;
                    clients.history.violation(Violation::Doubled, format!("{name}: {twice}"));
                }
                let Checkpoint { size, root } = copy.auditor.checkpoint();
                if noted.get(&size).is_some_and(|seen| *seen != root) {
                    return Err(wrong(format!(
                        "its first {size} entries do not have the root that was seen"
                    )));
                }
            }
            if items.len() < PAGE {
                break;
            }
        }
        // What was read is still what it has: a ledger that was written anew would have another root.
        let read = copy.auditor.checkpoint();
        let said = clients
            .local(member, &format!("/v1/ledger/checkpoint?size={}", read.size))
            .map_err(Followed::NotNow)?;
        let said: Checkpoint = serde_json::from_value(said).map_err(|error| wrong(error.to_string()))?;
        copy.auditor.compare(&said).map_err(|error| wrong(error.to_string()))
    }

    /// Have each next checkpoint that was seen proved to continue the one before, by the members in turn, and every member prove
    /// that its ledger continues the last of them. Of a chain of such proofs each pair follows.
    fn prove(&mut self, clients: &Clients) -> Result<(), String> {
        let noted = clients.history.checkpoints_from(self.proved.size + 1);
        let members = self.copies.len();
        for (number, (size, root)) in noted.into_iter().enumerate() {
            let next = Checkpoint { size, root };
            prove(clients, number % members, &self.proved, &next)?;
            self.proofs += 1;
            self.proved = next;
        }
        for member in 0..members {
            prove(clients, member, &self.proved, &self.copies[member].auditor.checkpoint())?;
            self.proofs += 1;
        }
        Ok(())
    }
}

/// Why a ledger was not read to its end.
enum Followed {
    NotNow(String),
    Wrong(String),
}

/// Ask a member for the proof that one checkpoint continues another, and verify it with nothing but these two.
fn prove(clients: &Clients, member: usize, older: &Checkpoint, newer: &Checkpoint) -> Result<(), String> {
    let path = format!("/v1/ledger/proofs/consistency?from={}&to={}", older.size, newer.size);
    let said = clients.local(member, &path)?;
    let name = &clients.members.names[member];
    let proof: Vec<Hash> =
        serde_json::from_value(said["proof"].clone()).map_err(|error| format!("{name}: {path}: {error}"))?;
    verify_consistency(older, newer, &proof).map_err(|error| format!("{name}: {path}: {error}"))
}

/// Every member has applied the same.
fn agree(clients: &Clients) -> Result<(), String> {
    let members = 0..clients.members.http.len();
    let seen: Vec<Option<(u64, String)>> = members.map(|member| clients.note_state(member)).collect();
    let same = seen.iter().all(|state| state.is_some() && *state == seen[0]);
    if same { Ok(()) } else { Err(format!("the members have applied different things: {seen:?}")) }
}

/// All of these are in a member's list, as concluded.
fn listed(clients: &Clients, member: usize, acknowledged: &[(String, String)]) -> Result<(), String> {
    let mut missing: HashSet<&str> = acknowledged.iter().map(|(id, _)| id.as_str()).collect();
    let mut cursor = String::new();
    while !missing.is_empty() {
        let page = clients.local(member, &format!("/v1/inquiries?state=concluded&limit={PAGE}{cursor}"))?;
        for item in page["items"].as_array().into_iter().flatten() {
            missing.remove(item["id"].as_str().unwrap_or_default());
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let first: Vec<&&str> = missing.iter().take(3).collect();
    let name = &clients.members.names[member];
    Err(format!("{name} does not list {} inquiries as concluded, among them {first:?}", missing.len()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(kind: &str, inquiry: &str, body: Value) -> Entry {
        let Value::Object(body) = body else { panic!("no object") };
        Entry {
            v: 1,
            index: 0,
            kind: kind.to_owned(),
            time: String::new(),
            inquiry: inquiry.to_owned(),
            body,
        }
    }

    #[test]
    fn what_is_done_twice_is_found() {
        let mut facts = Facts::default();
        let submitted =
            |id: &str, manifest: &str| entry("inquiry-submitted", id, json!({ "manifest_id": manifest }));
        let recorded = |attempt: u64, is_final: bool| {
            entry(
                "step-recorded",
                "a",
                json!({ "step": 1, "round": 0, "term": 3, "attempt": attempt, "final": is_final }),
            )
        };
        let concluded = entry("inquiry-concluded", "a", json!({ "verdict": "VERIFIED" }));
        for once in [submitted("a", "x"), recorded(1, false), recorded(2, true), concluded.clone()] {
            assert_eq!(facts.add(&once), None);
        }
        for (twice, said) in [
            (submitted("a", "y"), "submitted twice"),
            (submitted("b", "x"), "made both a and b"),
            (recorded(2, false), "recorded twice"),
            (recorded(3, true), "two final records"),
            (concluded, "ended twice"),
        ] {
            let found = facts.add(&twice).unwrap_or_default();
            assert!(found.contains(said), "{found}");
        }
    }
}
