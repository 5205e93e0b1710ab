//! The chart, run: each pod that Helm's code renders is started as a process in namespaces of its own, with exactly the
//! command, environment, mounts, user, services, network policies and probes that it was rendered with.
//!
//! `tests/deployment/pods.py` renders and describes ([`described`]). [`cluster`] does what the controller of StatefulSets and
//! `kubectl` do, [`kubelet`] looks after a pod, [`container`] and [`volumes`] make one, [`rules`] are services and policies as
//! rules of a packet filter, [`discovery`] is what Prometheus reads. The network is one of [`crate::netns`].
//!
//! It is one node without an API server: scheduling, admission, storage classes, image pulls, seccomp profiles and limits of
//! processor and memory are not what is tested here.

pub mod cluster;
pub mod container;
pub mod described;
pub mod discovery;
pub mod kubelet;
pub mod node;
pub mod rules;
pub mod volumes;

pub use cluster::Cluster;
pub use described::Description;
