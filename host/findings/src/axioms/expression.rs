//! Expressions: a statement in CEL that must be true of a reading and its neighbours.
//!
//! The names, and the readings to which an expression applies, are described in [`super::language`]. Neighbours are
//! readings that are left when the axiom's turn comes, whatever it then decides of them, so that the result does not
//! depend on the order in which readings are visited. An expression that ends in an error, or in something other than
//! true or false, excludes the reading with the error's text: the axiom was not shown to hold.

use cel::common::types::{CelDouble, CelInt, CelNull, CelString};
use cel::common::value::CowVal;
use cel::context::VariableResolver;
use cel::{Context, Env};
use std::sync::Arc;

use super::Judged;
use super::language::{Compiled, with_stack};
use crate::groups::{Group, Moments, by_instrument, group, mean_value, of_quantity};
use crate::reading::Value;
use crate::table::{Place, Row, Table};

/// Longest error text that is kept.
const MAX_ERROR_CHARS: usize = 200;

/// Exclude readings of which an expression is not true; the expressions in order.
pub(super) fn judge(
    table: &Table<'_>,
    units: &[Option<&str>],
    expressions: &[(usize, &str)],
    judged: &mut Judged,
) {
    if expressions.is_empty() {
        return;
    }
    let done = with_stack(|| {
        for (at, text) in expressions {
            one(table, units, *at, text, judged);
        }
    });
    if let Err(error) = done {
        // Without a thread nothing was evaluated, so nothing was shown to hold.
        for (at, text) in expressions {
            let rule = judged.rule(Some(*at), *text);
            for row in table.rows() {
                if judged.survives(row) {
                    judged.exclude_unevaluated(row, rule, &error);
                }
            }
        }
    }
}

fn one(table: &Table<'_>, units: &[Option<&str>], at: usize, text: &str, judged: &mut Judged) {
    let rule = judged.rule(Some(at), text);
    let compiled = match Compiled::new(text) {
        Ok(compiled) => compiled,
        Err(error) => {
            // It cannot be told of which readings it speaks, so of all.
            for row in table.rows().filter(|row| judged.survives(*row)).collect::<Vec<_>>() {
                judged.exclude_unevaluated(row, rule, &error);
            }
            return;
        }
    };
    let mut named = Vec::with_capacity(compiled.quantities.len());
    for name in &compiled.quantities {
        match table.quantity_named(name) {
            Some(quantity) => named.push((name.as_str(), quantity)),
            None => {
                judged.notes.push(format!(
                    "axiom {} names {name}, of which there is no reading, so it was applied to nothing",
                    at + 1
                ));
                return;
            }
        }
    }
    let groups = group(table, |row| judged.survives(row));
    let env = Arc::new(Env::stdlib());
    let mut violations: Vec<(Row, Option<String>)> = Vec::new();
    for (quantity, name) in (0..).zip(&table.quantities) {
        if !compiled.speaks_of_all && !named.iter().any(|(_, one)| *one == quantity) {
            continue;
        }
        let own = of_quantity(&groups, quantity);
        let others = if compiled.uses_others { Some(Others::of(table, own)) } else { None };
        for group in own {
            let neighbours: Vec<Neighbour<'_>> = named
                .iter()
                .filter(|(_, other)| *other != quantity)
                .map(|(name, other)| Neighbour::of(table, &groups, name, *other, group.instrument))
                .collect();
            let unit = units[quantity as usize].unwrap_or("1");
            let mut before: Option<Row> = None;
            for row in &group.rows {
                let previous = before.replace(*row);
                if compiled.uses_previous && previous.is_none() {
                    continue;
                }
                let mut bound = Vec::with_capacity(named.len());
                if named.iter().any(|(_, one)| *one == quantity) {
                    bound.push((*name, *row));
                }
                bound.extend(neighbours.iter().filter_map(|one| Some((one.name, one.at(table, *row)?))));
                if bound.len() < named.len() {
                    continue;
                }
                let scope = Scope {
                    table,
                    row: *row,
                    unit,
                    previous,
                    bound: &bound,
                    others: others.as_ref().map(|others| others.without(table, *row)),
                };
                if let Some(violation) = evaluate(&compiled, &env, &scope) {
                    violations.push((*row, violation));
                }
            }
        }
    }
    for (row, error) in violations {
        match error {
            None => judged.exclude(row, rule, None),
            Some(error) => judged.exclude_unevaluated(row, rule, &error),
        }
    }
}

/// None where the expression is true of the reading; else the error, if it was one.
fn evaluate(compiled: &Compiled, env: &Arc<Env>, scope: &Scope<'_, '_>) -> Option<Option<String>> {
    let mut context = Context::with_env(Arc::clone(env));
    context.set_variable_resolver(scope);
    match compiled.program.execute(&context) {
        Ok(cel::Value::Bool(true)) => None,
        Ok(cel::Value::Bool(false)) => Some(None),
        Ok(other) => Some(Some(format!("it gives a {}, not true or false", other.type_of()))),
        Err(error) => Some(Some(error.to_string().chars().take(MAX_ERROR_CHARS).collect())),
    }
}

/// The same instrument's readings of another quantity that the expression names.
struct Neighbour<'g> {
    name: &'g str,
    group: Option<&'g Group>,
    /// Half of the median distance of its times; zero where it has one only.
    tolerance: u64,
}

