"""The primitives of a watch stream, from their specifications, with Python's standard library alone.

Slow, not constant in time, and for checking only. Each is checked against a published vector by `check()`.
"""

import hashlib
import hmac


# HKDF-SHA256 (RFC 5869).

def extract(salt, ikm):
    return hmac.new(salt or bytes(32), ikm, hashlib.sha256).digest()


def expand(key, info, length):
    out, block = b"", b""
    for counter in range(1, 256):
        if len(out) >= length:
            break
        block = hmac.new(key, block + info + bytes([counter]), hashlib.sha256).digest()
        out += block
    return out[:length]


# ChaCha20-Poly1305 (RFC 8439) and XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha).

def _rounds(state):
    x = list(state)

    def quarter(a, b, c, d):
        for first, second, third, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[first] = (x[first] + x[second]) & 0xFFFFFFFF
            mixed = x[third] ^ x[first]
            x[third] = ((mixed << turn) | (mixed >> (32 - turn))) & 0xFFFFFFFF

    for _ in range(10):
        for columns in ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)):
            quarter(*columns)
        for diagonals in ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
            quarter(*diagonals)
    return x


def _words(data):
    return [int.from_bytes(data[i:i + 4], "little") for i in range(0, len(data), 4)]


def _bytes(words):
    return b"".join(word.to_bytes(4, "little") for word in words)


_CONSTANT = _words(b"expand 32-byte k")


def _block(key, counter, nonce):
    state = _CONSTANT + _words(key) + [counter] + _words(nonce)
    mixed = _rounds(state)
    return _bytes((a + b) & 0xFFFFFFFF for a, b in zip(state, mixed))


def _stream(key, nonce, data):
    out = b""
    for i in range(0, len(data), 64):
        pad = _block(key, 1 + i // 64, nonce)
        out += bytes(a ^ b for a, b in zip(data[i:i + 64], pad))
    return out


def _poly1305(key, data):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for i in range(0, len(data), 16):
        total = (total + int.from_bytes(data[i:i + 16] + b"\1", "little")) * r % (2**130 - 5)
    return ((total + int.from_bytes(key[16:], "little")) % 2**128).to_bytes(16, "little")


def _pad(data):
    return data + bytes(-len(data) % 16)


def chacha_open(key, nonce, aad, sealed):
    ciphertext, tag = sealed[:-16], sealed[-16:]
    lengths = len(aad).to_bytes(8, "little") + len(ciphertext).to_bytes(8, "little")
    made = _poly1305(_block(key, 0, nonce)[:32], _pad(aad) + _pad(ciphertext) + lengths)
    if made != tag:
        raise ValueError("wrong tag")
    return _stream(key, nonce, ciphertext)


def xchacha_open(key, nonce, aad, sealed):
    mixed = _rounds(_CONSTANT + _words(key) + _words(nonce[:16]))
    return chacha_open(_bytes(mixed[:4] + mixed[12:]), bytes(4) + nonce[16:], aad, sealed)


# X25519 (RFC 7748).

_P = 2**255 - 19


def x25519(scalar, point):
    k = int.from_bytes(scalar, "little") & ~7 & (2**255 - 1) | 2**254
    x1 = int.from_bytes(point, "little") & (2**255 - 1)
    x2, z2, x3, z3, swap = 1, 0, x1, 1, 0
    for t in reversed(range(255)):
        bit = k >> t & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb, aa, bb = d * a, c * b, a * a, b * b
        x3, z3 = (da + cb) ** 2 % _P, x1 * (da - cb) ** 2 % _P
        x2, z2 = aa * bb % _P, (aa - bb) * (aa + 121665 * (aa - bb)) % _P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, _P - 2, _P) % _P).to_bytes(32, "little")


X25519_BASE = (9).to_bytes(32, "little")


# HPKE, base mode (RFC 9180), DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305.

def hpke_open(secret, info, aad, sealed):
    enc, ciphertext = sealed[:32], sealed[32:]
    kem = b"KEM" + (0x20).to_bytes(2, "big")
    suite = b"HPKE" + b"\x00\x20\x00\x01\x00\x03"

    def labeled_extract(of, salt, label, ikm):
        return extract(salt, b"HPKE-v1" + of + label + ikm)

    def labeled_expand(of, key, label, info, length):
        return expand(key, length.to_bytes(2, "big") + b"HPKE-v1" + of + label + info, length)

    public = x25519(secret, X25519_BASE)
    eae = labeled_extract(kem, b"", b"eae_prk", x25519(secret, enc))
    shared = labeled_expand(kem, eae, b"shared_secret", enc + public, 32)
    context = b"\0" + labeled_extract(suite, b"", b"psk_id_hash", b"")
    context += labeled_extract(suite, b"", b"info_hash", info)
    root = labeled_extract(suite, shared, b"secret", b"")
    key = labeled_expand(suite, root, b"key", context, 32)
    nonce = labeled_expand(suite, root, b"base_nonce", context, 12)
    return chacha_open(key, nonce, aad, ciphertext)


