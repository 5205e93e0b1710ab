//! What an instrument says: readings, series of them, and the observation that gathers both.
//!
//! [`Observation::push`] checks every reading against the contract, so that a mistake is named where it is made and
//! not by the host after the call.

use std::rc::Rc;

/// Attributes a reading, a series or a calibration may carry; the contract's bound.
pub const MAX_ATTRIBUTES: usize = 32;
/// Characters the name of an attribute may have; the contract's bound.
pub const MAX_ATTRIBUTE_NAME: usize = 64;

/// Characters that the name of an instrument, an alias or a quantity may have; the contract's bound.
pub(crate) const MAX_NAME: usize = 64;
/// The name of a quantity that stands for any: an instrument that declares it may give readings of whatever its
/// parameters say.
pub const ANY_QUANTITY: &str = "*";

/// One typed value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A real number; in a reading always finite.
    Number(f64),
    /// An integer, where a real number would lose digits.
    Integer(i64),
    /// UTF-8 text.
    Text(String),
    /// A yes or a no.
    Boolean(bool),
    /// Uninterpreted bytes.
    Bytes(Vec<u8>),
}

impl Value {
    /// The value as a real number, where it is a number or an integer (exact up to 2^53).
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Integer(integer) => Some(*integer as f64),
            _ => None,
        }
    }

    /// The value as text, where it is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Conversions without loss into one variant.
macro_rules! value_from {
    ($($from:ty => $variant:ident),* $(,)?) => {$(
        impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}

value_from!(
    f64 => Number, f32 => Number,
    i64 => Integer, i32 => Integer, i16 => Integer, i8 => Integer, u32 => Integer, u16 => Integer, u8 => Integer,
    String => Text, &str => Text, bool => Boolean, Vec<u8> => Bytes, &[u8] => Bytes,
);

/// A quantity that an instrument may give readings of. See [`crate::About::quantity`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quantity {
    /// Lower case, digits and underscores, a letter first; [`ANY_QUANTITY`] where the parameters decide.
    pub name: String,
    /// UCUM code of the usual unit.
    pub unit: String,
    /// What it is, in a sentence.
    pub description: String,
}

/// Why a reading or a series was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the reading of `{quantity}` breaks the contract: {problem}")]
pub struct InvalidReading {
    /// The quantity that the reading names.
    pub quantity: String,
    /// What is wrong with it and what would be right.
    pub problem: String,
}

/// One statement about one quantity.
///
/// ```
/// # use inquisitor_sdk::Reading;
/// let reading = Reading::of("temperature", 4.2).unit("Cel").uncertainty(0.1).confidence(0.9).attribute("channel", 3);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// What was measured: one of the quantities that the instrument declares.
    pub quantity: String,
    /// What was found.
    pub value: Value,
    /// UCUM code. Empty until the reading is pushed means: the unit declared for the quantity.
    pub unit: String,
    /// Standard uncertainty (k = 1) in the reading's unit; none where unknown.
    pub uncertainty: Option<f64>,
    /// How far the instrument trusts the reading, 0 to 1.
    pub confidence: f64,
    /// When the quantity had the value, nanoseconds since the Unix epoch; none means while the step ran.
    pub time: Option<i64>,
    /// What else belongs to it; at most [`MAX_ATTRIBUTES`].
    pub attributes: Vec<(String, Value)>,
}

impl Reading {
    /// A reading in the declared unit of the quantity, with full confidence and no known uncertainty, of now.
    pub fn of(quantity: impl Into<String>, value: impl Into<Value>) -> Self {
        Self {
            quantity: quantity.into(),
            value: value.into(),
            unit: String::new(),
            uncertainty: None,
            confidence: 1.0,
            time: None,
            attributes: Vec::new(),
        }
    }

    /// UCUM code of the unit, where it is not the declared one.
    #[must_use]
    pub fn unit(mut self, unit: impl Into<String>) -> Self {
        self.unit = unit.into();
        self
    }

    /// Standard uncertainty (k = 1) in the reading's unit: finite, zero or more.
    #[must_use]
    pub fn uncertainty(mut self, uncertainty: f64) -> Self {
        self.uncertainty = Some(uncertainty);
        self
    }

