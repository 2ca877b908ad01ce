"""Keys: what is made, read, written and named; what is refused."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from base64 import urlsafe_b64encode
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from ewallet.errors import KeyMaterialError
from ewallet.keys import HYBRID, SUITES, PublicKey, SigningKey, der, keyfile, raw_signature, suite_named
from ewallet.wire import encode_cbor

SIGNING = ["ES256", "Ed25519", "SM2SM3"]
ALL = [*SIGNING, HYBRID.name]


@pytest.fixture(scope="module")
def keys():
    return {name: SigningKey.generate(name) for name in ALL}


def test_table_of_suites_is_the_one_of_the_format():
    assert {
        name: (suite.jose_alg, suite.cose_alg, suite.cose_crv, suite.signature_size)
        for name, suite in SUITES.items()
    } == {
        "ES256": ("ES256", -9, 1, 64),
        "Ed25519": ("Ed25519", -19, 6, 64),
        "ES384": ("ES384", -51, 2, 96),
        "SM2SM3": ("SM2SM3", -65537, -65538, 64),
    }
    for suite in SUITES.values():
        assert suite.jose_alg in suite.jose_accepts
        assert suite.cose_alg in suite.cose_accepts
        assert len(suite.digest(b"")) == 32
    accepted = [number for suite in SUITES.values() for number in suite.cose_accepts]
    assert len(accepted) == len(set(accepted))
    assert -48 not in accepted
    assert (SUITES["SM2SM3"].sd_alg_jose, SUITES["SM2SM3"].sd_alg_cose) == ("sm3", -65539)
    with pytest.raises(KeyMaterialError):
        suite_named("none")
    with pytest.raises(KeyMaterialError):
        suite_named("ML-DSA-65")


@pytest.mark.parametrize("name", ALL)
def test_sign_and_verify(keys, name):
    key, other = keys[name], SigningKey.generate(name)
    for message in (b"", b"a license", bytes(5000)):
        signature = key.sign(message)
        assert len(signature) == key.public_key.suite.signature_size
        assert key.public_key.verify(signature, message)
        assert not key.public_key.verify(signature, message + b"\0")
        assert not other.public_key.verify(signature, message)
    for bad in (b"", bytes(64), b"\xff" * 64, signature[:-1], signature + b"\0"):
        assert not key.public_key.verify(bad, message)
    signatures = key.sign_many([b"1", b"2"])
    assert [key.public_key.verify(s, m) for s, m in zip(signatures, (b"1", b"2"), strict=True)] == [
        True,
        True,
    ]


@pytest.mark.parametrize("name", SIGNING)
def test_jwk_and_cose_key(keys, name):
    key = keys[name].public_key
    assert PublicKey.from_jwk(key.to_jwk()) == key
    assert PublicKey.from_jwk(json.loads(json.dumps(key.to_jwk()))).raw == key.raw
    assert PublicKey.from_cose(key.to_cose()) == key
    assert PublicKey.from_cose(key.to_cose_compressed()) == key
    assert PublicKey.from_jwk({**key.to_jwk(), "alg": name, "use": "sig", "kid": "x"}) == key
    assert PublicKey.from_cose({**key.to_cose(), 3: key.suite.cose_alg, 4: [2]}) == key
    assert SigningKey.from_jwk(keys[name].unsafe_to_jwk()).public_key == key


@pytest.mark.parametrize("name", SIGNING)
def test_thumbprints_are_those_of_the_standards(keys, name):
    key = keys[name].public_key
    # RFC 9679, 3: the deterministic encoding of the required members.
    assert key.thumbprint() == sha256(encode_cbor(key.to_cose())).digest()
    assert key.kid == key.thumbprint()[:8]
    # RFC 7638, 3: sorted members, no white space.
    text = json.dumps(key.to_jwk(), sort_keys=True, separators=(",", ":"))
    assert key.jwk_thumbprint() == urlsafe_b64encode(sha256(text.encode()).digest()).rstrip(b"=").decode()


def test_published_thumbprints():
    # RFC 9679, 6 (COSE) and RFC 8037, A.3 (JWK).
    cose = {
        1: 2,
        -1: 1,
        -2: bytes.fromhex("65eda5a12577c2bae829437fe338701a10aaa375e1bb5b5de108de439c08551d"),
        -3: bytes.fromhex("1e52ed75701163f7f9e40ddf9f341b3dc9ba860af7e0ca7ca7e9eecd0084d19c"),
    }
    expected = "496bd8afadf307e5b08c64b0421bf9dc01528a344a43bda88fadd1669da253ec"
    assert PublicKey.from_cose(cose).thumbprint().hex() == expected
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert PublicKey.from_jwk(jwk).jwk_thumbprint() == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize("name", SIGNING)
@pytest.mark.parametrize(
    "change",
    [
        {"kty": "RSA"},
        {"crv": "P-521"},
        {"crv": None},
        {"alg": "none"},
        {"alg": "HS256"},
        {"use": "enc"},
        {"key_ops": ["encrypt"]},
        {"key_ops": "verify"},
        {"d": "AAAA"},
        {"x": 5},
        {"x": ""},
        {"x": "A" * 42},
        {"x": "A" * 44},
        {"x": "+" * 43},
        {"x": "A" * 42 + "B"},
    ],
)
def test_bad_jwks_are_refused(keys, name, change):
    with pytest.raises(KeyMaterialError):
        PublicKey.from_jwk({**keys[name].public_key.to_jwk(), **change})


@pytest.mark.parametrize("name", SIGNING)
@pytest.mark.parametrize(
    "change",
    [
        {1: 4},
        {1: True},
        {-1: 8},
        {-1: 1.0},
        {3: -48},
        {3: "ES256"},
        {4: [1]},
        {-4: b"s"},
        {-2: b""},
        {-2: "x"},
    ],
)
def test_bad_cose_keys_are_refused(keys, name, change):
    with pytest.raises(KeyMaterialError):
        PublicKey.from_cose({**keys[name].public_key.to_cose(), **change})


def test_y_belongs_to_curves_that_have_one(keys):
    for bad in (None, b"", bytes(32), 1):
        with pytest.raises(KeyMaterialError):
            PublicKey.from_cose({**keys["ES256"].public_key.to_cose(), -3: bad})
    with pytest.raises(KeyMaterialError):
        PublicKey.from_cose({**keys["Ed25519"].public_key.to_cose(), -3: bytes(32)})
    with pytest.raises(KeyMaterialError):
        PublicKey.from_jwk({**keys["Ed25519"].public_key.to_jwk(), "y": "AA"})


@pytest.mark.parametrize("name", ["ES256", "ES384", "SM2SM3"])
def test_points_off_the_curve_are_refused(name):
    size = SUITES[name].public_size
    p = SUITES[name].curve.p.to_bytes(size // 2, "big")
    for raw in (bytes(size), b"\xff" * size, p + bytes(size // 2), bytes(size - 1), bytes(size + 1)):
        with pytest.raises(KeyMaterialError):
            PublicKey(name, raw)


def test_ed25519_keys_of_small_order_are_refused():
    small = [0, 1, 2**255 - 20, 2**255 - 19, 2**255 - 18, 2**255 - 1]
    order_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
    for y in (*small, order_8, 2**255 - 19 - order_8):
        for sign in (0, 1 << 255):
            with pytest.raises(KeyMaterialError):
                PublicKey("Ed25519", (y | sign).to_bytes(32, "little"))


@pytest.mark.parametrize("name", ALL)
def test_files(keys, name, tmp_path):
    key, path = keys[name], tmp_path / "key.pem"
    key.save(path, "pass phrase 密码")
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text(encoding="utf-8")
    assert text.startswith("Software key: for development")
    assert "BEGIN PRIVATE KEY" not in text
    loaded = SigningKey.load(path, "pass phrase 密码")
    assert loaded.public_key == key.public_key
    assert key.public_key.verify(loaded.sign(b"m"), b"m")
    with pytest.raises(FileExistsError):
        key.save(path, "other")
    for wrong in ("", "wrong", "pass phrase"):
        with pytest.raises(KeyMaterialError):
            SigningKey.load(path, wrong)
    with pytest.raises(KeyMaterialError):
        SigningKey.from_pem(text, None)
    with pytest.raises(ValueError):
        key.to_pem("")
    assert PublicKey.from_pem(key.public_key.to_pem()) == key.public_key


@pytest.mark.parametrize("name", ["ES256", "Ed25519"])
def test_files_are_read_by_others_and_theirs_by_us(keys, name):
    key = keys[name]
    theirs = load_pem_private_key(key.to_pem("pw").encode(), b"pw")
    assert load_pem_public_key(key.public_key.to_pem().encode()) == theirs.public_key()
    encrypted = theirs.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pw"))
    assert SigningKey.from_pem(encrypted, b"pw").public_key == key.public_key
    plain = theirs.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert SigningKey.from_pem(plain, None).public_key == key.public_key
    with pytest.raises(KeyMaterialError):
        SigningKey.from_pem(plain, "pw")
    older = theirs.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    with pytest.raises(KeyMaterialError):
        SigningKey.from_pem(older, None)


def test_sm2_file_is_read_by_openssl(keys):
    try:
        done = subprocess.run(
            ["openssl", "pkey", "-passin", "pass:pw", "-pubout"],
            input=keys["SM2SM3"].to_pem("pw").encode(),
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip("notice: no openssl command")
    if b"unsupported" in done.stderr.lower():
        pytest.skip("notice: this openssl has no SM2")
    assert PublicKey.from_pem(done.stdout) == keys["SM2SM3"].public_key


def test_pem_that_is_not_a_key(keys):
    good = keys["ES256"].public_key.to_pem()
    for bad in (
        "",
        "text",
        b"\xff\xfe",
        good.replace("PUBLIC", "PRIVATE"),
        good + good,
        good.replace("M", "!", 1),
        "x" * 70_000,
        keyfile.pem("PUBLIC KEY", b""),
        keyfile.pem("PUBLIC KEY", keyfile.public_der(HYBRID.parts[1], bytes(1952))),
    ):
        with pytest.raises(KeyMaterialError):
            PublicKey.from_pem(bad)


def test_every_cut_and_flip_of_a_key_file_is_refused_or_the_same_key(keys):
    for name in SIGNING:
        data = keys[name].public_key.to_der()
        for position in range(len(data)):
            with pytest.raises(KeyMaterialError):
                PublicKey.from_der(data[:position])
            flipped = bytearray(data)
            flipped[position] ^= 0x40
            try:
                assert PublicKey.from_der(bytes(flipped)) != keys[name].public_key
            except KeyMaterialError:
                continue


def test_costs_of_foreign_files_are_bounded():
    def encrypted(kdf, *costs):
        derivation = der.item(der.SEQUENCE, der.item(der.OID, kdf), der.item(der.SEQUENCE, *costs))
        cipher = der.item(
            der.SEQUENCE, der.item(der.OID, keyfile._AES256_CBC), der.item(der.OCTET_STRING, bytes(16))
        )
        scheme = der.item(
            der.SEQUENCE, der.item(der.OID, keyfile._PBES2), der.item(der.SEQUENCE, derivation, cipher)
        )
        return der.item(der.SEQUENCE, scheme, der.item(der.OCTET_STRING, bytes(32)))

    salt = der.item(der.OCTET_STRING, bytes(8))
    for bad in (
        encrypted(keyfile._SCRYPT, salt, der.integer(1 << 40), der.integer(8), der.integer(1)),
        encrypted(keyfile._SCRYPT, salt, der.integer(1000), der.integer(8), der.integer(1)),
        encrypted(keyfile._SCRYPT, salt, der.integer(2), der.integer(1), der.integer(1 << 29)),
        encrypted(keyfile._PBKDF2, salt, der.integer(1 << 40)),
        encrypted(keyfile._PBKDF2, salt, der.integer(0)),
        encrypted(b"\x2a", salt),
    ):
        with pytest.raises(KeyMaterialError):
            keyfile.decrypt(bad, b"pw")


def test_signatures_in_der(keys):
    suite = SUITES["ES256"]
    r, s = 1 << 200, 7
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    assert raw_signature(encode_dss_signature(r, s), suite) == raw
    assert raw_signature(raw, suite) == raw
    for bad in (
        b"",
        encode_dss_signature(1 << 256, 1),
        encode_dss_signature(r, s) + b"\0",
        b"\x30\x80\x00\x00",
    ):
        with pytest.raises(KeyMaterialError):
            raw_signature(bad, suite)
    with pytest.raises(KeyMaterialError):
        raw_signature(b"\x30", SUITES["Ed25519"])
    key = ec.generate_private_key(ec.SECP256R1())
    numbers = key.public_key().public_numbers()
    public = PublicKey(suite, numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big"))

    assert public.verify(raw_signature(key.sign(b"m", ec.ECDSA(SHA256())), suite), b"m")


def test_es384_is_verified():
    theirs = ec.generate_private_key(ec.SECP384R1())
    numbers = theirs.public_key().public_numbers()
    key = PublicKey("ES384", numbers.x.to_bytes(48, "big") + numbers.y.to_bytes(48, "big"))
    signature = raw_signature(theirs.sign(b"m", ec.ECDSA(SHA384())), key.suite)
    assert key.verify(signature, b"m")
    assert not key.verify(signature, b"n")
    assert PublicKey.from_cose(key.to_cose_compressed()) == PublicKey.from_jwk(key.to_jwk()) == key
    spki = theirs.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert (key.to_der(), PublicKey.from_der(spki)) == (spki, key)


def test_secrets_stay_secret(keys):
    for key in keys.values():
        secret = key._secret.hex()
        assert secret not in repr(key)
        assert "software" in repr(key)
        with pytest.raises(TypeError):
            pickle.dumps(key)
        assert pickle.loads(pickle.dumps(key.public_key)) == key.public_key
        assert key.custody == "software"


def test_impossible_secrets_are_refused():
    for name in SIGNING[::2]:
        order = SUITES[name].curve.n
        for scalar in (0, order, order + 1, 2**256 - 1):
            with pytest.raises(KeyMaterialError):
                SigningKey(name, scalar.to_bytes(32, "big"))
    with pytest.raises(KeyMaterialError):
        SigningKey("SM2SM3", (SUITES["SM2SM3"].curve.n - 1).to_bytes(32, "big"))
    for name in ("ES384", "none"):
        with pytest.raises(KeyMaterialError):
            SigningKey.generate(name)
    with pytest.raises(KeyMaterialError):
        SigningKey("ES256", b"short")


def test_keys_are_equal_by_suite_and_bytes(keys):
    key = keys["ES256"].public_key
    assert len({key, PublicKey("ES256", key.raw)}) == 1
    assert key != keys["SM2SM3"].public_key
    assert key != "key"


def test_halves_of_a_hybrid_signature_are_no_signatures(keys):
    key = keys[HYBRID.name]
    message, signature = b"root.json", key.sign(b"root.json")
    half = PublicKey("ES256", key.public_key.raw[:64])
    assert not half.verify(signature[:64], message)
    other = key.sign(b"other")
    assert not key.public_key.verify(signature[:64] + other[64:], message)
    assert not key.public_key.verify(other[:64] + signature[64:], message)
    with pytest.raises(KeyMaterialError):
        key.public_key.to_jwk()
    with pytest.raises(KeyMaterialError):
        key.public_key.to_cose()
    assert len(key.public_key.kid) == 8


def test_import_is_light():
    code = (
        "import sys, ewallet.keys\n"
        "heavy = {'asn1crypto', 'gmpy2', 'ctypes', 'pkcs11', 'cryptography.x509'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_example_of_the_guide_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    guide = (Path(__file__).resolve().parents[3] / "docs" / "keys.md").read_text(encoding="utf-8")
    example = guide.split("```python\n")[1].split("```")[0]
    exec(compile(example, "docs/keys.md", "exec"), {})
    assert (tmp_path / "issuer.pem").is_file()
