"""Weights files: those of the network are taken, every other one is refused with file, tensor and remedy."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st
from safetensors.torch import save_file

from assignbench.config.folders import data_folder
from assignbench.config.network import PUBLISHED, BackboneSpec
from assignbench.detectors.backbones import (
    BACKBONES,
    build_backbone,
    check_weights,
    fetch,
    load_weights,
    weights,
)
from assignbench.detectors.backbones.published import address
from assignbench.errors import InputError
from assignbench.study.places import weights_path

SPEC = BackboneSpec(name="slim")
STATE = {k: v for k, v in BACKBONES["slim"]().state_dict().items() if not k.endswith("num_batches_tracked")}
SETTINGS = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
SUFFIXES = ("npz", "safetensors", "pth")


def write(folder: Path, suffix: str, state: dict[str, torch.Tensor]) -> Path:
    path = folder / f"weights.{suffix}"
    if suffix == "npz":
        np.savez(path, **{k: v.numpy() for k, v in state.items()})
    elif suffix == "safetensors":
        save_file({k: v.contiguous() for k, v in state.items()}, path)
    else:
        torch.save(state, path)
    return path


def refusal(path: Path, spec: BackboneSpec = SPEC) -> str:
    """What is said about a file that must be refused, before training and when it is loaded."""
    with pytest.raises(InputError) as problem:
        check_weights(spec, path)
    with pytest.raises(InputError):
        load_weights(BACKBONES[spec.name](), path)
    assert str(path) in str(problem.value)
    return str(problem.value)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_sound_weights_are_taken(tmp_path, suffix) -> None:
    path = write(tmp_path, suffix, {k: v.double() if "running" in k else v.half() for k, v in STATE.items()})
    check_weights(SPEC, path)
    backbone = BACKBONES["slim"]()
    assert load_weights(backbone, path) == len(STATE)
    assert all(torch.equal(backbone.state_dict()[k], v.half().float()) for k, v in STATE.items() if "running" not in k)


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(name=st.sampled_from(sorted(STATE)), bad=st.sampled_from(["nan", "inf", "missing", "shape", "whole"]))
@SETTINGS
def test_one_bad_tensor_is_named(tmp_path, suffix, name, bad) -> None:
    state = {k: v.clone() for k, v in STATE.items()}
    if bad in ("nan", "inf"):
        state[name].view(-1)[-1] = float(bad)
    elif bad == "missing":
        del state[name]
    else:
        state[name] = torch.zeros(7) if bad == "shape" else state[name].to(torch.int32)
    told = refusal(write(tmp_path, suffix, state))
    assert f"'{name}'" in told
    needed = {"nan": "1 of", "inf": "NaN or infinite", "missing": "not there", "shape": "[7]", "whole": "torch.int32"}
    assert needed[bad] in told


def test_values_that_no_network_has(tmp_path) -> None:
    name = next(k for k in STATE if k.endswith("running_var"))
    assert "go down to -1" in refusal(write(tmp_path, "pth", {**STATE, name: -torch.ones_like(STATE[name])}))
    first = next(iter(STATE))
    huge = torch.full_like(STATE[first], 1e300, dtype=torch.float64)
    assert "NaN or infinite" in refusal(write(tmp_path, "pth", {**STATE, first: huge}))
    spread = torch.ones(1).expand(10**14)  # a small file that claims a huge tensor
    assert "100000000000000" in refusal(write(tmp_path, "pth", {**STATE, first: spread}))


def test_another_network_is_named(tmp_path) -> None:
    other = BACKBONES["squeezenet"]().state_dict()
    assert "look like the weights of squeezenet" in refusal(write(tmp_path, "pth", other))
    assert "2 tensors, the first is 'a' [3]" in refusal(
        write(tmp_path, "npz", {"a": torch.ones(3), "b": torch.ones(1)})
    )
    assert "holds no tensor" in refusal(write(tmp_path, "pth", {}))


@pytest.mark.parametrize(
    ("small", "large"),
    [("resnet18", "resnet34"), ("resnet50", "resnet101"), ("resnext101-32x8d", "resnext152-32x8d")],
)
def test_a_larger_network_is_not_taken_for_a_smaller_one(tmp_path, small, large) -> None:
    """All of the smaller one's tensors are in its file, by name and shape, and mean something else there."""
    with torch.device("meta"):
        shapes = {k: v.shape for k, v in BACKBONES[large]().state_dict().items() if "num_batches" not in k}
    path = tmp_path / "weights.pth"
    torch.save({name: torch.zeros(1).expand(shape) for name, shape in shapes.items()}, path)
    check_weights(BackboneSpec(name=large), path)
    with pytest.raises(InputError, match=rf"larger network than this ResNet, .*look like the weights of {large}\)"):
        check_weights(BackboneSpec(name=small), path)
    with torch.device("meta"), pytest.raises(InputError, match="are of a larger network"):
        load_weights(build_backbone(BackboneSpec(name=small)), path)


