//! echo
use inquisitor_sdk::{About, Context, Error, Instrument, NoParameters, Observation, Reading};
struct Echo;
impl Instrument for Echo {
    type Parameters = NoParameters;
    type Step = NoParameters;
    fn about() -> About { About::new("echo").quantity("message", "1", "What was said") }
    fn open(_: NoParameters, _: &Context) -> Result<Self, Error> { Ok(Self) }
    fn observe(&mut self, _: NoParameters, context: &Context) -> Result<Observation, Error> {
        let mut o = context.observation();
        o.push(Reading::of("message", "hello"))?;
        Ok(o)
    }
}
inquisitor_sdk::export!(Echo);
