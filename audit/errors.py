"""Words for what went wrong: one tree of errors for the whole suite.

Every error carries a stable ``code`` (tests and documents quote it), says whether
trying again can help (``retryable``) and gives the operator one sentence of
``advice``.  Messages state what was expected, what was found and which object, by
identifier; they never carry patient data.

    SuiteError
    ├── ConfigurationError            CONFIGURATION
    ├── InputError                    INPUT_*            what arrived cannot be used
    │   ├── NotDicomError             INPUT_NOT_DICOM
    │   ├── TruncatedError            INPUT_TRUNCATED
    │   ├── TransferSyntaxError       INPUT_TRANSFER_SYNTAX
    │   ├── GeometryError             INPUT_GEOMETRY
    │   ├── MissingAttributeError     INPUT_MISSING_ATTRIBUTE
    │   ├── UnitsError                INPUT_UNITS
    │   ├── ModalityError             INPUT_MODALITY
    │   ├── MixedSeriesError          INPUT_MIXED_SERIES
    │   │   └── MixedPatientsError    INPUT_MIXED_PATIENTS
    │   ├── TooLargeError             INPUT_TOO_LARGE
    │   ├── SeriesChangedError        INPUT_SERIES_CHANGED
    │   └── InputChangedError         INPUT_CHANGED
    │       └── AnswerChangedError    INPUT_ANSWER_CHANGED
    ├── RefusalError                  REFUSED            outside the intended purpose: an answer
    │   └── BarredError               BARRED             the release was stopped meanwhile
    ├── ReleaseError                  RELEASE_*
    │   ├── ReleaseTamperedError      RELEASE_TAMPERED
    │   ├── SignatureError            RELEASE_SIGNATURE
    │   │   ├── KeyUntrustedError     RELEASE_KEY_UNTRUSTED
    │   │   └── KeyRevokedError       RELEASE_KEY_REVOKED
    │   ├── HostApiError              RELEASE_HOST_API
    │   ├── ModelImportError          RELEASE_IMPORT     a model from elsewhere cannot be one
    │   └── NotActiveError            RELEASE_NOT_ACTIVE
    ├── PluginError                   PLUGIN_*
    │   ├── PluginTimeoutError        PLUGIN_TIMEOUT
    │   ├── PluginMemoryError         PLUGIN_MEMORY
    │   ├── PluginCrashedError        PLUGIN_CRASHED
    │   ├── PluginRaisedError         PLUGIN_RAISED
    │   └── PluginOutputError         PLUGIN_OUTPUT
    ├── DoorError                     DOOR_*             a system outside
    │   ├── UnavailableError          DOOR_UNAVAILABLE   (retryable)
    │   ├── RejectedError             DOOR_REJECTED
    │   ├── AuthenticationError       DOOR_AUTHENTICATION
    │   └── NotStoredError            DOOR_NOT_STORED    (retryable)
    ├── StorageError                  STORAGE_*          disk and database
    │   ├── DiskFullError             STORAGE_DISK_FULL  (retryable)
    │   └── DatabaseBusyError         STORAGE_BUSY       (retryable)
    ├── AuditError                    AUDIT_*
    │   ├── RecordError               AUDIT_RECORD
    │   ├── LogTamperedError          AUDIT_TAMPERED
    │   ├── EvidenceTamperedError     AUDIT_EVIDENCE_TAMPERED
    │   └── LogUnavailableError       AUDIT_UNAVAILABLE  (retryable)
    └── NotFoundError                 NOT_FOUND

Read next: `audit/record.py`.
"""

from __future__ import annotations


class SuiteError(Exception):
    """Report a failure in words that the operator can act on.

    ``message`` says what was expected, what was found, and which object, without patient data;
    ``advice`` is one sentence for the operator, by default that of the class.
    """

    code = "SUITE"
    retryable = False
    advice = "Look at the run's record and send it to the maintainer."

    def __init__(self, message: str, *, advice: str | None = None) -> None:
        super().__init__(message)
        if advice is not None:
            self.advice = advice


class ConfigurationError(SuiteError):
    """The configuration cannot be used as it stands."""

    code = "CONFIGURATION"
    advice = "Correct the named setting and run `osteon config check`."


