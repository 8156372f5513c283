"""Strategies whose optimiser forgets the units' moments in the middle of the run.

Full and no sharing do so after a fifth of the run. That is what a shared start with new moments
does besides sharing, so that the difference to the same strategy without it says how much of a
shared start's gain is such a restart. Learned sharing does so when its search ends: weights have
fixed users from then on, and moments of gradients that changing ones gave.

    OMP_NUM_THREADS=1 python tools/restarted.py --seeds 3
    OMP_NUM_THREADS=1 python tools/restarted.py --only "learned sharing" --seeds 5
"""

import argparse
from collections.abc import Generator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from mtl_baselines.ends import FullSharing, NoSharing
from mtl_lws.strategy import LearnedWeightSharing

import mtl_framework
from mtl_framework import Step, TrainingRun, forget_moments


class _Restarted:
    """After a share of the run the optimiser begins anew with all units' weights."""

    share = 0.2

    def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
        for step in super().optimize(run):  # type: ignore[misc]
            yield step
            if run.iteration == int(self.share * run.iterations):
                network = self.network  # type: ignore[attr-defined]
                for unit in range(len(network.weights_per_unit)):
                    forget_moments(network, self.optimizer, unit)  # type: ignore[attr-defined]


class RestartedFullSharing(_Restarted, FullSharing):
    """Full sharing with such a restart."""


class RestartedNoSharing(_Restarted, NoSharing):
    """No sharing with such a restart."""


class RestartedLearnedSharing(_Restarted, LearnedWeightSharing):
    """Learned sharing with such a restart where its search ends by default."""

    share = 0.75


KINDS = {
    "full sharing": RestartedFullSharing,
    "no sharing": RestartedNoSharing,
    "learned sharing": RestartedLearnedSharing,
}


def main() -> None:
    """Print the test error of both, seed by seed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=1500)
    parser.add_argument("--only", choices=KINDS, action="append", help="default: all")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        for seed in range(options.seeds):
            for name in options.only or KINDS:
                result = mtl_framework.run(
                    KINDS[name],
                    "dkl_convnet",
                    "alphabets",
                    output=Path(folder) / f"{name} {seed}",
                    progress=False,
                    seed=seed,
                    iterations=options.iterations,
                    eval_every=500,
                    device="cpu",
                )
                print(f"{name}, seed {seed}: {result.test.error_mean:.2f} %", flush=True)


if __name__ == "__main__":
    main()
