//! The language of expression axioms: CEL, compiled within bounds.
//!
//! # Names that an expression may use
//! | name | type | is |
//! |---|---|---|
//! | `value` | double, string, bool or bytes | the reading's value, a number in its quantity's unit |
//! | `quantity`, `unit` | string | the quantity, and the UCUM code that numbers of it are in |
//! | `uncertainty` | double or null | standard uncertainty; null where none is stated |
//! | `confidence` | double | 0 to 1 |
//! | `time` | int | nanoseconds since the Unix epoch |
//! | `instrument`, `step` | string | where the reading comes from |
//! | `attributes` | map | what else belongs to the reading |
//! | `previous` | as `value` | the same instrument's reading of the quantity before this one |
//! | `others` | list | values of the other instruments at the same moment, one for each |
//! | any other | as `value` | the same instrument's reading of the quantity of that name at the same moment |
//!
//! Every number is a double, also one that the instrument gave as an integer, so that arithmetic needs doubles too:
//! `value * 2.0`, not `value * 2`; comparisons take both.
//!
//! # To which readings it applies
//! An expression that names quantities, and beside them only what places a reading (`unit`, `time`, `instrument`, `step`,
//! `attributes`), speaks of readings of these quantities: `humidity <= 100` says nothing of a temperature. Every other
//! expression speaks of every reading. Either way it applies only where all its names are bound: the first reading of a
//! record has no `previous`, and a quantity that the instrument did not measure at that moment has no value.
//!
//! # Bounds
//! The parser and the evaluator are recursive with large frames (some 64 KiB for an operator without optimization), so an
//! expression is measured before it is parsed, and both run on a thread whose stack is made for the largest one.

use std::collections::BTreeSet;

use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue};
use cel::{Context, ExecutionError, Program, Value};

/// Longest expression in bytes.
pub const MAX_EXPRESSION_BYTES: usize = 4 << 10;
/// Opening brackets that an expression may have, and so the depth of their nesting.
pub const MAX_BRACKETS: usize = 64;
/// Characters that make operators, selections and brackets, and so the depth of the syntax tree.
pub const MAX_OPERATORS: usize = 256;
/// Longest pattern of `matches`, which is compiled anew for each reading.
pub const MAX_PATTERN_BYTES: usize = 128;

/// Stack of the thread that parses and evaluates: twice what the largest expression was measured to need without
/// optimization. Only pages that are touched become memory.
const STACK_BYTES: usize = 64 << 20;

/// The reading's own names; every other one is a quantity's.
pub const OWN_NAMES: [&str; 11] = [
    "value",
    "quantity",
    "unit",
    "uncertainty",
    "confidence",
    "time",
    "instrument",
    "step",
    "attributes",
    "previous",
    "others",
];

/// Names that place or describe a reading without being what is judged: an expression that uses only these beside
/// quantities still speaks of those quantities.
const PLACING_NAMES: [&str; 5] = ["unit", "time", "instrument", "step", "attributes"];

/// Whether an axiom's expression can be used, with a message that says what is wrong and what would be right.
///
/// # Errors
/// When it is longer or more nested than allowed, is not CEL, calls what does not exist, nests loops, or gives
/// something other than true or false.
pub fn check_expression(text: &str) -> Result<(), String> {
    with_stack(|| Compiled::new(text).map(|_| ()))?
}

/// Run on a stack that holds the parsing and evaluation of any admitted expression.
pub(crate) fn with_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("expressions".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)
            .map_err(|error| format!("no thread to evaluate expressions on: {error}"))?;
        thread.join().map_err(|_| "the expression evaluator failed".to_owned())
    })
}

/// An expression that is ready to be evaluated.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) program: Program,
    /// Names of quantities that it uses, sorted.
    pub(crate) quantities: Vec<String>,
    /// Whether it speaks of every reading, or only of those of `quantities`.
    pub(crate) speaks_of_all: bool,
    /// Whether it uses `others`, which cost more than the rest.
    pub(crate) uses_others: bool,
    /// Whether it uses `previous`.
    pub(crate) uses_previous: bool,
}

