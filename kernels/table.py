"""The instruction table: which integer stands in which column of a row, and what it means.

One row is one kernel call. `compiler/plan.py` writes rows after proving every number; `walker.py` runs them without a
check. Inside the engine a code is unsigned: a signed one is stored plus half its range ("offset binary"), so that each
kernel exists once per width, and rank-4 tensors lie as [H, W, C]. Offsets are in bytes, lengths in elements.
"""

from __future__ import annotations

# Opcodes: what an entry computes.
(
    DENSE,
    DEPTHWISE,
    DEPTHWISE_PAIRS,
    ADD,
    AVERAGE_POOL,
    MAX_POOL,
    LOOKUP,
    COPY,
    FILL,
    SOFTMAX,
    LOG_DENSE,
    LOG_DEPTHWISE,
    LOG_ENCODE,
    LINEAR_ADD,
    LINEAR_AVERAGE_POOL,
    LINEAR_CLAMP,
    WIDE,
    SATURATING,
    MEAN_POOL,
    SOFTMAX_FIXED,
) = range(20)

# Opcodes of half precision.
(
    WIDEN,
    HALF_DENSE,
    HALF_DEPTHWISE,
    HALF_ADD,
    HALF_CLIP,
    HALF_DEQUANTIZE,
    HALF_QUANTIZE,
    HALF_MAX_POOL,
) = range(100, 108)

# Opcodes of functions of one code, rearrangement and products of tensors.
LOOKUP_CHANNELS, GATHER, MULTIPLY, RESAMPLE = range(200, 204)

# Opcodes of products of activations, normalizations, quotients, constants and conversions.
MATMUL, NORMALIZE, LRN, DIVIDE, LOAD, CONVERT, INTERPOLATE = range(300, 307)

# Columns that every kernel reads alike.
(
    OPCODE,
    KERNEL,  # address of the entry
    INPUT,  # byte offset in the arena
    OUTPUT,  # byte offset in the arena
    INPUT_BYTES,  # width of an input code: 1, 2 or 4
    OUTPUT_BYTES,
    LENGTH,  # elements, for elementwise kernels
    SECOND_INPUT,  # ADD: byte offset in the arena
    RULE,  # index of the requantization in `RULES`
    MULTIPLIER,  # byte offset of int32 constants; F32BIAS: of the biases that are added in single precision
    SHIFT,  # byte offset of int32 constants
    SCALE,  # byte offset of float32 constants: multiplier / 2**shift
    LOW,  # byte offset of int32 constants (DENSE, DEPTHWISE), else a number: minimum - zero point
    HIGH,  # alike
    LOW_FLOAT,  # byte offset of float32 constants: LOW again
    HIGH_FLOAT,
    OUTPUT_ZERO_POINT,  # in offset binary
    ZERO_POINT,  # of the input, in offset binary
    SECOND_ZERO_POINT,  # ADD
    LEFT_SHIFT,  # ADD
    BIAS,  # byte offset of int32 constants, with all corrections folded in
    WEIGHTS,  # byte offset of packed weights; RESAMPLE: of row indices, row weights, column indices, column weights
    GROUP_BYTES,  # DENSE: packed weights of one group
    HEIGHT,
    WIDTH,
    CHANNELS,
    OUTPUT_HEIGHT,
    OUTPUT_WIDTH,
    OUTPUT_CHANNELS,
    KERNEL_HEIGHT,  # RESAMPLE: rows that an output row is made of
    KERNEL_WIDTH,
    STRIDE_Y,
    STRIDE_X,
    PAD_TOP,
    PAD_LEFT,
    DILATION_Y,
    DILATION_X,
    GROUPS,
    DEPTH,  # DENSE: input channels of one group
    WORDS,  # DENSE: words of four bytes in one packed row
    OPERAND_BYTES,  # DENSE: width of a packed operand: 2 (pairs) or 1 (fours)
    CENTER,  # DENSE: subtracted from a code when it is packed
    PAD_VALUE,  # DENSE: what a packed padding element holds
    PANEL,  # DENSE: byte offset of the packed rows in the thread's scratch
    ACCUMULATORS,  # byte offset of int32 accumulators in the thread's scratch
    TAPS,  # DEPTHWISE_PAIRS: byte offset of int64 constants, from a window's first tap to each tap
    BORDER_TAPS,  # DEPTHWISE_PAIRS: byte offset of int64 in the thread's scratch
    PAD_ROW,  # DEPTHWISE_PAIRS: byte offset of a row of padding in the thread's scratch
    BLOCK_ROWS,  # DENSE, DEPTHWISE_PAIRS: output pixels that are worked on together
    PADDED_CHANNELS,  # output channels of one group, rounded up to whole vectors
    UNIFORM,  # AVERAGE_POOL: 1 where one scale serves every window
    TABLE,  # LOOKUP*, GATHER (its indices), SOFTMAX, LOG_*: byte offset of constants; LINEAR_AVERAGE_POOL: of its counts
    OUTER,  # SOFTMAX, GATHER, LOOKUP_CHANNELS: product of the dimensions before the axis
    INNER,  # alike: product of those after it
    VALUE,  # FILL: the code; COPY: what to XOR with each code; SOFTMAX: the code of 1; SATURATING: the greatest sum; LOG_ENCODE: negative threshold
    MAGNITUDES,  # LOG_*: how many magnitudes a code can have; LOOKUP_CHANNELS: how many codes there are
    MANTISSA,  # LOG_DENSE, LOG_DEPTHWISE: of the read-out
    READ_OUT_SHIFT,  # LOG_DENSE, LOG_DEPTHWISE
) = range(58)

# COPY: sizes, input strides and output strides (in elements) of six loops, outermost first.
# MULTIPLY: sizes of the output's loops, and under the same names the strides of the first and of the second input.
# MATMUL: under OUTPUT_STRIDES those of a matrix, a row and a column of the product.
LOOPS = 6
SIZES = 58
INPUT_STRIDES = SIZES + LOOPS
OUTPUT_STRIDES = INPUT_STRIDES + LOOPS
COLUMNS = 76

# Requantization rules, in column RULE.
F32EVEN, MUL31DOUBLE, MUL31SINGLE, F32BIAS, POWERUP, POWERAWAY, POWEREVEN = range(7)
