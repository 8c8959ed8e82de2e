"""Old import paths of PyTorchVideo.

`import vitascope.compat.pytorchvideo` makes `import pytorchvideo[.anything]` resolve to vitascope.
Modules whose path was kept are the very same objects; the others are made from the rows below, and
using one of those issues a DeprecationWarning that names the home. Without that import nothing is
installed.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import nn

from vitascope.compat.ptv import hub
from vitascope.compat.ptv import names as ptv_names
from vitascope.errors import ConfigError
from vitascope.layers.attention import MultiScaleAttention, MultiScaleBlock

OLD, NEW = "pytorchvideo", "vitascope"
_VERSION = "0.1.5"  # the release whose interface is served

# old package -> home of the whole package, whose modules have the same names
PREFIXES: dict[str, str] = {
    "data": "compat.ptv.data",
    "neural_engine": "compat.ptv.neural_engine",
}
# old module (below pytorchvideo) -> homes (below vitascope) of its names
MODULES: dict[str, tuple[str, ...]] = {
    "accelerator.deployment.common.model_transmuter": ("accelerator.transmute",),
    "accelerator.deployment.mobile_cpu.transmuter": ("accelerator.transmute",),
    "accelerator.deployment.mobile_cpu.transmuter.transmuter_mobile_cpu": (
        "accelerator.transmute",
    ),
    "accelerator.deployment.mobile_cpu.utils.model_conversion": ("accelerator.convert",),
    "accelerator.efficient_blocks.efficient_block_base": ("layers.mobile_cpu.base",),
    "accelerator.efficient_blocks.no_op_convert_block": ("layers.mobile_cpu.base",),
    "layers.accelerator.mobile_cpu.activation_functions": ("layers.mobile_cpu.activations",),
    "layers.accelerator.mobile_cpu.attention": ("layers.mobile_cpu.attention",),
    "layers.accelerator.mobile_cpu.conv_helper": ("layers.mobile_cpu.lowered",),
    "layers.accelerator.mobile_cpu.convolutions": ("layers.mobile_cpu.convolutions",),
    "layers.accelerator.mobile_cpu.fully_connected": ("layers.mobile_cpu.linear",),
    "layers.accelerator.mobile_cpu.pool": ("layers.mobile_cpu.pool",),
    "layers.attention_torchscript": ("layers.attention",),
    "layers.distributed": ("distributed",),
    "layers.positional_encoding_torchscript": ("layers.positional_encoding",),
    "losses": (),  # a function has the name of the module below it in vitascope.losses
    "models.accelerator.mobile_cpu.efficient_x3d": ("models.efficient_x3d",),
    "models.accelerator.mobile_cpu.residual_blocks": ("models.efficient_x3d",),
    "models.byol": ("ssl.byol",),
    "models.hub.efficient_x3d_mobile_cpu": ("models.hub.efficient_x3d",),
    "models.hub.utils": (),
    "models.hub.vision_transformers": ("models.hub.mvit",),
    "models.memory_bank": ("ssl.memory_bank",),
    "models.simclr": ("ssl.simclr",),
    "models.vision_transformers": ("models.mvit.model",),
}
# old module -> {old name: home "module:name"}, where a name moved or is called otherwise
NAMES: dict[str, dict[str, str]] = {
    "layers": {
        "ScriptableMultiScaleBlock": "compat.pytorchvideo:ScriptableMultiScaleBlock",
        "ScriptableSpatioTemporalClsPositionalEncoding": (
            "layers.positional_encoding:SpatioTemporalClsPositionalEncoding"
        ),
    },
    "layers.positional_encoding_torchscript": {
        "ScriptableSpatioTemporalClsPositionalEncoding": (
            "layers.positional_encoding:SpatioTemporalClsPositionalEncoding"
        ),
    },
    "layers.attention_torchscript": {
        "MultiScaleAttention": "compat.pytorchvideo:ScriptableMultiScaleAttention",
        "ScriptableMultiScaleBlock": "compat.pytorchvideo:ScriptableMultiScaleBlock",
    },
    "models.accelerator.mobile_cpu.efficient_x3d": {
        "create_x3d": "models.efficient_x3d:create_efficient_x3d",
    },
    "layers.accelerator.mobile_cpu.convolutions": {
        "TORCH_VERSION": "compat.pytorchvideo:TORCH_VERSION",
    },
    "models.hub.utils": {
        "MODEL_ZOO_ROOT_DIR": "models.hub.rows:PTV_FILES",
        "hub_model_builder": "compat.pytorchvideo:hub_model_builder",
    },
    "models.hub.vision_transformers": {"MODEL_ZOO_ROOT_DIR": "models.hub.rows:PTV_FILES"},
    "models.resnet": {
        "create_acoustic_bottleneck_block": (
            "models.acoustic_resnet:create_acoustic_bottleneck_block"
        ),
        "create_acoustic_resnet": "models.acoustic_resnet:create_acoustic_resnet",
    },
}


# Names that have no other home than this file.
TORCH_VERSION = tuple(int(part) for part in torch.__version__.split(".")[:2])


def hub_model_builder(
    model_builder_func: Callable[..., nn.Module],
    pretrained: bool = False,
    progress: bool = True,
    checkpoint_path: str = "",
    default_config: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> nn.Module:
    """Builds a model and loads weights, as PyTorchVideo's hub entries did.

    Args:
        model_builder_func: builder of the model.
        pretrained: load the weights at `checkpoint_path`.
        progress: show a bar while they are fetched.
        checkpoint_path: address of the weights.
        default_config: arguments of the builder.
        kwargs: arguments that replace those; None is a value like any other. Without
            `pretrained` only.

    Raises:
        ConfigError: `pretrained` with arguments of the model.
        WeightsError: `pretrained` without an address, or weights that do not fit.
    """
    if pretrained and kwargs:
        raise ConfigError(
            f"pretrained=True with {', '.join(kwargs)}: published weights fit the published "
            f"model alone. Build it without pretrained=True, and load what fits with "
            f"vitascope.load."
        )
    model = model_builder_func(**{**(default_config or {}), **kwargs})
    if pretrained:
        hub.load_from_address(model, checkpoint_path, progress)
    return model


def _without(cls: type[nn.Module], parameter: str) -> Any:
    """A subclass that takes the same arguments but one, also by their places."""
    signature = inspect.signature(cls)
    kept = [p for name, p in signature.parameters.items() if name != parameter]
    names = [p.name for p in kept]

    def start(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        cls.__init__(self, **dict(zip(names, args, strict=False)), **kwargs)

    return type(
        cls.__name__,
        (cls,),
        {
            "__init__": start,
            "__doc__": f"`{cls.__name__}` with the arguments of PyTorchVideo's scriptable version.",
            "__module__": __name__,
            "__signature__": signature.replace(parameters=kept),
        },
    )


# Their originals had no such argument, so that the places of the later ones differ.
ScriptableMultiScaleAttention = _without(MultiScaleAttention, "dim_out")
ScriptableMultiScaleBlock = _without(MultiScaleBlock, "dim_mul_in_att")


def homes(module: str) -> dict[str, str]:
    """Names of a moved module with their homes as "module:name" (below vitascope)."""
    found: dict[str, str] = {}
    for home in MODULES.get(module, ()):
        loaded = importlib.import_module(f"{NEW}.{home}")
        names = getattr(loaded, "__all__", None) or [n for n in vars(loaded) if n[0] != "_"]
        found.update({name: f"{home}:{name}" for name in names})
    return {**found, **moved_names(module)}


def moved_names(module: str) -> dict[str, str]:
    """Names that an old module showed and that lie elsewhere now, with their homes."""
    return {**ptv_names.NAMES.get(module, {}), **NAMES.get(module, {})}


def resolve(home: str) -> Any:
    """The object at a home such as "models.x3d:create_x3d"."""
    module, _, name = home.partition(":")
    return getattr(importlib.import_module(f"{NEW}.{module}"), name)


def _moved(old: str, home: str, stacklevel: int) -> None:
    warnings.warn(
        f"{OLD}.{old} is now {NEW}.{home.replace(':', '.')}", DeprecationWarning, stacklevel
    )


class _Moved(ModuleType):
    """A module that has no kept path: what is set here is set at the home, too.

    So `unittest.mock.patch("pytorchvideo.X.name")` reaches the code that uses the name there.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        home = vars(self).get("__homes__", {}).get(name)
        if home is not None:
            module, _, there = home.partition(":")
            setattr(importlib.import_module(f"{NEW}.{module}"), there, value)


