//! `inquisitor inquiry`: inquiries of a host, and what they found.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use inquisitor_findings::format::significant;
use inquisitor_report::printable;
use inquisitor_server::api::artifacts::Artifacts;
use inquisitor_server::api::inquiries::{
    FindingDocument, InquiryDetails, InquiryOrigin, InquiryStatus, InquirySummary,
};
use inquisitor_server::api::readings::{ReadingItem, ReadingUse};
use reqwest::Method;
use reqwest::header::ACCEPT;
use serde_json::{Value, json};

use crate::args::client::{InquiryArgs, InquiryCommand, InquiryList, Readings};
use crate::args::remote::Remote;
use crate::args::{Global, Output};
use crate::client::{Client, Following, HostEvent};
use crate::commands::watch;
use crate::settings::Settings;
use crate::table::{Table, fields, time};
use crate::{exit, print};

/// Bytes of an artifact.
const MAX_ARTIFACT: u64 = 1 << 30;
/// Readings that are printed where nothing else was said.
const READINGS: u64 = 50;

pub(crate) async fn run(
    global: &Global,
    settings: &Settings,
    remote: &Remote,
    args: &InquiryArgs,
) -> anyhow::Result<ExitCode> {
    let client = Client::new(remote, settings)?;
    match &args.command {
        InquiryCommand::List(args) => list(global, &client, args).await?,
        InquiryCommand::Show { id } => show(global, &client, id).await?,
        InquiryCommand::Events { id, follow, after } => events(global, &client, id, *follow, *after).await?,
        InquiryCommand::Cancel { id } => cancel(global, &client, id).await?,
        InquiryCommand::Findings { id } => return findings(global, &client, id).await,
        InquiryCommand::Readings(args) if args.csv => readings_csv(&client, args).await?,
        InquiryCommand::Readings(args) => readings(global, &client, args).await?,
        InquiryCommand::Artifacts { id, dir } => artifacts(global, &client, id, dir.as_deref()).await?,
        InquiryCommand::Manifest { id } => {
            let request = client.request(Method::GET, &["v1", "inquiries", id, "manifest"], &[])?;
            print::strangers(&client.whole(client.open(&request).await?).await?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(global: &Global, client: &Client, args: &InquiryList) -> anyhow::Result<()> {
    let state = args.state.map(|state| state.as_str().to_owned());
    let given = [
        ("state", &state),
        ("tag", &args.tag),
        ("tenant", &args.tenant),
        ("manifest", &args.manifest),
        ("kind", &args.kind),
    ];
    let query: Vec<(&str, String)> =
        given.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect();
    let limit = if args.all { None } else { Some(args.limit) };
    let list = client.items(&["v1", "inquiries"], &query, limit).await?;
    print::result(global.output, &list.items, || Ok(table(&list.typed()?)))?;
    if list.more && global.output == Output::Text {
        print::note(&format!("the first {} are shown; --all lists them all", list.items.len()));
    }
    Ok(())
}

fn table(inquiries: &[InquirySummary]) -> String {
    let mut table = Table::new(&["id", "status", "steps", "tenant", "submitted", "name"]).right(2);
    for inquiry in inquiries {
        let steps = format!("{}/{}", inquiry.recorded, inquiry.steps);
        table.row([
            &inquiry.id,
            &status(inquiry),
            &steps,
            &inquiry.tenant,
            &time(&inquiry.submitted),
            &inquiry.name,
        ]);
    }
    table.text("no inquiries")
}

/// How far an inquiry is, in a word: the verdict where there is one.
fn status(inquiry: &InquirySummary) -> String {
    match (inquiry.status, &inquiry.verdict, &inquiry.reason) {
        (InquiryStatus::Running, ..) if inquiry.cancel_requested => "ending".to_owned(),
        (InquiryStatus::Running, ..) if inquiry.continuous => "observing".to_owned(),
        (InquiryStatus::Running, ..) => "running".to_owned(),
        (InquiryStatus::Concluded, Some(verdict), _) => print::word(verdict),
        (InquiryStatus::Aborted, _, Some(reason)) => format!("aborted: {reason}"),
        (InquiryStatus::Concluded, ..) => "concluded".to_owned(),
        (InquiryStatus::Aborted, ..) => "aborted".to_owned(),
    }
}

async fn show(global: &Global, client: &Client, id: &str) -> anyhow::Result<()> {
    let answer = client.get(&["v1", "inquiries", id], &[]).await?;
    if global.output != Output::Text {
        return print::document(global.output, &answer.value);
    }
    let details: InquiryDetails = answer.typed()?;
    print::text(&described(&details))?;
    let interim = details.interim.as_ref().map(|interim| &interim.finding);
    if let Some(finding) = details.finding.as_ref().or(interim) {
        let note = if details.finding.is_none() { "\nThe finding so far:\n" } else { "" };
        print::text(note)?;
        watch::show_finding(global, &details, finding, None)?;
    }
    Ok(())
}

fn described(details: &InquiryDetails) -> String {
    let inquiry = &details.inquiry;
    let origin = match &inquiry.origin {
        InquiryOrigin::Local => "the command line of the host".to_owned(),
        InquiryOrigin::Key { key } => format!("key {key}"),
        InquiryOrigin::Declared { file } => format!("declared in {file}"),
    };
    let head = fields(&[
        ("id", inquiry.id.clone()),
        ("name", inquiry.name.clone()),
        ("manifest", format!("{} (sha256:{})", inquiry.manifest_id, inquiry.manifest_digest)),
        ("status", status(inquiry)),
        ("why", details.message.clone().unwrap_or_default()),
        ("tenant", inquiry.tenant.clone()),
        ("kind", inquiry.kind.clone().unwrap_or_default()),
        ("tags", inquiry.tags.join(", ")),
        ("asked by", origin),
        ("submitted", time(&inquiry.submitted)),
        ("ended", inquiry.ended.as_deref().map(time).unwrap_or_default()),
        ("missed", if inquiry.missed > 0 { format!("{} rounds", inquiry.missed) } else { String::new() }),
        ("artifacts", details.artifacts.join(", ")),
    ]);
    let mut steps =
        Table::new(&["step", "phase", "instrument", "outcome", "attempts", "readings"]).right(4).right(5);
    for step in &details.step_details {
        let outcome = match &step.message {
            Some(message) => format!("{}: {message}", step.outcome),
            None => step.outcome.clone(),
        };
        steps.row([
            &step.step.name,
            &step.step.phase,
            step.step.instrument.as_deref().unwrap_or_default(),
            &outcome,
            &step.attempts.to_string(),
            &step.readings.to_string(),
        ]);
    }
    format!("{head}\n{}\n", steps.text("no steps"))
}

async fn events(
    global: &Global,
    client: &Client,
    id: &str,
    follow: bool,
    after: Option<u64>,
) -> anyhow::Result<()> {
    let mut following = Following::new(client, id, after, follow);
    loop {
        let event = tokio::select! {
            event = following.next() => event?,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        match event {
            Some(event) => print_event(global.output, &event)?,
            None => return Ok(()),
        }
    }
}

/// An event in a line; for programs as one document of many.
fn print_event(output: Output, event: &HostEvent) -> anyhow::Result<()> {
    let document = json!({ "index": event.index, "event": event.kind, "data": event.data });
    match output {
        Output::Text => print::text(&event_line(event)),
        Output::Json => print::json_line(&document),
        Output::Yaml => {
            print::text("---")?;
            print::document(output, &document)
        }
    }
}

/// Index, time and kind, then what else the event says.
fn event_line(event: &HostEvent) -> String {
    let index = event.index.map(|index| index.to_string()).unwrap_or_default();
    let mut line = format!("{index:>8}  ");
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if let Some(at) = event.data.get("time").and_then(Value::as_str) {
        let _ = write!(line, "{}  ", time(at));
    }
    line.push_str(&event.kind);
    for (name, value) in event.data.as_object().into_iter().flatten() {
        if !matches!(name.as_str(), "index" | "time" | "position") {
            let _ = write!(line, "  {name}={}", text(value));
        }
    }
    printable(&line).into_owned()
}

async fn cancel(global: &Global, client: &Client, id: &str) -> anyhow::Result<()> {
    let request = client.request(Method::POST, &["v1", "inquiries", id, "cancel"], &[])?.safe_to_repeat();
    let answer = client.answer(&request).await?;
    print::result(global.output, &answer.value, || Ok(format!("inquiry {id} was asked to end")))
}

async fn findings(global: &Global, client: &Client, id: &str) -> anyhow::Result<ExitCode> {
    let answer = client.get(&["v1", "inquiries", id, "findings"], &[]).await?;
    let document: FindingDocument = answer.typed()?;
    if global.output == Output::Text {
        if document.interim {
            print::note("the inquiry goes on; this is its finding so far");
        }
        let details: InquiryDetails = client.get(&["v1", "inquiries", id], &[]).await?.typed()?;
        let provenance = &document.provenance;
        let checkpoint = Some((provenance.checkpoint.size, provenance.checkpoint.root.as_str()));
        watch::show_finding(global, &details, &document.finding, checkpoint)?;
        if let Some(index) = provenance.index {
            print::text(&format!("Proof    inquisitor ledger prove {index}"))?;
        }
    } else {
        print::document(global.output, &answer.value)?;
    }
    Ok(exit::of(document.finding.verdict))
}

fn filters(args: &Readings) -> Vec<(&'static str, String)> {
    let given = [("step", &args.step), ("instrument", &args.instrument), ("quantity", &args.quantity)];
    given.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
}

async fn readings(global: &Global, client: &Client, args: &Readings) -> anyhow::Result<()> {
    let limit = args.limit.unwrap_or(READINGS);
    let list = client.items(&["v1", "inquiries", &args.id, "readings"], &filters(args), Some(limit)).await?;
    print::result(global.output, &list.items, || Ok(reading_table(&list.typed()?)))?;
    if list.more && global.output == Output::Text {
        print::note(&format!("the first {} are shown; --limit shows more, --csv all", list.items.len()));
    }
    Ok(())
}

fn reading_table(readings: &[ReadingItem]) -> String {
    let mut table =
        Table::new(&["time", "instrument", "step", "quantity", "value", "unit", "u", "use"]).right(4);
    for reading in readings {
        let value = reading.value.as_str().map_or_else(|| reading.value.to_string(), str::to_owned);
        let used = match (&reading.used, &reading.exclusion) {
            (ReadingUse::Excluded, Some(exclusion)) => format!("excluded: {}", exclusion.rule),
            (used, _) => print::word(used).replace('_', " "),
        };
        let uncertainty = reading.uncertainty.map(|u| significant(u, 3)).unwrap_or_default();
        table.row([
            &time(&reading.time),
            &reading.instrument,
            &reading.step,
            &reading.quantity,
            &value,
            &reading.unit,
            &uncertainty,
            &used,
        ]);
    }
    table.text("no readings")
}

/// As it comes, however much it is.
async fn readings_csv(client: &Client, args: &Readings) -> anyhow::Result<()> {
    let request = client
        .request(Method::GET, &["v1", "inquiries", &args.id, "readings"], &filters(args))?
        .header(ACCEPT, "text/csv")?;
    let mut response = client.open(&request).await?;
    while let Some(chunk) = client.chunk(&mut response).await? {
        print::strangers(&chunk)?;
    }
    Ok(())
}

async fn artifacts(global: &Global, client: &Client, id: &str, dir: Option<&Path>) -> anyhow::Result<()> {
    let answer = client.get(&["v1", "inquiries", id, "artifacts"], &[]).await?;
    let artifacts: Artifacts = answer.typed()?;
    if let Some(dir) = dir {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make the folder {}", dir.display()))?;
        for artifact in &artifacts.items {
            fetch(client, id, &artifact.name, dir).await?;
        }
    }
    print::result(global.output, &answer.value, || {
        let mut table = Table::new(&["name", "type", "sha256"]);
        for artifact in &artifacts.items {
            table.row([&artifact.name, &artifact.media_type, &artifact.digest]);
        }
        Ok(table.text("no artifacts"))
    })
}

/// Whether a name that a host chose is one of a file, not a way to another folder, and not one that is read by itself, as
/// `.bashrc` is.
fn is_plain_name(name: &str) -> bool {
    Path::new(name).file_name() == Some(name.as_ref())
        && !name.starts_with('.')
        && !name.contains(['/', '\\'])
        && printable(name) == name
}

/// Fetch a file, whole or not at all.
async fn fetch(client: &Client, id: &str, name: &str, dir: &Path) -> anyhow::Result<()> {
    if !is_plain_name(name) {
        bail!("the host has an artifact `{}`, which is no name of a file", printable(name));
    }
    let request = client.request(Method::GET, &["v1", "inquiries", id, "artifacts", name], &[])?;
    let mut response = client.open(&request).await?;
    let path = dir.join(name);
    let cannot = || format!("cannot write {}", path.display());
    let mut file = tempfile::NamedTempFile::new_in(dir).with_context(cannot)?;
    let mut size = 0;
    while let Some(chunk) = client.chunk(&mut response).await? {
        size += chunk.len() as u64;
        if size > MAX_ARTIFACT {
            bail!("the artifact `{name}` is larger than {}", print::bytes(MAX_ARTIFACT));
        }
        file.write_all(&chunk).with_context(cannot)?;
    }
    file.persist(&path).with_context(cannot)?;
    print::note(&format!("wrote {}", path.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_artifact_is_a_file_in_the_folder_and_no_other() {
        for name in ["report.md", "Übersicht 1.svg", "-x"] {
            assert!(is_plain_name(name), "{name}");
        }
        for name in ["", ".", "..", "../a", "/a", "a/b", "a/", "a\\b", ".bashrc", "a\u{1b}[2J", "a\nb", "a\0"]
        {
            assert!(!is_plain_name(name), "{name:?}");
        }
    }
}
