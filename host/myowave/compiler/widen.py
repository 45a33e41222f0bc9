"""Make a window model give many outputs a call, for a fast oracle.

Every operator the compiler accepts is a function of time-shifted inputs, so the same graph with a
longer time axis gives one output for each window in it. Quantization, weights and operators stay;
only shapes and the constants that spell shapes out change.
"""

from dataclasses import replace

import numpy as np

from myowave.compiler.derive import Derivation, Sequence
from myowave.compiler.graph import Graph, Operator, Tensor


def widened(derivation: Derivation, extra: int) -> Graph:
    """Return the graph for a window longer by `extra` samples.

    Each output tensor gets `extra` more samples on its time axis, older ones first.
    """
    return _Widener(derivation, extra).run()


class _Widener:
    def __init__(self, derivation: Derivation, extra: int) -> None:
        self.graph = derivation.graph
        self.sequences = derivation.sequences
        self.extra = extra
        self.tensors = [
            replace(tensor, shape=self.shape(index))
            for index, tensor in enumerate(self.graph.tensors)
        ]
        self.operators: list[Operator] = []

    def shape(self, index: int) -> tuple[int, ...]:
        """Return the shape of a tensor in the widened graph."""
        shape = list(self.graph.tensors[index].shape)
        if index in self.sequences:
            shape[self.sequences[index].time_axis] += self.extra
        return tuple(shape)

    def constant(self, values: list[int]) -> int:
        """Add an INT32 vector and return its index."""
        data = np.array(values, np.int32)
        name = f"widened_{len(self.tensors)}"
        self.tensors.append(Tensor(name, data.shape, "INT32", None, data.tobytes()))
        return len(self.tensors) - 1

    def run(self) -> Graph:
        for operator in self.graph.operators:
            if operator.kind in ("RESHAPE", "EXPAND_DIMS", "SQUEEZE"):
                self.rename(operator.inputs[0], operator.outputs[0])
            elif operator.kind in ("STRIDED_SLICE", "SLICE"):
                self.cut(operator)
            else:
                self.operators.append(operator)
        return replace(self.graph, tensors=tuple(self.tensors), operators=tuple(self.operators))

    def rename(self, source: int, target: int) -> None:
        """Add a RESHAPE to the widened shape of `target`."""
        shape = self.constant(list(self.tensors[target].shape))
        self.operators.append(Operator("RESHAPE", (source, shape), (target,), {}, 1))

    def cut(self, operator: Operator) -> None:
        """Add the same crop from the old end, written out without masks."""
        source, target = operator.inputs[0], operator.outputs[0]
        before, after = self.sequences[source], self.sequences[target]
        begin, end = self.ranges(before, after, len(self.tensors[source].shape))
        result = target
        kept = tuple(stop - start for start, stop in zip(begin, end, strict=True))
        if kept != self.tensors[target].shape:
            # The original also dropped an axis.
            self.tensors.append(
                replace(self.tensors[target], name=f"cut_{len(self.tensors)}", shape=kept)
            )
            result = len(self.tensors) - 1
        inputs = (
            source,
            self.constant(begin),
            self.constant(end),
            self.constant([1] * len(begin)),
        )
        self.operators.append(Operator("STRIDED_SLICE", inputs, (result,), {}, 1))
        if result != target:
            self.rename(result, target)

    def ranges(self, before: Sequence, after: Sequence, axes: int) -> tuple[list[int], list[int]]:
        """Return begin and end of every axis of a crop in the widened graph."""
        begin, end = [0] * axes, [1] * axes
        begin[before.time_axis] = before.length - after.length
        end[before.time_axis] = before.length + self.extra
        begin[-1] = after.view.offset - before.view.offset
        end[-1] = begin[-1] + after.channels
        return begin, end
