"""Columns that mix, all of whose tasks read the first one: full sharing of a network as wide.

The network, its start, its mixers and their rates are those of ``nddr`` (or ``cross_stitch``); only
that every task's head reads its own column is left out, so that the difference to the strategy is
what a column of one's own is worth, and the rest is what a wider and deeper network is worth.

    OMP_NUM_THREADS=1 python tools/one_column.py --seeds 5
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from mtl_soft_sharing import nddr, strategy
from mtl_soft_sharing.network import ColumnNetworks

import mtl_framework
from mtl_framework import Backbone
from mtl_framework.data import Suite


class OneColumn(ColumnNetworks):
    """All tasks read column 0."""

    def column_of(self, task: int) -> int:
        """Say where the results of column 0 stand."""
        return 0


class _ReadsOne:
    """The networks of a strategy of columns are :class:`OneColumn`."""

    def build(self, backbone: Backbone, suite: Suite) -> ColumnNetworks:
        if suite.common_input:
            raise SystemExit("tasks have to have inputs of their own here")
        network: ColumnNetworks = super().build(backbone, suite)  # type: ignore[misc]
        network.__class__ = OneColumn
        return network


class OneNddr(_ReadsOne, nddr.Nddr):
    """``nddr`` without a column of one's own."""


class OneCrossStitch(_ReadsOne, strategy.CrossStitch):
    """``cross_stitch`` without a column of one's own."""


KINDS = {"nddr": OneNddr, "cross_stitch": OneCrossStitch}


def main() -> None:
    """Print validation and test error, seed by seed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--strategy", choices=KINDS, default="nddr")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=800)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        for seed in range(options.seeds):
            result = mtl_framework.run(
                KINDS[options.strategy],
                {"name": "dkl_convnet", "normalization": "task"},
                "alphabets",
                output=Path(folder) / str(seed),
                progress=False,
                seed=seed,
                iterations=options.iterations,
                eval_every=200,
                device="cpu",
                after="block",
            )
            assert result.validation is not None
            assert result.best is not None
            last, least = result.validation.error_mean, result.best.validation.error_mean
            at_end = f"{result.test.error_mean:.2f} % (validation {last:.2f}, least {least:.2f})"
            print(f"seed {seed}: {at_end}", flush=True)


if __name__ == "__main__":
    main()
