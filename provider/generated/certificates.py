"""Keys, requests and certificates made with the cryptography library. Raises ValueError in words for users."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hythe.provider.generated.tls_model import EXTENDED_USES, KEY_USES

_CURVES: Mapping[str, Any] = {"P224": ec.SECP224R1, "P256": ec.SECP256R1, "P384": ec.SECP384R1, "P521": ec.SECP521R1}
_NAMES = (
    ("common_name", NameOID.COMMON_NAME),
    ("organization", NameOID.ORGANIZATION_NAME),
    ("organizational_unit", NameOID.ORGANIZATIONAL_UNIT_NAME),
    ("street_address", NameOID.STREET_ADDRESS),
    ("locality", NameOID.LOCALITY_NAME),
    ("province", NameOID.STATE_OR_PROVINCE_NAME),
    ("country", NameOID.COUNTRY_NAME),
    ("postal_code", NameOID.POSTAL_CODE),
    ("serial_number", NameOID.SERIAL_NUMBER),
)
_EXTENDED = {
    "any_extended": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server_auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client_auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code_signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email_protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp_signing": ExtendedKeyUsageOID.OCSP_SIGNING,
}
_PEM, _PLAIN = serialization.Encoding.PEM, serialization.NoEncryption()

# -- keys -----------------------------------------------------------------------------------------


def new_key(algorithm: str, bits: int, curve: str) -> Any:
    """A private key."""
    if algorithm == "RSA":
        return rsa.generate_private_key(65537, bits)
    return ec.generate_private_key(_CURVES[curve]()) if algorithm == "ECDSA" else ed25519.Ed25519PrivateKey.generate()


def load_key(text: str, name: str) -> Any:
    """A private key of PEM or OpenSSH's form; ``name`` is the argument it was given as."""
    data = text.encode()
    try:
        if "BEGIN OPENSSH" in text:
            return serialization.load_ssh_private_key(data, None)
        return serialization.load_pem_private_key(data, None)
    except TypeError:
        raise ValueError(f"`{name}` is locked with a passphrase; a key without one is needed") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(f"`{name}` is no private key in PEM form") from None


def key_forms(key: Any) -> dict[str, Any]:
    """A private key in all its forms, and its public half."""
    traditional = serialization.PrivateFormat.TraditionalOpenSSL
    pkcs8 = serialization.PrivateFormat.PKCS8
    is_ed25519 = isinstance(key, ed25519.Ed25519PrivateKey)
    out = {
        # ed25519 has no older form
        "private_key_pem": key.private_bytes(_PEM, pkcs8 if is_ed25519 else traditional, _PLAIN).decode(),
        "private_key_pem_pkcs8": key.private_bytes(_PEM, pkcs8, _PLAIN).decode(),
        **public_forms(key.public_key()),
    }
    if "public_key_openssh" in out:
        openssh = serialization.PrivateFormat.OpenSSH
        out["private_key_openssh"] = key.private_bytes(_PEM, openssh, _PLAIN).decode()
    return out


def public_forms(key: Any) -> dict[str, Any]:
    """A public key in all its forms."""
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    out = {"public_key_pem": key.public_bytes(_PEM, info).decode()}
    try:
        line = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    except (ValueError, UnsupportedAlgorithm):
        return out  # OpenSSH knows no P224
    blob = base64.b64decode(line.split()[1])
    md5 = hashlib.md5(blob, usedforsecurity=False).hexdigest()
    out["public_key_openssh"] = line + "\n"
    out["public_key_fingerprint_sha256"] = "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip(
        "="
    )
    out["public_key_fingerprint_md5"] = ":".join(md5[i : i + 2] for i in range(0, len(md5), 2))
    return out


def _digest(key: Any) -> Any:
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


# -- requests and certificates --------------------------------------------------------------------


def request(asked: Mapping[str, Any]) -> str:
    """A certificate request (PEM) of the arguments ``key``, ``subject`` and names."""
    key = load_key(asked["key"], "key")
    builder = x509.CertificateSigningRequestBuilder().subject_name(_subject(asked.get("subject") or {}))
    names = _alternative_names(asked)
    if names is not None:
        builder = builder.add_extension(names, critical=False)
    return builder.sign(key, _digest(key)).public_bytes(_PEM).decode()


