"""Operators' own rules: CEL expressions over the fields of events, beside the detectors of the catalogue.

``fields`` says what a rule may ask about, ``expression`` compiles and evaluates, ``rule`` makes detectors of the
configuration, ``cases`` runs the tests that stand beside a rule.
"""
