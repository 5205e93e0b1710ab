//! Secrets: looked up at the moment of use, and struck out of everything that a step brings back.

use std::collections::BTreeSet;
use std::path::PathBuf;

use inquisitor_findings::reading::{Observation, Value};
use inquisitor_manifest::secret;
use inquisitor_manifest::spec::Parameters;
use inquisitor_runtime::outcome::Failure;
use inquisitor_runtime::request::Report;

use crate::gating::Bounds;

/// What stands where a secret was struck out.
pub const STRUCK_OUT: &str = "[secret]";

/// Secrets shorter than this are not struck out: they would blank out ordinary text without hiding anything.
const MIN_STRUCK_OUT: usize = 4;

/// Bytes of a secret file that are read at most.
const MAX_SECRET_BYTES: u64 = 64 << 10;

/// Where secret references are looked up.
pub trait Secrets: Send + Sync {
    /// The secret of this name.
    ///
    /// # Errors
    /// A message that says why there is none: not allowed, or allowed but not set. It never holds a secret.
    fn get(&self, name: &str) -> Result<String, String>;
}

/// Secrets from a directory (a file for each) and from the environment, for allowed names only. The default allows none.
#[derive(Debug, Clone, Default)]
pub struct AllowedSecrets {
    /// Names that manifests may refer to.
    pub allowed: BTreeSet<String>,
    /// Looked in first, where given: as Kubernetes mounts a Secret.
    pub directory: Option<PathBuf>,
}

impl Secrets for AllowedSecrets {
    fn get(&self, name: &str) -> Result<String, String> {
        if !self.allowed.contains(name) {
            return Err(format!("the secret `{name}` is not on the list of allowed secrets"));
        }
        // The name becomes a file name; the manifest parser admits only letters, digits and underscores, and this
        // does not rely on it.
        let plain = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        if plain && let Some(directory) = &self.directory {
            let path = directory.join(name);
            if path.is_file() {
                let too_large = path.metadata().is_ok_and(|metadata| metadata.len() > MAX_SECRET_BYTES);
                if too_large {
                    return Err(format!("the secret file `{name}` is larger than {MAX_SECRET_BYTES} bytes"));
                }
                return std::fs::read_to_string(&path)
                    .map(|text| text.trim_end_matches(['\n', '\r']).to_owned())
                    .map_err(|error| format!("the secret file `{name}` cannot be read: {error}"));
            }
        }
        std::env::var(name).map_err(|_| {
            format!("the secret `{name}` is allowed but set neither as a file nor in the environment")
        })
    }
}

/// Secrets as one inquiry may use them: those that the host allows and its tenant too.
pub(crate) struct Resolver<'a> {
    secrets: &'a dyn Secrets,
    bounds: &'a Bounds,
    /// The secrets that were looked up, to be struck out of whatever comes back.
    pub(crate) used: Vec<String>,
}

impl<'a> Resolver<'a> {
    pub(crate) fn new(secrets: &'a dyn Secrets, bounds: &'a Bounds) -> Self {
        Self { secrets, bounds, used: Vec::new() }
    }

    /// Parameters with their secret references resolved.
    ///
    /// # Errors
    /// A message without a secret, when there is none by a name or it is not allowed.
    pub(crate) fn parameters(&mut self, parameters: &Parameters) -> Result<Parameters, String> {
        let mut refused = None;
        let resolved = secret::resolve(parameters, &mut |name| self.look_up(name, &mut refused));
        resolved.map(|resolved| resolved.value).map_err(|error| refused.unwrap_or_else(|| error.to_string()))
    }

    /// A text with its secret references resolved.
    ///
    /// # Errors
    /// As for parameters.
    pub(crate) fn text(&mut self, text: &str) -> Result<String, String> {
        let mut refused = None;
        let resolved = secret::resolve_text(text, &mut |name| self.look_up(name, &mut refused));
        resolved.map(|resolved| resolved.value).map_err(|error| refused.unwrap_or_else(|| error.to_string()))
    }

    fn look_up(&mut self, name: &str, refused: &mut Option<String>) -> Option<String> {
        let is_allowed = self.bounds.secrets.as_ref().is_none_or(|allowed| allowed.contains(name));
        let found = if is_allowed {
            self.secrets.get(name)
        } else {
            let tenant = &self.bounds.tenant;
            Err(format!("the policy of the tenant `{tenant}` does not allow the secret `{name}`"))
        };
        match found {
            Ok(secret) => {
                self.used.push(secret.clone());
                Some(secret)
            }
            Err(why) => {
                *refused = Some(why);
                None
            }
        }
    }
}

/// Strike secrets out of a text.
pub fn strike_text(text: &mut String, secrets: &[String]) {
    for secret in secrets.iter().filter(|secret| secret.len() >= MIN_STRUCK_OUT) {
        if text.contains(secret.as_str()) {
            *text = text.replace(secret.as_str(), STRUCK_OUT);
        }
    }
}

/// Strike secrets out of everything in a report that can hold text and is kept.
pub fn strike_out(report: &mut Report, secrets: &[String]) {
    if secrets.is_empty() {
        return;
    }
    let strike = |text: &mut String| strike_text(text, secrets);
    for line in &mut report.logs {
        strike(&mut line.message);
        for (_, value) in &mut line.attributes {
            strike(value);
        }
    }
    for denial in &mut report.denials {
        strike(denial);
    }
    match &mut report.result {
        Ok(observation) => strike_observation(observation, &strike),
        Err(failure) => strike_failure(failure, secrets),
    }
}

