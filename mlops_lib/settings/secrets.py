"""Credentials, which no file may hold."""

from pydantic import SecretStr

from mlops_lib.settings.section import Section


class Secrets(Section):
    """Credentials. They come from the environment alone and are masked wherever settings are shown."""

    openai_api_key: SecretStr | None = None
    openai_base_url: str | None = None
    anthropic_api_key: SecretStr | None = None
    data_password: SecretStr | None = None
    tecton_api_key: SecretStr | None = None
