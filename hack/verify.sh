#!/usr/bin/env bash
# Checks what a machine can check: format, vet, lint, generated files, import
# rules. Changes nothing that it does not put back.
set -euo pipefail
export GOFLAGS="-trimpath -buildvcs=false" CGO_ENABLED=0
cd "$(dirname "$0")/.."

step() { printf '[%4ds] %s\n' "$SECONDS" "$*"; }

step "checking the format"
unformatted=$(gofmt -l $(git ls-files '*.go'))
if [[ -n $unformatted ]]; then
  printf 'not formatted, run make fmt:\n%s\n' "$unformatted" >&2
  exit 1
fi

step "checking that generated files are current"
hack/generate.sh
if ! git diff --exit-code --stat -- api config; then
  echo "generated files differ from what is committed: run make generate and commit" >&2
  exit 1
fi

step "checking that go.mod and go.sum are tidy"
go mod tidy -diff

step "vetting"
go vet ./...
(cd tests/cluster && go vet . ./cmd/... ./internal/...)
(cd tests/certmanager && go vet .)

step "linting (the first time builds the linter)"
go tool -modfile=hack/lint/go.mod golangci-lint run ./...

step "verified"
