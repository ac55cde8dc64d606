"""The environment's settings for the commands that call a service."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from hardneg.client import server_url


class ClientSettings(BaseSettings):
    """The address and key of the service, from variables with the prefix `HARDNEG_`."""

    model_config = SettingsConfigDict(
        env_prefix="HARDNEG_", env_ignore_empty=True, frozen=True, hide_input_in_errors=True
    )

    url: str | None = Field(None, description="Address of the service.")
    host: str = Field("127.0.0.1", description="Where the service listens, without a URL.")
    port: int = Field(8000, ge=0, le=65535, description="Its port, without a URL.")
    api_key: SecretStr | None = Field(None, description="Its key.")

    @property
    def service_url(self) -> str:
        """The URL; by default, that of a service with this host and port on this machine."""
        return self.url or server_url(self.host, self.port)
