"""How long the search for modules takes on a linear score, against the orders of its theory.

Table 1 and Theorem 3.2 of Meyerson and Miikkulainen 2019, arXiv 1906.00097: generations of the
(1+1)-EA until every location has its best module, for one mapping of all L locations, one a task,
and one a location. A score is the number of right locations of a part. The same code searches in
training.
"""

import math
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
from common import Row, arguments, at_most, finish
from mtl_muir.search.evolution import SearchOptions, propose, select_best

from mtl_framework.reports.figure import MARKERS, colour_of, new_figure, png, style

FIGURE = Path(__file__).parents[1] / "docs" / "images" / "muir-ea-time.png"
MODULES = 8  # K, where modules are drawn uniformly
TASKS = 4
GROUPS = 4  # modules that are best for some locations, where the start is one module a location


def generations(locations: int, kind: str, seed: int) -> int:
    """Until the optimum is found."""
    generator = torch.Generator().manual_seed(seed)
    parts = torch.arange(locations)
    if kind == "proportional":
        # the first location of every group has its group's best module at the start
        mapping, modules = torch.arange(locations), locations
        best = parts // (locations // GROUPS) * (locations // GROUPS)
        options = SearchOptions(sampling="proportional")
    else:
        modules, options = MODULES, SearchOptions(sampling="uniform")
        best = torch.randint(modules, (locations,), generator=generator)
        mapping = (best + 1) % modules
        number = {"all": 1, "task": TASKS, "location": locations}[kind]
        parts = parts * number // locations
    count = 0
    while not torch.equal(mapping, best):
        found = propose(mapping, parts, modules, options, generator)
        right = (found.modules == best[:, None]).float()
        scores = torch.zeros(int(parts.max()) + 1, right.shape[1]).index_add_(0, parts, right)
        mapping = select_best(found.modules, parts, scores)
        count += 1
    return count


Order = Callable[[int], float]
ORDERS: dict[str, tuple[str, Order]] = {
    "all": ("D = 1: K L log L", lambda n: MODULES * n * math.log(n)),
    "task": (
        f"D = T = {TASKS}: K L (log L - log T) log T / T",
        lambda n: MODULES * n * math.log(n / TASKS) * math.log(TASKS) / TASKS,
    ),
    "location": ("D = L: K log L", lambda n: MODULES * math.log(n)),
    "proportional": ("D = L, proportional, K = L at the start: log L", lambda n: math.log(n)),
}


def main() -> None:
    options = arguments(__doc__ or "")
    seeds = 5 if options.quick else 20
    sizes = {
        "all": [8, 16, 32] if options.quick else [8, 16, 32, 64],
        "task": [8, 16, 32] if options.quick else [8, 16, 32, 64, 128],
        "location": [8, 32, 128, 512] if options.quick else [8, 32, 128, 512, 2048, 8192],
    }
    sizes["proportional"] = sizes["location"][1:]  # groups of two would be a case of their own
    rows: list[Row] = []
    measured: dict[str, list[float]] = {}
    for kind, (title, order) in ORDERS.items():
        if options.only not in kind:
            continue
        means = [
            statistics.mean(generations(size, kind, seed) for seed in range(seeds))
            for size in sizes[kind]
        ]
        measured[kind] = means
        factors = [mean / order(size) for mean, size in zip(means, sizes[kind], strict=True)]
        grown, expected = means[-1] / means[0], order(sizes[kind][-1]) / order(sizes[kind][0])
        # at large L times grow by what the order says, up to the lower terms that it leaves out
        row = at_most(
            f"{title}, L {sizes[kind][0]} to {sizes[kind][-1]}",
            grown / expected,
            1.5,
            grown=grown,
            order_grows=expected,
            generations=means[-1],
            factors=" ".join(f"{factor:.2f}" for factor in factors),
        )
        rows.append(row)
        print(row, flush=True)
    if not options.only and not options.quick:
        draw(sizes, measured, seeds)
    finish(rows, options)


def draw(sizes: dict[str, list[int]], measured: dict[str, list[float]], seeds: int) -> None:
    with style():
        figure = new_figure(6.4, 4.2)
        axes = figure.subplots()
        for number, (kind, (title, order)) in enumerate(ORDERS.items()):
            found, at = measured[kind], sizes[kind]
            scale = found[-1] / order(at[-1])
            axes.plot(
                at, found, color=colour_of(number), marker=MARKERS[number], markersize=5,
                linestyle="none", label=title,
            )  # fmt: skip
            axes.plot(
                at, [scale * order(size) for size in at], color=colour_of(number), linewidth=1.2
            )
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xlabel(f"L, locations (K = {MODULES} unless said otherwise)")
        axes.set_ylabel(f"generations, mean of {seeds}")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=1, borderaxespad=0.2)
    FIGURE.write_bytes(png(figure))


if __name__ == "__main__":
    main()
