"""The words of the pages of monitoring and alarms, in English and German.

Read next: `texts.py`.
"""

from __future__ import annotations

MONITORING_TEXTS: dict[str, tuple[str, str]] = {
    "monitoring": ("Monitoring", "Überwachung"),
    "alarms": ("Alarms", "Alarme"),
    "monitor_item": ("Item", "Punkt"),
    "monitor_metric": ("Watches", "Überwacht"),
    "monitor_window": ("Against", "Gegen"),
    "monitor_limit": ("Mean run length", "Mittlere Lauflänge"),
    "monitor_action": ("On alarm", "Bei Alarm"),
    "monitor_owner": ("Owner", "Zuständig"),
    "monitor_cases": ("Cases", "Fälle"),
    "monitor_nearest": ("To the alarm", "Zum Alarm"),
    "monitor_last": ("Last run", "Zuletzt gelaufen"),
    "monitor_why": (
        "An alarm comes when the evidence reaches its threshold. Without any change the mean time "
        "to a false alarm is at least the run length in cases, whatever the data are like.",
        "Ein Alarm kommt, wenn die Belege ihre Schwelle erreichen. Ohne jede Änderung dauert es "
        "bis zu einem falschen Alarm im Mittel mindestens die Lauflänge in Fällen, wie auch immer "
        "die Daten verteilt sind.",
    ),
    "nothing_monitored": (
        "No release is at work here, so nothing is watched.",
        "Kein Release ist hier in Betrieb; es wird nichts überwacht.",
    ),
    "not_covered": (
        "Some items do not run. Whoever answers for this site must know.",
        "Einige Punkte laufen nicht. Wer für diesen Standort einsteht, muss es wissen.",
    ),
    "condition_collecting": ("collecting first cases", "sammelt erste Fälle"),
    "condition_watching": ("watching", "überwacht"),
    "condition_alarmed": ("alarm", "Alarm"),
    "condition_blind": ("no reference", "keine Referenz"),
    "condition_not-run": ("never ran", "lief noch nie"),
    "condition_stopped": ("stopped", "steht"),
    "metric_input": ("studies and results", "Studien und Ergebnisse"),
    "metric_rate": ("rate", "Rate"),
    "metric_agreement": ("agreement", "Übereinstimmung"),
    "metric_operations": ("operations", "Betrieb"),
    "metric_outcome": ("outcomes", "Verläufe"),
    "window_release": ("window of the release", "Fenster des Releases"),
    "window_first": ("first cases here", "erste Fälle hier"),
    "window_stated": ("stated rate", "angegebene Rate"),
    "action_notify": ("notify", "benachrichtigen"),
    "action_suspend": ("suspend", "aussetzen"),
    "action_ask-rollback": ("ask for rollback", "um Rückkehr bitten"),
    "cannot_see": ("What this cannot see", "Was so nicht zu sehen ist"),
    "blind_input": (
        "What comes in and goes out is seen, not whether a result is right. No label is used: this "
        "is no monitor of performance.",
        "Gesehen wird, was hinein- und hinausgeht, nicht ob ein Ergebnis stimmt. Kein Befund wird "
        "verwendet: das ist keine Überwachung der Leistung.",
    ),
    "blind_rate": (
        "How often the release declines or fails is seen, not whether its answers are right.",
        "Gesehen wird, wie oft das Release ablehnt oder ausfällt, nicht ob seine Antworten "
        "stimmen.",
    ),
    "blind_agreement": (
        "What reviewers change is seen; nothing, where they accept without looking.",
        "Gesehen wird, was Prüfende ändern; nichts, wo sie annehmen, ohne hinzusehen.",
    ),
    "blind_operations": (
        "Time is seen, nothing of the results.",
        "Gesehen wird die Dauer, nichts von den Ergebnissen.",
    ),
    "blind_outcome": (
        "Patients whose outcome was reported are seen, months late; the others are not.",
        "Gesehen werden Patienten, deren Verlauf gemeldet wurde, Monate später; andere nicht.",
    ),
    "reference_now": ("Reference against now", "Referenz gegen jetzt"),
    "reference_from": ("Reference", "Referenz"),
    "newest_studies": ("newest studies", "neueste Studien"),
    "number_name": ("Number", "Zahl"),
    "median_range": ("Median (least to most)", "Median (kleinster bis größter)"),
    "outside": ("Outside the reference", "Außerhalb der Referenz"),
    "no_reference": (
        "This release has no reference window: its items against it see nothing.",
        "Dieses Release hat kein Referenzfenster: Punkte, die sich darauf beziehen, sehen nichts.",
    ),
    "charts": ("Charts", "Regelkarten"),
    "charts_why": (
        "Limits from the first cases are drawn for people to look at; they raise no alarm.",
        "Grenzen aus den ersten Fällen sind zum Hinsehen gezeichnet; sie lösen keinen Alarm aus.",
    ),
    "too_few_for_charts": (
        "Fewer than 20 studies: nothing is drawn yet.",
        "Weniger als 20 Studien: noch wird nichts gezeichnet.",
    ),
    "worst_cases": ("Runs to look at", "Läufe zum Ansehen"),
    "farthest": ("Away from the first cases", "Abstand zu den ersten Fällen"),
    "not_at_work": (
        "This release is not at work here: its items stand as they last ran.",
        "Dieses Release ist hier nicht in Betrieb: seine Punkte stehen, wie sie zuletzt liefen.",
    ),
    "no_alarms": ("No alarm has been raised.", "Es gab noch keinen Alarm."),
    "alarm_reason": ("What moved", "Was sich bewegte"),
    "decide_by": ("Decide by", "Zu entscheiden bis"),
    "alarm_open": ("open", "offen"),
    "owner_physicist": ("physicist", "Medizinphysik"),
    "owner_clinician": ("clinician", "Klinik"),
    "owner_engineer": ("engineer", "Technik"),
    "owner_compliance": ("compliance", "Compliance"),
    "decide": ("Decide", "Entscheiden"),
    "decide_why": (
        "An alarm is closed by a decision on the release, with its reason, and by nothing else.",
        "Ein Alarm endet durch eine begründete Entscheidung über das Release, durch nichts sonst.",
    ),
    "decision_keep": ("keep as it is", "so belassen"),
    "decision_suspend": ("suspend", "aussetzen"),
    "decision_rollback": ("roll back", "zur vorigen zurückkehren"),
    "decision_retrain": ("retrain", "neu trainieren"),
    "decision_false-alarm": ("false alarm", "falscher Alarm"),
    "fatigue": ("Alarm fatigue", "Alarmmüdigkeit"),
    "fatigue_opened": ("Raised", "Ausgelöst"),
    "fatigue_decided": ("Decided", "Entschieden"),
    "fatigue_false": ("False", "Falsch"),
    "fatigue_overdue": ("Overdue", "Überfällig"),
    "fatigue_days": ("Median days to a decision", "Tage bis zur Entscheidung (Median)"),
}
