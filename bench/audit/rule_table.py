"""All rules by name: what each sees, why it matters, and which figures it casts doubt on.

Source: Athalye, Carlini and Wagner, "Obfuscated Gradients Give a False Sense of Security", 2018,
section 3.1; Carlini et al., "On Evaluating Adversarial Robustness", 2019, sections 3 and 5; and
what was found in public solutions of the assignment that the first suites come from.
"""

from __future__ import annotations

from bench.audit import attack_rules, model_rules
from bench.audit.evidence import Rule
from bench.metrics import METRICS

_OF_ATTACKS = frozenset(
    m.name for m in METRICS.values() if (m.needs_budget or m.needs_minimum) and not m.worst_case
)
_OF_ROBUSTNESS = _OF_ATTACKS | {m.name for m in METRICS.values() if m.worst_case}
_OF_MODELS = _OF_ROBUSTNESS | {
    m.name for m in METRICS.values() if "evaluate" in m.kinds and m.better == "higher"
}
"""What is doubted with one attack, with all on a model, with a model: one weak attack leaves the
worst case as it is."""

REVISION = 2
"""Raised by hand whenever a rule changes: what older rules found is then looked for anew."""

RULES: tuple[Rule, ...] = (
    Rule(
        name="over-budget",
        sees="an image out of [0, 1], over its budget or not finite",
        matters=(
            "An attack that oversteps is not the attack that is named. The rates of its "
            "cell are withheld."
        ),
        needs="an attack",
        look=attack_rules.over_budget,
        metrics=_OF_ATTACKS,
    ),
    Rule(
        name="moves-at-zero",
        sees="with eps 0, an image or its prediction changes",
        matters=(
            "An attack that moves images when it has no room, or a model that answers one "
            "image in two ways, adds to every rate at every eps."
        ),
        needs="an attack with an eps",
        look=attack_rules.moves_at_zero,
        metrics=_OF_ATTACKS,
        probes=("eps-0",),
    ),
    Rule(
        name="falls-with-eps",
        sees="an iterative attack fools fewer images in a larger ball",
        matters=(
            "The smaller ball lies in the larger: whoever finds less there is searching badly."
        ),
        needs="an iterative attack with an eps",
        look=attack_rules.falls_with_eps,
        metrics=_OF_ATTACKS,
        probes=("large-eps",),
    ),
    Rule(
        name="survives-large-eps",
        sees="images stay right though the attack may turn them into any other",
        matters=(
            "In such a ball lies every image, those of other classes too: not to find one "
            "means gradients that mislead, or an attack that stops early."
        ),
        needs="an attack with an eps",
        look=attack_rules.survives_large_eps,
        metrics=_OF_ATTACKS,
        probes=("large-eps",),
    ),
    Rule(
        name="out-of-reach",
        sees="the steps, laid end to end, do not reach eps",
        matters=(
            "The budget that is printed is not the one that was searched; often a step that "
            "stays as it is while eps grows."
        ),
        needs="an attack with steps, alpha and eps",
        look=attack_rules.out_of_reach,
        metrics=_OF_ATTACKS,
    ),
    Rule(
        name="unconverged",
        sees="twice as many steps fool more images",
        matters="The rate tells when the attack stopped, not what the model withstands.",
        needs="an attack with steps",
        look=attack_rules.unconverged,
        metrics=_OF_ATTACKS,
        probes=("doubled-steps",),
    ),
    Rule(
        name="weaker-than-one-step",
        sees="a single step fools more images than an iterative attack",
        matters=(
            "An iterative attack may take the single step too: falling short of it means "
            "steps that are too short, gradients that mislead, or a bug."
        ),
        needs="an iterative attack and fgsm at the same linf eps",
        look=attack_rules.weaker_than_one_step,
        metrics=_OF_ATTACKS,
        probes=("single-step",),
    ),
    Rule(
        name="no-better-than-noise",
        sees="an attack adds no more to what noise fools than noise itself",
        matters=(
            "An attack that knows the model fools far more than directions that know "
            "nothing, unless it makes no use of what it knows."
        ),
        needs="an attack and noise at the same linf eps",
        look=attack_rules.no_better_than_noise,
        metrics=_OF_ATTACKS,
        probes=("control",),
    ),
    Rule(
        name="transfer-beats-white-box",
        sees="images made on another model fool more than those made on the model itself",
        matters=(
            "Whoever knows the model can do what images made elsewhere do: a model that "
            "falls to those alone hides its gradients."
        ),
        needs="a transfer, and the same attack on its target",
        look=attack_rules.transfer_beats_white_box,
        metrics=_OF_ATTACKS,
    ),
    Rule(
        name="no-gradients",
        sees="the loss of many images has no gradient",
        matters="Attacks that follow gradients stay where they are, and the model looks robust.",
        needs="an attack",
        look=model_rules.no_gradients,
        metrics=_OF_ROBUSTNESS,
        probes=("gradients",),
    ),
    Rule(
        name="no-better-than-chance",
        sees="a model is not told apart from guessing",
        matters=(
            "What an untrained model withstands means nothing: other weights were loaded "
            "than was thought, or none."
        ),
        needs="an evaluated model",
        look=model_rules.no_better_than_chance,
        metrics=_OF_MODELS,
    ),
    Rule(
        name="few-images",
        sees="the interval of a rate is too wide to say anything",
        matters="So wide an interval holds nearly every claim and its opposite.",
        needs="a rate",
        look=model_rules.few_images,
        metrics=frozenset(),
    ),
    Rule(
        name="not-averaged",
        sees="a random classifier is attacked along single gradients",
        matters=(
            "A single random gradient points anywhere: the rate tells of the randomness, "
            "not of the model."
        ),
        needs="an attack on a random classifier",
        look=model_rules.not_averaged,
        metrics=_OF_ROBUSTNESS,
    ),
    Rule(
        name="leaked",
        sees="an image is judged that stands in the training images too",
        matters="To be right about an image that was learned is memory.",
        needs="a model that is not cross-validated",
        look=model_rules.leaked,
        metrics=_OF_MODELS,
    ),
    Rule(
        name="sparsity-missed",
        sees="a variant is not as sparse as it says",
        matters=(
            "What was measured is not the compression that is named; often masks that "
            "fine-tuning lost."
        ),
        needs="a profile of a variant with a target",
        look=model_rules.sparsity_missed,
        metrics=frozenset({"sparsity"}),
    ),
)
"""All that the audit looks for."""
