"""Families and links."""

from .own import CustomFamily
from .records import FAMILIES, LINKS, Family, Link
from .resolve import resolve

__all__ = ["FAMILIES", "LINKS", "CustomFamily", "Family", "Link", "resolve"]
