//! Why a host gave no answer, or another than was hoped for, as a person wants to read it.

use std::error::Error;
use std::fmt::Write as _;
use std::time::Duration;

use inquisitor_report::printable;
use inquisitor_server::Problem;
use serde_json::Value;

/// Lines of `errors` that are shown; `--output json` has them all.
const MAX_SHOWN: usize = 50;

/// Why a host gave no answer, or another than was hoped for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The host says what is wrong.
    #[error("{}", shown(.0))]
    Problem(Box<Problem>),
    /// Something answered, and not as a host does.
    #[error(
        "{url} answered {status} and not as a host of inquiries does{}; is the address right?",
        text_of(body)
    )]
    NotAHost {
        /// What was asked.
        url: String,
        /// Its status.
        status: u16,
        /// The beginning of what it said.
        body: String,
    },
    /// No connection came about.
    #[error("cannot reach {server}: {}; {hint}", printable(reason))]
    Unreachable {
        /// The server.
        server: String,
        /// Why.
        reason: String,
        /// What to try.
        hint: &'static str,
    },
    /// There was a connection, and it broke.
    #[error("the connection to {server} broke: {}", printable(reason))]
    Broken {
        /// The server.
        server: String,
        /// How.
        reason: String,
    },
    /// It took too long.
    #[error("{server} gave no answer within {}; --timeout takes a longer one", crate::quantity::Period(*.after))]
    TimedOut {
        /// The server.
        server: String,
        /// How long it had.
        after: Duration,
    },
    /// A name that would lead to another path.
    #[error("`{0}` cannot be a name or an id")]
    BadName(String),
    /// The answer is not what this version knows.
    #[error("the answer of {url} is not what this version of the command understands: {}", printable(reason))]
    NotUnderstood {
        /// What was asked.
        url: String,
        /// Where it differs.
        reason: String,
    },
}

impl ClientError {
    /// What a request that failed without an answer means.
    pub(crate) fn of_transport(server: &str, error: &reqwest::Error) -> Self {
        let reason = root_cause(error);
        if !error.is_connect() {
            let hint = if reason.contains("invalid HTTP version") {
                "; where it speaks TLS, its address begins with https://"
            } else {
                ""
            };
            return Self::Broken { server: server.to_owned(), reason: reason + hint };
        }
        Self::Unreachable { server: server.to_owned(), hint: hint(&reason), reason }
    }
}

/// The innermost reason: what lies around it says only that a request failed.
fn root_cause(error: &reqwest::Error) -> String {
    let mut inner: &dyn Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

fn hint(reason: &str) -> &'static str {
    if reason.contains("CaUsedAsEndEntity") {
        "its certificate is marked as an authority's: the host needs one with CA:FALSE"
    } else if reason.contains("UnknownIssuer") || reason.contains("certificate") {
        "--ca-file names the authority that signed its certificate"
    } else if reason.contains("InvalidContentType") || reason.contains("corrupt message") {
        "it does not speak TLS there: should the address begin with http://?"
    } else {
        "is the host running, and is the address right? --server and INQUISITOR_SERVER name another"
    }
}

fn text_of(body: &str) -> String {
    if body.is_empty() { String::new() } else { format!(" (`{}`)", printable(body)) }
}

/// What, why, each mistake with its line, and the request's id for the host's log.
fn shown(problem: &Problem) -> String {
    let mut out = format!("{} ({})", printable(&problem.title), problem.status);
    if !problem.detail.is_empty() {
        let _ = write!(out, ": {}", printable(&problem.detail));
    }
    for error in problem.errors.iter().take(MAX_SHOWN) {
        let mistake = mistake(error);
        if !out.contains(&mistake) {
            let _ = write!(out, "\n  {mistake}");
        }
    }
    if problem.errors.len() > MAX_SHOWN {
        let _ = write!(out, "\n  and {} more", problem.errors.len() - MAX_SHOWN);
    }
    if let Some(seconds) = problem.retry_after {
        let _ = write!(out, "\n  worth another try after {seconds} s");
    }
    if let Some(request) = &problem.request {
        let _ = write!(out, "\n  request {}", printable(request));
    }
    out
}

/// One member of `errors` in a line: a diagnostic of a manifest, a finding of a component's check, or whatever else has a
/// message.
fn mistake(error: &Value) -> String {
    let text =
        |name: &str| error.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(printable);
    let Some(message) = text("message") else {
        let whole = error.as_str().map_or_else(|| error.to_string(), str::to_owned);
        return printable(&whole).into_owned();
    };
    let mut out = String::new();
    if let (Some(line), Some(column)) = (error.get("line"), error.get("column")) {
        // Numbers, of a host that is one.
        let place = format!("{line}:{column}: ");
        out.push_str(&printable(&place));
    }
    if let Some(severity) = text("severity") {
        out.push_str(&severity);
        if let Some(code) = text("code").or_else(|| text("name")) {
            let _ = write!(out, "[{code}]");
        }
        out.push_str(": ");
    }
    if let Some(path) = text("path") {
        let _ = write!(out, "{path}: ");
    }
    out.push_str(&message);
    if let Some(help) = text("help") {
        let _ = write!(out, "\n    help: {help}");
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_problem_says_what_why_where_and_under_which_id() {
        let problem: Problem = serde_json::from_value(json!({
            "type": "urn:inquisitor:problem:invalid-manifest",
            "title": "The manifest has mistakes",
            "status": 422,
            "detail": "1 error",
            "request": "01-abc",
            "errors": [
                { "severity": "error", "code": "unknown-field", "line": 3, "column": 5, "path": "manifest.protocl",
                  "message": "there is no field `protocl`", "help": "did you mean `protocol`?" },
                "something \u{1b}[31melse",
            ],
        }))
        .unwrap();
        insta::assert_snapshot!(ClientError::Problem(Box::new(problem)), @r"
        The manifest has mistakes (422): 1 error
          3:5: error[unknown-field]: manifest.protocl: there is no field `protocl`
            help: did you mean `protocol`?
          something �[31melse
          request 01-abc
        ");
    }

    #[test]
    fn what_a_host_says_is_only_text_wherever_it_is_quoted() {
        let reason = "unknown variant `\u{1b}]0;title\u{7}`, expected `ok`".to_owned();
        let (url, server) = ("http://h/".to_owned(), "http://h".to_owned());
        let odd = json!({
            "type": "t", "title": "t", "status": 422, "detail": "",
            "errors": [{ "message": "odd", "line": "\u{9b}31m", "column": "\u{1b}" }],
        });
        let odd: Problem = serde_json::from_value(odd).unwrap();
        for error in [
            ClientError::NotUnderstood { url: url.clone(), reason: reason.clone() },
            ClientError::Broken { server: server.clone(), reason: reason.clone() },
            ClientError::Unreachable { server, reason: reason.clone(), hint: "" },
            ClientError::NotAHost { url, status: 200, body: reason },
            ClientError::Problem(Box::new(odd)),
        ] {
            let shown = error.to_string();
            assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
        }
    }

    #[test]
    fn a_private_authority_is_hinted_at() {
        assert!(hint("invalid peer certificate: UnknownIssuer").starts_with("--ca-file"));
        assert!(hint("Connection refused (os error 111)").contains("INQUISITOR_SERVER"));
    }
}
