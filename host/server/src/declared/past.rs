//! What ran for each file before: asked of the conductor once, then remembered.

use std::collections::{BTreeMap, BTreeSet};

use inquisitor_conductor::{Conductor, ConductorError, InquiryFilter, Summary, SummaryStage};
use inquisitor_engine::gating::Origin;
use inquisitor_engine::journal::InquiryId;

use super::plan::{End, Last, Live, Wanted};

/// Inquiries that are gone through, newest first, for what ran before this member began to lead. What lies further back is
/// found by the idempotency key when it is submitted again.
const SEARCHED: usize = 10_000;
/// Inquiries asked for at once.
const PAGE: usize = 500;

/// What ran last for each file.
#[derive(Default)]
pub(super) struct Pasts(BTreeMap<String, Past>);

struct Past {
    digest: String,
    /// None where none was found.
    inquiry: Option<(InquiryId, Option<End>)>,
}

/// An inquiry of a declared file that has not ended; none where it is another's.
pub(super) fn live(summary: &Summary) -> Option<Live> {
    let Origin::Declared { file } = &summary.origin else { return None };
    Some(Live {
        inquiry: summary.id.clone(),
        file: file.clone(),
        tenant: summary.tenant.clone(),
        manifest_id: summary.manifest_id.clone(),
        digest: summary.manifest_digest.clone(),
        stopping: summary.cancel_requested.is_some(),
    })
}

fn end(summary: &Summary) -> Option<End> {
    match &summary.stage {
        SummaryStage::Running => None,
        SummaryStage::Concluded { .. } if summary.cancel_requested.is_some() => Some(End::Cancelled),
        SummaryStage::Concluded { .. } => Some(End::Concluded),
        SummaryStage::Aborted { .. } if summary.cancel_requested.is_some() => Some(End::Cancelled),
        SummaryStage::Aborted { reason, .. } if reason == "cancelled" => Some(End::Cancelled),
        SummaryStage::Aborted { .. } => Some(End::Failed),
    }
}

impl Pasts {
    /// Bring it up to date. Returns the files whose inquiry was known and has ended since, with how.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub(super) async fn refresh(
        &mut self,
        conductor: &Conductor,
        files: &BTreeMap<String, Option<Wanted>>,
        live: &[Live],
    ) -> Result<Vec<(String, End)>, ConductorError> {
        self.0.retain(|file, _| files.contains_key(file));
        for live in live {
            if files.contains_key(&live.file) {
                let inquiry = Some((live.inquiry.clone(), None));
                self.0.insert(live.file.clone(), Past { digest: live.digest.clone(), inquiry });
            }
        }
        let running: BTreeSet<&str> = live.iter().map(|live| live.inquiry.as_str()).collect();
        let mut ended = Vec::new();
        for (file, past) in &mut self.0 {
            if let Some((inquiry, known @ None)) = &mut past.inquiry
                && !running.contains(inquiry.as_str())
                && let Some(summary) = conductor.summary(inquiry).await?
                && let Some(end) = end(&summary)
            {
                *known = Some(end);
                ended.push((file.clone(), end));
            }
        }
        let mut sought: BTreeMap<String, String> = files
            .iter()
            .filter_map(|(file, wanted)| Some((file.clone(), wanted.as_ref()?.digest.clone())))
            .filter(|(file, digest)| self.0.get(file).is_none_or(|past| past.digest != *digest))
            .collect();
        self.search(conductor, &mut sought).await?;
        for (file, digest) in sought {
            self.0.insert(file, Past { digest, inquiry: None });
        }
        Ok(ended)
    }

    /// Find the last inquiry of each text; what was found is taken out.
    async fn search(
        &mut self,
        conductor: &Conductor,
        sought: &mut BTreeMap<String, String>,
    ) -> Result<(), ConductorError> {
        let mut before = None;
        let mut searched = 0;
        while !sought.is_empty() && searched < SEARCHED {
            let page = conductor.inquiries(&InquiryFilter::default(), before, PAGE).await?;
            for summary in &page.items {
                let Origin::Declared { file } = &summary.origin else { continue };
                if sought.get(file) == Some(&summary.manifest_digest) {
                    sought.remove(file);
                    let inquiry = Some((summary.id.clone(), end(summary)));
                    let past = Past { digest: summary.manifest_digest.clone(), inquiry };
                    self.0.insert(file.clone(), past);
                }
            }
            searched += PAGE;
            match page.next {
                Some(next) => before = Some(next),
                None => break,
            }
        }
        Ok(())
    }

    /// A text was submitted and became this inquiry, now or earlier.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub(super) async fn submitted(
        &mut self,
        conductor: &Conductor,
        file: &str,
        digest: &str,
        inquiry: InquiryId,
    ) -> Result<(), ConductorError> {
        let end = conductor.summary(&inquiry).await?.as_ref().and_then(end);
        let past = Past { digest: digest.to_owned(), inquiry: Some((inquiry, end)) };
        self.0.insert(file.to_owned(), past);
        Ok(())
    }

    /// The last inquiries that have ended, by file.
    pub(super) fn ended(&self) -> BTreeMap<String, Last> {
        let last = |past: &Past| {
            let (inquiry, end) = past.inquiry.as_ref()?;
            Some(Last { digest: past.digest.clone(), inquiry: inquiry.clone(), end: (*end)? })
        };
        self.0.iter().filter_map(|(file, past)| Some((file.clone(), last(past)?))).collect()
    }
}
