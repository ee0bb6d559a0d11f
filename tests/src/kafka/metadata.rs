//! A proxy before the broker that meddles with its answers to metadata requests.
//!
//! It can take all brokers out of them, as brokers in trouble have been seen to answer; librdkafka's clients may then
//! never find a broker again. And it can keep them to itself, while everything else is answered.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

const METADATA: i16 = 3;
/// The client's name of those that are always told the truth: ours for a second opinion.
const WITNESS: &[u8] = b"calendly-pipeline-witness";
/// From this version on lengths are varints and responses have tagged fields.
const FLEXIBLE: i16 = 9;

/// Forwards connections to one broker; stops when dropped.
#[derive(Debug)]
pub struct MetadataProxy {
    addr: SocketAddr,
    state: Arc<State>,
    listener: AbortHandle,
}

/// What clients are told who ask for metadata. A witness of ours always gets what the broker answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Metadata {
    /// What the broker answers.
    #[default]
    Whole,
    /// The same without any broker.
    Brokerless,
    /// Nothing.
    Withheld,
}

#[derive(Debug, Default)]
struct State {
    metadata: Mutex<Metadata>,
    /// Connections of an older generation are closed.
    generation: watch::Sender<u64>,
}

impl MetadataProxy {
    /// A proxy on `addr`, which the broker at `upstream` must call its own address.
    pub(super) async fn start_at(addr: SocketAddr, upstream: SocketAddr) -> Self {
        let bound = TcpListener::bind(addr).await.unwrap_or_else(|error| panic!("cannot listen on {addr}: {error}"));
        let state = Arc::new(State::default());
        let listener = tokio::spawn(listen(bound, upstream, state.clone())).abort_handle();
        Self { addr, state, listener }
    }

    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How metadata requests are answered from now on, also those that were asked before.
    pub fn answer(&self, metadata: Metadata) {
        *self.state.metadata.lock().unwrap() = metadata;
    }

    /// Closes every connection, after which clients ask for metadata.
    pub fn cut(&self) {
        self.state.generation.send_modify(|generation| *generation += 1);
    }
}

impl Drop for MetadataProxy {
    fn drop(&mut self) {
        self.listener.abort();
        self.cut();
    }
}

async fn listen(bound: TcpListener, upstream: SocketAddr, state: Arc<State>) {
    while let Ok((client, _)) = bound.accept().await {
        let state = state.clone();
        tokio::spawn(async move {
            let mut generation = state.generation.subscribe();
            generation.mark_unchanged();
            tokio::select! {
                _ = forward(client, upstream, &state) => {}
                _ = generation.changed() => {}
            }
        });
    }
}

/// Versions of the metadata requests that have no answer yet, by correlation id.
type Asked = Mutex<HashMap<[u8; 4], i16>>;

async fn forward(client: TcpStream, upstream: SocketAddr, state: &State) -> io::Result<()> {
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = TcpStream::connect(upstream).await?.into_split();
    let asked = Asked::default();
    tokio::try_join!(requests(client_read, server_write, &asked), answers(server_read, client_write, &asked, state))?;
    Ok(())
}

async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, asked: &Asked) -> io::Result<()> {
    loop {
        let frame = read_frame(&mut from).await?;
        if let [key_high, key_low, version_high, version_low, a, b, c, d, _, _, ref rest @ ..] = frame[..]
            && i16::from_be_bytes([key_high, key_low]) == METADATA
            && !rest.starts_with(WITNESS)
        {
            asked.lock().unwrap().insert([a, b, c, d], i16::from_be_bytes([version_high, version_low]));
        }
        write_frame(&mut to, &frame).await?;
    }
}

async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, asked: &Asked, state: &State) -> io::Result<()> {
    loop {
        let mut frame = read_frame(&mut from).await?;
        let version = frame.first_chunk().and_then(|id: &[u8; 4]| asked.lock().unwrap().remove(id));
        let metadata = *state.metadata.lock().unwrap();
        if let Some(version) = version {
            match metadata {
                Metadata::Whole => {}
                Metadata::Brokerless => {
                    assert!(
                        version >= FLEXIBLE,
                        "the client asks in version {version}, which this proxy does not know"
                    );
                    frame = without_brokers(&frame);
                }
                Metadata::Withheld => continue,
            }
        }
        write_frame(&mut to, &frame).await?;
    }
}

/// The same answer with an empty list of brokers: correlation id, tags, throttle time, brokers, all the rest.
fn without_brokers(frame: &[u8]) -> Vec<u8> {
    let (head, mut rest) = frame.split_at(4 + 1 + 4);
    for _ in 1..take_varint(&mut rest) {
        rest = &rest[4..];
        let host = take_varint(&mut rest).saturating_sub(1);
        rest = &rest[host + 4..];
        let rack = take_varint(&mut rest).saturating_sub(1);
        rest = &rest[rack..];
        assert_eq!(take_varint(&mut rest), 0, "a broker has no tagged fields");
    }
    [head, &[1], rest].concat()
}

fn take_varint(rest: &mut &[u8]) -> usize {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = rest[0];
        *rest = &rest[1..];
        value |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return value;
        }
    }
}

async fn read_frame(from: &mut OwnedReadHalf) -> io::Result<Vec<u8>> {
    let length = from.read_u32().await?;
    let mut frame = vec![0; usize::try_from(length).expect("a frame fits into memory")];
    from.read_exact(&mut frame).await?;
    Ok(frame)
}

async fn write_frame(to: &mut OwnedWriteHalf, frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).expect("a frame has a length of four bytes");
    to.write_all(&[&length.to_be_bytes(), frame].concat()).await
}
