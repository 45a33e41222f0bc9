"""A `.tflite` file as plain values: read it, check its structure, write it back.

Only what the streaming compiler needs is kept: tensors with their quantization, constants, and
operators with their options. Every index is checked here once, so that later stages may follow
references without looking.
"""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

import flatbuffers
import numpy as np
import tflite
from numpy.typing import NDArray

from myowave.errors import ModelError, UnsupportedModelError

FILE_IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3
BUILTIN_CODE_SLOT = 10  # of OperatorCode's vtable
# Limits that no network for a microcontroller comes near. They bound the time and memory that a
# file, however corrupt or malicious, can cost.
FILE_BYTES_MAX = 16 << 20
ENTRIES_MAX = 10_000  # tensors, operators, buffers: such a network has some hundred of each
AXES_MAX = 8
VALUES_MAX = 1 << 26  # of one tensor
NAME_MAX = 100
# Vectors of a file may point to the same bytes, so small files can claim to be huge. A converter
# stores every vector once: what is read adds up to less than the file.
OVERLAP_MAX = 2
_AGAIN = "copy the file again, or export it again"

Option = int | tuple[int, ...]

# Operator -> (options table, scalar fields with TFLite's default, vector fields). An operator that
# is absent here is kept by name and has no readable options.
_OPTIONS: dict[str, tuple[str, dict[str, int], tuple[str, ...]]] = {
    "ADD": ("AddOptions", {"FusedActivationFunction": 0}, ()),
    "CONCATENATION": ("ConcatenationOptions", {"Axis": 0, "FusedActivationFunction": 0}, ()),
    "CONV_2D": (
        "Conv2DOptions",
        {
            "Padding": 0,
            "StrideW": 1,
            "StrideH": 1,
            "FusedActivationFunction": 0,
            "DilationWFactor": 1,
            "DilationHFactor": 1,
        },
        (),
    ),
    "EXPAND_DIMS": ("ExpandDimsOptions", {}, ()),
    "FULLY_CONNECTED": (
        "FullyConnectedOptions",
        {"FusedActivationFunction": 0, "WeightsFormat": 0, "KeepNumDims": 0},
        (),
    ),
    "MUL": ("MulOptions", {"FusedActivationFunction": 0}, ()),
    "QUANTIZE": ("QuantizeOptions", {}, ()),
    "RESHAPE": ("ReshapeOptions", {}, ("NewShape",)),
    "SLICE": ("SliceOptions", {}, ()),
    "SPLIT": ("SplitOptions", {"NumSplits": 0}, ()),
    "SPLIT_V": ("SplitVOptions", {"NumSplits": 0}, ()),
    "SQUEEZE": ("SqueezeOptions", {}, ("SqueezeDims",)),
    "STRIDED_SLICE": (
        "StridedSliceOptions",
        {
            "BeginMask": 0,
            "EndMask": 0,
            "EllipsisMask": 0,
            "NewAxisMask": 0,
            "ShrinkAxisMask": 0,
            "Offset": 0,
        },
        (),
    ),
}


def _enum_names(enum: type) -> dict[int, str]:
    return {value: name for name, value in vars(enum).items() if isinstance(value, int)}


_OPERATOR_NAMES = _enum_names(tflite.BuiltinOperator)
_OPERATOR_CODES = {name: code for code, name in _OPERATOR_NAMES.items()}
_TYPE_NAMES = _enum_names(tflite.TensorType)
_TYPE_CODES = {name: code for code, name in _TYPE_NAMES.items()}
_OPTIONS_CODES = {name: code for code, name in _enum_names(tflite.BuiltinOptions).items()}

DTYPES: dict[str, type[np.generic]] = {
    "INT8": np.int8,
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT8": np.uint8,
    "INT16": np.int16,
    "FLOAT32": np.float32,
}


