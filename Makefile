SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# One set of flags for the image and the tests, so that each package is compiled once.
export GOFLAGS     := -trimpath -buildvcs=false
export CGO_ENABLED := 0

BUILD_DIR  := build
VERSION    ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS    := -s -w -X github.com/podkeep/podkeep/internal/version.Version=$(VERSION)
GO_BUILD   := go build -ldflags '$(LDFLAGS)'
# IMAGE without a tag gets one from its content, so that a changed image has another name.
IMAGE      ?= localhost/podkeep
ARCH       ?= $(shell go env GOARCH)
CLUSTER    := cd tests/cluster && go run ./cmd/cluster
TOOLS      := go tool -modfile=hack/tools/go.mod
LINT       := go tool -modfile=hack/lint/go.mod golangci-lint
# E2E is which of the cluster's tests run, a regular expression: make test-e2e E2E=TestUpgrade
E2E        ?= .
SOURCES    := $(shell find . -name '*.go' -not -path './tests/*' -not -path './build/*') go.mod go.sum

.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n\033[1m%s\033[0m\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Try it

.PHONY: demo
demo: cluster-up ## Back up and restore an application on a real one-node cluster
	@hack/demo.sh

.PHONY: cluster-up
cluster-up: image ## Start the cluster with podkeep from this tree and an S3 gateway; NODES=2 adds a second node
	@hack/cluster-up.sh $(BUILD_DIR)/podkeep-linux-$(ARCH).tar

.PHONY: cluster-down
cluster-down: ## Remove the cluster and everything it left on this machine
	@$(CLUSTER) down

.PHONY: cluster-kubeconfig
cluster-kubeconfig: ## Print the path of the cluster's kubeconfig
	@$(CLUSTER) kubeconfig

##@ Test

.PHONY: test
test: ## Run all tests; starts what they need and stops what it started
	@hack/test.sh

.PHONY: test-unit
test-unit: ## Run the tests that need nothing but Go
	go test ./...

.PHONY: test-e2e
test-e2e: cluster-up ## Run the tests on the cluster; E2E=<regexp> chooses
	PODKEEP_KUBECONFIG=$$($(CLUSTER) kubeconfig) go test -count=1 -timeout 40m -run '$(E2E)' ./tests/e2e/... ./tests/compat/... ./tests/faults/...

.PHONY: test-arm64
test-arm64: $(BUILD_DIR)/podkeep-linux-arm64.tar ## Build the arm64 image and run its programs in qemu
	@hack/test-arm64.sh $<

.PHONY: bench
bench: cluster-up ## Measure podkeep against its budgets and plain kopia; prints a table
	PODKEEP_KUBECONFIG=$$($(CLUSTER) kubeconfig) go run ./tests/bench

##@ Generate and verify

.PHONY: generate
generate: ## Generate deepcopy code, CRDs and RBAC
	@hack/generate.sh

.PHONY: fmt
fmt: ## Format the code
	gofmt -w $$(git ls-files '*.go')

.PHONY: lint
lint: ## Run the linters
	$(LINT) run ./...

.PHONY: verify
verify: ## Check that the tree is formatted, generated and linted
	@hack/verify.sh

##@ Build

.PHONY: build
build: $(BUILD_DIR)/linux-$(ARCH)/podkeep $(BUILD_DIR)/linux-$(ARCH)/restore-wait ## Build the binaries

$(BUILD_DIR)/linux-%/podkeep: $(SOURCES)
	GOOS=linux GOARCH=$* $(GO_BUILD) -o $@ ./cmd/podkeep

$(BUILD_DIR)/linux-%/restore-wait: $(SOURCES)
	GOOS=linux GOARCH=$* $(GO_BUILD) -o $@ ./cmd/restore-wait

.PHONY: image
image: $(BUILD_DIR)/podkeep-linux-$(ARCH).tar ## Build the image of this machine's architecture

.PHONY: images
images: $(BUILD_DIR)/podkeep-linux-amd64.tar $(BUILD_DIR)/podkeep-linux-arm64.tar ## Build the images of all architectures

$(BUILD_DIR)/podkeep-linux-%.tar: $(BUILD_DIR)/linux-%/podkeep $(BUILD_DIR)/linux-%/restore-wait
	go run ./hack/image --arch $* --tag $(IMAGE) --out $@ $^

# cert-manager for the tests that need it. Its modules are the versions of this one, so that
# what both need is compiled once.
CERT_MANAGER := $(wildcard tests/certmanager/*.go) tests/certmanager/go.mod tests/certmanager/go.sum

$(BUILD_DIR)/certmanager-linux-%.tar: $(CERT_MANAGER)
	cd tests/certmanager && GOOS=linux GOARCH=$* go build -ldflags '-s -w' -o ../../$(BUILD_DIR)/linux-$*/certmanager .
	go run ./hack/image --arch $* --tag localhost/certmanager --out $@ $(BUILD_DIR)/linux-$*/certmanager
