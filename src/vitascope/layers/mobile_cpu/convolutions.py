"""Convolution, norm and activation as one block, with a form for deployment."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vitascope.layers.convolutions import depthwise_conv3d
from vitascope.layers.depthwise import DepthwiseConv3d
from vitascope.layers.mobile_cpu.activations import Identity, ReLU, make_named_activation
from vitascope.layers.mobile_cpu.base import BlobSize, EfficientBlockBase
from vitascope.layers.mobile_cpu.lowered import fuse_relu, lower_conv3d

Triple = tuple[int, int, int]


def _plain(conv: nn.Conv3d) -> nn.Conv3d:
    """The convolution as PyTorch's own class, the only one that quantization replaces.

    What a depthwise convolution has of its own are gradients, and kernels of a GPU.
    """
    if type(conv) is nn.Conv3d or conv.weight.device.type != "cpu":
        return conv
    plain = nn.Conv3d(
        conv.in_channels, conv.out_channels, _triple(conv.kernel_size), _triple(conv.stride),
        _triple(conv.padding), _triple(conv.dilation), conv.groups, conv.bias is not None,
        device="meta",
    )  # fmt: skip
    plain.weight, plain.bias = conv.weight, conv.bias
    return plain.train(conv.training)


def _triple(values: Any) -> Triple:
    return (int(values[0]), int(values[1]), int(values[2]))


class _ConvBnAct(EfficientBlockBase):
    """What the blocks below have in common: `kernel` with `conv`, `bn` and `act`."""

    def __init__(
        self,
        conv: nn.Conv3d,
        activation: str,
        use_bn: bool,
        norm_eps: float,
        norm_momentum: float,
    ) -> None:
        super().__init__()
        parts: OrderedDict[str, nn.Module] = OrderedDict(conv=conv)
        if use_bn:
            parts["bn"] = nn.BatchNorm3d(conv.out_channels, norm_eps, norm_momentum)
        parts["act"] = make_named_activation(activation)
        self.kernel = nn.Sequential(parts)
        self.convert_flag = False

    def convert(
        self,
        input_blob_size: BlobSize | None = None,
        convert_for_quantize: bool = False,
        native_conv3d_op_qnnpack: bool = False,
        **kwargs: Any,
    ) -> None:
        """Folds the norm into the convolution and, for int8, the convolution into 2-D ones.

        Args:
            input_blob_size: shape of the input; any other size works too.
            convert_for_quantize: make 2-D convolutions, for which int8 kernels exist. In float32
                the 3-D kernels are as fast or faster, so they are kept.
            native_conv3d_op_qnnpack: the runtime has int8 kernels for 3-D convolutions: keep them.
            kwargs: not used here.
        """
        assert not self.convert_flag, "converted already"
        conv = self.kernel.get_submodule("conv")
        assert isinstance(conv, nn.Conv3d)
        if "bn" in dict(self.kernel.named_children()):
            bn = self.kernel.get_submodule("bn")
            assert isinstance(bn, nn.BatchNorm3d)
            conv = fuse_conv_bn_eval(conv.eval(), bn.eval())
        deployed: nn.Module = _plain(conv)
        if convert_for_quantize and not native_conv3d_op_qnnpack:
            deployed = lower_conv3d(conv) or deployed
        act = self.kernel.get_submodule("act")
        assert isinstance(act, EfficientBlockBase)
        act.convert(input_blob_size)
        if isinstance(act, ReLU) and type(deployed) is not DepthwiseConv3d:
            deployed, act = fuse_relu(deployed), Identity()
        self.kernel = nn.Sequential(OrderedDict(conv=deployed, act=act))
        self.convert_flag = True

    def forward(self, x: Tensor) -> Tensor:
        """Maps B C T H W to B C' T' H' W'."""
        out: Tensor = self.kernel(x)
        return out


class Conv3dPwBnAct(_ConvBnAct):
    """A 1x1x1 convolution with norm and activation.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the result.
        bias: whether the convolution adds a number to each channel.
        activation: "relu", "swish", "hswish" or "identity".
        use_bn: with a batch norm.
        norm_eps: its epsilon.
        norm_momentum: its momentum.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        bias: bool = False,
        activation: str = "relu",
        use_bn: bool = True,
        norm_eps: float = 1e-5,
        norm_momentum: float = 0.1,
    ) -> None:
        conv = nn.Conv3d(in_channels, out_channels, 1, bias=bias)
        super().__init__(conv, activation, use_bn, norm_eps, norm_momentum)


