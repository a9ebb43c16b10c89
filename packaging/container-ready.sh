#!/bin/bash
# container-ready.sh HOST PORT: succeeds if /readyz of the admin address answers 200. The image has no curl.
set -euo pipefail
exec 3<>"/dev/tcp/$1/$2"
printf 'GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
read -r _ status _ <&3
[ "$status" = 200 ]
