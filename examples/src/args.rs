//! The walkthroughs' command line.

use std::path::PathBuf;

use candid::Principal;
use clap::Args;

/// What a walkthrough can be told.
#[derive(Args, Clone, Debug)]
pub struct WalkthroughArgs {
    /// Where to run it; an embedded Internet Computer if nothing is said.
    #[command(flatten)]
    pub connection: Option<Connection>,

    /// What the first party deposits, in tokens.
    #[arg(long, value_name = "TOKENS", default_value = "242")]
    pub first: String,

    /// What the second party deposits, in tokens.
    #[arg(long, value_name = "TOKENS", default_value = "194")]
    pub second: String,

    /// How long a registered state can be refuted, in seconds [default: the adjudicator's minimum].
    #[arg(long, value_name = "SECONDS")]
    pub challenge_duration: Option<u32>,
}

/// A replica with an adjudicator, as deployed by `dfx` or `icp`.
#[derive(Args, Clone, Debug)]
#[group(requires_all = ["url", "adjudicator", "ledger", "identity"])]
pub struct Connection {
    /// The replica.
    #[arg(
        long,
        required = false,
        help = "The replica, e.g. http://127.0.0.1:4943 or https://icp-api.io"
    )]
    pub url: String,

    /// The adjudicator's canister id.
    #[arg(long, value_name = "ID", required = false)]
    pub adjudicator: Principal,

    /// The canister id of an ICRC ledger that the adjudicator serves.
    #[arg(long, value_name = "ID", required = false)]
    pub ledger: Principal,

    /// A PEM file with the identity that pays both deposits and receives both payouts.
    #[arg(long, value_name = "FILE", required = false)]
    pub identity: PathBuf,

    /// Trust the key that the replica at the URL names. Done anyway on this machine, never for the
    /// Internet Computer itself.
    #[arg(long)]
    pub fetch_root_key: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        args: WalkthroughArgs,
    }

    fn parse(args: &[&str]) -> Result<WalkthroughArgs, clap::Error> {
        let args = ["program"].iter().chain(args);
        Program::try_parse_from(args).map(|program| program.args)
    }

    const CONNECTION: [&str; 8] = [
        "--url",
        "http://127.0.0.1:4943",
        "--adjudicator",
        "bkyz2-fmaaa-aaaaa-qaaaq-cai",
        "--ledger",
        "bnz7o-iuaaa-aaaaa-qaaaa-cai",
        "--identity",
        "key.pem",
    ];

    #[test]
    fn without_arguments_it_runs_locally() {
        let args = parse(&[]).unwrap();
        assert!(args.connection.is_none());
        assert_eq!((&*args.first, &*args.second), ("242", "194"));
    }

    #[test]
    fn a_connection_is_whole_or_none() {
        let connection = parse(&CONNECTION).unwrap().connection.unwrap();
        assert_eq!(connection.ledger.to_text(), CONNECTION[5]);
        for missing in [0, 2, 4, 6] {
            let mut args = CONNECTION.to_vec();
            args.drain(missing..missing + 2);
            let error = parse(&args).unwrap_err().to_string();
            assert!(error.contains(CONNECTION[missing]), "{error}");
        }
    }

    #[test]
    fn an_id_that_is_none_is_named() {
        let mut args = CONNECTION;
        args[3] = "bkyz2-fmaaa-aaaaa-qaaaa-cai";
        let error = parse(&args).unwrap_err().to_string();
        assert!(error.contains("bkyz2-fmaaa-aaaaa-qaaaa-cai"), "{error}");
    }
}
