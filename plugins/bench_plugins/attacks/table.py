"""The table of attacks: a row for each that torchattacks offers, and the truth about it.

A row says what an attack is, which parameters it takes, what it really does with norms, targets and
batches, and which faults it has. This room does not know how a row becomes a plugin, nor how
torchattacks is called.

Wherever a step size has the same default in torchattacks whatever ``eps`` is, a sweep over ``eps``
would flatten; here it follows ``eps``, in the ratio of torchattacks' defaults, unless it is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Annotated, Literal

from pydantic import Field

from bench_plugins.attacks.generated import Need, Parameter, Wrapped, installed, wrapped

LEFT_OUT: Mapping[str, str] = {
    "AutoAttack": "offered as the field means it, by bench_plugins.attacks.autoattack",
    "MultiAttack": "it runs other attacks on what remains correct: a suite's cascade does",
    "LGV": "it trains the classifier further, on training images, which no attack is given here",
}
"""What torchattacks offers beside the attacks of this table, and why it is not in it."""

# shared parameters

EPS = Parameter(float, 8 / 255, "radius, in pixels of [0, 1]", {"ge": 0, "le": 1})
EPS_L2 = Parameter(float, 1.0, "radius: Euclidean length, for pixels of [0, 1]", {"ge": 0})
EPS_OF_NORM = Parameter(float, 8 / 255, "radius in the norm, for pixels of [0, 1]", {"ge": 0})
NORM = Parameter(
    Literal["linf", "l2"],
    "linf",
    "of the ball",
    given={"linf": "Linf", "l2": "L2"}.__getitem__,
)
ALPHA = Parameter(
    float | None,
    None,
    "step, in pixels of [0, 1]; eps / 4 where not given",
    {"gt": 0, "le": 1},
    follows="eps",
    ratio=1 / 4,
)
ALPHA_L2 = Parameter(
    float | None,
    None,
    "step: Euclidean length, for pixels of [0, 1]; eps / 5 where not given, 0.001 at least",
    {"gt": 0},
    follows="eps",
    ratio=1 / 5,
    least=0.001,  # torchattacks divides by the length that a step of 0 leaves
)
STEPS = Parameter(int, 10, "number of steps", {"ge": 1})
STEPS_50 = Parameter(int, 50, "number of steps, at most", {"ge": 1})
RANDOM_START = Parameter(bool, default=True, description="begin at a uniform point of the ball")
NO_RANDOM_START = Parameter(bool, default=False, description="begin at a uniform point of the ball")
DECAY = Parameter(float, 1.0, "of the gradients that the momentum keeps", {"ge": 0})
NO_DECAY = Parameter(float, 0.0, "of the gradients that the momentum keeps", {"ge": 0})
RESIZE_RATE = Parameter(
    float, 0.9, "least size that images are shrunk to, as a share", {"gt": 0, "lt": 1}
)
DIVERSITY_PROB = Parameter(float, 0.5, "how often images are shrunk", {"ge": 0, "le": 1})
NEIGHBOURS = Parameter(int, 5, "points sampled around each iterate", {"ge": 1})
BETA = Parameter(float, 1.5, "how far from it, in multiples of eps", {"gt": 0})
NOISE_TYPE = Parameter(
    Literal["gaussian", "uniform"],
    "gaussian",
    "of the smoothing",
    given={"gaussian": "guassian", "uniform": "uniform"}.__getitem__,  # their spelling
)
NOISE_SD = Parameter(
    float, 0.5, "standard deviation of gaussian noise, half the width of uniform noise", {"ge": 0}
)
NOISE_BATCH_SIZE = Parameter(int, 5, "noisy copies of each image", {"ge": 1})
BATCH_MAX = Parameter(int, 2048, "noisy copies at a time, at most", {"ge": 1})
N_RESTARTS = Parameter(int, 1, "number of random starts", {"ge": 1})
EOT_ITER = Parameter(int, 1, "gradients averaged at each step", {"ge": 1})
RHO = Parameter(float, 0.75, "share of steps that must gain, else steps are halved", {"ge": 0})
TARGET_CLASSES = Parameter(
    int,
    9,
    "how many of the likeliest wrong classes are tried; all where there are fewer",
    {"ge": 1},
    name="n_classes",  # one more than torchattacks tries
    given=lambda tried: tried + 1,
)
KAPPA = Parameter(float, 0.0, "margin by which logits must differ", {"ge": 0})
MAX_EPSILON = Parameter(float, 8 / 255, "radius, in pixels of [0, 1]", {"ge": 0, "le": 1})
NUM_ITER_SET = Parameter(int, 10, "number of steps", {"ge": 1})
AMPLIFICATION = Parameter(float, 10.0, "step, in multiples of max_epsilon / steps", {"gt": 0})

# what data must be like


def _classes(least: int, loss: str | None = None) -> Need:
    """Need classes; given a loss, only where that is the attack's."""
    return Need(
        f"{least} classes or more" + (f" for its loss '{loss}'" if loss else ""),
        lambda attack, count, _: count >= least or (loss is not None and attack.loss != loss),
    )


