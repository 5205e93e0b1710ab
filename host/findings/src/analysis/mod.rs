//! Statistical tests of the analysis section, over the readings that are left.
//!
//! Each test is a pure function from numbers to figures in a module of its own; this one finds the numbers: which
//! quantity, which instruments, which pairs. A test that cannot be run is refused with the reason, and never counts
//! against the verdict: it is an extra, not what the inquiry asserts.

pub mod anova;
pub mod correlation;
pub mod mean_comparison;
mod parameters;
pub mod regression;
mod sample;
pub mod t_test;

use inquisitor_manifest::ParameterProblem;
use inquisitor_manifest::plan::Plan;
use inquisitor_manifest::spec::{StatisticalTest, TestKind};

use self::parameters::Given;
use self::sample::Samples;
use crate::finding::TestResult;
use crate::groups::Group;
use crate::table::Table;

/// Significance level where a test names none.
pub const DEFAULT_ALPHA: f64 = 0.05;

/// Groups that a test compares. Pairs of them are compared too.
pub const MAX_GROUPS: usize = 1000;

/// Figures by their usual names, and what they say.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Figures in the order in which they are usually given.
    pub figures: Vec<(String, f64)>,
    /// The result in a sentence.
    pub conclusion: String,
}

/// Run the tests of the plan, in the manifest's order.
pub(crate) fn run_all(
    plan: &Plan,
    table: &Table<'_>,
    units: &[Option<&str>],
    groups: &[Group],
) -> Vec<TestResult> {
    plan.analysis.statistical.iter().map(|test| run(plan, table, units, groups, test)).collect()
}

fn run(
    plan: &Plan,
    table: &Table<'_>,
    units: &[Option<&str>],
    groups: &[Group],
    test: &StatisticalTest,
) -> TestResult {
    let name = name(test.test);
    let mut result = TestResult {
        test: name.to_owned(),
        quantity: String::new(),
        groups: test.groups.clone(),
        figures: Vec::new(),
        refused: None,
        conclusion: String::new(),
    };
    let outcome = (|| -> Result<Outcome, String> {
        let given = Given::new(name, &test.parameters, known(test.test))?;
        let quantity = sample::quantity(plan, table, groups, given.text("quantity")?)?;
        table.quantities[quantity as usize].clone_into(&mut result.quantity);
        let samples = Samples::of(table, groups, quantity, units[quantity as usize], &test.groups)?;
        result.groups = samples.names();
        let alpha = given.alpha()?;
        match test.test {
            TestKind::MeanComparison => mean_comparison::compare(&samples.named_values(), alpha),
            TestKind::TTest => t_test(&samples, &given, alpha),
            TestKind::Anova => anova::one_way(&samples.named_values(), alpha),
            TestKind::Correlation => {
                let (x, y) = samples.correlated(given.text("with")?)?;
                correlation::pearson(&x, &y, alpha)
            }
            TestKind::Regression => {
                let (x, y, what) = samples.regressed(&given)?;
                regression::line(&x, &y, &what)
            }
        }
    })();
    match outcome {
        Ok(outcome) if outcome.figures.iter().all(|(_, figure)| figure.is_finite()) => {
            result.figures = outcome.figures;
            result.conclusion = outcome.conclusion;
        }
        Ok(_) => refuse(
            &mut result,
            "the figures are not finite: the values are equal, too few or too large".to_owned(),
        ),
        Err(reason) => refuse(&mut result, reason),
    }
    result
}

fn refuse(result: &mut TestResult, reason: String) {
    result.conclusion = format!("{} was not run: {reason}", result.test);
    result.refused = Some(reason);
}

fn t_test(samples: &Samples<'_, '_>, given: &Given<'_>, alpha: f64) -> Result<Outcome, String> {
    let paired = given.boolean("paired")?.unwrap_or(false);
    let equal_variance = given.boolean("equal_variance")?;
    let mu = given.number("mu")?;
    let values = samples.named_values();
    match (values.as_slice(), paired) {
        ([_, _], true) => {
            if equal_variance.is_some() {
                return Err("`equal_variance` has no meaning for a paired test".to_owned());
            }
            let (a, b) = samples.pairs()?;
            t_test::paired(&a, &b, mu.unwrap_or(0.0), alpha)
        }
        ([a, b], false) => {
            t_test::two_samples(a, b, mu.unwrap_or(0.0), equal_variance.unwrap_or(false), alpha)
        }
        ([one], false) => {
            if equal_variance.is_some() {
                return Err("`equal_variance` has no meaning for a single group".to_owned());
            }
            let mu = mu.ok_or("a t-test of one group needs the parameter `mu`, the mean to test against")?;
            t_test::one_sample(one, mu, alpha)
        }
        (groups, _) => Err(format!(
            "a t-test compares two groups, or one with `mu`, and {} have readings{}",
            groups.len(),
            if groups.len() > 2 { "; name two in `groups`, or use `anova`" } else { "" }
        )),
    }
}

/// The test's name, as manifests spell it.
pub fn name(test: TestKind) -> &'static str {
    match test {
        TestKind::MeanComparison => "mean_comparison",
        TestKind::TTest => "t_test",
        TestKind::Anova => "anova",
        TestKind::Correlation => "correlation",
        TestKind::Regression => "regression",
    }
}

/// Every parameter of a test that is unknown or of the wrong type; pointers lead into the test's object.
pub fn check_parameters(test: &StatisticalTest) -> Vec<ParameterProblem> {
    Given::problems(name(test.test), &test.parameters, known(test.test))
        .into_iter()
        .map(|(parameter, message)| ParameterProblem { pointer: format!("/parameters/{parameter}"), message })
        .collect()
}

/// Parameters that a test knows.
pub fn known(test: TestKind) -> &'static [&'static str] {
    match test {
        TestKind::MeanComparison | TestKind::Anova => &["quantity", "alpha"],
        TestKind::TTest => &["quantity", "alpha", "mu", "equal_variance", "paired"],
        TestKind::Correlation => &["quantity", "alpha", "with"],
        TestKind::Regression => &["quantity", "x", "x_quantity", "x_instrument", "x_attribute"],
    }
}

/// Values with the name of their group.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    /// Name of the group.
    pub name: String,
    /// Its values.
    pub values: Vec<f64>,
}

/// Two-sided probability of a t as far from zero or farther.
fn two_sided_t(t: f64, degrees_of_freedom: f64) -> Result<f64, String> {
    use statrs::distribution::{ContinuousCDF, StudentsT};
    let student = StudentsT::new(0.0, 1.0, degrees_of_freedom).map_err(|error| error.to_string())?;
    Ok((2.0 * student.sf(t.abs())).clamp(0.0, 1.0))
}

/// The t that is exceeded, to both sides together, with this probability.
fn critical_t(alpha: f64, degrees_of_freedom: f64) -> Result<f64, String> {
    use statrs::distribution::{ContinuousCDF, StudentsT};
    let student = StudentsT::new(0.0, 1.0, degrees_of_freedom).map_err(|error| error.to_string())?;
    Ok(student.inverse_cdf(1.0 - alpha / 2.0))
}
