"""Tries every model module of timm, and writes what it finds: backbones.json and backbones.md.

    python tools/timm_coverage.py             all modules (some minutes)
    python tools/timm_coverage.py resnet vit  only modules whose names contain one of these words;
                                              the rest of the files stays

Each module is tried with its smallest variant, at the smallest square input that the model takes.
"""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch

from mtl_framework.backbones.build import build_backbone
from mtl_framework.backbones.config import BackboneConfig
from mtl_framework.networks.extraction_check import extraction_error, normalization_kinds
from mtl_framework.support.errors import MtlError
from mtl_framework.support.files import write_text

DOCS = Path(__file__).parents[1] / "docs"
JSON, MARKDOWN = DOCS / "backbones.json", DOCS / "backbones.md"

# The smallest variant has 412 million parameters: fewer of its equal blocks show the same.
ARGS: dict[str, dict[str, Any]] = {"deepseek_vit": {"depth": 4}}

CASES: dict[str, tuple[str, int]] = {
    "beit": ("beit_base_patch16_224", 32),
    "byoanet": ("halonet_h1", 256),
    "byobnet": ("test_byobnet", 32),
    "cait": ("cait_xxs24_224", 32),
    "coat": ("coat_tiny", 32),
    "convit": ("convit_tiny", 32),
    "convmixer": ("convmixer_768_32", 32),
    "convnext": ("test_convnext", 32),
    "cpubone": ("cpubone_nano", 32),
    "crossvit": ("crossvit_tiny_240", 240),
    "csatv2": ("csatv2", 64),
    "cspnet": ("cs3darknet_focus_s", 32),
    "cspnext": ("cspnext_tiny", 32),
    "davit": ("davit_tiny", 32),
    "deepseek_vit": ("deepseek_vit_412m", 126),
    "deit": ("deit_tiny_patch16_224", 32),
    "densenet": ("densenet121", 32),
    "dla": ("dla46x_c", 32),
    "dpn": ("dpn48b", 32),
    "edgenext": ("edgenext_xx_small", 32),
    "efficientformer": ("efficientformer_l1", 224),
    "efficientformer_v2": ("efficientformerv2_s0", 32),
    "efficientnet": ("test_efficientnet", 32),
    "efficientvim": ("efficientvim_m1", 32),
    "efficientvit_mit": ("efficientvit_b0", 32),
    "efficientvit_msra": ("efficientvit_m0", 32),
    "eva": ("vit_tiny_patch16_dinov3_qkvb", 32),
    "fasternet": ("fasternet_t0", 32),
    "fastvit": ("fastvit_t8", 32),
    "focalnet": ("focalnet_tiny_srf", 32),
    "gcvit": ("gcvit_xxtiny", 32),
    "gemma4_vit": ("gemma4_vit_167m", 32),
    "ghostnet": ("ghostnet_050", 32),
    "hardcorenas": ("hardcorenas_b", 32),
    "hgnet": ("hgnetv2_b0", 32),
    "hiera": ("hiera_tiny_224", 32),
    "hieradet_sam2": ("sam2_hiera_tiny", 32),
    "hrnet": ("hrnet_w18_small", 32),
    "iformer": ("iformer_t", 32),
    "inception_next": ("inception_next_atto", 32),
    "inception_resnet_v2": ("inception_resnet_v2", 96),
    "inception_v3": ("inception_v3", 96),
    "inception_v4": ("inception_v4", 96),
    "lcnetv2": ("lcnetv2_small", 32),
    "levit": ("levit_128s", 32),
    "lowformer": ("lowformer_b0", 32),
    "mambaout": ("test_mambaout", 32),
    "maxxvit": ("test_coatnet", 32),
    "metaformer": ("poolformerv2_s12", 32),
    "mlp_mixer": ("gmlp_ti16_224", 32),
    "mobilenetv3": ("mobilenetv3_small_050", 32),
    "mobilenetv5": ("mobilenetv5_base", 32),
    "mobilevit": ("mobilevit_xxs", 32),
    "mvitv2": ("mvitv2_tiny", 32),
    "naflexvit": ("naflexvit_base_patch16_parfac_gap", 32),
    "nasnet": ("nasnetalarge", 32),
    "nest": ("jx_nest_tiny", 224),
    "nextvit": ("nextvit_small", 32),
    "nfnet": ("test_nfnet", 32),
    "pit": ("pit_ti_224", 32),
    "pnasnet": ("pnasnet5large", 32),
    "pvt_v2": ("pvt_v2_b0", 32),
    "qwen3_vit": ("qwen3_vit_88m", 32),
    "rdnet": ("rdnet_tiny", 32),
    "regnet": ("regnetx_002", 32),
    "repghost": ("repghostnet_050", 32),
    "repvit": ("repvit_m1", 32),
    "res2net": ("res2next50", 32),
    "resnest": ("resnest14d", 32),
    "resnet": ("test_resnet", 32),
    "resnetv2": ("resnetv2_18", 32),
    "rexnet": ("rexnet_100", 32),
    "selecsls": ("selecsls42", 32),
    "senet": ("legacy_seresnet18", 32),
    "sequencer": ("sequencer2d_s", 32),
    "shvit": ("shvit_s1", 32),
    "sknet": ("skresnet18", 32),
    "starnet": ("starnet_s050", 32),
    "swiftformer": ("swiftformer_xs", 32),
    "swin_transformer": ("swin_tiny_patch4_window7_224", 32),
    "swin_transformer_v2": ("swinv2_tiny_window16_256", 32),
    "swin_transformer_v2_cr": ("swinv2_cr_tiny_224", 32),
    "tiny_vit": ("tiny_vit_5m_224", 32),
    "tnt": ("tnt_s_legacy_patch16_224", 32),
    "tresnet": ("tresnet_m", 32),
    "twins": ("twins_svt_small", 32),
    "vgg": ("vgg11", 32),
    "visformer": ("visformer_tiny", 32),
    "vision_transformer": ("test_vit", 32),
    "vision_transformer_hybrid": ("vit_tiny_r_s16_p8_224", 32),
    "vision_transformer_relpos": ("test_vit_relpos", 32),
    "vision_transformer_sam": ("samvit_base_patch16_224", 32),
    "vitamin": ("vitamin_small_224", 32),
    "volo": ("volo_d1_224", 32),
    "vovnet": ("ese_vovnet19b_slim_dw", 32),
    "xception": ("legacy_xception", 32),
    "xception_aligned": ("xception41p", 32),
    "xcit": ("xcit_nano_12_p8_224", 32),
}
"""For each module of timm a variant, and height and width of its input."""