def _at_most(values: int) -> Need:
    return Need(
        f"at most {values} values an image, since it compares all pairs of them",
        lambda _attack, _classes, shape: prod(shape) <= values,
    )


_UNTILED = (1, 2, 3, 4, 12, 14, 18, 19, 24)
"""Sides of images that the first tiles of Square stick out of, or that have room for none."""


def _is_tiled(attack: Wrapped, _classes: int, shape: tuple[int, int, int]) -> bool:
    """Whether Square can lay its first tiles, which it does in the l2 norm."""
    _, height, width = shape
    return attack.norm != "l2" or (height == width and height not in _UNTILED)


RGB = 3
THREE_CHANNELS = Need(f"{RGB} channels", lambda _attack, _classes, shape: shape[0] == RGB)
SQUARE_IMAGES = Need("square images", lambda _attack, _classes, shape: shape[1] == shape[2])

# faults that several attacks share

STUCK = (
    "an image whose gradient is exactly zero once, as where the classifier is certain, "
    "stays where it is for all later steps"
)

FROZEN = "values that are exactly 0 or 1 never change"
ALIKE = "where the classifier is certain (logits 17 apart) all candidates look alike to it"
MOVED_ORIGIN = (
    "its first step moves the very images that it measures from: values near 0 or 1 may leave "
    "that range, and then there is no verdict"
)
NO_NUMBER = "where the gradient is exactly zero it divides by zero: its image has no verdict"
TINY = (
    "it keeps a division from failing; torchattacks' 1e-10 is longer than gradients where the "
    "classifier is certain, and stops them"
)
SMOOTHED = (
    "it attacks the classifier behind noise of noise_sd, by default far more than eps: "
    "weak where the classifier is not smoothed"
)

# controls

VANILA = wrapped(
    "VANILA",
    doc="""Return the images as they are: a control that must change nothing.

    Source: none; torchattacks' VANILA.
    Deviations: none.
    """,
    norm=None,
    batch=1,
    gradients=False,
    parameters={},
    passes=lambda _: 0,
)

GN = wrapped(
    "GN",
    doc="""Add Gaussian noise: a control that bounds no norm.

    Source: the first corruption of Hendrycks and Dietterich, "Benchmarking Neural Network
        Robustness to Common Corruptions and Perturbations", 2019, section 4. Computed by
        torchattacks' GN.
    Deviations: images are run one by one, so that results do not depend on the suite's batch.
    """,
    norm=None,
    batch=1,
    gradients=False,
    parameters={"std": Parameter(float, 0.1, "standard deviation, in pixels of [0, 1]", {"ge": 0})},
    passes=lambda _: 0,
)

# one step

FGSM = wrapped(
    "FGSM",
    doc="""One step of size eps along the sign of the loss's gradient.

    Source: Goodfellow, Shlens and Szegedy, "Explaining and Harnessing Adversarial Examples", 2015,
        section 4; the targeted form as in Kurakin et al., "Adversarial Machine Learning at Scale",
        2017, equation 3. Computed by torchattacks' FGSM.
    Deviations: none; images are run in batches of 16, so that results do not depend on the suite's.
    """,
    norm="linf",
    targetable=True,
    is_single_step=True,
    # torchattacks averages the loss over its batch, and kernels round differently in batches of
    # different size: either can turn the sign of a gradient that is nearly zero. In batches of one
    # size an image meets the same divisor (a power of two: dividing by it is exact) and the same
    # kernels, whatever batch it came in.
    batch=16,
    parameters={"eps": EPS},
)

FFGSM = wrapped(
    "FFGSM",
    doc="""One step along the sign of the gradient, from a random point of the eps ball.

    Source: Wong, Rice and Kolter, "Fast is better than free: Revisiting adversarial training",
        2020, algorithm 3. Computed by torchattacks' FFGSM.
    Deviations: alpha is 10/8 of eps, the ratio of torchattacks' defaults, unless it is given.
    """,
    norm="linf",
    targetable=True,
    traceable=True,
    parameters={
        "eps": EPS,
        "alpha": Parameter(
            float | None,
            None,
            "step, in pixels of [0, 1]; 10/8 of eps where not given",
            {"gt": 0},
            follows="eps",
            ratio=10 / 8,
        ),
    },
)

# gradient signs in small steps

BIM = wrapped(
    "BIM",
    doc="""FGSM in small steps, projected into the eps ball after each.

    Source: Kurakin, Goodfellow and Bengio, "Adversarial Examples in the Physical World", 2017,
        section 2.2. Computed by torchattacks' BIM.
    Deviations: alpha is eps / 4, the ratio of torchattacks' defaults, unless it is given.
    """,
    norm="linf",
    targetable=True,
    traceable=True,
    parameters={"eps": EPS, "alpha": ALPHA, "steps": STEPS},
)

