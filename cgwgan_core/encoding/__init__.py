"""Templates as tensors and back: what the critic sees, and how the generator makes the same.

A template becomes a pair (:class:`Encoded`): one vector for the crystal as a whole (the *global site encoder*:
space group and lattice) and one vector per site of the asymmetric unit (the *local site encoder*: Wyckoff
letter and free coordinates). Real and generated templates take exactly the same form.

An encoder is a class with the methods of :class:`Encoder`, entered in :data:`ENCODERS` under the name that the
configuration uses. It brings its own output layer for the generator (:meth:`Encoder.head`), because only the
representation knows which of its parts are choices, which are continuous, and what symmetry forbids.
"""

from .categorical import Categorical
from .continuous import Continuous
from .protocol import Encoded, Encoder, Head

ENCODERS: dict[str, type[Encoder]] = {"categorical": Categorical, "continuous": Continuous}
"""Encoders by the name that ``model.encoder`` gives."""

__all__ = ["ENCODERS", "Categorical", "Continuous", "Encoded", "Encoder", "Head"]
