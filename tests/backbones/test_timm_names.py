"""Names of timm's models are known without importing timm."""

import sys

import pytest
import timm

from mtl_framework.backbones.timm_names import timm_models


def test_names_from_the_files_are_those_of_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    registered = timm.list_models()
    monkeypatch.delitem(sys.modules, "timm")
    assert timm_models() == registered
    assert "timm" not in sys.modules


def test_what_a_plugin_has_registered_is_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timm, "list_models", lambda: ["of_a_plugin", "resnet18"])
    assert timm_models() == ["of_a_plugin", "resnet18"]