def _fill(module: ModuleType, old: str) -> None:
    """Gives a module that has no kept path the names of its rows."""
    target = ", vitascope.".join(MODULES[old]) or old.removesuffix(".utils")
    _moved(old, target, 3)
    found = homes(old)
    vars(module).update({name: resolve(home) for name, home in found.items()})
    vars(module)["__homes__"] = found


def _lend(module: ModuleType, old: str) -> None:
    """Lets a module answer to the names that moved away from it, and to the modules below it."""
    moved = {name: home for name, home in moved_names(old).items() if name not in vars(module)}
    below = ptv_names.SUBMODULES.get(old, ())
    if vars(module).get("__lends__") == old or not (moved or below):
        return
    before, listed = vars(module).get("__getattr__"), vars(module).get("__dir__")

    def lookup(name: str) -> Any:
        if name in moved:
            _moved(f"{old}.{name}", moved[name], 3)
            return resolve(moved[name])
        if name in below:
            return importlib.import_module(f"{OLD}.{old}.{name}" if old else f"{OLD}.{name}")
        message = f"module {module.__name__!r} has no attribute {name!r}"
        try:
            if before is not None:
                return before(name)
        except AttributeError as error:
            message = str(error)
        raise AttributeError(message, name=name, obj=module)  # of which Python makes suggestions

    def names() -> list[str]:
        own = listed() if listed is not None else [*vars(module), *vars(module).get("__all__", ())]
        return sorted({*own, *moved, *below})

    vars(module).update(__getattr__=lookup, __dir__=names, __lends__=old)
    shown = [name for name in moved if not name.startswith("_")]
    if shown:  # a star import looks nowhere else
        own = vars(module).get("__all__") or [n for n in vars(module) if not n.startswith("_")]
        vars(module)["__all__"] = list(dict.fromkeys([*own, *shown]))


