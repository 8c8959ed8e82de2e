"""Image ResNets under torchvision's names: translated, they compute the same."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from vitascope.models.resnet import create_resnet
from vitascope.models.weights import convert_state_dict, export_state_dict, load_into


class Bottleneck(nn.Module):
    """A residual block as torchvision names it, the stride in its 3x3 convolution."""

    def __init__(self, before: int, inner: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(before, inner, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = nn.Conv2d(inner, after, 1, bias=False), nn.BatchNorm2d(after)
        self.downsample = None
        if before != after:
            self.downsample = nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn1(self.conv1(x)).relu()
        y = self.bn3(self.conv3(self.bn2(self.conv2(y)).relu()))
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


def image_net(width: int = 8, classes: int = 6) -> nn.Sequential:
    parts: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=nn.Conv2d(3, width, 7, 2, 3, bias=False),
        bn1=nn.BatchNorm2d(width),
        relu=nn.ReLU(),
        maxpool=nn.MaxPool2d(3, 2, 1),
    )
    before = width
    for number in range(1, 5):
        inner = width * 2 ** (number - 1)
        blocks = [Bottleneck(before, inner, 4 * inner, 1 if number == 1 else 2)]
        blocks.append(Bottleneck(4 * inner, inner, 4 * inner, 1))
        parts[f"layer{number}"] = nn.Sequential(*blocks)
        before = 4 * inner
    parts |= {"pool": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten()}
    parts["fc"] = nn.Linear(before, classes)
    return nn.Sequential(parts)


def test_translated_network_computes_the_same() -> None:
    theirs = image_net().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in theirs.state_dict().values():
            if value.is_floating_point():
                value.add_(0.2 * torch.rand(value.shape, generator=generator))
    ours = create_resnet(
        stem_dim_out=8,
        stage_depths=(2, 2, 2, 2),
        stem_conv_kernel_size=(1, 7, 7),
        stage_conv_a_kernel_size=((1, 1, 1),) * 4,
        head_pool_kernel_size=(1, 2, 2),
        model_num_class=6,
    ).eval()
    report = load_into(ours, theirs.state_dict())
    assert report.dialect == "torchvision"
    assert len(report.renamed) == report.entries == len(theirs.state_dict())
    clip = torch.randn(2, 3, 1, 64, 64, generator=generator)
    with torch.no_grad():
        want, got = theirs(clip[:, :, 0]), ours(clip)
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-4)

    back = export_state_dict(ours.state_dict(), ours, "torchvision")
    assert set(back) == set(theirs.state_dict())
    again, report = convert_state_dict(back, ours)
    assert report.fits
    assert all(torch.equal(again[n], v) for n, v in ours.state_dict().items())
