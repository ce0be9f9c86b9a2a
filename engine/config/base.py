"""The base of all models of settings."""

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """A model that refuses unknown settings: a misspelt one would be ignored without a word."""

    model_config = ConfigDict(extra="forbid")
