"""Every recorded case of RandAugment, AugMix, create_video_transform, MixUp, CutMix, MixVideo."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
import torch

from support.reference import Reference, Replay, array
from vitascope.transforms import AugMix, RandAugment, augmix, create_video_transform, rand_augment
from vitascope.transforms.augmentations import OPERATIONS
from vitascope.transforms.functional import convert_to_one_hot
from vitascope.transforms.mix import CutMix, MixUp, MixVideo, cut_box

TABLES = {"rand_augment": rand_augment, "augmix": augmix}


def test_every_case_of_the_augmentations(shared, capsys):
    reference = Reference(shared, "augment_ptv")
    seen: Counter[str] = Counter()
    for case in reference.cases:
        name = case["fn"].rsplit(".", 1)[1]
        seen[name] += 1
        x = array(case["x"])
        kept = x.clone()
        if name in OPERATIONS:
            got = OPERATIONS[name](x, case["args"]["factor"], case["args"]["fill"])
            assert str(got.dtype) == case["out_dtype"]
        else:
            draws = Replay(case["draws"])
            chosen = {"RandAugment": RandAugment, "AugMix": AugMix}[name]
            got = chosen(**case["args"], legacy_fill=True)(x, rng=draws)
            assert draws.finished(), case["id"]
        expected = reference.output(case["out"])
        assert got.dtype == expected.dtype and got.shape == expected.shape
        error = (got.double() - expected.double()).abs().max()
        assert error <= (1 if x.dtype == torch.uint8 else 1e-5), (case["id"], float(error))
        assert torch.equal(x, kept), "the input was changed"
    with capsys.disabled():
        print(f"\naugment_ptv: {sum(seen.values())} cases of {len(seen)} operations")
    assert sum(seen.values()) == len(reference.cases) == 88


def test_the_tables_of_strengths(shared):
    head = json.loads((shared / "reference/misc/augment_ptv.json").read_text())
    for name, module in TABLES.items():
        paras = module.__dict__[f"TRANSFORM_{'RANDAUG' if 'rand' in name else 'AUGMIX'}_MAX_PARAS"]
        expected = {k: v and tuple(v) for k, v in head["tables"][name].items()}
        assert dict(paras) == expected
        kinds = head["tables"][f"kind_{name}"]
        assert {k: f and f.__name__ for k, f in module.LEVEL_TO_ARG.items()} == kinds


def create(case: dict, draws: Replay | None) -> object:
    args = {k: v for k, v in case["args"].items()}
    if args.get("aug_type", "default") != "default":
        args["aug_paras"] = {**args.get("aug_paras", {}), "legacy_fill": True}
    if isinstance(args.get("crop_size"), list):
        args["crop_size"] = tuple(args["crop_size"])
    transform = create_video_transform(**args, legacy_no_flip=True)
    x = array(case["x"])
    if "keys_in" in case:
        sample = {key: x if key == "video" else 0 for key in case["keys_in"]}
        changed = transform(sample, rng=draws)
        assert list(changed) == case["keys_out"]
        return changed["video"]
    return transform(x, rng=draws)


def mix(name: str, case: dict) -> object:
    labels = torch.tensor(case["labels"])
    draws = list(case.get("draws", []))
    if "mix_lambda" in case:
        draws.insert(0, ["Beta.sample", [], case["mix_lambda"]])
    replay = Replay(draws)
    x = array(case["x"])
    kept = x.clone()
    chosen = {"MixUp": MixUp, "CutMix": CutMix, "MixVideo": MixVideo}[name](**case["args"])
    audio = (array(case["audio"]),) if "audio" in case else ()
    got = chosen(x, labels, *audio, rng=replay)
    assert replay.finished() and torch.equal(x, kept), case["id"]
    if "box_y1_y2_x1_x2" in case:
        box = cut_box(*x.shape[-2:], case["mix_lambda"], Replay(case["draws"]))
        assert list(box) == case["box_y1_y2_x1_x2"]
    return got


def test_every_case_of_the_factory_and_of_mixing(shared, capsys):
    reference = Reference(shared, "factory_mix_ptv")
    seen: Counter[str] = Counter()
    for case in reference.cases:
        name = case["fn"].rsplit(".", 1)[1]
        seen[name] += 1
        expected = reference.output(case["out"])
        if name == "create_video_transform":
            draws = Replay(case.get("draws", []))
            got = create(case, draws)
            assert draws.finished(), case["id"]
            assert torch.allclose(got, expected, rtol=0, atol=1e-5), case["id"]
        else:
            for one, other in zip(mix(name, case), expected, strict=True):
                assert torch.allclose(one, other, rtol=0, atol=1e-6), case["id"]
    with capsys.disabled():
        print(f"\nfactory_mix_ptv: {sum(seen.values())} cases of {len(seen)} functions")
    assert sum(seen.values()) == len(reference.cases) == 22


def test_torch_seeds_give_the_recorded_results(shared):
    """Without `rng` the recorded program's seed alone leads to the recorded result."""
    reference = Reference(shared, "factory_mix_ptv")
    for case in reference.cases:
        if case["fn"].endswith("create_video_transform") and "seed" in case:
            torch.manual_seed(case["seed"])
            got = create(case, None)
            expected = reference.output(case["out"])
            assert torch.allclose(got, expected, rtol=0, atol=1e-5), case["id"]


