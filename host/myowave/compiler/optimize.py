"""Rewritings of a plan that make it faster or smaller and change no integer.

Each has a name in `REWRITINGS`, by which `load_plan(..., optimize=["tables", ...])` takes it alone.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

import numpy as np

from myowave.compiler import arithmetic
from myowave.compiler.plan import BLOCK, Add, Conv, Lookup, Mul, Plan, Step, View, placed

AnyStep = TypeVar("AnyStep", bound=Step)


def without_dead_steps(plan: Plan) -> Plan:
    """Drop the steps no output depends on."""
    needed = {plan.output.vector}
    kept: list[Step] = []
    for step in reversed(plan.steps):
        if step.dst.vector in needed:
            needed.update(view.vector for view in step.sources)
            kept.append(step)
    return replace(plan, steps=tuple(reversed(kept)))


def fuse_tables(plan: Plan) -> Plan:
    """Apply a table inside the convolution that feeds it, where nothing else reads those rows.

    Exact: the same two functions of the same sum in the same order; it saves a pass over the vector
    and the vector itself. A table may belong to a part of the rows, such as one half of a gate, if
    the part is whole blocks: tables go by blocks.
    """
    read = [plan.output, *(view for step in plan.steps for view in step.sources)]
    steps: list[Step] = []
    writer: dict[int, int] = {}
    moved: dict[int, View] = {}
    for original in plan.steps:
        step = _moved(original, moved)
        if isinstance(step, Lookup):
            at = writer.get(step.src.vector)
            conv = steps[at] if at is not None else None
            # What was fused before reads and writes under the convolution's name: look at the old.
            old = original.sources[0]
            alone = sum(_overlap(view, old) for view in read) == 1
            if (
                at is not None
                and isinstance(conv, Conv)
                and alone
                and _whole_blocks(step.src, conv)
            ):
                rows = range(step.src.offset, step.src.offset + step.src.width)
                tables = list(conv.tables)
                for row in rows:
                    tables[row] = _composed(step.table, tables[row])
                steps[at] = replace(conv, tables=tuple(tables))
                moved[step.dst.vector] = step.src
                continue
        writer[step.dst.vector] = len(steps)
        steps.append(step)
    return replace(plan, steps=tuple(steps), output=_moved_view(plan.output, moved))


def _overlap(a: View, b: View) -> bool:
    return a.vector == b.vector and a.offset < b.offset + b.width and b.offset < a.offset + a.width


def _whole_blocks(view: View, conv: Conv) -> bool:
    end = view.offset + view.width
    return view.offset % BLOCK == 0 and (end % BLOCK == 0 or end == conv.dst.width)


def _composed(second: arithmetic.Table, first: arithmetic.Table | None) -> arithmetic.Table:
    if first is None:
        return second
    return tuple(second[q - arithmetic.INT8_MIN] for q in first)


def _moved_view(view: View, moved: Mapping[int, View]) -> View:
    """Return where `view` is after the vectors in `moved` became parts of others."""
    if view.vector not in moved:
        return view
    return moved[view.vector].part(view.offset, view.width)


def _moved(step: AnyStep, moved: Mapping[int, View]) -> AnyStep:
    values = {f.name: getattr(step, f.name) for f in fields(step)}
    changes: dict[str, Any] = {
        name: _moved_view(value, moved) for name, value in values.items() if isinstance(value, View)
    }
    return replace(step, **changes)


def merge_convs(plan: Plan) -> Plan:
    """Make one convolution of those that read the same vector: two gates, residual and skip.

    Exact: rows do not know of one another. It saves a step's fixed work, about 45 instructions.
    All but the last must be whole blocks, so that each row keeps its place in a block.
    """
    groups: dict[tuple[View, bool], list[Conv]] = {}
    for step in plan.steps:
        if isinstance(step, Conv):
            groups.setdefault((step.src, step.folded), []).append(step)
    moved: dict[int, View] = {}
    merged: dict[int, Conv] = {}
    vectors = list(plan.vectors)
    for group in groups.values():
        # A vector that is no multiple of a block can only come last.
        group.sort(key=lambda conv: conv.dst.width % BLOCK != 0)
        while len(group) > 1 and group[-2].dst.width % BLOCK != 0:
            group.pop()
        if len(group) < 2:
            continue
        whole = View(len(vectors), 0, sum(conv.dst.width for conv in group))
        vectors.append(whole.width)
        offset = 0
        for conv in group:
            moved[conv.dst.vector] = whole.part(offset, conv.dst.width)
            offset += conv.dst.width
        one = replace(
            group[0],
            dst=whole,
            weights=np.concatenate([conv.weights for conv in group]),
            bias=np.concatenate([conv.bias for conv in group]),
            multipliers=sum((conv.multipliers for conv in group), ()),
            zero_points=sum((conv.zero_points for conv in group), ()),
            tables=sum((conv.tables for conv in group), ()),
        )
        merged |= {conv.dst.vector: one for conv in group}
    steps: list[Step] = []
    done: set[int] = set()
    for step in plan.steps:
        together = merged.get(step.dst.vector)
        if together is None:
            steps.append(_moved(step, moved))
        elif together.dst.vector not in done:
            # In the first one's place: there the source is ready and no result is needed yet.
            done.add(together.dst.vector)
            steps.append(_moved(together, moved))
    return replace(
        plan,
        steps=tuple(steps),
        vectors=tuple(vectors),
        output=_moved_view(plan.output, moved),
    )


def fold_requantization(plan: Plan) -> Plan:
    """Choose the short requantization for convolutions and products where it is exact.

    Exact: `arithmetic.folded` proves it from the bounds of each row's sum.
    """
    steps: list[Step] = []
    for step in plan.steps:
        if isinstance(step, Conv):
            exact = all(
                arithmetic.folded(multiplier, zero_point, *step.sum_range(row)) is not None
                for row, (multiplier, zero_point) in enumerate(
                    zip(step.multipliers, step.zero_points, strict=True)
                )
            )
            steps.append(replace(step, folded=exact))
        elif isinstance(step, Mul):
            exact = (
                arithmetic.folded(step.multiplier, step.zero_point, *step.product_range) is not None
            )
            steps.append(replace(step, folded=exact))
        else:
            steps.append(step)
    return replace(plan, steps=tuple(steps))


def linear_sums(plan: Plan) -> Plan:
    """Choose the short form of ADD where one is exact.

    Exact: `arithmetic.linear_sum` compares it with the reference for all 65,536 pairs of operands.
    """
    steps = [
        replace(
            step,
            linear=arithmetic.linear_sum(
                step.parameters, step.a_offset, step.b_offset, step.zero_point
            ),
        )
        if isinstance(step, Add)
        else step
        for step in plan.steps
    ]
    return replace(plan, steps=tuple(steps))


# In the order they are applied.
REWRITINGS: dict[str, Callable[[Plan], Plan]] = {
    "tables": fuse_tables,
    "fold": fold_requantization,
    "merge": merge_convs,
    "sums": linear_sums,
    "reuse": placed,
}
Optimize = bool | Collection[str]
"""All rewritings, none, or those named."""


def optimized(plan: Plan, which: Optimize = True) -> Plan:
    """Apply the rewritings asked for; the plan is placed in the end."""
    names = (REWRITINGS if which else ()) if isinstance(which, bool) else which
    for name, rewrite in REWRITINGS.items():
        if name in names:
            plan = rewrite(plan)
    return plan if plan.offsets else placed(plan, reuse=False)
