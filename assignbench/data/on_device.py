"""The pixels of a batch made from originals all at once, on the device where they lie, as augment.py makes them.

Cutting, resizing and flipping are one linear map of rows and one of columns for each image: Pillow's bilinear filter,
which widens where it makes smaller, rounded to whole levels after the columns and after the rows as Pillow does. What
differs from it is the rounding of weights: one level here and there.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from assignbench.config.images import HW
from assignbench.data.augment import Change, window
from assignbench.data.stream import Late

_NEUTRAL = (1.0, 1.0, 1.0)
_NEVER = (1.0, 1.0, 1.0, 1.0)  # chances that are not met


@dataclass(frozen=True)
class Recipe:
    """The numbers of a batch's changes: `places` [B, 2, 7] of columns and rows, `colours` [B, 11].

    A place is: where the seen part begins and how many px of it make one of the result, where in the result it begins
    and ends, px of the original and of the result, and whether it is turned around.
    """

    places: Tensor
    colours: Tensor
    shape: HW
    fill: tuple[int, int, int]
    ssd: bool
    jitter: bool


def recipe_of(late: Late) -> Recipe:
    """The numbers of what is late, on the host."""
    pairs = list(zip(late.changes, late.originals, strict=True))
    places = torch.tensor([[_place(change, size, axis) for axis in (0, 1)] for change, size in pairs])
    colours = torch.tensor([_colours(change) for change in late.changes])
    ssd, jitter = (any(getattr(c, name) is not None for c in late.changes) for name in ("ssd", "jitter"))
    return Recipe(places, colours, late.shape, late.fill, ssd, jitter)


def made(originals: Tensor, recipe: Recipe) -> Tensor:
    """Images [B, 3, *shape] uint8 of padded originals [B, 3, H, W] uint8; all tensors lie on one device."""
    values, (high, wide) = originals.float(), recipe.shape
    across, covered_x, inside_x = _weights(recipe.places[:, 0], wide, originals.shape[3])
    down, covered_y, inside_y = _weights(recipe.places[:, 1], high, originals.shape[2])
    values = _levels(torch.matmul(values, across.transpose(1, 2).unsqueeze(1)))
    values = _levels(torch.matmul(down.unsqueeze(1), values))
    fill = torch.stack([torch.full((1, 1), float(c), device=values.device) for c in recipe.fill])
    values = torch.where((covered_y.unsqueeze(2) & covered_x.unsqueeze(1)).unsqueeze(1), values, fill)
    inside = (inside_y.unsqueeze(2) & inside_x.unsqueeze(1)).unsqueeze(1)  # the padding of a batch keeps its colour
    if recipe.ssd:
        values = torch.where(inside, _ssd(values, recipe.colours[:, 3:]), values)
    if recipe.jitter:
        values = torch.where(inside, _jittered(values, inside, recipe.colours[:, :3]), values)
    return values.to(torch.uint8)


def _place(change: Change, size: HW, axis: int) -> list[float]:
    """Columns (axis 0) or rows (axis 1) of an original of (height, width)."""
    found = window(size[1], size[0], change.region, change.hw)
    begin, end = found.target[axis], found.target[axis + 2]
    step = (found.seen[axis + 2] - found.seen[axis]) / (end - begin)
    turned = change.down if axis else change.across
    return [found.seen[axis], step, begin, end, size[1 - axis], change.hw[1 - axis], float(turned)]


def _colours(change: Change) -> list[float]:
    chance, amount = change.ssd or (_NEVER, (0.0,) * 4)
    return [*(change.jitter or _NEUTRAL), *chance, *amount]


def _weights(place: Tensor, wanted: int, held: int) -> tuple[Tensor, Tensor, Tensor]:
    """The filter [B, wanted, held] of one axis, what of it comes from the original [B, wanted], and what is of the
    image and not of the padding around it [B, wanted].
    """
    start, step, begin, end, size, length, turned = (p.unsqueeze(1) for p in place.unbind(1))
    number = torch.arange(wanted, device=place.device).unsqueeze(0)
    inside = number < length
    number = torch.where(turned > 0, length - 1 - number, number)
    covered = (number >= begin) & (number < end) & inside
    centre = (start + (number - begin + 0.5) * step).unsqueeze(2)
    support = step.clamp(min=1.0).unsqueeze(2)
    pixel = torch.arange(held, device=place.device)
    weight = (1 - (pixel + 0.5 - centre).abs() / support).clamp(min=0.0) * (pixel < size.unsqueeze(2))
    weight = weight / weight.sum(dim=2, keepdim=True).clamp(min=1e-9)
    return weight * covered.unsqueeze(2), covered, inside


def _levels(values: Tensor) -> Tensor:
    """Rounded to whole levels from 0 to 255."""
    return (values + 0.5).floor().clamp(0, 255)


def _jittered(values: Tensor, inside: Tensor, factors: Tensor) -> Tensor:
    """Brightness, contrast and saturation by `factors` [B, 3]."""
    brightness, contrast, saturation = (f.view(-1, 1, 1, 1) for f in factors.unbind(1))
    values = values * brightness
    count = 3 * inside.sum(dim=(1, 2, 3), keepdim=True)
    mean = (values * inside).sum(dim=(1, 2, 3), keepdim=True) / count
    values = (values - mean) * contrast + mean
    grey = values.mean(dim=1, keepdim=True)
    return ((values - grey) * saturation + grey).clamp(0, 255).floor()


def _ssd(values: Tensor, drawn: Tensor) -> Tensor:
    """Brightness, contrast, hue and saturation by chances [B, 4] and amounts [B, 4], each where the chance is met."""
    met, amount = (drawn[:, :4] < 0.5).unbind(1), drawn[:, 4:].unbind(1)
    bright, contrast, turned, saturated = (m.view(-1, 1, 1, 1) for m in met)
    first, second, third, fourth = (a.view(-1, 1, 1, 1) for a in amount)
    values = values + bright * (64 * first - 32)
    values = (values * torch.where(contrast, 0.5 + second, 1.0)).clamp(0, 255).floor()
    hue, saturation, value = _hsv(values)
    hue = torch.where(turned, (hue + (36 * third - 18) * 256 / 360).remainder(256), hue).floor()
    saturation = torch.where(saturated, (saturation * (0.5 + fourth)).clamp(0, 255), saturation).floor()
    return torch.where(turned | saturated, _rgb(hue, saturation, value), values)


def _hsv(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Hue, saturation and value [B, 1, H, W] in whole levels of RGB [B, 3, H, W], as Pillow has them."""
    red, green, blue = (colour.unsqueeze(1) for colour in values.unbind(1))
    high, low = values.amax(1, keepdim=True), values.amin(1, keepdim=True)
    spread = high - low
    apart = spread.clamp(min=1.0)
    r, g, b = ((high - c) / apart for c in (red, green, blue))
    hue = torch.where(red == high, b - g, torch.where(green == high, 2 + r - b, 4 + g - r))
    hue = ((hue / 6 + 1).remainder(1.0) * 255).floor()
    saturation = (spread / high.clamp(min=1.0) * 255).floor()
    grey = spread == 0
    return hue.masked_fill(grey, 0.0), saturation.masked_fill(grey, 0.0), high


def _rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """RGB [B, 3, H, W] of hue, saturation and value [B, 1, H, W], as Pillow has it."""
    sector = hue * 6 / 255
    number = sector.floor()
    part, share = sector - number, saturation / 255
    p = (value * (1 - share) + 0.5).floor()
    q = (value * (1 - share * part) + 0.5).floor()
    t = (value * (1 - share * (1 - part)) + 0.5).floor()
    kind = number.remainder(6).long()
    red = torch.cat([value, q, p, p, t, value], dim=1).gather(1, kind)
    green = torch.cat([t, value, value, q, p, p], dim=1).gather(1, kind)
    blue = torch.cat([p, p, t, value, value, q], dim=1).gather(1, kind)
    return torch.cat([red, green, blue], dim=1).clamp(0, 255)