fn strike_observation(observation: &mut Observation, strike: &dyn Fn(&mut String)) {
    for reading in &mut observation.readings {
        strike_value(&mut reading.value, strike);
        reading.attributes.values_mut().for_each(|value| strike_value(value, strike));
    }
    for series in &mut observation.series {
        series.attributes.values_mut().for_each(|value| strike_value(value, strike));
    }
}

fn strike_value(value: &mut Value, strike: &dyn Fn(&mut String)) {
    match value {
        Value::Text(text) => strike(text),
        Value::Bytes(bytes) => {
            if let Ok(text) = std::str::from_utf8(bytes) {
                let mut text = text.to_owned();
                strike(&mut text);
                *bytes = text.into_bytes();
            }
        }
        Value::Number(_) | Value::Integer(_) | Value::Boolean(_) => {}
    }
}

/// Strike secrets out of a failure.
pub(crate) fn strike_failure(failure: &mut Failure, secrets: &[String]) {
    let strike = |text: &mut String| strike_text(text, secrets);
    match failure {
        Failure::InvalidParameters { message, .. }
        | Failure::Unavailable { message, .. }
        | Failure::Failed { message }
        | Failure::Trap { message }
        | Failure::ContractViolation { message }
        | Failure::InstanceLimit { message }
        | Failure::Host { message } => strike(message),
        Failure::CapabilityDenied { asked } => strike(asked),
        Failure::MemoryLimit { .. }
        | Failure::TableLimit { .. }
        | Failure::WallLimit { .. }
        | Failure::FuelLimit { .. }
        | Failure::StackLimit { .. }
        | Failure::HostCallLimit { .. }
        | Failure::ResultLimit { .. }
        | Failure::Exited { .. }
        | Failure::Cancelled => {}
    }
}

#[cfg(test)]
mod tests {
    use inquisitor_findings::reading::Reading;
    use inquisitor_runtime::request::{LogLevel, LogLine, Transcript, Usage};

    use super::*;

    fn report(result: Result<Observation, Failure>) -> Report {
        let line = LogLine {
            level: LogLevel::Info,
            message: "using hunter22 now".into(),
            attributes: vec![("key".into(), "hunter22".into())],
        };
        Report {
            result,
            logs: vec![line],
            usage: Usage::default(),
            transcript: Transcript::default(),
            state: None,
            denials: vec!["http hunter22.example:443".into()],
        }
    }

    #[test]
    fn a_secret_is_struck_out_wherever_text_is_kept() {
        let reading = Reading {
            quantity: "reply".into(),
            value: Value::Text("token=hunter22;".into()),
            unit: "1".into(),
            uncertainty: None,
            confidence: 1.0,
            time: None,
            attributes: [("raw".to_owned(), Value::Bytes(b"hunter22".to_vec()))].into(),
        };
        let mut report = report(Ok(Observation { readings: vec![reading], series: vec![] }));
        strike_out(&mut report, &["hunter22".into()]);
        let text = format!("{report:?}");
        assert!(!text.contains("hunter22"), "{text}");
        assert!(text.contains(STRUCK_OUT));
    }

    #[test]
    fn a_secret_is_struck_out_of_a_failure() {
        let mut report = report(Err(Failure::Failed { message: "401 for hunter22".into() }));
        strike_out(&mut report, &["hunter22".into()]);
        assert_eq!(report.result, Err(Failure::Failed { message: "401 for [secret]".into() }));
    }

    #[test]
    fn a_name_that_is_not_allowed_is_refused_even_if_it_is_set() {
        let secrets = AllowedSecrets::default();
        let error = secrets.get("PATH").unwrap_err();
        assert!(error.contains("`PATH` is not on the list"), "{error}");
    }

    #[test]
    fn a_file_comes_before_the_environment_and_loses_its_newline() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("PATH"), "from-file\n").unwrap();
        let secrets = AllowedSecrets {
            allowed: ["PATH".to_owned()].into(),
            directory: Some(directory.path().to_owned()),
        };
        assert_eq!(secrets.get("PATH"), Ok("from-file".to_owned()));
    }

    #[test]
    fn a_tenant_uses_the_secrets_that_its_policy_names_and_the_host_allows() {
        struct Host;
        impl Secrets for Host {
            fn get(&self, name: &str) -> Result<String, String> {
                if name == "UNSET" { Err("not set".into()) } else { Ok(format!("value of {name}")) }
            }
        }
        let bounds = Bounds {
            tenant: "acme".into(),
            secrets: Some(["OURS".to_owned(), "UNSET".to_owned()].into()),
            ..Bounds::of_host()
        };
        let mut resolver = Resolver::new(&Host, &bounds);
        assert_eq!(resolver.text("a ${OURS}"), Ok("a value of OURS".into()));
        let refused = resolver.text("${THEIRS}").unwrap_err();
        assert_eq!(refused, "the policy of the tenant `acme` does not allow the secret `THEIRS`");
        assert_eq!(resolver.text("${UNSET}"), Err("not set".into()));
        assert_eq!(resolver.used, ["value of OURS"]);
        let everything = Bounds::of_host();
        assert_eq!(Resolver::new(&Host, &everything).text("${THEIRS}"), Ok("value of THEIRS".into()));
    }
}
