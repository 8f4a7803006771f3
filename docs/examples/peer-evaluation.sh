#!/bin/sh
# Judge a release on this site's own patients; what leaves is one signed report.
# Read docs/peer-evaluation.md.
#
#   peer-evaluation.sh WHEEL RELEASE.osteon DIGEST ARRAYS CRITERIA.json OUTPUT
#
# DIGEST is the release digest as the coordinator told it by another way than the file; ARRAYS is a
# folder as `osteon cohort build` reads it, and stays here.  OUTPUT gets site-report.json and
# trust.json.  PEER_SITE names the site, PEER_PLACE is where everything else lies, PEER_RUN holds
# further options of `osteon validate run`.  Called again, it goes on where it stopped.
set -eu
umask 077
[ $# -eq 6 ] || { sed -n '2,10p' "$0" >&2; exit 2; }
wheel=$1 release=$2 digest=$3 arrays=$4 criteria=$5 output=$6
site=${PEER_SITE:-peer}
place=${PEER_PLACE:-$PWD/osteon-peer}
mkdir -p "$place" "$output"

# 1  the suite, in an environment of its own
[ -d "$place/venv" ] || "${PYTHON:-python3.11}" -m venv "$place/venv"
[ -x "$place/venv/bin/osteon" ] || "$place/venv/bin/pip" install -q "$wheel"
python="$place/venv/bin/python"
export OSTEON_HOME="$place/home"
osteon() { "$place/venv/bin/osteon" "$@"; }
once() { sed -n 's/.*password: \([^ ]*\).*/\1/p'; }

# 2  a home with one person who judges
password="$place/password"
[ -f "$password" ] || "$python" -c 'import secrets; print(secrets.token_urlsafe(24))' >"$password"
OSTEON_NEW_PASSWORD=$(cat "$password"); export OSTEON_NEW_PASSWORD
if [ ! -f "$place/ready" ]; then
  rm -rf "$OSTEON_HOME"
  first=$(osteon init --name "$site" | once)
  OSTEON_PASSWORD=$first osteon login admin
  second=$(osteon account add judge --role engineer | once)
  OSTEON_PASSWORD=$second osteon login judge
  touch "$place/ready"
else
  OSTEON_PASSWORD=$OSTEON_NEW_PASSWORD osteon login judge
fi

# 3  the release is the one that was meant: only then a copy of it gets this site's signature
found=$("$python" -c 'import hashlib, sys, zipfile
print("sha256:" + hashlib.sha256(zipfile.ZipFile(sys.argv[1]).read("manifest.json")).hexdigest())' \
  "$release")
if [ "$found" != "$digest" ]; then
  echo "expected the release $digest, found $found" >&2
  exit 3
fi
if [ ! -f "$place/added" ]; then
  cp "$release" "$place/release.osteon"
  osteon release sign "$place/release.osteon"
  osteon release add "$place/release.osteon"
  touch "$place/added"
fi

# 4  the patients of this site, and what has to hold, before the first result
name=$("$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["name"])' \
  "$arrays/cohort-plan.json")
[ -f "$OSTEON_HOME/cohorts/$name/cohort.json" ] || osteon cohort build "$arrays"
osteon validate criteria "$criteria" --release "$digest" --cohort "$name"

# 5  the run, its report, and the part of it that may leave
# shellcheck disable=SC2086
run=$(osteon validate run --release "$digest" --cohort "$name" --criteria "$criteria" \
  ${PEER_RUN:-} --json | "$python" -c 'import json, sys; print(json.load(sys.stdin)["run_id"])')
osteon validate report "$run" --no-pdf
osteon validate export-report "$run" --name "$site" -o "$output/site-report.json"
"$python" - "$OSTEON_HOME/keys/trust.json" "$output/trust.json" <<'PYTHON'
import json, sys
keys = [key for key in json.load(open(sys.argv[1]))["keys"] if key["purpose"] == "report"]
for key in keys:
    key.pop("own", None)
json.dump({"keys": keys}, open(sys.argv[2], "w"), indent=1)
PYTHON
echo "send $output/site-report.json and $output/trust.json; everything else stays in $place"
