"""The passes that every target begins with."""

from __future__ import annotations

from intlower.compiler.passes.base import Pass
from intlower.compiler.passes.fold_affine import FoldAffine
from intlower.compiler.passes.fold_batch_norm import FoldBatchNorm
from intlower.compiler.passes.fold_constants import FoldConstants
from intlower.compiler.passes.fuse_activations import FuseActivations
from intlower.compiler.passes.fuse_gates import FuseGates
from intlower.compiler.passes.fuse_gelu import FuseGelu
from intlower.compiler.passes.fuse_hard_sigmoid import FuseHardSigmoid
from intlower.compiler.passes.fuse_layer_norm import FuseLayerNorm
from intlower.compiler.passes.fuse_lrn import FuseLrn
from intlower.compiler.passes.fuse_matmul import FuseMatmul
from intlower.compiler.passes.fuse_pads import FusePads
from intlower.compiler.passes.fuse_root_mean_square import FuseRootMeanSquare
from intlower.compiler.passes.remove_expansions import RemoveExpansions
from intlower.compiler.passes.remove_identities import RemoveIdentities
from intlower.compiler.passes.remove_unused import RemoveUnused

# Each pass finds what those before it leave: constants folded, no Identity between a layer and its batch
# normalization, no Pad between a layer and the graph's input; operators that exporters split made one before their
# parts are folded into layers, and what only they read removed; layers as Conv and Gemm; activations come last, since
# batch norm folds only into a node without one.
STANDARD_PASSES: tuple[Pass, ...] = (
    RemoveUnused(),
    FoldConstants(),
    RemoveIdentities(),
    RemoveExpansions(),
    FusePads(),
    FuseHardSigmoid(),
    FuseGates(),
    FuseGelu(),
    FuseLayerNorm(),
    FuseLrn(),
    FuseRootMeanSquare(),
    RemoveUnused(),
    FuseMatmul(),
    FoldAffine(),
    FoldBatchNorm(),
    FuseActivations(),
    RemoveUnused(),
)