def measure(module: str) -> dict[str, Any]:
    """One row of the table."""
    variant, size = CASES[module]
    args = ARGS.get(module, {})
    row: dict[str, Any] = {"module": module, "variant": variant, "args": args, "input": size}
    try:
        # whether the network works is asked, not whether its patches divide the smallest images
        config = BackboneConfig(name=variant, args=args, unread_pixels=1)
        backbone = build_backbone(config, 3, (size, size))
    except MtlError as error:
        return {**row, "reason": str(error)}
    shared = sum(unit.num_parameters for unit in backbone.units)
    kind = type(backbone.create(3))
    return {
        **row,
        "class": kind.__name__,
        "units": len(backbone.units),
        "share": round(shared / backbone.num_parameters, 3),
        "branching": backbone.branching,
        "heads_inside": backbone.heads_inside,
        "normalization": list(normalization_kinds(backbone)),
        "extraction_error": extraction_error(backbone),
    }


def markdown(found: Mapping[str, Any]) -> str:
    """The page."""
    rows = found["modules"]
    works = [row for row in rows if "reason" not in row]
    lines = [
        "# Backbones",
        "",
        f"Generated by `python tools/timm_coverage.py` with timm {found['timm']}; "
        "not to be edited.",
        "",
        f"{len(works)} of {len(rows)} model modules of timm work as backbones. Each was tried with "
        "its smallest variant at the smallest square input that it takes: cut into units, given "
        "two weights a unit, run for three tasks with different numbers of classes under a random "
        "assignment in one pass, and taken apart again.",
        "",
        "- **units**: parts that are shared or not as a whole, at granularity `block`, without the "
        "stem;",
        "- **share**: part of the parameters (without the last layer) that is in these units; the "
        "rest is shared by all tasks;",
        "- **branching**: whether tasks share the work up to the first unit in which they differ. "
        "Where the model reads early results again later, or remembers the size of its first "
        "batch, every distinct path is computed from the input on: slower, with the same result;",
        "- **heads**: `after` the features, or `inside` where the model does more with class "
        "scores than return them;",
        "- **error**: largest difference between the outputs of a task inside the framework and "
        "those of its extracted network, which is timm's own class, divided by the largest output. "
        "Single precision allows some 1e-6.",
        "",
        "Stochastic layers (dropout, drop-path) draw once for every row. Samples and tasks that "
        "share rows therefore share what was drawn for them: their losses are the right ones, but "
        "their noise is not independent.",
        "",
        "`mtl describe --backbone NAME` tells the same of any single model.",
        "",
        "| module | variant | input | units | share | branching | heads | normalisation | error |",
        "|---|---|---:|---:|---:|---|---|---|---:|",
    ]
    for row in works:
        args = "".join(f", {key}={value}" for key, value in row["args"].items())
        norms = ", ".join(row["normalization"]) or "none"
        lines.append(
            f"| {row['module']} | {row['variant']}{args} | {row['input']} | {row['units']} | "
            f"{100 * row['share']:.1f} % | {'yes' if row['branching'] else 'no'} | "
            f"{'inside' if row['heads_inside'] else 'after'} | {norms} | "
            f"{row['extraction_error']:.1e} |"
        )
    fails = [row for row in rows if "reason" in row]
    if fails:
        lines += ["", "## What does not work", ""]
        lines += [f"- {row['module']} ({row['variant']}): {row['reason']}" for row in fails]
    return "\n".join(lines) + "\n"


def main(words: list[str]) -> None:
    """Measure the modules asked for, and write both files."""
    torch.set_num_threads(1)
    rows: dict[str, Any] = {}
    if words:
        rows = {row["module"]: row for row in json.loads(JSON.read_text())["modules"]}
    for module in CASES:
        if not words or any(word in module for word in words):
            start = time.perf_counter()
            rows[module] = measure(module)
            shown = rows[module].get("reason") or f"{rows[module]['extraction_error']:.1e}"
            print(f"{module}: {shown} ({time.perf_counter() - start:.1f} s)", flush=True)
    found = {"timm": timm.__version__, "modules": [rows[module] for module in sorted(rows)]}
    write_text(JSON, json.dumps(found, indent=1) + "\n")
    write_text(MARKDOWN, markdown(found))


if __name__ == "__main__":
    main(sys.argv[1:])
