//! Submitting and ending inquiries of declared files, in the name of nobody's key but under the policy of the tenant.

use std::path::Path;

use inquisitor_engine::Submission;
use inquisitor_engine::gating::{Origin, Role};
use inquisitor_engine::journal::{Command, InquiryId};
use inquisitor_manifest::plan::Plan;
use sha2::{Digest as _, Sha256};

use super::check::check;
use super::files::{self, Content};
use super::plan::Wanted;
use crate::app::{App, now};
use crate::gate::{self, Action, Principal};
use crate::problem::Problem;

/// The id in the ledger where the id of a key would be.
const DECLARED: &str = "declared";

/// What became of a submission.
pub(super) enum Outcome {
    /// It is this inquiry, now or since earlier.
    Submitted { inquiry: InquiryId, earlier: bool },
    /// The file has another text than was planned for, or its plugins are gone.
    Changed,
    /// It may not be; it will not be either while text, tenants and plugins stay as they are.
    Refused(String),
    /// It could not be; it may be later.
    NotNow(String),
}

/// Who acts for the directory.
pub(super) struct Deputy(Principal);

impl Deputy {
    /// One request's worth.
    pub(super) fn new() -> Self {
        Self(Principal {
            key: DECLARED.to_owned(),
            role: Role::Operator,
            tenant: None,
            request: format!("{DECLARED}-{}", uuid::Uuid::now_v7()),
        })
    }

    /// Ask for the end of an inquiry.
    ///
    /// # Errors
    /// As the API would answer.
    pub(super) async fn cancel(&self, app: &App, inquiry: &str, tenant: &str) -> Result<(), Problem> {
        let permit = self.0.permit(app, Action::InquiryCancel, inquiry, Some(tenant)).await?;
        app.change(permit, Command::Cancel { inquiry: inquiry.to_owned(), at: now() }).await?;
        app.dispatcher.cancel(inquiry);
        Ok(())
    }

    /// Submit a file; `after` is the ended inquiry of the same text that it comes after.
    pub(super) async fn submit(
        &self,
        app: &App,
        directory: &Path,
        file: &str,
        wanted: &Wanted,
        after: Option<&str>,
    ) -> Outcome {
        let Some((manifest, plan)) = read_again(app, directory, file, wanted).await else {
            return Outcome::Changed;
        };
        match self.submit_plan(app, file, wanted, after, manifest, plan).await {
            Ok(outcome) => outcome,
            // Too often, too much at once, a cluster without a leader, another inquiry of the same manifest id: all pass.
            Err(problem) if matches!(problem.status, 408 | 409 | 429 | 500..) => {
                Outcome::NotNow(problem.detail)
            }
            Err(problem) => Outcome::Refused(problem.detail),
        }
    }

    async fn submit_plan(
        &self,
        app: &App,
        file: &str,
        wanted: &Wanted,
        after: Option<&str>,
        manifest: String,
        plan: Plan,
    ) -> Result<Outcome, Problem> {
        let base_dir = app.config.base_dir();
        let (permit, bounds) = gate::admit(app, &self.0, &wanted.tenant, &plan, base_dir).await?;
        let submission = Submission {
            plan,
            manifest,
            base_dir: base_dir.map(Path::to_owned),
            bounds,
            origin: Origin::Declared { file: file.to_owned() },
            idempotency_key: Some(idempotency_key(file, &wanted.digest, after)),
            access: Some(permit.into_access()),
        };
        let submitted = app.engine.submit(submission).await?;
        if !submitted.earlier {
            app.dispatcher.wake(&submitted.inquiry);
        }
        Ok(Outcome::Submitted { inquiry: submitted.inquiry, earlier: submitted.earlier })
    }
}

/// The text and its plan, if the text is still the one that was planned for.
async fn read_again(app: &App, directory: &Path, file: &str, wanted: &Wanted) -> Option<(String, Plan)> {
    let (directory, file, digest) = (directory.to_owned(), file.to_owned(), wanted.digest.clone());
    let (registry, catalogue) = (app.conductor.registry(), app.catalogue.clone());
    let read = tokio::task::spawn_blocking(move || {
        let Content::Bytes(bytes) = files::read(&directory, &file) else { return None };
        if inquisitor_manifest::digest(&bytes) != digest {
            return None;
        }
        let (_, plan) = check(&file, &bytes, &registry, &catalogue);
        Some((String::from_utf8(bytes).ok()?, plan?))
    });
    read.await.ok().flatten()
}

/// The same for the same file, text and ended inquiry before it, on every member and after every restart. A digest, since
/// keys are bounded and names of files are long.
fn idempotency_key(file: &str, digest: &str, after: Option<&str>) -> String {
    let mut hash = Sha256::new();
    for part in [file, digest, after.unwrap_or_default()] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    format!("{DECLARED}:{}", hex::encode(hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_tells_file_text_and_what_was_before() {
        let key = idempotency_key("a.yaml", "1", None);
        assert_eq!(key, idempotency_key("a.yaml", "1", None));
        for other in [
            idempotency_key("b.yaml", "1", None),
            idempotency_key("a.yaml", "2", None),
            idempotency_key("a.yaml", "1", Some("x")),
            idempotency_key("a.yam", "l1", None),
        ] {
            assert_ne!(key, other);
        }
        assert!(key.len() <= 255);
    }
}