class InputError(SuiteError):
    """What arrived cannot be used."""

    code = "INPUT"
    advice = "Correct the object at its source and send it again."


class NotDicomError(InputError):
    """The bytes are not a DICOM Part 10 file."""

    code = "INPUT_NOT_DICOM"
    advice = "Send DICOM objects only; the file was left where it was."


class TruncatedError(InputError):
    """A DICOM object ends before its data do."""

    code = "INPUT_TRUNCATED"
    advice = "Send the object again from its source."


class TransferSyntaxError(InputError):
    """The pixel encoding cannot be decoded here."""

    code = "INPUT_TRANSFER_SYNTAX"
    advice = "Have the sender use an uncompressed or a listed transfer syntax."


class GeometryError(InputError):
    """Positions or orientations do not form one uniform volume."""

    code = "INPUT_GEOMETRY"
    advice = "Check the series for missing, doubled or tilted slices."


class MissingAttributeError(InputError):
    """An attribute that the reading needs is absent."""

    code = "INPUT_MISSING_ATTRIBUTE"
    advice = "Have the sender fill in the named attribute."


class UnitsError(InputError):
    """Pixel values cannot be converted into the modality's unit."""

    code = "INPUT_UNITS"
    advice = "Check units, decay correction and patient weight at the scanner."


class ModalityError(InputError):
    """The object is of another kind than the one asked for."""

    code = "INPUT_MODALITY"


class MixedSeriesError(InputError):
    """One series holds more than one acquisition or frame of reference."""

    code = "INPUT_MIXED_SERIES"
    advice = "Split the series at the sender."


class MixedPatientsError(MixedSeriesError):
    """The objects of one study name several patients: whose study it is cannot be known."""

    code = "INPUT_MIXED_PATIENTS"
    advice = "Correct the patient of the study in the archive."


class TooLargeError(InputError):
    """The input is larger than the stated limit."""

    code = "INPUT_TOO_LARGE"
    advice = "Raise the staging limit in the configuration or send a smaller series."


class SeriesChangedError(InputError):
    """Objects came or went since the study was routed; the study is routed again."""

    code = "INPUT_SERIES_CHANGED"
    advice = "Wait: the study is routed again, and the late objects give a new run."


class InputChangedError(InputError):
    """The same run was asked for again with other pixel values."""

    code = "INPUT_CHANGED"
    advice = "Run it by hand as a new revision: `osteon runs force`."


class AnswerChangedError(InputChangedError):
    """The same run, asked for again, comes to another answer than the one it gave."""

    code = "INPUT_ANSWER_CHANGED"


class RefusalError(SuiteError):
    """The case lies outside what the release is for; this is an answer."""

    code = "REFUSED"
    advice = "Read the reasons; the study needs the manual path."

    def __init__(
        self, message: str, *, reasons: tuple[str, ...] = (), advice: str | None = None
    ) -> None:
        super().__init__(message, advice=advice)
        self.reasons = reasons


class BarredError(RefusalError):
    """The release was stopped, suspended or left after the study was routed to it."""

    code = "BARRED"
    advice = "The study takes the manual path, or the release that is active now."


class ReleaseError(SuiteError):
    """A release cannot be used."""

    code = "RELEASE"
    advice = "Run `osteon release verify` on the release."


class ReleaseTamperedError(ReleaseError):
    """A member of the release differs from its manifest."""

    code = "RELEASE_TAMPERED"
    advice = "Fetch the release again from its publisher; do not use this copy."


class SignatureError(ReleaseError):
    """A signature is missing, wrong, or made by a key that is not trusted."""

    code = "RELEASE_SIGNATURE"
    advice = "Check keys/trust.json and the publisher's key."


class KeyUntrustedError(SignatureError):
    """The key of a signature is not trusted for its purpose, or was not yet valid."""

    code = "RELEASE_KEY_UNTRUSTED"
    advice = "Add the publisher's key to keys/trust.json if you trust it; else refuse the release."


