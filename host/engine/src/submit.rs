//! Taking an inquiry in: everything that its run will need becomes durable before it is acknowledged.

use std::collections::BTreeSet;
use std::path::PathBuf;

use inquisitor_manifest::plan::Plan;

use crate::Engine;
use crate::error::EngineError;
use crate::journal::{Command, InquiryId};
use crate::now;

/// An inquiry to be taken in.
pub struct Submission {
    /// The compiled plan.
    pub plan: Plan,
    /// The manifest's text.
    pub manifest: String,
    /// Folder that relative paths of the manifest are relative to.
    pub base_dir: Option<PathBuf>,
}

impl Engine {
    /// Take an inquiry in. When this returns, it is durable: its plan, the manifest and the components that it will run.
    ///
    /// # Errors
    /// When the journal cannot keep it, or a component is no longer installed.
    pub async fn submit(&self, submission: Submission) -> Result<InquiryId, EngineError> {
        let digests: BTreeSet<&str> =
            submission.plan.instruments.values().map(|instrument| instrument.digest.as_str()).collect();
        for digest in digests {
            // The installed file may be replaced while the inquiry runs; the blob is what it was planned with.
            let component =
                self.catalogue.component(digest).map_err(|message| EngineError::Component { message })?;
            if let Some(component) = component {
                self.journal.put_blob(component).await?;
            }
        }
        let manifest = self.journal.put_blob(submission.manifest.into_bytes()).await?;
        let inquiry = uuid::Uuid::now_v7().to_string();
        let command = Command::Submit {
            inquiry: inquiry.clone(),
            plan: Box::new(submission.plan),
            manifest,
            base_dir: submission.base_dir.map(|path| path.to_string_lossy().into_owned()),
            at: now(),
        };
        self.accept("submitting the inquiry", command).await?;
        Ok(inquiry)
    }
}