impl Compiled {
    /// Compile; call on the stack of [`with_stack`].
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        measure(text)?;
        let program = Program::compile(text).map_err(|errors| first_error(&errors))?;
        let mut survey = Survey::default();
        survey.visit(program.expression(), &mut Vec::new(), false)?;
        let quantities: Vec<String> =
            survey.free.iter().filter(|name| !OWN_NAMES.contains(&name.as_str())).cloned().collect();
        let judges_itself = survey
            .free
            .iter()
            .any(|name| OWN_NAMES.contains(&name.as_str()) && !PLACING_NAMES.contains(&name.as_str()));
        let compiled = Self {
            program,
            speaks_of_all: judges_itself || quantities.is_empty(),
            uses_others: survey.free.contains("others"),
            uses_previous: survey.free.contains("previous"),
            quantities,
        };
        compiled.try_out(&survey.free)?;
        Ok(compiled)
    }

    /// Evaluate with a number for every quantity, to find what can only be seen at work: functions that do not exist,
    /// arithmetic of doubles with integers, results that are not true or false. Other errors depend on the reading.
    fn try_out(&self, free: &BTreeSet<String>) -> Result<(), String> {
        let mut context = Context::default();
        for name in free {
            let value = match name.as_str() {
                "quantity" | "unit" | "instrument" | "step" => Value::from("x"),
                "time" => Value::Int(0),
                "attributes" => Value::Map(cel::objects::Map { map: Default::default() }),
                "others" => Value::from(vec![Value::Float(1.0)]),
                _ => Value::Float(1.0),
            };
            context.add_variable_from_value(name.as_str(), value);
        }
        match self.program.execute(&context) {
            Ok(Value::Bool(_)) => Ok(()),
            Ok(other) => Err(format!(
                "the expression gives a {}, and an axiom must be true or false; compare it with something",
                other.type_of()
            )),
            Err(ExecutionError::UndeclaredReference(name)) => {
                Err(format!("there is no function `{name}` in the expression language (CEL)"))
            }
            Err(ExecutionError::NoSuchOverload(error)) if mixes_numbers(error.argument_types()) => {
                Err(format!(
                    "{error}: readings are doubles, so write whole numbers in arithmetic as `2.0`, not `2`"
                ))
            }
            Err(
                ExecutionError::UnsupportedBinaryOperator(
                    operator,
                    Value::Float(_),
                    Value::Int(_) | Value::UInt(_),
                )
                | ExecutionError::UnsupportedBinaryOperator(
                    operator,
                    Value::Int(_) | Value::UInt(_),
                    Value::Float(_),
                ),
            ) => Err(format!(
                "`{operator}` of a double and an integer: readings are doubles, so write whole numbers in arithmetic as \
                 `2.0`, not `2`"
            )),
            Err(_) => Ok(()),
        }
    }
}

fn mixes_numbers(types: &[String]) -> bool {
    matches!(types, [a, b] if (a == "double" && b == "int") || (a == "int" && b == "double"))
}

/// Refuse what could be too deep for the parser, by counting alone. Characters in strings count too: the bound is
/// generous, and a count that must understand quoting could be led astray by it.
fn measure(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("the expression is empty".to_owned());
    }
    if text.len() > MAX_EXPRESSION_BYTES {
        return Err(format!(
            "the expression has {} bytes; at most {MAX_EXPRESSION_BYTES} are allowed",
            text.len()
        ));
    }
    let brackets = text.chars().filter(|c| "([{".contains(*c)).count();
    if brackets > MAX_BRACKETS {
        return Err(format!(
            "the expression has {brackets} opening brackets; at most {MAX_BRACKETS} are allowed, so make it two axioms"
        ));
    }
    let words =
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| *word == "in").count();
    let operators = text.chars().filter(|c| "([{+-*/%<>=!&|?:.".contains(*c)).count() + words;
    if operators > MAX_OPERATORS {
        return Err(format!(
            "the expression has {operators} characters of operators; at most {MAX_OPERATORS} are allowed, so make it \
             two axioms"
        ));
    }
    Ok(())
}

fn first_error(errors: &cel::ParseErrors) -> String {
    errors.errors.first().map_or_else(
        || "the expression is not CEL".to_owned(),
        |error| {
            // The parser's own message may go on with a dump of its state.
            let message: String = error.msg.lines().next().unwrap_or_default().chars().take(200).collect();
            let (line, column) = error.pos;
            if line > 0 { format!("line {line}, column {}: {message}", column.max(0)) } else { message }
        },
    )
}

/// What an expression uses.
#[derive(Default)]
struct Survey {
    /// Names that are not bound within the expression.
    free: BTreeSet<String>,
}

impl Survey {
    fn visit<'e>(
        &mut self,
        node: &'e IdedExpr,
        bound: &mut Vec<&'e str>,
        in_loop: bool,
    ) -> Result<(), String> {
        match &node.expr {
            Expr::Unspecified | Expr::Literal(_) => {}
            Expr::Ident(name) => {
                let is_internal = name.starts_with('@') || bound.contains(&name.as_str());
                if !is_internal {
                    self.free.insert(name.trim_start_matches('.').to_owned());
                }
            }
            Expr::Call(call) => {
                if call.func_name == "matches" {
                    check_pattern(call.args.last())?;
                }
                for part in call.target.as_deref().into_iter().chain(&call.args) {
                    self.visit(part, bound, in_loop)?;
                }
            }
            Expr::Comprehension(one) => {
                if in_loop {
                    return Err(
                        "a loop (`all`, `exists`, `map`, `filter`) within a loop is not allowed: its work \
                                would grow with the product of the lists"
                            .to_owned(),
                    );
                }
                self.visit(&one.iter_range, bound, false)?;
                self.visit(&one.accu_init, bound, false)?;
                let depth = bound.len();
                bound.push(&one.iter_var);
                bound.extend(one.iter_var2.as_deref());
                bound.push(&one.accu_var);
                for part in [&one.loop_cond, &one.loop_step, &one.result] {
                    self.visit(part, bound, true)?;
                }
                bound.truncate(depth);
            }
            Expr::List(list) => {
                for element in &list.elements {
                    self.visit(element, bound, in_loop)?;
                }
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    self.entry(&entry.expr, bound, in_loop)?;
                }
            }
            Expr::Struct(one) => {
                for entry in &one.entries {
                    self.entry(&entry.expr, bound, in_loop)?;
                }
            }
            Expr::Select(select) => self.visit(&select.operand, bound, in_loop)?,
        }
        Ok(())
    }

    fn entry<'e>(
        &mut self,
        entry: &'e EntryExpr,
        bound: &mut Vec<&'e str>,
        in_loop: bool,
    ) -> Result<(), String> {
        match entry {
            EntryExpr::StructField(field) => self.visit(&field.value, bound, in_loop),
            EntryExpr::MapEntry(pair) => {
                self.visit(&pair.key, bound, in_loop)?;
                self.visit(&pair.value, bound, in_loop)
            }
        }
    }
}

