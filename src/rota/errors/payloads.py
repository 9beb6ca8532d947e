"""Arguments, results and checkpoints that are refused: of a wrong type, too large, or unreadable."""

from collections.abc import Mapping

from rota.errors.root import RotaError


class _Invalid(RotaError):
    what = ""

    def __init__(self, job: str, problems: Mapping[str, str]) -> None:
        super().__init__(job, dict(problems))
        self.job = job
        self.problems: dict[str, str] = dict(problems)

    def __str__(self) -> str:
        reasons = (f"{field}: {reason}" if field else reason for field, reason in self.problems.items())
        return f"{self.what} of job {self.job}: {'; '.join(reasons)}"


class InvalidPayload(_Invalid):
    """Raised for wrong arguments, by the client at enqueue and by the worker when the job arrives: correct them.

    `problems` maps each argument to its reason. Values never appear, since payloads hold secrets.
    """

    what = "wrong arguments"


class InvalidResult(_Invalid):
    """Raised by the worker when a handler's result does not fit its return annotation, or JSON."""

    what = "wrong result"


class UnreadablePayload(RotaError):
    """Raised for bytes that are neither a job nor a result; another serializer wrote them."""


class RefusedPayload(UnreadablePayload):
    """Raised for a job or a result whose seal does not fit, before anything of it is read.

    `reason` is what a dead letter says: `unsigned`, `bad_signature`, `unknown_key` or `sealed`. `key` names the key of
    the seal where it is one that this process does not have.
    """

    def __init__(self, reason: str, key: str = "") -> None:
        super().__init__(reason, key)
        self.reason = reason
        self.key = key

    @property
    def needs_key(self) -> bool:
        """Whether a process with more keys, or with the cipher, may be able to read it."""
        return self.reason in ("unknown_key", "sealed", "no_cipher")

    def __str__(self) -> str:
        return _REFUSED[self.reason].format(key=self.key)


_REFUSED = {
    "unsigned": "it is not signed, and PAYLOAD_SIGNING=required refuses what a stock client, or a process without "
    "PAYLOAD_KEYS, wrote",
    "bad_signature": "its signature does not fit: it was changed, forged, or moved from another id, queue or tenant",
    "unknown_key": "it is sealed with the key {key}, which PAYLOAD_KEYS of this process lacks; add the key",
    "sealed": "it is encrypted, and this process has no PAYLOAD_KEYS; give it the keys of those who enqueue",
    "no_cipher": "it is encrypted, and the package cryptography is not installed; install rota[encryption]",
}
#: The reasons of jobs that are dead because of their seals.
REFUSALS = frozenset(_REFUSED)


class _TooLarge(RotaError):
    def __init__(self, job: str, size: int, limit: int) -> None:
        super().__init__(job, size, limit)
        self.job = job
        self.size = size
        self.limit = limit


class PayloadTooLarge(_TooLarge):
    """Raised by the client before anything is sent: store the data elsewhere and enqueue its id.

    `size` and `limit` are in bytes.
    """

    def __str__(self) -> str:
        return (
            f"the payload of job {self.job} has {self.size} bytes and PAYLOAD_LIMIT allows {self.limit}; "
            "store the data elsewhere and enqueue its id"
        )


class ResultTooLarge(_TooLarge):
    """The handler's result exceeded the limit, so the job died. Store the data elsewhere and return its id.

    `size` and `limit` are in bytes.
    """

    def __str__(self) -> str:
        return (
            f"the result of job {self.job} has {self.size} bytes and RESULT_LIMIT allows {self.limit}; "
            "store the data elsewhere and return its id"
        )


class CheckpointTooLarge(PayloadTooLarge):
    """Raised by `run.checkpoint()`: store the data elsewhere and save a reference to it.

    `size` and `limit` are in bytes.
    """

    def __init__(self, size: int, limit: int) -> None:
        super().__init__("", size, limit)
        self.args = (size, limit)

    def __str__(self) -> str:
        return (
            f"the checkpoint has {self.size} bytes and the limit (PAYLOAD_LIMIT) is {self.limit}; "
            "store the data elsewhere and save where it is"
        )
