# SPDX-License-Identifier: Apache-2.0
# Quiet; V=1 shows the commands. `make help` lists the targets.

FLAVOUR ?= release
B       := build/$(FLAVOUR)
GEN     := build/gen
VERSION := 0.1.0

CC      := gcc
CLANG   := clang
BPFTOOL := $(or $(shell command -v bpftool 2>/dev/null),/usr/sbin/bpftool)
ifeq ($(FLAVOUR),fuzz)
CC      := clang
endif

PKGS    := libbpf libprotobuf-c yaml-0.1 libcrypto libsystemd libpcre2-8 libbrotlidec libzstd libcurl
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS   := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lelf -lz -ldeflate -lpthread -lm

WARN    := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wpointer-arith \
	   -Wno-missing-field-initializers -Werror
CFLAGS  := -std=gnu17 -g -fno-strict-aliasing -D_GNU_SOURCE -DSLUICE_VERSION='"$(VERSION)"' -Iagent -I. -I$(GEN) $(WARN) $(PKG_CFLAGS)
LDFLAGS :=

HARDEN  := -fstack-protector-strong -fPIE -D_FORTIFY_SOURCE=2 -fcf-protection
ifeq ($(FLAVOUR),release)
CFLAGS  += -O2 $(HARDEN)
LDFLAGS += -pie -Wl,-z,relro,-z,now
else ifeq ($(FLAVOUR),asan)
CFLAGS  += -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
LDFLAGS += -fsanitize=address,undefined
else ifeq ($(FLAVOUR),cover)
CFLAGS  += -O0 --coverage
LDFLAGS += --coverage
else ifeq ($(FLAVOUR),fuzz)
# Few needles are walked by words, too.
CFLAGS  += -DWORDS_FROM=0
CFLAGS  += -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
LDFLAGS += -fsanitize=address,undefined
endif

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2))

