"""The base of all models of settings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class StrictSettings(BaseModel):
    """Base of all settings: frozen, and every unknown key is an error.

    The schema of a model is built when it is first used: each one contains those of its parts, and a command uses few.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
