use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use inquisitor_engine::gating::Role;
use serde_json::Value;

use super::*;
use crate::gate::Action;
use crate::problem::Kind;

fn description() -> Value {
    serde_json::from_slice(&document().bytes).unwrap()
}

/// Each operation: method, path, what it is.
fn operations(description: &Value) -> Vec<(String, String, Value)> {
    let paths = description["paths"].as_object().unwrap();
    let of_path = |(path, item): (&String, &Value)| {
        let of_method =
            |(method, operation): (&String, &Value)| (method.to_uppercase(), path.clone(), operation.clone());
        item.as_object().unwrap().iter().map(of_method).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_path).collect()
}

#[test]
fn the_paths_methods_and_statuses() {
    let mut text = String::new();
    for (method, path, operation) in operations(&description()) {
        let statuses: Vec<&str> =
            operation["responses"].as_object().unwrap().keys().map(String::as_str).collect();
        writeln!(text, "{method} {path}: {}", statuses.join(" ")).unwrap();
    }
    insta::assert_snapshot!(text);
}

#[test]
fn every_operation_has_a_summary_a_tag_and_an_id_of_its_own() {
    let description = description();
    let tags: Vec<&str> =
        description["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    let mut ids = BTreeMap::new();
    for (method, path, operation) in operations(&description) {
        let at = format!("{method} {path}");
        assert!(operation["summary"].as_str().is_some_and(|text| text.ends_with('.')), "{at} has no summary");
        let tag = operation["tags"][0].as_str().unwrap_or_default();
        assert!(tags.contains(&tag), "{at} has the tag `{tag}`");
        let id = operation["operationId"].as_str().unwrap().to_owned();
        if let Some(other) = ids.insert(id.clone(), at.clone()) {
            panic!("{at} and {other} are both {id}");
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let described = parameter["description"].as_str().is_some_and(|text| !text.is_empty());
            assert!(described, "{at}: the parameter {} has no description", parameter["name"]);
        }
    }
}

#[test]
fn what_takes_a_key_says_so_and_what_it_answers_without() {
    for (method, path, operation) in operations(&description()) {
        let is_open = operation["security"]
            .as_array()
            .is_some_and(|all| all.iter().all(|one| one.as_object().unwrap().is_empty()));
        let is_v1 = path.starts_with("/v1/") && path != "/v1/openapi.json";
        assert_eq!(!is_open, is_v1, "{method} {path}");
        for status in ["400", "401", "403", "429", "500", "503"] {
            let there = operation["responses"].get(status).is_some();
            assert!(there || is_open, "{method} {path} does not document {status}");
        }
    }
}

#[test]
fn every_error_is_a_problem() {
    for (method, path, operation) in operations(&description()) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            if status.as_str() < "400" || path == "/ready" {
                continue;
            }
            let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(schema, "#/components/schemas/Problem", "{method} {path} {status}");
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn visit(value: &Value, root: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    let pointer = reference.strip_prefix('#').expect("references stay in the document");
                    assert!(root.pointer(pointer).is_some(), "{reference} leads nowhere");
                }
                fields.values().for_each(|field| visit(field, root));
            }
            Value::Array(items) => items.iter().for_each(|item| visit(item, root)),
            _ => {}
        }
    }
    let description = description();
    visit(&description, &description);
}

#[test]
fn the_document_is_the_same_each_time() {
    assert_eq!(describe().to_json().unwrap(), describe().to_json().unwrap());
    assert_eq!(document().tag.len(), 64);
}

/// What the documentation for people says. It is checked against what is served, so that neither is without the other.
const README: &str = include_str!("../../README.md");

/// The first cells of the tables' rows, without their code marks.
fn first_cells() -> impl Iterator<Item = &'static str> {
    README.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(cell, _)| cell))
}

#[test]
fn the_readme_lists_every_operation_and_no_other() {
    let is_operation = |cell: &&str| {
        let (method, path) = cell.split_once(' ').unwrap_or_default();
        ["GET", "POST", "PUT", "DELETE"].contains(&method) && path.starts_with('/')
    };
    let listed: BTreeSet<String> = first_cells().filter(is_operation).map(str::to_owned).collect();
    let served: BTreeSet<String> =
        operations(&description()).into_iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    assert_eq!(listed, served);
}

/// The method and the path of a command of the documentation: `curl … $HOST/path`.
fn request(command: &str) -> Option<(&str, &str)> {
    let rest = command.split_once("$HOST/")?.1;
    let end = rest.find([' ', '?', '\'', '"']).unwrap_or(rest.len());
    let method = match command.split_once("-X ") {
        Some((_, after)) => after.split(' ').next()?,
        None if command.contains(" -d ") || command.contains("--data-binary") => "POST",
        None => "GET",
    };
    Some((method, &rest[..end]))
}

/// Whether a path is one of a template, as `v1/keys/k` is of `/v1/keys/{id}`.
fn fits(template: &str, path: &str) -> bool {
    let (template, path) = (template.trim_start_matches('/').split('/'), path.split('/'));
    template.clone().count() == path.clone().count()
        && template
            .zip(path)
            .all(|(part, given)| part == given || (part.starts_with('{') && !given.is_empty()))
}

#[test]
fn the_readme_has_an_example_of_every_operation_and_each_is_one() {
    let operations = operations(&description());
    let commands = README.replace("\\\n", " ");
    let requests: Vec<(&str, &str)> =
        commands.lines().filter(|line| line.starts_with("$ curl ")).filter_map(request).collect();
    for (method, path) in &requests {
        let is_served =
            operations.iter().any(|(served, template, _)| served == method && fits(template, path));
        assert!(is_served, "the example {method} /{path} is not served");
    }
    for (method, template, _) in &operations {
        let is_shown = requests.iter().any(|(shown, path)| shown == method && fits(template, path));
        assert!(is_shown, "{method} {template} has no example");
    }
}

#[test]
fn the_readme_lists_every_kind_of_problem_with_its_status() {
    let rows: BTreeSet<String> =
        README.lines().filter(|line| line.starts_with("| `")).map(|line| line.replace('`', "")).collect();
    for kind in Kind::ALL {
        let row = format!("| {} | {} | ", kind.slug(), kind.status().as_u16());
        assert!(rows.iter().any(|line| line.starts_with(&row)), "no row for {}", kind.slug());
    }
}

#[test]
fn the_readme_says_what_each_role_may() {
    for action in Action::ALL {
        let row = README.lines().find(|line| line.starts_with(&format!("| `{}` |", action.name())));
        let row = row.unwrap_or_else(|| panic!("no row for {}", action.name()));
        let cells: Vec<&str> = row.split('|').map(str::trim).skip(3).take(Role::ALL.len()).collect();
        let told: Vec<bool> = cells.iter().map(|cell| *cell == "✓").collect();
        let may: Vec<bool> = Role::ALL.iter().map(|role| action.roles().contains(role)).collect();
        assert_eq!(told, may, "{}: {row}", action.name());
    }
}
