//! Whose session a command is for.

use std::sync::{Arc, Mutex, MutexGuard};

use super::Context;
use crate::api::v1::list_sessions_response::Session;
use crate::cli::connect::Node;
use crate::cli::failure::Failure;
use crate::cli::names::Names;
use crate::lock::lock;

/// A session that is open.
#[derive(Clone)]
pub struct User {
    /// Its id of this opening.
    pub session_id: String,
    /// Its name, or its id where names are not known.
    pub name: String,
    names: Arc<Mutex<Names>>,
}

impl Context {
    /// The user of this command. The session has to be open.
    pub async fn user(&mut self) -> Result<User, Failure> {
        if let Some(user) = &self.user {
            return Ok(user.clone());
        }
        let node = self.node().await?;
        let wanted = self
            .call
            .session
            .clone()
            .or_else(|| std::env::var("PERUN_SESSION").ok());
        let wanted = wanted.or_else(|| self.config.session.clone());
        let is_id = |text: &str| text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if let Some(id) = wanted.as_deref().filter(|wanted| is_id(wanted)) {
            let name = Self::name_of(&node, id).await?;
            return Ok(self.enter(&node, id.into(), name));
        }
        if node.is_plaintext {
            return Err(Failure::Usage(
                "--plaintext needs a session id: open one by `perun session open FILE`, and name it by \
                 --session or PERUN_SESSION"
                    .into(),
            ));
        }
        let session = chosen(node.all_sessions().await?, wanted.as_deref())?;
        Ok(self.enter(&node, session.session_id, session.name))
    }

    /// Whose session it is; the id itself where that is not told.
    pub async fn name_of(node: &Node, session_id: &str) -> Result<String, Failure> {
        if node.is_plaintext {
            return Ok(session_id.to_owned());
        }
        let mut sessions = node.all_sessions().await?.into_iter();
        let found = sessions.find(|session| session.session_id == session_id);
        Ok(found.map_or_else(|| session_id.to_owned(), |session| session.name))
    }

    /// The user of this command, if it is known already.
    pub fn known_user(&self) -> Option<&User> {
        self.user.as_ref()
    }

    /// Works for this session from now on.
    pub fn enter(&mut self, node: &Node, session_id: String, name: String) -> User {
        let names = Arc::new(Mutex::new(Names::load(&node.address, &name)));
        let user = User {
            session_id,
            name,
            names,
        };
        self.user.insert(user).clone()
    }

    /// Works for no session from now on.
    pub fn leave(&mut self) {
        self.user = None;
    }
}

impl User {
    /// Its short names.
    pub fn names(&self) -> MutexGuard<'_, Names> {
        lock(&self.names)
    }
}

/// The session that is meant: by name, or the only one that is open.
fn chosen(sessions: Vec<Session>, wanted: Option<&str>) -> Result<Session, Failure> {
    let names = |sessions: &[Session]| {
        let names: Vec<&str> = sessions
            .iter()
            .map(|session| session.name.as_str())
            .collect();
        names.join(", ")
    };
    if let Some(wanted) = wanted {
        let found = sessions
            .iter()
            .find(|session| session.name == wanted)
            .cloned();
        return match found {
            Some(session) if !session.session_id.is_empty() => Ok(session),
            Some(_) => Err(Failure::Usage(format!(
                "{wanted}'s session is not open: `perun session open {wanted}` opens it"
            ))),
            None if sessions.is_empty() => Err(Failure::Usage(format!(
                "there is no user {wanted}: `perun session create {wanted} HOST:PORT` makes one"
            ))),
            None => Err(Failure::Usage(format!(
                "there is no user {wanted}; there are: {}",
                names(&sessions)
            ))),
        };
    }
    let mut open: Vec<_> = sessions
        .iter()
        .filter(|one| !one.session_id.is_empty())
        .cloned()
        .collect();
    match (open.len(), sessions.is_empty()) {
        (1, _) => Ok(open.remove(0)),
        (0, true) => Err(Failure::Usage(
            "the node has no users: `perun session create NAME HOST:PORT` makes one".into(),
        )),
        (0, false) => Err(Failure::Usage(format!(
            "no session is open: `perun session open NAME` opens one of {}",
            names(&sessions)
        ))),
        _ => Err(Failure::Usage(format!(
            "whose session? Name one by --session or PERUN_SESSION: {}",
            names(&open)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(name: &str, id: &str) -> Session {
        Session {
            name: name.into(),
            session_id: id.into(),
            off_chain_address: String::new(),
            channels: 0,
        }
    }

    #[test]
    fn the_only_open_session_is_meant() {
        let sessions = || vec![session("alice", "1"), session("bob", "")];
        assert_eq!(chosen(sessions(), None).unwrap().name, "alice");
        assert_eq!(chosen(sessions(), Some("alice")).unwrap().session_id, "1");
        let said = |wanted| chosen(sessions(), wanted).unwrap_err().to_string();
        assert!(said(Some("bob")).contains("session open bob"));
        assert!(said(Some("carol")).contains("alice, bob"));
        let two = vec![session("alice", "1"), session("bob", "2")];
        assert!(
            chosen(two, None)
                .unwrap_err()
                .to_string()
                .contains("alice, bob")
        );
        assert!(
            chosen(vec![], None)
                .unwrap_err()
                .to_string()
                .contains("create")
        );
    }
}
