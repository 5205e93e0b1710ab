//! `inquisitor run`: one inquiry, from its manifest to its finding, on an engine in this process.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use inquisitor_conductor::Conductor;
use inquisitor_engine::events::Observer;
use inquisitor_engine::journal::{Abort, Checkpoint, Inquiry, InquiryId, Journal, Status};
use inquisitor_engine::secrets::AllowedSecrets;
use inquisitor_engine::{Drive, Engine, EngineError, Submission, outcomes};
use inquisitor_manifest::plan::Plan;
use inquisitor_report::{StepOutcome, Summary};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::args::{Global, Output, Run};
use crate::commands::signals::Signals;
use crate::commands::validate;
use crate::settings::Settings;
use crate::{exit, host, input, print, progress};

pub(crate) async fn run(global: &Global, settings: &Settings, args: &Run) -> anyhow::Result<ExitCode> {
    let manifest = input::text(&args.manifest)?;
    let runtime = host::runtime(args.sources.cache_dir.as_deref(), settings)?;
    let catalogue = host::catalogue(&runtime, &args.sources, settings).await?;
    let validated = inquisitor_manifest::validate(&manifest.name, &manifest.text, catalogue.as_ref());
    if !validated.diagnostics.is_empty() {
        print::note(&validate::rendered(&validated, print::color_stderr(global)));
    }
    let Some(plan) = validated.plan else {
        if global.output != Output::Text {
            print::document(global.output, &validate::Report::new(&manifest.name, &validated.diagnostics))?;
        }
        return Ok(ExitCode::from(exit::ERROR));
    };

    if let Some(note) = observed_once(&plan) {
        print::note(&note);
    }
    // Better to fail before the first reading than after the last.
    let artifact_dir = args.artifact_dir.as_ref().or(settings.artifact_dir.as_ref());
    if let Some(folder) = artifact_dir {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }

    // A temporary folder lives exactly as long as this function.
    let mut temporary = None;
    let data_dir: PathBuf = match args.data_dir.as_ref().or(settings.data_dir.as_ref()) {
        Some(folder) => folder.clone(),
        None => temporary
            .insert(
                tempfile::Builder::new()
                    .prefix("inquisitor-")
                    .tempdir()
                    .context("cannot make a temporary folder; name one with --data-dir")?,
            )
            .path()
            .to_owned(),
    };
    let host = host::open(&data_dir, runtime, catalogue, secrets(args, settings)).await?;
    let base_dir = Some(manifest.folder.clone());
    let submission = Submission::local(plan, manifest.text, base_dir);
    let outcome = drive(&host.engine, &host.conductor, submission, args.quiet).await;
    let shown = match outcome {
        Ok(Some(driven)) => show(global, artifact_dir.map(PathBuf::as_path), &host.conductor, &driven).await,
        Ok(None) => {
            let hint = if temporary.is_some() { "" } else { "; run the same command again to finish it" };
            print::note(&format!("interrupted{hint}"));
            Ok(ExitCode::from(exit::INTERRUPTED))
        }
        Err(error) => Err(error),
    };
    host.conductor.shutdown().await;
    shown
}

fn secrets(args: &Run, settings: &Settings) -> AllowedSecrets {
    AllowedSecrets {
        allowed: args.allow_secret.iter().chain(&settings.allow_secret).cloned().collect(),
        directory: args.secret_dir.clone().or_else(|| settings.secret_dir.clone()),
    }
}

/// Finish what was interrupted in this data directory, then run the manifest unless that was it. None if interrupted.
async fn drive(
    engine: &Engine,
    conductor: &Conductor,
    submission: Submission,
    quiet: bool,
) -> anyhow::Result<Option<Driven>> {
    let observer: Arc<dyn Observer> = Arc::new(progress::display(quiet));
    let interrupt = CancellationToken::new();
    let work = async {
        let mut resumed = None;
        for id in conductor.unfinished().await? {
            let driven = one(engine, conductor, &id, observer.clone()).await?;
            if is_of(&driven.inquiry.plan, &submission.plan) {
                resumed = Some(driven);
            }
        }
        if let Some(driven) = resumed {
            return anyhow::Ok(driven);
        }
        let id: InquiryId = engine.submit(submission).await?.inquiry;
        one(engine, conductor, &id, observer.clone()).await
    };
    let signal = interrupt.clone();
    let mut signals = Signals::new().context("cannot listen for signals")?;
    let listener = tokio::spawn(async move {
        signals.next().await;
        signal.cancel();
    });
    let result = tokio::select! {
        result = work => result.map(Some),
        // The work is dropped where it stands; every record so far is durable, and the rest is done next time.
        () = interrupt.cancelled() => Ok(None),
    };
    listener.abort();
    result
}

/// An inquiry that has ended.
struct Driven {
    inquiry: Inquiry,
    /// Whether its reports are where the manifest wants them.
    delivered: bool,
}

