import base64
import json
import os
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPublicKey,
    RSAPublicNumbers,
    generate_private_key,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from joserfc import jwe
from joserfc.jwk import OctKey, RSAKey

from api.auth.credentials import Credentials, public_jwks, seal
from api.auth.keys import load_login_key
from api.errors import FirstboxError, NotProven, TooOld
from api.settings import Settings

NOW = 1_800_000_000.0
MAX_AGE = 300


@pytest.fixture
def credentials(settings: Settings) -> Credentials:
    return Credentials(load_login_key(settings), MAX_AGE)


def test_what_is_sealed_opens(credentials: Credentials) -> None:
    sealed = seal(credentials.public_jwks(), "correct horse battery", NOW)

    opened = credentials.open(sealed, NOW)

    assert opened.password == "correct horse battery"
    assert opened.iat == NOW


def test_a_jwe_made_by_hand_from_the_rfc_opens(credentials: Credentials) -> None:
    sealed = by_hand(credentials, {"password": "pässwörd of 日本", "iat": int(NOW)})

    assert credentials.open(sealed, NOW).password == "pässwörd of 日本"


def test_a_jwe_of_ours_opens_by_hand(credentials: Credentials, settings: Settings) -> None:
    sealed = seal(credentials.public_jwks(), "correct horse battery", NOW)

    header, key, iv, text, tag = sealed.split(".")
    secret = load_login_key(settings).decrypt(decoded(key), oaep(SHA256()))
    payload = AESGCM(secret).decrypt(decoded(iv), decoded(text) + decoded(tag), header.encode())

    assert json.loads(payload) == {"password": "correct horse battery", "iat": int(NOW)}


def test_the_public_key_set_has_no_private_part(settings: Settings) -> None:
    [key] = public_jwks(settings)["keys"]

    assert set(key) == {"kty", "n", "e", "kid", "use", "alg"}
    assert (key["kty"], key["use"], key["alg"]) == ("RSA", "enc", "RSA-OAEP-256")


@pytest.mark.parametrize("age", [-60, 0, MAX_AGE])
def test_a_credential_within_its_time_opens(credentials: Credentials, age: int) -> None:
    sealed = seal(credentials.public_jwks(), "correct horse battery", NOW - age)

    assert credentials.open(sealed, NOW).password


@pytest.mark.parametrize("age", [-61, MAX_AGE + 1, NOW])
def test_a_credential_outside_its_time_is_too_old(credentials: Credentials, age: float) -> None:
    sealed = seal(credentials.public_jwks(), "correct horse battery", NOW - age)

    with pytest.raises(TooOld):
        credentials.open(sealed, NOW)


@pytest.mark.parametrize(
    "payload",
    [
        {"password": "correct horse battery"},
        {"iat": int(NOW)},
        {"password": "", "iat": int(NOW)},
        {"password": 1, "iat": int(NOW)},
        {"password": "correct horse battery", "iat": str(int(NOW))},
        {"password": "correct horse battery", "iat": True},
        {"password": "correct horse battery", "iat": None},
        ["password", "iat"],
        "password iat",
    ],
)
def test_another_payload_proves_nothing(credentials: Credentials, payload: Any) -> None:
    refused(credentials, by_hand(credentials, payload))


def test_a_payload_with_half_a_character_proves_nothing(credentials: Credentials) -> None:
    refused(credentials, by_hand(credentials, {"password": "\ud800" * 12, "iat": int(NOW)}))


@pytest.mark.parametrize("not_finite", ["NaN", "Infinity", "1e999"])
def test_a_time_that_is_no_number_proves_nothing(credentials: Credentials, not_finite: str) -> None:
    payload = f'{{"password": "correct horse battery", "iat": {not_finite}}}'

    refused(credentials, by_hand(credentials, payload.encode()))


def test_the_older_rsa_oaep_is_refused(credentials: Credentials) -> None:
    payload = {"password": "correct horse battery", "iat": int(NOW)}

    refused(credentials, by_hand(credentials, payload, alg="RSA-OAEP", hash_=SHA1()))  # noqa: S303  # what RSA-OAEP is


@pytest.mark.parametrize("enc", ["A128GCM", "A192GCM", "A256CBC-HS512", "A128CBC-HS256"])
def test_other_ciphers_are_refused(credentials: Credentials, enc: str) -> None:
    header = {"alg": "RSA-OAEP-256", "enc": enc}
    key = RSAKey.import_key(credentials.public_jwks()["keys"][0])
    sealed = jwe.encrypt_compact(header, plain(), key, algorithms=["RSA-OAEP-256", enc])

    refused(credentials, sealed)


