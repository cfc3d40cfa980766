"""Numbers that might have been measured."""

from trainer.evaluation.comparison import Classes, Likeness
from trainer.results.motion import MeasuredMotion, Motion
from trainer.results.yardstick import Measured

REAL = Measured(Likeness(2.0, 0.9, 0.91, 1.0, 0.97), Classes(0.008, 0.991, 0.991))
GENERATED = Measured(Likeness(5.0, 0.8, 0.7, 1.1, 0.6), Classes(0.031, 0.985, 0.964))
MOTION = MeasuredMotion(400, Motion(1.23, 0.9, 0.8), Motion(0.021, 1.01, 0.99), (0.9, 0.97))
