#!/usr/bin/env bash
# Starts the one-node cluster and installs podkeep from an image archive, with
# its default location on the cluster's S3 gateway.
# usage: cluster-up.sh ARCHIVE
set -euo pipefail
export GOFLAGS="-trimpath -buildvcs=false" CGO_ENABLED=0
cd "$(dirname "$0")/.."

archive=$(realpath "$1")
image=$(<"$archive.name")

(cd tests/cluster && go run ./cmd/cluster up && go run ./cmd/cluster load-image "$archive")
KUBECONFIG=$(cd tests/cluster && go run ./cmd/cluster kubeconfig)
export KUBECONFIG

hack/install.sh "$image"
