//! What holds of every method, whatever the inputs.

use inquisitor_manifest::spec::Method;
use proptest::prelude::*;

use super::{INTERVAL_COVERAGE, Input, Refusal, combine, needed};

const METHODS: [Method; 6] = [
    Method::WeightedMean,
    Method::Median,
    Method::Huber,
    Method::DersimonianLaird,
    Method::Marzullo,
    Method::BrooksIyengar,
];

fn input() -> impl Strategy<Value = Input> {
    let uncertainty = prop_oneof![4 => (0.01..2.0_f64).prop_map(Some), 1 => Just(None), 1 => Just(Some(0.0))];
    (-100.0..100.0_f64, uncertainty, 0.0..=1.0_f64).prop_map(|(value, uncertainty, confidence)| Input {
        value,
        uncertainty,
        confidence,
    })
}

fn hostile() -> impl Strategy<Value = Input> {
    let magnitude = prop_oneof![Just(0.0), Just(1e-100), Just(1e100), Just(-1e100), -1e6..1e6_f64];
    let uncertainty =
        prop_oneof![Just(None), Just(Some(0.0)), Just(Some(1e-100)), Just(Some(1e100)), Just(Some(1.0))];
    (magnitude, uncertainty, prop_oneof![Just(0.0), Just(1.0), 0.0..=1.0_f64])
        .prop_map(|(value, uncertainty, confidence)| Input { value, uncertainty, confidence })
}

fn close(a: f64, b: f64, scale: f64) -> bool {
    (a - b).abs() <= 1e-8 * scale
}

