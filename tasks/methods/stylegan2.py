"""What drives the StyleGAN2 talking face: features of faces and of speech, at the output's time."""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.stylegan2_face.driving import HELD_SECONDS, at_moments, smoothed
from models.stylegan2_face.settings import FaceSize
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from tasks.engine.stage import Blocks, Made, Plan, Shard, stage
from tasks.source.landmarks import load_frontal
from tasks.source.pictures import PIXEL_SHARD, marks
from tasks.source.timeline import load_timeline

TICK_SECONDS = 0.04
"""The talking face is trained on 25 frames a second."""


def _features(kind: str, valid: str, doc: str) -> Schema:
    arrays = {
        "lips": ArraySpec(("frame", "lip"), "float32", "", "of the lips", shard=PIXEL_SHARD),
        "rest": ArraySpec(
            ("frame", "number"), "float32", "", "of eyes, contour and pose", shard=PIXEL_SHARD
        ),
        "valid": marks(valid),
    }
    return Schema(kind, arrays, {}, doc)


FACE_FEATURES = _features(
    "face_features", "there is a face", "What is seen of each face; zeros where there is none."
)
DRIVEN = _features(
    "driven",
    "there was a usable face no longer ago than features hold",
    "What is seen of a face at the output's frames; zeros where nothing is known.",
)
SPEECH_LIPS = Schema(
    "speech_lips",
    {"lips": ArraySpec(("frame", "lip"), "float32", "", "of what is heard", shard=PIXEL_SHARD)},
    {},
    "Lips that the speech asks for, one row per output frame.",
)


def size_of(weights: Artifact) -> FaceSize:
    """Layout of a trained talking face."""
    return FaceSize.model_validate(weights.manifest.parameters["trained"])


def _plan_features(weights: Artifact) -> Plan:
    size = size_of(weights)
    return Plan(sizes={"lip": size.features, "number": size.rest_features})


@stage(FACE_FEATURES, version=1, rows="squares", plan=_plan_features, network=True)
def stylegan2_features(squares: Artifact, weights: Artifact, *, shards: Sequence[Shard]) -> Blocks:
    """See what lips and the rest of each face do.

    Args:
        squares: `face_squares` or `still_square`.
        weights: Of the talking face.
    """
    from models.stylegan2_face.speaker import Looker
    from tasks.inference.shared import network_runner

    valid, sizes = squares.read("valid"), _plan_features(weights).sizes

    def blocks() -> Iterator[tuple[NDArray[np.uint8]]]:
        for shard in shards:
            rows = shard.start + np.flatnonzero(valid[shard.start : shard.stop])
            if len(rows):
                yield (squares.read_rows("face", rows),)

    made = network_runner("stylegan2_features", weights, Looker).map(blocks())
    for shard in shards:
        seen = valid[shard.start : shard.stop]
        found = np.zeros((len(seen), sum(sizes.values())), np.float32)
        if seen.any():
            found[seen] = next(made)
        lips, rest = np.split(found, [sizes["lip"]], axis=1)
        yield {"lips": lips, "rest": rest, "valid": seen}


def _plan_speech(weights: Artifact) -> Plan:
    return Plan(sizes={"lip": size_of(weights).features})


@stage(SPEECH_LIPS, version=1, rows="output_frames", plan=_plan_speech, network=True)
def stylegan2_speech(
    cepstra: Artifact,
    output_frames: Artifact,
    *,
    timeline: Artifact,
    weights: Artifact,
    shards: Sequence[Shard],
) -> Blocks:
    """Hear the 0.2 s about each output frame's time; silence beyond the ends of the speech.

    Args:
        cepstra: `mfcc` or `davs_cepstra` of the speech, as the talking face was trained.
        weights: Of the talking face.
    """
    from models.stylegan2_face.speaker import Listener
    from models.stylegan2_face.speech import first_steps, windows
    from tasks.inference.shared import network_runner

    steps = cepstra.read("mfcc")
    first = first_steps(output_frames.read("pts") * float(load_timeline(timeline).time_base))
    heard = ((windows(steps, first[shard.start : shard.stop]),) for shard in shards)
    for lips in network_runner("stylegan2_speech", weights, Listener).map(heard):
        yield {"lips": lips}


@stage(DRIVEN, version=1)
def stylegan2_driven(
    features: Artifact,
    landmarks: Artifact,
    *,
    clock: Artifact,
    timeline: Artifact,
    output_frames: Artifact,
    of: Literal["source", "driver"],
    smooth: float,
) -> Made:
    """Bring what is seen in a video to the output's frames.

    Args:
        features: `face_features` of the video.
        landmarks: Of the video.
        clock: Its timeline.
        timeline: Of the source.
        of: source: the video is the source, and each output frame shows one of its frames; driver:
            its time 0 is that of the output.
        smooth: Standard deviation of the filter over time of all but the lips [ticks].
    """
    clip, usable = load_timeline(clock), load_frontal(landmarks) & features.read("valid")
    wanted = output_frames.read("pts") * float(load_timeline(timeline).time_base)
    if of == "source":
        wanted = clip.seconds[output_frames.read("source_frame")]
    known = {"usable": usable, "scene_start": clip.scene_start}
    rest = smoothed(
        features.read("rest"), clip.seconds, **known, sigma_seconds=smooth * TICK_SECONDS
    )
    both = np.concatenate([features.read("lips"), rest], 1)
    found, valid = at_moments(both, clip.seconds, wanted, **known, still=clip.still)
    lips, rest = np.split(found, [features.sizes["lip"]], axis=1)
    notes = []
    if of == "driver" and not valid.all():
        notes = [
            f"in {np.count_nonzero(~valid)} frames the driver has shown no face for "
            f"{HELD_SECONDS:g} s, or one turned away by more than 45 degrees: they pass through"
        ]
    return Made({"lips": lips, "rest": rest, "valid": valid}, {"notes": notes})
