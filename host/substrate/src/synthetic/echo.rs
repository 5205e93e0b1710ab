//! `echo`: numbered messages. Row `i` holds `i` and the prefix followed by `i`.

use std::borrow::Cow;

use inquisitor_manifest::spec::Parameters;

use super::MAX_ROWS;
use super::random::Seed;
use crate::batch::SourceError;
use crate::cell::Cell;
use crate::parameters::Reader;
use crate::reader::Records;
use inquisitor_manifest::ParameterProblem;

/// Bytes of a prefix; it is repeated in every row.
const MAX_PREFIX_BYTES: usize = 1024;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Echo {
    prefix: String,
    count: u64,
}

impl Echo {
    pub(super) fn read(parameters: &Parameters) -> Result<Self, Vec<ParameterProblem>> {
        let mut reader = Reader::new(parameters, "/parameters", &["prefix", "count", "seed"]);
        Seed::check(&mut reader);
        let prefix = reader.text("prefix").unwrap_or("echo_").to_owned();
        if prefix.len() > MAX_PREFIX_BYTES {
            reader.problem("prefix", format!("must not be longer than {MAX_PREFIX_BYTES} bytes"));
        }
        let count = reader.whole("count", 0..=MAX_ROWS).unwrap_or(1);
        if reader.problems.is_empty() { Ok(Self { prefix, count }) } else { Err(reader.problems) }
    }

    pub(super) fn records(&self) -> EchoRecords {
        EchoRecords { prefix: self.prefix.clone(), count: self.count, next: 0 }
    }
}

pub(super) struct EchoRecords {
    prefix: String,
    count: u64,
    next: u64,
}

impl Records for EchoRecords {
    fn advance(&mut self) -> Result<bool, SourceError> {
        let is_there = self.next < self.count;
        self.next += u64::from(is_there);
        Ok(is_there)
    }

    fn cell(&self, column: usize) -> Result<Cell<'_>, SourceError> {
        let index = self.next - 1;
        Ok(match column {
            // At most `MAX_ROWS`.
            #[allow(clippy::cast_possible_wrap)]
            0 => Cell::Integer(index as i64),
            _ => Cell::Text(Cow::Owned(format!("{}{index}", self.prefix))),
        })
    }
}
