//! Users of a node: folders with keys, contacts and a configuration.

use std::fs;
use std::path::Path;

use crate::contacts::show_identity;
use crate::keystore::{Keystore, PublicKeys};
use crate::node::{SESSION_FILE, check_name};
use crate::password::Secret;
use crate::{Error, Resource, private_file};

/// The folder of users in the data folder.
pub const FOLDER: &str = "sessions";

/// A user to be made.
pub struct NewUser {
    /// Its name.
    pub name: String,
    /// Encrypts its keys.
    pub password: Secret,
    /// Where peers reach it, "host:port".
    pub comm_address: String,
    /// Those of an earlier user whose keys it is to have.
    pub recovery_words: Option<Secret>,
    /// An identity to pay with, instead of one from the words.
    pub identity_pem: Option<Secret>,
}

/// A user that was made.
pub struct NewKeys {
    /// What its keys can be made of again, if they are new.
    pub words: Option<Secret>,
    /// Who it is.
    pub public: PublicKeys,
}

/// The least characters of a password.
const PASSWORD_LENGTH: usize = 8;

/// Makes a user's folder under `users`, all of it or nothing.
///
/// # Errors
/// [`Error::InvalidArgument`], [`Error::Exists`], [`Error::Internal`] if it cannot be written.
pub fn create(users: &Path, user: &NewUser) -> Result<NewKeys, Error> {
    check_name(&user.name)?;
    check_comm_address(&user.comm_address)?;
    if user.password.expose().chars().count() < PASSWORD_LENGTH {
        let requirement = format!("at least {PASSWORD_LENGTH} characters are expected");
        return Err(Error::invalid("password", "", requirement));
    }
    let folder = users.join(&user.name);
    if folder.exists() {
        return Err(Error::exists(Resource::Session, &*user.name));
    }
    let not_written = |error| Error::internal(format!("{}: {error}", folder.display()));
    // Made under another name, so that there is never half a user.
    let mut suffix = [0; 8];
    getrandom::fill(&mut suffix).map_err(Error::internal)?;
    let making = users.join(format!(".{}.{}", user.name, hex::encode(suffix)));
    private_file::create_folder(users).map_err(not_written)?;
    private_file::create_folder(&making).map_err(not_written)?;
    let made = Keystore::create(
        &making.join("keystore"),
        &user.password,
        user.recovery_words.as_ref(),
        user.identity_pem.as_ref(),
    )
    .map_err(Error::from)
    .and_then(|created| {
        let file = configuration(user, &created.public);
        let path = making.join(SESSION_FILE);
        private_file::create(&path, file.as_bytes()).map_err(not_written)?;
        fs::rename(&making, &folder).map_err(not_written)?;
        fs::File::open(users)
            .and_then(|users| users.sync_all())
            .map_err(not_written)?;
        Ok(NewKeys {
            words: user.recovery_words.is_none().then_some(created.words),
            public: created.public,
        })
    });
    if made.is_err() {
        let _ = fs::remove_dir_all(&making);
    }
    made
}

/// Whether a text is "host:port".
///
/// # Errors
/// [`Error::InvalidArgument`].
pub fn check_comm_address(text: &str) -> Result<(), Error> {
    let parts = text.rsplit_once(':');
    let is_host = |host: &str| {
        !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'"')
    };
    if parts.is_some_and(|(host, port)| is_host(host) && port.parse::<u16>().is_ok()) {
        return Ok(());
    }
    let requirement = "an address like 127.0.0.1:5750 is expected";
    Err(Error::invalid("commAddress", text, requirement))
}

fn configuration(user: &NewUser, public: &PublicKeys) -> String {
    let off_chain = show_identity(&public.off_chain);
    let wallet = "keystorePath: ./keystore";
    format!(
        "# A user of the node, in the format of perun-node. Paths are within this folder.\n\
         # The password is given when the session is opened, or named here by one of\n\
         # passwordFile: and passwordEnv: in both wallets.\n\
         user:\n  \
           alias: {name}\n  \
           onChainAddr: {principal}\n  \
           onChainWallet:\n    {wallet}\n  \
           offChainAddr: 0x{off_chain}\n  \
           offChainWallet:\n    {wallet}\n  \
           commAddr: \"{comm}\"\n  \
           commType: tcp\n\
         idProviderType: local\n\
         idProviderURL: ./contacts.yaml\n\
         databaseDir: ./database\n\
         # What is done with a payment that a peer proposes: accept, or ask the user.\n\
         incomingPayments: accept\n",
        name = user.name,
        principal = public.principal.to_text(),
        comm = user.comm_address,
    )
}