def test_weights_of_layers_that_a_detector_leaves_out(tmp_path) -> None:
    """RFBNet takes no map of stride 32; the file of the whole backbone fits."""
    backbone = build_backbone(SPEC, 8, 16)
    assert load_weights(backbone, write(tmp_path, "pth", STATE)) < len(STATE)
    assert torch.equal(backbone.state_dict()["stages.3.0.0.weight"], STATE["stages.3.0.0.weight"])


def test_checkpoints_that_hold_a_network(tmp_path) -> None:
    path = tmp_path / "weights.pth"
    for key in ("state_dict", "model"):
        torch.save({key: STATE, "optimizer": {"state": {}, "lr": 0.1}, "epoch": 3}, path)
        check_weights(SPEC, path)
    torch.save({"model": STATE, "model_ema": STATE}, path)
    assert "holds no tensor" in refusal(path)
    torch.save(BACKBONES["slim"](), path)
    told = refusal(path)
    assert "save a state_dict" in told and "weights_only" not in told and told.isprintable()


def test_trained_offsets_of_a_file_are_taken_and_checked(tmp_path) -> None:
    spec = BackboneSpec(name="resnet50", dcn=("c5",))
    with torch.device("meta"):
        backbone = build_backbone(spec)
    state = {k: torch.zeros(1).expand(v.shape) for k, v in backbone.state_dict().items() if "num_batches" not in k}
    name = "layer4.0.conv2.offset.bias"
    torch.save({**state, name: torch.full((27,), 0.25)}, tmp_path / "weights.pth")
    assert weights.fitting(backbone, tmp_path / "weights.pth")[name].tolist() == [0.25] * 27
    torch.save({**state, name: torch.full((27,), float("nan"))}, tmp_path / "weights.pth")
    with pytest.raises(InputError, match=f"'{name}' are NaN"):
        check_weights(spec, tmp_path / "weights.pth")
    with pytest.raises(InputError, match=r"larger network than this ResNet, first 'layer4\.0\.conv2\.offset"):
        check_weights(BackboneSpec(name="resnet50"), tmp_path / "weights.pth")


def test_suffixes_in_capitals(tmp_path) -> None:
    for suffix in SUFFIXES:
        check_weights(SPEC, write(tmp_path, suffix, STATE).rename(tmp_path / f"W.{suffix.upper()}"))


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(share=st.floats(0, 0.999))
@SETTINGS
def test_a_file_that_was_cut(tmp_path, suffix, share) -> None:
    path = write(tmp_path, suffix, STATE)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refusal(path)


@pytest.mark.parametrize("suffix", [*SUFFIXES, "txt"])
@given(content=st.binary(min_size=0, max_size=300))
@SETTINGS
def test_bytes_are_no_weights(tmp_path, suffix, content) -> None:
    path = tmp_path / f"weights.{suffix}"
    path.write_bytes(content)
    refusal(path)


class Evil:
    def __reduce__(self):
        return (os.mkdir, ("executed",))


