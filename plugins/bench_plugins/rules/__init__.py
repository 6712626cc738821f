"""First-party rules of the audit: each file a table of them.

Source: Athalye, Carlini and Wagner, "Obfuscated Gradients Give a False Sense of Security", 2018,
section 3.1; Carlini et al., "On Evaluating Adversarial Robustness", 2019, sections 3 and 5; and
what was found in public solutions of the assignment that the first suites come from.
"""
