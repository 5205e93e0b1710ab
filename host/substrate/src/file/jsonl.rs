//! JSON lines: one object a line, its members the columns.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::field::{FieldReader, Inference, integer, refusal};
use super::lines::{Input, Lines, malformed};
use super::options::Options;
use super::{MAX_COLUMNS, SAMPLE_ROWS, SchemaColumn};
use crate::batch::{ColumnType, SourceError};
use crate::cell::Cell;
use crate::parameters::shown;
use crate::reader::Records;

/// A member's value.
#[derive(Debug, Clone, PartialEq)]
enum Member {
    Null,
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Text(String),
}

impl Member {
    /// The value as a field of delimited text would have it.
    fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Null => Cow::Borrowed(""),
            Self::Boolean(flag) => Cow::Owned(flag.to_string()),
            Self::Integer(integer) => Cow::Owned(integer.to_string()),
            Self::Number(number) => Cow::Owned(number.to_string()),
            Self::Text(text) => Cow::Borrowed(text),
        }
    }

    /// Values of different sorts in one column are a mistake unless its type is declared.
    fn sort(&self) -> Option<&'static str> {
        match self {
            Self::Null => None,
            Self::Boolean(_) => Some("a truth value"),
            Self::Integer(_) | Self::Number(_) => Some("a number"),
            Self::Text(_) => Some("text"),
        }
    }
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MemberVisitor)
    }
}

struct MemberVisitor;

/// What is said of arrays and objects inside a row.
const NESTED: &str = "is nested; rows hold plain values only";

