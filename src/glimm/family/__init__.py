"""Families and links."""

from .own import CustomFamily
from .records import FAMILIES, LEVELS, LINKS, Family, Link
from .resolve import resolve

__all__ = ["FAMILIES", "LEVELS", "LINKS", "CustomFamily", "Family", "Link", "resolve"]
