//! Members that talk over real sockets, and strangers that try to.

mod certificates;
mod common;
mod hostile;
mod membership;
mod reconnect;
mod transport;
