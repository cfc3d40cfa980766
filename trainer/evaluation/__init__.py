"""Measures of a finished generator, with the same measures on real images beside them."""

from trainer.evaluation.config import EvaluationConfig, Sampler, draw_like, draw_samples
from trainer.evaluation.evaluator import Evaluation, Evaluator

__all__ = ["Evaluation", "EvaluationConfig", "Evaluator", "Sampler", "draw_like", "draw_samples"]
