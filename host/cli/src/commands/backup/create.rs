//! `inquisitor backup create`.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use indicatif::ProgressBar;
use inquisitor_conductor::{Backup, Verified};
use reqwest::{Method, Response};
use serde_json::json;

use super::{bar, shown};
use crate::args::Global;
use crate::args::backup::Create;
use crate::args::remote::Remote;
use crate::client::Client;
use crate::print;
use crate::settings::Settings;

/// How long a host may take until the first byte comes: it copies its state first, and gets blobs that it lacks.
const PATIENCE: Duration = Duration::from_secs(600);

pub(super) async fn run(
    global: &Global,
    settings: &Settings,
    remote: &Remote,
    args: &Create,
) -> anyhow::Result<ExitCode> {
    let mut from = match &args.data_dir {
        Some(_) if remote.is_named() => {
            bail!("--data-dir and a server are two places to back up: leave one out")
        }
        Some(folder) => Origin::folder(folder, args.uncommitted).await?,
        None => Origin::host(Client::new(remote, settings)?).await?,
    };
    if args.file == Path::new("-") {
        let bar = bar(Path::new("backup"), from.bytes(), args.quiet);
        // Nothing else may follow on standard output.
        print::begun();
        copy(&mut from, &bar, &mut std::io::stdout().lock()).await.context("the backup is not whole")?;
        return Ok(ExitCode::SUCCESS);
    }
    let Verified { manifest, bytes } = write(&mut from, args).await?;
    let document = json!({ "file": args.file, "bytes": bytes, "manifest": manifest });
    print::result(global.output, &document, || {
        Ok(format!("{}\nverified and written to {}", shown(&manifest, bytes), args.file.display()))
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Writes to a file that gets its name once it is whole and on the disk.
async fn write(from: &mut Origin, args: &Create) -> anyhow::Result<Verified> {
    let file = &args.file;
    let cannot = || format!("cannot write {}", file.display());
    let occupied = || format!("{} is there already; name another file", file.display());
    let Some(name) = file.file_name() else { bail!("{} is no file's name", file.display()) };
    if file.symlink_metadata().is_ok() {
        bail!("{}", occupied());
    }
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut draft = tempfile::Builder::new()
        .prefix(&format!(".{}.", name.to_string_lossy()))
        .suffix(".part")
        .tempfile_in(folder)
        .with_context(cannot)?;
    let bar = bar(file, from.bytes(), args.quiet);
    copy(from, &bar, draft.as_file_mut()).await.with_context(cannot)?;
    bar.finish_and_clear();
    draft.as_file().sync_all().with_context(cannot)?;
    let verified = verified(draft.as_file().try_clone().with_context(cannot)?).await?;
    draft.persist_noclobber(file).map_err(|error| error.error).with_context(occupied)?;
    File::open(folder).and_then(|folder| folder.sync_all()).with_context(cannot)?;
    Ok(verified)
}

/// What was written is what is read.
async fn verified(mut file: File) -> anyhow::Result<Verified> {
    let verify = move || {
        file.seek(SeekFrom::Start(0)).context("cannot read the backup again")?;
        let verified = inquisitor_conductor::verify(file, None);
        verified.context("what was received is no good backup; nothing is kept of it")
    };
    tokio::task::spawn_blocking(verify).await?
}

async fn copy(from: &mut Origin, bar: &ProgressBar, out: &mut impl Write) -> anyhow::Result<()> {
    let mut bytes = 0;
    while let Some(piece) = from.next().await? {
        out.write_all(&piece)?;
        bytes += piece.len() as u64;
        bar.set_position(bytes);
    }
    out.flush()?;
    if bytes < from.bytes() {
        bail!("only {bytes} of {} bytes came; the host's log says why", from.bytes());
    }
    Ok(())
}

/// Where a backup comes from.
enum Origin {
    Host { client: Box<Client>, response: Box<Response>, bytes: u64 },
    Folder(Box<Backup>),
}

impl Origin {
    async fn host(client: Client) -> anyhow::Result<Self> {
        let request = client.request(Method::POST, &["v1", "backup"], &[])?;
        let response = client.open_within(&request, PATIENCE).await?;
        let bytes = response.content_length().unwrap_or(0);
        Ok(Self::Host { client: Box::new(client), response: Box::new(response), bytes })
    }

    async fn folder(folder: &Path, uncommitted: bool) -> anyhow::Result<Self> {
        let at = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
        let (backup, left_out) = Backup::of_directory(folder, uncommitted, at).await?;
        if left_out > 0 {
            print::note(&format!(
                "warning: entries of this member's log that it does not know to be committed are left out: {left_out}; \
                 --uncommitted takes them"
            ));
        }
        Ok(Self::Folder(Box::new(backup)))
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Host { bytes, .. } => *bytes,
            Self::Folder(backup) => backup.bytes(),
        }
    }

    async fn next(&mut self) -> anyhow::Result<Option<bytes::Bytes>> {
        Ok(match self {
            Self::Host { client, response, .. } => client.chunk(response).await?,
            Self::Folder(backup) => backup.next().await?,
        })
    }
}
