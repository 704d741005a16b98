#!/usr/bin/env bash
# Builds the canisters to <target folder>/canisters/NAME.wasm, reproducibly.
#
#   ./build.sh                       both
#   ./build.sh adjudicator|ledger    only that one
#   ./build.sh floor                 what the bench of costs compares with; not shipped
#
# Two builds of the same sources by the same compiler give the same bytes, whatever folder they
# stand in and whatever flags the caller has set for his own builds: only CARGO_TARGET_DIR,
# CARGO_HOME, RUSTUP_TOOLCHAIN and settings of cargo that can't change the result are honoured.
#
# Tests and examples run this script through `local_ic::canister_wasm`, so it must be quick when
# nothing has changed, and must not care that another cargo has started it.
set -euo pipefail

readonly WASM=wasm32-unknown-unknown
# The script's own folder, with links resolved, because that is the path rustc writes down.
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
readonly ROOT

fail() {
    echo "build.sh: $*" >&2
    exit 1
}

canisters=("$@")
((${#canisters[@]})) || canisters=(adjudicator ledger)
for name in "${canisters[@]}"; do
    case $name in
        adjudicator | ledger | floor) ;;
        *) fail "no canister is called '$name'; there are: adjudicator ledger floor" ;;
    esac
done

# An outer cargo exports its own path and facts about the package it runs, and the caller may have
# set flags and profiles for his own builds. The former would rebuild crates that look at them,
# the latter would change the bytes. (CARGO_TARGET_* are settings per target; the folder stays.)
for variable in $(compgen -e); do
    case $variable in
        CARGO_TARGET_DIR) ;;
        CARGO | RUSTC | RUSTDOC | RUSTFLAGS | RUSTDOCFLAGS | RUSTC_WORKSPACE_WRAPPER | \
            CARGO_MANIFEST_* | CARGO_PKG_* | CARGO_BIN_* | CARGO_CRATE_NAME | \
            CARGO_PRIMARY_PACKAGE | CARGO_ENCODED_* | CARGO_PROFILE_* | CARGO_BUILD_* | \
            CARGO_TARGET_* | CARGO_INCREMENTAL | CARGO_MAKEFLAGS | MAKEFLAGS | MFLAGS | OUT_DIR)
            unset "$variable"
            ;;
    esac
done

command -v cargo >/dev/null || fail "cargo is not on the PATH; install Rust from https://rustup.rs"
command -v rustc >/dev/null || fail "rustc is not on the PATH; install Rust from https://rustup.rs"

# Where cargo was started matters for a relative CARGO_TARGET_DIR, so it is resolved before `cd`.
target=${CARGO_TARGET_DIR:-$ROOT/target}
mkdir -p "$target/canisters"
target=$(cd "$target" && pwd -P)
export CARGO_TARGET_DIR=$target
cd "$ROOT"

# Any compiler with the wasm standard library will do; rustup is asked only when it is missing.
has_wasm() {
    local libraries
    libraries=$(rustc --print target-libdir --target "$WASM" 2>/dev/null) || return 1
    compgen -G "$libraries/libcore-*.rlib" >/dev/null
}
if ! has_wasm; then
    command -v rustup >/dev/null ||
        fail "this Rust has no standard library for $WASM and there is no rustup to add it; install Rust from https://rustup.rs"
    echo "build.sh: adding the Rust target $WASM" >&2
    rustup target add "$WASM" >&2 && has_wasm ||
        fail "rustup could not add the target $WASM (see above); is this machine online?"
fi

# Paths in panic messages would tell where the build was done. The standard library's are already
# virtual (/rustc/COMMIT), unless its sources are installed: then they are made so again.
sysroot=$(rustc --print sysroot)
commit=$(rustc -vV | sed -n 's/^commit-hash: //p')
flags=(
    "--remap-path-prefix=$ROOT=/perun"
    "--remap-path-prefix=$target=/target"
    "--remap-path-prefix=${CARGO_HOME:-${HOME:-/root}/.cargo}=/cargo"
    "--remap-path-prefix=$sysroot/lib/rustlib/src/rust=/rustc/$commit"
)
# Stripping and LTO are asked for by flags and not by the profile, which reaches the macros too:
# they would be compiled a second time instead of being shared with an ordinary release build.
# LTO itself is a flag of the last crate only (below) and needs bitcode of all others.
flags+=(-Cstrip=symbols -Cembed-bitcode=yes)
# In this form flags may contain spaces, and no config file's flags are added to them.
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f'; echo "${flags[*]}")
export CARGO_ENCODED_RUSTFLAGS

# For wasm only, hence not in Cargo.toml. Small code everywhere, since it is bought and loaded as a
# whole; but fast code in what every call runs: cryptography above all, and stable memory. A trap
# undoes a message, so nothing is gained by unwinding.
export CARGO_PROFILE_RELEASE_OPT_LEVEL=s
fast=()
for package in block-buffer crypto-bigint digest ecdsa elliptic-curve ff generic-array group \
    ic-stable-structures k256 perun-protocol sha2 subtle; do
    fast+=(--config "profile.release.package.$package.opt-level=3")
done
export CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1
export CARGO_PROFILE_RELEASE_PANIC=abort
export CARGO_PROFILE_RELEASE_DEBUG=false
export CARGO_PROFILE_RELEASE_INCREMENTAL=false

sha256() {
    if command -v sha256sum >/dev/null; then
        sha256sum "$1"
    else
        shasum -a 256 "$1"
    fi | cut -d ' ' -f 1
}

build() {
    local name=$1 package=$2
    cargo rustc "${fast[@]}" --quiet --locked --release --target "$WASM" -p "$package" --bin "$name" -- -Clto=fat

    local built=$target/$WASM/release/$name.wasm wasm=$target/canisters/$name.wasm
    # Left alone when it is the same, so that its time tells when it changed last.
    if ! cmp -s "$built" "$wasm"; then
        cp "$built" "$wasm.new"
        mv "$wasm.new" "$wasm"
    fi
    printf '%s.wasm  %d bytes  sha256 %s\n' "$name" "$(($(wc -c <"$wasm")))" "$(sha256 "$wasm")"
}

for name in "${canisters[@]}"; do
    case $name in
        adjudicator | floor) build "$name" perun-canister ;;
        ledger) build ledger local-ic-ledger ;;
    esac
done
