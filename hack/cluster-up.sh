#!/usr/bin/env bash
# Starts the cluster and installs podkeep from an image archive, with its default
# location on the cluster's S3 gateway. With NODES=2 the cluster has two nodes.
# usage: [NODES=2] cluster-up.sh ARCHIVE
set -euo pipefail
export GOFLAGS="-trimpath -buildvcs=false" CGO_ENABLED=0
cd "$(dirname "$0")/.."

archive=$(realpath "$1")
image=$(<"$archive.name")
# shellcheck source=hack/cluster.env
source hack/cluster.env

(cd tests/cluster && go run ./cmd/cluster up && go run ./cmd/cluster load-image "$archive")
if [[ ${NODES:-1} -eq 2 ]]; then
  (cd tests/cluster && go run ./cmd/cluster node add)
fi
KUBECONFIG=$(cd tests/cluster && go run ./cmd/cluster kubeconfig)
export KUBECONFIG

credentials=$(mktemp)
trap 'rm -f "$credentials"' EXIT
printf '[default]\naws_access_key_id=%s\naws_secret_access_key=%s\n' "$S3_ACCESS_KEY" "$S3_SECRET_KEY" >"$credentials"

"build/linux-$(go env GOARCH)/podkeep" install \
  --image "$image" --image-pull-policy IfNotPresent \
  --provider aws --bucket "$S3_BUCKET" --secret-file "$credentials" \
  --backup-location-config "region=us-east-1,s3ForcePathStyle=true,s3Url=$S3_URL" \
  --server-arg=--storage-timeout=45s --node-agent-arg=--storage-timeout=20s `# so that tests of outages end soon` \
  --server-arg=--concurrent-backups=8 `# so that tests run side by side` \
  --server-arg=--default-repo-maintain-frequency=24h # the repositories of all tests of a day would keep the machine busy
