//! Draws that are the same everywhere; the algorithm is in the header of the parent module.

use inquisitor_manifest::spec::Parameters;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;

use crate::parameters::Reader;

/// The key of all draws of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seed([u8; 32]);

impl Seed {
    /// The `seed` parameter, or else the inquiry's seed.
    pub(super) fn of(parameters: &Parameters, otherwise: [u8; 32]) -> Self {
        match parameters.get("seed").and_then(serde_json::Value::as_u64) {
            None => Self(otherwise),
            Some(number) => {
                let mut key = [0; 32];
                key[..8].copy_from_slice(&number.to_le_bytes());
                Self(key)
            }
        }
    }

    /// Checks the `seed` parameter.
    pub(super) fn check(reader: &mut Reader<'_>) {
        reader.whole("seed", 0..=u64::MAX);
    }

    /// The draws of one purpose.
    pub(super) fn stream(&self, stream: u64) -> Draws {
        let mut random = ChaCha12Rng::from_seed(self.0);
        random.set_stream(stream);
        Draws { random }
    }
}

/// A sequence of draws.
#[derive(Debug, Clone)]
pub(super) struct Draws {
    random: ChaCha12Rng,
}

impl Draws {
    /// Uniform in [0, 1).
    pub(super) fn uniform(&mut self) -> f64 {
        const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
        #[allow(clippy::cast_precision_loss)]
        let steps = (self.random.next_u64() >> 11) as f64;
        steps * STEP
    }

    /// Normal with mean 0 and standard deviation 1.
    pub(super) fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.uniform()));
        radius * libm::cos(std::f64::consts::TAU * self.uniform())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_draws_have_the_moments_of_the_normal_distribution() {
        let mut draws = Seed([7; 32]).stream(3);
        let count = 100_000;
        let (mut sum, mut squares, mut beyond_two) = (0.0, 0.0, 0);
        for _ in 0..count {
            let draw = draws.normal();
            sum += draw;
            squares += draw * draw;
            beyond_two += usize::from(draw.abs() > 2.0);
        }
        let mean = sum / f64::from(count);
        let variance = squares / f64::from(count) - mean * mean;
        // Five standard errors of each.
        assert!(mean.abs() < 0.016, "{mean}");
        assert!((variance - 1.0).abs() < 0.023, "{variance}");
        let share = beyond_two as f64 / f64::from(count);
        assert!((share - 0.0455).abs() < 0.0033, "{share}");
    }

    #[test]
    fn streams_differ_and_repeat() {
        let seed = Seed([1; 32]);
        assert_eq!(seed.stream(1).uniform().to_bits(), seed.stream(1).uniform().to_bits());
        assert_ne!(seed.stream(1).uniform().to_bits(), seed.stream(2).uniform().to_bits());
    }
}
