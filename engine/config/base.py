"""What all models of settings share."""

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """Refuse what is not known, so that a misspelt setting is an error and not a silence."""

    model_config = ConfigDict(extra="forbid")
