#!/usr/bin/env bash
# Shows on this machine that a volume survives its node: see package bench/demo.
# Installs what is missing, builds, runs, and removes all that it made.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin
export PATH=$PATH:/usr/sbin:/sbin CGO_ENABLED=0
.ci/install mkfs.ext4:e2fsprogs mount:mount losetup:mount docker:docker.io dockerd:docker.io busybox:busybox-static
go build -trimpath -tags=nomsgpack -o bin/lagan ./cmd/lagan
go build -trimpath -tags=nomsgpack -o bin/demo ./cmd/demo
exec bin/demo -lagan bin/lagan -tree "$(go env GOROOT)" "$@"
