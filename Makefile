# Lockstep. `make` builds and runs the server; `make help` lists the rest.

export GOTOOLCHAIN := local
# Nothing but the race detector needs a C compiler.
export CGO_ENABLED := 0
# Without a readable history (another owner's checkout, an archive) nothing is stamped.
ifneq ($(shell git rev-parse HEAD >/dev/null 2>&1 && echo readable),readable)
export GOFLAGS := $(GOFLAGS) -buildvcs=false
endif

GO      ?= go
ARGS    ?=
# Where JetStream of `run` keeps its streams.
DATA    ?= data
# Time for each Go fuzz target.
BUDGET  ?= 30s
# Simulation: how long to look for failing seeds, with how many processes' worth of work, and where to keep them.
FOR     ?= 1m
JOBS    ?= 2
OUT     ?= out
# Seeds that `twice` runs in two processes.
SEEDS   ?= 20
# Go benchmarks: which, how long, how often.
BENCH   ?= .
TIME    ?= 1s
COUNT   ?= 1
# The other server's binary for `bench-side`.
AGAINST ?=

# What runs in production, and hence under the race detector.
RUNTIME := ./clock ./netsim ./server/...
# Modules of their own inside the tree, such as programs that embed the server.
MODULES := $(patsubst %/go.mod,%,$(wildcard */go.mod */*/go.mod */*/*/go.mod))

.DEFAULT_GOAL := run

.PHONY: run
run: build ## Build and run the server with JetStream in DATA (ARGS="-p 4333 -m 8222")
	bin/lockstep -js -sd $(DATA) $(ARGS)

# The revision that INFO states, where there is one.
COMMIT := $(shell git rev-parse --short=7 HEAD 2>/dev/null)

.PHONY: build
build: ## Build bin/lockstep and bin/lockstep-sim
	$(GO) build -trimpath -ldflags '-X github.com/lockstepmq/lockstep/server.gitCommit=$(COMMIT)' -o bin/ ./cmd/lockstep ./cmd/lockstep-sim

.PHONY: test
test: ## Run all tests; needs Go and make alone
	$(GO) test -timeout 10m ./...
	@set -e; for m in $(MODULES); do echo "$(GO) test ./... # in $$m"; (cd "$$m" && $(GO) test -timeout 5m ./...); done

.PHONY: check
check: test lint race twice ## Everything that must pass before a change goes in

.PHONY: lint
lint: ## go vet, staticcheck and the determinism lint
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) run ./checks/cmd/lockstep-lint ./...

.PHONY: race
race: ## Test the production runtime under the race detector; needs a C compiler
	CGO_ENABLED=1 $(GO) test -race -timeout 15m $(RUNTIME)

.PHONY: twice
twice: build ## Run SEEDS seeds in two processes each and compare their trace hashes
	bin/lockstep-sim twice --seeds $(SEEDS)

.PHONY: sim
sim: build ## Look for failing seeds for the time FOR with JOBS jobs; failures go to OUT
	bin/lockstep-sim fuzz --for $(FOR) --jobs $(JOBS) --out $(OUT)

.PHONY: mutants
mutants: ## Plant each fault of checks/mutants and demand that the simulation finds it
	$(GO) run ./checks/mutants/run

# A target's line in its file names it: "func FuzzParse(". One run serves one target.
.PHONY: fuzz
fuzz: ## Run each Go fuzz target for the time BUDGET
	@set -e; \
	grep -rl --include='*_test.go' '^func Fuzz' . | grep -v '/testdata/' | sort | while read -r file; do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$file"); do \
			echo "fuzz $$(dirname "$$file") $$target for $(BUDGET)"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(BUDGET) "$$(dirname "$$file")"; \
		done; \
	done

.PHONY: bench
bench: ## Run the Go benchmarks (BENCH=regexp TIME=1s COUNT=6)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchtime $(TIME) -count $(COUNT) -benchmem -timeout 60m ./...

.PHONY: bench-side
bench-side: build ## Run this server and the binary AGAINST side by side; prints ratios
	@test -n "$(AGAINST)" || { echo "say which other server: make bench-side AGAINST=/path/to/nats-server" >&2; exit 2; }
	$(GO) run ./cmd/lockstep-bench --against "$(AGAINST)"

.PHONY: clean
clean: ## Remove what the build and the simulation wrote
	rm -rf bin out

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
