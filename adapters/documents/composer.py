"""All objects of a run: DICOM, FHIR and pictures, from one answer.

`DocumentComposer` fulfils `plugins.host.ports.Composer`.  The same request and answer give
the same files, byte by byte, so writing again after a crash changes nothing.  Outbox of a
run: ``RTSTRUCT-1.dcm``, ``SEG-1.dcm``, ``PMAP-1.dcm`` ..., ``SC-1.dcm``, ``SR-1.dcm``,
``bundle.json``, ``overview-1.png``.  A refusal or an abstention is an SR and a bundle that
say so.  A run that replaces another adds ``superseded.json``, which marks that one's bundle.

Read next: `objects.py` (which objects an answer becomes), `outbox.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from adapters.documents.canvas import encode_png
from adapters.documents.objects import Written, objects_of, refusal_objects, texts_of
from adapters.documents.outbox import open_outbox
from adapters.fhir.identity import FhirIdentity
from adapters.rt.digest import content_digest_of
from adapters.rt.equipment import WritingContext, encode
from adapters.rt.identity import inherit
from adapters.rt.sources import SourceSeries
from audit.errors import AnswerChangedError, MissingAttributeError
from plugins.host.case import Case
from plugins.host.findings import DoseGrid, Segmentation
from plugins.host.identity import RECALL
from plugins.host.manifest import Manifest
from plugins.host.ports import Answer, Document, RunRequest

Sources = Mapping[str, SourceSeries]
BUNDLE, SUPERSEDED = "bundle.json", "superseded.json"
UNMARKED = "unmarked:PREDECESSOR_GONE"
"""Note of a bundle whose predecessor lies no longer in the outbox, so that it is not marked."""


def _nothing(_: str) -> tuple[Document, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class DocumentComposer:
    """Writes all objects of a run into ``outbox/<run_id>/``.

    Parameters
    ----------
    sources : the headers of the series that were read for a request, by role.
    manifests : the manifest of a release digest.
    site : the site's code, written as institution.
    headers : what a refusal inherits from, also where nothing could be read; `sources`
        where it is not given.
    tells_refusals : the site wants refusals to leave as objects.
    written_by : what a run has put on record and sent: of an earlier run, for one that
        replaces it, and of the run itself, which must not give another answer now.
    """

    outbox: Path
    sources: Callable[[RunRequest], Sources]
    manifests: Callable[[str], Manifest]
    site: str
    headers: Callable[[RunRequest], Sources] | None = None
    tells_refusals: bool = True
    written_by: Callable[[str], tuple[Document, ...]] = _nothing

    def compose(self, request: RunRequest, case: Case, answer: Answer) -> tuple[Document, ...]:
        """Write all objects of the run into its outbox and return them.

        Raises
        ------
        AnswerChangedError : the run has given another answer; that one is as it was.
        PluginOutputError : a measurement contradicts its mask; nothing was written.
        DiskFullError, StorageError : the outbox is as it was before.
        """
        from adapters.fhir.bundle import build_bundle

        sources, manifest = self.sources(request), self.manifests(request.release_digest)
        role = _reference_role(manifest, sources, answer)
        context = self._context(request, manifest, sources[role], texts_of(answer))
        written = objects_of(context, sources, role, case, answer)

        def bundle(documents: tuple[Document, ...]) -> dict[str, Any]:
            return build_bundle(request, case, answer, manifest, documents, _identity(context))

        return self._store(context, written, bundle)

    def compose_refusal(
        self, request: RunRequest, reasons: tuple[str, ...]
    ) -> tuple[Document, ...]:
        """Write the SR and the bundle of a refused study; none where the site wants none.

        Parameters
        ----------
        reasons : stable codes, never texts about the patient.

        Raises
        ------
        InputError : no header of the study can be read; nothing was written.
        AnswerChangedError : the run has given another answer; that one is as it was.
        """
        from adapters.fhir.bundle import build_refusal_bundle

        if not self.tells_refusals and request.trigger != RECALL:
            return ()
        sources = (self.headers or self.sources)(request)
        manifest = self.manifests(request.release_digest)
        role = _reference_role(manifest, sources, None)
        context = self._context(request, manifest, sources[role], reasons)
        written = refusal_objects(context, sources[role], reasons)

        def bundle(documents: tuple[Document, ...]) -> dict[str, Any]:
            return build_refusal_bundle(request, manifest, reasons, documents, _identity(context))

        return self._store(context, written, bundle)

    def _context(
        self,
        request: RunRequest,
        manifest: Manifest,
        source: SourceSeries,
        texts: tuple[str, ...],
    ) -> WritingContext:
        """Return what the objects share; ``texts`` are written into them besides."""
        inherited = inherit(source.first, (self.site, *texts))
        earlier = self.written_by(request.supersedes) if request.supersedes else ()
        return WritingContext(request, manifest, inherited, self.site, earlier)

    def _store(
        self,
        context: WritingContext,
        written: Iterable[Written],
        bundle: Callable[[tuple[Document, ...]], dict[str, Any]],
    ) -> tuple[Document, ...]:
        """Write objects, pictures and bundle in one step and return the documents."""
        from adapters.fhir.bundle import bundle_digest
        from adapters.fhir.bundle import encode as encode_bundle

        run_id = context.request.run_id
        documents: list[Document] = []
        digests: list[Future[str]] = []
        with open_outbox(self.outbox, run_id) as folder:
            for item in written:
                content = encode(item.dataset)
                digests.append(folder.put(item.name, content))
                if item.picture is not None:
                    folder.put(item.picture_name, partial(encode_png, item.picture))
                documents.append(self._document(context, item, content))
            fhir = {BUNDLE: bundle(tuple(documents))}
            marking, notes = _superseding(context)
            fhir |= {SUPERSEDED: marking} if marking else {}
            for name, message in fhir.items():
                digests.append(folder.put(name, encode_bundle(message)))
                documents.append(
                    Document(
                        kind="FHIR",
                        path=self.outbox / run_id / name,
                        content_digest=bundle_digest(message),
                        study_instance_uid=context.inherited.text("StudyInstanceUID"),
                        notes=notes if name == BUNDLE else (),
                    )
                )
            self._require_same(run_id, documents)
        return tuple(
            replace(item, file_digest=digest.result())
            for item, digest in zip(documents, digests, strict=True)
        )

    def _document(self, context: WritingContext, item: Written, content: bytes) -> Document:
        """Return the document of one object."""
        return Document(
            kind=item.kind,
            path=self.outbox / context.request.run_id / item.name,
            content_digest=content_digest_of(content),
            sop_class_uid=str(item.dataset.SOPClassUID),
            sop_instance_uid=str(item.dataset.SOPInstanceUID),
            series_instance_uid=str(item.dataset.SeriesInstanceUID),
            study_instance_uid=str(item.dataset.StudyInstanceUID),
            notes=context.inherited.notes,
        )

    def _require_same(self, run_id: str, documents: Sequence[Document]) -> None:
        """Return when the run gave no answer yet, or this one.

        Its UIDs and identifiers follow from the run id: a second answer under them would be
        another object under the same name, in every archive that has the first.
        """
        given = _answer(self.written_by(run_id))
        if given and given != _answer(documents):
            raise AnswerChangedError(f"expected the answer that run {run_id} gave, found another")


def _reference_role(manifest: Manifest, sources: Sources, answer: Answer | None) -> str:
    """Return the role whose series the objects belong to: that of the first segmentation or dose,
    else the first input of the manifest that was read."""
    if answer is not None and not answer.prediction.uncertainty.abstain:
        for finding in answer.prediction.findings:
            if isinstance(finding, Segmentation | DoseGrid) and finding.reference_role in sources:
                return finding.reference_role
    for item in manifest.inputs:
        if item.role in sources:
            return item.role
    raise MissingAttributeError("expected the headers of a source series, found none")


def _answer(documents: Sequence[Document]) -> dict[str, str]:
    """Return the digests of an answer by file; what it says of an earlier run is no part of it."""
    return {
        item.path.name: item.content_digest for item in documents if item.path.name != SUPERSEDED
    }


def _superseding(context: WritingContext) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the bundle that marks the replaced run's results, and a note where it cannot be."""
    from adapters.fhir.marks import mark_for
    from adapters.fhir.superseding import superseding_bundle

    request = context.request
    old = next((item for item in context.replaced("FHIR") if item.path.name == BUNDLE), None)
    if old is None:
        return {}, ()
    try:
        bundle = json.loads(old.path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # somebody emptied the outbox: the new result stands all the same
        return {}, (UNMARKED,)
    return superseding_bundle(bundle, mark_for(request.trigger, request.run_id)), ()


def _identity(context: WritingContext) -> FhirIdentity:
    """Return patient and study as the bundle quotes them."""
    inherited = context.inherited
    return FhirIdentity(
        patient_id=inherited.text("PatientID"),
        patient_id_issuer=inherited.text("IssuerOfPatientID"),
        accession_number=inherited.text("AccessionNumber"),
        study_instance_uid=inherited.text("StudyInstanceUID"),
    )
