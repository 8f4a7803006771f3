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
    "metric_resources": ("resources", "Mittel"),
    "metric_plan": ("later plans", "spätere Pläne"),
    "metric_oversight": ("oversight", "Aufsicht"),
    "metric_outcome": ("outcomes", "Verläufe"),
    "window_release": ("window of the release", "Fenster des Releases"),
    "window_first": ("first cases here", "erste Fälle hier"),
    "window_stated": ("stated rate", "angegebene Rate"),
    "action_notify": ("notify", "benachrichtigen"),
    "action_suspend": ("suspend", "aussetzen"),
    "action_ask-rollback": ("ask for rollback", "um Rückkehr bitten"),
    "request_asked": ("asked to go back to", "gebeten um Rückkehr zu"),
    "request_done": ("gone back to", "zurückgekehrt zu"),
    "request_declined": ("declined", "abgelehnt"),
    "nothing_on_standby": ("no release waits on standby", "kein Release steht bereit"),
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
    "blind_resources": (
        "How much the site uses is seen, a day late; nothing of the results.",
        "Gesehen wird, was der Standort verbraucht, einen Tag später; nichts von den Ergebnissen.",
    ),
    "blind_oversight": (
        "That people accept more and look less is seen, not whether they are wrong to.",
        "Gesehen wird, dass mehr angenommen und weniger hingesehen wird, nicht ob zu Unrecht.",
    ),
    "blind_outcome": (
        "Patients whose outcome was reported are seen, months late; the others are not.",
        "Gesehen werden Patienten, deren Verlauf gemeldet wurde, Monate später; andere nicht.",
    ),
    "upstream": ("Fed by other releases", "Gespeist von anderen Releases"),
    "upstream_why": (
        "An input was made by these releases, or approved in place of what they made. Their drift "
        "passes on.",
        "Eine Eingabe stammt von diesen Releases oder wurde an Stelle ihres Ergebnisses "
        "freigegeben. Was sich bei ihnen verschiebt, wirkt hier weiter.",
    ),
    "upstream_drifts": ("Open alarm upstream", "Offener Alarm davor"),
    "no_open_alarm": ("no open alarm", "kein offener Alarm"),
    "fed_direct": ("Runs fed directly", "Läufe unmittelbar"),
    "fed_approved": ("Runs by an approval", "Läufe über Freigabe"),
    "upstream_nearest": ("Monitors nearest to an alarm", "Dem Alarm am nächsten"),
    "parts": ("By scanner, site, structure and subgroup", "Nach Gerät, Standort, Struktur, Gruppe"),
    "parts_why": (
        "Each part is held against its own first cases (rates against the stated rate). All parts "
        "of an item together share its one run length: however many there are, false alarms do "
        "not become more frequent.",
        "Jeder Teil wird an seinen eigenen ersten Fällen gemessen (Raten an der angegebenen Rate). "
        "Alle Teile eines Punkts haben zusammen die eine Lauflänge: wie viele es auch sind, "
        "falsche Alarme werden nicht häufiger.",
    ),
    "part_dimension": ("Split by", "Geteilt nach"),
    "part_value": ("Part", "Teil"),
    "part_nearest": ("Its share of the alarm", "Sein Anteil am Alarm"),
    "part_not_known": ("not known", "nicht bekannt"),
    "dimension_scanner": ("scanner", "Gerät"),
    "dimension_site": ("archive", "Archiv"),
    "dimension_structure": ("structure", "Struktur"),
    "dimension_age_band": ("age", "Alter"),
    "dimension_sex": ("sex", "Geschlecht"),
    "dimension_tumour_site": ("tumour site", "Tumorort"),
    "performance": ("Labelled performance", "Leistung an Verläufen"),
    "performance_why": (
        "Blocks of 50 patients in the order in which outcomes enter. The intervals are for people "
        "to look at; the alarm comes from the sequential test.",
        "Blöcke von 50 Patienten in der Reihenfolge, in der Verläufe eingehen. Die Bereiche sind "
        "zum Hinsehen; der Alarm kommt vom sequentiellen Test.",
    ),
    "outcomes_known": ("Outcomes known", "Verläufe bekannt"),
    "outcomes_waiting": ("horizon not over", "Frist nicht um"),
    "outcomes_missing": ("never reported", "nie gemeldet"),
    "patients_in_order": ("Patients", "Patienten"),
    "events": ("Events", "Ereignisse"),
    "slope": ("Calibration slope", "Kalibrationssteigung"),
    "too_few_outcomes": (
        "Fewer than 50 outcomes are known: no figure yet.",
        "Weniger als 50 Verläufe sind bekannt: noch keine Zahl.",
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
    "alarm_after_cases": ("{what} after {cases} cases", "{what} nach {cases} Fällen"),
    "alarm_after_cases_of_sites": (
        "{what} after {cases} cases of {sites} sites",
        "{what} nach {cases} Fällen von {sites} Standorten",
    ),
    "alarm_not_run": (
        "{what}: not run for {hours} hours",
        "{what}: seit {hours} Stunden nicht gelaufen",
    ),
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
    "step_owner": ("told owner", "verständigt: Zuständige"),
    "step_deputy": ("told deputy", "verständigt: Stellvertretung"),
    "step_compliance": ("told compliance", "verständigt: Compliance"),
    "acknowledge": ("Take up", "Annehmen"),
    "acknowledged": ("taken up", "angenommen"),
    "silence": ("Silence", "Stummschalten"),
    "silences": ("Silences in force", "Laufende Stummschaltungen"),
    "silence_until": ("Until the end of", "Bis zum Ende des"),
    "silent_until": ("silent until", "stumm bis"),
    "silence_why": (
        "Nobody is told until then; the alarm stays open and its deadline runs on.",
        "Bis dahin wird niemand verständigt; der Alarm bleibt offen, seine Frist läuft weiter.",
    ),
    "fatigue": ("Alarm fatigue", "Alarmmüdigkeit"),
    "fatigue_why": (
        "Late: taken up after the time stated when it was raised. Without action: decided as "
        "keep or false alarm. Shares with 95 % intervals.",
        "Spät: nach der beim Auslösen genannten Zeit angenommen. Ohne Folge: als „so belassen“ "
        "oder „falscher Alarm“ entschieden. Anteile mit 95-%-Intervallen.",
    ),
    "fatigue_opened": ("Raised", "Ausgelöst"),
    "fatigue_weeks": ("Weeks", "Wochen"),
    "fatigue_per_week": ("Per week", "Je Woche"),
    "fatigue_late": ("Taken up late", "Spät angenommen"),
    "fatigue_no_action": ("Without action", "Ohne Folge"),
    "fatigue_overdue": ("Overdue", "Überfällig"),
    "fatigue_days": ("Median days to a decision", "Tage bis zur Entscheidung (Median)"),
}