impl<'de> Visitor<'de> for MemberVisitor {
    type Value = Member;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a plain value")
    }

    fn visit_unit<E>(self) -> Result<Member, E> {
        Ok(Member::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Member, E> {
        Ok(Member::Boolean(flag))
    }

    fn visit_i64<E>(self, integer: i64) -> Result<Member, E> {
        Ok(Member::Integer(integer))
    }

    #[allow(clippy::cast_precision_loss)]
    fn visit_u64<E>(self, integer: u64) -> Result<Member, E> {
        Ok(i64::try_from(integer).map_or(Member::Number(integer as f64), Member::Integer))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Member, E> {
        Ok(Member::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Member, E> {
        Ok(Member::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Member, E> {
        Ok(Member::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Member, A::Error> {
        Err(A::Error::custom(NESTED))
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Member, A::Error> {
        Err(A::Error::custom(NESTED))
    }
}

/// The members of an object in the order in which they are written.
struct Object(Vec<(String, Member)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut members: Vec<(String, Member)> = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if members.len() == MAX_COLUMNS {
                return Err(A::Error::custom(format_args!("more than {MAX_COLUMNS} members")));
            }
            let value = map
                .next_value()
                .map_err(|error| A::Error::custom(format_args!("the member {} {error}", shown(&name))))?;
            if members.iter().any(|(other, _)| *other == name) {
                return Err(A::Error::custom(format_args!("the member {} occurs twice", shown(&name))));
            }
            members.push((name, value));
        }
        Ok(Object(members))
    }
}

/// Goes to the next line that is not blank and reads its object; none at the end.
fn next_object(lines: &mut Lines) -> Result<Option<Object>, SourceError> {
    while lines.advance()? {
        let line = lines.line();
        if !line.trim_ascii().is_empty() {
            return serde_json::from_slice(line).map(Some).map_err(|error| {
                // Its own line number is always 1: the file's stands before it.
                let message = error.to_string();
                let what = message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what);
                malformed(lines.number(), format_args!("byte {}: {what}", error.column()))
            });
        }
    }
    Ok(None)
}

/// Reads a sample and says what the columns are: those declared, else all members of the sample by first appearance.
pub(super) fn schema(
    input: Input,
    options: &Options,
    fields: &FieldReader,
) -> Result<Vec<SchemaColumn>, SourceError> {
    let mut lines = Lines::after(input, options.skip_rows)?;
    let mut names: Vec<String> = options.columns.clone().unwrap_or_default();
    let mut seen: Vec<(Inference, Option<(&'static str, u64)>)> = vec![(Inference::NEW, None); names.len()];
    let mut positions: HashMap<String, usize> =
        names.iter().enumerate().map(|(position, name)| (name.clone(), position)).collect();
    for _ in 0..SAMPLE_ROWS {
        let Some(Object(members)) = next_object(&mut lines)? else {
            break;
        };
        for (name, member) in members {
            let position = match positions.get(&name) {
                Some(position) => *position,
                None if options.columns.is_some() => continue,
                None if names.len() == MAX_COLUMNS => {
                    return Err(malformed(
                        lines.number(),
                        format_args!("more than {MAX_COLUMNS} columns; name those wanted in `columns`"),
                    ));
                }
                None => {
                    positions.insert(name.clone(), names.len());
                    names.push(name.clone());
                    seen.push((Inference::NEW, None));
                    names.len() - 1
                }
            };
            let (inference, first) = &mut seen[position];
            let is_declared = options.types.iter().any(|(declared, _)| *declared == name);
            let text = member.text();
            match (member.sort().filter(|_| !fields.is_absent(text.as_bytes())), *first) {
                (None, _) => continue,
                (Some(sort), None) => *first = Some((sort, lines.number())),
                (Some(sort), Some((before, line))) if sort != before && !is_declared => {
                    let name = shown(&name);
                    return Err(malformed(
                        lines.number(),
                        format_args!(
                            "column {name} holds {sort} where line {line} has {before}; declare it in `types`"
                        ),
                    ));
                }
                (Some(_), Some(_)) => {}
            }
            match member {
                // Of texts only times are taken for another type: what is quoted is meant as text.
                Member::Text(_) => inference.see_quoted(text.as_bytes()),
                _ => inference.see(fields, text.as_bytes()),
            }
        }
    }
    if names.is_empty() {
        return Err(SourceError::Malformed("there are no members in the file's first rows".to_owned()));
    }
    Ok(names.into_iter().zip(seen).map(|(name, (inference, _))| (name, inference.kind())).collect())
}

/// The objects of a file.
pub(super) struct JsonLines {
    lines: Lines,
    columns: Vec<SchemaColumn>,
    positions: HashMap<String, usize>,
    /// Whether members that are no column are passed over, as the manifest chose by naming columns.
    is_open: bool,
    fields: FieldReader,
    row: Vec<Member>,
}

impl JsonLines {
    /// Starts to read a file whose columns are known.
    pub(super) fn new(
        input: Input,
        options: &Options,
        columns: Vec<SchemaColumn>,
        fields: FieldReader,
    ) -> Result<Self, SourceError> {
        let positions =
            columns.iter().enumerate().map(|(position, (name, _))| (name.clone(), position)).collect();
        Ok(Self {
            lines: Lines::after(input, options.skip_rows)?,
            row: vec![Member::Null; columns.len()],
            columns,
            positions,
            is_open: options.columns.is_some(),
            fields,
        })
    }
}

impl Records for JsonLines {
    fn advance(&mut self) -> Result<bool, SourceError> {
        let Some(Object(members)) = next_object(&mut self.lines)? else {
            return Ok(false);
        };
        self.row.fill(Member::Null);
        for (name, member) in members {
            match self.positions.get(&name) {
                Some(position) => self.row[*position] = member,
                None if self.is_open => {}
                None => {
                    let name = shown(&name);
                    return Err(malformed(
                        self.lines.number(),
                        format_args!(
                            "the member {name} does not occur in the first {SAMPLE_ROWS} rows; name the columns in `columns`"
                        ),
                    ));
                }
            }
        }
        Ok(true)
    }

    fn cell(&self, column: usize) -> Result<Cell<'_>, SourceError> {
        let (name, kind) = &self.columns[column];
        let cell = match (kind, &self.row[column]) {
            (_, Member::Null) => Ok(Cell::Absent),
            (ColumnType::Number, Member::Number(number)) => Ok(Cell::Number(*number)),
            #[allow(clippy::cast_precision_loss)]
            (ColumnType::Number, Member::Integer(integer)) => Ok(Cell::Number(*integer as f64)),
            (ColumnType::Integer, Member::Integer(value)) => Ok(Cell::Integer(*value)),
            (ColumnType::Boolean, Member::Boolean(flag)) => Ok(Cell::Boolean(*flag)),
            (_, Member::Text(text)) => self.fields.read(*kind, text.as_bytes()),
            (ColumnType::Text, member) => Ok(Cell::Text(Cow::Owned(member.text().into_owned()))),
            (ColumnType::Timestamp, member @ (Member::Integer(_) | Member::Number(_))) => self
                .fields
                .timestamp_format
                .read(member.text().as_bytes())
                .map(Cell::Timestamp)
                .ok_or_else(|| refusal(*kind, &member.text())),
            // A whole number that was written with a point or an exponent.
            (ColumnType::Integer, member @ Member::Number(_)) => integer(member.text().as_bytes())
                .map(Cell::Integer)
                .ok_or_else(|| refusal(*kind, &member.text())),
            (_, member) => Err(refusal(*kind, &member.text())),
        };
        cell.map_err(|why| malformed(self.lines.number(), format_args!("column {} {why}", shown(name))))
    }
}
