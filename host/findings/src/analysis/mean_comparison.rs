//! The means of groups with their confidence intervals, and the largest difference between two of them.

use super::{Named, Outcome, critical_t};
use crate::format::significant;
use crate::numeric::{Spread, count};

/// Compare the means of one or more groups. Each has a confidence interval of level 1 − alpha after Student; the largest
/// difference has one after Welch, widened by Bonferroni for having been chosen among all pairs.
///
/// # Errors
/// When there is no group, or one has fewer than two values.
pub fn compare(groups: &[Named], alpha: f64) -> Result<Outcome, String> {
    if groups.is_empty() {
        return Err("no group has readings".to_owned());
    }
    let mut figures = Vec::with_capacity(5 * groups.len() + 3);
    let mut spreads = Vec::with_capacity(groups.len());
    for group in groups {
        let spread = Spread::of(&group.values)
            .filter(|spread| spread.n >= 2)
            .ok_or_else(|| format!("{}: a mean with an interval needs at least two values", group.name))?;
        let n = count(spread.n);
        let deviation = (spread.squares / (n - 1.0)).sqrt();
        let half = critical_t(alpha, n - 1.0)? * deviation / n.sqrt();
        let name = &group.name;
        figures.extend([
            (format!("n({name})"), n),
            (format!("mean({name})"), spread.mean),
            (format!("standard_deviation({name})"), deviation),
            (format!("lower({name})"), spread.mean - half),
            (format!("upper({name})"), spread.mean + half),
        ]);
        spreads.push(spread);
    }
    let by_mean = |a: &usize, b: &usize| spreads[*a].mean.total_cmp(&spreads[*b].mean);
    let lowest = (0..spreads.len()).min_by(by_mean).unwrap_or(0);
    let highest = (0..spreads.len()).max_by(by_mean).unwrap_or(0);
    if lowest == highest {
        let mean = significant(spreads[0].mean, 6);
        return Ok(Outcome { figures, conclusion: format!("the mean of {} is {mean}", groups[0].name) });
    }
    let (a, b) = (&spreads[highest], &spreads[lowest]);
    let difference = a.mean - b.mean;
    let (na, nb) = (count(a.n), count(b.n));
    let (va, vb) = (a.squares / (na - 1.0) / na, b.squares / (nb - 1.0) / nb);
    let pairs = count(groups.len()) * count(groups.len() - 1) / 2.0;
    let half = if va + vb > 0.0 {
        let df = (va + vb).powi(2) / (va * va / (na - 1.0) + vb * vb / (nb - 1.0));
        critical_t(alpha / pairs, df)? * (va + vb).sqrt()
    } else {
        0.0
    };
    figures.extend([
        ("largest_difference".to_owned(), difference),
        ("lower".to_owned(), difference - half),
        ("upper".to_owned(), difference + half),
    ]);
    let says =
        if difference - half > 0.0 { "the means differ" } else { "no difference of the means is shown" };
    let conclusion = format!(
        "{says}: the largest difference, of {} and {}, is {} with the interval [{}, {}] at α = {alpha} over all pairs",
        groups[highest].name,
        groups[lowest].name,
        significant(difference, 4),
        significant(difference - half, 4),
        significant(difference + half, 4)
    );
    Ok(Outcome { figures, conclusion })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_of_means() {
        let groups = [
            Named { name: "a".to_owned(), values: vec![1.0, 2.0, 3.0] },
            Named { name: "b".to_owned(), values: vec![11.0, 12.0, 13.0] },
        ];
        let outcome = compare(&groups, 0.05).unwrap();
        let figure = |name: &str| outcome.figures.iter().find(|(known, _)| known == name).unwrap().1;
        // t(0.975, 2) = 4.302653, s/√3 = 0.577350.
        assert!((figure("upper(a)") - (2.0 + 4.302_652_73 * 0.577_350_269)).abs() < 1e-7);
        assert_eq!(figure("largest_difference"), 10.0);
        assert!(figure("lower") > 0.0 && outcome.conclusion.starts_with("the means differ"));
    }
}
