//! `inquisitor plugin push`, `rm`, and `list` of a host.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use futures::TryStreamExt as _;
use inquisitor_server::api::plugins::{Plugin, PluginSource};
use inquisitor_server::api::uploads::Upload;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use reqwest::{Method, StatusCode};

use crate::args::Global;
use crate::args::plugin::{PluginList, PluginPush};
use crate::args::remote::Remote;
use crate::client::Client;
use crate::print;
use crate::progress::{of_bytes, style};
use crate::settings::Settings;
use crate::table::Table;

/// How long an upload may take, and the compiling after it.
const PATIENCE: Duration = Duration::from_secs(1800);

pub(crate) async fn push(
    global: &Global,
    settings: &Settings,
    remote: &Remote,
    args: &PluginPush,
) -> anyhow::Result<ExitCode> {
    let client = Client::new(remote, settings)?;
    let query: Vec<(&str, String)> = args.tenant.iter().map(|tenant| ("tenant", tenant.clone())).collect();
    let cannot_read = || format!("cannot read {}", args.file.display());
    let file = tokio::fs::File::open(&args.file).await.with_context(cannot_read)?;
    let length = file.metadata().await.with_context(cannot_read)?.len();
    let mut request = client
        .request(Method::POST, &["v1", "plugins"], &query)?
        .header(CONTENT_TYPE, "application/wasm")?
        .header(CONTENT_LENGTH, &length.to_string())?;
    if args.in_background {
        request = request.header(HeaderName::from_static("prefer"), "respond-async")?;
    }
    let bar = of_bytes(&args.file, length, args.quiet);
    let counting = bar.clone();
    let pieces = tokio_util::io::ReaderStream::new(file).inspect_ok(move |piece| {
        counting.inc(piece.len() as u64);
        if counting.position() >= length {
            counting.set_style(style("{spinner} {prefix}  sent; the host checks and compiles it  {elapsed}"));
            counting.enable_steady_tick(Duration::from_millis(100));
        }
    });
    let answer = client.upload(request, reqwest::Body::wrap_stream(pieces), PATIENCE).await;
    bar.finish_and_clear();
    let answer = answer.with_context(|| format!("cannot install {}", args.file.display()))?;
    if answer.status == StatusCode::ACCEPTED {
        let upload: Upload = answer.typed()?;
        print::result(global.output, &answer.value, || {
            Ok(format!(
                "the host has it; {}/v1/uploads/{} says what became of it",
                client.server(),
                upload.id
            ))
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let plugin: Plugin = answer.typed()?;
    let what = if answer.status == StatusCode::CREATED { "installed" } else { "was installed already" };
    print::result(global.output, &answer.value, || {
        let whose =
            plugin.tenant.as_deref().map_or("everybody".to_owned(), |tenant| format!("tenant {tenant}"));
        Ok(format!("{} {} {what} for {whose} (sha256:{})", plugin.name, plugin.version, plugin.digest))
    })?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn remove(
    settings: &Settings,
    remote: &Remote,
    reference: &str,
) -> anyhow::Result<ExitCode> {
    let client = Client::new(remote, settings)?;
    client.answer(&client.request(Method::DELETE, &["v1", "plugins", reference], &[])?).await?;
    print::note(&format!("removed {reference}"));
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn list(
    global: &Global,
    settings: &Settings,
    remote: &Remote,
    args: &PluginList,
) -> anyhow::Result<ExitCode> {
    let client = Client::new(remote, settings)?;
    let query: Vec<(&str, String)> = args.name.iter().map(|name| ("name", name.clone())).collect();
    let list = client.items(&["v1", "plugins"], &query, None).await?;
    print::result(global.output, &list.items, || Ok(table(&list.typed()?)))?;
    Ok(ExitCode::SUCCESS)
}

fn table(plugins: &[Plugin]) -> String {
    let mut table = Table::new(&["name", "version", "from", "summary"]);
    for plugin in plugins {
        let from = match (&plugin.source, &plugin.tenant) {
            (PluginSource::Shipped, _) => "host".to_owned(),
            (PluginSource::Uploaded, None) => "everybody".to_owned(),
            (PluginSource::Uploaded, Some(tenant)) => tenant.clone(),
        };
        table.row([&plugin.name, &plugin.version, &from, &plugin.summary]);
    }
    table.text("no plugins")
}
