//! Student's and Welch's t-tests.
//!
//! W. S. Gosset ("Student") 1908, Biometrika 6, 1–25; B. L. Welch 1947, Biometrika 34, 28–35, with the degrees of freedom
//! of Welch and Satterthwaite. All p-values are two-sided.

use super::{Named, Outcome, critical_t, two_sided_t};
use crate::format::{p_value, significant};
use crate::numeric::{Spread, count};

/// Is the mean of a group `mu`?
///
/// # Errors
/// When there are fewer than two values, or all are equal.
pub fn one_sample(group: &Named, mu: f64, alpha: f64) -> Result<Outcome, String> {
    let spread = at_least_two(&group.name, &group.values)?;
    let n = count(spread.n);
    let error = (spread.squares / (n - 1.0) / n).sqrt();
    outcome(&Difference {
        estimate: spread.mean,
        against: mu,
        error,
        df: n - 1.0,
        what: format!("the mean of {}", group.name),
        extra: vec![("n", n), ("mean", spread.mean)],
        alpha,
    })
}

/// Do two independent groups differ in their means by other than `mu`? Welch's test, or Student's where the
/// variances are taken as equal.
///
/// # Errors
/// When a group has fewer than two values, or all values of both are equal.
pub fn two_samples(
    a: &Named,
    b: &Named,
    mu: f64,
    equal_variance: bool,
    alpha: f64,
) -> Result<Outcome, String> {
    let (sa, sb) = (at_least_two(&a.name, &a.values)?, at_least_two(&b.name, &b.values)?);
    let (na, nb) = (count(sa.n), count(sb.n));
    let (error, df) = if equal_variance {
        let pooled = (sa.squares + sb.squares) / (na + nb - 2.0);
        ((pooled * (1.0 / na + 1.0 / nb)).sqrt(), na + nb - 2.0)
    } else {
        let (va, vb) = (sa.squares / (na - 1.0) / na, sb.squares / (nb - 1.0) / nb);
        let df = (va + vb).powi(2) / (va * va / (na - 1.0) + vb * vb / (nb - 1.0));
        ((va + vb).sqrt(), df)
    };
    outcome(&Difference {
        estimate: sa.mean - sb.mean,
        against: mu,
        error,
        df,
        what: format!("the difference of {} and {}", a.name, b.name),
        extra: vec![("mean_a", sa.mean), ("mean_b", sb.mean)],
        alpha,
    })
}

/// Do pairs differ on average by other than `mu`?
///
/// # Errors
/// When there are fewer than two pairs, or all differ by the same.
pub fn paired(a: &[f64], b: &[f64], mu: f64, alpha: f64) -> Result<Outcome, String> {
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    let spread = at_least_two("the pairs", &differences)?;
    let n = count(spread.n);
    outcome(&Difference {
        estimate: spread.mean,
        against: mu,
        error: (spread.squares / (n - 1.0) / n).sqrt(),
        df: n - 1.0,
        what: "the mean difference of the pairs".to_owned(),
        extra: vec![("pairs", n)],
        alpha,
    })
}

struct Difference {
    estimate: f64,
    against: f64,
    error: f64,
    df: f64,
    what: String,
    extra: Vec<(&'static str, f64)>,
    alpha: f64,
}

fn outcome(one: &Difference) -> Result<Outcome, String> {
    if one.error <= 0.0 || !one.df.is_finite() {
        return Err("the values are equal, so that there is no scatter to compare with".to_owned());
    }
    let t = (one.estimate - one.against) / one.error;
    let p = two_sided_t(t, one.df)?;
    let half = critical_t(one.alpha, one.df)? * one.error;
    let mut figures =
        vec![("t", t), ("df", one.df), ("p_value", p), ("difference", one.estimate - one.against)];
    figures.extend([
        ("standard_error", one.error),
        ("lower", one.estimate - half),
        ("upper", one.estimate + half),
    ]);
    figures.extend(one.extra.iter().copied());
    let says = if p < one.alpha { "is not" } else { "may be" };
    Ok(Outcome {
        figures: figures.into_iter().map(|(name, figure)| (name.to_owned(), figure)).collect(),
        conclusion: format!(
            "{} {says} {}: t({}) = {}, {} at α = {}",
            one.what,
            significant(one.against, 6),
            significant(one.df, 4),
            significant(t, 4),
            p_value(p),
            one.alpha
        ),
    })
}

fn at_least_two(name: &str, values: &[f64]) -> Result<Spread, String> {
    Spread::of(values)
        .filter(|spread| spread.n >= 2)
        .ok_or_else(|| format!("{name}: a t-test needs at least two values, and there are {}", values.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, values: &[f64]) -> Named {
        Named { name: name.to_owned(), values: values.to_vec() }
    }

    fn figure(outcome: &Outcome, name: &str) -> f64 {
        outcome.figures.iter().find(|(known, _)| known == name).unwrap().1
    }

    /// Student's own example of 1908: additional hours of sleep under two drugs, ten patients.
    const DRUG_1: [f64; 10] = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0];
    const DRUG_2: [f64; 10] = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4];

    #[test]
    fn the_sleep_of_ten_patients() {
        // The figures that R documents for these data.
        let paired = paired(&DRUG_1, &DRUG_2, 0.0, 0.05).unwrap();
        assert!((figure(&paired, "t") + 4.0621).abs() < 5e-5);
        assert!((figure(&paired, "p_value") - 0.002_833).abs() < 5e-7);
        assert!((figure(&paired, "lower") + 2.459_885_8).abs() < 5e-7);
        assert!((figure(&paired, "upper") + 0.700_114_2).abs() < 5e-7);
        let welch = two_samples(&named("1", &DRUG_1), &named("2", &DRUG_2), 0.0, false, 0.05).unwrap();
        assert!((figure(&welch, "t") + 1.8608).abs() < 5e-5);
        assert!((figure(&welch, "df") - 17.776).abs() < 5e-4);
        assert!((figure(&welch, "p_value") - 0.079_39).abs() < 5e-6);
        let student = two_samples(&named("1", &DRUG_1), &named("2", &DRUG_2), 0.0, true, 0.05).unwrap();
        assert_eq!(figure(&student, "df"), 18.0);
        assert!((figure(&student, "p_value") - 0.079_19).abs() < 5e-6);
    }

    #[test]
    fn one_sample_against_a_value() {
        let outcome = one_sample(&named("a", &[5.1, 4.9, 5.0, 5.2]), 4.0, 0.05).unwrap();
        assert!(figure(&outcome, "p_value") < 0.001);
        assert!(outcome.conclusion.starts_with("the mean of a is not 4"), "{}", outcome.conclusion);
    }

    #[test]
    fn without_scatter_there_is_no_test() {
        assert!(one_sample(&named("a", &[1.0, 1.0]), 0.0, 0.05).unwrap_err().contains("no scatter"));
        assert!(one_sample(&named("a", &[1.0]), 0.0, 0.05).unwrap_err().contains("at least two"));
    }
}
