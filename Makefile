# ch-run: see README.md. "make help" lists the targets.

VERSION := $(shell git describe --always --dirty --match 'v*' 2>/dev/null || echo unknown)
PREFIX ?= /usr/local
DESTDIR ?=

# Static, with musl where it is installed (it starts faster), else with glibc.
export CC = $(shell command -v musl-gcc || command -v gcc || echo cc)
export CGO_ENABLED := 1
# A Go that is older than go.mod asks for fetches the right one; where Debian and Ubuntu put theirs.
export GOTOOLCHAIN ?= auto
export PATH := $(PATH):$(subst $() ,:,$(foreach n,29 28 27 26 25 24 23 22 21,/usr/lib/go-1.$(n)/bin)):/usr/sbin:/sbin
# The C libraries that decompress are in build/c (see scripts/deps); in place of those that are not, there is Go.
export CGO_CFLAGS := -O2 -g -I$(CURDIR)/build/c
export CGO_LDFLAGS := -L$(CURDIR)/build/c
NO_LIBRARIES = $(shell for l in deflate zstd lz4; do test -e build/c/lib$$l.a || printf ,nolib$$l; done)
TAGS := netgo,osusergo
export GOFLAGS = -tags=$(TAGS)$(NO_LIBRARIES)
# Go's heap begins where it did before Go 1.26, if this is a Go that can do so: see internal/early/memory.c.
export GOEXPERIMENT = $(shell PATH='$(PATH)' GOEXPERIMENT=norandomizedheapbase64 go env GOEXPERIMENT 2>/dev/null)
GO_FLAGS := -trimpath
LD_FLAGS := -s -w -linkmode external -extldflags "-static" -X main.version=$(VERSION)
LINTER := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
ARM64 := GOARCH=arm64 CC=aarch64-linux-gnu-gcc GOFLAGS=-tags=$(TAGS),nolibdeflate,nolibzstd,noliblz4

DOCUMENTS := build/ch-run.1 build/completion.bash build/completion.zsh build/completion.fish

.PHONY: help tools build run test cluster-test cluster-bench fuzz check bench install clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 18

tools: # before what depends on which of them there are
	@scripts/deps build

build: tools ## make bin/ch-run, one static executable, and its documents
	go build $(GO_FLAGS) -ldflags '$(LD_FLAGS)' -o bin/ch-run ./cmd/ch-run
	@$(MAKE) -s $(DOCUMENTS)

run: build ## set up everything and run a command in an example image
	@scripts/deps run
	@test -x build/busybox/bin/busybox || examples/busybox/build build/busybox
	bin/ch-run build/busybox -- sh -c \
	  'echo "I am $$(id -un) ($$(id -u):$$(id -g)) on $$(hostname), in $$(pwd) of an image that holds:"; ls /'

# For tests: dies where CH_RUN_FAULT says.
build/ch-run.faults: tools
	go build -tags $(TAGS)$(NO_LIBRARIES),faults $(GO_FLAGS) -ldflags '$(LD_FLAGS)' -o $@ ./cmd/ch-run

test: build ## run every test
	@scripts/deps test
	go test -count=1 -timeout 30m ./... # what the tests copy and execute is not known to the cache
	go test -count=1 -tags $(TAGS),nolibdeflate,nolibzstd,noliblz4 -run '/(gzip|zstd|lz4)' ./internal/squash/decompress

cluster-test: build ## run jobs on a Slurm of two nodes that this machine plays; as root
	@scripts/deps cluster
	go test -count=1 -tags $(TAGS)$(NO_LIBRARIES),cluster -timeout 20m ./test/cluster

cluster-bench: build ## how long 128 tasks take on it, with and without containers
	@scripts/deps cluster bench
	go test -run '^$$' -bench . -benchtime 15x -tags $(TAGS)$(NO_LIBRARIES),cluster ./test/cluster

FUZZTIME ?= 60s
FUZZ = -fuzztime $(FUZZTIME) -fuzzminimizetime 20x # else it makes images smaller most of the time
# What it has found is in testdata/fuzz of the package, and "go test" tries that again.
fuzz: build ## look for images and specifications that are badly received, for FUZZTIME (default 60s) each way
	@scripts/deps test
	go test -run '^$$' -fuzz '^FuzzUnmarshal$$' $(FUZZ) ./internal/yaml
	go test -run '^$$' -fuzz '^FuzzDecompress$$' $(FUZZ) ./internal/squash/decompress
	go test -run '^$$' -fuzz '^FuzzReader$$' $(FUZZ) ./internal/squash
	CH_RUN_TEST_MUTANTS="20000 $$(date +%s)" go test -count=1 -run '^TestMutants$$' ./internal/squash
	CH_RUN_TEST_MUTANTS="5000 $$(date +%s)" go test -count=1 -run '^TestHostileImages$$' ./test

check: tools ## format, vet, linters, and a cross build for arm64
	@scripts/deps check
	@files=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$files" || { echo "gofmt would change: $$files"; exit 1; }
	go vet ./...
	go vet -tags $(TAGS),nolibdeflate,nolibzstd,noliblz4 ./internal/squash/...
	go vet -tags $(TAGS)$(NO_LIBRARIES),cluster ./test/cluster
	@GOBIN=$(CURDIR)/build/tools CGO_ENABLED=0 go install $(LINTER)
	build/tools/golangci-lint run --build-tags cluster
	shellcheck scripts/deps .ci/run $$(git ls-files 'examples/*/build' 'examples/*/run' 'examples/*.sbatch')
	env $(ARM64) go build $(GO_FLAGS) -ldflags '$(LD_FLAGS)' -o build/ch-run.arm64 ./cmd/ch-run
	file build/ch-run.arm64 | grep -q 'ARM aarch64.*statically linked'

BENCH ?= # options, of which -help is one
bench: build ## compare start-up and SquashFS with others; BENCH='-only=launch,read -rounds=2'
	@scripts/deps bench
	go run ./test/bench $(BENCH)

build/ch-run.1: docs/ch-run.1.scd
	@mkdir -p build
	scdoc < $< > $@

build/completion.%: scripts/completion/main.go $(wildcard internal/cli/*.go)
	@mkdir -p build
	go run ./scripts/completion $* > $@

bin/ch-run:
	$(MAKE) build

install: bin/ch-run $(DOCUMENTS) ## install what is built below PREFIX (default /usr/local)
	install -D -m 755 bin/ch-run $(DESTDIR)$(PREFIX)/bin/ch-run
	install -D -m 644 build/ch-run.1 $(DESTDIR)$(PREFIX)/share/man/man1/ch-run.1
	install -D -m 644 build/completion.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/ch-run
	install -D -m 644 build/completion.zsh $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_ch-run
	install -D -m 644 build/completion.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/ch-run.fish

clean: ## remove what the other targets made
	rm -rf bin build