    /// How far the instrument trusts the reading, 0 (not at all) to 1 (fully).
    #[must_use]
    pub fn confidence(mut self, confidence: f64) -> Self {
        self.confidence = confidence;
        self
    }

    /// When the quantity had the value, nanoseconds since the Unix epoch.
    #[must_use]
    pub fn at(mut self, time: i64) -> Self {
        self.time = Some(time);
        self
    }

    /// Something else that belongs to the reading.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.attributes.push((name.into(), value.into()));
        self
    }
}

/// Many numeric readings of one quantity, by the column. Cheaper than as many [`Reading`]s by far: a column crosses
/// the sandbox as one copy of memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What was measured: one of the quantities that the instrument declares.
    pub quantity: String,
    /// UCUM code. Empty until the series is pushed means: the unit declared for the quantity.
    pub unit: String,
    /// The values, all finite.
    pub values: Vec<f64>,
    /// When each value held, nanoseconds since the Unix epoch: empty, or one for each value.
    pub times: Vec<i64>,
    /// Standard uncertainties: none, one for all, or one for each value.
    pub uncertainties: Vec<f64>,
    /// How far the instrument trusts each of the readings, 0 to 1.
    pub confidence: f64,
    /// What belongs to every reading; at most [`MAX_ATTRIBUTES`].
    pub attributes: Vec<(String, Value)>,
}

impl Series {
    /// A series in the declared unit of the quantity, with full confidence, no known uncertainty and no times.
    pub fn of(quantity: impl Into<String>, values: Vec<f64>) -> Self {
        Self {
            quantity: quantity.into(),
            unit: String::new(),
            values,
            times: Vec::new(),
            uncertainties: Vec::new(),
            confidence: 1.0,
            attributes: Vec::new(),
        }
    }

    /// UCUM code of the unit, where it is not the declared one.
    #[must_use]
    pub fn unit(mut self, unit: impl Into<String>) -> Self {
        self.unit = unit.into();
        self
    }

    /// When each value held, nanoseconds since the Unix epoch; as many as there are values.
    #[must_use]
    pub fn times(mut self, times: Vec<i64>) -> Self {
        self.times = times;
        self
    }

    /// One standard uncertainty (k = 1) for all values.
    #[must_use]
    pub fn uncertainty(mut self, uncertainty: f64) -> Self {
        self.uncertainties = vec![uncertainty];
        self
    }

    /// A standard uncertainty (k = 1) for each value.
    #[must_use]
    pub fn uncertainties(mut self, uncertainties: Vec<f64>) -> Self {
        self.uncertainties = uncertainties;
        self
    }

    /// How far the instrument trusts each of the readings, 0 to 1.
    #[must_use]
    pub fn confidence(mut self, confidence: f64) -> Self {
        self.confidence = confidence;
        self
    }

    /// Something else that belongs to every reading.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.attributes.push((name.into(), value.into()));
        self
    }
}

/// The readings of one call. [`crate::Context::observation`] makes an empty one that knows the declared quantities.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    quantities: Rc<[Quantity]>,
    readings: Vec<Reading>,
    series: Vec<Series>,
}

impl Observation {
    pub(crate) fn new(quantities: Rc<[Quantity]>) -> Self {
        Self { quantities, readings: Vec::new(), series: Vec::new() }
    }

    /// Take a reading. One without a unit gets the unit declared for its quantity.
    ///
    /// # Errors
    /// When the quantity is not declared, a number is not finite, the uncertainty is negative, the confidence lies
    /// outside of 0 to 1, or there are too many attributes or one with a bad name.
    pub fn push(&mut self, mut reading: Reading) -> Result<(), InvalidReading> {
        let problem = |problem: String| InvalidReading { quantity: reading.quantity.clone(), problem };
        let declared = self.declared(&reading.quantity).map_err(problem)?;
        if let Value::Number(number) = reading.value
            && !number.is_finite()
        {
            return Err(problem(format!("the value is {number}; a reading holds a finite number")));
        }
        check_uncertainties(reading.uncertainty.as_slice()).map_err(problem)?;
        check_confidence(reading.confidence).map_err(problem)?;
        check_attributes(&reading.attributes).map_err(problem)?;
        if reading.unit.is_empty() {
            reading.unit.clone_from(&declared.unit);
        }
        self.readings.push(reading);
        Ok(())
    }

