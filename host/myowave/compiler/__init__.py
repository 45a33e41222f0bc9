"""The compiler: an int8 `.tflite` window model to the streaming engine's plan and C tables."""

from myowave.compiler.derive import load_plan
from myowave.compiler.emit import compile_model, compile_tflite
from myowave.compiler.plan import Plan

__all__ = ["Plan", "compile_model", "compile_tflite", "load_plan"]
