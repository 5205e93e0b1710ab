//! Following an inquiry of a host to its end, with the display of `run`.

use std::collections::HashMap;
use std::process::ExitCode;

use inquisitor_report::{StepOutcome, Summary};
use inquisitor_server::api::events::{DurableEvent, EndEvent, LogEvent, ProgressEvent};
use inquisitor_server::api::inquiries::{FindingDocument, InquiryDetails};
use jiff::Timestamp;
use serde::de::DeserializeOwned;

use crate::args::{Global, Output};
use crate::client::{Answer, Client, Following, HostEvent};
use crate::progress::{self, Progress};
use crate::{exit, print};

/// Follow an inquiry until it has ended, and print its finding. Returns the code of its verdict.
pub(crate) async fn to_its_end(
    global: &Global,
    client: &Client,
    id: &str,
    quiet: bool,
) -> anyhow::Result<ExitCode> {
    let display = progress::display(quiet);
    let followed = async {
        let details: InquiryDetails = client.get(&["v1", "inquiries", id], &[]).await?.typed()?;
        display.show(&Progress::Started { steps: details.step_details.len(), recorded: 0 });
        let mut watched = Watched::default();
        let mut following = Following::new(client, id, None, true);
        while let Some(event) = following.next().await? {
            if let Some(progress) = watched.progress(&event) {
                display.show(&progress);
            }
        }
        anyhow::Ok(())
    };
    let result = tokio::select! {
        result = followed => result.map(|()| true),
        _ = tokio::signal::ctrl_c() => Ok(false),
    };
    display.show(&Progress::Ended);
    if !result? {
        print::note(&format!(
            "the inquiry goes on; `inquisitor inquiry events {id} --follow` follows it again"
        ));
        return Ok(ExitCode::from(exit::INTERRUPTED));
    }
    let answer = client.get(&["v1", "inquiries", id], &[]).await?;
    conclusion(global, client, &answer).await
}

/// Print an inquiry that has ended: its finding, or why there is none.
async fn conclusion(global: &Global, client: &Client, answer: &Answer) -> anyhow::Result<ExitCode> {
    let details: InquiryDetails = answer.typed()?;
    if global.output != Output::Text {
        print::document(global.output, &answer.value)?;
    }
    let Some(finding) = &details.finding else {
        let why =
            details.message.as_deref().or(details.inquiry.reason.as_deref()).unwrap_or("no reason is known");
        print::note(&format!("error: there is no finding: {}", inquisitor_report::printable(why)));
        for step in details.step_details.iter().filter(|step| step.message.is_some()) {
            let message = step.message.as_deref().unwrap_or_default();
            let line = format!("  {}: {message}", step.step.name);
            print::note(&inquisitor_report::printable(&line));
        }
        return Ok(ExitCode::from(exit::ERROR));
    };
    if global.output == Output::Text {
        let document: FindingDocument =
            client.get(&["v1", "inquiries", &details.inquiry.id, "findings"], &[]).await?.typed()?;
        let checkpoint = &document.provenance.checkpoint;
        let checkpoint = Some((checkpoint.size, checkpoint.root.as_str()));
        show_finding(global, &details, finding, checkpoint)?;
    }
    Ok(exit::of(finding.verdict))
}

/// The summary of a finding, as `run` prints it.
pub(crate) fn show_finding(
    global: &Global,
    details: &InquiryDetails,
    finding: &inquisitor_findings::finding::Finding,
    checkpoint: Option<(u64, &str)>,
) -> anyhow::Result<()> {
    let steps: Vec<StepOutcome> = details
        .step_details
        .iter()
        .map(|step| StepOutcome {
            step: step.step.name.clone(),
            phase: step.step.phase.clone(),
            instrument: step.step.instrument.clone(),
            attempts: step.attempts,
            outcome: step.outcome.clone(),
            message: step.message.clone(),
            readings: step.readings,
        })
        .collect();
    print::finding(
        global,
        &Summary {
            inquiry: &details.inquiry.id,
            name: &details.inquiry.name,
            belief: None,
            finding,
            checkpoint,
            steps: &steps,
        },
    )
}

