//! An attempt that the driver of another host leased to this one.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Assignment, Lost};
use crate::Engine;
use crate::attempt::Attempt;
use crate::events::Observer;
use crate::journal::StepRecord;

impl Engine {
    /// Run an attempt that somebody leased to this host, for an [`super::Executor`]. Dropping the future ends it.
    ///
    /// # Errors
    /// When there will be no record.
    pub async fn run_leased(
        &self,
        assignment: &Assignment,
        observer: Arc<dyn Observer>,
    ) -> Result<StepRecord, Lost> {
        let inquiry = self.subjects.get(self.journal.as_ref(), &assignment.inquiry).await?;
        let missing = || Lost::new(format!("the plan has no step {} for an instrument", assignment.step));
        let step = inquiry.plan.steps.get(assignment.step).ok_or_else(missing)?;
        let instrument = step.action.instrument().ok_or_else(missing)?;
        let plugin = inquiry.plan.instruments.get(instrument).ok_or_else(missing)?;
        let span = tracing::info_span!(
            "attempt",
            inquiry = inquiry.id,
            tenant = inquiry.bounds.tenant,
            step = step.name,
            instrument,
            plugin = format!("{}@{}", plugin.plugin, plugin.version),
            attempt = assignment.token.attempt,
            round = assignment.round
        );
        if let Some(parent) = &assignment.trace {
            self.config.traces.adopt(&span, parent);
        }
        // Whatever ends this future ends the call.
        let cancel = CancellationToken::new();
        let _ends_call = cancel.clone().drop_guard();
        let work = async {
            let state = match &assignment.state {
                None => None,
                Some(digest) => Some(self.journal.blob(digest).await?),
            };
            let attempt = Attempt {
                inquiry: &inquiry,
                step,
                number: assignment.token.attempt,
                round: assignment.round,
                state,
                cancel,
                observer,
            };
            self.attempt(attempt).await
        };
        // `instrument` alone would be the one of the step's action.
        tracing::Instrument::instrument(work, span).await.map_err(|error| Lost::new(error.to_string()))
    }
}
