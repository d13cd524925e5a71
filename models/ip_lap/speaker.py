"""IP-LAP's two networks made for one person, whose reference images are given once."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from models.ip_lap.landmark_generator import LandmarkGenerator
from models.ip_lap.landmarks import POSE
from models.ip_lap.renderer import Renderer, Seen, masked_with_sketches
from models.tensors import ImageBytes


class Talker(nn.Module):
    """The landmark generator for one person.

    Args:
        generator: With its weights.
        references: Landmarks in 0..1 of their boxes.
    """

    pose: Tensor
    content: Tensor

    def __init__(
        self, generator: LandmarkGenerator, references: Float[Tensor, "reference 2 131"]
    ) -> None:
        super().__init__()
        self.generator = generator
        self.register_buffer("pose", references[..., : len(POSE)].contiguous())
        self.register_buffer("content", references[..., len(POSE) :].contiguous())

    def forward(
        self, mels: Float[Tensor, "clip frame 80 16"], pose: Float[Tensor, "clip frame 2 74"]
    ) -> Float[Tensor, "clip frame 2 57"]:
        """Jaw and lips, in 0..1 of the face crop.

        Args:
            mels: -4..4.
            pose: In 0..1 of the face crop.
        """
        clips, frames = mels.shape[:2]
        references = (each.expand(clips, -1, -1, -1) for each in (self.pose, self.content))
        content: Tensor = self.generator(mels[:, :, None], pose, *references)
        return content.view(clips, frames, *content.shape[1:])


class Portrait(nn.Module):
    """The renderer for one person, whose reference images are encoded once.

    Args:
        renderer: With its weights, in eval mode.
        faces: The reference images, BGR.
        sketches: Of the reference images, 0..1.
    """

    image: Tensor
    fine: Tensor
    coarse: Tensor

    def __init__(
        self,
        renderer: Renderer,
        faces: UInt8[Tensor, "reference height width 3"],
        sketches: Float[Tensor, "reference height width"],
    ) -> None:
        super().__init__()
        self.flow_module = renderer.flow_module
        self.translation = renderer.translation
        with torch.no_grad():
            seen = self.flow_module.see(_network_faces(faces)[None], _three(sketches)[None])
        for name, tensor in seen._asdict().items():
            self.register_buffer(name, tensor)

    def forward(
        self,
        mel: Float[Tensor, "batch 80 16"],
        faces: ImageBytes,
        sketches: Float[Tensor, "batch 5 height width"],
    ) -> ImageBytes:
        """The faces that the middle sketches describe.

        Args:
            mel: Of the middle frame, -4..4.
            faces: BGR; their lower halves are not looked at.
            sketches: 0..1.

        Returns:
            BGR; fractions are cut off, as published.
        """
        seen = Seen(self.image, self.fine, self.coarse)
        drawn = _three(sketches).flatten(1, 2)
        # One by one: a sample holds many references, and comes out the same in any batch.
        aligned = [self.flow_module.align(seen, sample[None]) for sample in drawn]
        fine, coarse, image = (torch.cat(parts) for parts in zip(*aligned, strict=True))
        both = masked_with_sketches(_network_faces(faces), drawn)
        made: Tensor = self.translation(both, image, fine, coarse, mel[:, None])
        levels = (made.float() * 255).clamp(0, 255).to(torch.uint8)
        return levels.permute(0, 2, 3, 1)


def _network_faces(faces: Tensor) -> Tensor:
    """(n, H, W, 3) uint8 → (n, 3, H, W) float32 in 0..1."""
    return faces.permute(0, 3, 1, 2).float() / 255


def _three(sketches: Tensor) -> Tensor:
    """(..., H, W) → (..., 3, H, W)."""
    return sketches.unsqueeze(-3).expand(*sketches.shape[:-2], 3, *sketches.shape[-2:])
