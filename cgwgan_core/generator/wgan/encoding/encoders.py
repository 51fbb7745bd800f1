"""The encoders there are.

An encoder makes a template a pair (:class:`.Encoded`). One vector stands for the crystal as a whole (the *global site
encoder*: space group and lattice), and one for each site of the asymmetric unit (the *local site encoder*: Wyckoff
letter and free coordinates). Real and generated templates take exactly the same form.

It is a class with the methods of :class:`.Encoder`, entered here under the name that the configuration uses. It
brings its own output layer for the generator (:meth:`.Encoder.head`): only the representation knows which of its parts
are choices, which are continuous, and what symmetry forbids.
"""

from cgwgan_core.generator.wgan.encoding.categorical import Categorical
from cgwgan_core.generator.wgan.encoding.continuous import Continuous
from cgwgan_core.generator.wgan.encoding.protocol import Encoder

ENCODERS: dict[str, type[Encoder]] = {"categorical": Categorical, "continuous": Continuous}
"""Encoders by the name that ``model.encoder`` gives."""
