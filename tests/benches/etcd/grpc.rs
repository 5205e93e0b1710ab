//! etcd's own interface: gRPC, as far as two calls need it. The crate `etcd-client` would bring a second HTTP stack and needs
//! the compiler of protocol buffers to build; two messages and five bytes before each are all that is used here.

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue, Request};
use prost::Message;
use tokio::net::TcpStream;

use crate::load::Client;

/// `etcdserverpb.PutRequest`, as far as it is used.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Put {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) value: Bytes,
}

/// `etcdserverpb.RangeRequest` of one key, linearizable as is its default.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Range {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) key: Bytes,
}

/// What a client asks again and again.
#[derive(Clone)]
pub(crate) enum Call {
    /// Puts of this value, each under a key of its own.
    Puts(Bytes),
    Range(Range),
}

/// A client with a connection of its own.
pub(crate) struct GrpcClient {
    address: String,
    client: usize,
    call: Call,
    sender: Option<SendRequest<Bytes>>,
}

impl GrpcClient {
    pub(crate) fn new(address: &str, client: usize, call: Call) -> Self {
        Self { address: address.to_owned(), client, call, sender: None }
    }

    async fn exchange(&mut self, path: &str, message: &impl Message) -> Result<(), String> {
        let failed = |error: h2::Error| format!("gRPC: {error}");
        let sender = match &mut self.sender {
            Some(sender) => sender,
            none => {
                let stream = TcpStream::connect(&self.address).await.map_err(|error| error.to_string())?;
                stream.set_nodelay(true).map_err(|error| error.to_string())?;
                let (sender, connection) = h2::client::handshake(stream).await.map_err(failed)?;
                // Ends with the connection.
                tokio::spawn(connection);
                none.insert(sender)
            }
        };
        let request = Request::post(format!("http://{}{path}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .map_err(|error| error.to_string())?;
        let mut ready = sender.clone().ready().await.map_err(failed)?;
        let (answer, mut body) = ready.send_request(request, false).map_err(failed)?;
        let mut framed = BytesMut::with_capacity(5 + message.encoded_len());
        framed.put_u8(0);
        framed.put_u32(message.encoded_len() as u32);
        message.encode(&mut framed).map_err(|error| error.to_string())?;
        body.send_data(framed.freeze(), true).map_err(failed)?;
        let answer = answer.await.map_err(failed)?;
        let headers = answer.headers().clone();
        let mut body = answer.into_body();
        while let Some(data) = body.data().await {
            let length = data.map_err(failed)?.len();
            body.flow_control().release_capacity(length).map_err(failed)?;
        }
        let trailers = body.trailers().await.map_err(failed)?.unwrap_or(headers);
        status(&trailers)
    }
}

fn status(trailers: &HeaderMap) -> Result<(), String> {
    match trailers.get("grpc-status").map(HeaderValue::as_bytes) {
        Some(b"0") => Ok(()),
        status => Err(format!("gRPC status {status:?}: {:?}", trailers.get("grpc-message"))),
    }
}

impl Client for GrpcClient {
    async fn ask(&mut self, number: u64) -> Result<(), String> {
        match self.call.clone() {
            Call::Puts(value) => {
                let key = crate::etcd::key(self.client, number).into();
                self.exchange("/etcdserverpb.KV/Put", &Put { key, value }).await
            }
            Call::Range(range) => self.exchange("/etcdserverpb.KV/Range", &range).await,
        }
    }
}
