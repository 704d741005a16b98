//! The floor: a plain loop that does what no payment channel can leave out, and nothing else.
//!
//! Two threads, blocking TCP on loopback, Noise as the link has it, a state of two participants. The
//! payer signs, the payee checks every amount, verifies and signs, the payer verifies. Durable: each
//! side appends its record to a file and flushes it before its message leaves.
//!
//! ```text
//! payer: batch, hash, sign, (flush), seal ──> payee: open, add up, hash, verify, sign, (flush), seal
//!        open, verify                     <──
//! ```

use std::fs::File;
use std::io::{Read, Seek as _, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use perun_protocol::encoding::{Domain, digest};
use perun_protocol::signature::{Libsecp256k1, Libsecp256k1Key, Signer as _, Verifier as _};
use perun_protocol::{PublicKey, Signature};
use snow::{Builder, StatelessTransportState};

/// What a payment is in the floor's messages: an amount of so many bytes.
pub const PAYMENT_BYTES: usize = 8;
/// A state of two participants and one asset is about as long.
const STATE_BYTES: usize = 200;
/// What a side stores of a state.
const RECORD_BYTES: usize = 400;
/// How long a side's file is.
const FILE_BYTES: u64 = 32 << 20;
/// The most plaintext of one Noise message.
const CHUNK: usize = 65_535 - 16;

/// What to do.
#[derive(Clone, Copy)]
pub struct Load {
    /// How many states.
    pub rounds: usize,
    /// How many payments in each.
    pub payments: usize,
}

/// Runs the loop: flushes into files in `folder`, if there is one.
pub fn run(load: Load, folder: Option<&Path>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let [payer_key, payee_key] = [1, 2].map(|n| Libsecp256k1Key::from_bytes(&[n; 32]).unwrap());
    let (payer, payee) = (payer_key.public_key(), payee_key.public_key());
    let files = ["payer", "payee"].map(|name| folder.map(|folder| log_file(&folder.join(name))));
    let [payer_file, payee_file] = files;
    let serving = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        serve(Side::new(stream, false, payee_key, payer, payee_file), load);
    });
    let stream = TcpStream::connect(address).unwrap();
    pay(Side::new(stream, true, payer_key, payee, payer_file), load);
    serving.join().unwrap();
}

fn pay(mut side: Side, load: Load) {
    let mut message = vec![0; STATE_BYTES + load.payments * PAYMENT_BYTES];
    for payment in message[STATE_BYTES..].chunks_exact_mut(PAYMENT_BYTES) {
        payment.copy_from_slice(&10_000_u64.to_be_bytes());
    }
    for round in 0..load.rounds {
        message[..8].copy_from_slice(&(round as u64).to_be_bytes());
        let state = digest(Domain::State, &message);
        let signature = side.key.sign(&state);
        side.store(&message[STATE_BYTES..]);
        let signed = [signature.as_bytes().as_slice(), &message].concat();
        side.send(&signed);
        let answer = side.receive();
        let theirs = Signature::from_bytes(answer.as_slice().try_into().unwrap());
        assert!(Libsecp256k1::verify(&side.peer, &state, &theirs));
    }
}

fn serve(mut side: Side, load: Load) {
    let mut total = 0_u128;
    for _ in 0..load.rounds {
        let signed = side.receive();
        let (theirs, message) = signed.split_first_chunk().unwrap();
        for payment in message[STATE_BYTES..].chunks_exact(PAYMENT_BYTES) {
            let amount = u64::from_be_bytes(payment.try_into().unwrap());
            total = total.checked_add(amount.into()).unwrap();
        }
        let state = digest(Domain::State, message);
        let theirs = Signature::from_bytes(*theirs);
        assert!(Libsecp256k1::verify(&side.peer, &state, &theirs));
        let signature = side.key.sign(&state);
        side.store(&message[STATE_BYTES..]);
        side.send(signature.as_bytes());
    }
    assert_eq!(total, (load.rounds * load.payments) as u128 * 10_000);
}

struct Side {
    stream: TcpStream,
    noise: StatelessTransportState,
    sent: u64,
    received: u64,
    key: Libsecp256k1Key,
    peer: PublicKey,
    file: Option<File>,
}

impl Side {
    fn new(
        mut stream: TcpStream,
        dials: bool,
        key: Libsecp256k1Key,
        peer: PublicKey,
        file: Option<File>,
    ) -> Self {
        stream.set_nodelay(true).unwrap();
        let noise = handshake(&mut stream, dials);
        Self {
            stream,
            noise,
            sent: 0,
            received: 0,
            key,
            peer,
            file,
        }
    }

    fn send(&mut self, message: &[u8]) {
        let mut frame = vec![0; 4];
        for chunk in message.chunks(CHUNK) {
            let begin = frame.len();
            frame.resize(begin + chunk.len() + 16, 0);
            let sealed = self
                .noise
                .write_message(self.sent, chunk, &mut frame[begin..]);
            assert_eq!(sealed.unwrap(), chunk.len() + 16);
            self.sent += 1;
        }
        let length = (frame.len() - 4) as u32;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        self.stream.write_all(&frame).unwrap();
    }

    fn receive(&mut self) -> Vec<u8> {
        let mut frame = vec![0; read_length(&mut self.stream)];
        self.stream.read_exact(&mut frame).unwrap();
        let mut message = vec![0; frame.len()];
        let mut end = 0;
        for chunk in frame.chunks(CHUNK + 16) {
            let opened = self
                .noise
                .read_message(self.received, chunk, &mut message[end..]);
            end += opened.unwrap();
            self.received += 1;
        }
        message.truncate(end);
        message
    }

    fn store(&mut self, payments: &[u8]) {
        if let Some(file) = &mut self.file {
            let record = [&[0; RECORD_BYTES], payments].concat();
            // Over bytes that are there: a file that grows costs the flush of its size too.
            if file.stream_position().unwrap() + record.len() as u64 > FILE_BYTES {
                file.rewind().unwrap();
            }
            file.write_all(&record).unwrap();
            file.sync_data().unwrap();
        }
    }
}

fn log_file(path: &Path) -> File {
    let mut file = File::create(path).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..FILE_BYTES >> 20 {
        file.write_all(&zeros).unwrap();
    }
    file.sync_all().unwrap();
    file.rewind().unwrap();
    file
}

fn read_length(stream: &mut TcpStream) -> usize {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    u32::from_be_bytes(length) as usize
}

fn handshake(stream: &mut TcpStream, dials: bool) -> StatelessTransportState {
    let builder = Builder::new("Noise_XX_25519_ChaChaPoly_SHA256".parse().unwrap());
    let keys = builder.generate_keypair().unwrap();
    let builder = builder.local_private_key(&keys.private).unwrap();
    let mut noise = match dials {
        true => builder.build_initiator().unwrap(),
        false => builder.build_responder().unwrap(),
    };
    while !noise.is_handshake_finished() {
        let mut buffer = [0; 1024];
        if noise.is_my_turn() {
            let length = noise.write_message(&[], &mut buffer).unwrap();
            stream.write_all(&(length as u32).to_be_bytes()).unwrap();
            stream.write_all(&buffer[..length]).unwrap();
        } else {
            let mut message = vec![0; read_length(stream)];
            stream.read_exact(&mut message).unwrap();
            noise.read_message(&message, &mut buffer).unwrap();
        }
    }
    noise.into_stateless_transport_mode().unwrap()
}
