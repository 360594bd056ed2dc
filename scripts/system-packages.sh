#!/usr/bin/env bash
# Finds the missing Debian packages that Tocsin (run), its tests (test) or its benchmarks (bench) need.
# If root runs it, it installs them; for any other user it prints their names and stops.
set -euo pipefail
# a package of a server of the tests is compiled while it is installed
python=.venv/bin/python
[ -x "$python" ] || python=python3
has_headers='import os, sysconfig; raise SystemExit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))'
case "${1:-run}" in
  run) wanted=("python3-venv:python3 -c 'import ensurepip'" "bubblewrap:command -v bwrap" "libarchive13:ls /usr/lib/*/libarchive.so.13") ;;
  test) wanted=("nginx-light:command -v nginx || test -x /usr/sbin/nginx" "public-inbox:command -v public-inbox-httpd" "libplack-perl:perl -MPlack -e 1" "libdbd-sqlite3-perl:perl -MDBD::SQLite -e 1" "bubblewrap:command -v bwrap" "age:command -v age" "npm:command -v npm" "clamav-testfiles:test -d /usr/share/clamav-testfiles" "ripgrep:command -v rg" "tor:command -v tor && command -v tor-gencert" "rsyslog:command -v rsyslogd || test -x /usr/sbin/rsyslogd" "rsyslog-gnutls:ls /usr/lib/*/rsyslog/lmnsd_gtls.so" "chromium:command -v chromium" "chromium-driver:command -v chromedriver" "prometheus-alertmanager:command -v prometheus-alertmanager" "nftables:command -v nft || test -x /usr/sbin/nft" "iproute2:command -v ip || test -x /usr/sbin/ip" "apache2-bin:test -x /usr/sbin/apache2" "caddy:command -v caddy" "nodejs:command -v node" "libfaketime:ls /usr/lib/*/faketime/libfaketimeMT.so.1" "zip:command -v zip" "gcc:command -v gcc" "libc6-dev:test -e /usr/include/stdio.h" "python3-dev:$python -c '$has_headers'" "p7zip-full:command -v 7z" "tesseract-ocr:command -v tesseract" "tesseract-ocr-fra:ls /usr/share/tesseract-ocr/*/tessdata/fra.traineddata") ;;
  bench) wanted=("ripgrep:command -v rg" "python3-tlsh:/usr/bin/python3 -c 'import tlsh'" "nginx-light:command -v nginx || test -x /usr/sbin/nginx" "tor:command -v tor && command -v tor-gencert") ;;
  *) echo "usage: $0 run|test|bench" >&2; exit 2 ;;
esac
missing=()
for entry in "${wanted[@]}"; do
  sh -c "${entry#*:}" >/dev/null 2>&1 || missing+=("${entry%%:*}")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ]; then
  echo "Debian packages are missing: ${missing[*]}" >&2
  echo "Install them and run this again:  sudo apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 2
fi
export DEBIAN_FRONTEND=noninteractive
echo "installing Debian packages: ${missing[*]}" >&2
apt-get update -qq || { echo "apt-get update failed: see above" >&2; exit 2; }
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
