"""Full and no sharing whose optimiser forgets the units' moments after a fifth of the run.

That is what a shared start with new moments does besides sharing, so that the difference to the
same strategy without it says how much of a shared start's gain is such a restart.

    OMP_NUM_THREADS=1 python tools/restarted.py --seeds 3
"""

import argparse
from collections.abc import Generator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from mtl_baselines.ends import FullSharing, NoSharing

import mtl_framework
from mtl_framework import Step, TrainingRun, forget_moments


class _Restarted:
    """After a fifth of the run the optimiser begins anew with all units' weights."""

    def optimize(self, run: TrainingRun) -> Generator[Step, None, None]:
        for step in super().optimize(run):  # type: ignore[misc]
            yield step
            if run.iteration == run.iterations // 5:
                network = self.network  # type: ignore[attr-defined]
                for unit in range(len(network.weights_per_unit)):
                    forget_moments(network, self.optimizer, unit)  # type: ignore[attr-defined]


class RestartedFullSharing(_Restarted, FullSharing):
    """Full sharing with such a restart."""


class RestartedNoSharing(_Restarted, NoSharing):
    """No sharing with such a restart."""


KINDS = {"full sharing": RestartedFullSharing, "no sharing": RestartedNoSharing}


def main() -> None:
    """Print the test error of both, seed by seed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=1500)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        for seed in range(options.seeds):
            for name, kind in KINDS.items():
                result = mtl_framework.run(
                    kind,
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