def test_compression_is_refused(credentials: Credentials) -> None:
    header = {"alg": "RSA-OAEP-256", "enc": "A256GCM", "zip": "DEF"}
    key = RSAKey.import_key(credentials.public_jwks()["keys"][0])
    algorithms = ["RSA-OAEP-256", "A256GCM", "DEF"]

    refused(credentials, jwe.encrypt_compact(header, plain(), key, algorithms=algorithms))


def test_a_shared_secret_made_of_the_public_key_is_refused(credentials: Credentials) -> None:
    secret = OctKey.import_key(decoded(credentials.public_jwks()["keys"][0]["n"])[:32])
    sealed = jwe.encrypt_compact({"alg": "dir", "enc": "A256GCM"}, plain(), secret)

    refused(credentials, sealed)


def test_a_jwe_for_another_server_is_refused(credentials: Credentials) -> None:
    other = Credentials(generate_private_key(65537, 2048), MAX_AGE)

    refused(credentials, seal(other.public_jwks(), "correct horse battery", NOW))


def test_another_key_id_is_refused(credentials: Credentials) -> None:
    payload = {"password": "correct horse battery", "iat": int(NOW)}

    refused(credentials, by_hand(credentials, payload, kid="another"))


@pytest.mark.parametrize("part", range(5))
def test_a_changed_byte_anywhere_is_refused(credentials: Credentials, part: int) -> None:
    parts = seal(credentials.public_jwks(), "correct horse battery", NOW).split(".")
    first = "B" if parts[part][0] == "A" else "A"
    parts[part] = first + parts[part][1:]

    refused(credentials, ".".join(parts))


@pytest.mark.parametrize(
    "text", ["", "....", "a.b.c.d.e", "x" * 9000, "é.ü.ö.ä.ß", "\ud800", "W10.W10.W10.W10.W10"]
)
def test_anything_else_is_refused_with_the_same_words(credentials: Credentials, text: str) -> None:
    refused(credentials, text)


@given(st.lists(st.text(), min_size=5, max_size=5), st.dictionaries(st.text(), st.none()))
@hypothesis_settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_text_breaks_the_opening(
    credentials: Credentials, parts: list[str], header: dict[str, None]
) -> None:
    parts[0] = encoded(json.dumps({"alg": "RSA-OAEP-256", "enc": "A256GCM"} | header).encode())

    refused(credentials, ".".join(parts))


@pytest.mark.parametrize("header", [{"alg": []}, {"alg": 5, "enc": {}}, ["alg", "enc"], "algenc"])
def test_a_header_of_another_shape_is_refused(credentials: Credentials, header: Any) -> None:
    refused(credentials, encoded(json.dumps(header).encode()) + ".AA.AA.AA.AA")


def test_a_missing_key_file_is_explained(tmp_path: Any) -> None:
    with pytest.raises(FirstboxError, match="firstbox init"):
        load_login_key(Settings(home=tmp_path))


def refused(credentials: Credentials, sealed: str) -> None:
    with pytest.raises(NotProven) as caught:
        credentials.open(sealed, NOW)
    assert caught.value.message == NotProven().message


def by_hand(
    credentials: Credentials,
    payload: Any,
    *,
    alg: str = "RSA-OAEP-256",
    hash_: HashAlgorithm | None = None,
    kid: str | None = None,
) -> str:
    """RFC 7516, section 5.1, from primitives: no JOSE library takes part."""
    jwk = credentials.public_jwks()["keys"][0]
    fields = {"alg": alg, "enc": "A256GCM"} | ({"kid": kid} if kid else {})
    header = encoded(json.dumps(fields).encode())
    secret, iv = os.urandom(32), os.urandom(12)
    key = public_key(jwk).encrypt(secret, oaep(hash_ or SHA256()))
    text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    sealed = AESGCM(secret).encrypt(iv, text, header.encode())
    return ".".join(
        [header, encoded(key), encoded(iv), encoded(sealed[:-16]), encoded(sealed[-16:])]
    )


def public_key(jwk: dict[str, str]) -> RSAPublicKey:
    e, n = (int.from_bytes(decoded(jwk[name])) for name in ("e", "n"))
    return RSAPublicNumbers(e, n).public_key()


def oaep(hash_: HashAlgorithm) -> padding.OAEP:
    return padding.OAEP(mgf=padding.MGF1(hash_), algorithm=hash_, label=None)


def plain() -> bytes:
    return json.dumps({"password": "correct horse battery", "iat": int(NOW)}).encode()


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