/// The outcome of an attempt that brought what it was to bring.
const COMPLETED: &str = "completed";

/// What is remembered between the events of an inquiry.
#[derive(Default)]
pub(crate) struct Watched {
    /// When the current attempt of each step began.
    began: HashMap<String, Timestamp>,
}

impl Watched {
    /// What there is to show of an event. A host of another version may say what this one does not know; it is left out.
    pub(crate) fn progress(&mut self, event: &HostEvent) -> Option<Progress> {
        match event.kind.as_str() {
            "log" => {
                let LogEvent { step, line } = data(event)?;
                let is_warning = matches!(line.level.as_str(), "warn" | "error");
                let attributes: String =
                    line.attributes.iter().map(|(name, value)| format!(" {name}={value}")).collect();
                let line = format!("{}: {}{attributes}", line.level, line.message);
                Some(Progress::StepLog { step, line, is_warning })
            }
            "progress" => {
                let ProgressEvent { step, fraction, message } = data(event)?;
                Some(Progress::StepAdvanced { step, fraction, message })
            }
            "end" => {
                let _: EndEvent = data(event)?;
                Some(Progress::Ended)
            }
            kind => self.durable(kind, data(event)?),
        }
    }

    fn durable(&mut self, kind: &str, event: DurableEvent) -> Option<Progress> {
        match kind {
            "step-leased" => {
                let step = event.step?;
                if let Ok(time) = event.time.parse() {
                    self.began.insert(step.clone(), time);
                }
                Some(Progress::StepStarted { step })
            }
            "step-recorded" => {
                let step = event.step?;
                let took_ms =
                    self.began.remove(&step).zip(event.time.parse::<Timestamp>().ok()).and_then(
                        |(began, ended)| u64::try_from(ended.duration_since(began).as_millis()).ok(),
                    );
                let outcome = event.outcome.unwrap_or_default();
                if event.is_final == Some(false) {
                    let attempt = event.attempt.unwrap_or(1);
                    return Some(Progress::StepRetried { step, attempt, failure: outcome, wait_ms: None });
                }
                let readings = usize::try_from(event.readings.unwrap_or(0)).unwrap_or(usize::MAX);
                let failure = (outcome != COMPLETED).then_some(outcome);
                Some(Progress::StepRecorded {
                    step,
                    round: event.round.unwrap_or(0),
                    readings,
                    failure,
                    took_ms,
                })
            }
            "finding-updated" => {
                Some(Progress::Said(format!("the finding so far: {}", event.verdict?.to_uppercase())))
            }
            "inquiry-cancel-requested" => Some(Progress::Said("somebody asked for it to end".to_owned())),
            _ => None,
        }
    }
}

fn data<T: DeserializeOwned>(event: &HostEvent) -> Option<T> {
    T::deserialize(&event.data).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(kind: &str, data: serde_json::Value) -> HostEvent {
        HostEvent { index: Some(1), kind: kind.to_owned(), data }
    }

    #[test]
    fn the_time_of_a_step_is_from_its_lease_to_its_record() {
        let mut watched = Watched::default();
        let leased =
            json!({ "index": 1, "time": "2026-11-24T19:00:00.5Z", "step": "a", "attempt": 1, "round": 0 });
        assert_eq!(
            watched.progress(&event("step-leased", leased)),
            Some(Progress::StepStarted { step: "a".to_owned() })
        );
        let recorded = json!({
            "index": 2, "time": "2026-11-24T19:00:01.25Z", "step": "a", "outcome": "completed", "final": true,
            "readings": 3, "round": 0,
        });
        assert_eq!(
            watched.progress(&event("step-recorded", recorded)),
            Some(Progress::StepRecorded {
                step: "a".to_owned(),
                round: 0,
                readings: 3,
                failure: None,
                took_ms: Some(750)
            })
        );
    }

    #[test]
    fn what_this_version_does_not_know_is_left_out() {
        let mut watched = Watched::default();
        for kind in ["something-new", "step-recorded", "log"] {
            assert_eq!(watched.progress(&event(kind, json!({ "index": 1, "time": "t" }))), None);
            assert_eq!(watched.progress(&event(kind, json!("text"))), None);
        }
    }
}
