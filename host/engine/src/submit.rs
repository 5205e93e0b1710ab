//! Taking an inquiry in: everything that its run will need becomes durable before it is acknowledged.

use std::collections::BTreeSet;
use std::path::PathBuf;

use inquisitor_manifest::plan::Plan;

use crate::Engine;
use crate::error::EngineError;
use crate::gating::{Access, Bounds, Origin};
use crate::journal::{Applied, Command, InquiryId, JournalError};
use crate::now;

/// An inquiry to be taken in.
pub struct Submission {
    /// The compiled plan.
    pub plan: Plan,
    /// The manifest's text.
    pub manifest: String,
    /// Folder that relative paths of the manifest are relative to.
    pub base_dir: Option<PathBuf>,
    /// The tenant, and what it allows.
    pub bounds: Bounds,
    /// Who asks for it.
    pub origin: Origin,
    /// A second submission under the same key of the same tenant is the first one.
    pub idempotency_key: Option<String>,
    /// The decision that allowed it, where somebody had to decide.
    pub access: Option<Access>,
}

impl Submission {
    /// What somebody at the command line of this host submits.
    pub fn local(plan: Plan, manifest: String, base_dir: Option<PathBuf>) -> Self {
        Self {
            plan,
            manifest,
            base_dir,
            bounds: Bounds::of_host(),
            origin: Origin::Local,
            idempotency_key: None,
            access: None,
        }
    }
}

/// An inquiry that was taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// Its id.
    pub inquiry: InquiryId,
    /// Whether the idempotency key had made it before.
    pub earlier: bool,
}

impl Engine {
    /// Take an inquiry in. When this returns, it is durable: its plan, the manifest and the components that it will run.
    ///
    /// # Errors
    /// When the journal cannot keep it, or a component is no longer installed.
    pub async fn submit(&self, submission: Submission) -> Result<Submitted, EngineError> {
        let digests: BTreeSet<&str> =
            submission.plan.instruments.values().map(|instrument| instrument.digest.as_str()).collect();
        for digest in digests {
            self.keep_component(digest).await?;
        }
        let manifest = self.journal.put_blob(submission.manifest.into_bytes()).await?;
        let inquiry = uuid::Uuid::now_v7().to_string();
        let submit = Command::Submit {
            inquiry: inquiry.clone(),
            plan: Box::new(submission.plan),
            manifest,
            base_dir: submission.base_dir.map(|path| path.to_string_lossy().into_owned()),
            bounds: Box::new(submission.bounds),
            origin: submission.origin,
            idempotency_key: submission.idempotency_key,
            at: now(),
        };
        let command = match submission.access {
            None => submit,
            Some(access) => Command::Authorized { access: Box::new(access), change: Box::new(submit) },
        };
        let accepted = self.accept("submitting the inquiry", command).await.inspect_err(|error| {
            if let EngineError::Journal(JournalError::Blob { digest, .. }) = error {
                self.stored.forget(digest);
            }
        });
        match accepted? {
            Applied::Earlier(inquiry) => Ok(Submitted { inquiry, earlier: true }),
            _ => Ok(Submitted { inquiry, earlier: false }),
        }
    }

    /// Make the component of an installed file a blob: the file may be replaced while the inquiry runs, and the blob is what it
    /// was planned with.
    async fn keep_component(&self, digest: &str) -> Result<(), EngineError> {
        if self.stored.has(digest) {
            return Ok(());
        }
        let (catalogue, wanted) = (self.catalogue.clone(), digest.to_owned());
        let read = tokio::task::spawn_blocking(move || catalogue.component(&wanted)).await;
        let component = read
            .unwrap_or_else(|error| Err(error.to_string()))
            .map_err(|message| EngineError::Component { message })?;
        if let Some(component) = component {
            self.journal.put_blob(component).await?;
            self.stored.note(digest);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::catalogue::Catalogue;
    use crate::journal::Journal as _;
    use crate::testing::{Memory, component, engine_of, runtime};

    #[tokio::test]
    async fn a_component_is_kept_once_and_again_when_the_journal_has_lost_it() {
        let folder = tempfile::tempdir().unwrap();
        let runtime = runtime(folder.path());
        let (bytes, file) = (component(1), folder.path().join("plain.wasm"));
        std::fs::write(&file, &bytes).unwrap();
        let catalogue = Catalogue::of(runtime.load(&bytes).await.unwrap(), file.clone());
        let (journal, engine) = engine_of(runtime, Arc::new(Memory::default()), catalogue);
        let digest = inquisitor_manifest::digest(&bytes);

        engine.keep_component(&digest).await.unwrap();
        assert_eq!(journal.blob(&digest).await.unwrap(), bytes);
        std::fs::remove_file(&file).unwrap();
        engine.keep_component(&digest).await.unwrap();

        engine.stored.forget(&digest);
        let error = engine.keep_component(&digest).await.unwrap_err().to_string();
        assert!(error.contains("plain.wasm"), "{error}");
    }
}
