//! What Prometheus reads: the shipped scrape configuration and the operator's objects, with the discovery replaced.
//!
//! There is no API server to discover endpoints at, and Debian's Prometheus is built without that discovery. So a file has
//! what it would find: each endpoint of each service, ready or not, with the `__meta_kubernetes_…` labels that it would get.
//! The relabelling is the configuration's own. Times are shortened, see [`RATE`]; nothing else is changed.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::rules::World;

/// How much faster than in a cluster time goes by for an alert: `for: 1m` becomes 5 s.
pub const RATE: u64 = 12;

/// Where the pods of Prometheus see the file of targets.
const TARGETS: &str = "/discovered/targets.json";

/// The endpoints of every service as the discovery of role `endpoints` finds them.
pub fn targets(world: &World) -> String {
    let mut targets = Vec::new();
    for service in &world.services {
        for pod in
            service.pods.iter().filter_map(|name| world.pods.get(&format!("{}/{name}", service.namespace)))
        {
            let mut labels: BTreeMap<String, String> = BTreeMap::new();
            let mut set = |name: &str, value: &str| {
                labels.insert(format!("__meta_kubernetes_{name}"), value.to_owned());
            };
            set("namespace", &service.namespace);
            set("service_name", &service.name);
            set("endpoints_name", &service.name);
            set("endpoint_ready", if pod.ready || service.unready_too { "true" } else { "false" });
            set("endpoint_address_target_kind", "Pod");
            set("endpoint_address_target_name", &pod.name);
            set("pod_name", &pod.name);
            set("pod_ip", &pod.address.to_string());
            for (kind, pairs) in [("label", &service.labels), ("annotation", &service.annotations)] {
                for (name, value) in pairs {
                    set(&format!("service_{kind}_{}", safe(name)), value);
                    set(&format!("service_{kind}present_{}", safe(name)), "true");
                }
            }
            for port in &service.ports {
                let mut labels = labels.clone();
                labels.insert("__meta_kubernetes_endpoint_port_name".to_owned(), port.name.clone());
                targets.push(
                    json!({ "targets": [format!("{}:{}", pod.address, port.target)], "labels": labels }),
                );
            }
            // Ports of the pod that no service names are found too.
            targets.push(json!({ "targets": [format!("{}:4321", pod.address)], "labels": labels }));
        }
    }
    Value::Array(targets).to_string()
}

/// `deployments/prometheus/prometheus-kubernetes.yaml` with the file for the discovery, scraping each second.
///
/// # Panics
/// When it is not of the form that is replaced.
pub fn by_annotations(shipped: &str) -> String {
    let mut text = shipped.to_owned();
    for (from, to) in [
        (
            "    kubernetes_sd_configs:\n      - role: endpoints\n",
            format!("    file_sd_configs:\n      - files: [{TARGETS}]\n        refresh_interval: 1s\n"),
        ),
        ("scrape_interval: 30s", "scrape_interval: 1s".to_owned()),
        ("evaluation_interval: 30s", "evaluation_interval: 1s".to_owned()),
    ] {
        assert_eq!(text.matches(from).count(), 1, "the scrape configuration has another form than `{from}`");
        text = text.replace(from, &to);
    }
    text
}

