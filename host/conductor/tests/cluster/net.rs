//! A network between members that can be cut: each member reaches each other one through a proxy of its own.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use inquisitor_conductor::{Address, Resolver, Resolving};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Whether a way is open, and how often its connections were broken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Way {
    is_open: bool,
    breaks: u64,
}

#[derive(Default)]
struct State {
    /// Where members really listen.
    members: HashMap<String, SocketAddr>,
    /// Proxies and their ways, by who uses them and whom they lead to.
    proxies: HashMap<(String, String), (SocketAddr, watch::Sender<Way>)>,
}

/// The network.
#[derive(Clone, Default)]
pub(crate) struct Net(Arc<Mutex<State>>);

impl Net {
    /// What a member resolves the others' names with.
    pub(crate) fn resolver(&self, from: &str) -> Arc<dyn Resolver> {
        Arc::new(From { net: self.clone(), from: from.to_owned() })
    }

    pub(crate) fn listens(&self, name: &str, address: SocketAddr) {
        self.0.lock().unwrap().members.insert(name.to_owned(), address);
    }

    pub(crate) fn is_gone(&self, name: &str) {
        self.0.lock().unwrap().members.remove(name);
    }

    /// Cuts a member off from all others, or connects it again.
    pub(crate) fn isolate(&self, name: &str, others: &[&str], is_cut: bool) {
        for other in others.iter().filter(|other| **other != name) {
            for (from, to) in [(name, *other), (other, name)] {
                self.way(from, to).send_modify(|way| way.is_open = !is_cut);
            }
        }
    }

    /// Breaks off all connections there are, in both directions.
    pub(crate) fn break_connections(&self, one: &str, other: &str) {
        for (from, to) in [(one, other), (other, one)] {
            self.way(from, to).send_modify(|way| way.breaks += 1);
        }
    }

    fn way(&self, from: &str, to: &str) -> watch::Sender<Way> {
        self.proxy(from, to).1
    }

    fn proxy(&self, from: &str, to: &str) -> (SocketAddr, watch::Sender<Way>) {
        let mut state = self.0.lock().unwrap();
        let key = (from.to_owned(), to.to_owned());
        if let Some(proxy) = state.proxies.get(&key) {
            return proxy.clone();
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let way = watch::Sender::new(Way { is_open: true, breaks: 0 });
        state.proxies.insert(key, (address, way.clone()));
        let (net, to, ways) = (self.clone(), to.to_owned(), way.clone());
        tokio::spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let member = net.0.lock().unwrap().members.get(&to).copied();
                let way = ways.subscribe();
                if let Some(member) = member.filter(|_| way.borrow().is_open) {
                    tokio::spawn(carry(stream, member, way));
                }
            }
        });
        (address, way)
    }
}

/// Carries bytes until either side or the way closes.
async fn carry(mut from: TcpStream, member: SocketAddr, mut way: watch::Receiver<Way>) {
    let begun = *way.borrow_and_update();
    let Ok(mut to) = TcpStream::connect(member).await else { return };
    let _ = (from.set_nodelay(true), to.set_nodelay(true));
    tokio::select! {
        _ = copy_bidirectional(&mut from, &mut to) => {}
        _ = way.wait_for(|way| *way != begun) => {}
    }
}

struct From {
    net: Net,
    from: String,
}

impl Resolver for From {
    fn resolve<'a>(&'a self, address: &'a Address) -> Resolving<'a> {
        Box::pin(async move {
            let to = address.host().strip_suffix(".test");
            let to = to.ok_or_else(|| io::Error::other("no host of the tests"))?;
            Ok(vec![self.net.proxy(&self.from, to).0])
        })
    }
}
