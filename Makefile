# The few words of this project. `make up` and `make test` install what they need.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Build artefacts live outside the checkout, so that every checkout on a machine shares the compiled dependencies.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/openmesh/target
# npm's word about its own newer version is no news of this project.
export npm_config_update_notifier := false
# The optimised binary, under a name that no test build takes.
OPENMESH := $(CARGO_TARGET_DIR)/openmesh
# Place of `make install`.
PREFIX ?= /usr/local

# make up REPLAY=../shared/data  serves recordings; SPEED=4 plays them four times as fast; HOME_DIR=... keeps state there
UP_FLAGS := $(if $(REPLAY),--replay $(REPLAY)) $(if $(SPEED),--speed $(SPEED)) $(if $(HOME_DIR),--home $(HOME_DIR)) $(ARGS)

.PHONY: help up xnode install test tests check bench bench-xnode fuzz flood siege soak hours fmt build programs studio verify-bits templates doors guide one operate release guest mutants shots supply cycles

help:
	@echo "make up      set up, build and start a network of four validators and an Xnode on this machine (Ctrl-C stops it, and no application)"
	@echo "make xnode   set up, build and run the agent of this machine, which runs applications (as root or with sudo; Ctrl-C ends it, and none of them)"
	@echo "make install build one file with everything in it, and install it as PREFIX/bin/openmesh (PREFIX=/usr/local)"
	@echo "make test    set up and run every test, several programs at a time"
	@echo "make tests   the programs of tests alone (ONLY=\"openmesh-agent xnode\" for those whose names have one of these; PLAN=1 tells their order)"
	@echo "make check   formatting, lints, types; no tests"
	@echo "make bench   measure against the named peers; figures go to docs/benchmarks.md by hand"
	@echo "make bench-xnode  the Xnode beside podman, runc, restic and bare folders, as root (ROWS=start,deploy,click,idle,backup,postgres,shim for some; QUICK=1 for a trial)"
	@echo "make doors   deaths and errors at every door of the executor's effects (about half an hour, as root)"
	@echo "make mutants break a rule of the Xnode at a time, in a copy: for each a test has to fail (as root; NAMES=\"drain-wait role-check\" for some, OUT=. for the figures)"
	@echo "make guide   do what docs/guide/xnode.md says, as it is written (as root)"
	@echo "make operate do what docs/guide/operate.md says, on five machines that are network namespaces (as root; HEIGHTS=1000, half an hour)"
	@echo "make release an archive with binary, licence, notices, unit and checksums (OUT=FOLDER; target/release-archives without it)"
	@echo "make guest   the Xnode on a fresh Debian in QEMU: control groups v2, systemd, restart, power cuts (as root; CUTS=\"1 5 9\" events)"
	@echo "make verify-bits  change every bit of twenty windows' files: verify refuses, or three other readers see no difference"
	@echo "make fuzz    fuzz the decoders (SECONDS=60 each, TARGETS=\"kraken chunk\"); see fuzz/README.md"
	@echo "make flood   100,000 hostile transactions, and as many messages of a hostile peer, beside honest load"
	@echo "make supply  100,000 random histories, after every block of which the supply is counted (HISTORIES=100000; about half an hour)"
	@echo "make siege   1,000 hostile API requests a second beside honest clients (SECONDS=30 VALIDATORS=1)"
	@echo "make hours   two real hours of a network with windows of half a second, plots and growth (MINUTES=120 EPOCH=300 OUT=.)"
	@echo "make soak    a simulated year and a simulated day of a network, plots and slopes (DAYS=365 HOURS=24); a year of 300 streams"
	@echo "make templates  install, use, upgrade, back up, restore and remove every built-in template (NAMES=redis,anvil for some); grades go to docs/templates.json"
	@echo "make cycles  deploy and remove one application 1,000 times: the machine shows nothing of it afterwards (as root; TIMES=100 for fewer)"
	@echo "make shots   pictures of every page of Apps and Node in light, dark and at 380 px, to look at (SHOTS=FOLDER; ~/.cache/openmesh/shots without it)"
	@echo "make fmt     format everything"

# What only the agent of the Xnode needs may lack: everything else starts without it, and says so.
up:
	@scripts/setup.sh xnode || scripts/setup.sh up
	@scripts/step.sh "Studio" $(MAKE) --no-print-directory studio
	@scripts/step.sh "openmesh (the first build takes a while: about 800 crates)" $(MAKE) --no-print-directory build
	@scripts/step.sh "programs of the agent" $(MAKE) --no-print-directory programs || echo "without them no application runs here; everything else starts"
	@exec $(OPENMESH) up $(UP_FLAGS)

build:
	@cargo build --locked --workspace --bin openmesh
	@ln -f $(CARGO_TARGET_DIR)/debug/openmesh $(OPENMESH)

