"""Write the model card of an imported model from what was stated; what was not says so.

Read next: `build.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from adapters.model_import.statement import UNKNOWN, ReleaseStatement
from models.importers.description import Description

NOT_STATED = "not stated"


def write_card(
    statement: ReleaseStatement, description: Description, facts: Mapping[str, str]
) -> bytes:
    """Return the card as Markdown."""
    return ("\n".join(_lines(statement, description, facts)) + "\n").encode()


def _lines(
    statement: ReleaseStatement, description: Description, facts: Mapping[str, str]
) -> Iterator[str]:
    yield f"# Model card: {statement.name} {statement.version}\n"
    yield f"**{statement.title}.** {statement.intended_purpose}\n"
    yield (
        "An imported model, trained elsewhere. Research use; it was not validated for any site "
        "by being imported.\n"
    )
    yield "## Origin\n"
    yield from _origin(statement, description, facts)
    yield "\n## Training data\n"
    yield from _training(statement)
    yield "\n## Inputs and outputs\n"
    for channel in description.channels:
        yield f"- input `{channel.role}`: {channel.modality}, unit {channel.unit}"
    for label in description.outputs.labels:
        code = label.code
        yield f"- output `{label.name}`: {code.meaning} ({code.scheme} {code.value})"
    yield "\n## Performance\n"
    yield "Not measured here. The certificate of a validation, where there is one, is attached."
    yield "\n## Uncertainty and explanation\n"
    yield (
        "Uncertainty is Shannon's entropy of each voxel over its maximum, and its mean over the "
        "voxels that were found with the range of 90 % of them; it is not calibrated. "
        f"Explanation: {description.explanation}."
    )
    yield "\n## Limits\n"
    for limit in statement.known_limits or (f"Limits are {NOT_STATED}.",):
        yield f"- {limit}"


def _origin(
    statement: ReleaseStatement, description: Description, facts: Mapping[str, str]
) -> Iterator[str]:
    for word, value in (
        ("supplier", statement.supplier),
        ("licence", statement.licence),
        ("source", statement.source),
        ("evidence", statement.evidence),
        ("format", description.format),
        *sorted(facts.items()),
    ):
        yield f"- {word}: {_or_not_stated(value)}"


def _training(statement: ReleaseStatement) -> Iterator[str]:
    training = statement.training
    count = training.patient_count
    yield f"- source: {_or_not_stated(training.source)}"
    yield f"- licence: {_or_not_stated(training.licence)}"
    yield f"- patients: {NOT_STATED if count is None else count}"


def _or_not_stated(value: str) -> str:
    return NOT_STATED if value == UNKNOWN else " ".join(value.split())
