"""The ``tls`` kind: keys and certificates, made once and kept in the state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hythe.diagnostic import Diagnostic, error
from hythe.provider.container.inputs import located
from hythe.provider.generated.tls_model import CERTIFICATES, KEY, REQUEST, SELF_SIGNED, TlsData, TlsModel, TlsValue
from hythe.provider.protocol import (
    Attributes,
    Context,
    Found,
    Hint,
    Kind,
    Observed,
    Owned,
    PrepareContext,
    ProviderError,
    ReadContext,
    ReadRequest,
)
from hythe.provider.schema import Effect, Path
from hythe.provider.units import duration_seconds

DEFAULTS: Mapping[str, Any] = {"algorithm": "ED25519", "rsa_bits": 3072, "ecdsa_curve": "P256"}
"""What a private key is where the configuration does not say."""


class Tls(Kind):
    """A private key, a certificate request, or a certificate, made once and then kept.

    A certificate is made anew by the first apply after ``early_renewal`` before its end. Private keys are sensitive;
    they are in the state, so keep that to yourself, or leave production keys to an authority of your own. An
    ``ephemeral`` block makes one for a single run.
    """

    name = "tls"
    rebuild_note = (
        "It was in the state alone, so another one is made, and what uses it changes. Take a private key that is "
        "in use in with `hythe import` first."
    )
    model = TlsModel
    data_model = TlsData
    ephemeral_model = TlsValue
    on_host = False
    unique_name = False
    concurrency = 100

    def prepare(self, desired: Attributes, context: PrepareContext) -> tuple[Attributes, list[Diagnostic]]:
        """A certificate shall not be due for renewal."""
        return (desired | {"ready_for_renewal": False} if desired.get("type") in CERTIFICATES else desired), []

    def hint(self, path: Path, before: Any, after: Any, old: Attributes, new: Attributes) -> Hint | None:
        """Renewal has a reason of its own."""
        if path == ("ready_for_renewal",):
            return Hint(Effect.REPLACE, f"it ends at {old.get('validity_end_time')} and is due for renewal")
        return None

    def fitted(self, seen: Attributes, wanted: Mapping[str, Any]) -> Attributes:
        """A key is what is wanted where the configuration leaves open what it is by default."""
        if seen.get("type") != wanted.get("type"):
            return seen
        return {n: v for n, v in seen.items() if n in wanted or DEFAULTS.get(n) != v}

    def create(self, context: Context, desired: Attributes) -> Attributes:
        """Make it."""
        return _made(desired, context.identity.address)

    def open(self, context: ReadContext, desired: Attributes) -> Attributes:
        """A key or a certificate made anew, which is not kept."""
        return _made(desired, context.address)

    def update(self, context: Context, before: Attributes, desired: Attributes, changed: Sequence[str]) -> Attributes:
        """Only when it is renewed can change."""
        return {k: v for k, v in before.items() if k not in changed} | desired

    def delete(self, context: Context, before: Attributes) -> None:
        """Nothing to do: it goes with its record in the state."""

    def read_many(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Observed]:
        """What the state has, and whether it is time to renew it."""
        now = datetime.now(UTC)
        return {r.id: {**r.attributes, **_renewal(dict(r.attributes), now)} for r in requests}

    def find(self, context: ReadContext, requests: Sequence[ReadRequest]) -> dict[str, Found]:
        """Nothing outlives a killed run: what was intended is done anew."""
        return {}

    def find_owned(self, context: ReadContext) -> list[Owned]:
        """Nothing is found on any host: keys live in the state alone."""
        return []

    def import_object(self, context: Context, object_id: str) -> Attributes:
        """A private key in a file, by its path."""
        from hythe.provider.generated import certificates

        path = located(context.base_dir, object_id)
        try:
            with open(path, encoding="utf-8") as file:
                key = certificates.load_key(file.read(), object_id)
        except OSError as failure:
            raise ProviderError(error("File cannot be read", f"{path}: {failure.strerror}.")) from failure
        except ValueError as failure:
            raise ProviderError(error("Not a private key", f"{failure}.")) from failure
        return {"type": KEY, **certificates.facts(key), **certificates.key_forms(key)}

    def read_data(self, context: ReadContext, desired: Attributes) -> Attributes:
        """What a key or a certificate says."""
        from hythe.provider.generated import certificates

        try:
            if desired.get("private_key_pem") is not None:
                key = certificates.load_key(desired["private_key_pem"], "private_key_pem")
                return desired | certificates.public_forms(key.public_key())
            return desired | certificates.told(certificates.load_certificate(desired["cert_pem"], "cert_pem"))
        except ValueError as failure:
            raise ProviderError(error("Cannot be read", f"{failure}.")) from failure


def _made(desired: Attributes, address: str) -> Attributes:
    from hythe.provider.generated import certificates

    asked = {k: v for k, v in desired.items() if k != "ready_for_renewal"}
    try:
        if asked["type"] == KEY:
            key = certificates.new_key(*(asked.get(name, default) for name, default in DEFAULTS.items()))
            return {**asked, **certificates.key_forms(key)}
        if asked["type"] == REQUEST:
            return {**asked, "cert_request_pem": certificates.request(asked)}
        seconds = float(duration_seconds(asked["validity"]))
        make = certificates.self_signed if asked["type"] == SELF_SIGNED else certificates.signed
        return {**asked, **make(asked, seconds)}
    except ValueError as failure:
        raise ProviderError(error("Cannot be made", f"{address}: {failure}.")) from failure


def _renewal(attributes: Attributes, now: datetime) -> Attributes:
    end = attributes.get("validity_end_time")
    if end is None:
        return {}
    early = timedelta(seconds=float(duration_seconds(attributes.get("early_renewal") or "0s")))
    return {"ready_for_renewal": now >= datetime.fromisoformat(end) - early}
