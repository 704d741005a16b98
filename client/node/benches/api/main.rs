//! What the API costs beside the library alone, and what many idle channels cost.
//!
//! ```text
//! cargo bench -p perun-node --bench api
//!
//!  payments   gRPC over TLS ──> session ──> client      in turn, on the same channels of one node,
//!             …………………………………………………………> client      so that the difference is the API
//!  idle       a store with 10,000 channels ──> Client::start: how long, and bytes of heap for each
//! ```

mod idle;
mod payments;

#[path = "../../tests/api/world.rs"]
#[allow(dead_code)]
mod world;

use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

fn main() {
    // Cargo passes `--bench`; a number is how often to alternate, for a quick look, and names choose.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_wanted = |name: &str| {
        let mut names = arguments
            .iter()
            .filter(|argument| argument.starts_with(char::is_alphabetic));
        names.clone().next().is_none() || names.any(|argument| argument == name)
    };
    let alternations = arguments.iter().find_map(|argument| argument.parse().ok());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let [first, owner] = &arguments[..]
        && first == idle::NETWORK
    {
        return runtime.block_on(idle::serve_network(owner));
    }
    if is_wanted("idle") {
        runtime.block_on(idle::measure());
    }
    if is_wanted("payments") {
        runtime.block_on(payments::measure(alternations.unwrap_or(7)));
    }
    runtime.shutdown_background();
}