class KeyRevokedError(SignatureError):
    """The key of a signature was revoked."""

    code = "RELEASE_KEY_REVOKED"
    advice = "Ask the publisher for a signature by a key that is in force."


class HostApiError(ReleaseError):
    """The release was built for another host interface."""

    code = "RELEASE_HOST_API"
    advice = "Use a release built for this host, or the suite that the release names."


class ModelImportError(ReleaseError):
    """A model from elsewhere cannot become a release: this field is missing or contradicts."""

    code = "RELEASE_IMPORT"
    advice = "Correct the named field at the model, or in its statement, and import again."

    def __init__(self, field: str, expected: str = "", found: object = "", **kept: str | None):
        text = f"{field}: expected {expected}, found {found}" if expected else field
        super().__init__(text, **kept)


class NotActiveError(ReleaseError):
    """No release of the plugin is active at this site."""

    code = "RELEASE_NOT_ACTIVE"
    advice = "Activate a release, or record a waiver in research mode."


class PluginError(SuiteError):
    """The plugin did not give a usable answer."""

    code = "PLUGIN"
    advice = "The study takes the manual path; report the run to the plugin's author."


class PluginTimeoutError(PluginError):
    """The plugin ran past its wall-time limit and was killed."""

    code = "PLUGIN_TIMEOUT"


class PluginMemoryError(PluginError):
    """The plugin passed its memory limit and was killed."""

    code = "PLUGIN_MEMORY"


class PluginCrashedError(PluginError):
    """The plugin's process died."""

    code = "PLUGIN_CRASHED"


class PluginRaisedError(PluginError):
    """The plugin raised an exception."""

    code = "PLUGIN_RAISED"


class PluginOutputError(PluginError):
    """The plugin's answer has a wrong shape, type or value."""

    code = "PLUGIN_OUTPUT"


class DoorError(SuiteError):
    """A system outside did not do what was asked."""

    code = "DOOR"
    advice = "Run `osteon doctor` to test the connection."


class UnavailableError(DoorError):
    """The system cannot be reached, or says that it is busy.

    ``retry_after_s`` is how long it asks us to stay away, None where it does not say.
    """

    code = "DOOR_UNAVAILABLE"
    retryable = True

    def __init__(
        self, message: str, *, advice: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, advice=advice)
        self.retry_after_s = retry_after_s


class RejectedError(DoorError):
    """The system refused the object or the request."""

    code = "DOOR_REJECTED"


class AuthenticationError(DoorError):
    """The system refused our credentials."""

    code = "DOOR_AUTHENTICATION"
    advice = "Check the user, password or token of the connection."


class NotStoredError(DoorError):
    """The system said that it stored an object, and does not have it."""

    code = "DOOR_NOT_STORED"
    retryable = True


class StorageError(SuiteError):
    """Disk or database failed."""

    code = "STORAGE"


class DiskFullError(StorageError):
    """There is not enough free space to go on."""

    code = "STORAGE_DISK_FULL"
    retryable = True
    advice = "Free space on the home's disk; the work goes on by itself."


class DatabaseBusyError(StorageError):
    """The database is locked by another process."""

    code = "STORAGE_BUSY"
    retryable = True
    advice = "Wait, or stop the other process that holds the database."


class AuditError(SuiteError):
    """The record could not be written, read or verified."""

    code = "AUDIT"


class RecordError(AuditError):
    """A record breaks its schema."""

    code = "AUDIT_RECORD"


class LogTamperedError(AuditError):
    """The log is not what was signed."""

    code = "AUDIT_TAMPERED"
    advice = "Stop, keep the home as it is, and call the compliance officer."


class EvidenceTamperedError(AuditError):
    """Evidence that was kept is not what its manifest names."""

    code = "AUDIT_EVIDENCE_TAMPERED"
    advice = "Leave the folder as it is, and call the compliance officer."


class LogUnavailableError(AuditError):
    """The log cannot be written; nothing leaves until it can."""

    code = "AUDIT_UNAVAILABLE"
    retryable = True


class NotFoundError(SuiteError):
    """Nothing is known under this identifier."""

    code = "NOT_FOUND"
    advice = "List what exists, e.g. with `osteon runs list`."
