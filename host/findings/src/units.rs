//! Units: UCUM codes, and conversion of values, differences and uncertainties between them.
//!
//! The grammar and the table of units are the `ucum-units` crate's. What this module adds is the difference between
//! converting a *value* (20 Cel is 293.15 K) and an *uncertainty* (0.5 Cel is 0.5 K), and converters that are made
//! once for a pair of units and then used for millions of readings.

use std::collections::BTreeMap;

use thiserror::Error;

/// Longest UCUM code accepted, in bytes. The longest codes in use have some forty; the bound keeps a hostile code
/// from costing more than a lookup.
pub const MAX_UNIT_BYTES: usize = 128;

/// Why a code is not a unit, or a value cannot be expressed in another one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UnitError {
    /// The code is empty.
    #[error("the unit is empty; use `1` for a number without a unit")]
    Empty,
    /// The code is longer than [`MAX_UNIT_BYTES`].
    #[error("the unit has {0} bytes; a UCUM code has at most {MAX_UNIT_BYTES}")]
    TooLong(usize),
    /// UCUM does not know the code.
    #[error("`{code}` is not a UCUM code: {reason}; codes are case-sensitive, as in `Cel`, `K`, `%`, `m/s`")]
    Unknown {
        /// The code.
        code: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The units measure different things, or one of them cannot be converted at all.
    #[error("`{from}` cannot be converted to `{to}`")]
    NotComparable {
        /// Unit to convert from.
        from: String,
        /// Unit to convert to.
        to: String,
    },
}

/// Whether `code` is a UCUM code, with a message that says what is wrong where it is not.
///
/// # Errors
/// When the code is empty, longer than [`MAX_UNIT_BYTES`] or unknown to UCUM.
pub fn check_unit(code: &str) -> Result<(), String> {
    validate(code).map_err(|error| error.to_string())
}

/// Whether `code` is a UCUM code.
///
/// # Errors
/// When the code is empty, longer than [`MAX_UNIT_BYTES`] or unknown to UCUM.
pub fn validate(code: &str) -> Result<(), UnitError> {
    if code.is_empty() {
        return Err(UnitError::Empty);
    }
    if code.len() > MAX_UNIT_BYTES {
        return Err(UnitError::TooLong(code.len()));
    }
    ucum::validate(code)
        .map_err(|error| UnitError::Unknown { code: code.to_owned(), reason: error.to_string() })
}

/// Whether values in `from` can be converted to `to`. False where one of them is not a unit.
pub fn is_comparable(from: &str, to: &str) -> bool {
    Converter::between(from, to).is_ok()
}

/// A value of `from` expressed in `to`. Not finite where the value has no counterpart, such as the logarithm of a
/// negative number.
///
/// # Errors
/// When one of them is not a unit, or they measure different things.
pub fn convert(value: f64, from: &str, to: &str) -> Result<f64, UnitError> {
    Ok(Converter::between(from, to)?.value(value))
}

/// A standard uncertainty of a value in `from`, expressed in `to`: only the scale counts, not the zero point.
///
/// # Errors
/// When one of them is not a unit, or they measure different things.
pub fn convert_uncertainty(value: f64, uncertainty: f64, from: &str, to: &str) -> Result<f64, UnitError> {
    Ok(Converter::between(from, to)?.uncertainty(value, uncertainty))
}

/// How values of one unit become values of another.
#[derive(Debug, Clone, PartialEq)]
pub struct Converter(Kind);

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    /// The same code: values pass unchanged, bit for bit.
    Same,
    /// `(from_factor · v + from_offset − to_offset) / to_factor`.
    Affine { from_factor: f64, from_offset: f64, to_factor: f64, to_offset: f64 },
    /// Logarithmic and trigonometric units, value by value through the crate.
    Curved { from: String, to: String },
}

impl Converter {
    /// The converter of a pair of units. Equal codes always convert, even those of arbitrary units such as `[IU]`,
    /// which convert to nothing else.
    ///
    /// # Errors
    /// When one of them is not a unit, or they measure different things.
    pub fn between(from: &str, to: &str) -> Result<Self, UnitError> {
        validate(from)?;
        if from == to {
            return Ok(Self(Kind::Same));
        }
        validate(to)?;
        let not_comparable = || UnitError::NotComparable { from: from.to_owned(), to: to.to_owned() };
        // A conversion of an ordinary value tells whether the crate converts between the two at all.
        ucum::convert(1.0, from, to).map_err(|_| not_comparable())?;
        let a = ucum::analyze(from).map_err(|_| not_comparable())?;
        let b = ucum::analyze(to).map_err(|_| not_comparable())?;
        // Special units with an offset are the temperature scales; those without are curved.
        let curved = |analysis: &ucum::Analysis| analysis.is_special && analysis.offset == 0.0;
        if curved(&a) || curved(&b) {
            return Ok(Self(Kind::Curved { from: from.to_owned(), to: to.to_owned() }));
        }
        Ok(Self(Kind::Affine {
            from_factor: a.factor,
            from_offset: a.offset,
            to_factor: b.factor,
            to_offset: b.offset,
        }))
    }

