#!/usr/bin/env bash
# Starts the cluster and installs podkeep from an image archive, with its default
# location on the cluster's S3 gateway. With NODES=2 the cluster has two nodes.
# usage: [NODES=2] cluster-up.sh ARCHIVE
set -euo pipefail
export GOFLAGS="-trimpath -buildvcs=false" CGO_ENABLED=0
cd "$(dirname "$0")/.."

archive=$(realpath "$1")
image=$(<"$archive.name")

(cd tests/cluster && go run ./cmd/cluster up && go run ./cmd/cluster load-image "$archive")
if [[ ${NODES:-1} -eq 2 ]]; then
  (cd tests/cluster && go run ./cmd/cluster node add)
fi
KUBECONFIG=$(cd tests/cluster && go run ./cmd/cluster kubeconfig)
export KUBECONFIG

hack/install.sh "$image"