class Conv3d3x3x3DwBnAct(_ConvBnAct):
    """A depthwise 3x3x3 convolution with norm and activation.

    Args:
        in_channels: channels of input and result.
        spatial_stride: step in H and W.
        bias: whether the convolution adds a number to each channel.
        activation: see `Conv3dPwBnAct`.
        use_bn: with a batch norm.
        norm_eps: its epsilon.
        norm_momentum: its momentum.
    """

    def __init__(
        self,
        in_channels: int,
        spatial_stride: int = 1,
        bias: bool = False,
        activation: str = "relu",
        use_bn: bool = True,
        norm_eps: float = 1e-5,
        norm_momentum: float = 0.1,
    ) -> None:
        stride = (1, spatial_stride, spatial_stride)
        conv = depthwise_conv3d(in_channels, 3, stride=stride, padding=1, bias=bias)
        super().__init__(conv, activation, use_bn, norm_eps, norm_momentum)


class Conv3dTemporalKernel1BnAct(_ConvBnAct):
    """A 1 x k x k convolution with norm and activation.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the result.
        bias: whether the convolution adds a number to each channel.
        groups: channel groups.
        spatial_kernel: size k.
        spatial_stride: step in H and W.
        spatial_padding: zeros in H and W.
        spatial_dilation: distance of the taps in H and W.
        activation: see `Conv3dPwBnAct`.
        use_bn: with a batch norm.
        norm_eps: its epsilon.
        norm_momentum: its momentum.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        bias: bool = False,
        groups: int = 1,
        spatial_kernel: int = 1,
        spatial_stride: int = 1,
        spatial_padding: int = 0,
        spatial_dilation: int = 1,
        activation: str = "relu",
        use_bn: bool = True,
        norm_eps: float = 1e-5,
        norm_momentum: float = 0.1,
    ) -> None:
        conv = nn.Conv3d(
            in_channels,
            out_channels,
            (1, spatial_kernel, spatial_kernel),
            (1, spatial_stride, spatial_stride),
            (0, spatial_padding, spatial_padding),
            (1, spatial_dilation, spatial_dilation),
            groups,
            bias,
        )
        super().__init__(conv, activation, use_bn, norm_eps, norm_momentum)


def _temporal(size: int, in_channels: int, out_channels: int, groups: int, bias: bool) -> nn.Conv3d:
    kernel, padding = (size, 1, 1), (size // 2, 0, 0)
    if groups == in_channels == out_channels and groups > 1:
        return depthwise_conv3d(groups, kernel, padding=padding, bias=bias)
    return nn.Conv3d(in_channels, out_channels, kernel, padding=padding, groups=groups, bias=bias)


class Conv3d3x1x1BnAct(_ConvBnAct):
    """A 3x1x1 convolution with norm and activation.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the result.
        groups: channel groups.
        bias: whether the convolution adds a number to each channel.
        activation: see `Conv3dPwBnAct`.
        use_bn: with a batch norm.
        norm_eps: its epsilon.
        norm_momentum: its momentum.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        groups: int = 1,
        bias: bool = False,
        activation: str = "relu",
        use_bn: bool = True,
        norm_eps: float = 1e-5,
        norm_momentum: float = 0.1,
    ) -> None:
        conv = _temporal(3, in_channels, out_channels, groups, bias)
        super().__init__(conv, activation, use_bn, norm_eps, norm_momentum)


class Conv3d5x1x1BnAct(_ConvBnAct):
    """A 5x1x1 convolution with norm and activation; arguments as `Conv3d3x1x1BnAct`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        groups: int = 1,
        bias: bool = False,
        activation: str = "relu",
        use_bn: bool = True,
        norm_eps: float = 1e-5,
        norm_momentum: float = 0.1,
    ) -> None:
        conv = _temporal(5, in_channels, out_channels, groups, bias)
        super().__init__(conv, activation, use_bn, norm_eps, norm_momentum)