# The programs of an agent lie beside the binary, which copies them to where it keeps everything.
xnode:
	@scripts/setup.sh xnode
	@scripts/step.sh "Studio" $(MAKE) --no-print-directory studio
	@scripts/step.sh "openmesh (the first build takes a while: about 800 crates)" $(MAKE) --no-print-directory build
	@scripts/step.sh "programs of the agent" $(MAKE) --no-print-directory programs
	@exec $$([ "$$(id -u)" = 0 ] || echo sudo) $(OPENMESH) xnode agent $(ARGS)

install: one
	@mkdir -p $(PREFIX)/bin 2>/dev/null || true
	@$$([ -w $(PREFIX)/bin ] || echo sudo) install -D -m 755 $(CARGO_TARGET_DIR)/openmesh-one $(PREFIX)/bin/openmesh
	@echo "installed $(PREFIX)/bin/openmesh: openmesh xnode check, then sudo openmesh xnode agent"

# One file for all: the binary without its symbols, with the programs of an agent behind its end.
one:
	@scripts/setup.sh xnode
	@scripts/step.sh "Studio" $(MAKE) --no-print-directory studio
	@scripts/step.sh "openmesh (the first build takes a while: about 800 crates)" $(MAKE) --no-print-directory build
	@scripts/step.sh "programs of the agent" $(MAKE) --no-print-directory programs
	@strip -o $(CARGO_TARGET_DIR)/openmesh-stripped $(OPENMESH)
	@$(OPENMESH) xnode carry --binary $(CARGO_TARGET_DIR)/openmesh-stripped --programs $(CARGO_TARGET_DIR) --to $(CARGO_TARGET_DIR)/openmesh-one
	@rm $(CARGO_TARGET_DIR)/openmesh-stripped

programs:
	@cargo build --locked --workspace --bin openmesh-shim --bin openmesh-unpack --bin openmesh-door --bin openmesh-lender
	@cargo build --locked --release --manifest-path crates/cage/helper/Cargo.toml --target-dir $(CARGO_TARGET_DIR)
	@ln -f $(CARGO_TARGET_DIR)/debug/openmesh-shim $(CARGO_TARGET_DIR)/debug/openmesh-unpack $(CARGO_TARGET_DIR)/debug/openmesh-door $(CARGO_TARGET_DIR)/debug/openmesh-lender $(CARGO_TARGET_DIR)/release/openmesh-cage-helper $(CARGO_TARGET_DIR)/

studio: studio/dist/.stamp
	@:

studio/dist/.stamp: studio/node_modules/.package-lock.json $(shell find studio/src studio/index.html studio/*.ts studio/*.json -type f 2>/dev/null)
	@cd studio && npm run --silent build -- --logLevel warn
	@touch $@

studio/node_modules/.package-lock.json: studio/package-lock.json
	@cd studio && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

test:
	@scripts/setup.sh test
	@scripts/test.sh

# What `make test` runs after lints and builds. The order, and what runs beside what, are in xtask/tests.toml.
tests:
	@cargo test --quiet --locked --workspace --no-run
	@$(CARGO_TARGET_DIR)/debug/openmesh-tests $(if $(PLAN),--plan) $(ONLY)

check:
	@scripts/setup.sh up
	cargo fmt --all --check
	$(MAKE) --no-print-directory studio
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --workspace -- -D warnings
	cd studio && npm run --silent check

bench:
	@scripts/setup.sh bench
	@scripts/bench.sh

# The peers are Debian's. Everything that is measured has names of its own and goes at the end.
bench-xnode:
	@scripts/setup.sh bench-xnode
	@scripts/step.sh "Studio" $(MAKE) --no-print-directory studio
	@scripts/step.sh "openmesh (the first build takes a while: about 800 crates)" $(MAKE) --no-print-directory build
	@scripts/step.sh "programs of the agent" $(MAKE) --no-print-directory programs
	@scripts/step.sh "openmesh-bench" cargo build --locked --workspace --bin openmesh-bench
	@exec $$([ "$$(id -u)" = 0 ] || echo sudo) $(CARGO_TARGET_DIR)/debug/openmesh-bench xnode --bin $(OPENMESH) $(if $(ROWS),--rows $(ROWS)) $(if $(QUICK),--quick)

# A switch meets a death by SIGKILL, a second one, and errors of the disk at every door of its effects (about half an hour).
doors:
	@OPENMESH_DOORS=all cargo test --locked --workspace --test it -- crash::a_ crash::an_ --nocapture --test-threads 1

# A rule of the Xnode is broken at a time, in a copy of the checkout with artefacts of its own, and for each a test has to fail (xtask/mutants.toml). As root, or
# some are left out; the first run compiles all dependencies once more, and further ones take about half an hour.
mutants:
	@scripts/setup.sh test
	@scripts/step.sh "openmesh-mutants" cargo build --locked --workspace --bin openmesh-mutants
	@$(CARGO_TARGET_DIR)/debug/openmesh-mutants --work $${MUTANTS_CACHE:-$(dir $(CARGO_TARGET_DIR))mutants} $(if $(OUT),--out $(OUT)) $(NAMES)

# What docs/guide/xnode.md says, as it is written (as root).
guide: programs
	@cargo build --locked --workspace --bin openmesh --bin openmesh-door
	@scripts/guide.sh $(CARGO_TARGET_DIR)/debug/openmesh

# Five machines by docs/guide/operate.md, one of which is away for HEIGHTS blocks (as root).
operate: build
	@scripts/operate.sh $(OPENMESH) $(or $(HEIGHTS),1000)

# The binary is the same for the same checkout in the same place with the same toolchain; the archives are the same for the same binary.
release: one
	@scripts/setup.sh release
	@scripts/step.sh "notices" cargo run --quiet --locked --workspace --bin openmesh-notices >$(CARGO_TARGET_DIR)/NOTICES
	@scripts/release.sh $(CARGO_TARGET_DIR)/openmesh-one $(CARGO_TARGET_DIR)/NOTICES $(or $(OUT),$(CARGO_TARGET_DIR)/release-archives)

# The one file on a machine of its own: control groups v2, systemd, restart, power cuts, renewal, removal (as root; the first run makes the machine).
guest: one
	@scripts/setup.sh guest
	@GUEST_CACHE=$${GUEST_CACHE:-$(dir $(CARGO_TARGET_DIR))guest} CUTS="$(CUTS)" scripts/guest.sh $(CARGO_TARGET_DIR)/openmesh-one

verify-bits:
	@scripts/readers.sh
	OPENMESH_VERIFY_BITS=1 cargo test --locked --workspace --test it -- bits:: --nocapture

fuzz:
	@scripts/fuzz.sh $(or $(SECONDS),60) $(TARGETS)

flood:
	@cargo test --locked --workspace --test cluster -- --ignored --nocapture --exact flood::a_hundred_thousand
	@cargo test --locked --workspace --lib -- --ignored --nocapture a_hundred_thousand_messages_of_a_peer

# The optimised program, besieged by the tests' own.
siege:
	@scripts/step.sh "Studio" $(MAKE) --no-print-directory studio
	@scripts/step.sh "openmesh (the first build takes a while: about 800 crates)" $(MAKE) --no-print-directory build
	@OPENMESH_PROGRAM=$(OPENMESH) OPENMESH_SIEGE_SECONDS=$(or $(SECONDS),30) OPENMESH_SIEGE_VALIDATORS=$(or $(VALIDATORS),1) \
		cargo test --locked --workspace --test it -- --ignored --nocapture --exact siege::a_thousand_hostile_requests_a_second

# After every block of each history the whole supply is counted, account by account.
supply:
	@OPENMESH_SUPPLY_HISTORIES=$(or $(HISTORIES),100000) cargo test --locked --workspace --test it -- --nocapture nothing_is_made_or_lost_in_any_history

# The tables and plots are written to OPENMESH_SOAK_DIR, or to the folder that the run names.
soak:
	@OPENMESH_SOAK_DAYS=$(or $(DAYS),365) OPENMESH_SOAK_HOURS=$(or $(HOURS),24) \
		cargo test --locked --workspace --test soak -- --ignored --nocapture --test-threads 1
	@cargo test --locked --workspace --test it -- --ignored --nocapture guide::a_module_added_by_the_guide_works \
		year::fifteen_venues_and_three_hundred_streams

# Two real hours; the table and the picture are written to OUT.
hours:
	@cargo build --locked --workspace --bins
	@"$(CARGO_TARGET_DIR)/debug/openmesh-bench" windows --minutes $(or $(MINUTES),120) --epoch-seconds $(or $(EPOCH),300) --out $(or $(OUT),.)

# Real packages, a real agent: as root. What is found is written to docs/templates.json, which the next program shows.
templates:
	@cargo build --locked --workspace --bins
	@OPENMESH_TEMPLATES="$(NAMES)" cargo test --locked -p openmesh-agent --test it -- --ignored --nocapture --exact templates::every_template

# As root.
cycles:
	@OPENMESH_CYCLES=$(or $(TIMES),1000) cargo test --locked -p openmesh-agent --test it -- --nocapture --exact shown::an_application_that_comes_and_goes_leaves_nothing

# Against a stand-in of the agent, so that there is something on every page. The folder lies outside of the repository.
shots: studio
	@cd studio && npm run --silent shots

fmt:
	cargo fmt --all
	@if [ -d studio/node_modules ]; then cd studio && npm run --silent fmt; fi
