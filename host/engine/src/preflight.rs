//! Checks before the first step, as the manifest asks for them.

use std::sync::Arc;
use std::time::Instant;

use inquisitor_manifest::plan::{Action, PlannedStep};
use inquisitor_manifest::spec::PreflightCheck;
use tokio_util::sync::CancellationToken;

use crate::Engine;
use crate::attempt::Attempt;
use crate::events::Silent;
use crate::journal::{Inquiry, StepResult};

impl Engine {
    /// Run the checks in the manifest's order.
    ///
    /// # Errors
    /// The first check that does not pass, and why, in a sentence.
    pub(crate) async fn preflight(
        &self,
        inquiry: &Inquiry,
        cancel: &CancellationToken,
    ) -> Result<(), String> {
        for check in &inquiry.plan.preflight {
            match check {
                PreflightCheck::InstrumentAvailability => self.instruments_open(inquiry, cancel).await?,
                PreflightCheck::SubstrateAccessibility => self.substrate_opens(inquiry).await?,
                PreflightCheck::RateLimitCapacity => self.has_capacity(inquiry)?,
            }
        }
        Ok(())
    }

    /// Every instrument opens and calibrates in the sandbox that its steps will have.
    async fn instruments_open(&self, inquiry: &Inquiry, cancel: &CancellationToken) -> Result<(), String> {
        for id in inquiry.plan.instruments.keys() {
            let step = PlannedStep {
                name: "preflight".to_owned(),
                phase: "preflight".to_owned(),
                action: Action::SelfTest { instrument: id.clone() },
                after: Vec::new(),
                needs: Vec::new(),
                break_on_failure: false,
            };
            let attempt = Attempt {
                inquiry,
                step: &step,
                number: 1,
                round: 0,
                state: None,
                cancel: cancel.clone(),
                observer: Arc::new(Silent),
            };
            let record = self.attempt(attempt).await.map_err(|error| error.to_string())?;
            if let StepResult::Failed(failure) = record.result {
                return Err(format!("instrument_availability: `{id}` {failure}"));
            }
        }
        Ok(())
    }

    async fn substrate_opens(&self, inquiry: &Inquiry) -> Result<(), String> {
        let mut resolver = self.resolver(inquiry);
        let source = self.source(inquiry, 0, &mut resolver).await;
        let Some(source) = source.map_err(|failure| format!("substrate_accessibility: {failure}"))? else {
            return Ok(());
        };
        let mut message = match tokio::task::spawn_blocking(move || source.columns()).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => format!("substrate_accessibility: {error}"),
            Err(error) => format!("substrate_accessibility: {error}"),
        };
        // The path of a file may hold a secret, and the message is recorded.
        crate::secrets::strike_text(&mut message, &resolver.used);
        Err(message)
    }

    fn has_capacity(&self, inquiry: &Inquiry) -> Result<(), String> {
        for (id, instrument) in &inquiry.plan.instruments {
            if self.breakers.is_open(&instrument.digest, Instant::now()) {
                return Err(format!(
                    "rate_limit_capacity: the plugin {} of `{id}` failed too often in a row and is left alone for now",
                    instrument.plugin
                ));
            }
        }
        if self.calls.available_permits() == 0 {
            return Err(format!(
                "rate_limit_capacity: all {} places for calls of instruments are taken",
                self.config.max_calls
            ));
        }
        Ok(())
    }
}
