//! How a probe answers to a true value. The model and its sources are in the header of the crate.

use inquisitor_sdk::Random;

use crate::Parameters;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Response {
    offset: f64,
    gain: f64,
    noise: f64,
    precision: Option<f64>,
    uncertainty: Option<f64>,
}

impl Response {
    pub(crate) fn new(parameters: &Parameters) -> Self {
        let noise = Some(parameters.noise).filter(|noise| *noise > 0.0);
        let accuracy = parameters.accuracy.map(|accuracy| accuracy / 3.0_f64.sqrt());
        let precision = parameters.precision.map(|step| step / 12.0_f64.sqrt());
        let contributions = [noise, accuracy, precision];
        let uncertainty = if contributions.iter().all(Option::is_none) {
            None
        } else {
            Some(contributions.iter().flatten().map(|u| u * u).sum::<f64>().sqrt())
        };
        Self {
            offset: parameters.offset,
            gain: parameters.gain,
            noise: parameters.noise,
            precision: parameters.precision,
            uncertainty,
        }
    }

    /// The reading for a true value.
    pub(crate) fn of(&self, truth: f64, random: &mut Random) -> f64 {
        let mut value = truth * self.gain + self.offset;
        if self.noise > 0.0 {
            value = random.normal(value, self.noise);
        }
        match self.precision {
            Some(step) => round(value, step),
            None => value,
        }
    }

    /// The combined standard uncertainty, where anything is known of it.
    pub(crate) fn uncertainty(&self) -> Option<f64> {
        self.uncertainty
    }
}

/// The multiple of the step next to the value. A step such as 0.1 has no exact binary form but its inverse has, and
/// dividing by that gives the number that a display would show.
fn round(value: f64, step: f64) -> f64 {
    let inverse = (1.0 / step).round();
    if inverse >= 1.0 && (inverse * step - 1.0).abs() < 1e-9 {
        (value * inverse).round() / inverse
    } else {
        (value / step).round() * step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_rounded_to_what_a_display_would_show() {
        assert_eq!(round(4.26, 0.1), 4.3);
        assert_eq!(round(4.26, 0.25), 4.25);
        assert_eq!(round(47.0, 5.0), 45.0);
        assert_eq!(round(-0.26, 0.1), -0.3);
    }

    #[test]
    fn contributions_add_in_squares() {
        let parameters =
            |noise, accuracy, precision| Parameters { noise, accuracy, precision, ..Parameters::default() };
        let uncertainty = |parameters| Response::new(&parameters).uncertainty();
        assert_eq!(uncertainty(parameters(0.0, None, None)), None);
        assert_eq!(uncertainty(parameters(0.3, None, None)), Some(0.3));
        let all = uncertainty(parameters(0.3, Some(0.5), Some(0.1))).unwrap();
        let expected = (0.09_f64 + 0.25 / 3.0 + 0.01 / 12.0).sqrt();
        assert!((all - expected).abs() < 1e-15, "{all} {expected}");
    }
}