/// The pattern of `matches` is compiled for each reading, so it must be short and without counted repetition, which
/// can make a short pattern a large automaton.
fn check_pattern(pattern: Option<&IdedExpr>) -> Result<(), String> {
    let Some(Expr::Literal(LiteralValue::String(pattern))) = pattern.map(|node| &node.expr) else {
        return Err("the pattern of `matches` must be a text in quotes".to_owned());
    };
    let pattern: &str = pattern.inner();
    if pattern.len() > MAX_PATTERN_BYTES || pattern.contains('{') {
        return Err(format!(
            "the pattern of `matches` may have at most {MAX_PATTERN_BYTES} bytes and no counted repetition (`{{`)"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(text: &str) -> Compiled {
        with_stack(|| Compiled::new(text)).unwrap().unwrap()
    }

    #[test]
    fn what_an_expression_speaks_of() {
        let one = compiled("humidity >= 0 && humidity <= 100");
        assert_eq!((one.quantities.as_slice(), one.speaks_of_all), (&["humidity".to_owned()][..], false));
        let one = compiled("value < 100.0 || temperature > 0.0");
        assert_eq!((one.quantities.len(), one.speaks_of_all), (1, true));
        let one = compiled("others.all(o, o - value < 1.0)");
        assert_eq!((one.quantities.len(), one.speaks_of_all, one.uses_others), (0, true, true));
    }

    #[test]
    fn good_expressions_pass() {
        for text in [
            "value > 0",
            "quantity != 'humidity' || (value >= 0.0 && value <= 100.0)",
            "uncertainty == null || uncertainty < 0.5",
            "others.size() < 2 || others.exists(o, o < value)",
            "others.filter(o, o > 1.0).all(o, o < 2.0)",
            "!has(attributes.tag) || attributes.tag.startsWith('E2')",
            "instrument.matches('^thermal-[0-9]+$')",
            "value - previous < 2.0",
            "dew_point <= temperature",
        ] {
            assert_eq!(check_expression(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn bad_expressions_say_what_is_wrong() {
        for (text, part) in [
            ("", "empty"),
            ("value >", "line 1"),
            ("value + 1.0", "must be true or false"),
            ("value * 2 > 1.0", "`2.0`, not `2`"),
            ("frobnicate(value)", "no function `frobnicate`"),
            ("others.all(a, others.all(b, a < b))", "within a loop"),
            ("step.matches(instrument)", "text in quotes"),
            ("step.matches('(a{1000}){1000}')", "counted repetition"),
        ] {
            let message = check_expression(text).expect_err(text);
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn the_largest_expressions_do_not_overflow() {
        for text in [
            format!("{}value{} > 0.0", "(".repeat(64), ")".repeat(64)),
            format!("{} > 0.0", vec!["value"; 255].join("+")),
            format!("{}true", "!".repeat(255)),
            format!("value > {}1.0", "-".repeat(255)),
            format!("{}true", "true ? true : ".repeat(128)),
            format!("value{} > 0.0", ".a".repeat(254)),
            format!("value{} > 0.0", "[0]".repeat(64)),
            format!("'a'{} > 0", ".size()".repeat(64)),
            vec!["a"; 250].join(" in "),
            "(".repeat(64),
            "[".repeat(64),
            "{".repeat(64),
            "?:".repeat(128),
        ] {
            // Whether it is accepted does not matter here; that it ends does.
            let _ = check_expression(&text);
        }
    }

    #[test]
    fn what_is_too_large_is_refused_before_it_is_parsed() {
        assert!(check_expression(&"(".repeat(65)).unwrap_err().contains("brackets"));
        assert!(check_expression(&"!".repeat(300)).unwrap_err().contains("operators"));
        assert!(check_expression(&"a".repeat(5000)).unwrap_err().contains("5000 bytes"));
        assert!(check_expression(&vec!["a"; 300].join(" in ")).unwrap_err().contains("operators"));
    }
}
