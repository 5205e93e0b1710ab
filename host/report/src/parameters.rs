//! Parameters of artifacts and charts, read and checked.

use inquisitor_manifest::ParameterProblem;
use inquisitor_manifest::spec::Parameters;
use serde_json::Value;

/// Parameters of an artifact.
#[derive(Debug, Default)]
pub(crate) struct ArtifactOptions {
    /// Title in place of the manifest's name.
    pub(crate) title: Option<String>,
}

pub(crate) fn artifact(parameters: &Parameters) -> Result<ArtifactOptions, Vec<ParameterProblem>> {
    let mut reader = Reader::new(parameters, &["title"]);
    let options = ArtifactOptions { title: reader.text("title") };
    reader.finish(options)
}

/// Reads parameters and collects all problems.
pub(crate) struct Reader<'a> {
    parameters: &'a Parameters,
    problems: Vec<ParameterProblem>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(parameters: &'a Parameters, known: &[&str]) -> Self {
        let mut reader = Self { parameters, problems: Vec::new() };
        for name in parameters.keys().filter(|name| !known.contains(&name.as_str())) {
            reader.problem(name, format!("unknown parameter {name:?}; there are {}", known.join(", ")));
        }
        reader
    }

    pub(crate) fn problem(&mut self, name: &str, message: impl Into<String>) {
        let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        self.problems.push(ParameterProblem { pointer, message: message.into() });
    }

    /// A member; null counts as not given.
    fn value(&self, name: &str) -> Option<&'a Value> {
        self.parameters.get(name).filter(|value| !value.is_null())
    }

    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        match self.value(name)? {
            Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
            _ => {
                self.problem(name, "must be text that is not empty");
                None
            }
        }
    }

    pub(crate) fn whole(&mut self, name: &str, least: usize, most: usize) -> Option<usize> {
        let number = self.value(name)?.as_u64().and_then(|number| usize::try_from(number).ok());
        let number = number.filter(|number| (least..=most).contains(number));
        if number.is_none() {
            self.problem(name, format!("must be a whole number of {least} to {most}"));
        }
        number
    }

    pub(crate) fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        let texts = self.value(name)?.as_array().and_then(|items| {
            items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        });
        if texts.is_none() {
            self.problem(name, "must be a list of texts");
        }
        texts
    }

    pub(crate) fn finish<T>(self, value: T) -> Result<T, Vec<ParameterProblem>> {
        if self.problems.is_empty() { Ok(value) } else { Err(self.problems) }
    }
}
