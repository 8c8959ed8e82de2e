"""Published models, declared once each."""

from vitascope.models.hub.x3d import x3d_l, x3d_m, x3d_s, x3d_xs

__all__ = ["x3d_l", "x3d_m", "x3d_s", "x3d_xs"]