RFGSM = wrapped(
    "RFGSM",
    doc="""A random step of alpha at each value, then small steps along the gradient's sign.

    Source: Tramer et al., "Ensemble Adversarial Training: Attacks and Defenses", 2018, section 4.
        Computed by torchattacks' RFGSM.
    Deviations: several steps, where the paper takes one; alpha is eps / 4, the ratio of
        torchattacks' defaults, unless it is given.
    """,
    norm="linf",
    targetable=True,
    traceable=True,
    parameters={"eps": EPS, "alpha": ALPHA, "steps": STEPS},
)

PGD = wrapped(
    "PGD",
    doc="""Steps of size alpha along the sign of the loss's gradient, projected into the eps ball.

    Where ``alpha`` is not given, it is eps / 4, the ratio of torchattacks' defaults (2/255 and
    8/255). torchattacks keeps 2/255 whatever eps is, so that a sweep over eps would flatten.

    Source: Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", 2018,
        section 2.1. Computed by torchattacks' PGD.
    Deviations: alpha follows eps, as above; one random start, where the paper also restarts.
    """,
    norm="linf",
    targetable=True,
    traceable=True,
    parameters={"eps": EPS, "alpha": ALPHA, "steps": STEPS, "random_start": RANDOM_START},
)

EOTPGD = wrapped(
    "EOTPGD",
    doc="""PGD whose gradient is averaged over several passes: for classifiers that are random.

    Source: Zimmermann, "Comment on 'Adv-BNN: Improved Adversarial Defense through Robust Bayesian
        Neural Network'", 2019. Computed by torchattacks' EOTPGD.
    Deviations: alpha is eps / 4, the ratio of torchattacks' defaults, unless it is given.
    """,
    norm="linf",
    targetable=True,
    parameters={
        "eps": EPS,
        "alpha": ALPHA,
        "steps": STEPS,
        "eot_iter": Parameter(int, 2, "gradients averaged at each step", {"ge": 1}),
        "random_start": RANDOM_START,
    },
    passes=lambda attack: attack.steps * attack.eot_iter,
)

TPGD = wrapped(
    "TPGD",
    doc="""PGD that moves the prediction away from the clean one, whatever the label is.

    Source: Zhang et al., "Theoretically Principled Trade-off between Robustness and Accuracy",
        2019, algorithm 1, the inner loop. Computed by torchattacks' TPGD.
    Deviations: alpha is eps / 4, the ratio of torchattacks' defaults, unless it is given.
    """,
    norm="linf",
    parameters={"eps": EPS, "alpha": ALPHA, "steps": STEPS},
    passes=lambda attack: attack.steps + 1,
    faults={
        "rises": "it may settle where the classifier is more certain of the true class than before"
    },
    caveats=("it is not given the labels: an image that was wrong before may come out right",),
)

UPGD = wrapped(
    "UPGD",
    doc="""PGD with a choice of loss, momentum, random starts and averaged gradients.

    Source: Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", 2018,
        section 2.1; the losses of Croce and Hein, "Reliable Evaluation of Adversarial Robustness
        with an Ensemble of Diverse Parameter-free Attacks", 2020, section 4, and of Carlini and
        Wagner, "Towards Evaluating the Robustness of Neural Networks", 2017. Computed by
        torchattacks' UPGD.
    Deviations: alpha is eps / 4, the ratio of torchattacks' defaults, unless it is given.
    """,
    norm="linf",
    targetable=True,
    wants=("labels",),  # the targeted dlr loss compares them with the targets
    needs=(_classes(4, loss="dlr"),),  # 3 would do untargeted
    parameters={
        "eps": EPS,
        "alpha": ALPHA,
        "steps": STEPS,
        "random_start": NO_RANDOM_START,
        "loss": Parameter(Literal["ce", "dlr", "margin"], "ce", "what is raised"),
        "decay": DECAY,
        "eot_iter": EOT_ITER,
    },
    passes=lambda attack: attack.steps * attack.eot_iter,
    caveats=(STUCK, "its loss 'margin' is wrong where all logits but one are negative"),
)

Jitter = wrapped(
    "Jitter",
    doc="""PGD on softmax outputs that are rescaled and jittered, so that the gradient spreads.

    Source: Schwinn et al., "Exploring Misclassifications of Robust Neural Networks to Enhance
        Adversarial Attacks", 2021. Computed by torchattacks' Jitter.
    Deviations: alpha is eps / 4, the ratio of torchattacks' defaults, unless it is given; targets
        are refused: its loss keeps most images at a class between the true one and the target.
    """,
    norm="linf",
    traceable=True,
    refusal="its loss keeps most images at a class between the true one and the target",
    parameters={
        "eps": EPS,
        "alpha": ALPHA,
        "steps": STEPS,
        "scale": Parameter(float, 10.0, "of the logits, over the largest", {"gt": 0}),
        "std": Parameter(float, 0.1, "of the noise on the softmax outputs", {"ge": 0}),
        "random_start": RANDOM_START,
    },
)

