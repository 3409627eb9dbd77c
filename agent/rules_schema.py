"""The configuration of operators' own rules. What stands in an expression is checked by ``agent.rules``."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from agent.config_section import Section, SeverityName

EventName = Literal[
    "exec",
    "seen",
    "credentials",
    "namespaces",
    "root",
    "refused",
    "container",
    "tcp",
    "unix",
    "raw_socket",
    "kernel_value",
]
Sentence = Annotated[str, Meta(min_length=1, max_length=1024, pattern=r"\S")]


class RuleTechniqueConfig(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An ATT&CK technique (Enterprise), as the alert's `threat` has it."""

    id: Annotated[
        str, Meta(pattern=r"^T[0-9]{4}(\.[0-9]{3})?$", title="an id like T1611 or T1059.004", description="Its id.")
    ]
    name: Annotated[Sentence, Meta(description="Its name.")]
    tactic_id: Annotated[
        str,
        Meta(pattern=r"^TA[0-9]{4}$", title="an id like TA0004", description="The id of the tactic that it serves."),
    ]
    tactic: Annotated[Sentence, Meta(description="The tactic's name.")]


class RuleTestConfig(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An event, and what the rule is to make of it: `hullwatch rules test` tries it."""

    name: Annotated[Sentence, Meta(description="What is tried.")]
    event: Annotated[EventName | None, Meta(description="Which of the rule's events; the first one where none is.")] = (
        None
    )
    given: Annotated[
        dict[str, str | int | bool | list[str] | dict[str, str]],
        Meta(max_length=64, description="The fields that are known. Those that are not named here are not known."),
    ]
    expect: Annotated[
        Literal["alert", "silence", "blind"],
        Meta(description="`blind`: the rule cannot tell, because a field that it needs is not known."),
    ]
    message: Annotated[Sentence | None, Meta(description="What the alert says, word for word.")] = None


class RuleConfig(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An operator's own rule. Fields and events are on the page about rules; the language is CEL."""

    id: Annotated[
        str,
        Meta(
            pattern=r"^[A-Z][A-Z0-9]{0,15}-[0-9]{1,6}$",
            title="capitals, a hyphen and a number, like OPS-1",
            description="The alert's `rule.id`; never one that begins with `HW-`.",
        ),
    ]
    name: Annotated[
        str,
        Meta(
            pattern=r"^[a-z][a-z0-9_]{0,63}$",
            title="small letters, digits and _, like shell_in_database",
            description="The alert's `rule.name`.",
        ),
    ]
    severity: Annotated[SeverityName, Meta(description="How bad it is.")]
    events: Annotated[
        tuple[EventName, ...],
        Meta(
            min_length=1, max_length=16, description="The events that the rule looks at; no other event costs anything."
        ),
    ]
    scope: Annotated[
        Literal["containers", "host", "all"],
        Meta(description="Whose events: those of containers, those of the host itself, or both."),
    ] = "containers"
    when: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=1024,
            pattern=r"\S",
            description="The condition, an expression in CEL that is true or false. It has no `+`.",
        ),
    ]
    message: Annotated[
        Sentence,
        Meta(description="What the alert says; `{process.name}` stands for the field, in at most 256 characters."),
    ]
    once_per: Annotated[
        tuple[str, ...],
        Meta(
            max_length=8,
            description="Fields: an alert is told once for each combination of their values. Empty: once for a process "
            "(where there is none, a container) and the fields in `message`.",
        ),
    ] = ()
    description: Annotated[Sentence | None, Meta(description="The alert's `rule.description`; else `message`.")] = None
    advice: Annotated[
        tuple[Sentence, ...], Meta(max_length=16, description="What to do when it fires, for `hullwatch explain`.")
    ] = ()
    references: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^https?://\S+$", max_length=1024, title="a URL")], ...],
        Meta(max_length=16, description="URLs; the first one is the alert's `rule.reference`."),
    ] = ()
    techniques: Annotated[
        tuple[RuleTechniqueConfig, ...], Meta(max_length=16, description="ATT&CK techniques of the alert's `threat`.")
    ] = ()
    tests: Annotated[
        tuple[RuleTestConfig, ...], Meta(max_length=256, description="Cases for `hullwatch rules test`.")
    ] = ()
