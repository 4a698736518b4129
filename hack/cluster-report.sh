#!/usr/bin/env bash
# Prints what a failed run on the cluster leaves behind for its reader.
set -uo pipefail
cd "$(dirname "$0")/.."

KUBECONFIG=$(cd tests/cluster && go run ./cmd/cluster kubeconfig)
export KUBECONFIG
kubectl=("$(cd tests/cluster && go run ./cmd/cluster assets)/kubectl")

"${kubectl[@]}" get pods -A -o wide
"${kubectl[@]}" -n velero get backups,restores,podvolumebackups,podvolumerestores,backuprepositories,backupstoragelocations
"${kubectl[@]}" get events -A --sort-by=.lastTimestamp | tail -n 40
for app in deploy/velero deploy/podkeep-webhook ds/node-agent; do
  echo "--- $app"
  "${kubectl[@]}" -n velero logs "$app" --all-containers --tail 60
done