def test_the_mirror_image_is_not_lost_with_a_resized_crop():
    x = torch.randint(0, 256, (3, 4, 20, 26), dtype=torch.uint8)
    paras = {"scale": (1.0, 1.0), "aspect_ratio": (1.3, 1.3)}
    arguments = {"num_samples": 4, "crop_size": (20, 26), "random_resized_crop_paras": paras}
    plain = create_video_transform("train", horizontal_flip_prob=0.0, **arguments)(x)
    mirrored = create_video_transform("train", horizontal_flip_prob=1.0, **arguments)(x)
    assert torch.equal(plain.flip(-1), mirrored) and not torch.equal(plain, mirrored)
    assert (
        arguments["random_resized_crop_paras"]
        == paras
        == {
            "scale": (1.0, 1.0),
            "aspect_ratio": (1.3, 1.3),
        }
    )


def test_borders_are_grey_in_both_dtypes():
    x = torch.full((2, 3, 20, 20), 200, dtype=torch.uint8)
    moved = OPERATIONS["TranslateX"]
    for name, clip, gray in (("uint8", x, 127.5), ("float", x / 255, 0.5)):
        augment = RandAugment(magnitude=10, prob=1.0, num_layers=14)
        (translate,) = (
            t for t in augment.randaug_fn.transforms_list if t.transform_name == "TranslateX"
        )
        got = translate(
            clip,
            rng=Replay(
                [["torch.rand", [1], 0.0], ["torch.normal", [], 10.0], ["torch.rand", [1], 0.1]]
            ),
        )
        values = sorted({round(float(v), 2) for v in got.float().unique()})
        assert len(values) == 2 and abs(values[0] - gray) <= 1, name
    assert set(moved(x, 0.45, [0.5] * 3).unique().tolist()) == {0, 200}


@pytest.mark.parametrize("one_hot", [False, True])
@pytest.mark.parametrize("kind", [MixUp, CutMix, MixVideo])
def test_mixing_takes_sound_and_one_hot_labels(kind, one_hot):
    x, audio = torch.rand(5, 3, 2, 6, 8), torch.rand(5, 1, 4)
    labels = torch.tensor([0, 3, 1, 4, 2])
    given = convert_to_one_hot(labels, 5) if one_hot else labels
    mixer = kind(num_classes=5, one_hot=one_hot)
    for key in range(8):
        video, sound, soft = mixer(x, given, audio, rng=np.random.default_rng(key))
        assert video.shape == x.shape and sound.shape == audio.shape
        assert torch.allclose(soft.sum(1), torch.ones(5))
        again = mixer(x, given, audio, rng=np.random.default_rng(key))
        assert all(torch.equal(a, b) for a, b in zip((video, sound, soft), again, strict=True))
        # The middle one of an odd batch is mixed with itself.
        assert torch.allclose(video[2], x[2]) and soft[2, 1] == pytest.approx(1.0)