impl<'g> Neighbour<'g> {
    fn of(table: &Table<'_>, groups: &'g [Group], name: &'g str, quantity: u32, instrument: u32) -> Self {
        let group = of_quantity(groups, quantity).iter().find(|group| group.instrument == instrument);
        let tolerance = group.and_then(|group| group.interval(table)).map_or(0, |interval| interval / 2);
        Self { name, group, tolerance }
    }

    /// The reading at the same moment as `row`: one of the same time, else the nearest within the tolerance, else
    /// the only one of the same step.
    fn at(&self, table: &Table<'_>, row: Row) -> Option<Row> {
        let group = self.group?;
        group.nearest(table, table.time[row as usize], self.tolerance).or_else(|| {
            match group.rows.as_slice() {
                [only] if table.source[*only as usize] == table.source[row as usize] => Some(*only),
                _ => None,
            }
        })
    }
}

/// What each instrument says of a quantity at each moment.
struct Others {
    moments: Vec<Vec<(u32, Said)>>,
    /// Row → moment; only those of the quantity are set.
    moment_of: Vec<u32>,
}

/// A mean of numbers, or the last of values that are not.
#[derive(Clone, Copy)]
enum Said {
    Number(f64),
    Row(Row),
}

impl Others {
    fn of(table: &Table<'_>, groups: &[Group]) -> Self {
        let mut moments = Vec::new();
        let mut moment_of = vec![u32::MAX; table.len()];
        for moment in Moments::of(table, groups).iter() {
            let at = u32::try_from(moments.len()).unwrap_or(u32::MAX);
            for row in moment {
                moment_of[*row as usize] = at;
            }
            moments.push(
                by_instrument(table, moment)
                    .map(|rows| {
                        let all_numbers = rows.iter().all(|row| table.numeric[*row as usize]);
                        let said = match rows.last() {
                            Some(last) if !all_numbers => Said::Row(*last),
                            _ => Said::Number(mean_value(table, rows)),
                        };
                        (rows.first().map_or(0, |row| table.instrument(*row)), said)
                    })
                    .collect(),
            );
        }
        Self { moments, moment_of }
    }

    fn without(&self, table: &Table<'_>, row: Row) -> Vec<cel::Value> {
        let own = table.instrument(row);
        let moment = self.moments.get(self.moment_of[row as usize] as usize);
        moment
            .into_iter()
            .flatten()
            .filter(|(instrument, _)| *instrument != own)
            .map(|(_, said)| match said {
                Said::Number(number) => cel::Value::Float(*number),
                Said::Row(row) => to_cel(table, *row),
            })
            .collect()
    }
}

/// The names of one reading.
struct Scope<'t, 'a> {
    table: &'t Table<'a>,
    row: Row,
    unit: &'t str,
    previous: Option<Row>,
    bound: &'t [(&'t str, Row)],
    others: Option<Vec<cel::Value>>,
}

impl VariableResolver for Scope<'_, '_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        let table = self.table;
        let i = self.row as usize;
        let text = |text: &'b str| Some(CowVal::owned(CelString::from(text)));
        let value = match name {
            "value" => return value_of(table, self.row),
            "quantity" => return text(table.quantities[table.quantity[i] as usize]),
            "unit" => return text(self.unit),
            "instrument" => return text(&table.observed(self.row).instrument),
            "step" => return text(&table.observed(self.row).step),
            "uncertainty" => {
                let stated = if table.numeric[i] { table.uncertainty[i] } else { f64::NAN };
                return Some(if stated.is_nan() {
                    CowVal::owned(CelNull)
                } else {
                    CowVal::owned(CelDouble::from(stated))
                });
            }
            "confidence" => return Some(CowVal::owned(CelDouble::from(table.confidence[i]))),
            "time" => return Some(CowVal::owned(CelInt::from(table.time[i]))),
            "previous" => return value_of(table, self.previous?),
            "attributes" => {
                let map: std::collections::HashMap<String, cel::Value> = table
                    .attributes(self.row)
                    .iter()
                    .map(|(name, value)| (name.clone(), attribute(value)))
                    .collect();
                cel::Value::from(map)
            }
            "others" => cel::Value::from(self.others.clone()?),
            _ => {
                let (_, row) = self.bound.iter().find(|(bound, _)| *bound == name)?;
                return value_of(table, *row);
            }
        };
        value.try_into().ok().map(CowVal::Owned)
    }
}

/// A reading's value; a number in its quantity's unit.
fn value_of<'b>(table: &'b Table<'_>, row: Row) -> Option<CowVal<'b, 'b>> {
    if table.numeric[row as usize] {
        return Some(CowVal::owned(CelDouble::from(table.value[row as usize])));
    }
    to_cel(table, row).try_into().ok().map(CowVal::Owned)
}

fn to_cel(table: &Table<'_>, row: Row) -> cel::Value {
    if table.numeric[row as usize] {
        return cel::Value::Float(table.value[row as usize]);
    }
    match table.place(row) {
        Place::Single(reading) => attribute(&reading.value),
        Place::Of(_) => cel::Value::Null,
    }
}

fn attribute(value: &Value) -> cel::Value {
    match value {
        Value::Number(number) => cel::Value::Float(*number),
        Value::Integer(integer) => cel::Value::Int(*integer),
        Value::Text(text) => cel::Value::from(text.as_str()),
        Value::Boolean(boolean) => cel::Value::Bool(*boolean),
        Value::Bytes(bytes) => cel::Value::Bytes(Arc::new(bytes.clone())),
    }
}
