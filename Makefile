# Every check of this project is a target here; .ci/run calls the same ones.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Only the race detector needs a C compiler.
export CGO_ENABLED := 0

GO      := go
# The tag leaves a codec out of gin that nothing here speaks.
TAGS    := nomsgpack
SEEDS   := 2000
PROFILE := swarm
FOR     := 1h
T       := 30s
CHAOS   := 10m
PREFIX  := /usr/local

# The linter takes minutes to compile. It is built once for every tools/go.mod.
LINT := bin/golangci-lint-$(firstword $(shell cat tools/go.mod tools/go.sum | cksum))

# So is what makes rest/api out of rest/openapi.yaml.
GENERATOR := bin/oapi-codegen-$(firstword $(shell cat tools/openapi/go.mod tools/openapi/go.sum | cksum))
GENERATED := rest/api/api.gen.go
GENERATE  := $(GENERATOR) -config rest/api/generate.yaml

# $(call has,DIR) is empty while there are no Go files in DIR.
has = $(wildcard $(1)/*.go)

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: check
check: lint layers generated ## format, lint, layers and unit tests of what changed: about a minute
	$(GO) test -short -tags=$(TAGS) ./... # the cache of the go command knows what changed

.PHONY: test
test: generated vet lint unit race sim-fixed hashes e2e ## everything that must hold before a merge

.PHONY: vet
vet:
	$(GO) vet -tags=$(TAGS) ./...
	$(GO) vet -tags=$(TAGS),mutants ./...

.PHONY: lint
lint: $(LINT)
	$(LINT) run --allow-parallel-runners

.PHONY: format
format: $(LINT) ## rewrite the sources as the linter wants them
	$(LINT) fmt

.PHONY: linter
linter: $(LINT)

$(LINT): # its name changes with its pin, so it needs no prerequisite
	rm -f bin/golangci-lint-*
	$(GO) build -C tools -o ../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

.PHONY: generate
generate: $(GENERATOR) ## make the API's types, routes and client from rest/openapi.yaml
	$(GENERATE) -o $(GENERATED) rest/openapi.yaml

# What is checked in must be what the document says.
.PHONY: generated
generated: $(GENERATOR)
	@fresh=$$(mktemp); trap 'rm -f "$$fresh"' EXIT; $(GENERATE) -o "$$fresh" rest/openapi.yaml; \
	diff -u $(GENERATED) "$$fresh" || { echo '$(GENERATED) is not what rest/openapi.yaml says: make generate' >&2; exit 1; }

$(GENERATOR):
	rm -f bin/oapi-codegen-*
	$(GO) build -C tools/openapi -o ../../$@ github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen

.PHONY: layers
layers:
	$(GO) test -count=1 .

# What may not start a goroutine (the tests at the root see to that) has no races to
# find. The long runs of the simulation are sim-fixed's; hashes has the race detector
# watch several at once.
SINGLE = $(shell $(GO) list ./core/... ./sim ./sim/storetest | grep -v /core/host)

.PHONY: unit
unit:
	$(GO) test -tags=$(TAGS) $(filter-out %/sim %/sim/storetest,$(SINGLE))

# The scripts start the program hundreds of times, and are no test of what goes on in it.
.PHONY: race
race:
	CGO_ENABLED=1 $(GO) test -race -short -timeout=20m -tags=$(TAGS) -skip '^TestUsageScripts$$' $(filter-out $(SINGLE),$(shell $(GO) list ./...))

.PHONY: sim-fixed
sim-fixed:
	$(if $(call has,sim),$(GO) test -timeout=30m ./sim/...,@echo 'sim: no package yet')

# A seed is one run, whatever the compiler, the collector and the scheduler do: the
# tests vary those two.
.PHONY: hashes
hashes: ## compare the hashes of seeds with and without the race detector
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	$(GO) test ./sim -count=1 -run '^TestHashes$$' -hashes="$$dir/plain"; \
	CGO_ENABLED=1 $(GO) test -race ./sim -count=1 -run '^TestHashes$$' -hashes="$$dir/race"; \
	diff "$$dir/plain" "$$dir/race"

# These tests wait, for what is dead to be missed, much more than they compute.
.PHONY: e2e
e2e:
	$(if $(call has,cmd/lagan),$(GO) test -count=1 -timeout=30m -parallel=4 -tags=$(TAGS) -run 'E2E|UsageScripts' ./cmd/...,@echo 'cmd: no package yet')

.PHONY: test-chaos
test-chaos: ## kill, stop and cut off real processes for CHAOS=10m, and judge what their users saw
	.ci/install fio:fio fusermount3:fuse3 mkfs.ext4:e2fsprogs losetup:mount ip:iproute2 nsenter:util-linux
	$(GO) test -count=1 -v -timeout=0 -tags=$(TAGS) -run '^TestChaos$$' ./cmd/lagan -chaos=$(CHAOS)

.PHONY: sim
sim: ## simulate SEEDS=2000 clusters never seen before
	$(GO) test ./sim -count=1 -v -timeout=0 -run '^TestSwarm$$' -seeds=$(SEEDS)

.PHONY: swarm
swarm: build ## simulate for FOR=1h and stop at the first failure; lagan sim --help has more
	bin/lagan sim --for $(FOR) --profile $(PROFILE) --pages sim/out

.PHONY: replay
replay: ## run SEED=0x… of the simulation again, with its trace
	@[[ -n "$(SEED)" ]] || { echo 'which one? make replay SEED=0x…' >&2; exit 2; }
	$(GO) test ./sim -count=1 -v -run '^TestSeed$$' -seed=$(SEED) -log

.PHONY: shrink
shrink: ## make the failing SEED=0x… of the simulation a small script in sim/testdata
	@[[ -n "$(SEED)" ]] || { echo 'which one? make shrink SEED=0x…' >&2; exit 2; }
	$(GO) test ./sim -count=1 -v -timeout=0 -run '^TestShrink$$' -seed=$(SEED) -profile=$(PROFILE)

.PHONY: mutants
mutants: ## plant each known bug and see the simulation catch it
	$(GO) test ./sim ./sim/storetest -count=1 -v -timeout=0 -tags=mutants -run '^TestMutants$$|^TestCorpusFailsWithItsBugs$$'

.PHONY: fuzz
fuzz: ## fuzz every decoder for T=30s
	@{ grep -rHoE --include='*_test.go' --exclude-dir=testdata '^func Fuzz[A-Za-z0-9_]+' . || true; } | sort | \
	while IFS=: read -r file target; do \
		echo "$$file $${target#func }"; \
		$(GO) test -tags=$(TAGS) -run '^$$' -fuzz "^$${target#func }$$" -fuzztime $(T) "$$(dirname "$$file")"; \
	done

# BENCH_SHORT=1 takes less than two minutes and gives no figures to quote.
.PHONY: bench
bench: build ## measure, next to the raw disk in the same run; rows go to bench/out
	.ci/install fio:fio nbdkit:nbdkit
	$(GO) run -tags=$(TAGS) ./cmd/bench $(if $(BENCH_SHORT),-short) $(if $(ONLY),-only '$(ONLY)')

# Six minutes; BENCH_SHORT=1 as above.
.PHONY: bench-store
bench-store: ## measure one store on a file next to the bare file; rows go to bench/out
	.ci/install fio:fio
	$(GO) run -tags=$(TAGS) ./cmd/bench -only 'store-*' $(if $(BENCH_SHORT),-short)

# Four minutes, as root; BENCH_SHORT=1 as above.
.PHONY: bench-resync
bench-resync: build ## measure copies that fail, come back and are filled, and moves; rows go to bench/out
	$(GO) run -tags=$(TAGS) ./cmd/bench -only 'resync-*' $(if $(BENCH_SHORT),-short)

# It needs no other machine and no disk: CPU time is what it measures.
.PHONY: bench-sim
bench-sim: ## measure the simulator and its judges; rows and a profile go to bench/out
	$(GO) run -tags=$(TAGS) ./cmd/bench -only simulation $(if $(BENCH_SHORT),-short)

.PHONY: demo
demo: build ## kill a node in mid-write and find every synced byte on another
	bench/demo.sh

.PHONY: build
build: ## compile bin/lagan
	$(GO) build -trimpath -tags=$(TAGS) -o bin/lagan ./cmd/lagan

.PHONY: install
install: build ## put lagan into PREFIX=/usr/local
	install -D -m 755 bin/lagan $(DESTDIR)$(PREFIX)/bin/lagan
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's,/usr/local/bin,$(PREFIX)/bin,' cmd/lagan/systemd/lagan.service > $(DESTDIR)$(PREFIX)/lib/systemd/system/lagan.service

.PHONY: clean
clean: ## remove what was built and measured (the linter stays)
	rm -rf bin/lagan bench/out sim/out
