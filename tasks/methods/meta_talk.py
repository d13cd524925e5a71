"""Meta Talk's way from speech to a face: the expression it asks for, and the face drawn with it."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from numpy.typing import NDArray
from torch import Tensor, nn

from models.audiodvp.expression import AudioToExpression
from models.audiodvp.face_model import IMAGE_SIZE, FaceModel
from models.face_basis.own import FACE_HEIGHT
from models.faces.crop.crop import to_crop
from models.faces.crop.masks import lower_face_mask
from models.faces.mesh.indices import MOUTH
from models.faces.occlusion import opacity
from models.faces.settings import BlendSettings
from models.meta_talk.hd_crop import crop_transforms
from models.meta_talk.lower_face import lower_face, paste_mask, window_images, windows
from models.meta_talk.rest import rested, resting
from models.meta_talk.settings import NeuralRendererSize
from models.speech_to_lips.neutral import neutral_mouth
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.artifacts.source import Source
from tasks.engine.device_settings import Precision
from tasks.engine.stage import Blocks, Made, Plan, Shard, stage
from tasks.inference.shared import network_runner
from tasks.methods.meta_talk_faces import basis_of, load_fit
from tasks.result.composite import composed, frames_in_order
from tasks.result.output_frames import scene_starts
from tasks.result.render import RENDER, render_rows
from tasks.source.area import crop_of
from tasks.source.timeline import load_timeline
from tasks.speech.motion import MOTION
from tasks.weights.networks import load_network, network_of

if TYPE_CHECKING:
    from models.meta_talk.expression import SpeechToExpression

Rows = NDArray[np.int64]
Pictures = NDArray[np.uint8]
Paste = Literal["soft", "published"]

FADE_FRAMES = 4
"""Frames over which the own mouth fades in before something hides it."""
HALF_PRECISION_TOLERANCE = 1.5
"""Root mean square difference from float32 that half precision may make [levels]."""
_AT_ONCE = 8
"""Pictures of 256 px that are worked on together; fewer of larger ones."""

META_TALK_EXPRESSION = Schema(
    "meta_talk_expression",
    {
        "delta": ArraySpec(
            ("frame", "coefficient"), "float32", "standard deviations", "wanted expression"
        ),
    },
    {"coefficient": 64},
    "The expression that speech asks for, one row per output frame.",
)


@stage(META_TALK_EXPRESSION, version=1)
def meta_talk_expression(
    features: Artifact,
    sound_levels: Artifact,
    *,
    fit: Artifact,
    timeline: Artifact,
    output_frames: Artifact,
    weights: Artifact,
    smooth: float,
) -> Made:
    """Predict the expression from the new speech, at each output frame's time.

    Args:
        features: `speech_windows` or `atnet_features` of the new speech.
        sound_levels: Of it.
        fit: Of the video, which says how the mouth rests.
        weights: From speech to expression.
        smooth: Standard deviation of the filter over time [ticks]; 0 is none.
    """
    from scipy.ndimage import gaussian_filter1d

    from models.meta_talk.features import TICKS_PER_SECOND

    delta = _predicted(_speech_network(weights), features)
    if smooth:
        delta = gaussian_filter1d(delta, smooth, axis=0, mode="nearest")
    rest = resting(fit.read("delta"), fit.read("valid"))
    delta = rested(delta, _quiet(sound_levels.read("speech"), len(delta)), rest)
    seconds = output_frames.read("pts") * float(load_timeline(timeline).time_base)
    ticks = np.arange(len(delta) + 1)
    ended = np.concatenate([delta, rest[None]])  # after the end of the speech
    at = seconds * TICKS_PER_SECOND
    found = np.stack([np.interp(at, ticks, ended[:, n]) for n in range(ended.shape[1])], 1)
    return Made({"delta": found.astype(np.float32)})


def _speech_network(weights: Artifact) -> "SpeechToExpression":
    """The network with its weights; AudioDVP's as published knows no range of its training."""
    from models.meta_talk.expression import SpeechToExpression
    from models.meta_talk.expression_settings import ExpressionSize

    network: nn.Module = load_network(weights)
    if network_of(weights) == "audiodvp_expression":
        whole = SpeechToExpression(ExpressionSize(features="atnet"))
        assert isinstance(network, AudioToExpression)
        whole.expression = network
        whole.delta_spread.fill_(torch.inf)
        network = whole.eval()
    assert isinstance(network, SpeechToExpression)
    return network