def test_what_would_run_or_fill_the_memory(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = next(iter(STATE))
    torch.save({**STATE, first: Evil()}, tmp_path / "evil.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Evil()))
    np.savez(tmp_path / "objects.npz", **{first: np.array([Evil()], dtype=object)})
    torch.save([1, 2], tmp_path / "list.pth")
    (tmp_path / "folder.pth").mkdir()
    os.mkfifo(tmp_path / "pipe.pth")
    monkeypatch.setattr(weights, "MOST_BYTES", 1 << 20)
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(2 << 20))
    needed = {
        "evil.pth": "not a readable",
        "plain.pth": "not a readable",
        "objects.npz": f"the array '{first}'",
        "list.pth": "holds a list",
        "folder.pth": "is a folder",
        "pipe.pth": "no regular file",
        "bomb.npz": "GiB are the most",
        "gone.pth": "no weights file",
        f"{'x' * 300}.pth": "cannot read",
    }
    for name, said in needed.items():
        assert said in refusal(tmp_path / name)
    assert not (tmp_path / "executed").exists()


def test_published_files_are_those_of_torchvision() -> None:
    for name, file in PUBLISHED.items():
        assert address(name).rpartition("/")[2] == file
    assert set(PUBLISHED) == set(BACKBONES) - {"slim", "resnext152-32x8d"}


def test_published_weights_are_downloaded_once(tmp_path) -> None:
    path = tmp_path / "hub" / "checkpoints" / PUBLISHED["resnet50"]
    asked = []

    def download(source: str, target: str, start: str) -> None:
        asked.append((source, start))
        Path(target).write_bytes(b"weights")

    for _ in range(2):
        fetch("resnet50", path, download)
    assert asked == [(address("resnet50"), "0676ba61")] and path.read_bytes() == b"weights"


def test_no_network(tmp_path) -> None:
    def download(source: str, target: str, start: str) -> None:
        raise OSError("no route to host")

    with pytest.raises(InputError, match=r"resnet50-0676ba61\.pth is not at .*no route to host.*put the file there"):
        fetch("resnet50", tmp_path / "weights.pth", download)


@pytest.mark.parametrize("name", ["squeezenet", "vgg16", "resnet18", "resnext101-64x4d", "mobilenet_v3"])
def test_names_of_published_tensors_fit(name) -> None:
    """Every tensor of ours is one of torchvision's network, by name and shape; only its classifier is left over."""
    from torchvision import models

    made = {"vgg16": models.vgg16_bn, "squeezenet": models.squeezenet1_1, "mobilenet_v3": models.mobilenet_v3_large}
    make = made.get(name) or getattr(models, name.replace("-", "_"))
    with torch.device("meta"):
        backbone, published = BACKBONES[name](), make().state_dict()
    given = {backbone.published_name(k): v.shape for k, v in published.items()}
    assert all(given[k] == v.shape for k, v in backbone.state_dict().items())
    left = {k for k in published if backbone.published_name(k) not in backbone.state_dict()}
    assert left and all(k.startswith(("fc.", "classifier.")) for k in left)


def test_weights_of_torchvision_lie_in_its_cache(tmp_path, monkeypatch) -> None:
    spec = BackboneSpec(name="resnet18")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    found = weights_path("torchvision", spec, tmp_path / "studies")
    assert found == Path(torch.hub.get_dir()) / "checkpoints" / "resnet18-f37072fd.pth"
    monkeypatch.delenv("TORCH_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert weights_path("torchvision", spec, tmp_path).parent == Path(torch.hub.get_dir()) / "checkpoints"
    monkeypatch.delenv("ASSIGNBENCH_DATA", raising=False)
    assert weights_path("mine.pth", spec, tmp_path) == data_folder() / "mine.pth"  # where it belongs
    (tmp_path / "mine.pth").touch()
    assert weights_path("mine.pth", spec, tmp_path) == tmp_path / "mine.pth"