def self_signed(asked: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """A certificate that its own key signs."""
    key = load_key(asked["key"], "key")
    subject = _subject(asked.get("subject") or {})
    return _issue(asked, key.public_key(), subject, _alternative_names(asked), key, subject, None, seconds)


def signed(asked: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """A certificate for ``request`` that the authority of ``ca_key`` and ``ca_cert`` signs."""
    try:
        wanted = x509.load_pem_x509_csr(asked["request"].encode())
    except ValueError:
        raise ValueError("`request` is no certificate request in PEM form") from None
    if not wanted.is_signature_valid:
        raise ValueError("`request` is not signed by its own key: it was changed")
    authority, key = load_certificate(asked["ca_cert"], "ca_cert"), load_key(asked["ca_key"], "ca_key")
    if key.public_key() != authority.public_key():
        raise ValueError("`ca_key` is not the key of `ca_cert`")
    try:
        names: Any = wanted.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = None
    return _issue(asked, wanted.public_key(), wanted.subject, names, key, authority.subject, authority, seconds)


def load_certificate(text: str, name: str) -> x509.Certificate:
    """A certificate of PEM."""
    try:
        return x509.load_pem_x509_certificate(text.encode())
    except ValueError:
        raise ValueError(f"`{name}` is no certificate in PEM form") from None


def _issue(
    asked: Mapping[str, Any],
    public: Any,
    subject: x509.Name,
    names: x509.SubjectAlternativeName | None,
    key: Any,
    issuer: x509.Name,
    authority: x509.Certificate | None,
    seconds: float,
) -> dict[str, Any]:
    start = datetime.now(UTC).replace(microsecond=0)
    try:
        end = start + timedelta(seconds=seconds)
    except OverflowError:
        raise ValueError("`validity` is longer than certificates can say") from None
    builder = x509.CertificateBuilder(issuer, subject, public, x509.random_serial_number(), start, end)
    is_ca = bool(asked.get("is_ca"))
    builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
    )
    uses = set(asked.get("uses") or ())
    if uses & set(KEY_USES):
        builder = builder.add_extension(_key_usage(uses), critical=True)
    extended = [_EXTENDED[use] for use in EXTENDED_USES if use in uses]
    if extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    if names is not None:
        builder = builder.add_extension(names, critical=False)
    made = builder.sign(key, _digest(key))
    if authority is not None:
        try:
            made.verify_directly_issued_by(authority)
        except (InvalidSignature, TypeError, ValueError) as failure:
            raise ValueError(f"the authority's key does not sign for its certificate: {failure}") from None
    return {"cert_pem": made.public_bytes(_PEM).decode(), **validity(made), "ready_for_renewal": False}


def validity(made: x509.Certificate) -> dict[str, str]:
    """When a certificate is valid, in RFC 3339."""
    form = "%Y-%m-%dT%H:%M:%SZ"
    return {
        "validity_start_time": made.not_valid_before_utc.strftime(form),
        "validity_end_time": made.not_valid_after_utc.strftime(form),
    }


def _key_usage(uses: set[str]) -> x509.KeyUsage:
    agreement = "key_agreement" in uses
    if uses & {"encipher_only", "decipher_only"} and not agreement:
        raise ValueError("`uses`: encipher_only and decipher_only narrow key_agreement down, which is not there")
    return x509.KeyUsage(
        digital_signature="digital_signature" in uses,
        content_commitment="content_commitment" in uses,
        key_encipherment="key_encipherment" in uses,
        data_encipherment="data_encipherment" in uses,
        key_agreement=agreement,
        key_cert_sign="cert_signing" in uses,
        crl_sign="crl_signing" in uses,
        encipher_only="encipher_only" in uses,
        decipher_only="decipher_only" in uses,
    )


def _subject(block: Mapping[str, Any]) -> x509.Name:
    out = []
    for name, oid in _NAMES:
        given = block.get(name)
        values: Sequence[str] = given if isinstance(given, list) else [given] if given else []
        out += [x509.NameAttribute(oid, value) for value in values]
    return x509.Name(out)


def _alternative_names(asked: Mapping[str, Any]) -> x509.SubjectAlternativeName | None:
    names: list[x509.GeneralName] = []
    for text in asked.get("dns_names") or ():
        try:
            # IDNs as they stand in certificates
            names.append(x509.DNSName(text if text.isascii() else text.encode("idna").decode()))
        except ValueError:
            raise ValueError(f'`dns_names`: "{text}" is no host name') from None
    for text in asked.get("ip_addresses") or ():
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(text)))
        except ValueError:
            raise ValueError(f'`ip_addresses`: "{text}" is no IP address') from None
    for text in asked.get("uris") or ():
        try:
            names.append(x509.UniformResourceIdentifier(text))
        except ValueError:
            raise ValueError(f'`uris`: "{text}" is no URI; letters other than ASCII are percent-encoded') from None
    return x509.SubjectAlternativeName(names) if names else None


# -- reading --------------------------------------------------------------------------------------


def facts(key: Any) -> dict[str, Any]:
    """The arguments that a private key would be made with. Raises ValueError for one of another algorithm."""
    if isinstance(key, rsa.RSAPrivateKey):
        return {"algorithm": "RSA", "rsa_bits": key.key_size}
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return {"algorithm": "ED25519"}
    for name, curve in _CURVES.items():
        if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, curve):
            return {"algorithm": "ECDSA", "ecdsa_curve": name}
    raise ValueError("it is neither RSA nor ED25519, nor ECDSA with a curve that can be made here")


def told(made: x509.Certificate) -> dict[str, Any]:
    """What a certificate says."""
    out = {
        "subject": made.subject.rfc4514_string(),
        "issuer": made.issuer.rfc4514_string(),
        "serial_number": str(made.serial_number),
        "sha256": made.fingerprint(hashes.SHA256()).hex(),
        "is_ca": False,
        "dns_names": [],
        **validity(made),
        **public_forms(made.public_key()),
    }
    for extension in made.extensions:
        if isinstance(extension.value, x509.BasicConstraints):
            out["is_ca"] = extension.value.ca
        elif isinstance(extension.value, x509.SubjectAlternativeName):
            out["dns_names"] = extension.value.get_values_for_type(x509.DNSName)
    return out
