//! Random commands against a model of a few lines.
// The lint's exception for tests does not see helpers beside them.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;

use inquisitor_engine::journal::{
    Abort, Applied, Command, Inquiry, Journal, Refusal, Status, StepRecord, StepState, Token,
};
use inquisitor_ledger::verify_export;
use proptest::prelude::*;
use support::*;

/// The journal as the trait's documentation describes it.
#[derive(Default)]
struct Model {
    inquiries: BTreeMap<String, Inquiry>,
    order: Vec<String>,
    /// Records with the token that they came with, by inquiry, step and attempt.
    records: BTreeMap<(String, usize, u32), (Token, StepRecord, bool)>,
    accepted: u64,
}

impl Model {
    fn apply(&mut self, command: &Command, term: u64) -> Applied {
        match self.change(command, term) {
            Ok(applied) => {
                self.accepted += u64::from(applied != Applied::AlreadyDone);
                applied
            }
            Err(refusal) => Applied::Refused(refusal),
        }
    }

    fn change(&mut self, command: &Command, term: u64) -> Result<Applied, Refusal> {
        let id = match command {
            Command::Submit { inquiry, .. }
            | Command::Lease { inquiry, .. }
            | Command::Record { inquiry, .. }
            | Command::Conclude { inquiry, .. }
            | Command::Abort { inquiry, .. } => inquiry.clone(),
        };
        if let Command::Submit { plan, manifest, base_dir, at, .. } = command {
            if let Some(there) = self.inquiries.get(&id) {
                return if there.plan == **plan { Ok(Applied::AlreadyDone) } else { Err(Refusal::IdTaken) };
            }
            let inquiry = Inquiry {
                id: id.clone(),
                plan: (**plan).clone(),
                manifest: manifest.clone(),
                base_dir: base_dir.clone(),
                submitted: *at,
                status: Status::Running,
                steps: BTreeMap::new(),
            };
            self.order.push(id.clone());
            self.inquiries.insert(id, inquiry);
            return Ok(Applied::Done);
        }
        let Some(inquiry) = self.inquiries.get_mut(&id) else {
            return Err(Refusal::NoSuchInquiry { inquiry: id });
        };
        let running = inquiry.status == Status::Running;
        match command {
            Command::Submit { .. } => unreachable!(),
            Command::Lease { step, attempt, executor, .. } => {
                if *step >= inquiry.plan.steps.len() {
                    return Err(Refusal::NoSuchStep { step: *step });
                }
                if !running {
                    return Err(Refusal::Ended);
                }
                let last = inquiry.steps.get(step).map_or(0, |state| state.token.attempt);
                if inquiry.steps.get(step).is_some_and(|state| state.record.is_some()) {
                    return Err(Refusal::StepDone);
                }
                if *attempt != last + 1 {
                    return Err(Refusal::AttemptOutOfOrder { asked: *attempt, last });
                }
                let token = Token { term, attempt: *attempt };
                let state = inquiry.steps.entry(*step).or_insert_with(|| StepState {
                    token,
                    executor: executor.clone(),
                    earlier: Vec::new(),
                    record: None,
                });
                state.token = token;
                Ok(Applied::Leased(token))
            }
            Command::Record { step, token, record, is_final, .. } => {
                if *step >= inquiry.plan.steps.len() {
                    return Err(Refusal::NoSuchStep { step: *step });
                }
                let key = (id, *step, token.attempt);
                let given = (*token, (**record).clone(), *is_final);
                if self.records.get(&key) == Some(&given) {
                    return Ok(Applied::AlreadyDone);
                }
                if !running {
                    return Err(Refusal::Ended);
                }
                let state = inquiry.steps.get_mut(step).ok_or(Refusal::LeaseLost)?;
                if state.record.is_some() {
                    return Err(Refusal::StepDone);
                }
                if state.token != *token || self.records.contains_key(&key) {
                    return Err(Refusal::LeaseLost);
                }
                if *is_final {
                    state.record = Some((**record).clone());
                } else {
                    state.earlier.push((**record).clone());
                }
                self.records.insert(key, given);
                Ok(Applied::Done)
            }
            Command::Conclude { finding, artifacts, at, .. } => {
                let ended =
                    Status::Concluded { finding: finding.clone(), artifacts: artifacts.clone(), at: *at };
                if !running {
                    return if inquiry.status == ended {
                        Ok(Applied::AlreadyDone)
                    } else {
                        Err(Refusal::Ended)
                    };
                }
                for step in 0..inquiry.plan.steps.len() {
                    if inquiry.steps.get(&step).is_none_or(|state| state.record.is_none()) {
                        return Err(Refusal::StepsMissing { step });
                    }
                }
                inquiry.status = ended;
                Ok(Applied::Done)
            }
            Command::Abort { reason, at, .. } => {
                let ended = Status::Aborted { reason: reason.clone(), at: *at };
                if !running {
                    return if inquiry.status == ended {
                        Ok(Applied::AlreadyDone)
                    } else {
                        Err(Refusal::Ended)
                    };
                }
                inquiry.status = ended;
                Ok(Applied::Done)
            }
        }
    }
}