    /// Take a series. One without a unit gets the unit declared for its quantity; an empty one is dropped.
    ///
    /// # Errors
    /// As for [`Observation::push`], and when times or uncertainties are not as many as the values.
    pub fn push_series(&mut self, mut series: Series) -> Result<(), InvalidReading> {
        let problem = |problem: String| InvalidReading { quantity: series.quantity.clone(), problem };
        let declared = self.declared(&series.quantity).map_err(problem)?;
        if let Some(row) = series.values.iter().position(|value| !value.is_finite()) {
            return Err(problem(format!(
                "value {row} of the series is {}; a reading holds a finite number",
                series.values[row]
            )));
        }
        let rows = series.values.len();
        if !series.times.is_empty() && series.times.len() != rows {
            return Err(problem(format!("there are {} times for {rows} values", series.times.len())));
        }
        if series.uncertainties.len() > 1 && series.uncertainties.len() != rows {
            return Err(problem(format!(
                "there are {} uncertainties for {rows} values; give none, one, or one for each",
                series.uncertainties.len()
            )));
        }
        check_uncertainties(&series.uncertainties).map_err(problem)?;
        check_confidence(series.confidence).map_err(problem)?;
        check_attributes(&series.attributes).map_err(problem)?;
        if series.unit.is_empty() {
            series.unit.clone_from(&declared.unit);
        }
        if rows > 0 {
            self.series.push(series);
        }
        Ok(())
    }

    /// The readings taken one by one.
    pub fn readings(&self) -> &[Reading] {
        &self.readings
    }

    /// The series taken.
    pub fn series(&self) -> &[Series] {
        &self.series
    }

    /// How many readings there are, counting each row of each series.
    pub fn len(&self) -> usize {
        self.readings.len() + self.series.iter().map(|series| series.values.len()).sum::<usize>()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.readings.is_empty() && self.series.is_empty()
    }

    #[cfg(target_arch = "wasm32")]
    pub(crate) fn into_parts(self) -> (Vec<Reading>, Vec<Series>) {
        (self.readings, self.series)
    }

    fn declared(&self, name: &str) -> Result<&Quantity, String> {
        let named = |name: &str| self.quantities.iter().find(|quantity| quantity.name == name);
        let any = || if is_quantity_name(name) { named(ANY_QUANTITY) } else { None };
        named(name).filter(|_| name != ANY_QUANTITY).or_else(any).ok_or_else(|| {
            let names: Vec<&str> = self.quantities.iter().map(|quantity| quantity.name.as_str()).collect();
            format!("it is not declared in `about()`, which names {}", names.join(", "))
        })
    }
}

