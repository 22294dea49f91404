"""Credentials, which no file may hold."""

from pydantic import Field, SecretStr

from mlops_lib.settings.readers import read_by
from mlops_lib.settings.section import Section


class Secrets(Section):
    """Credentials. They are read only from the environment, and masked wherever settings are shown."""

    openai_api_key: SecretStr | None = None
    openai_base_url: str | None = Field(None, json_schema_extra=read_by("evaluate-model"))
    anthropic_api_key: SecretStr | None = None
    openlineage_api_key: SecretStr | None = None
    data_password: SecretStr | None = None
    tecton_api_key: SecretStr | None = None
    #: The path of a file, and not the key itself.
    signing_key: str | None = None
    signing_key_password: SecretStr | None = None
