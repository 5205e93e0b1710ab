//! One-way analysis of variance: do groups have one mean?
//!
//! Sums of squares are taken about the group means and the grand mean in two passes, after a common value has been
//! subtracted, so that leading digits that all values share cost nothing: NIST's certified values are met to nine digits and
//! more.

use statrs::distribution::{ContinuousCDF, FisherSnedecor};

use super::{Named, Outcome};
use crate::format::{p_value, significant};
use crate::numeric::{self, Spread, count};

/// Compare the means of two or more groups.
///
/// # Errors
/// When there are fewer than two groups, one is empty, no group has more than one value, or all values in each
/// group are equal.
pub fn one_way(groups: &[Named], alpha: f64) -> Result<Outcome, String> {
    if groups.len() < 2 {
        return Err(format!("anova compares at least two groups, and {} have readings", groups.len()));
    }
    let origin = groups.iter().find_map(|group| group.values.first()).copied().unwrap_or(0.0);
    let spreads = groups
        .iter()
        .map(|group| {
            let shifted: Vec<f64> = group.values.iter().map(|value| value - origin).collect();
            Spread::of(&shifted).ok_or_else(|| format!("{} has no readings", group.name))
        })
        .collect::<Result<Vec<Spread>, String>>()?;
    let total: usize = spreads.iter().map(|spread| spread.n).sum();
    let df_between = count(groups.len() - 1);
    let df_within = count(total - groups.len());
    if df_within < 1.0 {
        return Err("anova needs a group with more than one reading".to_owned());
    }
    let grand = numeric::sum(spreads.iter().map(|s| s.mean * count(s.n))) / count(total);
    let ss_between = numeric::sum(spreads.iter().map(|s| count(s.n) * (s.mean - grand).powi(2)));
    let ss_within = numeric::sum(spreads.iter().map(|s| s.squares));
    if ss_within <= 0.0 {
        return Err(
            "the readings of each group are equal, so that there is no scatter to compare with".to_owned()
        );
    }
    let ms_between = ss_between / df_between;
    let ms_within = ss_within / df_within;
    let f = ms_between / ms_within;
    let fisher = FisherSnedecor::new(df_between, df_within).map_err(|error| error.to_string())?;
    let p = fisher.sf(f).clamp(0.0, 1.0);
    let figures = [
        ("df_between", df_between),
        ("df_within", df_within),
        ("ss_between", ss_between),
        ("ss_within", ss_within),
        ("ms_between", ms_between),
        ("ms_within", ms_within),
        ("f", f),
        ("p_value", p),
        ("r_squared", ss_between / (ss_between + ss_within)),
        ("residual_standard_deviation", ms_within.sqrt()),
    ];
    let says = if p < alpha { "the means differ" } else { "no difference of the means is shown" };
    Ok(Outcome {
        figures: figures.map(|(name, figure)| (name.to_owned(), figure)).to_vec(),
        conclusion: format!(
            "{says}: F({df_between}, {df_within}) = {}, {} at α = {alpha}",
            significant(f, 4),
            p_value(p)
        ),
    })
}
