"""Settings of the server (from the environment and ``.env``) and of a campaign (from a person, over the environment's defaults)."""

from __future__ import annotations

import difflib
import json
import os
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, Union, get_args, get_origin

import platformdirs
from dotenv import dotenv_values
from pydantic import AliasChoices, BaseModel, Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from backend.server_rules import local_address, plain_address, service_token, token_problem
from backend.webhook_secret import keep_webhook_secret
from mcal_engine.errors import InvalidValue
from mcal_engine.spec import CampaignSpec, explain
