"""What a ``tls`` block can say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import model_validator

from hythe.provider.schema import Duration, Effect, Model, attr, block

KEY, REQUEST, SELF_SIGNED, SIGNED = "private_key", "cert_request", "self_signed_cert", "locally_signed_cert"
CERTIFICATES = (SELF_SIGNED, SIGNED)

_ASKED = ("key", "subject", "dns_names", "ip_addresses", "uris")
_ISSUED = ("validity", "early_renewal", "uses", "is_ca")
_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    KEY: ("algorithm", "rsa_bits", "ecdsa_curve"),
    REQUEST: _ASKED,
    SELF_SIGNED: (*_ASKED, *_ISSUED),
    SIGNED: ("request", "ca_key", "ca_cert", *_ISSUED),
}
"""Which arguments belong to which type, besides ``type``."""
_CERTIFICATES = (SELF_SIGNED, SIGNED)
_NEEDED: Mapping[str, tuple[str, ...]] = {
    KEY: (),
    REQUEST: ("key",),
    SELF_SIGNED: ("key", "validity"),
    SIGNED: ("request", "ca_key", "ca_cert", "validity"),
}
KEY_USES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "cert_signing",
    "crl_signing",
    "encipher_only",
    "decipher_only",
)
"""RFC 5280, section 4.2.1.3."""
EXTENDED_USES = (
    "any_extended",
    "server_auth",
    "client_auth",
    "code_signing",
    "email_protection",
    "timestamping",
    "ocsp_signing",
)
"""RFC 5280, section 4.2.1.12."""


class Subject(Model):
    """Whom a certificate is for."""

    common_name: str | None = attr(description="Common name (CN).", max_length=64)
    organization: str | None = attr(description="Organization (O).")
    organizational_unit: str | None = attr(description="Part of the organization (OU).")
    street_address: list[str] | None = attr(description="Lines of the street address.")
    locality: str | None = attr(description="City (L).")
    province: str | None = attr(description="State or province (ST).")
    country: str | None = attr(description="Country (C), two letters.", pattern="^[A-Z]{2}$")
    postal_code: str | None = attr(description="Postal code.")
    serial_number: str | None = attr(description="Serial number of the subject.")


class TlsValue(Model):
    """A key or a certificate."""

    type: Literal["private_key", "cert_request", "self_signed_cert", "locally_signed_cert"] = attr(
        ..., description="What is made: private_key, cert_request, self_signed_cert, locally_signed_cert."
    )
    algorithm: Literal["RSA", "ECDSA", "ED25519"] | None = attr(
        description='Of a private key: RSA, ECDSA or ED25519. By default "ED25519".'
    )
    rsa_bits: int | None = attr(description="Size of an RSA key. By default 3072.", ge=2048, le=16384)
    ecdsa_curve: Literal["P224", "P256", "P384", "P521"] | None = attr(
        description='Curve of an ECDSA key: P224, P256, P384 or P521. By default "P256".'
    )
    key: str | None = attr(
        description="Private key (PEM) that the request or certificate is made with.", sensitive=True, min_length=1
    )
    subject: Subject | None = block(description="Whom the certificate is for.", repeated=False)
    dns_names: list[str] | None = attr(description="Host names that it is for.")
    ip_addresses: list[str] | None = attr(description="IP addresses that it is for.")
    uris: list[str] | None = attr(description="URIs that it is for.")
    request: str | None = attr(description="Certificate request (PEM) that is signed.", min_length=1)
    ca_key: str | None = attr(description="Private key (PEM) of the authority.", sensitive=True, min_length=1)
    ca_cert: str | None = attr(description="Certificate (PEM) of the authority.", min_length=1)
    validity: Duration | None = attr(description='How long the certificate is valid from now on, like "8760h".')
    uses: list[str] | None = attr(
        description=f"What its key may be used for: {', '.join((*KEY_USES, *EXTENDED_USES))}.", unordered=True
    )
    is_ca: bool | None = attr(description="Whether it is an authority's. By default false.")
    private_key_pem: str | None = attr(
        description="The private key (PEM).", computed=True, types=(KEY,), sensitive=True
    )
    private_key_pem_pkcs8: str | None = attr(
        description="The private key (PEM, PKCS #8).", computed=True, types=(KEY,), sensitive=True
    )
    private_key_openssh: str | None = attr(
        description="The private key in OpenSSH's form; not for curve P224.",
        computed=True,
        types=(KEY,),
        sensitive=True,
    )
    public_key_pem: str | None = attr(description="The public key (PEM).", computed=True, types=(KEY,))
    public_key_openssh: str | None = attr(
        description="The public key as in authorized_keys; not for curve P224.", computed=True, types=(KEY,)
    )
    public_key_fingerprint_sha256: str | None = attr(
        description="Fingerprint as ssh-keygen shows it, SHA256:...", computed=True, types=(KEY,)
    )
    public_key_fingerprint_md5: str | None = attr(
        description="Fingerprint with MD5, aa:bb:...", computed=True, types=(KEY,)
    )
    cert_request_pem: str | None = attr(description="The request (PEM).", computed=True, types=(REQUEST,))
    cert_pem: str | None = attr(description="The certificate (PEM).", computed=True, types=_CERTIFICATES)
    validity_start_time: str | None = attr(
        description="When it begins to be valid (RFC 3339).", computed=True, types=_CERTIFICATES
    )
    validity_end_time: str | None = attr(
        description="When it ends to be valid (RFC 3339).", computed=True, types=_CERTIFICATES
    )

    @model_validator(mode="after")
    def _fits(self) -> TlsValue:
        for name in _NEEDED[self.type]:
            if getattr(self, name) is None:
                raise ValueError(f'type "{self.type}" needs `{name}`')
        foreign = {name for names in _ARGUMENTS.values() for name in names} - set(_ARGUMENTS[self.type])
        for name in sorted(foreign):
            # what is not kept is not renewed
            if getattr(self, name, None) is not None:
                fits = " or ".join(kind for kind, names in _ARGUMENTS.items() if name in names)
                raise ValueError(f'`{name}` is for type {fits}, and this is of type "{self.type}"')
        algorithm = self.algorithm or "ED25519"
        for name, fits in (("rsa_bits", "RSA"), ("ecdsa_curve", "ECDSA")):
            if getattr(self, name) is not None and algorithm != fits:
                raise ValueError(f"`{name}` is for algorithm {fits}, and this is {algorithm}")
        for use in self.uses or ():
            if use not in KEY_USES and use not in EXTENDED_USES:
                raise ValueError(f'"{use}" is no use of a key: there are {", ".join((*KEY_USES, *EXTENDED_USES))}')
        return self


class TlsModel(TlsValue):
    """A key or a certificate that is kept."""

    early_renewal: Duration | None = attr(
        description="How long before its end the certificate is made anew by the next apply. By default 0s.",
        effect=Effect.LIVE,
    )
    ready_for_renewal: bool | None = attr(
        description="Whether it is time to make it anew.", computed=True, types=_CERTIFICATES
    )


class TlsData(Model):
    """A key or a certificate that is there."""

    private_key_pem: str | None = attr(description="Private key (PEM or OpenSSH's form).", sensitive=True)
    cert_pem: str | None = attr(description="Certificate (PEM).")
    public_key_pem: str | None = attr(description="The public key (PEM).", computed=True)
    public_key_openssh: str | None = attr(description="The public key as in authorized_keys.", computed=True)
    public_key_fingerprint_sha256: str | None = attr(description="Fingerprint, SHA256:...", computed=True)
    public_key_fingerprint_md5: str | None = attr(description="Fingerprint with MD5, aa:bb:...", computed=True)
    subject: str | None = attr(description="Whom the certificate is for (RFC 4514).", computed=True)
    issuer: str | None = attr(description="Who issued the certificate (RFC 4514).", computed=True)
    dns_names: list[str] | None = attr(description="Host names that the certificate is for.", computed=True)
    is_ca: bool | None = attr(description="Whether the certificate is an authority's.", computed=True)
    serial_number: str | None = attr(description="The certificate's serial number.", computed=True)
    sha256: str | None = attr(description="The certificate's fingerprint, hexadecimal.", computed=True)
    validity_start_time: str | None = attr(description="When it begins to be valid (RFC 3339).", computed=True)
    validity_end_time: str | None = attr(description="When it ends to be valid (RFC 3339).", computed=True)

    @model_validator(mode="after")
    def _fits(self) -> TlsData:
        if (self.private_key_pem is None) == (self.cert_pem is None):
            raise ValueError("give either `private_key_pem` or `cert_pem`")
        return self