PGDRS = wrapped(
    "PGDRS",
    doc="""PGD on the average prediction of noisy copies: for smoothed classifiers.

    Source: Salman et al., "Provably Robust Deep Learning via Adversarially Trained Smoothed
        Classifiers", 2019, section 2. Computed by torchattacks' PGDRS.
    Deviations: alpha is eps / 4, the ratio of torchattacks' defaults, unless it is given.
    """,
    norm="linf",
    targetable=True,
    parameters={
        "eps": EPS,
        "alpha": ALPHA,
        "steps": STEPS,
        "noise_type": NOISE_TYPE,
        "noise_sd": NOISE_SD,
        "noise_batch_size": NOISE_BATCH_SIZE,
        "batch_max": BATCH_MAX,
    },
    passes=lambda attack: attack.steps * attack.noise_batch_size,
    faults={"black_and_white": FROZEN},  # clamp passes no gradient there
    caveats=(SMOOTHED,),
)

PGDL2 = wrapped(
    "PGDL2",
    doc="""Steps of length alpha along the loss's gradient, projected into the Euclidean eps ball.

    Source: Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", 2018,
        section 2.1, in the Euclidean norm. Computed by torchattacks' PGDL2.
    Deviations: alpha is eps / 5, the ratio of torchattacks' defaults, unless it is given.
    """,
    norm="l2",
    targetable=True,
    traceable=True,
    fixed={"eps_for_division": 1e-30},
    withheld={"eps_for_division": TINY},
    parameters={"eps": EPS_L2, "alpha": ALPHA_L2, "steps": STEPS, "random_start": RANDOM_START},
)

PGDRSL2 = wrapped(
    "PGDRSL2",
    doc="""PGD in the Euclidean norm on the average prediction of noisy copies.

    Source: Salman et al., "Provably Robust Deep Learning via Adversarially Trained Smoothed
        Classifiers", 2019, section 2. Computed by torchattacks' PGDRSL2.
    Deviations: alpha is eps / 5, the ratio of torchattacks' defaults, unless it is given.
    """,
    norm="l2",
    targetable=True,
    fixed={"eps_for_division": 1e-30},
    withheld={"eps_for_division": TINY},
    parameters={
        "eps": EPS_L2,
        "alpha": ALPHA_L2,
        "steps": STEPS,
        "noise_type": NOISE_TYPE,
        "noise_sd": NOISE_SD,
        "noise_batch_size": NOISE_BATCH_SIZE,
        "batch_max": BATCH_MAX,
    },
    passes=lambda attack: attack.steps * attack.noise_batch_size,
    faults={"black_and_white": FROZEN},  # clamp passes no gradient there
    caveats=(SMOOTHED,),
)

# momentum, and gradients that are meant to transfer

MIFGSM = wrapped(
    "MIFGSM",
    doc="""BIM along the momentum of its gradients.

    Source: Dong et al., "Boosting Adversarial Attacks with Momentum", 2018, algorithm 1. Computed
        by torchattacks' MIFGSM.
    Deviations: alpha is eps / 4, the ratio of torchattacks' defaults, unless it is given; the
        gradient is divided by its mean, not by its sum, which changes no sign.
    """,
    norm="linf",
    targetable=True,
    traceable=True,
    parameters={"eps": EPS, "alpha": ALPHA, "steps": STEPS, "decay": DECAY},
    caveats=(STUCK,),
)

NIFGSM = wrapped(
    "NIFGSM",
    doc="""MIFGSM whose gradient is taken where the momentum points.

    Source: Lin et al., "Nesterov Accelerated Gradient and Scale Invariance for Adversarial
        Attacks", 2020, section 3. Computed by torchattacks' NIFGSM.
    Deviations: alpha is eps / 4, the ratio of torchattacks' defaults, unless it is given.
    """,
    norm="linf",
    targetable=True,
    parameters={"eps": EPS, "alpha": ALPHA, "steps": STEPS, "decay": DECAY},
    caveats=(STUCK,),
)

SINIFGSM = wrapped(
    "SINIFGSM",
    doc="""NIFGSM whose gradient is averaged over darker copies of the image.

    Source: Lin et al., "Nesterov Accelerated Gradient and Scale Invariance for Adversarial
        Attacks", 2020, algorithm 1. Computed by torchattacks' SINIFGSM.
    Deviations: alpha is eps / 4, the ratio of torchattacks' defaults, unless it is given.
    """,
    norm="linf",
    targetable=True,
    parameters={
        "eps": EPS,
        "alpha": ALPHA,
        "steps": STEPS,
        "decay": DECAY,
        "m": Parameter(int, 5, "copies, each half as bright as the one before", {"ge": 1}),
    },
    passes=lambda attack: attack.steps * attack.m,
    caveats=(STUCK,),
)

VMIFGSM = wrapped(
    "VMIFGSM",
    doc="""MIFGSM whose gradient is corrected by how it varies nearby.

    Source: Wang and He, "Enhancing the Transferability of Adversarial Attacks through Variance
        Tuning", 2021, algorithm 1. Computed by torchattacks' VMIFGSM.
    Deviations: alpha is eps / 4, the ratio of torchattacks' defaults, unless it is given.
    """,
    norm="linf",
    targetable=True,
    parameters={
        "eps": EPS,
        "alpha": ALPHA,
        "steps": STEPS,
        "decay": DECAY,
        "N": NEIGHBOURS,
        "beta": BETA,
    },
    passes=lambda attack: attack.steps * (attack.N + 1),
    caveats=(STUCK,),
)

