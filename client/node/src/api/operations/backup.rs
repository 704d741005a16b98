//! A backup as a stream of chunks.
//!
//! It is made on a thread of its own and waits for whoever takes it; who goes away ends it.

use std::io::{self, Write};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::super::v1;
use crate::backup::write_backup;
use crate::node::Node;

/// The bytes of one message.
const CHUNK: usize = 64 * 1024;
/// How many messages wait for a client who is slow.
const CHUNKS: usize = 4;

/// A backup, chunk by chunk; an error is its end.
pub(super) type BackupStream = ReceiverStream<Result<v1::BackupResponse, Status>>;

/// Begins to make a backup.
pub(super) fn stream(node: Arc<Node>) -> BackupStream {
    let (sender, receiver) = mpsc::channel(CHUNKS);
    tokio::task::spawn_blocking(move || {
        let mut chunks = Chunks {
            sender,
            chunk: Vec::with_capacity(CHUNK),
        };
        let written = write_backup(&node, &mut chunks);
        let written = written.and_then(|()| chunks.flush().map_err(crate::Error::internal));
        if let Err(error) = written {
            tracing::warn!("a backup was not finished: {error}");
            // Whoever took it may have gone.
            let _ = chunks.sender.blocking_send(Err(error.to_status()));
        }
    });
    ReceiverStream::new(receiver)
}

/// Writes messages.
struct Chunks {
    sender: mpsc::Sender<Result<v1::BackupResponse, Status>>,
    chunk: Vec<u8>,
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..count]);
        if self.chunk.len() == CHUNK {
            self.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK));
        let sent = self.sender.blocking_send(Ok(v1::BackupResponse { chunk }));
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
