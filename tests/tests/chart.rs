//! The chart, run: what Helm's code renders is started as processes that see nothing but what a pod would, and a real
//! Prometheus watches them with the rendered rules.
//!
//! Root is needed, for users and mounts of the pods. See `inquisitor_tests::chart` for what is done as a cluster does it.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use inquisitor_tests::chart::{Cluster, Description, described, discovery};
use inquisitor_tests::server::get;
use inquisitor_tests::{fixture, netns, repository};
use serde_json::Value;

const CLIENT: &str = "inquisitor-system/client";
const STRANGER: &str = "inquisitor-system/stranger";
const HELM_TEST: &str = "inquisitor-system/inquisitor-test";
/// The Prometheus that finds members by annotations, and the one that the operator sets up.
const WATCHERS: [&str; 2] = ["monitoring/annotations", "monitoring/operator"];
const SECOND: Duration = Duration::from_secs(1);

/// Whether the test goes on here: as root, within namespaces, with the programs of others that it needs. Who is not root is told
/// what was left out; where root lacks something that was asked for, that is a failure.
fn entered(test: &str) -> bool {
    if netns::is_within() {
        return true;
    }
    let left_out = |why: &str| {
        let _ = writeln!(std::io::stderr(), "left out: {test}: {why}");
        false
    };
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return left_out("pods have users and mounts of their own, which only root can give them");
    }
    let runs = |program: &Path| {
        let found =
            Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        found.is_ok_and(|status| status.success())
    };
    let python = described::python();
    for (program, from) in [
        (python.as_path(), "tests/deployment/run.sh makes it"),
        (Path::new("dnsmasq"), "Debian: dnsmasq-base"),
        (Path::new("prometheus"), "Debian: prometheus"),
    ] {
        if !runs(program) {
            let why = format!("{} is missing ({from})", program.display());
            assert!(std::env::var_os("INQUISITOR_REQUIRE_PEERS").is_none(), "{test} is required: {why}");
            return left_out(&why);
        }
    }
    netns::entered(test)
}

fn member(number: usize) -> String {
    format!("inquisitor-system/inquisitor-{number}")
}

fn neighbours() -> String {
    std::fs::read_to_string(fixture("chart/neighbours.yaml")).unwrap()
}

/// The objects of an upgrade: what the chart generated at the installation is found in the cluster and kept.
fn upgrade(folder: &Path, installed: &Description, values: &str) -> Description {
    let secrets = installed.objects.iter().filter(|object| object["kind"] == "Secret");
    let secrets: String = secrets.map(|secret| format!("\n---\n{secret}")).collect();
    Description::of(folder, values, &format!("{}{secrets}", neighbours()))
}

