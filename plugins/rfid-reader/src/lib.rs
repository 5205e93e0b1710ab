//! `rfid-reader`: which tags are there.
//!
//! It reads events from the substrate, one row for each time a tag answered, and says for each tag whether it is present,
//! how many are, and which answered last. Where the inquiry has no substrate it simulates tags that answer most of the
//! time.
//!
//! Tags miss answers. `dropout` is the chance that a tag which is there does not answer; a tag that is expected and has
//! not answered is therefore reported absent with a confidence lower by that factor. When n tags answered, the number of
//! those that did not is negative binomial with the variance n · p / (1 − p)², whose root is the uncertainty of the count.

#![deny(missing_docs, unsafe_code)]

mod events;
mod parameters;

use inquisitor_sdk::{About, Context, Error, Instrument, NoParameters, Observation, Reading, log};

use crate::events::Events;
use crate::parameters::{Origin, Parameters};

/// Confidence in a simulated reading at most: it says nothing of the world.
const SIMULATED_CONFIDENCE: f64 = 0.5;

struct RfidReader {
    parameters: Parameters,
}

impl Instrument for RfidReader {
    type Parameters = Parameters;
    type Step = NoParameters;

    fn about() -> About {
        About::new("rfid-reader")
            .alias("rfid")
            .quantity("tags_present", "1", "How many different tags answered")
            .quantity("presence", "1", "Whether the tag in the attribute `tag` is present")
            .quantity("last_tag", "1", "The tag that answered last")
    }

    fn open(parameters: Parameters, _context: &Context) -> Result<Self, Error> {
        parameters.check()?;
        Ok(Self { parameters })
    }

    fn observe(&mut self, _step: NoParameters, context: &Context) -> Result<Observation, Error> {
        match self.parameters.origin(context)? {
            Origin::Substrate(columns) => {
                let events = Events::read(&columns, self.parameters.dropout_of_events(), context)?;
                self.report(&events, self.parameters.confidence, false, context)
            }
            Origin::Simulation => {
                log::warn!("these tags are simulated: they say nothing of the world");
                let events = Events::simulate(
                    &self.parameters.simulated_tags(),
                    self.parameters.assumed_dropout(),
                    context,
                );
                let confidence = self.parameters.confidence.min(SIMULATED_CONFIDENCE);
                self.report(&events, confidence, true, context)
            }
        }
    }
}

impl RfidReader {
    fn report(
        &self,
        events: &Events,
        confidence: f64,
        simulated: bool,
        context: &Context,
    ) -> Result<Observation, Error> {
        let mut observation = context.observation();
        let mut push = |mut reading: Reading, time: Option<i64>| {
            reading.time = time;
            if simulated {
                reading = reading.attribute("simulated", true);
            }
            observation.push(reading)
        };
        let count = i64::try_from(events.tags.len())?;
        let reading = Reading::of("tags_present", count).confidence(confidence);
        push(
            reading.uncertainty(missed(events.tags.len(), self.parameters.assumed_dropout())),
            events.last_time(),
        )?;
        for (name, tag) in &events.tags {
            let mut reading = presence(name, true, confidence).attribute("answers", tag.answers);
            if let Some(rssi) = tag.mean_rssi() {
                reading = reading.attribute("rssi", rssi);
            }
            push(reading, tag.last)?;
        }
        let missing = confidence * (1.0 - self.parameters.assumed_dropout());
        for name in &self.parameters.expected {
            if !events.tags.contains_key(name) {
                push(presence(name, false, missing), events.last_time())?;
            }
        }
        if let Some((name, tag)) = events.last() {
            push(Reading::of("last_tag", name).confidence(confidence), tag.last)?;
        }
        Ok(observation)
    }
}

fn presence(tag: &str, present: bool, confidence: f64) -> Reading {
    Reading::of("presence", present).confidence(confidence).attribute("tag", tag)
}

/// Standard uncertainty of a count of tags, each of which is missed with this chance. With certainty of missing every tag,
/// the count says nothing, and its uncertainty is as large as a number can usefully be.
fn missed(answered: usize, dropout: f64) -> f64 {
    const NOTHING_KNOWN: f64 = 1e9;
    if dropout >= 1.0 {
        return NOTHING_KNOWN;
    }
    ((answered as f64 * dropout).sqrt() / (1.0 - dropout)).min(NOTHING_KNOWN)
}

inquisitor_sdk::export!(RfidReader);

#[cfg(test)]
mod tests;
