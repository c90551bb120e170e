"""Writes files/tiny_yunet.onnx: a model with YuNet's inputs and outputs that takes pure blue squares of 32 px for
faces of 48 x 96 px.

Run by hand, with `pip install onnx`: python -m tests.data.make_tiny_yunet
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FILE = Path(__file__).parent / "files" / "tiny_yunet.onnx"
FACE_STRIDE = 32
OUTPUTS = (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))


def main() -> None:
    nodes, weights, outputs = [], [], []

    def constant(name: str, values: np.ndarray) -> str:
        weights.append(numpy_helper.from_array(values, name))
        return name

    for kind, channels in OUTPUTS:
        for stride in (8, 16, 32):
            name = f"{kind}_{stride}"
            kernel, bias = np.zeros((channels, 3, 1, 1), np.float32), np.zeros(channels, np.float32)
            if kind in ("cls", "obj") and stride == FACE_STRIDE:
                kernel[0, :, 0, 0] = np.array([1, -1, -1]) / 255  # channel 0 is blue, as OpenCV orders them
            if kind == "bbox":
                bias[:] = (0.5, 0.5, math.log(48 / stride), math.log(96 / stride))
            nodes += [
                helper.make_node(
                    "AveragePool", ["input"], [f"{name}_pool"], kernel_shape=[stride, stride], strides=[stride, stride]
                ),
                helper.make_node(
                    "Conv",
                    [f"{name}_pool", constant(f"{name}_w", kernel), constant(f"{name}_b", bias)],
                    [f"{name}_conv"],
                ),
                helper.make_node("Transpose", [f"{name}_conv"], [f"{name}_last"], perm=[0, 2, 3, 1]),
                helper.make_node(
                    "Reshape",
                    [f"{name}_last", constant(f"{name}_shape", np.array([1, -1, channels], np.int64))],
                    [name],
                ),
            ]
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, (320 // stride) ** 2, channels]))
    graph = helper.make_graph(
        nodes,
        "tiny_yunet",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 320, 320])],
        outputs,
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=7), FILE)


if __name__ == "__main__":
    main()
