//! Taking an inquiry in: everything that its run will need becomes durable before it is acknowledged.

use std::collections::BTreeSet;
use std::path::PathBuf;

use inquisitor_manifest::plan::Plan;

use crate::Engine;
use crate::error::EngineError;
use crate::gating::{Access, Bounds, Origin};
use crate::journal::{Applied, Command, InquiryId};
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
            // The installed file may be replaced while the inquiry runs; the blob is what it was planned with.
            let component =
                self.catalogue.component(digest).map_err(|message| EngineError::Component { message })?;
            if let Some(component) = component {
                self.journal.put_blob(component).await?;
            }
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
        match self.accept("submitting the inquiry", command).await? {
            Applied::Earlier(inquiry) => Ok(Submitted { inquiry, earlier: true }),
            _ => Ok(Submitted { inquiry, earlier: false }),
        }
    }
}
