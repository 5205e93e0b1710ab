//! All readings of an inquiry as CSV (RFC 4180), some lines at a time.

use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, stream};

use super::types::ReadingItem;
use super::walk::{Judgement, Part, Selection, Walk};
use crate::api::extract::BodyProblem;
use crate::app::App;
use crate::places::Place;
use crate::problem::Problem;

/// Lines of CSV that are made at once.
const LINES: usize = 1000;

const COLUMNS: [&str; 16] = [
    "step",
    "instrument",
    "round",
    "index",
    "quantity",
    "value",
    "value_type",
    "unit",
    "uncertainty",
    "confidence",
    "time",
    "use",
    "axiom",
    "rule",
    "margin",
    "attributes",
];

/// All readings that are wanted, as CSV.
pub(super) struct Export {
    pub(super) app: Arc<App>,
    /// Held until all is sent.
    pub(super) _turn: Place,
    pub(super) parts: std::vec::IntoIter<Part>,
    pub(super) current: Option<Walk>,
    pub(super) judgement: Judgement,
    pub(super) selection: Selection,
    pub(super) head: bool,
}

impl Export {
    pub(super) fn stream(self) -> impl Stream<Item = Result<Bytes, BodyProblem>> + Send {
        stream::try_unfold(self, |mut export| async move {
            // The headers are gone; all that is left is to cut the answer off.
            let lines = export.lines().await.map_err(BodyProblem)?;
            Ok(lines.map(|lines| (lines, export)))
        })
    }

    async fn lines(&mut self) -> Result<Option<Bytes>, Problem> {
        let mut out = writer();
        let mut written = 0;
        let failed = |error: csv::Error| Problem::internal(&error);
        if std::mem::take(&mut self.head) {
            out.write_record(COLUMNS).map_err(failed)?;
            written += 1;
        }
        while written < LINES {
            let Some(walk) = &mut self.current else {
                let Some(part) = self.parts.next() else { break };
                self.current = Some(Walk::open(&self.app, part).await?);
                continue;
            };
            let Some(item) = walk.next(&self.judgement) else {
                self.current = None;
                continue;
            };
            if self.selection.quantity.as_ref().is_none_or(|asked| *asked == item.quantity) {
                out.write_record(cells(&item)).map_err(failed)?;
                written += 1;
            }
        }
        if written == 0 {
            return Ok(None);
        }
        let bytes = out.into_inner().map_err(|error| Problem::internal(&error))?;
        Ok(Some(bytes.into()))
    }
}

/// Whatever is no number is quoted, so that a text stays one.
fn writer() -> csv::Writer<Vec<u8>> {
    csv::WriterBuilder::new()
        .quote_style(csv::QuoteStyle::NonNumeric)
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new())
}

fn cells(item: &ReadingItem) -> [String; 16] {
    let number = |number: Option<f64>| number.map_or_else(String::new, |number| number.to_string());
    let exclusion = item.exclusion.as_ref();
    let value = match &item.value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let attributes = if item.attributes.is_empty() {
        String::new()
    } else {
        serde_json::to_string(&item.attributes).unwrap_or_default()
    };
    [
        item.step.clone(),
        item.instrument.clone(),
        item.round.to_string(),
        item.index.to_string(),
        item.quantity.clone(),
        value,
        item.value_type.as_str().to_owned(),
        item.unit.clone(),
        number(item.uncertainty),
        item.confidence.to_string(),
        item.time.clone(),
        item.used.as_str().to_owned(),
        exclusion.and_then(|exclusion| exclusion.axiom).map_or_else(String::new, |axiom| axiom.to_string()),
        exclusion.map_or_else(String::new, |exclusion| exclusion.rule.clone()),
        number(exclusion.and_then(|exclusion| exclusion.margin)),
        attributes,
    ]
}

#[cfg(test)]
mod tests {
    use super::super::walk::tests::{judgement, observation, walk};
    use super::*;

    #[test]
    fn what_is_no_number_is_quoted_in_csv() {
        let mut walk = walk(observation());
        let mut out = writer();
        while let Some(item) = walk.next(&judgement()) {
            out.write_record(cells(&item)).unwrap();
        }
        let text = String::from_utf8(out.into_inner().unwrap()).unwrap().replace("\r\n", "\n");
        insta::assert_snapshot!(text, @r#"
        "measure","probe",0,0,"tag","=1+1,""x""","text",1,"",1,"1970-01-01T00:00:00.000000010Z","used","","","",""
        "measure","probe",0,1,"n",3,"integer",1,"",1,"1970-01-01T00:00:00.000000005Z","used","","","",""
        "measure","probe",0,2,"t",1.5,"number","Cel",0.5,0.9,"1970-01-01T00:00:00.000000007Z","used","","","",""
        "measure","probe",0,3,"t",-2.0,"number","Cel",0.5,0.9,"1970-01-01T00:00:00.000000008Z","excluded",1,"t ≥ 0",2,""
        "measure","probe",0,4,"t",4.0,"number","Cel",0.5,0.9,"1970-01-01T00:00:00.000000010Z","used","","","",""
        "#);
    }
}
