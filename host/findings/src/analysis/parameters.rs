//! Parameters of a test, checked.

use inquisitor_manifest::spec::Parameters;
use serde_json::Value;

use super::DEFAULT_ALPHA;

fn unknown(test: &str, name: &str, known: &[&str]) -> String {
    format!("{test} has no parameter `{name}`; it knows {}", known.join(", "))
}

/// The parameters that a manifest gives.
pub(super) struct Given<'p>(&'p Parameters);

impl<'p> Given<'p> {
    /// Refuses a parameter that the test does not know, because nothing may be accepted and ignored.
    pub(super) fn new(test: &str, parameters: &'p Parameters, known: &[&str]) -> Result<Self, String> {
        for name in parameters.keys() {
            if !known.contains(&name.as_str()) {
                return Err(unknown(test, name, known));
            }
        }
        Ok(Self(parameters))
    }

    /// Every parameter that is unknown or of the wrong type, with what is wrong.
    pub(super) fn problems(test: &str, parameters: &'p Parameters, known: &[&str]) -> Vec<(String, String)> {
        let given = Self(parameters);
        let wrong = |name: &str| match name {
            _ if !known.contains(&name) => Some(unknown(test, name, known)),
            "alpha" => given.alpha().err(),
            "mu" => given.number(name).err(),
            "equal_variance" | "paired" => given.boolean(name).err(),
            _ => given.text(name).err(),
        };
        parameters.keys().filter_map(|name| Some((name.clone(), wrong(name)?))).collect()
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'p str>, String> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(format!("`{name}` must be a text, not {other}")),
        }
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<f64>, String> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => value
                .as_f64()
                .filter(|number| number.is_finite())
                .map(Some)
                .ok_or_else(|| format!("`{name}` must be a number, not {value}")),
        }
    }

    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>, String> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Bool(boolean)) => Ok(Some(*boolean)),
            Some(other) => Err(format!("`{name}` must be true or false, not {other}")),
        }
    }

    /// The significance level, between 0 and 1.
    pub(super) fn alpha(&self) -> Result<f64, String> {
        let alpha = self.number("alpha")?.unwrap_or(DEFAULT_ALPHA);
        if alpha > 0.0 && alpha < 1.0 {
            Ok(alpha)
        } else {
            Err(format!("`alpha` must lie between 0 and 1, and is {alpha}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_wrong_parameter_is_told() {
        let Value::Object(parameters) =
            json!({ "alpha": 2, "beta": 1, "mu": "x", "paired": true, "quantity": 3 })
        else {
            unreachable!()
        };
        let known = ["quantity", "alpha", "mu", "paired"];
        let names: Vec<String> =
            Given::problems("t_test", &parameters, &known).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["alpha", "beta", "mu", "quantity"]);
    }
}
