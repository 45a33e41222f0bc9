"""Rewritings of a plan that make it faster and change no integer.

`load_plan(..., optimize=False)` leaves them out, except for steps no output needs.
"""

from dataclasses import replace

from myowave.compiler import arithmetic
from myowave.compiler.plan import Add, Conv, Lookup, Mul, Plan, Step


def optimized(plan: Plan) -> Plan:
    """Apply every rewriting."""
    return linear_sums(fold_requantization(fuse_tables(plan)))


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
    """Apply a table inside the convolution that alone feeds it.

    Exact: the same two functions of the same accumulator in the same order; it saves a pass over
    the vector and the vector itself.
    """
    readers: dict[int, int] = {plan.output.vector: 1}
    for step in plan.steps:
        for view in step.sources:
            readers[view.vector] = readers.get(view.vector, 0) + 1
    steps: list[Step] = []
    writer: dict[int, int] = {}
    for step in plan.steps:
        if isinstance(step, Lookup):
            at = writer.get(step.src.vector)
            conv = steps[at] if at is not None else None
            if (
                at is not None
                and isinstance(conv, Conv)
                and readers[step.src.vector] == 1
                and conv.dst == step.src
            ):
                table = step.table
                if conv.table is not None:
                    table = tuple(table[q - arithmetic.INT8_MIN] for q in conv.table)
                steps[at] = replace(conv, dst=step.dst, table=table)
                writer[step.dst.vector] = at
                continue
        writer[step.dst.vector] = len(steps)
        steps.append(step)
    return replace(plan, steps=tuple(steps))


def fold_requantization(plan: Plan) -> Plan:
    """Choose the short requantization for convolutions and products where it is exact.

    Exact: `arithmetic.folded` proves it from the bounds of each row's sum.
    """
    steps: list[Step] = []
    for step in plan.steps:
        if isinstance(step, Conv):
            exact = all(
                arithmetic.folded(multiplier, step.zero_point, *step.sum_range(row)) is not None
                for row, multiplier in enumerate(step.multipliers)
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
