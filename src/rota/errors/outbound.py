"""What requests to other machines may meet, and webhooks, which are such requests."""

from rota.errors.root import RotaError


class FetchRefused(RotaError):
    """Raised for a request that is never sent: of its URL, or because of where its host lies. No retry cures it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the request is not sent: {self.reason}"


class FetchFailed(RotaError):
    """Raised for a request that was not answered: the other side is away, too slow, or says too much."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the request was not answered: {self.reason}"


class WebhookRefused(RotaError):
    """Raised for a webhook that cannot be made, or changed, so."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class UnknownWebhook(RotaError):
    """Raised for a webhook that Redis does not hold, or a message that was not sent to it within a week."""

    def __init__(self, webhook: str, message: str = "") -> None:
        super().__init__(webhook, message)
        self.webhook = webhook
        self.message = message

    def __str__(self) -> str:
        if self.message:
            return f"no message {ascii(self.message)[:60]} to the webhook {self.webhook} is kept"
        return f"there is no webhook {ascii(self.webhook)[:60]}"


class DeliveryFailed(RotaError):
    """Raised by the job of a delivery whose message has not arrived: the receiver is away, or does not take it."""

    def __init__(self, webhook: str, reason: str) -> None:
        super().__init__(webhook, reason)
        self.webhook = webhook
        self.reason = reason

    def __str__(self) -> str:
        return f"the message to {self.webhook} has not arrived: {self.reason}"