/// Drive one inquiry to its end. Reports that cannot be written to their destination are said, and cost no finding.
async fn one(
    engine: &Engine,
    conductor: &Conductor,
    id: &str,
    observer: Arc<dyn Observer>,
) -> anyhow::Result<Driven> {
    match engine.drive(id, observer, Drive::once()).await {
        Ok(inquiry) => Ok(Driven { inquiry, delivered: true }),
        Err(error @ EngineError::Destination { .. }) => {
            print::note(&format!("error: {error}"));
            let inquiry =
                conductor.inquiry(id).await?.with_context(|| format!("there is no inquiry {id}"))?;
            Ok(Driven { inquiry, delivered: false })
        }
        Err(error) => Err(error.into()),
    }
}

/// What to say of instruments that the manifest wants observed again and again: this command comes to one finding and ends.
fn observed_once(plan: &Plan) -> Option<String> {
    let continuous: Vec<&str> = plan
        .instruments
        .iter()
        .filter(|(_, instrument)| instrument.probe_interval.is_some())
        .map(|(id, _)| id.as_str())
        .collect();
    if continuous.is_empty() {
        return None;
    }
    Some(format!(
        "note: `run` comes to one finding and ends; the probeInterval of {} is not used, and each step observes once",
        continuous.join(", ")
    ))
}

fn is_of(interrupted: &Plan, submitted: &Plan) -> bool {
    interrupted.manifest_digest == submitted.manifest_digest
}

/// What programs get.
#[derive(Serialize)]
struct Document<'a> {
    inquiry: &'a str,
    manifest: &'a str,
    name: &'a str,
    manifest_digest: &'a str,
    #[serde(flatten)]
    status: &'a Status,
    steps: &'a [StepOutcome],
    instruments: &'a std::collections::BTreeMap<String, inquisitor_manifest::plan::PlannedInstrument>,
    ledger: &'a Checkpoint,
}

async fn show(
    global: &Global,
    artifact_dir: Option<&Path>,
    conductor: &Conductor,
    driven: &Driven,
) -> anyhow::Result<ExitCode> {
    let inquiry = &driven.inquiry;
    let ledger = conductor.checkpoint().await?;
    let steps = outcomes(inquiry);
    if global.output != Output::Text {
        let document = Document {
            inquiry: &inquiry.id,
            manifest: &inquiry.plan.manifest_id,
            name: &inquiry.plan.name,
            manifest_digest: &inquiry.plan.manifest_digest,
            status: &inquiry.status,
            steps: &steps,
            instruments: &inquiry.plan.instruments,
            ledger: &ledger,
        };
        print::document(global.output, &document)?;
    }
    match &inquiry.status {
        Status::Concluded { finding, .. } => {
            if global.output == Output::Text {
                let summary = Summary {
                    inquiry: &inquiry.id,
                    name: &inquiry.plan.name,
                    belief: inquiry.plan.belief.as_ref(),
                    finding,
                    checkpoint: Some((ledger.size, ledger.root.as_str())),
                    steps: &steps,
                };
                print::finding(global, &summary)?;
            }
            // After the finding: whatever becomes of the files, it is said.
            if let Some(folder) = artifact_dir {
                write_artifacts(conductor, inquiry, folder).await?;
            }
            Ok(if driven.delivered { exit::of(finding.verdict) } else { ExitCode::from(exit::ERROR) })
        }
        Status::Aborted { reason, .. } => {
            print::note(&format!("error: {}", aborted(reason)));
            for step in steps.iter().filter(|step| step.message.is_some()) {
                print::note(&format!("  {}: {}", step.step, step.message.as_deref().unwrap_or_default()));
            }
            Ok(ExitCode::from(exit::ERROR))
        }
        Status::Running => bail!("the inquiry {} is still running", inquiry.id),
    }
}

fn aborted(reason: &Abort) -> String {
    match reason {
        Abort::Cancelled => "the inquiry was cancelled".to_owned(),
        Abort::TimedOut => "the inquiry reached its time limit (execution.timeout)".to_owned(),
        Abort::Preflight { message } => format!("a preflight check did not pass: {message}"),
        Abort::Broken { step, message } => {
            format!("the step `{step}` failed, and break_on_failure ends the inquiry: {message}")
        }
    }
}

async fn write_artifacts(conductor: &Conductor, inquiry: &Inquiry, folder: &Path) -> anyhow::Result<()> {
    let Status::Concluded { artifacts, .. } = &inquiry.status else { return Ok(()) };
    let folder = folder.join(&inquiry.id);
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    for (name, digest) in artifacts {
        let bytes = conductor.blob(digest).await?;
        let file = folder.join(name);
        std::fs::write(&file, bytes).with_context(|| format!("cannot write {}", file.display()))?;
        print::note(&format!("wrote {}", file.display()));
    }
    Ok(())
}
