#!/bin/sh
# Run the service as a cluster would: no root, no capability, nothing to write to but /tmp, a memory limit.
#   deploy/run-hardened.sh [docker run options ...]       e.g.  -e MLFLOW_TRACKING_URI=http://mlflow:5000
# Env: IMAGE (mlops-serve), MEMORY (1g), PORT (8080), DOCKER (docker)
exec "${DOCKER:-docker}" run --rm --name "${NAME:-mlops-serve}" --init \
  --read-only --tmpfs /tmp:mode=1777 --cap-drop ALL --security-opt no-new-privileges --pids-limit 512 \
  --memory "${MEMORY:-1g}" --memory-swap "${MEMORY:-1g}" --publish "127.0.0.1:${PORT:-8080}:8080" \
  "$@" "${IMAGE:-mlops-serve}"
