//! What came of a run: a table for people, JSON for programs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

/// What was counted, of one fault or of all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Inquiries that were acknowledged.
    pub acknowledged: u64,
    /// Submissions that were answered with what their key had made before.
    pub replayed: u64,
    /// Submissions that were answered with 503.
    pub refused: u64,
    /// Submissions that were not answered.
    pub unanswered: u64,
    /// Linearizable reads that were answered.
    pub reads: u64,
    /// Those that were not, or with 503.
    pub reads_refused: u64,
    /// Reads of what lies on a member that were answered.
    pub local_reads: u64,
    /// Acknowledged and not there or not finished, counted on each member.
    pub lost: u64,
    /// Done or recorded twice, counted on each member.
    pub doubled: u64,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        for (sum, one) in [
            (&mut self.acknowledged, other.acknowledged),
            (&mut self.replayed, other.replayed),
            (&mut self.refused, other.refused),
            (&mut self.unanswered, other.unanswered),
            (&mut self.reads, other.reads),
            (&mut self.reads_refused, other.reads_refused),
            (&mut self.local_reads, other.local_reads),
            (&mut self.lost, other.lost),
            (&mut self.doubled, other.doubled),
        ] {
            *sum += one;
        }
    }
}

/// One kind of fault.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its name.
    pub fault: &'static str,
    /// How often it happened.
    pub times: u64,
    /// What clients counted from its beginning until every member acknowledged again and was compared.
    pub counts: Counts,
    /// The longest time without any acknowledgement.
    pub longest_gap: Duration,
}

/// A whole run.
#[derive(Debug, Default)]
pub struct Report {
    /// Where members were: `namespaces` or `loopback`.
    pub network: &'static str,
    /// Faults that were left out, and why.
    pub left_out: Vec<(&'static str, String)>,
    /// The faults.
    pub rows: Vec<Row>,
    /// How long it took.
    pub took: Duration,
    /// Entries of the ledger.
    pub entries: u64,
    /// Proofs of consistency that were verified.
    pub proofs: u64,
    /// Indexes at which states were compared.
    pub states: usize,
    /// How inquiries ended.
    pub verdicts: BTreeMap<String, u64>,
    /// How often something happened that must not, by what.
    pub violations: BTreeMap<&'static str, u64>,
    /// The first of them, in words.
    pub texts: Vec<String>,
    /// Where the members' logs are kept, after a violation.
    pub logs: Option<PathBuf>,
}

impl Report {
    /// Count a fault.
    pub(super) fn add(&mut self, fault: &'static str, counts: &Counts, gap: Duration) {
        let index = self.rows.iter().position(|row| row.fault == fault).unwrap_or_else(|| {
            self.rows.push(Row { fault, times: 0, counts: Counts::default(), longest_gap: Duration::ZERO });
            self.rows.len() - 1
        });
        let row = &mut self.rows[index];
        row.times += 1;
        row.counts.add(counts);
        row.longest_gap = row.longest_gap.max(gap);
    }

    /// Whether nothing happened that must not.
    pub fn is_good(&self) -> bool {
        self.violations.is_empty()
    }

    fn total(&self) -> Row {
        let mut total =
            Row { fault: "all", times: 0, counts: Counts::default(), longest_gap: Duration::ZERO };
        for row in &self.rows {
            total.times += row.times;
            total.counts.add(&row.counts);
            total.longest_gap = total.longest_gap.max(row.longest_gap);
        }
        total
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{:<24} {:>5} {:>12} {:>6} {:>8} {:>8} {:>9} {:>9} {:>8} {:>8} {:>11}\n",
            "fault",
            "times",
            "acknowledged",
            "lost",
            "doubled",
            "refused",
            "no answer",
            "replayed",
            "reads",
            "not read",
            "longest gap"
        );
        for row in self.rows.iter().chain([&self.total()]) {
            let counts = &row.counts;
            text.push_str(&format!(
                "{:<24} {:>5} {:>12} {:>6} {:>8} {:>8} {:>9} {:>9} {:>8} {:>8} {:>9.1} s\n",
                row.fault,
                row.times,
                counts.acknowledged,
                counts.lost,
                counts.doubled,
                counts.refused,
                counts.unanswered,
                counts.replayed,
                counts.reads,
                counts.reads_refused,
                row.longest_gap.as_secs_f64()
            ));
        }
        text.push_str(&format!(
            "\n{:.0} s, members in {}; {} entries of the ledger read on each member, {} proofs of consistency verified, states \
             compared at {} indexes; inquiries ended as {:?}\n",
            self.took.as_secs_f64(),
            self.network,
            self.entries,
            self.proofs,
            self.states,
            self.verdicts
        ));
        for (fault, why) in &self.left_out {
            text.push_str(&format!("left out: {fault}: {why}\n"));
        }
        for (what, times) in &self.violations {
            text.push_str(&format!("FAILED: {what}, {times} times\n"));
        }
        for one in &self.texts {
            text.push_str(&format!("  {one}\n"));
        }
        if let Some(logs) = &self.logs {
            text.push_str(&format!("the members' logs are in {}\n", logs.display()));
        }
        text
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let row = |row: &Row| {
            let counts = &row.counts;
            json!({
                "fault": row.fault,
                "times": row.times,
                "acknowledged": counts.acknowledged,
                "lost": counts.lost,
                "doubled": counts.doubled,
                "refused": counts.refused,
                "unanswered": counts.unanswered,
                "replayed": counts.replayed,
                "reads": counts.reads,
                "reads_refused": counts.reads_refused,
                "local_reads": counts.local_reads,
                "longest_gap_ms": u64::try_from(row.longest_gap.as_millis()).unwrap_or(u64::MAX),
            })
        };
        json!({
            "passed": self.is_good(),
            "network": self.network,
            "seconds": self.took.as_secs(),
            "faults": self.rows.iter().map(row).collect::<Vec<_>>(),
            "total": row(&self.total()),
            "left_out": self.left_out.iter().map(|(fault, why)| json!({ "fault": fault, "why": why })).collect::<Vec<_>>(),
            "ledger_entries": self.entries,
            "proofs": self.proofs,
            "states_compared": self.states,
            "ends": self.verdicts,
            "violations": self.violations,
            "details": self.texts,
            "logs": self.logs,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_one_fault_are_one_and_a_violation_is_told() {
        let mut report = Report::default();
        let counts = Counts { acknowledged: 3, refused: 1, ..Counts::default() };
        report.add("a", &counts, Duration::from_millis(1500));
        report.add("a", &counts, Duration::from_millis(500));
        report.add("b", &counts, Duration::from_millis(700));
        assert!(report.is_good());
        let json = report.json();
        assert_eq!((&json["faults"][0]["times"], &json["faults"][0]["acknowledged"]), (&json!(2), &json!(6)));
        assert_eq!(json["total"]["acknowledged"], 9);
        assert_eq!(json["total"]["longest_gap_ms"], 1500);
        report.violations.insert("lost", 2);
        report.texts.push("lost: what".to_owned());
        report.logs = Some("/somewhere".into());
        let text = report.text();
        assert!(!report.is_good());
        for part in ["1.5 s", "FAILED: lost, 2 times", "lost: what", "/somewhere"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