def _predicted(network: "SpeechToExpression", features: Artifact) -> NDArray[np.float32]:
    """Expressions at all ticks (tick, 64), block by block."""
    from models.meta_talk.expression import BLOCK, predict

    half, ticks = network.size.window // 2, features.sizes["tick"]
    found = [np.zeros((0, 64), np.float32)]
    for start in range(0, ticks, BLOCK):
        first, stop = max(start - half, 0), min(start + BLOCK, ticks)
        heard = features.read("feature", first, min(stop + half, ticks))
        found.append(predict(network, heard)[start - first : stop - first])
    return np.concatenate(found)


def _quiet(speech: NDArray[np.bool_], ticks: int) -> NDArray[np.bool_]:
    """Whether a tick's 40 ms are silent (tick,), of whether each 20 ms may be speech."""
    padded = np.zeros(2 * ticks, bool)
    padded[: len(speech)] = speech[: 2 * ticks]
    return np.asarray(~padded.reshape(ticks, 2).any(1))


@stage(META_TALK_EXPRESSION, version=1)
def fitted_expression(fit: Artifact, *, output_frames: Artifact) -> Made:
    """The video's own expressions at the output's frames: what a perfect prediction would be."""
    return Made({"delta": fit.read("delta")[output_frames.read("source_frame")]})


@stage(MOTION, version=1)
def meta_talk_mouth(
    expression: Artifact, *, person: Artifact, fit: Artifact, landmarks: Artifact
) -> Made:
    """The wanted mouth as the exemplar method takes it: canonical, in face heights.

    Expressions are counted from the mouth at rest, which the fit and the landmarks both know.
    """
    basis = basis_of(person)
    offsets = basis.expression.reshape(basis.n_vertices, 3, -1)[list(MOUTH)].numpy()
    apart = expression.read("delta") - resting(fit.read("delta"), fit.read("valid"))
    moved = np.einsum("pck,fk->fpc", offsets, apart) / FACE_HEIGHT
    neutral = neutral_mouth(landmarks.read("mouth")[landmarks.read("valid")])
    mouth = neutral + moved * np.array([1, -1, -1])
    return Made({"mouth": mouth.astype(np.float32), "neutral": neutral}, {"notes": []})


def _plan_render(side: int, paste: Paste) -> Plan:
    told = {"paste": "unmatched"} if paste == "published" else {}
    return Plan(sizes={"y": side, "x": side}, attributes=told)


