//! Whole reports and charts.
#![allow(clippy::unwrap_used)]

mod common;

use common::{
    Case, HOSTILE, START, cold_chain, falsified, hello_world, hostile, inconclusive, reading, visualization,
};
use inquisitor_findings::reading::{Observation, Observed};
use inquisitor_manifest::spec::{Artifact, ArtifactFormat, ArtifactKind, ChartKind, Parameters};
use inquisitor_report::{ReportError, chart, check_artifact, check_chart, file_name, render};
use pulldown_cmark::{Event, Options, Parser, Tag};

const KINDS: [ArtifactKind; 4] = [
    ArtifactKind::ExecutiveSummary,
    ArtifactKind::DetailedReport,
    ArtifactKind::ConsoleSummary,
    ArtifactKind::ComplianceReport,
];

fn rendered(case: &Case, kind: ArtifactKind, format: ArtifactFormat) -> String {
    let artifact = Artifact { kind, format, parameters: Parameters::new() };
    String::from_utf8(render(&artifact, &case.input(), &case.observed).unwrap()).unwrap()
}

#[test]
fn markdown_reports() {
    for kind in KINDS {
        insta::assert_snapshot!(
            file_name(kind, ArtifactFormat::Markdown),
            rendered(&cold_chain(), kind, ArtifactFormat::Markdown)
        );
    }
    let falsified = rendered(&falsified(), ArtifactKind::ComplianceReport, ArtifactFormat::Markdown);
    insta::assert_snapshot!("compliance_report_of_a_deviation", falsified);
    let undecided = rendered(&inconclusive(), ArtifactKind::ComplianceReport, ArtifactFormat::Markdown);
    insta::assert_snapshot!("compliance_report_undecided", undecided);
    let hello = rendered(&hello_world(), ArtifactKind::ExecutiveSummary, ArtifactFormat::Markdown);
    insta::assert_snapshot!("executive_summary_of_hello_world", hello);
}

#[test]
fn html_reports() {
    insta::assert_snapshot!(rendered(&cold_chain(), ArtifactKind::DetailedReport, ArtifactFormat::Html));
}

#[test]
fn json_reports() {
    for kind in KINDS {
        let json = rendered(&cold_chain(), kind, ArtifactFormat::Json);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["verdict"], "VERIFIED");
        assert_eq!(value["provenance"]["ledger"]["size"], 14);
        assert_eq!(value["provenance"]["submitted"], "2026-01-01T00:00:00Z");
        assert_eq!(value["details"].is_object(), kind == ArtifactKind::DetailedReport);
        assert_eq!(value["evidence"].is_object(), kind != ArtifactKind::ExecutiveSummary);
        if kind == ArtifactKind::ExecutiveSummary {
            insta::assert_snapshot!(json);
        }
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    for format in [ArtifactFormat::Markdown, ArtifactFormat::Html, ArtifactFormat::Json] {
        let write = || rendered(&falsified(), ArtifactKind::DetailedReport, format);
        assert_eq!(write(), write());
    }
}