# Ed25519 (RFC 8032), without the cofactor.

_D = -121665 * pow(121666, _P - 2, _P) % _P
_L = 2**252 + 27742317777372353535851937790883648493


def _edwards_add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]), (p[1] + p[0]) * (q[1] + q[0])
    c, d = 2 * p[3] * q[3] * _D, 2 * p[2] * q[2]
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _edwards_multiply(scalar, point):
    total = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            total = _edwards_add(total, point)
        point = _edwards_add(point, point)
        scalar >>= 1
    return total


def _edwards_decode(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if x * x % _P != square:
        x = x * pow(2, (_P - 1) // 4, _P) % _P
    if y >= _P or x * x % _P != square:
        raise ValueError("no point")
    return (_P - x if x & 1 != sign else x), y


def _edwards_point(data):
    x, y = _edwards_decode(data)
    return x, y, 1, x * y % _P


_G = _edwards_point((4 * pow(5, _P - 2, _P) % _P).to_bytes(32, "little"))


def ed25519_public(seed):
    digest = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(digest[:32], "little") & ~7 & (2**255 - 1) | 2**254
    x, y, z, _ = _edwards_multiply(scalar, _G)
    inverse = pow(z, _P - 2, _P)
    return (y * inverse % _P | (x * inverse % _P & 1) << 255).to_bytes(32, "little")


def ed25519_verify(public, message, signature):
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    h = int.from_bytes(hashlib.sha512(r + public + message).digest(), "little") % _L
    left = _edwards_multiply(s, _G)
    right = _edwards_add(_edwards_point(r), _edwards_multiply(h, _edwards_point(public)))
    same = (left[0] * right[2] - right[0] * left[2]) % _P == 0
    return s < _L and same and (left[1] * right[2] - right[1] * left[2]) % _P == 0


# ECDSA over secp256k1 (SEC 1, SEC 2), of a digest, low-s only.

_Q = 2**256 - 2**32 - 977
_N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_B = (0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
      0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8)


def _weierstrass_add(p, q):
    if p is None or q is None:
        return p or q
    if p[0] == q[0]:
        if (p[1] + q[1]) % _Q == 0:
            return None
        slope = 3 * p[0] * p[0] * pow(2 * p[1], -1, _Q)
    else:
        slope = (q[1] - p[1]) * pow(q[0] - p[0], -1, _Q)
    x = (slope * slope - p[0] - q[0]) % _Q
    return x, (slope * (p[0] - x) - p[1]) % _Q


def _weierstrass_multiply(scalar, point):
    total = None
    while scalar:
        if scalar & 1:
            total = _weierstrass_add(total, point)
        point = _weierstrass_add(point, point)
        scalar >>= 1
    return total


def secp256k1_verify(public, digest, signature):
    x = int.from_bytes(public[1:], "big")
    y = pow(x**3 + 7, (_Q + 1) // 4, _Q)
    y = y if y & 1 == public[0] & 1 else _Q - y
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if y * y % _Q != (x**3 + 7) % _Q or not 0 < r < _N or not 0 < s <= _N // 2:
        return False
    inverse = pow(s, -1, _N)
    at = _weierstrass_add(_weierstrass_multiply(int.from_bytes(digest, "big") * inverse % _N, _B),
                          _weierstrass_multiply(r * inverse % _N, (x, y)))
    return at is not None and at[0] % _N == r


def check():
    """Published vectors: what is wrong here must not pass for an error of the stream."""
    unhex = bytes.fromhex
    # RFC 8032, 7.1, test 2.
    seed = unhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    public = unhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = unhex("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                      "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00")
    assert ed25519_public(seed) == public
    assert ed25519_verify(public, b"\x72", signature)
    assert not ed25519_verify(public, b"\x73", signature)
    # RFC 7748, 5.2, the first.
    scalar = unhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4")
    point = unhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")
    shared = unhex("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552")
    assert x25519(scalar, point) == shared
    # RFC 9180, A.2.1, the first encryption.
    secret = unhex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb")
    sealed = unhex("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a"
                   "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28")
    text = hpke_open(secret, unhex("4f6465206f6e2061204772656369616e2055726e"), b"Count-0", sealed)
    assert text == b"Beauty is truth, truth beauty"
    # draft-irtf-cfrg-xchacha, A.3.1.
    text = (b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
            b"sunscreen would be it.")
    key, nonce = bytes(range(0x80, 0xA0)), bytes(range(0x40, 0x58))
    mixed = _rounds(_CONSTANT + _words(key) + _words(nonce[:16]))
    ciphertext = _stream(_bytes(mixed[:4] + mixed[12:]), bytes(4) + nonce[16:], text)
    tag = unhex("c0875924c1c7987947deafd8780acf49")
    aad = unhex("50515253c0c1c2c3c4c5c6c7")
    assert xchacha_open(key, nonce, aad, ciphertext + tag) == text