@stage(RENDER, version=1, rows="output_frames", plan=_plan_render, network=True)
def meta_talk_render(
    video: Source,
    timeline: Artifact,
    *,
    person: Artifact,
    fit: Artifact,
    expression: Artifact,
    landmarks: Artifact,
    visibility: Artifact,
    output_frames: Artifact,
    lent: Artifact | None,
    weights: Artifact,
    side: int,
    opened: float,
    paste: Paste,
    precision: Precision,
    shards: Sequence[Shard],
) -> Blocks:
    """Draw each frame's lower face with the wanted expression, and make a photo of it.

    Args:
        expression: `meta_talk_expression`.
        lent: A `render` of the exemplar method with the same mouths, if the network takes one.
        weights: Of the neural face renderer.
        side: Of the crop [px], as in the network's training.
        opened: First expression coefficient of the widest mouth, likewise.
        paste: soft: jaw and mouth, blended in like every method's; published: the whole mask.
    """
    clip, source = load_timeline(timeline), output_frames.read("source_frame")
    starts = scene_starts(clip.scene_start, source)
    valid = fit.read("valid")[source]
    shown = opacity(
        valid & visibility.read("free")[source], scene_start=starts, fade_frames=FADE_FRAMES
    )
    drawn = _Drawn(person, fit, expression, source, side=side, opened=opened)
    around = windows(valid, starts, _window(weights))
    at_once = max(1, _AT_ONCE * IMAGE_SIZE**2 // side**2)
    transforms = crop_transforms(fit.read("transform"), side)[source]
    transforms[shown == 0] = 0

    def borrowed(shard: Shard) -> Iterator[tuple[int, Pictures]]:
        """Rows of the shard and what is lent to them, as they come."""
        if lent is not None:
            frames = frames_in_order(video, clip, source[shard.start : shard.stop])
            for number, frame in enumerate(composed(frames, lent, shard, BlendSettings())):
                row = shard.start + number
                yield row, crop_of(frame, transforms[row], side)

    def block(rows: Rows, pictures: Iterator[tuple[int, Pictures]]) -> tuple[NDArray[Any], ...]:
        renders, mask = drawn.windows(around.row[rows])
        seen = renders, around.inside[rows], mask
        if lent is None:
            return seen
        wanted = set(rows.tolist())
        found: list[Pictures] = []
        while len(found) < len(rows):
            row, picture = next(pictures)
            if row in wanted:
                found.append(picture)
        own = np.stack(found).transpose(0, 3, 1, 2) * (mask[:, None] > 0)
        return *seen, own

    def blocks(shard: Shard) -> Iterator[tuple[NDArray[Any], ...]]:
        pictures = borrowed(shard)
        for rows in parts(shard):
            yield block(rows, pictures)

    def parts(shard: Shard) -> Iterator[Rows]:
        rows = shard.start + np.flatnonzero(shown[shard.start : shard.stop])
        yield from (rows[first : first + at_once] for first in range(0, len(rows), at_once))

    def apart(rows: Rows) -> list[NDArray[Any]]:
        each = [block(np.array([row]), borrowed(Shard(0, row, row + 1))) for row in rows.tolist()]
        return [np.concatenate(arrays) for arrays in zip(*each, strict=True)]

    runner = network_runner(
        "meta_talk_render",
        weights,
        Photographer,
        precision=precision,
        tolerance=HALF_PRECISION_TOLERANCE,
        usable=shown > 0,
        block=apart,
    )
    made = runner.map(each for shard in shards for each in blocks(shard))
    for shard in shards:
        part = slice(shard.start, shard.stop)
        patch = np.zeros((shard.stop - shard.start, side, side, 3), np.uint8)
        mask = np.zeros((shard.stop - shard.start, side, side), np.uint8)
        points = to_crop(landmarks.read_rows("landmarks", source[part]), transforms[part])
        for rows in parts(shard):
            for row, picture in zip(rows - shard.start, next(made), strict=True):
                patch[row] = picture[:3].transpose(1, 2, 0)
                whole = paste_mask(picture[3])
                if paste == "soft":
                    whole = np.minimum(whole, lower_face_mask(points[row], side))
                mask[row] = np.rint(whole * shown[part][row]).astype(np.uint8)
        yield render_rows(patch=patch, mask=mask, transform=transforms[part], valid=shown[part] > 0)


class _Drawn:
    """Lower faces of output frames, drawn as they are asked for, in ascending order.

    Args:
        source: (frame,) source frames that are shown.
        side: Of the pictures [px].
        opened: First expression coefficient of a mouth wide open.
    """

    def __init__(
        self,
        person: Artifact,
        fit: Artifact,
        expression: Artifact,
        source: Rows,
        *,
        side: int,
        opened: float,
    ) -> None:
        self._model = FaceModel(basis_of(person))
        self._person, self._fit, self._expression = person, fit, expression
        self._source, self._side, self._opened = source, side, opened
        self._kept: dict[int, tuple[Pictures, Pictures]] = {}

    def windows(self, rows: Rows) -> tuple[Pictures, Pictures]:
        """Renders (frame, window, 3, side, side) RGB, and masks (frame, side, side), 0 or 255.

        Args:
            rows: (frame, window) output frames, the frame itself in the middle.
        """
        wanted = np.unique(rows)
        self._kept = {row: self._kept[row] for row in wanted.tolist() if row in self._kept}
        missing = np.array([row for row in wanted.tolist() if row not in self._kept], np.int64)
        for first in range(0, len(missing), _AT_ONCE):
            self._draw(missing[first : first + _AT_ONCE])
        renders = np.stack(
            [np.stack([self._kept[row][0] for row in each]) for each in rows.tolist()]
        )
        middle = rows[:, rows.shape[1] // 2].tolist()
        return renders, np.stack([self._kept[row][1] for row in middle])

    def _draw(self, rows: Rows) -> None:
        delta = torch.from_numpy(self._expression.read_rows("delta", rows))
        fit = load_fit(self._person, self._fit, rows=self._source[rows])
        faces = lower_face(self._model, fit, opened=self._opened, side=self._side, delta=delta)
        render = (faces.render * 255).round().byte().numpy()
        mask = faces.mask[:, 0].byte().numpy() * 255
        self._kept |= dict(zip(rows.tolist(), zip(render, mask, strict=True), strict=True))


class Photographer(nn.Module):
    """The neural face renderer as it is run: bytes in, bytes out, the mask beside the photo.

    Args:
        network: Of `models.meta_talk.renderer`.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        renders: UInt8[Tensor, "batch window 3 side side"],
        inside: Bool[Tensor, "batch window"],
        mask: UInt8[Tensor, "batch side side"],
        lent: UInt8[Tensor, "batch 3 side side"] | None = None,
    ) -> UInt8[Tensor, "batch 4 side side"]:
        """Photos, RGB, and their masks."""
        made = self.network(window_images(renders, inside, lent)).float().clamp(-1, 1)
        photo = ((made + 1) * 127.5).round().to(torch.uint8)
        return torch.cat([photo, mask[:, None]], 1)


def _window(weights: Artifact) -> int:
    """Renders that a network sees."""
    size = weights.manifest.parameters.get("trained", {})
    return NeuralRendererSize.model_validate(size).window