    /// A value in the other unit. Not finite where it has no counterpart.
    pub fn value(&self, value: f64) -> f64 {
        match &self.0 {
            Kind::Same => value,
            Kind::Affine { from_factor, from_offset, to_factor, to_offset } => {
                if from_offset == to_offset {
                    // Without a shift of zero point the ratio is taken first, which loses fewer digits.
                    value * (from_factor / to_factor)
                } else {
                    (from_factor * value + from_offset - to_offset) / to_factor
                }
            }
            Kind::Curved { from, to } => ucum::convert(value, from, to).unwrap_or(f64::NAN),
        }
    }

    /// A standard uncertainty in the other unit. For curved units the sensitivity is taken as half the difference
    /// of the converted ends of `value ± uncertainty` (GUM 5.1.3, note 2).
    pub fn uncertainty(&self, value: f64, uncertainty: f64) -> f64 {
        match &self.0 {
            Kind::Same => uncertainty,
            Kind::Affine { from_factor, to_factor, .. } => uncertainty * (from_factor / to_factor).abs(),
            Kind::Curved { .. } => {
                (self.value(value + uncertainty) - self.value(value - uncertainty)).abs() / 2.0
            }
        }
    }
}

/// Converters by pair of units, each made once.
#[derive(Debug, Default)]
pub struct Converters<'a>(BTreeMap<(&'a str, &'a str), Result<Converter, UnitError>>);

impl<'a> Converters<'a> {
    /// No converters yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The converter of a pair of units.
    ///
    /// # Errors
    /// When one of them is not a unit, or they measure different things.
    pub fn get(&mut self, from: &'a str, to: &'a str) -> Result<&Converter, &UnitError> {
        self.0.entry((from, to)).or_insert_with(|| Converter::between(from, to)).as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() <= 1e-12 * b.abs().max(1.0), "{a} is not {b}");
    }

    #[test]
    fn a_value_moves_with_the_zero_point_and_an_uncertainty_does_not() {
        close(convert(20.0, "Cel", "K").unwrap(), 293.15);
        close(convert(20.0, "Cel", "[degF]").unwrap(), 68.0);
        close(convert_uncertainty(20.0, 0.5, "Cel", "K").unwrap(), 0.5);
        close(convert_uncertainty(20.0, 0.5, "Cel", "[degF]").unwrap(), 0.9);
    }

    #[test]
    fn scales_convert_exactly() {
        assert_eq!(convert(1.5, "km", "m").unwrap(), 1500.0);
        close(convert(1.0, "bar", "Pa").unwrap(), 100_000.0);
        close(convert(50.0, "%", "1").unwrap(), 0.5);
    }

    #[test]
    fn the_same_code_leaves_every_bit() {
        let odd = 0.1 + 0.2;
        assert_eq!(convert(odd, "Cel", "Cel").unwrap().to_bits(), odd.to_bits());
        assert_eq!(convert(odd, "[IU]", "[IU]").unwrap().to_bits(), odd.to_bits());
        assert!(!is_comparable("[IU]", "1"));
    }

    #[test]
    fn logarithmic_units_convert_with_their_slope() {
        // 10 dB are a factor of ten; the slope there is ln(10)/10 of the factor.
        close(convert(10.0, "dB", "1").unwrap(), 10.0);
        let u = convert_uncertainty(10.0, 0.001, "dB", "1").unwrap();
        assert!((u - 0.001 * 10.0_f64.ln()).abs() < 1e-7, "{u}");
        assert!(convert(-1.0, "1", "dB").unwrap().is_nan());
    }

    #[test]
    fn wrong_codes_are_named() {
        assert_eq!(check_unit("Cel"), Ok(()));
        assert_eq!(check_unit("%"), Ok(()));
        assert!(check_unit("").unwrap_err().contains("use `1`"));
        assert!(check_unit("celsius").unwrap_err().contains("`celsius` is not a UCUM code"));
        assert!(check_unit(&"m.".repeat(100)).unwrap_err().contains("200 bytes"));
        assert_eq!(
            convert(1.0, "m", "s"),
            Err(UnitError::NotComparable { from: "m".to_owned(), to: "s".to_owned() })
        );
    }
}
