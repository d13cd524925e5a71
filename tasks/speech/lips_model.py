"""The shipped models of lips: one hears how they move, one sees their expression, one judges."""

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import safe_open
from safetensors.numpy import load_file

from stores.artifacts.keys import file_key
from stores.shipped import shipped_file

if TYPE_CHECKING:
    from models.speech_to_lips.expression import ExpressionModel
    from models.speech_to_lips.lips_network import LipsNetwork

TICKS_PER_SECOND = 25
"""Clock of the motion that the network predicts."""


def model_key() -> str:
    """Content key of the shipped weights: new weights make new motion."""
    return file_key(_weights_file("speech_to_lips"))


def listener_key() -> str:
    """The same of the weights that only listen."""
    return file_key(_weights_file("from_mel"))


def expression_key() -> str:
    """The same of the weights that see the face's expression."""
    return file_key(_weights_file("expression"))


def _weights_file(name: str) -> Path:
    return shipped_file(f"models/speech_to_lips/{name}.safetensors")


def lips_model() -> "LipsNetwork":
    """The shipped network that predicts mouth motion from Whisper's features."""
    return _model("speech_to_lips")


def listening_model() -> "LipsNetwork":
    """The shipped network that judges whether lips fit speech, by its log-mel; it makes no mouth.

    So what is dubbed is not measured by what dubbed it.
    """
    return _model("from_mel")


@cache
def expression_model() -> "ExpressionModel":
    """The shipped model that takes the upper half of a face to its lips."""
    from models.speech_to_lips.expression import ExpressionModel

    return ExpressionModel.from_arrays(load_file(_weights_file("expression")))


def _model(name: str) -> "LipsNetwork":
    from tasks.inference.threads import one_thread

    one_thread()  # the network is small: threads would wait for each other
    return _loaded(name)


@cache
def _loaded(name: str) -> "LipsNetwork":
    from models.speech_to_lips.predict import load_model

    with safe_open(_weights_file(name), framework="numpy") as file:
        weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        config = json.loads(file.metadata()["config"])
    return load_model(weights, config)
