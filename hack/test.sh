#!/usr/bin/env bash
# Runs all tests. The cluster's tests start the one-node cluster when it is not
# up and remove it afterwards; a cluster that was up stays up.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '[%4ds] %s\n' "$SECONDS" "$*"; }
export GOFLAGS="-trimpath -buildvcs=false" CGO_ENABLED=0
cluster() { (cd tests/cluster && go run ./cmd/cluster "$@"); }

step "building the API server that some tests start (the first time this takes a quarter of an hour)"
KUBEBUILDER_ASSETS=$(cluster assets)
export KUBEBUILDER_ASSETS

step "running the tests that need no cluster"
go test ./...
(cd tests/cluster && go test . ./cmd/... ./internal/...)

was_up=false
if cluster status >/dev/null 2>&1; then was_up=true; fi
finish() {
  code=$?
  if [[ $code -ne 0 ]]; then hack/cluster-report.sh || true; fi
  if [[ $was_up == false ]]; then cluster down || true; fi
  exit "$code"
}
trap finish EXIT

step "starting the cluster"
make cluster-up

step "running the programs of the image"
PODKEEP_IMAGE=$PWD/build/podkeep-linux-$(go env GOARCH).tar go test -count=1 ./tests/image

step "running the tests on the cluster"
PODKEEP_KUBECONFIG=$(cluster kubeconfig)
export PODKEEP_KUBECONFIG
go test -count=1 -timeout 50m -p 1 -v ./tests/e2e/... ./tests/compat/... ./tests/faults/...
step "all tests passed"