VNIFGSM = wrapped(
    "VNIFGSM",
    doc="""NIFGSM whose gradient is corrected by how it varies nearby.

    Source: Wang and He, "Enhancing the Transferability of Adversarial Attacks through Variance
        Tuning", 2021, section 3. Computed by torchattacks' VNIFGSM.
    Deviations: alpha is eps / 4, the ratio of torchattacks' defaults, unless it is given.
    """,
    norm="linf",
    targetable=True,
    parameters={
        "eps": EPS,
        "alpha": ALPHA,
        "steps": STEPS,
        "decay": DECAY,
        "N": NEIGHBOURS,
        "beta": BETA,
    },
    passes=lambda attack: attack.steps * (attack.N + 1),
    caveats=(STUCK,),
)

DIFGSM = wrapped(
    "DIFGSM",
    doc="""BIM whose gradient is taken at images that are shrunk and padded at random.

    Source: Xie et al., "Improving Transferability of Adversarial Examples with Input Diversity",
        2019, section 3. Computed by torchattacks' DIFGSM.
    Deviations: alpha is eps / 4, the ratio of torchattacks' defaults, unless it is given; one size
        and place is drawn for a whole batch.
    """,
    norm="linf",
    targetable=True,
    needs=(SQUARE_IMAGES,),
    parameters={
        "eps": EPS,
        "alpha": ALPHA,
        "steps": STEPS,
        "decay": NO_DECAY,
        "resize_rate": RESIZE_RATE,
        "diversity_prob": DIVERSITY_PROB,
        "random_start": NO_RANDOM_START,
    },
    caveats=(STUCK,),
)

TIFGSM = wrapped(
    "TIFGSM",
    doc="""DIFGSM whose gradient is smoothed, as if the image were moved about.

    Source: Dong et al., "Evading Defenses to Transferable Adversarial Examples by
        Translation-Invariant Attacks", 2019, section 3. Computed by torchattacks' TIFGSM.
    Deviations: alpha is eps / 4, the ratio of torchattacks' defaults, unless it is given.
    """,
    norm="linf",
    targetable=True,
    needs=(THREE_CHANNELS, SQUARE_IMAGES),
    parameters={
        "eps": EPS,
        "alpha": ALPHA,
        "steps": STEPS,
        "decay": NO_DECAY,
        "kernel_name": Parameter(Literal["gaussian", "linear", "uniform"], "gaussian", "its shape"),
        "len_kernel": Parameter(int, 15, "width of the kernel, in pixels", {"ge": 1}),
        "nsig": Parameter(float, 3.0, "deviations that half a gaussian kernel spans", {"gt": 0}),
        "resize_rate": RESIZE_RATE,
        "diversity_prob": DIVERSITY_PROB,
        "random_start": NO_RANDOM_START,
    },
    caveats=(STUCK,),
)

PIFGSM = wrapped(
    "PIFGSM",
    doc="""Large steps along the gradient's sign; what leaves the ball is pushed to its neighbours.

    Source: Gao et al., "Patch-wise Attack for Fooling Deep Neural Network", 2020, algorithm 1.
        Computed by torchattacks' PIFGSM.
    Deviations: max_epsilon is 8/255, as eps of all other attacks, where torchattacks has 16/255;
        else two attacks of one table would have two budgets unasked.
    """,
    norm="linf",
    traceable=True,
    since="3.5.0",
    radius_parameter="max_epsilon",
    needs=(THREE_CHANNELS,),
    withheld={"momentum": "it is not used", "prob": "it is not used"},
    parameters={
        "max_epsilon": MAX_EPSILON,
        "num_iter_set": NUM_ITER_SET,
        "amplification": AMPLIFICATION,
    },
    passes=lambda attack: attack.num_iter_set,
)

PIFGSMPP = wrapped(
    "PIFGSMPP",
    doc="""PIFGSM with a smoothed gradient and a weaker push to the neighbours.

    Source: Gao et al., "Patch-wise++ Perturbation for Adversarial Targeted Attacks", 2020. Computed
        by torchattacks' PIFGSMPP.
    Deviations: max_epsilon is 8/255, as eps of all other attacks, where torchattacks has 16/255;
        the Gaussian kernel lies as another library wants it, and smooths along rows only.
    """,
    norm="linf",
    targetable=True,
    traceable=True,
    since="3.5.0",
    radius_parameter="max_epsilon",
    needs=(THREE_CHANNELS,),
    withheld={"momentum": "it is not used", "prob": "it is not used"},
    parameters={
        "max_epsilon": MAX_EPSILON,
        "num_iter_set": NUM_ITER_SET,
        "amplification": AMPLIFICATION,
        "project_factor": Parameter(float, 0.8, "of the push, over PIFGSM's", {"ge": 0}),
    },
    passes=lambda attack: attack.num_iter_set,
)

# the parts of AutoAttack

