# Each target says what it does; make alone prints them.

.PHONY: help build demo test test-long lint fuzz cover bench bench-quick soak clean
.DEFAULT_GOAL := help

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

build: ## build the binary ./ringback
	go build -o ringback ./cmd/ringback

demo: ## watch a job survive kill -9; needs no key and no network
	go run ./cmd/ringback demo

test: ## run all tests, in minutes (./test.sh)
	./test.sh

test-long: ## the same with longer kills, a million rows, fuzzing, and more versions of PostgreSQL
	./test.sh --long

lint: ## run the linters (.golangci.yaml lists them, with the reasons)
	go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0 run

fuzz: ## fuzz one target until Ctrl-C: make fuzz FUZZ=FuzzRead PKG=./internal/sse
	go test -run '^$$' -fuzz '^$(FUZZ)$$' $(PKG)

cover: ## run the tests and print the coverage of each package by its own tests
	go test -coverprofile cover.out ./...
	go tool cover -func cover.out | tail -n 1

bench: ## measure Ringback beside its peers, in twenty minutes; writes docs/benchmarks.md
	bench/run.sh --json ../docs/benchmarks/results.json --docs ../docs

bench-quick: ## compare with the results of the last commit, in a minute and a half
	bench/run.sh --quick

soak: ## ten minutes of load, to find what grows; updates docs/benchmarks.md
	bench/run.sh --workloads soak --json ../docs/benchmarks/results.json --docs ../docs

clean: ## remove what build, cover and test.sh left in this checkout
	rm -rf ringback cover.out examples/receivers/node/node_modules examples/receivers/python/.venv deploy/.bin examples/local-model/.venv bench/bullmq/node_modules bench/celery/.venv internal/api/testdata/web/node_modules e2e/testdata/schemathesis/.venv internal/postgrestest/versions/node_modules
