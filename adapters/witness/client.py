"""The site's side of a witness: sends a checkpoint with its proof, keeps the cosignature.

Protocol: C2SP tlog-witness, ``add-checkpoint``.

Read next: `../attestation/forwarding.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import httpx

from adapters.attestation.attestor import Attestor, Job, Statement
from audit.checkpoint import split_note
from audit.cosignature import CosignerKey, lines_by_key
from audit.errors import LogTamperedError, UnavailableError
from audit.witness import SIZE_TYPE, Request

_TIMEOUT_S = 15.0
_LONGEST_REPLY = 1 << 16


class WitnessClient(Attestor):
    """Asks one witness for its cosignatures.

    Parameters
    ----------
    url : submission prefix of the witness.
    keys : its public keys; cosignatures of others are ignored.
    """

    kind = "cosignature"

    def __init__(
        self,
        name: str,
        url: str,
        keys: Sequence[CosignerKey],
        *,
        post: Callable[[str, bytes], httpx.Response] | None = None,
    ) -> None:
        super().__init__(name)
        self._url = f"{url.rstrip('/')}/add-checkpoint"
        self._keys = {(key.name, key.key_id): key for key in keys}
        self._post = post or _post

    def attest(self, job: Job) -> Statement:
        """Return the cosignature lines of a checkpoint; empty where it saw a larger one of us.

        Raises
        ------
        UnavailableError : it cannot be reached, or does not answer as a witness.
        LogTamperedError : it saw another log, or a longer one: ours does not extend it.
        """
        size = job.checkpoint.tree_size
        reply = self._ask(job, job.last_size)
        seen = _seen(reply)
        if seen is not None and seen > job.log_size:
            raise LogTamperedError(
                f"expected at least {seen} records, which witness {self.name} saw, "
                f"found {job.log_size}"
            )
        if seen is not None and seen > size:
            return Statement("")  # it has cosigned a later one of ours: that one covers this
        if seen is not None and seen != job.last_size:
            reply = self._ask(job, seen)
            seen = _seen(reply)
        if reply.status_code == 422 or seen is not None:
            raise LogTamperedError(
                f"expected witness {self.name} to find our log extended at {size} records, "
                "found that it saw another one"
            )
        if reply.status_code != 200:
            raise UnavailableError(
                f"expected a cosignature of witness {self.name}, found {reply.status_code}"
            )
        return Statement(self._checked(job, reply))

    def _ask(self, job: Job, old_size: int) -> httpx.Response:
        proof = job.prove(old_size, job.checkpoint.tree_size) if old_size else ()
        body = Request(old_size, proof, job.checkpoint.note).encode()
        try:
            reply = self._post(self._url, body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnavailableError(
                f"expected an answer of witness {self.name}, found {type(error).__name__}"
            ) from error
        if len(reply.content) > _LONGEST_REPLY:
            raise UnavailableError(f"expected a short answer of witness {self.name}")
        return reply

    def _checked(self, job: Job, reply: httpx.Response) -> str:
        text, _ = split_note(job.checkpoint.note)
        try:
            lines = "".join(lines_by_key(reply.text, text, self._keys))
        except LogTamperedError as error:
            raise UnavailableError(
                f"expected a cosignature of witness {self.name}, found a wrong one"
            ) from error
        if not lines:
            raise UnavailableError(
                f"expected a cosignature under the keys of witness {self.name}, found none"
            )
        return lines


def _seen(reply: httpx.Response) -> int | None:
    """Return the size that a 409 states, None for every other answer."""
    if reply.status_code != 409:
        return None
    text = reply.text.strip()
    kind = reply.headers.get("content-type", "").split(";")[0].strip()
    if kind != SIZE_TYPE or not text.isascii() or not text.isdigit() or len(text) > 19:
        raise UnavailableError("expected a witness to state the size that it saw, found none")
    return int(text)


def _post(url: str, body: bytes) -> httpx.Response:
    return httpx.post(url, content=body, timeout=_TIMEOUT_S)
