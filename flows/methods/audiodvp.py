"""AudioDVP (Wen et al. 2020), the base of Meta Talk: the same way, with its own networks.

What differs stands in configs/methods/audiodvp.yaml: speech is heard by AT-net, and the networks
are those that the authors published for one person, or that `dubflow train` makes of the person's
own speech.
"""

from flows.methods import Method
from flows.methods.meta_talk import MetaTalkSettings, run, weights

METHOD = Method(MetaTalkSettings, run, weights)
