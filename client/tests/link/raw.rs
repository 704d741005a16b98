//! A peer made by hand, from the description of the protocol and not from its code.

use std::io;
use std::net::SocketAddr;

use perun_protocol::encoding::{Domain, digest};
use perun_protocol::signature::{Libsecp256k1Key, Signer as _};
use snow::StatelessTransportState;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(crate) const MESSAGE: u8 = 0;
pub(crate) const PING: u8 = 1;
pub(crate) const PONG: u8 = 2;
pub(crate) const GOODBYE: u8 = 3;

pub(crate) const MAX_MESSAGE: u32 = 1024 * 1024;

pub(crate) struct Raw {
    pub stream: TcpStream,
    noise: StatelessTransportState,
    nonce_out: u64,
    nonce_in: u64,
    pub sent_bytes: u64,
    pub received_bytes: u64,
}

/// What an identity says of itself for a static key.
pub(crate) fn hello(version: u16, key: &Libsecp256k1Key, static_key: &[u8], max: u32) -> Vec<u8> {
    let identity = *key.public_key().as_bytes();
    let statement = digest(Domain::LinkKey, &[&identity, static_key].concat());
    let signature = *key.sign(&statement).as_bytes();
    let mut bytes = Vec::new();
    let mut encoder = minicbor::Encoder::new(&mut bytes);
    encoder.map(5).unwrap();
    encoder.u8(0).unwrap().u16(version).unwrap();
    encoder.u8(1).unwrap().bytes(&identity).unwrap();
    encoder.u8(2).unwrap().bytes(&signature).unwrap();
    encoder.u8(3).unwrap().u32(max).unwrap();
    encoder
        .u8(200)
        .unwrap()
        .str("of newer software only")
        .unwrap();
    bytes
}

impl Raw {
    pub async fn dial(address: SocketAddr, key: &Libsecp256k1Key) -> io::Result<Self> {
        Self::dial_with(address, |static_key| hello(1, key, static_key, MAX_MESSAGE)).await
    }

    /// Dials, and says of itself what it is told to, given its static key.
    pub async fn dial_with(
        address: SocketAddr,
        hello: impl FnOnce(&[u8]) -> Vec<u8>,
    ) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        let pattern = "Noise_XX_25519_ChaChaPoly_SHA256";
        let keys = snow::Builder::new(pattern.parse().unwrap())
            .generate_keypair()
            .unwrap();
        let builder = snow::Builder::new(pattern.parse().unwrap());
        let builder = builder.prologue(b"perun-icp/link/1").unwrap();
        let builder = builder.local_private_key(&keys.private).unwrap();
        let mut noise = builder.build_initiator().unwrap();
        let mut message = [0; 2048];
        let mut payload = [0; 2048];
        let length = noise.write_message(&[], &mut message).unwrap();
        stream.write_u16(length as u16).await?;
        stream.write_all(&message[..length]).await?;
        let length = usize::from(stream.read_u16().await?);
        stream.read_exact(&mut message[..length]).await?;
        noise
            .read_message(&message[..length], &mut payload)
            .unwrap();
        let length = noise
            .write_message(&hello(&keys.public), &mut message)
            .unwrap();
        stream.write_u16(length as u16).await?;
        stream.write_all(&message[..length]).await?;
        Ok(Self {
            stream,
            noise: noise.into_stateless_transport_mode().unwrap(),
            nonce_out: 0,
            nonce_in: 0,
            sent_bytes: 0,
            received_bytes: 0,
        })
    }

    /// A frame, sealed as the next one.
    pub fn seal(&mut self, kind: u8, message: &[u8]) -> Vec<u8> {
        self.seal_plain(&[&[kind], message].concat())
    }

    pub fn seal_plain(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 4];
        let mut chunks = plain.chunks(65_519).peekable();
        while let Some(chunk) = chunks.next() {
            let is_last = u64::from(chunks.peek().is_none());
            let nonce = self.nonce_out | is_last << 63;
            let mut sealed = vec![0; chunk.len() + 16];
            let written = self.noise.write_message(nonce, chunk, &mut sealed);
            written.unwrap();
            self.nonce_out += 1;
            frame.extend(sealed);
        }
        let length = (frame.len() - 4) as u32;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        frame
    }

    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sent_bytes += bytes.len() as u64;
        self.stream.write_all(bytes).await
    }

    pub async fn send(&mut self, kind: u8, message: &[u8]) -> io::Result<()> {
        let frame = self.seal(kind, message);
        self.write(&frame).await
    }

    pub async fn receive(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let length = self.stream.read_u32().await? as usize;
        let mut sealed = vec![0; length];
        self.stream.read_exact(&mut sealed).await?;
        self.received_bytes += 4 + length as u64;
        let mut plain = Vec::new();
        let mut chunks = sealed.chunks(65_535).peekable();
        while let Some(chunk) = chunks.next() {
            let is_last = u64::from(chunks.peek().is_none());
            let nonce = self.nonce_in | is_last << 63;
            let mut opened = vec![0; chunk.len()];
            let count = self.noise.read_message(nonce, chunk, &mut opened);
            plain.extend(&opened[..count.unwrap()]);
            self.nonce_in += 1;
        }
        Ok((plain[0], plain[1..].to_vec()))
    }

    /// Reads until the other side ends the connection.
    pub async fn end(mut self) -> Vec<(u8, Vec<u8>)> {
        let mut frames = Vec::new();
        while let Ok(frame) = self.receive().await {
            frames.push(frame);
        }
        frames
    }
}
