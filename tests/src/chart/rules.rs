//! Services and network policies as rules of a pod's packet filter (nftables).
//!
//! Services first: a new connection to a service's address goes to one of its pods, as with kube-proxy. Then policies, on the
//! pods' addresses, as a network plugin does: what belongs to a connection that was let through goes on, what comes from the
//! node is the kubelet, and everything else that a policy of its direction does not name is dropped.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::described::{Policy, Rule, Service};

/// A pod as other pods see it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its name.
    pub name: String,
    /// Where it lives.
    pub namespace: String,
    /// Where it is reached.
    pub address: Ipv4Addr,
    /// Whether its readiness probe succeeds, and it is not about to stop.
    pub ready: bool,
    /// The host name and the headless service that make a name of its own.
    pub subdomain: Option<(String, String)>,
}

/// What rules and names are made from.
#[derive(Debug, Default)]
pub struct World {
    /// Services of all namespaces.
    pub services: Vec<Service>,
    /// Network policies of all namespaces.
    pub policies: Vec<Policy>,
    /// Addresses of services, by `namespace/name`. Headless ones have none.
    pub addresses: BTreeMap<String, Ipv4Addr>,
    /// Pods that have an address, by `namespace/name`.
    pub pods: BTreeMap<String, Seen>,
}

impl World {
    /// The pods that a service leads to now.
    pub fn endpoints(&self, service: &Service) -> Vec<&Seen> {
        let chosen =
            service.pods.iter().filter_map(|name| self.pods.get(&format!("{}/{name}", service.namespace)));
        chosen.filter(|pod| pod.ready || service.unready_too).collect()
    }

    /// The rules for a pod, as text for `nft -f`. They replace earlier ones at once.
    pub fn rules(&self, pod: &Seen, node: Ipv4Addr) -> String {
        // Naming a table first makes deleting it no error where there is none.
        let mut text = String::new();
        for table in ["services", "policies"] {
            text.push_str(&format!("table ip {table}\ndelete table ip {table}\n"));
        }
        text.push_str(&self.leading());
        text.push_str("table ip policies {\n");
        for (direction, hook) in [("Ingress", "input"), ("Egress", "output")] {
            let chosen: Vec<&Policy> = self
                .policies
                .iter()
                .filter(|policy| policy.namespace == pod.namespace && policy.pods.contains(&pod.name))
                .filter(|policy| policy.restricts.iter().any(|name| name == direction))
                .collect();
            if !chosen.is_empty() {
                text.push_str(&self.chain(&chosen, direction, hook, node));
            }
        }
        text.push_str("}\n");
        text
    }

    /// From services' addresses to pods. A service without a pod refuses.
    fn leading(&self) -> String {
        let (mut leads, mut refusals) = (String::new(), String::new());
        for service in &self.services {
            let Some(address) = self.addresses.get(&format!("{}/{}", service.namespace, service.name)) else {
                continue;
            };
            let endpoints = self.endpoints(service);
            for port in &service.ports {
                let protocol = port.protocol.to_lowercase();
                let met = format!("ip daddr {address} {protocol} dport {}", port.port);
                let places: Vec<String> = endpoints
                    .iter()
                    .enumerate()
                    .map(|(number, pod)| format!("{number} : {} . {}", pod.address, port.target))
                    .collect();
                match endpoints.as_slice() {
                    [] => refusals.push_str(&format!("    {met} reject\n")),
                    [pod] => leads.push_str(&format!("    {met} dnat to {}:{}\n", pod.address, port.target)),
                    several => leads.push_str(&format!(
                        "    {met} dnat to numgen random mod {} map {{ {} }}\n",
                        several.len(),
                        places.join(", ")
                    )),
                }
            }
        }
        format!(
            "table ip services {{\n  chain lead {{\n    type nat hook output priority -100; policy accept;\n{leads}  }}\n  chain refuse {{\n    type filter hook output priority -1; policy accept;\n{refusals}  }}\n}}\n"
        )
    }

    fn chain(&self, policies: &[&Policy], direction: &str, hook: &str, node: Ipv4Addr) -> String {
        let (interface, side) = if hook == "input" { ("iifname", "saddr") } else { ("oifname", "daddr") };
        let mut text = format!(
            "  chain {hook} {{\n    type filter hook {hook} priority 0; policy drop;\n    {interface} \"lo\" accept\n    ct state established,related accept\n"
        );
        if hook == "input" {
            text.push_str(&format!("    ip saddr {node} accept\n"));
        }
        for policy in policies {
            let rules = if direction == "Ingress" { &policy.ingress } else { &policy.egress };
            for rule in rules {
                for line in self.lines(rule, side) {
                    text.push_str(&format!("    {line} accept\n"));
                }
            }
        }
        text.push_str("  }\n");
        text
    }

    /// What a rule lets through: each peer with each port.
    fn lines(&self, rule: &Rule, side: &str) -> Vec<String> {
        let mut peers = Vec::new();
        if rule.anybody {
            peers.push(String::new());
        }
        let pods: Vec<String> = rule
            .pods_anywhere
            .iter()
            .filter_map(|id| self.pods.get(id))
            .map(|pod| pod.address.to_string())
            .collect();
        if !pods.is_empty() {
            peers.push(format!("ip {side} {{ {} }} ", pods.join(", ")));
        }
        for block in &rule.cidrs {
            let mut peer = format!("ip {side} {} ", block.cidr);
            if !block.except.is_empty() {
                peer.push_str(&format!("ip {side} != {{ {} }} ", block.except.join(", ")));
            }
            peers.push(peer);
        }
        let mut lines = Vec::new();
        for peer in peers {
            if rule.ports.is_empty() {
                lines.push(peer.trim_end().to_owned());
            }
            for port in &rule.ports {
                lines.push(format!("{peer}{} dport {}", port.protocol.to_lowercase(), port.port));
            }
        }
        lines
    }

