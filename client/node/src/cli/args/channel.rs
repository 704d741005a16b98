//! `perun channel …`, `perun payment …`, `perun pay`, `perun request …`

use clap::{Args, Subcommand};

/// Channels.
#[derive(Debug, Subcommand)]
pub enum ChannelCommand {
    /// Proposes a channel to a peer, deposits, and waits until it is open.
    #[command(alias = "send-opening-request")]
    Open {
        /// A contact.
        peer: String,
        /// What you put in.
        #[arg(value_name = "OWN-AMOUNT")]
        own: String,
        /// What the peer puts in.
        #[arg(value_name = "PEER-AMOUNT")]
        peers: String,
        #[command(flatten)]
        currency: CurrencyArgs,
        /// How long an old state can be refuted, in seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
        challenge: u64,
    },
    /// Proposals of peers, and payments to accept, that wait for an answer.
    #[command(alias = "list-notifications-pending-response")]
    Requests,
    /// Prints proposals of peers as they come, until interrupted. (In the shell: from now on.)
    #[command(alias = "subscribe-to-opening-requests")]
    Subscribe {
        #[command(flatten)]
        stream: StreamArgs,
    },
    /// Ends the subscription to proposals.
    #[command(aliases = ["unsubscribe-from-opening-requests", "unsubcribe-from-opening-requests"])]
    Unsubscribe,
    /// Accepts a proposal, deposits, and waits until the channel is open.
    #[command(alias = "accept-opening-request")]
    Accept {
        /// A proposal's alias (request_1_bob) or id; or the peer, if it has made only one.
        request: String,
    },
    /// Rejects a proposal.
    #[command(alias = "reject-opening-request")]
    Reject {
        /// A proposal's alias or id; or the peer, if it has made only one.
        request: String,
    },
    /// All that are not closed.
    #[command(alias = "list-open-channels")]
    List,
    /// One with its balances, and how well it is watched.
    Info {
        /// Which one.
        channel: String,
    },
    /// Closes it, with the peer if it agrees, and waits until everything is paid out.
    #[command(alias = "close-n-settle-on-chain")]
    Close {
        /// Which one.
        channel: String,
        /// Without asking the peer, by the newest state that both have signed: for a peer that is gone.
        #[arg(long)]
        force: bool,
        /// Although it was restored from a backup and the peer has not confirmed that nothing newer was
        /// signed since. If something was, the peer can take everything.
        #[arg(long, requires = "force")]
        accept_old_copy: bool,
    },
}

/// Payments in a channel.
#[derive(Debug, Subcommand)]
pub enum PaymentCommand {
    /// Pays the peer.
    #[command(alias = "send-to-peer")]
    Send {
        /// Through which one; the peer is enough.
        channel: String,
        /// How much, in whole tokens.
        amount: String,
        #[command(flatten)]
        currency: CurrencyArgs,
        /// What it is for: kept in your history; the peer gets its hash.
        #[arg(
            long,
            value_name = "TEXT",
            default_value = "",
            hide_default_value = true
        )]
        memo: String,
    },
    /// Asks the peer to pay, and waits for its answer.
    #[command(alias = "request-from-peer")]
    Request {
        /// Through which one; the peer is enough.
        channel: String,
        /// How much, in whole tokens.
        amount: String,
        #[command(flatten)]
        currency: CurrencyArgs,
    },
    /// Accepts what the peer proposes.
    #[command(alias = "accept-payment-update-from-peer")]
    Accept {
        /// In which one.
        channel: String,
    },
    /// Rejects what the peer proposes.
    #[command(alias = "reject-payment-update-from-peer")]
    Reject {
        /// In which one.
        channel: String,
    },
    /// Prints what the peer proposes as it comes, until interrupted. (In the shell: from now on.)
    #[command(alias = "subscribe-to-notifications")]
    Subscribe {
        /// In which one.
        channel: String,
        #[command(flatten)]
        stream: StreamArgs,
    },
    /// Ends the subscription to a channel.
    #[command(aliases = ["unsubscribe-to-notifications", "unsubscribe-from-notifications"])]
    Unsubscribe {
        /// Of which one.
        channel: String,
    },
}

/// `perun pay`.
#[derive(Args, Debug)]
pub struct PayArgs {
    /// A payment request; or a peer or channel.
    #[arg(value_name = "REQUEST")]
    pub to: String,
    /// How much, if the request leaves it open.
    pub amount: Option<String>,
    #[command(flatten)]
    pub currency: CurrencyArgs,
    /// What it is for, if a peer is paid.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub memo: String,
}

/// Payment requests.
#[derive(Debug, Subcommand)]
pub enum RequestCommand {
    /// Makes one.
    Make {
        /// How much; without, the payer decides.
        amount: Option<String>,
        #[command(flatten)]
        currency: CurrencyArgs,
        /// What it is for.
        #[arg(
            long,
            value_name = "TEXT",
            default_value = "",
            hide_default_value = true
        )]
        memo: String,
        /// For how long it can be paid: 30s, 15m, 2h, 7d.
        #[arg(long, value_name = "TIME", default_value = "1h", value_parser = super::super::text::duration)]
        valid: std::time::Duration,
        /// Does not draw the QR code.
        #[arg(long)]
        no_qr: bool,
    },
    /// Shows what one says, and checks its signature.
    Read {
        /// Its text.
        #[arg(value_name = "REQUEST")]
        text: String,
    },
}

/// Which currency.
#[derive(Args, Clone, Debug, Default)]
pub struct CurrencyArgs {
    /// A ledger's symbol or canister id. Not needed if the node has one only.
    #[arg(long, value_name = "SYMBOL")]
    pub currency: Option<String>,
}

/// When to stop listening.
#[derive(Args, Clone, Debug, Default)]
pub struct StreamArgs {
    /// Ends after so many.
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
}
