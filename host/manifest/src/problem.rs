//! What is wrong with parameters that somebody else consumes: a source of data, a test, a chart, a report.

use std::fmt::Write as _;

/// What is wrong with a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterProblem {
    /// JSON Pointer to the parameter, in the object that its consumer documents.
    pub pointer: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl ParameterProblem {
    /// Problems as one line of text.
    pub fn list(problems: &[Self]) -> String {
        let mut text = String::new();
        for problem in problems {
            let separator = if text.is_empty() { "" } else { "; " };
            // Writing to a string cannot fail.
            let _ = write!(text, "{separator}{}: {}", problem.pointer, problem.message);
        }
        text
    }
}