    /// Names and addresses of services and pods, as lines of a hosts file.
    pub fn names(&self) -> String {
        let mut lines = String::new();
        for service in &self.services {
            let name = format!("{}.{}.svc.cluster.local", service.name, service.namespace);
            if let Some(address) = self.addresses.get(&format!("{}/{}", service.namespace, service.name)) {
                lines.push_str(&format!("{address} {name}\n"));
            }
            if service.headless {
                for pod in self.endpoints(service) {
                    lines.push_str(&format!("{} {name}\n", pod.address));
                    if let Some((host, subdomain)) = &pod.subdomain
                        && *subdomain == service.name
                    {
                        lines.push_str(&format!("{} {host}.{name}\n", pod.address));
                    }
                }
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::super::described::{Block, RulePort, ServicePort};
    use super::*;

    const NODE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

    fn seen(name: &str, last: u8, ready: bool) -> Seen {
        Seen {
            name: name.to_owned(),
            namespace: "n".to_owned(),
            address: Ipv4Addr::new(10, 0, 0, last),
            ready,
            subdomain: Some((name.to_owned(), "headless".to_owned())),
        }
    }

    fn service(name: &str, headless: bool, unready_too: bool) -> Service {
        Service {
            name: name.to_owned(),
            namespace: "n".to_owned(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            headless,
            unready_too,
            ports: vec![ServicePort {
                name: "http".to_owned(),
                protocol: "TCP".to_owned(),
                port: 80,
                target: 8000,
            }],
            pods: vec!["a".to_owned(), "b".to_owned()],
        }
    }

    fn world() -> World {
        let pods = [seen("a", 2, true), seen("b", 3, false)];
        World {
            services: vec![service("api", false, false), service("headless", true, true)],
            policies: Vec::new(),
            addresses: [("n/api".to_owned(), Ipv4Addr::new(10, 96, 0, 7))].into(),
            pods: pods.into_iter().map(|pod| (format!("n/{}", pod.name), pod)).collect(),
        }
    }

    fn rule(peers: &[&str], ports: &[u16]) -> Rule {
        Rule {
            ports: ports.iter().map(|port| RulePort { protocol: "TCP".to_owned(), port: *port }).collect(),
            anybody: false,
            pods_anywhere: peers.iter().map(|peer| (*peer).to_owned()).collect(),
            cidrs: Vec::new(),
        }
    }

    #[test]
    fn a_service_leads_to_pods_that_are_ready() {
        let mut world = world();
        let rules = world.rules(&world.pods["n/a"], NODE);
        assert!(rules.contains("ip daddr 10.96.0.7 tcp dport 80 dnat to 10.0.0.2:8000\n"), "{rules}");
        if let Some(pod) = world.pods.get_mut("n/b") {
            pod.ready = true;
        }
        let rules = world.rules(&world.pods["n/a"], NODE);
        assert!(rules.contains("random mod 2 map { 0 : 10.0.0.2 . 8000, 1 : 10.0.0.3 . 8000 }"), "{rules}");
        for pod in world.pods.values_mut() {
            pod.ready = false;
        }
        let rules = world.rules(&world.pods["n/a"], NODE);
        assert!(
            rules.contains("ip daddr 10.96.0.7 tcp dport 80 reject\n") && !rules.contains("dnat"),
            "{rules}"
        );
    }

    #[test]
    fn a_pod_that_no_policy_selects_is_open() {
        let world = world();
        let rules = world.rules(&world.pods["n/a"], NODE);
        assert!(!rules.contains("policy drop"), "{rules}");
    }

    #[test]
    fn what_a_policy_does_not_name_is_dropped() {
        let mut world = world();
        let mut block = rule(&[], &[443]);
        block.cidrs =
            vec![Block { cidr: "192.0.2.0/24".to_owned(), except: vec!["192.0.2.9/32".to_owned()] }];
        world.policies.push(Policy {
            name: "p".to_owned(),
            namespace: "n".to_owned(),
            pods: vec!["a".to_owned()],
            restricts: vec!["Ingress".to_owned(), "Egress".to_owned()],
            ingress: vec![rule(&["n/b"], &[4321]), Rule { anybody: true, ..rule(&[], &[8000]) }],
            egress: vec![block, rule(&["n/absent"], &[53])],
        });
        let rules = world.rules(&world.pods["n/a"], NODE);
        assert_eq!(rules.matches("policy drop").count(), 2, "{rules}");
        assert!(rules.contains("\n    ip saddr { 10.0.0.3 } tcp dport 4321 accept\n"), "{rules}");
        assert!(rules.contains("\n    tcp dport 8000 accept\n"), "{rules}");
        assert!(
            rules.contains("ip daddr 192.0.2.0/24 ip daddr != { 192.0.2.9/32 } tcp dport 443 accept"),
            "{rules}"
        );
        // A rule whose peers are not there lets nobody through, instead of everybody.
        assert!(!rules.contains("dport 53"), "{rules}");
        let other = world.rules(&world.pods["n/b"], NODE);
        assert!(!other.contains("policy drop"), "{other}");
    }

    #[test]
    fn names_are_those_that_kubernetes_publishes() {
        let names = world().names();
        assert!(names.contains("10.96.0.7 api.n.svc.cluster.local\n"), "{names}");
        // Not ready, and published: the headless service says so.
        assert!(names.contains("10.0.0.3 b.headless.n.svc.cluster.local\n"), "{names}");
        assert!(names.contains("10.0.0.3 headless.n.svc.cluster.local\n"), "{names}");
        let mut world = world();
        world.services[1].unready_too = false;
        assert!(!world.names().contains("b.headless"), "a name that nothing publishes");
    }
}
