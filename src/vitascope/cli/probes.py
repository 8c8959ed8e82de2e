"""Small trials that `vitascope doctor` runs, each in a process of its own.

A library that is built wrongly can end the process or hang instead of raising an error; only
another process can tell. `python -m vitascope.cli.probes KIND NAME` prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from fractions import Fraction
from importlib import metadata
from pathlib import Path
from typing import Any

from vitascope.errors import DecodeError, VerificationError, VitascopeError

FRAMES = 12


def probe_torch(name: str) -> dict[str, Any]:
    """Trains a convolution for one step on every kind of device; lists what else to try."""
    import torch

    from vitascope.accelerator.export.target import TARGETS
    from vitascope.data.decoder import BACKENDS
    from vitascope.distributed import cores

    devices = ["cpu"]
    devices += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    devices += ["mps"] if torch.backends.mps.is_available() else []
    for device in devices:
        net = torch.nn.Conv3d(3, 4, 3).to(device)
        net(torch.randn(1, 3, 4, 8, 8, device=device)).sum().backward()
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "detail": f"computes on {', '.join(devices)}",
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "gpus": names,
        "decoders": list(BACKENDS),
        "targets": {n: t.extra for n, t in TARGETS.items()},
    }


def probe_decoder(name: str) -> dict[str, Any]:
    """Reads a video whose frames say their number, forwards and at random."""
    from vitascope.data.decoder import DecoderType, open_video
    from vitascope.data.render import numbered_frame, read_number, render_numbered
    from vitascope.serving.draw import png

    with tempfile.TemporaryDirectory(prefix="vitascope-doctor-") as folder:
        if name == DecoderType.IMAGES:
            film, kind = Path(folder), "PNG images"
            for number in range(FRAMES):
                (film / f"{number:03d}.png").write_bytes(png(numbered_frame(number)))
        else:
            film, kind = Path(folder) / "film.mp4", "an H.264 video"
            render_numbered(film, FRAMES, fps=Fraction(25))
        wanted = [*range(FRAMES), FRAMES - 1, 0, FRAMES // 2]
        with open_video(film, decoder=name) as video:
            times, frames = video.times, video.read(wanted)
        read = [read_number(frame.numpy()) for frame in frames.data]
    if read != wanted or list(times) != [Fraction(n, 25) for n in range(FRAMES)]:
        raise DecodeError(kind, f"frames {read} came out, {wanted} were asked for")
    return {"detail": f"read {kind} exactly", "versions": _decoder_versions(name)}


def _decoder_versions(name: str) -> dict[str, str]:
    from vitascope.data.decoder import backend

    module = backend(name).__module__.rpartition(".")[2]
    if module in ("pyav", "images"):
        import av

        return {"PyAV": av.__version__, "FFmpeg": av.ffmpeg_version_info}
    # OpenCV's module is in one of four packages.
    packages = metadata.packages_distributions().get({"opencv": "cv2"}.get(module, module), ())
    return {package: metadata.version(package) for package in sorted(set(packages))}


def probe_target(name: str) -> dict[str, Any]:
    """Exports a model of two layers and compares its scores with the original's."""
    import torch

    from vitascope.accelerator.export import export_model
    from vitascope.accelerator.export.target import TARGETS
    from vitascope.spec import ClipSpec, Contract, LabelSpec, PixelSpec

    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv3d(3, 4, 3),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool3d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 3),
    )
    contract = Contract(
        model="probe",
        args={},
        labels=LabelSpec(names=("a", "b", "c")),
        clip=ClipSpec(num_frames=4),
        pixels=PixelSpec(short_side=8, crop=(8, 8)),
    )
    clips = [torch.randn(3, 4, 8, 8) for _ in range(2)]
    with tempfile.TemporaryDirectory(prefix="vitascope-doctor-") as folder:
        _, checked = export_model(net, contract, clips, Path(folder), to=name, repeats=1)
    if not checked.ok:
        raise VerificationError(
            f"scores differ by {checked.max_abs_diff:.2g}; {checked.allowed:.2g} is allowed"
        )
    versions = {m: metadata.version(m) for m in TARGETS[name].modules}
    return {
        "detail": f"exported and ran a small model; largest difference {checked.max_abs_diff:.1g}",
        "versions": versions,
    }


PROBES: dict[str, Callable[[str], dict[str, Any]]] = {
    "torch": probe_torch,
    "decoder": probe_decoder,
    "target": probe_target,
}


def main() -> None:
    """Runs one probe and prints what it found as one line of JSON."""
    kind, name = sys.argv[1:3]
    try:
        found = {"works": True, **PROBES[kind](name)}
    except VitascopeError as error:
        found = {"works": False, "reason": str(error)}
    # Libraries print to standard output as they like; the parent takes the last line.
    print("\n" + json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
