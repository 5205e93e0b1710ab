//! Exit codes, the same for every command that can come to a verdict.

use std::process::ExitCode;

use inquisitor_findings::finding::Verdict;

/// Something failed, or something is invalid.
pub(crate) const ERROR: u8 = 1;
/// The command was used wrongly, or its input cannot be read.
pub(crate) const USAGE: u8 = 2;
/// Interrupted from the keyboard: 128 + SIGINT, as shells have it.
pub(crate) const INTERRUPTED: u8 = 130;

/// The code of a verdict.
pub(crate) fn of(verdict: Verdict) -> ExitCode {
    ExitCode::from(match verdict {
        Verdict::Verified => 0,
        Verdict::Inconclusive => 3,
        Verdict::Falsified => 4,
    })
}