APGD = wrapped(
    "APGD",
    doc="""PGD that chooses its own steps: halves them, from the best point, when it stops gaining.

    Source: Croce and Hein, "Reliable Evaluation of Adversarial Robustness with an Ensemble of
        Diverse Parameter-free Attacks", 2020, algorithm 1. Computed by torchattacks' APGD.
    Deviations: 10 steps by default, as torchattacks, where the paper takes 100. Images that it
        does not fool come back as they were.
    """,
    wants=("seed",),
    needs=(_classes(3, loss="dlr"),),
    faults={
        "certainty:l2": (
            "in the norm l2 it adds 1e-12 to the length of a gradient: where the classifier is "
            "certain that is the longer of the two, and images hardly move"
        )
    },
    parameters={
        "norm": NORM,
        "eps": EPS_OF_NORM,
        "steps": STEPS,
        "n_restarts": N_RESTARTS,
        "loss": Parameter(Literal["ce", "dlr"], "ce", "what is raised"),
        "eot_iter": EOT_ITER,
        "rho": RHO,
    },
    passes=lambda attack: attack.n_restarts * attack.eot_iter * (attack.steps + 1) + 1,
)

APGDT = wrapped(
    "APGDT",
    doc="""APGD at each of the likeliest wrong classes in turn; any error counts.

    Source: Croce and Hein, "Reliable Evaluation of Adversarial Robustness with an Ensemble of
        Diverse Parameter-free Attacks", 2020, sections 4 and 5. Computed by torchattacks' APGDT.
    Deviations: 10 steps by default, as torchattacks, where the paper takes 100. torchattacks tries
        all wrong classes of 10, however many there are; here target_classes sets how many, 9 as in
        the paper. Images that it does not fool come back as they were.
    """,
    wants=("seed", "n_classes"),
    needs=(_classes(4),),
    parameters={
        "norm": NORM,
        "eps": EPS_OF_NORM,
        "steps": STEPS,
        "n_restarts": N_RESTARTS,
        "eot_iter": EOT_ITER,
        "rho": RHO,
        "target_classes": TARGET_CLASSES,
    },
    passes=lambda attack: (
        attack.target_classes * attack.n_restarts * attack.eot_iter * (attack.steps + 1) + 1
    ),
    caveats_in={
        "l2": ("in the norm l2, the step sizes of all images of a batch follow those of its first",)
    },
)

FAB = wrapped(
    "FAB",
    doc="""Steps onto the nearest linearised boundary, drawn back towards the image.

    Source: Croce and Hein, "Minimally Distorted Adversarial Examples with a Fast Adaptive Boundary
        Attack", 2020, algorithm 1. Computed by torchattacks' FAB.
    Deviations: 10 steps by default, as torchattacks. Images that it does not fool within eps come
        back as they were. The norm l1 is not offered: torchattacks fails there. Targets are
        refused: torchattacks would leave alone every image that is not the target already.
    """,
    minimum_norm=True,
    refusal="torchattacks leaves alone every image that is not the target already",
    wants=("seed", "n_classes"),
    parameters={
        "norm": NORM,
        "eps": EPS_OF_NORM,
        "steps": STEPS,
        "n_restarts": N_RESTARTS,
        "alpha_max": Parameter(float, 0.1, "weight of the original, at most", {"ge": 0, "le": 1}),
        "eta": Parameter(float, 1.05, "how far beyond the boundary, as a factor", {"ge": 1}),
        "beta": Parameter(float, 0.9, "step back towards the original", {"gt": 0, "le": 1}),
        "multi_targeted": Parameter(
            bool, default=False, description="only the boundary to each of target_classes in turn"
        ),
        "target_classes": TARGET_CLASSES,
    },
    passes=lambda attack: (
        attack.n_restarts
        * attack.steps
        * (2 * attack.target_classes if attack.multi_targeted else 6)
    ),
)

Square = wrapped(
    "Square",
    doc="""Random search over square patches at the corners of the ball: asks for logits only.

    Source: Andriushchenko et al., "Square Attack: a Query-efficient Black-box Adversarial Attack
        via Random Search", 2020, algorithm 1. Computed by torchattacks' Square.
    Deviations: images that it does not fool come back as they were.
    """,
    targetable=True,
    gradients=False,
    wants=("seed",),
    needs=(Need("square images of a side that its tiles fill, for its norm 'l2'", _is_tiled),),
    parameters={
        "norm": NORM,
        "eps": EPS_OF_NORM,
        "n_queries": Parameter(int, 5000, "forward passes, at most", {"ge": 1}),
        "n_restarts": N_RESTARTS,
        "p_init": Parameter(float, 0.8, "share of values changed at first", {"gt": 0, "le": 1}),
        "loss": Parameter(Literal["margin", "ce"], "margin", "what is raised"),
        "resc_schedule": Parameter(
            bool, default=True, description="shrink patches in proportion to n_queries"
        ),
    },
    passes=lambda attack: attack.n_restarts * attack.n_queries // 2,
)

# logits only

