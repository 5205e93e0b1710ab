//! The ledger of a host.

use std::process::ExitCode;

use anyhow::Context as _;
use inquisitor_ledger::Checkpoint;
use inquisitor_server::api::inquiries::LedgerCheckpoint;
use reqwest::Method;

use crate::args::{Global, Output};
use crate::client::Client;
use crate::print;

pub(super) async fn checkpoint(
    global: &Global,
    client: &Client,
    size: Option<u64>,
) -> anyhow::Result<ExitCode> {
    let query: Vec<_> = size.iter().map(|size| ("size", size.to_string())).collect();
    let answer = client.get(&["v1", "ledger", "checkpoint"], &query).await?;
    print::result(global.output, &answer.value, || {
        let LedgerCheckpoint { size, root } = answer.typed()?;
        let root = root.parse().context("the host's root is not a hash")?;
        Ok(Checkpoint { size, root }.to_string())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// As it comes, however much it is.
pub(super) async fn export(client: &Client) -> anyhow::Result<ExitCode> {
    let request = client.request(Method::GET, &["v1", "ledger", "export"], &[])?;
    let mut response = client.open(&request).await?;
    while let Some(chunk) = client.chunk(&mut response).await? {
        print::strangers(&chunk)?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn entries(
    global: &Global,
    client: &Client,
    from: u64,
    limit: u64,
) -> anyhow::Result<ExitCode> {
    let list = client.items(&["v1", "ledger", "entries"], &[("from", from.to_string())], Some(limit)).await?;
    if global.output != Output::Text {
        print::document(global.output, &list.items)?;
        return Ok(ExitCode::SUCCESS);
    }
    for item in &list.items {
        print::text(&inquisitor_report::printable(&item.to_string()))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn inclusion(
    global: &Global,
    client: &Client,
    index: u64,
    size: Option<u64>,
) -> anyhow::Result<ExitCode> {
    let mut query = vec![("index", index.to_string())];
    query.extend(size.map(|size| ("size", size.to_string())));
    prove(global, client, "inclusion", &query).await
}

pub(super) async fn consistency(
    global: &Global,
    client: &Client,
    from: u64,
    size: Option<u64>,
) -> anyhow::Result<ExitCode> {
    let mut query = vec![("from", from.to_string())];
    query.extend(size.map(|size| ("to", size.to_string())));
    prove(global, client, "consistency", &query).await
}

/// A proof is a document, whoever reads it.
async fn prove(
    global: &Global,
    client: &Client,
    kind: &str,
    query: &[(&str, String)],
) -> anyhow::Result<ExitCode> {
    let answer = client.get(&["v1", "ledger", "proofs", kind], query).await?;
    print::document(global.output, &answer.value)?;
    Ok(ExitCode::SUCCESS)
}
