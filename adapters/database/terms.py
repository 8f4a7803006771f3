"""Words of headers that may stand in a record as they are: defined terms of the standard.

A person can type anything into a header; only what the standard defines names nobody.
Everything else stands as a digest.

Source: PS3.3 C.7.3.1.1.1 (modality), PS3.16 Annex L (body part examined), PS3.6 (UIDs).

Read next: `bodies.py`.
"""

from __future__ import annotations

import hashlib
import re

from audit.errors import RecordError
from audit.guard import refuse_patient_data
from audit.kinds import NOT_EVALUATED

_MODALITIES = """
AU BI BMD CR CT DMS DX ECG EPS ES FID GM IO IVUS KO LS MG MR NM OCT OT PR PT PX REG RESP RF RG
RTDOSE RTIMAGE RTINTENT RTPLAN RTRAD RTRECORD RTSEGANN RTSTRUCT SC SEG SM SR TG US XA XC
"""
_BODY_PARTS = """
ABDOMEN ABDOMENPELVIS ACJOINT ADRENAL ANKLE AORTA ARM ARTERY AXILLA BACK BLADDER BONE BRACHIAL
BRAIN BREAST BRONCHUS BUTTOCK CALCANEUS CALF CAROTID CEREBELLUM CERVIX CHEEK CHEST CHESTABDOMEN
CHESTABDPELVIS CLAVICLE COCCYX COLON CORNEA CSPINE CTSPINE EAR ELBOW ESOPHAGUS EXTREMITY EYE
EYELID FACE FEMUR FIBULA FINGER FOOT FOREARM GALLBLADDER GLUTEUS GROIN HAND HEAD HEADNECK HEART
HIP HUMERUS ILEUM ILIUM JAW JEJUNUM KIDNEY KNEE LARYNX LEG LIVER LOWERARM LOWEREXTREMITY
LOWERLEG LSPINE LSSPINE LUNG MANDIBLE MAXILLA MEDIASTINUM MOUTH NECK NECKCHEST NECKCHESTABDOMEN
NECKCHESTABDPELV NOSE ORBIT OVARY PANCREAS PAROTID PATELLA PELVIS PELVISHIP PENIS PHARYNX
PROSTATE RADIUS RADIUSULNA RECTUM RIB SCALP SCAPULA SCLERA SCROTUM SHOULDER SIJOINT SKULL SPINE
SPLEEN SSPINE STERNUM STOMACH SUBMANDIBULAR TESTIS THIGH THUMB THYROID TIBIA TIBIAFIBULA TLSPINE
TMJ TOE TONGUE TRACHEA TSPINE ULNA UPPERARM UPPEREXTREMITY UPPERLEG URETER URETHRA UTERUS VAGINA
VEIN VULVA WHOLEBODY WRIST ZYGOMA
"""
MODALITIES = frozenset(_MODALITIES.split())
BODY_PARTS = frozenset(_BODY_PARTS.split())
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+/-]{0,63}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_REASON = re.compile(r"[A-Z][A-Z0-9_]{2,63}")
_PURPOSE_CODE = re.compile(r"[a-z][a-z0-9:+./-]{0,63}")
_DIGEST_WORD = re.compile(r"text:[0-9a-f]{12}")
_CLASS = re.compile(r"1\.2\.840\.10008(?:\.(?:0|[1-9][0-9]{0,9})){1,12}")
_NUMBERED = re.compile(r"\d{4,}")


def is_class(uid: str) -> bool:
    """Tell whether a UID is one that the standard registers."""
    return _CLASS.fullmatch(uid) is not None


def could_number_a_person(text: str) -> bool:
    """Tell whether a text has as many digits in a row as numbers of patients have."""
    return _NUMBERED.search(text) is not None


def coded(text: str) -> str:
    """Return text that has the form of a code or digest, else ``text:`` and a digest of it."""
    if _DIGEST.fullmatch(text) or (_CODE.fullmatch(text) and permitted(text)):
        return text
    return digest_word(text)


def digest_of_text(text: str) -> str:
    """Return sha256:<hex> of a text, so that a record can tell values apart without them."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def reason_code(reason: str) -> str:
    """Return the stable code that a reason begins with, else a digest of the whole.

    A number of a patient can look like a code, so that one with many digits is none.
    """
    found = _REASON.match(reason)
    if found and not could_number_a_person(found.group()):
        return found.group()
    return reason if _DIGEST_WORD.fullmatch(reason) else digest_word(reason)


def digest_word(text: str) -> str:
    """Return ``text:`` and the first digits of its digest."""
    return f"text:{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def purpose(text: str) -> str:
    """Return a purpose that the suite named as it is; what a person typed as a digest."""
    ours = _PURPOSE_CODE.fullmatch(text) and not could_number_a_person(text)
    return text if ours else digest_word(text)


def body_part(text: str | None) -> str:
    """Return a term of PS3.16 Annex L as it is, every other text as a digest."""
    if not text:
        return NOT_EVALUATED
    return text if text in BODY_PARTS else digest_word(text)


def permitted(text: str) -> bool:
    """Tell whether the guard lets a text stand."""
    try:
        refuse_patient_data(text)
    except RecordError:
        return False
    return True
