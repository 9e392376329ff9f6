"""At which lambda a judge on trial is set against routing."""

import numpy as np

from controlplane.learn.imagine import ArmGrid, Outlook, imagine
from controlplane.learn.policy_family import COARSE


def trial_lambda(traffic: Outlook) -> float:
    """Where judging is believed to gain most, for how far a difference reaches.

    At either end judging and routing serve alike: all from the cloud, or all from the local tier.
    """
    lambdas = np.array(COARSE)
    judged, routed = (
        imagine(traffic, ArmGrid((mode,) * len(lambdas), lambdas))
        for mode in ("cascade_route", "route")
    )
    better, dearer = judged.quality - routed.quality, judged.cost - routed.cost
    gain = (better - lambdas * dearer).mean(axis=0)
    return float(lambdas[np.argmax(gain / (1 + lambdas))])