/// A command with small numbers, so that commands meet each other.
#[derive(Debug, Clone)]
enum Draw {
    Submit {
        inquiry: u8,
        steps: usize,
    },
    Lease {
        inquiry: u8,
        step: usize,
        attempt: u32,
    },
    Record {
        inquiry: u8,
        step: usize,
        attempt: u32,
        term_off: u64,
        value: u8,
        is_final: bool,
    },
    Conclude {
        inquiry: u8,
        reason: u8,
    },
    Abort {
        inquiry: u8,
        timed_out: bool,
    },
    /// Close and open the directory.
    Reopen,
}

fn draw() -> impl Strategy<Value = Draw> {
    let inquiry = 0..3_u8;
    prop_oneof![
        4 => (inquiry.clone(), 1..3_usize).prop_map(|(inquiry, steps)| Draw::Submit { inquiry, steps }),
        12 => (inquiry.clone(), 0..3_usize, 0..4_u32)
            .prop_map(|(inquiry, step, attempt)| Draw::Lease { inquiry, step, attempt }),
        16 => (inquiry.clone(), 0..3_usize, 1..4_u32, prop_oneof![9 => Just(0_u64), 1 => Just(1)], 0..2_u8, any::<bool>())
            .prop_map(|(inquiry, step, attempt, term_off, value, is_final)| Draw::Record {
                inquiry, step, attempt, term_off, value, is_final
            }),
        3 => (inquiry.clone(), 0..2_u8).prop_map(|(inquiry, reason)| Draw::Conclude { inquiry, reason }),
        1 => (inquiry, any::<bool>()).prop_map(|(inquiry, timed_out)| Draw::Abort { inquiry, timed_out }),
        1 => Just(Draw::Reopen),
    ]
}

fn command(draw: &Draw, manifest: &str, model: &Model) -> Option<Command> {
    let id = |inquiry: &u8| format!("q{inquiry}");
    Some(match draw {
        Draw::Submit { inquiry, steps } => submit(&id(inquiry), manifest, plan("n", *steps)),
        Draw::Lease { inquiry, step, attempt } => lease(&id(inquiry), *step, *attempt),
        Draw::Record { inquiry, step, attempt, term_off, value, is_final } => {
            let id = id(inquiry);
            let held =
                model.inquiries.get(&id).and_then(|there| there.steps.get(step)).map_or(1, |s| s.token.term);
            let token = Token { term: held + term_off, attempt: *attempt };
            record(&id, *step, token, readings(f64::from(*value)), *is_final)
        }
        Draw::Conclude { inquiry, reason } => conclude(&id(inquiry), &reason.to_string()),
        Draw::Abort { inquiry, timed_out } => {
            abort(&id(inquiry), if *timed_out { Abort::TimedOut } else { Abort::Cancelled })
        }
        Draw::Reopen => return None,
    })
}

async fn compare(draws: Vec<Draw>) -> Result<(), TestCaseError> {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut conductor = open(&data).await;
    let manifest = manifest(&conductor).await;
    let mut model = Model::default();
    for draw in draws {
        match command(&draw, &manifest, &model) {
            None => {
                conductor.shutdown().await;
                conductor = open(&data).await;
            }
            Some(command) => {
                let term = conductor.status().await.unwrap().term;
                let expected = model.apply(&command, term);
                prop_assert_eq!(conductor.propose(command).await.unwrap(), expected, "{:?}", draw);
            }
        }
    }
    for (id, expected) in &model.inquiries {
        let found = conductor.inquiry(id).await.unwrap();
        prop_assert_eq!(found.as_ref(), Some(expected));
    }
    let unfinished: Vec<&String> =
        model.order.iter().filter(|id| model.inquiries[*id].status == Status::Running).collect();
    let found = conductor.unfinished().await.unwrap();
    prop_assert_eq!(found.iter().collect::<Vec<_>>(), unfinished);
    let mut export = Vec::new();
    let checkpoint = conductor.export_ledger(&mut export).unwrap();
    prop_assert_eq!(checkpoint.size, model.accepted);
    let lines = export.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    prop_assert_eq!(verify_export(lines, None).unwrap(), checkpoint);
    conductor.shutdown().await;
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        max_shrink_iters: 200,
        rng_seed: proptest::test_runner::RngSeed::Fixed(4321),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_commands_do_what_the_model_does(draws in prop::collection::vec(draw(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(compare(draws))?;
    }
}
