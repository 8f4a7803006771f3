"""The words of predicted doses: trade-offs and later plans; in both languages.

Read next: `texts.py`.
"""

from __future__ import annotations

DOSE_TEXTS: dict[str, tuple[str, str]] = {
    "trade_off": ("Trade-offs", "Abwägungen"),
    "trade_off_open": ("Try out trade-offs", "Abwägungen ausprobieren"),
    "trade_off_limits": (
        "Not for treatment. What the networks predict for a plan that nobody planned: they follow "
        "a changed weight about half as far as the quick plan they correct. Points and goals are "
        "those of the structures as drawn; margins move on voxels of about 4 mm.",
        "Nicht zur Behandlung. Was die Netze für einen Plan vorhersagen, den niemand geplant hat: "
        "Einem geänderten Gewicht folgen sie etwa halb so weit wie der Schnellplan, den sie "
        "korrigieren. Punkte und Ziele gelten den gezeichneten Strukturen; Ränder bewegen sich auf "
        "Voxeln von etwa 4 mm.",
    ),
    "trade_off_preparing": ("The case is being prepared", "Der Fall wird vorbereitet"),
    "trade_off_preparing_long": (
        "It is read again, and the release starts for it. This takes up to half a minute, once, "
        "and longer while other cases are being prepared; this page goes on by itself.",
        "Er wird neu gelesen, und das Release startet für ihn. Das dauert einmalig bis zu einer "
        "halben Minute, länger, solange andere Fälle vorbereitet werden; diese Seite geht von "
        "selbst weiter.",
    ),
    "trade_off_look": ("Look again now", "Jetzt nachsehen"),
    "trade_off_at_work": (
        "Still at work. A case that nobody asked about for five minutes is prepared again first, "
        "which takes up to half a minute.",
        "Noch bei der Arbeit. Ein Fall, zu dem fünf Minuten lang niemand fragte, wird erst wieder "
        "vorbereitet; das dauert bis zu einer halben Minute.",
    ),
    "trade_off_margin": ("Margin of targets", "Rand der Zielvolumen"),
    "trade_off_priority": ("Weight of organs", "Gewicht der Organe"),
    "trade_off_ask": ("Predict", "Vorhersagen"),
    "trade_off_reset": ("As it was", "Wie zuvor"),
    "trade_off_changed": ("This answer is on record.", "Diese Antwort ist aufgezeichnet."),
    "trade_off_unchanged": ("Nothing is changed yet.", "Noch ist nichts geändert."),
    "trade_off_took": ("The answer took", "Die Antwort dauerte"),
    "trade_off_goals": ("Goals of the protocol", "Ziele des Protokolls"),
    "trade_off_goal": ("Goal", "Ziel"),
    "trade_off_before": ("before", "vorher"),
    "trade_off_after": ("after", "nachher"),
    "trade_off_change": ("Change", "Änderung"),
    "trade_off_histograms": ("Dose-volume histograms", "Dosis-Volumen-Histogramme"),
    "trade_off_histograms_alt": (
        "Histograms before (dashed) and after, points with 90 % intervals; numbers in the table",
        "Histogramme vorher (gestrichelt) und nachher, Punkte mit 90-%-Intervallen; Zahlen in der "
        "Tabelle",
    ),
    "trade_off_planes": ("Dose in three planes", "Dosis in drei Ebenen"),
    "trade_off_planes_alt": (
        "Predicted dose and its expected error over the image, axial, coronal and sagittal",
        "Vorhergesagte Dosis und ihr erwarteter Fehler über dem Bild, axial, koronal und sagittal",
    ),
    "trade_off_points": ("Points", "Punkte"),
    "trade_off_caption": ("what-if, predicted by software", "Was-wäre-wenn, Software-Vorhersage"),
    "dose_drawn_back": (
        "{target} drawn back by {mm} mm where it costs {organ} most: mean of {organ} {change}, "
        "predicted anew.",
        "{target} um {mm} mm zurückgenommen, wo es {organ} am meisten kostet: Mittel von {organ} "
        "{change}, neu vorhergesagt.",
    ),
    "dose_lowest": (
        "{organ} {point} cannot go below {lowest} at this coverage (predicted: {predicted}). At "
        "the weight that leads there the networks predict {anew}, and D95 of a target changes by "
        "{d95} of its prescription at most.",
        "{organ} {point} kann bei dieser Abdeckung nicht unter {lowest} (vorhergesagt: "
        "{predicted}). Bei dem Gewicht, das dahin führt, sagen die Netze {anew} vorher, und D95 "
        "eines Zielvolumens ändert sich um höchstens {d95} seiner Verordnung.",
    ),
    "dose_lowest_means": (
        "The bound was searched for in a simplified beam model with nine fields, without leaves "
        "and their leakage, by a growing weight of the one organ. At this coverage means: D95 of "
        "no target falls and D1 of none rises by more than 1 % of its prescription. A real plan "
        "is expected to stay above it; the networks follow about 0.6 of the way.",
        "Die Grenze wurde in einem vereinfachten Strahlmodell mit neun Feldern gesucht, ohne "
        "Lamellen und deren Durchlass, mit wachsendem Gewicht des einen Organs. Bei dieser "
        "Abdeckung heißt: D95 keines Zielvolumens sinkt und D1 keines steigt um mehr als 1 % "
        "seiner Verordnung. Ein wirklicher Plan bleibt voraussichtlich darüber; die Netze folgen "
        "etwa 0,6 des Weges.",
    ),
    "dose_BEAMS_OF_PLAN": (
        "Beams of the plan: nine fields around its isocentre.",
        "Strahlen des Plans: neun Felder um sein Isozentrum.",
    ),
    "dose_BEAM_ANGLES_OF_PLAN": (
        "Beams of the plan; the isocentre is assumed in the middle of the targets, because the "
        "plan states none, or no meterset of every beam yet.",
        "Strahlen des Plans; das Isozentrum ist in der Mitte der Zielvolumen angenommen, weil der "
        "Plan keines nennt oder noch nicht für jeden Strahl Monitoreinheiten.",
    ),
    "dose_BEAMS_ASSUMED": (
        "Nine coplanar fields assumed, no plan was given.",
        "Neun koplanare Felder angenommen, kein Plan lag vor.",
    ),
    "dose_BEAMS_NOT_IN_PLAN": (
        "Nine coplanar fields assumed, no plan of these structures has beams.",
        "Neun koplanare Felder angenommen, kein Plan dieser Strukturen hat Strahlen.",
    ),
    "dose_shares": (
        "A contribution is a share of the point before the colon: -0.114 is 11.4 % less of it.",
        "Ein Beitrag ist ein Anteil des Punkts vor dem Doppelpunkt: -0.114 sind 11,4 % weniger.",
    ),
    "dose_does_not_know": (
        "It sees one study only: no report, no other examination, no earlier irradiation. It tells "
        "what one way of planning with nine fields would give these contours; whether contours, "
        "prescription and dose are right for the patient, physician and physicist decide.",
        "Sie sieht nur eine Studie: keinen Bericht, keine andere Untersuchung, keine frühere "
        "Bestrahlung. Sie sagt, was eine Art der Planung mit neun Feldern diesen Konturen gäbe; ob "
        "Konturen, Verordnung und Dosis für den Patienten richtig sind, entscheiden Arzt und "
        "Medizinphysiker.",
    ),
    "later_plan": ("Approved plan that came back", "Freigegebener Plan, der zurückkam"),
    "plan_voxels": ("Mean difference of voxels", "Mittlerer Unterschied der Voxel"),
    "plan_points": ("Mean difference of points", "Mittlerer Unterschied der Punkte"),
    "plan_outside_count": ("Points outside their interval", "Punkte außerhalb ihres Intervalls"),
    "plan_predicted": ("Predicted", "Vorhergesagt"),
    "plan_planned": ("Planned", "Geplant"),
    "plan_within": ("within", "innerhalb"),
    "plan_outside": ("outside", "außerhalb"),
    "plan_other_dose": (
        "The plan is for another prescription: monitoring does not count it.",
        "Der Plan gilt einer anderen Verordnung: Die Überwachung zählt ihn nicht.",
    ),
    "plan_no_dose": (
        "The plan states no prescription, so whether it is the same is not known.",
        "Der Plan nennt keine Verordnung; ob es dieselbe ist, ist nicht bekannt.",
    ),
    "plan_other_structures": (
        "The plan was made on another structure set; both doses are read in the predicted one's.",
        "Der Plan beruht auf einem anderen Struktursatz; beide Dosen gelten dem der Vorhersage.",
    ),
    "plan_no_structures": (
        "The structures of the prediction are no longer in the archive: only voxels are compared.",
        "Die Strukturen der Vorhersage liegen nicht mehr im Archiv: nur Voxel sind verglichen.",
    ),
}