SPSA = wrapped(
    "SPSA",
    doc="""Adam on a gradient that is estimated from random differences of the logits.

    Source: Uesato et al., "Adversarial Risk and the Dangers of Evaluating Against Weak Attacks",
        2018, algorithm 1. Computed by torchattacks' SPSA.
    Deviations: eps is 8/255, as of all other attacks, where torchattacks has 0.3; 10 iterations
        with lr eps / 4, where torchattacks takes 1 with lr 0.01 and never gets near its eps. One
        direction is drawn for all images of a batch, and for all channels.
    """,
    norm="linf",
    targetable=True,
    gradients=False,
    since="3.5.0",  # 3.4.0 descends where it should climb
    parameters={
        "eps": EPS,
        "delta": Parameter(float, 0.01, "length of the differences", {"gt": 0}),
        "lr": Parameter(
            float | None,
            None,
            "step, in pixels of [0, 1]; eps / 4 where not given",
            {"gt": 0},
            follows="eps",
            ratio=1 / 4,
        ),
        "nb_iter": Parameter(int, 10, "number of steps", {"ge": 1}),
        "nb_sample": Parameter(int, 128, "differences at each step", {"ge": 1}),
        "max_batch_size": Parameter(int, 64, "copies of the batch at a time, at most", {"ge": 1}),
    },
    passes=lambda attack: attack.nb_iter * attack.nb_sample,
)

OnePixel = wrapped(
    "OnePixel",
    doc="""Change a few pixels, found by differential evolution: asks for logits only.

    Source: Su, Vargas and Sakurai, "One Pixel Attack for Fooling Deep Neural Networks", 2019,
        section III. Computed by torchattacks' OnePixel.
    Deviations: images are run one by one, as torchattacks does inside, so that results do not
        depend on the suite's batch.
    """,
    norm="l0",
    targetable=True,
    gradients=False,
    radius_parameter="pixels",
    batch=1,
    wants=("cpu",),  # it lets NumPy index by labels
    caveats=(ALIKE,),
    parameters={
        "pixels": Parameter(int, 1, "how many are changed", {"ge": 1}),
        "steps": STEPS,
        "popsize": Parameter(int, 10, "candidates of a generation, about", {"ge": 1}),
        "inf_batch": Parameter(int, 128, "candidates at a time, at most", {"ge": 1}),
    },
    passes=lambda attack: (attack.steps + 1) * attack.popsize // 2,
)

_SIDE = Annotated[int, Field(gt=0)] | Annotated[float, Field(ge=0, le=1)]
_SIDES = Parameter(
    tuple[_SIDE, _SIDE], (2, 10), "least and largest; whole: pixels; else: a share of the image"
)

Pixle = wrapped(
    "Pixle",
    doc="""Copy the pixels of random patches to other places: asks for logits only.

    It stops at the first image that fools, and promises no ball: it is scored as an attack of
    minimum norm, though it does not look for the nearest.

    Source: Pomponi, Scardapane and Uncini, "Pixle: a fast and effective black-box attack based on
        rearranging pixels", 2022, section III. Computed by torchattacks' Pixle.
    Deviations: images are run one by one, as torchattacks does inside, so that results do not
        depend on the suite's batch.
    """,
    norm="l0",
    minimum_norm=True,
    targetable=True,
    gradients=False,
    wants=("cpu",),  # it writes several pixels to one place, which a GPU does in any order
    batch=1,
    caveats=(ALIKE,),
    needs=(SQUARE_IMAGES,) if installed("3.4.0") else (SQUARE_IMAGES, THREE_CHANNELS),
    parameters={
        "x_dimensions": _SIDES,
        "y_dimensions": _SIDES,
        "pixel_mapping": Parameter(
            Literal["random", "similarity", "similarity_random", "distance", "distance_random"],
            "random",
            "how the places are chosen",
        ),
        "restarts": Parameter(int, 20, "patches that are kept, at most", {"ge": 1}),
        "max_iterations": Parameter(int, 10, "patches tried for each, at most", {"ge": 1}),
        "update_each_iteration": Parameter(
            bool, default=False, description="keep patches at once; max_iterations in all"
        ),
    },
    passes=lambda attack: attack.restarts * attack.max_iterations,
)

# minimum norm

CW = wrapped(
    "CW",
    doc="""Adam on the squared length plus c times the margin, in the space of atanh.

    Source: Carlini and Wagner, "Towards Evaluating the Robustness of Neural Networks", 2017,
        section VI.A. Computed by torchattacks' CW.
    Deviations: one c, where the paper searches for it. All images of a batch stop when their sum
        stops falling.
    """,
    norm="l2",
    minimum_norm=True,
    targetable=installed("3.4.0"),
    refusal=None if installed("3.4.0") else "torchattacks 3.3.0 keeps images that miss the target",
    traceable=True,
    faults={
        "black_and_white": FROZEN,
        "negative_logits": (
            "its margin is wrong where the true logit, or all others, are negative: "
            "images that could be fooled stay as they are"
        ),
    },
    parameters={
        "c": Parameter(float, 1.0, "weight of the margin", {"gt": 0}),
        "kappa": KAPPA,
        "steps": STEPS_50,
        "lr": Parameter(float, 0.01, "of Adam", {"gt": 0}),
    },
)

