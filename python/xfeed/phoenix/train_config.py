"""Every choice of training."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from xfeed.errors import ConfigError
from xfeed.phoenix.config_json import at_least, config_from_json


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """How the models are trained.

    Attributes:
        seed: seed of every random choice.
        ranker_epochs: passes over the training impressions.
        retrieval_epochs: passes over the positive impressions.
        batch_size: samples of a ranker step.
        retrieval_batch_size: positives of a retrieval step.
        candidates_per_sample: impressions that share one history while training (C).
        optimizer: what moves the dense parameters: AdamW, or Muon for the matrices and AdamW for
            the rest.
        dense_lr: step size of the dense parameters; Muon's updates are about a fifth of AdamW's, so
            it wants three to ten times as much.
        table_lr: row-wise AdaGrad step size.
        weight_decay: decay of matrices.
        table_half_life_steps: steps after which the gradients that a table row has seen count
            half; None for never.
        table_lazy_decay: whether forgetting counts the steps since a row was last touched.
        table_weight_decay: decay of touched table rows per step.
        warmup_fraction: share of the steps over which the step sizes rise.
        table_init_std: spread of fresh embedding rows; small, so that an unknown id says little.
        gradient_clip: bound of the global gradient norm of the dense parameters.
        id_dropout: share of viewers and posts whose id rows are blanked in a ranker step, which
            keeps the model useful for ids it has never met.
        dwell_weight: weight of the dwell-seconds loss.
        activation_weight: weight of the mean square of the ranker's last layer.
        sampled_negatives: gives each viewer the candidates of another one as candidates that were
            passed by; teaches the ranker what retrieval would never offer, at twice the cost.
        held_out_fraction: share of the newest impressions kept for evaluation.
        max_evaluation_impressions: evaluates on at most so many of them, evenly spaced.
        retrieval_id_dropout: share of posts whose id rows are blanked in a retrieval step.
        retrieval_temperature: divisor of cosine scores in the retrieval loss.
        retrieval_negatives: posts drawn evenly as extra negatives of a retrieval step.
        log_q_scale: how much a frequent draw is corrected for in the retrieval loss.
        cold_start_dropout: share of viewers whose row and history are blanked in a retrieval
            step, so that a viewer without any gets something sensible.
    """

    seed: int = 0
    ranker_epochs: int = 2
    retrieval_epochs: int = 1
    batch_size: int = 128
    retrieval_batch_size: int = 128
    candidates_per_sample: int = 6
    optimizer: Literal["adamw", "muon"] = "adamw"
    dense_lr: float = 4e-3
    table_lr: float = 0.05
    weight_decay: float = 1e-3
    table_half_life_steps: float | None = None
    table_lazy_decay: bool = False
    table_weight_decay: float = 0.0
    warmup_fraction: float = 0.05
    table_init_std: float = 0.18
    gradient_clip: float = 1.0
    id_dropout: float = 0.5
    dwell_weight: float = 0.1
    activation_weight: float = 0.0
    sampled_negatives: bool = False
    held_out_fraction: float = 0.1
    max_evaluation_impressions: int = 50_000
    retrieval_id_dropout: float = 0.8
    retrieval_temperature: float = 0.2
    retrieval_negatives: int = 256
    log_q_scale: float = 1.0
    cold_start_dropout: float = 0.0

    def __post_init__(self) -> None:
        at_least(
            self,
            1,
            "batch_size retrieval_batch_size candidates_per_sample max_evaluation_impressions",
        )
        at_least(
            self,
            0,
            "seed ranker_epochs retrieval_epochs retrieval_negatives dense_lr table_lr "
            "weight_decay table_weight_decay dwell_weight activation_weight log_q_scale",
        )
        shares = (
            "held_out_fraction id_dropout retrieval_id_dropout warmup_fraction cold_start_dropout"
        )
        for name in shares.split():
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise ConfigError(
                    f"`{name}` must lie in [0, 1), got `{value}`", code="out_of_bounds"
                )

    def to_json(self) -> dict[str, Any]:
        """Plain values that `from_json` reads back."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Reads `to_json` back.

        Raises:
            ConfigError: a key is unknown or missing, or a value is of the wrong kind.
        """
        return config_from_json(cls, values)
