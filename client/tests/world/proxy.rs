//! A proxy on the way to the replica that loses answers: the call has run, and nobody learns it. Or that
//! answers queries in the place of a node that is behind, or silent.

use std::io;
use std::sync::{Arc, Mutex, OnceLock};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::World;

/// Passes requests on, but not every answer back.
pub struct Proxy {
    url: String,
    rules: Arc<Mutex<Vec<Rule>>>,
}

struct Rule {
    /// How the method's name stands in the request.
    pattern: Vec<u8>,
    left: usize,
    lost: usize,
    fate: Fate,
}

/// What becomes of a request.
#[derive(Clone)]
enum Fate {
    /// It does not run.
    NotPassedOn,
    /// It runs, and its answer is lost.
    NotAnswered,
    /// Of queries only: the first answer is given to all that follow, too.
    AnsweredBy(Arc<OnceLock<Vec<u8>>>),
    /// Of queries only: there is no answer, and the connection stays.
    Held,
}

impl Proxy {
    pub async fn before(world: &World) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let rules = Arc::default();
        let upstream = world
            .server
            .url()
            .strip_prefix("http://")
            .unwrap()
            .to_owned();
        tokio::spawn(serve(listener, upstream, Arc::clone(&rules)));
        Self { url, rules }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Loses the answers to the next `count` calls of this method, which run.
    pub fn lose_answers(&self, method: &str, count: usize) {
        self.add(method, count, Fate::NotAnswered);
    }

    /// Loses the next `count` calls of this method, which do not run.
    pub fn lose_calls(&self, method: &str, count: usize) {
        self.add(method, count, Fate::NotPassedOn);
    }

    /// Gives the answer to the next query of this method to all queries of it from then on.
    pub fn repeat_answer(&self, method: &str) {
        self.add(method, usize::MAX, Fate::AnsweredBy(Arc::default()));
    }

    /// Answers no query of this method any more.
    pub fn hold_queries(&self, method: &str) {
        self.add(method, usize::MAX, Fate::Held);
    }

    fn add(&self, method: &str, count: usize, fate: Fate) {
        // CBOR: a text of less than 24 bytes has its length in its first byte.
        let length = u8::try_from(method.len()).unwrap();
        assert!(length < 24, "{method}");
        let mut pattern = b"kmethod_name".to_vec();
        pattern.push(0x60 + length);
        pattern.extend(method.as_bytes());
        self.rules.lock().unwrap().push(Rule {
            pattern,
            left: count,
            lost: 0,
            fate,
        });
    }

    /// Loses nothing any more.
    pub fn heal(&self) {
        for rule in &mut *self.rules.lock().unwrap() {
            rule.left = 0;
        }
    }

    /// How many have been lost.
    pub fn lost(&self) -> usize {
        let rules = self.rules.lock().unwrap();
        rules.iter().map(|rule| rule.lost).sum()
    }
}

async fn serve(listener: TcpListener, upstream: String, rules: Arc<Mutex<Vec<Rule>>>) {
    while let Ok((client, _)) = listener.accept().await {
        let (upstream, rules) = (upstream.clone(), Arc::clone(&rules));
        tokio::spawn(async move {
            // Whatever ends a connection, the agent notices.
            let _ = pass(client, &upstream, &rules).await;
        });
    }
}

async fn pass(mut client: TcpStream, upstream: &str, rules: &Mutex<Vec<Rule>>) -> io::Result<()> {
    loop {
        let request = read_message(&mut client).await?;
        let fate = fate(&request, rules);
        match &fate {
            Some(Fate::NotPassedOn) => return Ok(()),
            Some(Fate::Held) => std::future::pending().await,
            Some(Fate::AnsweredBy(first)) => {
                if let Some(answer) = first.get() {
                    client.write_all(answer).await?;
                    continue;
                }
            }
            Some(Fate::NotAnswered) | None => {}
        }
        let mut server = TcpStream::connect(upstream).await?;
        server.write_all(&request).await?;
        let answer = read_message(&mut server).await?;
        match fate {
            Some(Fate::NotAnswered) => return Ok(()),
            Some(Fate::AnsweredBy(first)) => client.write_all(first.get_or_init(|| answer)).await?,
            Some(Fate::NotPassedOn | Fate::Held) | None => client.write_all(&answer).await?,
        }
    }
}

/// What becomes of a request, if it is anything but an answer.
fn fate(request: &[u8], rules: &Mutex<Vec<Rule>>) -> Option<Fate> {
    let mut rules = rules.lock().unwrap();
    let contains = |pattern: &[u8]| {
        let mut windows = request.windows(pattern.len());
        windows.any(|window| window == pattern)
    };
    let is_query = contains(b"/query HTTP");
    let concerns = |fate: &Fate| match fate {
        Fate::NotPassedOn | Fate::NotAnswered => true,
        Fate::AnsweredBy(_) | Fate::Held => is_query,
    };
    let rule = rules
        .iter_mut()
        .find(|rule| rule.left > 0 && concerns(&rule.fate) && contains(&rule.pattern))?;
    rule.left -= 1;
    rule.lost += 1;
    Some(rule.fate.clone())
}

/// One HTTP message with a length, head and body.
async fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut message = Vec::new();
    let head = loop {
        if let Some(end) = message.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut message).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let text = String::from_utf8_lossy(&message[..head]).to_ascii_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
    while message.len() < head + length {
        if stream.read_buf(&mut message).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(message)
}
