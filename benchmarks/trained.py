"""What benchmarks of own-trained networks are told, and the networks they are told of."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from torch import nn

from benchmarks.command import command_parser
from stores.artifacts.store import Store
from tasks.weights.networks import find_weights, load_network

Kind = TypeVar("Kind", bound=nn.Module)


def data_arguments(doc: str | None) -> argparse.ArgumentParser:
    """A parser for prepared clips; `doc` is of the program's module."""
    parser = command_parser(doc)
    parser.add_argument("--data", type=Path, required=True, help="index of `dubflow prepare`")
    parser.add_argument("--store", required=True, help="the store that it was prepared in")
    return parser


def arguments(doc: str | None, files: str) -> argparse.ArgumentParser:
    """A parser for prepared clips and the weights of networks.

    Args:
        doc: Of the benchmark's module.
        files: What the files hold.
    """
    parser = data_arguments(doc)
    parser.add_argument("--split", default="validation")
    parser.add_argument("files", type=Path, nargs="+", help=files)
    return parser


def networks(files: Sequence[Path], kind: type[Kind], store: Store) -> dict[str, Kind]:
    """Networks of one kind by file; the program ends at one of another."""
    found: dict[str, Kind] = {}
    for path in files:
        network = load_network(find_weights(str(path), store=store))
        if not isinstance(network, kind):
            sys.exit(f"{path} holds no {kind.__name__}")
        found[str(path)] = network
    return found