fn hull(inputs: &[Input]) -> (f64, f64) {
    let values = || inputs.iter().map(|input| input.value);
    (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_order_of_inputs_does_not_matter(
        (inputs, shuffled) in prop::collection::vec(input(), 1..9)
            .prop_flat_map(|inputs| (Just(inputs.clone()), Just(inputs).prop_shuffle())),
        f in 0..3_u32,
    ) {
        for method in METHODS {
            match (combine(method, &inputs, f), combine(method, &shuffled, f)) {
                (Ok(a), Ok(b)) => {
                    prop_assert!(close(a.value, b.value, 100.0), "{method:?}: {} {}", a.value, b.value);
                    prop_assert!(close(a.uncertainty, b.uncertainty, 100.0), "{method:?}");
                }
                (a, b) => prop_assert_eq!(a.err(), b.err()),
            }
        }
    }

    #[test]
    fn estimates_move_and_scale_with_the_inputs(
        inputs in prop::collection::vec(input(), 1..9),
        shift in -1000.0..1000.0_f64,
        factor in 0.1..10.0_f64,
    ) {
        let moved: Vec<Input> = inputs
            .iter()
            .map(|input| Input {
                value: input.value * factor + shift,
                uncertainty: input.uncertainty.map(|u| u * factor),
                ..*input
            })
            .collect();
        for method in METHODS {
            // Where intervals only touch, rounding decides whether they do.
            if matches!(method, Method::Marzullo | Method::BrooksIyengar) {
                continue;
            }
            if let (Ok(a), Ok(b)) = (combine(method, &inputs, 0), combine(method, &moved, 0)) {
                prop_assert!(close(a.value * factor + shift, b.value, 2000.0), "{method:?}");
                prop_assert!(close(a.uncertainty * factor, b.uncertainty, 2000.0), "{method:?}");
            }
        }
    }

    #[test]
    fn an_estimate_lies_within_what_was_said(inputs in prop::collection::vec(input(), 1..9), f in 0..3_u32) {
        for method in METHODS {
            let Ok(combined) = combine(method, &inputs, f) else { continue };
            let (mut low, mut high) = hull(&inputs);
            if matches!(method, Method::Marzullo | Method::BrooksIyengar) {
                let reach = |input: &Input| INTERVAL_COVERAGE * input.uncertainty.unwrap_or(0.0);
                low = inputs.iter().map(|i| i.value - reach(i)).fold(f64::INFINITY, f64::min);
                high = inputs.iter().map(|i| i.value + reach(i)).fold(f64::NEG_INFINITY, f64::max);
            }
            prop_assert!((low..=high).contains(&combined.value), "{method:?}: {} not in [{low}, {high}]", combined.value);
            prop_assert!(close(combined.weights.iter().sum::<f64>(), 1.0, 1.0), "{method:?}: {:?}", combined.weights);
            prop_assert!(combined.weights.iter().all(|weight| (0.0..=1.0 + 1e-12).contains(weight)));
        }
    }

    #[test]
    fn nothing_but_finite_numbers_comes_out(inputs in prop::collection::vec(hostile(), 0..9), f in 0..3_u32) {
        for method in METHODS {
            match combine(method, &inputs, f) {
                Ok(combined) => {
                    prop_assert!(combined.value.is_finite() && combined.uncertainty.is_finite(), "{method:?}");
                    prop_assert!(combined.uncertainty >= 0.0);
                    prop_assert!(combined.weights.iter().all(|weight| weight.is_finite()));
                }
                Err(refusal) => prop_assert!(!refusal.to_string().is_empty()),
            }
        }
    }

    #[test]
    fn liars_cannot_move_the_median_out_of_what_the_honest_say(
        honest in prop::collection::vec(-1.0..1.0_f64, 2..7),
        lies in prop::collection::vec(-1e6..1e6_f64, 0..6),
    ) {
        let lies = &lies[..lies.len().min(honest.len() - 1)];
        let f = u32::try_from(lies.len()).unwrap();
        let inputs: Vec<Input> = honest
            .iter()
            .chain(lies)
            .map(|value| Input { value: *value, uncertainty: Some(0.1), confidence: 1.0 })
            .collect();
        let combined = combine(Method::Median, &inputs, f).unwrap();
        let (low, high) = hull(&inputs[..honest.len()]);
        prop_assert!((low..=high).contains(&combined.value));
    }

    #[test]
    fn liars_cannot_move_an_intersection_off_the_truth(
        honest in prop::collection::vec((-1.0..1.0_f64, 0.01..3.0_f64), 3..9),
        lies in prop::collection::vec((-10.0..10.0_f64, 0.0..5.0_f64), 0..4),
    ) {
        // An honest interval contains the truth, which is 0.
        let honest: Vec<Input> = honest
            .iter()
            .map(|(value, slack)| Input {
                value: *value,
                uncertainty: Some((value.abs() + slack) / INTERVAL_COVERAGE),
                confidence: 1.0,
            })
            .collect();
        for method in [Method::Marzullo, Method::BrooksIyengar] {
            let most = match method {
                Method::BrooksIyengar => (honest.len() - 1) / 2,
                _ => honest.len() - 1,
            };
            let lies = &lies[..lies.len().min(most)];
            let f = u32::try_from(lies.len()).unwrap();
            let mut inputs = honest.clone();
            inputs.extend(lies.iter().map(|(value, u)| Input { value: *value, uncertainty: Some(*u), confidence: 1.0 }));
            prop_assert!(inputs.len() >= needed(method, f));
            let combined = combine(method, &inputs, f).unwrap();
            let (low, high) = combined.interval.unwrap();
            prop_assert!(low <= 1e-12 && high >= -1e-12, "{method:?}: [{low}, {high}] lost the truth");
            // Each end lies within an honest interval, so the result within their hull.
            let reach = |input: &Input| INTERVAL_COVERAGE * input.uncertainty.unwrap();
            let lowest = honest.iter().map(|i| i.value - reach(i)).fold(f64::INFINITY, f64::min);
            let highest = honest.iter().map(|i| i.value + reach(i)).fold(f64::NEG_INFINITY, f64::max);
            prop_assert!(low >= lowest - 1e-12 && high <= highest + 1e-12);
        }
    }

    #[test]
    fn too_few_for_the_guarantee_are_refused(inputs in prop::collection::vec(input(), 1..9), f in 1..5_u32) {
        for method in METHODS {
            let enough = inputs.len() >= needed(method, f);
            let refused = matches!(combine(method, &inputs, f), Err(Refusal::TooFew { .. }));
            prop_assert_eq!(refused, !enough);
        }
    }
}
