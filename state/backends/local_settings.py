"""The arguments of ``backend "local"``. Apart, so that whoever sets none need not wait for pydantic."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Where the files are. Relative paths start at the configuration's folder, ``~`` is the user's home."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str | None = Field(None, min_length=1, description="The state of the workspace default.")
    workspace_dir: str | None = Field(None, min_length=1, description="The folder of the other workspaces' states.")