/// Whether readings may name a quantity so: lower case, digits and underscores, a letter first, at most 64 characters.
pub fn is_quantity_name(name: &str) -> bool {
    name.len() <= MAX_NAME
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn check_uncertainties(uncertainties: &[f64]) -> Result<(), String> {
    match uncertainties.iter().find(|&&uncertainty| !(uncertainty.is_finite() && uncertainty >= 0.0)) {
        Some(bad) => Err(format!("the uncertainty is {bad}; it must be finite and zero or more")),
        None => Ok(()),
    }
}

fn check_confidence(confidence: f64) -> Result<(), String> {
    if (0.0..=1.0).contains(&confidence) {
        Ok(())
    } else {
        Err(format!("the confidence is {confidence}; it must lie between 0 and 1"))
    }
}

/// Check attributes against the contract's bounds.
pub(crate) fn check_attributes(attributes: &[(String, Value)]) -> Result<(), String> {
    if attributes.len() > MAX_ATTRIBUTES {
        return Err(format!(
            "there are {} attributes; at most {MAX_ATTRIBUTES} are allowed",
            attributes.len()
        ));
    }
    for (name, value) in attributes {
        if name.is_empty() || name.chars().count() > MAX_ATTRIBUTE_NAME {
            return Err(format!(
                "the attribute name `{name}` must have between 1 and {MAX_ATTRIBUTE_NAME} characters"
            ));
        }
        if matches!(value, Value::Number(number) if !number.is_finite()) {
            return Err(format!("the attribute `{name}` is not finite"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Observation {
        let quantity = |name: &str, unit: &str| Quantity {
            name: name.into(),
            unit: unit.into(),
            description: String::new(),
        };
        Observation::new([quantity("temperature", "Cel"), quantity("count", "1")].into())
    }

    #[test]
    fn a_reading_without_a_unit_gets_the_declared_one() {
        let mut observation = empty();
        observation.push(Reading::of("temperature", 4.5)).unwrap();
        observation.push(Reading::of("temperature", 277.65).unit("K")).unwrap();
        let units: Vec<&str> = observation.readings().iter().map(|reading| reading.unit.as_str()).collect();
        assert_eq!(units, ["Cel", "K"]);
    }

    #[test]
    fn where_the_parameters_decide_any_well_formed_quantity_goes() {
        let any = Quantity { name: ANY_QUANTITY.into(), unit: "1".into(), description: String::new() };
        let mut observation = Observation::new([any].into());
        observation.push(Reading::of("resistivity", 97.0).unit("Ohm.cm")).unwrap();
        assert!(observation.push(Reading::of("Resistivity", 97.0)).is_err());
        assert!(observation.push(Reading::of("*", 97.0)).is_err());
    }

    #[test]
    fn what_breaks_the_contract_is_named() {
        let cases = [
            (Reading::of("pressure", 1.0), "not declared in `about()`, which names temperature, count"),
            (Reading::of("temperature", f64::NAN), "the value is NaN"),
            (Reading::of("temperature", 1.0).uncertainty(-0.1), "the uncertainty is -0.1"),
            (Reading::of("temperature", 1.0).uncertainty(f64::INFINITY), "the uncertainty is inf"),
            (Reading::of("temperature", 1.0).confidence(1.5), "the confidence is 1.5"),
            (Reading::of("temperature", 1.0).confidence(f64::NAN), "the confidence is NaN"),
            (Reading::of("temperature", 1.0).attribute("", 1), "between 1 and 64 characters"),
            (Reading::of("temperature", 1.0).attribute("x", f64::NAN), "the attribute `x` is not finite"),
            (
                (0..33).fold(Reading::of("count", 1), |reading, n| reading.attribute(format!("a{n}"), n)),
                "there are 33 attributes",
            ),
        ];
        for (reading, expected) in cases {
            let mut observation = empty();
            let error = observation.push(reading).unwrap_err().to_string();
            assert!(error.contains(expected), "{error:?} should contain {expected:?}");
            assert!(observation.is_empty());
        }
    }

    #[test]
    fn a_series_has_lists_of_one_length() {
        let mut observation = empty();
        observation
            .push_series(Series::of("temperature", vec![1.0, 2.0]).times(vec![10, 20]).uncertainty(0.5))
            .unwrap();
        observation.push_series(Series::of("temperature", Vec::new())).unwrap();
        assert_eq!((observation.len(), observation.series().len()), (2, 1));

        let short =
            observation.push_series(Series::of("temperature", vec![1.0, 2.0]).times(vec![10])).unwrap_err();
        assert!(short.problem.contains("1 times for 2 values"), "{short}");
        let uneven = Series::of("temperature", vec![1.0, 2.0, 3.0]).uncertainties(vec![0.1, 0.2]);
        let uneven = observation.push_series(uneven).unwrap_err();
        assert!(uneven.problem.contains("2 uncertainties for 3 values"), "{uneven}");
        let infinite =
            observation.push_series(Series::of("temperature", vec![1.0, f64::INFINITY])).unwrap_err();
        assert!(infinite.problem.contains("value 1 of the series is inf"), "{infinite}");
    }
}
