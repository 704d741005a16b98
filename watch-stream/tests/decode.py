#!/usr/bin/env python3
"""Reads a watch stream's golden bytes by the descriptions in `../src` alone: a second implementation of what
each message is, in another language, with Python's standard library only.

    python3 tests/decode.py tests/golden/stream.json

Every signature is verified, every sealed key opened, every payload unmasked, and compared with what the file
says. Ends with an error at the first difference.
"""

import hashlib
import hmac
import json
import sys

sys.dont_write_bytecode = True

import primitives
from primitives import ed25519_verify, expand, extract, hpke_open, x25519, xchacha_open

ANNOUNCEMENT, SUBSCRIPTION, UNSUBSCRIPTION, KEYLOAD, PACKET, TAGGED, ACK = range(1, 8)
WATCH_STREAM = b"perun-icp/watch-stream/1"


def label(text):
    assert len(text) == 9
    return b"perun-watch/1 " + text + b"\0"


SIGNATURE = label(b"signature")
SUBSCRIBE = label(b"subscribe")
MESSAGE_ID = label(b"messageid")
WATCHER_ID = label(b"watcherid")
SEAL_KEYS = label(b"seal keys")
SEAL_EPOCH = label(b"seal epch")
CHAIN = label(b"chain key")
TAGGED_KEY = label(b"tagged  k")
CONFIRMATION = label(b"confirmed")
STEP = label(b"next step")
MESSAGE = label(b"message k")
CIPHER = label(b"cipher  k")


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


class Header:
    def __init__(self, data):
        assert data[:2] == b"\1\1", "format and suite"
        self.bytes = data
        self.kind, self.flags = data[2], data[3]
        self.stream = data[4:20]
        self.epoch = int.from_bytes(data[20:24], "big")
        self.number = int.from_bytes(data[24:32], "big")
        self.previous = data[32:64]
        self.public_length = int.from_bytes(data[64:66], "big")
        self.masked_length = int.from_bytes(data[66:68], "big")
        assert self.flags in {KEYLOAD: (0, 1), ACK: (0, 2)}.get(self.kind, (0,))


class Message:
    def __init__(self, data):
        self.header = header = Header(data[:68])
        is_signed = header.kind not in (SUBSCRIPTION, TAGGED)
        end = 68 + header.public_length + header.masked_length
        assert len(data) == end + (64 if is_signed else 0), "length"
        self.bound = data[:68 + header.public_length]
        self.public = data[68:68 + header.public_length]
        self.masked = data[68 + header.public_length:end]
        self.signature = data[end:]
        self.signed = header.bytes + sha256(data[68:end])
        self.id = sha256(MESSAGE_ID, self.signed, self.signature)

    def verify(self, key):
        assert ed25519_verify(key, SIGNATURE + self.signed, self.signature), "signature"

    def unmask(self, key):
        keys = expand(key, CIPHER, 64)
        text = xchacha_open(keys[:32], self.masked[:24], self.bound, self.masked[24:])
        made = hmac.new(keys[32:], self.bound + text, hashlib.sha256).digest()[:24]
        assert made == self.masked[:24], "nonce"
        return text


class Epoch:
    def __init__(self, message, sealed, watcher, secret):
        header = message.header
        es = hpke_open(secret, SEAL_EPOCH, header.bytes + watcher, sealed)
        context = sha256(header.bytes, message.public[:-32])
        root = extract(context, es)
        assert expand(root, CONFIRMATION, 32) == message.public[-32:], "confirmation"
        self.number, self.next = header.epoch, header.number + 1
        self.chain, self.tagged = expand(root, CHAIN, 32), expand(root, TAGGED_KEY, 32)

    def message_key(self, root, number):
        return expand(root, MESSAGE + self.number.to_bytes(4, "big") + number.to_bytes(8, "big"), 32)

    def packet_key(self, number):
        assert number == self.next, "the golden stream has no gaps within an epoch"
        key = self.message_key(self.chain, number)
        self.chain, self.next = expand(self.chain, STEP, 32), number + 1
        return key


class Author:
    def __init__(self, record):
        assert record[:2] == b"\1\1"
        self.public = primitives.ed25519_public(record[2:34])
        self.wrapping = record[34:66]


class Watcher:
    def __init__(self, record, stream):
        assert record[:2] == b"\2\1"
        self.public = primitives.ed25519_public(record[344:376])
        self.wrapping = record[376:408]
        self.id = sha256(WATCHER_ID, stream, self.public)[:8]
        self.next_wrapping = record[409:441] if record[408] else None


