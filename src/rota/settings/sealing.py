"""The variables of signing and encrypting payloads: the keys, and what is done with them."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic_settings import BaseSettings

from rota.wire.sealing.cipher import has_cipher
from rota.wire.sealing.ring import Ring
from rota.wire.sealing.seals import Sealer


def _ring(value: object) -> object:
    return Ring.read(value) if isinstance(value, str) else value


class SealingVariables(BaseSettings):
    """The variables by which a process seals what it writes, and opens what it reads."""

    model_config = ConfigDict(arbitrary_types_allowed=True)  # type: ignore[assignment]

    payload_keys: Annotated[Ring, BeforeValidator(_ring)] | None = Field(default=None, repr=False)
    """Keys, `name:base64` each, as `rota payload-key` prints them; the first signs, all verify; None: none."""

    payload_signing: Literal["off", "on", "required"] = "off"
    """Whether payloads and results are signed; `required` also refuses what is not."""

    payload_encryption: bool = False
    """Whether what is signed is encrypted too, with AES-256-GCM."""

    @property
    def sealer(self) -> Sealer | None:
        """The seals and the look behind them, with the keys; None without keys."""
        if self.payload_keys is None:
            return None
        return Sealer(
            self.payload_keys,
            signs=self.payload_signing != "off",
            encrypts=self.payload_encryption,
            requires=self.payload_signing == "required",
        )

    @property
    def seals(self) -> bool:
        """Whether what the process writes is sealed."""
        return self.payload_keys is not None and self.payload_signing != "off"


def misfits(settings: SealingVariables) -> Iterator[str]:
    """Yield a sentence for each of these settings that cannot work with the others."""
    signing = settings.payload_signing
    if signing != "off" and settings.payload_keys is None:
        yield f"PAYLOAD_SIGNING is {signing}, which needs PAYLOAD_KEYS; `rota payload-key` makes a key"
    if settings.payload_encryption and signing == "off":
        yield "PAYLOAD_ENCRYPTION is on, which needs PAYLOAD_SIGNING to be on or required"
    if settings.payload_encryption and not has_cipher():
        yield "PAYLOAD_ENCRYPTION is on, which needs the package cryptography; install rota[encryption]"