DeepFool = wrapped(
    "DeepFool",
    doc="""Steps onto the nearest linearised boundary, until it is crossed.

    Source: Moosavi-Dezfooli, Fawzi and Frossard, "DeepFool: a simple and accurate method to fool
        deep neural networks", 2016, algorithm 2. Computed by torchattacks' DeepFool.
    Deviations: none; images are run one by one, as torchattacks does inside, so that results do
        not depend on the suite's batch.
    """,
    norm="l2",
    minimum_norm=True,
    batch=1,
    faults={
        "black_and_white": (
            "values at 0 or 1 swallow a part of each step: "
            "it may near the boundary without ever crossing it"
        ),
        "flat": NO_NUMBER,
    },
    parameters={
        "steps": STEPS_50,
        "overshoot": Parameter(float, 0.02, "beyond the boundary, as a share", {"ge": 0}),
    },
)

SparseFool = wrapped(
    "SparseFool",
    doc="""Change as few values as possible to cross the boundary that DeepFool finds.

    Source: Modas, Moosavi-Dezfooli and Frossard, "SparseFool: a few pixels make a big difference",
        2019, algorithm 2. Computed by torchattacks' SparseFool.
    Deviations: it counts values, of which a pixel has one for each channel; images are run one by
        one, as torchattacks does inside, so that results do not depend on the suite's batch.
    """,
    norm="l0",
    minimum_norm=True,
    batch=1,
    faults={"flat": NO_NUMBER},
    parameters={
        "steps": STEPS,
        "lam": Parameter(float, 3.0, "how far beyond DeepFool's boundary, as a factor", {"ge": 1}),
        "overshoot": Parameter(float, 0.02, "beyond the boundary, as a share", {"ge": 0}),
    },
    passes=lambda attack: attack.steps * 10,
)

JSMA = wrapped(
    "JSMA",
    doc="""Set the pair of values that a class's logit rests on most, again and again.

    It stops where the image is fooled, and is scored as an attack of minimum norm.

    Source: Papernot et al., "The Limitations of Deep Learning in Adversarial Settings", 2016.
        Computed by torchattacks' JSMA.
    Deviations: it always aims at a class: untargeted, at the one after the true one, where
        torchattacks counts to 10 whatever the data; it counts values, of which a pixel has one for
        each channel. Images are run one by one, as torchattacks does inside, so that results do
        not depend on the suite's batch.
    """,
    norm="l0",
    minimum_norm=True,
    targetable=True,
    batch=1,
    since="3.5.0",  # 3.4.0 calls its saliency map with one argument too many
    wants=("targets",),
    needs=(_at_most(8192),),
    parameters={
        "theta": Parameter(float, 1.0, "what is added to a value", {"ge": -1, "le": 1}),
        "gamma": Parameter(float, 0.1, "share of values changed, at most", {"gt": 0, "le": 1}),
    },
    passes=lambda _: 100,
)

_EAD = {
    "kappa": KAPPA,
    "lr": Parameter(float, 0.01, "of the gradient steps, at first", {"gt": 0}),
    "binary_search_steps": Parameter(int, 9, "weights of the margin that are tried", {"ge": 1}),
    "max_iterations": Parameter(int, 100, "steps for each, at most", {"ge": 10}),
    "abort_early": Parameter(bool, default=True, description="stop where the sum stops falling"),
    "initial_const": Parameter(float, 0.001, "weight of the margin, at first", {"gt": 0}),
    "beta": Parameter(float, 0.001, "weight of the l1 norm", {"ge": 0}),
}

EADL1 = wrapped(
    "EADL1",
    doc="""CW with an l1 term, by shrinking and thresholding; keeps the image of least l1 norm.

    Source: Chen et al., "EAD: Elastic-Net Attacks to Deep Neural Networks via Adversarial
        Examples", 2018, algorithm 1. Computed by torchattacks' EADL1.
    Deviations: each weight of the margin begins where the one before ended. All images of a batch
        stop when their sum stops falling.
    """,
    norm="l1",
    minimum_norm=True,
    targetable=True,
    since="3.5.0",
    parameters=_EAD,
    passes=lambda attack: attack.binary_search_steps * attack.max_iterations * 3 // 2,
    faults={"black_and_white": MOVED_ORIGIN},
)

EADEN = wrapped(
    "EADEN",
    doc="""CW with an l1 term, by shrinking and thresholding; keeps the least elastic-net norm.

    That norm is the squared length plus beta times the l1 norm: nearly the length.

    Source: Chen et al., "EAD: Elastic-Net Attacks to Deep Neural Networks via Adversarial
        Examples", 2018, algorithm 1. Computed by torchattacks' EADEN.
    Deviations: each weight of the margin begins where the one before ended. All images of a batch
        stop when their sum stops falling.
    """,
    norm="l2",
    minimum_norm=True,
    targetable=True,
    since="3.5.0",
    parameters=_EAD,
    passes=lambda attack: attack.binary_search_steps * attack.max_iterations * 3 // 2,
    faults={"black_and_white": MOVED_ORIGIN},
)
