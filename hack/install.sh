#!/usr/bin/env bash
# Installs podkeep, or changes how it is installed, in the test cluster that
# KUBECONFIG names, with its default location on the cluster's S3 gateway.
# usage: install.sh IMAGE [FLAG...] (flags of podkeep install)
set -euo pipefail
cd "$(dirname "$0")/.."

image=$1
shift
# shellcheck source=hack/cluster.env
source hack/cluster.env

credentials=$(mktemp)
trap 'rm -f "$credentials"' EXIT
printf '[default]\naws_access_key_id=%s\naws_secret_access_key=%s\n' "$S3_ACCESS_KEY" "$S3_SECRET_KEY" >"$credentials"

"build/linux-$(go env GOARCH)/podkeep" install \
  --image "$image" --image-pull-policy IfNotPresent \
  --provider aws --bucket "$S3_BUCKET" --secret-file "$credentials" \
  --backup-location-config "region=us-east-1,s3ForcePathStyle=true,s3Url=$S3_URL" \
  --webhook-certs=self-signed `# cert-manager comes and goes with a test` \
  --server-arg=--storage-timeout=45s --node-agent-arg=--storage-timeout=20s `# so that tests of outages end soon` \
  --server-arg=--concurrent-backups=8 `# so that tests run side by side` \
  --server-arg=--default-repo-maintain-frequency=24h `# the repositories of all tests of a day would keep the machine busy` \
  "$@"