/// What the operator of Prometheus makes of a `ServiceMonitor`, with the file for the discovery, scraping each second.
///
/// # Panics
/// When the object has fields that are not translated here.
pub fn by_monitor(monitor: &Value) -> String {
    let spec = object(&monitor["spec"], &["jobLabel", "selector", "endpoints"]);
    object(&spec["selector"], &["matchLabels"]);
    let mut jobs = Vec::new();
    for endpoint in spec["endpoints"].as_array().into_iter().flatten() {
        let endpoint = object(endpoint, &["port", "path", "interval", "relabelings"]);
        let mut steps = Vec::new();
        for (name, value) in spec["selector"]["matchLabels"].as_object().into_iter().flatten() {
            let name = safe(name);
            steps.push(json!({
                "action": "keep",
                "source_labels": [
                    format!("__meta_kubernetes_service_label_{name}"),
                    format!("__meta_kubernetes_service_labelpresent_{name}"),
                ],
                "regex": format!("({});true", value.as_str().unwrap_or_default()),
            }));
        }
        let here = &monitor["metadata"]["namespace"];
        let keep = |label: &str, regex: &Value| json!({ "action": "keep", "source_labels": [format!("__meta_kubernetes_{label}")], "regex": regex });
        steps.push(keep("namespace", here));
        steps.push(keep("endpoint_port_name", &endpoint["port"]));
        let copy = |from: &str, to: &str| json!({ "source_labels": [format!("__meta_kubernetes_{from}")], "regex": "(.+)", "target_label": to });
        steps.push(copy("namespace", "namespace"));
        steps.push(copy("service_name", "service"));
        steps.push(copy("pod_name", "pod"));
        steps.push(copy("service_name", "job"));
        let job = safe(spec["jobLabel"].as_str().unwrap_or_default());
        steps.push(copy(&format!("service_label_{job}"), "job"));
        steps.push(json!({ "target_label": "endpoint", "replacement": endpoint["port"] }));
        for step in endpoint.get("relabelings").and_then(Value::as_array).into_iter().flatten() {
            let step = object(step, &["sourceLabels", "targetLabel"]);
            steps.push(json!({ "source_labels": step["sourceLabels"], "target_label": step["targetLabel"] }));
        }
        jobs.push(json!({
            "job_name": format!("serviceMonitor/{}", monitor["metadata"]["name"].as_str().unwrap_or_default()),
            "metrics_path": endpoint["path"],
            "file_sd_configs": [{ "files": [TARGETS], "refresh_interval": "1s" }],
            "relabel_configs": steps,
        }));
    }
    // JSON is YAML.
    json!({
        "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
        "rule_files": ["alerts.yaml"],
        "scrape_configs": jobs,
    })
    .to_string()
}

/// The rules of a `PrometheusRule` as a file, where alerts wait for a [`RATE`]th of their time.
///
/// # Panics
/// When an alert's time is of another form.
pub fn rules(rule: &Value) -> String {
    let mut spec = rule["spec"].clone();
    for group in spec["groups"].as_array_mut().into_iter().flatten() {
        for alert in group["rules"].as_array_mut().into_iter().flatten() {
            let Some(time) = alert["for"].as_str() else { continue };
            alert["for"] = json!(format!("{}s", seconds(time) / RATE));
        }
    }
    spec.to_string()
}

fn seconds(time: &str) -> u64 {
    let (number, unit) = time.split_at(time.len().saturating_sub(1));
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => panic!("`for: {time}` is not understood"),
    };
    number.parse::<u64>().unwrap_or_else(|error| panic!("`for: {time}`: {error}")) * unit
}

/// An object that has these fields and no others.
fn object<'a>(value: &'a Value, fields: &[&str]) -> &'a Map<String, Value> {
    let object = value.as_object().unwrap_or_else(|| panic!("{value} is no object"));
    let others: Vec<_> = object.keys().filter(|name| !fields.contains(&name.as_str())).collect();
    assert!(others.is_empty(), "fields that are not translated: {others:?}");
    object
}

/// A name as part of a label's.
fn safe(name: &str) -> String {
    name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_waits_for_a_twelfth_of_its_time() {
        let rule = json!({ "spec": { "groups": [{ "name": "g", "rules": [
            { "alert": "A", "expr": "up == 0", "for": "1m" },
            { "alert": "B", "expr": "up == 1" },
        ] }] } });
        let text: Value = serde_json::from_str(&rules(&rule)).expect("JSON");
        assert_eq!(text["groups"][0]["rules"][0]["for"], "5s");
        assert_eq!(text["groups"][0]["rules"][0]["expr"], "up == 0");
        assert!(text["groups"][0]["rules"][1]["for"].is_null());
    }

    #[test]
    #[should_panic(expected = "fields that are not translated")]
    fn a_monitor_that_says_more_is_not_half_translated() {
        by_monitor(&json!({ "metadata": { "namespace": "n" }, "spec": {
            "jobLabel": "app",
            "selector": { "matchLabels": { "app": "inquisitor" } },
            "endpoints": [{ "port": "metrics", "path": "/metrics", "honorLabels": true }],
        } }));
    }
}
