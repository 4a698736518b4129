#!/usr/bin/env bash
# Generates deepcopy code, CRDs and roles from the markers in the code.
set -euo pipefail
export GOFLAGS="-trimpath -buildvcs=false" CGO_ENABLED=0
cd "$(dirname "$0")/.."

controller_gen=(go tool -modfile=hack/tools/go.mod controller-gen)

"${controller_gen[@]}" object:headerFile=hack/boilerplate.go.txt paths=./api/...
"${controller_gen[@]}" crd paths=./api/... output:crd:dir=config/crd/bases
# A role's name is set at installation (config/rbac); the generator wants one.
"${controller_gen[@]}" rbac:roleName=podkeep paths=./controllers/... output:rbac:dir=config/rbac/server
"${controller_gen[@]}" rbac:roleName=podkeep paths=./nodeagent/... output:rbac:dir=config/rbac/nodeagent
"${controller_gen[@]}" rbac:roleName=podkeep paths=./webhook/... output:rbac:dir=config/rbac/webhook
