# Everything a newcomer types. `make` alone lists it.

# Cargo's own directory, where rustup puts it, also when it is not in PATH.
export PATH := $(PATH):$(HOME)/.cargo/bin
dist := $(CURDIR)/dist
e2e := CORACLE_BIN=$(dist)/coracle COX_BIN=$(dist)/cox

.DEFAULT_GOAL := help
.PHONY: help run test lint test-unit test-e2e test-peers test-vm dist bench bench-containers bench-images bench-init bench-logs bench-network fmt fuzz

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

run: dist ## install what is missing, build, start the demo container and show it alive
	@scripts/need /bin/busybox=busybox-static
	@$(e2e) examples/demo/run.sh

test: lint test-unit dist test-e2e test-peers test-vm ## everything CI runs (as root)

lint: ## formatting and clippy, warnings denied
	@scripts/need cc=gcc
	scripts/cargo fmt --check
	scripts/cargo clippy --locked --all-targets -- -D warnings

test-unit: ## the tests inside the source, and the architecture's
	@scripts/need bzip2=bzip2 xz=xz-utils zstd=zstd
	scripts/cargo test --locked --lib --bins --test architecture

test-e2e: dist ## the end-to-end tests, against the static binaries (as root)
	@scripts/need /bin/busybox=busybox-static nft=nftables iptables-nft=iptables ip=iproute2 python3=python3 strace=strace \
		bzip2=bzip2 xz=xz-utils zstd=zstd dig=bind9-dnsutils dnsmasq=dnsmasq-base curl=curl socat=socat redis-cli=redis-tools /usr/sbin/nginx=nginx-light \
		skopeo=skopeo newuidmap=uidmap pasta=passt slirp4netns=slirp4netns svc=daemontools sv=runit s6-svc=s6 /usr/sbin/sshd=openssh-server \
		supervisorctl=supervisor tmux=tmux debootstrap=debootstrap ssh=openssh-client
	$(e2e) scripts/sandbox scripts/cargo test --locked --test '*' -- --test-threads=1

test-peers: dist ## images to docker, podman, skopeo and umoci, and back (as root)
	@scripts/need /bin/busybox=busybox-static python3=python3
	$(e2e) tests/peers/images

test-vm: dist ## end-to-end scenarios under Debian's kernel with cgroup v2 only, in qemu
	@scripts/need /bin/busybox=busybox-static qemu-system-x86_64=qemu-system-x86 cpio=cpio \
		mkfs.btrfs=btrfs-progs
	tests/vm/run

dist: ## static binaries in dist/, with their sizes
	@scripts/dist

bench: dist ## side by side with crun, runc, podman and docker
	@scripts/need /bin/busybox=busybox-static cc=gcc python3=python3
	@$(e2e) benches/run

bench-containers: dist ## a hundred containers side by side with podman and docker: start, lists, memory, removal
	@scripts/need /bin/busybox=busybox-static python3=python3 ip=iproute2
	@$(e2e) benches/containers

bench-images: dist ## images side by side with podman and docker: import, save, load, rmi
	@scripts/need python3=python3
	@$(e2e) benches/images

bench-init: dist ## cox side by side with daemontools, runit, s6, tini and others
	@scripts/need /bin/busybox=busybox-static cc=gcc python3=python3
	@$(e2e) benches/init

bench-logs: dist ## 500 MB of lines into the log and back, beside podman and docker
	@scripts/need /bin/busybox=busybox-static cc=gcc python3=python3 ip=iproute2
	@$(e2e) benches/logs

bench-network: dist ## a container's network: set-up, a hundred at once, published ports beside docker-proxy
	@scripts/need /bin/busybox=busybox-static cc=gcc python3=python3 ip=iproute2 nft=nftables
	@$(e2e) benches/network

fuzz: ## the tests with tests/corpus, each with ROUNDS changes (a million) that differ every day
	FUZZ_ROUNDS=$(or $(ROUNDS),1000000) FUZZ_SEED=$$(date +%Y%m%d) scripts/sandbox nice -n 19 \
		scripts/cargo test --locked --lib --bins --test image corpus -- --nocapture

fmt: ## format the source
	scripts/cargo fmt
