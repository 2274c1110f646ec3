"""OPAL: do synthetic rows help on a small, imbalanced table? Whose, and how many?"""

__version__ = "0.1.0"