#[test]
fn a_title_replaces_the_name_and_other_parameters_are_refused() {
    let artifact = |parameters: &str| Artifact {
        kind: ArtifactKind::ExecutiveSummary,
        format: ArtifactFormat::Markdown,
        parameters: serde_json::from_str(parameters).unwrap(),
    };
    let case = cold_chain();
    let titled = render(&artifact(r#"{"title": "Lot 7"}"#), &case.input(), &[]).unwrap();
    assert!(titled.starts_with(b"# Lot 7\n"));
    let wrong = artifact(r#"{"titel": "Lot 7", "title": 7}"#);
    assert_eq!(check_artifact(&wrong).len(), 2);
    assert!(
        matches!(render(&wrong, &case.input(), &[]), Err(ReportError::Parameters(problems)) if problems.len() == 2)
    );
}

#[test]
fn hostile_texts_stay_texts() {
    let case = hostile();
    for kind in KINDS {
        let markdown = rendered(&case, kind, ArtifactFormat::Markdown);
        for event in Parser::new_ext(&markdown, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH) {
            let is_markup = matches!(
                event,
                Event::Html(_)
                    | Event::InlineHtml(_)
                    | Event::Code(_)
                    | Event::Start(Tag::Link { .. } | Tag::Emphasis)
            );
            assert!(!is_markup, "{event:?}");
        }
        let html = rendered(&case, kind, ArtifactFormat::Html);
        assert!(
            !html.contains("<script") && !html.contains('\u{1b}') && !html.contains('\u{202e}'),
            "{html}"
        );
        assert_eq!(html.matches("</title>").count(), html.matches("<title>").count());
        let json = rendered(&case, kind, ArtifactFormat::Json);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["title"], HOSTILE, "JSON holds texts as they are");
    }
}

#[test]
fn charts() {
    let case = cold_chain();
    let draw = |kind, parameters: &str| {
        chart(&visualization(kind, parameters), &case.finding, &case.observed).unwrap()
    };
    insta::assert_snapshot!("time_series", draw(ChartKind::TimeSeries, "{}"));
    insta::assert_snapshot!(
        "scatter_plot",
        draw(ChartKind::ScatterPlot, r#"{"instruments": ["south"], "title": "South"}"#)
    );
    insta::assert_snapshot!("histogram", draw(ChartKind::Histogram, r#"{"bins": 8}"#));
    insta::assert_snapshot!("nothing_to_draw", draw(ChartKind::TimeSeries, r#"{"quantity": "pressure"}"#));
    let pairs = draw(ChartKind::ScatterPlot, r#"{"x": "humidity", "y": "temperature"}"#);
    // Humidity was read once by each, at the moment of the first temperature.
    assert!(pairs.contains("north: 1 reading<") && pairs.contains("south: 1 reading<"), "{pairs}");
}

#[test]
fn wrong_parameters_of_charts_are_named() {
    let problems = |kind, parameters: &str| check_chart(&visualization(kind, parameters)).len();
    assert_eq!(
        problems(ChartKind::TimeSeries, r#"{"quantity": "x", "instruments": ["a"], "title": "t"}"#),
        0
    );
    assert_eq!(problems(ChartKind::TimeSeries, r#"{"bins": 3}"#), 1);
    assert_eq!(problems(ChartKind::Histogram, r#"{"bins": 0, "quantity": 3, "instruments": "a"}"#), 3);
    assert_eq!(problems(ChartKind::ScatterPlot, r#"{"x": "a"}"#), 1);
    assert_eq!(problems(ChartKind::ScatterPlot, r#"{"x": "a", "y": "b", "quantity": "c"}"#), 1);
    let wrong = visualization(ChartKind::Histogram, r#"{"bins": 1000}"#);
    assert!(matches!(chart(&wrong, &cold_chain().finding, &[]), Err(ReportError::Parameters(_))));
}

#[test]
fn units_of_a_chart_are_those_of_the_estimate() {
    let case = cold_chain();
    let observed = |value: f64, unit: &str| Observed {
        instrument: "north".into(),
        step: "observe".into(),
        time: START,
        observation: Observation { readings: vec![reading("temperature", value, unit)], series: Vec::new() },
    };
    let draw = |value, unit| {
        let finding =
            inquisitor_findings::finding::Finding { exclusions: Vec::new(), ..case.finding.clone() };
        chart(&visualization(ChartKind::ScatterPlot, "{}"), &finding, &[observed(value, unit)]).unwrap()
    };
    assert_eq!(draw(278.15, "K"), draw(5.0, "Cel"));
    assert!(draw(5.0, "m").contains("there are no readings of temperature"));
}

#[test]
fn a_chart_of_many_readings_stays_small() {
    let mut case = cold_chain();
    let series = &mut case.observed[1].observation.series[0];
    series.values = (0..100_000).map(|row| f64::from(row % 977)).collect();
    series.times = (0..100_000).map(|row| START + row).collect();
    let svg = chart(&visualization(ChartKind::TimeSeries, "{}"), &case.finding, &case.observed).unwrap();
    assert!(svg.len() < 200_000, "{}", svg.len());
    assert!(svg.contains("100000 readings, drawn by the extremes"));
}
