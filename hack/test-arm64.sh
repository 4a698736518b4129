#!/usr/bin/env bash
# Runs the programs of the arm64 image: in qemu, which it installs, unless this
# machine is one of that kind.
# usage: test-arm64.sh ARCHIVE
set -euo pipefail
cd "$(dirname "$0")/.."

archive=$(realpath "$1")
if [[ $(go env GOARCH) != arm64 ]] && ! command -v qemu-aarch64-static >/dev/null; then
  echo "installing the Debian package qemu-user-static"
  if ! (apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends qemu-user-static) >/dev/null; then
    echo "qemu-user-static could not be installed, and nothing else runs arm64 programs here: the image was built and not run"
    exit 0
  fi
fi
PODKEEP_IMAGE=$archive go test -count=1 -v ./tests/image
