"""Every word of the pages, in English and German.

A page asks for a text by key; a test checks that both languages have every key that the
templates use.
"""

from __future__ import annotations

from adapters.web.texts_commissioning import COMMISSIONING_TEXTS
from adapters.web.texts_dose import DOSE_TEXTS
from adapters.web.texts_incidents import INCIDENT_TEXTS
from adapters.web.texts_monitoring import MONITORING_TEXTS
from adapters.web.texts_releases import RELEASE_TEXTS
from adapters.web.texts_technical_file import TECHNICAL_FILE_TEXTS
from adapters.web.texts_validation import VALIDATION_TEXTS
from adapters.web.texts_workspace import WORKSPACE_TEXTS

LANGUAGES = ("en", "de")

TEXTS: dict[str, tuple[str, str]] = {
    "title": ("Osteon", "Osteon"),
    "runs": ("Runs", "Läufe"),
    "notice": ("Status of this software", "Status dieser Software"),
    "account": ("Account", "Konto"),
    "sign_in": ("Sign in", "Anmelden"),
    "sign_out": ("Sign out", "Abmelden"),
    "signed_in_as": ("Signed in as", "Angemeldet als"),
    "account_id": ("Account", "Konto"),
    "password": ("Password", "Passwort"),
    "new_password": (
        "New password (at least 12 characters)",
        "Neues Passwort (mindestens 12 Zeichen)",
    ),
    "change_password": ("Change password", "Passwort ändern"),
    "must_change": (
        "This password was given out once. Choose your own before you go on.",
        "Dieses Passwort wurde einmalig vergeben. Wählen Sie zuerst ein eigenes.",
    ),
    "sign_in_provider": ("Sign in with", "Anmelden mit"),
    "local_account": ("Or with an account of this site", "Oder mit einem Konto dieses Hauses"),
    "provider_refused": (
        "The identity provider's answer does not let you in. Begin again from the sign-in page; "
        "if that does not help, ask your administrator.",
        "Die Antwort des Identitätsanbieters lässt Sie nicht ein. Beginnen Sie auf der "
        "Anmeldeseite noch einmal; hilft das nicht, fragen Sie Ihre Administration.",
    ),
    "go_on": ("Go on", "Weiter"),
    "signed_out": ("Signed out", "Abgemeldet"),
    "signed_out_here": (
        "You are signed out here. At the identity provider you may still be signed in.",
        "Hier sind Sie abgemeldet. Beim Identitätsanbieter sind Sie es vielleicht noch nicht.",
    ),
    "sign_out_there": ("Sign out there too", "Auch dort abmelden"),
    "password_elsewhere": (
        "You sign in at the identity provider; there is no password here.",
        "Sie melden sich beim Identitätsanbieter an; hier gibt es kein Passwort.",
    ),
    "wrong": ("Account or password is wrong.", "Konto oder Passwort ist falsch."),
    "too_many": (
        "Too many failed attempts. Try again in {seconds} seconds.",
        "Zu viele fehlgeschlagene Versuche. Versuchen Sie es in {seconds} Sekunden wieder.",
    ),
    "password_changed": ("The password was changed.", "Das Passwort wurde geändert."),
    "password_short": ("The new password is too short.", "Das neue Passwort ist zu kurz."),
    "research": (
        "Research use. Not a certified medical device; nothing here is approved for treatment.",
        "Nur für Forschung. Kein zertifiziertes Medizinprodukt; "
        "nichts hier ist zur Behandlung freigegeben.",
    ),
    "clinical": (
        "Every result is unapproved until a clinician accepts it.",
        "Jedes Ergebnis ist nicht freigegeben, bis ein Arzt es annimmt.",
    ),
    "status": ("Status", "Status"),
    "plugin": ("Plugin", "Plugin"),
    "release": ("Release", "Release"),
    "opened": ("Opened", "Begonnen"),
    "closed": ("Closed", "Beendet"),
    "mode": ("Mode", "Modus"),
    "trigger": ("Trigger", "Auslöser"),
    "reason": ("Reason", "Grund"),
    "run": ("Run", "Lauf"),
    "attempts": ("Attempts", "Versuche"),
    "results": ("Results", "Ergebnisse"),
    "documents": ("Documents and targets", "Dokumente und Ziele"),
    "kind": ("Kind", "Art"),
    "target": ("Target", "Ziel"),
    "state": ("State", "Zustand"),
    "findings": ("Findings", "Befunde"),
    "quantity": ("Quantity", "Größe"),
    "value": ("Value", "Wert"),
    "interval": ("90 % interval", "90-%-Intervall"),
    "uncertainty": ("Uncertainty", "Unsicherheit"),
    "explanation": ("Explanation", "Erklärung"),
    "contribution": ("Contribution", "Beitrag"),
    "faithfulness": ("Faithfulness", "Treue"),
    "records": ("Audit records", "Audit-Einträge"),
    "leaf_index": ("Leaf", "Blatt"),
    "recorded": ("Recorded (UTC)", "Eingetragen (UTC)"),
    "outcome": ("Outcome", "Ausgang"),
    "leaf_hash": ("Leaf hash", "Blatt-Hash"),
    "not_yet": ("not in the tree yet", "noch nicht im Baum"),
    "no_runs": (
        "No runs yet. Send a study to a watched archive.",
        "Noch keine Läufe. Senden Sie eine Studie an ein überwachtes Archiv.",
    ),
    "retry": ("Run again from the failed step", "Ab dem fehlgeschlagenen Schritt wiederholen"),
    "discard": ("Discard", "Verwerfen"),
    "force": ("Run the same input again", "Dieselbe Eingabe noch einmal rechnen"),
    "seed": ("Seed point", "Saatpunkt"),
    "seed_why": (
        "This image is larger than what the plugin was trained on. "
        "Give one point inside the lesion; the study then runs around it.",
        "Dieses Bild ist größer als das, womit das Plugin trainiert wurde. "
        "Geben Sie einen Punkt in der Läsion an; die Studie läuft dann um ihn herum.",
    ),
    "seed_point": (
        "Point inside the lesion, patient coordinates (LPS) in mm",
        "Punkt in der Läsion, Patientenkoordinaten (LPS) in mm",
    ),
    "seed_x": ("x: towards the left, mm", "x: nach links, mm"),
    "seed_y": ("y: towards the back, mm", "y: nach hinten, mm"),
    "seed_z": ("z: towards the head, mm", "z: zum Kopf hin, mm"),
    "seed_run": ("Run with this point", "Mit diesem Punkt rechnen"),
    "overview": ("Overview", "Übersicht"),
    "overview_alt": (
        "Slices through the lesion with contour, uncertainty and attribution",
        "Schnitte durch die Läsion mit Kontur, Unsicherheit und Attribution",
    ),
    "unknown_to_software": ("What the software does not know", "Was die Software nicht weiß"),
    "does_not_know": (
        "It sees one study only: no report, no other examination, no treatment. It outlines what "
        "looks like the tumour mass on these series; oedema, skip lesions outside the field of "
        "view and the target volume are the clinician's decision.",
        "Sie sieht nur eine Studie: keinen Bericht, keine andere Untersuchung, keine Behandlung. "
        "Sie umrandet, was in diesen Serien wie die Tumormasse aussieht; Ödem, Skip-Läsionen "
        "außerhalb des Bildfelds und das Zielvolumen entscheidet der Arzt.",
    ),
    "forbidden": ("Your role may not do this.", "Ihre Rolle darf das nicht."),
    "not_found": (
        "Nothing is known under this address.",
        "Unter dieser Adresse ist nichts bekannt.",
    ),
    "not_permitted": (
        "The state of the run does not permit this; nothing was changed.",
        "Der Zustand des Laufs lässt das nicht zu; nichts wurde geändert.",
    ),
    "unavailable": (
        "This cannot be done right now. Try again in a moment.",
        "Das geht gerade nicht. Versuchen Sie es gleich noch einmal.",
    ),
    "malformed": (
        "The form was not filled in completely or correctly.",
        "Das Formular war nicht vollständig oder nicht richtig ausgefüllt.",
    ),
    "queue": ("Waiting or running", "Wartend oder laufend"),
    "log_size": ("Audit log", "Audit-Log"),
    "entries": ("records in the tree", "Einträge im Baum"),
    "language": ("Deutsch", "English"),
    "skip": ("Skip to content", "Zum Inhalt"),
    "previous": ("Newer", "Neuere"),
    "next": ("Older", "Ältere"),
    "withheld": (
        "The plugin abstained: findings are withheld.",
        "Das Plugin enthält sich: Befunde werden zurückgehalten.",
    ),
    "refused_why": (
        "The study was not processed: it lies outside what the plugin is for. Reasons:",
        "Die Studie wurde nicht bearbeitet: Sie liegt außerhalb dessen, wofür das Plugin da ist. "
        "Gründe:",
    ),
    "mark_INPUT_SUSPECT": (
        "Images that this answer rests on were sent again. They are read once more.",
        "Bilder, auf denen diese Antwort beruht, wurden erneut gesendet. Sie werden noch einmal "
        "gelesen.",
    ),
    "mark_INPUT_CORRECTED": (
        "The images are others now than those that this answer rests on. A new run replaces it.",
        "Die Bilder sind jetzt andere als die, auf denen diese Antwort beruht. Ein neuer Lauf "
        "ersetzt sie.",
    ),
    "mark_SEED_AMBIGUOUS": (
        "Several different seed points were found. Which one is meant? Leave one, or mark it here.",
        "Mehrere verschiedene Saatpunkte wurden gefunden. Welcher ist gemeint? Lassen Sie einen "
        "stehen, oder markieren Sie ihn hier.",
    ),
    "mark_SEED_UNUSABLE": (
        "A seed point was left that cannot be used: its shape, unit, study or frame of "
        "reference is not the expected one.",
        "Ein hinterlegter Saatpunkt ist nicht verwendbar: Form, Einheit, Studie oder "
        "Bezugssystem ist nicht das erwartete.",
    ),
    "mark_PRESCRIPTION_CONTRADICTION": (
        "Two sources state different prescriptions for this study. Settle it where they were "
        "written; the record names both.",
        "Zwei Quellen geben für diese Studie verschiedene Verordnungen an. Klären Sie das dort, wo "
        "sie stehen; der Eintrag im Protokoll nennt beide.",
    ),
    "mark_PRESCRIPTION_UNUSABLE": (
        "A prescription was left that cannot be used: its shape, unit or study is not the expected "
        "one.",
        "Eine hinterlegte Verordnung ist nicht verwendbar: Form, Einheit oder Studie ist nicht die "
        "erwartete.",
    ),
    "unwritten": (
        "No report of this was written:",
        "Darüber wurde kein Bericht geschrieben:",
    ),
    "superseded": ("Superseded by a later run", "Durch einen späteren Lauf ersetzt"),
    **INCIDENT_TEXTS,
    **MONITORING_TEXTS,
    **TECHNICAL_FILE_TEXTS,
    **VALIDATION_TEXTS,
    **COMMISSIONING_TEXTS,
    **RELEASE_TEXTS,
    **WORKSPACE_TEXTS,
    **DOSE_TEXTS,
}


def translator(language: str) -> dict[str, str]:
    """Return every text in one language."""
    index = LANGUAGES.index(language) if language in LANGUAGES else 0
    return {key: pair[index] for key, pair in TEXTS.items()}
