"""Pairs of speech and expression, for training."""

from collections.abc import Sequence
from functools import cache

from torch import Tensor

from flows.training.job import Job, training_loader, validation_loader
from models.meta_talk.features import TICKS_PER_SECOND
from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from stores.errors import InputError
from tasks.source.face_basis import own_basis_key
from tasks.source.timeline import load_timeline
from tasks.training.held_out import SHARE, held_out_from
from tasks.training.meta_talk_expression import ExpressionSettings
from tasks.training.pairs import PairBlocks, PairWindows, Part, read_pairs, split
from tasks.training.recipe import Data

JUDGED_TICKS = 25
"""Ticks of a sample that is judged."""


def open_pairs(job: Job) -> Data:
    """Loaders of a list of pairs, without those that nothing is learned from.

    Raises:
        InputError: it is no such list, or the pairs do not belong together.
    """
    settings = job.settings
    assert isinstance(settings, ExpressionSettings)
    pairs = read_pairs(job.index, Store(job.store))
    if settings.pairs != "both":
        pairs = [pair for pair in pairs if pair.attributes["labels"] == settings.pairs]
    if not pairs:
        raise InputError(f"{job.index} has no {settings.pairs} pairs; change the setting pairs")
    person = _check(job, pairs, settings)
    parts = split(pairs, settings.held_out)
    window = settings.size.window
    windows = (
        PairWindows(frames=settings.frames, stride=settings.stride, window=window),
        PairWindows(frames=JUDGED_TICKS, stride=JUDGED_TICKS, window=window),
    )
    try:
        blocks = [
            PairBlocks(own, job.store, each) for own, each in zip(parts, windows, strict=True)
        ]
    except ValueError as error:
        raise InputError(f"{job.index}: {error}; train on longer speech") from None

    @cache
    def initial() -> dict[str, Tensor]:
        found = PairBlocks(parts[0], job.store, windows[0]).statistics()
        values = {name: found[name] for name in ("delta_mean", "delta_spread")}
        values["expression.fc.bias"] = found["delta_mean"]
        if settings.size.features != "atnet":
            values |= {f"encoder.{n}": found[n] for n in ("band_mean", "band_spread")}
        return {f"expression/{name}": value for name, value in values.items()}

    told = {
        "index": job.index.name,
        "dataset": "pairs of speech and expression",
        "licence": None,
        "splits": dict(zip(("train", "validation"), map(_counted, parts), strict=True)),
        "person": person,
        "basis": {"name": "own", "key": own_basis_key()},
        "held_out": _held_out(pairs, parts[0]),
        "key": (key := "-".join(block.fingerprint() for block in blocks)),
    }
    return Data(
        training_loader(job, blocks[0]),
        validation_loader(job, blocks[1]),
        told,
        key,
        initial=initial,
    )


def _check(job: Job, pairs: Sequence[Artifact], settings: ExpressionSettings) -> str | None:
    """Whose face all pairs are of; None if any face's.

    Raises:
        InputError: of several persons, of another basis, or with other features.
    """
    persons = {pair.attributes["person"] for pair in pairs} - {None}
    if len(persons) > 1:
        raise InputError(f"{job.index} has pairs of {len(persons)} persons; train one on each")
    if {pair.attributes["basis"] for pair in pairs} != {own_basis_key()}:
        raise InputError(f"{job.index} has pairs of another face basis; make them again with own")
    wanted = settings.size.features
    for pair in pairs:
        kind, key = pair.manifest.inputs["features"]
        given = "atnet"
        if kind != "atnet_features":
            features = Store(pair.store_url).get(kind, key)
            given = features.manifest.parameters["features"]
        if given != wanted:
            raise InputError(f"{job.index} has pairs with features {given}; set size.features so")
    return next(iter(persons), None)


def _held_out(pairs: Sequence[Artifact], training: Sequence[Part]) -> float:
    """Share of the fitted video's time, at its end, whose own speech is not trained on: a fifth,
    or 0 if there is less."""
    for part in training:
        pair = pairs[part.row]
        if pair.attributes["labels"] != "real":
            continue
        clip = load_timeline(Store(pair.store_url).get(*pair.manifest.inputs["timeline"]))
        if (part.stop - 1) / TICKS_PER_SECOND > held_out_from(clip.seconds):
            return 0.0
    return SHARE


def _counted(parts: Sequence[Part]) -> dict[str, float]:
    ticks = sum(part.stop - part.start for part in parts)
    speakers = {part.speaker for part in parts}
    return {"speakers": len(speakers), "parts": len(parts), "seconds": round(ticks / 25, 1)}
