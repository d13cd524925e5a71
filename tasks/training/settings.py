"""What can be set of a training, whatever is trained. Imports nothing heavy."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tasks.engine.device_settings import Precision


class TrainerSettings(BaseModel):
    """How a recipe is trained; what is trained, and on which loss, is the recipe's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(100_000, ge=1, description="optimizer steps; a finished run can be extended")
    batch_size: int = Field(
        128, ge=1, description="samples of a step, over all processes and accumulated parts"
    )
    accumulate: int = Field(
        1, ge=1, description="parts of a batch, one after the other: less memory, same gradient"
    )
    precision: Precision = Field(
        "float32",
        description="of the networks' arithmetic; weights are float32; float16 needs CUDA",
    )
    ema_decay: float | None = Field(
        0.999,
        gt=0,
        lt=1,
        description="moving average of the weights, which is judged and written; none: the weights",
    )
    max_gradient: float | None = Field(
        None, gt=0, description="longest gradient of a network; longer ones are shortened"
    )
    seed: int = Field(0, ge=0, description="decides everything left to chance")
    validate_every: int = Field(1000, ge=1, description="steps between validations")
    validation_batches: int | None = Field(
        None, ge=1, description="batches of a validation; none: all of the validation split"
    )
    patience: int | None = Field(
        None, ge=1, description="stop after so many validations without improvement; none: never"
    )
    checkpoint_every: int = Field(1000, ge=1, description="steps between checkpoints")
    keep: int = Field(2, ge=1, description="checkpoints that stay beside the best one")
    weights: Literal["float32", "float16"] = Field(
        "float16", description="numbers in the weights file; norms' statistics stay float32"
    )
    log_every: int = Field(20, ge=1, description="steps between two points on TensorBoard")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto",
        description="where networks run; auto: a CUDA GPU if there is one, else Apple's, else the "
        "CPU",
    )
    processes: int = Field(
        1, ge=1, description="processes that train together, one per GPU (under torchrun: its own)"
    )
    workers: int = Field(2, ge=0, description="processes that read data, per training process")
    mixed_blocks: int = Field(
        16, ge=1, description="parts of clips whose windows are mixed; they lie in memory"
    )
    deterministic: bool = Field(
        False, description="the same bits on every run on such a machine; slower on a GPU"
    )

    @model_validator(mode="after")
    def _parts_are_whole(self) -> Self:
        parts = self.accumulate * self.processes
        if self.batch_size % parts:
            raise ValueError(
                f"batch_size {self.batch_size} can't be shared among {self.processes} processes "
                f"with {self.accumulate} parts each; take a multiple of {parts}"
            )
        return self

    @property
    def part_size(self) -> int:
        """Samples that a process takes at once."""
        return self.batch_size // (self.accumulate * self.processes)


FREE_TO_CHANGE = frozenset(
    {"steps", "checkpoint_every", "keep", "log_every", "device", "workers", "patience", "weights"}
)
"""Settings that a run can be taken up with: what was computed before would have been the same."""