@dataclass(frozen=True)
class Quantization:
    """Affine quantization, real = scale * (q - zero_point).

    Attributes
    ----------
    scales : (1,) or (k,) tuple of float
        float32 values; one for the tensor, or one for each slice along `axis`.
    zero_points : tuple of int
        As many as scales, or one for all. None at all means to tflite-micro that the tensor is not
        quantized, whatever its scales.
    axis : int
        Axis the scales belong to, when there are several.
    """

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int = 0


@dataclass(frozen=True)
class Tensor:
    """One tensor: `data` is None for a value computed at run time."""

    name: str
    shape: tuple[int, ...]
    type: str = "INT8"
    quantization: Quantization | None = None
    data: bytes | None = None

    @property
    def constant(self) -> bool:
        """Whether the file holds the tensor's value."""
        return self.data is not None

    def array(self) -> NDArray[np.generic]:
        """Return the constant's value with its shape; only for tensors whose `data` is not None."""
        assert self.data is not None
        return np.frombuffer(self.data, dtype=DTYPES[self.type]).reshape(self.shape)


@dataclass(frozen=True)
class Operator:
    """One operator by its TFLite name; an absent optional input is index -1."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Option] = field(default_factory=dict)
    version: int = 1

    def option(self, name: str) -> int:
        """Return the scalar option `name` (TFLite's default where the file does not set it)."""
        default = _OPTIONS[self.kind][1][name]
        value = self.options.get(name, default)
        assert isinstance(value, int)
        return value


@dataclass(frozen=True)
class Graph:
    """One subgraph: operators are in execution order."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    description: str = ""


def read_graph(content: bytes) -> Graph:
    """Read a `.tflite` file.

    Parameters
    ----------
    content : bytes
        The whole file.

    Raises
    ------
    ModelError
        If the bytes are not a well-formed TFLite flatbuffer.
    UnsupportedModelError
        If it is one, but of a form no streaming network has (several subgraphs, external data).
    """
    if len(content) > FILE_BYTES_MAX:
        raise UnsupportedModelError(
            f"the file holds more than {FILE_BYTES_MAX >> 20} MiB, more than any network for a "
            "microcontroller: expected the int8 .tflite of a small model"
        )
    if len(content) < 8 or content[4:8] != FILE_IDENTIFIER:
        raise ModelError(
            f"not a .tflite file: expected the identifier {FILE_IDENTIFIER!r} at byte 4, found "
            f"{content[4:8]!r} ({len(content)} bytes); give the file that TFLite's converter wrote"
        )
    reader = _Reader(content)
    try:
        graph = reader.read()
    except (
        struct.error,
        IndexError,
        TypeError,
        ValueError,
        OverflowError,
        AttributeError,
    ) as error:
        # The generated readers index the buffer as they go: an offset outside raises one of these.
        raise ModelError(
            f"the .tflite file is truncated or corrupt: {reader.where} leads outside its "
            f"{len(content)} bytes; {_AGAIN}"
        ) from error
    _check_structure(graph)
    return graph


class _Reader:
    """Reads one file; `where` says what it is at, for the message about an offset that is wrong."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.where = "the root table"
        self.unread = OVERLAP_MAX * len(content)

    def count(self, length: int, what: str) -> range:
        """Return the indices of `length` tables, if that many can be meant."""
        if not 0 <= length <= ENTRIES_MAX:
            raise ModelError(
                f"the .tflite file is corrupt: it claims {length} {what}, of which a network for a "
                f"microcontroller has at most {ENTRIES_MAX}; {_AGAIN}"
            )
        self.where = f"the list of {what}"
        return range(length)

    def take(self, size: int) -> None:
        """Note that `size` bytes were read."""
        self.unread -= size
        if self.unread < 0:
            raise ModelError(
                f"the .tflite file is corrupt: {self.where} shares its bytes with others, which "
                f"add up to more than the file; {_AGAIN}"
            )

    def numbers(self, vector: NDArray[np.generic] | int) -> list[int]:
        """Return what a generated `...AsNumpy` gives for a vector of integers: 0 if absent."""
        if isinstance(vector, int):
            return []
        self.take(vector.nbytes)
        return [int(value) for value in vector.tolist()]

    def text(self, raw: bytes | None, otherwise: str) -> str:
        """Return a string that fits a one-line message and a table's cell."""
        self.take(len(raw or b""))
        # A character takes up to 4 bytes.
        decoded = (raw or b"")[: 4 * NAME_MAX + 4].decode(errors="replace") or otherwise
        printable = "".join(c if c.isprintable() else "?" for c in decoded)
        return printable if len(printable) <= NAME_MAX else printable[: NAME_MAX - 1] + "…"

    def read(self) -> Graph:
        model = tflite.Model.GetRootAs(self.content, 0)
        if model.Version() != SCHEMA_VERSION:
            raise UnsupportedModelError(
                f"TFLite schema version {model.Version()}, expected {SCHEMA_VERSION}: export the "
                "model again with a current converter"
            )
        if model.SubgraphsLength() != 1:
            raise UnsupportedModelError(
                f"{model.SubgraphsLength()} subgraphs, expected 1: export a plain network without "
                "control flow or variables"
            )
        codes = [
            self.read_code(model.OperatorCodes(i), i)
            for i in self.count(model.OperatorCodesLength(), "operator codes")
        ]
        buffers = [
            self.read_buffer(model.Buffers(i), i)
            for i in self.count(model.BuffersLength(), "buffers")
        ]
        self.where = "the subgraph"
        subgraph = model.Subgraphs(0)
        tensors = tuple(
            self.read_tensor(subgraph.Tensors(i), i, buffers)
            for i in self.count(subgraph.TensorsLength(), "tensors")
        )
        operators = tuple(
            self.read_operator(subgraph.Operators(i), i, codes)
            for i in self.count(subgraph.OperatorsLength(), "operators")
        )
        self.where = "the list of inputs and outputs"
        return Graph(
            tensors,
            operators,
            tuple(self.numbers(subgraph.InputsAsNumpy())),
            tuple(self.numbers(subgraph.OutputsAsNumpy())),
            self.text(model.Description(), ""),
        )

    def read_code(self, code: tflite.OperatorCode, index: int) -> tuple[str, int]:
        """Return an operator's name and version."""
        self.where = f"operator code {index}"
        # Old files hold the operator in the deprecated 8-bit field only; TFLite takes the larger of
        # the two. BuiltinCode() gives the deprecated one instead of any number below 127.
        field = code._tab.GetSlot(BUILTIN_CODE_SLOT, 0, flatbuffers.number_types.Int32Flags)
        number = max(field, code.DeprecatedBuiltinCode())
        name = _OPERATOR_NAMES.get(number, f"operator number {number}")
        if name == "CUSTOM":
            name = f"CUSTOM {self.text(code.CustomCode(), 'without a name')}"
        return name, code.Version()

    def read_buffer(self, buffer: tflite.Buffer, index: int) -> bytes | None:
        """Return a constant's bytes."""
        self.where = f"buffer {index}"
        if buffer.Offset() > 1:
            raise UnsupportedModelError(
                f"buffer {index} lies outside the flatbuffer, as in files of more than 2 GB: "
                "export a small model"
            )
        if not buffer.DataLength():
            return None
        data = buffer.DataAsNumpy()
        self.take(data.nbytes)
        return bytes(data.tobytes())

    def read_tensor(self, tensor: tflite.Tensor, index: int, buffers: list[bytes | None]) -> Tensor:
        """Return a tensor with its constant value, if it has one."""
        self.where = f"tensor {index}"
        name = self.text(tensor.Name(), f"tensor {index}")
        self.where = f"tensor '{name}'"
        parameters = tensor.Quantization()
        quantization = None
        if parameters is not None and parameters.ScaleLength():
            stored = parameters.ScaleAsNumpy()
            self.take(stored.nbytes)
            scales = tuple(float(scale) for scale in stored.tolist())
            zeros = tuple(self.numbers(parameters.ZeroPointAsNumpy()))
            quantization = Quantization(scales, zeros, parameters.QuantizedDimension())
        shape = tuple(self.numbers(tensor.ShapeAsNumpy()))
        signature = self.numbers(tensor.ShapeSignatureAsNumpy())
        if len(shape) > AXES_MAX:
            raise UnsupportedModelError(
                f"tensor '{name}' has {len(shape)} axes: expected (1, time, 1, channels)"
            )
        if min((*shape, *signature), default=0) < 0:
            raise UnsupportedModelError(
                f"tensor '{name}' has a dynamic shape: export with a static batch of 1 and a fixed "
                "window"
            )
        if math.prod(shape) > VALUES_MAX:
            raise UnsupportedModelError(
                f"tensor '{name}' of shape {shape} has more than {VALUES_MAX} values: export with "
                "a window as short as the receptive field"
            )
        if tensor.Sparsity() is not None:
            raise UnsupportedModelError(
                f"tensor '{name}' is stored as a sparse matrix: export with dense weights"
            )
        buffer = tensor.Buffer()
        if buffer >= len(buffers):
            raise ModelError(
                f"the .tflite file is corrupt: {self.where} is in buffer {buffer}, there are "
                f"{len(buffers)}; {_AGAIN}"
            )
        kind = _TYPE_NAMES.get(tensor.Type(), f"type number {tensor.Type()}")
        return Tensor(name, shape, kind, quantization, buffers[buffer])

    def read_operator(
        self, operator: tflite.Operator, index: int, codes: list[tuple[str, int]]
    ) -> Operator:
        """Return an operator with the options the compiler knows."""
        self.where = f"operator {index}"
        code = operator.OpcodeIndex()
        if code >= len(codes):
            raise ModelError(
                f"the .tflite file is corrupt: {self.where} uses operator code {code}, there are "
                f"{len(codes)}; {_AGAIN}"
            )
        kind, version = codes[code]
        self.where = f"operator {index} ({kind})"
        inputs = tuple(self.numbers(operator.InputsAsNumpy()))
        outputs = tuple(self.numbers(operator.OutputsAsNumpy()))
        options: dict[str, Option] = {}
        table = operator.BuiltinOptions()
        if kind in _OPTIONS and table is not None:
            class_name, scalars, vectors = _OPTIONS[kind]
            if operator.BuiltinOptionsType() != _OPTIONS_CODES[class_name]:
                raise ModelError(
                    f"the .tflite file is corrupt: {self.where} holds another operator's options; "
                    f"{_AGAIN}"
                )
            reader = getattr(tflite, class_name)()
            reader.Init(table.Bytes, table.Pos)
            for name in scalars:
                options[name] = int(getattr(reader, name)())
            for name in vectors:
                options[name] = tuple(self.numbers(getattr(reader, name + "AsNumpy")()))
        return Operator(kind, inputs, outputs, options, version)


def _check_structure(graph: Graph) -> None:
    """Check indices, that values exist before use, and that constants fill their shapes."""
    known = set()
    for i, tensor in enumerate(graph.tensors):
        if tensor.data is None:
            continue
        known.add(i)
        dtype = DTYPES.get(tensor.type)
        if dtype is None:
            continue
        expected = math.prod(tensor.shape) * np.dtype(dtype).itemsize
        if expected != len(tensor.data):
            raise ModelError(
                f"constant '{tensor.name}' of shape {tensor.shape} and type {tensor.type} holds "
                f"{len(tensor.data)} bytes, expected {expected}; {_AGAIN}"
            )
    for role, indices in (("input", graph.inputs), ("output", graph.outputs)):
        for i in indices:
            if not 0 <= i < len(graph.tensors):
                raise ModelError(
                    f"the .tflite file is corrupt: its {role} is tensor {i}, there are "
                    f"{len(graph.tensors)}; {_AGAIN}"
                )
    for i in graph.inputs:
        if graph.tensors[i].constant:
            raise ModelError(
                f"input '{graph.tensors[i].name}' holds a constant, expected a tensor that is fed "
                f"at run time; {_AGAIN}"
            )
        known.add(i)
    for position, operator in enumerate(graph.operators):
        where = f"operator {position} ({operator.kind})"
        for i in operator.inputs:
            if not -1 <= i < len(graph.tensors):
                raise ModelError(f"{where} reads tensor {i}, which does not exist; {_AGAIN}")
            if i >= 0 and i not in known:
                raise ModelError(
                    f"{where} reads '{graph.tensors[i].name}' before any operator computes it: "
                    "operators must stand in the order they run in, without cycles; export it "
                    "again with TFLite's converter"
                )
        for i in operator.outputs:
            if not 0 <= i < len(graph.tensors):
                raise ModelError(f"{where} writes tensor {i}, which does not exist; {_AGAIN}")
            if i in known:
                raise ModelError(
                    f"{where} writes '{graph.tensors[i].name}', which has a value already: every "
                    "tensor is computed once; export it again with TFLite's converter"
                )
            known.add(i)
    for i in graph.outputs:
        if i not in known:
            raise ModelError(
                f"output '{graph.tensors[i].name}' is computed by no operator; {_AGAIN}"
            )


def write_graph(graph: Graph) -> bytes:
    """Return `graph` as a `.tflite` file that TFLite and tflite-micro load."""
    builder = flatbuffers.Builder(1 << 16)
    kinds = sorted({(operator.kind, operator.version) for operator in graph.operators})
    codes = []
    for kind, version in kinds:
        number = _OPERATOR_CODES[kind]
        tflite.OperatorCodeStart(builder)
        tflite.OperatorCodeAddDeprecatedBuiltinCode(builder, min(number, 127))
        tflite.OperatorCodeAddBuiltinCode(builder, number)
        tflite.OperatorCodeAddVersion(builder, version)
        codes.append(tflite.OperatorCodeEnd(builder))
    # Buffer 0 is empty by the schema's rule: it stands for "no data".
    payloads: list[bytes | None] = [None]
    buffer_of: dict[bytes, int] = {}
    tensors = [_write_tensor(builder, tensor, payloads, buffer_of) for tensor in graph.tensors]
    operators = [
        _write_operator(builder, operator, kinds.index((operator.kind, operator.version)))
        for operator in graph.operators
    ]
    buffers = [_write_buffer(builder, payload) for payload in payloads]

    inputs = builder.CreateNumpyVector(np.array(graph.inputs, np.int32))
    outputs = builder.CreateNumpyVector(np.array(graph.outputs, np.int32))
    tensor_vector = _offsets(builder, tensors)
    operator_vector = _offsets(builder, operators)
    name = builder.CreateString("main")
    tflite.SubGraphStart(builder)
    tflite.SubGraphAddTensors(builder, tensor_vector)
    tflite.SubGraphAddInputs(builder, inputs)
    tflite.SubGraphAddOutputs(builder, outputs)
    tflite.SubGraphAddOperators(builder, operator_vector)
    tflite.SubGraphAddName(builder, name)
    subgraph = tflite.SubGraphEnd(builder)

    code_vector = _offsets(builder, codes)
    subgraph_vector = _offsets(builder, [subgraph])
    buffer_vector = _offsets(builder, buffers)
    description = builder.CreateString(graph.description or "MyoWave")
    tflite.ModelStart(builder)
    tflite.ModelAddVersion(builder, SCHEMA_VERSION)
    tflite.ModelAddOperatorCodes(builder, code_vector)
    tflite.ModelAddSubgraphs(builder, subgraph_vector)
    tflite.ModelAddDescription(builder, description)
    tflite.ModelAddBuffers(builder, buffer_vector)
    builder.Finish(tflite.ModelEnd(builder), file_identifier=FILE_IDENTIFIER)
    return bytes(builder.Output())


def _offsets(builder: flatbuffers.Builder, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _write_tensor(
    builder: flatbuffers.Builder,
    tensor: Tensor,
    payloads: list[bytes | None],
    buffer_of: dict[bytes, int],
) -> int:
    buffer = 0
    if tensor.data is not None:
        buffer = buffer_of.setdefault(tensor.data, len(payloads))
        if buffer == len(payloads):
            payloads.append(tensor.data)
    else:
        # TFLite's converter gives every computed tensor an empty buffer of its own.
        buffer = len(payloads)
        payloads.append(None)
    quantization = 0
    if tensor.quantization is not None:
        scales = builder.CreateNumpyVector(np.array(tensor.quantization.scales, np.float32))
        zeros = builder.CreateNumpyVector(np.array(tensor.quantization.zero_points, np.int64))
        tflite.QuantizationParametersStart(builder)
        tflite.QuantizationParametersAddScale(builder, scales)
        tflite.QuantizationParametersAddZeroPoint(builder, zeros)
        tflite.QuantizationParametersAddQuantizedDimension(builder, tensor.quantization.axis)
        quantization = tflite.QuantizationParametersEnd(builder)
    shape = builder.CreateNumpyVector(np.array(tensor.shape, np.int32))
    name = builder.CreateString(tensor.name)
    tflite.TensorStart(builder)
    tflite.TensorAddShape(builder, shape)
    tflite.TensorAddType(builder, _TYPE_CODES[tensor.type])
    tflite.TensorAddBuffer(builder, buffer)
    tflite.TensorAddName(builder, name)
    if tensor.quantization is not None:
        tflite.TensorAddQuantization(builder, quantization)
    return int(tflite.TensorEnd(builder))


def _write_operator(builder: flatbuffers.Builder, operator: Operator, code: int) -> int:
    options = 0
    option_type = 0
    if operator.kind in _OPTIONS:
        class_name, scalars, vectors = _OPTIONS[operator.kind]
        option_type = _OPTIONS_CODES[class_name]
        filled = {
            name: builder.CreateNumpyVector(np.array(operator.options[name], np.int32))
            for name in vectors
            if name in operator.options
        }
        getattr(tflite, class_name + "Start")(builder)
        for name in scalars:
            getattr(tflite, f"{class_name}Add{name}")(builder, operator.option(name))
        for name, offset in filled.items():
            getattr(tflite, f"{class_name}Add{name}")(builder, offset)
        options = getattr(tflite, class_name + "End")(builder)
    inputs = builder.CreateNumpyVector(np.array(operator.inputs, np.int32))
    outputs = builder.CreateNumpyVector(np.array(operator.outputs, np.int32))
    tflite.OperatorStart(builder)
    tflite.OperatorAddOpcodeIndex(builder, code)
    tflite.OperatorAddInputs(builder, inputs)
    tflite.OperatorAddOutputs(builder, outputs)
    if option_type:
        tflite.OperatorAddBuiltinOptionsType(builder, option_type)
        tflite.OperatorAddBuiltinOptions(builder, options)
    return int(tflite.OperatorEnd(builder))


def _write_buffer(builder: flatbuffers.Builder, payload: bytes | None) -> int:
    data = 0
    if payload is not None:
        # The schema asks for 16-byte alignment of constants.
        builder.StartVector(1, len(payload), 16)
        builder.head -= len(payload)
        builder.Bytes[builder.head : builder.head + len(payload)] = payload
        data = builder.EndVector()
    tflite.BufferStart(builder)
    if payload is not None:
        tflite.BufferAddData(builder, data)
    return int(tflite.BufferEnd(builder))
