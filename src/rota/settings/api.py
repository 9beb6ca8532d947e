"""The variables of the API: where it listens."""

from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings


class ApiVariables(BaseSettings):
    """The variables that MODE=api reads beside the general ones."""

    api_host: str = "127.0.0.1"
    """The address that the API listens on: unless set, this machine's own."""

    api_port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    """The port of the API; 0 is any free one."""