def _home_of(relative: str) -> str:
    """Path (below vitascope) of the module that an old path (below pytorchvideo) stands for."""
    package, dot, rest = relative.partition(".")
    return f"{PREFIXES.get(package, package)}{dot}{rest}"


def _kept(relative: str) -> bool:
    """Whether vitascope has a module for this path."""
    try:
        return importlib.util.find_spec(f"{NEW}.{_home_of(relative)}") is not None
    except ModuleNotFoundError:
        return False


def kept_home(relative: str) -> str | None:
    """The module of vitascope that is served whole as this old module (below pytorchvideo)."""
    return f"{NEW}.{_home_of(relative)}" if _kept(relative) else None


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Answers `pytorchvideo` and everything below it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] != OLD:
            return None
        relative = fullname[len(OLD) + 1 :]
        is_folder = relative in ptv_names.SUBMODULES
        served = not relative or is_folder or relative in MODULES or _kept(relative)
        if not served or not _existed(relative):
            # Not None: the folders of kept packages would be searched next, and a second copy of a
            # module of vitascope be made.
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return importlib.machinery.ModuleSpec(
            fullname, self, is_package=is_folder or relative not in MODULES
        )

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return _Moved(spec.name) if spec.name[len(OLD) + 1 :] in MODULES else None

    def exec_module(self, module: ModuleType) -> None:
        relative = module.__name__[len(OLD) + 1 :]
        if not relative:
            module.__dict__["__version__"] = _VERSION
        elif relative in MODULES:
            _fill(module, relative)
        elif _kept(relative):
            real = importlib.import_module(f"{NEW}.{_home_of(relative)}")
            # The import system hands out what lies here when this function returns.
            sys.modules[module.__name__] = real
            _adopt(real, relative)
            module = real
        _lend(module, relative)


def _adopt(package: ModuleType, old: str) -> None:
    """Makes the modules below a kept package known by their old paths, with what they lend.

    They must not be loaded by those: the import system would then set them as attributes of the
    package, where a function may have the same name (`data.labeled_video_dataset`). And what is
    loaded by its new path only would lend nothing.
    """
    if old.partition(".")[0] not in PREFIXES:
        for name in ptv_names.SUBMODULES.get(old, ()):
            path = f"{old}.{name}"
            if name not in vars(package) and path not in MODULES and _kept(path):
                importlib.import_module(f"{NEW}.{path}")
    for name, loaded in list(sys.modules.items()):
        below = name.removeprefix(f"{package.__name__}.")
        path = f"{old}.{below}"
        if below != name and path not in MODULES and _existed(path):
            sys.modules.setdefault(f"{OLD}.{path}", loaded)
            _lend(loaded, path)


def _existed(relative: str) -> bool:
    """Whether PyTorchVideo had this module; packages of `PREFIXES` are not looked into."""
    package, _, name = relative.rpartition(".")
    if relative.partition(".")[0] in PREFIXES or not relative:
        return True
    return name in ptv_names.SUBMODULES.get(package, ())


def install() -> None:
    """Serves `import pytorchvideo` from now on; a second call does nothing.

    Raises:
        ImportError: the original package is imported already, so that classes of both would mix.
    """
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    if OLD in sys.modules:
        raise ImportError(
            f"the original {OLD} is imported already ({sys.modules[OLD].__file__}). Import "
            f"vitascope.compat.pytorchvideo before it, or start a new process."
        )
    sys.meta_path.insert(0, _Finder())


install()
