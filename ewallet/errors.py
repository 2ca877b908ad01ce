"""The exceptions of this package.

```
EwalletError
├── Refused            what was presented fails a check; carries a reason of `ewallet.reasons`
│   └── Malformed      foreign bytes are not in the exact form (default reason: credential.malformed)
├── TrustError         lists could not be loaded or may not be used; carries a reason (trust.*, clock.unsure)
├── KeyMaterialError   a key file, JWK, COSE_Key or certificate is unusable (wrong password, off curve ...)
├── SignerError        a signing device refused or failed
├── ConfigError        a file of the deployment is wrong: file, line, what
├── RecordError        a record to be issued is wrong: field, value's problem
├── RegisterError      the register refuses
│   ├── NotFound       no such license, copy, version
│   ├── Conflict       another live license, another officer, another content under one case number
│   ├── NotAllowed     the event is not allowed in the state that the license is in
│   │   └── SecondOfficerNeeded   it would be, with a second officer
│   ├── SameOfficer    who confirms is who asked
│   └── NotWaiting     what is to be confirmed was decided already, or its time is over
├── UseLogError        the log of uses cannot be written or read, or its chain is broken
├── PrintError         a face cannot be drawn: the character and the place
└── MissingExtra       an optional part is not installed: names the extra
```

`Refused` never leaves `Verifier.verify`: there it becomes a `Verification`. A caller's own bug raises
`TypeError` or `ValueError`. Exceptions of other libraries never leak: they are chained as `__cause__`.
No message carries a secret or the value of a personal field.
"""

from __future__ import annotations


class EwalletError(Exception):
    """Base of all exceptions of this package."""


class Refused(EwalletError):
    """What was presented fails a check.

    Attributes:
        reason: a code of `ewallet.reasons.REASONS`.
        detail: one English sentence for a log; never a personal value.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class Malformed(Refused):
    """Foreign bytes that are not in the exact form."""

    def __init__(self, detail: str, reason: str = "credential.malformed") -> None:
        super().__init__(reason, detail)


class TrustError(EwalletError):
    """Trust lists that could not be loaded, or that may not be used; carries a reason code."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class KeyMaterialError(EwalletError):
    """A key that cannot be used: wrong form, off the curve, wrong password, unsupported suite."""


class SignerError(EwalletError):
    """A signing device refused or failed."""


class ConfigError(EwalletError):
    """A file of the deployment is wrong.

    Attributes:
        file: which file.
        line: its line, counted from 1, where known.
        problem: what is wrong with it.
    """

    def __init__(self, problem: str, *, file: str, line: int | None = None) -> None:
        place = file if line is None else f"{file}:{line}"
        super().__init__(f"{place}: {problem}")
        self.file = file
        self.line = line
        self.problem = problem


class RecordError(EwalletError):
    """A record that cannot be issued.

    Attributes:
        field: key of the field (or column header) at fault; empty for the record as a whole.
        problem: what is wrong, without the value.
    """

    def __init__(self, problem: str, *, field: str = "") -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field = field
        self.problem = problem


class RegisterError(EwalletError):
    """The register refuses."""


class NotFound(RegisterError):
    """No such license, version, copy or claim."""


class Conflict(RegisterError):
    """Something else already stands there: a live license, a newer version, other content for a case."""


class NotAllowed(RegisterError):
    """An event that the state of the license does not allow.

    Attributes:
        event: the event asked for.
        state: the state that the license is in.
    """

    def __init__(self, event: str, state: str, detail: str = "") -> None:
        super().__init__(
            f"{event} is not allowed: the license is {state}" + (f" ({detail})" if detail else "")
        )
        self.event = event
        self.state = state


class SecondOfficerNeeded(NotAllowed):
    """An event for which the type wants two officers; nothing else stands against it."""

    def __init__(self, event: str, state: str) -> None:
        super().__init__(event, state, "this type wants two officers for it")


class SameOfficer(RegisterError):
    """Who confirms is who asked: the same partner or the same officer."""


class NotWaiting(RegisterError):
    """An act that waits for nobody any more.

    Attributes:
        state: done, rejected, failed, expired; or confirming: another one is at it right now.
        because: why, where somebody or something said so.
    """

    def __init__(self, state: str, because: str = "") -> None:
        super().__init__(f"this act does not wait: {state}" + (f" ({because})" if because else ""))
        self.state = state
        self.because = because


class UseLogError(EwalletError):
    """The log of uses cannot be written or read, or its chain is broken."""


class PrintError(EwalletError):
    """A face that cannot be drawn."""


class MissingExtra(EwalletError):
    """An optional part is not installed.

    Attributes:
        extra: name of the extra that brings it.
    """

    def __init__(self, extra: str, what: str) -> None:
        super().__init__(f"{what} needs the extra '{extra}': pip install 'ewallet[{extra}]'")
        self.extra = extra