/// What the client's workers noted in files of this name.
fn noted(cluster: &Cluster, name: &str) -> Vec<String> {
    let lines = |worker| cluster.shared("load", &format!("{name}-{worker}"));
    ["a", "b"]
        .into_iter()
        .flat_map(|worker| lines(worker).lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// What became of what the client submitted.
#[derive(Debug)]
struct Count {
    acknowledged: usize,
    /// Acknowledged and not there.
    lost: usize,
    /// There more than once.
    doubled: usize,
    /// Not acknowledged: the client gave up.
    refused: usize,
    /// Acknowledged after the client had to ask again.
    asked_again: usize,
}

impl Count {
    fn is_complete(&self, after: &str) {
        let Self { acknowledged, lost, doubled, refused, asked_again } = self;
        let _ = writeln!(
            std::io::stderr(),
            "{after}: {acknowledged} acknowledged ({asked_again} after asking again), {lost} lost, {doubled} doubled, {refused} refused"
        );
        assert!(
            self.acknowledged > 0 && self.lost == 0 && self.doubled == 0 && self.refused == 0,
            "{self:?}"
        );
    }
}

/// Ask every member for what the client submitted, until all of it has a finding there.
fn count(cluster: &Cluster, members: usize) -> Count {
    let acknowledged: BTreeSet<String> = noted(cluster, "acknowledged").into_iter().collect();
    let mut count = Count {
        acknowledged: acknowledged.len(),
        lost: 0,
        doubled: 0,
        refused: noted(cluster, "refused").len(),
        asked_again: noted(cluster, "asked-again").len(),
    };
    for number in 0..members {
        let server = format!("http://inquisitor-{number}.inquisitor-headless:8000");
        let list = ["inquisitor", "--server", &server, "inquiry", "list", "--all", "-o", "json"];
        let listed = cluster.until("findings of everything", || {
            let output = cluster.exec(CLIENT, &list, 30 * SECOND)?;
            let listed: Vec<Value> = serde_json::from_slice(&output.stdout).ok()?;
            listed.iter().all(|inquiry| inquiry["status"] == "concluded").then_some(listed)
        });
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for inquiry in &listed {
            *seen.entry(inquiry["manifest_id"].as_str().unwrap()).or_default() += 1;
        }
        count.lost += acknowledged.iter().filter(|id| !seen.contains_key(id.as_str())).count();
        count.doubled += seen.iter().filter(|(id, times)| id.starts_with("load-") && **times > 1).count();
    }
    count
}

/// Let the client submit while something happens.
fn under_load(cluster: &mut Cluster, what: impl FnOnce(&mut Cluster)) {
    let before = noted(cluster, "acknowledged").len();
    if cluster.has("load", "done") {
        cluster.take("load", "done");
    }
    cluster.share("load", "go", "");
    cluster
        .until("an inquiry of the client", || (noted(cluster, "acknowledged").len() > before).then_some(()));
    what(cluster);
    let during = noted(cluster, "acknowledged").len();
    cluster.until("one more", || (noted(cluster, "acknowledged").len() > during).then_some(()));
    cluster.take("load", "go");
    cluster.until("the end of the client's work", || cluster.has("load", "done").then_some(()));
}

/// What a Prometheus answers to a query: the series with their values.
fn query(cluster: &Cluster, watcher: &str, text: &str) -> Vec<(Value, f64)> {
    let escaped: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let answer = asked(cluster, watcher, &format!("/api/v1/query?query={escaped}"));
    let result = answer["data"]["result"].as_array().cloned().unwrap_or_default();
    let value = |series: &Value| series["value"][1].as_str().and_then(|value| value.parse().ok());
    result.iter().filter_map(|series| Some((series["metric"].clone(), value(series)?))).collect()
}

/// The answer of a Prometheus, nothing where it has none yet.
fn asked(cluster: &Cluster, watcher: &str, path: &str) -> Value {
    let body = get(&format!("{}:9090", cluster.address(watcher)), path).unwrap_or_default();
    serde_json::from_str(&body).unwrap_or_default()
}

/// The states of an alert's instances: `pending`, `firing`.
fn alert(cluster: &Cluster, name: &str) -> Vec<String> {
    let answer = asked(cluster, WATCHERS[1], "/api/v1/alerts");
    let alerts = answer["data"]["alerts"].as_array().cloned().unwrap_or_default();
    let named = alerts.iter().filter(|alert| alert["labels"]["alertname"] == name);
    named.filter_map(|alert| alert["state"].as_str().map(str::to_owned)).collect()
}

/// Say how long a part took, for who looks at the test's output.
fn part<T>(name: &str, act: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let done = act();
    let _ = writeln!(std::io::stderr(), "{name}: {:.1} s", began.elapsed().as_secs_f64());
    done
}

/// What the policy forbids is dropped, and what it permits is not.
fn policy_holds(cluster: &Cluster) {
    let address = |id: &str| cluster.address(id);
    let (first, second, stranger) = (member(0), member(1), STRANGER);
    for (from, to, port, passes) in [
        // Members among each other: consensus and nothing else.
        (first.as_str(), second.as_str(), 4321, true),
        (&first, &second, 8000, false),
        // Nobody else reaches the members' port; the API is for the namespace.
        (CLIENT, &first, 4321, false),
        (stranger, &first, 4321, false),
        (CLIENT, &first, 8000, true),
        (WATCHERS[0], &first, 4321, false),
        (WATCHERS[0], &first, 8000, false),
        // The way out: names, and nobody who is there and listens.
        (&first, "kube-system/kube-dns", 53, true),
        (CLIENT, stranger, 5432, true),
        (&first, stranger, 5432, false),
    ] {
        assert_eq!(cluster.connects(from, &address(to), port), passes, "{from} → {to} on port {port}");
    }
    // The service leads to pods, and its own address is no way around the policy.
    assert!(cluster.connects(CLIENT, "inquisitor", 80));
    assert!(!cluster.connects(WATCHERS[0], "inquisitor.inquisitor-system", 80));
    // The headless service is no name for a pod that is not there.
    assert!(!cluster.connects(CLIENT, "inquisitor-7.inquisitor-headless", 8000));
}

/// The container sees what the pod spec says, and can write where it says.
fn container_is_confined(cluster: &Cluster) {
    let run = |script: &str| {
        let output = cluster.exec(&member(0), &["/bin/sh", "-c", script], 10 * SECOND).unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    assert_eq!(run("id -u; id -g; id -G"), "10001\n10001\n10001");
    assert_eq!(run("hostname"), "inquisitor-0");
    assert_eq!(
        run("grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/1/status | tr -d '\\n\\t '"),
        "CapEff:0000000000000000CapBnd:0000000000000000NoNewPrivs:1"
    );
    for folder in ["/app/data", "/app/artifacts", "/var/cache/inquisitor", "/tmp"] {
        assert_eq!(run(&format!("touch {folder}/it && rm {folder}/it && echo yes")), "yes", "{folder}");
    }
    for folder in ["/", "/app", "/app/manifests", "/usr/local/bin", "/etc", "/var"] {
        assert_eq!(run(&format!("touch {folder}/it 2>/dev/null || echo no")), "no", "{folder}");
    }
    // The command is the first process, and nothing of the test's environment came along.
    assert_eq!(run("tr '\\0' ' ' < /proc/1/cmdline"), "/usr/local/bin/inquisitor serve");
    let names = run("tr '\\0' '\\n' < /proc/1/environ | cut -d= -f1 | sort | tr '\\n' ' '");
    let expected: BTreeSet<&str> = [
        "API_KEY",
        "ARTIFACT_DIR",
        "CLUSTER_SECRET",
        "DATA_DIR",
        "HOME",
        "HOSTNAME",
        "HTTP_LISTEN",
        "INQUISITOR_CACHE_DIR",
        "LOG_FORMAT",
        "LOG_LEVEL",
        "MANIFEST_DIR",
        "PATH",
        "POD_NAME",
        "POD_NAMESPACE",
        "RAFT_LISTEN",
        "RAFT_NODE_ID",
        "RAFT_PEERS",
        "SHUTDOWN_TIMEOUT",
    ]
    .into();
    assert_eq!(names.split(' ').collect::<BTreeSet<_>>(), expected);
}

#[test]
fn the_defaults_survive_an_update_and_the_loss_of_a_majority_which_prometheus_tells() {
    if !entered("the_defaults_survive_an_update_and_the_loss_of_a_majority_which_prometheus_tells") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let installed = Description::of(folder, "", &neighbours());
    let watched = upgrade(
        folder,
        &installed,
        // What the guide says under monitoring and network policies, and a setting that members read at their start.
        "metrics: {serviceMonitor: {enabled: true}, prometheusRule: {enabled: true}}\nnetworkPolicy: {metricsFrom: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]}\nlogging: {level: debug}\n",
    );
    let shipped =
        std::fs::read_to_string(repository().join("deployments/prometheus/prometheus-kubernetes.yaml"));
    let rules = discovery::rules(watched.object("PrometheusRule"));
    let mut cluster = Cluster::new(folder, installed);
    cluster.share("settings", "annotations.yaml", &discovery::by_annotations(&shipped.unwrap()));
    cluster.share("settings", "operator.yaml", &discovery::by_monitor(watched.object("ServiceMonitor")));
    cluster.share("settings", "alerts.yaml", &rules);

    part("the members form a cluster", || cluster.settle());
    for number in 0..3 {
        assert_eq!(cluster.life(&member(number)).state().restarts, 0);
    }
    for pod in [CLIENT, STRANGER, WATCHERS[0], WATCHERS[1]] {
        cluster.start(pod);
        cluster.until_available(pod, 0);
    }
    container_is_confined(&cluster);
    part("the network policy holds", || policy_holds(&cluster));
    part("helm test passes", || {
        let (code, output) = cluster.run_to_end(HELM_TEST);
        assert!(code == 0 && output.contains("VERIFIED"), "{code}: {output}\n{}", cluster.logs());
    });
    // By default only the namespace may read the metrics.
    cluster.until("three targets that do not answer", || {
        let up = query(&cluster, WATCHERS[0], "up{job=\"inquisitor\"}");
        (up.len() == 3 && up.iter().all(|(_, value)| *value == 0.0)).then_some(())
    });

    // A changed template: each member is replaced, the highest first, while a client goes on submitting.
    let before: Vec<String> = (0..3).map(|number| cluster.address(&member(number))).collect();
    part("an update under load", || under_load(&mut cluster, |cluster| cluster.apply(watched)));
    for (number, old) in before.iter().enumerate() {
        let life = cluster.life(&member(number));
        assert_ne!(life.address.to_string(), *old, "a new pod");
        assert_eq!(life.pod.container().env["LOG_LEVEL"], "debug");
        assert!(!life.log().is_empty() && life.state().restarts == 0);
    }
    assert!(cluster.killed().is_empty(), "the grace was too short for {:?}", cluster.killed());
    let after_update = count(&cluster, 3);
    after_update.is_complete("after an update");

    // Both ways of scraping find the three members, once each.
    for watcher in WATCHERS {
        cluster.until("three members that are scraped", || {
            let up = query(&cluster, watcher, "up{job=\"inquisitor\",namespace=\"inquisitor-system\"}");
            (up.len() == 3 && up.iter().all(|(_, value)| *value == 1.0)).then_some(())
        });
        cluster.until("one leader", || {
            let leaders = query(
                &cluster,
                watcher,
                "sum by (job, namespace) (inquisitor_raft_leader{job=\"inquisitor\"})",
            );
            (leaders.len() == 1 && leaders[0].1 == 1.0).then_some(())
        });
    }
    let instances: BTreeSet<String> = query(&cluster, WATCHERS[0], "up{job=\"inquisitor\"}")
        .iter()
        .filter_map(|(labels, _)| labels["instance"].as_str().map(str::to_owned))
        .collect();
    let pods: BTreeSet<String> = (0..3).map(|number| format!("inquisitor-{number}")).collect();
    assert_eq!(instances, pods, "the dashboard shows members by the names of their pods");
    let rules = asked(&cluster, WATCHERS[1], "/api/v1/rules");
    let groups = rules["data"]["groups"].as_array().unwrap();
    for rule in groups.iter().flat_map(|group| group["rules"].as_array().unwrap()) {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
    assert!(groups.len() >= 2, "{rules}");

    // A container that dies is started again on its disk.
    part("a killed container comes back", || {
        cluster.kill_container(&member(1));
        cluster.until_available(&member(1), 0);
    });
    assert_eq!(cluster.life(&member(1)).state().restarts, 1);

    // Two nodes are gone. What is left is not ready, so the service refuses; the alert fires.
    assert_eq!(alert(&cluster, "InquisitorNoLeader"), Vec::<String>::new());
    part("a majority is lost, and the alert fires", || {
        cluster.lose(&member(0));
        cluster.lose(&member(2));
        cluster.until("the alert", || {
            alert(&cluster, "InquisitorNoLeader").contains(&"firing".to_owned()).then_some(())
        });
    });
    cluster.until("a member that is not ready, having no majority", || {
        (!cluster.is_ready(&member(1))).then_some(())
    });
    // The service follows the pods, a moment later.
    cluster.until("a service that leads to nobody", || {
        (!cluster.connects(CLIENT, "inquisitor", 80)).then_some(())
    });
    part("helm test fails", || {
        let (code, output) = cluster.run_to_end(HELM_TEST);
        assert!(code != 0 && !output.contains("VERIFIED"), "{code}: {output}");
    });
    let down = alert(&cluster, "InquisitorMemberDown");
    assert_eq!(down, ["firing", "firing"], "one for each member that does not answer");
    part("the majority is back, and the alert is resolved", || {
        cluster.give_back(&member(0));
        cluster.give_back(&member(2));
        for number in 0..3 {
            cluster.until_available(&member(number), 0);
        }
        cluster.until("no alert", || alert(&cluster, "InquisitorNoLeader").is_empty().then_some(()));
    });
    let (code, output) = cluster.run_to_end(HELM_TEST);
    assert_eq!(code, 0, "{output}");
    count(&cluster, 3).is_complete("after everything");
}

#[test]
fn the_guides_values_grow_to_five_members_and_shrink_again() {
    if !entered("the_guides_values_grow_to_five_members_and_shrink_again") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let guide = std::fs::read_to_string(repository().join("tests/deployment/values/guide.yaml")).unwrap();
    let three = Description::of(folder, &guide, &neighbours());
    let five = upgrade(folder, &three, &guide.replace("replicaCount: 3", "replicaCount: 5"));
    let three_again = upgrade(folder, &three, &guide);
    let mut cluster = Cluster::new(folder, three);
    part("three members form a cluster", || cluster.settle());
    cluster.start(CLIENT);
    cluster.until_available(CLIENT, 0);
    part("from three to five under load", || under_load(&mut cluster, |cluster| cluster.apply(five)));
    assert!(cluster.killed().is_empty(), "the grace was too short for {:?}", cluster.killed());
    assert_eq!(voters(&cluster), (0..5).map(|number| format!("inquisitor-{number}")).collect::<Vec<_>>());
    count(&cluster, 5).is_complete("after growing");
    // Five members survive the loss of two.
    for number in [0, 3] {
        cluster.lose(&member(number));
    }
    part("two of five are lost, and helm test passes", || {
        let (code, output) = cluster.run_to_end(HELM_TEST);
        assert_eq!(code, 0, "{output}\n{}", cluster.logs());
    });
    for number in [0, 3] {
        cluster.give_back(&member(number));
    }
    (0..5).for_each(|number| cluster.until_available(&member(number), 0));

    // Down again, as the guide says: the pods go, the members are removed, then the settings change.
    part("from five to three", || {
        cluster.scale("inquisitor", 3);
        let removal = cluster.exec(&member(0), &["/bin/sh", "-c", &guides_removal()], 60 * SECOND).unwrap();
        assert!(removal.status.success(), "{}", String::from_utf8_lossy(&removal.stderr));
        assert_eq!(voters(&cluster), ["inquisitor-0", "inquisitor-1", "inquisitor-2"]);
        under_load(&mut cluster, |cluster| cluster.apply(three_again));
    });
    assert_eq!(voters(&cluster), ["inquisitor-0", "inquisitor-1", "inquisitor-2"]);
    count(&cluster, 3).is_complete("after shrinking");
}

#[test]
fn a_lost_cluster_is_restored_as_the_guide_says() {
    if !entered("a_lost_cluster_is_restored_as_the_guide_says") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut cluster = Cluster::new(folder, Description::of(folder, "", &neighbours()));
    part("the members form a cluster", || cluster.settle());
    cluster.start(CLIENT);
    cluster.until_available(CLIENT, 0);
    under_load(&mut cluster, |_| ());
    let before = count(&cluster, 3);
    let backup =
        cluster.exec(CLIENT, &["inquisitor", "backup", "create", "/load/monday.tar"], 60 * SECOND).unwrap();
    assert!(backup.status.success(), "{}", String::from_utf8_lossy(&backup.stderr));

    // Every disk is lost.
    cluster.scale("inquisitor", 0);
    (0..3).for_each(|number| cluster.delete_claim(&format!("data-inquisitor-{number}")));
    let (code, output) = cluster.run_to_end("inquisitor-system/restore");
    assert_eq!(code, 0, "{output}");
    part("the first member leads alone", || cluster.scale("inquisitor", 1));
    assert_eq!(voters(&cluster), ["inquisitor-0"]);
    part("the others join", || cluster.scale("inquisitor", 3));
    assert_eq!(voters(&cluster), ["inquisitor-0", "inquisitor-1", "inquisitor-2"]);
    let after = count(&cluster, 3);
    after.is_complete("after a restore");
    assert_eq!(after.acknowledged, before.acknowledged);
    let (code, output) = cluster.run_to_end(HELM_TEST);
    assert_eq!(code, 0, "{output}");
}

/// The names of those who vote.
fn voters(cluster: &Cluster) -> Vec<String> {
    let status = get(&format!("{}:8000", cluster.address(&member(0))), "/raft/status").unwrap();
    let status: Value = serde_json::from_str(&status).unwrap();
    let members = status["members"].as_array().unwrap().iter();
    let voting = members.filter(|member| member["voter"] == true);
    voting.filter_map(|member| member["name"].as_str().map(str::to_owned)).collect()
}

/// The command in the guide that takes members out of the cluster, as it is typed there.
fn guides_removal() -> String {
    let guide = std::fs::read_to_string(repository().join("deployments/README.md")).unwrap();
    let line = guide.lines().find(|line| line.contains("inquisitor raft remove")).unwrap();
    line.split('\'').nth(1).unwrap().to_owned()
}
