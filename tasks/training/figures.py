"""What recipes count when they are judged."""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Means:
    """Means over samples, each figure over those that it was given for."""

    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, value: Tensor, count: int) -> None:
        """A mean over so many samples."""
        self.sums[name] = self.sums.get(name, 0.0) + float(value) * count
        self.counts[name] = self.counts.get(name, 0) + count

    def found(self) -> dict[str, float]:
        """The means over all."""
        return {name: value / self.counts[name] for name, value in self.sums.items()}


def mean_psnr(made: Tensor, true: Tensor) -> Tensor:
    """Mean over samples (sample, ...) of the peak signal to noise ratio of values 0..1 [dB].

    Equal ones have 100 dB.
    """
    squared = (made.float() - true.float()).square().flatten(1).mean(1)
    return -10 * squared.clamp(min=1e-10).log10().mean()