ROOMS   := base config alert capture stream scan policy enforce record opinion exchange flow serve
LIB_SRC := $(foreach r,$(ROOMS),$(wildcard agent/$(r)/*.c))
CLI_SRC := $(wildcard agent/cli/*.c)
BPF_SRC := $(wildcard bpf/*.bpf.c)
PROTO   := $(wildcard proto/*.proto)

EXTRA_OBJ += $(B)/gen/fold_data.o

SKELS   := $(BPF_SRC:bpf/%.bpf.c=$(GEN)/%.skel.h)
PB_H    := $(PROTO:proto/%.proto=$(GEN)/%.pb-c.h)
PB_OBJ  := $(PROTO:proto/%.proto=$(B)/gen/%.pb-c.o)
LIB_OBJ := $(LIB_SRC:%.c=$(B)/%.o) $(PB_OBJ) $(EXTRA_OBJ)
CLI_OBJ := $(CLI_SRC:%.c=$(B)/%.o)
MAIN_OBJ := $(patsubst %.c,$(B)/%.o,$(wildcard agent/*.c))
LIB     := $(B)/libsluice.a

UNIT    := $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/*_test.c))
KERNEL  := $(patsubst tests/kernel/%.c,$(B)/kernel/%,$(wildcard tests/kernel/*_test.c))
FUZZERS := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(wildcard tests/fuzz/*_fuzz.c))
BENCHES := $(patsubst tests/bench/%.c,$(B)/bench/%,$(wildcard tests/bench/*.c))

.DEFAULT_GOAL := all
.SECONDARY:
.PHONY: all

all: ## build build/sluiced and build/sluicectl
	$(Q)scripts/deps --build --quiet
	$(Q)$(MAKE) --no-print-directory $(if $(V),,-s) build/sluiced build/sluicectl build/advertising.model

build/sluiced build/sluicectl: build/%: $(B)/%
	$(Q)ln -f $< $@

build/advertising.model: packaging/model/advertising.csv $(wildcard agent/cli/model*.c agent/scan/classifier*.c) | build/sluicectl
	$(call say,TRAIN,$@)
	$(Q)build/sluicectl model train --data $< --risk local.advertising --bits 16 --cost 2 --quiet -o $@

$(B)/sluiced: $(MAIN_OBJ) $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $(MAIN_OBJ) $(LIB) $(PKG_LIBS) -lcap-ng -lseccomp

$(B)/sluicectl: $(CLI_OBJ) $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $(CLI_OBJ) $(LIB) $(PKG_LIBS) -llinear

$(B)/agent/cli/export.o: proto/record.proto tests/verifier/verifier.go $(wildcard agent/cli/export_*.txt)

$(B)/agent/cli/veil.o: packaging/policy.d/personal.yaml packaging/policy.d/secrets.yaml

$(LIB): $(LIB_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar qcs $@ $^

$(B)/%.o: %.c | $(PB_H) $(SKELS)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

$(B)/gen/%.o: $(GEN)/%.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(CFLAGS) -Wno-shadow -MMD -MP -c -o $@ $<

$(GEN)/%.pb-c.c $(GEN)/%.pb-c.h: proto/%.proto
	$(call say,PROTOC,$<)
	$(Q)mkdir -p $(GEN) && protoc-c --proto_path=proto --c_out=$(GEN) $<

# The fold table: ICU and OpenCC speak at build time, so that the daemon links neither.
$(GEN)/foldgen: agent/scan/gen/foldgen.c agent/scan/fold_data.h
	$(call say,HOSTCC,$<)
	$(Q)mkdir -p $(GEN) && gcc -std=gnu17 -O1 $(WARN) -Iagent $$(pkg-config --cflags icu-uc icu-i18n opencc) -o $@ $< \
		$$(pkg-config --libs icu-uc icu-i18n opencc)

$(GEN)/fold_data.c: $(GEN)/foldgen
	$(call say,FOLD,$@)
	$(Q)$< $@.new && mv $@.new $@

ARCH_INC := -I/usr/include/$(shell gcc -print-multiarch 2>/dev/null)
BPF_ARCH := $(shell uname -m | sed 's/x86_64/x86/; s/aarch64/arm64/')

$(GEN)/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h)
	$(call say,BPF,$<)
	$(Q)mkdir -p $(GEN) && $(CLANG) -O2 -g -target bpf -D__TARGET_ARCH_$(BPF_ARCH) -Wall -Wextra -Werror \
		-Wno-unused-parameter -Ibpf $(ARCH_INC) -c -o $@ $<

$(GEN)/%.skel.h: $(GEN)/%.bpf.o
	$(call say,SKEL,$<)
	$(Q)$(BPFTOOL) gen skeleton $< name $* > $@.new 2> $@.err || { cat $@.err; exit 1; }
	$(Q)rm -f $@.err && mv $@.new $@

# ---- tests ----

$(B)/unit/%: tests/unit/%.c tests/lib/test.h $(LIB)
	$(call say,TEST,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(CFLAGS) -MMD -MP $(LDFLAGS) -o $@ $< $(filter %.o,$^) $(LIB) $(PKG_LIBS) -lcriterion $(TEST_LIBS)

EVENTS_OBJ := $(patsubst %.c,$(B)/%.o,$(wildcard agent/cli/events*.c) agent/cli/globals.c)
$(B)/unit/events_test: $(EVENTS_OBJ)

$(B)/unit/lesson_test: $(B)/agent/cli/lesson_text.o

$(B)/fuzz/model_fuzz: $(B)/agent/cli/model_data.o $(B)/agent/cli/model_json.o $(B)/agent/cli/lesson_text.o

$(B)/kernel/%: tests/kernel/%.c tests/lib/test.h $(LIB)
	$(call say,TEST,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(CFLAGS) -MMD -MP $(LDFLAGS) -o $@ $< $(filter %.o,$^) $(LIB) $(PKG_LIBS) -lcriterion $(TEST_LIBS)

$(B)/kernel/sandbox_test: $(B)/agent/sandbox.o
$(B)/kernel/sandbox_test: TEST_LIBS := -lcap-ng -lseccomp

$(B)/fuzz/%: tests/fuzz/%.c $(LIB)
	$(call say,FUZZ,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(CFLAGS) -MMD -MP -fsanitize=fuzzer $(LDFLAGS) -o $@ $< $(filter %.o,$^) $(LIB) $(PKG_LIBS) $(FUZZ_LIBS)

$(B)/parsers/%: tests/parsers/%.c $(LIB)
	$(call say,TEST,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(CFLAGS) -MMD -MP $(LDFLAGS) -o $@ $< $(LIB) $(PKG_LIBS)

parsers: $(B)/parsers/http1_parse

$(B)/bench/%: tests/bench/%.c $(LIB)
	$(call say,BENCH,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(CFLAGS) -MMD -MP $(LDFLAGS) -o $@ $< $(LIB) $(PKG_LIBS) $(BENCH_LIBS)

# A verifier of the record that has nothing of ours: Go's own checkpoint, tree and tile code.
$(B)/verifier: tests/verifier/verifier.go
	$(call say,GO,$<)
	$(Q)mkdir -p $(@D) && GO111MODULE=off GOPATH=/usr/share/gocode GOFLAGS= GOCACHE=$(CURDIR)/build/gocache go build -o $@ $<
$(B)/unit/verify_test $(B)/unit/witness_test $(B)/unit/prune_test: | $(B)/verifier

$(B)/unit/scan_test: TEST_LIBS := -lhs
$(B)/unit/interpreted_test: TEST_LIBS := -lseccomp
$(B)/bench/scan_bench: BENCH_LIBS := -lhs
$(B)/bench/record_bench: BENCH_LIBS := -lsqlite3
$(B)/fuzz/encoding_fuzz $(B)/fuzz/exchange_fuzz: FUZZ_LIBS := -lbrotlienc
$(B)/unit/encoding_test $(B)/unit/exchange_encoding_test: TEST_LIBS := -lbrotlienc

unit-binaries: $(UNIT)
kernel-binaries: $(KERNEL)
fuzz-binaries: $(FUZZERS)
bench-binaries: $(BENCHES)

.PHONY: parsers deps demo check unit kernel e2e fuzz budget bench asan coverage lint format deb install help clean \
	unit-binaries kernel-binaries fuzz-binaries bench-binaries bench-quick bench-growth kernel-matrix soak soak-kill

deps: ## install every Debian package that building, testing and the demo need (as root)
	$(Q)scripts/deps --all

demo: ## guard a real server and show a forbidden answer cut (as root); SERVER=llama for the llama.cpp engine
	$(Q)scripts/deps --build --demo
	$(Q)$(MAKE) --no-print-directory all
	$(Q)scripts/demo $(or $(SERVER),uvicorn)

check: ## every test: lint, unit, kernel, e2e, instruction budget, fuzz smoke
	$(Q)scripts/deps --all
	$(Q)scripts/check lint unit kernel e2e budget fuzz

unit: ## unit tests under ASan and UBSan; no root needed
	$(Q)scripts/check unit

kernel: ## tests that load BPF programs (as root)
	$(Q)scripts/check kernel

kernel-matrix: ## the kernel tests on the stock kernels of Debian 11, 12 and 13 in QEMU: an hour at most
	$(Q)scripts/deps --all --matrix
	$(Q)$(MAKE) --no-print-directory kernel-binaries
	$(Q)scripts/kernel-matrix

e2e: ## one promise each, on real servers and clients (as root)
	$(Q)scripts/check e2e

fuzz: ## each fuzzer for FUZZ_SECONDS (60)
	$(Q)scripts/check fuzz

budget: all ## instructions of fixed answers, by callgrind, against the committed baseline
	$(Q)scripts/check budget

soak-kill: all ## kill -9 under load, ROUNDS (1000) times: nothing acknowledged is lost (as root)
	$(Q)SLUICE_BUILD=release tests/e2e/kill_soak.py $(or $(ROUNDS),1000)

soak: all ## a day of a busy host in SECONDS (1200): 10,500 connections, reloads, kills, restarts; all stays as it was (as root)
	$(Q)$(MAKE) --no-print-directory $(B)/bench/soakload $(B)/bench/fastserver
	$(Q)SLUICE_BUILD=release tests/e2e/day_soak.py $(or $(SECONDS),1200)

bench: all ## ratios against direct, nginx, haproxy and Vectorscan; writes build/bench.json
	$(Q)$(MAKE) --no-print-directory bench-binaries
	$(Q)scripts/bench

bench-quick: all ## the same in under a minute
	$(Q)$(MAKE) --no-print-directory bench-binaries
	$(Q)scripts/bench --quick

bench-growth: all ## what more streams, keywords, bytes and services cost; writes build/growth.json (as root)
	$(Q)$(MAKE) --no-print-directory bench-binaries
	$(Q)scripts/growth

asan: ## build/asan/sluiced and build/asan/sluicectl
	$(Q)$(MAKE) --no-print-directory FLAVOUR=asan build/asan/sluiced build/asan/sluicectl

coverage: ## line coverage of the unit tests
	$(Q)$(MAKE) --no-print-directory FLAVOUR=cover unit-binaries
	$(Q)for t in build/cover/unit/*_test; do $$t > /dev/null; done; gcovr -r . --object-directory build/cover agent

lint: ## rooms, SPDX lines, banned names, formatting, warnings of clang-tidy
	$(Q)scripts/check lint

format: ## rewrite sources as .clang-format says
	$(Q)clang-format -i $$(git ls-files '*.c' '*.h')

install: all ## DESTDIR=, PREFIX=/usr; keeps a configuration and a policy that are there
	$(Q)DESTDIR=$(DESTDIR) PREFIX=$(PREFIX) packaging/install

deb: all ## build/deb/sluice_VERSION_ARCH.deb, looked at by lintian
	$(Q)scripts/deps --package
	$(Q)packaging/deb $(VERSION)

clean:
	$(Q)rm -rf build

help: ## this list
	$(Q)awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' Makefile

-include $(shell find build/release build/asan build/cover build/fuzz -name '*.d' 2> /dev/null)