class Reader:
    """A reader that holds everybody's secrets and follows the stream."""

    def __init__(self, golden):
        self.golden = golden
        self.author = Author(bytes.fromhex(golden["author"]))
        self.watchers, self.epoch, self.head = None, None, None
        self.tagged = 0

    def announcement(self, message):
        header, public = message.header, message.public
        assert (header.epoch, header.number, header.previous) == (0, 0, bytes(32))
        assert public[:32] == self.author.public
        assert public[32:64] == x25519(self.author.wrapping, primitives.X25519_BASE)
        digest = sha256(WATCH_STREAM, public[:146])
        assert public[112] == 1 and digest[:16] == header.stream
        assert primitives.secp256k1_verify(public[113:146], digest, public[146:])
        message.verify(self.author.public)
        self.stream, self.announcement_id = header.stream, message.id
        records = map(bytes.fromhex, self.golden["watchers"])
        self.watchers = [Watcher(record, self.stream) for record in records]

    def subscription(self, message):
        header = message.header
        assert header.previous == self.announcement_id
        text = hpke_open(self.author.wrapping, SEAL_KEYS, header.bytes, message.masked)
        watcher = next(it for it in self.watchers if it.public == text[:32])
        assert text[32:64] == x25519(watcher.wrapping, primitives.X25519_BASE)
        assert ed25519_verify(watcher.public, SUBSCRIBE + header.bytes + text[:64], text[64:])

    def unsubscription(self, message):
        watcher = next(it for it in self.watchers if it.id == message.public)
        message.verify(watcher.public)
        self.watchers.remove(watcher)

    def keyload(self, message):
        self.follows(message)
        count, entries = message.public[0], message.public[1:-32]
        assert count == len(self.watchers) and len(entries) == 88 * count
        chains = set()
        for i in range(0, len(entries), 88):
            watcher = next(it for it in self.watchers if it.id == entries[i:i + 8])
            watcher.wrapping = watcher.next_wrapping or watcher.wrapping
            self.epoch = Epoch(message, entries[i + 8:i + 88], watcher.id, watcher.wrapping)
            chains.add(self.epoch.chain)
        assert len(chains) == 1, "all are given the same"
        self.tagged = 0

    def packet(self, message):
        self.follows(message)
        assert message.header.epoch == self.epoch.number
        return message.unmask(self.epoch.packet_key(message.header.number))[8:]

    def tagged_packet(self, message):
        header = message.header
        assert (header.epoch, header.number, header.previous) == (self.epoch.number, self.tagged, self.head)
        self.tagged += 1
        return message.unmask(self.epoch.message_key(self.epoch.tagged, header.number))

    def ack(self, message):
        watcher = next(it for it in self.watchers if it.id == message.public[:8])
        message.verify(watcher.public)
        assert message.header.previous == self.head
        if message.header.flags & 2:
            rotating = Watcher(bytes.fromhex(self.golden["watcher_0_rotating"]), self.stream)
            assert message.public[24:] == x25519(rotating.next_wrapping, primitives.X25519_BASE)
            watcher.next_wrapping = rotating.next_wrapping

    def follows(self, message):
        message.verify(self.author.public)
        first = message.header.kind == KEYLOAD and message.header.flags & 1
        assert message.header.previous == (self.announcement_id if first else self.head)
        self.head = message.id

    def read(self, message):
        assert message.header.kind == ANNOUNCEMENT or message.header.stream == self.stream
        kinds = {
            ANNOUNCEMENT: self.announcement, SUBSCRIPTION: self.subscription,
            UNSUBSCRIPTION: self.unsubscription, KEYLOAD: self.keyload,
            PACKET: self.packet, TAGGED: self.tagged_packet, ACK: self.ack,
        }
        return kinds[message.header.kind](message) or b""


def main(path):
    primitives.check()
    with open(path, encoding="utf-8") as file:
        golden = json.load(file)
    reader = Reader(golden)
    kinds = set()
    for entry in golden["messages"]:
        message = Message(bytes.fromhex(entry["bytes"]))
        assert reader.read(message) == bytes.fromhex(entry["text"]), "text"
        kinds.add(message.header.kind)
    assert kinds == set(range(1, 8)), "each kind of message"
    print(f"{len(golden['messages'])} messages read")


if __name__ == "__main__":
    main(sys.argv[1])
